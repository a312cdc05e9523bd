"""Writing files whole or not at all."""

import csv
import errno
import io
import os
import re
import sys
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from srcli.errors import BadFolder, DiskFull, UserError

try:
    import fcntl
except ImportError:  # Windows, where nothing tells what is left from what is being written
    fcntl = None  # type: ignore[assignment]

LONGEST = 255  # bytes of a name, on every file system in use
DRAWN = "drawn by srcli"  # what plots, figures and samples say of themselves

_TEMPORARY = re.compile(r"\.[0-9a-f]{12}\.tmp(\.\w+)?")


@contextmanager
def atomic(path: Path, *, fresh: bool = False) -> Iterator[Path]:
    """Give a temporary path beside `path`; it replaces `path` when the block ends well and vanishes when not.

    `fresh`: nothing is replaced; raises FileExistsError where `path` is there by then. A process that is killed leaves
    the temporary file; `sweep` takes it away.
    """
    with _temporary(path) as temporary:
        try:
            mode = temporary.stat().st_mode  # as the user's umask has it; some writers make their files private
            yield temporary
            if temporary.stat().st_mode != mode:
                with suppress(PermissionError):  # some mounts refuse it to everybody
                    temporary.chmod(mode)
            with temporary.open("rb+") as file:
                os.fsync(file.fileno())
            publish(temporary, path, fresh=fresh)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def writing_to(path: Path) -> Iterator[None]:
    """Raise BadFolder, in one line, where `path` cannot be written; DiskFull where no more fits."""
    try:
        yield
    except OSError as error:
        raise unwritten(path, error) from error


def write_text(path: Path, text: str) -> None:
    """Write a text as UTF-8, file names that are not as escapes; raise BadFolder, or DiskFull where no more fits."""
    with writing_to(path), atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")


def write_csv(path: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write a table as `write_text` does a text."""
    table = io.StringIO(newline="")
    csv.writer(table).writerows(rows)
    write_text(path, table.getvalue())


def unwritten(path: Path | str, error: Exception, kind: type[UserError] = BadFolder) -> UserError:
    """Return what says that `path` cannot be written: DiskFull where no more fits, else that `kind`."""
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    return (DiskFull if full else kind)(f"cannot write '{path}': {getattr(error, 'strerror', None) or error}")


@contextmanager
def writing_to_stdout() -> Iterator[None]:
    """Raise BadFolder, in one line, where stdout takes no more, such as a log on a full disk; BrokenPipeError stays."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        give_up_stdout()
        raise BadFolder(f"cannot write to stdout: {error.strerror or error}") from error


def give_up_stdout() -> None:
    """Let what waits to be written go nowhere, which would be tried once more at the end."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        with suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
    sys.stdout = None


def files_in(folder: Path, *, recursive: bool = True, whole: bool = True, besides: Path | None = None) -> Iterator[Path]:
    """List what is no folder, one folder after the other, passing over hidden names and folders already seen through a link.

    `besides`: a folder below that is left out. Raises BadFolder; not `whole`: folders below that may not be read, such as
    lost+found, are passed over.
    """
    done = {os.path.realpath(besides)} if besides and os.path.realpath(besides) != os.path.realpath(folder) else set()
    queue = [folder]
    for place in queue:
        if os.path.realpath(place) in done:  # unlike Path.resolve it takes links that form a loop
            continue
        done.add(os.path.realpath(place))
        try:
            children = sorted(place.iterdir())
        except OSError as error:
            if isinstance(error, PermissionError) and place != folder and not whole:
                continue
            raise BadFolder(f"cannot read the folder '{place}': {error.strerror}") from error
        for child in children:
            if child.name.startswith("."):
                continue
            if os.path.isdir(child):  # noqa: PTH112 - False where a folder may be listed but not entered
                queue += [child] if recursive else []
            else:
                yield child


def sweep(folders: Iterable[Path]) -> int:
    """Remove the temporary files that killed processes left in these folders; return how many.

    A file that is being written is locked by its process, on whatever machine the file system tells of locks.
    """
    if fcntl is None:
        return 0
    removed = 0
    for folder in folders:
        with suppress(OSError):
            for path in [path for path in folder.iterdir() if _TEMPORARY.fullmatch(path.name)]:
                with suppress(OSError), path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    path.unlink()
                    removed += 1
    return removed


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Make an empty file and hold a lock on it; the lock ends with the process."""
    while True:
        # short and hidden: a name at the file system's limit still fits, and no picture listing takes it for one
        temporary = path.parent / f".{uuid.uuid4().hex[:12]}.tmp{path.suffix}"
        if fcntl is None:
            temporary.touch(exist_ok=False)  # held open, it could not be renamed
            yield temporary
            return
        with temporary.open("xb") as file:
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(file, fcntl.LOCK_EX)
            if temporary.exists():  # not swept before it was locked
                yield temporary
                return


def publish(temporary: Path, path: Path, *, fresh: bool) -> None:
    """Give a file its name; a `fresh` one unless another has it, which raises FileExistsError."""
    if not fresh:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)
    except OSError as error:  # there are file systems without links
        if os.path.lexists(path):
            raise taken(path) from error
        temporary.replace(path)


def taken(path: Path) -> FileExistsError:
    """Return what says that another file has the name of a fresh one."""
    return FileExistsError(errno.EEXIST, "a file of that name appeared meanwhile and stays; upscale this one again", str(path))


def hold(file: IO[Any] | int) -> bool:
    """Lock an open file or folder until it is closed; False where another process holds it, as far as the file system tells."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # some network file systems have no locks
        return True
    return True


def is_held(path: Path) -> bool:
    """Whether another process holds the file, where there is one."""
    try:
        with path.open("rb") as file:
            return not hold(file)
    except OSError:
        return False


def make_folder(path: Path) -> None:
    """Make `path` and its parents and check that it can be written; raise BadFolder."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadFolder(f"cannot make the folder '{path}': {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise BadFolder(f"the folder '{path}' cannot be written to")
