"""The labelling configuration of a Label Studio project: its question about the entire text.

A configuration is XML, such as

    <View>
      <Text name="text" value="$body"/>
      <Choices name="topic" toName="text" choice="single">
        <Choice value="billing"/>
        <Choice value="delivery"/>
      </Choices>
    </View>

It comes from outside. It is read without building a tree, and may declare no entities.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn
from xml.parsers import expat

from slugline.base.checks import short_repr
from slugline.base.wording import join_words
from slugline.errors import DataError, Parameter

# Tags that show a text.
_TEXT_TAGS = ("Text", "HyperText")
# The largest number of choices and topics in a message.
_MAX_LISTED = 5


class Question(NamedTuple):
    """A question of a project that a model of topics can answer.

    Attributes
    ----------
    name : str
        The name of the control tag.
    text_name : str
        The name of the tag of the text.
    field : str
        The field of a task's data that holds the text.
    choices : tuple of str
        As in results; empty if each task has choices of its own.
    is_multiple : bool
        Whether several of them may be chosen.
    """

    name: str
    text_name: str
    field: str
    choices: tuple[str, ...]
    is_multiple: bool

    def find_choice(self, topic: object) -> str | None:
        """Return the choice that has the name of a topic, or the only one but for case."""
        name = str(topic)
        if name in self.choices or not self.choices:
            return name
        near = [choice for choice in self.choices if choice.casefold() == name.casefold()]
        return near[0] if len(near) == 1 else None


@dataclass
class _Choices:
    """A tag of choices while it is read."""

    name: str
    text_name: str
    is_multiple: bool
    values: list[str] = field(default_factory=list)


def find_question(config: str, topics: Collection[object], parameter: str) -> Question:
    """Return the question of a configuration whose choices are topics.

    Of several, it is the one that has most of the topics.

    Parameters
    ----------
    config : str
        The configuration.
    topics : collection
        The topics of a model.
    parameter : str
        The field of the request that holds the configuration, for messages.

    Raises
    ------
    DataError : if it is not XML, declares entities, has no choices about an entire text, or none of
        its choices is a topic.
    """
    reader = _ConfigReader(parameter)
    reader.read(config)
    questions = [
        Question(each.name, each.text_name, text, tuple(each.values), each.is_multiple)
        for each in reader.choices
        if (text := reader.fields.get(each.text_name)) is not None
    ]
    if not questions:
        raise DataError(
            Parameter(parameter),
            ' has no <Choices> about a <Text value="$...">; add them to the labelling setup of the '
            "project.",
        )
    best = max(questions, key=lambda each: _count_topics(each, topics))
    if not _count_topics(best, topics):
        raise DataError(
            f"none of the choices of {best.name!r} ({_list(best.choices)}) is a topic of the model "
            f"({_list(topics)}); name the choices in ",
            Parameter(parameter),
            " as the topics are called.",
        )
    return best


def _count_topics(question: Question, topics: Iterable[object]) -> int:
    return sum(question.find_choice(topic) is not None for topic in topics)


def _list(names: Iterable[object]) -> str:
    return join_words([short_repr(str(name)) for name in names], _MAX_LISTED, last=None)


class _ConfigReader:
    """Collects the texts and choices of a configuration.

    Attributes
    ----------
    fields : dict of str to str
        The field that each text tag shows.
    choices : list of _Choices
    """

    def __init__(self, parameter: str) -> None:
        self.fields: dict[str, str] = {}
        self.choices: list[_Choices] = []
        self._parameter = parameter
        self._open: _Choices | None = None

    def read(self, config: str) -> None:
        parser = expat.ParserCreate(encoding="utf-8")
        parser.StartDoctypeDeclHandler = self._reject_declarations
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        try:
            parser.Parse(config.encode(errors="replace"), True)
        except expat.ExpatError as error:
            raise DataError(
                Parameter(self._parameter), f" is not XML ({error}); correct it."
            ) from error

    def _reject_declarations(self, *_: object) -> NoReturn:
        raise DataError(
            Parameter(self._parameter), " has a document type declaration; leave it out."
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        name = attributes.get("name", "")
        if tag in _TEXT_TAGS:
            shown = attributes.get("value", "")
            # With valueType="url", the task has an address, which a server must not load.
            if shown.startswith("$") and attributes.get("valueType", "text") == "text":
                self.fields[name] = shown.removeprefix("$")
        elif tag == "Choices" and attributes.get("perRegion") != "true":
            is_multiple = attributes.get("choice") == "multiple"
            self._open = _Choices(name, attributes.get("toName", ""), is_multiple)
            self.choices.append(self._open)
        elif tag == "Choice" and self._open is not None:
            value = attributes.get("alias") or attributes.get("value")
            if value:
                self._open.values.append(value)

    def _end(self, tag: str) -> None:
        if tag == "Choices":
            self._open = None
