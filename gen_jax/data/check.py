"""Looks a data set over before training: every fault at once, and what training will make of it."""

import collections
import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np

import gen_jax.data
from gen_jax.build import build
from gen_jax.data.files import open_files
from gen_jax.data.image_folder import refusal, scan_split
from gen_jax.data.layout import Layout, read_layout
from gen_jax.data.load import load
from gen_jax.data.scan import Scan
from gen_jax.errors import UserError
from gen_jax.types import DataInfo

UNBALANCED = 10
"""A class with this many times fewer examples than the largest is reported."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """What is wrong with `where`, a file, a class or a split. Training refuses the data, unless it is only a note."""

    where: str
    what: str
    note: bool = True

    def __str__(self) -> str:
        return f"{'note ' if self.note else 'FAULT'}  {self.where}: {self.what}"


@dataclasses.dataclass
class Report:
    """The outcome of `check`. Printed, it is the report for people.

    examples: per split how many there are. counts: per split and class. refused: why training would refuse the data,
    empty if it would run."""

    source: str
    arguments: dict[str, Any]
    faults: list[Fault] = dataclasses.field(default_factory=list)
    plan: list[str] = dataclasses.field(default_factory=list)
    examples: dict[str, int] = dataclasses.field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    counts: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    refused: str = ""

    @property
    def ok(self) -> bool:
        """Whether training would run on the data as given."""
        return not self.refused

    def command(self) -> str:
        """The command that trains on the data."""
        config = {"digits": "configs/quickstart.py", "image_folder": "configs/quickstart.py:folder"}.get(self.source)
        if self.source == "pairs" and "path" in self.arguments:
            config = f"configs/gan/{'pix2pix' if self.arguments.get('paired', True) else 'cyclegan'}.py:folder"
        if config is None:
            spec = {"name": self.source, **self.arguments}
            return f"in a config: data = {spec}"
        flags = [f"--config.data.{name}={value}" for name, value in self.arguments.items()]
        return " ".join(["python -m gen_jax.main", f"--config={config}", *flags, "--workdir=runs/my-data"])

    def __str__(self) -> str:
        lines = [str(fault) for fault in sorted(self.faults, key=lambda f: f.note)]
        lines += ["", *_table(self.counts)] if any(self.counts.values()) else []
        lines += ["", *self.plan]
        lines += [f"To train:  {self.command()}"] if self.ok else []
        return "\n".join(lines).strip("\n")


def check(source: str = "image_folder", split: str | None = None, **arguments: Any) -> Report:
    """Checks the data set `source` with these arguments (those of its function); `split` None checks all splits.

    Raises:
      UserError: there are no data to look at: unknown source or argument, nothing at the path, no image in it.
    """
    report = Report(source, arguments)
    (_check_folder if source == "image_folder" else _check_any)(report, split)
    for name, counts in report.counts.items():
        report.faults += _class_faults(name, counts)
    if len(set(report.shapes.values())) > 1:
        shapes = ", ".join(f"{s} {list(shape)}" for s, shape in report.shapes.items())
        report.refused = report.refused or f"splits of several shapes: {shapes}; give resolution and channels"
    return report


def _check_folder(report: Report, split: str | None) -> None:
    build(gen_jax.data, {"name": "image_folder", **report.arguments})  # refuses unknown arguments
    given = report.arguments
    resolution, channels = given.get("resolution"), given.get("channels")
    on_error = given.get("on_error", "refuse")
    files = open_files(given.get("path", ""))
    layout = read_layout(files)
    if split is not None:
        layout.split(files.path, split)
    report.faults += [Fault(name, "not an image by its name, ignored") for name in layout.ignored]
    seen: dict[bytes, str] = {}
    for s in [split] if split else layout.splits:
        found = scan_split(files, layout, s, resolution, channels, on_error, given.get("cache_mb", 1024))
        report.examples[s] = int(found.whole.sum())
        report.counts[s] = _folder_counts(layout, s, found)
        report.faults += _folder_faults(layout, s, found, resolution, on_error)
        report.faults += _duplicates(found.names, found.digest, found.whole, seen)
        why = refusal(files, layout, s, found, resolution, on_error)
        report.refused = report.refused or why
        if not why:
            report.shapes[s] = found.shape(resolution, channels)
            report.plan += _folder_plan(report, s, found, resolution, len(layout.strays[s]))


def _folder_counts(layout: Layout, split: str, found: Scan) -> dict[str, int]:
    labels = np.asarray([label for _, label in layout.splits[split]], int)[found.whole]
    counts = np.bincount(labels, minlength=len(layout.class_names)).tolist()
    return dict(zip(layout.class_names, counts, strict=True)) if layout.class_names else {}


def _folder_faults(layout: Layout, split: str, found: Scan, resolution: int | None, on_error: str) -> Iterator[Fault]:
    skip = on_error == "skip"
    suffix = ", skipped" if skip else ""
    for i, why in found.broken.items():
        yield Fault(found.names[i], why + suffix, note=skip)
    for name in layout.strays[split]:
        yield Fault(name, "lies beside the class folders" + suffix, note=skip)
    for name in layout.empty_classes(split):
        yield Fault(f"{split}, class {name}", "has no images", note=split != "train")
    (height, width), *others = [size for size, _ in found.sizes()] or [(0, 0)]
    if others and resolution is None:
        for (h, w), names in found.sizes()[1:]:
            yield from (Fault(n, f"is {w}x{h}, and most are {width}x{height}", note=False) for n in names)
    modes = collections.Counter(found.mode[found.whole].tolist()).most_common()
    for i in np.flatnonzero(found.whole).tolist():
        if found.mode[i] != modes[0][0]:
            yield Fault(found.names[i], f"has mode {found.mode[i]}, and most have {modes[0][0]}; it is converted")


def _folder_plan(report: Report, split: str, found: Scan, resolution: int | None, strays: int) -> Iterator[str]:
    shape = report.shapes[split]
    yield _summary(report, split)
    if resolution is not None:
        resized = int((found.size[found.whole] != resolution).any(axis=1).sum())
        enlarged = int((found.size[found.whole].min(axis=1) < resolution).sum())
        yield f"  {resized} are cropped to their central square and resized, {enlarged} of them enlarged"
    if converted := int((found.mode[found.whole] != ("L" if shape[-1] == 1 else "RGB")).sum()):
        yield f"  {converted} are converted to {'grey' if shape[-1] == 1 else 'RGB, transparency laid on white'}"
    if len(found.broken) + strays:
        yield f"  {len(found.broken) + strays} files are skipped"
    held = "are kept in memory" if found.pixels is not None else "don't fit in cache_mb and are decoded on access"
    yield f"  decoded, they take {np.prod(shape) * report.examples[split] / 2**20:.1f} MB and {held}"


def _check_any(report: Report, split: str | None) -> None:
    seen: dict[bytes, str] = {}
    for s in [split] if split else ["train", "test"]:
        try:
            source = load({"name": report.source, **report.arguments}, s)
        except UserError as error:
            if s == "test" and split is None:  # training does without one
                report.faults.append(Fault("test split", f"{error}"))
                continue
            raise
        report.examples[s], report.shapes[s] = len(source), source.info.shape
        report.counts[s] = {}
        report.plan.append(_summary(report, s) + _conditions(source.info))
        if (take := getattr(source, "take", None)) is None:
            continue  # reading it all could take hours
        digests: list[bytes] = []
        labels: list[int] = []
        for start in range(0, len(source), 1024):
            found = take(np.arange(start, min(start + 1024, len(source))))
            digests += [hashlib.blake2b(x.tobytes(), digest_size=16).digest() for x in found["x"]]
            labels += found["label"].tolist() if "label" in found else []
        if labels:
            counts = np.bincount(labels, minlength=source.info.num_classes).tolist()
            report.counts[s] = dict(zip(source.info.class_names, counts, strict=True))
        names = [f"{s} example {i}" for i in range(len(source))]
        report.faults += _duplicates(names, digests, np.ones(len(source), bool), seen)


def _duplicates(names: Any, digests: Any, whole: np.ndarray, seen: dict[bytes, str]) -> Iterator[Fault]:
    """Examples equal to an earlier one, byte for byte. `seen` is carried from split to split."""
    for i in np.flatnonzero(whole):
        first = seen.setdefault(bytes(digests[i]), names[i])
        if first != names[i]:
            yield Fault(names[i], f"is the same as {first}")


def _class_faults(split: str, counts: dict[str, int]) -> Iterator[Fault]:
    used = {name: count for name, count in counts.items() if count}
    if len(counts) == 1:
        yield Fault(f"{split}, class {next(iter(counts))}", "is the only class")
    for name, count in used.items():
        if count == 1:
            yield Fault(f"{split}, class {name}", "has one image only")
        elif count * UNBALANCED <= max(used.values()):
            yield Fault(
                f"{split}, class {name}", f"has {count} images, and the largest {max(used.values())}: unbalanced"
            )


def _summary(report: Report, split: str) -> str:
    return f"{split}: {report.examples[split]:,} examples of shape {list(report.shapes[split])}"


def _conditions(info: DataInfo) -> str:
    """What else an example has."""
    fields = ", ".join(f"{name} {list(shape)}" for name, (shape, _) in info.conditions.items())
    return (f", with {fields}" if fields else "") + ("" if info.paired else " of another example (not paired)")


def _table(counts: dict[str, dict[str, int]]) -> Iterator[str]:
    names = list(dict.fromkeys(name for by_class in counts.values() for name in by_class))
    width = max(len("class"), *map(len, names))
    yield f"{'class':<{width}}" + "".join(f"{split:>10}" for split in counts)
    for name in names:
        yield f"{name:<{width}}" + "".join(f"{by_class.get(name, 0):>10,}" for by_class in counts.values())
