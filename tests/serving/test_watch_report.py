"""What the daily sums of a model say: shares, bands, and alerts that are given once."""

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
from slugline.serving.watch.alerts import AlertCheck, describe_alert
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.report import WatchReport, make_report, update_alerts
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
    found = make_report(store, model, today)
    assert found is not None
    return found


USUAL, MORE_GRAIN = (40, 40, 40), (15, 90, 15)


# Shares -------------------------------------------------------------------------------------------


def test_report_corrects_shares_for_the_errors_of_the_model(
    store: WatchStore, model: ServedModel
) -> None:
    today = serve_days(store, model, [(20, 200, 20)] * 4)
    found = report(store, model, today)
    assert found.is_corrected
    grain = found.topics[1]
    assert grain.topic == "grain"
    assert grain.training == pytest.approx(1 / 3)
    assert grain.recent is not None
    assert grain.recent.interval.low < 200 / 240 < grain.recent.interval.high
    for day in found.days[:-1]:
        assert sum(share.value for share in day.shares.values()) == pytest.approx(1)
        assert day.shares[1].interval.low < 200 / 240 < day.shares[1].interval.high


def test_report_intervals_are_narrower_for_more_texts(
    store: WatchStore, model: ServedModel
) -> None:
    today = serve_days(store, model, [(10, 10, 10), (400, 400, 400)])
    few, many, _ = report(store, model, today).days
    for topic in range(3):
        widths = [day.shares[topic].interval for day in (few, many)]
        assert widths[0].high - widths[0].low > 1.5 * (widths[1].high - widths[1].low)


def test_report_shows_days_without_texts(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [USUAL, (0, 0, 0), USUAL])
    days = report(store, model, today).days
    assert [day.n_texts for day in days] == [120, 0, 120, 0]
    assert days[1][2:] == (0, None, None, {})


def test_report_on_the_first_day(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [(1, 0, 0)]) - datetime.timedelta(1)
    found = report(store, model, today)
    assert [day.n_texts for day in found.days] == [1]
    assert found.alerts == ()


def test_report_ignores_days_of_a_clock_that_was_ahead(
    store: WatchStore, model: ServedModel
) -> None:
    serve_days(store, model, [USUAL, USUAL])
    assert [day.n_texts for day in report(store, model, FIRST).days] == [120]
    assert make_report(store, model, FIRST - datetime.timedelta(1)) is None


def test_report_shows_the_last_days_of_many(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [(2, 2, 2)] * 80)
    days = report(store, model, today).days
    assert len(days) == 60
    assert days[-1].day == today


def test_report_of_a_model_without_heldout_predictions_is_not_corrected(
    store: WatchStore, model: ServedModel, tmp_path: Path
) -> None:
    texts, topics = draw_texts([30, 30, 30])
    classifier = TopicClassifier()
    for part in (slice(0, None, 2), slice(1, None, 2)):
        classifier.partial_fit(texts[part], topics[part], classes=sorted({*topics}))
    classifier.save(tmp_path / "batches.slug")
    other = ServedModel.load(str(tmp_path / "batches.slug"))
    assert other.fitted.heldout_predictions is None
    today = serve_days(store, other, [USUAL] * 40)
    found = report(store, other, today)
    assert not found.is_corrected
    assert found.days[0].shares[0].interval.low > 0
    # Without them, the first four weeks show what is usual.
    assert {baseline.kind for baseline in found.baselines.values()} == {"first days"}
    assert found.baselines["topic 0"].after == FIRST + datetime.timedelta(27)


def test_report_of_a_multilabel_model(store: WatchStore, tmp_path: Path) -> None:
    texts, topics = draw_texts([60, 60, 60])
    sets = [(topic,) for topic in topics]
    both = [f"{a} {b}" for a, b in zip(texts[:60], texts[60:120], strict=True)]
    TopicClassifier(min_precision=0.7, encoder=None).fit(
        [*texts, *both], [*sets, *[("bank", "grain")] * 60]
    ).save(tmp_path / "sets.slug")
    model = ServedModel.load(str(tmp_path / "sets.slug"))
    today = serve_days(store, model, [(20, 100, 20)] * 3)
    found = report(store, model, today)
    shares = [each.recent.value for each in found.topics if each.recent is not None]
    assert len(shares) == 3
    assert max(shares) == shares[1]
    assert {*found.days[0].shares} == {0, 1, 2}


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


# Alerts -------------------------------------------------------------------------------------------


def test_alerts_are_raised_once_and_say_since_when(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [USUAL] * 20)
    assert update_alerts(store, model, today) == []
    today = serve_days(store, model, [MORE_GRAIN] * 8, first=20)
    [*alerts] = update_alerts(store, model, today)
    assert "grain" in {alert.topic for alert in alerts}
    assert update_alerts(store, model, today) == []
    [grain] = [alert for alert in report(store, model, today).alerts if alert.topic == "grain"]
    assert abs((grain.alert.began - FIRST).days - 20) <= 1
    assert grain.value == pytest.approx(0.75, abs=0.08)
    assert not grain.is_mean


def test_alerts_wait_until_a_day_is_over(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [USUAL] * 20 + [MORE_GRAIN] * 8)
    assert update_alerts(store, model, FIRST + datetime.timedelta(20)) == []
    assert update_alerts(store, model, today) != []


def test_alerts_about_unsure_answers_and_unknown_words(
    store: WatchStore, model: ServedModel
) -> None:
    today = [FIRST]
    watch = Watch(Metrics(), store, today=lambda: today[0])
    for number in range(30):
        today[0] = FIRST + datetime.timedelta(number)
        texts, _ = draw_texts(USUAL, seed=number)
        if number >= 20:
            texts = [f"{text} zzz{number} yyy{number} xxx{number} www" for text in texts]
        watch.add(model, model.answer(texts))
        watch.write()
    alerts = update_alerts(store, model, today[0])
    assert {"unsure", "unknown words"} <= {alert.alert.series for alert in alerts}


def test_alert_that_is_accepted_makes_the_new_normal(store: WatchStore, model: ServedModel) -> None:
    today = serve_days(store, model, [USUAL] * 10 + [MORE_GRAIN] * 10)
    update_alerts(store, model, today)
    for alert in store.alerts(model.digest):
        assert store.accept(model.digest, alert.series, today)
    found = report(store, model, today)
    assert found.alerts == ()
    baseline = found.baselines["topic 1"]
    assert baseline.kind == "accepted"
    assert baseline.band.low > 0.5
    today = serve_days(store, model, [MORE_GRAIN] * 20, first=21)
    assert "grain" not in {alert.topic for alert in update_alerts(store, model, today)}
    today = serve_days(store, model, [USUAL] * 12, first=41)
    alerts = update_alerts(store, model, today)
    assert "grain" in {alert.topic for alert in alerts}


def test_alert_that_is_accepted_makes_a_band_of_the_shares_that_are_shown(
    store: WatchStore, model: ServedModel
) -> None:
    today = serve_days(store, model, [USUAL] * 10 + [MORE_GRAIN] * 12)
    update_alerts(store, model, today)
    for alert in store.alerts(model.digest):
        store.accept(model.digest, alert.series, today)
    today = serve_days(store, model, [MORE_GRAIN] * 3, first=23)
    found = report(store, model, today)
    low, high = found.baselines["topic 1"].band
    assert all(low < day.shares[1].value < high for day in found.days[-4:-1])
    today = serve_days(store, model, [USUAL] * 20, first=26)
    grain = next(each for each in update_alerts(store, model, today) if each.topic == "grain")
    assert grain.value == pytest.approx(1 / 3, abs=0.1)
    assert grain.baseline == found.baselines["topic 1"]


def test_alert_check_logs_an_alert_once_a_day_at_most(
    store: WatchStore, model: ServedModel, caplog: pytest.LogCaptureFixture
) -> None:
    today = serve_days(store, model, [USUAL] * 20 + [MORE_GRAIN] * 8)
    metrics = Metrics()
    check = AlertCheck(ServedModels([model]), metrics)
    with caplog.at_level(logging.WARNING, "slugline.server"):
        for _ in range(3):
            check(store, today)
    found = [line for line in caplog.messages if "share of grain" in line]
    assert len(found) == 1
    assert f"slugline_alerts_total {len(caplog.messages)}\n" in metrics.text()
    assert re.fullmatch(
        r"news: Since 2\d January 2026, the share of grain is \d\d %; by training, \d\d to \d\d % "
        r"is expected\.",
        found[0],
    )


def test_alert_check_repeats_a_check_that_failed(
    store: WatchStore, model: ServedModel, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    today = serve_days(store, model, [USUAL] * 20 + [MORE_GRAIN] * 8)
    check = AlertCheck(ServedModels([model]), Metrics())
    with WatchStore(tmp_path / "closed.db") as closed:
        pass
    for _ in range(2):
        check(closed, today)
    assert len([line for line in caplog.messages if "can't be tested for changes" in line]) == 1
    check(store, today)
    assert "share of grain" in caplog.text


# Versions -----------------------------------------------------------------------------------------


def make_version(
    folder: Path, counts: tuple[int, int, int], *, in_batches: bool = False
) -> ServedModel:
    """Return a version of the model that learned so many texts of each topic."""
    texts, topics = draw_texts(counts, seed=sum(counts))
    classifier = TopicClassifier(min_precision=None if in_batches else 0.8, encoder=None)
    if in_batches:
        classifier.partial_fit(texts, topics, classes=sorted({*topics}))
    else:
        classifier.fit(texts, topics)
    folder.mkdir()
    classifier.save(folder / "news.slug")
    return ServedModel.load(str(folder / "news.slug"))


def test_series_go_on_with_a_new_version(
    store: WatchStore, model: ServedModel, tmp_path: Path
) -> None:
    later = make_version(tmp_path / "later", (130, 130, 130))
    today = serve_days(store, model, [USUAL] * 20)
    assert update_alerts(store, model, today) == []
    today = serve_days(store, later, [USUAL] + [MORE_GRAIN] * 8, first=20)
    alerts = update_alerts(store, later, today)
    assert "grain" in {alert.topic for alert in alerts}
    found = report(store, later, today)
    assert [day.n_texts for day in found.days[:-1]] == [120] * 29
    assert found.version_since == FIRST + datetime.timedelta(20)
    # A version that nobody has asked yet has them, too.
    newest = make_version(tmp_path / "newest", (125, 125, 125))
    assert update_alerts(store, newest, today) == []
    assert len(report(store, newest, today).alerts) == len(alerts)


def test_series_of_many_versions_have_a_baseline_by_the_first_days(
    store: WatchStore, tmp_path: Path
) -> None:
    for number in range(3):
        counts = (30 + number, 30, 30)
        version = make_version(tmp_path / f"{number}", counts, in_batches=True)
        today = serve_days(store, version, [USUAL] * 10, first=10 * number)
        update_alerts(store, version, today)
    found = report(store, version, today)
    assert found.baselines["topic 1"].kind == "first days"
    assert found.baselines["topic 1"].after == FIRST + datetime.timedelta(27)
    today = serve_days(store, version, [MORE_GRAIN] * 8, first=30)
    assert "grain" in {alert.topic for alert in update_alerts(store, version, today)}


def test_alert_is_closed_by_a_version_that_learned_from_such_texts(
    store: WatchStore, model: ServedModel, tmp_path: Path
) -> None:
    today = serve_days(store, model, [USUAL] * 10 + [MORE_GRAIN] * 10)
    assert "grain" in {alert.topic for alert in update_alerts(store, model, today)}
    same = make_version(tmp_path / "same", (130, 130, 130))
    today = serve_days(store, same, [MORE_GRAIN] * 2, first=20)
    update_alerts(store, same, today)
    assert "grain" in {alert.topic for alert in report(store, same, today).alerts}
    learned = make_version(tmp_path / "learned", (80, 480, 80))
    today = serve_days(store, learned, [MORE_GRAIN] * 10, first=22)
    assert update_alerts(store, learned, today) == []
    found = report(store, learned, today)
    assert found.alerts == ()
    assert found.baselines["topic 1"].kind == "training"
    today = serve_days(store, learned, [USUAL] * 10, first=32)
    assert "grain" in {alert.topic for alert in update_alerts(store, learned, today)}


# The page -----------------------------------------------------------------------------------------


def make_page(path: Path, tmp_path: Path, **settings: Any) -> Any:
    """Return a client of a server whose file has an alert about grain, and its store."""
    state = make_state(path, watch=tmp_path / "watch.db", **settings)
    watch = state.service.watch
    assert watch is not None
    assert watch.store is not None
    model = state.service.models.default
    today = serve_days(watch.store, model, [USUAL] * 20 + [MORE_GRAIN] * 8)
    watch.today = lambda: today
    update_alerts(watch.store, model, today)
    return state, client(state)


def test_page_shows_days_alerts_and_charts(path: Path, tmp_path: Path) -> None:
    state, page = make_page(path, tmp_path)
    html = page.get("/model").text
    assert "the share of grain is" in html
    assert html.count("<svg role") == 5
    assert " style=" not in html
    assert "<summary>The numbers of each day</summary>" in html
    assert html.count("<time datetime") == 29
    state.service.close()


def test_page_says_of_an_alert_what_the_log_said(path: Path, tmp_path: Path) -> None:
    state = make_state(path, watch=tmp_path / "watch.db")
    watch, model = state.service.watch, state.service.models.default
    assert watch is not None
    assert watch.store is not None
    today = serve_days(watch.store, model, [USUAL] * 20 + [MORE_GRAIN] * 8)
    [sentence] = [
        describe_alert(each)
        for each in update_alerts(watch.store, model, today)
        if each.topic == "grain"
    ]
    serve_days(watch.store, model, [(0, 300, 0)], first=28)  # today, which is not over
    watch.today = lambda: today
    html = client(state).get("/model").text
    assert sentence.replace(" %", "\N{NO-BREAK SPACE}%") in html
    state.service.close()


def test_page_has_no_chart_of_unsure_answers_if_all_texts_are_answered(tmp_path: Path) -> None:
    texts, topics = draw_texts([40, 40, 40])
    TopicClassifier(min_precision=None, encoder=None).fit(texts, topics).save(tmp_path / "m.slug")
    state, page = make_page(tmp_path / "m.slug", tmp_path)
    html = page.get("/model").text
    assert ("Unsure answers" in html, "Unknown words" in html) == (False, True)
    state.service.close()


def test_page_accepts_a_change(path: Path, tmp_path: Path) -> None:
    state, page = make_page(path, tmp_path)
    html = page.get("/model").text
    series = re.findall(r'name="series" value="([^"]+)"', html)
    assert "topic 1" in series
    for each in [*series, "unknown", ""]:
        found = page.post("/accept", data={"series": each}, follow_redirects=False)
        assert (found.status_code, found.headers["location"]) == (303, "/model#days")
    html = page.get("/model").text
    assert "Nothing has changed more than chance explains." in html
    assert "expected since the last accepted change" in html
    state.service.close()


def test_page_lets_only_named_people_accept_a_change(path: Path, tmp_path: Path) -> None:
    tokens = ("anna 0123456789abcdef", "fedcba9876543210")
    state, page = make_page(path, tmp_path, tokens=tokens)
    nobody = {"Authorization": "Bearer fedcba9876543210"}
    assert "This is the new normal" not in page.get("/model", headers=nobody).text
    found = page.post("/accept", data={"series": "topic 1"}, headers=nobody)
    assert found.status_code == 403
    assert "Changes are accepted by people whose tokens have a name." in found.text
    anna = {"Authorization": "Bearer 0123456789abcdef"}
    page.post("/accept", data={"series": "topic 1"}, headers=anna, follow_redirects=False)
    store = state.service.watch.store
    people = {
        alert.series: alert.person for alert in store.alerts(state.service.models.default.digest)
    }
    assert people["topic 1"] == "anna"
    state.service.close()


def test_page_without_texts_or_file(path: Path, tmp_path: Path) -> None:
    state = make_state(path, watch=tmp_path / "watch.db")
    assert "No program has sent a text yet." in client(state).get("/model").text
    state.service.close()
    assert 'id="days"' not in client(make_state(path)).get("/model").text


def test_page_folds_up_more_than_some_alerts(path: Path, tmp_path: Path) -> None:
    state, page = make_page(path, tmp_path)
    watch, model = state.service.watch, state.service.models.default
    for series in ("topic 0", "topic 1", "topic 2", "unsure", "unknown words"):
        watch.store.add_alert(model.digest, StoredAlert(series, FIRST, FIRST))
    html = page.get("/model").text
    before, _, after = html.partition("<summary>1 more change</summary>")
    assert (before.count('class="notice alert"'), after.count('class="notice alert"')) == (4, 1)
    state.service.close()


def test_page_marks_no_change_that_began_before_the_days_of_the_charts(
    path: Path, tmp_path: Path
) -> None:
    state = make_state(path, watch=tmp_path / "watch.db")
    watch, model = state.service.watch, state.service.models.default
    assert watch is not None
    assert watch.store is not None
    today = serve_days(watch.store, model, [(2, 9, 2)] * 65)
    watch.today = lambda: today
    watch.store.add_alert(model.digest, StoredAlert("topic 1", FIRST, FIRST))
    html = client(state).get("/model").text
    assert "has changed: since 11 January 2026, it is" in html
    assert "since 5 Jan<" not in html
    state.service.close()


def test_page_scales_charts_by_days_with_many_texts(path: Path, tmp_path: Path) -> None:
    state = make_state(path, watch=tmp_path / "watch.db")
    watch = state.service.watch
    assert watch is not None
    assert watch.store is not None
    days = [(100, 5, 100), (100, 5, 100), (1, 0, 0), (100, 5, 100)]
    today = serve_days(watch.store, state.service.models.default, days)
    watch.today = lambda: today
    html = client(state).get("/model").text
    grain = re.search(r"<bdi>grain</bdi>.*?</svg>", html, re.DOTALL)
    assert grain is not None
    percentages = [int(each) for each in re.findall(r">(\d+)\xa0%</text>", grain[0])]
    assert max(percentages) <= 40
    state.service.close()


def test_page_says_that_no_day_was_tested(path: Path, tmp_path: Path) -> None:
    state = make_state(path, watch=tmp_path / "watch.db")
    page = client(state)
    page.post("/v1/classify", json={"text": "wheat"})
    html = page.get("/model").text
    assert "No day is over yet: changes are looked for on the day after." in html
    assert "Nothing has changed" not in html
    assert "Charts begin on the second day." in html
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
    html = page.get("/model").text
    assert "<img" not in html
    state.service.close()


def test_stored_alert_about_an_unknown_series_is_ignored(
    store: WatchStore, model: ServedModel
) -> None:
    today = serve_days(store, model, [USUAL])
    last = datetime.date(9999, 12, 31)
    for series in ("topic 99", "else", "topic 1"):
        store.add_alert(model.digest, StoredAlert(series, FIRST, last))
        store.accept(model.digest, series, last)
    assert report(store, model, today).alerts == ()
    assert update_alerts(store, model, today) == []
