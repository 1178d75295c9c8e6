"""`slugline train --corrections`: reads corrections, learns from them, and prints what changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, TypeVar

from slugline.base.files import file_sha256
from slugline.base.progress import Progress
from slugline.base.wording import counted
from slugline.cli.output import print_json, print_table, show, warn
from slugline.cli.output_paths import check_not_read
from slugline.cli.train_options import TrainRequest
from slugline.corpus.corpus import Corpus
from slugline.corpus.documents import Topic
from slugline.corpus.layout import ReadOptions
from slugline.corrections.doubts import Approval, held_dicts, held_lines
from slugline.corrections.learning import CorrectionResult, restore_integer_topics, to_corpus
from slugline.corrections.review import Review
from slugline.corrections.reviewed_training import learn_from_review, review_corrections
from slugline.corrections.store import Correction, CorrectionStore
from slugline.errors import OptionError, SluglineError, StoreError
from slugline.model.file import container
from slugline.model.file.content import load_model
from slugline.model.file.generations import earlier_files
from slugline.model.file.schema import ModelInfo
from slugline.model.fitted import Fitted
from slugline.model.settings import FitSettings
from slugline.reports.training_text import TOPIC_HEADER, summarize_corrections, topic_rows

T = TypeVar("T")

# Rows of the table of topics; --json has all of them.
_MAX_ROWS = 20


class CorrectionOptions(NamedTuple):
    """Corrections, and how to learn from them."""

    path: Path
    # Those of the chosen models.
    corrections: list[Correction]
    approval: Approval
    # How the model at --output was trained and stored, unless options say how to learn.
    settings: FitSettings | None
    quantize: Literal["float16", "int8"] | None
    # None for the default.
    test_fraction: float | None
    # The model at --output.
    replaced: Fitted | None


def read_corrections(request: TrainRequest, path: Path) -> CorrectionOptions:
    """Return the corrections in a file, and how to learn from them.

    If no option says how to learn, the model at --output does, if there is one.

    Raises
    ------
    OptionError : if there would be nothing to test on, or the output is the input.
    StoreError : if the file can't be read, or is not a file of corrections.
    DataError : if it holds no corrections.
    ModelFileError : if the file at --output is not a model.
    EncoderError : if that model needs an encoder that is missing.
    """
    output = request.output
    check_not_read("--output", output, [path])
    if request.test_fraction == 0 and request.test is None:
        raise OptionError(
            "--test-fraction 0 leaves nothing to test on, and so nothing to tell whether "
            "--corrections make a topic worse; leave it out, or give a --test file."
        )
    with CorrectionStore(path, create=False) as store:
        corrections = [*store.rows()]
    to_corpus(corrections, str(path), request.corrections_of or None)  # if they can be learned
    if request.corrections_of:
        corrections = [row for row in corrections if row.model in request.corrections_of]
    replaced, settings, quantize, test_fraction = None, None, None, request.test_fraction
    if output.exists():
        replaced, info = _read_current_model(output)
        if not request.has_settings:
            settings = _settings_of(replaced, request.threads)
            quantize = None if info.weight_type == "float32" else info.weight_type
            test_fraction = info.test_fraction if test_fraction is None else test_fraction
    return CorrectionOptions(
        path=path,
        corrections=corrections,
        approval=request.approve or "doubtful",
        settings=settings,
        quantize=quantize,
        test_fraction=test_fraction,
        replaced=replaced,
    )


def _read_current_model(output: Path) -> tuple[Fitted, ModelInfo]:
    """Return the model at --output; OptionError if corrections can't be added to its data."""
    fitted, file = load_model(output)
    if fitted.columns:
        raise OptionError(
            f"{output} uses extra columns, which corrections do not store; correct the data that "
            "it learns from, or leave --corrections out."
        )
    if fitted.dense is not None and fitted.dense.n_unlabelled:
        raise OptionError(
            f"{output} learned from texts without labels, which corrections don't; leave "
            "--corrections out, or train it without --unlabelled first."
        )
    return fitted, file.info


def _settings_of(fitted: Fitted, n_jobs: int | None) -> FitSettings:
    """Return the settings of a model, with the names of topics as files have them: strings."""
    settings = FitSettings.from_fitted(fitted, n_jobs=n_jobs)
    weights = settings.class_weight
    if isinstance(weights, Mapping):
        weights = _with_string_keys(weights)
    descriptions = _with_string_keys(settings.descriptions)
    return replace(settings, descriptions=descriptions, class_weight=weights)


def _with_string_keys(by_topic: Mapping[Topic, T]) -> dict[Topic, T]:
    return {str(topic): value for topic, value in by_topic.items()}


def retrain(
    settings: FitSettings,
    parts: Mapping[str, Corpus],
    options: CorrectionOptions,
    reading: ReadOptions,
    request: TrainRequest,
    *,
    test_fraction: float,
    progress: Progress | None,
) -> CorrectionResult:
    """Train with documents and the corrections that need no approval, or have it.

    Why others wait for approval is noted in their file.

    Raises
    ------
    SluglineError : if all corrections wait for approval.
    """
    train, corrections = parts["train"], options.corrections
    reviewed = review_corrections(settings, train, corrections, reading, options.approval)
    _note_doubts(options.path, reviewed)
    if not reviewed.learnable:
        _stop_without_corrections(options, reviewed, request)
    return learn_from_review(
        settings,
        train,
        corrections,
        reviewed,
        reading,
        name=str(options.path),
        test=parts.get("test"),
        test_fraction=test_fraction,
        replaced=options.replaced,
        progress=progress,
    )


def _note_doubts(path: Path, reviewed: Review) -> None:
    held = reviewed.held
    try:
        with CorrectionStore(path, create=False) as store:
            store.hold({number: held.get(number, ()) for number in reviewed.doubts})
    except StoreError as error:
        warn([f"why corrections wait for approval could not be noted: {error}"])


def note_learned(path: Path, result: CorrectionResult, output: Path) -> None:
    """Note in their file which corrections the model that was written has learned from."""
    digest = file_sha256(output)[: container.DIGEST_LENGTH]
    numbers = [int(number) for number in result.merged.corrections.places or ()]
    try:
        with CorrectionStore(path, create=False) as store:
            store.mark_learned(numbers, digest)
    except StoreError as error:
        warn([f"that {output} learned from corrections could not be noted in their file: {error}"])


def _stop_without_corrections(
    options: CorrectionOptions, reviewed: Review, request: TrainRequest
) -> NoReturn:
    """Print what waits for approval; raise a SluglineError, as there is nothing to learn from."""
    held = reviewed.held
    if request.as_json:
        print_json({"corrections": {"n_texts": 0, "held": held_dicts(held.items())}, "model": None})
    else:
        show(*held_lines(held.items()))
    raise SluglineError(
        f"{request.output} is not written: all {counted(len(held), 'correction')} of "
        f"{options.path} wait for approval. `slugline corrections {options.path}` lists them and "
        "approves or withdraws them; `--approve none` learns from them all the same."
    )


def check_retraining(result: CorrectionResult, request: TrainRequest) -> Fitted:
    """Check that the new model may replace the one at --output, and return it.

    Raises
    ------
    SluglineError : if something got clearly worse, and --force wasn't given.
    """
    output = request.output
    if not result.passes and not request.force:
        topics = " of these topics" if result.worse_topics else ""
        advice = f"Look at the corrections{topics}, or write it all the same with --force."
        hold_back(result, request, advice)
    if not result.passes:
        warn([result.why_not()])
    fitted = result.experiment.fitted
    if output.exists():
        fitted = restore_integer_topics(fitted, container.read(output).info.topics)
    return fitted


def hold_back(result: CorrectionResult, request: TrainRequest, advice: str) -> NoReturn:
    """Print what corrections changed; raise a SluglineError that says why nothing is written."""
    if request.as_json:
        print_json({"corrections": result.to_dict(), "model": None, "report": None})
    else:
        print_retraining(result)
    raise SluglineError(f"{request.output} is not written: {result.why_not()}. {advice}")


def print_retraining(result: CorrectionResult, output: Path | None = None) -> None:
    """Print what corrections changed, and how to go back if a model has been replaced."""
    name = result.merged.corrections.name
    show("", f"what {name} changed")
    print_table(summarize_corrections(result), left_aligned=(0, 1))
    if result.held:
        show(*held_lines(result.held), f"`slugline corrections {name}` approves or withdraws them")
    rows = topic_rows(result)
    if rows:
        show()
        print_table([TOPIC_HEADER, *rows[:_MAX_ROWS]], left_aligned=(0, 7))
    if len(rows) > _MAX_ROWS:
        show(f"and {len(rows) - _MAX_ROWS} more; use --json to see all")
    if result.is_unchanged:
        show(f"nothing new to learn: {output} has these bytes already, and is left as it is")
    elif output is not None and (earlier := earlier_files(output)):
        show(f"before  {earlier[0].name}, to which `slugline rollback {output}` goes back")
