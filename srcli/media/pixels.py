"""Arithmetic on arrays of pixels: turned upright, checked, rounded, flattened, put together."""

from collections.abc import Iterator

import numpy as np

from srcli.errors import BadPicture
from srcli.media.picture import Array, Picture

_STRIP = 512  # rows


def upright(array: Array, orientation: int) -> Array:
    """Apply EXIF orientation 1..8 to (H, W[, C]); anything else is taken as 1."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return np.ascontiguousarray(array)


def spread(array: Array, most: int) -> Array:
    """Return the levels 0 to `most` as 16 bits."""
    levels: Array = (np.minimum(array, most) * (65535 / most) + 0.5).astype(np.uint16)
    return levels


def in_range(array: Array) -> Array:
    array = array.astype(np.float32)
    if not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise BadPicture("floating point pixels outside [0, 1]; scale them to it first")
    return array


def unmultiplied(pixels: Array, alpha: Array) -> Array:
    """Divide by alpha what a file stores multiplied by it."""
    maximum = 1.0 if alpha.dtype == np.float32 else float(np.iinfo(alpha.dtype).max)
    plain = pixels / np.maximum(alpha[..., None] / maximum, 1e-9)
    half = 0.0 if alpha.dtype == np.float32 else 0.5
    return np.minimum(plain + half, maximum).astype(pixels.dtype)


def flattened(pixels: Array, alpha: Array) -> Array:
    white = 1 if pixels.dtype == np.float32 else np.iinfo(pixels.dtype).max
    weight = (alpha / np.float32(white))[..., None].astype(np.float32)
    mixed: Array = pixels * weight + white * (1 - weight)
    rounded: Array = (mixed if pixels.dtype == np.float32 else mixed + 0.5).astype(pixels.dtype)
    return rounded


def reduced(array: Array, depth: int) -> Array:
    """Round to 16 or 8 bits."""
    maximum = 1 if array.dtype == np.float32 else np.iinfo(array.dtype).max
    levels, kind = (255, np.uint8) if depth == 8 else (65535, np.uint16)
    reduced: Array = (np.clip(array, 0, maximum) * (levels / maximum) + 0.5).astype(kind)
    return reduced


def stacked(picture: Picture, rows: slice = slice(None)) -> Array:
    """(H, W, 1 to 4) of all rows or some: colours, then alpha."""
    if picture.alpha is None:
        return picture.pixels[rows]
    return np.concatenate([picture.pixels[rows], picture.alpha[rows, :, None]], axis=2)


def strips_of(picture: Picture) -> Iterator[Array]:
    """Cut a picture into strips of rows, `stacked`."""
    return (stacked(picture, slice(top, top + _STRIP)) for top in range(0, len(picture.pixels), _STRIP))
