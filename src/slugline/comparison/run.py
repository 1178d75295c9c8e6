"""Measure several models on the same folds, each in a separate process."""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, wait
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slugline.base.arrays import I64
from slugline.base.checks import check_number, check_whole, count_threads
from slugline.base.processes import worker_processes
from slugline.base.progress import Progress, check_progress
from slugline.comparison.fold import FoldResult, Job, ModelFailure, check, measure_fold
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
from slugline.errors import OptionError, Parameter

# Maximum wait in seconds. On some systems, an untimed wait ignores Ctrl-C.
_PATIENCE = 0.5
# Environment variables for temporary folders, and for the number of threads of the libraries
# below NumPy and scikit-learn.
_TEMPORARY = ("TMPDIR", "TEMP", "TMP")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True)
class CompareSettings:
    """Settings of a comparison; OptionError if one is out of range.

    Attributes
    ----------
    n_folds : int, default 5
        Number of folds for cross-validation.
    random_state : int, default 0
        Seed of the folds and of the models.
    n_jobs : int, optional
        Number of threads per model; by default one per core.
    timeout : float, default 3600
        Time limit per model and fold, in seconds.
    """

    n_folds: int = 5
    random_state: int = 0
    n_jobs: int | None = None
    timeout: float = 3600.0

    def __post_init__(self) -> None:
        check_whole("n_folds", self.n_folds, 2)
        check_whole("random_state", self.random_state, 0, (1 << 32) - 1)
        check_number("timeout", self.timeout, over=0, under=1e8)

    @property
    def n_threads(self) -> int:
        """Number of threads per model."""
        return count_threads(self.n_jobs)


def compare_models(
    corpus: Corpus,
    models: Models | ModelChoice = ("all",),
    settings: CompareSettings | None = None,
    *,
    baseline: Any = None,
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
    progress : Progress, optional
    on_result : callable, optional
        Called with each model's result.

    Raises
    ------
    DataError : if there are too few topics to tell apart.
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
            "use at most that many folds.",
        )
    folds = make_folds(corpus.topics, settings.n_folds, settings.random_state)
    check_folds(corpus, folds)
    with (
        tempfile.TemporaryDirectory(prefix="slugline-") as folder,
        closing(check_progress(progress)) as progress,
    ):
        run = _Run(corpus, folds, settings, chosen, Path(folder))
        interrupted = run.measure(progress, on_result or (lambda _: None))
    return Comparison(
        name=corpus.name,
        digest=corpus.digest(),
        n_documents=len(corpus),
        n_topics=len(set(corpus.all_topics())),
        n_folds=settings.n_folds,
        seed=settings.random_state,
        n_threads=settings.n_threads,
        models=tuple(map(run.result, chosen)),
        notes=(*fold_notes(corpus, settings.n_folds), *left_out),
        interrupted=interrupted,
        multilabel=corpus.multilabel,
        baseline=baseline,
    )


class _Run:
    """All models of a comparison, measured one after another, each in a separate process."""

    def __init__(
        self,
        corpus: Corpus,
        folds: I64,
        settings: CompareSettings,
        models: tuple[Model, ...],
        folder: Path,
    ) -> None:
        self._settings, self._models, self._folder = settings, models, folder
        self._results: dict[str, list[FoldResult]] = {model.name: [] for model in models}
        self._errors: dict[str, str] = {}
        topics = Topics.fit(corpus.all_topics())
        self._names = [str(name) for name in topics.names]
        y: Any = (
            topics.encode_sets(corpus.topics, bool)
            if corpus.multilabel
            else topics.encode(corpus.topics)
        )
        self._y_by_fold = [y[folds == fold] for fold in range(settings.n_folds)]
        job = Job(
            list(corpus.texts),
            list(corpus.topics),
            folds.tolist(),
            settings.random_state,
            settings.n_threads,
        )
        self._job_path = folder / "job.pickle"
        self._job_path.write_bytes(pickle.dumps(job))
        self._pickles = {m.name: _pickle(m) for m in models if m.estimator is not None}

    def measure(self, progress: Progress, on_result: Callable[[ModelResult], None]) -> bool:
        """Measure all models; return True if Ctrl-C ended the run with some results complete.

        Raises OptionError, before any model is measured, if a user-defined one can't be made.
        """
        for model in self._models:
            if model.estimator is None and model.name not in MODELS:
                self._check(model)
        try:
            for number, model in enumerate(self._models):
                self._measure_folds(model, number, progress)
                on_result(self.result(model))
        except KeyboardInterrupt:
            n_folds = self._settings.n_folds
            if not any(len(results) == n_folds for results in self._results.values()):
                raise
            return True
        return False

    def result(self, model: Model) -> ModelResult:
        """Return the result of a model, as far as measured."""
        results, n_folds = self._results[model.name], self._settings.n_folds
        error = self._errors.get(model.name)
        if error is None and len(results) < n_folds:
            error = f"interrupted after {len(results)} of {n_folds} folds"
        return combine_folds(model, results, self._y_by_fold, self._names, error)

    def _check(self, model: Model) -> None:
        with self._process() as process:
            failure = self._call(process, check, model.name, self._settings.random_state)
        if failure is not None:
            raise OptionError(Parameter("models"), f" names {model.name}: {failure.reason}")

    def _measure_folds(self, model: Model, number: int, progress: Progress) -> None:
        """Measure the folds of a model in one process, until one fails."""
        n_folds = self._settings.n_folds
        with self._process() as process:
            for fold in range(n_folds):
                fraction_done = (number + fold / n_folds) / len(self._models)
                progress.update(f"{model.name}: fold {fold + 1} of {n_folds}", fraction_done)
                pickled = self._pickles.get(model.name)
                outcome = self._call(
                    process, measure_fold, self._job_path, model.name, pickled, fold
                )
                if isinstance(outcome, ModelFailure):
                    self._errors[model.name] = outcome.reason
                    return
                self._results[model.name].append(outcome)

    def _process(self) -> AbstractContextManager[Executor]:
        environment = dict.fromkeys(_THREADS, str(self._settings.n_threads))
        environment |= dict.fromkeys(_TEMPORARY, str(self._folder))
        # Make the order of sets reproducible, and don't let files in the current folder shadow
        # installed modules.
        environment |= {"PYTHONHASHSEED": "0", "PYTHONSAFEPATH": "1"}
        return worker_processes(1, environment, silent=True)

    def _call(self, process: Executor, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function in the process and return its result, or a failure."""
        ends = time.monotonic() + self._settings.timeout
        future = process.submit(function, *arguments)
        while not future.done():
            if time.monotonic() > ends:
                late = f"exceeded the limit of {self._settings.timeout:g} s for a fold"
                return ModelFailure(late)
            wait([future], _PATIENCE)
        try:
            return future.result()
        except BrokenExecutor:
            return ModelFailure("its process crashed or was killed, perhaps because memory ran out")
        except Exception as error:  # noqa: BLE001 (the other models go on)
            return ModelFailure(f"can't be measured ({type(error).__name__}: {error})")


def _pickle(model: Model) -> bytes:
    """Pickle an estimator for its process."""
    # Python's pickle rejects objects defined in a notebook.
    import cloudpickle

    try:
        pickled: bytes = cloudpickle.dumps(model.estimator)
    except Exception as error:
        raise OptionError(
            Parameter("models"),
            f" contains {model.name}, which can't be pickled ({type(error).__name__}: {error}); "
            "define it in a file, and pass module:name.",
        ) from error
    return pickled
