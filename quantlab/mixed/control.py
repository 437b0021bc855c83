"""The negative control of every allocation: random choices within the same budget."""

import numpy as np

from quantlab.mixed.problem import Allocation, allocation, check_tables

__all__ = ["allocate_random"]


def allocate_random(costs: np.ndarray, losses: np.ndarray, *, budget: float, rng: np.random.Generator) -> Allocation:
    """Return random choices that fit the budget.

    The layers come in random order. Each takes one of its choices at random, all with the same probability, among those
    that leave every later layer its cheapest one. ``losses`` are summed, and not looked at. Of many layers most of the
    budget is spent, if it is less than choices without any budget would cost on average; nobody spends the rest.

    Raises
    ------
    ValueError
        As `quantlab.mixed.problem.check_tables`.

    Examples
    --------
    >>> costs, losses = [[1, 2, 4], [1, 2, 4], [1, 2, 4]], np.zeros((3, 3))
    >>> for seed in range(3):
    ...     found = allocate_random(costs, losses, budget=8, rng=np.random.default_rng(seed))
    ...     print(found.choices, found.cost)
    [0 0 0] 3.0
    [0 0 2] 6.0
    [0 1 0] 4.0
    """
    costs, losses = check_tables(costs, losses, budget)
    rows, choices = np.arange(len(costs)), costs.argmin(axis=1)
    for layer in rng.permutation(len(costs)):
        trials = np.tile(choices, (costs.shape[1], 1))
        trials[:, layer] = np.arange(costs.shape[1])
        fits = costs[rows, trials].sum(axis=1) <= budget
        choices[layer] = rng.choice(np.flatnonzero(fits))
    return allocation(choices, costs, losses)
