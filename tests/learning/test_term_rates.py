"""How freely the weights of terms move: relevance by its definition, and its mean."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.learning.labels import Labels
from slugline.learning.linear.steps import relevance, relevance_power, term_rates

# Twelve documents of three topics. The first term is in all of them, the second in one topic, the
# third in one document, the fourth in none.
Y = np.repeat([0, 2, 5], [6, 4, 2])
HAS = np.array([np.ones(12), Y == 2, np.arange(12) == 11, np.zeros(12)]).T
X = sp.csr_array(HAS * np.arange(1, 13)[:, np.newaxis], dtype=np.float32)
ROWS = np.arange(12)
LABELS = Labels.from_topics(Y)


def expected(has: np.ndarray, y: np.ndarray) -> float:
    """Give the relevance of a term that these documents have, from dense arrays."""
    topics = np.unique(y)
    usual = np.array([(y == topic).mean() for topic in topics])
    found = np.array([has[y == topic].sum() for topic in topics])
    prior = len(topics) / 6
    shares = (found + prior * usual) / (found.sum() + prior)
    return float((shares * np.log(shares / usual)).sum() / np.log(len(topics)))


def test_relevance_is_the_divergence_of_the_topics_of_a_term() -> None:
    found = relevance(X, LABELS, ROWS)
    np.testing.assert_allclose(found, [expected(has, Y) for has in HAS.T], atol=1e-12)
    assert found[0] == pytest.approx(0, abs=1e-12)
    assert found[3] == pytest.approx(0, abs=1e-12)
    assert found[1] > 0.1


def test_relevance_is_lower_for_terms_of_few_documents() -> None:
    y = np.repeat([0, 1], 20)
    seen = np.array([(np.arange(40) < n) for n in (1, 2, 5, 20)]).T
    few_to_many = relevance(
        sp.csr_array(seen, dtype=np.float32), Labels.from_topics(y), np.arange(40)
    )
    assert (np.diff(few_to_many) > 0).all()
    assert few_to_many[-1] < 1


def test_relevance_and_term_rates_read_only_the_rows_given() -> None:
    some = np.flatnonzero(np.arange(12) % 3)
    for of in (relevance, partial(term_rates, power=2)):
        np.testing.assert_allclose(
            of(X, LABELS, some), of(X[some], LABELS.take(some), np.arange(len(some)))
        )


def test_term_rates_grow_with_relevance_and_average_to_1() -> None:
    rates = term_rates(X, LABELS, ROWS, 2)
    squares = (X**2).sum(axis=0)
    assert squares @ rates[:-1] / squares.sum() == pytest.approx(1)
    assert rates[1] > 1 > rates[0] == rates[3]
    assert rates[-1] == 1
    assert rates.dtype == np.float32


@pytest.mark.parametrize(
    ("n_rows", "n_topics", "multilabel", "power"),
    [
        (500, 3, False, 4),
        (501, 3, False, 2),
        (60 * 20, 20, False, 4),  # few of each topic
        (60 * 20 + 1, 20, False, 2),
        (500, 2, False, 2),
        (500, 20, True, 2),
    ],
)
def test_relevance_power_is_higher_for_few_rows(
    n_rows: int, n_topics: int, multilabel: bool, power: int
) -> None:
    assert relevance_power(n_rows, n_topics, multilabel) == power
