from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.errors import BadPicture
from srcli.media.animation import Animation, Frame, frame_count, read_animation, write_animation
from srcli.media.image import Picture
from srcli.media.jobs import plan_jobs

DURATIONS = [40.0, 100.0, 70.0]


def animation(*, alpha: bool = False, plays: int = 0) -> Animation:
    """Make three frames of few colours, 19 x 23."""
    frames = []
    for i, duration in enumerate(DURATIONS):
        pixels = np.full((19, 23, 3), 40, np.uint8)
        pixels[2 + 4 * i : 8 + 4 * i, 3:9] = (200, 60 * i, 90)
        visible = np.where(pixels[..., 0] == 200, 255, 0).astype(np.uint8) if alpha else None
        frames.append(Frame(pixels, visible, duration))
    return Animation(Picture(frames[0].pixels), frames, plays)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("plays", [0, 1, 3])
@pytest.mark.parametrize("format", ["gif", "webp", "png"])
def test_frames_durations_and_loops_are_read_as_written(tmp_path, format, plays, alpha):
    written, path = animation(alpha=alpha, plays=plays), tmp_path / "a"
    write_animation(written, path, format=format)
    assert frame_count(path) == 3
    again = read_animation(path)
    assert (again.plays, again.still.format) == (plays, format)
    assert [frame.duration for frame in again.frames] == DURATIONS
    for before, after in zip(written.frames, again.frames, strict=True):
        if alpha:
            np.testing.assert_array_equal(after.alpha, before.alpha)
        visible = before.alpha != 0 if alpha else np.ones((19, 23), bool)
        np.testing.assert_array_equal(after.pixels[visible], before.pixels[visible])


def test_disposal_is_composed(data):
    read = read_animation(data / "nasty" / "anim_dispose_bg.gif")
    with Image.open(data / "nasty" / "anim_dispose_bg.gif") as image:
        for index, frame in enumerate(read.frames):
            image.seek(index)
            np.testing.assert_array_equal(frame.pixels, np.asarray(image.convert("RGB")))


def test_the_default_image_of_apng_is_no_frame(data):
    path = data / "nasty" / "anim_apng2.png"
    assert frame_count(path) == 4
    read = read_animation(path)
    assert [frame.duration for frame in read.frames] == [500, 1000, 500, 1000]
    assert read.still.notes == ("the picture for programs without animation is not kept",)


def test_gif_says_what_it_reduces(tmp_path):
    soft = animation(alpha=True)
    frames = [frame._replace(alpha=frame.alpha // 2) for frame in soft.frames]
    notes = write_animation(Animation(soft.still, frames, 0), tmp_path / "a", format="gif")
    assert notes == (
        "GIF has 256 colours: each frame has its own palette, without dithering",
        "GIF has no partial transparency: cut at half",
    )


@pytest.mark.parametrize(("format", "longest"), [("gif", 655_350), ("png", 65_535), ("webp", 2**24 - 1)])
def test_what_lasts_longer_than_a_format_knows_is_shortened_and_said(tmp_path, format, longest):
    written = animation(plays=100_000)
    frames = [written.frames[0]._replace(duration=2.0**24), *written.frames[1:]]
    notes = write_animation(Animation(written.still, frames, 100_000), tmp_path / "a", format=format)
    again = read_animation(tmp_path / "a")
    assert (again.frames[0].duration, again.plays) == (longest, 65_535)
    assert f"{format.upper()} shows a frame for {longest / 1000:.0f} s at most: longer ones are shortened" in notes
    assert "played 65,535 times instead of 100,000" in notes


def test_a_comment_in_any_letters_comes_back_from_gif(tmp_path):
    written = animation()
    write_animation(
        replace(written, still=replace(written.still, text={"Comment": "\u65e5\u672c"})), tmp_path / "a", format="gif"
    )
    assert read_animation(tmp_path / "a").still.text == {"Comment": "\u65e5\u672c"}


def test_too_many_pixels_together_are_refused(tmp_path):
    write_animation(animation(), tmp_path / "a.webp", format="webp")
    with pytest.raises(BadPicture, match="3 frames of 23 x 19 px"):
        read_animation(tmp_path / "a.webp", max_pixels=1000)


def test_plans_keep_animations_and_refuse_results_beyond_the_bound(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_animation(animation(), Path("a.gif"), format="gif")
    (job,) = plan_jobs(["a.gif"], None, scale=2)
    assert (str(job.target), job.format, job.frames, job.notes) == ("a_x2.gif", "gif", 3, ())
    assert [(j.format, j.frames) for j in plan_jobs(["a.gif"], None, scale=2, format="webp")] == [("webp", 3)]
    assert [(j.format, j.frames) for j in plan_jobs(["a.gif"], None, scale=2, format="jpg")] == [("jpeg", 1)]
    monkeypatch.setattr("srcli.media.jobs.MAX_RESULT", 5000)
    with pytest.raises(BadPicture, match="3 frames of 46 x 38 px, more than 5,000 px"):
        plan_jobs(["a.gif"], None, scale=2)
