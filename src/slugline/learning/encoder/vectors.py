"""The table of word vectors that comes with Slugline, as an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from slugline.base.arrays import F32
from slugline.errors import EncoderError
from slugline.text.vector_sums import TextSums
from slugline.text.vector_table import VectorTable
from slugline.text.word_vectors import WordContribution, WordVectors, open_table

#: A text of which the table knows a smaller fraction is left to words alone, as it is in a language
#: that the table doesn't know. Chosen by cross-validation on training splits: 0.25 loses three
#: points in Arabic and Russian, whose words are often known in pieces only.
LEAST_KNOWN = 0.05
# Large enough that Python's loop over batches takes no time, and small enough to share among
# threads.
_BATCH_TEXTS = 1024


class WordVectorEncoder:
    """Sums the vectors of the words of a text.

    Parameters
    ----------
    vectors : WordVectors, optional
        By default, the table that comes with Slugline, whose file is mapped and not read.
    """

    name = "vectors"
    is_thread_safe = True
    is_fast = True
    has_unknown_texts = True
    batch_texts = _BATCH_TEXTS

    def __init__(self, vectors: WordVectors | None = None) -> None:
        self._vectors = open_table() if vectors is None else vectors

    def __reduce__(self) -> tuple[Callable[[str], WordVectorEncoder], tuple[str]]:
        return _find, (self.digest,)

    @property
    def digest(self) -> str:
        """The digest of the table, and the least fraction that it must know of a text."""
        return f"{self._vectors.digest} {LEAST_KNOWN}"

    @property
    def version(self) -> str:
        """The version of the table."""
        return str(self._vectors.version)

    @property
    def table(self) -> VectorTable:
        """The table, whose vectors may be summed in the pass that counts words."""
        return self._vectors.table

    def encode(self, texts: Sequence[str]) -> F32:
        """Return a row for each text, shape (n_texts, n_columns).

        Rows have unit length, but those of texts of which the table knows little have only zeros.
        """
        sums = self._vectors.sum_texts(texts)
        lengths = self.find_lengths(sums)
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        rows = sums.sums
        rows *= scale[:, np.newaxis]
        return rows

    def find_lengths(self, sums: TextSums) -> F32:
        """Return the lengths of sums, shape (n_texts,); 0 if the table knows little of a text."""
        lengths: F32 = np.sqrt(np.einsum("ij,ij->i", sums.sums, sums.sums))
        lengths[sums.known < LEAST_KNOWN] = 0
        return lengths

    def word_contributions(self, text: str) -> Sequence[WordContribution]:
        """Return the vector of each known word of a text, and its place."""
        return self._vectors.word_contributions(text)


def _find(digest: str) -> WordVectorEncoder:
    """Return the encoder of this digest, as pickles hold no table.

    Raises
    ------
    EncoderError : if this machine has another table.
    """
    encoder = WordVectorEncoder()
    if encoder.digest != digest:
        raise EncoderError(
            "the model was pickled with another table of word vectors than the one of this "
            f"Slugline (version {encoder.version}); install the same version of Slugline on both "
            "sides."
        )
    return encoder
