"""Which rows an epoch visits: laws, and a plain oracle for the shares of ranks."""

# ruff: noqa: NPY002 (the published code shuffles with the global generator)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calkit.errors import InputError
from calkit_torch.data.order import plan_epoch, share_of_rank
from calkit_torch.data.split import shuffled

SIZES = st.tuples(st.integers(1, 60), st.integers(1, 20), st.integers(1, 7))


def shares_by_loop(n: int, batch_size: int, world_size: int) -> list[list[list[int]]]:
    """For each batch and each rank, the places: each place goes to the rank floor(…) says, one by one."""
    found = []
    for begin in range(0, n, batch_size):
        places = list(range(begin, min(begin + batch_size, n)))
        cuts = [len(places) * rank // world_size for rank in range(world_size + 1)]
        found.append([places[cuts[rank] : cuts[rank + 1]] for rank in range(world_size)])
    return found


@given(SIZES)
def test_shares_are_those_of_the_loop_and_join_to_the_whole(sizes: tuple[int, int, int]) -> None:
    n, batch_size, world_size = sizes
    expected = shares_by_loop(n, batch_size, world_size)
    seen = []
    for rank in range(world_size):
        share = share_of_rank(n, batch_size, rank, world_size)
        assert len(share.starts) == len(expected) + 1
        for b, batch in enumerate(expected):
            assert share.places[share.starts[b] : share.starts[b + 1]].tolist() == batch[rank]
        seen += share.places.tolist()
    assert sorted(seen) == list(range(n))
    widths = [len(part) for batch in expected for part in batch]
    assert all(max(map(len, batch)) - min(map(len, batch)) <= 1 for batch in expected), widths


@given(SIZES, st.integers(0, 2**40), st.integers(0, 1000))
def test_ranks_together_see_what_one_process_sees(sizes: tuple[int, int, int], seed: int, epoch: int) -> None:
    n, batch_size, world_size = sizes
    how = {"seed": seed, "epoch": epoch, "shuffle": True, "draw": True}
    one = plan_epoch(n, share_of_rank(n, batch_size), **how)
    plans = [plan_epoch(n, share_of_rank(n, batch_size, rank, world_size), **how) for rank in range(world_size)]
    for b in range(len(one.starts) - 1):
        rows = [p.rows[p.starts[b] : p.starts[b + 1]] for p in plans]
        words = [p.words[p.starts[b] : p.starts[b + 1]] for p in plans]
        here = slice(one.starts[b], one.starts[b + 1])
        np.testing.assert_array_equal(np.concatenate(rows), one.rows[here])
        np.testing.assert_array_equal(np.concatenate(words), one.words[here])
    assert sorted(one.rows.tolist()) == list(range(n))


def test_epochs_and_seeds_differ_and_repeat() -> None:
    share = share_of_rank(100, 10)

    def rows(seed: int, epoch: int) -> list[int]:
        return plan_epoch(100, share, seed=seed, epoch=epoch, shuffle=True, draw=False).rows.tolist()

    orders = [rows(seed, epoch) for seed in range(3) for epoch in range(3)]
    assert len({tuple(order) for order in orders}) == 9
    assert rows(2, 1) == orders[7]


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    how = {"seed": 5, "epoch": 3, "shuffle": True, "draw": True}
    small, large = (plan_epoch(50, share_of_rank(50, size), **how) for size in (7, 50))
    np.testing.assert_array_equal(small.rows, large.rows)
    np.testing.assert_array_equal(small.words, large.words)


def test_the_order_is_that_of_the_words_of_philox() -> None:
    """Pinned to the recipe itself: a seed is to mean the same in every release."""
    keys = np.random.Philox(np.random.SeedSequence((1, 2))).random_raw(6)
    by_hand = sorted(range(6), key=lambda i: int(keys[i]))
    plan = plan_epoch(6, share_of_rank(6, 6), seed=1, epoch=2, shuffle=True, draw=False)
    assert plan.rows.tolist() == by_hand == [1, 3, 0, 4, 2, 5]


def test_evaluation_keeps_the_order_and_draws_nothing() -> None:
    plan = plan_epoch(5, share_of_rank(5, 2), seed=1, epoch=9, shuffle=False, draw=False)
    assert plan.rows.tolist() == [0, 1, 2, 3, 4]
    assert plan.words is None


def test_every_place_is_as_probable_for_every_row() -> None:
    """4,000 epochs of 5 rows: each row is expected 800 times at each place, with a deviation of 25."""
    counts = np.zeros((5, 5))
    share = share_of_rank(5, 5)
    for epoch in range(4000):
        counts[np.arange(5), plan_epoch(5, share, seed=0, epoch=epoch, shuffle=True, draw=False).rows] += 1
    assert np.abs(counts - 800).max() < 4.5 * 25.3


def test_the_published_split() -> None:
    """The first numbers are those the published code gives, as its logits confirm."""
    order = shuffled(50_000, seed=1)
    assert order[:5].tolist() == [26247, 35067, 34590, 16668, 12196]
    state = np.random.get_state()
    np.random.seed(1)
    published = list(range(50_000))
    np.random.shuffle(published)
    np.random.set_state(state)
    assert order.tolist() == published


def test_the_split_leaves_the_global_generator_alone() -> None:
    before = np.random.get_state()[1].tolist()
    shuffled(100, seed=1)
    assert np.random.get_state()[1].tolist() == before


@pytest.mark.parametrize("seed", [-1, 1.5, 2**32, True])
def test_a_seed_of_the_split_out_of_range(seed: object) -> None:
    with pytest.raises(InputError, match="split_seed must be"):
        shuffled(10, seed)
