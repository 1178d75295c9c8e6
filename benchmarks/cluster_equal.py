"""Models of one machine and of clusters, on all sets: the same answers, and the same bytes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

import clusters
import sets
from processes import table
from slugline import TopicClassifier

#: Sets that are large enough to be learned with two workers alone, unless all is asked for.
LARGE = ("reuters", "reuters-corrected", "20ng", "ohsumed")
#: Blocks of rows that a set is cut into, so that each of eight workers has one.
N_BLOCKS = 8

# Places by name: one machine, workers, and two workers a second time.
_HERE, _AGAIN = "one machine", "2 workers again"
_SOME = {"as it is": (_HERE, "2", _AGAIN), "shuffled": ("1", "2", "8"), "sorted": ("1", "2", "8")}
_OF_LARGE = {"as it is": (_HERE, "2"), "shuffled": ("2",), "sorted": ("2",)}


def equal(names: Sequence[str], *, whole: bool, by_rows: bool) -> str:
    """Learn each set in several orders and places; return a table.

    Parameters
    ----------
    names : sequence of str
    whole : bool
        Whether large sets are learned everywhere as well.
    by_rows : bool
        Whether rows are shared out to workers in any case.
    """
    rows = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(clusters.sharing(by_rows=by_rows))
        clients = {str(n): stack.enter_context(clusters.threads(n)) for n in (1, 2, 8)}
        for name in names:
            plan = _OF_LARGE if name in LARGE and not whole else _SOME
            rows.append(_row(name, plan, clients))
            print(*rows[-1], flush=True)
    head = ["set", "texts", "fit", "stream", "points"]
    head += ["least share of the same answers, %", "models", "same bytes in each order"]
    points = [float(row[4]) for row in rows]
    least = min(float(row[5]) for row in rows)
    said = f"mean {np.mean(points):+.2f} points beside fit; least share of the same: {least:.2f} %"
    return f"{table([head, *rows])}\n{said}"


def _row(name: str, plan: dict[str, tuple[str, ...]], clients: dict[str, Any]) -> list[str]:
    train, test = sets.load(name)
    n_rows = -(-len(train.texts) // N_BLOCKS)
    answers, same, is_equal, n_models = None, [], True, 0
    for order, places in plan.items():
        first = None
        for place, learned in _models(train, order, places, n_rows, clients):
            found = learned.predict(test.texts)
            data = clusters.bytes_of(learned)
            if answers is None:
                answers, accuracy = found, 100 * learned.score(test.texts, test.topics)
            first = data if first is None else first
            same.append(100 * float(np.mean(found == answers)))
            if data != first:
                is_equal = False
                print(f"{name}, {order}: other bytes with {place}", flush=True)
            n_models += 1
    fitted = TopicClassifier(n_jobs=1).fit(train.texts, train.topics)
    of_fit = 100 * fitted.score(test.texts, test.topics)
    return [
        *(name, f"{len(train.texts):,}", f"{of_fit:.2f}", f"{accuracy:.2f}"),
        *(f"{accuracy - of_fit:+.2f}", f"{min(same):.2f}", str(n_models)),
        "yes" if is_equal else "NO",
    ]


def _models(
    train: Any, order: str, places: Sequence[str], n_rows: int, clients: dict[str, Any]
) -> Iterator[tuple[str, TopicClassifier]]:
    """Yield what is learned in each place from the rows in an order."""
    numbers = np.arange(len(train.texts))
    if order == "shuffled":
        numbers = np.random.default_rng(1).permutation(len(numbers))
    elif order == "sorted":
        numbers = np.argsort(np.array(train.topics, dtype=object), kind="stable")
    texts, topics = ([them[i] for i in numbers] for them in (train.texts, train.topics))
    for place in places:
        source = clusters.batches(texts, topics, n_rows)
        client = None if place == _HERE else clients[place.split(maxsplit=1)[0]]
        classifier = TopicClassifier(n_jobs=1)
        yield place, classifier.fit_stream(source, client=client, rows_per_block=n_rows)
