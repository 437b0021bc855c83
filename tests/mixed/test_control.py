"""Random allocations fit, fill the budget, reach every choice, and know nothing of losses."""

import numpy as np
import pytest

from quantlab.mixed.control import allocate_random


def test_they_fit_and_fill_the_budget():
    rng = np.random.default_rng(0)
    costs = np.sort(rng.integers(1, 50, (20, 4)), axis=1)
    for budget in (costs[:, 0].sum(), costs[:, 1].sum(), costs[:, 2].sum() + 0.5):
        for seed in range(20):
            found = allocate_random(costs, rng.random((20, 4)), budget=budget, rng=np.random.default_rng(seed))
            assert found.cost == costs[np.arange(20), found.choices].sum() <= budget
    most = [allocate_random(costs, costs, budget=1e9, rng=np.random.default_rng(seed)).choices for seed in range(99)]
    assert (np.mean(most, axis=0) > 1).all()  # no budget: 1.5 on average, with a standard error of 0.11
    assert (np.mean(most, axis=0) < 2).all()
    tight = allocate_random(costs, costs, budget=costs[:, 0].sum(), rng=rng)
    assert tight.cost == costs[:, 0].sum()


def test_losses_play_no_part():
    costs = np.arange(12).reshape(4, 3)
    one, other = (
        allocate_random(costs, losses, budget=24, rng=np.random.default_rng(5))
        for losses in (np.zeros((4, 3)), np.random.default_rng(1).random((4, 3)))
    )
    assert np.array_equal(one.choices, other.choices)
    assert one.loss == 0 < other.loss


def test_a_budget_below_the_cheapest_says_by_how_much():
    with pytest.raises(ValueError, match="which is 2 too much"):
        allocate_random([[3, 4]], [[1.0, 0.0]], budget=1, rng=np.random.default_rng(0))
