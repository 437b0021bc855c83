"""Checks of exercise 09: equalization, absorbed and corrected biases, soft rounding, an interval over pictures."""

import numpy as np

from quantlab.lab.checks import Incorrect, exercise, expect, expect_close, expect_type


def _all_equal(got, wrong, atol=1e-9) -> bool:
    """Tell whether an answer is a known wrong one."""
    got, wrong = np.asarray(got, np.float64), np.asarray(wrong, np.float64)
    return got.shape == wrong.shape and bool(np.allclose(got, wrong, rtol=0, atol=atol))


@exercise(
    "09.1",
    title="Equalize a pair",
    difficulty=2,
    minutes=10,
    hints=(
        "Hidden channel i is row i of W1 and column i of W2. What are its two ranges?",
        "Dividing by s and multiplying by s makes them r1 / s and r2 * s. For which s are these equal?",
        "s = sqrt(r1 / r2), and 1 where either is 0; then W1 / s[:, None], b1 / s, W2 * s.",
    ),
)
def check_equalize_pair(answer, say):
    """``equalize_pair``: equal ranges, the same function."""
    W1, b1, W2 = np.array([[8.0]]), np.array([4.0]), np.array([[2.0]])
    when = "with W1=[[8]], b1=[4], W2=[[2]]"
    got = _three(answer(W1, b1, W2), when)
    for wrong, hint in [
        ((2.0, 1.0, 8.0), "you divided by r1 / r2 and swapped the ranges; with its root they meet in the middle"),
        (
            (2.0, 1.0, 2.0),
            "W1 was divided, so W2 must be multiplied by the same, or the layers compute another function",
        ),
        ((1.0, 0.5, 16.0), "channels of W1 have range 1 now, and those of W2 all the rest: the ranges shall be equal"),
        ((4.0, 4.0, 4.0), "the bias is a part of the channel: divide it like the weights"),
        ((16.0, 8.0, 1.0), "you moved the range the wrong way: the wide layer is divided"),
    ]:
        if all(_all_equal(g, np.full(np.shape(g), w)) for g, w in zip(got, wrong, strict=True)):
            shown = ", ".join(f"{w:g}" for w in wrong)
            raise Incorrect(f"{when} you return {shown}, expected 4, 2, 4: {hint}")
    for value, want, name in zip(got, (4.0, 2.0, 4.0), ("W1", "b1", "W2"), strict=True):
        expect_close(value, np.full(np.shape(value), want), atol=1e-9, when=f"{when}, {name}:")

    W1 = np.array([[1.0, -8.0], [3.0, 1.0]])
    W2 = np.array([[-2.0, 12.0], [1.0, 1.0]])
    b1 = np.array([1.0, 1.0])
    when = "with W1=[[1, -8], [3, 1]], b1=[1, 1], W2=[[-2, 12], [1, 1]]"
    got = _three(answer(W1, b1, W2), when)
    if _all_equal(got[0][0], W1[0] / np.sqrt(8 / 12)):
        raise Incorrect(f"{when} the first row of your W1 is off: hidden channel 0 is a *column* of W2, its range is 2")
    if _all_equal(got[0][0], W1[0] / np.sqrt(1 / 1)):
        raise Incorrect(
            f"{when} the first row of your W1 did not change: a range is the largest magnitude, so take abs"
        )
    _compare(got, (W1, b1, W2), when, "s is sqrt(8 / 2) = 2 for channel 0, and sqrt(3 / 12) = 1/2 for channel 1")

    W1, b1, W2 = np.array([[0.0], [4.0], [9.0]]), np.array([5.0, 1.0, 2.0]), np.array([[3.0, 0.0, 1.0]])
    when = "with W1=[[0], [4], [9]], b1=[5, 1, 2], W2=[[3, 0, 1]]"
    got = _three(answer(W1, b1, W2), when)
    if not all(np.isfinite(value).all() for value in got):
        raise Incorrect(f"{when} you return NaN or infinities: a channel that is all zero on one side has no scale")
    _compare(got, (W1, b1, W2), when, "channels 0 and 1 are zero on one side: leave them alone; channel 2 has s = 3")
    rng = np.random.default_rng(9)
    W1, b1, W2 = rng.normal(size=(6, 4)), rng.normal(size=6), rng.normal(size=(5, 6))
    _compare(_three(answer(W1, b1, W2), "on random layers"), (W1, b1, W2), "with W1 (6, 4), W2 (5, 6)", "")
    say("with two layers this is the best that can be done for one scale a tensor; chains take several turns")


def _three(got, when):
    expect_type(got, tuple, when=when)
    expect(len(got) == 3, f"{when} you return {len(got)} values, expected (W1, b1, W2)")
    return tuple(np.asarray(value, np.float64) for value in got)


def _compare(got, given, when, hint):
    W1, b1, W2 = given
    r1, r2 = np.abs(W1).max(axis=1), np.abs(W2).max(axis=0)
    both = (r1 > 0) & (r2 > 0)
    s = np.where(both, np.sqrt(np.where(both, r1, 1) / np.where(both, r2, 1)), 1.0)
    for value, want, name in zip(got, (W1 / s[:, None], b1 / s, W2 * s), ("W1", "b1", "W2"), strict=True):
        expect_close(value, want, atol=1e-9, when=f"{when}, {name}:", hint=hint)


@exercise(
    "09.2",
    title="Absorb a high bias",
    difficulty=2,
    minutes=8,
    hints=(
        "If h >= c always, relu(h) = relu(h - c) + c. Who adds the c again?",
        "The second layer sees c less in every hidden channel, so its outputs lack W2 @ c.",
        "c = np.maximum(0, mean - 3 * std); return b1 - c, b2 + W2 @ c.",
    ),
)
def check_absorb(answer, say):
    """``absorb``: what leaves the first bias must arrive in the second."""
    b1, W2, b2 = np.array([10.0]), np.array([[2.0]]), np.array([1.0])
    when = "with b1=[10], W2=[[2]], b2=[1], mean=[10], std=[1]"
    got = _two(answer(b1, W2, b2, np.array([10.0]), np.array([1.0])), when)
    for wrong, hint in [
        ((3.0, 8.0), "c goes through the second layer's weights: 2 * 7"),
        ((3.0, -13.0), "the second layer sees less now, so its bias must grow"),
        ((3.0, 1.0), "what you took out must come back in b2"),
        ((0.0, 21.0), "you absorbed the whole mean; half of the values lie below it, and ReLU would cut them"),
        ((17.0, 15.0), "c goes out of b1, not into it"),
    ]:
        if _all_equal(np.ravel(got[0]), [wrong[0]]) and _all_equal(np.ravel(got[1]), [wrong[1]]):
            raise Incorrect(f"{when} you return {wrong[0]:g}, {wrong[1]:g}, expected 3, 15: {hint}")
    expect_close(got[0], np.array([3.0]), atol=1e-9, when=f"{when}, b1:", hint="c is 10 - 3 * 1 = 7")
    expect_close(got[1], np.array([15.0]), atol=1e-9, when=f"{when}, b2:", hint="1 + 2 * 7")
    when = when.replace("mean=[10]", "mean=[2]").replace("b1=[10]", "b1=[2]")
    got = _two(answer(np.array([2.0]), W2, b2, np.array([2.0]), np.array([1.0])), when)
    hint = "mean - 3 * std is -1 here: there is nothing to absorb, and c is 0"
    expect_close(got[0], np.array([2.0]), atol=1e-9, when=f"{when}, b1:", hint=hint)
    expect_close(got[1], np.array([1.0]), atol=1e-9, when=f"{when}, b2:", hint=hint)
    rng = np.random.default_rng(9)
    b1, W2, b2 = rng.normal(5, 3, 4), rng.normal(size=(4, 4)), rng.normal(size=4)
    mean, std = b1 + rng.normal(size=4), rng.uniform(0.5, 2, 4)
    got = _two(answer(b1, W2, b2, mean, std), "with W2 (4, 4)")
    c = np.maximum(0, mean - 3 * std)
    expect_close(got[0], b1 - c, atol=1e-9, when="with W2 (4, 4), b1:", hint="c comes from mean and std, not from b1")
    hint = "W2 is (out, hidden), and c belongs to the hidden channels: W2 @ c"
    expect_close(got[1], b2 + W2 @ c, atol=1e-9, when="with W2 (4, 4), b2:", hint=hint)


def _two(got, when):
    expect_type(got, tuple, when=when)
    expect(len(got) == 2, f"{when} you return {len(got)} values, expected (b1, b2)")
    return tuple(np.asarray(value, np.float64) for value in got)


@exercise(
    "09.3",
    title="Correct a bias",
    difficulty=1,
    minutes=6,
    hints=(
        "By how much does the mean output differ? Write it with W_hat - W and the mean input.",
        "The mean of a matrix product is the product with the mean.",
        "b - (W_hat - W) @ X.mean(axis=0).",
    ),
)
def check_corrected_bias(answer, say):
    """``corrected_bias``: the mean output as before."""
    b, W, W_hat, X = np.array([1.0]), np.array([[1.5]]), np.array([[2.0]]), np.array([[2.0], [6.0]])
    when = "with b=[1], W=[[1.5]], W_hat=[[2]], X=[[2], [6]]"
    got = answer(b, W, W_hat, X)
    for wrong, hint in [
        (3.0, "the rounded layer gives too much already: the shift is taken away"),
        (0.5, "an error of the weights counts as often as its input is large: multiply by the mean of X"),
        (-3.0, "that is the sum over the samples; a bias is added to every sample, so take the mean"),
        (-2.0, "that is the shift alone, with its sign: add it to b"),
        (2.0, "that is the shift; wanted is the new bias"),
        (-7.0, "the mean output shall be what W gave, so the shift is that of W_hat - W, not of W_hat"),
    ]:
        if np.size(got) == 1 and _all_equal(np.ravel(got), [wrong]):
            raise Incorrect(f"{when} you return {wrong:g}, expected -1: {hint}")
    expect_close(got, np.array([-1.0]), atol=1e-9, when=when, hint="the mean input is 4, the error of the weight 0.5")
    rng = np.random.default_rng(9)
    W, X, b = rng.normal(size=(4, 4)), np.maximum(rng.normal(size=(4, 4)), 0), rng.normal(size=4)
    W_hat = np.round(W)
    hint = "X is (samples, in): the mean over samples is over axis 0"
    expect_close(answer(b, W, W_hat, X), b - (W_hat - W) @ X.mean(axis=0), atol=1e-9, when="with X (4, 4)", hint=hint)


@exercise(
    "09.4",
    title="Round softly",
    difficulty=2,
    minutes=10,
    hints=(
        "Start with one weight: which two marks does it lie between, and where does h put it?",
        "Two clips: one for h, between 0 and 1; one for the code, between quant_min and quant_max.",
        "s * np.clip(np.floor(W / s) + h, quant_min, quant_max), h = np.clip(1.2 / (1 + np.exp(-V)) - 0.1, 0, 1).",
    ),
)
def check_soft_weights(answer, say):
    """``soft_weights``: AdaRound's relaxed rounding."""
    for w, v, s, lo, hi, hint in [
        (1.4, 0.0, 0.5, -8, 7, "1.4 lies between the marks 2 and 3, and h(0) is 1/2: (2 + 1/2) * 0.5"),
        (-1.25, 0.0, 0.5, -8, 7, "the mark below -2.5 is -3: floor goes down, a cast to int goes towards zero"),
        (
            1.25,
            9.0,
            0.5,
            -8,
            7,
            "1.2 * sigmoid(9) - 0.1 is above 1: clip h, and the weight lies on the mark 3 exactly",
        ),
        (
            1.25,
            -9.0,
            0.5,
            -8,
            7,
            "1.2 * sigmoid(-9) - 0.1 is below 0: clip h, and the weight lies on the mark 2",
        ),
        (1.25, 1.0, 0.5, -8, 7, "stretch the sigmoid before you clip: 1.2 * sigmoid(1) - 0.1 = 0.777"),
        (1.9, 0.0, 0.5, -4, 3, "the grid ends at 3: clip after h was added"),
        (-9.0, 0.0, 0.5, -4, 3, "the grid ends at -4: clip the code from below too"),
    ]:
        want = s * np.clip(np.floor(w / s) + np.clip(1.2 / (1 + np.exp(-v)) - 0.1, 0, 1), lo, hi)
        when = f"with W=[{w:g}], V=[{v:g}], s={s:g}, grid {lo}..{hi}"
        got = answer(np.array([w]), np.array([v]), s, lo, hi)
        if np.size(got) == 1 and _all_equal(np.ravel(got), [want / s]) and want:
            raise Incorrect(f"{when} you return the code {want / s:g}; multiply by s to come back to weights")
        expect_close(got, np.array([want]), atol=1e-9, when=when, hint=hint)
    rng = np.random.default_rng(9)
    W, V = rng.normal(size=(5, 6)), rng.normal(size=(5, 6)) * 3
    want = 0.3 * np.clip(np.floor(W / 0.3) + np.clip(1.2 / (1 + np.exp(-V)) - 0.1, 0, 1), -4, 3)
    expect_close(answer(W, V, 0.3, -4, 3), want, atol=1e-9, when="with W (5, 6)")


@exercise(
    "09.5",
    title="Draw pictures, not crops",
    difficulty=3,
    minutes=12,
    hints=(
        "First count, for every photograph, its crops and how many of them agree: np.bincount.",
        "A row of draws picks photographs: index both counts with it, and sum.",
        "hits[draws].sum(axis=1) / n[draws].sum(axis=1), then np.quantile(..., [0.025, 0.975]).",
    ),
)
def check_picture_interval(answer, say):
    """``picture_interval``: a bootstrap over clusters."""
    agree, picture = np.array([True, True, True, False]), np.array([0, 0, 0, 1])
    when = "with agree=[1, 1, 1, 0], picture=[0, 0, 0, 1]"
    draws = np.array([[0, 1]])
    got = _interval(answer(agree, picture, draws), f"{when}, draws=[[0, 1]]")
    if _all_equal(got, (0.5, 0.5)):
        raise Incorrect(
            f"{when}, draws=[[0, 1]] you return 0.5, expected 0.75: that is the mean of the two photographs' shares; "
            "three of the four crops agree"
        )
    if _all_equal(got, (1.0, 1.0)):
        raise Incorrect(f"{when}, draws=[[0, 1]] you return 1, expected 0.75: draws holds photographs, not crops")
    expect_close(got, (0.75, 0.75), atol=1e-9, when=f"{when}, draws=[[0, 1]]", hint="both photographs, once each")
    got = _interval(answer(agree, picture, np.array([[1, 1]])), f"{when}, draws=[[1, 1]]")
    hint = "the second photograph twice, and its only crop does not agree"
    expect_close(got, (0.0, 0.0), atol=1e-9, when=f"{when}, draws=[[1, 1]]", hint=hint)
    agree, picture = np.array([True, False]), np.array([0, 1])
    draws = np.array([[0, 0, 1]])  # drawn three times, so that a set of them is another number
    when = "with agree=[1, 0], picture=[0, 1], draws=[[0, 0, 1]]"
    hint = "a photograph that is drawn twice counts twice"
    expect_close(_interval(answer(agree, picture, draws), when), (2 / 3, 2 / 3), atol=1e-9, when=when, hint=hint)
    rng = np.random.default_rng(9)
    picture = np.repeat(np.arange(6), [3, 5, 8, 13, 2, 9])
    agree = rng.random(40) < np.array([0.1, 0.5, 0.9, 0.3, 1.0, 0.6])[picture]
    draws = rng.integers(0, 6, (200, 6))
    hits, n = np.bincount(picture, weights=agree), np.bincount(picture)
    shares = hits[draws].sum(axis=1) / n[draws].sum(axis=1)
    want = tuple(float(q) for q in np.quantile(shares, [0.025, 0.975]))
    when = "with 40 crops of 6 photographs and 200 draws"
    got = _interval(answer(agree, picture, draws), when)
    if _all_equal(got, np.quantile(shares, [0.05, 0.95])):
        raise Incorrect(f"{when} your interval holds 90 %; 2.5 % are left out at each end, not 5 %")
    if _all_equal(got, (shares.min(), shares.max())):
        raise Incorrect(f"{when} you return the smallest and the largest share; wanted are two quantiles")
    expect_close(got, want, atol=1e-9, when=when, hint="one share for each row of draws, then the two quantiles")
    say("Wilson's interval for as many independent crops would be narrower")


def _interval(got, when):
    expect_type(got, tuple, when=when)
    expect(len(got) == 2, f"{when} you return {len(got)} values, expected (low, high)")
    return tuple(float(value) for value in got)
