"""A page that compares the questions of a model, with links to their reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from slugline.experiment.experiment import Experiment
from slugline.model.file.generations import REPORT_GENERATOR
from slugline.reports.render import render


class QuestionSummary(NamedTuple):
    """A question, the experiment on it, and the file name of its report."""

    question: str
    experiment: Experiment
    report: str


def questions_page(summaries: Sequence[QuestionSummary]) -> str:
    """Return a page with a row per question: accuracy, baseline and numbers of documents."""
    return render("questions.html.j2", generator=REPORT_GENERATOR, summaries=summaries)
