"""What a server counts, as Prometheus reads it.

All processes of a server write into one piece of memory, each into a part of its own, and whichever
is asked adds the parts up.
"""

from __future__ import annotations

import bisect
import mmap
from collections.abc import Iterator, Sequence
from itertools import accumulate

__all__ = ["Metrics"]

# Upper edges of buckets: seconds, texts of a batch, probabilities.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

# Names of those that Text Embeddings Inference has are as there.
_COUNTERS = {
    "request_count": "Requests.",
    "request_success": "Requests that were answered.",
    "request_failure": "Requests that got an error, theirs or ours.",
    "documents": "Texts that were classified.",
    "unsure": "Texts of which the model was unsure.",
    "corrections": "Corrections that were kept.",
    "model_swaps": "New versions of a model that took the place of one before.",
}
_GAUGES = {"queue_size": "Requests that wait for an answer."}
_HISTOGRAMS = {
    "request_duration": ("Seconds from a request to its reply.", _SECONDS),
    "request_queue_duration": ("Seconds that a request waited.", _SECONDS),
    "request_inference_duration": ("Seconds that a batch of texts took.", _SECONDS),
    "batch_size": ("Texts that were classified at once.", _SIZES),
    "confidence": ("Probability of the most likely topic.", _SHARES),
}


class Metrics:
    """Counters, gauges and histograms of a server.

    Parameters
    ----------
    n_processes : int, default 1
        How many share it; make it before they are forked.
    """

    def __init__(self, n_processes: int = 1) -> None:
        self._first: dict[str, int] = {}
        n_slots = 0
        for name in (*_COUNTERS, *_GAUGES):
            self._first[name], n_slots = n_slots, n_slots + 1
        for name, (_, edges) in _HISTOGRAMS.items():
            # A slot for each bucket, one for what is over the last edge, and one for the sum.
            self._first[name], n_slots = n_slots, n_slots + len(edges) + 2
        self._n_slots, self._n_processes = n_slots, n_processes
        self._memory = memoryview(mmap.mmap(-1, 8 * n_slots * n_processes)).cast("d")
        self._own = 0

    def be(self, process: int) -> None:
        """Write into the part of a process, counted from 0."""
        self._own = process * self._n_slots

    def add(self, name: str, amount: float = 1.0) -> None:
        """Add to a counter or gauge."""
        self._memory[self._own + self._first[name]] += amount

    def observe(self, name: str, value: float) -> None:
        """Add a value to a histogram."""
        self.observe_all(name, (value,))

    def observe_all(self, name: str, values: Sequence[float]) -> None:
        """Add values to a histogram."""
        edges = _HISTOGRAMS[name][1]
        first = self._own + self._first[name]
        memory = self._memory
        for value in values:
            memory[first + bisect.bisect_left(edges, value)] += 1
        memory[first + len(edges) + 1] += sum(values)

    def forget(self, process: int) -> None:
        """Set the gauges of a process that has ended to 0."""
        for name in _GAUGES:
            self._memory[process * self._n_slots + self._first[name]] = 0.0

    def text(self) -> str:
        """Return all of it in Prometheus' text format."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
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


def _head(name: str, meaning: str, kind: str) -> Iterator[str]:
    yield f"# HELP slugline_{name} {meaning}"
    yield f"# TYPE slugline_{name} {kind}"
