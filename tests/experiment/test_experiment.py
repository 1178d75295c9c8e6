"""One experiment: what is set aside, measured, warned of and kept."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.classifier import TopicClassifier, load
from slugline.corpus.corpus import Corpus
from slugline.errors import DataError, Message, NotFittedError, OptionError
from slugline.evaluation.evaluation import Evaluation, chance_baseline, majority_baseline
from slugline.evaluation.intervals import Interval
from slugline.experiment.evaluate import evaluate_fitted
from slugline.experiment.experiment import AccuracyOnLabels, run_experiment
from slugline.experiment.quantization import save_quantized
from slugline.learning.net.learner import NeuralLearner

pytestmark = pytest.mark.slow

News = list[tuple[str, str]]


STILL_FALLING = (
    "the validation loss was still falling at epoch {}, the last: the net could learn more. "
    "Use `epochs={}`."
)


def settled_net() -> TopicClassifier:
    """Return a net whose validation loss stops falling on so few documents as the news."""
    return TopicClassifier(learner=NeuralLearner(l2=0.01, learning_rate=0.03))


def corpus_of(documents: News, name: str = "news") -> Corpus:
    return Corpus([text for text, _ in documents], [topic for _, topic in documents], name)


@pytest.fixture
def corpus(news: News) -> Corpus:
    return corpus_of(news)


def test_run_experiment_sets_test_documents_aside_first(corpus: Corpus) -> None:
    learned, kept = corpus.split(0.2, 3)

    experiment = run_experiment(TopicClassifier(random_state=3).to_settings(), corpus)

    assert experiment.fitted.data_digest == learned.digest()
    assert (experiment.n_train, experiment.n_test) == (72, 18)
    labels = np.array([["bank", "grain", "sport"].index(topic) for topic in kept.topics])
    proba = experiment.fitted.predict_proba(kept.texts)
    expected = Evaluation.from_probabilities(["bank", "grain", "sport"], labels, proba)
    assert experiment.tested.evaluation.to_dict() == expected.to_dict()
    assert experiment.majority == majority_baseline(learned.topics, kept.topics)[1]
    assert experiment.shuffled == chance_baseline(kept.topics)


def test_run_experiment_uses_given_parts(news: News) -> None:
    train, test = corpus_of(news[:60]), corpus_of(news[60:75])

    experiment = run_experiment(TopicClassifier(learner="network").to_settings(), train, test)

    assert experiment.fitted.data_digest == train.digest()
    assert (experiment.n_train, experiment.n_test) == (60, 15)
    assert experiment.tested.evaluation.n_documents == 15


ON_LABELS = AccuracyOnLabels(400, 0.87, Interval(0.8, 0.93), "grain", 0.4, "Good enough.")


def test_run_experiment_reports_the_accuracy_on_labels_rather_than_on_the_test(
    corpus: Corpus,
) -> None:
    experiment = run_experiment(settled_net().to_settings(), corpus, on_labels=ON_LABELS)
    assert experiment.metrics is not None
    assert experiment.evaluation is not None
    assert experiment.metrics == {
        "estimated_accuracy": 0.87,
        "estimated_accuracy_low": 0.8,
        "estimated_accuracy_high": 0.93,
        "labels_of_estimate": 400.0,
        "test_documents": float(experiment.n_test),
        "majority_baseline": 0.4,
    }
    assert "accuracy" in repr(experiment)
    assert "0.870, 95 % interval 0.800 to 0.930, estimated from labels" in repr(experiment)
    result = experiment.to_dict()
    assert result["accuracy_on_texts_without_label"] == {
        "n_labels": 400,
        "accuracy": 0.87,
        "interval": [0.8, 0.93],
        "advice": "Good enough.",
    }
    assert result["baselines"]["majority"] == {"topic": "grain", "accuracy": 0.4}


def test_run_experiment_compares_the_accuracy_on_labels_with_their_most_common_topic(
    corpus: Corpus,
) -> None:
    [warning] = [
        warning
        for warning in run_experiment(
            settled_net().to_settings(), corpus, on_labels=ON_LABELS._replace(majority=0.9)
        ).warnings
        if "no better" in warning
    ]
    assert "texts without a label is 87.0 %, and the baseline's is 90.0 %" in warning


def test_run_experiment_writes_metrics_to_json_and_into_the_model(corpus: Corpus) -> None:
    classifier = TopicClassifier(learner=NeuralLearner(epochs=3))
    experiment = run_experiment(classifier.to_settings(), corpus, test_fraction=0.5)

    figures = json.loads(json.dumps(experiment.to_dict(), allow_nan=False))
    assert figures["data"] == {
        "name": "news",
        "n_train": 45,
        "n_test": 45,
        "n_topics": 3,
        "n_skipped": 0,
        "n_suspect_labels": 0,
        "notes": [],
    }
    assert set(figures["history"]) == {"loss", "accuracy", "val_loss", "val_accuracy"}
    learner = experiment.fitted.learner
    assert isinstance(learner, NeuralLearner)
    assert figures["best_epoch"] == experiment.best_epoch == learner.n_epochs
    assert experiment.metrics == {
        "test_accuracy": figures["evaluation"]["accuracy"],
        "test_macro_f1": figures["evaluation"]["macro_f1"],
        "test_log_loss": figures["evaluation"]["log_loss"],
        "test_documents": 45,
        "majority_baseline": figures["baselines"]["majority"]["accuracy"],
    }


def test_random_state_decides_the_split(corpus: Corpus) -> None:
    seeded = [TopicClassifier(learner="linear", random_state=seed) for seed in (1, 1, 2)]
    digests = [run_experiment(each.to_settings(), corpus).fitted.data_digest for each in seeded]

    assert digests[0] == digests[1] != digests[2]


def test_run_experiment_without_epochs_holds_out_no_validation_documents() -> None:
    train = corpus_of([("wheat", "grain"), ("goal", "sport")])
    test = corpus_of([("the goal", "sport")])

    experiment = run_experiment(TopicClassifier(learner="linear").to_settings(), train, test=test)

    assert experiment.tested.evaluation.accuracy == 1


@pytest.mark.parametrize("learner", ["linear", "network"])
def test_run_experiment_does_not_warn_of_a_good_model(corpus: Corpus, learner: Any) -> None:
    classifier = settled_net() if learner == "network" else TopicClassifier(learner=learner)
    assert run_experiment(classifier.to_settings(), corpus).warnings == ()


def test_run_experiment_warns_of_a_loss_that_is_still_falling(corpus: Corpus) -> None:
    classifier = TopicClassifier(learner=NeuralLearner(epochs=3))
    assert run_experiment(classifier.to_settings(), corpus).warnings == (
        STILL_FALLING.format(3, 6),
    )


def test_run_experiment_names_the_parameters_of_its_warnings(corpus: Corpus) -> None:
    classifier = TopicClassifier(learner=NeuralLearner(hidden=[2], epochs=3))
    warnings = run_experiment(classifier.to_settings(), corpus).warnings

    advice = " ".join(
        Message(warning).render(lambda parameter: f"--{parameter.name} {parameter.value}")
        for warning in warnings
    )
    assert "Train with --hidden 64, or without it." in advice
    assert "Use --epochs 6." in advice


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"train": [("wheat", "grain"), ("goal", "sport")]},
            "train has no topic with two documents, so none can be set aside to test on; check "
            "which column contains the topics, add documents, or give separate ones with `test`.",
        ),
        (
            {"train": [("wheat", "grain"), ("goal", "sport")], "test": [("goal", "sport")]},
            "train has no topic with two documents, so none can be set aside to find the best "
            "epoch; "
            "check which column contains the topics, or add documents.",
        ),
        (
            {"train": [("wheat", "grain"), ("corn", "grain")], "test": [("oil", "crude")]},
            "test has none of the model's topics, such as 'grain', but ones like 'crude'; test on "
            "documents with the model's topics.",
        ),
    ],
    ids=["nothing to test on", "nothing to validate on", "odd test"],
)
def test_run_experiment_rejects_parts_that_do_not_fit_before_training(
    parts: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "slugline.experiment.experiment.fit", lambda *_, **__: pytest.fail("it trained")
    )
    corpora: dict[str, Any] = {
        name: corpus_of(documents, name) for name, documents in parts.items()
    }

    with pytest.raises(DataError) as error:
        run_experiment(TopicClassifier(learner="network").to_settings(), **corpora)

    assert str(error.value) == message


@pytest.mark.parametrize("fraction", [0, 1, -0.5, math.nan])
def test_fraction_out_of_range_is_rejected(corpus: Corpus, fraction: float) -> None:
    with pytest.raises(OptionError):
        run_experiment(TopicClassifier().to_settings(), corpus, test_fraction=fraction)


def test_evaluate_fitted_finds_numeric_topics_by_their_names(news: News) -> None:
    number = {"bank": 0, "grain": 1, "sport": 2}
    classifier = TopicClassifier().fit(
        [text for text, _ in news], [number[topic] for _, topic in news]
    )
    numbered = corpus_of([(text, str(number[topic])) for text, topic in news])

    for model in (classifier, classifier.fitted_):
        assert evaluate_fitted(model, numbered).accuracy == 1.0
    with pytest.raises(NotFittedError):
        evaluate_fitted(TopicClassifier(), numbered)


def test_random_state_generator_decides_the_test_as_well(corpus: Corpus) -> None:
    classifier = TopicClassifier(random_state=np.random.default_rng(5))
    drawn = run_experiment(classifier.to_settings(), corpus)
    seed = drawn.fitted.seed
    assert seed != 0
    again = run_experiment(TopicClassifier(random_state=seed).to_settings(), corpus)
    assert again.tested.test.texts == drawn.tested.test.texts


# Weights of fewer bits --------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_save_quantized_measures_the_weights_in_the_file(
    corpus: Corpus, tmp_path: Path, precision: Any
) -> None:
    experiment = run_experiment(TopicClassifier(encoder=None).to_settings(), corpus)
    # Vectors of the text profile would be stored with fewer digits as well.
    experiment = replace(experiment, fitted=replace(experiment.fitted, text_profile=None))
    path = tmp_path / "small.slug"

    done = save_quantized(experiment, path, precision, card_notes="Of silos.")

    saved = load(path)
    after = evaluate_fitted(saved.fitted_, experiment.tested.test)
    assert done.experiment.tested.evaluation.to_dict() == after.to_dict()
    assert saved.info_.metrics == done.experiment.metrics
    assert "\nOf silos.\n" in saved.card_
    TopicClassifier.from_fitted(experiment.fitted).save(
        tmp_path / "full.slug",
        metrics=experiment.metrics,
        test_fraction=0.2,
        card_notes="Of silos.",
    )
    full = (tmp_path / "full.slug").stat().st_size
    assert done.to_dict() == {
        "precision": precision,
        "accuracy": {"before": experiment.tested.evaluation.accuracy, "after": after.accuracy},
        "bytes": {"before": full, "after": path.stat().st_size},
    }
    # Weights of words have no more digits than a float16, as which they are stored in any case.
    is_smaller = precision == "int8"
    assert (done.bytes_after < done.bytes_before) == is_smaller
    size = f"{path.stat().st_size / 1000:,.0f} kB"
    assert done.summary() == (
        f"{precision}: accuracy {experiment.tested.evaluation.accuracy:.4f} before, "
        f"{after.accuracy:.4f} after; {full / 1000:,.0f} kB before, {size} after"
        if is_smaller
        else f"{precision}: {size}, no less than with float32"
    )
    assert (after.to_dict() == experiment.tested.evaluation.to_dict()) or is_smaller
    assert done.bytes_after <= full + 100


def test_evaluate_fitted_rejects_several_topics_for_a_model_of_one(news_slug: Path) -> None:
    corpus = Corpus(["wheat and loans"], [("grain", "bank")], "wires.jsonl")
    with pytest.raises(DataError) as caught:
        evaluate_fitted(load(news_slug), corpus)
    assert str(caught.value) == (
        "the model is single-label, but wires.jsonl is multi-label; keep one topic of each "
        "document, or use a multi-label model."
    )
