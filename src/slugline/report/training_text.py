"""What the numbers of one training run say, and what they suggest to do next.

Every sentence follows from the numbers at hand: where they say otherwise, so does the text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from slugline.evaluation import TopicFigures
from slugline.experiment.run import Experiment
from slugline.report.words import counted, listed, number, percent, points, shortened
from slugline.training.history import History
from slugline.tuning import Tuning

__all__ = ["advice", "findings"]

#: A topic that keeps less of its documents than this is missed more often than found.
MISSED = 0.5
#: An interval of the accuracy wider than this is too wide to tell settings apart.
WIDE = 0.05
#: How many topics a sentence names.
N_NAMED = 3
#: How to let every topic count the same, on the command line and in Python.
BALANCING = '`--balanced` (in Python, `class_weight="balanced"`)'


def findings(experiment: Experiment) -> dict[str, str]:
    """Write a few sentences for each section of the report that has a picture or a table."""
    said = {
        "headline": _headline(experiment),
        "data": _data(experiment),
        "baselines": _baselines(experiment),
        "confusions": _confusions(experiment),
    }
    if experiment.fitted.tuning is not None:
        said["tuning"] = _tuning(experiment.fitted.tuning)
    if experiment.history is not None:
        said["curves"] = _curves(experiment, experiment.history)
    return said


def advice(experiment: Experiment) -> list[str]:
    """Return what to do next, as far as the numbers give reason to; at least one thing."""
    suggestions = [
        _of_missed_topics(experiment),
        _of_confused_topics(experiment),
        _of_few_tests(experiment),
    ]
    return [suggestion for suggestion in suggestions if suggestion] or [
        "Nothing stands out: no topic is missed more often than found, no two are taken for one "
        "another more than once, and there are enough test documents. Try the classifier on newer "
        "documents than these."
    ]


# Sections ---------------------------------------------------------------------------------------


def _headline(experiment: Experiment) -> str:
    evaluation = experiment.evaluation
    low, high = (100 * share for share in evaluation.interval)
    return (
        f"The classifier gets {percent(evaluation.accuracy)} of "
        f"{counted(evaluation.n_documents, 'document')} right that it had not seen (95 % interval: "
        f"{low:.1f} to {high:.1f} %). {_against_majority(experiment)}"
    )


def _against_majority(experiment: Experiment) -> str:
    lead = experiment.evaluation.accuracy - experiment.majority
    always = f"always answering {_quoted(experiment.majority_topic)}"
    if not lead:
        return f"That is no better than {always}."
    if lead < 0:
        return f"That is {points(lead)} worse than {always}."
    return f"That beats {always} by {points(lead)}."


def _data(experiment: Experiment) -> str:
    known = _by_size(_known_topics(experiment))
    said = [_sizes(known)]
    n_left_out = experiment.fitted.learner.settings().get("n_left_out", 0)
    if n_left_out:
        said.append(
            f"Of the documents to learn from, {number(n_left_out, 0)} "
            f"{'was' if n_left_out == 1 else 'were'} left out, as the topic looks wrong."
        )
    n_untested = sum(not figures.n_documents for figures in known)
    if n_untested:
        said.append(
            f"Nothing can be said of {counted(n_untested, 'topic')} without a test document."
        )
    n_unknown = experiment.evaluation.n_documents - sum(f.n_documents for f in known)
    if n_unknown:
        said.append(
            f"{counted(n_unknown, 'test document')} of topics that the classifier never met count "
            "as wrong."
        )
    return " ".join(said)


def _sizes(topics: Sequence[TopicFigures]) -> str:
    """Return how many test documents the topics have, which come by size."""
    tested = [figures for figures in topics if figures.n_documents]
    named = topics if len(topics) <= 2 * N_NAMED else tested
    if len(named) <= 2 * N_NAMED:
        return f"Tested on: {_with_sizes(named)}."
    if named[0].n_documents == named[-1].n_documents:
        which = "Every topic" if len(named) == len(topics) else "Every tested topic"
        return f"{which} has {counted(named[0].n_documents, 'test document')}."
    return (
        f"The commonest topics among the test documents are {_with_sizes(named[:N_NAMED])}, "
        f"the rarest {_with_sizes(named[-N_NAMED:])}."
    )


def _tuning(tuning: Tuning) -> str:
    default, best = tuning.trials[0], tuning.best
    it = "the default" if best is default else "it"
    compared = "" if best is default else f", the default {percent(default.accuracy)}"
    return (
        f"{tuning.outcome[0].upper()}{tuning.outcome[1:]}. In cross-validation on the documents to "
        f"learn from, {it} gets {percent(best.accuracy)} right{compared}."
    )


def _curves(experiment: Experiment, history: History) -> str:
    return f"{_course(history)} {_kept(experiment, history)}"


def _course(history: History) -> str:
    best, last = history.best_epoch, history.n_epochs
    if best == last:
        return _to_the_end(history)
    course = (
        f"The loss on validation documents is lowest after epoch {best}, at "
        f"{number(history['val_loss'][best - 1])}; {counted(last - best, 'more epoch')} did not "
        "lower it"
    )
    before, after = history["loss"][best - 1], history["loss"][-1]
    if after >= before:
        return f"{course}."
    return (
        f"{course}, while the loss on the documents learned from went on falling from "
        f"{number(before)} to {number(after)}: what was learned then holds for those alone."
    )


def _to_the_end(history: History) -> str:
    """Return what to say of a validation loss that is lowest after the last epoch."""
    if history.stopped_by is None:
        return (
            f"After {counted(history.n_epochs, 'epoch')} the loss on validation documents was "
            "still falling: more epochs might help."
        )
    course = (
        f"The loss on validation documents is lowest after epoch {history.n_epochs}, the last one, "
        f"at {number(history['val_loss'][-1])}"
    )
    if history.stopped_by == "interrupt":
        return f"{course}."
    return f"{course}, but had all but stopped falling by then."


def _kept(experiment: Experiment, history: History) -> str:
    epochs = counted(history.best_epoch, "epoch")
    if experiment.n_validation:
        interrupted = "Training was interrupted. " if experiment.was_interrupted else ""
        return f"{interrupted}The classifier is the one after {epochs}."
    share = percent(_held_out(experiment), 0)
    if experiment.was_interrupted:
        return (
            f"For these curves, {share} of the documents were held out. Training was interrupted "
            f"before these could be learned from: the classifier is the one after {epochs}, and "
            f"has learned from the other {number(experiment.n_learned, 0)}."
        )
    return (
        f"For these curves, {share} of the documents were held out; the classifier then learned "
        f"from all {number(experiment.n_train, 0)} anew, for {epochs}."
    )


def _held_out(experiment: Experiment) -> float:
    settings = experiment.fitted.learner.settings()
    # The curves of a mixture are those of the first of its learners that has epochs.
    parts = [settings, *settings.get("learners", [])]
    name = "validation_fraction"
    return next(float(part[name]) for part in parts if name in part)


def _baselines(experiment: Experiment) -> str:
    low, high = experiment.evaluation.interval
    said = (
        f"No topic is commoner among the documents to learn from than "
        f"{_quoted(experiment.majority_topic)}; always answering it takes no reading and is right "
        f"in {percent(experiment.majority)} of the test documents."
    )
    if low <= experiment.majority <= high:
        said += (
            f" The 95 % interval of the classifier, {percent(low)} to {percent(high)}, holds that "
            "share too: the difference may be luck."
        )
    return said


def _confusions(experiment: Experiment) -> str:
    evaluation = experiment.evaluation
    n_wrong = evaluation.n_documents - evaluation.n_right
    if not n_wrong:
        return "No test document got another topic than its own."
    common = evaluation.confusions()
    n_shown = sum(n for _, _, n in common)
    below = (
        f"{'This is the only one' if n_wrong == 1 else 'These are all of them'}."
        if n_shown == n_wrong
        else f"The commonest mistakes make up {percent(n_shown / n_wrong, 0)} of them."
    )
    return (
        f"{number(n_wrong, 0)} of {number(evaluation.n_documents, 0)} test documents got another "
        f"topic than their own. {below}"
    )


# Advice -----------------------------------------------------------------------------------------


def _of_missed_topics(experiment: Experiment) -> str | None:
    tested = [figures for figures in _known_topics(experiment) if figures.n_documents]
    missed = [figures for figures in _by_size(tested) if figures.recall < MISSED]
    if not missed:
        return None
    named = listed([_found(figures) for figures in missed[:N_NAMED]])
    such_as = ", such as" if len(missed) > N_NAMED else ":"
    found = [figures for figures in tested if figures.recall >= MISSED]
    return (
        f"{counted(len(missed), 'topic')} of {len(tested)} "
        f"{'is' if len(missed) == 1 else 'are'} missed more often than found{such_as} {named}. "
        f"{_of_their_size(missed, found, balanced=experiment.fitted.class_weight is not None)}"
    )


def _of_their_size(
    missed: Sequence[TopicFigures], found: Sequence[TopicFigures], *, balanced: bool
) -> str:
    """Return whether the topics that are missed are the rare ones, and what that suggests."""
    if not found:
        return "No topic does better: look first at whether the texts tell their topics at all."
    ours, others = _mean_size(missed), _mean_size(found)
    they_are, average = ("It is", "") if len(missed) == 1 else ("They are", " on average")
    sizes = f"{counted(round(ours), 'test document')}{average}; the others have {others:.0f}"
    if ours >= others:
        return f"{they_are} not rare ({sizes}): see what is taken for what, and check the labels."
    hint = "" if balanced else f", or let each one count more with {BALANCING}"
    return f"{they_are} rare ({sizes}): add such documents{hint}."


def _of_confused_topics(experiment: Experiment) -> str | None:
    evaluation = experiment.evaluation
    known = {figures.topic for figures in _known_topics(experiment)}
    mistakes = [
        mistake
        for mistake in evaluation.confusions(most=evaluation.confusion.size)
        if mistake[0] in known
    ]
    pairs = Counter[frozenset[str]]()
    for topic, predicted, n in mistakes:
        pairs[frozenset((topic, predicted))] += n
    # Of pairs confused equally often, the one with the commonest single mistake: it is met first.
    n_confused = max(pairs.values(), default=0)
    if n_confused < 2:
        return None
    one, other = next((a, b) for a, b, _ in mistakes if pairs[frozenset((a, b))] == n_confused)
    share = n_confused / (evaluation.n_documents - evaluation.n_right)
    return (
        f"{_quoted(one)} and {_quoted(other)} are mixed up most: {number(n_confused, 0)} test "
        f"documents, {percent(share, 0)} of all mistakes. Read some of them. If you can’t tell the "
        "topics apart either, merge them; if you can, check how these documents were labelled."
    )


def _of_few_tests(experiment: Experiment) -> str | None:
    evaluation = experiment.evaluation
    low, high = evaluation.interval
    if high - low <= WIDE:
        return None
    return (
        f"{counted(evaluation.n_documents, 'test document')} leave the accuracy anywhere from "
        f"{percent(low, 0)} to {percent(high, 0)}, too wide to tell one setting from another. Four "
        "times as many would halve that range."
    )


# Words ------------------------------------------------------------------------------------------


def _known_topics(experiment: Experiment) -> list[TopicFigures]:
    """Leave out the row of those test documents whose topic the classifier never met."""
    return experiment.evaluation.per_topic()[: len(experiment.fitted.topics)]


def _by_size(topics: Sequence[TopicFigures]) -> list[TopicFigures]:
    return sorted(topics, key=lambda figures: -figures.n_documents)


def _mean_size(topics: Sequence[TopicFigures]) -> float:
    return sum(figures.n_documents for figures in topics) / len(topics)


def _with_sizes(topics: Sequence[TopicFigures]) -> str:
    return listed([f"{_quoted(f.topic)} ({number(f.n_documents, 0)})" for f in topics])


def _found(figures: TopicFigures) -> str:
    n_found = round(figures.recall * figures.n_documents)
    return f"{_quoted(figures.topic)} ({n_found} of {figures.n_documents} found)"


def _quoted(topic: str) -> str:
    return f"“{shortened(topic)}”"
