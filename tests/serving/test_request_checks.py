"""Requests are checked against their types, and each error names field, finding and remedy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from slugline.errors import DataError
from slugline.serving.http.handlers import ClassifyRequest
from slugline.serving.mcp.server import TOOLS
from slugline.serving.page.rendering import word_error
from slugline.serving.request_checks import to_request
from slugline.serving.requests import ClassifyOptions, CorrectionRequest, ExplainRequest


class Sample(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=2, max_length=4)]
    number: Annotated[int, Meta(gt=0, le=2_000)] = 1
    fraction: Annotated[float, Meta(ge=0, lt=1)] | None = None
    word: Annotated[str, Meta(pattern="^[a-z]+$")] | int = 1
    items: Annotated[list[Annotated[str, Meta(max_length=3)]], Meta(max_length=2)] = []
    cells: Annotated[dict[str, bool | None], Meta(max_length=2)] | list[int] = {}
    choice: Literal["a", "b"] | None = None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (None, "the request is null; give an object."),
        ([], "the request is a list; give an object."),
        ({}, "`name` is missing; give a string."),
        ({"name": "abc", "nmber": 1}, "there is no field 'nmber'; did you mean `number`?"),
        (
            {"name": "abc", "zzzz\ud800": 1},
            r"there is no field 'zzzz\ud800'; the fields are `name`, `number`, `fraction`, "
            "`word`, `items`, `cells`, `choice`.",
        ),
        ({"name": 1}, "`name` is 1; give a string."),
        ({"name": "a"}, "`name` has 1 character; give at least 2."),
        ({"name": "a" * 5_000}, "`name` has 5,000 characters; give at most 4."),
        ({"name": "abc", "number": "1"}, "`number` is '1'; give a whole number."),
        ({"name": "abc", "number": True}, "`number` is true; give a whole number."),
        ({"name": "abc", "number": 1.5}, "`number` is 1.5; give a whole number."),
        (
            {"name": "abc", "number": 0},
            "`number` is 0; give a whole number of over 0 and at most 2,000.",
        ),
        (
            {"name": "abc", "fraction": 1},
            "`fraction` is 1; give a number of at least 0 and under 1.",
        ),
        ({"name": "abc", "fraction": []}, "`fraction` is a list; give a number or null."),
        ({"name": "abc", "word": "A"}, "`word` is 'A'; give a string that matches ^[a-z]+$."),
        ({"name": "abc", "word": None}, "`word` is null; give a string or a whole number."),
        ({"name": "abc", "items": ["a"] * 3}, "`items` has 3 items; give at most 2."),
        ({"name": "abc", "items": ["a", {}]}, "`items[1]` is an object; give a string."),
        ({"name": "abc", "items": ["aaaa"]}, "`items[0]` has 4 characters; give at most 3."),
        ({"name": "abc", "choice": "c"}, "`choice` is 'c'; give 'a', 'b' or null."),
        ({"name": "abc", "choice": 1}, "`choice` is 1; give 'a', 'b' or null."),
        ({"name": "abc", "cells": 1}, "`cells` is 1; give an object or a list."),
        ({"name": "abc", "cells": {"a": 1}}, "`cells['a']` is 1; give true or false or null."),
        ({"name": "abc", "cells": [1, "b"]}, "`cells[1]` is 'b'; give a whole number."),
    ],
)
def test_to_request_names_field_finding_and_remedy(fields: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        to_request(fields, Sample)
    assert str(caught.value) == message


def test_to_request_takes_what_the_type_allows() -> None:
    fields = {"name": "abc", "number": 2_000, "fraction": 0, "cells": {"a": None}}
    assert to_request(fields, Sample) == Sample(**fields)  # type: ignore[arg-type]


VALUES: list[Any] = [
    None,
    True,
    -1,
    0.5,
    1e300,
    "",
    " ",
    "a" * 11_000,
    [],
    [None],
    ["", 1, []],
    {},
    {"a": {}},
]


@pytest.mark.parametrize(
    "kind",
    [ClassifyRequest, ExplainRequest, CorrectionRequest, *(tool.arguments for tool in TOOLS)],
)
def test_to_request_has_a_sentence_for_each_field_of_each_request(
    kind: type[msgspec.Struct],
) -> None:
    required = {f.encode_name: "a" for f in msgspec.structs.fields(kind) if f.required}
    for field in msgspec.structs.fields(kind):
        for value in VALUES:
            message = "valid."
            try:
                to_request(required | {field.encode_name: value}, kind)
            except DataError as error:
                message = str(error)
            assert message.endswith(".")
            assert "the request is invalid" not in message


def test_word_error_names_the_fields_of_the_page() -> None:
    for fields, message in (
        ({"topics": [1, " "]}, "a topic is ' '; give a string that is not blank."),
        ({"topics": ["a"] * 1001}, "the list of topics has 1,001 items; give at most 1,000."),
        ({"who": "a" * 201}, "the name has 201 characters; give at most 200."),
    ):
        with pytest.raises(DataError) as caught:
            to_request({"text": "a", **fields}, CorrectionRequest)
        assert word_error(caught.value) == message
    with pytest.raises(DataError) as caught:
        to_request({"top": 0}, ClassifyOptions)
    assert word_error(caught.value).startswith("`top` is 0; give")
