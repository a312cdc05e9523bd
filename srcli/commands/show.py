"""The option --show: results in the terminal, before and after."""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from srcli import console
from srcli.commands.options import one_of
from srcli.errors import UsageError, UserError

if TYPE_CHECKING:
    from srcli.preview import Protocol

AUTO = "auto"

Show = Annotated[
    str | None,
    typer.Option(
        "--show",
        metavar="[=HOW]",
        help="Show a crop of each picture before and after in the terminal; =kitty, =iterm, =sixel or =blocks says how.",
    ),
]

_PANE = (648, 320)  # px for both crops where the terminal draws px
_COLUMNS = 120  # of a terminal are used at most for blocks


class Showing(TyperCommand):
    """A command whose --show may stand alone, which Typer's options cannot, and whose inputs may look like options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        given = [f"--show={AUTO}" if arg == "--show" else arg for arg in args[:end]]
        try:
            return super().parse_args(ctx, given + args[end:])
        except Exception as error:
            files = [arg for arg in args[:end] if arg.startswith("-") and Path(arg).is_file()]
            if files and hasattr(error, "format_message"):  # click's, which some versions of typer bring along
                raise UsageError(f"'{files[0]}' is taken for options; for the file: ./{files[0]}") from None
            raise


def way_to_show(show: str | None) -> "Protocol | None":
    """Return how to show: as asked for, else as the terminal can; None where nobody looks. Raises UsageError."""
    if show is None:
        return None
    from srcli.preview import PROTOCOLS, detect

    one_of("--show", show, (AUTO, *PROTOCOLS))
    if show != AUTO:
        return show  # type: ignore[return-value]
    return detect(os.environ) if sys.stderr.isatty() else None


def show_results(pairs: Iterable[tuple[Path, Path]], way: "Protocol") -> None:
    """Print a crop of every (source, result) pair."""
    from srcli.engine.show import Room, before_after
    from srcli.preview import draw, true_color

    columns, lines = shutil.get_terminal_size((80, 24))
    room = Room(min(columns, _COLUMNS), 2 * max(lines - 4, 4), 2) if way == "blocks" else Room(*_PANE, 8)
    for source, result in pairs:
        try:
            pixels = before_after(source, result, room)
        except UserError as error:
            console.note(f"{result} is not shown: {error}")
            continue
        console.picture(draw(pixels, way, true_color=true_color(os.environ)))
        console.note(f"{source.name}, before and after")
