"""The page is whole, stands alone, and what it says and shows is what was scored."""

import base64
import io
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from srcli.engine.evaluate import Dataset, Entry, Protocol, conclude, score
from srcli.engine.report import CROP, SHOWN, render
from srcli.engine.upscale import Upscaler
from srcli.models import create
from tests.conftest import photograph

PROTOCOL = Protocol(2)
VOID = {"meta", "img", "link", "br"}


class _Reader(HTMLParser):
    """Collect the elements of a page and fail where they do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag


def _scored(entry, dataset):
    return conclude(entry, dataset, PROTOCOL, [score(entry.source, dataset, path, PROTOCOL) for path in dataset.pictures])


def _results(tmp_path, count: int = 9, names: tuple[str, ...] = ("sharp", "<b>noisy"), side: int = 90):
    """Score bicubic and folders of ready pictures; the n-th picture of each is the noisier the larger n is."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(count):
        hr = photograph(side, side + 4, n)
        Image.fromarray(hr).save(folder / f"p{n}.png")
        for i, name in enumerate(names):
            (tmp_path / name).mkdir(exist_ok=True)
            sr = (hr + rng.normal(0, 1 + n + 3 * i, hr.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(sr).save(tmp_path / name / f"p{n}.png")
    dataset = Dataset("pictures", folder, sorted(folder.iterdir()))
    entries = [Entry("bicubic", "bicubic", Upscaler(create("bicubic", 2), precision="fp32"))]
    entries += [Entry(name, name, tmp_path / name) for name in names]
    return [_scored(entry, dataset) for entry in entries]


@pytest.fixture
def results(tmp_path):
    return _results(tmp_path)


def test_the_page_nests_and_needs_nothing_else(results):
    elements = _Reader(render(results, PROTOCOL, computed="fp32, cpu")).elements
    sources = [a[key] for _, a in elements for key in ("src", "href") if key in a]
    assert sources and all(source.startswith("data:image/") for source in sources)
    assert not [tag for tag, _ in elements if tag in ("script", "link", "iframe")]


def test_every_picture_says_what_it_is_and_every_table_has_headings(results):
    elements = _Reader(render(results, PROTOCOL, computed="fp32, cpu")).elements
    assert all(a.get("alt") for tag, a in elements if tag == "img")
    assert all(a.get("aria-label") or a.get("aria-hidden") for tag, a in elements if tag == "svg")
    assert all(a.get("scope") in ("col", "row") for tag, a in elements if tag == "th")
    assert len([tag for tag, _ in elements if tag == "table"]) == len([tag for tag, _ in elements if tag == "caption"])


def test_names_are_text_and_never_markup(results):
    page = render(results, PROTOCOL, computed="fp32, cpu")
    assert "<b>noisy" not in page
    assert "&lt;b&gt;noisy" in page


def test_the_worst_come_first_then_the_best_by_what_the_first_model_gains(results):
    page = render(results, PROTOCOL, computed="fp32, cpu")
    shown = re.findall(r"<h3>(p\d)\.png: sharp", page)
    base, sharp = results[0].scores, results[1].scores
    order = sorted(range(9), key=lambda n: sharp[n].psnr - base[n].psnr)
    assert shown == [f"p{n}" for n in [*order[:SHOWN], *reversed(order[-SHOWN:])]]


def test_the_means_and_the_paired_difference_are_those_of_the_scores(results):
    page = render(results, PROTOCOL, computed="fp32, cpu")
    summary = results[1].summary
    assert f"<td>{summary.psnr:.2f}</td><td>{summary.psnr_interval.low:.2f}..{summary.psnr_interval.high:.2f}</td>" in page
    assert "sharp &gt; &lt;b&gt;noisy</th><td>9 of 9</td>" in page


def test_a_comparison_that_nothing_decides_claims_no_winner(tmp_path):
    results = _results(tmp_path, count=2)
    for result, exact in zip(results[1:], (0, 1), strict=True):
        (tmp_path / result.entry.label / f"p{exact}.png").write_bytes((tmp_path / "pictures" / f"p{exact}.png").read_bytes())
    again = [_scored(result.entry, result.dataset) for result in results]
    page = render(again, PROTOCOL, computed="fp32, cpu")
    assert "sharp ~ &lt;b&gt;noisy</th><td>1 of 2</td><td>-</td>" in page
    assert "nan" not in re.sub(r"base64,[^\"]+", "", page)


def test_a_scatter_has_a_mark_for_every_picture_and_model(results):
    page = render(results, PROTOCOL, computed="fp32, cpu")
    marks = re.findall(r"<title>(p\d)\.png: (\S+) [\d.]+ dB, (\S+) ", page)
    assert len(marks) == 9 * (2 + 1)  # both over bicubic, then one over the other
    assert {name for name, model, base in marks if (model, base) == ("sharp", "bicubic")} == {f"p{n}" for n in range(9)}


def test_crops_are_pixels_of_what_was_scored(results):
    page = render(results, PROTOCOL, computed="fp32, cpu")
    found = re.search(
        r'src="data:image/png;base64,([^"]+)" width="(\d+)" height="(\d+)" alt="sharp of (p\d)\.png, crop 1"', page
    )
    assert (found[2], found[3]) == (str(CROP), str(CROP))
    crop = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))
    whole = np.asarray(Image.open(results[1].entry.source / f"{found[4]}.png").convert("RGB"))
    windows = np.lib.stride_tricks.sliding_window_view(whole, crop.shape)[:, :, 0]
    assert (windows == crop).all((-3, -2, -1)).sum() == 1


def test_equal_results_give_equal_pages(results):
    pages = {render(results, PROTOCOL, computed="fp32, cpu") for _ in range(2)}
    assert len(pages) == 1


def test_the_papers_rows_are_there_when_asked_for(tmp_path):
    (tmp_path / "x").mkdir()
    results = _results(tmp_path / "x", 2, ("mine",))
    from dataclasses import replace

    renamed = [replace(r, dataset=replace(r.dataset, name="Set5"), summary=replace(r.summary, dataset="Set5")) for r in results]
    page = render(renamed, PROTOCOL, computed="fp32, cpu", published=True)
    assert '<tr class="marked"><th scope="row">mine</th>' in page
    assert '<th scope="row">IMDN</th><td>38.00 / 0.9605</td>' in page


@pytest.mark.parametrize(("count", "names", "side"), [(1, ("mine",), 90), (2, (), 90), (3, ("mine", "other"), 16)])
def test_few_pictures_one_model_and_small_pictures_make_a_page_too(tmp_path, count, names, side):
    page = render(_results(tmp_path, count, names, side), PROTOCOL, computed="fp32, cpu")
    _Reader(page)
    assert len(re.findall(r"<h3>", page)) == count
    assert "nan" not in re.sub(r"base64,[^\"]+", "", page)


def test_a_perfect_picture_does_not_break_the_page(tmp_path):
    results = _results(tmp_path, 3, ("mine",))
    Image.open(tmp_path / "pictures" / "p1.png").save(tmp_path / "mine" / "p1.png")
    entry, dataset = results[1].entry, results[1].dataset
    perfect = _scored(entry, dataset)
    assert "<td>inf</td>" in render([results[0], perfect], PROTOCOL, computed="fp32, cpu")
    exact = replace(results[0], scores=[replace(results[0].scores[0], psnr=math.inf), *results[0].scores[1:]])
    page = render([exact, perfect], PROTOCOL, computed="fp32, cpu")
    assert f"<h3>p0.png: mine {results[1].scores[0].psnr:.2f} dB; bicubic restores it exactly</h3>" in page
