"""All allocations that are worth a thought: no other one is cheaper and as good, or better and as cheap."""

import numpy as np

from quantlab.mixed.problem import Allocation, allocation, check_tables

__all__ = ["allocation_front", "pareto_front"]

MOST_POINTS = 2**22


def pareto_front(costs: np.ndarray, losses: np.ndarray) -> np.ndarray:
    """Return the indices of the points that no other point beats, by rising cost.

    A point is beaten by one that is no worse in both numbers and better in one. Of points with the same two numbers the
    first stays.

    Parameters
    ----------
    costs, losses : array_like, shape (points,)

    Raises
    ------
    ValueError
        If the shapes are not the same single axis, or a number is NaN.

    Examples
    --------
    >>> pareto_front([1, 2, 2, 3, 4], [9.0, 5.0, 4.0, 4.0, 1.0])
    array([0, 2, 4])
    """
    costs, losses = np.asarray(costs, np.float64), np.asarray(losses, np.float64)
    if costs.ndim != 1 or costs.shape != losses.shape:
        raise ValueError(f"costs.shape={costs.shape}, losses.shape={losses.shape}; expected (points,) for both")
    if np.isnan(costs).any() or np.isnan(losses).any():
        raise ValueError("costs or losses hold NaN, which is neither better nor worse; leave such points out")
    order = np.lexsort((losses, costs))  # stable: of equal points the first stays
    best_before = np.concatenate([[np.inf], np.minimum.accumulate(losses[order])[:-1]])
    return order[(losses[order] < best_before) | (np.arange(len(order)) == 0)]


def allocation_front(costs: np.ndarray, losses: np.ndarray) -> list[Allocation]:
    """Return the best allocation for every budget: all that no other one beats, by rising cost.

    Layer after layer, every point of the front so far meets every choice of the next layer, and what is beaten is
    dropped. Exact for any costs. The front can grow by as much as the number of choices with each layer; with costs
    that are multiples of a large unit many sums coincide, and it stays short.

    Parameters
    ----------
    costs, losses : array_like, shape (layers, choices)

    Returns
    -------
    list of Allocation

    Raises
    ------
    ValueError
        As `quantlab.mixed.problem.check_tables`, and if the front grows beyond 2**22 points.

    Examples
    --------
    >>> for each in allocation_front([[4, 8], [2, 4]], [[3.0, 1.0], [0.5, 0.0]]):
    ...     print(each.choices, each.cost, each.loss)
    [0 0] 6.0 3.5
    [0 1] 8.0 3.0
    [1 0] 10.0 1.5
    [1 1] 12.0 1.0
    """
    costs, losses = check_tables(costs, losses)
    n_choices, kept = costs.shape[1], []
    cost, loss = np.zeros(1), np.zeros(1)
    for row, worse in zip(costs, losses, strict=True):
        if len(cost) * n_choices > MOST_POINTS:
            raise ValueError(
                f"the front has {len(cost):,} points after {len(kept)} of {len(costs)} layers; round the costs to a "
                "larger unit, or call allocate_dynamic for the budgets that matter"
            )
        cost, loss = np.add.outer(cost, row).ravel(), np.add.outer(loss, worse).ravel()
        front = pareto_front(cost, loss)
        cost, loss = cost[front], loss[front]
        kept.append(front)
    index, choices = np.arange(len(cost)), np.empty((len(costs), len(cost)), np.int64)
    for layer in range(len(costs) - 1, -1, -1):
        index, choices[layer] = np.divmod(kept[layer][index], n_choices)
    return [allocation(each, costs, losses) for each in choices.T]
