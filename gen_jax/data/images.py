"""One image file: from its bytes to an array of the size and the channels asked for."""

import io

import numpy as np
from PIL import Image, ImageOps

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
SIXTEEN_BIT = ("I;16", "I;16L", "I;16B", "I;16N", "I")


def decode(
    data: bytes, resolution: int | None = None, channels: int | None = None
) -> tuple[np.ndarray, str, tuple[int, int]]:
    """Decodes an image as a viewer shows it: turned as its EXIF says, laid on white where it is transparent.

    Args:
      data: the file's bytes. Of an animation the first frame is taken.
      resolution: crops the largest central square and resizes it (Lanczos, antialiased); None keeps the size.
      channels: 1 (grey) or 3; None gives 1 where the file is grey and 3 where it has colours.

    Returns:
      uint8 [h, w, c]; the file's own mode as Pillow names it ("RGB", "L", "P", "RGBA", "CMYK", "I;16", ...); and
      its own size (height, width) as shown.

    Raises:
      Exception: of Pillow's many kinds, for bytes that are not a whole image.
    """
    with Image.open(io.BytesIO(data)) as file:
        mode = file.mode
        file.load()
        ImageOps.exif_transpose(file, in_place=True)
        image = _eight_bit(file)
    size = (image.height, image.width)
    if channels is not None:
        image = _convert(image, "L" if channels == 1 else "RGB")
    if resolution is not None:
        image = _square(image, resolution)
    array = np.asarray(image)
    return (array if array.ndim == 3 else array[..., None]), mode, size


def _eight_bit(image: Image.Image) -> Image.Image:
    """As mode L where it is grey, as RGB otherwise."""
    if image.mode in SIXTEEN_BIT:  # Pillow's own conversion clips at 255
        values = np.clip(np.asarray(image).astype(np.float32) / 257, 0, 255)
        return Image.fromarray(np.round(values).astype(np.uint8))
    grey = image.mode in ("L", "LA", "La", "1")
    if image.mode in ("LA", "La", "RGBA", "RGBa", "PA") or "transparency" in image.info:
        front = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", front.size, "white"), front)
    return _convert(image, "L" if grey else "RGB")


def _convert(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # Pillow copies even when there is nothing to do


def _square(image: Image.Image, resolution: int) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side))
    return image if side == resolution else image.resize((resolution, resolution), Image.Resampling.LANCZOS)
