"""srcli profile: what networks cost."""

from typing import Annotated

import typer

from srcli import console
from srcli.commands.options import Device, Json, Precision, Scale, one_of, parse_size
from srcli.errors import UsageError


def profile(
    models: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Networks or weights files; all without.")
    ] = None,
    scale: Scale = None,
    input: Annotated[str | None, typer.Option("--input", help="LR size HEIGHTxWIDTH.  [default: 256x256]")] = None,
    output: Annotated[str | None, typer.Option("--output", help="HR size instead; 720x1280 counts as the papers do.")] = None,
    time: Annotated[bool, typer.Option("--time", help="Measure milliseconds and peak memory too.")] = False,
    precision: Precision = "fp32",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Print parameters, multiply-accumulates and, with --time, milliseconds.

    Example: srcli profile rfdn mfdn --output 720x1280
    """
    one_of("--precision", precision, ("auto", "fp32", "bf16", "fp16"))
    if input and output:
        raise UsageError("give --input or --output, not both")
    size = parse_size("--input", input) if input else parse_size("--output", output) if output else (256, 256)

    from srcli.engine.device import fast_precision, pick_device
    from srcli.engine.profile import input_for_output, profile
    from srcli.models import ARCHS
    from srcli.zoo import open_network

    where = pick_device(device)
    exact = fast_precision(where) if precision == "auto" else precision
    networks = [open_network(name, scale) for name in models or ARCHS]
    rows = []
    for network in networks:
        height, width = input_for_output(network.scale, *size) if output else size
        result = profile(network, height, width, time=time, device=where, precision=exact)  # type: ignore[arg-type]
        if json:
            console.record(result, input=f"{height}x{width}")
            continue
        row = [
            result.label,
            f"x{result.scale}",
            f"{height}x{width}",
            f"{result.parameters:,}",
            f"{result.macs / 1e9:.2f}",
            f"{result.flops / 1e9:.2f}",
            f"{result.ntire_flops / 1e9:.2f}",
            f"{result.activations / 1e6:.2f}",
            str(result.convolutions),
        ]
        if result.milliseconds is not None and result.spread is not None:
            row += [f"{result.milliseconds:.1f}", f"{result.spread[0]:.1f}-{result.spread[1]:.1f}"]
            row.append("-" if result.peak_mib is None else f"{result.peak_mib:.0f}")
        rows.append(row)
    if json:
        return
    columns = ["network", "scale", "input", "parameters", "GMAC", "GFLOP", "NTIRE G", "acts M", "convs"]
    if time:
        columns += ["ms", "quartiles", "peak MiB"]
    console.table("", columns, rows)
    console.result(
        "GFLOP = 2 GMAC; NTIRE G counts as the challenge's script; without MODEL the scale is x4 unless -s says otherwise"
    )
    if time:
        console.result(f"median of repeated passes on {where} in {exact}")
