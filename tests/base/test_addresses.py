"""Addresses are refused with advice and without credentials."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.base.files import whole_file, write_result
from slugline.base.names import (
    check_is_no_address,
    check_is_no_output_address,
    describe_address,
    expand_patterns,
)
from slugline.corpus.readers import read_rows
from slugline.errors import DataError, ModelFileError, OptionError
from slugline.model.file.content import load_model

DATABASE = "is the address of a database; export its texts as CSV with a query, and give that file."


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("postgresql://anna:p@ss@db.example/tickets", f"postgresql://db.example {DATABASE}"),
        ("jdbc:mysql://db:3306/x?password=p", f"mysql://db:3306 {DATABASE}"),
        ("postgres:/anna:p/ss@db/x", f"postgres://db {DATABASE}"),
        (
            "https://docs.google.com/spreadsheets/d/1?key=secret",
            "https://docs.google.com/spreadsheets/d/1 is a web address; choose File, Download, "
            "Comma-separated values (.csv) there, and give the downloaded file.",
        ),
        (
            "https:/a.example/t.csv",
            "https://a.example/t.csv is a web address; download the file, and give its path.",
        ),
        (
            "s3://bucket/t.csv",
            "s3://bucket/t.csv is an address in a remote store; download the file, and give its "
            "path.",
        ),
        (
            "https://a.example/t.csv?mail=anna@example&token=secret",
            "https:// is a web address; download the file, and give its path.",
        ),
        ("postgres://anna:p?ss@db/x", f"postgres:// {DATABASE}"),
        ("file:///a/b.csv", "file:///a/b.csv is an address; give the path of the file, /a/b.csv."),
    ],
)
def test_read_rows_rejects_an_address(source: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        read_rows(source)

    assert str(error.value) == message


def test_check_is_no_address_accepts_paths() -> None:
    for name in ("C:/a.csv", "a:b.csv", "a b://c", "x" * 5000):
        check_is_no_address(name)


@pytest.mark.parametrize("address", ["https://a:secret@b.example/t?n=1", "s3://b/t?key=secret"])
def test_an_address_in_place_of_a_pattern_or_model_is_shown_without_credentials(
    address: str,
) -> None:
    with pytest.raises(DataError) as of_pattern:
        expand_patterns([address])
    with pytest.raises(ModelFileError) as of_model:
        load_model(address)

    assert str(of_pattern.value) == str(of_model.value) == describe_address(address)
    assert "secret" not in str(of_model.value)


SECRET = "postgresql://anna:secret@db.example/tickets.csv"


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "news.csv", "-o", SECRET),
        ("train", "news.csv", "-o", SECRET.replace("//", "/")),
        ("train", "news.csv", "-o", "a.slug", "--report", SECRET),
        ("predict", "news.slug", "news.csv", "-o", SECRET),
        ("predict", "news.slug", "news.csv", "-o", SECRET.removesuffix(".csv")),
        ("count", "news.slug", "news.csv", "-o", SECRET.removesuffix(".csv")),
        ("compare", "news.csv", "-o", SECRET),
        ("reproduce", "--out", SECRET),
        ("audit", "news.csv", "--review", SECRET),
        ("export", "news.slug", "-o", SECRET),
        ("label", "export", "a.labels", "-o", SECRET),
    ],
)
@pytest.mark.usefixtures("news_csv", "news_slug")
def test_commands_reject_an_address_as_output_without_its_password(
    run: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    code, out, err = run(*arguments)

    message = "postgresql://db.example is the address of a database; name a file."
    assert (code, out) == (2, "")
    assert message in err
    assert "secret" not in err


@pytest.mark.usefixtures("run")
def test_whole_file_rejects_an_address() -> None:
    with (
        pytest.raises(OptionError, match=r"^s3://bucket/a is an address in a remote store; name"),
        whole_file("s3://key:secret@bucket/a"),
    ):
        pass
    with pytest.raises(OptionError, match=r"^https://a.example/x is a web address; name a file"):
        write_result(Path("https://a.example/x?token=secret"), b"", "page")
    assert not list(Path().iterdir())


@pytest.mark.usefixtures("run")
def test_check_is_no_output_address_accepts_a_file_in_an_existing_folder() -> None:
    Path("s3:").mkdir()
    for name in ("s3:/a.csv", "C:/a.csv", "a.csv"):
        check_is_no_output_address(name)
