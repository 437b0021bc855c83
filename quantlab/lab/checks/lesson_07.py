"""Checks of exercise 07: gradients through rounding, noise, one layer, one weight, and a false QAT."""

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.lab.checks import Incorrect, exercise, expect, expect_array, expect_close, expect_equal, expect_type
from quantlab.qat.ste import fake_quantize_backward


@exercise(
    "07.1",
    title="Let the gradient through",
    difficulty=1,
    minutes=6,
    hints=(
        "Round first, add the zero point, then ask whether the integer lies on the grid.",
        "Both ends of the grid count as inside: <= and >=.",
        "q = np.rint(x / scale) + zero_point, and dy times a mask of (q >= quant_min) & (q <= quant_max).",
    ),
)
def check_straight_through(answer, say):
    """``straight_through``: the gradient by x, given the one by fake_quantize(x)."""
    ends = (-8, 7)
    for x, zero_point, hint in [
        (0.0, 0, "inside the grid the gradient goes straight through: rounding's own slope, 0, is what we replace"),
        (9.0, 0, "beyond the grid fake_quantize is flat, and the gradient stops"),
        (7.0, 0, "the last mark belongs to the grid: <=, not <"),
        (7.4, 0, "7.4 rounds to 7, which is on the grid: the rounded value decides, not x itself"),
        (9.0, -4, "9 with the zero point -4 is the mark 5: add the zero point before you ask"),
        (-6.0, -4, "-6 with the zero point -4 is the mark -10: add the zero point before you ask"),
    ]:
        dy, values = np.array([3.0], np.float32), np.array([x], np.float32)
        want = fake_quantize_backward(dy, values, QParams(scale=1.0, zero_point=zero_point, grid=Grid(n_bits=4)))
        when = f"with x=[{x}], dy=[3], scale=1, zero_point={zero_point}, grid -8..7"
        got = expect_array(answer(dy, values, 1.0, zero_point, *ends), shape=(1,), when=when)
        if got[0] == 1.0:
            raise Incorrect(f"{when} you return 1: that is the slope; the chain rule multiplies it by dy")
        expect_close(got, want, atol=1e-9, when=when, hint=hint)
    rng = np.random.default_rng(7)
    x, dy = rng.uniform(-3, 3, 500).astype(np.float32), rng.standard_normal(500, np.float32)
    want = fake_quantize_backward(dy, x, QParams(scale=0.25, zero_point=2, grid=Grid(n_bits=4)))
    got = answer(dy, x, 0.25, 2, *ends)
    expect_close(
        got,
        want,
        atol=1e-9,
        when="with 500 values, scale=0.25, zero_point=2",
        hint="divide by the scale, look at both ends",
    )


@exercise(
    "07.2",
    title="Put noise in place of rounding",
    difficulty=1,
    minutes=6,
    hints=(
        "rng.random(shape) is uniform in [0, 1), one number a value.",
        "Shift it so that half of it is negative, and stretch it to the width of one step.",
        "x + scale * (rng.random(x.shape) - 0.5)",
    ),
)
def check_noisy(answer, say):
    """``noisy``: x plus an error as of rounding to steps of scale."""
    x, scale = np.full((100, 200), 3.0), 0.5
    when = "with 20,000 values of 3, scale=0.5"
    got = expect_array(answer(x, scale, np.random.default_rng(7)), shape=x.shape, when=when)
    error = got.astype(np.float64) - x
    expect(np.any(error), f"{when} you return x itself: nothing was added")
    same = len(np.unique(error)) < 10_000
    expect(not same, f"{when} your errors are not all different: draw one a value, of x.shape")
    if error.mean() > 0.1:
        raise Incorrect(f"{when} your errors have the mean {error.mean():.2f}: half of them should be negative")
    largest, width = np.abs(error).max(), np.ptp(error)
    even = abs(error.std() * 12**0.5 / width - 1) < 0.05  # a normal distribution of 20,000 values gives 0.4, not 1
    if largest > 0.25 + 1e-6 and even:
        raise Incorrect(f"{when} your errors reach {largest:.2f}: rounding is off by at most half a step, here 0.25")
    hint = "uniform noise ends at half a step, and normal noise nowhere"
    expect(largest <= 0.25 + 1e-6, f"{when} one error is {largest:.2f}: {hint}")
    # uniform: the variance estimate of n values scatters by 0.9 / sqrt(n) of itself, here 0.6 %
    ratio = error.var() / (scale**2 / 12)
    expect(
        abs(ratio - 1) < 0.05, f"{when} your variance is {ratio:.2f} times scale**2 / 12: fill the whole step evenly"
    )
    narrow = np.ptp(np.asarray(answer(np.zeros(1000), 0.125, np.random.default_rng(7)))) / 0.125
    # The width of n uniform values falls short of a step by 2 / n of it, here 0.2 %.
    hint = "the width of the errors is the scale, whatever it is"
    expect(abs(narrow - 1) < 0.05, f"with 1000 zeros, scale=0.125 your errors span {narrow:.2f} steps: {hint}")
    again = answer(x, scale, np.random.default_rng(7))
    expect(np.array_equal(got, again), f"{when} two calls with equal generators differ: draw from rng, not elsewhere")
    say(f"variance {ratio:.2f} times scale**2 / 12, the one of rounding")


@exercise(
    "07.3",
    title="Go back through a layer",
    difficulty=2,
    minutes=10,
    hints=(
        "Without the masks this is the backward pass of any linear layer.",
        "dY is (samples, out): dY @ W_hat has the shape of X, dY.T @ X_hat that of W.",
        "Each gradient goes back through its own quantizer: multiply by its own mask, (dY @ W_hat) * X_mask.",
    ),
)
def check_backward(answer, say):
    """``backward``: dX and dW of a fake-quantized linear layer."""
    rng = np.random.default_rng(7)
    dY, X, W = rng.integers(-4, 5, (3, 2)), rng.integers(-3, 4, (3, 4)), rng.integers(-2, 2, (2, 4))
    dY, X, W = (v.astype(np.float64) for v in (dY, X, W))
    X_mask, W_mask = rng.random((3, 4)) < 0.6, rng.random((2, 4)) < 0.6
    ones = np.ones_like(X_mask), np.ones_like(W_mask)
    when = "with dY (3, 2), X_hat (3, 4), W_hat (2, 4), masks all True"
    got = answer(dY, X, W, *ones)
    expect_type(got, (tuple, list), when=when)
    expect(len(got) == 2, f"{when} you return {len(got)} values, expected (dX, dW)")
    if np.shape(got[0]) == (2, 4) and np.shape(got[1]) == (3, 4):
        raise Incorrect(f"{when} your first gradient has the shape of W: the order is (dX, dW)")
    expect_close(got[0], dY @ W, atol=1e-9, when=f"{when}, dX:", hint="each input reaches all outputs: dY @ W_hat")
    hint = "each weight meets all samples: sum over them, dY.T @ X_hat, and do not divide"
    expect_close(got[1], dY.T @ X, atol=1e-9, when=f"{when}, dW:", hint=hint)
    when = "with masks that are partly False"
    dX, dW = answer(dY, X, W, X_mask, W_mask)
    if np.array_equal(dX, dY @ W) and np.array_equal(dW, dY.T @ X):
        raise Incorrect(f"{when} your gradients ignore them: where a value was clipped, nothing passes")
    masked_forward = (dY @ (W * W_mask), dY.T @ (X * X_mask))
    if np.array_equal(dX, masked_forward[0]) or np.array_equal(dW, masked_forward[1]):
        raise Incorrect(
            f"{when} you mask the values of the other factor: a mask belongs to the gradient of its own tensor"
        )
    expect_close(
        dX, (dY @ W) * X_mask, atol=1e-9, when=f"{when}, dX:", hint="X_mask has the shape of dX: multiply by it"
    )
    expect_close(dW, (dY.T @ X) * W_mask, atol=1e-9, when=f"{when}, dW:", hint="dW goes back through W's own quantizer")


@exercise(
    "07.4",
    title="Train one weight",
    difficulty=2,
    minutes=10,
    hints=(
        "Two numbers: the latent w, which is trained, and w_hat, which the loss sees.",
        "The gradient of the loss by w_hat is w_hat - target; straight through, it is the gradient by w, too.",
        "In each step: w_hat = round(w), remember it, then w = w - lr * (w_hat - target).",
    ),
)
def check_train_weight(answer, say):
    """``train_weight``: the rounded weights of a training straight through."""
    call = {"target": 0.3, "w": 0.1, "lr": 0.25, "n_steps": 12}
    when = "with target=0.3, w=0.1, lr=0.25, n_steps=12"
    got = answer(**call)
    expect_type(got, (list, tuple, np.ndarray), when=when)
    got = [float(v) for v in got]
    expect(len(got) == 12, f"{when} you return {len(got)} values, expected one a step, 12")
    want = _rounded_path(**call)
    if any(v != round(v) for v in got):
        raise Incorrect(f"{when} you return {got[1]:.3g}, no mark: return what the forward pass used, round(w)")
    if not any(got):
        raise Incorrect(f"{when} your w_hat stays 0: update the latent w; a rounded one forgets every small step")
    if got == want[1:] + _rounded_path(**call | {"n_steps": 13})[-1:]:
        raise Incorrect(f"{when} your list begins after the first step: note w_hat before you update w")
    if min(got) < 0:
        raise Incorrect(f"{when} w_hat reaches {min(got):g}, away from the target: go against the gradient")
    hint = "each step moves w by lr * (w_hat - target), taken at the rounded weight"
    expect_equal(got, want, when=when, hint=hint)
    for target, w, lr in [(2.75, 0.0, 0.125), (-1.5, 0.0, 0.5), (0.0, 0.25, 0.5)]:
        when = f"with target={target}, w={w}, lr={lr}, n_steps=200"
        got = [float(v) for v in answer(target=target, w=w, lr=lr, n_steps=200)]
        expect_equal(got, _rounded_path(target, w, lr, 200), when=when, hint=hint)
    say("the mean of w_hat approaches the target; w_hat itself never does")


def _rounded_path(target: float, w: float, lr: float, n_steps: int) -> list[float]:
    path = []
    for _ in range(n_steps):
        path.append(float(np.rint(w)))
        w -= lr * (path[-1] - target)
    return path


@exercise(
    "07.5",
    title="Find the network that quantizes nothing",
    difficulty=2,
    minutes=10,
    hints=(
        "Divide every row by its own scale: on the grid, whole numbers are left.",
        "Whole is not enough: 5 is a whole number, and no mark of a 2-bit grid.",
        "codes = np.rint(W_hat / scale[:, None]): near the quotient, and from -2**(n_bits - 1) to 2**(n_bits - 1) - 1.",
    ),
)
def check_on_grid(answer, say):
    """``on_grid``: can these be n_bits-bit weights?"""
    one = np.ones(1, np.float32)
    for row, scale, n_bits, want, hint in [
        ([-2.0, -1.0, 0.0, 1.0], 1.0, 2, True, "these are the four marks of a 2-bit grid"),
        ([0.0, 0.5, 1.0], 1.0, 2, False, "0.5 is no whole number of steps: few different values do not make a grid"),
        ([0.0, 2.0], 1.0, 2, False, "a signed 2-bit grid ends at 1: whole numbers are not enough"),
        ([-3.0, 0.0], 1.0, 2, False, "a signed 2-bit grid begins at -2: look at both ends"),
        ([0.0, 7.0], 1.0, 4, True, "a signed 4-bit grid reaches from -8 to 7"),
    ]:
        when = f"with W_hat=[{row}], scale=[{scale}], n_bits={n_bits}"
        got = answer(np.array([row], np.float32), one * np.float32(scale), n_bits)
        expect_type(got, bool, when=when)
        expect_equal(bool(got), want, when=when, hint=hint)
    rng = np.random.default_rng(7)
    W, scale = rng.standard_normal((6, 6)).astype(np.float32), np.float32([0.9, 0.05, 0.3, 1.1, 0.7, 0.2])
    qp = QParams(scale=scale, zero_point=0, grid=Grid(n_bits=3), axis=0)
    W_hat = fake_quantize(W, qp)
    when = "with 6 x 6 weights, fake-quantized to 3 bits, a scale a row"
    hint = "each row has its own scale, scale[:, None]; and a product with 0.05 is only nearly a whole number of steps"
    expect_equal(bool(answer(W_hat, scale, 3)), True, when=when, hint=hint)
    hint = "these never met a quantizer, only an observer: no row is on its grid"
    expect_equal(bool(answer(W, scale, 3)), False, when="with 6 x 6 float weights that were observed only", hint=hint)
    W_hat[4, 3] += np.float32(0.01)
    hint = "one weight beside its mark is enough: ask for all, to within a thousandth of a step"
    expect_equal(bool(answer(W_hat, scale, 3)), False, when="with one of 36 weights moved by 0.01", hint=hint)
    say("ask this of a layer's forward pass, not of its configuration")
