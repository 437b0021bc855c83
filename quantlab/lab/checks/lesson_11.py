"""Checks of exercise 11: a dynamic layer, ranges a sentence, the size of a file, a choice under uncertainty."""

import numpy as np

from quantlab.core.affine import quantize
from quantlab.core.grid import Grid
from quantlab.core.qparams import choose_qparams
from quantlab.integer.matmul import int_matmul_zero_point
from quantlab.lab.checks import Incorrect, exercise, expect, expect_close, expect_equal, expect_type


def _dynamic(x, w_q, w_scale):
    qp = choose_qparams(x.min(), x.max(), grid=Grid(n_bits=8, signed=False), dialect="onnx")
    acc = int_matmul_zero_point(quantize(x, qp, dialect="onnx"), w_q.T, int(qp.zero_point), 0)
    return acc.astype(np.float32) * (qp.scale * w_scale)


@exercise(
    "11.1",
    title="Find the ruler when the data comes",
    difficulty=2,
    minutes=12,
    hints=(
        "scale = (hi - lo) / 255 with lo at most 0 and hi at least 0; the zero point is rint(-lo / scale).",
        "Subtract the zero point from the codes before you multiply, and multiply in int32.",
        "acc.astype(np.float32) * (scale * w_scale): one scale a column of the result.",
    ),
)
def check_dynamic_linear(answer, say):
    """``dynamic_linear``: quantize the input by its own range, multiply integers, scale back."""

    def ask(x, w_q, w_scale, hint, name=None):
        x, w_q, w_scale = np.array(x, np.float32), np.array(w_q, np.int8), np.array(w_scale, np.float32)
        when = name or f"with x={x.tolist()}, w_q={w_q.tolist()}, w_scale={w_scale.tolist()}"
        want, got = _dynamic(x, w_q, w_scale), answer(x, w_q, w_scale)
        # Another order of the factors costs 2**-23 of a value; a code that is off by one costs thousands of times that.
        expect_close(got, want, atol=1e-6 * float(np.abs(want).max()) + 1e-12, when=when, hint=hint)
        return got

    ask([[0.0, 255.0]], [[0, 1]], [1.0], "scale 1, zero point 0: the answer is 255")
    ask([[-10.0, 245.0]], [[1, 1]], [1.0], "the zero point, here 10, stands for 0: subtract it from every code")
    ask([[51.0, 255.0]], [[1, 0]], [1.0], "the range must hold 0: it is [0, 255], though no value is below 51")
    ask([[-255.0, -51.0]], [[0, 1]], [1.0], "the range must hold 0: it is [-255, 0], though no value is above -51")
    ask([[0.0, 255.0, 0.75]], [[0, 0, 4]], [1.0], "0.75 rounds to 1; a cast cuts it to 0")
    ask([[255.0, 255.0]], [[127, 127]], [1.0], "2 * 255 * 127 does not fit into 16 bits: sum in int32")
    hint = "each row of w_q has its own scale, and makes a column of the result"
    ask([[0.0, 255.0], [255.0, 0.0]], [[0, 1], [0, 1]], [1.0, 0.5], hint)
    rng = np.random.default_rng(11)
    x, w_q = rng.normal(size=(5, 64)), rng.integers(-127, 128, (7, 64))
    hint = "the range is that of the whole tensor, one scale and one zero point for all of x, 8 bits"
    got = ask(x, w_q, rng.uniform(0.001, 0.01, 7), hint, "with x (5, 64), w_q (7, 64)")
    expect(np.asarray(got).dtype == np.float32, "the result comes back as float32")
    say("equal to ONNX Runtime; torch takes 7 bits for the same")


@exercise(
    "11.2",
    title="Keep the neighbours out",
    difficulty=2,
    minutes=10,
    hints=(
        "Reduce over tokens and features, axes 1 and 2, and keep the sentences apart.",
        "What stands at padding is not zero: take it out before you look for the minimum.",
        "np.where(mask[..., None] == 1, x, 0) puts a 0 at padding, which the range has to hold anyway.",
    ),
)
def check_sentence_ranges(answer, say):
    """``sentence_ranges``: one range a sentence, without padding, with zero."""

    def ask(x, mask, lo, hi, hint):
        x, mask = np.array(x, np.float32), np.array(mask, np.int64)
        when = f"with x={x.tolist()}, mask={mask.tolist()}"
        got = answer(x, mask)
        expect(isinstance(got, tuple) and len(got) == 2, f"{when} return a tuple (lo, hi)")
        for name, ours, right in zip(("lo", "hi"), got, (lo, hi), strict=True):
            right = np.array(right, np.float32)
            if np.shape(ours) != right.shape:
                raise Incorrect(
                    f"{when} your {name} has shape {np.shape(ours)}, expected {right.shape}: one a sentence"
                )
            expect_equal(np.asarray(ours, np.float32), right, when=f"{name} {when}", hint=hint)

    ask([[[-1.0, 2.0]]], [[1]], [-1], [2], "the smallest and the largest value")
    ask([[[-1.0, 2.0]], [[-3.0, 4.0]]], [[1], [1]], [-1, -3], [2, 4], "each sentence has a range of its own")
    ask([[[-1.0, 2.0], [9.0, 9.0]]], [[1, 0]], [-1], [2], "9 stands at padding: it is no token of the sentence")
    ask([[[-1.0, 2.0], [-9.0, -9.0]]], [[1, 0]], [-1], [2], "-9 stands at padding: it is no token of the sentence")
    ask([[[1.0, 2.0]], [[-4.0, -3.0]]], [[1], [1]], [0, -4], [2, 0], "the range must hold 0")
    rng = np.random.default_rng(11)
    x, mask = (
        rng.normal(size=(4, 6, 5)).astype(np.float32),
        (np.arange(6) < np.array([6, 2, 1, 4])[:, None]).astype(int),
    )
    rows = [row[kept == 1] for row, kept in zip(x, mask, strict=True)]
    lo, hi = [min(row.min(), 0) for row in rows], [max(row.max(), 0) for row in rows]
    got = answer(x, mask)
    for ours, right in zip(got, (lo, hi), strict=True):
        expect_equal(np.asarray(ours, np.float32), np.array(right, np.float32), when="with x (4, 6, 5)")
    say("one scale a token, as torchao has it, is one step further")


@exercise(
    "11.3",
    title="Weigh the file",
    difficulty=1,
    minutes=8,
    hints=(
        "An int8 tensor takes one byte a value, a float32 tensor four.",
        "A quantized tensor brings shape[0] scales of four bytes each.",
        "size + 4 * shape[0] for a quantized one, 4 * size for another, summed over all tensors.",
    ),
)
def check_file_bytes(answer, say):
    """``file_bytes``: bytes of a model in which some tensors are int8."""
    table = {"table": (30522, 384), "dense.weight": (1536, 384), "dense.bias": (1536,)}
    for shapes, quantized, want, hint in [
        ({"b": (3,)}, set(), 12, "a float32 takes 4 bytes"),
        ({"W": (1, 8)}, {"W"}, 12, "8 codes of a byte, and one scale of 4 bytes"),
        ({"W": (2, 8)}, {"W"}, 24, "one scale for each entry of the first axis, and nothing for zero points"),
        ({"W": (2, 8), "b": (2,)}, {"W"}, 32, "the bias is not quantized: it stays float32"),
        ({"W": (2, 3, 3, 4)}, {"W"}, 80, "a convolution has four axes: 72 codes, and 2 scales"),
        (table, {"dense.weight"}, 47_483_904, "what is not named stays float32, the table of words too"),
        ({"W": (65536, 65536)}, {"W"}, 2**32 + 2**18, "4 GiB of codes: count with Python's own integers"),
    ]:
        when = f"with shapes={shapes}, quantized={sorted(quantized)}"
        got = answer(dict(shapes), set(quantized))
        expect_equal(got, want, when=when, hint=hint)
        expect_type(got, int, when=when)
    say("so an encoder that is half a table shrinks to less than two thirds, not to a quarter")


@exercise(
    "11.4",
    title="Choose by the interval",
    difficulty=2,
    minutes=10,
    hints=(
        "A loss is a negative difference: the worst that is plausible is the lower end.",
        "Certain means that even the lower end stays above -max_loss.",
        "Keep the names with mb <= max_mb and low >= -max_loss, then min by ms; 'float32' if nothing is left.",
    ),
)
def check_choose_form(answer, say):
    """``choose_form``: the fastest form within a size and a certain loss."""
    slow, fast = (9.0, 50.0, -0.01, 0.01), (2.0, 50.0, -0.02, 0.01)
    unsure, bad, large = (1.0, 50.0, -0.09, 0.05), (0.5, 50.0, -0.3, -0.2), (0.4, 200.0, 0.0, 0.0)
    for forms, want, hint in [
        ({"a": slow, "b": fast}, "b", "both qualify: take the smaller ms"),
        ({"a": slow, "large": large}, "a", "200 MB are more than max_mb"),
        ({"a": slow, "bad": bad}, "a", "the whole interval lies below -max_loss"),
        (
            {"a": slow, "unsure": unsure},
            "a",
            "its interval reaches to -0.09: a loss of more than max_loss is not excluded",
        ),
        ({"a": (9.0, 100.0, -0.05, 0.0)}, "a", "100 MB are not more than max_mb=100, nor 0.05 more than max_loss=0.05"),
        ({"a": slow, "better": (1.0, 50.0, 0.1, 0.2)}, "better", "a form that gained accuracy has lost none"),
        ({"unsure": unsure, "large": large}, "float32", "no form qualifies: stay with 'float32'"),
        ({}, "float32", "no form qualifies: stay with 'float32'"),
    ]:
        when = f"with forms={forms}, max_mb=100, max_loss=0.05"
        got = answer(dict(forms), 100.0, 0.05)
        if got != want:
            raise Incorrect(f"{when} you return {got!r}, expected {want!r}: {hint}")
    say("more samples would narrow the interval, and might let the faster one in")
