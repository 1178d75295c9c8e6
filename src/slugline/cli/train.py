"""`slugline train`: train on labelled texts, test, report, save."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slugline.base.files import write_result
from slugline.base.names import expand_patterns
from slugline.cli.documents import read_parts, read_unlabelled
from slugline.cli.options import command
from slugline.cli.output import (
    exit_if_interrupted,
    explain_interrupt,
    name_flags,
    say,
    show_progress,
    warn,
)
from slugline.cli.output_paths import check_target
from slugline.cli.train_options import TEST_FRACTION, TrainRequest, train_options
from slugline.cli.train_results import TrainingResults, print_results, save_model
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topics import add_parents
from slugline.errors import Message, OptionError, Parameter, SluglineError, TrainingError
from slugline.experiment.curve import LearningCurves, classifiers_to_compare, learning_curves
from slugline.experiment.evidence import gather_evidence, write_mistakes
from slugline.experiment.experiment import Experiment, encoder_advice, run_experiment
from slugline.model.file.generations import report_path
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings

if TYPE_CHECKING:
    from slugline.cli.train_corrections import ModelCorrections
    from slugline.corrections.learning import CorrectionResult

# Suggest --stream from this total file size, in bytes.
_LARGE = 1_000_000_000


@command()
@train_options
def train(request: TrainRequest) -> None:
    """Train a classifier on labelled texts, test it, and save it with a report.

    For example:

      slugline train tickets.csv -o tickets.slug --text body --topic queue
      slugline train reuters -o reuters.slug
      slugline train few.csv --encoder use -o few.slug
      slugline train 'years/*.parquet' --workers 4 -o years.slug
    """
    if request.is_streamed:
        from slugline.cli.train_stream import train_stream

        train_stream(request)
        return
    report = _check_files(request)
    corrections = None
    if request.corrections is not None:
        from slugline.cli.train_corrections import read_corrections, with_model_settings

        corrections = read_corrections(request, request.corrections)
        request = with_model_settings(request, corrections.replaced)
    documents = _read_documents(request)
    is_tested = documents.test_fraction is not None or documents.test is not None
    needs_test = request.mistakes or request.quantize or request.curve or request.corrections
    if needs_test and not is_tested:
        raise OptionError(
            "--mistakes, --quantize, --curve and --corrections require test documents; pass --test "
            "FILE, or leave out --test-fraction 0."
        )
    results = _save(request, *_fit(request, documents, corrections))
    experiment = results.experiment
    advice = encoder_advice(experiment, request.settings, documents.train)
    if advice is not None:
        say(Message(f"{documents.train.name}: ", advice))
    if request.curve:
        curves = _learning_curves(request.settings, documents, experiment.fitted)
        results = replace(results, curves=curves)
    if is_tested:
        results = replace(results, report=report)
        _write_report(results, report)
    if request.mistakes is not None:
        write_mistakes(request.mistakes, experiment.fitted, experiment.tested.test)
    print_results(results, request.as_json)
    exit_if_interrupted(experiment.fitted, experiment.fitted.tuning, results.curves)


class DocumentParts(NamedTuple):
    """The training and test documents."""

    train: Corpus
    test: Corpus | None
    # None if no documents are set aside.
    test_fraction: float | None
    # Unlabelled texts.
    unlabelled: list[str] | None


def _read_documents(request: TrainRequest) -> DocumentParts:
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


def _check_files(request: TrainRequest) -> Path:
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


def _fit(
    request: TrainRequest, documents: DocumentParts, corrections: ModelCorrections | None
) -> tuple[Experiment, CorrectionResult | None]:
    """Fit and test the classifier, and print warnings; also return changes due to corrections."""
    retraining = None
    cached = "" if not request.settings.needs_encoder else "; finished encodings are cached"
    message = f"interrupted; no model was saved{cached}"
    from slugline.labels.model_accuracy import measure_on_labels

    with explain_interrupt(lambda: message), show_progress() as progress:
        on_labels = measure_on_labels(
            request.data, documents.train, request.settings, test=documents.test
        )
        if corrections is None:
            experiment = run_experiment(
                request.settings,
                documents.train,
                test=documents.test,
                test_fraction=documents.test_fraction,
                unlabelled=documents.unlabelled,
                on_labels=on_labels,
                progress=progress,
            )
        else:
            from slugline.cli.train_corrections import warn_of_other_data
            from slugline.corrections.learning import train_with_corrections

            warn_of_other_data(request.output, documents.train, corrections)
            retraining = train_with_corrections(
                request.settings,
                documents.train,
                corrections=corrections.rows,
                reading=request.reading,
                name=str(corrections.path),
                replaced=corrections.replaced and corrections.replaced.fitted,
                test=documents.test,
                test_fraction=documents.test_fraction or TEST_FRACTION,
                on_labels=on_labels,
                progress=progress,
            )
            experiment = retraining.experiment
    experiment = replace(
        experiment,
        warnings=tuple(map(name_flags, experiment.warnings)),
        notes=tuple(map(name_flags, experiment.notes)),
    )
    warn(experiment.warnings)
    return experiment, retraining


def _save(
    request: TrainRequest, experiment: Experiment, retraining: CorrectionResult | None
) -> TrainingResults:
    """Save the model unless corrections made it worse or changed nothing; see `save_model`."""
    if retraining is None:
        return save_model(experiment, request.output, quantize=request.quantize)
    from slugline.cli.train_corrections import check_retraining, hold_back, note_learned

    experiment = replace(experiment, fitted=check_retraining(retraining, request))
    try:
        results = save_model(
            experiment, request.output, quantize=request.quantize, retraining=retraining
        )
    except TrainingError as error:
        hold_back(replace(retraining, problem=str(error)), request, "Train it again without them.")
    note_learned(retraining, request.output)
    return results


def _write_report(results: TrainingResults, report: Path) -> None:
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


def _learning_curves(
    settings: FitSettings, documents: DocumentParts, fitted: Fitted
) -> LearningCurves:
    """Train on fewer labels with the same settings, and test on the same documents."""
    if settings.tune:  # reuse the tuned settings
        settings = FitSettings.from_fitted(fitted)
    with show_progress() as progress:
        return learning_curves(
            documents.train,
            documents.test,
            classifiers_to_compare(settings),
            test_fraction=documents.test_fraction or TEST_FRACTION,
            random_state=fitted.seed,
            progress=progress,
        )
