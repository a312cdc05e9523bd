"""What each measure of the engine gives on this CPU: python benchmarks/rewrites.py [ROUNDS]

Processor milliseconds of one thread, least of the rounds, so that it can be read on a machine that is not quite idle:
convolutions by their number of channels, mfdn with its norms folded, memory kept or handed back between passes, small pictures
in one pass or one by one, convolutions with the activation fused by oneDNN, and the layers that srcli computes in another way
than torch, beside torch's.
"""

import copy
import os
import subprocess
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from srcli.engine.memory import keep_freed_memory
from srcli.models.blocks import NearestConv
from srcli.models.depthwise import Depthwise
from srcli.zoo import open_model

SIDE = 256
CHANNELS = ((48, 48), (50, 50), (50, 64), (64, 64), (32, 32), (16, 16), (50, 25), (50, 32))


def main(rounds: int) -> None:
    """Print one block for each measure."""
    torch.set_num_threads(1)
    if "SRCLI_KEEP" in os.environ:
        print(_network("rfdn", rounds, keep=os.environ["SRCLI_KEEP"] == "1"))
        return
    print(f"3x3 convolutions, {SIDE}x{SIDE}, bf16\n{'channels':<16}{'ms':>8}{'GFLOP/s':>10}{'fused with leaky ReLU':>24}")
    keep_freed_memory()
    for inputs, outputs in CHANNELS:
        plain, fused = _convolution(inputs, outputs, rounds)
        rate = 2 * 9 * inputs * outputs * SIDE**2 / plain / 1e6
        print(f"{f'{inputs} to {outputs}':<16}{plain:>8.2f}{rate:>10.0f}{fused:>24.2f}")
    print("\nmfdn x4, ms")
    for name, fold in (("as trained", False), ("norms folded", True)):
        print(f"{name:<16}float32 {_network('mfdn', rounds, fold=fold, fast=False):>8.0f}", end="")
        print(f"   bf16 {_network('mfdn', rounds, fold=fold):>8.0f}")
    print("\nrfdn x4, bf16, ms")
    for name, keep in (("memory handed back", "0"), ("memory kept", "1")):
        ran = subprocess.run(
            [sys.executable, __file__, str(rounds)],
            env=os.environ | {"SRCLI_KEEP": keep},
            capture_output=True,
            text=True,
            check=True,
        )
        print(f"{name:<20}{float(ran.stdout):>8.0f}")
    print("\nrfdn x4, bf16, ms a picture of 48x48")
    for count in (1, 4, 16):
        print(f"{count:>2} in one pass{_network('rfdn', rounds, count=count, side=48) / count:>12.1f}")
    print(f"\nlayers, ms\n{'':<52}{'torch':>8}{'srcli':>8}")
    with torch.inference_mode():
        for factor in (2, 3):
            for fast in (False, True):
                layer, x = NearestConv(52, 52, factor).eval(), _activations(1, 52, SIDE, fast)
                plain, quick = _in_format(layer, x, rounds), _in_format(_folded(layer), x, rounds)
                print(f"{f'3x3 after nearest x{factor}, {x.dtype}'.replace('torch.', ''):<52}{plain:>8.1f}{quick:>8.1f}")
    for size in (5, 7):
        quick, plain = Depthwise(52, size), nn.Conv2d(52, 52, size, padding=size // 2, groups=52)
        x = _activations(8, 52, 48, fast=True).requires_grad_()
        times = [_learning(layer, x, rounds) for layer in (plain, quick)]
        print(f"{f'depthwise {size}x{size}, bf16, learning from 8 patches of 48':<52}{times[0]:>8.1f}{times[1]:>8.1f}")


def _convolution(inputs: int, outputs: int, rounds: int) -> tuple[float, float]:
    x = torch.randn(1, inputs, SIDE, SIDE).bfloat16().to(memory_format=torch.channels_last)
    conv = nn.Conv2d(inputs, outputs, 3, padding=1).bfloat16().to(memory_format=torch.channels_last)
    mkldnn = torch.ops.mkldnn
    with torch.inference_mode():
        weight = mkldnn._reorder_convolution_weight(conv.weight.detach(), [1, 1], [1, 1], [1, 1], 1, list(x.shape))

        def fused() -> Tensor:
            out: Tensor = mkldnn._convolution_pointwise(
                x, weight, conv.bias, [1, 1], [1, 1], [1, 1], 1, "leaky_relu", [0.05], ""
            )
            return out

        return _least(lambda: conv(x), rounds), _least(fused, rounds)


def _network(
    name: str, rounds: int, *, fold: bool = True, fast: bool = True, keep: bool = True, count: int = 1, side: int = SIDE
) -> float:
    if keep:
        keep_freed_memory()
    network = copy.deepcopy(open_model(name, 4)[0]).eval()
    network = (network.fold() if fold else network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    x = torch.rand(count, 3, side, side).to(memory_format=torch.channels_last)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=fast):
        return _least(lambda: network(x), rounds)


def _activations(count: int, channels: int, side: int, fast: bool) -> Tensor:
    x = torch.rand(count, channels, side, side, dtype=torch.bfloat16 if fast else torch.float32)
    return x.to(memory_format=torch.channels_last)


def _folded(layer: NearestConv) -> NearestConv:
    folded = copy.deepcopy(layer)
    folded.fold()
    return folded


def _in_format(layer: nn.Module, x: Tensor, rounds: int) -> float:
    layer = layer.to(x.dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _least(lambda: layer(x), rounds)


def _learning(layer: nn.Module, x: Tensor, rounds: int) -> float:
    def once() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            layer(x).sum().backward()

    return _least(once, rounds)


def _least(once: Callable[[], object], rounds: int) -> float:
    once()
    times = []
    for _ in range(rounds):
        started = time.process_time()
        once()
        times.append(time.process_time() - started)
    return min(times) * 1e3


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
