"""Servers of models that are unsure of every text, and precisions of a server's own."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from server import call_tool, client, make_state, running
from slugline.classifier import TopicClassifier
from slugline.corrections.learning_loop import LearningLoop
from slugline.errors import OptionError
from slugline.labels.store import LabelStore
from slugline.serving.served_models import ServedModels

pytestmark = pytest.mark.slow

News = list[tuple[str, str]]
TEXT = "the loan and rate and bond of 1"


@pytest.fixture(scope="module")
def documents(news: News) -> tuple[list[str], list[str]]:
    texts = [f"{text} x{number}" for number in range(3) for text, _ in news]
    return texts, [topic for _ in range(3) for _, topic in news]


@pytest.fixture(scope="module")
def saved(documents: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    options = {"plain": None, "sure": 0.9, "hopeless": 0.9999}
    for name, precision in options.items():
        classifier = TopicClassifier(min_precision=precision).fit(*documents)
        classifier.save(folder / f"{name}.slug")
    few = TopicClassifier().fit(*(part[:8] for part in documents))
    few.save(folder / "few.slug")
    return {path.stem: path for path in folder.iterdir()}


def test_model_that_misses_its_precision_is_served_with_guesses(
    saved: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    state = make_state(saved["hopeless"])
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "hopeless.slug is unsure of every text: no threshold reaches the" in record.message
    with client(state) as api:
        [result] = api.post("/v1/classify", json={"text": TEXT}).json()["results"]
        assert (result["topic"], result["reason_kind"]) == (None, "no_threshold")
        assert result["top"][0]["topic"] == "bank"
        [result] = api.post("/v1/classify", json={"text": TEXT, "min_precision": 0.7}).json()[
            "results"
        ]
        assert result["topic"] == "bank"
        # Who asks for a precision hears that it can't be promised, even if it is the model's own.
        reply = api.post("/v1/classify", json={"text": TEXT, "min_precision": 0.9999})
        assert reply.status_code == 422
        assert "`min_precision` is 0.9999, but no threshold reaches it" in reply.text


def test_mcp_classify_follows_the_precision_of_the_server(saved: dict[str, Path]) -> None:
    for precision, topic in ((None, None), (0, "bank"), (0.7, "bank")):
        service = make_state(saved["hopeless"], min_precision=precision).service
        reply = call_tool(service, "classify", texts=[TEXT])
        assert reply.results[0].topic == topic


def test_server_precision_replaces_those_of_the_models(saved: dict[str, Path]) -> None:
    with client(make_state(saved["sure"], saved["plain"], min_precision=0)) as api:
        for name in ("sure", "plain"):
            reply = api.post("/v1/classify", json={"text": "zinc", "model": name}).json()
            assert reply["results"][0]["topic"] is not None
    with client(make_state(saved["plain"], min_precision=0.7)) as api:
        assert api.get("/v1/models/plain").json()["min_precision"] == 0.7
        reply = api.post("/v1/classify", json={"texts": [TEXT, ""]}).json()
        assert [result["topic"] for result in reply["results"]] == ["bank", None]


@pytest.mark.parametrize("command", [("serve", "--port", 0), ("mcp",)], ids=["serve", "mcp"])
def test_server_does_not_start_with_an_unreachable_precision(
    run: Callable[..., Any], saved: dict[str, Path], command: tuple[Any, ...]
) -> None:
    code, _, err = run(*command, saved["plain"], "--min-precision", 0.9999)
    assert code == 2
    assert f"{saved['plain']}: --min-precision is 0.9999, but no threshold reaches it" in err
    assert "The best that can be promised is " in err


def test_refresh_keeps_the_old_version_if_the_new_one_misses_the_precision(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    path = tmp_path / "news.slug"
    shutil.copy(saved["plain"], path)
    models = ServedModels.load([str(path)], 0.7)
    digest = models.default.digest
    shutil.copy(saved["few"], path)
    assert models.refresh() == []
    assert models.default.digest == digest
    assert "no threshold reaches it" in models.problems["news"]
    shutil.copy(saved["sure"], path)
    assert models.refresh() == ["news"]
    assert models.default.decider.precision == 0.7
    with pytest.raises(OptionError, match="no threshold reaches it"):
        ServedModels.load([str(saved["few"])], 0.7)


@pytest.mark.parametrize("outcome", ["held back", "failed", "replaced"])
def test_ready_reports_a_learner_whose_last_model_was_not_used(
    saved: dict[str, Path], news_csv: Path, tmp_path: Path, outcome: str
) -> None:
    with LabelStore(tmp_path / "c.db") as store:
        last = {"outcome": outcome, "message": "news.slug is unchanged: nothing can be promised"}
        store.set_settings({f"outcome {os.path.realpath(saved['plain'])}": json.dumps(last)})
    for tokens in ((), ("0123456789abcdef",)):
        state = make_state(saved["plain"], corrections=tmp_path / "c.db", tokens=tokens)
        state.service.learner = LearningLoop(
            saved["plain"], [str(news_csv)], tmp_path / "c.db", 5, lambda line: None
        )
        state.service.learner.open()
        try:
            with client(state) as api:
                reply = api.get("/ready")
        finally:
            state.service.learner.stop()
            state.service.close()
        assert reply.status_code == 200
        message = "see the log for details" if tokens else last["message"]
        is_used = outcome == "replaced"
        expected = {} if is_used else {"learning from corrections": message}
        assert reply.json()["problems"] == expected
        result = {
            "failed": "ready, but learning from corrections failed",
            "held back": "ready, but learning from corrections gave no usable model",
            "replaced": "ready",
        }
        assert reply.json()["status"] == result[outcome]


def test_learned_version_that_promises_less_stays_held_back_after_a_restart(
    run: Callable[..., Any], news: News, news_csv: Path
) -> None:
    run("train", news_csv, "-o", "news.slug", "--min-precision", 0.9, "-q")
    before, topics = Path("news.slug").read_bytes(), sorted({topic for _, topic in news})
    learns = ["--corrections", "c.db", "--learn-every", 180, "--learn-from", news_csv]
    with running("news.slug", *learns) as url:
        old = httpx.get(f"{url}/ready", timeout=120).json()
        assert old["status"] == "ready"
        with LabelStore("c.db") as store:  # of each text, a right one and a wrong one
            for n in range(2):
                for number, (text, topic) in enumerate(news):
                    wrong = topics[(topics.index(topic) + (1 + number % 2) * n) % 3]
                    store.add_correction(
                        text=f"{text} {n}", topic=wrong, answer=topic, probability=0.5,
                        model="news", digest="0" * 12, is_approved=True,
                    )  # fmt: skip
        end = time.monotonic() + 600
        while (ready := httpx.get(f"{url}/ready", timeout=120).json()) == old:
            assert time.monotonic() < end
            time.sleep(0.1)
        reply = httpx.post(f"{url}/v1/classify", json={"text": TEXT}, timeout=120).json()
    assert ready["status"] == "ready, but learning from corrections gave no usable model"
    assert ready["models"] == old["models"]
    assert list(ready["problems"]) == ["learning from corrections"]
    assert ready["problems"]["learning from corrections"].startswith(
        "news.slug is unchanged: the model to be replaced promises answers with a precision of 0.9"
    )
    assert (reply["version"], reply["results"][0]["topic"]) == (
        ready["models"][0]["version"],
        "bank",
    )
    with running("news.slug", *learns) as url:
        assert httpx.get(f"{url}/ready", timeout=120).json() == ready
        assert httpx.post(f"{url}/v1/classify", json={"text": TEXT}, timeout=120).json() == reply
    assert Path("news.slug").read_bytes() == before


@pytest.mark.parametrize(("name", "promise"), [("plain", "none"), ("sure", "0.9")])
def test_server_does_not_start_with_a_precision_that_learning_could_break(
    run: Callable[..., Any], saved: dict[str, Path], news_csv: Path, name: str, promise: str
) -> None:
    learns = ("--corrections", "c.db", "--learn-every", 5, "--learn-from", news_csv)
    code, _, err = run("serve", "--port", 0, saved[name], *learns, "--min-precision", 0.92)
    assert code == 2
    assert err == (
        f"slugline: error: --min-precision is 0.92, but {saved[name]} guarantees "
        f"{promise}, so retrained versions may not reach it; train with `--min-precision 0.92`, "
        "and remove the option here.\n"
    )
