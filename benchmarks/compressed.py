"""Score clean and `photo` weights on LR that was compressed as JPEG: python benchmarks/compressed.py FOLDER [-s SCALE]

Bicubic LR of every HR picture of FOLDER is encoded at some qualities (4:2:0, as Pillow does) and upscaled. A line is a quality:
mean PSNR (dB, Y, border of the scale shaved) of bicubic, of the default weights and of the `photo` ones, and on how many
pictures these are ahead of those.
"""

import argparse
import io
from pathlib import Path

import numpy as np
from PIL import Image

import srcli
from srcli.engine.evaluate import Protocol, compare, shrink
from srcli.engine.folders import list_pictures, read_rgb
from srcli.zoo import DEFAULT, PHOTO

QUALITIES = (95, 92, 90, 85, 80, 75, 60, 40)


def main(folder: Path, scale: int) -> None:
    """Print a line for each quality."""
    networks = {name: srcli.load(name, scale=scale) for name in ("bicubic", DEFAULT, PHOTO)}
    pictures = [_cut(read_rgb(path), scale) for path in list_pictures(folder)]
    small = [shrink(hr, scale) for hr in pictures]
    protocol = Protocol(scale=scale)
    print(f"x{scale}, {len(pictures)} pictures\nquality  {'  '.join(f'{name:>10}' for name in networks)}  {PHOTO} ahead")
    for quality in QUALITIES:
        lr = [_compressed(pixels, quality) for pixels in small]
        psnr = {
            name: np.asarray([compare(up(each), hr, protocol)[0] for each, hr in zip(lr, pictures, strict=True)])
            for name, up in networks.items()
        }
        means = "  ".join(f"{values.mean():>10.2f}" for values in psnr.values())
        print(f"{quality:>7}  {means}  {int((psnr[PHOTO] > psnr[DEFAULT]).sum())}", flush=True)


def _cut(hr: np.ndarray, scale: int) -> np.ndarray:
    height, width = (size // scale * scale for size in hr.shape[:2])
    return hr[:height, :width]


def _compressed(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-s", "--scale", type=int, default=4)
    arguments = parser.parse_args()
    main(arguments.folder, arguments.scale)
