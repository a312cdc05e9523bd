"""Weigh PNG's levels, filters and strategies on upscaled pictures: python benchmarks/png_level.py [ROUNDS] [PICTURE ...]

Pictures (default: three of Kodak's from SRCLI_DATA, cut to 256 px, and a drawing with text) are enlarged x4 by rfdn. Each line
is one way to pack them: processor seconds and bytes, both relative to what `srcli upscale` does by default, photographs and the
drawing apart; the least of the rounds. Filters are applied in numpy where `write_image` has none, and their time counts.
"""

import io
import os
import platform
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, features

import srcli
from srcli.media.picture import Picture
from srcli.media.png import PNG_LEVEL
from srcli.media.write import write_image

SIDE = 256
LEVELS = (0, 1, 2, 3, 4, 6, 9)
Pack = Callable[[np.ndarray], int]  # (H, W, 3) uint8 -> bytes


def main(rounds: int, paths: list[Path]) -> None:
    """Print one line for each way of packing."""
    photographs = [_enlarged(np.asarray(Image.open(path).convert("RGB"))[:SIDE, :SIDE]) for path in paths]
    drawing = [_enlarged(_drawing())]
    ng = ", zlib-ng" if features.check_feature("zlib_ng") else ""
    print(f"{platform.machine()}, zlib {zlib.ZLIB_RUNTIME_VERSION}, Pillow {Image.__version__}{ng}, {rounds} rounds")
    print(f"{'':<26}{'photographs':>20}{'drawing':>20}")
    print(f"{'':<26}{'time':>10}{'bytes':>10}{'time':>10}{'bytes':>10}")
    usual = [_measured(_srcli(PNG_LEVEL), arrays, rounds) for arrays in (photographs, drawing)]
    for name, pack in _ways().items():
        line = f"{name:<26}"
        for arrays, (seconds, size) in zip((photographs, drawing), usual, strict=True):
            again, packed = _measured(pack, arrays, rounds)
            line += f"{again / seconds:>10.2f}{packed / size:>10.3f}"
        print(line, flush=True)
    pixels = sum(array.shape[0] * array.shape[1] for array in photographs)
    seconds, size = usual[0]
    print(f"1.00 is {seconds / pixels * 1e9:.1f} ms and {size / pixels * 1e6:,.0f} bytes a megapixel of the photographs")


def _ways() -> dict[str, Pack]:
    ways: dict[str, Pack] = {f"srcli, level {level}": _srcli(level) for level in LEVELS}
    ways |= {f"Pillow, level {level}": _pillow(level) for level in (1, 3, 6)}
    ways |= {f"{name}, level {level}": _filtered(name, level) for name in FILTERS for level in (1, 3)}
    strategies = {"filtered": zlib.Z_FILTERED, "run lengths": zlib.Z_RLE, "Huffman only": zlib.Z_HUFFMAN_ONLY}
    return ways | {f"up, level 1, {name}": _filtered("up", 1, strategy) for name, strategy in strategies.items()}


def _measured(pack: Pack, arrays: list[np.ndarray], rounds: int) -> tuple[float, int]:
    times, size = [], 0
    for _ in range(rounds):
        started = time.process_time()
        size = sum(pack(array) for array in arrays)
        times.append(time.process_time() - started)
    return min(times), size


def _srcli(level: int) -> Pack:
    def pack(array: np.ndarray) -> int:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "a.png"
            write_image(Picture(array), path, png_level=level)
            return path.stat().st_size

    return pack


def _pillow(level: int) -> Pack:
    def pack(array: np.ndarray) -> int:
        buffer = io.BytesIO()
        Image.fromarray(array).save(buffer, "PNG", compress_level=level)
        return len(buffer.getvalue())

    return pack


def _filtered(name: str, level: int, strategy: int = zlib.Z_DEFAULT_STRATEGY) -> Pack:
    def pack(array: np.ndarray) -> int:
        packer = zlib.compressobj(level, zlib.DEFLATED, 15, 8, strategy)
        rows = FILTERS[name](array)
        return len(packer.compress(rows.tobytes())) + len(packer.flush())

    return pack


def _neighbours(array: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left, above and above left of each value; 0 outside."""
    padded = np.pad(array, [(1, 0), (1, 0), (0, 0)])
    return padded[1:, :-1], padded[:-1, 1:], padded[:-1, :-1]


def _none(array: np.ndarray) -> np.ndarray:
    return array


def _sub(array: np.ndarray) -> np.ndarray:
    return array - _neighbours(array)[0]


def _up(array: np.ndarray) -> np.ndarray:
    return array - _neighbours(array)[1]


def _average(array: np.ndarray) -> np.ndarray:
    left, above, _ = _neighbours(array)
    return array - ((left.astype(np.uint16) + above) // 2).astype(np.uint8)


def _paeth(array: np.ndarray) -> np.ndarray:
    left, above, corner = (part.astype(np.int16) for part in _neighbours(array))
    distances = [np.abs(above - corner), np.abs(left - corner), np.abs(left + above - 2 * corner)]
    nearest = np.argmin(distances, axis=0)  # the first of equals: left, above, corner
    return array - np.choose(nearest, [left, above, corner]).astype(np.uint8)


FILTERS = {"no filter": _none, "sub": _sub, "up": _up, "average": _average, "paeth": _paeth}


def _enlarged(array: np.ndarray) -> np.ndarray:
    result: np.ndarray = srcli.load("rfdn", 4)(array)
    return result


def _drawing() -> np.ndarray:
    image = Image.new("RGB", (SIDE, SIDE), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((20, 20, 120, 90), fill="navy", outline="orange", width=3)
    draw.ellipse((130, 30, 240, 140), fill="crimson")
    for line in range(8):
        draw.text((12, 150 + 12 * line), "upscaled by srcli, line by line, as a page of text", fill="black")
    return np.asarray(image)


if __name__ == "__main__":
    names = sys.argv[2:] or [f"{os.environ['SRCLI_DATA']}/val/kodak24/{number}.png" for number in (1, 5, 23)]
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, [Path(name) for name in names])
