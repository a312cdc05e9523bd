"""What the plots share: matplotlib, asked for politely, in the colours of the pages, light or dark."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL.PngImagePlugin import PngInfo

from srcli.errors import MissingExtra, UsageError
from srcli.files import DRAWN, atomic, writing_to
from srcli.pages.palette import Theme

DPI = 160


def check_format(path: Path) -> None:
    """Raise UsageError where `path` is no kind of file that a plot can be."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"a plot is a .png or .svg file, not '{path.name}'")


def signature() -> PngInfo:
    """Return what a PNG has that srcli draws, so that another may replace it."""
    info = PngInfo()
    info.add_text("Software", DRAWN)
    return info


@contextmanager
def drawn(path: Path, size: tuple[float, float], theme: Theme) -> Iterator[Any]:
    """Give a matplotlib figure of `size` inches; it is written to a .png or .svg file when the block ends well.

    The same figure gives the same file. Raises UsageError, UserError and MissingExtra.
    """
    check_format(path)
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("plots need matplotlib: pip install 'srcli[plot]'") from error
    with rc_context(_settings(theme)):
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        yield figure
        svg = path.suffix.lower() == ".svg"
        metadata = {"Date": None, "Creator": DRAWN} if svg else {"Software": DRAWN}
        with writing_to(path), atomic(path) as temporary, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing")  # is drawn as a box
            figure.savefig(temporary, dpi=DPI, metadata=metadata)


def _settings(theme: Theme) -> Any:
    """Return matplotlib's settings: quiet axes, a grid behind, letters that come with matplotlib."""
    return {
        "font.family": "DejaVu Sans",
        "font.size": 11,
        "figure.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "text.color": theme.ink,
        "axes.labelcolor": theme.ink,
        "axes.edgecolor": theme.faint,
        "xtick.color": theme.faint,
        "ytick.color": theme.faint,
        "xtick.labelcolor": theme.ink,
        "ytick.labelcolor": theme.ink,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": theme.line,
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "svg.hashsalt": "srcli",
    }
