"""srcli profile: what networks cost, beside what the papers print; how far their tiles are from the whole."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from srcli import console, zoo
from srcli.commands import options
from srcli.commands.outputs import DRAWING, check_output, write_files
from srcli.commands.run_file import arguments_of, assignments
from srcli.errors import UsageError
from srcli.files import write_csv

if TYPE_CHECKING:
    import torch

    from srcli.engine.plot import Axis
    from srcli.engine.profile import Comparison, Profile
    from srcli.engine.tiling import Weights
    from srcli.models.base import SRModel

Draw = Callable[[str, Sequence[str], Sequence[Sequence[str]]], None]  # a table: its title, columns and rows

CHALLENGE_INPUT = (256, 256)
_CSV = b"model,label,scale,input,"  # what the table of --csv begins with
AXES: "tuple[Axis, ...]" = ("parameters", "milliseconds", "macs")


class _Row(NamedTuple):
    counted: "Profile"
    beside: "Comparison | None"  # None where nobody asked
    config: dict[str, Any]

    @property
    def label(self) -> str:
        changed = ", ".join(f"{k} {v}" for k, v in self.config.items())
        return f"{self.counted.model}, {changed}" if changed else self.counted.label


def profile(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="MODEL", help="Networks or weights files; by default all networks.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="An argument of MODEL, such as channels=48; may be repeated."),
    ] = None,
    scale: options.Scale = None,
    input: Annotated[str | None, typer.Option(help="LR size HEIGHTxWIDTH.  [default: 256x256]")] = None,
    output: Annotated[str | None, typer.Option(help="HR size instead; 720x1280 counts as the papers do.")] = None,
    published: Annotated[
        bool | None,
        typer.Option("--published/--no-published", help="The papers' figures beside ours; by default in tables without MODEL."),
    ] = None,
    time: Annotated[bool, typer.Option("--time", help="Measure milliseconds and peak memory too.")] = False,
    tiling: Annotated[bool, typer.Option("--tiling", help="Measure instead how far tiles are from the whole.")] = False,
    picture: Annotated[Path | None, typer.Option(help="With --tiling: what is upscaled, else a made one.")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    csv: Annotated[Path | None, typer.Option(help="File for every figure.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw PSNR over cost as .png or .svg.")] = None,
    plot_axis: Annotated[str, typer.Option(help="With --plot: parameters, milliseconds, macs.")] = "parameters",
    dataset: Annotated[str, typer.Option(help="With --plot: Set5, Set14, B100, U100 or M109.")] = "Set5",
    dark: Annotated[bool, typer.Option("--dark", help="With --plot: on a dark ground.")] = False,
    precision: options.Precision = "fp32",
    device: options.Device = "auto",
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Print what networks cost: parameters, operations, milliseconds.

    Operations are multiply-accumulates; --time measures. Without MODEL also what the papers print.

    Example: srcli profile rfdn mfdn --output 720x1280 --published
    """
    precision = options.one_of("--precision", precision, options.PRECISIONS)
    axis = options.one_of("--plot-axis", plot_axis, AXES)
    if input and output:
        raise UsageError("give --input or --output, not both")
    if json and markdown:
        raise UsageError("give --json or --markdown, not both")
    if tiling and (csv or plot or time or published or input or output or precision not in ("auto", "fp32")):
        raise UsageError("--tiling goes with --picture, --markdown and --json only, and measures in fp32")
    if settings and (tiling or not models):
        raise UsageError("--set needs MODEL, a network's name, and goes without --tiling")
    if picture and not tiling:
        raise UsageError("--picture needs --tiling")
    if not plot and (dark or (plot_axis, dataset) != ("parameters", "Set5")):
        raise UsageError("--plot-axis, --dataset and --dark need --plot")
    time = time or (plot is not None and axis == "milliseconds")
    if precision != "fp32" and not (time or tiling):
        raise UsageError("--precision needs --time")
    for file, begin in ((csv, _CSV), (plot, DRAWING)):
        if file:
            check_output(file, own=begin)
    size = (
        options.parse_size("--input", input) if input else options.parse_size("--output", output) if output else CHALLENGE_INPUT
    )
    draw: Draw = console.markdown if markdown else console.table

    from srcli.engine.device import fast_precision, pick_device
    from srcli.engine.profile import compare, input_for_output, profile
    from srcli.engine.published import ABLATIONS, DATASETS
    from srcli.models import ARCHS, create

    options.one_of("--dataset", dataset, DATASETS)
    where = pick_device(device)
    if tiling:
        from srcli.engine.tiling import network_with_weights

        loaded = (network_with_weights(name, scale, offline=offline, say=console.note) for name in models or ARCHS)
        _tiling(loaded, len(models or ARCHS), picture=picture, device=where, draw=draw, json=json)
        return
    if plot:
        from srcli.engine.drawing import check_format

        check_format(plot)
    exact = fast_precision(where) if precision == "auto" else precision
    beside = not (models or json) if published is None else published
    names = models or list(ARCHS)
    networks = [_network(name, scale, settings, offline=offline) for name in names]
    factor = scale or (networks[0].scale if models else zoo.DEFAULT_SCALE)
    if plot and {network.scale for network in networks} != {factor}:
        raise UsageError("the models upscale by different factors; choose one with -s")

    def measured(network: "SRModel", *, time: bool) -> _Row:
        height, width = input_for_output(network.scale, *size) if output else size
        counted = profile(network, height, width, time=time, device=where, precision=exact)
        return _Row(counted, compare(network) if beside or plot else None, network.config)

    rows = []
    with console.bar(len(networks), quiet=json or not time) as bar:
        for done, network in enumerate(networks, 1):
            bar.update(done - 1, network.arch)
            rows.append(measured(network, time=time))
    ablations = [r for r in ABLATIONS if r.scale == factor] if beside and not models else []
    changed = [measured(create(r.name, r.scale, **r.config), time=False) for r in ablations]

    table = [_record(r) for r in rows + changed]
    for record in table if json else ():
        console.record(record)
    if not json:
        _show_counts(rows, draw, time=time)
        if not (models or scale):
            console.result(f"the scale is x{factor} unless -s says otherwise")
        if time:
            console.result(f"median of repeated passes on {where} in {exact}")
        if beside:
            _show_published(rows + changed, draw)
        if beside and size == CHALLENGE_INPUT and not output:
            _show_challenge(rows, draw)
        if published and not models:
            _show_scores(factor, draw)

    own = [bool(r.config) or not zoo.names_network(name, scale) for r, name in zip(rows, names, strict=True)]
    measure = f", {size[0]}x{size[1]}, {where}, {exact}" if axis == "milliseconds" else ""
    title = f"{dataset}, x{factor}{measure}"
    write_plot = partial(_write_plot, rows, own, axis=axis, dataset=dataset, title=title, dark=dark, named=bool(models))
    if unwritten := write_files([(csv, partial(_write_csv, table)), (plot, write_plot)]):
        raise next(iter(unwritten.values()))


def _network(name: str, scale: int | None, settings: Sequence[str] | None, *, offline: bool) -> "SRModel":
    """Open what is called `name`, or build the network of that name with the arguments that --set gives it."""
    if settings:
        return _built(name, scale or zoo.DEFAULT_SCALE, assignments(settings, "--set"))
    return zoo.open_network(name, scale, offline=offline, say=console.note)


def _built(name: str, scale: int, changes: dict[str, Any]) -> "SRModel":
    """Build a network with other arguments than the table's; raise UsageError where there is none with them, or it fails."""
    from srcli.engine.begin import built, check_runs
    from srcli.models import arch_name

    arch = arch_name(name)
    given = arguments_of(arch, changes)
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # torch's, of layers without a weight
        model = built(arch, scale, given).eval()
    check_runs(model, arch, given)
    return model


def _write_plot(
    rows: Sequence[_Row],
    own: Sequence[bool],
    path: Path,
    *,
    axis: "Axis",
    dataset: str,
    title: str,
    dark: bool,
    named: bool,
) -> None:
    """Draw the papers' scores over cost, without what is `own`; of networks that were `named`, say which are missing."""
    from srcli.engine.plot import plot_tradeoff, tradeoff

    drawn = [(r.counted, r.beside) for r, its in zip(rows, own, strict=True) if r.beside and not its]
    points = tradeoff(drawn, rows[0].counted.scale, dataset, axis)
    there = {point.label for point in points}
    if lost := [r.label for r, its in zip(rows, own, strict=True) if named and (its or r.counted.label not in there)]:
        console.note(f"not drawn, as there is no score of it: {', '.join(lost)}")
    plot_tradeoff(points, path, axis=axis, title=title, dark=dark)


def _show_counts(rows: Sequence[_Row], draw: Draw, *, time: bool) -> None:
    columns = ["network", "scale", "input", "parameters", "GMAC", "GFLOP", "NTIRE G", "acts M", "convs"]
    if time:
        columns += ["ms", "quartiles", "peak MiB"]
    cells = []
    for r in rows:
        c = r.counted
        line = [r.label, f"x{c.scale}", _size(c), f"{c.parameters:,}", _giga(c.macs), _giga(c.flops), _giga(c.ntire_flops)]
        line += [f"{c.activations / 1e6:.2f}", str(c.convolutions)]
        if c.milliseconds is not None and c.spread is not None:
            line += [f"{c.milliseconds:.1f}", f"{c.spread[0]:.1f}-{c.spread[1]:.1f}", _or_dash(c.peak_mib, ".0f")]
        cells.append(line)
    draw("", columns, cells)
    console.result("GFLOP = 2 GMAC; NTIRE G counts as the challenge's script")


def _show_published(rows: Sequence[_Row], draw: Draw) -> None:
    """Print the papers' tables: parameters and multi-adds, the published figure and our deviation, and the notes."""
    notes = list(dict.fromkeys(r.beside.note for r in rows if r.beside and r.beside.note))
    cells = []
    for r in rows:
        b = r.beside
        assert b is not None  # the caller has compared them all
        line = [r.label, f"x{r.counted.scale}", f"{r.counted.parameters / 1e3:,.1f}", _or_dash(b.published_parameters, ",g")]
        line += [_percent(b.parameters_deviation), _giga(b.multi_adds), _or_dash(b.published_multi_adds, ",.1f")]
        cells.append([*line, _percent(b.multi_adds_deviation), str(notes.index(b.note) + 1) if b.note else ""])
        if b.published_multi_adds and b.multi_adds_as_published != b.multi_adds:
            again = ["", "", "", "", _giga(b.multi_adds_as_published), "", _percent(b.deviation_as_published), ""]
            cells.append(["  counted as published", *again])
    columns = ("network", "scale", "params K", "published", "deviation", "multi-adds G", "published", "deviation", "note")
    console.result("")
    draw("Beside the papers: parameters, and multi-adds for an output of 1280x720", columns, cells)
    console.footnotes(notes)


def _show_challenge(rows: Sequence[_Row], draw: Draw) -> None:
    """Print the NTIRE 2022 rows: ours, the published one, and the deviation."""
    from srcli.engine.published import deviation

    cells = []
    for r in rows:
        c, row = r.counted, r.beside.challenge if r.beside else None
        if row is None:
            continue
        ours = (c.parameters / 1e6, c.ntire_flops / 1e9, c.activations / 1e6, c.convolutions, c.peak_mib, c.milliseconds)
        theirs = (row.parameters, row.flops, row.activations, row.convolutions, row.memory, row.milliseconds)
        formats = (".3f", ".2f", ".2f", "d", ".1f", ".1f")
        cells.append([r.label, *(_or_dash(v, f) for v, f in zip(ours, formats, strict=True))])
        cells.append(["  published", *(_or_dash(v, f) for v, f in zip(theirs, formats, strict=True))])
        off = [None if a is None else deviation(a, b) for a, b in zip(ours, theirs, strict=True)]
        cells.append(["  deviation", *map(_percent, off)])
    if cells:
        console.result("")
        columns = ("network", "params M", "FLOPs G", "activations M", "convolutions", "memory MiB", "ms")
        draw("NTIRE 2022 efficient super-resolution: x4, input 256x256", columns, cells)
        console.result("their memory and time are those of the challenge's GPU; --time measures ours")


def _show_scores(scale: int, draw: Draw) -> None:
    """Print the published scores of every network of the papers, those that srcli does not have included."""
    from srcli.engine.published import DATASETS, ROWS

    rows = [r for r in ROWS if r.scale == scale and (r.scores or r.parameters)]
    said = [f"{r.source}; {r.note}" if r.note else r.source for r in rows]
    sources = list(dict.fromkeys(said))
    cells = []
    for r, source in zip(rows, said, strict=True):
        scores = [r.scores.get(name) for name in DATASETS]
        pairs = ["-" if s is None else f"{s.psnr:.2f}" + (f"/{s.ssim:.4f}" if s.ssim else "") for s in scores]
        counts = [_or_dash(r.parameters, ",g"), _or_dash(r.multi_adds, ",.1f")]
        cells.append([r.label, *counts, *pairs, str(sources.index(source) + 1)])
    console.result("")
    draw(f"Published at x{scale}: PSNR/SSIM on Y", ("network", "params K", "multi-adds G", *DATASETS, "source"), cells)
    console.footnotes(sources)


def _tiling(
    networks: "Iterable[tuple[SRModel, Weights]]",
    count: int,
    *,
    picture: Path | None,
    device: "torch.device",
    draw: Draw,
    json: bool,
) -> None:
    """Measure and print how far tiles are from the whole."""
    from srcli.engine.tiling import UNTRAINED, measure_tiling, read_levels

    pixels = read_levels(picture) if picture else None
    rows, kinds = [], set()
    with console.bar(count, quiet=json) as bar:
        for done, d in enumerate(measure_tiling(networks, pixels, device=device), 1):
            bar.update(done, d.model)
            kinds.add(d.weights)
            if json:
                console.record(d)
            line = [d.label, f"x{d.scale}", d.weights, d.kind, str(d.overlap), str(d.phase)]
            line += [f"{d.picture[0]}x{d.picture[1]}", str(d.tile), str(d.tiles), str(d.largest), f"{100 * d.share:.4f} %"]
            rows.append(line)
    if json:
        return
    columns = (
        "network",
        "scale",
        "weights",
        "kind",
        "overlap",
        "phase",
        "picture",
        "tile",
        "tiles",
        "levels",
        "values that differ",
    )
    draw("", columns, rows)
    console.result(f"largest deviation of tiles from the whole in levels of 8 bit, float32 on {device}")
    for kind, meaning in UNTRAINED.items():
        if kind in kinds:
            console.result(f"{kind}: {meaning}")


def _record(row: _Row) -> dict[str, Any]:
    """Return what --json and --csv give of a network."""
    from dataclasses import asdict

    found = {**asdict(row.counted), "input": _size(row.counted), "config": row.config}
    return {**found, "published": asdict(row.beside)} if row.beside else found


def _write_csv(records: Sequence[dict[str, Any]], path: Path) -> None:
    """Write one line a network; what is nested gets names joined by dots."""
    flat = [_flat(record) for record in records]
    keys = dict.fromkeys(key for record in flat for key in record)
    columns = [key for key in keys if not any(other.startswith(f"{key}.") for other in keys)]
    write_csv(path, [columns, *([record.get(key, "") for key in columns] for record in flat)])


def _flat(record: dict[str, Any], lead: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{lead}{key}.")
        elif isinstance(value, tuple):
            found[lead + key] = " ".join(map(str, value))
        else:
            found[lead + key] = "" if value is None else value
    return found


def _size(counted: "Profile") -> str:
    return f"{counted.input[0]}x{counted.input[1]}"


def _giga(count: int) -> str:
    return f"{count / 1e9:.2f}"


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _percent(fraction: float | None) -> str:
    return "-" if fraction is None else f"{100 * fraction:+.1f} %".replace("-0.0", "0.0").replace("+0.0", "0.0")
