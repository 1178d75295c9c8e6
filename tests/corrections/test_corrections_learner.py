"""Learning beside a server: when enough has come in, in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from slugline.base.files import lock
from slugline.classifier import load
from slugline.corrections.learning_loop import LearningLoop
from slugline.errors import OptionError, StoreError
from slugline.labels.store import LabelStore

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
News = list[tuple[str, str]]


class Place:
    """A folder with documents, a file of corrections, and learners."""

    def __init__(self, folder: Path) -> None:
        self.data, self.model = folder / "tickets.csv", folder / "tickets.slug"
        self.corrections = folder / "corrections.db"
        shutil.copy(EXAMPLES / "tickets.csv", self.data)
        self.store = LabelStore(self.corrections)
        self.log: list[str] = []
        self.learners: list[LearningLoop] = []

    def add(
        self,
        *pairs: tuple[str, str],
        model: str = "tickets",
        answer: str = "Konto",
        approved: bool = True,
    ) -> None:
        with self.model.with_name(f".{self.model.name}.learning").open("wb") as file:
            lock(file)  # or a loop could begin between a correction and its approval
            for text, topic in pairs:
                added = self.store.add_correction(
                    text=text, topic=topic, answer=answer, probability=0.5, model=model, digest="d"
                )
                if approved:
                    self.store.approve_correction(added.id)

    def learner(self, every: int = 3, **how: Any) -> LearningLoop:
        how = {"pauses": (0.02, 600.0), **how}
        learner = LearningLoop(
            self.model, [str(self.data)], self.corrections, every, self.log.append, **how
        )
        self.learners.append(learner)
        return learner

    def said(self, part: str) -> bool:
        return any(part in line for line in self.log)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    yield place
    for learner in place.learners:
        learner.stop()
    place.store.close()


def wait_for(what: Callable[[], Any], seconds: float = 600) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := what():
            return found
        time.sleep(0.01)
    pytest.fail("it didn't happen")


ENDING = [(f"Ich will den Vertrag kündigen, Nummer {n}", "Kündigung") for n in range(5)]


def test_learning_loop_replaces_the_model_once_for_enough_corrections(place: Place) -> None:
    place.add(*ENDING[:2])
    place.add(*ENDING[3:], model="another one")
    learner = place.learner()
    learner.start()
    state = learner.state()
    assert state == {
        "is_learning": False,
        "since": None,
        "every": 3,
        "n_new": 2,
        "next_after": 1,
        "last": None,
    }
    place.add(ENDING[2])
    last = wait_for(lambda: learner.state()["last"])
    assert last["outcome"] == "replaced"
    assert last["n_texts"] == 3
    assert last["now_right"] == {"n_asked": 3, "n_before": 0, "n_after": 3}
    assert last["new_topics"] == ["Kündigung"]
    wait_for(lambda: place.said("is replaced"))
    assert place.log[0] == f"learning from 3 new corrections of {place.corrections}"
    assert place.log[-1].startswith(
        f"learning from corrections: {place.model} is replaced; corrected texts that are right "
        "after learning from the others: 3 of 3, 0 before; accuracy on test texts "
    )
    assert place.said("warning: ")
    assert load(place.model).predict(["den Vertrag kündigen"]).tolist() == ["Kündigung"]
    assert learner.state()["next_after"] == 3
    learner.stop()

    again = place.learner()
    again.start()
    assert again.state()["last"] == last
    assert again.state()["n_new"] == 0
    n_lines = len(place.log)
    time.sleep(0.2)
    assert len(place.log) == n_lines


def test_learning_loop_learns_corrections_once_they_are_approved(place: Place) -> None:
    many = [(f"Ich will den Vertrag kündigen, Nummer {n}", "Kündigung") for n in range(8)]
    place.add(*many, approved=False)
    learner = place.learner(8)
    learner.start()
    last = wait_for(lambda: learner.state()["last"])
    waiting = "8 corrections wait for approval, and there are no others"
    assert last | {"at": ""} == {
        "at": "",
        "outcome": "waiting",
        "message": f"{place.model} is unchanged: {waiting}",
        "n_pending": 8,
    }
    assert not place.model.exists()
    assert wait_for(lambda: learner.state()["next_after"] == 8)
    assert len(place.store.pending_corrections()) == 8

    for number in place.store.pending_corrections():
        assert place.store.approve_correction(number, "anna")
    wait_for(lambda: learner.state()["last"]["outcome"] == "replaced")
    assert learner.state()["last"]["n_texts"] == 8
    assert learner.state()["n_new"] == 0
    assert load(place.model).predict(["den Vertrag kündigen"]).tolist() == ["Kündigung"]


def test_learning_loop_leaves_a_model_that_would_be_the_same(place: Place) -> None:
    place.add(*ENDING[:3])
    learner = place.learner()
    learner.start()
    wait_for(lambda: learner.state()["last"])
    before = wait_for(lambda: place.model.exists() and place.model.stat())
    wait_for(lambda: learner.state()["n_new"] == 0)
    many = [(f"Wo bleibt das Paket mit der Nummer {n}?", "Konto") for n in range(8)]
    place.add(*many, approved=False)
    wait_for(lambda: learner.state()["last"]["outcome"] == "unchanged")
    message = learner.state()["last"]["message"]
    assert message.startswith("nothing new to learn: ")
    assert message.endswith(" corrections wait for approval")
    assert place.model.stat().st_mtime_ns == before.st_mtime_ns
    assert not [*place.model.parent.glob("*.before.*")]


WRONG = {"grain": "sport", "sport": "bank", "bank": "grain"}


def test_learning_loop_reports_why_a_model_is_held_back(place: Place, news: News) -> None:
    lines = ["text,topic", *(f"{text},{topic}" for text, topic in news)]
    place.data.write_text("\n".join(lines) + "\n")
    place.add(
        *((f"{text} {n}", WRONG[topic]) for text, topic in news for n in range(8)), answer="grain"
    )
    learner = place.learner(30)
    learner.start()
    last = wait_for(lambda: learner.state()["last"])
    assert last["outcome"] == "held back"
    assert last["message"].startswith(
        f"{place.model} is unchanged: topic 'bank' got clearly worse: "
    )
    assert not place.model.exists()
    assert learner.state()["next_after"] == 30, "the same ones would be held back again"


def test_learning_loop_reports_a_failure_once(place: Place) -> None:
    place.data.write_text("nothing\n")
    place.add(*ENDING[:3])
    learner = place.learner()
    learner.start()
    last = wait_for(lambda: learner.state()["last"])
    assert last["outcome"] == "failed"
    assert last["message"].startswith(
        f"failed, and {place.model} is unchanged: `slugline train` says: {place.data}"
    )
    assert learner.state()["n_new"] == 3, "they have taught nothing yet"
    wait_for(lambda: place.said(str(place.data)))
    assert len([line for line in place.log if str(place.data) in line]) == 1


SLEEPY = "import time, sys; print('begun', file=sys.stderr, flush=True); time.sleep(600)"


def sleepy(learner: LearningLoop) -> LearningLoop:
    """Let a learner run something that takes long."""
    learner._command = [sys.executable, "-c", SLEEPY]
    return learner


def test_learning_loop_stop_ends_the_process_and_keeps_corrections_new(place: Place) -> None:
    place.add(*ENDING[:3])
    learner = sleepy(place.learner())
    learner.start()
    wait_for(lambda: place.said("learning from corrections: begun"))
    assert learner.state()["is_learning"]
    assert str(learner.state()["since"]).endswith("Z")
    child = learner._child
    assert child is not None
    assert os.getpriority(os.PRIO_PROCESS, child.pid) == 10
    learner.stop()
    assert child.returncode is not None
    assert place.log[-1] == "learning from corrections: stopped together with the server"
    again = place.learner()
    again._is_over.set()
    again.start()
    assert again.state()["n_new"] == 3
    assert again.state()["last"] is None


def test_learning_loop_trains_one_at_a_time_for_a_model(place: Place) -> None:
    place.add(*ENDING[:3])
    first, second = sleepy(place.learner()), sleepy(place.learner())
    first.start()
    wait_for(lambda: place.said("begun"))
    second.start()
    time.sleep(0.2)
    # Whichever process is asked says so.
    assert second.state()["is_learning"]
    assert second.state()["since"] == first.state()["since"]
    assert len([line for line in place.log if line.startswith("learning from 3 new")]) == 1


def test_learning_loop_reports_a_file_error_once_and_continues(place: Place) -> None:
    learner = place.learner()
    learner.start()
    away = place.corrections.rename(place.corrections.with_name("away"))
    wait_for(lambda: place.said("was moved, removed or replaced while it was in use"))
    time.sleep(0.1)
    assert len(place.log) == 1
    assert learner.state()["n_new"] is None
    away.rename(place.corrections)
    wait_for(lambda: learner.state()["n_new"] == 0)


def test_learning_loop_retries_with_growing_pauses(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    at: list[float] = []

    def fail(_: LearningLoop) -> None:
        at.append(time.monotonic())
        raise KeyError("odd")

    monkeypatch.setattr(LearningLoop, "_learn_if_due", fail)
    learner = place.learner(pauses=(0.02, 0.3))
    learner.start()
    wait_for(lambda: len(at) == 7)
    assert place.log == ["learning from corrections: 'odd'"]
    assert at[1] - at[0] >= 0.04
    assert at[6] - at[5] >= 0.3


def test_learning_loop_stops_during_a_pause(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: LearningLoop) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(LearningLoop, "_learn_if_due", fail)
    learner = place.learner(pauses=(600, 600))
    learner.start()
    wait_for(lambda: place.log)
    started = time.monotonic()
    learner.stop()
    assert time.monotonic() - started < 60


def test_learning_loop_state_ignores_invalid_notes(place: Place) -> None:
    place.store.set_settings({f"learned {os.path.realpath(place.model)}": "many"})
    learner = place.learner()
    learner.start()
    wait_for(lambda: place.said("invalid literal for int"))
    assert learner.state()["n_new"] is None
    assert json.dumps(learner.state())


def test_learning_loop_stops_before_it_was_started(place: Place) -> None:
    place.learner().stop()


def test_learning_loop_start_rejects_another_file(place: Place) -> None:
    place.store.close()
    place.corrections.write_text("no database")
    with pytest.raises(StoreError, match="holds no labels"):
        place.learner().start()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            ("reuters46", ["d.csv"], 1),
            "reuters46 is built in and cannot be retrained; serve your own model.",
        ),
        (
            ("m.slug", [], 1),
            "training on corrections requires the original training files; pass them with "
            "`learn_from`.",
        ),
        (
            ("m.slug", ["-"], 1),
            "training on corrections requires the original training files; pass them with "
            "`learn_from`.",
        ),
        (("m.slug", ["d.csv"], 0), "`learn_every` is 0; give a whole number of at least 1."),
    ],
    ids=["shipped", "no data", "standard input", "every"],
)
def test_learning_loop_rejects_data_it_can_not_learn_from(
    given: tuple[str, list[str], int], message: str
) -> None:
    model, data, every = given
    with pytest.raises(OptionError) as caught:
        LearningLoop(model, data, "c.db", every, print)
    assert str(caught.value) == message
