"""Several topics for a text, with a sentence encoder and with descriptions."""

from __future__ import annotations

import csv
import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from slugline.classifier import TopicClassifier, load
from slugline.errors import DataError, EncoderWarning, ModelFileError, OptionError
from slugline.explanation.explain import explain
from slugline.learning.calibration import TopicCalibration
from slugline.learning.encoder.head import DenseHead
from slugline.model.file import container
from slugline.model.multilabel_rule import MultilabelRule
from stand_ins import Meanings, Nameless, Use, register

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("empty_cache")]

Run = Callable[..., Any]
Documents = tuple[list[str], list[tuple[str, ...]]]

# Words in training texts come from the first half.
WORDS = {
    "grain": ("wheat", "corn", "barley", "rye", "oats", "millet"),
    "bank": ("loan", "bond", "credit", "debt", "lender", "mortgage"),
    "sport": ("goal", "match", "cup", "striker", "referee", "penalty"),
    "metal": ("zinc", "tin", "copper", "lead", "nickel", "silver"),
}
MEANINGS = {word: row for row, words in enumerate(WORDS.values()) for word in words}
MEANINGS |= {"cereals": 0, "banking": 1, "games": 2, "metals": 3}
DESCRIBED = {"grain": "cereals", "bank": "banking", "sport": "games", "metal": "metals"}


def documents(
    n: int, words: slice, seed: int = 0, topics: tuple[str, ...] = (*WORDS,)
) -> Documents:
    """Return texts with a word or two of each of their topics, some with none."""
    rng = np.random.default_rng(seed)
    texts, sets = [], []
    for _ in range(n):
        own = tuple(topic for topic in topics if rng.random() < 0.35)
        chosen = [word for t in own for word in rng.choice(WORDS[t][words], rng.integers(1, 3))]
        filler = rng.choice(["the", "a", "of", "said", "today", "new", "year"], 3).tolist()
        texts.append(" ".join(rng.permutation([*chosen, *filler]).tolist()))
        sets.append(own)
    return texts, sets


SEEN, UNSEEN = slice(0, 3), slice(3, 6)
TRAIN, TEST = documents(160, SEEN), documents(80, UNSEEN, 1)


def fit(data: Documents = TRAIN, **options: Any) -> TopicClassifier:
    return TopicClassifier(**{"encoder": Meanings(MEANINGS)} | options).fit(*data)


def head_of(classifier: TopicClassifier) -> DenseHead:
    assert classifier.fitted_.dense is not None
    return classifier.fitted_.dense


def decision_of(classifier: TopicClassifier) -> MultilabelRule:
    assert classifier.fitted_.multilabel_rule is not None
    return classifier.fitted_.multilabel_rule


def micro_f1(classifier: TopicClassifier, data: Documents) -> float:
    binarizer = MultiLabelBinarizer(classes=[*WORDS]).fit([])
    answers = binarizer.transform(classifier.predict(data[0]))
    return float(f1_score(binarizer.transform(data[1]), answers, average="micro"))


def test_multilabel_encoder_recognizes_words_never_seen() -> None:
    assert fit(encoder=None).score(*TEST) < 0.3
    classifier = fit()
    assert classifier.score(*TEST) > 0.9
    assert () in classifier.predict(TEST[0]).tolist()
    proba = classifier.predict_proba(TEST[0])
    assert ((proba >= 0) & (proba <= 1)).all()
    assert (proba.sum(axis=1) > 1.5).any()
    assert isinstance(head_of(classifier).calibration, TopicCalibration)


def test_multilabel_scores_are_the_sum_of_words_and_encoder() -> None:
    classifier, head = (fitted := fit()), head_of(fitted)
    fitted_value = classifier.fitted_
    words = fitted_value.learner.decision_function(fitted_value.features.transform(TEST[0]))
    by_encoder = head.rows(TEST[0]) @ head.weights + head.biases
    expected = head.sparse_factor * words + by_encoder
    scores = classifier.decision_function(TEST[0])
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    proba = classifier.predict_proba(TEST[0])
    np.testing.assert_array_equal(proba, head.calibration.proba(scores.astype(np.float32)))
    np.testing.assert_allclose(classifier.predict_proba(TEST[0][:1]), proba[:1], rtol=1e-5)
    assert 0 < head.encoder_weight < 1


def test_multilabel_encoder_that_does_not_help_is_left_out_with_a_warning(tmp_path: Path) -> None:
    with pytest.warns(EncoderWarning, match="is left out: on held-out documents"):
        without = fit(encoder=Nameless(), descriptions={"grain": "cereals"})
    assert (without.fitted_.dense, without.fitted_.descriptions) == (None, {})
    np.testing.assert_array_equal(
        without.predict_proba(TEST[0]), fit(encoder=None).predict_proba(TEST[0])
    )


class Wide:
    """Encodes a text by many numbers that say nothing, from which a copy is known again."""

    def encode(self, texts: list[str]) -> Any:
        seeds = [list(text.encode()) for text in texts]
        return np.array([np.random.default_rng(seed).normal(size=400) for seed in seeds])


def test_copies_of_texts_do_not_make_an_encoder_look_good() -> None:
    twice = TRAIN[0] * 2, TRAIN[1] * 2
    with pytest.warns(EncoderWarning, match="is left out"):
        fit(twice, encoder=Wide())
    assert fit(twice).score(*TEST) > 0.9


@pytest.mark.parametrize(("quantize", "tolerance"), [(None, 0), ("float16", 5e-3)])
def test_loaded_multilabel_model_with_encoder_predicts_the_same(
    tmp_path: Path, quantize: Any, tolerance: float
) -> None:
    classifier = fit(min_precision=0.8)
    classifier.save(tmp_path / "m.slug", quantize=quantize)
    loaded = load(tmp_path / "m.slug", Meanings(MEANINGS))
    assert loaded.predict(TEST[0]).tolist() == classifier.predict(TEST[0]).tolist()
    np.testing.assert_allclose(
        loaded.predict_proba(TEST[0]), classifier.predict_proba(TEST[0]), atol=tolerance
    )
    again = tmp_path / "again.slug"
    fit(min_precision=0.8, n_jobs=2).save(again, quantize=quantize)
    assert again.read_bytes() == (tmp_path / "m.slug").read_bytes()


def test_load_refuses_calibration_curves_that_do_not_match(tmp_path: Path) -> None:
    path = tmp_path / "m.slug"
    fit().save(path)
    file = container.read(path)
    arrays = dict(file.arrays)
    for change in (
        {"dense.slopes": arrays["dense.slopes"][:2]},
        {"dense.bend": -arrays["dense.bend"]},
        dict.fromkeys(("dense.slopes", "dense.intercepts", "dense.bend")),
        {"dense.more": arrays["dense.bend"]},
    ):
        changed = {name: a for name, a in (arrays | change).items() if a is not None}
        path.write_bytes(container.pack(replace(file, arrays=changed)))
        with pytest.raises(ModelFileError, match="damaged"):
            load(path, Meanings(MEANINGS))


def test_multilabel_encoder_works_with_indicators_weights_and_average() -> None:
    texts, sets = TRAIN
    indicator = np.array([[topic in own for topic in WORDS] for own in sets]).astype(int)
    array = fit((texts, indicator), optimize="macro")  # type: ignore[arg-type]
    truth = np.array([[topic in own for topic in WORDS] for own in TEST[1]])
    assert (array.predict(TEST[0]) == truth).mean() > 0.95
    # The second half has wrong topics, and no weight.
    wrong = [tuple(topic for topic in WORDS if topic not in own) for own in sets]
    weight = np.repeat([1.0, 0.0], len(texts))
    doubled = [*texts, *(f"{text} again" for text in texts)]
    classifier = TopicClassifier(encoder=Meanings(MEANINGS))
    classifier.fit(doubled, [*sets, *wrong], sample_weight=weight)
    assert classifier.score(*TEST) > 0.9
    balanced = head_of(fit(class_weight="balanced"))
    assert (balanced.weights != head_of(fit()).weights).any()


def test_explain_adds_up_with_the_encoder_for_each_topic() -> None:
    classifier = fit()
    explanation = explain(classifier.fitted_, "rye debt the year")
    assert {explanation.topic, explanation.others[0].topic} == {"grain", "bank"}
    for each in (explanation, *explanation.others):
        total = each.bias + sum(reason.attribution for reason in each.reasons)
        assert total == pytest.approx(each.score, abs=1e-5)
        word = {"grain": "rye", "bank": "debt"}[str(each.topic)]
        assert each.reasons[0].word == word
        assert each.is_given


def test_min_precision_is_measured_on_sums_with_the_encoder() -> None:
    classifier = fit(min_precision=0.9)
    decisions = classifier.decide(TEST[0])
    given = [
        (topic, own) for r, own in zip(decisions, TEST[1], strict=True) for topic in r.topics or ()
    ]
    assert len(given) > 60
    assert np.mean([topic in own for topic, own in given]) > 0.9


# Topics described in words ------------------------------------------------------------------------


def test_described_topic_is_given_along_with_others() -> None:
    data = documents(160, SEEN, topics=("grain", "bank", "sport"))
    classifier = fit(data, descriptions=DESCRIBED)
    assert classifier.classes_.tolist() == ["bank", "grain", "metal", "sport"]
    assert set(classifier.predict(["zinc and rye"])[0]) == {"metal", "grain"}
    metal = classifier.predict_proba(TEST[0])[:, 2]
    has_metal = np.array(["metal" in own for own in TEST[1]])
    assert metal[has_metal].mean() > metal[~has_metal].mean() + 0.7
    assert micro_f1(classifier, TEST) > 0.85
    # Other topics are nearly as before.
    alone, without = fit(data, descriptions={"metal": "metals"}), fit(data)
    others = alone.predict_proba(TEST[0])[:, [0, 1, 3]]
    np.testing.assert_allclose(others, without.predict_proba(TEST[0]), atol=0.1)
    thresholds = decision_of(alone).thresholds[[0, 1, 3]]
    np.testing.assert_allclose(thresholds, decision_of(without).thresholds, atol=0.05)


def test_description_counts_as_a_document_of_several_topics() -> None:
    few = documents(12, SEEN)
    with_words, without = fit(few, descriptions=DESCRIBED), fit(few)
    assert head_of(with_words).weights.shape == head_of(without).weights.shape
    assert (head_of(with_words).weights != head_of(without).weights).any()
    assert with_words.fitted_.descriptions == DESCRIBED
    assert micro_f1(with_words, TEST) > 0.7


def test_described_topic_needs_a_column_of_an_indicator() -> None:
    texts, sets = documents(160, SEEN, topics=("grain", "bank", "sport"))
    names = ("grain", "bank", "sport", "metal")
    indicator = np.array([[topic in own for topic in names] for own in sets]).astype(int)
    described = {number: DESCRIBED[name] for number, name in enumerate(names)}
    with pytest.raises(DataError) as caught:
        fit((texts, indicator[:, :3]), descriptions=described)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "`descriptions` has the topic 3, but `y` has no column for it; add one, with zeros if no "
        "document has the topic."
    )
    classifier = fit((texts, indicator), descriptions=described)  # type: ignore[arg-type]
    assert classifier.predict(["zinc and rye"]).tolist() == [[1, 0, 0, 1]]


def test_description_of_a_path_counts_for_its_parents() -> None:
    texts, sets = documents(200, SEEN, topics=("grain", "bank", "sport"))
    paths = [tuple(f"news/{topic}" for topic in own) for own in sets]
    described = {"news/metal": "metals", "other/games": "games"}
    classifier = fit((texts, paths), descriptions=described, topic_path="/")
    names = classifier.classes_.tolist()
    assert names == [
        "news",
        "news/bank",
        "news/grain",
        "news/metal",
        "news/sport",
        "other",
        "other/games",
    ]
    proba = dict(zip(names, classifier.predict_proba(["zinc tin"])[0].tolist(), strict=True))
    assert proba["news/metal"] <= proba["news"]
    assert proba["news/metal"] > max(proba["news/bank"], proba["news/grain"])
    assert proba["other/games"] <= proba["other"]


def test_descriptions_alone_make_a_model_of_one_topic_per_text() -> None:
    classifier = TopicClassifier(encoder=Meanings(MEANINGS), descriptions=DESCRIBED).fit([], [])
    assert classifier.predict(["rye", "zinc"]).tolist() == ["grain", "metal"]
    assert not classifier.fitted_.multilabel


def test_partial_fit_rejects_an_encoder_for_several_topics() -> None:
    with pytest.raises(OptionError, match="require all documents at once"):
        TopicClassifier(encoder=Meanings(MEANINGS)).partial_fit(*TRAIN, classes=[*WORDS])


@pytest.mark.parametrize("n", [1, 2, 4])
def test_multilabel_encoder_works_with_few_documents(n: int) -> None:
    texts, sets = (
        ["wheat today", "loan and goal", "the year", "corn cup"][:n],
        [("grain",), ("bank", "sport"), (), ("grain", "sport")][:n],
    )
    classifier = TopicClassifier(encoder=Meanings(MEANINGS))
    with warnings.catch_warnings(action="ignore", category=EncoderWarning):
        classifier.fit(texts, sets)
        assert np.isfinite(classifier.predict_proba(TEST[0])).all()
        classifier.fit([texts[0]] * 5, [("grain",), ("bank",), ("grain",), (), ("grain",)])
    assert np.isfinite(classifier.predict_proba(TEST[0])).all()


# The command line and the server ------------------------------------------------------------------


@pytest.fixture
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have documents and descriptions in the folder, and an encoder that knows their words."""
    monkeypatch.chdir(tmp_path)
    register(monkeypatch, "use", partial(Use, MEANINGS))
    topics = ("grain", "bank", "sport")
    for name, words in (("wires.csv", SEEN), ("later.csv", UNSEEN)):
        data = documents(160, words, topics=topics)
        with Path(name).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "topic"])
            writer.writerows([text, ";".join(own)] for text, own in zip(*data, strict=True))
    lines = [f"{name},{text}" for name, text in DESCRIBED.items()]
    Path("topics.csv").write_text("\n".join(["name,description", *lines]) + "\n")


@pytest.mark.usefixtures("_files")
def test_train_takes_an_encoder_and_descriptions_of_several_topics(
    run: Run, tmp_path: Path
) -> None:
    options = ("--topic-separator", ";", "--encoder", "use", "--topics", "topics.csv")
    code, out, err = run("train", "wires.csv", *options, "-o", "w.slug")
    assert code == 0, err
    assert "of the decision comes from vectors and use" in out
    assert "have a description but no document: 'metal'" in err
    answer = json.loads(run("predict", "w.slug", "-q", stdin="rye").out)
    assert answer["topics"] == ["grain"]
    # The stand-in knows these words, and the word vectors beside it say little about them.
    of_metal = load("w.slug").predict_proba(["rye", "zinc and rye", "zinc"])[:, 2]
    assert of_metal[0] < of_metal[1] < of_metal[2]
    assert run("check", "w.slug", "wires.csv", "-q").out.startswith("w.slug: identical; ")
    found = json.loads(run("evaluate", "w.slug", "later.csv", "--json", "-q").out)
    assert found["micro"]["f1"] > 0.9
    assert "use" in run("info", "w.slug").out
    assert (
        "needs the encoder vectors,use, and a page can contain only word vectors"
        in run("export", "w.slug").err
    )
    assert " rye" in run("explain", "w.slug", "rye and debt", "-q").out
