"""Print evaluations, comparisons of two models, and threshold results."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from slugline.base.wording import counted
from slugline.cli.output import name_flags, print_table, show, warn
from slugline.evaluation.evaluation import Evaluation
from slugline.evaluation.intervals import Interval
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.evaluation.paired import PairedComparison
from slugline.experiment.evaluate import AnyEvaluation, DecisionResult, MultilabelDecisionResult
from slugline.model.decider import Decider
from slugline.model.fitted import Fitted
from slugline.model.promise import PromiseCheck

# Evaluations --------------------------------------------------------------------------------------

_SIGNIFICANCE_LEVEL = 0.05
_N_MISTAKES = 5
# Smaller values would be rounded to 0.000.
_MIN_P_VALUE = 0.001

Row = tuple[str, str, str]


def main_metrics(evaluation: AnyEvaluation) -> Iterator[Row]:
    """Yield rows for accuracy and F1, with 95 % intervals."""
    if isinstance(evaluation, MultilabelEvaluation):
        micro, macro, samples = evaluation.f1_intervals
        per_document = "mean F1 over documents; 1 if a document without topics is assigned none"
        exact = "documents assigned exactly their topics"
        yield _metric("micro-F1", evaluation.micro.f1, micro, "every decision counts the same")
        yield _metric("macro-F1", evaluation.macro_f1, macro, "every topic counts the same")
        yield _metric("per document", evaluation.samples.f1, samples, per_document)
        yield _metric("exact match", evaluation.accuracy, evaluation.interval, exact)
        return
    macro, weighted = evaluation.macro_f1_interval, evaluation.weighted_f1_interval
    yield _metric("accuracy", evaluation.accuracy, evaluation.interval)
    yield _metric("macro-F1", evaluation.macro_f1, macro, "every topic counts the same")
    yield _metric("weighted F1", evaluation.weighted_f1, weighted, "every document counts the same")


def _metric(name: str, value: float, interval: Interval, meaning: str = "") -> Row:
    return name, _format(value), "; ".join(filter(None, [str(interval), meaning]))


def print_evaluation(evaluation: AnyEvaluation) -> None:
    """Print all metrics, overall and per topic, and the most common mistakes."""
    if isinstance(evaluation, MultilabelEvaluation):
        more, cases = _ranking_metrics(evaluation), "decisions with a probability above 5 %"
    else:
        more, cases = _probability_metrics(evaluation), "documents"
    print_table(
        [
            ("documents", f"{evaluation.n_documents:,}", ""),
            *main_metrics(evaluation),
            *more,
            _calibration(evaluation, cases),
        ],
        left_aligned=(0, 2),
    )
    show()
    _print_topics(evaluation)
    if isinstance(evaluation, MultilabelEvaluation):
        print_levels(evaluation)
        if pairs := evaluation.pairs(_N_MISTAKES):
            show("", "most common pairs")
        for pair in pairs:
            show(
                f"  {pair.first} and {pair.second}: {pair.n_true} in the data, "
                f"{pair.n_predicted} in answers"
            )
        return
    if mistakes := evaluation.confusions(_N_MISTAKES):
        show("", "most common mistakes")
    for true, predicted, n in mistakes:
        show(f"  {true} taken for {predicted}: {n}")


def _print_topics(evaluation: AnyEvaluation) -> None:
    """Print a row of metrics per topic, most frequent first."""
    thresholds = {}
    if isinstance(evaluation, MultilabelEvaluation):
        thresholds = evaluation.thresholds_by_topic()
    header = ["topic", "documents", "precision", "recall", "F1"]
    if thresholds:
        header.append("threshold")
    rows = [header]
    for m in sorted(evaluation.per_topic(), key=lambda metrics: -metrics.n_documents):
        scores = map(_format, (m.precision, m.recall, m.f1))
        row = [m.topic, str(m.n_documents), *scores]
        if thresholds:
            row.append(_format(thresholds.get(m.topic, math.nan)))
        rows.append(row)
    print_table(rows)


def print_levels(evaluation: AnyEvaluation) -> None:
    """Print micro-averages for each depth of topics, if topics are paths."""
    levels = evaluation.levels() if isinstance(evaluation, MultilabelEvaluation) else []
    if levels:
        header = ("depth of topics", "topics", "precision", "recall", "micro-F1")
        rows = [(str(n), f"{size:,}", *map(_format, scores)) for n, size, scores in levels]
        show()
        print_table([header, *rows])


def print_paired(paired: PairedComparison, first: str, second: str) -> None:
    """Print the metrics of both models and a significance test."""
    show("", f"{first} and {second} on the same documents")
    names = {
        "micro_f1": "micro-F1",
        "accuracy": "accuracy" if paired.micro_f1 is None else "exact match",
        "macro_f1": "macro-F1",
    }
    rows = [("", first, second, "difference", "")]
    for name, metric in paired.metrics().items():
        scores = _format(metric.first), _format(metric.second)
        rows.append((names[name], *scores, f"{metric.difference:+z.3f}", str(metric.interval)))
    # Documents that only one of the models gets right.
    n_first, n_second = paired.n_first, paired.n_second
    counts = (f"{n_first:,}", f"{n_second:,}", f"{n_first - n_second:+,}")
    p_value = "p < 0.001" if paired.p_value < _MIN_P_VALUE else f"p = {paired.p_value:.3f}"
    rows.append(("right, other wrong", *counts, f"{p_value} by McNemar's exact test"))
    print_table(rows, left_aligned=(0, 4))
    if not paired.n_different:
        show(f"both give the same answers to all {counted(paired.n_documents, 'document')}")
    elif paired.p_value >= _SIGNIFICANCE_LEVEL:
        show("neither is significantly more accurate: the difference may be due to chance")
    else:
        better = first if n_first > n_second else second
        show(f"{better} is more accurate: chance alone would rarely make such a difference")


def _probability_metrics(evaluation: Evaluation) -> Iterator[Row]:
    for k in evaluation.top_ks[:3]:
        yield f"top {k}", _format(evaluation.top_k(k)), f"the topic is among the {k} likeliest"
    yield "log loss", _format(evaluation.log_loss), "nats; lower is better"
    yield "Brier score", _format(evaluation.brier_score), "from 0 to 2; lower is better"


def _ranking_metrics(evaluation: MultilabelEvaluation) -> Iterator[Row]:
    ranking = evaluation.ranking
    for k in evaluation.top_ks:
        likeliest = "likeliest topic is right" if k == 1 else f"{k} likeliest topics are right"
        words = f"how often the {likeliest}; nDCG@{k} {_format(ranking.ndcg_at(k))}"
        yield f"precision@{k}", _format(ranking.precision_at(k)), words
    yield "ranking", _format(ranking.average_precision), "label ranking average precision"
    yield (
        "Hamming loss",
        f"{evaluation.hamming_loss:.4f}",
        "fraction of all decisions that are wrong",
    )


def _calibration(evaluation: AnyEvaluation, cases: str) -> Row:
    n_bins = len(evaluation.reliability())
    bins = "1 bin" if n_bins == 1 else f"{n_bins} equal bins of {cases}"
    return (
        "calibration",
        _format(evaluation.calibration_error),
        f"mean gap between probability and fraction right, in {bins}; "
        f"by chance alone {_format(evaluation.chance_error)}",
    )


def _format(value: float) -> str:
    """Return a number with three decimal places, or a dash if undefined."""
    return "-" if value != value else f"{value:.3f}"


# Thresholds ---------------------------------------------------------------------------------------


class TestedDecider(NamedTuple):
    """A model's thresholds and their results on test documents, if any."""

    decider: Decider
    result: DecisionResult | MultilabelDecisionResult | None

    @property
    def promise(self) -> PromiseCheck | None:
        """Check of the requested precision."""
        return self.decider.check_promise(self.result.answers if self.result else None)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; topics that are never assigned have no threshold."""
        names, thresholds = self.decider.fitted.topics.names, self.decider.thresholds.tolist()
        heldout = self.decider.fitted.heldout_predictions
        alternative = None if heldout is None else heldout.alternative
        return {
            "min_precision": self.decider.precision,
            "alternative": alternative._asdict() if alternative else None,
            "thresholds": {
                str(name): None if threshold == math.inf else threshold
                for name, threshold in zip(names, thresholds, strict=True)
            },
            "heldout": self.decider.achieved._asdict(),
            "test": self.result.to_dict() if self.result else None,
            "promise": self.promise.to_dict() if self.promise else None,
        }


def print_decisions(tested: TestedDecider | None) -> None:
    """Print the requested precision, the thresholds, and the coverage."""
    if tested is None:
        return
    rows = tested.decider.summary()
    if tested.result:
        rows.append(("on test texts", tested.result.summary()))
    print_table(rows, left_aligned=(0, 1))


def decisions_entry(tested: TestedDecider | None) -> dict[str, Any]:
    """Return the JSON entry for decisions, or an empty dict."""
    return {"decisions": tested.to_dict()} if tested else {}


def tested_decider(
    fitted: Fitted, result: DecisionResult | MultilabelDecisionResult | None
) -> TestedDecider | None:
    """Return the thresholds with their test results; None if no precision was requested."""
    decider = Decider.from_fitted(fitted)
    return None if decider.precision is None else TestedDecider(decider, result)


def print_broken_promise(tested: TestedDecider | None, as_json: bool = False) -> None:
    """Print a message if the requested precision isn't reached; on standard error with JSON."""
    promise = tested.promise if tested else None
    if promise is None or not promise.is_missed:
        return
    if as_json:
        warn([promise.text])
    else:
        show(*map(name_flags, filter(None, (promise.headline, promise.details))), "")
