"""DRN and DRN+: residual distilling network of the paper "Deep Residual Distilling Network"; a reading, not verified.

There is no public code and no printed parameter count. The reading: six groups of nine residual distilling blocks
(equations 9 to 15, 1-3-1 kernels, ELU 0.2) that widen by 8 channels each, half as wide in between, a 1x1 with ELU that
brings the group back to its width, pixel-shuffle upsampling as EDSR has it. It meets the stated facts: 256 filters give
17.61 / 20.56 / 19.97 M parameters at x2 / x3 / x4, 53.7 % fewer than EDSR at x4 (the paper says 54 %); 64 filters (DRN)
1.93 / 2.11 / 2.08 M. Open: the width in between, the activation of the last 1x1, where the block's closing 1x1 sits.
Without residual distilling (the ablation, `distilling=False`) nothing is split off: the blocks keep their width.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models.base import FACTORS, SRModel, Tiling, Window, before_shuffles, pass_rgb_through, silence_rgb, start_bilinear

ALPHA = 0.2  # of ELU


class DRN(SRModel):
    """Residual distilling network; `channels` wide, `groups` of `blocks` that distil `distilled` channels each."""

    def __init__(
        self,
        scale: int,
        *,
        channels: int = 64,
        groups: int = 6,
        blocks: int = 9,
        distilled: int = 8,
        distilling: bool = True,
    ) -> None:
        super().__init__(scale)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.groups = nn.ModuleList(Group(channels, blocks, distilled if distilling else 0) for _ in range(groups))
        self.upsample = nn.ModuleList(nn.Conv2d(channels, channels * f * f, 3, padding=1) for f in FACTORS[scale])
        self.last = nn.Conv2d(channels, 3, 3, padding=1)
        self.tiling = Tiling("local", before_shuffles(scale, 1) + groups * blocks + 1)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        head = self.head(x)  # (N, C, H, W)
        feature = head
        for group in self.groups:
            feature = group(feature)
        feature = feature + head
        for conv, factor in zip(self.upsample, FACTORS[self.scale], strict=True):
            feature = F.pixel_shuffle(conv(feature), factor)
        return self.last(feature)

    @torch.no_grad()
    def start_as_upsampler(self) -> bool:
        pass_rgb_through(self.head, gain=0.5)  # the groups pass it on, and the long skip adds it again
        for group in self.groups:
            silence_rgb(group.fuse)  # type: ignore[arg-type]
        for conv, factor in zip(self.upsample, FACTORS[self.scale], strict=True):
            assert isinstance(conv, nn.Conv2d)
            start_bilinear(conv, factor)
            conv.weight[: 3 * factor * factor, 3:] = 0  # the groups' features grow large, so RGB must not see them yet
        pass_rgb_through(self.last)
        return True


class Group(nn.Module):
    """Residual distilling blocks in a chain that widens, fused back to the group's width, plus the group's input."""

    def __init__(self, channels: int, blocks: int, distilled: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(RDB(channels + distilled * i, distilled) for i in range(blocks))
        self.fuse = nn.Conv2d(channels + distilled * blocks, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        feature = x
        for block in self.blocks:
            feature = block(feature)
        return F.elu(self.fuse(feature), ALPHA) + x


class RDB(nn.Module):
    """Residual distilling block: 1x1, 3x3, 1x1; most of the result is added to the input, the rest is put beside it."""

    def __init__(self, inputs: int, distilled: int) -> None:
        super().__init__()
        self.inputs = inputs
        self.reduce = nn.Conv2d(inputs, inputs // 2, 1)
        self.conv = nn.Conv2d(inputs // 2, inputs // 2, 3, padding=1)
        self.expand = nn.Conv2d(inputs // 2, inputs + distilled, 1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.expand(F.elu(self.conv(F.elu(self.reduce(x), ALPHA)), ALPHA))
        return torch.cat([out[:, : self.inputs] + x, out[:, self.inputs :]], 1)  # (N, D + distilled, H, W)
