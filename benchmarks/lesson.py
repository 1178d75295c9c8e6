"""The newswire lesson: its numbers over seeds, its speed against Keras, and its tokenizing.

Nothing but the standard library is imported at the top: memory of child processes is measured.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from data import data_folder
from measure import medians, run_child, run_in_turn, seconds, table, timed

# The lesson's numbers -----------------------------------------------------------------------------


def reproduction(seeds: int = 10) -> str:
    """The lesson's numbers over ten seeds, from `slugline reproduce`."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "slugline", "reproduce", "--seeds", str(seeds)]
        command += ["--out", out, "--json", "--quiet"]
        process, took = timed(partial(subprocess.run, capture_output=True, check=True), command)
    metrics = json.loads(process.stdout)
    bottleneck = metrics["bottleneck"]
    rows = [
        [
            "test accuracy after 8 epochs",
            _mean_and_sd(metrics["retrained"]["test_accuracy"]),
            "0.781",
        ],
        [
            "test accuracy, own best epoch, all 8,982 wires",
            _mean_and_sd(metrics["retrained_on_all"]["test_accuracy"]),
            "-",
        ],
        [
            "best epoch by validation loss",
            f"{sorted(metrics['curves']['best_epoch']['values'])}",
            "8",
        ],
        [
            "bottleneck 64-4: validation peak",
            _mean_and_sd(bottleneck["val_accuracy_peak"]),
            "0.708",
        ],
        ["bottleneck 64-4: test", _mean_and_sd(bottleneck["test_accuracy"]), "-"],
    ]
    rows += [
        [
            f"hidden layers {experiment['hidden']}, 8 epochs: test",
            _mean_and_sd(experiment["test_accuracy"]),
            "-",
        ]
        for experiment in metrics["experiments"]
    ]
    header = ["", f"mean and standard deviation of {seeds} seeds", "the lesson"]
    majority = metrics["baselines"]["majority"]
    return (
        f"`slugline reproduce --seeds {seeds}`, {took:.0f} s. Majority baseline: "
        f"{json.dumps(majority)}.\n\n{table(header, rows)}"
    )


def _mean_and_sd(metric: dict[str, Any]) -> str:
    return f"{metric['mean']:.3f} ± {metric['sd']:.3f}"


# Keras --------------------------------------------------------------------------------------------

EPOCHS, BATCH_SIZE, N_VALIDATION = 8, 512, 1000


def keras(backends: tuple[str, ...] = ("tensorflow", "jax"), runs: int = 5) -> str:
    """Fit time, process time and peak memory of the lesson in Keras and in Slugline."""
    names = {"tensorflow": "Keras on TensorFlow", "jax": "Keras on JAX"}
    with tempfile.TemporaryDirectory() as home:
        # Keras looks for its data here before it downloads them.
        cache = Path(home, "datasets")
        cache.mkdir()
        shutil.copy(data_folder("reuters") / "reuters.npz", cache)
        contenders = {
            names[backend]: partial(
                run_child, "lesson", "fit_with_keras", KERAS_BACKEND=backend, KERAS_HOME=home
            )
            for backend in backends
        }
        contenders["Slugline"] = partial(run_child, "lesson", "fit_with_slugline")
        results = {
            name: medians(metrics) for name, metrics in run_in_turn(contenders, runs).items()
        }
    rows = [
        [
            name,
            f"{metrics['fit_seconds']:.2f} s",
            f"{metrics['process_seconds']:.2f} s",
            f"{metrics['peak_mb']:,.0f} MB",
            f"{metrics['test_accuracy']:.3f}",
        ]
        for name, metrics in results.items()
    ]
    slugline = results.pop("Slugline")
    rows += [
        [
            f"{name} / Slugline",
            *(
                f"{metrics[key] / slugline[key]:.1f}x"
                for key in ("fit_seconds", "process_seconds", "peak_mb")
            ),
            "",
        ]
        for name, metrics in results.items()
    ]
    header = ["", "fit", "whole process", "peak memory", "test accuracy"]
    return (
        f"Load, vectorize, build, fit with validation, evaluate, {EPOCHS} epochs. Medians of "
        f"{runs} fresh processes each, in turn.\n\n{table(header, rows)}"
    )


def fit_with_keras() -> dict[str, float]:
    """Fit as the lesson's notebook does."""
    import numpy as np
    from keras import layers, models
    from keras.datasets import reuters
    from keras.utils import to_categorical

    def vectorize_sequences(sequences: Any, dimension: int = 10000) -> Any:
        results = np.zeros((len(sequences), dimension))
        for i, sequence in enumerate(sequences):
            results[i, sequence] = 1.0
        return results

    (train_data, train_labels), (test_data, test_labels) = reuters.load_data(num_words=10000)
    x_train, x_test = vectorize_sequences(train_data), vectorize_sequences(test_data)
    y_train, y_test = to_categorical(train_labels), to_categorical(test_labels)
    model = models.Sequential(
        [
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(46, activation="softmax"),
        ]
    )
    model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
    fit = partial(_fit, model, x_train, y_train, verbose=0)
    fit_seconds = seconds(fit)
    accuracy = model.evaluate(x_test, y_test, verbose=0)[1]
    return {"fit_seconds": fit_seconds, "test_accuracy": float(accuracy)}


def fit_with_slugline() -> dict[str, float]:
    """Fit the same network in Slugline."""
    from slugline import Dense, Network, reuters
    from slugline.corpus.documents import one_hot
    from slugline.text.sparse import multi_hot

    (train_data, train_labels), (test_data, test_labels) = reuters.load_data(num_words=10_000)
    x_train, x_test = (multi_hot(list(data), 10_000) for data in (train_data, test_data))
    y_train, y_test = one_hot(train_labels), one_hot(test_labels)
    model = Network(
        [Dense(64, "relu"), Dense(64, "relu"), Dense(46, "softmax")],
        optimizer="rmsprop",
        loss="categorical_crossentropy",
    )
    fit_seconds = seconds(partial(_fit, model, x_train, y_train))
    accuracy = model.evaluate(x_test, y_test).accuracy
    return {"fit_seconds": fit_seconds, "test_accuracy": accuracy}


def _fit(model: Any, x_train: Any, y_train: Any, **options: Any) -> None:
    model.fit(
        x_train[N_VALIDATION:],
        y_train[N_VALIDATION:],
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        validation_data=(x_train[:N_VALIDATION], y_train[:N_VALIDATION]),
        **options,
    )


# Tokenizing ---------------------------------------------------------------------------------------

N_REPEATS, N_COLUMNS = 5, 10_000
TOKENIZERS = {
    "CountVectorizer(binary=True).transform": "scikit-learn",
    "Slugline, one thread": "1",
    "Slugline, two threads": "2",
}


def tokenizing(runs: int = 5) -> str:
    """Time of turning the 11,228 newswires into multi-hot rows, beside scikit-learn."""
    contenders = {
        name: partial(run_child, "lesson", "tokenize", tokenizer)
        for name, tokenizer in TOKENIZERS.items()
    }
    results = {name: medians(metrics) for name, metrics in run_in_turn(contenders, runs).items()}
    base = next(iter(results.values()))["seconds"]
    rows = [
        [
            name,
            f"{metrics['seconds']:.3f} s",
            f"{metrics['megabytes'] / metrics['seconds']:.0f} MB/s",
            f"{base / metrics['seconds']:.1f}x",
        ]
        for name, metrics in results.items()
    ]
    return (
        f"From strings to multi-hot CSR rows over 10,000 words. The best of {N_REPEATS} runs; "
        f"medians of {runs} fresh processes.\n\n{table(['', 'time', 'speed', 'ratio'], rows)}"
    )


def tokenize(tokenizer: str) -> dict[str, float]:
    """Tokenize all newswires several times; return the best time."""
    from slugline import reuters
    from slugline.text.feature_groups import FeatureGroup
    from slugline.text.features import Features

    wires = reuters.load_wires("keras")
    texts = [*wires.train.texts, *wires.test.texts]
    if tokenizer == "scikit-learn":
        from sklearn.feature_extraction.text import CountVectorizer

        transform = CountVectorizer(binary=True, max_features=N_COLUMNS).fit(texts).transform
    else:
        words = FeatureGroup("words", "multi-hot", max_terms=N_COLUMNS)
        features = Features([words], n_jobs=int(tokenizer))
        features.fit_transform(texts)
        transform = features.transform

    best = min(seconds(transform, texts) for _ in range(N_REPEATS))
    return {"seconds": best, "megabytes": sum(len(t.encode()) for t in texts) / 1e6}


BENCHMARKS = {"reproduction": reproduction, "keras": keras, "tokenizing": tokenizing}
QUICK = {
    "reproduction": {"seeds": 2},
    "keras": {"backends": ("jax",), "runs": 1},
    "tokenizing": {"runs": 1},
}
