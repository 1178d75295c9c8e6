"""The built-in encoder: sums of word vectors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from slugline.base.arrays import F32
from slugline.text.counting import sum_texts
from slugline.text.vector_sums import WordContribution, find_contributions
from slugline.text.vector_table import VectorTable, open_table

#: Texts with a smaller known fraction are in a language missing from the table, and are left to
#: words alone. Chosen by cross-validation on training splits: 0.25 loses five points of accuracy in
#: Arabic and Russian, where many words are known only in pieces.
MIN_KNOWN_FRACTION = 0.05
# Documents with a smaller mean known fraction are in a language missing from the table: in SIB-200,
# the fraction is at least 0.43 in the table's languages and at most 0.18 in others. There, vectors
# mislead: with five labels per topic, held-out documents don't show it, and accuracy fell by up to
# ten points.
_MIN_MEAN_KNOWN_FRACTION = 0.3
# Maximum number of documents sampled to detect a known language.
_MAX_SAMPLED = 1000
# Large enough to make Python's loop negligible, small enough to divide texts among threads.
_BATCH_TEXTS = 1024


class WordVectorEncoder:
    """An encoder whose rows are sums of word vectors, scaled to unit length.

    Parameters
    ----------
    table : VectorTable, optional
        By default, the built-in table.
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
        """The digest of the table, and the minimum known fraction of encoded texts."""
        return f"{self.table.digest} {MIN_KNOWN_FRACTION}"

    def encode(self, texts: Sequence[str]) -> F32:
        """Return rows of unit length, shape (n_texts, n_columns).

        Rows are zero for texts below the minimum known fraction.
        """
        sums = sum_texts(self.table, texts)
        lengths = sums.lengths(self.min_known_fraction)
        scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
        rows = sums.sums
        rows *= scale[:, np.newaxis]
        return rows

    def knows_language(self, texts: Sequence[str]) -> bool:
        """Return True if the table knows enough of the texts, or of an evenly spaced sample."""
        sampled = texts[:: -(-len(texts) // _MAX_SAMPLED) or 1]
        known = sum_texts(self.table, sampled).known
        return float(known.mean(dtype=np.float64)) >= _MIN_MEAN_KNOWN_FRACTION

    def word_contributions(self, text: str) -> Sequence[WordContribution]:
        """Return the vectors in a text's sum, with the positions of their words."""
        return find_contributions(self.table, text)
