"""Decoding from the middle: the same pictures as from the beginning, and really from the middle where that can be."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from srcli.media.video import Clip, Timed, probe_video
from srcli.media.video_reader import Known, VideoReader, checksum
from tests.clips import BASE, make_clip
from tests.conftest import photograph

FRAMES = 48
UNEVEN = [i * 512 + (i % 5) * 90 for i in range(FRAMES)]
_X264 = "keyint=12:min-keyint=12:scenecut=0"
# name: suffix, codec, options, and whether decoding may begin behind the first frame
KINDS = {
    "h264": (".mp4", "libx264", {"x264-params": f"{_X264}:bframes=3:b-pyramid=normal"}, True),
    "h264 open gop": (".mp4", "libx264", {"x264-params": f"{_X264}:bframes=3:open-gop=1"}, True),
    "h264 open gop ts": (".ts", "libx264", {"x264-params": f"{_X264}:bframes=3:open-gop=1"}, True),
    "h264 refresh": (".mkv", "libx264", {"x264-params": f"{_X264}:intra-refresh=1"}, False),
    "h264 one key frame": (".mp4", "libx264", {"x264-params": "keyint=infinite:scenecut=0"}, False),
    "hevc": (".mkv", "libx265", {"x265-params": f"{_X264}:bframes=3:open-gop=0:log-level=none"}, True),
    "hevc open gop": (".mp4", "libx265", {"x265-params": f"{_X264}:bframes=3:open-gop=1:log-level=none"}, True),
    "mpeg2": (".ts", "mpeg2video", {"g": "12", "bf": "2", "b": "2M"}, True),
    "mpeg4": (".mp4", "mpeg4", {"g": "12", "bf": "2"}, False),
    "vp8": (".webm", "libvpx", {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "8"}, True),
    "vp9": (".webm", "libvpx-vp9", {"g": "12", "auto-alt-ref": "1", "lag-in-frames": "8", "cpu-used": "8"}, True),
    "av1": (".mkv", "libsvtav1", {"g": "12", "preset": "12"}, True),
    "ffv1": (".mkv", "ffv1", {"g": "1"}, True),
    "prores": (".mov", "prores_ks", {}, True),
    "flv": (".flv", "libx264", {"x264-params": _X264}, True),
}


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for clips that several tests read."""
    return tmp_path_factory.mktemp("restart")


def clip_of(folder: Path, kind: str) -> Path:
    """Make the clip of a kind where it is not there yet: a picture that moves, so that frames refer to others."""
    suffix, codec, options, _ = KINDS[kind]
    path = folder / f"{kind}{suffix}"
    if not path.exists():
        pix_fmt = "yuv422p10le" if codec == "prores_ks" else "yuv420p"
        pts = UNEVEN if suffix in (".mp4", ".mkv") else None
        make_clip(
            path,
            frames=FRAMES,
            codec=codec,
            options=options,
            pix_fmt=pix_fmt,
            pts=pts,
            panning=True,
            ticks=1 if codec == "mpeg2video" else 512,
        )
    return path


Numbered = list[tuple[int, Timed]]


def read(path: Path, clip: Clip, before: Numbered, **flags: bool) -> tuple[Numbered, VideoReader]:
    """Read what comes after the frames that an earlier run had."""
    reader = VideoReader(path, probe_video(path).tracks[0], clip, **flags)
    known = Known([frame.pts for _, frame in before], checksum(before[-1][1])) if before else None
    return list(reader.frames(lambda number: number >= len(before), known)), reader


def assert_equal(some: Numbered, all_: Numbered) -> None:
    """Compare numbers, time stamps and px."""
    assert [(n, f.pts, f.duration) for n, f in some] == [(n, f.pts, f.duration) for n, f in all_]
    for (number, frame), (_, whole) in zip(some, all_, strict=True):
        np.testing.assert_array_equal(frame.pixels, whole.pixels, f"frame {number}")


@pytest.mark.parametrize("kind", KINDS)
def test_frames_from_the_middle_are_those_of_a_whole_run(clips, kind):
    path = clip_of(clips, kind)
    whole, _ = read(path, Clip(), [])
    saved = []
    for done in (1, 7, 24, 25, 26, 40, FRAMES):
        rest, reader = read(path, Clip(), whole[:done])
        assert_equal(rest, whole[done:])
        assert (reader.count, reader.damage, reader.notes) == (FRAMES, (), ())
        saved.append(FRAMES - reader.decoded)
    assert (max(saved) >= 24) == KINDS[kind][3]


@pytest.mark.parametrize("kind", KINDS)
def test_start_gives_the_frames_of_a_whole_run(clips, kind):
    path = clip_of(clips, kind)
    whole, _ = read(path, Clip(), [])
    track = probe_video(path).tracks[0]
    with av.open(str(path)) as container:
        begin = Fraction(max(container.start_time or 0, 0), av.time_base)
    for number in (1, 11, 12, 13, 23, 35):
        start = whole[number][1].pts * track.time_base - begin
        some, reader = read(path, Clip(start=start), [])
        assert [f.pts for _, f in some] == [f.pts for _, f in whole[number:]]
        assert all(np.array_equal(a.pixels, b.pixels) for (_, a), (_, b) in zip(some, whole[number:], strict=True))
        assert reader.damage == ()


def test_a_cut_goes_on_in_its_middle(clips):
    path = clip_of(clips, "h264 open gop")
    clip = Clip(start=UNEVEN[14] * BASE, end=UNEVEN[44] * BASE)
    whole, _ = read(path, clip, [])
    rest, reader = read(path, clip, whole[:20])
    assert_equal(rest, whole[20:])
    assert reader.count == 30


def test_deinterlaced_frames_from_the_middle_are_those_of_a_whole_run(tmp_path):
    options = {"flags": "+ildct+ilme", "x264-params": f"tff=1:{_X264}"}
    path = make_clip(tmp_path / "clip.mp4", frames=FRAMES, options=options, panning=True)
    whole, _ = read(path, Clip(), [], deinterlace=True)
    plain, _ = read(path, Clip(), [])
    assert not np.array_equal(whole[30][1].pixels, plain[30][1].pixels)
    for done in (25, 26, 40):
        rest, reader = read(path, Clip(), whole[:done], deinterlace=True)
        assert_equal(rest, whole[done:])
        assert reader.decoded < FRAMES


@pytest.mark.parametrize("kind", ["h264", "vp9"])
def test_a_file_without_an_index_is_read_all_the_same(clips, tmp_path, kind):
    path = tmp_path / "clip.mkv"
    with av.open(str(clip_of(clips, kind))) as given, av.open(str(path), "w", format="matroska", options={"live": "1"}) as out:
        stream = out.add_stream_from_template(given.streams.video[0])
        for packet in given.demux(video=0):
            if packet.size:
                packet.stream = stream
                out.mux(packet)
    assert b"\x1c\x53\xbb\x6b" not in path.read_bytes()  # Matroska's Cues
    whole, _ = read(path, Clip(), [])
    rest, reader = read(path, Clip(), whole[:30])
    assert_equal(rest, whole[30:])
    assert reader.decoded < FRAMES
    some, _ = read(path, Clip(start=Fraction(1)), [])
    assert len(some) == sum(frame.pts >= 1000 for _, frame in whole)
    assert all(np.array_equal(a.pixels, b.pixels) for (_, a), (_, b) in zip(some, whole[-len(some) :], strict=True))


@pytest.mark.parametrize(
    ("stamps", "off"),
    [([0, 512, 1024, 1536], 0), ([0, 512, 1024, 1536], 1), ([0, 512, 1024, 1537], 0), ([7, 8, 9, 10], 0)],
)
def test_frames_that_do_not_come_as_known_are_read_from_the_beginning(tmp_path, stamps, off):
    path = make_clip(tmp_path / "clip.mp4", frames=6, options={"x264-params": "keyint=1"})
    whole, _ = read(path, Clip(), [])
    reader = VideoReader(path, probe_video(path).tracks[0])
    rest = list(reader.frames(lambda number: number >= 4, Known(stamps, checksum(whole[3][1]) + off)))
    assert_equal(rest, whole[4:])
    right = stamps == [frame.pts for _, frame in whole[:4]] and not off
    assert (reader.decoded < 6) == right


def test_a_decoder_that_needs_the_first_packet_gets_it(data):
    path = data / "video" / "cockatoo_720p_yuv444_mp3.mp4"  # by an old x264, of which only the first packet tells
    clip = Clip(frames=90)
    whole, _ = read(path, clip, [])
    rest, _ = read(path, clip, whole[:85])
    assert_equal(rest, whole[85:])
    some, _ = read(path, Clip(start=whole[80][1].pts * probe_video(path).tracks[0].time_base, frames=2), [])
    assert [np.array_equal(a.pixels, b.pixels) for (_, a), (_, b) in zip(some, whole[80:], strict=False)] == [True, True]


@pytest.mark.parametrize("done", [10, 30, 60, 99])
def test_a_file_whose_clock_begins_anew_goes_on_in_either_part(tmp_path, done):
    part = make_clip(tmp_path / "part.ts", frames=50, panning=True, options={"bf": "2", "g": "12"}).read_bytes()
    path = tmp_path / "clip.ts"
    path.write_bytes(part + part)
    whole, first = read(path, Clip(), [])
    rest, reader = read(path, Clip(), whole[:done])
    assert_equal(rest, whole[done:])
    assert (reader.count, reader.anew) == (100, first.anew)


def test_alpha_is_decoded_from_the_beginning(tmp_path):
    path = tmp_path / "clip.webm"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25, options={"g": "4", "cpu-used": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        for i in range(12):
            rgba = np.dstack([photograph(48, 64, i), np.full((48, 64), i * 20, np.uint8)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format="yuva420p")))
        container.mux(stream.encode(None))
    whole, _ = read(path, Clip(), [])
    rest, reader = read(path, Clip(), whole[:10])
    assert_equal(rest, whole[10:])
    assert reader.decoded == 12
