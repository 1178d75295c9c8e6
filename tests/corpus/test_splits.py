"""Holding documents out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from slugline.corpus.splits import hold_out, make_folds, rank_draw
from slugline.errors import DataError

topic_lists = st.lists(st.sampled_from("abcdef"), min_size=2, max_size=60).filter(
    lambda topics: max(Counter(topics).values()) > 1
)


@given(topic_lists, st.floats(0.05, 0.95), st.integers(0, 5))
def test_hold_out_takes_the_rounded_fraction_of_each_topic(
    topics: list[str], fraction: float, seed: int
) -> None:
    held = hold_out(topics, fraction, seed)
    counts = Counter(topics)
    shares = Counter(np.array(topics)[held].tolist())
    for topic, n in counts.items():
        assert shares[topic] <= n - 1
        assert shares[topic] <= n * fraction + 1
        assert shares[topic] >= min(np.floor(n * fraction), n - 1)
    assert held.any()


def shares_of(topics: list[str], fraction: float, seed: int = 0) -> dict[str, int]:
    """Give how many documents of each topic are held out."""
    return Counter(np.array(topics)[hold_out(topics, fraction, seed)].tolist())


def test_hold_out_rounds_up_the_largest_remainders() -> None:
    # Shares of 1.7, 1.2 and 2.6, of which the sum is 5.5 and rounded to even 6.
    topics = ["a"] * 17 + ["b"] * 12 + ["c"] * 26
    for seed in range(5):
        assert shares_of(topics, 0.1, seed) == {"a": 2, "b": 1, "c": 3}


def test_hold_out_breaks_ties_at_random() -> None:
    topics = ["a"] * 15 + ["b"] * 15
    found = {tuple(sorted(shares_of(topics, 0.1, seed).items())) for seed in range(20)}
    assert found == {(("a", 1), ("b", 2)), (("a", 2), ("b", 1))}


@given(st.lists(st.sampled_from("abcdef"), min_size=5, max_size=60), st.integers(2, 5))
def test_make_folds_distributes_topics_evenly(topics: list[str], n_folds: int) -> None:
    folds = make_folds(topics, n_folds, seed=0)
    sizes = np.bincount(folds, minlength=n_folds)
    assert sizes.max() - sizes.min() <= 1
    for topic in set(topics):
        own = np.bincount(folds[np.array(topics) == topic], minlength=n_folds)
        assert own.max() - own.min() <= 1


@pytest.mark.parametrize("n_folds", [0, 1, 4])
def test_make_folds_rejects_too_many_folds(n_folds: int) -> None:
    with pytest.raises(DataError) as caught:
        make_folds(["a", "a", "b"], n_folds, 0)
    assert str(caught.value) == (
        f"3 documents can't be split into {n_folds} folds; use at least two, and "
        "at most one per document."
    )


@given(topic_lists, st.integers(0, 5))
def test_rank_draw_counts_the_documents_of_each_topic(topics: list[str], seed: int) -> None:
    places = rank_draw(topics, 0, 1, seed)
    for topic, n in Counter(topics).items():
        mine = [place for place, name in zip(places.tolist(), topics, strict=True) if name == topic]
        assert sorted(mine) == list(range(n))


def test_rank_draw_depends_on_the_seed() -> None:
    topics = ["a"] * 50
    assert rank_draw(topics, 0, 1, 1).tolist() == rank_draw(topics, 0, 1, 1).tolist()
    assert rank_draw(topics, 0, 1, 1).tolist() != rank_draw(topics, 0, 1, 2).tolist()


def test_make_folds_keeps_groups_together() -> None:
    topics = [name for name in "abc" for _ in range(20)]
    groups = np.arange(60) // 2
    folds = make_folds(topics, 4, 0, groups)
    assert (folds[::2] == folds[1::2]).all()
    assert sorted(np.bincount(folds[::2]).tolist()) == [7, 7, 8, 8]
    alone = np.random.default_rng(0).permutation(60)  # whatever the numbers are
    assert make_folds(topics, 4, 0, alone).tolist() == make_folds(topics, 4, 0).tolist()
    with pytest.raises(DataError, match="1 documents can't be split into 4 folds"):
        make_folds(topics, 4, 0, np.zeros(60, dtype=int))


# Several topics a document ------------------------------------------------------------------------

topic_sets = st.lists(
    st.sets(st.sampled_from("abcdefg"), max_size=4).map(lambda names: tuple(sorted(names))),
    min_size=8,
    max_size=60,
)


def documents_of_common_and_rare_topics(n: int, n_topics: int = 90) -> list[tuple[str, ...]]:
    """Return topics of documents, of which topic 1 has most and topic 90 a few."""
    rng = np.random.default_rng(0)
    share = 1 / np.arange(1, n_topics + 1)
    return [
        tuple(str(number) for number in set(rng.choice(n_topics, size, p=share / share.sum())))
        for size in rng.poisson(1.3, n)
    ]


def topics_of(sets: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return each document's topics, with a topic for those that have none."""
    return [names or ("none",) for names in sets]


def counts_by_part(sets: list[tuple[str, ...]], parts: np.ndarray) -> dict[str, np.ndarray]:
    counts = {name: np.zeros(parts.max() + 1) for names in topics_of(sets) for name in names}
    for names, part in zip(topics_of(sets), parts.tolist(), strict=True):
        for name in names:
            counts[name][part] += 1
    return counts


def test_make_folds_spreads_rare_topics_better_than_chance() -> None:
    sets = documents_of_common_and_rare_topics(3000)
    folds = make_folds(sets, 5, 0)
    random = np.random.default_rng(0).integers(5, size=len(sets))

    def quality(parts: np.ndarray) -> tuple[float, float]:
        """Share of topics with a document in each fold, and mean deviation of their counts."""
        counts = [n for n in counts_by_part(sets, parts).values() if n.sum() >= 5]
        in_each = np.mean([n.all() for n in counts])
        return float(in_each), float(
            np.mean([np.abs(n - n.mean()).mean() / n.mean() for n in counts])
        )

    assert quality(folds)[0] == 1 > quality(random)[0]
    assert quality(folds)[1] < quality(random)[1] / 3
    sizes = np.bincount(folds)
    assert np.ptp(sizes) < np.ptp(np.bincount(random)) / 2
    assert np.ptp(counts_by_part(sets, folds)["none"]) <= 1


@given(topic_sets, st.integers(2, 5), st.integers(0, 3))
def test_make_folds_of_several_topics_repeats_with_the_same_seed(
    sets: list[tuple[str, ...]], n_folds: int, seed: int
) -> None:
    folds = make_folds(sets, n_folds, seed)
    assert folds.tolist() == make_folds(sets, n_folds, seed).tolist()
    assert 0 <= folds.min() <= folds.max() < n_folds
    counts = counts_by_part(sets, folds)
    first = min(counts, key=lambda name: (counts[name].sum(), name == "none", name))
    in_each = np.pad(counts[first], (0, n_folds - len(counts[first])))
    assert np.ptp(in_each) <= 1


@given(topic_sets, st.floats(0.05, 0.95), st.integers(0, 3))
def test_hold_out_of_several_topics_leaves_one_of_each(
    sets: list[tuple[str, ...]], fraction: float, seed: int
) -> None:
    counts = Counter(name for names in topics_of(sets) for name in names)
    if not any(all(counts[name] > 1 for name in names) for names in topics_of(sets)):
        with pytest.raises(DataError, match="no topic has two documents"):
            hold_out(sets, fraction, seed)
        return
    held = hold_out(sets, fraction, seed)
    assert held.any()
    for training, _ in (np.append(n, [0, 0])[:2] for n in counts_by_part(sets, held * 1).values()):
        assert training >= 1


def test_hold_out_of_several_topics_takes_the_fraction_of_each() -> None:
    sets = documents_of_common_and_rare_topics(3000)
    held = hold_out(sets, 0.2, 0)
    assert abs(held.mean() - 0.2) < 0.01
    counts = counts_by_part(sets, held * 1)
    # Rare topics, too, are tested: a share of 0.2 of two documents rounds up in some topics.
    for _, n_test in counts.values():
        assert n_test > 0
    assert all(abs(n[1] - 0.2 * n.sum()) <= 2.5 for n in counts.values())
    pairs = [(f"{number}",) for number in range(100) for _ in range(2)]
    assert hold_out(pairs, 0.2, 0).sum() == 40


@given(topic_sets, st.integers(0, 3))
def test_rank_draw_gives_samples_of_n_documents(sets: list[tuple[str, ...]], seed: int) -> None:
    ranks = rank_draw(sets, 0, 1, seed)
    for n in range(1, 6):
        sample = counts_by_part(sets, (ranks < n) * 1)
        for counts in sample.values():
            assert counts[1:].sum() >= min(n, counts.sum())


def test_rank_draw_of_several_topics_takes_few_more() -> None:
    # The wheat documents are all of grain, so that one document serves both.
    sets = [("grain", "wheat")] * 20 + [("earn",)] * 50 + [()] * 30
    ranks = rank_draw(sets, 0, 1, 0)
    assert [int((ranks < n).sum()) for n in (1, 5, 20)] == [3, 15, 60]
    assert rank_draw(sets, 0, 1, 1).tolist() != ranks.tolist()


def test_make_folds_of_several_topics_keeps_groups_together() -> None:
    sets = documents_of_common_and_rare_topics(200)
    twice = [names for names in sets for _ in range(2)]
    folds = make_folds(twice, 4, 0, np.arange(400) // 2)
    assert folds[::2].tolist() == folds[1::2].tolist() == make_folds(sets, 4, 0).tolist()


def test_make_folds_accepts_an_indicator_matrix() -> None:
    sets = documents_of_common_and_rare_topics(200)
    names = sorted({name for topics in sets for name in topics})
    dense = np.array([[name in topics for name in names] for topics in sets], dtype=np.float32)
    rows = sp.csr_array(dense)
    assert make_folds(rows, 4, 0).tolist() == make_folds(sets, 4, 0).tolist()
    assert hold_out(rows, 0.3, 0).tolist() == hold_out(sets, 0.3, 0).tolist()
    pairs = np.arange(200) // 2
    assert make_folds(rows, 4, 0, pairs).tolist() == make_folds(sets, 4, 0, pairs).tolist()


def test_make_folds_accepts_documents_without_topics() -> None:
    folds = make_folds([()] * 7, 3, 0)
    assert sorted(np.bincount(folds).tolist()) == [2, 2, 3]
    assert hold_out([()] * 10, 0.3, 0).sum() == 3
