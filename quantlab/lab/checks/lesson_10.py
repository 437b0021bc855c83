"""Checks of exercise 10: representative data, and what stands in a .tflite file."""

import numpy as np

from quantlab.integer.tflite import Model, Operator, Tensor
from quantlab.lab.checks import (
    Incorrect,
    attempt,
    exercise,
    expect,
    expect_array,
    expect_close,
    expect_equal,
    expect_type,
)


def _tensor(index, shape, dtype, *, scale=None, zero_point=0, data=None):
    """A tensor as the reader makes it."""
    if scale is not None:
        scale = np.atleast_1d(np.float32(scale))
        zero_point = np.full(scale.shape, zero_point, np.int64)
    return Tensor(
        index=index,
        name=f"tensor_{index}",
        shape=shape,
        signature=shape,
        dtype=np.dtype(dtype),
        scale=scale,
        zero_point=None if scale is None else zero_point,
        data=None if data is None else np.asarray(data, dtype),
    )


def _model(tensors, *operators):
    """A model of tensors, and of operators given as (name, inputs, outputs) and options."""
    listed = [
        Operator(index=i, name=name, version=1, inputs=inputs, outputs=outputs, options=options)
        for i, (name, inputs, outputs, options) in enumerate(operators)
    ]
    return Model(tensors=tuple(tensors), operators=tuple(listed), inputs=(0,), outputs=operators[-1][2], nbytes=0)


@exercise(
    "10.1",
    title="Represent the data",
    difficulty=1,
    minutes=6,
    hints=(
        "yield hands out one item at a time; the converter takes a list with one array for every input of the model.",
        "photo[None] has one axis more, of length 1: the sample.",
        "Convert to float32 before you subtract: uint8 wraps.",
    ),
)
def check_representative(answer, say):
    """``representative``: what the converter calibrates with."""
    rng = np.random.default_rng(10)
    photos = rng.integers(0, 256, (3, 4, 5, 3), dtype=np.uint8)
    photos[0, 0, 0, 0] = 0
    when = "with three photographs of 4 x 5 pixels"
    items = attempt(list, answer(photos))
    expect(len(items) == 3, f"{when} you yield {len(items)} items: one photograph each, three in all")
    for item in items:
        if isinstance(item, np.ndarray):
            raise Incorrect(f"{when} you yield an array: yield a list that holds it, one entry for each input")
        expect_type(item, (list, tuple), when=when)
        expect(len(item) == 1, f"{when} your list holds {len(item)} arrays: the network has one input")
    x, want = np.asarray(items[0][0]), (photos[:1].astype(np.float32) - 127) / 128
    if x.shape == photos.shape[1:]:
        raise Incorrect(f"{when} your array has shape {x.shape}: the axis of the sample is missing, (1, 4, 5, 3)")
    if x.dtype == np.float64:
        raise Incorrect(f"{when} your array is float64: the network's input is float32")
    expect_array(items[0][0], when=when, shape=(1, 4, 5, 3))
    first = x.ravel()[0]
    if x.dtype == np.uint8 or first == 0 and x.max() > 1.5:
        raise Incorrect(
            f"{when} a pixel of 0 enters as {first}: preprocess it as the network was trained, (p - 127) / 128"
        )
    if first > 0:
        raise Incorrect(f"{when} a pixel of 0 enters as {first:.4g}: uint8 wraps below 0, convert before you subtract")
    if first == 0:
        raise Incorrect(f"{when} a pixel of 0 enters as 0: this network wants the range [-1, 1], not [0, 1]")
    expect_array(items[0][0], when=when, dtype=np.float32)
    for photo, (x,) in zip(photos, items, strict=True):
        want = (photo[None].astype(np.float32) - 127) / 128
        expect_close(x, want, atol=1e-6, when=when, hint="the items come in the order of the photographs")
    say("every preprocessing belongs in here, or the ranges are those of other data")


@exercise(
    "10.2",
    title="Find the multipliers",
    difficulty=2,
    minutes=10,
    hints=(
        "operator.inputs[1] is the index of the weights: look it up in model.tensors.",
        "The output's scale divides; the output is model.tensors[operator.outputs[0]].",
        "Convert each scale to float64 before you multiply; the input's has one entry, and broadcasts.",
    ),
)
def check_multipliers(answer, say):
    """``multipliers``: M of every output channel."""
    # Tensors in an order that is not that of execution, as converters write them.
    tensors = [
        _tensor(0, (1, 4), np.int8, scale=0.5, zero_point=-128),
        _tensor(1, (1, 3), np.int8, scale=0.25, zero_point=7),
        _tensor(2, (3, 4), np.int8, scale=[0.125, 0.25, 0.5], data=np.ones((3, 4))),
        _tensor(3, (3,), np.int32, scale=[0.0625, 0.125, 0.25], data=[1, 2, 3]),
        _tensor(4, (2, 3), np.int8, scale=2.0, data=np.ones((2, 3))),
        _tensor(5, (2,), np.int32, scale=0.5, data=[1, 2]),
        _tensor(6, (1, 2), np.int8, scale=0.1, zero_point=3),
    ]
    model = _model(tensors, ("FULLY_CONNECTED", (0, 2, 3), (1,), {}), ("FULLY_CONNECTED", (1, 4, 5), (6,), {}))
    when = "with s_x=0.5, s_w=[0.125, 0.25, 0.5], s_y=0.25"
    got = np.asarray(answer(model, model.operators[0]))
    for wrong, hint in [
        ([0.0625, 0.125, 0.25], "divide by the scale of the output"),
        ([0.015625, 0.03125, 0.0625], "the output's scale divides; you multiply by it"),
        ([16.0, 8.0, 4.0], "the weights' scale is a factor, not a divisor"),
        ([0.25], "the weights have one scale a channel, and so has M: three here"),
        ([0.25, 0.5, 0.75], "0.5 * 0.25 / 0.25 is 0.5"),
    ]:
        if np.array_equal(np.atleast_1d(got), wrong):
            raise Incorrect(f"{when} you return {got.tolist()}, expected [0.25, 0.5, 1.0]: {hint}")
    expect_close(got, np.array([0.25, 0.5, 1.0]), atol=1e-12, when=when, hint="s_x * s_w / s_y, channel by channel")
    when = "with the second operator, s_x=0.25, s_w=2, s_y=0.1"
    want = np.array([np.float64(np.float32(0.25)) * 2 / np.float64(np.float32(0.1))])
    got = answer(model, model.operators[1])
    if np.array_equal(np.atleast_1d(np.asarray(got, np.float64)), [0.25, 0.5, 1.0]):
        raise Incorrect(f"{when} you return the multipliers of the first: use the operator that you are given")
    expect_close(got, want, atol=1e-6, when=when)
    expect(np.asarray(got).dtype == np.float64, f"{when} your result is {np.asarray(got).dtype}: compute in float64")
    say("these are the numbers that become an int32 and a shift, lesson 06")


@exercise(
    "10.3",
    title="Tell the mode",
    difficulty=2,
    minutes=10,
    hints=(
        "Collect the dtypes of weights (data is not None, two axes or more), and those of activations (data is None).",
        "int8 weights stand in three modes; the activations tell which. Biases are no weights: leave them out.",
        "int16 among the activations: int16x8. int8 among them: int8. Neither: dynamic.",
    ),
)
def check_mode(answer, say):
    """``mode_of``: float32, float16, dynamic, int8 or int16x8."""
    inside = {"float32": np.float32, "float16": np.float32, "dynamic": np.float32, "int8": np.int8, "int16x8": np.int16}
    for mode, float_io, hint in [
        ("float32", False, "nothing is quantized here"),
        ("float16", False, "the weights are float16"),
        ("dynamic", False, "int8 weights, and float32 between the layers"),
        ("int8", False, "weights and activations are int8"),
        ("int16x8", False, "weights are int8, activations int16"),
        ("int8", True, "first and last tensors are float32, but the layers between compute on int8"),
        ("int16x8", True, "first and last tensors are float32, but the layers between compute on int16"),
        ("dynamic", True, "one small layer kept float32 weights; another one has int8"),
    ]:
        weight = {"float32": np.float32, "float16": np.float16}.get(mode, np.int8)
        inner = inside[mode]
        end = np.float32 if float_io else inner
        tensors = [
            _tensor(0, (1, 2), end),
            _tensor(1, (1, 2), inner),
            _tensor(2, (3, 2), weight, data=np.ones((3, 2))),
            _tensor(3, (3,), np.float32 if inner == np.float32 else np.int32, data=[1, 2, 3]),
            _tensor(4, (1, 3), inner),
            _tensor(5, (1, 3), end),
        ]
        layer = ("FULLY_CONNECTED", (1, 2, 3), (4,), {})
        steps = [("QUANTIZE", (0,), (1,), {}), layer, ("DEQUANTIZE", (4,), (5,), {})]
        if mode == "dynamic" and float_io:
            tensors.append(_tensor(6, (2, 2), np.float32, data=np.ones((2, 2))))
            steps[0] = ("FULLY_CONNECTED", (0, 6, -1), (1,), {})
        model = _model(tensors, *steps)
        when = f"with {weight.__name__} weights and {inner.__name__} activations" + (
            ", float32 at both ends" if float_io and mode != "dynamic" else ""
        )
        got = answer(model)
        expect_type(got, str, when=when)
        expect(got == mode, f"{when} you return {got!r}, expected {mode!r}: {hint}")


@exercise(
    "10.4",
    title="Size the arena",
    difficulty=2,
    minutes=10,
    hints=(
        "For one operator, add up nbytes of the tensors that it reads and writes and that are no constants.",
        "ADD may read one tensor twice: a set counts it once. An input of -1 is left out.",
        "The largest of these sums, not their sum.",
    ),
)
def check_arena(answer, say):
    """``arena``: the largest sum of an operator's activations."""
    tensors = [
        _tensor(0, (1, 100), np.int8),
        _tensor(1, (50, 100), np.int8, data=np.ones((50, 100))),
        _tensor(2, (1, 50), np.int8),
        _tensor(3, (1, 50), np.int8),
        _tensor(4, (1, 50), np.float32),
    ]
    dense, add = ("FULLY_CONNECTED", (0, 1, -1), (2,), {}), ("ADD", (2, 2), (3,), {})
    for operators, want, hint in [
        ([dense], 150, "100 bytes in and 50 bytes out; the 5000 bytes of weights are a constant, and stay in the file"),
        ([dense, ("RELU", (2,), (3,), {})], 150, "the first operator needs 150 bytes and the second 100: never both"),
        ([add], 100, "ADD reads tensor 2 twice, but it is in memory once: 50 bytes in and 50 bytes out"),
        ([("DEQUANTIZE", (3,), (4,), {})], 250, "50 bytes in, and 50 float32 values, 200 bytes, out"),
    ]:
        model = _model(tensors, *operators)
        when = f"with {' and '.join(name for name, *_ in operators)}"
        got = answer(model)
        expect_type(got, int, when=when)
        if got == 100 and want == 150:
            raise Incorrect(f"{when} you return 100, expected 150: what goes in and what comes out are there together")
        if got == 50 and want == 100:
            raise Incorrect(f"{when} you return 50, expected 100: what comes out needs a place of its own")
        if got == want - 1 or (len(operators[0][1]) == 3 and got == want + tensors[-1].nbytes):
            raise Incorrect(
                f"{when} you return {got}, expected {want}: an input of -1 is left out, not the last tensor"
            )
        expect_equal(got, want, when=when, hint=hint)
    say("the interpreter adds its own bookkeeping, and places tensors so that this floor is often reached")


@exercise(
    "10.5",
    title="Run a layer of the file",
    difficulty=3,
    minutes=14,
    hints=(
        "Subtract the input's zero point in int32, multiply by the transposed weights, add the bias.",
        "x.scale * w.scale / y.scale in float32, in this order; rint; then the output's zero point.",
        "Clip to z_y..127 with RELU, to -128..127 without, and cast to int8 at the very end.",
    ),
)
def check_dense(answer, say):
    """``dense``: a FULLY_CONNECTED operator, to the bit of LiteRT's default kernels."""

    def layer(w, b, *, x_zero_point=0, y_zero_point=0, activation="NONE", scales=(1.0, 0.5, 1.0)):
        w = np.asarray(w, np.int8)
        s_x, s_w, s_y = scales
        tensors = [
            _tensor(0, (1, w.shape[1]), np.int8, scale=s_x, zero_point=x_zero_point),
            _tensor(1, w.shape, np.int8, scale=np.broadcast_to(s_w, len(w)), data=w),
            _tensor(2, (len(w),), np.int32, scale=np.float32(s_x) * np.broadcast_to(s_w, len(w)), data=b),
            _tensor(3, (1, len(w)), np.int8, scale=s_y, zero_point=y_zero_point),
        ]
        return _model(tensors, ("FULLY_CONNECTED", (0, 1, 2), (3,), {"fused_activation_function": activation}))

    def ask(model, x_q, when, hint):
        x_q = np.asarray(x_q, np.int8)
        expect_equal(answer(model, model.operators[0], x_q), _dense(model, x_q), when=when, hint=hint)

    # M = 1/2 throughout.
    ask(layer([[4]], [0]), [[5]], "with x=[[5]], w=[[4]], M=0.5", "20 * 0.5 is 10")
    ask(layer([[100]], [0]), [[2]], "with x=[[2]], w=[[100]], M=0.5", "the product of two int8 wraps: widen first")
    ask(
        layer([[4]], [6]), [[5]], "with x=[[5]], w=[[4]], bias=[6], M=0.5", "the bias is added before M: 26 * 0.5 is 13"
    )
    ask(
        layer([[4]], [0], x_zero_point=3),
        [[5]],
        "with x=[[5]], z_x=3, w=[[4]], M=0.5",
        "the input's zero point is subtracted from every code",
    )
    ask(
        layer([[4]], [0], y_zero_point=7),
        [[5]],
        "with x=[[5]], w=[[4]], M=0.5, z_y=7",
        "the output's zero point is added after M",
    )
    ask(layer([[1]], [0]), [[5]], "with x=[[5]], w=[[1]], M=0.5", "2.5 is a tie, and rint sends it to 2")
    ask(
        layer([[100]], [0]),
        [[100]],
        "with x=[[100]], w=[[100]], M=0.5",
        "beyond 127 the output saturates: clip before the cast",
    )
    ask(
        layer([[-4]], [0], y_zero_point=-100, activation="RELU"),
        [[5]],
        "with x=[[5]], w=[[-4]], M=0.5, z_y=-100 and RELU",
        "RELU cuts off at the mark of 0, which is z_y",
    )
    ask(
        layer([[-4]], [0], y_zero_point=-100),
        [[5]],
        "with x=[[5]], w=[[-4]], M=0.5, z_y=-100 and no activation",
        "without RELU the lowest code is -128",
    )
    rng = np.random.default_rng(10)
    w, b = rng.integers(-127, 128, (7, 40), dtype=np.int8), rng.integers(-3000, 3000, 7)
    model = layer(w, b, x_zero_point=-5, y_zero_point=11, scales=(0.1, rng.uniform(0.001, 0.02, 7), 0.7))
    x_q = rng.integers(-128, 128, (30, 40), dtype=np.int8)
    ask(model, x_q, "with 30 inputs, 40 features and a scale a channel", "M is one number an output channel")


def _dense(model, x_q):
    x, w, b, y = model.tensors
    acc = (x_q.astype(np.int64) - x.zero_point) @ w.data.T.astype(np.int64) + b.data
    steps = np.rint(acc.astype(np.float32) * (x.scale * w.scale / y.scale)) + y.zero_point
    relu = model.operators[0].options["fused_activation_function"] == "RELU"
    return np.clip(steps, int(y.zero_point[0]) if relu else -128, 127).astype(np.int8)
