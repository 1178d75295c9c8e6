"""Bad input: one line that says what is wrong, the right exit status, and nothing half-written."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model_entries import JSON, rezip, unzip
from slugline.classifier import load
from slugline.cli import options
from slugline.cli.documents import read_parts
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import ReadOptions
from slugline.errors import DataError

pytestmark = pytest.mark.slow

Run = Callable[..., Any]

SKIP = "or continue without them with --skip-bad-rows."
OLD = b"an old model"


def table(*rows: str) -> bytes:
    return "".join(f"{row}\n" for row in ("text,topic", *rows)).encode()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Have a model file from an earlier day where the new one would go."""
    path = tmp_path / "old.slug"
    path.write_bytes(OLD)
    return path


def assert_refused(result: Any, opening: str) -> None:
    """See that a job failed with one line that opens so; the library's tests have all of it."""
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"slugline: error: {opening}")
    assert len(result.err.splitlines()) == 1


# Data -------------------------------------------------------------------------------------------

BAD_DATA = {
    "empty file": (b"", "t.csv contains no documents"),
    "header only": (table(), "t.csv contains no documents"),
    "short rows": (
        table("wheat,grain", "grain", "goal,sport", "sport"),
        "t.csv: 2 of 4 rows can't be used: 1 cell instead of 2 (lines 3, 5); fix them.",
    ),
    "rows without text": (
        table(",grain", " ,sport"),
        "t.csv has no document with a topic; skipped 2 of 2 rows without a text in column 'text' "
        "(lines 2 and 3).",
    ),
    "row without any topic": (
        table(*["corn,"] * 3),
        "t.csv has no document with a topic; 3 of 3 rows are not labelled yet, with nothing in "
        "column 'topic' (lines 2, 3 and 4)",
    ),
    "many short rows": (
        table("wheat,grain", *["grain"] * 1000),
        "t.csv: 1000 of 1001 rows can't be used: 1 cell instead of 2 (lines 3, 4, ",
    ),
    "not UTF-8": (
        table("blé,grain") + "café,sport in the evening\n".encode("latin1"),
        "t.csv: 1 of 2 rows can't be used: bytes that are not UTF-8 (line 3)",
    ),
    "NUL": (
        table("wheat,grain", "go\0al,sport"),
        "t.csv: 1 of 2 rows can't be used: a NUL character (line 3)",
    ),
    "topics of numbers and words": (
        table("wheat,1", "goal,2", "loan,bank"),
        "t.csv: 1 of 3 rows can't be used: a string as topic, such as 'bank'",
    ),
    "all topics with one document": (
        table("wheat,grain", "goal,sport", "loan,bank"),
        "t.csv has no topic with two documents, so none can be set aside to test on; check which "
        "column contains the topics, add documents, or give separate ones with --test.",
    ),
    "open quote": (
        table("wheat,grain", '"corn,grain', "goal,sport"),
        "t.csv, line 3: unclosed quote in the row that starts here",
    ),
    "zip archive": (
        b"PK\x03\x04 and more",
        "t.csv is a zip archive, a spreadsheet or a Word document",
    ),
}


@pytest.mark.parametrize(("content", "opening"), BAD_DATA.values(), ids=BAD_DATA)
def test_train_rejects_bad_data_and_changes_no_file(
    run: Run, old: Path, content: bytes, opening: str
) -> None:
    Path("t.csv").write_bytes(content)

    # A net wants the most of its data: documents to test on, and documents to validate on.
    result = run("train", "t.csv", "-o", "old.slug", "--quiet", "--learner", "network")

    assert_refused(result, opening)
    assert old.read_bytes() == OLD
    assert {path.name for path in Path().iterdir()} == {"t.csv", "old.slug"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("ticket.csv", "ticket.csv doesn't exist; did you mean tickets.csv?"),
        ("elsewhere/t.csv", "elsewhere/t.csv doesn't exist; check the path."),
        ("nosuch.csv", "nosuch.csv doesn't exist; check the path."),
        (
            "model.slug",
            "model.slug is a model, not documents; pass documents, or classify some with it: "
            "slugline predict model.slug FILE",
        ),
        ("reuter", "reuter is not a file, folder or known data set; did you mean reuters?"),
        ("empty", "empty has no sub-folders; make one for each topic, with its texts as *.txt."),
        (
            "tickets.doc",
            "tickets.doc is in an unknown format; use a name that ends in one of .csv, .tsv, "
            ".jsonl, "
            ".ndjson, .json, .parquet, .xlsx, .txt, .ft, or name the format with --format.",
        ),
    ],
    ids=[
        "near a file",
        "nowhere",
        "only the ending",
        "a model",
        "near a data set",
        "empty folder",
        "unknown ending",
    ],
)
def test_train_names_the_nearest_file_of_a_missing_one(
    run: Run, old: Path, data: str, message: str
) -> None:
    Path("tickets.csv").write_bytes(table("wheat,grain"))
    Path("tickets.doc").write_bytes(b"wheat")
    Path("model.slug").touch()
    Path("unclosed.csv").touch()  # of which "nosuch.csv" is no misspelling
    Path("empty").mkdir()

    assert run("train", data, "-o", "old.slug") == (1, "", f"slugline: error: {message}\n")
    assert old.read_bytes() == OLD


def test_train_rejects_a_missing_test_file_before_any_training(run: Run, news_csv: Path) -> None:
    result = run("train", "news.csv", "--test", "nws.csv", "-q")

    assert result == (1, "", "slugline: error: nws.csv doesn't exist; did you mean news.csv?\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--text", "bodi"],
            "news.csv has no column 'bodi'; found 'body', 'queue'; did you mean 'body'?",
        ),
        (
            ["--topic", "department"],
            "news.csv has no column 'department'; found 'body', 'queue'; choose one of them.",
        ),
    ],
    ids=["near one", "near none"],
)
def test_train_names_the_columns_if_one_is_missing(
    run: Run, news_csv: Path, options: list[str], message: str
) -> None:
    assert run("train", "news.csv", *options) == (2, "", f"slugline: error: {message}\n")
    assert list(Path().iterdir()) == [Path("news.csv")]


def test_train_rejects_a_test_file_of_other_topics_before_any_training(
    run: Run, news_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(
        "slugline.experiment.experiment.fit", lambda *_, **__: pytest.fail("it trained")
    )
    Path("other.csv").write_bytes(table("oil,crude"))

    result = run("train", "news.csv", "--test", "other.csv", "-q")

    assert_refused(
        result, "other.csv has none of the model's topics, such as 'bank', but ones like 'crude'"
    )


def test_train_skip_bad_rows_reports_the_rows(run: Run, news_csv: Path) -> None:
    with news_csv.open("ab") as file:
        file.write(b",grain\nbl\xc3\xa9,\ncaf\xe9,grain\n")

    code, _, err = run("train", "news.csv", "--skip-bad-rows")

    assert code == 0
    assert err.splitlines()[1] == (
        "news.csv: left out: 1 of 93 rows is not labelled yet, with nothing in column 'queue' "
        "(line 93)"
    )
    assert err.splitlines()[2] == (
        "news.csv: skipped 1 of 93 rows without a text in column 'body' (line 92)"
    )
    assert err.splitlines()[3] == (
        "news.csv: skipped 1 of 93 rows: bytes that are not UTF-8 (line 94)"
    )
    assert load("model.slug").fitted_.n_learned == 72


def test_train_report_counts_skipped_rows(run: Run, news_csv: Path) -> None:
    with news_csv.open("ab") as file:
        file.write(b",grain\nbl\xc3\xa9,\ncaf\xe9,grain\n")

    _, out, err = run("train", "news.csv", "--skip-bad-rows", "--quiet")

    assert err == ""
    assert "skipped          2  rows that can't be used\n" in out
    report = Path("model.html").read_text("utf-8")
    assert "skipped 1 of 93 rows without a text in column &#39;body&#39; (line 92)" in report
    assert "1 of 93 rows is not labelled yet" in report
    assert "choose others with <code>--text</code> and <code>--topic</code>" in report


HALF = "half.csv: left out: 9 of 99 rows are not labelled yet, with nothing in column 'queue' ("


@pytest.mark.parametrize(
    "command",
    [
        ["train", "half.csv", "-o", "half.slug"],
        ["train", "news.csv", "--test", "half.csv", "-o", "half.slug"],
        ["train", "half.csv", "--stream", "-o", "half.slug"],
        ["evaluate", "news.slug", "half.csv"],
        ["audit", "half.csv"],
        ["curve", "half.csv", "--draws", "2"],
        ["compare", "half.csv", "--folds", "2", "--models", "majority"],
    ],
    ids=lambda command: " ".join(command[:3]),
)
def test_train_counts_unlabelled_rows_in_one_note(
    run: Run, news_csv: Path, news_slug: Path, command: list[str]
) -> None:
    lines = news_csv.read_text("utf-8").splitlines(keepends=True)
    assert lines[0] == "body,queue\n"
    half = "".join(f"wheat and corn {n},\n" for n in range(9))
    Path("half.csv").write_text("".join([*lines, half]), "utf-8")

    code, _, err = run(*command)

    assert code == 0, err
    notes = [line for line in err.splitlines() if "not labelled yet" in line]
    assert len(notes) == 1
    if "--stream" in command:
        assert "9 rows not labelled yet, left out" in notes[0]
    else:
        assert notes[0].startswith(HALF)


def test_suggest_ignores_topics_of_texts(run: Run, news_csv: Path) -> None:
    assert run("train", news_csv, "-q", "-o", "news.slug").code == 0
    Path("half.csv").write_text("body,queue\ngoal,sport\nwheat,\nloan and corn,\n")

    code, out, err = run("suggest", "news.slug", "half.csv")

    assert code == 0
    assert sorted(line.split(",")[1] for line in out.splitlines()[1:]) == ["loan and corn", "wheat"]
    assert "half.csv: 1 text with a topic already in column 'queue' is not suggested\n" in err
    Path("half.csv").write_text("body,queue\ngoal,sport\n")
    code, out, err = run("suggest", "news.slug", "half.csv")
    assert (code, len(out.splitlines())) == (0, 2)
    assert (
        "half.csv: every text already has a topic in column 'queue'; these topics are ignored\n"
        in err
    )


def test_evaluate_rejects_bad_rows_unless_skipped(run: Run, news_slug: Path) -> None:
    Path("t.csv").write_bytes(table(*["wheat,grain"] * 9, "grain"))

    assert run("evaluate", "news.slug", "t.csv") == (
        1,
        "",
        "slugline: error: t.csv: 1 of 10 rows can't be used: 1 cell instead of 2 (line 11); "
        f"fix them, {SKIP} Slugline read column 'text' as text and 'topic' as topic; choose "
        "others with --text and --topic.\n",
    )
    code, out, _ = run("evaluate", "news.slug", "t.csv", "--skip-bad-rows", "--json")
    assert (code, json.loads(out)["n_documents"]) == (0, 9)


# Size -------------------------------------------------------------------------------------------

# Not ru_maxrss, which begins at what the parent had.
MEASURED = """
import sys
from pathlib import Path
from slugline.cli import main
try:
    main()
finally:
    status = Path("/proc/self/status").read_text()
    print(status.partition("VmHWM:")[2].split()[0], file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
@pytest.mark.parametrize(
    ("command", "first", "said"),
    [
        (
            ["train", "t.csv"],
            b"text,topic\nwheat,grain\n",
            "slugline: error: t.csv, line 3: the row that starts here has more than 10,000,000 "
            "bytes; close its quotes, or split it.",
        ),
        (
            ["train", "t.txt"],
            b"__label__grain corn\n__label__grain wheat\n__label__grain ",
            "slugline: error: t.txt: 1 of 3 rows can't be used: more than 10,000,000 bytes "
            "(line 3); split them.",
        ),
        (
            ["predict", "news.slug", "t.txt"],
            b"wheat\n",
            't.txt: 1 of 2 lines could not be classified; see "error" in the lines',
        ),
    ],
    ids=["train on CSV", "train on fastText", "predict"],
)
def test_commands_reject_a_line_of_50_megabytes_in_little_memory(
    news_slug: Path, command: list[str], first: bytes, said: str
) -> None:
    news_slug.with_name(command[-1]).write_bytes(first + b"wheat " * (50_000_000 // 6) + b"\n")

    process = subprocess.run(
        [sys.executable, "-c", MEASURED, *command],
        cwd=news_slug.parent,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )

    *lines, peak = process.stderr.splitlines()
    assert (process.returncode, lines) == (1, [said])
    assert int(peak) < 400 * 1024


# Model files ------------------------------------------------------------------------------------


def rewrite(path: Path, **changes: object) -> None:
    """Change fields of model.json."""
    entries = unzip(path.read_bytes())
    entries[JSON] = json.dumps(json.loads(entries[JSON]) | changes).encode()
    path.write_bytes(rezip(entries))


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def of_a_later_format(path: Path) -> None:
    rewrite(path, format=99)


def of_an_earlier_format(path: Path) -> None:
    rewrite(path, format=1)


def a_text(path: Path) -> None:
    path.write_text("wheat,grain\n")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def missing(path: Path) -> None:
    path.unlink()


def another_zip(path: Path) -> None:
    path.write_bytes(rezip({"letter.txt": b"Dear Sir,"}))


NO_MODEL = "not a Slugline model, or truncated"


@pytest.mark.parametrize("command", [["predict"], ["evaluate", "news.csv"], ["info"]])
@pytest.mark.parametrize(
    ("damage", "opening"),
    [
        (missing, "there is no such file"),
        (empty, NO_MODEL),
        (a_text, NO_MODEL),
        (cut_off, NO_MODEL),
        (a_folder, "can't be read (Is a directory)"),
        (another_zip, "a zip archive without model.json"),
        (
            of_a_later_format,
            "model of format 99, but this Slugline reads format 4; upgrade Slugline.",
        ),
        (
            of_an_earlier_format,
            "model of format 1, but this Slugline reads format 4; train the model again, or "
            "install the Slugline release that saved it.",
        ),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_commands_reject_a_damaged_model(
    run: Run,
    news_slug: Path,
    news_csv: Path,
    command: list[str],
    damage: Callable[[Path], None],
    opening: str,
) -> None:
    damage(news_slug)
    verb, *rest = command

    result = run(verb, "news.slug", *rest, stdin="wheat")

    assert_refused(result, f"news.slug: {opening}")


# A full disk ------------------------------------------------------------------------------------


def fill_up(file_descriptor: int) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_train_on_a_full_disk_leaves_the_old_model(
    run: Run, news_csv: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", fill_up)

    result = run("train", "news.csv", "-q", "-o", "old.slug")

    assert_refused(result, "old.slug: the model could not be saved (No space left on device)")
    assert old.read_bytes() == OLD
    assert {path.name for path in Path().iterdir()} == {"news.csv", "old.slug"}


def allow_small_files_only() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))


def test_train_with_limited_file_size_leaves_the_old_model(news_csv: Path, old: Path) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "slugline", "train", "news.csv", "-q", "-o", "old.slug"],
        cwd=old.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        preexec_fn=allow_small_files_only,
    )

    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr.startswith(
        "slugline: error: old.slug: the model could not be saved (File too large)"
    )
    assert len(process.stderr.splitlines()) == 1
    assert old.read_bytes() == OLD
    assert {path.name for path in old.parent.iterdir()} == {"news.csv", "old.slug"}


def test_messages_escape_line_breaks_of_names_and_topics(run: Run, news_csv: Path) -> None:
    name = "no\nslugline: error: forged.csv"
    forged = 'wheat,"grain\nforged: 1"\ngoal,"sport\nforged: 2"\n' * 30
    news_csv.write_text(f"text,topic\n{forged}")

    refused = run("train", name)
    run("train", "news.csv", "-o", "n.slug")
    Path("swapped.csv").write_text("text,topic\n" + forged.replace("wheat", "goal"))
    shown = run("evaluate", "n.slug", "swapped.csv")
    why = run("explain", "n.slug", "wheat", "--not", "sport\nforged: 2")

    assert refused.err.count("\n") == 1
    assert "taken for" in shown.out
    lines = (refused.err + shown.out + shown.err + why.out + why.err).splitlines()
    assert [line for line in lines if line.startswith(("forged", "slugline: error: forged"))] == []


def test_main_ends_at_ctrl_c_during_imports() -> None:
    # As imports of compiled modules do, this one swallows an interrupt.
    script = """
import contextlib, signal, sys
import slugline.cli as cli

def run():
    with contextlib.suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    print("goes on")

cli._run = run
cli.main()
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")


def test_main_restores_the_interrupt_handler_for_commands() -> None:
    script = (
        "import signal, sys; sys.argv = ['slugline', 'info', 'reuters46']; "
        "import slugline.cli as cli; "
        "import slugline.cli.output as output; "
        "output.show = lambda *_: print(signal.getsignal(signal.SIGINT).__name__); cli.main()"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)

    assert result.stdout == "default_int_handler\n", result


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--test-fraction", "0,2"), "'0,2' is not a number."),
        (("--test-fraction", "much"), "'much' is not a number."),
        (("--seed", "x"), "'x' is not a whole number."),
    ],
)
def test_train_rejects_what_is_not_a_number(
    run: Run, option: tuple[str, str], message: str
) -> None:
    result = run("train", "t.csv", *option)
    assert result.code == 2
    assert f"Invalid value for '{option[0]}': {message}\n" in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--topic-separator", "and"],
            "--topic-separator is 'and'; give the topic separator, such as ';'.",
        ),
        (
            ["--topic-columns", "gran,corn"],
            "tags.csv has no column 'gran'; found 'text', 'topic', 'grain', 'corn'; did you "
            "mean 'grain'?",
        ),
        (
            ["--topic-separator", ";", "--topic-columns", "grain,corn"],
            "--topic-separator and --topic-columns can't be combined; give only one of them.",
        ),
        (
            ["--topic", "topic", "--topic-columns", "grain,corn"],
            "--topic names one column, and --topic-columns a column for each topic; give only one "
            "of them.",
        ),
    ],
)
def test_compare_rejects_invalid_forms_of_several_topics(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tags.csv").write_text("text,topic,grain,corn\nwheat,grain;corn,1,1\nmaize,corn,0,1\n")

    result = run("compare", "tags.csv", *options)

    assert (result.code, result.err) == (2, f"slugline: error: {message}\n")


def test_curve_needs_test_documents_in_the_form_of_the_data(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("several.txt").write_text("__label__grain __label__corn wheat\n")
    Path("one.txt").write_text("__label__corn maize\n")
    parts: list[dict[str, Corpus]] = []

    @options.command("curve")
    @options.argument("files", "", nargs=2)
    def curve(files: tuple[str, str]) -> None:
        parts.append(read_parts(files[:1], files[1], ReadOptions()))

    curve(["several.txt", "one.txt"], standalone_mode=False)
    with pytest.raises(DataError) as error:
        curve(["one.txt", "several.txt"], standalone_mode=False)

    assert parts[0]["test"].topics == [("corn",)]
    assert str(error.value) == (
        "several.txt is multi-label, but a model of one.txt requires one topic per "
        "document; keep one, such as the first."
    )
