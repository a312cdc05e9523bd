"""A video through the engine: shared by ranks, gone on with, flat in memory, and verified at the end."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from srcli import __version__
from srcli.engine import video as engine
from srcli.engine.distributed import Team
from srcli.engine.resizer import Resizer
from srcli.engine.upscale import Upscaler
from srcli.engine.video import AHEAD, upscale_video
from srcli.engine.video_plan import Choices, VideoDone, measured, plan_video
from srcli.errors import BadFolder, BadVideo, UsageError
from srcli.media import containers, copying, verification
from srcli.media.encoding import CODECS, Wishes
from srcli.media.footprint import disks
from srcli.media.jobs import Box, Job
from srcli.media.segments import Parts, SegmentWriter
from srcli.media.video import LIGHT, MASTERING, Clip, probe_video
from srcli.media.video_reader import VideoReader
from srcli.models import create
from tests.clips import decoded, held, make_clip
from tests.conftest import photograph, small_files
from tests.program import srcli

SRCLI = [sys.executable, "-m", "srcli", "upscale"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "srcli", "upscale"]
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}


def resizer() -> Resizer:
    """Make one of the bicubic network, which needs no weights."""
    return Resizer({2: Upscaler(create("bicubic", 2), device=torch.device("cpu"), precision="fp32")})


def run(clip: Path, target: Path, segment: int = 4, **more: Any) -> VideoDone:
    """Upscale a clip to twice its size."""
    plan = plan_video(Job(clip, target, target.suffix[1:], None, 2), Choices(segment=segment))
    return upscale_video(resizer(), plan, **more)


def assert_same(some: Path, other: Path) -> None:
    """Compare two videos frame by frame, with all else that they hold."""
    for number, (a, b) in enumerate(zip(decoded(some), decoded(other), strict=True)):
        np.testing.assert_array_equal(a, b, f"frame {number}")
    assert held(some) == held(other)


# Ranks


@dataclass(frozen=True, slots=True)
class Threads(Team):
    """Two ranks that are threads of this process."""

    barrier: threading.Barrier = field(default_factory=lambda: threading.Barrier(2, timeout=60))
    box: list[Any] = field(default_factory=lambda: [None])

    def given(self, item: Any) -> Any:
        if self.leads:
            self.box[0] = item
        self.barrier.wait()
        return self.box[0]

    @contextmanager
    def together(self) -> Iterator[None]:
        yield
        self.barrier.wait()


def test_two_ranks_take_every_other_segment_and_join_what_one_process_makes(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mp4", frames=22, tone=True)
    run(clip, tmp_path / "one.mp4")
    shares: dict[int, list[int]] = {}
    add = SegmentWriter.add

    def noting(self: SegmentWriter, number: int, *rest: Any) -> None:
        shares.setdefault(id(self), []).append(number)
        add(self, number, *rest)

    monkeypatch.setattr(SegmentWriter, "add", noting)
    first = Threads(0, 2, torch.device("cpu"))
    second = Threads(1, 2, torch.device("cpu"), first.barrier, first.box)
    other = threading.Thread(target=run, args=(clip, tmp_path / "two.mp4"), kwargs={"team": second})
    other.start()
    done = run(clip, tmp_path / "two.mp4", team=first)
    other.join(60)
    assert done.frames == 22
    assert sorted(shares.values()) == [[0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19], [4, 5, 6, 7, 12, 13, 14, 15, 20, 21]]
    assert_same(tmp_path / "one.mp4", tmp_path / "two.mp4")
    assert not (tmp_path / "two.mp4.parts").exists()


def test_pictures_are_fresh_on_a_rank_that_comes_when_the_folder_is_made(tmp_path, monkeypatch):
    clip, target = make_clip(tmp_path / "clip.mp4", frames=2), tmp_path / "f_%d.png"
    plan = plan_video(Job(clip, target, "png", None, 2, fresh=True), Choices())
    Parts(target, {}).folder.mkdir()  # by rank 0
    seen: list[bool] = []

    def made(run):
        seen.append(run.write.keywords["fresh"])
        return VideoDone(clip, target, "done")

    monkeypatch.setattr(engine._Run, "made", made)
    monkeypatch.setattr(Threads, "given", lambda team, item: True)
    upscale_video(resizer(), plan, team=Threads(1, 2, torch.device("cpu"), threading.Barrier(1)))
    assert seen == [True]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the ranks in /proc")
def test_torchrun_goes_on_after_one_of_its_ranks_was_killed(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=200, tone=True, panning=True, options={"g": "24"})
    flags = ["-m", "bicubic", "-s", "2", "--segment", "5", "--preset", "slower"]
    subprocess.run([*SRCLI, clip, "-o", tmp_path / "one.mp4", *flags], env=ONE_THREAD, check=True, capture_output=True)
    target = tmp_path / "two.mp4"
    command = [*TORCHRUN, clip, "-o", target, *flags]
    with subprocess.Popen(command, env=ONE_THREAD, stderr=subprocess.PIPE, text=True) as killed:
        parts = Parts(target, {}).folder
        while killed.poll() is None and len(list(parts.glob("*.seg"))) < 3:
            time.sleep(0.002)
        ranks = Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
        (second,) = [r for r in ranks if b"\0RANK=1\0" in b"\0" + Path(f"/proc/{r}/environ").read_bytes()]
        os.kill(int(second), signal.SIGKILL)
        killed.communicate(timeout=120)
    assert killed.returncode != 0
    assert not target.exists()
    kept = len(list(parts.glob("*.seg")))
    assert 3 <= kept < 40
    again = subprocess.run(command, env=ONE_THREAD, capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert f"{5 * kept} kept from an earlier run" in again.stderr
    assert_same(tmp_path / "one.mp4", target)


# Going on


def test_a_run_that_goes_on_does_not_decode_what_is_done(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mp4", frames=40, panning=True, options={"g": "6"})
    run(clip, tmp_path / "whole.mp4")

    def stop(progress: engine.Progress) -> None:
        if progress.done > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(clip, tmp_path / "out.mp4", tick=stop)
    readers = []
    frames = VideoReader.frames
    monkeypatch.setattr(VideoReader, "frames", lambda self, *a: readers.append(self) or frames(self, *a))
    done = run(clip, tmp_path / "out.mp4")
    assert done.kept >= 24
    assert readers[-1].decoded <= 40 - 18  # the key frame before lies within the last two segments
    assert_same(tmp_path / "whole.mp4", tmp_path / "out.mp4")


def test_a_fault_of_the_source_is_told_by_the_run_that_goes_on_too(tmp_path):
    clip = make_clip(tmp_path / "clip.mov", frames=40, panning=True, codec="png", pix_fmt="rgb24")
    content = bytearray(clip.read_bytes())
    start = [match.start() for match in re.finditer(b"\x89PNG", content)][10]
    content[start : start + 4] = b"oops"
    clip.write_bytes(content)

    def stop(progress: engine.Progress) -> None:
        if progress.done > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(clip, tmp_path / "out.mkv", tick=stop)
    done = run(clip, tmp_path / "out.mkv")
    assert done.kept >= 24
    assert done.error == run(clip, tmp_path / "whole.mkv").error == "1 of its packets did not decode; what decodes is upscaled"


def stop_late(progress: engine.Progress) -> None:
    """Stop a run of which most is done."""
    if progress.done > 6:
        raise KeyboardInterrupt


def test_numbered_pictures_that_are_done_are_kept_and_counted(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=10)
    plan = plan_video(Job(clip, tmp_path / "f_%02d.jpg", "jpeg", None, 2, video=True), Choices(segment=4))
    with pytest.raises(KeyboardInterrupt):
        upscale_video(resizer(), plan, quality=90, tick=stop_late)
    with pytest.raises(UsageError, match="holds an unfinished run with another quality; repeat its command"):
        upscale_video(resizer(), plan, quality=50)
    there = {path: path.stat().st_mtime_ns for path in tmp_path.glob("f_*.jpg")}
    done = upscale_video(resizer(), plan, quality=90)
    assert done.kept == len(there) >= 7
    assert done.frames == len(list(tmp_path.glob("f_*.jpg"))) == 10
    assert all(path.stat().st_mtime_ns == time for path, time in there.items())


def test_a_run_in_another_precision_is_not_gone_on_with(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mp4", frames=10)
    with pytest.raises(KeyboardInterrupt):
        run(clip, tmp_path / "out.mp4", tick=stop_late)
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "resizer", lambda: Resizer({2: Upscaler(create("bicubic", 2), device="cpu")}))
        with pytest.raises(UsageError, match="holds an unfinished run with another precision asked for"):
            run(clip, tmp_path / "out.mp4")
    monkeypatch.setattr(Upscaler, "choose", lambda self, pixels: "bf16")  # as after a video that proved it
    assert run(clip, tmp_path / "out.mp4").precision == "fp32"


def test_an_unfinished_run_of_another_srcli_is_not_gone_on_with(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=10)
    with pytest.raises(KeyboardInterrupt):
        run(clip, tmp_path / "out.mp4", tick=stop_late)
    manifest = tmp_path / "out.mp4.parts" / "manifest.json"
    manifest.write_text(manifest.read_text().replace(__version__, "0.0.1"))
    with pytest.raises(BadVideo, match=r"holds an unfinished run of another srcli; .* --no-resume"):
        run(clip, tmp_path / "out.mp4")


@pytest.mark.skipif(sys.platform == "win32", reason="has no locks of folders")
def test_two_processes_do_not_work_on_one_result(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=10)
    errors = []

    def meddle(progress: engine.Progress) -> None:
        with pytest.raises(BadFolder) as caught:  # locks are of open files, so that one process can hold two
            run(clip, tmp_path / "out.mp4")
        errors.append(str(caught.value))

    done = run(clip, tmp_path / "out.mp4", tick=meddle)
    assert (done.kept, len(decoded(tmp_path / "out.mp4"))) == (0, 10)
    assert {*errors} == {f"another process is at work on '{tmp_path / 'out.mp4'}'"}


def two_tracks(path: Path) -> Path:
    """Write a video of two tracks, of 20 and of 10 frames."""
    plain = make_clip(path.with_name("plain.mkv"), frames=20, codec="ffv1")
    with av.open(str(plain)) as given, av.open(str(path), "w") as out:
        streams = [out.add_stream_from_template(given.streams.video[0]) for _ in range(2)]
        for number, packet in enumerate(p for p in given.demux(video=0) if p.size):
            for stream in streams[: 2 if number < 10 else 1]:
                packet.stream = stream
                out.mux(packet)
    return path


def test_a_track_that_ends_before_the_clip_is_left_out_and_said(tmp_path):
    clip = two_tracks(tmp_path / "clip.mkv")
    plan = plan_video(Job(clip, tmp_path / "out.mkv", "mkv", None, 2), Choices(clip=Clip(start=Fraction(1, 2))))
    done = upscale_video(resizer(), plan)
    assert "video 1: it ends before --start; it is left out" in done.notes
    assert [len(times) for times in held(tmp_path / "out.mkv").times] == [7]


def test_a_clip_without_a_frame_leaves_nothing_behind(tmp_path):
    clip = two_tracks(tmp_path / "clip.mkv")
    plan = plan_video(Job(clip, tmp_path / "out.mkv", "mkv", None, 2), Choices(clip=Clip(start=Fraction(99))))
    with pytest.raises(BadVideo, match="it ends before --start"):
        upscale_video(resizer(), plan)
    assert not (tmp_path / "out.mkv.parts").exists()


# Memory


def test_frames_in_flight_are_bounded(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mp4", frames=60, panning=True)
    given, taken, most = [], [], [0]
    frames, add = VideoReader.frames, SegmentWriter.add

    def giving(self: VideoReader, *rest: Any) -> Iterator[Any]:
        for item in frames(self, *rest):
            given.append(item[0])
            most[0] = max(most[0], len(given) - len(taken))
            yield item

    def slowly(self: SegmentWriter, number: int, *rest: Any) -> None:
        time.sleep(0.004)  # the decoder could be far ahead
        add(self, number, *rest)
        taken.append(number)

    monkeypatch.setattr(VideoReader, "frames", giving)
    monkeypatch.setattr(SegmentWriter, "add", slowly)
    run(clip, tmp_path / "out.mp4")
    assert len(taken) == 60
    assert AHEAD < most[0] <= 2 * AHEAD + 4  # those that wait, and one in each of the three hands and between them


@pytest.mark.slow
def test_a_long_video_takes_no_more_memory_than_a_short_one(tmp_path):
    code = (
        "import resource, sys; from srcli.cli import app\n"
        "try: app(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    peaks = []
    for frames in (60, 460):
        clip = make_clip(tmp_path / f"{frames}.mp4", frames=frames, height=240, width=320, panning=True)
        flags = ["-m", "bicubic", "-s", "1", "--segment", "50", "--preset", "ultrafast", "-q"]
        command = [sys.executable, "-c", code, "upscale", str(clip), "-o", str(tmp_path / f"out{frames}.mp4"), *flags]
        peaks.append(
            int(subprocess.run(command, env=ONE_THREAD, check=True, capture_output=True, text=True).stdout.split()[-1])
        )
    assert peaks[1] - peaks[0] < 40  # MiB; 400 more decoded frames are 88


# The verification at the end


def test_a_result_that_lacks_a_frame_fails_and_nothing_is_lost(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mp4", frames=10)
    before = clip.read_bytes()
    (tmp_path / "out.mp4").write_bytes(b"an earlier result")
    packets = containers._video_packets
    with monkeypatch.context() as patch:
        patch.setattr(containers, "_video_packets", lambda *a: islice(packets(*a), 9))
        with pytest.raises(BadVideo, match="the result has 9 frames, the source 10"):
            run(clip, tmp_path / "out.mp4")
    assert clip.read_bytes() == before
    assert (tmp_path / "out.mp4").read_bytes() == b"an earlier result"
    done = run(clip, tmp_path / "out.mp4")  # what was computed is still there
    assert done.kept == 10
    assert len(decoded(tmp_path / "out.mp4")) == 10


def _late(packets: Iterator[Any]) -> Iterator[Any]:
    for number, packet in enumerate(packets):
        packet.pts += 300 * (number == 3)
        yield packet


def _longer(packets: Iterator[Any]) -> Iterator[Any]:
    for packet in packets:
        packet.duration *= 9
        yield packet


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (_late, r"a frame of the result is shown 0\.0234 s beside its time"),
        (_longer, r"the result ends 0\.320 s beside the source"),
    ],
)
def test_a_result_with_other_times_fails(tmp_path, monkeypatch, change, text):
    clip = make_clip(tmp_path / "clip.mp4", frames=10)
    packets = containers._video_packets
    monkeypatch.setattr(containers, "_video_packets", lambda *a: change(packets(*a)))
    with pytest.raises(BadVideo, match=text):
        run(clip, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.parametrize("source", ["clip.mp4", "clip.mkv"])
@pytest.mark.parametrize("target", ["out.mp4", "out.mkv"])
@pytest.mark.parametrize("frames", ["0", "3"])
def test_a_pause_near_the_end_is_kept(tmp_path, source, target, frames):
    pts = [(i + 40 * (i > 20)) * 512 for i in range(40)]
    clip = make_clip(tmp_path / source, frames=40, pts=pts, options={"bf": frames})
    run(clip, tmp_path / target, segment=40)
    assert held(tmp_path / target).times[0] == pytest.approx(held(clip).times[0], abs=0.0005)


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_sound_stays_with_the_picture_where_the_clock_begins_anew(tmp_path, name):
    part = make_clip(tmp_path / "part.ts", frames=50, tone=True).read_bytes()
    clip = tmp_path / "clip.ts"
    clip.write_bytes(part * 3)
    run(clip, tmp_path / name)
    after = held(tmp_path / name)
    assert after.times[0] == pytest.approx([after.times[0][0] + i / 25 for i in range(150)], abs=0.001)
    (sound,) = after.sound
    assert all(0 < b - a < 0.15 for a, b in pairwise(sound))
    assert sound[-1] + 0.064 == pytest.approx(after.times[0][-1] + 0.04, abs=0.15)


def by_the_clock(path: Path, hours: int) -> Path:
    """Write a video of 20 frames and its sound into an MPEG-TS, whose time stamps begin at so many hours."""
    with av.open(str(make_clip(path.with_name("early.mp4"), frames=20, tone=True))) as given, av.open(str(path), "w") as out:
        streams = [out.add_stream_from_template(stream) for stream in given.streams]
        for packet in (p for p in given.demux() if p.size):
            later = round(hours * 3600 / packet.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts + later, packet.dts + later, streams[packet.stream.index]
            out.mux(packet)
    return path


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_a_broadcast_begins_at_zero_and_its_sound_stays_with_it(tmp_path, name):
    clip = by_the_clock(tmp_path / "clip.ts", hours=10)
    run(clip, tmp_path / name)
    (times,), (sound,) = held(clip).times, held(clip).sound
    begin = min(times[0], sound[0])
    assert begin == pytest.approx(36000, abs=0.1)
    assert held(tmp_path / name).times[0] == pytest.approx([time - begin for time in times], abs=0.001)
    assert held(tmp_path / name).sound[0] == pytest.approx([time - begin for time in sound], abs=0.001)


@pytest.mark.parametrize(("start", "end"), [("0", "3"), ("2", "3"), ("3", None), ("4.5", None)])
def test_a_cut_where_the_clock_begins_anew_keeps_its_sound(tmp_path, start, end):
    part = make_clip(tmp_path / "part.ts", frames=50, tone=True).read_bytes()
    clip, target = tmp_path / "clip.ts", tmp_path / "out.mkv"
    clip.write_bytes(part * 3)
    cut = Clip(Fraction(start), Fraction(end) if end else None)
    upscale_video(resizer(), plan_video(Job(clip, target, "mkv", None, 2), Choices(clip=cut)))
    (times,), (sound,) = held(target).times, held(target).sound
    assert sound[0] == pytest.approx(times[0], abs=0.15)
    assert sound[-1] + 0.064 == pytest.approx(times[-1] + 0.04, abs=0.2)


@pytest.mark.parametrize(("back", "left_out"), [(0.2, 0.2), (0.6, 0.6), (9, 1.0)])
def test_sound_that_falls_back_by_itself_goes_on_when_it_has_caught_up(tmp_path, back, left_out):
    def packets() -> Iterator[Any]:
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                late = packet.dts * packet.time_base > 1
                packet.pts = packet.dts = packet.dts - late * round(back / packet.time_base)
                yield packet

    silenced: dict[int, Fraction] = {}
    with av.open(str(make_clip(tmp_path / "clip.mkv", frames=50, tone=True))) as source:
        times = [
            float(packet.dts * packet.time_base) for packet in copying._continued(packets(), (), cut=False, silenced=silenced)
        ]
    assert times == sorted(set(times))
    assert times[-1] == pytest.approx(2 - left_out if back < 1 else 1, abs=0.15)
    assert [float(seconds) for seconds in silenced.values()] == [pytest.approx(left_out, abs=0.1)]
    assert list(silenced) == [1]


def test_the_title_of_a_track_goes_along(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", tone=True)
    with av.open(str(clip)) as given, av.open(str(tmp_path / "named.mp4"), "w") as named:
        streams = {stream.index: named.add_stream_from_template(stream) for stream in given.streams}
        streams[1].metadata.update(title="Commentary", language="deu")
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                named.mux(packet)
    for name, title in (("out.mp4", "name"), ("out.mkv", "title")):
        assert run(tmp_path / "named.mp4", tmp_path / name).notes == ()
        with av.open(str(tmp_path / name)) as made:
            assert made.streams[1].metadata[title] == "Commentary"
            assert made.streams[1].metadata["language"] in ("deu", "ger")


def test_languages_that_quicktime_has_no_code_for_are_said():
    assert containers._of_stream({"language": "deu"}, "mov") == {"language": "ger"}
    assert containers._of_stream({"language": "deu"}, "mp4") == {"language": "deu"}
    assert verification._lost_languages([None, "pt-BR", "ger", "und"], ["und", "und", "ger", "und"]) == ["pt-BR"]


def test_a_subtitle_ends_with_the_cut(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=50, subtitles=[(200, 1900, "long")])
    cut = Clip(Fraction(0), Fraction(1, 2))
    upscale_video(resizer(), plan_video(Job(clip, tmp_path / "out.mkv", "mkv", None, 2), Choices(clip=cut)))
    with av.open(str(tmp_path / "out.mkv")) as made:
        (packet,) = [packet for packet in made.demux(made.streams.subtitles[0]) if packet.size]
        assert (packet.pts + packet.duration) * packet.time_base == pytest.approx(0.52, abs=0.01)  # of the last frame


def test_a_picture_that_begins_late_is_whole(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=20, pts=[(75 + i) * 512 for i in range(20)])
    assert probe_video(clip).tracks[0].seconds == pytest.approx(0.8, abs=0.05)
    made = run(clip, tmp_path / "out.mkv")
    assert (made.frames, made.error) == (20, None)


def test_frames_before_the_first_key_frame_are_counted(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=30, options={"g": "10", "bf": "0", "sc_threshold": "0"})
    with av.open(str(clip)) as given, av.open(str(tmp_path / "mid.mkv"), "w") as made:
        stream = made.add_stream_from_template(given.streams.video[0])
        for number, packet in enumerate(given.demux(video=0)):
            if packet.dts is not None and number > 5:
                packet.stream = stream
                made.mux(packet)
    done = run(tmp_path / "mid.mkv", tmp_path / "out.mkv")
    assert "left out: 4 frames before the first key frame, which cannot be decoded" in done.notes
    assert done.frames == 20


def test_gray_of_unsaid_range_keeps_its_contrast(tmp_path):
    ramp = np.repeat(np.arange(0, 256, 4, dtype=np.uint8)[None], 48, 0)
    with av.open(str(tmp_path / "clip.mkv"), "w") as made:
        video = made.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "gray"
        for number in range(2):
            frame = av.VideoFrame.from_ndarray(ramp, "gray")
            frame.pts = number
            made.mux(video.encode(frame))
        made.mux(video.encode(None))
    plan = plan_video(Job(tmp_path / "clip.mkv", tmp_path / "out.mkv", "mkv", None, 1), Choices())
    upscale_video(resizer(), plan)
    shown = decoded(tmp_path / "out.mkv")[0][24, :, 0].astype(int)
    assert np.abs(shown - ramp[0]).max() < 6


@pytest.mark.parametrize(
    ("target", "scale", "said"),
    [
        ("out.mkv", 1, ("64 x 48 px is its size already: encoded anew all the same, without the network",)),
        ("out.mkv", Box(min_side=48), ("64 x 48 px is its size already: encoded anew all the same, without the network",)),
        ("out.mkv", Box(width=32), ("32 x 24 px is smaller than it is: resampled, without the network",)),
        (
            "f_%d.png",
            1,
            (
                "64 x 48 px is its size already: written anew all the same, without the network",
                "pictures carry neither time stamps nor sound",
            ),
        ),
        ("out.mkv", 2, ()),
    ],
)
def test_a_video_that_is_not_enlarged_is_said(tmp_path, target, scale, said):
    clip = make_clip(tmp_path / "clip.mkv", frames=1)
    assert plan_video(Job(clip, tmp_path / target, target[-3:], None, scale), Choices()).notes == said


@pytest.mark.parametrize(("numbers", "said"), [((3, 4, 7), "2 numbers"), ((3, 5, 6), "1 number")])
def test_numbers_that_are_missing_are_said(tmp_path, numbers, said):
    for number in numbers:
        Image.fromarray(photograph(24, 32)).save(tmp_path / f"f_{number:03d}.png")
    done = run(tmp_path / "f_%03d.png", tmp_path / "out.mkv")
    assert f"{said} missing between the first and the last: the frames follow without a pause" in done.notes


def test_a_subtitle_that_is_not_utf8_takes_nothing_along(tmp_path):
    words = [(0, 200, "one"), (300, 500, "twoe"), (600, 900, "three")]
    clip = make_clip(tmp_path / "clip.mkv", frames=25, tone=True, subtitles=words)
    clip.write_bytes(clip.read_bytes().replace(b"twoe", b"tw\xe9e"))
    notes = run(clip, tmp_path / "out.mp4").notes
    assert "stream 2: subtitles that are not UTF-8, read as Windows-1252: 1" in notes
    after = held(tmp_path / "out.mp4")
    assert after.texts == [["one", "tw\xe9e", "three"]]
    assert after.sound[0][-1] == pytest.approx(0.95, abs=0.1)


def test_damaged_subtitles_are_counted(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=25, subtitles=[(0, 200, "one"), (300, 500, "twoe")])
    clip.write_bytes(clip.read_bytes().replace(b"twoe", b"tw\xe9e"))  # its length stands before it: nothing is guessed
    assert "stream 1: subtitles that are damaged, left out: 1" in run(clip, tmp_path / "out.mkv").notes
    ((text,),) = held(tmp_path / "out.mkv").texts
    assert "one" in text


def test_tags_that_are_not_utf8_cost_no_sound_and_no_cover(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", tone=True, cover=True, metadata={"title": "Cafe noir"})
    clip.write_bytes(clip.read_bytes().replace(b"Cafe noir", b"Caf\xe9 noir"))
    assert run(clip, tmp_path / "out.mkv").notes == ()
    after = held(tmp_path / "out.mkv")
    assert (after.kinds, after.metadata["title"]) == (["video", "audio", "video"], "Caf\ufffd noir")


@pytest.mark.parametrize("name", ["clip.mkv", "clip.mp4"])
def test_sound_that_is_cut_short_is_told(tmp_path, monkeypatch, name):
    clip = make_clip(tmp_path / name, frames=20, tone=True)
    assert run(clip, tmp_path / f"whole {name}").notes == ()
    measured = containers._measured

    def forgetful(packets, sounds):
        return (p for p in measured(packets, sounds) if p.stream.type != "audio" or p.pts * p.time_base < 0.4)

    monkeypatch.setattr(containers, "_measured", forgetful)
    (note,) = run(clip, tmp_path / f"cut {name}").notes
    assert re.match(r"sound track 1 lasts 0\.\d+ s in the result, but 0\.\d+ s were copied: listen to its end", note)


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4", "out.mov", "out.webm"])
def test_the_shape_of_the_pixels_is_kept_or_said_to_be_lost(tmp_path, name):
    clip = make_clip(tmp_path / "clip.mp4", aspect=Fraction(16, 15))
    notes = run(clip, tmp_path / name).notes
    kept = probe_video(tmp_path / name).tracks[0].aspect
    assert (kept, notes) == (Fraction(16, 15), ()) or any("loses the shape" in note for note in notes)


def test_pixels_of_another_shape_than_the_source_s_are_told(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mp4", aspect=Fraction(16, 15))
    monkeypatch.setitem(CODECS, "ffv1", CODECS["ffv1"]._replace(shape=True))
    plan = plan_video(Job(clip, tmp_path / "out.mkv", "mkv", None, 2), Choices(Wishes("ffv1")))
    (note,) = upscale_video(resizer(), plan).notes
    assert note == "the pixels have the shape 1 in the result, 16/15 in the source: please report this"


HDR10 = "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"


@pytest.mark.parametrize("name", ["out.mkv", "out.mp4"])
def test_hdr10_metadata_goes_along_with_x265(tmp_path, name):
    params = {"x265-params": f"log-level=none:{HDR10}"}
    clip = make_clip(tmp_path / "clip.mp4", codec="libx265", pix_fmt="yuv420p10le", options=params)
    assert run(clip, tmp_path / name).notes == ()
    before, after = (probe_video(path).tracks[0].side for path in (clip, tmp_path / name))
    assert before == after
    assert list(after) == [MASTERING, LIGHT]


def test_hdr10_metadata_that_is_lost_is_said(tmp_path):
    params = {"x265-params": f"log-level=none:colorprim=9:transfer=16:{HDR10}"}
    clip = make_clip(tmp_path / "clip.mp4", codec="libx265", pix_fmt="yuv420p10le", options=params)
    notes = plan_video(Job(clip, tmp_path / "out.webm", "webm", None, 2), Choices()).notes
    assert notes == (
        "libsvtav1 is not given what the frames carry: mastering display, light levels",
        "HDR (PQ): upscaled as it is coded; the weights know SDR",
    )
    notes = plan_video(Job(clip, tmp_path / "f_%d.png", "png", None, 2), Choices()).notes
    assert notes == (
        "HDR (PQ): upscaled as it is coded; the weights know SDR",
        "pictures carry neither time stamps nor sound",
        "pictures are taken for sRGB, but hold the values of the frames, which are BT.2020, PQ",
        "pictures are not given what the frames carry: mastering display, light levels",
    )


def test_closed_captions_that_are_lost_are_said(tmp_path):
    plain, clip = make_clip(tmp_path / "plain.mkv", frames=2), tmp_path / "clip.mkv"
    caption = b"\xb5\x00\x31GA94\x03\xc1\xff\xfc\x94\x20\xff"  # ATSC A/53, part 4: one pair of bytes of field 1
    unit = bytes([6, 4, len(caption)]) + caption + b"\x80"  # SEI of user data
    with av.open(str(plain)) as given, av.open(str(clip), "w") as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                more = av.Packet(len(unit).to_bytes(4) + unit + bytes(packet))
                more.pts, more.dts, more.time_base = packet.pts, packet.dts, packet.time_base
                more.is_keyframe, more.stream = packet.is_keyframe, stream
                out.mux(more)
    notes = plan_video(Job(clip, tmp_path / "out.mkv", "mkv", None, 2), Choices()).notes
    assert notes == ("libx264 is not given what the frames carry: closed captions",)


def test_a_result_without_one_of_the_streams_fails_with_exit_1(tmp_path, monkeypatch):
    clip = make_clip(tmp_path / "clip.mkv", frames=10, tone=True)
    monkeypatch.setattr(containers._Plan, "kinds", property(lambda self: ["video", "audio", "audio"]))
    result = srcli("upscale", clip, "-o", tmp_path / "out.mkv", "-m", "bicubic", "-s", "2")
    assert result.exit_code == 1
    assert "the result has the streams video, audio instead of video, audio, audio: please report this" in result.stderr
    assert not (tmp_path / "out.mkv").exists()


@pytest.mark.parametrize("frames", [0, 3])
def test_a_second_track_that_does_not_decode_is_said_and_left_out(tmp_path, frames):
    clip = tmp_path / "clip.mkv"
    plain = make_clip(tmp_path / "plain.mkv", frames=6)
    with av.open(str(plain)) as given, av.open(str(clip), "w") as out:
        good, bad = (out.add_stream_from_template(given.streams.video[0]) for _ in range(2))
        for number, packet in enumerate(given.demux(video=0)):
            if packet.size:
                junk = av.Packet(b"\x00\x00\x00\x05\x1fjunk")
                junk.pts, junk.dts, junk.time_base, junk.stream = packet.pts, packet.dts, packet.time_base, bad
                packet.stream = good
                out.mux([packet, junk] if number < frames else packet)
    done = run(clip, tmp_path / "out.mkv")
    assert done.notes == ("stream 1 (video, h264) has no frame to upscale, and is left out",)
    assert held(tmp_path / "out.mkv").kinds == ["video"]


@pytest.mark.parametrize("codec", ["libx264", "ffv1"])
def test_a_video_takes_a_third_to_all_of_the_disk_that_was_estimated(tmp_path, codec):
    job = Job(make_clip(tmp_path / "clip.mkv", frames=12, panning=True), tmp_path / "out.mkv", "mkv", None, 2)
    plan = plan_video(job, Choices(Wishes(codec=codec)))
    upscale_video(resizer(), plan)
    (disk,) = disks(measured(plan))
    taken = 2 * job.target.stat().st_size  # with the segments that it was joined from
    assert taken < disk.needed < 3 * taken


def test_a_disk_that_fills_up_while_mkv_is_joined_is_said_in_one_line(tmp_path):
    clip = make_clip(tmp_path / "clip.mkv", frames=30, codec="ffv1", height=96, width=128)
    target = tmp_path / "out.mkv"
    flags = ["upscale", clip, "-o", target, "-m", "bicubic", "-s", "1", "--codec", "ffv1", "--segment", "3"]
    with small_files(clip.stat().st_size // 2):  # the segments are a tenth of it
        full = srcli(*flags)
    assert (full.exit_code, full.stderr.count("cannot write"), full.stderr.count("joined.mkv")) == (1, 1, 1)
    assert not (tmp_path / "out.mkv.parts" / "joined.mkv").exists()
    again = srcli(*flags)
    assert "30 kept from an earlier run" in again.stderr
    assert len(decoded(target)) == 30


def test_where_the_track_does_not_say_its_frames_are_those_of_the_files_duration(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=12)
    plan = plan_video(Job(clip, tmp_path / "out.mp4", "mp4", None, 2, None, video=True), Choices())
    assert plan.frames == 12
    silent = replace(plan.tracks[0], source=replace(plan.tracks[0].source, frames=0, seconds=None))
    plan = replace(plan, tracks=(silent,))
    assert plan.frames == 12
    assert [job.frames for job in measured(plan)] == [12]
    assert replace(plan, video=replace(plan.video, seconds=None)).frames == 0
