"""The newswire lesson from start to finish: on made-up wires, and on Reuters if it is there."""

from __future__ import annotations

import functools
import json
import statistics
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.base.progress import SilentProgress
from slugline.corpus.documents import one_hot
from slugline.errors import OptionError
from slugline.experiment import lesson
from slugline.experiment.lesson import LESSON, NotebookResult, run
from slugline.learning.net.layers import Dense
from slugline.learning.net.network import Network
from slugline.learning.net.training import History
from slugline.text.sparse import multi_hot

pytestmark = pytest.mark.slow

Run = Callable[..., Any]

TOPICS = ["earn", "acq", "grain"]


class MadeUpWires:
    """Wires of three topics, each with words of its own and a fifth of them from anywhere."""

    def __init__(self, topics: list[str] = TOPICS) -> None:
        self.topics = topics
        rng = np.random.default_rng(7)
        self.labels = rng.choice(len(topics), 1300, p=[0.5, 0.3, 0.2])
        self.sequences = [self._wire(rng, label) for label in self.labels]

    @staticmethod
    def _wire(rng: np.random.Generator, label: int) -> list[int]:
        words = rng.integers(4 + 40 * label, 44 + 40 * label, 15)
        words[:3] = rng.integers(4, 124, 3)
        return [1, *words.tolist()]

    def load_data(self, *, num_words: int) -> tuple[Any, Any]:
        assert num_words == 10_000
        return (self.sequences[:1200], self.labels[:1200]), (
            self.sequences[1200:],
            self.labels[1200:],
        )

    def topic_names(self) -> list[str]:
        return self.topics

    def decode(self, sequence: Iterable[int], /) -> str:
        return " ".join(f"word{number}" for number in sequence)


@pytest.fixture(scope="module")
def wires() -> MadeUpWires:
    return MadeUpWires()


@pytest.fixture(scope="module")
def result(wires: MadeUpWires) -> NotebookResult:
    return run(2, 3, source=wires)


# Results ----------------------------------------------------------------------------------------


def test_to_dict_uses_the_documented_names(result: NotebookResult) -> None:
    results = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert set(results) == {
        "seeds",
        "data",
        "baselines",
        "curves",
        "retrained",
        "retrained_on_all",
        "predictions",
        "integer_labels",
        "bottleneck",
        "experiments",
        "notebook",
        "seconds",
        "peak_memory_mb",
    }
    assert {"shuffled", "majority"} <= set(results["baselines"])
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "best_epoch"} <= set(results["curves"])
    assert {"epochs", "test_accuracy", "test_loss"} <= set(results["retrained"])
    assert set(results["retrained"]) == set(results["retrained_on_all"])
    assert {"shape", "sum", "argmax", "topic"} <= set(results["predictions"])
    assert "max_difference" in results["integer_labels"]
    assert {"val_accuracy_peak", "test_accuracy"} <= set(results["bottleneck"])
    assert {"hidden", "test_accuracy"} <= set(results["experiments"][0])
    assert set(results["retrained"]["test_accuracy"]) == {"mean", "sd", "values"}


def test_seed_summary_has_mean_and_sample_deviation(result: NotebookResult) -> None:
    for metric in (
        result.curves.best_epoch,
        result.retrained.test_loss,
        result.baselines.shuffled,
        result.bottleneck.test_accuracy,
        result.experiments[0].test_accuracy,
    ):
        first, second = metric.values
        assert metric.mean == pytest.approx((first + second) / 2)
        assert metric.sd == pytest.approx(abs(first - second) / np.sqrt(2))


def test_data_counts_wires_words_and_topics(result: NotebookResult, wires: MadeUpWires) -> None:
    data = result.data
    assert (data.n_train, data.n_test, data.n_validation, data.n_partial) == (1200, 100, 1000, 200)
    assert (data.n_topics, data.num_words, data.one_hot_shape) == (3, 10_000, (1200, 3))
    assert [example.index for example in data.examples] == [0, 10]
    assert data.examples[1].sequence == wires.sequences[10]
    assert data.examples[1].text == wires.decode(wires.sequences[10])
    assert data.examples[1].topic == TOPICS[wires.labels[10]]
    assert data.multi_hot.shape == (1200, 10_000)
    assert data.multi_hot.n_ones == sum(len(set(wire)) for wire in wires.sequences[:1200])
    assert data.multi_hot.megabytes_dense == pytest.approx(96)


def test_curves_are_those_of_the_first_seed_and_keep_all(result: NotebookResult) -> None:
    curves = result.curves
    assert curves.hidden == (64, 64)
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert getattr(curves, name) == curves.seeds[0][name]
        assert len(curves.seeds[1][name]) == 20
        assert curves.seeds[0][name] != curves.seeds[1][name]
    assert curves.best_epoch.values == [np.argmin(s["val_loss"]) + 1 for s in curves.seeds]
    assert curves.val_loss_lowest.values == [min(s["val_loss"]) for s in curves.seeds]
    assert result.bottleneck.val_accuracy_peak.values == [
        max(s["val_accuracy"]) for s in result.bottleneck.seeds
    ]


def test_retrained_equals_the_lesson_by_hand(result: NotebookResult, wires: MadeUpWires) -> None:
    (sequences, y), (test_sequences, y_test) = wires.load_data(num_words=10_000)
    network = Network(
        [Dense(64, "relu"), Dense(64, "relu"), Dense(3, "softmax")],
        optimizer=lesson.OPTIMIZER,
        loss="categorical_crossentropy",
        seed=3,
    )
    X = multi_hot(sequences, 10_000)
    network.fit(X[1000:], one_hot(y[1000:], 3), epochs=8, batch_size=512)
    loss, accuracy = network.evaluate(multi_hot(test_sequences, 10_000), one_hot(y_test, 3))
    assert result.retrained.epochs == 8
    assert result.retrained.test_loss.values[0] == loss
    assert result.retrained.test_accuracy.values[0] == accuracy
    proba = network.predict(multi_hot(test_sequences, 10_000))
    assert result.predictions.argmax == proba[0].argmax()
    assert result.predictions.topic == TOPICS[proba[0].argmax()]
    assert result.predictions.probability == proba[0].max()
    assert result.predictions.shape == (3,)
    assert result.predictions.n_topics_answered == len(set(proba.argmax(axis=1)))


def test_retrained_on_all_uses_the_best_epoch_of_each_seed(result: NotebookResult) -> None:
    assert result.retrained_on_all.epochs == result.curves.best_epoch.values


def test_baselines_do_not_read_texts(result: NotebookResult, wires: MadeUpWires) -> None:
    assert result.baselines.majority_topic == "earn"
    assert result.baselines.majority == np.mean(wires.labels[1200:] == 0)
    assert len(set(result.baselines.shuffled.values)) == 2


def test_integer_labels_give_the_same_losses(result: NotebookResult) -> None:
    assert result.integer_labels.n_losses == 16
    assert result.integer_labels.max_difference <= 1e-6


def test_experiments_are_those_of_the_lesson(result: NotebookResult) -> None:
    hidden = [experiment.hidden for experiment in result.experiments]
    assert hidden == [(32, 32), (64, 64), (128, 128), (64,), (128,), (64, 64, 64)]
    assert result.experiments[1] == result.retrained


def test_run_gives_the_same_results_of_a_seed_alone(
    result: NotebookResult, wires: MadeUpWires
) -> None:
    alone = run(1, 4, source=wires)
    assert alone.seeds == [4]
    assert alone.curves.val_loss == result.curves.seeds[1]["val_loss"]
    assert alone.bottleneck.test_accuracy.values == result.bottleneck.test_accuracy.values[1:]
    assert alone.baselines.shuffled.values == result.baselines.shuffled.values[1:]


def test_run_reports_every_fit_and_prints_nothing(
    wires: MadeUpWires, capfd: pytest.CaptureFixture[str]
) -> None:
    told: list[Any] = []

    class Keeping(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            told.append((step, share))

    run(1, progress=Keeping(), source=wires)
    assert told[0] == ("hidden 64-64, 20 epochs, 200 wires", 0)
    assert [share for _, share in told] == [n / 10 for n in range(10)]
    assert capfd.readouterr() == ("", "")


def test_run_ends_at_an_interrupt(wires: MadeUpWires, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Network, "fit", lambda *_, **__: History(stopped_by="interrupt"))
    with pytest.raises(KeyboardInterrupt):
        run(source=wires)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_seeds": 0}, "`n_seeds` is 0; give a whole number of at least 1."),
        ({"first_seed": -1}, "`first_seed` is -1; give a whole number of at least 0."),
    ],
    ids=["no seeds", "negative seed"],
)
def test_run_rejects_invalid_arguments(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as error:
        run(**arguments)
    assert str(error.value) == message


# The lesson -------------------------------------------------------------------------------------


def test_lesson_numbers_agree_with_their_curves() -> None:
    curves, bottleneck = LESSON["curves"], LESSON["bottleneck"]
    for name in ("loss", "accuracy", "val_loss", "val_accuracy"):
        assert len(curves[name]) == 20
    assert curves["val_loss"][curves["best_epoch"] - 1] == min(curves["val_loss"])
    assert curves["val_loss_lowest"] == min(curves["val_loss"])
    assert curves["val_accuracy_peak"] == max(curves["val_accuracy"])
    assert len(bottleneck["val_accuracy"]) == 20
    assert bottleneck["val_accuracy_peak"] == max(bottleneck["val_accuracy"])


@pytest.mark.reuters
def test_run_on_reuters_agrees_with_the_lesson(reuters_data: Path) -> None:
    result = run(1)
    data = result.data
    assert (data.n_train, data.n_test, data.n_topics) == (8982, 2246, 46)
    assert data.examples[0].sha256 == LESSON["data"]["example_sha256"]
    assert result.baselines.majority == 813 / 2246
    assert result.baselines.majority_topic == "earn"
    assert 0.16 < result.baselines.shuffled.mean < 0.21
    assert 7 <= result.curves.best_epoch.mean <= 10
    assert 0.765 < result.retrained.test_accuracy.mean < 0.80
    assert result.retrained_on_all.test_accuracy.mean > 0.775
    assert result.predictions.shape == (46,)
    assert result.predictions.sum == pytest.approx(1, abs=1e-6)
    assert result.predictions.argmax == 3
    assert result.predictions.topic == "earn"
    assert result.integer_labels.max_difference <= 1e-6
    assert 0.64 < result.bottleneck.val_accuracy_peak.mean < 0.75
    # The curve itself, not only where it ends: half a percent is what seeds differ by.
    differences = np.subtract(result.curves.val_loss[:10], LESSON["curves"]["val_loss"][:10])
    assert statistics.fmean(np.abs(differences)) < 0.06


# The command ------------------------------------------------------------------------------------


@pytest.fixture
def command(run: Run, result: NotebookResult, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `slugline reproduce` with results that exist already."""

    def run_no_more(n_seeds: int, first_seed: int, progress: Any) -> NotebookResult:
        for step in ("first step", "first step", "second step"):
            progress.update(step, 0.0)
        return replace(result, seeds=list(range(first_seed, first_seed + n_seeds)))

    monkeypatch.setattr(lesson, "run", run_no_more)
    return functools.partial(run, "reproduce")


def test_command_prints_a_table_and_writes_the_report(command: Run, tmp_path: Path) -> None:
    done = command("--out", str(tmp_path / "new" / "folder"), "--seeds", "2")
    assert done.code == 0
    lines = done.out.splitlines()
    assert lines[0].split() == ["lesson", "ours"]
    assert lines[1].split() == ["Data:", "training", "wires", "8,982", "1,200"]
    assert lines[-1] == f"report  {tmp_path / 'new' / 'folder' / 'report.html'}"
    assert max(map(len, lines[:-1])) <= 80
    assert (tmp_path / "new" / "folder" / "report.html").is_file()
    assert done.err.splitlines() == ["  0%  first step", "  0%  second step"]


def test_command_rejects_an_invalid_folder_before_the_work(command: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = command("--out", str(tmp_path / "file"))
    assert done.code == 2
    assert done.err == (
        f"slugline: error: --out {tmp_path / 'file'}: the folder can't be created (Not a "
        "directory); choose another one.\n"
    )


@pytest.fixture
def run_with(run: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs `slugline reproduce` with another function in place of `run`."""

    def run_with(instead: Callable[..., NotebookResult], *args: object) -> Any:
        monkeypatch.setattr(lesson, "run", instead)
        return run("reproduce", "-q", *args)

    return run_with


def test_command_interrupted_leaves_no_file(run_with: Run, tmp_path: Path) -> None:
    def interrupted(*_: object) -> NotebookResult:
        raise KeyboardInterrupt

    assert run_with(interrupted, "--out", "new/folder").code == 130
    assert list(tmp_path.iterdir()) == []


def test_command_prints_numbers_if_the_report_cannot_be_written(
    run_with: Run, result: NotebookResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slugline.base.files.write_whole", full)
    code, out, err = run_with(lambda *_: result, "--out", "new", "--json")
    assert (code, err) == (
        1,
        f"slugline: error: {Path('new/report.html')}: the report can't be written (No space left "
        "on device). Free some space, or choose another place.\n",
    )
    assert json.loads(out)["seeds"] == [3, 4]


def test_command_rejects_an_invalid_report_path_before_the_work(
    run_with: Run, tmp_path: Path
) -> None:
    (tmp_path / "new" / "report.html").mkdir(parents=True)
    assert run_with(lambda *_: pytest.fail("it worked"), "--out", "new") == (
        2,
        "",
        f"slugline: error: --out {Path('new/report.html')}: is a folder; name a file.\n",
    )
