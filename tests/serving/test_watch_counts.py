"""Counts of the texts that a server answered, from its daily sums."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import slugline
from served_days import FIRST, draw_texts, serve_days, train_news
from slugline.errors import DataError
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.counts import count_days
from slugline.serving.watch.recorder import Watch
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
    counts = count_days(path, model.fitted, model.digest, by="month")
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
    counts = count_days(path, model.fitted, model.digest, since=since)
    assert counts.n_texts == 28 * 60
    assert counts.total.topics[1].share == pytest.approx(5 / 6, abs=0.08)


def test_count_days_names_the_versions_that_answered(model: ServedModel, path: Path) -> None:
    with pytest.raises(DataError) as caught:
        count_days(path, model.fitted, "0123456789ab")
    assert str(caught.value) == (
        f"{path} has no texts that version 0123456789ab of the model answered, but those of news "
        f"{model.digest}; give the file of the version that answered."
    )
    with pytest.raises(DataError, match=r"watch\.db has no texts since 2027-01-01\."):
        count_days(path, model.fitted, model.digest, since=datetime.date(2027, 1, 1))


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
        (["--since", "03/04/2026"], "--since '03/04/2026' is not a day; give one such as"),
        (["--separator", ";"], "--separator needs texts, and daily sums have none; leave it out."),
        (["--since", "tomorrow"], "--since 'tomorrow' is not a day; give one such as 2026-03-01."),
        (["--by", "colour"], "--by 'colour' is no period, and daily sums have no columns"),
        (["--text", "body"], "--text needs texts, and daily sums have none; leave it out."),
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
    by_days = count_days(tmp_path / "texts.db", model.fitted, model.digest).total
    by_texts = slugline.count(str(model.path), texts).counts.total
    assert [topic.n_answers for topic in by_days.topics] == [
        topic.n_answers for topic in by_texts.topics
    ]
    assert sum(topic.n_answers or 0 for topic in by_days.topics) == len(texts) - 1  # one is empty


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
    assert "the model has no held-out answers" in found.err
    assert "--min-precision 0.9." in found.err
