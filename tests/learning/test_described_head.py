"""What an encoder's head learns from descriptions, beside few documents and many."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from slugline.learning.encoder import described
from slugline.learning.encoder.described import DescribedWords, ShrunkMeans, fit_described_head
from slugline.learning.encoder.fit import (
    SHARPNESS,
    EncoderHead,
    Names,
    UnlabelledRows,
    fit_nearest_means,
)
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear.problem import ABSENT_SCORE

Floats = npt.NDArray[np.float32]
N_TOPICS, N_COLUMNS = 6, 40
CENTRES = np.random.default_rng(3).normal(size=(N_TOPICS, N_COLUMNS))
# What documents have in common, and descriptions don't.
REGISTER = 4 * np.random.default_rng(5).normal(size=N_COLUMNS)


def unit(rows: npt.NDArray[Any]) -> Floats:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def documents(y: npt.NDArray[Any], seed: int) -> Floats:
    noise = 3 * np.random.default_rng(seed).normal(size=(len(y), N_COLUMNS))
    return unit(CENTRES[y] + REGISTER + noise)


DESCRIBED = unit(CENTRES + 1.2 * np.random.default_rng(4).normal(size=CENTRES.shape))
NEW_Y = np.arange(1200) % N_TOPICS
NEW = documents(NEW_Y, 1)


def unknown_words(y: npt.NDArray[Any]) -> DescribedWords:
    """Return scores of words that know nothing but how many documents a topic has."""
    counts = np.bincount(y, minlength=N_TOPICS)
    scores = np.tile(np.where(counts > 0, -0.5, ABSENT_SCORE), (len(y), 1)).astype(np.float32)
    scores[np.arange(len(y)), y] = np.where(counts[y] > 1, -0.5, ABSENT_SCORE)
    absent = np.where(counts == 0, ABSENT_SCORE, np.nan).astype(np.float32)
    return DescribedWords(np.arange(len(y)), scores, absent)


def fit(y: npt.NDArray[Any], seed: int = 0, **options: Any) -> EncoderHead:
    rows = np.concatenate([documents(y, seed), DESCRIBED])
    topics = np.concatenate([y, np.arange(N_TOPICS)])
    context = FitContext(N_TOPICS, sample_weight=options.pop("weight", None))
    head, sums = fit_described_head(
        rows, Labels.from_topics(topics), len(y), context, unknown_words(y), **options
    )
    assert head is not None
    assert sums is not None
    assert sums.shape == (len(y), N_TOPICS)
    return head


def accuracy(head: EncoderHead) -> float:
    scores = NEW @ head.weights + head.biases
    counts = np.where(head.biases > -SHARPNESS, 0, ABSENT_SCORE)
    return float(((scores + head.sparse_factor * counts).argmax(axis=1) == NEW_Y).mean())


def log_loss(head: EncoderHead) -> float:
    proba = head.calibration.proba((NEW @ head.weights + head.biases).astype(np.float32))
    return float(-np.log(proba[np.arange(len(NEW)), NEW_Y]).mean())


# The head -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 5, 10, 20, 40])
def test_fit_described_head_gets_no_worse_by_random_labels(n: int) -> None:
    alone = fit_nearest_means(
        DESCRIBED, Labels.from_topics(np.arange(N_TOPICS)), FitContext(N_TOPICS)
    )
    draws = [np.random.default_rng((n, seed)).integers(0, N_TOPICS, n) for seed in range(8)]
    heads = [fit(y, seed) for seed, y in enumerate(draws)]
    gains = np.array([accuracy(head) for head in heads]) - accuracy(alone)
    assert gains.mean() > -2 * gains.std(ddof=1) / np.sqrt(len(gains)) - 1e-3
    assert np.mean([log_loss(head) for head in heads]) < log_loss(alone) + 0.05


def test_fit_described_head_learns_from_many_labels() -> None:
    alone = fit_nearest_means(
        DESCRIBED, Labels.from_topics(np.arange(N_TOPICS)), FitContext(N_TOPICS)
    )
    assert accuracy(fit(np.arange(300) % N_TOPICS)) > accuracy(alone) + 0.05


def test_fit_described_head_finds_topics_without_labels() -> None:
    head = fit(np.arange(40) % 2)  # forty documents of two topics
    alone = fit_nearest_means(
        DESCRIBED, Labels.from_topics(np.arange(N_TOPICS)), FitContext(N_TOPICS)
    )
    others = NEW_Y > 1
    before, after = (
        ((NEW @ one.weights + one.biases).argmax(axis=1) == NEW_Y)[others].mean()
        for one in (alone, head)
    )
    assert after > before - 0.05


def test_means_take_a_weight_of_two_for_two_documents() -> None:
    y = np.arange(6) % 3
    rows = documents(y, 0)
    twice = np.concatenate([rows, rows])
    most = np.full(N_TOPICS, np.inf)
    weighted = ShrunkMeans(rows, y, np.full(6, 2.0), DESCRIBED.astype(np.float64), most).solution(5)
    doubled = ShrunkMeans(
        twice, np.tile(y, 2), np.ones(12), DESCRIBED.astype(np.float64), most
    ).solution(5)
    for first, second in zip(weighted, doubled, strict=True):
        np.testing.assert_allclose(first, second)


def test_fit_described_head_leaves_out_documents_without_weight() -> None:
    y = np.arange(8) % 3
    weight = np.ones(len(y) + N_TOPICS, dtype=np.float32)
    weight[6:8] = 0
    head = fit(y, weight=weight)
    assert np.isfinite(head.weights).all()


def test_fit_described_head_learns_from_texts_without_labels() -> None:
    y = np.arange(12) % N_TOPICS
    more = UnlabelledRows(documents(NEW_Y, 9), np.zeros((len(NEW_Y), N_TOPICS), dtype=np.float32))
    assert accuracy(fit(y, unlabelled=more)) > accuracy(fit(y)) + 0.05


def test_fit_described_head_is_a_cosine_for_a_single_topic() -> None:
    rows, y = np.concatenate([documents(np.zeros(3, int), 0), DESCRIBED[:1]]), np.zeros(4, int)
    words = DescribedWords(np.zeros(0, int), np.zeros((0, 1), np.float32), np.full(1, np.nan))
    head, sums = fit_described_head(rows, Labels.from_topics(y), 3, FitContext(1), words)
    assert head is not None
    assert sums is None
    assert head.sparse_factor == 0


def test_fit_described_head_reads_the_name_of_a_topic_without_description() -> None:
    y = np.array([0, 0, 1, 1, 2, 3])
    rows = np.concatenate([documents(y, 0), DESCRIBED[:4]])
    topics = np.concatenate([y, np.arange(4)])
    y_all = np.append(y, [5])
    rows = np.concatenate([rows[:6], documents(np.array([5]), 3), rows[6:]])
    topics = np.concatenate([y_all, np.arange(4)])
    scores = np.full((7, N_TOPICS), -1, dtype=np.float32)
    absent = np.full(N_TOPICS, np.nan, dtype=np.float32)
    words = DescribedWords(np.arange(7), scores, absent)
    task = (rows, Labels.from_topics(topics), 7, FitContext(N_TOPICS), words)
    names = Names(unit(CENTRES[5:]), np.array([5]))
    (without, _), (with_name, _) = fit_described_head(*task), fit_described_head(*task, names=names)
    assert without is not None
    assert with_name is not None
    is_five = NEW_Y == 5

    def lead(head: EncoderHead) -> float:
        """Return by how much documents of the topic exceed others in its score."""
        scores = NEW @ head.weights[:, 5]
        return float((scores[is_five].mean() - scores[~is_five].mean()) / scores.std())

    assert lead(with_name) > lead(without)


def test_fit_described_head_gives_unknown_words_the_usual_score() -> None:
    y = np.arange(12) % 3
    words = unknown_words(y)
    rows = np.concatenate([documents(y, 0), DESCRIBED])
    topics = np.concatenate([y, np.arange(N_TOPICS)])
    low, lower = (
        fit_described_head(
            rows,
            Labels.from_topics(topics),
            12,
            FitContext(N_TOPICS),
            words._replace(absent_scores=s),
        )[0]
        for s in (words.absent_scores, words.absent_scores - 5)
    )
    assert low is not None
    assert lower is not None
    moved = lower.biases - low.biases
    np.testing.assert_allclose(moved[3:], 5 * low.sparse_factor, rtol=1e-3, atol=1e-5)
    np.testing.assert_array_equal(moved[:3], 0)


def test_fit_described_head_is_left_out_where_words_say_more() -> None:
    y = np.arange(60) % N_TOPICS
    rows = np.concatenate([unit(np.random.default_rng(0).normal(size=(60, N_COLUMNS))), DESCRIBED])
    topics = np.concatenate([y, np.arange(N_TOPICS)])
    scores = (2 * np.eye(N_TOPICS)[y] - 1).astype(np.float32)
    words = DescribedWords(np.arange(60), scores, np.full(N_TOPICS, np.nan, dtype=np.float32))
    assert fit_described_head(
        rows, Labels.from_topics(topics), 60, FitContext(N_TOPICS), words
    ) == (None, None)


# Means --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [1.0, 5.0])
@pytest.mark.parametrize("n_described", [N_TOPICS, 4])
def test_heldout_scores_are_those_of_a_fit_without_the_row(weight: float, n_described: int) -> None:
    y = np.array([0, 0, 0, 1, 1, 2, 3, 4, 4, 5, 5])
    rows, costs = documents(y, 0), np.random.default_rng(1).uniform(0.5, 2, len(y))
    given = DESCRIBED.astype(np.float64)
    given[n_described:] = 0
    most = np.array([np.inf, np.inf, np.inf, 2.0, np.inf, np.inf])
    found = ShrunkMeans(rows, y, costs, given, most).heldout_scores(np.arange(len(y)), weight)
    for row in range(len(y)):
        others = np.delete(np.arange(len(y)), row)
        means = ShrunkMeans(rows[others], y[others], costs[others], given, most)
        weights, biases = means.solution(weight)
        np.testing.assert_allclose(found[row], rows[row] @ weights + biases, rtol=1e-5, atol=1e-4)


def test_heldout_scores_of_the_only_document_of_a_topic_are_lowest() -> None:
    y, given = np.array([0, 0, 1, 2]), DESCRIBED.astype(np.float64)
    given[2] = 0
    means = ShrunkMeans(documents(y, 0), y, np.ones(4), given, np.full(N_TOPICS, np.inf))
    scores = means.heldout_scores(np.array([3]), 5.0)[0]
    assert scores[2] == scores.min()


def test_means_of_descriptions_alone_are_descriptions() -> None:
    none = np.zeros(0, dtype=int)
    most = np.full(N_TOPICS, np.inf)
    means = ShrunkMeans(
        np.zeros((0, N_COLUMNS), np.float32), none, np.zeros(0), DESCRIBED.astype(np.float64), most
    )
    weights, biases = means.solution(5.0)
    np.testing.assert_allclose(weights, SHARPNESS * DESCRIBED.T, rtol=1e-5)
    np.testing.assert_array_equal(biases, 0)


def test_means_of_unknown_topics_are_never_nearest() -> None:
    given = DESCRIBED.astype(np.float64)
    given[5] = 0
    y = np.array([0, 1])
    means = ShrunkMeans(documents(y, 0), y, np.ones(2), given, np.full(N_TOPICS, np.inf))
    weights, biases = means.solution(5.0)
    assert ((NEW @ weights + biases).argmax(axis=1) != 5).all()


# Factors ------------------------------------------------------------------------------------------


def test_fit_factors_stay_near_the_prior_for_few_rows() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(1000) % N_TOPICS
    prior = rng.normal(size=(1000, N_TOPICS)).astype(np.float32)
    good = (rng.normal(size=(1000, N_TOPICS)) + 3 * np.eye(N_TOPICS)[y]).astype(np.float32)
    few = described._fit_factors([prior[:4], good[:4]], y[:4], np.ones(4))
    many = described._fit_factors([prior, good], y, np.ones(1000))
    assert few == pytest.approx([1, 0], abs=0.1)
    assert many[0] < 0.2
    assert many[1] > 1
