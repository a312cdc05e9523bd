"""srcli eval: PSNR and SSIM against folders of HR pictures, with intervals, a report and the papers' rows."""

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from srcli import console, zoo
from srcli.commands import options
from srcli.commands.outputs import DRAWING, PAGE, check_output, write_files
from srcli.errors import BadPicture, OutOfMemory, UsageError, UserError
from srcli.files import atomic, make_folder, write_csv, write_text, writing_to
from srcli.media.formats import SUFFIXES
from srcli.media.inputs import is_picture

if TYPE_CHECKING:
    import torch

    from srcli.engine.crops import Box
    from srcli.engine.evaluate import Channel, Dataset, Entry, Protocol, Result, Score
    from srcli.engine.upscale import Upscaler
    from srcli.models.base import SRModel

CHANNELS: "tuple[Channel, ...]" = ("y", "rgb", "both")
_COLUMNS = ("model", "dataset", "picture", "scale", "psnr", "ssim")
_CSV = ",".join(_COLUMNS).encode()
_MADE = ("precision", "device", "ensemble")  # what is known of how a network's SR was made


def evaluate(
    folders: Annotated[list[Path], typer.Argument(metavar="HR_DIR", help="Folders of HR pictures.")],
    models: Annotated[
        list[str] | None,
        typer.Option("-m", "--model", "-n", metavar="NAME", help="A shipped name or a weights file; several may be given."),
    ] = None,
    sr: Annotated[
        list[Path] | None,
        typer.Option(metavar="DIR", help="Score a folder of ready pictures, of any tool; several may be given."),
    ] = None,
    lr_dir: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder of LR pictures, one for each HR_DIR; else LR is made.")
    ] = None,
    scale: options.Scale = None,
    channel: Annotated[str, typer.Option(help="y, rgb, or both side by side.")] = "y",
    shave: Annotated[int | None, typer.Option(help="Px cut off each side; by default the scale.", min=0)] = None,
    against: Annotated[str | None, typer.Option(help="published: the papers' rows beside ours.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="HTML file with tables, charts and crops of the worst and best pictures.")
    ] = None,
    picture: Annotated[str | None, typer.Option(help="Score this picture alone: its name.")] = None,
    figure: Annotated[Path | None, typer.Option(help="PNG of --picture with crops, as papers have it.")] = None,
    box: Annotated[
        str | None, typer.Option(help="Crop of --figure: X,Y,WIDTH,HEIGHT; else where the models differ most.")
    ] = None,
    precision: options.Precision = "fp32",
    device: options.Device = "auto",
    tile: options.Tile = "auto",
    ensemble: options.Ensemble = False,
    save: Annotated[Path | None, typer.Option(help="Folder for the SR pictures.")] = None,
    csv: Annotated[Path | None, typer.Option(help="File for every picture's scores.")] = None,
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Score models against HR pictures as the papers do.

    Bicubic comes first.

    Example: srcli eval Set5 Set14 -m rfdn -m mfdn
    """
    channel = options.one_of("--channel", channel, CHANNELS)
    precision = options.one_of("--precision", precision, options.PRECISIONS)
    if against is not None:
        options.one_of("--against", against, ("published",))
    if not models and not sr:
        raise UsageError("name models with -m, or ready pictures with --sr")
    for folder in [*folders, *(lr_dir or []), *(sr or [])]:
        if json and folder.suffix == ".json" and not folder.exists():
            raise UsageError(f"--json prints and takes no name: --json > '{folder}' keeps it")
        if folder.is_file() and is_picture(folder):
            raise UsageError(f"'{folder}' is a file; of its folder alone this one is scored with --picture {folder.stem}")
        options.need_folder(folder)
    if lr_dir and len(lr_dir) != len(folders):
        raise UsageError(f"{len(folders)} HR folders need as many --lr-dir, not {len(lr_dir)}")
    if figure and not picture:
        raise UsageError("--figure needs --picture, the name of what it shows")
    if box and not figure:
        raise UsageError("--box needs --figure")
    _refuse_outputs(csv=csv, report=report, figure=figure, save=save, sources=[*folders, *(lr_dir or []), *(sr or [])])
    side = options.parse_tile(tile)

    from srcli.engine.device import pick_device
    from srcli.engine.evaluate import BASELINE, Protocol, check_pictures, open_datasets
    from srcli.engine.figure import check_box, check_figure, parse_box

    datasets = open_datasets(folders, lr_dir or ())
    if picture:
        datasets = [_only(picture, datasets)]
    where = pick_device(device)
    networks = zoo.open_models(models or [], scale, offline=offline, say=console.note)
    factor = options.common_scale(networks) if networks else scale
    if factor is None:
        raise UsageError("--sr needs the scale: -s 2, 3 or 4")
    networks = {BASELINE: zoo.open_model(BASELINE, factor)[0], **networks}
    protocol = Protocol(factor, channel, shave, lr_dir is not None)
    if against:
        from srcli.engine.against import check_comparable

        if picture:
            raise UsageError("the papers' scores are of whole sets: --against published goes without --picture")
        check_comparable(datasets, protocol)
    if figure:
        check_figure(figure)
    wanted = parse_box(box) if box else None
    if wanted:
        check_box(wanted, datasets[0].pictures[0], protocol)
    ready = partial(_upscaler, device=where, precision=precision, tile=side, ensemble=ensemble)
    entries = _entries({name: ready(network) for name, network in networks.items()}, sr or ())
    check_pictures(datasets, entries, protocol)
    results, failed = _score(entries, datasets, protocol, save, quiet=json)
    if against:
        from srcli.engine.against import differing

        for line in differing(results):
            console.note(line)
    computed = _computed(results, networks, precision=precision, where=f"{where}{', self-ensemble' if ensemble else ''}")
    facts = {name: {"device": str(where), "ensemble": ensemble} for name in networks}
    if json:
        _records(results, facts, published=against is not None)
    else:
        _show(results, published=against is not None, computed=computed)
    unwritten = write_files(
        [
            (csv, partial(_write_csv, results, facts)),
            (report, partial(_write_report, results, protocol, computed=computed, published=against is not None)),
            (figure, partial(_write_figure, results, protocol, box=wanted)),
        ]
    )
    if failed:
        _tell_failed(failed, sum(len(dataset.pictures) for dataset in datasets))
    if unwritten:
        raise next(iter(unwritten.values()))
    if failed:
        raise typer.Exit(1)


def _upscaler(
    network: "SRModel", *, device: "torch.device", precision: options.AnyPrecision, tile: int | None, ensemble: bool
) -> "Upscaler":
    """Make a network ready; one of a file of one precision is in that one, as fp32 is asked for where nothing is said."""
    from srcli.engine.upscale import Upscaler

    own = precision == "fp32" and network.precision
    return Upscaler(network, device=device, precision="auto" if own else precision, tile=tile, ensemble=ensemble)


def _entries(upscalers: Mapping[str, "Upscaler"], folders: Sequence[Path]) -> list["Entry"]:
    """Put the networks and the folders of ready pictures under short names."""
    from srcli.engine.evaluate import Entry
    from srcli.engine.labels import short_names

    names = [*upscalers, *dict.fromkeys(str(folder.resolve()) for folder in folders)]
    return [
        Entry(name, label, upscalers[name]) if name in upscalers else Entry(label, label, Path(name))
        for name, label in zip(names, short_names(names), strict=True)
    ]


def _write_report(results: Sequence["Result"], protocol: "Protocol", path: Path, *, computed: str, published: bool) -> None:
    from srcli.engine.report import render

    write_text(path, render(results, protocol, computed=computed, published=published))


def _write_figure(results: Sequence["Result"], protocol: "Protocol", path: Path, *, box: "Box | None") -> None:
    from srcli.engine.drawing import signature
    from srcli.engine.figure import draw_figure

    drawing, drawn = draw_figure(results, protocol, box=box)
    with writing_to(path), atomic(path) as temporary:
        drawing.save(temporary, "PNG", optimize=True, pnginfo=signature())
    console.note(f"{path}: --box {','.join(map(str, drawn))}")


def _score(
    entries: list["Entry"], datasets: list["Dataset"], protocol: "Protocol", save: Path | None, *, quiet: bool
) -> tuple[list["Result"], dict[Path, UserError]]:
    """Score every entry on every data set, with a bar; return what failed too, by picture, which counts for no entry.

    Raises the first failure where nothing is left.
    """
    from srcli.engine.evaluate import conclude, score

    runs: list[tuple[Entry, Dataset, Protocol, dict[Path, Score]]] = []
    failed: dict[Path, UserError] = {}
    total = len(entries) * sum(len(dataset.pictures) for dataset in datasets)
    done = 0
    with console.bar(total, quiet=quiet) as bar:
        for entry in entries:
            counted = dataclasses.replace(protocol, sr_given=isinstance(entry.source, Path))
            for dataset in datasets:
                target = _target(save, entry, dataset) if save else None
                scores: dict[Path, Score] = {}
                for path in dataset.pictures:
                    done += 1
                    if path in failed:
                        continue
                    try:
                        scores[path] = score(entry.source, dataset, path, counted, save=target)
                    except (BadPicture, OutOfMemory) as error:
                        failed[path] = error
                    bar.update(done, f"{entry.label} {dataset.name}")
                runs.append((entry, dataset, counted, scores))
    results = []
    for entry, dataset, counted, scores in runs:
        if whole := [path for path in dataset.pictures if path not in failed]:
            left = dataclasses.replace(dataset, pictures=whole)
            results.append(conclude(entry, left, counted, [scores[path] for path in whole]))
    if not results:
        raise next(iter(failed.values()))
    return results, failed


def _tell_failed(failed: Mapping[Path, UserError], total: int) -> None:
    for path, error in failed.items():
        console.error(str(error) if str(path) in str(error) else f"{path}: {error}")
    console.error(f"{len(failed)} of {total} pictures could not be scored; all means are over the others")


def _computed(results: Sequence["Result"], networks: Mapping[str, "SRModel"], *, precision: str, where: str) -> str:
    """Say what the networks computed in, and where; with auto what that came to."""
    from srcli.engine.evaluate import precision_of

    learnt = [r for r in results if (n := networks.get(r.entry.name)) and n.learnt]
    asked = f"auto ({precision_of(learnt or results)})" if precision == "auto" else precision
    own = {r.entry.label: n.precision for r in results if (n := networks.get(r.entry.name))}
    others = [f"; {label} in {its}" for label, its in own.items() if its not in (None, precision)]
    return f"{asked}, {where}{''.join(others)}"


def _refuse_outputs(
    *, csv: Path | None, report: Path | None, figure: Path | None, save: Path | None, sources: Sequence[Path]
) -> None:
    """Raise a UserError where a file or folder to write is none of its kind, would be lost, or lies in one of `sources`."""
    if report and report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"a report is a .html file, not '{report.name}'")
    if csv and csv.suffix.lower() in SUFFIXES:
        raise UsageError(f"--csv is a table, not a picture: '{csv}'")
    outputs = [file.resolve() for file in (csv, report, figure) if file]
    if len(set(outputs)) < len(outputs):
        raise UsageError("--csv, --report and --figure write a file each: give them different names")
    for file, own in ((csv, _CSV), (report, PAGE), (figure, DRAWING)):
        if file and file.exists() and _lies_in(file, sources):
            raise UsageError(f"'{file}' is in a folder of pictures and would be replaced; name another file")
        if file:
            check_output(file, own=own)
    if save and _lies_in(save, sources):
        raise UsageError(f"--save '{save}' lies in a folder of pictures, which would count them the next time")


def _lies_in(path: Path, folders: Sequence[Path]) -> bool:
    return any(path.resolve().is_relative_to(folder.resolve()) for folder in folders)


def _only(name: str, datasets: Sequence["Dataset"]) -> "Dataset":
    """Return the data set that has the picture `name`, with nothing else; raise UsageError."""
    from srcli.engine.evaluate import within

    found = [
        dataclasses.replace(dataset, pictures=[path])
        for dataset in datasets
        for path in dataset.pictures
        if name.lower() in (path.name.lower(), path.stem.lower(), within(path, dataset.folder).lower())
    ]
    if len(found) > 1:
        raise UsageError(f"'{name}' is the name of {len(found)} pictures: {', '.join(str(d.pictures[0]) for d in found)}")
    if not found:
        near = difflib.get_close_matches(name, [path.stem for dataset in datasets for path in dataset.pictures], 1)
        raise UsageError(
            f"no picture '{name}' in {', '.join(d.name for d in datasets)}" + (f"; did you mean '{near[0]}'?" if near else "")
        )
    return found[0]


def _target(save: Path, entry: "Entry", dataset: "Dataset") -> Path | None:
    """Make the folder for an entry's pictures; ready ones are there already."""
    if isinstance(entry.source, Path):
        return None
    target = save / entry.label.replace("/", "_") / dataset.name
    make_folder(target)
    return target


def _show(results: Sequence["Result"], *, published: bool, computed: str) -> None:
    """Print the means with their intervals, who beats whom, and the papers' rows."""
    from srcli.engine.evaluate import duels, score_cells

    rgb = ("RGB PSNR", "RGB SSIM") if results[0].summary.rgb_psnr is not None else ()
    columns = ("model", "data set", "scale", "pictures", "PSNR", "95 %", "SSIM", "95 %", *rgb, "seconds")
    cells = []
    for r in results:
        s = r.summary
        name = r.entry.label if console.on_terminal() else s.model  # what is kept in a file tells the whole path
        cells.append((name, s.dataset, f"x{s.scale}", str(s.pictures), *score_cells(s), f"{s.seconds:.1f}"))
    console.table("", columns, cells)
    for contest in duels(results):
        console.result(f"{contest.dataset}: {contest}")
    if published:
        _show_published(results)
    datasets = {r.summary.dataset for r in results}
    for protocol in dict.fromkeys(r.summary.protocol for r in results):
        counted = dict.fromkeys(r.summary.dataset for r in results if r.summary.protocol == protocol)
        of = f" of {', '.join(counted)}" if len(counted) < len(datasets) else ""
        console.result(f"protocol{of}: {protocol}; {computed}")


def _show_published(results: Sequence["Result"]) -> None:
    from srcli.engine.against import GRAY, ranking, shown

    rows = ranking(results)
    if not rows:
        return
    datasets = list(dict.fromkeys(name for row in rows if row.ours for name in row.scores))
    sources = list(dict.fromkeys(row.source for row in rows if row.source))
    cells = []
    for row in rows:
        source = "measured here" if row.ours else str(sources.index(row.source) + 1)
        cells.append((f"> {row.name}" if row.ours else f"  {row.name}", *(shown(row.scores.get(d)) for d in datasets), source))
    console.result("")
    title = f"Beside the papers at x{results[0].summary.scale}: PSNR / SSIM on Y, by PSNR on {datasets[0]}"
    console.table(title, ("network", *datasets, "source"), cells)
    console.footnotes(sources)
    if any(s.gray for r in results for s in r.scores):
        console.footnotes([f"here {GRAY}"], numbered=False)


def _records(results: Sequence["Result"], made: Mapping[str, dict[str, Any]], *, published: bool) -> None:
    """Print a record for every model and data set, with how it stands against those before it, then the papers' rows.

    `made`: how the pictures of a network were made, beside the precision.
    """
    from srcli.engine.against import ranking
    from srcli.engine.evaluate import precision_of, versus

    for i, result in enumerate(results):
        before = [r for r in results[:i] if r.dataset == result.dataset]
        said = ("model", "dataset", "pictures")  # by the summary too
        contests = [{k: v for k, v in dataclasses.asdict(versus(result, o)).items() if k not in said} for o in before]
        how = made.get(result.entry.name)
        facts = {"precision": precision_of([result]), **how} if how else {}
        console.record(result.summary, **facts, versus=contests)
    for row in ranking(results) if published else []:
        for dataset, score in row.scores.items():
            if not row.ours:
                facts = {"model": row.name, "dataset": dataset, "scale": results[0].summary.scale}
                console.record({**facts, "psnr": score.psnr, "ssim": score.ssim, "source": row.source})


def _write_csv(results: Sequence["Result"], made: dict[str, dict[str, Any]], path: Path) -> None:
    rgb = ["rgb_psnr", "rgb_ssim"] if any(r.summary.rgb_psnr is not None for r in results) else []
    rows: list[list[Any]] = [[*_COLUMNS, *rgb, "seconds", *_MADE, "protocol"]]
    for r in results:
        for s in r.scores:
            pairs = [(s.psnr, s.ssim)] + ([s.rgb] if s.rgb else [])
            scores = [cell for psnr, ssim in pairs for cell in (f"{psnr:.4f}", f"{ssim:.5f}")]
            how = [{"precision": s.precision, **made.get(r.entry.name, {})}.get(fact, "") for fact in _MADE]
            names = [r.entry.name, r.summary.dataset, s.picture, r.summary.scale]
            rows.append([*names, *scores, f"{s.seconds:.3f}", *how, r.summary.protocol])
    write_csv(path, rows)
