"""RDSRN: recursive distillation super-resolution network, read from its author's code and weights.

Weight norm on every convolution but the last. 647,016 / 693,416 / 684,136 parameters at x2 / x3 / x4 with 3 recursions
and split ratio 0.5 (published 0.684 M and 136 G at x4); ratios 0.25 and 0.75 make 1,007,272 and 490,024 (1.01 M, 0.49 M).
Recursions add 4,096 parameters each, in the fusion alone. The published 223 G for 9 recursions are those of 6 (222.8);
9 make 309.8. The "channel split ratio" is the fraction that is kept.

Readings: the refined part widens 3-fold in the first block and 4-fold in the second, as code and weights have it (figure 3
draws both inside one block; the counts are the same). The weights hold a learned gain on the identity of each refine
step, without which they lose 2.2 dB, but the paper's counts do not include it; it is a buffer here, 1 in fresh networks.
Ablations: `wider=False` refines at the part's own width, `refinement=False` leaves out the high-frequency block.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from srcli.models.base import FACTORS, SRModel, Tiling, Window, before_shuffles, silence
from srcli.models.blocks import CCA


class RDSRN(SRModel):
    """One block applied `recursions` times; `split` of the channels is kept where a part is refined."""

    def __init__(
        self,
        scale: int,
        *,
        recursions: int = 3,
        split: float = 0.5,
        channels: int = 64,
        wider: bool = True,
        refinement: bool = True,
    ) -> None:
        super().__init__(scale)
        self.recursions = recursions
        self.head1 = _conv(3, channels, 3)
        self.head2 = _conv(channels, channels, 3)
        self.block = RecursiveBlock(channels, split, wider)
        self.fuse = _conv(channels * recursions, channels, 1)
        half = channels // 2
        self.body = _conv(channels, half, 3)
        self.upsample = nn.ModuleList(_conv(half, half * f * f, 3) for f in FACTORS[scale])
        self.refine = nn.ModuleList(_conv(half, half, 3, bias=False) for _ in range(4 if refinement else 0))
        self.last = nn.Conv2d(half, 3, 3, padding=1, bias=False)
        self.tiling = Tiling("statistics", before_shuffles(scale, 1 + len(self.refine)) + 1 + 12 * recursions + 2)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        shallow = self.head1(x)  # (N, C, H, W)
        start = self.head2(shallow)
        outputs, feature = [], start
        for _ in range(self.recursions):
            feature = self.block(feature, start, window)
            outputs.append(feature)
        feature = self.body(self.fuse(torch.cat(outputs, 1)) + shallow)
        for conv, factor in zip(self.upsample, FACTORS[self.scale], strict=True):
            feature = F.pixel_shuffle(conv(feature), factor)
        if self.refine:
            smooth = feature  # (N, C/2, sH, sW)
            for conv in self.refine:
                feature = F.relu(conv(feature))
            feature = feature + smooth
        out: Tensor = self.last(feature)
        # torch's cubic, a = -0.75: the released weights lose 0.2 dB with MATLAB's
        return out + F.interpolate(x, scale_factor=self.scale, mode="bicubic", align_corners=False)

    def start_as_upsampler(self) -> bool:
        silence(self.last)
        return True


class RecursiveBlock(nn.Module):
    """Two wide-channel blocks, each fused with all before it and the network's start, then contrast channel attention."""

    def __init__(self, channels: int, split: float, wider: bool) -> None:
        super().__init__()
        self.first = DWCB(channels, split, 3 if wider else 1)
        self.second = DWCB(channels, split, 4 if wider else 1)
        self.fuse1 = _conv(2 * channels, channels, 1)
        self.fuse2 = _conv(3 * channels, channels, 1)
        self.attention = CCA(channels, 16)
        weight_norm(self.attention.reduce)
        weight_norm(self.attention.expand)

    def forward(self, x: Tensor, start: Tensor, window: Window | None) -> Tensor:
        first = self.first(x)
        second = self.second(self.fuse1(torch.cat([x, first], 1)) + start)
        fused = self.fuse2(torch.cat([x, first, second], 1)) + start
        return self.attention(fused, window) + x


class DWCB(nn.Module):
    """Distillation block with wide channels: convolve and refine a part, twice; the second time densely connected."""

    def __init__(self, channels: int, split: float, widening: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, channels, 3)
        self.refine1 = Refine(channels, split, widening)
        self.conv2 = _conv(2 * channels, channels, 3)
        self.refine2 = Refine(channels, split, widening)

    def forward(self, x: Tensor) -> Tensor:
        a = self.refine1(F.relu(self.conv1(x)) + x)
        return self.refine2(F.relu(self.conv2(torch.cat([x, a], 1))) + a)


class Refine(nn.Module):
    """Keep the first `split` of the channels; add to the rest what two convolutions make of it, wide in between."""

    gain: Tensor

    def __init__(self, channels: int, split: float, widening: int) -> None:
        super().__init__()
        self.kept = int(channels * split)
        self.rest = channels - self.kept
        self.widen = _conv(self.rest, self.rest * widening, 3)
        self.narrow = _conv(self.rest * widening, self.rest, 3)
        self.register_buffer("gain", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        kept, rest = torch.split(x, [self.kept, self.rest], 1)
        refined = self.narrow(F.relu(self.widen(rest)))
        return torch.cat([kept, self.gain * rest + refined], 1)


def _conv(inputs: int, outputs: int, kernel: int, *, bias: bool = True) -> nn.Conv2d:
    return weight_norm(nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias))
