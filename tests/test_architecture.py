"""The rules of the architecture: what may import what."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

import pytest

import slugline
from fitting_modules import FITTING
from slugline.classifier import TopicClassifier

ROOT = Path(slugline.__file__).parent


# What a fresh interpreter loads -----------------------------------------------------------------


def loaded_by(code: str) -> set[str]:
    """Return the names of all modules that a fresh interpreter has loaded after `code`."""
    command = [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, check=True, text=True).stdout.split())


def packages(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


HEAVY = {"sklearn", "duckdb", "requests", "rich", "threadpoolctl", "jinja2", "dask"}


def test_fitting_modules_exist() -> None:
    assert FITTING - MODULES.keys() == set()


def test_import_of_slugline_loads_nothing_heavy() -> None:
    modules = loaded_by("import slugline")
    assert packages(modules) & {*HEAVY, "numpy", "scipy", "click"} == set()


HELP = """
import contextlib, io, sys
from slugline.cli import main
sys.argv = ["slugline", "--help"]
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main()
"""


def test_help_loads_no_numpy() -> None:
    assert packages(loaded_by(HELP)) & {*HEAVY, "numpy", "scipy"} == set()


PREDICT = """
import numpy as np
from slugline.learning.net.layers import Dense
from slugline.learning.net.network import Network
net = Network([Dense(3, "relu"), Dense(2, "softmax")])
net.weights = [np.ones(shape, dtype=np.float32) for shape in [(4, 3), (3,), (3, 2), (2,)]]
net.predict(np.eye(4))
"""


def test_network_predicts_without_modules_that_train_or_draw() -> None:
    modules = loaded_by(PREDICT)
    assert packages(modules) & {*HEAVY, "click"} == set()
    assert modules & FITTING == set()


PREDICT_FOLDER = """
from slugline.prediction import predict_files
predict_files({model!r}, ['{folder}/*.csv'], '{folder}/out')
"""


def test_predict_folder_loads_no_cluster_and_no_module_that_fits(
    news_slug: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("text\nwheat\n")
    modules = loaded_by(PREDICT_FOLDER.format(model=str(news_slug), folder=tmp_path))
    assert packages(modules) & {*HEAVY, "distributed", "pandas", "click"} == set()
    assert modules & FITTING == set()


@pytest.mark.parametrize("learner", ["network", "linear"])
def test_saved_model_predicts_without_modules_that_train_or_draw(
    learner: Any, news: list[tuple[str, str]], tmp_path: Path
) -> None:
    texts, topics = zip(*news, strict=True)
    path = tmp_path / "news.slug"
    TopicClassifier(learner=learner).fit(texts, topics).save(path)
    modules = loaded_by(
        f"from slugline.classifier import load\nload({str(path)!r}).predict_proba(['wheat'])"
    )
    assert packages(modules) & {*HEAVY, "click"} == set()
    assert modules & FITTING == set()


PREDICT_COMMAND = """
import io, sys
from slugline.cli import main
sys.argv = ['slugline', 'predict']
sys.stdin = io.TextIOWrapper(io.BytesIO(b'wheat'))
try: main()
except SystemExit: pass
"""


# Modules that answers to lines of text don't need: of other commands, of files, of metrics.
OTHERS = {
    *("slugline.cli.train", "slugline.cli.reproduce", "slugline.prediction.job"),
    *("slugline.cli.output_paths", "slugline.corpus.loading", "slugline.learning.net.learner"),
    *("slugline.corpus.excel", "slugline.corpus.excel_copy"),
    *("slugline.prediction.files", "slugline.base.databases", "slugline.evaluation.evaluation"),
    *("slugline.cli.documents", "slugline.corpus.corpus", "slugline.corpus.topics"),
    *("slugline.corpus.folders", "slugline.corpus.parquet"),
    *("slugline.model.file.card", "slugline.model.promise"),
    "slugline.learning.encoder.registry",
}
# Modules of the libraries that take a millisecond or more to import.
SLOW = {
    *("concurrent.futures", "difflib", "email", "hashlib", "html", "http", "importlib.metadata"),
    *("importlib.resources", "json", "logging", "numpy.ma", "secrets", "sqlite3", "ssl", "xml"),
}


def test_predict_command_loads_nothing_that_lines_of_text_do_not_need() -> None:
    modules = loaded_by(PREDICT_COMMAND)
    assert packages(modules) & {*HEAVY, "scipy", "typer", "pydantic"} == set()
    assert modules & (FITTING | OTHERS | SLOW) == set()


def test_modules_that_predict_does_not_load_exist() -> None:
    assert OTHERS - MODULES.keys() == set()


STREAM = """
import sys
from slugline.cli import main
sys.argv = ['slugline', 'train', '--stream', '-q', {data!r}, '-o', {model!r}]
try: main()
except SystemExit: pass
"""


def test_fit_stream_on_one_machine_loads_no_dask(news_csv: Path, tmp_path: Path) -> None:
    code = STREAM.format(data=str(news_csv), model=str(tmp_path / "model.slug"))
    modules = loaded_by(code)
    assert packages(modules) & {"dask", "distributed", "sklearn", "duckdb"} == set()
    assert "slugline.model.parts.fit" in modules
    assert "slugline.cli.train_corrections" not in modules


def test_errors_load_no_scikit_learn_before_use() -> None:
    assert "sklearn" not in loaded_by("from slugline.errors import DataError, SluglineError")


# Imports ----------------------------------------------------------------------------------------

#: Each may import those below it, and nothing else.
ORDER = (
    *("__main__", "cli", "api", "serving", "reports", "counting", "corrections", "labels"),
    *("comparison", "experiment", "classifier", "exporting", "explanation"),
    *("auditing", "prediction", "model", "learning", "text", "evaluation", "corpus", "reuters"),
    *("base", "errors", "_version"),
)
COMMAND_LINE_AND_HTTP = {"__main__", "cli", "serving"}
SOURCES = sorted(path for path in ROOT.rglob("*.py") if path.stat().st_size)


def module_name(path: Path) -> str:
    parts = ("slugline", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in SOURCES}


def top_level(path: Path) -> str:
    """Return the package or module at the top level that a source file belongs to."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_names(node: ast.AST) -> Iterator[str]:
    """Yield the modules imported in `node`, in functions and for types as well."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield from imported_names(child)
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert not child.level, "relative imports would go unseen here"
            names = [f"{child.module}.{alias.name}" for alias in child.names]
            # "from slugline import reuters" imports slugline.reuters.
            yield from (name if name in MODULES else str(child.module) for name in names)


@functools.cache
def imports(path: Path) -> set[str]:
    """Return the modules that a source file imports."""
    return set(imported_names(parse(path)))


@functools.cache
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


INSIDE = [path for path in SOURCES if top_level(path) != "__init__"]


def by_path(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_top_level_is_listed_in_the_order() -> None:
    names = {top_level(path) for path in INSIDE}
    assert names == set(ORDER)


def test_imports_point_down_the_list() -> None:
    for path in INSIDE:
        imported = {name.split(".")[1] for name in imports(path) if name.startswith("slugline.")}
        above = imported - set(ORDER[ORDER.index(top_level(path)) :])
        assert above == set(), by_path(path)


def test_library_does_not_import_the_command_line_or_http() -> None:
    front = {"click", "argparse", "starlette", "granian", "mcp"}
    for path in INSIDE:
        is_front = top_level(path) in COMMAND_LINE_AND_HTTP
        assert is_front or not packages(imports(path)) & front, by_path(path)


# Folders of `serving/`, and the others that each may import. All may import the modules beside them
# (the service and its types), which know none of the folders.
SERVING_FOLDERS: dict[str, set[str]] = {
    "server": {"http", "page", "web"},
    "labelling": {"server", "web"},
    "http": {"web"},
    "page": {"web"},
    "web": set(),
    "mcp": set(),
    "": set(),
}
SERVING = [path for path in SOURCES if path.is_relative_to(ROOT / "serving")]


def serving_folder(module: str) -> str:
    """Return the folder of `serving/` that holds a module; "" for the modules beside them."""
    parts = module.split(".")
    return parts[2] if len(parts) > 2 and parts[2] in SERVING_FOLDERS else ""


def test_serving_folders_import_the_service_and_not_each_other() -> None:
    for path in SERVING:
        folder = serving_folder(module_name(path))
        imported = {
            serving_folder(name) for name in imports(path) if name.startswith("slugline.serving.")
        }
        assert imported - SERVING_FOLDERS[folder] <= {folder, ""}, by_path(path)


def test_service_imports_no_protocol() -> None:
    protocols = {"starlette", "granian", "mcp", "mcp_types", "anyio"}
    service = [path for path in SERVING if path.parent.name == "serving"]
    assert service
    for path in service:
        assert packages(imports(path)) & protocols == set(), by_path(path)


def test_modules_do_not_import_each_other() -> None:
    arrows = {module_name(path): imports(path) & MODULES.keys() for path in SOURCES}
    TopologicalSorter(arrows).prepare()  # CycleError if there is a circle


# Names ------------------------------------------------------------------------------------------


def test_public_classes_have_different_names() -> None:
    names = Counter(
        node.name
        for path in SOURCES
        for node in parse(path).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, n in names.items() if n > 1] == []


# Public names -----------------------------------------------------------------------------------


def test_public_names_exist() -> None:
    for name in slugline.__all__:
        assert getattr(slugline, name) is not None
    with pytest.raises(AttributeError, match="module 'slugline' has no attribute 'Nothing'"):
        slugline.Nothing  # noqa: B018
