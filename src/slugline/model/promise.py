"""Whether a model keeps the precision that it was trained for, in sentences for every output."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from slugline.base.html import render_sentence, template_environment
from slugline.base.wording import counted, percent
from slugline.evaluation.intervals import wilson
from slugline.model.fitted import Fitted
from slugline.model.thresholds import CONFIDENCE

#: How a precision stands.
PromiseStatus = Literal[
    "unreachable",  # no threshold reaches it
    "broken",  # a test contradicts it
    "uncertain",  # the test is below it, by no more than chance
    "kept",  # the test is not below it
    "silent",  # the test got no answer
    "untested",  # there was no test
]


class AnswerCounts(NamedTuple):
    """Answers to test documents, or of several topics a document, topics given to them."""

    n_documents: int
    n_answers: int
    n_right: int
    # Share of the documents that were answered, or of their topics that were given.
    coverage: float


@dataclass(frozen=True)
class PromiseCheck:
    """Whether a precision is kept.

    Attributes
    ----------
    status : str
        See `PromiseStatus`.
    headline : str
        The sentence that says so.
    details : str
        Why the precision isn't kept, and what to do; empty if it is. Parameters are between
        backticks.
    """

    status: PromiseStatus
    headline: str
    details: str = ""

    @property
    def text(self) -> str:
        """All sentences."""
        return f"{self.headline} {self.details}".rstrip()

    @property
    def is_broken(self) -> bool:
        """Whether the precision isn't reached, so that readers must know first."""
        return self.status in ("unreachable", "broken")

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON."""
        return {"status": self.status, "text": self.text}


def check_promise(
    fitted: Fitted, wanted: float, obstacle: str | None, tested: AnswerCounts | None
) -> PromiseCheck:
    """Return whether a precision is kept.

    Parameters
    ----------
    fitted : Fitted
    wanted : float
        The precision.
    obstacle : str or None
        If no threshold reaches it: which precision can be promised, and what to do. Else None.
    tested : AnswerCounts or None
    """
    status = _status(wanted, obstacle, tested)
    values: dict[str, Any] = {"wanted": wanted, "confidence": CONFIDENCE}
    values |= {"multilabel": fitted.multilabel, "labels": describe_label_doubts(fitted)}
    values["n_documents"] = tested.n_documents if tested else 0
    if tested is not None and tested.n_answers:
        low, high = wilson(tested.n_right, tested.n_answers)
        n = tested.n_answers
        topics = f"{n:,} {'topic' if n == 1 else 'topics'} given"
        values |= {
            "coverage": tested.coverage,
            "precision": tested.n_right / n,
            "n_answers": topics if fitted.multilabel else counted(n, "answer"),
            "interval": f"(95 % confidence interval: {100 * low:.1f} to {100 * high:.1f} %)",
        }
    details = _sentence("after_broken", values) if status == "broken" else obstacle or ""
    return PromiseCheck(status, _sentence(status, values), details)


def _status(wanted: float, obstacle: str | None, tested: AnswerCounts | None) -> PromiseStatus:
    if obstacle is not None:
        return "unreachable"
    if tested is None or not tested.n_documents:
        return "untested"
    if not tested.n_answers:
        return "silent"
    if wilson(tested.n_right, tested.n_answers).high < wanted:
        return "broken"
    return "uncertain" if tested.n_right < wanted * tested.n_answers else "kept"


def describe_label_doubts(fitted: Fitted) -> str:
    """Return why wrong labels are likely, by documents that were held out; empty if they are not.

    Either the learner left documents out as their topic looks wrong, or the surest held-out answers
    contradict the labels; see `ConfidentErrors`.
    """
    if fitted.multilabel:
        return ""
    values = {"n_suspect_labels": fitted.learner.settings().get("n_suspect_labels", 0)}
    errors = fitted.heldout_predictions and fitted.heldout_predictions.confident_errors
    if errors:
        values |= {"n_sure": errors.n_sure, "n_wrong": errors.n_wrong}
    if values["n_suspect_labels"] or (errors and errors.suggest_wrong_labels):
        return _sentence("labels", values)
    return ""


def _sentence(block: str, values: Mapping[str, Any]) -> str:
    environment = template_environment("slugline.model", "")
    environment.filters |= {"counted": counted, "percent": percent}
    return render_sentence(environment, "promise.txt.j2", block, values)
