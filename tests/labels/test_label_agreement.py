"""Agreement of the coders of a store: which labels count, and what is measured of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from slugline.corpus.label_database.records import LabelDecision, Selection, SelectionReason
from slugline.labels.agreement import Agreement, CoderAgreement, measure_agreement
from slugline.labels.cells import ImportedLabel, NewDocument
from slugline.labels.store import LabelStore

N_DOCUMENTS = 40


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with LabelStore(tmp_path / "labels.db") as store:
        for name in ("Kim", "Lee", "Ana"):
            store.add_coder(name)
        store.add_coder("llm", "imported")
        for topic in ("grain", "earn", "metal"):
            store.add_topic(topic, "Kim")
        store.add_documents(NewDocument(f"id {n}", f"Text {n}") for n in range(1, N_DOCUMENTS + 1))
        yield store


def decide(
    store: LabelStore,
    coder: str,
    document: int,
    *topics: str,
    reason: SelectionReason = "double-coded",
    is_guess_shown: bool = False,
) -> LabelDecision:
    """Store a label, or that the coder skips the document if there are no topics."""
    assignment = store.assign(coder, document, Selection(reason, 0.1, 10))
    assert assignment is not None
    if not topics:
        return store.skip(assignment.id, "unclear")
    return store.label(assignment.id, topics, is_guess_shown=is_guess_shown)


def give(store: LabelStore, labels: Mapping[str, Sequence[str]]) -> None:
    """Store the topic of each coder for documents 1, 2, ...; an empty one is left out."""
    for coder, topics in labels.items():
        for document, topic in enumerate(topics, 1):
            if topic:
                decide(store, coder, document, topic)


def coder_of(agreement: Agreement, name: str) -> CoderAgreement:
    [found] = [each for each in agreement.coders if each.coder == name]
    return found


def test_measure_agreement_of_equal_labels_is_1(store: LabelStore) -> None:
    topics = ["grain", "earn", "metal"] * 5
    give(store, {"Kim": topics, "Lee": topics})
    agreement = measure_agreement(store)
    people = agreement.people
    assert (people.alpha.value, people.exact.value, people.n_documents) == (1, 1, 15)
    assert agreement.n_random == 15
    assert [(each.topic, each.agreement.value, each.alpha.value) for each in people.topics] == [
        ("grain", 1, 1),
        ("earn", 1, 1),
        ("metal", 1, 1),
    ]
    assert people.confusions == ()


def test_measure_agreement_says_who_gave_which_topic(store: LabelStore) -> None:
    give(
        store,
        {
            "Kim": ["grain", "grain", "earn", "metal", "metal", ""],
            "Lee": ["grain", "earn", "grain", "metal", "earn", ""],
            "Ana": ["", "earn", "", "", "", "grain"],
        },
    )
    agreement = measure_agreement(store)
    people = agreement.people
    assert people.n_documents == 5
    assert [(each.topics, each.n_documents, each.by_coders) for each in people.confusions] == [
        (("earn", "grain"), 2, {("Lee", "Kim"): 1, ("Ana", "Kim"): 1, ("Kim", "Lee"): 1}),
        (("earn", "metal"), 1, {("Lee", "Kim"): 1}),
    ]
    grain, *_ = people.topics
    assert (grain.agreement.value, grain.agreement.n_documents) == (2 / 4, 3)
    assert [(each.first, each.second, each.exact.value) for each in agreement.pairs] == [
        ("Kim", "Lee", 2 / 5),
        ("Kim", "Ana", 0),
        ("Lee", "Ana", 1),
    ]
    ana = coder_of(agreement, "Ana")
    assert (ana.n_labels, ana.others.value, ana.others.n_documents) == (2, 1 / 2, 1)


@pytest.mark.parametrize("labels", [{}, {"Kim": ["grain", "earn"]}])
def test_measure_agreement_of_fewer_than_two_coders_is_undefined(
    store: LabelStore, labels: dict[str, list[str]]
) -> None:
    give(store, labels)
    agreement = measure_agreement(store)
    assert agreement.people.n_documents == 0
    assert not agreement.people.alpha.is_defined
    assert [*agreement.people.topics, *agreement.pairs, *agreement.imported] == []
    assert agreement.to_dict()["alpha"] is None


def test_measure_agreement_of_texts_that_no_two_coders_labelled_is_undefined(
    store: LabelStore,
) -> None:
    give(store, {"Kim": ["grain", ""], "Lee": ["", "grain"]})
    agreement = measure_agreement(store)
    assert not agreement.people.exact.is_defined
    assert [each.n_labels for each in agreement.coders] == [1, 1]


def test_measure_agreement_leaves_out_what_coders_withdrew_undid_or_skipped(
    store: LabelStore,
) -> None:
    give(store, {"Kim": ["grain", "grain"], "Lee": ["earn", "grain"], "Ana": ["earn", "earn"]})
    store.withdraw("Ana", "Kim")
    store.undo(decide(store, "Kim", 3, "grain").id)
    decide(store, "Lee", 3, "earn")
    decide(store, "Kim", 4)
    decide(store, "Lee", 4, "earn")
    agreement = measure_agreement(store)
    assert (agreement.people.n_documents, agreement.people.exact.value) == (2, 1 / 2)
    assert [each.coder for each in agreement.coders] == ["Kim", "Lee"]
    assert coder_of(agreement, "Kim").n_skipped == 1


def test_measure_agreement_counts_the_labels_of_settled_documents(store: LabelStore) -> None:
    give(store, {"Kim": ["grain", "earn"], "Lee": ["earn", "earn"]})
    store.settle(1, ["grain"], "Ana")
    agreement = measure_agreement(store)
    assert agreement.people.exact.value == 1 / 2
    assert [each.coder for each in agreement.coders] == ["Kim", "Lee"]


def test_measure_agreement_compares_topics_by_their_names_of_today(store: LabelStore) -> None:
    give(store, {"Kim": ["grain", "earn", "earn"], "Lee": ["metal", "earn", "earn"]})
    store.merge_topic("metal", "grain", "Kim")
    store.rename_topic("grain", "goods", "Kim")
    agreement = measure_agreement(store)
    assert agreement.people.alpha.value == 1
    assert [each.topic for each in agreement.people.topics] == ["goods", "earn"]


@pytest.mark.parametrize("reason", ["near copy", "audit"])
def test_measure_agreement_leaves_out_labels_that_depend_on_others(
    store: LabelStore, reason: SelectionReason
) -> None:
    give(store, {"Kim": ["grain", "earn", "earn"]})
    decide(store, "Lee", 1, "grain", reason=reason)
    decide(store, "Lee", 2, "earn", reason="suggested", is_guess_shown=True)
    decide(store, "Lee", 3, "grain", reason="suggested")
    agreement = measure_agreement(store)
    assert (agreement.people.n_documents, agreement.people.exact.value) == (1, 0)


@pytest.mark.parametrize("coder", ["Kim", "Lee"])
@pytest.mark.parametrize("is_undone", [False, True])
def test_measure_agreement_counts_first_answers_even_if_they_were_changed(
    store: LabelStore, coder: str, *, is_undone: bool
) -> None:
    give(store, {"Kim": ["grain", "grain"], "Lee": ["grain", "earn"]})
    [changed] = [
        each
        for each in store.current_decisions()
        if each.assignment.document == 2 and each.assignment.coder.name == coder
    ]
    topic = "earn" if coder == "Kim" else "grain"
    supersedes: int | None = changed.id
    if is_undone:
        store.undo(changed.id)
        supersedes = None
    store.label(changed.assignment.id, [topic], supersedes=supersedes)
    assert measure_agreement(store).people.exact.value == 0.5


def test_measure_agreement_leaves_out_texts_that_were_changed(store: LabelStore) -> None:
    give(store, {"Kim": ["grain", "earn"], "Lee": ["grain", "earn"]})
    store.add_documents([NewDocument("id 1", "Another text")])
    assert measure_agreement(store).people.n_documents == 1


def test_measure_agreement_compares_repeated_texts_with_the_first_label(store: LabelStore) -> None:
    give(store, {"Kim": ["grain", "earn", "metal"], "Lee": ["grain", "earn", "metal"]})
    decide(store, "Kim", 1, "grain", reason="repeated")
    decide(store, "Kim", 2, "metal", reason="repeated")
    agreement = measure_agreement(store)
    kim = coder_of(agreement, "Kim")
    assert (kim.repeated.value, kim.repeated.n_documents) == (1 / 2, 2)
    assert not coder_of(agreement, "Lee").repeated.is_defined
    assert agreement.people.exact.value == 1


def test_measure_agreement_of_several_topics_knows_what_only_one_gave(store: LabelStore) -> None:
    store.set_multilabel(True)
    for document, (kim, lee) in enumerate(
        [(["grain", "earn"], ["grain"]), (["earn"], ["earn"]), (["metal"], ["grain"])], 1
    ):
        decide(store, "Kim", document, *kim)
        decide(store, "Lee", document, *lee)
    people = measure_agreement(store).people
    assert people.exact.value == 1 / 3
    assert 0 < people.alpha.value < 1
    assert [(each.topics, each.by_coders) for each in people.confusions] == [
        (("earn", ""), {("Kim", "Lee"): 1}),
        (("grain", "metal"), {("Lee", "Kim"): 1}),
    ]


# Imported coders ----------------------------------------------------------------------------------


def test_measure_agreement_compares_an_imported_coder_and_does_not_count_it(
    store: LabelStore,
) -> None:
    give(store, {"Kim": ["grain", "earn"], "Lee": ["grain", "earn"]})
    store.import_labels("llm", [ImportedLabel(1, ("grain",)), ImportedLabel(2, ("metal",))])
    agreement = measure_agreement(store)
    assert agreement.people.exact.value == 1
    [llm] = agreement.imported
    assert (llm.coder, llm.agreement.exact.value, llm.agreement.n_documents) == ("llm", 1 / 2, 2)
    assert [(each.topics, each.by_coders) for each in llm.agreement.confusions] == [
        (("earn", "metal"), {("Kim", "llm"): 1, ("Lee", "llm"): 1})
    ]
    assert coder_of(agreement, "llm").others.value == 1 / 2
    assert coder_of(agreement, "Kim").others.value == 1
    assert ("Kim", "llm") in [(each.first, each.second) for each in agreement.pairs]


# Tables -------------------------------------------------------------------------------------------


def test_agreement_to_frame_has_a_row_for_each(store: LabelStore) -> None:
    pytest.importorskip("pandas")
    give(store, {"Kim": ["grain", "earn"], "Lee": ["grain", "grain"]})
    agreement = measure_agreement(store)
    assert [*agreement.to_frame()["topic"]] == ["grain", "earn"]
    assert [*agreement.to_frame("coders")["coder"]] == ["Kim", "Lee"]
    assert [*agreement.to_frame("pairs")["exact"]] == [1 / 2]
    assert agreement.to_records("confusions") == [
        {
            "first_topic": "earn",
            "second_topic": "grain",
            "first_coder": "Kim",
            "second_coder": "Lee",
            "n_documents": 1,
        }
    ]


def test_measure_agreement_takes_the_first_label_of_a_repeated_text_as_it_was(
    store: LabelStore,
) -> None:
    first = decide(store, "Kim", 1, "grain")
    decide(store, "Kim", 2, "grain")
    for document in (1, 2):
        decide(store, "Kim", document, "earn" if document == 1 else "grain", reason="repeated")
    store.label(first.assignment.id, ["earn"], supersedes=first.id)
    repeated = coder_of(measure_agreement(store), "Kim").repeated
    assert (repeated.value, repeated.n_documents) == (0.5, 2)
