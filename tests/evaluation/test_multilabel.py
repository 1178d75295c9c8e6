"""Metrics of several topics a document, beside scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import metrics

from slugline.errors import DataError
from slugline.evaluation.multilabel import (
    MultilabelEvaluation,
    Ranking,
    TopicMistake,
    TopicPair,
    macro_scores,
    micro_scores,
    samples_scores,
)

Set = tuple[str, ...]


def random_case(
    n: int = 300, n_topics: int = 12, seed: int = 0
) -> tuple[list[str], list[Set], np.ndarray, np.ndarray]:
    """Return names, true topics, probabilities and thresholds; some documents have no topic."""
    rng = np.random.default_rng(seed)
    names = [f"t{number:02}" for number in range(n_topics)]
    proba = (rng.random((n, n_topics)) ** 4).astype(np.float32)
    true = rng.random((n, n_topics)) < proba
    true[:, -1] = False  # a topic that nothing has
    sets = [tuple(name for name, has in zip(names, row, strict=True) if has) for row in true]
    return names, sets, proba, np.linspace(0.3, 0.6, n_topics).astype(np.float32)


@pytest.fixture
def evaluation() -> MultilabelEvaluation:
    return MultilabelEvaluation.from_probabilities(*random_case())


def dense(evaluation: MultilabelEvaluation) -> tuple[Any, Any]:
    return evaluation.true.toarray(), evaluation.answered.toarray()


def test_multilabel_scores_equal_those_of_scikit_learn(evaluation: MultilabelEvaluation) -> None:
    true, answered = dense(evaluation)
    assert (true.sum(axis=1) == 0).any()
    assert (answered.sum(axis=1) == 0).any()
    assert not answered[:, -1].all()
    averages = {"micro": evaluation.micro, "macro": evaluation.macro, "samples": evaluation.samples}
    for average, scores in averages.items():
        expected = metrics.precision_recall_fscore_support(
            true, answered, average=average, zero_division=int(average == "samples")
        )
        assert scores == pytest.approx(expected[:3])
    assert evaluation.accuracy == metrics.accuracy_score(true, answered)
    assert evaluation.hamming_loss == pytest.approx(metrics.hamming_loss(true, answered))
    per_topic = metrics.precision_recall_fscore_support(true, answered, zero_division=np.nan)
    rows = [(t.precision, t.recall, t.f1, t.n_documents) for t in evaluation.per_topic()]
    np.testing.assert_allclose(np.transpose(rows), per_topic)


def test_ranking_metrics_equal_those_of_scikit_learn(evaluation: MultilabelEvaluation) -> None:
    true, proba = dense(evaluation)[0], evaluation.proba
    some = true.any(axis=1)
    ranking, n_right = evaluation.ranking, np.take_along_axis(true, np.argsort(-proba), axis=1)
    for k in (1, 3, 5):
        assert ranking.ndcg_at(k) == pytest.approx(metrics.ndcg_score(true[some], proba[some], k=k))
        assert ranking.precision_at(k) == pytest.approx(n_right[some, :k].mean())
    assert ranking.average_precision == pytest.approx(
        metrics.label_ranking_average_precision_score(true[some], proba[some])
    )


def test_ranking_is_the_same_in_batches(
    evaluation: MultilabelEvaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = evaluation.ranking
    monkeypatch.setattr("slugline.evaluation.multilabel._BATCH_SIZE", 30)
    parts = Ranking.from_probabilities(evaluation.true, evaluation.proba)
    assert parts.rank.tolist() == whole.rank.tolist()
    assert parts.document.tolist() == whole.document.tolist()


def test_ranking_puts_the_first_of_equal_topics_higher() -> None:
    true = sp.csr_array(np.array([[False, True, True], [True, False, False]]))
    ranking = Ranking.from_probabilities(true, np.full((2, 3), 0.5, dtype=np.float32))
    assert ranking.rank.tolist() == [1, 2, 0]


def test_samples_scores_count_none_for_none_as_right() -> None:
    nothing = sp.csr_array((1, 3), dtype=bool)
    one = sp.csr_array(np.array([[True, False, False]]))
    assert samples_scores(nothing, nothing) == (1, 1, 1)
    assert samples_scores(nothing, one) == (0, 1, 0)
    assert samples_scores(one, nothing) == (1, 0, 0)
    assert micro_scores(nothing, nothing) == macro_scores(nothing, nothing) == (0, 0, 0)
    evaluation = MultilabelEvaluation.from_answers(["a", "b", "c"], nothing, one)
    assert evaluation.hamming_loss == pytest.approx(1 / 3)


def test_ranking_metrics_without_topics_are_nan() -> None:
    ranking = Ranking.from_probabilities(sp.csr_array((2, 3), dtype=bool), np.zeros((2, 3)))
    assert np.isnan([ranking.ndcg_at(3), ranking.precision_at(1), ranking.average_precision]).all()


def test_unknown_topics_count_as_missed() -> None:
    proba = np.array([[0.9, 0.2], [0.1, 0.8]], dtype=np.float32)
    half = np.array([0.5, 0.5], dtype=np.float32)
    evaluation = MultilabelEvaluation.from_probabilities(
        ["a", "b"], [("a", "x"), ("b",)], proba, half
    )
    assert evaluation.topics == ["a", "b", "x"]
    assert evaluation.n_known == 2
    assert evaluation.micro == pytest.approx((1, 2 / 3, 0.8))
    assert evaluation.macro_f1 == 1  # over the classifier's topics
    assert evaluation.accuracy == 0.5
    assert evaluation.missed() == [TopicMistake(0, "x", 0.0)]
    assert evaluation.ranking.rank.tolist() == [0, 2, 0]
    assert evaluation.to_dict()["topics"][2]["threshold"] is None


def test_f1_intervals_include_the_scores_and_depend_on_the_seed(
    evaluation: MultilabelEvaluation,
) -> None:
    scores = evaluation.micro.f1, evaluation.macro.f1, evaluation.samples.f1
    for score, (low, high) in zip(scores, evaluation.f1_intervals, strict=True):
        assert low < score < high < low + 0.15
    again = MultilabelEvaluation.from_probabilities(*random_case())
    assert again.f1_intervals == evaluation.f1_intervals
    other = MultilabelEvaluation.from_probabilities(*random_case(), seed=1)
    assert other.f1_intervals != evaluation.f1_intervals


def test_f1_intervals_are_as_wide_as_those_of_resampling(evaluation: MultilabelEvaluation) -> None:
    true, answered = dense(evaluation)
    rng, n = np.random.default_rng(0), len(true)
    # Micro, macro, and by document, where right answers of no topic count as 1.
    kinds: list[tuple[int | None, float]] = [(None, 0), (0, 0), (1, 1)]

    def scores(rows: np.ndarray) -> list[float]:
        n_right, n_topics = true[rows] & answered[rows], true[rows] + answered[rows] * 1
        return [
            float(np.mean(f1_scores(n_right.sum(axis), n_topics.sum(axis), undefined)))
            for axis, undefined in kinds
        ]

    drawn = np.array([scores(rows) for rows in rng.integers(n, size=(500, n))])
    widths = np.ptp(np.quantile(drawn, [0.025, 0.975], axis=0), axis=0)
    for interval, width in zip(evaluation.f1_intervals, widths, strict=True):
        assert interval.high - interval.low == pytest.approx(width, rel=0.15)


def f1_scores(n_right: np.ndarray, n_topics: np.ndarray, undefined: float) -> np.ndarray:
    """Return F1 from the topics that are right, and all that are true or answered."""
    return np.where(n_topics > 0, 2 * n_right / np.maximum(n_topics, 1), undefined)


def test_macro_f1_interval_is_not_lowered_by_rare_topics() -> None:
    # Each of 200 topics has one document, and every second one is found.
    names = [f"t{number:03}" for number in range(200)]
    proba = np.zeros((200, 200), dtype=np.float32)
    proba[np.arange(0, 200, 2), np.arange(0, 200, 2)] = 1
    evaluation = MultilabelEvaluation.from_probabilities(
        names, [(name,) for name in names], proba, np.full(200, 0.5, dtype=np.float32)
    )
    assert evaluation.macro_f1 == 0.5
    low, high = evaluation.f1_intervals[1]
    # Half of some 126 topics in a resample: a standard error of 0.035 for the share of 200.
    assert 0.5 - low == pytest.approx(0.07, abs=0.03)
    assert high - 0.5 == pytest.approx(0.07, abs=0.03)


def test_f1_intervals_without_mistakes_are_those_of_the_exact_match() -> None:
    names, sets, *_ = random_case()
    proba = np.array([[name in topics for name in names] for topics in sets], dtype=np.float32)
    evaluation = MultilabelEvaluation.from_probabilities(
        names, sets, proba, np.full(len(names), 0.5, dtype=np.float32)
    )
    assert evaluation.f1_intervals == (evaluation.interval,) * 3
    assert evaluation.interval.low < 1
    assert evaluation.missed() == evaluation.added() == []
    assert evaluation.predicted == sets


def test_reliability_counts_probabilities_over_5_percent() -> None:
    evaluation = MultilabelEvaluation.from_probabilities(*random_case(20_000))
    bins = evaluation.reliability()
    assert sum(b.n_documents for b in bins) == np.count_nonzero(evaluation.proba > 0.05)
    assert min(b.probability for b in bins) > 0.05
    # The topics were drawn by the probabilities, but for the last, which nothing has.
    names, sets, proba, thresholds = random_case(20_000)
    halved = MultilabelEvaluation.from_probabilities(names, sets, proba / 2, thresholds / 2)
    assert evaluation.calibration_error < 0.05 < 0.1 < halved.calibration_error
    curve = evaluation.coverage()
    assert curve is not None
    assert curve.n_documents == evaluation.answered.nnz
    assert curve.at(0).accuracy == pytest.approx(evaluation.micro.precision)


def test_calibration_and_coverage_are_undefined_without_probabilities() -> None:
    evaluation = MultilabelEvaluation.from_probabilities(
        ["a"], [("a",)], np.array([[0.01]], dtype=np.float32), np.array([0.5], dtype=np.float32)
    )
    assert np.isnan([evaluation.calibration_error, evaluation.chance_error]).all()
    assert evaluation.coverage() is None
    assert evaluation.to_dict()["calibration_error"] is None


def test_pairs_missed_and_added_are_sorted() -> None:
    proba = np.array([[0.9, 0.8, 0.1], [0.7, 0.6, 0.2], [0.9, 0.3, 0.4]], dtype=np.float32)
    half = np.full(3, 0.5, dtype=np.float32)
    sets: list[Set] = [("a", "b"), ("a",), ("b", "c")]
    evaluation = MultilabelEvaluation.from_probabilities(["a", "b", "c"], sets, proba, half)
    assert evaluation.pairs() == [TopicPair("a", "b", 1, 2), TopicPair("b", "c", 1, 0)]
    assert [(m.row, m.topic) for m in evaluation.missed()] == [(2, "b"), (2, "c")]
    assert [(m.row, m.topic) for m in evaluation.added()] == [(2, "a"), (1, "b")]
    assert evaluation.added(1)[0].probability == pytest.approx(0.9)


def test_from_probabilities_takes_answers_apart_from_thresholds() -> None:
    names, sets, proba, thresholds = random_case()
    answered = np.array([[name in topics for name in names] for topics in sets])
    same = MultilabelEvaluation.from_probabilities(
        names, sets, proba, thresholds, answered=answered
    )
    assert same.accuracy == 1


def test_to_dict_and_summary_hold_everything(evaluation: MultilabelEvaluation) -> None:
    data = evaluation.to_dict()
    assert list(data) == [
        *("n_documents", "exact_match", "exact_match_interval", "micro", "macro", "samples"),
        *("hamming_loss", "top_k", "ranking_average_precision", "calibration_error"),
        *("calibration_error_by_chance", "reliability", "topics", "pairs"),
    ]
    assert data["micro"]["f1"] == evaluation.micro.f1
    assert data["topics"][0]["threshold"] == pytest.approx(0.3)
    assert data["topics"][-1]["recall"] is None
    low, high = evaluation.f1_intervals[0]
    assert repr(evaluation) == (
        "Evaluation on 300 documents of 12 topics, multi-label\n"
        f"  micro-F1      {evaluation.micro.f1:.3f}, 95 % interval {low:.3f} to {high:.3f}\n"
        f"  macro-F1      {evaluation.macro_f1:.3f}, every topic counts the same\n"
        f"  per document  {evaluation.samples.f1:.3f}, every document counts the same\n"
        f"  exact match   {evaluation.accuracy:.3f} of the documents have all topics right"
    )


@pytest.mark.parametrize(
    ("sets", "proba", "thresholds", "message"),
    [
        ([], np.zeros((0, 2)), np.zeros(2), "no documents to evaluate"),
        ([("a",)], np.zeros((2, 2)), np.zeros(2), "1 document, 2 topics, probabilities of shape"),
        ([("a",)], np.zeros((1, 2)), np.zeros(3), r"thresholds of shape \(3,\)"),
        ([("a",)], np.full((1, 2), 1.5), np.zeros(2), "a probability is not between 0 and 1"),
        ([("a",)], np.full((1, 2), np.nan), np.zeros(2), "a probability is not between 0 and 1"),
    ],
)
def test_from_probabilities_rejects_arrays_that_do_not_fit(
    sets: list[Set], proba: Any, thresholds: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        MultilabelEvaluation.from_probabilities(["a", "b"], sets, proba, thresholds)


def test_macro_f1_ignores_topics_without_test_documents() -> None:
    names, half = [f"t{number:02}" for number in range(50)], np.full(50, 0.5, dtype=np.float32)
    proba = np.zeros((40, 50), dtype=np.float32)
    proba[:, 0] = 1
    all_right = MultilabelEvaluation.from_probabilities(names, [("t00",)] * 40, proba, half)
    assert all_right.macro == (1, 1, 1)
    assert all_right.f1_intervals[1] == all_right.interval
    proba[0, :2] = 0, 1  # one topic more, which is given wrongly
    one_wrong = MultilabelEvaluation.from_probabilities(names, [("t00",)] * 40, proba, half)
    assert one_wrong.macro_f1 == pytest.approx(78 / 79 / 2)
    low, high = one_wrong.f1_intervals[1]
    assert low <= one_wrong.macro_f1 <= high
    true, answered = (part[:, :2] for part in dense(one_wrong))
    assert one_wrong.macro_f1 == pytest.approx(metrics.f1_score(true, answered, average="macro"))


def test_macro_f1_interval_covers_it_if_resamples_lack_topics() -> None:
    # One topic is right, and 60 others have one document each, which is missed.
    names = [f"t{number:02}" for number in range(61)]
    proba = np.zeros((160, 61), dtype=np.float32)
    proba[:100, 0] = 1
    y_true = [("t00",)] * 100 + [(name,) for name in names[1:]]
    evaluation = MultilabelEvaluation.from_probabilities(
        names, y_true, proba, np.full(61, 0.5, dtype=np.float32)
    )
    low, high = evaluation.f1_intervals[1]
    assert low <= evaluation.macro_f1 == pytest.approx(1 / 61)
    assert high > low
