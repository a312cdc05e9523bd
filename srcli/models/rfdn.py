"""RFDN: Liu, Tang, Wu: Residual Feature Distillation Network for Lightweight Image Super-Resolution, ECCV workshops 2020.

The defaults are E-RFDN, the winner of the AIM 2020 challenge and the only RFDN with public code
(github.com/njulj/RFDN): 4 blocks of 50 channels, enhanced spatial attention, no residual over the block.
It reproduces 0.433 M parameters and 27.10 G NTIRE FLOPs at x4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models.base import SRModel, Tiling, Window, pass_rgb_through, silence_rgb, start_bilinear
from srcli.models.blocks import ESA

SLOPE = 0.05


class RFDN(SRModel):
    """Residual feature distillation network; `channels` wide, `blocks` deep."""

    min_side = 15
    tiling = Tiling("strided", overlap=60, phase=6)

    def __init__(self, scale: int, *, channels: int = 50, blocks: int = 4) -> None:
        super().__init__(scale)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(RFDB(channels) for _ in range(blocks))
        self.fuse = nn.Conv2d(channels * blocks, channels, 1)
        self.body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        head = self.head(x)  # (N, C, H, W)
        outputs, feature = [], head
        for block in self.blocks:
            feature = block(feature, window)
            outputs.append(feature)
        body = self.body(F.leaky_relu(self.fuse(torch.cat(outputs, 1)), SLOPE)) + head
        return F.pixel_shuffle(self.upsample(body), self.scale)

    def start_as_upsampler(self) -> bool:
        pass_rgb_through(self.head)
        silence_rgb(self.body)
        start_bilinear(self.upsample, self.scale)
        return True


class RFDB(nn.Module):
    """Residual feature distillation block: three times distil half and refine, then fuse and attend."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.distil = nn.ModuleList(nn.Conv2d(channels, half, 1) for _ in range(3))
        self.refine = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.last = nn.Conv2d(channels, half, 3, padding=1)
        self.fuse = nn.Conv2d(4 * half, channels, 1)
        self.attention = ESA(channels, channels // 4)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        kept = []
        for distil, refine in zip(self.distil, self.refine, strict=True):
            kept.append(F.leaky_relu(distil(x), SLOPE))
            x = F.leaky_relu(refine(x) + x, SLOPE)  # shallow residual block
        kept.append(F.leaky_relu(self.last(x), SLOPE))
        out: Tensor = self.attention(self.fuse(torch.cat(kept, 1)), window)
        return out
