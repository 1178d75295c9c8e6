"""What docs/explanation/scale.md says is so."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import TopicClassifier
from slugline.learning.linear.learner import LinearLearner
from slugline.model.settings import FitSettings
from slugline.stream import checkpoint, source
from slugline.stream import local as store

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "scale.md"
TEXT = PAGE.read_text("utf-8")
Run = Callable[..., Any]
News = list[tuple[str, str]]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def tickets(news: News, tmp_path: Path, write_parquet: Callable[..., None]) -> Path:
    """Return a folder that has tickets/ in three files, and new/ in one."""
    for folder in ("tickets", "new"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        texts, topics = map(list, zip(*news[30 * number : 30 * number + 30], strict=True))
        columns = {"text": ("VARCHAR", texts), "topic": ("VARCHAR", topics)}
        write_parquet(tmp_path / f"tickets/{number}.parquet", columns)
    write_parquet(tmp_path / "new/a.parquet", {"text": ("VARCHAR", ["wheat", "goal"])})
    return tmp_path


@pytest.fixture
def learned(run: Run, tickets: Path) -> bytes:
    """Return the model of the first two commands, and have answers as well."""
    _, *commands = blocks("sh")[0].splitlines()
    for command in commands:
        assert run(*shlex.split(command)[1:]).code == 0
    assert Path("answers/a.parquet").exists()
    return Path("tickets.slug").read_bytes()


def test_its_three_lines_and_its_python_learn_the_same_model(learned: bytes) -> None:
    Path("tickets.slug").unlink()
    exec(blocks("python")[0], {})  # noqa: S102 (our own page)
    assert Path("tickets.slug").read_bytes() == learned


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # Dask's, of pandas
def test_a_cluster_learns_that_model_too(learned: bytes) -> None:
    distributed = pytest.importorskip("distributed")
    _, cluster, frames = blocks("python")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=False, dashboard_address=":0"
    ) as local:
        cluster = cluster.replace("tcp://10.0.0.1:8786", local.scheduler_address)
        known: dict[str, Any] = {}
        exec(cluster, known)  # noqa: S102
        try:
            assert Path("tickets.slug").read_bytes() == learned
            pytest.importorskip("pandas")
            pytest.importorskip("pyarrow")
            exec(frames, known)  # noqa: S102
        finally:
            known["client"].close()


def test_processes_with_a_checkpoint_do_too(run: Run, learned: bytes) -> None:
    pytest.importorskip("distributed")
    (command,) = blocks("sh")[1].splitlines()
    Path("tickets.slug").unlink()
    assert run(*shlex.split(command)[1:]).code == 0
    assert Path("tickets.slug").read_bytes() == learned
    assert not Path("kept").exists()


def test_its_numbers_are_those_of_the_library() -> None:
    assert source.MAX_MERGED_BYTES == 32 << 20
    assert "up to 32 MB (compressed: 8 MB)" in TEXT
    assert source.MAX_UNSPLIT_BYTES == 64 << 20
    assert "up to 64 MB by a worker" in TEXT
    assert f"in blocks of {source.ROWS_PER_BLOCK:,};" in TEXT
    assert store.MAX_IN_MEMORY == 512 << 20
    assert "Rows over 512 MB" in TEXT
    assert pytest.approx(1 / 20) == checkpoint.MAX_TIME_SHARE
    assert "at most a twentieth" in TEXT
    settings = FitSettings(
        learner=LinearLearner(),
        blocks=None,
        class_weight=None,
        tune=False,
        n_jobs=1,
        random_state=0,
    )
    n_buckets = sum(block.n_buckets or 0 for block in settings.batch_blocks())
    assert f"at most {n_buckets / 1e6:.1f} million by default" in TEXT


def test_on_a_cluster_it_says_when_topics_are_shared_out() -> None:
    pytest.importorskip("distributed")
    from slugline.stream.cluster import ROW_MEMORY_SHARE

    assert pytest.approx(1 / 3) == ROW_MEMORY_SHARE
    assert "no more than a third of each worker's memory" in TEXT


def test_its_flags_are_those_of_the_command(run: Run) -> None:
    told = run("train", "--help").out + run("predict", "--help").out
    flags = {flag for line in blocks("sh") for flag in re.findall(r"--[a-z-]+", line)}
    flags |= set(re.findall(r"`(--(?:stream|workers|scheduler|checkpoint|skip-bad-rows))", TEXT))
    assert len(flags) == 5
    assert [flag for flag in flags if flag not in told] == []
    assert hasattr(TopicClassifier, "fit_stream")


def test_its_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", TEXT)
    assert len(links) == 3
    assert [link for link in links if not (PAGE.parent / link).exists()] == []
