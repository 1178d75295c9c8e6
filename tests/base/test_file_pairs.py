"""Which files are answered, and what their answers are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from slugline.errors import DataError, OptionError
from slugline.prediction.file_pairs import pair_files

OUT = Path("out")


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files in the folders in/1 and in/2."""
    monkeypatch.chdir(tmp_path)
    for name in ("in/1/a.csv", "in/1/b.csv", "in/2/a.csv", "in/2/deep/c.csv", "in/1/folder/x"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("text\n")


@pytest.mark.parametrize(
    ("name", "form", "to", "expected"),
    [
        ("a.csv", None, None, "a.csv"),
        ("A.TSV", None, None, "A.TSV"),
        ("a.ndjson", None, None, "a.ndjson"),
        ("a.parquet", None, None, "a.parquet"),
        ("a.b.json", None, None, "a.b.jsonl"),
        ("a.txt", None, None, "a.jsonl"),
        ("a.xlsx", None, None, "a.xlsx"),
        ("a.csv.gz", None, "xlsx", "a.xlsx"),
        ("a.csv.gz", None, None, "a.csv.gz"),
        ("a.txt.gz", None, None, "a.jsonl.gz"),
        ("a.csv.gz", None, "parquet", "a.parquet"),
        ("a.csv", None, "jsonl", "a.jsonl"),
        ("a.log", "txt", None, "a.log.jsonl"),
        ("a.txt", "csv", None, "a.csv"),
        ("a.log", None, None, "a.log.jsonl"),
    ],
)
def test_file_pairs_name_answers_after_their_file(
    name: str, form: str | None, to: str | None, expected: str
) -> None:
    Path(name).write_text("text\n")
    assert [pair.name for pair in pair_files([name], OUT, form, to)] == [expected]


def test_file_pairs_keep_the_folders_that_a_pattern_matches() -> None:
    pairs = pair_files(["in/*/a.csv", "in/**/c.csv", "in/1/b.csv"], OUT)

    assert [(pair.source, pair.name) for pair in pairs] == [
        ("in/1/a.csv", "1/a.csv"),
        ("in/2/a.csv", "2/a.csv"),
        ("in/2/deep/c.csv", "2/deep/c.csv"),
        ("in/1/b.csv", "b.csv"),
    ]
    assert pairs[0].size == 5
    assert pairs[0].modification_time == Path("in/1/a.csv").stat().st_mtime_ns


def test_file_pairs_skip_folders_that_match_a_pattern() -> None:
    assert [pair.name for pair in pair_files(["in/1/*"], OUT)] == ["a.csv", "b.csv"]
    with pytest.raises(DataError, match=r"^no file matches in/\*, only folders; check"):
        pair_files(["in/*"], OUT)


@pytest.mark.parametrize(
    ("sources", "error", "message"),
    [
        (
            ["in/1/a.csv", "in/2/a.csv"],
            OptionError,
            "answers to in/1/a.csv and in/2/a.csv would both be out/a.csv; rename these files, "
            "or pass one quoted pattern, such as 'in/*/*.csv'.",
        ),
        (["in/1"], OptionError, "in/1 is a folder; pass its files, such as 'in/1/*.csv'."),
        (["in/1/aa.csv"], DataError, "in/1/aa.csv doesn't exist; check the path."),
        (["in/*.txt"], DataError, "no file matches in/*.txt; check the pattern and the folder."),
        (
            ["-"],
            OptionError,
            "standard input has no file name to use in an output folder; "
            "save it to a file, or choose an output file with `output`.",
        ),
    ],
    ids=["two of one name", "folder", "no such file", "empty pattern", "standard input"],
)
def test_file_pairs_reject_impossible_names(
    sources: list[str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as found:
        pair_files(sources, OUT)
    assert str(found.value) == message


def test_file_pairs_reject_files_in_the_folder_of_answers() -> None:
    message = "in/1/a.csv is inside the output folder in/1; choose another output folder."
    with pytest.raises(OptionError) as found:
        pair_files(["in/1/*.csv"], Path("in/1"))
    assert str(found.value) == message
    Path("link").symlink_to("in")
    with pytest.raises(OptionError, match=r"^in/2/a.csv is inside the output folder link;"):
        pair_files(["in/2/*.csv"], Path("link"))
