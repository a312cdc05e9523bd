"""Colour under transparency."""

import torch
import torch.nn.functional as F
from torch import Tensor


def bleed(color: Tensor, alpha: Tensor, *, reach: int = 16) -> Tensor:
    """Spread the colour of visible px into the fully transparent ones around them, `reach` px far.

    `color` (1, C, H, W), `alpha` (1, 1, H, W), in [0, 1]. What lies under transparency is arbitrary, often black,
    and a network would pull it into the visible edge.
    """
    known = (alpha > 0).to(color.dtype)
    color = color * known
    ones = torch.ones(1, 1, 3, 3, dtype=color.dtype, device=color.device)
    for _ in range(reach):
        weight = F.conv2d(known, ones, padding=1)
        total = F.conv2d(color.transpose(0, 1), ones, padding=1).transpose(0, 1)
        reached = (weight > 0).to(color.dtype)
        color = torch.where(known > 0, color, total / weight.clamp(min=1))
        known = torch.maximum(known, reached)
    return color
