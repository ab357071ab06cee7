"""The evaluations' figures as columns: each filled with figures of equal receipts only.

A receipt (evals/receipts.py) is what makes a figure comparable: its metric, the feature network, the data, the counts.
Of a run's evaluations the ones of the latest checkpoint come first, of those the newest; an older one is taken where
the other runs have none with its receipt. Where no choice makes all receipts equal the column stays empty and a note
says in what they differ. A run without the figure leaves only its own cell empty.
"""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from gen_jax.evals.choose import SUFFIX
from gen_jax.evals.receipts import differences
from gen_jax.report.runs import Entry
from gen_jax.report.table import HIGH, LOW, Cell, Column

SUFFIXES = tuple(filter(None, SUFFIX.values()))


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is known of a figure: the section of its table, a label, which way is better, and what it means."""

    section: str
    label: str
    better: str
    meaning: str


QUALITY, DIVERSITY, COPIES, OTHER = "quality", "diversity", "copies", "other"
KINDS = {
    "fid": Kind(QUALITY, "FID", LOW, "Fréchet distance of normal distributions of features; 0: the same"),
    "fid_infinity": Kind(QUALITY, "FID∞", LOW, "FID followed to endlessly many samples"),
    "kid": Kind(QUALITY, "KID", LOW, "squared discrepancy of features' moments up to the third, unbiased; 0: the same"),
    "fad": Kind(QUALITY, "FAD", LOW, "Fréchet distance of features of sounds; 0: the same"),
    "mmd": Kind(QUALITY, "MMD", LOW, "squared discrepancy of features under a Gaussian kernel, unbiased; 0: the same"),
    "sliced_wasserstein": Kind(QUALITY, "SWD", LOW, "distance of pixels along random directions, in grey levels"),
    "inception_score": Kind(QUALITY, "IS", HIGH, "Inception score: sure of each sample, and of many classes"),
    "agreement": Kind(QUALITY, "read as asked", HIGH, "share of samples that a classifier reads as asked"),
    "classifier_accuracy": Kind(QUALITY, "of real images", "", "the same of held-out images, read as what they are"),
    "bits_per_dim_ode": Kind(QUALITY, "bits/dim, ODE", LOW, "code length of held-out images by the density of the ODE"),
    "bits_per_dim_elbo": Kind(QUALITY, "bits/dim, bound", LOW, "code length of held-out images by the bound"),
    "bits_per_dim_iw": Kind(QUALITY, "bits/dim, IW", LOW, "code length of held-out images, importance-weighted"),
    "nats_elbo": Kind(QUALITY, "nats, bound", LOW, "negative log likelihood of held-out images by the bound"),
    "nats_iw": Kind(QUALITY, "nats, IW", LOW, "negative log likelihood of held-out images, importance-weighted"),
    "ppl": Kind(QUALITY, "PPL", LOW, "perceptual path length: how smoothly images follow the latent"),
    "psnr": Kind(QUALITY, "PSNR (dB)", HIGH, "signal to error of images against their originals"),
    "ssim": Kind(QUALITY, "SSIM", HIGH, "likeness of images' structure to their originals'; 1: the same"),
    "lpips": Kind(QUALITY, "LPIPS", LOW, "distance of images' features to their originals'"),
    "translation_error": Kind(QUALITY, "translation error", LOW, "distance of translations to the true ones"),
    "precision": Kind(DIVERSITY, "precision", HIGH, "share of samples that lie where data are"),
    "recall": Kind(DIVERSITY, "recall", HIGH, "share of data within the samples' reach"),
    "density": Kind(DIVERSITY, "density", HIGH, "in how many data's neighbourhoods a sample lies; about 1 for data"),
    "coverage": Kind(DIVERSITY, "coverage", HIGH, "share of data's neighbourhoods that hold a sample"),
    "modes": Kind(DIVERSITY, "modes", HIGH, "how many of the data's modes (classes) a classifier reads in the samples"),
    "point_modes": Kind(DIVERSITY, "modes of points", HIGH, "how many of the data's modes (classes) samples lie upon"),
    "sample_distance": Kind(DIVERSITY, "distance of samples", "", "mean distance of two samples over that of two data"),
    "classes_read": Kind(DIVERSITY, "classes read", HIGH, "how many classes a classifier reads in the samples"),
    "vendi": Kind(DIVERSITY, "Vendi", HIGH, "effective number of different samples"),
    "cas": Kind(DIVERSITY, "CAS", HIGH, "accuracy on real images of a classifier trained on samples"),
    "cas_real": Kind(DIVERSITY, "CAS of data", "", "the same of a classifier trained on as many real images"),
    "authenticity": Kind(COPIES, "authenticity", "", "share of samples that are no near copies of training images"),
    "authenticity_test": Kind(COPIES, "authenticity, held-out", "", "the same of held-out images, no copies"),
    "distance_ratio": Kind(COPIES, "distance ratio", "", "distance to training images over held-out images'"),
    "exact_copies": Kind(COPIES, "exact copies", LOW, "share of samples equal to a training image"),
    "two_sample_accuracy": Kind(COPIES, "two-sample", "", "how often neighbours tell samples from held-out images"),
}
"""Figures that have a place. Others stand under `other`, by their own name."""
DETAILS = (
    *("classifier_examples", "cas_examples", "distance_median", "distance_median_test"),
    *("two_sample_accuracy_real", "two_sample_accuracy_samples"),
)
"""What stays in evals.json, with all whose name has a slash: parts of other figures."""


@dataclasses.dataclass(frozen=True)
class Chosen:
    """A figure of every run that has it, all of equal receipts. by_run: (value, receipt); empty where `refused` says
    why they cannot stand in one column."""

    name: str
    by_run: Mapping[str, tuple[float, Mapping[str, Any]]]
    refused: str = ""

    @property
    def kind(self) -> Kind:
        base, suffix = split(self.name)
        known = KINDS.get(base, Kind(OTHER, base, "", ""))
        return dataclasses.replace(known, label=f"{known.label}{suffix}")


def split(name: str) -> tuple[str, str]:
    """A figure's name without the ending that tells its network, and that ending."""
    suffix = next((s for s in SUFFIXES if name.endswith(s)), "")
    return name.removesuffix(suffix), suffix


def choose(entries: Sequence[Entry]) -> list[Chosen]:
    """Every figure that any run has, in the order of KINDS, matched over the runs."""
    names = dict.fromkeys(n for e in entries for found in _ordered(e) for n in found["figures"])
    names = {n: None for n in names if "/" not in n and n not in DETAILS}
    order = {base: i for i, base in enumerate(KINDS)}
    ranked = sorted(names, key=lambda n: (order.get(split(n)[0], len(order)), n))
    return [_match(name, entries) for name in ranked]


def columns(chosen: Sequence[Chosen], section: str) -> list[Column]:
    """The columns of a section."""
    return [Column(c.name, c.kind.label, "", c.kind.better) for c in chosen if c.kind.section == section]


def cells(chosen: Sequence[Chosen], entry: Entry) -> dict[str, Cell]:
    """A run's cells, by the figure's name."""
    return {c.name: Cell(c.by_run[entry.name][0]) for c in chosen if entry.name in c.by_run}


def _match(name: str, entries: Sequence[Entry]) -> Chosen:
    candidates = {e.name: [f["figures"] for f in _ordered(e) if name in f["figures"]] for e in entries}
    candidates = {run: found for run, found in candidates.items() if found}
    first, *others = candidates
    for base in candidates[first]:
        picked = {first: base}
        for other in others:
            equal = (c for c in candidates[other] if not differences(base[name]["receipt"], c[name]["receipt"]))
            if (match := next(equal, None)) is not None:
                picked[other] = match
        if len(picked) == len(candidates):
            by_run = {run: (f[name]["value"], f[name]["receipt"]) for run, f in picked.items()}
            return Chosen(name, by_run)
    return Chosen(name, {}, _refusal(name, {run: found[0][name] for run, found in candidates.items()}))


def _refusal(name: str, newest: Mapping[str, Mapping[str, Any]]) -> str:
    """In what the runs' newest figures differ, in one line."""
    said = []
    for a, b in itertools.combinations(newest, 2):
        if found := differences(newest[a]["receipt"], newest[b]["receipt"]):
            said.append(f"{a} and {b} differ in {'; '.join(found)}")
    return f"{name} is not filled, since its figures do not compare: {'. '.join(said)}"


def _ordered(entry: Entry) -> list[Mapping[str, Any]]:
    """A run's evaluations, those of the latest checkpoint first, of these the newest first."""
    newest_first = list(reversed(entry.evaluations))
    return sorted(newest_first, key=_checkpoint, reverse=True)


def _checkpoint(evaluation: Mapping[str, Any]) -> int:
    steps = [f["receipt"].get("checkpoint") or 0 for f in evaluation["figures"].values()]
    return max(steps, default=0)
