"""The results of the lesson, as plain values."""

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
    """One number, measured once per seed; `sd` is of the sample, and None for a single seed."""

    mean: float
    sd: float | None
    values: list[float]

    @classmethod
    def of(cls, values: Iterable[float]) -> OverSeeds:
        """Return a summary of one or more values."""
        listed = list(values)
        sd = statistics.stdev(listed) if len(listed) > 1 else None
        return cls(statistics.fmean(listed), sd, listed)


@dataclass(frozen=True)
class Example:
    """One training wire as numbers and as words."""

    index: int
    sequence: list[int]
    text: str
    sha256: str  # of `text`: the lesson's own text belongs to Reuters, so we keep only its digest
    label: int
    topic: str


@dataclass(frozen=True)
class MultiHot:
    """The training wires as a matrix: its size when sparse, and when dense in float64."""

    shape: tuple[int, int]
    n_ones: int
    megabytes: float
    megabytes_dense: float


@dataclass(frozen=True)
class Data:
    """The data that the lesson trains and tests on."""

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
    """Test accuracy without reading any wire."""

    shuffled: OverSeeds  # the true topics in random order
    majority: float  # always the most common topic of the training wires
    majority_topic: str


@dataclass(frozen=True)
class Curves:
    """A network trained for a fixed number of epochs on the partial training set.

    The four lists are those of the first seed, with one number per epoch; `seeds` has the same four
    for every seed. Losses use natural logarithms. `test_loss` and `test_accuracy` are those after
    the last epoch.
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
    """A network trained from scratch and tested; `epochs` is a list if it differs between seeds."""

    hidden: tuple[int, ...]
    epochs: int | list[int]
    test_loss: OverSeeds
    test_accuracy: OverSeeds


@dataclass(frozen=True)
class TopicProbability:
    """A topic and the probability that a network gives it."""

    topic: str
    probability: float


@dataclass(frozen=True)
class Predictions:
    """What the retrained network of the first seed predicts for the first test wire and for all."""

    shape: tuple[int, ...]
    sum: float
    argmax: int
    topic: str
    probability: float
    true_topic: str
    likeliest: list[TopicProbability]
    largest_sum_error: float  # the largest distance of a wire's sum of probabilities from 1
    n_topics_answered: int  # how many topics come first for at least one wire
    n_topics_present: int  # how many topics the test wires have


@dataclass(frozen=True)
class IntegerLabels:
    """One-hot and integer labels with the same seed: the largest difference over `n_losses`."""

    max_difference: float
    n_losses: int


@dataclass(frozen=True)
class NotebookResult:
    """Every number of the lesson; `notebook` holds the lesson's own, see `LESSON`."""

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
        """Return all results as plain data for JSON."""
        return asdict(self)
