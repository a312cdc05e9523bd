"""How a result, made small again, resembles its input: a sanity figure for pictures that have no reference."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from srcli.media.image import Picture
from srcli.ops.pixels import MAXIMA, to_tensor
from srcli.ops.resize import resize_strips

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
        error = (small.clamp(0, 1) - to_tensor(source.pixels[rows]))[0].permute(1, 2, 0)  # (rows, W, C)
        if source.alpha is not None:
            error = error[torch.from_numpy(source.alpha[rows] == MAXIMA[source.alpha.dtype])]  # (opaque px, C)
        error = error.reshape(-1, channels).double()
        squares, shift, count = squares + float(error.square().sum()), shift + error.sum(0), count + len(error)
    if not count:
        return None
    mean = squares / (count * channels)
    return Likeness(-10 * math.log10(mean) if mean else math.inf, tuple((255 * shift / count).tolist()))
