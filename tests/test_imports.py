"""What imports what: a light front, predicting without training, and arrows that go one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import slugline
from slugline.classifier import TopicClassifier

ROOT = Path(slugline.__file__).parent
FRONT_DOORS = {"cli", "server", "__main__"}


# What a fresh interpreter loads -----------------------------------------------------------------


def loaded_by(code: str) -> set[str]:
    """Run `code` in a fresh interpreter; give the names of all modules that it loaded."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_importing_slugline_loads_nothing_heavy() -> None:
    heavy = {"numpy", "scipy", "sklearn", "matplotlib", "polars", "typer", "rich", "requests"}
    assert packages(loaded_by("import slugline")) & heavy == set()


PREDICT = """
import numpy as np
from slugline.learners.network import Dense, Network
net = Network([Dense(3, "relu"), Dense(2, "softmax")])
net.weights = [np.ones(shape, dtype=np.float32) for shape in [(4, 3), (3,), (3, 2), (2,)]]
net.predict(np.eye(4))
"""


@pytest.mark.parametrize(
    "code", ["import slugline.learners.network", PREDICT], ids=["import", "predict"]
)
def test_predicting_loads_neither_training_nor_scikit_learn_nor_plotting(code: str) -> None:
    modules = loaded_by(code)
    assert packages(modules) & {"sklearn", "matplotlib", "threadpoolctl", "rich", "typer"} == set()
    assert [name for name in modules if name.startswith("slugline.training")] == []


@pytest.mark.parametrize("learner", ["network", "linear"])
def test_a_saved_model_predicts_without_training_scikit_learn_or_plotting(
    learner: str, news: list[tuple[str, str]], tmp_path: Path
) -> None:
    texts, topics = zip(*news, strict=True)
    path = tmp_path / "news.slug"
    TopicClassifier(learner=learner).fit(texts, topics).save(path)
    modules = loaded_by(
        f"from slugline.classifier import load\nload({str(path)!r}).predict_proba(['wheat'])"
    )
    assert packages(modules) & {"sklearn", "matplotlib", "polars", "rich", "typer"} == set()
    assert [name for name in modules if name.startswith("slugline.training")] == []


def test_a_command_line_that_predicts_loads_no_other_command_and_nothing_to_train_with() -> None:
    modules = loaded_by(
        "import io, sys\n"
        "from slugline.cli import main\n"
        "sys.argv = ['slugline', 'predict', '-q']\n"
        "sys.stdin = io.TextIOWrapper(io.BytesIO(b'wheat'))\n"
        "try: main()\n"
        "except SystemExit: pass"
    )
    heavy = {"sklearn", "matplotlib", "polars", "requests", "rich", "threadpoolctl", "jinja2"}
    assert packages(modules) & heavy == set()
    assert {"slugline.cli.train", "slugline.cli.reproduce", "slugline.corpus"} & modules == set()


def test_the_errors_load_no_scikit_learn_before_one_of_them_needs_it() -> None:
    assert "sklearn" not in loaded_by("from slugline.errors import DataError, SluglineError")


# Arrows -----------------------------------------------------------------------------------------


def part_of(path: Path) -> str:
    """Name the part of the house that a source file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


SOURCES = sorted(ROOT.rglob("*.py"))
PARTS = {part_of(path) for path in SOURCES} - {"__init__"}


def is_for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(node: ast.AST, at_top: bool) -> Iterator[str]:
    """Name the modules imported in `node`; if `at_top`, only by what runs on import."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, "relative imports would go unseen here"
            # "from slugline import reuters" imports slugline.reuters.
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif not (at_top and (isinstance(child, ast.FunctionDef) or is_for_types_only(child))):
            yield from imports(child, at_top)


def parts_imported(path: Path, at_top: bool) -> set[str]:
    names = [name.split(".") for name in imports(ast.parse(path.read_text("utf-8")), at_top)]
    return {name[1] for name in names if name[0] == "slugline" and name[1] in PARTS}


LIBRARY = [path for path in SOURCES if part_of(path) not in FRONT_DOORS]


@pytest.mark.parametrize("path", LIBRARY, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_knows_nothing_of_its_front_doors(path: Path) -> None:
    assert parts_imported(path, at_top=False) & FRONT_DOORS == set()
    names = set(imports(ast.parse(path.read_text("utf-8")), at_top=False))
    assert packages(names) & {"typer", "click", "argparse", "fastapi", "uvicorn"} == set()


def test_arrows_between_the_parts_of_the_house_make_no_circle() -> None:
    arrows = {part: set[str]() for part in PARTS}
    for path in SOURCES:
        if part_of(path) in PARTS:
            arrows[part_of(path)] |= parts_imported(path, at_top=True) - {part_of(path)}
    TopologicalSorter(arrows).prepare()  # CycleError if there is one
