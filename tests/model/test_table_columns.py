"""Models that read columns beside the text: in Python, in files, and batch by batch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import slugline
from model_entries import JSON, rezip, unzip
from slugline import Corpus, TopicClassifier
from slugline.cli.train_corrections import _read_current_model
from slugline.corpus.documents import RowText
from slugline.corpus.layout import ReadOptions
from slugline.corpus.loading import read_corpus, read_texts
from slugline.corpus.readers import read_rows
from slugline.errors import ColumnWarning, DataError, ModelFileError, OptionError
from slugline.learning.net.learner import NeuralLearner
from slugline.model.fitted import Fitted

NAMES = ["product", "amount", "sent"]


def make_tickets(n: int = 480) -> pd.DataFrame:
    """Return tickets whose text says what is wrong, and whose product decides the other half."""
    random = np.random.default_rng(0)
    products = random.choice(["Card", "Loan", "App"], n)
    problems = random.choice(["was lost again", "is too slow", "was charged twice"], n)
    return pd.DataFrame(
        {
            "body": [f"my thing {problem} please help" for problem in problems],
            "product": products,
            "amount": np.where(products == "Loan", 900, 20) + random.normal(0, 5, n),
            "sent": pd.date_range("2026-01-01", periods=n, freq="7h"),
            "topic": [f"{a} {b.split()[1]}" for a, b in zip(products, problems, strict=True)],
        }
    )


TICKETS = make_tickets()
TRAIN, TEST = TICKETS[:360], TICKETS[360:]


@pytest.fixture(scope="module")
def classifier() -> TopicClassifier:
    return TopicClassifier(text="body", columns=NAMES).fit(TRAIN, TRAIN.topic)


def test_columns_decide_where_the_text_does_not(classifier: TopicClassifier) -> None:
    alone = TopicClassifier().fit(TRAIN.body, TRAIN.topic)
    assert alone.score(TEST.body, TEST.topic) < 0.5
    assert classifier.score(TEST, TEST.topic) == 1
    kinds = {column.name: column.kind for column in classifier.fitted_.features.table_columns}
    assert kinds == {"product": "words", "amount": "number", "sent": "unused"}
    assert "amount (number in 8 bins)" in repr(classifier.fitted_)


@pytest.mark.parametrize(
    "convert",
    [
        pl.from_pandas,
        lambda frame: frame.to_dict("records"),
        lambda frame: frame.to_dict("list"),
        lambda frame: [
            RowText(row["body"], {name: row[name] for name in NAMES})
            for row in frame.to_dict("records")
        ],
    ],
    ids=["polars", "mappings", "columns", "texts"],
)
def test_columns_of_any_kind_of_table_predict_the_same(
    convert: Any, classifier: TopicClassifier
) -> None:
    expected = classifier.predict_proba(TEST)
    assert (classifier.predict_proba(convert(TEST)) == expected).all()


def test_saved_model_keeps_names_kinds_and_bins_of_columns(
    classifier: TopicClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "model.slug")
    loaded = slugline.load(tmp_path / "model.slug")
    assert loaded.fitted_.features.table_columns == classifier.fitted_.features.table_columns
    assert (loaded.predict_proba(TEST) == classifier.predict_proba(TEST)).all()
    assert loaded.columns == NAMES
    assert "product (words), amount (number in 8 bins), sent (unused" in loaded.card_


def test_load_reads_a_model_of_unused_columns(tmp_path: Path) -> None:
    classifier = TopicClassifier(text="body", columns=["sent"]).fit(TRAIN, TRAIN.topic)
    expected = TopicClassifier().fit(TRAIN.body, TRAIN.topic).predict_proba(TEST.body)
    proba = classifier.predict_proba(TEST)
    assert np.allclose(proba, expected, atol=1e-6)
    classifier.save(tmp_path / "model.slug")
    assert (slugline.load(tmp_path / "model.slug").predict_proba(TEST) == proba).all()


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "colour"},
        {"name": "x" * 5000},
        {"name": ""},
        {"bins": [*range(5000)]},
        {"bins": [2, 1]},
        {"bins": [None]},
    ],
)
def test_load_refuses_impossible_columns(
    change: dict[str, Any], classifier: TopicClassifier, tmp_path: Path
) -> None:
    path = tmp_path / "model.slug"
    classifier.save(path)
    entries = unzip(path.read_bytes())
    info = json.loads(entries[JSON])
    info["feature_groups"][-1]["columns"][0] |= change
    path.write_bytes(rezip(entries | {JSON: json.dumps(info).encode()}))
    with pytest.raises(ModelFileError):
        slugline.load(path)


def test_predict_proba_warns_of_missing_columns(classifier: TopicClassifier) -> None:
    with pytest.warns(ColumnWarning, match="no column 'amount': counted as missing"):
        lacking = classifier.predict_proba(TEST[["body", "product"]])
    without = [{**row, "amount": None} for row in TEST.to_dict("records")]
    assert (lacking == classifier.predict_proba(without)).all()
    with pytest.warns(ColumnWarning, match="'lots' in column 'amount' is not a number"):
        odd = classifier.predict_proba([{**row, "amount": "lots"} for row in without])
    assert (odd == lacking).all()


def test_explain_names_columns(classifier: TopicClassifier) -> None:
    row = {"body": "my thing was lost again", "product": "Card", "amount": 20, "sent": None}
    explanation = classifier.explain(row)
    shares = {reason.word: reason for reason in explanation.reasons}
    assert explanation.topic == "Card lost"
    assert shares["product=Card"].attribution > 0
    assert shares["product=Card"].start is None
    total = sum(reason.attribution for reason in explanation.reasons)
    assert total + explanation.bias == pytest.approx(explanation.score, abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": ["prodct"]}, "no column 'prodct'"),
        ({"columns": "product"}, "`columns`"),
        ({"columns": ["product"], "text": "bdy"}, "no column 'bdy'"),
    ],
)
def test_columns_reject_invalid_names(options: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, OptionError), match=message):
        TopicClassifier(**{"text": "body", **options}).fit(TRAIN, TRAIN.topic)
    with pytest.raises(DataError, match="different lengths"):
        TopicClassifier(text="a", columns=["b"]).fit({"a": ["x"], "b": []}, ["t"])


@pytest.mark.parametrize("learner", ["linear", NeuralLearner(hidden=(16,), learning_rate=0.02)])
def test_partial_fit_learns_columns(learner: Any, tmp_path: Path) -> None:
    classifier = TopicClassifier(learner=learner, text="body", columns=NAMES, n_jobs=1)
    for first in [*range(0, len(TRAIN), 60)] * 5:
        batch = TRAIN[first : first + 60]
        classifier.partial_fit(batch, batch.topic, sorted({*TRAIN.topic}))
    classifier.save(tmp_path / "model.slug")
    loaded = slugline.load(tmp_path / "model.slug")
    expected = classifier.predict_proba(TEST)
    # A file leaves out the weights that are next to nothing.
    assert (loaded.predict(TEST) == classifier.predict(TEST)).mean() > 0.9
    others = TEST.assign(product="Loan", amount=900)
    assert abs(classifier.predict_proba(others) - expected).max() > 0.1


def test_fit_stream_learns_columns(tmp_path: Path) -> None:
    TRAIN.to_csv(tmp_path / "train.csv", index=False)
    classifier = TopicClassifier(columns=NAMES, n_jobs=1).fit_stream(tmp_path / "train.csv")
    assert [column.kind for column in classifier.fitted_.columns] == ["words", "number"]
    corpus = read_corpus(tmp_path / "train.csv", ReadOptions(columns=NAMES))
    corpora = [(corpus.texts[:100], corpus.topics[:100]), (corpus.texts[100:], corpus.topics[100:])]
    in_memory = TopicClassifier(columns=NAMES, n_jobs=1).fit_stream(corpora)
    table = TEST.assign(sent=TEST.sent.astype(str))
    # The text alone tells three topics from three others, so that a third would be right.
    assert classifier.set_params(text="body").score(table, TEST.topic) > 0.6
    assert in_memory.set_params(text="body").score(table, TEST.topic) > 0.6


def test_train_and_evaluate_read_columns_of_files(tmp_path: Path) -> None:
    TRAIN.to_csv(tmp_path / "train.csv", index=False)
    TEST.to_csv(tmp_path / "test.csv", index=False)
    result = slugline.train(
        tmp_path / "train.csv",
        classifier=TopicClassifier(columns=NAMES),
        test=tmp_path / "test.csv",
    )
    assert result.evaluation is not None
    assert result.evaluation.accuracy == 1
    assert any("column 'sent' doesn't help to tell" in warning for warning in result.warnings)
    evaluated = slugline.evaluate(result.classifier, tmp_path / "test.csv")
    assert evaluated.accuracy == 1


def test_columns_reject_the_text_and_the_topic(tmp_path: Path) -> None:
    TRAIN.to_csv(tmp_path / "train.csv", index=False)
    for name in ("body", "topic"):
        with pytest.raises(OptionError, match=f"`columns` names '{name}'"):
            read_corpus(tmp_path / "train.csv", ReadOptions(columns=[name]))


def test_split_keeps_columns() -> None:
    texts: list[str] = [RowText("a", {"n": number}) for number in range(20)]
    train, test = Corpus(texts, ["x", "y"] * 10).split(0.5, 0)
    cells = [text.columns["n"] for text in (*train.texts, *test.texts) if isinstance(text, RowText)]
    assert sorted(cells) == [*range(20)]


def test_columns_are_empty_in_a_model_without_them(classifier: TopicClassifier) -> None:
    fitted: Fitted = TopicClassifier().fit(TRAIN.body, TRAIN.topic).fitted_
    assert fitted.columns == fitted.features.table_columns == ()
    assert TopicClassifier.from_fitted(classifier.fitted_).columns == NAMES


def test_columns_take_each_value_of_a_json_list(tmp_path: Path) -> None:
    lines = [
        json.dumps({"text": "it is broken", "tags": tags, "topic": topic})
        for tags, topic in ((["a", "b"], "one"), (["c"], "two")) * 20
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(lines))
    digests = []
    for _ in range(2):
        corpus = read_corpus(tmp_path / "train.jsonl", ReadOptions(columns=["tags"]))
        classifier = TopicClassifier(columns=["tags"]).fit(corpus.texts, corpus.topics)
        digests.append(classifier.fitted_.data_digest)
    assert digests[0] == digests[1]
    assert sorted(classifier.fitted_.features.vocabularies_[-1].terms) == [
        "tags=a",
        "tags=b",
        "tags=c",
    ]


def test_read_texts_reads_columns_without_topics(
    classifier: TopicClassifier, tmp_path: Path
) -> None:
    TEST.drop(columns="topic").to_csv(tmp_path / "new.csv", index=False)
    rows = read_rows(tmp_path / "new.csv", ReadOptions(layout=classifier.fitted_.layout))
    texts = read_texts(rows).texts
    assert (classifier.predict_proba(texts) == classifier.predict_proba(TEST)).all()


def test_corrections_reject_a_model_with_columns(
    classifier: TopicClassifier, tmp_path: Path
) -> None:
    classifier.save(tmp_path / "model.slug")
    with pytest.raises(OptionError, match="additional columns, which corrections don't contain"):
        _read_current_model(tmp_path / "model.slug")
