"""Checks of exercise 15: bytes of a layer, the best bargain, a row of the dynamic program, the Pareto front."""

import numpy as np

from quantlab.lab.checks import Incorrect, exercise, expect_array, expect_close, expect_equal


@exercise(
    "15.1",
    title="Count the bytes of a layer",
    difficulty=1,
    minutes=6,
    hints=(
        "Bits divided by 8 are bytes; a started byte counts.",
        "Integers need a scale, 4 bytes for every channel; float16 and float32 need none.",
        "(n_weights * n_bits + 7) // 8 + (4 * n_channels if n_bits <= 8 else 0)",
    ),
)
def check_layer_bytes(answer, say):
    """``layer_bytes``: packed weights and their scales."""
    for n_weights, n_channels, n_bits, hint in [
        (10, 2, 32, "float32 weights need 4 bytes each and no scale"),
        (10, 2, 8, "integers need a scale of 4 bytes for each channel"),
        (10, 2, 4, "two int4 weights share a byte, but a scale has its 4 bytes all the same"),
        (9, 1, 4, "nine int4 weights open a fifth byte: round up"),
        (10, 2, 16, "float16 is a float: no scale"),
        (409_600, 1280, 4, "the same rule for a large layer"),
    ]:
        want = -(-n_weights * n_bits // 8) + 4 * n_channels * (n_bits in (4, 8))
        when = f"with n_weights={n_weights}, n_channels={n_channels}, n_bits={n_bits}"
        expect_equal(answer(n_weights, n_channels, n_bits), want, when=when, hint=hint)


@exercise(
    "15.2",
    title="Find the best bargain",
    difficulty=2,
    minutes=9,
    hints=(
        "Loss saved, divided by cost added; both against the choice of now.",
        "Leave out changes that cost nothing more, save nothing, or do not fit into room, then take the largest ratio.",
        "Set forbidden ratios to -inf, take argmax of the flat array, and np.unravel_index.",
    ),
)
def check_best_bargain(answer, say):
    """``best_bargain``: the change with the largest marginal ratio."""
    for costs, losses, now, room, hint in [
        (
            [[1, 2], [1, 11]],
            [[4, 0], [20, 0]],
            [0, 0],
            100,
            "saving 20 for 10 more is a ratio of 2, saving 4 for 1 is 4",
        ),
        (
            [[1, 2], [1, 11]],
            [[1, 0], [30, 0]],
            [0, 0],
            100,
            "the cheapest change is not the best bargain: saving 30 for 10 more is a ratio of 3",
        ),
        ([[1, 2], [1, 2]], [[10, 9], [4, 0]], [0, 0], 9, "the loss that goes away counts, not the loss that is there"),
        ([[0, 10], [100, 105]], [[10, 0], [10, 0]], [0, 0], 99, "the added cost counts, not the whole cost"),
        ([[1, 9], [1, 3]], [[80, 0], [2, 0]], [0, 0], 5, "the first change costs 8 more, and room is 5"),
        ([[1, 3], [1, 9]], [[2, 0], [8, 0]], [0, 0], 9, "of equal ratios the first layer's wins"),
        ([[1, 3], [1, 9]], [[4, 0], [4, 0]], [0, 0], 2, "a change that costs exactly room still fits"),
        ([[1, 3, 4]], [[9, 8, 0]], [0], 9, "a change may skip a choice: saving 9 for 3 more is a ratio of 3"),
        ([[1, 2], [1, 3]], [[1, 9], [4, 2]], [0, 0], 9, "the first change makes the loss larger: that is no bargain"),
        (
            [[1, 3, 4], [1, 2, 9]],
            [[20, 19, 0], [30, 20, 15]],
            [1, 0],
            9,
            "compare with the choice of now, not with the first",
        ),
        (
            [[1, 2], [1, 3]],
            [[50, 1], [9, 0]],
            [1, 0],
            9,
            "back to the first layer's first choice costs less and loses more: nothing is bought there",
        ),
    ]:
        arrays = np.array(costs, float), np.array(losses, float), np.array(now)
        got, want = answer(*arrays, room), _bargain(*arrays, room)
        when = f"with costs={costs}, losses={losses}, now={now}, room={room}"
        if isinstance(got, tuple) and len(got) == 2 and want == _pair((got[1], got[0]), when) != _pair(got, when):
            raise Incorrect(f"{when} you return {got}: the layer comes first, then its choice")
        expect_equal(_pair(got, when), want, when=when, hint=hint)
    rng = np.random.default_rng(15)
    for _ in range(30):
        costs, losses = np.sort(rng.integers(1, 50, (5, 4)), axis=1) + np.arange(4.0), rng.integers(0, 99, (5, 4)) * 1.0
        losses = -np.sort(-losses, axis=1) - np.arange(4)
        now = rng.integers(0, 3, 5)
        got = answer(costs, losses, now, 200.0)
        expect_equal(_pair(got, "with 5 layers"), _bargain(costs, losses, now, 200.0), when="with 5 random layers")


def _pair(got: object, when: str) -> str:
    if not isinstance(got, tuple) or len(got) != 2:
        raise Incorrect(f"{when} wanted is a tuple (layer, choice)")
    if not all(isinstance(index, int | np.integer) for index in got):
        raise Incorrect(f"{when} you return {got}; wanted are two whole numbers")
    return f"layer {int(got[0])}, choice {int(got[1])}"


def _bargain(costs: np.ndarray, losses: np.ndarray, now: np.ndarray, room: float) -> str:
    found = []
    for layer, choice in np.ndindex(costs.shape):
        more = costs[layer, choice] - costs[layer, now[layer]]
        gain = losses[layer, now[layer]] - losses[layer, choice]
        if 0 < more <= room and gain > 0:
            found.append((-gain / more, layer, choice))
    _, layer, choice = min(found)
    return f"layer {layer}, choice {choice}"


@exercise(
    "15.3",
    title="Add a layer to the table",
    difficulty=2,
    minutes=10,
    hints=(
        "If the new layer spends c of b, the layers before spent b - c.",
        "For one choice that is the old table moved right by c, plus its loss. Take the least over the choices.",
        "new[c:] = np.minimum(new[c:], best[: len(best) - c] + worse), for every c that fits.",
    ),
)
def check_add_layer(answer, say):
    """``add_layer``: one step of the dynamic program."""
    for best, cost, loss, hint in [
        ([0.0, np.inf], [1], [5.0], "only cost 1 can be reached, and every layer must take a choice"),
        ([0.0, np.inf, np.inf, np.inf], [1, 3], [5.0, 2.0], "two choices reach two costs; exactly b, not at most b"),
        ([0.0, 9.0, np.inf], [0, 1], [7.0, 4.0], "cost 1 is reached in two ways, 9 + 7 and 0 + 4: the least counts"),
        (
            [0.0, 1.0],
            [1],
            [0.0],
            "cost 0 cannot be reached any more: what leaves the table at its end does not come back",
        ),
        (
            [0.0, np.inf, np.inf],
            [1, 1],
            [3.0, 1.0],
            "a layer takes one of its choices: read the old table, not the new one",
        ),
        ([0.0, 1.0], [5, 1], [0.0, 2.0], "cost 5 does not fit into this table; leave the choice out"),
    ]:
        when = f"with best={best}, cost={cost}, loss={loss}"
        table, cost, loss = np.array(best), np.array(cost), np.array(loss)
        got = expect_array(answer(table, cost, loss), shape=table.shape, when=when)
        expect_close(got, _step(table, cost, loss), atol=1e-6, when=when, hint=hint)
    rng = np.random.default_rng(15)
    table = np.where(rng.random(60) < 0.5, np.inf, rng.random(60))
    cost, loss = rng.integers(0, 70, 4), rng.random(4)
    expect_close(answer(table, cost, loss), _step(table, cost, loss), atol=1e-6, when="with a random table of 60 costs")


def _step(best: np.ndarray, cost: np.ndarray, loss: np.ndarray) -> np.ndarray:
    ways = [[best[b - c] + worse for c, worse in zip(cost, loss, strict=True) if c <= b] for b in range(len(best))]
    return np.array([min(values, default=np.inf) for values in ways])


@exercise(
    "15.4",
    title="Keep what nothing beats",
    difficulty=2,
    minutes=10,
    hints=(
        "A point is beaten by one that is no worse in both numbers and better in at least one.",
        "Compare all pairs at once: cost[None] <= cost[:, None].",
        "~(no_worse & better).any(axis=1), with better an *or* of two strict comparisons.",
    ),
)
def check_on_front(answer, say):
    """``on_front``: the Pareto front, as a mask."""
    for cost, loss, hint in [
        ([1.0, 2.0], [5.0, 3.0], "dearer but better: both stay"),
        ([1.0, 2.0], [3.0, 5.0], "the second is dearer and worse: it goes"),
        ([1.0, 1.0], [3.0, 3.0], "equal points do not beat each other"),
        ([1.0, 1.0], [3.0, 5.0], "as dear and worse is beaten: one strict comparison is enough"),
        ([1.0, 2.0], [3.0, 3.0], "as bad and dearer is beaten"),
        (
            [1.0, 2.0, 3.0],
            [5.0, 4.0, 0.0],
            "the second lies above the line between the others, but neither of them beats it: it stays",
        ),
        ([1.0, 2.0, 3.0], [5.0, 1.0, 3.0], "the third is beaten by the second, though it beats the first in loss"),
        ([3.0, 1.0, 2.0], [1.0, 3.0, 4.0], "the points come in any order"),
        ([1.0, 1.0], [5.0, 3.0], "as dear and worse is beaten, also when the worse one comes first"),
    ]:
        when = f"with cost={cost}, loss={loss}"
        cost, loss = np.array(cost), np.array(loss)
        got = expect_array(answer(cost, loss), shape=cost.shape, dtype=bool, when=when)
        expect_equal(got, _front(cost, loss), when=when, hint=hint)
    cost, loss = np.random.default_rng(15).integers(0, 9, (2, 60)).astype(float)
    expect_equal(answer(cost, loss), _front(cost, loss), when="with 60 random points, some of them equal")


def _front(cost: np.ndarray, loss: np.ndarray) -> np.ndarray:
    least = {c: loss[cost <= c].min() for c in cost}
    cheapest = {v: cost[loss <= v].min() for v in loss}
    return np.array([least[c] == v and cheapest[v] == c for c, v in zip(cost, loss, strict=True)])
