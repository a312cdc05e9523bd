import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.engine.suit import Choice, coarse, compressed, kind_of, untold
from srcli.engine.upscale import Resizer
from srcli.media.jobs import Job
from srcli.media.picture import COARSE, COMPRESSED, LOSSY
from srcli.media.probe import Probe, probe
from srcli.zoo import PHOTO, VIDEO
from tests.clips import make_clip
from tests.conftest import photograph

JPEG = Probe(24, 32, 3, False, 8, "jpeg")


def picture(quality: int | None) -> Job:
    return Job(Path("a"), Path("b"), "png", JPEG._replace(jpeg=quality), 2)


def film(path: Path, quantizer: int) -> Job:
    clip = make_clip(path, options={"x264-params": f"qp={quantizer}:ipratio=1:pbratio=1"})
    return Job(clip, path, "mp4", None, 2, video=True)


def test_pictures_and_videos_are_of_a_kind_from_where_compression_shows(tmp_path):
    assert [kind_of(picture(q)) for q in (None, LOSSY.jpeg + 1, LOSSY.jpeg, 1)] == ["", "", PHOTO, PHOTO]
    films = [film(tmp_path / f"{q}.mp4", q) for q in (COARSE - 1, COARSE, 40)]
    assert [kind_of(job) for job in films] == ["", VIDEO, VIDEO]
    assert kind_of(Job(tmp_path / "f_%05d.png", Path("b"), "mp4", None, 2, video=True)) == ""
    pictures = [picture(40), *films, picture(LOSSY.jpeg), picture(99)]
    assert (compressed(pictures), compressed(pictures, COMPRESSED)) == ([40, LOSSY.jpeg], [40])
    assert coarse(job.source for job in films) == [COARSE, 40]


def test_lossy_files_that_do_not_tell_how_much_are_as_cameras_and_the_web_leave_them():
    heic, avif = (Job(Path("a"), Path("b"), "png", JPEG._replace(format=kind), 2) for kind in ("heic", "avif"))
    lossless = replace(avif, probe=avif.probe._replace(lossless=True))
    assert [kind_of(job) for job in (heic, avif, lossless)] == [PHOTO, PHOTO, ""]
    assert untold([heic, avif, lossless, picture(None)]) == ["HEIC", "AVIF"]


def test_an_avif_tells_whether_it_is_lossless(tmp_path):
    path = tmp_path / "a.avif"
    Image.fromarray(photograph(48, 64)).save(path, quality=100)
    assert kind_of(Job(path, path, "png", probe(path), 2)) == PHOTO
    data = path.read_bytes()
    at = data.index(b"colrnclx") + 12
    path.write_bytes(data[:at] + bytes(2) + data[at + 2 :])  # as avifenc --lossless has it
    assert kind_of(Job(path, path, "png", probe(path), 2)) == ""


def test_numbered_pictures_are_of_the_kind_of_the_first(tmp_path):
    for number, quality in ((1, 40), (2, 98)):
        Image.fromarray(photograph()).save(tmp_path / f"f_{number}.jpg", quality=quality)
    numbered = Job(tmp_path / "f_%d.jpg", Path("b"), "mp4", None, 2, video=True)
    assert (kind_of(numbered), compressed([numbered])) == (PHOTO, [40])
    (tmp_path / "f_1.jpg").unlink()
    assert kind_of(numbered) == ""


def test_a_video_that_changes_is_looked_at_again(tmp_path):
    assert kind_of(film(tmp_path / "a.mp4", 10)) == ""
    assert kind_of(film(tmp_path / "a.mp4", 40)) == VIDEO


@pytest.mark.parametrize("kinds", [{}, {PHOTO: Resizer({})}])
def test_a_file_goes_through_the_networks_of_its_kind_where_there_are_some(kinds):
    choice = Choice(Resizer({}), kinds)
    assert choice.of(picture(99)) is choice.plain
    assert choice.of(picture(50)) is kinds.get(PHOTO, choice.plain)


def test_what_comes_through_a_pipe_goes_through_the_networks_for_all(tmp_path):
    choice = Choice(Resizer({}), {VIDEO: Resizer({})})
    assert choice.of_video(None) is choice.plain
    assert choice.of_video(film(tmp_path / "a.mp4", 10).source) is choice.plain
    assert choice.of_video(film(tmp_path / "b.mp4", 40).source) is choice.kinds[VIDEO]


def test_pixels_that_were_a_jpeg_go_where_it_would_have_gone():
    file = io.BytesIO()
    Image.fromarray(photograph(160, 200)).save(file, "JPEG", quality=60)
    clean, coded = photograph(160, 200), np.array(Image.open(file))
    choice = Choice(Resizer({}), {PHOTO: Resizer({})}, photo="SAID")
    assert choice.of_pixels(picture(None), clean) == (choice.plain, ())
    assert choice.of_pixels(picture(None), coded) == (
        choice.kinds[PHOTO],
        ("its pixels tell of a JPEG of quality 60 or so: SAID",),
    )
    assert choice.of_pixels(picture(60), coded) == (choice.kinds[PHOTO], ())  # which the header tells
    for others in ({}, {VIDEO: Resizer({})}):
        choice = Choice(Resizer({}), others)
        assert choice.of_pixels(picture(None), coded) == (choice.plain, ())
