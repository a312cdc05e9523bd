"""The one place for colours: of the pages, light and dark, and of what matplotlib draws.

The six series are Okabe and Ito's colours (Color Universal Design, 2008), each darkened or lightened until it has a contrast of
3:1 or more on its ground; they can be told apart with any colour vision.
"""

from typing import NamedTuple


class Theme(NamedTuple):
    """Colours on one ground, as #rrggbb."""

    paper: str
    panel: str
    ink: str
    faint: str  # text that matters less
    line: str  # rules and grids
    mark: str  # behind what stands out
    series: tuple[str, ...]


LIGHT = Theme(
    paper="#ffffff",
    panel="#f4f5f7",
    ink="#1b1f24",
    faint="#57606a",
    line="#d0d7de",
    mark="#fff3d6",
    series=("#0072b2", "#d55e00", "#007d5a", "#b0548a", "#8a6d00", "#2b8cbe"),
)
DARK = Theme(
    paper="#14171b",
    panel="#1d2127",
    ink="#e6e8eb",
    faint="#a3abb5",
    line="#3a414a",
    mark="#3d3417",
    series=("#56b4e9", "#f0883e", "#2fc294", "#e59ac6", "#e6c229", "#9fd3f5"),
)
SIGNAL = "#ffd23f"  # boxes drawn over pictures, on black


def css(theme: Theme) -> str:
    """Return the colours as CSS custom properties: --paper, --ink ... and --c0 to --c5."""
    named = [f"--{name}: {color};" for name, color in theme._asdict().items() if name != "series"]
    return " ".join(named + [f"--c{i}: {color};" for i, color in enumerate(theme.series)])
