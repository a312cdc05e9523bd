"""ITU-R BT.601 studio-swing colour, as MATLAB's rgb2ycbcr and ycbcr2rgb have it."""

from functools import lru_cache

import torch
from torch import Tensor

# Rows Y, Cb, Cr over R, G, B; MATLAB rgb2ycbcr, scaled so that both sides are in [0, 1].
_FORWARD = torch.tensor(
    [[65.481, 128.553, 24.966], [-37.797, -74.203, 112.0], [112.0, -93.786, -18.214]],
    dtype=torch.float64,
)
_OFFSET = torch.tensor([16.0, 128.0, 128.0], dtype=torch.float64)


@lru_cache(maxsize=16)
def _constants(device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return the matrix of [0, 1], its inverse, and the (1, 3, 1, 1) offset; a copy to a GPU each time would wait for it."""
    with torch.inference_mode(False):  # they serve training too
        matrices = (_FORWARD / 255, torch.linalg.inv(_FORWARD / 255), (_OFFSET / 255).view(1, 3, 1, 1))
        forward, inverse, offset = (x.to(device, dtype) for x in matrices)
    return forward, inverse, offset


def luma(rgb: Tensor) -> Tensor:
    """Return (N, 1, H, W) studio-swing Y in [16/255, 235/255] of (N, 3, H, W) RGB in [0, 1]."""
    forward, _, _ = _constants(rgb.device, rgb.dtype)
    return (rgb * forward[0].view(1, 3, 1, 1)).sum(1, keepdim=True) + 16 / 255


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """Turn (N, 3, H, W) RGB in [0, 1] into studio-swing YCbCr in [0, 1]."""
    forward, _, offset = _constants(rgb.device, rgb.dtype)
    return torch.einsum("oc,nchw->nohw", forward, rgb) + offset


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """Turn (N, 3, H, W) studio-swing YCbCr in [0, 1] into RGB, unclamped."""
    _, inverse, offset = _constants(ycbcr.device, ycbcr.dtype)
    return torch.einsum("oc,nchw->nohw", inverse, ycbcr - offset)
