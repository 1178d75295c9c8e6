"""A folder of answers by the workers of a Dask cluster, and answers to Dask's data frames."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slugline.base.clusters import closed
from slugline.base.names import MARKERS
from slugline.base.progress import SilentProgress
from slugline.classifier import TopicClassifier
from slugline.errors import ClusterError, OptionError
from slugline.prediction import cluster as prediction_cluster
from slugline.prediction.cluster import predict_partitions
from slugline.prediction.job import predict_files
from slugline.prediction.model_copy import ModelCopy
from stand_ins import Meanings

distributed = pytest.importorskip("distributed")

# Dask's own, of which nothing can be done here.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning")]


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers in processes of their own, which come again when they are killed."""
    dask = pytest.importorskip("dask")
    # On a busy machine, a worker may take longer to come again than the default of 15 seconds.
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"}),
        closed(
            distributed.LocalCluster(
                n_workers=2,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                host="127.0.0.1",
                silence_logs=logging.CRITICAL,
            )
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@pytest.fixture
def _folder(news_slug: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have news.slug in the folder, and four files in in/."""
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    for number in range(4):
        lines = "\n".join(f"the wheat of {n}\nno {n} goal" for n in range(1500))
        Path(f"in/{number}.csv").write_text(f"text\n{lines}\n")


def contents(folder: str) -> dict[str, bytes]:
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    # A killed worker leaves the part that it was writing.
    files = [path for path in paths if MARKERS not in path.parts and path.suffix != ".part"]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.usefixtures("_folder")
def test_predict_files_writes_the_same_bytes_on_a_cluster(client: Any) -> None:
    predict_files("news.slug", ["in/*"], "here", n_workers=1)

    done = predict_files("news.slug", ["in/*"], "there", client=client)

    assert (done.n_files, done.n_rows, done.failed) == (4, 12000, [])
    assert contents("there") == contents("here")
    assert predict_files("news.slug", ["in/*"], "there", client=client).n_files == 0
    # Where it is done is no other setting.
    assert predict_files("news.slug", ["in/*"], "there", n_workers=1).n_files == 0


@pytest.mark.usefixtures("_folder")
def test_predict_on_cluster_removes_the_model_from_workers(client: Any) -> None:
    predict_files("news.slug", ["in/*"], "out", client=client)
    assert jobs(client) == [{}, {}]


def jobs(client: Any) -> list[dict[str, Any]]:
    """Return what each of the two workers has been sent for jobs that are under way."""
    client.wait_for_workers(2, timeout=600)
    module = "__import__('slugline.prediction.cluster').prediction.cluster"
    return [*client.run(eval, f"{module}._jobs").values()]


@pytest.mark.usefixtures("_folder")
def test_predict_on_cluster_redoes_the_files_of_a_killed_worker(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_cluster, "_PATIENCE", 600)
    predict_files("news.slug", ["in/*"], "here", n_workers=1)
    victims = [*client.run(os.getpid).values()]

    class Killer(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            if victims:
                os.kill(victims.pop(), signal.SIGKILL)

    done = predict_files("news.slug", ["in/*"], "there", client=client, progress=Killer())
    assert (victims, done.n_files, done.failed) == ([], 4, [])
    assert contents("there") == contents("here")


@pytest.mark.usefixtures("_folder")
def test_predict_on_cluster_names_an_unreadable_file_and_its_worker(client: Any) -> None:
    Path("in/9.jsonl").write_bytes(b"\x1f\x8b")
    done = predict_files("news.slug", ["in/*"], "out", client=client)
    ((source, why),) = done.failed
    assert (done.n_files, source) == (4, "in/9.jsonl")
    assert why.startswith(f"{Path('in/9.jsonl').absolute()} is gzip; give it a name that ends in")
    assert "(on worker tcp://127.0.0.1:" in why


@pytest.mark.usefixtures("_folder")
def test_predict_on_cluster_ends_tasks_after_an_interrupt(client: Any) -> None:
    class Impatient(SilentProgress):
        def update(self, step: str, share: float | None = None, detail: str = "") -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict_files("news.slug", ["in/*"], "out", client=client, progress=Impatient())
    assert jobs(client) == [{}, {}]
    assert predict_files("news.slug", ["in/*"], "out", client=client).n_files >= 1
    assert sorted(contents("out")) == ["0.csv", "1.csv", "2.csv", "3.csv"]


@pytest.mark.usefixtures("_folder")
def test_predict_on_cluster_gives_up_without_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_cluster, "_CHECK_INTERVAL", 0.1)
    monkeypatch.setattr(prediction_cluster, "_PATIENCE", 0.5)
    with (
        distributed.LocalCluster(
            n_workers=1, processes=False, dashboard_address=":0", silence_logs=logging.CRITICAL
        ) as cluster,
        distributed.Client(cluster) as client,
    ):

        class Last(SilentProgress):
            def note(self, text: str) -> None:
                client.retire_workers()

        with pytest.raises(ClusterError) as found:
            predict_files("news.slug", ["in/*"], "out", client=client, progress=Last())
    assert str(found.value) == (
        "the cluster has had no workers for 0.5 seconds; start some and rerun: finished files are "
        "skipped."
    )


@pytest.mark.usefixtures("_folder")
def test_model_copy_brings_its_encoder(client: Any) -> None:
    encoder = Meanings({"wheat": 0, "corn": 0, "rye": 0, "loan": 1, "bond": 1, "debt": 1})
    texts = ["wheat and corn", "loan and bond", "corn of wheat", "bond or loan", "wheat", "loan"]
    TopicClassifier(encoder=encoder).fit(texts, ["grain", "bank"] * 3).save("own.slug")
    Path("in/0.csv").write_text("text\nrye\ndebt\nwheat or bond\n")
    copy = ModelCopy.from_model("own.slug", encoder)

    predict_files(copy, ["in/0.csv"], "here", n_workers=1)
    predict_files(copy, ["in/0.csv"], "there", client=client)

    assert contents("there") == contents("here")
    assert b"rye,grain" in contents("there")["0.csv"]


# Data frames ------------------------------------------------------------------------------------


@pytest.fixture
def frame() -> Any:
    """Return two partitions of texts, one of which is missing, with letters for an index."""
    dd = pytest.importorskip("dask.dataframe")
    import pandas as pd

    texts = ["wheat", None, "goal", "  ", "loan and bond"]
    return dd.from_pandas(pd.DataFrame({"text": texts, "n": range(5)}, index=[*"abcde"]), 2)


def test_predict_partitions_gives_the_answers_of_the_model(
    news_slug: Path, frame: Any, client: Any
) -> None:
    from slugline.classifier import load

    answers = predict_partitions(news_slug, frame)

    assert [*answers.columns] == ["topic", "probability"]
    assert answers.divisions == frame.divisions
    found = answers.compute()
    assert [*found.index] == [*"abcde"]
    assert [*found.dtypes] == [*answers.dtypes]
    assert [topic if isinstance(topic, str) else None for topic in found["topic"]] == [
        *("grain", None, "sport", None, "bank")
    ]
    proba = load(news_slug).predict_proba(["wheat", "goal", "loan and bond"]).max(axis=1)
    assert [*found["probability"].dropna()] == pytest.approx([*proba])


def test_predict_partitions_gives_reasons(
    news: list[tuple[str, str]], frame: Any, client: Any
) -> None:
    texts, topics = zip(*news, strict=True)
    model = TopicClassifier(min_precision=0.7).fit(texts, topics)
    answers = predict_partitions(model, frame.fillna("xyzzy plugh"))
    assert [*answers.columns] == ["topic", "probability", "reason", "guess"]
    found = answers.compute()
    assert found["reason"].notna().tolist() == found["topic"].isna().tolist()
    assert found["reason"]["d"] == "no text"
    assert found["reason"]["b"].startswith(("unknown words", "probability"))
    assert found["guess"].notna().tolist() == [True, True, True, False, True]
    assert [*found.dtypes] == [*answers.dtypes]


def test_predict_partitions_rejects_other_frames_and_columns(news_slug: Path, frame: Any) -> None:
    with pytest.raises(
        OptionError, match=r"^the data frame has no column 'body' \(found \['text', "
    ):
        predict_partitions(news_slug, frame, "body")
    with pytest.raises(OptionError, match=r"^`frame` is of type dict; pass a dask.dataframe, or"):
        predict_partitions(news_slug, {"text": []})  # type: ignore[arg-type]
