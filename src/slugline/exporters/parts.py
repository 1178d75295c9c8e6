"""A linear model as plain numbers and arrays: all that answering needs, and nothing else."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import msgspec
import numpy as np
import scipy.sparse as sp

from slugline.base.arrays import U64, Integers
from slugline.calibration import Calibration
from slugline.errors import OptionError
from slugline.exporters.characters import characters
from slugline.exporters.packing import Bundle, runs_of
from slugline.fitted import Fitted
from slugline.learners.linear import LinearLearner
from slugline.ragged import boundaries
from slugline.routing import Router
from slugline.saving import container
from slugline.saving.classifier_file import as_model_file, from_model_file
from slugline.saving.quantization import quantize
from slugline.saving.schema import ModelFile
from slugline.saving.shipped import model_path
from slugline.text.term_columns import TermColumns

__all__ = ["ModelParts", "model_parts"]


# Kinds of terms and ways to weigh them that `text.js` and `model.js` know.
_KINDS = ("words", "lead", "bigrams", "characters")
_WEIGHTINGS = ("multi-hot", "counts", "tf-idf", "log-tf-idf")
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)
_VALUES, _TOPICS, _COUNTS = (f"learner.weights.{name}" for name in ("values", "topics", "counts"))


class ModelParts(NamedTuple):
    """A model as it stands in a page.

    Attributes
    ----------
    fitted : Fitted
        What the page reproduces: the model with weights rounded to int8.
    router : Router
    card : str
        Markdown.
    facts : dict
        Plain data.
    bundle : Bundle
        Arrays.
    """

    fitted: Fitted
    router: Router
    card: str
    facts: dict[str, Any]
    bundle: Bundle


def model_parts(model: str | os.PathLike[str], *, min_precision: float | None = None) -> ModelParts:
    """Return the parts of the model in a file, or of one that comes with Slugline.

    Parameters
    ----------
    model : path of the file, or the name of a model
    min_precision : float from 0 to under 1, optional
        See `slugline.routing.Router.of`.

    Raises
    ------
    ModelFileError : if there is no such file, it is damaged, of a later format, or no model.
    OptionError : if the model can't be exported: it needs an encoder, isn't linear, or has terms
        of an unknown kind. Also, if no threshold reaches the precision.
    """
    read, fitted = _read(model)
    calibration = _checked(model, fitted).calibration
    file = as_model_file(
        fitted,
        metrics=read.info.metrics,
        test_fraction=read.info.test_fraction,
        precision="int8",
        card_notes=read.info.card_notes,
    )
    fitted = from_model_file(file)
    router = Router.of(fitted, min_precision)
    bundle = Bundle()
    _add_characters(bundle)
    orders = [_add_terms(bundle, fitted, number) for number in range(len(fitted.features.blocks))]
    _add_weights(bundle, file, orders)
    bundle.add("thresholds", router.thresholds)
    facts = _facts(fitted, calibration, router)
    return ModelParts(fitted, router, file.card, facts, bundle)


def _read(model: str | os.PathLike[str]) -> tuple[ModelFile, Fitted]:
    """Return what the file says, and the model; OptionError if it needs an encoder."""
    path = model_path(model)
    read = container.read(path)
    if read.info.encoder is not msgspec.UNSET:
        raise _refused(model, "it needs a sentence encoder, which no page holds; train without one")
    try:
        return read, from_model_file(read)
    # As in `load_model`: parts that don't fit together can raise any type of error.
    except Exception as error:
        raise container.damaged(path, error) from error


def _refused(model: str | os.PathLike[str], why: str) -> OptionError:
    return OptionError(f"{model} can't be exported: {why}.")


def _checked(model: str | os.PathLike[str], fitted: Fitted) -> LinearLearner:
    """Return the learner; OptionError unless the script knows what the model is made of."""
    if not isinstance(fitted.learner, LinearLearner):
        kind = fitted.learner.settings()["kind"]
        raise _refused(
            model,
            f"its learner is {kind!r}, and a page holds linear ones only; train with "
            "`learner=linear`",
        )
    for block in fitted.features.blocks:
        if block.kind not in _KINDS or block.weighting not in _WEIGHTINGS:
            raise _refused(
                model, f"a page has no terms of kind {block.kind!r} weighed by {block.weighting!r}"
            )
    return fitted.learner


def _facts(fitted: Fitted, calibration: Calibration, router: Router) -> dict[str, Any]:
    blocks = [
        {
            "kind": block.kind,
            "weighting": block.weighting,
            "weight": block.weight,
            "hasIdf": block.has_idf,
            "width": vocabulary.n_columns,
            "nBuckets": block.n_buckets,
            "isOpen": vocabulary.table.columns is None,
        }
        for block, vocabulary in zip(
            fitted.features.blocks, fitted.features.vocabularies_, strict=True
        )
    ]
    return {
        "topics": [str(name) for name in fitted.topics.names],
        "blocks": blocks,
        "apart": fitted.features.apart,
        **calibration._asdict(),
        "isRouted": router.precision is not None,
        "usualWords": None if router.words is None else router.words._asdict(),
        "lowerMany": characters().lower_many,
    }


def _add_characters(bundle: Bundle) -> None:
    found = characters()
    bundle.add("sides", runs_of(found.sides))
    bundle.add("casing", runs_of(found.casing))
    bundle.add("combining", runs_of(found.combining))
    bundle.add("blank", found.blank)
    bundle.add("lowerFrom", _steps(found.lower[:, 0]))
    bundle.add("lowerTo", found.lower[:, 1])
    bundle.add("made", _steps(found.parts[:, 0]))
    bundle.add("madeFirst", found.parts[:, 1])
    bundle.add("madeSecond", found.parts[:, 2])
    bundle.add("composes", found.composes)


def _add_terms(bundle: Bundle, fitted: Fitted, number: int) -> Integers:
    """Add what a block knows of its terms; return its columns in the order of the page.

    Columns are in ascending order of what they are found by, as differences take few bytes.
    """
    vocabulary, rarity = fitted.features.vocabularies_[number], fitted.features.idf_[number]
    keys, columns = _keys(vocabulary)
    if keys is not None:
        order = np.argsort(keys)
        keys, columns = keys[order], columns[order]
        _add_keys(bundle, number, keys, vocabulary.table.keys is not None)
    if rarity is not None:
        # Few numbers of documents differ.
        distinct, which = np.unique(rarity[columns], return_inverse=True)
        bundle.add(f"idf.{number}", distinct.astype(np.float32))
        bundle.add(f"idfOf.{number}", which)
    return columns


def _add_keys(bundle: Bundle, number: int, keys: U64, are_hashes: bool) -> None:
    """Add what columns are found by; a script has no whole numbers of 64 bits, but two halves."""
    if not are_hashes:
        bundle.add(f"keys.{number}", _steps(keys))
        return
    bundle.add(f"keysHigh.{number}", _steps(keys >> _HALF))
    bundle.add(f"keysLow.{number}", (keys & _LOW).astype("<u4").view(np.uint8))


def _keys(vocabulary: TermColumns) -> tuple[U64 | None, Integers]:
    """Return the bucket or hash of each column and the columns; None where buckets are columns."""
    table = vocabulary.table
    if table.columns is None:
        return None, np.arange(vocabulary.n_columns)
    used = np.flatnonzero(table.columns >= 0)
    keys = used.astype(np.uint64) if table.keys is None else table.keys[used]
    return keys, table.columns[used] + table.n_reserved


def _add_weights(bundle: Bundle, file: ModelFile, orders: list[Integers]) -> None:
    """Add weights column by column, in the order of the page."""
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
    bundle.add("counts", np.diff(weights.indptr))
    bundle.add("topics", weights.indices)
    bundle.add("values", weights.data)
    bundle.add("scale", scale)
    bundle.add("biases", arrays["learner.biases"])


def _steps(ascending: Integers) -> Integers:
    """Return the differences of ascending whole numbers, beginning with the first itself."""
    return np.concatenate([ascending[:1], ascending[1:] - ascending[:-1]])
