"""How a result, made small again, resembles its input: a sanity figure for pictures that have no reference."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from srcli.media.picture import Picture
from srcli.ops.metrics import decibels
from srcli.ops.pixels import MAXIMA, to_tensor
from srcli.ops.resize import resize, resize_strips

_MARGIN = 8  # px around a cell, which the shrinking reads

FAR = 28.0  # dB below which a result is pointed out; how it was chosen: docs/upscale.md


@dataclass(frozen=True, slots=True)
class Likeness:
    """How near a result comes to its input. `psnr`: in dB over all channels, inf when equal.

    `drift`: by how much each channel's mean went up, in levels of 255.
    """

    psnr: float
    drift: tuple[float, ...]

    @property
    def far(self) -> bool:
        return self.psnr < FAR


@torch.inference_mode()
def likeness(result: Picture, source: Picture) -> Likeness | None:
    """Compare a result, shrunk by the protocol's bicubic, with the picture that it came from, where that is opaque.

    One strip of rows is in memory at a time. None for what was not enlarged, or is nowhere opaque.
    """
    height, width, channels = source.pixels.shape
    if min(result.pixels.shape[0] - height, result.pixels.shape[1] - width) < 0:
        return None

    def read(first: int, last: int) -> Tensor:
        return to_tensor(result.pixels[first:last])

    squares, shift, count = 0.0, torch.zeros(channels, dtype=torch.float64), 0
    for top, small in resize_strips(read, result.pixels.shape[:2], height, width):
        rows = slice(top, top + small.shape[-2])
        error = _errors(small, source.pixels[rows], None if source.alpha is None else source.alpha[rows])
        squares, shift, count = squares + float(error.square().sum()), shift + error.sum(0), count + len(error)
    if not count:
        return None
    return Likeness(decibels(squares / (count * channels)), tuple((255 * shift / count).tolist()))


@torch.inference_mode()
def nearness(result: Picture, source: Picture, *, top: int, left: int, side: int) -> float | None:
    """Compare one cell of `side` px as `likeness` does the whole: PSNR in dB.

    None where nothing is opaque, or the factor is no whole number.
    """
    (height, width), s = source.pixels.shape[:2], result.pixels.shape[0] // source.pixels.shape[0]
    if s < 1 or result.pixels.shape[:2] != (height * s, width * s):
        return None
    first, start = max(top - _MARGIN, 0), max(left - _MARGIN, 0)
    last, stop = (min(n + side + _MARGIN, length) for n, length in ((top, height), (left, width)))
    part = source.pixels[first:last, start:stop]
    small = resize(to_tensor(result.pixels[first * s : last * s, start * s : stop * s]), *part.shape[:2])
    down, across = slice(top - first, top - first + side), slice(left - start, left - start + side)
    alpha = None if source.alpha is None else source.alpha[first:last, start:stop][down, across]
    error = _errors(small[..., down, across], part[down, across], alpha)
    return decibels(float(error.square().mean())) if error.numel() else None


def _errors(small: Tensor, pixels: np.ndarray, alpha: np.ndarray | None) -> Tensor:
    """Return by how much (1, C, h, w) differs from (h, w, C) pixels where `alpha` is opaque: (px, C) in float64."""
    error = (small.clamp(0, 1) - to_tensor(pixels))[0].permute(1, 2, 0)  # (h, w, C)
    if alpha is not None:
        error = error[torch.from_numpy(alpha == MAXIMA[alpha.dtype])]
    return error.reshape(-1, pixels.shape[2]).double()
