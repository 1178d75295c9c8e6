"""A model that is served: its name, its digest, and how it answers."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slugline.base.words import counted
from slugline.errors import DataError, ModelFileError, OptionError, SluglineError
from slugline.model.file.content import DEFAULT, load_model, model_path
from slugline.model.file.schema import ModelFile
from slugline.model.fitted import Fitted
from slugline.model.routing import N_GUESSES, Route, Router

__all__ = [
    "FileState",
    "LimitError",
    "Limits",
    "Models",
    "ServedModel",
]


# Characters of a digest that tell versions apart in what people read.
_SHOWN = 12
# Precisions that were asked for lately, of which thresholds are kept.
_N_ROUTERS = 16
_CHUNK = 1 << 20

#: Time of the last change, size and number of a file: another version differs in one of them.
FileState = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedModel:
    """A model from a file, as it answers until another version takes its place.

    Attributes
    ----------
    name : str
        What requests call it: the name of its file without `.slug`.
    path : Path
    digest : str
        SHA-256 of the file, its first 12 digits: its version.
    state : FileState
        Of the file when it was read.
    fitted : Fitted
    file : ModelFile
        What else the file says.
    router : Router
        Answers with the precision that was asked for when the model was trained.
    """

    name: str
    path: Path
    digest: str
    state: FileState
    fitted: Fitted
    file: ModelFile
    router: Router
    _routers: OrderedDict[float, Router] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def load(cls, model: str) -> ServedModel:
        """Read the model at a path, or one that comes with Slugline by its name.

        Raises
        ------
        ModelFileError, EncoderError : see `slugline.load`.
        """
        path = Path(model_path(model))
        while True:
            state = file_state(path)
            digest = _digest(path)
            fitted, file = load_model(path)
            if file_state(path) == state:  # else another version came in between
                break
        return cls(
            name=path.name.removesuffix(".slug"),
            path=path,
            digest=digest,
            state=state,
            fitted=fitted,
            file=file,
            router=Router.from_fitted(fitted),
        )

    def route(
        self, texts: Sequence[str], min_precision: float | None = None, top: int = N_GUESSES
    ) -> list[Route]:
        """Return the answer to each text, or why there is none; see `Router.route`.

        Raises
        ------
        OptionError : if answers of the model can't be as often right as asked.
        """
        return self.router_for(min_precision).route(texts, top)

    def router_for(self, min_precision: float | None) -> Router:
        """Return what answers with a precision; thresholds of the latest ones are kept."""
        if min_precision is None or min_precision == self.router.precision:
            return self.router
        with self._lock:
            router = self._routers.get(min_precision)
            if router is None:
                router = Router.from_fitted(self.fitted, min_precision)
                self._routers[min_precision] = router
                if len(self._routers) > _N_ROUTERS:
                    self._routers.popitem(last=False)
            else:
                self._routers.move_to_end(min_precision)
        return router


def file_state(path: Path) -> FileState:
    """Return what tells versions of a file apart without reading it."""
    try:
        found = path.stat()
    except OSError as error:
        raise ModelFileError(f"{path}: {error.strerror}; check the path.") from error
    return found.st_mtime_ns, found.st_size, found.st_ino


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = hashlib.sha256()
            while chunk := file.read(_CHUNK):
                found.update(chunk)
    except OSError as error:
        raise ModelFileError(f"{path} can't be read: {error.strerror}; check the path.") from error
    return found.hexdigest()[:_SHOWN]


# What may be asked at a time ----------------------------------------------------------------------


class LimitError(DataError):
    """More than may be asked at a time.

    Attributes
    ----------
    index : int or None
        Which of the texts it is, counted from 0; None if there are too many of them, or none.
    """

    def __init__(self, message: str, index: int | None = None) -> None:
        super().__init__(message)
        self.index = index


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may be asked at a time.

    Attributes
    ----------
    texts : int, default 10,000
        Texts of a request.
    characters : int, default 100,000
        Characters of a text.
    explained : int, default 100
        Texts of a request that asks for reasons, which take longer.
    """

    texts: int = 10_000
    characters: int = 100_000
    explained: int = 100

    def check(self, texts: Sequence[str], *, explain: bool = False) -> None:
        """Raise a LimitError if these are too many texts, none, or one of them is too long."""
        most = min(self.explained, self.texts) if explain else self.texts
        if not texts:
            raise LimitError("there are no texts; give one at least.")
        if len(texts) > most:
            why = " with reasons" if explain else ""
            raise LimitError(
                f"there are {counted(len(texts), 'text')}, and a request{why} may have {most:,}; "
                "ask in several requests."
            )
        longest = max(map(len, texts))
        if longest > self.characters:
            index = next(i for i, text in enumerate(texts) if len(text) > self.characters)
            raise LimitError(
                f"text {index} has {counted(len(texts[index]), 'character')}, and a text may have "
                f"{self.characters:,}; shorten it.",
                index,
            )


# The models of a server, each in the latest version of its file that can be used ------------------

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
