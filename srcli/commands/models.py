"""srcli models: the weights that ship, what files say of themselves, and the papers' own files."""

from pathlib import Path
from typing import Annotated

import typer

from srcli import console
from srcli.commands.options import Json, Scale
from srcli.errors import BadFolder, OutputExists, UsageError, WeightsNotFound

app = typer.Typer(no_args_is_help=True, help="List, check and convert weights.")
THEIRS = "the authors'"  # the licence of converted weights: srcli cannot know more


@app.command("list")
def list_shipped(json: Json = False) -> None:
    """List the weights that ship with srcli.

    Example: srcli models list
    """
    from srcli.checkpoint import read_card
    from srcli.models import ARCHS
    from srcli.zoo import shipped

    rows = []
    for file in shipped():
        card = read_card(file.path)
        size, label = file.path.stat().st_size, ARCHS[card.arch].label if card.arch in ARCHS else card.arch
        scores = {s["dataset"].lower(): s for s in card.scores}
        if json:
            console.record(
                {"name": file.name, "scale": file.scale, "label": label, "bytes": size},
                scores=card.scores,
                licence=card.licence,
                path=file.path,
            )
            continue
        means = [scores.get(name) for name in ("set5", "set14", "kodak24")]
        cells = [f"{s['psnr']:.2f}/{s['ssim']:.4f}" if s else "-" for s in means]
        rows.append([file.name, f"x{file.scale}", label, f"{size / 2**20:.2f}", *cells, card.licence or "-"])
    if json:
        return
    if not rows:
        console.note("no weights ship with this srcli; train with srcli train, or convert with srcli models convert")
        return
    console.table("", ("name", "scale", "network", "MiB", "Set5", "Set14", "Kodak24", "licence"), rows)
    console.result("PSNR/SSIM on Y as srcli eval measures them; -m NAME takes them, -s the scale")


@app.command()
def info(
    model: Annotated[str, typer.Argument(metavar="MODEL|FILE", help="A shipped name or a weights file.")],
    scale: Scale = None,
    json: Json = False,
) -> None:
    """Print what a weights file says of itself.

    Example: srcli models info rfdn
    """
    from srcli.models import ARCHS
    from srcli.zoo import open_model

    network, card = open_model(model, scale)
    label = ARCHS[card.arch].label if card.arch in ARCHS else card.arch
    parameters = sum(p.numel() for p in network.parameters())
    if json:
        console.record(card, label=label, parameters=parameters)
        return
    lines = {
        "network": f"{label} ({card.arch})",
        "scale": f"x{card.scale}",
        "parameters": f"{parameters:,}",
        "config": ", ".join(f"{k}={v}" for k, v in card.config.items()),
        "licence": card.licence,
        "source": card.source,
        **{s["dataset"]: f"{s['psnr']:.3f} dB, {s['ssim']:.4f}  ({s['protocol']})" for s in card.scores},
        "training": ", ".join(f"{k}={v}" for k, v in card.training.items()),
    }
    for name, value in lines.items():
        if value:
            console.result(f"{name + ':':<12} {value}")


@app.command()
def verify(json: Json = False) -> None:
    """Compare every shipped file with its hash; exit 1 where one differs.

    Example: srcli models verify
    """
    from srcli import zoo

    found = list(zoo.verify())
    if not found:
        raise WeightsNotFound(f"no weights ship with this srcli: '{zoo.weights_folder()}' holds none")
    for name, problem in found:
        if json:
            console.record({"file": name, "ok": problem is None, "error": problem})
        elif problem is None:
            console.result(f"{name}: ok")
    failures = [problem for _, problem in found if problem]
    for problem in failures:
        console.error(problem)
    if failures:
        raise typer.Exit(1)


@app.command()
def convert(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The authors' .pth or .pt file.")],
    arch: Annotated[str, typer.Option("-m", "--model", "-n", help="The network it is of.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="The .safetensors file to write.")],
    scale: Annotated[int | None, typer.Option("-s", "--scale", help="Factor, where the tensors do not tell it.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT where it exists.")] = False,
) -> None:
    """Turn the authors' own checkpoint into a weights file of srcli.

    Example: srcli models convert RFDN_AIM.pth -m rfdn -o rfdn-authors.safetensors
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"the output is a .safetensors file, not '{out.name}'")
    if not file.is_file():
        raise WeightsNotFound(f"no weights file '{file}'")
    if out.exists() and not overwrite:
        raise OutputExists(f"'{out}' exists; replace it with --overwrite")
    if not out.parent.is_dir():
        raise BadFolder(f"no folder '{out.parent}' for '{out.name}'")

    from srcli import checkpoint, foreign

    model = foreign.convert(file, arch, scale)
    checkpoint.save(out, model, checkpoint.card_of(model, source=file.name, licence=THEIRS))
    console.result(f"{out}  {model.arch} x{model.scale}")
