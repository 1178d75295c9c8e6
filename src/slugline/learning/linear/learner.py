"""A linear learner: a document's score is the sum of the weights of its terms."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from slugline.base.arrays import F32, F64, Integers, Mask, aligned
from slugline.errors import DataError
from slugline.learning.calibration import AnyCalibration, Calibration, restore_calibration
from slugline.learning.learner import Capabilities, Options, settings_struct
from slugline.text import sparse

if TYPE_CHECKING:
    import scipy.sparse as sp

    from slugline.learning.heldout import HeldOutScores, RecentScores
    from slugline.learning.labels import Labels
    from slugline.learning.learner import FitContext
    from slugline.learning.linear.batches import LinearStream
    from slugline.text.scoring import TermWeights

# Maximum number of weights in a dense table, which is faster.
_MAX_DENSE = 1 << 24


@dataclass(eq=False, repr=False)
class LinearOptions(Options):
    """The options of a `LinearLearner`."""

    passes: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="Passes over the documents; fewer keep weights smaller."),
    ] = None
    clean: Annotated[bool, Meta(description="Leave out documents whose topic looks wrong.")] = True


class LinearLearner(LinearOptions):
    """One-vs-rest linear classifier with squared hinge loss, and calibrated probabilities.

    Training uses AdaGrad, on all documents at once or in batches. For up to 500 single-label
    documents, it instead computes the unique minimum of a strictly convex loss, independent of the
    order of documents. Documents whose topic scores low before their first use in training are
    probably mislabelled; if there are too many to be just hard cases, the learner is retrained
    without them. Probabilities are calibrated on held-out scores: from cross-validation if rows are
    few, else from one part of the rows.

    Parameters
    ----------
    passes : int, optional
        Passes over the rows; by default, from 6 for a few hundred rows down to 1, or until the
        minimum is reached.
    clean : bool, default True
        Exclude training documents that are probably mislabelled.

    Attributes
    ----------
    weights : float32 CSR array, shape (n_columns, n_topics)
        The weights, without negligible ones.
    biases : float32 array, shape (n_topics,)
    calibration : Calibration or TopicCalibration
        Turns scores into probabilities; for multilabel rows, with a curve for each topic.
    n_suspect_labels : int
        Number of excluded training documents.
    heldout_scores_ : HeldOutScores or None
        After `fit`, the held-out scores of rows; after a batch, the scores of its rows before
        training on them. Not saved in files.
    recent_ : RecentScores or None
        After batches, the scores of the latest rows before training on them. Not saved in files.

    Examples
    --------
    >>> from slugline import LinearLearner, TopicClassifier
    >>> classifier = TopicClassifier(learner=LinearLearner(passes=3))
    """

    weighting = "log-tf-idf"
    capabilities = Capabilities(multilabel=True, in_batches=True, is_linear=True)
    grows = True
    settings_type = settings_struct(
        "linear",
        LinearOptions,
        {"calibration": Calibration | None, "n_suspect_labels": Annotated[int, Meta(ge=0)]},
    )

    biases: F32
    calibration: AnyCalibration = Calibration(1.0)
    n_suspect_labels: int
    heldout_scores_: HeldOutScores | None = None
    recent_: RecentScores | None = None
    # Either fixed weights, with a table cached for scoring, or a stream for further training.
    _weights: sparse.SparseRows | None = None
    _table: F32 | sp.csr_array | None = None
    _stream: LinearStream | None = None

    def fit(self, X: sp.csr_array, labels: Labels, context: FitContext) -> None:
        """Fit to rows and their topics."""
        from slugline.learning.linear.fit import fit_linear

        X = sparse.check_csr(X)
        fitted = fit_linear(X, labels, context, passes=self.passes, clean=self.clean)
        self._set_weights(fitted.weights)
        self.biases, self.calibration = fitted.biases, fitted.calibration
        self.n_suspect_labels = fitted.n_suspect_labels
        self.heldout_scores_, self.recent_ = fitted.heldout, None

    def partial_fit(self, X: sp.csr_array, labels: Labels, context: FitContext) -> None:
        """Train on all rows of another batch; `clean` has no effect.

        Training on the same documents twice makes probabilities too extreme. Step sizes and recent
        scores persist between calls, but not in a model file.
        """
        X = sparse.check_csr(X)
        stream = self._start_stream(X.shape[1], context, multilabel=labels.multilabel)
        if context.moved is not None:
            stream.widen(context.moved, X.shape[1])
        stream.learn(sparse.check_csr(X, stream.n_columns), labels, context)
        self._weights, self._table, self._stream = None, None, stream
        self.biases, self.calibration = stream.biases, stream.calibration
        self.heldout_scores_, self.recent_ = stream.heldout, stream.recent
        if context.first:
            self.n_suspect_labels = 0

    def learned(
        self,
        weights: sp.csr_array,
        biases: F32,
        calibration: AnyCalibration,
        heldout: HeldOutScores | None = None,
    ) -> LinearLearner:
        """Return a fitted learner with the same options, these weights and held-out scores."""
        learner = type(self)(**self.options())
        learner._set_weights(weights)
        learner.biases, learner.calibration, learner.n_suspect_labels = biases, calibration, 0
        learner.heldout_scores_ = heldout
        return learner

    def _start_stream(
        self, n_columns: int, context: FitContext, *, multilabel: bool
    ) -> LinearStream:
        from slugline.learning.linear.batches import LinearStream

        options: Any = {"passes": self.passes, "seed": context.seed}
        if context.first:
            return LinearStream.empty(n_columns, context.n_topics, multilabel=multilabel, **options)
        if self._stream is None:
            return LinearStream(self.weights, self.biases, self.calibration, **options)
        return self._stream.copy()

    def _set_weights(self, weights: sp.csr_array) -> None:
        self._weights, self._table, self._stream = sparse.SparseRows.from_csr(weights), None, None

    @property
    def multilabel(self) -> bool:
        """True if trained on multilabel rows."""
        return self.calibration.multilabel

    def unused_columns(self) -> Mask:
        """Return a mask of the columns without weights, shape (n_columns,)."""
        return self._sparse_weights().entries.lengths == 0

    def of_columns(self, columns: Integers) -> LinearLearner:
        """Return a copy for rows with only these columns, given in ascending order."""
        learner = copy.copy(self)
        learner._set_weights(self.weights[columns])
        return learner

    @property
    def weights(self) -> sp.csr_array:
        """The weights, without negligible ones: float32 CSR array, shape (n_columns, n_topics)."""
        return self._sparse_weights().csr()

    def _sparse_weights(self) -> sparse.SparseRows:
        """Return the weights, without negligible ones, with a row for each column of features."""
        if self._stream is not None:
            return sparse.SparseRows.from_csr(self._stream.sparse_weights())
        if self._weights is None:
            raise AttributeError("the learner has no weights yet; call fit first.")
        return self._weights

    def term_weights(self) -> TermWeights | None:
        """Return the weights in the kernel's format; None after batches."""
        if self._stream is not None:
            return None
        values, topics, lengths = self._sparse_weights().entries
        starts = sparse.row_offsets(lengths)
        return aligned(values), aligned(topics, np.int32), starts.astype(np.int32)

    def weights_of(self, columns: Integers) -> F64:
        """Return the weights used to score some columns, shape (n_chosen, n_topics)."""
        if self._stream is not None:
            return self._stream.weights_of(columns)
        rows = self._score_table()[columns]
        dense: F32 = rows if isinstance(rows, np.ndarray) else rows.toarray()
        return dense.astype(np.float64)

    def decision_function(self, X: sp.csr_array) -> F32:
        """Return scores, shape (n_rows, n_topics)."""
        if self._stream is not None:
            return self._stream.decision_function(sparse.check_csr(X, self._stream.n_columns))
        table = self._score_table()
        scores = sparse.score_rows(table, sparse.check_rows(X, table.shape[0]))
        scores += self.biases
        return scores

    def _score_table(self) -> Any:
        """Return the cached table of fixed weights: dense, unless that is too large."""
        if self._table is None:
            weights = self._sparse_weights()
            is_small = weights.n_rows * weights.n_columns <= _MAX_DENSE
            self._table = weights.toarray() if is_small else weights.csr()
        return self._table

    def predict_proba(self, X: sp.csr_array) -> F32:
        """Return probabilities, shape (n_rows, n_topics)."""
        return self.calibration.proba(self.decision_function(X))

    def settings(self) -> dict[str, Any]:
        """Return plain data for `restore`."""
        calibration = self.calibration
        return {
            "kind": "linear",
            **self.options(),
            # The curves of a multilabel learner are arrays.
            "calibration": asdict(calibration) if isinstance(calibration, Calibration) else None,
            "n_suspect_labels": self.n_suspect_labels,
        }

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays for `restore`: weights by row, and the number of topics of each row."""
        values, topics, counts = self._sparse_weights().entries
        return {
            "weights.values": values,
            "weights.topics": topics.astype(np.uint16),
            "weights.counts": counts.astype(np.uint32),
            "biases": self.biases,
            **self.calibration.arrays(),
        }

    @classmethod
    def restore(
        cls, settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]]
    ) -> LinearLearner:
        """Rebuild a fitted learner from the untrusted parts of a model file."""
        learner = cls(**cls.options_in(settings))
        learner.biases = arrays["biases"]
        if learner.biases.ndim != 1:
            raise DataError(f"biases of shape {learner.biases.shape}")
        learner._weights = _restore_weights(arrays, len(learner.biases))
        learner.calibration = restore_calibration(
            arrays, learner.biases, msgspec.convert(settings["calibration"], Calibration | None)
        )
        learner.n_suspect_labels = settings["n_suspect_labels"]
        return learner


# Weights ------------------------------------------------------------------------------------------


def _restore_weights(arrays: Mapping[str, npt.NDArray[Any]], n_topics: int) -> sparse.SparseRows:
    """Rebuild weights from a model file's untrusted arrays; raise DataError if inconsistent."""
    values, topics, counts = (arrays[f"weights.{name}"] for name in ("values", "topics", "counts"))
    if not (values.ndim == topics.ndim == counts.ndim == 1) or len(values) != len(topics):
        raise DataError("values, topics and counts of weights of different lengths")
    if topics.dtype != np.uint16 or counts.dtype != np.uint32:
        raise DataError(f"topics of weights are {topics.dtype} and counts {counts.dtype}")
    if counts.sum(dtype=np.uint64) != len(values) or topics.max(initial=0) >= n_topics:
        raise DataError("weights of unknown topics or terms")
    lengths = counts.astype(np.int64)
    ascends = np.append(topics[1:] > topics[:-1], True)
    ascends[sparse.row_offsets(lengths)[1:] - 1] = True  # the last topic of each term
    if not ascends.all():
        raise DataError("weights of a term that are not sorted by topic")
    return sparse.SparseRows(sparse.Entries(values, topics.astype(np.int32), lengths), n_topics)
