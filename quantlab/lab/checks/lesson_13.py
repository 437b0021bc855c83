"""Checks of exercise 13: the slope and the gradient of a learned step, its start, PACT, and Quant-Noise."""

import numpy as np

from quantlab.core.grid import Grid
from quantlab.lab.checks import Incorrect, exercise, expect, expect_array, expect_close, expect_type
from quantlab.qat.clipping import clip_backward
from quantlab.qat.lsq import gradient_scale, initial_step, lsq_backward


@exercise(
    "13.1",
    title="Find the slope of a step",
    difficulty=2,
    minutes=10,
    hints=(
        "Outside the grid the quantized value is s * quant_min or s * quant_max: what is its slope by s?",
        "Inside it is s * round(v / s), and straight through the slope of round(v / s) by s is -v / s**2.",
        "q = clip(round(v / s)); where clipping changed nothing q - v / s, elsewhere q.",
    ),
)
def check_step_slope(answer, say):
    """``step_slope``: LSQ's slope of every quantized value by the step."""
    for v, s, hint in [
        (0.25, 1.0, "0.25 is rounded to 0, and the slope is 0 - 0.25: what is left of rounding"),
        (0.75, 1.0, "0.75 is rounded to 1, and the slope is 1 - 0.75: round(v / s) - v / s, in this order"),
        (0.5, 2.0, "divide by the step before you round: the slope is 0 - 0.25"),
        (2.5, 1.0, "2.5 lies on a tie: it goes to the even mark, 2, and the slope is 2 - 2.5"),
        (9.0, 1.0, "above the grid v_hat is s * quant_max, and its slope quant_max"),
        (-9.0, 1.0, "below the grid v_hat is s * quant_min, and its slope quant_min"),
        (3.25, 1.0, "3.25 rounds to 3, which is on the grid: the rounded value decides, not v / s"),
    ]:
        when = f"with v=[{v}], s={s}, grid -4..3"
        got = expect_array(answer(np.array([v]), s, -4, 3), shape=(1,), when=when)
        if v == 0.75 and got[0] == 1:
            raise Incorrect(f"{when} you return the mark alone; v / s shrinks when s grows: take it off")
        if v == 0.25 and got[0] == 0.25:
            raise Incorrect(f"{when} you return v / s - round(v / s): it is the other way round")
        expect_close(got, _slopes(np.array([v]), s, -4, 3), atol=1e-6, when=when, hint=hint)
    v = np.random.default_rng(7).normal(size=300) * 2
    when = "with 300 values, s=0.37, grid 0..7"
    got = expect_array(answer(v, 0.37, 0, 7), shape=v.shape, when=when)
    expect_close(got, _slopes(v, 0.37, 0, 7), atol=1e-4, when=when, hint="use quant_min and quant_max as they come")


def _slopes(v: np.ndarray, s: float, quant_min: int, quant_max: int) -> np.ndarray:
    """Every value with a step of its own: then the step's gradient is its slope."""
    grid = Grid(n_bits=int(quant_max - quant_min).bit_length(), signed=quant_min < 0)
    steps = np.full(len(v), s, np.float32)
    return lsq_backward(np.ones((len(v), 1)), v[:, None], steps, grid=grid, axis=0)[1]


@exercise(
    "13.2",
    title="Choose the first step",
    difficulty=1,
    minutes=6,
    hints=(
        "Twice the mean magnitude, over the root of the largest mark.",
        "Magnitude first, mean afterwards; and the mean goes along a row, axis=1.",
        "2 * np.abs(W).mean(axis=1) / np.sqrt(quant_max)",
    ),
)
def check_first_steps(answer, say):
    """``first_steps``: LSQ's first step, a row."""
    W = np.array([[1.0, -3.0], [2.0, 4.0]], np.float32)
    when = "with W=[[1, -3], [2, 4]], quant_max=16"
    got = expect_array(answer(W, 16), shape=(2,), when=when)
    want = initial_step(W, grid=Grid(n_bits=5, signed=False), axis=0) * np.sqrt(31) / 4
    for wrong, hint in [
        (2 * W.mean(1) / 4, "you average before you take the magnitude: positive and negative weights cancel"),
        (2 * np.abs(W).max(1) / 4, "the mean magnitude, not the largest: one outlier must not set the step"),
        (2 * np.abs(W).mean(0) / 4, "you average over columns: a row is an output, and has the step"),
        (np.abs(W).mean(1) / 4, "you are off by a factor of 2: it is twice the mean magnitude"),
        (2 * np.abs(W).mean(1) / 16, "divide by the root of quant_max"),
        (np.full(2, 1.25), "one number for all rows: each row has its own"),
    ]:
        if np.allclose(got, wrong):
            raise Incorrect(f"{when} you return {got.tolist()}: {hint}")
    expect_close(got, want, atol=1e-6, when=when, hint="2 * mean(|w|) / sqrt(quant_max), row by row")
    W = np.random.default_rng(7).normal(size=(5, 40)).astype(np.float32)
    want = initial_step(W, grid=Grid(n_bits=4), axis=0)
    got = answer(W, 7)
    expect_close(
        got, want, atol=1e-5, when="with 5 x 40 weights, quant_max=7", hint="does every row, every mark count?"
    )


@exercise(
    "13.3",
    title="Balance the gradient",
    difficulty=2,
    minutes=10,
    hints=(
        "The chain rule, for one parameter that many values share: multiply, then add up.",
        "The gradient scale is 1 / sqrt(n * quant_max); the samples are not in n.",
        "(dx_hat * slope).sum() / np.sqrt(dx_hat.shape[1] * quant_max)",
    ),
)
def check_step_gradient(answer, say):
    """``step_gradient``: the gradient of a step that all inputs share, scaled."""
    dx_hat, slope = np.ones((2, 8)), np.full((2, 8), 0.5)
    when = "with 2 samples of 8 features, all gradients 1, all slopes 0.5, quant_max=2"
    got = answer(dx_hat, slope, 2)
    expect_type(got, (float, np.floating), when=when)
    for wrong, hint in [
        (8.0, "this is the sum alone: multiply by the gradient scale"),
        (0.5 / 4, "you average: the step's gradient is a sum, and the gradient scale is there because it is"),
        (8 / 32**0.5, "your n counts all values: for activations it is the features of one sample, here 8"),
        (8 / 2.0, "your n counts samples: it is the features of one sample, here 8"),
        (8 / 16, "the root is missing: 1 / sqrt(n * quant_max)"),
        (8 / 8**0.5, "quant_max is missing: a longer grid makes larger slopes"),
        (4.0 / 4, "add up over the samples too: they share the step"),
    ]:
        if np.isclose(float(got), wrong):
            raise Incorrect(f"{when} you return {float(got):.3g}: {hint}")
    expect_close(np.asarray(got), 2.0, atol=1e-9, when=when, hint="a sum of 8, times 1 / sqrt(8 * 2)")
    rng = np.random.default_rng(7)
    dx_hat, x = rng.normal(size=(6, 20)).astype(np.float32), rng.normal(size=(6, 20)).astype(np.float32)
    grid = Grid(n_bits=4)
    factor = gradient_scale(20, grid=grid)
    steps = _slopes(x.ravel().astype(np.float64), 0.3, -8, 7).reshape(6, 20)
    want = lsq_backward(dx_hat, x, 0.3, grid=grid, grad_factor=factor)[1]
    got = answer(dx_hat, steps, 7)
    hint = "multiply value by value before you add"
    expect_close(np.asarray(got), want, atol=1e-4, when="with 6 samples of 20 features, quant_max=7", hint=hint)


@exercise(
    "13.4",
    title="Go back through PACT",
    difficulty=2,
    minutes=10,
    hints=(
        "Three places: below 0, between, and from alpha on. Who moves the output there: x, alpha, or nobody?",
        "x passes for 0 <= x < alpha; alpha collects dy where x >= alpha.",
        "The gradient of decay / 2 * alpha**2 by alpha is decay * alpha; add it once.",
    ),
)
def check_pact(answer, say):
    """``pact``: the gradients by activations and by the end of their range."""
    x, dy, alpha = np.array([-1.0, 0.5, 2.0, 3.0]), np.array([10.0, 20.0, 30.0, 40.0]), 2.0
    when = "with x=[-1, 0.5, 2, 3], dy=[10, 20, 30, 40], alpha=2, decay=0"
    got = answer(dy, x, alpha, 0.0)
    expect_type(got, (tuple, list), when=when)
    expect(len(got) == 2, f"{when} you return {len(got)} values, expected (dx, d_alpha)")
    dx, d_alpha = expect_array(got[0], shape=(4,), when=f"{when}, dx:"), float(got[1])
    if dx[0]:
        raise Incorrect(f"{when} a gradient passes at x=-1: below 0 PACT is flat, as the ReLU")
    if dx[2] and not dx[3]:
        raise Incorrect(f"{when} a gradient passes at x=alpha: the paper counts it as clipped, x >= alpha")
    if dx[3]:
        raise Incorrect(f"{when} a gradient passes at x=3: above alpha the output is alpha, whatever x")
    want = np.array([0.0, 20.0, 0.0, 0.0])
    expect_close(dx, want, atol=1e-9, when=f"{when}, dx:", hint="inside, dy goes straight through")
    for wrong, hint in [
        (2, "you count the clipped values: multiply by their dy"),
        (40, "x = alpha counts as clipped: x >= alpha"),
        (100, "only clipped values move with alpha"),
        (35, "you average: every clipped value pulls, so add"),
    ]:
        if d_alpha == wrong:
            raise Incorrect(f"{when} your d_alpha is {wrong}: {hint}")
    expect_close(np.asarray(d_alpha), 70.0, atol=1e-9, when=f"{when}, d_alpha:", hint="dy summed over x >= alpha")
    when = "with x=[0], dy=[10], alpha=2, decay=0, dx:"
    at_zero = answer(np.array([10.0]), np.zeros(1), 2.0, 0.0)[0]
    expect_close(at_zero, np.array([10.0]), atol=1e-9, when=when, hint="0 belongs to the inside: 0 <= x < alpha")
    when = "with nothing clipped, alpha=3, decay=0.5"
    d_alpha = float(answer(np.ones(2), np.array([0.5, 1.0]), 3.0, 0.5)[1])
    for wrong, hint in [
        (0.0, "the decay is missing: it pushes even when nothing is clipped"),
        (2.25, "this is the term of the loss; its gradient by alpha is decay * alpha"),
        (3.0, "once decay * alpha, not twice"),
        (-1.5, "the decay makes alpha smaller in descent: its gradient is positive"),
    ]:
        if d_alpha == wrong:
            raise Incorrect(f"{when} your d_alpha is {wrong}: {hint}")
    expect_close(np.asarray(d_alpha), 1.5, atol=1e-9, when=f"{when}, d_alpha:", hint="decay * alpha, added once")
    rng = np.random.default_rng(7)
    x, dy = rng.normal(size=(2, 200)).astype(np.float32)
    want = clip_backward(dy, x, 0.75, grid=Grid(n_bits=4, signed=False), decay=0.1)
    dx, d_alpha = answer(dy, x, 0.75, 0.1)
    when, hint = "with 200 values, alpha=0.75, decay=0.1", "three places, and alpha as it comes"
    expect_close(dx, want[0], atol=1e-6, when=f"{when}, dx:", hint=hint)
    expect_close(np.asarray(float(d_alpha)), want[1], atol=1e-4, when=f"{when}, d_alpha:", hint=hint)


@exercise(
    "13.5",
    title="Round a random part",
    difficulty=1,
    minutes=8,
    hints=(
        "rng.random(W.shape) is a number from 0 to 1 for each weight.",
        "Smaller than share: that happens with probability share.",
        "np.where(rng.random(W.shape) < share, W_hat, W)",
    ),
)
def check_quant_noise(answer, say):
    """``quant_noise``: each weight rounded with a probability."""
    W, W_hat = np.full((100, 200), 0.25, np.float32), np.full((100, 200), 0.5, np.float32)
    when = "with 100 x 200 weights, share=0.25"
    got = expect_array(answer(W, W_hat, 0.25, np.random.default_rng(7)), shape=W.shape, when=when)
    one_of_both = (got == W) | (got == W_hat)
    expect(
        one_of_both.all(),
        f"{when} some weights are neither from W nor from W_hat: each is rounded or left alone, nothing is mixed",
    )
    part = got == W_hat
    for whole, name in [(part.all() or not part.any(), "all"), ((part == part[:, :1]).all(), "row")]:
        if whole:
            raise Incorrect(f"{when} you draw once for {'all weights' if name == 'all' else 'each row'}: one a weight")
    if (part == part[:1]).all():
        raise Incorrect(f"{when} you draw once for each column: one a weight")
    share = part.mean()
    # The share of 20,000 draws scatters by 0.003.
    expect(abs(share - 0.75) > 0.02, f"{when} {share:.0%} are rounded: it is the other way round")
    expect(abs(share - 0.25) < 0.02, f"{when} {share:.0%} are rounded")
    counts = part.sum(axis=1)
    expect(
        np.ptp(counts) > 0, f"{when} every row has exactly {counts[0]} rounded weights: draw for each weight by itself"
    )
    again = answer(W, W_hat, 0.25, np.random.default_rng(7))
    expect(np.array_equal(got, again), f"{when} two calls with equal generators differ: draw from rng, not elsewhere")
    totals = {(answer(W, W_hat, 0.25, np.random.default_rng(seed)) == W_hat).sum() for seed in range(5)}
    alike = f"{when} exactly {min(totals)} are rounded, whatever the generator: draw for each weight by itself"
    expect(len(totals) > 1, alike)
    for share, want in [(0.0, W), (1.0, W_hat)]:
        got = answer(W, W_hat, share, np.random.default_rng(7))
        expect(np.array_equal(got, want), f"with share={share} it must be {'W' if share == 0 else 'W_hat'} itself")
    say("share=1 is straight-through training, share=0 float training")
