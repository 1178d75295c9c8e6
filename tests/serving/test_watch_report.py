"""What the daily sums of a model say: answers by day, shares by week, and alerts."""

from __future__ import annotations

import datetime
import logging
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from served_days import FIRST, draw_texts, serve_days, train_news
from server import client, make_state
from slugline.classifier import TopicClassifier
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import ServedModel, ServedModels
from slugline.serving.watch.alerts import WeeklyCheck, add_alerts, count_weeks, describe_alert
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.report import WatchReport, make_report
from slugline.serving.watch.store import StoredAlert, WatchStore


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model whose topics are equally common in training."""
    return train_news(tmp_path_factory.mktemp("models") / "news.slug")


@pytest.fixture(scope="module")
def model(path: Path) -> ServedModel:
    """Return the model."""
    return ServedModel.load(str(path))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[WatchStore]:
    """Return an empty file of daily sums."""
    with WatchStore(tmp_path / "watch.db") as found:
        yield found


def report(store: WatchStore, model: ServedModel, today: datetime.date) -> WatchReport:
    found = make_report(store, model, today, count_weeks(store, model, today))
    assert found is not None
    return found


def find_alerts(store: WatchStore, model: ServedModel, today: datetime.date) -> list[StoredAlert]:
    counts = count_weeks(store, model, today)
    return [] if counts is None else add_alerts(store, model, counts, today)


USUAL, MORE_GRAIN = (40, 40, 40), (15, 90, 15)
#: Three weeks as usual, and two in which grain is more common.
CHANGED = [USUAL] * 21 + [MORE_GRAIN] * 14


# Days ---------------------------------------------------------------------------------------------


def test_report_shows_days_without_texts(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [USUAL, (0, 0, 0), USUAL])
    days = report(store, model, today).days
    assert [day.n_texts for day in days] == [120, 0, 120, 0]
    assert sum(days[0].answers.values()) == 120
    assert days[1].answers == dict.fromkeys(days[0].answers, 0)


def test_report_on_the_first_day(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [(1, 0, 0)]) - datetime.timedelta(1)
    found = report(store, model, today)
    assert [day.n_texts for day in found.days] == [1]
    assert (found.weeks, found.alerts) == (None, ())


def test_report_ignores_days_of_a_clock_that_was_ahead(
    store: WatchStore, model: ServedModel
) -> None:
    serve_days(store, model, [USUAL, USUAL])
    assert [day.n_texts for day in report(store, model, FIRST).days] == [120]
    assert make_report(store, model, FIRST - datetime.timedelta(1), None) is None


def test_report_shows_the_last_days_of_many(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [(2, 2, 2)] * 80)
    days = report(store, model, today).days
    assert len(days) == 60
    assert days[-1].day == today


def test_report_shows_some_of_many_topics(store: WatchStore, tmp_path: Path) -> None:
    names = [f"queue {number} of requests that nobody reads" for number in range(100)]
    TopicClassifier(encoder=None).fit(
        [f"word{n} other{n}" for n in range(100)] * 4, names * 4
    ).save(tmp_path / "many.slug")
    model = ServedModel.load(str(tmp_path / "many.slug"))
    watch = Watch(Metrics(), store, today=lambda: FIRST)
    watch.add(model, model.answer(["word7 other7"] * 30 + ["word1"]))
    watch.write()
    found = report(store, model, FIRST)
    assert found.shown[0] == model.fitted.topics.names.index(names[7])
    assert len(found.shown) == 6
    assert len(found.topics) == 100


# Weeks --------------------------------------------------------------------------------------------


def test_weeks_correct_shares_for_the_errors_of_the_model(
    store: WatchStore, model: ServedModel
) -> None:
    today = serve_days(store, model, [(20, 200, 20)] * 14)
    found = report(store, model, today)
    assert found.weeks is not None
    assert [week.name for week in found.weeks.groups] == ["2026-W02", "2026-W03"]
    assert found.topics[1] == "grain"
    assert found.training[1] == pytest.approx(1 / 3)
    for week in found.weeks.groups:
        low, high = week.find("grain").interval
        assert low < 200 / 240 < high


def test_weeks_that_are_not_over_do_not_count(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [USUAL] * 13)
    found = report(store, model, today)
    assert found.weeks is not None
    assert [week.n_texts for week in found.weeks.groups] == [840]


def test_weeks_of_a_model_without_heldout_predictions_are_not_counted(
    store: WatchStore, tmp_path: Path
) -> None:
    texts, topics = draw_texts([30, 30, 30])
    classifier = TopicClassifier()
    for part in (slice(0, None, 2), slice(1, None, 2)):
        classifier.partial_fit(texts[part], topics[part], classes=sorted({*topics}))
    classifier.save(tmp_path / "batches.slug")
    other = ServedModel.load(str(tmp_path / "batches.slug"))
    assert other.fitted.heldout_predictions is None
    found = report(store, other, serve_days(store, other, [USUAL] * 14))
    assert (found.weeks, found.has_heldout) == (None, False)


def test_weeks_of_a_multilabel_model(store: WatchStore, tmp_path: Path) -> None:
    texts, topics = draw_texts([60, 60, 60])
    sets = [(topic,) for topic in topics]
    both = [f"{a} {b}" for a, b in zip(texts[:60], texts[60:120], strict=True)]
    TopicClassifier(min_precision=0.7, encoder=None).fit(
        [*texts, *both], [*sets, *[("bank", "grain")] * 60]
    ).save(tmp_path / "sets.slug")
    model = ServedModel.load(str(tmp_path / "sets.slug"))
    found = report(store, model, serve_days(store, model, [(20, 100, 20)] * 14))
    assert found.last_week is not None
    assert found.last_week.by_share()[0].topic == "grain"


# Alerts -------------------------------------------------------------------------------------------


def test_alerts_are_raised_once_and_say_since_when(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, CHANGED)
    [alert] = [each for each in find_alerts(store, model, today) if each.topic == "grain"]
    assert (alert.began, alert.raised) == (FIRST + datetime.timedelta(21), today)
    assert alert.before == pytest.approx(1 / 3, abs=0.05)
    assert alert.after == pytest.approx(3 / 4, abs=0.05)
    assert find_alerts(store, model, today) == []
    assert alert in report(store, model, today).alerts


def test_alerts_need_four_weeks(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [USUAL] * 14 + [MORE_GRAIN] * 7)
    assert find_alerts(store, model, today) == []


def test_alerts_need_a_change(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [USUAL] * 42)
    assert find_alerts(store, model, today) == []


def test_alerts_are_not_raised_if_weeks_differ_much(store: WatchStore, model: ServedModel) -> None:
    more, fewer = (40, 55, 40), (40, 30, 40)
    weeks = [more, fewer, fewer, more, fewer, more, more, fewer]
    today = serve_days(store, model, [week for week in weeks for _ in range(7)])
    assert find_alerts(store, model, today) == []


def test_alert_that_is_accepted_makes_the_new_normal(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, CHANGED)
    n_alerts = len(find_alerts(store, model, today))
    assert store.accept(model.digest, today) == n_alerts
    found = report(store, model, today)
    assert found.alerts == ()
    assert found.weeks is not None
    assert len(found.weeks.groups) == 2
    today = serve_days(store, model, [MORE_GRAIN] * 14, first=35)
    assert find_alerts(store, model, today) == []
    today = serve_days(store, model, [USUAL] * 14, first=49)
    assert "grain" in [alert.topic for alert in find_alerts(store, model, today)]


def test_weekly_check_logs_an_alert_once(
    store: WatchStore, model: ServedModel, caplog: pytest.LogCaptureFixture
) -> None:
    today = serve_days(store, model, CHANGED)
    metrics = Metrics()
    check = WeeklyCheck(ServedModels([model]), metrics)
    assert check.counts(model) is None
    with caplog.at_level(logging.WARNING, "slugline.server"):
        for days in range(9):
            check(store, today + datetime.timedelta(days))
    found = [line for line in caplog.messages if "share of grain" in line]
    assert len(found) == 1
    assert f"slugline_alerts_total {len(caplog.messages)}.0\n" in metrics.text()
    assert re.fullmatch(
        r"news: Since the week of 26 January 2026, the share of grain is \d\d %; it was \d\d % "
        r"before\.",
        found[0],
    )
    assert check.counts(model) is not None


def test_weekly_check_repeats_a_check_that_failed(
    store: WatchStore, model: ServedModel, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    today = serve_days(store, model, CHANGED)
    check = WeeklyCheck(ServedModels([model]), Metrics())
    with WatchStore(tmp_path / "closed.db") as closed:
        pass
    for _ in range(2):
        check(closed, today)
    assert len([line for line in caplog.messages if "weekly shares can't be compared" in line]) == 1
    check(store, today)
    assert "share of grain" in caplog.text


# The page -----------------------------------------------------------------------------------------


def make_page(path: Path, tmp_path: Path, **settings: Any) -> Any:
    """Return a client of a server whose file has an alert about grain, and its state."""
    state = make_state(path, watch=tmp_path / "watch.db", **settings)
    watch = state.service.watch
    assert watch is not None
    assert watch.store is not None
    today = serve_days(watch.store, state.service.models.default, CHANGED)
    watch.today = lambda: today
    assert watch.on_written is not None
    watch.on_written(watch.store, today)
    return state, client(state)


def test_page_shows_days_alerts_and_charts(path: Path, tmp_path: Path) -> None:
    state, page = make_page(path, tmp_path)
    html = page.get("/model").text
    [alert] = [
        each
        for each in state.service.watch.store.alerts(state.service.models.default.digest)
        if each.topic == "grain"
    ]
    assert describe_alert(alert).replace(" %", "\N{NO-BREAK SPACE}%") in html
    assert html.count("<svg role") == 3
    assert "since 26 Jan" in html
    assert " style=" not in html
    assert "<summary>Answers by day</summary>" in html
    assert html.count("<time datetime") == 36
    state.service.close()


def test_page_accepts_changes(path: Path, tmp_path: Path) -> None:
    state, page = make_page(path, tmp_path)
    assert page.get("/model").text.count("This is the new normal") == 1
    found = page.post("/accept", data={"all": ""}, follow_redirects=False)
    assert (found.status_code, found.headers["location"]) == (303, "/model#days")
    html = page.get("/model").text
    assert "No change is significant." in html
    assert "This is the new normal" not in html
    state.service.close()


def test_page_lets_only_named_people_accept_changes(path: Path, tmp_path: Path) -> None:
    tokens = ("anna 0123456789abcdef", "fedcba9876543210")
    state, page = make_page(path, tmp_path, tokens=tokens)
    nobody = {"Authorization": "Bearer fedcba9876543210"}
    assert "This is the new normal" not in page.get("/model", headers=nobody).text
    found = page.post("/accept", data={"all": ""}, headers=nobody)
    assert found.status_code == 403
    assert "Only people whose tokens have a name can accept changes." in found.text
    anna = {"Authorization": "Bearer 0123456789abcdef"}
    page.post("/accept", data={"all": ""}, headers=anna, follow_redirects=False)
    alerts = state.service.watch.store.alerts(state.service.models.default.digest)
    assert {alert.person for alert in alerts} == {"anna"}
    state.service.close()


def test_page_without_texts_or_file(path: Path, tmp_path: Path) -> None:
    state = make_state(path, watch=tmp_path / "watch.db")
    assert "No program has sent texts yet." in client(state).get("/model").text
    state.service.close()
    assert 'id="days"' not in client(make_state(path)).get("/model").text


def test_page_folds_up_more_than_some_alerts(path: Path, tmp_path: Path) -> None:
    state, page = make_page(path, tmp_path)
    watch, model = state.service.watch, state.service.models.default
    watch.store.accept(model.digest, watch.today())
    for topic in "abcde":
        watch.store.add_alert(model.digest, StoredAlert(topic, FIRST, FIRST, 0.1, 0.2))
    html = page.get("/model").text
    before, _, after = html.partition("<summary>1 more change</summary>")
    assert (before.count('class="notice alert"'), after.count('class="notice alert"')) == (4, 1)
    state.service.close()


def test_page_says_when_weeks_are_compared(path: Path, tmp_path: Path) -> None:
    state = make_state(path, watch=tmp_path / "watch.db")
    page = client(state)
    page.post("/v1/classify", json={"text": "wheat"})
    html = page.get("/model").text
    assert "Weeks are compared once two whole weeks, Monday to Sunday, are over." in html
    assert "<svg role" not in html
    state.service.close()


def test_page_names_a_damaged_file_and_shows_the_card(path: Path, tmp_path: Path) -> None:
    state, page = make_page(path, tmp_path)
    with closing(sqlite3.connect(tmp_path / "watch.db")) as connection, connection:
        connection.execute("UPDATE days SET sums = x'00'")
    found = page.get("/model")
    assert found.status_code == 200
    assert "The daily sums can’t be read." in found.text
    assert "Made by Slugline" in found.text
    state.service.close()


def test_page_escapes_topics(tmp_path: Path) -> None:
    hostile = '<img src=x onerror="alert(1)"> & "grain"'
    texts, topics = draw_texts([40, 40, 40])
    TopicClassifier(encoder=None).fit(
        texts, [hostile if topic == "grain" else topic for topic in topics]
    ).save(tmp_path / "m.slug")
    state, page = make_page(tmp_path / "m.slug", tmp_path)
    assert "<img" not in page.get("/model").text
    state.service.close()
