"""The head of a model with an encoder, which adds the encoder's scores to word scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from slugline.base.arrays import Count, Fraction, aligned
from slugline.base.progress import SILENT, Progress
from slugline.base.wording import percent
from slugline.errors import DataError
from slugline.learning.calibration import Calibration, restore_calibration
from slugline.text.scoring import VectorWeights

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slugline.base.arrays import F32, F64, Floats, Mask
    from slugline.learning.calibration import AnyCalibration
    from slugline.learning.encoder.encoder import CheckedEncoder
    from slugline.learning.encoder.fit import EncoderHead
    from slugline.text.features import WordCounts
    from slugline.text.vector_sums import TextSums

# Cascade ------------------------------------------------------------------------------------------

# Maximum fraction of correct answers that a cascade may lose.
_MAX_LOST = 0.002
# Assumed loss of one further text, in correct answers, even if held-out texts show no loss.
_UNSEEN = 0.5
# Minimum fraction of known words for the fast stage to suffice: it is unreliable for texts in other
# languages.
_MIN_KNOWN_WORDS_FRACTION = 0.5


@dataclass(frozen=True, slots=True)
class Cascade:
    """Decides which texts a fast stage answers, so that the encoder doesn't have to read them.

    The fast stage uses words, or words and word vectors.

    Attributes
    ----------
    threshold : float
        Skip the encoder if the fast stage's top-two probability is at least this.
    encoded_fraction : float
        Fraction of held-out documents below the threshold.

    References
    ----------
    Viola and Jones (2001), Rapid object detection using a boosted cascade of simple features.
    """

    threshold: Fraction
    encoded_fraction: Fraction

    @classmethod
    def from_proba(cls, by_fast: F32, by_both: F32, sample_weight: F32 | None) -> Cascade | None:
        """Return the cascade that uses the encoder least and hardly loses accuracy, or None.

        The loss of a fast answer is the whole model's probability of the best answer minus its
        probability of the fast one. The total loss over held-out rows, plus one standard error, is
        at most 0.2 % of the number of rows.

        Parameters
        ----------
        by_fast, by_both : float32 arrays, shape (n_rows, n_topics)
            Calibrated probabilities of held-out rows.
        sample_weight : float32 array, shape (n_rows,), or None
        """
        weights = np.ones(len(by_fast)) if sample_weight is None else sample_weight
        sureness, answers = _sureness(by_fast), by_fast.argmax(axis=1)
        losses = by_both.max(axis=1) - by_both[np.arange(len(answers)), answers]
        order = np.argsort(-sureness, kind="stable")
        weights, sureness = weights[order].astype(np.float64), sureness[order]
        losses = losses[order] * weights
        unseen_variance = (_UNSEEN * weights.mean()) ** 2 if len(weights) else 0.0
        loss_bounds = np.cumsum(losses) + np.sqrt(np.cumsum(losses**2) + unseen_variance)
        n_sure = int(np.searchsorted(loss_bounds, _MAX_LOST * weights.sum(), side="right"))
        if n_sure < len(sureness):  # treat rows of equal sureness alike
            n_sure = int(np.searchsorted(-sureness, -sureness[n_sure]))
        if not n_sure:
            return None
        encoded = float(weights[n_sure:].sum() / weights.sum())
        return cls(float(sureness[n_sure - 1]), encoded)

    def is_sure(self, proba: F32) -> Mask:
        """Return a mask of rows for which the fast stage suffices, given its probabilities."""
        return _sureness(proba) >= np.float32(self.threshold)


def _sureness(proba: F32) -> F32:
    """Return each row's top-two probability: its most likely topic against the second."""
    others, rows = proba.copy(), np.arange(len(proba))
    others[rows, proba.argmax(axis=1)] = 0
    best = proba.max(axis=1)
    return best / (best + others.max(axis=1))


# Head ---------------------------------------------------------------------------------------------

# Number of rows converted to double precision at a time, so that they stay in the processor's
# cache.
_AT_ONCE = 64
# Number of topics that the kernel processes together, as in _products.h.
_TOPICS_AT_ONCE = 8


class HeadSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The numbers of a head in a model file; see `DenseHead`.

    `calibration` is None in multilabel models, whose calibration curves are arrays.
    """

    sparse_factor: Annotated[float, msgspec.Meta(ge=0, lt=1e6)]
    calibration: Calibration | None
    encoder_weight: Fraction
    cascade: Cascade | None
    n_unlabelled: Count


@dataclass(frozen=True, eq=False)
class DenseHead:
    """Computes scores from an encoder's rows, and adds them to word scores.

    Attributes
    ----------
    encoder : CheckedEncoder
    weights, biases : float32 arrays, shape (encoder.width, n_topics) and (n_topics,)
    sparse_factor : float
        Factor on word scores.
    calibration : Calibration or TopicCalibration
        Calibration of the summed scores.
    encoder_weight : float
        The encoder's fraction of the spread of scores over topics.
    cascade : Cascade or None
        None if the encoder reads every text.
    fast_head : DenseHead or None
        The head of word vectors in the cascade's fast stage; None if that uses words alone.
    n_unlabelled : int
        Number of unlabelled training texts.
    cache_rows : bool, default True
    progress : Progress
        Reports the progress of encoding.
    """

    encoder: CheckedEncoder
    weights: F32
    biases: F32
    sparse_factor: float
    calibration: AnyCalibration
    encoder_weight: float
    cascade: Cascade | None = None
    fast_head: DenseHead | None = None
    n_unlabelled: int = 0
    cache_rows: bool = True
    progress: Progress = SILENT

    @classmethod
    def from_head(
        cls, encoder: CheckedEncoder, head: EncoderHead, n_unlabelled: int = 0
    ) -> DenseHead:
        """Return a fitted head with its encoder."""
        return cls(encoder=encoder, n_unlabelled=n_unlabelled, **head._asdict())

    @classmethod
    def restore(
        cls, settings: HeadSettings, arrays: Mapping[str, F32], encoder: CheckedEncoder
    ) -> DenseHead:
        """Rebuild a head, without its fast head, from the untrusted parts of a model file.

        Raises
        ------
        DataError : if an array is missing or calibration curves don't fit the topics.
        """
        if missing := {"weights", "biases"} - arrays.keys():
            raise DataError(f"the encoder head has no array {min(missing)!r}")
        biases = arrays["biases"]
        return cls(
            encoder=encoder,
            weights=arrays["weights"],
            biases=biases,
            sparse_factor=settings.sparse_factor,
            calibration=restore_calibration(arrays, biases, settings.calibration),
            encoder_weight=settings.encoder_weight,
            cascade=settings.cascade,
            n_unlabelled=settings.n_unlabelled,
        )

    def settings(self) -> HeadSettings:
        """Return the settings that `restore` needs."""
        calibration = self.calibration
        return HeadSettings(
            sparse_factor=self.sparse_factor,
            calibration=calibration if isinstance(calibration, Calibration) else None,
            encoder_weight=self.encoder_weight,
            cascade=self.cascade,
            n_unlabelled=self.n_unlabelled,
        )

    def check(self, width: int, n_topics: int) -> None:
        """Raise DataError unless weights and biases fit the encoder's columns and the topics."""
        for name, shape in {"weights": (width, n_topics), "biases": (n_topics,)}.items():
            actual = getattr(self, name).shape
            if actual != shape:
                raise DataError(f"{name} of an encoder of shape {actual}, not {shape}")

    def summary(self) -> str:
        """Return a line with the encoder's name, weight and fraction of texts."""
        summary = f"{self.encoder.name}, {percent(self.encoder_weight, 0)} of the decision"
        if self.cascade is None:
            return summary
        return f"{summary}, needed for {percent(self.cascade.encoded_fraction, 0)} of texts"

    def to_dict(self) -> dict[str, Any]:
        """Return the encoder's name, weight and fraction of texts for JSON."""
        encoded = 1.0 if self.cascade is None else self.cascade.encoded_fraction
        return {
            "name": self.encoder.name,
            "weight": self.encoder_weight,
            "encoded_fraction": encoded,
            "n_unlabelled": self.n_unlabelled,
        }

    def arrays(self) -> dict[str, F32]:
        """Return the arrays for `restore`."""
        return {"weights": self.weights, "biases": self.biases, **self.calibration.arrays()}

    def needs_encoder(self, proba: F32, words: WordCounts) -> Mask:
        """Return a mask of the texts that the encoder has to read.

        Parameters
        ----------
        proba : float32 array, shape (n_texts, n_topics)
            Probabilities from the fast stage.
        words : WordCounts
        """
        if self.cascade is None:
            return np.ones(len(proba), dtype=bool)
        return ~(
            self.cascade.is_sure(proba)
            & (words.n_known >= _MIN_KNOWN_WORDS_FRACTION * words.n_words)
            & (words.n_words > 0)
        )

    def rows(self, texts: Sequence[str], n_jobs: int | None = None) -> F32:
        """Return the encoder's rows of texts, shape (n_documents, encoder.width)."""
        from slugline.learning.encoder.rows import encode

        return encode(
            texts, self.encoder, n_jobs=n_jobs, cache_rows=self.cache_rows, progress=self.progress
        )

    def add_scores(self, by_words: F32, rows: Floats) -> F32:
        """Return summed scores, given word scores and the encoder's rows."""
        dense = self._multiply(rows)
        dense += self.biases
        dense += np.multiply(by_words, self.sparse_factor, dtype=np.float64)
        return dense.astype(np.float32)

    def add_sums(self, scores: F32, text_sums: TextSums, min_known_fraction: float) -> Mask:
        """Add scores of vector sums to word scores in place; return a mask of changed texts.

        Parameters
        ----------
        scores : float32 array, shape (n_texts, n_topics)
        text_sums : TextSums
        min_known_fraction : float
            Texts with a smaller known fraction are not changed.
        """
        lengths = text_sums.lengths(min_known_fraction)
        is_known: Mask = lengths > 0
        products = self._multiply(text_sums.sums)
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=is_known)
        dense = products * scale[:, np.newaxis] + self.biases
        scores[is_known] = (scores * np.float32(self.sparse_factor) + dense)[is_known]
        return is_known

    @property
    def vector_weights(self) -> VectorWeights | None:
        """The weights of word-vector sums in the kernel's format; None for other encoders."""
        encoder = self.encoder.summing_encoder
        if encoder is None:
            return None
        weights, biases = self._kernel_arrays
        return VectorWeights(
            encoder.table, weights, biases, self.sparse_factor, encoder.min_known_fraction
        )

    @cached_property
    def _kernel_arrays(self) -> tuple[F32, F32]:
        """Weights, padded and grouped by topic for the kernel, and biases."""
        n_columns, n_topics = self.weights.shape
        padded = np.pad(self.weights, ((0, 0), (0, -n_topics % _TOPICS_AT_ONCE)))
        groups = padded.reshape(n_columns, -1, _TOPICS_AT_ONCE).transpose(1, 0, 2)
        return np.ascontiguousarray(groups), aligned(self.biases)

    @cached_property
    def _double_weights(self) -> F64:
        return self.weights.astype(np.float64)

    def _multiply(self, rows: Floats) -> F64:
        # In double precision, so that scores don't depend on the number of texts.
        product = np.empty((len(rows), self._double_weights.shape[1]))
        for start in range(0, len(rows), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            np.matmul(rows[part].astype(np.float64), self._double_weights, out=product[part])
        return product

    def predict_proba(self, scores: F32) -> F32:
        """Return the probabilities of summed scores, shape (n_documents, n_topics)."""
        return self.calibration.proba(scores)
