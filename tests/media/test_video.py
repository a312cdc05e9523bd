"""Videos to frames: time stamps, colours, depth, alpha, interlaced and damaged sources."""

import re
import struct
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import Interpolation

from srcli.errors import BadVideo
from srcli.media.sniff import is_video
from srcli.media.video import MATRICES, Clip, Colors, probe_video
from srcli.media.video_reader import VideoReader
from tests.clips import make_clip
from tests.conftest import photograph

# Kr and Kb of the matrices, from ITU-R BT.601, BT.709, BT.2020, SMPTE 240M and FCC
WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 5: (0.299, 0.114), 6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593)}


def reader(path: Path, clip: Clip | None = None, **flags: bool) -> VideoReader:
    """Open the first track."""
    return VideoReader(path, probe_video(path).tracks[0], clip or Clip(), **flags)


def times(path: Path, clip: Clip | None = None) -> list[int]:
    """List the time stamps that are read."""
    return [frame.pts for _, frame in reader(path, clip).frames()]


def yuv(rgb: np.ndarray, matrix: int, full: bool) -> np.ndarray:
    """Convert (H, W, 3) in [0, 1] to (3, H, W) uint8 by the standards' formula."""
    kr, kb = WEIGHTS[matrix]
    r, g, b = np.moveaxis(rgb, -1, 0)
    y = kr * r + (1 - kr - kb) * g + kb * b
    u, v = (b - y) / (2 * (1 - kb)), (r - y) / (2 * (1 - kr))
    luma, chroma, black = (255, 255, 0) if full else (219, 224, 16)
    return np.rint(np.stack([y * luma + black, u * chroma + 128, v * chroma + 128])).astype(np.uint8)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", MATRICES)
def test_colours_follow_the_matrix_and_the_range(tmp_path, matrix, full):
    rgb = photograph(32, 48) / 255
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 2 if full else 1
        container.mux(stream.encode(av.VideoFrame.from_ndarray(yuv(rgb, matrix, full), "yuv444p")))
        container.mux(stream.encode(None))
    (_, frame), *_ = reader(path).frames()
    assert np.abs(frame.pixels - rgb * 255).max() <= 2.5  # 8 bits of YUV are coarser than those of RGB


@pytest.mark.parametrize(
    ("height", "width", "matrix"),
    [(480, 854, 6), (576, 720, 6), (720, 1280, 1), (272, 1280, 1), (1080, 1080, 1)],
)
def test_an_unnamed_matrix_is_guessed_by_the_size(height, width, matrix):
    assert Colors().conversion(height, width) == (matrix, 1)


def test_uneven_time_stamps_are_kept(tmp_path):
    pts = [0, 300, 1000, 1001, 5000, 5512]
    assert times(make_clip(tmp_path / "clip.mp4", frames=6, pts=pts)) == pts


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_frame_lasts_until_the_next(tmp_path, name):
    pts = [(i + 40 * (i > 5)) * 512 for i in range(12)]
    source = reader(make_clip(tmp_path / name, pts=pts, options={"bf": "3"}))
    frames = [frame for _, frame in source.frames()]
    assert all(a.pts + a.duration == b.pts for a, b in pairwise(frames))


def test_ten_bits_arrive_as_sixteen(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", codec="ffv1", pix_fmt="yuv444p10le", frames=1)
    (_, frame), *_ = reader(path).frames()
    assert frame.pixels.dtype == np.uint16
    assert np.abs(frame.pixels / 257 - photograph(48, 64, 1)).mean() < 1


def test_alpha_of_vp9_is_read(tmp_path):
    path = tmp_path / "clip.webm"
    rgba = np.dstack([photograph(48, 64), np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))])
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=25, options={"lossless": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuva420p"
        stream.metadata["alpha_mode"] = "1"
        frame = av.VideoFrame.from_ndarray(rgba, "rgba").reformat(format="yuva420p", interpolation=Interpolation.BICUBIC)
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    (_, read), *_ = reader(path).frames()
    np.testing.assert_allclose(read.alpha, rgba[..., 3], atol=1)  # swscale rounds on the way in


def test_interlaced_is_told_and_mended_frame_by_frame(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", interlaced=True)
    assert probe_video(path).tracks[0].interlaced
    plain = list(reader(path).frames())
    mended = list(reader(path, deinterlace=True).frames())
    assert [frame.pts for _, frame in mended] == [frame.pts for _, frame in plain]
    assert any(not np.array_equal(a.pixels, b.pixels) for (_, a), (_, b) in zip(plain, mended, strict=True))


@pytest.mark.parametrize(
    ("clip", "wanted"),
    [
        (Clip(frames=3), range(3)),
        (Clip(start=4 * 512 / Fraction(12800)), range(4, 12)),
        (Clip(end=5 * 512 / Fraction(12800)), range(5)),
    ],
)
def test_a_clip_takes_the_frames_within(tmp_path, clip, wanted):
    path = make_clip(tmp_path / "clip.mp4")
    assert times(path, clip) == [i * 512 for i in wanted]


def test_frames_that_are_not_wanted_are_counted_but_not_given(tmp_path):
    source = reader(make_clip(tmp_path / "clip.mp4"))
    assert [number for number, _ in source.frames(lambda number: number % 5 == 0)] == [0, 5, 10]
    assert source.count == 12


def test_a_truncated_file_gives_what_decodes_and_says_so(tmp_path):
    path = make_clip(tmp_path / "clip.mkv", frames=60, codec="ffv1")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    source = reader(path)
    frames = list(source.frames())
    assert 10 < len(frames) < 60
    assert source.damage


def test_a_file_that_shows_a_part_of_its_frames_is_whole(tmp_path):
    path = make_clip(tmp_path / "clip.mp4", frames=100)
    content = bytearray(path.read_bytes())
    at = content.index(b"elst") + 12
    content[at : at + 4] = struct.pack(">I", struct.unpack(">I", content[at : at + 4])[0] // 2)
    path.write_bytes(content)
    source = reader(path)
    assert len(list(source.frames())) == 50
    assert not source.damage


def avi(path: Path, dropped: Sequence[int]) -> Path:
    """Write an AVI of 100 frames at 25 a second, without some of them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25, options={"g": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in sorted({*range(100)} - {*dropped}):
            frame = av.VideoFrame.from_ndarray(photograph(48, 64, number), "rgb24").reformat(format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("keyint", [12, 250])
def test_b_frames_of_avi_come_at_an_even_rate(tmp_path, keyint):
    path = make_clip(tmp_path / "clip.avi", frames=30, ticks=1, options={"bf": "3", "x264-params": f"keyint={keyint}"})
    source = reader(path)
    assert [frame.pts for _, frame in source.frames()] == list(range(1, 31))
    assert not source.notes


def test_a_damaged_packet_in_avi_puts_no_later_frame_off(tmp_path):
    path = make_clip(tmp_path / "clip.avi", frames=40, ticks=1, options={"bf": "2", "x264-params": "keyint=10:scenecut=0"})
    whole = times(path)
    content = bytearray(path.read_bytes())
    fifth = [match.start() for match in re.finditer(b"00dc", content)][5]
    content[fifth + 8 : fifth + 30] = bytes(22)
    path.write_bytes(content)
    assert len(times(path)) < 40
    assert times(path)[-20:] == whole[-20:]


def restarted(path: Path, *, sound: bool) -> Path:
    """Write two MPEG-TS files of 50 frames, one behind the other."""
    part = make_clip(path.with_name("part.ts"), frames=50, tone=sound, options={"bf": "2"}).read_bytes()
    path.write_bytes(part + part)
    return path


def test_time_goes_on_where_the_clock_begins_anew(tmp_path):
    source = reader(restarted(tmp_path / "clip.ts", sound=False))
    frames = [frame for _, frame in source.frames()]
    assert len(frames) == 100
    assert {b.pts - a.pts for a, b in pairwise(frames)} == {3600}
    assert source.notes == ("the clock of the file begins anew (1 x): what follows is put behind",)
    assert not source.damage


def test_frames_that_the_decoder_marks_are_counted(tmp_path):
    clip = make_clip(tmp_path / "clip.mp4", frames=20, panning=True, options={"bf": "0"})
    with av.open(str(clip)) as container:
        hurt = [packet.pos + packet.size // 2 for packet in container.demux(video=0) if packet.size][10]
    content = bytearray(clip.read_bytes())
    content[hurt : hurt + 20] = bytes(20)
    clip.write_bytes(content)
    source = reader(clip)
    assert len(list(source.frames())) == 20
    assert [re.sub(r"\d+ frames?", "N", note) for note in source.notes] == ["N damaged in the source, and upscaled as decoded"]
    assert not source.damage


def test_a_packet_that_lacks_a_part_is_said(tmp_path):
    clip = make_clip(tmp_path / "clip.ts", frames=20, options={"bf": "0"})
    content = clip.read_bytes()
    lost = len(content) // 2 // 188 * 188
    clip.write_bytes(content[:lost] + content[lost + 188 :])
    source = reader(clip)
    list(source.frames())
    assert any("marked as incomplete: data were lost there, or files joined" in note for note in source.notes)


def test_a_flash_video_may_begin_late(tmp_path):
    clip = make_clip(tmp_path / "clip.flv", frames=3, codec="flv", pts=[(50 + i) * 512 for i in range(3)])
    with av.open(str(clip)) as container, pytest.raises(av.FFmpegError):
        container.seek(0)
    assert times(clip) == [2000, 2040, 2080]


@pytest.mark.parametrize("dropped", [[5, 9, 10, *range(60, 90)], [n for n in range(100) if n % 5]])
def test_an_avi_with_dropped_frames_is_whole(tmp_path, dropped):
    source = reader(avi(tmp_path / "clip.avi", dropped=dropped))
    assert len(list(source.frames())) == 100 - len(dropped)
    assert not source.damage


def test_an_avi_that_ends_between_two_frames_is_known_to_be_cut_off(tmp_path):
    path = avi(tmp_path / "clip.avi", dropped=[])
    content = path.read_bytes()
    path.write_bytes(content[: [match.start() for match in re.finditer(b"00dc", content[: content.index(b"idx1")])][-5]])
    source = reader(path)
    assert len(list(source.frames())) == 95
    assert source.damage == ("its data end after 95 frames, before what its header says",)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("empty.mp4", b"", "is empty"),
        ("broken.mp4", b"\0\0\0\x20ftypisom" + b"\0" * 200, "cannot be read as a video"),
        ("text.mkv", b"no video at all", "cannot be read as a video"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, name, content, text):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadVideo, match=text) as caught:
        probe_video(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_sound_alone_is_refused(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        samples.sample_rate = 16000
        container.mux(stream.encode(samples))
        container.mux(stream.encode(None))
    with pytest.raises(BadVideo, match="it has no video, only audio"):
        probe_video(path)


# The clips of the data folder

FRAMES = {
    "alpha_vp9_vorbis.webm": 150,
    "amr_mpeg4.3gp": 74,
    "av1_640x360.mkv": 125,
    "bt2020_10bit_hevc.mp4": 60,
    "carphone_qcif_distorted.mp4": 120,
    "discard_first_keyframe.mp4": 25,  # of 30 packets
    "mpeg4.avi": 30,
    "nasa_rot90.mp4": 17,
    "non_zero_start.mp4": 12,
    "odd_321x241_444.mp4": 25,
    "rot90_ios9_data_streams.mov": 14,
    "rot90_vfr_24.mov": 25,
    "vfr_rot180_720p_h264_aac.mp4": 25,
}


@pytest.mark.parametrize("name", FRAMES)
def test_real_clips_give_every_frame_with_rising_time_stamps(data, name):
    path = data / "video" / name
    assert is_video(path)
    source = reader(path)
    stamps = [frame.pts for _, frame in source.frames()]
    assert len(stamps) == source.count == FRAMES[name]
    assert all(b > a for a, b in pairwise(stamps))
    assert not source.damage
    assert not source.notes


@pytest.mark.parametrize("name", ["broken.mp4", "empty.flv"])
def test_real_broken_files_are_refused(data, name):
    with pytest.raises(BadVideo):
        probe_video(data / "video" / name)


def test_pictures_are_no_videos(data, folder):
    assert not any(is_video(path) for path in folder.iterdir())
    assert not any(is_video(path) for path in (data / "nasty").iterdir())
