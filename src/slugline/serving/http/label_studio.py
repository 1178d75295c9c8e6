"""Machine-learning backend for Label Studio.

Label Studio requests the version of the model when a project is connected (`set_up`), then
pre-annotations of tasks (`predict_tasks`). Unused fields, such as passwords and access tokens, are
not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from slugline.serving.http.label_config import Question, find_question
from slugline.serving.replies import Probability, Result
from slugline.serving.requests import MAX_TEXTS, Cell, Cells, ClassifyOptions
from slugline.serving.served_models import ServedModel
from slugline.serving.service import Call, Service
from slugline.serving.web.bodies import json_response, read_json
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import call_of, in_time, service_of

# Characters of a labelling configuration.
_LONGEST_CONFIG = 1_000_000
_CONFIG_MEANING = "The labelling configuration of the project, in XML."

_LabelConfig = Annotated[str, Meta(max_length=_LONGEST_CONFIG, description=_CONFIG_MEANING)]


class LabelStudioTask(msgspec.Struct, frozen=True):
    """A task: the fields of its data, one of which is the text."""

    data: dict[str, Any]


class PredictRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Tasks to pre-annotate; further fields are ignored."""

    tasks: Annotated[list[LabelStudioTask], Meta(max_length=MAX_TEXTS)]
    label_config: _LabelConfig


class SetUpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The project that is connected; further fields are ignored."""

    schema: _LabelConfig


class ChoicesValue(msgspec.Struct, frozen=True):
    """The choices of an annotation."""

    choices: list[str]


class ChoicesResult(msgspec.Struct, frozen=True, kw_only=True):
    """Choices for the question of a project."""

    from_name: str
    to_name: str
    type: str = "choices"
    value: ChoicesValue


class PreAnnotation(msgspec.Struct, frozen=True, kw_only=True):
    """The pre-annotation of a task."""

    result: Annotated[
        list[ChoicesResult], Meta(description="Empty if the model is unsure, or no topic applies.")
    ]
    score: Annotated[
        Probability | None,
        Meta(
            description="Probability of the topic; of several, of the least likely one; if there "
            "is none, of the most likely one; null if the task has no text."
        ),
    ]
    model_version: str


class PredictReply(msgspec.Struct, frozen=True, kw_only=True):
    """The pre-annotations, in the order of the tasks."""

    results: list[PreAnnotation]
    model_version: str


class SetUpReply(msgspec.Struct, frozen=True, kw_only=True):
    """The version of the model."""

    model_version: str


class BackendHealth(msgspec.Struct, frozen=True, kw_only=True):
    """The backend answers."""

    status: str = "UP"
    model_class: str


def set_up(service: Service, request: SetUpRequest, name: str, call: Call) -> SetUpReply:
    """Return the version of a model, which has topics among the choices of a project.

    Raises
    ------
    UnknownModelError : if there is no such model.
    DataError : if the model can't answer a question of the project.
    """
    model = service.find_model(name, call)
    find_question(request.schema, model.fitted.topics.names, "schema")
    return SetUpReply(model_version=_version(model))


async def predict_tasks(
    service: Service, request: PredictRequest, name: str, call: Call
) -> PredictReply:
    """Return the pre-annotation of each task, which is empty if it has no text.

    Raises as `Service.classify` and `set_up` do.
    """
    model = service.find_model(name, call)
    question = find_question(request.label_config, model.fitted.topics.names, "label_config")
    texts = [_task_text(model, question, task.data) for task in request.tasks]
    filled = [number for number, text in enumerate(texts) if text.strip()]
    version = _version(model)
    results = [PreAnnotation(result=[], score=None, model_version=version) for _ in texts]
    if filled:
        columns = [_task_columns(model, request.tasks[number].data) for number in filled]
        options = ClassifyOptions(model=name, top=1, columns=columns)
        call.is_watched = False  # tasks may be old texts
        reply = await service.classify([texts[number] for number in filled], options, call)
        for number, result in zip(filled, reply.results, strict=True):
            results[number] = _to_prediction(result, question, version)
    return PredictReply(results=results, model_version=version)


def _version(model: ServedModel) -> str:
    return f"{model.name} {model.digest}"


def _task_text(model: ServedModel, question: Question, data: Mapping[str, object]) -> str:
    """Return the text of a task, joined like texts that the model learned from; "" if none."""
    layout = model.fitted.layout
    parts = [data.get(column) for column in layout.text] if layout is not None else []
    if len(parts) > 1 and any(isinstance(part, str) and part.strip() for part in parts):
        return "\n".join(part for part in parts if isinstance(part, str) and part.strip())
    text = data.get(question.field)
    return text if isinstance(text, str) else ""


def _task_columns(model: ServedModel, data: Mapping[str, object]) -> Cells:
    """Return the values of the columns that the model uses besides the text."""
    cells: dict[str, Cell] = {}
    for column in model.fitted.features.table_columns:
        value = data.get(column.name)
        if value is None or isinstance(value, str | int | float):
            cells[column.name] = value
    return cells


def _to_prediction(result: Result, question: Question, version: str) -> PreAnnotation:
    given = _given_topics(result)
    if not question.is_multiple:
        given = given[:1]
    chosen = [
        (choice, probability)
        for topic, probability in given
        if (choice := question.find_choice(topic)) is not None
    ]
    answer = ChoicesResult(
        from_name=question.name,
        to_name=question.text_name,
        value=ChoicesValue([choice for choice, _ in chosen]),
    )
    score = min((probability for _, probability in chosen), default=result.probability)
    return PreAnnotation(result=[answer] if chosen else [], score=score, model_version=version)


def _given_topics(result: Result) -> Sequence[tuple[object, float]]:
    """Return the topics of an answer with their probabilities, the most likely one first."""
    if isinstance(result.topics, list):
        return [(guess.topic, guess.probability) for guess in result.topics]
    return [] if result.topic is None else [(result.topic, result.probability)]


class WebhookRequest(msgspec.Struct, frozen=True):
    """A Label Studio event; other fields are ignored."""

    action: str


class WebhookReply(msgspec.Struct, frozen=True):
    """Reply to a webhook."""

    status: str


_predict = msgspec.json.Decoder(PredictRequest)
_set_up = msgspec.json.Decoder(SetUpRequest)
_webhook = msgspec.json.Decoder(WebhookRequest)
# Action sent by the "Start Training" button in Label Studio.
_START_TRAINING = "START_TRAINING"


async def label_studio_predict(request: Request) -> Response:
    """Pre-annotate Label Studio tasks."""
    body = await read_json(request, _predict)
    name = request.path_params["name"]
    answer = predict_tasks(service_of(request), body, name, call_of(request))
    return json_response(await in_time(request, answer))


async def label_studio_setup(request: Request) -> Response:
    """Check a project's labelling configuration."""
    body = await read_json(request, _set_up)
    name = request.path_params["name"]
    return json_response(set_up(service_of(request), body, name, call_of(request)))


async def label_studio_health(request: Request) -> Response:
    """Check that the backend is alive."""
    model = service_of(request).find_model(request.path_params["name"], call_of(request))
    return json_response(BackendHealth(model_class=model.name))


async def label_studio_webhook(request: Request) -> Response:
    """Acknowledge project events without training on them."""
    body = await read_json(request, _webhook)
    service_of(request).find_model(request.path_params["name"], call_of(request))
    if body.action == _START_TRAINING:
        raise HttpProblem(
            501,
            "training from Label Studio is not supported; export the annotations as JSON, then "
            "run `slugline label --import` and `slugline train`.",
        )
    return json_response(WebhookReply("ignored"))
