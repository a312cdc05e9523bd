"""Colour under and beside transparency.

Colour is straight in files: where alpha changes, so may the colour, from a white drawing to its black shadow. Alpha and
colour through a network on their own sharpen differently there and leave a fringe. What a network is given is therefore
colour over that of its surroundings, as a viewer shows it, and the surroundings are taken off the result again.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_SPREAD = 16  # px that colour spreads
_SIDE = 9  # px a side of the boxes that surroundings are means of
REACH = _SPREAD + _SIDE - 1  # px around that decide what a px is given as
_LEAST_WEIGHT = 1e-4  # of a transparent px among its surroundings
_LEAST_SHARE = 1 / 32  # below it errors of the network would show, were the px ever seen


class Blend(NamedTuple):
    """Colour as a network is given it, and what undoes that."""

    color: Tensor  # (N, C, H, W)
    around: Tensor  # colour of the surroundings, (N, C, H, W)
    level: Tensor  # alpha of the surroundings, (1, 1, H, W)
    colors: tuple[Tensor, Tensor]  # the lowest and the highest beside and in each px
    alphas: tuple[Tensor, Tensor]  # as `bounds` gives them


def blend(color: Tensor, alpha: Tensor) -> Blend:
    """Lay colour over that of its surroundings, the more of which shows the less alpha a px has of what is around it.

    `color` (N, C, H, W), `alpha` (1, 1, H, W), in [0, 1]. Where alpha is the same around a px, or the colour is, it stays.
    """
    color = bleed(color, alpha)
    level = _mean(F.max_pool2d(alpha, _SIDE, stride=1, padding=_SIDE // 2))
    weight = alpha + _LEAST_WEIGHT
    around = _mean(_mean(color * weight)) / _mean(_mean(weight))
    return Blend(torch.lerp(around, color, _share(alpha, level)), around, level, _extremes(color), bounds(alpha))


def unblend(color: Tensor, alpha: Tensor, around: Tensor, level: Tensor, colors: tuple[Tensor, Tensor]) -> Tensor:
    """Take the surroundings off an upscaled colour, (N, C, H, W); the others are upscaled to its size too.

    What is transparent beside its surroundings gets no colour that is not near it: there errors of the network grow.
    """
    share = _share(alpha, level)
    own = around + (color - around) / share.clamp(min=_LEAST_SHARE)
    return torch.where(share < 1, own.clamp(*colors), own)


def bounds(alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest that alpha may become, (1, 1, H, W).

    Both are 1 where a px and its neighbours are opaque, 0 where they are transparent: what is empty stays so.
    """
    least, most = _extremes(alpha)
    return (least >= 1).to(alpha.dtype), (most > 0).to(alpha.dtype)


def weigh(color: Tensor, alpha: Tensor) -> Tensor:
    """Return colour, colour times alpha, and alpha, (N, 2 C + 1, H, W): what a linear filter takes for a px's share."""
    color = bleed(color, alpha)
    return torch.cat([color, color * alpha, alpha], 1)


def unweigh(x: Tensor) -> Tensor:
    """Return the colour (N, C, H, W) of what `weigh` gave, once filtered; plain where next to nothing is seen of it."""
    count = x.shape[1] // 2
    plain, weighed, weight = x[:, :count], x[:, count:-1], x[:, -1:]
    return torch.where(weight > _LEAST_SHARE, weighed / weight, plain)


def bleed(color: Tensor, alpha: Tensor, *, reach: int = _SPREAD) -> Tensor:
    """Spread the colour of visible px into the fully transparent ones around them, `reach` px far.

    `color` (N, C, H, W), `alpha` (1, 1, H, W), in [0, 1]. What lies under transparency is arbitrary, often black,
    and a network would pull it into the visible edge.
    """
    known = (alpha > 0).to(color.dtype)
    color = color * known
    for _ in range(reach):
        if known.min() > 0:
            break
        weight = _sum_3x3(known)
        color = torch.where(known > 0, color, _sum_3x3(color) / weight.clamp(min=1))
        known = torch.maximum(known, (weight > 0).to(color.dtype))
    return color


def _extremes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the lowest and the highest of each px and its neighbours."""
    return -F.max_pool2d(-x, 3, stride=1, padding=1), F.max_pool2d(x, 3, stride=1, padding=1)


def _share(alpha: Tensor, level: Tensor) -> Tensor:
    return torch.where(level > 0, alpha / level, 1.0).clamp(max=1)


def _mean(x: Tensor) -> Tensor:
    """Average over boxes of `_SIDE` px, of which those outside the picture do not count."""
    for side, padding in (((_SIDE, 1), (_SIDE // 2, 0)), ((1, _SIDE), (0, _SIDE // 2))):
        x = F.avg_pool2d(x, side, stride=1, padding=padding, count_include_pad=False)
    return x


def _sum_3x3(x: Tensor) -> Tensor:
    """Sum each px and its neighbours; 14 times as quick on a CPU as a convolution with ones."""
    x = F.pad(x, (1, 1, 1, 1))
    x = x[..., :-2, :] + x[..., 1:-1, :] + x[..., 2:, :]
    return x[..., :-2] + x[..., 1:-1] + x[..., 2:]
