"""Where samples go: one picture, arrays, a folder of images, or a film."""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from gen_jax.errors import UserError
from gen_jax.training import writers
from gen_jax.types import DataInfo

FILMS = (".gif", ".webp")


def check_out(out: str | Path | None, overwrite: bool, film: bool) -> Path | None:
    """Where to write, known to be possible before anything is drawn."""
    if out is None:
        return None
    path = Path(out)
    if path.suffix in FILMS and not film:
        raise UserError(f"--out={out}: a film shows what a task moves; give --task=interpolate, or a .png")
    if path.suffix not in ("", ".png", ".npz", *FILMS) or (path.suffix and str(out).endswith("/")):
        raise UserError(f"--out={out}: give a .png (one grid), an .npz (arrays), or a folder/ (one PNG per sample)")
    taken = any(path.iterdir()) if path.is_dir() else path.exists()
    if taken and (path.is_dir() if path.suffix else not path.is_dir()):
        raise UserError(f"--out={out}: there is a {'folder' if path.is_dir() else 'file'} of that name already")
    if taken and not overwrite:
        raise UserError(f"--out={out} is there already; take another name, or --overwrite")
    # The folders that are missing are made when there is something to put in them.
    there = next(p for p in path.absolute().parents if p.exists())
    try:
        with tempfile.TemporaryFile(dir=path if path.is_dir() else there):
            pass
    except OSError as error:
        raise UserError(f"--out={out} cannot be written: {error.strerror or error}") from error
    return path


def write_samples(path: Path, samples: dict[str, np.ndarray], info: DataInfo) -> None:
    """Writes samples in the form that the name asks for."""
    (path.parent if path.suffix else path).mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npz":
        partial = path.with_name(f".{path.name}.tmp.npz")
        np.savez_compressed(partial, **samples)  # type: ignore[arg-type]
        partial.replace(path)
    elif path.suffix == ".png":
        writers.save_png(path, writers.picture(samples, info.num_classes))
    else:
        for i, x in enumerate(samples["x"]):
            # a class name may hold a slash, a folder's name may not
            folder = path / info.class_names[samples["label"][i]].replace("/", "_") if "label" in samples else path
            folder.mkdir(exist_ok=True)
            Image.fromarray(x.squeeze(-1) if x.shape[-1] == 1 else x).save(folder / f"{i:06d}.png")


def write_sheet(path: Path, x: np.ndarray, columns: int, arrays: Mapping[str, np.ndarray], film: bool) -> None:
    """Writes what a task shows: all in one picture, as arrays, an image each, or a frame of a film for each column.

    x: uint8 [rows * columns, h, w, c], row by row. arrays: further ones, for an .npz.

    Raises:
      UserError: a film of what is none.
    """
    if path.suffix in FILMS and not film:
        raise UserError(f"--out={path}: nothing moves in what this task shows; write it to a .png")
    if path.suffix not in (".png", *FILMS):
        write_samples(path, {"x": x, **(arrays if path.suffix else {})}, DataInfo(x.shape[1:]))
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        writers.save_png(path, writers.make_grid(x, columns))
        return
    across = math.ceil(math.sqrt(len(x) // columns))
    frames = [Image.fromarray(writers.make_grid(x[i::columns], across, cell=96)) for i in range(columns)]
    partial = path.with_name(f".{path.stem}.tmp{path.suffix}")
    # there and back again
    frames[0].save(partial, save_all=True, append_images=[*frames[1:], *frames[-2:0:-1]], duration=100, loop=0)
    partial.replace(path)
