"""Time networks in float32 and bf16 side by side: python -m benchmarks.networks [--input 1024x1536] [MODEL ...]

A MODEL is NAME[:KEY=VALUE]... as in benchmarks/designs.py; its weights do not matter. The Upscaler's own path without files:
channels last, autocast, tiles with their overlap as `srcli upscale` cuts them, bytes in and out. Round by round in turn, so
that a drifting machine shifts all alike. Prints medians in ms and each network's best way beside the first's. Run it on an idle
machine.
"""

import argparse
import platform
import sys
import time
from statistics import median

import numpy as np
import torch

from benchmarks.designs import Design, read_designs
from srcli.commands.options import parse_size
from srcli.engine.upscale import Upscaler
from srcli.errors import UserError
from srcli.models import create

WAYS = {"fp32": ("fp32", False), "bf16": ("bf16", False), "bf16 compiled": ("bf16", True)}


def main() -> None:
    """Print a table for each scale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="MODEL", default=["rfdn", "mfdn"])
    parser.add_argument("--input", default="256x256", help="height and width of the picture")
    parser.add_argument("--scales", default="2,3,4")
    parser.add_argument("--ways", default="fp32,bf16", help=f"of {', '.join(WAYS)}")
    parser.add_argument("--rounds", type=int, default=10)
    a = parser.parse_args()
    height, width = parse_size("--input", a.input)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    designs, ways = read_designs(a.models), a.ways.split(",")
    print(f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {a.input}, {a.rounds} rounds")
    for scale in map(int, a.scales.split(",")):
        print(f"\n| x{scale} | parameters |" + "".join(f" {way} ms |" for way in ways) + " best to the first's |")
        print("|---|---:|" + "---:|" * (len(ways) + 1))
        times = measure(designs, scale, ways, pixels, a.rounds)
        best = {name: min(of.values()) for name, (_, of) in times.items()}
        for name, (parameters, of) in times.items():
            cells = [f"{of[way]:,.1f}" for way in ways]
            print(f"| {name} | {parameters:,} | {' | '.join(cells)} | {best[name] / next(iter(best.values())):.3f} |")


def measure(
    designs: list[Design], scale: int, ways: list[str], pixels: np.ndarray, rounds: int
) -> dict[str, tuple[int, dict[str, float]]]:
    """Return each design's parameters and the median ms of each way on (H, W, 3) uint8 pixels."""
    torch.manual_seed(0)
    networks = {d.name: create(d.arch, scale, **d.network) for d in designs}
    upscalers = {
        (name, way): Upscaler(network, precision=WAYS[way][0], compile=WAYS[way][1])  # type: ignore[arg-type]
        for name, network in networks.items()
        for way in ways
    }
    times: dict[tuple[str, str], list[float]] = {key: [] for key in upscalers}
    for _ in range(rounds + 1):  # the first is not counted
        for key, upscaler in upscalers.items():
            started = time.perf_counter()
            upscaler.pixels(pixels)
            times[key].append((time.perf_counter() - started) * 1e3)
    return {
        name: (sum(p.numel() for p in network.parameters()), {way: median(times[name, way][1:]) for way in ways})
        for name, network in networks.items()
    }


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
