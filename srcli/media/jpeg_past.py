"""What JPEG leaves in pixels: by the steps of its coefficients, those that were a JPEG once are known as PNG or TIFF too.

In the 8x8 blocks of the DCT, each coefficient of luma lies near multiples of its step, for blocks where they were when it was
coded (Fan and de Queiroz, Identification of Bitmap Compression History, IEEE Transactions on Image Processing 12(2), 2003).
"""

from collections.abc import Iterable
from itertools import product

import numpy as np

from srcli.media.picture import Array

SIDE = 768  # px a side that are looked at, in the middle
_BLOCKS = 4096  # of them, at the most
_PLACES = 320  # px a side by which it is found where blocks begin
_TABLE = {  # steps at quality 50 of the lowest frequencies, (vertical, horizontal): ITU-T T.81, table K.1
    (0, 1): 11, (0, 2): 10, (0, 3): 16, (0, 4): 24,
    (1, 0): 12, (1, 1): 12, (1, 2): 14, (1, 3): 19,
    (2, 0): 14, (2, 1): 13, (2, 2): 16,
    (3, 0): 14, (3, 1): 17,
    (4, 0): 18,
}  # fmt: skip
_FIRST = ((0, 1), (1, 0), (0, 3), (2, 2), (1, 3))  # which tell of most pictures that there are no steps
_STEPS = range(2, 61)  # what rounding to 8 bits leaves of a step of 1 is no step
_FEWEST = 40  # coefficients other than zero that a step is read from
_NEAR, _SURE = 0.3, 6.0  # mean cosine of their angles in steps, 0 for any number; and that in standard deviations of chance
_ENOUGH = 6  # steps that make a JPEG


def past_quality(pixels: Array) -> int | None:
    """Tell the quality, 1 to 99, of the JPEG that (H, W, 1 or 3) uint8 pixels were last; None where nothing tells of one.

    By the steps of libjpeg at that quality. Above 95 they are too small; how few are missed below: benchmarks/jpeg_past.py.
    """
    if pixels.dtype != np.uint8 or min(pixels.shape[:2]) < 32:
        return None
    luma = _luma(pixels)
    top, left = _grid(luma)
    found = _coefficients(luma[top:, left:])
    ratios = _ratios(found, _FIRST)
    if not ratios:
        return None
    ratios += _ratios(found, _TABLE.keys() - _FIRST)
    if len(ratios) < _ENOUGH:
        return None
    ratio = float(np.median(ratios))
    return max(1, round(100 - 50 * ratio if ratio <= 1 else 50 / ratio))


def _luma(pixels: Array) -> Array:
    """Return Y of JPEG in the middle, (h, w) float32."""
    top, left = (max(0, (size - SIDE) // 2) for size in pixels.shape[:2])
    part = pixels[top : top + SIDE, left : left + SIDE].astype(np.float32)
    return part @ np.array([0.299, 0.587, 0.114], np.float32) if part.shape[2] == 3 else part[..., 0]


def _grid(luma: Array) -> tuple[int, int]:
    """Return the row and column, 0 to 7, where blocks begin: where most of their high frequencies are zero but for rounding."""
    top, left = (max(0, (size - _PLACES) // 16 * 8) for size in luma.shape)
    part = luma[top : top + _PLACES, left : left + _PLACES]

    def zeros(place: tuple[int, int]) -> float:
        coefficients = _blocks(part[place[0] :, place[1] :]) @ _HIGH  # a row at a time, which BLAS starts no threads for
        return float((np.abs(coefficients) < 1).mean())

    return max(product(range(8), range(8)), key=zeros)


def _blocks(luma: Array) -> Array:
    """Return blocks of 8x8 px, (rows, columns, 64), from the top left on."""
    rows, columns = (size // 8 for size in luma.shape)
    return luma[: rows * 8, : columns * 8].reshape(rows, 8, columns, 8).swapaxes(1, 2).reshape(rows, columns, 64)


def _coefficients(luma: Array) -> Array:
    """Return the (n, 8, 8) DCT of blocks that no black or white has cut off."""
    blocks = _blocks(luma).reshape(-1, 8, 8)
    blocks = blocks[:: -(-len(blocks) // _BLOCKS)]
    whole = (blocks.min(axis=(1, 2)) > 1) & (blocks.max(axis=(1, 2)) < 254)
    return np.asarray(_DCT @ blocks[whole] @ _DCT.T)


def _dct() -> Array:
    frequency, place = np.mgrid[:8, :8]
    matrix = np.sqrt(2 / 8) * np.cos(np.pi * (2 * place + 1) * frequency / 16)
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, np.float32)


_DCT = _dct()
_HIGH = np.kron(_DCT, _DCT)[np.add.outer(np.arange(8), np.arange(8)).ravel() >= 9].T  # (64, 21), from blocks in a row each


def _ratios(coefficients: Array, places: Iterable[tuple[int, int]]) -> list[float]:
    """Return the steps that are found at some frequencies, each over that of quality 50."""
    return [step / _TABLE[place] for place in places if (step := _step(coefficients, place))]


def _step(coefficients: Array, place: tuple[int, int]) -> int:
    """Return the step that the coefficients of a frequency lie nearest to multiples of; 0 where they lie near to none."""
    values = np.unique(np.round(np.abs(coefficients[:, *place]), 3))  # pixel art repeats a few, which lie near any steps
    found, nearest = 0, _NEAR
    for step in _STEPS:
        values = values[values > step / 2]  # the others are zero if that is the step
        if len(values) < _FEWEST:
            break
        near = float(np.cos(2 * np.pi / step * values).mean())
        if near > nearest and near * np.sqrt(2 * len(values)) > _SURE:
            found, nearest = step, near
    return found
