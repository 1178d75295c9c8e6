"""`slugline train`: from labelled texts to a model file, a report and figures."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.base.progress import SilentProgress
from slugline.classifier import load
from slugline.errors import SluglineError
from slugline.learning.learner import LEARNERS
from slugline.text.terms import NGRAM_LENGTHS

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
News = list[tuple[str, str]]

SLUGLINE = [sys.executable, "-m", "slugline"]
NET = ["--learner", "network"]
# The way to learn that tuning tries first.
DEFAULT = (
    "1.5 x words + 1.5 x bigrams + characters + 0.5 x characters-2 + 0.71 x characters-3 + "
    "1.41 x characters-5"
)
GUESSED = "read column 'body' as text and 'queue' as topic; choose others with --text and --topic"

SHARE = "give a number of at least 0 and under 1."


def write_csv(path: str, documents: News, header: str = "body,queue", sep: str = ",") -> str:
    lines = [header.replace(",", sep), *(f"{text}{sep}{topic}" for text, topic in documents)]
    Path(path).write_text("\n".join(lines) + "\n")
    return path


def write_jsonl(path: str, documents: News) -> str:
    rows = [json.dumps({"body": text, "queue": topic}) for text, topic in documents]
    Path(path).write_text("\n".join(rows) + "\n")
    return path


def write_parquet(path: str, documents: News) -> str:
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (body VARCHAR, queue VARCHAR)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", documents)
        connection.execute(f"COPY t TO '{path}' (FORMAT parquet)")
    return path


def write_gzip(path: str, documents: News) -> str:
    plain = Path(write_csv("plain.csv", documents))
    Path(path).write_bytes(gzip.compress(plain.read_bytes()))
    return path


def write_folder(path: str, documents: News) -> str:
    for number, (text, topic) in enumerate(documents):
        file = Path(path, topic, f"{number:03}.txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return path


def write_fasttext(path: str, documents: News) -> str:
    Path(path).write_text("".join(f"__label__{topic} {text}\n" for text, topic in documents))
    return path


# What it reads, writes and says -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("news.csv", write_csv),
        ("news.tsv", lambda path, documents: write_csv(path, documents, sep="\t")),
        ("news.jsonl", write_jsonl),
        ("news.parquet", write_parquet),
        ("news.csv.gz", write_gzip),
        ("folder", write_folder),
        ("news.txt", write_fasttext),
    ],
    ids=["csv", "tsv", "jsonl", "parquet", "gzip", "folder", "fastText"],
)
def test_train_reads_every_format(
    run: Run, news: News, name: str, write: Callable[[str, News], str]
) -> None:
    code, out, err = run("train", write(name, news), "-o", "out.slug", "--quiet")

    assert (code, err) == (0, "")
    assert out.startswith(f"{name}: learned 3 topics from 72 documents in ")
    model = load("out.slug")
    assert (model.fitted_.n_learned, list(model.classes_)) == (72, ["bank", "grain", "sport"])
    report = Path("out.html").read_text("utf-8")
    assert report.startswith("<!doctype html>")
    assert name in report


def test_train_json_holds_metrics_and_nothing_else_is_printed(run: Run, news_csv: Path) -> None:
    Path("r").mkdir()

    files = ["-o", "n.slug", "--report", "r/x.html"]
    code, out, _ = run("train", "news.csv", *NET, *files, "--json")

    figures = json.loads(out)
    assert code == 0
    assert set(figures) == {
        "data",
        "evaluation",
        "baselines",
        "best_epoch",
        "encoder",
        "tuning",
        "history",
        "warnings",
        "seconds",
        "model",
        "report",
    }
    assert figures["data"] == {
        "name": "news.csv",
        "n_train": 72,
        "n_test": 18,
        "n_topics": 3,
        "n_skipped": 0,
        "n_suspect_labels": 0,
        "notes": [GUESSED],
    }
    assert (figures["model"], figures["report"]) == ("n.slug", "r/x.html")
    assert load("n.slug").info_.metrics["test_accuracy"] == figures["evaluation"]["accuracy"]
    assert load("n.slug").info_.learner["n_epochs"] == figures["best_epoch"]
    assert Path("r/x.html").is_file()
    assert not Path("n.html").exists()


def test_train_reports_progress_of_each_step(
    run: Run, news_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.base.progress._SHORT", 0.0)
    monkeypatch.setattr("slugline.corpus.collect.ROWS_PER_REPORT", 10)
    lines = run("train", "news.csv").err.splitlines()
    steps = [match["step"] for line in lines if (match := re.match(r" *\d+%  (?P<step>.*)", line))]
    assert steps == [
        "reading news.csv",
        "counting words of 72 documents",
        "learning from 72 documents",
        "calibrating: learning from 54 documents",
    ]


def test_train_text_and_topic_name_the_columns(run: Run, news: News) -> None:
    rows = [(text, f"nonsense,{topic}") for text, topic in news]
    write_csv("t.csv", rows, "words,topic,kind")

    code, _, err = run("train", "t.csv", "--text", "words", "--topic", "kind")

    assert (code, err) == (0, "")
    assert list(load("model.slug").classes_) == ["bank", "grain", "sport"]


def test_train_learns_from_all_of_data_if_there_is_a_test_file(run: Run, news: News) -> None:
    write_csv("train.csv", news[:75])
    write_csv("test.csv", news[75:])

    out = run("train", "train.csv", "--test", "test.csv", "--json", "-q").out

    data = json.loads(out)["data"]
    assert (data["n_train"], data["n_test"]) == (75, 15)


@pytest.mark.parametrize("learner", LEARNERS)
def test_train_seed_decides_the_bytes_of_the_model(run: Run, news_csv: Path, learner: str) -> None:
    options = ["-q", "--learner", learner]
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        assert run("train", "news.csv", *options, "-o", f"{name}.slug", "--seed", seed).code == 0

    a, b, c = (Path(f"{name}.slug").read_bytes() for name in "abc")
    assert a == b
    assert a != c


@pytest.mark.parametrize("learner", LEARNERS)
def test_train_threads_do_not_change_the_model(run: Run, news_csv: Path, learner: str) -> None:
    options = ["-q", "--learner", learner]
    for n in (1, 2, 3):
        assert run("train", "news.csv", *options, "-o", f"{n}.slug", "--threads", n).code == 0

    assert len({Path(f"{n}.slug").read_bytes() for n in (1, 2, 3)}) == 1


def test_train_linear_prints_metrics_without_epochs(run: Run, news_csv: Path) -> None:
    code, out, err = run("train", "news.csv")

    assert (code, err) == (0, f"news.csv: {GUESSED}\n")
    assert re.sub(r"in \d+\.\d s", "in - s", out) == (
        "news.csv: learned 3 topics from 72 documents in - s, tested on 18 others\n"
        "accuracy     1.000  95 % interval 0.824 to 1.000\n"
        "macro-F1     1.000  95 % interval 0.824 to 1.000; every topic counts the same\n"
        "weighted F1  1.000  95 % interval 0.824 to 1.000; every document counts the same\n"
        "baseline     0.333  always 'bank'\n"
        "encoder       42 %  of the decision comes from vectors, and the rest from words\n"
        "model   model.slug\n"
        "report  model.html\n"
    )
    info = load("model.slug").info_
    assert info.learner["kind"] == "linear"
    assert [block.kind for block in info.feature_groups] == ["words", "bigrams", *NGRAM_LENGTHS]
    assert "epoch" not in Path("model.html").read_text("utf-8")


def test_train_balanced_and_seed_reach_any_learner(run: Run, news_csv: Path) -> None:
    for learner in ("network", "linear"):
        options = ["--learner", learner, "--balanced", "--seed", 5]
        assert run("train", "news.csv", "-q", *options).code == 0
        info = load("model.slug").info_
        assert (info.class_weight, info.seed, info.learner["kind"]) == ("balanced", 5, learner)


# Warnings ---------------------------------------------------------------------------------------


def warnings_of(result: Any) -> list[str]:
    assert result.code == 0
    assert all(line.startswith("warning: ") for line in result.err.splitlines())
    return [line.removeprefix("warning: ") for line in result.err.splitlines()]


def test_train_warns_of_topics_with_few_documents(run: Run, news: News) -> None:
    write_csv(
        "n.csv", [*news, ("ship port", "ship"), *[(f"oil well {n}", "crude") for n in range(5)]]
    )

    assert warnings_of(run("train", "n.csv", "-q")) == [
        "2 of 5 topics have fewer than 10 training documents, such as ship (1), crude (4): "
        "expect them to be missed. Add documents, or merge topics."
    ]


def test_train_warns_of_a_single_topic(run: Run, news: News) -> None:
    write_csv("n.csv", [(text, "all") for text, _ in news])

    done = run("train", "n.csv", "-q")
    assert done.out.startswith("n.csv: learned 1 topic from 72 documents in ")
    assert warnings_of(done) == [
        "all 72 documents have the topic 'all': there is nothing to tell apart, and the model "
        "will always predict it. Add documents of other topics."
    ]


def test_train_warns_of_unknown_words_and_topics_in_the_test(run: Run, news: News) -> None:
    write_csv("n.csv", news)
    write_csv("test.csv", [("le cours du wheat", "grain"), ("le match de foot", "foot")])

    test = ("train", "n.csv", "-q", "--test", "test.csv")
    assert warnings_of(run(*test, "--encoder", "none")) == [
        "75 % of the words of a test document, on average, are unknown to the model and "
        "ignored. Train on more documents like these.",
        "1 of the 2 test documents has a topic that the model doesn't know, such as 'foot', and "
        "counts as wrong. Train with documents of such topics, or leave them out of the test.",
    ]
    # A long document counts as much as others.
    texts = [(f"{text} {n}", topic) for n, (text, topic) in enumerate(news[:9])]
    write_csv("test.csv", [*texts, ("le cours du " * 1000, "grain")])
    assert warnings_of(run(*test, "--encoder", "none")) == []


def test_train_doesnt_say_that_words_are_unknown_which_word_vectors_know(
    run: Run, news: News
) -> None:
    write_csv("n.csv", news)
    write_csv("test.csv", [("le cours du wheat", "grain"), ("le match de foot", "foot")])
    test = ("train", "n.csv", "-q", "--test", "test.csv")
    # Word vectors know French, but the training documents don't show how such texts are answered.
    assert len(warnings_of(run(*test))) == 2


def test_train_warns_of_a_model_no_better_than_the_baseline(run: Run, news: News) -> None:
    rows = [(text, "rare" if n % 4 == 0 else "common") for n, (text, _) in enumerate(news)]
    write_csv("n.csv", [("same words", topic) for _, topic in rows])
    write_csv("test.csv", [("other words", "common"), ("others", "rare")])

    assert (
        "the model is no better than always answering 'common': its accuracy on the test "
        "documents is 50.0 %, and the baseline's is 50.0 %. Try another --learner, or add "
        "documents."
    ) in warnings_of(run("train", "n.csv", "-q", "--test", "test.csv"))


def test_train_warns_of_test_documents_equal_to_training_ones(run: Run, news: News) -> None:
    write_csv("n.csv", news)
    write_csv("test.csv", [news[0], ("corn wheat crop", "grain")])

    assert warnings_of(run("train", "n.csv", "-q", "--test", "test.csv")) == [
        "1 of the 2 test documents has exactly the text of a training document, so the results "
        "look better than they are. "
        "Remove duplicates, or test on other documents."
    ]


def test_train_report_keeps_dots_in_the_name_of_the_model(run: Run, news_csv: Path) -> None:
    assert run("train", "news.csv", "-q", "-o", "v1.2").code == 0
    assert sorted(path.name for path in Path().iterdir()) == ["news.csv", "v1.2", "v1.2.html"]


def test_train_json_holds_the_warnings(run: Run, news: News) -> None:
    write_csv("n.csv", [*news, ("ship port", "ship")])
    _, out, err = run("train", "n.csv", "-q", "--json")

    assert err == "".join(f"warning: {warning}\n" for warning in json.loads(out)["warnings"])


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no pseudo-terminals here")
@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)], ids=["empty", "1"])
def test_train_colours_warnings_on_a_terminal_unless_no_color(
    tmp_path: Path, news: News, no_color: str, coloured: bool
) -> None:
    path = write_csv(str(tmp_path / "n.csv"), [*news, ("ship port", "ship")])
    terminal, their_end = os.openpty()
    environment = os.environ | {"TERM": "xterm", "NO_COLOR": no_color}

    subprocess.run(
        [*SLUGLINE, "train", path, "-q"],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=600,
        stdout=subprocess.DEVNULL,
        stderr=their_end,
    )

    os.close(their_end)
    said = os.read(terminal, 10_000).decode()
    os.close(terminal)
    assert said.startswith("\x1b[33mwarning: " if coloured else "warning: ")


# What is asked wrongly --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--test-fraction", 1],
            "--test-fraction is 1.0; give a number of at least 0 and under 1.",
        ),
        (
            ["--test-fraction", "nan"],
            "--test-fraction is nan; give a number of at least 0 and under 1.",
        ),
        (
            ["--format", "xml"],
            "unknown format 'xml'; choose one of csv, tsv, jsonl, json, parquet, "
            "xlsx, txt, folder.",
        ),
        (
            ["--text", "body", "--topic", "body"],
            "--text and --topic both name column 'body'; choose different columns.",
        ),
        (
            ["-o", "nowhere/n.slug"],
            "--output nowhere/n.slug: can't write a file there (No such file or directory); "
            "create the folder, fix its permissions, or choose another one.",
        ),
        (
            ["--report", "nowhere/n.html"],
            "--report nowhere/n.html: can't write a file there (No such file or directory); "
            "create the folder, fix its permissions, or choose another one.",
        ),
        (["-o", "."], "--output .: is a folder; name a file."),
        (["--report", "."], "--report .: is a folder; name a file."),
        (["-o", "/dev/null"], "--output /dev/null: is a device or pipe; name a file."),
        (
            ["-o", "news.csv"],
            "--output news.csv: would overwrite an input file; choose another one.",
        ),
        (
            ["--test", "../{folder}/news.csv", "--report", "news.csv"],
            "--report news.csv: would overwrite an input file; choose another one.",
        ),
        (["-o", "-"], "--output -: can't be written to standard output; name a file."),
        (
            ["-o", "news.html", "--report", "news.html"],
            "the model and the report would both be written to news.html; "
            "choose two files with --output and --report.",
        ),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_train_rejects_invalid_options_and_leaves_no_file(
    run: Run, news_csv: Path, options: list[str], message: str
) -> None:
    options = [str(option).format(folder=news_csv.parent.name) for option in options]
    before = news_csv.read_bytes()

    result = run("train", "news.csv", "-q", *options)

    assert result == (2, "", f"slugline: error: {message}\n")
    assert [path.name for path in Path().iterdir()] == ["news.csv"]
    assert news_csv.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--learner", "nonsense"], "--learner is 'nonsense'; give one of linear, network.")],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_train_rejects_invalid_learner_options_before_reading(
    run: Run, options: list[object], message: str
) -> None:
    assert run("train", "no-such.csv", *options) == (2, "", f"slugline: error: {message}\n")


@pytest.mark.parametrize("option", ["--output", "--report"])
def test_train_finds_unwritable_paths_before_training(
    run: Run, news_csv: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(
        "slugline.experiment.experiment.fit", lambda *_, **__: pytest.fail("it trained")
    )

    assert run("train", "news.csv", option, "nowhere/x").code == 2


def test_train_keeps_the_model_if_the_report_fails(
    run: Run, news_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise SluglineError("n.html: the report can't be written (No space); free some space.")

    monkeypatch.setattr("slugline.cli.train_steps.write_result", fail)

    assert run("train", "news.csv", "-q", "-o", "n.slug") == (
        1,
        "",
        "slugline: error: n.html: the report can't be written (No space); free some space. "
        "The model is safe in n.slug.\n",
    )
    assert load("n.slug").fitted_.n_learned == 72


def test_train_reports_too_little_memory(
    run: Run, news_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr("slugline.experiment.experiment.fit", fail)

    assert run("train", "news.csv", "-q") == (
        1,
        "",
        "slugline: error: out of memory (Unable to allocate 9 TiB); use fewer documents, or "
        "`slugline train --stream`.\n",
    )


def test_train_proposes_stream_for_large_files(
    run: Run, news_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = importlib.import_module("slugline.cli.train_steps")
    assert "--stream" not in run("train", news_csv).err
    monkeypatch.setattr(train, "_LARGE", news_csv.stat().st_size)
    size = news_csv.stat().st_size / 1e9
    said = f"reading {size:.1f} GB of data into memory; to train in bounded memory, use --stream\n"
    assert run("train", news_csv).err.startswith(said)


# Interrupts -------------------------------------------------------------------------------------


class InterruptAt(SilentProgress):
    """Presses Ctrl-C at an epoch of a run, or at a note before the first; all count from 1."""

    def __init__(self, at: tuple[int, int]) -> None:
        self._at = at
        self._run = 0
        self._n_notes = 0
        self._step = ""

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        if step == "training":
            self._run += self._step != step
        elif step != self._step:
            self._press_at(self._run, int(step.split()[1].split("/")[0]))
        self._step = step

    def note(self, text: str) -> None:
        self._n_notes += 1
        if self._run == 0:  # later notes acknowledge a Ctrl-C
            self._press_at(0, self._n_notes)

    def _press_at(self, run: int, number: int) -> None:
        if (run, number) == self._at:
            signal.raise_signal(signal.SIGINT)


@pytest.fixture
def interrupted_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Return a function that says when to press Ctrl-C."""

    def press(run: int, number: int) -> None:
        told = InterruptAt((run, number))
        monkeypatch.setattr("slugline.cli.output.progress_on", lambda **_: told)

    return press


@pytest.mark.parametrize("at", [(1, 3), (2, 1)], ids=["in the search", "in training anew"])
def test_train_interrupted_explains_the_model_on_screen_and_in_the_report(
    run: Run, news_csv: Path, interrupted_at: Callable[[int, int], None], at: tuple[int, int]
) -> None:
    interrupted_at(*at)
    code, out, err = run("train", "news.csv", *NET)

    assert code == 130
    best = load("model.slug").info_.learner["n_epochs"]
    report = Path("model.html").read_text("utf-8")
    last = 3 if at == (1, 3) else 100
    warning = (
        f"training was interrupted: the model is from epoch {best}, the best of {last}, "
        "and was not trained on the 7 documents held out to find it."
    )
    assert f"warning: {warning}\n" in err
    assert warning in report
    assert out.startswith("news.csv: learned 3 topics from 65 documents in ")
    assert re.search(rf"epochs +{best}  best by", out)
    assert (
        "Training was interrupted before it used these too: the classifier is the one after epoch "
        f"{best}, trained on the other 65."
    ) in report
    assert "from scratch" not in report


@pytest.mark.parametrize(("n", "ways"), [(1, "1 way"), (2, "2 ways")])
def test_train_tune_interrupted_explains_the_model_in_both_places(
    run: Run, news_csv: Path, interrupted_at: Callable[[int, int], None], n: int, ways: str
) -> None:
    interrupted_at(0, n)
    code, out, err = run("train", "news.csv", "--tune")

    assert code == 130
    report = Path("model.html").read_text("utf-8")
    warning = f"the search was interrupted after trying {ways} to train: the model uses the best"
    assert warning in err
    assert warning in report
    said = re.search(
        rf"only the default was tried: {re.escape(DEFAULT)}\n"
        if n == 1
        else r"(none|the best) of the 2 ways tried until the interrupt.*: .*\n",
        out,
    )
    assert said
    assert said[0][1:-1] in report


def test_train_interrupted_before_a_model_saves_nothing(
    run: Run, news_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("slugline.cli.train_steps.run_experiment", interrupt)
    code, out, err = run("train", "news.csv")

    assert (code, out) == (130, "")
    assert err.endswith("interrupted; no model was saved\n")
    assert not Path("model.slug").exists()


def test_train_interrupted_while_reading_ends_with_130(tmp_path: Path) -> None:
    command = [*SLUGLINE, "train", "-", "--format", "csv"]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        process.stdin.write("body,queue\n" + "wheat,grain\n" * 10_000)
        process.stdin.flush()  # more than a pipe holds: it reads by now
        process.send_signal(signal.SIGINT)
        process.wait(600)
        assert process.stdout is not None
        assert process.stderr is not None
        said = process.stdout.read() + process.stderr.read()

    assert (process.returncode, said) == (130, "")
    assert list(tmp_path.iterdir()) == []


# Weights of fewer bits --------------------------------------------------------------------------


def test_train_quantize_prints_the_cost(run: Run, news_csv: Path) -> None:
    options = ["news.csv", "-q", "--learner", "linear", "--quantize", "int8"]
    code, out, err = run("train", *options)

    cost = json.loads(run("train", *options, "--json").out)["quantization"]
    assert (code, err) == (0, "")
    assert cost["precision"] == "int8"
    assert cost["bytes"]["after"] == Path("model.slug").stat().st_size < cost["bytes"]["before"]
    assert load("model.slug").info_.metrics["test_accuracy"] == cost["accuracy"]["after"] == 1
    before, after = (f"{cost['bytes'][when] / 1000:,.0f} kB" for when in ("before", "after"))
    assert out.splitlines()[6] == (
        f"int8: accuracy 1.0000 before, 1.0000 after; {before} before, {after} after"
    )


def test_quantize_rejects_another_precision_before_any_work(
    run: Run, news_csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "slugline.experiment.experiment.fit", lambda *_, **__: pytest.fail("it trained")
    )
    message = "slugline: error: --quantize is 'int4'; give one of float16, int8.\n"
    assert run("train", "news.csv", "--quantize", "int4") == (2, "", message)


# Tuning -----------------------------------------------------------------------------------------


def test_train_tune_prints_every_trial_and_the_best(run: Run, news_csv: Path) -> None:
    code, out, err = run("train", "news.csv", "--tune")
    assert code == 0
    trials = [line for line in err.splitlines() if "log loss" in line]
    assert trials[0].endswith(f"best so far  {DEFAULT}")
    assert f"of the {len(trials)} ways tried" in out
    assert "by cross-validation, " in out


def test_train_tune_json_holds_all_trials(run: Run, news_csv: Path) -> None:
    tuning = json.loads(run("train", "news.csv", "-q", "--tune", "--json").out)["tuning"]
    assert tuning["trials"][0]["way"] == DEFAULT
    assert tuning["best"] in [trial["way"] for trial in tuning["trials"] if trial["is_better"]]
    assert tuning["interrupted"] is False


def test_check_reproduces_a_tuned_model(run: Run, news_csv: Path) -> None:
    assert run("train", "news.csv", "-q", "--tune", "-o", "tuned.slug").code == 0
    assert "identical" in run("check", "tuned.slug", "news.csv", "-q").out


def test_tune_cannot_be_combined_with_a_learner(run: Run) -> None:
    assert run("train", "missing.csv", "--tune", "--learner", "network") == (
        2,
        "",
        "slugline: error: --tune chooses --learner and `feature_groups` itself; leave them at "
        "their defaults.\n",
    )


def test_train_names_a_misspelt_topic(run: Run, news_csv: Path) -> None:
    rows = news_csv.read_text("utf-8")
    news_csv.write_text(f"{rows}the striker scored again,sprot\n")

    assert (
        "warning: 1 topic is probably misspelt: 'sprot' (1 document) for 'sport' ("
        in run("train", news_csv.name, "--test-fraction", 0).err
    )


def test_train_prints_the_number_of_documents_left_out(run: Run) -> None:
    topics = ["bank", "grain", "sport"] * 100
    words = {"bank": "loan rate bond", "grain": "corn crop wheat", "sport": "goal match team"}
    rows = [(f"{words[topic]} {topic}s {i % 7}", topic) for i, topic in enumerate(topics)]
    for i in range(0, 300, 8):  # one in eight has a wrong topic
        rows[i] = (rows[i][0], "bank" if rows[i][1] != "bank" else "sport")
    write_csv("noisy.csv", rows)

    out = run("train", "noisy.csv", "-q").out

    counted = re.search(r"^left out +(\d+)  training documents whose topic looks wrong", out, re.M)
    assert counted is not None
    assert 15 <= int(counted[1]) <= 32
    data = json.loads(run("train", "noisy.csv", "-q", "--json").out)["data"]
    assert data["n_suspect_labels"] == int(counted[1])


def test_train_mistakes_writes_wrong_test_documents(run: Run, news_csv: Path) -> None:
    test = news_csv.with_name("test.csv")
    test.write_text("body,queue\nwheat crop,grain\ngoal,bank\n")
    options = ["--test", test.name, "-q", "-o", "m.slug", "--mistakes", "wrong.csv"]

    assert run("train", news_csv.name, *options).code == 0

    header, row = Path("wrong.csv").read_text().splitlines()
    assert header == "line,text,topic,predicted,probability"
    assert row.startswith("3,goal,bank,sport,")


def test_train_mistakes_rejects_the_path_of_the_model(run: Run, news_csv: Path) -> None:
    result = run("train", news_csv.name, "-o", "m.slug", "--mistakes", "m.slug")
    assert result.code == 2
    assert not Path("m.slug").exists()


# All documents, and no test ---------------------------------------------------------------------


def test_train_test_fraction_0_learns_from_all_documents(run: Run, news_csv: Path) -> None:
    code, out, _ = run("train", "news.csv", "-q", "--test-fraction", 0)
    assert (code, load("model.slug").fitted_.n_learned) == (0, 90)
    assert re.sub(r"in [\d.]+ s", "in 1.0 s", out) == (
        "news.csv: learned 3 topics from all 90 documents in 1.0 s\n"
        "not tested, so there is no report; `slugline evaluate` tests it on other documents\n"
        "model   model.slug\n"
    )
    assert not Path("model.html").exists()
    assert load("model.slug").info_.metrics == {}
    assert run("check", "model.slug", "news.csv", "-q")[0] == 0


def test_train_test_fraction_0_json_has_no_evaluation(run: Run, news_csv: Path) -> None:
    code, out, _ = run("train", "news.csv", "-q", "--test-fraction", 0, "--json")
    found = json.loads(out)
    assert (code, found["evaluation"], found["model"]) == (0, None, "model.slug")
    assert found["data"]["n_train"] == 90


@pytest.mark.parametrize(
    "option", [["--mistakes", "m.csv"], ["--quantize", "int8"], ["--curve"]], ids=" ".join
)
def test_train_test_fraction_0_rejects_options_that_need_a_test(
    run: Run, news_csv: Path, option: list[str]
) -> None:
    code, _, err = run("train", "news.csv", "-q", "--test-fraction", 0, *option)
    assert (code, err) == (
        2,
        "slugline: error: --mistakes, --quantize, --curve and --corrections require test "
        "documents; pass --test FILE, or leave out --test-fraction 0.\n",
    )
    assert not Path("model.slug").exists()


def test_train_output_rejects_the_name_of_a_web_page(run: Run, news_csv: Path) -> None:
    assert run("train", "news.csv", "-o", "same.html") == (
        2,
        "",
        "slugline: error: --output same.html: a model isn't a web page; choose, for example, "
        "same.slug, "
        "and the report will be written to same.html.\n",
    )


def test_train_seed_too_large_is_rejected_before_reading(run: Run) -> None:
    code, _, err = run("train", "none.csv", "--seed", 1 << 32)
    assert code == 2
    assert "--seed" in err
    assert "none.csv" not in err
