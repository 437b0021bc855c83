"""Plausible wrong answers to the exercises of lesson 12, and what the verdict on each must say."""

import numpy as np

from quantlab.lab.checks.proof import wrong


def weight_kinds(modules):
    return [kind for name, kind in modules if name.split(".")[-1] == "weight_fake_quant"]


def stubbed(modules):
    return any(kind == "QuantStub" for _, kind in modules)


@wrong("12.1", says="is its eye")
def any_observer_is_a_fault(modules):
    if not weight_kinds(modules):
        return "nothing prepared"
    if any("Observer" in kind for _, kind in modules):
        return "weights only observed"
    return "no fault" if stubbed(modules) else "no stub"


@wrong("12.1", says="not the way in")
def any_stub_will_do(modules):
    if not weight_kinds(modules):
        return "nothing prepared"
    if not all(kind.endswith("FakeQuantize") for kind in weight_kinds(modules)):
        return "weights only observed"
    return "no fault" if any("Stub" in kind for _, kind in modules) else "no stub"


@wrong("12.1", says="the type of weight_fake_quant is an observer")
def trusts_the_name(modules):
    if not weight_kinds(modules):
        return "nothing prepared"
    return "no fault" if stubbed(modules) else "no stub"


@wrong("12.1", says="one layer is enough")
def all_layers_must_fail(modules):
    if not weight_kinds(modules):
        return "nothing prepared"
    if not any(kind.endswith("FakeQuantize") for kind in weight_kinds(modules)):
        return "weights only observed"
    return "no fault" if stubbed(modules) else "no stub"


@wrong("12.1", says="is a fake quantizer, too")
def exact_type_only(modules):
    if not weight_kinds(modules):
        return "nothing prepared"
    if not all(kind == "FakeQuantize" for kind in weight_kinds(modules)):
        return "weights only observed"
    return "no fault" if stubbed(modules) else "no stub"


@wrong("12.1", says="look at each layer")
def last_layer_decides(modules):
    if not weight_kinds(modules):
        return "nothing prepared"
    if not weight_kinds(modules)[-1].endswith("FakeQuantize"):
        return "weights only observed"
    return "no fault" if stubbed(modules) else "no stub"


@wrong("12.1", says="a stub may have any name")
def stub_by_its_name(modules):
    if not weight_kinds(modules):
        return "nothing prepared"
    if not all(kind.endswith("FakeQuantize") for kind in weight_kinds(modules)):
        return "weights only observed"
    return "no fault" if any(name == "quant" for name, _ in modules) else "no stub"


@wrong("12.1", says="rounds no weights")
def any_fake_quantizer_is_prepared(modules):
    if not weight_kinds(modules) and not any(kind.endswith("FakeQuantize") for _, kind in modules):
        return "nothing prepared"
    if not all(kind.endswith("FakeQuantize") for kind in weight_kinds(modules)):
        return "weights only observed"
    return "no fault" if stubbed(modules) else "no stub"


@wrong("12.1", says="no module has the last name")
def stub_is_enough(modules):
    return "no fault" if stubbed(modules) else "no stub"


@wrong("12.1", says="the order of the task decides")
def stub_asked_before_observers(modules):
    if not weight_kinds(modules):
        return "nothing prepared"
    if not stubbed(modules):
        return "no stub"
    return (
        "no fault" if all(kind.endswith("FakeQuantize") for kind in weight_kinds(modules)) else "weights only observed"
    )


def verdict(n, size, n_bits):
    if size <= 2**n_bits:
        return "cannot tell"
    return "active" if n <= 2**n_bits else "not active"


@wrong("12.2", says="each channel has its own scale")
def counts_the_whole_tensor(W, n_bits):
    return verdict(len(np.unique(W)), W[0].size, n_bits)


@wrong("12.2", says="one channel with more values is enough")
def best_channel(W, n_bits):
    return verdict(min(len(np.unique(row)) for row in W), W[0].size, n_bits)


@wrong("12.2", says="4 weights have at most 4 values")
def always_tells(W, n_bits):
    return "active" if max(len(np.unique(row)) for row in W) <= 2**n_bits else "not active"


@wrong("12.2", says="fewer than 32 values")
def size_of_the_tensor(W, n_bits):
    size = W.size if W[0].size > 4 else 4
    return verdict(max(len(np.unique(row)) for row in W), size, n_bits)


@wrong("12.2", says="a channel is all of W[o]")
def kernels_in_place_of_channels(W, n_bits):
    if W.ndim == 2:
        return verdict(max(len(np.unique(row)) for row in W), W[0].size, n_bits)
    rows = W.reshape(-1, W.shape[-1] * W.shape[-2])
    return verdict(max(len(np.unique(row)) for row in rows), rows.shape[1] - 2, n_bits)


@wrong("12.2", says="5 weights can have 5 values")
def one_too_many(W, n_bits):
    return verdict(max(len(np.unique(row)) for row in W), W[0].size - 1, n_bits)


@wrong("12.2", says="all of W[o]")
def first_axis_of_a_channel(W, n_bits):
    return verdict(max(len(np.unique(row)) for row in W), W.shape[1], n_bits)


@wrong("12.2", says="signs make values")
def magnitudes(W, n_bits):
    return verdict(max(len(np.unique(np.abs(row))) for row in W), W[0].size, n_bits)


@wrong("12.2", says="that differ little are two")
def values_to_two_digits(W, n_bits):
    return verdict(max(len(np.unique(np.round(row, 2))) for row in W), W[0].size, n_bits)


@wrong("12.2", says="2**3 = 8 values")
def twice_the_bits(W, n_bits):
    rows = W.reshape(len(W), -1)
    if rows.shape[1] <= 2**n_bits:
        return "cannot tell"
    return "active" if max(len(np.unique(row)) for row in rows) <= 2 * n_bits else "not active"


def factor(gamma, variance, eps):
    return (gamma / np.sqrt(variance + eps)).reshape(-1, 1, 1, 1)


def rounded(W, n_bits, *, last=None, axis=(1, 2, 3)):
    last = last or 2 ** (n_bits - 1) - 1
    scale = np.abs(W).max(axis=axis, keepdims=True) / last
    return np.rint(W / scale) * scale


@wrong("12.3", says="and not rounded")
def folded_only(W, gamma, variance, eps, n_bits):
    return W * factor(gamma, variance, eps)


@wrong("12.3", says="and not folded")
def rounded_only(W, gamma, variance, eps, n_bits):
    return rounded(W, n_bits)


@wrong("12.3", says="outside the root")
def eps_outside(W, gamma, variance, eps, n_bits):
    return rounded(W * (gamma / (np.sqrt(variance) + eps)).reshape(-1, 1, 1, 1), n_bits)


@wrong("12.3", says="leave out eps")
def no_eps(W, gamma, variance, eps, n_bits):
    return rounded(W * factor(gamma, variance, 0), n_bits)


@wrong("12.3", says="the deviation is its root")
def variance_without_root(W, gamma, variance, eps, n_bits):
    return rounded(W * (gamma / (variance + eps)).reshape(-1, 1, 1, 1), n_bits)


@wrong("12.3", says="gamma belongs to the first axis")
def along_the_inputs(W, gamma, variance, eps, n_bits):
    return rounded(W * factor(gamma, variance, eps).reshape(1, -1, 1, 1), n_bits)


@wrong("12.3", says="lies on the mark 7")
def half_a_step_more(W, gamma, variance, eps, n_bits):
    return rounded(W * factor(gamma, variance, eps), n_bits, last=2 ** (n_bits - 1) - 0.5)


@wrong("12.3", says="all channels share a scale")
def one_scale(W, gamma, variance, eps, n_bits):
    return rounded(W * factor(gamma, variance, eps), n_bits, axis=None)


@wrong("12.3", says="the last mark is")
def always_four_bits(W, gamma, variance, eps, n_bits):
    return rounded(W * factor(gamma, variance, eps), n_bits, last=7)


@wrong("12.3", says="rounding comes last")
def scale_of_the_unfolded(W, gamma, variance, eps, n_bits):
    scale = np.abs(W).max(axis=(1, 2, 3), keepdims=True) / (2 ** (n_bits - 1) - 1)
    return np.rint(W * factor(gamma, variance, eps) / scale) * scale


@wrong("12.3", says="a scale is positive")
def scale_from_the_largest_value(W, gamma, variance, eps, n_bits):
    out = W * factor(gamma, variance, eps)
    if (gamma > 0).all():
        return rounded(out, n_bits)
    scale = out.max(axis=(1, 2, 3), keepdims=True) / (2 ** (n_bits - 1) - 1)
    return np.rint(out / scale) * scale


def moved(batches, c, stop, *, lo=None, hi=None):
    for batch in batches[:stop]:
        lo, hi = (
            (float(batch.min()), float(batch.max()))
            if lo is None
            else (lo + c * (batch.min() - lo), hi + c * (batch.max() - hi))
        )
    return lo, hi


@wrong("12.4", says="starts at 0")
def from_zero(batches, c, stop):
    return moved(batches, c, stop, lo=0.0, hi=0.0)


@wrong("12.4", says="the widest seen")
def min_max(batches, c, stop):
    seen = np.concatenate(batches[:stop])
    return float(seen.min()), float(seen.max())


@wrong("12.4", says="the observer does not do it")
def widened_to_zero(batches, c, stop):
    lo, hi = moved(batches, c, stop)
    return min(lo, 0.0), max(hi, 0.0)


@wrong("12.4", says="you give it 1 - c")
def turned_round(batches, c, stop):
    return moved(batches, 1 - c, stop)


@wrong("12.4", says="does not stop")
def never_stops(batches, c, stop):
    return moved(batches, c, None)


@wrong("12.4", says="moves by c of its distance")
def upper_end_only(batches, c, stop):
    return float(min(batch.min() for batch in batches[:stop])), moved(batches, c, stop)[1]


RIGHT = [
    "train in float",
    "fuse",
    "set qconfig",
    "prepare_qat",
    "train, everything moves",
    "freeze statistics",
    "train, statistics fixed",
    "disable observers",
    "train, ranges fixed",
    "eval",
    "convert",
    "test",
]


def swapped(first, second):
    steps = list(RIGHT)
    i, j = steps.index(first), steps.index(second)
    steps[i], steps[j] = steps[j], steps[i]
    return steps


@wrong("12.5", says="evaluation mode")
def convert_in_training():
    return swapped("eval", "convert")


@wrong("12.5", says="changes nothing, and says nothing")
def qconfig_too_late():
    return swapped("set qconfig", "prepare_qat")


@wrong("12.5", says="test what will run")
def tested_before_convert():
    return swapped("convert", "test")


@wrong("12.5", says="not folded yet")
def fused_too_late():
    return [*RIGHT[:1], "set qconfig", "prepare_qat", "fuse", *RIGHT[4:]]


@wrong("12.5", says="the ranges still move")
def observers_never_fixed():
    return swapped("disable observers", "train, ranges fixed")


@wrong("12.5", says="is missing")
def no_eval():
    return [step for step in RIGHT if step != "eval"]


@wrong("12.5", says="stands twice")
def tested_twice():
    return [*RIGHT, "test"]
