"""Regular expressions take time in proportion to the text, whatever it is."""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple

import pytest

import slugline

PACKAGE = Path(slugline.__file__).parent
FUNCTIONS = {
    "compile",
    "sub",
    "subn",
    "match",
    "search",
    "split",
    "findall",
    "fullmatch",
    "finditer",
}
#: A call of one of them; only files with one are parsed.
IN_SOURCE = re.compile(rf"\bre\.(?:{'|'.join(FUNCTIONS)})\(")
#: Patterns that are put together where they are used, by their file; with a sample of their parts.
COMPOSED = {
    "auditing/findings.py": ("finditer", r"(?<!\w)ab(?!\w)"),
    "corpus/formats.py": ("finditer", r'(?:"([^"]*(?:""[^"]*)*)"|([^;]*))(;|\Z)'),
    "serving/request_checks.py": ("search", r"\S"),
    "serving/web/bodies.py": (
        "finditer",
        rb'(?s)[\s,:\]}]{1,40}+|[\[{]|"[^"\\]{0,40}+(?:\\.[^"\\]*+){0,20}+(?:"|\Z)?+|[^\s,:\[\]{}"]{1,40}+',
    ),
    "text/characters.py": ("split", "[ ,;]"),
}

#: What is read there has a known SHA-256 digest.
KNOWN = "reuters/wires.py"


class Use(NamedTuple):
    """A pattern, and how it is used."""

    place: str
    pattern: Any
    method: str


def find_uses() -> Iterator[Use]:
    """Yield each pattern of the package with each method by which it is used."""
    sources = {path: path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}
    for path, source in sources.items():
        place = path.relative_to(PACKAGE).as_posix()
        if place == KNOWN or not IN_SOURCE.search(source):
            continue
        module = ast.parse(source)
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and is_re_call(node):
                assert isinstance(node.func, ast.Attribute)
                method = node.func.attr
                name = assigned_name(module, node)
                if name:
                    pattern = getattr(importlib.import_module(module_name(path)), name)
                    used = re.findall(rf"\b{name}\.(\w+)\(", source)
                    imported = [other for other in sources.values() if f"import {name}" in other]
                    for other in imported:
                        used += re.findall(rf"\b{name}\.(\w+)\(", other)
                    assert used, f"{place}: {name} is not used"
                    for method in sorted(set(used) & FUNCTIONS):
                        yield Use(f"{place} {name}", pattern, method)
                    continue
                pattern = node.args[0]
                if isinstance(pattern, ast.Constant):
                    expression: Any = pattern.value
                elif isinstance(pattern, ast.Name) and pattern.id.isupper():
                    expression = getattr(importlib.import_module(module_name(path)), pattern.id)
                else:
                    method, expression = COMPOSED[place]
                yield Use(f"{place}:{node.lineno}", re.compile(expression), method)


def is_re_call(node: ast.Call) -> bool:
    function = node.func
    return (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id == "re"
        and function.attr in FUNCTIONS
    )


def assigned_name(module: ast.Module, call: ast.Call) -> str | None:
    """Return the name of a module's constant that is this call."""
    for node in module.body:
        if isinstance(node, ast.Assign) and node.lineno <= call.lineno <= (node.end_lineno or 0):
            assert isinstance(node.targets[0], ast.Name)
            return node.targets[0].id
    return None


def module_name(path: Path) -> str:
    return ".".join(("slugline", *path.relative_to(PACKAGE).with_suffix("").parts))


def sample(parsed: Any) -> str:
    """Return a text that a parsed pattern matches, or nearly so, with one of all that repeats."""
    text = ""
    for kind, value in parsed:
        name = str(kind)
        if name == "LITERAL":
            text += chr(value)
        elif name in ("NOT_LITERAL", "ANY"):
            text += "a" if value != ord("a") else "b"
        elif name == "IN":
            text += member(value)
        elif name.endswith("REPEAT"):
            text += sample(value[2]) * max(1, value[0])
        elif name == "SUBPATTERN":
            text += sample(value[-1])
        elif name == "BRANCH":
            text += sample(value[1][0])
    return text


def member(items: list[tuple[Any, Any]]) -> str:
    """Return a character of a class."""
    names = {str(kind): value for kind, value in reversed(items)}
    if "NEGATE" in names:
        return next(c for c in "a1 " if ord(c) not in [value for _, value in items])
    if "LITERAL" in names:
        return chr(names["LITERAL"])
    if "RANGE" in names:
        return chr(names["RANGE"][0])
    return {"CATEGORY_SPACE": " ", "CATEGORY_DIGIT": "1"}.get(str(names["CATEGORY"]), "a")


def texts(use: Use, n_characters: int) -> Iterator[Any]:
    """Yield texts that are hard: the beginning of a match again and again, without its end."""
    source = use.pattern.pattern
    is_bytes = isinstance(source, bytes)
    written = source.decode("latin-1") if is_bytes else source
    matching = sample(_parser.parse(written, use.pattern.flags & ~re.UNICODE))
    alphabet = list(dict.fromkeys([*matching[:8], "a", "1", " ", "\n", "é"]))
    prefixes = [matching[:n] for n in range(1, len(matching) + 1)]
    parts = [
        *("".join(pair) for pair in itertools.product(["", *alphabet], repeat=2)),
        *("".join(pair) for pair in itertools.product(prefixes, ["", *alphabet])),
        *(matching[n:] for n in range(1, len(matching))),
    ]
    for part, end in itertools.product(filter(None, dict.fromkeys(parts)), ("", "\0", "!x")):
        text = (part * (n_characters // len(part) + 1))[:n_characters] + end
        yield text.encode("latin-1", "replace") if is_bytes else text


def seconds(use: Use, text: Any) -> float:
    run: Callable[[Any], Any] = getattr(use.pattern, use.method)
    started = time.thread_time()
    if use.method in ("sub", "subn"):
        use.pattern.sub(b"" if isinstance(text, bytes) else "", text)
    elif use.method == "finditer":
        for _ in run(text):
            pass
    else:
        run(text)
    return time.thread_time() - started


@pytest.mark.parametrize("use", list(find_uses()), ids=lambda use: f"{use.place} {use.method}")
def test_regular_expressions_take_linear_time(use: Use) -> None:
    n_small, n_large = 1 << 11, 1 << 14
    times = [seconds(use, text) for text in texts(use, n_small)]
    hardest = max(range(len(times)), key=times.__getitem__)
    [text] = itertools.islice(texts(use, n_large), hardest, hardest + 1)
    # Eight times as many characters; a quadratic pattern takes 64 times as long.
    small, large = max(times[hardest], 2e-4), min(seconds(use, text) for _ in range(3))
    assert large < 24 * small, f"{text[:20]!r} and so on"
