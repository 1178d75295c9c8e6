"""Terms made of words, against their definitions in plain Python."""

from __future__ import annotations

import itertools
import tracemalloc
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from reference_terms import reference_terms
from slugline.text.terms import (
    KINDS,
    N_LEAD,
    find_bigrams,
    find_character_ngrams,
    find_lead_words,
    join_terms,
)
from slugline.text.tokens import Words, find_words

# Words of one to four bytes a character, of more than one 8-byte block, and all separators.
WORDS = st.sampled_from(
    [
        "a",
        "oil",
        "don't",
        "é",
        "straße",
        "石油",
        "iphone手机",
        "ราคาน้ำมัน",
        "\U0001f600",
        "\U00020000",
        "\ud800",
        "x" * 9,
    ]
)
GAPS = st.sampled_from([" ", "  ", ", ", "\u3000", "-\n", "、", "’"])
DOCUMENTS = st.lists(st.tuples(WORDS, GAPS).map("".join), max_size=60).map("".join) | st.text()
BATCHES = st.lists(DOCUMENTS, max_size=5)


def spelled(kind: str, batch: list[str]) -> list[list[str]]:
    """Return the terms of each document, as they are spread from their groups."""
    terms = KINDS[kind].find(find_words(batch))
    places, indptr = terms.columns_in_order(np.arange(len(terms.spans), dtype=np.int32))
    return [
        [terms.spans.word(place) for place in places[first:last]]
        for first, last in itertools.pairwise(indptr)
    ]


def terms_of(words: Words) -> list[list[str]]:
    """Return the terms of each document."""
    return [
        [words.word(i) for i in range(first, last)]
        for first, last in itertools.pairwise(words.indptr.tolist())
    ]


@pytest.mark.parametrize(
    ("find", "kind"),
    [(find_lead_words, "lead"), (find_bigrams, "bigrams"), (find_character_ngrams, "characters")],
)
@given(batch=BATCHES)
@example(batch=[])
@example(batch=[""])
@example(batch=["", "oil gas", "", "é", ""])
@example(batch=["one", "two"])
@example(batch=["to " * (N_LEAD + 1)])
@example(batch=["x" * 99 + " " + "y" * 100 + " " + "z" * 101 + " " + "石" * 102])
def test_term_kinds_find_the_terms_of_their_definition(
    find: Callable[[Words], Words], kind: str, batch: list[str]
) -> None:
    assert terms_of(find(find_words(batch))) == [reference_terms(kind, text) for text in batch]


@pytest.mark.parametrize("kind", KINDS)
@given(batch=BATCHES)
@example(batch=[])
@example(batch=["oil", "", "gas oil gas"])
@example(batch=["late " * N_LEAD + "far oil", "oil far"])
def test_columns_in_order_spreads_groups_to_all_places(kind: str, batch: list[str]) -> None:
    assert spelled(kind, batch) == [reference_terms(kind, document) for document in batch]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@given(batch=BATCHES)
def test_grouped_terms_count_all_occurrences(kind: str, batch: list[str]) -> None:
    terms = KINDS[kind].find(find_words(batch))
    counts: Counter[str] = Counter()
    for span, count in enumerate(terms.counts().tolist()):
        counts[terms.spans.word(span)] += count
    assert counts == Counter(itertools.chain.from_iterable(spelled(kind, batch)))


def test_character_ngrams_are_shorter_in_scripts_without_spaces() -> None:
    grams = find_character_ngrams(find_words(["New iPhone手机，好"]))
    assert terms_of(grams) == [
        [" new", "new ", " iph", "ipho", "phon", "hone", "one ", "手", "机", "手机", "好"]
    ]


def test_columns_in_order_omits_terms_without_a_column() -> None:
    terms = KINDS["words"].find(find_words(["oil gas tin gas", "tin", "gas"]))
    columns, indptr = terms.columns_in_order(np.array([7, -1, 3], dtype=np.int32))
    assert columns.tolist() == [7, 3, 3]
    assert indptr.tolist() == [0, 2, 3, 3]


@pytest.mark.parametrize("kind", KINDS)
@given(batch=BATCHES)
@example(batch=["ΑΣ ΑΣΑ", "İstanbul - STRASSE", "\0a a\0"])
def test_term_kinds_hash_terms_as_in_documents(kind: str, batch: list[str]) -> None:
    found = KINDS[kind].find(find_words(batch)).spans
    terms = [found.word(i) for i in range(len(found))]
    assert np.array_equal(KINDS[kind].hash(*join_terms(terms)), found.hashes)


@given(st.lists(st.text(st.sampled_from("a é\ud800石"), max_size=6)))
@example([])
@example(["", "a b", "", " a", "a ", "a  b", " ", "a b c", "a b"])
def test_bigrams_hash_only_pairs_of_words(terms: list[str]) -> None:
    hashes = KINDS["bigrams"].hash(*join_terms(terms))
    pairs = [term for term in terms if term.count(" ") == 1 and all(term.split(" "))]
    assert hashes.tolist() == [KINDS["bigrams"].hash(*join_terms([p]))[0] for p in pairs]


@pytest.mark.parametrize("kind", KINDS)
@given(batch=BATCHES)
def test_term_hashes_are_distinct_and_not_0(kind: str, batch: list[str]) -> None:
    found = KINDS[kind].find(find_words(batch)).spans
    terms = {found.word(i) for i in range(len(found))}
    hashes = set(found.hashes.tolist())
    assert len(terms) == len(hashes)
    assert 0 not in hashes


@pytest.mark.parametrize("kind", KINDS)
def test_terms_do_not_depend_on_other_documents(kind: str) -> None:
    documents = ["oil and gas", "", "straße", "gas"]
    together = spelled(kind, documents)
    assert together == [spelled(kind, [document])[0] for document in documents]


def test_bigram_hashes_never_change_between_versions() -> None:
    assert find_bigrams(find_words(["oil gas"])).hashes.tolist() == [0x36E2E1DB62A21C7C]


def test_bigram_hash_is_never_that_of_an_empty_slot() -> None:
    hashes = np.array([1, 2**64 - 0x9E3779B97F4A7C15], dtype=np.uint64)
    oil, gas = np.array([1, 5]), np.array([4, 8])
    words = Words(b" oil gas", oil, gas, np.array([0, 2]), hashes)
    assert find_bigrams(words).hashes.tolist() == [1]


def test_character_ngrams_of_a_long_word_take_bounded_memory() -> None:
    words = find_words(["x1y2" * 500_000])
    tracemalloc.start()
    find_character_ngrams(words)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50 * len(words.buffer)
