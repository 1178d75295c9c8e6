"""What the numbers of one training run say, and what they suggest doing next.

Every sentence follows from the numbers: if they say otherwise, so does the sentence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from slugline.base.words import counted
from slugline.corrections.gate import FEWEST, TopicChange
from slugline.corrections.learning import RetrainingResult
from slugline.evaluation.curve_law import Forecast
from slugline.evaluation.evaluation import Evaluation, TopicMetrics
from slugline.experiment.curve import LearningCurve, LearningCurves
from slugline.experiment.run import Experiment
from slugline.learning.net.training import History
from slugline.learning.tuning import Tuning
from slugline.reports.page import listed, number, percent, points, shortened

__all__ = [
    "TOPIC_HEAD",
    "advice",
    "curve_rows",
    "doubling",
    "findings",
    "intervals",
    "said_of",
    "topic_rows",
]


#: A topic with a lower recall is missed more often than found.
MISSED = 0.5
#: A wider interval of the accuracy is too wide to compare settings.
WIDE_INTERVAL = 0.05
#: How many topics a sentence names.
N_NAMED = 3
#: How to make every topic count the same, on the command line and in Python.
BALANCING = '`--balanced` (in Python, `class_weight="balanced"`)'


def findings(experiment: Experiment) -> dict[str, str]:
    """Return a few sentences for each section with a picture or a table, by its name."""
    said = {
        "headline": _headline(experiment),
        "data": _data(experiment),
        "baselines": _baselines(experiment),
        "confusions": _confusions(experiment),
        "f1": _f1(experiment.tested.evaluation),
    }
    if experiment.fitted.tuning is not None:
        said["tuning"] = _tuning(experiment.fitted.tuning)
    if experiment.history is not None:
        said["curves"] = _curves(experiment, experiment.history)
    return said


def advice(experiment: Experiment) -> list[str]:
    """Return what the numbers suggest doing next; at least one suggestion."""
    suggestions = [
        _of_missed_topics(experiment),
        _of_confused_topics(experiment),
        _of_few_tests(experiment),
    ]
    return [suggestion for suggestion in suggestions if suggestion] or [
        "Nothing stands out: no topic is missed more often than found, no two topics are mixed up "
        "more than once, and there are enough test documents. Try the classifier on newer "
        "documents than these."
    ]


# Sections ---------------------------------------------------------------------------------------


def _headline(experiment: Experiment) -> str:
    evaluation = experiment.tested.evaluation
    low, high = (100 * share for share in evaluation.interval)
    return (
        f"The classifier gets {percent(evaluation.accuracy)} of "
        f"{counted(evaluation.n_documents, 'unseen document')} right (95 % confidence interval: "
        f"{low:.1f} to {high:.1f} %). {_against_majority(experiment)}"
    )


def _against_majority(experiment: Experiment) -> str:
    lead = experiment.tested.evaluation.accuracy - experiment.majority
    always = f"always answering {_quoted(experiment.majority_topic)}"
    if not lead:
        return f"That is no better than {always}."
    if lead < 0:
        return f"That is {points(lead)} worse than {always}."
    return f"That is {points(lead)} better than {always}."


def _data(experiment: Experiment) -> str:
    known = _by_size(_known_topics(experiment))
    said = [_sizes(known)]
    if experiment.n_skipped:
        was, it = ("was", "it") if experiment.n_skipped == 1 else ("were", "they")
        said.append(f"{counted(experiment.n_skipped, 'row')} {was} skipped: {it} can’t be used.")
    n_left_out = experiment.fitted.learner.settings().get("n_left_out", 0)
    if n_left_out:
        was, their = ("was", "its") if n_left_out == 1 else ("were", "their")
        said.append(
            f"{counted(n_left_out, 'training document')} {was} left out because {their} topic "
            "looks wrong."
        )
    dense = experiment.fitted.dense
    if dense is not None:
        said.append(
            f"Besides words, it learned from the rows that the sentence encoder "
            f"{dense.encoder.name} makes of texts: {percent(dense.share, 0)} of the spread of its "
            "scores over topics comes from these."
        )
    if experiment.fitted.descriptions:
        topics = counted(len(experiment.fitted.descriptions), "topic")
        said.append(f"{topics} were described to the encoder in words.")
    n_untested = sum(not metrics.n_documents for metrics in known)
    if n_untested:
        have, them = ("has", "it") if n_untested == 1 else ("have", "them")
        said.append(
            f"{counted(n_untested, 'topic')} {have} no test document, so nothing can be said about "
            f"{them}."
        )
    n_unknown = experiment.tested.evaluation.n_documents - sum(f.n_documents for f in known)
    if n_unknown:
        have, count = ("has", "counts") if n_unknown == 1 else ("have", "count")
        said.append(
            f"{counted(n_unknown, 'test document')} {have} a topic that is not in the training "
            f"documents and {count} as wrong."
        )
    return " ".join(said)


def _sizes(topics: Sequence[TopicMetrics]) -> str:
    """Return how many test documents the topics have; `topics` are sorted by that number."""
    tested = [metrics for metrics in topics if metrics.n_documents]
    named = topics if len(topics) <= 2 * N_NAMED else tested
    if len(named) <= 2 * N_NAMED:
        return f"Tested on: {_with_sizes(named)}."
    if named[0].n_documents == named[-1].n_documents:
        which = "Every topic" if len(named) == len(topics) else "Every tested topic"
        return f"{which} has {counted(named[0].n_documents, 'test document')}."
    return (
        f"The most common topics in the test documents are {_with_sizes(named[:N_NAMED])}; "
        f"the rarest are {_with_sizes(named[-N_NAMED:])}."
    )


def _tuning(tuning: Tuning) -> str:
    default, best = tuning.trials[0], tuning.best
    it = "the default" if best is default else "it"
    compared = "" if best is default else f" and the default {percent(default.accuracy)}"
    return (
        f"{tuning.outcome[0].upper()}{tuning.outcome[1:]}. In cross-validation on the training "
        f"documents, {it} gets {percent(best.accuracy)} right{compared}."
    )


def _curves(experiment: Experiment, history: History) -> str:
    return f"{_course(history)} {_kept(experiment, history)}"


def _course(history: History) -> str:
    best, last = history.best_epoch, history.n_epochs
    if best == last:
        return _to_the_end(history)
    course = (
        f"The validation loss (lower is better) is lowest after epoch {best}, at "
        f"{number(history['val_loss'][best - 1])}; {counted(last - best, 'more epoch')} did not "
        "lower it"
    )
    before, after = history["loss"][best - 1], history["loss"][-1]
    if after >= before:
        return f"{course}."
    return (
        f"{course}, while the training loss kept falling from {number(before)} to "
        f"{number(after)}. What the network learned then applies to the training documents only."
    )


def _to_the_end(history: History) -> str:
    """Return what to say about a validation loss that is lowest after the last epoch."""
    if history.stopped_by is None:
        return (
            f"After {counted(history.n_epochs, 'epoch')} the validation loss (lower is better) was "
            "still falling, so more epochs might help."
        )
    course = (
        f"The validation loss (lower is better) is lowest after epoch {history.n_epochs}, the last "
        f"one, at {number(history['val_loss'][-1])}"
    )
    if history.stopped_by == "interrupt":
        return f"{course}."
    return f"{course}, but it had almost stopped falling by then."


def _kept(experiment: Experiment, history: History) -> str:
    best = history.best_epoch
    if experiment.n_validation:
        interrupted = "Training was interrupted. " if experiment.was_interrupted else ""
        return f"{interrupted}The classifier is the one after epoch {best}."
    share = percent(_held_out(experiment), 0)
    if experiment.was_interrupted:
        return (
            f"For these curves, {share} of the training documents were held out. Training was "
            "interrupted before the classifier could learn from these too: it is the one after "
            f"epoch {best} and has learned from the other {number(experiment.n_learned, 0)}."
        )
    return (
        f"For these curves, {share} of the training documents were held out. The classifier was "
        f"then trained from scratch on all {number(experiment.n_train, 0)}, for "
        f"{counted(best, 'epoch')}."
    )


def _held_out(experiment: Experiment) -> float:
    settings = experiment.fitted.learner.settings()
    # The curves of a mixture come from its first learner that has epochs.
    parts = [settings, *settings.get("learners", [])]
    name = "validation_fraction"
    return next(float(part[name]) for part in parts if name in part)


def _baselines(experiment: Experiment) -> str:
    low, high = experiment.tested.evaluation.interval
    said = (
        "Answering with shuffled topics means guessing each topic as often as it occurs. No topic "
        f"is more common in the training documents than {_quoted(experiment.majority_topic)}; "
        "always answering it needs no reading and is right for "
        f"{percent(experiment.majority)} of the test documents."
    )
    if low <= experiment.majority <= high:
        said += (
            f" The 95 % confidence interval of the classifier, {percent(low)} to {percent(high)}, "
            f"includes {percent(experiment.majority)}, so the difference may be luck."
        )
    return said


def _confusions(experiment: Experiment) -> str:
    evaluation = experiment.tested.evaluation
    n_wrong = evaluation.n_documents - evaluation.n_right
    if not n_wrong:
        return "No test document was given a wrong topic."
    common = evaluation.confusions()
    n_shown = sum(n for _, _, n in common)
    below = (
        f"{'It is' if n_wrong == 1 else 'All of them are'} shown below."
        if n_shown == n_wrong
        else f"The most common mistakes make up {percent(n_shown / n_wrong, 0)} of them."
    )
    return (
        f"{number(n_wrong, 0)} of {number(evaluation.n_documents, 0)} test documents "
        f"{'was' if n_wrong == 1 else 'were'} given a wrong topic. {below}"
    )


def _f1(evaluation: Evaluation) -> str:
    macro, weighted = (
        f"{percent(score)} (95 % confidence interval: {100 * low:.1f} to {100 * high:.1f} %)"
        for score, (low, high) in (
            (evaluation.macro_f1, evaluation.macro_f1_interval),
            (evaluation.weighted_f1, evaluation.weighted_f1_interval),
        )
    )
    return (
        f"The mean of F1 is {macro} if every topic counts the same, and {weighted} if it counts as "
        "often as documents have it."
    )


# Advice -----------------------------------------------------------------------------------------


def _of_missed_topics(experiment: Experiment) -> str | None:
    tested = [metrics for metrics in _known_topics(experiment) if metrics.n_documents]
    missed = [metrics for metrics in _by_size(tested) if metrics.recall < MISSED]
    if not missed:
        return None
    named = listed([_found(metrics) for metrics in missed[:N_NAMED]])
    such_as = ", such as" if len(missed) > N_NAMED else ":"
    found = [metrics for metrics in tested if metrics.recall >= MISSED]
    return (
        f"{len(missed)} of {counted(len(tested), 'topic')} "
        f"{'is' if len(missed) == 1 else 'are'} missed more often than found{such_as} {named}. "
        f"{_of_their_size(missed, found, balanced=experiment.fitted.class_weight is not None)}"
    )


def _of_their_size(
    missed: Sequence[TopicMetrics], found: Sequence[TopicMetrics], *, balanced: bool
) -> str:
    """Return a sentence on whether the missed topics are the rare ones, and what to do."""
    if not found:
        return (
            "No topic does better, so check first whether the texts say anything about their "
            "topics."
        )
    ours, others = _mean_size(missed), _mean_size(found)
    they_are, average = ("It is", "") if len(missed) == 1 else ("They are", " on average")
    sizes = f"{counted(round(ours), 'test document')}{average}; the others have {others:.0f}"
    if ours >= others:
        return (
            f"{they_are} not rare ({sizes}), so look at which topics are given instead, and check "
            "the labels."
        )
    hint = "" if balanced else f", or give them more weight with {BALANCING}"
    return f"{they_are} rare ({sizes}), so add more such documents{hint}."


def _of_confused_topics(experiment: Experiment) -> str | None:
    evaluation = experiment.tested.evaluation
    known = {metrics.topic for metrics in _known_topics(experiment)}
    mistakes = [
        mistake
        for mistake in evaluation.confusions(most=evaluation.confusion.size)
        if mistake[0] in known
    ]
    pairs = Counter[frozenset[str]]()
    for topic, predicted, n in mistakes:
        pairs[frozenset((topic, predicted))] += n
    # Among pairs mixed up equally often, take the one with the most common single mistake, which
    # comes first.
    n_confused = max(pairs.values(), default=0)
    if n_confused < 2:
        return None
    one, other = next((a, b) for a, b, _ in mistakes if pairs[frozenset((a, b))] == n_confused)
    share = n_confused / (evaluation.n_documents - evaluation.n_right)
    return (
        f"{_quoted(one)} and {_quoted(other)} are mixed up most often: {number(n_confused, 0)} "
        f"test documents, {percent(share, 0)} of all mistakes. Read some of them. If you can’t "
        "tell the two topics apart either, merge them. If you can, check how these documents were "
        "labelled."
    )


def _of_few_tests(experiment: Experiment) -> str | None:
    evaluation = experiment.tested.evaluation
    low, high = evaluation.interval
    if high - low <= WIDE_INTERVAL:
        return None
    return (
        f"With {counted(evaluation.n_documents, 'test document')}, the true accuracy may be "
        f"anywhere from {percent(low, 0)} to {percent(high, 0)}. That range is too wide to compare "
        "settings; four times as many test documents would halve it."
    )


# Words ------------------------------------------------------------------------------------------


def _known_topics(experiment: Experiment) -> list[TopicMetrics]:
    """Return all topics but that of test documents whose topic the classifier does not know."""
    return experiment.tested.evaluation.per_topic()[: len(experiment.fitted.topics)]


def _by_size(topics: Sequence[TopicMetrics]) -> list[TopicMetrics]:
    return sorted(topics, key=lambda metrics: -metrics.n_documents)


def _mean_size(topics: Sequence[TopicMetrics]) -> float:
    return sum(metrics.n_documents for metrics in topics) / len(topics)


def _with_sizes(topics: Sequence[TopicMetrics]) -> str:
    return listed([f"{_quoted(f.topic)} ({number(f.n_documents, 0)})" for f in topics])


def _found(metrics: TopicMetrics) -> str:
    n_found = round(metrics.recall * metrics.n_documents)
    return f"{_quoted(metrics.topic)} ({n_found} of {metrics.n_documents} found)"


def _quoted(topic: str) -> str:
    return f"“{shortened(topic)}”"


# What learning curves say, in words ---------------------------------------------------------------

#: A forecast with a wider range is called a guess.
WIDE_FORECAST = 0.1
#: A smaller gain is hardly worth the labels.
LITTLE = 0.005


def curve_rows(curves: LearningCurves) -> list[list[str]]:
    """Return a table: labels a topic, documents, and each curve's accuracy with its interval."""
    rows = [["labels a topic", "documents"]]
    for curve in curves.curves:
        rows[0] += [curve.name, "95 % interval"]
    longest = max((curve.points for curve in curves.curves), key=len)
    for place, point in enumerate(longest):
        labels = "all" if point.n_labels is None else number(point.n_labels, 0)
        row = [labels, number(point.n_documents, 0)]
        for curve in curves.curves:
            row += _cells(curve, place)
        rows.append(row)
    return rows


def _cells(curve: LearningCurve, place: int) -> list[str]:
    if place >= len(curve.points):  # not yet measured
        return ["-", "-"]
    point = curve.points[place]
    low, high = point.interval
    return [f"{point.accuracy:.3f}", f"{low:.3f} to {high:.3f}"]


def intervals(curves: LearningCurves) -> str:
    """Return what the intervals are intervals of."""
    n_draws = max(len(p.accuracies) for curve in curves.curves for p in curve.points)
    single = f"how much chance there is in {counted(curves.n_test, 'test document')} (Wilson)"
    if n_draws == 1:
        return f"The intervals show {single}."
    return (
        f"The intervals show how much it matters which documents have labels (Student's t over "
        f"{n_draws} draws); with all labels, where there is nothing to draw, {single}."
    )


def doubling(curve: LearningCurve) -> str:
    """Return what twice as many labels would bring, and how sure that is."""
    if not curve.points or curve.points[-1].n_labels is not None:
        return f"{curve.name}: not measured with all labels, so more of them can't be judged."
    now = curve.points[-1]
    if now.accuracy == 1:
        return (
            f"{curve.name}: no mistake is left in {counted(now.n_test, 'test document')} for more "
            "labels to mend; only more documents to test on can show any."
        )
    forecast = curve.doubled
    if forecast is None:
        return (
            f"{curve.name}: too few points to say what more labels would bring; it takes three "
            "different numbers of labels."
        )
    gain = forecast.accuracy - now.accuracy
    return (
        f"{curve.name}: twice as many labels ({number(forecast.n_documents, 0)} documents) would "
        f"probably bring {percent(forecast.accuracy)}, {points(gain)} more than now. "
        f"{_how_sure(forecast)}{_worth(forecast, gain)}"
    )


def _worth(forecast: Forecast, gain: float) -> str:
    if gain >= LITTLE or forecast.high - forecast.low > WIDE_FORECAST:
        return ""
    return " So other things than labels limit it: look at the mistakes, or at the topics."


def _how_sure(forecast: Forecast) -> str:
    reach = f"from {percent(forecast.low)} to {percent(forecast.high)}"
    said = f"The range is {reach}"
    if forecast.high - forecast.low > WIDE_FORECAST:
        said = f"That is hardly more than a guess, {reach}"
    if forecast.checked is None:
        return f"{said}; there are only three points to judge by."
    n, expected, measured = forecast.checked
    return (
        f"{said}. The same rule (errors fall as a power of the number of documents), not told of "
        f"{number(n, 0)} documents, expected {percent(expected)} there, and {percent(measured)} "
        "came out."
    )


# What corrections changed, in words and rows: for the screen and for the report -------------------

TOPIC_HEAD = ("topic", "documents", "corrections", "F1 before", "after", "better", "worse", "")
# New topics that are named.
_N_NAMED = 10


def said_of(outcome: RetrainingResult) -> list[tuple[str, str]]:
    """Return what there was to learn from and what that changed, as pairs of a name and words."""
    return [*_learned(outcome), *_changed(outcome)]


def topic_rows(outcome: RetrainingResult) -> list[tuple[str, ...]]:
    """Return a row under `TOPIC_HEAD` for each topic that was corrected, or in which some changed.

    Those that got clearly worse come first, then the ones with the most test documents.
    """
    shown = [c for c in outcome.topics if c.n_corrections or c.n_better or c.n_worse]
    return [*map(_row, sorted(shown, key=lambda change: not change.is_worse))]


def _learned(outcome: RetrainingResult) -> Iterator[tuple[str, str]]:
    merged = outcome.merged
    yield "corrections", f"{'; '.join(merged.corrections.notes)}; weight {outcome.weight:g}"
    if merged.n_replaced or merged.n_from_test:
        yield (
            "in the data",
            f"{counted(merged.n_replaced, 'document')} to learn from and {merged.n_from_test:,} to "
            "test on had such texts, and gave way",
        )
    if merged.new_topics:
        n_more = len(merged.new_topics) - _N_NAMED
        more = f" and {n_more:,} more" if n_more > 0 else ""
        yield "new topics", ", ".join(merged.new_topics[:_N_NAMED]) + more


def _changed(outcome: RetrainingResult) -> Iterator[tuple[str, str]]:
    now, paired = outcome.now_right, outcome.paired
    yield (
        "corrected texts",
        f"{now.n_after:,} of {now.n_asked:,} right after learning from the others, "
        f"{now.n_before:,} before",
    )
    low, high = paired.accuracy_interval
    yield (
        "test texts",
        f"accuracy {paired.accuracy_second:.3f} before, {paired.accuracy_first:.3f} after; "
        f"difference {paired.accuracy_difference:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}",
    )
    n_topics = sum(change.n_documents > 0 for change in outcome.topics)
    n_judged = sum(change.n_documents >= FEWEST for change in outcome.topics)
    n_worse = len(outcome.worse_topics)
    yield (
        "clearly worse",
        f"{counted(n_worse, 'topic') if n_worse else 'no topic'}; {n_judged:,} of {n_topics:,} "
        f"have the {FEWEST} test texts that it takes to tell",
    )


def _row(change: TopicChange) -> tuple[str, ...]:
    before, after = ("-" if f1 != f1 else f"{f1:.3f}" for f1 in (change.f1_before, change.f1_after))
    return (
        change.topic,
        str(change.n_documents),
        str(change.n_corrections),
        before,
        after,
        str(change.n_better),
        str(change.n_worse),
        "clearly worse" if change.is_worse else "",
    )
