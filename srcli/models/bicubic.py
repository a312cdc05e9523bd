"""Bicubic interpolation as a network without weights: the baseline of every table."""

from torch import Tensor

from srcli.models.base import SRModel, Tiling, Window
from srcli.models.blocks import bicubic


class Bicubic(SRModel):
    """MATLAB's imresize(x, scale)."""

    tiling = Tiling("local", overlap=2)
    learnt = False

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        return bicubic(x, self.scale).to(x.dtype)
