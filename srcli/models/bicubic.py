"""Bicubic interpolation as a network without weights: the baseline of every table."""

from torch import Tensor

from srcli.models.base import SRModel, Tiling, Window
from srcli.ops.resize import resize


class Bicubic(SRModel):
    """MATLAB's imresize(x, scale)."""

    tiling = Tiling("local", overlap=2)
    learnt = False

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        dtype = x.dtype
        return resize(x.float(), x.shape[-2] * self.scale, x.shape[-1] * self.scale).to(dtype)
