"""srcli upscale with videos: what is kept, what is refused, what goes on after a stop; numbered pictures and pipes."""

import errno
import io
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms

from srcli.engine import video as engine
from srcli.engine import video_plan
from srcli.engine.distributed import Team
from srcli.media.animation import Animation, Frame, read_animation, write_animation
from srcli.media.picture import Picture
from srcli.media.segments import Parts
from srcli.media.video import probe_video
from srcli.media.video_reader import VideoReader
from srcli.media.write import write_image
from tests.clips import decoded, held, make_clip
from tests.conftest import photograph
from tests.program import Result, srcli, upscale

WORDS = [(0, 200, "Hallo"), (200, 400, "Welt")]


def linear() -> bytes:
    """Make a colour profile like sRGB's whose values are proportional to light."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    at = srgb.index(b"para\0\0\0\0\0\3") + 12  # a curve (a x + b)^g, c x below d
    return srgb[:at] + struct.pack(">5i", 65536, 65536, 0, 65536, 0) + srgb[at + 20 :]


def done(*arguments: object) -> Result:
    """Run it and insist on its success."""
    result = upscale(*arguments)
    assert result.exit_code == 0, result.output
    return result


# Weights


def test_auto_takes_a_coarse_video_through_the_weights_for_it(tmp_path):
    options = {"x264-params": "qp=40:ipratio=1:pbratio=1"}
    coarse, fine = (
        make_clip(tmp_path / "coarse.mp4", frames=2, options=options),
        make_clip(tmp_path / "fine.mkv", frames=2, codec="ffv1"),
    )

    def through(clip: Path, weights: str) -> tuple[list[np.ndarray], list[str]]:
        out = tmp_path / f"{clip.stem}_{weights}.mkv"
        arguments = ["upscale", str(clip), "-s", "2", "-m", weights, "-o", str(out), "--codec", "ffv1"]
        result = srcli(*arguments)
        assert result.exit_code == 0, result.output
        return decoded(out), [line for line in result.stderr.splitlines() if "H.264" in line]

    frames, said = through(coarse, "standard-auto")
    assert said == ["H.264 of quantizer 40 or so: taken through standard-video, which removes blocks and ringing"]
    np.testing.assert_array_equal(frames, through(coarse, "standard-video")[0])
    plain, said = through(coarse, "standard")
    assert said == ["H.264 of quantizer 40 or so: -m standard-auto takes blocks and ringing away"]
    assert not np.array_equal(frames, plain)
    frames, said = through(fine, "standard-auto")
    assert said == []
    np.testing.assert_array_equal(frames, through(fine, "standard")[0])


# What is kept


@pytest.mark.parametrize(
    ("source", "target", "kinds", "notes"),
    [
        ("a.mkv", "b.mkv", ["video", "audio", "subtitle", "attachment"], []),
        ("a.mp4", "b.mp4", ["video", "audio", "subtitle", "data"], []),  # MP4 keeps chapters as data
        ("a.mp4", "b.mkv", ["video", "audio", "subtitle"], ["stream 2: mov_text subtitles rewrapped as subrip"]),
        (
            "a.mkv",
            "b.mp4",
            ["video", "audio", "subtitle", "data"],
            [
                "stream 2: subrip subtitles rewrapped as mov_text",
                "the attachment 'font.ttf' cannot be carried by mp4; mkv carries it",
            ],
        ),
        (
            "a.mkv",
            "b.webm",
            ["video", "audio", "subtitle"],
            [
                "stream 1: aac sound, which webm cannot carry, encoded as opus; mkv carries it",
                "stream 2: subrip subtitles rewrapped as webvtt",
                "the attachment 'font.ttf' cannot be carried by webm; mkv carries it",
            ],
        ),
    ],
)
def test_streams_chapters_and_tags_go_along_and_losses_are_said(tmp_path, source, target, kinds, notes):
    mkv = source.endswith("mkv")
    clip = make_clip(
        tmp_path / source, tone=True, subtitles=WORDS, chapters=True, attachment=mkv, metadata={"title": "A title"}
    )
    before = held(clip)
    result = done(clip, "-o", tmp_path / target, "-s", 2)
    after = held(tmp_path / target)
    assert after.kinds == kinds
    assert after.times == before.times
    assert target == "b.webm" or after.sound == before.sound
    assert [any(word in text for text in after.texts[0]) for _, _, word in WORDS] == [True, True]
    assert after.chapters == [(0.0, 0.2, "One"), (0.2, 0.4, "Two")]
    assert after.metadata["title"] == "A title"
    assert [
        line.partition(": ")[2] for line in result.stderr.splitlines() if "stream " in line or "attachment" in line
    ] == notes


@pytest.mark.parametrize(
    ("source", "sound", "target", "made"),
    [
        ("a.avi", "adpcm_ms", "b.mkv", "aac"),
        ("a.mov", "pcm_mulaw", "b.mp4", "aac"),
        ("a.mkv", "aac", "b.webm", "opus"),
        ("a.mkv", "flac", "b.mov", "alac"),
    ],
)
def test_sound_that_cannot_be_copied_is_encoded_in_its_place(tmp_path, source, sound, target, made):
    options = {"ticks": 1, "codec": "mpeg4"} if source == "a.avi" else {}  # whose clock ticks once a frame
    clip = make_clip(tmp_path / source, tone=True, sound=sound, **options)
    result = done(clip, "-o", tmp_path / target, "-s", 2)
    assert f"{sound} sound, which {target[2:]} cannot carry, encoded as {made}" in " ".join(result.stderr.split())
    before, after = heard(clip), heard(tmp_path / target)
    assert len(after) == pytest.approx(len(before), abs=1024)  # of AAC the last packet is whole
    heights = np.abs(before).max(), np.abs(after[len(before) // 4 : len(before) // 2]).max()
    assert heights[1] == pytest.approx(heights[0], rel=0.1)
    if made == "alac":
        np.testing.assert_array_equal(after, before)
    cut = done(clip, "-o", tmp_path / f"cut_{target}", "-s", 2, "--start", 0.2, "--end", 0.4)
    assert "please report" not in cut.stderr
    assert len(heard(tmp_path / f"cut_{target}")) == pytest.approx(0.2 * 16000, abs=0.1 * 16000)


@pytest.mark.parametrize(("layout", "made"), [("5.1(side)", 6), ("4.0", 4), ("2.1", 3)])
def test_webm_takes_the_sound_of_films(tmp_path, layout, made):
    with av.open(str(tmp_path / "a.mkv"), "w") as container:
        film = container.add_stream("ffv1", rate=25, width=32, height=24, pix_fmt="yuv420p")
        hum = container.add_stream("ac3" if made > 5 else "flac", rate=48000, layout=layout)
        silence = np.zeros((made, 1536), np.float32)
        for i in range(12):
            image = av.VideoFrame.from_ndarray(photograph(24, 32, i), format="rgb24")
            container.mux(film.encode(image))
            frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout=layout)
            frame.sample_rate, frame.pts = 48000, 1536 * i
            for part in av.AudioResampler(hum.codec_context.format, layout, 48000).resample(frame):
                container.mux(hum.encode(part))
        container.mux([*film.encode(), *hum.encode()])
    result = done(tmp_path / "a.mkv", "-o", tmp_path / "b.webm", "-s", 1)
    assert "encoded as opus" in result.stderr
    with av.open(str(tmp_path / "b.webm")) as container:
        assert container.streams.audio[0].layout.nb_channels == made


def heard(path: Path) -> np.ndarray:
    """Decode the sound, at 16 kHz from the beginning on."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("s16", "mono", 16000)
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in [*frames, *resampler.resample(None)]])


def test_a_cover_picture_is_copied(tmp_path):
    clip = make_clip(tmp_path / "a.mp4", cover=True)
    for name in ("b.mp4", "b.mkv"):
        done(clip, "-o", tmp_path / name, "-s", 2)
        with av.open(str(tmp_path / name)) as container:
            film, cover = container.streams.video
            assert (film.width, cover.width) == (128, 16)
            assert cover.disposition & av.stream.Disposition.attached_pic
    result = done(clip, "-o", tmp_path / "b.mov", "-s", 2)
    assert "stream 1 (video, mjpeg) cannot be carried by mov" in result.stderr
    assert held(tmp_path / "b.mov").kinds == ["video"]


@pytest.mark.parametrize(
    ("name", "patches", "lost", "kept"),
    [
        ("a.mov", {b"mp4a": b"apac", b"esds": b"skip"}, "stream 1 (audio, unknown)", ["video", "subtitle"]),
        ("a.mp4", {b"mp4a": b"apac", b"esds": b"skip"}, "stream 1 (audio, unknown)", ["video", "subtitle"]),
        ("a.mkv", {b"S_TEXT/UTF8": b"S_TEXT/XXX8"}, "stream 2 (subtitle, unknown)", ["video", "audio"]),
    ],
)
def test_a_track_without_a_decoder_is_said_and_left_out(tmp_path, name, patches, lost, kept):
    clip = make_clip(tmp_path / name, frames=4, tone=True, subtitles=WORDS)
    content = clip.read_bytes()
    for code, other in patches.items():
        content = content.replace(code, other)
    clip.write_bytes(content)
    result = done(clip, "-o", tmp_path / "out.mkv", "-s", 2)
    assert f"{lost} cannot be carried by mkv" in result.stderr
    assert held(tmp_path / "out.mkv").kinds == kept


@pytest.mark.parametrize(("source", "target"), [("2024-05-01T12:30.mkv", "out.mp4"), ("in:1.mp4", "out:1.mkv")])
def test_names_with_a_colon_are_names_of_files(tmp_path, monkeypatch, source, target):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / source, frames=3, tone=True)
    done(source, "-o", target, "-s", 2)
    assert held(tmp_path / target).kinds == ["video", "audio"]


def test_uneven_time_stamps_come_out_exactly(tmp_path):
    pts = [0, 300, 1000, 1001, 5000, 5512, 9000, 9100]
    clip = make_clip(tmp_path / "clip.mp4", frames=8, pts=pts)
    done(clip, "-o", tmp_path / "out.mp4", "-s", 2, "--segment", 3)
    assert held(tmp_path / "out.mp4").times == held(clip).times
    done(clip, "-o", tmp_path / "out.mkv", "-s", 2, "--segment", 3)
    assert held(tmp_path / "out.mkv").times[0] == pytest.approx(held(clip).times[0], abs=0.0005)  # Matroska counts in ms


@pytest.mark.parametrize("name", ["out.mp4", "out.mov"])
@pytest.mark.parametrize("first", [1, 300, 12345])
def test_a_video_that_begins_late_does_so_to_the_tick(tmp_path, name, first):
    clip = make_clip(tmp_path / "clip.mp4", frames=6, pts=[first + i * 512 for i in range(6)])
    moved = tmp_path / "clip.mov"  # whose ticks of the movie are finer than ms
    done(clip, "-o", moved, "-s", 1)
    done(moved, "-o", tmp_path / name, "-s", 2)
    assert held(tmp_path / name).times == held(moved).times


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks"])
def test_every_codec_gives_every_frame_across_segments(tmp_path, codec):
    clip = make_clip(tmp_path / "clip.mp4", frames=7)
    done(clip, "-o", tmp_path / "out.mkv", "-s", 2, "--segment", 3, "--codec", codec)
    frames = decoded(tmp_path / "out.mkv")
    whole = [np.asarray(Image.fromarray(f).resize((128, 96), Image.Resampling.BICUBIC), float) for f in decoded(clip)]
    assert len(frames) == 7
    assert max(np.abs(a - b).mean() for a, b in zip(frames, whole, strict=True)) < 6


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("alpha_vp9_vorbis.webm", ".webm"),
        ("bt2020_10bit_hevc.mp4", ".mp4"),
        ("bt601_limited_range.mp4", ".mkv"),
        ("bt709_full_range.mp4", ".mp4"),
        ("carphone_qcif_distorted.mp4", ".mp4"),
        ("nasa_2video_2audio_2subs.mp4", ".mkv"),
        ("nasa_rot90.mp4", ".mov"),
        ("non_zero_start.mp4", ".mp4"),
        ("odd_321x241_444.mp4", ".mkv"),
        ("rot90_ios9_data_streams.mov", ".mov"),
        ("rot90_vfr_24.mov", ".mp4"),
        ("vfr_480x270_vp8_vorbis_44s.webm", ".webm"),
    ],
)
def test_real_clips_keep_time_colour_shape_and_turn(data, tmp_path, name, suffix):
    clip, target = data / "video" / name, tmp_path / f"out{suffix}"
    done(clip, "-o", target, "-s", 1, "--frames", 4, "--segment", 2)
    before, after = probe_video(clip).tracks, probe_video(target).tracks
    assert len(after) == len(before)
    for old, new, times, wanted in zip(before, after, held(target).times, held(clip).times, strict=True):
        assert times == pytest.approx(wanted[:4], abs=0.0005)
        assert (new.height, new.width, new.depth, new.alpha) == (old.height, old.width, old.depth, old.alpha)
        assert new.colors[:3] == old.colors[:3]
        assert new.colors.range in (old.colors.range, 1)
        assert (new.aspect or 1) == (old.aspect or 1)
        assert (new.matrix and new.matrix[:6]) == (old.matrix and old.matrix[:6])
    error = decoded(target, most=1)[0].astype(float) - decoded(clip, most=1)[0]
    assert np.abs(error).mean() < 6  # CRF 18 to 24, of noise in some
    assert np.abs(error.mean((0, 1))).max() < 2  # of saturated test patterns chroma clips


def test_a_cut_keeps_picture_sound_and_words_together(tmp_path):
    clip = make_clip(tmp_path / "a.mkv", frames=50, tone=True, subtitles=[(1200, 1600, "Da")], chapters=True)
    done(clip, "-o", tmp_path / "b.mkv", "-s", 2, "--start", 1, "--end", 1.5)
    after = held(tmp_path / "b.mkv")
    assert len(after.times[0]) == 13
    assert after.times[0][0] == 0
    assert after.sound[0][0] == pytest.approx(0.024, abs=0.041)  # the first packet that begins within
    assert 0.4 < after.sound[0][-1] < 0.5
    assert after.texts == [["Da"]]
    with av.open(str(tmp_path / "b.mkv")) as container:
        (word,) = [packet for packet in container.demux(subtitles=0) if packet.size]
        assert word.pts * word.time_base == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
def test_sound_before_the_first_picture_is_kept_by_a_cut(tmp_path, name):
    clip = make_clip(tmp_path / name, pts=[12800 + i * 512 for i in range(12)], tone=True, seconds=1.5)
    done(clip, "-o", tmp_path / "b.mkv", "-s", 1, "--start", 0.5)
    after = held(tmp_path / "b.mkv")
    assert after.times[0][0] == pytest.approx(0.5, abs=0.001)
    assert after.sound[0][0] == pytest.approx(0.03, abs=0.041)  # the first packet that begins within


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_words_that_are_shown_at_a_cut_are_kept_from_there(tmp_path, name):
    words = [(0, 2000, "Vorbei"), (200, 2500, "Noch"), (2600, 2900, "Da")]
    clip = make_clip(tmp_path / name, frames=100, options={"g": "10"}, subtitles=words)
    done(clip, "-o", tmp_path / "b.mkv", "-s", 2, "--start", 2, "--end", 3)
    ((first, second),) = held(tmp_path / "b.mkv").texts
    assert ("Noch" in first, "Da" in second) == (True, True)
    with av.open(str(tmp_path / "b.mkv")) as container:  # which counts in ms
        assert [(p.pts, p.duration) for p in container.demux(subtitles=0) if p.size] == [(0, 500), (600, 300)]


# Refusals


@pytest.mark.parametrize(
    ("flags", "code", "text"),
    [
        (["-o", "out.webm", "--codec", "libx264"], 2, "libx264 does not go into webm"),
        (["-o", "out.avi"], 2, "cannot write 'out.avi': a video becomes"),
        (["-o", "out.mp4", "--codec", "h264_nvenc"], 1, "it needs an NVIDIA GPU"),
        (["-o", "out.mp4", "--start", "2", "--end", "1"], 2, "--end 1 is not after --start 2"),
        (["-o", "out.mp4", "--start", "soon"], 2, "--start is seconds or H:MM:SS"),
        (["-o", "out.mp4", "--start", "99"], 1, "it ends before --start"),
        (["-o", "out.mp4", "--start", "99", "--end", "100"], 1, "no frame lies between --start and --end"),
        (["-o", "out.mp4", "--fps", "0"], 2, "--fps is above 0"),
        (["-o", "out.png"], 2, "webm; numbered pictures: 'out_%05d.png'"),
    ],
)
def test_wrong_flags_are_refused_in_one_line(tmp_path, monkeypatch, flags, code, text):
    if "h264_nvenc" in flags and Path("/dev/nvidia0").exists():
        pytest.skip("there is a GPU")
    monkeypatch.chdir(tmp_path)
    result = upscale(make_clip(tmp_path / "clip.mp4"), "-s", 2, *flags)
    assert result.exit_code == code
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert text in line
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_broken_video_does_not_stop_the_folder(tmp_path):
    folder = tmp_path / "mixed things"
    folder.mkdir()
    make_clip(folder / "clip.mp4")
    (folder / "broken.mp4").write_bytes(b"\0\0\0\x20ftypisom" + b"\0" * 99)
    Image.fromarray(photograph()).save(folder / "still.png")
    result = upscale(folder, "-s", 2, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["clip.mp4", "still.png"]
    assert "broken.mp4' cannot be read as a video" in result.stderr
    assert "2 upscaled, 1 failed" in result.stderr


def test_what_can_have_no_result_fails_alone(tmp_path, monkeypatch):
    monkeypatch.setattr("srcli.media.conflicts.MAX_RESULT", 5000)
    (tmp_path / "in").mkdir()
    for name in ("a.avi", "a.flv"):
        make_clip(tmp_path / "in" / name, frames=2, ticks=1, codec="mpeg4" if name == "a.avi" else "flv")
    frames = [Image.fromarray(photograph(24, 32, i)) for i in range(4)]
    frames[0].save(tmp_path / "in" / "b.gif", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "in" / "c.png")
    for more in (["--dry-run"], []):
        result = upscale(tmp_path / "in", "-o", tmp_path / "out", "-s", 2, *more)
        told = " ".join(result.stderr.split())
        assert (result.exit_code, "both would be" in told, "4 frames of 64 x 48 px" in told) == (1, True, True)
    assert "2 upscaled, 2 failed" in told
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["a.mkv", "c.png"]


def test_a_truncated_video_is_upscaled_and_said_with_exit_1(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=60, codec="ffv1")
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    result = upscale(clip, "-o", tmp_path / "out.mkv", "-s", 2)
    assert result.exit_code == 1
    assert "before what its header says" in result.stderr
    assert 10 < len(decoded(tmp_path / "out.mkv")) < 60


# Stops


def stop_after(frames: int) -> Callable[..., None]:
    """Make a tick that fails, as a stop would, after so many frames."""

    def tick(progress: engine.Progress) -> None:
        if progress.done >= frames:
            raise KeyboardInterrupt

    return tick


def test_a_stopped_run_goes_on_and_equals_a_whole_one(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mp4", frames=20, tone=True)
    flags = ("-s", 2, "--segment", 4)
    done(clip, "-o", tmp_path / "whole.mp4", *flags)
    real = engine.upscale_video
    with monkeypatch.context() as patch:
        patch.setattr(engine, "upscale_video", lambda *a, **k: real(*a, **{**k, "tick": stop_after(11)}))
        assert upscale(clip, "-o", tmp_path / "out.mp4", *flags).exit_code == 130
    assert not (tmp_path / "out.mp4").exists()
    assert len(list((tmp_path / "out.mp4.parts").glob("*.seg"))) >= 2
    for more in ([], ["--dry-run"]):
        other = upscale(clip, "-o", tmp_path / "out.mp4", *flags, "--crf", 30, *more)
        assert other.exit_code == 2
        assert "holds an unfinished run with another encoder" in other.stderr
    dry = done(clip, "-o", tmp_path / "out.mp4", *flags, "--dry-run").stderr
    kept = 4 * len(list((tmp_path / "out.mp4.parts").glob("*.seg")))
    assert f"{kept} kept from an earlier run\n1 to upscale, {(20 - kept) * 96 * 128:,} px in all" in dry
    assert "kept from" not in done(clip, "-o", tmp_path / "out.mp4", *flags, "--dry-run", "--no-resume").stderr
    shutil.copytree(tmp_path / "out.mp4.parts", tmp_path / "anew.mp4.parts")
    assert "kept from" not in done(clip, "-o", tmp_path / "anew.mp4", *flags, "--crf", 30, "--no-resume").stderr
    (tmp_path / "anew.mp4").unlink()
    result = done(clip, "-o", tmp_path / "out.mp4", *flags, "--resume")
    assert "kept from an earlier run" in result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4", "whole.mp4"]
    for a, b in zip(decoded(tmp_path / "whole.mp4"), decoded(tmp_path / "out.mp4"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert held(tmp_path / "whole.mp4") == held(tmp_path / "out.mp4")


def test_a_run_that_was_another_is_refused_before_any_work(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    Image.fromarray(photograph(24, 32)).save(tmp_path / "in" / "a.png")
    make_clip(tmp_path / "in" / "clip.mp4", frames=20)
    flags = tmp_path / "in", "-o", tmp_path / "out", "-s", 2, "--segment", 4
    real = engine.upscale_video
    with monkeypatch.context() as patch:
        patch.setattr(engine, "upscale_video", lambda *a, **k: real(*a, **{**k, "tick": stop_after(11)}))
        assert upscale(*flags).exit_code == 130
    (tmp_path / "out" / "a.png").unlink()
    other = upscale(*flags, "--crf", 30)
    assert (other.exit_code, "holds an unfinished run with another encoder" in other.stderr) == (2, True)
    assert not (tmp_path / "out" / "a.png").exists()
    watched = upscale(*flags, "--crf", 30, "--watch-idle", 0)  # goes on for ever: one video does not end it
    assert watched.exit_code == 1
    assert "1 upscaled, 1 failed" in watched.stderr
    assert "clip.mp4': " not in watched.stderr.splitlines()[-1]
    assert "holds an unfinished run with another encoder" in watched.stderr
    assert (tmp_path / "out" / "a.png").exists()


def test_a_source_that_changed_since_its_unfinished_run_stops_no_other(tmp_path, monkeypatch):
    for name in ("a.mp4", "b.mp4"):
        (tmp_path / "in").mkdir(exist_ok=True)
        make_clip(tmp_path / "in" / name, frames=20)
    flags = tmp_path / "in", "-o", tmp_path / "out", "-s", 1, "--segment", 4
    real = engine.upscale_video
    with monkeypatch.context() as patch:
        patch.setattr(engine, "upscale_video", lambda *a, **k: real(*a, **{**k, "tick": stop_after(11)}))
        assert upscale(*flags).exit_code == 130
    make_clip(tmp_path / "in" / "a.mp4", frames=8, height=24)
    result = upscale(*flags)
    assert (result.exit_code, "1 upscaled, 1 failed" in result.stderr) == (1, True)
    assert "a.mp4.parts' holds an unfinished run of a source that has changed;" in " ".join(result.stderr.split())
    assert [path.name for path in sorted((tmp_path / "out").iterdir())] == ["a.mp4.parts", "b.mp4"]


def test_a_video_that_vanished_stops_no_other(tmp_path, monkeypatch):
    clips = [
        make_clip(tmp_path / "in" / name, frames=3)
        for name in ("a.mp4", "b.mp4")
        if (tmp_path / "in").mkdir(exist_ok=True) is None
    ]
    real = video_plan.plan_videos

    def planned(*arguments, **more):
        plans = real(*arguments, **more)
        clips[0].unlink()
        return plans

    monkeypatch.setattr(video_plan, "plan_videos", planned)
    result = upscale(tmp_path / "in", "-o", tmp_path / "out", "-s", 2)
    assert result.exit_code == 1
    assert "a.mp4' cannot be read as a video: no such file or directory" in result.stderr.replace("\n", " ").lower()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.mp4"]


def test_numbered_pictures_are_begun_anew_on_demand(tmp_path, monkeypatch):
    clip, real = make_clip(tmp_path / "clip.mp4", frames=20), engine.upscale_video
    flags = clip, "-o", tmp_path / "f_%d.png", "-s", 2
    with monkeypatch.context() as patch:
        patch.setattr(engine, "upscale_video", lambda *a, **k: real(*a, **{**k, "tick": stop_after(11)}))
        assert upscale(*flags).exit_code == 130
    there = (tmp_path / "f_1.png").stat().st_mtime_ns
    done(*flags, "--no-resume")
    assert (tmp_path / "f_1.png").stat().st_mtime_ns > there
    assert len(list(tmp_path.glob("f_*.png"))) == 20


def test_a_damaged_manifest_is_no_lock(tmp_path, monkeypatch):
    clip, real = make_clip(tmp_path / "clip.mp4", frames=20), engine.upscale_video
    flags = clip, "-o", tmp_path / "out.mp4", "-s", 2, "--segment", 4
    with monkeypatch.context() as patch:
        patch.setattr(engine, "upscale_video", lambda *a, **k: real(*a, **{**k, "tick": stop_after(11)}))
        assert upscale(*flags).exit_code == 130
    (tmp_path / "out.mp4.parts" / "manifest.json").write_bytes(b"")
    assert "is damaged; start anew with --no-resume" in " ".join(upscale(*flags).stderr.split())
    assert "20 frames" in done(*flags, "--no-resume").stdout


@pytest.mark.parametrize(("target", "there"), [("out.mp4", "out.mp4"), ("f_%d.png", "f_2.png")])
def test_what_appears_while_a_video_is_made_stays(tmp_path, monkeypatch, target, there):
    real = video_plan.plan_videos

    def planned(*arguments, **more):
        plans = real(*arguments, **more)
        (tmp_path / there).write_text("another program's")
        return plans

    monkeypatch.setattr(video_plan, "plan_videos", planned)
    clip = make_clip(tmp_path / "clip.mp4", frames=3)
    result = upscale(clip, "-o", tmp_path / target, "-s", 2)
    assert result.exit_code == 1
    assert "a file of that name appeared meanwhile and stays" in " ".join(result.stderr.split())
    assert (tmp_path / there).read_text() == "another program's"
    monkeypatch.undo()
    assert "3 frames" in done(clip, "-o", tmp_path / target, "-s", 2, "--exists", "overwrite").stdout


def test_on_a_full_disk_no_other_video_is_tried(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for name in ("a.mp4", "b.mp4"):
        make_clip(tmp_path / "in" / name, frames=2)

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("srcli.media.segments.os.fsync", full)
    result = upscale(tmp_path / "in", "-o", tmp_path / "out", "-s", 2)
    told = " ".join(result.stderr.split())
    assert (result.exit_code, told.count("No space left on device")) == (1, 1)
    assert told.endswith("0 upscaled, 1 failed, 1 not tried")


@pytest.mark.parametrize("exists", ["error", "skip"])
def test_a_video_that_another_process_finished_meanwhile_is_not_begun(tmp_path, monkeypatch, exists):
    clip, out = make_clip(tmp_path / "clip.mp4", frames=3), tmp_path / "out.mp4"
    real = video_plan.plan_videos
    with monkeypatch.context() as patch:
        patch.setattr(video_plan, "plan_videos", lambda *a, **k: (real(*a, **k), out.write_text("another process's"))[0])
        patch.setattr(engine._Run, "_compute", lambda *_: pytest.fail("computed for nothing"))
        result = upscale(clip, "-o", out, "-s", 2, "--exists", exists)
    assert result.exit_code == (1 if exists == "error" else 0)
    said = "another run had finished it" if exists == "skip" else "a file of that name appeared meanwhile and stays"
    assert said in " ".join(result.stderr.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip.mp4", "out.mp4"]


def test_a_name_that_leaves_no_room_for_the_folder_of_its_segments_is_refused(tmp_path):
    clip = make_clip(tmp_path / f"{'n' * 246}.mp4", frames=2)
    result = upscale(clip, "-s", 2)  # a _x2 behind it
    assert result.exit_code == 2
    assert "would have a name of 253 bytes, 248 is the most; use --name" in " ".join(result.stderr.split())
    done(clip, "-s", 2, "-o", tmp_path / f"{'n' * 244}.mp4")
    assert (tmp_path / f"{'n' * 244}.mp4").exists()


def test_a_video_that_was_copied_on_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setattr("srcli.engine.watch.REST", 0.01)
    whole = make_clip(tmp_path / "clip.mkv", frames=60).read_bytes()
    clip = tmp_path / "in" / "clip.mkv"
    clip.parent.mkdir()
    clip.write_bytes(whole[: len(whole) // 3])
    counts = []
    real = engine.upscale_video

    def upscaled(*arguments, **more):
        made = real(*arguments, **more)
        counts.append((made.frames, bool(made.error)))
        clip.write_bytes(whole)  # the copy goes on
        return made

    monkeypatch.setattr(engine, "upscale_video", upscaled)
    result = upscale(clip.parent, "-o", tmp_path / "out", "-s", 1, "--watch-idle", 0.1)
    assert [broken for _, broken in counts] == [True, False], result.stderr
    assert counts[0][0] < counts[1][0] == len(decoded(tmp_path / "out" / "clip.mkv")) == 60


def test_a_run_that_kept_nothing_stands_in_the_way_of_no_other(tmp_path, monkeypatch):
    job = make_clip(tmp_path / "clip.mp4", frames=20), "-o", tmp_path / "out.mp4", "-s", 2
    real = engine.upscale_video
    with monkeypatch.context() as patch:
        patch.setattr(engine, "upscale_video", lambda *a, **k: real(*a, **{**k, "tick": stop_after(2)}))
        assert upscale(*job).exit_code == 130
    assert (tmp_path / "out.mp4.parts").exists()
    assert "20 frames in" in done(*job, "--crf", 30).stderr


@pytest.mark.parametrize("name", ["out.mp4", "out_%02d.png"])
def test_a_long_video_begins_with_its_time_unless_it_goes_on(tmp_path, monkeypatch, name):
    monkeypatch.setattr("srcli.engine.forecast._WORTH", 1)
    monkeypatch.setattr("srcli.commands.forecast.LONG", 0)
    job = make_clip(tmp_path / "clip.mp4", frames=20), "-o", tmp_path / name, "-s", 2, "--segment", 4
    real = engine.upscale_video
    with monkeypatch.context() as patch:
        patch.setattr(engine, "upscale_video", lambda *a, **k: real(*a, **{**k, "tick": stop_after(11)}))
        assert "in the network, by one timed tile" in upscale(*job).stderr
    result = done(*job)
    assert "kept from an earlier run" in result.stderr
    assert "in the network" not in result.stderr


def test_a_run_killed_after_all_was_done_only_tidies_up(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mp4")
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "remove", lambda self: None)
        done(clip, "-o", tmp_path / "out.mp4", "-s", 2)
    before = (tmp_path / "out.mp4").stat()
    result = done(clip, "-o", tmp_path / "out.mp4", "-s", 2)
    assert "another run had finished it" in result.stderr
    assert (tmp_path / "out.mp4").stat().st_mtime_ns == before.st_mtime_ns
    assert not (tmp_path / "out.mp4.parts").exists()
    assert upscale(clip, "-o", tmp_path / "out.mp4", "-s", 2).exit_code == 1  # it is there, and whole


def test_equal_frames_are_not_computed_twice(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mkv", codec="ffv1", still=[3, 4, 9])
    calls = []
    real = engine.Resizer.__call__
    monkeypatch.setattr(engine.Resizer, "__call__", lambda self, *a, **k: calls.append(1) or real(self, *a, **k))
    result = done(clip, "-o", tmp_path / "out.mkv", "-s", 2)
    assert len(calls) == 12 - 3
    assert "3 equal to the frame before them and not computed: 25% saved" in result.stderr
    assert len(decoded(tmp_path / "out.mkv")) == 12


@pytest.mark.parametrize("start", ["0.07", "0.1", "0.13"])
def test_a_cut_off_the_frames_of_a_coarse_clock_is_made(tmp_path, start):
    clip = make_clip(tmp_path / "clip.avi", frames=12, codec="ffv1", ticks=1)  # whose clock ticks once a frame
    given = held(clip).times[0]
    done(clip, "-o", tmp_path / "out.mkv", "-s", 1, "--start", start)
    times = held(tmp_path / "out.mkv").times[0]
    assert len(times) == sum(time >= float(start) - 1e-6 for time in given)
    assert 0 <= times[0] < given[1] - given[0]


# Numbered pictures


def test_frames_become_numbered_pictures_and_these_a_video(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=5)
    (tmp_path / "frames").mkdir()
    done(clip, "-o", tmp_path / "frames" / "f_%04d.png", "-s", 2)
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [f"f_000{n}.png" for n in range(1, 6)]
    done(tmp_path / "frames" / "f_%04d.png", "-o", tmp_path / "again.mp4", "-s", 2, "--fps", "30000/1001")
    assert held(tmp_path / "again.mp4").times[0] == pytest.approx([i * 1001 / 30000 for i in range(5)], abs=1e-4)
    assert decoded(tmp_path / "again.mp4")[0].shape == (192, 256, 3)


@pytest.mark.parametrize(("dtype", "made"), [(np.uint8, ("h264", "yuv420p")), (np.uint16, ("hevc", "yuv420p10le"))])
def test_numbered_pictures_become_what_players_play(tmp_path, dtype, made):
    for i in range(2):
        tifffile.imwrite(tmp_path / f"f_{i}.tif", photograph(24, 32, i).astype(dtype) * (257 if dtype == np.uint16 else 1))
    done(tmp_path / "f_%d.tif", "-o", tmp_path / "film.mp4", "-s", 2)
    track = probe_video(tmp_path / "film.mp4").tracks[0]
    assert (track.codec, track.pix_fmt) == made


def test_numbered_float_pictures_with_alpha_become_a_video(tmp_path):
    for number in (1, 2):
        tifffile.imwrite(tmp_path / f"f_{number}.tif", np.full((32, 40, 4), number / 4, np.float32), photometric="rgb")
    done(tmp_path / "f_%d.tif", "-o", tmp_path / "out.mkv", "-s", 2, "--codec", "ffv1")
    ((_, first), (_, second)) = VideoReader(tmp_path / "out.mkv", probe_video(tmp_path / "out.mkv").tracks[0]).frames()
    assert np.abs(first.pixels / 65535 - 0.25).max() < 0.01
    assert np.abs(second.alpha / 65535 - 0.5).max() < 0.01


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_colour_stays_in_its_place(tmp_path, codec):
    x = np.tile(np.arange(96), (64, 1))
    stripes = np.stack([128 + 90 * np.sin(x / 4), 128 - 30 * np.sin(x / 4), 128 + 40 * np.cos(x / 5)], axis=-1).astype(np.uint8)
    Image.fromarray(stripes).save(tmp_path / "f_1.png")
    done(tmp_path / "f_%d.png", "-o", tmp_path / "out.mp4", "-s", 1, "--codec", codec, "--crf", 1)
    ((_, frame),) = VideoReader(tmp_path / "out.mp4", probe_video(tmp_path / "out.mp4").tracks[0]).frames()
    assert np.abs(frame.pixels.astype(float) - stripes).mean() < 1.2  # half a px aside it is 4


@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((0, 1, -1, 0), lambda x: np.rot90(x, -1)),
        ((0, -1, 1, 0), lambda x: np.rot90(x)),
        ((-1, 0, 0, -1), lambda x: np.rot90(x, 2)),
        ((-1, 0, 0, 1), lambda x: x[:, ::-1]),
    ],
)
def test_pictures_and_pipes_get_frames_as_players_show_them(tmp_path, matrix, turn):
    plain, clip = make_clip(tmp_path / "plain.mkv", frames=2, codec="ffv1"), tmp_path / "clip.mkv"
    with av.open(str(plain)) as given, av.open(str(clip), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        a, b, c, d = (value << 16 for value in matrix)
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    done(plain, "-o", tmp_path / "plain_%d.png", "-s", 1)
    result = done(clip, "-o", tmp_path / "turned_%d.png", "-s", 1)
    wanted = turn(np.asarray(Image.open(tmp_path / "plain_1.png")))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "turned_1.png")), wanted)
    assert f"{wanted.shape[1]}x{wanted.shape[0]}  2 frames" in result.stdout
    out = done(clip, "-o", "-", "--format", "rgb", "-s", 1, "--frames", 1).stdout_bytes
    np.testing.assert_array_equal(np.frombuffer(out, np.uint8).reshape(wanted.shape), wanted)


@pytest.mark.parametrize(("name", "alpha"), [("a.gif", False), ("a.webp", True), ("a.png", True)])
def test_an_animation_becomes_a_video(tmp_path, name, alpha):
    clear = np.where(np.arange(32) < 16, 0, 255).astype(np.uint8)[None].repeat(24, 0) if alpha else None
    frames = [Frame(photograph(24, 32, i), clear if i == 0 else None, time) for i, time in enumerate((40.0, 0.0, 70.0))]
    write_animation(Animation(Picture(frames[0].pixels), frames, 0), tmp_path / name, format=name[2:])
    done(tmp_path / name, "-o", tmp_path / "out.mkv", "-s", 2, "--codec", "ffv1")
    assert held(tmp_path / "out.mkv").times == [[0.0, 0.04, 0.14]]  # browsers show the second for 100 ms
    assert probe_video(tmp_path / "out.mkv").tracks[0].pix_fmt == ("yuva420p" if alpha else "yuv420p")
    shown = read_animation(tmp_path / name).frames[0].pixels.astype(np.float64)
    made = decoded(tmp_path / "out.mkv")[0].reshape(24, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(made - shown)[:, 18:].mean() < 12  # the left is transparent, and chroma is a half
    done(tmp_path / name, "-o", tmp_path / "cut.mp4", "-s", 2, "--start", 0.04, "--frames", 1)
    assert held(tmp_path / "cut.mp4").times == [[0.0]]


def test_numbered_pictures_keep_their_numbers(tmp_path):
    for number in (7, 8, 10):
        Image.fromarray(photograph(seed=number)).save(tmp_path / f"in_{number:03d}.png")
    done(tmp_path / "in_%03d.png", "-o", tmp_path / "out_%02d.png", "-s", 2)
    assert sorted(path.name for path in tmp_path.glob("out_*")) == ["out_07.png", "out_08.png", "out_10.png"]
    assert upscale(tmp_path / "no_%03d.png", "-s", 2).exit_code == 1


def test_numbered_pictures_that_are_there_are_skipped_or_left_beside(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=2)
    for number in (1, 7):
        (tmp_path / f"f_{number:02d}.png").write_text("mine")
    assert "1 skipped" in done(clip, "-o", tmp_path / "f_%02d.png", "-s", 1, "--exists", "skip").stderr
    done(clip, "-o", tmp_path / "f_%02d.png", "-s", 1, "--exists", "rename")
    names = ["f_01.png", "f_01_2.png", "f_02_2.png", "f_07.png"]
    assert sorted(path.name for path in tmp_path.glob("f_*")) == names
    assert [(tmp_path / name).read_bytes() == b"mine" for name in names] == [True, False, False, True]


def test_pictures_that_an_earlier_run_leaves_beside_the_new_ones_are_said(tmp_path):
    for number in (1, 2, 3, 4):
        (tmp_path / f"f_{number}.png").write_text("of before")
    result = done(make_clip(tmp_path / "in.mp4", frames=2), "-o", tmp_path / "f_%d.png", "-s", 1, "--exists", "overwrite")
    left = f"2 pictures of before named alike, from '{tmp_path / 'f_3.png'}' on, stay beside the 2 made: remove them"
    assert f"in.mp4: {left}\n" in result.stderr


def test_numbered_pictures_are_packed_as_asked(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=1)
    done(clip, "-o", tmp_path / "loose_%d.png", "-s", 1, "--png-level", 0)
    done(clip, "-o", tmp_path / "tight_%d.png", "-s", 1, "--png-level", 9)
    assert (tmp_path / "tight_1.png").stat().st_size < (tmp_path / "loose_1.png").stat().st_size


def test_what_numbered_pictures_cannot_carry_is_said_once(data, tmp_path):
    clip = data / "video" / "alpha_vp9_vorbis.webm"
    result = done(clip, "-o", tmp_path / "f_%d.jpg", "-s", 1, "--frames", 3)
    assert result.stderr.count("JPEG has no transparency: flattened on white") == 1


def test_a_single_frame_is_one_frame(tmp_path):
    result = done(make_clip(tmp_path / "in.mp4", frames=3), "-o", tmp_path / "out.mp4", "-s", 1, "--frames", 1)
    assert result.stdout == f"{tmp_path / 'out.mp4'}  64x48  1 frame\n"
    assert "in.mp4: 1 frame in " in result.stderr


def test_pictures_whose_alpha_is_lost_are_said(tmp_path):
    for number in range(1, 4):
        shown = photograph() if number == 1 else np.dstack([photograph(), photograph()[..., 0]])
        Image.fromarray(shown).save(tmp_path / f"f_{number}.png")
    result = done(tmp_path / "f_%d.png", "-o", tmp_path / "out.mkv", "-s", 1)
    assert "alpha is lost of 2 pictures: the first has none" in result.stderr


@pytest.mark.parametrize("name", ["f_%d.png", "f.png"])
def test_the_colours_of_pictures_are_those_of_the_video(tmp_path, name):
    icc, gray = linear(), np.full((24, 32, 3), 60, np.uint8)
    images = [Image.fromarray(gray + i) for i in range(2)]
    if "%" in name:
        for number, image in enumerate(images):
            image.save(tmp_path / f"f_{number}.png", icc_profile=icc)
    else:
        images[0].save(tmp_path / name, save_all=True, append_images=images[1:], duration=40, icc_profile=icc)
    result = done(tmp_path / name, "-o", tmp_path / "out.mkv", "-s", 1, "--codec", "ffv1")
    assert np.abs(decoded(tmp_path / "out.mkv")[0].astype(int) - 132).max() < 3  # 60 of 255, linear, is 132 in sRGB
    assert result.stderr.count("colours converted to sRGB through the profile, which is not kept") == 1


@pytest.mark.parametrize(
    ("target", "flags", "value"),
    [("out_%d.png", (), 60), ("out_%d.png", ("--icc", "convert-srgb"), 132), ("out_%d.bmp", (), 132)],
)
def test_frames_of_an_animation_keep_its_colours(tmp_path, target, flags, value):
    images = [Image.fromarray(np.full((24, 32, 3), 60 + i, np.uint8)) for i in range(2)]
    images[0].save(tmp_path / "f.png", save_all=True, append_images=images[1:], duration=40, icc_profile=linear())
    result = done(tmp_path / "f.png", "-o", tmp_path / target, "-s", 1, *flags)
    with Image.open(tmp_path / target.replace("%d", "1")) as image:
        assert np.abs(np.asarray(image).astype(int) - value).max() < 3
        assert bool(image.info.get("icc_profile")) == (value == 60)
    assert ("colours converted to sRGB" in result.stderr) == (value == 132)


def test_what_a_video_loses_of_its_pictures_is_said(tmp_path):
    deep = photograph(24, 32).astype(np.uint16) * 257
    usual = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for number in (1, 2):
        write_image(Picture(deep, icc=usual), tmp_path / f"usual_{number}.png")
        write_image(Picture(deep, icc=linear()), tmp_path / f"deep_{number}.png")
        Image.fromarray(photograph(24, 32)).convert("CMYK").save(tmp_path / f"cmyk_{number}.jpg")
    result = done(tmp_path / "deep_%d.png", "-o", tmp_path / "deep.mp4", "-s", 1)
    said = "not kept, nor the colours converted: the colour profile; convert the pictures to sRGB before"
    assert result.stderr.count(said) == 1
    assert "colour" not in done(tmp_path / "usual_%d.png", "-o", tmp_path / "usual.mp4", "-s", 1).stderr
    assert done(tmp_path / "cmyk_%d.jpg", "-o", tmp_path / "cmyk.mp4", "-s", 1).stderr.count("CMYK converted to RGB") == 1


def test_converting_the_colours_of_a_video_is_said_to_change_nothing(tmp_path):
    clip = make_clip(tmp_path / "in.mp4", frames=1)
    for target in (tmp_path / "out.mp4", "-"):
        result = done(clip, "-o", target, "-s", 1, "--icc", "convert-srgb")
        assert "--icc convert-srgb changes nothing: videos have no colour profile" in result.stderr


# Pipes


def test_y4m_goes_through_a_pipe(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=3, codec="ffv1")
    head = b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg XCOLORRANGE=LIMITED\n"
    body = b"".join(b"FRAME\n" + frame.tobytes() for frame in decoded(clip, format="yuv420p"))
    command = [sys.executable, "-m", "srcli", "upscale", "-", "-o", "-", "-s", "2", "-m", "bicubic"]
    run = subprocess.run(command, input=head + body, capture_output=True, check=False)
    assert run.returncode == 0, run.stderr
    with av.open(io.BytesIO(run.stdout)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 25
    assert [frame.shape for frame in frames] == [(96, 128, 3)] * 3
    small = np.asarray(Image.fromarray(frames[0]).resize((64, 48), Image.Resampling.BOX), float)
    assert np.abs(small - decoded(clip)[0]).mean() < 6


@pytest.mark.parametrize(("format", "said"), [("png", True), ("mkv", False)])
def test_a_format_of_pictures_that_meets_videos_alone_is_said(tmp_path, format, said):
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in" / "clip.mp4", frames=2)
    result = done(tmp_path / "in", "-o", tmp_path / "out", "-s", 1, "--format", format, "--dry-run")
    told = "--format png changes nothing: a video stays one; its frames are written with -o 'NAME_%05d.png'"
    assert (told in result.stderr) is said
    Image.fromarray(photograph(8, 8)).save(tmp_path / "in" / "still.jpg")
    assert "changes nothing" not in done(tmp_path / "in", "-o", tmp_path / "out", "--format", format, "--dry-run").stderr


@pytest.mark.parametrize(
    ("clip", "flags", "said"),
    [
        ({"codec": "ffv1", "pix_fmt": "yuva420p"}, [], ["transparency is lost: a pipe carries none"]),
        (
            {"options": {"x264-params": "transfer=arib-std-b67"}},
            [],
            ["HDR (HLG): upscaled as it is coded; the weights know SDR"],
        ),
        ({"codec": "ffv1", "pix_fmt": "yuv420p16le"}, [], ["16 bits reduced to 10"]),
        ({"codec": "ffv1", "pix_fmt": "yuv420p10le"}, [], []),
        ({"codec": "ffv1", "pix_fmt": "yuv420p10le"}, ["--format", "rgb"], ["10 bits reduced to 8"]),
        (
            {"interlaced": True},
            [],
            ["interlaced: upscaled as it is; --deinterlace mends it", "y4m does not say that the frames are interlaced"],
        ),
        ({"interlaced": True}, ["--deinterlace"], []),
    ],
)
def test_what_a_pipe_does_not_carry_is_said(tmp_path, clip, flags, said):
    result = upscale(make_clip(tmp_path / "in.mkv", frames=2, **clip), "-o", "-", "-s", 1, *flags)
    first, *lines, last = result.stderr.splitlines()
    assert first == "a pipe carries one video, at an even rate and without sound"
    assert lines == said
    assert last.startswith("2 frames in ")


def test_bare_rgb_goes_through_a_pipe_and_a_cut_frame_is_said():
    frames = np.stack([photograph(48, 64, i) for i in range(2)])
    result = upscale("-", "-o", "-", "--raw", "64x48", "-s", 1, input=frames.tobytes() + b"cut")
    assert result.stdout_bytes == frames.tobytes()
    assert result.exit_code == 1
    assert "stdin ends within frame 3" in result.stderr


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--crf", "20"], "--crf is of files: -o - gets frames as y4m or rgb, which are not encoded"),
        (["--codec", "libx264"], "--codec is of files"),
        (["--format", "mp4"], "-o - gets a video's frames as --format y4m or rgb, not as mp4; name a file for mp4"),
        (["--dry-run"], "--dry-run and -o - both write to stdout: choose one"),
    ],
)
def test_flags_of_files_are_refused_where_frames_go_to_stdout(tmp_path, flags, text):
    result = upscale(make_clip(tmp_path / "clip.mkv", frames=2), "-o", "-", *flags)
    assert result.exit_code == 2
    assert text in result.stderr
    assert not result.stdout


def test_a_video_in_the_form_of_a_file_is_refused_where_a_picture_goes_to_stdout(tmp_path):
    result = upscale("-", "-o", "-", input=make_clip(tmp_path / "clip.mkv", frames=2).read_bytes())
    assert (result.stdout_bytes, result.exit_code) == (b"", 2)
    assert "stdin is a video in a file's form: name the file" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
def test_a_full_disk_behind_stdout_is_said_in_one_line(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=4)
    command = [sys.executable, "-m", "srcli", "upscale", str(clip), "-o", "-", "-s", "2", "-m", "bicubic"]
    with Path("/dev/full").open("wb") as full:
        run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    assert run.returncode == 1
    assert run.stderr.decode().splitlines()[-1] == "error: cannot write to stdout: No space left on device"


def test_videos_of_a_folder_do_not_go_to_stdout(tmp_path):
    make_clip(tmp_path / "clip.mkv", frames=2)
    result = upscale(tmp_path, "-o", "-")
    assert (result.exit_code, "-o - takes the frames of one video, named by itself" in result.stderr) == (2, True)


def test_a_coarse_video_to_stdout_says_what_it_goes_through(tmp_path):
    clip = make_clip(tmp_path / "coarse.mp4", frames=2, options={"x264-params": "qp=40:ipratio=1:pbratio=1"})
    report = tmp_path / "r.json"
    flags = ["upscale", str(clip), "-o", "-", "-s", "2", "--format", "rgb", "--report", str(report)]
    result = srcli(*flags)
    how = "taken through standard-video, which removes blocks and ringing (-m rfdn turns that off)"
    assert f"coarse.mp4 was compressed a lot: {how}" in result.stderr
    assert json.loads(report.read_text())["files"][0]["model"] == "standard-video"


def test_frames_of_several_ranks_do_not_share_stdout(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    result = upscale(make_clip(tmp_path / "clip.mkv", frames=2), "-o", "-")
    assert (result.exit_code, "from one process, not from torchrun" in result.stderr) == (2, True)


class Pair(Team):
    """Rank 0 of two, of which the other does as this one, but cannot plan the first video."""

    def gathered(self, item: Any) -> list[Any]:
        return [item, ["a.mkv: stale file handle"] if isinstance(item, list) else item]

    def given(self, item: Any) -> Any:
        return item


def test_a_video_that_one_rank_cannot_plan_fails_on_all(tmp_path, monkeypatch):
    @contextmanager
    def team(*_: object) -> Iterator[Team]:
        yield Pair(0, 2, torch.device("cpu"))

    monkeypatch.setattr("srcli.engine.distributed.team", team)
    monkeypatch.setattr(engine, "upscale_video", lambda *_, **__: pytest.fail("the others wait for ever"))
    result = upscale(make_clip(tmp_path / "a.mkv", frames=2))
    assert result.exit_code == 1
    assert f"error: {tmp_path / 'a.mkv'}: rank 1: a.mkv: stale file handle" in result.stderr.splitlines()


def test_frames_to_stdout_are_deinterlaced_and_reported(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=3, interlaced=True)
    plain = done(clip, "-o", "-", "-s", 1, "--format", "rgb")
    mended = done(clip, "-o", "-", "-s", 1, "--format", "rgb", "--deinterlace", "--report", tmp_path / "r.json")
    assert "interlaced: upscaled as it is; --deinterlace mends it" in plain.stderr
    assert len(mended.stdout_bytes) == len(plain.stdout_bytes) == 3 * 48 * 64 * 3
    assert mended.stdout_bytes != plain.stdout_bytes
    (record,) = json.loads((tmp_path / "r.json").read_text())["files"]
    assert (record["input"]["path"], record["output"]["path"], record["frames"]) == (str(clip), "-", 3)


def test_a_clip_without_a_frame_names_its_file(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=2)
    result = upscale(clip, "-o", "-", "--start", 99)
    assert result.exit_code == 1
    assert f"'{clip}': it ends before --start" in result.stderr


def test_json_tells_what_became_of_a_video(tmp_path):
    result = done(make_clip(tmp_path / "clip.mp4"), "-o", tmp_path / "out.mp4", "-s", 2, "--json")
    record = json.loads(result.stdout)
    assert (record["frames"], record["width"], record["height"], record["status"]) == (12, 128, 96, "done")
    assert record[record["bottleneck"]] == max(record[stage] for stage in ("decode", "network", "encode")) > 0
    (planned,) = done(tmp_path / "clip.mp4", "-o", tmp_path / "other.mp4", "-s", 2, "--json", "--dry-run").stdout.splitlines()
    assert json.loads(planned)["bottleneck"] is None


def test_json_tells_of_a_video_that_cannot_be_read(tmp_path):
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x20ftypisom" + b"\0" * 99)
    result = upscale(tmp_path / "broken.mp4", "-o", tmp_path / "out.mp4", "--json")
    record = json.loads(result.stdout)
    assert (result.exit_code, record["status"], record["output"]) == (1, "failed", str(tmp_path / "out.mp4"))
    assert "cannot be read as a video" in record["error"]


@pytest.mark.parametrize("flags", [("--crf", 0), ("--no-resume",), ("--fps", 12), ("--segment", 9), ("--deinterlace",)])
def test_flags_of_videos_that_meet_none_are_said(tmp_path, flags):
    Image.fromarray(photograph(8, 8)).save(tmp_path / "still.png")
    assert "the flags for videos change nothing" in done(tmp_path / "still.png", *flags).stderr
    assert "flags for videos" not in done(tmp_path / "still.png", "-o", tmp_path / "other.png").stderr


def test_a_rate_for_what_has_one_is_refused(tmp_path):
    result = upscale(make_clip(tmp_path / "clip.mp4"), "-o", tmp_path / "out.mp4", "--fps", 60)
    assert (result.exit_code, (tmp_path / "out.mp4").exists()) == (2, False)
    assert "a video keeps the rate it has" in result.stderr


def test_a_dry_run_writes_nothing(tmp_path):
    result = done(make_clip(tmp_path / "clip.mp4"), "-o", tmp_path / "out.mp4", "-s", 2, "--dry-run")
    assert "out.mp4  128x96  12 frames" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    (tmp_path / "empty.mp4").write_bytes(b"")
    wrong = upscale(tmp_path, "-o", tmp_path / "out", "-s", 2, "--dry-run")
    assert (wrong.exit_code, wrong.stderr.count("error:")) == (1, 1)
    assert f"error: '{tmp_path / 'empty.mp4'}'" in wrong.stderr
