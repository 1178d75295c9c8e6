"""Evaluate, compare and explain models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from slugline.api.result import (
    Data,
    Model,
    TableResult,
    field_values,
    to_classifier,
    to_corpus,
    topic_records,
)
from slugline.base.progress import Progress
from slugline.comparison.results import Comparison
from slugline.comparison.run import CompareSettings, compare_models
from slugline.corpus.documents import Topic
from slugline.corpus.rows import ReadOptions
from slugline.corpus.topics import add_parents, apply_topic_rules, topic_rules
from slugline.evaluation.evaluation import BaseEvaluation, Evaluation
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.evaluation.paired import PairedComparison
from slugline.experiment import run
from slugline.explanation import explain as explaining
from slugline.explanation.explanation import Explanation

# Evaluation ---------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class EvaluationParts(BaseEvaluation, TableResult):
    """The parts of an evaluation that not every one has; `to_records` has a row for each topic.

    Attributes
    ----------
    routing : RoutingResult, MultilabelRoutingResult or None
        How many texts it answers and how many of the answers are right, if it was trained for a
        precision.
    against : PairedComparison or None
        The comparison with the model `against`.
    """

    routing: run.RoutingResult | run.MultilabelRoutingResult | None = field(
        default=None, kw_only=True
    )
    against: PairedComparison | None = field(default=None, kw_only=True)

    def to_records(self) -> list[dict[str, Any]]:
        """Return precision, recall, F1 and number of documents of each topic."""
        return topic_records(self)

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics as plain data for JSON; an undefined ratio is None."""
        parts = {"routing": self.routing, "against": self.against}
        return super().to_dict() | {name: part.to_dict() for name, part in parts.items() if part}

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        title, metrics = super()._title_and_rows()
        rows = [*metrics]
        if self.routing is not None:
            rows.append(("sure enough", self.routing.summary()))
        if self.against is not None:
            paired = self.against
            difference, (low, high) = paired.accuracy_difference, paired.accuracy_interval
            if paired.micro_f1_interval is not None:
                difference, (low, high) = paired.micro_f1_difference, paired.micro_f1_interval
            rows.append(
                ("better by", f"{difference:+.3f}, 95 % interval {low:+.3f} to {high:+.3f}")
            )
        return title, rows


@dataclass(frozen=True, repr=False)
class EvaluationResult(EvaluationParts, Evaluation):
    """The metrics of a model on labelled texts; `to_records` has a row for each topic.

    Other attributes are those of `EvaluationParts` and of
    `slugline.evaluation.evaluation.Evaluation`.
    """


@dataclass(frozen=True, repr=False)
class MultilabelEvaluationResult(EvaluationParts, MultilabelEvaluation):
    """The metrics of a model of several topics; `to_records` has a row for each topic.

    Other attributes are those of `EvaluationParts` and of
    `slugline.evaluation.multilabel.MultilabelEvaluation`.
    """


def evaluate(
    model: Model,
    data: Data,
    *,
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    against: Model | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> EvaluationResult | MultilabelEvaluationResult:
    """Measure a model on labelled texts, and test whether it is better than another one.

    Parameters
    ----------
    model : TopicClassifier, or path of a model file
    data : Corpus, path, data frame, or pair of texts and topics
        See `train`. The model should not have learned from these texts; topics it doesn't know
        count as wrong.
    text : str or sequence of str, optional
        The columns to read; by default those that the model learned from, or guessed.
    topic : str, optional
        The column to read, in the same way.
    against : TopicClassifier, or path of a model file, optional
        Another model, to be compared on the same texts.
    seed : int, default 0
        Of the bootstrap samples of intervals.
    progress : Progress, optional

    Raises
    ------
    DataError : if the data can't be read, or the model knows none of their topics.
    ModelFileError : if a model can't be loaded.

    Examples
    --------
    >>> import slugline
    >>> classifier = slugline.train("examples/tickets.csv", test_fraction=None).classifier
    >>> slugline.evaluate(classifier, "examples/later.csv").n_right
    9
    """
    classifier = to_classifier(model)
    # A second model that can't be read is said before the first one has answered.
    other = None if against is None else to_classifier(against, "against")
    layout = classifier.fitted_.layout
    corpus = to_corpus(data, text, topic, layout)
    known_topics = [str(name) for name in classifier.fitted_.topics.names]
    corpus = apply_topic_rules(corpus, topic_rules(ReadOptions(layout=layout)), known_topics)
    corpus = add_parents(corpus, classifier.fitted_.separator)
    evaluation = run.evaluate(classifier, corpus, seed=seed, progress=progress)
    is_multilabel = isinstance(evaluation, MultilabelEvaluation)
    result = MultilabelEvaluationResult if is_multilabel else EvaluationResult
    return result(
        **field_values(evaluation),
        routing=run.route_corpus(classifier.fitted_, corpus),
        against=None
        if other is None
        else run.compare_evaluations(evaluation, run.evaluate(other, corpus, seed=seed), corpus),
    )


# Comparison ---------------------------------------------------------------------------------------


class ComparisonResult(Comparison, TableResult):
    """Several models on the same folds; `to_records` has a row for each one measured.

    Other attributes are those of `slugline.comparison.results.Comparison`.
    """

    def to_records(self) -> list[dict[str, Any]]:
        """Return accuracy or micro-F1, macro-F1, time, memory and size of each model."""
        return [
            {
                "model": model.name,
                "micro_f1" if self.multilabel else "accuracy": model.score,
                "low": model.interval[0],
                "high": model.interval[1],
                "macro_f1": model.macro_f1,
                "fit_seconds": model.fit_time,
                "documents_per_second": model.documents_per_second,
                "peak_memory_mb": model.peak_mb,
                "file_bytes": model.file_bytes,
            }
            for model in self.measured
        ]

    def _page(self) -> str:
        from slugline.reports.comparison import comparison_page

        return comparison_page(self)


def compare(
    data: Data,
    models: Sequence[str] = ("all",),
    *,
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    n_folds: int = 5,
    seed: int = 0,
    resume: str | Path | None = None,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Measure several models by cross-validation on the same folds, each in its own process.

    Parameters
    ----------
    data : Corpus, path, data frame, or pair of texts and topics
        See `train`.
    models : sequence of str, default ("all",)
        Such as "default", "tfidf-svc", or "module:name" for a pipeline in a file of yours.
    text : str or sequence of str, optional
        The columns to read; guessed by default.
    topic : str, optional
        The column to read; guessed by default.
    n_folds : int, default 5
    seed : int, default 0
    resume : path, optional
        A file that stores the results of folds; those in it are not measured again.
    progress : Progress, optional

    Raises
    ------
    DataError : if the data can't be read, or there is nothing to distinguish.
    OptionError : if a model is unknown, or there are more folds than documents.

    Examples
    --------
    >>> import slugline
    >>> result = slugline.compare("examples/tickets.csv", ["majority", "default"], n_folds=2)
    >>> result.best.name
    'default'
    """
    comparison = compare_models(
        to_corpus(data, text, topic),
        models,
        CompareSettings(n_folds=n_folds, seed=seed),
        resume=None if resume is None else Path(resume),
        progress=progress,
    )
    return ComparisonResult(**field_values(comparison))


# Explanation --------------------------------------------------------------------------------------


class ExplanationResult(Explanation, TableResult):
    """The words for and against a topic; `to_records` has a row for each word.

    Other attributes are those of `slugline.explanation.explanation.Explanation`.
    """

    def to_records(self) -> list[dict[str, Any]]:
        """Return words and phrases, the strongest first, with their shares in the score.

        Of several topics, those of each that is explained, with the topic.
        """
        if self.is_given is None:
            return [word._asdict() for word in self.words()]
        parts = (self, *self.others)
        return [{"topic": part.topic} | word._asdict() for part in parts for word in part.words()]

    def _page(self) -> str:
        from slugline.reports.explanation import explanation_page

        return explanation_page(self)


def explain(
    model: Model,
    text: str,
    topic: Topic | None = None,
    *,
    against: Topic | None = None,
    examples: Data | None = None,
) -> ExplanationResult:
    """Return the words of a text that speak for and against a topic, and how much each counts.

    Parameters
    ----------
    model : TopicClassifier, or path of a model file
    text : str
    topic : str or int, optional
        By default the most likely one; of several topics that are given, the others are in
        `others`.
    against : str or int, optional
        Explain why it is `topic` rather than this one.
    examples : Corpus, path, data frame, or pair of texts and topics, optional
        The training documents, of which the nearest ones are shown.

    Raises
    ------
    DataError : if `text` is not a string, or the examples can't be read.
    OptionError : if the model has no such topic.

    Examples
    --------
    >>> import slugline
    >>> explanation = slugline.explain("reuters46", "Wheat exports rose")
    >>> explanation.topic, explanation.words()[0].word
    ('grain', 'wheat')
    """
    explanation = explaining.explain(
        to_classifier(model).fitted_,
        text,
        topic,
        against=against,
        corpus=None if examples is None else to_corpus(examples, name="examples"),
    )
    return ExplanationResult(**field_values(explanation))
