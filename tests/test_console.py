"""What is drawn on stdout and stderr: tables keep their figures, names are printed as they are."""

import io
import os
import re
import sys
from types import SimpleNamespace

import pytest

from srcli import console
from srcli.commands.train import _heard

COLUMNS = ("model", "data set", "PSNR", "95 %", "SSIM", "95 %", "seconds")
ROWS = [
    ("bicubic", "Set5", "28.43", "26.01..30.87", "0.8109", "0.7710..0.8512", "0.1"),
    ("a rather long name/one/best", "Set5", "30.21", "27.93..32.55", "0.8612", "0.8290..0.8931", "12.5"),
    ("a rather long name/two/best", "Set5", "30.33", "28.01..32.64", "0.8633", "0.8308..0.8955", "13.5"),
]


@pytest.fixture
def terminal(monkeypatch, capsys):
    """Make stdout a terminal so many cells wide; its lines come back without their colours."""

    def printed(width: int, *table: object) -> list[str]:
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
        console.table(*table)
        return re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()

    return printed


@pytest.mark.parametrize("width", [30, 40, 60, 80, 120])
def test_a_table_on_a_terminal_keeps_every_figure_whole(terminal, width):
    lines = terminal(width, "", COLUMNS, ROWS)
    assert max(map(len, lines)) <= width
    words = " ".join(lines).split()
    assert not [figure for row in ROWS for figure in row[2:] if figure not in words]
    assert not [heading for column in COLUMNS for heading in column.split() if heading not in words]


def test_names_lose_their_middle_where_that_makes_a_row_fit(terminal):
    lines = terminal(79, "", COLUMNS, ROWS)
    assert len(lines) == 4
    assert lines[2].startswith("a ra") and "…" in lines[2] and lines[2].split() != lines[3].split()
    assert ROWS[2][0] in terminal(100, "", COLUMNS, ROWS)[3]


def test_a_name_that_ships_stays_whole(terminal):
    lines = terminal(40, "", ("name", "Set5", "Set14", "Kodak24"), [("standard-video", *["36.34/0.9511"] * 3)])
    assert [line.split()[0] for line in lines if "/" in line] == ["standard-video"] * 2


def test_names_that_would_be_the_same_keep_what_tells_them_apart(terminal):
    names = [f"a long name that has its {word} in the middle of everything" for word in ("one", "two")]
    _, one, two = terminal(40, "", ("model", "PSNR"), [(name, "30.21") for name in names])
    assert "…" in one and one != two


def test_an_interval_stands_beside_what_it_is_of(terminal):
    lines = terminal(48, "", COLUMNS, ROWS)
    heads = [line.split() for line in lines if line.startswith("model")]
    assert heads == [["model", "data", "set", "PSNR", "95", "%"], ["model", "SSIM", "95", "%", "seconds"]]


def test_columns_that_stand_below_have_what_tells_their_rows_apart(terminal):
    rows = [("rfdn", "shipped", f"x{scale}", f"{30 + scale}.21", "0.8612") for scale in (2, 3)]
    lines = terminal(24, "", ("name", "place", "scale", "Set5", "Kodak24"), rows)
    assert [line.split() for line in lines if line.endswith("0.8612")] == [["rfdn", f"x{n}", "0.8612"] for n in (2, 3)]


def test_elsewhere_a_row_is_one_line_with_its_whole_name(capsys):
    name = "/".join(["folder" * 20] * 3)
    console.table("", COLUMNS, [(name, *ROWS[0][1:])])
    _, row = capsys.readouterr().out.splitlines()
    assert row.split() == [name, *ROWS[0][1:]]


def test_a_line_feed_in_a_name_does_not_break_its_row(capsys):
    console.table("", ("model", "PSNR"), [("line\nbreak", "30.21")])
    assert capsys.readouterr().out.splitlines() == ["model         PSNR", "line break   30.21"]


@pytest.fixture
def strict(monkeypatch):
    """Put streams in place of stdout and stderr that know one encoding and refuse what it has not; return what they took."""

    def replaced(encoding: str) -> tuple[io.BytesIO, io.BytesIO]:
        taken = io.BytesIO(), io.BytesIO()
        for name, target in zip(("stdout", "stderr"), taken, strict=True):
            stream = io.TextIOWrapper(target, encoding, errors="strict", write_through=True)
            monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
            monkeypatch.setattr(sys, name, stream)
        monkeypatch.setenv("TERM", "xterm")
        return taken

    return replaced


@pytest.mark.parametrize(
    ("encoding", "name", "printed"),
    [("utf-8", "caf\udce9", r"caf\udce9"), ("ascii", "Übung", r"\xdcbung"), ("latin-1", "日本", r"\u65e5\u672c")],
)
def test_a_table_spells_out_what_stdout_has_no_letters_for(strict, encoding, name, printed):
    out, _ = strict(encoding)
    console.table(name, ("model", "PSNR"), [(name, "30.21")])
    assert out.getvalue().decode(encoding).count(printed) == 2


def test_names_are_neither_emoji_nor_markup(capsys, strict):
    name = ":x:/photo:ok: [red].png"
    console.error(f"there is no '{name}'")
    console.note(name)
    assert capsys.readouterr().err == f"error: there is no '{name}'\n{name}\n"
    console.table("", ("model",), [(name,)])
    assert capsys.readouterr().out.split("\n")[1] == name
    _, err = strict("utf-8")
    with console.bar(2) as bar:
        bar.update(1, name)
    assert name in err.getvalue().decode()


def test_a_bar_is_drawn_in_the_letters_that_stderr_has(strict):
    _, err = strict("ascii")
    with console.bar(2) as bar:
        bar.update(1, "p0.png")
    assert "p0.png" in err.getvalue().decode("ascii")


def test_the_time_left_is_told_where_a_step_takes_long(monkeypatch):
    seconds = 0.0
    monkeypatch.setattr(console._err, "get_time", lambda: seconds)
    with console.bar(10) as bar:
        for done in range(1, 5):
            seconds = 100.0 * done
            bar.update(done)
        assert bar._progress.tasks[0].time_remaining == 600


def test_controls_of_a_name_or_a_card_do_not_reach_the_terminal(capsys):
    console.note("a\nb\x1b[31m.png")
    console.error("\x9b2J")
    console.result("licence:     \x1b]0;owned\x07MIT\nnext line")
    console.result(f"{console.one_line('a' + chr(10) + 'b.png')}  4x4")
    out, err = capsys.readouterr()
    assert err.splitlines() == ["a\\nb\\x1b[31m.png", "error: \\x9b2J"]
    assert out.splitlines() == ["licence:     \\x1b]0;owned\\x07MIT", "next line", "a\\nb.png  4x4"]


@pytest.fixture
def unread(monkeypatch):
    """Return what takes the reader of stderr away."""

    def close() -> None:
        read, write = os.pipe()
        os.close(read)
        monkeypatch.setattr("sys.stderr", os.fdopen(write, "w", closefd=False))

    monkeypatch.setattr(console._err, "quiet", False)
    return close


def test_messages_that_nobody_reads_end_nothing(unread):
    unread()
    console.note("first")
    assert console.unheard()
    console.error("second")


def test_a_run_whose_messages_nobody_reads_is_asked_to_stop(unread):
    stop = SimpleNamespace(was_asked=False, unheard=False)
    unread()
    with _heard(stop):
        console.note("first")
    assert stop.was_asked
    assert stop.unheard
