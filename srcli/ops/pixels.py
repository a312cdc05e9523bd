"""Integer pixel arrays to float tensors and back: the only rounding in the program."""

import numpy as np
import torch
from torch import Tensor

UINT8 = np.dtype(np.uint8)
MAXIMA = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535, np.dtype(np.float32): 1}


def to_tensor(pixels: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Turn (H, W, C) uint8, uint16 or float32 pixels into a (1, C, H, W) float32 tensor in [0, 1]."""
    maximum = MAXIMA[pixels.dtype]
    host = torch.from_numpy(np.ascontiguousarray(pixels))
    beside = torch.device(device).type == "cuda"
    if beside:
        host = host.pin_memory()  # the copy then runs beside the device's work; on others `host` could be gone before it ends
    planes = host.to(device, non_blocking=beside).permute(2, 0, 1)
    return planes[None].to(torch.float32, memory_format=torch.contiguous_format) / maximum


def to_array(x: Tensor, dtype: np.dtype = UINT8) -> np.ndarray:
    """Turn (1, C, H, W) in [0, 1] into (H, W, C) pixels of `dtype`, clamped and rounded half up on the tensor's device."""
    levels: np.ndarray = to_levels(x, dtype)[0].cpu().numpy()
    return levels.astype(dtype, copy=False)


def to_levels(x: Tensor, dtype: np.dtype = UINT8, *, maximum: int | None = None) -> Tensor:
    """Turn (N, C, H, W) in [0, 1] into (N, H, W, C) levels on its device: uint8, int32 for uint16, or float32.

    `maximum`: the highest level where it is not that of `dtype`; int32 then.
    """
    planes = x.permute(0, 2, 3, 1).float().clamp(0, 1)  # never the caller's own memory
    if dtype == np.float32:
        return planes.contiguous()
    levels = planes.mul_(maximum or MAXIMA[dtype]).add_(0.5).floor_()
    return levels.to(torch.uint8 if dtype == np.uint8 and maximum is None else torch.int32).contiguous()


def quantize(x: Tensor, maximum: int = 255) -> Tensor:
    """Clamp to [0, 1] and round to the nearest of `maximum` + 1 levels, half up as MATLAB does."""
    return (x.clamp(0, 1) * maximum + 0.5).floor() / maximum
