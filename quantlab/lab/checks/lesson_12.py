"""Checks of exercise 12: faults of a prepared network, levels, folding, moving averages, the order of the steps."""

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.lab.checks import Incorrect, exercise, expect, expect_array, expect_close, expect_equal, expect_type

STUB = ("quant", "QuantStub")
FAKE = ("fc.weight_fake_quant", "FakeQuantize")
EYE = ("fc.weight_fake_quant.activation_post_process", "MovingAveragePerChannelMinMaxObserver")


@exercise(
    "12.1",
    title="Find the fault behind the modules",
    difficulty=1,
    minutes=8,
    hints=(
        "Collect the types of all modules whose last name is weight_fake_quant.",
        "name.split('.')[-1] is the last name; the names of other modules may contain the word, too.",
        "None: nothing prepared. One that does not end in 'FakeQuantize': only observed. Then look for a stub.",
    ),
)
def check_find_fault(answer, say):
    """``find_fault``: what is wrong with the modules of a prepared network."""
    fused = ("fc.weight_fake_quant", "FusedMovingAvgObsFakeQuantize")
    observer = ("fc.weight_fake_quant", "PerChannelMinMaxObserver")
    for modules, want, hint in [
        ([STUB, ("fc", "Linear")], "nothing prepared", "no module has the last name weight_fake_quant"),
        ([STUB, ("fc", "Linear"), FAKE, EYE], "no fault", "an observer inside a fake quantizer is its eye"),
        ([("fc", "Linear"), FAKE, EYE], "no stub", "nothing is a QuantStub: float numbers would reach int8 layers"),
        ([STUB, ("fc", "Linear"), observer], "weights only observed", "the type of weight_fake_quant is an observer"),
        ([("dequant", "DeQuantStub"), FAKE, EYE], "no stub", "a DeQuantStub is the way out, not the way in"),
        ([STUB, FAKE, ("conv.weight_fake_quant", "MinMaxObserver")], "weights only observed", "one layer is enough"),
        ([STUB, fused], "no fault", "FusedMovingAvgObsFakeQuantize is a fake quantizer, too"),
        ([STUB, ("a.weight_fake_quant", "MinMaxObserver"), FAKE], "weights only observed", "look at each layer"),
        ([("inputs", "QuantStub"), FAKE, EYE], "no fault", "a stub may have any name: look at its type"),
        ([("quant", "Identity"), FAKE, EYE], "no stub", "a module named quant is no stub by that: look at its type"),
        ([STUB, ("quant.activation_post_process", fused[1])], "nothing prepared", "this one rounds no weights"),
        ([observer], "weights only observed", "two faults apply: the order of the task decides"),
    ]:
        when = f"with modules={modules}"
        got = answer(modules)
        expect_type(got, str, when=when)
        expect_equal(got, want, when=when, hint=hint)


@exercise(
    "12.2",
    title="Count the levels",
    difficulty=1,
    minutes=6,
    hints=(
        "One channel at a time: W.reshape(len(W), -1) has a row a channel.",
        "len(np.unique(row)) counts the values of a row; the worst row decides.",
        "First compare the length of a row with 2**n_bits: a short row cannot have more values than weights.",
    ),
)
def check_levels(answer, say):
    """``levels``: can these weights have been fake-quantized?"""
    rng = np.random.default_rng(12)
    scales = np.float32([0.5, 0.3, 0.2])[:, None]
    codes = rng.integers(-2, 2, (3, 30))
    on_grid = (codes * scales).astype(np.float32)
    one_bad = on_grid.copy()
    one_bad[1] = rng.standard_normal(30)
    for W, n_bits, want, about, hint in [
        (on_grid, 2, "active", "3 channels on three 2-bit grids", "each channel has its own scale: count a channel"),
        (one_bad, 2, "not active", "one of 3 channels in float", "one channel with more values is enough"),
        (
            on_grid[:, :4],
            2,
            "cannot tell",
            "3 channels of 4 weights",
            "4 weights have at most 4 values, on a grid or not",
        ),
        (
            one_bad,
            5,
            "cannot tell",
            "3 channels of 30 weights",
            "30 weights are fewer than 32 values: nothing is shown",
        ),
        (on_grid.reshape(3, 5, 3, 2), 2, "active", "a convolution, (3, 5, 3, 2)", "a channel is all of W[o]"),
        (one_bad.reshape(3, 5, 3, 2), 2, "not active", "a convolution, (3, 5, 3, 2)", "a channel is all of W[o]"),
        (on_grid.reshape(3, 3, 5, 2), 2, "active", "a convolution, (3, 3, 5, 2)", "count the weights of all of W[o]"),
        (np.arange(5, dtype=np.float32)[None], 2, "not active", "5 values in 5 weights", "5 weights can have 5 values"),
        (
            np.float32([[-2, -1, 0, 1, 2, 0]]),
            2,
            "not active",
            "the weights -2, -1, 0, 1, 2, 0",
            "signs make values, too",
        ),
        (np.float32([[*range(8), *range(8)]]), 3, "active", "8 values in 16 weights", "3 bits make 2**3 = 8 values"),
        (1 + np.float32([range(9)]) / 999, 2, "not active", "9 values near 1", "two values that differ little are two"),
    ]:
        when = f"with {about}, n_bits={n_bits}"
        got = answer(W, n_bits)
        expect_type(got, str, when=when)
        expect_equal(got, want, when=when, hint=hint)
    say("few values are necessary, not sufficient: 07.5 asks for the grid itself")


@exercise(
    "12.3",
    title="Fold, then round",
    difficulty=2,
    minutes=12,
    hints=(
        "First the folded weights, in float; then one scale for each of their channels.",
        "gamma / np.sqrt(variance + eps) has shape (out,); reshape(-1, 1, 1, 1) puts it beside W's first axis.",
        "scale = np.abs(folded).max(axis=(1, 2, 3), keepdims=True) / (2**(n_bits - 1) - 1)",
    ),
)
def check_folded(answer, say):
    """``folded``: the weights of a convolution in training, batch norm folded and fake-quantized."""
    rng = np.random.default_rng(3)
    W = rng.standard_normal((4, 4, 4, 4))
    gamma, variance = rng.uniform(0.5, 2, 4), rng.uniform(0.01, 4, 4)
    eps, n_bits = 0.25, 4
    when = "with W (4, 4, 4, 4), eps=0.25, n_bits=4"
    got = expect_array(answer(W, gamma, variance, eps, n_bits), shape=W.shape, when=when).astype(np.float64)

    def rounded(V, last=7):
        scale = np.abs(V).max(axis=(1, 2, 3), keepdims=True) / last
        return np.rint(V / scale) * scale

    factor = (gamma / np.sqrt(variance + eps)).reshape(-1, 1, 1, 1)
    wrong = {
        "your weights are folded, and not rounded": W * factor,
        "your weights are rounded, and not folded": rounded(W),
        "you add eps outside the root; sigma**2 + eps stands under it": rounded(
            W * (gamma / (np.sqrt(variance) + eps)).reshape(-1, 1, 1, 1)
        ),
        "you leave out eps: a channel of little variance gets too large": rounded(
            W * (gamma / np.sqrt(variance)).reshape(-1, 1, 1, 1)
        ),
        "you divide by the variance; the deviation is its root": rounded(
            W * (gamma / (variance + eps)).reshape(-1, 1, 1, 1)
        ),
        "you fold along the input channels: gamma belongs to the first axis": rounded(W * factor.reshape(1, -1, 1, 1)),
        "your scale divides by 7.5: on the symmetric grid the largest weight lies on the mark 7": rounded(
            W * factor, 7.5
        ),
    }
    for words, value in wrong.items():
        if np.allclose(got, value, atol=1e-6, rtol=0):
            raise Incorrect(f"{when} {words}")
    V = (W * factor).astype(np.float32)
    one = np.abs(V).max() / 7
    if np.allclose(got, np.rint(V / one) * one, atol=1e-5, rtol=0):
        raise Incorrect(f"{when} all channels share a scale: take the largest weight of each")
    qp = QParams(
        scale=(np.abs(V).max(axis=(1, 2, 3)) / 7), zero_point=np.zeros(4, int), grid=Grid(n_bits=4, narrow=True), axis=0
    )
    want = fake_quantize(V, qp)
    early = "rounding comes last: folded weights lie on a grid, and a rounded weight that is folded lies on another"
    expect_close(got, want, atol=1e-5, when=when, hint=early)
    V, fine = W.astype(np.float32) * factor.astype(np.float32), answer(W, gamma, variance, eps, 6)
    expect_close(fine, rounded(V, 31), atol=1e-5, when="with n_bits=6", hint="the last mark is 2**(n_bits - 1) - 1")
    when = "with a negative gamma"
    got = answer(W, -gamma, variance, eps, n_bits)
    expect_close(got, -want, atol=1e-5, when=when, hint="a scale is positive: take it from the size of the weights")


@exercise(
    "12.4",
    title="Move a range",
    difficulty=1,
    minutes=8,
    hints=(
        "Start from the first batch, not from 0; then go through the others.",
        "lo = lo + c * (batch.min() - lo), and the same for hi.",
        "Batches stop, stop + 1, ... change nothing: batches[1:stop].",
    ),
)
def check_moving_range(answer, say):
    """``moving_range``: what a moving-average observer has at the end."""
    rng = np.random.default_rng(4)
    many = [rng.normal(0, 1 + k, 20) for k in range(6)]
    for batches, c, stop, about in [
        ([[-1.0, 4.0]], 0.5, None, "batches=[[-1, 4]]"),
        ([[0.0, 4.0], [0.0, 8.0]], 0.25, None, "batches=[[0, 4], [0, 8]]"),
        ([[0.0, 4.0], [-2.0, 2.0]], 0.25, None, "batches=[[0, 4], [-2, 2]]"),
        ([[0.0, 4.0], [0.0, 8.0], [0.0, 16.0]], 0.5, 1, "batches=[[0, 4], [0, 8], [0, 16]]"),
        ([[1.0, 4.0], [2.0, 6.0]], 0.25, None, "batches=[[1, 4], [2, 6]]"),
        (many, 0.01, None, "6 batches of 20"),
        (many, 0.01, 3, "6 batches of 20"),
    ]:
        arrays = [np.asarray(batch) for batch in batches]
        when = f"with {about}, c={c}, stop={stop}"
        got = answer(arrays, c, stop)
        expect_type(got, (tuple, list, np.ndarray), when=when)
        expect(len(got) == 2, f"{when} you return {len(got)} values, expected (lo, hi)")
        want, all_of_it = _moved(arrays, c, stop), _moved(arrays, c, None)
        lo, hi = (float(v) for v in got)
        seen = np.concatenate(arrays)
        widest = (lo, hi) == (seen.min(), seen.max()) and not np.allclose((lo, hi), want)
        expect(not widest, f"{when} your range is the widest seen: a moving average also moves inwards")
        if stop is not None and np.allclose((lo, hi), all_of_it):
            raise Incorrect(f"{when} your observer does not stop: batch {stop} is the first one that it ignores")
        if lo == 0 and want[0] > 0:
            raise Incorrect(f"{when} you widen the range to hold 0: the scale needs that, the observer does not do it")
        if len(arrays) > 1 and np.allclose((lo, hi), _moved(arrays, 1 - c, stop)) and c != 0.5:
            raise Incorrect(f"{when} c is the share of the new batch; you give it 1 - c")
        if np.allclose((lo, hi), _moved([np.zeros(1), *arrays], c, None if stop is None else stop + 1)):
            raise Incorrect(f"{when} your range starts at 0: the first batch sets it")
        expect_close(
            (lo, hi), want, atol=1e-6, when=when, hint="each end moves by c of its distance to the batch's end"
        )


def _moved(batches: list[np.ndarray], c: float, stop: int | None) -> tuple[float, float]:
    lo, hi = batches[0].min(), batches[0].max()
    for batch in batches[1:stop]:
        lo, hi = lo + c * (batch.min() - lo), hi + c * (batch.max() - hi)
    return float(lo), float(hi)


STEPS = (
    "convert",
    "disable observers",
    "eval",
    "freeze statistics",
    "fuse",
    "prepare_qat",
    "set qconfig",
    "test",
    "train, everything moves",
    "train, ranges fixed",
    "train, statistics fixed",
    "train in float",
)
BEFORE = (
    ("train in float", "prepare_qat", "after prepare_qat no training is in float"),
    ("fuse", "prepare_qat", "prepare_qat would quantize weights that are not folded yet"),
    ("set qconfig", "prepare_qat", "without a qconfig prepare_qat changes nothing, and says nothing"),
    ("prepare_qat", "train, everything moves", "what is trained before prepare_qat is trained in float"),
    ("train, everything moves", "freeze statistics", "frozen at once, the statistics never see the rounding"),
    ("freeze statistics", "train, statistics fixed", "the statistics still move: freeze them before this step"),
    (
        "train, everything moves",
        "disable observers",
        "observers that are stopped before they saw a batch have no range",
    ),
    ("disable observers", "train, ranges fixed", "the ranges still move: stop the observers before this step"),
    ("train, statistics fixed", "disable observers", "this training fixes the statistics only: its ranges should move"),
    ("train, ranges fixed", "eval", "eval comes after the last training: it ends the use of batch statistics"),
    ("train, statistics fixed", "eval", "eval comes after the last training: it ends the use of batch statistics"),
    ("eval", "convert", "convert wants a network in evaluation mode"),
    ("prepare_qat", "convert", "convert finds nothing to convert in a network that was not prepared"),
    ("convert", "test", "test what will run: the converted network"),
)


@exercise(
    "12.5",
    title="Put the steps in order",
    difficulty=2,
    minutes=8,
    hints=(
        "Four parts: a float network, preparing, training on a schedule, converting.",
        "Fusing and the qconfig come before prepare_qat; freezing goes between the three trainings.",
        "The end: eval, convert, test. Testing earlier tests another network.",
    ),
)
def check_recipe(answer, say):
    """``recipe``: an order of the steps that works."""
    got = answer()
    when = "in your list"
    expect_type(got, (list, tuple), when=when)
    unknown = [step for step in got if step not in STEPS]
    expect(not unknown, f"{when} {unknown[:1]} is no step of the list above")
    missing = [step for step in STEPS if step not in got]
    expect(not missing, f"{when} {missing[:1]} is missing: return every step once")
    expect(len(got) == len(STEPS), f"{when} a step stands twice: return every step once")
    place = {step: index for index, step in enumerate(got)}
    for first, second, reason in BEFORE:
        if place[first] > place[second]:
            raise Incorrect(f"{when} {second!r} comes before {first!r}: {reason}")
