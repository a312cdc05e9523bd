"""Our scores among the rows of the papers' tables, on the data sets and at the scale that both have."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from srcli.engine.evaluate import Dataset, Protocol, Result
from srcli.engine.published import DATASETS, Score, dataset_of, scored_on
from srcli.errors import UsageError, counted

GRAY = "gray pictures count as 3 equal channels, as in most papers since IMDN; older rows of Set14 (bicubic) take gray as Y"


class Row(NamedTuple):
    """A network's mean scores by data set, under our folders' names; `source` is empty where they are measured here."""

    name: str
    scores: Mapping[str, Score]
    source: str = ""

    @property
    def ours(self) -> bool:
        return not self.source


_PICTURES = {"Set5": 5, "Set14": 14, "B100": 100, "U100": 100, "M109": 109}


def check_comparable(datasets: Sequence[Dataset], protocol: Protocol) -> None:
    """Raise UsageError where the papers' tables have no row to stand beside ours."""
    if protocol.channel == "rgb" or protocol.shave != protocol.scale:
        raise UsageError(
            "the papers score on Y and shave the scale: --against published goes with neither --channel rgb nor --shave"
        )
    known = [name for d in datasets if (name := dataset_of(d.name))]
    if not known:
        raise UsageError(f"no paper's table has '{datasets[0].name}'; they have {', '.join(DATASETS)}, as the folder's name")
    if not scored_on(known, protocol.scale):
        raise UsageError(f"no paper's table has x{protocol.scale}")


def differing(results: Sequence[Result]) -> list[str]:
    """Tell of sets whose means are not of as many pictures as the papers'."""
    counts = {r.summary.dataset: r.summary.pictures for r in results}
    return [
        f"'{name}' has {counted(here, 'picture')} here, {_PICTURES[key]} in the papers: their means are not of the same"
        for name, here in counts.items()
        if (key := dataset_of(name)) and here != _PICTURES[key]
    ]


def ranking(results: Sequence[Result]) -> list[Row]:
    """Return our rows and the papers', the lowest PSNR on the first data set first; those without one come before.

    None where the papers have none of the data sets.
    """
    keys = {r.summary.dataset: key for r in results if (key := dataset_of(r.summary.dataset))}
    if not keys:
        return []
    scale = results[0].summary.scale
    rows = [
        Row(
            row.label,
            {ours: row.scores[key] for ours, key in keys.items() if key in row.scores},
            f"{row.source}; {row.score_note}" if row.score_note else row.source,
        )
        for row in scored_on(list(keys.values()), scale)
    ]
    for entry in dict.fromkeys(r.entry.name for r in results):
        mine = {r.summary.dataset: r.summary for r in results if r.entry.name == entry and r.summary.dataset in keys}
        rows.append(Row(entry, {name: Score(s.psnr, None if math.isnan(s.ssim) else s.ssim) for name, s in mine.items()}))
    first = next(iter(keys))
    return sorted(rows, key=lambda row: row.scores[first].psnr if first in row.scores else -math.inf)


def shown(score: Score | None) -> str:
    """Return PSNR / SSIM as the tables print them, - for none."""
    if score is None:
        return "-"
    return f"{score.psnr:.2f}" + ("" if score.ssim is None else f" / {score.ssim:.4f}")
