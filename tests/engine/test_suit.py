import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.engine.resizer import Resizer
from srcli.engine.suit import Choice, Compression, compression
from srcli.media.jobs import Job
from srcli.media.picture import COARSE, COMPRESSED, LOSSY
from srcli.media.planning import plan_jobs
from srcli.media.probe import Probe, probe
from srcli.zoo import PHOTO, VIDEO
from tests.clips import make_clip
from tests.conftest import photograph

JPEG = Probe(24, 32, 3, False, 8, "jpeg")


def picture(quality: int | None) -> Job:
    return Job(Path("a"), Path("b"), "png", JPEG._replace(jpeg=quality), 2)


def kind_of(job: Job) -> str:
    found = compression(job)
    return found.kind if found else ""


def film(path: Path, quantizer: int) -> Job:
    clip = make_clip(path, options={"x264-params": f"qp={quantizer}:ipratio=1:pbratio=1"})
    return Job(clip, path, "mp4", None, 2, video=True)


def test_pictures_and_videos_are_of_a_kind_from_where_compression_shows(tmp_path):
    assert [kind_of(picture(q)) for q in (None, LOSSY.jpeg + 1, LOSSY.jpeg, 1)] == ["", "", PHOTO, PHOTO]
    films = [film(tmp_path / f"{q}.mp4", q) for q in (COARSE - 1, COARSE, 40)]
    assert [kind_of(job) for job in films] == ["", VIDEO, VIDEO]
    assert kind_of(Job(tmp_path / "f_%05d.png", Path("b"), "mp4", None, 2, video=True)) == ""
    pictures = [picture(40), *films, picture(LOSSY.jpeg), picture(99)]
    for limits, shown in ((LOSSY, [40, COARSE, 40, LOSSY.jpeg]), (COMPRESSED, [40, COARSE, 40])):
        assert [found.level for job in pictures if (found := compression(job, limits=limits))] == shown


def test_lossy_files_that_do_not_tell_how_much_are_as_cameras_and_the_web_leave_them():
    heic, avif = (Job(Path("a"), Path("b"), "png", JPEG._replace(format=kind), 2) for kind in ("heic", "avif"))
    lossless = replace(avif, probe=avif.probe._replace(lossless=True))
    assert [kind_of(job) for job in (heic, avif, lossless)] == [PHOTO, PHOTO, ""]
    assert [compression(job) for job in (heic, avif)] == [Compression(PHOTO, "HEIC"), Compression(PHOTO, "AVIF")]
    assert compression(heic, limits=COMPRESSED) is None


def test_an_avif_tells_whether_it_is_lossless(tmp_path):
    path = tmp_path / "a.avif"
    Image.fromarray(photograph(48, 64)).save(path, quality=100)
    assert kind_of(Job(path, path, "png", probe(path), 2)) == PHOTO
    data = path.read_bytes()
    at = data.index(b"colrnclx") + 12
    path.write_bytes(data[:at] + bytes(2) + data[at + 2 :])  # as avifenc --lossless has it
    assert kind_of(Job(path, path, "png", probe(path), 2)) == ""


@pytest.mark.parametrize("output", ["b.mp4", "b_%d.png", "b"])
def test_numbered_pictures_are_of_the_kind_of_the_first(tmp_path, output):
    for number, quality in ((1, 40), (2, 98), (3, 60)):
        Image.fromarray(photograph()).save(tmp_path / f"f_{number}.jpg", quality=quality)

    def planned() -> list[Job]:
        return plan_jobs([tmp_path / "f_%d.jpg"], tmp_path / output, scale=2)

    assert {kind_of(job) for job in planned()} == {PHOTO}
    assert {compression(job) for job in planned()} == {Compression(PHOTO, "JPEG of quality", 40)}
    (tmp_path / "f_1.jpg").unlink()
    assert {kind_of(job) for job in planned()} == {""}
    Image.fromarray(photograph()).save(tmp_path / "f_2.jpg", quality=1)
    assert {compression(job).level for job in planned()} == {11}  # which changed meanwhile


def test_no_folder_is_listed_for_every_question_about_numbered_pictures(tmp_path, monkeypatch):
    Image.fromarray(photograph()).save(tmp_path / "f_1.jpg", quality=40)
    jobs = plan_jobs([tmp_path / "f_%d.jpg"], tmp_path / "b.mp4", scale=2)
    monkeypatch.setattr(Path, "iterdir", None)
    assert [kind_of(job) for job in jobs] == [PHOTO]


@pytest.mark.parametrize("output", ["b.mp4", "b_%d.png"])
@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("coded", [(1, 4), (2, 3)])
def test_numbered_pictures_go_where_the_pixels_of_the_first_send_them(tmp_path, suffix, coded, output):
    clean = photograph(130, 140)
    file = io.BytesIO()
    Image.fromarray(clean).save(file, "JPEG", quality=60)
    pixels = {number: np.array(Image.open(file)) if number in coded else clean for number in (1, 2, 3, 4)}
    for number, frame in pixels.items():
        Image.fromarray(frame).save(tmp_path / f"f_{number}.{suffix}")
    choice = Choice(Resizer({}), {PHOTO: Resizer({})}, photo="SAID")
    jobs = plan_jobs([tmp_path / f"f_%d.{suffix}"], tmp_path / output, scale=2)
    taken = choice.kinds[PHOTO] if 1 in coded else choice.plain
    assert {id(choice.of(job)) for job in jobs} == {id(taken)}
    assert [choice.of_pixels(job, pixels[number]) for number, job in enumerate(jobs, 1)] == [(taken, ())] * len(jobs)
    told = Compression(PHOTO, "by their pixels JPEG of quality", 60) if 1 in coded else None
    assert {compression(job) for job in jobs} == {told}


def test_a_first_picture_that_cannot_be_read_tells_nothing(tmp_path):
    (tmp_path / "f_1.png").write_bytes(b"no picture")
    Image.fromarray(photograph()).save(tmp_path / "f_2.png")
    choice = Choice(Resizer({}), {PHOTO: Resizer({})})
    jobs = plan_jobs([tmp_path / "f_%d.png"], tmp_path / "b_%d.png", scale=2)
    assert [choice.of_pixels(job, photograph()) for job in jobs] == [(choice.plain, ())] * 2


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
