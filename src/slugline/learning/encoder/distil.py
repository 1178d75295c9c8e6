"""Distils an encoder to vectors of words.

Each word of the training and unlabelled texts is encoded as a text of its own. With enough
unlabelled texts, the vectors are then refitted by ridge regression, so that the sums of texts come
close to the encoder's rows of these texts. Labelled texts have no part in that, as heads are
measured on them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from slugline.base.arrays import F32, F64
from slugline.base.progress import Progress
from slugline.learning.encoder.distilled import MAX_WORDS, DistillationRecord, DistilledEncoder
from slugline.learning.encoder.encoder import CheckedEncoder
from slugline.learning.encoder.rows import encode
from slugline.text.characters import find_scripts, find_unspaced
from slugline.text.sparse import row_lengths, row_offsets
from slugline.text.tokens import find_words
from slugline.text.vector_sums import find_vectors
from slugline.text.vector_table import MAX_WORD_BYTES, VectorTable, pack_table, read_table
from slugline.text.word_vectors import open_table

#: The number of columns of a table.
N_COLUMNS = 128
# With fewer unlabelled texts, vectors are those of single words.
_MIN_TEXTS = 100
# Words of the built-in table that texts lack get the vectors that a ridge regression from their
# built-in ones predicts; its penalty is this multiple of the mean square of a column.
_WORD_PENALTY = 0.1
# Multiples of the mean square of a column, or of the mean squared length of a row, that are tried
# as penalties.
_MAP_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_RIDGE_PENALTIES = (1.0, 3.0, 10.0, 30.0)
# The fraction of unlabelled texts by which the penalty of the second regression is chosen.
_HELDOUT_FRACTION = 0.2
# Steps of conjugate gradients: more change no digit that four bits can hold.
_N_STEPS = 40
# A word of probability p counts a / (a + p); see `tools/make_word_vectors.py`.
_A = 1e-3
# The rank of the most frequent word, and the power of counts that weighs words for components.
_FIRST_RANK, _COMPONENT_POWER = 10, 0.5
_LEAST = 1e-9
# As in the table that comes with Slugline.
_SHORTEST_PIECE, _SHORTEST_UNSPACED_PIECE, _LONGEST_PIECE = 2, 1, 16


# Words --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _WordCounts:
    """Words of texts and of the built-in table, and how often they occur in texts.

    Attributes
    ----------
    words : list of str
        The words of texts come first, the most frequent ones first.
    X : sparse float32 array, shape (n_texts, n_words)
        Words that a table finds in texts, pieces of words included.
    """

    words: list[str]
    X: sp.csr_array

    @classmethod
    def count(cls, texts: Sequence[str]) -> _WordCounts:
        """Count the words of texts."""
        distinct, numbers = find_words(texts).distinct
        counts = np.bincount(numbers, minlength=len(distinct))
        order = np.argsort(-counts, kind="stable").tolist()
        of_texts = [distinct.word(number) for number in order]
        scripts = frozenset(itertools.chain.from_iterable(map(find_scripts, of_texts)))
        words = dict.fromkeys(filter(_may_be_entry, of_texts))
        words |= {word: None for word in open_table() if find_scripts(word) <= scripts}
        first = list(words)[:MAX_WORDS]
        empty = np.zeros((len(first), 8), dtype=np.float32)
        return cls(first, _find_in_texts(read_table(_pack(first, empty)), texts))


def _may_be_entry(word: str) -> bool:
    """Return whether a word of a text may be in a table.

    In scripts without spaces, what is between punctuation counts as a word; of those, the table has
    only pieces.
    """
    return len(word.encode("utf-8", "replace")) <= MAX_WORD_BYTES and not find_unspaced(word)


def _find_in_texts(table: VectorTable, texts: Sequence[str]) -> sp.csr_array:
    """Return how often each word of a table is found in texts."""
    words = find_words(texts)
    found = find_vectors(table, words).spans
    documents = np.repeat(np.arange(len(texts)), row_lengths(words.indptr))[found.owners]
    indptr = row_offsets(np.bincount(documents, minlength=len(texts)))
    ones = np.ones(len(found.rows), dtype=np.float32)
    X = sp.csr_array((ones, found.rows, indptr), shape=(len(texts), table.header.n_words))
    X.sum_duplicates()
    return X


def _pack(words: Sequence[str], vectors: F32) -> bytes:
    return pack_table(
        words,
        vectors,
        version=1,
        languages=(),
        shortest_piece=_SHORTEST_PIECE,
        shortest_unspaced_piece=_SHORTEST_UNSPACED_PIECE,
        longest_piece=_LONGEST_PIECE,
    )


# Vectors ------------------------------------------------------------------------------------------


def distil_encoder(
    teacher: CheckedEncoder,
    texts: Sequence[str],
    unlabelled: Sequence[str],
    *,
    n_jobs: int | None,
    progress: Progress,
) -> DistilledEncoder:
    """Return word vectors that were distilled from an encoder.

    Parameters
    ----------
    teacher : CheckedEncoder
    texts, unlabelled : sequence of str
        Texts whose words are encoded. Sums are fitted to the rows of unlabelled texts only.
    n_jobs : int or None
    progress : Progress
    """
    counted = _WordCounts.count([*texts, *unlabelled])
    totals = np.asarray(counted.X.sum(axis=0), dtype=np.float64).ravel()
    used = np.flatnonzero(totals)
    words = [counted.words[number] for number in used.tolist()]
    encoded = encode(words, teacher, n_jobs=n_jobs, progress=progress)
    is_refitted = len(unlabelled) >= _MIN_TEXTS
    rows = (
        encode(unlabelled, teacher, n_jobs=n_jobs, progress=progress)
        if is_refitted
        else np.zeros((0, encoded.shape[1]), dtype=np.float32)
    )
    # With one thread, as the last bits depend on the number of threads.
    with threadpool_limits(1, "blas"):
        columns = _single_vectors(counted.words, encoded, totals)
        X = counted.X[len(texts) :] if is_refitted else counted.X
        X, columns = _scale_texts(X, columns)
        vectors = _refit(X, columns, rows) if is_refitted else _project(columns)
    width = -(-vectors.shape[1] // 8) * 8
    vectors = np.pad(vectors, ((0, 0), (0, width - vectors.shape[1])))
    record = DistillationRecord(teacher.name, len(unlabelled))
    return DistilledEncoder(_pack(counted.words, vectors), record)


def _single_vectors(words: Sequence[str], encoded: F32, totals: F64) -> F32:
    """Return columns of each word by the encoder, then those of the built-in table.

    `encoded` has the rows of those words that occur in texts, with `totals` over 0.
    """
    used = np.flatnonzero(totals)
    built_in = open_table().sum_texts(words).sums
    mean = np.average(encoded, axis=0, weights=totals[used]).astype(np.float32)
    weights = _word_weights(words, built_in, totals)
    known = _unit(encoded - mean) * weights[used, np.newaxis]
    squares = built_in[used].T @ built_in[used]
    penalty = _WORD_PENALTY * max(float(np.trace(squares)) / len(squares), _LEAST)
    to_encoded = np.linalg.solve(
        squares + np.float32(penalty) * np.eye(len(squares), dtype=np.float32),
        built_in[used].T @ known,
    )
    own = built_in @ to_encoded
    own[used] = known
    return np.hstack([own, built_in]).astype(np.float32)


def _word_weights(words: Sequence[str], built_in: F32, totals: F64) -> F32:
    """Return how much each word counts: the length of its built-in vector if it has one.

    That length says how much a word tells of a text; other words count by their frequency.
    """
    lengths = np.linalg.norm(built_in, axis=1)
    has_own = open_table().table.find_rows(find_words(words).hashes) >= 0
    mean = float(lengths[has_own].mean()) if has_own.any() else 1.0
    by_frequency = mean * _A / (_A + totals / totals.sum())
    return np.where(has_own, lengths, by_frequency).astype(np.float32)


def _scale_texts(X: sp.csr_array, columns: F32) -> tuple[sp.csr_array, F32]:
    """Return texts whose sums have unit length, and columns whose two groups weigh the same."""
    n_built_in = open_table().n_columns
    sums = X @ columns
    for group in (slice(0, -n_built_in), slice(-n_built_in, None)):
        mean_square = float(np.square(sums[:, group]).sum(axis=1).mean())
        columns[:, group] /= np.float32(np.sqrt(max(mean_square, _LEAST)))
    lengths = np.maximum(np.linalg.norm(X @ columns, axis=1), _LEAST)
    return sp.csr_array(sp.diags_array((1 / lengths).astype(np.float32)) @ X), columns


def _project(columns: F32) -> F32:
    """Return principal components of the words, of which the frequent ones come first."""
    # Words of texts are too few to find components: frequencies are those of Zipf's law.
    counts = 1 / (np.arange(len(columns)) + _FIRST_RANK)
    weights = (counts**_COMPONENT_POWER).astype(np.float32)
    mean = np.average(columns, axis=0, weights=weights).astype(np.float32)
    sample = (columns - mean) * np.sqrt(weights)[:, np.newaxis]
    return columns @ _components(sample, min(N_COLUMNS, columns.shape[1]))


def _components(rows: F32, n: int) -> F32:
    """Return the first eigenvectors of the rows' scatter matrix, as columns."""
    components = np.linalg.eigh(rows.T.astype(np.float64) @ rows)[1][:, ::-1][:, :n]
    largest = np.abs(components).argmax(axis=0)
    signs = np.sign(components[largest, np.arange(components.shape[1])])  # they are arbitrary
    return (components * signs).astype(np.float32)


# Regression ---------------------------------------------------------------------------------------


def _refit(X: sp.csr_array, columns: F32, rows: F32) -> F32:
    """Return vectors whose sums come close to the encoder's rows of texts.

    A linear map of `columns` comes first, which also gives vectors to words that no text has. Then
    each word of texts gets a difference of its own.
    """
    targets = rows - rows.mean(axis=0)
    targets = targets @ _components(targets, min(N_COLUMNS, targets.shape[1]))
    sums = X @ columns
    mapping = _fit_map(sums, targets)
    differences = _fit_differences(X, targets - sums @ mapping)
    return columns @ mapping + differences


def _fit_map(sums: F32, targets: F32) -> F32:
    """Return the ridge regression of targets on sums, by leave-one-out error."""
    squares, vectors = np.linalg.eigh(sums.T.astype(np.float64) @ sums)
    squares, mean = np.maximum(squares, 0), float(squares.mean())
    rotated = sums @ vectors
    products = rotated.T @ targets
    best, least = np.zeros((sums.shape[1], targets.shape[1])), np.inf
    for penalty in _MAP_PENALTIES:
        inverse = 1 / (squares + penalty * mean)
        leverages = np.square(rotated) @ inverse
        errors = targets - rotated @ (inverse[:, np.newaxis] * products)
        errors /= np.maximum(1 - leverages, _LEAST)[:, np.newaxis]
        loss = float(np.square(errors).mean())
        if loss < least:
            least, best = loss, vectors @ (inverse[:, np.newaxis] * products)
    return best.astype(np.float32)


def _fit_differences(X: sp.csr_array, targets: F32) -> F32:
    """Return the ridge regression of targets on words, zeros if it doesn't help on other texts."""
    mean = float(X.multiply(X).sum()) / X.shape[0]
    is_heldout = np.arange(X.shape[0]) % round(1 / _HELDOUT_FRACTION) == 0
    best, least = 0.0, float(np.square(targets[is_heldout]).mean())
    for penalty in _RIDGE_PENALTIES:
        differences = _solve(X[~is_heldout], targets[~is_heldout], penalty * mean)
        loss = float(np.square(targets[is_heldout] - X[is_heldout] @ differences).mean())
        if loss < least:
            best, least = penalty, loss
    if not best:
        return np.zeros((X.shape[1], targets.shape[1]), dtype=np.float32)
    return _solve(X, targets, best * mean)


def _solve(X: sp.csr_array, targets: F32, penalty: float) -> F32:
    """Return the ridge regression of targets on the columns of X, by conjugate gradients.

    There are fewer texts than words, so the system of texts is solved.
    """
    solution = np.zeros_like(targets)
    residuals = targets.copy()
    directions = residuals.copy()
    squares = np.square(residuals).sum(axis=0)
    for _ in range(_N_STEPS):
        products = X @ (X.T @ directions) + np.float32(penalty) * directions
        steps = squares / np.maximum((directions * products).sum(axis=0), _LEAST)
        solution += steps * directions
        residuals -= steps * products
        before, squares = squares, np.square(residuals).sum(axis=0)
        directions = residuals + squares / np.maximum(before, _LEAST) * directions
    return np.asarray(X.T @ solution, dtype=np.float32)


def _unit(rows: F32) -> F32:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.float32(_LEAST))
