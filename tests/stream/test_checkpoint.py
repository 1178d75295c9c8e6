"""Checkpoints: whatever stops a job, the next one resumes to the same bytes, or says why not."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from slugline.base.progress import Progress, SilentProgress
from slugline.classifier import TopicClassifier
from slugline.errors import CheckpointError, OptionError
from slugline.learning.encoder.encoder import get_encoder
from slugline.learning.linear.parts import PartWeights
from slugline.stream import checkpoint, part_state
from slugline.stream import fit as stream_fit
from slugline.stream.checkpoint import remove_checkpoint
from slugline.stream.fit import StreamOptions
from slugline.stream.part_state import PartState
from slugline.text.feature_groups import FeatureGroup
from stream_jobs import News, pairs

pytestmark = pytest.mark.slow

WORDS = (FeatureGroup("words", "log-tf-idf", n_buckets=1 << 10),)


class StoppedError(Exception):
    """The end of a process, as far as a test in the same process can have it."""


class StopAt(SilentProgress):
    """Ends the job when a part is reported for the n-th time."""

    def __init__(self, n: int) -> None:
        self.n, self.reported = n, 0

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        if detail.startswith("part "):
            self.reported += 1
            if self.reported == self.n:
                raise StoppedError


VECTORS = get_encoder("vectors").digest[:16]


@dataclass
class Job:
    """One job, which may be stopped and begun again."""

    news: News
    folder: Path
    blocks: Any = WORDS
    class_weight: Any = None
    encoder: Any = "vectors"

    def run(
        self,
        progress: Progress | None = None,
        min_precision: float | None = None,
        client: Any = None,
        **options: Any,
    ) -> TopicClassifier:
        usual = {"rows_per_block": 20, "checkpoint": self.folder}
        stream_options = StreamOptions(**{**usual, **options})
        classifier = TopicClassifier(
            n_jobs=1,
            feature_groups=self.blocks,
            class_weight=self.class_weight,
            encoder=self.encoder,
            min_precision=min_precision,
        )
        return classifier.fit_stream(
            pairs(self.news), stream_options, client=client, progress=progress
        )

    def begin(self) -> None:
        """Stop after some of the parts."""
        with pytest.raises(StoppedError):
            self.run(StopAt(3))


def saved(classifier: TopicClassifier, folder: Path) -> bytes:
    path = folder.with_name("saved.slug")
    classifier.save(path)
    return path.read_bytes()


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_fit, "default_passes", lambda n: 1)
    monkeypatch.setattr(stream_fit, "_PART_SIZE", 15)
    monkeypatch.setattr(checkpoint, "MAX_TIME_FRACTION", 1.0)


@pytest.fixture
def job(news: News, tmp_path: Path) -> Job:
    """Return a job of several parts, which keeps each step."""
    return Job(news, tmp_path / "kept")


def test_fit_stream_ends_with_the_same_bytes_if_stopped_after_each_step(job: Job) -> None:
    wanted = saved(job.run(checkpoint=None), job.folder)
    n_stopped = 0
    while n_stopped < 100:
        try:
            found = job.run(StopAt(1))
            break
        except StoppedError:
            n_stopped += 1
    assert saved(found, job.folder) == wanted
    assert 3 < n_stopped < 100


def test_fit_stream_resumes_when_no_row_is_held_out(tmp_path: Path) -> None:
    job = Job([("wheat", "grain"), ("oil", "crude")], tmp_path / "kept")
    wanted = saved(job.run(checkpoint=None), job.folder)
    with pytest.raises(StoppedError):
        job.run(StopAt(1))
    assert saved(job.run(), job.folder) == wanted


def test_fit_stream_learns_few_documents_at_once_and_saves_nothing(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    wanted = saved(job.run(checkpoint=None), job.folder)
    assert saved(job.run(), job.folder) == wanted
    assert [path.name for path in job.folder.iterdir()] == ["lock"]


def test_fit_stream_returns_a_finished_checkpoint_at_once(job: Job) -> None:
    wanted = saved(job.run(), job.folder)
    again = StopAt(-1)
    assert saved(job.run(again), job.folder) == wanted
    assert again.reported == 0


def test_fit_stream_resumes_with_other_threads_memory_and_thresholds(job: Job) -> None:
    wanted = saved(job.run(checkpoint=None, min_precision=0.8), job.folder)
    job.begin()
    assert saved(job.run(most_in_memory=0, min_precision=0.8), job.folder) == wanted


def test_checkpoint_folder_has_only_the_files_of_the_state(job: Job) -> None:
    job.begin()
    for n_steps in range(2):
        kept = sorted(path.name.partition(".")[0] for path in job.folder.iterdir())
        assert kept == ["checkpoint", "lock", "state", "weights-0"], n_steps
        job.run()


# Kills ------------------------------------------------------------------------------------------

# Killed in the middle of a write, before the file takes the place of another.
JOB = """
import os, signal, sys
from slugline.classifier import TopicClassifier
from slugline.stream.fit import StreamOptions
from slugline.stream import checkpoint, fit
checkpoint.MAX_TIME_FRACTION = 1.0
fit.default_passes, fit._PART_SIZE = lambda n: 1, 15
source, folder, n_left = sys.argv[1], sys.argv[2], int(sys.argv[3])
flush = os.fsync

def flush_or_die(file):
    global n_left
    n_left -= 1
    if n_left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    flush(file)

os.fsync = flush_or_die
TopicClassifier(n_jobs=1).fit_stream(source, StreamOptions(checkpoint=folder))
"""


def test_fit_stream_resumes_with_the_same_bytes_after_being_killed(
    news_csv: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"

    def fit(checkpoint: Path | None) -> bytes:
        options = StreamOptions(checkpoint=checkpoint)
        return saved(TopicClassifier(n_jobs=1).fit_stream(str(news_csv), options), folder)

    whole = fit(None)
    for n_writes in (2, 7, 10):
        job = [sys.executable, "-c", JOB, str(news_csv), str(folder), str(n_writes)]
        assert subprocess.run(job).returncode == -signal.SIGKILL
        assert [path for path in folder.iterdir() if path.name.endswith(".part")]
    assert fit(folder) == whole
    assert [path for path in folder.iterdir() if path.name.endswith(".part")] == []


# What is of another job, damaged or in use ------------------------------------------------------


def refusal(job: Job, **how: Any) -> str:
    """Return why it is refused, with the folder's name shortened."""
    with pytest.raises(CheckpointError) as caught:
        job.run(**how)
    return str(caught.value).replace(str(job.folder), "kept")


NAME_ANOTHER = "name another folder with `checkpoint`, or remove this one."


def test_open_checkpoint_names_a_damaged_part_before_documents_are_read(job: Job) -> None:
    job.begin()
    job.news = []
    part = next(iter(job.folder.glob("state.*.safetensors")))
    data = bytearray(part.read_bytes())
    data[-1] ^= 1
    part.write_bytes(data)
    assert refusal(job).startswith(
        f"kept/{part.name}: damaged (its bytes are not those that were written); remove kept"
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"class_weight": "balanced"}, 'weights of topics: "equal" there, "balanced" in this job'),
        ({"blocks": [FeatureGroup("words", "counts", n_buckets=1 << 10)] * 2}, "other terms"),
        ({"encoder": None}, f"word vectors: {VECTORS} there, none in this job"),
    ],
    ids=["class_weight", "blocks", "encoder"],
)
def test_require_same_job_names_other_settings(
    job: Job, changes: dict[str, Any], named: str
) -> None:
    job.begin()
    wanted = f"kept is a checkpoint of another job ({named}); {NAME_ANOTHER}"
    assert refusal(replace(job, **changes)) == wanted


def test_require_same_job_names_another_version(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.begin()
    monkeypatch.setattr("slugline._version.__version__", "99.1")
    assert refusal(job).endswith(f" there, 99.1 in this job); {NAME_ANOTHER}")


def test_require_same_job_names_other_documents(job: Job) -> None:
    job.begin()
    job.news = [*job.news[:-1], ("goal", "sport")]
    found = refusal(job)
    assert re.fullmatch(
        r"kept is a checkpoint of another job \(documents: 90 in 5 blocks, digest \w{16} there, 90 "
        rf"in 5 blocks, digest \w{{16}} in this job\); {NAME_ANOTHER}",
        found,
    )


def test_require_same_job_names_other_blocks(job: Job) -> None:
    job.begin()
    refused = refusal(job, rows_per_block=30)
    assert "(documents: 90 in 5 blocks, digest " in refused
    assert " there, 90 in 3 blocks, digest " in refused


@pytest.mark.parametrize("depth", [2000, 200_000])
def test_open_checkpoint_rejects_a_deeply_nested_index(job: Job, depth: int) -> None:
    job.begin()
    index = f'{{"format": 2, "sha256": "x", "content": {"[" * depth}{"]" * depth}}}'
    (job.folder / "checkpoint.json").write_text(index)
    assert refusal(job).startswith("kept/checkpoint.json: damaged (")


def test_open_checkpoint_reads_no_file_outside_the_folder(job: Job) -> None:
    job.begin()
    with forged_index(job.folder) as content:
        content["files"]["state"]["name"] = "../state.1.safetensors"
    damage = "it names the file '../state.1.safetensors'"
    assert refusal(job).startswith(f"kept/checkpoint.json: damaged ({damage}); remove kept to")


def test_open_checkpoint_reads_no_index_over_the_limit(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    job.begin()
    size = (job.folder / "checkpoint.json").stat().st_size
    monkeypatch.setattr(checkpoint, "_MAX_INDEX_BYTES", size)
    assert checkpoint.has_checkpoint(job.folder)
    with checkpoint.open_checkpoint(job.folder) as kept:
        assert kept is not None
        assert kept.note == (
            f"{job.folder} holds a checkpoint: training resumes from it once all documents have "
            "been read again"
        )
    monkeypatch.setattr(checkpoint, "_MAX_INDEX_BYTES", size - 1)
    most = f"{size - 1:,} bytes"
    assert refusal(job).startswith(
        f"kept/checkpoint.json: damaged (it has more than {most}); remove"
    )


def test_open_checkpoint_makes_the_folder_and_its_parents(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "kept"
    with checkpoint.open_checkpoint(str(folder)) as kept:
        assert kept is not None
        assert (kept.note, checkpoint.has_checkpoint(folder)) == ("", False)
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_load_reads_no_file_larger_than_a_state(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.begin()
    monkeypatch.setattr(part_state, "_MAX_EXTRA_BYTES", -1 << 40)
    assert re.match(r"kept/\S+: damaged \(it has [\d,]+ bytes instead of -", refusal(job))


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_open_checkpoint_rejects_a_folder_in_use(job: Job) -> None:
    class Second(SilentProgress):
        said = ""

        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            self.said = self.said or refusal(job)

    second = Second()
    job.run(progress=second)
    assert second.said == (
        "kept is in use by another job; wait for it to finish, or name another folder with "
        "`checkpoint`."
    )


def test_open_checkpoint_rejects_a_folder_with_other_files(job: Job) -> None:
    job.folder.mkdir()
    (job.folder / "tickets.csv").write_text("text,topic\n")
    assert refusal(job) == (
        "kept holds other files, such as tickets.csv; name an empty folder, or one that doesn't "
        "exist, with `checkpoint`."
    )


def test_open_checkpoint_rejects_what_is_no_folder(job: Job) -> None:
    job.folder.write_text("")
    assert refusal(job) == (
        "kept can't hold a checkpoint (File exists); name another folder with `checkpoint`."
    )
    with pytest.raises(OptionError, match="`checkpoint` is 3; give the path of a folder"):
        job.run(checkpoint=3)


def test_save_names_a_full_disk_and_leaves_the_previous_state(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = saved(job.run(checkpoint=None), job.folder)
    job.begin()

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_whole", full)
        assert refusal(replace(job, folder=job.folder.with_name("new"))).endswith(
            "kept: the checkpoint can't be written (No space left on device); free some space, or "
            "name another folder with `checkpoint`."
        )
        assert refusal(job) == (
            "kept: the checkpoint can't be written (No space left on device); the previous "
            "checkpoint is unchanged. Free some space, and start the same job again: it resumes "
            "from there."
        )
    assert saved(job.run(), job.folder) == wanted


# Generated damage -------------------------------------------------------------------------------

N_COLUMNS, N_TOPICS, N_PARTS, N_HELDOUT = 3, 6, 4, 5
START_OVER = "to start over, or name another folder with `checkpoint`."


def new_state() -> PartState:
    return PartState(PartWeights(N_COLUMNS, N_TOPICS), N_COLUMNS, N_PARTS, N_HELDOUT)


def save_state(folder: Path, state: PartState) -> None:
    with checkpoint.open_checkpoint(folder) as saved:
        assert saved is not None
        saved.save(state, is_last=True)


def load_state(folder: Path) -> PartState:
    state = new_state()
    with checkpoint.open_checkpoint(folder) as saved:
        assert saved is not None
        saved.restore(state)
    return state


@pytest.fixture(scope="module")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a saved state that has all kinds of arrays."""
    folder, state = tmp_path_factory.mktemp("state") / "kept", new_state()
    state.n_done = 3
    columns = np.arange(N_COLUMNS, dtype=np.int32)
    state.weights.weights[0].put(columns, np.eye(N_COLUMNS, N_TOPICS, dtype=np.float32), 0)
    state.heldout_scores = np.ones((N_HELDOUT, N_TOPICS), dtype=np.float32)
    save_state(folder, state)
    return folder


@contextlib.contextmanager
def copy_of(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as parent:
        yield Path(shutil.copytree(folder, Path(parent) / "kept"))


def test_load_returns_the_state_that_was_saved(state_folder: Path) -> None:
    with copy_of(state_folder) as folder:
        state = load_state(folder)
        save_state(folder.with_name("again"), state)
        for name in ("checkpoint.json", "state.*", "weights-0.*"):
            (path,), (again,) = (
                list(each.glob(name)) for each in (folder, folder.with_name("again"))
            )
            assert path.read_bytes() == again.read_bytes()


def test_open_checkpoint_names_every_damaged_file(state_folder: Path) -> None:
    files = sorted(path.name for path in state_folder.iterdir() if path.name != "lock")

    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(files))
        content = (state_folder / name).read_bytes()
        at = data.draw(st.integers(0, len(content) - 1))
        bit = data.draw(st.integers(0, 7))
        flipped = bytes([*content[:at], content[at] ^ 1 << bit, *content[at + 1 :]])
        damaged = data.draw(st.sampled_from([content[:at], flipped]))
        with copy_of(state_folder) as folder:
            (folder / name).write_bytes(damaged)
            with pytest.raises(CheckpointError) as caught:
                load_state(folder)
            message = str(caught.value)
        if "format" not in message:
            assert message.startswith(f"{folder / name}: damaged (")
            assert message.endswith(f"); remove {folder} {START_OVER}")

    check()


@pytest.mark.parametrize("n_done", [-3, N_PARTS + 1])
def test_restore_rejects_more_parts_than_there_are(state_folder: Path, n_done: int) -> None:
    with copy_of(state_folder) as folder:
        with forged_index(folder) as content:
            content["n_done"] = n_done
        with pytest.raises(CheckpointError, match=f"{n_done} of 4 parts have been learned from"):
            load_state(folder)


@contextlib.contextmanager
def forged_index(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the content of the index, and write it as it is then, with its digest."""
    index = msgspec.json.decode((folder / "checkpoint.json").read_bytes())
    yield index["content"]
    index["sha256"] = hashlib.sha256(msgspec.json.encode(index["content"])).hexdigest()
    (folder / "checkpoint.json").write_bytes(msgspec.json.encode(index))


def test_open_checkpoint_names_another_format(state_folder: Path) -> None:
    with copy_of(state_folder) as folder:
        index = folder / "checkpoint.json"
        index.write_bytes(index.read_bytes().replace(b'"format":2', b'"format":3'))
        with pytest.raises(CheckpointError) as caught:
            load_state(folder)
    assert str(caught.value) == (
        f"{folder} is a checkpoint in format 3, and this version of Slugline reads format 2; "
        "resume with the version that wrote it, or name another folder with `checkpoint`."
    )


@pytest.mark.parametrize("name", ["checkpoint.json", "state.*"])
@pytest.mark.parametrize("damage", ["missing", "pipe"])
def test_open_checkpoint_names_what_is_no_file(state_folder: Path, name: str, damage: str) -> None:
    if damage == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("there are no named pipes here")
    with copy_of(state_folder) as folder:
        (path,) = folder.glob(name)
        path.unlink()
        reason = "No such file or directory"
        if damage == "pipe":
            os.mkfifo(path)
            reason = "it is a device or pipe"
        elif name == "checkpoint.json":
            return  # there is no checkpoint then
        with pytest.raises(CheckpointError) as caught:
            load_state(folder)
    assert str(caught.value).startswith(f"{path}: damaged ({reason}")


# Time, and the end ------------------------------------------------------------------------------


def test_save_writes_in_a_fraction_of_the_time(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MAX_TIME_FRACTION", 1e-9)
    written = []

    def write(path: Path, data: bytes) -> None:
        written.append(path.name)
        path.write_bytes(data)

    monkeypatch.setattr(checkpoint, "write_whole", write)
    job.run()
    # The first step, which tells how long it takes, and the last one.
    assert written.count("checkpoint.json") == 2


def test_remove_checkpoint_leaves_other_files(job: Job) -> None:
    job.begin()
    remove_checkpoint(job.folder)
    assert not job.folder.exists()
    remove_checkpoint(job.folder)
    job.folder.mkdir()
    (job.folder / "tickets.csv").write_text("")
    remove_checkpoint(job.folder)
    assert [path.name for path in job.folder.iterdir()] == ["tickets.csv"]


# On a cluster -----------------------------------------------------------------------------------


@pytest.fixture
def client() -> Iterator[Any]:
    """Two workers that are threads of this process."""
    distributed: Any = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=False,
            dashboard_address=":0",
            silence_logs=logging.CRITICAL,
        ) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        yield client


@pytest.mark.parametrize("begins_there", [True, False], ids=["begun there", "ended there"])
def test_fit_stream_resumes_on_one_machine_and_on_a_cluster(
    job: Job, client: Any, begins_there: bool
) -> None:
    counting = StopAt(-1)
    wanted = saved(job.run(counting, checkpoint=None), job.folder)
    begun, ended = (client, None) if begins_there else (None, client)
    with pytest.raises(StoppedError):
        job.run(StopAt(3), client=begun)
    again = StopAt(-1)
    assert saved(job.run(again, client=ended), job.folder) == wanted
    assert again.reported == counting.reported - 3
