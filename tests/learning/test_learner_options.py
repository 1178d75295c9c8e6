"""Options of learners: declared once, checked, shown, and read back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import slugline
from slugline import LinearLearner, Mixture, NeuralLearner
from slugline.errors import OptionError
from slugline.learning.learner import option_hints

LEARNERS = [LinearLearner, NeuralLearner]


@pytest.mark.parametrize(
    "shown",
    [
        "LinearLearner()",
        "LinearLearner(passes=5, clean=False)",
        "NeuralLearner(hidden=(64, 32), epochs=7)",
        "Mixture([LinearLearner(passes=2), NeuralLearner()])",
        "Mixture([LinearLearner(), NeuralLearner()], weights=[1.0, 3.0], inverse_temperature=2.0)",
    ],
)
def test_repr_of_a_learner_can_be_evaluated(shown: str) -> None:
    names = {name: getattr(slugline, name) for name in slugline.__all__}
    assert repr(eval(shown, names)) == shown  # noqa: S307


@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("value", ["x", [1, "x"], -1, float("nan"), {}], ids=repr)
def test_options_name_a_value_of_another_type_or_range(learner: Any, value: Any) -> None:
    for name in option_hints(learner):
        with pytest.raises(OptionError) as caught:
            learner(**{name: value})
        assert str(caught.value).startswith(f"`{name}` is {value!r}; give ")


def test_options_convert_numbers_of_numpy() -> None:
    odd: Any = {"hidden": np.array([3, 4]), "epochs": np.int64(2), "l2": np.float32(0.5)}
    net = NeuralLearner(**odd)
    assert repr(net) == "NeuralLearner(hidden=[3, 4], epochs=2, l2=0.5)"


def test_mixture_repr_omits_equal_weights() -> None:
    assert repr(Mixture([LinearLearner()] * 2, [2.0, 2.0])) == (
        "Mixture([LinearLearner(), LinearLearner()])"
    )
