"""The MCP tools, which turn arguments into calls of the service, and return its replies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from slugline.serving.limits import Limits
from slugline.serving.replies import Classification, CorrectionReply, ExplanationReply, TopicList
from slugline.serving.request_checks import to_request
from slugline.serving.requests import (
    ClassifyOptions,
    CorrectionRequest,
    ExplainRequest,
    ModelName,
    ServiceRequest,
)
from slugline.serving.service import Call, Service

# Schemas ------------------------------------------------------------------------------------------


def output_schema(kind: type) -> dict[str, Any]:
    """Return the JSON Schema of a tool's result, with an object at the root, as clients expect."""
    (root,), parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    root_schema = parts.pop(root["$ref"].rpartition("/")[2])
    return {**root_schema, "$defs": parts} if parts else root_schema


def input_schema(kind: type, names: Sequence[str], limits: Limits) -> dict[str, Any]:
    """Return the JSON Schema of a tool's arguments.

    `kind` is a `Struct` with the field `model`, and perhaps `text` or `texts`; `names` are those of
    the models.
    """
    schema = output_schema(kind)
    fields = schema["properties"]
    fields["model"] |= {"enum": [*names, None]}
    for text in (fields.get("text"), fields.get("texts", {}).get("items")):
        if text:
            text["maxLength"] = limits.characters
    if "texts" in fields:
        fields["texts"]["maxItems"] = limits.texts
    return schema


# Functions, whose docstrings tell agents what they do ---------------------------------------------


class ClassifyArguments(ClassifyOptions, frozen=True, kw_only=True):
    """Texts to classify."""

    texts: Annotated[list[str], Meta(min_length=1, description="The texts; each gets an answer.")]


class ListTopicsArguments(ServiceRequest, frozen=True, kw_only=True):
    """The model whose topics to list."""

    model: ModelName = None


async def classify(service: Service, request: ClassifyArguments, call: Call) -> Classification:
    """Tells the topic of each text, with its probability and the next most likely topics.

    If the model is unsure, `topic` is null and `reason` says why: ask a person, or decide by `top`.
    Models that give several topics have `topics`, perhaps none; the others in `top` are
    suggestions. Give many texts in one call rather than one at a time. With `explain`, each answer
    comes with the words for and against it.
    """
    return await service.classify(request.texts, request, call)


async def explain(service: Service, request: ExplainRequest, call: Call) -> ExplanationReply:
    """Tells which words of a text speak for a topic, and which against it.

    By default, it is the topic that `classify` answers. With `against`, tells why it is one topic
    rather than the other. Words with a positive attribution speak for the topic, those with the
    largest the most.
    """
    return await service.explain(request, call)


async def list_topics(service: Service, request: ListTopicsArguments, call: Call) -> TopicList:
    """Names all topics that a model can answer, and the columns that it uses.

    These are columns beside the text; give their values as `columns`.
    """
    return service.list_topics(request.model, call)


async def add_correction(
    service: Service, request: CorrectionRequest, call: Call
) -> CorrectionReply:
    """Stores the right topic of a text that the model got wrong.

    The model learns from it the next time that it is trained; its answers don't change until then.
    Use it only if a person has said, or you know for certain, what the right topic is. If the model
    gives several topics, give all right ones as `topics` instead of `topic`. A topic that the model
    doesn't have is stored as a new one; if its spelling is similar to another topic's, set
    `is_new`. `who` is the name of the person who says so.
    """
    return await service.correct(request, call)


# Tools --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tool:
    """A function whose docstring and types tell agents what it does and takes."""

    title: str
    function: Callable[[Service, Any, Call], Awaitable[msgspec.Struct]]
    only_reads: bool = True

    @property
    def name(self) -> str:
        """The name of the function."""
        return self.function.__name__

    @property
    def description(self) -> str:
        """The docstring of the function, as one paragraph; the title if there is none."""
        return " ".join((self.function.__doc__ or self.title).split())

    @cached_property
    def arguments(self) -> type[msgspec.Struct]:
        """The type of the arguments."""
        return get_type_hints(self.function)["request"]

    @cached_property
    def reply(self) -> type[msgspec.Struct]:
        """The type of the reply."""
        return get_type_hints(self.function)["return"]

    async def call(self, service: Service, arguments: Mapping[str, Any]) -> msgspec.Struct:
        """Return the result of the tool.

        Model files that have changed are read again first.

        Raises
        ------
        DataError : if an argument is unknown, missing or invalid.
        SluglineError : if the service can't do it.
        """
        request = to_request(dict(arguments), self.arguments)
        await service.threads.run(service.models.refresh)
        return await self.function(service, request, Call())


TOOLS = (
    Tool("Classify texts", classify),
    Tool("Explain an answer", explain),
    Tool("List the topics", list_topics),
    Tool("Keep a correction", add_correction, only_reads=False),
)


def available_tools(service: Service) -> list[Tool]:
    """Return the tools of a service; those that store corrections only if it takes them."""
    return [tool for tool in TOOLS if tool.only_reads or service.takes_corrections]
