"""The service: what it answers and refuses, whichever front end asks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

import slugline
from server import make_state
from slugline.errors import DataError, SluglineError
from slugline.serving.requests import ClassifyOptions, CorrectionRequest, ExplainRequest
from slugline.serving.service import Call, Service
from slugline.serving.service_errors import (
    IS_NEW,
    ApprovalError,
    LimitError,
    MisspeltTopicError,
    NoCorrectionsError,
    UnknownCorrectionError,
    UnknownModelError,
)

_T = TypeVar("_T")


@pytest.fixture(scope="module")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model whose topics are integers."""
    path = tmp_path_factory.mktemp("models") / "numbers.slug"
    slugline.TopicClassifier().fit(["wheat", "goal"] * 5, [1, 2] * 5).save(path)
    return path


@pytest.fixture(scope="module")
def service(numbers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Return a service of two models that takes corrections."""
    file = tmp_path_factory.mktemp("corrections") / "corrections.db"
    tokens = ("anna 0123456789abcdef",)
    state = make_state("reuters46", numbers, corrections=file, max_characters=1000, tokens=tokens)
    yield state.service
    state.service.close()


def run(answer: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(answer)


def refusal(answer: Coroutine[Any, Any, object], kind: type[SluglineError]) -> Any:
    """Return the error of an operation, which must be of a kind."""
    with pytest.raises(kind) as error:
        run(answer)
    assert type(error.value) is kind
    return error.value


# Texts --------------------------------------------------------------------------------------------


def test_classify_notes_the_model_in_the_call(service: Service) -> None:
    call = Call()
    reply = run(service.classify(["wheat exports"], ClassifyOptions(), call))
    assert [result.topic for result in reply.results] == ["grain"]
    assert call.model is service.models.default
    assert (reply.model, reply.version) == (call.model.name, call.model.digest)


@pytest.mark.parametrize(
    ("texts", "options", "message", "index"),
    [
        ([], {}, "there are no texts; give at least one.", None),
        (
            ["a"] * 10_001,
            {},
            "there are 10,001 texts, and a request may have 10,000; split the request.",
            None,
        ),
        (
            ["a"] * 101,
            {"explain": True},
            "there are 101 texts, and a request with reasons may have 100; split the request.",
            None,
        ),
        (
            ["a"] * 10_000,
            {"top": 6},
            "there are 10,000 texts with 6 topics each, and a request may ask for 50,000 topics in "
            "all; split the request.",
            None,
        ),
        (
            ["a", "b" * 1001],
            {},
            "text 1 has 1,001 characters, and a text may have 1,000; shorten it.",
            1,
        ),
    ],
)
def test_classify_rejects_requests_over_the_limits(
    service: Service, texts: list[str], options: dict[str, Any], message: str, index: int | None
) -> None:
    call = Call()
    error = refusal(service.classify(texts, ClassifyOptions(**options), call), LimitError)
    assert (str(error), error.index, call.model) == (message, index, None)


def test_limit_error_describes_the_text_by_another_name(service: Service) -> None:
    error = refusal(service.explain(ExplainRequest(text="b" * 1001), Call()), LimitError)
    assert error.describe("the text ") == (
        "the text has 1,001 characters, and a text may have 1,000; shorten it."
    )


def test_classify_rejects_an_unknown_model(service: Service) -> None:
    error = refusal(
        service.classify(["a"], ClassifyOptions(model="tickets"), Call()), UnknownModelError
    )
    assert str(error) == "there is no model 'tickets'; there are: reuters46, numbers."
    assert (error.name, error.known_names) == ("tickets", ["reuters46", "numbers"])


def test_answer_text_explains_the_most_likely_topic_unless_another_is_known(
    service: Service,
) -> None:
    model = service.models.default
    for topic, explained in ((None, "grain"), ("wheat", "wheat"), ("nothing", "grain")):
        decision, explanation, _ = run(service.answer_text(model, "wheat exports", 5, topic))
        assert (decision.topic, len(decision.top)) == ("grain", 5)
        assert explanation.topic == explained


# Corrections --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("correction", "message"),
    [
        ({"text": " ", "topic": "gold"}, "`text` is empty; send the text to correct."),
        (
            {"text": "a", "topics": ["gold"]},
            "reuters46 assigns one topic per text; send it as `topic`.",
        ),
        (
            {"text": "a", "topic": "one", "model": "numbers"},
            "the topics of numbers are numbers, but `topic` is 'one'.",
        ),
    ],
)
def test_correct_rejects_invalid_corrections(
    service: Service, correction: dict[str, Any], message: str
) -> None:
    n_before = service.corrections.store.count_corrections()
    error = refusal(service.correct(CorrectionRequest(**correction), Call()), DataError)
    assert str(error) == message
    assert service.corrections.store.count_corrections() == n_before


def test_correct_asks_whether_a_misspelt_topic_is_new(service: Service) -> None:
    correction: dict[str, Any] = {"text": "a", "topic": "golld"}
    error = refusal(service.correct(CorrectionRequest(**correction), Call()), MisspeltTopicError)
    assert str(error) == (
        "there is no topic 'golld' in reuters46; did you mean 'gold'? If it is new, set `is_new`."
    )
    assert (error.topic, error.similar_topic, IS_NEW in error.parts) == ("golld", "gold", True)
    assert run(service.correct(CorrectionRequest(**correction, is_new=True), Call())).is_new


def test_corrections_are_approved_by_people_with_names(service: Service) -> None:
    anna = Call(person="anna")
    own = run(service.correct(CorrectionRequest(text="a", topic="gold"), anna)).id
    other = run(service.correct(CorrectionRequest(text="a", topic="gold"), Call())).id
    pending = set(service.corrections.store.pending_corrections())
    assert other in pending
    assert own not in pending
    error = refusal(service.approve_corrections([other], Call()), ApprovalError)
    assert error.person is None
    assert run(service.approve_corrections([other, own, 999], anna)) == 2
    assert set(service.corrections.store.pending_corrections()) == pending - {other}


def test_undo_correction_rejects_an_unknown_one(service: Service) -> None:
    error = refusal(service.undo_correction(999, Call()), UnknownCorrectionError)
    assert str(error) == "there is no correction 999, or it was undone before."


def test_service_without_corrections_takes_none() -> None:
    service = make_state().service
    assert not service.takes_corrections
    answer = service.correct(CorrectionRequest(text="a", topic="gold"), Call())
    refusal(answer, NoCorrectionsError)
    refusal(service.undo_correction(1, Call()), NoCorrectionsError)
