"""`slugline predict -o out/`, as a person runs it."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _folder(news_slug: Path, tmp_path: Path) -> None:
    """Have news.slug in the folder, and tables in in/."""
    Path(tmp_path, "in").mkdir()
    for name, text in (("a", "wheat"), ("b", "goal")):
        Path(tmp_path, f"in/{name}.csv").write_text(f"id,text\n1,{text}\n2,{text}\n")


def untimed(text: str) -> str:
    """Return what was said without how long it took."""
    text = re.sub(r"in [\d.]+ s, [\d,]+ a second", "in T", text)
    return re.sub(r"[\d,]+ a second", "SPEED", text)


def test_predict_folder_writes_a_file_of_answers_for_each(run: Run) -> None:
    code, out, err = run("predict", "news.slug", "in/*.csv", "-o", "out/", "--workers", 1)

    assert (code, out) == (0, "")
    assert untimed(err) == (
        "2 files to answer\n"
        "in/a.csv: read column 'text' as text; choose another with --text\n"
        " 52%  predicting  1 of 2 files, 2 rows, SPEED\n"
        "out: answered 2 files, 4 rows in T\n"
    )
    with Path("out/b.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["id", "text", "topic", "probability", "error"]
    assert [row[:3] for row in rows[1:]] == [["1", "goal", "sport"], ["2", "goal", "sport"]]
    assert run("predict", "news.slug", "in/*.csv", "-o", "out") == (
        0,
        "",
        "2 files, 2 of which have answers already\nout: answered 0 files; skipped 2 up to date\n",
    )


def test_predict_folder_takes_files_one_by_one(run: Run) -> None:
    result = run("predict", "news.slug", "in/a.csv", "in/b.csv", "-q", "-o", "out/", "--to", "tsv")
    assert result == (0, "", "")
    assert sorted(path.name for path in Path("out").iterdir()) == [*("_slugline", "a.tsv", "b.tsv")]


def test_predict_folder_uses_the_shipped_model_if_none_is_named(run: Run) -> None:
    code, _, err = run("predict", "in/*.csv", "-o", "out/", "--workers", 1)
    assert (code, err.partition(" (")[0]) == (0, "using the included model reuters46")
    assert Path("out/a.csv").exists()


def test_predict_folder_reports_bad_rows_and_files_in_the_exit_status(run: Run) -> None:
    Path("in/a.csv").write_text("id,text\n1,wheat\n2,\n")
    command = ("predict", "news.slug", "in/*", "-o", "out/", "--text", "text", "--workers", 1)
    code, out, err = run(*command)
    assert (code, out) == (1, "")
    assert untimed(err).startswith("2 files to answer\n")
    assert err.endswith('1 row of 1 file could not be classified; see "error" in the answers\n')

    Path("in/c.xyz").write_text("x")
    code, _, err = run(*command, "-q")
    assert (code, err) == (
        1,
        "warning: in/c.xyz is in an unknown format; use a name that ends in one of .csv, .tsv, "
        ".jsonl, .ndjson, .json, .parquet, .xlsx, .txt, .ft, or name the format with --format.\n"
        "slugline: error: 1 of 1 file failed. Fix them and rerun; finished files are skipped.\n",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["in/a.csv", "--workers", 2],
            "--workers requires an output folder, such as --output out/.",
        ),
        (
            ["in/a.csv", "-o", "a.csv", "--overwrite"],
            "--overwrite requires an output folder, such as --output out/.",
        ),
        (
            ["in/a.csv", "in/b.csv", "-o", "a.csv"],
            "2 files require an output folder, such as --output out/.",
        ),
        (["in/*.csv"], "pattern in/*.csv requires an output folder, such as --output out/."),
        (
            ["in/a.csv", "-o", "out/", "--explain"],
            "--explain can't be used with --output; it is available only for JSON lines.",
        ),
        (
            ["in/a.csv", "-o", "out/", "--workers", 1, "--scheduler", "tcp://x:1"],
            "--workers can't be used with --scheduler, which runs on a cluster; leave one out.",
        ),
        (
            ["-o", "out/"],
            "standard input has no file name to use in an output folder; "
            "save it to a file, or choose an output file with --output.",
        ),
        (["in", "-o", "out/"], "in is a folder; pass its files, such as 'in/*.csv'."),
        (
            ["in/a.csv", "-o", "in"],
            "in/a.csv is inside the output folder in; choose another output folder.",
        ),
        (
            ["in/a.csv", "-o", "out/", "--to", "xls"],
            "--to is 'xls'; choose one of csv, tsv, jsonl, parquet, xlsx.",
        ),
        (
            ["in/a.csv", "-o", "out/", "--per-topic"],
            "--per-topic requires a --min-precision over 0; add it.",
        ),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_predict_folder_rejects_invalid_arguments(
    run: Run, arguments: list[Any], message: str
) -> None:
    assert run("predict", "news.slug", *arguments) == (2, "", f"slugline: error: {message}\n")
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["news.slug", "in/*.tsv"], "no file matches in/*.tsv; check the pattern and the folder."),
        (["news.slug", "in/c.csv"], "in/c.csv doesn't exist; check the path."),
        (["none.slug", "in/*"], "none.slug: there is no such file; check the path."),
        (
            ["in/a.csv", "news.slug"],
            "in/a.csv is not a model, but news.slug is. Swap them: "
            "slugline predict news.slug in/a.csv",
        ),
    ],
    ids=["empty pattern", "no file", "no model", "other order"],
)
def test_predict_folder_names_missing_files(run: Run, arguments: list[str], message: str) -> None:
    result = run("predict", *arguments, "-o", "out/")
    assert result == (1, "", f"slugline: error: {message}\n")
    assert not Path("out").exists()


def test_predict_folder_overwrite_replaces_answers_of_another_model(run: Run) -> None:
    command = ("predict", "news.slug", "in/*", "-q", "-o", "out/", "--workers", 1)
    run(*command)
    assert run(*command, "--top", 2) == (
        2,
        "",
        "slugline: error: out/a.csv contains answers of another model or other settings; choose "
        "another folder, or replace them with --overwrite.\n",
    )
    assert run(*command, "--top", 2, "--overwrite") == (0, "", "")
    assert "topic_2" in Path("out/a.csv").read_text()


def test_predict_folder_interrupted_says_how_to_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slugline.prediction import job

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "predict_file", interrupted)
    code, _, err = run("predict", "news.slug", "in/*", "-o", "out/", "--workers", 1)
    assert code == 130
    assert err.splitlines()[:2] == [
        "2 files to answer",
        "interrupted: the same command resumes the job.",
    ]
