"""Metrics computed on samples: inputs are made when a metric asks for them, and every figure gets its receipt."""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from gen_jax.errors import UserError
from gen_jax.evals.choose import SUFFIX, Choice
from gen_jax.evals.features.extract import Features, Network, extract
from gen_jax.evals.features.sounds import is_sounds
from gen_jax.evals.metrics import FEATURED, PAIRED, Metric
from gen_jax.evals.receipts import make_receipt
from gen_jax.evals.reference import Reference
from gen_jax.types import DataInfo


@dataclasses.dataclass(frozen=True)
class Samples:
    """What is evaluated.

    chunks: begins anew at each call, and gives {"x": [b, ...], "label": [b]} (label where there is one), in order.
    count: how many in all. info: their shape and type. facts: what receipts say of how they were made. checkpoint: the
    step that they were drawn at; None: they are another program's. fields: what else chunks have (image, target)."""

    chunks: Callable[[], Iterator[Mapping[str, np.ndarray]]]
    count: int
    info: DataInfo
    facts: Mapping[str, Any]
    checkpoint: int | None = None
    fields: tuple[str, ...] = ()


def evaluate(
    metrics: Sequence[Metric],
    samples: Samples,
    reference: Reference,
    network: Choice | None,
    opened: Any = None,
    lenient: bool = False,
) -> dict[str, Any]:
    """The evaluation of samples, as evals.json holds it.

    Args:
      network: gives features; None: there are none, as the data are no images. opened: the run (training.restore.Run)
        that the samples are of, if they are.
      lenient: leaves a metric out that cannot be computed on these samples, instead of stopping.

    Returns:
      {"figures": {name: {"value", "receipt"}}, "cost": {"sample_seconds", ...}, "left_out": {metric: reason}}

    Raises:
      UserError: a metric cannot be computed (with `lenient`: none can), or samples and reference are of other sizes.
    """
    check_same(samples, reference)
    inputs = Inputs(samples, reference, network, opened)
    figures: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    usable = []
    for metric in metrics:
        why = next(filter(None, map(inputs.why_not, metric.needs)), "")
        if metric.name == "fad" and not is_sounds(samples.info):
            why = "it is of sounds (float32 [n, samples, channels]); of images the same distance is fid"
        if not why:
            usable.append(metric)
        elif lenient:
            left_out[metric.name] = why
        else:
            raise UserError(f"metric {metric.name}: {why}")
    inputs.asked = {name for metric in usable for name in metric.inputs}
    metric_seconds = 0.0
    for metric in usable:
        try:
            given = {name: inputs(name) for name in metric.inputs if name == "label" or not inputs.why_not(name)}
            start = time.perf_counter()
            values = metric(**given)
        except UserError as error:
            if not lenient:
                raise
            left_out[metric.name] = str(error)
            continue
        metric_seconds += time.perf_counter() - start
        receipt = make_receipt(
            metric,
            network=inputs.describe_network() if metric.featured else None,
            data=reference.describe(tuple(given)),
            drawn={"count": samples.count, "dtype": samples.info.dtype, **samples.facts},
            checkpoint=samples.checkpoint,
        )
        for name, value in values.items():
            named = figure_name(name, network.name) if network and metric.featured else name
            if named in figures:
                raise UserError(f"two metrics have a figure {named}, and one of them is {metric.name}: leave one out")
            figures[named] = {"value": value, "receipt": receipt}
    if not figures:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise UserError(f"none of the metrics can be computed: {reasons}")
    cost = {name: round(seconds, 3) for name, seconds in (*inputs.seconds.items(), ("metric_seconds", metric_seconds))}
    return {"figures": figures, "cost": cost, "left_out": left_out}


def figure_name(name: str, network: str) -> str:
    """A figure's name with its network's: fid of the own classifier is fid_own, and fid/low fid_own/low."""
    head, slash, rest = name.partition("/")
    return f"{head}{SUFFIX[network]}{slash}{rest}"


def check_same(samples: Samples, reference: Reference) -> None:
    """Raises UserError where samples and reference images are not of one type, size and number of channels."""
    real = reference.info
    if real is None:
        return
    if samples.info.dtype != real.dtype:
        raise UserError(
            f"the samples are {samples.info.dtype} and {reference.name} is {real.dtype}: one type is needed"
        )
    if samples.info.shape != real.shape:
        raise UserError(
            f"the samples are {_size(samples.info)} and {reference.name} is {_size(real)}: one size and number of "
            "channels is needed"
        )


class Inputs:
    """The inputs of metrics by name (evals/metrics.py), made when one is first asked for.

    Samples are drawn once: before that, `asked` has to hold the names of all inputs that will be asked for, as images
    are kept only where a metric sees them."""

    def __init__(self, samples: Samples, reference: Reference, network: Choice | None, opened: Any):
        self.asked: set[str] = set()
        self.seconds = {"sample_seconds": 0.0, "feature_seconds": 0.0, "reference_seconds": 0.0}
        self._samples, self._reference, self._network, self._run = samples, reference, network, opened

    def why_not(self, name: str) -> str:
        """Why there is no such input; "" where there is."""
        head, _, rest = name.partition("_")
        if name == "run":
            return "" if self._run is not None else "it needs the model, and these are another program's samples"
        if name in PAIRED:
            lacking = "it compares with the known answer, and these samples have none: it is for models of paired data"
            return "" if name in self._samples.fields else lacking
        if name in FEATURED and self._network is None:
            return "it needs features, which are of images (uint8 [n, h, w, c]) or sounds (float32 [n, t, c])"
        if name == "logits" and self._network is not None and (why := self._no_classes(self._network.name)):
            return why
        split = {"real": self._reference.split, "train": "train", "test": "test"}.get(head)
        if split is None or name == "real_statistics":
            return ""
        if why := self._reference.why_not(split):
            return why
        if rest == "label" and not self._reference.get(split).info.num_classes:
            return f"{self._reference.name} has no labels"
        return ""

    def __call__(self, name: str) -> Any:
        """The input. Raises UserError where what it is made of cannot be had."""
        if name == "run":
            return self._run
        if name in ("x", "label", "features", "logits", *PAIRED):
            return self._drawn[name]
        start = time.perf_counter()
        head, _, rest = name.partition("_")
        split = self._reference.split if head == "real" else head
        try:
            if name == "real_statistics":
                return self._reference.statistics(self._loaded())
            if rest == "features":
                return self._reference.features(split, self._loaded()).features
            return self._reference.get(split).arrays[("x", "label").index(rest)]
        finally:
            self.seconds["reference_seconds"] += time.perf_counter() - start

    def describe_network(self) -> dict[str, str]:
        """What receipts say of the network."""
        network = self._loaded()
        return {"network": network.name, "hash": network.hash, "resize": network.resize}

    def _no_classes(self, network: str) -> str:
        if network == "dinov2":
            return "it needs logits, and DINOv2 gives features only: take inception or own"
        info = self._reference.info
        if network == "own" and info is not None and info.num_classes < 2:
            return f"it needs logits, and {self._reference.name} has no labels to train a classifier on"
        return ""

    def _loaded(self) -> Network:
        assert self._network is not None
        return self._network()

    @functools.cached_property
    def _drawn(self) -> dict[str, Any]:
        """What is asked for of the samples: x, label, features and logits, and what they were made from."""
        kept: dict[str, list[np.ndarray]] = {name: [] for name in ("x", *PAIRED)}
        labels: list[np.ndarray] = []
        found = Features(np.zeros((0, 0), np.float32), None)
        featured = bool(self.asked & {"features", "logits"})
        if featured:
            self._loaded()  # not to be counted as the samples' cost

        def chunks() -> Iterator[np.ndarray]:
            source = self._samples.chunks()
            while True:
                start = time.perf_counter()
                chunk = next(source, None)
                self.seconds["sample_seconds"] += time.perf_counter() - start
                if chunk is None:
                    return
                for name in self.asked & set(kept):
                    kept[name].append(chunk[name])
                if "label" in chunk:
                    labels.append(np.asarray(chunk["label"]))
                yield chunk["x"]

        start = time.perf_counter()
        if featured:
            found = extract(self._loaded(), chunks())
            self.seconds["feature_seconds"] = time.perf_counter() - start - self.seconds["sample_seconds"]
        elif self.asked & {"x", "label", *PAIRED}:
            for _ in chunks():
                pass
        return {
            **{name: np.concatenate(chunks) if chunks else None for name, chunks in kept.items()},
            "label": np.concatenate(labels) if labels else None,
            "features": found.features,
            "logits": found.logits,
        }


def _size(info: DataInfo) -> str:
    return "x".join(map(str, info.shape))
