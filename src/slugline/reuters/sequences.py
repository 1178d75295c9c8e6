"""Newswires as lists of word numbers, identical to Keras's."""

from __future__ import annotations

import io
from collections.abc import Iterable
from functools import lru_cache
from numbers import Integral
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from slugline.base.checks import option_error
from slugline.base.files import PathLike
from slugline.base.progress import Progress
from slugline.errors import OptionError, Parameter
from slugline.reuters.downloads import FILES, fetch, read_bounded, read_checked, read_original

Labelled: TypeAlias = tuple[NDArray[np.object_], NDArray[np.int64]]


# Topics and the split -----------------------------------------------------------------------------

# fmt: off
_TOPICS = (
    "cocoa", "grain", "veg-oil", "earn", "acq", "wheat", "copper", "housing", "money-supply",
    "coffee", "sugar", "trade", "reserves", "ship", "cotton", "carcass", "crude", "nat-gas", "cpi",
    "money-fx", "interest", "gnp", "meal-feed", "alum", "oilseed", "gold", "tin",
    "strategic-metal", "livestock", "retail", "ipi", "iron-steel", "rubber", "heat", "jobs", "lei",
    "bop", "zinc", "orange", "pet-chem", "dlr", "gas", "silver", "wpi", "hog", "lead",
)
# fmt: on
LABELS = {topic: label for label, topic in enumerate(_TOPICS)}
#: As in Keras.
DEFAULT_SEED = 113
DEFAULT_TEST_SPLIT = 0.2


def shuffled_order(n: int, seed: int | None) -> list[int]:
    """Return the shuffled order of the wires, as positions in Keras' file."""
    try:
        generator = np.random.RandomState(seed)
    except (TypeError, ValueError) as error:
        wanted = "a whole number from 0 to 4294967295, or None"
        raise option_error("seed", seed, wanted) from error
    order = np.arange(n)
    generator.shuffle(order)
    return order.tolist()


def count_train(n: int, test_split: float) -> int:
    """Return the number of training wires, which come first."""
    return int(n * (1 - test_split))


def topic_names() -> list[str]:
    """Return the 46 topics in the order of their labels."""
    return list(_TOPICS)


# Sequences ----------------------------------------------------------------------------------------

# Word numbers begin at 4: 0 is padding, 1 the start mark, 2 an omitted word.
_INDEX_FROM = 3
# Upper bound on word ranks.
_N_RANKS = 1 << 16


def load_data(
    path: PathLike | None = None,
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = DEFAULT_TEST_SPLIT,
    seed: int | None = DEFAULT_SEED,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = _INDEX_FROM,
    *,
    progress: Progress | None = None,
) -> tuple[Labelled, Labelled]:
    """Return newswires as word numbers: the arrays of `keras.datasets.reuters.load_data`.

    A word's number is its rank by frequency, from 1, plus `index_from`.

    Parameters
    ----------
    path : path, optional
        reuters.npz or its folder (in Keras, a name in a cache); see
        `slugline.reuters.downloads.fetch` for the default.
    num_words : int, optional
        Exclusive upper limit of numbers. By default, it is the largest number, so that, as in
        Keras, the rarest word is omitted.
    skip_top : int, default 0
        Lower limit of numbers, which also applies to `start_char`.
    maxlen : int, optional
        Wires must be shorter than this, including the start mark.
    test_split : float, default 0.2
        Fraction of the wires in the test set.
    seed : int or None, default 113
        Seed of the shuffle before the split. NumPy's global random state is not used.
    start_char : int or None, default 1
        Number to put in front of each sequence; None to omit it.
    oov_char : int or None, default 2
        Replacement for omitted numbers; None to drop them.
    index_from : int, default 3
        Number added to ranks.
    progress : Progress, optional
        For a download.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x: object arrays of lists of int, shape (n_wires,); as in Keras, a 2-D array if all lists
        have the same length. y: int64 labels, shape (n_wires,), see `topic_names`.

    Raises
    ------
    OptionError : if a value has the wrong type, or if no wire is shorter than `maxlen`; with
        `num_words`, the arrays are empty instead, as in Keras.
    DataError : if the file is damaged, crafted, or not the original.
    DownloadError : if it can't be found or downloaded.
    """
    _check_integers(skip_top=skip_top, index_from=index_from)
    _check_integers(
        or_none=True, num_words=num_words, maxlen=maxlen, start_char=start_char, oov_char=oov_char
    )
    if not isinstance(test_split, int | float | np.floating) or not 0 <= test_split <= 1:
        raise option_error("test_split", test_split, "a number from 0 to 1")
    remote = FILES["sequences"]
    file = fetch(remote, path, progress=progress)
    content = read_original(file, remote, lambda file: read_checked(file, remote))
    # NumPy unpickles the lists, so the checksum must match first.
    with np.load(io.BytesIO(content), allow_pickle=True) as arrays:
        lists, labels = arrays["x"].tolist(), arrays["y"]
    order = shuffled_order(len(lists), seed)
    head = [] if start_char is None else [start_char]
    if maxlen:
        order = [i for i in order if len(head) + len(lists[i]) < maxlen]
        if not (order or num_words):
            raise OptionError(
                Parameter("maxlen"),
                f" is {maxlen}, but no wire is shorter; give a larger number or None.",
            )
    labels = labels[order]
    lists = [lists[i] for i in order]
    stop = num_words or max([*head, max(map(max, filter(None, lists)), default=0) + index_from])
    x = _number(lists, head, range(skip_top, stop), oov_char, index_from)
    n_train = count_train(len(x), test_split)
    return (
        (np.array(x[:n_train], dtype=object), labels[:n_train]),
        (np.array(x[n_train:], dtype=object), labels[n_train:]),
    )


def _check_integers(*, or_none: bool = False, **options: object) -> None:
    for name, value in options.items():
        if not isinstance(value, Integral) and not (or_none and value is None):
            wanted = "a whole number or None" if or_none else "a whole number"
            raise option_error(name, value, wanted)


def _number(
    lists: list[list[int]], head: list[int], wanted: range, oov_char: int | None, index_from: int
) -> list[list[Any]]:
    """Return `head` followed by the numbers of ranks; replace or drop those not `wanted`."""
    # The lists share the numbers of this table.
    numbers = range(index_from, index_from + _N_RANKS)
    table = [number if number in wanted else oov_char for number in numbers]
    begin = [number if number in wanted else oov_char for number in head]
    rows = [[*begin, *map(table.__getitem__, ranks)] for ranks in lists]
    if oov_char is None:
        return [[number for number in row if number is not None] for row in rows]
    return rows


def get_word_index(
    path: PathLike | None = None, *, progress: Progress | None = None
) -> dict[str, int]:
    """Return the rank of each of 30,979 words by frequency, from 1.

    `path` is reuters_word_index.json or its folder; see `slugline.reuters.downloads.fetch` for the
    default. Raises DataError if the file is damaged or not the original. Raises DownloadError if it
    can't be found or downloaded.
    """
    return _read_word_index(fetch(FILES["word index"], path, progress=progress))


def decode(
    sequence: Iterable[int], *, index_from: int = _INDEX_FROM, path: PathLike | None = None
) -> str:
    """Return the words of a sequence from `load_data`, with "?" for numbers that are not words.

    See `load_data` for `index_from`, and `get_word_index` for `path` and errors.
    """
    words = _words_by_rank(fetch(FILES["word index"], path))
    return " ".join(words.get(number - index_from, "?") for number in sequence)


@lru_cache(maxsize=1)
def _words_by_rank(path: Path) -> dict[int, str]:
    return {rank: word for word, rank in _read_word_index(path).items()}


def _read_word_index(path: Path) -> dict[str, int]:
    import msgspec

    remote = FILES["word index"]
    decode = msgspec.json.Decoder(dict[str, int]).decode  # its errors are ValueErrors
    return read_original(path, remote, lambda file: decode(read_bounded(file, remote)))
