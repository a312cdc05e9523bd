"""Draw what weights do to pictures: python examples/photo.py OUT.png [--views NAME,NAME] PICTURE[:LEFT,TOP] ...

For each picture a crop of 120 x 80 px, all at x4: bicubic, the plain default model and its photo weights, unless told.
"""

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srcli.engine.folders import read_rgb
from srcli.engine.upscale import Upscaler
from srcli.zoo import DEFAULT, open_model

VIEWS = ("bicubic", DEFAULT, f"{DEFAULT}-photo")
WIDTH, HEIGHT, SCALE, GAP, CAPTION = 120, 80, 4, 6, 26


def main(out: Path, pictures: list[str], views: Sequence[str] = VIEWS) -> None:
    """Write the figure to `out`."""
    upscalers = {name: Upscaler(open_model(name, SCALE)[0], precision="fp32") for name in views}
    width, height = WIDTH * SCALE, HEIGHT * SCALE
    size = (len(views) * (width + GAP) - GAP, CAPTION + len(pictures) * (height + GAP) - GAP)
    figure = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(size=17)
    for column, (name, upscaler) in enumerate(upscalers.items()):
        x = column * (width + GAP)
        draw.text((x + width / 2, CAPTION / 2), name, fill="black", font=font, anchor="mm")
        for row, picture in enumerate(pictures):
            path, _, place = picture.partition(":")
            pixels = read_rgb(Path(path))
            middle = (pixels.shape[1] - WIDTH) // 2, (pixels.shape[0] - HEIGHT) // 2
            left, top = (int(n) for n in place.split(",")) if place else middle
            enlarged = upscaler.pixels(pixels)[SCALE * top : SCALE * top + height, SCALE * left : SCALE * left + width]
            figure.paste(Image.fromarray(np.ascontiguousarray(enlarged)), (x, CAPTION + row * (height + GAP)))
    figure.save(out, quality=90)


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--views", type=lambda names: names.split(","), default=VIEWS)
    parser.add_argument("pictures", nargs="+")
    main(**vars(parser.parse_args()))
