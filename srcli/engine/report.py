"""The page of an evaluation: scores, paired differences, every picture as a point, and crops of the worst and the best."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from srcli.engine.against import GRAY, differing, ranking, shown
from srcli.engine.bootstrap import rounded
from srcli.engine.crops import CROP, Box, busiest, spread
from srcli.engine.evaluate import BASELINE, Protocol, Result, Versus, compare, duels, read_pair, restore, score_cells
from srcli.pages import Html, crop, details, element, join, look, looks, overview, page, section, table
from srcli.pages.charts import Dot, Series, scatter, spread_of, whisker

SHOWN = 3  # pictures at each end


class _Case(NamedTuple):
    """One picture, as a place in the data set's scores, and why it is shown."""

    place: int
    gain: float  # dB over the baseline, or the PSNR where there is none


def render(results: Sequence[Result], protocol: Protocol, *, computed: str, published: bool = False) -> str:
    """Return the page as HTML; the pictures that it shows are restored once more.

    `results`: of every entry on every data set. `computed`: precision and device. `published`: with the papers' rows.
    """
    entries = list(dict.fromkeys(r.entry for r in results))
    baseline = next((e for e in entries if e.name == BASELINE), None)
    models = [e for e in entries if e is not baseline] or entries
    datasets = list(dict.fromkeys(r.summary.dataset for r in results))
    labels = {e.name: e.label for e in entries}
    of = {(r.entry.name, r.summary.dataset): r for r in results}

    parts = [section("Scores", _scores(results, labels))]
    contests = [_paired(contest, labels) for d in datasets for contest in _contests(results, d)]
    if contests:
        parts.append(section("Paired differences", _PAIRED, *contests))
    if published and ranking(results):
        parts.append(section("Beside the papers", _published(results, labels)))
    charts = []
    for d in datasets:
        if baseline and baseline not in models:
            charts.append(_chart(d, of[baseline.name, d], [of[m.name, d] for m in models]))
        if len(models) > 1:
            charts.append(_chart(d, of[models[1].name, d], [of[models[0].name, d]]))
    tables = [_every_picture(d, [r for r in results if r.summary.dataset == d]) for d in datasets]
    charted = [element("div", *charts, class_="charts")] if charts else []
    parts.append(section("Picture by picture", *charted, *tables))
    main = models[0]
    for d in datasets:
        against = of[baseline.name, d] if baseline and baseline is not main else None
        parts.append(_pictures(of[main.name, d], against, [of[e.name, d] for e in entries], protocol))
    protocols = dict.fromkeys(r.summary.protocol for r in results)
    said = "; ".join(p for p in protocols if not any(q != p and q.startswith(p) for q in protocols))
    lead = element("p", f"Protocol: {said}. Computed in {computed}.", class_="faint")
    return page(f"{', '.join(m.label for m in models)} on {', '.join(datasets)}, x{protocol.scale}", *parts, lead=lead)


_PAIRED = element(
    "p",
    "Each line compares two models on the same pictures, the better one first. The bar is the 95 % bootstrap interval of the "
    "mean difference; where it reaches 0, these pictures do not tell the two apart.",
    class_="faint",
)


def _scores(results: Sequence[Result], labels: dict[str, str]) -> Html:
    rgb = ("RGB PSNR (dB)", "RGB SSIM") if results[0].summary.rgb_psnr is not None else ()
    columns = ("Model", "Data set", "Pictures", "PSNR (dB)", "95 % interval", "SSIM", "95 % interval", *rgb, "Seconds")
    summaries = (r.summary for r in results)
    rows = [(labels[s.model], s.dataset, s.pictures, *score_cells(s), f"{s.seconds:.1f}") for s in summaries]
    caption = "Means over each data set. The intervals say how the mean varies with the choice of pictures."
    return table(caption, columns, rows, text=[1])


def _contests(results: Sequence[Result], dataset: str) -> list[list[Versus]]:
    """Return the comparisons on a data set in groups of like size: over the baseline, and between models."""
    found = duels([r for r in results if r.summary.dataset == dataset], baseline=True)
    over = [v for v in found if BASELINE in (v.model, v.other)]
    return [group for group in ([v for v in found if v not in over], over) if group]


def _paired(contest: Sequence[Versus], labels: dict[str, str]) -> Html:
    least, most = spread_of([x for v in contest for x in (v.psnr, *v.psnr_interval)])
    rows = []
    for v in contest:
        text = f"{v.difference}, {v.psnr_interval.text(2)}"
        drawn = whisker(v.psnr, *v.psnr_interval, least=least, most=most, series=0 if v.clear else 1, text=text)
        names = f"{labels[v.model]} {v.sign} {labels[v.other]}"
        psnr = (rounded(v.psnr, 2, sign=True), v.psnr_interval.text(2), drawn)
        rows.append((names, f"{v.wins} of {v.pictures}", *psnr, rounded(v.ssim, 4, sign=True), v.ssim_interval.text(4)))
    columns = ("Models", "Better on", "PSNR (dB)", "95 % interval", "", "SSIM", "95 % interval")
    over = " over bicubic" if BASELINE in (contest[0].model, contest[0].other) else ", model against model"
    return table(contest[0].dataset + over, columns, rows)


def _published(results: Sequence[Result], labels: dict[str, str]) -> Html:
    rows = ranking(results)
    datasets = list(dict.fromkeys(name for row in rows if row.ours for name in row.scores))
    cells = [
        (labels.get(row.name, row.name), *(shown(row.scores.get(d)) for d in datasets), row.source or "measured here")
        for row in rows
    ]
    marked = [i for i, row in enumerate(rows) if row.ours]
    caption = f"PSNR / SSIM on Y at x{results[0].summary.scale}, by PSNR on {datasets[0]}; ours are marked"
    said = differing(results) + [f"Here {GRAY}."] * any(s.gray for r in results for s in r.scores)
    notes = [element("p", line, class_="faint") for line in said]
    return join([table(caption, ("Network", *datasets, "Source"), cells, text=[1 + len(datasets)], marked=marked), *notes])


def _chart(dataset: str, base: Result, results: Sequence[Result]) -> Html:
    """Draw how much each result gains over `base` on every picture."""
    series = [
        Series(
            r.entry.label,
            [
                Dot(
                    b.psnr, s.psnr - b.psnr, f"{s.picture}: {r.entry.label} {s.psnr:.2f} dB, {base.entry.label} {b.psnr:.2f} dB"
                )
                for s, b in zip(r.scores, base.scores, strict=True)
            ],
        )
        for r in results
    ]
    names = results[0].entry.label if len(results) == 1 else "each model"
    title = f"{dataset}: what {names} gains over {base.entry.label}, picture by picture"
    return scatter(title, series, x=f"PSNR of {base.entry.label} (dB)", y="gain (dB)")


def _every_picture(dataset: str, results: Sequence[Result]) -> Html:
    rows = []
    for scores in zip(*(r.scores for r in results), strict=True):
        rows.append((scores[0].picture, *(f"{rounded(s.psnr, 2)} / {rounded(s.ssim, 4)}" for s in scores)))
    whole = table(f"PSNR (dB) / SSIM on {dataset}", ("Picture", *(r.entry.label for r in results)), rows)
    return details(f"All pictures of {dataset}, {len(rows)}, as a table", whole)


def _pictures(main: Result, base: Result | None, results: Sequence[Result], protocol: Protocol) -> Html:
    """Show the pictures at both ends of the order."""
    cases = [
        _Case(i, s.psnr - base.scores[i].psnr if base else s.psnr) for i, s in enumerate(main.scores) if math.isfinite(s.psnr)
    ]
    cases.sort(key=lambda case: case.gain)
    count = min(SHOWN, math.ceil(len(cases) / 2))
    worst, best = cases[:count], cases[count:][-count:][::-1]
    how = f"by what {main.entry.label} gains over {base.entry.label}" if base else "by PSNR"
    intro = f"{how}, the worst first, then the best. Crops are enlarged without smoothing; their own PSNR stands in brackets."
    blocks = [_picture(case, base, main, results, protocol) for case in worst + best]
    title = f"{main.summary.dataset}: worst and best pictures"
    return section(title, element("p", intro[0].upper() + intro[1:], class_="faint"), *blocks)


def _picture(case: _Case, base: Result | None, main: Result, results: Sequence[Result], protocol: Protocol) -> Html:
    """Show one picture: where the crops lie, and each crop as LR, every entry and HR."""
    dataset, scores = main.dataset, [r.scores[case.place] for r in results]
    path = dataset.pictures[case.place]
    pair = read_pair(dataset, path, protocol)
    restored = [restore(r.entry, dataset, path, pair, scored=each) for r, each in zip(results, scores, strict=True)]
    mine = restored[[r.entry for r in results].index(main.entry)]
    boxes = _boxes(mine, restored[[r.entry for r in results].index(base.entry)] if base else None, pair.hr, protocol)
    reasons = [f"where {main.entry.label} is furthest from the HR"]
    if base:
        reasons.insert(0, f"where {main.entry.label} differs most from {base.entry.label}")

    places = []
    for number, (box, reason) in enumerate(zip(boxes, reasons, strict=False), 1):
        hr = box.cut(pair.hr)
        crops = [crop(box.cut(pair.lr, protocol.scale), f"LR of {path.name}, crop {number}", element("b", "LR"))]
        for result, whole, score in zip(results, restored, scores, strict=True):
            sr = box.cut(whole)
            here = compare(sr, hr, Protocol(protocol.scale, protocol.channel, border=0))[0]
            caption = (element("b", result.entry.label), f"{rounded(score.psnr, 2)} dB ({rounded(here, 2)})")
            crops.append(crop(sr, f"{result.entry.label} of {path.name}, crop {number}", *caption))
        crops.append(crop(hr, f"HR of {path.name}, crop {number}", element("b", "HR")))
        places.append(look(f"Crop {number}: {reason}" if len(boxes) > 1 else reason[0].upper() + reason[1:], crops))
    corners = " and ".join(f"{b.left}, {b.top}" for b in boxes)
    where = overview(pair.hr, boxes, f"{path.name} with the places of its crops, at {corners} px from the upper left corner")
    gain = ""
    if base:
        exact = math.isinf(base.scores[case.place].psnr)  # a gain of -inf dB says nothing
        gain = f"; {base.entry.label} restores it exactly" if exact else f", {case.gain:+.2f} dB over {base.entry.label}"
    heading = element("h3", f"{path.name}: {main.entry.label} {main.scores[case.place].psnr:.2f} dB{gain}")
    return element("article", heading, looks(where, places))


def _boxes(sr: np.ndarray, base: np.ndarray | None, hr: np.ndarray, protocol: Protocol) -> list[Box]:
    """Return where to look: where `sr` differs most from the baseline, and elsewhere where it is furthest from the HR."""
    s = protocol.scale
    side, border = math.ceil(CROP / s) * s, protocol.shave
    found: list[Box] = []
    for versions in ([sr, base], [sr, hr]):
        if versions[1] is None:
            continue
        box = busiest(spread([v for v in versions if v is not None]), side, step=s, border=border, avoid=found)
        if box not in found:
            found.append(box)
    return found
