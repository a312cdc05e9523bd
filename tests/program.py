"""The program, called in this process."""

import json
import sys
from typing import Any, NamedTuple

from typer.main import get_command
from typer.testing import CliRunner

from srcli.cli import app

PROGRAM = get_command(app)  # once: it, and what its options make at their first use, take longer than most calls


class Result(NamedTuple):
    """What a run ended with and printed; `output` is both streams as they came."""

    exit_code: int
    stdout_bytes: bytes
    stdout: str
    stderr: str
    output: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """What --json printed, one a line."""
        return [json.loads(line) for line in self.stdout.splitlines()]


def srcli(*arguments: object, input: bytes | None = None, env: dict[str, str] | None = None) -> Result:
    """Run srcli; a bug keeps its traceback."""
    with CliRunner().isolation(input, env) as streams:
        try:
            code = PROGRAM.main([str(a) for a in arguments], prog_name="srcli")
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
        sys.stderr.flush()
        printed = [stream.getvalue() for stream in streams]
    return Result(int(code or 0), printed[0], *(text.decode(errors="replace") for text in printed))


def upscale(*arguments: object, input: bytes | None = None) -> Result:
    """Run srcli upscale with the bicubic network, which needs no weights."""
    return srcli("upscale", *arguments, "-m", "bicubic", input=input)
