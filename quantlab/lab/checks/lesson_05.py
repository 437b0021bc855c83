"""Checks of exercise 05: a moving average, cut tails, the two parts of an error, a search, a histogram that grows."""

import numpy as np

from quantlab.lab.checks import Incorrect, exercise, expect, expect_array, expect_close, expect_equal, expect_type


@exercise(
    "05.1",
    title="Average a range",
    difficulty=1,
    minutes=8,
    hints=(
        "Start from the minimum and maximum of the first batch, not from 0.",
        "lo moves towards the new minimum: lo += c * (batch.min() - lo).",
        "Do the same for hi, for all batches but the first, and return (lo, hi).",
    ),
)
def check_moving_range(answer, say):
    """``moving_range(batches, c)``: moving averages of minima and maxima, started by the first batch."""
    for batches, c, want, hint in [
        ([[1.0, 4.0]], 0.25, (1.0, 4.0), "the first batch sets the range, whatever c is"),
        ([[0.0, 4.0], [0.0, 8.0]], 0.25, (0.0, 5.0), "c is the weight of the new batch: 4 + 0.25 * (8 - 4)"),
        ([[0.0, 4.0], [-4.0, 4.0]], 0.25, (-1.0, 4.0), "the low end is averaged in the same way"),
        ([[0.0, 8.0], [0.0, 4.0]], 0.5, (0.0, 6.0), "the range may shrink: an average is no maximum"),
        (
            [[0.0, 8.0], [0.0, 0.0], [0.0, 8.0]],
            0.5,
            (0.0, 6.0),
            "batch after batch: 8, 4, 6. This is not the mean of all",
        ),
    ]:
        when = f"with batches={batches}, c={c}"
        got = answer([np.array(batch, dtype=np.float32) for batch in batches], c)
        expect_type(got, (tuple, list), when=when)
        expect(len(got) == 2, f"{when} you return {len(got)} values, expected two: lo and hi")
        if len(batches) == 2 and c == 0.25 and np.allclose(got, (0.0, 7.0)):
            raise Incorrect(
                f"{when} you return 7 for hi, expected 5: you swapped the weights; c belongs to the new batch"
            )
        expect_close(tuple(got), want, atol=1e-6, when=when, hint=hint)
    got = answer([np.array([[1.0, -2.0], [3.0, 0.5]]), np.array([0.0])], 0.1)
    expect_close(tuple(got), (-1.8, 2.7), atol=1e-6, when="with a batch of shape (2, 2)", hint="a batch has any shape")


@exercise(
    "05.2",
    title="Cut off the tails",
    difficulty=1,
    minutes=8,
    hints=(
        "np.sort(x, axis=None) gives a flat sorted copy.",
        "Slice it: from n_cut to x.size - n_cut. With [n_cut:-n_cut] nothing is left at n_cut=0.",
        "lo = min(kept[0], 0), hi = max(kept[-1], 0), both as float.",
    ),
)
def check_trimmed_range(answer, say):
    """``trimmed_range(x, n_cut)``: the range without the n_cut smallest and largest values, zero included."""
    for x, n_cut, want, hint in [
        ([-9.0, -2.0, 1.0, 70.0], 1, (-2.0, 1.0), "both ends lose one value"),
        ([-1.0, 3.0, 2.0, -5.0], 0, (-5.0, 3.0), "n_cut=0 keeps everything; x[0:-0] is empty"),
        ([-80.0, -70.0, 1.0, 2.0, 3.0, 4.0], 1, (-70.0, 3.0), "cut by rank at each end, not by the size |x|"),
        ([2.0, 5.0, 3.0, 9.0], 1, (0.0, 5.0), "all kept values are positive: widen the range to hold 0"),
        ([-2.0, -5.0, -3.0, -9.0], 1, (-5.0, 0.0), "all kept values are negative: widen the range to hold 0"),
        ([7.0, 7.0, 7.0, -1.0, 0.0], 1, (0.0, 7.0), "one of the three 7s goes, not all of them"),
    ]:
        when = f"with x={x}, n_cut={n_cut}"
        array = np.array(x, dtype=np.float32)
        got = answer(array, n_cut)
        expect_type(got, (tuple, list), when=when)
        expect_close(tuple(got), want, atol=1e-6, when=when, hint=hint)
    x = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    values = np.sort(x.ravel())
    when = "with x of shape (4, 5, 6), n_cut=10"
    want = (float(values[10]), float(values[-11]))
    expect_close(tuple(answer(x, 10)), want, atol=1e-6, when=when, hint="sort all values together, not along one axis")


@exercise(
    "05.3",
    title="Weigh rounding against clipping",
    difficulty=2,
    minutes=8,
    hints=(
        "2**n_bits marks have 2**n_bits - 1 gaps between them.",
        "A value inside [-T, T] has clipping error 0: np.maximum(np.abs(x) - T, 0).",
        "step = 2 * T / (2**n_bits - 1); return step**2 / 12 and the mean of the squared distances, over all values.",
    ),
)
def check_error_parts(answer, say):
    """``error_parts(x, T, n_bits)``: step**2 / 12, and the mean squared distance to [-T, T]."""
    for x, T, n_bits, hint in [
        ([0.5, -1.0], 3.0, 2, ""),
        ([5.0, -7.0, 1.0, 1.0], 3.0, 2, "-7 lies outside too: take the size |x| first"),
        ([4.0, 1.0, 1.0, 1.0], 2.0, 8, ""),
    ]:
        when = f"with x={x}, T={T:g}, n_bits={n_bits}"
        got = answer(np.array(x, dtype=np.float32), T, n_bits)
        expect_type(got, (tuple, list), when=when)
        expect(len(got) == 2, f"{when} you return {len(got)} values, expected two: rounding and clipping")
        step = 2 * T / (2**n_bits - 1)
        outside = [max(abs(v) - T, 0) ** 2 for v in x]
        rounding, clipping = float(got[0]), float(got[1])
        for wrong, name in [
            ((2 * T / 2**n_bits) ** 2 / 12, f"{2**n_bits} marks have {2**n_bits - 1} gaps"),
            ((T / (2**n_bits - 1)) ** 2 / 12, "the range from -T to T is 2T wide"),
            (step / 12, "the step is squared"),
            (step**2, "a rounding error is uniform, so its mean square is a twelfth of the step's"),
        ]:
            if np.isclose(rounding, wrong):
                raise Incorrect(f"{when} your rounding part is {rounding:.6g}, expected {step**2 / 12:.6g}: {name}")
        expect_close(rounding, step**2 / 12, atol=1e-9, when=f"{when}, rounding:")
        if clipping != 0 and np.isclose(clipping, sum(outside)):
            raise Incorrect(
                f"{when} your clipping part is {clipping:g}: that is the sum; take the mean over all values"
            )
        n_outside = sum(v > 0 for v in outside)
        if n_outside and np.isclose(clipping, sum(outside) / n_outside):
            raise Incorrect(f"{when} your clipping part is {clipping:g}: values inside count too, with error 0")
        expect_close(clipping, float(np.mean(outside)), atol=1e-6, when=f"{when}, clipping:", hint=hint)


@exercise(
    "05.4",
    title="Search the best threshold",
    difficulty=2,
    minutes=10,
    hints=(
        "For each T: s = T / quant_max, codes = clip(rint(x / s), -quant_max, quant_max), x_hat = codes * s.",
        "Collect the mean of (x - x_hat)**2 for each candidate; np.argmin returns the first of equal ones.",
        "Return candidates[int(np.argmin(errors))].",
    ),
)
def check_best_threshold(answer, say):
    """``best_threshold(x, quant_max, candidates)``: the candidate with the least measured squared error."""
    many, few = [1.0] * 100 + [8.0], [1.0] * 3 + [8.0]
    for x, shown, quant_max, candidates, hint in [
        (few, "[1, 1, 1, 8]", 4, [1.0, 4.0, 8.0], "a clipped 8 costs its squared distance to T: clipping counts"),
        (
            [1.0] * 10 + [4.0],
            "ten 1s and one 4",
            1,
            [8.0, 3.0],
            "at T=3 a step is 3, at T=8 it is 8: the step depends on T",
        ),
        (many, "a hundred 1s and one 8", 1, [1.0, 8.0], "a hundred 1s that round to 0 cost more than one 8 that clips"),
        ([0.0, 0.0], "[0, 0]", 4, [3.0, 2.0, 1.0], "all errors are 0: the first candidate is wanted"),
        ([-2.0], "[-2]", 1, [1.0, 2.0], "the narrow grid begins at -quant_max: with T=1 it ends at -1 and 1"),
    ]:
        when = f"with x={shown}, quant_max={quant_max}, candidates={candidates}"
        array = np.array(x, dtype=np.float32)
        errors = [_error(array, quant_max, T) for T in candidates]
        got = answer(array, quant_max, list(candidates))
        if np.ndim(got) == 0 and float(got) not in candidates:
            raise Incorrect(f"{when} you return {float(got):g}: the threshold is wanted, not its index or its error")
        hint += f" (mean squared errors: {', '.join(f'{error:.4g}' for error in errors)})"
        expect_equal(float(got) if np.ndim(got) == 0 else got, candidates[int(np.argmin(errors))], when=when, hint=hint)
    rng = np.random.default_rng(0)
    x = np.append(rng.standard_t(3, 500), 30.0).astype(np.float32)
    candidates = np.linspace(1, 30, 59).tolist()
    for quant_max in (7, 127):
        want = candidates[int(np.argmin([_error(x, quant_max, T) for T in candidates]))]
        when = f"with 501 long-tailed values, quant_max={quant_max}, 59 candidates"
        expect_close(
            float(answer(x, quant_max, candidates)),
            want,
            atol=1e-9,
            when=when,
            hint="the least mean of the squared errors decides",
        )
    say("the best threshold moved out with the number of marks, as in the lesson")


def _error(x, quant_max, T):
    s = T / quant_max
    return float(np.mean((x - np.clip(np.rint(x.astype(np.float64) / s), -quant_max, quant_max) * s) ** 2))


@exercise(
    "05.5",
    title="Double a histogram's range",
    difficulty=3,
    minutes=15,
    hints=(
        "Zero is an edge in the middle, before and after: no pair of bins straddles it.",
        "Eight old bins become four new ones: counts.reshape(-1, 2).sum(axis=1). They belong into the middle.",
        "A quarter of the bins, all empty, goes before and behind: np.concatenate([quarter, pairs, quarter]).",
    ),
)
def check_doubled(answer, say):
    """``doubled(counts)``: the counts over twice the range with the same number of bins."""
    for counts in ([1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7, 8]):
        old = np.array(counts, dtype=np.int64)
        quarter = [0] * (len(counts) // 4)
        pairs = [a + b for a, b in zip(counts[::2], counts[1::2], strict=True)]
        when = f"with counts={counts}"
        got = expect_array(answer(old), when=when)
        values = np.asarray(got).tolist()
        for wrong, name in [
            (pairs, "the bins are half as many; the new outer bins are missing, and they are empty"),
            (pairs + 2 * quarter, "zero has moved: the filled bins belong into the middle"),
            (2 * quarter + pairs, "zero has moved to the left quarter: the filled bins belong into the middle"),
            (np.repeat(counts, 2)[len(counts) // 2 : -len(counts) // 2].tolist(), "the range was halved, not doubled"),
            ([*quarter, *(p / 2 for p in pairs), *quarter], "counts add up, they are not averaged"),
        ]:
            if values == wrong and values != [*quarter, *pairs, *quarter]:
                raise Incorrect(f"{when} you return {values}, expected {[*quarter, *pairs, *quarter]}: {name}")
        hint = "each value keeps its place: two neighbours make one new bin, counted from zero"
        expect_close(got, np.array([*quarter, *pairs, *quarter]), atol=1e-9, when=when, hint=hint)
    expect(got.dtype == np.int64, f"{when} you return {got.dtype}: counts are integers (int64), and stay so")
    say("a histogram that grows like this never guesses, so the order of batches does not matter")
