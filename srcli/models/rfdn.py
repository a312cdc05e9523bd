"""RFDN: Liu, Tang, Wu: Residual Feature Distillation Network for Lightweight Image Super-Resolution, ECCV workshops 2020.

The defaults are E-RFDN, the winner of the AIM 2020 challenge and the only RFDN with public code
(github.com/njulj/RFDN): 4 blocks of 50 channels, enhanced spatial attention, no residual over the block.
It reproduces 0.433 M parameters, 27.10 G NTIRE FLOPs, 112.03 M activations and 64 convolutions at x4. The RFDN of the
paper's tables is another network: 6 blocks, contrast channel attention (reduction 4) instead, and a residual over the
block, which the author says was dropped in the code (njulj/RFDN issues 3 and 5). With 48 channels that makes 534,036 /
540,531 / 549,624 parameters at x2 / x3 / x4 (published 534K, 541K, 550K) and 120.9 / 54.3 / 31.1 G multiply-adds; with
52 channels (RFDN-L) 625,962 / 632,997 / 642,846 (626K, 633K, 643K).
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models.base import SRModel, Tiling, Window, as_autocast, pass_rgb_through, silence_rgb, start_bilinear
from srcli.models.blocks import CCA, ESA

SLOPE = 0.05


class RFDN(SRModel):
    """Residual feature distillation network; `channels` wide, `blocks` deep."""

    def __init__(
        self,
        scale: int,
        *,
        channels: int = 50,
        blocks: int = 4,
        attention: Literal["esa", "cca"] = "esa",
        residual: bool = False,
    ) -> None:
        super().__init__(scale)
        self.min_side = 15 if attention == "esa" else 1
        self.tiling = Tiling("strided", 72, phase=6) if attention == "esa" else Tiling("statistics", 4 * blocks + 3)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(RFDB(channels, attention, residual) for _ in range(blocks))
        self.fuse = nn.Conv2d(channels * blocks, channels, 1)
        self.body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        # the long skip carries the picture itself: kept in float32, bf16 comes within 60 dB of float32, else within 51
        with torch.autocast(x.device.type, enabled=False):
            head = self.head(x)  # (N, C, H, W)
        outputs, feature = [], as_autocast(head)
        for block in self.blocks:
            feature = block(feature, window)
            outputs.append(feature)
        body = self.body(F.leaky_relu(self.fuse(torch.cat(outputs, 1)), SLOPE))
        with torch.autocast(x.device.type, enabled=False):
            return F.pixel_shuffle(self.upsample(body.to(head.dtype) + head), self.scale)

    def start_as_upsampler(self) -> bool:
        pass_rgb_through(self.head)
        silence_rgb(self.body)
        start_bilinear(self.upsample, self.scale)
        return True


class RFDB(nn.Module):
    """Residual feature distillation block: three times distil half and refine, then fuse and attend."""

    def __init__(self, channels: int, attention: Literal["esa", "cca"], residual: bool) -> None:
        super().__init__()
        half = channels // 2
        self.distil = nn.ModuleList(nn.Conv2d(channels, half, 1) for _ in range(3))
        self.refine = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))
        self.last = nn.Conv2d(channels, half, 3, padding=1)
        self.fuse = nn.Conv2d(4 * half, channels, 1)
        self.attention = ESA(channels, channels // 4) if attention == "esa" else CCA(channels, 4)
        self.residual = residual

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        kept, before = [], x
        for distil, refine in zip(self.distil, self.refine, strict=True):
            kept.append(distil(x))
            x = F.leaky_relu_(refine(x).add_(x), SLOPE)  # shallow residual block
        kept.append(self.last(x))
        # the four are activated as one and in place: half the memory traffic, and no gradient of slices
        out: Tensor = self.attention(self.fuse(F.leaky_relu_(torch.cat(kept, 1), SLOPE)), window)
        return out + before if self.residual else out
