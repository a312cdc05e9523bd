"""IDN: Hui, Wang, Gao: Fast and Accurate Single Image Super-Resolution via Information Distillation Network, CVPR 2018.

Luma only; 552,769 parameters at every scale, as the authors' README has it (FDIWN's table prints 590K). The released
Caffe network gives (H-1)*s + 1 rows of which the first lies on row s-1 of the HR picture; the same transposed
convolution gives the other s-1 rows here.
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models.base import SRModel, Tiling, Window, silence
from srcli.models.blocks import bicubic

SLOPE = 0.05


class IDN(SRModel):
    """Information distillation network; what it adds to bicubic interpolation comes from `blocks` distillation blocks."""

    channels: ClassVar[int] = 1

    def __init__(self, scale: int, *, blocks: int = 4) -> None:
        super().__init__(scale)
        self.head1 = nn.Conv2d(1, 64, 3, padding=1)
        self.head2 = nn.Conv2d(64, 64, 3, padding=1)
        self.blocks = nn.ModuleList(DBlock() for _ in range(blocks))
        self.enlarge = nn.ConvTranspose2d(64, 1, 17, stride=scale, padding=9 - scale)  # 8, and s-1 rows before
        self.tiling = Tiling("local", 2 + 6 * blocks + max(1 + 7 // scale, 8 // scale))

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        feature = F.leaky_relu(self.head2(F.leaky_relu(self.head1(x), SLOPE)), SLOPE)
        for block in self.blocks:
            feature = block(feature)
        enlarged = bicubic(x, self.scale)  # (N, 1, sH, sW)
        detail: Tensor = self.enlarge(feature)
        return detail[..., : enlarged.shape[-2], : enlarged.shape[-1]] + enlarged

    def start_as_upsampler(self) -> bool:
        silence(self.enlarge)
        return True


class DBlock(nn.Module):
    """Enhancement unit (two stacks of three convolutions, a quarter kept after the first) and compression unit."""

    def __init__(self) -> None:
        super().__init__()
        self.above = nn.ModuleList(
            [
                nn.Conv2d(64, 48, 3, padding=1),
                nn.Conv2d(48, 32, 3, padding=1, groups=4),
                nn.Conv2d(32, 64, 3, padding=1),
            ]
        )
        self.below = nn.ModuleList(
            [
                nn.Conv2d(48, 64, 3, padding=1),
                nn.Conv2d(64, 48, 3, padding=1, groups=4),
                nn.Conv2d(48, 80, 3, padding=1),
            ]
        )
        self.compress = nn.Conv2d(80, 64, 1)

    def forward(self, x: Tensor) -> Tensor:
        feature = x
        for conv in self.above:
            feature = F.leaky_relu(conv(feature), SLOPE)
        kept, feature = torch.split(feature, [16, 48], 1)
        for conv in self.below:
            feature = F.leaky_relu(conv(feature), SLOPE)
        return F.leaky_relu(self.compress(feature + torch.cat([x, kept], 1)), SLOPE)
