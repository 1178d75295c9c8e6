"""Write the loss curves of Keras on a small made-up data set, for tests to compare with.

    python tools/keras_curves.py

needs the `bench` extra and writes tests/data/keras_curves.json. The file holds all that another net
needs for the same curves: rows, topics, initial weights, settings. Keras doesn't shuffle the rows,
so no random numbers are drawn.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

TARGET = Path(__file__).parents[1] / "tests" / "data" / "keras_curves.json"

EPOCHS, BATCH_SIZE = 8, 32
N_TRAIN, N_ROWS, N_COLUMNS, WORDS_PER_ROW = 100, 150, 40, 6
LAYERS = [12, 8, 4]  # units; ReLU, and softmax at the end

CLASS_WEIGHT = {0: 0.5, 1: 1.0, 2: 2.0, 3: 3.0}
SETTINGS: list[dict[str, Any]] = [
    {"optimizer": "RMSprop"},
    {"optimizer": "RMSprop", "l2": 0.01, "loss": "categorical_crossentropy"},
    {"optimizer": "RMSprop", "options": {"learning_rate": 0.01}, "weighted": "rows"},
    {"optimizer": "Adam"},
    {"optimizer": "Adam", "l2": 0.01, "weighted": "topics"},
    {"optimizer": "SGD", "options": {"learning_rate": 0.1}},
    {"optimizer": "SGD", "options": {"learning_rate": 0.05, "momentum": 0.9}},
    {
        "optimizer": "SGD",
        "options": {"learning_rate": 0.05, "momentum": 0.9},
        "l2": 0.01,
        "weighted": "rows",
    },
]


def make_up_data() -> dict[str, Any]:
    """Return random rows of words, two of which depend on the topic, and initial weights."""
    rng = np.random.default_rng(1987)
    n_topics = LAYERS[-1]
    topics = rng.integers(0, n_topics, N_ROWS)
    columns = [
        np.unique(
            np.concatenate(
                [
                    topic + n_topics * rng.integers(0, 3, 2),
                    rng.integers(0, N_COLUMNS, WORDS_PER_ROW - 2),
                ]
            )
        ).tolist()
        for topic in topics
    ]
    weights: list[Any] = []
    for n_inputs, n_outputs in zip([N_COLUMNS, *LAYERS], LAYERS, strict=False):
        limit = np.sqrt(6 / (n_inputs + n_outputs))
        weights += [
            rng.uniform(-limit, limit, (n_inputs, n_outputs)).round(3).tolist(),
            [0.0] * n_outputs,
        ]
    return {
        "epochs": EPOCHS,
        "batch_size": BATCH_SIZE,
        "n_train": N_TRAIN,
        "n_columns": N_COLUMNS,
        "columns": columns,
        "topics": topics.tolist(),
        "sample_weight": rng.uniform(0, 2, N_TRAIN).round(2).tolist(),
        "class_weight": CLASS_WEIGHT,
        "weights": weights,
    }


def keras_history(
    X: np.ndarray,
    y: np.ndarray,
    validation_data: tuple[np.ndarray, np.ndarray],
    weights: list[np.ndarray],
    *,
    optimizer: str,
    options: dict[str, float] | None = None,
    l2: float = 0.0,
    loss: str = "sparse_categorical_crossentropy",
    **fit: Any,
) -> dict[str, list[float]]:
    """Train a stack of ReLU layers and a softmax in Keras, from `weights`, without shuffling.

    Parameters
    ----------
    X, y, validation_data : dense matrices and integer topics
    weights : list of arrays
        Initial weights and biases of each layer in turn.
    optimizer, options : name of a class in keras.optimizers, and its arguments
    l2 : float
        Penalty on all layers.
    fit : further arguments of `keras.Model.fit`
    """
    import keras

    widths = [array.shape[1] for array in weights[0::2]]
    activations = ["relu"] * (len(widths) - 1) + ["softmax"]
    model = keras.Sequential(
        [keras.Input((X.shape[1],))]
        + [
            keras.layers.Dense(units, activation, kernel_regularizer=keras.regularizers.L2(l2))
            for units, activation in zip(widths, activations, strict=True)
        ]
    )
    model.set_weights(weights)
    rule = getattr(keras.optimizers, optimizer)(**options or {})
    model.compile(optimizer=rule, loss=loss, metrics=["accuracy"])
    if loss == "categorical_crossentropy":
        one_hot = np.eye(widths[-1])
        y, validation_data = one_hot[y], (validation_data[0], one_hot[validation_data[1]])
    history = model.fit(X, y, validation_data=validation_data, shuffle=False, verbose=0, **fit)
    return history.history


def draw_curves(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Train once for each of `SETTINGS`; return each with its curves."""
    n_train = data["n_train"]
    X = np.zeros((N_ROWS, N_COLUMNS), dtype=np.float32)
    for row, columns in enumerate(data["columns"]):
        X[row, columns] = 1
    y = np.array(data["topics"])
    weights = [np.array(array, dtype=np.float32) for array in data["weights"]]
    row_options = {
        None: {},
        "rows": {"sample_weight": np.array(data["sample_weight"])},
        "topics": {"class_weight": data["class_weight"]},
    }
    cases = []
    for setting in SETTINGS:
        options = {name: value for name, value in setting.items() if name != "weighted"}
        curves = keras_history(
            X[:n_train],
            y[:n_train],
            (X[n_train:], y[n_train:]),
            weights,
            epochs=data["epochs"],
            batch_size=data["batch_size"],
            **options,
            **row_options[setting.get("weighted")],
        )
        rounded = {name: np.round(values, 6).tolist() for name, values in curves.items()}
        cases.append({**setting, "history": rounded})
    return cases


def main() -> None:
    """Write the file, one top-level value per line."""
    data = make_up_data()
    data["cases"] = draw_curves(data)
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in data.items()]
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"wrote {TARGET} ({TARGET.stat().st_size:,} bytes)")


if __name__ == "__main__":
    main()
