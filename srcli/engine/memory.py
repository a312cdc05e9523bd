"""How much memory there is, and how much a network needs for a px of input."""

import os
from pathlib import Path

import torch
from torch import Tensor, nn

from srcli.models.base import SRModel

_SHARE = 0.5  # of the free memory that activations may take; pictures, the allocator and other programs take the rest
_LIVE = 3.0  # how many of the largest layer's inputs and outputs are alive at once; RFDN 2.0, MFDN 2.4 measured


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free on `device`; 4 GiB where it cannot be asked."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 * 2**30


@torch.inference_mode()
def values_per_px(model: SRModel) -> float:
    """Estimate how many activations are alive at the peak for each input px, from one small pass."""
    if model.values_per_px is not None:
        return model.values_per_px
    side, largest = 32, 0
    parameter = next(model.parameters(), None)
    device = parameter.device if parameter is not None else torch.device("cpu")

    def watch(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal largest
        largest = max(largest, sum(x.numel() for x in (*inputs, output) if isinstance(x, Tensor)))

    handles = [m.register_forward_hook(watch) for m in model.modules() if not list(m.children())]
    try:
        output = model(torch.zeros(1, model.channels, side, side, device=device))
    finally:
        for handle in handles:
            handle.remove()
    return _LIVE * max(largest, output.numel()) / side**2


def largest_side(model: SRModel, device: torch.device, bytes_per_value: int) -> int:
    """Return the side in input px of the largest square that the network takes at once, overlap included."""
    area = _SHARE * free_bytes(device) / (values_per_px(model) * bytes_per_value)
    return int(area**0.5)
