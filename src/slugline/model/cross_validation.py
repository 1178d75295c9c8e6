"""Cross-validated predictions for learners without held-out predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np

from slugline.base.arrays import Index
from slugline.base.progress import Progress
from slugline.corpus.splits import make_folds
from slugline.errors import DataError
from slugline.learning.learner import choose_learner
from slugline.model.dense import HeldOutProba
from slugline.model.documents import TrainingDocuments
from slugline.model.fitted import Fitted
from slugline.model.heldout import MAX_PREDICTIONS
from slugline.model.settings import FitSettings

# Number of additional fits, each without one of the folds.
_N_FOLDS = 3
# With more documents, cross-validation is too slow: a single additional fit holds out a few.
_MAX_FOR_FOLDS = 20_000

#: Fits a model to the documents with these row numbers.
FitRows = Callable[[Index, FitSettings], Fitted]


def cross_validate(
    fitted: Fitted,
    documents: TrainingDocuments,
    settings: FitSettings,
    fit_rows: FitRows,
    progress: Progress,
) -> HeldOutProba:
    """Return out-of-fold probabilities of documents.

    Parameters
    ----------
    fitted : Fitted
        The model of all documents.
    documents : TrainingDocuments
    settings : FitSettings
        The settings of `fitted`.
    fit_rows : callable
    progress : Progress
    """
    fold_settings = replace(
        settings,
        learner=choose_learner(fitted.learner),
        feature_groups=fitted.features.feature_groups,
        tune=False,
        min_precision=None,
        thresholds={},
        cross_validate=False,
    )
    rows, parts = [np.zeros(0, np.intp)], [np.zeros((0, len(fitted.topics)), np.float32)]
    with closing(progress):
        for number, (training, fold) in enumerate(_splits(documents, settings.random_state)):
            progress.update("predicting held-out documents", number / _N_FOLDS)
            heldout = documents.task.predictable_rows(fold, training)
            if not len(heldout):
                continue
            try:
                other = fit_rows(training, fold_settings)
            except DataError:  # no topic, word or weight left to train on
                continue
            # Topics unknown to the other model have probability 0.
            proba = np.zeros((len(heldout), len(fitted.topics)), dtype=np.float32)
            columns = fitted.topics.encode(other.topics.names)
            texts = [documents.texts[row] for row in heldout.tolist()]
            proba[:, columns] = other.predict_proba(texts)
            rows.append(heldout)
            parts.append(proba)
    return np.concatenate(rows), np.concatenate(parts)


def _splits(documents: TrainingDocuments, seed: int) -> Iterator[tuple[Index, Index]]:
    """Yield the training rows and the rows of each fold; copies of a text are in one fold."""
    distinct, copies = np.unique(np.array(documents.texts, dtype=object), return_inverse=True)
    if len(distinct) < _N_FOLDS:
        return
    if len(copies) > _MAX_FOR_FOLDS:
        order = np.random.default_rng(seed).permutation(len(copies))
        folds = [np.sort(order[:MAX_PREDICTIONS])]
    else:
        fold_of_row = make_folds(documents.task.labels.to_topics(), _N_FOLDS, seed, copies)
        folds = [np.flatnonzero(fold_of_row == number) for number in range(_N_FOLDS)]
    for fold in folds:
        yield np.flatnonzero(~np.isin(copies, copies[fold])), fold
