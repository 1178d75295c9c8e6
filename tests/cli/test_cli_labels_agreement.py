"""`slugline labels agreement` prints how far coders agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slugline.labels.cells import ImportedLabel, NewDocument
from slugline.labels.store import LabelStore

pytestmark = pytest.mark.slow

Run = Callable[..., Any]
COMMAND = ("labels", "agreement", "l.db")


PEOPLE = """\
20 texts labelled by two or more people, 0 of them random draws
                      value  95 % interval
same topics            90 %   69 % to 97 %
Krippendorff's alpha   0.80   0.39 to 0.95

topic  texts  other agrees  95 % interval  alpha  95 % interval
grain     10          89 %   58 % to 98 %   0.80   0.39 to 0.95
earn      12          91 %   64 % to 98 %   0.80   0.39 to 0.95

confused  with   texts  coders (first / second)
earn      grain      2  Lee / Kim 2

coder           labels  skipped  others agree  95 % interval  texts
Kim                 20        0          90 %   69 % to 97 %     20
Lee                 20        0          90 %   69 % to 97 %     20
llm (imported)      20        0          85 %   64 % to 95 %     20

llm compared with people: 20 texts
"""


@pytest.fixture
def _labels(tmp_path: Path) -> None:
    with LabelStore(tmp_path / "l.db") as store:
        documents = store.add_documents(NewDocument(f"id {n}", f"Text {n}") for n in range(20))
        for name, n_grain in (("Kim", 10), ("Lee", 8), ("llm", 12)):
            store.add_coder(name, "imported" if name == "llm" else "person")
            topics = [("grain",)] * n_grain + [("earn",)] * (20 - n_grain)
            store.import_labels(name, map(ImportedLabel, documents, topics))


@pytest.mark.usefixtures("_labels")
def test_label_agreement_prints_tables(run: Run) -> None:
    printed = run(*COMMAND).out
    assert printed.startswith(PEOPLE)


@pytest.mark.usefixtures("_labels")
def test_label_agreement_prints_json(run: Run) -> None:
    printed = json.loads(run(*COMMAND, "--json").out)
    assert (printed["exact"], printed["exact_n_documents"], printed["n_random"]) == (0.9, 20, 0)
    assert [each["coder"] for each in printed["coders"]] == ["Kim", "Lee", "llm"]
    assert printed["imported"][0]["exact_n_documents"] == 20


def test_label_agreement_says_what_is_missing(run: Run, tmp_path: Path) -> None:
    result = run(*COMMAND)
    assert result.code == 1
    assert not (tmp_path / "l.db").exists()
    LabelStore(tmp_path / "l.db").close()
    assert run(*COMMAND).out == (
        "No text has been labelled by two people yet. Start the page with --double 0.1 to have one "
        "text in ten labelled twice.\n"
    )
