"""What counts as a sequence of texts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from slugline.classifier import TopicClassifier
from slugline.corpus.documents import check_texts
from slugline.corpus.topic_sets import check_documents
from slugline.errors import DataError

TEXTS = ["wheat", "goal"]


class Frame:
    """A table as pandas has it: iterating gives the names of its columns."""

    shape = (800, 2)

    def __init__(self, *columns: str) -> None:
        self.columns = columns

    def __iter__(self) -> Any:
        return iter(self.columns)


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        iter,
        np.array,
        lambda texts: np.array(texts, dtype=object),
        pl.Series,
        lambda texts: dict.fromkeys(texts).keys(),
        lambda texts: (text for text in texts),
    ],
    ids=["list", "tuple", "iterator", "array", "objects", "series", "keys", "generator"],
)
def test_check_texts_accepts_any_flat_sequence_of_strings(make: Callable[[Any], Any]) -> None:
    assert check_texts(make(TEXTS)) == TEXTS


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (None, "`X` is None; give a list with one item per document."),
        (5, "`X` is 5; give a list with one item per document."),
        ({"a": "wheat"}, "the texts are of type dict; pass its values: list(texts.values())."),
        (
            OrderedDict(a="wheat"),
            "the texts are of type OrderedDict; pass its values: list(texts.values()).",
        ),
        (Frame("id", "text"), "the texts are of type Frame; pass the text column: df['text']."),
        (Frame("body"), "the texts are of type Frame; pass the text column: df['body']."),
        (
            pl.DataFrame({"body": TEXTS}),
            "the texts are of type DataFrame; pass the text column: df['body'].",
        ),
        (
            np.array([TEXTS]),
            "the texts are of type ndarray and shape (1, 2); pass one dimension, with one string "
            "per document.",
        ),
        (
            np.array("wheat"),
            "the texts are of type ndarray and shape (); pass one dimension, with one string "
            "per document.",
        ),
        (
            ["wheat", b"goal"],
            "document 1 is of type bytes, not a str; pass a sequence with one string per document.",
        ),
        (
            [["wheat"], ["goal"]],
            "document 0 is of type list, not a str; pass a sequence with one string per document.",
        ),
    ],
    ids=[
        *("None", "number", "dict", "mapping", "frame", "one column", "polars"),
        *("two dimensions", "none", "bytes", "nested lists"),
    ],
)
def test_check_texts_says_what_to_pass_instead(
    texts: Any, message: str, news: list[tuple[str, str]]
) -> None:
    classifier = TopicClassifier().fit(*zip(*news, strict=True))

    for ask in (check_texts, classifier.predict, classifier.predict_proba):
        with pytest.raises(DataError) as error:
            ask(texts)
        assert str(error.value) == message


def test_check_documents_names_the_invalid_parameter() -> None:
    with pytest.raises(DataError, match=r"^`X` is 5;"):
        check_documents(5, ["grain"])  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"^`topics` is 5;"):
        check_documents(["wheat"], 5, ("texts", "topics"))
