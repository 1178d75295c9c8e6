"""`slugline train`: train on labelled texts, test, report, save."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from slugline.base.checks import check_fraction
from slugline.base.files import write_result
from slugline.base.names import expand_patterns
from slugline.cli.documents import read_parts, read_unlabelled
from slugline.cli.metrics import tested_decider
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
from slugline.experiment.encoder_advice import encoder_advice
from slugline.experiment.evidence import gather_evidence, write_mistakes
from slugline.experiment.experiment import Experiment, run_experiment
from slugline.experiment.quantization import QuantizationResult
from slugline.model.file.generations import report_path
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings

if TYPE_CHECKING:
    from slugline.cli.train_corrections import ModelCorrections
    from slugline.corrections.learning import CorrectionResult

# Number of documents from which saving and the report take seconds.
_MANY = 100_000
# Suggest --stream from this total file size, in bytes.
_LARGE = 1_000_000_000


@command()
@train_options
def train(request: TrainRequest) -> None:
    """Learn from labelled texts, test on others, write a report, save the model.

    For example:

      slugline train tickets.csv -o tickets.slug --text body --topic queue
      slugline train reuters -o reuters.slug
      slugline train few.csv --encoder use -o few.slug
      slugline train 'years/*.parquet' --workers 4 -o years.slug
    """
    if request.stream is not None:
        from slugline.cli.train_stream import train_stream

        train_stream(request, request.stream)
        return
    corrections = None
    if request.corrections is not None:
        from slugline.cli.train_corrections import read_corrections, with_model_settings

        corrections = read_corrections(request, request.corrections)
        request = with_model_settings(request, corrections.replaced)
    request, report_path = _check_test(request), _check_files(request)
    documents = _read_documents(request)
    is_tested = documents.test_fraction is not None or documents.test is not None
    if not is_tested and (request.mistakes or request.quantize or request.curve):
        raise OptionError(
            "--test-fraction 0 leaves nothing to test on, which --mistakes, --quantize and --curve "
            "need; leave them out, or give a --test file."
        )
    training = _save(request, _fit(request, documents, corrections))
    experiment = training.experiment
    _say_encoder_advice(request.settings, documents.train, experiment)
    curves = (
        _learning_curves(request.settings, documents, experiment.fitted) if request.curve else None
    )
    tested = tested_decider(experiment.fitted, experiment.decisions)
    report = report_path if is_tested else None
    results = TrainingResults(
        experiment,
        request.output,
        tested,
        report=report,
        quantization=training.quantization,
        curves=curves,
        retraining=training.retraining,
    )
    if report is not None:  # no report without a test
        _write_report(results, report)
    if request.mistakes is not None:
        write_mistakes(request.mistakes, experiment.fitted, experiment.tested.test)
    print_results(results, request.as_json)
    exit_if_interrupted(experiment.fitted, experiment.fitted.tuning, curves)


@dataclass(frozen=True)
class _Training:
    """The outcome of training and saving the model."""

    experiment: Experiment
    # The cost of quantized weights.
    quantization: QuantizationResult | None = None
    # Changes due to corrections.
    retraining: CorrectionResult | None = None


class DocumentParts(NamedTuple):
    """The training and test documents."""

    train: Corpus
    test: Corpus | None
    # None if no documents are set aside.
    test_fraction: float | None
    # Unlabelled texts.
    unlabelled: list[str] | None


def _check_test(request: TrainRequest) -> TrainRequest:
    """Return the request with its test fraction; raise OptionError if it is out of range."""
    fraction = TEST_FRACTION if request.test_fraction is None else request.test_fraction
    check_fraction("test_fraction", fraction, may_be_0=True)
    return replace(request, test_fraction=fraction)


def _read_documents(request: TrainRequest) -> DocumentParts:
    """Read the documents and check that the options are compatible."""
    reading = request.reading
    described = [] if request.topics is None else [*map(str, request.settings.descriptions)]
    if request.data:
        _propose_stream(request)
        parts = read_parts(request.data, None, request.test, reading, described)
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
            " chooses how several topics are given, and these documents have one each; "
            "leave it out.",
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
            f"the data take {n_bytes / 1e9:.1f} GB, all of which is read into memory; with "
            "--stream, `train` reads them piece by piece instead"
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
        request.corrections and request.corrections.path,
    ]
    check_target("--output", output, sources)
    if output.suffix == ".html" and report is None:
        raise OptionError(
            f"--output {output}: the model isn't a web page; name it, for example, "
            f"{output.stem}.slug, and the report is written to {output.stem}.html."
        )
    report = report or report_path(output)
    check_target("--report", report, sources)
    if os.path.realpath(output) == os.path.realpath(report):
        raise OptionError(
            f"the model and the report would both be written to {output}; "
            "name two files with --output and --report."
        )
    if request.mistakes is not None:
        check_target("--mistakes", request.mistakes, sources, [output, report])
    return report


def _fit(
    request: TrainRequest, documents: DocumentParts, corrections: ModelCorrections | None
) -> _Training:
    """Fit and test the classifier, and print warnings."""
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
            from slugline.cli.train_corrections import train_on_corrections, warn_of_other_data

            warn_of_other_data(request.output, documents.train, corrections)
            retraining = train_on_corrections(
                request,
                documents.train,
                corrections,
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
    return _Training(experiment, retraining=retraining)


def _save(request: TrainRequest, training: _Training) -> _Training:
    """Save the model unless corrections made it worse or changed nothing; see `save_model`."""
    experiment, retraining = training.experiment, training.retraining
    if experiment.n_learned >= _MANY:
        say("saving the model")
    if retraining is None or request.corrections is None:
        saved = save_model(experiment, request.output, quantize=request.quantize)
        return _Training(saved.experiment, saved.quantization)
    from slugline.cli.train_corrections import check_retraining, hold_back, note_learned

    fitted = check_retraining(retraining, request, force=request.corrections.force)
    experiment = replace(experiment, fitted=fitted)
    try:
        saved = save_model(
            experiment, request.output, quantize=request.quantize, retraining=retraining
        )
    except TrainingError as error:
        hold_back(replace(retraining, problem=str(error)), request, "Train it again without them.")
    note_learned(request.corrections.path, retraining, request.output)
    retraining = replace(retraining, is_unchanged=saved.is_unchanged)
    return _Training(saved.experiment, saved.quantization, retraining)


def _say_encoder_advice(settings: FitSettings, train: Corpus, experiment: Experiment) -> None:
    advice = encoder_advice(settings, experiment.fitted, train, experiment.measured)
    if advice is not None:
        say(Message(f"{train.name}: ", advice))


def _write_report(results: TrainingResults, report: Path) -> None:
    from slugline.reports.training import training_page

    experiment = results.experiment
    if experiment.n_learned >= _MANY:
        say("choosing examples for the report")
    page = training_page(
        experiment,
        results.curves,
        results.quantization,
        gather_evidence(experiment),
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
