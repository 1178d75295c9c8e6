"""A model that is served: its name, its digest, and how it answers."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from slugline.errors import ModelFileError
from slugline.fitted import Fitted
from slugline.routing import N_GUESSES, Route, Router
from slugline.saving.classifier_file import load_model
from slugline.saving.schema import ModelFile
from slugline.saving.shipped import model_path

__all__ = ["FileState", "ServedModel"]

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
            router=Router.of(fitted),
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
                router = Router.of(self.fitted, min_precision)
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
