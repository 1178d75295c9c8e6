"""Models of shuffled rows, and of streams beside `fit` and each other."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any
from unittest import mock

import numpy as np

import clusters
from data import NAMES, load
from measure import progress, table, timed
from slugline import Corpus, TopicClassifier
from slugline.model.parts import fit as stream_fit
from slugline.model.parts.fit import StreamOptions

# Orders of the rows, and where they are trained on ------------------------------------------------

#: Sets that are large enough to be trained on with two workers alone, unless all is asked for.
LARGE = ("reuters", "reuters-corrected", "20ng", "ohsumed")
#: Row blocks of a set, so that each of eight workers has one.
N_BLOCKS = 8
# One machine, numbers of workers, and two workers a second time.
_LOCAL, _AGAIN = "one machine", "2 workers again"
_PLACES: dict[str, tuple[str, ...]] = {
    "original": (_LOCAL, "2", _AGAIN),
    "shuffled": ("1", "2", "8"),
    "sorted": ("1", "2", "8"),
}
_PLACES_OF_LARGE: dict[str, tuple[str, ...]] = {
    "original": (_LOCAL, "2"),
    "shuffled": ("2",),
    "sorted": ("2",),
}


def workers(sets: Sequence[str] = NAMES, whole: bool = False) -> str:
    """Models of one machine and of 1, 2 and 8 workers, on rows in three orders.

    With `whole`, large sets are trained on everywhere as well. Both learn from words alone.
    """
    rows = []
    with contextlib.ExitStack() as stack:
        clients = {
            str(n): stack.enter_context(clusters.local_cluster(n, processes=False))
            for n in (1, 2, 8)
        }
        for name in sets:
            places = _PLACES_OF_LARGE if name in LARGE and not whole else _PLACES
            rows.append(_compare_places(name, places, clients))
            progress(*rows[-1])
    header = ["set", "texts", "fit", "stream", "points", "least fraction of the same answers, %"]
    points = [float(row[4]) for row in rows]
    least = min(float(row[5]) for row in rows)
    return (
        f"{table([*header, 'models', 'same bytes in each order'], rows)}\n\n"
        f"Mean: {np.mean(points):+.2f} points beside `fit`; least fraction of the same answers: "
        f"{least:.2f} %."
    )


def _compare_places(
    name: str, places_by_order: dict[str, tuple[str, ...]], clients: dict[str, Any]
) -> list[str]:
    train, test = load(name)
    n_rows = -(-len(train) // N_BLOCKS)
    first_answers, accuracy, same_fractions, is_equal = None, 0.0, list[float](), True
    for order, places in places_by_order.items():
        first_bytes = None
        for place, classifier in _train_everywhere(train, order, places, n_rows, clients):
            answers, data = classifier.predict(test.texts), clusters.to_bytes(classifier)
            if first_answers is None:
                first_answers = answers
                accuracy = 100 * classifier.score(test.texts, test.topics)
            first_bytes = data if first_bytes is None else first_bytes
            same_fractions.append(100 * float(np.mean(answers == first_answers)))
            if data != first_bytes:
                is_equal = False
                progress(f"{name}, {order}: other bytes with {place}")
    fitted = TopicClassifier(encoder=None, n_jobs=1).fit(train.texts, train.topics)
    fit_accuracy = 100 * fitted.score(test.texts, test.topics)
    return [
        name,
        f"{len(train):,}",
        f"{fit_accuracy:.2f}",
        f"{accuracy:.2f}",
        f"{accuracy - fit_accuracy:+.2f}",
        f"{min(same_fractions):.2f}",
        str(len(same_fractions)),
        "yes" if is_equal else "NO",
    ]


def _train_everywhere(
    train: Corpus, order: str, places: Sequence[str], n_rows: int, clients: dict[str, Any]
) -> Iterator[tuple[str, TopicClassifier]]:
    """Yield the model of each place, trained on the rows in an order."""
    numbers = np.arange(len(train))
    if order == "shuffled":
        numbers = np.random.default_rng(1).permutation(len(numbers))
    elif order == "sorted":
        numbers = _sorted_by_topic(train)
    texts, topics = ([column[i] for i in numbers] for column in (train.texts, train.topics))
    for place in places:
        source = clusters.split_batches(texts, topics, n_rows)
        client = None if place == _LOCAL else clients[place.split(maxsplit=1)[0]]
        classifier = TopicClassifier(encoder=None, n_jobs=1)
        yield (
            place,
            classifier.fit_stream(source, StreamOptions(rows_per_block=n_rows), client=client),
        )


def _sorted_by_topic(corpus: Corpus) -> np.ndarray:
    return np.argsort(np.array(corpus.topics, dtype=object), kind="stable")


# Beside fit ---------------------------------------------------------------------------------------

_HELDOUT_SHARE = 0.25


def fit(sets: Sequence[str] = NAMES, training: bool = False) -> str:
    """Accuracy, log loss and time of `fit_stream` beside `fit`, and the rows in other orders.

    With `training`, a quarter of the training documents stands for the test.
    """
    rows = []
    for name in sets:
        rows.append([name, *_compare_with_fit(*_split(name, training=training))])
        progress(*rows[-1])
    points = [float(row[4]) for row in rows]
    header = ["set", "texts", "fit", "stream", "points", "log loss", "stream's", "fit s"]
    header += ["stream s", "sorted: same, %", "shuffled: same, %"]
    return f"{table(header, rows)}\n\nMean: {np.mean(points):+.2f} points."


def _split(name: str, *, training: bool) -> tuple[Corpus, Corpus]:
    train, test = load(name)
    return train.split(_HELDOUT_SHARE, random_state=0) if training else (train, test)


def _compare_with_fit(train: Corpus, test: Corpus) -> list[str]:
    classifier = TopicClassifier(encoder=None, n_jobs=1)
    fitted, fit_seconds = timed(classifier.fit, train.texts, train.topics)
    streamed, stream_seconds = timed(_train, train.texts, train.topics)
    answers, same = streamed.predict(test.texts), []
    for order in (_sorted_by_topic(train), np.random.default_rng(1).permutation(len(train))):
        texts, topics = ([column[i] for i in order] for column in (train.texts, train.topics))
        same.append(np.mean(_train(texts, topics).predict(test.texts) == answers))
    accuracies = [100 * model.score(test.texts, test.topics) for model in (fitted, streamed)]
    return [
        f"{len(train):,}",
        *(f"{accuracy:.2f}" for accuracy in accuracies),
        f"{accuracies[1] - accuracies[0]:+.2f}",
        *(f"{_log_loss(model, test):.3f}" for model in (fitted, streamed)),
        f"{fit_seconds:.1f}",
        f"{stream_seconds:.1f}",
        *(f"{100 * fraction:.2f}" for fraction in same),
    ]


def _train(texts: Sequence[str], topics: Sequence[str]) -> TopicClassifier:
    """Train on batches of a thousand, from words alone."""
    source = clusters.split_batches(texts, topics, 1000)
    return TopicClassifier(encoder=None, n_jobs=1).fit_stream(source)


def _log_loss(classifier: TopicClassifier, test: Corpus) -> float:
    """Return the mean of -log of the probabilities of the true topics that the model has."""
    columns = {name: column for column, name in enumerate(classifier.classes_)}
    rows = [i for i, name in enumerate(test.topics) if name in columns]
    proba = classifier.predict_proba([test.texts[i] for i in rows])
    true = proba[np.arange(len(rows)), [columns[test.topics[i]] for i in rows]]
    return float(-np.log(np.maximum(true, 1e-30)).mean())


# Kills --------------------------------------------------------------------------------------------

# Seconds that a run may take before it counts as hanging.
_TIMEOUT = 300


@contextlib.contextmanager
def _in_parts() -> Iterator[None]:
    """Have few documents learned in parts, as many are."""
    with (
        mock.patch.object(stream_fit, "default_passes", return_value=1),
        mock.patch.object(stream_fit, "_PART_SIZE", 1000),
    ):
        yield


def _train_set(name: str, client: Any) -> bytes:
    """Return the saved model of a set, learned in parts."""
    train, _ = load(name)
    size = -(-len(train) // N_BLOCKS)
    with _in_parts():
        classifier = TopicClassifier(n_jobs=1).fit_stream(
            clusters.split_batches(train.texts, train.topics, size),
            StreamOptions(rows_per_block=size),
            client=client,
        )
    return clusters.to_bytes(classifier)


def killed_workers(corpus: str = "stackoverflow", rounds: int = 20, seed: int = 0) -> str:
    """One of two workers killed at a random moment: the model must have the same bytes.

    In every second round it isn't restarted.
    """
    rng = random.Random(seed)  # noqa: S311 - nothing secret
    expected, took = _undisturbed(corpus)
    n_same = n_in_time = 0
    for number in range(rounds):
        with clusters.Cluster(2, nannies=number % 2 == 0) as cluster:
            ids = cluster.worker_ids()
            timer = _KillTimer(rng.uniform(0, 0.95) * took, rng.choice(ids))
            with cluster.client() as client:
                timer.start()
                is_same = _train_set(corpus, client) == expected
                in_time = timer.has_killed
                timer.end()
        n_same += is_same
        n_in_time += in_time
        progress(
            f"round {number + 1}: killed after {timer.after:.2f} s of {took:.2f},",
            f"{'while it trained' if in_time else 'too late'}:",
            f"{'same' if is_same else 'OTHER'} bytes",
        )
    header = ["workers killed", "of these while it trained", "models of the same bytes"]
    return table(header, [[str(rounds), str(n_in_time), str(n_same)]])


class _KillTimer:
    """Kills a process after some seconds, unless it is ended before."""

    def __init__(self, after: float, process_id: int) -> None:
        self.after, self._process_id, self.has_killed = after, process_id, False
        self._timer = threading.Timer(after, self._kill)
        self._timer.daemon = True

    def start(self) -> None:
        self._timer.start()

    def end(self) -> None:
        self._timer.cancel()
        self._timer.join()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._process_id, signal.SIGKILL)
            self.has_killed = True


def _undisturbed(name: str) -> tuple[bytes, float]:
    """Return the model of one machine, and about how long two workers take."""
    with clusters.Cluster(2) as cluster, cluster.client() as client:
        _train_set(name, client)  # so that workers have imported everything
        expected, start = _train_set(name, None), time.perf_counter()
        if _train_set(name, client) != expected:
            raise SystemExit(f"{name}: two workers make other bytes than one machine.")
        took = time.perf_counter() - start
    progress(f"{name}: {took:.2f} s undisturbed")
    return expected, took


# The order of rows, by `fit` ----------------------------------------------------------------------

#: Sets of short and of long documents, of two topics and of many.
STUDIES = ("sib200-de", "trec", "hint3-powerplay11", "custrev", "subj", "webkb")


def order(
    sets: Sequence[str] = STUDIES, sizes: Sequence[int] = (240, 500, 2000), orders: int = 20
) -> str:
    """Answers to test documents that change if the training documents are shuffled."""
    rows = []
    for name in sets:
        train, test = load(name)
        for size in sizes:
            if size > len(train):
                continue
            progress(f"{name} {size}")
            drawn = np.random.default_rng(0).permutation(len(train))[:size]
            fits = [
                _answers(train, rng.permutation(drawn), test)
                for rng in map(np.random.default_rng, range(orders))
            ]
            pairs = list(itertools.combinations(fits, 2))
            changed = [np.mean(one[0] != other[0]) for one, other in pairs]
            moved = [np.abs(one[1] - other[1]).max() for one, other in pairs]
            accuracies = [np.mean(answers == np.array(test.topics)) for answers, _ in fits]
            row = [name, f"{size:,}", f"{np.mean(changed):.1%}", f"{np.max(changed):.1%}"]
            rows.append([*row, f"{np.max(moved):.3f}", f"{np.ptp(accuracies):.4f}"])
    header = ["", "documents", "answers that change, mean", "most"]
    header += ["largest change of a probability", "accuracies differ by at most"]
    return table(header, rows)


def _answers(train: Corpus, rows: np.ndarray, test: Corpus) -> tuple[np.ndarray, np.ndarray]:
    """Return the answers to test documents, and the probabilities of all topics."""
    texts, topics = ([part[row] for row in rows.tolist()] for part in (train.texts, train.topics))
    proba = (model := TopicClassifier(n_jobs=1).fit(texts, topics)).predict_proba(test.texts)
    return model.classes_[proba.argmax(axis=1)], proba


BENCHMARKS = {"order": order, "fit": fit, "workers": workers, "killed-workers": killed_workers}
QUICK = {
    "order": {"sets": ("sib200-de",), "sizes": (200,), "orders": 2},
    "fit": {"sets": ("sib200-de",)},
    "workers": {"sets": ("sib200-de",)},
    "killed-workers": {"corpus": "sib200-de", "rounds": 2},
}
