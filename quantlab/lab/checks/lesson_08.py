"""Checks of exercise 08: folding, padding, adding, bias room, bytes, and disagreement."""

import math

import numpy as np

from quantlab.core.windows import place_windows
from quantlab.lab.checks import Incorrect, exercise, expect, expect_close, expect_equal, expect_type


@exercise(
    "08.1",
    title="Fold a batch norm",
    difficulty=1,
    minutes=8,
    hints=(
        "A batch norm multiplies each channel by gamma / sqrt(variance + eps). Call that the factor.",
        "The weights of channel o are multiplied by factor[o]: give the factor axes behind its own.",
        "W * factor[:, None, None, None] and (b - mean) * factor + beta.",
    ),
)
def check_fold(answer, say):
    """``fold``: a convolution and its batch norm as one convolution."""
    one, zero = np.ones(2), np.zeros(2)
    W = np.array([[2.0, 4.0], [6.0, 8.0]]).reshape(2, 1, 1, 2)

    def ask(when, *, want_W, want_b, hint, mistakes=(), **given):
        p = {"b": zero, "gamma": one, "beta": zero, "mean": zero, "variance": one, "eps": 0.0} | given
        got = answer(W, **p)
        expect_type(got, (tuple, list), when=when)
        expect(len(got) == 2, f"{when} you return {len(got)} values, expected (W, b)")
        for values, text in mistakes:
            if np.shape(got[0]) == W.shape and np.allclose(got[0], np.reshape(values, W.shape)):
                raise Incorrect(f"{when} your W is {np.ravel(got[0]).round(3).tolist()}: {text}")
        expect_close(np.asarray(got[0]), np.reshape(want_W, W.shape), atol=1e-5, when=f"{when}, W:", hint=hint)
        expect_close(np.asarray(got[1]), np.array(want_b), atol=1e-5, when=f"{when}, b:", hint=hint)

    ask(
        "with W=[[2, 4], [6, 8]], gamma=[3, 1], variance=[9, 4], all else 0",
        gamma=np.array([3.0, 1.0]),
        variance=np.array([9.0, 4.0]),
        want_W=[2, 4, 3, 4],
        want_b=[0, 0],
        hint="channel 0 by 3 / sqrt(9), channel 1 by 1 / sqrt(4)",
        mistakes=[
            ([2 / 3, 4 / 3, 1.5, 2], "divide by the standard deviation, the root of the variance"),
            ([2, 2, 6, 4], "the factor belongs to output channels, the first axis of W: give it axes behind"),
        ],
    )
    ask(
        "with variance=[5, 12] and eps=4",
        variance=np.array([5.0, 12.0]),
        eps=4.0,
        want_W=[2 / 3, 4 / 3, 1.5, 2],
        want_b=[0, 0],
        hint="eps is added to the variance, inside the root",
    )
    ask(
        "with variance=[4, 4], b=[10, 0], all else 0",
        variance=np.array([4.0, 4.0]),
        b=np.array([10.0, 0.0]),
        want_W=[1, 2, 3, 4],
        want_b=[5, 0],
        hint="the batch norm scales the old bias too",
    )
    ask(
        "with variance=[4, 4], mean=[10, 0], beta=[0, 1]",
        variance=np.array([4.0, 4.0]),
        mean=np.array([10.0, 0.0]),
        beta=np.array([0.0, 1.0]),
        want_W=[1, 2, 3, 4],
        want_b=[-5, 1],
        hint="the mean is taken away before the factor, beta is added after it",
    )
    ask(
        "with gamma=[-1, 1], all else 0",
        gamma=np.array([-1.0, 1.0]),
        want_W=[-2, -4, 6, 8],
        want_b=[0, 0],
        hint="gamma may be negative, and then the weights change their sign",
    )
    rng = np.random.default_rng(8)
    W = rng.normal(size=(5, 3, 3, 4))
    p = {name: rng.normal(size=5) for name in ("b", "gamma", "beta", "mean")} | {"variance": rng.uniform(1, 2, 5)}
    factor = p["gamma"] / np.sqrt(p["variance"] + 1e-3)
    want = (np.einsum("oijc,o->oijc", W, factor), (p["b"] - p["mean"]) * factor + p["beta"])
    expect_close(answer(W, **p, eps=1e-3), want, atol=1e-5, when="with W (5, 3, 3, 4)")


@exercise(
    "08.2",
    title="Pad as TensorFlow does",
    difficulty=2,
    minutes=8,
    hints=(
        "The last of n_out windows begins at pixel (n_out - 1) * stride and is kernel pixels long.",
        "What it needs beyond n is the padding; if that is negative, there is none.",
        "total = max((n_out - 1) * stride + kernel - n, 0), and (total // 2, total - total // 2).",
    ),
)
def check_same_padding(answer, say):
    """``same_padding``: how many pixels in front and behind."""
    for n, kernel, stride, hint in [
        (8, 3, 1, "eight windows of 3 pixels need 10: one more at each end"),
        (8, 4, 1, "three more pixels: one in front, and the larger half behind"),
        (8, 3, 2, "the four windows begin at 0, 2, 4, 6 and end at 8: nine pixels, so one more, behind"),
        (7, 3, 2, "7 pixels under stride 2 give ceil(7 / 2) = 4 outputs"),
        (5, 3, 2, "5 pixels under stride 2 give 3 outputs: 5 / 2 is rounded up, whatever the digit behind the point"),
        (8, 1, 2, "a kernel smaller than its stride skips pixels: the padding is 0, never negative"),
        (5, 2, 3, "two windows at 0 and 3: exactly five pixels, no padding"),
    ]:
        when = f"with n={n}, kernel={kernel}, stride={stride}"
        got = answer(n, kernel, stride)
        expect_equal(got, _same(n, kernel, stride), when=when, hint=hint)
        for value in got:
            expect_type(value, int, when=when)
    for n in range(1, 30):
        for kernel in range(1, 8):
            for stride in range(1, 5):
                when = f"with n={n}, kernel={kernel}, stride={stride}"
                expect_equal(tuple(answer(n, kernel, stride)), _same(n, kernel, stride), when=when)
    say("EfficientNet's stride-2 layers pad more at the end: (0, 1) for a kernel of 3, (1, 2) for one of 5")


def _same(n: int, kernel: int, stride: int) -> tuple[int, int]:
    return place_windows((n, 1), kernel=(kernel, 1), stride=(stride, 1), padding="same").pads[0]


@exercise(
    "08.3",
    title="Add with two rulers",
    difficulty=2,
    minutes=10,
    hints=(
        "A code minus its zero point, times its scale, is a real number. Reals can be added.",
        "Leave int8 before you subtract; divide by the output's scale, round, and only then add its zero point.",
        "np.clip(np.rint((s_a * (a - z_a) + s_b * (b - z_b)) / s_y) + z_y, -128, 127).astype(np.int8)",
    ),
)
def check_add(answer, say):
    """``add``: codes of a sum."""

    def ask(a, b, rulers, want, hint):
        (s_a, z_a), (s_b, z_b), (s_y, z_y) = rulers
        when = f"with a_q=[{a}], b_q=[{b}], a: {s_a}, {z_a}, b: {s_b}, {z_b}, y: {s_y}, {z_y} (scale, zero point)"
        got = answer(np.array([a], np.int8), np.array([b], np.int8), s_a, z_a, s_b, z_b, s_y, z_y)
        expect_equal(np.asarray(got).astype(np.int64), np.array([want]), when=when, hint=hint)
        expect_equal(got, np.array([want], np.int8), when=when)

    one = (1.0, 0)
    ask(3, 4, (one, one, one), 7, "on one ruler, codes can be added")
    ask(3, 4, ((2.0, 0), one, one), 10, "codes in different units do not add: 3 steps of 2 and 4 steps of 1 are 10")
    ask(6, 4, (one, one, (2.0, 0)), 5, "the sum, 10, is 5 steps of the output's scale 2")
    ask(3, 4, ((1.0, 2), (1.0, 3), one), 2, "subtract each zero point from its code: (3 - 2) + (4 - 3)")
    ask(3, 4, (one, one, (1.0, 5)), 12, "add the zero point of the output, in steps of the output")
    ask(1, 1, (one, one, (4.0, 3)), 3, "2 / 4 is a tie and goes to the even 0, before the zero point is added")
    ask(1, 1, (one, one, (3.0, 0)), 1, "2 / 3 rounds to 1; each third by itself rounds to 0: round once, at the end")
    ask(-100, 50, ((1.0, 100), one, (2.0, 0)), -75, "-100 - 100 does not fit into int8: widen before you subtract")
    ask(100, 100, (one, one, one), 127, "beyond 127 the output saturates: clip before you cast to int8")
    ask(-100, -100, (one, one, one), -128, "the lowest int8 code is -128: activations use it")
    ask(100, 100, (one, one, (1.0, -50)), 127, "200 - 50 is 150: clip after the zero point is added")
    ask(3, 0, ((0.5, 0), one, (0.25, 0)), 6, "the sum, 1.5, is 6 steps of 0.25: do not round it before you divide")
    rng = np.random.default_rng(8)
    a_q, b_q = rng.integers(-128, 128, (2, 40, 30), dtype=np.int8)
    exact = (0.37 * (a_q.astype(np.float64) - 8) + 0.99 * (b_q.astype(np.float64) + 128)) / 1.003 - 11
    want = np.clip(np.rint(exact), -128, 127).astype(np.int8)
    got = answer(a_q, b_q, 0.37, 8, 0.99, -128, 1.003, -11)
    expect_equal(got, want, when="with 1200 pairs of codes, scales 0.37, 0.99 and 1.003")
    say("a runtime does it with two integer multipliers, and agrees but for ties and near ties")


@exercise(
    "08.4",
    title="Leave room for the bias",
    difficulty=3,
    minutes=10,
    hints=(
        "There are three lower bounds for each channel's scale; the largest of them wins.",
        "The bias is b / (x_scale * w_scale) steps. Which w_scale makes that 2**30?",
        "np.maximum of max|W| / 127 (over all axes but the first), |b| / (x_scale * 2**30), and 2**-23.",
    ),
)
def check_weight_scales(answer, say):
    """``weight_scales``: scales that hold the weights and let the bias fit."""

    def ask(W, b, x_scale, hint, mistakes=()):
        W, b = np.array(W, np.float64).reshape(len(W), 1, 1, -1), np.array(b, np.float64)
        when = f"with W={W.reshape(len(W), -1).tolist()}, b={b.tolist()}, x_scale={x_scale}"
        got, want = np.asarray(answer(W, b, x_scale)), _weight_scales(W, b, x_scale)
        if got.shape != want.shape:
            raise Incorrect(f"{when} your result has shape {got.shape}, expected {want.shape}: one scale a channel")
        for values, text in mistakes:
            if np.allclose(got, values, rtol=1e-6, atol=0):
                raise Incorrect(f"{when} you return {got.tolist()}: {text}")
        # relative: the scales differ by orders of magnitude
        expect_close(
            got / want, np.ones(len(want)), atol=1e-5, when=f"{when}, your scales over the wanted ones:", hint=hint
        )

    ask(
        [[1.27, -0.5], [-2.54, 0.1]],
        [0.0, 0.0],
        1.0,
        "max|W| / 127 for each channel",
        mistakes=[
            ([0.02, 0.02], "each channel has a scale of its own"),
            ([1.27 / 127, 0.1 / 127], "the largest weight of a channel may be negative: take absolute values"),
            ([2.54 / 127, 0.5 / 127], "the channels are the first axis: take the maximum over all the others"),
            ([1.27 / 128, 2.54 / 128], "the grid has no mark -128: it reaches from -127 to 127"),
        ],
    )
    ask([[0.0, 0.0]], [0.0], 1.0, "a dead channel without bias gets 2**-23: a scale of 0 is none")
    ask(
        [[1e-9, 0.0], [1.27, 0.0]],
        [1000.0, 1000.0],
        0.01,
        "b / (x_scale * w_scale) is at most 2**30 if w_scale is at least |b| / (x_scale * 2**30)",
        mistakes=[
            ([2**-23, 0.01], "with this scale the first bias is 8e11 steps, and int32 ends at 2e9"),
            ([1e-9 / 127, 0.01], "with this scale the first bias is 1e16 steps, and int32 ends at 2e9"),
            (
                [max(1000 * 0.01 / 2**30, 2**-23), 0.01],
                "the bias counts in steps of x_scale * w_scale: divide by x_scale",
            ),
            ([1000 / 2**30, 0.01], "the bias counts in steps of x_scale * w_scale: divide by x_scale"),
        ],
    )
    ask([[1e-9, 0.0]], [0.0], 1.0, "weights of 1e-9 are no zeros, but their scale is 2**-23 too: never below it")
    ask(
        [[1e-9, 0.0], [1e-9, 0.0]],
        [1000.0, 10.0],
        0.01,
        "each channel's own bias asks for room, not the largest of all",
    )
    ask([[1e-9, 0.0]], [-1000.0], 0.01, "a negative bias needs as much room as a positive one")
    rng = np.random.default_rng(8)
    ask(
        rng.normal(size=(6, 12)).round(3) * np.array([[1, 1e-8, 1, 0, 1e-8, 1]]).T,
        rng.normal(size=6).round(3) * 100,
        0.02,
        "",
    )
    say("EfficientNet-Lite0 has dozens of channels whose bias would not fit beside max|W| / 127")


def _weight_scales(W, b, x_scale):
    largest = np.abs(W).max(axis=(1, 2, 3))
    return np.maximum.reduce([largest / 127, np.abs(b) / (x_scale * 2**30), np.full(len(W), 2.0**-23)])


@exercise(
    "08.5",
    title="Count the bytes",
    difficulty=1,
    minutes=7,
    hints=(
        "Three parts: packed weights, biases, scales.",
        "A tensor of n weights takes ceil(n * n_bits / 8) bytes; each tensor is rounded up by itself.",
        "Output channels are shape[0]: 4 bytes of bias for each, and 4 of scale for each or for each tensor.",
    ),
)
def check_n_bytes(answer, say):
    """``n_bytes``: bytes of the parameters of a quantized network."""
    for shapes, n_bits, per_channel, hint in [
        ([(1, 8)], 8, False, "8 weights, 4 bytes of bias, 4 of scale"),
        ([(1, 8)], 4, False, "4-bit weights are packed: 8 of them take 4 bytes"),
        ([(3, 8)], 8, False, "one int32 bias an output: 3 * 4 bytes, beside 24 weights and one scale"),
        ([(3, 8)], 8, True, "per channel, each of the 3 outputs has a scale"),
        ([(3, 1, 1, 7)], 8, True, "shape[0] is the number of outputs"),
        ([(1, 3)], 3, False, "9 bits take 2 bytes: round up"),
        ([(1, 8)], 3, False, "packed weights may lie across two bytes: 8 of 3 bits take 3 bytes"),
        ([(3, 1)], 4, False, "a tensor is packed as a whole, not row by row: 12 bits take 2 bytes"),
        ([(1, 8), (1, 8)], 8, False, "each of the 2 tensors has a scale of its own, and a bias"),
        ([(1, 1), (1, 1)], 4, False, "each tensor is padded to a whole byte by itself: 1 + 1, not 1"),
    ]:
        when = f"with shapes={shapes}, n_bits={n_bits}, per_channel={per_channel}"
        got = answer(shapes, n_bits, per_channel)
        expect_equal(got, _n_bytes(shapes, n_bits, per_channel), when=when, hint=hint)
        expect_type(got, int, when=when)
    digits = [(16, 3, 3, 1), (16, 3, 3, 1), (16, 1, 1, 16), (32, 3, 3, 16), (32, 3, 3, 1), (32, 1, 1, 32), (10, 32)]
    for n_bits in (2, 3, 4, 8):
        for per_channel in (False, True):
            when = f"with the layers of lesson 08, n_bits={n_bits}, per_channel={per_channel}"
            expect_equal(answer(digits, n_bits, per_channel), _n_bytes(digits, n_bits, per_channel), when=when)
    say("the network of lesson 08 at 4 bits, per channel: 4,624 bytes, of which 1,232 are no weights")


def _n_bytes(shapes, n_bits, per_channel):
    weights = sum(-(-math.prod(shape) * n_bits // 8) for shape in shapes)
    return weights + sum(4 * shape[0] + 4 * (shape[0] if per_channel else 1) for shape in shapes)


@exercise(
    "08.6",
    title="Count where they disagree",
    difficulty=2,
    minutes=10,
    hints=(
        "Images that both get right, or both get wrong, say nothing about the difference.",
        "Of n throws, exactly k are heads with chance comb(n, k) / 2**n. Sum from 0 to the smaller count.",
        "p = min(1, 2 * sum(comb(n, k) for k in range(fewer + 1)) / 2**n): both directions, and no more than 1.",
    ),
)
def check_disagreement(answer, say):
    """``disagreement``: McNemar's exact test."""

    def ask(only_a, only_b, both, neither, hint, mistakes=()):
        a = np.repeat([True, False, True, False], [only_a, only_b, both, neither])
        b = np.repeat([False, True, True, False], [only_a, only_b, both, neither])
        when = f"with {only_a} images right in a alone, {only_b} in b alone, {both} in both, {neither} in none"
        got = answer(a, b)
        expect_type(got, (tuple, list), when=when)
        expect(len(got) == 3, f"{when} you return {len(got)} values, expected (only a, only b, p)")
        counts = "count where exactly one of the two is right"
        expect_equal(tuple(int(v) for v in got[:2]), (only_a, only_b), when=when, hint=counts)
        for value, text in mistakes:
            if abs(float(got[2]) - value) < 1e-9:
                raise Incorrect(f"{when} your p is {float(got[2]):.4g}: {text}")
        want = _p(only_a, only_b)
        expect_close(float(got[2]), want, atol=1e-9, when=f"{when}, p:", hint=hint)

    more_uneven = "'at least as unevenly': the more uneven splits count too, so sum from 0"
    smaller = "sum up to the smaller of the two counts"
    up_to_b = 2 * sum(math.comb(7, k) for k in range(7)) / 2**7
    all_images = 2 * sum(math.comb(11, k) for k in range(3)) / 2**11
    mistakes = [
        (0.5, "both directions count: double it"),
        (0.625, more_uneven),
        (0.375, "'at least as unevenly': the split that was seen counts too, so include the smaller count"),
        (all_images, "the coin is thrown for the 5 images that only one got right, not for all 11"),
        (math.erfc(math.sqrt(0.1)), "this is the chi-square approximation: the exact test sums binomials"),
    ]
    ask(2, 3, 5, 1, "2 * (1 + 5 + 10) / 2**5", mistakes)
    ask(5, 0, 9, 0, "2 / 2**5", [(1 / 32, "a split of 0 and 5 is as uneven as 5 and 0, so double it"), (1.0, smaller)])
    ask(1, 6, 0, 0, "2 * (1 + 7) / 2**7", [(2 * 7 / 2**7, more_uneven), (up_to_b, smaller), (1.0, smaller)])
    ask(2, 2, 1, 0, "an even split is the least uneven of all: p is 1, and never more")
    ask(0, 0, 3, 2, "no image tells them apart, so p is 1")
    ask(10, 0, 438, 2, "the 4-bit network of lesson 08")
    ask(25, 40, 300, 85, "")
    say("with fewer than 6 images that only one of the two gets right, p never falls below 0.05")


def _p(only_a: int, only_b: int) -> float:
    n = only_a + only_b
    splits = [math.comb(n, k) for k in range(n + 1) if abs(2 * k - n) >= abs(only_a - only_b)]
    return sum(splits) / 2**n
