"""The file of daily sums: added up by several, bounded, and only read if it is sound."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from slugline.base.arrays import F32
from slugline.errors import StoreError
from slugline.serving.metrics import Metrics
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.day_sums import DaySums, TextSample, draw_keys
from slugline.serving.watch.recorder import Watch
from slugline.serving.watch.store import StoredAlert, WatchedModel, WatchStore
from slugline.text.features import WordCounts

MODEL = WatchedModel("tickets", "0123456789ab", ("account", "delivery", "\ud800 odd"), False)
DAY = datetime.date(2026, 3, 2)


def make_sums(proba: F32, *, multilabel: bool = False, n_unknown: int = 1) -> DaySums:
    """Return the sums of texts of four words each, one of which is unsure."""
    n, n_topics = proba.shape
    sums = DaySums(n_topics, multilabel)
    sums.n_unsure = 1
    sums.add_texts(proba, WordCounts(np.full(n, 4 - n_unknown), np.full(n, 4)))
    return sums


def draw(n: int, n_topics: int, seed: int = 0) -> F32:
    return np.random.default_rng(seed).dirichlet(np.full(n_topics, 0.2), n).astype(np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a new file."""
    return tmp_path / "watch.db"


# Sums ---------------------------------------------------------------------------------------------


def test_day_sums_of_bins_are_those_of_all_texts() -> None:
    proba = draw(500, 3)
    sums = make_sums(proba)
    rows, weights = sums.rows()
    assert weights.sum() == sums.n_texts == 500
    np.testing.assert_allclose(weights @ rows, proba.sum(axis=0), rtol=1e-5)
    np.testing.assert_allclose(sums.sums, proba.sum(axis=0), rtol=1e-5)
    assert sums.n_unsure == 1
    assert (*sums.totals[1:3], sums.unknown_fraction) == (2000, 500, 0.25)


def test_day_sums_of_a_multilabel_model_have_bins_by_topic() -> None:
    proba = np.random.default_rng(0).random((200, 3)).astype(np.float32)
    sums = make_sums(proba, multilabel=True)
    for topic in range(3):
        rows, weights = sums.rows(topic)
        assert weights.sum() == 200
        np.testing.assert_allclose(weights @ rows[:, 0], proba[:, topic].sum(), rtol=1e-5)
        # Estimates count the topics that are likely.
        assert weights[rows[:, 0] >= 0.5].sum() == np.count_nonzero(proba[:, topic] >= 0.5)


@pytest.mark.parametrize("n_topics", [2, 100, 5000])
def test_day_sums_are_bounded_however_many_texts_there_are(n_topics: int) -> None:
    sums = DaySums(n_topics, multilabel=False)
    for seed in range(20):
        sums.add(make_sums(draw(300, n_topics, seed)))
    assert len(sums.bins) <= sums.max_bins + 1
    assert sums.max_bins * n_topics <= max(1 << 16, 8 * n_topics)
    assert sum(part.n for part in sums.bins.values()) == sums.n_texts == 6000


def test_day_sums_of_a_model_with_one_topic() -> None:
    assert make_sums(np.ones((5, 1), dtype=np.float32)).rows()[1].tolist() == [5]


# The file -----------------------------------------------------------------------------------------


def test_store_adds_to_the_same_day_and_survives_a_restart(path: Path) -> None:
    for seed in range(3):
        with WatchStore(path) as store:
            store.add({(MODEL, DAY): make_sums(draw(50, 3, seed))})
    expected = sum(draw(50, 3, seed).sum(axis=0, dtype=np.float64) for seed in range(3))
    with WatchStore(path, is_read_only=True) as store:
        assert store.models() == [MODEL]
        days = store.days(MODEL.digest)
    assert list(days) == [DAY]
    assert (days[DAY].n_texts, days[DAY].n_unsure) == (150, 3)
    np.testing.assert_allclose(days[DAY].sums, expected)
    rows, weights = days[DAY].rows()
    np.testing.assert_allclose(weights @ rows, expected, rtol=1e-5)


def test_store_keeps_versions_of_a_model_apart(path: Path) -> None:
    other = MODEL._replace(digest="ba9876543210", topics=("account", "new"))
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): make_sums(draw(5, 3)), (other, DAY): make_sums(draw(7, 2))})
        assert store.days(MODEL.digest)[DAY].n_texts == 5
        assert store.days(other.digest)[DAY].n_texts == 7
        assert store.days("unknown") == {}


def test_store_reads_some_days(path: Path) -> None:
    days = [DAY + datetime.timedelta(number) for number in range(5)]
    with WatchStore(path) as store:
        # The clock may go back.
        store.add({(MODEL, day): make_sums(draw(5, 3)) for day in reversed(days)})
        assert list(store.days(MODEL.digest)) == days
        assert list(store.days(MODEL.digest, since=days[2], until=days[3])) == days[2:4]


def test_store_adds_up_what_two_servers_write_at_once(path: Path) -> None:
    def write(seed: int) -> None:
        with WatchStore(path, patience=30) as store:
            for number in range(20):
                store.add({(MODEL, DAY): make_sums(draw(10, 3, 100 * seed + number))})

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with WatchStore(path) as store:
        assert store.days(MODEL.digest)[DAY].n_texts == 400


def test_store_writes_no_part_of_the_sums_on_a_full_disk(path: Path) -> None:
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): make_sums(draw(5, 3))})
        n_pages = store._database.query_value("PRAGMA page_count")
        store._database.query_value(f"PRAGMA max_page_count = {n_pages}")
        later = {
            (MODEL, DAY + datetime.timedelta(n)): make_sums(draw(500, 3)) for n in range(1, 200)
        }
        with pytest.raises(StoreError, match="the disk is full"):
            store.add(later)
        assert list(store.days(MODEL.digest)) == [DAY]
        store._database.query_value("PRAGMA max_page_count = 100000")
        store.add(later)
        assert len(store.days(MODEL.digest)) == 200


def test_store_saturates_counts(path: Path) -> None:
    sums = make_sums(draw(5, 3))
    sums.totals = sums.totals._replace(n_words=1 << 80)
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): sums})
        store.add({(MODEL, DAY): sums})
        assert store.days(MODEL.digest)[DAY].totals.n_words == 1 << 60


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ("UPDATE days SET sums = x'00'", "the day '2026-03-02' can't be read"),
        ("UPDATE days SET sums = x'" + 3 * "000000000000f87f" + "'", "a sum is invalid"),
        ("UPDATE days SET sums = 'text'", "the day '2026-03-02' can't be read"),
        ("UPDATE days SET n_texts = -1", "a count is invalid"),
        ("UPDATE days SET n_texts = 'many'", "a count is invalid"),
        ("UPDATE days SET day = '2026-03-99'", "the day '2026-03-99' can't be read"),
        ("UPDATE bins SET first = 7", "there is no such topic"),
        ("UPDATE bins SET n = 0", "it has no texts"),
        ("UPDATE models SET topics = '[]'", "it has no topics"),
        ("UPDATE models SET topics = '[[]]'", "a topic is neither"),
        ("UPDATE models SET topics = 'x'", "model '0123456789ab' can't be read"),
    ],
)
def test_store_names_a_manipulated_row(path: Path, change: str, row: str) -> None:
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): make_sums(draw(5, 3))})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(change)
    with WatchStore(path) as store, pytest.raises(StoreError, match=row) as caught:
        store.days(MODEL.digest)
    assert f"{path} is damaged: " in str(caught.value)


def test_store_rejects_files_of_other_programs_and_versions(tmp_path: Path, path: Path) -> None:
    from slugline.labels.store import LabelStore

    LabelStore(tmp_path / "corrections.db").close()
    with pytest.raises(StoreError, match="holds no daily sums: it is a database of labels"):
        WatchStore(tmp_path / "corrections.db")
    WatchStore(path).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(StoreError, match="contains daily sums in format 9 of a later Slugline"):
        WatchStore(path)
    with pytest.raises(StoreError, match="doesn't exist; name a file of daily sums"):
        WatchStore(tmp_path / "none.db", is_read_only=True)


# Alerts -------------------------------------------------------------------------------------------

ALERT = StoredAlert("sport", DAY, DAY + datetime.timedelta(4), 0.25, 0.5)


def test_store_says_once_that_an_alert_is_new(path: Path) -> None:
    with WatchStore(path) as store, WatchStore(path) as other:
        store.add({(MODEL, DAY): make_sums(draw(5, 3))})
        assert store.add_alert(MODEL.digest, ALERT)
        assert not other.add_alert(MODEL.digest, ALERT)
        assert other.alerts(MODEL.digest) == [ALERT]
        assert other.alerts("unknown") == []


def test_store_accepts_alerts_once(path: Path) -> None:
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): make_sums(draw(5, 3))})
        store.add_alert(MODEL.digest, ALERT)
        assert store.accept(MODEL.digest, DAY, "Ada") == 1
        assert store.accept(MODEL.digest, DAY, "Bob") == 0
        assert store.alerts(MODEL.digest) == [ALERT._replace(accepted=DAY, person="Ada")]


# Texts --------------------------------------------------------------------------------------------


def sample_of(texts: list[str], capacity: int = 5, seed: int = 0) -> DaySums:
    """Return the sums of some texts with a sample of them."""
    sums = make_sums(draw(len(texts), 3))
    sums.sample = TextSample(capacity)
    sums.sample.add_texts(texts, draw_keys(np.random.default_rng(seed), len(texts)))
    return sums


def test_text_sample_has_each_text_with_the_same_probability() -> None:
    counts, rng = np.zeros(30), np.random.default_rng(0)
    for _ in range(400):
        sample = TextSample(6)
        for start, end in ((0, 5), (5, 25), (25, 30)):
            part = TextSample(6)
            part.add_texts([f"{n}" for n in range(start, end)], draw_keys(rng, end - start))
            sample.add(part)
        assert len(sample.texts) == 6
        counts[[int(each.text) for each in sample.texts]] += 1
    # 80 of 400 each, with a standard deviation of 8.
    assert counts.sum() == 2400
    assert np.abs(counts - 80).max() < 32


def test_store_adds_samples_of_several_processes_to_one(path: Path) -> None:
    first, second = sample_of([f"a{n}" for n in range(20)]), sample_of(["b"] * 30, seed=1)
    with WatchStore(path) as store, WatchStore(path) as other:
        store.add({(MODEL, DAY): first})
        other.add({(MODEL, DAY): second})
        sample = store.samples(MODEL.digest)[DAY]
    assert first.sample is not None
    assert second.sample is not None
    first.sample.add(second.sample)
    assert sample.n_texts == 50
    assert sample.texts == first.sample.texts


def test_store_keeps_as_few_texts_as_any_process(path: Path) -> None:
    with WatchStore(path) as store:
        for number, capacity in enumerate((5, 2, 9)):
            store.add({(MODEL, DAY): sample_of(["x", "y", "z"] * 4, capacity, number)})
        assert len(store.samples(MODEL.digest)[DAY].texts) == 2


def test_store_keeps_any_text_up_to_a_length(path: Path) -> None:
    texts = ["\ud800 \0 odd", "x" * 2_000_000]
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): sample_of(texts)})
        found = {each.text for each in store.samples(MODEL.digest)[DAY].texts}
    assert found == {texts[0], "x" * 1_000_000}


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ("UPDATE texts SET text = 7", "the texts of the day '2026-03-02'"),
        ("UPDATE samples SET n_texts = -1", "the texts of the day '2026-03-02'"),
    ],
)
def test_store_names_a_manipulated_text(path: Path, change: str, row: str) -> None:
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): sample_of(["x"])})
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(change)
    with WatchStore(path) as store, pytest.raises(StoreError, match=row):
        store.samples(MODEL.digest)


# Versions -----------------------------------------------------------------------------------------

LATER = MODEL._replace(digest="later")


def test_store_adds_up_versions_with_the_same_topics(path: Path) -> None:
    others = (
        MODEL._replace(digest="other name", name="mails"),
        MODEL._replace(digest="other topics", topics=("account", "delivery")),
    )
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): sample_of(["x"] * 5), (LATER, DAY): sample_of(["y"] * 7)})
        store.add(
            {(others[0], DAY): make_sums(draw(2, 3)), (others[1], DAY): make_sums(draw(2, 2))}
        )
        for digest in (MODEL.digest, LATER.digest):
            assert store.days(digest)[DAY].n_texts == 12
            assert store.samples(digest)[DAY].n_texts == 12
        assert [store.days(each.digest)[DAY].n_texts for each in others] == [2, 2]


def test_store_counts_the_texts_of_a_version(path: Path) -> None:
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): make_sums(draw(5, 3))})
        store.add({(LATER, DAY): make_sums(draw(7, 3))})
        assert store.count_texts(LATER.digest, DAY, DAY) == 7
        assert store.count_texts(LATER.digest, datetime.date.min, DAY - datetime.timedelta(1)) == 0


def test_store_has_alerts_of_all_versions(path: Path) -> None:
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): make_sums(draw(5, 3)), (LATER, DAY): make_sums(draw(5, 3))})
        assert store.add_alert(MODEL.digest, ALERT)
        assert not store.add_alert(LATER.digest, ALERT)
        assert store.alerts(LATER.digest) == [ALERT]
        assert store.accept(LATER.digest, DAY) == 1
        assert store.add_alert(LATER.digest, ALERT)


def test_store_names_a_manipulated_alert(path: Path) -> None:
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): make_sums(draw(5, 3))})
        store.add_alert(MODEL.digest, ALERT)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE alerts SET before = 2.0")
    with WatchStore(path) as store, pytest.raises(StoreError, match="a share is invalid"):
        store.alerts(MODEL.digest)


# Disks --------------------------------------------------------------------------------------------


def test_watch_keeps_sums_in_memory_while_the_disk_is_really_full(
    small_disk: Path, news_slug: Path
) -> None:
    filler, model = small_disk / "filler", ServedModel.load(str(news_slug))
    days = [DAY + datetime.timedelta(number) for number in range(400)]
    today = [DAY]
    watch = Watch(Metrics(), WatchStore(small_disk / "watch.db"), today=lambda: today[0])
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    for today[0] in days:
        watch.add(model, model.answer(["wheat and corn"]))
    watch.write()
    assert "the disk is full" in str(watch.problem)
    filler.unlink()
    watch.write()
    assert watch.problem is None
    watch.close()
    with WatchStore(small_disk / "watch.db", is_read_only=True) as store:
        counts = {day: sums.n_texts for day, sums in store.days(model.digest).items()}
    assert counts == dict.fromkeys(days, 1)


def test_watch_store_names_a_read_only_folder(small_disk: Path) -> None:
    remount = ["mount", "-o", "remount,{}", str(small_disk)]
    path = small_disk / "watch.db"
    with WatchStore(path) as store:
        store.add({(MODEL, DAY): make_sums(draw(3, 3))})
    subprocess.run([part.format("ro") for part in remount], check=True)
    try:
        with pytest.raises(StoreError, match="allow writing to the file and its folder"):
            WatchStore(path)
    finally:
        subprocess.run([part.format("rw") for part in remount], check=True)
    with WatchStore(path, is_read_only=True) as store:
        assert store.days(MODEL.digest)[DAY].n_texts == 3
