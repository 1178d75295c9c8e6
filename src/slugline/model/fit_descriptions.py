"""Fits a model to descriptions of topics, without documents."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from slugline.corpus.documents import compute_digest
from slugline.corpus.sample_weights import to_plain_class_weight
from slugline.learning.calibration import Calibration
from slugline.learning.encoder.encoder import CheckedEncoder
from slugline.learning.encoder.head import DenseHead
from slugline.learning.learner import FitContext
from slugline.learning.linear.learner import LinearLearner
from slugline.model.dense import encode_with_descriptions
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings
from slugline.model.task import ClassificationTask
from slugline.text.columns import Vocabulary
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features


def fit_descriptions(
    encoder: CheckedEncoder, task: ClassificationTask, context: FitContext, settings: FitSettings
) -> Fitted:
    """Fit a model to descriptions of topics only."""
    from slugline.learning.encoder.fit import fit_nearest_means

    topics = task.topics
    rows = encode_with_descriptions(encoder, [], settings, context.progress)
    labels, factors = task.described_labels(), encoder.column_factors
    head = fit_nearest_means(rows * factors, labels, context)
    head = head._replace(weights=head.weights * factors[:, np.newaxis])
    # A vocabulary without words, and a learner without weights, whose scores are all 0.
    features = Features.restore(
        [FeatureGroup("words", "multi-hot")], [Vocabulary([], "words")], [None]
    )
    no_weights = sp.csr_array((0, len(topics)), dtype=np.float32)
    no_biases = np.zeros(len(topics), dtype=np.float32)
    return Fitted(
        topics=topics,
        features=features,
        learner=LinearLearner().learned(no_weights, no_biases, Calibration(1.0)),
        seed=settings.random_state,
        class_weight=to_plain_class_weight(settings.class_weight),
        data_digest=compute_digest([], []),
        n_documents=0,
        topic_counts=task.topic_counts,
        dense=DenseHead.from_head(encoder, head),
        descriptions=dict(settings.descriptions),
    )
