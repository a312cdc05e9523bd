"""Draw small pictures such as no camera takes: python examples/drawings.py FOLDER

text.png (a bitmap font), lines.png (without anti-aliasing) and sprites.png, 120 x 80 px each.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

SIZE = (120, 80)
TEXT = "$ srcli upscale\n  photo.jpg -s 4\nphoto_x4.jpg\n1 upscaled\n$ _"


def text() -> Image.Image:
    """Write a terminal in Pillow's bitmap font, which is not the one of `--drawings`."""
    picture = Image.new("RGB", SIZE, (24, 24, 32))
    ImageDraw.Draw(picture).multiline_text((5, 5), TEXT, fill=(120, 240, 140), font=ImageFont.load_default_imagefont())
    return picture


def lines() -> Image.Image:
    """Draw a chart: lines and circles of one px, and a filled area."""
    picture = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(picture)
    draw.polygon([(10, 70), (30, 52), (55, 60), (80, 34), (110, 44), (110, 70)], fill=(190, 215, 245))
    draw.line([(10, 70), (30, 52), (55, 60), (80, 34), (110, 44)], fill=(20, 70, 160))
    draw.line([(10, 60), (40, 30), (70, 38), (110, 12)], fill=(200, 40, 40))
    draw.line([(10, 8), (10, 70), (112, 70)], fill="black")
    for x, y in ((40, 30), (70, 38)):
        draw.ellipse((x - 4, y - 4, x + 4, y + 4), outline=(200, 40, 40))
    return picture


def sprites() -> Image.Image:
    """Draw six figures of 16 x 16 px, the right half of each as the left."""
    picture = Image.new("RGB", SIZE, (92, 148, 252))
    rng = np.random.default_rng(4)
    for i in range(6):
        inks = rng.integers(256, size=(4, 3)).astype(np.uint8)
        half = rng.integers(4, size=(16, 8)) if i % 2 else np.kron(rng.integers(4, size=(8, 4)), np.ones((2, 2), int))
        sprite = Image.fromarray(inks[np.concatenate([half, half[:, ::-1]], 1)])
        picture.paste(sprite, (12 + i % 3 * 38, 14 + i // 3 * 36))
    return picture


if __name__ == "__main__":
    for draw in (text, lines, sprites):
        draw().save(Path(sys.argv[1]) / f"{draw.__name__}.png")
