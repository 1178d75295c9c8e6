"""The functions of `slugline`: what they take, and what their results can do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import slugline
from conftest import WORDS
from labelled_texts import labelled
from slugline.errors import DataError, OptionError

TEXTS, TOPICS, WRONG = labelled(120, 6)
# The package, to call with arguments of wrong types.
UNTYPED: Any = slugline


@pytest.fixture(scope="module")
def corpus() -> slugline.Corpus:
    return slugline.Corpus(TEXTS, TOPICS, "made up")


@pytest.fixture(scope="module")
def trained(corpus: slugline.Corpus) -> Any:
    return slugline.train(corpus)


def test_train_takes_a_path_a_frame_or_a_corpus(tmp_path: Path, trained: Any) -> None:
    frame = pd.DataFrame({"text": TEXTS, "topic": TOPICS})
    frame.to_csv(tmp_path / "texts.csv", index=False)
    for data in (frame, tmp_path / "texts.csv", str(tmp_path / "texts.csv")):
        assert slugline.train(data).metrics == trained.metrics


def test_train_takes_texts_and_topics(corpus: slugline.Corpus, trained: Any) -> None:
    for texts, topics in (
        (TEXTS, TOPICS),
        (np.array(TEXTS), np.array(TOPICS)),
        (pd.Series(TEXTS), pd.Series(TOPICS, dtype="category")),
        (iter(TEXTS), iter(TOPICS)),
    ):
        assert slugline.train((texts, topics)).metrics == trained.metrics
    numbers = [*map(sorted(set(TOPICS)).index, TOPICS)]
    result = slugline.train(corpus, test=(TEXTS, TOPICS))
    assert result.n_test == 120
    by_number = slugline.train((TEXTS, numbers), test_fraction=None)
    assert by_number.classifier.classes_.tolist() == ["0", "1", "2"]
    assert slugline.evaluate(by_number.classifier, (TEXTS, numbers)).accuracy > 0.8


def test_text_and_topic_are_rejected_for_a_corpus(corpus: slugline.Corpus) -> None:
    frame = pd.DataFrame({"body": TEXTS, "queue": TOPICS, "sender": "x"})
    assert slugline.train(frame, text="body", topic="queue", test_fraction=None).n_train == 120
    with pytest.raises(slugline.SluglineError, match="but made up has none; leave them out"):
        slugline.train(corpus, text="body")


def test_evaluate_takes_a_path_or_a_classifier_and_another(
    tmp_path: Path, corpus: slugline.Corpus, trained: Any
) -> None:
    trained.save_model(tmp_path / "model.slug")
    result = slugline.evaluate(tmp_path / "model.slug", corpus, against=trained.classifier)
    assert result.against is not None
    assert result.against.accuracy.difference == 0
    assert "better by" in repr(result)
    assert slugline.load(tmp_path / "model.slug").info_.metrics == trained.metrics


def test_evaluate_says_how_many_texts_are_answered(corpus: slugline.Corpus) -> None:
    classifier = slugline.TopicClassifier(min_precision=0.7)
    result = slugline.train(corpus, classifier=classifier)
    assert "sure enough" in repr(result)
    evaluation = slugline.evaluate(result.classifier, corpus)
    assert evaluation.decisions is not None
    assert evaluation.to_dict()["decisions"]["n_documents"] == 120


def test_audit_finds_wrong_topics_and_repairs_them(tmp_path: Path, corpus: slugline.Corpus) -> None:
    result = slugline.audit(corpus)
    suspects = result.audit.suspects().tolist()
    assert set(suspects) <= set(WRONG)
    assert suspects
    result.save(tmp_path / "review.csv")
    result.save(tmp_path / "review.xlsx")
    table = pd.read_csv(tmp_path / "review.csv", dtype=str)
    assert len(table) == len(result.to_frame()) == 100
    excel = pd.read_excel(tmp_path / "review.xlsx", dtype=str, engine="openpyxl")
    assert excel["digest"].tolist() == table["digest"].tolist()
    table.loc[0, table.columns[0]] = excel.loc[0, excel.columns[0]] = "drop"
    table.to_csv(tmp_path / "decided.csv", index=False)
    excel.to_excel(tmp_path / "decided.xlsx", index=False)
    for decided in ("decided.csv", "decided.xlsx"):
        assert len(result.repair(tmp_path / decided)) == 119


def test_audit_marks_suspects_of_the_test(corpus: slugline.Corpus) -> None:
    train, test = corpus.split(0.3, 0)
    records = slugline.audit(train, test=test).to_records()
    for record in records:
        is_test = record["part"] == "test"
        part = test if is_test else train
        assert record["text"] == part.texts[record["row"] - is_test * len(train)]
    assert {record["part"] for record in records} == {"train", "test"}


def test_suggest_returns_a_sequence_and_a_table_to_fill_in(
    tmp_path: Path, trained: Any, corpus: slugline.Corpus
) -> None:
    result = slugline.suggest(trained.classifier, iter(TEXTS), 5)
    assert len(result) == 5
    assert [each.text for each in result] == list(result.to_frame()["text"])
    assert [TEXTS[row] for row in result.to_frame()["row"]] == list(result.to_frame()["text"])
    result.save(tmp_path / "label.csv")
    table = pd.read_csv(tmp_path / "label.csv", dtype=str)
    assert table["topic"].isna().all()
    table["topic"] = "bank"
    table.to_csv(tmp_path / "label.csv", index=False)
    both = slugline.load_corpus(tmp_path / "label.csv", text="text", topic="topic")
    assert set(both.topics) == {"bank"}


def test_explain_records_name_each_of_several_topics(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sets = [[topic for topic in WORDS if rng.random() < 0.4] for _ in range(200)]
    texts = [" ".join(w for t in topics for w in rng.choice(WORDS[t], 2)) for topics in sets]
    classifier = slugline.TopicClassifier(n_jobs=1).fit(texts, sets)
    result = slugline.explain(
        classifier, "wheat corn loan bond", examples=slugline.Corpus(texts, [*map(tuple, sets)])
    )

    given = classifier.predict(["wheat corn loan bond"])[0]
    assert [*dict.fromkeys(record["topic"] for record in result.to_records())] == [*given]
    assert len(given) == 2
    assert [*result.to_records()[0]] == ["topic", "word", "n_places", "attribution"]
    page = result.save(tmp_path / "why.html").read_text()
    assert all(f"Why {topic}" in page for topic in given)


def results(corpus: slugline.Corpus, trained: Any) -> dict[str, Any]:
    return {
        "train": trained,
        "evaluate": slugline.evaluate(trained.classifier, corpus),
        "audit": slugline.audit(corpus),
        "curve": slugline.curve(corpus, n_draws=1),
        "suggest": slugline.suggest(trained.classifier, TEXTS, 3),
        "explain": slugline.explain(trained.classifier, TEXTS[0], examples=corpus),
        "compare": slugline.compare(corpus, ["majority", "default"], n_folds=2),
    }


def test_results_show_themselves_and_can_be_saved(
    tmp_path: Path, corpus: slugline.Corpus, trained: Any
) -> None:
    for name, result in results(corpus, trained).items():
        assert result._repr_html_().startswith(("<table", "<style", "<p")), name
        assert len(result.to_frame()) == len(result.to_records()) > 0, name
        page = result.save(tmp_path / f"{name}.html").read_text("utf-8")
        assert page.startswith("<!doctype html>"), name
        data = json.loads(result.save(tmp_path / f"{name}.json").read_text("utf-8"))
        assert data == json.loads(json.dumps(result.to_dict(), default=str)), name
        saved = result.save(tmp_path / f"{name}.csv").read_text("utf-8-sig")
        assert saved.count("\n") >= len(result.to_records()), name
        if "<svg" in result._repr_html_():
            chart = result.save(tmp_path / f"{name}.svg").read_text("utf-8")
            assert chart in result._repr_html_(), name
        else:
            with pytest.raises(OptionError, match="this result has no chart"):
                result.save(tmp_path / f"{name}.svg")
        workbook = result.save(tmp_path / "new" / f"{name}.xlsx")
        excel = pd.read_excel(workbook, engine="openpyxl")
        assert len(excel) >= len(result.to_records()), name


def test_to_frame_needs_pandas_or_polars(trained: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert type(trained.to_frame()).__module__.startswith("polars")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(slugline.SluglineError, match="pip install pandas"):
        trained.to_frame()


def test_export_takes_a_classifier_or_its_file(tmp_path: Path, trained: Any) -> None:
    trained.classifier.save(tmp_path / "wires.slug")
    first = slugline.export(tmp_path / "wires.slug", tmp_path / "first.html").read_text("utf-8")
    second = slugline.export(trained.classifier, tmp_path / "wires.html").read_text("utf-8")
    assert len(second) == len(first)


def test_transform_returns_probabilities_as_columns() -> None:
    frame = pd.DataFrame({"text": TEXTS, "n": range(len(TEXTS))})
    columns = ColumnTransformer(
        [("text", slugline.TopicClassifier(), "text"), ("n", "passthrough", ["n"])]
    )
    rows = columns.fit_transform(frame, TOPICS)
    assert rows.shape == (120, 4)
    names = columns.get_feature_names_out().tolist()
    assert names == ["text__bank", "text__grain", "text__sport", "n__n"]
    np.testing.assert_allclose(rows[:, :3].sum(axis=1), 1, rtol=1e-6)
    for kind, frames in (("pandas", pd), ("polars", pl)):
        framed = clone(columns).set_output(transform=kind).fit_transform(frame, TOPICS)
        assert isinstance(framed, frames.DataFrame)
        assert list(framed.columns) == names
        np.testing.assert_array_equal(framed.to_numpy(), rows)
    model = make_pipeline(columns, LogisticRegression(max_iter=1000)).fit(frame, TOPICS)
    assert model.score(frame, TOPICS) > 0.8


def test_set_output_chooses_the_type_of_transform(trained: Any) -> None:
    classifier = slugline.TopicClassifier.from_fitted(trained.fitted)
    assert classifier.set_output() is classifier
    texts = pd.Series(TEXTS[:3], index=["a", "b", "c"])
    assert isinstance(classifier.transform(texts), np.ndarray)
    with config_context(transform_output="pandas"):
        framed = classifier.transform(texts)
        assert classifier.set_output(transform="default").transform(texts).shape == (3, 3)
    assert framed.index.tolist() == ["a", "b", "c"]
    assert framed.columns.tolist() == ["bank", "grain", "sport"]
    copy = clone(classifier.set_output(transform="polars")).fit(TEXTS, TOPICS)
    assert isinstance(copy.transform(TEXTS[:3]), pl.DataFrame)
    assert isinstance(copy.set_output(transform="default").transform(texts), np.ndarray)
    assert isinstance(classifier.transform(texts), pl.DataFrame)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: slugline.explain(slugline.TopicClassifier(), "x"), "not fitted yet"),
        (lambda c: slugline.evaluate(slugline.TopicClassifier(), c), "not fitted yet"),
        (
            lambda c: UNTYPED.evaluate(42, c),
            "`model` is 42; give a TopicClassifier, or the path of a model file",
        ),
        (
            lambda c: UNTYPED.train(42),
            "`data` is 42; give a Corpus, a path, a DataFrame, or a pair .texts, topics",
        ),
        (lambda c: UNTYPED.train(c, classifier="linear"), "`classifier` is 'linear'"),
        (lambda c: slugline.suggest("reuters46", "one text"), "put brackets around it"),
        (
            lambda c: UNTYPED.suggest("reuters46", pd.DataFrame({"text": TEXTS})),
            r"pass the text column: df\['text'\]",
        ),
        (lambda c: UNTYPED.train(dict(zip(TEXTS, TOPICS, strict=True))), "`data` is {"),
        (lambda c: UNTYPED.curve([*zip(TEXTS, TOPICS, strict=True)]), r"`data` is \[\("),
        (lambda c: UNTYPED.train((TEXTS, TOPICS[:9])), "there are 120 texts and 9 topics"),
        (
            lambda c: UNTYPED.train(
                pd.DataFrame({"text": TEXTS, "topic": TOPICS}), topic=["topic"]
            ),
            r"has no column \['topic'\]; found 'text', 'topic'; did you mean 'topic'",
        ),
        (lambda c: UNTYPED.train((TEXTS, TOPICS), text="text"), "the corpus has none; leave"),
        (lambda c: UNTYPED.audit(c, test=7), "`test` is 7; give a Corpus"),
        (lambda c: UNTYPED.explain("reuters46", "x", examples=7), "`examples` is 7; give a C"),
        (lambda c: UNTYPED.train(c, test_fraction=2), r"`test_fraction` is 2.* Did you mean 0.02"),
        (lambda c: UNTYPED.evaluate(c, slugline.TopicClassifier()), "`model` is <Corpus made up"),
        (lambda c: UNTYPED.evaluate("reuters46", c, against=c), "`against` is <Corpus made up"),
        (
            lambda c: UNTYPED.export(LogisticRegression(), "page.html"),
            r"`model` is LogisticRegression\(\)",
        ),
        (lambda c: UNTYPED.serve(LogisticRegression()), r"`model` is LogisticRegression\(\)"),
        (lambda c: slugline.compare(c, ["nosuch"]), "the unknown model 'nosuch'"),
        (
            lambda c: slugline.TopicClassifier().set_output(transform="numpy"),  # type: ignore[arg-type]
            "`transform` is 'numpy'; give one of default, pandas, polars",
        ),
        (
            lambda c: slugline.serve(settings=cast("Any", 1)),
            "`settings` is 1; give a `ServeSettings`",
        ),
        (
            lambda c: slugline.serve(settings=slugline.ServeSettings(host="0.0.0.0")),
            "add --token-file FILE",
        ),
    ],
)
def test_functions_reject_bad_input(corpus: slugline.Corpus, call: Any, message: str) -> None:
    with pytest.raises(slugline.SluglineError, match=message):
        call(corpus)


def test_audit_rejects_a_test_of_another_form(corpus: slugline.Corpus) -> None:
    several = slugline.Corpus(TEXTS, [(topic,) for topic in TOPICS], "tags")
    for data, test in ((corpus, several), (several, corpus)):
        with pytest.raises(DataError) as error:
            slugline.audit(data, test=test)
        assert str(error.value) == (
            f"only one of {data.name} and {test.name} is multi-label; use the same form for both."
        )


# Estimators of scikit-learn ---------------------------------------------------------------------


def test_evaluate_against_takes_a_fitted_estimator() -> None:
    ours = slugline.train((TEXTS, TOPICS), test_fraction=None).classifier
    theirs = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, TOPICS)
    paired = slugline.evaluate(ours, (TEXTS, TOPICS), against=theirs).against
    assert paired is not None
    hits = np.array(theirs.predict(TEXTS)) == np.array(TOPICS)
    assert paired.accuracy.second == pytest.approx(hits.mean())
    frame = paired.to_frame()
    assert frame.columns.tolist() == [
        *("metric", "first", "second", "difference", "low", "high", "p_value")
    ]
    assert frame["metric"].tolist() == ["accuracy", "macro_f1"]
    assert frame["difference"][0] == pytest.approx(paired.accuracy.difference)


def test_evaluate_against_has_the_difference_of_each_topic() -> None:
    ours = slugline.train((TEXTS, TOPICS), test_fraction=None).classifier
    always = DummyClassifier(strategy="constant", constant="grain").fit(TEXTS, TOPICS)
    frame = slugline.evaluate(ours, (TEXTS, TOPICS), against=always).to_frame().set_index("topic")
    assert [*frame.columns[-4:]] == [
        *("difference", "difference_low", "difference_high", "p_value")
    ]
    recall = frame["recall"] - (frame.index == "grain")
    np.testing.assert_allclose(frame["difference"], recall)
    # Holm: the least of three p-values counts three times.
    n_right = (frame["recall"] * frame["n_documents"]).drop("grain").max()
    assert frame["p_value"].min() == pytest.approx(3 * 2 * 0.5**n_right)
    assert (frame["difference_low"] <= frame["difference"]).all()
    assert "difference" not in slugline.evaluate(ours, (TEXTS, TOPICS)).to_frame()


class NumbersOnly:
    """Answers with too few topics."""

    def predict(self, texts: Any) -> list[int]:
        return [1]


@pytest.mark.parametrize(
    ("other", "error", "message"),
    [
        (NumbersOnly(), DataError, "`against` is a NumbersOnly, whose `predict` returned 1 "),
        (LogisticRegression(), OptionError, "`against` is a LogisticRegression, whose `predict` "),
        (3, OptionError, "`against` is 3; give a TopicClassifier"),
    ],
)
def test_evaluate_against_rejects_a_model_without_answers(
    other: Any, error: type[Exception], message: str
) -> None:
    ours = slugline.train((TEXTS, TOPICS), test_fraction=None).classifier
    with pytest.raises(error) as caught:
        slugline.evaluate(ours, (TEXTS, TOPICS), against=other)
    assert str(caught.value).startswith(message)


def test_compare_table_has_differences_intervals_and_p_values(tmp_path: Path) -> None:
    pipeline = make_pipeline(TfidfVectorizer(), LogisticRegression())
    compared = slugline.compare((TEXTS, TOPICS), {"mine": pipeline}, baseline="majority", n_folds=3)
    rows = {record["model"]: record for record in compared.to_records()}
    difference = compared.differences()["mine"]
    assert difference.interval is not None
    assert rows["mine"]["difference"] == difference.accuracy > 0
    assert (rows["mine"]["difference_low"], rows["mine"]["difference_high"]) == difference.interval
    assert rows["mine"]["p_value"] == difference.p_value
    assert rows["majority"]["difference"] is rows["majority"]["p_value"] is None
    table = compared.save(tmp_path / "compared.csv").read_text("utf-8-sig")
    assert "difference,difference_low,difference_high,p_value" in table.splitlines()[0]
    assert "<svg" in compared._repr_html_()
