"""Which device and number format to compute with; what this machine can do is asked here and nowhere else."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Literal

import torch

from srcli.errors import DeviceUnavailable, UsageError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def pick_device(name: str) -> torch.device:
    """Resolve auto, cpu, cuda, cuda:N or mps; raise DeviceUnavailable when it is not there."""
    if name == "auto":
        if torch.cuda.is_available() and has_kernels(torch.device("cuda")):
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceUnavailable(f"no device is called '{name}'; use auto, cpu, cuda, cuda:N or mps") from error
    if device.type == "cuda":
        count = torch.cuda.device_count()
        if (device.index or 0) >= count:
            raise DeviceUnavailable(f"'{name}' is not on this machine: torch sees {count} CUDA devices; use --device cpu")
        if not has_kernels(device):
            raise DeviceUnavailable(
                f"this torch has no kernels for {torch.cuda.get_device_name(device)}; "
                "take another torch from pytorch.org, or use --device cpu"
            )
    elif device.type == "mps":
        if not torch.backends.mps.is_available():
            raise DeviceUnavailable("'mps' is not on this machine; use --device cpu")
    elif device.type != "cpu":
        raise DeviceUnavailable(f"'{name}' is not supported; use auto, cpu, cuda, cuda:N or mps")
    return device


def has_kernels(device: torch.device) -> bool:
    """Tell whether torch was built for a CUDA device, as sm_86, or compute_80 that the driver compiles for newer ones."""
    names = [re.fullmatch(r"(sm|compute)_(\d+)(\d)([a-z]?)", name) for name in torch.cuda.get_arch_list()]
    built = [(name[1], (int(name[2]), int(name[3]))) for name in names if name and (name[1] == "sm" or not name[4])]
    if not built:  # of AMD's the names are others
        return True
    own = torch.cuda.get_device_capability(device)
    return any(known <= own and (kind == "compute" or known[0] == own[0]) for kind, known in built)


def fast_precision(device: torch.device) -> Precision:
    """Return the quickest number format `device` has in hardware."""
    if device.type == "cuda":
        return "bf16" if _has_bf16(device) else "fp16"
    if device.type == "cpu":
        # mkldnn has bf16 kernels from AVX-512 on; without the instructions they are slower than float32
        capability = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}  # older torch: unknown
        return "bf16" if capability.get("avx512_bf16") or capability.get("amx_bf16") else "fp32"
    return "fp32"


def check_precision(precision: Precision, device: torch.device) -> None:
    """Raise UsageError where there is no such `precision`, DeviceUnavailable where it does not run on `device`."""
    if precision not in DTYPES:
        raise UsageError(f"the precision is auto, {', '.join(DTYPES)}, not {precision!r}")
    if precision == "fp16" and device.type == "cpu":
        raise DeviceUnavailable("fp16 does not run on the CPU; use --precision bf16 or fp32")
    if precision == "bf16" and device.type == "cuda" and not _has_bf16(device):
        raise DeviceUnavailable(f"{torch.cuda.get_device_name(device)} has no bf16; use --precision fp16 or fp32")


def _has_bf16(device: torch.device) -> bool:
    """Tell whether a CUDA device computes in bf16: NVIDIA's do from Ampere on, of AMD's those that torch runs on."""
    return torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)


_lock, _inside, _before = threading.Lock(), 0, True  # of the threads that compute exactly, and cuDNN's flag without them


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Compute in float32 what is float32: by default cuDNN rounds it to the 10 bits of TF32 in convolutions."""
    global _inside, _before
    if device.type != "cuda":
        yield
        return
    with _lock:
        if not _inside:
            _before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                torch.backends.cudnn.allow_tf32 = _before


def single_threads(count: int) -> ThreadPoolExecutor:
    """Return a pool of `count` threads in each of which torch computes with that one thread."""
    all_are_there, own = threading.Barrier(count + 1), torch.get_num_threads()

    def enter() -> None:
        torch.get_num_threads()  # the first time a thread asks, torch gives it the number of all
        torch.set_num_threads(1)
        all_are_there.wait()

    pool = ThreadPoolExecutor(count, "single")
    try:
        for _ in range(count):
            pool.submit(enter)
        all_are_there.wait()
    except BaseException:  # no more threads can be started, or Ctrl-C: those that wait must not wait for ever
        all_are_there.abort()
        pool.shutdown()
        raise
    finally:
        torch.set_num_threads(own)  # of the threads that are still to come
    return pool


def use_threads(count: int) -> None:
    """Let the processor's part of the work use `count` threads."""
    torch.set_num_threads(count)
