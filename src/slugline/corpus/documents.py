"""Topic names and their indices, validation of texts and topics, and document digests."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from slugline.base.arrays import F32, I64
from slugline.base.checks import has_surrogates, option_error, short_repr
from slugline.base.wording import join_words
from slugline.errors import DataError, Message, Parameter

# Topics -------------------------------------------------------------------------------------------

#: Topic name: a word or a number; booleans are numbers.
Topic: TypeAlias = str | int
# Maximum number of topics listed in a message.
_N_NAMED = 8


class Topics:
    """The topics of a classifier, in the order of its columns.

    Parameters
    ----------
    names : sequence of str or int
        Distinct names, all strings or all integers.

    >>> topics = Topics.fit(["grain", "earn", "grain"])
    >>> topics.names
    ['earn', 'grain']
    >>> topics.encode(["grain", "earn"])
    array([1, 0])
    >>> topics.decode([1])
    ['grain']
    """

    def __init__(self, names: Sequence[Topic]) -> None:
        self.names: list[Topic] = list(names)
        self._number = {name: number for number, name in enumerate(self.names)}
        if len(self._number) != len(self.names):
            raise DataError("duplicate topic; each topic requires a separate column.")

    @classmethod
    def fit(cls, topics: Iterable[Topic]) -> Topics:
        """Collect and sort the distinct topics."""
        distinct = set(topics)
        if len({isinstance(topic, str) for topic in distinct}) > 1:
            word = next(topic for topic in distinct if isinstance(topic, str))
            number = next(topic for topic in distinct if not isinstance(topic, str))
            advice = Message("make them all strings or all numbers.")
            if -1 in distinct:  # scikit-learn's marker of texts without labels
                advice += Message(" Pass texts without labels as ", Parameter("X_unlabelled"), ".")
            raise DataError(
                f"topics mix strings and numbers, such as {short_repr(word)} and "
                f"{short_repr(number)}; ",
                advice,
            )
        return cls(sorted(distinct))

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, topics: Iterable[Topic]) -> I64:
        """Return the index of each topic, shape (n_documents,).

        Raises DataError for an unknown topic.
        """
        try:
            return np.fromiter((self._number[topic] for topic in topics), dtype=np.int64)
        except KeyError as error:
            raise DataError(
                f"unknown topic {short_repr(error.args[0])}; the known ones are "
                f"{join_words([str(name) for name in self.names], _N_NAMED, last=None)}."
            ) from None

    def encode_sets(self, sets: Sequence[tuple[Topic, ...]], dtype: Any = np.float32) -> Any:
        """Return a CSR indicator array, shape (n_documents, n_topics).

        Raises DataError for an unknown topic.
        """
        import scipy.sparse as sp

        rows = np.arange(len(sets)).repeat([len(topics) for topics in sets])
        numbers = self.encode(topic for topics in sets for topic in topics)
        shape = len(sets), len(self)
        ones = np.ones(len(rows), dtype=dtype)
        return sp.csr_array((ones, (rows, numbers)), shape=shape)

    def decode(self, numbers: Iterable[int]) -> list[Topic]:
        """Return the topic name of each index."""
        return [self.names[number] for number in numbers]


def one_hot(y: npt.ArrayLike, n_topics: int | None = None) -> F32:
    """One-hot encode topic indices, float32, shape (n_rows, n_topics).

    Parameters
    ----------
    y : integer array, shape (n_rows,)
    n_topics : int, optional
        Defaults to the largest index plus one.

    Raises
    ------
    DataError : if an index is negative or too large, or `y` doesn't contain integers.

    >>> one_hot([2, 0])
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    numbers = np.asarray(y)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise DataError(
            f"y has shape {numbers.shape} and type {numbers.dtype}; give one integer per row."
        )
    if n_topics is None:
        n_topics = int(numbers.max(initial=-1)) + 1
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < n_topics:
        raise DataError(
            f"y runs from {numbers.min()} to {numbers.max()}, but topics run from 0 to "
            f"{n_topics - 1}; give a larger n_topics."
        )
    rows = np.zeros((len(numbers), n_topics), dtype=np.float32)
    rows[np.arange(len(numbers)), numbers.astype(np.int64)] = 1
    return rows


# Texts of a table's rows --------------------------------------------------------------------------


class RowText(str):
    """The text of a table row, with other cells of the row by name in `columns`.

    Otherwise an ordinary `str`; slices and modified copies are plain strings.

    >>> text = RowText("My card is stuck", {"product": "Card"})
    >>> text, text.columns
    ('My card is stuck', {'product': 'Card'})
    """

    columns: Mapping[str, Any]

    def __new__(cls, text: str, columns: Mapping[str, Any] = MappingProxyType({})) -> Self:
        """Create a text with cells."""
        row = super().__new__(cls, text)
        row.columns = columns
        return row


def cells_of(text: str) -> Mapping[str, Any]:
    """Return the cells attached to a text by column; empty for a plain string."""
    return text.columns if isinstance(text, RowText) else {}


# Checks -------------------------------------------------------------------------------------------

# Range of NumPy's int64.
_MIN_NUMBER, _MAX_NUMBER = -(1 << 63), (1 << 63) - 1
# Maximum length of a topic name in characters, since the longest sets the width of topic tables.
_MAX_LENGTH = 1000


def check_descriptions(descriptions: Any) -> dict[Topic, str]:
    """Validate a mapping of topics to descriptions, and convert its topics to plain types.

    Raises DataError for an invalid topic name or a description that is blank or not a string, and
    OptionError if the argument is not a mapping.
    """
    if not isinstance(descriptions, Mapping):
        raise option_error("descriptions", descriptions, "a mapping of topics to texts")
    names = to_plain_topics(descriptions, "descriptions")
    check_topic_names(names)
    checked = dict(zip(names, descriptions.values(), strict=True))
    for name, text in checked.items():
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                f"the description of topic {short_repr(name)} is {short_repr(text)}; describe it "
                "in a few words, or leave it out."
            )
    return checked


def to_plain_topics(topics: Iterable[Any], name: str = "y") -> list[Topic]:
    """Convert topics to Python strings and integers, which can be stored in a model file.

    Whole floats become integers (1.0 becomes 1), and so do booleans, unless all topics are
    booleans. `name` is the caller's parameter name for messages. Raises DataError if topics are not
    a sequence, or a topic is missing or neither a word nor a whole number.
    """
    check_iterable(topics, name)
    if isinstance(topics, str | bytes):
        raise DataError(
            Parameter(name), f" is the single string {short_repr(topics)}; give a list of topics."
        )
    values = list(topics)
    if {type(topic) for topic in values} in ({str}, {int}):
        return values
    plain = [_plain_topic(topic, row, name) for row, topic in enumerate(values)]
    if all(isinstance(topic, bool) for topic in plain):
        return plain
    return [int(topic) if isinstance(topic, bool) else topic for topic in plain]


def _plain_topic(topic: Any, row: int, name: str) -> Topic:
    topic = topic.item() if isinstance(topic, np.generic) else topic
    if is_missing(topic):
        raise DataError(
            Parameter(name),
            f" has {short_repr(topic)} instead of a topic in row {row}, counted from 0; give it "
            "one, or leave the row out.",
        )
    if isinstance(topic, float) and topic.is_integer():
        return int(topic)
    if not isinstance(topic, str | int):
        raise DataError(
            Parameter(name),
            f" has {short_repr(topic)} in row {row}, counted from 0; topics must be strings "
            "or integers.",
        )
    return topic


def is_missing(value: Any) -> bool:
    """Return True for None, NaN and the missing values of pandas."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def check_iterable(values: Any, name: str) -> None:
    """Raise DataError unless values are iterable."""
    if not isinstance(values, Iterable):
        raise DataError(
            Parameter(name), f" is {short_repr(values)}; give a list with one item per document."
        )


def check_topic_names(topics: Sequence[Topic]) -> None:
    """Raise DataError unless every topic is displayable, encodable as UTF-8 and fits an array."""
    for topic in set(topics):
        if isinstance(topic, str) and len(topic) > _MAX_LENGTH:
            raise DataError(
                f"topic {topic[:40]!r}... has {len(topic):,} characters; the maximum is "
                f"{_MAX_LENGTH:,}; check which column contains the topics."
            )
        if isinstance(topic, str) and (not topic.strip() or "\0" in topic or has_surrogates(topic)):
            raise DataError(
                f"topic {short_repr(topic)} is blank, or contains a NUL character or an unpaired "
                "surrogate; rename it."
            )
        if isinstance(topic, int) and not _MIN_NUMBER <= topic <= _MAX_NUMBER:
            raise DataError(f"topic {topic} does not fit into 64 bits; make the topics strings.")


# Number of pieces to hash at a time, for speed.
_CHUNKS_AT_A_TIME = 64


def compute_digest(texts: Iterable[str], topics: Iterable[Any]) -> str:
    """Return the SHA-256 hex digest of texts and their topics or tuples of topics."""
    import hashlib

    digest = hashlib.sha256()
    chunks = digest_chunks(texts, topics)
    while data := b"".join(itertools.islice(chunks, _CHUNKS_AT_A_TIME)):
        digest.update(data)
    return digest.hexdigest()


def digest_chunks(texts: Iterable[str], topics: Iterable[Any]) -> Iterator[bytes]:
    """Yield the bytes hashed by `compute_digest`; batches can be concatenated."""
    for text, topic in zip(texts, topics, strict=True):
        parts = [text, topic]
        if isinstance(topic, tuple):
            parts = [text, *topic]
            yield b"[%d]" % len(topic)
        if cells := cells_of(text):  # sorted by name
            parts.append(sorted(cells.items()))
        # The lengths distinguish ("ab", "c") from ("a", "bc").
        for part in parts:
            data = str(part).encode("utf-8", "surrogatepass")
            yield b"%d:%b" % (len(data), data)


def chain_digests(digest: str, another: str) -> str:
    """Combine the digests of two batches of documents."""
    import hashlib

    return hashlib.sha256(f"{digest}{another}".encode()).hexdigest()


def check_texts(texts: Iterable[str], name: str | None = None) -> list[str]:
    """Validate texts and return them as a list; `name` is the parameter in messages, if not `X`.

    Raises DataError if a text is not a `str`, or `texts` is None, a string, a mapping, a data
    frame or a two-dimensional array.
    """
    check_iterable(texts, name or "X")
    try:
        documents = list(check_iterable_of_texts(texts))
        check_all_str(documents)
    except DataError as error:
        raise error if name is None else DataError(Parameter(name), ": ", *error.parts) from None
    return documents


def check_all_str(documents: Sequence[object], first: int = 0) -> None:
    """Raise DataError unless all documents are strings; see `check_texts`."""
    if set(map(type, documents)) <= {str, RowText}:
        return
    for number, text in enumerate(documents, start=first):
        if not isinstance(text, str):
            raise DataError(
                f"document {number} is of type {type(text).__name__}, not a str; "
                "pass a sequence with one string per document."
            )


def check_iterable_of_texts(texts: Iterable[str]) -> Iterable[str]:
    """Return the texts; raise DataError for a single string or a non-iterable."""
    check_iterable(texts, "X")
    if isinstance(texts, str | bytes):
        raise DataError(
            "the texts are a single string, not a sequence of strings; put brackets around it: "
            "[text]."
        )
    _check_flat(texts)
    return texts


def _check_flat(texts: Any) -> None:
    """Raise DataError for a mapping, data frame or array of rows, whose items aren't texts."""
    kind = type(texts).__name__
    shape = getattr(texts, "shape", (0,))
    if isinstance(texts, Mapping):
        raise DataError(f"the texts are of type {kind}; pass its values: list(texts.values()).")
    if len(shape) != 1 and hasattr(texts, "columns"):
        names = list(texts.columns)
        name = "text" if "text" in names or not names else names[0]
        raise DataError(
            f"the texts are of type {kind}; pass the text column: df[{short_repr(name)}]."
        )
    if len(shape) != 1:
        raise DataError(
            f"the texts are of type {kind} and shape {tuple(shape)}; pass one dimension, with "
            "one string per document."
        )
