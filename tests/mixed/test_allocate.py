"""The exact methods against trying all, on random tables full of ties; greedy and rounding against their bounds."""

import itertools

import numpy as np
import pytest

from quantlab.mixed.allocate import (
    allocate_brute_force,
    allocate_dynamic,
    allocate_greedy,
    allocate_integer,
    allocate_uniform,
)
from quantlab.mixed.pareto import allocation_front, pareto_front
from quantlab.mixed.problem import Allocation

METHODS = [allocate_brute_force, allocate_dynamic, allocate_greedy, allocate_integer, allocate_uniform]
EXACT = [allocate_brute_force, allocate_dynamic, allocate_integer]


def problem(seed: int):
    """Integer tables, so that sums are exact: some with few different values (ties), zeros, costs without order."""
    rng = np.random.default_rng(seed)
    layers, choices = rng.integers(1, 6), rng.integers(1, 5)
    most = (3, 10, 1000)[seed % 3]
    costs, losses = rng.integers(0, most, (layers, choices)), rng.integers(-most, most, (layers, choices))
    if seed % 2:  # as in a network: dearer is better
        costs, losses = np.sort(costs, axis=1), -np.sort(-losses, axis=1)
    least, largest = costs.min(axis=1).sum(), costs.max(axis=1).sum()
    return costs, losses, int(rng.integers(least, largest + 2))


def by_definition(costs, losses, budget):
    """The least (loss, cost) over all allocations that fit: plain loops over plain integers."""
    found = []
    for choices in itertools.product(range(costs.shape[1]), repeat=len(costs)):
        cost = sum(int(row[c]) for row, c in zip(costs, choices, strict=True))
        if cost <= budget:
            found.append((sum(int(row[c]) for row, c in zip(losses, choices, strict=True)), cost))
    return min(found)


@pytest.mark.parametrize("seed", range(60))
def test_exact_methods_find_the_optimum(seed):
    costs, losses, budget = problem(seed)
    loss, cost = by_definition(costs, losses, budget)
    for method in EXACT:
        found = method(costs, losses, budget=budget)
        assert found.loss == loss, method.__name__
        assert found.cost <= budget
        rows = np.arange(len(costs))
        assert costs[rows, found.choices].sum() == found.cost
        assert losses[rows, found.choices].sum() == found.loss
    for method in (allocate_brute_force, allocate_dynamic):  # of equal losses the cheaper
        assert method(costs, losses, budget=budget).cost == cost


@pytest.mark.parametrize("seed", range(60))
def test_greedy_fits_and_is_never_better(seed):
    costs, losses, budget = problem(seed)
    found = allocate_greedy(costs, losses, budget=budget)
    assert found.cost <= budget
    assert found.loss >= by_definition(costs, losses, budget)[0]


def test_greedy_misses_the_optimum_somewhere():
    missed = 0
    for seed in range(60):
        costs, losses, budget = problem(seed)
        missed += allocate_greedy(costs, losses, budget=budget).loss > by_definition(costs, losses, budget)[0]
    assert 0 < missed < 60


def test_greedy_is_optimal_at_every_budget_that_it_stops_at_on_convex_losses():
    """With falling ratios and equal steps of cost each purchase is the best one: the textbook case."""
    rng = np.random.default_rng(1)
    losses = -np.cumsum(-np.sort(-rng.integers(1, 50, (5, 3)), axis=1), axis=1)
    costs = np.tile(np.arange(3), (5, 1))
    for budget in range(11):
        assert allocate_greedy(costs, losses, budget=budget).loss == by_definition(costs, losses, budget)[0]


@pytest.mark.parametrize("seed", range(30))
def test_real_costs(seed):
    """The integer program and brute force take reals; the losses are far apart beside HiGHS's gap of 1e-6."""
    rng = np.random.default_rng(seed)
    costs, losses = rng.uniform(0, 3, (5, 4)), rng.permutation(20).reshape(5, 4) ** 2
    budget = costs[np.arange(5), rng.integers(0, 4, 5)].sum()  # an allocation that fits to the last bit
    want = allocate_brute_force(costs, losses, budget=budget)
    found = allocate_integer(costs, losses, budget=budget)
    assert found.loss == want.loss
    assert found.cost <= budget


def test_choices_that_can_be_in_no_optimum_do_no_harm():
    """Costs and losses 1e15 and 1e30 times those that matter: HiGHS takes no such numbers, and need not see them."""
    costs, losses = [[0, 1e-6, 1e9], [0, 1e-6, 2e9], [0, 5e-7, 1e9]], [[3, 2, 0], [5, 2.5, 0], [4, 3.2, 0]]
    assert allocate_integer(costs, losses, budget=1.5e-6).choices.tolist() == [0, 1, 1]
    costs, losses = np.tile([0, 1, 2], (3, 1)), [[1e30, 1, 0], [1e30, 1.5, 0], [2e30, 1.25, 0]]
    assert allocate_integer(costs, losses, budget=4).choices.tolist() == [1, 2, 1]


def test_a_choice_that_takes_all_the_room_stays_in_the_program():
    """2.6 - 1.1 is a last bit more than 5.1 - (1.1 + 0.4 + 2.1), and the allocation fits all the same."""
    costs, losses = np.array([[1.1, 2.6], [0.4, 1.7], [2.1, 2.5]]), [[9.0, 0.0], [5.0, 0.0], [3.0, 0.0]]
    budget = 5.1
    assert costs[0, 1] - costs[0, 0] > budget - costs[:, 0].sum()
    want = allocate_brute_force(costs, losses, budget=budget)
    assert want.choices.tolist() == [1, 0, 0]
    assert allocate_integer(costs, losses, budget=budget).loss == want.loss


def test_a_solution_over_budget_by_less_than_the_solver_sees_is_not_returned():
    costs = np.array([[0.0, 1.0], [0.0, 1.0 + 1e-9]])
    losses = np.array([[5.0, 0.0], [5.0, 0.0]])
    found = allocate_integer(costs, losses, budget=2.0)
    assert found.cost <= 2.0
    assert found.loss == 5.0


@pytest.mark.parametrize("seed", [14, 17, 22])
def test_many_allocations_nearly_as_good(seed):
    """Every byte is worth nearly the same: HiGHS's usual relative gap of 1e-4 ends a few 1e-5 above the optimum."""
    rng = np.random.default_rng(seed)
    costs = np.cumsum(rng.integers(50, 100, (40, 3)), axis=1)
    losses = (400 - costs) * (1 + 0.01 * rng.random((40, 3)))
    budget = int((costs[:, 0].sum() + costs[:, 2].sum()) / 2)
    found, want = (method(costs, losses, budget=budget).loss for method in (allocate_integer, allocate_dynamic))
    excess = allocate_greedy(costs, losses, budget=budget).loss - losses.min(axis=1).sum()
    assert abs(found - want) <= 1.1e-6 * excess  # its absolute gap, and the rounding of 40 sums


def test_brute_force_sums_as_everybody_does():
    """Nine costs in tenths, added one after another and by numpy: the last bits differ, in either direction."""
    for row in ([2.5, 1.9, 1.5, 0.8, 0.9, 0.2, 0.3, 0.1, 0.6], [1.7, 2.8, 0.9, 2.4, 2.0, 0.1, 1.2, 2.5, 1.7]):
        costs, losses = np.column_stack([np.zeros(9), row]), np.tile([1.0, 0.0], (9, 1))
        whole = np.array(row).sum()
        assert whole != sum(row)
        assert allocate_brute_force(costs, losses, budget=whole).loss == 0
        found = allocate_brute_force(costs, losses, budget=np.nextafter(whole, 0))
        assert found.loss == 1
        assert found.cost < whole


@pytest.mark.parametrize("seed", range(10))
def test_losses_that_span_magnitudes(seed):
    """int4 losses are a million times float16 losses; with a large budget only the small ones are left to weigh."""
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 20, 6)
    costs, losses = n[:, None] * [4, 8, 16, 32], rng.exponential(size=6)[:, None] * [1.0, 3e-3, 1e-6, 0.0]
    for budget in (n.sum() * 6, n.sum() * 17, n.sum() * 25):
        want = allocate_brute_force(costs, losses, budget=budget).loss
        for method in (allocate_dynamic, allocate_integer):
            assert method(costs, losses, budget=budget).loss == pytest.approx(want, rel=1e-5, abs=0)


@pytest.mark.parametrize("seed", range(30))
def test_rounding_of_costs(seed):
    """Rounded up, a result fits; and it is as good as the optimum of a budget that is a unit a layer smaller."""
    rng = np.random.default_rng(seed)
    costs, losses, unit = rng.uniform(0, 10, (5, 4)), rng.integers(0, 100, (5, 4)), 0.25
    least, most = costs.min(axis=1).sum(), costs.max(axis=1).sum()
    budget = rng.uniform(least + 5 * unit, most)
    found = allocate_dynamic(costs, losses, budget=budget, unit=unit)
    assert found.cost <= budget
    assert found.loss >= allocate_brute_force(costs, losses, budget=budget).loss
    assert found.loss <= allocate_brute_force(costs, losses, budget=budget - 5 * unit).loss


def test_units_that_binary_numbers_do_not_hold():
    """Tenths and the like: quotients are a last bit too large or too small, and the result fits all the same."""
    rng, over, optimal = np.random.default_rng(0), 0, 0
    for unit in 40 * [0.1, 0.01, 0.3, 0.7, 1e-3]:
        n, losses = rng.integers(0, 40, (3, 3)), rng.integers(0, 50, (3, 3))
        costs, budget = n * unit, rng.integers(n.min(axis=1).sum() + 3, n.max(axis=1).sum() + 4) * unit
        found = allocate_dynamic(costs, losses, budget=budget, unit=unit)
        over += found.cost > budget
        assert found.loss <= allocate_brute_force(costs, losses, budget=budget - 3 * unit).loss
        optimal += found.loss == allocate_brute_force(costs, losses, budget=budget).loss
    assert over == 0
    assert 0 < optimal < 200  # exact only in whole numbers of a unit
    # 0.9 / 0.3 and the number below 0.9 over 0.3 are both 3.0: the table holds 0.9, the budget does not.
    below = np.nextafter(0.9, 0)
    assert allocate_dynamic([[0.5, 0.9]], [[1.0, 0.0]], budget=below, unit=0.3).cost == 0.5
    with pytest.raises(
        ValueError, match="unit=0.3 rounds costs so that nothing fits budget=0.8999.*; choose a smaller"
    ):
        allocate_dynamic([[0.85, 0.9]], [[1.0, 0.0]], budget=below, unit=0.3)


def test_greedy_does_not_spend_a_last_bit_too_much():
    """0.5 - 0.4 is the room that is left, and 0.5 + 0.3 + 0.0 is a last bit over the budget all the same."""
    costs, losses = np.array([[0.4, 0.5], [0.3, 1.0], [0.0, 0.4]]), np.array([[9.0, 0.0], [9.0, 8.0], [0.0, 0.0]])
    budget = np.nextafter(0.8, 0)
    assert costs[0, 1] - costs[0, 0] <= budget - costs[:, 0].sum()
    found = allocate_greedy(costs, losses, budget=budget)
    assert found.cost <= budget
    assert found.choices.tolist() == [0, 0, 0]


def test_rounding_loses_something_somewhere():
    costs, losses = [[1, 51], [49, 99]], [[1.0, 0.0], [2.0, 0.0]]
    fine, coarse = (allocate_dynamic(costs, losses, budget=100, unit=unit).loss for unit in (1, 50))
    assert (fine, coarse) == (1.0, 3.0)


@pytest.mark.parametrize("seed", range(40))
def test_front_is_the_optimum_of_every_budget(seed):
    costs, losses, _ = problem(seed)
    front = allocation_front(costs, losses)
    least, most = costs.min(axis=1).sum(), costs.max(axis=1).sum()
    want = []
    for budget in range(least, most + 1) if most - least < 60 else np.linspace(least, most, 20).astype(int):
        fitting = [each for each in front if each.cost <= budget]
        loss, cost = by_definition(costs, losses, budget)
        assert (fitting[-1].loss, fitting[-1].cost) == (loss, cost)
        want.append((loss, cost))
    if most - least < 60:
        assert [(each.loss, each.cost) for each in front] == list(dict.fromkeys(want))


@pytest.mark.parametrize("seed", range(20))
def test_pareto_front_by_definition(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 6, (2, 25))
    beaten = [
        any(
            (a[j] <= a[i]) and (b[j] <= b[i]) and ((a[j] < a[i]) or (b[j] < b[i]) or j < i) for j in range(25) if j != i
        )
        for i in range(25)
    ]
    want = [i for i in np.lexsort((b, a)) if not beaten[i]]
    assert pareto_front(a, b).tolist() == want


def test_two_hundred_layers_agree():
    """Sizes as in a network: the dynamic program, the integer program, and the greedy method's distance."""
    rng = np.random.default_rng(3)
    n = rng.integers(1, 64, 200)
    costs = n[:, None] * np.array([4, 8, 16, 32])
    losses = rng.exponential(size=200)[:, None] * np.array([256.0, 1.0, 1 / 64, 0.0])
    budget = n.sum() * 6
    exact, program = (method(costs, losses, budget=budget) for method in (allocate_dynamic, allocate_integer))
    assert abs(exact.loss / program.loss - 1) <= 2e-6  # HiGHS's gap: 1e-6 of the greedy answer, which is near
    greedy, uniform = (method(costs, losses, budget=budget) for method in (allocate_greedy, allocate_uniform))
    assert exact.loss <= greedy.loss < uniform.loss


@pytest.mark.parametrize("method", METHODS)
def test_one_layer_one_choice_and_infinite_budget(method):
    found = method([[7.0]], [[-2.0]], budget=7)
    assert (found.choices.tolist(), found.cost, found.loss) == ([0], 7.0, -2.0)
    assert method([[0.0, 3.0]], [[1.0, 0.0]], budget=np.inf).choices.tolist() == [1]
    assert method([[0.0, 0.0]], [[1.0, 0.5]], budget=0).loss == 0.5
    assert method([[2.0, 1.0]], [[0.5, 0.5]], budget=2).loss == 0.5


def test_of_equal_losses_uniform_takes_the_cheaper_then_the_first():
    costs, losses = [[3.0, 2.0, 2.0]], [[0.5, 0.5, 0.5]]
    assert allocate_uniform(costs, losses, budget=3).choices.tolist() == [1]


def test_the_chosen_values():
    found = Allocation(np.array([1, 0]), 12.0, 0.5)
    assert found.pick([4, 8]).tolist() == [8, 4]
    assert found.pick([[4, 8], [16, 32]]).tolist() == [8, 16]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("costs", "losses", "budget", "complaint"),
    [
        ([[4, 8], [2, 4]], [[1, 0], [1, 0]], 5, "cannot be met: .* costs 6, which is 1 too much"),
        ([[4, 8]], [[1, 0]], -np.inf, "cannot be met"),
        ([[4, 8]], [[1, 0]], np.nan, "budget=nan"),
        ([[4, np.inf]], [[1, 0]], 5, r"costs\[0, 1\]=inf"),
        ([[4, 8]], [[1, np.nan]], 5, r"losses\[0, 1\]=nan"),
        ([[4, -8]], [[1, 0]], 5, r"costs\[0, 1\]=-8; expected no negative"),
        ([[4, 8]], [[1, 0, 2]], 5, r"costs.shape=\(1, 2\), losses.shape=\(1, 3\)"),
        ([4, 8], [1, 0], 5, r"expected \(layers, choices\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), 5, "at least one of each"),
    ],
)
def test_bad_tables(method, costs, losses, budget, complaint):
    with pytest.raises(ValueError, match=complaint):
        method(costs, losses, budget=budget)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("budget", [None, "5"])
def test_a_budget_is_a_number(method, budget):
    with pytest.raises(TypeError, match=f"budget={budget!r} is a .*; pass one real number"):
        method([[4, 8]], [[1, 0]], budget=budget)


def test_bad_options():
    with pytest.raises(ValueError, match="holds no uniform allocation: the cheapest costs 9, which is 4 too much"):
        allocate_uniform([[1, 8], [8, 1]], np.zeros((2, 2)), budget=5)
    most = np.tile(np.arange(4), (11, 1))  # 2**22 allocations, as many as are tried
    assert allocate_brute_force(most, -most, budget=1).loss == -1
    with pytest.raises(ValueError, match="are 16,777,216 allocations; .* use allocate_dynamic"):
        allocate_brute_force(np.ones((12, 4)), np.ones((12, 4)), budget=100)
    for unit in (0, -1, np.inf, np.nan):
        with pytest.raises(ValueError, match=f"unit={unit}; expected a positive number"):
            allocate_dynamic([[1]], [[1]], budget=1, unit=unit)
    with pytest.raises(TypeError, match="unit='1' is a str"):
        allocate_dynamic([[1]], [[1]], budget=1, unit="1")
    for costs, unit in (([[1, 2], [1, 2]], 1e-30), ([[1e300, 2e300]], 1)):
        with pytest.raises(ValueError, match="than can be counted exactly; choose a unit of at least"):
            allocate_dynamic(costs, np.zeros(np.shape(costs)), budget=3e300, unit=unit)
    with pytest.raises(ValueError, match="until the cheapest allocation is 2 over"):
        allocate_dynamic([[3.0], [3.0]], [[0.0], [0.0]], budget=6, unit=4)
    for factor, unit in ((1, "14.9"), (2, "29.8")):  # 2 layers x 2e9 cells, of the common divisor each, over 2**28
        with pytest.raises(ValueError, match=f"choose a unit of at least {unit}$"):
            allocate_dynamic(factor * np.array([[0, 10**9 + 1], [0, 10**9]]), np.zeros((2, 2)), budget=factor * 2e9)
    assert allocate_dynamic([[0, 10**9], [0, 10**9]], [[1, 0], [2, 0]], budget=10**9).loss == 1  # in units of 10**9
    assert pareto_front([2.0, 1.0], [np.inf, np.inf]).tolist() == [1]  # infinities are compared as all others
    assert pareto_front([], []).tolist() == []
    with pytest.raises(ValueError, match="NaN"):
        pareto_front([1.0], [np.nan])
    with pytest.raises(ValueError, match=r"expected \(points,\)"):
        pareto_front([1.0], [1.0, 2.0])
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="points after"):
        allocation_front(
            2.0 ** np.arange(24)[:, None] * [0, 1], -(2.0 ** np.arange(24)[:, None]) * [0, 1] + rng.random()
        )
