"""PPM and PGM of more than 8 bits."""

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from srcli.media.picture import Array, Picture
from srcli.media.pixels import spread


def ppm_header(file: BinaryIO) -> tuple[bytes, int, int, int, int]:
    """Magic, width, height, maximum and where the samples start, comments skipped; 0 of P1, P4 and Pf. Raises ValueError."""
    file.seek(0)
    head = file.read(65536)
    match = re.match(rb"(P[2356])" + 3 * rb"(?:\s|#[^\r\n]*[\r\n])+(\d+)" + rb"\s", head)
    if match is None:
        if re.match(rb"P[2356]", head):
            raise ValueError("its header cannot be read")
        return head[:2], 0, 0, 0, 0
    magic, width, height, maximum = match.groups()
    return magic, int(width), int(height), int(maximum), match.end()


def read_ppm16(file: BinaryIO) -> Array:
    magic, width, height, maximum, start = ppm_header(file)
    channels = 1 if magic in (b"P2", b"P5") else 3
    count = width * height * channels
    file.seek(start)
    if magic in (b"P2", b"P3"):
        samples = np.array(file.read().split()[:count], dtype=np.float64)
    else:
        samples = np.frombuffer(file.read(2 * count), dtype=">u2")
    if len(samples) < count:
        raise EOFError("pixels are missing")
    array = samples.reshape(height, width, channels)
    return array.astype(np.uint16) if maximum == 65535 else spread(array, maximum)


def write_ppm16(picture: Picture, path: Path) -> None:
    height, width, channels = picture.pixels.shape
    head = f"P{5 if channels == 1 else 6}\n{width} {height}\n65535\n"
    with path.open("wb") as file:
        file.write(head.encode())
        picture.pixels.astype(">u2").tofile(file)
