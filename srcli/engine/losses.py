"""Training losses: functions of (sr, hr), both (N, C, H, W) in [0, 1]."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def charbonnier(sr: Tensor, hr: Tensor) -> Tensor:
    """Smooth L1 of Lai et al., LapSRN, CVPR 2017: sqrt(d^2 + 1e-6)."""
    return ((sr - hr).square() + 1e-6).sqrt().mean()


def frequency(sr: Tensor, hr: Tensor) -> Tensor:
    """L1 of the real and imaginary parts of the spectra: Cho et al., MIMO-UNet, ICCV 2021, eq. 6."""
    return torch.view_as_real(torch.fft.rfft2(sr) - torch.fft.rfft2(hr)).abs().mean()


def make_loss(name: str, *, beta: float = 0.5, weight: float = 0.05) -> Loss:
    """Return l1, smooth-l1 (its knee at `beta`), mse, charbonnier or frequency (L1 + `weight` times that of the spectra).

    0.05 is the weight of Sun et al., SAFMN, ICCV 2023.
    """
    table: dict[str, Loss] = {
        "l1": F.l1_loss,
        "smooth-l1": lambda sr, hr: F.smooth_l1_loss(sr, hr, beta=beta),
        "mse": F.mse_loss,
        "charbonnier": charbonnier,
        "frequency": lambda sr, hr: F.l1_loss(sr, hr) + weight * frequency(sr, hr),
    }
    return table[name]
