"""Looking for a better way to learn: what is tried, what is taken, and when it ends."""

from __future__ import annotations

import functools
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.metrics import f1_score

from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError, OptionError
from slugline.learning.calibration import sigmoid
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.tuning import BUDGET, Candidate, Metric, Tuning, tune
from slugline.text.feature_groups import DEFAULT_GROUPS

pytestmark = pytest.mark.slow

WORDS = (DEFAULT_GROUPS["words"],)


def ordered_pairs(n: int) -> tuple[list[str], np.ndarray]:
    """Return texts whose topic lies in the order of two words, and in nothing else."""
    rng = np.random.default_rng(0)
    y = rng.integers(2, size=n)
    fill = [" ".join(f"filler{i}" for i in rng.integers(30, size=5)) for _ in range(n)]
    texts = [f"{a} {'red blue' if t else 'blue red'} {a}" for a, t in zip(fill, y, strict=True)]
    return texts, y


def searched(n: int = 240, budget: float = BUDGET, seed: int = 0) -> Tuning:
    texts, y = ordered_pairs(n)
    return tune(
        texts, Labels.from_topics(y), WORDS, FitContext(n_topics=2, seed=seed), budget=budget
    )


@functools.cache
def search(budget: float = BUDGET) -> Tuning:
    """Return what a search finds, which is done once."""
    return searched(budget=budget)


class Notes(SilentProgress):
    """Hears what is told of the search, and may press Ctrl-C."""

    def __init__(self, interrupt_at: int | None = None) -> None:
        self.notes: list[str] = []
        self._interrupt_at = interrupt_at

    def note(self, text: str) -> None:
        self.notes.append(text)
        if len(self.notes) == self._interrupt_at:
            signal.raise_signal(signal.SIGINT)


def test_tune_finds_the_group_that_tells_topics_apart() -> None:
    tuning = search()
    first, best = tuning.trials[0], tuning.best
    assert first.candidate == Candidate(WORDS)
    assert first.score < 0.7
    assert "bigrams" in {group.kind for group in best.candidate.feature_groups}
    assert best.score > 0.85


def test_trial_scores_are_those_of_cross_validation() -> None:
    from slugline.corpus.splits import make_folds
    from slugline.text.features import Features

    texts, y = ordered_pairs(240)
    folds = make_folds(y.tolist(), 3, seed=0)
    feature_groups = (*WORDS, DEFAULT_GROUPS["bigrams"])
    n_right = 0
    for number in range(3):
        features, learner = Features(feature_groups), LinearLearner()
        learn, held = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        learner.fit(
            features.fit_transform([texts[i] for i in learn]),
            Labels.from_topics(y[learn]),
            FitContext(2),
        )
        rows = features.transform([texts[i] for i in held])
        n_right += int(np.sum(learner.predict_proba(rows).argmax(axis=1) == y[held]))
    trial = next(trial for trial in search().trials if trial.candidate == Candidate(feature_groups))
    assert trial.score == pytest.approx(n_right / 240)


def test_tune_announces_a_long_search(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([1.0, 11.0])
    clock = SimpleNamespace(perf_counter=lambda: next(seconds))
    monkeypatch.setattr("slugline.learning.tuning.time", clock)
    notes: list[str] = []

    class Notes(SilentProgress):
        def note(self, text: str) -> None:
            notes.append(text)

    texts, y = ordered_pairs(30)
    TopicClassifier(tune=1.0).fit(texts, y.tolist(), progress=Notes())
    assert notes[1] == (
        "`tune` tries up to 9 ways to learn from 30 texts, which takes about 2 minutes; Ctrl-C "
        "stops with the best one so far"
    )


def test_tune_tries_each_candidate_once_and_improves_both_metrics() -> None:
    trials = search().trials
    assert len({trial.candidate for trial in trials}) == len(trials)
    best = trials[0]
    for trial in trials[1:]:
        if trial.is_better:
            assert trial.score >= best.score
            assert trial.log_loss < best.log_loss
            best = trial


def test_tune_accepts_a_group_without_terms() -> None:
    y = np.arange(60) % 2
    texts = ["apple" if topic else "motor" for topic in y]  # no pairs, nor a lead beside the words
    tuning = tune(texts, Labels.from_topics(y), WORDS, FitContext(n_topics=2))
    assert any(
        DEFAULT_GROUPS["bigrams"] in trial.candidate.feature_groups for trial in tuning.trials
    )
    assert tuning.best.score == 1.0


def test_tune_ignores_documents_of_weight_zero() -> None:
    texts, y = ordered_pairs(360)
    noise = np.random.default_rng(1).integers(2, size=360)
    weight = np.repeat(np.array([1, 0], dtype=np.float32), 360)
    context = FitContext(n_topics=2, sample_weight=weight)
    tuning = tune(
        texts + texts, Labels.from_topics(np.concatenate([y, noise])), WORDS, context, budget=1000
    )
    assert "bigrams" in {group.kind for group in tuning.best.candidate.feature_groups}
    assert tuning.best.score > 0.8


def test_ctrl_c_ends_the_search_and_keeps_the_best() -> None:
    texts, y = ordered_pairs(240)
    notes = Notes(interrupt_at=4)
    tuning = tune(texts, Labels.from_topics(y), WORDS, FitContext(n_topics=2, progress=notes))
    assert tuning.interrupted
    assert len(tuning.trials) == len(notes.notes) == 4
    assert DEFAULT_GROUPS["bigrams"] in tuning.best.candidate.feature_groups


def test_tune_notes_every_trial() -> None:
    texts, y = ordered_pairs(60)
    notes = Notes()
    tuning = tune(texts, Labels.from_topics(y), WORDS, FitContext(n_topics=2, progress=notes))
    assert len(notes.notes) == len(tuning.trials)
    first = tuning.trials[0]
    assert notes.notes[0] == (
        f"{first.score:.4f}  log loss {first.log_loss:.4f}  best so far  1.25 x words"
    )


def test_tune_rejects_a_single_document() -> None:
    with pytest.raises(DataError) as caught:
        tune(["wheat"], Labels.from_topics(np.array([0])), WORDS, FitContext(n_topics=1))
    assert str(caught.value).startswith("1 documents can't be split into 1 folds")


@pytest.mark.parametrize("topics", [["x", "y", "x"], [["x"], ["y"], ["x", "y"]]])
def test_tune_rejects_texts_without_words(topics: list[Any]) -> None:
    with pytest.raises(DataError, match="no document contains a word"):
        TopicClassifier(tune=True).fit(["", "", ""], topics)


# Several topics for a text ------------------------------------------------------------------------


def several_pairs(n: int) -> tuple[list[str], Any]:
    """Return texts of up to two topics, each of which lies in the order of two words."""
    rng = np.random.default_rng(0)
    truth = rng.random((n, 2)) < 0.5
    words = ("red blue", "blue red"), ("up down", "down up")
    fill = [[f"filler{i}" for i in rng.integers(30, size=5)] for _ in range(n)]
    texts = [
        " ".join([*fill[row], *(words[k][int(truth[row, k])] for k in rng.permutation(2))])
        for row in range(n)
    ]
    return texts, sp.csr_array(truth.astype(np.float32))


def f1_at_a_half(proba: np.ndarray, y: np.ndarray) -> float:
    return float(f1_score(y, proba > 0.5, average="micro"))


def micro_f1(scores: np.ndarray, labels: Labels, weights: np.ndarray) -> float:
    counts = weights > 0
    return f1_at_a_half(sigmoid(scores[counts]), labels.take(counts).indicator(2))


MICRO = Metric("micro-F1", micro_f1)


def test_trial_scores_of_several_topics_are_those_of_cross_validation() -> None:
    from slugline.corpus.splits import make_folds
    from slugline.text.features import Features

    texts, y = several_pairs(240)
    tuning = tune(
        texts, Labels.from_indicator(y), WORDS, FitContext(n_topics=2), budget=1, metric=MICRO
    )
    proba, truth = np.zeros((240, 2)), y.toarray()
    folds = make_folds([tuple(np.flatnonzero(row)) for row in truth], 3, seed=0)
    for number in range(3):
        features, learner = Features(WORDS), LinearLearner()
        train, held = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        rows = features.fit_transform([texts[i] for i in train])
        learner.fit(rows, Labels.from_indicator(y[train]), FitContext(2))
        proba[held] = learner.predict_proba(features.transform([texts[i] for i in held]))
    [trial] = tuning.trials
    assert trial.score == pytest.approx(f1_at_a_half(proba, truth))
    loss = -np.log(np.where(truth > 0, proba, 1 - proba)).sum(axis=1).mean()
    assert trial.log_loss == pytest.approx(loss, rel=1e-4)
    assert tuning.to_dict()["trials"][0]["micro_f1"] == trial.score


def test_tune_finds_the_group_that_tells_several_topics_apart() -> None:
    texts, y = several_pairs(240)
    weight = np.repeat(np.array([1, 0], dtype=np.float32), 240)
    noise = sp.csr_array(np.random.default_rng(1).integers(2, size=(240, 2)).astype(np.float32))
    context = FitContext(n_topics=2, sample_weight=weight)
    tuning = tune(
        texts + texts,
        Labels.from_indicator(sp.vstack([y, noise]).tocsr()),
        WORDS,
        context,
        metric=MICRO,
    )
    assert "bigrams" in {group.kind for group in tuning.best.candidate.feature_groups}
    assert tuning.best.score > 0.85 > tuning.trials[0].score
    best = tuning.trials[0]
    for trial in tuning.trials[1:]:
        if trial.is_better:
            assert trial.score >= best.score
            assert trial.log_loss < best.log_loss
            best = trial


@pytest.mark.parametrize("average", ["micro", "macro", "samples"])
def test_classifier_of_several_topics_is_tuned_for_its_f1(average: Any, tmp_path: Path) -> None:
    texts, y = several_pairs(90)
    sets = [[f"t{k}" for k in np.flatnonzero(row)] for row in y.toarray()]
    classifier = TopicClassifier(tune=True, optimize=average, n_jobs=1).fit(texts, sets)
    assert classifier.fitted_.tuning is not None
    assert classifier.fitted_.tuning.metric == f"{average}-F1"
    assert 0 < classifier.fitted_.tuning.best.score <= 1
    assert (
        classifier.fitted_.features.feature_groups
        == classifier.fitted_.tuning.best.candidate.feature_groups
    )
    classifier.save(tmp_path / "tuned.slug")
    again = load(tmp_path / "tuned.slug")
    assert np.array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    again.tune = False
    twin = clone(again).fit(texts, sets)
    assert np.array_equal(twin.predict_proba(texts), classifier.predict_proba(texts))


# In a classifier --------------------------------------------------------------------------------


def test_tuned_classifier_learns_like_the_best_trial_and_is_saved_so(tmp_path: Path) -> None:
    texts, y = ordered_pairs(90)
    classifier = TopicClassifier(tune=True).fit(texts, y)
    assert classifier.fitted_.tuning is not None
    best = classifier.fitted_.tuning.best.candidate
    assert classifier.fitted_.features.feature_groups == best.feature_groups
    classifier.save(tmp_path / "tuned.slug")
    again = load(tmp_path / "tuned.slug")
    assert np.array_equal(again.predict_proba(texts), classifier.predict_proba(texts))
    # A copy of it learns in that way without a search.
    twin = clone(again).fit(texts, y)
    assert twin.fitted_.tuning is None
    assert np.array_equal(twin.predict_proba(texts), classifier.predict_proba(texts))


def test_tune_does_not_depend_on_threads() -> None:
    texts, y = ordered_pairs(60)
    one, two = (TopicClassifier(tune=250, n_jobs=n).fit(texts, y) for n in (1, 2))
    assert one.fitted_.tuning == two.fitted_.tuning


@pytest.mark.parametrize("options", [{"learner": "network"}, {"feature_groups": WORDS}])
def test_tune_rejects_a_learner_and_feature_groups(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError) as caught:
        TopicClassifier(tune=True, **options).fit(["wheat", "zinc"], ["a", "b"])
    assert str(caught.value) == (
        "`tune` chooses `learner` and `feature_groups` itself; leave them at their defaults."
    )


@pytest.mark.parametrize("budget", [-1, float("nan"), float("inf"), "yes", None])
def test_tune_rejects_an_invalid_budget(budget: Any) -> None:
    with pytest.raises(OptionError) as caught:
        TopicClassifier(tune=budget).fit(["wheat", "zinc"], ["a", "b"])
    assert str(caught.value) == f"`tune` is {budget!r}; give True, False or a budget over 0."
