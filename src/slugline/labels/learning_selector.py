"""Select texts with a model of the labels, which is trained in a background thread."""

from __future__ import annotations

import threading

import numpy as np

from slugline.base.arrays import F64, Index
from slugline.base.latest_task import LatestTask
from slugline.classifier import TopicClassifier
from slugline.corpus.label_database.records import Selection, SelectionReason
from slugline.labels.accuracy import AccuracyEstimate
from slugline.labels.arrivals import record_arrivals
from slugline.labels.draws import DoubleDraws, SelectedRow, Selector
from slugline.labels.label_report import LabelReport
from slugline.labels.labelled_texts import read_labelled_texts
from slugline.labels.learner import (
    LabelModel,
    MakeClassifier,
    find_known_descriptions,
    learn_labels,
    report_labels,
)
from slugline.labels.selection import (
    MAX_COMPARED,
    DistanceWeigher,
    Draw,
    SelectionWeights,
    WeightedSampler,
)
from slugline.labels.store import LabelStore
from slugline.labels.text_table import RowAssignments, TextTable

#: Minimum number of labels to select texts by the model's doubt. With fewer, and without topic
#: descriptions, texts are spread by their word vectors.
MIN_LABELS = 20
#: Guesses are shown once there are this many labels per topic of the codebook, on average.
MIN_PER_TOPIC = 3
# Width of the accuracy interval below which the fraction of random draws falls.
_NARROW = 0.10
#: Minimum fraction of random draws, unless it starts lower.
MIN_RANDOM_FRACTION = 0.1
# Maximum number of consecutive models without a report, while labels arrive during training.
_MAX_WITHOUT_REPORT = 10
# Seconds that `close` waits for a fit.
_PATIENCE = 10.0


def choose_random_fraction(first_fraction: float, estimate: AccuracyEstimate | None) -> float:
    """Return the fraction of random draws: fewer once the interval is narrow.

    The width shrinks with the square root of the number of random draws, so after twice as many
    labels, half the fraction keeps the width.
    """
    if estimate is None or estimate.width >= _NARROW:
        return first_fraction
    least = min(first_fraction, MIN_RANDOM_FRACTION)
    return max(least, first_fraction * (estimate.width / _NARROW) ** 2)


def _make_classifier() -> TopicClassifier:
    return TopicClassifier(n_jobs=1)


class LearningSelector(Selector):
    """Selects random draws, and texts about which a model of the labels is uncertain.

    With fewer than 20 labels, texts that aren't random draws are spread by their word vectors,
    unless the codebook describes topics, which allows a model from the start. With many texts, a
    random sample is compared.

    Parameters
    ----------
    store : LabelStore
    table : TextTable
    assignments : RowAssignments
    random_fraction : float, default 1 / 3
        Initial fraction of random draws. Once the accuracy interval is narrower than 0.1, it falls,
        down to `MIN_RANDOM_FRACTION`.
    double_fraction : float, default 0.0
        Fraction of a coder's texts that another coder has drawn as well, to measure agreement.
    shows_guesses : bool, default False
        Show the model's guess before coders decide, except for random draws and double-coded texts.
        If True, the accuracy is measured only on random draws and on labels given before guesses
        were shown; otherwise on all labels.
    make_classifier : callable, optional
    random_state : int, optional
    """

    def __init__(
        self,
        store: LabelStore,
        table: TextTable,
        assignments: RowAssignments,
        *,
        random_fraction: float = 1 / 3,
        double_fraction: float = 0.0,
        shows_guesses: bool = False,
        make_classifier: MakeClassifier = _make_classifier,
        random_state: int | None = None,
    ) -> None:
        self._store, self._table, self._assignments = store, table, assignments
        self._first_fraction, self._shows_guesses = random_fraction, shows_guesses
        self._make_classifier = make_classifier
        self._arrivals = record_arrivals(store, table)
        rng = np.random.default_rng(random_state)
        self._sampler = WeightedSampler(rng, random_fraction)
        self._double_draws = DoubleDraws(assignments, double_fraction, rng)
        self._distance_weigher: DistanceWeigher | None = None
        self._model: LabelModel | None = None
        self._has_enough_labels = False  # for guesses of the model to be shown
        self._report: LabelReport | None = None
        self._n_without_report = 0
        self._model_lock = threading.Lock()
        self._problem: str | None = None
        self._learning_task = LatestTask(self._learn, name="learn-labels")
        self._learning_task.request()

    def select_next(self, coder: str) -> SelectedRow | None:
        """Return the next row for a coder, or None."""
        free = self._assignments.free_rows(coder)
        double_fraction, double = self._double_draws.draw(coder, len(free))
        if double is not None or not len(free):
            return double
        with self._model_lock:
            model = self._model
            shows_guess = self._shows_guesses and self._has_enough_labels
            selected = self._select(free, shows_guess=shows_guess)
        reason: SelectionReason = "random"
        if not selected.is_random:
            reason = "spread" if model is None else "suggested"
        selection = Selection(
            reason,
            (1 - double_fraction) * selected.probability,
            selected.n_candidates,
            None if model is None else model.guess(self._table.texts[selected.row]),
            is_guess_shown=shows_guess and not selected.is_random,
        )
        return SelectedRow(selected.row, selection)

    def _select(self, free: Index, *, shows_guess: bool) -> Draw:
        selected = self._sampler.select(free, shows_guess=shows_guess)
        assert selected is not None  # noqa: S101 - there are free rows
        if self._distance_weigher is not None:
            self._distance_weigher.add(self._table.texts[selected.row])
            self._sampler.set_weights(self._distance_weigher.weights())
        return selected

    def notice_change(self) -> None:
        """Train the model again, in the background."""
        self._learning_task.request()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the model is up to date; return True if it is."""
        return self._learning_task.wait(timeout)

    @property
    def model(self) -> LabelModel | None:
        """The model of the current labels, or None."""
        return self._model

    @property
    def estimate(self) -> AccuracyEstimate | None:
        """Accuracy of the current model, or None."""
        model = self._model
        return None if model is None else model.estimate

    @property
    def report(self) -> LabelReport | None:
        """Report on the latest model, which may be slightly out of date, or None."""
        return self._report

    @property
    def problem(self) -> str | None:
        """Error of the last fit, or None. Labels are kept, and the next change starts a new fit."""
        return self._problem

    @property
    def random_fraction(self) -> float:
        """The current fraction of random draws."""
        return self._sampler.random_fraction

    def close(self) -> None:
        """Stop the thread; wait up to 10 seconds for a running fit."""
        self._learning_task.close(_PATIENCE)

    # Training, in the background --------------------------------------------------------------

    def _learn(self) -> None:
        try:
            self._learn_labels()
            self._problem = None
        except Exception as error:  # noqa: BLE001 - coders continue with the earlier model
            self._problem = str(error) or type(error).__name__

    def _learn_labels(self) -> None:
        labelled, unmeasured_fraction = read_labelled_texts(
            self._store, self._table, self._arrivals
        )
        texts = self._table.texts
        rows = self._sampler.sample(self._assignments.free_rows(""), MAX_COMPARED)
        sample = [texts[row] for row in rows.tolist()]
        topics = self._store.codebook().topics()
        descriptions = {topic.name: topic.description for topic in topics}
        descriptions = find_known_descriptions(descriptions, sample)
        model = None
        if descriptions or sum(each.topics is not None for each in labelled) >= MIN_LABELS:
            model = learn_labels(
                labelled,
                sample,
                self._make_classifier,
                is_multilabel=self._store.is_multilabel,
                descriptions=descriptions,
                unmeasured_fraction=unmeasured_fraction,
            )
        if model is None:
            self._spread_texts(rows, [each.text for each in labelled])
            return

        def weigh(some: Index) -> F64:
            return model.weigh([texts[row] for row in some.tolist()])

        with self._model_lock:
            self._model, self._distance_weigher = model, None
            self._has_enough_labels = model.n_labels >= MIN_PER_TOPIC * len(topics)
            self._sampler.set_weights(
                SelectionWeights(rows, model.sample_weights, weigh),
                choose_random_fraction(self._first_fraction, model.estimate),
            )
        # Reports take longer than models, so postpone them, up to a limit, while labels arrive.
        self._n_without_report += 1
        if self._learning_task.is_latest or self._n_without_report > _MAX_WITHOUT_REPORT:
            self._report = report_labels(model)
            self._n_without_report = 0

    def _spread_texts(self, rows: Index, labelled: list[str]) -> None:
        """Select texts by their distance from labelled ones."""
        if self._distance_weigher is not None:
            return  # `_select` keeps it up to date
        weigher = DistanceWeigher(self._table.texts, rows)
        for text in labelled:
            weigher.add(text)
        with self._model_lock:
            self._model = self._report = None
            self._has_enough_labels, self._distance_weigher = False, weigher
            self._sampler.set_weights(weigher.weights())
