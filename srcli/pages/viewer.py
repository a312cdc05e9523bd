"""The viewer of a page: any two versions of a picture, parted by a line, with linked zoom and pan.

Its style and script are viewer.css and viewer.js of this folder; `page` takes them.
"""

from collections.abc import Sequence
from typing import NamedTuple

from srcli.pages import Html, details, element, join, markup, own_file

STYLE = own_file("viewer.css")
SCRIPT = own_file("viewer.js")

_KEYS = (
    (("drag",), "the line moves it; the picture moves both versions, once it is enlarged"),
    (("wheel", "two fingers", "+", "-"), "enlarge and reduce; 0 or Fit shows the whole picture"),
    (
        ("arrows",),
        "move the picture; the line where it is chosen with Tab or the whole picture is shown; Home and End put it aside",
    ),
    (("1", "9"), "choose the left version; with Shift the right one"),
    (("Space",), "swaps both: with the line at one end, the versions flicker in place"),
    (("b",), "beside each other, or parted by the line"),
)


class Layer(NamedTuple):
    """One version: its name, and the address of its picture; all are of one size."""

    name: str
    address: str


def viewer(layers: Sequence[Layer], size: tuple[int, int]) -> Html:
    """Return the viewer of `layers` of `size` (height, width); the first two are shown first."""
    (height, width), right = size, min(1, len(layers) - 1)
    images = [
        Html(
            f'<img src="{layer.address}" width="{width}" height="{height}" alt="{markup(layer.name)}" '
            f'data-name="{markup(layer.name)}" hidden>'
        )
        for layer in layers
    ]
    line = element(
        "div",
        class_="line",
        role="slider",
        tabindex="0",
        aria_label="Line between both versions",
        aria_orientation="horizontal",
        aria_valuemin="0",
        aria_valuemax="100",
        aria_valuenow="50",
    )
    first = {"left": layers[0].name, "right": layers[right].name}
    names = [element("div", name, class_=f"name {side}", aria_hidden="true") for side, name in first.items()]
    canvas = element("canvas", role="img", aria_label="Both versions, one on each side of the line")
    stage = element(
        "div",
        canvas,
        *images,
        line,
        *names,
        class_="stage whole",
        style=f"aspect-ratio: {width} / {height}",
        tabindex="0",
        role="group",
        aria_label="Picture",
        aria_describedby="keys",
    )
    status = element("output", class_="status", role="status")
    return element("div", _bar(layers, right), stage, status, _keys(), _NO_SCRIPT, class_="viewer")


_NO_SCRIPT = Html("<noscript><p>The viewer needs JavaScript; the crops and tables below do without.</p></noscript>")


def _bar(layers: Sequence[Layer], right: int) -> Html:
    def choice(side: str, label: str, first: int) -> Html:
        options = [
            element("option", f"{i + 1} {layer.name}", value=i, selected="" if i == first else None)
            for i, layer in enumerate(layers)
        ]
        return element("select", *options, id=side, aria_label=label)

    versions = element(
        "span",
        choice("left", "Left version", 0),
        _button("swap", "\u21c4", "Swap both versions"),
        choice("right", "Right version", right),
    )
    zoom = element(
        "span",
        _button("farther", "\u2212", "Reduce"),
        element("span", class_="zoom"),
        _button("closer", "+", "Enlarge"),
        _button("all", "Fit", "Show the whole picture"),
        _button("exact", "1:1", "One px of the picture on one px of the screen"),
    )
    return element("div", versions, zoom, _button("beside", "Side by side", None, aria_pressed="false"), class_="bar")


def _button(name: str, text: str, label: str | None, **attributes: str) -> Html:
    return element("button", text, type="button", id=name, title=label, aria_label=label, **attributes)


def _keys() -> Html:
    items = []
    for keys, text in _KEYS:
        between = " to " if keys == ("1", "9") else ", "
        items.append(element("li", join([element("kbd", key) for key in keys], between), f": {text}"))
    return details("Mouse, touch and keys", element("ul", *items, class_="keys", id="keys"))


def go(number: int, box: tuple[int, int, int, int]) -> Html:
    """Return the button that shows a box, (left, top, width, height) px, in the viewer."""
    where = ",".join(map(str, box))
    return element("button", "Show above", type="button", class_="go", data_box=where, aria_label=f"Show crop {number} above")
