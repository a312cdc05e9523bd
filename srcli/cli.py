"""The program: its commands, and the one place where an error becomes a line and an exit code."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from srcli import __version__, console
from srcli.commands import models
from srcli.commands.compare import compare
from srcli.commands.doctor import doctor
from srcli.commands.evaluate import evaluate
from srcli.commands.export import export
from srcli.commands.plot import plot
from srcli.commands.profile import profile
from srcli.commands.show import Showing
from srcli.commands.train import train
from srcli.commands.upscale import upscale
from srcli.errors import INTERRUPTED, OutOfMemory, UsageError, UserError, out_of_memory, quoted

# What users of other programs type, with - for _, and what that is here: a flag, or one that has to be there and a sentence
_RENAMED = {
    "--fp32": "--precision fp32",
    "--fp16": "--precision fp16",
    "--outscale": "--scale",
    "--model-name": "--model",
    "--model-path": "--model",
    "--skip-existing": "--exists skip",
    "-y": "--exists overwrite",
    "--start-time": "--start",
    "--ss": "--start",
    "--to": "--end",
    "-x": "--ensemble",
    "-f": "--format",
    "--ext": "--format",
}
_PADDED = "tiles overlap by as much as the network needs"
_ANSWERED = {
    "--tile-overlap": ("--tile", f"there is no --tile-overlap here: {_PADDED}"),
    "--tile-pad": ("--tile", f"there is no --tile-pad here: {_PADDED}"),
    "--alpha": ("--separate-alpha", "--alpha is not needed here: alpha goes through the network too (see --separate-alpha)"),
    "-g": ("--device", "-g is --device here: cpu, cuda, cuda:N or mps"),
    "--gpu-id": ("--device", "--gpu-id is --device here: cpu, cuda, cuda:N or mps"),
    "--face-enhance": ("--tile", "there is no --face-enhance here: faces are upscaled as all else is"),
    "path": ("pull", "srcli models path is srcli models pull here, or srcli models info for weights that ship"),
}


@contextmanager
def _in_our_words(arguments: Sequence[str]) -> Iterator[None]:
    """Tell those who type what other programs take what that is here, and which value a flag cannot have."""
    try:
        yield
    except Exception as error:  # click's, which some versions of typer bring along
        message, context = str(getattr(error, "message", "")), getattr(error, "ctx", None)
        typed = re.match(r"No such (?:option|command):? '?([\w-]+)", message)
        if typed and context and (said := _answer(typed[1], arguments, _names(context.command))):
            raise UsageError(said) from None
        invalid = getattr(error.__cause__, "errors", None)  # pydantic's, which leave out what it was
        if invalid and message and (given := f"'{invalid()[0]['input']}'") not in message:
            error.message = f"{message}, not {given}"  # type: ignore[attr-defined]
        raise


def _answer(typed: str, arguments: Sequence[str], names: set[str]) -> str:
    """Say what a flag or command of another program is, for a command that has `names`; "" where that is not known."""
    factor = next((a for a in arguments if re.fullmatch(r"-x\d", a)), "") if typed == "-x" and "-s" in names else ""
    if factor:
        return f"{factor} is -s {factor[2:]} here"
    known = typed.replace("_", "-")
    ours = _RENAMED.get(known, "")
    needed, said = (ours.partition(" ")[0], f"{typed} is {ours} here") if ours else _ANSWERED.get(known, ("", ""))
    return said if needed in names else ""


def _names(command: Any) -> set[str]:
    """Return the flags of a command, and the commands of a group."""
    return {flag for parameter in command.params for flag in parameter.opts} | set(getattr(command, "commands", ()))


class _Boundary(TyperGroup):
    """Turn a UserError into one line on stderr and its exit code; let bugs keep their traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with _in_our_words(ctx.args):
                _refuse_empty(ctx.args)
                return super().invoke(ctx)
        except UserError as error:
            _tell(error)
            raise typer.Exit(error.exit_code) from error
        except (MemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            console.error(f"there is not enough memory; close other programs, or take smaller pictures{quoted(error)}")
            raise typer.Exit(OutOfMemory.exit_code) from error
        except KeyboardInterrupt:
            console.note("interrupted")
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            # the reader of a pipe has what it wanted, as in `srcli profile | head`
            sys.stdout = None
            raise typer.Exit(0) from None


def _tell(error: UserError) -> None:
    """Print what is to be told once by all ranks of a torchrun; what befell one alone, by that one."""
    several, first = os.environ.get("WORLD_SIZE", "1") != "1", os.environ.get("LOCAL_RANK", "0") == "0"
    same = error.rank is None and several and not first  # on all of a machine: its first rank tells it
    if not (error.told or same):
        console.error(f"rank {error.rank}: {error}" if error.rank else str(error))


def _refuse_empty(arguments: Sequence[str]) -> None:
    """Raise UsageError for an empty argument, which as a path would be the current folder."""
    for before, argument in zip(("", *arguments), arguments, strict=False):
        empty = re.fullmatch("(--[^=]+)=|", argument)
        flag = empty and (empty[1] or before)
        if empty and flag != "--suffix":  # results may have none
            raise UsageError(f"an argument is empty{f', behind {flag}' if flag else ''}: is a shell variable unset?")


app = typer.Typer(
    cls=_Boundary,
    name="srcli",
    help="Upscale pictures and videos with lightweight super-resolution networks; train, score and profile them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    rich_markup_mode=None,
)
app.command(cls=Showing)(upscale)
app.command()(train)
app.command(name="eval")(evaluate)
app.command()(compare)
app.command()(profile)
app.command()(plot)
app.command()(export)
app.command()(doctor)
app.add_typer(models.app, name="models")


def _version(wanted: bool) -> None:
    if wanted:
        console.result(f"srcli {__version__}")
        raise typer.Exit


@app.callback()
def _global(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    pass


def main() -> None:
    """Run the program."""
    app()
