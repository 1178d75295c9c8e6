"""Loss curves equal those of Keras, from the same first weights and batch order.

Once against curves that tools/keras_curves.py has stored, and once, where Keras is installed,
against Keras itself.
"""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.learning.net import optimizers
from slugline.learning.net.layers import Dense
from slugline.learning.net.network import Network
from slugline.text.sparse import multi_hot

STORED = json.loads((Path(__file__).parents[1] / "data" / "keras_curves.json").read_text("utf-8"))
TOOL = Path(__file__).parents[2] / "tools" / "keras_curves.py"


def name_of(setting: dict[str, Any]) -> str:
    """Name a test after all that its setting says."""
    return " ".join(str(value) for key, value in setting.items() if key != "history")


def network_from(
    weights: list[Any],
    optimizer: str,
    options: dict[str, float] | None = None,
    l2: float = 0.0,
    loss: Any = "sparse_categorical_crossentropy",
) -> Network:
    """Make a net of such first weights: ReLU layers and a softmax, all with the same penalty."""
    arrays = [np.array(array, dtype=np.float32) for array in weights]
    widths = [len(biases) for biases in arrays[1::2]]
    layers = [Dense(units, "relu", l2=l2) for units in widths[:-1]]
    rule = getattr(optimizers, optimizer)(**options or {})
    net = Network([*layers, Dense(widths[-1], "softmax", l2=l2)], optimizer=rule, loss=loss)
    net.weights = arrays
    return net


def our_history(
    X: Any, y: np.ndarray, validation_data: tuple[Any, np.ndarray], net: Network, **options: Any
) -> dict[str, list[float]]:
    """Train `net` as the tool trains Keras' net, with the weights of topics as weights of rows."""
    by_topic = options.pop("class_weight", None)
    if by_topic is not None:
        options["sample_weight"] = [by_topic.get(topic, 1.0) for topic in y.tolist()]
    if net.loss == "categorical_crossentropy":
        one_hot = np.eye(net.n_topics)
        y, validation_data = one_hot[y], (validation_data[0], one_hot[validation_data[1]])
    return net.fit(X, y, validation_data=validation_data, shuffle=False, **options).history


def assert_same_curves(ours: dict[str, list[float]], theirs: dict[str, list[float]]) -> None:
    assert set(ours) == set(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=0, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("case", STORED["cases"], ids=name_of)
def test_fit_reproduces_stored_loss_curves_of_keras(case: dict[str, Any]) -> None:
    n_train = STORED["n_train"]
    X, y = multi_hot(STORED["columns"], STORED["n_columns"]), np.array(STORED["topics"])
    setting = {name: case[name] for name in ("optimizer", "options", "l2", "loss") if name in case}
    weighting = {
        None: {},
        "rows": {"sample_weight": STORED["sample_weight"]},
        "topics": {"class_weight": {int(k): v for k, v in STORED["class_weight"].items()}},
    }
    history = our_history(
        X[:n_train],
        y[:n_train],
        (X[n_train:], y[n_train:]),
        network_from(STORED["weights"], **setting),
        epochs=STORED["epochs"],
        batch_size=STORED["batch_size"],
        **weighting[case.get("weighted")],
    )
    assert_same_curves(history, case["history"])


# Keras itself -----------------------------------------------------------------------------------

SETTINGS = [
    {"optimizer": "RMSprop"},
    {"optimizer": "Adam"},
    {"optimizer": "SGD", "options": {"momentum": 0.9}},
]


@pytest.fixture
def keras_history() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    pytest.importorskip("keras", reason="needs the bench extra (Keras)")
    return runpy.run_path(str(TOOL))["keras_history"]


def first_weights(n_columns: int, units: int, n_topics: int) -> list[np.ndarray]:
    layers = [Dense(units, "relu"), Dense(units, "relu"), Dense(n_topics, "softmax")]
    return Network(layers).build(n_columns).weights


def compare(
    keras_history: Any,
    weights: list[np.ndarray],
    setting: dict[str, Any],
    X: np.ndarray,
    y: np.ndarray,
    n_train: int,
    **options: Any,
) -> None:
    """Train both for 8 epochs on the first `n_train` rows, validating on the others."""
    data = X[:n_train], y[:n_train], (X[n_train:], y[n_train:])
    theirs = keras_history(*data, weights, epochs=8, **setting, **options)
    ours = our_history(*data, network_from(weights, **setting), epochs=8, **options)
    assert_same_curves(ours, theirs)


@pytest.mark.bench
@pytest.mark.filterwarnings("ignore")  # what Keras warns of is its own affair
@pytest.mark.parametrize("weighted", [None, "sample_weight", "class_weight"])
@pytest.mark.parametrize("l2", [0.0, 0.01])
@pytest.mark.parametrize("setting", SETTINGS, ids=name_of)
def test_fit_reproduces_loss_curves_of_keras(
    setting: dict[str, Any], l2: float, weighted: str | None, keras_history: Any
) -> None:
    # Where a hidden unit comes within rounding of ReLU's kink, two programs can part ways. With
    # this seed none does.
    rng = np.random.default_rng(1)
    y = rng.integers(0, 5, 600)
    X = ((rng.random((600, 200)) < 0.05) * rng.integers(1, 4, (600, 200))).astype(np.float32)
    X[np.arange(600), y] += 1
    weights = {"sample_weight": rng.uniform(0, 2, 500), "class_weight": {0: 0.5, 3: 2.0}}
    options = {weighted: weights[weighted]} if weighted else {}
    setting = setting | {"l2": l2}
    compare(keras_history, first_weights(200, 16, 5), setting, X, y, 500, batch_size=64, **options)


@pytest.mark.bench
@pytest.mark.reuters
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("setting", SETTINGS, ids=name_of)
def test_fit_reproduces_loss_curves_of_keras_on_newswires(
    setting: dict[str, Any], keras_history: Any, reuters_data: Path
) -> None:
    from slugline.reuters.sequences import load_data

    (x_train, y_train), _ = load_data(reuters_data, num_words=10_000)
    X, y = multi_hot(x_train[:3000].tolist(), 10_000).toarray(), y_train[:3000]
    weights = first_weights(10_000, 64, 46)
    compare(keras_history, weights, setting, X, y, 2000, batch_size=512)
