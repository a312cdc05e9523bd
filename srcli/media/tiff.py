"""TIFF of 16 bits and floating point, and the metadata of every TIFF."""

import io
import logging
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags
from PIL.TiffImagePlugin import ImageFileDirectory_v1, ImageFileDirectory_v2

from srcli.errors import BadPicture
from srcli.media.exif import POINTERS, SIZES, Field, Order, fields_of, laid, order_of
from srcli.media.metadata import Metadata, resolution
from srcli.media.picture import Array, Picture
from srcli.media.pixels import in_range, spread, stacked, unmultiplied
from srcli.media.tiff_rows import TiffRows, is_streamable


def tiff_tags(file: BinaryIO) -> ImageFileDirectory_v2:
    """Read the first directory, also of BigTIFF."""
    tags = ImageFileDirectory_v2(_head(file))
    file.seek(tags.next)
    tags.load(file)
    return tags


def _head(file: BinaryIO) -> bytes:
    file.seek(0)
    head = file.read(8)
    return head + file.read(8) if 43 in head[2:4] else head  # BigTIFF


PIXELS_READ = "srcli reads 8 and 16 bits and floating point"
# What a TIFF tells besides its layout: names of the document and the page, description, make, model, software, date, artist,
# computer, copyright, and what Windows and PrintIM put into EXIF data
_DESCRIPTIVE = (269, 270, 271, 272, 285, 305, 306, 315, 316, 18246, 18249, 33432, *range(40091, 40096), 50341)
_PRIVATE = 600  # tags from here on are none of the layout
_IPTC = 33723
_EXTRA = "an extra channel that is not alpha is left out"
_ELSEWHERE = (700, _IPTC, 34377, 34675, 59932)  # XMP, IPTC, Photoshop's block, colour profile, room for more


def tiff_metadata(file: BinaryIO, *, deep: bool) -> tuple[Metadata, list[str]]:
    """Read what a TIFF tells besides its pixels, and say what of it is not read; `read_deep_tiff` tells of channels itself."""
    tags = tiff_tags(file)
    fields = _fields(file, tags)
    exif = [field for field in fields if _is_descriptive(field) or isinstance(field.data, list)]
    icc, xmp = tags.get(34675), tags.get(700)
    iptc = next((field.data for field in fields if field.tag == _IPTC and isinstance(field.data, bytes)), None)
    inches = {2: 1.0, 3: 2.54}.get(tags.get(296, 2))
    dpi = resolution(*(tags[tag] * inches for tag in (282, 283))) if inches and 282 in tags and 283 in tags else None
    metadata = Metadata(
        icc if isinstance(icc, bytes) else None,
        laid(exif, "<" if tags.prefix == b"II" else ">") if exif else None,
        xmp if isinstance(xmp, bytes) else None,
        dpi,
        iptc,
    )
    notes = [_EXTRA] if not deep and 0 in np.atleast_1d(tags.get(338, 1)) else []
    return metadata, [*notes, *unwritten(fields)]


def unwritten(fields: Sequence[Field]) -> list[str]:
    """Say which tags of a main directory a TIFF does not get, besides those of another layout."""
    lost = [
        str(field.tag)
        for field in fields
        if field.tag >= _PRIVATE and field.tag not in (*POINTERS, *_ELSEWHERE) and not _is_descriptive(field)
    ]
    return [f"tags not kept: {', '.join(lost[:9])}{' and more' if len(lost) > 9 else ''}"] if lost else []


def _is_descriptive(field: Field) -> bool:
    return field.tag in _DESCRIPTIVE and field.kind in (1, 2, 3, 7)  # bytes, text, numbers of 16 bits; nothing that points


def _fields(file: BinaryIO, tags: ImageFileDirectory_v2, depth: int = 0) -> list[Field]:
    """Take a directory apart as the file has it, with those that it points to: Pillow's values are not all the bytes."""
    fields = [
        Field(tag, kind, len(data) // SIZES[kind], data)
        for tag, data in ImageFileDirectory_v1.from_v2(tags).tagdata.items()
        if (kind := tags.tagtype[tag]) in SIZES and tag not in POINTERS
    ]
    for pointer in POINTERS:
        if depth < 2 and isinstance(start := tags.get(pointer), int):
            directory = ImageFileDirectory_v2(_head(file))
            file.seek(start)
            directory.load(file)
            if below := _fields(file, directory, depth + 1):
                fields.append(Field(pointer, 4, 1, below))
    return fields


def read_deep_tiff(file: BinaryIO) -> tuple[Array, Array | None, list[str]]:
    """Read the first page, of 8 or 16 bits or of floating point in [0, 1]."""
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it logs of damage is not for stderr
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page, pages = tiff.pages.first, len(tiff.pages)
        kind = page.dtype.kind if page.dtype else "?"
        if kind not in "uf" or page.dtype in (np.uint32, np.uint64):
            raise BadPicture(f"pixels of type {page.dtype}; {PIXELS_READ}")
        array = _tiff_pixels(file, page)
        if array.shape[:2] != (page.imagelength, page.imagewidth):
            raise BadPicture("pixels in an order that is not read")
        if array.shape[2] < (3 if page.photometric == 2 else 1):
            raise BadPicture(f"{array.shape[2]} channels for colours of 3")
    notes = [f"only the first of {pages} pages is read"] if pages > 1 else []
    if kind == "f":
        array = in_range(array)
    colours = 3 if page.photometric == 2 else 1
    pixels, alpha = array[..., :colours], None
    if page.photometric == 0:
        pixels = (1 if kind == "f" else np.iinfo(pixels.dtype).max) - pixels
    if array.shape[-1] > colours:
        meaning = int(page.extrasamples[0]) if page.extrasamples else 0
        if meaning in (1, 2):
            alpha = np.ascontiguousarray(array[..., colours])
        if array.shape[-1] > colours + (alpha is not None):
            notes.append(_EXTRA)
        if alpha is not None and meaning == 1:
            pixels = unmultiplied(pixels, alpha)
    return np.ascontiguousarray(pixels), alpha, notes


def _tiff_pixels(file: BinaryIO, page: Any) -> Array:
    """(H, W, C) of a page; tifffile alone has no decoder for LZW."""
    if is_streamable(page):
        return TiffRows(file, page).rows(0, page.imagelength)
    try:
        array: Array = page.asarray()
    except ValueError as error:
        what = f"{page.compression.name} compression" + (f" with predictor {page.predictor:d}" if page.predictor > 2 else "")
        raise BadPicture(f"no decoder for {what}; save it with deflate or none, and no predictor") from error
    if page.dtype == np.uint16 and page.bitspersample < 16:  # 10, 12 or 14, as cameras and scanners have them
        array = spread(array, 2**page.bitspersample - 1)
    if page.planarconfig == 2 and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)
    return array.reshape(*array.shape[:2], -1)


def tiff_fields(picture: Picture) -> list[Field]:
    """Lay the metadata of a picture out as little-endian fields."""
    fields = _described(picture, "<")
    if picture.dpi:
        for tag, dpi in zip((282, 283), picture.dpi, strict=True):
            fraction = Fraction(dpi).limit_denominator(10**4)
            fields.append(Field(tag, 5, 1, struct.pack("<II", fraction.numerator, fraction.denominator)))
        fields.append(Field(296, 3, 1, struct.pack("<H", 2)))
    return fields


def _described(picture: Picture, order: Order) -> list[Field]:
    """Lay the metadata but for the resolution out."""
    blocks = (34675, 7, picture.icc), (700, 1, picture.xmp), (_IPTC, 7, picture.iptc)
    fields = fields_of(picture.exif, order=order) if picture.exif else []
    kept = [field for field in fields if _is_descriptive(field) or field.tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)]
    return [*kept, *(Field(tag, kind, len(value), value) for tag, kind, value in blocks if value)]


def write_tiff(picture: Picture, path: Path) -> None:
    """Write a TIFF of strips, whose offsets of 32 bits have to reach."""
    import tifffile

    order = order_of(picture.exif or b"")
    fields = _described(picture, order)
    below = {field.tag: field.data for field in fields if isinstance(field.data, list)}
    # tifffile refuses to write the tags of directories: put right below
    extra = [
        (tag - 1, 4, 1, 0, True) if tag in below else (tag, kind, number, data, True) for tag, kind, number, data in fields
    ]
    array = stacked(picture)
    tifffile.imwrite(
        path,
        array if array.shape[2] > 1 else array[..., 0],
        byteorder=order,
        photometric="rgb" if picture.pixels.shape[2] == 3 else "minisblack",
        planarconfig="contig" if array.shape[2] > 1 else None,
        extrasamples=["unassalpha"] if picture.alpha is not None else None,
        compression="zlib",
        compressionargs={"level": 1},
        predictor=array.dtype != np.float32,  # that of floating point needs a package more
        resolution=picture.dpi,
        resolutionunit="inch" if picture.dpi else None,
        metadata=None,
        software=False,
        extratags=extra,
    )
    if below:
        with tifffile.TiffFile(path) as tiff:
            places = {tag: tiff.pages.first.tags[tag - 1] for tag in below}
        with path.open("r+b") as file:
            for tag, place in places.items():
                start = file.seek(0, io.SEEK_END)
                start += file.write(bytes(start % 2))  # directories begin at even offsets
                file.write(laid(below[tag], order, start))
                file.seek(place.offset)
                file.write(struct.pack(order + "H", tag))
                file.seek(place.valueoffset)
                file.write(struct.pack(order + "I", start))
