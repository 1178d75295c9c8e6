"""What `import slugline` offers: all that the commands do, documented, imported when it is used."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest

import slugline
from slugline.cli.app import COMMANDS
from slugline.corpus import readers
from slugline.learning.learner import LEARNERS
from slugline.learning.net import layers, optimizers
from slugline.model import multilabel_rule
from slugline.model.file import container
from slugline.text import feature_groups, terms

#: Commands whose work has another name in Python, and those that are of use on a terminal alone.
IN_PYTHON = {"predict": "predict_files", "info": "load"}
COMMANDS_ALONE = {"check", "labels", "mcp", "reproduce", "rollback", "sample"}
NAMES = [name for name in slugline.__all__ if not name.startswith("__")]


def test_commands_have_functions() -> None:
    wanted = {IN_PYTHON.get(name, name) for name in COMMANDS} - COMMANDS_ALONE
    assert wanted <= set(slugline.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_public_names_are_documented_with_an_example(name: str) -> None:
    value = getattr(slugline, name)
    assert value.__doc__
    assert isinstance(value, ModuleType) or ">>>" in value.__doc__


def vars_of(value: Any) -> set[str]:
    """Return the public names that Slugline's classes define for a class, and its constructor."""
    classes = [one for one in value.__mro__ if one.__module__.startswith("slugline")]
    names = {name for one in classes for name in vars(one)}
    return {name for name in names if name == "__init__" or not name.startswith("_")}


def public_functions() -> Iterator[tuple[str, Any]]:
    """Yield all public functions, constructors and methods."""
    for name in NAMES:
        value = getattr(slugline, name)
        if inspect.isfunction(value) or (inspect.isclass(value) and "__init__" in vars_of(value)):
            yield name, value
        for method in dir(value) if inspect.isclass(value) else ():
            member = getattr(value, method)
            is_function = inspect.isfunction(member) or inspect.ismethod(member)
            if is_function and method in vars_of(value):
                yield f"{name}.{method}", member


@pytest.mark.parametrize(("name", "function"), [*public_functions()])
def test_public_functions_spell_out_their_options(name: str, function: Any) -> None:
    parameters = inspect.signature(function).parameters.values()
    loose = [p for p in parameters if p.kind is p.VAR_KEYWORD and "Any" in str(p.annotation)]
    # scikit-learn passes any arguments of the constructor, or of `fit`.
    assert not loose or name.endswith((".set_params", ".fit_transform"))


@pytest.mark.parametrize(
    ("function", "parameter", "allowed"),
    [
        (slugline.TopicClassifier.__init__, "learner", LEARNERS),
        (slugline.TopicClassifier.__init__, "class_weight", ("balanced",)),
        (slugline.TopicClassifier.__init__, "optimize", multilabel_rule.AVERAGES),
        (slugline.TopicClassifier.save, "quantize", container.LOWER),
        (slugline.load_corpus, "format", readers._FORMATS),
        (slugline.FeatureGroup, "kind", (*terms.KINDS, terms.COLUMNS)),
        (slugline.FeatureGroup, "weighting", feature_groups.WEIGHTINGS),
        (slugline.Dense, "activation", layers._ACTIVATIONS),
        (slugline.Network.__init__, "optimizer", optimizers._OPTIMIZERS),
        (slugline.Network.__init__, "loss", optimizers._LOSSES),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_of_closed_sets_have_literal_types(
    function: Any, parameter: str, allowed: Any
) -> None:
    late = dict.fromkeys(("Progress", "Optimizer", "Trainer", "History"), Any)
    hint = typing.get_type_hints(function, localns=vars(optimizers) | late)[parameter]
    parts = hint.__args__ if typing.get_origin(hint) is not Literal else (hint,)
    literals = [part for part in parts if typing.get_origin(part) is Literal]
    assert {value for part in literals for value in typing.get_args(part)} == {*allowed}


def test_functions_are_not_hidden_by_packages_of_their_name() -> None:
    code = (
        "import slugline\n"
        "for name in slugline.__all__: getattr(slugline, name)\n"
        "import pkgutil, importlib\n"
        "for module in pkgutil.iter_modules(slugline.__path__):\n"
        "    if module.name != '__main__': importlib.import_module('slugline.' + module.name)\n"
        "print([n for n in ('audit', 'compare', 'curve', 'evaluate', 'explain', 'export',\n"
        "    'suggest', 'train') if not callable(getattr(slugline, n))])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_names_are_imported_when_used() -> None:
    code = "import slugline, sys; print(*(m for m in sys.modules if m.startswith('slugline.')))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "slugline.api" not in run.stdout
    assert "slugline.classifier" not in run.stdout


@pytest.mark.slow
def test_docstring_examples_run_in_any_folder(tmp_path: Path) -> None:
    """As users run them, who have the package and not its repository.

    Only those that name files need to: all others are run as the tests of their modules.
    """
    code = (
        "import doctest, inspect, re, slugline\n"
        "finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner()\n"
        f"for name in {NAMES!r}:\n"
        "    value = getattr(slugline, name)\n"
        "    found = finder.find(value, name) if not inspect.ismodule(value) else []\n"
        "    for test in found:\n"
        "        code = ' '.join(example.source for example in test.examples)\n"
        "        if re.search(r'[\"\\'][^\"\\' ]*[./][^\"\\' ]*[\"\\']', code): runner.run(test)\n"
        "print(runner.failures, runner.tries)"
    )
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    failures, tries = map(int, run.stdout.split()[-2:])
    assert failures == 0, run.stdout
    assert tries > 30


def test_docstrings_name_no_file_of_the_repository() -> None:
    root = Path(slugline.__file__).parent
    texts = {path: path.read_text("utf-8") for path in root.rglob("*.py")}
    assert [str(path) for path, text in texts.items() if re.search('>>>.*"examples/', text)] == []
