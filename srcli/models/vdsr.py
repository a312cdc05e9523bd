"""VDSR: Kim, Lee, Lee: Accurate Image Super-Resolution Using Very Deep Convolutional Networks, CVPR 2016.

20 convolutions on bicubically enlarged luma, plus that luma. With biases it has the paper's 665 K parameters (665,921),
612.6 G multiply-adds at 1280x720; the public code leaves the biases out (`bias=False`: 664,704).
"""

from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models.base import SRModel, Tiling, Window, silence
from srcli.models.blocks import bicubic, bicubic_reach


class VDSR(SRModel):
    """A plain stack of `layers` 3x3 convolutions that learns what bicubic interpolation leaves out."""

    channels: ClassVar[int] = 1

    def __init__(self, scale: int, *, width: int = 64, layers: int = 20, bias: bool = True) -> None:
        super().__init__(scale)
        self.head = nn.Conv2d(1, width, 3, padding=1, bias=bias)
        self.body = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, bias=bias) for _ in range(layers - 2))
        self.last = nn.Conv2d(width, 1, 3, padding=1, bias=bias)
        for conv in [self.head, *self.body]:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")  # He et al., as section 3.2
        self.tiling = Tiling("local", bicubic_reach(scale, layers))

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        enlarged = bicubic(x, self.scale)  # (N, 1, sH, sW)
        feature = F.relu(self.head(enlarged.to(x.dtype)))
        for conv in self.body:
            feature = F.relu(conv(feature))
        return self.last(feature) + enlarged

    def start_as_upsampler(self) -> bool:
        silence(self.last)
        return True
