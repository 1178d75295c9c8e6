"""TopicClassifier.partial_fit with word vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_entries import Arrays, change_arrays, rezip, unzip
from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError, ModelFileError
from slugline.learning.encoder.head import DenseHead
from slugline.learning.encoder.head_state import HeadState
from slugline.learning.encoder.rows import encode

TOPICS = ["bank", "grain", "sport"]
# Each word stands in one text, so that words alone know nothing of other texts.
SEEN = {
    "grain": "wheat corn barley harvest cereal crop farmer flour field bread rice seeds millet "
    "grain tractor fertilizer agriculture sowing soybean maize",
    "bank": "loan credit interest debt savings account banker deposit finance currency bond "
    "investor payment money dividend inflation cash shares fund capital",
    "sport": "goal match striker referee player team stadium championship athlete coach league "
    "cup tennis football basketball race winner medal olympic swimming",
}
NEW = ["crops farming", "mortgage lender", "hockey tournament"]
NEW_TOPICS = ["grain", "bank", "sport"]
# Vehicles, which are taught as a meaning of "grain" later on.
VEHICLES = [
    "car",
    "truck",
    "bus",
    "train",
    "bicycle",
    "motorcycle",
    "van",
    "tram",
    "ship",
    "boat",
    "aeroplane",
    "taxi",
]


def documents(start: int = 0, stop: int = 20) -> tuple[list[str], list[str]]:
    """Return texts of one word each, the topics by turns."""
    columns = {topic: words.split() for topic, words in SEEN.items()}
    pairs = [(words[i], topic) for i in range(start, stop) for topic, words in columns.items()]
    texts, topics = zip(*pairs, strict=True)
    return list(texts), list(topics)


def count_known(texts: list[str]) -> int:
    """Return how many texts the table knows."""
    return int(encode(texts, "vectors").any(axis=1).sum())


def learn_batches(size: int = 5, **options: Any) -> TopicClassifier:
    classifier = TopicClassifier(**options)
    for start in range(0, 20, size):
        classifier.partial_fit(*documents(start, start + size), classes=TOPICS)
    return classifier


def head_of(classifier: TopicClassifier) -> DenseHead:
    assert classifier.fitted_.dense is not None
    return classifier.fitted_.dense


def state_of(classifier: TopicClassifier) -> HeadState:
    assert classifier.fitted_.head_state is not None
    return classifier.fitted_.head_state


@pytest.mark.parametrize("size", [1, 5, 20])
def test_partial_fit_knows_words_that_no_document_has(size: int) -> None:
    classifier = learn_batches(size)
    assert classifier.predict(NEW).tolist() == NEW_TOPICS
    assert head_of(classifier).encoder_weight > 0
    assert state_of(classifier).sums.n_rows == count_known(documents()[0])


def test_partial_fit_of_one_document_a_topic_compares_texts_with_these() -> None:
    classifier = TopicClassifier().partial_fit(*documents(0, 1), classes=TOPICS)
    assert head_of(classifier).encoder_weight == 1
    assert classifier.predict(NEW).tolist() == NEW_TOPICS


def test_partial_fit_without_an_encoder_learns_words_alone() -> None:
    classifier = learn_batches(encoder=None)
    assert (classifier.fitted_.dense, classifier.fitted_.head_state) == (None, None)


def test_partial_fit_of_several_topics_learns_words_alone() -> None:
    texts, topics = documents()
    classifier = TopicClassifier().partial_fit(texts, [[topic] for topic in topics], TOPICS)
    assert (classifier.fitted_.dense, classifier.fitted_.head_state) == (None, None)


def test_partial_fit_leaves_texts_that_the_table_does_not_know_to_words() -> None:
    classifier = learn_batches()
    texts, topics = ["मेरा पार्सल", "ऋण ब्याज"], ["grain", "bank"]
    classifier.partial_fit(texts * 5, topics * 5)
    assert state_of(classifier).sums.n_rows == count_known(documents()[0])
    assert classifier.predict(texts).tolist() == topics


def test_partial_fit_of_foreign_documents_learns_words_alone() -> None:
    texts, topics = ["मेरा पार्सल", "ऋण ब्याज", "loan"], ["grain", "bank", "bank"]
    classifier = TopicClassifier().partial_fit(texts, topics, classes=TOPICS)
    assert classifier.fitted_.dense is None
    assert state_of(classifier).sums.n_rows == 1


def test_partial_fit_of_one_topic_does_not_use_vectors_yet() -> None:
    texts = SEEN["grain"].split()
    classifier = TopicClassifier().partial_fit(texts, ["grain"] * 20, classes=TOPICS)
    classifier.partial_fit(["loan"], ["bank"])
    assert classifier.fitted_.dense is None


@pytest.mark.parametrize("is_loaded", [False, True], ids=["fitted", "loaded"])
@pytest.mark.parametrize("start", ["fit", "partial_fit"])
def test_partial_fit_updates_the_vectors_of_a_model(
    start: str, is_loaded: bool, tmp_path: Path
) -> None:
    classifier = TopicClassifier().fit(*documents()) if start == "fit" else learn_batches()
    if is_loaded:
        classifier.save(tmp_path / "a.slug")
        classifier = load(tmp_path / "a.slug")
    before = head_of(classifier).weights.copy()
    for first in range(0, len(VEHICLES), 3):
        vehicles = VEHICLES[first : first + 3]
        classifier.partial_fit(vehicles, ["grain"] * len(vehicles))
    assert not np.array_equal(head_of(classifier).weights, before)
    assert state_of(classifier).sums.n_rows == count_known([*documents()[0], *VEHICLES])
    assert classifier.predict(["lorry", "hockey tournament"]).tolist() == ["grain", "sport"]


def test_saved_model_has_the_sums_from_which_vectors_learn_more(tmp_path: Path) -> None:
    classifier = TopicClassifier().fit(*documents())
    classifier.save(tmp_path / "a.slug")
    loaded = load(tmp_path / "a.slug")
    saved, restored = state_of(classifier).sums, state_of(loaded).sums
    assert saved.n_rows == restored.n_rows
    for name in ("totals", "sums", "products"):
        np.testing.assert_allclose(getattr(restored, name), getattr(saved, name), atol=1e-5)
    loaded.save(tmp_path / "b.slug")
    assert (tmp_path / "b.slug").read_bytes() == (tmp_path / "a.slug").read_bytes()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("totals", lambda totals: -totals),
        ("totals", lambda totals: totals / 100),
        ("totals", lambda totals: totals[:1]),
        ("sums", lambda sums: sums[:, :1].copy()),
        ("products", lambda products: products[1:]),
    ],
    ids=["negative", "too small", "missing topic", "missing columns", "missing product"],
)
def test_load_rejects_sums_that_no_documents_have(name: str, change: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.slug"
    TopicClassifier().fit(*documents()).save(path)
    entries = unzip(path.read_bytes())

    def damage(arrays: Arrays) -> Arrays:
        key = f"encoder_sums.{name}"
        return arrays | {key: np.ascontiguousarray(change(arrays[key]))}

    path.write_bytes(rezip(change_arrays(entries, damage)))
    with pytest.raises(ModelFileError, match="encoder sums"):
        load(path)


def test_partial_fit_rejects_products_that_no_documents_have(tmp_path: Path) -> None:
    path = tmp_path / "a.slug"
    TopicClassifier().fit(*documents()).save(path)

    def damage(arrays: Arrays) -> Arrays:
        key = "encoder_sums.products"
        return arrays | {key: -100 * arrays[key]}

    path.write_bytes(rezip(change_arrays(unzip(path.read_bytes()), damage)))
    classifier = load(path)
    with pytest.raises(DataError) as caught:
        classifier.partial_fit(["car", "goalkeeper"], ["grain", "sport"])
    assert str(caught.value) == (
        "the model's sums of word vectors are inconsistent; train it again."
    )
