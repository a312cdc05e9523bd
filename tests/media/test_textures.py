"""TGA and DDS, as games have their textures."""

import struct

import numpy as np
import pytest
from PIL import Image

from srcli.errors import BadPicture
from srcli.media.probe import probe
from srcli.media.read import read_image
from tests.conftest import photograph

PIXELS = photograph(40, 52)
ALPHA = np.broadcast_to(np.arange(52, dtype=np.uint8) * 4, (40, 52))


def image(alpha=None) -> Image.Image:
    return Image.fromarray(PIXELS if alpha is None else np.dstack([PIXELS, alpha]))


@pytest.mark.parametrize("packed", [False, True])
def test_a_tga_is_read_either_way_it_is_packed(tmp_path, packed):
    image(ALPHA).save(tmp_path / "a.tga", rle=packed)
    assert probe(tmp_path / "a.tga")[:5] == (40, 52, 3, True, 8)
    picture = read_image(tmp_path / "a.tga")
    np.testing.assert_array_equal(np.dstack([picture.pixels, picture.alpha]), np.asarray(image(ALPHA)))
    assert picture.notes == ()


def test_an_alpha_of_0_all_over_is_none_in_a_tga(tmp_path):
    image(0 * ALPHA).save(tmp_path / "a.tga")
    picture = read_image(tmp_path / "a.tga")
    assert picture.alpha is None
    assert picture.notes == ("its alpha, 0 all over, is taken for none",)


def test_what_else_a_tga_holds_is_named(tmp_path):
    image().save(tmp_path / "a.tga", id_section=b"of a game")
    content = (tmp_path / "a.tga").read_bytes()
    assert content.endswith(b"\0" * 8 + b"TRUEVISION-XFILE.\0")  # which says that there is no extension area
    (tmp_path / "b.tga").write_bytes(content[:-26] + b"\x12\0\0\0" + content[-22:])
    assert read_image(tmp_path / "a.tga").notes == ("not kept: the image ID",)
    assert read_image(tmp_path / "b.tga").notes == ("not kept: the image ID, the extension area",)


def test_a_tga_without_its_suffix_is_told_by_its_end(tmp_path):
    image().save(tmp_path / "a.tga")
    content = (tmp_path / "a.tga").read_bytes()
    (tmp_path / "whole").write_bytes(content)
    (tmp_path / "old").write_bytes(content[:-26])
    np.testing.assert_array_equal(read_image(tmp_path / "whole").pixels, PIXELS)
    with pytest.raises(BadPicture, match="is no picture that srcli knows"):
        probe(tmp_path / "old")


@pytest.mark.parametrize("kind", ["DXT1", "DXT5", None])
def test_a_dds_is_read_and_an_alpha_of_255_all_over_is_none(tmp_path, kind):
    image(255 + 0 * ALPHA).save(tmp_path / "a.dds", pixel_format=kind)
    picture = read_image(tmp_path / "a.dds")
    assert np.abs(picture.pixels.astype(int) - PIXELS).mean() < 12  # blocks of 4 x 4 px with 4 colours
    assert picture.alpha is None
    assert picture.notes == ()


@pytest.mark.parametrize(
    ("bits", "masks", "levels"),
    [
        (16, (0xF800, 0x07E0, 0x001F), (31, 63, 31)),
        (24, (0xFF0000, 0xFF00, 0xFF), (255, 255, 255)),
        (32, (0x3FF00000, 0xFFC00, 0x3FF), (1023, 1023, 1023)),
    ],
)
def test_bit_fields_of_a_dds_are_read_to_the_nearest_level(tmp_path, bits, masks, levels):
    image().save(tmp_path / "a.dds")
    head = bytearray((tmp_path / "a.dds").read_bytes()[:128])
    head[88:104] = struct.pack("<4I", bits, *masks)
    fields = np.stack([np.arange(40 * 52).reshape(40, 52) * (c + 3) % (most + 1) for c, most in enumerate(levels)])
    values = sum(field * (mask & -mask) for field, mask in zip(fields, masks, strict=True)).astype("<u4")
    (tmp_path / "a.dds").write_bytes(head + values[..., None].view(np.uint8)[..., : bits // 8].tobytes())
    picture = read_image(tmp_path / "a.dds")
    np.testing.assert_array_equal(
        picture.pixels, np.stack([np.round(f * (255 / m)) for f, m in zip(fields, levels, strict=True)], -1)
    )
    assert picture.notes == (("not kept: levels between those of 8 bits",) if bits == 32 else ())


def test_the_smallest_textures_are_read(tmp_path):
    for name in ("a.tga", "a.dds"):
        Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content.removesuffix(b"\0" * 8 + b"TRUEVISION-XFILE.\0"))
        assert read_image(tmp_path / name).pixels.tolist() == [[[1, 2, 3]]]


def test_smaller_copies_and_further_sides_of_a_dds_are_named(tmp_path):
    image().save(tmp_path / "a.dds")
    content = bytearray((tmp_path / "a.dds").read_bytes())
    content[28], content[113] = 6, 2  # DDSCAPS2_CUBEMAP
    (tmp_path / "a.dds").write_bytes(content)
    assert read_image(tmp_path / "a.dds").notes == ("not kept: the smaller copies (mipmaps), further sides of the cube",)


def test_a_dds_of_a_kind_that_pillow_does_not_know_is_not_called_damaged(tmp_path):
    image(ALPHA).save(tmp_path / "a.dds", pixel_format="DXT5")
    content = (tmp_path / "a.dds").read_bytes()
    (tmp_path / "a.dds").write_bytes(content.replace(b"DXT5", b"ZZZZ"))
    with pytest.raises(BadPicture, match="of a kind that srcli cannot read; convert it to PNG first"):
        probe(tmp_path / "a.dds")


@pytest.mark.parametrize(
    ("palette_bits", "kind", "bits", "said"),
    [
        (24, 1, 16, "TGA of type 1, 16 bits a px, a palette of 24"),
        (15, 9, 8, "TGA of type 9, 8 bits a px, a palette of 15"),
        (24, 2, 24, "TGA of type 2, 24 bits a px, a palette of 24"),
        (0, 2, 15, "TGA of type 2, 15 bits a px"),
        (0, 3, 24, "TGA of type 3, 24 bits a px"),
        (24, 3, 8, "TGA of type 3, 8 bits a px, a palette of 24"),  # of which Pillow would take the palette for px
    ],
)
def test_a_tga_of_a_kind_that_pillow_does_not_know_is_not_called_damaged(tmp_path, palette_bits, kind, bits, said):
    head = struct.pack("<3B2HB4H2B", 0, palette_bits > 0, kind, 0, 16, palette_bits, 0, 0, 20, 8, bits, 0)
    (tmp_path / "a.tga").write_bytes(head + bytes(2000))
    with pytest.raises(BadPicture, match=f"of a kind that srcli cannot read; convert it to PNG first: {said}$"):
        probe(tmp_path / "a.tga")


@pytest.mark.parametrize(
    ("name", "place", "value", "said"),
    [
        ("a.tga", 17, 0x40, "TGA with interleaved rows"),  # which Pillow would read in their order
        ("a.dds", 80, 1, "DDS of 4 bits of luminance and 4 of alpha"),  # which Pillow would take for one channel
        ("a.dds", 88, 16, "Unsupported bitcount 16"),
    ],
)
def test_a_texture_of_a_kind_that_is_not_read_is_told_by_its_header(tmp_path, name, place, value, said):
    Image.new("L", (20, 8)).save(tmp_path / name)
    content = bytearray((tmp_path / name).read_bytes())
    content[place] = value
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadPicture, match=rf"of a kind that srcli cannot read; .*: {said}"):
        probe(tmp_path / name)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_a_tga_whose_runs_go_beyond_a_row_is_read(tmp_path, channels):
    pixels = np.repeat(np.arange(1, 11, dtype=np.uint8), [32, 1, 1, 33, 1, 1, 1, 30, 28, 32]).reshape(8, 20)
    colours = np.stack([(i + 1) * pixels for i in range(channels)], -1)
    packets = [(32, 32), (2, 0), (33, 33), (3, 0), (30, 30), (28, 28), (32, 32)]  # px, and of which a run
    flat, body, at = colours[..., [2, 1, 0, 3][:channels] if channels > 1 else [0]].reshape(-1, channels), b"", 0
    for count, run in packets:
        body += bytes([count - 1 + 128 * (run > 0)]) + flat[at : at + (1 if run else count)].tobytes()
        at += count
    head = struct.pack("<3B2HB4H2B", 0, 0, 11 if channels == 1 else 10, 0, 0, 0, 0, 0, 20, 8, 8 * channels, 32)
    (tmp_path / "a.tga").write_bytes(head + body)
    picture = read_image(tmp_path / "a.tga")
    np.testing.assert_array_equal(picture.pixels, colours[..., : min(channels, 3)])
    assert channels < 4 or np.array_equal(picture.alpha, colours[..., 3])
    (tmp_path / "cut.tga").write_bytes((head + body)[:-1])
    with pytest.raises(BadPicture, match="is truncated"):
        read_image(tmp_path / "cut.tga")


@pytest.mark.parametrize("name", ["raw.tga", "packed.tga", "a.dds"])
def test_a_texture_that_is_cut_is_truncated(tmp_path, name):
    path = tmp_path / name
    image(ALPHA).save(path, **{"packed.tga": {"rle": True}, "a.dds": {"pixel_format": "DXT5"}}.get(name, {}))
    for left in (2, 12):  # the second is told by the header, but of what is packed
        (tmp_path / f"cut_{name}").write_bytes(path.read_bytes()[: path.stat().st_size // left])
        with pytest.raises(BadPicture, match="is truncated"):
            read_image(tmp_path / f"cut_{name}")
