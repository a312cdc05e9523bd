import io

import av
import pytest

from srcli.media.matroska import cut_short
from srcli.media.video import probe_video
from srcli.media.video_reader import VideoReader
from tests.clips import make_clip

_HEADER = b"\x1aE\xdf\xa3\x80\x18S\x80g"


@pytest.mark.parametrize(("name", "codec"), [("clip.mkv", "libx264"), ("clip.webm", "libvpx-vp9")])
def test_a_file_of_which_little_is_missing_is_cut_short(tmp_path, name, codec):
    clip = make_clip(tmp_path / name, frames=20, codec=codec)
    reader = VideoReader(clip, probe_video(clip).tracks[0])
    assert len(list(reader.frames())) == 20
    assert (cut_short(clip), reader.damage) == (False, ())
    clip.write_bytes(clip.read_bytes()[:-400])  # a part of a second
    reader = VideoReader(clip, probe_video(clip).tracks[0])
    frames = list(reader.frames())
    assert cut_short(clip)
    assert f"its data end after {len(frames)} frames, before what its header says" in reader.damage


def test_a_live_recording_is_as_long_as_it_is(tmp_path):
    file = io.BytesIO()
    with av.open(file, "w", format="matroska", options={"live": "1"}) as container:
        video = container.add_stream("ffv1", rate=25)
        video.width = video.height = 16
        for number in range(3):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.pts = number
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
    whole = file.getvalue()
    (tmp_path / "live.mkv").write_bytes(whole)
    assert b"\x18S\x80g\x01\xff\xff\xff\xff\xff\xff\xff" in whole
    assert not cut_short(tmp_path / "live.mkv")


@pytest.mark.parametrize(
    ("data", "short"),
    [
        (_HEADER + b"\x83abc", False),
        (_HEADER + b"\x84abc", True),
        (_HEADER + b"\x40\x03abc", False),
        (_HEADER + b"\x40\x04abc", True),
        (_HEADER + b"\xff", False),  # unknown
        (_HEADER + b"\x00\x04", False),  # no size
        (_HEADER, False),
        (b"\x1aE\xdf\xa3", False),
        (b"\x1aE\xdf\xa3\x83abcelse", False),
        (b"RIFF\x10\0\0\0AVI ", False),
        (b"", False),
    ],
)
def test_sizes_are_read_as_ebml_writes_them(tmp_path, data, short):
    (tmp_path / "a.mkv").write_bytes(data)
    assert cut_short(tmp_path / "a.mkv") is short
    assert not cut_short(tmp_path / "not there.mkv")
