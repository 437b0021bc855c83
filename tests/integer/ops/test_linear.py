"""Quantized layers equal LiteRT, torch and ONNX Runtime bit for bit: anywhere, at ties and right beside them."""

from typing import NamedTuple

import numpy as np
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper

from quantlab.core.affine import dequantize, quantize
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams, choose_qparams
from quantlab.integer.bias import bias_scale, quantize_bias
from quantlab.integer.matmul import int_matmul_zero_point
from quantlab.integer.ops import fully_connected, matmul
from quantlab.integer.requantize import DIALECTS
from quantlab.lab.litert import KERNELS, run
from tests.integer import litert_models as litert
from tests.onnx_cases import cases

INT8, UINT8 = Grid(n_bits=8), Grid(n_bits=8, signed=False)


class Layer(NamedTuple):
    """Quantized operands of a fully connected layer."""

    x_q: np.ndarray
    w_q: np.ndarray
    bias_q: np.ndarray
    qps: dict[str, QParams]


def random_layer(rng, shape, *, per_channel, where):
    """Return a layer whose accumulators fall "anywhere", onto "ties", or within 2 of "near_ties".

    Ties need multipliers that are exact in every arithmetic: scales of at most 3 significant bits. Near-ties need small
    multipliers (1e-6 to 3e-4), so that one more in the accumulator hardly moves the product: then a wrong last bit of
    the multiplier shows. The bias puts the accumulator of the first sample there; the other samples repeat it.
    """
    n_samples, n_in, n_out = shape
    w_q = rng.integers(-127, 128, (n_out, n_in), np.int8)
    n_scales = n_out if per_channel else ()
    x_zero, y_zero = (int(z) for z in rng.integers(-128, 128, 2))
    if where == "ties":
        x_scale = rng.choice([1, 1.25, 1.5]) / 8
        w_scale = 2.0 ** -rng.integers(1, 5) * rng.choice([1, 1.25, 1.5], n_scales)
        y_scale = x_scale * 2.0 ** rng.integers(-3, 8)
    else:
        x_scale, w_scale = np.exp(rng.uniform(-5, 0)), np.exp(rng.uniform(-5, -2, n_scales))
        spread = 73 * 127 * np.sqrt(n_in) * np.exp(rng.uniform(-1, 1)) / 40  # accumulators to about a third of int8
        y_scale = x_scale * w_scale.mean() * (spread if where == "anywhere" else np.exp(rng.uniform(8, 14)))
    x_q = rng.integers(-128, 128, (n_samples, n_in), np.int8)
    bias_q = rng.integers(-5000, 5000, n_out, np.int32)
    if where != "anywhere":
        x_q[:] = x_q[0]
        acc = int_matmul_zero_point(x_q[:1], w_q.T, x_zero, 0)[0]
        multiplier = x_scale * w_scale / y_scale
        target = np.rint((rng.integers(-140, 140, n_out) + 0.5) / multiplier).astype(np.int64)
        if where == "near_ties":
            target += rng.integers(-2, 3, n_out)
        bias_q = (target - acc).astype(np.int32)
    qps = {
        "x_qp": QParams(scale=x_scale, zero_point=x_zero, grid=INT8),
        "w_qp": QParams(scale=w_scale, zero_point=0, grid=INT8, axis=0 if per_channel else None),
        "y_qp": QParams(scale=y_scale, zero_point=y_zero, grid=INT8),
    }
    return Layer(x_q, w_q, bias_q, qps)


def litert_outputs(layer, activation):
    """Return the layer's output in each kernel set."""
    x_qp, w_qp, y_qp = layer.qps.values()
    model = litert.fully_connected_model(
        layer.x_q.shape[:-1],
        layer.w_q,
        layer.bias_q,
        x_qp=(x_qp.scale, x_qp.zero_point),
        w_scale=w_qp.scale,
        y_qp=(y_qp.scale, y_qp.zero_point),
        activation=activation,
    )
    return {kernels: run(model, layer.x_q, kernels=kernels) for kernels in KERNELS}


SHAPES = [(1, 16, 500), (4, 64, 101), (33, 7, 3), (5, 1, 64), (2, 300, 250)]


@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
@pytest.mark.parametrize("where", ["anywhere", "ties", "near_ties"])
def test_fully_connected_equals_litert_in_three_kernel_sets(where, per_channel):
    # 6 runs of 50 layers, 18,000 outputs in each of 3 kernel sets: 328,000 in all.
    rng = np.random.default_rng(17)
    wrong = {(dialect, kernels): 0 for dialect in KERNELS for kernels in KERNELS}
    n_outputs = 0
    for trial in range(50):
        layer = random_layer(rng, SHAPES[trial % len(SHAPES)], per_channel=per_channel, where=where)
        activation = (None, "relu", "relu6", None)[trial % 4]
        ours = {d: fully_connected(*layer[:3], **layer.qps, dialect=d, activation=activation) for d in KERNELS}
        for kernels, theirs in litert_outputs(layer, activation).items():
            n_outputs += theirs.size
            for dialect, y in ours.items():
                wrong[dialect, kernels] += np.count_nonzero(y != theirs)
    assert n_outputs > 45_000
    assert {pair: n for pair, n in wrong.items() if pair[0] == pair[1] and n} == {}
    # The check can fail: at and near ties every dialect is told from every other.
    if where != "anywhere":
        assert {pair: n for pair, n in wrong.items() if pair[0] != pair[1] and n < 100} == {}


def test_fully_connected_without_bias_and_with_leading_axes_equals_litert():
    rng, wrong = np.random.default_rng(19), {(dialect, kernels): 0 for dialect in KERNELS for kernels in KERNELS}
    for trial in range(40):
        layer = random_layer(rng, (12, 16, 101), per_channel=trial % 2 == 0, where="ties")
        x_q = rng.integers(-128, 128, (2, 3, 2, 16), np.int8) if trial % 3 else layer.x_q
        layer = layer._replace(x_q=x_q, bias_q=layer.bias_q if trial % 5 == 0 else None)
        for kernels, theirs in litert_outputs(layer, None).items():
            assert theirs.shape == (*x_q.shape[:-1], 101)
            for dialect in KERNELS:
                y = fully_connected(*layer[:3], **layer.qps, dialect=dialect)
                wrong[dialect, kernels] += np.count_nonzero(y != theirs)
    assert {pair: n for pair, n in wrong.items() if pair[0] == pair[1] and n} == {}
    assert {pair: n for pair, n in wrong.items() if pair[0] != pair[1] and n < 100} == {}


def torch_linear(x_q, w_q, bias, x_qp, w_qp, y_qp, *, relu):
    """Quantized linear of torch's fbgemm engine."""
    torch.backends.quantized.engine = "fbgemm"
    x = torch._make_per_tensor_quantized_tensor(torch.from_numpy(x_q), float(x_qp.scale), int(x_qp.zero_point))
    if w_qp.axis is None:
        w = torch._make_per_tensor_quantized_tensor(torch.from_numpy(w_q), float(w_qp.scale), 0)
    else:
        scale = torch.from_numpy(w_qp.scale.astype(np.float64))
        w = torch._make_per_channel_quantized_tensor(
            torch.from_numpy(w_q), scale, torch.zeros(len(scale), dtype=torch.int64), 0
        )
    packed = torch.ops.quantized.linear_prepack(w, None if bias is None else torch.from_numpy(bias))
    op = torch.ops.quantized.linear_relu if relu else torch.ops.quantized.linear
    return op(x, packed, float(y_qp.scale), int(y_qp.zero_point)).int_repr().numpy()


# torch says that its quantized tensors will go; the arithmetic of its kernels is what is asked here.
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
@pytest.mark.parametrize("where", ["anywhere", "near_ties"])
def test_fully_connected_equals_torch(where, per_channel):
    rng = np.random.default_rng(29)
    wrong = 0
    for trial in range(50):
        layer = random_layer(rng, SHAPES[trial % len(SHAPES)], per_channel=per_channel, where=where)
        # torch's activations are uint8, and 7 bits of it: without VNNI fbgemm adds pairs in 16 bits, which saturate.
        qps = {
            "x_qp": QParams(scale=layer.qps["x_qp"].scale, zero_point=int(rng.integers(0, 128)), grid=UINT8),
            "w_qp": layer.qps["w_qp"],
            "y_qp": QParams(scale=layer.qps["y_qp"].scale, zero_point=int(rng.integers(0, 256)), grid=UINT8),
        }
        x_q = (layer.x_q.view(np.uint8) >> 1).astype(np.uint8)
        steps = bias_scale(qps["x_qp"].scale, qps["w_qp"].scale)
        bias = ((layer.bias_q + rng.uniform(-0.5, 0.5, layer.bias_q.shape)) * steps).astype(np.float32)
        if where == "near_ties":
            acc = int_matmul_zero_point(x_q[:1], layer.w_q.T, qps["x_qp"].zero_point, 0)[0]
            ties = rng.integers(0, 255, acc.shape) - qps["y_qp"].zero_point + 0.5
            bias = (ties * qps["y_qp"].scale - acc * steps.astype(np.float64)).astype(np.float32)
        relu = trial % 2 == 1
        activation = "relu" if relu else None
        theirs = torch_linear(x_q, layer.w_q, bias, **qps, relu=relu)
        assert (fully_connected(x_q, layer.w_q, bias, **qps, dialect="torch", activation=activation) == theirs).all()
        assert (
            fully_connected(x_q, layer.w_q, None, **qps, dialect="torch")
            == torch_linear(x_q, layer.w_q, None, **qps, relu=False)
        ).all()
        bias_q = quantize_bias(bias, x_scale=qps["x_qp"].scale, w_scale=qps["w_qp"].scale)
        rounded = fully_connected(x_q, layer.w_q, bias_q, **qps, dialect="onnx", activation=activation)
        wrong += np.count_nonzero(rounded != theirs)
    if where == "near_ties":
        assert wrong > 100  # a rounded bias is another arithmetic


@pytest.mark.parametrize("case", cases("QLinearMatMul"), ids=lambda case: case.name)
def test_node_tests_of_onnx(case):
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = case.inputs
    grid = INT8 if a.dtype == np.int8 else UINT8
    a_qp, b_qp, y_qp = (
        QParams(scale=s[0], zero_point=z[0], grid=grid)
        for s, z in ((a_scale, a_zero), (b_scale, b_zero), (y_scale, y_zero))
    )
    y = matmul(a, b, a_qp=a_qp, b_qp=b_qp, y_qp=y_qp)
    assert y.dtype == case.outputs[0].dtype
    assert np.array_equal(y, case.outputs[0])


def onnxruntime_matmul(a_q, b_q, a_qp, b_qp, y_qp):
    """QLinearMatMul of ONNX Runtime."""
    kinds = {np.dtype(np.int8): TensorProto.INT8, np.dtype(np.uint8): TensorProto.UINT8}
    values = {"a": a_q, "sa": a_qp.scale, "za": a_qp.zero_point.astype(a_q.dtype), "b": b_q, "sb": b_qp.scale}
    values |= {"zb": b_qp.zero_point.astype(b_q.dtype), "sy": y_qp.scale, "zy": y_qp.zero_point.astype(y_qp.grid.dtype)}
    values = {name: np.asarray(v) for name, v in values.items()}
    inputs = [
        helper.make_tensor_value_info(name, kinds.get(v.dtype, TensorProto.FLOAT), v.shape)
        for name, v in values.items()
    ]
    output = helper.make_tensor_value_info("y", kinds[y_qp.grid.dtype], None)
    graph = helper.make_graph([helper.make_node("QLinearMatMul", list(values), ["y"])], "g", inputs, [output])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, values)[0]


@pytest.mark.parametrize("grids", [(UINT8, INT8), (UINT8, UINT8), (INT8, INT8)], ids=["u8s8", "u8u8", "s8s8"])
@pytest.mark.parametrize("per_channel", [False, True], ids=["per tensor", "per channel"])
def test_matmul_equals_onnxruntime(grids, per_channel):
    rng = np.random.default_rng(31)
    others = dict.fromkeys(("litert_ruy", "litert_reference"), 0)
    for trial in range(12):
        shape = [(64, 4, 500), (3, 200, 77), (1, 5, 300)][trial % 3]
        a_q, b_q = (
            rng.integers(g.quant_min, g.quant_max, s, g.dtype, endpoint=True)
            for g, s in zip(grids, (shape[:2], shape[1:]), strict=True)
        )
        n_scales = shape[2] if per_channel else ()
        spread = 73 * 73 * np.sqrt(shape[1]) / 40
        if trial % 2:  # dyadic scales: one product in some hundreds is a tie
            a_scale, b_scale = 0.25, 2.0 ** -rng.integers(3, 5, n_scales)
            y_scale = 2.0 ** np.rint(np.log2(a_scale * b_scale.mean() * spread))
        else:
            a_scale, b_scale = np.exp(rng.uniform(-5, 0)), np.exp(rng.uniform(-5, -2, n_scales))
            y_scale = a_scale * b_scale.mean() * spread
        # near the middle of the grids, or the products would pile up beyond one end of the output
        zero_points = [(g.quant_min + g.quant_max + 1) // 2 + int(rng.integers(-9, 9)) for g in (*grids, grids[0])]
        a_qp = QParams(scale=a_scale, zero_point=zero_points[0], grid=grids[0])
        b_qp = QParams(scale=b_scale, zero_point=zero_points[1], grid=grids[1], axis=-1 if per_channel else None)
        y_qp = QParams(scale=y_scale, zero_point=zero_points[2], grid=grids[0])
        theirs = onnxruntime_matmul(a_q, b_q, a_qp, b_qp, y_qp)
        assert (matmul(a_q, b_q, a_qp=a_qp, b_qp=b_qp, y_qp=y_qp) == theirs).all()
        for dialect in others:
            y = matmul(a_q, b_q, a_qp=a_qp, b_qp=b_qp, y_qp=y_qp, dialect=dialect)
            others[dialect] += np.count_nonzero(y != theirs)
    assert min(others.values()) > 50


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_layer_is_near_the_float_layer(dialect):
    rng = np.random.default_rng(37)
    X, W, b = rng.normal(size=(50, 64)), rng.normal(size=(10, 64)) * 0.1, rng.normal(size=10).astype(np.float32)
    x_qp = choose_qparams(X.min(), X.max(), grid=UINT8)
    w_qp = choose_qparams(W.min(1), W.max(1), grid=INT8, symmetric=True, axis=0)
    x_q, w_q = quantize(X, x_qp), quantize(W, w_qp)
    Y = dequantize(x_q, x_qp).astype(np.float64) @ dequantize(w_q, w_qp).T.astype(np.float64) + b
    y_qp = choose_qparams(Y.min(), Y.max(), grid=UINT8)
    bias = b if dialect == "torch" else quantize_bias(b, x_scale=x_qp.scale, w_scale=w_qp.scale)
    y_q = fully_connected(x_q, w_q, bias, x_qp=x_qp, w_qp=w_qp, y_qp=y_qp, dialect=dialect)
    # 0.75 steps for two roundings, and the ends: the range is spread over 255 steps with a rounded zero point, so an
    # end may lie half a step outside.
    assert np.abs(dequantize(y_q, y_qp) - Y).max() <= 1.01 * y_qp.scale


def test_vectors_batches_and_no_samples():
    rng = np.random.default_rng(41)
    layer = random_layer(rng, (6, 8, 5), per_channel=True, where="anywhere")
    y = fully_connected(*layer[:3], **layer.qps, dialect="litert")
    batch = fully_connected(layer.x_q.reshape(2, 3, 8), *layer[1:3], **layer.qps, dialect="litert")
    assert (batch == y.reshape(2, 3, 5)).all()
    assert (fully_connected(layer.x_q[1], *layer[1:3], **layer.qps, dialect="litert") == y[1]).all()
    assert fully_connected(layer.x_q[:0], *layer[1:3], **layer.qps, dialect="litert").shape == (0, 5)


def test_errors_name_what_came():
    layer = random_layer(np.random.default_rng(43), (2, 4, 3), per_channel=True, where="anywhere")
    x_q, w_q, bias_q, qps = layer
    wide = QParams(scale=np.ones(4), zero_point=0, grid=INT8, axis=1)
    with pytest.raises(ValueError, match="activation='gelu'; expected one of"):
        fully_connected(x_q, w_q, bias_q, **qps, dialect="litert", activation="gelu")
    with pytest.raises(ValueError, match=r"x_qp\.axis=1; expected None"):
        fully_connected(x_q, w_q, bias_q, **{**qps, "x_qp": wide}, dialect="litert")
    with pytest.raises(ValueError, match=r"w_qp\.axis=1.*axis=0"):
        fully_connected(x_q, w_q, bias_q, **{**qps, "w_qp": wide}, dialect="litert")
    with pytest.raises(ValueError, match=r"x_q\.shape=\(2, 3\) and w_q\.shape=\(3, 4\); expected \(\.\.\., 4\)"):
        fully_connected(x_q[:, :3], w_q, bias_q, **qps, dialect="litert")
    for empty in (w_q[:0], w_q[:, :0]):
        with pytest.raises(ValueError, match=r"w_q\.shape=.*; expected \(out, in\), 1 or more of both"):
            fully_connected(x_q[:, : empty.shape[1]], empty, None, **qps, dialect="litert")
    with pytest.raises(ValueError, match=r"bias of shape \(3,\), 1 NaN; expected \(3,\), no NaN"):
        fully_connected(x_q, w_q, np.array([0, np.nan, 1]), **qps, dialect="torch")
    with pytest.raises(ValueError, match=r"w_q\.shape=\(12,\); expected \(out, in\)"):
        fully_connected(x_q, w_q.ravel(), bias_q, **qps, dialect="litert")
    with pytest.raises(ValueError, match=r"bias_q\.shape=\(2,\); expected \(3,\)"):
        fully_connected(x_q, w_q, bias_q[:2], **qps, dialect="litert")
    with pytest.raises(TypeError, match=r"bias_q\.dtype=float64; expected int32: use quantize_bias"):
        fully_connected(x_q, w_q, bias_q * 1.0, **qps, dialect="litert")
    with pytest.raises(ValueError, match=r"b_qp\.axis=0"):
        matmul(
            x_q, w_q.T, a_qp=qps["x_qp"], b_qp=QParams(scale=[1.0], zero_point=0, grid=INT8, axis=0), y_qp=qps["y_qp"]
        )
