"""Plausible wrong answers to the exercises of lesson 10, and what the verdict on each must say."""

import numpy as np

from quantlab.lab.checks.proof import wrong


@wrong("10.1", says="the axis of the sample is missing")
def no_sample_axis(photos):
    for photo in photos:
        yield [(photo.astype(np.float32) - 127) / 128]


@wrong("10.1", says="yield a list that holds it")
def bare_array(photos):
    for photo in photos:
        yield (photo[None].astype(np.float32) - 127) / 128


@wrong("10.1", says="preprocess it as the network was trained")
def raw_pixels(photos):
    for photo in photos:
        yield [photo[None].astype(np.float32)]


@wrong("10.1", says="not [0, 1]")
def from_0_to_1(photos):
    for photo in photos:
        yield [photo[None].astype(np.float32) / 255]


@wrong("10.1", says="uint8 wraps below 0")
def wraps(photos):
    for photo in photos:
        yield [((photo[None] - np.uint8(127)) / np.float32(128)).astype(np.float32)]


@wrong("10.1", says="one photograph each, three in all")
def all_at_once(photos):
    yield [(photos.astype(np.float32) - 127) / 128]


@wrong("10.1", says="the network's input is float32")
def in_float64(photos):
    for photo in photos:
        yield [(photo[None].astype(np.float64) - 127) / 128]


@wrong("10.1", says="take away 127, not 128")
def less_128(photos):
    for photo in photos:
        yield [(photo[None].astype(np.float32) - 128) / 128]


@wrong("10.1", says="divide by 128, not by 127")
def over_127(photos):
    for photo in photos:
        yield [(photo[None].astype(np.float32) - 127) / 127]


@wrong("10.1", says="other networks want p / 127.5 - 1")
def over_127_and_a_half(photos):
    for photo in photos:
        yield [photo[None].astype(np.float32) / np.float32(127.5) - 1]


@wrong("10.1", says="the channels are in reverse order")
def blue_first(photos):
    for photo in photos:
        yield [(photo[None, ..., ::-1].astype(np.float32) - 127) / 128]


@wrong("10.1", says="and not 127 alone")
def without_brackets(photos):
    for photo in photos:
        yield [photo[None].astype(np.float32) - np.float32(127 / 128)]


@wrong("10.1", says="each photograph once, in their order")
def first_photograph_again(photos):
    for _ in photos:
        yield [(photos[:1].astype(np.float32) - 127) / 128]


@wrong("10.1", says="more than 3 items")
def never_ends(photos):
    while True:
        for photo in photos:
            yield [(photo[None].astype(np.float32) - 127) / 128]


def scales(model, operator):
    indices = (operator.inputs[0], operator.inputs[1], operator.outputs[0])
    return [model.tensors[i].scale.astype(np.float64) for i in indices]


@wrong("10.2", says="divide by the scale of the output")
def bias_scale(model, operator):
    x, w, _ = scales(model, operator)
    return x * w


@wrong("10.2", says="you multiply by it")
def product_of_all(model, operator):
    x, w, y = scales(model, operator)
    return x * w * y


@wrong("10.2", says="one scale a channel")
def first_channel(model, operator):
    x, w, y = scales(model, operator)
    return (x * w / y)[0]


@wrong("10.2", says="use the operator that you are given")
def always_the_first(model, operator):
    x, w, y = scales(model, model.operators[0])
    return x * w / y


@wrong("10.2", says="not a divisor")
def weights_divide(model, operator):
    x, w, y = scales(model, operator)
    return x / w / y


@wrong("10.2", says="compute in float64")
def in_float32(model, operator):
    x, w, y = scales(model, operator)
    return (x * w / y).astype(np.float32)


@wrong("10.2", says="before you multiply, and round nothing")
def float64_too_late(model, operator):
    x, w, y = (model.tensors[i].scale for i in (*operator.inputs[:2], operator.outputs[0]))
    return (x * w / y).astype(np.float64)


@wrong("10.2", says="this is 1 / M")
def upside_down(model, operator):
    x, w, y = scales(model, operator)
    return y / (x * w)


@wrong("10.2", says="the input's scale is a factor too")
def input_forgotten(model, operator):
    _, w, y = scales(model, operator)
    return w / y


@wrong("10.2", says="use operator.outputs")
def output_of_the_model(model, operator):
    x, w, _ = scales(model, operator)
    return x * w / model.tensors[model.outputs[0]].scale.astype(np.float64)


def dtypes(model):
    weights = {str(t.dtype) for t in model.tensors if t.data is not None and len(t.shape) > 1}
    return weights, {str(t.dtype) for t in model.tensors if t.data is None}


@wrong("10.3", says="but the layers between compute on int8")
def by_the_input(model):
    weights, _ = dtypes(model)
    first = str(model.tensors[0].dtype)
    if "int8" in weights:
        return {"int8": "int8", "int16": "int16x8"}.get(first, "dynamic")
    return "float16" if "float16" in weights else "float32"


@wrong("10.3", says="int8 weights, and float32 between the layers")
def by_the_weights(model):
    weights, activations = dtypes(model)
    if "int16" in activations:
        return "int16x8"
    return next(name for name in ("int8", "float16", "float32") if name in weights)


@wrong("10.3", says="weights are int8, activations int16")
def int16_forgotten(model):
    weights, activations = dtypes(model)
    if "int8" in weights:
        return "int8" if activations & {"int8", "int16"} else "dynamic"
    return "float16" if "float16" in weights else "float32"


@wrong("10.3", says="the weights are float16")
def float16_forgotten(model):
    weights, activations = dtypes(model)
    if "int8" in weights:
        return "int16x8" if "int16" in activations else "int8" if "int8" in activations else "dynamic"
    return "float32"


@wrong("10.3", says="another one has int8")
def first_weights(model):
    weight = next(str(t.dtype) for t in model.tensors if t.data is not None and len(t.shape) > 1)
    _, activations = dtypes(model)
    if weight == "int8":
        return "int16x8" if "int16" in activations else "int8" if "int8" in activations else "dynamic"
    return weight


@wrong("10.3", says="small layers kept float32 weights")
def all_weights_int8(model):
    weights, activations = dtypes(model)
    if weights == {"int8"}:
        return "int16x8" if "int16" in activations else "int8" if "int8" in activations else "dynamic"
    return "float16" if "float16" in weights else "float32"


def needs(model, *, constants=False, once=True, inputs=True, outputs=True):
    for operator in model.operators:
        used = (list(operator.inputs) if inputs else []) + (list(operator.outputs) if outputs else [])
        used = [i for i in (set(used) if once else used) if i >= 0]
        yield sum(model.tensors[i].nbytes for i in used if constants or model.tensors[i].data is None)


@wrong("10.4", says="are a constant, and stay in the file")
def with_weights(model):
    return max(needs(model, constants=True))


@wrong("10.4", says="never both")
def all_together(model):
    return sum(needs(model))


@wrong("10.4", says="it is in memory once")
def twice(model):
    return max(needs(model, once=False))


@wrong("10.4", says="are there together")
def inputs_only(model):
    return max(needs(model, outputs=False))


@wrong("10.4", says="not the last tensor")
def last_tensor(model):
    return max(
        sum(model.tensors[i].nbytes for i in {*o.inputs, *o.outputs} if model.tensors[i].data is None)
        for o in model.operators
    )


@wrong("10.4", says="200 bytes, out")
def values_not_bytes(model):
    return max(
        sum(model.tensors[i].size for i in {*o.inputs, *o.outputs} if i >= 0 and model.tensors[i].data is None)
        for o in model.operators
    )


@wrong("10.4", says="ADD reads two tensors")
def first_input_only(model):
    def size(i):
        return model.tensors[i].nbytes if i >= 0 and model.tensors[i].data is None else 0

    return max(size(o.inputs[0]) + (size(o.outputs[0]) if o.outputs[0] != o.inputs[0] else 0) for o in model.operators)


@wrong("10.4", says="may come last")
def first_operator_only(model):
    return next(needs(model))


@wrong("10.4", says="no operator has both")
def largest_of_each(model):
    return max(needs(model, outputs=False)) + max(needs(model, inputs=False))


def run(
    model, operator, x_q, *, zero_in=True, zero_out=True, bias=True, wide=np.int64, ties=np.rint, relu=None, clip=True
):
    x, w, b, y = (model.tensors[i] for i in (*operator.inputs, *operator.outputs))
    acc = x_q.astype(wide) @ w.data.T.astype(wide) + (b.data if bias else 0)
    if zero_in:
        acc = acc - int(x.zero_point[0]) * w.data.sum(axis=1, dtype=np.int64)
    steps = acc.astype(np.float32) * (x.scale * w.scale / y.scale)
    steps = ties(steps)
    z = int(y.zero_point[0])
    steps = steps + (z if zero_out else 0)
    fused = operator.options["fused_activation_function"] == "RELU"
    lowest = (z if fused else -128) if relu is None else relu(z, fused)
    return (np.clip(steps, lowest, 127) if clip else np.maximum(steps, lowest).astype(np.int64)).astype(np.int8)


@wrong("10.5", says="the product of two int8 wraps")
def product_in_int8(model, operator, x_q):
    return run(model, operator, x_q, wide=np.int8)


@wrong("10.5", says="the bias is added before M")
def no_bias(model, operator, x_q):
    return run(model, operator, x_q, bias=False)


@wrong("10.5", says="is subtracted from every code")
def no_input_zero_point(model, operator, x_q):
    return run(model, operator, x_q, zero_in=False)


@wrong("10.5", says="is added after M")
def no_output_zero_point(model, operator, x_q):
    return run(model, operator, x_q, zero_out=False)


@wrong("10.5", says="rint sends it to 2")
def half_up(model, operator, x_q):
    return run(model, operator, x_q, ties=lambda steps: np.floor(steps + 0.5))


@wrong("10.5", says="which is z_y")
def relu_at_code_0(model, operator, x_q):
    return run(model, operator, x_q, relu=lambda z, fused: 0 if fused else -128)


@wrong("10.5", says="without RELU the lowest code is -128")
def always_relu(model, operator, x_q):
    return run(model, operator, x_q, relu=lambda z, fused: z if z else -128)


@wrong("10.5", says="clip before the cast")
def not_clipped(model, operator, x_q):
    return run(model, operator, x_q, clip=False)


@wrong("10.5", says="nothing is cut off")
def floored(model, operator, x_q):
    return run(model, operator, x_q, ties=np.floor)


@wrong("10.5", says="rint first, then the zero point")
def zero_point_before_rint(model, operator, x_q):
    x, w, b, y = (model.tensors[i] for i in (*operator.inputs, *operator.outputs))
    acc = (x_q.astype(np.int64) - x.zero_point) @ w.data.T.astype(np.int64) + b.data
    steps = np.rint(acc.astype(np.float32) * (x.scale * w.scale / y.scale) + y.zero_point)
    return np.clip(steps, -128, 127).astype(np.int8)


@wrong("10.5", says="the lowest int8 code is -128")
def narrow_grid(model, operator, x_q):
    return run(model, operator, x_q, relu=lambda z, fused: z if fused else -127)


@wrong("10.5", says="clip after the zero point")
def clipped_too_early(model, operator, x_q):
    shift = int(model.tensors[operator.outputs[0]].zero_point[0])
    q = run(model, operator, x_q, zero_out=False).astype(np.int64) + shift
    return np.clip(q, -128, 127).astype(np.int8)


@wrong("10.5", says="and so its own M")
def first_channels_scale(model, operator, x_q):
    x, w, b, y = (model.tensors[i] for i in (*operator.inputs, *operator.outputs))
    acc = (x_q.astype(np.int64) - x.zero_point) @ w.data.T.astype(np.int64) + b.data
    return finish(np.rint(acc.astype(np.float32) * (x.scale * w.scale[0] / y.scale)), y, operator)


@wrong("10.5", says="leaves int16")
def sum_in_int16(model, operator, x_q):
    return run(model, operator, x_q, wide=np.int16)


@wrong("10.5", says="multiply in float32")
def product_in_float64(model, operator, x_q):
    x, w, b, y = (model.tensors[i] for i in (*operator.inputs, *operator.outputs))
    acc = (x_q.astype(np.int64) - x.zero_point) @ w.data.T.astype(np.int64) + b.data
    return finish(np.rint(acc * (x.scale * w.scale / y.scale).astype(np.float64)), y, operator)


@wrong("10.5", says="keep the scales in float32")
def scales_in_float64(model, operator, x_q):
    x, w, b, y = (model.tensors[i] for i in (*operator.inputs, *operator.outputs))
    acc = (x_q.astype(np.int64) - x.zero_point) @ w.data.T.astype(np.int64) + b.data
    return finish(np.rint(acc * (x.scale.astype(np.float64) * w.scale / y.scale)), y, operator)


@wrong("10.5", says="first s_x * s_w")
def another_order(model, operator, x_q):
    x, w, b, y = (model.tensors[i] for i in (*operator.inputs, *operator.outputs))
    acc = (x_q.astype(np.int64) - x.zero_point) @ w.data.T.astype(np.int64) + b.data
    return finish(np.rint(acc.astype(np.float32) * (x.scale * (w.scale / y.scale))), y, operator)


@wrong("10.5", says="use the tensors that this operator names")
def first_tensors(model, operator, x_q):
    return run(model, model.operators[0], x_q)


def finish(steps, y, operator):
    z = int(y.zero_point[0])
    lowest = z if operator.options["fused_activation_function"] == "RELU" else -128
    return np.clip(steps + z, lowest, 127).astype(np.int8)
