"""The label page over HTTP: texts, decisions, undo, topics, coders, and protection."""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from random_selector import RandomSelector
from slugline.corpus.label_database.records import ModelGuess, Selection
from slugline.labels.accuracy import AccuracyEstimate
from slugline.labels.draws import RepeatedDraws, SelectedRow
from slugline.labels.label_report import DoublingForecast, LabelReport
from slugline.labels.store import LabelStore
from slugline.labels.text_table import NearCopies, RowAssignments, TextTable
from slugline.serving.labelling.app import make_label_app
from slugline.serving.labelling.handlers import LabelState
from slugline.serving.labelling.service import LabelService
from slugline.serving.serve_settings import ServeSettings

TEXTS = ["Wheat rose", "Net profit fell", "<b>Maize</b> & cocoa", "ذهب", " ", "Zinc", "x" * 200_000]
HTML = {"Accept": "text/html"}
NAMED = ("Kim 0123456789abcdef", "Lee fedcba9876543210")
_numbers = itertools.count(1)


def name() -> str:
    """Return the name of a new change."""
    return f"request {next(_numbers)}"


@contextlib.contextmanager
def labelling(
    path: Path,
    texts: list[str] = TEXTS,
    *,
    tokens: tuple[str, ...] = (),
    settlers: tuple[str, ...] = (),
    shows_guesses: bool = False,
    selector_class: type[RandomSelector] = RandomSelector,
    repeated_draws: RepeatedDraws | None = None,
    **options: Any,
) -> Iterator[TestClient]:
    """Yield a client of a page on which texts are labelled, in the file at a path."""
    columns = [
        {"text": text, "nr": n, "from": None, "topic": "grain"} for n, text in enumerate(texts)
    ]
    table = TextTable("texts.csv", texts, columns)
    store = LabelStore(path)
    assignments = RowAssignments.from_store(table, store)
    selector = selector_class(assignments, random_state=0, **options)
    near_copies = NearCopies(texts)
    assert near_copies.wait(60)
    service = LabelService(
        store,
        table,
        assignments,
        selector,
        "Kim",
        shows_guesses=shows_guesses,
        settlers=settlers,
        near_copies=near_copies,
        repeated_draws=repeated_draws,
    )
    state = LabelState(ServeSettings(tokens=tokens, max_body=1 << 20), service)
    try:
        yield TestClient(make_label_app(state), base_url="http://localhost")
    finally:
        state.threads.close()
        service.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with LabelStore(tmp_path / "labels.db") as store:
        store.add_coder("Kim")
        for topic in ("grain", "earnings"):
            store.add_topic(topic, "Kim")
        return store.path


@pytest.fixture
def page(path: Path) -> Iterator[TestClient]:
    with labelling(path) as client:
        yield client


def post(page: TestClient, operation: str, token: str = "", **body: Any) -> Any:
    """Return the reply to an operation, which must succeed."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    response = page.post(f"/v1/{operation}", json=body, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()


def next_text(page: TestClient, *held: int, token: str = "") -> Any:
    return post(page, "next", token, held=[*held])["text"]


def decide(page: TestClient, assignment: int, *topics: str, **fields: Any) -> Any:
    fields = {"kind": "label", "request": name(), "topics": [*topics]} | fields
    return post(page, "decide", assignment=assignment, **fields)


def get(page: TestClient, operation: str) -> Any:
    response = page.get(f"/v1/{operation}")
    assert response.status_code == 200, response.text
    return response.json()


def refusal(page: TestClient, operation: str, **body: Any) -> tuple[int, str]:
    response = page.post(f"/v1/{operation}", json=body)
    return response.status_code, response.json()["detail"]


# Texts --------------------------------------------------------------------------------------------


def test_next_gives_each_text_once_as_it_is(page: TestClient) -> None:
    found: list[Any] = []
    while (text := next_text(page, *(each["assignment"] for each in found))) is not None:
        found.append(text)
    assert sorted(each["text"] for each in found) == sorted(TEXTS)
    assert {each["text"]: each["columns"] for each in found}["Zinc"] == [["nr", "5"]]
    assert {(each["guess"], each["decision"]) for each in found} == {(None, None)}


def test_next_repeats_a_text_that_was_not_decided(page: TestClient, path: Path) -> None:
    first = next_text(page)
    assert next_text(page) == first
    page.close()
    with labelling(path, TEXTS[::-1]) as resumed:
        assert next_text(resumed) == first


def test_next_gives_no_text_that_another_process_has_given(path: Path) -> None:
    with labelling(path) as one, labelling(path) as other:
        seen = []
        for page in (one, other) * 3:
            text = next_text(page)
            decide(page, text["assignment"], "grain")
            seen.append(text["text"])
        assert len({*seen}) == 6


class GuessingSelector(RandomSelector):
    """Draws texts at random, with the guess that a model makes about others."""

    def select_next(self, coder: str) -> SelectedRow | None:
        selected = super().select_next(coder)
        assert selected is not None
        guess = ModelGuess(("grain",), 0.75)
        return SelectedRow(selected.row, Selection("suggested", 0.1, 7, guess, is_guess_shown=True))


@pytest.mark.parametrize("shows_guesses", [False, True])
def test_next_shows_a_guess_if_asked_to(path: Path, shows_guesses: bool) -> None:
    with labelling(path, selector_class=GuessingSelector, shows_guesses=shows_guesses) as page:
        text = next_text(page)
        guess = {"topics": ["grain"], "probability": 0.75}
        assert text["guess"] == (guess if shows_guesses else None)
        decide(page, text["assignment"], "earnings")
        with LabelStore(path) as store:
            [decision] = store.decisions()
        assert decision.is_guess_shown is shows_guesses


# Decisions ----------------------------------------------------------------------------------------


def test_decide_stores_topic_note_and_coder(page: TestClient, path: Path) -> None:
    assignment = next_text(page)["assignment"]
    reply = decide(page, assignment, "grain", note="sure")
    assert (reply["topics"], reply["note"], reply["kind"]) == (["grain"], "sure", "label")
    with LabelStore(path) as store:
        [decision] = store.decisions()
    assert (decision.assignment.coder.name, decision.note) == ("Kim", "sure")
    assert not decision.is_guess_shown


def test_decide_stores_a_repeated_request_once(page: TestClient, path: Path) -> None:
    assignment = next_text(page)["assignment"]
    replies = [decide(page, assignment, "grain", request="the one click") for _ in range(3)]
    assert replies[0] == replies[1] == replies[2]
    with LabelStore(path) as store:
        assert len([*store.decisions()]) == 1


def test_decide_rejects_a_decision_made_elsewhere(page: TestClient) -> None:
    assignment = next_text(page)["assignment"]
    first = decide(page, assignment, "grain")
    status, detail = refusal(
        *(page, "decide"), assignment=assignment, kind="skip", reason="unclear", request=name()
    )
    assert (status, detail) == (
        422,
        "somebody has changed this label in the meantime; look at the text again.",
    )
    assert decide(page, assignment, "earnings", supersedes=first["id"])["topics"] == ["earnings"]


@pytest.mark.parametrize("reason", ["unclear", "none of these", "not for me"])
def test_decide_skips_with_a_reason(page: TestClient, reason: str) -> None:
    reply = decide(page, next_text(page)["assignment"], kind="skip", reason=reason)
    assert (reply["kind"], reply["reason"], reply["topics"]) == ("skip", reason, [])
    assert get(page, "progress")["n_skipped"] == 1


def test_decide_takes_several_topics_only_in_a_store_that_is_multilabel(path: Path) -> None:
    with labelling(path) as page:
        assignment = next_text(page)["assignment"]
        body = {"assignment": assignment, "kind": "label", "topics": ["grain", "earnings"]}
        assert refusal(page, "decide", request=name(), **body)[0] == 422
        with LabelStore(path) as store:
            store.set_multilabel(True)
        assert get(page, "state")["is_multilabel"]
        assert post(page, "decide", request=name(), **body)["topics"] == ["grain", "earnings"]
        assert decide(page, next_text(page)["assignment"])["topics"] == []


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"kind": "label"}, "`assignment` is missing"),
        (
            {"assignment": 1, "request": "r" * 9, "kind": "like"},
            "`kind` is 'like'; give 'label' or",
        ),
        ({"assignment": 1, "kind": "label", "request": "a"}, "`request`"),
        ({"assignment": 99, "kind": "label", "request": "r" * 9, "topics": ["grain"]}, "no assign"),
        ({"assignment": 1, "kind": "label", "request": "r" * 9, "topics": ["zinc"]}, "zinc"),
        ({"assignment": 1, "kind": "label", "request": "r" * 9, "sure": 1}, "no field 'sure'"),
    ],
    ids=["missing", "kind", "request", "assignment", "topic", "field"],
)
def test_decide_rejects_an_invalid_request(
    page: TestClient, body: dict[str, Any], detail: str
) -> None:
    next_text(page)
    status, found = refusal(page, "decide", **body)
    assert (status, detail in found) == (422, True), found


def test_undo_gives_the_text_back_to_decide_again(page: TestClient) -> None:
    text = next_text(page)
    decision = decide(page, text["assignment"], "grain")
    undone = [post(page, "undo", decision=decision["id"], request="undo this") for _ in range(2)]
    assert undone == [text, text]
    assert next_text(page) == text
    assert get(page, "progress")["n_labelled"] == 0
    assert decide(page, text["assignment"], "earnings")["topics"] == ["earnings"]


def test_recent_lists_the_latest_decisions_of_each_text(page: TestClient) -> None:
    texts = [next_text(page)]
    first = decide(page, texts[0]["assignment"], "grain")
    texts.append(next_text(page))
    decide(page, texts[1]["assignment"], kind="skip", reason="unclear")
    decide(page, texts[0]["assignment"], "earnings", supersedes=first["id"])
    recent = post(page, "recent")["decisions"]
    assert [each["decision"]["topics"] for each in recent] == [["earnings"], []]
    assert [each["decision"]["assignment"] for each in recent] == [
        each["assignment"] for each in texts
    ]
    assert recent[0]["excerpt"] == " ".join(texts[0]["text"].split())[:120]


def test_next_goes_on_while_another_process_reads_another_file(path: Path) -> None:
    changed = ["Zinc", "Wheat rose by half", *TEXTS[2:4], "New"]
    with labelling(path) as page:
        first = next_text(page)
        decide(page, first["assignment"], "grain")
        with labelling(path, changed) as other:
            seen = {first["text"]}
            for client in (page, other) * 2:
                text = next_text(client)
                decide(client, text["assignment"], "earnings")
                assert text["text"] not in seen
                seen.add(text["text"])
        assert post(page, "text", assignment=first["assignment"])["text"] == first["text"]


def test_next_never_repeats_a_text_that_its_coder_leaves_to_others(path: Path) -> None:
    with labelling(path) as page:
        left = []
        while (text := next_text(page)) is not None:
            left.append(text["text"])
            decide(page, text["assignment"], kind="skip", reason="not for me")
        assert sorted(left) == sorted(TEXTS)
    with labelling(path) as page:
        assert next_text(page) is None


# Near copies --------------------------------------------------------------------------------------

COPIES = [f"Ticket {n}: where is the parcel that you promised me for last Monday" for n in range(6)]


@pytest.fixture
def copies(path: Path) -> Iterator[TestClient]:
    """Yield a page on six near copies and another text."""
    with labelling(path, [*COPIES, "Net profit fell"]) as page:
        yield page


def decide_a_copy(page: TestClient) -> Any:
    """Label the first text that has near copies; return the decision."""
    while True:
        decision = decide(page, next_text(page)["assignment"], "grain")
        if decision["n_copies"]:
            return decision


def test_decide_counts_near_copies_without_a_label(copies: TestClient) -> None:
    found = [decide(copies, next_text(copies)["assignment"], "grain") for _ in range(7)]
    assert sorted(each["n_copies"] for each in found) == [0, 0, 1, 2, 3, 4, 5]


def test_near_copies_are_labelled_together_once(copies: TestClient, path: Path) -> None:
    assignment = decide_a_copy(copies)["assignment"]
    found = post(copies, "copies", assignment=assignment)
    assert (found["topics"], found["n_more"]) == (["grain"], 0)
    assert {each["text"] for each in found["copies"]} == {*COPIES} - {found["text"]}
    keys = [each["key"] for each in found["copies"]][1:]
    for _ in range(2):
        body = {"assignment": assignment, "request": "the one click", "keys": keys}
        assert post(copies, "copies/label", **body) == {"n_copies": 4}
    with LabelStore(path) as store:
        reasons = [each.assignment.selection.reason for each in store.decisions()]
    assert reasons.count("near copy") == 4
    left = []
    while (text := next_text(copies)) is not None:
        left.append(text["text"])
        decide(copies, text["assignment"], "earnings")
    assert {*left} - {"Net profit fell"} == {found["copies"][0]["text"]}


def test_near_copies_are_listed_as_one_and_undone_together(copies: TestClient) -> None:
    decision = decide_a_copy(copies)
    body = {"assignment": decision["assignment"]}
    keys = [each["key"] for each in post(copies, "copies", **body)["copies"]]
    post(copies, "copies/label", **body, request=name(), keys=keys)
    latest, original = post(copies, "recent")["decisions"][:2]
    assert (latest["n_copies"], latest["original"]) == (5, decision["assignment"])
    assert latest["excerpt"] == original["excerpt"]
    assert original["decision"]["id"] == decision["id"]
    assert [each["topics"] for each in post(copies, "copies", **body)["copies"]] == [["grain"]] * 5
    n_labelled = get(copies, "progress")["n_labelled"]
    for _ in range(2):
        assert post(copies, "copies/undo", **body, request="undo them") == {"n_copies": 5}
    assert get(copies, "progress")["n_labelled"] == n_labelled - 5
    assert [each["topics"] for each in post(copies, "copies", **body)["copies"]] == [None] * 5
    assert next_text(copies) is not None


def test_near_copies_of_another_coder_are_refused(path: Path) -> None:
    kim, lee = (line.split()[1] for line in NAMED)
    with labelling(path, COPIES, tokens=NAMED) as page:
        assignment = next_text(page, token=kim)["assignment"]
        body = {"assignment": assignment, "kind": "label", "topics": ["grain"]}
        assert post(page, "decide", kim, request=name(), **body)["n_copies"] == 5
        headers = {"Authorization": f"Bearer {lee}"}
        response = page.post("/v1/copies", json={"assignment": assignment}, headers=headers)
        assert response.status_code == 403


def test_near_copies_that_are_gone_are_refused(copies: TestClient) -> None:
    assignment = decide_a_copy(copies)["assignment"]
    body = {"assignment": assignment, "request": name(), "keys": ["text 1"]}
    assert "are no longer in the file" in refusal(copies, "copies/label", **body)[1]


# Texts that come again ----------------------------------------------------------------------------


def test_next_repeats_a_text_without_a_word(path: Path) -> None:
    with labelling(path, repeated_draws=RepeatedDraws(1.0, 3, random_state=0)) as page:
        first = [next_text(page)]
        decide(page, first[0]["assignment"], "grain", note="why")
        for _ in range(3):
            first.append(next_text(page))
            decide(page, first[-1]["assignment"], "grain")
        again = next_text(page)
        assert again == first[0] | {"assignment": again["assignment"]}
        decide(page, again["assignment"], "earnings")
        assert get(page, "progress")["by_topic"] == {"grain": 4, "earnings": 0}
    with LabelStore(path) as store:
        [*_, decision] = store.decisions()
    assert decision.assignment.selection[:3] == ("repeated", 1.0, 1)


# Topics -------------------------------------------------------------------------------------------


def add(page: TestClient, topic: str, **fields: Any) -> Any:
    return post(page, "topics", name=topic, request=name(), **fields)


def test_add_topic_asks_about_similar_ones(page: TestClient) -> None:
    assert add(page, "  metal   prices ")["topic"]["name"] == "metal prices"
    for typed, similar in (("earning", "earnings"), ("GRAIN", "grain"), ("metalprices",) * 2):
        reply = add(page, typed)
        expected = "metal prices" if similar == "metalprices" else similar
        assert (reply["topic"], reply["similar"]) == (None, expected)
    assert add(page, "earning", is_sure=True)["topic"]["name"] == "earning"
    assert add(page, "grain")["topic"]["name"] == "grain"
    names = [topic["name"] for topic in get(page, "codebook")["topics"]]
    assert names == ["grain", "earnings", "metal prices", "earning"]


@pytest.mark.parametrize(
    ("topic", "typed"),
    [
        ("Rückgabe", "Rueckgabe"),
        ("Rückgabe", "rückgabe"),
        ("Rückgabe", "Ruckgabe"),
        ("Straße", "Strasse"),
        ("Lieferung", "Lieferungen"),
        ("Konto", "Konten"),
        ("café", "cafe"),
    ],
)
def test_add_topic_asks_about_other_spellings_and_endings(
    page: TestClient, topic: str, typed: str
) -> None:
    add(page, topic)
    assert add(page, typed)["similar"] == topic


def test_describe_topic_stores_description_and_examples(page: TestClient) -> None:
    codebook = post(
        *(page, "topics/describe"),
        name="grain",
        description=" Cereals ",
        examples=["Wheat rose", " "],
        request=name(),
    )
    [grain, _] = codebook["topics"]
    assert (grain["description"], grain["examples"]) == ("Cereals", ["Wheat rose"])
    assert codebook == get(page, "codebook")


def test_rename_topic_renames_earlier_labels(page: TestClient) -> None:
    decide(page, next_text(page)["assignment"], "grain")
    post(page, "topics/rename", name="grain", new_name="cereals", request=name())
    assert post(page, "recent")["decisions"][0]["decision"]["topics"] == ["cereals"]
    assert get(page, "progress")["by_topic"] == {"cereals": 1, "earnings": 0}
    # A page that doesn't know the new name yet.
    assert decide(page, next_text(page)["assignment"], "grain")["topics"] == ["cereals"]
    assert add(page, "grain")["similar"] == "cereals"


def test_merge_topic_can_be_undone(page: TestClient) -> None:
    decide(page, next_text(page)["assignment"], "grain")
    merged = post(page, "topics/merge", name="grain", into="earnings", request=name())
    assert [topic["name"] for topic in merged["topics"]] == ["earnings"]
    [topic] = merged["merged"]
    assert (topic["name"], topic["into"]) == ("grain", "earnings")
    assert get(page, "progress")["by_topic"] == {"earnings": 1}
    separate = post(page, "topics/separate", topic=topic["id"], request=name())
    assert (len(separate["topics"]), separate["merged"]) == (2, [])


# Progress -----------------------------------------------------------------------------------------


def test_next_text_is_given_to_a_coder_who_never_opened_the_page(path: Path) -> None:
    with labelling(path, tokens=NAMED) as page:
        token = {"Authorization": "Bearer fedcba9876543210"}
        reply = page.post("/v1/next", json={"held": []}, headers=token)
        assert reply.json()["text"]["assignment"] == 1
    with LabelStore(path) as store:
        assert [coder.name for coder in store.coders()] == ["Kim", "Lee"]


def test_progress_counts_labels_of_everybody(page: TestClient) -> None:
    for topic in ("grain", "grain", "earnings"):
        decide(page, next_text(page)["assignment"], topic)
    assert get(page, "progress") == {
        "n_texts": 7,
        "n_labelled": 3,
        "n_skipped": 0,
        "has_other_coders": False,
        "n_mine": 3,
        "by_topic": {"grain": 2, "earnings": 1},
        "codebook_version": 2,
        "n_random": 3,
        "n_near_copies": 0,
        "accuracy": None,
        "n_needed": 17,
        "topics": [],
        "forecast": None,
        "advice": "",
        "problem": None,
    }


class ForecastingSelector(RandomSelector):
    """Has a forecast of 100 labels, and the accuracy of a model of `n_labels`."""

    n_labels = 100

    @property
    def estimate(self) -> AccuracyEstimate:
        return AccuracyEstimate(0.8, 0.7, 0.9, self.n_labels + 6, 100.0, n_skipped=6)

    @property
    def report(self) -> LabelReport:
        estimate = AccuracyEstimate(0.8, 0.7, 0.9, 106, 100.0, n_skipped=6)
        doubling = DoublingForecast(200, 0.05, 0.0, 0.1)
        return LabelReport(n_labels=100, estimate=estimate, doubling=doubling)


@pytest.mark.parametrize(("n_labels", "is_shown"), [(100, True), (115, True), (130, False)])
def test_progress_has_no_forecast_or_advice_of_far_fewer_labels(
    path: Path, n_labels: int, *, is_shown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ForecastingSelector, "n_labels", n_labels)
    with labelling(path, selector_class=ForecastingSelector) as page:
        progress = get(page, "progress")
        assert (progress["forecast"] is not None) == is_shown
        assert bool(progress["advice"]) == is_shown


# Coders -------------------------------------------------------------------------------------------


def test_coders_have_their_own_texts(path: Path) -> None:
    kim, lee = (line.split()[1] for line in NAMED)
    with labelling(path, tokens=NAMED) as page:
        for token in (kim, lee):
            headers = {"Authorization": f"Bearer {token}"}
            assert page.get("/v1/state", headers=headers).status_code == 200
        text, other = next_text(page, token=kim), next_text(page, token=lee)
        assert text["assignment"] != other["assignment"]
        body = {"assignment": text["assignment"], "kind": "label", "topics": ["grain"]}
        response = page.post(
            "/v1/decide",
            json=body | {"request": name()},
            headers={"Authorization": f"Bearer {lee}"},
        )
        assert response.status_code == 403
        assert (
            response.json()["detail"]
            == "this text is assigned to Kim, not to Lee; reload the page."
        )


def test_coders_disagree_on_texts_that_two_get(path: Path) -> None:
    kim, lee = (line.split()[1] for line in NAMED)
    with labelling(path, ["one"], tokens=NAMED, double_fraction=0.5, settlers=("Lee",)) as page:
        for token, topic in ((kim, "grain"), (lee, "earnings")):
            page.get("/v1/state", headers={"Authorization": f"Bearer {token}"})
            assignment = next_text(page, token=token)["assignment"]
            body = {"assignment": assignment, "kind": "label", "topics": [topic]}
            post(page, "decide", token, request=name(), **body)
        headers = {"Authorization": f"Bearer {lee}"}
        progress = page.get("/v1/progress", headers=headers).json()
        assert (progress["has_other_coders"], progress["n_mine"]) == (True, 1)
        assert next_text(page, token=kim) is None

        hidden = page.post("/v1/disagreement", json={}, headers={"Authorization": f"Bearer {kim}"})
        assert hidden.status_code == 403
        found = post(page, "disagreement", lee)["disagreement"]
        assert [(each["coder"], each["decision"]["topics"]) for each in found["labels"]] == [
            ("Kim", ["grain"]),
            ("Lee", ["earnings"]),
        ]
        body = {"document": found["document"], "kind": "label", "topics": ["grain"]}
        refused = page.post(
            "/v1/settle",
            json=body | {"request": name()},
            headers={"Authorization": f"Bearer {kim}"},
        )
        assert refused.status_code == 403
        assert refused.json()["detail"] == (
            "only Lee can settle disagreements and withdraw labels; ask them."
        )
        post(page, "settle", lee, request=name(), **body)
        assert post(page, "disagreement", lee)["disagreement"] is None


@pytest.mark.parametrize("operation", ["undo", "decide"])
def test_next_gives_nobody_a_text_that_its_coder_takes_back(path: Path, operation: str) -> None:
    kim, lee = (line.split()[1] for line in NAMED)
    with labelling(path, ["one"], tokens=NAMED) as page:
        for token in (kim, lee):
            page.get("/v1/state", headers={"Authorization": f"Bearer {token}"})
        number = next_text(page, token=kim)["assignment"]
        body = {"assignment": number, "kind": "skip", "reason": "not for me"}
        skip = post(page, "decide", kim, request=name(), **body)
        if operation == "undo":
            post(page, "undo", kim, decision=skip["id"], request=name())
        else:
            body = {"assignment": number, "kind": "label", "topics": ["grain"]}
            post(page, "decide", kim, request=name(), supersedes=skip["id"], **body)
        assert next_text(page, token=lee) is None


def test_settlements_are_listed_changed_and_taken_back(path: Path) -> None:
    with labelling(path, ["one"], double_fraction=0.5) as page:
        decide(page, next_text(page)["assignment"], "grain")
        with LabelStore(path) as store:
            store.add_coder("Lee")
            assignment = store.assign("Lee", 1, Selection("random", 0.5))
            assert assignment is not None
            store.label(assignment.id, ["earnings"])
        settled = {"document": 1, "kind": "label", "topics": ["grain"], "request": name()}
        assert page.post("/v1/settle", json=settled).status_code == 200
        [settlement] = get(page, "agreement")["settlements"]
        assert (settlement["person"], settlement["topics"], settlement["excerpt"]) == (
            ("Kim", ["grain"], "one")
        )
        changed = {**settled, "topics": ["earnings"], "request": name()}
        assert page.post("/v1/settle", json=changed).status_code == 422
        changed["supersedes"] = settlement["id"]
        assert page.post("/v1/settle", json=changed).status_code == 200
        [settlement] = get(page, "agreement")["settlements"]
        assert settlement["topics"] == ["earnings"]
        body = {"settlement": settlement["id"], "request": "take it back"}
        for _ in range(2):
            assert page.post("/v1/settle/undo", json=body).json()["settlements"] == []
        assert post(page, "disagreement")["disagreement"]["document"] == 1


def test_labels_of_a_coder_are_withdrawn_and_given_back(path: Path) -> None:
    with labelling(path) as page:
        text = next_text(page)
        decide(page, text["assignment"], "grain")
        [withdrawal] = post(page, "withdraw", coder="Kim", request=name())["withdrawals"]
        assert (withdrawal["coder"], withdrawal["person"]) == ("Kim", "Kim")
        assert get(page, "progress")["n_labelled"] == 0
        assert post(page, "recent")["decisions"] == []
        seen: list[Any] = []
        while (other := next_text(page, *(each["assignment"] for each in seen))) is not None:
            seen.append(other)
        assert text["text"] in {each["text"] for each in seen}, "it is to be labelled again"
        assert post(page, "restore", withdrawal=withdrawal["id"])["withdrawals"] == []
        assert get(page, "progress")["n_labelled"] == 1


def test_labels_are_withdrawn_by_those_who_settle(path: Path) -> None:
    with labelling(path, settlers=("Lee",)) as page:
        decide(page, next_text(page)["assignment"], "grain")
        for operation, body in (
            ("withdraw", {"coder": "Kim", "request": name()}),
            ("restore", {"withdrawal": 1}),
            ("settle/undo", {"settlement": 1, "request": name()}),
        ):
            assert page.post(f"/v1/{operation}", json=body).status_code == 403


def test_next_gives_a_text_that_is_not_for_one_coder_to_another(path: Path) -> None:
    kim, lee = (line.split()[1] for line in NAMED)
    with labelling(path, ["one"], tokens=NAMED) as page:
        for token in (kim, lee):
            page.get("/v1/state", headers={"Authorization": f"Bearer {token}"})
        assignment = next_text(page, token=kim)["assignment"]
        assert next_text(page, token=lee) is None
        body = {"assignment": assignment, "kind": "skip", "reason": "not for me"}
        post(page, "decide", kim, request=name(), **body)
        assert next_text(page, token=kim) is None
        assert next_text(page, token=lee)["text"] == "one"


# Protection ---------------------------------------------------------------------------------------


def test_page_is_html_that_loads_only_its_own_files(page: TestClient) -> None:
    response = page.get("/", headers=HTML)
    assert (response.status_code, "<bdi>Kim</bdi>" in response.text) == (200, True)
    assert "default-src 'none'; script-src 'self'" in response.headers["content-security-policy"]
    assert response.headers["cache-control"] == "no-store"
    assert "x-model" not in response.headers
    addresses = [part.partition('"')[0] for part in response.text.split('"/static/')[1:]]
    assert len(addresses) == 2
    for address in addresses:
        static = page.get(f"/static/{address}")
        assert (static.status_code, "immutable" in static.headers["cache-control"]) == (200, True)


def test_page_asks_for_a_token(path: Path) -> None:
    with labelling(path, tokens=NAMED) as page:
        response = page.get("/", headers=HTML, follow_redirects=False)
        assert (response.status_code, response.headers["location"]) == (303, "/login")
        assert page.get("/v1/state").status_code == 401
        wrong = page.post("/login", data={"token": "wrong"})
        assert (wrong.status_code, "This token is not valid here." in wrong.text) == (403, True)
        page.post("/login", data={"token": NAMED[1].split()[1]})
        assert page.get("/v1/state").json()["coder"] == "Lee"
        page.post("/logout")
        assert page.get("/v1/state").status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Host": "evil.example"}, 421),
        ({"Content-Type": "text/plain"}, 415),
    ],
    ids=["origin", "cross-site", "host", "type"],
)
def test_changes_from_other_sites_are_refused(
    page: TestClient, headers: dict[str, str], status: int
) -> None:
    headers = {"Content-Type": "application/json"} | headers
    response = page.post("/v1/next", content=b"{}", headers=headers)
    assert response.status_code == status


def test_body_over_the_limit_is_refused(page: TestClient) -> None:
    assert refusal(page, "topics", name="x" * (2 << 20), request=name())[0] == 413


def test_a_file_that_can_not_be_written_is_reported(page: TestClient, path: Path) -> None:
    assignment = next_text(page)["assignment"]
    path.rename(path.with_suffix(".moved"))
    body = {"assignment": assignment, "kind": "label", "topics": ["grain"], "request": name()}
    status, detail = refusal(page, "decide", **body)
    assert (status, str(path) in detail) == (503, True)
    path.with_suffix(".moved").rename(path)
    assert post(page, "decide", **body)["topics"] == ["grain"]


# The command --------------------------------------------------------------------------------------


RunLabel = Callable[..., tuple[int, str]]


@pytest.fixture
def run_label(run: Callable[..., Any]) -> RunLabel:
    """Return a function that runs `slugline label`, which must end by itself."""

    def run_label(*words: object) -> tuple[int, str]:
        """Return its status and what it says."""
        result = run("label", "--port", "0", *words)
        return result.code, result.err

    return run_label


@pytest.mark.slow
def test_label_command_reports_what_it_can_not_use(run_label: RunLabel, tmp_path: Path) -> None:
    texts, labels = tmp_path / "texts.csv", tmp_path / "labels.db"
    texts.write_text("text\nWheat rose\nZinc\n")
    for words, status, message in (
        ((texts,), 2, "--output is missing: name a file for the labels"),
        ((texts, "-o", texts), 2, "--output"),
        ((tmp_path / "none.csv", "-o", labels), 1, "none.csv"),
        ((texts, "-o", labels, "--text", "body"), 2, "body"),
        ((texts, "-o", labels, "--topic", "text"), 2, "--topic is 'text', but "),
        (
            (texts, "-o", labels, "--host", "0.0.0.0"),
            2,
            "where anybody could read and label the texts; add --token-file",
        ),
        ((texts, "-o", labels, "--coder", " "), 1, "blank"),
        ((texts, "-o", tmp_path / "no" / "labels.db"), 2, "can't write a file there"),
    ):
        code, said = run_label(*words)
        assert (code, message in said, "Traceback" in said) == (status, True, False), said
    tokens = tmp_path / "tokens"
    tokens.write_text("0123456789abcdef\n")
    code, said = run_label(texts, "-o", labels, "--token-file", tokens)
    assert (code, "token 1 has no name" in said) == (2, True)
    labels.write_text("no database at all\n" * 100)
    code, said = run_label(texts, "-o", labels)
    assert (code, "not an SQLite file" in said) == (1, True), said


@pytest.mark.slow
def test_label_command_leaves_no_file_behind_where_a_port_is_in_use(
    run_label: RunLabel, tmp_path: Path
) -> None:
    texts, labels = tmp_path / "texts.csv", tmp_path / "labels.db"
    texts.write_text("text\nWheat rose\nZinc\n")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        code, said = run_label(texts, "-o", labels, "--port", other.getsockname()[1])
    assert (code, "is in use" in said, labels.exists()) == (1, True, False), said


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Return a file of labels of two of four texts in texts.csv."""
    texts, labels = tmp_path / "texts.csv", tmp_path / "labels.db"
    texts.write_text("text\nWheat rose\nZinc\nGold\nNet profit fell\n")
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("text,topic\nWheat rose,grain\nZinc,metal\n")
    command = ["labels", "import", labels, labelled, "--texts", texts, "--coder", "Kim"]
    subprocess.run([sys.executable, "-m", "slugline", *map(str, command)], check=True)
    return labels


@pytest.mark.slow
def test_label_command_says_how_many_texts_are_left(labelled: Path) -> None:
    texts = labelled.with_name("texts.csv")
    with texts.open("a") as file:
        file.write("A text that came later\n")
    command = [sys.executable, "-m", "slugline", "label", "--port", "0", str(labelled)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = [process.stderr.readline() for _ in range(2)]
        process.terminate()
    assert said[1] == "3 of 5 texts left to label; Ctrl-C ends\n", said


@pytest.mark.slow
def test_label_command_says_which_texts_are_gone(run_label: RunLabel, labelled: Path) -> None:
    texts = labelled.with_name("texts.csv")
    texts.unlink()
    code, said = run_label(labelled)
    message = f"{labelled} has labels of texts in {texts}, which is missing; pass that file, and"
    assert (code, message in said) == (2, True), said
    with LabelStore(labelled.with_name("other.db")) as store:
        other = store.path
    code, said = run_label(other)
    assert (code, f"{other} does not record its text file" in said) == (2, True), said
