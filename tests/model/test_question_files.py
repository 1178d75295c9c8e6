"""Model files that answer several questions, also damaged ones."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import TopicClassifier
from slugline.errors import ModelFileError, OptionError
from slugline.model.file import container
from slugline.model.file.content import load_questions, to_model_file
from slugline.model.file.schema import ModelFile

Entries = dict[str, bytes]

TEXTS = ["wheat and corn rose", "net profit fell"] * 5


@pytest.fixture(scope="module")
def model() -> ModelFile:
    """Return the content of a small model."""
    return to_model_file(TopicClassifier().fit(TEXTS, ["grain", "earn"] * 5).fitted_)


def rewrite(path: Path, change: Callable[[Entries], object]) -> None:
    """Change the entries of an archive."""
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)


def test_questions_keep_their_order_and_names(tmp_path: Path, model: ModelFile) -> None:
    path = tmp_path / "desk.slug"
    names = ["Queue", "Ärger / Laune", "a:b.slug:c"]
    container.write_questions(path, dict.fromkeys(names, model))
    models = load_questions(path)
    assert list(models) == names
    for name in names:
        assert container.read(f"{path}:{name}").info == model.info
    before = path.read_bytes()
    container.write_questions(path, dict.fromkeys(names, model))
    assert path.read_bytes() == before


def test_a_model_of_one_question_has_no_name(tmp_path: Path, model: ModelFile) -> None:
    container.write(tmp_path / "one.slug", model)
    assert list(load_questions(tmp_path / "one.slug")) == [""]


def test_too_many_questions_are_refused(tmp_path: Path, model: ModelFile) -> None:
    names = map(str, range(container.MAX_QUESTIONS + 1))
    with pytest.raises(OptionError, match="answers 1 to 32 questions, and these are 33; add or"):
        container.write_questions(tmp_path / "desk.slug", dict.fromkeys(names, model))
    assert not (tmp_path / "desk.slug").exists()


@pytest.mark.parametrize("names", [[], [""], ["queue", "a\ud800"], [3]])
def test_odd_names_are_refused(tmp_path: Path, model: ModelFile, names: list[Any]) -> None:
    with pytest.raises(OptionError):
        container.write_questions(tmp_path / "desk.slug", dict.fromkeys(names, model))
    assert not (tmp_path / "desk.slug").exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda entries: entries.pop("2/card.md"), "contains 8 entries, not only"),
        (lambda entries: entries.update({"3/model.json": b"{}"}), "contains 10 entries, not only"),
        (lambda entries: entries.update({"model.json": b"{}"}), "contains 10 entries, not only"),
        (lambda entries: entries.update({"questions.json": b"[]"}), "questions.json is invalid"),
        (
            lambda entries: entries.update({"questions.json": b'["a", "a"]'}),
            "questions.json is invalid",
        ),
        (
            lambda entries: entries.update({"questions.json": b'["a", ""]'}),
            "questions.json is invalid",
        ),
        (
            lambda entries: entries.update(
                {"questions.json": json.dumps([*map(str, range(33))]).encode()}
            ),
            "questions.json is invalid",
        ),
        (lambda entries: entries.update({"questions.json": b"{"}), "damaged"),
        (lambda entries: entries.update({"questions.json": b"[1, 2]"}), "damaged"),
        (
            lambda entries: entries.update({"questions.json": b"[" * 1_000_000}),
            "questions.json claims to unpack|damaged",
        ),
        (lambda entries: entries.update({"1/weights.safetensors": b"x" * 9}), "damaged|claims"),
    ],
)
def test_damaged_files_are_refused(
    tmp_path: Path, model: ModelFile, change: Callable[[Entries], object], error: str
) -> None:
    path = tmp_path / "desk.slug"
    container.write_questions(path, {"queue": model, "mood": model})
    rewrite(path, change)
    with pytest.raises(ModelFileError, match=error) as found:
        load_questions(path)
    assert str(found.value).startswith(str(path))
