"""Compare designs at equal training time: python benchmarks/designs.py --data DIR --val KODAK24 --out DIR DESIGN ...

A DESIGN is NAME[:KEY=VALUE]..., a JSON object such as '{"arch": "standard", "channels": 48}', or a .json file with a list of
those. Its keys are arguments of the network (as `srcli train --set`) or settings of the run (lr, finish, patch ...: as
`--config`). `--sweep lr=3e-3,6e-3` tries each design with each value: the same tuning effort for all.

    python benchmarks/designs.py --data train --val kodak24 --out /tmp/designs --minutes 6,20 --seeds 0,1,2 \\
        rfdn standard standard:activation=relu standard:gate=channel:finish=0.1 quality:blocks=3:convs=3

Each design trains for the same minutes in srcli train's own loop, annealed to its own end, once for each horizon and seed,
one run at a time; the designs take turns, so that a drifting machine shifts all alike. Run it on an idle machine, or where
others use it too with `--equal steps`: the processor seconds of a step are measured first, the designs in turn, kept in
OUT/step_seconds.json, and each design trains for the steps that fit into the minutes on one core of that speed. The weights at
the end are scored (Y, shave = scale, float32); no run is chosen by its scores on the way. OUT/results.jsonl takes a line
for each run and data set: the same command goes on where it was stopped. `--final SET5 --final SET14` scores these folders
too, once the choice is made.

The table has the mean over pictures and seeds, the range over seeds, and the difference to the first design with its 95 %
bootstrap interval, paired by picture, over the seeds that both have.
"""

import argparse
import hashlib
import json
import platform
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import torch

from srcli import checkpoint
from srcli.commands.run_file import assignments, merge
from srcli.engine.bootstrap import differences, mean_interval
from srcli.engine.device import pick_device
from srcli.engine.evaluate import Protocol, evaluate, open_datasets
from srcli.engine.profile import count
from srcli.engine.settings import TrainConfig
from srcli.engine.train import train
from srcli.engine.upscale import Upscaler
from srcli.errors import TrainingFailed, UsageError, UserError
from srcli.models import arch_name, arguments

COMPARED = {
    "scale",
    "data",
    "val",
    "steps",
    "minutes",
    "seed",
    "network",
    "validate_every",
}  # the same for all, or not a design's

STEP_SECONDS = "step_seconds.json"

_N = TypeVar("_N", int, float)


@dataclass(frozen=True, slots=True)
class Design:
    """A network with the arguments and the settings of training that are not the defaults."""

    arch: str
    network: dict[str, Any]
    settings: dict[str, Any]

    @property
    def name(self) -> str:
        """NAME:KEY=VALUE..., the same for any order of the keys."""
        values = sorted((self.network | self.settings).items())
        return ":".join([self.arch, *(f"{k}={v if isinstance(v, str) else json.dumps(v)}" for k, v in values)])


class Run(NamedTuple):
    """One training: what is trained, for how long and from which seed."""

    design: str
    minutes: float
    seed: int
    scale: int
    data: str


def read_designs(texts: Sequence[str]) -> list[Design]:
    """Read designs as the command line has them; raise UsageError."""
    found = []
    for text in texts:
        if text.endswith(".json"):
            try:
                tables = json.loads(Path(text).read_text())
            except (OSError, ValueError) as error:
                raise UsageError(f"cannot read '{text}': {error}") from error
            found += [_design(table, text) for table in (tables if isinstance(tables, list) else [tables])]
        elif text.startswith("{"):
            try:
                found.append(_design(json.loads(text), text))
            except ValueError as error:
                raise UsageError(f"'{text}' is not JSON: {error}") from error
        else:
            arch, *pairs = text.split(":")
            found.append(_design({"arch": arch, **assignments(pairs, "a design")}, text))
    return found


def sweep(designs: Sequence[Design], text: str) -> list[Design]:
    """Return each design with each value of KEY=VALUE,VALUE...; raise UsageError."""
    key, _, values = text.partition("=")
    given = [assignments([f"{key}={value}"], "--sweep") for value in values.split(",")]
    return [_design({"arch": d.arch, **d.network, **d.settings, **value}, text) for d in designs for value in given]


def _design(table: Any, text: str) -> Design:
    if not isinstance(table, dict) or "arch" not in table:
        raise UsageError(f"a design of '{text}' has no \"arch\"")
    arch = arch_name(str(table["arch"]))
    own, ours = set(arguments(arch)), {f.name for f in fields(TrainConfig)} - COMPARED
    values = {key.replace("-", "_"): value for key, value in table.items() if key != "arch"}
    for key in values:
        if key in COMPARED:
            raise UsageError(f"'{key}' in '{text}' is the comparison's to say, not a design's")
        if key not in own | ours:
            close = get_close_matches(key, own | ours, n=1)
            raise UsageError(f"'{arch}' and its training have no '{key}'" + (f"; did you mean '{close[0]}'?" if close else ""))
    network = {k: v for k, v in values.items() if k in own}
    return Design(arch, network, {k: v for k, v in values.items() if k not in own})


def train_design(config: TrainConfig, out: Path, device: str) -> Path | None:
    """Train, or go on, to the end of the run; return its weights, None where Ctrl-C or SIGTERM stopped it first."""
    asked: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, frame: asked.append(number)) for number in numbers]
    try:
        list(train(config, out, device=device, resume=True, stopping=lambda: bool(asked)))
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    return None if asked else out / "best.safetensors"


def train_config(design: Design, run: Run, data: Path) -> TrainConfig:
    """Return the settings of a run; raise UsageError where a design's values do not fit."""
    given = {"arch": design.arch, "network": design.network, "minutes": run.minutes, "seed": run.seed}
    return TrainConfig(**merge({**given, "scale": run.scale, "data": str(data)}, design.settings, None))


class _Marks(list[float]):
    """The processor time after each step, for a loop that asks after each step whether to stop."""

    def __call__(self) -> bool:
        self.append(time.process_time())
        return False


def step_seconds(designs: Sequence[Design], known: dict[str, float], run: Run, data: Path, device: str) -> dict[str, float]:
    """Return the processor seconds of a step of each design: `known`, or the least of three short runs that take turns."""
    missing = [d for d in designs if d.name not in known]
    found: dict[str, list[float]] = {d.name: [] for d in missing}
    for _ in range(3):
        for design in missing:
            config = replace(train_config(design, run, data), minutes=None, steps=24)
            marks = _Marks()
            with TemporaryDirectory() as out:
                list(train(config, Path(out), device=device, stopping=marks))
            found[design.name].append((marks[-1] - marks[3]) / (len(marks) - 4))
    return known | {name: min(times) for name, times in found.items()}


def score_run(design: Design, run: Run, weights: Path, folders: Sequence[Path], device: str) -> Iterator[dict[str, Any]]:
    """Yield a record for each data set."""
    model, card = checkpoint.load(weights)
    facts = {
        "parameters": sum(p.numel() for p in model.parameters()),
        "macs": count(model, 256, 256).macs,
        "steps": card.training["steps_done"],
        "minutes_done": card.training["minutes_done"],
        "machine": card.training["machine"],
    }
    upscaler = Upscaler(model, device=pick_device(device), precision="fp32")
    for dataset in open_datasets(folders):
        scores = list(evaluate(upscaler, dataset.folder, Protocol(run.scale)))
        yield {
            **run._asdict(),
            "arch": design.arch,
            "network": design.network,
            "settings": design.settings,
            **facts,
            "dataset": dataset.name,
            "psnr": fmean(s.psnr for s in scores),
            "pictures": {s.picture: s.psnr for s in scores},
        }


def table(records: Sequence[dict[str, Any]], designs: Sequence[str]) -> list[str]:
    """Return the lines of a Markdown table of one horizon and data set; differences are to the first design."""
    lines = [
        f"| design | parameters | GMAC | steps | seeds | PSNR dB | over seeds | to {designs[0]} | 95 % |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    of = {name: {r["seed"]: r for r in records if r["design"] == name} for name in designs}
    first = of[designs[0]]
    for name, runs in of.items():
        if not runs:
            lines.append(f"| {name} | - | - | - | 0 | - | - | - | - |")
            continue
        psnrs = [r["psnr"] for r in runs.values()]
        one = next(iter(runs.values()))
        cells = [
            name,
            f"{one['parameters']:,}",
            f"{one['macs'] / 1e9:.2f}",
            f"{fmean(r['steps'] for r in runs.values()):,.0f}",
            str(len(runs)),
            f"{fmean(psnrs):.3f}",
            f"{min(psnrs):.3f}..{max(psnrs):.3f}",
            *_difference(runs, first),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _difference(ours: dict[int, dict[str, Any]], theirs: dict[int, dict[str, Any]]) -> tuple[str, str]:
    """Return the mean difference and its interval over the pictures, each the mean of the seeds that both have."""
    seeds = ours.keys() & theirs.keys()
    if ours is theirs or not seeds:
        return "-", "-"
    pictures = sorted(ours[min(seeds)]["pictures"])
    a, b = ([fmean(side[seed]["pictures"][p] for seed in seeds) for p in pictures] for side in (ours, theirs))
    gains = differences(a, b)
    low, high = mean_interval(gains)
    return f"{fmean(gains):+.3f}", f"{low:+.3f}..{high:+.3f}"


def read_results(path: Path) -> list[dict[str, Any]]:
    """Read the records; a last line that a crash cut off is left out, and written anew."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    if lines[-1]:
        path.write_text("".join(f"{line}\n" for line in lines[:-1]))
    return [json.loads(line) for line in lines[:-1]]


def read_seconds(out: Path) -> dict[str, float]:
    """Read the processor seconds of a step that were measured before, by design."""
    path = out / STEP_SECONDS
    return dict(json.loads(path.read_text())) if path.exists() else {}


def main() -> None:
    """Train what is missing, score what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("designs", nargs="+", metavar="DESIGN")
    parser.add_argument("--data", type=Path, required=True, help="folder of HR pictures to train on")
    parser.add_argument("--val", type=Path, required=True, help="folder of HR pictures to choose by")
    parser.add_argument("--final", type=Path, action="append", default=[], help="folder to score too, once the choice is made")
    parser.add_argument("--out", type=Path, required=True, help="takes the runs and results.jsonl")
    parser.add_argument("--scale", type=int, default=4)
    parser.add_argument("--minutes", type=_numbers(float), default=[6.0, 20.0], help="horizons, such as 6,20")
    parser.add_argument("--equal", choices=["clock", "steps"], default="clock", help="steps: for a machine that is not idle")
    parser.add_argument("--seeds", type=_numbers(int), default=[0], help="such as 0,1,2")
    parser.add_argument("--sweep", action="append", default=[], metavar="KEY=VALUE,VALUE", help="for all designs; repeatable")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--list", action="store_true", help="only print what would be trained")
    a = parser.parse_args()
    designs = read_designs(a.designs)
    for text in a.sweep:
        designs = sweep(designs, text)
    named = {design.name: design for design in designs}
    runs = [Run(name, m, seed, a.scale, a.data.resolve().name) for m in a.minutes for seed in a.seeds for name in named]
    configs = {run: train_config(named[run.design], run, a.data) for run in runs}  # fails before hours of training
    datasets = open_datasets([a.val, *a.final])
    a.out.mkdir(parents=True, exist_ok=True)
    results = a.out / "results.jsonl"
    records = read_results(results)
    if a.equal == "steps":
        seconds = step_seconds(list(named.values()), read_seconds(a.out), runs[0], a.data, a.device)
        (a.out / STEP_SECONDS).write_text(json.dumps(seconds, indent=1))
        for run, config in configs.items():
            configs[run] = replace(config, minutes=None, steps=max(1, round(run.minutes * 60 / seconds[run.design])))
    print(
        f"{platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}; {len(runs)} runs", file=sys.stderr
    )
    for number, run in enumerate(runs, 1):
        known = {r["dataset"] for r in records if all(r[key] == value for key, value in run._asdict().items())}
        missing = [d.folder for d in datasets if d.name not in known]
        told = f"{number}/{len(runs)} {run.design}, {run.minutes:g} minutes, seed {run.seed}"
        if a.list or not missing:
            print(f"{told}: {'to do' if missing else 'done'}", file=sys.stderr)
            continue
        print(told, file=sys.stderr, flush=True)
        folder = a.out / _folder_name(run)
        weights: Path | None = folder / "best.safetensors"
        try:
            if not known:
                weights = train_design(configs[run], folder, a.device)
        except TrainingFailed as error:  # such as a rate that is too high: the others go on
            print(f"  failed: {error}", file=sys.stderr)
            continue
        if weights is None:
            sys.exit(f"stopped; the same command goes on from '{folder}'")
        for record in score_run(named[run.design], run, weights, missing, a.device):
            with results.open("a") as file:
                file.write(json.dumps(record) + "\n")
            records.append(record)
            print(f"  {record['steps']:,} steps, {record['dataset']} {record['psnr']:.3f} dB", file=sys.stderr, flush=True)
    for minutes in a.minutes:
        for dataset in dict.fromkeys(d.name for d in datasets):
            wanted = {run for run in runs if run.minutes == minutes}
            chosen = [r for r in records if r["dataset"] == dataset and Run(*(r[f] for f in Run._fields)) in wanted]
            print(f"\n{dataset}, x{a.scale}, {minutes:g} minutes of training\n")
            print("\n".join(table(chosen, list(named))))


def _numbers(kind: Callable[[str], _N]) -> Callable[[str], list[_N]]:
    def numbers(text: str) -> list[_N]:
        return [kind(part) for part in text.split(",")]

    return numbers


def _folder_name(run: Run) -> str:
    digest = hashlib.sha256(json.dumps(run).encode()).hexdigest()[:8]
    plain = re.sub(r"[^\w.=-]+", "_", run.design)[:60]
    return f"{plain}_x{run.scale}_{run.minutes:g}min_seed{run.seed}_{digest}"


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
