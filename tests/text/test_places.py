"""Where words stand in the original text: every script, marks, emoji, halves of characters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.text.characters import normalize_text
from slugline.text.terms import SpanMapper
from slugline.text.tokens import find_words, tokenize


def slices(text: str) -> list[str]:
    words = find_words([text])
    starts, ends = SpanMapper(text, words).to_text_positions(words.starts, words.ends)
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Wheat's up,  corn", ["Wheat's", "up", "corn"]),
        ("“Öl” aus—dem Meer", ["Öl", "aus", "dem", "Meer"]),
        ("iPhone手机，很好", ["iPhone", "手机", "很好"]),
        ("cafe\u0301 E\u0301TE\u0301", ["cafe\u0301", "E\u0301TE\u0301"]),
        ("İZNİK x", ["İZNİK", "x"]),
        ("\u1112\u1161\u11ab 글", ["\u1112\u1161\u11ab", "글"]),
        ("か\u3099く x", ["か\u3099く", "x"]),
        ("क\u093c ख", ["क\u093c", "ख"]),
        ("\u0958, \u212b", ["\u0958", "\u212b"]),
        ("a😀b 👩‍👩‍👧 c", ["a😀b", "👩‍👩‍👧", "c"]),
        ("half\ud83d \ude00 x", ["half\ud83d", "\ude00", "x"]),
        ("ارتفعت صادرات القمح", ["ارتفعت", "صادرات", "القمح"]),
        ("ราคา wheat", ["ราคา", "wheat"]),
        ("ΟΔΟΣ it’s", ["ΟΔΟΣ", "it’s"]),
        # The marks change places, but the full stop before them is no part of the word.
        (".\u0301\u0323 x", ["\u0301\u0323", "x"]),
        # A separator, combined with a mark, is none.
        ("a=\u0338 b", ["a=\u0338", "b"]),
        ("", []),
        (" \u2003…", []),
    ],
)
def test_span_mapper_returns_offsets_of_words(text: str, expected: list[str]) -> None:
    assert slices(text) == expected


#: Characters of which many combine, change their length or stand at the edge of a rule.
ODD = (
    "aeEİıΣσςΣé\u0301\u0323\u0307\u0338=.,'’ \n\u3000手か\u3099ゴ\u1112\u1161\u11ab가"
    "क\u093c\u09c7\u09be\u0958😀\u200d\ud83d\ude00\u212b\u0e33ﬁ"
)
ANYTHING = st.one_of(st.text(ODD), st.text(st.characters(exclude_categories=[])), st.text())
#: Scripts with and without spaces, right to left, with marks and with vowels that combine.
SCRIPTS = {
    "Latin": "aEéÖ\u0301\u0323İß ,.",
    "Greek": "αΣσΏ\u0301 ·;",
    "Cyrillic": "аЙи\u0306 «»",
    "Arabic": "ابأ\u0653\u064b\u0651 ،",
    "Hebrew": "אשׁ\u05c1\u05b8 ־",
    "Devanagari": "कख़क़\u093c\u093f\u094d ।",
    "Bengali": "কড়\u09bc\u09c7\u09be\u09d7 ।",
    "Korean": "가\u1112\u1161\u11ab한 ,",
    "Chinese": "手机\uf900很，。 a",
    "Japanese": "かがカ\u3099\u309aー。 A",
    "Thai": "กขำ\u0e33\u0e48\u0e31 A",
    "emoji": "😀👩👧\u200d\ufe0f\U0001f3fd a,",
    "halves": "\ud83d\ude00a é,",
}


def same(word: str) -> str:
    """Return a word in a form for comparison: what follows decides how a last sigma is written."""
    return word.replace("ς", "σ")


@pytest.mark.parametrize("script", SCRIPTS)
@given(data=st.data())
def test_span_mapper_finds_words_of_every_script(data: st.DataObject, script: str) -> None:
    text = data.draw(st.text(SCRIPTS[script]))
    expected = [[same(word)] for word in tokenize(text)]
    assert [list(map(same, tokenize(cut))) for cut in slices(text)] == expected


@given(ANYTHING)
def test_span_mapper_finds_words_of_any_text(text: str) -> None:
    words = tokenize(text)
    found = slices(text)
    assert len(found) == len(words)
    for word, cut in zip(words, found, strict=True):
        # Marks of two scripts on one letter may change places, and are then found together; so is
        # the dot of a letter that has one only as a capital.
        found_in = [same(other) for other in tokenize(cut)]
        assert same(word) in found_in or any(same(word) in other for other in found_in)


@given(ANYTHING)
def test_span_mapper_returns_ascending_offsets_in_the_text(text: str) -> None:
    words = find_words([text])
    starts, ends = SpanMapper(text, words).to_text_positions(words.starts, words.ends)
    assert starts == sorted(starts)
    assert ends == sorted(ends)
    for start, end in zip(starts, ends, strict=True):
        assert 0 <= start < end <= len(text)


@given(st.text(ODD))
def test_span_mapper_finds_every_character_of_a_word(text: str) -> None:
    # As runs of characters in scripts without spaces need it.
    words = find_words([text])
    array = np.frombuffer(words.buffer, dtype=np.uint8)
    edges = np.flatnonzero((array & 0xC0) != 0x80)
    edges = edges[: np.searchsorted(edges, words.ends.max(initial=0)) + 1]
    firsts = edges[:-1][array[edges[:-1]] != ord(" ")]
    lasts = edges[1:][array[edges[:-1]] != ord(" ")]
    starts, ends = SpanMapper(text, words).to_text_positions(firsts, lasts)
    for byte, end_byte, start, end in zip(firsts, lasts, starts, ends, strict=True):
        character = words.buffer[byte:end_byte].decode("utf-8", "surrogatepass")
        assert same(character) in same(normalize_text(text[start:end]))


def test_span_mapper_handles_texts_with_too_many_marks() -> None:
    heap = "E" + "\u0301\u0316" * 10_000
    assert slices(f"Cafe\u0301 {heap}") == ["Cafe\u0301", heap]
