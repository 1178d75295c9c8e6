"""Copies of model files, for other processes and machines, and a cache of loaded models."""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from slugline.errors import OptionError, Parameter
from slugline.learning.encoder.registry import Encoder
from slugline.model.decider import Decider
from slugline.model.file.container import pack, read_bytes, unpack
from slugline.model.file.content import load_questions, to_model_file
from slugline.model.file.shipped import model_path
from slugline.model.fitted import Fitted
from slugline.prediction.rows import PredictOptions, make_deciders


@dataclass(frozen=True)
class ModelCopy:
    """A model file as bytes, sent to processes and machines that each load it once.

    Copies with the same digest are equal.

    Attributes
    ----------
    name : str
        Path of its file, for messages.
    data : bytes
    digest : str
        SHA-256 of `data`.
    encoder : str or an object with `encode`, optional
        See `slugline.load`; it must be picklable.
    """

    name: str = field(compare=False)
    data: bytes = field(compare=False, repr=False)
    digest: str
    encoder: str | Encoder | None = field(default=None, compare=False)

    @classmethod
    def from_model(cls, model: Any, encoder: str | Encoder | None = None) -> ModelCopy:
        """Copy a model after checking that it loads.

        `model` is the path of a `.slug` file, the name of a shipped model, a fitted
        TopicClassifier, or a Fitted.

        Raises
        ------
        ModelFileError, EncoderError : see `slugline.load`.
        NotFittedError : if a classifier is not fitted.
        OptionError : if it is not a model.
        """
        if isinstance(model, str | os.PathLike):
            path = Path(model_path(model))
            name, data = str(path), read_bytes(path)
        else:
            name, data = "model.slug", pack(to_model_file(_to_fitted(model)))
        copy = cls(name, data, hashlib.sha256(data).hexdigest(), encoder)
        copy.models()
        return copy

    def models(self) -> dict[str, Fitted]:
        """Return the models of all questions, loaded once per process.

        Raises the errors of `slugline.load`.
        """
        with _lock:
            return _load(self)

    def deciders(self, options: PredictOptions) -> dict[str, Decider]:
        """Return the deciders of all questions, created once per process.

        Raises the errors of `make_decider`.
        """
        with _lock:
            return _deciders(self, options.min_precision, options.per_topic)

    def decider(self, options: PredictOptions) -> Decider:
        """Return the decider of the only question; see `deciders`.

        Raises
        ------
        ModelFileError : if there are several questions.
        """
        deciders = self.deciders(options)
        if len(deciders) > 1:
            unpack(self.data, self.name)  # raises the error that lists the questions
        return next(iter(deciders.values()))


def _to_fitted(model: Any) -> Fitted:
    fitted = getattr(model, "fitted_", model)
    if isinstance(fitted, Fitted):
        return fitted
    if hasattr(model, "predict_proba"):
        from slugline.errors import NotFittedError  # with scikit-learn

        raise NotFittedError("this model is not fitted yet; call fit first.")
    raise OptionError(
        Parameter("model"),
        f" is of type {type(model).__name__}; pass the path of a model, or a fitted "
        "TopicClassifier.",
    )


# Long-running processes receive new versions of models, so the oldest is dropped.
@lru_cache(maxsize=2)
def _load(copy: ModelCopy) -> dict[str, Fitted]:
    models = load_questions(Path(copy.name), copy.encoder, data=copy.data)
    return {question: fitted for question, (fitted, _) in models.items()}


@lru_cache(maxsize=1)
def _deciders(copy: ModelCopy, min_precision: float | None, per_topic: bool) -> dict[str, Decider]:
    options = PredictOptions(min_precision=min_precision, per_topic=per_topic)
    return make_deciders(_load(copy), options)


# One thread loads, and the others wait.
_lock = threading.RLock()
