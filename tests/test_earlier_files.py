"""Model files of format 1, made by hand: how they answer, learn on, and are saved again."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save
from scipy.special import softmax

from slugline.classifier import TopicClassifier, load
from slugline.errors import ModelFileError
from slugline.model.file.schema import FORMAT
from slugline.text.columns import Buckets

WORDS, PAIRS = ["wheat", "goal", "don't"], ["wheat crop", "a –"]
IDF = [np.array([1.0, 1.5, 2.0], dtype=np.float32), np.array([1.25, 1.75], dtype=np.float32)]
WEIGHTS = np.array([[1, -1], [-1, 1], [0, 0.5], [0.5, -0.5], [0, 0]], dtype=np.float32)
BIASES = np.array([-0.25, -0.5], dtype=np.float32)
SHARPNESS = 3.0


def block(kind: str, weight: float, n_terms: int, **more: Any) -> dict[str, Any]:
    block = {"kind": kind, "weighting": "log-tf-idf", "weight": weight}
    return block | {"max_terms": None, "min_count": 1, "n_terms": n_terms} | more


def write_file(path: Path, blocks: list[dict[str, Any]], arrays: dict[str, Any]) -> Path:
    """Write a linear model of format 1 of the topics "grain" and "sport"."""
    info = {
        "format": 1,
        "kind": "topic-classifier",
        "topics": ["grain", "sport"],
        "blocks": blocks,
        "learner": {
            "kind": "linear",
            "C": 0.5,
            "clean": True,
            "sharpness": SHARPNESS,
            "n_left_out": 4,
        },
        "seed": 3,
        "class_weight": None,
        "versions": {"slugline": "0.1.0"},
        "data_digest": "0" * 64,
        "n_documents": 20,
        "metrics": {"test_accuracy": 0.75},
        "n_batches": 0,
    }
    terms = [*WORDS, *PAIRS][: sum(block["n_terms"] for block in blocks)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.json", json.dumps(info))
        archive.writestr("weights.safetensors", save(arrays))
        archive.writestr("vocabulary.txt", "".join(f"{term}\n" for term in terms))
        archive.writestr("card.md", "A card.")
    return path


@pytest.fixture
def old(tmp_path: Path) -> TopicClassifier:
    """Read a model of words and of pairs, one of which no text has any more."""
    blocks = [block("words", 1.0, len(WORDS)), block("bigrams", 0.5, len(PAIRS), n_buckets=None)]
    arrays = {"learner.weights": WEIGHTS, "learner.biases": BIASES}
    arrays |= {f"idf.{number}": idf for number, idf in enumerate(IDF)}
    return load(write_file(tmp_path / "old.slug", blocks, arrays))


def test_a_linear_model_answers_as_it_did(old: TopicClassifier) -> None:
    words = np.array([1 + np.log(2), 1.5, 0])  # "wheat" twice
    row = np.concatenate([words / np.linalg.norm(words), [0.5, 0]]) / np.hypot(1, 0.5)
    rows = np.array([row, np.zeros(5)])
    scores = rows @ WEIGHTS + BIASES

    texts = ["Wheat crop, wheat: goal!", "..."]
    np.testing.assert_allclose(old.features_.transform(texts).toarray(), rows, rtol=1e-6)
    # No doubt is left: there was none.
    np.testing.assert_allclose(
        old.predict_proba(texts), softmax(SHARPNESS * scores, axis=1), rtol=1e-5
    )
    assert old.classes_.tolist() == ["grain", "sport"]
    assert old.info_.format == 1
    assert old.card_ == "A card."


def test_it_is_saved_again_in_the_newest_format_and_answers_the_same(
    old: TopicClassifier, tmp_path: Path
) -> None:
    old.save(tmp_path / "new.slug")
    again = load(tmp_path / "new.slug")
    assert (again.info_.format, again.info_.apart) == (FORMAT, True)
    texts = ["wheat crop", "a goal", "don’t"]
    assert np.array_equal(again.predict_proba(texts), old.predict_proba(texts))


def test_it_learns_on_over_its_own_words(old: TopicClassifier) -> None:
    for _ in range(30):
        old.partial_fit(["wheat zebra", "goal"] * 10, ["sport", "grain"] * 10)
    assert old.predict(["wheat", "goal"]).tolist() == ["sport", "grain"]
    assert [list(v.terms) for v in old.features_.vocabularies_] == [WORDS, PAIRS]


def test_buckets_without_terms_have_a_column_each(tmp_path: Path) -> None:
    blocks = [block("words", 1.0, 0, n_buckets=8)]
    weights = np.arange(16, dtype=np.float32).reshape(8, 2) % 3
    idf = np.ones(8, dtype=np.float32)
    arrays = {"learner.weights": weights, "learner.biases": BIASES, "idf.0": idf}
    old = load(write_file(tmp_path / "old.slug", blocks, arrays))
    (columns,) = old.features_.vocabularies_
    assert type(columns) is Buckets
    column = columns.transform(["zebra"]).indices[0]
    scores = (weights[column] + BIASES)[np.newaxis]
    np.testing.assert_allclose(
        old.predict_proba(["zebra"]), softmax(SHARPNESS * scores, axis=1), rtol=1e-5
    )


def rewritten(path: Path, change: Any, arrays: dict[str, Any]) -> Path:
    """Change the settings of the learner in a file, and give it these arrays."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    info = json.loads(entries["model.json"])
    info["learner"] = change(info["learner"])
    entries |= {"model.json": json.dumps(info).encode(), "weights.safetensors": save(arrays)}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


ONE_BLOCK = [block("words", 1.0, 3) | {"weighting": "counts"}]
DENSE = {"learner.weights": WEIGHTS[:3], "learner.biases": BIASES}


def test_linear_models_within_a_mixture_answer_as_they_did(tmp_path: Path) -> None:
    path = write_file(tmp_path / "old.slug", ONE_BLOCK, DENSE)
    texts = ["wheat goal", "don't", ""]
    alone = load(path).decision_function(texts)
    arrays = {
        f"learner.{place}.{name}": array
        for place in ("0", "1.0")
        for name, array in (("weights", WEIGHTS[:3]), ("biases", BIASES))
    }

    def mixed(linear: Any) -> Any:
        inner = {"kind": "mixture", "learners": [linear], "shares": None, "sharpness": 1.0}
        return inner | {"learners": [linear, inner]}

    mixture = load(rewritten(path, mixed, arrays))
    # Both learners are the same one.
    classes = (alone > 0).astype(int)
    assert np.array_equal(mixture.predict_proba(texts).argmax(axis=1), classes)
    mixture.save(tmp_path / "new.slug")
    again = load(tmp_path / "new.slug")
    assert np.array_equal(again.predict_proba(texts), mixture.predict_proba(texts))


DAMAGE: dict[str, tuple[dict[str, Any], Any]] = {
    "no weights": ({"learner.biases": BIASES}, None),
    "weights of one dimension": (DENSE | {"learner.weights": WEIGHTS[0]}, None),
    "weights of three dimensions": (DENSE | {"learner.weights": WEIGHTS[np.newaxis, :3]}, None),
    "a column too many": (DENSE | {"learner.weights": WEIGHTS[:3].repeat(2, axis=1)}, None),
    "a row too many": (DENSE | {"learner.weights": WEIGHTS[:4]}, None),
    "sparse weights as well": (
        DENSE | {"learner.weights.extra": np.ones(3, dtype=np.float32)},
        None,
    ),
    "a mixture of numbers": (DENSE, lambda _: {"kind": "mixture", "learners": [5]}),
    "a mixture of nothing": (DENSE, lambda _: {"kind": "mixture"}),
    "a mixture that is no list": (DENSE, lambda one: {"kind": "mixture", "learners": one}),
    "no kind": (DENSE, lambda _: {}),
}


@pytest.mark.parametrize(("arrays", "change"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_files_are_refused(arrays: dict[str, Any], change: Any, tmp_path: Path) -> None:
    path = write_file(tmp_path / "old.slug", ONE_BLOCK, DENSE)
    assert load(path).predict(["wheat"]).tolist() == ["grain"]
    arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    rewritten(path, change or dict, arrays)
    with pytest.raises(ModelFileError, match=r": damaged \(.*\); get an intact copy\.$"):
        load(path)
