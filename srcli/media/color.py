"""Colour profiles: CMYK and other profiles to sRGB; what is coded for HDR."""

import io
from dataclasses import replace

import numpy as np
from PIL import Image, ImageCms

from srcli.media.picture import Picture

TRANSFERS = {16: "PQ", 18: "HLG"}  # code points of H.273 whose values are for HDR


def hdr(transfer: int) -> list[str]:
    """Say of values that are coded for HDR that no weights have seen any; nothing of others."""
    name = TRANSFERS.get(transfer)
    return [f"HDR ({name}): upscaled as it is coded; the weights know SDR"] if name else []


def to_srgb(picture: Picture) -> Picture:
    """Convert the colours from the picture's profile to sRGB, which needs none; what cannot be keeps it and a note."""
    if picture.icc is None:
        return picture
    if picture.pixels.dtype != np.uint8:
        return replace(picture, notes=(*picture.notes, "colours of more than 8 bits are not converted: the profile is kept"))
    gray = picture.pixels.shape[2] == 1
    image = Image.fromarray(picture.pixels[..., 0] if gray else picture.pixels)
    try:
        if gray and not picture.gray_profile:
            image = image.convert("RGB")
        converted = _converted(image, picture.icc)
    except (ImageCms.PyCMSError, OSError):
        converted = None
    if converted is None:
        return replace(picture, notes=(*picture.notes, "the colour profile is damaged: not converted, but kept"))
    pixels = np.array(converted)[..., : 1 if gray else 3]
    return replace(picture, pixels=np.ascontiguousarray(pixels), icc=None, chunks={})


def from_cmyk(image: Image.Image) -> tuple[Image.Image, str]:
    """Convert to sRGB through the picture's own profile, or plainly where it has none that works."""
    if icc := image.info.get("icc_profile"):
        try:
            converted = _converted(image, icc)
        except (ImageCms.PyCMSError, OSError):
            return image.convert("RGB"), "CMYK converted to RGB without its profile, which is damaged"
        if converted is not None:
            return converted, "CMYK converted to sRGB through its profile, which is not kept"
    return image.convert("RGB"), "CMYK converted to RGB"


def _converted(image: Image.Image, icc: bytes) -> Image.Image | None:
    own = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.BLACKPOINTCOMPENSATION
    return ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), intent, "RGB", flags=flags)
