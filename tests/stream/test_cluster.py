"""On a cluster: the same bytes from any workers, whatever becomes of them; and plain words."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from slugline.base import clusters
from slugline.base.clusters import closed
from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier, load
from slugline.errors import ClusterError, DataError, OptionError
from slugline.model.parts import engines as dask_engine
from slugline.model.parts import fit as stream_fit
from slugline.model.parts import source as sources
from slugline.model.parts import training
from slugline.model.parts.engines import DaskEngine, LocalEngine
from slugline.model.parts.fit import StreamOptions
from slugline.model.parts.source import DocumentBlock, DocumentsInMemory
from stream_jobs import News, pairs

pytestmark = pytest.mark.slow

distributed = pytest.importorskip("distributed")


def cluster_of(n_workers: int, **how: Any) -> Any:
    return distributed.LocalCluster(
        n_workers=n_workers,
        threads_per_worker=how.pop("threads_per_worker", 1),
        dashboard_address=":0",
        silence_logs=logging.CRITICAL,
        **({"host": "127.0.0.1"} if how["processes"] else {}),
        **how,
    )


def client_of(made: Any) -> Any:
    """Connect, but let it not be found by whoever asks for no client in particular."""
    return distributed.Client(made, set_as_default=False)


def patient() -> Any:
    """Let workers take their time to come again; the cluster would forget them after 15 seconds."""
    dask = pytest.importorskip("dask")
    return dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"})


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers in processes of their own, which come again when they are killed."""
    with (
        patient(),
        closed(cluster_of(2, processes=True)) as made,
        distributed.Client(made, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def threads() -> Iterator[Callable[..., Any]]:
    """Make clusters whose workers are threads of this process."""
    made: list[Any] = []

    def make(n_workers: int, **how: Any) -> Any:
        made.append(cluster_of(n_workers, processes=False, **how))
        made.append(client_of(made[-1]))
        return made[-1]

    yield make
    for each in reversed(made):
        each.close()


def saved(
    folder: Path, source: Any, *, client: Any = None, progress: Any = None, **options: Any
) -> bytes:
    """Return the file of what is learned."""
    path = folder / "model.slug"
    stream_options = StreamOptions(**{"rows_per_block": 20, **options})
    TopicClassifier(n_jobs=1).fit_stream(
        source, stream_options, client=client, progress=progress
    ).save(path)
    return path.read_bytes()


def n_tasks(client: Any) -> int:
    """Return how many tasks the scheduler still knows of, when it has had time to forget."""
    tasks = client.cluster.scheduler.tasks
    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not tasks)
    return len(tasks)


def wait_until(condition: Callable[[], bool], seconds: float = 600) -> None:
    """Wait until a condition holds; the limit is there for what never comes."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.02)


def write_files(folder: Path, news: News, n_files: int) -> str:
    for number in range(n_files):
        lines = [f"{text},{topic}\n" for text, topic in news[number::n_files]]
        (folder / f"{number:03}.csv").write_text("".join(["text,topic\n", *lines]))
    return f"{folder}/*.csv"


# The same bytes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n_workers", [1, 3])
def test_fit_stream_learns_the_same_bytes_on_any_number_of_workers(
    n_workers: int, threads: Callable[..., Any], news: News, tmp_path: Path
) -> None:
    client = threads(n_workers)
    alone = saved(tmp_path, pairs(news))
    assert saved(tmp_path, pairs(news), client=client) == alone
    assert n_tasks(client) == 0


def with_pairs_of_topics(news: News) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Yield batches of texts alone, and of two texts in one, which have both of their topics."""
    both = [
        (f"{one} {other}", [a, b]) for (one, a), (other, b) in zip(news, news[7:], strict=False)
    ]
    documents = [*((text, [topic]) for text, topic in news), *both, ("of no topic", [])]
    for first in range(0, len(documents), 25):
        texts, topics = zip(*documents[first : first + 25], strict=True)
        yield list(texts), list(topics)


def test_fit_stream_learns_several_topics_alike_on_many_workers(
    threads: Callable[..., Any], news: News, tmp_path: Path
) -> None:
    alone = saved(tmp_path, with_pairs_of_topics(news))
    assert load(tmp_path / "model.slug").fitted_.multilabel
    assert saved(tmp_path, with_pairs_of_topics(news), client=threads(8)) == alone


@pytest.fixture
def _in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few documents are learned in parts, as many are."""
    monkeypatch.setattr(stream_fit, "default_passes", lambda n: 1)
    monkeypatch.setattr(training, "_PART_SIZE", 15)


@pytest.mark.usefixtures("_in_parts")
@pytest.mark.parametrize("source", [pairs, with_pairs_of_topics])
def test_fit_stream_learns_in_parts_from_the_rows_of_workers(
    source: Callable[[News], Any], threads: Callable[..., Any], news: News, tmp_path: Path
) -> None:
    client = threads(3)
    alone = saved(tmp_path, source(news))
    assert saved(tmp_path, source(news), client=client) == alone
    assert n_tasks(client) == 0


def test_fit_stream_lets_workers_read_files(
    client: Any, news: News, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_MERGED_BYTES", 500)
    pattern = write_files(tmp_path, news, 5)
    assert saved(tmp_path, pattern, client=client) == saved(tmp_path, pattern)


def test_fit_stream_lets_workers_compute_dask_collections(
    client: Any, news: News, tmp_path: Path
) -> None:
    pandas, frames = pytest.importorskip("pandas"), pytest.importorskip("dask.dataframe")
    frame = frames.from_pandas(pandas.DataFrame(news, columns=["text", "topic"]), npartitions=4)
    assert saved(tmp_path, frame, client=client) == saved(tmp_path, frame)
    assert n_tasks(client) == 0


def ramp(batch: DocumentBlock, factor: float) -> tuple[bytes, int]:
    rng = np.random.default_rng(len(batch.texts))
    return (rng.standard_normal(100) * factor).tobytes(), len(batch.texts)


@pytest.mark.parametrize(("n_workers", "n_blocks"), [(1, 1), (1, 7), (3, 13)])
def test_dask_engine_returns_the_same_as_the_local_engine(
    n_blocks: int, n_workers: int, threads: Callable[..., Any]
) -> None:
    parts = [DocumentsInMemory(DocumentBlock(["a"] * n, [1] * n)) for n in range(1, n_blocks + 1)]
    found = []
    for engine in (LocalEngine(1), DaskEngine(threads(n_workers))):
        with engine:
            found.append(list(engine.map_blocks(ramp, parts, 3.0)))
    assert found[0] == found[1]
    assert [n for _, n in found[0]] == list(range(1, n_blocks + 1))


# Faults -----------------------------------------------------------------------------------------


class Killing(SilentProgress):
    """Ends a worker when something is reported for the n-th time."""

    def __init__(self, client: Any, step: str, *numbers: int) -> None:
        self._client, self._step, self._numbers = client, step, numbers
        self._killed: list[int] = []
        self.n_reported = 0

    @property
    def n_killed(self) -> int:
        return len(self._killed)

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        if step == self._step:
            self.n_reported += 1
            if self.n_reported in self._numbers:
                self._kill()

    def _kill(self) -> None:
        """End a worker that has not been ended yet, when all have come, however long that takes.

        On a busy machine, a worker that comes in the place of another one takes half a minute. Who
        is there is asked of the nannies: the scheduler may not have missed the last one yet.
        """
        nannies = list(self._client.cluster.workers.values())
        wait_until(lambda: all(map(self._runs, nannies)), seconds=600)
        pid = nannies[self.n_killed % len(nannies)].pid
        self._killed.append(pid)
        os.kill(pid, signal.SIGKILL)

    def _runs(self, nanny: Any) -> bool:
        process = nanny.process
        return bool(process) and process.status.name == "running" and nanny.pid not in self._killed


@pytest.fixture
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers come again when they can; how long to wait for them is tested elsewhere."""
    monkeypatch.setattr(dask_engine, "_TIMEOUT", 600)
    monkeypatch.setattr(clusters, "_PATIENCE", 600)


@pytest.mark.usefixtures("_unhurried")
@pytest.mark.parametrize(
    ("step", "kind", "reports"),
    [("reading", "batches", [2]), ("reading", "files", [1, 6])],
    ids=["batches", "files"],
)
def test_fit_stream_learns_the_same_bytes_if_a_worker_is_killed(
    step: str, kind: str, reports: list[int], client: Any, news: News, tmp_path: Path
) -> None:
    """One worker is killed, or one after the other, when something is reported."""
    pattern = write_files(tmp_path, news, 5)

    def source() -> Any:
        return pairs(news) if kind == "batches" else pattern

    how: dict[str, Any] = {"rows_per_block": 4}
    alone = saved(tmp_path, source(), **how)
    killing = Killing(client, step, *reports)
    killed = saved(tmp_path, source(), client=client, progress=killing, **how)
    assert killed == alone
    assert killing.n_killed == len(reports)
    assert n_tasks(client) == 0


@pytest.mark.usefixtures("_unhurried")
def test_fit_stream_goes_on_if_the_only_worker_is_killed(news: News, tmp_path: Path) -> None:
    alone = saved(tmp_path, pairs(news))
    with (
        patient(),
        cluster_of(1, processes=True) as made,
        distributed.Client(made, set_as_default=False) as client,
    ):
        killing = Killing(client, "reading", 2)
        assert saved(tmp_path, pairs(news), client=client, progress=killing) == alone
        assert killing.n_killed == 1


@contextlib.contextmanager
def processes(n_workers: int, **settings: Any) -> Iterator[Any]:
    """Start workers of a cluster of other settings, and connect."""
    dask = pytest.importorskip("dask")
    with (
        patient(),
        dask.config.set({f"distributed.{name}": value for name, value in settings.items()}),
        closed(cluster_of(n_workers, processes=True, memory_limit="1GB")) as made,
        client_of(made) as client,
    ):
        yield client


def fatal(documents: DocumentBlock) -> None:
    os._exit(9)  # as systems end processes that want too much memory


def test_dask_engine_names_a_task_that_kills_its_workers() -> None:
    parts = [DocumentsInMemory(DocumentBlock(["a"], [1]))]
    with (
        processes(1, **{"scheduler.allowed-failures": 0}) as client,
        DaskEngine(client) as engine,
        pytest.raises(ClusterError, match="for lack of memory; give each worker more"),
    ):
        list(engine.map_blocks(fatal, parts))


def test_fit_stream_frees_the_cluster_after_ctrl_c(client: Any, news: News, tmp_path: Path) -> None:
    class Interrupt(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            if detail:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        saved(tmp_path, pairs(news), client=client, progress=Interrupt())
    assert n_tasks(client) == 0


# What is said -----------------------------------------------------------------------------------


def test_fit_stream_names_the_bad_file_among_many(client: Any, news: News, tmp_path: Path) -> None:
    pattern = write_files(tmp_path, news, 9)
    path = tmp_path / "005.csv"
    path.write_text(path.read_text() + "grain\n")
    with pytest.raises(DataError) as alone:
        TopicClassifier(n_jobs=1).fit_stream(pattern)
    with pytest.raises(DataError) as caught:
        TopicClassifier(n_jobs=1).fit_stream(pattern, client=client)
    assert str(caught.value) == str(alone.value)
    assert str(path) in str(caught.value)
    assert caught.value.__cause__ is None
    assert n_tasks(client) == 0


def test_fit_stream_counts_skipped_rows_over_all_workers(
    client: Any, news: News, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_MERGED_BYTES", 500)
    pattern = write_files(tmp_path, news, 5)
    for path in tmp_path.glob("*.csv"):
        path.write_text(path.read_text() + "grain\n")
    notes: list[str] = []

    class Keeping(SilentProgress):
        def note(self, text: str) -> None:
            notes.append(text)

    options = StreamOptions(skip_bad_rows=True)
    TopicClassifier(n_jobs=1).fit_stream(pattern, options, client=client, progress=Keeping())
    assert "5 rows skipped" in notes


def test_map_blocks_names_a_file_that_a_worker_does_not_find(
    client: Any, news: News, tmp_path: Path
) -> None:
    write_files(tmp_path, news, 1)
    (part,) = sources.DocumentSource(tmp_path / "000.csv").partitions()
    shutil.move(tmp_path / "000.csv", tmp_path / "away")
    with DaskEngine(client) as engine, pytest.raises(DataError) as caught:
        list(engine.map_blocks(tuple, [part]))
    said = str(caught.value)
    assert said.startswith("worker tcp://127.0.0.1:")
    assert said.endswith(
        f" can't find {tmp_path}/000.csv; put files where all workers find them under the same "
        "path, or pass batches of texts and topics."
    )


def test_connected_names_a_scheduler_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "_PATIENCE", 0.2)
    with pytest.raises(ClusterError) as caught:
        TopicClassifier().fit_stream([(["a"], ["b"])], client="tcp://127.0.0.1:9")
    assert str(caught.value) == (
        "no scheduler answers at tcp://127.0.0.1:9 (in 0.2 seconds); check the address, or start "
        "one with `dask scheduler`."
    )


def test_connected_rejects_what_is_no_address() -> None:
    with pytest.raises(ClusterError, match=r"no scheduler answers at here \(missing port number"):
        TopicClassifier().fit_stream([(["a"], ["b"])], client="here")


def test_connected_names_a_cluster_without_workers(
    threads: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_PATIENCE", 0.2)
    with pytest.raises(ClusterError) as caught:
        TopicClassifier().fit_stream([(["a"], ["b"])], client=threads(0))
    assert str(caught.value).startswith("no worker connected to inproc://")


def test_connected_names_workers_that_are_paused(
    threads: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clusters, "_PATIENCE", 0.2)
    dask = pytest.importorskip("dask")
    with dask.config.set({"distributed.worker.memory.pause": 1e-9}):
        client = threads(1, memory_limit="1GB")
        (worker,) = client.cluster.scheduler.workers.values()
        wait_until(lambda: worker.status.name == "paused")
        with pytest.raises(ClusterError, match=r"all workers have paused for 0\.2 s"):
            TopicClassifier().fit_stream([(["a", "b"], ["x", "y"])], client=client)


def test_fit_stream_names_a_cluster_that_lost_all_workers(
    threads: Callable[..., Any], news: News, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = threads(1)
    monkeypatch.setattr(dask_engine, "_TIMEOUT", 1)
    monkeypatch.setattr(dask_engine, "_CHECK_INTERVAL", 1)

    class Scaling(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            if step == "reading":
                client.cluster.scale(0)
                wait_until(lambda: not client.cluster.scheduler.workers)

    with pytest.raises(ClusterError) as caught:
        TopicClassifier(n_jobs=1).fit_stream(pairs(news), client=client, progress=Scaling())
    assert str(caught.value) == (
        "no worker has connected for 1 seconds, and all others are gone; start some, and rerun the "
        "command."
    )


def test_connected_names_versions_that_differ(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("slugline", "slugline._version"):  # the scheduler runs in this process
        monkeypatch.setattr(f"{module}.__version__", "9.8.7")
    with pytest.raises(ClusterError) as caught:
        TopicClassifier().fit_stream([(["a"], ["b"])], client=client)
    said = str(caught.value)
    assert said.startswith("worker tcp://127.0.0.1:")
    assert said.endswith(
        " has Slugline 0.1.0, but this process has 9.8.7; install one version everywhere."
    )


@pytest.mark.parametrize(
    ("versions", "message"),
    [
        ({"slugline": None, "numpy": "2.0"}, "it lacks Slugline; install version .* from a clone"),
        ({"slugline": "", "numpy": "1.26"}, "it has NumPy 1.26, but this process has 2"),
    ],
    ids=["no slugline", "numpy"],
)
def test_connected_names_packages_that_workers_lack(
    versions: dict[str, str | None], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline._version.__version__", "")
    with pytest.raises(ClusterError, match=message):
        clusters._check_versions("it", versions)


def test_fit_stream_rejects_what_is_no_client() -> None:
    with pytest.raises(OptionError) as caught:
        TopicClassifier().fit_stream([(["a"], ["b"])], client=3)  # type: ignore[arg-type]
    assert str(caught.value) == (
        "`client` is of type int; give a distributed.Client, or the address of a scheduler such as "
        "'tcp://10.0.0.1:8786'."
    )


_KILLS_WORKERS_THAT_START = """
import contextlib, threading, time
import psutil
from slugline.base.clusters import local_cluster
from slugline.errors import ClusterError

def kill():
    while True:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if "spawn_main" in " ".join(child.cmdline()):
                    child.kill()
        time.sleep(0.1)

if __name__ == "__main__":
    threading.Thread(target=kill, daemon=True).start()
    try:
        with local_cluster(2):
            print("started")
    except ClusterError as error:
        print(error)
"""


@pytest.mark.slow
def test_train_reports_workers_that_die_while_starting_in_one_sentence(tmp_path: Path) -> None:
    script = tmp_path / "kills.py"
    script.write_text(_KILLS_WORKERS_THAT_START)

    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=600)

    assert ended.stdout.startswith("a worker ended or failed while starting (")
    assert ended.returncode == 0
