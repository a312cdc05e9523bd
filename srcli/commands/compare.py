"""srcli compare: a picture through several networks, on a page with a slider."""

from pathlib import Path
from typing import Annotated

import typer

from srcli import console, zoo
from srcli.commands import options
from srcli.commands.outputs import PAGE, check_output
from srcli.commands.video import parse_time
from srcli.errors import BadPicture, UsageError
from srcli.files import write_text


def compare(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A picture or a video.")],
    models: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--model",
            "-n",
            metavar="NAME",
            help="Weights by name or file, or several; by default what upscale would use.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The .html file to write; by default INPUT_compare.html beside it.")
    ] = None,
    hr: Annotated[Path | None, typer.Option(help="What INPUT should become; INPUT itself: the LR is made from it.")] = None,
    scale: options.Scale = None,
    at: Annotated[str | None, typer.Option(help="The frame of a video: seconds, or H:MM:SS.")] = None,
    crop: Annotated[
        str | None, typer.Option(help="Part of INPUT, X,Y,WIDTH,HEIGHT; else everything, or the finest detail of a large one.")
    ] = None,
    tile: options.Tile = "auto",
    precision: options.Precision = "auto",
    device: options.Device = "auto",
    offline: options.Offline = False,
    json: options.Json = False,
) -> None:
    """Write a page that compares bicubic, models and HR.

    It has a slider, zoom, crops where they differ most, times and scores.

    Example: srcli compare photo.jpg -m rfdn -m mfdn -o page.html
    """
    precision = options.one_of("--precision", precision, options.PRECISIONS)
    side = options.parse_tile(tile)
    moment = parse_time("--at", at)
    target = output or source.with_name(f"{source.stem}_compare.html")
    _check_files(source, hr, target)

    from srcli.media.sniff import is_video

    moves = is_video(source)
    if at and not moves:
        raise UsageError(f"--at is of videos; '{source}' is a picture")

    from srcli.engine.compare import Entrant, choose_part, compare_models, fit_hr, read_still, render, shrunk
    from srcli.engine.device import pick_device
    from srcli.engine.evaluate import BASELINE
    from srcli.engine.figure import parse_box
    from srcli.engine.labels import short_names
    from srcli.engine.upscale import Upscaler

    where = pick_device(device)
    wanted = parse_box(crop, "--crop") if crop else None
    still = read_still(source, moment)
    made = hr and hr.resolve() == source.resolve()  # LR from it, which nothing compressed
    taken = models or [zoo.DEFAULT if made else _suited(source, scale or zoo.DEFAULT_SCALE, offline=offline, moves=moves)]
    networks = zoo.open_models([name for name in taken if name != BASELINE], scale, offline=offline, say=console.note)
    factor = options.common_scale(networks) if networks else scale or zoo.DEFAULT_SCALE
    names = [BASELINE, *short_names([BASELINE, *networks, "HR"])[1:-1]]  # no model is taken for either of these
    entrants = [
        Entrant(name, Upscaler(network, device=where, precision=precision, tile=side), parameters or None)
        for name, network in zip(names, [zoo.open_model(BASELINE, factor)[0], *networks.values()], strict=True)
        for parameters in [network.single_scale_parameters()]
    ]
    reference = None
    if made:
        reference, still = still, shrunk(still, factor)
    elif hr:
        reference = read_still(hr, moment)
    fitted = fit_hr(reference, still, factor) if reference else None
    part = choose_part(still, factor, wanted)
    with console.bar(len(entrants), quiet=json) as bar:
        compared = compare_models(still, entrants, hr=fitted, part=part, tick=bar.update)
    for v in compared.versions if json else ():
        facts = {"version": v.name, "precision": v.precision, "seconds": v.seconds, "psnr": v.psnr, "ssim": v.ssim}
        console.record(facts, parameters=v.parameters, height=v.pixels.shape[0], width=v.pixels.shape[1])
    write_text(target, render(compared, device=str(where)))
    if not json:
        console.result(str(target))
    if not compared.whole and not json:
        console.note(f"a part of it: --crop {','.join(map(str, part))}")


def _suited(source: Path, scale: int, *, offline: bool, moves: bool) -> str:
    """Return the weights that srcli upscale takes, where they ship at that scale, for a picture or, if it `moves`, a video."""
    from srcli.engine.suit import compression
    from srcli.media.animation import is_animated
    from srcli.media.jobs import Job
    from srcli.media.probe import probe

    judged = None if moves or is_animated(source) else source  # by its pixels too
    job = Job(source, source, "", None if moves else probe(source), scale, video=moves, first=judged)
    found = compression(job)
    name = (found and zoo.suited(zoo.DEFAULT, found.kind)) or zoo.DEFAULT
    if scale in zoo.scales_of(name, offline=offline, say=console.note):
        return name
    console.note(f"srcli upscale takes {name}, which is not there at x{scale}: {zoo.DEFAULT} is compared")
    return zoo.DEFAULT


def _check_files(source: Path, hr: Path | None, target: Path) -> None:
    """Raise a UserError where a file cannot be read, or the page cannot be written."""
    for path in (source, hr):
        if path and not path.is_file():
            raise BadPicture(f"'{path}' is a folder; compare takes one picture" if path.is_dir() else f"no file '{path}'")
    if target.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"a page is a .html file, not '{target.name}'")
    check_output(target, own=PAGE)
