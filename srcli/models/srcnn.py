"""SRCNN: Dong, Loy, He, Tang: Image Super-Resolution Using Deep Convolutional Networks, TPAMI 2016.

The 9-5-5 network on bicubically enlarged luma: 57,281 parameters and 52.7 G multiply-adds at 1280x720. (The "8K" of
IMDN's table is the 9-1-5 network, 8,129 parameters: `kernels=(9, 1, 5)`.)
"""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models.base import SRModel, Tiling, Window, pass_rgb_through
from srcli.models.blocks import bicubic, bicubic_reach


class SRCNN(SRModel):
    """Three convolutions on the enlarged picture: extract, map, reconstruct."""

    channels: ClassVar[int] = 1

    def __init__(self, scale: int, *, kernels: tuple[int, ...] = (9, 5, 5), widths: tuple[int, ...] = (64, 32)) -> None:
        super().__init__(scale)
        sizes = [1, *widths, 1]
        self.layers = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], kernel, padding=kernel // 2) for i, kernel in enumerate(kernels)
        )
        self.tiling = Tiling("local", bicubic_reach(scale, sum(kernel // 2 for kernel in kernels)))

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        x = bicubic(x, self.scale).to(x.dtype)  # (N, 1, sH, sW)
        *hidden, last = self.layers
        for layer in hidden:
            x = F.relu(layer(x))
        return last(x)

    @torch.no_grad()
    def start_as_upsampler(self) -> bool:
        for layer in self.layers:
            assert isinstance(layer, nn.Conv2d)
            pass_rgb_through(layer)  # luma is not negative, so ReLU leaves it
        return True
