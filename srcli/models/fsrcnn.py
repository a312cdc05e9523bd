"""FSRCNN: Dong, Loy, Tang: Accelerating the Super-Resolution Convolutional Neural Network, ECCV 2016.

FSRCNN(56, 12, 4) on luma: 12,809 parameters at every scale. The published 6.0, 5.0 and 4.6 G multiply-adds count the
transposed convolution on the output grid; on its input grid, where it works, they are 2.87, 1.27 and 0.72 G.
"""

from typing import ClassVar

from torch import Tensor, nn

from srcli.models.base import SRModel, Tiling, Window


class FSRCNN(SRModel):
    """Extract, shrink, map, expand on the small picture; a 9x9 transposed convolution enlarges."""

    channels: ClassVar[int] = 1

    def __init__(self, scale: int, *, width: int = 56, shrunk: int = 12, maps: int = 4) -> None:
        super().__init__(scale)
        self.extract = nn.Conv2d(1, width, 5, padding=2)
        self.extract_act = nn.PReLU(width)
        self.shrink = nn.Conv2d(width, shrunk, 1)
        self.shrink_act = nn.PReLU(shrunk)
        self.maps = nn.ModuleList(nn.Conv2d(shrunk, shrunk, 3, padding=1) for _ in range(maps))
        self.map_acts = nn.ModuleList(nn.PReLU(shrunk) for _ in range(maps))
        self.expand = nn.Conv2d(shrunk, width, 1)
        self.expand_act = nn.PReLU(width)
        self.enlarge = nn.ConvTranspose2d(width, 1, 9, stride=scale, padding=4, output_padding=scale - 1)
        self.tiling = Tiling("local", 2 + maps + (scale + 3) // scale)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        x = self.extract_act(self.extract(x))  # (N, 56, H, W)
        x = self.shrink_act(self.shrink(x))  # (N, 12, H, W)
        for conv, act in zip(self.maps, self.map_acts, strict=True):
            x = act(conv(x))
        return self.enlarge(self.expand_act(self.expand(x)))
