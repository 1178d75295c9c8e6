"""Prometheus counters, gauges and histograms of a server."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import prometheus_client as prometheus
from prometheus_client import Counter
from prometheus_client.multiprocess import MultiProcessCollector

from slugline._version import __version__
from slugline.base.arrays import F64
from slugline.corpus.documents import Topic
from slugline.model.decision import Decision

# Upper bucket bounds: seconds, texts per batch.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)

_COUNTERS = {
    "documents": "Texts classified.",
    "unsure": "Texts with an unsure answer.",
    "confidence": "Sum of the probabilities of the most likely topics.",
    "corrections": "Corrections stored.",
    "words": "Words in texts sent by programs.",
    "unknown_words": "Words in these texts unknown to the model.",
    "alerts": "Alerts about a changed topic share.",
    "model_swaps": "Models replaced by a new version.",
}
_HISTOGRAMS = {
    "request_duration_seconds": ("Seconds from request to reply.", _SECONDS),
    "request_queue_duration_seconds": ("Seconds a request spent in the queue.", _SECONDS),
    "request_inference_duration_seconds": ("Seconds to classify a batch.", _SECONDS),
    "batch_size": ("Texts per batch.", _SIZES),
}
#: Operation name for page requests and unknown paths.
PAGE = "page"
# Maximum number of topics per model with their own counter.
_MAX_TOPICS = 1000
# Label for all other topics, including topics added by later model versions.
_OTHER_TOPICS = ""
#: Environment variable with the folder where processes share metrics. Set it before importing
#: this module.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """Counters, gauges and histograms.

    Requests are counted by operation, model and status, answers by model and topic. Processes
    with the same `SHARED_FOLDER` share their metrics.

    Parameters
    ----------
    topics : mapping of str to sequence of topics, optional
        The topics of each model.
    """

    def __init__(self, topics: Mapping[str, Sequence[Topic]] | None = None) -> None:
        self._registry = registry = prometheus.CollectorRegistry()
        prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
        prometheus.Gauge(
            "slugline_build_info",
            "Slugline version.",
            ("version",),
            registry=registry,
            multiprocess_mode="max",
        ).labels(__version__).set(1)
        self._topics = {
            model: {*map(str, names[:_MAX_TOPICS])} for model, names in (topics or {}).items()
        }

        def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(f"slugline_{name}", meaning, labels, registry=registry)

        self._requests = counter("requests", "Requests.", ("operation", "model", "status"))
        by_topic = ("model", "topic")
        self._answers = counter("topic_answers", "Texts assigned to a topic.", by_topic)
        self._proba = counter(
            "topic_probability", "Sum of the probabilities of a topic over all texts.", by_topic
        )
        self._counters = {name: counter(name, meaning) for name, meaning in _COUNTERS.items()}
        self._queue = prometheus.Gauge(
            "slugline_queue_size",
            "Requests waiting for an answer.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._histograms = {
            name: prometheus.Histogram(
                f"slugline_{name}", meaning, registry=registry, buckets=edges
            )
            for name, (meaning, edges) in _HISTOGRAMS.items()
        }

    def add(self, name: str, amount: float = 1.0) -> None:
        """Increment a counter."""
        self._counters[name].inc(amount)

    def change_queue(self, amount: int) -> None:
        """Change the number of waiting requests."""
        self._queue.inc(amount)

    def observe(self, name: str, value: float) -> None:
        """Add a value to a histogram."""
        self._histograms[name].observe(value)

    def count_request(self, operation: str, model: str, status: int) -> None:
        """Count a request, with its model if it has one."""
        self._requests.labels(operation, model, status).inc()

    def count_decisions(self, decisions: Sequence[Decision]) -> None:
        """Count decisions on texts and their confidence."""
        self.add("documents", len(decisions))
        self.add("unsure", sum(decision.reason is not None for decision in decisions))
        self.add("confidence", sum(decision.probability for decision in decisions))

    def count_topics(self, model: str, topics: Sequence[Topic], counts: F64) -> None:
        """Count a model's answers.

        Parameters
        ----------
        model : str
        topics : sequence of topics
        counts : float64 array, shape (2, n_topics)
            For each topic, the number of texts assigned to it and the sum of its probabilities.
        """
        known = self._topics.get(model)
        if known is None:  # a model added after the start
            return
        for topic, n_answers, proba in zip(topics, *counts.tolist(), strict=True):
            name = str(topic) if str(topic) in known else _OTHER_TOPICS
            if n_answers:
                self._answers.labels(model, name).inc(n_answers)
            if proba:
                self._proba.labels(model, name).inc(proba)

    def text(self) -> str:
        """Return all metrics in Prometheus' text format."""
        registry = self._registry
        if SHARED_FOLDER in os.environ:
            registry = prometheus.CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return prometheus.generate_latest(registry).decode()
