"""Evaluate, compare and explain models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slugline.api.result import (
    Data,
    Model,
    TableResult,
    to_classifier,
    to_corpus,
    to_result,
    topic_records,
)
from slugline.base.progress import Progress
from slugline.classifier import TopicClassifier
from slugline.comparison.models import Models
from slugline.comparison.results import (
    AccuracyDifference,
    Comparison,
    adjust_p_values,
    difference_record,
)
from slugline.comparison.run import CompareSettings, compare_models
from slugline.corpus.documents import Topic
from slugline.corpus.layout import ReadOptions
from slugline.corpus.topics import add_parents, apply_topic_rules, topic_rules
from slugline.errors import Parameter
from slugline.evaluation.evaluation import Evaluation
from slugline.evaluation.intervals import Interval
from slugline.evaluation.paired import (
    PairedComparison,
    TopicDifference,
    compare_by_topic,
    compare_paired,
)
from slugline.experiment.evaluate import (
    AnyDecisionResult,
    AnyEvaluation,
    check_evaluable,
    compare_evaluations,
    decide_corpus,
    estimator_answers,
    evaluate_fitted,
)
from slugline.explanation import explain as explaining
from slugline.explanation.explanation import Explanation
from slugline.model.settings import draw_seed

# Evaluation ---------------------------------------------------------------------------------------


class EvaluationResult(TableResult):
    """Metrics of a model on labelled texts; `to_records` returns a row for each topic.

    Notebooks display it with a calibration chart and, for single-label data, a confusion matrix.

    Attributes
    ----------
    evaluation : Evaluation or MultilabelEvaluation
        All metrics.
    decisions : DecisionResult, MultilabelDecisionResult or None
        Coverage and precision of the answers, if the model was trained for a precision.
    against : PairedComparison or None
        The comparison with the other model.
    by_topic : mapping of str to AccuracyDifference
        The difference in recall of each topic; empty without `against`, or for multi-label data.
    """

    def __init__(
        self,
        evaluation: AnyEvaluation,
        *,
        decisions: AnyDecisionResult | None = None,
        against: PairedComparison | None = None,
        by_topic: Mapping[str, AccuracyDifference] | None = None,
    ) -> None:
        self.evaluation = evaluation
        self.decisions = decisions
        self.against = against
        self.by_topic = by_topic or {}

    @property
    def n_documents(self) -> int:
        """Number of documents."""
        return self.evaluation.n_documents

    @property
    def n_right(self) -> int:
        """Number of documents whose predicted topics match exactly."""
        return self.evaluation.n_right

    @property
    def accuracy(self) -> float:
        """Fraction of documents whose predicted topics match exactly."""
        return self.evaluation.accuracy

    @property
    def interval(self) -> Interval:
        """95 % confidence interval of the accuracy."""
        return self.evaluation.interval

    def to_records(self) -> list[dict[str, Any]]:
        """Return precision, recall, F1 and number of documents per topic.

        With `against`, also return the difference in recall with its 95 % interval and p-value
        (McNemar's exact test, Holm-adjusted for the number of topics).
        """
        records = topic_records(self.evaluation)
        if not self.by_topic:
            return records
        return [r | difference_record(self.by_topic.get(r["topic"])) for r in records]

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics as plain data for JSON; an undefined ratio is None."""
        parts = {"decisions": self.decisions, "against": self.against}
        return self.evaluation.to_dict() | {
            name: part.to_dict() for name, part in parts.items() if part
        }

    def _charts(self) -> list[str]:
        from slugline.reports.pictures import reliability_diagram

        bins = self.evaluation.reliability()
        return [reliability_diagram(bins)] if bins else []

    def _title_and_rows(self) -> tuple[str, list[tuple[str, str]]]:
        title, metrics = self.evaluation._title_and_rows()
        rows = [*metrics]
        if self.decisions is not None:
            rows.append(("sure enough", self.decisions.summary()))
        if self.against is not None:
            rows += [("better by", text) for text in self.against.lines()[:1]]
        return title, rows


def evaluate(
    model: Model,
    data: Data,
    *,
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    against: Model | Any | None = None,
    random_state: int = 0,
    progress: Progress | None = None,
) -> EvaluationResult:
    """Test a model on labelled texts, optionally against another model.

    Parameters
    ----------
    model : TopicClassifier, or path of a model file
    data : Corpus, path, data frame, or pair of texts and topics
        See `train`. Use texts that the model was not trained on; topics unknown to the model
        count as errors.
    text : str or sequence of str, optional
        The text columns; by default the model's training columns, or guessed.
    topic : str, optional
        The topic column; same default.
    against : TopicClassifier, path of a model file, or fitted estimator, optional
        Another model, such as a scikit-learn pipeline, to compare on the same texts. Choose it
        before looking at results. Differences per topic are added to the result's table, and
        overall differences to its `against`, with intervals and p-values.
    random_state : int, default 0
        The seed of the bootstrap samples for intervals.
    progress : Progress, optional

    Raises
    ------
    DataError : if the data can't be read, or all of their topics are unknown to the model.
    ModelFileError : if a model can't be loaded.

    Examples
    --------
    >>> import slugline
    >>> train, test = slugline.load_corpus("tickets-de").split(0.2, 0)
    >>> classifier = slugline.train(train, test_fraction=None).classifier
    >>> slugline.evaluate(classifier, test).n_right
    15
    """
    classifier = to_classifier(model)
    # Load both models first, so that a bad path fails early.
    is_estimator = callable(getattr(against, "predict", None)) and not isinstance(
        against, TopicClassifier | type
    )
    other = None if against is None or is_estimator else to_classifier(against, "against")
    layout = classifier.fitted_.layout
    corpus = to_corpus(data, text, topic, layout)
    known_topics = [str(name) for name in classifier.fitted_.topics.names]
    corpus = apply_topic_rules(corpus, topic_rules(ReadOptions(layout=layout)), known_topics)
    corpus = add_parents(corpus, classifier.fitted_.separator)
    if other is not None:
        check_evaluable(other.fitted_, corpus, Parameter("against"))
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
    by_topic: list[TopicDifference] = []
    if paired is not None and isinstance(evaluation, Evaluation):
        by_topic = compare_by_topic(
            corpus.topics, evaluation.predicted, answers, seed=evaluation.seed
        )
    return EvaluationResult(
        evaluation,
        decisions=decide_corpus(classifier.fitted_, corpus),
        against=paired,
        by_topic=_accuracy_differences(by_topic),
    )


# Comparison ---------------------------------------------------------------------------------------


class ComparisonResult(Comparison, TableResult):
    """A comparison that can be saved as a page; notebooks display it with a chart."""

    def _charts(self) -> list[str]:
        from slugline.reports.pictures import score_by_model

        return [score_by_model(self.marks(), self.score_name)] if self.measured else []

    def _page(self) -> str:
        from slugline.reports.comparison import comparison_page

        return comparison_page(self)


def _accuracy_differences(by_topic: Sequence[TopicDifference]) -> dict[str, AccuracyDifference]:
    """Return the difference per topic, with p-values adjusted for multiple tests."""
    differences = {
        str(one.topic): AccuracyDifference(
            one.difference, (one.interval.low, one.interval.high), one.p_value
        )
        for one in by_topic
    }
    return adjust_p_values(differences)


def compare(
    data: Data,
    models: Models = ("all",),
    *,
    baseline: Any = None,
    text: str | Sequence[str] | None = None,
    topic: str | None = None,
    n_folds: int = 5,
    random_state: int = 0,
    progress: Progress | None = None,
) -> ComparisonResult:
    """Compare models by cross-validation on the same folds, each in a separate process.

    Parameters
    ----------
    data : Corpus, path, data frame, or pair of texts and topics
        See `train`.
    models : sequence of str or estimator, or mapping of str to estimator, default ("all",)
        Names such as "default" or "tfidf-svc", "module:name" for a pipeline in your own module, or
        any text classifier with `fit` and `predict`, such as a scikit-learn pipeline. Estimators
        are cloned before each fit. The keys of a mapping name the models in the result.
    baseline : str or estimator, optional
        The model to compare the others with, chosen beforehand. Defaults to the best model, whose
        lead is partly due to chance.
    text : str or sequence of str, optional
        The columns to read; guessed by default.
    topic : str, optional
        The column to read; guessed by default.
    n_folds : int, default 5
    random_state : int, default 0
    progress : Progress, optional

    Raises
    ------
    DataError : if the data can't be read, or there are too few topics to tell apart.
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
        progress=progress,
    )
    return to_result(ComparisonResult, comparison)


# Explanation --------------------------------------------------------------------------------------


class ExplanationResult(Explanation, TableResult):
    """An explanation that can be saved as a page."""

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
    """Return the words of a text that count for and against a topic, with their weights.

    Parameters
    ----------
    model : TopicClassifier, or path of a model file
    text : str
    topic : str or int, optional
        Defaults to the most likely one; other topics of a multi-label answer are in `others`.
    against : str or int, optional
        Explain why the answer is `topic` rather than this one.
    examples : Corpus, path, data frame, or pair of texts and topics, optional
        Training documents in which to find the most similar ones.

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
    return to_result(ExplanationResult, explanation)
