"""`fit_stream` with word vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from slugline.base.arrays import F32
from slugline.classifier import TopicClassifier
from slugline.learning.encoder.class_sums import UNIT, ClassSums
from slugline.learning.encoder.encoder import default_encoder
from slugline.learning.encoder.head_state import HeadState
from slugline.learning.encoder.rows import encode
from slugline.model.parts import vectors
from slugline.model.parts.fit import StreamOptions
from slugline.model.parts.heldout import N_KEYS, max_heldout_rows
from slugline.model.parts.vectors import VectorBlock, VectorStatistics

# Each word stands in one text, so that words alone know nothing of other texts.
SEEN = {
    "grain": "wheat corn barley harvest cereal crop farmer flour field bread rice seeds millet "
    "grain tractor fertilizer agriculture sowing soybean maize",
    "bank": "loan credit interest debt savings account banker deposit finance currency bond "
    "investor payment money dividend inflation cash shares fund capital",
    "sport": "goal match striker referee player team stadium championship athlete coach league "
    "cup tennis football basketball race winner medal olympic swimming",
}
DOCUMENTS = [(word, topic) for topic, words in SEEN.items() for word in words.split()]
NEW = ["crops farming", "mortgage lender", "hockey tournament"]


def batches(documents: list[tuple[str, str]]) -> Iterator[tuple[list[str], list[str]]]:
    for first in range(0, len(documents), 7):
        texts, topics = zip(*documents[first : first + 7], strict=True)
        yield list(texts), list(topics)


def learn(
    documents: list[tuple[str, str]] = DOCUMENTS, rows_per_block: int = 20, **options: Any
) -> TopicClassifier:
    stream_options = StreamOptions(rows_per_block=rows_per_block)
    return TopicClassifier(**{"n_jobs": 1} | options).fit_stream(batches(documents), stream_options)


def state_of(classifier: TopicClassifier) -> HeadState:
    assert classifier.fitted_.head_state is not None
    return classifier.fitted_.head_state


def weights_of(classifier: TopicClassifier) -> F32:
    assert classifier.fitted_.dense is not None
    return classifier.fitted_.dense.weights


def test_fit_stream_knows_words_that_no_document_has() -> None:
    assert learn().predict(NEW).tolist() == ["grain", "bank", "sport"]


def test_fit_stream_sums_the_vectors_of_all_documents() -> None:
    classifier = learn()
    rows = encode([text for text, _ in DOCUMENTS], "vectors")
    y = classifier.fitted_.topics.encode([topic for _, topic in DOCUMENTS])
    is_known = rows.any(axis=1)
    expected = ClassSums.from_rows(rows[is_known], y[is_known], 3)
    for name in ("n_rows", "totals", "sums", "products"):
        np.testing.assert_array_equal(
            getattr(state_of(classifier).sums, name), getattr(expected, name)
        )


@pytest.mark.parametrize("rows_per_block", [1, 7, 1000])
def test_fit_stream_sums_the_same_bits_in_blocks_of_any_size(rows_per_block: int) -> None:
    one, other = learn(), learn(rows_per_block=rows_per_block)
    for name in ("totals", "sums", "products"):
        np.testing.assert_array_equal(
            getattr(state_of(one).sums, name), getattr(state_of(other).sums, name)
        )
    np.testing.assert_allclose(weights_of(one), weights_of(other), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("n_jobs", [2, 8])
def test_fit_stream_learns_the_same_vector_weights_with_any_number_of_threads(n_jobs: int) -> None:
    np.testing.assert_array_equal(weights_of(learn()), weights_of(learn(n_jobs=n_jobs)))


def test_partial_fit_goes_on_after_fit_stream() -> None:
    classifier = learn()
    n_rows = state_of(classifier).sums.n_rows
    classifier.partial_fit(["car", "train", "boat"], ["sport"] * 3)
    assert state_of(classifier).sums.n_rows == n_rows + 3


@pytest.mark.parametrize("weight", [{"grain": 3.0}, "balanced"], ids=str)
def test_fit_stream_weights_topics_of_vectors(weight: Any) -> None:
    documents = DOCUMENTS[:20] + DOCUMENTS[20:30] + DOCUMENTS[40:]
    plain, weighted = learn(documents), learn(documents, class_weight=weight)
    counts = {"bank": 10, "grain": 20, "sport": 20}
    expected = [1, 3, 1] if weight != "balanced" else [50 / 3 / n for n in counts.values()]
    totals = state_of(plain).sums.totals
    np.testing.assert_allclose(state_of(weighted).sums.totals, totals * expected)
    assert weighted.predict(NEW).tolist() == ["grain", "bank", "sport"]


def test_fit_stream_of_many_documents_keeps_vectors_only_if_they_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vectors, "MAX_WITHOUT_TRIAL", 10)
    assert learn().fitted_.dense is not None
    # Each text names its topic in words that the table doesn't know, beside words of any topic.
    unknown = [
        (f"{DOCUMENTS[17 * i % 60][0]} {topic[::-1]}qxz", topic)
        for i, (_, topic) in enumerate(DOCUMENTS * 3)
    ]
    assert learn(unknown).fitted_.dense is None


def test_vector_statistics_keep_the_rows_that_may_be_held_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = default_encoder()
    assert encoder is not None
    monkeypatch.setattr(vectors, "_MIN_CANDIDATES", 100)
    n_topics, n_documents, n_columns = 600, 1000, 96
    rng, statistics = np.random.default_rng(0), VectorStatistics(encoder)
    keys = rng.integers(0, N_KEYS, (10, n_documents), dtype=np.uint64, endpoint=False)
    rows = rng.integers(-UNIT, UNIT, (10, n_documents, n_columns)).astype(np.int16)
    sums = ClassSums.empty(n_topics, n_columns)
    for block_keys, block_rows in zip(keys, rows, strict=True):
        positions = np.flatnonzero(block_keys < N_KEYS // 5)
        block = VectorBlock(
            sums, tuple(range(n_topics)), positions, block_keys[positions], block_rows[positions]
        )
        statistics.add(block, n_documents)
    n_heldout = max_heldout_rows(n_topics, multilabel=False)
    heldout = np.flatnonzero(keys.ravel() < N_KEYS * n_heldout // keys.size)
    expected = rows.reshape(-1, n_columns)[heldout] / UNIT
    present, found = statistics.heldout_rows(heldout)
    np.testing.assert_array_equal(present, np.arange(len(heldout)))
    np.testing.assert_array_equal(found, expected.astype(np.float32))
    present, found = statistics.heldout_rows(np.arange(keys.size))
    np.testing.assert_array_equal(present, heldout)


@pytest.mark.parametrize("rows_per_block", [13, 1000])
def test_vector_statistics_keep_the_rows_of_few_documents(
    rows_per_block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_MIN_CANDIDATES", 40)
    seen: list[int] = []
    find = VectorStatistics.heldout_rows

    def count(statistics: VectorStatistics, rows: np.ndarray) -> tuple[np.ndarray, F32]:
        present, found = find(statistics, rows)
        seen.append(len(present))
        return present, found

    monkeypatch.setattr(VectorStatistics, "heldout_rows", count)
    learn(rows_per_block=rows_per_block)
    learn(DOCUMENTS[:30], rows_per_block=rows_per_block)
    assert 30 < seen[0] < 50  # of 60
    assert seen[1] == 30
