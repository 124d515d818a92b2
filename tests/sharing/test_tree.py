"""The prefix tree: every node once, marks where ways part or end."""

from __future__ import annotations

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from rayat.sharing.tree import Counts, Tree


def chain(*steps):
    """Return keys as hashes give them: a key names all steps before it."""
    return tuple(itertools.accumulate(map(str, steps)))


def test_it_counts_each_epoch_once_and_says_so():
    tree = Tree({"a": chain(1, 1, 1, 1), "b": chain(1, 1, 2, 2), "c": chain(2, 1, 1, 1)})
    assert tree.counts() == Counts(asked=12, trained=10)
    assert tree.counts().text() == "12 epochs asked, 10 to train (17 % shared)"
    assert Counts(1240, 610).text() == "1,240 epochs asked, 610 to train (51 % shared)"
    assert Counts(4, 4).text() == "4 epochs asked, 4 to train"
    assert Tree().counts().shared == 0


def test_a_mark_stands_where_ways_part_or_end():
    chains = {
        "long": chain(1, 1, 1, 1),
        "short": chain(1, 1),
        "parts": chain(1, 2, 2),
        "same": chain(1, 2, 2),
        "alone": chain(9, 9),
    }
    tree = Tree(chains)
    assert [epoch for epoch, _ in tree.marks("long")] == [1, 2]
    assert [epoch for epoch, _ in tree.marks("short")] == [1, 2]
    assert [epoch for epoch, _ in tree.marks("parts")] == [1, 3]
    assert tree.marks("alone") == () == tree.marks("unknown")
    tree.add({"later": chain(9, 8)})
    assert tree.marks("alone") == ((1, "9"),)


def test_what_states_are_there_for_need_not_be_trained():
    """From the deepest state on a trial's way; what another one passes earlier, it trains."""
    chains = {"a": chain(1, 1, 1, 1), "b": chain(1, 1, 2, 2), "c": chain(1, 2, 2)}
    assert Tree(chains).counts() == Counts(asked=11, trained=8)
    tree = Tree(chains, begun={"111", "12"})  # after epoch 3 of a, after epoch 2 of c
    assert tree.counts() == Counts(asked=11, trained=1 + 4 + 1)
    assert [tree.own_share(name) for name in "abc"] == [1 / 4, 1, 1 / 3]
    tree = Tree(chains, begun={"1", "1122"})
    assert tree.counts() == Counts(asked=11, trained=3 + 0 + 2)


@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=6), min_size=1, max_size=8))
def test_counts_and_marks_are_those_of_all_pairs(ways):
    chains = {f"t{i}": chain(*way) for i, way in enumerate(ways)}
    tree = Tree(chains)
    nodes = {key for keys in chains.values() for key in keys}
    assert tree.counts() == Counts(sum(map(len, ways)), len(nodes))
    owned = [tree.own_share(t) * len(keys) for t, keys in chains.items()]
    assert math.isclose(sum(owned), len(nodes))
    for trial_id, keys in chains.items():
        expected = set()
        for other, theirs in chains.items():
            same = sum(a == b for a, b in zip(keys, theirs, strict=False))
            if other != trial_id and same:
                expected.add(same)
        assert {epoch for epoch, _ in tree.marks(trial_id)} >= expected
        # A mark that no partner of this very trial needs is where others, on its way, part.
        others = {key for o, ks in chains.items() if o != trial_id for key in ks}
        assert all(key in others for _, key in tree.marks(trial_id))
