import pytest

from srcli.media.inputs import pictures_in
from srcli.media.sniff import is_video, looks_like_video
from srcli.media.video import probe_video
from tests.clips import make_clip


def packets(length: int, lead: bytes, number: int) -> bytes:
    return number * (lead + b"G".ljust(length - len(lead), b"\0"))


@pytest.mark.parametrize(("length", "lead"), [(188, b""), (192, b"time")])
def test_packets_of_one_length_are_a_transport_stream(length, lead):
    assert looks_like_video(packets(length, lead, 3)[:400])


@pytest.mark.parametrize(
    "head",
    [
        b"GIF89a".ljust(188) + b"G".ljust(188) + b"G",
        b"GIF87a".ljust(188) + b"G".ljust(188) + b"G",
        b"\xff\xd8\xff\xe1G".ljust(196) + b"G".ljust(192),  # a JPEG whose EXIF data are 18 kB
    ],
)
def test_a_picture_with_the_letters_of_packets_is_no_video(head):
    assert not looks_like_video(head.ljust(400))


@pytest.mark.parametrize("brand", [b"heic", b"heim", b"heis", b"hevx", b"avif"])
def test_pictures_in_iso_files_are_no_videos(brand):
    assert not looks_like_video(b"\0\0\0\x18ftyp" + brand + bytes(4) + b"mif1heic" + bytes(100))
    assert looks_like_video(b"\0\0\0\x18ftypisom" + bytes(4) + b"isommp42" + bytes(100))


@pytest.mark.parametrize(
    ("name", "format", "codec", "size"),
    [
        ("a.divx", "avi", "mpeg4", (48, 64)),
        ("a.f4v", "f4v", "libx264", (48, 64)),
        ("a.qt", "mov", "mpeg4", (48, 64)),
        ("a.mod", "mpeg", "mpeg2video", (48, 64)),
        ("a.m2v", "mpeg2video", "mpeg2video", (48, 64)),
        ("a.h264", "h264", "libx264", (48, 64)),
        ("a.ivf", "ivf", "libvpx", (48, 64)),
        ("a.dv", "dv", "dvvideo", (576, 720)),
    ],
)
def test_files_of_cameras_and_old_programs_are_taken_from_folders(tmp_path, name, format, codec, size):
    make_clip(tmp_path / name, frames=2, codec=codec, height=size[0], width=size[1], ticks=1, format=format)
    assert list(pictures_in(tmp_path, recursive=False, output=None)) == [tmp_path / name]
    assert is_video(tmp_path / name)
    assert probe_video(tmp_path / name).tracks[0].height == size[0]


def test_a_suffix_of_videos_and_of_others_is_told_by_the_content(tmp_path):
    (tmp_path / "go.mod").write_text("module example.org/me")
    assert list(pictures_in(tmp_path, recursive=False, output=None)) == []
