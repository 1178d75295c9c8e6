"""`slugline check`: whether a model comes out again, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slugline.model.file import container
from slugline.model.file.schema import ModelFile
from slugline.text import sparse

pytestmark = pytest.mark.slow

Run = Callable[..., Any]

LINEAR = ["-q", "--learner", "linear"]
NAMED = ["--text", "body", "--topic", "queue"]


@pytest.fixture(autouse=True)
def _news(news_csv: Path) -> None:
    """Have news.csv in the folder."""


def change(path: str, **changes: Any) -> None:
    """Let a model file say something else of itself."""
    file = container.read(path)
    info = msgspec.structs.replace(file.info, **changes)
    container.write(path, ModelFile(info, file.arrays, file.vocabulary, file.card))


def make_old(path: str) -> None:
    """Let a model file say that another NumPy made it."""
    change(path, versions=container.read(path).info.versions | {"numpy": "1.0"})


@pytest.mark.skipif(sparse.kernel is None, reason="there is no compiler")
@pytest.mark.parametrize(
    ("trained", "checked", "cause"),
    [
        ("1", "0", "trained with compiled kernels; they are missing or disabled here"),
        ("0", "1", "trained without compiled kernels; set SLUGLINE_KERNEL=0 to get the same bytes"),
    ],
    ids=["with", "without"],
)
def test_check_reports_kernels_as_the_cause_of_differences(
    run: Run, trained: str, checked: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUGLINE_KERNEL", trained)
    assert run("train", "news.csv", "-o", "a.slug", *LINEAR).code == 0
    change("a.slug", class_weight={"bank": 9.0})
    monkeypatch.setenv("SLUGLINE_KERNEL", checked)
    code, _, err = run("check", "a.slug", "news.csv", *NAMED)
    assert code == 1
    assert err == f"a.slug: {cause}\n"


@pytest.mark.parametrize(
    "options",
    [
        LINEAR,
        ["-q", "--learner", "network"],
        [*LINEAR, "--balanced", "--seed", 4, "--test-fraction", 0.4],
    ],
    ids=["linear", "network", "balanced"],
)
def test_check_reproduces_what_train_saved(run: Run, options: list[object]) -> None:
    assert run("train", "news.csv", "-o", "a.slug", *options).code == 0
    files = {path: path.read_bytes() for path in Path().iterdir()}
    n_documents = container.read("a.slug").info.n_documents

    result = run("check", "a.slug", "news.csv", "-q", "--threads", 2)

    assert result == (
        0,
        f"a.slug: identical; {n_documents} documents give the same "
        f"{len(files[Path('a.slug')]):,} bytes again\n",
        "",
    )
    assert {path: path.read_bytes() for path in Path().iterdir()} == files


@pytest.mark.reuters
def test_check_reproduces_reuters_with_the_split_of_its_publisher(
    run: Run, reuters_data: Path
) -> None:
    figures = json.loads(run("train", "reuters", "-o", "a.slug", "-q", "--json").out)

    code, out, err = run("check", "a.slug", "reuters", "-q")

    assert figures["data"] == {
        "name": "reuters",
        "n_train": 8982,
        "n_test": 2246,
        "n_topics": 46,
        "n_skipped": 0,
        "n_suspect_labels": 468,
        "notes": [],
    }
    assert figures["baselines"]["majority"] == {"topic": "earn", "accuracy": 813 / 2246}

    assert (code, err) == (0, "")
    assert out.startswith("a.slug: identical; 8,982 documents give the same ")


def test_check_takes_test_metrics_on_trust_without_the_test_file(run: Run) -> None:
    files = ["news.csv", "--test", "news.csv"]
    assert run("train", *files, "-o", "a.slug", *LINEAR).code == 0

    tested = run("check", "a.slug", *files, *NAMED)
    untested = run("check", "a.slug", "news.csv", *NAMED)

    assert (tested.code, tested.err) == (0, "")
    assert untested.out == tested.out
    assert (untested.code, untested.err) == (
        0,
        "a.slug: not measured again: test_accuracy, test_macro_f1, test_log_loss, test_documents, "
        "majority_baseline; to measure them, pass the test file with --test\n",
    )


def test_check_accepts_the_same_weights_of_other_versions(run: Run) -> None:
    run("train", "news.csv", "-o", "a.slug", *LINEAR)
    now = container.read("a.slug").info.versions["numpy"]
    make_old("a.slug")

    code, out, err = run("check", "a.slug", "news.csv", *NAMED)

    assert (code, err) == (0, "")
    head, *lines = out.splitlines()
    assert head == "a.slug: the same model, other versions; its weights are the same bytes"
    assert [line.split() for line in lines] == [
        ["in", "the", "file", "now"],
        ["versions.numpy", "1.0", now],
    ]


def test_check_of_other_metrics_names_the_test_documents(run: Run) -> None:
    run("train", "news.csv", "-o", "a.slug", *LINEAR)
    change("a.slug", metrics={"test_accuracy": 0.99})

    code, out, err = run("check", "a.slug", "news.csv", *NAMED)

    assert (code, out.splitlines()[2].split()) == (1, ["metrics.test_accuracy", "0.99", "1"])
    assert err == "a.slug: the same model, tested on other documents\n"


@pytest.mark.parametrize("is_old", [False, True], ids=["identical", "other versions"])
def test_check_json_holds_versions_and_differences(run: Run, is_old: bool) -> None:
    run("train", "news.csv", "-o", "a.slug", *LINEAR)
    now = container.read("a.slug").info.versions["numpy"]
    if is_old:
        make_old("a.slug")

    code, out, _ = run("check", "a.slug", "news.csv", "-q", "--json")

    changed = {"what": "versions.numpy", "then": "1.0", "now": now}
    assert code == 0
    assert json.loads(out) == {
        "model": "a.slug",
        "identical": not is_old,
        "same_model": True,
        "n_documents": 72,
        "n_bytes": Path("a.slug").stat().st_size,
        "differences": [changed] if is_old else [],
        "not_measured": [],
    }


def test_check_rejects_other_data_before_training(run: Run, news_csv: Path) -> None:
    run("train", "news.csv", "-o", "a.slug", *LINEAR)
    news_csv.write_text(news_csv.read_text().replace("wheat", "oats"))

    code, out, err = run("check", "a.slug", "news.csv", "-q")

    assert (code, out) == (1, "")
    assert err.startswith(
        "slugline: error: news.csv: the 72 training documents differ from the 72 of a.slug "
        "(SHA-256 "
    )


def test_check_rejects_a_missing_model(run: Run) -> None:
    assert run("check", "none.slug", "news.csv", "-q") == (
        1,
        "",
        "slugline: error: none.slug: there is no such file; check the path.\n",
    )
