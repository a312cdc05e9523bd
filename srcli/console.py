"""The only module that draws: results on stdout, progress and messages on stderr, bars only on a terminal."""

import json
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rich import progress
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from srcli.files import give_up_stdout, writing_to_stdout
from srcli.records import jsonable

_aliases: dict[str, str] = {}  # what is told instead of a path
_NO_LETTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # which would move the cursor, or tell the terminal to do worse
_PIPE = 240  # cells that a table in a pipe is spread over
_LOOKED_BACK = 600.0  # seconds from which the time left is told
# cells: what is left of a name at least, standard-video whole, as it is to be typed; what no figure of a table is longer than
_NAME, _FIGURE = 14, 24


class _Messages(Console):
    """What is said on stderr, and nothing where nobody reads that any more, which rich would exit for."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


_err = _Messages(stderr=True, highlight=False, emoji=False)  # :x: is of the user's names


def unheard() -> bool:
    """Tell whether nobody reads the messages any more."""
    return _err.quiet


def error(message: str) -> None:
    """Say in one line what went wrong."""
    _say("error", "red", message)


def warn(message: str) -> None:
    """Say in one line what the user should know."""
    _say("warning", "yellow", message)


def note(message: str) -> None:
    """Say in one line what happens, above a bar where one is drawn."""
    _err.print(escape(one_line(message)), soft_wrap=True)


def call(path: Path, name: str) -> None:
    """Tell `name` from now on wherever a message or result has `path`, as of a file that stands for a pipe."""
    _aliases[str(path)] = name


def one_line(text: object) -> str:
    """Return the text, such as a file's name, with line feeds and other controls spelt as escapes."""
    line = str(text)
    for path, name in _aliases.items():
        line = line.replace(path, name)
    return _NO_LETTERS.sub(lambda found: repr(found[0])[1:-1], line)


def result(line: str) -> None:
    """Print a result; what stdout has no letters for, such as file names that are not UTF-8, and controls as escapes."""
    _write("\n".join(map(one_line, line.split("\n"))))


@writing_to_stdout()
def _write(text: str) -> None:
    if sys.stdout is None:  # closed, as daemons have it
        return
    sys.stdout.write(_spelt(text) + "\n")
    sys.stdout.flush()


@contextmanager
def unread() -> Iterator[None]:
    """Tell of work whose results are files, and let it go on where nobody reads that any more, as behind `| head`."""
    try:
        yield
    except BrokenPipeError:
        give_up_stdout()


def on_terminal() -> bool:
    """Tell whether results are read on a terminal, and not by a program or from a file."""
    return sys.stdout is not None and sys.stdout.isatty()


def picture(text: str) -> None:
    """Print what a terminal draws as a picture, beside the messages."""
    sys.stderr.write(text)
    sys.stderr.flush()


def record(item: object, **more: object) -> None:
    """Print a dataclass, or a mapping, as one JSON line; nan and inf become null."""
    result(json.dumps(jsonable(item) | jsonable(more)))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, numbers to the right, as far apart as the terminal lets them.

    On a terminal that is too narrow names lose their middle, and columns that still have no place stand below the others,
    beside the names again. Figures stay whole. Elsewhere a row is one line, however long.
    """
    if sys.stdout is None:
        return
    screen = Console(highlight=False, emoji=False, markup=False)
    room = screen.width if on_terminal() else _PIPE
    by_column = [[_spelt(_NO_LETTERS.sub(" ", cell)) for cell in column] for column in zip(columns, *rows, strict=True)]
    if on_terminal():
        by_column = _narrowed(by_column, room, "..." if screen.options.ascii_only else "…")
    widths = [_width(column) for column in by_column]
    gap = next((gap for gap in (3, 2) if sum(widths) + gap * (len(widths) - 1) <= room), 1)
    parts = _parts(by_column, room, gap) if on_terminal() else [range(len(widths))]
    if title:
        _show(screen, title, room if on_terminal() else len(title), style="bold")
    for number, part in enumerate(parts):
        grid = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
        for i in part:
            grid.add_column(by_column[i][0], justify="left" if i == 0 else "right", no_wrap=True, header_style="bold")
        for row in zip(*(by_column[i][1:] for i in part), strict=True):
            grid.add_row(*row)
        if number:
            result("")
        _show(screen, grid, sum(widths[i] + gap for i in part))


def markdown(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table as Markdown, aligned as `table` does."""
    if title:
        result(f"### {title}\n")
    for cells in (columns, ["---", *["---:"] * (len(columns) - 1)], *rows):
        result(f"| {' | '.join(cell.strip().replace('|', chr(92) + '|') for cell in cells)} |")
    result("")


def footnotes(notes: Sequence[str], *, numbered: bool = True) -> None:
    """Print notes below a table, one a line and wrapped; a note's number is its place, from 1."""
    for number, text in enumerate(notes, 1):
        lead = f"{number}. " if numbered else ""
        result(textwrap.fill(text, 116, initial_indent=lead, subsequent_indent=" " * len(lead)))


class Bar:
    """What a command tells a progress bar, drawn or not."""

    def __init__(self, drawn: progress.Progress, total: float, quiet: bool) -> None:
        self._progress, self._quiet = drawn, quiet
        self._task = drawn.add_task("", total=total)

    def update(self, done: float, text: str = "") -> None:
        """`done` of the total; `text` stands beside the bar."""
        self._progress.update(self._task, completed=done, description=one_line(text))

    def instead(self, line: str) -> None:
        """Print a line where progress is wanted and no bar is drawn."""
        if self._progress.disable and not self._quiet:
            note(line)


@contextmanager
def bar(total: float, *, counted: bool = True, quiet: bool = False) -> Iterator[Bar]:
    """Draw a bar with ETA on a terminal, nothing elsewhere. `counted`: show done/total as numbers."""
    columns: list[progress.ProgressColumn] = [progress.SpinnerColumn("line" if _err.options.ascii_only else "dots")]
    columns += [progress.TextColumn("{task.description}", markup=False), progress.BarColumn()]
    columns += [progress.TextColumn("{task.percentage:>3.0f} %"), *[progress.MofNCompleteColumn()] * counted]
    columns += [progress.TimeElapsedColumn(), progress.TextColumn("eta"), progress.TimeRemainingColumn()]
    hidden = quiet or not _err.is_terminal
    # a step of a large picture may take minutes: rich's own 30 s would never hold the two that tell a speed
    drawn = progress.Progress(*columns, console=_err, disable=hidden, speed_estimate_period=_LOOKED_BACK)
    with nullcontext(drawn) if drawn.disable else drawn:
        yield Bar(drawn, total, quiet)


@dataclass(frozen=True, slots=True)
class Voice:
    """How much a command says beside errors: notes and bars on stderr, results as lines, or as records, which `json` wants."""

    notes: bool = True
    results: bool = True
    json: bool = False

    def note(self, message: str) -> None:
        """Say in one line what happens."""
        if self.notes:
            note(message)

    def outcome(self, item: object, line: str, **more: object) -> None:
        """Print what became of a file: its record with `more` facts, or a line, unless that is empty."""
        with unread():
            if self.json:
                record(item, **more)
            elif self.results and line:
                result(line)

    def bar(self, total: float, *, counted: bool = True) -> AbstractContextManager[Bar]:
        """Draw a bar, as `bar` does, where notes are told and no records."""
        return bar(total, counted=counted, quiet=self.json or not self.notes)


SILENT = Voice(notes=False, results=False)


def short(path: Path) -> str:
    """Return the end of a path's name, of 40 letters at most."""
    return path.name if len(path.name) <= 40 else "…" + path.name[-39:]


def _spelt(text: str) -> str:
    """Return `text` with escapes in place of what stdout cannot write."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding, sys.stdout.errors or "strict")
    except UnicodeEncodeError:
        return text.encode(encoding, "backslashreplace").decode(encoding)
    return text


def _show(screen: Console, drawn: str | Table, width: int, style: str | None = None) -> None:
    """Draw on stdout, `width` cells wide, whatever the terminal has."""
    screen.width = width
    with screen.capture() as caught:
        screen.print(drawn, style=style)
    _write(caught.get().removesuffix("\n"))


def _narrowed(columns: Sequence[list[str]], room: int, dots: str) -> list[list[str]]:
    """Take from the names, those of the first column before others, as much as the columns have too much for `room`."""
    found = list(columns)
    for i, column in enumerate(columns):
        beyond = sum(map(_width, found)) + len(found) - 1 - room
        kept = _NAME if i == 0 else _FIGURE
        whole, length = len(set(column)), _width(column)
        for width in range(max(length - beyond, kept), length):
            short = [_without_middle(cell, width, dots) for cell in column]
            if len(set(short)) == whole:  # they still tell the rows apart
                found[i] = short
                break
    return found


def _without_middle(text: str, width: int, dots: str) -> str:
    """Return `text`, its middle left out where it is wider than `width` cells."""
    head, tail = text[: len(text) // 2], text[len(text) // 2 :]
    if cell_len(text) <= width:
        return text
    while head + tail and cell_len(head + dots + tail) > width:
        head, tail = (head[:-1], tail) if len(head) > len(tail) else (head, tail[1:])
    return head + dots + tail


def _parts(by_column: Sequence[list[str]], room: int, gap: int) -> list[list[int]]:
    """Spread columns over as many tables as keep them within `room` cells; what tells the rows apart stands in each.

    Columns of one heading, such as intervals, stay beside what they are of where that is possible.
    """
    headings = [column[0] for column in by_column]
    keys = _keys(by_column)

    def width(part: Sequence[int]) -> int:
        return sum(_width(by_column[i]) + gap for i in part) - gap

    if width(keys) > room // 2:
        keys = [0]
    parts: list[list[int]] = [[]]
    for i in range(len(by_column)):
        if i in keys:
            continue
        if not parts[-1] or width([*keys, *parts[-1], i]) <= room:
            parts[-1].append(i)
            continue
        kept, moved = parts[-1][:], [i]
        while headings.count(headings[moved[0]]) > 1 and len(kept) > 1:
            moved.insert(0, kept.pop())
        if headings.count(headings[moved[0]]) > 1 or width([*keys, *moved]) > room:
            kept, moved = parts[-1], [i]
        parts[-1:] = [kept, moved]
    return [sorted([*keys, *part]) for part in parts]


def _keys(by_column: Sequence[list[str]]) -> list[int]:
    """Return the columns that tell the rows apart: the first, and another where it does not and that does."""
    for i, column in enumerate(by_column):
        if len(set(zip(by_column[0], column, strict=True))) == len(column):
            return sorted({0, i})
    return [0]


def _width(column: Sequence[str]) -> int:
    return max(map(cell_len, column))


def _say(kind: str, color: str, message: str) -> None:
    _err.print(f"[{color}]{kind}:[/] {escape(one_line(message))}", soft_wrap=True)
