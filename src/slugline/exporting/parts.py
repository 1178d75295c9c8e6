"""A linear model as the plain numbers and arrays that answering needs."""

from __future__ import annotations

import base64
import functools
import os
import sys
import unicodedata
import zlib
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import msgspec
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import I64, U8, U64, Integers
from slugline.errors import OptionError
from slugline.learning.calibration import Calibration, TopicCalibration
from slugline.learning.linear.learner import LinearLearner
from slugline.model.decider import Decider
from slugline.model.file import container
from slugline.model.file.container import quantize
from slugline.model.file.content import from_model_file, model_path, to_model_file
from slugline.model.file.schema import ModelFile
from slugline.model.fitted import Fitted
from slugline.text.columns import TermColumns
from slugline.text.sparse import boundaries
from slugline.text.table_columns import MAX_VALUE, MISSING, MONTHS, WEEKDAYS
from slugline.text.terms import COLUMNS, KINDS
from slugline.text.tokens import TRANSLATION, character_classes

# Packed arrays ------------------------------------------------------------------------------------

_BITS = 7  # of a number, in each of its bytes


#: Arrays by name, in the order of their bytes in a page.
ArraysByName = dict[str, npt.NDArray[Any]]


def pack_arrays(arrays: ArraysByName) -> tuple[list[tuple[str, str, int]], str]:
    """Return the arrays as text, the same for the same arrays, and what it takes to read it.

    Returns
    -------
    listing : list of (name, type, length)
        In the order of their bytes, with lengths in bytes. The type is "int8", "uint8", "float32"
        or, for other integers, which are at least 0, "varints".
    data : str
        All bytes, deflated without a header, in base64.
    """
    listing, parts = [], []
    for name, array in arrays.items():
        kind, data = array.dtype.name, array.astype(array.dtype.newbyteorder("<")).tobytes()
        if kind not in ("float32", "int8", "uint8"):
            kind, data = "varints", varints(array)
        listing.append((name, kind, len(data)))
        parts.append(data)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = deflate.compress(b"".join(parts)) + deflate.flush()
    return listing, base64.b64encode(packed).decode()


def varints(numbers: Integers) -> bytes:
    """Return integers of at least 0, 7 bits to a byte, lowest first; 128 is added if more follow.

    >>> varints(np.array([1, 300])).hex(" ")
    '01 ac 02'
    """
    n_bits = max(1, int(numbers.max(initial=0)).bit_length())
    shifts = np.arange(0, n_bits, _BITS, dtype=np.uint64)
    groups = numbers.ravel().astype(np.uint64)[:, np.newaxis] >> shifts
    has_byte = groups > 0
    has_byte[:, 0] = True
    data = (groups & np.uint64(0x7F)).astype(np.uint8)
    data[:, :-1] |= has_byte[:, 1:] * np.uint8(0x80)
    return data[has_byte].tobytes()


def runs_of(table: U8) -> I64:
    """Return a table as runs of equal values: the length and value of each.

    >>> runs_of(np.array([0, 0, 5], dtype=np.uint8)).tolist()
    [2, 0, 1, 5]
    """
    firsts = np.flatnonzero(np.diff(table, prepend=table[0] ^ 1))
    lengths = np.diff(firsts, append=len(table))
    return np.stack([lengths, table[firsts]], axis=1).ravel().astype(np.int64)


# Tables of characters -----------------------------------------------------------------------------

_N_ALL = sys.maxunicode + 1
_N_ASCII = 128
_SPACE, _SEPARATES = ord(" "), 2
_SIGMA = "\u03a3"
# Categories of code points that stay as they are: unassigned, private use, and surrogates.
_INERT = {"Cn", "Co", "Cs"}
# Ideographs and syllables, most of all characters, are neither cased nor ignorable.
_CASELESS = range(0x3400, 0xA000), range(0xAC00, 0xD7B0), range(0x20000, 0x40000)


class Characters(NamedTuple):
    """Python's tables of characters, as browsers may have those of another Unicode version.

    Attributes
    ----------
    lower_many : dict of int to list of int
        Lower case of several characters.
    tables : dict of str to array
        "sides": `slugline.text.tokens.character_classes`, with ASCII separators too, as `runs_of`.
        "casing": runs of the form of a sigma beside each character: 1 if it is cased, 2 if it is
        ignored, else 0. "combining": runs of canonical combining classes. "blank": white space.
        "lowerFrom", "lowerTo": characters whose lower case is one character, as `_steps`, and that
        character. "made", "madeFirst", "madeSecond": characters as steps, and their decomposition,
        one or two others, then 0. "composes": whether normal form C composes such parts.
    """

    lower_many: dict[int, list[int]]
    tables: dict[str, Integers]


@functools.cache
def characters() -> Characters:
    """Return the tables of this version of Python."""
    assigned = [c for c in map(chr, range(_N_ALL)) if unicodedata.category(c) not in _INERT]
    lower = {ord(c): c.lower() for c in assigned if c.lower() != c}
    single = np.array([(number, ord(low)) for number, low in lower.items() if len(low) == 1])
    # Those with a canonical decomposition; of others, it begins with its kind in angle brackets.
    decomposed = [c for c in assigned if unicodedata.decomposition(c)[:1] not in ("", "<")]
    parts = [(ord(c), *_parts(c)) for c in decomposed]
    composed, first, second = np.array(parts).T
    tables = {
        "sides": runs_of(_sides()),
        "casing": runs_of(_table(assigned, _casing)),
        "combining": runs_of(_table(assigned, unicodedata.combining)),
        "blank": np.array([ord(c) for c in assigned if c.isspace()]),
        "lowerFrom": _steps(single[:, 0]),
        "lowerTo": single[:, 1],
        "made": _steps(composed),
        "madeFirst": first,
        "madeSecond": second,
        "composes": np.array([_composes(*map(chr, row)) for row in parts], dtype=np.uint8),
    }
    many = {number: [*map(ord, low)] for number, low in lower.items() if len(low) > 1}
    return Characters(many, tables)


def _table(characters: list[str], function: Callable[[str], int]) -> U8:
    table = np.zeros(_N_ALL, dtype=np.uint8)
    table[[*map(ord, characters)]] = [*map(function, characters)]
    return table


def _sides() -> U8:
    table = np.frombuffer(character_classes(), dtype=np.uint8).copy()
    ascii_ = np.frombuffer(TRANSLATION, dtype=np.uint8)[:_N_ASCII]
    table[:_N_ASCII][ascii_ == _SPACE] = _SEPARATES
    return table


def _casing(character: str) -> int:
    """Return how a character affects a sigma before it, as Python lower-cases the two."""
    if any(ord(character) in group for group in _CASELESS):
        return 0
    if f"a{_SIGMA}{character}".lower()[1] == "\u03c3":
        return 1
    return 2 if f"a{_SIGMA}{character}a".lower()[1] == "\u03c3" else 0


def _parts(character: str) -> tuple[int, int]:
    first, *others = (int(part, 16) for part in unicodedata.decomposition(character).split())
    return first, others[0] if others else 0


def _composes(character: str, first: str, second: str) -> bool:
    return second != "\0" and unicodedata.normalize("NFC", first + second) == character


# The model ----------------------------------------------------------------------------------------

# Terms and weightings that `text.js` and `model.js` implement.
_KINDS = (*KINDS, COLUMNS)
_WEIGHTINGS = ("multi-hot", "counts", "tf-idf", "log-tf-idf")
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_VALUES, _TOPICS, _COUNTS = (f"learner.weights.{name}" for name in ("values", "topics", "counts"))


class ModelParts(NamedTuple):
    """A model in a page: `fitted` has weights rounded to int8, `card` is Markdown.

    `facts` is plain data for JSON.
    """

    fitted: Fitted
    decider: Decider
    card: str
    facts: dict[str, Any]
    arrays: ArraysByName


def model_parts(model: str | os.PathLike[str], *, min_precision: float | None = None) -> ModelParts:
    """Return the parts of the model in a file, or of one that comes with Slugline.

    Parameters
    ----------
    model : path of the file, or the name of a model
    min_precision : float from 0 to under 1, optional
        Precision of the answers; see `slugline.model.decider.Decider.from_fitted`.

    Raises
    ------
    ModelFileError : if there is no such file, it is damaged, of a later format, or no model.
    OptionError : if the model needs an encoder, isn't linear or has terms that the scripts don't
        know, or if no threshold reaches the precision.
    """
    read, fitted = _read(model)
    calibration = _checked(model, fitted).calibration
    file = to_model_file(
        fitted,
        metrics=read.info.metrics,
        test_fraction=read.info.test_fraction,
        precision="int8",
        card_notes=read.info.card_notes,
    )
    fitted = from_model_file(file)
    decider = Decider.from_fitted(fitted, min_precision)
    arrays: ArraysByName = {**characters().tables}
    orders = []
    for number in range(len(fitted.features.feature_groups)):
        terms, columns = _terms(fitted, number)
        arrays |= terms
        orders.append(columns)
    thresholds = decider.decision_thresholds
    arrays |= _weights(file, orders)
    arrays["thresholds"] = decider.thresholds if thresholds is None else thresholds
    if isinstance(calibration, TopicCalibration):
        arrays |= calibration.arrays()
    facts = _facts(fitted, calibration, decider)
    return ModelParts(fitted, decider, file.card, facts, arrays)


def _read(model: str | os.PathLike[str]) -> tuple[ModelFile, Fitted]:
    """Return the content of the file and the model; OptionError if it needs an encoder."""
    path = model_path(model)
    read = container.read(path)
    if read.info.encoder is not msgspec.UNSET:
        raise _refused(model, "it needs a sentence encoder, which no page holds; train without one")
    try:
        return read, from_model_file(read)
    # As in `load_model`: parts that don't match can raise any type of error.
    except Exception as error:
        raise container.damaged_error(path, error) from error


def _refused(model: str | os.PathLike[str], why: str) -> OptionError:
    return OptionError(f"{model} can't be exported: {why}.")


def _checked(model: str | os.PathLike[str], fitted: Fitted) -> LinearLearner:
    """Return the learner; OptionError unless the scripts know its kind and its terms."""
    if not isinstance(fitted.learner, LinearLearner):
        kind = fitted.learner.settings()["kind"]
        raise _refused(
            model,
            f"its learner is {kind!r}, and a page holds linear ones only; train with "
            "`learner=linear`",
        )
    for group, columns in zip(
        fitted.features.feature_groups, fitted.features.vocabularies_, strict=True
    ):
        if columns.table.columns is None:
            raise _refused(
                model,
                f"it doesn't say which hash buckets have {group.kind} of its training data; train "
                "it again",
            )
        if group.kind not in _KINDS or group.weighting not in _WEIGHTINGS:
            raise _refused(
                model, f"a page has no terms of kind {group.kind!r} weighed by {group.weighting!r}"
            )
    return fitted.learner


def _facts(
    fitted: Fitted, calibration: Calibration | TopicCalibration, decider: Decider
) -> dict[str, Any]:
    feature_groups = [
        {
            "kind": group.kind,
            "weighting": group.weighting,
            "weight": group.weight,
            "hasIdf": group.has_idf,
            "width": vocabulary.n_columns,
            "nBuckets": group.n_buckets,
        }
        for group, vocabulary in zip(
            fitted.features.feature_groups, fitted.features.vocabularies_, strict=True
        )
    ]
    facts: dict[str, Any] = {
        "topics": [str(name) for name in fitted.topics.names],
        "feature_groups": feature_groups,
        **calibration.settings(),
        "isRouted": decider.precision is not None,
        "usualWords": None if decider.words is None else decider.words._asdict(),
        "lowerMany": characters().lower_many,
        **({"cells": _cell_facts(fitted)} if fitted.columns else {}),
    }
    if (decision := fitted.multilabel_rule) is not None:
        facts["several"] = {
            "atLeastOne": decision.at_least_one,
            "most": decision.most_given,
            "parents": decision.parents,
            "ends": decision.ends,
            "precision": decider.precision,
        }
    return facts


def _cell_facts(fitted: Fitted) -> dict[str, Any]:
    """Return what scripts need to make terms of columns beside the text."""
    return {
        "columns": [
            {"label": c.label, "kind": c.kind, "bins": c.bins, "binNames": c.bin_names()}
            for c in fitted.columns
        ],
        "missing": MISSING,
        "longest": MAX_VALUE,
        "weekdays": WEEKDAYS,
        "months": MONTHS,
    }


def _terms(fitted: Fitted, number: int) -> tuple[ArraysByName, Integers]:
    """Return the keys and idf of a family of terms, and its columns in the page's order.

    They are in ascending order of their keys, since differences take few bytes.
    """
    vocabulary, rarity = fitted.features.vocabularies_[number], fitted.features.idf_[number]
    keys, columns = _keys(vocabulary)
    order = np.argsort(keys)
    keys, columns = keys[order], columns[order]
    if vocabulary.table.keys is None:
        arrays: ArraysByName = {f"keys.{number}": _steps(keys)}
    else:  # scripts have no integers of 64 bits, so hashes have two halves
        low = (keys & _LOW).astype("<u4").view(np.uint8)
        arrays = {f"keysHigh.{number}": _steps(keys >> _HALF), f"keysLow.{number}": low}
    if rarity is not None:
        # Few values differ.
        distinct, which = np.unique(rarity[columns], return_inverse=True)
        arrays |= {f"idf.{number}": distinct.astype(np.float32), f"idfOf.{number}": which}
    return arrays, columns


def _keys(vocabulary: TermColumns) -> tuple[U64, Integers]:
    """Return the bucket or hash of each column, and the columns."""
    table = vocabulary.table
    places = cast(npt.NDArray[np.int32], table.columns)  # `_checked` refuses models without
    used = np.flatnonzero(places >= 0)
    keys = used.astype(np.uint64) if table.keys is None else table.keys[used]
    return keys, places[used]


def _weights(file: ModelFile, orders: list[Integers]) -> ArraysByName:
    """Return weights column by column, in the order of the page."""
    arrays = quantize(file.arrays, "int8")
    values, topics, counts = (arrays[name] for name in (_VALUES, _TOPICS, _COUNTS))
    n_topics = len(file.info.topics)
    indptr = boundaries(counts.astype(np.int64))
    weights = sp.csr_array((values, topics.astype(np.int64), indptr), (len(counts), n_topics))
    firsts = np.cumsum([0, *map(len, orders)])[:-1]
    columns = np.concatenate([order + first for order, first in zip(orders, firsts, strict=True)])
    weights = weights[columns]
    weights.eliminate_zeros()
    weights.sort_indices()
    scale = np.ones(n_topics, dtype=np.float32)
    scale[: len(arrays[_VALUES + ".scale"])] = arrays[_VALUES + ".scale"]
    return {
        "counts": np.diff(weights.indptr),
        "topics": weights.indices,
        "values": weights.data,
        "scale": scale,
        "biases": arrays["learner.biases"],
    }


def _steps(ascending: Integers) -> Integers:
    """Return the first of ascending integers and the differences of the others."""
    return np.concatenate([ascending[:1], ascending[1:] - ascending[:-1]])
