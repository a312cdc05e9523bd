"""Writing files whole or not at all."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from srcli.errors import BadFolder


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; it replaces `path` when the block ends well and vanishes when not."""
    # short and hidden: a name at the file system's limit still fits, and no picture listing takes it for one
    temporary = path.parent / f".{uuid.uuid4().hex[:12]}.tmp{path.suffix}"
    try:
        temporary.touch()
        mode = temporary.stat().st_mode  # as the user's umask has it; some writers make their files private
        yield temporary
        temporary.chmod(mode)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make `path` and its parents and check that it can be written; raise BadFolder."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFolder(f"cannot make the folder '{path}': {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadFolder(f"the folder '{path}' cannot be written to")
