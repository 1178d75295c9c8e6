"""What the lesson finds, as plain values."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

__all__ = [
    "Baselines",
    "Curves",
    "Data",
    "Example",
    "IntegerLabels",
    "MultiHot",
    "NotebookResult",
    "OverSeeds",
    "Predictions",
    "TopicProbability",
    "Trial",
]


# fmt: on


@dataclass(frozen=True)
class OverSeeds:
    """One figure, measured once per seed; `sd` is the sample's, None for a single seed."""

    mean: float
    sd: float | None
    values: list[float]

    @classmethod
    def of(cls, values: Iterable[float]) -> OverSeeds:
        """Summarise at least one value."""
        listed = list(values)
        sd = statistics.stdev(listed) if len(listed) > 1 else None
        return cls(statistics.fmean(listed), sd, listed)


@dataclass(frozen=True)
class Example:
    """One training wire as numbers and as words."""

    index: int
    sequence: list[int]
    text: str
    sha256: str  # of `text`: the lesson's own text is Reuters', and only its digest is kept here
    label: int
    topic: str


@dataclass(frozen=True)
class MultiHot:
    """The training wires as a matrix: its size as it is, and filled up with zeros as float64."""

    shape: tuple[int, int]
    n_ones: int
    megabytes: float
    megabytes_dense: float


@dataclass(frozen=True)
class Data:
    """What there is to learn from."""

    n_train: int
    n_test: int
    n_validation: int  # the first rows of the training wires
    n_partial: int  # the rest of them
    n_topics: int
    num_words: int
    examples: list[Example]
    multi_hot: MultiHot
    one_hot_shape: tuple[int, int]


@dataclass(frozen=True)
class Baselines:
    """Test accuracy without reading a wire."""

    shuffled: OverSeeds  # the true topics in random order
    majority: float  # the commonest topic of the training wires, always
    majority_topic: str


@dataclass(frozen=True)
class Curves:
    """A net trained for a fixed number of epochs on the partial training set.

    The four lists are the first seed's, one number per epoch; `seeds` has the same four for every
    seed. Losses are in nats. The test figures are those after the last epoch.
    """

    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    loss: list[float]
    accuracy: list[float]
    val_loss: list[float]
    val_accuracy: list[float]
    best_epoch: OverSeeds  # of the lowest validation loss, counted from 1
    val_loss_lowest: OverSeeds
    val_accuracy_peak: OverSeeds
    test_loss: OverSeeds
    test_accuracy: OverSeeds
    seeds: list[dict[str, list[float]]]


@dataclass(frozen=True)
class Trial:
    """A net trained from scratch and then tested; `epochs` is a list where seeds differ in it."""

    hidden: tuple[int, ...]
    epochs: int | list[int]
    test_loss: OverSeeds
    test_accuracy: OverSeeds


@dataclass(frozen=True)
class TopicProbability:
    """How likely a net finds a topic."""

    topic: str
    probability: float


@dataclass(frozen=True)
class Predictions:
    """What the first seed's retrained net says of the first test wire, and of all of them."""

    shape: tuple[int, ...]
    sum: float
    argmax: int
    topic: str
    probability: float
    true_topic: str
    likeliest: list[TopicProbability]
    largest_sum_error: float  # how far any wire's probabilities are from adding up to 1
    n_topics_answered: int  # how many different topics come first for some wire
    n_topics_present: int  # how many there are


@dataclass(frozen=True)
class IntegerLabels:
    """One-hot against integer labels, from the same seed: largest difference of `n_losses`."""

    max_difference: float
    n_losses: int


@dataclass(frozen=True)
class NotebookResult:
    """Every figure of the lesson; `notebook` holds the lesson's own, see `LESSON`."""

    seeds: list[int]
    data: Data
    curves: Curves
    retrained: Trial
    retrained_on_all: Trial
    baselines: Baselines
    predictions: Predictions
    integer_labels: IntegerLabels
    bottleneck: Curves
    experiments: list[Trial]
    notebook: dict[str, Any]
    seconds: float
    peak_memory_mb: float | None  # of the process so far; None where the system can't tell

    def to_dict(self) -> dict[str, Any]:
        """Return all figures as plain data for JSON."""
        return asdict(self)
