"""What an option may be, and what is said where it is something else."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError, OptionError
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features

NAN, INF = float("nan"), float("inf")
TEXTS, TOPICS = ["wheat rose", "goal fell"] * 5, ["grain", "sport"] * 5


@pytest.fixture(scope="module")
def fitted() -> TopicClassifier:
    return TopicClassifier().fit(TEXTS, TOPICS)


def refusal(call: Callable[[], Any]) -> str:
    """Give the message of an error of ours."""
    with pytest.raises((OptionError, DataError)) as caught:
        call()
    return str(caught.value)


def check_message(message: str, name: str) -> None:
    """Check that a message names the parameter, and what to do after what was found."""
    assert f"`{name}" in message
    assert re.fullmatch(r"[^;:]+[;:] .+\.", message, re.DOTALL)
    assert len(message) < 300


WHOLE = ["two", None, 0, -1, 1.5, NAN, True]
# None and -1 are one thread for each core.
N_JOBS = ["two", 0, -2, 1.5, NAN, True]
SHARE = ["x", None, 1, -0.1, NAN, True, [0.5]]
OVER_0 = ["x", None, 0, -1, NAN, INF, True, [1], 1j]
MAKERS: dict[str, tuple[Callable[..., Any], dict[str, list[Any]]]] = {
    "group": (
        FeatureGroup,
        {
            "kind": ["trigrams", None, 3, []],
            "weighting": ["bm25", None, 3, []],
            "weight": OVER_0,
            "max_terms": [value for value in WHOLE if value is not None],
            "min_count": ["two", None, -1, 1.5, True],
            "n_buckets": ["x", 0, -4, 3, 64.0, True, 1 << 30],
        },
    ),
    "features": (
        Features,
        {
            "feature_groups": [[], None, "words", ["words"], FeatureGroup(), [None]],
            "n_jobs": N_JOBS,
        },
    ),
    "linear": (LinearLearner, {"passes": ["two", 0, -1, 1.5, NAN, True], "clean": ["x", None, 1]}),
    "neural": (
        NeuralLearner,
        {
            "hidden": ["64", 64, [0], [1.5], ["a"], [None]],
            "epochs": WHOLE,
            "batch_size": WHOLE,
            "patience": ["x", -1, 1.5, True],
            "validation_fraction": ["x", None, 0, 1, NAN],
            "dropout": SHARE,
            "l2": ["x", None, -1, NAN, INF],
            "optimizer": [None, 5],
            "learning_rate": [value for value in OVER_0 if value is not None],
        },
    ),
    "mixture": (
        lambda **options: Mixture(**{"learners": [LinearLearner()]} | options),
        {
            "learners": [[], None, "linear", [1], ["linear"], [LinearLearner]],
            "weights": ["x", 5, [1, 2], [0], [None], [NAN]],
            "inverse_temperature": OVER_0,
        },
    ),
    "classifier": (
        lambda **options: TopicClassifier(**options).fit(TEXTS, TOPICS),
        {
            "learner": [None, 5, "forest", [], object(), LinearLearner, np.array(["linear"] * 2)],
            "feature_groups": [
                [],
                "words",
                ["words"],
                FeatureGroup(),
                5,
                [None],
                iter([FeatureGroup()]),
            ],
            "class_weight": [
                *("auto", 3, [1], np.array([1, 2]), {"grain": "x"}, {"grain": None}),
                *({"grain": -1}, {"grain": INF}, {"grain": 1e300}, {"grain": [1]}, {"farm": 1}),
                {"grain": 0, "sport": 0},
            ],
            "tune": ["x", None, -1, NAN, INF, [1]],
            "n_jobs": N_JOBS,
            "random_state": ["x", -1, 1.5, 1 << 32, True, np.random.SeedSequence()],
        },
    ),
    "fit": (
        lambda X=TEXTS, y=TOPICS, **more: TopicClassifier().fit(X, y, **more),
        {
            "X": [None, 5],
            "y": [
                *(None, 5, "grain", [None, *TOPICS[1:]], [NAN, *TOPICS[1:]], [[[1]]] * 10),
                *([0.5] * 10, [b"a"] * 10, np.array([[topic] for topic in TOPICS])),
            ],
            "sample_weight": [
                *("abc", 1.0, [1], ["1"] * 10, [None] * 10, [1j] * 10, [[1], [1, 2]] * 5),
                *([-1] * 10, [NAN] * 10, [1e300] * 10, [0] * 10, np.ones((10, 1)), iter([1])),
                [object()] * 10,
            ],
            "validation_data": [(TEXTS, TOPICS)],
            "progress": [5],
        },
    ),
    "fit a net": (
        lambda **more: TopicClassifier(learner=NeuralLearner((4,), 1)).fit(TEXTS, TOPICS, **more),
        {
            "validation_data": [
                *(5, "ab", (TEXTS,), (TEXTS, TOPICS, 1), (None, None), (TEXTS, 5)),
                (["wheat"], ["farm"]),
            ]
        },
    ),
    "partial_fit": (
        lambda **more: TopicClassifier().partial_fit(TEXTS, TOPICS, **more),
        {"classes": [None, 5, "ab", [], [None], [0.5]]},
    ),
}


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        pytest.param(make, name, value, id=f"{what} {name} {number}")
        for what, (make, options) in MAKERS.items()
        for name, values in options.items()
        for number, value in enumerate(values)
    ],
)
def test_constructors_reject_wrong_types_and_values_by_name(
    make: Callable[..., Any], name: str, value: Any
) -> None:
    check_message(refusal(lambda: make(**{name: value})), name)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("path", [None, 5, b"a.slug", "", "\0"]),
        ("metrics", [5, "x", {5: 1.0}, {"a": "x"}, {"a": None}, {"a": NAN}, {"a": True}]),
        ("test_fraction", ["x", 0, 1, -1, NAN, True]),
        ("quantize", ["int4", 5, True]),
        ("card_notes", [None, 5, b"x", "\ud800"]),
    ],
)
def test_save_rejects_values_that_load_would_reject(
    name: str, values: list[Any], fitted: TopicClassifier, tmp_path: Path
) -> None:
    for value in values:
        arguments = {"path": tmp_path / "a.slug"} | {name: value}
        check_message(refusal(partial(fitted.save, **arguments)), name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [None, 5, b"a.slug", "", "\0"])
def test_load_rejects_what_is_no_path(path: Any) -> None:
    check_message(refusal(lambda: load(path)), "path")


@pytest.mark.parametrize("ask", ["predict", "predict_proba", "decision_function"])
@pytest.mark.parametrize("texts", [None, 5])
def test_predict_rejects_what_holds_no_texts(ask: str, texts: Any, fitted: TopicClassifier) -> None:
    check_message(refusal(lambda: getattr(fitted, ask)(texts)), "X")


@pytest.mark.parametrize(
    ("y", "weight", "name"),
    [(TOPICS[:3], None, "y"), (None, None, "y"), (TOPICS, ["x"], "sample_weight")],
)
def test_score_rejects_other_numbers_of_topics_or_weights(
    y: Any, weight: Any, name: str, fitted: TopicClassifier
) -> None:
    check_message(refusal(lambda: fitted.score(TEXTS, y, weight)), name)


def test_score_rejects_no_texts(fitted: TopicClassifier) -> None:
    check_message(refusal(lambda: fitted.score([], [])), "y")


def test_checks_accept_numbers_of_numpy(tmp_path: Path) -> None:
    numpy: Any = np  # whose numbers the hints leave out
    classifier = TopicClassifier(
        learner=LinearLearner(passes=numpy.int64(2), clean=numpy.bool_(True)),
        feature_groups=[FeatureGroup(weight=numpy.float64(1), max_terms=numpy.int64(5))],
        class_weight={"grain": numpy.float32(2)},
        n_jobs=numpy.int8(1),
        random_state=numpy.uint32(3),
    )
    classifier.fit(TEXTS, TOPICS).save(
        tmp_path / "a.slug", metrics={"accuracy": numpy.float32(0.5)}
    )
    assert load(tmp_path / "a.slug").predict(["wheat"]).tolist() == ["grain"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux' /proc")
def test_peak_memory_excludes_the_parent_process() -> None:
    code = "from slugline.base.memory import peak_memory_mb; print(peak_memory_mb())"
    large = (
        f"import subprocess, sys; held = b'.' * 600_000_000\n"
        f"sys.exit(subprocess.run([sys.executable, '-c', {code!r}]).returncode)"
    )
    done = subprocess.run([sys.executable, "-c", large], capture_output=True, text=True, check=True)
    assert 5 < float(done.stdout) < 300
