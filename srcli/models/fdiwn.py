"""FDIWN: Gao, Li, Li, Yu, Zeng: Feature Distillation Interaction Weighting Network for Lightweight SR, AAAI 2022.

Read from the public code, in the authors' range 0..255: 629,176 / 646,486 / 663,848 parameters at x2 / x3 / x4 (published
629K, 645K, 664K) with weight norm's gains and the 24 values of the two mean shifts. The published multiply-adds (112.0 /
51.5 / 28.4 G) leave out every weight-normalised convolution; all of them are 270.9 / 122.0 / 71.2 G. x4 has wider units
and a narrower tail than x2 and x3, and its image skip takes the mean-shifted input where theirs takes the raw one.

FDIWN-M has no public code. Two groups, each used twice in a row, with x4's widths at x2 also, meet all six published
figures: 433,840 / 446,814 / 454,648 parameters, 73.61 / 35.94 / 19.60 G without weight-normalised convolutions (187.9 /
82.9 / 48.2 G with them). The order of the passes is inference.

Ablations: `channels`; `interaction=False` replaces the combination coefficients between the two branches by plain sums,
`distilling=False` leaves out the gates from the distilled halves, `calibrated=False` fuses the branches by one 1x1
instead of self-calibration, `wide=False` keeps the units no wider inside than outside.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from srcli.models.base import SRModel, Tiling, Window, pass_rgb_through, silence, start_bilinear
from srcli.models.statistics import PictureStatistics, Statistics

SLOPE = 0.05
RANGE = 255.0
MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K


class FDIWN(SRModel):
    """`order` names the group of each pass; the scales in `lean` have wider units and a narrower tail."""

    def __init__(
        self,
        scale: int,
        *,
        channels: int = 24,
        order: tuple[int, ...] = (0, 0, 1, 2, 1, 2),
        lean: tuple[int, ...] = (4,),
        interaction: bool = True,
        distilling: bool = True,
        calibrated: bool = True,
        wide: bool = True,
    ) -> None:
        super().__init__(scale)
        self.order = tuple(order)
        widths = _widths(channels, scale in lean) if wide else (channels, channels // 2, 2 * channels)
        tail = 32 if scale in lean else 64
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.groups = nn.ModuleList(FSWG(channels, widths, interaction, distilling, calibrated) for _ in range(max(order) + 1))
        self.tail = nn.Conv2d(channels, tail, 3, padding=1, bias=False)
        self.upsample = nn.Conv2d(tail, 3 * scale * scale, 3, padding=1)
        self.skip = nn.Conv2d(3, tail, 3, padding=1)
        self.skip_upsample = nn.Conv2d(tail, 3 * scale * scale, 3, padding=1)
        self.subtract = MeanShift(-1)
        self.add = MeanShift(1)
        self.tiling = Tiling("statistics", 3 + 19 * len(order))

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        raw = RANGE * x
        shifted = self.subtract(raw)
        feature = self.head(shifted)  # (N, C, H, W)
        for turn, group in enumerate(self.order):
            passed = self.groups[group](feature, window)
            feature = passed if turn == 0 else feature + passed
        out = self.upsample(self.tail(feature))
        skip = self.skip_upsample(self.skip(shifted if self.scale == 4 else raw))
        return self.add(F.pixel_shuffle(out.float() + skip.float(), self.scale)) / RANGE

    @torch.no_grad()
    def start_as_upsampler(self) -> bool:
        silence(self.upsample)
        pass_rgb_through(self.skip)
        start_bilinear(self.skip_upsample, self.scale)
        if self.scale != 4:
            area = self.scale**2
            self.skip_upsample.bias -= RANGE * torch.tensor(MEAN).repeat_interleave(area)  # type: ignore[operator]
        return True


class MeanShift(nn.Module):
    """Take the mean colour away or add it, in float32: at 0..255 bfloat16 has whole levels only. Not trained."""

    def __init__(self, sign: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3).view(3, 3, 1, 1), requires_grad=False)
        self.bias = nn.Parameter(sign * RANGE * torch.tensor(MEAN), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.conv2d(x.float(), self.weight.float(), self.bias.float()).to(x.dtype)


class FSWG(nn.Module):
    """Feature shuffle weighted group: three distillation blocks, fused by shuffled grouped convolutions, beside a unit."""

    def __init__(
        self, channels: int, widths: tuple[int, int, int], interaction: bool, distilling: bool, calibrated: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(WDIB(channels, widths, interaction, distilling, calibrated) for _ in range(3))
        self.bridge = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.fuse1 = nn.Conv2d(2 * channels, channels, 3, padding=1, groups=4, bias=False)
        self.fuse2 = nn.Conv2d(2 * channels, channels, 3, padding=1, groups=4, bias=False)
        self.beside = WideUnit(channels, channels, widths[0], channels // 2)
        self.gain = nn.Parameter(torch.tensor([0.5]))
        self.gain_beside = nn.Parameter(torch.tensor([0.5]))

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        out1 = self.blocks[0](x, window)
        out2 = self.blocks[1](out1, window)
        out3 = self.blocks[2](out2 + self.bridge(out1), window)
        fused = self.fuse1(_shuffle(torch.cat([out1, out2], 1), 4))
        fused = self.fuse2(_shuffle(torch.cat([fused, out3], 1), 4))
        return self.gain * (fused + out3) + self.gain_beside * self.beside(x, window)


class WDIB(nn.Module):
    """Wide-residual distillation interaction block: two branches that distil half and weigh each other's features."""

    def __init__(
        self, channels: int, widths: tuple[int, int, int], interaction: bool, distilling: bool, calibrated: bool
    ) -> None:
        super().__init__()
        half = channels // 2
        identity, wide, fusing = widths
        self.enter_a = WideUnit(channels, channels, identity, half)
        self.enter_b = WideUnit(channels, channels, identity, half)
        self.widen_a = WideUnit(half, channels, wide, half)
        self.widen_b = WideUnit(half, channels, wide, half)
        self.leave_a = WideUnit(channels, channels, identity, half)
        self.leave_b = WideUnit(channels, channels, identity, half)
        self.weigh = nn.ModuleDict({name: CombinationCoefficient(channels) for name in ("m1", "n1", "m2", "n2") if interaction})
        self.gate_a = nn.Conv2d(half, channels, 3, padding=1, bias=False) if distilling else None
        self.gate_b = nn.Conv2d(half, channels, 3, padding=1, bias=False) if distilling else None
        self.gain_a = nn.Parameter(torch.ones(1))
        self.gain_b = nn.Parameter(torch.ones(1))
        self.calibrate = WideUnit(2 * channels, channels, fusing, channels) if calibrated else None
        self.fuse = nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.attention = ShuffleAttention(channels)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        distilled_a, rest = F.leaky_relu(self.enter_a(x, window), SLOPE).chunk(2, 1)
        a = self.widen_a(rest, window)
        b = self._weighed("m1", a, window) + x
        a = self._weighed("n1", x, window) + a
        distilled_b, rest = F.leaky_relu(self.enter_b(b, window), SLOPE).chunk(2, 1)
        b = self.widen_b(rest, window)
        a, b = self._weighed("n2", b, window) + a, self._weighed("m2", a, window) + b
        if self.gate_a is not None and self.gate_b is not None:
            a = a * torch.sigmoid(self.gate_a(distilled_a))
            b = b * torch.sigmoid(self.gate_b(distilled_b))
        a, b = self.leave_a(a, window), self.leave_b(b, window)
        both = torch.cat([self.gain_a * a, self.gain_b * b], 1)  # (N, 2C, H, W)
        if self.calibrate is None:
            return self.attention(self.fuse(both) + x, window)
        return self.attention(self.calibrate(both, window) + torch.sigmoid(self.fuse(both)) * b + x, window)

    def _weighed(self, name: str, x: Tensor, window: Window | None) -> Tensor:
        if name in self.weigh:
            x = self.weigh[name](x, window) * x
        return x


class WideUnit(nn.Module):
    """Widen, squeeze, 3x3, shuffle attention, plus the input (through a 3x3 where the width changes); both with a gain.

    The paper's WIRW (24 -> 24), WCRW (12 -> 24) and SCF (48 -> 24).
    """

    def __init__(self, inputs: int, outputs: int, width: int, squeezed: int) -> None:
        super().__init__()
        self.widen = weight_norm(nn.Conv2d(inputs, width, 1))
        self.squeeze = weight_norm(nn.Conv2d(width, squeezed, 1))
        self.conv = weight_norm(nn.Conv2d(squeezed, outputs, 3, padding=1))
        self.attention = ShuffleAttention(outputs)
        self.skip = nn.Conv2d(inputs, outputs, 3, padding=1) if inputs != outputs else None
        self.gain = nn.Parameter(torch.ones(1))
        self.gain_skip = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        out: Tensor = self.attention(self.conv(self.squeeze(F.relu(self.widen(x)))), window)
        out = self.gain * out + self.gain_skip * (x if self.skip is None else self.skip(x))
        return out


class CombinationCoefficient(nn.Module):
    """One weight a channel in [0.5, 1), from its mean and its standard deviation over the picture."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.pool = PictureStatistics()
        self.mean1 = nn.Conv2d(channels, channels // reduction, 1)
        self.mean2 = nn.Conv2d(channels // reduction, channels, 1)
        self.std1 = nn.Conv2d(channels, channels // reduction, 1)
        self.std2 = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        pooled = self.pool(x, window)
        upper = F.relu(self.mean2(F.relu(self.mean1(pooled.mean.to(x.dtype)))))
        lower = F.relu(self.std2(F.relu(self.std1(pooled.std.to(x.dtype)))))
        return (torch.sigmoid(upper) + torch.sigmoid(lower)) / 2  # (N, C, 1, 1)


class ShuffleAttention(nn.Module):
    """In each of six groups gate one half by its mean, the other by its group-normalised self; then shuffle the halves.

    Zhang, Yang: SA-Net, ICASSP 2021. One channel is a group of the norm, so it is pooled channel by channel.
    """

    def __init__(self, channels: int, groups: int = 6, epsilon: float = 1e-5) -> None:
        super().__init__()
        half = channels // (2 * groups)
        self.groups = groups
        self.epsilon = epsilon
        self.pool = PictureStatistics()
        self.channel_weight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.channel_bias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.space_weight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.space_bias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.norm_weight = nn.Parameter(torch.ones(half))
        self.norm_bias = nn.Parameter(torch.zeros(half))

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        pooled = self.pool(x, window)
        first, second = self._halves(x)  # (N, groups, half, H, W)
        mean, _ = self._halves(pooled.mean)
        first = first * torch.sigmoid(self.channel_weight * mean + self.channel_bias).to(x.dtype)
        second = second * torch.sigmoid(self.space_weight * self._normed(second, pooled) + self.space_bias)
        return _shuffle(torch.cat([first, second], 2).flatten(1, 2), 2)

    def _normed(self, second: Tensor, pooled: Statistics) -> Tensor:
        _, mean = self._halves(pooled.mean)
        _, variance = self._halves(pooled.variance)
        slope = self.norm_weight.view(-1, 1, 1) / (variance + self.epsilon).sqrt()
        shift = self.norm_bias.view(-1, 1, 1) - slope * mean
        return second * slope.to(second.dtype) + shift.to(second.dtype)

    def _halves(self, x: Tensor) -> tuple[Tensor, ...]:
        return torch.chunk(x.reshape(x.shape[0], self.groups, -1, *x.shape[-2:]), 2, 2)


def _widths(channels: int, lean: bool) -> tuple[int, int, int]:
    """Return the inner widths of WIRW, WCRW and SCF."""
    return (channels * 5 // 2, channels * 9 // 4, channels * 9 // 2) if lean else (2 * channels, 2 * channels, 4 * channels)


def _shuffle(x: Tensor, groups: int) -> Tensor:
    return x.reshape(x.shape[0], groups, -1, *x.shape[-2:]).transpose(1, 2).flatten(1, 2)
