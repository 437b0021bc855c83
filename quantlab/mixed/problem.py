"""What every allocator takes and returns: tables of costs and losses, a budget, and one choice a layer."""

from dataclasses import dataclass

import numpy as np

from quantlab.core.arguments import as_real

__all__ = ["Allocation", "allocation", "check_tables", "least_cost"]


@dataclass(frozen=True)
class Allocation:
    """One choice for every layer, as the allocators return it.

    Attributes
    ----------
    choices : ndarray of int64, shape (layers,)
        Columns of the tables.
    cost, loss : float
        Their sums over the layers.
    """

    choices: np.ndarray
    cost: float
    loss: float

    def pick(self, values: object) -> np.ndarray:
        """Return the chosen value of every layer: ``values`` has one for each column, or a row of them for each layer.

        Examples
        --------
        >>> Allocation(np.array([1, 0]), 12.0, 0.5).pick([4, 8])
        array([8, 4])
        """
        values = np.asarray(values)
        return values[self.choices] if values.ndim == 1 else values[np.arange(len(self.choices)), self.choices]


def allocation(choices: np.ndarray, costs: np.ndarray, losses: np.ndarray) -> Allocation:
    """Return the allocation of these choices: all methods sum in this one way, so that equal choices have equal sums.

    Examples
    --------
    >>> allocation([1, 0], np.array([[1.0, 2.0], [3.0, 6.0]]), np.array([[5.0, 0.5], [0.25, 0.0]]))
    Allocation(choices=array([1, 0]), cost=5.0, loss=0.75)
    """
    choices = np.asarray(choices, np.int64)
    rows = np.arange(len(choices))
    return Allocation(choices, float(costs[rows, choices].sum()), float(losses[rows, choices].sum()))


def least_cost(costs: np.ndarray) -> float:
    """Return the cost of the cheapest allocation, summed as `allocation` sums it.

    Examples
    --------
    >>> least_cost(np.array([[4.0, 1.0], [2.0, 3.0]]))
    3.0
    """
    return float(costs.min(axis=1).sum())


def check_tables(costs: object, losses: object, budget: float = np.inf) -> tuple[np.ndarray, np.ndarray]:
    """Return both tables in float64 after checking that they can be allocated.

    Parameters
    ----------
    costs, losses : array_like, shape (layers, choices)
        Bytes or seconds, not negative; and how much worse the network gets, of either sign. Losses are added over
        layers: that is an assumption about the network, which must be tested.
    budget : float, optional
        Infinity is allowed.

    Returns
    -------
    tuple of ndarray of float64

    Raises
    ------
    TypeError
        If ``budget`` is not a number.
    ValueError
        If shapes differ or hold no layer, a value is NaN or infinite, a cost is negative, or the cheapest allocation
        is dearer than ``budget``.

    Examples
    --------
    >>> check_tables([[4, 8]], [[1.0, 0.0]], budget=3)
    Traceback (most recent call last):
    ...
    ValueError: budget=3 cannot be met: the cheapest choice of every layer costs 4, which is 1 too much; \
raise the budget, or add cheaper choices
    """
    costs, losses = np.asarray(costs, np.float64), np.asarray(losses, np.float64)
    if costs.ndim != 2 or costs.shape != losses.shape or not costs.size:
        raise ValueError(
            f"costs.shape={costs.shape}, losses.shape={losses.shape}; expected (layers, choices) for both, with at "
            "least one of each"
        )
    for name, table in (("costs", costs), ("losses", losses)):
        if not np.isfinite(table).all():
            row, column = np.argwhere(~np.isfinite(table))[0]
            raise ValueError(
                f"{name}[{row}, {column}]={table[row, column]}; expected finite numbers: leave out a choice that a "
                "layer does not have by repeating another one of its choices"
            )
    if costs.min() < 0:
        row, column = np.argwhere(costs < 0)[0]
        raise ValueError(f"costs[{row}, {column}]={costs[row, column]:g}; expected no negative cost")
    least = least_cost(costs)
    if np.isnan(as_real("budget", budget)):
        raise ValueError("budget=nan; expected a number")
    if least > budget:
        raise ValueError(
            f"budget={budget:.10g} cannot be met: the cheapest choice of every layer costs {least:.10g}, which is "
            f"{least - budget:.10g} too much; raise the budget, or add cheaper choices"
        )
    return costs, losses
