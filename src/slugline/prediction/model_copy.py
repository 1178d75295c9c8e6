"""Copies of model files, for other processes and machines, and a cache of loaded models."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slugline.errors import OptionError, Parameter
from slugline.learning.encoder.registry import Encoder
from slugline.model.decider import Decider
from slugline.model.file.container import pack, read_bytes
from slugline.model.file.content import load_model, to_model_file
from slugline.model.file.shipped import model_path
from slugline.model.fitted import Fitted
from slugline.prediction.rows import PredictOptions, make_decider


@dataclass(frozen=True, eq=False)
class ModelCopy:
    """A model file as bytes, sent to processes and machines that each load it once.

    Attributes
    ----------
    name : str
        The name of its file.
    data : bytes
    digest : str
        SHA-256 of `data`.
    encoder : str or an object with `encode`, optional
        See `slugline.load`; it must be picklable.
    """

    name: str
    data: bytes = field(repr=False)
    digest: str
    encoder: str | Encoder | None = None

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
            name, data = path.name, read_bytes(path)
            fitted, _ = load_model(path, encoder, data=data)
        else:
            fitted = _to_fitted(model)
            name, data = "model.slug", pack(to_model_file(fitted))
        copy = cls(name, data, hashlib.sha256(data).hexdigest(), encoder)
        MODEL_CACHE.add(copy, fitted)
        return copy

    def fitted(self) -> Fitted:
        """Return the model, loaded once per process; raises the errors of `slugline.load`."""
        return MODEL_CACHE.fitted(self)

    def decider(self, options: PredictOptions) -> Decider:
        """Return the decider, created once per process; raises the errors of `make_decider`."""
        return MODEL_CACHE.decider(self, options)


def _to_fitted(model: Any) -> Fitted:
    fitted = getattr(model, "fitted_", model)
    if isinstance(fitted, Fitted):
        return fitted
    if hasattr(model, "predict_proba"):
        from slugline.errors import NotFittedError  # with scikit-learn

        raise NotFittedError("this model is not fitted yet; call fit first.")
    raise OptionError(
        Parameter("model"),
        f" is of type {type(model).__name__}; give the path of a model, or a fitted "
        "TopicClassifier.",
    )


class ModelCache:
    """Thread-safe cache of models, by digest of their files, and of the last decider.

    Parameters
    ----------
    max_models : int, default 2
        The oldest model is dropped first. Long-running processes receive new model versions.
    """

    def __init__(self, max_models: int = 2) -> None:
        self._max_models = max_models
        self._fitted: OrderedDict[str, Fitted] = OrderedDict()
        self._decider: tuple[tuple[object, ...], Decider] | None = None
        self._lock = threading.RLock()

    def add(self, copy: ModelCopy, fitted: Fitted) -> None:
        """Cache the model that a copy was made from."""
        with self._lock:
            self._fitted[copy.digest] = fitted
            while len(self._fitted) > self._max_models:
                self._fitted.popitem(last=False)

    def fitted(self, copy: ModelCopy) -> Fitted:
        """Return the model of a copy, loading it if it is not cached."""
        with self._lock:
            if copy.digest not in self._fitted:
                fitted, _ = load_model(Path(copy.name), copy.encoder, data=copy.data)
                self.add(copy, fitted)
            self._fitted.move_to_end(copy.digest)
            return self._fitted[copy.digest]

    def decider(self, copy: ModelCopy, options: PredictOptions) -> Decider:
        """Return a decider for a copy and these options; the last one is cached."""
        key = (copy.digest, options.min_precision, options.per_topic, options.coverage)
        with self._lock:
            fitted = self.fitted(copy)
            if self._decider is None or self._decider[0] != key:
                self._decider = key, make_decider(fitted, options)
            return self._decider[1]


#: Models of this process, reused by workers for each file or partition.
MODEL_CACHE = ModelCache()
