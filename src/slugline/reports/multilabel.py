"""Sentences on a training run whose documents have several topics, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from slugline.base.words import counted, join_words, percent
from slugline.evaluation.intervals import Interval
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.evaluation.probabilities import CoverageCurve
from slugline.experiment.run import Experiment
from slugline.reports.page import confidence, number
from slugline.reports.training_text import (
    N_NAMED,
    by_size,
    describe_data,
    describe_surest,
    few_tests,
    missed_topics,
    quoted,
    shared_texts,
)

#: A topic with a lower precision is given wrongly more often than rightly.
WRONG = 0.5


def section_texts(experiment: Experiment, evaluation: MultilabelEvaluation) -> dict[str, str]:
    """Return the text of each section, by its name."""
    texts = shared_texts(experiment)
    exact = "Right means here that a document is given exactly its topics (exact match)."
    return texts | {
        "headline": _headline(evaluation),
        "data": " ".join([*describe_data(experiment), *_topics_per_document(evaluation)]),
        "baselines": f"{exact} {texts['baselines']}",
        "missed": _missed(evaluation),
        "added": _added(evaluation),
        "f1": _f1(evaluation),
    }


def _headline(evaluation: MultilabelEvaluation) -> str:
    return (
        f"Of the topics that {counted(evaluation.n_documents, 'unseen document')} "
        f"{'has' if evaluation.n_documents == 1 else 'have'}, the classifier gives "
        f"{percent(evaluation.micro.recall)}, and {percent(evaluation.micro.precision)} of the "
        f"topics that it gives are right: a micro-F1 of "
        f"{_with_interval(evaluation.micro.f1, evaluation.f1_intervals[0])}. "
        f"{percent(evaluation.accuracy)} of the documents are given exactly their topics."
    )


def _topics_per_document(evaluation: MultilabelEvaluation) -> Iterator[str]:
    sizes = np.diff(evaluation.true.indptr)
    none = int(np.count_nonzero(sizes == 0))
    without = f", and {number(none, 0)} have none" if none else ""
    yield (
        f"A test document has {number(sizes.mean(), 1)} topics on average and at most "
        f"{sizes.max()}{without}; it is given {number(evaluation.answered.nnz / len(sizes), 1)}."
    )
    if unknown := evaluation.topics[evaluation.n_known :]:
        yield (
            f"{counted(len(unknown), 'topic')} of the test documents, such as "
            f"{quoted(unknown[0])}, {'is' if len(unknown) == 1 else 'are'} not in the training "
            f"documents and {'counts' if len(unknown) == 1 else 'count'} as missed."
        )


def _missed(evaluation: MultilabelEvaluation) -> str:
    n, n_all = len(evaluation.missed()), evaluation.true.nnz
    return (
        f"{number(n, 0)} of the {number(n_all, 0)} topics that the test documents have "
        f"{'is' if n == 1 else 'are'} not given. Those with the lowest probabilities come first, "
        "of topics that are found more often than missed: if the classifier knows a topic well, "
        "and is sure that a document doesn’t have it, the topics in the data are often wrong."
    )


def _added(evaluation: MultilabelEvaluation) -> str:
    n, n_all = len(evaluation.added()), evaluation.answered.nnz
    return (
        f"{number(n, 0)} of the {number(n_all, 0)} topics given {'is' if n == 1 else 'are'} not in "
        "the data. Those with the highest probabilities come first: often, a topic is missing in "
        "the data."
    )


def _f1(evaluation: MultilabelEvaluation) -> str:
    _, macro, samples = evaluation.f1_intervals
    return (
        f"The mean F1 is {_with_interval(evaluation.macro_f1, macro)} over the topics of the "
        "classifier that a test document has or is given (macro-F1), and "
        f"{_with_interval(evaluation.samples.f1, samples)} over documents (one without topics that "
        "is given none counts as 1)."
    )


def _with_interval(score: float, interval: Interval) -> str:
    return f"{percent(score)} {confidence(interval)}"


# Probabilities ------------------------------------------------------------------------------------


def describe_coverage(curve: CoverageCurve) -> str:
    """Return how many of the surest topics given are right."""
    return (
        "Topics that are less sure can be offered to people as suggestions. Of the topics given, "
        f"{describe_surest(curve)} are right."
    )


def describe_rankings(evaluation: MultilabelEvaluation) -> str:
    """Return the metrics of rankings and of single decisions, each with its meaning."""
    ranking = evaluation.ranking
    precisions = [f"{percent(ranking.precision_at(k))} (k = {k})" for k in evaluation.top_ks]
    gains = [f"{number(ranking.ndcg_at(k), 3)} (k = {k})" for k in evaluation.top_ks]
    return (
        f"Of the k likeliest topics of a document, so many are right on average: "
        f"{join_words(precisions)}. Measures of their order, which are 1 at best: nDCG "
        f"{join_words(gains)}, label ranking average precision "
        f"{number(ranking.average_precision, 3)}. Of all decisions, a topic for a document, "
        f"{percent(evaluation.hamming_loss, 2)} are wrong (Hamming loss)."
    )


# Advice -------------------------------------------------------------------------------------------


def advice(experiment: Experiment, evaluation: MultilabelEvaluation) -> list[str]:
    """Return suggestions for what to do next, at least one."""
    suggestions = [
        missed_topics(experiment),
        _added_topics(evaluation),
        few_tests(evaluation.n_documents, "micro-F1", evaluation.f1_intervals[0]),
    ]
    return [suggestion for suggestion in suggestions if suggestion] or [
        "Nothing stands out: no topic is missed more often than found, none is given wrongly more "
        "often than rightly, and there are enough test documents. Try the classifier on newer "
        "documents."
    ]


def _added_topics(evaluation: MultilabelEvaluation) -> str | None:
    topics = [metrics for metrics in evaluation.per_topic() if metrics.precision < WRONG]
    if not topics:
        return None
    examples = [
        f"{quoted(m.topic)} ({percent(m.precision, 0)} right)" for m in by_size(topics)[:N_NAMED]
    ]
    return (
        f"{counted(len(topics), 'topic')} {'is' if len(topics) == 1 else 'are'} given wrongly more "
        f"often than rightly{', such as' if len(topics) > N_NAMED else ':'} {join_words(examples)}."
        " Read some of these documents: perhaps the topic is missing in the data."
    )
