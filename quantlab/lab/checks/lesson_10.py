"""Checks of exercise 10: representative data, and what stands in a .tflite file."""

from dataclasses import replace
from itertools import islice

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
    items = attempt(lambda given: list(islice(given, len(photos) + 1)), answer(photos))
    if len(items) != len(photos):
        count = "more than 3 items" if len(items) > len(photos) else f"{len(items)} item{'s' * (len(items) != 1)}"
        raise Incorrect(f"{when} you yield {count}: one photograph each, three in all")
    for item in items:
        if isinstance(item, np.ndarray):
            raise Incorrect(f"{when} you yield an array: yield a list that holds it, one entry for each input")
        expect_type(item, (list, tuple), when=when)
        expect(len(item) == 1, f"{when} your list holds {len(item)} arrays: the network has one input")
    x = expect_array(items[0][0], when=when)
    if x.shape == photos.shape[1:]:
        raise Incorrect(f"{when} your array has shape {x.shape}: the axis of the sample is missing, (1, 4, 5, 3)")
    if x.dtype == np.float64:
        raise Incorrect(f"{when} your array is float64: the network's input is float32")
    expect_array(x, when=when, shape=(1, 4, 5, 3))
    raw, want = photos[:1].astype(np.float32), (photos[:1].astype(np.float32) - 127) / 128
    unscaled = "preprocess it as the network was trained, (p - 127) / 128"
    for values, text in [
        (raw, unscaled),
        (raw - 127, f"127 is taken away, but nothing divided: {unscaled}"),
        (raw - np.float32(127 / 128), "the difference is divided, (p - 127) / 128, and not 127 alone"),
        (raw / 255, "this network wants the range [-1, 1], not [0, 1]"),
        (raw / 127.5 - 1, "other networks want p / 127.5 - 1; this one was trained on (p - 127) / 128"),
        ((raw - 128) / 128, "take away 127, not 128"),
        ((raw - 127) / 127, "divide by 128, not by 127"),
        ((photos[:1] - np.uint8(127)) / np.float32(128), "uint8 wraps below 0, convert before you subtract"),
        (want[..., ::-1], "the channels are in reverse order: the network wants RGB, as the photographs are"),
    ]:
        if np.allclose(x, values, rtol=0, atol=1e-6):
            raise Incorrect(f"{when} a pixel of 0 enters as {x[0, 0, 0, 0]:.4g}: {text}")
    expect_array(x, when=when, dtype=np.float32)
    expect_close(x, want, atol=1e-6, when=when, hint="every pixel p enters as (p - 127) / 128")
    for photo, (x,) in zip(photos, items, strict=True):
        want = (photo[None].astype(np.float32) - 127) / 128
        expect_close(x, want, atol=1e-6, when=when, hint="each photograph once, in their order")
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
        _tensor(1, (1, 3), np.int8, scale=0.0625, zero_point=7),
        _tensor(2, (3, 4), np.int8, scale=[0.125, 0.25, 0.5], data=np.ones((3, 4))),
        _tensor(3, (3,), np.int32, scale=[0.0625, 0.125, 0.25], data=[1, 2, 3]),
        _tensor(4, (2, 3), np.int8, scale=2.0, data=np.ones((2, 3))),
        _tensor(5, (2,), np.int32, scale=0.125, data=[1, 2]),
        _tensor(6, (1, 2), np.int8, scale=0.1, zero_point=3),
    ]
    model = _model(tensors, ("FULLY_CONNECTED", (0, 2, 3), (1,), {}), ("FULLY_CONNECTED", (1, 4, 5), (6,), {}))
    when = "with s_x=0.5, s_w=[0.125, 0.25, 0.5], s_y=0.0625"
    got = np.asarray(answer(model, model.operators[0]))
    for wrong, hint in [
        ([0.0625, 0.125, 0.25], "divide by the scale of the output"),
        ([2**-8, 2**-7, 2**-6], "the output's scale divides; you multiply by it"),
        ([64.0, 32.0, 16.0], "the weights' scale is a factor, not a divisor"),
        ([1.0, 0.5, 0.25], "this is 1 / M: the output's scale divides, the others are factors"),
        ([2.0, 4.0, 8.0], "the input's scale is a factor too"),
        ([1.0], "the weights have one scale a channel, and so has M: three here"),
        ([0.625, 1.25, 2.5], "the last tensor of the model is not this operator's output: use operator.outputs"),
    ]:
        if np.allclose(np.atleast_1d(got), wrong, rtol=1e-6, atol=0) and got.size == len(wrong):
            raise Incorrect(f"{when} you return {got.tolist()}, expected [1.0, 2.0, 4.0]: {hint}")
    expect_close(got, np.array([1.0, 2.0, 4.0]), atol=1e-12, when=when, hint="s_x * s_w / s_y, channel by channel")
    when = "with the second operator, s_x=0.0625, s_w=2, s_y=float32(0.1)"
    want = np.array([0.0625 * 2 / np.float64(np.float32(0.1))])
    got = answer(model, model.operators[1])
    if np.array_equal(np.atleast_1d(np.asarray(got, np.float64)), [1.0, 2.0, 4.0]):
        raise Incorrect(f"{when} you return the multipliers of the first: use the operator that you are given")
    expect_close(got, want, atol=1e-6, when=when, hint="s_x * s_w / s_y of this operator's own tensors")
    expect(got.dtype == np.float64, f"{when} your result is {got.dtype}: compute in float64")
    rounded = "convert each scale to float64 before you multiply, and round nothing"
    expect_close(got - want, np.zeros(1), atol=1e-12, when=f"{when}, your result less the wanted one:", hint=rounded)
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
        ("dynamic", True, "small layers kept float32 weights; another one has int8"),
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
        if mode == "dynamic" and float_io:  # small layers on both sides, so that neither the first nor the last tells
            tensors[2] = _tensor(2, (2, 2), np.float32, data=np.ones((2, 2)))
            tensors.append(_tensor(6, (3, 2), np.int8, data=np.ones((3, 2))))
            tensors.append(_tensor(7, (3, 3), np.float32, data=np.ones((3, 3))))
            steps = [
                ("FULLY_CONNECTED", (0, 2, -1), (1,), {}),
                ("FULLY_CONNECTED", (1, 6, 3), (4,), {}),
                ("FULLY_CONNECTED", (4, 7, -1), (5,), {}),
            ]
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
        _tensor(5, (1, 50), np.int8),
        _tensor(6, (1, 60), np.float32),
    ]
    dense, relu = ("FULLY_CONNECTED", (0, 1, -1), (2,), {}), ("RELU", (2,), (3,), {})
    twice, both, real = ("ADD", (2, 2), (3,), {}), ("ADD", (2, 3), (5,), {}), ("DEQUANTIZE", (3,), (4,), {})
    together = "what goes in and what comes out are there together"
    last = "an input of -1 is left out, not the last tensor"
    for operators, want, hint, mistakes in [
        (
            [dense],
            150,
            "100 bytes in and 50 bytes out; the 5000 bytes of weights are a constant, and stay in the file",
            [(100, together), (50, together), (390, last)],
        ),
        ([dense, relu], 150, "the first operator needs 150 bytes and the second 100: never both", []),
        ([relu, dense], 150, "the operator that needs most may come last", []),
        ([twice], 100, "ADD reads tensor 2 twice, but it is in memory once: 50 bytes in and 50 bytes out", []),
        ([both], 150, "ADD reads two tensors of 50 bytes, and writes 50 bytes", []),
        ([real], 250, "50 bytes in, and 50 float32 values, 200 bytes, out", []),
        ([dense, real], 250, "150 bytes, then 250: no operator has both the largest input and the largest output", []),
    ]:
        model = _model(tensors, *operators)
        when = f"with {' and '.join(name for name, *_ in operators)}"
        got = answer(model)
        expect_type(got, int, when=when)
        for value, text in mistakes:
            expect(got != value, f"{when} you return {got}, expected {want}: {text}")
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

    def ask(model, x_q, when, hint, operator=0):
        x_q, operator = np.asarray(x_q, np.int8), model.operators[operator]
        expect_equal(answer(model, operator, x_q), _dense(model, operator, x_q), when=when, hint=hint)

    # M = 1/2, until said otherwise.
    for x_q, w, b, given, said, hint in [
        (5, 4, 0, {}, "", "20 * 0.5 is 10"),
        (2, 100, 0, {}, "", "the product of two int8 wraps: widen first"),
        (5, 4, 6, {}, ", bias=[6]", "the bias is added before M: 26 * 0.5 is 13"),
        (5, 4, 0, {"x_zero_point": 3}, ", z_x=3", "the input's zero point is subtracted from every code"),
        (5, 4, 0, {"y_zero_point": 7}, ", z_y=7", "the output's zero point is added after M"),
        (5, 1, 0, {}, "", "2.5 is a tie, and rint sends it to 2"),
        (7, 1, 0, {}, "", "3.5 is a tie, and rint sends it to 4: nothing is cut off"),
        (5, 1, 0, {"y_zero_point": 1}, ", z_y=1", "rint first, then the zero point: 2.5 goes to 2, and 2 + 1 is 3"),
        (100, 100, 0, {}, "", "beyond 127 the output saturates: clip before the cast"),
        (-100, 100, 0, {}, "", "the lowest int8 code is -128: activations use it"),
        (100, 4, 0, {"y_zero_point": -100}, ", z_y=-100", "200 - 100 is 100: clip after the zero point is added"),
        (
            5,
            -4,
            0,
            {"y_zero_point": -100, "activation": "RELU"},
            ", z_y=-100 and RELU",
            "RELU cuts off at the mark of 0, which is z_y",
        ),
        (5, -4, 0, {"y_zero_point": -100}, ", z_y=-100 and no activation", "without RELU the lowest code is -128"),
    ]:
        ask(layer([[w]], [b], **given), [[x_q]], f"with x=[[{x_q}]], w=[[{w}]], M=0.5{said}", hint)
    ask(
        layer([[4], [4]], [0, 0], scales=(1.0, [0.5, 0.25], 1.0)),
        [[5]],
        "with x=[[5]], w=[[4], [4]], M=[0.5, 0.25]",
        "every output channel has its own scale of the weights, and so its own M",
    )
    ask(
        layer([[100] * 8], [0], scales=(1.0, 1 / 1024, 1.0)),
        [[100] * 8],
        "with eight products 100 * 100, M=1/1024",
        "the sum, 80000, leaves int16: accumulate in int32",
    )
    # In float32 50 * M is the tie 1.5, and 175 * M lies above 0.5; in float64 the first lies below 1.5.
    ask(
        layer([[1]], [0], scales=(0.3, 0.01, 0.1)),
        [[50]],
        "with x=[[50]], w=[[1]], scales 0.3, 0.01 and 0.1",
        "f32(50) * f32(M) is exactly 1.5 in float32, a tie: multiply in float32, not in float64 or in reals",
    )
    ask(
        layer([[2]], [0], scales=(0.3, 0.01, 0.1)),
        [[75]],
        "with x=[[75]], w=[[2]], scales 0.3, 0.01 and 0.1",
        "M is rounded to float32 at each step: keep the scales in float32",
    )
    ask(
        layer([[7]], [0], scales=(0.1, 0.02, 0.7)),
        [[25]],
        "with x=[[25]], w=[[7]], scales 0.1, 0.02 and 0.7",
        "the order counts in float32: first s_x * s_w, then divided by s_y, then times the accumulator",
    )
    decoy, asked = layer([[4, 4]], [0]), layer([[2, 1]], [3], y_zero_point=1, scales=(1.0, 0.25, 1.0))
    tensors = [*decoy.tensors, *(replace(t, index=t.index + 4) for t in asked.tensors)]
    options = asked.operators[0].options
    two = _model(tensors, ("FULLY_CONNECTED", (0, 1, 2), (3,), options), ("FULLY_CONNECTED", (4, 5, 6), (7,), options))
    ask(two, [[9, 5]], "with the second of two operators", "use the tensors that this operator names", operator=1)
    rng = np.random.default_rng(10)
    w, b = rng.integers(-127, 128, (7, 40), dtype=np.int8), rng.integers(-3000, 3000, 7)
    model = layer(w, b, x_zero_point=-5, y_zero_point=11, scales=(0.1, rng.uniform(0.001, 0.02, 7), 0.7))
    x_q = rng.integers(-128, 128, (30, 40), dtype=np.int8)
    ask(model, x_q, "with 30 inputs, 40 features and a scale a channel", "M is one number an output channel")


def _dense(model, operator, x_q):
    x, w, b, y = (model.tensors[i] for i in (*operator.inputs, *operator.outputs))
    acc = (x_q.astype(np.int64) - x.zero_point) @ w.data.T.astype(np.int64) + b.data
    steps = np.rint(acc.astype(np.float32) * (x.scale * w.scale / y.scale)) + y.zero_point
    relu = operator.options["fused_activation_function"] == "RELU"
    return np.clip(steps, int(y.zero_point[0]) if relu else -128, 127).astype(np.int8)
