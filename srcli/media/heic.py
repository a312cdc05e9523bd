"""HEIC, the photographs of phones, through the extra `srcli[heic]`."""

from typing import BinaryIO

import numpy as np
from PIL import ImageFile

from srcli.media.avif import color_tag
from srcli.media.picture import Array


def open_heic(file: BinaryIO) -> ImageFile.ImageFile:
    """Open the main picture, of which libheif itself turns the pixels upright."""
    from pillow_heif import HeifImageFile

    return HeifImageFile(file)  # type: ignore[no-untyped-call]


def heic_depth(image: ImageFile.ImageFile) -> int:
    """Tell the bits a channel: 8, 10 or 12."""
    return int(image.info["bit_depth"])


def read_deep_heic(file: BinaryIO, image: ImageFile.ImageFile) -> tuple[Array, Array | None]:
    """Decode 10 or 12 bits to (H, W, 1 or 3) of 16, and alpha; Pillow's image would have 8."""
    import pillow_heif

    most = 2 ** heic_depth(image) - 1
    file.seek(0)
    stored = pillow_heif.open_heif(file, convert_hdr_to_8bit=False, hdr_to_16bit=False)
    levels: Array = np.atleast_3d(np.asarray(stored))
    values = np.empty(levels.shape, np.uint16)
    for top in range(0, len(levels), 256):
        values[top : top + 256] = (levels[top : top + 256].astype(np.uint32) * 65535 + most // 2) // most
        if stored.mode.startswith("RGBa"):  # alpha is multiplied in
            straight = values[top : top + 256, :, :3] * (65535 / np.maximum(values[top : top + 256, :, 3:], 1)) + 0.5
            values[top : top + 256, :, :3] = np.minimum(straight, 65535)
    return values[..., :3], values[..., 3].copy() if image.has_transparency_data else None


def heic_color(image: ImageFile.ImageFile) -> dict[bytes, bytes]:
    """Give the main picture's colours (BT.2020, PQ, HLG) as PNG has them, where no profile says them."""
    profile = image.info.get("nclx_profile")
    if not profile or image.info.get("icc_profile"):
        return {}
    return color_tag(int(profile["color_primaries"]), int(profile["transfer_characteristics"]))
