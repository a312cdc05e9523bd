"""Score weights on LR that was compressed: python benchmarks/compressed.py FOLDER|VIDEO [-s SCALE] [-m NAME,NAME,...]

Bicubic LR of every HR picture of FOLDER is encoded as JPEG, or WebP or AVIF with --format, of some qualities, that of VIDEO's
frames as H.264 of some CRF (by x264, all 4:2:0), and upscaled. A line is a quality: mean PSNR (dB, Y, border of the scale
shaved) of bicubic and of the weights, and on how many pictures the last ones are ahead of the first.

With --before QUALITY all pictures are encoded at that one, and a line is what happened to them before: nothing, a blur as of a
camera's lens and demosaicing, noise (Gaussian, seed 0), JPEG whose blocks a crop has moved, or JPEG made smaller afterwards.
"""

import argparse
import io
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageFilter

import srcli
from srcli.engine.evaluate import Protocol, compare, shrink
from srcli.engine.folders import list_pictures, read_rgb
from srcli.media.h264 import coded
from srcli.media.video import probe_video, rgb

QUALITIES = (95, 92, 90, 88, 85, 80, 75, 60, 40)
CRFS = (12, 18, 23, 26, 28, 30, 33)


def main(source: Path, scale: int, names: list[str], frames: int, format: str, before: int | None) -> None:
    """Print a line for each quality, or for each of what happened before."""
    networks = {name: srcli.load(name, scale=scale) for name in ["bicubic", *names]}
    pictures = [
        _cut(hr, scale) for hr in (map(read_rgb, list_pictures(source)) if source.is_dir() else _frames(source, frames))
    ]
    small = [shrink(hr, scale) for hr in pictures]
    protocol = Protocol(scale=scale)
    print(f"x{scale}, {len(pictures)} pictures of '{source.name}'")
    if not source.is_dir():
        label, rows = "CRF", ((str(crf), coded(small, crf)) for crf in CRFS)
    elif before is None:
        label, rows = "quality", ((str(quality), [_encoded(lr, format, quality) for lr in small]) for quality in QUALITIES)
    else:
        label = f"before {before}"
        rows = ((name, [_encoded(harm(lr), format, before) for lr in small]) for name, harm in HARMS.items())
    print("  ".join(f"{name:>14}" for name in (label, *networks, "last > first")))
    for name, lr in rows:
        psnr = {
            network: np.asarray([compare(up(each), hr, protocol)[0] for each, hr in zip(lr, pictures, strict=True)])
            for network, up in networks.items()
        }
        ahead = int((psnr[names[-1]] > psnr[names[0]]).sum())
        print("  ".join([f"{name:>14}", *(f"{values.mean():>14.2f}" for values in psnr.values()), f"{ahead:>14}"]), flush=True)


def _blurred(radius: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda lr: np.array(Image.fromarray(lr).filter(ImageFilter.GaussianBlur(radius)))


def _noisy(levels: float) -> Callable[[np.ndarray], np.ndarray]:
    def harm(lr: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(0).normal(0, levels, lr.shape)
        return np.clip(lr + noise, 0, 255).round().astype(np.uint8)

    return harm


def _coded_elsewhere(quality: int) -> Callable[[np.ndarray], np.ndarray]:
    """Encode with blocks 3 px from where they fall next."""

    def harm(lr: np.ndarray) -> np.ndarray:
        wider = np.pad(lr, ((3, 0), (3, 0), (0, 0)), mode="edge")
        return _encoded(wider, "jpeg", quality)[3:, 3:]

    return harm


def _coded_larger(quality: int) -> Callable[[np.ndarray], np.ndarray]:
    """Encode half as large again, and make that smaller."""

    def harm(lr: np.ndarray) -> np.ndarray:
        height, width = lr.shape[:2]
        larger = np.array(Image.fromarray(lr).resize((width * 3 // 2, height * 3 // 2), Image.Resampling.BICUBIC))
        return np.array(Image.fromarray(_encoded(larger, "jpeg", quality)).resize((width, height), Image.Resampling.BICUBIC))

    return harm


HARMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "nothing": lambda lr: lr,
    "blur 0.5 px": _blurred(0.5),
    "blur 0.8 px": _blurred(0.8),
    "noise 1.5": _noisy(1.5),
    "noise 3": _noisy(3),
    "noise 6": _noisy(6),
    "JPEG 90": _coded_elsewhere(90),
    "JPEG 80": _coded_elsewhere(80),
    "JPEG 75, 2/3": _coded_larger(75),
    "JPEG 60, 2/3": _coded_larger(60),
}


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
    parser.add_argument("--format", default="jpeg", choices=("jpeg", "webp", "avif"), help="of pictures")
    parser.add_argument("--before", type=int, metavar="QUALITY", help="the quality after something else happened to pictures")
    arguments = parser.parse_args()
    networks = arguments.models.split(",")
    main(arguments.source, arguments.scale, networks, arguments.frames, arguments.format, arguments.before)
