"""Hash buckets: fixed columns for terms that nobody has to know."""

from __future__ import annotations

import math

import pytest

from slugline.text.term_columns import Buckets


@pytest.mark.parametrize(
    ("kind", "columns"),
    [
        pytest.param("words", {10948673: 1, 13224416: 2}, id="words"),
        pytest.param("lead", {10948673: 1, 13224416: 2}, id="lead"),
        pytest.param("bigrams", {3357437: 1, 5715701: 1}, id="bigrams"),
    ],
)
def test_a_terms_column_stays_what_it_is_since_model_files_rest_on_it(
    kind: str, columns: dict[int, int]
) -> None:
    X = Buckets(1 << 24, kind).transform(["Oil, crude oil"])
    assert dict(zip(X.indices.tolist(), X.data.tolist(), strict=True)) == columns


def test_terms_that_meet_in_a_bucket_are_counted_together() -> None:
    assert Buckets(1).transform(["oil gas oil", "", "tin"]).toarray().tolist() == [[3], [0], [1]]


def test_every_term_has_a_bucket_and_no_bucket_a_name() -> None:
    buckets = Buckets(4, "bigrams")
    assert repr(buckets) == "Buckets(4, kind='bigrams')"
    assert buckets.n_columns == 4
    assert {buckets.term(column) for column in range(4)} == {None}  # type: ignore[func-returns-value]
    assert buckets.known_share(["crude oil", "tin"]) == 1
    assert math.isnan(buckets.known_share(["oil", ""]))
