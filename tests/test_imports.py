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


# What a fresh interpreter loads -----------------------------------------------------------------


def loaded_by(code: str) -> set[str]:
    """Run `code` in a fresh interpreter; give the names of all modules that it loaded."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def test_importing_slugline_loads_nothing_heavy() -> None:
    heavy = {"numpy", "scipy", "sklearn", "matplotlib", "duckdb", "typer", "rich", "requests"}
    assert packages(loaded_by("import slugline")) & heavy == set()


PREDICT = """
import numpy as np
from slugline.layers import Dense
from slugline.learners.network import Network
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
    assert packages(modules) & {"sklearn", "matplotlib", "duckdb", "rich", "typer"} == set()
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
    heavy = {"sklearn", "matplotlib", "duckdb", "requests", "rich", "threadpoolctl", "jinja2"}
    assert packages(modules) & heavy == set()
    assert {
        "slugline.cli.train",
        "slugline.cli.reproduce",
        "slugline.corpus.loading",
    } & modules == set()


def test_learning_from_a_stream_on_this_machine_loads_no_dask(news_csv: Path) -> None:
    modules = loaded_by(
        "import sys\n"
        "from slugline.cli import main\n"
        f"sys.argv = ['slugline', 'train', '--stream', '-q', {str(news_csv)!r}]\n"
        f"sys.argv += ['-o', {str(news_csv.with_name('model.slug'))!r}]\n"
        "try: main()\n"
        "except SystemExit: pass"
    )
    assert packages(modules) & {"dask", "distributed", "sklearn", "matplotlib", "duckdb"} == set()
    assert "slugline.scale.fitting" in modules


def test_a_folder_of_answers_loads_no_cluster_and_nothing_to_train_with(
    news_slug: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("text\nwheat\n")
    given = f"{str(news_slug)!r}, ['{tmp_path}/*.csv'], '{tmp_path}/out'"
    modules = loaded_by(f"from slugline.scale import predict_files\npredict_files({given})")
    heavy = {"dask", "distributed", "pandas", "sklearn", "matplotlib", "duckdb", "rich", "typer"}
    assert packages(modules) & heavy == set()
    assert [name for name in modules if name.startswith("slugline.training")] == []


def test_the_errors_load_no_scikit_learn_before_one_of_them_needs_it() -> None:
    assert "sklearn" not in loaded_by("from slugline.errors import DataError, SluglineError")


# Arrows -----------------------------------------------------------------------------------------

#: The whole house: each part may import those below it, and nothing else.
PLAN = """
    __main__ cli mcp server
    served report compare curve suggest
    corrections audit experiment
    classifier estimator exporters
    scale answer_target answer_parquet answer_file prediction answers
    saving explain routing
    fitting judging fitted thresholds document_parts fit_settings tuning lesson
    learners training corpus text reuters layers
    encoders sample_weights stream_record documents calibration trend evaluation splits
    labels term_weights sparse ragged plots progress cache databases files locks marks displays
    threads kernels checks errors lazy _version
"""
PARTS = tuple(PLAN.split())
FRONT_DOORS = {"__main__", "cli", "mcp", "server"}
SOURCES = sorted(ROOT.rglob("*.py"))
MODULES = {
    ".".join(("slugline", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__")
    for path in SOURCES
}


def part_of(path: Path) -> str:
    """Name the part of the house that a source file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(node: ast.AST) -> Iterator[str]:
    """Name the modules imported in `node`, functions and types included."""
    for child in ast.walk(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, "relative imports would go unseen here"
            names = [f"{child.module}.{alias.name}" for alias in child.names]
            # "from slugline import reuters" imports slugline.reuters.
            yield from (name if name in MODULES else str(child.module) for name in names)


def imported_by(path: Path) -> set[str]:
    return set(imports(ast.parse(path.read_text("utf-8"))))


HOUSE = [path for path in SOURCES if part_of(path) != "__init__"]


def test_every_part_of_the_house_has_its_place() -> None:
    assert {part_of(path) for path in HOUSE} == set(PARTS)


@pytest.mark.parametrize("path", HOUSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_arrows_point_down(path: Path) -> None:
    part = part_of(path)
    imported = {name.split(".")[1] for name in imported_by(path) if name.startswith("slugline.")}
    below = PARTS[PARTS.index(part) :]
    assert imported - set(below) == set()


@pytest.mark.parametrize("path", HOUSE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_knows_nothing_of_its_front_doors(path: Path) -> None:
    front = {"typer", "click", "argparse", "starlette", "uvicorn", "mcp"}
    assert part_of(path) in FRONT_DOORS or not packages(imported_by(path)) & front


def test_files_import_one_another_in_no_circle() -> None:
    arrows = {}
    for path in SOURCES:
        name = ".".join(("slugline", *path.relative_to(ROOT).with_suffix("").parts))
        # A package gives names of its files: those who import it from outside want these.
        arrows[name.removesuffix(".__init__")] = imported_by(path) & MODULES
    TopologicalSorter(arrows).prepare()  # CycleError if there is one


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_is_longer_than_can_be_read_at_once(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 450


# Public names -----------------------------------------------------------------------------------


def test_the_public_names_are_all_there() -> None:
    for name in slugline.__all__:
        assert getattr(slugline, name) is not None
    with pytest.raises(AttributeError, match="module 'slugline' has no attribute 'Nothing'"):
        slugline.Nothing  # noqa: B018


@pytest.mark.parametrize(
    "path", [p for p in HOUSE if part_of(p) != "cli"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_function_has_more_parameters_than_can_be_kept_in_mind(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef):
            given = node.args
            names = [a.arg for a in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            assert len([n for n in names if n not in ("self", "cls")]) <= 8, node.name
