"""srcli eval: PSNR and SSIM against folders of HR pictures."""

import csv as csv_module
from pathlib import Path
from typing import Annotated, Any

import typer

from srcli import console
from srcli.commands.options import Device, Ensemble, Json, Offline, Precision, Scale, Tile, need_folder, one_of, parse_tile
from srcli.errors import BadFolder, UsageError
from srcli.files import atomic, make_folder


def evaluate(
    folders: Annotated[list[Path], typer.Argument(metavar="HR_DIR...", help="Folders of HR pictures.")],
    models: Annotated[
        list[str] | None, typer.Option("-m", "--model", "-n", help="A shipped name or a weights file; several may be given.")
    ] = None,
    sr: Annotated[Path | None, typer.Option("--sr", help="Score the ready pictures of this folder instead.")] = None,
    lr_dir: Annotated[
        list[Path] | None, typer.Option("--lr-dir", help="Folder of LR pictures, one for each HR_DIR; else LR is made.")
    ] = None,
    scale: Scale = None,
    channel: Annotated[str, typer.Option("--channel", help="y or rgb.")] = "y",
    shave: Annotated[int | None, typer.Option("--shave", help="Px cut off each side; by default the scale.", min=0)] = None,
    precision: Precision = "fp32",
    device: Device = "auto",
    tile: Tile = "auto",
    ensemble: Ensemble = False,
    save: Annotated[Path | None, typer.Option("--save", help="Folder that takes the SR pictures.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="File that takes every picture's scores.")] = None,
    offline: Offline = False,
    json: Json = False,
) -> None:
    """Score models against HR pictures, bicubic first, as the papers do.

    Example: srcli eval Set5 Set14 -m rfdn -m mfdn
    """
    one_of("--channel", channel, ("y", "rgb"))
    one_of("--precision", precision, ("auto", "fp32", "bf16", "fp16"))
    if bool(models) == (sr is not None):
        raise UsageError("name models with -m, or ready pictures with --sr")
    for folder in [*folders, *(lr_dir or []), *([sr] if sr else [])]:
        need_folder(folder)
    if lr_dir and len(lr_dir) != len(folders):
        raise UsageError(f"{len(folders)} HR folders need as many --lr-dir, not {len(lr_dir)}")
    if csv and not csv.parent.is_dir():
        raise BadFolder(f"no folder '{csv.parent}' for '{csv.name}'")
    side = parse_tile(tile)

    from srcli.engine.data import list_pictures
    from srcli.engine.device import pick_device
    from srcli.engine.evaluate import Protocol, evaluate, evaluate_pictures, summarize
    from srcli.engine.upscale import Upscaler
    from srcli.zoo import open_model

    where = pick_device(device)
    networks = [(name, open_model(name, scale, offline=offline, say=console.note)[0]) for name in models or []]
    scales = {network.scale for _, network in networks}
    if len(scales) > 1:
        raise UsageError(f"the models upscale x{' and x'.join(map(str, sorted(scales)))}; choose one with -s")
    factor = scales.pop() if scales else scale
    if factor is None:
        raise UsageError("--sr needs the scale: -s 2, 3 or 4")
    if not any(name == "bicubic" for name, _ in networks):
        networks.insert(0, ("bicubic", open_model("bicubic", factor)[0]))
    counts = [len(list_pictures(folder)) for folder in folders]
    rows: list[tuple[str, str, Any]] = []
    summaries = []
    done = 0
    entries = [*networks, *([(sr.name, None)] if sr else [])]
    with console.bar(sum(counts) * len(entries), quiet=json) as bar:
        for name, network in entries:
            for i, folder in enumerate(folders):
                protocol = Protocol(factor, channel, shave, lr_dir is not None, network is None)  # type: ignore[arg-type]
                if network is None:
                    assert sr is not None
                    # several data sets: a sub-folder of each one's name
                    pictures = sr / folder.name if (sr / folder.name).is_dir() else sr
                    scores = evaluate_pictures(pictures, folder, protocol)
                else:
                    upscaler = Upscaler(network, device=where, precision=precision, tile=side, ensemble=ensemble)  # type: ignore[arg-type]
                    target = save / Path(name).stem / folder.name if save else None
                    if target:
                        make_folder(target)
                    scores = evaluate(upscaler, folder, protocol, lr_folder=lr_dir[i] if lr_dir else None, save=target)
                of_folder = []
                for score in scores:
                    of_folder.append(score)
                    rows.append((name, folder.name, score))
                    done += 1
                    bar.update(done, f"{name} {folder.name}")
                summaries.append(summarize(name, folder, protocol, of_folder))
    if csv:
        with atomic(csv) as temporary, temporary.open("w", newline="") as file:
            writer = csv_module.writer(file)
            writer.writerow(["model", "dataset", "picture", "scale", "psnr", "ssim", "seconds"])
            for name, dataset, s in rows:
                writer.writerow([name, dataset, s.picture, factor, f"{s.psnr:.4f}", f"{s.ssim:.5f}", f"{s.seconds:.3f}"])
    if json:
        for summary in summaries:
            console.record(summary)
        return
    console.table(
        "",
        ("model", "data set", "scale", "pictures", "PSNR", "SSIM", "seconds"),
        [
            (s.model, s.dataset, f"x{s.scale}", str(s.pictures), f"{s.psnr:.2f}", f"{s.ssim:.4f}", f"{s.seconds:.1f}")
            for s in summaries
        ],
    )
    for protocol_text in dict.fromkeys(s.protocol for s in summaries):
        console.result(f"protocol: {protocol_text}; {precision}, {where}")
