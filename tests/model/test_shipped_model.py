"""The model in the package: what it knows, what its card says, and that it can be made again."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

import slugline
from slugline import reuters
from slugline.base.files import file_sha256
from slugline.classifier import TopicClassifier
from slugline.errors import ModelFileError
from slugline.model.file.content import library_versions
from slugline.model.file.shipped import DEFAULT_MODEL, SHIPPED, model_path

pytestmark = pytest.mark.slow

TOOL = Path(__file__).parents[2] / "tools" / "train_reuters46.py"

# Written for this test.
WIRES = {
    "Wheat and maize exports fell as drought cut the harvest, the farm ministry said": "grain",
    "OPEC will raise its crude oil output by one mln barrels per day": "crude",
    "A mining company found gold ore with half an ounce of gold per ton": "gold",
    "Oct 31 year. Shr 1.20 dlrs vs 95 cts, net 4.1 mln vs 3.2 mln": "earn",
    "Widget Inc said it agreed to acquire all shares of Gadget Corp for cash": "acq",
    "The central bank cut its discount rate by half a point": "interest",
    "Coffee growers fear that frost in Brazil will spoil the coffee crop": "coffee",
    "The cocoa council failed to agree on buffer stock rules": "cocoa",
}


@pytest.fixture(scope="module")
def model() -> TopicClassifier:
    """Load the model that answers where none is named."""
    return slugline.load(DEFAULT_MODEL)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_models_exist_and_are_small(name: str) -> None:
    assert Path(model_path(name)).stat().st_size < 2_000_000
    assert slugline.load(name).info_.weight_type == "int8"


def test_shipped_model_knows_the_topics_of_reuters(model: TopicClassifier) -> None:
    assert sorted(model.classes_.tolist()) == sorted(reuters.topic_names())


@pytest.mark.parametrize(("wire", "topic"), WIRES.items(), ids=WIRES.values())
def test_shipped_model_predicts_plain_wires_right(
    model: TopicClassifier, wire: str, topic: str
) -> None:
    assert model.predict([wire]).tolist() == [topic]


def test_card_of_the_shipped_model_tells_origin_limits_and_licence(model: TopicClassifier) -> None:
    card = model.card_
    for title in ("What it learned from", "What it is not for", "Licence of the data", "Figures"):
        assert f"\n## {title}\n" in card
    assert "from 8,982 documents" in card
    assert "English business news of 1987" in card
    assert '"Reuters-21578, Distribution 1.0"' in card
    assert f"- test accuracy: {model.info_.metrics['test_accuracy']:.4g}\n" in card
    assert model.info_.metrics["test_accuracy"] > 0.92
    assert model.info_.metrics["test_macro_f1"] > 0.78


@pytest.mark.parametrize("path", ["./reuters46", Path("reuters46")], ids=["str", "Path"])
def test_load_takes_a_path_for_a_file_and_no_name(
    path: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFileError) as caught:
        slugline.load(path)
    assert str(caught.value) == f"{path}: there is no such file; check the path."


def test_load_prefers_a_shipped_name_to_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reuters46").write_text("no model")
    assert len(slugline.load("reuters46").classes_) == 46


@pytest.mark.reuters
def test_train_shipped_reproduces_the_bytes(
    model: TopicClassifier, reuters_data: Path, tmp_path: Path
) -> None:
    if not TOOL.is_file():
        pytest.skip("no tools folder beside the tests")
    if model.info_.versions != library_versions():
        pytest.skip(f"made with {model.info_.versions}; here are {library_versions()}")

    runpy.run_path(str(TOOL))["train"](tmp_path / "again.slug")

    assert file_sha256(tmp_path / "again.slug") == file_sha256(Path(model_path(DEFAULT_MODEL)))
