"""A fitted model as a frozen dataclass."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, I64, Count
from slugline.base.checks import short_repr
from slugline.base.wording import counted, format_html_table, format_lines
from slugline.corpus.documents import Topic, Topics, check_texts
from slugline.corpus.layout import Layout
from slugline.corpus.topic_sets import split_rows
from slugline.errors import DataError
from slugline.learning.learner import Learner, LinearModel, is_linear
from slugline.text.features import FeatureBatch, Features, WordCounts
from slugline.text.scoring import TextScorer, TextScores, can_score
from slugline.text.table_columns import UNUSED, WORDS, TableColumn, format_columns

if TYPE_CHECKING:
    from slugline.corpus.sample_weights import ClassWeight
    from slugline.learning.encoder.choice import EncoderChoice
    from slugline.learning.encoder.encoder import CheckedEncoder
    from slugline.learning.encoder.head import DenseHead
    from slugline.learning.encoder.head_state import HeadState
    from slugline.learning.net.training import History
    from slugline.learning.tuning import Tuning
    from slugline.model.heldout import HeldOutPredictions
    from slugline.model.multilabel_rule import MultilabelRule
    from slugline.model.text_profile import TextProfile


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Fitted:
    """A fitted model, for prediction, explanation, saving and serving.

    Models from `fit` or from a file are immutable. Models from `fit_batch` share weights with
    earlier ones, because copying weights would take longer than training on a batch.

    Attributes
    ----------
    topics : Topics
    features : Features
    learner : Learner
    seed : int
    class_weight : {None, "balanced"} or mapping of topic to float
    data_digest : str
        SHA-256 of the training documents; see `slugline.corpus.documents.compute_digest`.
    n_documents, n_unlearned : int
        Number of documents, and number not trained on because training was interrupted: these only
        served to choose the best epoch, or were not reached.
    topic_counts : int64 array, shape (n_topics,)
        Number of documents of each topic.
    validation_digest : str or None
        SHA-256 of the user's validation documents.
    interrupted : bool
        True if a user stopped training early.
    n_batches : int
        Number of batches; 0 if fitted to all documents at once.
    history : History or None
        The search for the best epoch; None without epochs, in a loaded model, or after batches.
    tuning : Tuning or None
        None without tuning, in a loaded model, or after batches.
    dense : DenseHead or None
        Adds an encoder's scores to the scores of a linear learner; None without an encoder, or if
        it doesn't improve the scores.
    head_state : HeadState or None
        State for training `dense` on further batches; None if it is not trained further.
    encoder_choice : EncoderChoice or None
        Result of choosing an encoder; None if there was no choice, or in a loaded model.
    descriptions : mapping of topic to str
        Descriptions of topics; only with a `dense` head.
    heldout_predictions : HeldOutPredictions or None
        None after batches. Without `min_precision`, also None for learners other than the linear
        one and for very many documents.
    stream : StreamRecord or None
        None if not trained on a stream.
    multilabel_rule : MultilabelRule or None
        Decides which topics to give; None for single-label models.
    layout : Layout or None
        Columns and encoding of the training data, expected in later files too; None if unknown,
        for example after `TopicClassifier.fit`, which receives texts.
    text_profile : TextProfile or None
        Profile of training documents to compare later texts with. None with over 1,000 topics, and
        for models trained on batches or a stream.
    """

    topics: Topics
    features: Features
    learner: Learner
    seed: int
    class_weight: ClassWeight
    data_digest: str
    n_documents: int
    topic_counts: I64
    n_unlearned: int = 0
    validation_digest: str | None = None
    interrupted: bool = False
    n_batches: int = 0
    history: History | None = None
    tuning: Tuning | None = None
    dense: DenseHead | None = None
    head_state: HeadState | None = None
    encoder_choice: EncoderChoice | None = None
    descriptions: Mapping[Topic, str] = field(default_factory=dict)
    heldout_predictions: HeldOutPredictions | None = None
    stream: StreamRecord | None = None
    multilabel_rule: MultilabelRule | None = None
    layout: Layout | None = None
    text_profile: TextProfile | None = None

    def __repr__(self) -> str:
        return format_lines("Fitted", self.summary())

    def _repr_html_(self) -> str:
        return format_html_table("Fitted", self.summary())

    def summary(self) -> list[tuple[str, str]]:
        """Return a summary of the model as (name, text) pairs."""
        groups = zip(self.features.feature_groups, self.features.vocabularies_, strict=True)
        rows = [("topics", f"{len(self.topics):,}: {short_repr(self.topics.names)}")]
        if self.multilabel_rule is not None:
            rows.append(("for a text", self.multilabel_rule.describe_number()))
        terms = ", ".join(f"{terms.n_columns:,} {group.kind}" for group, terms in groups)
        rows.append(("terms", terms))
        if table_columns := self.features.table_columns:
            rows.append(("columns", format_columns(table_columns)))
        rows.append(("learner", repr(self.learner)))
        if self.dense is not None:
            rows.append(("encoder", self.dense.summary()))
        heldout = self.heldout_predictions
        if heldout is not None and heldout.precision is not None:
            rows.append(("min precision", f"{heldout.precision:g} of answers given alone"))
        return [*rows, ("learned from", self._describe_documents())]

    def _describe_documents(self) -> str:
        """Describe the training documents and the seed."""
        parts = [counted(self.n_learned, "document")]
        if self.descriptions:
            parts.append(counted(len(self.descriptions), "description"))
        if self.dense is not None and self.dense.n_unlabelled:
            parts.append(f"{counted(self.dense.n_unlabelled, 'text')} without labels")
        parts.append(f"seed {self.seed}")
        return ", ".join([*parts, "interrupted"] if self.interrupted else parts)

    @cached_property
    def classes(self) -> npt.NDArray[Any]:
        """The topics in the order of the columns, shape (n_topics,): objects, int64 or bool."""
        names = self.topics.names
        # NumPy would pad its own strings to the width of the longest one.
        dtypes: dict[type, Any] = {str: object, bool: np.bool_, int: np.int64}
        return np.array(names, dtype=dtypes[type(names[0])])

    @property
    def multilabel(self) -> bool:
        """True if documents may have several topics."""
        return self.multilabel_rule is not None

    @property
    def separator(self) -> str | None:
        """The separator in topics that are paths; None if topics are not paths."""
        return None if self.multilabel_rule is None else self.multilabel_rule.separator

    @property
    def thresholds(self) -> dict[Topic, float]:
        """Threshold of each topic of a multilabel model; empty for other models."""
        values = None if self.multilabel_rule is None else self.multilabel_rule.usual_thresholds
        return {} if values is None else _by_name(self.topics.names, values)

    @property
    def own_thresholds(self) -> dict[Topic, float]:
        """Thresholds set by a user."""
        rule = self.multilabel_rule
        columns = () if rule is None else rule.manual_thresholds
        names = {self.topics.names[column] for column in columns}
        return {name: value for name, value in self.thresholds.items() if name in names}

    @property
    def n_learned(self) -> int:
        """Number of documents used for training."""
        return self.n_documents - self.n_unlearned

    @property
    def n_suspect_labels(self) -> int:
        """Number of training documents excluded by the learner because their topics look wrong."""
        return self.learner.n_suspect_labels if is_linear(self.learner) else 0

    @property
    def columns(self) -> tuple[TableColumn, ...]:
        """Columns other than the text that predictions depend on."""
        return tuple(c for c in self.features.table_columns if c.kind != UNUSED)

    def column_values(self) -> list[tuple[TableColumn, list[str]]]:
        """Return columns other than the text, with known values of each categorical column."""
        if not self.columns:
            return []
        terms = self.features.vocabularies_[-1].terms
        return [
            (c, sorted(t.removeprefix(f"{c.label}=") for t in terms if t.startswith(f"{c.label}=")))
            if c.kind == WORDS
            else (c, [])
            for c in self.columns
        ]

    @property
    def encoder(self) -> CheckedEncoder | None:
        """Encoder of the `dense` head, or None."""
        return None if self.dense is None else self.dense.encoder

    def predict(self, X: Iterable[str]) -> npt.NDArray[Any]:
        """Return the most likely topic of each text, shape (n_documents,).

        A multilabel model returns a tuple of topics for each text, most likely first. If trained
        on an indicator array, it returns an indicator array, shape (n_documents, n_topics).
        """
        if self.multilabel_rule is None:
            return self.classes[self.decision_function(X).argmax(axis=1)]
        if self.multilabel_rule.as_indicator:
            return self.multilabel_rule.decide(self.predict_proba(X)).astype(np.int64)
        sets = self.predict_sets(X)
        answers = np.empty(len(sets), dtype=object)
        answers[:] = sets
        return answers

    def predict_sets(self, X: Iterable[str]) -> list[tuple[Topic, ...]]:
        """Return a multilabel model's topics for each text, most likely first.

        If topics are paths, return only the deepest ones.
        """
        proba = self.predict_proba(X)
        if self.multilabel_rule is None:
            raise TypeError("the model is single-label")
        predicted = self.multilabel_rule.deepest(self.multilabel_rule.decide(proba))
        lists = split_rows(predicted, self.topics.names, proba)
        return list(map(tuple, lists))

    def decision_function(self, X: Iterable[str]) -> F32:
        """Return scores, shape (n_documents, n_topics); the predicted topic has the largest one.

        Texts that the encoder need not read get the scores of the fast stage; texts unknown to the
        encoder are scored from words alone.
        """
        if (dense := self._text_head) is not None:
            return self._with_encoder(dense, X)[0]
        if not is_linear(self.learner):
            return self.learner.decision_function(self.features.transform(X))
        (scores,), _ = self._map_scores(lambda part: (part.scores,), X)
        return scores

    def answers(self, texts: Sequence[str]) -> Sequence[Any]:
        """Return the topic of each text; for a multilabel model, a tuple of its topics."""
        return self.predict_sets(texts) if self.multilabel else self.predict(texts).tolist()

    def predict_proba(self, X: Iterable[str]) -> F32:
        """Return probabilities, shape (n_documents, n_topics).

        Every row sums to 1, unless the model is multilabel.
        """
        return self.predict_with_words(X)[0]

    def predict_with_words(self, X: Iterable[str]) -> tuple[F32, WordCounts]:
        """Return the probabilities and word counts of texts in a single pass."""
        if (dense := self._text_head) is not None:
            _, proba, words = self._with_encoder(dense, X)
        elif is_linear(self.learner):
            (proba,), words = self._map_scores(lambda part: (self._calibrate(part),), X)
        else:
            rows, words = self.features.read(X)
            proba = self.learner.predict_proba(rows)
        if self.multilabel_rule is not None:
            proba = self.multilabel_rule.make_consistent(proba)
        return proba, words

    @property
    def _text_head(self) -> DenseHead | None:
        """The head if its encoder reads texts after word counting, else None."""
        return None if self.dense is None or self.dense.encoder.summing_encoder else self.dense

    @property
    def _linear_learner(self) -> LinearModel:
        """The learner of a model with a head; always linear."""
        if not is_linear(self.learner):
            raise TypeError("the learner of a model with a head isn't linear")
        return self.learner

    def _with_encoder(self, dense: DenseHead, X: Iterable[str]) -> tuple[F32, F32, WordCounts]:
        """Return the scores, the probabilities and the word counts of texts."""
        texts = check_texts(X)  # a list, because texts are read twice
        fast = self.fast_stage
        (scores, proba), words = fast._map_scores(
            lambda part: (part.scores, fast._calibrate(part)), texts
        )
        needed = np.flatnonzero(dense.needs_encoder(proba, words))
        if len(needed):
            needed_texts = [texts[row] for row in needed.tolist()]
            encoded = dense.rows(needed_texts, self.features.n_jobs)
            is_known = dense.encoder.find_known(encoded)
            rows = needed[is_known]
            # Count words again; this takes far less time than encoding.
            by_words = self.learner.decision_function(self.features.transform(needed_texts))
            scores[rows] = dense.add_scores(by_words[is_known], encoded[is_known])
            proba[rows] = dense.predict_proba(scores[rows])
        return scores, proba, words

    @cached_property
    def fast_stage(self) -> Fitted:
        """Model for texts that the encoder need not read; see `Cascade`."""
        return replace(self, dense=None if self.dense is None else self.dense.fast_head)

    def _calibrate(self, part: TextScores) -> F32:
        """Convert scores to probabilities.

        Texts unknown to the table of word vectors get their probabilities from words alone.
        """
        scores, has_vectors = part.scores, part.has_vectors
        by_words = self._linear_learner.calibration
        if self.dense is None:
            return by_words.proba(scores)
        proba = self.dense.predict_proba(scores)
        if has_vectors is not None and not has_vectors.all():
            proba[~has_vectors] = by_words.proba(scores[~has_vectors])
        return proba

    def _map_scores(
        self, function: Callable[[TextScores], tuple[F32, ...]], X: Iterable[str]
    ) -> tuple[tuple[F32, ...], WordCounts]:
        """Apply a function to the scores of texts; return its arrays and the word counts.

        The learner must be linear: texts are scored independently, so they can be read in parts.
        """
        parts = [(function(part), part.words) for part in self._score_parts(X)]
        if len(parts) == 1:
            return parts[0]
        results, counts = zip(*parts, strict=True)
        arrays = tuple(map(np.concatenate, zip(*results, strict=True)))
        return arrays, WordCounts.concatenate(counts)

    def _score_parts(self, X: Iterable[str]) -> Iterator[TextScores]:
        """Yield the scores of texts in chunks."""
        if can_score(self.features) and (scorer := self._scorer) is not None:
            return scorer.score_parts(X)
        encoder = None if self.encoder is None else self.encoder.summing_encoder
        table = None if encoder is None else encoder.table
        return map(self._score, self.features.read_parts(X, table))

    def _score(self, batch: FeatureBatch) -> TextScores:
        """Return the scores of a batch."""
        scores = self.learner.decision_function(batch.rows)
        if self.dense is None or (encoder := self.dense.encoder.summing_encoder) is None:
            return TextScores(scores, batch.words)
        known = self.dense.add_sums(scores, batch.text_sums, encoder.min_known_fraction)
        return TextScores(scores, batch.words, known)

    @cached_property
    def _scorer(self) -> TextScorer | None:
        """Single-pass scorer of texts; None if batches may still change the weights."""
        learner = self._linear_learner
        weights = learner.term_weights()
        if weights is None:
            return None
        vectors = None if self.dense is None else self.dense.vector_weights
        return TextScorer(self.features, weights, learner.biases, vectors)

    def __getstate__(self) -> dict[str, Any]:
        """Return the fields, without cached properties: a scorer can't be pickled."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


def _by_name(names: Sequence[Topic], values: F32) -> dict[Topic, float]:
    """Return values by name, with the fewest digits that distinguish float32 numbers."""
    return {name: float(str(value)) for name, value in zip(names, values, strict=True)}


# Stream record ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """Record of training on a stream.

    Attributes
    ----------
    n_skipped : int
        Number of unusable rows.
    n_evaluated, n_right : int
        Number of held-out documents, and number of right predictions for them. Excludes documents
        whose topics are missing from the training documents of the model that scored them.
    """

    n_skipped: Count
    n_evaluated: Count
    n_right: Count

    def __post_init__(self) -> None:
        if self.n_right > self.n_evaluated:
            raise DataError("the stream record has fewer predictions than right predictions")

    @property
    def accuracy(self) -> float:
        """Fraction of right predictions; NaN without predictions."""
        return self.n_right / self.n_evaluated if self.n_evaluated else math.nan
