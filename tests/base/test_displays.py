"""How values show themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.experiment.experiment import Experiment, run_experiment
from slugline.learning.net.training import History
from slugline.model.fitted import Fitted
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features

EVIL = "<script>alert('a & b')</script>"
HISTORY = History(
    {"loss": [2.0, 1.0, 0.5], "val_loss": [2.0, 1.0, 1.25]},
    n_rows=8083,
    batch_size=128,
    stopped_by="early stopping",
)


@pytest.mark.parametrize(
    "value",
    [
        FeatureGroup(),
        FeatureGroup("characters", min_count=2, weight=0.5),
        Features([FeatureGroup("words", n_buckets=64)], n_jobs=2),
        TopicClassifier(),
        TopicClassifier(
            feature_groups=[FeatureGroup(max_terms=5)], class_weight={"a": 2.0}, random_state=7
        ),
        TopicClassifier(class_weight=cast(Any, np.ones(2))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_repr_is_the_constructor_call(value: Any) -> None:
    made = eval(repr(value), vars(np) | globals())  # noqa: S307
    assert repr(made) == repr(value)
    assert type(made) is type(value)


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    texts = [f"{word} rose by {n}" for n in range(15) for word in ("wheat", "goal")]
    corpus = Corpus(texts, ["grain", EVIL] * 15, EVIL)
    return replace(
        run_experiment(TopicClassifier(encoder=None).to_settings(), corpus),
        seconds=0.5,
        warnings=("careful",),
    )


def test_html_repr_escapes_values(experiment: Experiment) -> None:
    classifier = TopicClassifier.from_fitted(experiment.fitted)
    values: list[Any] = [
        *(experiment, experiment.fitted, experiment.tested.evaluation, classifier),
        *(TopicClassifier(class_weight={EVIL: 2.0}), History({EVIL: [1.0]})),
    ]
    for value in values:
        html = value._repr_html_()
        assert html.startswith("<table>")
        assert html.endswith("</table>")
        assert "<script" not in html
    assert "24 documents" in classifier._repr_html_()
    assert "not fitted" in values[-2]._repr_html_()
    assert isinstance(classifier.fitted_, Fitted)
