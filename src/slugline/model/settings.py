"""Settings of a fit, validated on construction."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from slugline.base.checks import (
    check_choice,
    check_fraction,
    check_whole,
    count_threads,
    is_number,
    option_error,
)
from slugline.corpus.documents import Topic
from slugline.corpus.layout import check_separator
from slugline.corpus.sample_weights import ClassWeight, check_class_weight
from slugline.corpus.topic_sets import is_multilabel
from slugline.errors import OptionError, Parameter
from slugline.learning.encoder.encoder import CheckedEncoder, default_encoder
from slugline.learning.learner import Learner, is_linear
from slugline.model.multilabel_rule import AVERAGES, Average, check_thresholds
from slugline.text.feature_groups import (
    FeatureGroup,
    add_columns_group,
    check_feature_groups,
    default_feature_groups,
)
from slugline.text.table_columns import check_column_names, learn_columns

if TYPE_CHECKING:
    from slugline.model.fitted import Fitted

# Number of hash buckets for a network trained on batches, which has weights for each bucket.
_N_BUCKETS = 1 << 18
# One more than the largest seed, as in scikit-learn.
_N_SEEDS = 1 << 32


def draw_seed(random_state: Any) -> int:
    """Return an integer seed unchanged, or draw one from a generator, or at random for None.

    Raise OptionError for other types and for integers out of range.
    """
    if random_state is None:
        return secrets.randbelow(_N_SEEDS)
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(_N_SEEDS))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(_N_SEEDS, dtype=np.int64))
    check_whole("random_state", random_state, 0, _N_SEEDS - 1)
    return int(random_state)


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Settings passed to `fit` by `TopicClassifier` and the command line.

    `TopicClassifier` documents each setting. Construction checks the settings, loads the encoder
    and draws a seed. A fit uses a copy of the learner.

    Raises
    ------
    OptionError : if a setting is out of its range.
    """

    learner: Learner
    feature_groups: Sequence[FeatureGroup] | None = None
    class_weight: ClassWeight = None
    tune: bool | float = False
    n_jobs: int | None = None
    random_state: int = 0
    #: A tuple lists the encoders to choose from after the fit to words.
    encoder: CheckedEncoder | tuple[str, ...] | None = field(default_factory=default_encoder)
    descriptions: Mapping[Topic, str] = field(default_factory=dict)
    min_precision: float | None = None
    optimize: Average = "micro"
    columns: Sequence[str] = ()
    topic_path: str | None = None
    thresholds: Mapping[Topic, float] = field(default_factory=dict)
    # Cross-validate learners without held-out predictions if these are needed.
    cross_validate: bool = True

    def __post_init__(self) -> None:
        if self.feature_groups is not None:
            check_feature_groups(self.feature_groups)
        check_class_weight(self.class_weight)
        check_column_names(self.columns)
        check_separator("topic_path", self.topic_path)
        if not isinstance(self.tune, bool | np.bool_) and (
            not is_number(self.tune) or self.tune < 0
        ):
            raise option_error("tune", self.tune, "True, False or a budget over 0")
        count_threads(self.n_jobs)
        if self.min_precision is not None:
            check_fraction("min_precision", self.min_precision)
        check_choice("optimize", self.optimize, AVERAGES)
        check_thresholds(self.thresholds)
        if self.thresholds and self.min_precision is not None:
            raise OptionError(
                Parameter("min_precision"),
                " chooses thresholds itself and can't be combined with ",
                Parameter("thresholds"),
                "; leave one of them out.",
            )
        if self.encoder is not None:
            self._check_with_encoder()
        elif self.descriptions:
            raise OptionError(
                Parameter("descriptions"),
                " require an encoder, but ",
                Parameter("encoder"),
                " is none; leave ",
                Parameter("encoder"),
                " out for word vectors, or name a sentence encoder: ",
                Parameter("encoder", "use"),
                ".",
            )

    def _check_with_encoder(self) -> None:
        """Raise OptionError for settings that can't be combined with an encoder."""
        if isinstance(self.encoder, tuple) and self.descriptions:
            raise OptionError(
                Parameter("descriptions"),
                " require a named encoder, but ",
                Parameter("encoder"),
                " is 'auto', which may choose none; name one: ",
                Parameter("encoder", "use"),
                ".",
            )
        if not self.needs_encoder:
            return
        if self.tune:
            raise OptionError(
                Parameter("tune"),
                " only searches for feature groups and passes, without an ",
                Parameter("encoder"),
                "; leave one of them out.",
            )
        if not is_linear(self.learner):
            # A fast encoder is only required for descriptions, and may be the default.
            is_fast = self.has_fast_encoder
            raise OptionError(
                Parameter("descriptions" if is_fast else "encoder"),
                " require word vectors and thus" if is_fast else " requires",
                " the linear learner, but ",
                Parameter("learner"),
                f" is a {type(self.learner).__name__}; leave one of them out.",
            )

    @property
    def has_fast_encoder(self) -> bool:
        """True if the encoder is as fast as counting words; False if not chosen yet."""
        return isinstance(self.encoder, CheckedEncoder) and self.encoder.is_fast

    @property
    def needs_encoder(self) -> bool:
        """True if the encoder is required, so it is an error if it can't be used.

        A fast encoder is optional unless it is needed for descriptions.
        """
        return bool(self.descriptions) if self.has_fast_encoder else self.encoder is not None

    @classmethod
    def from_fitted(cls, fitted: Fitted, *, n_jobs: int | None = None) -> FitSettings:
        """Return settings that reproduce the model on the same documents.

        They include the feature groups, learner and encoder chosen by `tune` or "auto".
        """
        heldout, rule = fitted.heldout_predictions, fitted.multilabel_rule
        groups = tuple(group for group in fitted.features.feature_groups if not group.columns)
        return cls(
            learner=fitted.learner,
            feature_groups=groups if fitted.n_documents else None,
            class_weight=fitted.class_weight,
            n_jobs=n_jobs,
            random_state=fitted.seed,
            encoder=fitted.encoder,
            descriptions=fitted.descriptions,
            min_precision=None if heldout is None else heldout.precision,
            optimize="micro" if rule is None else rule.average,
            columns=tuple(column.name for column in fitted.features.table_columns),
            topic_path=fitted.separator,
            thresholds=fitted.own_thresholds,
        )

    def choose_feature_groups(
        self, texts: Sequence[str] = (), topics: Sequence[Any] = (), *, are_all: bool = True
    ) -> tuple[FeatureGroup, ...]:
        """Return the feature groups; infer the kinds of table columns from the documents.

        By default, they depend on the characters of the texts and, if `texts` `are_all`, on the
        number of texts.
        """
        feature_groups = self.feature_groups
        if feature_groups is None:
            multilabel = is_multilabel(topics)
            n_topics = 0 if multilabel else len(set(topics))
            feature_groups = default_feature_groups(
                self.learner.weighting, texts, n_topics, multilabel=multilabel, is_complete=are_all
            )
        if not self.columns:
            return tuple(feature_groups)
        return add_columns_group(tuple(feature_groups), learn_columns(texts, topics, self.columns))

    def batch_feature_groups(
        self, texts: Sequence[str] = (), topics: Sequence[Any] = (), *, are_all: bool = True
    ) -> tuple[FeatureGroup, ...]:
        """Return the feature groups for training on batches, all with hash buckets."""
        if self.feature_groups is None:
            return tuple(
                replace(group, n_buckets=group.n_buckets or _N_BUCKETS, max_terms=None)
                for group in self.choose_feature_groups(texts, topics, are_all=are_all)
            )
        unhashed = next((group for group in self.feature_groups if group.n_buckets is None), None)
        if unhashed is not None:
            raise OptionError(
                f"the group of {unhashed.kind} has a vocabulary, which can't grow from batch to "
                "batch; give it ",
                Parameter("n_buckets"),
                ", or call fit first.",
            )
        return self.choose_feature_groups(texts, topics)
