"""The examples run from end to end."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from slugline.prediction.model_copy import ModelCopy

ROOT = Path(__file__).parent.parent
LESSON = ROOT / "docs" / "tutorials" / "newswires.ipynb"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name
)
def test_examples_import_names_that_exist(path: Path) -> None:
    lines = re.findall(r"^from slugline\S* import [^(\n]+$", path.read_text("utf-8"), re.MULTILINE)
    for line in lines:
        exec(line, {})  # noqa: S102 - our own examples


@pytest.mark.parametrize("name", ["spark_predict.py", "ray_predict.py"])
def test_examples_for_other_engines_call_methods_that_exist(name: str) -> None:
    methods = re.findall(r"ModelCopy\.(\w+)\(", (ROOT / "examples" / name).read_text("utf-8"))
    assert methods
    assert all(hasattr(ModelCopy, method) for method in methods)


def read_notebook() -> nbformat.NotebookNode:
    return nbformat.read(LESSON, as_version=4)


def run_notebook(notebook: nbformat.NotebookNode, tmp_path: Path) -> None:
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": tmp_path}}).execute()


def output_of(notebook: nbformat.NotebookNode, source: str) -> str:
    cell = next(cell for cell in notebook.cells if source in cell.source)
    return "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "")
        for output in cell.outputs
    )


@pytest.mark.slow
@pytest.mark.reuters
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_lesson_notebook_runs_on_reuters(reuters_data: Path, tmp_path: Path) -> None:
    notebook = read_notebook()
    # Networks are trained on BBC News below, and on Reuters when the site is built with the data.
    end = next(i for i, c in enumerate(notebook.cells) if c.source.startswith("## Where it over"))
    baselines = next(cell for cell in notebook.cells if "majority_baseline(" in cell.source)
    notebook.cells = [*notebook.cells[:end], baselines]
    run_notebook(notebook, tmp_path)
    assert output_of(notebook, "len(train_data), len(test_data)") == "(8982, 2246, 46)"
    assert "0.362" in output_of(notebook, "majority_baseline(")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_lesson_notebook_runs_on_bbc_where_reuters_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # A proxy on a closed port makes every download fail at once.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    for name in ("SLUGLINE_DATA", "SLUGLINE_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    notebook = read_notebook()
    run_notebook(notebook, tmp_path)
    assert output_of(notebook, "len(train_data), len(test_data)") == "(1780, 445, 5)"
    assert "Accuracy by epoch, on training and validation documents" in str(notebook.cells)
