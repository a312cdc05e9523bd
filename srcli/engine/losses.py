"""Training losses: functions of (sr, hr), both (N, C, H, W) in [0, 1]."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Smooth L1 of Lai et al., LapSRN, CVPR 2017: sqrt(d^2 + 1e-6)."""
    return ((sr - hr).square() + 1e-6).sqrt().mean()


def make_loss(name: str, beta: float) -> Loss:
    """Return l1, smooth-l1 (its knee at `beta`), mse or charbonnier."""
    table: dict[str, Loss] = {
        "l1": F.l1_loss,
        "smooth-l1": lambda sr, hr: F.smooth_l1_loss(sr, hr, beta=beta),
        "mse": F.mse_loss,
        "charbonnier": charbonnier,
    }
    return table[name]
