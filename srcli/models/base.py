"""The contract every network keeps: a float tensor in, one `scale` times larger out; and how it may be cut into tiles."""

import math
from typing import Any, ClassVar, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Window(NamedTuple):
    """Where a tile lies in the picture it was cut from; in input px."""

    top: int  # of the tile's origin in the picture
    left: int
    height: int  # of the whole picture
    width: int
    inner: tuple[int, int, int, int]  # top, bottom, left, right of what the tile gives, within the tile; no px is in two


Kind = Literal["local", "strided", "statistics", "approximate"]


class Tiling(NamedTuple):
    """How a network may be cut into tiles so that tiled equals whole.

    `overlap`: px of real picture a tile needs on each side. `phase`: tile origins are multiples of this.
    `kind`: local (the overlap is the receptive radius, tiles equal the whole up to float rounding), strided (attention
    on a grid; the overlap bounds the deviation), statistics (values pooled over the whole picture, see statistics.py;
    the overlap is the receptive radius of the rest) or approximate (others' networks that look further than the overlap).
    """

    kind: Kind
    overlap: int
    phase: int = 1


class SRModel(nn.Module):
    """Map (N, C, H, W) in [0, 1] to (N, C, scale*H, scale*W), unclamped.

    `forward(x, window=None)`: `window` says where in the picture `x` lies when `x` is a tile of it; local
    networks ignore it. Sides shorter than `min_side` are the caller's to pad.
    """

    arch: str
    config: dict[str, Any]
    channels: ClassVar[int] = 3  # 1: trained on luma only
    min_side: int = 1
    tiling: Tiling
    learnt: ClassVar[bool] = True  # False: nothing to train, no weights to load
    precision: Literal["fp32", "fp16"] | None = None  # the one format it computes in, where autocast does not reach it
    values_per_px: float | None = None  # activations alive at the peak for each input px, where they cannot be watched

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale

    def __call__(self, x: Tensor, window: Window | None = None) -> Tensor:
        out: Tensor = super().__call__(x, window)
        return out

    def fold(self) -> Self:
        """Compute normalised weights once and for all, in place: the same function, quicker; for inference only."""
        for module in list(self.modules()):
            if parametrize.is_parametrized(module, "weight"):
                parametrize.remove_parametrizations(module, "weight")
        return self

    def single_scale_parameters(self) -> int:
        """Count the parameters this scale uses: all of them, but for networks that carry the upsamplers of several scales."""
        return sum(p.numel() for p in self.parameters())

    def start_as_upsampler(self) -> bool:
        """Set the fresh weights so that the network starts as interpolation; False where no such start is known."""
        return False


def as_autocast(x: Tensor) -> Tensor:
    """Return `x` in the format that autocast computes in, where it is on."""
    device = x.device.type
    return x.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else x


def coarser(radius: int, factor: int) -> int:
    """Turn a receptive radius in px of a grid into px of the grid `factor` times coarser."""
    return -(-radius // factor)


@torch.no_grad()
def pass_rgb_through(conv: nn.Conv2d, *, gain: float = 1.0, channels: int = 3) -> None:
    """Make the first `channels` outputs of `conv` copies of its first inputs (where it has that many), `gain` times."""
    conv.weight[:channels] = 0
    centre = conv.kernel_size[0] // 2
    for c in range(min(channels, conv.in_channels, conv.out_channels)):
        conv.weight[c, c, centre, centre] = gain
    if conv.bias is not None:
        conv.bias[:channels] = 0


@torch.no_grad()
def silence(conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Make `conv` give nothing, so that what it is added to starts unchanged."""
    conv.weight.zero_()
    if conv.bias is not None:
        conv.bias.zero_()


@torch.no_grad()
def silence_rgb(conv: nn.Conv2d, channels: int = 3) -> None:
    """Make the first `channels` outputs of `conv` zero, so that a skip carries RGB unchanged."""
    conv.weight[:channels] = 0
    if conv.bias is not None:
        conv.bias[:channels] = 0


@torch.no_grad()
def start_bilinear(conv: nn.Conv2d, scale: int, grid: int = 1) -> None:
    """Make the 3x3 convolution before a pixel shuffle interpolate its first inputs bilinearly.

    These are RGB, or with `grid` the 3*grid*grid planes of an unshuffled picture, which a shuffle by grid*scale puts together.
    Output c*n*n + py*n + px, n = grid*scale, is phase (py, px) of colour c; the weights of the other inputs are scaled by 0.1.
    """
    n, window = grid * scale, torch.zeros(grid * scale, 3 * grid)  # the window: px that the three cells of a side cover
    for phase in range(n):
        source = (phase + 0.5) / scale - 0.5  # in px of the middle cell
        left = math.floor(source)
        window[phase, grid + left] = 1 - (source - left)
        window[phase, grid + left + 1] = source - left
    sides = window.view(n, 3, grid)  # phase, cell, px in the cell
    planes = torch.einsum("akp,blq->abpqkl", sides, sides).reshape(n * n, grid * grid, 3, 3)
    conv.weight *= 0.1
    conv.weight[:, : 3 * grid * grid] = 0
    for c in range(3):
        conv.weight[c * n * n : (c + 1) * n * n, c * grid * grid : (c + 1) * grid * grid] = planes
    if conv.bias is not None:
        conv.bias.zero_()
