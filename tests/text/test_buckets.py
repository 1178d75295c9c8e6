"""Hash buckets: fixed columns for terms that nobody has to know."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from reference_terms import reference_terms
from slugline.errors import DataError
from slugline.text.columns import Buckets, HashedColumns
from slugline.text.terms import KINDS, join_terms
from slugline.text.tokens import find_words
from vocabularies import count_terms


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        pytest.param("words", {10948673: 1, 13224416: 2}, id="words"),
        pytest.param("lead", {10948673: 1, 13224416: 2}, id="lead"),
        pytest.param("bigrams", {3357437: 1, 5715701: 1}, id="bigrams"),
    ],
)
def test_buckets_never_change_between_versions(kind: str, columns: dict[int, int]) -> None:
    X = count_terms(Buckets(1 << 24, kind), ["Oil, crude oil"])
    assert dict(zip(X.indices.tolist(), X.data.tolist(), strict=True)) == columns


def test_buckets_count_colliding_terms_together() -> None:
    assert count_terms(Buckets(1), ["oil gas oil", "", "tin"]).toarray().tolist() == [[3], [0], [1]]


# Buckets that have been seen ----------------------------------------------------------------------


def seen(texts: Sequence[str], kind: str = "words", n_buckets: int = 1 << 20) -> HashedColumns:
    buckets = HashedColumns(n_buckets, kind)
    for text in texts:
        buckets.learn(KINDS[kind].find(find_words([text])).spans)
    return buckets


TEXTS = ["crude oil", "oil prices", "Ölpreis 石油 crude", "", "don't \ud800"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n_buckets", [8, 1 << 20], ids=["few", "many"])
def test_hashed_columns_number_buckets_in_order_of_appearance(kind: str, n_buckets: int) -> None:
    first: dict[int, str] = {}  # the term that came first, by bucket
    for term in (term for text in TEXTS for term in reference_terms(kind, text)):
        bucket = int(KINDS[kind].hash(*join_terms([term]))[0]) % n_buckets
        first.setdefault(bucket, term)
    buckets = seen(TEXTS, kind, n_buckets)
    assert buckets.n_columns == len(first)
    assert list(buckets.terms) == list(first.values())
    assert [buckets.term(column) for column in range(len(first))] == list(first.values())
    counts = count_terms(Buckets(n_buckets, kind), TEXTS)
    assert (count_terms(buckets, TEXTS) != counts[:, list(first)]).nnz == 0


def test_hashed_columns_learn_the_same_in_parts() -> None:
    at_once = HashedColumns(64)
    at_once.learn(find_words(TEXTS))
    assert list(at_once.terms) == list(seen(TEXTS, n_buckets=64).terms)
    assert (count_terms(at_once, TEXTS) != count_terms(seen(TEXTS, n_buckets=64), TEXTS)).nnz == 0


def test_hashed_columns_count_colliding_terms_with_the_first() -> None:
    buckets = seen(["oil gas", "tin"], n_buckets=1)
    assert buckets.terms == ["oil"]
    assert count_terms(buckets, ["tin gas", "oil"]).toarray().tolist() == [[2], [1]]


@pytest.mark.parametrize("kind", KINDS)
def test_from_names_restores_hashed_columns(kind: str) -> None:
    buckets = seen(TEXTS, kind, 64)
    again = HashedColumns.from_names(join_terms(buckets.terms), 64, kind)
    assert again.terms == buckets.terms
    assert (count_terms(again, TEXTS) != count_terms(buckets, TEXTS)).nnz == 0


@pytest.mark.parametrize(
    ("terms", "kind", "n_buckets", "message"),
    [
        (
            ["oil", "gas", "oil"],
            "words",
            1 << 20,
            "two terms of the kind 'words' are in one bucket",
        ),
        (["oil", "gas"], "words", 1, "two terms of the kind 'words' are in one bucket"),
        (["crude oil", "oil"], "bigrams", 1 << 20, "a term is not of the kind 'bigrams'"),
        (["crude oil price"], "bigrams", 1 << 20, "a term is not of the kind 'bigrams'"),
    ],
    ids=["a term twice", "two in a bucket", "no pair", "three words"],
)
def test_from_names_rejects_impossible_terms(
    terms: list[str], kind: str, n_buckets: int, message: str
) -> None:
    with pytest.raises(DataError) as caught:
        HashedColumns.from_names(join_terms(terms), n_buckets, kind)
    assert str(caught.value) == message


def test_copy_of_hashed_columns_learns_independently() -> None:
    buckets = seen(["crude oil"])
    twin, other = buckets.copy(), buckets.copy()
    twin.learn(find_words(["tin zinc"]))
    other.learn(find_words(["gas"]))
    assert list(buckets.terms) == ["crude", "oil"]
    assert list(twin.terms) == ["crude", "oil", "tin", "zinc"]
    assert list(other.terms) == ["crude", "oil", "gas"]
    assert count_terms(buckets, ["tin oil gas"]).toarray().tolist() == [[0, 1]]
    assert count_terms(twin, ["tin oil gas"]).toarray().tolist() == [[0, 1, 1, 0]]


def test_drop_table_changes_no_column() -> None:
    columns = seen(["crude oil", "gas"])
    columns.drop_table()
    assert count_terms(columns, ["gas gas oil"]).toarray().tolist() == [[0, 1, 2]]
    columns.drop_table()
    columns.learn(find_words(["gas tin"]))
    assert list(columns.terms) == ["crude", "oil", "gas", "tin"]


def test_select_renumbers_columns_and_forgets_the_others() -> None:
    buckets = seen(["crude oil", "Öl gas"])
    kept = buckets.select(np.array([1, 2]))
    assert list(kept.terms) == ["oil", "öl"]
    texts = ["crude oil öl öl gas"]
    assert count_terms(kept, texts).toarray().tolist() == [[1, 2]]
    assert count_terms(buckets, texts).toarray().tolist() == [[1, 1, 2, 1]]
    kept.learn(find_words(["gas crude"]))
    assert list(kept.terms) == ["oil", "öl", "gas", "crude"]
    assert buckets.select(np.zeros(0, dtype=np.int64)).n_columns == 0
