"""Count how often pixels tell of the JPEG that they were: python benchmarks/jpeg_past.py FOLDER [--smaller N]

Every picture of FOLDER, made smaller N times, goes through JPEG of some qualities (4:4:4, 4:2:2 and 4:2:0 in turn) and loses
some rows and columns at the top and left. A line is a quality: of how many pictures it is told, as what, and how long that
takes on the median; first without JPEG, where every one that is told is wrong, or was a JPEG before.
"""

import argparse
import io
import time
from collections import Counter
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from srcli.engine.evaluate import shrink
from srcli.engine.folders import list_pictures, read_rgb
from srcli.media.jpeg_past import past_quality

QUALITIES = (None, 98, 97, 96, 95, 94, 92, 90, 85, 80, 75, 60, 40, 20)


def main(folder: Path, smaller: int) -> None:
    """Print a line for each quality."""
    pictures = [shrink(hr, smaller) if smaller > 1 else hr for hr in map(read_rgb, list_pictures(folder))]
    print(f"{len(pictures)} pictures of '{folder.name}', 1/{smaller}")
    for quality in QUALITIES:
        told, seconds = [], []
        for n, pixels in enumerate(pictures):
            coded = _coded(pixels, quality, n % 3) if quality else pixels
            started = time.perf_counter()
            told.append(past_quality(coded[n % 8 :, 3 * n % 8 :]))
            seconds.append(time.perf_counter() - started)
        found = Counter(filter(None, told))
        spread = ", ".join(f"{each} ({count})" for each, count in sorted(found.items()))
        print(f"{quality or 'none':>6}  told {found.total():>3}  {1e3 * median(seconds):>5.0f} ms  {spread}", flush=True)


def _coded(pixels: np.ndarray, quality: int, subsampling: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.array(Image.open(buffer).convert("RGB"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--smaller", type=int, default=1, metavar="N", help="bicubic, before")
    arguments = parser.parse_args()
    main(arguments.folder, arguments.smaller)
