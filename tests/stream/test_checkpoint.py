"""Checkpoints: whatever ends a job, the next one goes on to the same bytes, or says why not."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save

from slugline.base.progress import Progress, SilentProgress
from slugline.classifier import TopicClassifier
from slugline.errors import CheckpointError, OptionError
from slugline.learning.linear.newton import TOLERANCE
from slugline.stream import checkpoint, descents
from slugline.stream.checkpoint import remove_checkpoint
from slugline.stream.fit import StreamOptions
from slugline.text.feature_groups import FeatureGroup

pytestmark = pytest.mark.slow

News = list[tuple[str, str]]

WORDS = (FeatureGroup("words", "log-tf-idf", n_buckets=1 << 10),)


def pairs(news: News) -> Iterator[tuple[list[str], list[str]]]:
    for first in range(0, len(news), 25):
        texts, topics = zip(*news[first : first + 25], strict=True)
        yield list(texts), list(topics)


class StoppedError(Exception):
    """The end of a process, as far as a test in the same process can have it."""


class StopAt(SilentProgress):
    """Ends the job when a pass is reported for the n-th time."""

    def __init__(self, n: int, how: type[BaseException] = StoppedError) -> None:
        self.n, self.how, self.reported = n, how, 0

    def update(self, step: str, share: float | None = None, detail: str = "") -> None:
        if detail.startswith("pass "):
            self.reported += 1
            if self.reported == self.n:
                raise self.how


@dataclass
class Job:
    """One job, which may be stopped and begun again."""

    news: News
    folder: Path
    blocks: Any = WORDS
    class_weight: Any = None

    def run(
        self,
        progress: Progress | None = None,
        min_precision: float | None = None,
        client: Any = None,
        **options: Any,
    ) -> TopicClassifier:
        few_passes = {"rows_per_block": 20, "tolerance": 0.03}
        stream_options = StreamOptions(**{**few_passes, "checkpoint": self.folder, **options})
        classifier = TopicClassifier(
            n_jobs=1,
            feature_groups=self.blocks,
            class_weight=self.class_weight,
            min_precision=min_precision,
        )
        return classifier.fit_stream(
            pairs(self.news), stream_options, client=client, progress=progress
        )

    def begin(self) -> None:
        """Stop after the first of the topics are done with some of the documents."""
        with pytest.raises(StoppedError):
            self.run(StopAt(6))


def saved(classifier: TopicClassifier, folder: Path) -> bytes:
    path = folder.with_name("saved.slug")
    classifier.save(path)
    return path.read_bytes()


@pytest.fixture
def job(news: News, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Return a job of three blocks of topics, which keeps each step."""
    monkeypatch.setattr(checkpoint, "MAX_TIME_SHARE", 1.0)
    monkeypatch.setattr(descents, "MAX_TOPICS", 1)
    return Job(news, tmp_path / "kept")


@pytest.mark.parametrize(("most_kept", "stride"), [(1 << 28, 1), (0, 4)], ids=["dense", "sparse"])
def test_from_every_step_it_goes_on_to_the_same_bytes(
    job: Job, most_kept: int, stride: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descents, "_MAX_DENSE", most_kept)
    counting = StopAt(-1)
    wanted = saved(job.run(counting, checkpoint=None), job.folder)
    for n in range(1, counting.reported + 1, stride):
        with pytest.raises(StoppedError):
            job.run(StopAt(n))
        again = StopAt(-1)
        assert saved(job.run(again), job.folder) == wanted
        # The step that was kept is reported once more, and none before it.
        assert again.reported == counting.reported - n + 1
        shutil.rmtree(job.folder)


def test_stopped_after_each_step_it_ends_all_the_same(job: Job) -> None:
    wanted = saved(job.run(checkpoint=None), job.folder)
    for _ in range(100):
        try:
            found = job.run(StopAt(2))
            break
        except StoppedError:
            continue
    assert saved(found, job.folder) == wanted


def test_topics_that_are_learned_at_once_go_on_as_well(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descents, "MAX_TOPICS", 128)
    counting = StopAt(-1)
    wanted = saved(job.run(counting, checkpoint=None), job.folder)
    for n in range(1, counting.reported + 1):
        with pytest.raises(StoppedError):
            job.run(StopAt(n))
        assert saved(job.run(), job.folder) == wanted
        shutil.rmtree(job.folder)


def test_so_few_documents_that_none_is_heldout_go_on_as_well(tmp_path: Path) -> None:
    job = Job([("wheat", "grain"), ("oil", "crude")], tmp_path / "kept")
    wanted = saved(job.run(checkpoint=None), job.folder)
    with pytest.raises(StoppedError):
        job.run(StopAt(2))
    assert saved(job.run(), job.folder) == wanted


def test_what_has_ended_is_there_at_once(job: Job) -> None:
    wanted = saved(job.run(), job.folder)
    again = StopAt(-1)
    assert saved(job.run(again), job.folder) == wanted
    assert again.reported == 0


def test_after_ctrl_c_it_goes_on(job: Job) -> None:
    counting = StopAt(-1)
    wanted = saved(job.run(counting, checkpoint=None), job.folder)
    stop = StopAt(counting.reported - 1, KeyboardInterrupt)
    assert job.run(stop).fitted_.interrupted
    assert saved(job.run(), job.folder) == wanted


def test_threads_memory_and_thresholds_may_be_others_when_it_goes_on(job: Job) -> None:
    wanted = saved(job.run(checkpoint=None, min_precision=0.8), job.folder)
    job.begin()
    assert saved(job.run(most_in_memory=0, min_precision=0.8), job.folder) == wanted


def test_only_what_is_needed_is_in_the_folder(job: Job) -> None:
    job.begin()
    kept = {path.name.partition(".")[0] for path in job.folder.iterdir()}
    assert kept == {"checkpoint", "lock", "now", "scores-0", "some-0"}
    job.run()
    kept = {path.name.partition(".")[0] for path in job.folder.iterdir()}
    assert {name for name in kept if name.startswith("some") or name == "now"} == set()


# Kills ------------------------------------------------------------------------------------------

JOB = """
import sys
from slugline.classifier import TopicClassifier
from slugline.stream.fit import StreamOptions
from slugline.stream import checkpoint
checkpoint.MAX_TIME_SHARE = 1.0
source, folder, path = sys.argv[1:]
TopicClassifier(n_jobs=1).fit_stream(source, StreamOptions(checkpoint=folder)).save(path)
"""


def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(news_csv: Path, tmp_path: Path) -> None:
    folder, draw = tmp_path / "kept", random.Random(3)

    def start(output: str, to: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", JOB, news_csv, to, tmp_path / output])

    assert start("whole.slug", tmp_path / "other").wait() == 0
    index, seen, codes = folder / "checkpoint.json", 0, []
    for _ in range(6):
        process = start("resumed.slug", folder)
        while process.poll() is None and changed(index) == seen:
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        codes.append(process.wait())
        seen = changed(index)
    assert -signal.SIGKILL in codes
    assert start("resumed.slug", folder).wait() == 0
    whole, resumed = ((tmp_path / name).read_bytes() for name in ("whole.slug", "resumed.slug"))
    assert resumed == whole
    assert [path for path in folder.iterdir() if path.name.endswith(".part")] == []


def changed(path: Path) -> int:
    """Return when a file was changed last, in nanoseconds; 0 if there is none."""
    return path.stat().st_mtime_ns if path.exists() else 0


# What is of another job, damaged or in use ------------------------------------------------------


def refusal(job: Job, **how: Any) -> str:
    """Return why it is refused, with the folder's name shortened."""
    with pytest.raises(CheckpointError) as caught:
        job.run(**how)
    return str(caught.value).replace(str(job.folder), "kept")


NAME_ANOTHER = "name another folder with `checkpoint`, or remove this one."


def test_a_damaged_part_is_named_before_anything_is_read(job: Job) -> None:
    job.begin()
    job.news = []
    part = next(iter(job.folder.glob("now.*.safetensors")))
    data = bytearray(part.read_bytes())
    data[-1] ^= 1
    part.write_bytes(data)
    assert refusal(job).startswith(
        f"kept/{part.name}: damaged (its bytes are not those that were written); remove kept"
    )


def test_a_part_that_is_damaged_after_it_was_checked_is_named(job: Job) -> None:
    job.begin()
    with checkpoint.open_checkpoint(job.folder) as kept:
        assert kept is not None
        for part in job.folder.glob("*.safetensors"):
            data = bytearray(part.read_bytes())
            data[-1] ^= 1
            part.write_bytes(data)
        with pytest.raises(CheckpointError, match="its bytes are not those that were written"):
            kept.load(10, [slice(0, 1)])


def test_another_tolerance_is_named_before_anything_is_read(job: Job) -> None:
    job.begin()
    job.news = []
    assert refusal(job, tolerance=0.01) == (
        f"kept is a checkpoint of another job (tolerances: 0.03 there, 0.01 here); {NAME_ANOTHER}"
    )


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"class_weight": "balanced"}, 'weights of topics: "equal" there, "balanced" here'),
        ({"blocks": [FeatureGroup("words", "counts", n_buckets=1 << 10)] * 2}, "other terms"),
    ],
    ids=["class_weight", "blocks"],
)
def test_other_settings_are_named(job: Job, changes: dict[str, Any], named: str) -> None:
    job.begin()
    wanted = f"kept is a checkpoint of another job ({named}); {NAME_ANOTHER}"
    assert refusal(replace(job, **changes)) == wanted


def test_another_version_is_named(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.begin()
    monkeypatch.setattr("slugline._version.__version__", "99.1")
    assert refusal(job).endswith(f" there, 99.1 here); {NAME_ANOTHER}")


def test_other_documents_are_named(job: Job) -> None:
    job.begin()
    job.news = [*job.news[:-1], ("goal", "sport")]
    found = refusal(job)
    assert re.fullmatch(
        r"kept is a checkpoint of another job \(documents: 90 in 5 blocks, digest \w{16} there, 90 "
        rf"in 5 blocks, digest \w{{16}} here\); {NAME_ANOTHER}",
        found,
    )


def test_documents_in_other_blocks_are_named(job: Job) -> None:
    job.begin()
    refused = refusal(job, rows_per_block=30)
    assert "(documents: 90 in 5 blocks, digest " in refused
    assert " there, 90 in 3 blocks, digest " in refused


def test_a_later_format_is_named(job: Job) -> None:
    job.begin()
    index = job.folder / "checkpoint.json"
    index.write_bytes(index.read_bytes().replace(b'"format":1', b'"format":2'))
    assert refusal(job) == (
        "kept is a checkpoint in format 2, and this Slugline has format 1; go on with the one that "
        "began it, or name another folder with `checkpoint`."
    )


def test_every_damage_is_named(job: Job) -> None:
    job.begin()
    draw = random.Random(5)
    for path in sorted(job.folder.iterdir()):
        data = path.read_bytes()
        for damaged in damages(data, draw):
            path.write_bytes(damaged)
            reason = refusal(job)
            assert reason.startswith(f"kept/{path.name}: damaged (") or "format" in reason
            assert (
                reason.endswith(
                    "); remove kept to begin anew, or name another folder with `checkpoint`."
                )
                or "format" in reason
            )
        path.write_bytes(data)
    job.run()


def damages(data: bytes, draw: random.Random) -> Iterator[bytes]:
    """Yield the bytes without their end, and with one bit that is another, here and there."""
    if not data:  # the lock
        return
    for _ in range(5):
        yield data[: draw.randrange(len(data))]
        flipped = bytearray(data)
        flipped[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        yield bytes(flipped)


def test_a_file_that_is_gone_is_named(job: Job) -> None:
    job.begin()
    gone = next(job.folder.glob("now.*"))
    gone.unlink()
    assert refusal(job) == (
        f"kept/{gone.name}: damaged (No such file or directory); remove kept to begin anew, or "
        "name another folder with `checkpoint`."
    )


def forge(folder: Path, name: str, **arrays: Any) -> None:
    """Change arrays of a checkpoint, digests included, as one who means harm would."""
    with forged_index(folder) as content:
        part = content["parts"][name]
        path = folder / part["file"]
        before = load_file(path)
        data = save(before | {n: a(before[n]) if callable(a) else a for n, a in arrays.items()})
        path.write_bytes(data)
        part |= {"n_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


@contextlib.contextmanager
def forged_index(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the content of the index, and write what it is then with its digest."""
    index = msgspec.json.decode((folder / "checkpoint.json").read_bytes())
    yield index["content"]
    index["sha256"] = hashlib.sha256(msgspec.json.encode(index["content"])).hexdigest()
    (folder / "checkpoint.json").write_bytes(msgspec.json.encode(index))


@pytest.mark.parametrize(
    ("name", "arrays"),
    [
        ("now", {"weights": np.zeros((3, 1), np.float32)}),
        ("now", {"biases": np.zeros(1, np.float32)}),
        ("now", {"rest.chosen": np.array([5])}),
        ("now", {"rest.counts": np.array([-1, 3])}),
        ("now", {"rest.sizes": np.zeros(0)}),
        ("scores-0", {"scores": np.zeros((4, 9), np.float32)}),
        ("some-0", {"indices": np.full(1, 99, np.int32)}),
        ("some-0", {"indices": lambda indices: np.full_like(indices, 1 << 20)}),
        ("some-0", {"indptr": lambda indptr: np.append(indptr, indptr[-1:])}),
        ("some-0", {"data": lambda data: data.astype(np.float64)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_can_not_be_are_refused(
    job: Job, name: str, arrays: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descents, "_MAX_DENSE", 0)
    job.begin()
    forge(job.folder, name, **arrays)
    assert refusal(job).startswith("kept/checkpoint.json: damaged (")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
@pytest.mark.parametrize("name", ["checkpoint.json", "a part"])
def test_a_pipe_in_place_of_a_file_is_refused_at_once(job: Job, name: str) -> None:
    job.begin()
    path = job.folder / name
    if name == "a part":
        path = next(job.folder.glob("*.safetensors"))
    path.unlink()
    os.mkfifo(path)
    assert refusal(job).startswith(f"kept/{path.name}: damaged (it is a device or pipe")


@pytest.mark.parametrize("depth", [2000, 200_000])
def test_a_deeply_nested_index_is_refused(job: Job, depth: int) -> None:
    job.begin()
    index = f'{{"format": 1, "sha256": "x", "content": {"[" * depth}{"]" * depth}}}'
    (job.folder / "checkpoint.json").write_text(index)
    assert refusal(job).startswith("kept/checkpoint.json: damaged (")


@pytest.mark.parametrize(("first", "done"), [(1, -1), (1, 0), (1, 3), (1, 99)])
def test_numbers_of_descents_that_can_not_be_are_refused(job: Job, first: int, done: int) -> None:
    job.begin()
    with forged_index(job.folder) as content:
        assert content["n_done"] == first
        content["n_done"] = done
    refused = f"kept/checkpoint.json: damaged ({done} of 3 descents, and 1 judged); remove kept "
    assert refusal(job).startswith(refused)


def test_a_file_outside_the_folder_is_not_read(job: Job) -> None:
    job.begin()
    with forged_index(job.folder) as content:
        content["parts"]["now"]["file"] = "../now.1.safetensors"
    damage = "it names '../now.1.safetensors'"
    assert refusal(job).startswith(f"kept/checkpoint.json: damaged ({damage}); remove kept to")


def test_an_index_larger_than_any_is_not_read(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.begin()
    size = (job.folder / "checkpoint.json").stat().st_size
    monkeypatch.setattr(checkpoint, "_MAX_INDEX_BYTES", size)
    assert checkpoint.has_checkpoint(job.folder)
    with checkpoint.open_checkpoint(job.folder) as kept:
        assert kept is not None
        assert kept.note == (
            f"{job.folder} holds what was learned before: it goes on from there, once all "
            "documents are read again"
        )
    monkeypatch.setattr(checkpoint, "_MAX_INDEX_BYTES", size - 1)
    most = f"{size - 1:,} bytes"
    assert refusal(job).startswith(
        f"kept/checkpoint.json: damaged (it has more than {most}); remove"
    )


def test_a_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    folder = tmp_path / "above" / "kept"
    with checkpoint.open_checkpoint(str(folder)) as kept:
        assert kept is not None
        assert (kept.note, checkpoint.has_checkpoint(folder)) == ("", False)
    assert [path.name for path in folder.iterdir()] == ["lock"]


@pytest.mark.parametrize("name", ["biases", "first", "rest.sizes", "rest.first"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(job: Job, name: str, value: float) -> None:
    job.begin()
    content = json.loads((job.folder / "checkpoint.json").read_bytes())["content"]
    array = load_file(job.folder / content["parts"]["now"]["file"])[name]
    array[0] = value
    forge(job.folder, "now", **{name: array})
    assert "NaN or infinity" in refusal(job)


def test_a_file_larger_than_a_state_is_not_read(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    job.begin()
    monkeypatch.setattr(checkpoint, "_MAX_EXTRA_BYTES", -1 << 40)
    assert re.match(r"kept/\S+: damaged \(it has [\d,]+ bytes and not -", refusal(job))


@pytest.mark.skipif(sys.platform == "win32", reason="files are not locked there")
def test_two_jobs_in_one_folder_are_refused(job: Job) -> None:
    class Second(SilentProgress):
        said = ""

        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            self.said = self.said or refusal(job)

    second = Second()
    job.run(progress=second)
    assert second.said == (
        "kept is in use by another job; wait until that has ended, or name another folder with "
        "`checkpoint`."
    )


def test_a_folder_with_other_files_is_left_alone(job: Job) -> None:
    job.folder.mkdir()
    (job.folder / "tickets.csv").write_text("text,topic\n")
    assert refusal(job) == (
        "kept holds other files, such as tickets.csv; name a folder of its own with `checkpoint`. "
        "It need not exist."
    )


def test_what_is_no_folder_is_named(job: Job) -> None:
    job.folder.write_text("")
    assert refusal(job) == (
        "kept can't hold a checkpoint (File exists); name another folder with `checkpoint`."
    )
    with pytest.raises(OptionError, match="`checkpoint` is 3; give the path of a folder"):
        job.run(checkpoint=3)


def test_a_full_disk_is_named_and_what_was_kept_is_safe(
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
            "kept: the checkpoint can't be written (No space left on device); what it held before "
            "is unchanged. Free some space, and start the same job again: it goes on from there."
        )
    assert saved(job.run(), job.folder) == wanted


# Time, and the end ------------------------------------------------------------------------------


def test_most_of_the_time_nothing_is_written(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "MAX_TIME_SHARE", 1e-9)
    written = []

    def write(path: Path, data: bytes) -> None:
        written.append(path.name)
        path.write_bytes(data)

    monkeypatch.setattr(checkpoint, "write_whole", write)
    job.run()
    # The first step, which tells how long it takes, and the last one.
    assert written.count("checkpoint.json") == 2


def test_a_checkpoint_that_is_removed_takes_nothing_else_along(job: Job) -> None:
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
def test_it_goes_on_here_from_a_cluster_and_there_from_one_machine(
    job: Job, client: Any, begins_there: bool
) -> None:
    wanted = saved(job.run(checkpoint=None, tolerance=TOLERANCE), job.folder)
    there, here = ({"client": each, "tolerance": TOLERANCE} for each in (client, None))
    begun, ended = (there, here) if begins_there else (here, there)
    counting = StopAt(-1)
    job.run(counting, checkpoint=None, **begun)
    with pytest.raises(StoppedError):
        job.run(StopAt(counting.reported - 3), **begun)
    again = StopAt(-1)
    assert saved(job.run(again, **ended), job.folder) == wanted
    assert 0 < again.reported < counting.reported


def test_a_descent_that_had_ended_here_takes_no_step_there(job: Job, client: Any) -> None:
    counting = StopAt(-1)
    wanted = saved(job.run(counting, checkpoint=None), job.folder)
    with pytest.raises(StoppedError):
        job.run(StopAt(counting.reported))  # after the last step of the last descent
    assert saved(job.run(client=client), job.folder) == wanted
