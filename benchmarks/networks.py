"""Time networks in float32 and bf16 side by side: python benchmarks/networks.py [ROUNDS] [MODEL ...]

256x256 input at x2, x3 and x4, the Upscaler's own path without files (channels_last, autocast), round by round in turn, so that
a drifting machine shifts all alike. Prints medians in ms and the ratio. Run it on an idle machine.
"""

import platform
import statistics
import sys
import time

import torch

from srcli.engine.upscale import Upscaler
from srcli.models import create

SIDE = 256


def main(rounds: int, names: list[str]) -> None:
    """Print one line for each network and scale."""
    torch.manual_seed(0)
    x = torch.rand(1, 3, SIDE, SIDE)
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {SIDE}x{SIDE}, {rounds} rounds")
    print(f"{'network':<10}{'scale':>6}{'fp32 ms':>10}{'bf16 ms':>10}{'fp32/bf16':>11}")
    for name in names:
        for scale in (2, 3, 4):
            upscaler = Upscaler(create(name, scale), tile=0)
            times: dict[str, list[float]] = {"fp32": [], "bf16": []}
            for _ in range(rounds + 1):
                for precision, measured in times.items():
                    started = time.perf_counter()
                    upscaler.tensor(x, precision)  # type: ignore[arg-type]
                    measured.append((time.perf_counter() - started) * 1e3)
            exact, fast = (statistics.median(measured[1:]) for measured in times.values())
            print(f"{name:<10}{'x' + str(scale):>6}{exact:>10.0f}{fast:>10.0f}{exact / fast:>11.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10, sys.argv[2:] or ["rfdn", "mfdn"])
