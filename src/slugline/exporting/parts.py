"""Converts a linear model to the plain values and arrays of an exported page."""

from __future__ import annotations

import base64
import os
import zlib
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from slugline.base.arrays import U8, U64, Integers
from slugline.errors import OptionError, Parameter
from slugline.exporting.vectors import PageVectors
from slugline.learning.calibration import AnyCalibration, TopicCalibration
from slugline.learning.encoder.head import DenseHead
from slugline.learning.encoder.registry import BUILT_IN
from slugline.learning.learner import LinearModel, is_linear
from slugline.model.decider import Decider
from slugline.model.file import container
from slugline.model.file.container import quantize
from slugline.model.file.content import find_encoder, from_model_file, to_model_file
from slugline.model.file.schema import ModelFile
from slugline.model.file.shipped import model_path
from slugline.model.fitted import Fitted
from slugline.text.characters import TRANSLATION, character_classes
from slugline.text.columns import TermColumns
from slugline.text.sparse import row_offsets
from slugline.text.table_columns import MAX_VALUE, MISSING, MONTHS, WEEKDAYS

# Packed arrays ------------------------------------------------------------------------------------

_BITS = 7  # payload bits per byte


#: Arrays by name, in their order in the page.
ArraysByName = dict[str, npt.NDArray[Any]]


def pack_arrays(arrays: ArraysByName) -> tuple[list[tuple[str, str, int]], str]:
    """Pack arrays as text, with a listing for unpacking.

    Output is deterministic.

    Returns
    -------
    listing : list of (name, type, length)
        One item per array, with its length in bytes. The type is "int8", "uint8", "float32" or, for
        other integers, which must not be negative, "varints".
    data : str
        Bytes of all arrays, deflated without a header, in base64.
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
    """Encode non-negative integers as LEB128: 7 bits per byte, lowest first, plus 128 if continued.

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


# Number of ASCII characters, and the class of separators in `character_classes`.
_N_ASCII, _SEPARATOR_CLASS = 128, 2


def _character_classes() -> U8:
    """Return `slugline.text.characters.character_classes`, with ASCII separators."""
    table = np.frombuffer(character_classes(), dtype=np.uint8).copy()
    ascii_ = np.frombuffer(TRANSLATION, dtype=np.uint8)[:_N_ASCII]
    table[:_N_ASCII][ascii_ == ord(" ")] = _SEPARATOR_CLASS
    return table


# The model ----------------------------------------------------------------------------------------

_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_HEAD_WEIGHTS = "dense.weights"
_VALUES, _TOPICS, _COUNTS = (f"learner.weights.{name}" for name in ("values", "topics", "counts"))


class ModelParts(NamedTuple):
    """Parts of a model for an exported page.

    Attributes
    ----------
    fitted : Fitted
        The model, with its weights rounded to int8.
    decider : Decider
    card : str
        The model card, in Markdown.
    facts : dict
        Plain data for JSON.
    arrays : dict of str to array
    vectors : PageVectors or None
        None without word vectors.
    """

    fitted: Fitted
    decider: Decider
    card: str
    facts: dict[str, Any]
    arrays: ArraysByName
    vectors: PageVectors | None


def model_parts(model: str | os.PathLike[str], *, min_precision: float | None = None) -> ModelParts:
    """Return the parts of a model file or included model.

    Parameters
    ----------
    model : path of the file, or name of an included model
    min_precision : float from 0 to under 1, optional
        Required precision of answers; see `slugline.model.decider.Decider.from_fitted`.

    Raises
    ------
    ModelFileError : if the file is missing, damaged, of a later format, or not a model.
    EncoderError : if the model needs another table of word vectors.
    OptionError : if the model needs an encoder other than word vectors, isn't linear or has
        unsupported terms, or if no threshold reaches the precision.
    """
    original, fitted = _read(model)
    learner = _check_learner(model, fitted)
    file = to_model_file(
        fitted,
        metrics=original.info.metrics,
        test_fraction=original.info.test_fraction,
        weight_type="int8",
        card_notes=original.info.card_notes,
    )
    fitted = from_model_file(file, fitted.encoder)
    decider = Decider.from_fitted(fitted, min_precision)
    arrays: ArraysByName = {"classes": _character_classes()}
    columns_by_group = []
    for group_index in range(len(fitted.features.feature_groups)):
        terms, columns = _terms(fitted, group_index)
        arrays |= terms
        columns_by_group.append(columns)
    arrays |= _weights(file, columns_by_group)
    thresholds = decider.decision_thresholds
    arrays["thresholds"] = decider.thresholds if thresholds is None else thresholds
    arrays |= learner.calibration.arrays()
    facts = _facts(fitted, learner.calibration, decider)
    vectors = None
    if fitted.dense is not None and (encoder := fitted.dense.encoder.summing_encoder) is not None:
        vectors = PageVectors.choose(encoder.table, fitted)
        arrays |= vectors.arrays | _head_arrays(file, fitted.dense)
        facts["head"] = {
            "sparseFactor": fitted.dense.sparse_factor,
            "calibration": _calibration_facts(fitted.dense.calibration),
            "vectors": vectors.facts,
        }
    return ModelParts(fitted, decider, file.card, facts, arrays, vectors)


def _read(model: str | os.PathLike[str]) -> tuple[ModelFile, Fitted]:
    """Return the content of a model file, and its model; raise OptionError for most encoders."""
    path = model_path(model)
    file = container.read(path)
    needed = file.info.encoder
    if needed is not None and needed.name != BUILT_IN:
        raise _export_error(
            model,
            f"it needs the encoder {needed.name}, and a page can contain only word vectors; train "
            "with ",
            Parameter("encoder", BUILT_IN),
        )
    encoder = find_encoder(path, file, None)
    try:
        return file, from_model_file(file, encoder)
    # As in `load_model`, inconsistent parts may raise any type of error.
    except Exception as error:
        raise container.damaged_error(path, error) from error


def _export_error(model: str | os.PathLike[str], *why: str | Parameter) -> OptionError:
    return OptionError(f"{model} can't be exported: ", *why, ".")


def _check_learner(model: str | os.PathLike[str], fitted: Fitted) -> LinearModel:
    """Return the learner; raise OptionError unless the scripts support it and its terms."""
    if not is_linear(fitted.learner):
        kind = fitted.learner.settings()["kind"]
        raise _export_error(
            model,
            f"its learner is {kind!r}, and a page can contain only linear ones; train with ",
            Parameter("learner", "linear"),
        )
    for group, columns in zip(
        fitted.features.feature_groups, fitted.features.vocabularies_, strict=True
    ):
        if columns.table.columns is None:
            raise _export_error(
                model,
                f"it doesn't record which hash buckets contain {group.kind} of its training data; "
                "train it again",
            )
    return fitted.learner


def _facts(fitted: Fitted, calibration: AnyCalibration, decider: Decider) -> dict[str, Any]:
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
    usual = decider.unknown_words
    facts: dict[str, Any] = {
        "topics": [str(name) for name in fitted.topics.names],
        "featureGroups": feature_groups,
        "hasPrecision": decider.precision is not None,
        "usualWords": None
        if usual is None
        else {"rate": usual.rate, "maxExcess": usual.max_excess},
        "calibration": _calibration_facts(calibration),
        **({"cells": _cell_facts(fitted)} if fitted.columns else {}),
    }
    if (rule := fitted.multilabel_rule) is not None:
        facts["multilabel"] = {
            "atLeastOne": rule.at_least_one,
            "most": rule.max_given,
            "parents": rule.parents,
            "ends": rule.path_ends,
            "precision": decider.precision,
        }
    return facts


def _calibration_facts(calibration: AnyCalibration) -> dict[str, float]:
    """Return the plain data of a calibration; multilabel calibrations only have arrays."""
    if isinstance(calibration, TopicCalibration):
        return {}
    return {
        "inverseTemperature": calibration.inverse_temperature,
        "uniformWeight": calibration.uniform_weight,
        "highTemperatureWeight": calibration.high_temperature_weight,
    }


def _head_arrays(file: ModelFile, dense: DenseHead) -> ArraysByName:
    """Return the head's arrays; its weights, shape (n_columns, n_topics), are int8."""
    quantized = quantize(file.arrays, "int8")
    return {
        "head.weights": quantized[_HEAD_WEIGHTS],
        "head.scale": quantized[_HEAD_WEIGHTS + ".scale"],
        "head.biases": dense.biases,
        **{f"head.{name}": array for name, array in dense.calibration.arrays().items()},
    }


def _cell_facts(fitted: Fitted) -> dict[str, Any]:
    """Return the scripts' plain data for terms of table columns."""
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


def _terms(fitted: Fitted, group_index: int) -> tuple[ArraysByName, Integers]:
    """Return the keys and idf of a feature group, and its columns in page order.

    Keys ascend, so that their differences take few bytes.
    """
    vocabulary = fitted.features.vocabularies_[group_index]
    idf = fitted.features.idf_[group_index]
    keys, columns = _keys(vocabulary)
    order = np.argsort(keys)
    keys, columns = keys[order], columns[order]
    if vocabulary.table.keys is None:
        arrays: ArraysByName = {f"keys.{group_index}": _differences(keys)}
    else:  # split hashes in two, because scripts have no 64-bit integers
        low = (keys & _LOW).astype("<u4").view(np.uint8)
        arrays = {
            f"keysHigh.{group_index}": _differences(keys >> _HALF),
            f"keysLow.{group_index}": low,
        }
    if idf is not None:
        # There are only a few distinct values.
        distinct, indices = np.unique(idf[columns], return_inverse=True)
        arrays |= {
            f"idf.{group_index}": distinct.astype(np.float32),
            f"idfOf.{group_index}": indices,
        }
    return arrays, columns


def _keys(vocabulary: TermColumns) -> tuple[U64, Integers]:
    """Return the bucket or hash of each column, and the columns."""
    table = vocabulary.table
    places = cast(npt.NDArray[np.int32], table.columns)  # `_check_learner` requires it
    used = np.flatnonzero(places >= 0)
    keys = used.astype(np.uint64) if table.keys is None else table.keys[used]
    return keys, places[used]


def _weights(file: ModelFile, columns_by_group: list[Integers]) -> ArraysByName:
    """Return weights column by column, in page order.

    `columns_by_group` contains the columns of each feature group in page order, counted from 0
    within the group.
    """
    arrays = quantize(file.arrays, "int8")
    values, topics, counts = (arrays[name] for name in (_VALUES, _TOPICS, _COUNTS))
    n_topics = len(file.info.topics)
    indptr = row_offsets(counts.astype(np.int64))
    weights = sp.csr_array((values, topics.astype(np.int64), indptr), (len(counts), n_topics))
    firsts = np.cumsum([0, *map(len, columns_by_group)])[:-1]
    columns = [columns + first for columns, first in zip(columns_by_group, firsts, strict=True)]
    weights = weights[np.concatenate(columns)]
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


def _differences(ascending: Integers) -> Integers:
    """Delta-encode ascending integers: the first one, then the differences between neighbours."""
    return np.concatenate([ascending[:1], ascending[1:] - ascending[:-1]])
