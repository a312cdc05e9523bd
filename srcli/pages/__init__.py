"""Pages that stand alone: one skeleton, style and set of parts for every HTML file that srcli writes.

No scripts, fonts or pictures from elsewhere: what a page shows is inside it, so that it opens from a disk without a network.
Text becomes markup in `markup` alone; what is `Html` already is left as it is.
"""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from importlib.resources import files
from string import Template

import numpy as np
from PIL import Image

from srcli import __version__
from srcli.pages import palette

_WEBP_SIDE = 16_383  # px that the format can hold
_OVERVIEW = 400  # px of the longer side of a picture that is made small


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def markup(value: object) -> Html:
    """Return `value` as markup: escaped, unless it is markup already."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def join(parts: Iterable[object], between: str = "\n") -> Html:
    """Return several parts as one."""
    return Html(between.join(map(markup, parts)))


def element(name: str, *children: object, **attributes: object) -> Html:
    """Return an element; of attributes, `_` stands for - in names, `class_` is class, and those that are None are left out."""
    given = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items() if value is not None}
    start = "".join(f' {key}="{markup(value)}"' for key, value in given.items())
    return Html(f"<{name}{start}>{join(children, '')}</{name}>")


def page(title: str, *sections: object, lead: object = "", style: str = "", script: str = "") -> str:
    """Return a whole page; `lead` stands below the title, `style` is CSS and `script` JavaScript of ours."""
    # "</" would end the element
    code = Html("<script>" + script.replace("</", "<\\/") + "</script>") if script else Html("")
    return Template(own_file("page.html")).substitute(
        title=markup(title),
        lead=markup(lead),
        body=join(sections),
        style=style,
        script=code,
        version=markup(__version__),
        light=palette.css(palette.LIGHT),
        dark=palette.css(palette.DARK),
        signal=palette.SIGNAL,
    )


def own_file(name: str) -> str:
    """Return the text of a file of this folder."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def section(title: str, *parts: object) -> Html:
    """Return a part of a page with its heading."""
    return element("section", element("h2", title), *parts)


def table(
    caption: str,
    columns: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    text: Sequence[int] = (),
    marked: Sequence[int] = (),
) -> Html:
    """Return a table, scrolling where it is too wide; each row's first cell is its heading.

    Columns hold numbers, those of `text` words; `marked` rows stand out.
    """

    def kind(column: int) -> str | None:
        return "text" if column in text else None

    head = element("tr", *(element("th", c, scope="col", class_=kind(i)) for i, c in enumerate(columns)))
    body = []
    for place, row in enumerate(rows):
        cells = [element("td", cell, class_=kind(i)) for i, cell in enumerate(row)][1:]
        body.append(element("tr", element("th", row[0], scope="row"), *cells, class_="marked" if place in marked else None))
    whole = element("table", element("caption", element("span", caption)), element("thead", head), element("tbody", *body))
    return element("div", whole, class_="scroll", tabindex="0", role="region", aria_label=caption)


def details(summary: str, *parts: object) -> Html:
    """Return what is shown when a reader asks for it."""
    return element("details", element("summary", summary), *parts)


def data_uri(pixels: np.ndarray, *, quality: int | None = None) -> str:
    """Return (H, W, 3) uint8 as the address of a PNG inside the page; with `quality`, of a JPEG."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if quality is None:
        return _address(image, "PNG", optimize=True)
    return _address(image, "JPEG", quality=quality, subsampling=0)


def large_uri(pixels: np.ndarray) -> str:
    """Return (H, W, 3) uint8 as the address of a lossless picture: WebP, smaller and sooner made than PNG."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if max(image.size) > _WEBP_SIDE:
        return _address(image, "PNG")
    return _address(image, "WEBP", lossless=True, quality=20, method=1)  # effort: more takes much longer for 1 %


def _address(image: Image.Image, format: str, **options: object) -> str:
    file = io.BytesIO()
    image.save(file, format, **options)
    return f"data:image/{format.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def crop(pixels: np.ndarray, alt: str, *caption: object) -> Html:
    """Return a small picture, enlarged without smoothing, with lines below it."""
    size = f'width="{pixels.shape[1]}" height="{pixels.shape[0]}"'
    image = Html(f'<img src="{data_uri(pixels)}" {size} alt="{markup(alt)}" decoding="async">')
    return element("figure", image, element("figcaption", *caption), class_="crop")


def look(heading: object, crops: Sequence[Html]) -> Html:
    """Return one place of a picture: a line, and below it its crops side by side."""
    return element("div", element("p", heading, class_="faint"), element("div", *crops, class_="crops"), class_="look")


def looks(where: Html, places: Sequence[Html]) -> Html:
    """Return an overview beside the places that it marks."""
    return element("div", where, element("div", *places, class_="looks"), class_="picture")


def overview(pixels: np.ndarray, boxes: Sequence[tuple[int, int, int, int]], alt: str) -> Html:
    """Return a picture made small, with numbered boxes of (left, top, width, height) px; it shows where crops lie."""
    height, width = pixels.shape[:2]
    image = Image.fromarray(np.ascontiguousarray(pixels))
    image.thumbnail((_OVERVIEW, _OVERVIEW), Image.Resampling.LANCZOS)
    unit = max(height, width) / _OVERVIEW
    drawn = [Html(f'<image href="{data_uri(np.asarray(image), quality=85)}" width="{width}" height="{height}"/>')]
    for number, (x, y, w, h) in enumerate(boxes, 1):
        for kind in ("under", "over"):
            drawn.append(Html(f'<rect class="{kind}" x="{x}" y="{y}" width="{w}" height="{h}"/>'))
        if len(boxes) > 1:
            size = 22 * unit
            left, top = min(max(x, 0), width - size), y - size if y >= size else min(y + h, height - size)
            drawn.append(Html(f'<rect class="tag" x="{left:g}" y="{top:g}" width="{size:g}" height="{size:g}"/>'))
            middle = f'x="{left + size / 2:g}" y="{top + size / 2:g}" font-size="{size * 0.75:g}"'
            drawn.append(Html(f'<text class="tag" {middle} dy="0.36em">{number}</text>'))
    return element("svg", *drawn, class_="overview", viewBox=f"0 0 {width} {height}", role="img", aria_label=alt)
