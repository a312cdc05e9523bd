import threading
import time

import pytest

from srcli.errors import BadPicture
from srcli.media.ahead import read_ahead, write_behind


def both(function):
    return pytest.mark.parametrize("ahead", [read_ahead, write_behind])(function)


@both
def test_results_keep_the_order_of_the_items(ahead):
    assert list(ahead(range(7), lambda n: n * n, depth=2)) == [(n, n * n) for n in range(7)]


@both
def test_nothing_to_do_gives_nothing(ahead):
    assert list(ahead([], len, depth=1)) == []


def test_a_user_error_is_the_result_of_its_item_when_reading():
    error = BadPicture("'b' is empty")

    def read(name: str) -> str:
        if name == "b":
            raise error
        return name.upper()

    assert list(read_ahead("abc", read, depth=1)) == [("a", "A"), ("b", error), ("c", "C")]


def test_an_error_of_writing_rises_and_what_was_handed_over_is_written():
    written, late = [], threading.Event()

    def items():
        yield from "abc"
        late.set()
        yield from "de"

    def write(name: str) -> None:
        if name == "b":
            late.wait(9)
            raise BadPicture("'b' is empty")
        written.append(name)

    behind = write_behind(items(), write, depth=2)
    assert next(behind) == ("a", None)
    with pytest.raises(BadPicture, match="'b' is empty"):
        next(behind)
    assert written == ["a", "c", "d"]


def test_what_is_written_is_told_before_more_is_computed():
    told, begun = [], threading.Event()

    def items():
        yield 0
        yield 1
        begun.wait(9)  # with 1, and so 0 is written
        yield 2
        assert told[:1] == [0]
        yield 3

    for _, number in write_behind(items(), lambda number: (number and begun.set(), number)[1], depth=9):
        told.append(number)
    assert told == [0, 1, 2, 3]


@both
def test_any_other_exception_rises(ahead):
    with pytest.raises(ZeroDivisionError):
        list(ahead([1, 0], lambda n: 1 // n, depth=1))


def test_reading_stays_within_its_depth():
    taken = []

    def items():
        for n in range(9):
            taken.append(n)
            yield n

    ahead = read_ahead(items(), str, depth=2)
    next(ahead)
    ahead.close()
    assert taken == [0, 1, 2]


def test_closing_early_stops_reading_and_its_thread():
    read = []
    before = threading.active_count()
    ahead = read_ahead(range(100), lambda n: (time.sleep(0.01), read.append(n)), depth=50)
    next(ahead)
    ahead.close()
    assert len(read) < 20
    assert threading.active_count() == before


def test_closing_early_finishes_what_was_handed_over_for_writing():
    written = []
    behind = write_behind(range(100), lambda n: (time.sleep(0.01), written.append(n)), depth=3)
    next(behind)
    behind.close()
    assert written == [0, 1, 2, 3]


def test_what_was_handed_over_is_written_when_the_next_item_fails():
    written = []

    def items():
        yield from range(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(write_behind(items(), written.append, depth=5))
    assert written == [0, 1, 2]
