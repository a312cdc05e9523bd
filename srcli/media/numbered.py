"""Patterns of numbered pictures, such as frame_%05d.png: what is one, its pictures in order, and their names."""

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from srcli.errors import BadFolder, BadPicture
from srcli.files import LONGEST
from srcli.media.formats import PICTURES

_NUMBER = re.compile(r"%(?:0(\d+))?d")


def is_sequence(path: Path) -> bool:
    """Tell whether a name is a pattern of numbered pictures, and not a file that is really named so."""
    return bool(_NUMBER.search(path.name)) and path.suffix.lower() in PICTURES and not os.path.lexists(path)


def numbered(pattern: Path) -> list[Path]:
    """List the pictures of a pattern such as frame_%05d.png by their numbers.

    Raises BadPicture where there are none, or two of one number, as 1 and 01 under %d.
    """
    found = _found(pattern)
    if not found:
        raise BadPicture(f"no picture is named as '{pattern}'")
    for (number, path), (after, other) in pairwise(found):
        if number == after:
            raise BadPicture(f"'{path}' and '{other.name}' have one number in '{pattern.name}': which is the frame?")
    return [path for _, path in found]


def _found(pattern: Path) -> list[tuple[int, Path]]:
    """List numbers and pictures in their order; raise BadPicture for a pattern that no name fits, and BadFolder."""
    match = _NUMBER.search(pattern.name)
    assert match
    if int(match[1] or 0) > LONGEST:
        raise BadPicture(f"no name has the {match[1]} digits of '{pattern}'")
    digits = rf"\d{{{int(match[1])},}}" if match[1] else r"\d+"
    form = re.compile(re.escape(pattern.name[: match.start()]) + f"({digits})" + re.escape(pattern.name[match.end() :]))
    try:
        return sorted((int(hit[1]), path) for path in pattern.parent.iterdir() if (hit := form.fullmatch(path.name)))
    except OSError as error:
        raise BadFolder(f"cannot read the folder '{pattern.parent}': {error.strerror}") from error


def numbers_missing(pattern: Path, files: Sequence[Path]) -> int:
    """Count the numbers between the first and the last of the pictures of a pattern that none of them has."""
    if not _NUMBER.search(pattern.name) or not files:
        return 0
    return number_of(pattern, files[-1]) - number_of(pattern, files[0]) + 1 - len(files)


def number_of(pattern: Path, path: Path) -> int:
    """Read the number of one of the pictures of a pattern."""
    match = _NUMBER.search(pattern.name)
    assert match
    return int(path.name[match.start() : len(path.name) - len(pattern.name) + match.end()])


def numbered_there(pattern: Path) -> list[Path]:
    """List pictures as `numbered`, also two of one number; none where there are none, or no folder."""
    try:
        return [path for _, path in _found(pattern)]
    except (BadPicture, BadFolder):
        return []


def numbered_path(pattern: Path, number: int) -> Path:
    """Fill the number into a pattern."""
    return pattern.with_name(_NUMBER.sub(lambda match: f"{number:0{match[1] or 1}d}", pattern.name, count=1))
