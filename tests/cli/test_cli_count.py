"""`slugline count`."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
News = list[tuple[str, str]]


@pytest.fixture(autouse=True)
def _files(news_slug: Path, news: News, tmp_path: Path) -> None:
    """Have a model called news.slug in the folder, and texts of three months.

    In January, each topic has ten texts; in March, 40 of 50 are about sport.
    """
    topics = ["bank", "grain", "sport"]
    by_topic = {topic: [text for text, each in news if each == topic] for topic in topics}
    lines = ["text,day,shop"]
    for month, counts in enumerate(([10, 10, 10], [10, 10, 10], [5, 5, 40]), 1):
        for topic, n in zip(topics, counts, strict=True):
            lines += [
                f"{by_topic[topic][i % 30]},2026-{month:02}-{1 + i % 28:02},{'xy'[i % 2]}"
                for i in range(n)
            ]
    (tmp_path / "new.csv").write_text("\n".join(lines) + "\n")


def test_count_prints_shares_and_numbers_with_intervals(run: Run) -> None:
    code, out, _ = run("count", "news.slug", "new.csv")
    assert code == 0
    head, sport, *_ = out.splitlines()
    assert head.split() == ["topic", "share", "95", "%", "interval", "number", "answers"]
    name, share, *_ = sport.split()
    assert name == "sport"
    assert 48 < float(share) < 58  # 60 of 110
    assert sport.split()[-1] == "60"


def test_count_json_holds_everything(run: Run) -> None:
    code, out, _ = run("count", "news.slug", "new.csv", "--by", "month", "--json")
    result = json.loads(out)
    assert code == 0
    assert result["n_texts"] == 110
    assert [group["name"] for group in result["groups"]] == ["2026-01", "2026-02", "2026-03"]
    [march] = [t for t in result["groups"][2]["topics"] if t["topic"] == "sport"]
    assert march["low"] < 0.8 < march["high"]
    assert march["number_low"] <= 40 <= march["number_high"]


def test_count_by_a_column_prints_a_row_for_each_value(run: Run) -> None:
    _, out, _ = run("count", "news.slug", "new.csv", "--by", "shop")
    title, head, *rows = out.splitlines()[:5]
    assert title == "Number of texts of each topic, with 95 % intervals:"
    assert head.split()[:3] == ["shop", "texts", "sport"]
    assert [row.split()[:2] for row in rows] == [["x", "56"], ["y", "54"], ["(all)", "110"]]


def test_count_asks_for_the_order_of_dates(run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text("text,day\nwheat,01/02/2026\ncorn,03/04/2026\n")
    code, out, err = run("count", "news.slug", "odd.csv", "--by", "month")
    assert (code, out) == (1, "")
    assert "--date-order day-first or --date-order month-first" in err
    code, out, _ = run(
        *("count", "news.slug", "odd.csv", "--by", "month", "--date-order", "month-first", "--json")
    )
    assert code == 0
    assert [group["name"] for group in json.loads(out)["groups"]] == ["2026-01", "2026-03"]


def test_count_rejects_many_cells_that_are_no_dates(run: Run, tmp_path: Path) -> None:
    lines = ["wheat,2026-01-01"] * 8 + ["corn,1. lokakuuta 2026"] * 2
    (tmp_path / "odd.csv").write_text("text,day\n" + "\n".join(lines) + "\n")
    words = ("count", "news.slug", "odd.csv", "--by", "month", "--date", "day")
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert "column 'day': 2 of 10 rows contain no valid date, such as '1. lo" in err


def test_count_leaves_out_rows_without_text_or_date_and_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "odd.csv").write_text(
        "text,day\nwheat,2026-01-01\ncorn,soon\n,2026-01-01\n" + "goal,2026-01-03\n" * 20
    )
    code, out, err = run("count", "news.slug", "odd.csv", "--by", "month")
    assert code == 0
    assert out.startswith("2026-01: 21 texts\n")
    assert "warning: odd.csv: ignored 1 row without a text and 1 row without a date" in err


@pytest.mark.parametrize("n", [1, 20])
def test_count_takes_few_texts(run: Run, tmp_path: Path, n: int) -> None:
    (tmp_path / "few.txt").write_text("the goal and match of 3\n" * n)
    code, out, _ = run("count", "news.slug", "few.txt", "--json")
    assert code == 0
    result = json.loads(out)
    sport = result["topics"][2]
    assert sport["low"] <= sport["share"] <= sport["high"]
    assert sport["share"] > 0.7


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_count_rejects_a_file_without_texts(run: Run, tmp_path: Path, content: str) -> None:
    (tmp_path / "none.txt").write_text(content)
    code, out, err = run("count", "news.slug", "none.txt")
    assert (code, out) == (1, "")
    assert "none.txt contains no texts to count" in err


def test_count_warns_of_another_language(run: Run, tmp_path: Path) -> None:
    lines = [f"der Zug nach Köln hat Verspätung Nummer {i}" for i in range(40)]
    (tmp_path / "german.txt").write_text("\n".join(lines))
    _, _, err = run("count", "news.slug", "german.txt")
    assert "warning: Don't trust these counts" in err
    assert "another language" in err


def test_count_rejects_a_model_without_heldout_predictions(run: Run, tmp_path: Path) -> None:
    from slugline.classifier import TopicClassifier, load

    classifier = load("news.slug")
    assert isinstance(classifier, TopicClassifier)
    classifier.partial_fit(["wheat rose"], ["grain"]).save(tmp_path / "batch.slug")
    code, out, err = run("count", "batch.slug", "new.csv")
    assert (code, out) == (1, "")
    assert "the model has no held-out predictions" in err
    assert "--min-precision 0.9" in err


def test_count_rejects_a_column_that_does_not_exist(run: Run) -> None:
    code, _, err = run("count", "news.slug", "new.csv", "--by", "colour")
    assert code == 1
    assert err.endswith(
        "slugline: error: --by is 'colour', which is neither a column nor one of day, week, month, "
        "quarter, year; the columns are 'text', 'day', 'shop'.\n"
    )


def test_count_prints_as_many_topics_as_are_in_a_line(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for width, n_tables in ((200, 1), (40, 2), (20, 3)):
        monkeypatch.setenv("COLUMNS", str(width))
        _, out, _ = run("count", "news.slug", "new.csv", "--by", "shop")
        assert out.count("(all)") == n_tables


@pytest.mark.parametrize("ending", ["csv", "xlsx", "json", "html"])
def test_count_writes_a_file(run: Run, tmp_path: Path, ending: str) -> None:
    code, _, _ = run("count", "news.slug", "new.csv", "--by", "month", "-o", f"out.{ending}")
    assert code == 0
    content = (tmp_path / f"out.{ending}").read_bytes()
    assert content
    if ending == "csv":
        head, first, *_ = content.decode("utf-8-sig").splitlines()
        assert head.startswith("month,texts,topic,share,low,high,number,")
        assert first.startswith("2026-01,30,")


def test_count_writes_rounded_numbers_with_the_separator_of_the_texts(
    run: Run, tmp_path: Path
) -> None:
    content = (tmp_path / "new.csv").read_text().replace(",", ";")
    (tmp_path / "semicolons.csv").write_text(content)
    run("count", "news.slug", "semicolons.csv", "--by", "month", "-o", "out.csv")
    head, first, *_, last = (tmp_path / "out.csv").read_text("utf-8-sig").splitlines()
    assert head.startswith("month;texts;topic;share")
    assert max(len(cell.partition(".")[2]) for cell in first.split(";")) <= 4
    assert last.startswith("(all);110;sport;")


def test_count_shows_a_topic_of_each_month_and_of_all_texts(run: Run) -> None:
    words = ("count", "news.slug", "new.csv", "--by", "month", "--topic", "sport")
    _, out, _ = run(*words)
    title, head, *rows = out.splitlines()[:6]
    assert title == "sport:"
    assert head.split()[:3] == ["month", "texts", "share"]
    assert [row.split()[:2] for row in rows] == [
        ["2026-01", "30"],
        ["2026-02", "30"],
        ["2026-03", "50"],
        ["(all)", "110"],
    ]
    code, out, err = run(*words, "--topic", "chess")
    assert (code, out) == (2, "")
    assert "--topic 'chess' is unknown; the topics are bank, grain" in err
    _, _, err = run(*words[:-1], "Sport")
    assert "--topic 'Sport' is unknown; did you mean 'sport'?" in err


def test_count_counts_a_column_of_dates_by_month(run: Run) -> None:
    code, out, err = run("count", "news.slug", "new.csv", "--by", "day", "--json")
    assert code == 0
    assert len(json.loads(out)["groups"]) > 20  # the column is named after a period
    (code, out, err) = run("count", "news.slug", "new.csv", "--by", "month", "--date", "day", "-q")
    assert (code, err) == (0, "")
    assert "\n2026-03     50  " in out


def test_count_checks_the_name_of_the_output_first(run: Run) -> None:
    code, out, err = run("count", "news.slug", "new.csv", "-o", "out.pdf")
    assert (code, out) == (2, "")
    assert err == (
        "slugline: error: --output out.pdf: name it out.csv, out.xlsx, out.html, out.json or "
        "out.svg.\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--date", "day"], "--date requires grouping by date; add --by month."),
        (
            ["--by", "month", "--date-order", "us"],
            "--date-order is 'us'; choose day-first or month-first.",
        ),
    ],
)
def test_count_rejects_options_of_dates(run: Run, words: list[str], message: str) -> None:
    code, out, err = run("count", "news.slug", "new.csv", *words)
    assert (code, out) == (2, "")
    assert err == f"slugline: error: {message}\n"


# With labels of some of the texts -----------------------------------------------------------------


def write_labelled(path: Path, news: News, n: int) -> None:
    topics = dict(news)
    lines = path.with_name("new.csv").read_text().splitlines()[1:]
    texts = [line.rpartition(",")[0].rpartition(",")[0] for line in lines]
    rows = [f"{text},{topics[text]}" for text in texts[:n]]
    path.write_text("text,topic\n" + "\n".join(rows) + "\n")


def test_count_with_labels_says_what_each_count_is_from(
    run: Run, news: News, tmp_path: Path
) -> None:
    write_labelled(tmp_path / "labelled.csv", news, 60)
    code, out, _ = run("count", "news.slug", "new.csv", "--labelled", "labelled.csv", "--json")
    result = json.loads(out)
    assert code == 0
    assert result["n_labelled"] >= 30
    assert {topic["method"] for topic in result["topics"]} <= {"labels", "labels and model"}


def test_count_with_too_few_labels_is_by_the_model(run: Run, news: News, tmp_path: Path) -> None:
    write_labelled(tmp_path / "labelled.csv", news, 5)
    _, out, err = run("count", "news.slug", "new.csv", "--labelled", "labelled.csv", "--json")
    assert {topic["method"] for topic in json.loads(out)["topics"]} == {"model"}
    assert "5 labelled texts are too few to use, so the model alone" in err


def test_count_names_labelled_texts_that_are_not_counted(
    run: Run, news: News, tmp_path: Path
) -> None:
    write_labelled(tmp_path / "labelled.csv", news, 20)
    with (tmp_path / "labelled.csv").open("a") as file:
        file.write("a wheat silo,grain\na loan,bank\n")
    _, _, err = run("count", "news.slug", "new.csv", "--labelled", "labelled.csv")
    assert "2 of 22 labelled texts are not among the texts to count and were ignored." in err


def test_count_rejects_labels_of_other_texts(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("text,topic\na wheat silo,grain\na loan,bank\n")
    code, out, err = run("count", "news.slug", "new.csv", "--labelled", "other.csv")
    assert (code, out) == (1, "")
    assert "none of the 2 labelled texts of other.csv is in new.csv" in err


def test_count_by_labels_does_not_warn_of_another_language(run: Run, tmp_path: Path) -> None:
    texts = [f"der Zug nach Bern hat Nummer {i}" for i in range(40)]
    (tmp_path / "german.txt").write_text("\n".join(texts))
    lines = [f"{text},{'bank' if i % 2 else 'sport'}" for i, text in enumerate(texts)]
    (tmp_path / "labelled.csv").write_text("text,topic\n" + "\n".join(lines) + "\n")
    words = ("count", "news.slug", "german.txt", "--labelled", "labelled.csv", "-q")
    assert run(*words).err == ""


def test_count_asks_to_rename_columns_of_labels(run: Run, tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("note\na wheat silo\na loan\n")
    code, out, err = run("count", "news.slug", "new.csv", "--labelled", "other.csv")
    assert (code, out) == (1, "")
    assert err.startswith(
        "slugline: error: other.csv: cannot tell which columns contain the texts and the topics; "
        "name them "
    )


def test_count_counts_topics_that_only_labels_have(run: Run, news: News, tmp_path: Path) -> None:
    write_labelled(tmp_path / "labelled.csv", news, 60)
    content = (tmp_path / "labelled.csv").read_text()
    (tmp_path / "labelled.csv").write_text(content.replace(",grain", ",maize"))
    code, out, err = run("count", "news.slug", "new.csv", "--labelled", "labelled.csv", "--json")
    assert code == 0
    [maize] = [t for t in json.loads(out)["topics"] if t["topic"] == "maize"]
    assert (maize["method"], maize["answers"]) == ("labels", None)
    assert "The labels contain 1 topic unknown to the model: maize." in err


def test_count_leaves_months_with_few_labels_blank_without_heldout_predictions(
    run: Run, news: News, tmp_path: Path
) -> None:
    from slugline.classifier import load

    classifier = load("news.slug")
    classifier.partial_fit(["wheat rose"], ["grain"]).save(tmp_path / "batch.slug")
    write_labelled(tmp_path / "labelled.csv", news, 20)
    words = ("count", "batch.slug", "new.csv", "--labelled", "labelled.csv", "--by", "month")
    code, out, err = run(*words, "--json", "-o", "counts.html")
    result = json.loads(out)
    blank = [group for group in result["groups"] if group["topics"][2]["method"] == "none"]
    assert code == 0
    assert {topic["share"] for group in blank for topic in group["topics"]} == {None}
    assert result["topics"][2]["method"] == "labels"
    assert "fewer than 15 labels, and the model can't count them because it has no held-out" in err
    for ending in ("csv", "svg"):
        code, out, _ = run(*words, "-o", f"counts.{ending}")
        assert code == 0
    assert "nan" not in out


def test_count_counts_each_topic_of_a_multilabel_model(
    run: Run, news: News, tmp_path: Path
) -> None:
    from slugline.classifier import TopicClassifier

    pairs = [*pairwise(news)]
    texts = [text for text, _ in news] + [f"{a} {b}" for (a, _), (b, _) in pairs]
    topics = [(topic,) for _, topic in news] + [tuple(sorted({a, b})) for (_, a), (_, b) in pairs]
    TopicClassifier().fit(texts, topics).save(tmp_path / "several.slug")
    code, out, _ = run("count", "several.slug", "new.csv", "--by", "month", "--json")
    result = json.loads(out)
    assert code == 0
    assert result["multilabel"]
    sport = result["topics"][2]
    assert sport["low"] < 60 / 110 < sport["high"]
