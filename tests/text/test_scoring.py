"""Scores by the kernel that reads texts in one pass, and step by step in NumPy: the same bits."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import example, given
from hypothesis import strategies as st

from slugline import TopicClassifier
from slugline.base.arrays import F32
from slugline.learning.calibration import DEFAULT_CALIBRATION
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.encoder.head import DenseHead
from slugline.text import scoring
from slugline.text.characters import TRANSLATION
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features
from slugline.text.hashing import PADDING, hash_spans, mix
from slugline.text.scoring import TermWeights, TextScorer, TextScores, VectorWeights, can_score
from slugline.text.sparse import score_rows
from slugline.text.terms import KINDS
from slugline.text.tokens import ChunkSizes
from slugline.text.vector_table import VectorTable
from word_table import TEXT, small_table

needs_kernel = pytest.mark.skipif(
    scoring.kernel is None, reason="the kernel is not built: there was no compiler"
)

GROUPS = (
    FeatureGroup("words", "log-tf-idf", 1.25, n_buckets=1 << 20),
    FeatureGroup("lead", "multi-hot", 0.1, max_terms=50),
    FeatureGroup("bigrams", "tf-idf", 0.3, n_buckets=1 << 20),
    FeatureGroup("characters", "log-tf-idf", 0.7, n_buckets=1 << 16),
    FeatureGroup("characters-2", "counts", 0.7, n_buckets=1 << 16),
    FeatureGroup("characters-3", "log-tf-idf", 0.7, n_buckets=1 << 16),
    FeatureGroup("characters-5", "log-tf-idf", 0.7, n_buckets=1 << 16),
)
TRAINING = [
    "The oil price, prices of opec's oil; l'eau and Öl",
    "石油油价 手机 ราคาน้ำมัน コーヒー नमस्ते مرحبا",
    "don’t naïve nai\u0308ve ΣΑΣ İ \ud800 𠀀𠀁 a a a",
    "x" * 99 + " iPhone手机 " + "é" * 101,
]


def fit_features(groups: Sequence[FeatureGroup] = GROUPS, n_jobs: int = 1) -> Features:
    features = Features(groups, n_jobs=n_jobs)
    features.fit_transform(TRAINING * 2)
    return features


def make_weights(features: Features, n_topics: int, seed: int = 0) -> F32:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((features.n_columns, n_topics)).astype(np.float32)


def csr_arrays(weights: F32) -> TermWeights:
    X = sp.csr_array(weights)
    return X.data, X.indices, X.indptr


def make_head(n_columns: int, n_topics: int) -> DenseHead:
    rng = np.random.default_rng(1)
    return DenseHead(
        encoder=get_encoder("vectors"),
        weights=rng.standard_normal((n_columns, n_topics)).astype(np.float32),
        biases=rng.standard_normal(n_topics).astype(np.float32),
        sparse_factor=0.7,
        calibration=DEFAULT_CALIBRATION,
        encoder_weight=0.5,
    )


def make_vectors(table: VectorTable, n_topics: int) -> tuple[DenseHead, VectorWeights]:
    """Return a head, and its weights for the sums of a table's vectors."""
    head = make_head(table.header.n_columns, n_topics)
    assert head.vector_weights is not None
    return head, head.vector_weights._replace(table=table)


def score_in_arrays(
    features: Features,
    weights: F32 | sp.csr_array,
    texts: Sequence[str],
    vectors: tuple[DenseHead, VectorWeights] | None = None,
) -> TextScores:
    """Return scores without kernels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLUGLINE_KERNEL", "0")
        (batch,) = features.read_parts(texts, None if vectors is None else vectors[1].table)
        scores = score_rows(weights, batch.rows) + make_biases(weights.shape[1])
        if vectors is None:
            return TextScores(scores, batch.words)
        head, (*_, min_known_fraction) = vectors
        has_vectors = head.add_sums(scores, batch.text_sums, min_known_fraction)
    return TextScores(scores, batch.words, has_vectors)


def make_biases(n_topics: int) -> F32:
    return np.linspace(-1, 1, n_topics, dtype=np.float32)


def make_scorer(features: Features, n_topics: int = 4) -> TextScorer:
    return TextScorer(features, csr_arrays(make_weights(features, n_topics)), make_biases(n_topics))


def bits(scored: TextScores) -> list[Any]:
    """Return plain values, equal for equal bits alone."""
    known = None if scored.has_vectors is None else scored.has_vectors.tolist()
    n_known, n_words = scored.words
    return [scored.scores.tobytes(), n_known.tolist(), n_words.tolist(), known]


def assert_same(found: TextScores, expected: TextScores) -> None:
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(found.words, expected.words, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    np.testing.assert_array_equal(found.has_vectors, expected.has_vectors)


@pytest.fixture(scope="module")
def features() -> Features:
    return fit_features()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> VectorTable:
    return small_table(tmp_path_factory.mktemp("table"))


# The same as NumPy ------------------------------------------------------------------------------


@needs_kernel
@given(texts=st.lists(TEXT, max_size=6), n_topics=st.integers(1, 80), has_vectors=st.booleans())
@example(texts=["oil oil " * 600, "a " * 300, ""], n_topics=3, has_vectors=True)
@example(texts=["", " ", "…"], n_topics=8, has_vectors=True)
def test_scorer_scores_as_numpy_does(
    features: Features, table: VectorTable, texts: list[str], n_topics: int, has_vectors: bool
) -> None:
    weights = make_weights(features, n_topics)
    vectors = make_vectors(table, n_topics) if has_vectors else None
    scorer = TextScorer(
        features,
        csr_arrays(weights),
        make_biases(n_topics),
        None if vectors is None else vectors[1],
    )
    expected = score_in_arrays(features, weights, texts, vectors)
    assert_same(scorer.score(texts), expected)
    assert_same(scorer.score(texts), expected)  # from cached words


@needs_kernel
@given(texts=st.lists(TEXT, max_size=4))
def test_scorer_reads_few_weights_as_numpy_does(features: Features, texts: list[str]) -> None:
    weights = make_weights(features, 5)
    weights[np.random.default_rng(0).random(weights.shape) < 0.7] = 0
    scorer = TextScorer(features, csr_arrays(weights), make_biases(5))
    assert_same(scorer.score(texts), score_in_arrays(features, weights, texts))


@needs_kernel
@pytest.mark.parametrize("kind", KINDS)
def test_scorer_scores_by_one_group_as_numpy_does(kind: Any) -> None:
    features = fit_features([FeatureGroup(kind, "log-tf-idf", n_buckets=1 << 12)])
    texts = [*TRAINING, "opec's new oil", "石油"]
    expected = score_in_arrays(features, make_weights(features, 4), texts)
    assert_same(make_scorer(features).score(texts), expected)


@needs_kernel
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_scorer_scores_the_same_in_chunks(n_jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    features = fit_features(n_jobs=n_jobs)
    scorer = make_scorer(features)
    texts = TRAINING * 40
    whole = scorer.score(texts)
    monkeypatch.setattr("slugline.text.tokens.CHUNK_SIZES", ChunkSizes(50, texts_per_step=3))
    parts = list(scorer.score_parts(texts))
    assert len(parts) > 9
    np.testing.assert_array_equal(np.concatenate([part.scores for part in parts]), whole.scores)


@needs_kernel
def test_scorer_returns_an_empty_part_without_texts(features: Features) -> None:
    scorer = make_scorer(features)
    (part,) = scorer.score_parts([])
    assert part.scores.shape == (0, 4)


# What is known of words -------------------------------------------------------------------------


def make_words(n_words: int) -> Iterator[str]:
    return (f"word{number:x}" for number in range(n_words))


@needs_kernel
def test_scorer_scores_the_same_after_more_words_than_it_keeps(
    features: Features, table: VectorTable
) -> None:
    _, vectors = make_vectors(table, 4)
    scorer = TextScorer(features, csr_arrays(make_weights(features, 4)), make_biases(4), vectors)
    expected = bits(scorer.score(TRAINING))
    for first in range(0, 100_000, 20_000):  # more than there are slots
        scorer.score([f"w{number:x}" for number in range(first, first + 20_000)])
        assert bits(scorer.score(TRAINING)) == expected
    scorer.score([" ".join(make_words(50_000))])
    assert bits(scorer.score(TRAINING)) == expected


@needs_kernel
def test_scorer_tells_words_of_one_hash_apart() -> None:
    one, other = find_words_of_one_hash()
    hashes = hash_spans(
        np.frombuffer(one + other + PADDING, dtype=np.uint8), np.array([0, 16]), np.array([16, 16])
    )
    assert one != other
    assert hashes[0] == hashes[1]
    group = ("characters-2", 1 << 16, None, None, 0, None, -1, 0)
    weights = np.random.default_rng(0).standard_normal((1 << 16, 1)).astype(np.float32)

    def make() -> Any:
        groups = ((group, 1 << 16, None, 1.0, ONES),)
        return scoring.kernel.Scorer(groups, -1, csr_arrays(weights), BIASES[:1], None)

    scorer = make()
    alone = [score_bytes(make(), word) for word in (one, other)]
    assert alone[0] != alone[1]
    assert [score_bytes(scorer, word) for word in (one, other, one, other)] == alone * 2


def score_bytes(
    scorer: Any, text: bytes, weigh_count: Any = float, n_topics: int = 1
) -> list[float]:
    """Return the kernel's scores of one text."""
    scores = np.empty((1, n_topics), dtype=np.float32)
    n_known, n_words = np.empty((2, 1), dtype=np.int64)
    reading = text, np.array([len(text)]), TRANSLATION, None, bytes
    scorer.score(*reading, weigh_count, scores, n_known, n_words, np.empty(1, dtype=bool))
    return scores[0].tolist()


def find_words_of_one_hash() -> tuple[bytes, bytes]:
    """Return two words of 16 bytes, in no encoding, that have the same hash."""
    rng = np.random.default_rng(0)

    def number(word: bytes) -> np.ndarray:
        return np.frombuffer(word, dtype="<u8").copy()

    one = b"tomorrow"
    while True:
        other = bytes(rng.integers(128, 256, 8, dtype=np.uint8))
        end = (mix(number(one)) ^ mix(number(other)) ^ number(b"morrow's")).tobytes()
        if min(end) >= 128:
            return one + b"morrow's", other + end


@needs_kernel
def test_scorer_is_used_by_several_threads(features: Features) -> None:
    scorer = make_scorer(features)
    texts = TRAINING * 50
    expected = bits(scorer.score(texts))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: bits(scorer.score(texts)), range(16)))
    assert answers == [expected] * 16


@needs_kernel
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_scorer_is_used_after_a_fork(features: Features) -> None:
    scorer = make_scorer(features)
    expected = bits(scorer.score(TRAINING))
    child = os.fork()
    if not child:  # nothing of pytest may run here
        os._exit(int(bits(scorer.score(TRAINING)) != expected))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert bits(scorer.score(TRAINING)) == expected


# Models -----------------------------------------------------------------------------------------

TEXTS = ["wheat and corn prices rose", "quarterly net profit rose"] * 10
TOPICS = ["grain", "earn"] * 10


@pytest.mark.parametrize("encoder", [None, "vectors"])
def test_fitted_predicts_the_same_without_kernels(
    encoder: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = TopicClassifier(encoder=encoder).fit(TEXTS, TOPICS).fitted_
    texts = [*TRAINING, *TEXTS, "corn profit", ""]
    proba = fitted.predict_proba(texts)
    monkeypatch.setenv("SLUGLINE_KERNEL", "0")
    assert not can_score(fitted.features)
    np.testing.assert_allclose(fitted.predict_proba(texts), proba, atol=1e-5)


def test_fitted_predicts_the_same_after_it_was_pickled() -> None:
    fitted = TopicClassifier().fit(TEXTS, TOPICS).fitted_
    proba = fitted.predict_proba(TEXTS)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(TEXTS), proba)
    np.testing.assert_array_equal(replace(fitted, seed=1).predict_proba(TEXTS), proba)


# What doesn't fit -------------------------------------------------------------------------------

TABLE = ("words", 4, None, None, 0, None, -1, 0)
ONES, BIASES = np.ones(8, dtype=np.float32), np.zeros(2, dtype=np.float32)
GROUP = (TABLE, 4, None, 1.0, ONES)
WEIGHTS = csr_arrays(np.ones((4, 2), dtype=np.float32))
FIT = "arrays that do not fit together"


def csr_parts(n_weights: int, topic: int, starts: Sequence[int]) -> tuple[np.ndarray, ...]:
    return ONES, np.full(n_weights, topic, dtype=np.int32), np.array(starts, dtype=np.int32)


@needs_kernel
@pytest.mark.parametrize(
    ("group", "weights", "vectors", "message"),
    [
        ("words", WEIGHTS, None, "a group is not a tuple"),
        ((TABLE, 4, ONES[:3], 1.0, ONES), WEIGHTS, None, FIT),
        (
            (TABLE, -1, None, 1.0, ONES),
            WEIGHTS,
            None,
            "a group that learns, or of too many columns",
        ),
        (((*TABLE[:6], 1, 0), 4, None, 1.0, ONES), WEIGHTS, None, "a group's tables do not fit"),
        (((*TABLE[:6], 0, 0), 4, None, 1.0, ONES), WEIGHTS, None, "a group that learns, or of too"),
        (GROUP, csr_parts(7, 0, [0] * 5), None, FIT),
        (GROUP, csr_parts(8, 0, [0] * 4), None, FIT),
        (GROUP, ONES, None, "weights are not a tuple"),
        (GROUP, WEIGHTS, "vectors", "vectors are not a tuple"),
        (
            GROUP,
            (ONES.astype(np.float64), *WEIGHTS[1:]),
            None,
            "an array of another type, or not aligned",
        ),
    ],
)
def test_scorer_rejects_arrays_that_do_not_fit(
    group: Any, weights: Any, vectors: Any, message: str
) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the message is compared)
        scoring.kernel.Scorer((group,), -1, weights, BIASES, vectors)
    assert str(caught.value).startswith(message)


@needs_kernel
@pytest.mark.parametrize(
    ("width", "weights", "message"),
    [
        (3, csr_arrays(np.ones((3, 2), dtype=np.float32)), "a column that there is not"),
        (4, csr_parts(8, 2, range(5)), "a weight that there is not"),
        (4, csr_parts(8, 0, [9] * 5), "a weight that there is not"),
    ],
)
def test_scorer_rejects_columns_and_weights_that_there_are_not(
    width: int, weights: Any, message: str
) -> None:
    scorer = scoring.kernel.Scorer(((TABLE, width, None, 1.0, ONES),), -1, weights, BIASES, None)
    with pytest.raises(ValueError, match=message):
        score_bytes(scorer, b"a b c d e f g h", n_topics=2)


@needs_kernel
def test_scorer_raises_an_error_of_the_weight_of_a_count() -> None:
    def fail(*_: object) -> float:
        raise KeyError("callback")

    scorer = scoring.kernel.Scorer((GROUP,), -1, WEIGHTS, BIASES, None)
    with pytest.raises(KeyError, match="callback"):
        score_bytes(scorer, b"a " * 9, fail, n_topics=2)
    with pytest.raises(ValueError, match="a weight below 0"):
        score_bytes(scorer, b"a " * 9, lambda *_: -1, n_topics=2)


@needs_kernel
def test_scorer_rejects_scores_of_another_size() -> None:
    scorer = scoring.kernel.Scorer((GROUP,), -1, WEIGHTS, BIASES, None)
    with pytest.raises(ValueError, match="a table is not of the size that it has to be"):
        score_bytes(scorer, b"a", n_topics=1)
