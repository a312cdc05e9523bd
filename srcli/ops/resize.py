"""MATLAB-compatible bicubic resampling: of LR from HR, of results down to a size, and the baseline.

`imresize` of MATLAB: cubic convolution with a = -0.5 (Keys 1981, eq. 15), widened when shrinking
(antialiasing), pixel centres at i + 0.5, edge samples mirrored, weights normalised per sample.
"""

import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Edge = Literal["mirror", "wrap"]  # what lies beyond: MATLAB's mirror, or the other side of a seamless texture

_BLOCK = 128  # output samples a matrix; keeps the cost linear in the picture's size


def resize(x: Tensor, height: int, width: int) -> Tensor:
    """Resample (N, C, H, W) to (N, C, height, width) in the tensor's own dtype and device, unclamped."""
    x = _along_rows(x, height)  # (N, C, height, W)
    return _along_rows(x.mT, width).mT.contiguous()  # (N, C, height, width)


def resize_strips(
    read: Callable[[int, int], Tensor], size: tuple[int, int], height: int, width: int, *, edge: Edge = "mirror"
) -> Iterator[tuple[int, Tensor]]:
    """Resample a picture of `size` (height, width) that is read by rows: yield (first output row, (N, C, rows, width)).

    `read(first, last)` gives (N, C, last - first, W). The same values as `resize`, one strip in memory at a time; with wrap
    the first and the last strip read it all.
    """
    top = 0
    for first, matrix in _matrices(size[0], height, torch.device("cpu"), edge):
        x = read(first, first + matrix.shape[1])
        x = matrix.to(x.device, x.dtype) @ x  # (N, C, rows, W)
        yield top, _along_rows(x.mT, width, edge).mT
        top += len(matrix)


def enlarge(x: Tensor, scale: int) -> Tensor:
    """Resample (N, C, H, W) to `scale` times its size: as `resize`, by one fixed kernel, so that exporters need no size.

    Both sides must be at least 2 px.
    """
    x = torch.cat([x[..., :2, :].flip(-2), x, x[..., -2:, :].flip(-2)], -2)  # mirrored, the edge sample repeated
    x = torch.cat([x[..., :2].flip(-1), x, x[..., -2:].flip(-1)], -1)
    centre = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5
    weight = _cubic(centre[:, None] - torch.arange(-2, 3, dtype=torch.float64))  # (scale, 5)
    weight = weight / weight.sum(1, keepdim=True)
    kernel = torch.einsum("ai,bj->abij", weight, weight).reshape(scale * scale, 1, 5, 5).repeat(x.shape[1], 1, 1, 1)
    return F.pixel_shuffle(F.conv2d(x, kernel.to(x), groups=x.shape[1]), scale)


def _along_rows(x: Tensor, out: int, edge: Edge = "mirror") -> Tensor:
    blocks = [
        matrix.to(x.dtype) @ x[..., first : first + matrix.shape[1], :]
        for first, matrix in _matrices(x.shape[-2], out, x.device, edge)
    ]
    return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=-2)


def _matrices(size: int, out: int, device: torch.device, edge: Edge) -> list[tuple[int, Tensor]]:
    """List (first input row, (outputs, inputs) weights) for each block of output rows; on the device, so a loop never waits."""
    return (_small if max(size, out) <= _SMALL else _large)(size, out, device, edge)


def _computed(size: int, out: int, device: torch.device, edge: Edge) -> list[tuple[int, Tensor]]:
    scale = out / size
    stretch = min(scale, 1.0)
    support = 4 / stretch
    centre = (torch.arange(out, dtype=torch.float64) + 0.5) / scale - 0.5
    left = (centre - support / 2).floor()
    index = left[:, None] + torch.arange(math.ceil(support) + 2, dtype=torch.float64)  # (out, taps)
    weight = _cubic((centre[:, None] - index) * stretch)
    weight = weight / weight.sum(1, keepdim=True)
    index = index.long() % (2 * size if edge == "mirror" else size)
    index = torch.where(index < size, index, 2 * size - 1 - index)  # mirrored, the edge sample repeated
    blocks = []
    for start in range(0, out, _BLOCK):
        rows, values = index[start : start + _BLOCK], weight[start : start + _BLOCK]
        first, last = int(rows.min()), int(rows.max())
        matrix = torch.zeros(len(rows), last - first + 1, dtype=torch.float64)
        matrix.scatter_add_(1, rows - first, values)
        blocks.append((first, matrix.to(torch.float32 if device.type == "mps" else torch.float64).to(device)))
    return blocks


_SMALL = 1024  # px, up to which a matrix has some hundred KiB; those of 12,000 have 12 MiB
_small, _large = lru_cache(maxsize=64)(_computed), lru_cache(maxsize=4)(_computed)


def _cubic(x: Tensor) -> Tensor:
    x = x.abs()
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return torch.where(x <= 1, near, torch.where(x <= 2, far, 0.0))
