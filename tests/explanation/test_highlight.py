"""Texts with marked words: what is marked, how strongly, and that nothing in a text is HTML."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.errors import DataError
from slugline.explanation.explanation import highlight


class Seen(HTMLParser):
    """What a browser would show, and the tags that it would find."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.feed(str(page))  # Markup would escape what is added to it
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_highlight_marks_words_for_and_against() -> None:
    assert highlight("Wheat is no bank", [(0, 5, 0.5), (12, 16, -0.25)]) == (
        '<bdi class="highlighted">'
        '<mark class="for s9" title="+0.5">Wheat</mark> is no '
        '<mark class="against s5" title="-0.25">bank</mark></bdi>'
    )


def test_highlight_adds_attributions_of_overlapping_spans() -> None:
    page = highlight("oil gas", [(0, 3, 0.1), (0, 7, 0.2), (4, 7, -0.3)])
    assert re.findall('title="(.*?)">(.*?)<', page) == [
        ("+0.3", "oil"),
        ("+0.2", " "),
        ("-0.1", "gas"),
    ]


@pytest.mark.parametrize(
    "spans",
    [[], [(0, 3, 0.0)], [(0, 3, 0.5), (0, 3, -0.5)], [(0, 3, 0.1), (0, 3, 0.2), (0, 3, -0.3)]],
)
def test_highlight_marks_no_zero_attribution(spans: list[tuple[int, int, float]]) -> None:
    assert highlight("oil", spans) == '<bdi class="highlighted">oil</bdi>'


def test_highlight_marks_no_weak_words() -> None:
    assert "0.01" not in highlight("oil gas", [(0, 3, 1.0), (4, 7, 0.01)])
    assert "0.09" not in highlight("oil the", [(0, 3, 1.0), (4, 7, 0.09)])


def test_highlight_escapes_the_text() -> None:
    text = '<script>alert("&amp;")</script>\0\ud800'
    seen = Seen(highlight(text, [(1, 7, 1.0), (0, 20, -2.0)]))
    assert set(seen.tags) == {"bdi", "mark"}
    assert seen.text == text[:-2] + "\N{REPLACEMENT CHARACTER}" * 2


def test_highlight_escapes_the_text_before_it_is_cut() -> None:
    # The ampersand is a span of its own.
    assert Seen(highlight("a&lt;b", [(1, 2, 1.0)])).text == "a&lt;b"


@pytest.mark.parametrize(
    ("span", "found"),
    [
        ((0, 4, 1.0), "from 0 to 4 with attribution 1.0"),
        ((-1, 2, 1.0), "from -1 to 2 with attribution 1.0"),
        ((2, 2, 1.0), "from 2 to 2 with attribution 1.0"),
        ((0, 1, math.nan), "from 0 to 1 with attribution nan"),
    ],
)
def test_highlight_rejects_an_invalid_span(span: tuple[int, int, float], found: str) -> None:
    with pytest.raises(DataError) as error:
        highlight("oil", [span])
    assert str(error.value) == (
        f"span {found}, in a text of 3 characters; pass spans within it and finite attributions."
    )


@pytest.mark.slow
@given(st.data())
def test_highlight_keeps_the_text(data: st.DataObject) -> None:
    text = data.draw(st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1))
    ends = st.tuples(st.integers(0, len(text)), st.integers(0, len(text)))
    pairs = data.draw(st.lists(ends.filter(lambda pair: pair[0] < pair[1])))
    shares = st.floats(-1e3, 1e3)
    seen = Seen(highlight(text, [(*pair, data.draw(shares)) for pair in pairs]))
    assert seen.text == text
    assert set(seen.tags) <= {"bdi", "mark"}
