"""srcli beside other ways to run the same network: python benchmarks/upscale_speed.py FOLDER [--rounds 3] [--only growth]

Each result is printed as it comes: a run that is stopped has told what it measured. --ways and --pictures make it shorter.

FOLDER holds photographs (Kodak24 in the documents). Three tables, measured in turn in this one run, with as many threads as
there are cores; run it on an idle machine:

- network: seconds for one 256x256 input, and the share of the best bf16 matrix rate of several sizes;
- folder: seconds for all pictures as a whole process each, PNG out at one level, decoding and encoding counted;
- growth: seconds and peak memory of `srcli upscale` at 0.25, 1, 4 and 16 megapixels of input, with --model.

The ways: srcli, srcli with --compile on; plain (Pillow, float32 NCHW, whole pictures, one step after the other, as most
scripts do); onnxruntime and OpenVINO (float32 and bf16) on what `srcli export` wrote, in the same loop. Needs the extras
onnx and openvino.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from PIL import Image

MODEL, SCALE, SIDE, LEVEL = "rfdn", 4, 256, 1
GFLOP = 2 * 27.03 * (SIDE / 256) ** 2
THREADS = os.cpu_count() or 1
WAYS = ("srcli", "srcli compiled", "plain", "onnxruntime", "openvino", "openvino bf16")
Network = Callable[[np.ndarray], np.ndarray]  # (1, 3, H, W) float32 in [0, 1] to the same, SCALE times as large


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="network,folder,growth")
    parser.add_argument(
        "--ways", default=",".join(WAYS), help="what to measure; the first is what the others are compared with"
    )
    parser.add_argument("--pictures", type=int, default=None, help="of the folder, the first so many")
    parser.add_argument("--model", default=MODEL, help="for growth alone")
    parser.add_argument("--megapixels", default="0.25,1,4,16", help="for growth alone")
    given = parser.parse_args()
    ways = tuple(given.ways.split(","))
    print(f"{date.today()}, {_processor()}, {THREADS} threads, {MODEL} x{SCALE}, PNG level {LEVEL}, median of {given.rounds}")
    with tempfile.TemporaryDirectory() as scratch:
        onnx = Path(scratch) / "model.onnx"
        if {"network", "folder"} & set(given.only.split(",")) and any(not way.startswith(("srcli", "plain")) for way in ways):
            subprocess.run([sys.executable, "-m", "srcli", "export", MODEL, "-s", str(SCALE), str(onnx)], check=True, stdout=-3)
        if "network" in given.only:
            _network_table(ways, onnx, given.rounds)
        if "folder" in given.only:
            _folder_table(ways, onnx, _few(given.folder, given.pictures, Path(scratch)), Path(scratch), given.rounds)
        if "growth" in given.only:
            _growth_table(given.folder, Path(scratch), given.model, [float(n) for n in given.megapixels.split(",")])


def _network_table(ways: tuple[str, ...], onnx: Path, rounds: int) -> None:
    rate = float(_child("matrix", onnx, rounds))
    seconds: dict[str, float] = {}
    print(f"\nnetwork alone, {SIDE}x{SIDE}; best bf16 matrix rate {rate:.0f} GFLOP/s")
    print(f"{'':<16}{'ms':>8}{ways[0] + ' = 1':>16}{'share':>8}")
    for way in ways:
        took = seconds[way] = float(_child(f"network:{way}", onnx, rounds))
        print(f"{way:<16}{took * 1e3:>8.0f}{took / seconds[ways[0]]:>16.2f}{GFLOP / took / rate:>8.0%}", flush=True)


def _few(folder: Path, count: int | None, scratch: Path) -> Path:
    """Return the folder, or one with links to its first pictures."""
    if count is None:
        return folder
    few = scratch / "pictures"
    few.mkdir()
    for path in _pictures(folder)[:count]:
        (few / path.name).symlink_to(path.resolve())
    return few


def _folder_table(ways: tuple[str, ...], onnx: Path, folder: Path, scratch: Path, rounds: int) -> None:
    """Print a line for each run as it ends, the ways in turn, then the medians."""
    runs: dict[str, list[float]] = {way: [] for way in ways}
    print(f"\nfolder of {len(_pictures(folder))}, whole process")
    for i in range(rounds):
        for way in ways:
            out = scratch / "results"
            started = time.perf_counter()
            _whole(way, onnx, folder, out)
            runs[way].append(time.perf_counter() - started)
            print(f"round {i + 1}: {way:<16}{runs[way][-1]:>8.1f} s", flush=True)
            shutil.rmtree(out)
    print(f"{'':<16}{'s':>8}{ways[0] + ' = 1':>16}")
    for way, took in runs.items():
        print(f"{way:<16}{median(took):>8.1f}{median(took) / median(runs[ways[0]]):>16.2f}")


def _growth_table(folder: Path, scratch: Path, model: str, sizes: Sequence[float]) -> None:
    print(f"\ngrowth, srcli upscale to PNG, {model}\n{'megapixels':<16}{'s':>8}{'s a MP':>10}{'peak MiB':>10}")
    picture = Image.open(_pictures(folder)[0]).convert("RGB")
    for megapixels in sizes:
        side = round((megapixels * 1e6) ** 0.5)
        source = scratch / f"{megapixels:g}.png"
        picture.resize((side, side), Image.Resampling.BICUBIC).save(source, compress_level=1)
        started = time.perf_counter()
        peak = int(_child(f"peak:{model}:{source}", scratch / "large.png", 1))
        took = time.perf_counter() - started
        print(f"{megapixels:<16g}{took:>8.1f}{took / megapixels:>10.2f}{peak:>10}", flush=True)


def _whole(way: str, onnx: Path, folder: Path, out: Path) -> None:
    if way.startswith("srcli"):
        command = ["-m", "srcli", "upscale", str(folder), "-o", str(out), "-m", MODEL, "-s", str(SCALE)]
        command += ["--png-level", str(LEVEL), "--quiet", "--compile", "on" if "compiled" in way else "off"]
        subprocess.run([sys.executable, *command], check=True)
    else:
        out.mkdir()
        _child(f"folder:{way}:{folder}:{out}", onnx, 1)


def _child(task: str, onnx: Path, rounds: int) -> str:
    """Do a task in a process of its own and return what it printed."""
    environment = os.environ | {"SRCLI_BENCHMARK": json.dumps([task, str(onnx), rounds]), "OMP_NUM_THREADS": str(THREADS)}
    return subprocess.run([sys.executable, __file__], env=environment, check=True, capture_output=True, text=True).stdout


def _task(task: str, onnx: Path, rounds: int) -> None:
    kind, _, rest = task.partition(":")
    if kind == "matrix":
        print(_matrix_rate(rounds))
    elif kind == "network":
        print(_timed(rest, onnx, rounds))
    elif kind == "folder":
        way, folder, out = rest.split(":")
        network = NETWORKS[way](onnx)
        for path in _pictures(Path(folder)):
            x = np.asarray(Image.open(path).convert("RGB"), np.float32).transpose(2, 0, 1)[None] / 255
            y = network(np.ascontiguousarray(x))[0].transpose(1, 2, 0)
            Image.fromarray((y.clip(0, 1) * 255 + 0.5).astype(np.uint8)).save(
                Path(out) / f"{path.stem}.png", compress_level=LEVEL
            )
    elif kind == "peak":
        from srcli.cli import app

        model, _, source = rest.partition(":")
        try:
            app(["upscale", source, "-o", str(onnx), "-m", model, "-s", str(SCALE), "--exists", "overwrite", "--quiet"])
        except SystemExit as end:
            if end.code:
                raise
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def _timed(way: str, onnx: Path, rounds: int) -> float:
    if way.startswith("srcli"):
        import torch

        from srcli.engine.runner import Runner
        from srcli.zoo import open_model

        runner = Runner(open_model(MODEL, SCALE)[0], device=torch.device("cpu"), compile="compiled" in way)
        tensor = torch.rand(1, 3, SIDE, SIDE)

        def once() -> Any:
            return runner.whole(tensor, runner.precision)
    else:
        network, x = NETWORKS[way](onnx), np.random.default_rng(0).random((1, 3, SIDE, SIDE), np.float32)

        def once() -> Any:
            return network(x)

    return _median(once, 4 * rounds)


def _median(once: Callable[[], Any], count: int) -> float:
    for _ in range(3):
        once()
    times = []
    for _ in range(count):
        started = time.perf_counter()
        once()
        times.append(time.perf_counter() - started)
    return median(times)


def _matrix_rate(rounds: int) -> float:
    """Return the best GFLOP/s of bf16 products of square matrices of several sizes."""
    import torch

    rates = []
    for side in (512, 1024, 2048, 4096):
        a, b = (torch.randn(side, side, dtype=torch.bfloat16) for _ in range(2))
        rates.append(2 * side**3 / _median(lambda a=a, b=b: a @ b, 4 * rounds) / 1e9)
    return max(rates)


def _plain(onnx: Path) -> Network:
    """Run the network as most scripts do: float32, NCHW."""
    import torch

    from srcli.zoo import open_model

    model = open_model(MODEL, SCALE)[0].eval()

    def run(x: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            out: np.ndarray = model(torch.from_numpy(x)).numpy()
        return out

    return run


def _onnxruntime(onnx: Path) -> Network:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    session = onnxruntime.InferenceSession(str(onnx), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def _openvino(precision: str) -> Callable[[Path], Network]:
    def network(onnx: Path) -> Network:
        import openvino

        core, compiled = openvino.Core(), {}
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": THREADS, "PERFORMANCE_HINT": "LATENCY"}

        def run(x: np.ndarray) -> np.ndarray:
            if x.shape not in compiled:  # a fixed shape is the quicker one
                model = core.read_model(onnx)
                model.reshape(list(x.shape))
                compiled[x.shape] = core.compile_model(model, "CPU", settings)
            out: np.ndarray = compiled[x.shape](x)[0]
            return out

        return run

    return network


NETWORKS: dict[str, Callable[[Path], Network]] = {
    "plain": _plain,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino("f32"),
    "openvino bf16": _openvino("bf16"),
}


def _pictures(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg"))


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = (
        [line.split(":")[1].strip() for line in info.read_text().splitlines() if "model name" in line] if info.exists() else []
    )
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    if "SRCLI_BENCHMARK" in os.environ:
        given_task, given_onnx, given_rounds = json.loads(os.environ["SRCLI_BENCHMARK"])
        _task(given_task, Path(given_onnx), given_rounds)
    else:
        main()
