"""Score weights on LR that was compressed: python benchmarks/compressed.py FOLDER|VIDEO [-s SCALE] [-m NAME,NAME,...]

Bicubic LR of every HR picture of FOLDER is encoded as JPEG, or WebP with --format webp, of some qualities, that of VIDEO's
frames as H.264 of some CRF (by x264, all 4:2:0), and upscaled. A line is a quality: mean PSNR (dB, Y, border of the scale
shaved) of bicubic and of the weights, and on how many pictures the last ones are ahead of the first.
"""

import argparse
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
from PIL import Image

import srcli
from srcli.engine.evaluate import Protocol, compare, shrink
from srcli.engine.folders import list_pictures, read_rgb
from srcli.media.h264 import coded
from srcli.media.video import probe_video, rgb

QUALITIES = (95, 92, 90, 88, 85, 80, 75, 60, 40)
CRFS = (12, 18, 23, 26, 28, 30, 33)


def main(source: Path, scale: int, names: list[str], frames: int, format: str) -> None:
    """Print a line for each quality."""
    networks = {name: srcli.load(name, scale=scale) for name in ["bicubic", *names]}
    pictures = [
        _cut(hr, scale) for hr in (map(read_rgb, list_pictures(source)) if source.is_dir() else _frames(source, frames))
    ]
    small = [shrink(hr, scale) for hr in pictures]
    protocol = Protocol(scale=scale)
    print(f"x{scale}, {len(pictures)} pictures of '{source.name}'")
    print("  ".join(f"{name:>14}" for name in ("quality" if source.is_dir() else "CRF", *networks, "last > first")))
    for quality in QUALITIES if source.is_dir() else CRFS:
        lr = [_encoded(pixels, format, quality) for pixels in small] if source.is_dir() else coded(small, quality)
        psnr = {
            name: np.asarray([compare(up(each), hr, protocol)[0] for each, hr in zip(lr, pictures, strict=True)])
            for name, up in networks.items()
        }
        ahead = int((psnr[names[-1]] > psnr[names[0]]).sum())
        print(
            "  ".join([f"{quality:>14}", *(f"{values.mean():>14.2f}" for values in psnr.values()), f"{ahead:>14}"]), flush=True
        )


def _cut(hr: np.ndarray, scale: int) -> np.ndarray:
    """Cut to sides that LR of even sides fits, as 4:2:0 has them."""
    height, width = (size // (2 * scale) * 2 * scale for size in hr.shape[:2])
    return hr[:height, :width]


def _encoded(pixels: np.ndarray, format: str, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, quality=quality)
    return np.array(Image.open(buffer).convert("RGB"))


def _frames(video: Path, count: int) -> Iterator[np.ndarray]:
    """Yield the first frames of a video."""
    track = probe_video(video).tracks[0]
    with av.open(video) as container:
        for frame in islice(container.decode(video=0), count):
            yield rgb(frame, track)[0]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("-s", "--scale", type=int, default=4)
    parser.add_argument("-m", "--models", default="rfdn,rfdn-photo", help="comma between them")
    parser.add_argument("--frames", type=int, default=50, help="of a video")
    parser.add_argument("--format", default="jpeg", choices=("jpeg", "webp"), help="of pictures")
    arguments = parser.parse_args()
    main(arguments.source, arguments.scale, arguments.models.split(","), arguments.frames, arguments.format)
