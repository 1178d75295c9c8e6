"""`slugline.count`."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import slugline
from served_days import FIRST, serve_days, train_news
from slugline.base.progress import SilentProgress
from slugline.errors import DataError, OptionError
from slugline.serving.served_models import ServedModel
from slugline.serving.watch.store import WatchStore

News = list[tuple[str, str]]


def test_count_takes_a_list_a_file_or_a_data_frame(
    news_slug: Path, news: News, tmp_path: Path
) -> None:
    texts = [text for text, topic in news if topic == "sport"] * 2
    frame = pd.DataFrame({"text": texts})
    path = tmp_path / "new.csv"
    frame.to_csv(path, index=False)
    results = [slugline.count(news_slug, data).to_records() for data in (texts, frame, path)]
    assert results[0] == results[1] == results[2]
    assert results[0][2]["share"] > 0.85


def test_count_of_a_data_frame_reads_dates(news_slug: Path, news: News) -> None:
    texts = [text for text, _ in news[:40]]
    days = pd.to_datetime(["2026-01-05"] * 20 + ["2026-02-03"] * 20)
    result = slugline.count(news_slug, pd.DataFrame({"text": texts, "at": days}), by="month")
    assert [group.name for group in result.counts.groups] == ["2026-01", "2026-02"]
    assert list(result.to_frame().columns[:3]) == ["month", "texts", "topic"]


def test_count_is_the_same_for_any_number_of_threads(news_slug: Path, texts: list[str]) -> None:
    one, two = (slugline.count(news_slug, texts, n_jobs=n).to_dict() for n in (1, 2))
    assert one == two


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_jobs": 0}, "`n_jobs` is 0; give a whole number of at least 1."),
        ({"random_state": -1}, "`random_state` is -1; give a whole number of at least 0."),
        (
            {"labelled": ["text"]},
            "`labelled` is a list; give the path of a file of labelled texts.",
        ),
    ],
    ids=["n_jobs", "random_state", "labelled"],
)
def test_count_names_options_as_they_are_given(
    news_slug: Path, texts: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(OptionError) as caught:
        slugline.count(news_slug, texts, **options)
    assert str(caught.value) == message


def test_count_reads_daily_sums(tmp_path: Path) -> None:
    model_file = train_news(tmp_path / "m.slug")
    model = ServedModel.load(str(model_file))
    with WatchStore(tmp_path / "watch.db") as store:
        serve_days(store, model, [(20, 20, 20)] * 2)
    result = slugline.count(model_file, tmp_path / "watch.db", by="day")
    assert [group.n_texts for group in result.counts.groups] == [60, 60]
    second = FIRST + datetime.timedelta(1)
    assert slugline.count(model_file, tmp_path / "watch.db", since=second).counts.n_texts == 60
    wrong: Any
    for wrong, message in (
        ({"by": "colour"}, "`by` 'colour' is not a period"),
        ({"text": "body"}, "`text` requires texts, but daily sums contain none"),
    ):
        with pytest.raises(OptionError, match=message):
            slugline.count(model_file, tmp_path / "watch.db", **wrong)
    with pytest.raises(
        OptionError, match="`since` requires the path of a file written by `slugline serve"
    ):
        slugline.count(model_file, ["wheat"], since=second)
    with pytest.raises(OptionError, match="`model` is a classifier, but"):
        slugline.count(slugline.load(model_file), tmp_path / "watch.db")


def test_count_rejects_a_database_of_another_program(news_slug: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE texts (text TEXT)")
        connection.commit()
    with pytest.raises(DataError, match="the database contains neither labels from"):
        slugline.count(news_slug, path)


def test_count_says_that_texts_have_a_nul_character(news_slug: Path, tmp_path: Path) -> None:
    (tmp_path / "nul.csv").write_bytes(b"text\nbin\0full\n")
    with pytest.raises(DataError, match=r"1 row without a text \(one has a NUL character\)"):
        slugline.count(news_slug, tmp_path / "nul.csv")


def test_count_reports_progress_on_texts_and_on_intervals(news_slug: Path, news: News) -> None:
    class Steps(SilentProgress):
        def __init__(self) -> None:
            self.fractions: dict[str, list[float | None]] = {}

        def update(self, step: str, fraction: float | None = None, detail: str = "") -> None:
            self.fractions.setdefault(step, []).append(fraction)

    steps = Steps()
    frame = pd.DataFrame({"text": [text for text, _ in news[:40]], "half": ["a", "b"] * 20})
    slugline.count(news_slug, frame, by="half", progress=steps)
    assert [*steps.fractions] == ["counting", "computing intervals"]
    assert steps.fractions["computing intervals"] == pytest.approx([1 / 3, 2 / 3, 1])


def test_count_saves_names_that_no_spreadsheet_reads_as_formulas(
    news_slug: Path, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"text": ["wheat and corn"] * 20, "shop": ["=1+1"] * 10 + ["b"] * 10})
    result = slugline.count(news_slug, frame, by="shop")
    saved = result.save(tmp_path / "counts.csv").read_text("utf-8-sig")
    assert "\n'=1+1,10,bank," in saved
    openpyxl = pytest.importorskip("openpyxl")
    sheet = openpyxl.load_workbook(result.save(tmp_path / "counts.xlsx")).active
    assert sheet.freeze_panes == "A2"


def test_count_reads_the_header_in_the_row_that_is_named(
    news_slug: Path, texts: list[str], tmp_path: Path
) -> None:
    rows = "".join(f'"{text}"\n' for text in texts)
    (tmp_path / "new.csv").write_text(f"text\nqueue\n{rows}", "utf-8")
    result = slugline.count(news_slug, tmp_path / "new.csv", text="queue", header_row=2)
    assert result.to_records() == slugline.count(news_slug, texts).to_records()
