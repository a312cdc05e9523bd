import struct

import pytest

from srcli.media.exif import Field, entries, fields_of, laid, without


def made(order: str, *directories: list[tuple[int, int, int, bytes]]) -> bytes:
    """Lay directories of (tag, kind, number, 4 bytes) out, 1000 bytes apart."""
    data = {"<": b"II*\0", ">": b"MM\0*"}[order] + struct.pack(order + "I", 1000)
    for directory in directories:
        data = data.ljust(-(-len(data) // 1000) * 1000, b"\0") + struct.pack(order + "H", len(directory))
        for tag, kind, number, value in directory:
            data += struct.pack(order + "HHI", tag, kind, number) + value
    return data.ljust(-(-len(data) // 1000) * 1000, b"\0")


@pytest.mark.parametrize("kind", [4, 13])  # LONG, and what TIFF 6 has for pointers to directories
@pytest.mark.parametrize("order", ["<", ">"])
def test_values_come_out_little_endian(order, kind):
    below = [(0x9000, 7, 4, b"0232"), (0xA002, 3, 1, struct.pack(order + "HH", 300, 0))]
    exif = made(order, [(0x010F, 2, 3, b"ab\0\0"), (0x8769, kind, 1, struct.pack(order + "I", 2000))], below)
    assert fields_of(exif) == [
        Field(0x010F, 2, 3, b"ab\0"),
        Field(0x8769, 4, 1, [Field(0x9000, 7, 4, b"0232"), Field(0xA002, 3, 1, struct.pack("<H", 300))]),
    ]


def test_directories_that_point_to_each_other_end():
    pointers = [(0x8769, 4, 1, struct.pack("<I", 1000 * (1 + i % 3))) for i in range(60)]
    exif = made("<", pointers, pointers, pointers)
    assert len(list(entries(exif))) == 180
    assert fields_of(exif) == []


def test_values_that_overlap_take_no_more_than_the_data():
    exif = made("<", [(tag, 7, 900, struct.pack("<I", 8)) for tag in range(50)])
    assert sum(len(field.data) for field in fields_of(exif)) <= len(exif)


def test_what_is_laid_out_is_taken_apart_as_it_was():
    below = [Field(0x9000, 7, 5, b"02322"), Field(0xA005, 4, 1, [Field(1, 2, 4, b"R98\0")])]
    fields = [Field(0x010F, 2, 3, b"ab\0"), Field(0x8769, 4, 1, below), Field(0x8825, 4, 1, [Field(0, 1, 4, b"\2\3\0\0")])]
    assert fields_of(laid(fields, "<")) == fields_of(laid(fields, ">")) == fields


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tag", [0x010F, 0x0112, 0x8769, 0x9999])
def test_a_tag_that_is_cut_out_leaves_the_others_where_they_are(order, tag):
    main = [
        (0x010F, 2, 9, struct.pack(order + "I", 8)),
        (0x0112, 3, 1, b"\6\0\0\0"),
        (0x8769, 4, 1, struct.pack(order + "I", 2000)),
    ]
    exif = made(order, main, [(0x927C, 7, 40, struct.pack(order + "I", 40))])
    cut = without(exif, tag)
    left = [(e.tag, e.kind, e.number, cut[e.at + 8 : e.at + 12]) for e in entries(cut) if e.at < 2000]
    assert left == [entry for entry in main if entry[0] != tag]
    assert len(cut) == len(exif)
    assert (cut[:1000], cut[1100:]) == (exif[:1000], exif[1100:])
