"""The parts of an audit: copies, probabilities, odd texts, topics alike, decisions."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from labelled_texts import COMMON, labelled
from slugline.auditing.audit import (
    Leak,
    SimilarTopics,
    _find_leaks,
    audit_corpus,
    find_similar_topics,
)
from slugline.auditing.evidence import (
    connect_groups,
    find_near_pairs,
    find_neighbours,
    find_odd_texts,
    group_members,
    number_identical,
)
from slugline.auditing.findings import (
    REVIEW_COLUMNS,
    Findings,
    column_name,
    review_form,
    review_table,
    text_digest,
)
from slugline.auditing.repair import apply_decisions, read_decisions, whole_rows
from slugline.auditing.suspicion import compare_copies
from slugline.corpus.corpus import Corpus
from slugline.corpus.layout import ReadOptions
from slugline.corpus.readers import read_rows
from slugline.corpus.tables import rows_file
from slugline.errors import DataError
from slugline.text.feature_groups import FeatureGroup
from slugline.text.features import Features


def rows_of(sets: list[set[int]], n_columns: int = 60) -> sp.csr_array:
    dense = np.zeros((len(sets), n_columns), dtype=np.float32)
    for row, columns in enumerate(sets):
        dense[row, list(columns)] = 1
    return sp.csr_array(dense)


# Copies -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_entries", [1 << 20, 100], ids=["at once", "in batches"])
def test_find_near_pairs_finds_the_pairs_of_an_exhaustive_search(
    batch_entries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slugline.auditing.evidence._BATCH_ENTRIES", batch_entries)
    rng = np.random.default_rng(0)
    sets = [set(rng.choice(60, 20, replace=False).tolist()) for _ in range(60)]
    sets += [{*sorted(each)[1:], 59} for each in sets[:25]]  # 19 of 21 or 20 terms are shared
    X = rows_of(sets)
    expected = {
        (a, b)
        for b in range(len(sets))
        for a in range(b)
        if len(sets[a] & sets[b]) >= 0.8 * len(sets[a] | sets[b])
    }
    found = {tuple(pair) for pair in find_near_pairs(X, seed=1).tolist()}
    assert len(expected) >= 25
    assert found == expected


def test_find_near_pairs_ignores_rows_of_few_terms() -> None:
    few, enough = {1, 2, 3, 4, 5}, {1, 2, 3, 4, 5, 6}
    assert find_near_pairs(rows_of([few, few]), 0).shape == (0, 2)
    assert find_near_pairs(rows_of([few, enough, few, enough]), 0).tolist() == [[1, 3]]


def test_number_identical_and_group_members_find_copies() -> None:
    numbers = number_identical(["Oil up", "gas", "oil  UP\n", "tin"])
    assert numbers.tolist() == [0, 1, 0, 2]
    assert [rows.tolist() for rows in group_members(numbers)] == [[0, 2]]


def test_find_leaks_prefers_identical_documents() -> None:
    sets = [set(range(n)) for n in (8, 10, 9, 12, 11, 12)]
    pairs = np.array([[0, 4], [1, 4], [2, 4], [3, 4], [1, 2], [4, 5], [0, 5], [1, 5]])
    assert _find_leaks(rows_of(sets), 3, np.array([7, 8, 9, 9, 10, 8]), pairs) == [
        Leak(2, 3, 1.0),
        Leak(1, 4, 10 / 11),
        Leak(1, 5, 1.0),
    ]
    same = np.array([7, 7, 7, 7, 8, 9])
    assert _find_leaks(rows_of(sets), 3, same, pairs[:0]) == [Leak(0, 3, 1.0)]
    across = np.array([[0, 3], [3, 4], [0, 1]])
    assert _find_leaks(rows_of(sets), 3, np.arange(6), across) == [Leak(0, 3, 8 / 12)]


# Neighbours -------------------------------------------------------------------------------------


def test_find_neighbours_leaves_out_copies() -> None:
    texts = labelled(60, 0)[0]
    texts = texts + texts[:20]
    groups = number_identical(texts)
    near = find_neighbours(Features([FeatureGroup("words")]).fit_transform(texts), groups)
    for row, others in enumerate(near.rows.tolist()):
        assert groups[row] not in groups[[other for other in others if other >= 0]]


# Probabilities ----------------------------------------------------------------------------------


def test_compare_copies_suspects_the_weaker_of_two_topics() -> None:
    # By Bayes' rule: right and wrong, wrong and right, both wrong, and both right once in twenty.
    p, q = 0.1, 0.4
    a, b, none, both = (1 - p) * q, p * (1 - q), p * q, (1 - p) * (1 - q) / 20
    total = a + b + none + both
    found = compare_copies(np.array([p, q]), np.array([0, 1]), [np.array([0, 1])])
    np.testing.assert_allclose(found, [(b + none) / total, (a + none) / total], rtol=1e-6)


@pytest.mark.parametrize("copied", [[0, 0, 1], [0, 1, 1, 2, 2, 2], [3, 3, 0, 1]], ids=str)
def test_one_right_follows_enumeration(copied: list[int]) -> None:
    n, y = len(copied), np.array([*copied, *range(40)])
    suspicion = np.linspace(0.1, 0.6, len(y))
    topics = sorted(set(copied))
    counts = np.array([copied.count(topic) for topic in topics])
    wrong = np.array([suspicion[:n][y[:n] == topic].mean() for topic in topics])
    shares = np.zeros(len(topics))
    total = 0.0
    for right in itertools.product([False, True], repeat=len(topics)):
        weight = np.prod(np.where(right, 1 - wrong, wrong) ** counts) * (
            0.05 if sum(right) > 1 else 1
        )
        total += weight
        shares += weight * ~np.array(right)
    # How often copies that are misplaced would agree by chance.
    agree = float(((np.bincount(y) / len(y)) ** 2).sum())
    agreeing = (counts * (counts - 1)).sum() / (n * (n - 1))
    misplaced = (1 - agreeing) * agree / (1 - agree) / agreeing
    assert 0 < misplaced < 1
    expected = np.maximum(shares / total, misplaced * (1 - 1 / counts))
    found = compare_copies(suspicion, y, [np.arange(n)])
    np.testing.assert_allclose(found[:n], expected[np.searchsorted(topics, copied)], rtol=1e-6)
    assert found[n:].tolist() == suspicion[n:].tolist()


@pytest.mark.parametrize("suspicion", [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
def test_compare_copies_of_certain_topics_returns_finite_probabilities(
    suspicion: list[float],
) -> None:
    with np.errstate(all="raise", under="ignore"):
        after = compare_copies(np.array(suspicion), np.array([0, 1]), [np.array([0, 1])])
    assert np.isfinite(after).all()


def test_compare_copies_leaves_agreeing_copies() -> None:
    before = np.array([0.1, 0.2, 0.3])
    after = compare_copies(before, np.array([0, 0, 1]), [np.array([0, 1])])
    assert after.tolist() == before.tolist()


def test_compare_copies_suspects_agreeing_copies_where_many_differ() -> None:
    y = np.array([0, 1, 0, 1, 1, 1])
    copies = [np.array([0, 1]), np.array([2, 3]), np.array([4, 5])]
    after = compare_copies(np.full(6, 0.01), y, copies)
    assert after[4] == after[5] > 0.2


@given(
    st.lists(st.floats(1e-4, 1 - 1e-4), min_size=2, max_size=30),
    st.integers(1, 4),
    st.integers(0, 100),
)
def test_compare_copies_returns_probabilities(wrong: list[float], n_topics: int, seed: int) -> None:
    y = np.random.default_rng(seed).integers(0, n_topics, len(wrong))
    after = compare_copies(np.array(wrong), y, [np.arange(len(wrong))])
    assert ((after > 0) & (after <= 1)).all()


# Odd texts --------------------------------------------------------------------------------------


def odd_among(texts: list[str]) -> list[tuple[int, str]]:
    words = Features([FeatureGroup("words")], 1).fit_transform(texts)
    groups = connect_groups(number_identical(texts), find_near_pairs(words, 0))
    return [(odd.row, odd.kind) for odd in find_odd_texts(texts, words, groups)]


def prose(n: int) -> list[str]:
    texts, _, _ = labelled(n, 0)
    rng = np.random.default_rng(1)
    return [f"{text} {' '.join(rng.choice(COMMON, 8))}" for text in texts]


def test_find_odd_texts_finds_nothing_in_ordinary_texts() -> None:
    assert odd_among(prose(100)) == []


def test_find_odd_texts_finds_script_and_language() -> None:
    german = "die Zentralbank hat heute ihre Zinsen nicht erhöht wie viele Anleger gehofft hatten"
    texts = [*prose(100), "цены на нефть выросли", german]
    assert odd_among(texts) == [(100, "other script"), (101, "other language")]


def test_find_odd_texts_finds_texts_cut_at_one_length() -> None:
    cut = ["".join(text[:60].ljust(60, "x")) for text in prose(56)[50:]]
    assert odd_among([*(text[:50] for text in prose(50)), *cut]) == [
        (row, "cut off") for row in range(50, 56)
    ]


def test_find_odd_texts_ignores_texts_of_one_template() -> None:
    letter = "dear customer your order has been sent to you today and will arrive soon number"
    short = [text[:50] for text in prose(50)]
    assert odd_among([*short, *(f"{letter} {number}" for number in range(10, 16))]) == []
    # All are of one length: it is that of a form, and no limit.
    assert odd_among([text[:60].ljust(60, "x") for text in prose(40)]) == []


# Topics alike -----------------------------------------------------------------------------------


def test_find_similar_topics_by_name_and_by_documents() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(400) % 4
    scores = rng.normal(size=(400, 4)).astype(np.float32)
    scores[:, 2:] -= 9
    scores[y == 2, 2] += 20
    scores[y == 3, 3] += 20
    first, second = find_similar_topics(["grain", "wheat", "Oil", "oil "], y, scores)
    assert (first.topic, first.other, first.mixed) == ("Oil", "oil ", None)
    assert (second.topic, second.other) == ("grain", "wheat")
    assert second.mixed == pytest.approx(0.5, abs=0.1)


def test_find_similar_topics_by_a_misspelt_name() -> None:
    counts = {"invoice": 10, "invoise": 1}
    y, scores = np.zeros(10, dtype=np.int64), np.zeros((10, 2), dtype=np.float32)
    [pair] = find_similar_topics([*counts], y, scores, counts)
    assert pair == ("invoise", "invoice", "invoise is probably misspelt", None)


def mixed_scores(n_last: int) -> tuple[np.ndarray, np.ndarray]:
    """Return five documents of topics 0 and 1, two of which look like the other, and of topic 2.

    Those of topic 2 all look like topic 0.
    """
    y = np.array([0] * 5 + [1] * 5 + [2] * n_last)
    scores = np.zeros((len(y), 3), dtype=np.float32)
    scores[np.arange(len(y)), y] = 1
    scores[[0, 1], 1] = scores[[5, 6], 0] = 2
    scores[10:, 0] = 2
    scores[2, 1] = scores[7, 0] = 1  # like either
    return y, scores


def test_find_similar_topics_needs_five_documents_each() -> None:
    nearly = "40 % of their documents look more like the other topic"
    found = find_similar_topics(["grain", "wheat", "corn"], *mixed_scores(4))
    assert found == [SimilarTopics("grain", "wheat", nearly, 0.4)]
    found = find_similar_topics(["grain", "wheat", "corn"], *mixed_scores(5))
    half = "50 % of their documents look more like the other topic"
    assert found == [
        SimilarTopics("grain", "corn", half, 0.5),
        SimilarTopics("grain", "wheat", nearly, 0.4),
    ]


# Decisions --------------------------------------------------------------------------------------

CORPUS = Corpus(["wheat up", "goal", "bond"], ["sport", "sport", "bank"], "news.csv", unit="line")


def table(tmp_path: Path, *decisions: tuple[str, str, int], **cells: str) -> Path:
    """Write decisions about documents by number, from 1: (decision, new_topic, number)."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [*map(column_name, REVIEW_COLUMNS)])
    writer.writeheader()
    for what, new_topic, at in decisions:
        known = CORPUS.texts[at - 1 : at] or ["?"]
        digest = text_digest(known[0], (CORPUS.topics[at - 1 : at] or ["?"])[0])
        row = {
            "decision": what,
            "new_topic": new_topic,
            "at": at,
            "digest": digest,
            "part": "train",
        }
        writer.writerow(row | cells)
    path = tmp_path / "review.csv"
    path.write_text(out.getvalue(), newline="")
    return path


def test_apply_decisions_carries_out_decisions(tmp_path: Path) -> None:
    path = table(tmp_path, ("Relabel ", "grain", 1), ("drop", "x", 2), ("keep", "", 3))
    done = apply_decisions(CORPUS, read_decisions(path))
    assert (done.corpus.texts, done.corpus.topics) == (["wheat up", "bond"], ["grain", "bank"])
    assert list(done.corpus.places) == [1, 3]
    assert done.topics == ["grain", None, "bank"]
    assert (done.n_relabelled, done.n_dropped, done.n_kept) == (1, 1, 1)


def test_read_decisions_takes_semicolons_and_a_byte_order_mark(tmp_path: Path) -> None:
    digest = text_digest("goal", "sport")
    path = tmp_path / "review.csv"
    path.write_text(f"\ufeffdecision;new_topic;at;digest\ndrop;;2;{digest}\n", encoding="utf-8")
    assert apply_decisions(CORPUS, read_decisions(path)).n_dropped == 1


def test_read_decisions_takes_excel(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (
        ["decision", "new_topic", "at", "digest"],
        [None, "x", 1, "d0"],
        ["Relabel", 7, 2.0, text_digest("goal", "sport")],
    ):
        book.active.append(row)
    book.save(tmp_path / "review.xlsx")
    decisions = read_decisions(tmp_path / "review.xlsx", "cp1252")
    (decision,) = decisions.items
    assert (decision.place, decision.new_topic, decision.at) == ("row 3", "7", "2")
    assert apply_decisions(CORPUS, decisions).corpus.topics == ["sport", "7", "bank"]


def test_read_decisions_prefers_utf_8_to_the_named_encoding(tmp_path: Path) -> None:
    head = "decision,new_topic,at,digest\n"
    for written in ("utf-8", "utf-8-sig", "cp1252"):
        path = tmp_path / f"{written}.csv"
        path.write_text(f"{head}relabel,Öl,1,d\n", encoding=written)
        assert [decision.new_topic for decision in read_decisions(path, "cp1252").items] == ["Öl"]
    path.write_text("decision,at,digest,new_topic\nrelabel,1,d,×", encoding="cp1252")
    (decision,) = read_decisions(path, "cp1252").items
    assert decision.new_topic == "×"  # which begins a character of UTF-8


def test_review_table_cuts_long_texts_and_marks_digests() -> None:
    texts, topics, _ = labelled(30, 0)
    corpus = Corpus([*texts, "wheat " * 9_000], [*topics, "grain"], "news.csv")
    findings = Findings(audit_corpus(corpus, n_jobs=1))
    written = review_table(findings, range(31)).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(written)))
    assert max(len(cell) for row in rows for cell in row.values()) == 32_000
    assert all(re.fullmatch("d[0-9a-f]{16}", row["digest"]) for row in rows)


def test_review_table_is_the_same_in_excel(tmp_path: Path) -> None:
    texts, topics, _ = labelled(30, 0)
    findings = Findings(audit_corpus(Corpus(texts, topics, "news.csv"), n_jobs=1))
    (tmp_path / "a.xlsx").write_bytes(review_table(findings, [4, 2], None))
    (tmp_path / "a.tsv").write_bytes(review_table(findings, [4, 2], "\t"))
    excel, tabs = (list(read_rows(tmp_path / name)) for name in ("a.xlsx", "a.tsv"))
    assert [row.values for row in excel] == [row.values for row in tabs]
    first = tabs[0].values
    assert first == {
        REVIEW_COLUMNS[0]: "",
        REVIEW_COLUMNS[1]: findings[4].likely,
        "topic": topics[4],
        "suspicion": f"{findings[4].suspicion:.4f}",
        "reasons": "; ".join(findings[4].reasons),
        "text": texts[4],
        "part": "train",
        "at": "5",
        "digest": text_digest(texts[4], topics[4]),
    }
    assert read_decisions(tmp_path / "a.xlsx").items == ()


@pytest.mark.parametrize(
    ("decisions", "cells", "message"),
    [
        (
            [("drop", "", 7)],
            {},
            "r.csv, line 2: there is no line 7 in news.csv; pass the reviewed documents",
        ),
        (
            [("drop", "", 1)],
            {"at": "7" * 41},
            f"r.csv, line 2: there is no line {'7' * 40} in news.csv; pass the reviewed documents",
        ),
        (
            [("drop", "", 1)],
            {"digest": "0" * 16},
            "r.csv, line 2: line 1 of news.csv has changed since the review, or is read "
            "differently; pass the options of the audit, such as `text`, `topic`, `fold_topics` "
            "and `topic_map`, audit the documents again, or delete the line.",
        ),
        (
            [("drop", "", 1), ("keep", "", 1)],
            {},
            "r.csv, line 3: line 1 already has a decision in line 2; keep only one.",
        ),
        (
            [("drop", "", 1), ("drop", "", 2), ("drop", "", 3)],
            {},
            "r.csv drops all documents of news.csv; keep some.",
        ),
    ],
    ids=["no such row", "a long place", "changed", "twice", "all"],
)
def test_apply_decisions_rejects_other_documents(
    tmp_path: Path, decisions: list[tuple[str, str, int]], cells: dict[str, str], message: str
) -> None:
    read = replace(read_decisions(table(tmp_path, *decisions, **cells)), table="r.csv")
    with pytest.raises(DataError) as raised:
        apply_decisions(CORPUS, read)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        (("delete", "", 1), "line 2: unknown decision 'delete'; write keep, relabel or drop, or"),
        (("relabel", " ", 1), "line 2: relabel requires a topic in the column new_topic"),
    ],
    ids=["unknown", "no topic"],
)
def test_read_decisions_rejects_invalid_decisions(
    tmp_path: Path, decision: tuple[str, str, int], message: str
) -> None:
    with pytest.raises(DataError) as raised:
        read_decisions(table(tmp_path, decision))
    assert message in str(raised.value)


def test_read_decisions_explains_how_to_write_no_topic(tmp_path: Path) -> None:
    corpus = replace(CORPUS, topics=[("sport",), ("sport", "bank"), ()])
    path = table(tmp_path, ("relabel", "", 1))
    with pytest.raises(
        DataError, match="column new_topic; write one, or ';' alone for no topic, or"
    ):
        read_decisions(path, form=review_form(corpus))


def test_read_decisions_rejects_another_part(tmp_path: Path) -> None:
    path = table(tmp_path, ("drop", "", 1), part="all")
    with pytest.raises(DataError, match="line 2: unknown part 'all'; write train or test"):
        read_decisions(path)


@given(st.binary(max_size=200))
def test_read_decisions_reads_or_rejects_any_bytes(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "review.csv")
        path.write_bytes(b"decision,new_topic,at,digest\n" + data)
        with contextlib.suppress(DataError):
            read_decisions(path)


def test_read_decisions_rejects_other_tables(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"decision,at\ndrop,1\n\xff\0")
    message = r"has no column 'new_topic' \(found 'decision', 'at'\); pass"
    with pytest.raises(DataError, match=message):
        read_decisions(tmp_path / "a.csv")
    with pytest.raises(DataError, match=r"b.csv doesn't exist; check the path"):
        read_decisions(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("decision,new_topic,at,digest\n")
    with pytest.raises(DataError, match=r"c.csv contains no rows; pass the reviewed table"):
        read_decisions(tmp_path / "c.csv")
    (tmp_path / "e.csv").write_text("decision,new_topic,at,digest\ndrop,1\n")
    with pytest.raises(DataError, match=r"e.csv, line 2: 2 cells instead of 4; fix them"):
        read_decisions(tmp_path / "e.csv")


# Repaired documents as they were -----------------------------------------------------------------


def test_whole_rows_keep_nested_json_and_reject_a_changed_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = [
        '{"text":"wheat","topic":3,"tags":["a",{"b":1}]}',
        '{"text":"","topic":3}',
        '{"text":"goal","topic":4,"ok":true}',
    ]
    path.write_text("\n".join(lines))
    corpus = Corpus(["wheat", "goal"], ["3", "4"], "a.jsonl", places=[1, 3], unit="line")
    whole = whole_rows([str(path)], corpus, ["3", "sport"], ReadOptions())
    assert whole is not None
    rows, dialect = whole
    assert rows_file(rows, ".jsonl", dialect).decode().splitlines() == [
        lines[0], lines[1], '{"text":"goal","topic":"sport","ok":true}'
    ]  # fmt: skip
    assert rows_file(rows, ".csv", dialect).decode().splitlines() == [
        "text,topic,tags,ok",
        'wheat,3,"[""a"",{""b"":1}]",',
        ",3,,",
        "goal,sport,,true",
    ]
    (tmp_path / "b.xlsx").write_bytes(rows_file(rows, ".xlsx", dialect))
    assert [row.values for row in read_rows(tmp_path / "b.xlsx")] == [
        {"text": "wheat", "topic": 3.0, "tags": '["a",{"b":1}]', "ok": ""},
        {"text": "", "topic": 3.0, "tags": "", "ok": ""},
        {"text": "goal", "topic": "sport", "tags": "", "ok": True},
    ]
    assert whole_rows(["-"], corpus, ["3", "4"], ReadOptions()) is None
    assert whole_rows(["bbc"], corpus, ["3", "4"], ReadOptions()) is None
    assert whole_rows([str(tmp_path / "c.jsonl")], corpus, ["3", "4"], ReadOptions()) is None
    path.write_text(lines[0])
    with pytest.raises(DataError, match=r"a.jsonl was changed while it was read; try again"):
        whole_rows([str(path)], corpus, ["3", "4"], ReadOptions())
