"""Vocabularies of texts, and counts of their terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from slugline.text.columns import TermColumns, Vocabulary, VocabularyBuilder
from slugline.text.counting import count_in_arrays
from slugline.text.sparse import SparseRows
from slugline.text.tokens import find_words, map_chunks

if TYPE_CHECKING:
    import scipy.sparse as sp


def fit_vocabulary(
    texts: Iterable[str], num_words: int | None = None, min_count: int = 1, n_threads: int = 1
) -> Vocabulary:
    builder = VocabularyBuilder()
    for words in map_chunks(find_words, texts, n_threads):
        builder.add(words)
    return builder.build(num_words, min_count)


def count_terms(columns: TermColumns, texts: Sequence[str]) -> sp.csr_array:
    """Return term counts, shape (n_texts, n_columns)."""
    counts = count_in_arrays(texts, [columns.kind], [columns])
    return SparseRows(counts.entries, columns.n_columns).csr()
