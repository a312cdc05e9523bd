import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from srcli.pages import Html, crop, data_uri, element, markup, overview, page, section, table
from srcli.pages.charts import SERIES, Dot, Series, scatter, spread_of, ticks, whisker
from tests.conftest import photograph


def test_text_is_escaped_and_markup_is_not():
    assert markup('<a & "b">') == "&lt;a &amp; &quot;b&quot;&gt;"
    assert markup(Html("<b>1</b>")) == "<b>1</b>"
    assert element("p", "1 < 2", title='"', class_="x") == '<p title="&quot;" class="x">1 &lt; 2</p>'


def test_a_page_stands_alone():
    whole = page("a <page>", section("one", "two"), lead="three", script="let a = '</script>'")
    assert whole.startswith("<!doctype html>")
    assert "<title>a &lt;page&gt;</title>" in whole
    assert whole.count("</script>") == 1
    assert not re.search(r"https?://|@import|url\(|<link", whole)
    assert "prefers-color-scheme: dark" in whole


def test_crops_are_lossless():
    pixels = photograph(13, 17)
    encoded = re.search(r'src="data:image/png;base64,([^"]+)"', crop(pixels, 'a "name"', "below"))[1]
    assert (np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))) == pixels).all()
    assert 'alt="a &quot;name&quot;"' in crop(pixels, 'a "name"')


def test_overviews_are_small_and_numbered():
    drawn = overview(photograph(900, 600), [(0, 0, 50, 50), (550, 850, 50, 50)], "here")
    encoded = re.search(r"data:image/jpeg;base64,([^\"]+)", drawn)[1]
    assert Image.open(io.BytesIO(base64.b64decode(encoded))).size == (267, 400)
    assert re.findall(r">(\d)</text>", drawn) == ["1", "2"]
    assert 'viewBox="0 0 600 900"' in drawn


def test_a_jpeg_is_made_where_a_quality_is_given():
    assert data_uri(photograph(9, 9), quality=80).startswith("data:image/jpeg;base64,")


def test_tables_have_headings_for_columns_and_rows():
    whole = table("<caption>", ("a", "b"), [("x", 1), ("y", 2)], text=[1], marked=[1])
    assert whole.count('scope="col"') == whole.count('scope="row"') == 2
    assert "&lt;caption&gt;" in whole
    assert '<tr class="marked"><th scope="row">y</th><td class="text">2</td></tr>' in whole


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(21.3, 32.8, [22, 24, 26, 28, 30, 32]), (-0.02, 0.41, [0, 0.1, 0.2, 0.3, 0.4]), (-3, 3, [-3, -2, -1, 0, 1, 2, 3])],
)
def test_ticks_are_round(low, high, expected):
    assert ticks(low, high) == expected


def test_a_scatter_has_a_mark_for_every_finite_point_and_tells_what_it_is():
    series = [
        Series(f"model {i}", [Dot(30, 1 + i, f"<p{i}>"), Dot(31, float("inf"), "lost"), Dot(float("nan"), 1, "lost")])
        for i in range(SERIES + 1)
    ]
    drawn = scatter("title", series, x="x", y="y")
    assert drawn.count("<title>") == SERIES + 1
    assert "<title>&lt;p0&gt;</title>" in drawn and "lost" not in drawn and "nan" not in drawn
    assert [f"model {i}" in drawn for i in range(SERIES + 1)] == [True] * (SERIES + 1)


def test_series_differ_in_shape_too():
    drawn = [
        scatter("t", [Series("", []) for _ in range(i)] + [Series("a", [Dot(1, 1, "a")])], x="", y="") for i in range(SERIES)
    ]
    shapes = {re.search(r'class="dot" d="([^"]+)"', d)[1] for d in drawn}
    assert len(shapes) == SERIES


def test_a_scatter_of_nothing_says_so_and_one_point_is_drawn():
    assert "nothing to draw" in scatter("empty", [Series("a", [])], x="", y="")
    assert scatter("one", [Series("a", [Dot(30, 0, "p")])], x="", y="").count("<title>") == 1


def test_a_whisker_without_an_interval_shows_its_value_alone():
    drawn = whisker(0.3, float("nan"), float("nan"), least=0, most=0.3, text="0.3 dB")
    assert drawn.count("<line") == 1  # where 0 is
    assert "<circle" in drawn and "nan" not in drawn


def test_whiskers_share_a_range_with_0_in_it():
    assert spread_of([0.5, float("nan"), 2.0]) == (0.0, 2.0)
    assert spread_of([]) == (0.0, 0.0)
