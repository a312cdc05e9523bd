"""Time training and what the network takes of it: python benchmarks/training.py --arch rfdn --scale 4 --precision bf16

Blocks of steps of `srcli train`'s own loop and of the network alone (forward, loss and backward on a fixed batch) in turn, so
that a drifting machine shifts both alike. Prints steps/s (medians of the blocks) and the network's share of a step. Run it on
an idle machine.
"""

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from srcli.engine.compiler import compile_network
from srcli.engine.data import Batch
from srcli.engine.device import fast_precision, pick_device
from srcli.engine.distributed import Team
from srcli.engine.run import Run
from srcli.engine.settings import TrainConfig
from srcli.engine.train import train
from srcli.models import create


def network_alone(config: TrainConfig, device: torch.device) -> Callable[[], None]:
    """Return a function that runs the network forward and backward once, as a step does."""
    precision = fast_precision(device) if config.precision == "auto" else config.precision
    run = Run(config, create(config.arch, config.scale), Team(0, 1, device), precision)
    if config.compile == "on" or (config.compile == "auto" and device.type == "cuda"):
        compile_network(run.model, device)
    lr = torch.rand(config.batch, 3, config.patch, config.patch, device=device).contiguous(memory_format=torch.channels_last)
    hr = torch.rand(config.batch, 3, config.patch * config.scale, config.patch * config.scale, device=device)

    def once() -> None:
        run.scaler.scale(run.loss(run.model, Batch(lr, hr))).backward()  # type: ignore[no-untyped-call]
        run.model.zero_grad(set_to_none=True)

    return once


class Clock:
    """Is asked by the loop after each step whether to stop; times blocks of steps, and after each one of the network alone."""

    def __init__(self, alone: Callable[[], None], device: torch.device, block: int) -> None:
        self.alone, self.device, self.block = alone, device, block
        self.loop: list[float] = []  # s a step
        self.network: list[float] = []
        self._asked = 0
        self._began = 0.0

    def __call__(self) -> bool:
        self._asked += 1
        if self._asked % self.block == 0:
            self.loop.append((self._now() - self._began) / self.block)
            began = self._now()
            for _ in range(self.block):
                self.alone()
            self.network.append((self._now() - began) / self.block)
            self._began = self._now()
        return False

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()


def main() -> None:
    """Print one line for the loop and one for the network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arch", default="rfdn")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch", type=int, default=48)
    parser.add_argument("--optimizer", default="muon")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--degradation", default="bicubic", choices=["bicubic", "photo", "video"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--compile", default="auto", choices=["auto", "on", "off"])
    parser.add_argument("--data", type=Path, help="folder of pictures; noise without")
    parser.add_argument("--blocks", type=int, default=10, help="blocks that are timed, after two that are not")
    parser.add_argument("--block", type=int, default=10, help="steps of a block")
    a = parser.parse_args()
    device = pick_device(a.device)
    with tempfile.TemporaryDirectory() as temporary:
        data = a.data or Path(temporary) / "noise"
        if a.data is None:
            data.mkdir()
            noise = np.random.default_rng(0).integers(0, 256, (4, 1024, 1024, 3), np.uint8)
            for i, pixels in enumerate(noise):
                Image.fromarray(pixels).save(data / f"{i}.png", compress_level=1)
        config = TrainConfig(
            a.arch,
            a.scale,
            str(data),
            steps=(a.blocks + 2) * a.block,
            batch=a.batch,
            patch=a.patch,
            optimizer=a.optimizer,
            precision=a.precision,
            degradation=a.degradation,
            compile=a.compile,
        )
        clock = Clock(network_alone(config, device), device, a.block)
        started, *_ = train(config, Path(temporary) / "run", device=a.device, stopping=clock)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    print(f"{name}, {torch.get_num_threads()} threads, torch {torch.__version__}, {started.device} in {started.precision}")
    print("\n".join(started.notes) or f"compile {a.compile}")
    loop, network = (statistics.median(times[2:]) for times in (clock.loop, clock.network))
    facts = f"batch {a.batch}, patch {a.patch}, {a.optimizer}, {a.degradation} LR"
    print(f"{a.arch} x{a.scale}, {facts}, {a.blocks} blocks of {a.block} steps")
    print(f"loop     {1 / loop:8.2f} steps/s {1e3 * loop:9.2f} ms")
    print(f"network  {1 / network:8.2f} steps/s {1e3 * network:9.2f} ms, {network / loop:.1%} of a step")


if __name__ == "__main__":
    main()
