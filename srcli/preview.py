"""Pictures in a terminal: by kitty's, iTerm2's or sixel graphics where it has them, else as half blocks of colour.

What a terminal can is told by its environment variables alone; nothing is asked of it.
"""

import base64
import io
from collections.abc import Iterator, Mapping
from typing import Literal, get_args

import numpy as np
from PIL import Image

Protocol = Literal["kitty", "iterm", "sixel", "blocks"]

PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)
_CHUNK = 4096  # of base64, by kitty's protocol
_BAND = 6  # rows of a sixel


def detect(environment: Mapping[str, str]) -> Protocol | None:
    """Return the best way a terminal has; None where it has no colours at all."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "").lower()
    if term == "dumb":
        return None
    if term.startswith(("tmux", "screen")) or environment.get("TMUX"):
        return "blocks"  # a multiplexer swallows graphics
    if environment.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iterm.app", "wezterm", "mintty") or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    if term.startswith(("foot", "mlterm", "contour", "yaft")) or "sixel" in term or program == "contour":
        return "sixel"
    return "blocks"


def true_color(environment: Mapping[str, str]) -> bool:
    """Tell whether a terminal says that it has 24-bit colour; else 256 colours are taken."""
    return environment.get("COLORTERM", "").lower() in ("truecolor", "24bit")


def draw(pixels: np.ndarray, protocol: Protocol, *, true_color: bool = True) -> str:
    """Return what prints (H, W, 3) uint8, with a line feed at its end; as blocks, W columns by half as many lines as H."""
    if protocol == "kitty":
        return _kitty(_png(pixels))
    if protocol == "iterm":
        return _iterm(_png(pixels), pixels.shape[1], pixels.shape[0])
    if protocol == "sixel":
        return _sixel(pixels)
    return _blocks(pixels, true_color=true_color)


def _png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def _kitty(png: bytes) -> str:
    """Transmit and display a PNG (a=T, f=100) without an answer (q=2), in chunks (m=1 but for the last)."""
    encoded = base64.b64encode(png).decode()
    chunks = [encoded[i : i + _CHUNK] for i in range(0, len(encoded), _CHUNK)]
    parts = []
    for i, chunk in enumerate(chunks):
        control = "a=T,f=100,q=2," if i == 0 else ""
        parts.append(f"\x1b_G{control}m={int(i + 1 < len(chunks))};{chunk}\x1b\\")
    return "".join(parts) + "\n"


def _iterm(png: bytes, width: int, height: int) -> str:
    facts = f"inline=1;size={len(png)};width={width}px;height={height}px"
    return f"\x1b]1337;File={facts}:{base64.b64encode(png).decode()}\x07\n"


def _sixel(pixels: np.ndarray) -> str:
    """Encode in 256 colours, in bands of 6 rows: each colour of a band one line of characters, runs counted."""
    image = Image.fromarray(np.ascontiguousarray(pixels)).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    palette = image.getpalette() or []
    indices = np.asarray(image)
    parts = [f'\x1bP0;1;0q"1;1;{indices.shape[1]};{indices.shape[0]}']
    for color in np.unique(indices).tolist():
        red, green, blue = (round(value * 100 / 255) for value in palette[3 * color : 3 * color + 3])
        parts.append(f"#{color};2;{red};{green};{blue}")
    for top in range(0, len(indices), _BAND):
        band = indices[top : top + _BAND]
        bits = (1 << np.arange(len(band)))[:, None]
        lines = [f"#{color}{_runs(((band == color) * bits).sum(0))}" for color in np.unique(band).tolist()]
        parts.append("$".join(lines) + "-")
    return "".join(parts) + "\x1b\\\n"


def _runs(sixels: np.ndarray) -> str:
    """Write a row of 6-bit columns as characters, those that repeat as !count."""
    starts = np.flatnonzero(np.diff(sixels, prepend=-1))
    lengths = np.diff(starts, append=len(sixels))
    return "".join(
        f"!{n}{chr(63 + sixels[i])}" if n > 3 else chr(63 + sixels[i]) * n for i, n in zip(starts, lengths, strict=True)
    )


def _blocks(pixels: np.ndarray, *, true_color: bool) -> str:
    """Draw two rows a line: the upper half block in the upper colour on the lower one."""
    if len(pixels) % 2:
        pixels = np.concatenate([pixels, pixels[-1:]])
    return "".join(
        f"{''.join(_cells(pixels[i], pixels[i + 1], true_color=true_color))}\x1b[0m\n" for i in range(0, len(pixels), 2)
    )


def _cells(upper: np.ndarray, lower: np.ndarray, *, true_color: bool) -> Iterator[str]:
    before = None
    for top, bottom in zip(upper.tolist(), lower.tolist(), strict=True):
        colors = (_color(top, true_color=true_color), _color(bottom, true_color=true_color))
        yield "▀" if colors == before else f"\x1b[38;{colors[0]};48;{colors[1]}m▀"
        before = colors


def _color(rgb: list[int], *, true_color: bool) -> str:
    """Return the parameters of a colour: itself, or the nearest of xterm's 6x6x6 cube and 24 grays."""
    if true_color:
        return f"2;{rgb[0]};{rgb[1]};{rgb[2]}"
    cube = [0 if v < 48 else 1 if v < 115 else (v - 35) // 40 for v in rgb]
    near = [0 if i == 0 else 55 + 40 * i for i in cube]
    gray = min(max((sum(rgb) // 3 - 3) // 10, 0), 23)

    def far(other: list[int]) -> int:
        return sum((a - b) ** 2 for a, b in zip(rgb, other, strict=True))

    if far([8 + 10 * gray] * 3) < far(near):
        return f"5;{232 + gray}"
    return f"5;{16 + 36 * cube[0] + 6 * cube[1] + cube[2]}"
