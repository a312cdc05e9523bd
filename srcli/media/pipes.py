"""A picture from stdin and one to stdout, each through a file: formats are told, and written, by seeking."""

import io
import shutil
import sys
from pathlib import Path

from srcli.errors import BadPicture, UsageError
from srcli.files import writing_to, writing_to_stdout


def receive(folder: Path) -> Path:
    """Store stdin as a file in `folder`; raise BadPicture where nothing comes, BadFolder where it cannot be stored."""
    if sys.stdin is None:
        raise BadPicture("stdin is closed")
    if sys.stdin.isatty():
        raise UsageError("'-' reads a picture from stdin, which is the terminal: pipe one in, or name a file")
    path = folder / "stdin"
    with writing_to(path), path.open("wb") as file:
        shutil.copyfileobj(sys.stdin.buffer, file)
    if not path.stat().st_size:
        raise BadPicture("stdin is empty")
    return path


def peek() -> bytes:
    """Return the first bytes of stdin, which stay there to be read."""
    buffer = sys.stdin.buffer
    return buffer.peek(16) if isinstance(buffer, io.BufferedReader) else b""


def refuse_terminal() -> None:
    """Raise UsageError where stdout would show a picture's bytes on a screen."""
    if sys.stdout is None:
        raise UsageError("'-o -' writes a picture to stdout, which is closed: name a file")
    if sys.stdout.isatty():
        raise UsageError("'-o -' writes a picture to stdout, which is the terminal: redirect it, or name a file")


@writing_to_stdout()
def send(path: Path) -> None:
    """Write a file to stdout."""
    with path.open("rb") as file:
        shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.buffer.flush()
