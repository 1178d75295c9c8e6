"""Counts of the texts that a server answered, from its daily sums."""

from __future__ import annotations

import csv
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import slugline
from served_days import FIRST, draw_texts, serve_days, train_news
from slugline.errors import DataError
from slugline.serving.metrics import Metrics
from slugline.serving.requests import Cells
from slugline.serving.served_models import ServedModel, add_columns
from slugline.serving.watch.counts import DayCountOptions, count_days
from slugline.serving.watch.kept_texts import KeptTexts
from slugline.serving.watch.recorder import Watch, watched_model
from slugline.serving.watch.store import WatchStore, is_watch_file


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    """Return a model whose topics are equally common in training."""
    return ServedModel.load(str(train_news(tmp_path_factory.mktemp("models") / "news.slug")))


@pytest.fixture
def path(model: ServedModel, tmp_path: Path) -> Path:
    """Return a file in which grain becomes the most common topic in February."""
    path = tmp_path / "watch.db"
    with WatchStore(path) as store:
        serve_days(store, model, [(20, 20, 20)] * 27 + [(5, 50, 5)] * 28)
    return path


def test_count_days_corrects_shares_by_period(model: ServedModel, path: Path) -> None:
    counts = count_days(path, model.fitted, watched_model(model), DayCountOptions(by="month"))
    january, february = counts.groups
    assert [group.name for group in counts.groups] == ["2026-01", "2026-02"]
    assert january.n_texts == 27 * 60
    for group, share in ((january, 1 / 3), (february, 5 / 6)):
        low, high = group.topics[1].interval
        assert low - 0.03 < share < high + 0.03
    assert counts.significant_changes[0].topic == "grain"
    assert counts.n_texts == counts.total.n_texts == 55 * 60


def test_count_days_since_a_day(model: ServedModel, path: Path) -> None:
    since = FIRST + datetime.timedelta(27)
    counts = count_days(path, model.fitted, watched_model(model), DayCountOptions(since=since))
    assert counts.n_texts == 28 * 60
    assert counts.total.topics[1].share == pytest.approx(5 / 6, abs=0.08)


def test_count_days_names_the_models_that_answered(model: ServedModel, path: Path) -> None:
    other = watched_model(model)._replace(name="mails", digest="0123456789ab")
    with pytest.raises(DataError) as caught:
        count_days(path, model.fitted, other)
    assert str(caught.value) == (
        f"{path} contains no texts answered by version 0123456789ab of mails, or another "
        f"version with its topics. It contains texts of news {model.digest}; use that model's file."
    )
    options = DayCountOptions(since=datetime.date(2027, 1, 1))
    with pytest.raises(DataError, match=r"watch\.db contains no texts since 2027-01-01\."):
        count_days(path, model.fitted, watched_model(model), options)


def test_count_days_counts_texts_of_other_versions(model: ServedModel, path: Path) -> None:
    later = watched_model(model)._replace(digest="0123456789ab")
    counts = count_days(path, model.fitted, later)
    assert counts.n_texts == 55 * 60
    assert (
        "Other versions of the model answered 3,300 of 3,300 texts; these counts assume that they "
        "make the same errors as this one." in counts.concerns
    )
    assert count_days(path, model.fitted, watched_model(model)).concerns == ()


def test_is_watch_file_by_its_header(path: Path, tmp_path: Path) -> None:
    assert is_watch_file(path)
    (tmp_path / "text.csv").write_text("text\n")
    assert not is_watch_file(tmp_path / "text.csv")
    assert not is_watch_file(tmp_path / "none")
    assert not is_watch_file("-")


def test_count_command_reads_daily_sums(
    run: Callable[..., Any], model: ServedModel, path: Path
) -> None:
    found = run("count", model.path, path, "--since", "2026-02-01", "--json")
    assert found.code == 0, found.err
    assert json.loads(found.out)["n_texts"] == 28 * 60
    found = run("count", model.path, path, "--by", "month")
    assert "\n2026-02  1,680  " in found.out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--since", "03/04/2026"], "--since '03/04/2026' is not a date; write it as"),
        (
            ["--separator", ";"],
            "--separator requires texts, but daily sums contain none; remove it.",
        ),
        (["--since", "tomorrow"], "--since 'tomorrow' is not a date; write it as 2026-03-01."),
        (["--by", "colour"], "--by 'colour' is not a period, and daily sums have no columns"),
        (["--text", "body"], "--text requires texts, but daily sums contain none; remove it."),
    ],
)
def test_count_command_rejects_options_of_texts(
    run: Callable[..., Any], model: ServedModel, path: Path, options: list[str], message: str
) -> None:
    found = run("count", model.path, path, *options)
    assert found.code in (1, 2)
    assert message in " ".join(found.err.split())


def test_count_command_since_needs_daily_sums(
    run: Callable[..., Any], model: ServedModel, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text("text\n" + "wheat\n" * 50)
    found = run("count", model.path, "new.csv", "--since", "2026-01-01")
    assert found.code == 1
    assert "new.csv holds no daily sums" in found.err


def test_count_days_counts_the_answers_that_a_count_of_the_texts_counts(
    model: ServedModel, tmp_path: Path
) -> None:
    texts, _ = draw_texts([30, 50, 20], seed=5)
    texts += ["gibberish qwertz", ""]
    watch = Watch(Metrics(), WatchStore(tmp_path / "texts.db"))
    watch.add(model, model.answer(texts))
    watch.close()
    by_days = count_days(tmp_path / "texts.db", model.fitted, watched_model(model)).total
    by_texts = slugline.count(str(model.path), texts).counts.total
    assert [topic.n_answers for topic in by_days.topics] == [
        topic.n_answers for topic in by_texts.topics
    ]
    assert sum(topic.n_answers or 0 for topic in by_days.topics) == len(texts) - 1  # one is empty


def serve_texts(model: ServedModel, path: Path, days: list[list[str]]) -> None:
    """Answer texts on successive days."""
    today = [FIRST]
    watch = Watch(Metrics(), WatchStore(path), today=lambda: today[0])
    for texts in days:
        watch.add(model, model.answer(texts))
        watch.write()
        today[0] += datetime.timedelta(1)
    watch.close()


def test_count_days_warns_as_a_count_of_the_texts_does(model: ServedModel, tmp_path: Path) -> None:
    usual, _ = draw_texts([20, 20, 20])
    foreign = ["la réunion du conseil est reportée", "il faut payer avant la fin du mois"] * 20
    serve_texts(model, tmp_path / "texts.db", [usual, foreign, ["wheat"]])
    options = DayCountOptions(by="day", today=datetime.date(2026, 1, 8))
    counts = count_days(tmp_path / "texts.db", model.fitted, watched_model(model), options)
    days = [str(FIRST + datetime.timedelta(n)) for n in range(3)]
    table = tmp_path / "texts.csv"
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "date"])
        for day, texts in zip(days, (usual, foreign, ["wheat"]), strict=True):
            writer.writerows((text, day) for text in texts)
    by_texts = slugline.count(str(model.path), table, text="text", by="day").counts
    assert counts.concerns[0].startswith(f"Don't trust the counts of {days[1]}: ")
    assert counts.concerns == by_texts.concerns
    assert counts.significant_changes == ()


def test_count_days_says_that_a_period_is_not_over(model: ServedModel, tmp_path: Path) -> None:
    path = tmp_path / "short.db"
    with WatchStore(path) as store:
        serve_days(store, model, [(5, 5, 5)] * 2)
    sentence = "2026-W02 is not over; it contains the texts answered so far."
    for days, is_over in ((1, False), (7, True)):
        options = DayCountOptions(by="week", today=FIRST + datetime.timedelta(days))
        counts = count_days(path, model.fitted, watched_model(model), options)
        assert counts.concerns == (() if is_over else (sentence,))


def test_count_command_refuses_a_model_without_heldout_predictions(
    run: Callable[..., Any], path: Path, tmp_path: Path
) -> None:
    classifier = slugline.TopicClassifier()
    classifier.partial_fit(
        ["wheat", "goal"] * 5, ["grain", "sport"] * 5, classes=["grain", "sport"]
    )
    classifier.save(tmp_path / "batches.slug")
    found = run("count", "batches.slug", path)
    assert found.code == 1
    assert "the model has no held-out predictions" in found.err
    assert "--min-precision 0.9, or label some of the texts" in found.err


# Labels -------------------------------------------------------------------------------------------

DAYS = [(10, 10, 10)] * 20 + [(10, 280, 10)] * 20


@pytest.fixture
def texts_path(model: ServedModel, tmp_path: Path) -> Path:
    """Return a file of 20 quiet days and 20 busy ones, with texts that were kept."""
    path = tmp_path / "texts.db"
    with WatchStore(path) as store:
        serve_days(store, model, DAYS, n_kept=8, seed=0)
    return path


def write_labels(run: Callable[..., Any], model: ServedModel, path: Path, *args: object) -> Path:
    """Write the texts that were kept, with their topics; grain is called sport half of the time."""
    table = path.with_name("labels.csv")
    found = run("sample", model.path, path, "-o", table, *args)
    assert found.code == 0, found.err
    topics = {
        text: topic
        for number, counts in enumerate(DAYS)
        for text, topic in zip(*draw_texts(counts, seed=number), strict=True)
    }
    with table.open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]
    assert {*rows[0]} == {"topic", "text", "day"}
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0]])
        writer.writeheader()
        for number, row in enumerate(rows):
            topic = topics[row["text"]]
            is_renamed = topic == "grain" and number % 2 == 0
            writer.writerow(row | {"topic": "sport" if is_renamed else topic})
    return table


def test_count_by_labels_weighs_days_by_their_texts(
    run: Callable[..., Any], model: ServedModel, texts_path: Path
) -> None:
    labels = write_labels(run, model, texts_path)
    found = run("count", model.path, texts_path, "--labelled", labels, "--json")
    assert found.code == 0, found.err
    counts = json.loads(found.out)
    assert (counts["n_texts"], counts["n_labelled"]) == (6600, 320)
    by_topic = {each["topic"]: each for each in counts["topics"]}
    # Of 6,600 texts, 5,800 are about grain, half of which labels call sport.
    for topic, share in (("grain", 2900 / 6600), ("sport", 3300 / 6600), ("bank", 400 / 6600)):
        assert by_topic[topic]["low"] < share < by_topic[topic]["high"]
        assert by_topic[topic]["share"] == pytest.approx(share, abs=0.06)


def test_count_by_labels_and_by_month(
    run: Callable[..., Any], model: ServedModel, texts_path: Path
) -> None:
    labels = write_labels(run, model, texts_path)
    options = ("--labelled", labels, "--by", "month", "--since", "2026-01-10", "--json")
    counts = json.loads(run("count", model.path, texts_path, *options).out)
    assert [group["name"] for group in counts["groups"]] == ["2026-01", "2026-02"]
    assert counts["n_labelled"] == 8 * 35
    assert "40 of 320 labelled texts are not among" in " ".join(counts["concerns"])


def test_count_says_of_how_many_texts_none_were_kept(
    run: Callable[..., Any], model: ServedModel, texts_path: Path
) -> None:
    labels = write_labels(run, model, texts_path)
    with WatchStore(texts_path) as store:
        serve_days(store, model, [(50, 50, 50)] * 2, first=40)
    found = run("count", model.path, texts_path, "--labelled", labels)
    assert "300 of 6,900 texts are from times without kept texts" in found.err


def test_count_with_labels_of_other_texts_is_an_error(
    run: Callable[..., Any], model: ServedModel, texts_path: Path, path: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "others.csv"
    labels.write_text("text,topic\nwheat,grain\ngoal,sport\n", encoding="utf-8")
    found = run("count", model.path, texts_path, "--labelled", labels)
    assert (found.code, "none of the 2 labelled texts" in found.err) == (1, True)
    found = run("count", model.path, path, "--labelled", labels)
    assert found.code == 1
    assert "watch.db contains no texts to match labels to" in found.err


def test_count_plans_labels_of_kept_texts(
    run: Callable[..., Any], model: ServedModel, texts_path: Path
) -> None:
    found = run("count", model.path, texts_path, "--json")
    assert 15 <= json.loads(found.out)["plan"]["n_texts"] <= 6000


def test_sample_writes_texts_in_random_order(
    run: Callable[..., Any], model: ServedModel, texts_path: Path
) -> None:
    rows = run("sample", model.path, texts_path, "--since", "2026-01-26").out.splitlines()
    days = [row.rpartition(",")[2] for row in rows[1:]]
    assert len(days) == 8 * 19
    assert days != sorted(days)
    assert rows != run("sample", model.path, texts_path, "--seed", "1").out.splitlines()
    found = run("sample", model.path, texts_path, "--since", "2027-01-01")
    assert found.code == 1
    assert "texts.db contains no texts answered by news since 2027-01-01" in found.err


def test_sample_deletes_texts(
    run: Callable[..., Any], model: ServedModel, texts_path: Path, tmp_path: Path
) -> None:
    found = run("sample", model.path, texts_path, "--delete")
    assert f"deleted 320 kept texts from {texts_path}" in found.out
    assert b"wheat" not in texts_path.read_bytes()
    assert run("count", model.path, texts_path).code == 0
    assert run("sample", model.path, texts_path, "--delete", "-o", "x.csv").code == 2
    assert run("sample", model.path, tmp_path / "none.db", "--delete").code == 1


def test_kept_texts_have_the_columns_that_were_sent(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    texts, topics = draw_texts([40, 40, 40])
    columns: list[Cells] = [{"desk": "east" if topic == "grain" else "west"} for topic in topics]
    rows = [{"text": t, "topic": y, **c} for t, y, c in zip(texts, topics, columns, strict=True)]
    model_path = tmp_path / "desks.slug"
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    assert run("train", "rows.json", "--column", "desk", "-o", model_path).code == 0
    model = ServedModel.load(str(model_path))
    watch = Watch(Metrics(), WatchStore(tmp_path / "desks.db"), n_kept=500)
    sent, _ = add_columns(model, texts, columns)
    watch.add(model, model.answer(sent))
    watch.close()
    with WatchStore(tmp_path / "desks.db", is_read_only=True) as store:
        kept = KeptTexts.read(store, model.digest, FIRST).texts
    proba = model.fitted.predict_proba([each.text for each in kept])
    assert np.sort(proba[:, 1]) == pytest.approx(
        np.sort(model.fitted.predict_proba(sent)[:, 1]), abs=1e-6
    )
    table = run("sample", model_path, tmp_path / "desks.db").out.splitlines()
    assert table[0] == "topic,text,desk,day"
    assert {row.split(",")[2] for row in table[1:]} == {"east", "west"}
