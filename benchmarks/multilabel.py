"""Several topics for a text: accuracy, promises, calibration and time on the ModApte split."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import MultiLabelBinarizer
from sklearn.svm import LinearSVC

import slugline
from data import load as load_set
from measure import progress, run_in_turn, seconds, table
from slugline import TopicClassifier
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.reuters import load_wires

Array = npt.NDArray[Any]
Documents = tuple[list[str], list[tuple[str, ...]]]


def load() -> tuple[Documents, Documents]:
    """Return training and test documents: texts, and the topics of each."""
    wires = load_wires("modapte")
    parts = [(part.texts, [wire.topics for wire in part]) for part in (wires.train, wires.test)]
    return parts[0], parts[1]


#: Sets whose texts are joined: languages and kinds of short texts.
JOINED = ("sib200-de", "sib200-zh", "trec", "banking77", "ag_news")


def join_texts(name: str, most: int) -> tuple[Documents, Documents]:
    """Return documents made of one to three texts of a set, with the topics of all of them.

    At most so many for training, and as many as the set has for the test, up to 1,000. No text is
    in two documents.
    """
    documents: list[Documents] = []
    for corpus, n in zip(load_set(name), (most, 1000), strict=True):
        rng = np.random.default_rng(0)
        order = rng.permutation(len(corpus.texts)).tolist()
        texts: list[str] = []
        topics: list[tuple[str, ...]] = []
        while order and len(texts) < n:
            size = rng.choice((1, 1, 2, 3))
            rows, order = order[:size], order[size:]
            texts.append(" ".join(corpus.texts[row] for row in rows))
            topics.append(tuple(sorted({str(corpus.topics[row]) for row in rows})))
        documents.append((texts, topics))
    return documents[0], documents[1]


# Classifiers --------------------------------------------------------------------------------------


def words() -> Pipeline:
    """Return the pipeline of scikit-learn that many start with."""
    return make_pipeline(TfidfVectorizer(sublinear_tf=True), OneVsRestClassifier(LinearSVC()))


def words_and_characters() -> Pipeline:
    """Return the pipeline with word pairs and character n-grams."""
    features = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    return make_pipeline(features, OneVsRestClassifier(LinearSVC()))


class Thresholds:
    """A pipeline with a threshold per topic by four folds, shrunk towards a common one.

    Each document gets at least one topic. The folds read the words of all training documents.
    """

    def fit(self, X: Sequence[str], y: Array) -> Thresholds:
        """Learn from texts and an indicator of topics."""
        self.features = TfidfVectorizer(sublinear_tf=True)
        rows = self.features.fit_transform(X)
        svm = OneVsRestClassifier(LinearSVC(C=5))
        folds = KFold(4, shuffle=True, random_state=0)
        scores = cross_val_predict(svm, rows, y, cv=folds, method="decision_function")
        self.svm = svm.fit(rows, y)
        common = _best_threshold(scores.ravel(), y.ravel())
        counts = y.sum(axis=0)
        own = [_best_threshold(scores[:, i], y[:, i]) for i in range(y.shape[1])]
        fraction = counts / (counts + 8)
        self.thresholds = fraction * np.maximum(own, -1) + (1 - fraction) * common
        return self

    def predict(self, X: Sequence[str]) -> Array:
        """Return an indicator."""
        scores = self.svm.decision_function(self.features.transform(X)) - self.thresholds
        given = scores > 0
        given[np.arange(len(given)), scores.argmax(axis=1)] = True
        return given.astype(int)


def _best_threshold(scores: Array, y: Array) -> float:
    order = np.argsort(-scores)
    f1 = 2 * np.cumsum(y[order]) / (np.arange(1, len(order) + 1) + y.sum())
    best = int(f1.argmax())
    return float(scores[order[best : best + 2]].mean())


PEERS: dict[str, Callable[[], Any]] = {
    "words, one-vs-rest LinearSVC": words,
    "words 1-2, char_wb 2-5, one-vs-rest LinearSVC": words_and_characters,
    "words, C = 5, a threshold per topic by four folds": Thresholds,
}


# Benchmarks ---------------------------------------------------------------------------------------


def _f1(true: Array, given: Array) -> list[str]:
    averages = ("micro", "macro", "samples")
    return [
        f"{f1_score(true, given, average=average, zero_division=0):.3f}" for average in averages
    ]


def accuracy(
    *, peers: Sequence[str] = tuple(PEERS), encoders: Sequence[str] = ("use",), n: int = 0
) -> str:
    """Compare micro-, macro- and per-document F1 on the test documents of the ModApte split.

    Encoding its documents with "use" takes some minutes at first; the cache keeps them.

    Published: micro-F1 of 0.870 (LSTM), 0.890 (BERT base) and 0.907 (BERT large) in DocBERT
    (Adhikari, Ram, Tang and Lin 2019).
    """
    (texts, topics), (test_texts, test_topics) = load()
    if n:
        texts, topics = texts[:n], topics[:n]
    binarizer = MultiLabelBinarizer().fit([*topics, *test_topics])
    y, true = binarizer.transform(topics), binarizer.transform(test_topics)
    rows = []
    for name in peers:
        progress(name)
        rows.append([name, *_f1(true, PEERS[name]().fit(texts, y).predict(test_texts))])
    for average in ("micro", "macro", "samples"):
        progress(f"Slugline {average}")
        model = TopicClassifier(encoder=None, optimize=average).fit(texts, topics)
        given = binarizer.transform(model.predict(test_texts))
        rows.append([f"Slugline, `optimize` {average}", *_f1(true, given)])
    for encoder in encoders:
        progress(f"Slugline {encoder}")
        model = TopicClassifier(encoder=cast("Any", encoder)).fit(texts, topics)
        given = binarizer.transform(model.predict(test_texts))
        rows.append([f"Slugline, `encoder` {encoder}", *_f1(true, given)])
    progress("Slugline, stream")
    stream = TopicClassifier().fit_stream([(texts, topics)])
    rows.append(
        ["Slugline, `fit_stream`", *_f1(true, binarizer.transform(stream.predict(test_texts)))]
    )
    return table(("", "micro-F1", "macro-F1", "F1 per document"), rows)


def short(
    *, sets: Sequence[str] = JOINED, sizes: Sequence[int] = (200, 2000), encoder: str = "use"
) -> str:
    """Compare F1 on documents of one to three short texts, with few and with more of them."""
    rows = []
    for name in sets:
        for size in sizes:
            (texts, topics), (test_texts, test_topics) = join_texts(name, size)
            if size != sizes[0] and len(texts) <= sizes[0]:
                continue
            binarizer = MultiLabelBinarizer().fit([*topics, *test_topics])
            true = binarizer.transform(test_topics)
            peer = Thresholds().fit(texts, binarizer.transform(topics)).predict(test_texts)
            answers = [peer]
            for chosen in (None, encoder):
                progress(f"{name} {size} {chosen}")
                model = TopicClassifier(encoder=cast("Any", chosen)).fit(texts, topics)
                answers.append(binarizer.transform(model.predict(test_texts)))
            scores = [" / ".join(_f1(true, given)[:2]) for given in answers]
            rows.append([name, f"{len(texts):,}", *scores])
    header = ("set", "documents", "LinearSVC, thresholds", "Slugline", f"with `{encoder}`")
    return f"Micro-F1 / macro-F1.\n\n{table(header, rows)}"


def promise(*, precisions: Sequence[float] = (0.8, 0.9, 0.95), n: int = 0) -> str:
    """Measure what promises of precision give on the test documents, and calibration.

    The calibration error is that of all decisions with a probability over 0.05, in ten bins.
    """
    (texts, topics), (test_texts, test_topics) = load()
    if n:
        texts, topics = texts[:n], topics[:n]
    rows = []
    for precision in precisions:
        progress(precision)
        model = TopicClassifier(encoder=None, min_precision=precision).fit(texts, topics)
        decisions = model.decide(test_texts)
        given = [set(decision.topics or ()) for decision in decisions]
        n_given = sum(map(len, given))
        n_right = sum(len(one & {*other}) for one, other in zip(given, test_topics, strict=True))
        n_unsure = sum(decision.reason is not None for decision in decisions)
        rows.append(
            [
                f"{precision:g}",
                f"{n_right / n_given:.3f}",
                f"{n_right / sum(map(len, test_topics)):.3f}",
                f"{n_unsure / len(decisions):.3f}",
            ]
        )
    fitted = model.fitted_
    assert fitted.multilabel_rule is not None
    proba = fitted.predict_proba(test_texts)
    evaluation = MultilabelEvaluation.from_probabilities(
        [str(name) for name in fitted.topics.names],
        test_topics,
        proba,
        fitted.multilabel_rule.thresholds,
    )
    header = ("promised", "precision", "fraction of true topics given", "fraction of texts unsure")
    return f"{table(header, rows)}\n\nCalibration error: {evaluation.calibration_error:.4f}."


#: Sets whose topics are paths, and what separates their parts.
TREES = {"20ng": ".", "trec50": ":"}


def trees(*, sets: Sequence[str] = tuple(TREES), precision: float = 0.9, n: int = 0) -> str:
    """Compare a tree of topics with a list of topics, on documents of one path each.

    The last columns are answers of the tree if a precision is asked for.
    """
    rows = []
    for name in sets:
        progress(name)
        separator, (train, test) = TREES[name], load_set(name)
        texts, topics = train.texts[: n or None], train.topics[: n or None]
        flat = TopicClassifier().fit(texts, topics).predict(test.texts)
        tree = TopicClassifier(topic_path=separator).fit(texts, topics)
        answers, true, known = tree.predict(test.texts), test.topics, {*topics}
        decisions = tree.decide(test.texts, min_precision=precision)
        given = [
            (r.topics or [], topic) for r, topic in zip(decisions, true, strict=True) if r.topics
        ]
        is_right = [f"{topic}{separator}".startswith(f"{t[0]}{separator}") for t, topic in given]
        at_parent = [t[0] not in known for t, _ in given]
        matches = [[topics == (topic,) for topics, topic in zip(answers, true, strict=True)]]
        matches.insert(0, [one == other for one, other in zip(flat, true, strict=True)])
        rows.append(
            [
                name,
                *(f"{np.mean(match):.3f}" for match in matches),
                str(sum(len(topics) > 1 for topics in [*answers, *(t for t, _ in given)])),
                str(sum(topics[0] not in known for topics in answers)),
                *(
                    f"{fraction:.3f}"
                    for fraction in (len(given) / len(decisions), np.mean(at_parent))
                ),
                f"{np.mean(is_right):.3f}",
            ]
        )
    header = (
        "set",
        "exact match, list",
        "exact match, tree",
        "several paths",
        "stops at a parent",
        f"answered at {precision:g}",
        "of these at a parent",
        "right",
    )
    return table(header, rows)


def times(*, runs: int = 3, calls: int = 5) -> str:
    """Time a fit and predictions of the ModApte split beside one-vs-rest LinearSVC, by turns.

    The first prediction of a model that has been fitted or loaded is a row of its own; each run
    predicts the same documents `calls` more times.
    """
    (texts, topics), (test_texts, _) = load()
    y = MultiLabelBinarizer().fit_transform(topics)
    found: dict[str, dict[str, list[float]]] = {
        name: {"sklearn": [], "slugline": []} for name in ("fit", "predict, first call", "predict")
    }
    with tempfile.TemporaryDirectory() as folder:
        for run in range(runs):
            progress(f"run {run + 1}")
            peer, model = words(), TopicClassifier(encoder=None)
            found["fit"]["sklearn"].append(seconds(peer.fit, texts, y))
            found["fit"]["slugline"].append(seconds(model.fit, texts, topics))
            model.save(path := Path(folder, "model.slug"))
            predictors = {"sklearn": peer.predict, "slugline": slugline.load(path).predict}
            for who, predict in predictors.items():
                found["predict, first call"][who].append(seconds(predict, test_texts))
            in_turn = run_in_turn(
                {who: partial(seconds, predict, test_texts) for who, predict in predictors.items()},
                calls,
            )
            for who, values in in_turn.items():
                found["predict"][who] += values
    rows = []
    for name, values_of in found.items():
        median = {who: statistics.median(values) for who, values in values_of.items()}
        ratio = median["slugline"] / median["sklearn"]
        rows.append([name, *(f"{value:.2f} s" for value in median.values()), f"{ratio:.2f}"])
    note = (
        f"Medians of {runs} fits, as many first calls, and {runs * calls} further calls, by turns."
    )
    header = ("", "words, one-vs-rest LinearSVC", "Slugline", "ratio")
    return f"{note}\n\n{table(header, rows)}"


BENCHMARKS = {
    "accuracy": accuracy,
    "short": short,
    "promise": promise,
    "trees": trees,
    "times": times,
}
QUICK = {
    "accuracy": {"peers": (next(iter(PEERS)),), "encoders": (), "n": 500},
    "short": {"sets": JOINED[:1], "sizes": (100,)},
    "promise": {"precisions": (0.9,), "n": 1000},
    "trees": {"sets": ("trec50",), "n": 1000},
    "times": {"runs": 1, "calls": 1},
}
