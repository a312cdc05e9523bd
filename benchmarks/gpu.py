"""Frames a second of the networks on a CUDA GPU: python benchmarks/gpu.py [--models rfdn] [--device cuda] [--seconds 2]

Inputs of 1280x720 and 1920x1080 at x2 and x4, in fp16 and bf16, eager, compiled and as a CUDA graph; each with its share of
the best matrix rate of that format in the same run. Then how busy the device is while a folder of JPEGs goes through.
On a CPU (--device cpu --shrink 12) it only shows that it runs.

Not run on hardware: no figure of it stands in the documents until someone has.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image

from srcli.engine.device import DTYPES, pick_device
from srcli.engine.pipeline import upscale_files
from srcli.engine.profile import count
from srcli.engine.runner import Runner
from srcli.engine.upscale import Upscaler
from srcli.errors import UserError
from srcli.media.planning import plan_jobs
from srcli.zoo import open_model

SIZES = {"720p": (720, 1280), "1080p": (1080, 1920)}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="rfdn")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--scales", default="2,4")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--shrink", type=int, default=1, help="divide the sizes by this, to try it on a CPU")
    parser.add_argument("--folder", type=int, default=48, help="JPEGs of the folder; 0 leaves it out")
    given = parser.parse_args()
    device = pick_device(given.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)  # on whose streams graphs are recorded
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU: only a trial"
    print(f"{name}, torch {torch.__version__}")
    formats = ("fp16", "bf16") if device.type == "cuda" else ("bf16",)
    rates = {p: _matrix_rate(device, DTYPES[p], given.seconds) for p in formats}
    print(", ".join(f"{p} matrix rate {rate:.1f} TFLOP/s" for p, rate in rates.items()))
    print(f"{'':<12}{'input':>8}{'scale':>6}{'format':>8}{'way':>10}{'ms':>9}{'frames/s':>10}{'share':>8}")
    for model in given.models.split(","):
        for scale in map(int, given.scales.split(",")):
            for size, (height, width) in SIZES.items():
                for precision in formats:
                    shape = (height // given.shrink, width // given.shrink)
                    for way, took, macs in _ways(model, scale, shape, precision, device, given.seconds):
                        share = 2 * macs / took / rates[precision] / 1e12
                        row = f"{model:<12}{size:>8}{scale:>6}{precision:>8}{way:>10}"
                        print(f"{row}{took * 1e3:>9.2f}{1 / took:>10.1f}{share:>8.0%}", flush=True)
    if given.folder:
        _folder(given.models.split(",")[0], device, given.folder, given.shrink)


def _ways(model: str, scale: int, shape: tuple[int, int], precision: str, device: torch.device, seconds: float):  # type: ignore[no-untyped-def]
    try:
        network = open_model(model, scale)[0]
    except UserError as error:
        print(f"{model:<12} left out at x{scale}: {error}")
        return
    macs = count(network, *shape).macs
    x = torch.rand(1, 3, *shape, device=device)
    for way in ("eager", "compiled", "graph"):
        if way == "graph" and device.type != "cuda":
            continue
        torch.compiler.reset()  # else a size is compiled as one of many after the first
        runner = Runner(network, device=device, precision=precision, tile=0, compile=way == "compiled")  # type: ignore[arg-type]
        if runner.not_compiled:
            print(f"{model:<12} not compiled: {runner.not_compiled}")
            continue

        def once(runner: Runner = runner) -> torch.Tensor:
            return runner.whole(x, precision)  # type: ignore[arg-type]

        yield way, _seconds(_captured(once) if way == "graph" else once, device, seconds), macs


def _captured(once: Callable[[], torch.Tensor]) -> Callable[[], object]:
    """Record the kernels of a pass once, so that a replay launches them without Python."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    with torch.cuda.stream(stream):
        for _ in range(3):
            once()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        once()
    return graph.replay


def _seconds(once: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return the median time of a pass, launches and all."""

    def timed() -> float:
        started = time.perf_counter()
        once()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - started

    for _ in range(3):
        timed()
    times: list[float] = []
    while sum(times) < seconds:
        times.append(timed())
    return median(times)


def _matrix_rate(device: torch.device, dtype: torch.dtype, seconds: float) -> float:
    """Return the best TFLOP/s of square products of several sizes."""
    sides = (2048, 4096, 8192) if device.type == "cuda" else (512, 1024)
    rates = []
    for side in sides:
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        rates.append(2 * side**3 / _seconds(lambda a=a, b=b: a @ b, device, seconds / 4) / 1e12)
    return max(rates)


def _folder(model: str, device: torch.device, count: int, shrink: int) -> None:
    """Say how busy the device is while a folder of JPEGs goes through; the goal is 90 %."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "in"
        folder.mkdir()
        rng = np.random.default_rng(0)
        for i in range(count):
            smooth = Image.fromarray(rng.integers(0, 255, (9, 16, 3), np.uint8))
            smooth.resize((1280 // shrink, 720 // shrink), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=92)
        upscaler = Upscaler(open_model(model)[0], device=device)
        jobs = plan_jobs([str(folder)], Path(scratch) / "out", scale=upscaler.scale)
        watch = _Busy(device)
        started = time.perf_counter()
        with watch:
            failed = [done.error for done in upscale_files(upscaler, jobs) if done.error]
        took = time.perf_counter() - started
        print(f"folder of {count} JPEGs: {count / took:.1f} pictures/s, {watch}, {len(failed)} failed")


class _Busy:
    """The mean of what the driver calls utilisation, asked ten times a second."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.asked: list[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def _ask(self) -> None:
        with suppress(ModuleNotFoundError):  # nvidia-ml-py, which asks the driver
            while not self._ended.wait(0.1):
                self.asked.append(torch.cuda.utilization(self.device))

    def __enter__(self) -> None:
        if self.device.type == "cuda":
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()

    def __str__(self) -> str:
        return (
            f"GPU busy {sum(self.asked) / len(self.asked):.0f} %" if self.asked else "nobody to ask: pip install nvidia-ml-py"
        )


if __name__ == "__main__":
    main()
