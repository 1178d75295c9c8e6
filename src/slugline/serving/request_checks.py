"""Validates requests against their types and words the error messages.

All front ends share these messages: the field, what was found, and what is allowed.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Sized
from typing import TypeVar

import msgspec
from msgspec import inspect

from slugline.base.checks import short_repr
from slugline.base.wording import counted, join_words, nearest
from slugline.errors import DataError, Message, Parameter

_T = TypeVar("_T")
# JSON type names in messages.
_TYPE_NAMES: dict[type[inspect.Type], str] = {
    inspect.StrType: "a string",
    inspect.IntType: "a whole number",
    inspect.FloatType: "a number",
    inspect.BoolType: "true or false",
    inspect.NoneType: "null",
    inspect.ListType: "a list",
    inspect.DictType: "an object",
    inspect.StructType: "an object",
}
# Descriptions of string patterns.
_PATTERN_NAMES = {r"\S": "a string that is not blank"}
# Maximum length of an unknown name to compare with field names.
_MAX_NAME_LENGTH = 100


def to_request(values: object, kind: type[_T]) -> _T:
    """Convert strings, numbers, lists and dictionaries to a request of the given type.

    Raises
    ------
    DataError : if a field is unknown, missing or invalid.
    """
    try:
        return msgspec.convert(values, kind)
    except (msgspec.ValidationError, UnicodeEncodeError):  # a field may have a lone surrogate
        problem = next(_problems("", values, inspect.type_info(kind)), None)
        raise DataError(
            problem or "the request is invalid; see its schema for the allowed fields."
        ) from None


def _problems(path: str, value: object, kind: inspect.Type) -> Iterator[Message]:
    """Yield problems with the value at `path`; the request itself has the path ""."""
    members = _members(kind)
    member = next((each for each in members if _has_type(value, each)), None)
    if member is None:
        found = f" is {_describe_value(value)}; give {_describe_types(members)}."
        yield Message(Parameter(path) if path else "the request", found)
        return
    match member, value:
        case inspect.StructType(), dict():
            yield from _field_problems(value, member)
        case ((inspect.IntType() | inspect.FloatType()), (int() | float())):
            yield from _range_problems(path, value, member)
        case inspect.StrType(), str():
            yield from _length_problems(path, value, member)
            yield from _pattern_problems(path, value, member.pattern)
        case inspect.ListType(), list():
            yield from _length_problems(path, value, member)
            for index, item in enumerate(value):
                yield from _problems(f"{path}[{index}]", item, member.item_type)
        case inspect.DictType(), dict():
            yield from _length_problems(path, value, member)
            for name, item in value.items():
                yield from _problems(f"{path}[{short_repr(name)}]", item, member.value_type)


def _field_problems(value: dict[str, object], kind: inspect.StructType) -> Iterator[Message]:
    """Yield problems with the fields of an object."""
    fields = {field.encode_name: field for field in kind.fields}
    for name in (each for each in value if each not in fields):
        near = nearest(name[:_MAX_NAME_LENGTH], [*fields])
        listed = ", ".join(f"`{each}`" for each in fields)
        advice = f"did you mean `{near}`?" if near else f"the fields are {listed}."
        yield Message(f"there is no field {short_repr(name)}; {advice}")
    for name, field in fields.items():
        if name in value:
            yield from _problems(name, value[name], field.type)
        elif field.required:
            allowed = _describe_types(_members(field.type))
            yield Message(Parameter(name), f" is missing; give {allowed}.")


def _length_problems(
    path: str, value: Sized, kind: inspect.StrType | inspect.ListType | inspect.DictType
) -> Iterator[Message]:
    """Yield problems with the length of a string, list or object."""
    length = counted(len(value), "character" if isinstance(value, str) else "item")
    if kind.min_length is not None and len(value) < kind.min_length:
        yield Message(Parameter(path), f" has {length}; give at least {kind.min_length:,}.")
    if kind.max_length is not None and len(value) > kind.max_length:
        yield Message(Parameter(path), f" has {length}; give at most {kind.max_length:,}.")


def _pattern_problems(path: str, value: str, pattern: str | None) -> Iterator[Message]:
    """Yield a problem if a string doesn't match the pattern."""
    if pattern is not None and not re.search(pattern, value):
        allowed = _PATTERN_NAMES.get(pattern, f"a string that matches {pattern}")
        yield Message(Parameter(path), f" is {short_repr(value)}; give {allowed}.")


def _range_problems(
    path: str, value: float, kind: inspect.IntType | inspect.FloatType
) -> Iterator[Message]:
    """Yield a problem if a number is out of range."""
    limits: list[tuple[str, Callable[[float, float], bool], float | None]] = [
        ("at least", operator.ge, kind.ge),
        ("over", operator.gt, kind.gt),
        ("at most", operator.le, kind.le),
        ("under", operator.lt, kind.lt),
    ]
    if any(bound is not None and not holds(value, bound) for _, holds, bound in limits):
        words = [f"{word} {bound:,}" for word, _, bound in limits if bound is not None]
        allowed = f"{_TYPE_NAMES[type(kind)]} of {' and '.join(words)}"
        yield Message(Parameter(path), f" is {short_repr(value)}; give {allowed}.")


def _members(kind: inspect.Type) -> list[inspect.Type]:
    """Return the member types of a union, or the type itself, without metadata."""
    match kind:
        case inspect.Metadata(type=described):
            return _members(described)
        case inspect.UnionType(types=types):
            return [member for each in types for member in _members(each)]
    return [kind]


def _has_type(value: object, kind: inspect.Type) -> bool:
    match value:
        case bool():
            return isinstance(kind, inspect.BoolType)
        case str():
            is_choice = isinstance(kind, inspect.LiteralType) and value in kind.values
            return is_choice or isinstance(kind, inspect.StrType)
        case int():
            return isinstance(kind, inspect.IntType | inspect.FloatType)
        case float():
            return isinstance(kind, inspect.FloatType)
        case list():
            return isinstance(kind, inspect.ListType)
        case dict():
            return isinstance(kind, inspect.DictType | inspect.StructType)
    return isinstance(kind, inspect.NoneType)


def _describe_value(value: object) -> str:
    match value:
        case None | bool():
            return {None: "null", True: "true", False: "false"}[value]
        case list():
            return "a list"
        case dict():
            return "an object"
    return short_repr(value)


def _describe_types(kinds: list[inspect.Type]) -> str:
    names = [name for kind in kinds for name in _type_names(kind)]
    if "a number" in names:  # includes whole numbers
        names = [name for name in names if name != "a whole number"]
    return join_words(names, last="or")


def _type_names(kind: inspect.Type) -> list[str]:
    """Return the names of a type: its choices if it has any, else the type."""
    if isinstance(kind, inspect.LiteralType):
        return [repr(choice) for choice in kind.values]
    return [_TYPE_NAMES[type(kind)]]
