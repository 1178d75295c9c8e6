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

from slugline.base.arrays import F32, F64
from slugline.base.progress import Progress
from slugline.base.threads import limit_blas
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
# The vectors of words of the built-in table that no text has are predicted from their built-in
# vectors by ridge regression. Its penalty is this multiple of the mean square of a column.
_WORD_PENALTY = 0.1
# The penalties to choose from: multiples of the mean square of a column for the linear map, and of
# the mean squared length of a row for the words' own differences.
_MAP_PENALTIES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_RIDGE_PENALTIES = (1.0, 3.0, 10.0, 30.0)
# The fraction of unlabelled texts by which the penalty of the second regression is chosen.
_HELDOUT_FRACTION = 0.2
# The number of steps of conjugate gradients; further steps change no digit that four bits can hold.
_N_STEPS = 40
# The weight of a word of probability p is a / (a + p); see `tools/make_word_vectors.py`.
_A = 1e-3
# The rank of the most frequent word in Zipf's law, and the power of its counts by which words are
# weighted when components are computed.
_FIRST_RANK, _COMPONENT_POWER = 10, 0.5
# The smallest denominator, and the smallest mean square in a penalty.
_MIN_DENOMINATOR = 1e-9
# As in the table that comes with Slugline.
_SHORTEST_PIECE, _SHORTEST_UNSPACED_PIECE, _LONGEST_PIECE = 2, 1, 16


# Words --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _WordCounts:
    """Words of texts and of the built-in table, and how often they occur in texts.

    Attributes
    ----------
    words : list of str
        The words of texts come first, the most frequent ones first.
    X : sparse float32 array, shape (n_texts, n_words)
        How often each word is found in each text, also as a piece of a word.
    """

    words: list[str]
    X: sp.csr_array

    @classmethod
    def count(cls, texts: Sequence[str]) -> _WordCounts:
        """Count the words of texts."""
        distinct, numbers = find_words(texts).distinct
        counts = np.bincount(numbers, minlength=len(distinct))
        order = np.argsort(-counts, kind="stable").tolist()
        text_words = [distinct.word(number) for number in order]
        scripts = frozenset(itertools.chain.from_iterable(map(find_scripts, text_words)))
        words = dict.fromkeys(filter(_may_be_entry, text_words))
        words |= {word: None for word in open_table() if find_scripts(word) <= scripts}
        most_frequent = list(words)[:MAX_WORDS]
        no_vectors = np.zeros((len(most_frequent), 8), dtype=np.float32)
        table = read_table(_pack(most_frequent, no_vectors))
        return cls(most_frequent, _find_in_texts(table, texts))


def _may_be_entry(word: str) -> bool:
    """Return whether a word of a text may be in a table.

    In scripts without spaces, all that is between punctuation is a word; a table has only pieces of
    such words.
    """
    return len(word.encode("utf-8", "replace")) <= MAX_WORD_BYTES and not find_unspaced(word)


def _find_in_texts(table: VectorTable, texts: Sequence[str]) -> sp.csr_array:
    """Return how often each word of a table is found in texts."""
    words = find_words(texts)
    found = find_vectors(table, words)
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
    with limit_blas():
        columns = _single_vectors(counted.words, encoded, totals)
        X = counted.X[len(texts) :] if is_refitted else counted.X
        X, columns = _scale_texts(X, columns)
        vectors = _refit(X, columns, rows) if is_refitted else _project(columns)
    width = -(-vectors.shape[1] // 8) * 8
    vectors = np.pad(vectors, ((0, 0), (0, width - vectors.shape[1])))
    record = DistillationRecord(teacher.name, len(unlabelled))
    return DistilledEncoder(_pack(counted.words, vectors), record)


def _single_vectors(words: Sequence[str], encoded: F32, totals: F64) -> F32:
    """Return the columns of each word: those by the encoder, then those of the built-in table.

    `encoded` has the rows of the words that occur in texts, whose `totals` are over 0.
    """
    used = np.flatnonzero(totals)
    built_in = open_table().sum_texts(words).sums
    mean = np.average(encoded, axis=0, weights=totals[used]).astype(np.float32)
    weights = _word_weights(words, built_in, totals)
    by_encoder = _unit(encoded - mean) * weights[used, np.newaxis]
    squares = built_in[used].T @ built_in[used]
    penalty = _WORD_PENALTY * max(float(np.trace(squares)) / len(squares), _MIN_DENOMINATOR)
    to_encoded = np.linalg.solve(
        squares + np.float32(penalty) * np.eye(len(squares), dtype=np.float32),
        built_in[used].T @ by_encoder,
    )
    columns = built_in @ to_encoded
    columns[used] = by_encoder
    return np.hstack([columns, built_in]).astype(np.float32)


def _word_weights(words: Sequence[str], built_in: F32, totals: F64) -> F32:
    """Return the weight of each word: the length of its built-in vector if it has one.

    That length shows how much a word says about a text. Other words are weighted by frequency.
    """
    lengths = np.linalg.norm(built_in, axis=1)
    is_built_in = open_table().table.find_rows(find_words(words).hashes) >= 0
    mean = float(lengths[is_built_in].mean()) if is_built_in.any() else 1.0
    by_frequency = mean * _A / (_A + totals / totals.sum())
    return np.where(is_built_in, lengths, by_frequency).astype(np.float32)


def _scale_texts(X: sp.csr_array, columns: F32) -> tuple[sp.csr_array, F32]:
    """Return texts whose sums have unit length, and columns whose two groups have equal weight."""
    n_built_in = open_table().n_columns
    sums = X @ columns
    for group in (slice(0, -n_built_in), slice(-n_built_in, None)):
        mean_square = float(np.square(sums[:, group]).sum(axis=1).mean())
        columns[:, group] /= np.float32(np.sqrt(max(mean_square, _MIN_DENOMINATOR)))
    lengths = np.maximum(np.linalg.norm(X @ columns, axis=1), _MIN_DENOMINATOR)
    return sp.csr_array(sp.diags_array((1 / lengths).astype(np.float32)) @ X), columns


def _project(columns: F32) -> F32:
    """Return principal components of the words, which are sorted from frequent to rare."""
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

    A linear map of `columns` is fitted first, which also gives vectors to words that no text has.
    Then a difference is added to the vector of each word of texts.
    """
    targets = rows - rows.mean(axis=0)
    targets = targets @ _components(targets, min(N_COLUMNS, targets.shape[1]))
    sums = X @ columns
    mapping = _fit_map(sums, targets)
    differences = _fit_differences(X, targets - sums @ mapping)
    return columns @ mapping + differences


def _fit_map(sums: F32, targets: F32) -> F32:
    """Return the ridge regression of targets on sums with the lowest leave-one-out error."""
    squares, vectors = np.linalg.eigh(sums.T.astype(np.float64) @ sums)
    squares, mean = np.maximum(squares, 0), float(squares.mean())
    rotated = sums @ vectors
    products = rotated.T @ targets
    mapping, lowest_loss = np.zeros((sums.shape[1], targets.shape[1])), np.inf
    for penalty in _MAP_PENALTIES:
        inverse = 1 / (squares + penalty * mean)
        leverages = np.square(rotated) @ inverse
        errors = targets - rotated @ (inverse[:, np.newaxis] * products)
        errors /= np.maximum(1 - leverages, _MIN_DENOMINATOR)[:, np.newaxis]
        loss = float(np.square(errors).mean())
        if loss < lowest_loss:
            lowest_loss, mapping = loss, vectors @ (inverse[:, np.newaxis] * products)
    return mapping.astype(np.float32)


def _fit_differences(X: sp.csr_array, targets: F32) -> F32:
    """Return the ridge regression of targets on words; zeros if it doesn't help on other texts."""
    mean = float(X.multiply(X).sum()) / X.shape[0]
    is_heldout = np.arange(X.shape[0]) % round(1 / _HELDOUT_FRACTION) == 0
    best_penalty, lowest_loss = 0.0, float(np.square(targets[is_heldout]).mean())
    for penalty in _RIDGE_PENALTIES:
        differences = _solve(X[~is_heldout], targets[~is_heldout], penalty * mean)
        loss = float(np.square(targets[is_heldout] - X[is_heldout] @ differences).mean())
        if loss < lowest_loss:
            best_penalty, lowest_loss = penalty, loss
    if not best_penalty:
        return np.zeros((X.shape[1], targets.shape[1]), dtype=np.float32)
    return _solve(X, targets, best_penalty * mean)


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
        steps = squares / np.maximum((directions * products).sum(axis=0), _MIN_DENOMINATOR)
        solution += steps * directions
        residuals -= steps * products
        before, squares = squares, np.square(residuals).sum(axis=0)
        directions = residuals + squares / np.maximum(before, _MIN_DENOMINATOR) * directions
    return np.asarray(X.T @ solution, dtype=np.float32)


def _unit(rows: F32) -> F32:
    return rows / np.maximum(
        np.linalg.norm(rows, axis=1, keepdims=True), np.float32(_MIN_DENOMINATOR)
    )
