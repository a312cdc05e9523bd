"""Picture files to arrays, with everything they carry.

Pillow reads everyday stills and all metadata; PyAV and tifffile read what has more than 8 bits, which Pillow
would silently reduce. A picture is read whole or refused: one whose data end early is "truncated", even where most of it
would decode. Animations give their first frame and a note.
"""

import errno
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from srcli.errors import BadPicture
from srcli.media.avif import avif_color, avif_depth, read_deep_avif
from srcli.media.color import from_cmyk, hdr
from srcli.media.dds import has_bit_fields, read_bit_fields
from srcli.media.exif import entries, exchanged, patched, without_preview
from srcli.media.heic import heic_color, read_deep_heic
from srcli.media.losses import losses_of
from srcli.media.metadata import metadata_of, quality_of, text_of, without_motion
from srcli.media.picture import Array, Picture
from srcli.media.pixels import in_range, upright
from srcli.media.png import png_color, read_png16
from srcli.media.ppm import read_ppm16
from srcli.media.probe import GRAY, MAX_PIXELS, Header, open_header, opened, reading
from srcli.media.tga import unrolled
from srcli.media.tiff import read_deep_tiff, tiff_metadata, tiff_tags

_DTYPES = {8: np.uint8, 16: np.uint16, 32: np.float32}


_AWAY = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT}  # of drives in a network that were out of reach for a moment
_MOMENT = 1.0  # seconds until such a drive is asked again


def read_image(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture with all it carries, turned upright, once more where its drive was away; raise BadPicture in one line."""
    try:
        return _read(path, max_pixels)
    except BadPicture as error:
        if getattr(error.__cause__, "errno", None) not in _AWAY:
            raise
    time.sleep(_MOMENT)
    return _read(path, max_pixels)


def _read(path: Path, max_pixels: int) -> Picture:
    with reading(path), opened(path) as file:
        header = open_header(file, path, max_pixels)
        image, facts = header.image, header.facts
        if image is None:
            pixels, alpha, notes = read_deep_tiff(file)
        elif facts.format == "png" and facts.depth == 16:
            _, _, notes = _read_everyday(file, image)  # 8 bits, thrown away: proves the stream
            pixels, alpha = read_png16(file, image)
        elif facts.format == "avif" and facts.depth == 16:
            pixels, alpha = read_deep_avif(file, image)
            notes = []
        elif facts.format == "heic" and facts.depth == 16:
            pixels, alpha = read_deep_heic(file, image)
            notes = _of_several(image)
        elif has_bit_fields(image):
            levels = read_bit_fields(file, image)
            pixels, alpha, notes = levels[..., :3], _seen(image, levels[..., 3:]), []
        elif facts.format == "ppm" and facts.depth == 16:
            pixels, alpha, notes = read_ppm16(file), None, []
        else:
            pixels, alpha, notes = _read_everyday(file, image)
        rest = carried(file, header)
        pixels = upright(pixels, header.orientation)
        alpha = None if alpha is None else upright(alpha, header.orientation)
        if pixels.shape[:2] != (facts.height, facts.width):  # a HEIC whose boxes were changed
            raise ValueError(f"{pixels.shape[1]} x {pixels.shape[0]} px where the header says {facts.width} x {facts.height}")
        return replace(rest, pixels=pixels, alpha=alpha, notes=(*notes, *rest.notes))


def carried(file: BinaryIO, header: Header) -> Picture:
    """Read everything but the pixels, of which there are none yet."""
    image, facts = header.image, header.facts
    if facts.format == "tiff":
        (icc, exif, xmp, dpi, iptc), notes = tiff_metadata(file, deep=image is None)
    else:
        (icc, exif, xmp, dpi, iptc), notes = metadata_of(image), losses_of(file, image)
    if exif is not None and not any(True for _ in entries(exif)):
        exif = None
        notes.append("damaged EXIF data are not kept")
    turned = header.orientation
    if facts.format == "tiff":  # some of which Pillow turns itself
        tags = tiff_tags(file)
        tag = tags.get(ExifTags.Base.Orientation, 1)
        turned = tag if tag in range(1, 9) else 1
        if image is not None and (bits := int(np.max(tags.get(ExifTags.Base.BitsPerSample, 1)))) > 8:
            notes.append(f"{bits} bits reduced to 8")
    if exif is not None and turned > 1:
        exif = without_preview(exif)  # which is made from the picture, and lies as that lay before it was turned
    if exif is not None and turned >= 5:
        exif = exchanged(exif, ExifTags.Base.XResolution, ExifTags.Base.YResolution)
    if xmp and facts.format == "jpeg":
        xmp = without_motion(xmp)
    if icc is not None and icc[16:20] not in (b"RGB ", b"GRAY"):
        icc = None  # of CMYK or Lab, which the pixels no longer are
    if facts.format == "avif" and facts.depth == 8 and (bits := avif_depth(file)) > 8:
        notes.append(f"{bits} bits reduced to 8")
    chunks = _color(file, header)
    tag = chunks.get(b"cICP", b"")
    notes += hdr(tag[1]) if len(tag) == 4 else []
    return Picture(
        pixels=np.empty((0, facts.width, facts.channels), _DTYPES[facts.depth]),
        icc=icc,
        exif=exif and patched(exif, {ExifTags.Base.Orientation: 1}),
        xmp=re.sub(rb"(tiff:Orientation(?:=[\"']|>))\d", rb"\g<1>1", xmp) if xmp and turned > 1 else xmp,
        dpi=dpi[::-1] if dpi and turned >= 5 else dpi,
        iptc=iptc,
        text=text_of(image),
        chunks=chunks,
        format=facts.format,
        quality=quality_of(file, image),
        notes=tuple(notes),
    )


def _read_everyday(file: BinaryIO, image: ImageFile.ImageFile) -> tuple[Array, Array | None, list[str]]:
    notes = _of_several(image)
    try:
        image.load()
    except OSError as error:
        if not (image.format == "TGA" and "overrun" in str(error)):
            raise
        image = unrolled(file, image)
        image.load()
    still: Image.Image = image
    if image.mode == "CMYK":
        still, note = from_cmyk(image)
        notes.append(note)
    elif image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        still = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB") or image
        notes.append("Lab converted to sRGB")
    if still.mode == "F":
        return in_range(np.asarray(still)[..., None]), None, notes
    gray = still.mode in GRAY
    if still.has_transparency_data:
        array = _array(still, "RGBA")
        # gray + transparency goes through RGBA: Pillow's direct way to LA forgets the transparent level of some modes
        alpha = _seen(image, array[..., 3:])
        if alpha is None and image.format == "TGA":
            notes.append("its alpha, 0 all over, is taken for none")
        return array[..., : 1 if gray else 3].copy(), alpha, notes
    return _array(still, "L" if gray else "RGB"), None, notes


def _of_several(image: ImageFile.ImageFile) -> list[str]:
    """Say that there are pages, frames or pictures that are not read."""
    several = getattr(image, "n_frames", 1)
    if several == 1:
        return []
    among = "pages" if isinstance(image, TiffImageFile) else "frames"
    which = f"main one of {several} pictures" if image.format == "HEIF" else f"first of {several} {among}"
    return [f"only the {which} is read"]


def _seen(image: ImageFile.ImageFile, alpha: Array) -> Array | None:
    """(H, W) of an alpha of (H, W, 0 or 1), and None of one that means nothing: 0 all over in a TGA, 255 in a DDS."""
    if not alpha.size or (image.format == "TGA" and not alpha.any()) or (image.format == "DDS" and alpha.min() == 255):
        return None
    return alpha[..., 0].copy()


def _color(file: BinaryIO, header: Header) -> dict[bytes, bytes]:
    """Give the chunks that say in a PNG what colours are meant."""
    match header.facts.format, header.image:
        case "png", _:
            return png_color(file)
        case "avif", _:
            return avif_color(file)
        case "heic", image if image:
            return heic_color(image)
    return {}


def _array(image: Image.Image, mode: str) -> Array:
    """(H, W, C) of an image in a mode, in strips: whole, Pillow would hold it three times more."""
    array = np.empty((image.height, image.width, len(mode)), np.uint8)
    for top in range(0, image.height, 256):
        strip = image.crop((0, top, image.width, min(top + 256, image.height)))
        array[top : top + 256] = np.asarray(strip.convert(mode)).reshape(strip.height, strip.width, -1)
    return array
