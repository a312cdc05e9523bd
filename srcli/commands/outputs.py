"""Files that commands write beside what they print: refused before any work, and written one whatever becomes of another."""

from collections.abc import Callable, Sequence
from pathlib import Path

from srcli import console
from srcli.errors import BadFolder, OutputExists, UsageError, UserError
from srcli.files import DRAWN, make_folder

PAGE = b'name="generator" content="srcli '  # in every page
DRAWING = DRAWN.encode()


def check_output(path: Path, *, own: bytes | None = None) -> None:
    """Raise UsageError or BadFolder where no file can be written as `path`, OutputExists where one would be lost.

    `own`: what stands near the beginning of a file that srcli writes for the same use; such a one is replaced, or an empty one.
    """
    if path.is_dir():
        raise UsageError(f"'{path}' is a folder; name a file")
    if (path.exists() and not path.is_file()) or path.parent == Path("/dev"):  # /dev/stdout may lead to a file
        raise UsageError(f"'{path}' is a device or a pipe, and would be replaced; name a file")
    if not path.parent.is_dir():
        raise BadFolder(f"no folder '{path.parent}' for '{path.name}'")
    make_folder(path.parent)  # is there, but may not be written to
    if own is not None and path.is_file() and not _begins(path, own):
        raise OutputExists(f"'{path}' is there, is not known as srcli's own, and would be lost; name another file")


def _begins(path: Path, own: bytes) -> bool:
    """Tell whether a file is empty, or has `own` near its beginning."""
    try:
        with path.open("rb") as file:
            head = file.read(2000)
    except OSError:  # it may not be read
        return False
    return not head or own in head


def write_files(files: Sequence[tuple[Path | None, Callable[[Path], None]]]) -> dict[Path, UserError]:
    """Write those files that are named, and say so; return why some could not be, of which all but the first are told."""
    unwritten: dict[Path, UserError] = {}
    for file, write in files:
        if not file:
            continue
        try:
            write(file)
        except UserError as error:
            if unwritten:
                console.error(str(error))
            unwritten[file] = error
        else:
            console.note(f"written: {file}")
    return unwritten
