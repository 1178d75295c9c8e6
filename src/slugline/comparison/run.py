"""Measure several models on the same folds, each in a separate process."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import pickle
import tempfile
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, wait
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from slugline._version import __version__
from slugline.base.arrays import I64
from slugline.base.checks import check_number, check_whole, count_threads
from slugline.base.files import write_whole
from slugline.base.processes import worker_processes
from slugline.base.progress import Progress, announce, check_progress
from slugline.base.wording import counted
from slugline.comparison.fold import (
    FoldResult,
    Job,
    ModelFailure,
    describe,
    is_valid_result,
    measure_fold,
)
from slugline.comparison.models import (
    MODELS,
    Model,
    ModelChoice,
    Models,
    check_corpus,
    check_folds,
    choose_models,
    fold_notes,
)
from slugline.comparison.results import Comparison, ModelResult, combine_folds
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topics
from slugline.corpus.splits import make_folds
from slugline.errors import DataError, Message, OptionError, Parameter, SluglineError, os_errors_as
from slugline.learning import tuning
from slugline.learning.encoder.registry import RECOMMENDED
from slugline.learning.encoder.rows import estimate_seconds
from slugline.learning.labels import Labels
from slugline.learning.learner import FitContext, choose_learner
from slugline.text.feature_groups import default_feature_groups

# The record ---------------------------------------------------------------------------------------

_HEAD = b'{"slugline":"comparison","version":1}\n'
#: Maximum size of a file to read, in bytes.
MAX_BYTES = 1 << 30


class _Line(msgspec.Struct, frozen=True):
    key: str
    result: FoldResult


class ResultLog(AbstractContextManager["ResultLog"]):
    """A file of fold results that lets a comparison resume; a context manager.

    Parameters
    ----------
    path : Path or None
        The file, created if missing; None stores nothing.

    Raises
    ------
    DataError : if the file is not such a log, is damaged or too large.
    SluglineError : if it can't be read or written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._found: dict[tuple[str, int], FoldResult] = {}
        self._file: BinaryIO | None = None
        if path is None:
            return
        with _translate_os_errors(path):
            if not path.exists() or not path.stat().st_size:
                write_whole(path, _HEAD)
            self._read(path)

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()

    def find(self, key: str) -> dict[int, FoldResult]:
        """Return the results under a key, by fold."""
        return {fold: result for (k, fold), result in self._found.items() if k == key}

    def add(self, key: str, result: FoldResult) -> None:
        """Append a result and flush it."""
        if self._file is None or self._path is None:
            return
        with _translate_os_errors(self._path):
            self._file.write(msgspec.json.encode(_Line(key, result)) + b"\n")
            self._file.flush()

    def _read(self, path: Path) -> None:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(
                f"{path} has {size:,} bytes, more than a record of comparisons may have "
                f"({MAX_BYTES:,}); name another file with ",
                Parameter("resume"),
                ".",
            )
        content = path.read_bytes()
        if not content.startswith(_HEAD):
            raise DataError(
                f"{path} isn't a record of a comparison by this version; name another file, or one "
                "that doesn't exist yet, with ",
                Parameter("resume"),
                ".",
            )
        # A killed process may have written an incomplete last line.
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines()[1:], start=2):
            try:
                read = msgspec.json.decode(line, type=_Line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise DataError(
                    f"{path}: line {number} isn't the result of a model ({error}); remove the "
                    "line, or "
                    "name another file with ",
                    Parameter("resume"),
                    ".",
                ) from error
            self._found[read.key, read.result.fold] = read.result
        self._file = path.open("r+b")
        self._file.truncate(len(whole))
        self._file.seek(0, os.SEEK_END)


def _translate_os_errors(path: Path) -> AbstractContextManager[None]:
    failure = f"{path} can't be read or written"
    advice = Message("name another file with ", Parameter("resume"), ".")
    return os_errors_as(SluglineError, failure, advice)


# The comparison -----------------------------------------------------------------------------------

# Maximum wait in seconds. On some systems, an untimed wait ignores Ctrl-C.
_PATIENCE = 0.5
# What results depend on in addition to the model.
_LIBRARIES = ("numpy", "scipy", "scikit-learn")


@dataclass(frozen=True)
class CompareSettings:
    """Settings of a comparison; OptionError if one is out of range.

    Attributes
    ----------
    n_folds : int, default 5
        Number of folds for cross-validation.
    random_state : int, default 0
        Seed of the folds and of the models.
    n_processes : int, default 1
        Number of models to measure at the same time; several slow each other down.
    n_jobs : int, optional
        Number of threads per model; by default the number of cores divided by `n_processes`.
    timeout : float, default 3600
        Time limit per model and fold, in seconds.
    """

    n_folds: int = 5
    random_state: int = 0
    n_processes: int = 1
    n_jobs: int | None = None
    timeout: float = 3600.0

    def __post_init__(self) -> None:
        check_whole("n_folds", self.n_folds, 2)
        check_whole("random_state", self.random_state, 0, (1 << 32) - 1)
        check_whole("n_processes", self.n_processes, 1)
        check_number("timeout", self.timeout, over=0, under=1e8)

    @property
    def n_threads(self) -> int:
        """Number of threads per model."""
        if self.n_jobs is not None:
            return count_threads(self.n_jobs)
        return max(1, count_threads(None) // self.n_processes)


def compare_models(
    corpus: Corpus,
    models: Models | ModelChoice = ("all",),
    settings: CompareSettings | None = None,
    *,
    baseline: Any = None,
    resume: Path | None = None,
    progress: Progress | None = None,
    on_result: Callable[[ModelResult], None] | None = None,
) -> Comparison:
    """Measure accuracy, time, memory and size of several models on the same folds.

    If a model raises an error, crashes or times out, its result contains the reason. Ctrl-C ends
    all processes and returns the models measured so far, if any.

    Parameters
    ----------
    corpus : Corpus
    models : default ("all",)
        As in `choose_models`, or its result.
    settings : CompareSettings, optional
    baseline : str or estimator, optional
        The model to compare the others with; by default the best.
    resume : Path, optional
        A checkpoint file for fold results; finished folds are skipped.
    progress : Progress, optional
    on_result : callable, optional
        Called with each model's result.

    Raises
    ------
    DataError : if there are too few topics to tell apart, or `resume` is not a checkpoint.
    OptionError : if a model is unknown, a user-defined model can't be found, or there are more
        folds than documents.
    EncoderError : if the encoder is requested by name but not installed.
    """
    settings = settings or CompareSettings()
    if not isinstance(models, ModelChoice):
        models = choose_models(models, baseline=baseline, multilabel=corpus.multilabel)
    chosen, left_out, baseline = models
    check_corpus(corpus)
    if settings.n_folds > len(corpus):
        raise OptionError(
            Parameter("n_folds"),
            f" is {settings.n_folds}, but {corpus.name} has only {len(corpus):,} documents; "
            "give at most as many folds.",
        )
    folds = make_folds(corpus.topics, settings.n_folds, settings.random_state)
    check_folds(corpus, folds)
    with (
        tempfile.TemporaryDirectory(prefix="slugline-") as folder,
        ResultLog(resume) as record,
        closing(check_progress(progress)) as progress,
    ):
        run = _Run(corpus, folds, settings, chosen, Path(folder), record)
        interrupted = run.measure(progress, on_result)
    return Comparison(
        name=corpus.name,
        digest=run.digest,
        n_documents=len(corpus),
        n_topics=len(set(corpus.all_topics())),
        n_folds=settings.n_folds,
        seed=settings.random_state,
        n_processes=settings.n_processes,
        n_threads=settings.n_threads,
        models=tuple(run.result(model) for model in chosen),
        notes=(*fold_notes(corpus, settings.n_folds), *left_out),
        interrupted=interrupted,
        multilabel=corpus.multilabel,
        baseline=baseline,
    )


# Environment variables for temporary folders, and for the number of threads of the libraries
# below NumPy and scikit-learn.
_TEMPORARY = ("TMPDIR", "TEMP", "TMP")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class _ModelProcess(ExitStack):
    """A process that measures the folds of a model one after another; terminated on exit.

    Parameters
    ----------
    model : Model
    folds : list of int
        The folds to measure.
    timeout : float
        Time limit per fold, in seconds.
    environment : mapping
        Environment variables of the process.
    """

    def __init__(
        self, model: Model, folds: Sequence[int], timeout: float, environment: dict[str, str]
    ) -> None:
        super().__init__()
        self.model = model
        self.folds = deque(folds)
        self._timeout = timeout
        self._executor = self.enter_context(worker_processes(1, environment, silent=True))

    def start(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function in the process."""
        self._ends = time.monotonic() + self._timeout
        self.future = self._executor.submit(function, *arguments)

    def outcome(self) -> Any:
        """Return the function's result or failure; None while it is running."""
        if not self.future.done():
            is_late = time.monotonic() > self._ends
            late = f"took over {self._timeout:g} s for a fold, which is the limit"
            return ModelFailure(late) if is_late else None
        try:
            return self.future.result()
        except BrokenExecutor:
            return ModelFailure("its process crashed or was killed, perhaps for lack of memory")
        except Exception as error:  # noqa: BLE001 (the other models go on)
            return ModelFailure(f"can't be measured ({type(error).__name__}: {error})")


@dataclass
class _Run:
    """All models of a comparison, each measured in a separate process."""

    corpus: Corpus
    folds: I64
    settings: CompareSettings
    models: tuple[Model, ...]
    folder: Path
    record: ResultLog
    _results: dict[str, dict[int, FoldResult]] = field(init=False)
    _errors: dict[str, str] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        corpus = self.corpus
        self._results = {model.name: {} for model in self.models}
        names = Topics.fit(corpus.all_topics())
        self._names = [str(name) for name in names.names]
        self._y = (
            names.encode_sets(corpus.topics, bool)
            if corpus.multilabel
            else names.encode(corpus.topics)
        )
        self._topics = [self._y[self.folds == fold] for fold in range(self.settings.n_folds)]
        job = Job(
            list(corpus.texts),
            list(corpus.topics),
            self.folds.tolist(),
            self.settings.random_state,
            self.settings.n_threads,
        )
        self._job_path = self.folder / "job.pickle"
        self._job_path.write_bytes(pickle.dumps(job))
        self.digest = corpus.digest()
        self._pickles = {
            m.name: self._write_pickle(m) for m in self.models if m.estimator is not None
        }

    def _write_pickle(self, model: Model) -> Path:
        """Pickle an estimator for its process and return the path."""
        # Python's pickle rejects objects defined in a notebook.
        import cloudpickle

        path = self.folder / f"{len([*self.folder.iterdir()])}.pickle"
        try:
            path.write_bytes(cloudpickle.dumps(model.estimator))
        except Exception as error:
            raise OptionError(
                Parameter("models"),
                f" has {model.name}, which can't be sent to another process "
                f"({type(error).__name__}: {error}); put it into a file, and name it module:name.",
            ) from error
        return path

    def measure(self, progress: Progress, on_result: Callable[[ModelResult], None] | None) -> bool:
        """Measure all models; return True if Ctrl-C ended the run with some results complete."""
        for model in self.models:
            self._keys[model.name] = key = self._key(model)
            stored = self.record.find(key).items()
            self._results[model.name] = {
                n: found for n, found in stored if self._is_right(found, n)
            }
        self._announce(progress)
        try:
            self._measure_all(progress, on_result or (lambda _: None))
        except KeyboardInterrupt:
            if all(self._missing(model) for model in self.models):
                raise
            return True
        return False

    def _announce(self, progress: Progress) -> None:
        """Report the expected time of the encoder and of tuning, if long."""
        n_folds = {model.name: len(self._missing(model)) for model in self.models}
        texts, threads = self.corpus.texts, self.settings.n_threads
        work = f"all {len(texts):,} texts in each of {counted(self.settings.n_folds, 'fold')}"
        advice = Message("; ", Parameter("models"), " can leave it out")
        if n := n_folds.get("encoder", 0):
            seconds = n * estimate_seconds(texts, RECOMMENDED, threads)
            announce(progress, f"encoder: encodes {work}", seconds, advice)
        if n := n_folds.get("tuned", 0):
            context = FitContext(n_topics=len(self._names), n_jobs=threads)
            weighting, multilabel = choose_learner("linear").weighting, self.corpus.multilabel
            feature_groups = default_feature_groups(
                weighting, texts, context.n_topics, multilabel=multilabel
            )
            topics = Topics.fit(self.corpus.all_topics())
            labels = Labels.encode(topics, self.corpus.topics, multilabel=multilabel)
            seconds = n * tuning.estimate_seconds(texts, labels, feature_groups, context)
            announce(progress, f"tuned: searches settings on {work}", seconds, advice)

    def result(self, model: Model) -> ModelResult:
        """Return the result of a model, as far as measured."""
        results, missing = self._results[model.name], self._missing(model)
        error = self._errors.get(model.name)
        if error is None and missing:
            error = f"interrupted after {len(results)} of {self.settings.n_folds} folds"
        # A checkpoint may contain folds after a missing one.
        whole = [results[fold] for fold in range(missing[0] if missing else len(results))]
        return combine_folds(model, whole, self._topics, self._names, error)

    def _key(self, model: Model) -> str:
        """Return the key of a model's stored results; OptionError if the model can't be found."""
        if model.estimator is not None:
            identity = hashlib.sha256(self._pickles[model.name].read_bytes()).hexdigest()
        else:
            identity = self._identity(model) if model.name not in MODELS else ""
        versions = [importlib.metadata.version(library) for library in _LIBRARIES]
        parts = [
            self.digest,
            self.settings.n_folds,
            self.settings.random_state,
            model.name,
            identity,
        ]
        parts += ["slugline", __version__, *versions]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]

    def _identity(self, model: Model) -> str:
        with self._process(model) as process:
            process.start(describe, model.name, self.settings.random_state)
            while (outcome := process.outcome()) is None:
                wait([process.future], _PATIENCE)
        if isinstance(outcome, ModelFailure):
            raise OptionError(Parameter("models"), f" names {model.name}: {outcome.reason}")
        return str(outcome)

    def _is_right(self, result: FoldResult, fold: int) -> bool:
        is_fold = result.fold == fold and 0 <= fold < self.settings.n_folds
        return is_fold and is_valid_result(
            result,
            n_documents=self._topics[fold].shape[0],
            n_topics=len(self._names),
            multilabel=self.corpus.multilabel,
        )

    def _missing(self, model: Model) -> list[int]:
        return sorted({*range(self.settings.n_folds)} - self._results[model.name].keys())

    def _process(self, model: Model) -> _ModelProcess:
        environment = dict.fromkeys(_THREADS, str(self.settings.n_threads))
        environment |= dict.fromkeys(_TEMPORARY, str(self.folder))
        # Make the order of sets reproducible, and don't let files in the current folder shadow
        # installed modules.
        environment |= {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1"}
        return _ModelProcess(model, self._missing(model), self.settings.timeout, environment)

    def _measure_all(self, progress: Progress, on_result: Callable[[ModelResult], None]) -> None:
        """Measure the missing folds of all models, `n_processes` models at a time."""
        unfinished = list(self.models)
        waiting = deque(self.models)
        running: list[_ModelProcess] = []
        n_fits = sum(len(self._missing(model)) for model in unfinished)

        def start_fold(process: _ModelProcess) -> None:
            model, fold = process.model, process.folds[0]
            n_left = sum(len(self._missing(each)) for each in unfinished)
            step = f"{model.name}: fold {fold + 1} of {self.settings.n_folds}"
            progress.update(step, (n_fits - n_left) / n_fits)
            process.start(
                measure_fold, self._job_path, model.name, self._pickles.get(model.name), fold
            )

        def finish(model: Model) -> None:
            unfinished.remove(model)
            on_result(self.result(model))

        try:
            while unfinished:
                while waiting and len(running) < self.settings.n_processes:
                    model = waiting.popleft()
                    if self._missing(model):
                        running.append(self._process(model))
                        start_fold(running[-1])
                    else:
                        finish(model)
                wait([process.future for process in running], _PATIENCE, FIRST_COMPLETED)
                for process in list(running):
                    outcome = process.outcome()
                    if outcome is None:
                        continue
                    self._store(process, outcome)
                    if process.folds:
                        start_fold(process)
                    else:
                        process.close()
                        running.remove(process)
                        finish(process.model)
        finally:
            for process in running:
                process.close()

    def _store(self, process: _ModelProcess, outcome: FoldResult | ModelFailure) -> None:
        """Store the result of a fold; after a failure, skip the model's other folds."""
        name = process.model.name
        if isinstance(outcome, ModelFailure):
            self._errors[name] = outcome.reason
            process.folds.clear()
        else:
            self._results[name][process.folds.popleft()] = outcome
            self.record.add(self._keys[name], outcome)
