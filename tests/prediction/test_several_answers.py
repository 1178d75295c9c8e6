"""Answers of models that give a text several topics: what is written can be read again."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from slugline.classifier import TopicClassifier
from slugline.corpus.loading import load_corpus
from slugline.prediction.cluster import predict_frame, predict_partitions
from slugline.prediction.model_copy import ModelCopy
from slugline.prediction.rows import PredictOptions

Run = Callable[..., Any]
WORDS = {"grain": "wheat corn harvest", "money": "dollar rates bank", "oil": "crude barrels opec"}
NAMES = ",".join(WORDS)


def documents(n: int, seed: int) -> list[tuple[str, list[str]]]:
    """Return texts with words of each of their topics, which are one or more."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        topics = [topic for topic in WORDS if rng.random() < 0.5] or ["oil"]
        words = [word for topic in topics for word in rng.permutation(WORDS[topic].split())[:2]]
        rows.append((" ".join([*words, *rng.permutation(["the", "of", "said"])[:2]]), topics))
    return rows


TRAIN, TEXTS = documents(200, 0), [text for text, _ in documents(60, 1)]


def lines(pattern: str, separator: str, name: str) -> str:
    cells = ((text, separator.join(map(name.format, topics))) for text, topics in TRAIN)
    return "".join(f"{pattern.format(text=text, topics=topics)}\n" for text, topics in cells)


def in_columns() -> str:
    rows = (",".join([text, *(str(int(t in topics)) for t in WORDS)]) for text, topics in TRAIN)
    return "\n".join([f"text,{NAMES}", *rows])


# The training data and how to read them, by the form of their topics.
DATA: dict[str, tuple[str, str, dict[str, Any]]] = {
    "array": (
        "in.jsonl",
        "".join(json.dumps({"text": text, "topics": topics}) + "\n" for text, topics in TRAIN),
        {},
    ),
    "separator": (
        "in.csv",
        f"text,topics\n{lines('{text},{topics}', '|', '{}')}",
        {"topic_separator": "|"},
    ),
    "columns": ("in.csv", in_columns(), {"topic_columns": NAMES}),
    "label": ("in.txt", lines("{topics} {text}", " ", "__label__{}"), {}),
    "uris": ("in.tsv", lines("{text}\t{topics}", " ", "<http://a.org/{}>"), {}),
}


def save_model(form: str, path: str = "m.slug") -> TopicClassifier:
    name, content, options = DATA[form]
    Path(name).write_text(content, "utf-8")
    corpus = load_corpus(name, **options)
    model = TopicClassifier(n_jobs=1).fit(corpus.texts, corpus.topics)
    model.fitted_ = replace(model.fitted_, layout=corpus.layout)
    model.save(path)
    return model


def write_texts(*more: str) -> None:
    with Path("new.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate([*TEXTS, *more])])


SEVERAL = {
    "array": {".jsonl": {}, ".parquet": {}, ".csv": {"topic_separator": ";"}},
    "separator": {".csv": DATA["separator"][2], ".xlsx": DATA["separator"][2], ".jsonl": {}},
    "columns": dict.fromkeys([".csv", ".jsonl", ".parquet", ".xlsx"], DATA["columns"][2]),
    "label": {".csv": {"topic_separator": " "}, ".jsonl": {}},
    "uris": {".tsv": {"topic_separator": " "}, ".parquet": {}},
}


def test_answer_file_adds_a_column_for_a_new_topic(run: Run) -> None:
    layout = save_model("columns").fitted_.layout
    texts = [*(text for text, _ in TRAIN), *["court lawyer judge"] * 20]
    sets = [*(tuple(topics) for _, topics in TRAIN), *[("legal",)] * 20]
    model = TopicClassifier(n_jobs=1).fit(texts, sets)
    model.fitted_ = replace(model.fitted_, layout=layout)
    model.save("m.slug")
    write_texts("court lawyer judge")

    assert run("predict", "m.slug", "new.csv", "-q", "-o", "out.csv").code == 0

    with Path("out.csv").open(newline="") as file:
        rows = [*csv.DictReader(file)]
    assert rows[-1]["legal"] == "1"
    assert [*rows[0]][2:].index("legal") == len(WORDS)


@pytest.mark.parametrize(
    ("form", "ending"), [(form, ending) for form, endings in SEVERAL.items() for ending in endings]
)
def test_answer_file_writes_topics_in_the_form_of_the_training_data(
    form: str, ending: str, run: Run
) -> None:
    model = save_model(form)
    write_texts()

    assert run("predict", "m.slug", "new.csv", "-q", "-o", f"out{ending}").code == 0

    options: Any = dict(SEVERAL[form][ending])
    if form != "columns":
        options["topic"] = "topics"
    corpus = load_corpus(f"out{ending}", text="text", **options)
    assert corpus.texts == TEXTS
    assert [*map(set, corpus.topics)] == [*map(set, model.predict(TEXTS))]
    assert {len(topics) for topics in corpus.topics} >= {1, 2}


def cells_of(path: str) -> list[dict[str, str]]:
    with Path(path).open(newline="") as file:
        return [*csv.DictReader(file)]


@pytest.mark.parametrize(
    ("form", "cell"),
    [("label", "__label__oil __label__grain"), ("uris", "<http://a.org/oil> <http://a.org/grain>")],
)
def test_answer_file_writes_labels_and_uris(form: str, cell: str, run: Run) -> None:
    save_model(form)
    write_texts("crude barrels wheat corn")
    run("predict", "m.slug", "new.csv", "-q", "-o", "out.csv")

    assert {*cells_of("out.csv")[-1]["topics"].split()} == {*cell.split()}


@pytest.mark.parametrize("form", ["label", "uris"])
def test_answer_file_writes_input_labels_as_json(form: str, run: Run) -> None:
    save_model(form)
    run("predict", "m.slug", DATA[form][0], "-q", "-o", "out.csv")

    prefix = "" if form == "label" else "http://a.org/"
    for row, (_, topics) in zip(cells_of("out.csv"), TRAIN, strict=True):
        several = json.loads(row["topic"]) if row["topic"].startswith("[") else [row["topic"]]
        assert several == [f"{prefix}{topic}" for topic in topics]
        assert row["topics"]


def test_answer_file_orders_probabilities_as_topics(run: Run) -> None:
    model = save_model("separator")
    write_texts()
    run("predict", "m.slug", "new.csv", "-q", "-o", "out.csv", "--top", 9)

    names = model.classes_.tolist()
    for row, proba in zip(cells_of("out.csv"), model.predict_proba(TEXTS), strict=True):
        shares = dict(zip(row["topics"].split("|"), row["probabilities"].split("|"), strict=True))
        assert {name: float(share) for name, share in shares.items()} == {
            name: pytest.approx(proba[names.index(name)], abs=1e-4) for name in shares
        }
        guesses = [row["guess"], row["guess_2"], row["guess_3"]]
        assert guesses == [names[i] for i in (-proba).argsort(kind="stable")]
        assert float(row["guess_probability"]) == pytest.approx(proba.max(), abs=1e-4)
        assert (row["reason"], row["error"]) == ("", "")


def test_answer_file_renames_columns_that_share_a_name(run: Run) -> None:
    columns = ["guess", "error", "oil"]
    rows = [",".join([text, *(str(int(t in topics)) for t in WORDS)]) for text, topics in TRAIN]
    Path("in.csv").write_text("\n".join([f"text,{','.join(columns)}", *rows]))
    corpus = load_corpus("in.csv", topic_columns=columns)
    model = TopicClassifier(n_jobs=1).fit(corpus.texts, corpus.topics)
    model.fitted_ = replace(model.fitted_, layout=corpus.layout)
    model.save("m.slug")
    write_texts("")
    assert run("predict", "m.slug", "new.csv", "-q", "-o", "out.csv").code == 1

    *answers, blank = cells_of("out.csv")
    more = ["probabilities", "reason", "predicted_guess", "guess_probability", "predicted_error"]
    assert [*blank] == ["id", "text", *columns, *more]
    assert blank["predicted_error"] == "line 62: no text in column 'text'"
    assert [blank[name] for name in columns] == ["", "", ""]
    for row, topics in zip(answers, model.predict(TEXTS), strict=True):
        assert {name for name in columns if row[name] == "1"} == {*topics}


def test_answer_file_keeps_input_columns_that_differ_in_case(run: Run) -> None:
    columns = ["Oil", "Money", "probabilities"]
    topics = dict(zip(columns, ["oil", "money", "grain"], strict=True))
    rows = [
        ",".join([text, *(str(int(topics[column] in given)) for column in columns)])
        for text, given in TRAIN
    ]
    Path("in.csv").write_text("\n".join([f"text,{','.join(columns)}", *rows]))
    flag = ",".join(columns)
    assert run("train", "in.csv", "-o", "m.slug", "--topic-columns", flag, "-q").code == 0
    Path("new.csv").write_text("text,oil,MONEY\nwheat corn harvest,mine,yours\n")

    assert run("predict", "m.slug", "new.csv", "-q", "-o", "out.csv").code == 0

    [row] = cells_of("out.csv")
    assert (row["oil"], row["MONEY"], row["predicted_Oil"]) == ("mine", "yours", "0")
    assert row["probabilities"] == "1"
    assert 0.5 < float(row["predicted_probabilities"]) <= 1


def test_predict_prints_topics_guesses_and_reasons(run: Run) -> None:
    model = save_model("array")
    write_texts()
    code, out, err = run("predict", "m.slug", "new.csv", "-q", "--top", 2, "--explain")

    assert (code, err) == (0, "")
    for line, topics in zip(map(json.loads, out.splitlines()), model.predict(TEXTS), strict=True):
        assert line["topics"] == [*topics]
        assert len(line["probabilities"]) == len(topics)
        assert [*line["guesses"][0]] == ["topic", "probability"]
        assert len(line["guesses"]) == 2
        assert {reason["topic"] for reason in line["reasons"]} == {*topics}
    code, out, _ = run("predict", "m.slug", "-q", stdin="zzz\n")
    assert [*json.loads(out)] == ["topics", "probabilities"]


def test_predict_with_precision_gives_sure_topics_or_a_reason(run: Run) -> None:
    model = save_model("array")
    write_texts("zzz yyy")
    code, out, _ = run("predict", "m.slug", "new.csv", "-q", "--min-precision", 0.9)

    assert code == 0
    *answers, last = map(json.loads, out.splitlines())
    assert last["topics"] is None
    assert last["reason"]
    assert len(last["guesses"]) == 3
    given = [answer["topics"] or [] for answer in answers]
    assert all({*g} <= {*t} for g, t in zip(given, model.predict(TEXTS), strict=True))
    assert sum(map(len, given)) > 60
    run("predict", "m.slug", "new.csv", "-q", "--min-precision", 0.9, "-o", "out.jsonl")
    written = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert [row["topics"] for row in written] == [row["topics"] for row in [*answers, last]]


def test_predict_partitions_gives_lists_that_parquet_holds(tmp_path: Path) -> None:
    dask = pytest.importorskip("dask.dataframe")
    pa = pytest.importorskip("pyarrow")
    model = TopicClassifier(n_jobs=1).fit(*map(list, zip(*TRAIN, strict=True)))
    frame = pd.DataFrame({"text": TEXTS})
    answers = predict_partitions(model, dask.from_pandas(frame, npartitions=3))

    expected = predict_frame(ModelCopy.from_model(model), frame)
    pd.testing.assert_frame_equal(answers.compute(scheduler="sync"), expected)
    types = [pa.list_(pa.string()), pa.list_(pa.float64()), pa.string(), pa.string(), pa.float64()]
    answers.to_parquet(
        tmp_path / "out",
        write_index=False,
        schema=pa.schema([*zip(answers.columns, types, strict=True)]),
        compute_kwargs={"scheduler": "sync"},
    )
    written = pd.read_parquet(tmp_path / "out")
    assert [*map(list, written["topics"])] == expected["topics"].tolist()


def test_predict_frame_gives_lists() -> None:
    model = TopicClassifier(n_jobs=1).fit(*map(list, zip(*TRAIN, strict=True)))
    frame = pd.DataFrame({"text": [*TEXTS, None]}, index=range(5, 66))
    answers = predict_frame(ModelCopy.from_model(model), frame)

    columns = ["topics", "probabilities", "reason", "guess", "guess_probability"]
    assert [*answers.columns] == columns
    assert answers.index.tolist() == frame.index.tolist()
    assert answers["topics"][:-1].tolist() == [*map(list, model.predict(TEXTS))]
    assert answers["probabilities"].iloc[:-1].map(len).tolist() == [*map(len, model.predict(TEXTS))]
    assert answers.iloc[-1]["reason"] == "no text"
    assert answers.iloc[-1]["topics"] is None
    options = PredictOptions(min_precision=0.9)
    assert [*predict_frame(ModelCopy.from_model(model), frame, options=options).columns] == columns
