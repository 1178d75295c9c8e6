"""Check of a model's promise: the precision it was trained for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from slugline.base.wording import counted, percent
from slugline.evaluation.intervals import wilson
from slugline.model.fitted import Fitted
from slugline.model.thresholds import CONFIDENCE

if TYPE_CHECKING:
    from jinja2 import Environment

#: Status of the promised precision.
PromiseStatus = Literal[
    "unreachable",  # no threshold reaches it
    "broken",  # test precision is significantly lower
    "uncertain",  # test precision is lower, but not significantly
    "kept",  # test precision is at least as high
    "silent",  # no test document was answered
    "untested",  # there was no test
]


class AnswerCounts(NamedTuple):
    """Counts of answers to test documents; for a multilabel model, of topics given."""

    n_documents: int
    n_answers: int
    n_right: int
    coverage: float  # fraction of documents answered, or of true topics given


@dataclass(frozen=True)
class PromiseCheck:
    """Result of checking a promised precision.

    Attributes
    ----------
    status : str
        See `PromiseStatus`.
    headline : str
        Result in one sentence.
    details : str
        Reason why the promise isn't kept, and what to do; empty if it is kept. Parameters are in
        backticks.
    """

    status: PromiseStatus
    headline: str
    details: str = ""

    @property
    def text(self) -> str:
        """The headline and the details."""
        return f"{self.headline} {self.details}".rstrip()

    @property
    def is_missed(self) -> bool:
        """True if the promise is broken or out of reach; report this first."""
        return self.status in ("unreachable", "broken")

    def to_dict(self) -> dict[str, Any]:
        """Return the status and the text for JSON."""
        return {"status": self.status, "text": self.text}


def check_promise(
    fitted: Fitted, wanted: float, unreachable_reason: str | None, tested: AnswerCounts | None
) -> PromiseCheck:
    """Check a model's promised precision.

    Parameters
    ----------
    fitted : Fitted
    wanted : float
        Promised precision.
    unreachable_reason : str or None
        Achievable precision and advice if no threshold reaches the promised one, else None.
    tested : AnswerCounts or None
        None without a test.
    """
    status = _status(wanted, unreachable_reason, tested)
    values: dict[str, Any] = {
        "wanted": wanted,
        "confidence": CONFIDENCE,
        "multilabel": fitted.multilabel,
        "labels": describe_label_doubts(fitted),
        "n_documents": 0 if tested is None else tested.n_documents,
    }
    if tested is not None and tested.n_answers:
        low, high = wilson(tested.n_right, tested.n_answers)
        answers = counted(tested.n_answers, "topic" if fitted.multilabel else "answer")
        values |= {
            "coverage": tested.coverage,
            "precision": tested.n_right / tested.n_answers,
            "answers": f"{answers} given" if fitted.multilabel else answers,
            "interval": f"(95 % confidence interval: {100 * low:.1f} to {100 * high:.1f} %)",
        }
    details = _sentence("after_broken", values) if status == "broken" else unreachable_reason or ""
    return PromiseCheck(status, _sentence(status, values), details)


def _status(
    wanted: float, unreachable_reason: str | None, tested: AnswerCounts | None
) -> PromiseStatus:
    if unreachable_reason is not None:
        return "unreachable"
    if tested is None or not tested.n_documents:
        return "untested"
    if not tested.n_answers:
        return "silent"
    if wilson(tested.n_right, tested.n_answers).high < wanted:
        return "broken"
    return "uncertain" if tested.n_right < wanted * tested.n_answers else "kept"


def describe_label_doubts(fitted: Fitted) -> str:
    """Return the evidence for wrong labels; empty without any.

    Evidence is documents that the learner excluded as mislabelled, or labels that contradict the
    most confident held-out answers; see `ConfidentErrors`.
    """
    if fitted.multilabel:
        return ""
    heldout = fitted.heldout_predictions
    errors = None if heldout is None else heldout.confident_errors
    if fitted.n_suspect_labels or (errors is not None and errors.has_likely_label_errors):
        values = {"n_suspect_labels": fitted.n_suspect_labels, "errors": errors}
        return _sentence("labels", values)
    return ""


def _sentence(block: str, values: Mapping[str, Any]) -> str:
    from slugline.base.html import render_sentence

    return render_sentence(_environment(), "promise.txt.j2", block, values)


@cache
def _environment() -> Environment:
    from slugline.base.html import template_environment

    environment = template_environment("slugline.model", "")  # beside this module
    environment.filters |= {"counted": counted, "percent": percent}
    return environment
