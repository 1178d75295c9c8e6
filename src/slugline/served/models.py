"""The models of a server, each in the latest version of its file that can be used."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from slugline.errors import OptionError, SluglineError
from slugline.saving.shipped import DEFAULT
from slugline.served import ServedModel
from slugline.served.model import FileState, file_state

__all__ = ["Models"]

_log = logging.getLogger("slugline.server")


class Models:
    """Models by name. Whoever got one goes on with it when another version takes its place.

    Parameters
    ----------
    models : sequence of ServedModel
        The first is the one that answers if none is named.
    """

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self._models = {model.name: model for model in models}
        #: What is wrong with the latest version of a model's file.
        self.problems: dict[str, str] = {}
        self._refused: dict[str, FileState] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, names: Sequence[str]) -> Models:
        """Read models from files, or by name; the default one if there are no names.

        Raises
        ------
        ModelFileError, EncoderError : see `slugline.load`.
        OptionError : if two have one name.
        """
        models: dict[str, ServedModel] = {}
        for name in names or (DEFAULT,):
            model = ServedModel.load(name)
            if model.name in models:
                raise OptionError(
                    f"{models[model.name].path} and {model.path} would both be called "
                    f"{model.name!r}; rename one of the files."
                )
            models[model.name] = model
        return cls(list(models.values()))

    @property
    def default(self) -> ServedModel:
        """The model that answers if none is named."""
        return next(iter(self._models.values()))

    def all(self) -> list[ServedModel]:
        """Return all models, in the order in which they were given."""
        return list(self._models.values())

    def get(self, name: str | None) -> ServedModel | None:
        """Return the model of a name, the default one for None, or None if there is none."""
        return self.default if name is None else self._models.get(name)

    def unknown(self, name: str | None) -> str:
        """Say that there is no model of a name, and which there are."""
        names = ", ".join(self._models)
        return f"there is no model {str(name)[:100]!r}; there are: {names}."

    def refresh(self, *, even_refused: bool = False) -> list[str]:
        """Read the files that have changed, and return the names of models that were swapped.

        A file that can't be used leaves the version before in its place, and is not read again
        until it changes.

        Parameters
        ----------
        even_refused : bool, default False
            Read those again that could not be used.
        """
        swapped = []
        with self._lock:  # one at a time
            for name, model in list(self._models.items()):
                state = _state(model.path)
                if state is None:
                    self._miss(model)
                elif state == model.state:
                    self._settle(name)
                elif even_refused or self._refused.get(name) != state:
                    swapped += self._swap(model, state)
        return swapped

    def _swap(self, model: ServedModel, state: FileState) -> list[str]:
        try:
            new = ServedModel.load(str(model.path))
        except (SluglineError, OSError, MemoryError) as error:
            self._refused[model.name] = state
            self.problems[model.name] = f"{error}"
            _log.error(
                "%s: the new version can't be used, and version %s goes on answering: %s",
                model.name,
                model.digest,
                error,
            )
            return []
        self._settle(model.name)
        if new.digest == model.digest:
            # Only its time has changed; the old one would look stale for ever.
            self._models[model.name] = new
            return []
        self._models[model.name] = new
        _log.info("%s: version %s answers instead of %s", model.name, new.digest, model.digest)
        return [model.name]

    def _miss(self, model: ServedModel) -> None:
        """Say once that a file is gone; what was read of it goes on answering."""
        if model.name not in self.problems:
            _log.error(
                "%s: %s is gone; version %s goes on answering until the server ends",
                model.name,
                model.path,
                model.digest,
            )
        self.problems[model.name] = f"{model.path} is gone; put a model there."

    def _settle(self, name: str) -> None:
        self.problems.pop(name, None)
        self._refused.pop(name, None)


def _state(path: Path) -> FileState | None:
    try:
        return file_state(path)
    except SluglineError:
        return None
