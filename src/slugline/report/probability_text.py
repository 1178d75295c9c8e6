"""What a test says of a classifier's probabilities, and of answering only when it is sure.

Every sentence follows from the numbers: if they say otherwise, so does the sentence.
"""

from __future__ import annotations

from slugline.evaluation import Bin, CoverageCurve, CoveragePoint, Evaluation
from slugline.report.words import listed, number, percent, points

__all__ = ["coverage_said", "metrics_said", "reliability_said"]

#: The accuracy that is looked for where no threshold is given.
WANTED = 0.95
#: The shares of documents whose answers are looked at.
SHARES = (0.5, 0.8)
#: For how many of the likeliest topics it is said how often the right one is among them.
N_TOP = 3


def reliability_said(evaluation: Evaluation, bins: list[Bin]) -> str:
    """Return whether answers are right as often as their probabilities say."""
    mean = sum(b.n_documents * b.probability for b in bins) / evaluation.n_documents
    low, high = evaluation.interval
    sure = "too sure" if mean > high else "too cautious" if mean < low else None
    verdict = f"it is {sure}" if sure else "it is as sure as it should be, as far as one can tell"
    error, chance = evaluation.calibration_error, evaluation.chance_error
    groups = "in one group" if len(bins) == 1 else f"in {len(bins)} groups of equally many answers"
    return (
        "Of answers with a probability of 80 %, eight in ten should be right. On average, the "
        f"classifier gives its answers {percent(mean)}, and {percent(evaluation.accuracy)} of them "
        f"are right: {verdict}. "
        f"Sorted by probability, {groups}, what it says and what is right differ by "
        f"{points(error)} on average (calibration error); chance alone would make "
        f"{points(chance)}."
    )


def coverage_said(curve: CoverageCurve, chosen: CoveragePoint | None) -> str:
    """Return what is right if only sure answers are given; `chosen` is the model's threshold."""
    parts = [curve.covering(share) for share in SHARES]
    halves = listed(
        [f"{percent(p.accuracy)} of the surest {percent(p.coverage, 0)}" for p in parts]
    )
    said = f"Answers that are not sure enough can be left to people. It is right for {halves}."
    return f"{said} {_with_threshold(chosen) if chosen else _wanted(curve)}"


def metrics_said(evaluation: Evaluation) -> str:
    """Return the metrics of probabilities, each with what it means."""
    ks = evaluation.top_ks[:N_TOP]
    among = listed([f"the {k} likeliest for {percent(evaluation.top_k(k))}" for k in ks] or [""])
    top = f"The right topic is among {among} of the test documents. " if ks else ""
    return (
        f"{top}Log loss: {number(evaluation.log_loss, 3)} (0 would be certainty in the right "
        f"topic). Brier score: {number(evaluation.brier_score, 3)} (the mean squared error of all "
        "probabilities; 0 is best and 2 worst)."
    )


def _with_threshold(chosen: CoveragePoint) -> str:
    if not chosen.n_answered:
        return (
            f"With the threshold of {number(chosen.threshold)}, it answers none of the test "
            "documents."
        )
    low, high = (100 * share for share in chosen.interval)
    return (
        f"With the threshold of {number(chosen.threshold)}, it answers {percent(chosen.coverage)} "
        f"of the test documents and is right for {percent(chosen.accuracy)} of these (95 % "
        f"confidence interval: {low:.1f} to {high:.1f} %)."
    )


def _wanted(curve: CoverageCurve) -> str:
    point, wanted = curve.reaching(WANTED), percent(WANTED, 0)
    if point is None:
        return f"However sure it has to be, fewer than {wanted} of its answers are right."
    if point.n_answered == point.n_documents:
        return f"At least {wanted} are right even if it answers everything."
    return (
        f"In this test, at least {wanted} of its answers are right if it gives only those with a "
        f"probability of at least {number(point.threshold)}: {percent(point.coverage)} of the "
        "documents."
    )
