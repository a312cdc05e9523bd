"""How much memory there is, and how much a network needs for a px of input."""

import ctypes
import math
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from srcli.models.base import SRModel

RESIDENT = 1400 * 2**20  # bytes a process on the CPU keeps to without --max-memory: more is quicker only for what does not fit
_TORCH = 600 * 2**20  # bytes of a process that holds torch, a network and little else
_ROOM = 0.8  # share of what is left that the network is given; kernels' own buffers and fragments take the rest
_MOST = 0.6  # share of the limit from which freed memory is handed back
_LARGE = 2**24  # bytes of an array that is kept off the heap
_MEASURED = (32, 128)  # px a side of the tile that makes ready, and of the one that is measured


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free on `device`, on the host for this process; 4 GiB where it cannot be asked."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # freed, and kept for what comes next
        return torch.cuda.mem_get_info(device)[0] + kept
    return max(min([_free_on_host(), *_free_in_groups(), *_free_in_address_space()]), 0)


def _free_on_host() -> int:
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return 4 * 2**30


def _free_in_groups(membership: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Yield what the control groups (version 2) of this process leave it: those of containers and of systemd."""
    with suppress(OSError, ValueError):
        own = next(line[4:] for line in membership.read_text().splitlines() if line.startswith("0::/"))
        for group in (root / own, *(root / own).parents):
            with suppress(OSError, ValueError):  # no limit is the word max
                limit = int((group / "memory.max").read_text())
                facts = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
                yield limit - int((group / "memory.current").read_text()) + int(facts["inactive_file"])  # which is given up
            if group == root:
                return


def _free_in_address_space() -> Iterator[int]:
    """Yield what `ulimit -v` leaves, where it was used."""
    with suppress(ImportError, OSError):
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit != resource.RLIM_INFINITY and Path("/proc/self/status").is_file():
            yield limit - int(_status("VmSize"))


def resident_limit() -> int:
    """Return the bytes that this process is to keep to: RESIDENT, and what it holds already beyond torch and a network.

    A training holds its pictures, a program that imports srcli its own.
    """
    return RESIDENT + max(held_bytes() - _TORCH, 0)


def budget(device: torch.device, limit: int | None, promised: int = 0) -> float:
    """Return the bytes that the network may take on `device`, so that with `promised` bytes of pictures all stays in `limit`.

    `limit` bytes are those of the process on the CPU, of the device elsewhere; RESIDENT or all that is free without.
    """
    free = float(free_bytes(device))
    on_host = device.type == "cpu"
    if on_host:
        trim(limit)  # what glibc keeps of earlier pictures is free
    left = min((limit or RESIDENT) - held_bytes(), free) - promised if on_host else min(limit or free, free)
    return _ROOM * max(left, 0.0)


def bytes_per_px(model: SRModel, run: Callable[[Tensor], object], device: torch.device, value: int) -> float:
    """Measure the bytes that a pass takes for each px of input, by one tile; `value` is the bytes of one number.

    Where the peak cannot be measured, or is a fact of the file: by `values_per_px`.
    """
    if model.values_per_px is not None:
        return value * model.values_per_px
    small, side = (torch.zeros(1, 3, max(n, model.min_side), max(n, model.min_side), device=device) for n in _MEASURED)
    run(small)  # the first pass also loads kernels
    peak = peak_bytes(lambda: run(side), device)
    return peak / (side.shape[-2] * side.shape[-1]) if peak else value * values_per_px(model)


def peak_bytes(once: Callable[[], object], device: torch.device) -> float | None:
    """Run once and return by how much the memory in use grew at the peak; None where nobody keeps that record.

    CUDA: what is allocated. CPU: the resident set of the process, on Linux only, so other threads count too.
    """
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        once()
        torch.cuda.synchronize(device)
        return float(torch.cuda.max_memory_allocated(device) - before)
    before_pass = _reset_resident_peak() if device.type == "cpu" else None
    once()
    return None if before_pass is None else max(_status("VmHWM") - before_pass, 0.0)


def _reset_resident_peak() -> float | None:
    """Set the kernel's record of this process's largest resident set to what is resident now, and return that."""
    clear = Path("/proc/self/clear_refs")
    if not clear.exists():
        return None
    hand_back()  # what earlier passes freed would hide the growth
    try:
        clear.write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def held_bytes() -> int:
    """Return the bytes that this process holds; where nobody tells, those of torch when it is loaded."""
    return int(_status("VmRSS") if Path("/proc/self/status").is_file() else 400 * 2**20)


def _status(field: str) -> float:
    """Return bytes that the kernel tells of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) * 1024.0


@torch.inference_mode()
def values_per_px(model: SRModel) -> float:
    """Estimate how many activations are alive at the peak for each input px: three times the largest layer's."""
    if model.values_per_px is not None:
        return model.values_per_px
    largest, side = 0, max(_MEASURED[0], model.min_side)
    parameter = next(model.parameters(), None)

    def watch(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        nonlocal largest
        largest = max(largest, sum(x.numel() for x in (*inputs, output) if isinstance(x, Tensor)))

    handles = [m.register_forward_hook(watch) for m in model.modules() if not list(m.children())]
    try:
        output = model(torch.zeros(1, model.channels, side, side, device=parameter.device if parameter is not None else None))
    finally:
        for handle in handles:
            handle.remove()
    return 3 * max(largest, output.numel()) / side**2


def off_heap(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Return an array whose values are not set; a large one is mapped by itself, so that freeing it returns its memory.

    On a heap that keeps what is freed (`keep_freed_memory`) it would leave gaps among the activations, and the peak would be
    a matter of chance. Elsewhere than on Linux it is any array. Raises MemoryError.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < _LARGE or not sys.platform.startswith("linux"):
        return np.empty(shape, dtype)
    try:
        pages = mmap.mmap(-1, size, access=mmap.ACCESS_COPY)  # of this process alone
    except (OSError, OverflowError) as error:
        raise MemoryError(f"cannot allocate {size} bytes") from error
    with suppress(OSError):  # a kernel without huge pages
        pages.madvise(mmap.MADV_HUGEPAGE)
    return np.frombuffer(pages, dtype).reshape(shape)


def keep_freed_memory() -> None:
    """Let glibc keep what is freed for the next tile or step: handing it back costs a page fault for every 4 KiB."""
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(-3, 2**30)  # M_MMAP_THRESHOLD
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD


def trim(limit: int | None) -> None:
    """Hand back what is freed once the process nears `limit` bytes (RESIDENT without): tiles of other shapes leave gaps."""
    if sys.platform.startswith("linux") and held_bytes() > _MOST * (limit or RESIDENT):
        hand_back()


def hand_back() -> None:
    """Let glibc return what is freed to the system; nothing elsewhere."""
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
