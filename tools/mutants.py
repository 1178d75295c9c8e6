"""Change one thing at a time in the core, and see whether a test notices.

    python tools/mutants.py [--part outside] [--number 150] [--seed 0] [--only text/terms.py]

draws mutants at random: a comparison, an operator or a constant is another one, a `not` or a
statement is gone, a function returns None. Each is put into a copy of the tree in a temporary
folder, where the tests of its module run until one fails. Mutants that none of them notices are
printed, then the counts. Some of those do what the original does, and no test can tell; the others
ask for one. `mutants.toml` has the tests of each module, and the constants whose exact value is a
matter of tuning, not of what is right: these are left as they are.
"""

from __future__ import annotations

import argparse
import ast
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import textwrap
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import hypothesis.strategies  # noqa: F401
import pytest
import scipy.sparse  # noqa: F401
import sklearn.svm  # noqa: F401

ROOT = Path(__file__).parents[1]
PACKAGE = Path("src/slugline")

SETTINGS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
PARTS = ("core", "outside")
TESTS = {name: files.split() for part in PARTS for name, files in SETTINGS[part].items()}
TUNING, ARGUMENTS = (set(SETTINGS["aside"][name].split()) for name in ("tuning", "arguments"))

# Either one may stand in the place of the other.
_PAIRS = """
Lt GtE, Lt LtE, Gt LtE, Gt GtE, Eq NotEq, Is IsNot, In NotIn, And Or, Add Sub, Mult Div
"""
_SWAPS = [pair.split() for pair in _PAIRS.split(",")]
_SWAPS += [[other, name] for name, other in _SWAPS]


class Mutant(NamedTuple):
    """One change of one module."""

    module: str
    line: int
    change: str
    source: str


class Place(NamedTuple):
    """Where a node stands: a field of its parent, or an item of one."""

    held: Any
    key: Any
    line: int
    in_function: bool


def variants(node: ast.AST, in_function: bool) -> Iterator[ast.AST]:
    """Return what may stand in the place of a node."""
    yield from (getattr(ast, other)() for name, other in _SWAPS if name == type(node).__name__)
    match node:
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.Constant(value=bool(flag)):
            yield ast.Constant(not flag)
        case ast.Constant(value=int(number)):
            yield ast.Constant(number + 1)
            yield ast.Constant(number - 1)
        case ast.Return(value=ast.expr()) if ast.unparse(node) != "return None":
            yield ast.Return(ast.Constant(None))
        case ast.Assign(targets=[target]) if not _names(target) <= _names(node.value):
            return  # without it, there would be no such name, and any test would tell
        case ast.Assign() | ast.AugAssign() | ast.Expr() | ast.Raise() | ast.If() if in_function:
            yield ast.Pass()


def places(node: ast.AST, line: int = 0, in_function: bool = False) -> Iterator[Place]:
    """Return all places below a node where something may change."""
    in_function |= isinstance(node, ast.FunctionDef)
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list"):
            continue
        held: Any = value if isinstance(value, list) else vars(node)
        for key in range(len(value)) if isinstance(value, list) else [field]:
            child = held[key]
            if isinstance(child, ast.AST) and not _stays(child):
                line = getattr(child, "lineno", line)
                yield Place(held, key, line, in_function)
                yield from places(child, line, in_function)


def _stays(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.AnnAssign(value=None):
            return True  # a docstring, a declaration
        case ast.Assign(targets=[target]) | ast.AnnAssign(target=target):
            return bool(_names(target) & TUNING)
        case ast.ClassDef(name=name):
            return name in TUNING
        case ast.keyword(arg=name):
            return name in ARGUMENTS
    return False


def _names(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}


def mutants(module: str) -> Iterator[Mutant]:
    """Return every mutant of a module."""
    text = (ROOT / PACKAGE / module).read_text()
    tree = ast.parse(text)
    for place in list(places(tree)):
        node = place.held[place.key]
        for other in list(variants(node, place.in_function)):
            place.held[place.key] = other
            source = ast.unparse(ast.fix_missing_locations(tree))
            place.held[place.key] = node
            code = text.splitlines()[place.line - 1].strip()
            yield Mutant(module, place.line, f"{_short(node)} -> {_short(other)} in {code}", source)


def _short(node: ast.AST) -> str:
    code = textwrap.shorten(ast.unparse(node), 40, placeholder=" ...")
    return code or type(node).__name__  # an operator has no code of its own


def first_failure(tree: Path, modules: Iterable[str], seconds: float) -> str:
    """Return what pytest says of the first test that fails in a copy of the tree, "" if none does.

    Each run is a fork of this process, which has imported what takes long.
    """
    names = dict.fromkeys(name for module in modules for name in TESTS[module])
    tests = {path.stem: str(path.relative_to(tree)) for path in (tree / "tests").rglob("test_*.py")}
    files = [*(str(PACKAGE / m) for m in modules), *(tests[f"test_{n}"] for n in names)]
    process = multiprocessing.get_context("fork").Process(target=_run_pytest, args=(tree, files))
    process.start()
    process.join(seconds)
    if process.is_alive():
        process.kill()
        return "takes too long"
    said = (tree / "pytest.log").read_text().splitlines()
    failures = [line for line in said if line.startswith(("FAILED", "ERROR"))]
    return "" if not process.exitcode else [*failures, "crashed"][0]


def _run_pytest(tree: Path, files: list[str]) -> None:
    os.chdir(tree)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, it is ignored
    os.environ["PYTHONPATH"] = str(tree / "src")
    sys.path.insert(0, str(tree / "src"))
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=ci", "--basetemp=tmp"]
    options += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]  # for what is imported already
    with Path("pytest.log").open("w") as log, redirect_stdout(log):
        code = pytest.main([*options, *files])
    os._exit(code)


def main() -> None:
    """Draw mutants, test them, and print those that survive."""
    parser = argparse.ArgumentParser(description="See whether tests notice changes of the core.")
    parser.add_argument("--number", type=int, default=150, help="how many mutants to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", choices=PARTS, default="core", help="the modules to draw from")
    parser.add_argument("--only", choices=TESTS, action="append", help="draw from this module")
    parser.add_argument("--seconds", type=float, default=120, help="the most for one mutant")
    parser.add_argument("--verbose", action="store_true", help="also print those that are killed")
    options = parser.parse_args()
    found = [
        mutant for module in options.only or SETTINGS[options.part] for mutant in mutants(module)
    ]
    drawn = random.Random(options.seed).sample(found, min(options.number, len(found)))  # noqa: S311
    n_killed = 0
    sys.dont_write_bytecode = True  # of a mutant, it would be taken for that of the next one
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".*", "__pycache__"))
        modules = {mutant.module for mutant in drawn}
        if failure := first_failure(tree, modules, 10 * options.seconds):
            sys.exit(f"without any change: {failure}")
        for mutant in drawn:
            path = tree / PACKAGE / mutant.module
            original = path.read_text()
            path.write_text(mutant.source)
            failure = first_failure(tree, [mutant.module], options.seconds)
            if options.verbose or not failure:
                print(f"{mutant.module}:{mutant.line}: {mutant.change}  {failure}", flush=True)
            n_killed += bool(failure)
            path.write_text(original)
    print(f"{n_killed} of {len(drawn)} killed; {len(found)} mutants in all")


if __name__ == "__main__":
    main()
