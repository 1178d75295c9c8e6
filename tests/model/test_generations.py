"""Earlier files of a model beside it, and the way back."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from slugline.classifier import TopicClassifier, load
from slugline.errors import ModelFileError
from slugline.model.file.generations import (
    MAX_EARLIER,
    REPORT_GENERATOR,
    Rollback,
    earlier_files,
    keep_current,
    report_path,
    roll_back,
)

News = list[tuple[str, str]]


@pytest.fixture(scope="module")
def versions(news: News, tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return whole models that differ."""
    path = tmp_path_factory.mktemp("versions") / "m.slug"
    found = []
    for n in range(MAX_EARLIER + 3):
        texts, topics = zip(*news[: 60 + n], strict=True)
        TopicClassifier().fit(texts, topics).save(path)
        found.append(path.read_bytes())
    return found


def replace(path: Path, data: bytes) -> None:
    """Replace a file as models are: by another one that is put in place."""
    keep_current(path)
    part = path.with_name("part")
    part.write_bytes(data)
    part.replace(path)


def test_keep_current_keeps_nothing_before_the_first_model(tmp_path: Path) -> None:
    assert keep_current(tmp_path / "m.slug") is None
    assert earlier_files(tmp_path / "m.slug") == []


@pytest.mark.parametrize("has_links", [True, False])
def test_roll_back_goes_through_the_earlier_files(
    tmp_path: Path, versions: list[bytes], monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    def fail(*_: Any) -> None:
        raise PermissionError(1, "no links here")

    if not has_links:
        monkeypatch.setattr(os, "link", fail)
    path = tmp_path / "m.slug"
    for data in versions:
        replace(path, data)
    n = len(versions)
    assert [kept.name for kept in earlier_files(path)] == [
        f"m.slug.before.{number}" for number in range(1, MAX_EARLIER + 1)
    ]
    assert [kept.read_bytes() for kept in earlier_files(path)] == versions[n - 2 : n - 7 : -1]
    for back in range(1, MAX_EARLIER + 1):
        done = roll_back(path)
        replaced = tmp_path / "m.slug.rolled-back"
        assert done == Rollback(kept_name(path, back), replaced, MAX_EARLIER - back)
        assert path.read_bytes() == versions[n - 1 - back]
        assert done.replaced.read_bytes() == versions[n - back]
        assert load(path).fitted_.n_learned == 60 + n - 1 - back
    with pytest.raises(ModelFileError) as caught:
        roll_back(path)
    assert str(caught.value) == (
        f"{path}: there is no earlier file next to it to restore; `slugline "
        "train --corrections` keeps one."
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.slug", "m.slug.rolled-back"]


def kept_name(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.before.{number}")


def test_roll_back_and_replace_leave_a_whole_model_at_every_moment(
    tmp_path: Path, versions: list[bytes]
) -> None:
    path = tmp_path / "m.slug"
    path.write_bytes(versions[0])
    found: list[bool] = []
    is_over = threading.Event()

    def look() -> None:
        while not is_over.is_set():
            found.append(path.read_bytes() in versions)

    looking = threading.Thread(target=look)
    looking.start()
    for n in itertools.count():
        replace(path, versions[1 + n % 7])
        if n % 3 == 0:
            roll_back(path)
        if n > 60 and len(found) > 10:
            break
    is_over.set()
    looking.join()
    assert all(found)


def test_replace_after_roll_back_keeps_the_newest_file_first(
    tmp_path: Path, versions: list[bytes]
) -> None:
    path = tmp_path / "m.slug"
    for data in versions[:4]:
        replace(path, data)
    roll_back(path)
    replace(path, versions[4])
    assert [kept.read_bytes() for kept in earlier_files(path)] == [
        versions[2],
        versions[1],
        versions[0],
    ]


def test_keep_current_without_a_replacement_adds_no_step(
    tmp_path: Path, versions: list[bytes]
) -> None:
    path = tmp_path / "m.slug"
    replace(path, versions[0])
    replace(path, versions[1])
    keep_current(path)
    keep_current(path)
    assert len(earlier_files(path)) == 2
    roll_back(path)
    assert path.read_bytes() == versions[0]


def test_keep_current_follows_a_link(tmp_path: Path, versions: list[bytes]) -> None:
    path, link = tmp_path / "m.slug", tmp_path / "link.slug"
    path.write_bytes(versions[0])
    link.symlink_to(path)
    keep_current(link)
    assert [kept.name for kept in earlier_files(link)] == ["m.slug.before.1"]
    assert link.is_symlink()


def test_roll_back_updates_the_time_of_the_file(tmp_path: Path, versions: list[bytes]) -> None:
    path = tmp_path / "m.slug"
    replace(path, versions[0])
    os.utime(path, (0, 0))
    replace(path, versions[1])
    roll_back(path)
    assert path.stat().st_mtime > 1e9


def test_roll_back_refuses_a_damaged_file(tmp_path: Path, versions: list[bytes]) -> None:
    path = tmp_path / "m.slug"
    replace(path, versions[0])
    replace(path, versions[1])
    earlier_files(path)[0].write_bytes(versions[0][:1000])
    with pytest.raises(ModelFileError, match=r"m\.slug\.before\.1: not a Slugline model, or trunc"):
        roll_back(path)
    assert path.read_bytes() == versions[1]


def test_roll_back_restores_a_deleted_model(tmp_path: Path, versions: list[bytes]) -> None:
    path = tmp_path / "m.slug"
    with pytest.raises(ModelFileError, match="there is no such file, and there is no earlier file"):
        roll_back(path)
    replace(path, versions[0])
    keep_current(path)
    path.unlink()
    roll_back(path)
    assert path.read_bytes() == versions[0]


def test_roll_back_rejects_the_shipped_model() -> None:
    with pytest.raises(ModelFileError) as caught:
        roll_back("reuters46")
    assert str(caught.value) == (
        "reuters46 is built in and has no earlier version; pass your own model file."
    )


@pytest.mark.parametrize("use", [keep_current, roll_back])
def test_roll_back_and_replace_leave_the_model_if_the_folder_is_read_only(
    tmp_path: Path, versions: list[bytes], monkeypatch: pytest.MonkeyPatch, use: Any
) -> None:
    path = tmp_path / "m.slug"
    for data in versions[:3]:
        replace(path, data)

    def fail(*_: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(ModelFileError, match="Read-only file system"):
        use(path)
    assert path.read_bytes() == versions[2]


# Reports ------------------------------------------------------------------------------------------


def report(number: int) -> str:
    return f'<meta name="generator" content="{REPORT_GENERATOR}"> {number}'


def replace_with_report(path: Path, data: bytes, number: int) -> None:
    replace(path, data)
    part = path.with_name("part")
    part.write_text(report(number))
    part.replace(report_path(path))


def test_roll_back_restores_the_report_of_each_model(tmp_path: Path, versions: list[bytes]) -> None:
    path, page = tmp_path / "m.slug", tmp_path / "m.html"
    for number, data in enumerate(versions):
        replace_with_report(path, data, number)
    last = len(versions) - 1
    for number in range(last - 1, last - 1 - MAX_EARLIER, -1):
        done = roll_back(path)
        assert (done.report, done.replaced_report) == (page, tmp_path / "m.html.rolled-back")
        assert path.read_bytes() == versions[number]
        assert page.read_text() == report(number)
        assert (tmp_path / "m.html.rolled-back").read_text() == report(number + 1)
    names = ["m.html", "m.html.rolled-back", "m.slug", "m.slug.rolled-back"]
    assert sorted(each.name for each in tmp_path.iterdir()) == names


def test_roll_back_moves_a_report_away_if_none_was_kept(
    tmp_path: Path, versions: list[bytes]
) -> None:
    path = tmp_path / "m.slug"
    replace(path, versions[0])
    replace_with_report(path, versions[1], 1)
    done = roll_back(path)
    assert (done.report, done.replaced_report) == (None, tmp_path / "m.html.rolled-back")
    assert not report_path(path).exists()
    assert (tmp_path / "m.html.rolled-back").read_text() == report(1)


def test_roll_back_keeps_reports_beside_their_models_after_a_model_without_one(
    tmp_path: Path, versions: list[bytes]
) -> None:
    path, page = tmp_path / "m.slug", tmp_path / "m.html"
    replace_with_report(path, versions[0], 0)
    replace_with_report(path, versions[1], 1)
    page.unlink()
    replace_with_report(path, versions[2], 2)
    replace_with_report(path, versions[3], 3)
    assert roll_back(path).report == page
    assert page.read_text() == report(2)
    assert roll_back(path).report is None
    assert not page.exists()
    assert roll_back(path).report == page
    assert page.read_text() == report(0)


def test_roll_back_leaves_a_page_of_another_program(tmp_path: Path, versions: list[bytes]) -> None:
    path, page = tmp_path / "m.slug", tmp_path / "m.html"
    page.write_text("<p>Mine")
    replace(path, versions[0])
    replace(path, versions[1])
    done = roll_back(path)
    assert (done.report, done.replaced_report) == (None, None)
    assert page.read_text() == "<p>Mine"
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        *("m.html", "m.slug", "m.slug.rolled-back")
    ]
