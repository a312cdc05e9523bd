"""Loss and validation PSNR over the length of training runs, from their log.jsonl."""

import json
import math
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from srcli.engine.drawing import drawn
from srcli.errors import BadFolder
from srcli.pages.palette import DARK, LIGHT, Theme

Axis = Literal["steps", "hours"]

_WIDTH, _PANEL = 9.0, 3.5  # inches; the height is two panels at the least
_DASHES = ("-", "--", ":")
_HELD = {  # what the records have that are drawn
    "started": {"step"},
    "step": {"step", "loss", "elapsed"},
    "validated": {"step", "psnr", "elapsed"},
}
_SMOOTHING = 0.02  # of a run's length is averaged to one point of the bold line


class Track(NamedTuple):
    """Values over steps, with the hours of training at each."""

    steps: list[int]
    hours: list[float]
    values: list[float]


class Curves(NamedTuple):
    """One run's loss and validation PSNR in dB; `psnr` is empty where it was not validated.

    `losses`: of each stage in order, with its name; an empty one where the log is too old to tell.
    """

    label: str
    losses: list[tuple[str, Track]]
    psnr: Track


def read_curves(run: Path) -> Curves:
    """Read a run's folder; steps that a resumed run did anew count as it did them last. Raises BadFolder."""
    try:
        lines = (run / "log.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise BadFolder(f"'{run}' is not a training run: its log.jsonl cannot be read ({error.strerror})") from error
    records: list[dict[str, Any]] = []
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue  # cut off where the process was killed
        if not isinstance(record, dict) or record.get("event") not in _HELD:
            continue
        if not all(isinstance(record.get(name), int | float) for name in _HELD[record["event"]]):
            continue  # damaged
        # a run that was killed goes on from its checkpoint; the first logs did not tell that it did
        first = record["step"] + (record["event"] == "started")
        if records and records[-1]["step"] > record["step"]:
            records = [r for r in records if r["step"] < first]
        records.append(record)
    steps = [r for r in records if r["event"] == "step"]
    if not any(math.isfinite(r["loss"]) for r in steps):
        raise BadFolder(f"the run in '{run}' has not logged a step yet")
    stages = groupby(steps, key=lambda r: (str(r.get("loss_name", "")), r.get("stage")))
    losses = [(name, _track(list(stage), "loss")) for (name, _), stage in stages]
    return Curves(run.resolve().name, losses, _track([r for r in records if r["event"] == "validated"], "psnr"))


def plot_curves(runs: Sequence[Curves], path: Path, *, by: Axis = "steps", dark: bool = False) -> None:
    """Write the runs' losses, each kind by itself, then their PSNR where any was validated, to a .png or .svg file."""
    theme = DARK if dark else LIGHT
    names = list(dict.fromkeys(name for run in runs for name, stage in run.losses if np.isfinite(stage.values).any()))
    validated = any(run.psnr.steps for run in runs)
    count = len(names) + validated
    with drawn(path, (_WIDTH, _PANEL * max(2, count)), theme) as figure:
        lines = []
        panels = list(figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0])
        for i, run in enumerate(runs):
            color, dash = style(i, theme)
            reach = int(sum(len(stage.values) for _, stage in run.losses) * _SMOOTHING / 2)
            for name, stage in run.losses:
                if name not in names:
                    continue
                x, panel = np.asarray(stage.steps if by == "steps" else stage.hours), panels[names.index(name)]
                panel.plot(x, stage.values, color=color, linewidth=0.5, alpha=0.25)
                mark = "o" if len(x) == 1 else None  # of one point there is no line
                (line,) = panel.plot(x, smooth(stage.values, reach), color=color, linestyle=dash, linewidth=1.4, marker=mark)
            lines.append(line)
            if run.psnr.steps:
                x = np.asarray(run.psnr.steps if by == "steps" else run.psnr.hours)
                panels[-1].plot(x, run.psnr.values, color=color, linestyle=dash, linewidth=1.4, marker="o", markersize=3.5)
        for name, panel in zip(names, panels, strict=False):
            panel.set_ylabel(f"{name} loss".strip())
            # the first steps and single bad batches would flatten the rest
            values = np.concatenate([stage.values for run in runs for called, stage in run.losses if called == name])
            if len(values := values[np.isfinite(values)]):
                panel.set_ylim(*_limits(values))
        legend = panels[0].legend(lines, ["run"] * len(lines), loc="best")
        for text, run in zip(legend.get_texts(), runs, strict=True):  # set_text: legend leaves out names with a leading _
            text.set_parse_math(False)
            text.set_text(_named(run))
        if validated:
            panels[-1].set_ylabel("validation PSNR (dB)")
        panels[-1].set_xlabel("steps" if by == "steps" else "hours of training")
        for axes in panels:
            axes.margins(x=0.02)


def style(i: int, theme: Theme) -> tuple[str, str]:
    """Return the colour and the dashes of the i-th run: neighbours differ in both, and 18 runs in at least one."""
    colors = len(theme.series)
    return theme.series[i % colors], _DASHES[(i + i // colors) % len(_DASHES)]


def smooth(values: Sequence[float], reach: int) -> np.ndarray:
    """Average each value with its `reach` neighbours on either side; fewer at the ends."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first, last = np.maximum(at - reach, 0), np.minimum(at + reach + 1, len(values))
    return np.asarray((total[last] - total[first]) / (last - first))


def _named(run: Curves) -> str:
    """Return what the legend calls a run; a name that is not UTF-8 is spelt out."""
    label = run.label.encode(errors="backslashreplace").decode()
    return f"{label} ({max(run.psnr.values):.2f} dB)" if run.psnr.values else label


def _limits(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, [0.002, 0.99])
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return float(low - margin), float(high + margin)


def _track(records: Sequence[dict[str, Any]], name: str) -> Track:
    return Track([r["step"] for r in records], [r["elapsed"] / 3600 for r in records], [r[name] for r in records])
