"""Rows of documents that are too many for one table: they are made and learned from in parts."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from slugline.base.arrays import I64
from slugline.errors import DataError
from slugline.fit_settings import FitSettings
from slugline.text.block import Block
from slugline.text.features import Features

if TYPE_CHECKING:
    from slugline.training.context import FitContext

__all__ = ["are_many", "rows_in_parts"]


# Rows of more documents than this would take gigabytes.
_MANY_DOCUMENTS, _AT_A_TIME = 200_000, 50_000


def are_many(texts: Sequence[str], blocks: Sequence[Block], settings: FitSettings) -> bool:
    """Whether texts are learned from in parts, for which no vocabulary and no encoder is there."""
    is_simple = settings.encoder is None and all(block.n_buckets for block in blocks)
    return len(texts) > _MANY_DOCUMENTS and is_simple


def rows_in_parts(
    texts: Sequence[str], labels: I64, features: Features, context: FitContext
) -> Iterator[tuple[Any, I64, FitContext]]:
    """Yield rows of the documents in random order, as `LinearLearner.fit_parts` takes them.

    The features are those of the parts that have been learned from, whenever that ends.

    Raises
    ------
    DataError : if the first part has no word in it.
    """
    order = np.random.default_rng(context.seed).permutation(len(texts))
    starts = range(0, len(texts), _AT_A_TIME)
    weight = context.sample_weight
    if context.progress is not None:
        context.progress.begin(1, len(starts))
    try:
        for first in starts:
            some = order[first : first + _AT_A_TIME]
            ahead = copy.copy(features)
            rows, moved = ahead.partial_fit_transform([texts[i] for i in some], first)
            if not ahead.n_columns:
                raise DataError("no document has a word in it; check which column holds the text.")
            costs = None if weight is None else weight[some]
            yield rows, labels[some], replace(context, sample_weight=costs, moved=moved)
            features.vocabularies_, features.idf_ = ahead.vocabularies_, ahead.idf_
            if context.progress is not None:
                context.progress.step()
    finally:
        if context.progress is not None:
            context.progress.end()
