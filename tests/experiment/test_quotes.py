"""Passages of texts: where they are cut, and what of them is marked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slugline.experiment.evidence import Quote, passage


def span(text: str, word: str, share: float) -> tuple[int, int, float]:
    start = text.index(word)
    return start, start + len(word), share


def test_passage_of_a_short_text_is_whole() -> None:
    text = "wheat\n\nrose by 5 %"
    spans = [span(text, "wheat", 0.5), span(text, "rose", -0.4)]
    assert passage(text, spans) == Quote(text, spans)


def test_passage_of_a_long_text_is_cut_between_words() -> None:
    text = "word " * 200 + "the wheat harvest " + "word " * 200
    quote = passage(text, [span(text, "wheat", 0.5), (0, 4, 0.1)], max_characters=60)
    assert quote.text.startswith("…word ")
    assert quote.text.endswith(" word…")
    assert len(quote.text) <= 62
    assert [quote.text[a:b] for a, b, _ in quote.spans] == ["wheat"]


def test_passage_cuts_a_text_without_spaces() -> None:
    quote = passage("麦" * 500, [(250, 251, 1.0)], max_characters=60)
    assert len(quote.text) == 62
    assert [quote.text[a:b] for a, b, _ in quote.spans] == ["麦"]


def test_passage_without_marks_is_the_beginning() -> None:
    assert passage("word " * 50, [], max_characters=11) == Quote("word word…", [])
    assert passage("", []) == Quote("", [])


@given(
    st.text(alphabet=st.sampled_from("ab \n\té麦"), max_size=200),
    st.lists(st.tuples(st.integers(0, 199), st.integers(1, 9), st.floats(-1, 1)), max_size=8),
    st.integers(1, 80),
)
def test_passage_keeps_marks_on_their_words(
    text: str, chosen: list[tuple[int, int, float]], most: int
) -> None:
    spans = [(a, min(a + n, len(text)), share) for a, n, share in chosen if a < len(text)]
    quote = passage(text, spans, most)
    assert len(quote.text) <= most + 2
    sources = {("".join(text[a:b].split()), share) for a, b, share in spans}
    for start, end, share in quote.spans:
        assert 0 <= start < end <= len(quote.text)
        word = "".join(quote.text[start:end].split())
        assert any(word in source and share == of for source, of in sources)
