"""Columns beside the text: kinds, terms, and rows."""

from __future__ import annotations

import pickle
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from slugline.corpus.documents import RowText, compute_digest
from slugline.errors import DataError, OptionError
from slugline.text.feature_groups import FeatureGroup, add_columns_group, default_feature_groups
from slugline.text.features import Features
from slugline.text.table_columns import (
    MAX_COLUMNS,
    TableColumn,
    check_column_names,
    describe_odd_cells,
    learn_columns,
    odd_cells_note,
)


def texts_with(name: str, cells: list[Any]) -> list[RowText]:
    return [RowText("a text", {name: cell}) for cell in cells]


def learned(cells: list[Any]) -> TableColumn:
    """Return the column of cells that tell their topics."""
    cells = sorted(cells, key=str)
    topics = ["high" if place > len(cells) / 2 else "low" for place in range(len(cells))]
    return learn_columns(texts_with("it", cells), topics, ["it"])[0]


def test_row_text_keeps_its_cells_when_pickled() -> None:
    text = pickle.loads(pickle.dumps(RowText("stuck", {"product": "Card"})))
    assert (text, type(text), text.columns) == ("stuck", RowText, {"product": "Card"})


def test_learn_columns_distinguishes_words_numbers_and_dates() -> None:
    assert learned(["Card", "Loan", None] * 20).kind == "words"
    dates = ["2026-03-02", "02.03.2026 14:30", "Mon, 2 Mar 2026 15:30:00 +0000", "2026-04-05"]
    assert learned(dates * 20).kind == "date"
    assert learned([datetime(2026, month, 2) for month in range(1, 13)] * 5).kind == "date"
    assert learned([str(number / 4) for number in range(100)]).kind == "number"
    # Few distinct numbers are names, and so are ones among many words.
    assert learned([1, 2, 3.0] * 40).kind == "words"
    assert learned([*[1, 2] * 35, *["none known"] * 30]).kind == "words"


def test_learn_columns_bins_numbers_at_quantiles() -> None:
    column = learned([f"{number}.5" for number in range(1, 801)] + ["n/a"])
    assert column.bins == (101.375, 201.25, 301.125, 401.0, 500.875, 600.75, 700.625)
    assert [column.terms(cell) for cell in ("3", 150, 800.0, "n/a", float("nan"), True)] == [
        ["it=under 101.375"],
        ["it=101.375 to 201.25"],
        ["it=700.625 or more"],
        ["it=missing"],
        ["it=missing"],
        ["it=missing"],
    ]


def test_terms_of_a_date_are_weekday_month_and_hour() -> None:
    column = TableColumn("sent", "date")
    expected = ["sent=Monday", "sent=March", "sent=14 h"]
    for cell in ("2026-03-02T14:30:00", "2.3.2026 14:30", datetime(2026, 3, 2, 14, 30)):
        assert column.terms(cell) == expected
    assert column.terms(np.datetime64("2026-03-02T14:30")) == expected
    assert column.terms("2026-03-02") == expected[:2]
    assert column.terms("31.02.2026") == column.terms("soon") == ["sent=missing"]


def test_terms_of_words_are_normalised() -> None:
    column = TableColumn("it")
    assert column.terms(3.0) == column.terms(3) == column.terms(" 3 ") == ["it=3"]
    assert column.terms(True) == ["it=true"]
    assert column.terms(["usa", "uk", None]) == ["it=usa", "it=uk"]
    assert column.terms([]) == column.terms("  ") == column.terms(None) == ["it=missing"]
    assert len(column.terms("x" * 5000)[0]) == len("it=") + 100


def test_terms_of_columns_have_one_line() -> None:
    column = TableColumn("product\nname")
    assert column.terms("Card\u2028and\nmore") == ["product name=Card and more"]
    with pytest.raises(OptionError, match="name"):
        TableColumn("half \ud800")


def test_learn_columns_rejects_text_and_ids() -> None:
    with pytest.raises(DataError, match=r"'it' has 300 values in 300 documents"):
        learned([f"ticket {number}" for number in range(300)])
    assert learned([f"sender {number // 30}" for number in range(300)]).kind == "words"
    with pytest.raises(DataError, match=r"'it' has 20 values in 20 documents, such as 'T-0'"):
        learned([f"T-{number}" for number in range(20)])
    assert learned([f"T-{number}" for number in range(19)]).kind in ("words", "unused")


@pytest.mark.parametrize("step", [1, 37])
def test_learn_columns_rejects_consecutive_numbers(step: int) -> None:
    order = np.random.default_rng(0).permutation(240)[:200]  # as in a part of the documents
    with pytest.raises(DataError) as raised:
        learned([str(10_000 + step * number) for number in order])
    lowest, highest = (10_000 + step * end for end in (order.min(), order.max()))
    assert str(raised.value) == (
        f"column 'it' has 200 different whole numbers from {lowest} to {highest}, which look "
        "like ids; leave it out."
    )


def test_learn_columns_accepts_distinct_amounts() -> None:
    amounts = np.random.default_rng(0).lognormal(8, 1, 200)
    for written in ("{:.2f}", "{:.0f}"):
        kind = learned([written.format(amount) for amount in amounts]).kind
        assert kind in ("number", "unused")


def test_learn_columns_marks_uninformative_columns_as_unused() -> None:
    random = np.random.default_rng(0)
    topics = random.choice(["a", "b", "c"], 600).tolist()
    texts = [
        RowText("", {"noise": noise, "ids": ids, "number": number, "weak": weak})
        for noise, ids, number, weak in zip(
            random.choice(["x", "y"], 600).tolist(),
            random.integers(0, 400, 600).astype(str).tolist(),
            random.normal(size=600).tolist(),
            np.where(random.random(600) < 0.3, topics, "a").tolist(),
            strict=True,
        )
    ]
    columns = learn_columns(texts, topics, ["noise", "ids", "number", "weak"])
    assert [column.kind for column in columns] == ["unused", "unused", "unused", "words"]
    assert columns[0].terms("x") == []
    group = add_columns_group(default_feature_groups("log-tf-idf"), columns[:3])[-1]
    assert group.is_unused
    assert not add_columns_group(default_feature_groups("log-tf-idf"), columns)[-1].is_unused


def test_learn_columns_tests_each_of_several_topics() -> None:
    # Hardly two documents have the same topics; one of these is the product's, one everyone's.
    random = np.random.default_rng(0)
    products = random.choice(["card", "loan", "app"], 300).tolist()
    tags = random.integers(0, 20, (300, 2)).tolist()
    topics = [
        ("all", *dict.fromkeys([product, *map(str, pair)]))
        for product, pair in zip(products, tags, strict=True)
    ]
    texts = [
        RowText("", {"product": product.title(), "sender": sender})
        for product, sender in zip(products, random.choice(["a", "b", "c"], 300), strict=True)
    ]
    columns = learn_columns(texts, topics, ["product", "sender"])
    assert [column.kind for column in columns] == ["words", "unused"]
    without_topics = learn_columns(texts, [()] * 300, ["product"])
    assert [column.kind for column in without_topics] == ["unused"]


def test_learn_columns_suggests_the_nearest_name() -> None:
    texts = texts_with("product", ["Card", "Loan"])
    with pytest.raises(DataError, match="no column 'prodct'; found 'product'; did you mean"):
        learn_columns(texts, ["a", "b"], ["prodct"])
    with pytest.raises(DataError, match="pass a data frame"):
        learn_columns(["plain", "texts"], ["a", "b"], ["product"])


@pytest.mark.parametrize(
    "names", ["product", [""], [3], ["a", "a"], [str(n) for n in range(MAX_COLUMNS + 1)]]
)
def test_check_column_names_rejects_repeated_and_too_many_names(names: Any) -> None:
    with pytest.raises(OptionError, match="`columns`"):
        check_column_names(names)


def test_feature_group_rejects_the_kind_columns() -> None:
    with pytest.raises(OptionError, match="kind"):
        FeatureGroup("columns")
    with pytest.raises(OptionError, match="kind"):
        FeatureGroup("words", columns=(TableColumn("product"),))
    for bins in [(2.0, 1.0), (float("nan"),), tuple(map(float, range(100)))]:
        with pytest.raises(OptionError, match="bins"):
            TableColumn("amount", "number", bins)


def test_describe_odd_cells_reports_missing_columns_and_odd_cells() -> None:
    columns = [TableColumn("product"), TableColumn("amount", "number", (1.0,))]
    texts = texts_with("amount", [1, None, "lots"])
    note = odd_cells_note(describe_odd_cells(texts, columns).values())
    assert note == (
        "there is no column 'product'; 'lots' in column 'amount' is not a number: counted as "
        "missing"
    )
    assert (
        describe_odd_cells(texts_with("product", [None]), columns[:1])
        == describe_odd_cells([], columns)
        == {}
    )


TEXTS = [
    RowText("my card is stuck", {"product": "Card", "tags": ["a", "b"]}),
    RowText("", {"product": "Loan"}),
    "öl ohne Spalten",
    RowText("the loan is late", {"product": "Loan", "tags": ["b"]}),
]


@pytest.mark.parametrize("kernel", ["0", "1"])
def test_column_counter_puts_column_terms_after_those_of_texts(
    kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLUGLINE_KERNEL", kernel)
    texts_alone = Features(default_feature_groups("log-tf-idf"))
    expected = texts_alone.fit_transform(TEXTS).toarray()
    columns = [TableColumn("product"), TableColumn("tags"), TableColumn("noise", "unused")]
    features = Features(add_columns_group(default_feature_groups("log-tf-idf"), columns))
    rows = features.fit_transform(TEXTS)
    assert (features.transform(TEXTS) != rows).nnz == 0
    width = expected.shape[1]
    # What the text says stays as it is, to the bit.
    assert (rows.toarray()[:, :width] == expected).all()
    beside = rows.toarray()[:, width:]
    names = [features.term(column) for column in range(width, features.n_columns)]
    assert names == [
        *("product=Card", "tags=a", "tags=b", "product=Loan", "tags=missing", "product=missing")
    ]
    weight = np.float32(features.feature_groups[-1].weight)
    assert (beside / weight).tolist() == [
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 1, 1],
        [0, 0, 1, 1, 0, 0],
    ]


def test_compute_digest_includes_cells() -> None:
    texts = [RowText("a", {"product": "Card"}), RowText("a", {"product": "Loan"}), "a"]
    assert len({compute_digest([text], ["topic"]) for text in texts}) == 3
