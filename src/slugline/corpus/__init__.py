"""Labelled texts: documents with one topic each, from files of many kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slugline.lazy import lazy_names

if TYPE_CHECKING:
    from slugline.corpus.corpus import Corpus
    from slugline.corpus.loading import NAMED_CORPORA, load_corpus, load_splits

__all__ = ["NAMED_CORPORA", "Corpus", "load_corpus", "load_splits"]

# Predicting reads rows, and needs none of these.
__getattr__ = lazy_names(
    __name__,
    {
        "NAMED_CORPORA": "slugline.corpus.loading",
        "Corpus": "slugline.corpus.corpus",
        "load_corpus": "slugline.corpus.loading",
        "load_splits": "slugline.corpus.loading",
    },
)
