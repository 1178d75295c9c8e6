"""Texts outside of ASCII: what separates words, and which scripts have no spaces between them."""

from __future__ import annotations

import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slugline.text.characters import is_unspaced, normalize_nfc, normalize_text
from slugline.text.tokens import find_words, tokenize

# What Unicode calls the characters of scripts without spaces.
NAMES = (
    "THAI ", "LAO ", "MYANMAR ", "KHMER ", "HIRAGANA ", "KATAKANA ", "HALFWIDTH KATAKANA ",
    "CJK UNIFIED IDEOGRAPH", "CJK COMPATIBILITY IDEOGRAPH",
)  # fmt: skip
# Later additions and rarities, which are in blocks of their own or among Latin letters.
RARE = (0x1AFF0, 0x1B16F), (0xA9E0, 0xAA7F), (0x116D0, 0x116E3), (0x1F200, 0x1F200)


def is_of_unspaced_script(character: str) -> bool:
    array = np.frombuffer(character.encode() + b"   ", dtype=np.uint8)
    return bool(is_unspaced(array, np.zeros(1, dtype=np.int64))[0])


def test_unspaced_scripts_are_those_of_unicode() -> None:
    letters = [c for c in map(chr, range(0x80, sys.maxunicode + 1)) if c.isalpha()]
    named = {
        c
        for c in letters
        if unicodedata.name(c, "").startswith(NAMES)
        and not any(first <= ord(c) <= last for first, last in RARE)
    }
    array = np.frombuffer("".join(letters).encode() + b"   ", dtype=np.uint8)
    starts = np.cumsum([0, *(len(c.encode()) for c in letters[:-1])])
    found = {c for c, one in zip(letters, is_unspaced(array, starts), strict=True) if one}
    assert named <= found
    assert {unicodedata.name(c) for c in found - named} == {
        "IDEOGRAPHIC ITERATION MARK",
        "IDEOGRAPHIC CLOSING MARK",
        "KATAKANA-HIRAGANA PROLONGED SOUND MARK",
        "HALFWIDTH KATAKANA-HIRAGANA PROLONGED SOUND MARK",
    }


@pytest.mark.parametrize(
    "character", ["a", "ä", "я", "ع", "한", "ह", "😀", "\ufffd", "\ud7ff", "\ue000", "\U000e0001"]
)
def test_is_unspaced_is_false_for_other_scripts(character: str) -> None:
    assert not is_of_unspaced_script(character)


@pytest.mark.parametrize("edges", ["\u0e00\u0eff", "\u4e00\u9fff", "\uff66\uff9f"])
def test_is_unspaced_ends_with_its_unicode_blocks(edges: str) -> None:
    first, last = map(ord, edges)
    around = [first - 1, first, last, last + 1]
    assert [is_of_unspaced_script(chr(point)) for point in around] == [False, True, True, False]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("“Öl” – 5 %…", ["öl", "5"]),
        ("l’eau, don’t ‘so’", ["l'eau", "don't", "so'"]),
        ("¿Qué? ¡No! «oui»", ["qué", "no", "oui"]),
        ("цена\u00a0нефти\u2009растёт", ["цена", "нефти", "растёт"]),
        ("كيف؟ نعم،لا", ["كيف", "نعم", "لا"]),
        ("石油价格上涨。中国", ["石油价格上涨", "中国"]),
        ("新iPhone16发布", ["新", "iphone16", "发布"]),
        ("コーヒー・カップ", ["コーヒー", "カップ"]),
        ("ราคาน้ำมัน ขึ้น5%", ["ราคาน้ำมัน", "ขึ้น", "5"]),
        ("유가 상승", ["유가", "상승"]),
        ("cafe\u0301 CAFÉ", ["café", "café"]),
    ],
    ids=[
        "German", "apostrophes", "three languages", "wide spaces", "Arabic", "Chinese", "mixed",
        "Japanese", "Thai", "Korean", "combining accent",
    ],
)  # fmt: skip
def test_tokenize_splits_many_languages(text: str, words: list[str]) -> None:
    assert tokenize(text) == words


@given(st.text())
@example("ÁΣ\u0301手\u0301")
@example("\u212b\u2126")
def test_normalize_text_keeps_a_plain_text(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once).split() == once.split()


def test_find_words_does_not_depend_on_other_scripts() -> None:
    alone, beside = find_words(["crude oil"]), find_words(["crude oil", "石油"])
    assert beside.hashes.tolist()[:2] == alone.hashes.tolist()


def test_normalize_nfc_takes_linear_time_for_many_marks() -> None:
    heap = "É" + "\u0301\u0316" * 100_000  # in order, this would take minutes
    assert normalize_nfc(heap) == heap.lower()
    long = "E\u0301" * 2000
    assert normalize_nfc(long) == "é" * 2000
    assert normalize_nfc(long + "e" + "\u0301\u0316" * 15).endswith(
        "é" + "\u0316" * 15 + "\u0301" * 14
    )


def test_find_words_accepts_characters_of_any_plane() -> None:
    beyond = map(chr, range(0x1FFFF, sys.maxunicode + 1))
    assert not any(map(unicodedata.combining, beyond))
    text = "e\u0301" * 1000 + "\U00020000\U0010ffff"
    assert normalize_nfc(text) == "é" * 1000 + "\U00020000\U0010ffff"
    heap = "\U0001d16e\U0001d165" * 1000  # marks of the second plane
    assert normalize_nfc(heap) == heap
