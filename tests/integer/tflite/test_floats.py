"""Float32 operators of a mixed file against LiteRT: exact where nothing is summed, else within rounding."""

import numpy as np
import pytest

from quantlab.integer.tflite import CorruptFileError, UnsupportedError, read, run
from quantlab.lab import litert
from quantlab.lab.litert import KERNELS
from quantlab.lab.tflite_writer import ModelWriter
from quantlab.nn.conv import conv2d
from tests.integer.tflite.files import as_images, digits, digits_file
from tests.integer.tflite.float_bounds import slack

WINDOW = {"strideH": 2, "strideW": 1, "padding": 0}


def layer(operator, x_shape, w_shape, y_shape, *, w_dtype=np.float32, **options):
    """One layer with random weights, and an input for it."""
    rng, writer = np.random.default_rng(3), ModelWriter()
    n_out = w_shape[3] if operator == "DEPTHWISE_CONV_2D" else w_shape[0]
    x = writer.tensor(x_shape, np.float32)
    quantization = {} if w_dtype == np.float32 else {"scale": 0.1, "zero_point": 0}
    w = writer.tensor(w_shape, w_dtype, data=rng.normal(0, 9, w_shape), **quantization)
    b, y = writer.tensor((n_out,), np.float32, data=rng.normal(size=n_out)), writer.tensor(y_shape, np.float32)
    return writer.finish(operator, inputs=[x, w, b], outputs=[y], **options), rng.normal(size=x_shape).astype(
        np.float32
    )


LAYERS = {
    "conv": ("CONV_2D", (2, 7, 6, 8), (5, 3, 2, 8), (2, 4, 6, 5), {**WINDOW, "activation": "relu6"}),
    "grouped": ("CONV_2D", (2, 7, 6, 8), (6, 3, 3, 4), (2, 4, 6, 6), {**WINDOW, "activation": "relu"}),
    "depthwise": ("DEPTHWISE_CONV_2D", (2, 7, 6, 4), (1, 3, 3, 8), (2, 4, 6, 8), {**WINDOW, "depthMultiplier": 2}),
    "dense": ("FULLY_CONNECTED", (6, 300), (7, 300), (6, 7), {"activation": "relu"}),
}


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("kind", LAYERS)
def test_layers(kind, kernels):
    operator, *shapes, options = LAYERS[kind]
    content, x = layer(operator, *shapes, **options)
    model = read(content)
    ours, theirs = run(model, x, dialect=kernels), litert.run(content, x, kernels=kernels)
    arrays = {0: x, **{i: model.tensors[i].data for i in (1, 2)}}
    bound = slack(model.operators[0], arrays)
    assert (np.abs(ours - theirs) <= bound).all()
    assert (theirs > 0).mean() > 0.2
    # The check can fail: a weight rounded to float16, 11 bits, is seen.
    rounded = {**arrays, 1: arrays[1].astype(np.float16).astype(np.float32)}
    file = bytes(content).replace(arrays[1].tobytes(), rounded[1].tobytes())
    assert (np.abs(run(read(file), x, dialect=kernels) - theirs) > bound).any()


def without_bias(kind):
    """A layer of two inputs, small integers in float32: every sum is exact."""
    operator, x_shape, w_shape, y_shape, options = LAYERS[kind]
    rng, writer = np.random.default_rng(4), ModelWriter()
    x, y = writer.tensor(x_shape, np.float32), writer.tensor(y_shape, np.float32)
    w = rng.integers(-9, 10, w_shape).astype(np.float32)
    content = writer.finish(operator, inputs=[x, writer.tensor(w_shape, np.float32, data=w)], outputs=[y], **options)
    return content, rng.integers(-9, 10, x_shape).astype(np.float32), w


def test_a_dense_layer_without_a_bias():
    content, x, _ = without_bias("dense")
    ours = run(read(content), x, dialect="litert")
    assert np.array_equal(ours, litert.run(content, x, kernels="litert"))
    assert ours.any()


def test_a_convolution_without_a_bias():
    """LiteRT asks for one; other converters leave it out."""
    content, x, w = without_bias("conv")
    want = np.clip(conv2d(x, w, None, stride=(2, 1), padding="same"), 0, 6)
    assert np.array_equal(run(read(content), x, dialect="litert"), want)
    with pytest.raises(RuntimeError, match="CONV_2D"):
        litert.run(content, x, kernels="litert")


def test_dilation():
    options = {"strideH": 1, "strideW": 1, "padding": 1, "dilationHFactor": 2, "dilationWFactor": 1}
    content, x = layer("CONV_2D", (1, 7, 5, 3), (4, 3, 3, 3), (1, 3, 3, 4), **options)
    # 28 terms of a size below 150: 28 * 2**-23 * 28 * 150 is 0.014
    assert np.abs(run(read(content), x, dialect="litert") - litert.run(content, x, kernels="litert")).max() < 0.014


@pytest.mark.parametrize(("operator", "n_terms"), [("MAX_POOL_2D", 0), ("AVERAGE_POOL_2D", 7)])
def test_pools(operator, n_terms):
    writer = ModelWriter()
    x, y = writer.tensor((2, 7, 6, 3), np.float32), writer.tensor((2, 4, 6, 3), np.float32)
    content = writer.finish(
        operator, inputs=[x], outputs=[y], filterHeight=3, filterWidth=2, activation="relu", **WINDOW
    )
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3)).astype(np.float32)
    ours, theirs = run(read(content), x, dialect="litert"), litert.run(content, x, kernels="litert")
    assert np.abs(ours - theirs).max() <= n_terms * 2.0**-23 * np.abs(x).max()  # six terms, and a division
    assert theirs.max() > 0.5


def test_sum_and_mean():
    writer, rng = ModelWriter(), np.random.default_rng(0)
    a, b, c = (writer.tensor((2, 4, 4, 3), np.float32) for _ in range(3))
    axes, y = writer.tensor((2,), np.int32, data=np.array([1, -2])), writer.tensor((2, 3), np.float32)
    writer.operator("ADD", inputs=[a, b], outputs=[c], activation="relu")
    writer.operator("MEAN", inputs=[c, axes], outputs=[y], keepDims=False)
    content = writer.build(inputs=[a, b], outputs=[y])
    x = rng.normal(size=(2, 2, 4, 4, 3)).astype(np.float32)
    ours, theirs = run(read(content), *x, dialect="litert"), litert.run(content, *x, kernels="litert")
    assert np.abs(ours - theirs).max() <= 17 * 2.0**-23 * np.maximum(x[0] + x[1], 0).mean(axis=(1, 2)).max()


def test_a_whole_float_file():
    """The digits CNN without any quantization, softmax at its end."""
    content, x = digits_file("float32"), as_images(digits().x_test)[:50]
    # Probabilities: logits of about 10 are right to about 1e-5, and softmax makes that a relative error
    assert np.abs(run(read(content), x, dialect="litert") - litert.run(content, x, kernels="litert")).max() < 1e-5


def test_what_is_refused():
    content, x = layer("FULLY_CONNECTED", (6, 30), (7, 30), (6, 7), w_dtype=np.int8)
    with pytest.raises(UnsupportedError, match=r"operator 0 \(FULLY_CONNECTED\): tensor 1 .*is not float32"):
        run(read(content), x, dialect="litert")
    content, x = layer("CONV_2D", (2, 7, 6, 8), (6, 3, 3, 3), (2, 4, 6, 6), **WINDOW)
    with pytest.raises(CorruptFileError, match="they do not fit"):
        run(read(content), x, dialect="litert")
    content, x = layer("DEPTHWISE_CONV_2D", (2, 7, 6, 4), (1, 3, 3, 6), (2, 4, 6, 6), **WINDOW)
    with pytest.raises(CorruptFileError, match="they do not fit"):
        run(read(content), x, dialect="litert")
