"""What scikit-learn asks of an estimator: parameters, tags, and requests for metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags
from sklearn.utils.metadata_routing import get_routing_for_object

from slugline import LinearLearner, Mixture, NeuralLearner, TopicClassifier
from slugline.errors import OptionError

TEXTS = ["wheat and corn", "net profit rose", "wheat exports", "quarterly profit"] * 4
TOPICS = ["grain", "earn"] * 8
# Whatever the words say, rows that count make the first topic right.
ODD_TEXTS, ODD_TOPICS = ["same words"] * 16, ["a", "b"] * 8
WEIGHT = np.array([3.0, 0.0] * 8)


@pytest.fixture
def routing() -> Iterator[None]:
    with sklearn.config_context(enable_metadata_routing=True):
        yield


# Metadata routing -------------------------------------------------------------------------------


@pytest.mark.usefixtures("routing")
def test_meta_estimator_passes_requested_weights() -> None:
    texts, topics = [*ODD_TEXTS, *TEXTS], [*ODD_TOPICS, *TOPICS]
    weight = np.concatenate([[1.0, 5.0] * 8, np.ones(16)])
    base = TopicClassifier().set_fit_request(sample_weight=True)
    weighted = CalibratedClassifierCV(base, cv=2).fit(texts, topics, sample_weight=weight)
    ignored = CalibratedClassifierCV(clone(base).set_fit_request(sample_weight=False), cv=2)
    ignored.fit(texts, topics, sample_weight=weight)
    parts = [pair.estimator.fitted_ for pair in weighted.calibrated_classifiers_]
    others = [pair.estimator.fitted_ for pair in ignored.calibrated_classifiers_]
    share = [part.predict_proba(["same words"])[0, 1] for part in (*parts, *others)]
    assert min(share[:2]) > max(share[2:])


@pytest.mark.usefixtures("routing")
def test_meta_estimator_rejects_weights_without_a_request() -> None:
    with pytest.raises(Exception, match=r"sample_weight.* are passed but are not explicitly set"):
        CalibratedClassifierCV(TopicClassifier(), cv=2).fit(TEXTS, TOPICS, sample_weight=WEIGHT)


@pytest.mark.usefixtures("routing")
def test_metadata_requests_have_aliases_and_are_cloned() -> None:
    classifier = TopicClassifier().set_fit_request(sample_weight="weight", progress=False)
    assert classifier.set_score_request(sample_weight=True) is classifier
    for estimator in (classifier, clone(classifier)):
        requests = get_routing_for_object(estimator)
        assert requests.fit.requests == {
            "sample_weight": "weight",
            "validation_data": None,
            "X_unlabelled": None,
            "progress": False,
        }
        assert requests.score.requests == {"sample_weight": True}
        assert requests.partial_fit.requests == {"classes": None, "sample_weight": None}
    fresh = get_routing_for_object(TopicClassifier())
    assert fresh.fit.requests["sample_weight"] is None


@pytest.mark.usefixtures("routing")
def test_pipeline_routes_weights() -> None:
    classifier = TopicClassifier().set_fit_request(sample_weight=True)
    pipeline = make_pipeline(FunctionTransformer(list), classifier)
    for weight, topic in ([3.0, 1.0], "a"), ([1.0, 3.0], "b"):
        pipeline.fit(ODD_TEXTS, ODD_TOPICS, sample_weight=np.array(weight * 8))
        assert set(pipeline.predict(ODD_TEXTS)) == {topic}


def test_set_fit_request_needs_routing() -> None:
    with pytest.raises(OptionError) as caught:
        TopicClassifier().set_fit_request(sample_weight=True)
    assert str(caught.value) == (
        "`set_fit_request` needs metadata routing, which is off; call "
        "sklearn.set_config(enable_metadata_routing=True)."
    )


# Tags and probabilities -------------------------------------------------------------------------


def test_sklearn_tags_declare_several_topics() -> None:
    tags = get_tags(TopicClassifier())
    assert tags.classifier_tags is not None
    assert tags.classifier_tags.multi_label
    assert tags.input_tags.string


def test_predict_log_proba_is_the_logarithm_of_probabilities() -> None:
    classifier = TopicClassifier().fit(TEXTS, TOPICS)
    expected = np.log(classifier.predict_proba(TEXTS))
    np.testing.assert_array_equal(classifier.predict_log_proba(TEXTS), expected)


# Nested parameters ------------------------------------------------------------------------------


def test_set_params_changes_the_learner_that_is_named() -> None:
    classifier = TopicClassifier().set_params(learner__passes=2)
    assert repr(classifier) == "TopicClassifier(learner=LinearLearner(passes=2))"
    both = TopicClassifier().set_params(learner__epochs=7, learner="network")
    assert repr(both) == "TopicClassifier(learner=NeuralLearner(epochs=7))"


def test_grid_search_tries_parameters_of_the_learner() -> None:
    search = GridSearchCV(TopicClassifier(), {"learner__passes": [1, 4]}, cv=2)
    search.fit(TEXTS, TOPICS)
    assert search.best_estimator_.learner.passes == search.best_params_["learner__passes"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("passes", "TopicClassifier has no parameter 'passes'; choose one of learner, "),
        ("learner__nosuch", "LinearLearner has no option 'nosuch'; choose one of passes, clean."),
        ("learner__passes", "`passes` is 0; give a whole number of at least 1, or None."),
        ("optimize__x", "`optimize` is 'micro', which has no parameter 'x'; give an object that"),
    ],
)
def test_set_params_rejects_unknown_parameters(name: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        TopicClassifier().set_params(**{name: 0})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "learner",
    [
        LinearLearner(passes=3),
        NeuralLearner((8, 8), epochs=2),
        Mixture([LinearLearner(), NeuralLearner(epochs=2)], [1, 2]),
    ],
    ids=lambda learner: type(learner).__name__,
)
def test_clone_copies_options_of_the_learner_only(learner: Any) -> None:
    classifier = TopicClassifier(learner=learner)
    fitted = clone(TopicClassifier.from_fitted(clone(classifier).fit(TEXTS, TOPICS).fitted_))
    assert repr(fitted.learner) == repr(learner)
    assert vars(fitted.learner) == vars(type(learner)(**learner.get_params())) or isinstance(
        learner, Mixture
    )
    assert clone(classifier).learner is not learner
