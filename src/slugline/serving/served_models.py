"""The models of a server, each loaded from the latest usable version of its file."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from msgspec import UNSET, UnsetType

from slugline.base.arrays import F32, Index
from slugline.base.checks import short_repr
from slugline.base.files import file_sha256, file_state
from slugline.base.wording import counted, nearest
from slugline.corpus.documents import RowText
from slugline.errors import DataError, OptionError, Parameter, SluglineError
from slugline.learning.learner import is_linear
from slugline.model.decider import Decider
from slugline.model.decision import N_GUESSES, Decision
from slugline.model.file import container
from slugline.model.file.content import load_model
from slugline.model.file.schema import ModelFile
from slugline.model.file.shipped import DEFAULT_MODEL, model_path, split_question
from slugline.model.fitted import Fitted
from slugline.serving.requests import Cells
from slugline.serving.service_errors import UnknownModelError
from slugline.text.features import WordCounts
from slugline.text.scoring import can_score
from slugline.text.table_columns import describe_odd_cells, odd_cells_note, unused_note

# Maximum number of cached deciders per model, one per requested precision.
_N_DECIDERS = 16
# Maximum number of topics of a quick model.
_MAX_QUICK_TOPICS = 200

_log = logging.getLogger("slugline.server")

#: Modification time, size and inode of a file; at least one differs between versions.
FileState = tuple[int, int, int]


class AnsweredTexts(NamedTuple):
    """Texts answered in one call.

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
        """Return the given rows."""
        return AnsweredTexts(
            [self.texts[row] for row in rows.tolist()],
            [self.decisions[row] for row in rows.tolist()],
            self.proba[rows],
            WordCounts(self.words.n_known[rows], self.words.n_words[rows]),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class ServedModel:
    """A loaded model, served until a new version replaces it.

    Attributes
    ----------
    name : str
        File name without `.slug`, used in requests; with a question, such as "desk:queue".
    path : Path
    question : str or None
        The question to answer if the file answers several.
    digest : str
        Version: the first 12 digits of the file's SHA-256.
    state : FileState
        State of the file when it was loaded.
    fitted : Fitted
    file : ModelFile
        Content of the file.
    min_precision : float or None
        Required precision; None for the model's own.
    decider : Decider
        The decider for this precision.
    """

    name: str
    path: Path
    question: str | None
    digest: str
    state: FileState
    fitted: Fitted
    file: ModelFile
    min_precision: float | None
    decider: Decider

    @property
    def reference(self) -> str:
        """The path, with the question if there are several, such as desk.slug:queue."""
        return str(self.path) if self.question is None else f"{self.path}:{self.question}"

    @functools.cached_property
    def _cached_decider(self) -> Callable[[float], Decider]:
        return functools.lru_cache(_N_DECIDERS)(functools.partial(Decider.from_fitted, self.fitted))

    @functools.cached_property
    def is_quick(self) -> bool:
        """True if classifying a short text takes only hundredths of a millisecond."""
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
        """Load a model from a path, or an included model by name; see `slugline.load`.

        Raises
        ------
        EncoderError : also if its table of word vectors has changed on disk.
        OptionError : if no threshold reaches `min_precision`. If no threshold reaches the model's
            own precision, there is no error.
        """
        file_path, question = split_question(model_path(model))
        path = Path(file_path)
        while True:
            with container.translate_os_errors(path):
                state, digest = file_state(path), file_sha256(path)[: container.DIGEST_LENGTH]
            fitted, file = load_model(model)
            if _state(path) == state:  # else the file was replaced while loading
                break
        if fitted.encoder is not None:
            fitted.encoder.check_table()
        try:
            decider = Decider.from_fitted(fitted, min_precision)
        except OptionError as error:
            raise OptionError(f"{model}: ", *error.parts) from error
        if decider.note:
            _log.warning("%s is %s", model, decider.note)
        name = path.name.removesuffix(".slug")
        return cls(
            name=name if question is None else f"{name}:{question}",
            path=path,
            question=question,
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
        """Return the decisions on the texts with their intermediate results; see `Decider.decide`.

        Raises
        ------
        OptionError : if the model can't reach the precision.
        """
        decider = self.decider if min_precision is None else self._cached_decider(min_precision)
        proba, words = self.fitted.predict_with_words(texts)
        decisions = decider.decide_from_proba(texts, proba, words, top)
        return AnsweredTexts(texts, decisions, proba, words)


# All models of a server ---------------------------------------------------------------------------


class ServedModels:
    """The served models by name. A running request keeps its model if a new version replaces it.

    The first model is the default.
    """

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self._models = {model.name: model for model in models}
        #: Problems with the latest version of each model's file.
        self.problems: dict[str, str] = {}
        self._refused: dict[str, FileState] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, names: Sequence[str], min_precision: float | None = None) -> ServedModels:
        """Load models from files or by name; the included model if no names are given.

        Raises
        ------
        ModelFileError, EncoderError : see `slugline.load`.
        OptionError : if two models share a name, or one can't reach `min_precision`.
        """
        models: dict[str, ServedModel] = {}
        for reference in _references(names or (DEFAULT_MODEL,)):
            model = ServedModel.load(reference, min_precision)
            if model.name in models:
                raise OptionError(
                    f"{models[model.name].path} and {model.path} would both be called "
                    f"{model.name!r}; rename one of the files."
                )
            models[model.name] = model
        return cls(list(models.values()))

    @property
    def default(self) -> ServedModel:
        """The first model."""
        return next(iter(self._models.values()))

    def all(self) -> list[ServedModel]:
        """Return all models in order."""
        return list(self._models.values())

    def other_questions(self, model: ServedModel) -> list[ServedModel]:
        """Return the models of the other questions that a model's file answers."""
        return [
            other
            for other in self._models.values()
            if other.path == model.path and other.question != model.question
        ]

    def get(self, name: str | None) -> ServedModel:
        """Return a model by name, or the default for None.

        Raises
        ------
        UnknownModelError : if no model has this name.
        """
        if name is None:
            return self.default
        if name not in self._models:
            raise UnknownModelError(name, list(self._models))
        return self._models[name]

    def refresh(self) -> list[str]:
        """Reload changed files and return the names of the replaced models.

        If a file can't be used, the earlier version stays, and the file is ignored until it changes
        again.
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
        """Reload a model's file; return True if a different version is now served."""
        try:
            new = ServedModel.load(model.reference, model.min_precision)
        except (SluglineError, OSError, MemoryError) as error:
            self._refused[model.name] = state
            self.problems[model.name] = f"{error}"
            line = "%s: the new version can't be used; still serving version %s: %s"
            _log.error(line, model.name, model.digest, error)
            return False
        self._clear_problem(model.name)
        self._models[model.name] = new
        if new.digest == model.digest:  # only the modification time differs
            return False
        _log.info("%s: now serving version %s instead of %s", model.name, new.digest, model.digest)
        return True

    def _report_missing(self, model: ServedModel) -> None:
        """Log a missing file once; its model is still served."""
        if model.name not in self.problems:
            line = "%s: %s is gone; still serving version %s until the server stops"
            _log.error(line, model.name, model.path, model.digest)
        self.problems[model.name] = f"{model.path} is gone; put a model there."

    def _clear_problem(self, name: str) -> None:
        """Clear the problem with a model's file."""
        self.problems.pop(name, None)
        self._refused.pop(name, None)


def _references(names: Sequence[str]) -> Iterator[str]:
    """Yield the models to serve: each name, or each of several questions that its file answers."""
    for name in names:
        path = model_path(name)
        references = container.question_paths(container.read_bytes(path), path)
        yield from [name] if "" in references else map(str, references.values())


def _state(path: Path) -> FileState | None:
    try:
        return file_state(path)
    except OSError:
        return None


# Columns ------------------------------------------------------------------------------------------


def add_columns(
    model: ServedModel, texts: Sequence[str], columns: Cells | Sequence[Cells]
) -> tuple[list[str], str | UnsetType]:
    """Return texts with the model's columns, and a note on missing or invalid ones.

    Raises
    ------
    DataError : if the model has no such column, or the number of objects differs from the texts.
    """
    if not columns and not model.fitted.features.table_columns:
        return list(texts), UNSET
    column_names = [column.name for column in model.fitted.features.table_columns]
    if not columns:
        rows: Sequence[Cells] = [{}] * len(texts)
    elif isinstance(columns, dict):
        rows = [columns]
    else:
        rows = columns
    if len(rows) != len(texts):
        raise DataError(
            Parameter("columns"),
            f" has {counted(len(rows), 'object')} for {counted(len(texts), 'text')}; give one "
            "for each.",
        )
    unknown = next((name for row in rows for name in row if name not in column_names), None)
    if unknown is not None:
        near = nearest(unknown, column_names)
        advice = f"it has {', '.join(column_names)}" if column_names else "it uses only the text"
        raise DataError(
            f"{model.name} has no column {short_repr(unknown)}; "
            + (f"did you mean {near!r}?" if near else f"{advice}.")
        )
    if not column_names:
        return list(texts), UNSET
    documents: list[str] = [RowText(text, row) for text, row in zip(texts, rows, strict=True)]
    notes = [
        odd_cells_note(describe_odd_cells(documents, model.fitted.columns).values()),
        unused_note((name for row in rows for name in row), model.fitted.features.table_columns),
    ]
    return documents, "; ".join(filter(None, notes)) or UNSET
