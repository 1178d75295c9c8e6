"""The models of a server, each in the latest usable version of its file."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from slugline.base.arrays import F32, Index
from slugline.base.files import file_sha256, file_state
from slugline.errors import OptionError, SluglineError
from slugline.learning.learner import is_linear
from slugline.model.decider import Decider
from slugline.model.decision import N_GUESSES, Decision
from slugline.model.file import container
from slugline.model.file.content import load_model
from slugline.model.file.schema import ModelFile
from slugline.model.file.shipped import DEFAULT_MODEL, model_path
from slugline.model.fitted import Fitted
from slugline.serving.service_errors import UnknownModelError
from slugline.text.features import WordCounts
from slugline.text.scoring import can_score

# Deciders that are cached, one for each precision that requests ask for.
_N_DECIDERS = 16
# Maximum number of topics of a model whose answers are quick.
_MAX_QUICK_TOPICS = 200

_log = logging.getLogger("slugline.server")

#: Time of the last change, size and number of a file: another version differs in one of them.
FileState = tuple[int, int, int]


class AnsweredTexts(NamedTuple):
    """Texts that a model answered together.

    Attributes
    ----------
    texts : sequence of str
    decisions : sequence of Decision
    proba : float32 array, shape (n_texts, n_topics)
    words : WordCounts
    """

    texts: Sequence[str]
    decisions: Sequence[Decision]
    proba: F32
    words: WordCounts

    def take(self, rows: Index) -> AnsweredTexts:
        """Return some of the texts."""
        return AnsweredTexts(
            [self.texts[row] for row in rows.tolist()],
            [self.decisions[row] for row in rows.tolist()],
            self.proba[rows],
            WordCounts(self.words.n_known[rows], self.words.n_words[rows]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedModel:
    """A model from a file, until another version replaces it.

    Attributes
    ----------
    name : str
        The name of its file without `.slug`; requests use it.
    path : Path
    digest : str
        The first 12 digits of the file's SHA-256: its version.
    state : FileState
        State of the file when it was read.
    fitted : Fitted
    file : ModelFile
        The content of the file.
    min_precision : float or None
        Precision of the answers; None for the precision that the model was trained for.
    decider : Decider
        The decider for this precision.
    """

    name: str
    path: Path
    digest: str
    state: FileState
    fitted: Fitted
    file: ModelFile
    min_precision: float | None
    decider: Decider

    @functools.cached_property
    def _cached_decider(self) -> Callable[[float], Decider]:
        return functools.lru_cache(_N_DECIDERS)(functools.partial(Decider.from_fitted, self.fitted))

    @functools.cached_property
    def is_quick(self) -> bool:
        """Whether its answer to a short text takes some hundredths of a millisecond."""
        fitted = self.fitted
        reads_with_encoder = fitted.encoder is not None and fitted.encoder.summing_encoder is None
        return (
            is_linear(fitted.learner)
            and can_score(fitted.features)
            and not reads_with_encoder
            and len(fitted.topics) <= _MAX_QUICK_TOPICS
        )

    @classmethod
    def load(cls, model: str, min_precision: float | None = None) -> ServedModel:
        """Read the model at a path, or one that comes with Slugline; see `slugline.load`.

        Raises
        ------
        EncoderError : also if its table of word vectors was changed on disk.
        OptionError : if no threshold reaches `min_precision`; the model's own may be out of reach.
        """
        path = Path(model_path(model))
        while True:
            with container.translate_os_errors(path):
                state, digest = file_state(path), file_sha256(path)[: container.DIGEST_LENGTH]
            fitted, file = load_model(path)
            if _state(path) == state:  # else the file was replaced meanwhile
                break
        if fitted.encoder is not None:
            fitted.encoder.check_table()
        try:
            decider = Decider.from_fitted(fitted, min_precision)
        except OptionError as error:
            raise OptionError(f"{path}: ", *error.parts) from error
        if decider.note:
            _log.warning("%s is %s", path, decider.note)
        return cls(
            name=path.name.removesuffix(".slug"),
            path=path,
            digest=digest,
            state=state,
            fitted=fitted,
            file=file,
            min_precision=min_precision,
            decider=decider,
        )

    def answer(
        self, texts: Sequence[str], min_precision: float | None = None, top: int = N_GUESSES
    ) -> AnsweredTexts:
        """Return the decision on each text, and what it was made from; see `Decider.decide`.

        Raises
        ------
        OptionError : if the model can't reach the precision.
        """
        decider = self.decider_for(min_precision)
        proba, words = self.fitted.predict_with_words(texts)
        decisions = decider.decide_from_proba(texts, proba, words, top)
        return AnsweredTexts(texts, decisions, proba, words)

    def decider_for(self, min_precision: float | None) -> Decider:
        """Return the decider for a precision; the most recent deciders are cached."""
        if min_precision is None:
            return self.decider
        return self._cached_decider(min_precision)


# All models of a server ---------------------------------------------------------------------------


class ServedModels:
    """The served models by name. A request keeps its model when another version replaces it.

    The first of the models answers requests that name none.
    """

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self._models = {model.name: model for model in models}
        #: What is wrong with the latest version of a model's file.
        self.problems: dict[str, str] = {}
        self._refused: dict[str, FileState] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, names: Sequence[str], min_precision: float | None = None) -> ServedModels:
        """Read models from files or by name; the default model if there are no names.

        Raises
        ------
        ModelFileError, EncoderError : see `slugline.load`.
        OptionError : if two have one name, or one can't promise `min_precision`.
        """
        models: dict[str, ServedModel] = {}
        for name in names or (DEFAULT_MODEL,):
            model = ServedModel.load(name, min_precision)
            if model.name in models:
                raise OptionError(
                    f"{models[model.name].path} and {model.path} would both be called "
                    f"{model.name!r}; rename one of the files."
                )
            models[model.name] = model
        return cls(list(models.values()))

    @property
    def default(self) -> ServedModel:
        """The model for requests that name none."""
        return next(iter(self._models.values()))

    def all(self) -> list[ServedModel]:
        """Return all models, in their order."""
        return list(self._models.values())

    def get(self, name: str | None) -> ServedModel:
        """Return the model with a name, or the default model for None.

        Raises
        ------
        UnknownModelError : if there is none.
        """
        if name is None:
            return self.default
        if name not in self._models:
            raise UnknownModelError(name, list(self._models))
        return self._models[name]

    def refresh(self) -> list[str]:
        """Read the files that have changed; return the names of the models that were replaced.

        A file that can't be used leaves the earlier version in place. It is not read again until it
        changes.
        """
        replaced = []
        with self._lock:  # one at a time
            for name, model in list(self._models.items()):
                state = _state(model.path)
                if state is None:
                    self._report_missing(model)
                elif state == model.state:
                    self._clear_problem(name)
                elif self._refused.get(name) == state:
                    continue
                elif self._replace(model, state):
                    replaced.append(name)
        return replaced

    def _replace(self, model: ServedModel, state: FileState) -> bool:
        """Read the file of a model again; return whether another version answers now."""
        try:
            new = ServedModel.load(str(model.path), model.min_precision)
        except (SluglineError, OSError, MemoryError) as error:
            self._refused[model.name] = state
            self.problems[model.name] = f"{error}"
            line = "%s: the new version can't be used, and version %s continues to answer: %s"
            _log.error(line, model.name, model.digest, error)
            return False
        self._clear_problem(model.name)
        self._models[model.name] = new
        if new.digest == model.digest:  # only its time has changed
            return False
        _log.info("%s: version %s answers instead of %s", model.name, new.digest, model.digest)
        return True

    def _report_missing(self, model: ServedModel) -> None:
        """Log once that a file is missing; its model continues to be served."""
        if model.name not in self.problems:
            line = "%s: %s is gone; version %s continues to answer until the server ends"
            _log.error(line, model.name, model.path, model.digest)
        self.problems[model.name] = f"{model.path} is gone; put a model there."

    def _clear_problem(self, name: str) -> None:
        """Forget what was wrong with the file of a model."""
        self.problems.pop(name, None)
        self._refused.pop(name, None)


def _state(path: Path) -> FileState | None:
    try:
        return file_state(path)
    except OSError:
        return None
