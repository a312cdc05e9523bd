"""srcli models: weights that ship, that were downloaded and that go to the Hub; what files say of themselves."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srcli import console, hub, zoo
from srcli.commands.options import Json, Offline, Scale
from srcli.commands.outputs import check_output
from srcli.errors import BadCheckpoint, OutputExists, UsageError, WeightsNotFound
from srcli.files import writing_to
from srcli.models import label_of

if TYPE_CHECKING:
    from srcli.modelcard import Entry
    from srcli.models.base import SRModel

app = typer.Typer(no_args_is_help=True, help="List, check, fetch, publish and convert weights.")
THEIRS = "the authors'"  # the licence of converted weights: srcli cannot know more
_TOLD = ("parts", "averaged_with")  # of a training: in words of their own
SETS = ("Set5", "Set14", "Kodak24")
Reference = Annotated[
    str, typer.Argument(metavar="MODEL|FILE", help="A shipped name, a weights file or hf:owner/repo[/file][@revision].")
]


@app.command("list")
def list_models(json: Json = False) -> None:
    """List the weights that ship with srcli or were downloaded.

    Example: srcli models list
    """
    from srcli.checkpoint import read_card

    found = [(file.name, "shipped", file.path, read_card(file.path)) for file in zoo.shipped()]
    found += [(reference, "cached", path, card) for reference, path, card in zoo.cached()]
    rows = []
    for name, place, path, card in found:
        label, size = label_of(card.arch), path.stat().st_size
        if json:
            console.record(
                {"name": name, "place": place, "scale": card.scale, "label": label, "bytes": size},
                scores=card.scores,
                licence=card.licence,
                path=path,
            )
            continue
        means = {s["dataset"].lower(): f"{s['psnr']:.2f}/{s['ssim']:.4f}" for s in card.scores}
        scores = [means.get(dataset.lower(), "-") for dataset in SETS]
        rows.append([name, place, f"x{card.scale}", label, f"{size / 2**20:.2f}", *scores, card.licence or "-"])
    if json:
        return
    if not rows:
        console.note("no weights ship with this srcli; train with srcli train, or convert with srcli models convert")
        return
    console.table("", ("name", "place", "scale", "network", "MiB", *SETS, "licence"), rows)
    console.result("PSNR/SSIM on Y as srcli eval measures them; -m NAME takes them, -s the scale")
    kinds = ", ".join(filter(None, (zoo.suited(zoo.DEFAULT, kind) for kind in (zoo.PHOTO, zoo.VIDEO))))
    console.result(f"-m {zoo.AUTO}, the default, chooses for each file: {zoo.DEFAULT}, {kinds}; -m {zoo.QUICK} is for speed")


@app.command()
def info(model: Reference, scale: Scale = None, offline: Offline = False, json: Json = False) -> None:
    """Print what a weights file says of itself, its licence first.

    Example: srcli models info rfdn
    """
    path = None if zoo.computed(model, scale) else zoo.find_weights(model, scale, offline=offline, say=console.note)

    from srcli.modelcard import earlier_run, parts  # imports torch

    network, card = zoo.open_file(path, scale, called=model) if path else zoo.open_model(model, scale)
    parameters = sum(p.numel() for p in network.parameters()) or None
    sha256 = zoo.hash_of(path) if path else ""
    if json:
        console.record(
            card, label=label_of(card.arch), parameters=parameters, path=path, sha256=sha256, tiling=_tiling(network)
        )
        return
    lines = {
        "licence": card.licence or ("not stated, ask its author" if path else ""),  # bicubic has no author to ask
        "network": f"{label_of(card.arch)} ({card.arch})",
        "scale": f"x{card.scale}",
        "parameters": f"{parameters:,}" if parameters else "",  # an exported file tells of none
        "config": ", ".join(f"{k}={v}" for k, v in card.config.items()),
        "tiles": _tiling(network),
        "file": str(path or ""),
        "sha256": sha256,
        "source": card.source,
        **{
            s["dataset"]: f"{s['psnr']:.3f} dB, {s['ssim']:.4f}  ({s.get('protocol', 'protocol not stated')})"
            for s in card.scores
        },
        "training": ", ".join(f"{k}={v}" for k, v in card.training.items() if k not in _TOLD and v not in (None, [])),
        "a mean": "; ".join(map(earlier_run, card.training.get("averaged_with", []))),
        "recipe": "\n".join(f"# {steps}:\n{line}" if steps else line for steps, line in parts(card)) if card.training else "",
    }
    for name, value in lines.items():
        if value:
            console.result(f"{name + ':':<12} {value}")


@app.command()
def pull(reference: Reference, scale: Scale = None, offline: Offline = False, json: Json = False) -> None:
    """Download weights into the Hub's cache, and check them.

    Where they lie and under which licence is said.

    Example: srcli models pull hf:owner/repo -s 2
    """
    path = zoo.find_weights(reference, scale, offline=offline)

    _, card = zoo.open_file(path, scale, called=reference)
    size, sha256 = path.stat().st_size, zoo.hash_of(path)
    if json:
        console.record({"path": path, "bytes": size, "sha256": sha256, "label": label_of(card.arch)}, **asdict(card))
        return
    console.result(str(path))
    console.note(f"{label_of(card.arch)} x{card.scale}, {size / 2**20:.2f} MiB, sha256 {sha256}")
    console.note(f"licence: {card.licence or 'not stated, ask its author'}")


@app.command()
def push(
    repo: Annotated[str, typer.Argument(metavar="OWNER/REPO", help="The repository; made where it is missing.")],
    files: Annotated[list[Path], typer.Argument(metavar="FILE", help="Weights files of srcli (.safetensors).")],
    licence: Annotated[
        str, typer.Option("--licence", "--license", help="mit, cc-by-4.0, ...; by default what the files state.")
    ] = "",
    private: Annotated[bool, typer.Option("--private", help="Make a new repository private.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a README.md that srcli did not write.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the README.md, and send nothing.")] = False,
) -> None:
    """Send weights to the Hub with a README.md.

    It has their licence, scores, recipe and use; files already there stay in it.

    Example: srcli models push me/my-upscaler runs/rfdn/best.safetensors --licence mit --dry-run
    """
    from srcli import modelcard

    name = repo.removeprefix(hub.PREFIX)
    if name.count("/") != 1 or "@" in name:
        raise UsageError(f"the repository is OWNER/REPO, not '{repo}'")
    source, _ = hub.parse(hub.PREFIX + name)
    sent = {path.name: _entry(path.name, path, licence) for path in files}
    if len(sent) < len(files):
        raise UsageError("two of the files have the same name, and one would replace the other")
    try:
        names = hub.names_in(source)
    except WeightsNotFound as error:
        if not dry_run:
            raise
        console.warn(f"{error}; what is there already is left out")
        names = []
    before = ""
    if hub.CARD in names:
        before = hub.fetch(source, hub.pick_file(source, hub.CARD)).path.read_text(errors="replace")
    page = modelcard.page(source.repo, [*_there(source, [n for n in names if n not in sent], before), *sent.values()])
    theirs = hub.CARD in names and not overwrite and "\nlibrary_name: srcli\n" not in before
    if dry_run:
        console.result(page.rstrip("\n"))
        console.note(f"would send {', '.join(sent)}{'' if theirs else ' and ' + hub.CARD} to {source}")
        return
    content: dict[str, Path | bytes] = {path.name: path for path in files}
    if theirs:
        console.warn(f"the {hub.CARD} of {source} is not srcli's and stays; replace it with --overwrite")
    else:
        content[hub.CARD] = page.encode()
    console.result(hub.push(source.repo, content, f"Upload {', '.join(sent)} with srcli", private=private))
    weights = {*sent, *(n for n in names if n.endswith(".safetensors"))}
    console.note(f"use them with: -m hf:{source.repo}" + (f"/{next(iter(sent))}" if len(weights) > 1 else ""))


@app.command()
def verify(json: Json = False) -> None:
    """Compare every shipped file with its hash.

    Exit 1 where one differs.

    Example: srcli models verify
    """
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
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The authors' .pth, .pt or .safetensors file.")],
    out: Annotated[Path, typer.Option("-o", "--output", help="The .safetensors file to write.")],
    arch: Annotated[str | None, typer.Option("-m", "--model", "-n", help="Refuse tensors of any other network.")] = None,
    scale: Annotated[int | None, typer.Option("-s", "--scale", help="Factor, where the tensors do not tell it.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output where it exists.")] = False,
) -> None:
    """Turn the authors' checkpoint into a weights file of srcli.

    Bare tensors of a network of srcli are taken too, and the last.pt of a run.

    Example: srcli models convert RFDN_AIM.pth -o rfdn-authors.safetensors
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"the output is a .safetensors file, not '{out.name}'")
    if not file.is_file():
        raise WeightsNotFound(f"no weights file '{file}'")
    if out.exists() and not overwrite:
        raise OutputExists(f"'{out}' exists; replace it with --overwrite")
    check_output(out)

    from srcli import checkpoint
    from srcli.models import ARCHS, arch_name

    wanted = arch_name(arch) if arch else None
    model, card = zoo.open_file(file, scale)
    if not model.state_dict():
        raise BadCheckpoint(f"'{file}' is exported, and holds no tensors to convert; name the weights it was made from")
    if model.arch not in ARCHS:
        raise BadCheckpoint(f"'{file}' is {model.arch}: networks of the community are run as they are, not converted")
    if wanted not in (None, model.arch):
        raise BadCheckpoint(f"'{file}' is of '{model.arch}', not of '{wanted}'")
    ours = card.training or (file.suffix.lower() == ".safetensors" and checkpoint.has_card(file))
    licence = card.licence or ("" if ours else THEIRS)
    with writing_to(out):
        checkpoint.save(out, model, replace(card, source=card.source or file.name, licence=licence))
    console.result(f"{out}  {model.arch} x{model.scale}")


def _tiling(network: "SRModel") -> str:
    """Say how the network is cut into tiles."""
    t = network.tiling
    return f"{t.kind}, overlap {t.overlap} px" + (f", origins at multiples of {t.phase} px" if t.phase > 1 else "")


def _entry(name: str, path: Path, licence: str = "") -> "Entry":
    """Read what the page says of a file; raise BadCheckpoint where it is not one of srcli. `licence`: else what it states."""
    from srcli import checkpoint
    from srcli.modelcard import Entry

    if not path.is_file():
        raise WeightsNotFound(f"no weights file '{path}'")
    if path.suffix != ".safetensors":
        raise BadCheckpoint(f"'{path}' is not a weights file of srcli; make one with srcli models convert")
    model, card = checkpoint.load(path)
    parameters = sum(p.numel() for p in model.parameters())
    return Entry(name, card, parameters, path.stat().st_size, zoo.hash_of(path), licence or card.licence)


def _there(source: hub.Source, names: Sequence[str], page: str) -> list["Entry"]:
    """Read the weights of srcli that a repository has already, with the licences that its `page` states."""
    from srcli.modelcard import licence_on

    entries = []
    for name in names:
        if name.endswith(".safetensors"):
            found = hub.fetch(source, hub.pick_file(source, name))
            try:
                entry = _entry(name, found.path, licence_on(page, name))
            except BadCheckpoint:
                continue  # another program's, which the page says nothing of
            stated = "" if entry.licence == THEIRS else entry.licence
            entries.append(entry._replace(licence=stated or found.licence or "not stated"))
    return entries
