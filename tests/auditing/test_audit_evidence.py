"""Evidence against topics, neighbours and odd texts, against the formulas written out."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from slugline.auditing import evidence
from slugline.auditing.evidence import Neighbours, find_neighbours, find_odd_texts, number_identical
from slugline.auditing.suspicion import TopicEvidence, error_probabilities
from slugline.learning.labels import Labels
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features

# Evidence against topics ------------------------------------------------------------------------

N_ROWS, N_TOPICS = 80, 4


def make_evidence(seed: int = 0, n_rows: int = N_ROWS) -> TopicEvidence:
    """Return scores that know the right topic, for topics of which a tenth are wrong."""
    rng = np.random.default_rng(seed)
    right = rng.integers(0, N_TOPICS, n_rows)
    scores = rng.normal(-1, 0.4, (n_rows, N_TOPICS)).astype(np.float32)
    scores[np.arange(n_rows), right] += 1.5
    shares = rng.dirichlet(np.ones(N_TOPICS), n_rows).astype(np.float32)
    y = right.copy()
    y[::10] = (y[::10] + 1) % N_TOPICS
    return TopicEvidence(scores, shares, y)


def expected_against(known: TopicEvidence, y: np.ndarray) -> np.ndarray:
    """Return the evidence against topics, document by document."""

    def bend(score: float) -> float:
        return float(np.log1p(np.exp(4 * (score + 1))) / 4 - 1)

    def best_other(row: int, topic: int) -> int:
        others = [other for other in range(N_TOPICS) if other != topic]
        return max(others, key=lambda other: known.scores[row, other])

    n_rows, found = len(y), []
    share = [(np.sum(known.y == topic) + 1) / (n_rows + N_TOPICS) for topic in range(N_TOPICS)]
    for row, topic in enumerate(y.tolist()):
        best = best_other(row, topic)
        # Other documents of the topic whose best other topic scores higher than theirs.
        over = [
            best_other(other, topic)
            for other in range(n_rows)
            if (other != row or known.y[row] != topic)
            and known.y[other] == topic
            and known.scores[other, topic] < known.scores[other, best_other(other, topic)]
        ]
        by_chance = share[best] / (1 - share[topic])
        ratio = (over.count(best) + 10 * by_chance) / ((len(over) + 10) * by_chance)
        found.append(
            0.25 * bend(known.scores[row, best])
            - bend(known.scores[row, topic])
            - 0.7 * known.fractions[row, topic]
            - 0.2 * max(0.0, np.log(ratio))
        )
    return np.array(found)


def test_topic_evidence_follows_the_formulas() -> None:
    known = make_evidence()
    before = known.scores.copy()
    drawn = np.random.default_rng(1).permutation(known.y)
    for y in (known.y, drawn):
        np.testing.assert_allclose(known.against(y), expected_against(known, y), rtol=1e-5)
    assert np.array_equal(known.scores, before)


def test_topic_evidence_likely_uses_scores_and_neighbours() -> None:
    scores = np.array([[1.0, 0.5, 0.2], [1.0, 0.5, 0.2]], dtype=np.float32)
    shares = np.array([[0.0, 0.0, 0.4], [0.0, 0.0, 0.5]], dtype=np.float32)
    known = TopicEvidence(scores, shares, np.array([0, 0]))
    assert known.likely(np.array([0, 0])).tolist() == [1, 2]  # 0.2 + 0.7 * 0.4 is 0.48
    assert known.likely(np.array([1, 2])).tolist() == [0, 0]


def test_error_probabilities_follow_the_formula() -> None:
    known = make_evidence(n_rows=400)
    y, drawn = known.y, np.random.default_rng(5).permutation(known.y)
    against, wrong = known.against(y), known.against(drawn)[drawn != y]
    share = min(
        0.2,
        *(
            (np.sum(against > np.quantile(wrong, q)) + 1) / (1 - q) / len(y)
            for q in (0.5, 0.7, 0.9)
        ),
    )
    values = np.concatenate([against, wrong])
    regression = LogisticRegression(C=1.0, fit_intercept=False, tol=1e-10).fit(
        np.stack([np.ones_like(values), values], axis=1), np.arange(len(values)) >= len(against)
    )
    weights = regression.coef_[0]
    ratio = np.exp(weights[0] + weights[1] * against) * len(against) / len(wrong)
    found = error_probabilities(known, seed=5)
    np.testing.assert_allclose(found, np.clip(share * ratio, 1e-4, 1 - 1e-4), rtol=1e-3)
    is_wrong = np.arange(400) % 10 == 0
    assert found[is_wrong].mean() > 10 * found[~is_wrong].mean()


# Neighbours -------------------------------------------------------------------------------------


def test_find_neighbours_ignores_common_terms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evidence, "_BATCH_ROWS", 25)
    rng = np.random.default_rng(0)
    dense = rng.random((60, 40)) * (rng.random((60, 40)) < 0.15)
    dense[:, 0] = 1  # in all of them
    dense[:50, 1], dense[50:, 1] = 1, 0  # in as many as a term may be in
    dense[:51, 2], dense[51:, 2] = 1, 0  # in one more
    dense[:, 38] = np.isin(np.arange(60), (20, 30))  # in as few
    dense[:, 39] = 0
    dense[59, :-1], dense[59, 39] = 0, 1  # has nothing in common with any
    X = sp.csr_array(dense / np.sqrt((dense**2).sum(axis=1, keepdims=True)), dtype=np.float32)
    groups = np.arange(60)
    groups[1] = 0

    found = find_neighbours(X, groups)

    rarer = np.delete(X.toarray(), [0, 2], axis=1)
    cosines = rarer @ rarer.T
    for row in range(60):
        others = [b for b in np.flatnonzero(cosines[row] > 0).tolist() if groups[b] != groups[row]]
        nearest = sorted(others, key=lambda other: -cosines[row, other])[:10]
        n_more = 10 - len(nearest)
        np.testing.assert_allclose(
            found.cosine[row], np.append(cosines[row, nearest], np.zeros(n_more)), rtol=1e-5
        )
        assert found.rows[row].tolist() == [*nearest, *[-1] * n_more]
    assert found.rows[59].tolist() == [-1] * 10


def test_neighbours_fractions_count_topics_of_the_nearest() -> None:
    near = Neighbours(
        np.array([[1, 2, 3], [0, -1, -1], [-1, -1, -1], [0, 1, -1]]),
        np.array([[0.5, 0.25, 0.25], [0.5, 0, 0], [0, 0, 0], [0.3, 0.1, 0]], dtype=np.float32),
    )
    shares = near.fractions(Labels.from_topics(np.array([0, 1, 1, 2])), 3)
    np.testing.assert_allclose(
        shares, np.array([[0, 3, 1], [4, 0, 0], [0, 0, 0], [3, 1, 0]]) / 4, rtol=1e-6
    )


# Odd texts --------------------------------------------------------------------------------------


def odd_among(*texts: str) -> dict[int, tuple[str, str]]:
    words = Features([FeatureGroup("words")], 1).fit_transform(list(texts))
    numbers = number_identical(texts)
    found = find_odd_texts(texts, words, numbers)
    assert [odd.row for odd in found] == sorted(odd.row for odd in found)
    return {odd.row: (odd.kind, odd.why) for odd in found}


def test_find_odd_texts_finds_blank_texts() -> None:
    assert odd_among("oil up", "", " \n", "...") == dict.fromkeys(
        (1, 2, 3), ("blank", "it contains no words")
    )


@pytest.mark.parametrize("dots", ["...", "…", "…  \n"])
def test_find_odd_texts_finds_texts_that_end_in_dots(dots: str) -> None:
    long = "price " * 14
    short = long[: 79 - len(dots)] + dots
    assert odd_among(long[: 80 - len(dots)] + dots, short, long + dots + "end", long) == {
        0: ("cut off", "it ends in dots")
    }


@pytest.mark.parametrize(
    ("n_cut", "n_shorter", "length", "odd"),
    [(3, 4, 40, True), (2, 5, 40, False), (3, 3, 40, False), (3, 4, 39, False)],
    ids=["just enough", "too few", "half are as long", "too short"],
)
def test_find_odd_texts_finds_texts_of_one_longest_length(
    n_cut: int, n_shorter: int, length: int, odd: bool
) -> None:
    cut = [f"{number} oil gas".ljust(length, "x") for number in range(n_cut)]
    found = odd_among(*cut, *(f"{number} wheat" for number in range(n_shorter)))
    why = "it ends after 40 characters, like 2 others"
    assert found == (dict.fromkeys(range(3), ("cut off", why)) if odd else {})


LATIN, GREEK = "the price of oil", "τιμή του πετρελαίου"


def test_find_odd_texts_finds_another_script() -> None:
    why = "it is written in Greek, most texts in Latin"
    tenth = "a" + "τ" * 9  # one letter in ten is of the usual script
    less = "a" + "τ" * 10
    texts = (GREEK, tenth, less, "τιμ", "τιμή", "12 345 67")
    found = odd_among(LATIN, LATIN + "s", LATIN + "es", LATIN + "ed", *texts)
    assert found == dict.fromkeys((4, 6, 8), ("other script", why))


def test_find_odd_texts_reads_400_letters_for_the_script() -> None:
    tenth, less = "τ" * 360 + "a" * 40, "a" * 39 + "τ" * 361
    found = odd_among(LATIN, LATIN + "s", LATIN + "es", tenth + "τ" * 99, less + "a" * 99)
    assert list(found) == [4]


def test_find_odd_texts_takes_japanese_scripts_as_one() -> None:
    texts = (
        "石油価格の上昇",
        "せきゆのかかく",
        "カタカナノカカク",
        "原油価格上昇",
        "おーーーーーーーーーーーー",
    )
    assert odd_among(*texts) == {}


def counted_words(n_rows: int, n_odd: int, length: int = 8) -> tuple[sp.csr_array, list[int]]:
    """Return texts of the same common words, some of words that no other has, and which these are.

    Two texts have more of the common words.
    """
    odd = np.linspace(2, n_rows - 1, n_odd).astype(int).tolist()
    dense = np.zeros((n_rows, 50 + length * n_odd), dtype=np.float32)
    dense[:, :length] = 3
    dense[:2, :50] = 1
    for number, row in enumerate(odd):
        first = 50 + length * number
        dense[row] = 0
        dense[row, first : first + length] = 1
    return sp.csr_array(dense), odd


@pytest.mark.parametrize(
    ("n_rows", "n_odd", "length", "is_odd"),
    [
        (100, 5, 12, True),
        (100, 6, 12, False),
        (50, 1, 12, True),
        (49, 1, 12, False),
        (100, 5, 7, False),
        (100, 5, 8, False),
    ],
    ids=["few", "many", "just enough texts", "too few texts", "short", "improbable no more"],
)
def test_find_odd_texts_finds_another_language(
    n_rows: int, n_odd: int, length: int, is_odd: bool
) -> None:
    words, expected = counted_words(n_rows, n_odd, length)
    found = list(evidence._of_other_languages(words))
    assert [odd.row for odd in found] == (expected if is_odd else [])
    assert {odd.kind for odd in found} <= {"other language"}
