"""srcli plot: loss and PSNR of training runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from srcli import console
from srcli.commands.options import one_of
from srcli.commands.outputs import DRAWING, check_output

if TYPE_CHECKING:
    from srcli.engine.curves import Axis

AXES: "tuple[Axis, ...]" = ("steps", "hours")


def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN_DIR", help="Folders that `srcli train --out` wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The .png or .svg file to write.")] = Path("curves.png"),
    by: Annotated[str, typer.Option(help="What runs are drawn over: steps or hours.")] = "steps",
    dark: Annotated[bool, typer.Option("--dark", help="On a dark ground.")] = False,
) -> None:
    """Draw loss and validation PSNR of one or several training runs.

    Example: srcli plot runs/rfdn runs/mfdn -o curves.png
    """
    by = one_of("--by", by, AXES)
    check_output(output, own=DRAWING)

    from srcli.engine.curves import plot_curves, read_curves
    from srcli.engine.labels import short_names

    labels = short_names([str(run) for run in runs])
    curves = [read_curves(run)._replace(label=label) for run, label in zip(runs, labels, strict=True)]
    plot_curves(curves, output, by=by, dark=dark)
    console.result(str(output))
