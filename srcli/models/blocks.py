"""Blocks that several papers share unchanged."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models.base import Window
from srcli.models.statistics import PictureStatistics
from srcli.ops.resize import enlarge, resize


class ESA(nn.Module):
    """Enhanced spatial attention: a gate computed on a grid of one cell in 6 px and looked up bilinearly.

    Liu, Zhang, Tang, Tang, Wu: Residual Feature Aggregation Network, CVPR 2020, in the lighter form of RFDN
    (Liu, Tang, Wu: Residual Feature Distillation Network, ECCV workshops 2020). Cell i sees rows 6i to 6i + 14,
    so both sides must be at least 15 px, and a tile whose origin is a multiple of 6 has the cells of the whole.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, width, 1)
        self.stride = nn.Conv2d(width, width, 3, stride=2)
        self.grid1 = nn.Conv2d(width, width, 3, padding=1)
        self.grid2 = nn.Conv2d(width, width, 3, padding=1)
        self.grid3 = nn.Conv2d(width, width, 3, padding=1)
        self.local = nn.Conv2d(width, width, 1)
        self.expand = nn.Conv2d(width, channels, 1)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        near = self.reduce(x)  # (N, f, H, W)
        grid = F.max_pool2d(self.stride(near), 7, stride=3)  # (N, f, about H/6, about W/6)
        grid = self.grid3(F.relu(self.grid2(F.relu(self.grid1(grid)))))
        far = look_up(grid, (x.shape[-2], x.shape[-1]), window)  # (N, f, H, W)
        return x * torch.sigmoid(self.expand(far + self.local(near)))


class NearestConv(nn.Conv2d):
    """3x3 convolution, padded with zeros, of the nearest-neighbour enlargement of its input by `factor` (2 or more).

    In training and once folded it is computed on the grid of its input, where the copies of a px are one: 2x2 kernels, sums of
    the taps that meet the same px, one for each of the factor**2 outputs of a px. The same function but for rounding, with 4 in
    place of 9 multiplications an output. Before it is folded it is computed, and so counted, as papers write it.
    """

    def __init__(self, inputs: int, outputs: int, factor: int) -> None:
        super().__init__(inputs, outputs, 3, padding=1)
        self.factor = factor
        self.folded = False

    def forward(self, x: Tensor) -> Tensor:
        if self.folded:
            return self._spread(x, self.weight, self.bias)
        if self.training and torch.is_grad_enabled():
            return self._spread(x, *self._merged())
        return super().forward(F.interpolate(x, scale_factor=self.factor, mode="nearest"))

    @torch.no_grad()
    def fold(self) -> None:
        """Keep the 2x2 kernels in place of the 3x3 one."""
        if self.folded:
            return
        weight, bias = self._merged()
        assert self.bias is not None
        self.weight = nn.Parameter(weight, self.weight.requires_grad)
        self.bias = nn.Parameter(bias, self.bias.requires_grad)
        self.kernel_size = (2, 2)
        self.folded = True

    def _merged(self) -> tuple[Tensor, Tensor]:
        """Return the 2x2 kernels (factor**2 * outputs, inputs, 2, 2), by place and then by channel, and their bias."""
        assert self.bias is not None
        factor = self.factor
        # place p of cell i is row factor*i - 1 + p of the output; tap t of the kernel meets row i - 1 or row i of the input
        meets = self.weight.new_zeros(factor, 2, 3)
        for p in range(factor):
            for t in range(3):
                meets[p, (p + t - 2) // factor + 1, t] = 1
        with torch.autocast(self.weight.device.type, enabled=False):
            kernels = torch.einsum("oiyx,pay,qbx->pqoiab", self.weight, meets, meets)
        return kernels.flatten(0, 2), self.bias.repeat(factor**2)

    def _spread(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        factor, (height, width) = self.factor, x.shape[-2:]
        # one name all through, so that no more than two of these are held at once
        out = F.conv2d(x, weight.contiguous(memory_format=torch.channels_last), bias, padding=1)
        out = out.permute(0, 2, 3, 1).reshape(-1, height + 1, width + 1, factor, factor, self.out_channels)
        out = out.transpose(2, 3).reshape(-1, factor * (height + 1), factor * (width + 1), self.out_channels)
        out = out[:, 1 : factor * height + 1, 1 : factor * width + 1].contiguous()
        return out.permute(0, 3, 1, 2)  # (N, C, factor * H, factor * W)


class CCA(nn.Module):
    """Contrast channel attention: a gate a channel from its standard deviation plus its mean over the picture.

    Hui, Gao, Yang, Wang: IMDN, ACM MM 2019, section 3.3.
    """

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        self.pool = PictureStatistics()
        self.reduce = nn.Conv2d(channels, channels // reduction, 1)
        self.expand = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        pooled = self.pool(x, window)
        contrast = (pooled.std + pooled.mean).to(x.dtype)  # (N, C, 1, 1)
        return x * torch.sigmoid(self.expand(F.relu(self.reduce(contrast))))


def bicubic(x: Tensor, scale: int) -> Tensor:
    """Enlarge (N, C, H, W) as MATLAB's imresize does, in float32 also under autocast."""
    with torch.autocast(x.device.type, enabled=False):
        if torch.compiler.is_exporting():
            return enlarge(x.float(), scale)
        return resize(x.float(), x.shape[-2] * scale, x.shape[-1] * scale)


def bicubic_reach(scale: int, radius: int) -> int:
    """Return the receptive radius in input px of `radius` px around an output px of `bicubic`."""
    return 1 - (1 - 2 * radius - scale) // (2 * scale)


def look_up(grid: Tensor, size: tuple[int, int], window: Window | None) -> Tensor:
    """Stretch an attention grid bilinearly to `size`, in the whole picture's coordinates when `x` is a tile of it."""
    if window is None:
        return F.interpolate(grid, size, mode="bilinear", align_corners=False)
    rows = _cells(size[0], window.top, window.height, grid.shape[-2], grid)
    columns = _cells(size[1], window.left, window.width, grid.shape[-1], grid)
    return rows @ grid @ columns.mT


def _cells(size: int, origin: int, whole: int, cells: int, like: Tensor) -> Tensor:
    """Return the (size, cells) bilinear weights of a tile's rows over its own cells."""
    whole_cells = ((whole - 3) // 2 + 1 - 7) // 3 + 1
    where = like.device if like.is_cuda else torch.device("cpu")  # a copy to a GPU would wait for it; MPS has no float64
    position = (torch.arange(origin, origin + size, dtype=torch.float64, device=where) + 0.5) * (whole_cells / whole) - 0.5
    position = (position.clamp(0, whole_cells - 1) - origin // 6).clamp(0, cells - 1)
    low = position.floor().clamp(max=max(cells - 2, 0)).long()
    weights = torch.zeros(size, cells, dtype=torch.float64, device=where)
    weights.scatter_(1, low[:, None], (1 - (position - low))[:, None])
    if cells > 1:
        weights.scatter_(1, low[:, None] + 1, (position - low)[:, None])
    return weights.to(like)
