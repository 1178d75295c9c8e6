"""`slugline train` with several topic columns: a model that answers several questions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from slugline.base.checks import short_repr
from slugline.base.files import write_result
from slugline.cli.output import exit_if_interrupted, print_json, say, show
from slugline.cli.output_paths import check_target
from slugline.cli.train_options import TrainRequest
from slugline.cli.train_results import TrainingResults, print_results, saved_content
from slugline.cli.train_steps import (
    DocumentParts,
    check_files,
    fit_and_test,
    read_documents,
    write_report,
)
from slugline.errors import OptionError, Parameter
from slugline.experiment.experiment import Experiment
from slugline.model.file.container import write_questions
from slugline.model.file.generations import earlier_files, keep_current
from slugline.reports.questions import QuestionSummary, questions_page


def train_questions(request: TrainRequest) -> None:
    """Train a model for each question, test it, and save all models in one file.

    Each model is trained on the rows with its question's topic.
    """
    report = check_files(request)
    reports = _report_paths(report, request.questions)
    for path in reports.values():
        check_target("--report", path, request.data, [request.output, report])
    requests, documents = _read_all(request)
    experiments: dict[str, Experiment] = {}
    for question in request.questions:
        say(f"training question {short_repr(question)}")
        experiments[question] = fit_and_test(requests[question], documents[question])
    if earlier_files(request.output):
        keep_current(request.output)
    contents = {name: saved_content(each) for name, each in experiments.items()}
    write_questions(request.output, contents)
    results = {
        question: TrainingResults(experiment, Path(f"{request.output}:{question}"))
        for question, experiment in experiments.items()
    }
    if all(experiment.evaluation is not None for experiment in experiments.values()):
        results = {name: replace(each, report=reports[name]) for name, each in results.items()}
        _write_reports(results, report)
    _print(results, request.as_json)
    for experiment in experiments.values():
        exit_if_interrupted(experiment.fitted, experiment.fitted.tuning, None)


def _read_all(request: TrainRequest) -> tuple[dict[str, TrainRequest], dict[str, DocumentParts]]:
    """Return the request and the documents of each question.

    All questions use the text columns of the first, which may be guessed.
    """
    requests: dict[str, TrainRequest] = {}
    documents: dict[str, DocumentParts] = {}
    text: str | Sequence[str] | None = request.reading.text
    for question in request.questions:
        say(f"reading question {short_repr(question)}")
        reading = replace(request.reading, topic=question, text=text)
        precision = request.min_precision.get(question, request.settings.min_precision)
        settings = replace(request.settings, min_precision=precision)
        requests[question] = replace(request, reading=reading, settings=settings, questions=())
        documents[question] = read_documents(requests[question])
        text = text or _text_columns(request, documents[question])
    return requests, documents


def _text_columns(request: TrainRequest, documents: DocumentParts) -> tuple[str, ...]:
    """Return the text columns of the first question; OptionError if one is also a question."""
    layout = documents.train.layout
    columns = () if layout is None else layout.text
    both = next((name for name in columns if name in request.questions), None)
    if both is not None:
        raise OptionError(
            Parameter("topic"),
            f" {short_repr(both)} is also read as text; choose the text column with ",
            Parameter("text"),
            ".",
        )
    return columns


def _report_paths(report: Path, questions: Sequence[str]) -> dict[str, Path]:
    """Return the path of each question's report, such as desk-queue.html.

    >>> _report_paths(Path("desk.html"), ["queue", "Ton / Laune"])["Ton / Laune"].name
    'desk-Ton-Laune.html'
    """
    paths: dict[str, Path] = {}
    used_names: set[str] = set()
    for question in questions:
        words = re.sub(r"\W+", "-", question).strip("-") or "question"
        stem = f"{report.stem}-{words}"
        name, number = stem, 1
        while name.lower() in used_names:
            number += 1
            name = f"{stem}-{number}"
        used_names.add(name.lower())
        paths[question] = report.with_name(f"{name}.html")
    return paths


def _write_reports(results: Mapping[str, TrainingResults], report: Path) -> None:
    """Write the report on each question, and a page that compares and links them."""
    summaries = []
    for question, result in results.items():
        if result.report is not None:
            write_report(result, result.report)
            summaries.append(QuestionSummary(question, result.experiment, result.report.name))
    write_result(report, questions_page(summaries), "report")


def _print(results: Mapping[str, TrainingResults], as_json: bool) -> None:
    if as_json:
        print_json({"questions": {name: each.to_dict() for name, each in results.items()}})
        return
    for number, (question, result) in enumerate(results.items()):
        show(*[""] * (number > 0), question)
        print_results(result, as_json=False)
