"""Errors a user can mend, each with its exit code; everything else is a bug and keeps its traceback."""

from collections.abc import Iterable
from pathlib import Path

INTERRUPTED = 130  # the exit code after Ctrl-C or SIGTERM, as shells count it

_NO_MEMORY = (  # of torch's allocators, of the C++ library, of oneDNN, cuBLAS and cuDNN where they cannot allocate for a kernel
    "can't allocate memory",
    "out of memory",
    "bad_alloc",
    "could not create a primitive",
    "could not execute a primitive",
    "could not create a memory object",
    "STATUS_ALLOC_FAILED",
    "unable to find an engine",
)


class UserError(Exception):
    """Report one line on stderr and exit with `exit_code`."""

    exit_code = 1
    told = False  # by another rank of a torchrun, so that this one need not
    rank: int | None = None  # of a torchrun, that met it after the ranks had found each other


class UsageError(UserError):
    """The flags contradict each other or have an impossible value."""

    exit_code = 2


class UnknownArchitecture(UsageError):
    """No network has this name."""


class WeightsNotFound(UserError):
    """No weights answer to this reference."""


class BadCheckpoint(UserError):
    """A weights file is damaged, of another kind or of another network."""


class SeveralScales(BadCheckpoint):
    """The tensors of a file are the same at several `scales`, and none was asked for."""

    def __init__(self, message: str, scales: tuple[int, ...]) -> None:
        super().__init__(message)
        self.scales = scales


class ExportFailed(UserError):
    """A network cannot be written in another format, or what was written computes something else."""


class MissingExtra(UserError):
    """What was asked for needs a package that is installed with an extra."""


class BadPicture(UserError):
    """A picture cannot be read, or cannot be written in the format asked for."""


class DamagedPicture(BadPicture):
    """A picture breaks off, or makes no sense from some place on."""


class BadVideo(UserError):
    """A video cannot be read, or cannot be written as asked for."""


class BadFolder(UserError):
    """A folder is missing, empty or not writable."""


class DiskFull(BadFolder):
    """A file cannot be written, as no more fits on its disk."""


class OutputExists(UserError):
    """The target is already there and may not be replaced."""


class DeviceUnavailable(UserError):
    """The device or precision asked for is not on this machine."""


class OutOfMemory(UserError):
    """Even the smallest tile, or a step of training, does not fit into the memory there is."""

    exit_code = 3


class TrainingFailed(UserError):
    """Training cannot start, or cannot go on."""


def quoted(error: BaseException) -> str:
    """Return the first line of what a library said, short and in brackets, to stand behind ours; nothing where it is mute."""
    return f" ({first_line(error, 120)})" if str(error).strip() else ""


def counted(number: int, thing: str) -> str:
    """Put a number before what it counts, which takes an s but behind 1: "1 frame", "1,200 frames"."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def listed(paths: Iterable[Path]) -> str:
    """Name the first three of some paths, and how many more there are."""
    names = [f"'{path}'" for path in paths]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def first_line(error: BaseException, most: int = 200) -> str:
    """Return the first line of what a library said, `most` letters of it; the kind of error where it is mute."""
    return _lines(error)[0][:most]


def last_line(error: BaseException, most: int = 200) -> str:
    """Return the last line, where torch and those who build on it name the reason."""
    return _lines(error)[-1][:most]


def _lines(error: BaseException) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]


def out_of_memory(error: BaseException) -> bool:
    """Tell whether `error` says that memory ran out, on whatever device."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without loading torch
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
