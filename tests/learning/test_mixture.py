"""Several learners whose probabilities are averaged."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from slugline.errors import DataError, OptionError
from slugline.learning.calibration import Calibration, TopicCalibration
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext, Learner, restore
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner

RNG = np.random.default_rng(0)
Y = np.arange(60) % 3
X = sp.csr_array((RNG.random((60, 9)) < np.eye(3)[Y].repeat(3, axis=1) * 0.7 + 0.1).astype("f4"))
CONTEXT = FitContext(n_topics=3, seed=5)


def parts() -> list[Learner]:
    return [LinearLearner(), NeuralLearner((4,), epochs=2), LinearLearner(passes=1)]


@pytest.fixture
def mixture() -> Mixture:
    mixture = Mixture(parts())
    mixture.fit(X, Labels.from_topics(Y), CONTEXT)
    return mixture


def test_mixture_averages_the_probabilities_of_its_learners(mixture: Mixture) -> None:
    each = []
    for number, learner in enumerate(parts()):
        learner.fit(X, Labels.from_topics(Y), replace(CONTEXT, seed=5 + number))
        each.append(learner.predict_proba(X).astype(np.float64))
    proba = mixture.predict_proba(X)
    assert proba.dtype == np.float32
    np.testing.assert_allclose(proba, np.mean(each, axis=0), rtol=1e-5)
    np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)


def test_mixture_weights_its_learners() -> None:
    first, second = LinearLearner(), LinearLearner(passes=1)
    mixture = Mixture([first, second], weights=[3, 1])
    mixture.fit(X, Labels.from_topics(Y), CONTEXT)
    expected = 0.75 * first.predict_proba(X) + 0.25 * second.predict_proba(X)
    np.testing.assert_allclose(np.exp(mixture.decision_function(X)), expected, rtol=1e-5)
    np.testing.assert_allclose(mixture.predict_proba(X), expected, rtol=1e-5)
    again = restore(mixture.settings(), mixture.arrays())
    assert np.array_equal(again.predict_proba(X), mixture.predict_proba(X))


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, float("inf")]])
def test_mixture_rejects_weights_of_another_number_or_not_over_0(weights: list[float]) -> None:
    with pytest.raises(OptionError) as caught:
        Mixture([LinearLearner(), LinearLearner()], weights)
    assert str(caught.value) == (
        f"`weights` is {weights}; give a number over 0 for each of the 2 learners."
    )


def test_mixture_fits_equal_nets_with_different_seeds() -> None:
    mixture = Mixture([NeuralLearner((4,), epochs=2), NeuralLearner((4,), epochs=2)])
    mixture.fit(X, Labels.from_topics(Y), CONTEXT)
    assert not np.array_equal(mixture.arrays()["0.0"], mixture.arrays()["1.0"])


def test_mixture_raises_the_mean_to_the_inverse_temperature() -> None:
    mixture = Mixture([LinearLearner(), LinearLearner(passes=1)], inverse_temperature=2.5)
    mixture.fit(X, Labels.from_topics(Y), CONTEXT)
    mean = np.mean([learner.predict_proba(X) for learner in mixture.learners], axis=0)
    expected = mean**2.5 / (mean**2.5).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(mixture.predict_proba(X), expected, rtol=1e-4)
    again = restore(mixture.settings(), mixture.arrays())
    assert np.array_equal(again.predict_proba(X), mixture.predict_proba(X))


def test_mixture_scores_are_finite_logarithms_of_probabilities() -> None:
    mixture = Mixture([LinearLearner()])
    mixture.fit(X, Labels.from_topics(Y), CONTEXT)
    np.testing.assert_allclose(
        np.exp(mixture.decision_function(X)), mixture.predict_proba(X), rtol=1e-5, atol=1e-30
    )
    mixture.learners[0].calibration = Calibration(1e5)  # type: ignore[attr-defined]
    assert (mixture.learners[0].predict_proba(X) == 0).any()
    assert np.isfinite(mixture.decision_function(X)).all()


def test_restore_rebuilds_a_mixture_of_mixtures(mixture: Mixture) -> None:
    nested = Mixture([mixture, copy.deepcopy(mixture.learners[0])])
    again = restore(nested.settings(), nested.arrays())
    assert again.settings() == nested.settings()
    for part in ("0.0.", "0.1.", "0.2.", "1."):
        assert any(name.startswith(part) for name in again.arrays())
    assert np.array_equal(again.predict_proba(X), nested.predict_proba(X))


def test_mixture_rejects_an_empty_list() -> None:
    with pytest.raises(OptionError) as caught:
        Mixture([])
    assert str(caught.value) == "`learners` is []; give a list of one or more learner objects."


# Several topics for a row -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def several() -> Mixture:
    y = sp.csr_array((RNG.random((60, 3)) < 0.4).astype(np.float32))
    nets = Mixture([NeuralLearner((4,), epochs=2), NeuralLearner((4,), epochs=2)])
    mixture = Mixture([LinearLearner(), nets], weights=[1, 3], inverse_temperature=1.5)
    mixture.fit(X, Labels.from_indicator(y), CONTEXT)
    return mixture


def test_multilabel_mixture_scores_are_log_odds_of_the_mean(several: Mixture) -> None:
    assert several.multilabel
    first, other = (part.predict_proba(X).astype(np.float64) for part in several.learners)
    mean = 0.25 * first + 0.75 * other
    odds = mean / (1 - mean)
    np.testing.assert_allclose(several.decision_function(X), np.log(odds), rtol=1e-4, atol=1e-5)
    expected = odds**1.5 / (1 + odds**1.5)
    np.testing.assert_allclose(several.predict_proba(X), expected, rtol=1e-4)
    again = copy.deepcopy(several)
    again.fit(X, Labels.from_topics(Y), CONTEXT)
    assert not again.multilabel


def test_restore_rebuilds_a_multilabel_mixture_with_its_calibration(several: Mixture) -> None:
    mixture = copy.deepcopy(several)
    assert isinstance(mixture.calibration, TopicCalibration)
    slopes = np.array([0.5, 1, 2], np.float32)
    mixture.calibration = mixture.calibration._replace(slopes=slopes)
    again = restore(mixture.settings(), mixture.arrays())
    assert np.array_equal(again.predict_proba(X), mixture.predict_proba(X))
    assert not np.array_equal(again.predict_proba(X), several.predict_proba(X))


def test_restore_rejects_a_mixture_of_learners_that_do_not_match(several: Mixture) -> None:
    arrays = several.arrays()
    for odd, message in [
        ({"slopes": np.ones(2, np.float32)}, "calibration curves that don't match the topics"),
        ({"slopes": np.zeros(3, np.float32)}, "calibration curves that are not increasing"),
    ]:
        with pytest.raises(DataError, match=message):
            restore(several.settings(), arrays | odd)
    for names in (["slopes"], [name for name in arrays if name.startswith("0.s")]):
        fewer = {name: array for name, array in arrays.items() if name not in names}
        with pytest.raises(DataError, match="combines single-label and multi-label learners"):
            restore(several.settings(), fewer)
