"""Models that give several topics to a text: the API, corrections, the page and the MCP tools."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import slugline
from server import call_tool, client, make_state
from slugline.corpus.layout import Layout, TopicForm

WORDS = {
    "billing": "invoice charged twice money refund",
    "shipping": "parcel late delivery damaged box",
    "account": "login password profile forgot locked",
}
SETS = [("billing",), ("shipping",), ("account",), ("billing", "shipping"), ("account", "billing")]
BOTH = "invoice charged twice, parcel late delivery"


def text_of(topics: tuple[str, ...], n: int = 0) -> str:
    return " ".join(f"{WORDS[topic]} {WORDS[topic].split()[n % 5]}" for topic in topics)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of tickets, some of which have two topics, and some none."""
    path = tmp_path_factory.mktemp("sets") / "tickets.slug"
    sets = [SETS[n % 5] for n in range(100)] + [()] * 20
    texts = [f"{text_of(topics, n)} case {n}" for n, topics in enumerate(sets)]
    classifier = slugline.TopicClassifier(encoder=None, random_state=1).fit(texts, sets)
    fitted = classifier.fitted_
    assert fitted.multilabel_rule is not None
    # So that three topics are too many.
    classifier.fitted_ = replace(
        fitted, multilabel_rule=replace(fitted.multilabel_rule, max_topics=1)
    )
    classifier.save(path)
    return path


@pytest.fixture
def api(path: Path, tmp_path: Path) -> Iterator[TestClient]:
    state = make_state(path, "reuters46", corrections=tmp_path / "c.db")
    with client(state) as found:
        yield found
    state.service.close()


def results_of(api: TestClient, *texts: str, **options: Any) -> Any:
    reply = api.post("/v1/classify", json={"texts": texts, **options})
    assert reply.status_code == 200, reply.text
    return reply.json()["results"]


# Answers ------------------------------------------------------------------------------------------


def test_multilabel_classify_gives_topics_and_suggestions(api: TestClient, path: Path) -> None:
    two, one, none = results_of(api, BOTH, text_of(("account",)), "nothing to see")
    assert [guess["topic"] for guess in two["topics"]] == [two["topic"], two["top"][1]["topic"]]
    assert {guess["topic"] for guess in two["topics"]} == {"billing", "shipping"}
    assert two["topics"] == two["top"][:2]
    assert len(two["top"]) == 3
    assert [guess["topic"] for guess in one["topics"]] == ["account"]
    assert (none["topic"], none["topics"], "reason" in none) == (None, [], False)
    fitted = slugline.load(path)
    assert [guess["probability"] for guess in two["topics"]] == pytest.approx(
        sorted(fitted.predict_proba([BOTH])[0].tolist(), reverse=True)[:2], abs=1e-6
    )


def test_multilabel_classify_explains_each_topic(api: TestClient) -> None:
    [answer] = results_of(api, BOTH, explain=True)
    words = {guess["topic"]: guess["reasons"][0]["word"] for guess in answer["topics"]}
    assert words["billing"] in WORDS["billing"]
    assert words["shipping"] in WORDS["shipping"]
    assert answer["reasons"] == answer["topics"][0]["reasons"]
    assert [[*guess] for guess in answer["top"]] == [["topic", "probability"]] * 3


def test_multilabel_classify_gives_topics_beyond_top(api: TestClient) -> None:
    [one] = results_of(api, BOTH, top=1)
    assert len(one["top"]) == 1
    assert len(one["topics"]) == 2
    assert results_of(api, BOTH, "nothing", top=1)[0] == one


def test_multilabel_classify_is_unsure_of_too_many_topics(api: TestClient) -> None:
    [answer] = results_of(api, text_of(("billing", "shipping", "account")))
    assert (answer["topic"], answer["topics"]) == (None, [])
    assert (answer["reason"], answer["reason_kind"]) == (
        "too many topics are likely",
        "many_topics",
    )
    assert len(answer["top"]) == 3


def test_classify_with_one_topic_has_no_topics_field(api: TestClient) -> None:
    [answer] = results_of(api, "wheat and corn harvest", model="reuters46", top=1)
    assert [*answer] == ["topic", "probability", "top"]
    assert api.get("/v1/models/tickets").json()["multilabel"] is True
    assert "multilabel" not in api.get("/v1/models/reuters46").json()


def test_mcp_classify_gives_topics_and_suggestions(path: Path) -> None:
    service = make_state(path, "reuters46").service
    reply = call_tool(service, "classify", texts=[BOTH], top=3)
    assert {guess.topic for guess in reply.results[0].topics} == {"billing", "shipping"}
    assert len(reply.results[0].top) == 3
    more = call_tool(service, "classify", texts=["wheat"], top=5, model="reuters46")
    assert len(more.results[0].top) == 5
    assert call_tool(service, "list_topics").multilabel


def test_mcp_add_correction_takes_all_topics(path: Path, tmp_path: Path) -> None:
    service = make_state(path, corrections=tmp_path / "c.db").service
    reply = call_tool(service, "add_correction", text=BOTH, topics=["account"])
    assert (reply.topics, sorted(reply.answer)) == (["account"], ["billing", "shipping"])
    assert [row.topic for row in service.corrections.store.corrections()] == [("account",)]
    service.close()


# Corrections --------------------------------------------------------------------------------------


def test_multilabel_correction_takes_all_right_topics(api: TestClient) -> None:
    body = {"text": BOTH, "topics": ["billing", "legal ", "billing"], "is_new": True}
    reply = api.post("/v1/corrections", json=body)
    assert reply.status_code == 201, reply.text
    correction = reply.json()
    assert correction["topics"] == ["billing", "legal"]
    assert sorted(correction["answer"]) == ["billing", "shipping"]
    assert ("topic" in correction, correction["is_new"]) == (False, True)
    none = api.post("/v1/corrections", json={"text": "so what", "topics": []}).json()
    assert (none["topics"], none["answer"], none["is_new"]) == ([], [], False)
    lines = [json.loads(line) for line in api.get("/v1/corrections").text.splitlines()]
    assert [line["topics"] for line in lines] == [["billing", "legal"], []]
    assert [sorted(line["answer"]) for line in lines] == [["billing", "shipping"], []]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"topic": "billing"},
            "tickets is a multi-label model; send all correct topics as `topics`, a list that "
            "may be empty.",
        ),
        (
            {"topics": ["grain"], "model": "reuters46"},
            "reuters46 assigns one topic per text; send it as `topic`.",
        ),
        ({"model": "reuters46"}, "reuters46 assigns one topic per text; send it as `topic`."),
        (
            {"topics": ["billing", "shiping"]},
            "there is no topic 'shiping' in tickets; did you mean 'shipping'? If it is new, set "
            "`is_new`.",
        ),
        ({"topics": ["billing", " "]}, None),
        ({"topics": ["billing", ["shipping"]]}, None),
    ],
)
def test_multilabel_correction_rejects_invalid_topics(
    api: TestClient, fields: dict[str, Any], message: str | None
) -> None:
    reply = api.post("/v1/corrections", json={"text": BOTH, **fields})
    assert reply.status_code == 422
    assert message is None or reply.json()["detail"] == message
    assert api.get("/v1/corrections").text == ""


@pytest.mark.parametrize(
    ("form", "topic", "separator"),
    [
        (TopicForm("separator", ";"), "legal;tax", ";"),
        (TopicForm("separator", " "), "legal tax", " "),
        (TopicForm("label"), "legal tax", " "),
        (TopicForm("uris"), "legal tax", " "),
    ],
)
def test_multilabel_correction_rejects_the_separator_of_the_data(
    path: Path, tmp_path: Path, form: TopicForm, topic: str, separator: str
) -> None:
    classifier = slugline.load(path)
    layout = Layout(("text",), "topics", topic_form=form)
    classifier.fitted_ = replace(classifier.fitted_, layout=layout)
    classifier.save(tmp_path / "tickets.slug")
    message = (
        f"topic {topic!r} contains {separator!r}, which separates topics in the data of tickets; "
        "use another name."
    )
    wrong: dict[str, Any] = {"text": BOTH, "topics": ["billing", topic]}
    state = make_state(tmp_path / "tickets.slug", corrections=tmp_path / "c.db")
    api = client(state)

    reply = api.post("/v1/corrections", json=wrong | {"is_new": True})
    assert (reply.status_code, reply.json()["detail"]) == (422, message)
    page = api.post("/wrong", data=wrong | {"is_new": "1"})
    assert page.status_code == 422
    assert "separates topics in the data of tickets" in page.text
    assert api.get("/v1/corrections").text == ""
    right = {"text": BOTH, "topics": ["billing", "tax"], "is_new": True}
    assert api.post("/v1/corrections", json=right).status_code == 201
    state.service.close()


# The page -----------------------------------------------------------------------------------------


def ticked(page: str) -> list[str]:
    return re.findall(r'name="topics" value="([^"]*)" checked', page)


def unticked(page: str) -> list[str]:
    return re.findall(r'type="checkbox" name="topics" value="([^"]*)">', page)


def test_multilabel_page_shows_topics_and_suggestions(api: TestClient) -> None:
    page = api.post("/", data={"text": BOTH}).text
    assert sorted(ticked(page)) == ["billing", "shipping"]
    part = api.post("/", data={"text": BOTH}, headers={"X-Part": "1"}).text
    said = re.search(r'data-said="(.*)"', part)
    assert said is not None
    assert re.fullmatch(r"\w+, .*\d\xa0%; \w+, .*\d\xa0%", said[1])
    many = api.post("/", data={"text": text_of(("billing", "shipping", "account"))}).text
    assert "Far more topics are likely than any training text had" in many
    assert (ticked(many), sorted(unticked(many))) == ([], ["account", "billing", "shipping"])
    assert "No topic is probable enough." in api.post("/", data={"text": "nothing to see"}).text
    one = api.post("/?model=reuters46", data={"text": "wheat and corn harvest"}).text
    assert 'name="topics"' not in one
    assert "That’s wrong" in one


def test_multilabel_page_without_corrections_shows_topics_only(path: Path) -> None:
    page = client(make_state(path)).post("/", data={"text": BOTH}).text
    assert page.count('<li class="chip">') == 2
    assert 'name="topics"' not in page


def test_multilabel_form_corrects_all_topics_without_a_script(api: TestClient) -> None:
    data: dict[str, Any] = {"text": BOTH, "topics": ["billing", "acount"], "who": "Ada"}
    wrong = api.post("/wrong", data=data)
    assert wrong.status_code == 422
    assert "did you mean &#39;account&#39;? If it is new, tick the box below." in wrong.text
    assert ticked(wrong.text) == ["billing", "acount"]
    saved = api.post("/wrong", data=data | {"topics": ["billing", "account", " "]}).text
    assert "the correct topics are <b><bdi>billing</bdi></b>, <b><bdi>account</bdi></b>." in saved
    assert "the correct topics are none." in api.post("/wrong", data={"text": BOTH}).text
    [first, second] = [json.loads(line) for line in api.get("/v1/corrections").text.splitlines()]
    assert (first["topics"], first["who"], second["topics"]) == (["billing", "account"], "Ada", [])
    listed = api.get("/corrections").text
    assert "<b><bdi>billing, account</bdi></b>" in listed
    assert "<b><bdi>no topic</bdi></b>" in listed
    assert "<td><bdi>shipping</bdi></td><td><bdi>account</bdi></td><td>1</td>" in listed
    assert "<td><bdi>shipping</bdi></td><td><bdi>–</bdi></td><td>1</td>" in listed
    assert "still gets <b>2</b> wrong" in listed


def test_multilabel_table_has_several_topics(api: TestClient) -> None:
    three = text_of(("billing", "shipping", "account"))
    body = f'text\n"{BOTH}"\nnothing to see\n{three}\n'
    reply = api.post("/table/answers?name=t.csv", content=body.encode())
    _, rows, _ = [json.loads(line) for line in reply.text.splitlines()]
    assert [sorted(row[1]) for row in rows["rows"][:2]] == [["billing", "shipping"], []]
    assert isinstance(rows["rows"][2][1], str)
    assert rows["rows"][2][3] == "too many topics are likely"
    table = api.post("/table/file?name=t.csv", content=body.encode()).text.splitlines()
    assert table[0] == "text,topics,probabilities,reason,guess,guess_probability,error"
    assert re.search(r",(billing;shipping|shipping;billing),0\.\d+;0\.\d+,", table[1])


# Reasons ------------------------------------------------------------------------------------------


def test_multilabel_explain_says_whether_the_topic_is_assigned(api: TestClient, path: Path) -> None:
    thresholds = slugline.load(path).fitted_.multilabel_rule.thresholds  # type: ignore[union-attr]
    for number, (topic, given) in enumerate(
        [("account", False), ("billing", True), ("shipping", True)]
    ):
        found = api.post("/v1/explain", json={"text": BOTH, "topic": topic}).json()
        threshold = pytest.approx(thresholds[number], abs=1e-6)  # it is rounded
        assert (found["given"], found["threshold"]) == (given, threshold)
        assert (found["probability"] >= found["threshold"]) == given
    reply = api.post("/v1/explain", json={"text": BOTH, "topic": "billing", "against": "account"})
    assert reply.status_code == 422
    assert "requires a single-label model" in reply.text
    plain = api.post("/v1/explain", json={"text": "wheat", "model": "reuters46"}).json()
    assert not {"given", "threshold"} & {*plain}
