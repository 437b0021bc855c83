r"""Which layer gets how many bits: the least sum of losses whose sum of costs stays within a budget.

.. math:: \min_{c} \sum_l \mathrm{loss}_{l, c_l} \quad \text{subject to} \quad \sum_l \mathrm{cost}_{l, c_l} \le B

It is the multiple-choice knapsack problem: hard in general, easy at the sizes of networks.

References
----------
H. Kellerer, U. Pferschy, D. Pisinger, "Knapsack Problems", Springer 2004, chapter 11.
"""

import numpy as np

from quantlab.core.arguments import as_real
from quantlab.mixed.problem import Allocation, allocation, check_tables

__all__ = ["allocate_brute_force", "allocate_dynamic", "allocate_greedy", "allocate_integer", "allocate_uniform"]

MOST_ALLOCATIONS = 2**22  # brute force holds two float64 numbers for each
MOST_CELLS = 2**28  # the dynamic program holds one small integer for each layer and cost
MOST_UNITS = 2**50  # up to there a quotient of float64 numbers is rounded up as it should be, but for a last bit


def allocate_uniform(costs: np.ndarray, losses: np.ndarray, *, budget: float) -> Allocation:
    """Return the best allocation that gives all layers the same choice.

    Of equal losses the cheaper one is taken, then the first.

    Raises
    ------
    ValueError
        As `quantlab.mixed.problem.check_tables`, and if no uniform allocation fits, though a mixed one does.

    Examples
    --------
    >>> allocate_uniform([[4, 8], [2, 4]], [[3.0, 1.0], [0.5, 0.0]], budget=11)
    Allocation(choices=array([0, 0]), cost=6.0, loss=3.5)
    """
    costs, losses = check_tables(costs, losses, budget)
    every = [allocation(np.full(len(costs), c), costs, losses) for c in range(costs.shape[1])]
    fits = [each for each in every if each.cost <= budget]
    if not fits:
        least = min(each.cost for each in every)
        raise ValueError(
            f"budget={budget:.10g} holds no uniform allocation: the cheapest costs {least:.10g}, which is "
            f"{least - budget:.10g} too much; a mixed allocation fits"
        )
    return min(fits, key=lambda each: (each.loss, each.cost))


def allocate_greedy(costs: np.ndarray, losses: np.ndarray, *, budget: float) -> Allocation:
    r"""Return what buying the best bargain first leads to: fast, often good, not always the best.

    Start with each layer's cheapest choice. Again and again, of all changes that still fit and lower the loss, make the
    one with the largest marginal ratio

    .. math:: \frac{\mathrm{loss}_{l, now} - \mathrm{loss}_{l, c}}{\mathrm{cost}_{l, c} - \mathrm{cost}_{l, now}}

    A change that costs nothing has an infinite ratio. Of equal ratios the first layer's first choice is taken. A change
    is never taken back: that is what the exact methods do better.

    Raises
    ------
    ValueError
        As `quantlab.mixed.problem.check_tables`.

    Examples
    --------
    The bargain of the first layer leaves no room for the second, which would have been better:

    >>> costs, losses = [[0, 1], [0, 10]], [[2.0, 0.0], [10.0, 0.0]]
    >>> allocate_greedy(costs, losses, budget=10).loss, allocate_dynamic(costs, losses, budget=10).loss
    (10.0, 2.0)
    """
    costs, losses = check_tables(costs, losses, budget)
    rows = np.arange(len(costs))
    choices = costs.argmin(axis=1)
    while True:
        spent = costs[rows, choices]
        extra = costs - spent[:, None]
        gain = losses[rows, choices][:, None] - losses
        useful = (gain > 0) & (extra <= budget - spent.sum())
        if not useful.any():
            return allocation(choices, costs, losses)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(useful, gain / extra, -np.inf)
        layer, choice = np.unravel_index(ratio.argmax(), ratio.shape)
        trial = choices.copy()
        trial[layer] = choice
        if costs[rows, trial].sum() > budget:  # the sum rounds otherwise than the difference: a last bit too much
            costs = costs.copy()
            costs[layer, choice] = np.inf
            continue
        choices = trial


def allocate_dynamic(costs: np.ndarray, losses: np.ndarray, *, budget: float, unit: float = 1) -> Allocation:
    r"""Return the best allocation by dynamic programming: exact on costs and a budget in whole numbers of ``unit``.

    The table holds the least loss of the first layers at each cost, and each layer adds a row:

    .. math:: T_l(b) = \min_c \big( T_{l - 1}(b - \mathrm{cost}_{l, c}) + \mathrm{loss}_{l, c} \big)

    Time and memory grow with layers times budget / unit; what all layers must spend anyway is taken off first, and
    a common divisor of the costs is divided out.

    Parameters
    ----------
    costs, losses : array_like, shape (layers, choices)
    budget : float
    unit : float
        What one step of the table stands for. Costs are rounded **up** to it, so the result always fits the budget;
        but allocations that fit by less than one unit a layer may be missed. With L layers the result is at least as
        good as the best allocation of cost ``budget - L * unit``, and cannot be better than that of ``budget``.
        Choose a whole number or a power of two: in floating point 1.1 is more than 11 * 0.1, and would count 12.

    Raises
    ------
    ValueError
        As `quantlab.mixed.problem.check_tables`; if ``unit`` is not positive and finite; if only the rounded costs do
        not fit; or if costs are too many units, or the table too large: choose a larger unit.

    Notes
    -----
    Of equal losses the smaller cost is taken. Sums of losses in different orders differ in their last bits, so among
    allocations within 1e-15 of each other any may come.

    Examples
    --------
    >>> allocate_dynamic([[4, 8], [2, 4], [1, 2]], [[3.0, 1.0], [0.5, 0.0], [2.0, 0.0]], budget=12)
    Allocation(choices=array([1, 0, 1]), cost=12.0, loss=1.5)

    In units of 50 the costs 1 + 99 count as 50 + 100, which does not fit any more:

    >>> allocate_dynamic([[1, 51], [49, 99]], [[1.0, 0.0], [2.0, 0.0]], budget=100, unit=1).loss
    1.0
    >>> allocate_dynamic([[1, 51], [49, 99]], [[1.0, 0.0], [2.0, 0.0]], budget=100, unit=50).loss
    3.0
    """
    costs, losses = check_tables(costs, losses, budget)
    if not 0 < as_real("unit", unit) < np.inf:
        raise ValueError(f"unit={unit}; expected a positive number")
    if costs.max() >= MOST_UNITS * unit:
        raise ValueError(
            f"unit={unit:g} makes more units of the cost {costs.max():g} than can be counted exactly; choose a unit of "
            f"at least {costs.max() / MOST_UNITS:.3g}"
        )
    steps = np.ceil(costs / unit).astype(np.int64)
    base = steps.min(axis=1)
    steps -= base[:, None]
    room = min(float(np.floor(budget / unit)) - base.sum(), steps.max(axis=1).sum())
    if room < 0:
        raise ValueError(
            f"unit={unit:g} rounds costs up until the cheapest allocation is {base.sum() * unit - budget:g} over "
            f"budget={budget:g}; choose a smaller unit"
        )
    divisor = int(np.gcd.reduce(steps, axis=None)) or 1
    steps, room = steps // divisor, int(room) // divisor
    if len(steps) * (room + 1) > MOST_CELLS:
        raise ValueError(
            f"unit={unit:g} asks for a table of {len(steps)} x {room + 1:,} cells; choose a unit of at least "
            f"{unit * divisor * len(steps) * (room + 1) / MOST_CELLS:.3g}"
        )
    best = np.full(room + 1, np.inf)
    best[0] = 0.0
    chosen = np.empty((len(steps), room + 1), np.min_scalar_type(steps.shape[1]))
    for layer, (row, loss) in enumerate(zip(steps, losses, strict=True)):
        # Dearer choices cannot win a tie: only a smaller loss replaces what stands there.
        new = np.full(room + 1, np.inf)
        for choice in np.argsort(row, kind="stable"):
            if row[choice] > room:
                break
            candidate = best[: room + 1 - row[choice]] + loss[choice]
            target = new[row[choice] :]
            better = candidate < target
            np.copyto(target, candidate, where=better)
            chosen[layer, row[choice] :][better] = choice
        best = new
    choices = np.empty(len(steps), np.int64)
    while best[end := int(best.argmin())] < np.inf:
        cost = end
        for layer in range(len(steps) - 1, -1, -1):
            choices[layer] = chosen[layer, cost]
            cost -= steps[layer, choices[layer]]
        result = allocation(choices, costs, losses)
        if result.cost <= budget:
            return result
        best[end] = np.inf  # a quotient was rounded down: over budget by a last bit
    raise ValueError(f"unit={unit:g} rounds costs so that nothing fits budget={budget:.17g}; choose a smaller unit")


def allocate_integer(costs: np.ndarray, losses: np.ndarray, *, budget: float) -> Allocation:
    r"""Return the best allocation as an integer program, solved by HiGHS (`scipy.optimize.milp`).

    A variable :math:`x_{l, c}` of 0 or 1 for every layer and choice:

    .. math:: \min \sum_{l, c} \mathrm{loss}_{l, c} x_{l, c} \quad \text{with} \quad \sum_c x_{l, c} = 1, \quad
        \sum_{l, c} \mathrm{cost}_{l, c} x_{l, c} \le B

    Costs may be any reals. The optimum is exact to HiGHS's absolute gap: 1e-6 of the greedy answer's excess, the sum of
    what its losses lie above each layer's least one.

    Raises
    ------
    ValueError
        As `quantlab.mixed.problem.check_tables`.
    RuntimeError
        If HiGHS gives up.

    Notes
    -----
    HiGHS takes a constraint as met when it is missed by up to 1e-6. A solution that is over budget by so little is
    excluded by a constraint of its own, and the program solved again.

    References
    ----------
    Q. Huangfu and J. A. J. Hall, "Parallelizing the dual revised simplex method", Mathematical Programming Computation
    2018.

    Examples
    --------
    >>> allocate_integer([[4.5, 8], [2, 4], [1, 2]], [[3.0, 1.0], [0.5, 0.0], [2.0, 0.0]], budget=12)
    Allocation(choices=array([1, 0, 1]), cost=12.0, loss=1.5)
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_array

    costs, losses = check_tables(costs, losses, budget)
    n_layers, n_choices = costs.shape
    extra = costs - costs.min(axis=1, keepdims=True)
    worse = losses - losses.min(axis=1, keepdims=True)
    room = min(max(budget - costs.min(axis=1).sum(), 0.0), extra.max(axis=1).sum())
    greedy = allocate_greedy(costs, losses, budget=budget)
    excess = worse[np.arange(n_layers), greedy.choices].sum()
    if excess == 0:  # every layer has its least loss
        return greedy
    # What alone is dearer than all the room, or worse than the greedy answer, is in no optimum. In units of the room
    # and of that answer's excess all numbers lie between 0 and 1, for which HiGHS's tolerances are made.
    impossible = (extra > room * (1 + 1e-9)) | (worse > excess * (1 + 1e-9))
    scaled = np.where(impossible, 0.0, extra / (room or 1.0))
    columns = np.arange(n_layers * n_choices)
    one_each = csr_array((np.ones(len(columns)), (columns // n_choices, columns)), (n_layers, len(columns)))
    constraints = [LinearConstraint(one_each, 1, 1), LinearConstraint(scaled.reshape(1, -1), -np.inf, 1)]
    while True:
        found = milp(
            np.where(impossible, 0.0, worse / excess).ravel(),
            integrality=np.ones(len(columns)),
            bounds=Bounds(0, np.where(impossible, 0.0, 1.0).ravel()),
            constraints=constraints,
            options={"mip_rel_gap": 0.0},
        )
        if found.x is None:
            raise RuntimeError(f"HiGHS found no allocation: {found.message}")
        choices = found.x.reshape(n_layers, n_choices).argmax(axis=1)
        result = allocation(choices, costs, losses)
        if result.cost <= budget:
            return result
        taken = np.zeros((1, len(columns)))
        taken[0, np.arange(n_layers) * n_choices + choices] = 1
        constraints.append(LinearConstraint(taken, -np.inf, n_layers - 1))


def allocate_brute_force(costs: np.ndarray, losses: np.ndarray, *, budget: float) -> Allocation:
    """Return the best allocation by trying all: the definition, for small networks.

    Of equal losses the smaller cost is taken, then the first in counting order (the last layer counts fastest).

    Raises
    ------
    ValueError
        As `quantlab.mixed.problem.check_tables`, and if there are more than 2**22 allocations.

    Examples
    --------
    >>> allocate_brute_force([[4, 8], [2, 4], [1, 2]], [[3.0, 1.0], [0.5, 0.0], [2.0, 0.0]], budget=12)
    Allocation(choices=array([1, 0, 1]), cost=12.0, loss=1.5)
    """
    costs, losses = check_tables(costs, losses, budget)
    n_layers, n_choices = costs.shape
    if n_choices**n_layers > MOST_ALLOCATIONS:
        raise ValueError(
            f"{n_choices} choices in {n_layers} layers are {n_choices**n_layers:,} allocations; brute force tries at "
            f"most {MOST_ALLOCATIONS:,}: use allocate_dynamic or allocate_integer"
        )
    cost, loss = np.zeros(1), np.zeros(1)
    for row, worse in zip(costs, losses, strict=True):
        cost, loss = np.add.outer(cost, row).ravel(), np.add.outer(loss, worse).ravel()
    fits = np.flatnonzero(cost <= budget * (1 + 1e-12))
    for index in fits[np.lexsort((cost[fits], loss[fits]))]:
        result = allocation(np.unravel_index(index, (n_choices,) * n_layers), costs, losses)
        if result.cost <= budget:  # summed as everywhere: the running sums above may end in another last bit
            return result
    raise AssertionError("the cheapest allocation fits, so this is not reached")
