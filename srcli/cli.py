"""The program: its commands, and the one place where an error becomes a line and an exit code."""

import errno
import os
import re
import shlex
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

# What users of other programs type, with - for _, and what that is here; or what is there instead, of commands that have a flag
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
    "--half": "--precision fp16",
    "-g": "--device",
    "--gpu": "--device",
    "--gpu-id": "--device",
    "--batch-size": "--batch",
    "--learning-rate": "--lr",
}
_PADDED = "tiles overlap by as much as the network needs"
_NOISE = "-m rfdn-photo removes noise and compression"
_ABSENT = {
    "--tile-overlap": ("--tile", _PADDED),
    "--tile-pad": ("--tile", _PADDED),
    "--alpha": ("--separate-alpha", "alpha goes through the network too (see --separate-alpha)"),
    "--denoise": ("--tile", _NOISE),
    "--denoise-strength": ("--tile", _NOISE),
    "--face-enhance": ("--tile", "faces are upscaled as all else is"),
    "--epochs": ("--steps", "--steps or --minutes says how long the run is"),
    "path": ("pull", "srcli models pull prints where a file lies"),
}

# What the system says of paths that a user may not use, or cannot
_OUT_OF_REACH = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ELOOP, errno.ENAMETOOLONG)


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
            error.message = f"{message.partition(', unable to parse')[0]}, not {given}"  # type: ignore[attr-defined]
        raise


def _answer(typed: str, arguments: Sequence[str], names: set[str]) -> str:
    """Say what a flag or command of another program is, for a command that has `names`; "" where that is not known."""
    factor = next((a for a in arguments if re.fullmatch(r"-x\d", a)), "") if typed == "-x" and "-s" in names else ""
    if factor:
        return f"{factor} is -s {factor[2:]} here"
    known = typed.replace("_", "-")
    if known in _RENAMED:
        needed, said = _RENAMED[known].partition(" ")[0], f"{typed} is {_RENAMED[known]} here"
    else:
        needed, why = _ABSENT.get(known, ("", ""))
        said = f"there is no {typed} here: {why}"
    return said if needed in names else ""


def _names(command: Any) -> set[str]:
    """Return the flags of a command, and the commands of a group."""
    return {flag for parameter in command.params for flag in parameter.opts} | set(getattr(command, "commands", ()))


class _Boundary(TyperGroup):
    """Turn a UserError into one line on stderr and its exit code; let bugs keep their traceback."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if command := self._meant(args):
            if command not in args:
                ctx.fail(f"the command is missing; to upscale: srcli upscale {shlex.join(args)}")
            at = args.index(command)
            ctx.fail(f"the command comes first: srcli {shlex.join(args[at:] + args[:at])}")
        return super().parse_args(ctx, args)

    def _meant(self, args: list[str]) -> str:
        """Return the command that is not before its flags or its picture, where it belongs; "" where nothing tells of one."""
        first = args[0] if args and args[0] not in self.commands else ""
        flag = first.partition("=")[0] if first.startswith("--") else first[:2]
        if first.startswith("-") and first != "-" and flag not in _names(self) | {"-h", "--help"}:
            named = next((argument for argument in args if argument in self.commands), "")
            return named or ("upscale" if flag in _names(self.commands["upscale"]) else "")
        return "upscale" if first == "-" or "*" in first or os.path.lexists(first) else ""

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
        except OSError as error:
            if error.filename is None or error.errno not in _OUT_OF_REACH:
                raise
            console.error(f"cannot reach '{error.filename}': {error.strerror}")
            raise typer.Exit(UserError.exit_code) from error


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
