"""Handlers of the machine-learning backend for Label Studio."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from slugline.serving.http.bodies import json_response, read_json
from slugline.serving.label_studio.backend import (
    BackendHealth,
    PredictRequest,
    SetUpRequest,
    predict_tasks,
    set_up,
)
from slugline.serving.web.problems import HttpProblem
from slugline.serving.web.state import call_of, in_time, service_of


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
