"""Which metrics and which feature network, where the user leaves the choice open."""

import functools
from collections.abc import Callable

from gen_jax.errors import UserError, unknown
from gen_jax.evals.features.dinov2 import dinov2
from gen_jax.evals.features.extract import Network
from gen_jax.evals.features.inception import FILE, inception
from gen_jax.evals.features.own import own
from gen_jax.evals.features.sounds import is_sounds, own_sounds
from gen_jax.evals.reference import Reference
from gen_jax.nn.pretrained.weights import folder
from gen_jax.types import DataInfo

SUFFIX = {"inception": "", "own": "_own", "dinov2": "_dinov2"}
"""What the figures' names end in, by network: those of Inception alone have the names that papers use."""

OWN_IMAGES, OWN_BYTES = 50_000, 2**31
"""The own classifier is trained on so many images at most, of at most so many bytes, drawn from larger data."""


class Choice:
    """A feature network by name, loaded (or trained) when it is first called.

    note: what a user should be told of it; "" where it is what was asked for."""

    def __init__(self, name: str, load: Callable[[], Network], note: str = ""):
        self.name, self.note = name, note
        self._load = functools.cache(load)

    def __call__(self) -> Network:
        return self._load()


def choose_network(name: str | None, weights: str | None, resize: str | None, reference: Reference) -> Choice:
    """The feature network `name`: inception, dinov2 or own.

    None takes Inception where its weights are named or at hand, and else the classifier of the reference data, which
    needs no download; only a network that is asked for by its name is downloaded. Of sounds there is the own one only.

    Raises:
      UserError: no such network, settings that it does not have, a network of images for sounds, or a reference of
        statistics without Inception's weights.
    """
    if name is not None and name not in SUFFIX:
        raise unknown("feature network", name, SUFFIX)
    note, place = "", folder() / FILE.name
    if is_sounds(reference.info):
        if name not in (None, "own"):
            raise UserError(f"--features={name}: a network of images, and {reference.name} is of sounds: take own")
        note = "" if name else f"a classifier of {reference.name} itself (figures end in _own)"
        name = "own"
    if name is None:
        at_hand = weights is not None or place.exists() or place.with_suffix(".safetensors").exists()
        advice = f"put {FILE.name} in {place.parent}, or give --features=inception, which downloads {FILE.megabytes} MB"
        if not at_hand and reference.info is None:
            raise UserError(f"statistics as a reference need Inception's weights, which are not at hand: {advice}")
        name = "inception" if at_hand else "own"
        if not at_hand:
            note = f"a classifier of {reference.name} itself (figures end in _own); for Inception's {advice}"
    if name == "own":
        for setting, value in (("weights", weights), ("resize", resize)):
            if value is not None:
                raise UserError(f"--{setting}={value}: the own classifier has none; --features=inception or dinov2 has")
        if reference.info is None:
            raise UserError("--features=own: it is trained on images, and the reference has statistics only")
        return Choice("own", lambda: _own(reference), note)
    network: Callable[..., Network] = inception if name == "inception" else dinov2
    settings = {"weights": weights} | ({} if resize is None else {"resize": resize})
    return Choice(name, lambda: network(**settings), note)


def default_metrics(labelled: bool, info: DataInfo, answered: bool = False, reconstructed: bool = False) -> list[str]:
    """What is measured where no metric is named. labelled: whether the samples were asked for by class. info: the
    data's, which may be sounds, or points [n, d]. answered: whether it is known what should have come of them.
    reconstructed: whether sample i is to be like image i of the reference."""
    if is_sounds(info):
        return ["fad", "kid", "prdc"]
    if len(info.shape) == 1:
        return ["point_modes", "sample_distance"]
    if reconstructed:
        return ["psnr", "ssim", "fid"]
    known = ["translation_error"] if answered else []
    return [*known, "fid", "kid", "prdc", "label_agreement" if labelled else "modes", "memorization"]


def _own(reference: Reference) -> Network:
    """The classifier of the reference's train split."""
    split = reference.get(reference.split if reference.why_not("train") else "train")
    x, label = split.some(max(1, min(OWN_IMAGES, OWN_BYTES // split.example_bytes)))
    return own_sounds(x, label) if is_sounds(split.info) else own(x, label)
