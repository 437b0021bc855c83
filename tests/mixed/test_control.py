"""Random allocations fit, fill the budget, reach every choice, and know nothing of losses."""

import numpy as np
import pytest

from quantlab.mixed.control import allocate_random


def test_they_fit_the_budget():
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


def test_of_many_layers_most_of_the_budget_is_spent():
    """As the control of lesson 15 needs it: 8 bits a weight on average, where choices without a budget take 15."""
    n = np.random.default_rng(1).integers(1, 64, 50)
    costs, budget = n[:, None] * np.array([4, 8, 16, 32]), 8 * n.sum()
    spent = [
        allocate_random(costs, costs, budget=budget, rng=np.random.default_rng(s)).cost / budget for s in range(50)
    ]
    assert 0.95 < min(spent) <= max(spent) <= 1


def test_the_cheapest_choice_may_stand_anywhere():
    costs = np.array([[9.0, 2.0, 1.0], [1.0, 5.0, 3.0], [4.0, 1.0, 8.0]])
    for seed in range(20):
        assert allocate_random(costs, costs, budget=3, rng=np.random.default_rng(seed)).choices.tolist() == [2, 0, 1]
        assert allocate_random(costs, costs, budget=6, rng=np.random.default_rng(seed)).cost <= 6


def test_layers_come_in_random_order():
    """There is room for one dear choice: were the order fixed, the last layer would get it once in eight times."""
    costs = np.tile([0.0, 1.0], (4, 1))
    dear = [allocate_random(costs, costs, budget=1, rng=np.random.default_rng(s)).choices for s in range(800)]
    # each of four layers: 1/4 of (1/2 + 1/4 + 1/8 + 1/16), 0.234, with a standard deviation of 0.015: four of them
    assert np.abs(np.mean(dear, axis=0) - 0.234).max() < 0.06


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
