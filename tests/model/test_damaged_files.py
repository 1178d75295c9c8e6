"""Damaged model files, generated from whole ones: each is refused in one line, or works."""

from __future__ import annotations

import functools
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load as load_arrays

from model_entries import (
    CARD,
    JSON,
    VOCABULARY,
    WEIGHTS,
    Arrays,
    Entries,
    rezip,
    unzip,
    with_arrays,
    with_info,
)
from slugline.classifier import TopicClassifier, load
from slugline.errors import EncoderError, ModelFileError
from slugline.learning.linear.learner import LinearLearner
from slugline.learning.mixture import Mixture
from slugline.learning.net.learner import NeuralLearner
from slugline.text.feature_groups import FeatureGroup, default_feature_groups
from stand_ins import Meanings

TEXTS = ["wheat and corn rose", "net profit of straße", "zinc — 石油 fell", "profit of wheat"] * 6
TOPICS = ["grain", "earn", "zinc", "earn"] * 6
SETS = [("grain", "corn"), ("earn",), ("zinc",), ("earn", "grain")] * 6
QUESTIONS = ["wheat rose", "", "zinc " * 300 + "\ud800 石油"]
WORDS = {"wheat": 0, "corn": 0, "profit": 1, "zinc": 2}


# Whole files --------------------------------------------------------------------------------------


def _fit(topics: Any = TOPICS, **options: Any) -> TopicClassifier:
    return TopicClassifier(**options).fit(TEXTS, topics)


MODELS: dict[str, Callable[[], TopicClassifier]] = {
    "linear": lambda: _fit(
        feature_groups=default_feature_groups("log-tf-idf"), class_weight={"zinc": 2}
    ),
    "hashed": lambda: _fit(
        feature_groups=[FeatureGroup("words", n_buckets=64), FeatureGroup("bigrams", "counts")]
    ),
    "net": lambda: _fit(learner=NeuralLearner((4, 3), epochs=2), min_precision=0.5),
    "mixture": lambda: _fit(
        learner=Mixture([LinearLearner(), Mixture([NeuralLearner((4,), epochs=2)])])
    ),
    "several topics": lambda: _fit(SETS),
    "encoder": lambda: _fit(encoder=Meanings(WORDS)),
}
QUANTIZED = ("linear", "net")
NAMES = [*MODELS, *(f"{name} int8" for name in QUANTIZED)]


@functools.cache
def good(name: str) -> Entries:
    """Return the entries of a whole model file."""
    kind = name.removesuffix(" int8")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.slug")
        MODELS[kind]().save(path, quantize="int8" if kind != name else None)
        return unzip(path.read_bytes())


# What becomes of a file ---------------------------------------------------------------------------


def refusal(data: bytes) -> str | None:
    """Return why a file is refused; None if it loads and answers with finite numbers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bad.slug")
        path.write_bytes(data)
        try:
            classifier = load(path, Meanings(WORDS))
        except (ModelFileError, EncoderError) as error:
            message = str(error)
            assert message.startswith(str(path))
            assert "\n" not in message
            assert len(message) < 600
            return message.removeprefix(f"{path}: ")
        with np.errstate(over="raise", invalid="raise", divide="raise"):
            proba = classifier.predict_proba(QUESTIONS)
    assert proba.shape == (len(QUESTIONS), len(classifier.classes_))
    assert np.isfinite(proba).all()
    if classifier.fitted_.heldout_predictions is not None:
        dense = classifier.fitted_.heldout_predictions.dense_proba()
        assert np.isfinite(dense).all()
    return None


# Settings -----------------------------------------------------------------------------------------


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value in JSON."""
    if path:
        yield path
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from places(inner, (*path, key))


def parent_of(info: Any, path: tuple[Any, ...]) -> Any:
    return functools.reduce(lambda value, key: value[key], path[:-1], info)


# Objects whose keys are names.
MAY_BE_MISSING = {"versions", "metrics", "class_weight", "descriptions"}
# Weights in the calibration of a learner, which are 0 by default.
WITH_DEFAULT = {"uniform_weight", "high_temperature_weight"}


@pytest.mark.parametrize("name", NAMES)
def test_load_refuses_a_model_without_one_of_its_settings(name: str) -> None:
    info = json.loads(good(name)[JSON])
    accepted = []
    for path in places(info):
        changed = json.loads(good(name)[JSON])
        del parent_of(changed, path)[path[-1]]
        if refusal(rezip(with_info(good(name), changed))) is None:
            accepted.append(path)
    accepted = [path for path in accepted if path[0] not in MAY_BE_MISSING]
    assert [path for path in accepted if path[-1] not in WITH_DEFAULT] == []


@pytest.mark.parametrize("name", NAMES)
def test_load_refuses_a_setting_of_another_type(name: str) -> None:
    info = json.loads(good(name)[JSON])
    accepted = []
    for path in places(info):
        changed = json.loads(good(name)[JSON])
        parent_of(changed, path)[path[-1]] = {"a": ["b"]}
        if refusal(rezip(with_info(good(name), changed))) is None:
            accepted.append(path)
    assert accepted == []


ODD_VALUES = st.sampled_from(
    [
        *(None, True, "", "x", "linear", "characters", "bigrams", "multi-hot", "int8", "float32"),
        *(0, -1, 1, 2, 10**9, 2**63, 2**70, -(10**30), 0.0, -0.5, 1e-320, 1e308),
        *([], {}, [1], ["a"], {"a": 1}, {"kind": "linear"}, {"kind": "mixture", "learners": []}),
    ]
)


@settings(max_examples=80)
@given(st.sampled_from(NAMES), st.data())
def test_load_refuses_odd_settings_or_answers(name: str, data: st.DataObject) -> None:
    info = json.loads(good(name)[JSON])
    path = data.draw(st.sampled_from(list(places(info))))
    place = parent_of(info, path)
    if data.draw(st.booleans()) and isinstance(place[path[-1]], int | float):
        factors = st.sampled_from([-1, 0, 2, 1e-300, 1e300])
        place[path[-1]] = data.draw(st.just(place[path[-1]] + 1) | factors)
    else:
        place[path[-1]] = data.draw(ODD_VALUES)
    refusal(rezip(with_info(good(name), info)))


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (1, "train the model again, or install the Slugline release that saved it"),
        (3, "train the model again, or install the Slugline release that saved it"),
        (5, "upgrade Slugline"),
    ],
)
def test_load_refuses_another_format_and_says_what_to_do(version: int, remedy: str) -> None:
    info = {"format": version}
    message = f"model of format {version}, but this Slugline reads format 4; {remedy}."
    assert refusal(rezip(with_info(good("linear"), info))) == message


# Arrays -------------------------------------------------------------------------------------------

INVALID: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "shorter": lambda array: array[:-1],
    "longer": lambda array: np.concatenate([array, array[-1:]]),
    "empty": lambda array: array[:0],
    "more dimensions": lambda array: array[..., np.newaxis],
    "a scalar": lambda array: array.ravel()[:1].reshape(()),
    "as float64": lambda array: array.astype("f8"),
    "as int64": lambda array: array.astype("i8"),
}
INVALID_FLOATS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "NaN": lambda array: array * np.float32("nan"),
    "infinite": lambda array: np.full(array.shape, np.inf, dtype=array.dtype),
    "too large": lambda array: np.full(array.shape, 3e38, dtype="f4"),
}
# The largest number is no topic, and no number of weights; weights and levels may be as large.
INVALID_INTEGERS = {"the largest": lambda array: np.full_like(array, np.iinfo(array.dtype).max)}


def invalid_arrays(arrays: Arrays) -> Iterator[tuple[str, str, Arrays]]:
    """Yield the arrays of a model with one of them damaged."""
    for name, array in arrays.items():
        others = {other: values for other, values in arrays.items() if other != name}
        yield name, "missing", others
        yield name, "renamed", others | {f"{name}0": array}
        yield name, "twice", arrays | {f"{name}0": array}
        changes = INVALID
        if array.dtype.kind == "f":
            changes = INVALID | INVALID_FLOATS
        elif array.dtype.itemsize > 1:
            changes = INVALID | INVALID_INTEGERS
        for change, function in changes.items():
            with np.errstate(over="ignore"):
                yield name, change, others | {name: function(array)}


@pytest.mark.parametrize("name", NAMES)
def test_load_refuses_an_array_that_is_missing_or_has_another_shape_type_or_range(
    name: str,
) -> None:
    entries = good(name)
    names = load_arrays(entries[WEIGHTS]).keys()
    accepted = [
        (array, change)
        for array, change, arrays in invalid_arrays(load_arrays(entries[WEIGHTS]))
        if refusal(rezip(with_arrays(entries, arrays))) is None
    ]
    assert {*accepted} == (
        {("heldout.row_gaps", "missing")} if "heldout.labels" in names else set()
    )


ARRAY_CHANGES = st.sampled_from(
    [
        *INVALID.values(),
        lambda array: array.ravel(),
        lambda array: np.zeros((0, 2**40), array.dtype),
        lambda array: array.T,
        lambda array: array[::-1],
        lambda array: array * 0,
        lambda array: -array if array.dtype.kind == "f" else array + 1,
        lambda array: array * 0 + array.dtype.type(1),
        lambda array: array * np.float32(1e6) if array.dtype.kind == "f" else array[::-1],
        lambda array: np.where(np.arange(array.size).reshape(array.shape) % 2, array, 0),
        lambda array: array.astype("f2"),
        lambda array: array.astype("i1"),
        lambda array: array.astype("f4") * np.float32(1e-45),
    ]
)


@settings(max_examples=80)
@given(st.sampled_from(NAMES), st.data())
def test_load_refuses_odd_arrays_or_answers(name: str, data: st.DataObject) -> None:
    arrays = load_arrays(good(name)[WEIGHTS])
    chosen = data.draw(st.lists(st.sampled_from(sorted(arrays)), min_size=1, max_size=3))
    change = data.draw(ARRAY_CHANGES)
    for array in chosen:
        with np.errstate(all="ignore"):
            arrays[array] = change(arrays[array])
    refusal(rezip(with_arrays(good(name), arrays)))


# Entries ------------------------------------------------------------------------------------------


def damaged_entries(entries: Entries) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Yield the entries of an archive with one of them damaged."""
    for name, content in entries.items():
        others = [(other, data) for other, data in entries.items() if other != name]
        yield f"without {name}", others
        yield f"{name} twice", [*entries.items(), (name, content)]
        yield f"another {name}", [*others, (f"{name}x", content)]
        if name != CARD:  # which may say anything
            yield f"empty {name}", [*others, (name, b"")]
            yield f"half of {name}", [*others, (name, content[: len(content) // 2])]
            yield f"{name} and more", [*others, (name, content + b"x\n")]
        yield f"{name} that is no text", [*others, (name, b"\xff" + content)]


@pytest.mark.parametrize("name", NAMES)
def test_load_refuses_an_entry_that_is_missing_or_damaged(name: str) -> None:
    files = damaged_entries(good(name))
    assert [change for change, entries in files if refusal(rezip(entries)) is None] == []


def test_load_refuses_a_term_that_is_named_twice() -> None:
    lines = good("linear")[VOCABULARY].split(b"\n")
    n_words = json.loads(good("linear")[JSON])["n_terms"][0]
    accepted = []
    for number in range(n_words - 1):
        repeated = [*lines]
        repeated[number] = lines[number + 1]
        entries = good("linear") | {VOCABULARY: b"\n".join(repeated)}
        if refusal(rezip(entries)) is None:
            accepted.append(number)
    assert accepted == []


@settings(max_examples=80)
@given(st.sampled_from(NAMES), st.integers(0), st.binary(max_size=8), st.booleans())
@example("linear", 0, b"", False)
def test_load_refuses_odd_bytes_or_answers(
    name: str, place: int, inserted: bytes, is_cut: bool
) -> None:
    data = rezip(good(name), zipfile.ZIP_DEFLATED)
    place %= len(data)
    end = b"" if is_cut else data[place + len(inserted) * (place % 2) :]
    refusal(data[:place] + inserted + end)
