"""Addresses are refused with advice and without credentials."""

from __future__ import annotations

import pytest

from slugline.base.addresses import check_is_no_address, describe_address
from slugline.base.names import expand_patterns
from slugline.corpus.readers import read_rows
from slugline.errors import DataError, ModelFileError
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
