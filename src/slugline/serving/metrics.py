"""Counters, gauges and histograms of a server, for Prometheus."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import prometheus_client as prometheus
from prometheus_client.multiprocess import MultiProcessCollector

from slugline._version import __version__
from slugline.base.arrays import F64
from slugline.corpus.documents import Topic

# Upper edges of buckets: seconds, texts of a batch, probabilities.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
_PROBABILITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

_COUNTERS = {
    "documents": "Texts that were classified.",
    "unsure": "Texts of which the model was unsure.",
    "corrections": "Corrections that were stored.",
    "words": "Words of texts that programs sent.",
    "unknown_words": "Words among them that the model doesn't know.",
    "alerts": "Alerts that the share of a topic has changed.",
    "model_swaps": "New versions of a model that replaced an earlier one.",
}
_HISTOGRAMS = {
    "request_duration_seconds": ("Seconds from a request to its reply.", _SECONDS),
    "request_queue_duration_seconds": ("Seconds that a request waited.", _SECONDS),
    "request_inference_duration_seconds": ("Seconds that a batch of texts took.", _SECONDS),
    "batch_size": ("Texts that were classified at once.", _SIZES),
    "confidence": ("Probability of the most likely topic.", _PROBABILITIES),
}
#: Operation of requests for the page, and for unknown paths.
PAGE = "page"
# The largest number of topics of a model that are counted on their own.
_MAX_TOPICS = 1000
# The label of all other topics, among them those of later versions of a model.
_OTHER_TOPICS = ""


#: Environment variable for the folder through which processes share metrics; set it before this
#: module is imported.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Metrics:
    """Counters, gauges and histograms.

    Requests are counted by operation, model and status, and answers by model and topic. Processes
    that have the same `SHARED_FOLDER` have the same metrics.

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
            "The version of Slugline.",
            ("version",),
            registry=registry,
            multiprocess_mode="max",
        ).labels(__version__).set(1)
        self._topics = {
            model: {*map(str, names[:_MAX_TOPICS])} for model, names in (topics or {}).items()
        }

        def counter(name: str, meaning: str, labels: Sequence[str] = ()) -> prometheus.Counter:
            return prometheus.Counter(f"slugline_{name}", meaning, labels, registry=registry)

        self._requests = counter("requests", "Requests.", ("operation", "model", "status"))
        by_topic = ("model", "topic")
        self._answers = counter("topic_answers", "Texts that were given a topic.", by_topic)
        self._proba = counter(
            "topic_probability", "Sum of the probabilities of a topic over all texts.", by_topic
        )
        self._counters = {name: counter(name, meaning) for name, meaning in _COUNTERS.items()}
        self._queue = prometheus.Gauge(
            "slugline_queue_size",
            "Requests that wait for an answer.",
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
        """Add to a counter."""
        self._counters[name].inc(amount)

    def change_queue(self, amount: int) -> None:
        """Change the number of requests that wait."""
        self._queue.inc(amount)

    def observe(self, name: str, *values: float) -> None:
        """Add values to a histogram."""
        for value in values:
            self._histograms[name].observe(value)

    def count_request(self, operation: str, model: str, status: int) -> None:
        """Count a request, with its model if it asks for one."""
        self._requests.labels(operation, model, status).inc()

    def count_topics(self, model: str, topics: Sequence[Topic], counts: F64) -> None:
        """Count answers of a model.

        Parameters
        ----------
        model : str
        topics : sequence of topics
        counts : float64 array, shape (2, n_topics)
            For each topic, how many texts were given it, and the sum of its probabilities.
        """
        known = self._topics.get(model)
        if known is None:  # a model that was not there at the start
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
