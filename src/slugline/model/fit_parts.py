"""Makes the rows of very many documents, a part at a time."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from slugline.errors import DataError
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext
from slugline.model.settings import FitSettings
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features

if TYPE_CHECKING:
    import scipy.sparse as sp

# Rows of more documents than this would take gigabytes.
_MANY_DOCUMENTS, _PART_SIZE = 200_000, 25_000


def is_learned_in_parts(
    texts: Sequence[str], feature_groups: Sequence[FeatureGroup], settings: FitSettings
) -> bool:
    """Return whether there are so many texts that they are learned in parts, without vocabulary."""
    is_simple = not settings.needs_encoder and all(group.n_buckets for group in feature_groups)
    return len(texts) > _MANY_DOCUMENTS and is_simple


def rows_in_parts(
    texts: Sequence[str], labels: Labels, features: Features, context: FitContext
) -> Iterator[tuple[sp.csr_array, Labels, FitContext]]:
    """Yield rows of the documents in random order, as `LinearLearner.fit_parts` takes them.

    `features` is updated after each part, so that it always fits the parts learned from so far.

    Raises
    ------
    DataError : if the first part has no words.
    """
    order = np.random.default_rng(context.seed).permutation(len(texts)).astype(np.int32)
    starts = range(0, len(texts), _PART_SIZE)
    weight = context.sample_weight
    with closing(context.progress):
        for first in starts:
            part = order[first : first + _PART_SIZE]
            ahead = copy.copy(features)
            rows, moved = ahead.partial_fit_transform([texts[i] for i in part], first)
            ahead.drop_tables()
            if not ahead.n_columns:
                raise DataError("no document contains a word; check which column holds the text.")
            costs = None if weight is None else weight[part]
            yield rows, labels.take(part), replace(context, sample_weight=costs, moved=moved)
            del rows  # to free memory before the next part is made
            vars(features).update(vars(ahead))
            n_done = min(first + _PART_SIZE, len(texts))
            context.progress.update(f"learning from {len(texts):,} documents", n_done / len(texts))
