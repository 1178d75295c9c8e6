"""The encoder that sums word vectors of the table that comes with Slugline."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from slugline.base.arrays import F32
from slugline.errors import EncoderError
from slugline.text.vector_sums import TextSums
from slugline.text.vector_table import VectorTable
from slugline.text.word_vectors import WordContribution, WordVectors, open_table

#: Texts with a smaller known fraction are left to words alone, as they are in a language that the
#: table doesn't know. Chosen by cross-validation on training splits: 0.25 loses five points of
#: accuracy in Arabic and Russian, where many words are known in pieces only.
MIN_KNOWN_FRACTION = 0.05
# Documents of which a smaller fraction is known, in the mean, are in a language that the table
# doesn't know: the fraction is 0.43 or more in SIB-200 in the table's languages, and 0.18 or less
# in others. With five labels per topic, held-out documents can't tell that vectors mislead there,
# and accuracy fell by up to ten points.
_MIN_MEAN_KNOWN_FRACTION = 0.3
#: The largest number of documents that are looked at to see whether the table knows their language.
MAX_SAMPLED = 1000
# So large that Python's loop over batches takes no time, and so small that threads can share the
# texts.
_BATCH_TEXTS = 1024


class WordVectorEncoder:
    """An encoder that sums the vectors of the words of a text.

    Parameters
    ----------
    vectors : WordVectors, optional
        By default, the table that comes with Slugline. A pickle contains no table, so only
        encoders with that table can be unpickled.
    """

    name = "vectors"
    is_thread_safe = True
    is_fast = True
    has_unknown_texts = True
    min_known_fraction = MIN_KNOWN_FRACTION
    batch_texts = _BATCH_TEXTS

    def __init__(self, vectors: WordVectors | None = None) -> None:
        self._vectors = open_table() if vectors is None else vectors

    def __reduce__(self) -> tuple[Callable[[str], WordVectorEncoder], tuple[str]]:
        return _open_encoder, (self.digest,)

    @property
    def version(self) -> str:
        """The version of the table."""
        return str(self._vectors.version)

    @property
    def digest(self) -> str:
        """The digest of the table, and the smallest known fraction of texts that it encodes."""
        return f"{self._vectors.digest} {MIN_KNOWN_FRACTION}"

    @property
    def table(self) -> VectorTable:
        """The table, whose vectors may be summed in the pass that counts words."""
        return self._vectors.table

    def encode(self, texts: Sequence[str]) -> F32:
        """Return a row for each text, shape (n_texts, n_columns).

        Rows have unit length, except for texts of which the table knows too little: their rows have
        only zeros.
        """
        return self._scale(self._vectors.sum_texts(texts))

    def knows_language(self, texts: Sequence[str]) -> bool:
        """Whether the table knows enough of texts, of evenly spaced ones if they are many."""
        sampled = texts[:: -(-len(texts) // MAX_SAMPLED) or 1]
        return _is_language_known(self._vectors.sum_texts(sampled))

    def encode_if_known(self, texts: Sequence[str]) -> F32 | None:
        """Return the rows of texts; None if the table doesn't know enough of all of them."""
        sums = self._vectors.sum_texts(texts)
        return self._scale(sums) if _is_language_known(sums) else None

    def _scale(self, sums: TextSums) -> F32:
        """Return the sums of texts as rows, in place."""
        lengths = sums.lengths(self.min_known_fraction)
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        rows = sums.sums
        rows *= scale[:, np.newaxis]
        return rows

    def word_contributions(self, text: str) -> Sequence[WordContribution]:
        """Return the vectors of a text's sum, and where their words are."""
        return self._vectors.word_contributions(text)


def _is_language_known(sums: TextSums) -> bool:
    return float(sums.known.mean(dtype=np.float64)) >= _MIN_MEAN_KNOWN_FRACTION


def _open_encoder(digest: str) -> WordVectorEncoder:
    """Return the encoder of a pickle, given the digest of the pickled one.

    Raises
    ------
    EncoderError : if this machine has another table.
    """
    encoder = WordVectorEncoder()
    if encoder.digest != digest:
        raise EncoderError(
            "the model was pickled with other word vectors than this Slugline has (version "
            f"{encoder.version}); install the same version of Slugline on both machines."
        )
    return encoder
