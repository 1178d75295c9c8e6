"""A model's file as bytes, which travel to processes and machines, and are loaded there once."""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slugline.encoders.checked import Encoder
from slugline.errors import ModelFileError, OptionError
from slugline.fitted import Fitted
from slugline.saving.classifier_file import as_model_file, load_model
from slugline.saving.container import pack
from slugline.saving.shipped import model_path

__all__ = ["ModelCopy"]

# Models that a process keeps: one that runs for months gets new versions.
_MOST_KEPT = 2
_kept: OrderedDict[str, Fitted] = OrderedDict()
_lock = threading.Lock()


@dataclass(frozen=True, eq=False)
class ModelCopy:
    """A model on its way to others.

    Attributes
    ----------
    name : str
        The name of its file.
    data : bytes
        The file.
    digest : str
        SHA-256 of these.
    encoder : "use" or an object with `encode`, optional
        See `slugline.load`; an object of your own must be one that can be pickled.
    """

    name: str
    data: bytes = field(repr=False)
    digest: str
    encoder: str | Encoder | None = None

    @classmethod
    def of(cls, model: Any, encoder: str | Encoder | None = None) -> ModelCopy:
        """Copy a model, after a check that it can be loaded.

        Parameters
        ----------
        model : path of a `.slug`, name of a shipped model, fitted TopicClassifier, or Fitted
        encoder : "use" or an object with `encode`, optional

        Raises
        ------
        ModelFileError, EncoderError : see `slugline.load`.
        NotFittedError : if a classifier has not learned yet.
        OptionError : if it is no model.
        """
        if isinstance(model, str | os.PathLike):
            fitted, _ = load_model(model, encoder)
            path = Path(model_path(model))
            try:
                data = path.read_bytes()
            except OSError as error:
                raise ModelFileError(
                    f"{path} can't be read ({error.strerror}); check the path."
                ) from error
            return cls._keeping(path.name, data, encoder, fitted)
        fitted = getattr(model, "fitted_", model)
        if not isinstance(fitted, Fitted):
            if hasattr(model, "predict_proba"):
                from slugline.errors import NotFittedError  # with scikit-learn

                raise NotFittedError("this model is not fitted yet; call fit first.")
            raise OptionError(
                f"`model` is a {type(model).__name__}; give the path of a model, or a fitted "
                "TopicClassifier."
            )
        return cls._keeping("model.slug", pack(as_model_file(fitted)), encoder, fitted)

    @classmethod
    def _keeping(
        cls, name: str, data: bytes, encoder: str | Encoder | None, fitted: Fitted
    ) -> ModelCopy:
        copy = cls(name, data, hashlib.sha256(data).hexdigest(), encoder)
        with _lock:
            _keep(copy.digest, fitted)
        return copy

    def fitted(self) -> Fitted:
        """Return the model, which this process loads once.

        Raises
        ------
        ModelFileError, EncoderError : see `slugline.load`.
        """
        with _lock:
            if self.digest not in _kept:
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / self.name
                    path.write_bytes(self.data)
                    _keep(self.digest, load_model(path, self.encoder)[0])
            _kept.move_to_end(self.digest)
            return _kept[self.digest]


def _keep(digest: str, fitted: Fitted) -> None:
    _kept[digest] = fitted
    while len(_kept) > _MOST_KEPT:
        _kept.popitem(last=False)
