"""PAN: Zhao, Kong, He, Qiao, Dong: Efficient Image Super-Resolution Using Pixel Attention, ECCV workshops 2020.

16 self-calibrated blocks of 40 channels and a 24-channel reconstruction with pixel attention, plus the bilinearly
enlarged picture: 261,403 / 261,403 / 272,419 parameters and 70.5 / 39.0 / 28.2 G multiply-adds at x2 / x3 / x4. x2 and
x3 have the same tensors, so a file of weights does not tell them apart.
"""

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models.base import FACTORS, SRModel, Tiling, Window, coarser, silence
from srcli.models.blocks import NearestConv

SLOPE = 0.2


class PAN(SRModel):
    """Pixel attention network; `channels` wide, `blocks` deep, `width` channels while upsampling."""

    def __init__(self, scale: int, *, channels: int = 40, blocks: int = 16, width: int = 24) -> None:
        super().__init__(scale)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(SCPA(channels) for _ in range(blocks))
        self.body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = nn.ModuleList(
            UPA(channels if i == 0 else width, width, factor) for i, factor in enumerate(FACTORS[scale])
        )
        self.last = nn.Conv2d(width, 3, 3, padding=1)
        radius = 1
        for factor in FACTORS[scale]:
            radius = coarser(radius + 2, factor)
        self.tiling = Tiling("local", radius + 2 * blocks + 2)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        head = self.head(x)  # (N, C, H, W)
        feature = head
        for block in self.blocks:
            feature = block(feature)
        feature = self.body(feature) + head
        for stage in self.upsample:
            feature = stage(feature)
        out: Tensor = self.last(feature)
        return out + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)

    def fold(self) -> Self:
        for stage in self.upsample:
            stage.conv1.fold()  # type: ignore[union-attr,operator]
        return super().fold()

    def start_as_upsampler(self) -> bool:
        silence(self.last)
        return True


class SCPA(nn.Module):
    """Self-calibrated block with pixel attention: two half-width branches, one of them gated pixel by pixel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce_a = nn.Conv2d(channels, half, 1, bias=False)
        self.reduce_b = nn.Conv2d(channels, half, 1, bias=False)
        self.conv_a = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.gate = nn.Conv2d(half, half, 1)
        self.conv_b1 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.conv_b2 = nn.Conv2d(half, half, 3, padding=1, bias=False)
        self.fuse = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        a = F.leaky_relu(self.reduce_a(x), SLOPE)
        b = F.leaky_relu(self.reduce_b(x), SLOPE)
        a = F.leaky_relu(self.conv_a(a), SLOPE)
        b = F.leaky_relu(self.conv_b2(self.conv_b1(b) * torch.sigmoid(self.gate(b))), SLOPE)
        return self.fuse(torch.cat([a, b], 1)) + x


class UPA(nn.Module):
    """Nearest-neighbour upsampling, 3x3, pixel attention, 3x3."""

    def __init__(self, inputs: int, outputs: int, factor: int) -> None:
        super().__init__()
        self.conv1 = NearestConv(inputs, outputs, factor)
        self.gate = nn.Conv2d(outputs, outputs, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = F.leaky_relu(x * torch.sigmoid(self.gate(x)), SLOPE)
        return F.leaky_relu(self.conv2(x), SLOPE)
