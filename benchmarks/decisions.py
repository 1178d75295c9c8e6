"""Thresholds: the precision asked for, texts of no topic, and unknown texts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import cross_val_predict

from accuracy import tfidf_of_words
from data import LANGUAGES, NAMES, data_folder, load, select
from measure import table
from slugline import Corpus, TopicClassifier
from slugline.corpus.splits import rank_draw
from slugline.errors import OptionError
from slugline.model.decider import Decider
from slugline.model.file.container import pack
from slugline.model.file.content import to_model_file
from slugline.model.thresholds import lowest_threshold

# The precision asked for --------------------------------------------------------------------------

#: Sets on which a precision of 0.95 can be achieved.
ACHIEVABLE = ("banking77", "trec", "20ng", "stackoverflow", "ag_news", "reuters-corrected", "webkb")
PRECISION = 0.95
N_SPLITS, N_TRAIN = 20, 10_003
#: Labels per topic to learn from, or 0 for most of the training documents.
LABELS, N_DRAWS = (5, 10, 20, 50, 0), 2
# Fewer remaining documents of a small set would be of one or two topics.
MIN_TESTED = 200


@dataclass(frozen=True)
class TopAnswers:
    """Most likely topics, held out and on tests: probabilities, and whether they are right."""

    heldout_probabilities: np.ndarray
    heldout_is_right: np.ndarray
    probabilities: np.ndarray
    is_right: np.ndarray

    def score(self, threshold: float) -> tuple[float, float]:
        """Return precision and coverage on the test documents."""
        answered = self.probabilities >= threshold
        precision = float(self.is_right[answered].mean()) if answered.any() else np.nan
        return precision, float(answered.mean())


def _temperature_scaled(name: str) -> TopAnswers:
    """Return the answers of (a) with probabilities by temperature scaling."""
    train, test = load(name)
    model = CalibratedClassifierCV(tfidf_of_words(), method="temperature")
    y = np.array(train.topics)
    heldout = cross_val_predict(model, train.texts, y, cv=3, method="predict_proba")
    model.fit(train.texts, y)
    proba = model.predict_proba(test.texts)
    return TopAnswers(
        heldout.max(axis=1),
        model.classes_[heldout.argmax(axis=1)] == y,
        proba.max(axis=1),
        model.classes_[proba.argmax(axis=1)] == np.array(test.topics),
    )


def unbounded_threshold(probabilities: np.ndarray, is_right: np.ndarray, precision: float) -> float:
    """Return the lowest probability from which on the fraction of right answers is high enough."""
    order = np.argsort(-probabilities, kind="stable")
    fractions = np.cumsum(is_right[order]) / np.arange(1, len(order) + 1)
    ends = np.flatnonzero(fractions >= precision)
    return float(probabilities[order][ends[-1]]) if len(ends) else np.inf


def precision(sets: Sequence[str] = ACHIEVABLE) -> str:
    """Precision and coverage where a precision of 0.95 is asked for, beside temperature scaling."""
    columns = ("Slugline", "by topic", "temperature, same bound", "temperature, no bound")
    header = ["", *(f"{name}: {what}" for name in columns for what in ("precision", "coverage"))]
    rows, numbers = [], []
    for name in sets:
        train, test = load(name)
        classifier = TopicClassifier(n_jobs=1, min_precision=PRECISION)
        fitted = classifier.fit(train.texts, train.topics).fitted_
        scores = [
            *_score(Decider.from_fitted(fitted), test),
            *_score(Decider.from_fitted(fitted, per_topic=True), test),
        ]
        other = _temperature_scaled(name)
        heldout = other.heldout_probabilities, other.heldout_is_right
        for choose in (lowest_threshold, unbounded_threshold):
            scores += other.score(choose(*heldout, PRECISION))
        numbers.append(scores)
        rows.append([name, *(f"{number:.3f}" for number in scores)])
    rows.append(["mean", *(f"{number:.3f}" for number in np.nanmean(numbers, axis=0))])
    return (
        f"Asked for a precision of {PRECISION}. Thresholds come from training documents alone. "
        "Coverage is the fraction of the test documents that are answered. The peer is "
        'TfidfVectorizer + LinearSVC in CalibratedClassifierCV(method="temperature"), thresholded '
        "by its probabilities in 3 folds, with the bound that Slugline uses, and without any.\n\n"
        f"{table(header, rows)}"
    )


def _score(decider: Decider, test: Corpus) -> tuple[float, float]:
    decisions = decider.decide(test.texts)
    is_right = [
        decision.topic == topic
        for decision, topic in zip(decisions, test.topics, strict=True)
        if decision.topic is not None
    ]
    return float(np.mean(is_right)) if is_right else np.nan, len(is_right) / len(decisions)


def afterwards(sets: Sequence[str] = ACHIEVABLE) -> str:
    """Bytes of the answers that every model keeps, and a precision chosen from them afterwards."""
    columns = ("later: precision", "later: coverage", "in fit: precision", "in fit: coverage")
    header = ["", "documents", "answers", "bytes", "fraction of the file", *columns]
    rows, scores = [], []
    for name in sets:
        train, test = load(name)
        fitted = TopicClassifier(n_jobs=1).fit(train.texts, train.topics).fitted_
        heldout = fitted.heldout_predictions
        assert heldout is not None
        without = replace(fitted, heldout_predictions=None)
        size, smaller = (len(pack(to_model_file(model))) for model in (fitted, without))
        precise = TopicClassifier(n_jobs=1, min_precision=PRECISION)
        precise.fit(train.texts, train.topics)
        later = _score(Decider.from_fitted(fitted, PRECISION), test)
        scores.append([*later, *_score(Decider.from_fitted(precise.fitted_), test)])
        counts = [f"{count:,}" for count in (len(train), heldout.n_candidates, size - smaller)]
        fraction = f"{(size - smaller) / size:.1%}"
        rows.append([name, *counts, fraction, *(f"{number:.3f}" for number in scores[-1])])
    rows.append(["mean", *[""] * 4, *(f"{number:.3f}" for number in np.mean(scores, axis=0))])
    return (
        f"A precision of {PRECISION} chosen after a plain fit, by the answers that were held out "
        "to calibrate probabilities, and one that the fit knew of. Bytes are those that the "
        f"answers take in the file.\n\n{table(header, rows)}"
    )


# The promise --------------------------------------------------------------------------------------


class Promise(NamedTuple):
    """Precision and coverage on tests, and the standard error of the precision asked for."""

    precision: float
    coverage: float
    error: float


def promise(
    sets: Sequence[str] = NAMES, labels: Sequence[int] = LABELS, draws: int = N_DRAWS
) -> str:
    """How often the precision asked for is achieved, with few labels and many.

    Training documents alone are used. Of labels per topic, 0 stands for most of the documents.
    """
    rows = []
    for n_labels in labels:
        promises: dict[float, list[Promise]] = {0.9: [], PRECISION: []}
        for name in sets:
            for seed in range(draws):
                for asked, result in _promises(load(name)[0], n_labels, seed).items():
                    promises[asked].append(result)
        for asked, results in promises.items():
            made = [result for result in results if result.coverage]
            if not made:
                continue
            is_kept = [result.precision >= asked - result.error for result in made]
            mean = np.average(
                [result.precision for result in made], weights=[result.coverage for result in made]
            )
            coverage = np.mean([result.coverage for result in results])
            rows.append([str(n_labels or "70 %"), f"{asked}", f"{len(made)} of {len(results)}"])
            rows[-1] += [f"{np.mean(is_kept):.0%}", f"{mean:.3f}", f"{coverage:.3f}"]
    header = ["labels per topic", "asked", "promised in", "of these kept", "precision", "answered"]
    return (
        f"{draws} draws from the training documents of each of {len(sets)} sets, tested on up to "
        "1,500 others of them. A promise counts as kept if the precision there is at most a "
        "standard error below what was asked. It is made with 90 % confidence, so that nine in "
        f"ten should be kept.\n\n{table(header, rows)}"
    )


def _promises(train: Corpus, n_labels: int, seed: int) -> dict[float, Promise]:
    """Return the results for each precision, whose coverage is 0 if it can't be promised.

    Nothing, if too few documents remain to test on.
    """
    rng = np.random.default_rng(seed)
    if n_labels:
        is_learned = rank_draw(train.topics, 0, 1, seed) < n_labels
    else:
        is_learned = rng.permutation(len(train)) < min(5000, 0.7 * len(train))
    test = select(train, rng.permutation(np.flatnonzero(~is_learned))[:1500])
    if len(test) < MIN_TESTED:
        return {}
    learned = select(train, np.flatnonzero(is_learned))
    classifier = TopicClassifier(n_jobs=1, random_state=seed, min_precision=PRECISION)
    classifier.fit(learned.texts, learned.topics)
    promises = {}
    for asked in (0.9, PRECISION):
        try:
            decisions = classifier.decide(test.texts, asked)
        except OptionError:
            promises[asked] = Promise(0.0, 0.0, 0.0)
            continue
        is_right = [
            decision.topic == topic
            for decision, topic in zip(decisions, test.topics, strict=True)
            if decision.topic is not None
        ]
        error = np.sqrt(asked * (1 - asked) / max(1, len(is_right)))
        fraction = float(np.mean(is_right)) if is_right else 1.0
        promises[asked] = Promise(fraction, len(is_right) / len(test), float(error))
    return promises


# Texts of no topic, and of unknown words ----------------------------------------------------------


def out_of_scope() -> str:
    """The fraction of out-of-scope texts that are refused (hint3-powerplay11)."""
    train, test = load("hint3-powerplay11")
    path = data_folder("hint3-powerplay11") / "out_of_scope.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        outside = [json.loads(line)["text"] for line in file]
    classifier = TopicClassifier(n_jobs=1, min_precision=0.9).fit(train.texts, train.topics)
    fitted = classifier.fitted_
    proba = fitted.predict_proba(test.texts)
    is_right = fitted.classes[proba.argmax(axis=1)] == np.array(test.topics)
    top, top_outside = proba.max(axis=1), fitted.predict_proba(outside).max(axis=1)
    rows = []

    def add_row(label: str, answered: np.ndarray, refused: np.ndarray) -> None:
        fractions = (is_right[answered].mean(), answered.mean(), refused.mean())
        rows.append([label, *(f"{fraction:.3f}" for fraction in fractions)])

    def split(threshold: float) -> tuple[np.ndarray, np.ndarray]:
        return top >= threshold, top_outside < threshold

    add_row("probability of 0.5", *split(0.5))
    heldout = fitted.heldout_predictions
    assert heldout is not None
    assert heldout.words is not None
    threshold = unbounded_threshold(heldout.probabilities, heldout.right, 0.9)
    add_row("asked for 0.9, by probability alone", *split(threshold))
    decider = Decider.from_fitted(fitted)
    in_scope, answered_outside = (
        np.array([decision.topic is not None for decision in decider.decide(texts)])
        for texts in (test.texts, outside)
    )
    add_row("asked for 0.9, Slugline", in_scope, ~answered_outside)
    at_threshold = split(unbounded_threshold(top, is_right, 0.9))
    add_row("0.9 on the test itself, by probability", *at_threshold)
    usual, usual_outside = (
        ~heldout.words.are_unusual(fitted.features.read(texts)[1])
        for texts in (test.texts, outside)
    )
    answered, refused = split(unbounded_threshold(top[usual], is_right[usual], 0.9))
    add_row("0.9 on the test itself, Slugline", answered & usual, refused | ~usual_outside)
    return table(["", "precision in scope", "answered in scope", "out of scope refused"], rows)


def unknown_texts(sets: Sequence[str] = ("banking77", "trec", "sib200-en", "stackoverflow")) -> str:
    """The fraction of texts in other languages, and about other things, that are refused."""
    splits = {name: load(name) for name in sets}
    foreign = [
        text
        for language in LANGUAGES
        if language != "en"
        for text in load(f"sib200-{language}")[1].texts
    ]
    rows = []
    for name, (train, test) in splits.items():
        fitted = TopicClassifier(n_jobs=1, min_precision=0.8).fit(train.texts, train.topics).fitted_
        decider = Decider.from_fitted(fitted)
        reasons = [decision.reason for decision in decider.decide(test.texts)]
        refused_tests = np.mean([r is not None and r.kind == "unknown_words" for r in reasons])
        others = {"other languages": foreign}
        others |= {other: split[1].texts[:500] for other, split in splits.items() if other != name}
        for source, texts in others.items():
            proba, counts = fitted.predict_with_words(texts)
            is_low = proba.max(axis=1) < decider.thresholds[proba.argmax(axis=1)]
            decisions = decider.decide_from_proba(texts, proba, counts)
            is_refused = np.array([decision.reason is not None for decision in decisions])
            fractions = is_low.mean(), is_refused.mean(), refused_tests
            rows.append([name, source, *(f"{fraction:.3f}" for fraction in fractions)])
    header = ["trained on", "asked about", "by probability", "with known words", "own refused"]
    return (
        "The fraction that is refused, asked for 0.8. The last column is that of the model's own "
        f"test texts refused for unknown words.\n\n{table(header, rows)}"
    )


BENCHMARKS = {
    "afterwards": afterwards,
    "promise": promise,
    "precision": precision,
    "out-of-scope": out_of_scope,
    "unknown-texts": unknown_texts,
}
QUICK = {
    "afterwards": {"sets": ("trec",)},
    "promise": {"sets": ("sib200-de", "trec"), "labels": (10, 0), "draws": 1},
    "precision": {"sets": ("trec",)},
    "unknown-texts": {"sets": ("trec", "sib200-en")},
}
