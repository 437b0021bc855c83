"""Checks of exercise 04: true bits, scales per channel, groups, a product in groups, filters that are lost."""

import numpy as np

from quantlab.lab.checks import Incorrect, exercise, expect, expect_array, expect_close, expect_equal, expect_type


@exercise(
    "04.1",
    title="Count the true bits",
    difficulty=1,
    minutes=5,
    hints=(
        "Count the groups of one row first, then of all rows.",
        "Ten columns in groups of four are three groups: 4, 4 and 2.",
        "n_groups = n_out * -(-n_in // group_size); each costs scale_bits + zero_point_bits, shared by n_out * n_in.",
    ),
)
def check_true_bits(answer, say):
    """``true_bits(n_out, n_in, group_size, n_bits, scale_bits, zero_point_bits)``: bits a weight, all included."""
    for args, hint in [
        ((1, 32, 32, 4, 16, 0), "16 bits of scale for 32 weights are half a bit more for each"),
        ((3, 32, 32, 4, 16, 0), "every row has scales of its own"),
        ((1, 64, 32, 4, 16, 0), "a row of 64 has two groups of 32"),
        ((1, 32, 32, 4, 16, 4), "the zero points are stored too"),
        ((2, 10, 4, 4, 16, 0), "10 columns in groups of 4 are 3 groups: the short one needs a scale too"),
        ((5, 7, 100, 3, 8, 2), "a group cannot be longer than its row: 7 columns are one group"),
    ]:
        n_out, n_in, group_size, n_bits, scale_bits, zero_point_bits = args
        n_groups = n_out * len(range(0, n_in, group_size))
        want = n_bits + (scale_bits + zero_point_bits) * n_groups / (n_out * n_in)
        when = f"with n_out={n_out}, n_in={n_in}, group_size={group_size}, n_bits={n_bits}, "
        when += f"scale_bits={scale_bits}, zero_point_bits={zero_point_bits}"
        got = answer(*args)
        expect_type(got, (int, float), when=when)
        if args[:2] == (1, 32) and got == want * n_out * n_in:
            raise Incorrect(f"{when} you return {got}, expected {want}: those are the bits of all weights together")
        expect_close(got, want, atol=1e-9, when=when, hint=hint)
    say("4-bit codes in groups of 128 with float16 scales and 4-bit zero points cost 4.15625 bits")


@exercise(
    "04.2",
    title="Scale every channel",
    difficulty=1,
    minutes=8,
    hints=(
        "Bring W to two axes: channels, and everything that shares a scale.",
        "np.abs(W).reshape(len(W), -1).max(axis=1) is the largest size in each channel.",
        "Divide by quant_max, put 1 where the largest is 0 (np.where), and convert to float32.",
    ),
)
def check_channel_scales(answer, say):
    """``channel_scales(W, quant_max)``: one symmetric scale for each index of axis 0."""
    for w, quant_max, hint in [
        ([[1.0, 2.0], [3.0, 8.0], [1.0, 4.0]], 4, "channels are on axis 0: the first holds 1 and 2"),
        ([[1.0, 2.0], [-8.0, 4.0]], 4, "a weight of -8 needs as long a ruler as 8: take absolute values first"),
    ]:
        W = np.array(w, dtype=np.float32)
        want = (np.abs(W).max(axis=1) / quant_max).astype(np.float32)
        got = expect_array(answer(W, quant_max), when=f"with W={w}, quant_max={quant_max}")
        when = f"with W={w}, quant_max={quant_max}"
        if got.shape == (W.shape[1],) and got.shape != (len(W),):
            raise Incorrect(f"{when} you return {len(got)} scales for {len(W)} channels: {hint}")
        if got.shape == () or (got.size == 1 and len(W) > 1):
            raise Incorrect(f"{when} you return a single scale, which is per tensor: one for each row is wanted")
        if got.shape == want.shape and np.allclose(got, want * (quant_max / (quant_max + 0.5))):
            raise Incorrect(f"{when} your ruler is half a step longer: the largest weight goes to {quant_max} itself")
        expect_close(got, want, atol=1e-6, when=when, hint=hint)
    when = "with W=[[1, 2], [0, 0]], quant_max=2"
    got = answer(np.float32([[1, 2], [0, 0]]), 2)
    hint = "a channel of zeros is legal; a scale of 0 makes NaN of it, so it gets 1"
    expect_close(got, np.float32([1, 1]), atol=1e-9, when=when, hint=hint)
    W = np.random.default_rng(0).normal(size=(3, 1, 2, 2)).astype(np.float32)
    when = "with W of shape (3, 1, 2, 2)"
    got = expect_array(answer(W, 7), when=when)
    expect(
        got.shape == (3,), f"{when} you return shape {got.shape}, expected (3,): all axes but the first share a scale"
    )
    expect_close(got, np.abs(W).max(axis=(1, 2, 3)) / 7, atol=1e-6, when=when)
    expect(got.dtype == np.float32, f"{when} you return {got.dtype}: scales are stored as float32")


@exercise(
    "04.3",
    title="Cut rows into groups",
    difficulty=2,
    minutes=8,
    hints=(
        "The values of a group lie side by side in memory; the reshape must keep them on the last axis.",
        "W.reshape(n_out, n_in // group_size, group_size) has one group in each [row, j].",
        "Take min and max over axis 2; before that, raise ValueError where n_in % group_size is not 0.",
    ),
)
def check_group_ranges(answer, say):
    """``group_ranges(W, group_size)``: smallest and largest value of each group, (n_out, n_groups) both."""
    W = np.array([[1, 5, 2, 0, 9, 3], [-4, 7, 8, 6, -1, 4]], dtype=np.float32)
    when = "with W=[[1, 5, 2, 0, 9, 3], [-4, 7, 8, 6, -1, 4]], group_size=3"
    got = answer(W, 3)
    expect_type(got, (tuple, list), when=when)
    expect(len(got) == 2, f"{when} you return {len(got)} values, expected two arrays: the smallest and the largest")
    lo, hi = (expect_array(bound, when=when) for bound in got)
    if lo.shape != (2, 2) and lo.size == 6:
        raise Incorrect(
            f"{when} you return shape {lo.shape}: group_size says how long a group is, not how many there are"
        )
    expect_array(lo, shape=(2, 2), when=when)
    expect_array(hi, shape=(2, 2), when=when)
    strided = W.reshape(2, 3, 2)
    if np.array_equal(lo, strided.min(axis=1)) and np.array_equal(hi, strided.max(axis=1)):
        raise Incorrect(f"{when} your first group is 1, 2, 9: you took every second value; a group is 1, 5, 2")
    if np.array_equal(lo, [[0, 0], [-4, -1]]):
        raise Incorrect(
            f"{when} your lowest values are {lo.tolist()}: the ranges are wanted as they are, 0 not included"
        )
    groups = [[row[:3], row[3:]] for row in W]
    expect_close(lo, np.array([[g.min() for g in row] for row in groups]), atol=1e-9, when=when)
    expect_close(hi, np.array([[g.max() for g in row] for row in groups]), atol=1e-9, when=when)
    W = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    lo, hi = answer(W, 6)
    when = "with W of shape (4, 6), group_size=6"
    expect_close(lo, W.min(axis=1, keepdims=True), atol=1e-9, when=when, hint="one group a row")
    expect_close(hi, W.max(axis=1, keepdims=True), atol=1e-9, when=when, hint="one group a row")
    _expect_refusal(answer)


def _expect_refusal(answer):
    """Ask for a ValueError of the student's own; numpy's, from the reshape, does not name the way out."""
    try:
        answer(np.zeros((6, 4), dtype=np.float32), 3)
    except Incorrect as said:
        text = str(said)
    else:
        raise Incorrect(
            "with W of shape (6, 4), group_size=3 you return a result, but 3 does not divide 4: raise ValueError"
        )
    expect("ValueError" in text, f"{text}; wanted is a ValueError, because 3 does not divide 4")
    own = "cannot reshape array of size" not in text
    expect(
        own, "with W of shape (6, 4), group_size=3 numpy's reshape complains; check first, and say what does not divide"
    )


@exercise(
    "04.4",
    title="Multiply group by group",
    difficulty=3,
    minutes=15,
    hints=(
        "Reshape p to (n, n_groups, group_size) and q to (n_out, n_groups, group_size).",
        "int8 overflows at once: convert to int32. Then np.einsum('njk,ojk->njo', P, Q) adds up inside groups.",
        "Then multiply by s and add up the groups: np.einsum('njo,oj->no', partial, s).astype(np.float32).",
    ),
)
def check_grouped_matmul(answer, say):
    """``grouped_matmul(p, q, s)``: the float product from int8 codes and one scale a group of a row of q."""
    p, q, s = np.int8([[1, 2, 3, 4]]), np.int8([[1, 1, 1, 1]]), np.float32([[1, 10]])
    when = "with p=[[1, 2, 3, 4]], q=[[1, 1, 1, 1]], s=[[1, 10]]"
    got = expect_array(answer(p, q, s), shape=(1, 1), when=when)
    for value, hint in [
        (10.0, "the scales are missing"),
        (55.0, "that is the whole sum times the mean scale: the scales cannot leave the sum, only each group's part"),
        (110.0, "you scaled the whole sum by each scale: each group has a sum of its own"),
        (64.0, "your groups take every second column: a group is neighbours, 1 + 2 and 3 + 4"),
    ]:
        if got[0, 0] == value:
            raise Incorrect(f"{when} you return {value:g}, expected 73 = 1 * (1 + 2) + 10 * (3 + 4): {hint}")
    expect_close(got, np.float32([[73]]), atol=1e-4, when=when)
    p, q, s = np.int8([[100, 100]]), np.int8([[100, 100]]), np.float32([[0.5]])
    when = "with p=[[100, 100]], q=[[100, 100]], s=[[0.5]]"
    hint = "100 * 100 does not fit into int8, which wraps silently: convert to int32 first"
    expect_close(answer(p, q, s), np.float32([[10000]]), atol=1e-3, when=when, hint=hint)
    when = "with the same and group_size=4 (four codes of 100 in p and q)"
    hint = "the products fit into int16, their sum does not: convert to int32 first"
    expect_close(answer(p.repeat(2, 1), q.repeat(2, 1), s), np.float32([[20000]]), atol=1e-3, when=when, hint=hint)
    rng = np.random.default_rng(0)
    p, q = rng.integers(-128, 128, (5, 24), np.int8), rng.integers(-8, 8, (3, 24), np.int8)
    s = rng.uniform(0.01, 1, (3, 4)).astype(np.float32)
    real = q.astype(np.float64) * np.repeat(s.astype(np.float64), 6, axis=1)
    when = "with p of shape (5, 24), q (3, 24), s (3, 4)"
    got = answer(p, q, s)
    # At most 24 products below 2**10 and scales below 1: sums below 2**15, in float32 off by less than 2**-7.
    expect_close(
        got, p.astype(np.float64) @ real.T, atol=0.01, when=when, hint="s[o, j] belongs to group j of row o of q"
    )
    expect(got.dtype == np.float32, f"{when} you return {got.dtype}, expected float32")


@exercise(
    "04.5",
    title="Find the lost filters",
    difficulty=2,
    minutes=10,
    hints=(
        "One scale for all: the largest absolute weight of W, divided by quant_max.",
        "A channel is lost when its largest weight is at most half a step (a tie goes to 0), and is not 0.",
        "np.flatnonzero((size > 0) & (np.rint(size / scale) == 0)), where size is the largest |w| of each channel.",
    ),
)
def check_lost_channels(answer, say):
    """``lost_channels(W, quant_max)``: channels that are not zero, and whose codes under one scale all are."""
    for w, quant_max, want, hint in [
        ([[8.0, 8.0], [4.0, 0.0]], 2, [], "one code of channel 1 is 0, the other is not: that channel lives"),
        ([[8.0, 0.0], [1.0, -1.0]], 2, [1], "one step is 4, and 1 rounds to mark 0"),
        ([[8.0, 0.0], [1.0, 0.0], [0.0, 0.0]], 2, [1], "channel 2 was zero before: nothing is lost there"),
        ([[8.0], [3.0]], 2, [], "one step is 4, and 3 rounds to mark 1: the grid rounds, it does not cut off"),
        ([[8.0, 0.0], [-4.0, 0.0]], 2, [], "-4 has the code -1: a negative weight is not lost"),
        ([[-8.0, 1.0], [1.0, 1.0]], 2, [1], "the largest size is that of -8, so a step is 4: take absolute values"),
        ([[8.0, 0.0], [4.0, -4.0]], 2, [], "codes 1 and -1 add up to 0, but neither is 0"),
        ([[4.0], [2.0]], 1, [1], "2 is half a step, a tie, and goes to the even mark 0"),
    ]:
        when = f"with W={w}, quant_max={quant_max}"
        got = np.asarray(answer(np.array(w, dtype=np.float32), quant_max))
        if got.dtype == bool:
            raise Incorrect(f"{when} you return a mask of True and False; np.flatnonzero turns it into indices")
        if got.tolist() != want:
            raise Incorrect(f"{when} you return {got.tolist()}, expected {want}: {hint}")
    W = np.random.default_rng(0).standard_t(2, (40, 1, 3, 3)).astype(np.float32)
    W[::2] /= 50
    size = np.abs(W).max(axis=(1, 2, 3))
    want = np.flatnonzero(np.rint(size / (size.max() / 7)) == 0)
    when = "with W of shape (40, 1, 3, 3), quant_max=7"
    expect_equal(np.asarray(answer(W, 7), dtype=np.int64), want.astype(np.int64), when=when)
    say("in the lesson's layer 3 filters are lost, and they were almost zero before; the starved ones do the harm")
