"""Decodes every image of a folder once, to find all faults before training starts and not one after another in it."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from gen_jax.data.files import Files
from gen_jax.data.images import decode

SHOWN = 10
"""How many files an error names before it only counts the rest."""

CHUNK = 64


@dataclasses.dataclass(frozen=True)
class Scan:
    """What decoding found out about each of n files, in the order of `names`.

    size: int [n, 2], height and width as shown, 0 where the file is broken. mode: the file's own. grey: it has one
    channel. digest: of the bytes. broken: by position, what is wrong with the file. pixels: the decoded images, uint8
    [h, w, c] each and None where broken, if all fit in the memory allowed."""

    names: tuple[str, ...]
    size: np.ndarray
    mode: np.ndarray
    grey: np.ndarray
    digest: np.ndarray
    broken: dict[int, str]
    pixels: list[np.ndarray | None] | None

    @property
    def whole(self) -> np.ndarray:
        """bool [n]: the files that could be decoded."""
        return self.size[:, 0] > 0

    def shape(self, resolution: int | None, channels: int | None) -> tuple[int, int, int]:
        """The shape [h, w, c] that all images get, if they have one size or are given a resolution."""
        height, width = (resolution, resolution) if resolution else self.sizes()[0][0]
        return height, width, channels or (1 if self.grey[self.whole].all() else 3)

    def sizes(self) -> list[tuple[tuple[int, int], list[str]]]:
        """The sizes (height, width) that occur with the files that have them, the most frequent first."""
        by_size = collections.defaultdict(list)
        for i in np.flatnonzero(self.whole):
            by_size[tuple(self.size[i].tolist())].append(self.names[i])
        return sorted(by_size.items(), key=lambda item: -len(item[1]))

    def size_refusal(self) -> str:
        """Why the images can't be used in their own sizes; empty if they can, because all have the same."""
        sizes = self.sizes()
        if len(sizes) < 2:
            return ""
        listed = "; ".join(f"{w}x{h}: {listing(names, 2)}" for (h, w), names in sizes[:4])
        more = f"; and {len(sizes) - 4} more sizes" if len(sizes) > 4 else ""
        return f"images have {len(sizes)} sizes ({listed}{more}); crop and resize them, --config.data.resolution=64"


def listing(names: Sequence[str], shown: int = SHOWN) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def scan(files: Files, names: Iterable[str], resolution: int | None, channels: int | None, cache_mb: int) -> Scan:
    """Decodes `names`, with threads, and keeps the pixels if they fit in `cache_mb` megabytes.

    Where they don't, the findings are kept on disk (XDG_CACHE_HOME, or ~/.cache), so that the next run with the same
    files need not decode them all again.
    """
    names = tuple(names)
    stored = _stored_at(files, names)
    if (found := _load(stored, names)) and _bytes_needed(found, resolution, channels) > cache_mb * 2**20:
        return found
    found = _decode_all(files, names, resolution, channels, cache_mb * 2**20)
    if found.pixels is None:
        _save(stored, found)
    return found


def _bytes_needed(found: Scan, resolution: int | None, channels: int | None) -> int:
    depth = channels or np.where(found.grey, 1, 3)
    area = found.size.astype(np.int64).prod(axis=1) if resolution is None else resolution**2 * found.whole
    return int((area * depth).sum())


def _decode_all(
    files: Files, names: tuple[str, ...], resolution: int | None, channels: int | None, budget: int
) -> Scan:
    n = len(names)
    size, mode = np.zeros((n, 2), np.int32), np.full(n, "", "U8")
    grey, digest = np.zeros(n, bool), np.zeros(n, "S32")
    broken: dict[int, str] = {}
    pixels: list[np.ndarray | None] = []
    held, keep = 0, True

    def one(i: int) -> np.ndarray | None:
        try:
            data = files.read(names[i])
            image, mode[i], size[i] = decode(data, resolution, channels)
        except Exception as error:  # whatever Pillow, zipfile or the disk finds wrong with this file
            broken[i] = _reason(error)
            return None
        grey[i] = mode[i] in ("1", "L", "LA", "La") or mode[i].startswith("I")
        digest[i] = hashlib.blake2b(data, digest_size=16).hexdigest().encode()
        return image

    def chunk(start: int) -> list[np.ndarray | None]:
        images = [one(i) for i in range(start, min(start + CHUNK, n))]
        return images if keep else []

    with concurrent.futures.ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:
        for images in pool.map(chunk, range(0, n, CHUNK)):
            held += sum(image.nbytes for image in images if image is not None)
            keep = keep and held <= budget
            if keep:
                pixels += images
            else:
                pixels.clear()
    return Scan(names, size, mode, grey, digest, dict(sorted(broken.items())), pixels if keep else None)


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if "cannot identify image file" in text:
        return "not an image"
    if "truncated" in text.lower():
        return f"truncated or corrupt ({text})"
    return f"cannot be decoded ({type(error).__name__}: {text})"


def _stored_at(files: Files, names: tuple[str, ...]) -> Path:
    key = hashlib.blake2b("\n".join([files.path, files.stamp, *names]).encode(), digest_size=16).hexdigest()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "gen_jax" / f"scan-1-{key}.npz"


def _save(path: Path, found: Scan) -> None:
    fields = {name: getattr(found, name) for name in ("size", "mode", "grey", "digest")}
    fields |= {"broken_at": np.asarray(list(found.broken), int), "broken": np.asarray(list(found.broken.values()), "U")}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # written aside and renamed, so that another process never reads half of it
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            np.savez(file, **fields)
        Path(file.name).replace(path)
    except OSError:
        return  # a home that can't be written to costs time at the next start and nothing else


def _load(path: Path, names: tuple[str, ...]) -> Scan | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            broken = dict(zip(stored["broken_at"].tolist(), stored["broken"].tolist(), strict=True))
            return Scan(names, stored["size"], stored["mode"], stored["grey"], stored["digest"], broken, None)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
