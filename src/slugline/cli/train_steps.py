"""Steps of `slugline train` for one question: check files, read, fit, test and report."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from slugline.base.files import write_result
from slugline.base.names import expand_patterns
from slugline.cli.documents import read_parts, read_unlabelled
from slugline.cli.output import explain_interrupt, name_flags, say, show_progress, warn
from slugline.cli.output_paths import check_target
from slugline.cli.train_options import TrainRequest
from slugline.cli.train_results import TrainingResults
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topics import add_parents
from slugline.errors import OptionError, Parameter, SluglineError
from slugline.experiment.evidence import gather_evidence
from slugline.experiment.experiment import AccuracyOnLabels, Experiment, run_experiment
from slugline.model.file.generations import report_path

# Suggest --stream from this total file size, in bytes.
_LARGE = 1_000_000_000


def check_files(request: TrainRequest) -> Path:
    """Check that outputs are writable and distinct; return the report path."""
    output, report = request.output, request.report
    sources = [
        *request.data,
        request.test,
        *request.unlabelled,
        request.reading.topic_map,
        request.topics,
        request.corrections,
    ]
    check_target("--output", output, sources)
    if output.suffix == ".html" and report is None:
        raise OptionError(
            f"--output {output}: a model isn't a web page; choose, for example, "
            f"{output.stem}.slug, and the report will be written to {output.stem}.html."
        )
    report = report or report_path(output)
    check_target("--report", report, sources)
    if os.path.realpath(output) == os.path.realpath(report):
        raise OptionError(
            f"the model and the report would both be written to {output}; choose two files with "
            "--output and --report."
        )
    if request.mistakes is not None:
        check_target("--mistakes", request.mistakes, sources, [output, report])
    return report


class DocumentParts(NamedTuple):
    """The training and test documents."""

    train: Corpus
    test: Corpus | None
    # None if no documents are set aside.
    test_fraction: float | None
    # Unlabelled texts.
    unlabelled: list[str] | None


def read_documents(request: TrainRequest) -> DocumentParts:
    """Read the documents and check that the options are compatible."""
    reading = request.reading
    described = [] if request.topics is None else [*map(str, request.settings.descriptions)]
    if request.data:
        _propose_stream(request)
        parts = read_parts(request.data, request.test, reading, described)
        test_fraction = request.test_fraction
    else:
        # Topics are defined by descriptions alone, without training or test documents.
        parts = {"train": Corpus([], [], str(request.topics))}
        test_fraction = None
    parts = {part: add_parents(c, reading.topic_path) for part, c in parts.items()}
    train = parts["train"]
    if "optimize" in request.given and not train.multilabel:
        raise OptionError(
            Parameter("optimize"),
            " requires multi-label data, but these documents have one topic each; leave it out.",
        )
    unlabelled: list[str] = []
    for file in request.unlabelled:
        _, texts = read_unlabelled(
            file, ReadOptions(format=reading.format, layout=train.layout), train
        )
        unlabelled += texts.texts
    return DocumentParts(
        train=train,
        test=parts.get("test"),
        test_fraction=test_fraction or None,
        unlabelled=unlabelled or None,
    )


def _propose_stream(request: TrainRequest) -> None:
    """Warn about large files before they fill the memory."""
    paths = [Path(name) for name in expand_patterns(request.data)]
    n_bytes = sum(path.stat().st_size for path in paths if path.is_file())
    if n_bytes >= _LARGE:
        say(
            f"reading {n_bytes / 1e9:.1f} GB of data into memory; to train in bounded memory, use "
            "--stream"
        )


def fit_and_test(request: TrainRequest, documents: DocumentParts) -> Experiment:
    """Fit and test the classifier, and print warnings."""
    with stops_without_model(request), show_progress() as progress:
        experiment = run_experiment(
            request.settings,
            documents.train,
            test=documents.test,
            test_fraction=documents.test_fraction,
            unlabelled=documents.unlabelled,
            on_labels=accuracy_on_labels(request, documents),
            progress=progress,
        )
    return with_flags(experiment)


def stops_without_model(request: TrainRequest) -> AbstractContextManager[None]:
    """Say on Ctrl-C that no model was saved."""
    cached = "" if not request.settings.needs_encoder else "; finished encodings are cached"
    message = f"interrupted; no model was saved{cached}"
    return explain_interrupt(lambda: message)


def accuracy_on_labels(request: TrainRequest, documents: DocumentParts) -> AccuracyOnLabels | None:
    """Return the accuracy estimated from a label database, if the documents come from one."""
    from slugline.labels.model_accuracy import measure_on_labels

    return measure_on_labels(request.data, documents.train, request.settings, test=documents.test)


def with_flags(experiment: Experiment) -> Experiment:
    """Print the warnings of an experiment, and return it with flags for option names."""
    experiment = replace(
        experiment,
        warnings=tuple(map(name_flags, experiment.warnings)),
        notes=tuple(map(name_flags, experiment.notes)),
    )
    warn(experiment.warnings)
    return experiment


def write_report(results: TrainingResults, report: Path) -> None:
    """Write the report on a saved model; an error says that the model is safe."""
    from slugline.reports.training import training_page

    page = training_page(
        results.experiment,
        results.curves,
        results.quantization,
        gather_evidence(results.experiment),
        results.retraining,
    )
    try:
        write_result(report, page, "report")
    except SluglineError as error:
        raise SluglineError(*error.parts, f" The model is safe in {results.model}.") from error
