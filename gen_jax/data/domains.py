"""The two domains, A and B, of a folder of images: in folders of their own, or side by side in each image."""

import dataclasses
import io
from pathlib import PurePosixPath

from PIL import Image, ImageOps

from gen_jax.data.files import Files, open_files
from gen_jax.data.image_folder import read_images
from gen_jax.data.images import EXTENSIONS
from gen_jax.data.layout import TEST_NAMES, Layout
from gen_jax.data.scan import listing
from gen_jax.errors import UserError
from gen_jax.types import Source

SPLITS = {"train": "train"} | dict.fromkeys(TEST_NAMES, "test")
EXPECTED = "trainA/ and trainB/, A/ and B/, or images twice as wide as high that show both side by side"


@dataclasses.dataclass(frozen=True)
class Domain:
    """One domain, "A" or "B", and its images."""

    name: str
    source: Source


def read_domains(
    path: str,
    split: str,
    resolution: int | None,
    channels: int | None,
    on_error: str,
    cache_mb: int,
    paired: bool,
) -> tuple[tuple[Domain, Domain], bool]:
    """Both domains of a split, and whether image i of one is the partner of image i of the other.

    Raises:
      UserError: no images, only one domain, no such split, images that cannot be used, or, with `paired`, an image
        without its partner.
    """
    files = open_files(path)
    images = [name for name in files.names if name.lower().endswith(EXTENSIONS)]
    if not images:
        raise UserError(f"{path}: no images in it; expected {EXPECTED}")
    places = {name: place(name) for name in images}
    found = {domain for _, domain in places.values()} - {""}
    if not found:
        files, places = _halved(files, places)
    elif len(found) == 1:
        (one,) = found
        raise UserError(f"{path}: has domain {one} and not the second one, {'B' if one == 'A' else 'A'}: {EXPECTED}")
    by_domain = {d: [n for n, (s, own) in places.items() if own == d and s == split] for d in "AB"}
    for domain, names in by_domain.items():
        if not names:
            known = sorted({s for s, own in places.values() if own == domain})
            raise UserError(f"{path}: domain {domain} has no {split} split; it has: {', '.join(known)}")
    domains, stems = [], []
    for domain, names in by_domain.items():
        layout = Layout({split: [(name, 0) for name in names]}, (), {split: []}, [])
        source, kept = read_images(files, layout, split, resolution, channels, on_error, cache_mb // 2)
        domains.append(Domain(domain, source))
        stems.append([PurePosixPath(name).stem for name in kept])
    matched = stems[0] == stems[1]
    if paired and not matched:
        alone = sorted(set(stems[0]) ^ set(stems[1])) or stems[0]
        raise UserError(
            f"{path}: {len(alone)} images of the {split} split have no partner of the same name in the other domain: "
            f"{listing(alone, 3)}; add it, or give paired=False"
        )
    return (domains[0], domains[1]), matched


def place(name: str) -> tuple[str, str]:
    """The split and the domain of a file by the folders above it: ("test", "B") for x/testB/1.jpg and B/val/1.jpg;
    "train" where no folder says a split, "" where none says a domain."""
    split, domain = "train", ""
    for part in PurePosixPath(name).parent.parts:
        if part in ("A", "B"):
            domain = part
        elif part.lower() in SPLITS:
            split = SPLITS[part.lower()]
        elif part[-1] in "AB" and part[:-1].lower() in SPLITS:
            split, domain = SPLITS[part[:-1].lower()], part[-1]
    return split, domain


def _halved(files: Files, places: dict[str, tuple[str, str]]) -> tuple[Files, dict[str, tuple[str, str]]]:
    """The left and the right halves of all images, as files of their own: A/NAME and B/NAME."""
    wrong = []
    for name in places:
        try:
            with Image.open(io.BytesIO(files.read(name))) as image:
                if image.width != 2 * image.height:
                    wrong.append(f"{name} ({image.width}x{image.height})")
        except Exception:
            continue
    if wrong:
        raise UserError(
            f"{files.path}: no second domain, {len(wrong)} images: {listing(wrong, 3)}; expected {EXPECTED}"
        )

    def read(name: str) -> bytes:
        domain, _, own = name.partition("/")
        with Image.open(io.BytesIO(files.read(own))) as file:
            image = ImageOps.exif_transpose(file)
        left = 0 if domain == "A" else image.width // 2
        half = image.crop((left, 0, left + image.width // 2, image.height))
        out = io.BytesIO()
        (half if half.mode in ("L", "RGB", "RGBA", "P", "LA") else half.convert("RGB")).save(
            out, "png", compress_level=0
        )
        return out.getvalue()

    halves = {f"{domain}/{name}": (split, domain) for domain in "AB" for name, (split, _) in places.items()}
    return dataclasses.replace(files, names=tuple(halves), read=read, stamp=f"halves {files.stamp}"), halves
