"""Columns beside the text, taken by the API, the page, the MCP tools and the command line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

import slugline
from server import call_tool, client, make_state
from slugline.corpus.documents import RowText

TOPICS = ["card", "loan", "app"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model of topics that a product decides."""
    texts = [
        RowText("it is broken", {"product": TOPICS[n % 3].title(), "amount": n % 3 * 50 + n / 9})
        for n in range(150)
    ]
    path = tmp_path_factory.mktemp("columns") / "tickets.slug"
    topics = [TOPICS[n % 3] for n in range(150)]
    slugline.TopicClassifier(columns=["product", "amount"]).fit(texts, topics).save(path)
    return path


@pytest.fixture(scope="module")
def api(model: Path) -> Iterator[TestClient]:
    with client(make_state(model, "reuters46")) as found:
        yield found


def classify(api: TestClient, **body: Any) -> Any:
    return api.post("/v1/classify", json=body)


def test_api_classify_uses_columns(api: TestClient) -> None:
    rows = [{"product": topic.title(), "amount": 50 * n} for n, topic in enumerate(TOPICS)]
    reply = classify(api, texts=["it is broken"] * 3, columns=rows, explain=True).json()
    assert [result["topic"] for result in reply["results"]] == TOPICS
    assert "note" not in reply
    for result, row in zip(reply["results"], rows, strict=True):
        assert f"product={row['product']}" in [word["word"] for word in result["reasons"]]
        one = classify(api, text="it is broken", columns=row).json()
        assert one["results"][0]["probability"] == result["probability"]
    assert api.get("/v1/models/tickets").json()["columns"] == ["product", "amount"]
    assert "columns" not in api.get("/v1/models/reuters46").json()


def test_api_explain_uses_columns(api: TestClient) -> None:
    body = {"text": "it is broken", "columns": {"product": "Loan", "amount": "60"}}
    reply = api.post("/v1/explain", json=body).json()
    assert reply["topic"] == "loan"
    assert {"product=Loan"} <= {word["word"] for word in reply["reasons"]}


def test_api_classify_notes_missing_and_odd_columns(api: TestClient) -> None:
    reply = classify(api, text="it is broken", columns={"amount": "lots"}).json()
    assert reply["note"] == (
        "there is no column 'product'; 'lots' in column 'amount' is not a number: counted as "
        "missing"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"columns": {"prodct": "Card"}},
            "tickets has no column 'prodct'; did you mean 'product'?",
        ),
        ({"columns": [{}, {}]}, "`columns` has 2 objects for 1 text; give one for each."),
        ({"columns": {"product": {"a": 1}}}, "`columns['product']` is an object; give a string,"),
        (
            {"columns": {"product": "Card"}, "model": "reuters46"},
            "reuters46 has no column 'product'; it uses only the text.",
        ),
    ],
)
def test_api_classify_rejects_unknown_columns(api: TestClient, body: Any, message: str) -> None:
    reply = classify(api, text="it is broken", **body)
    assert reply.status_code == 422
    assert reply.json()["detail"].startswith(message)


def test_page_has_a_field_for_each_column(api: TestClient) -> None:
    empty = api.get("/").text
    assert '<option value="Loan">' in empty
    assert 'name="column.1"' in empty
    assert "column.0" not in api.get("/", params={"model": "reuters46"}).text
    for topic in TOPICS:
        form = {"text": "it is broken", "column.0": topic.title()}
        answered = api.post("/", data=form).text
        assert f'<p class="topic"><bdi>{topic}</bdi></p>' in answered
        assert f'name="column.0" value="{topic.title()}"' in answered
        assert f"<bdi>product={topic.title()}</bdi>" in answered


def test_correction_for_a_model_with_columns_is_rejected(model: Path, tmp_path: Path) -> None:
    state = make_state(model, corrections=str(tmp_path / "corrections.db"))
    with client(state) as api:
        reply = api.post("/v1/corrections", json={"text": "it is broken", "topic": "loan"})
        assert reply.status_code == 422
        assert "which a correction doesn't store" in reply.json()["detail"]
        assert 'id="wrong"' not in api.post("/", data={"text": "it is broken"}).text
    state.service.close()


def test_mcp_tools_use_columns(model: Path) -> None:
    service = make_state(model).service
    row = {"product": "App", "amount": 100}
    reply = call_tool(service, "classify", texts=["it is broken"], columns=[row])
    assert reply.results[0].topic == "app"
    listed = call_tool(service, "list_topics")
    assert listed.columns == ["product (words)", "amount (number in 8 bins)"]
    assert call_tool(service, "explain", text="it is broken", columns=row).topic == "app"


def test_predict_files_uses_columns(model: Path, tmp_path: Path) -> None:
    rows = [{"text": "it is broken", "product": topic.title()} for topic in TOPICS]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    slugline.predict_files(model, tmp_path / "in.jsonl", tmp_path / "out", progress=None)
    answers = (tmp_path / "out" / "in.jsonl").read_text().splitlines()
    assert [json.loads(answer)["topic"] for answer in answers] == TOPICS


def test_unused_columns_are_noted(run: Callable[..., Any], tmp_path: Path) -> None:
    texts = [RowText(TOPICS[n % 3], {"sender": "ab"[n % 2]}) for n in range(60)]
    topics = [TOPICS[n % 3] for n in range(60)]
    path = tmp_path / "unused.slug"
    slugline.TopicClassifier(columns=["sender"]).fit(texts, topics).save(path)
    note = "the model doesn't use 'sender': hardly better than chance in training"
    result = run("explain", path, "loan", "--column", "sender=a")
    assert (result.code, result.err) == (0, f"{note}\n")
    assert result.out.startswith("loan, probability")
    with client(make_state(path)) as api:
        assert classify(api, text="loan", columns={"sender": "a"}).json()["note"] == note
        assert "note" not in classify(api, text="loan").json()
