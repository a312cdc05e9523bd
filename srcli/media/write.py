"""Pictures to files, whole or not at all, with notes of what a format cannot carry."""

import io
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image
from PIL.JpegImagePlugin import JpegImageFile

from srcli.errors import BadPicture, first_line
from srcli.files import atomic, make_folder
from srcli.files import unwritten as cannot_write
from srcli.media.bigtiff import TileWriter
from srcli.media.exif import fields_of, patched, size_tags, without
from srcli.media.formats import FORMATS, SUFFIXES, size_limit
from srcli.media.metadata import encoded, resized
from srcli.media.picture import Picture, Quality
from srcli.media.pixels import flattened, reduced, stacked, strips_of
from srcli.media.png import PNG_LEVEL, PngWriter, png_chunks
from srcli.media.ppm import write_ppm16
from srcli.media.probe import quiet
from srcli.media.tiff import tiff_fields, unwritten, write_tiff

_CLASSIC = 2**31  # bytes of pixels in a TIFF with offsets of 32 bits


def write_image(
    picture: Picture,
    path: Path,
    *,
    format: str | None = None,
    quality: int | None = None,
    png_level: int = PNG_LEVEL,
    fresh: bool = False,
) -> tuple[str, ...]:
    """Write a picture whole or not at all and say in one line each what the format could not carry.

    Without `quality` a JPEG is coded no coarser than the JPEG it came from and no coarser than quality 92 (others: 95,
    4:4:4), WebP at 95 (lossless if the source was) and AVIF at 90. `fresh`: what is there is not replaced.
    Raises BadPicture, and BadFolder for the folder.
    """
    format = format or SUFFIXES.get(path.suffix.lower(), "")
    if format not in FORMATS:
        raise BadPicture(f"cannot write '{path}': the formats are {', '.join(FORMATS)}")
    height, width = picture.pixels.shape[:2]
    refuse_size(height, width, format, path)
    picture, notes = fitted(picture, format, (height, width))
    make_folder(path.parent)
    with writing(path), quiet(), atomic(path, fresh=fresh) as temporary:
        if format == "png" or (format == "tiff" and picture.pixels.nbytes > _CLASSIC):
            _write_rows(picture, temporary, format, png_level)
        elif format == "tiff":
            write_tiff(picture, temporary)
        elif format == "ppm" and picture.pixels.dtype == np.uint16:
            write_ppm16(picture, temporary)
        else:
            _write_everyday(picture, temporary, format, quality)
    return notes


def refuse_size(height: int, width: int, format: str, path: Path) -> None:
    """Raise BadPicture where a format has no such size."""
    if max(height, width) > size_limit(format):
        raise BadPicture(
            f"cannot write '{path}': {width} x {height} px is more than the {size_limit(format)} of {format.upper()}"
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn whatever a library raises into one line."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error, BadPicture) from error
    except Exception as error:
        raise BadPicture(f"cannot write '{path}': {first_line(error)}") from error


_METADATA = {
    "icc": "the colour profile",
    "exif": "the EXIF data",
    "xmp": "the XMP data",
    "dpi": "the resolution in dpi",
    "iptc": "the IPTC data",
    "text": "the text",
    "chunks": "the colour tags",
}


def fitted(picture: Picture, format: str, size: tuple[int, int]) -> tuple[Picture, tuple[str, ...]]:
    """Reduce a picture, or the rows of one of `size` (height, width), to what a format carries; list what that took away."""
    name, _, depth, carried = FORMATS[format]
    carries, notes = carried.split(), []
    pixels, alpha = picture.pixels, picture.alpha
    if alpha is not None and "alpha" not in carries:
        pixels, alpha = flattened(pixels, alpha), None
        notes.append(f"{name} has no transparency: flattened on white")
    bits = 8 * pixels.dtype.itemsize
    if bits > depth:
        pixels, alpha = reduced(pixels, depth), None if alpha is None else reduced(alpha, depth)
        notes.append(f"{name} has {depth} bits: reduced from {'float' if bits == 32 else bits}")
    # Pillow turns gray with alpha into RGBA for AVIF; few read it in TGA
    gray = "gray" in carries and (alpha is None or format not in ("avif", "tga"))
    lost = uncarried(picture, carries)
    if pixels.shape[2] == 1 and not gray:
        pixels = np.repeat(pixels, 3, axis=2)
        notes.append(f"{name} has no gray{'' if alpha is None else ' with transparency'}: stored as colour")
        if picture.gray_profile:
            lost.add("icc")
    if format == "jpeg":  # whose segments end at 64 kB
        lost |= {key for key in ("exif", "xmp", "iptc") if len(getattr(picture, key) or b"") > 65500}
        lost |= {"text"} if len(encoded(picture.text.get("Comment", ""))) > 65500 else set()
    if lost:
        notes.append(f"{name} cannot carry {named(lost, picture)}")
    if format == "tiff" and picture.exif:
        notes += unwritten(fields_of(picture.exif))
    height, width = size
    reduced_to = replace(
        picture,
        pixels=pixels,
        alpha=alpha,
        icc=None if "icc" in lost else picture.icc,
        exif=patched(picture.exif, size_tags(height, width)) if picture.exif and "exif" not in lost else None,
        xmp=resized(picture.xmp, height, width) if picture.xmp and "xmp" not in lost else None,
        dpi=None if "dpi" in lost else picture.dpi,
        iptc=None if "iptc" in lost else picture.iptc,
        text={} if "text" in lost else picture.text,
        chunks=picture.chunks if "chunks" in carries else {},
    )
    return reduced_to, tuple(notes)


def uncarried(picture: Picture, carries: Sequence[str]) -> set[str]:
    """Tell which metadata a format does not carry; colour tags that say no more than sRGB are no loss."""
    lost = {key for key in _METADATA if getattr(picture, key) and key not in carries}
    if "comment" in carries and set(picture.text) == {"Comment"}:
        lost.discard("text")
    if _is_srgb(picture.chunks):
        lost.discard("chunks")
    return lost


def named(lost: Collection[str], picture: Picture) -> str:
    """Name metadata for a note; text that is but a comment, as JPEG and GIF have it, as that."""
    words = _METADATA | ({"text": "the comment"} if set(picture.text) == {"Comment"} else {})
    return ", ".join(word for key, word in words.items() if key in lost)


def _is_srgb(chunks: Mapping[bytes, bytes]) -> bool:
    """Tell whether colour chunks say no more than what is taken for granted without them."""
    primaries = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
    usual = {b"sRGB": chunks.get(b"sRGB"), b"gAMA": struct.pack(">I", 45455), b"cHRM": primaries}
    return all(usual.get(name) == data for name, data in chunks.items())


def encoder(
    file: BinaryIO, shape: tuple[int, int, int], carried: Picture, format: str, *, png_level: int
) -> PngWriter | TileWriter:
    """Begin a PNG, or else a tiled BigTIFF, of `shape` (H, W, C) that takes its rows in order; the rest is from `carried`."""
    if format == "png":
        return PngWriter(file, shape, carried.pixels.dtype, chunks=png_chunks(carried), level=png_level)
    return TileWriter(file, shape, carried.pixels.dtype, fields=tiff_fields(carried))


def _write_rows(picture: Picture, path: Path, format: str, png_level: int) -> None:
    (height, width), channels = picture.pixels.shape[:2], picture.pixels.shape[2] + (picture.alpha is not None)
    with path.open("wb") as file:
        writer = encoder(file, (height, width, channels), picture, format, png_level=png_level)
        for rows in strips_of(picture):
            writer.write(rows)
        writer.finish()


def _write_everyday(picture: Picture, path: Path, format: str, quality: int | None) -> None:
    array = stacked(picture)
    image = Image.fromarray(array if array.shape[2] > 1 else array[..., 0])
    source = picture.quality or Quality()
    options: dict[str, Any] = {}
    for key, value in (("icc_profile", picture.icc), ("exif", picture.exif), ("xmp", picture.xmp), ("dpi", picture.dpi)):
        if value:
            options[key] = value
    if format == "avif" and picture.exif:  # Pillow takes EXIF data with it apart, and loses what it does not know
        options["exif"] = without(picture.exif, ExifTags.Base.Orientation)
    if format == "jpeg":
        if picture.exif:
            options["exif"] = b"Exif\0\0" + picture.exif
        if picture.iptc:
            resource = b"8BIM\x04\x04\0\0" + struct.pack(">I", len(picture.iptc)) + picture.iptc
            block = b"Photoshop 3.0\0" + resource + bytes(len(picture.iptc) % 2)
            options["extra"] = b"\xff\xed" + struct.pack(">H", len(block) + 2) + block
        if "Comment" in picture.text:
            options["comment"] = encoded(picture.text["Comment"])
        options["subsampling"] = source.subsampling
        if quality is None and source.tables:
            options["qtables"] = _finer(source.tables, 92)
        else:
            options["quality"] = quality or 95
    elif format == "webp":
        lossless = source.lossless and quality is None
        options |= {"lossless": lossless, "quality": 75 if lossless else quality or 95, "exact": True}
    elif format == "avif":
        options |= {"quality": quality or 90, "subsampling": "4:0:0" if array.shape[2] == 1 else "4:4:4"}
    save(image, path, format, **options)


class _NoDescriptor:
    """A file that Pillow cannot write to past Python: it would take a short write, of a disk that fills, for a whole one."""

    def __init__(self, file: BinaryIO) -> None:
        self.write, self.flush = file.write, file.flush


def save(image: Image.Image, path: Path, format: str, **options: Any) -> None:
    """Let Pillow write a file, all of it or an error."""
    with path.open("wb") as file:
        image.save(_NoDescriptor(file), format.upper(), **options)  # type: ignore[arg-type]


def _finer(tables: tuple[list[int], ...], quality: int) -> list[list[int]]:
    """Take the smaller step, entry by entry, of the source's tables and of libjpeg's at `quality`."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", quality=quality)
    buffer.seek(0)
    standard = list(JpegImageFile(buffer).quantization.values())
    return [[min(pair) for pair in zip(table, standard[min(i, 1)], strict=True)] for i, table in enumerate(tables)]
