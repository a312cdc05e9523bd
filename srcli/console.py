"""The only module that draws: results on stdout, progress and messages on stderr, bars only on a terminal."""

import dataclasses
import json
import math
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from srcli.files import writing_to_stdout

_err = Console(stderr=True, highlight=False)


def error(message: str) -> None:
    """Say in one line what went wrong."""
    _say("error", "red", message)


def warn(message: str) -> None:
    """Say in one line what the user should know."""
    _say("warning", "yellow", message)


def note(message: str) -> None:
    """Say in one line what happens."""
    _err.print(escape(message), soft_wrap=True)


@writing_to_stdout()
def result(line: str) -> None:
    """Print one line of result; what stdout has no letters for, such as file names that are not UTF-8, as escapes."""
    if sys.stdout is None:  # closed, as daemons have it
        return
    try:
        sys.stdout.write(line + "\n")
    except UnicodeEncodeError:
        encoding = sys.stdout.encoding
        sys.stdout.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    sys.stdout.flush()


def picture(text: str) -> None:
    """Print what a terminal draws as a picture, beside the messages."""
    sys.stderr.write(text)
    sys.stderr.flush()


def record(item: Any, **more: Any) -> None:
    """Print a dataclass, or a mapping, as one JSON line; nan and inf become null."""
    content = dataclasses.asdict(item) if dataclasses.is_dataclass(item) and not isinstance(item, type) else dict(item)
    result(json.dumps(_plain({**content, **more})))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, numbers to the right, as far apart as the terminal lets them."""
    drawn = Console(highlight=False, width=None if sys.stdout.isatty() else 240)
    for gap in (3, 2, 1):
        grid = Table(
            title=escape(title) or None,
            title_justify="left",
            title_style="bold",
            box=None,
            pad_edge=False,
            padding=(0, gap, 0, 0),
        )
        for i, column in enumerate(columns):
            grid.add_column(escape(column), justify="left" if i == 0 else "right", no_wrap=True, header_style="bold")
        for row in rows:
            grid.add_row(*(escape(cell) for cell in row))
        if grid.__rich_measure__(drawn, drawn.options.update(max_width=1000)).maximum <= drawn.width:
            break
    drawn.print(grid)


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


class Bar(Protocol):
    """What a command tells a progress bar."""

    def update(self, done: float, text: str = "") -> None:
        """`done` of the total; `text` stands beside the bar."""

    def message(self, line: str) -> None:
        """Print a line above the bar."""

    def instead(self, line: str) -> None:
        """Print a line where progress is wanted and no bar is drawn."""


class _Silent:
    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    def update(self, done: float, text: str = "") -> None:
        pass

    def message(self, line: str) -> None:
        note(line)

    def instead(self, line: str) -> None:
        if not self._quiet:
            note(line)


class _Drawn:
    def __init__(self, progress: Progress, total: float) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=total)

    def update(self, done: float, text: str = "") -> None:
        self._progress.update(self._task, completed=done, description=escape(text))

    def message(self, line: str) -> None:
        self._progress.console.print(escape(line), soft_wrap=True)

    def instead(self, line: str) -> None:
        pass


@contextmanager
def bar(total: float, *, counted: bool = True, quiet: bool = False) -> Iterator[Bar]:
    """Draw a bar with ETA on a terminal, nothing elsewhere. `counted`: show done/total as numbers."""
    if quiet or not _err.is_terminal:
        yield _Silent(quiet)
        return
    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %")]
    if counted:
        columns.append(MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TextColumn("eta"), TimeRemainingColumn(), console=_err) as progress:
        yield _Drawn(progress, total)


def short(path: Path, width: int = 40) -> str:
    """Return the end of a path's name that fits `width`."""
    return path.name if len(path.name) <= width else "…" + path.name[1 - width :]


def _say(kind: str, color: str, message: str) -> None:
    _err.print(f"[{color}]{kind}:[/] {escape(message)}", soft_wrap=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
