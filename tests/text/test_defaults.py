"""What docstrings say of defaults is what holds."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from slugline.learning import mixture
from slugline.learning.linear import learner
from slugline.learning.net import layers, network, optimizers, training
from slugline.learning.net import learner as neural
from slugline.prediction import rows
from slugline.text import columns

DOCUMENTED = [
    layers.Dense,
    network.Network.fit,
    learner.LinearLearner,
    mixture.Mixture,
    neural.NeuralLearner,
    columns.Vocabulary,
    columns.VocabularyBuilder.build,
    training.EarlyStopping,
    rows.PredictOptions,
]


def told_of(made: Callable[..., Any]) -> dict[str, Any]:
    """Give the defaults in a docstring."""
    found = re.findall(r"^ *([\w, ]+) : .*, default (\S+)$", inspect.getdoc(made) or "", re.M)
    return {name: ast.literal_eval(told) for names, told in found for name in names.split(", ")}


@pytest.mark.parametrize("made", DOCUMENTED, ids=lambda made: made.__qualname__)
def test_docstrings_have_the_defaults_of_the_signature(made: Callable[..., Any]) -> None:
    parameters = inspect.signature(made).parameters
    told = told_of(made)
    assert told
    assert {name: parameters[name].default for name in told} == told


def test_optimizers_have_the_defaults_of_keras() -> None:
    assert optimizers.SGD() == optimizers.SGD(learning_rate=0.01, momentum=0.0)
    assert optimizers.RMSprop() == optimizers.RMSprop(0.001, rho=0.9, epsilon=1e-7)
    assert optimizers.Adam() == optimizers.Adam(0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7)
