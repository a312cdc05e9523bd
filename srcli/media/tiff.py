"""TIFF of 16 bits and floating point, and the metadata of every TIFF."""

import io
import logging
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from PIL import ExifTags
from PIL.TiffImagePlugin import ImageFileDirectory_v1, ImageFileDirectory_v2

from srcli.errors import BadPicture
from srcli.media.bigtiff import TileWriter
from srcli.media.exif import POINTERS, SIZES, Field, data_of, entries, fields_of, laid, moved, value_of
from srcli.media.metadata import Metadata, resolution
from srcli.media.picture import Array, Picture
from srcli.media.pixels import in_range, stacked, strips_of, unmultiplied
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


# What a TIFF tells besides its layout: description, make, model, software, date, artist, copyright
_LARGEST = 2**31  # bytes of pixels in a TIFF with offsets of 32 bits
_DESCRIPTIVE = (270, 271, 272, 305, 306, 315, 33432)


def tiff_metadata(file: BinaryIO) -> Metadata:
    tags = tiff_tags(file)
    exif = [field for field in _fields(file, tags) if field.tag in _DESCRIPTIVE or isinstance(field.data, list)]
    icc, xmp = tags.get(34675), tags.get(700)
    inches = {2: 1.0, 3: 2.54}.get(tags.get(296, 2))
    dpi = resolution(*(tags[tag] * inches for tag in (282, 283))) if inches and 282 in tags and 283 in tags else None
    return Metadata(
        icc if isinstance(icc, bytes) else None,
        laid(exif, "<" if tags.prefix == b"II" else ">") if exif else None,
        xmp if isinstance(xmp, bytes) else None,
        dpi,
    )


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
    """Read the first page, of 16 bits or of floating point in [0, 1]."""
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it logs of damage is not for stderr
    file.seek(0)
    with tifffile.TiffFile(file) as tiff:
        page, pages = tiff.pages.first, len(tiff.pages)
        kind = page.dtype.kind if page.dtype else "?"
        if kind not in "uf" or page.dtype in (np.uint8, np.uint32, np.uint64):
            raise BadPicture(f"pixels of type {page.dtype}; srcli reads 8 and 16 bits and floating point")
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
        pixels = (1 if kind == "f" else 65535) - pixels
    if array.shape[-1] > colours:
        meaning = int(page.extrasamples[0]) if page.extrasamples else 0
        if meaning in (1, 2):
            alpha = np.ascontiguousarray(array[..., colours])
        else:
            notes.append("an extra channel that is not alpha is left out")
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
        raise BadPicture(f"no decoder for {page.compression.name} compression; save it with deflate or none") from error
    if page.planarconfig == 2 and array.ndim == 3:
        array = np.moveaxis(array, 0, -1)
    return array.reshape(*array.shape[:2], -1)


def tiff_fields(picture: Picture) -> list[Field]:
    """Lay the metadata of a picture out as little-endian fields."""
    fields = [
        field
        for field in (fields_of(picture.exif) if picture.exif else ())
        if (field.tag in _DESCRIPTIVE and field.kind == 2) or field.tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)
    ]
    if picture.dpi:
        for tag, dpi in zip((282, 283), picture.dpi, strict=True):
            fraction = Fraction(dpi).limit_denominator(10**4)
            fields.append(Field(tag, 5, 1, struct.pack("<II", fraction.numerator, fraction.denominator)))
        fields.append(Field(296, 3, 1, struct.pack("<H", 2)))
    data = ((34675, 7, picture.icc), (700, 1, picture.xmp))
    return [*fields, *(Field(tag, kind, len(value), value) for tag, kind, value in data if value)]


def write_tiff(picture: Picture, path: Path) -> None:
    """Write a TIFF of strips, or BigTIFF of tiles where offsets of 32 bits might not reach."""
    if picture.pixels.nbytes > _LARGEST:
        _write_bigtiff(picture, path)
    else:
        _write_strips(picture, path)


def _write_bigtiff(picture: Picture, path: Path) -> None:
    (height, width), channels = picture.pixels.shape[:2], picture.pixels.shape[2] + (picture.alpha is not None)
    with path.open("wb") as file:
        writer = TileWriter(file, (height, width, channels), picture.pixels.dtype, fields=tiff_fields(picture))
        for strip in strips_of(picture):
            writer.write(stacked(strip))
        writer.finish()


def _write_strips(picture: Picture, path: Path) -> None:
    import tifffile

    extra: list[tuple[int, str, int, bytes | str | int, bool]] = []
    for tag, data in ((34675, picture.icc), (700, picture.xmp)):
        if data:
            extra.append((tag, "B", len(data), data, True))
    pointers = {}
    order: Literal["<", ">"] = "<"
    for entry in entries(picture.exif or b""):
        assert picture.exif
        order = entry.order
        if entry.tag in (code for code, *_ in extra):
            continue  # the first counts
        if entry.tag in _DESCRIPTIVE and entry.kind == 2 and (data := data_of(picture.exif, entry)):
            extra.append((entry.tag, "s", 0, data, True))
        elif entry.tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            pointers[entry.tag - 1] = value_of(picture.exif, entry)
            extra.append((entry.tag - 1, "I", 1, 0, True))  # tifffile refuses to write the tag itself; put right below
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
    if picture.exif and pointers:
        with tifffile.TiffFile(path) as tiff:
            places = {code: tiff.pages.first.tags[code] for code in pointers}
        with path.open("r+b") as file:
            start = file.seek(0, io.SEEK_END)
            start += file.write(bytes(start % 2))  # directories begin at even offsets
            file.write(moved(picture.exif, start))
            for code, place in places.items():
                file.seek(place.offset)
                file.write(struct.pack(order + "H", code + 1))
                file.seek(place.valueoffset)
                file.write(struct.pack(order + "I", start + pointers[code]))
