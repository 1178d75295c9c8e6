"""`slugline train`: train on labelled texts, test, report, save."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slugline.cli.options import command
from slugline.cli.output import exit_if_interrupted, say, show_progress
from slugline.cli.train_options import TEST_FRACTION, TrainRequest, train_options
from slugline.cli.train_results import TrainingResults, print_results, save_model
from slugline.cli.train_steps import (
    DocumentParts,
    accuracy_on_labels,
    check_files,
    fit_and_test,
    read_documents,
    stops_without_model,
    with_flags,
    write_report,
)
from slugline.errors import Message, OptionError, TrainingError
from slugline.experiment.curve import LearningCurves, classifiers_to_compare, learning_curves
from slugline.experiment.evidence import write_mistakes
from slugline.experiment.experiment import Experiment, encoder_advice
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings

if TYPE_CHECKING:
    from slugline.cli.train_corrections import ModelCorrections
    from slugline.corrections.learning import CorrectionResult


@command()
@train_options
def train(request: TrainRequest) -> None:
    """Train a classifier on labelled texts, test it, and save it with a report.

    For example:

      slugline train tickets.csv -o tickets.slug --text body --topic queue
      slugline train tickets.csv -o desk.slug --topic queue --topic urgency
      slugline train reuters -o reuters.slug
      slugline train few.csv --encoder use -o few.slug
      slugline train 'years/*.parquet' --workers 4 -o years.slug
    """
    if request.is_streamed:
        from slugline.cli.train_stream import train_stream

        train_stream(request)
        return
    if request.questions:
        from slugline.cli.train_questions import train_questions

        train_questions(request)
        return
    report = check_files(request)
    corrections = None
    if request.corrections is not None:
        from slugline.cli.train_corrections import read_corrections, with_model_settings

        corrections = read_corrections(request, request.corrections)
        request = with_model_settings(request, corrections.replaced)
    documents = read_documents(request)
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
        write_report(results, report)
    if request.mistakes is not None:
        write_mistakes(request.mistakes, experiment.fitted, experiment.tested.test)
    print_results(results, request.as_json)
    exit_if_interrupted(experiment.fitted, experiment.fitted.tuning, results.curves)


def _fit(
    request: TrainRequest, documents: DocumentParts, corrections: ModelCorrections | None
) -> tuple[Experiment, CorrectionResult | None]:
    """Fit and test the classifier; also return changes due to corrections."""
    if corrections is None:
        return fit_and_test(request, documents), None
    from slugline.cli.train_corrections import warn_of_other_data
    from slugline.corrections.learning import train_with_corrections

    warn_of_other_data(request.output, documents.train, corrections)
    with stops_without_model(request), show_progress() as progress:
        retraining = train_with_corrections(
            request.settings,
            documents.train,
            corrections=corrections.rows,
            reading=request.reading,
            name=str(corrections.path),
            replaced=corrections.replaced and corrections.replaced.fitted,
            test=documents.test,
            test_fraction=documents.test_fraction or TEST_FRACTION,
            on_labels=accuracy_on_labels(request, documents),
            progress=progress,
        )
    return with_flags(retraining.experiment), retraining


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
