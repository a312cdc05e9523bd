import pytest

from srcli.media.sniff import looks_like_video


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
