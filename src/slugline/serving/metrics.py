"""Counters, gauges and histograms of a server, in memory that its processes share."""

from __future__ import annotations

import bisect
import itertools
import mmap
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate

from slugline._version import __version__
from slugline.base.arrays import F64
from slugline.corpus.documents import Topic

# Upper edges of buckets: seconds, texts of a batch, probabilities.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
_PROBABILITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

_COUNTERS = {
    "documents_total": "Texts that were classified.",
    "unsure_total": "Texts of which the model was unsure.",
    "corrections_total": "Corrections that were stored.",
    "words_total": "Words of texts that programs sent.",
    "unknown_words_total": "Words among them that the model doesn't know.",
    "alerts_total": "Alerts that the share of a topic has changed.",
    "model_swaps_total": "New versions of a model that replaced an earlier one.",
}
_REQUESTS = "requests_total"
#: Operation of requests for the page, and for unknown paths.
PAGE = "page"
# Statuses of responses; 0 if the client left before there was one.
# fmt: off
_STATUSES = (
    0, 200, 201, 204, 303, 304, 400, 401, 403, 404, 405, 408, 413, 415, 421, 422, 429, 500, 503, 504
)
# fmt: on
# Counters of each topic of each model, of texts that programs sent.
_TOPIC_COUNTERS = {
    "topic_answers_total": "Texts that were given a topic.",
    "topic_probability_total": "Sum of the probabilities of a topic over all texts.",
}
# The largest number of topics of a model that are counted on their own.
_MAX_TOPICS = 1000
# The label of all other topics, among them those of later versions of a model.
_OTHER_TOPICS = ""
_GAUGES = {"queue_size": "Requests that wait for an answer."}
_HISTOGRAMS = {
    "request_duration_seconds": ("Seconds from a request to its reply.", _SECONDS),
    "request_queue_duration_seconds": ("Seconds that a request waited.", _SECONDS),
    "request_inference_duration_seconds": ("Seconds that a batch of texts took.", _SECONDS),
    "batch_size": ("Texts that were classified at once.", _SIZES),
    "confidence": ("Probability of the most likely topic.", _PROBABILITIES),
}


class Metrics:
    """Counters, gauges and histograms in memory that `n_processes` processes share.

    Requests are counted by operation, model and status, and answers by model and topic.

    Parameters
    ----------
    n_processes : int, default 1
    operations : sequence of str, optional
    topics : mapping of str to sequence of topics, optional
        The topics of each model.
    """

    def __init__(
        self,
        n_processes: int = 1,
        operations: Sequence[str] = (),
        topics: Mapping[str, Sequence[Topic]] | None = None,
    ) -> None:
        self._first: dict[str, int] = {}
        models = topics or {}
        labels = itertools.product((PAGE, *operations), ("", *models), _STATUSES)
        self._requests = {label: slot for slot, label in enumerate(labels)}
        n_slots = len(self._requests)
        # The first slot of each topic; it has as many as there are `_TOPIC_COUNTERS`.
        self._topics: dict[tuple[str, str], int] = {}
        for model, names in models.items():
            for name in (*map(str, names[:_MAX_TOPICS]), _OTHER_TOPICS):
                self._topics[model, name] = n_slots
                n_slots += len(_TOPIC_COUNTERS)
        for name in (*_COUNTERS, *_GAUGES):
            self._first[name], n_slots = n_slots, n_slots + 1
        for name, (_, edges) in _HISTOGRAMS.items():
            # A slot for each bucket, one for values over the last edge, and one for the sum.
            self._first[name], n_slots = n_slots, n_slots + len(edges) + 2
        self._n_slots, self._n_processes = n_slots, n_processes
        self._memory = memoryview(mmap.mmap(-1, 8 * n_slots * n_processes)).cast("d")
        # The first slot of this process.
        self._start = 0

    def select_process(self, process: int) -> None:
        """Write to the slots of one process (counted from 0) from now on."""
        self._start = process * self._n_slots

    def add(self, name: str, amount: float = 1.0) -> None:
        """Add to a counter or gauge."""
        self._memory[self._start + self._first[name]] += amount

    def count_request(self, operation: str, model: str, status: int) -> None:
        """Count a request, with its model if it asks for one."""
        if status not in _STATUSES:
            status = status // 100 * 100
        self._memory[self._start + self._requests[operation, model, status]] += 1

    def count_topics(self, model: str, topics: Sequence[Topic], counts: F64) -> None:
        """Count answers of a model.

        Parameters
        ----------
        model : str
        topics : sequence of topics
        counts : float64 array, shape (2, n_topics)
            For each topic, how many texts were given it, and the sum of its probabilities.
        """
        other = self._topics.get((model, _OTHER_TOPICS))
        if other is None:  # a model that was not there at the start
            return
        for topic, column in zip(topics, counts.T.tolist(), strict=True):
            slot = self._start + self._topics.get((model, str(topic)), other)
            for number, count in enumerate(column):
                self._memory[slot + number] += count

    def observe(self, name: str, *values: float) -> None:
        """Add values to a histogram."""
        edges = _HISTOGRAMS[name][1]
        first = self._start + self._first[name]
        memory = self._memory
        for value in values:
            memory[first + bisect.bisect_left(edges, value)] += 1
        memory[first + len(edges) + 1] += sum(values)

    def reset_gauges(self, process: int) -> None:
        """Set the gauges of a process that has ended to 0."""
        for name in _GAUGES:
            self._memory[process * self._n_slots + self._first[name]] = 0.0

    def text(self) -> str:
        """Return all metrics in Prometheus' text format."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield from _head("build_info", "The version of Slugline.", "gauge")
        yield f'slugline_build_info{{version="{__version__}"}} 1'
        yield from _head(_REQUESTS, "Requests.", "counter")
        for labels, slot in self._requests.items():
            if count := self._sum(slot):
                operation, model, status = labels
                pairs = f'operation="{operation}",model="{_escape(model)}",status="{status}"'
                yield f"slugline_{_REQUESTS}{{{pairs}}} {count:.10g}"
        for number, (name, meaning) in enumerate(_TOPIC_COUNTERS.items()):
            yield from _head(name, meaning, "counter")
            for (model, topic), slot in self._topics.items():
                if count := self._sum(slot + number):
                    pairs = f'model="{_escape(model)}",topic="{_escape(topic)}"'
                    yield f"slugline_{name}{{{pairs}}} {count:.10g}"
        for kind, names in (("counter", _COUNTERS), ("gauge", _GAUGES)):
            for name, meaning in names.items():
                yield from _head(name, meaning, kind)
                yield f"slugline_{name} {self._sum(self._first[name]):.10g}"
        for name, (meaning, edges) in _HISTOGRAMS.items():
            yield from _head(name, meaning, "histogram")
            first = self._first[name]
            counts = [self._sum(first + number) for number in range(len(edges) + 1)]
            up_to = list(accumulate(counts))
            for edge, count in zip((*map(str, edges), "+Inf"), up_to, strict=True):
                yield f'slugline_{name}_bucket{{le="{edge}"}} {count:.10g}'
            yield f"slugline_{name}_sum {self._sum(first + len(edges) + 1):.10g}"
            yield f"slugline_{name}_count {up_to[-1]:.10g}"

    def _sum(self, slot: int) -> float:
        return sum(self._memory[slot :: self._n_slots][: self._n_processes])


def _escape(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _head(name: str, meaning: str, kind: str) -> Iterator[str]:
    yield f"# HELP slugline_{name} {meaning}"
    yield f"# TYPE slugline_{name} {kind}"
