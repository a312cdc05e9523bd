"""CARN and CARN-M: Ahn, Kang, Sohn: Fast, Accurate, and Lightweight SR with Cascading Residual Network, ECCV 2018.

One network for x2, x3 and x4 that carries all three upsamplers, so the authors' multi-scale files load: 1,591,939
parameters (published 1,592K) and 414,787 for CARN-M (412K). One scale alone uses 964,163 / 1,148,803 / 1,111,875 and
257,027 / 303,427 / 294,147; its multiply-adds, 222.8 / 118.6 / 90.9 G and 91.2 / 46.1 / 32.5 G, are the published ones
(118.8 at x3 is for the exact area). CARN-M is `groups=4` with one unit used three times in each block (`shared`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from srcli.models.base import FACTORS, SRModel, Tiling, Window, before_shuffles, pass_rgb_through, start_bilinear

MEAN = (0.4488, 0.4371, 0.4040)  # of DIV2K, section 4.1


class CARN(SRModel):
    """Cascading residual network: three blocks of three units, each stage fused with all before it."""

    mean: Tensor

    def __init__(self, scale: int, *, width: int = 64, groups: int = 1, shared: bool = False) -> None:
        super().__init__(scale)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.ModuleList(CascadingBlock(width, groups, shared) for _ in range(3))
        self.fuse = nn.ModuleList(nn.Conv2d(width * (i + 2), width, 1) for i in range(3))
        self.upsample = nn.ModuleDict(
            {
                str(s): nn.ModuleList(nn.Conv2d(width, width * f * f, 3, padding=1, groups=groups) for f in factors)
                for s, factors in FACTORS.items()
            }
        )
        self.last = nn.Conv2d(width, 3, 3, padding=1)
        self.tiling = Tiling("local", before_shuffles(scale, 1) + 1 + 3 * 3 * 2)

    def forward(self, x: Tensor, window: Window | None = None) -> Tensor:
        x = self.head(x - self.mean)  # (N, C, H, W)
        out = _cascade(x, list(self.blocks), self.fuse)
        for conv, factor in zip(self._upsampler(self.scale), FACTORS[self.scale], strict=True):
            out = F.pixel_shuffle(F.relu(conv(out)), factor)
        return self.last(out) + self.mean

    def single_scale_parameters(self) -> int:
        unused = (m for s, m in self.upsample.items() if s != str(self.scale))
        return super().single_scale_parameters() - sum(p.numel() for m in unused for p in m.parameters())

    @torch.no_grad()
    def start_as_upsampler(self) -> bool:
        pass_rgb_through(self.head)
        self.head.bias[:3] = self.mean.flatten()  # type: ignore[index] # kept from ReLU: RGB is not negative
        last = self.fuse[-1]
        assert isinstance(last, nn.Conv2d)
        pass_rgb_through(last)
        for s, factors in FACTORS.items():
            for conv, factor in zip(self._upsampler(s), factors, strict=True):
                start_bilinear(conv, factor)  # type: ignore[arg-type]
        pass_rgb_through(self.last)
        self.last.bias[:3] = -self.mean.flatten()  # type: ignore[index]
        return True

    def _upsampler(self, scale: int) -> nn.ModuleList:
        stages = self.upsample[str(scale)]
        assert isinstance(stages, nn.ModuleList)
        return stages


class CascadingBlock(nn.Module):
    """Three residual units, each fused with the block's input and all units before it."""

    def __init__(self, width: int, groups: int, shared: bool) -> None:
        super().__init__()
        self.units = nn.ModuleList(Unit(width, groups) for _ in range(1 if shared else 3))
        self.fuse = nn.ModuleList(nn.Conv2d(width * (i + 2), width, 1) for i in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return _cascade(x, [self.units[i % len(self.units)] for i in range(3)], self.fuse)


class Unit(nn.Module):
    """Two 3x3 convolutions with a residual; in groups (CARN-M) a 1x1 follows that mixes them."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, groups=groups)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=groups)
        self.mix = nn.Conv2d(width, width, 1) if groups > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(F.relu(self.conv1(x)))
        if self.mix is not None:
            out = self.mix(F.relu(out))
        return F.relu(out + x)


def _cascade(x: Tensor, stages: list[nn.Module], fuse: nn.ModuleList) -> Tensor:
    collected, out = x, x
    for stage, mix in zip(stages, fuse, strict=True):
        collected = torch.cat([collected, stage(out)], 1)
        out = F.relu(mix(collected))
    return out
