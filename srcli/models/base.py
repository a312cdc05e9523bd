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


FACTORS = {2: (2,), 3: (3,), 4: (2, 2)}  # the steps of the upsamplers that go to x4 in two, as EDSR has it

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
        return super().__call__(x, window)

    def fold(self) -> Self:
        """Compute normalised weights once and for all, in place: the same function, quicker; for inference only."""
        for module in list(self.modules()):
            if parametrize.is_parametrized(module, "weight"):
                shared = type(module)  # by a copy and its original: what is removed from it would be gone from both
                module.__class__ = type(shared.__name__, shared.__bases__, dict(shared.__dict__))
                parametrize.remove_parametrizations(module, "weight")
                module._load_state_dict_pre_hooks.clear()  # weight_norm's, which no longer fits and cannot be pickled
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


def before_shuffles(scale: int, radius: int) -> int:
    """Return the receptive radius in input px of `radius` px behind the FACTORS' 3x3 convolutions and pixel shuffles."""
    for factor in FACTORS[scale]:
        radius = coarser(radius, factor) + 1
    return radius


@torch.no_grad()
def pass_rgb_through(conv: nn.Conv2d, *, gain: float = 1.0) -> None:
    """Make the first three outputs of `conv` copies of its first three inputs (where it has that many), `gain` times."""
    copied = min(3, conv.in_channels, conv.out_channels)  # an output of zeros before a ReLU would never learn
    conv.weight[:copied] = 0
    centre = conv.kernel_size[0] // 2
    for c in range(copied):
        conv.weight[c, c, centre, centre] = gain
    if conv.bias is not None:
        conv.bias[:copied] = 0


@torch.no_grad()
def silence(conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Make `conv` give nothing, so that what it is added to starts unchanged."""
    conv.weight.zero_()
    if conv.bias is not None:
        conv.bias.zero_()


@torch.no_grad()
def silence_rgb(conv: nn.Conv2d) -> None:
    """Make the first three outputs of `conv` zero, so that a skip carries RGB unchanged."""
    conv.weight[:3] = 0
    if conv.bias is not None:
        conv.bias[:3] = 0


@torch.no_grad()
def start_bilinear(conv: nn.Conv2d, scale: int) -> None:
    """Make the 3x3 convolution before a pixel shuffle interpolate its first three inputs bilinearly.

    Output c*s*s + py*s + px is phase (py, px) of colour c; the weights of the other inputs are scaled by 0.1.
    """
    phases = torch.zeros(scale, 3)
    for p in range(scale):
        shift = (p + 0.5) / scale - 0.5
        phases[p, 1] = 1 - abs(shift)
        phases[p, 0 if shift < 0 else 2] += abs(shift)
    conv.weight *= 0.1
    conv.weight[:, :3] = 0
    kernels = torch.einsum("ai,bj->abij", phases, phases).reshape(scale * scale, 3, 3)
    for c in range(3):
        conv.weight[c * scale * scale : (c + 1) * scale * scale, c] = kernels
    if conv.bias is not None:
        conv.bias.zero_()


def between_phases(weights: Tensor, before: int, scale: int) -> Tensor:
    """Turn the weight or bias of a convolution before a pixel shuffle to RGB at `before` into that of one at `scale`.

    Every phase is mixed of the two nearest of the old ones, both ways, in order as `start_bilinear` has it.
    """
    mix = weights.new_zeros(scale, before)
    for p in range(scale):
        at = (p + 0.5) * before / scale - 0.5
        q = min(max(math.floor(at), 0), before - 2)  # the outer ones lie beyond the two
        mix[p, q], mix[p, q + 1] = q + 1 - at, at - q
    phases = weights.reshape(3, before, before, *weights.shape[1:])
    return torch.einsum("ai,bj,cij...->cab...", mix, mix, phases).reshape(-1, *weights.shape[1:])
