"""Make the example pictures from the originals that scikit-image ships: python examples/make.py SKIMAGE_DATA_FOLDER.

The originals are kept as AVIF, and as PNG at a quarter of their size by srcli's own bicubic, so that x4 gives the size back.
"""

import sys
from pathlib import Path

from PIL import Image

from srcli.engine.evaluate import shrink
from srcli.engine.folders import read_rgb

HERE = Path(__file__).parent
PICTURES = {"astronaut": "astronaut.png", "cat": "chelsea.png", "coffee": "coffee.png", "rocket": "rocket.jpg"}


def main(source: Path) -> None:
    """Write originals/*.avif and *.png beside this file."""
    for name, file in PICTURES.items():
        pixels = read_rgb(source / file)
        height, width = (n // 4 * 4 for n in pixels.shape[:2])
        hr = pixels[:height, :width]
        (HERE / "originals").mkdir(exist_ok=True)
        Image.fromarray(hr).save(HERE / "originals" / f"{name}.avif", quality=88, subsampling="4:4:4")
        Image.fromarray(shrink(hr, 4)).save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
