"""Which files a user means by paths, folders, patterns and lists."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from srcli.errors import BadFolder, BadPicture, BadVideo, listed
from srcli.files import files_in
from srcli.media import sniff
from srcli.media.formats import CAMERA_RAW, PICTURES
from srcli.media.numbered import is_sequence, number_of, numbered

if TYPE_CHECKING:
    from srcli.media.video import Track

# Left out of folders with a line: of cameras, which lie beside the JPEG of the same photo, and of programs
FOREIGN = frozenset((*CAMERA_RAW, ".psd", ".psb", ".exr", ".hdr"))


@dataclass(frozen=True, slots=True)
class Found:
    """A picture, and the folder it was found through or its number in a pattern, if any; `first`: as media.jobs.Job has it."""

    path: Path
    folder: Path | None = None
    number: int | None = None
    named: bool = False  # by itself
    first: Path | None = None


def listed_too(sources: Sequence[str | Path]) -> Iterator[str | Path]:
    """Put the lines of a list in the place of @list.txt: paths, folders and patterns; empty lines and # comments are none.

    A file named as such a list or such a comment wins.
    """
    for source in sources:
        if not str(source).startswith("@") or os.path.lexists(source):
            yield source
            continue
        path = Path(str(source)[1:])
        try:
            lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        except OSError as error:
            raise BadFolder(f"cannot read the list '{path}': {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise BadFolder(f"the list '{path}' is not UTF-8 text") from error
        named = [line for line in lines if line and (not line.startswith("#") or os.path.lexists(line))]
        if not named:
            raise BadFolder(f"the list '{path}' names no picture")
        yield from named


def find_inputs(
    sources: Sequence[str | Path],
    output: Path | None,
    *,
    recursive: bool,
    within: bool,
    say: Callable[[str], None],
    warn: Callable[[str], None],
) -> Iterator[Found]:
    for source in sources:
        path = Path(source)
        if is_sequence(path):
            pictures = numbered(path)
            if output and output.suffix.lower() in sniff.CONTAINERS and not (within or output.is_dir()):
                yield Found(path, named=True, first=pictures[0])
            else:
                yield from (Found(picture, number=number_of(path, picture), first=pictures[0]) for picture in pictures)
        elif path.is_dir():
            pictures = sorted(_known(files_in(path, recursive=recursive, besides=output), say))
            if not pictures:
                below = not recursive and any(child.is_dir() for child in path.iterdir())
                none = f"no pictures in '{path}'" + ("; -r takes those of its sub-folders" if below else "")
                if len(sources) == 1:
                    raise BadFolder(none)
                warn(none)
                continue
            if deeper := [] if recursive else _deeper(path, output):
                say(f"left out: sub-folders of '{path}' with pictures ({listed(deeper)}); -r takes them")
            yield from (Found(picture, path) for picture in pictures)
        elif path.exists():
            yield Found(path, named=True)
        elif glob.has_magic(str(source)):
            matches = (Path(match) for match in sorted(glob.glob(str(source), recursive=True)))  # noqa: PTH207 Path.glob refuses absolute patterns
            pictures = _known((match for match in matches if match.is_file()), say)
            if not pictures:
                raise BadPicture(f"no picture matches '{source}'")
            yield from (Found(picture) for picture in pictures)
        else:
            raise BadPicture(f"'{source}' is a link to nothing" if path.is_symlink() else _missing(source, sources))


def _deeper(folder: Path, output: Path | None) -> list[Path]:
    """Return the sub-folders in which pictures lie, those of results aside."""
    done = None if output is None else os.path.realpath(output)
    below = (child for child in sorted(folder.iterdir()) if child.is_dir() and not child.name.startswith("."))
    others = (child for child in below if os.path.realpath(child) != done)
    return [
        child
        for child in others
        if os.access(child, os.R_OK | os.X_OK) and any(pictures_in(child, recursive=False, output=output))
    ]


def _missing(source: str | Path, sources: Sequence[str | Path]) -> str:
    """Say that `source` is not there, and whether it is an address, an output, or a part of a name that a shell has split."""
    if "://" in str(source):
        return f"'{source}' is an address, and srcli reads files: download it first"
    at = sources.index(source)
    for end in range(at + 2, len(sources) + 1):
        name = " ".join(map(str, sources[at:end]))
        if Path(name).exists():
            return f"there is no '{source}'; put quotes around a name with spaces: \"{name}\""
    if at == 1 and len(sources) == 2 and Path(source).suffix:  # as other programs take their output
        return f"there is no '{source}'; if it is to be written: -o '{source}'"
    return f"there is no '{source}'"


def pictures_in(folder: Path, *, recursive: bool, output: Path | None) -> Iterator[Path]:
    """List pictures by suffix, passing over hidden names, the output folder and folders already seen through a link."""
    return filter(is_picture, files_in(folder, recursive=recursive, besides=output))


def _known(paths: Iterable[Path], say: Callable[[str], None]) -> list[Path]:
    """Take the pictures by suffix; tell of those of formats that srcli does not know."""
    files = list(paths)
    if foreign := sorted(path for path in files if path.suffix.lower() in FOREIGN):
        say(f"left out, as srcli cannot read it: {listed(foreign)}")
    return [path for path in files if is_picture(path)]


def is_picture(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in sniff.DOUBTFUL:
        return sniff.is_video(path)
    return suffix in PICTURES or suffix in sniff.SUFFIXES


def first_track(film: Path) -> "Track | None":
    from srcli.media.video import probe_video  # PyAV, for videos only

    with suppress(BadVideo):
        return probe_video(film).tracks[0]
    return None
