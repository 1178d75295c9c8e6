"""Evaluate, compare and explain models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from slugline.base.wording import counted
from slugline.classifier import TopicClassifier
from slugline.comparison.models import Models
from slugline.comparison.results import AccuracyDifference, Comparison, ModelResult, adjust_p_values
from slugline.comparison.run import CompareSettings, compare_models
from slugline.corpus.documents import Topic
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topics import add_parents, apply_topic_rules, topic_rules
from slugline.evaluation.evaluation import BaseEvaluation, Evaluation
from slugline.evaluation.multilabel import MultilabelEvaluation
from slugline.evaluation.paired import (
    PairedComparison,
    TopicDifference,
    compare_by_topic,
    compare_paired,
)
from slugline.experiment.decision_results import AnyDecisionResult, decide_corpus
from slugline.experiment.evaluate import compare_evaluations, estimator_answers, evaluate_fitted
from slugline.explanation import explain as explaining
from slugline.explanation.explanation import Explanation
from slugline.model.settings import draw_seed

# Evaluation ---------------------------------------------------------------------------------------


class PairedResult(PairedComparison, TableResult):
    """Two models on the same documents; `to_records` has a row for each metric.

    Other attributes are those of `slugline.evaluation.paired.PairedComparison`.
    """

    def to_records(self) -> list[dict[str, Any]]:
        """Return each metric of both models, the difference, its 95 % interval and the p-value.

        The p-value is that of the difference in right answers, by McNemar's exact test.
        """
        names = ["accuracy", "macro_f1"]
        if self.micro_f1_interval is not None:
            names.insert(0, "micro_f1")
        records = []
        for name in names:
            low, high = getattr(self, f"{name}_interval")
            records.append(
                {
                    "metric": name,
                    "first": getattr(self, f"{name}_first"),
                    "second": getattr(self, f"{name}_second"),
                    "difference": getattr(self, f"{name}_difference"),
                    "low": low,
                    "high": high,
                    "p_value": self.p_value if name == "accuracy" else None,
                }
            )
        return records

    __repr__ = TableResult.__repr__

    def lines(self) -> list[str]:
        """Return a line for each metric."""
        if not self.n_different:
            return [f"nothing: the same answers to {counted(self.n_documents, 'document')}"]
        return [
            f"{record['difference']:+.3f} {record['metric']}, 95 % interval {record['low']:+.3f} "
            f"to {record['high']:+.3f}" + _format_p_value(record["p_value"])
            for record in self.to_records()
        ]

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        title = f"Two models on {counted(self.n_documents, 'document')}"
        return title, [("better by", line) for line in self.lines()]


@dataclass(frozen=True, repr=False)
class EvaluationParts(BaseEvaluation, TableResult):
    """The parts of an evaluation that not every one has; `to_records` has a row for each topic.

    Attributes
    ----------
    decisions : DecisionResult, MultilabelDecisionResult or None
        How many texts it answers and how many of the answers are right, if it was trained for a
        precision.
    against : PairedResult or None
        The comparison with the model `against`.
    by_topic : mapping of str to AccuracyDifference
        The difference in recall of each topic; empty without `against`, or where documents have
        several topics.
    """

    decisions: AnyDecisionResult | None = field(default=None, kw_only=True)
    against: PairedResult | None = field(default=None, kw_only=True)
    by_topic: Mapping[str, AccuracyDifference] = field(default_factory=dict, kw_only=True)

    def to_records(self) -> list[dict[str, Any]]:
        """Return precision, recall, F1 and number of documents of each topic.

        With `against`, also the difference in recall, its 95 % interval and its p-value, by
        McNemar's exact test, adjusted for the number of topics by Holm's method.
        """
        records = topic_records(self)
        if not self.by_topic:
            return records
        return [r | _difference_record(self.by_topic.get(r["topic"])) for r in records]

    def _charts(self) -> list[str]:
        from slugline.reports.pictures import reliability_diagram

        bins = self.reliability()
        return [reliability_diagram(bins)] if bins else []

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics as plain data for JSON; an undefined ratio is None."""
        parts = {"decisions": self.decisions, "against": self.against}
        return super().to_dict() | {name: part.to_dict() for name, part in parts.items() if part}

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        title, metrics = super()._title_and_rows()
        rows = [*metrics]
        if self.decisions is not None:
            rows.append(("sure enough", self.decisions.summary()))
        if self.against is not None:
            rows += [("better by", text) for text in self.against.lines()[:1]]
        return title, rows


@dataclass(frozen=True, repr=False)
class EvaluationResult(EvaluationParts, Evaluation):
    """The metrics of a model on labelled texts; `to_records` has a row for each topic.

    In a notebook, it shows itself with its calibration and its confusion matrix. Other attributes
    are those of `EvaluationParts` and of `slugline.evaluation.evaluation.Evaluation`.
    """

    def _charts(self) -> list[str]:
        from slugline.reports.pictures import confusion_matrix
        from slugline.reports.training import confused_topics

        rows = [(row.topic, row.counts, row.n_documents) for row in confused_topics(self)]
        return [*super()._charts(), *([confusion_matrix(rows)] if rows else [])]


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
    against: Model | Any | None = None,
    random_state: int = 0,
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
    against : TopicClassifier, path of a model file, or fitted estimator, optional
        Another model, to be compared on the same texts, such as a pipeline of scikit-learn. Choose
        it beforehand: the result's table has the differences of topics, and its `against` those of
        all documents, with intervals and p-values.
    random_state : int, default 0
        Of the bootstrap samples of intervals.
    progress : Progress, optional

    Raises
    ------
    DataError : if the data can't be read, or the model knows none of their topics.
    ModelFileError : if a model can't be loaded.

    Examples
    --------
    >>> import slugline
    >>> train, test = slugline.load_corpus("tickets-de").split(0.2, 0)
    >>> classifier = slugline.train(train, test_fraction=None).classifier
    >>> slugline.evaluate(classifier, test).n_right
    17
    """
    classifier = to_classifier(model)
    # A second model that can't be read is said before the first one has answered.
    is_estimator = callable(getattr(against, "predict", None)) and not isinstance(
        against, TopicClassifier | type
    )
    other = None if against is None or is_estimator else to_classifier(against, "against")
    layout = classifier.fitted_.layout
    corpus = to_corpus(data, text, topic, layout)
    known_topics = [str(name) for name in classifier.fitted_.topics.names]
    corpus = apply_topic_rules(corpus, topic_rules(ReadOptions(layout=layout)), known_topics)
    corpus = add_parents(corpus, classifier.fitted_.separator)
    evaluation = evaluate_fitted(classifier, corpus, random_state=random_state, progress=progress)
    paired, answers = None, list[Any]()
    if other is not None:
        second = evaluate_fitted(other, corpus, random_state=evaluation.seed)
        paired = compare_evaluations(evaluation, second, corpus)
        answers = second.predicted
    elif is_estimator:
        answers, known = estimator_answers(against, corpus)
        classes = set(evaluation.topics[: evaluation.n_known]), known
        paired = compare_paired(
            corpus.topics, evaluation.predicted, answers, classes=classes, seed=evaluation.seed
        )
    is_multilabel = isinstance(evaluation, MultilabelEvaluation)
    result = MultilabelEvaluationResult if is_multilabel else EvaluationResult
    return result(
        **field_values(evaluation),
        decisions=decide_corpus(classifier.fitted_, corpus),
        against=None if paired is None else PairedResult(**field_values(paired)),
        by_topic={}
        if paired is None or is_multilabel
        else _by_topic(
            compare_by_topic(corpus.topics, evaluation.predicted, answers, seed=evaluation.seed)
        ),
    )


def _format_p_value(p_value: float | None) -> str:
    if p_value is None:
        return ""
    return ", p < 0.001" if p_value < 0.001 else f", p = {p_value:.3f}"


# Comparison ---------------------------------------------------------------------------------------


class ComparisonResult(TableResult):
    """Several models on the same folds; `to_records` has a row for each one measured.

    In a notebook, it shows itself with a chart.

    Attributes
    ----------
    comparison : Comparison
        Everything that was measured.
    """

    def __init__(self, comparison: Comparison) -> None:
        self.comparison = comparison

    @property
    def models(self) -> tuple[ModelResult, ...]:
        """All models, in the order in which they were named."""
        return self.comparison.models

    @property
    def measured(self) -> list[ModelResult]:
        """The models that answered in all folds, the best first."""
        return self.comparison.measured

    @property
    def best(self) -> ModelResult | None:
        """The best model; None if all failed."""
        return self.comparison.best

    @property
    def reference(self) -> ModelResult | None:
        """The model that the others are compared with; None if it failed."""
        return self.comparison.reference

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks on the data and the models."""
        return self.comparison.notes

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it before all models were measured."""
        return self.comparison.interrupted

    def differences(self) -> dict[str, AccuracyDifference]:
        """Return the difference between each other model's score and that of the reference."""
        return self.comparison.differences()

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON; what is undefined is None."""
        return self.comparison.to_dict()

    def to_records(self) -> list[dict[str, Any]]:
        """Return accuracy or micro-F1, differences, time, memory and size of each model.

        Differences are those to `reference`, the baseline or else the best model, with 95 %
        intervals and p-values that are adjusted for the number of models.
        """
        differences = self.differences()
        return [
            {
                "model": model.name,
                "micro_f1" if self.comparison.multilabel else "accuracy": model.score,
                "low": model.interval[0],
                "high": model.interval[1],
                **_difference_record(differences.get(model.name)),
                "macro_f1": model.macro_f1,
                "fit_seconds": model.fit_time,
                "documents_per_second": model.documents_per_second,
                "peak_memory_mb": model.peak_mb,
                "file_bytes": model.file_bytes,
            }
            for model in self.measured
        ]

    def _charts(self) -> list[str]:
        from slugline.reports.pictures import score_by_model

        if not self.measured:
            return []
        return [score_by_model(self.comparison.marks(), self.comparison.score_name)]

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        return self.comparison._title_and_rows()

    def _page(self) -> str:
        from slugline.reports.comparison import comparison_page

        return comparison_page(self.comparison)


def _by_topic(found: Sequence[TopicDifference]) -> dict[str, AccuracyDifference]:
    differences = {
        str(one.topic): AccuracyDifference(
            one.difference, (one.interval.low, one.interval.high), one.p_value
        )
        for one in found
    }
    return adjust_p_values(differences)


def _difference_record(difference: AccuracyDifference | None) -> dict[str, float | None]:
    low, high = (None, None) if difference is None else difference.interval or (None, None)
    return {
        "difference": None if difference is None else difference.accuracy,
        "difference_low": low,
        "difference_high": high,
        "p_value": None if difference is None else difference.p_value,
    }


def compare(
    data: Data,
    models: Models = ("all",),
    *,
    baseline: Any = None,
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    n_folds: int = 5,
    random_state: int = 0,
    resume: str | Path | None = None,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Measure several models by cross-validation on the same folds, each in its own process.

    Parameters
    ----------
    data : Corpus, path, data frame, or pair of texts and topics
        See `train`.
    models : sequence of str or estimator, or mapping of str to estimator, default ("all",)
        Such as "default", "tfidf-svc", "module:name" for a pipeline in a file of yours, or any
        classifier of texts with `fit` and `predict`, such as a pipeline of scikit-learn, which is
        copied before each fit. Keys of a mapping are the names in the result.
    baseline : str or estimator, optional
        The model that the others are compared with, chosen beforehand. Without one, it is the best,
        whose lead is then partly luck.
    text : str or sequence of str, optional
        The columns to read; guessed by default.
    topic : str, optional
        The column to read; guessed by default.
    n_folds : int, default 5
    random_state : int, default 0
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
    >>> result = slugline.compare("tickets-de", ["majority", "default"], n_folds=2)
    >>> result.best.name
    'default'
    """
    comparison = compare_models(
        to_corpus(data, text, topic),
        models,
        CompareSettings(n_folds=n_folds, random_state=draw_seed(random_state)),
        baseline=baseline,
        resume=None if resume is None else Path(resume),
        progress=progress,
    )
    return ComparisonResult(comparison)


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
