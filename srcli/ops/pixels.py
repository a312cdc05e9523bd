"""Integer pixel arrays to float tensors and back: the only rounding in the program."""

import numpy as np
import torch
from torch import Tensor

UINT8 = np.dtype(np.uint8)
MAXIMA = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535, np.dtype(np.float32): 1}


def to_tensor(pixels: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Turn (H, W, C) uint8, uint16 or float32 pixels into a (1, C, H, W) float32 tensor in [0, 1]."""
    maximum = MAXIMA[pixels.dtype]
    planes = torch.from_numpy(np.ascontiguousarray(pixels)).to(device).permute(2, 0, 1)
    return planes[None].to(torch.float32, memory_format=torch.contiguous_format) / maximum


def to_array(x: Tensor, dtype: np.dtype = UINT8) -> np.ndarray:
    """Turn (1, C, H, W) in [0, 1] into (H, W, C) pixels of `dtype`, clamped and rounded half up on the tensor's device."""
    planes = x[0].permute(1, 2, 0).float().clamp(0, 1)
    if dtype == np.float32:
        return planes.contiguous().cpu().numpy()
    levels = (planes * MAXIMA[dtype] + 0.5).floor()
    integer = levels.to(torch.uint8) if dtype == np.uint8 else levels.to(torch.int32)
    return integer.contiguous().cpu().numpy().astype(dtype, copy=False)


def quantize(x: Tensor, maximum: int = 255) -> Tensor:
    """Clamp to [0, 1] and round to the nearest of `maximum` + 1 levels, half up as MATLAB does."""
    return (x.clamp(0, 1) * maximum + 0.5).floor() / maximum
