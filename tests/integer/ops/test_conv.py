"""Convolutions equal LiteRT's in each kernel set bit for bit, and a plain sum over every window."""

import numpy as np
import pytest

from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.core.windows import place_windows
from quantlab.integer.ops import conv2d, conv_integer, depthwise_conv2d, pad
from quantlab.integer.requantize import requantize
from quantlab.lab.litert import KERNELS
from tests.integer.ops.convolutions import INT8, Shape, random_convolution
from tests.integer.ops.models import OTHERS, check_equal, count_wrong

DENSE = {
    "1x1": [Shape((1, 1, 7, 40), 200, (1, 1)), Shape((3, 4, 3, 1), 130, (1, 1), stride=(2, 2))],
    "odd sizes": [Shape((1, 5, 7, 3), 65, (3, 3)), Shape((1, 4, 9, 5), 70, (2, 4), padding="valid")],
    "stride": [Shape((2, 7, 6, 3), 64, (3, 3), stride=(2, 2)), Shape((1, 9, 5, 4), 63, (3, 2), stride=(1, 3))],
    "dilation": [Shape((1, 7, 8, 3), 50, (3, 3), dilation=(2, 2)), Shape((2, 6, 9, 2), 51, (2, 3), dilation=(1, 3))],
    "stride and dilation": [Shape((2, 9, 9, 3), 40, (2, 2), (2, 1), (2, 3))],
    "batch": [Shape((3, 3, 4, 6), 80, (3, 3)), Shape((4, 2, 2, 9), 81, (2, 2), padding="valid")],
    "one channel": [Shape((2, 6, 5, 1), 90, (5, 3)), Shape((2, 9, 9, 30), 1, (3, 3))],
    "groups": [Shape((1, 5, 4, 12), 96, (3, 3), groups=4), Shape((2, 4, 3, 6), 60, (2, 2), groups=2)],
}
DEPTHWISE = {
    "3x3": [Shape((1, 5, 7, 203), 203, (3, 3), groups=None), Shape((3, 4, 4, 64), 64, (3, 3), groups=None)],
    "5x5": [Shape((1, 6, 7, 95), 95, (5, 5), groups=None), Shape((2, 9, 6, 30), 30, (4, 3), (1, 1), groups=None)],
    "stride": [
        Shape((1, 7, 6, 99), 99, (3, 3), (2, 2), groups=None),
        Shape((1, 6, 7, 64), 64, (5, 5), (2, 2), padding="valid", groups=None),
    ],
    "dilation": [
        Shape((1, 8, 7, 60), 60, (3, 3), (1, 1), (2, 2), groups=None),
        Shape((2, 6, 9, 33), 33, (2, 3), (1, 1), (1, 3), padding="valid", groups=None),
    ],
    "multiplier 2": [
        Shape((2, 5, 5, 50), 100, (3, 3), groups=None),
        Shape((1, 5, 6, 21), 42, (3, 3), (2, 2), groups=None),
    ],
    "multiplier 3": [Shape((1, 5, 5, 33), 99, (3, 3), groups=None), Shape((2, 4, 7, 8), 24, (2, 2), groups=None)],
    "one channel": [
        Shape((2, 6, 5, 1), 1, (3, 3), groups=None),
        Shape((2, 6, 5, 1), 60, (3, 3), groups=None),
    ],
}


def count_all(shapes, *, where, seed):
    """Return the differences between every dialect and every kernel set, over trials of all shapes, and the outputs."""
    rng, wrong, n_outputs = np.random.default_rng(seed), {}, 0
    trial = 0
    for shape in shapes:
        for per_channel in (False, True):
            for _ in range(3):
                layer = random_convolution(rng, shape, per_channel=per_channel, where=where)
                activation = (None, "relu", "relu6", None)[trial % 4]
                trial += 1
                theirs = layer.theirs(KERNELS, activation)
                count_wrong(wrong, {d: layer.ours(d, activation) for d in KERNELS}, theirs)
                n_outputs += theirs["litert"].size
    return wrong, n_outputs


@pytest.mark.parametrize("where", ["anywhere", "ties", "near_ties"])
@pytest.mark.parametrize("kind", DENSE)
def test_conv2d_equals_litert_in_three_kernel_sets(kind, where):
    wrong, n_outputs = count_all(DENSE[kind], where=where, seed=19)
    check_equal(wrong)
    assert n_outputs > 4000


@pytest.mark.parametrize("where", ["anywhere", "ties", "near_ties"])
@pytest.mark.parametrize("kind", DEPTHWISE)
def test_depthwise_conv2d_equals_litert_in_three_kernel_sets(kind, where):
    wrong, n_outputs = count_all(DEPTHWISE[kind], where=where, seed=23)
    check_equal(wrong)
    assert n_outputs > 5000


@pytest.mark.parametrize("depthwise", [False, True], ids=["dense", "depthwise"])
@pytest.mark.parametrize("where", ["ties", "near_ties"])
def test_the_kernel_sets_differ_there(where, depthwise):
    # What the tests above compare can tell one dialect from another.
    shapes = [shape for group in (DEPTHWISE if depthwise else DENSE).values() for shape in group]
    wrong, _ = count_all(shapes, where=where, seed=29)
    check_equal(wrong)
    assert {pair: wrong[pair] for pair in OTHERS if wrong[pair] < 25} == {}


def test_reference_convolutions_round_otherwise_than_fully_connected_layers():
    layer = random_convolution(
        np.random.default_rng(31), Shape((1, 1, 40, 16), 500, (1, 1)), per_channel=True, where="ties"
    )
    acc = conv_integer(layer.x_q, layer.w_q, x_zero_point=layer.qps["x_qp"].zero_point, padding="valid")
    x_qp, w_qp, y_qp = layer.qps.values()
    scales = {"x_scale": x_qp.scale, "w_scale": w_qp.scale, "y_scale": y_qp.scale}
    linear = requantize(
        acc + layer.bias_q, **scales, y_zero_point=y_qp.zero_point, grid=INT8, dialect="litert_reference"
    )
    (theirs,) = layer.theirs(["litert_reference"]).values()
    assert (layer.ours("litert_reference") == theirs).all()
    assert np.count_nonzero(linear != theirs) > 20


def test_the_last_depthwise_outputs_round_as_gemmlowp_in_ruy():
    # 8 outputs at a time through vector instructions; the last 203 % 8 = 3 through other code.
    rng, body, tail = np.random.default_rng(37), 0, 0
    for _ in range(40):
        layer = random_convolution(rng, DEPTHWISE["3x3"][0], per_channel=True, where="ties")
        (ruy,) = layer.theirs(["litert_ruy"]).values()
        differ = ruy != layer.ours("litert_reference")
        body += np.count_nonzero(differ[..., :200])
        tail += np.count_nonzero(differ[..., 200:])
    assert body > 500
    assert tail == 0


def test_grouped_convolutions_round_as_the_reference_kernels_in_ruy():
    rng, different = np.random.default_rng(39), 0
    for shape in DENSE["groups"] * 5:
        layer = random_convolution(rng, shape, per_channel=True, where="ties")
        theirs = layer.theirs(["litert_ruy", "litert"])
        assert (theirs["litert_ruy"] == layer.ours("litert_reference")).all()
        different += np.count_nonzero(theirs["litert_ruy"] != theirs["litert"])
    assert different > 20


@pytest.mark.parametrize("kinds", [DENSE, DEPTHWISE], ids=["dense", "depthwise"])
def test_without_bias(kinds):
    # LiteRT refuses CONV_2D without a bias, and crashes on DEPTHWISE_CONV_2D: there is no oracle but zeros.
    layer = random_convolution(np.random.default_rng(41), kinds["stride"][0], per_channel=True, where="ties")
    zeros = layer._replace(bias_q=np.zeros_like(layer.bias_q))
    assert all((layer._replace(bias_q=None).ours(d) == zeros.ours(d)).all() for d in KERNELS)


def plain_convolution(x_q, w_q, x_zero_point, w_zero_point, *, stride, dilation, padding, groups):
    """One window after the other, in Python's integers."""
    n_out, kh, kw, n_in = w_q.shape
    w = w_q.astype(object) - np.asarray(w_zero_point, object).reshape(-1, 1, 1, 1)
    windows = place_windows(x_q.shape[1:3], kernel=(kh, kw), stride=stride, dilation=dilation, padding=padding)
    x = np.pad(x_q.astype(object) - x_zero_point, ((0, 0), *windows.pads, (0, 0)))
    y = np.zeros((len(x), *windows.out, n_out), object)
    for n, h, v, o in np.ndindex(y.shape):
        group = o // (n_out // groups)
        for i, j, c in np.ndindex(kh, kw, n_in):
            pixel = x[n, h * stride[0] + i * dilation[0], v * stride[1] + j * dilation[1], group * n_in + c]
            y[n, h, v, o] += pixel * w[o, i, j, c]
    return y


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32])
def test_conv_integer_is_the_sum_over_every_window(dtype):
    rng, info = np.random.default_rng(43), np.iinfo(dtype)
    for trial in range(12):
        groups = (1, 2, 3)[trial % 3]
        x_q = rng.integers(info.min, info.max, (2, 6, 5, 6), dtype, endpoint=True)
        w_q = rng.integers(-128, 128, (6, 3, 2, 6 // groups), np.int8)
        if dtype == np.int32:  # values that fit, in a dtype that says nothing about them
            x_q //= 2**16
        x_zero = int(rng.integers(max(info.min, -128), 100))
        w_zero = rng.integers(-20, 20, 6) if trial % 2 else -7
        options = {
            "stride": [(1, 1), (2, 1), (1, 3)][trial % 3],
            "dilation": [(1, 1), (1, 2)][trial % 2],
            "padding": ["same", "valid", ((2, 0), (1, 3))][trial // 3 % 3],
        }
        y = conv_integer(x_q, w_q, x_zero_point=x_zero, w_zero_point=w_zero, **options)
        assert (y == plain_convolution(x_q, w_q, x_zero, w_zero, **options, groups=groups)).all()


@pytest.mark.parametrize("n_in", [100, 700, 3000])
@pytest.mark.parametrize(("x_low", "x_zero"), [(126, -128), (-128, 127)])
def test_sums_beyond_what_float32_holds(x_low, x_zero, n_in):
    # Every product is near the largest magnitude, 255 * 128, and all have one sign; sums are odd and even. float32
    # holds 514 of them; then come pieces, and a bias near the end of int32.
    rng = np.random.default_rng(45)
    x_q = rng.integers(x_low, x_low + 2, (1, 9, 9, n_in), np.int8)
    w_q = rng.integers(-128, -126, (30, 1, 1, n_in), np.int8)
    acc = (x_q.astype(np.int64) - x_zero) @ w_q[:, 0, 0].T.astype(np.int64)
    assert (conv_integer(x_q, w_q, x_zero_point=x_zero, padding="valid") == acc).all()
    x_qp, w_qp = QParams(scale=1.0, zero_point=x_zero, grid=INT8), QParams(scale=1.0, zero_point=0, grid=INT8)
    y_qp = QParams(scale=2.0**24, zero_point=0, grid=INT8)
    common = {"x_qp": x_qp, "w_qp": w_qp, "y_qp": y_qp, "dialect": "litert"}
    end = (2**31 - 1 if acc.max() < 0 else -(2**31)) * np.ones(30, np.int64)
    bias_q = end.astype(np.int32)
    y_q = conv2d(x_q, w_q, bias_q, padding="valid", **common)
    assert (y_q == np.clip(np.rint((acc + end).astype(np.float32) / np.float32(2**24)), -128, 127)).all()
    for op, x, w in ((conv2d, x_q, ~w_q), (depthwise_conv2d, x_q[..., :1], ~w_q[..., :1])):
        with pytest.raises(ValueError, match=r"acc reaches from .* expected values that int32 can hold"):
            op(x, w, bias_q, padding="valid", **common)


@pytest.mark.parametrize("kinds", [DENSE, DEPTHWISE], ids=["dense", "depthwise"])
def test_explicit_padding_is_padding_with_the_zero_point(kinds):
    rng = np.random.default_rng(47)
    layer = random_convolution(rng, kinds["stride"][0], per_channel=True, where="anywhere")
    paddings = ((1, 4), (0, 2))
    padded = pad(layer.x_q, x_qp=layer.qps["x_qp"], paddings=[(0, 0), *paddings, (0, 0)])
    op = conv2d if kinds is DENSE else depthwise_conv2d
    common = {**layer.qps, "stride": (2, 1), "dialect": "litert_ruy"}
    y = op(layer.x_q, layer.w_q, layer.bias_q, padding=paddings, **common)
    assert (y == op(padded, layer.w_q, layer.bias_q, padding="valid", **common)).all()
    assert y.shape == (layer.x_q.shape[0], 5, 6, layer.shape.out)


def test_large_images_are_computed_in_pieces():
    # More than one piece of rows, and a last one that is shorter; against the same rows computed alone.
    rng = np.random.default_rng(53)
    for shape in (Shape((1, 67, 80, 32), 33, (3, 3)), Shape((1, 67, 80, 32), 32, (3, 3), groups=None)):
        layer = random_convolution(rng, shape, per_channel=True, where="ties")
        y = layer.ours("litert_ruy")
        op = conv2d if shape.groups else depthwise_conv2d
        for row in (1, 24, 25, 26, 42, 65):
            part = layer.x_q[:, row - 1 : row + 2]
            alone = op(part, layer.w_q, layer.bias_q, **layer.qps, padding=((0, 0), (1, 1)), dialect="litert_ruy")
            assert (alone[:, 0] == y[:, row]).all()


def test_no_images():
    layer = random_convolution(np.random.default_rng(59), DENSE["batch"][0], per_channel=True, where="anywhere")
    assert layer._replace(x_q=layer.x_q[:0]).ours("litert").shape == (0, 3, 4, 80)


def test_one_of_unsigned_weights():
    # ONNX's weights may be uint8 with a zero point for each output.
    rng = np.random.default_rng(61)
    uint8 = Grid(n_bits=8, signed=False)
    w_q, zero = rng.integers(0, 256, (4, 3, 3, 2), np.uint8), rng.integers(0, 256, 4)
    x_qp, y_qp = (QParams(scale=s, zero_point=131, grid=uint8) for s in (0.1, 2.0))
    w_qp = QParams(scale=rng.uniform(0.01, 0.02, 4), zero_point=zero, grid=uint8, axis=0)
    x_q = rng.integers(0, 256, (2, 5, 5, 2), np.uint8)
    y = conv2d(x_q, w_q, None, x_qp=x_qp, w_qp=w_qp, y_qp=y_qp, padding="same", dialect="onnx")
    acc = conv_integer(x_q, w_q, x_zero_point=131, w_zero_point=zero, padding="same")
    m = (x_qp.scale * w_qp.scale) / y_qp.scale
    assert (y == np.clip(np.rint(acc.astype(np.float32) * m) + 131, 0, 255)).all()


def test_errors_name_what_came():
    layer = random_convolution(np.random.default_rng(67), DENSE["odd sizes"][0], per_channel=True, where="anywhere")
    x_q, w_q, bias_q, qps = layer.x_q, layer.w_q, layer.bias_q, layer.qps
    common = {**qps, "padding": "same", "dialect": "litert"}
    with pytest.raises(ValueError, match="dialect='litert_reference_conv'; expected one of"):
        conv2d(x_q, w_q, bias_q, **{**common, "dialect": "litert_reference_conv"})
    with pytest.raises(ValueError, match="activation='gelu'; expected one of"):
        conv2d(x_q, w_q, bias_q, **common, activation="gelu")
    with pytest.raises(ValueError, match="padding='full'; expected 'same', 'valid' or"):
        conv2d(x_q, w_q, bias_q, **{**common, "padding": "full"})
    with pytest.raises(ValueError, match=r"stride=\(0, 1\); expected two numbers"):
        conv2d(x_q, w_q, bias_q, **common, stride=(0, 1))
    with pytest.raises(ValueError, match=r"x_q.shape=\(5, 7, 3\); expected \(samples, height, width, channels\)"):
        conv2d(x_q[0], w_q, bias_q, **common)
    with pytest.raises(ValueError, match=r"w_q.shape=\(65, 3, 3\); expected \(out, kh, kw, channels\)"):
        conv2d(x_q, w_q[..., 0], bias_q, **common)
    with pytest.raises(ValueError, match=r"w_q.shape=\(65, 3, 3, 2\) and x_q.shape=.*with groups dividing both"):
        conv2d(x_q, w_q[..., :2], bias_q, **common)
    with pytest.raises(ValueError, match=r"w_q.shape=\(65, 3, 3, 1\) and .* groups dividing both channels and out"):
        conv2d(x_q, w_q[..., :1], bias_q, **common)
    with pytest.raises(ValueError, match=r"w_q.shape=\(65, 3, 3, 3\) and .*\(channels \* multiplier, kh, kw, 1\)"):
        depthwise_conv2d(x_q, w_q, bias_q, **common)
    with pytest.raises(ValueError, match=r"w_q.shape=\(65, 3, 3, 1\) and .*\(channels \* multiplier, kh, kw, 1\)"):
        depthwise_conv2d(x_q, w_q[..., :1], bias_q, **common)
    with pytest.raises(ValueError, match=r"bias_q.shape=\(3,\); expected \(65,\), one an output"):
        conv2d(x_q, w_q, bias_q[:3], **common)
    with pytest.raises(TypeError, match=r"bias_q.dtype=float64; expected int32"):
        conv2d(x_q, w_q, bias_q * 1.0, **common)
    with pytest.raises(TypeError, match=r"x_q.dtype=float32; expected an integer dtype"):
        conv2d(x_q.astype(np.float32), w_q, bias_q, **common)
    wide = QParams(scale=np.ones(3), zero_point=0, grid=INT8, axis=3)
    with pytest.raises(ValueError, match=r"w_qp.axis=3, w_qp.group_size=None; expected one scale, or one an output"):
        conv2d(x_q, w_q, bias_q, **{**common, "w_qp": wide})
    few = QParams(scale=np.ones(3), zero_point=0, grid=INT8, axis=0)
    with pytest.raises(ValueError, match=r"w_qp.scale.shape=\(3,\); expected \(65,\), one an output"):
        conv2d(x_q, w_q, bias_q, **{**common, "w_qp": few})
    with pytest.raises(ValueError, match=r"y_qp.axis=3; expected None"):
        conv2d(x_q, w_q, bias_q, **{**common, "y_qp": wide})
    with pytest.raises(ValueError, match="n_channels=0; expected 1 or more"):
        conv2d(x_q, w_q[:0], None, **{**common, "w_qp": qps["y_qp"]})
    for name in ("x_zero_point", "w_zero_point"):
        with pytest.raises(TypeError, match=f"{name}.dtype=float64; expected an integer dtype"):
            conv_integer(x_q, w_q, **{name: 1.5}, padding="same")
    with pytest.raises(ValueError, match=r"w_zero_point.shape=\(2,\); expected \(\) or \(65,\)"):
        conv_integer(x_q, w_q, w_zero_point=np.zeros(2, int), padding="same")
