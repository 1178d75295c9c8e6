"""A server of a model that answers several questions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from server import client, make_state
from slugline.classifier import TopicClassifier, save_questions
from slugline.serving.web.state import WebState

TEXTS = ["wheat terrible", "wheat thanks", "loan terrible", "loan thanks"] * 8


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Save a model of three questions, of which one has several topics."""
    path = tmp_path / "desk.slug"
    first, second = zip(*map(str.split, TEXTS), strict=True)
    questions = {
        "queue": ["grain" if word == "wheat" else "bank" for word in first],
        "mood": ["angry" if word == "terrible" else "calm" for word in second],
        "tags": [[*text.split()] for text in TEXTS],
    }
    fitted = {name: TopicClassifier().fit(TEXTS, topics) for name, topics in questions.items()}
    save_questions(path, fitted)
    return path


@pytest.fixture
def state(desk: Path) -> Iterator[WebState]:
    """Return the state of a server of this file."""
    found = make_state(desk)
    yield found
    found.service.close()


@pytest.fixture
def server(state: WebState) -> TestClient:
    """Return a client of it."""
    return client(state)


def test_each_question_is_a_model(server: TestClient) -> None:
    models = server.get("/v1/models").json()["models"]
    assert [model["name"] for model in models] == ["desk:queue", "desk:mood", "desk:tags"]
    answer = server.post("/v1/classify", json={"text": "wheat terrible", "model": "desk:mood"})
    assert answer.json()["model"] == "desk:mood"
    assert answer.json()["results"][0]["topic"] == "angry"
    unknown = server.post("/v1/classify", json={"text": "wheat", "model": "desk:moods"})
    assert unknown.status_code == 404


def test_page_shows_the_answers_to_all_questions(server: TestClient) -> None:
    page = server.post("/?model=desk%3Amood", data={"text": "wheat terrible"}).text
    assert '<h2 class="eyebrow">mood</h2>' in page
    assert '<p class="topic"><bdi>angry</bdi></p>' in page
    assert "<bdi>queue</bdi></span> <bdi>grain</bdi>" in page
    assert "<bdi>tags</bdi></span> <bdi>" in page


def test_all_questions_are_reloaded(state: WebState, server: TestClient, desk: Path) -> None:
    queue = TopicClassifier().fit(TEXTS, ["north", "north", "south", "south"] * 8)
    save_questions(desk, {"queue": queue, "mood": queue})
    state.service.models.refresh()
    answers = {
        name: server.post("/v1/classify", json={"text": "wheat", "model": f"desk:{name}"}).json()
        for name in ("queue", "mood", "tags")
    }
    assert answers["queue"]["results"][0]["topic"] == "north"
    assert answers["mood"]["results"][0]["topic"] == "north"
    # A question that is gone is still served, as a file that is gone would be.
    assert answers["tags"]["version"] != answers["mood"]["version"]
    assert "doesn't answer the question 'tags'" in state.service.models.problems["desk:tags"]
