"""The newswire lesson, "Classifying newswires: a multi-class classification example".

Trains its networks over several seeds and returns numbers; `slugline.reports` shows them.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline import reuters
from slugline.base.arrays import I64
from slugline.base.checks import check_whole
from slugline.base.memory import peak_memory_mb
from slugline.base.progress import Progress, check_progress
from slugline.corpus.documents import one_hot
from slugline.evaluation.evaluation import majority_baseline, shuffled_baseline
from slugline.learning.net.layers import Dense
from slugline.learning.net.network import Network
from slugline.learning.net.optimizers import LossAndAccuracy, LossName, RMSprop
from slugline.learning.net.training import History
from slugline.text.sparse import multi_hot

#: The lesson's own results, structured as `NotebookResult`; None where it gives no number. Keys
#: ending in `_said` are from its text, which differs from its output in places.
LESSON: dict[str, Any] = json.loads(Path(__file__).with_name("lesson.json").read_text("utf-8"))

# Results ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SeedSummary:
    """Mean and sample standard deviation over seeds; the latter is None for one seed."""

    mean: float
    sd: float | None
    values: list[float]

    @classmethod
    def from_values(cls, values: Iterable[float]) -> SeedSummary:
        """Return the summary of one or more values."""
        listed = list(values)
        sd = statistics.stdev(listed) if len(listed) > 1 else None
        return cls(statistics.fmean(listed), sd, listed)


@dataclass(frozen=True)
class WireExample:
    """A training wire as word numbers and as text."""

    index: int
    sequence: list[int]
    text: str
    sha256: str  # of `text`; Reuters owns the lesson's text, so we store only its digest
    label: int
    topic: str


@dataclass(frozen=True)
class MultiHot:
    """Size of the training matrix, sparse and as dense float64."""

    shape: tuple[int, int]
    n_ones: int
    megabytes: float
    megabytes_dense: float


@dataclass(frozen=True)
class LessonData:
    """The lesson's training, validation and test data."""

    n_train: int
    n_test: int
    n_validation: int  # the first rows of the training wires
    n_partial: int  # the remaining training wires
    n_topics: int
    num_words: int
    examples: list[WireExample]
    multi_hot: MultiHot
    one_hot_shape: tuple[int, int]


@dataclass(frozen=True)
class Baselines:
    """Test accuracy of answers that ignore the wires."""

    shuffled: SeedSummary  # the true topics in random order
    majority: float  # always the most common topic of the training wires
    majority_topic: str


@dataclass(frozen=True)
class EpochCurves:
    """A network trained for a fixed number of epochs on the partial training set.

    The four lists contain the first seed's value of each epoch; `seeds` contains them for all
    seeds. Losses are in nats; test metrics are measured after the last epoch.
    """

    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    loss: list[float]
    accuracy: list[float]
    val_loss: list[float]
    val_accuracy: list[float]
    best_epoch: SeedSummary  # of the lowest validation loss, counted from 1
    val_loss_lowest: SeedSummary
    val_accuracy_peak: SeedSummary
    test_loss: SeedSummary
    test_accuracy: SeedSummary
    seeds: list[dict[str, list[float]]]


@dataclass(frozen=True)
class NetworkResult:
    """Test results of a network; `epochs` is a list if it differs between seeds."""

    hidden: tuple[int, ...]
    epochs: int | list[int]
    test_loss: SeedSummary
    test_accuracy: SeedSummary


@dataclass(frozen=True)
class TopicProbability:
    """A topic and its predicted probability."""

    topic: str
    probability: float


@dataclass(frozen=True)
class Predictions:
    """Predictions of the retrained network of the first seed."""

    shape: tuple[int, ...]
    sum: float
    argmax: int
    topic: str
    probability: float
    true_topic: str
    likeliest: list[TopicProbability]
    largest_sum_error: float  # maximum deviation of a wire's sum of probabilities from 1
    n_topics_answered: int  # number of topics that are the answer for at least one wire
    n_topics_present: int  # number of distinct topics of the test wires


@dataclass(frozen=True)
class IntegerLabels:
    """The largest of `n_losses` differences between one-hot and integer labels, same seed."""

    max_difference: float
    n_losses: int


@dataclass(frozen=True)
class NotebookResult:
    """All numbers of the lesson; `notebook` contains the lesson's own numbers, see `LESSON`."""

    seeds: list[int]
    data: LessonData
    curves: EpochCurves
    retrained: NetworkResult
    retrained_on_all: NetworkResult
    baselines: Baselines
    predictions: Predictions
    integer_labels: IntegerLabels
    bottleneck: EpochCurves
    experiments: list[NetworkResult]
    notebook: dict[str, Any]
    seconds: float
    peak_memory_mb: float | None  # of the process so far; None where unsupported

    def to_dict(self) -> dict[str, Any]:
        """Return all results as plain data for JSON."""
        return asdict(self)


# The lesson ---------------------------------------------------------------------------------------

NUM_WORDS = 10_000
N_VALIDATION = 1_000
WIDE = (64, 64)
NARROW = (64, 4)
EPOCHS = 20
EPOCHS_RETRAINED = 8
BATCH_SIZE = 512
BATCH_SIZE_NARROW = 128
# The lesson's RMSprop: TensorFlow's Keras added epsilon, 1e-7, outside the root. Keras 3 and our
# default add it under the root, which slows training by two or three epochs.
OPTIMIZER = RMSprop(epsilon=1e-14)
EXPERIMENTS = ((32, 32), WIDE, (128, 128), (64,), (128,), (64, 64, 64))
# The lesson prints the word numbers of wire 10 and decodes wire 0.
EXAMPLES = (0, 10)
N_LIKELIEST = 5


def run(
    n_seeds: int = 1, first_seed: int = 0, progress: Progress | None = None, source: Any = reuters
) -> NotebookResult:
    """Run every step of the lesson and return the results.

    Parameters
    ----------
    n_seeds : int, default 1
        Number of times to train each network, with seeds starting at `first_seed`.
    first_seed : int, default 0
    progress : Progress, optional
    source : module or object, default `slugline.reuters`
        Provides the functions `load_data`, `topic_names` and `decode`, and more than 1,000
        training wires. The first 1,000 are used for validation.

    Raises
    ------
    OptionError : if `n_seeds` is below 1 or `first_seed` below 0.
    DownloadError, DataError : if the wires can't be downloaded or read.
    """
    check_whole("n_seeds", n_seeds, 1)
    check_whole("first_seed", first_seed, 0)
    started = time.perf_counter()
    with closing(check_progress(progress)) as progress:
        return _run(_Lesson(source, range(first_seed, first_seed + n_seeds), progress), started)


def _run(lesson: _Lesson, started: float) -> NotebookResult:
    curves = _curves(lesson, WIDE, BATCH_SIZE)
    first = lesson.fit(lesson.seeds[0], WIDE, EPOCHS_RETRAINED)
    others = (lesson.fit(seed, WIDE, EPOCHS_RETRAINED).test for seed in lesson.seeds[1:])
    retrained = _summarize_tests(WIDE, EPOCHS_RETRAINED, [first.test, *others])
    best_epochs = [int(epoch) for epoch in curves.best_epoch.values]
    runs = zip(lesson.seeds, best_epochs, strict=True)
    on_all = (lesson.fit(seed, WIDE, epochs, rows=lesson.train).test for seed, epochs in runs)
    return NotebookResult(
        seeds=list(lesson.seeds),
        data=lesson.data,
        curves=curves,
        retrained=retrained,
        retrained_on_all=_summarize_tests(WIDE, best_epochs, on_all),
        baselines=_baselines(lesson),
        predictions=_predictions(lesson, first.network),
        integer_labels=_integer_labels(lesson, first.history),
        bottleneck=_curves(lesson, NARROW, BATCH_SIZE_NARROW),
        experiments=_experiments(lesson, retrained),
        notebook=LESSON,
        seconds=time.perf_counter() - started,
        peak_memory_mb=peak_memory_mb(),
    )


class _Rows(NamedTuple):
    X: sp.csr_array
    topics: I64


class _Fit(NamedTuple):
    network: Network
    history: History
    test: LossAndAccuracy


class _Lesson:
    """The lesson's preprocessed wires and training procedure."""

    def __init__(self, source: Any, seeds: range, progress: Progress) -> None:
        (x_train, y_train), (x_test, y_test) = source.load_data(num_words=NUM_WORDS)
        self.seeds = seeds
        self.topics = source.topic_names()
        self.train = _Rows(multi_hot(x_train, NUM_WORDS), y_train)
        self.test = _Rows(multi_hot(x_test, NUM_WORDS), y_test)
        self.validation = _Rows(self.train.X[:N_VALIDATION], y_train[:N_VALIDATION])
        self.partial = _Rows(self.train.X[N_VALIDATION:], y_train[N_VALIDATION:])
        self.data = self._describe(source, x_train)
        self._progress = progress
        self._n_done = 0
        fits_per_seed = 4 + len(EXPERIMENTS) - 1  # one of the experiments is the retrained network
        self._n_fits = fits_per_seed * len(seeds) + 1  # plus one with integer labels

    def fit(
        self,
        seed: int,
        hidden: Sequence[int],
        epochs: int,
        *,
        batch_size: int = BATCH_SIZE,
        rows: _Rows | None = None,
        loss: LossName = "categorical_crossentropy",
    ) -> _Fit:
        """Train a new network on `rows`, by default the partial training set, and test it."""
        rows = rows or self.partial
        name = "-".join(map(str, hidden))
        step = f"hidden {name}, {epochs} epochs, {len(rows.topics):,} wires"
        self._progress.update(step, self._n_done / self._n_fits)
        layers = [*(Dense(units, "relu") for units in hidden), Dense(len(self.topics), "softmax")]
        network = Network(layers, optimizer=OPTIMIZER, loss=loss, seed=seed)
        history = network.fit(
            *self._with_targets(rows, loss),
            epochs=epochs,
            batch_size=batch_size,
            validation_data=self._with_targets(self.validation, loss),
        )
        if history.stopped_by == "interrupt":
            # An unfinished network is useless in a comparison.
            raise KeyboardInterrupt
        self._n_done += 1
        return _Fit(network, history, network.evaluate(*self._with_targets(self.test, loss)))

    def _with_targets(self, rows: _Rows, loss: LossName) -> tuple[sp.csr_array, npt.NDArray[Any]]:
        if loss == "categorical_crossentropy":
            return rows.X, one_hot(rows.topics, len(self.topics))
        return rows

    def _describe(self, source: Any, sequences: Any) -> LessonData:
        X, labels = self.train
        n_bytes = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
        examples = [
            WireExample(
                index=index,
                sequence=list(sequences[index]),
                text=(text := source.decode(sequences[index])),
                sha256=hashlib.sha256(text.encode()).hexdigest(),
                label=int(labels[index]),
                topic=self.topics[labels[index]],
            )
            for index in EXAMPLES
        ]
        return LessonData(
            n_train=len(labels),
            n_test=len(self.test.topics),
            n_validation=len(self.validation.topics),
            n_partial=len(self.partial.topics),
            n_topics=len(self.topics),
            num_words=NUM_WORDS,
            examples=examples,
            multi_hot=MultiHot(X.shape, int(X.nnz), n_bytes / 1e6, X.shape[0] * X.shape[1] * 8e-6),
            one_hot_shape=(len(labels), len(self.topics)),
        )


def _curves(lesson: _Lesson, hidden: tuple[int, ...], batch_size: int) -> EpochCurves:
    # Don't keep the network of each fit in memory.
    fits = (lesson.fit(seed, hidden, EPOCHS, batch_size=batch_size) for seed in lesson.seeds)
    histories, tests = zip(*((fit.history, fit.test) for fit in fits), strict=True)
    return EpochCurves(
        hidden=hidden,
        epochs=EPOCHS,
        batch_size=batch_size,
        **histories[0].history,
        best_epoch=SeedSummary.from_values(history.best_epoch for history in histories),
        val_loss_lowest=SeedSummary.from_values(min(history["val_loss"]) for history in histories),
        val_accuracy_peak=SeedSummary.from_values(
            max(history["val_accuracy"]) for history in histories
        ),
        test_loss=SeedSummary.from_values(test.loss for test in tests),
        test_accuracy=SeedSummary.from_values(test.accuracy for test in tests),
        seeds=[history.history for history in histories],
    )


def _summarize_tests(
    hidden: tuple[int, ...], epochs: int | list[int], tests: Iterable[LossAndAccuracy]
) -> NetworkResult:
    losses, accuracies = zip(*tests, strict=True)
    return NetworkResult(
        hidden, epochs, SeedSummary.from_values(losses), SeedSummary.from_values(accuracies)
    )


def _baselines(lesson: _Lesson) -> Baselines:
    topic, accuracy = majority_baseline(lesson.train.topics.tolist(), lesson.test.topics.tolist())
    shuffled = (shuffled_baseline(lesson.test.topics.tolist(), seed) for seed in lesson.seeds)
    return Baselines(SeedSummary.from_values(shuffled), accuracy, lesson.topics[topic])


def _predictions(lesson: _Lesson, network: Network) -> Predictions:
    proba = network.predict(lesson.test.X)
    first, answers = proba[0], proba.argmax(axis=1)
    likeliest = np.argsort(-first, kind="stable")[:N_LIKELIEST]
    return Predictions(
        shape=first.shape,
        sum=float(first.sum()),
        argmax=int(answers[0]),
        topic=lesson.topics[answers[0]],
        probability=float(first.max()),
        true_topic=lesson.topics[lesson.test.topics[0]],
        likeliest=[TopicProbability(lesson.topics[i], float(first[i])) for i in likeliest],
        largest_sum_error=float(np.abs(proba.sum(axis=1) - 1).max()),
        n_topics_answered=len(np.unique(answers)),
        n_topics_present=len(np.unique(lesson.test.topics)),
    )


def _integer_labels(lesson: _Lesson, with_one_hot: History) -> IntegerLabels:
    with_integers = lesson.fit(
        lesson.seeds[0], WIDE, EPOCHS_RETRAINED, loss="sparse_categorical_crossentropy"
    ).history
    differences = [
        abs(one - other)
        for name in ("loss", "val_loss")
        for one, other in zip(with_one_hot[name], with_integers[name], strict=True)
    ]
    return IntegerLabels(max(differences), len(differences))


def _experiments(lesson: _Lesson, retrained: NetworkResult) -> list[NetworkResult]:
    def result(hidden: tuple[int, ...]) -> NetworkResult:
        tests = (lesson.fit(seed, hidden, EPOCHS_RETRAINED).test for seed in lesson.seeds)
        return _summarize_tests(hidden, EPOCHS_RETRAINED, tests)

    return [retrained if hidden == WIDE else result(hidden) for hidden in EXPERIMENTS]
