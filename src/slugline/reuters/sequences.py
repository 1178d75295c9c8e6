"""The newswires as lists of word numbers, with the same values as in Keras."""

from __future__ import annotations

import io
import itertools
import pickle
import re
import zipfile
from array import array
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
from slugline.errors import DataError, OptionError, Parameter
from slugline.reuters.downloads import FILES, fetch, read_bounded, read_member, read_original

Labelled: TypeAlias = tuple[NDArray[np.object_], NDArray[np.int64]]


# Untrusted .npz files -----------------------------------------------------------------------------

MAX_NUMBER = 65_535  # largest number in a list
_MAX_MEMBER = 8_000_000  # maximum bytes of an array in memory


def read_lists(content: bytes) -> tuple[list[list[int]], NDArray[np.int64]]:
    """Return the arrays `x`, lists of int from 0 to `MAX_NUMBER`, and `y` of an .npz file.

    Raises DataError if the file holds anything else. No code in it is run.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sorted(archive.namelist()) != ["x.npy", "y.npy"]:
                raise ValueError(f"it holds {archive.namelist()[:5]} instead of x.npy and y.npy")
            n_lists, pickled = _read_member(archive, "x.npy", b"|O")
            n_labels, numbers = _read_member(archive, "y.npy", b"<i8")
        lists = _unpickle(pickled)
        labels = np.frombuffer(numbers, dtype="<i8").astype(np.int64)
        if not n_lists == len(lists) == n_labels == len(labels):
            raise ValueError(f"it holds {len(lists)} lists and {len(labels)} labels")
    except Exception as error:  # a crafted file can fail in any way
        raise DataError(str(error) or type(error).__name__) from error
    return lists, labels


_NPY_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00..\{'descr': '(?P<dtype>[^']{1,3})', 'fortran_order': False, "
    rb"'shape': \((?P<length>\d{1,7}),\), \} *\n",
    re.DOTALL,
)


def _read_member(archive: zipfile.ZipFile, name: str, dtype: bytes) -> tuple[int, bytes]:
    """Return the length in the header of a one-dimensional array, and its content."""
    content = read_member(archive, archive.getinfo(name), _MAX_MEMBER)
    header = _NPY_HEADER.match(content)
    if header is None or header["dtype"] != dtype:
        raise ValueError(f"{name} is not an array of {dtype.decode()}")
    return int(header["length"]), content[header.end() :]


def _counted(width: int) -> bytes:
    """Return a pattern for a string of up to 31 bytes that follows its length in `width` bytes."""
    lengths = (re.escape(n.to_bytes(width, "little")) + b".{%d}" % n for n in range(32))
    return b"(?:" + b"|".join(lengths) + b")"


# Protocols 2 to 4, as far as lists of numbers in an object array need them. Positions in the memo
# are at most 65,535, because Python allocates memory up to the position that a pickle names.
_INSTRUCTIONS = re.compile(
    rb"\x80[\x02-\x04]"
    rb"(?:K.|M..|J....|[(\])aetRbN\x85-\x89\x93\x94.]|q.|h.|[rj]..\0\0|\x95.{8}"
    rb"|c[^\n]*+\n[^\n]*+\n|[UC\x8c]" + _counted(1) + rb"|X" + _counted(4) + rb")*+",
    re.DOTALL,
)
_NUMPY_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
}


class _Standin:
    """Replaces the NumPy names in a pickle: it stores a state, and does nothing."""

    __slots__ = ("state",)

    def __init__(self, *_: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Standin]:
        if (module, name) not in _NUMPY_NAMES:
            raise pickle.UnpicklingError(f"it asks for {f'{module}.{name}'!r}")
        return _Standin


def _unpickle(pickled: bytes) -> list[list[int]]:
    if not _INSTRUCTIONS.fullmatch(pickled):
        raise ValueError("its pickle does more than list numbers")
    # Without a buffer, every instruction would be a call of `read`.
    value = _ArrayUnpickler(io.BufferedReader(io.BytesIO(pickled))).load()
    if type(value) is not _Standin or not isinstance(value.state, tuple):
        raise ValueError("its pickle is not an array")
    lists = value.state[-1]
    # The same list may occur many times, so sizes are checked before the numbers.
    if not all(type(item) is list for item in lists) or sum(map(len, lists)) > len(pickled):
        raise ValueError("its pickle is not an array of lists")
    # An array accepts only whole numbers up to MAX_NUMBER, and doesn't look inside objects:
    # hashing a deeply nested tuple would crash the process.
    array("H", itertools.chain.from_iterable(lists))
    return list(lists)


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

# Lists are made in chunks, whose arrays then take little memory.
# Numbers of words begin at 4: 0 is padding, 1 the start mark, 2 an omitted word.
_INDEX_FROM = 3


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
        reuters.npz or its folder, unlike Keras, where it is a name in a cache; see
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
        The number in front of each sequence; None for none.
    oov_char : int or None, default 2
        The replacement of omitted numbers; None for none.
    index_from : int, default 3
        The number added to ranks.
    progress : Progress, optional
        For a download.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        x: object arrays of lists of int, shape (n_wires,); as in Keras, a 2-D array if all lists
        have the same length. y: int64 labels, shape (n_wires,), see `topic_names`.

    Raises
    ------
    OptionError : for a value of the wrong kind, or if no wire is shorter than `maxlen`; with
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
    lists, labels = read_original(
        fetch(remote, path, progress=progress),
        remote,
        lambda file: read_lists(read_bounded(file, remote)),
    )
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
    """Return `head` and the numbers of ranks; those not `wanted` are replaced or dropped."""
    # The lists share the numbers of this table.
    numbers = range(index_from, index_from + MAX_NUMBER + 1)
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
