"""The MCP tools: what an agent can do with models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from slugline.corpus.documents import Topic
from slugline.corrections.store import CorrectionStore
from slugline.errors import DataError
from slugline.serving import messages
from slugline.serving.model import Models
from slugline.serving.settings import Limits

# Requests and replies -----------------------------------------------------------------------------


class ClassifyArguments(messages.ClassifyOptions, frozen=True, kw_only=True):
    """Texts to classify."""

    texts: Annotated[list[str], Meta(min_length=1, description="The texts; each gets an answer.")]


class ListTopicsArguments(messages.Question, frozen=True, kw_only=True):
    """The model whose topics to list."""

    model: messages.ModelName = None


class TopicList(msgspec.Struct, frozen=True, kw_only=True):
    """The topics of a model."""

    model: str
    version: str
    topics: list[Topic]
    multilabel: messages.Multilabel = msgspec.UNSET
    columns: Annotated[
        list[str] | msgspec.UnsetType,
        Meta(description="Columns beside the text that the model counts, if any, and their kinds."),
    ] = msgspec.UNSET
    n_documents: Annotated[int, Meta(description="How many documents the model learned from.")]
    min_precision: Annotated[
        float | None, Meta(description="How often answers are to be right, unless asked otherwise.")
    ]


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


# Tools --------------------------------------------------------------------------------------------

# Texts that are classified at once.
_BATCH = 512


class ModelTools:
    """The tools with their models; threads may share it.

    Files of models that have changed are read again before the next call. Without a `store`, no
    tool takes corrections.
    """

    def __init__(self, models: Models, limits: Limits, store: CorrectionStore | None) -> None:
        self.models, self.limits, self.store = models, limits, store

    @property
    def tools(self) -> list[Tool]:
        """The tools that are available."""
        return [tool for tool in TOOLS if tool.only_reads or self.store is not None]

    def call(self, name: str, arguments: Mapping[str, Any]) -> msgspec.Struct:
        """Return the result of a tool.

        Raises
        ------
        KeyError : if there is no such tool.
        SluglineError : if it fails.
        """
        tool = {tool.name: tool for tool in self.tools}[name]
        request = tool.read(arguments)
        self.models.refresh()
        return tool.function(self, request)

    def classify(self, request: ClassifyArguments) -> messages.Classification:
        """Tells the topic of each text, with its probability and the next most likely topics.

        `topic` is null where the model is unsure; `reason` then says why: ask a person, or decide
        by `top`. Models of several topics give `topics`, perhaps none; others in `top` are
        suggestions. Give many texts in one call rather than one at a time. With `explain`, each
        answer comes with the words for and against it.
        """
        self.limits.check(request.texts, explain=request.explain, top=request.top)
        model = self.models.get(request.model)
        texts, note = messages.with_columns(model, request.texts, request.columns)
        decisions = [
            decision
            for first in range(0, len(texts), _BATCH)
            for decision in model.decide(
                texts[first : first + _BATCH], request.min_precision, request.top
            )
        ]
        answers = messages.to_results(decisions, request.top)
        if request.explain:
            answers = messages.with_reasons(model, texts, answers)
        return messages.Classification(
            model=model.name, version=model.digest, results=answers, note=note
        )

    def explain(self, request: messages.ExplainRequest) -> messages.ExplanationReply:
        """Tells which words of a text speak for a topic, and which against it.

        By default, that is the topic that `classify` answers. With `against`, tells why it is one
        topic rather than the other. Shares over 0 speak for the topic, the largest most.
        """
        self.limits.check([request.text], explain=True)
        return messages.explain_score(self.models.get(request.model), request)

    def list_topics(self, request: ListTopicsArguments) -> TopicList:
        """Names all topics that a model can answer, and the columns that it counts.

        These are columns beside the text; give their values as `columns`.
        """
        model = self.models.get(request.model)
        return TopicList(
            model=model.name,
            version=model.digest,
            topics=model.fitted.topics.names,
            multilabel=model.fitted.multilabel or msgspec.UNSET,
            columns=[*map(str, model.fitted.columns)] or msgspec.UNSET,
            n_documents=model.file.info.n_documents,
            min_precision=model.decider.precision,
        )

    def add_correction(self, request: messages.CorrectionRequest) -> messages.CorrectionReply:
        """Keeps the right topic of a text that the model got wrong, to learn from it.

        That is for the next time that it is trained; its answers don't change until then. Use it
        only if a person has said, or you know for certain, what the right topic is. If the model
        gives several, give all that are right as `topics` instead of `topic`. A topic that the
        model doesn't have is kept as a new one; if it is spelled much like another one, say
        `is_new`. `who` is the name of who says so.
        """
        if self.store is None:
            raise DataError("no corrections are taken here; start with --allow-corrections FILE.")
        self.limits.check([request.text])
        model = self.models.get(request.model)
        [decision] = model.decide([request.text])
        return messages.store_correction(self.store, model, request, decision)


@dataclass(frozen=True)
class Tool:
    """A method of `ModelTools`, whose docstring and types tell agents what it does and takes."""

    title: str
    function: Callable[[ModelTools, Any], msgspec.Struct]
    only_reads: bool = True

    @property
    def name(self) -> str:
        """The name of the method."""
        return self.function.__name__

    @property
    def description(self) -> str:
        """The docstring of the method, as one paragraph; the title if there is none."""
        return " ".join((self.function.__doc__ or self.title).split())

    @cached_property
    def arguments(self) -> type[msgspec.Struct]:
        """The type of the arguments."""
        return get_type_hints(self.function)["request"]

    @cached_property
    def reply(self) -> type[msgspec.Struct]:
        """The type of the reply."""
        return get_type_hints(self.function)["return"]

    def read(self, arguments: Mapping[str, Any]) -> msgspec.Struct:
        """Return the typed arguments; DataError if they are invalid."""
        try:
            return msgspec.convert(arguments, self.arguments)
        except msgspec.ValidationError as error:
            fields = sorted(msgspec.structs.fields(self.arguments), key=lambda f: not f.required)
            names = ", ".join(field.encode_name for field in fields)
            raise DataError(f"{error}; {self.name} takes: {names}.") from None


TOOLS = (
    Tool("Classify texts", ModelTools.classify),
    Tool("Explain an answer", ModelTools.explain),
    Tool("List the topics", ModelTools.list_topics),
    Tool("Keep a correction", ModelTools.add_correction, only_reads=False),
)
