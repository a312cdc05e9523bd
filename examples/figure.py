"""Draw a before/after crop: python examples/figure.py OUT.png [NAME TOP LEFT SIDE], places in px of the original.

Bicubic, srcli's default model and the original beside each other, each crop enlarged twice without smoothing.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from srcli.engine.folders import read_rgb
from srcli.engine.upscale import Upscaler
from srcli.zoo import DEFAULT, open_model

HERE = Path(__file__).parent
ZOOM, GAP, CAPTION = 2, 6, 26


def main(out: Path, name: str, top: int, left: int, side: int) -> None:
    """Write the figure to `out`."""
    original, small = read_rgb(HERE / "originals" / f"{name}.avif"), read_rgb(HERE / f"{name}.png")
    views = {"bicubic": "bicubic", f"srcli ({DEFAULT})": DEFAULT}
    pictures = {label: Upscaler(open_model(model, 4)[0], precision="fp32").pixels(small) for label, model in views.items()}
    pictures["original"] = original
    width = side * ZOOM
    figure = Image.new("RGB", (len(pictures) * (width + GAP) - GAP, width + CAPTION), "white")
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(size=17)
    for i, (label, pixels) in enumerate(pictures.items()):
        crop = Image.fromarray(np.ascontiguousarray(pixels[top : top + side, left : left + side]))
        x = i * (width + GAP)
        figure.paste(crop.resize((width, width), Image.Resampling.NEAREST), (x, CAPTION))
        draw.text((x + width / 2, CAPTION / 2), label, fill="black", font=font, anchor="mm")
    figure.save(out, optimize=True)


if __name__ == "__main__":
    place = sys.argv[2:] or ["coffee", "130", "180", "150"]
    main(Path(sys.argv[1]), place[0], *(int(n) for n in place[1:]))
