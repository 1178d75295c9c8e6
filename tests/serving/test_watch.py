"""Sums over what a server answers: of programs' texts alone, and never in the way of answers."""

from __future__ import annotations

import datetime
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from starlette.testclient import TestClient

from server import client, make_state, running
from slugline.labels.store import LabelStore
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.day_sums import DaySums
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.store import WatchStore
from slugline.serving.web.state import WebState

DAY = datetime.date(2026, 3, 2)
TEXTS = ["the wheat and corn of 3", "the goal and team of 4", "gibberish qwertz", "  "]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of the file of daily sums."""
    return tmp_path / "watch.db"


@pytest.fixture
def state(news_slug: Path, path: Path, tmp_path: Path) -> Iterator[WebState]:
    """Return the state of a server that sums its answers."""
    found = make_state(news_slug, watch=path, corrections=tmp_path / "corrections.db")
    yield found
    found.service.close()


@pytest.fixture
def api(state: WebState) -> TestClient:
    """Return a client of it."""
    return client(state)


def watch_of(state: WebState) -> Watch:
    assert state.service.watch is not None
    return state.service.watch


def read_today(state: WebState) -> DaySums:
    """Write the sums, and return those of today."""
    watch = watch_of(state)
    watch.write()
    assert watch.store is not None
    return watch.store.days(state.service.models.default.digest)[watch.today()]


# What counts --------------------------------------------------------------------------------------


def test_watch_sums_the_texts_of_programs(state: WebState, api: TestClient) -> None:
    assert api.post("/v1/classify", json={"texts": TEXTS}).status_code == 200
    assert api.post("/v1/classify", json={"text": TEXTS[0]}).status_code == 200
    sums = read_today(state)
    model = state.service.models.default
    expected = model.fitted.predict_proba([*TEXTS[:3], TEXTS[0]]).sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(sums.sums, expected, rtol=1e-5)
    assert (sums.n_texts, sums.n_unsure) == (4, 0)  # without the empty one
    assert sums.totals.n_unknown == 2
    assert dict(zip(model.fitted.topics.names, sums.answers.tolist(), strict=True))["grain"] >= 2
    assert sums.answers.sum() == 4


def test_watch_ignores_empty_texts(state: WebState, api: TestClient, path: Path) -> None:
    assert api.post("/v1/classify", json={"texts": ["", " \n"]}).status_code == 200
    watch_of(state).write()
    with WatchStore(path, is_read_only=True) as store:
        assert store.models() == []


def test_watch_ignores_what_people_try_on_the_page(
    state: WebState, api: TestClient, path: Path
) -> None:
    api.post("/", data={"text": TEXTS[0]})
    api.post("/v1/explain", json={"text": TEXTS[0]})
    watch_of(state).write()
    with WatchStore(path, is_read_only=True) as store:
        assert store.models() == []


def test_watch_counts_corrections(state: WebState, api: TestClient) -> None:
    reply = api.post("/v1/corrections", json={"text": TEXTS[0], "topic": "bank"})
    assert reply.status_code == 201
    sums = read_today(state)
    assert (sums.n_texts, sums.n_corrections) == (0, 1)


def test_watch_sums_answers_of_a_multilabel_model(tmp_path: Path, path: Path) -> None:
    from slugline import TopicClassifier

    texts, topics = (
        ["wheat", "goal", "wheat goal"] * 8,
        [("grain",), ("sport",), ("grain", "sport")] * 8,
    )
    TopicClassifier().fit(texts, topics).save(tmp_path / "sets.slug")
    state = make_state(tmp_path / "sets.slug", watch=path)
    client(state).post("/v1/classify", json={"texts": ["wheat goal", "wheat"]})
    sums = read_today(state)
    assert sums.multilabel
    assert sums.answers.tolist() == [2, 1]
    assert sums.rows(0)[1].sum() == 2
    state.service.close()


def has_bytes(path: Path, content: bytes) -> bool:
    """Whether the file of daily sums, or a log beside it, has some bytes."""
    return any(content in file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def test_watch_keeps_no_text_unless_asked_to(state: WebState, api: TestClient, path: Path) -> None:
    api.post("/v1/classify", json={"texts": ["the wheat secretword corn"]})
    read_today(state)
    state.service.close()
    assert not has_bytes(path, b"secretword")


def test_watch_keeps_some_texts_of_each_day(news_slug: Path, path: Path) -> None:
    model, today = ServedModel.load(str(news_slug)), [DAY]
    watch = Watch(Metrics(), WatchStore(path), today=lambda: today[0], n_kept=3, seed=0)
    texts = [f"wheat {number}" for number in range(50)]
    for today[0] in (DAY, DAY + datetime.timedelta(1)):
        for start in (0, 20):
            watch.add(model, model.answer(texts[start : start + 30]))
            watch.write()
        watch.add(model, model.answer([" "]))
    watch.close()
    with WatchStore(path, is_read_only=True) as store:
        samples = store.samples(model.digest)
    assert list(samples) == [DAY, DAY + datetime.timedelta(1)]
    for sample in samples.values():
        assert (sample.n_texts, sample.capacity) == (60, 3)
        assert {each.text for each in sample.texts} <= {*texts}
        assert len(sample.texts) == 3


def test_watch_deletes_texts_after_some_days(news_slug: Path, path: Path) -> None:
    model, today = ServedModel.load(str(news_slug)), [DAY]
    store = WatchStore(path)
    watch = Watch(Metrics(), store, today=lambda: today[0], n_kept=3, keep_days=10)
    watch.add(model, model.answer(["the wheat secretword corn"]))
    watch.write()
    today[0] = DAY + datetime.timedelta(10)
    watch.delete_old_texts(store)
    assert len(store.samples(model.digest)) == 1
    today[0] = DAY + datetime.timedelta(11)
    watch.delete_old_texts(store)
    assert store.samples(model.digest) == {}
    assert store.days(model.digest)[DAY].n_texts == 1
    watch.close()
    assert not has_bytes(path, b"secretword")


def test_watch_keeps_models_with_other_topics_apart(
    state: WebState, api: TestClient, news_slug: Path, path: Path
) -> None:
    from slugline import TopicClassifier

    api.post("/v1/classify", json={"text": "wheat"})
    TopicClassifier().fit(["wheat", "goal"] * 5, ["crops", "sport"] * 5).save(news_slug)
    state.service.models.refresh()
    api.post("/v1/classify", json={"text": "wheat"})
    watch_of(state).write()
    with WatchStore(path, is_read_only=True) as store:
        topics = [model.topics for model in store.models()]
        counts = [
            store.days(model.digest)[watch_of(state).today()].n_texts for model in store.models()
        ]
    assert topics == [("bank", "grain", "sport"), ("crops", "sport")]
    assert counts == [1, 1]


# When and where -----------------------------------------------------------------------------------


def add_text(watch: Watch, model: ServedModel) -> None:
    watch.add(model, model.answer(["wheat and corn"]))


def test_watch_follows_the_clock_even_if_it_goes_back(news_slug: Path, path: Path) -> None:
    today = [DAY, DAY + datetime.timedelta(1), DAY]
    model = ServedModel.load(str(news_slug))
    watch = Watch(Metrics(), WatchStore(path), today=lambda: today[0])
    while today:
        add_text(watch, model)
        del today[:1]
    watch.close()
    with WatchStore(path, is_read_only=True) as store:
        counts = {day: sums.n_texts for day, sums in store.days(model.digest).items()}
    assert counts == {DAY: 2, DAY + datetime.timedelta(1): 1}


def test_watch_writes_when_it_ends(news_slug: Path, path: Path) -> None:
    model = ServedModel.load(str(news_slug))
    watch = Watch(Metrics(), WatchStore(path), today=lambda: DAY, seconds=60)
    watch.start()
    add_text(watch, model)
    watch.close()
    with WatchStore(path, is_read_only=True) as store:
        assert store.days(model.digest)[DAY].n_texts == 1


def test_watch_writes_after_some_seconds(news_slug: Path, path: Path) -> None:
    model = ServedModel.load(str(news_slug))
    written = threading.Event()
    watch = Watch(Metrics(), WatchStore(path), today=lambda: DAY, seconds=0.01)
    watch.on_written = lambda store, _: written.set() if store.models() else None
    watch.start()
    add_text(watch, model)
    assert written.wait(30)
    watch.close()


def test_watch_sums_at_once_if_very_many_texts_wait(
    news_slug: Path, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.serving.watch.recorder._MAX_PENDING", 10)
    model = ServedModel.load(str(news_slug))
    watch = Watch(Metrics(), WatchStore(path), today=lambda: DAY)
    for _ in range(20):
        add_text(watch, model)
        assert len(watch._pending) < 5
    watch.close()
    with WatchStore(path, is_read_only=True) as store:
        assert store.days(model.digest)[DAY].n_texts == 20


def test_watch_keeps_sums_in_memory_while_the_file_cannot_be_written(
    state: WebState, api: TestClient, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        watch = watch_of(state)
        assert watch.store is not None
        watch.store._database._patience = 0.01
        watch.store._database.query_value("PRAGMA busy_timeout = 10")
        other.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            assert api.post("/v1/classify", json={"text": "wheat"}).status_code == 200
            watch.write()
        assert "can't be written: another thread or process" in str(watch.problem)
        ready = api.get("/ready").json()
        assert ready["status"] == "ready, but daily sums can't be stored"
        assert ready["problems"] == {"daily sums": watch.problem}
        other.execute("ROLLBACK")
    assert read_today(state).n_texts == 3
    assert watch.problem is None


def test_watch_answers_though_its_file_is_gone(
    state: WebState, api: TestClient, path: Path
) -> None:
    path.unlink()
    assert api.post("/v1/classify", json={"text": "wheat"}).status_code == 200
    watch_of(state).write()
    assert "was moved, removed or replaced" in str(watch_of(state).problem)
    assert api.post("/v1/classify", json={"text": "wheat"}).status_code == 200


def test_metrics_count_topics_without_a_file(news_slug: Path) -> None:
    state = make_state(news_slug)
    api = client(state)
    api.post("/v1/classify", json={"texts": TEXTS})
    watch_of(state).write()
    lines = api.get("/metrics").text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    answers = [
        float(values.get(f'slugline_topic_answers_total{{model="news",topic="{topic}"}}', 0))
        for topic in ("bank", "grain", "sport")
    ]
    sums = [
        float(values[f'slugline_topic_probability_total{{model="news",topic="{topic}"}}'])
        for topic in ("bank", "grain", "sport")
    ]
    assert sum(answers) == 3
    assert sum(sums) == pytest.approx(3, abs=1e-4)
    assert values["slugline_unknown_words_total"] == "2.0"
    state.service.close()


def test_metrics_escape_topics_and_count_unknown_ones_together() -> None:
    metrics = Metrics({"m": ['a "b"\n\\c', 3]})
    counts = np.array([[1.0, 2.0, 4.0], [1.5, 2.5, 4.5]])
    metrics.count_topics("m", ['a "b"\n\\c', 3, "later"], counts)
    metrics.count_topics("unknown", ["a"], np.ones((2, 1)))
    text = metrics.text()
    assert 'slugline_topic_answers_total{model="m",topic="a \\"b\\"\\n\\\\c"} 1.0\n' in text
    assert 'slugline_topic_answers_total{model="m",topic="3"} 2.0\n' in text
    assert 'slugline_topic_probability_total{model="m",topic=""} 4.5\n' in text


# Servers ------------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux' /proc")
def test_workers_add_to_one_file(news_slug: Path, path: Path) -> None:
    with running(news_slug, "--watch", path, "--workers", 2) as url:
        for _ in range(12):  # each in its own connection
            reply = httpx.post(f"{url}/v1/classify", json={"texts": TEXTS}, timeout=120)
            assert reply.status_code == 200
    with WatchStore(path, is_read_only=True) as store:
        [model] = store.models()
        assert sum(sums.n_texts for sums in store.days(model.digest).values()) == 12 * 3


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("text.db", 1, "text.db holds no daily sums: it is not an SQLite file"),
        ("corrections.db", 1, "holds no daily sums: it is a database of labels"),
        ("none/watch.db", 2, "--watch none/watch.db: "),
        ("news.slug", 2, "--watch news.slug: would overwrite an input file"),
        (".", 2, "--watch .: is a folder"),
    ],
)
def test_serve_rejects_a_file_that_holds_no_daily_sums(
    run: Callable[..., Any], news_slug: Path, name: str, code: int, message: str
) -> None:
    LabelStore("corrections.db").close()
    Path("text.db").write_text("no database" * 20)
    found = run("serve", news_slug.name, "--watch", name, "--port", 0)
    assert found.code == code
    assert message in " ".join(found.err.split())
