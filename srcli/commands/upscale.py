"""srcli upscale: pictures and folders of them through a network."""

from pathlib import Path
from typing import Annotated, Any

import typer

from srcli import console
from srcli.commands.options import Device, Ensemble, Json, Model, Precision, Scale, Tile, one_of, parse_tile
from srcli.errors import UsageError

FORMATS = ("keep", "png", "jpg", "webp", "tiff", "avif")
EXISTS = ("error", "skip", "overwrite", "rename")


def upscale(
    inputs: Annotated[list[str] | None, typer.Argument(metavar="INPUT...", help="Files, folders or globs.")] = None,
    more: Annotated[list[str] | None, typer.Option("-i", "--input", help="A further input.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="A picture's name, or a folder; by default beside the input.")
    ] = None,
    model: Model = None,
    scale: Scale = None,
    tile: Tile = "auto",
    precision: Precision = "auto",
    device: Device = "auto",
    ensemble: Ensemble = False,
    recursive: Annotated[bool, typer.Option("-r", "--recursive", help="Folders with their sub-folders.")] = False,
    format: Annotated[str, typer.Option("--format", help="keep, png, jpg, webp, tiff or avif.")] = "keep",
    quality: Annotated[int | None, typer.Option("--quality", min=1, max=100, help="Of JPEG, WebP and AVIF.")] = None,
    suffix: Annotated[str | None, typer.Option("--suffix", help="Text behind the name, instead of _x4.")] = None,
    exists: Annotated[
        str, typer.Option("--exists", help="Outputs that are there: error, skip, overwrite or rename.")
    ] = "error",
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first picture that fails.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written, and write nothing.")] = False,
    json: Json = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no summary.")] = False,
) -> None:
    """Upscale pictures.

    Examples: srcli upscale photo.jpg; srcli upscale holiday -o large -m mfdn; srcli upscale '*.png' --format webp
    """
    sources = [*(inputs or []), *(more or [])]
    if not sources:
        raise UsageError("nothing to upscale: name a file or a folder")
    one_of("--format", format, FORMATS)
    one_of("--exists", exists, EXISTS)
    one_of("--precision", precision, ("auto", "fp32", "bf16", "fp16"))
    side = parse_tile(tile)

    from srcli.engine.device import pick_device
    from srcli.engine.upscale import Done, Upscaler, upscale_files
    from srcli.media.jobs import Job, plan_jobs
    from srcli.zoo import DEFAULT, open_model

    where = pick_device(device)
    network, _ = open_model(model or DEFAULT, scale)
    jobs = plan_jobs(
        sources,
        output,
        scale=network.scale,
        recursive=recursive,
        format=format,
        suffix=suffix,
        exists=exists,  # type: ignore[arg-type]
    )
    if dry_run:
        for job in jobs:
            _show(_planned(job), json)
        return
    upscaler = Upscaler(network, device=where, precision=precision, tile=side, ensemble=ensemble)  # type: ignore[arg-type]
    work = [job for job in jobs if not job.skip]
    failures: list[Done] = []
    with console.bar(len(work), quiet=quiet or json) as bar:
        finished = exact = 0

        def tick(job: Job, fraction: float) -> None:
            bar.update(finished + fraction, console.short(job.source))

        for job in jobs:
            if job.skip:
                _show(Done(job.source, job.target, "skipped"), json, quiet=True)
        for done in upscale_files(upscaler, work, quality=quality, fail_fast=fail_fast, tick=tick):
            finished += 1
            bar.update(finished, console.short(done.input))
            exact += done.precision == "fp32"
            if done.error:
                failures.append(done)
            if not quiet:
                for line in done.notes:
                    bar.message(f"{done.input}: {line}")
            _show(done, json, quiet=quiet)
    for failed in failures:
        reason = failed.error or ""
        console.error(reason if str(failed.input) in reason else f"{failed.input}: {reason}")
    if not quiet and not json:
        _summarize(len(jobs), len(work), finished, len(failures))
        if exact and upscaler.precision != "fp32":
            console.note(f"{exact} of them computed in float32: a probe in {upscaler.precision} was too far from it")
    if failures:
        raise typer.Exit(1)


def _show(done: Any, json: bool, *, quiet: bool = False) -> None:
    if json:
        console.record(done)
    elif not quiet and not done.error:
        size = f"  {done.width}x{done.height}" if done.width else ""
        console.result(f"{done.output}{size}")


def _planned(job: Any) -> Any:
    from srcli.engine.upscale import Done

    height, width = job.size or (None, None)
    return Done(job.source, job.target, "skipped" if job.skip else "planned", width, height, notes=job.notes)


def _summarize(planned: int, tried: int, finished: int, failed: int) -> None:
    parts = [f"{finished - failed} upscaled"]
    if planned > tried:
        parts.append(f"{planned - tried} skipped")
    if failed:
        parts.append(f"{failed} failed")
    if finished < tried:
        parts.append(f"{tried - finished} not tried")
    console.note(", ".join(parts))
