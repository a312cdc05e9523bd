"""IMDN: Hui, Gao, Yang, Wang: Lightweight Image Super-Resolution with Information Multi-distillation Network, ACM MM 2019.

The defaults are the paper's network: 694,404 / 703,059 / 715,176 parameters and 158.8 / 71.3 / 40.9 G multiply-adds at
x2 / x3 / x4. The baseline of the NTIRE 2022 challenge is another one: eight blocks without attention in a chain, no
fusion of their outputs (`blocks=8, attention=False, fused=False`: 893,936 parameters, 58.53 G NTIRE FLOPs at x4).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models.base import SRModel, Tiling, Window, pass_rgb_through, silence_rgb, start_bilinear
from srcli.models.blocks import CCA

SLOPE = 0.05


class IMDN(SRModel):
    """Information multi-distillation network; `channels` wide, `blocks` deep."""

    def __init__(self, scale: int, *, channels: int = 64, blocks: int = 6, attention: bool = True, fused: bool = True) -> None:
        super().__init__(scale)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList(IMDB(channels, attention) for _ in range(blocks))
        self.fuse = nn.Conv2d(channels * blocks, channels, 1) if fused else None
        self.body = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsample = nn.Conv2d(channels, 3 * scale * scale, 3, padding=1)
        self.tiling = Tiling("statistics" if attention else "local", 4 * blocks + 3)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        head = self.head(x)  # (N, C, H, W)
        outputs, feature = [], head
        for block in self.blocks:
            feature = block(feature, window)
            outputs.append(feature)
        if self.fuse is not None:
            feature = F.leaky_relu(self.fuse(torch.cat(outputs, 1)), SLOPE)
        return F.pixel_shuffle(self.upsample(self.body(feature) + head), self.scale)

    def start_as_upsampler(self) -> bool:
        pass_rgb_through(self.head)
        silence_rgb(self.body)
        start_bilinear(self.upsample, self.scale)
        return True


class IMDB(nn.Module):
    """Information multi-distillation block: three times keep a quarter and go on with the rest, then attend and fuse."""

    def __init__(self, channels: int, attention: bool) -> None:
        super().__init__()
        self.kept = channels // 4
        self.rest = channels - self.kept
        self.refine = nn.ModuleList(nn.Conv2d(channels if i == 0 else self.rest, channels, 3, padding=1) for i in range(3))
        self.last = nn.Conv2d(self.rest, self.kept, 3, padding=1)
        self.attention = CCA(4 * self.kept, 16) if attention else None
        self.fuse = nn.Conv2d(4 * self.kept, channels, 1)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        kept, rest = [], x
        for conv in self.refine:
            part, rest = torch.split(F.leaky_relu(conv(rest), SLOPE), [self.kept, self.rest], 1)
            kept.append(part)
        out = torch.cat([*kept, self.last(rest)], 1)
        if self.attention is not None:
            out = self.attention(out, window)
        return self.fuse(out) + x
