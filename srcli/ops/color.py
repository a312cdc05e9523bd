"""ITU-R BT.601 studio-swing colour, as MATLAB's rgb2ycbcr and ycbcr2rgb have it."""

import torch
from torch import Tensor

# Rows Y, Cb, Cr over R, G, B; MATLAB rgb2ycbcr, scaled so that both sides are in [0, 1].
_FORWARD = torch.tensor(
    [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]],
    dtype=torch.float64,
)
_OFFSET = torch.tensor([16.0, 128.0, 128.0], dtype=torch.float64)


def luma(rgb: Tensor) -> Tensor:
    """Return (N, 1, H, W) studio-swing Y in [16/255, 235/255] of (N, 3, H, W) RGB in [0, 1]."""
    weights = (_FORWARD[0] / 255).to(rgb)
    return (rgb * weights.view(1, 3, 1, 1)).sum(1, keepdim=True) + 16 / 255


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """Turn (N, 3, H, W) RGB in [0, 1] into studio-swing YCbCr in [0, 1]."""
    matrix, offset = (_FORWARD / 255).to(rgb), (_OFFSET / 255).to(rgb)
    return torch.einsum("oc,nchw->nohw", matrix, rgb) + offset.view(1, 3, 1, 1)


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """Turn (N, 3, H, W) studio-swing YCbCr in [0, 1] into RGB, unclamped."""
    matrix, offset = torch.linalg.inv(_FORWARD / 255).to(ycbcr), (_OFFSET / 255).to(ycbcr)
    return torch.einsum("oc,nchw->nohw", matrix, ycbcr - offset.view(1, 3, 1, 1))
