"""Frames to packets and files: codecs and containers, what is refused, segments, and decoding times."""

import errno
import io
import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from srcli.errors import BadFolder, BadVideo, UsageError
from srcli.media.encoding import CODECS, Encoder, Wishes, decode_times, plan_encoding, to_frame
from srcli.media.segments import Parts, SegmentWriter, published, read_segment
from srcli.media.streams import StreamWriter, Y4mReader
from srcli.media.video import Clip, Colors, Timed, Track, rgb
from tests.clips import BASE
from tests.conftest import photograph


def track(pix_fmt: str = "yuv420p", height: int = 48, width: int = 64, colors: Colors | None = None) -> Track:
    """Describe a source."""
    return Track(0, height, width, pix_fmt, "h264", BASE, Fraction(25), colors or Colors(6, 6, 6, 1))


def timed(count: int, depth: type = np.uint8) -> list[Timed]:
    """Make frames 512 ticks apart."""
    pictures = [photograph(48, 64, i).astype(depth) * (257 if depth is np.uint16 else 1) for i in range(count)]
    return [Timed(picture, None, i * 512, 512) for i, picture in enumerate(pictures)]


@pytest.mark.parametrize("codec", [name for name in CODECS if not name.endswith("nvenc")])
def test_each_codec_encodes_one_packet_a_frame_with_its_time(codec):
    container = CODECS[codec].containers[0]
    encoder = Encoder(plan_encoding(track(height=64), (64, 64), container, Wishes(codec)))
    frames = [Timed(photograph(64, 64, i), None, i * 512 + i % 2, 512) for i in range(5)]
    packets = [packet for frame in frames for packet in encoder.encode(frame)] + list(encoder.finish())
    assert sorted(packet.pts for packet in packets) == [frame.pts for frame in frames]
    assert all(packet.duration == 512 for packet in packets)


@pytest.mark.parametrize(
    ("container", "source", "codec", "pix_fmt"),
    [
        ("mp4", "yuv420p", "libx264", "yuv420p"),
        ("mkv", "yuv444p", "libx264", "yuv444p"),
        ("mp4", "yuv420p10le", "libx265", "yuv420p10le"),
        ("webm", "yuv420p", "libvpx-vp9", "yuv420p"),
        ("webm", "yuva420p", "libvpx-vp9", "yuva420p"),
        ("webm", "yuv420p10le", "libsvtav1", "yuv420p10le"),
        ("mov", "yuva444p10le", "prores_ks", "yuva444p10le"),
        ("mkv", "yuva444p10le", "ffv1", "yuva444p10le"),
    ],
)
def test_defaults_keep_depth_chroma_and_alpha(container, source, codec, pix_fmt):
    encoding = plan_encoding(track(source), (96, 128), container, Wishes())
    assert (encoding.codec, encoding.pix_fmt, encoding.notes) == (codec, pix_fmt, ())


@pytest.mark.parametrize(
    ("source", "codec", "container", "note"),
    [
        ("yuva420p", "libx264", "mp4", "libx264 in yuv420p has no alpha: transparency is lost"),
        ("yuv420p10le", "libvpx-vp9", "webm", "libvpx-vp9 in yuv420p: 10 bits reduced to 8"),
        ("yuv444p", "libsvtav1", "mkv", "yuv420p stores less colour detail than yuv444p"),
        ("yuva444p", None, "webm", "yuva420p stores less colour detail than yuva444p"),
        ("yuva444p10le", None, "webm", "libvpx-vp9 in yuva420p: 10 bits reduced to 8"),
        ("yuva420p10le", None, "mp4", "libx265 in yuv420p10le has no alpha: transparency is lost"),
    ],
)
def test_what_a_codec_cannot_hold_is_said(source, codec, container, note):
    encoding = plan_encoding(track(source), (96, 128), container, Wishes(codec))
    assert note in encoding.notes
    Encoder(encoding)  # which does not refuse it


@pytest.mark.parametrize("source", ["gray", "gray10le"])
def test_gray_has_no_colour_detail_to_lose(source):
    encoding = plan_encoding(track(source), (96, 128), "mkv", Wishes("libsvtav1"))
    assert encoding.pix_fmt.startswith("yuv420p")
    assert encoding.notes == ()


def test_prores_is_made_in_the_range_that_it_is_read_with():
    picture = np.dstack([np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))] * 3)
    encoder = Encoder(plan_encoding(track(colors=Colors(1, 1, 1, 2)), (48, 64), "mov", Wishes("prores_ks")))
    packets = [*encoder.encode(Timed(picture, None, 0, 1)), *encoder.finish()]
    decoder = av.CodecContext.create("prores", "r")
    (frame,) = [frame for packet in packets for frame in decoder.decode(packet)]
    back, _ = rgb(frame, track(frame.format.name, colors=Colors(1, 1, 1, frame.color_range)))
    assert np.abs(back / 257 - picture).mean() < 3  # contrast as if full range were limited is 8 off


@pytest.mark.parametrize("matrix", [8, 10])
def test_a_matrix_that_cannot_be_converted_is_kept_with_its_values(matrix):
    source = track("yuv444p", 48, 640, Colors(matrix, 2, 2, 1))
    planes = np.stack([np.full((48, 640), value, np.uint8) for value in (90, 100, 170)])
    frame = av.VideoFrame.from_ndarray(planes, "yuv444p")
    encoding = plan_encoding(source, (96, 1280), "mkv", Wishes("ffv1"))
    assert (encoding.colors.matrix, encoding.notes) == (matrix, ())
    small, _ = rgb(frame, source)
    large = to_frame(Timed(small.repeat(2, 0).repeat(2, 1), None, 0, 1), encoding)
    assert large.colorspace == matrix
    assert np.abs(large.to_ndarray().astype(int) - planes[:, :1, :1]).max() <= 2


@pytest.mark.parametrize(
    ("codec", "container", "kept"),
    [("libx264", "mkv", True), ("libvpx-vp9", "mp4", True), ("libvpx-vp9", "webm", False), ("ffv1", "mkv", False)],
)
def test_a_shape_of_the_pixels_that_is_lost_is_said(codec, container, kept):
    source = replace(track(), aspect=Fraction(16, 15))
    encoding = plan_encoding(source, (96, 128), container, Wishes(codec))
    keeping = {"ffv1": "libx264 and libx265 keep", "prores_ks": "mov keeps"}.get(codec, "mp4 keeps")
    told = f"{codec} in {container} loses the shape of the pixels, 16/15; {keeping} it"
    assert encoding.notes == (() if kept else (told,))
    assert encoding.aspect == (source.aspect if kept else None)


@pytest.mark.parametrize(
    ("container", "wishes", "text"),
    [
        ("webm", Wishes("libx264"), "libx264 does not go into webm"),
        ("mp4", Wishes("prores_ks"), "prores_ks does not go into mp4"),
        ("mp4", Wishes("h264"), "--codec is one of libx264"),
        ("mp4", Wishes(crf=99), "--crf of libx264 is 0 to 51, not 99"),
        ("mkv", Wishes("ffv1", crf=1), "ffv1 has no --crf"),
        ("mov", Wishes("prores_ks", preset="fast"), "prores_ks has no --preset"),
        ("mp4", Wishes(preset="quick"), "--preset of libx264 is one of ultrafast, .*, placebo, not 'quick'"),
        ("mkv", Wishes("libx265", preset="16"), "--preset of libx265 is one of ultrafast, .*, placebo, not '16'"),
        ("webm", Wishes(preset="slow"), "--preset of libvpx-vp9 is a number from -8 to 8, not 'slow'"),
        ("mkv", Wishes("libsvtav1", preset="14"), "--preset of libsvtav1 is a number from -2 to 13, not '14'"),
        ("mp4", Wishes(pix_fmt="rgb24"), "--pix-fmt of libx264 is one of yuv420p"),
    ],
)
def test_what_does_not_go_together_is_refused(container, wishes, text):
    with pytest.raises(UsageError, match=text):
        plan_encoding(track(), (96, 128), container, wishes)


def test_the_case_of_a_preset_does_not_matter():
    plan = plan_encoding(track(), (96, 128), "mkv", Wishes("libx265", preset="UltraFast"))
    assert plan.options["preset"] == "ultrafast"


def test_an_encoder_that_refuses_says_what_it_was_given():
    with pytest.raises(BadVideo, match=r"libvpx-vp9 refuses 128 x 96 px yuv420p \(cpu-used quick\)"):
        Encoder(replace(plan_encoding(track(), (96, 128), "webm", Wishes()), options={"cpu-used": "quick"}))


@pytest.mark.parametrize(("pix_fmt", "codec"), [("bgra", "libvpx-vp9"), ("gbrp", "libsvtav1"), ("yuv444p", "libsvtav1")])
def test_colour_stored_at_half_the_size_is_said(pix_fmt, codec):
    plan = plan_encoding(track(pix_fmt), (96, 128), "mkv", Wishes(codec))
    assert f"{plan.pix_fmt} stores less colour detail than {pix_fmt}" in plan.notes


def test_odd_sizes_are_made_even_where_chroma_is_halved():
    odd = plan_encoding(track(), (97, 131), "mp4", Wishes())
    assert odd.coded == (98, 132)
    assert "yuv420p needs even sides: the last row or column is repeated, 132 x 98 px" in odd.notes
    assert plan_encoding(track("yuv444p"), (97, 131), "mp4", Wishes()).coded == (97, 131)
    assert plan_encoding(track(), (97, 131), "webm", Wishes()).coded == (97, 131)


def test_an_unnamed_matrix_is_named_only_where_players_would_change_their_guess():
    bare = track(colors=Colors())
    assert plan_encoding(bare, (96, 128), "mp4", Wishes()).colors == Colors()
    large = plan_encoding(bare, (768, 1280), "mp4", Wishes())
    assert large.colors.matrix == 6
    assert large.notes == ("tagged BT.601, which players take for the source but not for this size",)


@pytest.mark.parametrize(
    ("shown", "decoded"),
    [
        ([0, 1, 2], [0, 1, 2]),
        ([0, 4, 2, 1, 3], [-2, -1, 0, 1, 2]),  # b-pyramid: two frames early
        ([0, 2, 1, 10, 30, 20], [-1, 0, 1, 2, 10, 20]),  # uneven, across two encoders
        ([7], [7]),
    ],
)
def test_decoding_times_rise_and_come_before_the_picture(shown, decoded):
    times = list(decode_times(shown))
    assert times == decoded
    assert all(dts <= pts for dts, pts in zip(times, shown, strict=True))


@pytest.mark.parametrize(
    ("source", "codec", "pix_fmt", "left"),
    [
        ("h264", "libx264", "yuv420p", True),
        ("h264", "libx265", "yuv420p", True),
        ("h264", "libx265", "yuv422p", False),  # which FFmpeg reads as if chroma lay in the middle
        ("h264", "libvpx-vp9", "yuv420p", False),
        ("vp9", "libx264", "yuv420p", False),
        ("png", "libx264", "yuv420p", True),
    ],
)
def test_chroma_lies_where_source_and_result_are_read_with_it(source, codec, pix_fmt, left):
    given = replace(track(pix_fmt), codec=source)
    assert plan_encoding(given, (96, 128), "mkv", Wishes(codec, pix_fmt=pix_fmt)).left == left


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("size", [(48, 64), (96, 1280)])
def test_frames_of_y4m_are_read_with_the_matrix_that_they_were_written_with(matrix, size):
    picture = photograph(*size)
    file = io.BytesIO()
    StreamWriter(file, "y4m", track("yuv444p", *size, Colors(matrix, 2, 2, 1)), size).write(Timed(picture, None, 0, 1))
    file.seek(0)
    ((_, frame),) = Y4mReader(file, Clip()).frames()
    assert np.abs(frame.pixels.astype(int) - picture).max() <= 3  # 8 bits of YUV are coarser than those of RGB


# Segments


def segments(tmp_path: Path, count: int, length: int = 4) -> Parts:
    """Write frames into segments."""
    parts = Parts(tmp_path / "out.mkv", {"crf": 18})
    parts.begin()
    encoding = plan_encoding(track(), (48, 64), "mkv", Wishes())
    writer = SegmentWriter(parts, 0, lambda: Encoder(encoding), length)
    for number, frame in enumerate(timed(count)):
        writer.add(number, frame, {"repeated": 1.0})
    writer.close()
    return parts


def test_segments_hold_every_packet(tmp_path):
    there = segments(tmp_path, 10).closed(0, 4)
    assert [(there[n].first, there[n].frames, there[n].tally) for n in sorted(there)] == [
        (0, 4, {"repeated": 4.0}),
        (4, 4, {"repeated": 4.0}),
        (8, 2, {"repeated": 2.0}),
    ]
    shown = sorted(record.pts for segment in there.values() for record in segment.records())
    assert shown == [i * 512 for i in range(10)]
    assert all(next(iter(segment.records())).key for segment in there.values())


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "head", "tail"])
def test_a_damaged_segment_counts_as_missing(tmp_path, damage):
    path = segments(tmp_path, 8).path(0, 1)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    head, tail = content.replace(b'"extradata": "', b'"extradata": "x', 1), content.replace(b'"shown"', b'"shawn"', 1)
    damages = {"cut": content[:-9], "flip": content, "empty": b"", "text": b"hello\nworld", "head": head, "tail": tail}
    assert content != damages[damage] or damage == "flip"
    path.write_bytes(damages[damage])
    assert read_segment(path) is None
    assert sorted(segments_of(tmp_path)) == [0]


def segments_of(tmp_path: Path) -> dict[int, object]:
    """List what is there."""
    return dict(Parts(tmp_path / "out.mkv", {"crf": 18}).closed(0, 4))


def test_a_run_with_other_settings_is_refused_and_begins_anew_on_demand(tmp_path):
    segments(tmp_path, 4)
    other = Parts(tmp_path / "out.mkv", {"crf": 20})
    with pytest.raises(UsageError, match=r"holds an unfinished run with another crf; .* --no-resume"):
        other.begin()
    other.begin(afresh=True)
    assert other.closed(0, 4) == {}


def test_a_result_that_has_its_name_is_known_until_its_segments_are_gone(tmp_path, monkeypatch):
    parts = segments(tmp_path, 4)
    parts.joined.write_text("joined")
    with monkeypatch.context() as patch:
        patch.setattr(Parts, "remove", lambda self: None)  # killed here
        parts.publish(fresh=True)
    assert published(parts.target)
    parts.remove()
    assert not parts.folder.exists()
    assert not published(parts.target)


def test_a_result_is_on_the_disk_before_its_segments_go(tmp_path, monkeypatch):
    parts = segments(tmp_path, 4)
    parts.joined.write_text("joined")
    synced = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino) or fsync(number))
    parts.publish(fresh=False)
    assert parts.target.stat().st_ino in synced


@pytest.mark.parametrize("fresh", [True, False])
def test_what_appeared_meanwhile_is_replaced_only_where_that_was_asked_for(tmp_path, fresh):
    parts = segments(tmp_path, 4)
    parts.joined.write_text("joined")
    parts.target.write_text("another program's")
    if not fresh:
        parts.publish(fresh=False)
        assert parts.target.read_text() == "joined"
        return
    with pytest.raises(BadFolder, match="a file of that name appeared meanwhile and stays"):
        parts.publish(fresh=True)
    assert parts.target.read_text() == "another program's"
    assert not published(parts.target)
    assert list(parts.closed(0, 4))  # for the next run


def test_a_disk_that_is_full_at_once_is_said_in_one_line(tmp_path, monkeypatch):
    def full(self: Path, text: str, **more: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(BadFolder, match=r"^cannot write '.*manifest.json': No space left on device$"):
        Parts(tmp_path / "out.mkv", {}).begin()


@pytest.mark.parametrize("manifest", [None, "{}", '{"work": 1}', "none"])
def test_a_folder_of_the_user_is_not_touched(tmp_path, manifest):
    (tmp_path / "out.mkv.parts" / "more").mkdir(parents=True)
    if manifest:
        (tmp_path / "out.mkv.parts" / "manifest.json").write_text(manifest)
    (tmp_path / "out.mkv.parts" / "diary.txt").write_text("mine")
    parts = Parts(tmp_path / "out.mkv", {})
    with pytest.raises(BadFolder, match="holds something else"):
        parts.begin(afresh=True)
    parts.remove()
    assert (tmp_path / "out.mkv.parts" / "diary.txt").read_text() == "mine"
