"""How values show themselves."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from slugline.base.wording import format_call, format_html_table, format_lines
from slugline.classifier import TopicClassifier
from slugline.corpus.corpus import Corpus
from slugline.evaluation.evaluation import Evaluation
from slugline.experiment.concerns import known_document_warnings, leak_warnings, topic_warnings
from slugline.experiment.evaluate import evaluate_fitted
from slugline.experiment.experiment import Experiment, run_experiment
from slugline.learning.net.training import History
from slugline.model.file.card import write_card
from slugline.model.file.content import to_model_file
from slugline.model.fitted import Fitted
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features

EVIL = "<script>alert('a & b')</script>"
EVALUATION = Evaluation(["bank", EVIL], np.array([[30, 10], [0, 60]]), 0.25)
HISTORY = History(
    {"loss": [2.0, 1.0, 0.5], "val_loss": [2.0, 1.0, 1.25]},
    n_rows=8083,
    batch_size=128,
    stopped_by="early stopping",
)


@pytest.mark.parametrize(
    "value",
    [
        FeatureGroup(),
        FeatureGroup("characters", min_count=2, weight=0.5),
        Features([FeatureGroup("words", n_buckets=64)], n_jobs=2),
        TopicClassifier(),
        TopicClassifier(
            feature_groups=[FeatureGroup(max_terms=5)], class_weight={"a": 2.0}, random_state=7
        ),
        TopicClassifier(class_weight=cast(Any, np.ones(2))),
    ],
    ids=lambda value: type(value).__name__,
)
def test_repr_is_the_constructor_call(value: Any) -> None:
    made = eval(repr(value), vars(np) | globals())  # noqa: S307
    assert repr(made) == repr(value)
    assert type(made) is type(value)


def test_repr_omits_default_arguments() -> None:
    assert repr(FeatureGroup("bigrams", min_count=2)) == "FeatureGroup(kind='bigrams', min_count=2)"
    assert repr(Features(n_jobs=2)) == "Features(n_jobs=2)"
    assert repr(TopicClassifier(tune=True)) == "TopicClassifier(tune=True)"
    assert format_call(FeatureGroup()) == "FeatureGroup()"


def test_history_repr_shows_last_and_best_epoch() -> None:
    assert repr(HISTORY) == (
        "History of 3 epochs of 8,083 rows, ended by early stopping\n"
        "  last epoch  loss 0.5000, val_loss 1.2500\n"
        "  best, 2     loss 1.0000, val_loss 1.0000"
    )
    assert repr(History()) == "History of no epochs"


def test_evaluation_repr_shows_its_metrics() -> None:
    assert repr(EVALUATION) == (
        "Evaluation on 100 documents of 2 topics\n"
        "  accuracy  0.900, 95 % interval 0.826 to 0.945\n"
        "  macro-F1  0.890, every topic counts the same\n"
        "  log loss  0.250 nats, lower is better"
    )


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    texts = [f"{word} rose by {n}" for n in range(15) for word in ("wheat", "goal")]
    corpus = Corpus(texts, ["grain", EVIL] * 15, EVIL)
    return replace(
        run_experiment(TopicClassifier(encoder=None).to_settings(), corpus),
        seconds=0.5,
        warnings=("careful",),
    )


def test_fitted_repr_shows_its_training_data(experiment: Experiment) -> None:
    fitted = experiment.fitted
    lines = repr(fitted).splitlines()
    assert lines[0] == "Fitted"
    assert [line.split()[0] for line in lines[1:]] == ["topics", "terms", "learner", "learned"]
    assert "2: [" in lines[1]
    assert lines[4].endswith("24 documents, seed 0")
    assert repr(replace(fitted, interrupted=True)).endswith(", interrupted")


def test_experiment_repr_shows_results_and_warnings(experiment: Experiment) -> None:
    assert repr(experiment).splitlines() == [
        f"Experiment on {EVIL}: 2 topics",
        "  learned from  24 documents in 0.5 s",
        "  tested on     6 others",
        "  accuracy      1.000, 95 % interval 0.610 to 1.000",
        f"  baseline      0.500, always {experiment.majority_topic!r}",
        "  warning       careful",
    ]


def test_html_repr_escapes_values(experiment: Experiment) -> None:
    classifier = TopicClassifier.from_fitted(experiment.fitted)
    values: list[Any] = [
        *(experiment, experiment.fitted, experiment.tested.evaluation, classifier),
        *(TopicClassifier(class_weight={EVIL: 2.0}), History({EVIL: [1.0]})),
    ]
    for value in values:
        html = value._repr_html_()
        assert html.startswith("<table>")
        assert html.endswith("</table>")
        assert "<script" not in html
    assert "24 documents" in classifier._repr_html_()
    assert "not fitted" in values[-2]._repr_html_()
    assert isinstance(classifier.fitted_, Fitted)


def test_html_repr_has_the_rows_of_repr() -> None:
    rows = [("a", "1 < 2"), ("long", "b")]
    assert format_lines("T", rows) == "T\n  a     1 < 2\n  long  b"
    assert "<caption>T</caption>" in format_html_table("T", rows)
    assert "1 &lt; 2" in format_html_table("T", rows)
    assert format_lines("T", []) == "T"


def test_all_of_says_only_for_one() -> None:
    one, two = Corpus(["a"], ["x"], "one"), Corpus(["a", "b"], ["x", "x"], "two")
    said = "the topic 'x': there is nothing to tell apart"
    assert topic_warnings(one.topic_counts())[0].startswith(f"the only document has {said}")
    assert topic_warnings(two.topic_counts())[0].startswith(f"all 2 documents have {said}")
    assert leak_warnings(one, one)[0].startswith("1 of the 1 test document has exactly")
    assert repr(one).startswith("<Corpus one: 1 document, 1 topic\n")

    fitted = TopicClassifier().fit(["a", "b"], ["x", "y"]).fitted_
    learned = replace(fitted, n_documents=1, data_digest=one.digest())
    (known,) = known_document_warnings(learned, one)
    assert known.startswith("the model learned from this document: ")
    assert dict(learned.summary())["learned from"] == "1 document, seed 0"


def test_repr_has_the_singular_for_one_topic() -> None:
    fitted = TopicClassifier().fit(["a"], ["x"]).fitted_
    assert repr(evaluate_fitted(fitted, Corpus(["a"], ["x"], "one"))).startswith(
        "Evaluation on 1 document of 1 topic\n"
    )
    card = write_card(to_model_file(fitted).info)
    assert " from 1 document." in card
    assert "## Its topic\n\n- x\n" in card


def test_topic_warnings_shorten_long_names() -> None:
    [warning] = topic_warnings({"grain": 20, "x" * 1000: 1})
    assert f"such as {'x' * 59}… (1)" in warning
