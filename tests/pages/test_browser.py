"""The compare page in a real browser: what is drawn, by mouse, touch and keys; run with `pytest -m browser`."""

import io
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srcli.engine.compare import Comparison, Still, Version, render
from srcli.engine.crops import Box

pytestmark = pytest.mark.browser

HEIGHT, WIDTH, SCALE = 160, 240, 4
NAMES = ("bicubic", "one", "two", "HR")
BOX = Box(120, 40, 72, 72)
SIZES = {"wide": (1280, 900), "phone": (420, 800)}
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def _pixels(version: int) -> np.ndarray:
    """Make a version whose px say where they are: red is x, green is y, blue tells the versions apart."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return np.stack([x, y, np.full_like(x, 60 * version)], -1).astype(np.uint8)


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    versions = tuple(Version(name, _pixels(i)) for i, name in enumerate(NAMES))
    still = Still("a & b.png", _pixels(0)[::SCALE, ::SCALE])
    boxes = (BOX, Box(0, 80, 72, 72))
    path = tmp_path_factory.mktemp("my page") / "page.html"
    page = render(Comparison(still, SCALE, Box(0, 0, WIDTH // SCALE, HEIGHT // SCALE), versions, boxes), device="cpu")
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def chromium() -> Iterator[object]:
    program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    driver = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not Path(program).is_file():
        pytest.skip(f"no Chromium at {program}")
    with driver.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=QUIET)
        yield browser
        browser.close()


class Opened:
    """The page, with what a test asks of it; whatever the console or the network hears is kept."""

    def __init__(self, page: object, file: Path) -> None:
        self.page, self.heard = page, []
        self._session = None  # of the browser's own protocol, which can touch with several fingers
        page.on("console", lambda message: self.heard.append(message.text))
        page.on("pageerror", lambda error: self.heard.append(str(error)))
        page.on("request", lambda request: self.heard.append(request.url) if not request.url.startswith("data:") else None)
        page.goto(file.as_uri())
        page.wait_for_function("[...document.images].every(image => image.complete)")
        page.wait_for_function("document.querySelector('.status').textContent")
        assert self.heard.pop(0) == file.as_uri()
        self.stage, self.line = page.locator(".stage"), page.locator(".line")

    def at(self, x: float, y: float) -> tuple[int, int, str]:
        """Return which px of which version is drawn at a place of the stage, as fractions of its size."""
        red, green, blue, alpha = self.page.evaluate(
            """([x, y]) => {
                const canvas = document.querySelector("canvas");
                const one = new OffscreenCanvas(1, 1).getContext("2d");
                one.drawImage(canvas, -Math.floor(x * canvas.width), -Math.floor(y * canvas.height));
                return [...one.getImageData(0, 0, 1, 1).data];
            }""",
            [x, y],
        )
        assert alpha == 255, "nothing is drawn there"
        return red, green, NAMES[round(blue / 60)]

    def zoom(self) -> str:
        return self.page.locator(".zoom").text_content()

    def shows(self, box: Box) -> bool:
        """Tell whether a box is seen whole, and the picture enlarged."""
        left, right = self.at(0.01, 0.5)[0], self.at(0.99, 0.5)[0]
        top, bottom = self.at(0.5, 0.01)[1], self.at(0.5, 0.99)[1]
        inside = left <= box.left and right >= box.left + box.width and top <= box.top and bottom >= box.top + box.height
        return inside and not self.page.locator(".stage.whole").count()

    def version(self, x: float) -> str:
        return self.at(x, 0.5)[2]

    def place(self, x: float, y: float) -> tuple[float, float]:
        box = self.stage.bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def drag(self, start: tuple[float, float], stop: tuple[float, float]) -> None:
        self.page.mouse.move(*self.place(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self.place(*stop), steps=4)
        self.page.mouse.up()

    def touch(self, kind: str, *points: tuple[float, float]) -> None:
        places = [self.place(*point) for point in points]
        self._session = self._session or self.page.context.new_cdp_session(self.page)
        self._session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in places]})


@pytest.fixture(params=SIZES)
def opened(request, chromium, file) -> Iterator[Opened]:
    width, height = SIZES[request.param]
    phone = request.param == "phone"
    context = chromium.new_context(
        viewport={"width": width, "height": height}, device_scale_factor=2 if phone else 1, has_touch=phone, offline=True
    )
    opened = Opened(context.new_page(), file)
    yield opened
    assert not opened.heard, "the console or the network heard something"
    context.close()


@pytest.fixture
def wide(chromium, file) -> Iterator[Opened]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield Opened(context.new_page(), file)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screenshot_shows_both_versions_on_their_sides_and_nothing_is_cut(opened, scheme):
    opened.page.emulate_media(color_scheme=scheme)
    shot = np.asarray(Image.open(io.BytesIO(opened.page.screenshot())).convert("RGB")).astype(int)
    ratio = opened.page.evaluate("devicePixelRatio")
    for x, blue in ((0.3, 0), (0.7, 60)):
        column, row = (round(n * ratio) for n in opened.place(x, 0.3))
        assert abs(shot[row, column, 2] - blue) < 6
    assert (shot[2, 2].mean() > 200) == (scheme == "light")
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_layout_never_shifts(opened):
    opened.page.evaluate(
        """() => new PerformanceObserver(list => {
            const sudden = list.getEntries().filter(entry => !entry.hadRecentInput);
            window.shifted = sudden.reduce((sum, entry) => sum + entry.value, window.shifted || 0);
        }).observe({ type: "layout-shift", buffered: true })"""
    )
    opened.page.wait_for_timeout(100)
    assert opened.page.evaluate("window.shifted || 0") == 0


def test_dragging_the_line_moves_it(opened):
    assert (opened.version(0.4), opened.version(0.6)) == ("bicubic", "one")
    opened.drag((0.5, 0.5), (0.35, 0.6))
    assert (opened.version(0.3), opened.version(0.4)) == ("bicubic", "one")
    assert opened.line.get_attribute("aria-valuenow") == "35"
    opened.drag((0.35, 0.2), (0.65, 0.2))
    assert opened.version(0.6) == "bicubic"


def test_the_line_is_a_slider_for_the_keyboard(opened):
    opened.line.press("Home")
    assert opened.version(0.4) == "one"
    opened.line.press("ArrowRight")
    assert opened.line.get_attribute("aria-valuenow") == "2"
    opened.line.press("End")
    assert opened.version(0.6) == "bicubic"
    assert opened.line.get_attribute("aria-valuetext") == "bicubic 100 %, one 0 %"


def test_digits_choose_versions_and_space_swaps_them(opened):
    opened.page.keyboard.press("3")
    opened.page.keyboard.press("Shift+4")
    assert (opened.version(0.4), opened.version(0.6)) == ("two", "HR")
    opened.page.keyboard.press("Space")
    assert (opened.version(0.4), opened.version(0.6)) == ("HR", "two")
    opened.page.keyboard.press("9")  # there is no such version
    assert opened.version(0.4) == "HR"
    assert opened.page.locator("#left").input_value() == "3"


def test_versions_are_chosen_from_the_lists_too(opened):
    opened.page.get_by_label("Left version").select_option(label="2 one")
    opened.page.get_by_label("Right version").select_option(label="4 HR")
    assert (opened.version(0.4), opened.version(0.6)) == ("one", "HR")
    opened.page.get_by_label("Swap both versions").click()
    assert (opened.version(0.4), opened.version(0.6)) == ("HR", "one")


def test_the_wheel_enlarges_around_the_pointer(opened):
    for _ in range(3):
        opened.page.keyboard.press("+")  # a picture narrower than the stage stays in its middle
    before, beside = opened.at(0.7, 0.6), opened.at(0.9, 0.6)
    opened.page.mouse.move(*opened.place(0.7, 0.6))
    zoom = opened.zoom()
    opened.page.mouse.wheel(0, -350)
    opened.page.wait_for_function("zoom => document.querySelector('.zoom').textContent !== zoom", arg=zoom)
    after = opened.at(0.7, 0.6)
    assert abs(after[0] - before[0]) <= 1 and abs(after[1] - before[1]) <= 1
    assert opened.at(0.9, 0.6)[0] - after[0] < 0.8 * (beside[0] - before[0])  # less of it between the same places
    assert opened.page.evaluate("scrollY") == 0


def test_both_versions_are_enlarged_and_moved_together(opened):
    for _ in range(4):
        opened.page.keyboard.press("+")
    left, right = opened.at(0.499, 0.5), opened.at(0.501, 0.5)
    assert (left[2], right[2]) == ("bicubic", "one")
    assert 0 <= right[0] - left[0] <= 2 and left[1] == right[1]
    opened.stage.press("ArrowRight")
    assert opened.at(0.499, 0.5)[0] > left[0] + 2
    opened.stage.press("ArrowDown")
    assert opened.at(0.499, 0.5)[1] > left[1] + 2
    opened.drag((0.2, 0.5), (0.3, 0.5))
    moved = opened.at(0.499, 0.5)
    opened.drag((0.2, 0.5), (0.1, 0.4))
    assert opened.at(0.499, 0.5)[0] > moved[0] and opened.at(0.499, 0.5)[1] > moved[1]
    opened.page.keyboard.press("0")
    assert opened.page.locator(".stage.whole").count() == 1


def test_the_picture_cannot_be_lost(opened):
    for _ in range(30):
        opened.page.keyboard.press("+")
    assert opened.zoom() == "3200\u00a0%"
    for _ in range(200):
        opened.page.evaluate(
            "document.querySelector('.stage').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}))"
        )
    assert opened.at(0.99, 0.5)[0] == WIDTH - 1
    for _ in range(40):
        opened.page.keyboard.press("-")
    assert opened.at(0.5, 0.5)[2] in NAMES


def test_one_to_one_shows_a_px_of_the_picture_as_one_of_the_screen(opened):
    opened.page.get_by_role("button", name="One px of").click()
    assert opened.zoom() == "100\u00a0%"
    canvas = opened.page.evaluate("document.querySelector('canvas').width")
    assert opened.at(0.5 + 20.5 / canvas, 0.5)[0] - opened.at(0.5 + 0.5 / canvas, 0.5)[0] == 20


def test_beside_each_other_both_show_the_same_place(opened):
    opened.stage.press("b")
    tall = opened.page.locator(".stage.tall").count()
    first, second = (opened.at(0.5, 0.25), opened.at(0.5, 0.75)) if tall else (opened.at(0.25, 0.5), opened.at(0.75, 0.5))
    assert (first[2], second[2]) == ("bicubic", "one")
    assert abs(first[0] - second[0]) <= 2 and abs(first[1] - second[1]) <= 2
    assert not opened.line.is_visible()


def test_a_button_shows_where_its_crop_lies(opened):
    opened.page.get_by_role("button", name="Show crop 1 above").click()
    assert opened.shows(BOX)
    opened.page.wait_for_function("document.activeElement.classList.contains('stage')")


def test_a_crop_that_is_clicked_is_shown_on_the_right(opened):
    opened.page.locator(".look").nth(0).get_by_alt_text("two, crop 1").click()
    assert opened.version(0.7) == "two"
    assert opened.shows(BOX)


def test_two_fingers_enlarge(chromium, file):
    context = chromium.new_context(viewport={"width": 420, "height": 800}, has_touch=True)
    opened = Opened(context.new_page(), file)
    before = opened.at(0.6, 0.5)
    opened.touch("touchStart", (0.55, 0.5), (0.65, 0.5))
    for apart in (0.1, 0.2, 0.3):
        opened.touch("touchMove", (0.6 - apart, 0.5), (0.6 + apart, 0.5))
    opened.touch("touchEnd")
    after = opened.at(0.6, 0.5)
    assert opened.page.locator(".stage.whole").count() == 0
    assert abs(after[0] - before[0]) <= 2
    assert opened.at(0.8, 0.5)[0] - after[0] < 0.2 * WIDTH / 3
    context.close()


def test_a_finger_moves_the_line_and_may_scroll_the_page_while_the_whole_picture_is_shown(chromium, file):
    context = chromium.new_context(viewport={"width": 420, "height": 800}, has_touch=True)
    opened = Opened(context.new_page(), file)
    opened.touch("touchStart", (0.2, 0.3))
    opened.touch("touchMove", (0.3, 0.3))
    opened.touch("touchMove", (0.4, 0.3))
    opened.touch("touchEnd")
    assert int(opened.line.get_attribute("aria-valuenow")) > 60
    assert opened.stage.evaluate("stage => getComputedStyle(stage).touchAction") == "pan-y"
    opened.page.keyboard.press("+")
    assert opened.stage.evaluate("stage => getComputedStyle(stage).touchAction") == "none"
    context.close()


def test_everything_is_reached_by_tab_and_has_a_name(wide):
    names = []
    for _ in range(14):
        wide.page.keyboard.press("Tab")
        names.append(
            wide.page.evaluate(
                "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim().slice(0, 30)"
            )
        )
    assert names[:3] == ["Left version", "Swap both versions", "Right version"]
    assert {"Reduce", "Enlarge", "Side by side", "Picture", "Line between both versions", "Show crop 1 above"} <= set(names)
    assert all(names)


def test_the_keys_leave_lists_and_the_browser_alone(wide):
    wide.page.get_by_label("Left version").focus()
    wide.page.keyboard.press("Control+3")
    assert wide.version(0.4) == "bicubic"


def test_focus_is_seen(wide):
    wide.page.keyboard.press("Tab")
    assert wide.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_without_scripts_the_page_says_so_and_shows_its_crops(chromium, file):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator("noscript p").is_visible()
    assert page.get_by_alt_text("two, crop 1").is_visible()
    assert page.get_by_role("button", name="Show crop 1 above").count() == 0
    assert not page.locator(".stage").is_visible()
    context.close()
