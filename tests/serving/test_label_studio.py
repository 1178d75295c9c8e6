"""The machine-learning backend for Label Studio, asked as Label Studio 1.23 asks."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import slugline
from server import client, make_state
from slugline.corpus.documents import RowText
from slugline.errors import DataError
from slugline.serving.http.label_config import find_question

CONFIG = """
<View>
  <Text name="text" value="$body"/>
  <View style="padding: 20px">
    <Header value="Choose a topic"/>
    <Choices name="topic" toName="text" choice="single" showInLine="true">
      <Choice value="refund"/>
      <Choice value="Parcel"/>
      <Choice value="password" alias="login" hint="Cannot sign in"/>
      <Choice value="other"/>
    </Choices>
  </View>
</View>
"""
TEXTS = ["refund 3 please", "parcel 4 lost"]
TOKEN = "0123456789abcdef"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return models of one topic, of several topics, of two text columns, and of a column."""
    folder = tmp_path_factory.mktemp("models")
    words = ["refund", "parcel", "login"]
    texts = [f"{word} {n} please" for n in range(20) for word in words]
    paths = {name: folder / f"{name}.slug" for name in ("tickets", "tags", "parts", "product")}
    slugline.TopicClassifier().fit(texts, words * 20).save(paths["tickets"])
    sets = [(word,) for word in words] * 20 + [("refund", "parcel")] * 20 + [()] * 20
    more = [f"refund parcel {n} please" for n in range(20)] + [f"please {n}" for n in range(20)]
    slugline.TopicClassifier().fit(texts + more, sets).save(paths["tags"])
    table = folder / "parts.csv"
    rows = [f"{word} {n},please,{word}\n" for n in range(20) for word in words]
    table.write_text("subject,body,topic\n" + "".join(rows), "utf-8")
    slugline.train(table, text=("subject", "body")).save_model(paths["parts"])
    documents = [RowText("please help", {"product": word}) for word in words] * 20
    slugline.TopicClassifier(columns=["product"]).fit(documents, words * 20).save(paths["product"])
    return paths


@pytest.fixture(scope="module")
def api(models: dict[str, Path]) -> Iterator[TestClient]:
    with client(make_state(*models.values())) as found:
        yield found


def make_task(number: int, data: dict[str, Any]) -> dict[str, Any]:
    """Return a task with all fields that Label Studio sends."""
    return {
        "id": number,
        "data": data,
        "meta": {},
        "created_at": "2026-03-09T21:52:49.513742Z",
        "updated_at": "2026-03-09T21:52:49.513760Z",
        "is_labeled": False,
        "overlap": 1,
        "inner_id": number,
        "total_annotations": 0,
        "cancelled_annotations": 0,
        "total_predictions": 0,
        "comment_count": 0,
        "unresolved_comment_count": 0,
        "last_comment_updated_at": None,
        "project": 1,
        "updated_by": None,
        "file_upload": None,
        "comment_authors": [],
        "annotations": [],
        "predictions": [],
    }


def predict(
    api: TestClient, data: list[dict[str, Any]], *, model: str = "tickets", config: str = CONFIG
) -> Any:
    body = {
        "tasks": [make_task(number, each) for number, each in enumerate(data, 1)],
        "project": "1.1773093969",
        "label_config": config,
        "params": {"login": None, "password": None, "context": None},
    }
    return api.post(f"/label-studio/{model}/predict", json=body)


def choices(reply: Any) -> list[list[str]]:
    """Return the chosen topics of each task."""
    assert reply.status_code == 200, reply.text
    return [
        [choice for each in prediction["result"] for choice in each["value"]["choices"]]
        for prediction in reply.json()["results"]
    ]


# Connecting ---------------------------------------------------------------------------------------


def set_up(api: TestClient, model: str = "tickets", config: str = CONFIG) -> Any:
    body = {
        "project": "1.1773093969",
        "schema": config,
        "hostname": "http://localhost:8080",
        "access_token": "d6f8a2622d39e9d89ff0dfef1a80ad877f4ee9e3",
        "extra_params": None,
    }
    return api.post(f"/label-studio/{model}/setup", json=body)


def test_health_and_setup_answer_as_label_studio_expects(api: TestClient) -> None:
    health = api.get("/label-studio/tickets/health")
    assert health.json() == {"status": "UP", "model_class": "tickets"}
    version = api.get("/v1/models/tickets").json()["version"]
    assert set_up(api).json() == {"model_version": f"tickets {version}"}


def test_setup_names_choices_that_are_no_topics(api: TestClient) -> None:
    reply = set_up(
        api,
        config=CONFIG.replace("refund", "a").replace("Parcel", "b").replace('alias="login"', ""),
    )
    assert reply.status_code == 422
    assert reply.json()["detail"] == (
        "none of the choices of 'topic' ('a', 'b', 'password', 'other') is a topic of the model "
        "('login', 'parcel', 'refund'); name the choices in `schema` as the topics are called."
    )


def test_requests_about_an_unknown_model_are_answered_404(api: TestClient) -> None:
    assert set_up(api, "others").status_code == 404
    assert api.get("/label-studio/others/health").status_code == 404
    assert predict(api, [], model="others").status_code == 404


def test_webhook_ignores_annotations_and_refuses_to_train(api: TestClient) -> None:
    project = {"id": 1, "label_config": CONFIG}
    event = {"action": "ANNOTATION_CREATED", "annotation": {}, "task": {}, "project": project}
    reply = api.post("/label-studio/tickets/webhook", json=event)
    assert (reply.status_code, reply.json()) == (200, {"status": "ignored"})
    event = {"action": "START_TRAINING", "project": project}
    reply = api.post("/label-studio/tickets/webhook", json=event)
    assert reply.status_code == 501
    assert "training from Label Studio is not supported" in reply.json()["detail"]


def test_requests_need_a_token_which_may_be_a_password(models: dict[str, Path]) -> None:
    with client(make_state(models["tickets"], tokens=(f"studio {TOKEN}",))) as api:
        assert set_up(api).status_code == 401
        for sent, status in ((TOKEN, 200), ("wrong", 401), ("", 401)):
            basic = base64.b64encode(f"studio:{sent}".encode()).decode()
            headers = {"Authorization": f"Basic {basic}"}
            reply = api.get("/label-studio/tickets/health", headers=headers)
            assert reply.status_code == status
        reply = api.get("/label-studio/tickets/health", headers={"Authorization": "Basic %%%"})
        assert reply.status_code == 401


# Pre-annotations ----------------------------------------------------------------------------------


def test_predict_gives_each_task_its_choice(api: TestClient) -> None:
    reply = predict(api, [{"body": text, "nr": 7} for text in (*TEXTS, "login 5 please")])
    assert choices(reply) == [["refund"], ["Parcel"], ["login"]]
    first = reply.json()["results"][0]
    answer = api.post("/v1/classify", json={"text": TEXTS[0], "model": "tickets"}).json()
    assert first == {
        "result": [
            {
                "from_name": "topic",
                "to_name": "text",
                "type": "choices",
                "value": {"choices": ["refund"]},
            }
        ],
        "score": answer["results"][0]["probability"],
        "model_version": reply.json()["model_version"],
    }


def test_predict_gives_no_choice_for_tasks_without_a_text(api: TestClient) -> None:
    reply = predict(api, [{"body": TEXTS[0]}, {"other": "x"}, {"body": " "}, {"body": 7}])
    assert choices(reply) == [["refund"], [], [], []]
    assert [each["score"] for each in reply.json()["results"][1:]] == [None] * 3
    assert choices(predict(api, [])) == []


def test_predict_gives_no_choice_if_the_model_is_unsure(models: dict[str, Path]) -> None:
    with client(make_state(models["tickets"], min_precision=0.9)) as api:
        [prediction] = predict(api, [{"body": "something else"}]).json()["results"]
    assert prediction["result"] == []
    assert 0 < prediction["score"] < 1


def test_predict_gives_no_choice_that_the_project_lacks(api: TestClient) -> None:
    config = CONFIG.replace('<Choice value="refund"/>', "")
    assert choices(predict(api, [{"body": TEXTS[0]}], config=config)) == [[]]


def test_predict_gives_several_choices_where_the_project_allows_them(api: TestClient) -> None:
    data = [{"body": "refund parcel 3 please"}, {"body": "please 3"}]
    several = CONFIG.replace('choice="single"', 'choice="multiple"')
    first, second = choices(predict(api, data, model="tags", config=several))
    assert {*first} == {"refund", "Parcel"}
    assert second == []
    assert len(choices(predict(api, data, model="tags"))[0]) == 1


def test_predict_reads_the_columns_of_the_model(api: TestClient) -> None:
    data: list[dict[str, Any]] = [
        {"subject": "refund 3", "body": "please"},
        {"body": "parcel", "subject": None},
    ]
    assert choices(predict(api, data, model="parts")) == [["refund"], ["Parcel"]]
    data = [{"body": "please help", "product": word} for word in ("refund", "login")]
    assert choices(predict(api, data, model="product")) == [["refund"], ["login"]]


def test_predict_rejects_more_tasks_than_a_request_may_have(models: dict[str, Path]) -> None:
    with client(make_state(models["tickets"], max_texts=2)) as api:
        reply = predict(api, [{"body": text} for text in TEXTS * 2])
    assert reply.status_code == 422
    assert "there are 4 texts" in reply.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        {"tasks": [], "label_config": None},
        {"tasks": [{"data": "x"}], "label_config": CONFIG},
        {"tasks": [{}], "label_config": CONFIG},
        {"tasks": {}, "label_config": CONFIG},
        {"tasks": [], "label_config": "x" * 1_000_001},
    ],
)
def test_predict_rejects_other_bodies(api: TestClient, body: Any) -> None:
    assert api.post("/label-studio/tickets/predict", json=body).status_code == 422


def test_predict_rejects_deep_nesting(api: TestClient) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    body = f'{{"tasks": [{{"data": {{"x": {deep}}}}}], "label_config": "<View/>"}}'
    headers = {"Content-Type": "application/json"}
    reply = api.post("/label-studio/tickets/predict", content=body, headers=headers)
    assert reply.status_code == 400


# Labelling configurations -------------------------------------------------------------------------

TOPICS = ["refund", "parcel", 7]


def test_find_question_takes_the_choices_with_most_topics() -> None:
    config = """<View>
      <Text name="a" value="$title"/><Text name="b" value="$body"/>
      <Choices name="mood" toName="a"><Choice value="good"/><Choice value="7"/></Choices>
      <Choices name="span" toName="b" perRegion="true">
        <Choice value="refund"/><Choice value="parcel"/></Choices>
      <Choices name="topic" toName="b" choice="multiple">
        <Choice value="REFUND"><Choice value="7"/></Choice><Choice value="x"/></Choices>
    </View>"""
    question = find_question(config, TOPICS, "schema")
    assert question[:3] == ("topic", "b", "body")
    assert question.choices == ("REFUND", "7", "x")
    assert question.is_multiple
    assert [question.find_choice(topic) for topic in TOPICS] == ["REFUND", None, "7"]


def test_find_question_accepts_choices_that_each_task_has() -> None:
    config = '<View><Text name="t" value="$x"/><Choices name="c" toName="t" value="$all"/></View>'
    assert find_question(config, TOPICS, "schema").find_choice("parcel") == "parcel"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("", "is not XML"),
        ("<View>", "is not XML"),
        ("<View/>", "has no <Choices>"),
        (CONFIG.replace("$body", "body"), "has no <Choices>"),
        (CONFIG.replace('value="$body"', 'value="$body" valueType="url"'), "has no <Choices>"),
        (CONFIG.replace('toName="text"', 'toName="image"'), "has no <Choices>"),
        ('<!DOCTYPE v [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><v>&b;</v>', "document type"),
        ('<!DOCTYPE v SYSTEM "file:///etc/passwd"><v/>', "document type"),
        ("<v>" * 300_000, "is not XML"),
        ("<v>\ud800</v>", "has no <Choices>"),
    ],
)
def test_find_question_rejects_other_configurations(config: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        find_question(config, TOPICS, "label_config")
