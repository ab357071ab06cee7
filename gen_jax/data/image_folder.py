"""A folder of images, or a .tar or .zip of one: the user's own data."""

import logging
from typing import Any

import numpy as np

from gen_jax.data.files import Files, open_files
from gen_jax.data.images import decode
from gen_jax.data.layout import Layout, read_layout
from gen_jax.data.memory import InMemory
from gen_jax.data.scan import Scan, listing, scan
from gen_jax.errors import UserError, unknown
from gen_jax.types import DataInfo, Source

log = logging.getLogger("gen_jax")


def image_folder(
    split: str = "train",
    *,
    path: str,
    resolution: int | None = None,
    channels: int | None = None,
    on_error: str = "refuse",
    cache_mb: int = 1024,
) -> Source:
    """Images whose classes are the folders they lie in, or without labels where there are no folders.

    Fields: x uint8 [h, w, c], and label int32 if there are classes. Class names are the sorted names of the folders. If
    the first level is train/ and test/ (or val/), those are the splits; otherwise everything is the train split.

    Args:
      path: a folder; a .tar or .zip, read in place; or a .tar.gz, .tar.xz or .tar.bz2, which is held in memory.
      resolution: crops the central square and resizes it. None: all images must have one size.
      channels: 1 or 3. None: 3, unless all images are grey.
      on_error: "refuse" data with broken files, or "skip" them.
      cache_mb: decoded images are kept if they fit in this many megabytes, otherwise decoded on access.

    Raises:
      UserError: nothing at `path`; no images; a class without images; broken files; several sizes and no resolution.
    """
    files = open_files(str(path))
    layout = read_layout(files)
    layout.split(path, split)
    return read_images(files, layout, split, resolution, channels, on_error, cache_mb)[0]


def read_images(
    files: Files,
    layout: Layout,
    split: str,
    resolution: int | None = None,
    channels: int | None = None,
    on_error: str = "refuse",
    cache_mb: int = 1024,
) -> tuple[Source, list[str]]:
    """The images of a split and their names, in order; arguments and errors are those of image_folder."""
    found = scan_split(files, layout, split, resolution, channels, on_error, cache_mb)
    if why := refusal(files, layout, split, found, resolution, on_error):
        raise UserError(why)
    skipped = [*layout.strays[split], *(found.names[i] for i in found.broken)]
    if skipped:
        count = _count(layout, split)
        log.warning("%s: skipped %d of %d images: %s", files.path, len(skipped), count, listing(skipped))
    whole = np.flatnonzero(found.whole)
    label = np.asarray([label for _, label in layout.splits[split]], np.int32)[whole] if layout.class_names else None
    info = DataInfo(found.shape(resolution, channels), layout.class_names)
    names = [found.names[i] for i in whole]
    if found.pixels is None:
        return ImageFiles(info, files, names, label, resolution), names
    x = np.empty((len(whole), *info.shape), np.uint8)
    for to, image in enumerate(image for image in found.pixels if image is not None):
        x[to] = image  # a grey picture among coloured ones is repeated over the channels
    return InMemory(info, {"x": x} if label is None else {"x": x, "label": label}), names


class ImageFiles:
    """The Source of images that are decoded on access. Safe to read from several threads."""

    def __init__(
        self, info: DataInfo, files: Files, names: list[str], label: np.ndarray | None, resolution: int | None
    ):
        self.info = info
        self._files, self._names, self._label, self._resolution = files, names, label, resolution

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> dict[str, Any]:
        name = self._names[index]
        try:
            x, *_ = decode(self._files.read(name), self._resolution, self.info.shape[-1])
        except Exception as error:  # it was whole when it was scanned
            raise UserError(f"{self._files.path}: {name} can no longer be read: {error}") from error
        return {"x": x} if self._label is None else {"x": x, "label": self._label[index]}


def scan_split(
    files: Files,
    layout: Layout,
    split: str,
    resolution: int | None,
    channels: int | None,
    on_error: str = "refuse",
    cache_mb: int = 1024,
) -> Scan:
    """Decodes all images of a split once. Raises UserError for arguments that are out of range."""
    if channels not in (None, 1, 3):
        raise UserError(f"channels={channels}: must be 1 or 3")
    if resolution is not None and resolution < 1:
        raise UserError(f"resolution={resolution}: must be 1 or more")
    if on_error not in ("refuse", "skip"):
        raise unknown("on_error", on_error, ["refuse", "skip"])
    return scan(files, [name for name, _ in layout.splits[split]], resolution, channels, cache_mb)


def refusal(files: Files, layout: Layout, split: str, found: Scan, resolution: int | None, on_error: str) -> str:
    """Why training on this split is refused, in one line with all that is wrong; empty if it is not."""
    faults = []
    bad = [f"{found.names[i]} ({why})" for i, why in found.broken.items()]
    if bad and on_error == "refuse":
        faults.append(f"{len(bad)} broken images: {listing(bad)}; mend them or give --config.data.on_error=skip")
    if (strays := layout.strays[split]) and on_error == "refuse":
        faults.append(f"{len(strays)} images beside the class folders: {listing(strays)}; move them, or on_error=skip")
    if split == "train" and (empty := layout.empty_classes(split)):
        faults.append(f"class folders without images: {listing(empty)}; fill or remove them")
    if not found.whole.any():
        faults.append("no image is left")
    if resolution is None and (why := found.size_refusal()):
        faults.append(why)
    return f"{files.path}: {'; '.join(faults)}" if faults else ""


def _count(layout: Layout, split: str) -> int:
    return len(layout.splits[split]) + len(layout.strays[split])
