"""Topics described in words, besides documents or instead of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone

from slugline.classifier import TopicClassifier, load
from slugline.corpus.topics import read_descriptions
from slugline.errors import DataError, EncoderWarning, OptionError
from stand_ins import Meanings, Nameless, Use, register

pytestmark = pytest.mark.usefixtures("empty_cache")

Run = Callable[..., Any]
MEANINGS = {
    word: row
    for row, words in enumerate(
        [
            ("cereals", "wheat", "corn", "barley", "rye"),
            ("banking", "loan", "bond", "credit", "debt"),
            ("games", "goal", "match", "cup", "referee"),
            ("metals", "zinc", "tin", "copper", "lead"),
        ]
    )
    for word in words
}
DESCRIBED = {"grain": "cereals", "bank": "banking", "sport": "games", "ore": "metals"}
TEXTS = [f"the {word} of {number}" for number in range(4) for word in MEANINGS][:80]
TOPICS = [list(DESCRIBED)[MEANINGS[text.split()[1]]] for text in TEXTS]
NEW = ["rye and barley", "debt and credit", "a cup", "lead and tin"]


def described(**changed: Any) -> TopicClassifier:
    options: dict[str, Any] = {"encoder": Meanings(MEANINGS), "descriptions": DESCRIBED}
    return TopicClassifier(**options | changed)


# Without documents ------------------------------------------------------------------------------


def test_descriptions_alone_make_a_classifier(tmp_path: Path) -> None:
    classifier = described().fit([], [])
    assert classifier.classes_.tolist() == ["bank", "grain", "ore", "sport"]
    assert classifier.predict(NEW).tolist() == ["grain", "bank", "sport", "ore"]
    # Cosines, times a sharpness.
    scores = classifier.decision_function(["wheat loan", "nothing known"])
    both = 15 / 2**0.5
    np.testing.assert_allclose(scores, np.array([[both, both, 0, 0], [0.0] * 4]), rtol=1e-3)
    assert (classifier.fitted_.n_learned, classifier.fitted_.features.n_columns) == (0, 0)
    assert ("learned from", "0 documents, 4 descriptions, seed 0") in classifier.fitted_.summary()
    path = tmp_path / "described.slug"
    classifier.save(path)
    loaded = load(path, Meanings(MEANINGS))
    np.testing.assert_array_equal(loaded.predict_proba(NEW), classifier.predict_proba(NEW))
    assert "from descriptions of its topics alone, without any document.\n" in loaded.card_
    assert "Its probabilities are not calibrated" in loaded.card_


def test_fit_after_descriptions_alone_learns_words_of_documents() -> None:
    again = TopicClassifier.from_fitted(described().fit([], []).fitted_).fit(TEXTS, TOPICS)
    expected = described().fit(TEXTS, TOPICS)
    np.testing.assert_array_equal(again.predict_proba(NEW), expected.predict_proba(NEW))


def test_fit_needs_documents_or_descriptions() -> None:
    with pytest.raises(DataError, match="there are no training documents"):
        described(descriptions=None).fit([], [])
    with pytest.raises(DataError, match="there are 0 texts and 1 topic"):
        described().fit([], ["grain"])


# Besides documents ------------------------------------------------------------------------------


def test_description_counts_as_one_more_document_for_the_encoder() -> None:
    few = TEXTS[:4], TOPICS[:4]  # grain alone
    assert described(descriptions=None).fit(*few).classes_.tolist() == ["grain"]
    classifier = described().fit(*few)
    assert classifier.predict(NEW).tolist() == ["grain", "bank", "sport", "ore"]
    # Two documents per topic are few, and words are new.
    rows = [row for topic in DESCRIBED for row in np.flatnonzero(np.array(TOPICS) == topic)[:2]]
    classifier = described().fit([TEXTS[row] for row in rows], [TOPICS[row] for row in rows])
    assert classifier.score(TEXTS, TOPICS) == 1
    assert classifier.fitted_.n_learned == 8


def test_described_topics_without_documents_are_found_among_others() -> None:
    rows = [row for row, topic in enumerate(TOPICS) if topic in ("grain", "bank")]
    classifier = described().fit([TEXTS[row] for row in rows], [TOPICS[row] for row in rows])
    assert classifier.classes_.tolist() == ["bank", "grain", "ore", "sport"]
    assert classifier.predict(NEW).tolist() == ["grain", "bank", "sport", "ore"]
    assert classifier.score(TEXTS, TOPICS) == 1


def test_descriptions_may_leave_out_topics_with_documents() -> None:
    rows = [row for row, topic in enumerate(TOPICS) if topic != "ore"]
    classifier = described(descriptions={"ore": "metals"})
    classifier.fit([TEXTS[row] for row in rows], [TOPICS[row] for row in rows])
    assert classifier.predict(NEW).tolist() == ["grain", "bank", "sport", "ore"]


def test_weights_apply_to_documents_and_not_to_descriptions() -> None:
    rows = [row for row, topic in enumerate(TOPICS) if topic != "ore"]
    texts, topics = [TEXTS[row] for row in rows], [TOPICS[row] for row in rows]
    for options in ({"class_weight": "balanced"}, {"class_weight": {"ore": 2.0}}):
        classifier = described(**options).fit(texts, topics, np.ones(len(texts)))
        assert classifier.predict(NEW).tolist() == ["grain", "bank", "sport", "ore"]


def test_descriptions_are_dropped_with_an_encoder_that_is_left_out() -> None:
    classifier = described(encoder=Nameless(), descriptions={"grain": "cereals"})
    with pytest.warns(EncoderWarning):
        classifier.fit(TEXTS, TOPICS)
    assert classifier.fitted_.dense is None
    assert classifier.fitted_.descriptions == {}


def test_descriptions_take_numbers_and_survive_clone() -> None:
    classifier = described(descriptions={1: "cereals", np.int64(2): "banking"}).fit([], [])
    assert classifier.predict(["rye", "debt"]).tolist() == [1, 2]
    assert clone(classifier).get_params()["descriptions"] == {1: "cereals", 2: "banking"}


# What it refuses ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("descriptions", "message"),
    [
        ({"grain": " "}, "the description of topic 'grain' is ' '; describe it in a few words, or"),
        ({"grain": None}, "the description of topic 'grain' is None; describe it in a few words"),
        (
            {" ": "cereals"},
            "topic ' ' is blank, or contains a NUL character or an unpaired surrogate; rename it.",
        ),
        ({1.5: "cereals"}, "`descriptions` has 1.5 in row 0"),
        ({1: "cereals", "bank": "banking"}, "topics mix strings and numbers"),
    ],
    ids=["blank", "none", "no name", "no topic", "mixed"],
)
def test_descriptions_reject_invalid_topics_and_texts(descriptions: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        described(descriptions=descriptions).fit([], [])
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("class_weight", ["balanced", {"grain": 2}], ids=str)
def test_class_weight_needs_documents(class_weight: Any) -> None:
    with pytest.raises(OptionError) as caught:
        described(class_weight=class_weight).fit([], [])
    assert str(caught.value) == (
        "`class_weight` weights the documents of each topic, but there are none; leave it "
        "out, or add documents."
    )


def test_descriptions_must_be_a_mapping() -> None:
    with pytest.raises(OptionError, match=r"^`descriptions` is \['grain'\]; give a mapping of"):
        described(descriptions=["grain"]).fit([], [])


def test_descriptions_are_read_by_word_vectors_if_no_encoder_is_named() -> None:
    described_topics = {"grain": "Wheat and corn", "sport": "Football and other sports"}
    classifier = TopicClassifier(descriptions=described_topics).fit([], [])
    assert classifier.fitted_.encoder is not None
    assert classifier.fitted_.encoder.name == "vectors"
    assert classifier.predict(["barley", "the goalkeeper"]).tolist() == ["grain", "sport"]


def test_descriptions_are_compared_mostly_by_the_sentence_encoder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(monkeypatch, "use", partial(Use, MEANINGS))
    texts = {"grain": "corn and wheat", "bank": "credit and debt"}
    dense = TopicClassifier(encoder="use", descriptions=texts).fit([], []).fitted_.dense
    assert dense is not None
    of_vectors, of_use = np.split(dense.weights, [-4])
    fractions = np.linalg.norm(of_vectors, axis=0) / np.linalg.norm(of_use, axis=0)
    np.testing.assert_allclose(fractions, 0.2 / 0.8, rtol=1e-2)


def test_descriptions_without_an_encoder_are_rejected() -> None:
    with pytest.raises(OptionError) as caught:
        described(encoder=None).fit(TEXTS, TOPICS)
    assert str(caught.value) == (
        "`descriptions` require an encoder, but `encoder` is none; leave `encoder` "
        'out for word vectors, or name a sentence encoder: `encoder="use"`.'
    )


def test_descriptions_of_unknown_words_are_rejected() -> None:
    classifier = TopicClassifier(descriptions={"grain": "Wheat", "bank": "qqqq zzzz"})
    with pytest.raises(DataError) as caught:
        classifier.fit([], [])
    assert str(caught.value) == (
        "`descriptions`: the encoder vectors recognizes too few words in the description of "
        "'bank'; "
        "describe it in a language of the encoder, or leave it out."
    )


# The command line ---------------------------------------------------------------------------------


@pytest.fixture
def _files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have topics.csv and docs.csv in the folder, and an encoder that knows their words."""
    register(monkeypatch, "use", partial(Use, MEANINGS))
    lines = [f"{name},{text}" for name, text in DESCRIBED.items()]
    (tmp_path / "topics.csv").write_text("\n".join(["name,description", *lines]) + "\n")
    rows = [f"{text},{topic}" for text, topic in zip(TEXTS, TOPICS, strict=True) if topic != "ore"]
    (tmp_path / "docs.csv").write_text("\n".join(["text,topic", *rows]) + "\n")


ALONE = ("train", "--topics", "topics.csv", "--encoder", "use", "-o", "a.slug")


@pytest.mark.usefixtures("_files")
def test_train_with_topics_alone_says_what_was_not_measured(run: Run, tmp_path: Path) -> None:
    result = run(*ALONE)
    assert result.code == 0
    first, *rest = result.out.splitlines()
    assert first.startswith(
        "topics.csv: learned 4 topics from their descriptions, without any document, in "
    )
    assert rest == [
        "not tested, so there is no report; `slugline evaluate` tests it on other documents",
        "model   a.slug",
    ]
    assert (
        "warning: the model was made from topic descriptions alone and was not tested on "
        "documents. Its probabilities are not calibrated: they rank topics, but don't measure "
        "accuracy. Add a few labelled documents per topic.\n"
    ) in result.err
    assert not (tmp_path / "a.html").exists()
    answer = json.loads(run("predict", "a.slug", "-q", stdin="copper").out)
    assert answer["topic"] == "ore"
    result = run("evaluate", "a.slug", "docs.csv", "-q")
    assert "accuracy     1.000" in result.out
    assert "unknown to the model" not in result.err


@pytest.mark.usefixtures("_files")
def test_train_json_of_descriptions_alone_has_no_evaluation(run: Run) -> None:
    found = json.loads(run(*ALONE, "--json", "-q").out)
    assert found["data"]["n_train"] == 0
    assert found["data"]["n_topics"] == 4
    assert found["evaluation"] is None
    expected = {"name": "vectors,use", "weight": 1.0, "encoded_fraction": 1.0, "n_unlabelled": 0}
    assert found["encoder"] == expected


@pytest.mark.usefixtures("_files")
def test_check_rejects_a_model_of_descriptions_alone(run: Run) -> None:
    run(*ALONE, "-q")
    result = run("check", "a.slug", "docs.csv", "-q")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "slugline: error: a.slug: it was made from topic descriptions alone, without training "
        "documents; test it with `slugline evaluate`.\n"
    )


@pytest.mark.usefixtures("_files")
def test_train_with_topics_rejects_words_alone(run: Run) -> None:
    result = run("train", "--topics", "topics.csv", "--encoder", "none", "-q")
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "slugline: error: --topics require an encoder, but --encoder is none; leave "
        "--encoder out for word vectors, or name a sentence encoder: --encoder use.\n"
    )


@pytest.mark.usefixtures("_files")
def test_train_with_documents_and_topics_learns_both(run: Run, tmp_path: Path) -> None:
    options = ("--topics", "topics.csv", "--encoder", "use", "-o", "a.slug", "-q")
    result = run("train", "docs.csv", *options[:-1])
    assert (
        "docs.csv: these topics have a description but no document: 'ore'; check their spelling\n"
    ) in result.err
    assert "It learned from descriptions of 4 topics as well." in (tmp_path / "a.html").read_text()
    assert "- ore: metals" in run("info", "a.slug").out
    assert run("check", "a.slug", "docs.csv", "-q").out.startswith("a.slug: identical; ")
    answer = json.loads(run("predict", "a.slug", "-q", stdin="copper").out)
    assert answer["topic"] == "ore"


@pytest.mark.slow
@pytest.mark.usefixtures("_files")
def test_train_warns_of_topics_spelled_otherwise_than_in_documents(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "topics.csv").write_text("name,description\nGrain,cereals\nbank,banking\n")
    options = ("--topics", "topics.csv", "--encoder", "use", "-o", "a.slug", "-q")
    result = run("train", "docs.csv", *options)
    assert "1 topic is written in several ways" in result.err
    result = run("train", "docs.csv", *options, "--fold-topics")
    assert "several ways" not in result.err
    assert "- Grain: cereals\n- bank: banking\n- sport\n" in run("info", "a.slug").out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "Missing argument 'DATA': name training files, or describe topics with "),
        (
            ["--topics", "topics.csv", "--encoder", "use", "--test", "docs.csv"],
            "--test requires DATA, not only --topics; add DATA or leave it out.",
        ),
        (
            ["--topics", "topics.csv", "--encoder", "use", "--curve"],
            "--curve requires DATA, not only --topics; add DATA or leave it out.",
        ),
        (
            ["--topics", "topics.csv", "--encoder", "use", "-o", "topics.csv"],
            "--output topics.csv: would overwrite an input file; choose another one.",
        ),
        (
            ["--topics", "topics.csv", "--encoder", "use", "--learner", "network"],
            "--encoder requires the linear learner, but --learner is a NeuralLearner; ",
        ),
        (
            ["--topics", "topics.csv", "--learner", "network"],
            "--topics require word vectors and thus the linear learner, but --learner is ",
        ),
    ],
    ids=["nothing", "test", "curve", "overwrite", "network", "network alone"],
)
@pytest.mark.usefixtures("_files")
def test_train_topics_rejects_invalid_combinations(
    run: Run, options: list[str], message: str
) -> None:
    result = run("train", *options)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"slugline: error: {message}")


@pytest.mark.usefixtures("_files")
def test_train_encoding_applies_to_the_descriptions(run: Run, tmp_path: Path) -> None:
    table = "name,description\nMünzen,banking\nKörner,cereals\n"
    (tmp_path / "topics.csv").write_bytes(table.encode("latin-1"))
    assert run(*ALONE, "-q", "--encoding", "latin-1").code == 0
    assert "- Körner: cereals\n- Münzen: banking\n" in run("info", "a.slug").out


@pytest.mark.usefixtures("_files")
def test_train_format_applies_to_descriptions_of_unknown_format(run: Run, tmp_path: Path) -> None:
    (tmp_path / "topics.csv").rename(tmp_path / "topics")
    named = [word if word != "topics.csv" else "topics" for word in ALONE]
    assert "topics is in an unknown format; use a name" in run(*named, "-q").err
    assert run(*named, "-q", "--format", "csv").code == 0
    assert "unknown format 'cvs'; choose one of csv, " in run(*ALONE, "--format", "cvs").err


@pytest.mark.parametrize(
    "option",
    [
        ["--text", "body"],
        ["--topic", "queue"],
        ["--test-fraction", "0"],
        ["--test-fraction", "0.2"],
        ["--skip-bad-rows"],
        ["--fold-topics"],
        ["--balanced"],
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("_files")
def test_train_topics_alone_rejects_options_of_documents(run: Run, option: list[str]) -> None:
    result = run(*ALONE, *option)
    assert (result.code, result.out) == (2, "")
    assert result.err == (
        f"slugline: error: {option[0]} requires DATA, not only --topics; add DATA or leave it "
        "out.\n"
    )


# The table ----------------------------------------------------------------------------------------


def test_read_descriptions_finds_columns_by_their_names(tmp_path: Path) -> None:
    path = tmp_path / "topics.tsv"
    path.write_text("owner\tdescription\tname\nme\twheat, corn\t grain \nyou\tloans\tbank\n")
    assert read_descriptions(path) == {"grain": "wheat, corn", "bank": "loans"}
    path.write_text("description\ttopic\nwheat, corn\tgrain\nloans\tbank\n")
    assert read_descriptions(path) == {"grain": "wheat, corn", "bank": "loans"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("name,description\ngrain,a\ngrain,b\n", "line 3: 'grain' occurs twice; delete one of"),
        ("name,description\n ,a\n", "line 2: an empty topic name; fill the cell, or delete the"),
        ("name,description\ngrain,\n", "line 2: 'grain' has no description; write a few words, "),
        (
            "topic,about\ngrain,a\n",
            "has the columns 'topic', 'about'; begin it with the line name,description and put a "
            "topic and what it is about on each further line.",
        ),
        ("name,description\n", "has no rows; begin it with the line name,description and put"),
    ],
    ids=["twice", "no name", "no description", "columns", "no rows"],
)
def test_read_descriptions_names_the_line_of_an_error(
    table: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "topics.csv"
    path.write_text(table)
    with pytest.raises(DataError) as caught:
        read_descriptions(path)
    assert message in str(caught.value)
