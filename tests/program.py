"""The program, called in this process."""

from typing import Any

from typer.testing import CliRunner, Result

from srcli.cli import app


def srcli(*arguments: object, **more: Any) -> Result:
    """Run srcli and return exit_code, stdout and stderr; `more` is for CliRunner.invoke, as `input` or `env`."""
    return CliRunner().invoke(app, [str(a) for a in arguments], **more)


def upscale(*arguments: object, **more: Any) -> Result:
    """Run srcli upscale with the bicubic network, which needs no weights."""
    return srcli("upscale", *arguments, "-m", "bicubic", **more)
