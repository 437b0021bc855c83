"""Pools and means equal LiteRT's in each kernel set bit for bit."""

import numpy as np
import pytest

from quantlab.core.qparams import QParams
from quantlab.core.windows import place_windows
from quantlab.integer.ops import average_pool, max_pool, mean
from quantlab.lab.litert import KERNELS, run
from quantlab.lab.tflite_writer import ModelWriter
from tests.integer.ops.models import INT8, OTHERS, check_equal, count_wrong, one_operator, random_qps

POOLS = {"AVERAGE_POOL_2D": average_pool, "MAX_POOL_2D": max_pool}


@pytest.mark.parametrize("operator", POOLS)
def test_pools_equal_litert_in_three_kernel_sets(operator):
    rng, wrong, n_outputs = np.random.default_rng(79), {}, 0
    for trial in range(120):
        # up to 40 channels: vector bodies of 16 and 8, and their tails; odd sizes; a batch of up to 3
        n, channels = int(rng.integers(1, 4)), (1, 3, 8, 16, 21, 40)[trial % 6]
        height, width = (int(v) for v in rng.integers(1, 12, 2))
        size = (int(rng.integers(1, min(height, 5) + 1)), int(rng.integers(1, min(width, 5) + 1)))
        stride = tuple(int(v) for v in rng.integers(1, 4, 2))
        padding = ("same", "valid")[trial % 2]
        (qp,) = random_qps(rng, 1, trial)
        x_q = rng.integers(-128, 128, (n, height, width, channels), np.int8)
        if trial % 4 == 0:  # few codes: sums that are odd multiples of half the window
            x_q = rng.integers(-2, 3, x_q.shape).astype(np.int8)
        activation = (None, "relu", "relu6")[trial // 3 % 3]
        options = {"size": size, "stride": stride, "padding": padding, "activation": activation}
        theirs = one_operator(
            operator,
            [x_q],
            [qp],
            qp,
            shape=(n, *place_windows((height, width), kernel=size, stride=stride, padding=padding).out, channels),
            filterHeight=size[0],
            filterWidth=size[1],
            strideH=stride[0],
            strideW=stride[1],
            padding={"same": 0, "valid": 1}[padding],
            activation=activation,
        )
        count_wrong(wrong, {d: POOLS[operator](x_q, x_qp=qp, **options, dialect=d) for d in KERNELS}, theirs)
        n_outputs += theirs["litert"].size
    check_equal(wrong)
    assert n_outputs > 30_000


def test_average_pool_counts_only_pixels_of_the_image_and_rounds_half_away():
    qp = QParams(scale=0.1, zero_point=7, grid=INT8)
    x_q = np.array([[1, 2], [3, -9]], np.int8).reshape(1, 2, 2, 1)
    y_q = average_pool(x_q, x_qp=qp, size=(2, 2), stride=(1, 1), padding="same", dialect="litert")
    assert y_q[0, :, :, 0].tolist() == [[-1, -4], [-3, -9]]  # -3 / 4, -7 / 2, -6 / 2, -9 / 1


def test_a_large_window_is_summed_in_more_than_16_bits():
    qp = QParams(scale=0.1, zero_point=0, grid=INT8)
    x_q = np.full((1, 40, 40, 9), 127, np.int8)
    common = {"x_qp": qp, "size": (40, 40), "stride": (1, 1), "padding": "valid", "dialect": "litert"}
    assert (average_pool(x_q, **common) == 127).all()
    assert (average_pool(~x_q, **common) == -128).all()


def litert_mean(x_q, axis, *, keepdims, x_qp, y_qp, shape):
    """MEAN in each kernel set."""
    writer = ModelWriter()
    x = writer.tensor(x_q.shape, np.int8, scale=x_qp.scale, zero_point=x_qp.zero_point)
    axes = writer.tensor((len(axis),), np.int32, data=np.array(axis, np.int32))
    y = writer.tensor(shape, np.int8, scale=y_qp.scale, zero_point=y_qp.zero_point)
    model = writer.finish("MEAN", inputs=[x, axes], outputs=[y], version=2, keepDims=keepdims)
    return {kernels: run(model, x_q, kernels=kernels) for kernels in KERNELS}


@pytest.mark.parametrize("keepdims", [False, True], ids=["dropped", "kept"])
@pytest.mark.parametrize("axis", [(1, 2), (2, 1), (1,), (2,), (3,), (1, 2, 3)], ids=str)
def test_mean_equals_litert_in_three_kernel_sets(axis, keepdims):
    rng, wrong, n_outputs = np.random.default_rng(83), {}, 0
    for trial in range(60):
        n, channels = int(rng.integers(1, 4)) * (20 if len(axis) == 3 else 1), (1, 5, 16, 33, 64, 28, 44)[trial % 7]
        height, width = (int(v) for v in rng.integers(1, 9, 2))
        x_q = rng.integers(-128, 128, (n, height, width, channels), np.int8)
        x_qp, y_qp = random_qps(rng, 2, trial)
        if trial % 3 == 0:  # quotients of a few bits: one mean in some is a tie
            scales = rng.choice([0.5, 0.25, 0.75]), rng.choice([1, 0.5, 0.25, 1.5, 3, 5])
            x_q //= 4
        else:
            ratio = np.exp(rng.uniform(-1, 1.5))  # means of noise are small: let them reach some codes
            scales = x_qp.scale, x_qp.scale / ratio
        x_qp, y_qp = (
            QParams(scale=s, zero_point=int(rng.integers(-20, 20)), grid=INT8) for s in (scales[0], scales[1])
        )
        ours = {d: mean(x_q, x_qp=x_qp, y_qp=y_qp, dialect=d, axis=axis, keepdims=keepdims) for d in KERNELS}
        theirs = litert_mean(x_q, axis, keepdims=keepdims, x_qp=x_qp, y_qp=y_qp, shape=ours["litert"].shape)
        count_wrong(wrong, ours, theirs)
        n_outputs += theirs["litert"].size
    check_equal(wrong)
    assert n_outputs > 2000
    if len(axis) == 2:  # there are fewer outputs, or fewer ties, with the others
        special = keepdims  # elsewhere "litert_ruy" is the reference kernel
        pairs = [pair for pair in OTHERS if special or "litert" in pair]
        assert {pair: wrong[pair] for pair in pairs if wrong[pair] < 10} == {}


def test_mean_of_one_pixel_is_a_change_of_scale():
    x_q = np.arange(-128, 128, dtype=np.int8).reshape(1, 1, 1, 256)
    qp = QParams(scale=0.3, zero_point=-5, grid=INT8)
    for dialect in KERNELS:
        assert (mean(x_q, x_qp=qp, y_qp=qp, dialect=dialect) == x_q[0, 0]).all()
        assert mean(x_q, x_qp=qp, y_qp=qp, dialect=dialect, keepdims=True).shape == (1, 1, 1, 256)


def test_errors_name_what_came():
    qp = QParams(scale=0.1, zero_point=0, grid=INT8)
    x_q = np.zeros((1, 4, 4, 2), np.int8)
    pool = {"x_qp": qp, "size": (2, 2), "stride": (2, 2), "padding": "valid", "dialect": "litert"}
    for op in (average_pool, max_pool):
        with pytest.raises(ValueError, match=r"x_q.shape=\(4, 4, 2\); expected \(samples, height, width, channels\)"):
            op(x_q[0], **pool)
        with pytest.raises(TypeError, match="x_q.dtype=float64; expected an integer dtype"):
            op(x_q * 1.0, **pool)
        for wide in (np.int16, np.int32, np.uint8):  # sums of int32 codes would wrap; uint8 ones have another grid
            with pytest.raises(TypeError, match=f"x_q.dtype={wide.__name__} on Grid.*; expected int8 or uint8"):
                op(x_q.astype(wide), **pool)
        with pytest.raises(ValueError, match="a window lies outside the image; pad by less than size"):
            op(x_q, **{**pool, "padding": ((2, 0), (0, 0))})
        with pytest.raises(ValueError, match="dialect='onnx'; expected one of"):
            op(x_q, **{**pool, "dialect": "onnx"})
        with pytest.raises(ValueError, match="activation='tanh'; expected one of"):
            op(x_q, **pool, activation="tanh")
        with pytest.raises(ValueError, match="padding='full'; expected 'same', 'valid'"):
            op(x_q, **{**pool, "padding": "full"})
        with pytest.raises(ValueError, match="no window of 5 x 5 fits an image of 4 x 4"):
            op(x_q, **{**pool, "size": (5, 5)})
    common = {"x_qp": qp, "y_qp": qp, "dialect": "litert"}
    with pytest.raises(TypeError, match="x_q.dtype=float64; expected an integer dtype"):
        mean(x_q * 1.0, **common)
    for axis in ((4,), (-1,), ()):
        with pytest.raises(ValueError, match=r"axis=\(.*\) of x_q.shape=\(1, 4, 4, 2\); expected axes from 0 to 3"):
            mean(x_q, **common, axis=axis)
    with pytest.raises(ValueError, match=r"axis=\(1, 2\) of x_q.shape=\(1, 0, 4, 2\); expected axes .* with values"):
        mean(x_q[:, :0], **common)
    with pytest.raises(ValueError, match="dialect='torch'; expected one of"):
        mean(x_q, **{**common, "dialect": "torch"})
    wide = QParams(scale=np.ones(2), zero_point=0, grid=INT8, axis=3)
    with pytest.raises(ValueError, match="y_qp.axis=3; expected None"):
        mean(x_q, **{**common, "y_qp": wide})
