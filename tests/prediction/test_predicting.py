"""A folder of answers to many files."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.base.names import MARKERS
from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier
from slugline.errors import ModelFileError, NotFittedError, OptionError, SluglineError
from slugline.prediction import markers
from slugline.prediction.job import JobResult, predict_files
from slugline.prediction.rows import PredictOptions

pytestmark = pytest.mark.slow

Run = Callable[..., Any]


@pytest.fixture(autouse=True)
def _folder(news_slug: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have news.slug in the folder, and files of several kinds in in/."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.csv").write_text("id,text,topic\n" + "7,the wheat of,x\n8,a goal,\n" * 1500)
    Path("in/b.jsonl").write_text('{"text": "loan", "more": [1]}\n' * 10)
    Path("in/c.csv.gz").write_bytes(gzip.compress(b"text\ncorn\n"))
    Path("in/d.txt").write_text("cup\nbond\n")


class Watcher(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []
        self.shares: list[float | None] = []
        self.details: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warning(self, text: str) -> None:
        self.warnings.append(text)

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        assert step == "predicting"
        self.shares.append(share)
        self.details.append(detail)

    def n_rows(self) -> list[int]:
        return [int(detail.split(", ")[1].split()[0].replace(",", "")) for detail in self.details]


def predict(**how: Any) -> JobResult:
    return predict_files("news.slug", ["in/*"], "out", **{"n_workers": 1, **how})


def contents(folder: str = "out") -> dict[str, bytes]:
    """Return all files in a folder but the markers."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    names = [path.relative_to(folder) for path in paths]
    return {
        name.as_posix(): Path(folder, name).read_bytes()
        for name in names
        if MARKERS not in name.parts
    }


def marker(name: str, folder: str = "out") -> Path:
    return Path(folder, MARKERS, f"{name}.json")


# What comes out ---------------------------------------------------------------------------------


def test_predict_files_answers_each_file_as_alone(run: Run) -> None:
    watcher = Watcher()
    done = predict(progress=watcher)

    assert done._replace(seconds=0.0) == JobResult(4, 0, 3013, 0, 0, [], 0.0)
    assert sorted(contents()) == ["a.csv", "b.jsonl", "c.csv.gz", "d.jsonl"]
    for source, answers in (("a.csv", "a.csv"), ("b.jsonl", "b.jsonl"), ("d.txt", "d.jsonl")):
        run("predict", "news.slug", f"in/{source}", "-q", "-o", f"alone-{answers}")
        assert contents()[answers] == Path(f"alone-{answers}").read_bytes()
    assert gzip.decompress(contents()["c.csv.gz"]).startswith(b"text,topic,probability,error\ncorn")
    assert watcher.notes == [
        "4 files to answer",
        "in/a.csv: read column 'text' as text; choose another with `text`",
    ]
    assert watcher.shares[-1] == 1
    assert re.fullmatch(r"4 of 4 files, 3,013 rows, [\d,]+ a second", watcher.details[-1])
    assert watcher.n_rows() == sorted(watcher.n_rows())


def test_predict_files_uses_the_options_of_a_single_file() -> None:
    how = PredictOptions(text="more", to="jsonl", top=2)
    Path("one.csv").write_text("text,more\nwheat,goal\n")
    predict_files("news.slug", ["one.csv"], "out", how)

    (line,) = contents()["one.jsonl"].splitlines()
    assert json.loads(line)["topic"] == "sport"
    assert "topic_2" in json.loads(line)


def test_predict_files_writes_the_same_bytes_with_any_number_of_processes() -> None:
    predict()
    before = contents()
    watcher = Watcher()
    done = predict_files("news.slug", ["in/*"], "two", n_workers=2, progress=watcher)
    assert contents("two") == before
    assert (done.n_files, done.n_rows) == (4, 3013)
    assert watcher.shares[-1] == 1
    assert watcher.details[-1].startswith("4 of 4 files, 3,013 rows, ")


# Going on ---------------------------------------------------------------------------------------


def times(folder: str = "out") -> dict[str, int]:
    return {name: Path(folder, name).stat().st_mtime_ns for name in contents(folder)}


def test_predict_files_skips_answered_files() -> None:
    predict()
    before, watcher = times(), Watcher()

    done = predict(progress=watcher)

    assert times() == before
    assert (done.n_files, done.n_up_to_date, done.n_rows) == (0, 4, 0)
    assert watcher.notes == ["4 files, 4 of which have answers already"]


def remove() -> None:
    Path("out/a.csv").unlink()


def touch() -> None:
    os.utime("in/a.csv", ns=(0, 0))


@pytest.mark.parametrize(
    ("change", "again"), [(remove, 0), (touch, 1)], ids=["no answers", "another file"]
)
def test_predict_files_answers_only_new_and_changed_files(
    change: Callable[[], None], again: int
) -> None:
    predict()
    before, at = contents(), times()
    change()
    watcher = Watcher()

    assert predict(progress=watcher).n_files == 1

    assert contents() == before
    assert {name for name, time_ in times().items() if time_ != at[name]} == {"a.csv"}
    said = "; 1 is answered again because files, answers or options have changed" if again else ""
    assert watcher.notes[0] == f"4 files, 3 of which have answers already{said}"
    assert predict().n_files == 0


def test_predict_files_overwrites_other_answers_only_if_asked(news: list[tuple[str, str]]) -> None:
    predict()
    before = contents()
    texts, topics = zip(*news[:60], strict=True)
    other = TopicClassifier().fit(texts, topics)
    refused = (
        "out/a.csv contains answers of another model or other settings; choose another folder, or "
        "replace them with `overwrite`."
    )
    for model, how in ((other, PredictOptions()), ("news.slug", PredictOptions(top=2))):
        with pytest.raises(OptionError) as found:
            predict_files(model, ["in/*"], "out", how, n_workers=1)
        assert str(found.value) == refused
    assert contents() == before

    assert predict_files(other, ["in/*"], "out", overwrite=True, n_workers=1).n_files == 4
    assert contents() != before
    # It goes on with the same words, and has nothing left to do.
    assert predict_files(other, ["in/*"], "out", overwrite=True, n_workers=1).n_files == 0


def test_predict_files_keeps_answers_to_another_source() -> None:
    predict()
    Path("more").mkdir()
    Path("more/a.csv").write_text("text\nwheat\n")
    with pytest.raises(OptionError) as found:
        predict_files("news.slug", ["more/a.csv"], "out", n_workers=1)
    assert str(found.value) == (
        f"out/a.csv contains answers to {Path('in/a.csv').absolute()}; choose another folder, or "
        "replace "
        "them with `overwrite`."
    )


def test_predict_files_rejects_a_target_that_no_job_wrote() -> None:
    Path("out").mkdir()
    Path("out/a.csv").write_text("mine")
    with pytest.raises(OptionError) as found:
        predict(overwrite=True)
    assert str(found.value) == (
        "out/a.csv already exists and is not listed as an answer file in "
        "out/_slugline/a.csv.json; move it, or choose another folder."
    )
    assert contents() == {"a.csv": b"mine"}


def test_predict_files_rejects_a_target_in_place_of_failed_answers() -> None:
    Path("in/a.csv").write_bytes(b"\x00\xff")
    assert [source for source, _ in predict().failed] == ["in/a.csv"]
    Path("in/a.csv").write_text("text\nwheat\n")
    Path("out/a.csv").write_text("mine")
    with pytest.raises(OptionError, match="is not listed as an answer file"):
        predict()
    assert contents()["a.csv"] == b"mine"
    Path("out/a.csv").unlink()
    assert predict().n_files == 1


def test_predict_files_keeps_answers_in_their_folder() -> None:
    with pytest.raises(OptionError, match=r"^i\*/\.\./in/\*.csv has \.\. after a wildcard"):
        predict_files("news.slug", ["i*/../in/*.csv"], "out")
    assert not Path("out").exists()


@pytest.mark.parametrize("content", [b"", b"mine", b'{"model": 1}', b"\xff"])
def test_predict_files_rejects_answers_with_a_damaged_marker(content: bytes) -> None:
    predict()
    before = contents()
    marker("a.csv").write_bytes(content)
    with pytest.raises(OptionError, match="is not listed as an answer file"):
        predict(overwrite=True)
    assert contents() == before


def test_predict_files_removes_old_answers_before_it_writes_a_marker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A process that is killed leaves no answers of another model or of other settings."""
    predict()

    def die(path: Path, data: bytes) -> None:
        assert not Path("out/a.csv").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(markers, "write_whole", die)
    with pytest.raises(KeyboardInterrupt):
        predict(options=PredictOptions(top=2), overwrite=True)
    assert sorted(contents()) == ["b.jsonl", "c.csv.gz", "d.jsonl"]


def test_locked_folder_rejects_a_second_job() -> None:
    class Second(Watcher):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            with pytest.raises(OptionError) as found:
                predict()
            self.warnings.append(str(found.value))

    watcher = Second()
    assert predict(progress=watcher).n_files == 4
    assert {*watcher.warnings} == {
        "another job writes answers to out; wait for it to finish, or choose another folder."
    }


# What goes wrong --------------------------------------------------------------------------------


def test_predict_files_gives_bad_rows_an_error() -> None:
    Path("in/b.jsonl").write_text('{"text": "loan"}\n{"text": ""}\n{bad\n')
    watcher = Watcher()

    done = predict(progress=watcher)

    assert (done.n_files, done.n_bad, done.n_bad_files) == (4, 2, 1)
    assert watcher.warnings == [
        "in/b.jsonl: 2 of 3 lines could not be classified, first line 2 (no text in column "
        "'text'); see \"error\" in out/b.jsonl"
    ]


def test_predict_files_strict_fails_a_file_with_a_bad_row() -> None:
    Path("in/b.jsonl").write_text('{"text": "loan"}\n{"text": ""}\n')
    done = predict(options=PredictOptions(strict=True))
    error = (
        "in/b.jsonl, line 2: no text in column 'text'; fix them, or continue past bad rows without "
        "`strict`."
    )
    assert (done.n_files, done.failed) == (3, [("in/b.jsonl", error)])
    assert "b.jsonl" not in contents()


def test_predict_files_strict_redoes_answers_that_may_have_errors() -> None:
    Path("in/b.jsonl").write_text('{"text": "loan"}\n{"text": ""}\n')
    predict()
    done = predict(options=PredictOptions(strict=True))
    assert (done.n_files, done.n_up_to_date, len(done.failed)) == (3, 0, 1)
    assert (predict().n_files, predict().n_up_to_date) == (1, 4)


def test_predict_files_names_an_unreadable_file_and_answers_the_others() -> None:
    Path("in/b.jsonl").write_bytes(b"\x1f\x8bmore")
    Path("in/e.jpg").write_bytes(b"\xff\xd8")
    Path("in/f.parquet").write_text("text")
    watcher = Watcher()

    done = predict(progress=watcher)

    assert sorted(contents()) == ["a.csv", "c.csv.gz", "d.jsonl"]
    assert [why for _, why in done.failed] == watcher.warnings
    assert dict(done.failed)["in/b.jsonl"] == (
        "in/b.jsonl is gzip; give it a name that ends in .gz."
    )
    assert dict(done.failed)["in/e.jpg"].startswith("in/e.jpg is in an unknown format;")
    assert dict(done.failed)["in/f.parquet"].startswith("in/f.parquet is not a complete Parquet")
    assert not marker("b.jsonl").exists()
    Path("in/b.jsonl").write_text('{"text": "loan"}\n')
    assert predict().n_files == 1


@pytest.mark.parametrize("n_written", [4, 5], ids=["marker", "answers"])
def test_predict_files_resumes_after_a_full_disk(
    n_written: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, n_calls = os.fsync, [0]

    def full(number: int) -> None:
        n_calls[0] += 1
        if n_calls[0] == n_written + 1:
            raise OSError(28, "No space left on device")
        whole(number)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(SluglineError) as found:
            predict()
    assert str(found.value) == (
        "out/c.csv.gz can't be written (No space left on device). Free some space, or choose "
        "another place. Finished files are kept; rerun to predict the others."
    )
    assert sorted(contents()) == ["a.csv", "b.jsonl"]
    assert (predict().n_files, len(contents())) == (2, 4)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_predict_files_names_a_folder_without_permission() -> None:
    Path("out").mkdir(mode=0o500)
    with pytest.raises(OptionError, match=r"^`output` out: can't write files there"):
        predict()


def test_predict_files_rejects_a_file_in_place_of_the_folder() -> None:
    Path("out").write_text("")
    with pytest.raises(OptionError, match=r"^`output` out: this or one of its parents is a file"):
        predict()


def test_predict_files_checks_model_and_options_first() -> None:
    Path("bad.slug").write_bytes(b"PK")
    with pytest.raises(ModelFileError, match=r"^bad.slug: not a Slugline model"):
        predict_files("bad.slug", ["in/*"], "out")
    with pytest.raises(OptionError, match=r"^`model` is of type dict; pass the path of a model"):
        predict_files({}, ["in/*"], "out")
    with pytest.raises(NotFittedError, match=r"^this model is not fitted yet; call fit first"):
        predict_files(TopicClassifier(), ["in/*"], "out")
    with pytest.raises(OptionError, match=r"^`min_precision` is 0\.99999, but no threshold"):
        predict(options=PredictOptions(min_precision=0.99999))
    with pytest.raises(OptionError, match=r"^`n_workers` is 0"):
        predict(n_workers=0)
    with pytest.raises(OptionError, match=r"^`sources` is empty"):
        predict_files("news.slug", [], "out")
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"top": 0}, "`top` is 0"),
        ({"n_threads": -1}, "`n_threads` is -1"),
        ({"format": "doc"}, "unknown format 'doc'"),
        ({"encoding": "nope"}, "nope"),
    ]
    for how, message in wrong:
        with pytest.raises(OptionError, match=message):
            predict(options=PredictOptions(**how))
    assert not Path("out").exists()


def test_predict_files_runs_in_a_script_without_a_guard() -> None:
    call = 'predict_files("news.slug", "in/[bd].*", "out", n_workers=2)'
    Path("script.py").write_text(f"from slugline import predict_files\nprint({call}.n_files)\n")
    done = subprocess.run(
        [sys.executable, "script.py"], capture_output=True, text=True, timeout=600
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2\n", "")


def test_predict_files_predicts_the_others_after_a_worker_was_killed() -> None:
    os.mkfifo("in/0.csv")  # a worker waits for it
    psutil = pytest.importorskip("psutil")

    class Killer(Watcher):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            if detail.startswith("3 of "):
                victims: list[Any] = []
                while not victims:
                    time.sleep(0.01)
                    victims = [each for each in psutil.Process().children() if is_waiting(each.pid)]
                victims[0].kill()

    def is_waiting(pid: int) -> bool:
        try:
            return "wait_for_partner" in Path(f"/proc/{pid}/wchan").read_text()
        except OSError:
            return False

    done = predict_files(
        "news.slug", ["in/[bcd].*", "in/0.csv"], "out", n_workers=2, progress=Killer()
    )
    assert done.n_files == 3
    assert done.failed == [
        (
            "in/0.csv",
            "in/0.csv: a worker process was killed while predicting this file, perhaps "
            "because memory ran out; rerun with fewer workers.",
        )
    ]


@pytest.mark.parametrize("n_workers", [1, 2])
def test_predict_files_leaves_complete_files_after_ctrl_c(n_workers: int) -> None:
    class Impatient(Watcher):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            if not detail.startswith("0 of "):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(progress=Impatient(), n_workers=n_workers)
    assert multiprocessing.active_children() == []
    there = contents()
    assert not any(name.endswith(".part") for name in there)
    predict()
    assert len(contents()) == 4
    assert there.items() <= contents().items()
