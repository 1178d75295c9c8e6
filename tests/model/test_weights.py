"""Weights per row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from slugline import FeatureGroup, NeuralLearner, TopicClassifier
from slugline.corpus.documents import Topics
from slugline.corpus.sample_weights import (
    counted_rows,
    row_weights,
    topic_weight_of_rows,
    weight_by_topic,
)
from slugline.errors import DataError, OptionError


def test_row_weights_of_no_weights_are_none() -> None:
    assert row_weights(3, None, None) is None


def test_row_weights_multiply_those_of_row_and_topic() -> None:
    topic_weight = np.array([1, 2, 2], dtype=np.float32)
    assert row_weights(3, [1, 0.5, 0], topic_weight).tolist() == [1, 1, 0]  # type: ignore[union-attr]
    assert row_weights(3, None, topic_weight).tolist() == [1, 2, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1, 2], "`sample_weight` has shape (2,); give one weight for each of the 3 rows."),
        (
            [1, -1, 1],
            "`sample_weight` is -1 in row 1, counted from 0; give numbers from 0 to 3e+38.",
        ),
        (
            [1, np.nan, 1],
            "`sample_weight` is nan in row 1, counted from 0; give numbers from 0 to 3e+38.",
        ),
        (
            [0, 0, 0],
            "every row has zero weight from `sample_weight` and `class_weight`; give some rows a "
            "weight over 0.",
        ),
    ],
    ids=["too few", "negative", "NaN", "zeros"],
)
def test_row_weights_reject_invalid_weights(weight: list[float], message: str) -> None:
    with pytest.raises(DataError) as caught:
        row_weights(3, weight, None)
    assert str(caught.value) == message


def test_row_weights_reject_a_weight_below_zero_and_take_zero() -> None:
    assert row_weights(2, [0, 1], None).tolist() == [0, 1]  # type: ignore[union-attr]
    with pytest.raises(DataError):
        row_weights(2, [-0.01, 1], None)


def test_topic_weights_balanced_give_each_topic_the_same_total() -> None:
    topics, labels = Topics(["a", "b", "c"]), np.array([0, 0, 0, 1, 2, 2])
    weights = topic_weight_of_rows("balanced", topics, labels)
    assert weights is not None
    np.testing.assert_allclose(np.bincount(labels, weights), 2)


def test_topic_weights_balanced_ignore_topics_without_rows() -> None:
    topics, labels = Topics(["a", "b", "c", "d"]), np.array([1, 1, 1, 3])
    weights = topic_weight_of_rows("balanced", topics, labels)
    assert weights is not None
    np.testing.assert_allclose(np.bincount(labels, weights), [0, 2, 0, 2])


def test_topic_weights_of_a_mapping_default_to_one() -> None:
    topics, labels = Topics(["a", "b", "c"]), np.array([2, 0, 1, 2])
    assert topic_weight_of_rows(None, topics, labels) is None
    weights = topic_weight_of_rows({"c": 3, "a": 0.5}, topics, labels)
    assert weights is not None
    assert weights.tolist() == [3, 0.5, 1, 3]
    with pytest.raises(OptionError) as caught:
        topic_weight_of_rows("equal", topics, labels)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "`class_weight` is 'equal'; give None, 'balanced' or a mapping of topic to weight."
    )


@pytest.mark.parametrize("topic", [-1, 3])
def test_class_weights_reject_an_unknown_topic(topic: int) -> None:
    assert weight_by_topic({0: 2, 2: 3}, 3).tolist() == [2, 1, 3]
    with pytest.raises(DataError) as caught:
        weight_by_topic({topic: 1.0}, 3)
    assert str(caught.value) == (f"`class_weight` names topic {topic}, but topics run from 0 to 2.")


# Whole weights are documents ----------------------------------------------------------------------

RNG = np.random.default_rng(0)
WORDS = [f"word{n}" for n in range(40)]
FEW = [" ".join(RNG.choice(WORDS[5 * k : 5 * k + 20], 6)) for k in RNG.integers(0, 4, 120).tolist()]
FEW_TOPICS = [f"t{min(int(text.split()[0][4:]) // 10, 3)}" for text in FEW]
WHOLE = RNG.integers(0, 4, len(FEW))
LEARNERS: dict[str, Any] = {
    "linear": "linear",
    "network": NeuralLearner((8,), epochs=2),
    "vocabulary": "linear",
}


def make(name: str, **settings: Any) -> TopicClassifier:
    feature_groups = (
        [FeatureGroup("words", max_terms=30, min_count=3)] if name == "vocabulary" else None
    )
    return TopicClassifier(
        learner=LEARNERS[name], feature_groups=feature_groups, n_jobs=1, **settings
    )


def file_bytes(classifier: TopicClassifier, path: Path) -> bytes:
    classifier.save(path / "model.slug")
    return (path / "model.slug").read_bytes()


def repeated(values: Sequence[Any], weights: npt.NDArray[Any]) -> list[Any]:
    return [value for value, n in zip(values, weights.tolist(), strict=True) for _ in range(int(n))]


@pytest.mark.parametrize("name", LEARNERS)
def test_sample_weight_of_whole_numbers_equals_repeated_documents(
    name: str, tmp_path: Path
) -> None:
    weighted = make(name).fit(FEW, FEW_TOPICS, WHOLE)
    by_hand = make(name).fit(repeated(FEW, WHOLE), repeated(FEW_TOPICS, WHOLE))
    assert file_bytes(weighted, tmp_path) == file_bytes(by_hand, tmp_path)
    assert weighted.fitted_.n_learned == WHOLE.sum()


def test_min_precision_counts_whole_weights(tmp_path: Path) -> None:
    weighted = make("linear", min_precision=0.6).fit(FEW, FEW_TOPICS, WHOLE)
    by_hand = make("linear", min_precision=0.6).fit(
        repeated(FEW, WHOLE), repeated(FEW_TOPICS, WHOLE)
    )
    assert file_bytes(weighted, tmp_path) == file_bytes(by_hand, tmp_path)


def test_sample_weight_equals_copies_in_any_order() -> None:
    weighted = make("linear").fit(FEW, FEW_TOPICS, WHOLE)
    rows = np.repeat(np.arange(len(FEW)), WHOLE)
    at_the_end = np.concatenate([np.unique(rows), np.delete(rows, np.unique(rows, True)[1])])
    other = make("linear").fit(
        [FEW[row] for row in at_the_end], [FEW_TOPICS[row] for row in at_the_end]
    )
    assert np.array_equal(weighted.predict_proba(FEW), other.predict_proba(FEW))


@pytest.mark.parametrize("size", [1, 6], ids=["few", "many"])
@pytest.mark.parametrize("name", LEARNERS)
def test_sample_weight_of_zero_leaves_a_document_out(name: str, size: int, tmp_path: Path) -> None:
    texts, topics = FEW * size, FEW_TOPICS * size
    weights = np.tile(np.where(WHOLE == 0, 0, 0.5 + WHOLE), size)
    weighted = make(name).fit([*texts, "rare words"], [*topics, "rare"], [*weights, 0])
    kept = weights > 0
    by_hand = make(name).fit(repeated(texts, kept), repeated(topics, kept), weights[kept])
    assert file_bytes(weighted, tmp_path) == file_bytes(by_hand, tmp_path)


def test_sample_weight_of_zero_leaves_out_a_document_of_several_topics(tmp_path: Path) -> None:
    sets = [[topic, "all"] for topic in FEW_TOPICS]
    weighted = make("linear").fit(FEW, sets, WHOLE)
    by_hand = make("linear").fit(repeated(FEW, WHOLE), repeated(sets, WHOLE))
    assert file_bytes(weighted, tmp_path) == file_bytes(by_hand, tmp_path)


def test_sample_weight_of_zero_leaves_a_document_out_of_a_batch(tmp_path: Path) -> None:
    classes = sorted(set(FEW_TOPICS))
    weighted = make("linear").partial_fit(FEW, FEW_TOPICS, classes, WHOLE)
    kept = WHOLE > 0
    by_hand = make("linear").partial_fit(
        repeated(FEW, kept), repeated(FEW_TOPICS, kept), classes, WHOLE[kept]
    )
    assert file_bytes(weighted, tmp_path) == file_bytes(by_hand, tmp_path)


def test_counted_rows_repeat_only_few_rows_of_whole_weights() -> None:
    rows, weights = counted_rows(3, [2, 0, 1], max_rows=3)
    assert (rows.tolist(), weights) == ([0, 0, 2], None)
    for given, most in (([2, 0, 1], 2), ([2, 0, 1.5], 9)):
        rows, weights = counted_rows(3, given, most)
        assert weights is not None
        assert (rows.tolist(), weights.tolist()) == ([0, 2], [2, given[2]])
    assert counted_rows(2, [0, 0], max_rows=9)[0].tolist() == [0, 1]


def test_sample_weight_error_names_the_row_as_given() -> None:
    with pytest.raises(DataError, match="`sample_weight` is -1 in row 2, counted from 0"):
        TopicClassifier().fit(["a", "b", "c"], ["x", "y", "x"], [0, 1, -1])
