"""Checks of exercise 16: a swish as a table, sums, a loud channel, a gate's scale, and two designs compared."""

import numpy as np

from quantlab.lab.checks import Incorrect, exercise, expect, expect_array, expect_close, expect_equal, expect_type


@exercise(
    "16.1",
    title="Fold a swish into a table",
    difficulty=1,
    minutes=8,
    hints=(
        "Three steps for each code: to a real, through the function, to a code.",
        "The codes are np.arange(-128, 128); a code q stands for (q - x_zero) * x_scale.",
        "np.clip(np.rint(y / y_scale) + y_zero, -128, 127).astype(np.int8)",
    ),
)
def check_swish_table(answer, say):
    """``swish_table``: the output's code for each of the input's 256."""
    when = "with x_scale=0.05, x_zero=0, y_scale=0.05, y_zero=0"
    got = expect_array(answer(0.05, 0, 0.05, 0), shape=(256,), when=when)
    want = _swish_table(0.05, 0, 0.05, 0)
    for wrong, hint in [
        (np.roll(want, 128), "entry 0 belongs to code -128, not to code 0"),
        (want[::-1], "your table runs from the highest code to the lowest"),
        (
            np.rint(20 / (1 + np.exp(-0.05 * np.arange(-128, 128)))),
            "this is the gate alone: swish is x times sigmoid(x)",
        ),
        (np.clip(np.arange(-128, 128), 0, 120), "this is ReLU6; below 0 swish is a little negative"),
        (np.trunc(_reals(0.05, 0) / 0.05), "you cut digits off: round to the nearest code"),
        (np.floor(_reals(0.05, 0) / 0.05), "you round down: round to the nearest code"),
    ]:
        if np.array_equal(got, wrong):
            raise Incorrect(f"{when} your entry 64 is {got[64]}: {hint}")
    for x_scale, x_zero, y_scale, y_zero, hint in [
        (0.05, 0, 0.05, 0, "(q - x_zero) * x_scale, swish, round(y / y_scale) + y_zero"),
        (0.05, 20, 0.05, 0, "take the input's zero point off before you multiply by its scale"),
        (0.05, 0, 0.05, -120, "add the output's zero point after rounding"),
        (0.1, 0, 0.05, 0, "reals beyond the output's range saturate at 127, they do not wrap"),
    ]:
        when = f"with x_scale={x_scale}, x_zero={x_zero}, y_scale={y_scale}, y_zero={y_zero}"
        got = expect_array(answer(x_scale, x_zero, y_scale, y_zero), shape=(256,), when=when)
        want = _swish_table(x_scale, x_zero, y_scale, y_zero)
        wrong = np.flatnonzero(got != want)
        if len(wrong):
            i = wrong[0]
            raise Incorrect(f"{when} entry {i}, code {i - 128}, is {got[i]}, expected {want[i]}: {hint}")
    when = "with x_scale=0.07, x_zero=-11, y_scale=0.031, y_zero=-119"
    expect_equal(
        answer(0.07, -11, 0.031, -119), _swish_table(0.07, -11, 0.031, -119), when=when, hint="all four numbers"
    )
    say("whatever the function, the table costs the same: only what is stored on both sides is rounded")


def _reals(x_scale, x_zero):
    x = (np.arange(-128, 128) - x_zero) * x_scale
    return x / (1 + np.exp(-x))


def _swish_table(x_scale, x_zero, y_scale, y_zero):
    codes = np.rint(_reals(x_scale, x_zero) / y_scale) + y_zero
    return np.clip(codes, -128, 127).astype(np.int8)


@exercise(
    "16.2",
    title="Bound a growing stream",
    difficulty=1,
    minutes=6,
    hints=(
        "The smallest sum is the sum of the smallest, the largest the sum of the largest.",
        "Add up along the blocks: np.cumsum([first, *branches], axis=0), and leave out the first row.",
        "Widen at the very end: a range that was widened must not be added to.",
    ),
)
def check_stream_ranges(answer, say):
    """``stream_ranges``: worst-case ranges of sums."""
    for first, branches, hint in [
        ((-1.0, 2.0), [(-3.0, 5.0)], "lowest plus lowest, highest plus highest"),
        ((-1.0, 2.0), [(-3.0, 5.0), (-2.0, 1.0)], "the second block adds to the first block's sum"),
        ((1.0, 2.0), [(1.0, 3.0)], "the sum begins at 2, but 0 must have a mark"),
        ((2.0, 3.0), [(1.0, 1.0), (-4.0, 1.0)], "widen what you return, not what you add to"),
        ((-3.0, -2.0), [(-1.0, 1.0), (-1.0, 2.5)], "the upper end, too, is widened only in what you return"),
    ]:
        when = f"with first={first}, branches={branches}"
        got = expect_array(answer(first, branches), shape=(len(branches), 2), when=when)
        total = np.array(first) + np.cumsum(np.array(branches), axis=0)
        if len(branches) == 2 and np.allclose(got, np.array(first) + np.array(branches)):
            raise Incorrect(f"{when} each of your rows knows one block: {hint}")
        wider = np.array([[min(first[0], branches[0][0]), max(first[1], branches[0][1])]])
        if len(branches) == 1 and np.allclose(got, wider):
            raise Incorrect(f"{when} you take the wider of both ranges; a sum can be larger than either")
        want = np.stack([np.minimum(total[:, 0], 0), np.maximum(total[:, 1], 0)], axis=1)
        expect_close(got, want, atol=1e-9, when=when, hint=hint)
    rng = np.random.default_rng(7)
    branches = [(-float(a), float(b)) for a, b in rng.uniform(0, 5, (20, 2))]
    total = np.cumsum([(-1.0, 1.0), *branches], axis=0)[1:]
    expect_close(answer((-1.0, 1.0), branches), total, atol=1e-9, when="with 20 blocks", hint="one row a block")
    say("what data reaches is narrower: that is what calibration is for")


@exercise(
    "16.3",
    title="Plant a loud channel",
    difficulty=2,
    minutes=10,
    hints=(
        "Who writes channel c? A row of W_write, and one bias. Who reads it? A column of W_read.",
        "Multiply the row and the bias, divide the column.",
        "factors = np.ones(channels); factors[c] = factor; W_read / factors divides columns.",
    ),
)
def check_loud(answer, say):
    """``loud``: the same function, one channel larger."""
    rng = np.random.default_rng(7)
    W, b, R = rng.normal(size=(3, 4)), rng.normal(size=3), rng.normal(size=(3, 3))
    x, c, factor = rng.normal(size=(5, 4)), 1, 8.0
    when = "with 4 inputs, a stream of 3 channels, c=1, factor=8"
    got = answer(W, b, R, c, factor)
    expect_type(got, (tuple, list), when=when)
    expect(len(got) == 3, f"{when} you return {len(got)} arrays, expected (W_write, b_write, W_read)")
    W_new, b_new, R_new = (
        expect_array(v, shape=old.shape, when=f"{when}, {name}:")
        for v, old, name in zip(got, (W, b, R), ("W_write", "b_write", "W_read"), strict=True)
    )
    stream, old = x @ W_new.T + b_new, x @ W.T + b
    if np.allclose(stream, old):
        raise Incorrect(f"{when} the stream has not changed: channel 1 must be 8 times as large")
    if np.allclose(W_new[c], W[c] * factor) and np.allclose(b_new, b):
        raise Incorrect(f"{when} the bias of channel 1 is as it was: the stream is not 8 times as large, and y changes")
    others = np.delete(np.arange(3), c)
    if not np.allclose(stream[:, others], old[:, others]):
        raise Incorrect(f"{when} other channels of the stream changed: only row 1 of W_write, and bias 1")
    expect_close(
        stream[:, c], old[:, c] * factor, atol=1e-9, when=f"{when}, channel 1 of the stream:", hint="times 8, not less"
    )
    if np.allclose(R_new, R):
        raise Incorrect(f"{when} W_read is as it was: whoever reads channel 1 must divide")
    rows = R.copy()
    rows[c] /= factor
    if np.allclose(R_new, rows):
        raise Incorrect(f"{when} you divided row 1 of W_read, an output; channel 1 is read by column 1")
    columns = R.copy()
    columns[:, c] *= factor
    if np.allclose(R_new, columns):
        raise Incorrect(f"{when} you multiplied column 1 of W_read: y grows by 64 there; divide")
    expect_close(stream @ R_new.T, old @ R.T, atol=1e-9, when=f"{when}, y:", hint="divide column 1 of W_read by 8")
    W, b, R = rng.normal(size=(6, 2)), rng.normal(size=6), rng.normal(size=(3, 6))
    W_new, b_new, R_new = answer(W, b, R, 5, 0.25)
    when = "with a stream of 6 channels, 3 outputs, c=5, factor=0.25, y:"
    x = rng.normal(size=(5, 2))
    want, got = (x @ W.T + b) @ R.T, (x @ W_new.T + b_new) @ R_new.T
    expect_close(got, want, atol=1e-9, when=when, hint="use c and factor as they come")
    say("read it backwards: equalization (lesson 09) does the same, to make channels alike")


@exercise(
    "16.4",
    title="Place the scale behind a gate",
    difficulty=2,
    minutes=8,
    hints=(
        "First the largest product of each channel; the maximum over channels comes second.",
        "0 to 255 are 256 marks, but 255 steps.",
        "top = x_max * gate_max; (top if per_channel else top.max()) / 255",
    ),
)
def check_gate_scale(answer, say):
    """``gate_scale``: the scale of a product of activations and gates."""
    x_max, gate_max = np.array([6.0, 2.0, 3.0]), np.array([0.25, 0.9, 0.5])
    when = "with x_max=[6, 2, 3], gate_max=[0.25, 0.9, 0.5]"
    one = answer(x_max, gate_max, False)
    expect(np.shape(one) == (), f"{when}, per_channel=False, you return shape {np.shape(one)}: one number for all")
    for wrong, hint in [
        (5.4, "6 and 0.9 belong to different channels: multiply first, then take the maximum"),
        (5.4 * 255 / 256, "6 and 0.9 belong to different channels, and there are 255 steps"),
        (6.0, "the gate is missing"),
        (1.5, "this is the product of the channel with the largest x; another one has a larger product"),
        (1.8 * 255 / 256, "256 marks have 255 steps between them"),
        (1.6, "you average: some product would saturate"),
        (1.8 * 255 / 127, "the grid is unsigned, 0 to 255"),
    ]:
        if np.isclose(float(one), wrong / 255):
            raise Incorrect(f"{when}, per_channel=False, the last mark of yours is {float(one) * 255:.3g}: {hint}")
    expect_close(
        np.asarray(one), 1.8 / 255, atol=1e-9, when=f"{when}, per_channel=False:", hint="the largest product is 1.8"
    )
    when += ", per_channel=True:"
    many = expect_array(answer(x_max, gate_max, True), shape=(3,), when=when)
    if np.allclose(many, x_max / 255):
        raise Incorrect(f"{when} the gate is missing: channel 0 never gets beyond 1.5")
    expect_close(many, x_max * gate_max / 255, atol=1e-9, when=when, hint="each channel's own product, over 255")
    rng = np.random.default_rng(7)
    x_max, gate_max = rng.uniform(0, 6, 48), rng.uniform(0, 1, 48)
    for per_channel in (False, True):
        top = x_max * gate_max
        want = (top if per_channel else top.max()) / 255
        when = f"with 48 channels, per_channel={per_channel}:"
        expect_close(np.asarray(answer(x_max, gate_max, per_channel)), want, atol=1e-9, when=when, hint="as before")
    say("a runtime stores one scale a tensor: the first of the two is what you get")


@exercise(
    "16.5",
    title="Choose between two designs",
    difficulty=2,
    minutes=10,
    hints=(
        "Subtract first, seed by seed: what both share cancels.",
        "Half the interval is 2.776 * std(ddof=1) / sqrt(5), of the differences.",
        "Not settled if the mean of the differences is within half of 0.",
    ),
)
def check_choose(answer, say):
    """``choose``: a paired comparison of five runs."""
    hard = np.array([30.0, 34.0, 32.0, 38.0, 36.0])
    for a, b, want, hint in [
        (hard + 9.0 + np.arange(5) / 5, hard, "a", "every seed says a, by 9 dB, and higher is better"),
        (hard, hard + 9.0 + np.arange(5) / 5, "b", "the better one is b: higher is better"),
        (
            hard + np.array([1.0, -1.0, 2.0, -2.0, 0.5]),
            hard,
            "not settled",
            "a mean of 0.1 dB among changes of 2 dB says nothing",
        ),
        (
            hard + np.array([1.0, 1.2, 0.8, 1.1, 0.9]),
            hard,
            "a",
            "seeds differ by 8 dB, but every pair says a: subtract first",
        ),
        (
            hard + np.array([4.0, 1.0, -0.2, 3.2, 1.0]),
            hard,
            "not settled",
            "use 2.776, not 1.96, and divide by sqrt(5), not by 5: five runs are few",
        ),
        (
            hard + np.array([3.4, 1.0, 0.2, 2.6, 0.8]),
            hard,
            "not settled",
            "use ddof=1: five runs underestimate their spread",
        ),
    ]:
        when = f"with a - b = {(a - b).round(1).tolist()}"
        got = answer(a, b)
        expect_type(got, str, when=when)
        if got not in ("a", "b", "not settled"):
            raise Incorrect(f"{when} you return {got!r}; expected 'a', 'b' or 'not settled'")
        expect(got == want, f"{when} you say {got!r}: {hint}")
    rng = np.random.default_rng(7)
    for _ in range(40):
        a, b = rng.normal(30, 1, 5), rng.normal(29, 1, 5)
        d = a - b
        half = 2.776 * d.std(ddof=1) / np.sqrt(5)
        if abs(abs(d.mean()) - half) < 1e-6:
            continue
        want = "not settled" if abs(d.mean()) < half else "a" if d.mean() > 0 else "b"
        when = f"with a - b = {d.round(2).tolist()}"
        got = answer(a, b)
        expect(got == want, f"{when} you say {got!r}, expected {want!r}: mean against 2.776 * std / sqrt(5)")
    say("'not settled' is a result: train more seeds, or choose by cost")
