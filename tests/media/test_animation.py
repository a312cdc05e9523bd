import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.errors import BadPicture
from srcli.media.animation import Animation, Frame, frame_count, read_animation, write_animation
from srcli.media.picture import Picture
from srcli.media.planning import plan_jobs
from tests.conftest import png_chunk

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


@pytest.mark.parametrize(
    ("durations", "kept", "note"),
    [
        (3 * [100 / 3] + [0, 10, 40], [30, 40, 30, 0, 10, 40], None),
        (4 * [33], [30, 40, 30, 30], None),
        (
            [*10 * [16.0], 1000],
            [*10 * [20], 1000],
            "GIF shows a frame for 20 ms at least: it lasts 1.20 s instead of 1.16 s",
        ),
    ],
)
def test_a_gif_lasts_as_long_as_its_source_and_no_frame_is_too_short_for_browsers(tmp_path, durations, kept, note):
    made = animation()
    frames = [Frame(np.full((9, 7, 3), 9 * i, np.uint8), None, duration) for i, duration in enumerate(durations)]
    notes = write_animation(replace(made, frames=frames), tmp_path / "a", format="gif")
    assert [frame.duration for frame in read_animation(tmp_path / "a").frames] == kept
    assert [line for line in notes if "at least" in line] == ([note] if note else [])


def test_equal_frames_of_a_gif_are_joined_no_longer_than_it_can_show_one(tmp_path):
    made = animation()
    frames = [frame._replace(duration=400_000) for frame in (made.frames[0], made.frames[0], made.frames[1])]
    notes = write_animation(replace(made, frames=frames), tmp_path / "a", format="gif")
    assert [frame.duration for frame in read_animation(tmp_path / "a").frames] == [655_350, 400_000]
    assert "GIF shows a frame for 655 s at most: longer ones are shortened" in notes


def test_parts_of_a_ms_add_up(tmp_path):
    made = animation()
    frames = [frame._replace(duration=50 / 3) for frame in made.frames]
    write_animation(replace(made, frames=frames), tmp_path / "a", format="webp")
    assert [frame.duration for frame in read_animation(tmp_path / "a").frames] == [17, 16, 17]


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
    monkeypatch.setattr("srcli.media.conflicts.MAX_RESULT", 5000)
    with pytest.raises(BadPicture, match="3 frames of 46 x 38 px, more than 5,000 px"):
        plan_jobs(["a.gif"], None, scale=2)
    Image.new("RGB", (20, 12)).save("b.png")
    assert [bool(job.refused) for job in plan_jobs(["a.gif", "b.png"], None, scale=2)] == [True, False]


@pytest.mark.parametrize("opaque", [0, 1, 2])
def test_an_opaque_frame_of_a_gif_leaves_nothing_opaque_behind(tmp_path, opaque):
    made = animation(alpha=True)
    frames = [replace_alpha(frame, None) if i == opaque else frame for i, frame in enumerate(made.frames)]
    write_animation(replace(made, frames=frames), tmp_path / "a.gif", format="gif")
    for before, after in zip(frames, read_animation(tmp_path / "a.gif").frames, strict=True):
        expected = np.full((19, 23), 255, np.uint8) if before.alpha is None else before.alpha
        alpha = np.full((19, 23), 255, np.uint8) if after.alpha is None else after.alpha
        np.testing.assert_array_equal(alpha, expected)
        np.testing.assert_array_equal(after.pixels[expected > 0], before.pixels[expected > 0])


def replace_alpha(frame: Frame, alpha: np.ndarray | None) -> Frame:
    return Frame(frame.pixels, alpha, frame.duration)


@pytest.mark.parametrize("lossless", [True, False])
def test_a_lossless_webp_stays_so(tmp_path, lossless):
    noise = [np.random.default_rng(i).integers(0, 256, (24, 24, 3)).astype(np.uint8) for i in range(2)]
    images = [Image.fromarray(frame) for frame in noise]
    images[0].save(tmp_path / "a.webp", save_all=True, append_images=images[1:], lossless=lossless, quality=60)
    read = read_animation(tmp_path / "a.webp")
    write_animation(read, tmp_path / "b.webp", format="webp")
    same = all(
        np.array_equal(a.pixels, b.pixels) for a, b in zip(read.frames, read_animation(tmp_path / "b.webp").frames, strict=True)
    )
    assert same is lossless


def test_frames_of_16_bits_keep_their_brightness(tmp_path):
    def chunk(name: bytes, *fields: int | bytes, form: str = "") -> bytes:
        return png_chunk(name, struct.pack(">" + form, *fields) if form else b"".join(fields))

    def level(value: int) -> bytes:
        return zlib.compress(4 * (b"\0" + struct.pack(">H", value) * 5))

    def control(number: int) -> bytes:
        return chunk(b"fcTL", number, 5, 4, 0, 0, 1, 10, 0, 0, form="IIIIIHHBB")

    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", 5, 4, 16, 0, 0, 0, 0, form="IIBBBBB") + chunk(b"acTL", 2, 0, form="II")
    first = control(0) + chunk(b"IDAT", level(0x8000))
    second = control(1) + chunk(b"fdAT", struct.pack(">I", 2), level(0x2000))
    (tmp_path / "a.png").write_bytes(head + first + second + chunk(b"IEND"))
    read = read_animation(tmp_path / "a.png")
    assert [int(frame.pixels[0, 0, 0]) for frame in read.frames] == [0x80, 0x20]
    assert {frame.pixels.shape for frame in read.frames} == {(4, 5, 3)}


def test_frames_of_colour_get_no_profile_of_gray(tmp_path):
    gray = bytes(16) + b"GRAY" + bytes(108)
    made = animation()
    notes = write_animation(replace(made, still=replace(made.still, icc=gray)), tmp_path / "a.webp", format="webp")
    assert "animated WEBP cannot carry the colour profile" in notes
    with Image.open(tmp_path / "a.webp") as image:
        assert "icc_profile" not in image.info
