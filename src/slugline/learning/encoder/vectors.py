"""The encoder that sums word vectors of the table that comes with Slugline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slugline.base.arrays import F32
from slugline.text.counting import sum_texts
from slugline.text.vector_sums import TextSums, WordContribution, find_contributions
from slugline.text.vector_table import VectorTable, open_table

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
    table : VectorTable, optional
        By default, the table that comes with Slugline.
    """

    name = "vectors"
    is_thread_safe = True
    is_fast = True
    has_unknown_texts = True
    min_known_fraction = MIN_KNOWN_FRACTION
    batch_texts = _BATCH_TEXTS

    def __init__(self, table: VectorTable | None = None) -> None:
        self.table = open_table() if table is None else table

    @property
    def version(self) -> str:
        """The version of the table."""
        return str(self.table.header.version)

    @property
    def digest(self) -> str:
        """The digest of the table, and the smallest known fraction of texts that it encodes."""
        return f"{self.table.digest} {MIN_KNOWN_FRACTION}"

    def encode(self, texts: Sequence[str]) -> F32:
        """Return a row for each text, shape (n_texts, n_columns).

        Rows have unit length, except for texts of which the table knows too little: their rows have
        only zeros.
        """
        return self._scale(sum_texts(self.table, texts))

    def knows_language(self, texts: Sequence[str]) -> bool:
        """Whether the table knows enough of texts, of evenly spaced ones if they are many."""
        sampled = texts[:: -(-len(texts) // MAX_SAMPLED) or 1]
        return _is_language_known(sum_texts(self.table, sampled))

    def encode_if_known(self, texts: Sequence[str]) -> F32 | None:
        """Return the rows of texts; None if the table doesn't know enough of all of them."""
        sums = sum_texts(self.table, texts)
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
        return find_contributions(self.table, text)


def _is_language_known(sums: TextSums) -> bool:
    return float(sums.known.mean(dtype=np.float64)) >= _MIN_MEAN_KNOWN_FRACTION
