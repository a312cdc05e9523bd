"""PSNR and SSIM of tensors, as the super-resolution papers count them; which channel and border is the caller's choice."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def shave(x: Tensor, border: int) -> Tensor:
    """Cut `border` px off each side of (N, C, H, W)."""
    return x[..., border : x.shape[-2] - border, border : x.shape[-1] - border] if border else x


def psnr(sr: Tensor, hr: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of (N, C, H, W) in [0, 1]; inf when equal."""
    return decibels((sr.double() - hr.double()).square().mean().item())


def decibels(error: float) -> float:
    """Return the PSNR in dB of a mean squared error of values in [0, 1]; inf for none."""
    return -10 * math.log10(error) if error else math.inf


def ssim(sr: Tensor, hr: Tensor) -> float:
    """Structural similarity of (N, C, H, W) in [0, 1], both sides at least 11 px.

    Wang et al. 2004: 11x11 Gaussian window of sigma 1.5 without padding, K1 = 0.01, K2 = 0.03, mean of the map.
    """
    channels = sr.shape[1]
    line = torch.exp(-((torch.arange(11, dtype=torch.float64) - 5) ** 2) / (2 * 1.5**2))
    line = (line / line.sum()).to(sr.device)

    def blur(x: Tensor) -> Tensor:
        x = F.conv2d(x, line.view(1, 1, 11, 1).expand(channels, 1, 11, 1), groups=channels)
        return F.conv2d(x, line.view(1, 1, 1, 11).expand(channels, 1, 1, 11), groups=channels)

    a, b = sr.double(), hr.double()
    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    similarity = ((2 * mean_a * mean_b + c1) * (2 * covariance + c2)) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return similarity.mean().item()
