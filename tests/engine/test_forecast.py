from dataclasses import replace
from pathlib import Path

import pytest

from srcli.engine.forecast import expected_memory, expected_seconds, worth_timing
from srcli.engine.pipeline import STREAM_FROM
from srcli.engine.resizer import Resizer
from srcli.engine.suit import Choice
from srcli.engine.upscale import Upscaler
from srcli.media.footprint import footprint
from srcli.media.jobs import Job
from srcli.media.probe import Probe
from srcli.models import create


@pytest.fixture(scope="module")
def choice():
    return Choice(Resizer({2: Upscaler(create("bicubic", 2), precision="fp32", tile=64)}))


def job(height, width, scale=2, format="png", **more):
    size = (height * scale, width * scale)
    return Job(Path("a"), Path("b"), format, Probe(height, width, 3, False, 8, format), scale, size, **more)


def needed(choice, *jobs):
    [memory] = expected_memory(choice, jobs)
    return memory.needed


def test_the_memory_is_that_of_the_largest_job_and_what_waits_beside_it(choice):
    small, large = job(100, 100), job(1000, 1000)
    tiles, whole = (choice.plain.upscalers[2].runner.least_bytes(side, side, "fp32") for side in (1000, 100))
    assert needed(choice, large) == pytest.approx(footprint(large) + tiles, abs=1)
    both = footprint(large) + max(tiles, whole) + 5 * 100 * 100 * 3  # the other's input and result
    assert needed(choice, large, small) == pytest.approx(both, abs=1)


def test_whole_pictures_and_passes_in_turn_take_more(choice):
    whole = Choice(Resizer({2: Upscaler(create("bicubic", 2), precision="fp32", tile=0)}))
    assert needed(whole, job(1000, 1000)) > needed(choice, job(1000, 1000))
    down = replace(job(1000, 1000), size=(2010, 2010))  # x2 twice, then down
    assert needed(choice, down) > needed(choice, job(1000, 1000)) + 3 * 4000**2 - 1e6


def test_what_is_streamed_takes_bands_and_videos_some_frames(choice):
    side = int((STREAM_FROM / 4) ** 0.5) + 1
    assert needed(choice, job(side, side, format="tiff")) < 0.2 * needed(choice, job(side, side, format="png"))
    assert needed(choice, job(90, 90, format="mp4", video=True, frames=10**6)) < 64 * 2**20


def test_nothing_known_takes_nothing(choice):
    unknown = Job(Path("a"), Path("b"), "png", None, 2)
    assert (needed(choice, unknown), needed(choice), expected_seconds(choice, [unknown])) == (0, 0, 0)


def test_the_time_grows_with_the_px(choice):
    assert expected_seconds(choice, [job(900, 900)] * 50) > 0


def test_what_the_networks_read_in_all_is_worth_timing(choice):
    assert worth_timing(choice, [job(1000, 1000, frames=5)])
    assert worth_timing(choice, [job(1500, 1500), job(1500, 1500)])
    assert not worth_timing(choice, [job(1000, 1000, frames=4)])
    assert worth_timing(choice, [job(1000, 1000, scale=4)])  # which is read again at twice the size
    assert not worth_timing(choice, [job(4000, 4000, scale=1)])  # which no network reads
    assert not worth_timing(choice, [replace(job(9000, 9000), probe=None)])


def test_frames_that_are_remembered_are_timed_all_the_same():
    choice, passes = Choice(Resizer({2: Upscaler(create("bicubic", 2), precision="fp32")})), []
    with choice.plain.remembering():
        expected_seconds(choice, [job(100, 100)])
        choice.plain.upscalers[2].model.register_forward_hook(lambda *result: passes.append(1))
        expected_seconds(choice, [job(100, 100)])
    assert len(passes) == 4
