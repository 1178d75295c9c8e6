"""Sizes of files as people write them."""

from __future__ import annotations

import pytest

from slugline.cli.options import read_size
from slugline.errors import OptionError

pytestmark = pytest.mark.slow

SIZES = {
    "5MB": 5_000_000,
    "1.5 MB": 1_500_000,
    "500kB": 500_000,
    "500 KB": 500_000,
    "2000000": 2_000_000,
    "12b": 12,
    "0.3gb": 300_000_000,
    " 5MB ": 5_000_000,
    "1.2345kB": 1234,
    "999999999GB": 999_999_999_000_000_000,
}


@pytest.mark.parametrize(("size", "n_bytes"), SIZES.items(), ids=SIZES)
def test_a_size_is_a_number_and_perhaps_a_decimal_unit(size: str, n_bytes: int) -> None:
    assert read_size("--max-size", size) == n_bytes


NO_SIZES = ["", "MB", "0", "0.4", "-5MB", "5MiB", "5 M", "5,5MB", "1e6", "5MBs", "٥MB", "5  MB"]


@pytest.mark.parametrize("size", [*NO_SIZES, "9" * 10, "9" * 5000], ids=lambda size: size[:12])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(OptionError) as caught:
        read_size("--max-size", size + ("GB" if size.startswith("9") else ""))
    assert str(caught.value).startswith("--max-size is '")
    assert str(caught.value).endswith(
        "'; give a number of bytes, kB, MB or GB, such as 2000000, 500kB or 1.5MB."
    )
