"""srcli export: a network as ONNX, pt2 or OpenVINO, for other programs."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srcli import console, zoo
from srcli.commands.options import Json, Offline, Scale, one_of
from srcli.commands.outputs import check_output
from srcli.errors import OutputExists, UsageError

if TYPE_CHECKING:
    from srcli.engine.export import Format

FORMATS: "tuple[Format, ...]" = ("onnx", "pt2", "openvino")


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A shipped name, a weights file or hf:owner/repo.")],
    output: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="File that ends in .onnx, .pt2 or .xml; else MODEL_xSCALE here.")
    ] = None,
    scale: Scale = None,
    format: Annotated[str | None, typer.Option(help="onnx, pt2 or openvino; else by OUT, or onnx.")] = None,
    fp16: Annotated[bool, typer.Option("--fp16", help="Compute in float16; input and output stay float32.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT where it exists.")] = False,
    offline: Offline = False,
    json: Json = False,
) -> None:
    """Write a network as ONNX, pt2 or OpenVINO.

    The file is there once it computes what torch does.

    Examples: srcli export rfdn -s 4 rfdn.onnx; srcli export mfdn mfdn.onnx --fp16; srcli export rfdn --format openvino
    """
    kind = None if format is None else one_of("--format", format, FORMATS)

    from srcli.engine.export import FORMATS as KINDS
    from srcli.engine.export import export, format_of, need, parts_of

    kind = kind or (format_of(output) if output else "onnx")
    suffix = KINDS[kind].suffix
    need(kind)
    if output and output.suffix != suffix:
        raise UsageError(f"--format {kind} writes a file that ends in {suffix}, not '{output.name}'")
    path = None if zoo.computed(model, scale) else zoo.find_weights(model, scale, offline=offline, say=console.note)
    network, card = zoo.open_file(path, scale, called=model, say=console.note) if path else zoo.open_model(model, scale)
    place = Path(model).resolve()
    own = (place.name if place.is_dir() else place.stem) if zoo.on_disk(model) else model
    named = zoo.name_of(own) if own != model or re.fullmatch(r"[\w-]+", model) else network.arch
    target = output or Path(f"{named}_x{network.scale}{suffix}")
    for part in parts_of(target):
        if part.exists() and not overwrite:
            raise OutputExists(f"'{part}' exists; replace it with --overwrite")
    check_output(target)
    done = export(network, card, target, precision="fp16" if fp16 else "fp32", sha256=zoo.hash_of(path) if path else "")
    if json:
        console.record(done)
        return
    console.result(f"{target}  {done.arch} x{done.scale}, {done.bytes / 2**20:.2f} MiB, {done.precision}")
    shapes = ", ".join("x".join(map(str, shape)) for shape in done.checked)
    levels = f"{255 * done.deviation:.2g} levels of 8 bit"
    console.result(f"at most {done.deviation:.2g} ({levels}) from torch in float32 on inputs of {shapes}")
