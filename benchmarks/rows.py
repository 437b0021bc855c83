"""The rows of the benchmark table: what is timed, beside which peers, and the bound that a test holds it to."""

from collections.abc import Callable
from dataclasses import dataclass

import gguf
import numpy as np
import onnxruntime as ort
import torch
from gguf import quants
from onnx import TensorProto, helper

from benchmarks.timing import Times, measure
from quantlab import Grid, QParams, choose_qparams, dequantize, fake_quantize, int_matmul, quantize
from quantlab.formats import pack, unpack
from quantlab.integer import tflite
from quantlab.integer.ops import conv2d
from quantlab.lab import data, litert
from quantlab.lab.efficientnet import efficientnet_network
from quantlab.lab.litert_export import to_tflite
from quantlab.lab.models import efficientnet_input
from quantlab.mixed.allocate import allocate_dynamic, allocate_integer
from quantlab.nn.conv import conv2d as float_conv2d
from quantlab.nn.network import INPUT
from quantlab.ptq.calibrate import calibrate
from quantlab.ptq.fold import fold
from quantlab.ptq.quantize import quantize_network
from quantlab.qat.lsq import initial_step, lsq_backward, lsq_quantize

INT8 = Grid(n_bits=8)


@dataclass(frozen=True)
class Row:
    """One row: quantlab's time as a multiple of a baseline, and the bounds on its ratio to named peers."""

    name: str
    times: Times
    bounds: dict[str, float]  # peer -> the most that time(quantlab) / time(peer) may be

    def ratio(self, peer: str) -> float:
        """Return quantlab's time in units of the peer's."""
        return self.times.ratios["quantlab"] / self.times.ratios[peer]


def _session(op: str, inputs: dict[str, int], output: int, constants: dict[str, tuple[int, np.ndarray]]):
    """Return an onnxruntime session of one node, on one thread."""
    names = [*inputs, *constants]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"])],
        op,
        [helper.make_tensor_value_info(name, dtype, None) for name, dtype in inputs.items()],
        [helper.make_tensor_value_info("y", output, None)],
        [helper.make_tensor(name, dtype, v.shape, v.ravel().tolist()) for name, (dtype, v) in constants.items()],
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def fake_quantize_tensor() -> Row:
    """16M float32 values, one scale."""
    x = np.random.default_rng(0).standard_normal(16_000_000, np.float32)
    qp = choose_qparams(x.min(), x.max(), grid=INT8)
    x_torch, out = torch.from_numpy(x), np.empty_like(x)
    times = measure(
        {
            "copy": lambda: np.copyto(out, x),
            "quantlab": lambda: fake_quantize(x, qp, out=out),
            "torch": lambda: torch.fake_quantize_per_tensor_affine(
                x_torch, float(qp.scale), int(qp.zero_point), -128, 127
            ),
        }
    )
    return Row("fake_quantize, 16M float32, out=", times, {"copy": 2.0, "torch": 1 / 5})


def fake_quantize_tensor_fresh() -> Row:
    """The same into new memory, beside a copy into new memory."""
    x = np.random.default_rng(0).standard_normal(16_000_000, np.float32)
    qp = choose_qparams(x.min(), x.max(), grid=INT8)
    times = measure({"copy": x.copy, "quantlab": lambda: fake_quantize(x, qp)}, rounds=15)
    return Row("fake_quantize, 16M float32, new memory", times, {})


def fake_quantize_channels() -> Row:
    """16M float32 values, one scale for each of 4,000 rows."""
    x = np.random.default_rng(1).standard_normal((4000, 4000), np.float32)
    qp = choose_qparams(x.min(1), x.max(1), grid=INT8, axis=0)
    x_torch, out = torch.from_numpy(x), np.empty_like(x)
    scale, zero_point = torch.from_numpy(qp.scale), torch.from_numpy(qp.zero_point)
    times = measure(
        {
            "copy": lambda: np.copyto(out, x),
            "quantlab": lambda: fake_quantize(x, qp, out=out),
            "torch": lambda: torch.fake_quantize_per_channel_affine(x_torch, scale, zero_point, 0, -128, 127),
        }
    )
    return Row("fake_quantize per channel, 4000 x 4000", times, {"torch": 1 / 3})


def quantize_to_int8() -> Row:
    """16M float32 values to int8, beside ONNX Runtime's QuantizeLinear, in its dialect."""
    x = np.random.default_rng(2).standard_normal(16_000_000, np.float32)
    qp = QParams(scale=0.04, zero_point=3, grid=INT8)
    session = _session(
        "QuantizeLinear",
        {"x": TensorProto.FLOAT},
        TensorProto.INT8,
        {"s": (TensorProto.FLOAT, np.float32(0.04)), "z": (TensorProto.INT8, np.int8(3))},
    )
    out = np.empty_like(x)
    times = measure(
        {
            "copy": lambda: np.copyto(out, x),
            "quantlab": lambda: quantize(x, qp, dialect="onnx"),
            "onnxruntime": lambda: session.run(None, {"x": x}),
        }
    )
    return Row("quantize to int8, 16M float32, dialect onnx", times, {})


def integer_product() -> Row:
    """The exact product of int8 matrices, 1024 x 2048 x 2048."""
    rng = np.random.default_rng(3)
    A, B = rng.integers(-128, 128, (1024, 2048), np.int8), rng.integers(-128, 128, (2048, 2048), np.int8)
    A32, B32 = A.astype(np.float32), B.astype(np.float32)
    session = _session("MatMulInteger", {"a": TensorProto.INT8, "b": TensorProto.INT8}, TensorProto.INT32, {})
    times = measure(
        {
            "float32 @": lambda: A32 @ B32,
            "quantlab": lambda: int_matmul(A, B),
            "onnxruntime": lambda: session.run(None, {"a": A, "b": B}),
        }
    )
    return Row("int8 product, 1024 x 2048 x 2048", times, {"float32 @": 1.25})


def integer_product_against_numpy() -> Row:
    """The same product beside numpy's int32 ``@``, which has no BLAS: half a minute, of which 32 rows are timed."""
    rng = np.random.default_rng(3)
    A, B = rng.integers(-128, 128, (1024, 2048), np.int8), rng.integers(-128, 128, (2048, 2048), np.int8)
    part, B32 = A[:32].astype(np.int32), B.astype(np.int32)
    times = measure({"int32 @": lambda: part @ B32, "quantlab": lambda: int_matmul(A, B)}, rounds=3)
    factor = len(A) / len(part)  # its loop goes over rows: the time is proportional to their number
    seconds = {"int32 @, 32x": times.seconds["int32 @"] * factor, "quantlab": times.seconds["quantlab"]}
    ratios = {"int32 @, 32x": 1.0, "quantlab": times.ratios["quantlab"] / factor}
    return Row("int8 product, 1024 x 2048 x 2048", Times(seconds, ratios), {"int32 @, 32x": 1 / 50})


def unpack_nibbles() -> Row:
    """16M 4-bit codes from 8 MB of bytes, in units of a copy of the 16 MB that come out."""
    codes = np.random.default_rng(4).integers(0, 16, 16_000_000).astype(np.uint8)
    packed, out = pack(codes, n_bits=4), np.empty_like(codes)
    times = measure(
        {
            "copy": lambda: np.copyto(out, codes),
            "quantlab": lambda: unpack(packed, n_bits=4, count=codes.size, signed=False),
        }
    )
    return Row("unpack 4-bit codes, 16M", times, {"copy": 9.0})


def dequantize_nibbles() -> Row:
    """16M weights from 4-bit codes in groups of 32 to float32, beside gguf's reader of Q4_0, the same information."""
    x = np.random.default_rng(5).standard_normal((4000, 4000), np.float32)
    x = x[:, :3968]  # gguf wants whole blocks of 32
    bound = np.abs(x).reshape(4000, -1, 32).max(2)
    qp = choose_qparams(-bound, bound, grid=Grid(n_bits=4), symmetric=True, axis=1, group_size=32)
    packed = pack(quantize(x, qp), n_bits=4)
    q4_0 = quants.quantize(x, gguf.GGMLQuantizationType.Q4_0)
    out = np.empty_like(x)
    times = measure(
        {
            "copy": lambda: np.copyto(out, x),
            "quantlab": lambda: dequantize(unpack(packed, n_bits=4, count=x.size, signed=True).reshape(x.shape), qp),
            "gguf": lambda: quants.dequantize(q4_0, gguf.GGMLQuantizationType.Q4_0),
        }
    )
    return Row("4-bit groups of 32 to float32, 16M", times, {})


def convolution() -> Row:
    """A 3 x 3 convolution of int8, 1 x 56 x 56 x 64 to 128 channels, requantized, beside float32 ones."""
    rng = np.random.default_rng(7)
    x_q = rng.integers(-128, 128, (1, 56, 56, 64), np.int8)
    w_q = rng.integers(-127, 128, (128, 3, 3, 64), np.int8)
    bias_q = rng.integers(-5000, 5000, 128, np.int32)
    scales = {
        "x_qp": QParams(scale=0.02, zero_point=-5, grid=INT8),
        "w_qp": QParams(scale=rng.uniform(0.001, 0.01, 128), zero_point=np.zeros(128, int), grid=INT8, axis=0),
        "y_qp": QParams(scale=0.5, zero_point=3, grid=INT8),
    }
    X, W, B = (q.astype(np.float32) for q in (x_q, w_q, bias_q))
    x, w = (torch.from_numpy(q).permute(0, 3, 1, 2) for q in (X, W))  # channels last, as ours: torch's fastest layout
    b = torch.from_numpy(B)
    times = measure(
        {
            "torch": lambda: torch.nn.functional.conv2d(x, w, b, padding=1),
            "quantlab": lambda: conv2d(x_q, w_q, bias_q, **scales, padding="same", dialect="litert"),
            "float32 numpy": lambda: float_conv2d(X, W, B, padding="same"),
        },
        rounds=25,
    )
    return Row("conv2d int8, 3 x 3, 56 x 56 x 64 to 128", times, {"torch": 3.0})


def efficientnet_image() -> Row:
    """One photograph through EfficientNet-Lite0: an int8 .tflite file in quantlab, and the same network in float32."""
    crop = data.crops(data.photographs(["cat"])["cat"], n=1, rng=np.random.default_rng(6))
    x, network = efficientnet_input(crop), fold(efficientnet_network())
    qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True)
    content = to_tflite(qnet, input_shape=x.shape)
    model, x_q = tflite.read(content), quantize(x, qnet.activations[INPUT])
    runtime = litert.Session(content, kernels="litert")
    times = measure(
        {
            "float32 numpy": lambda: network.forward(x),
            "quantlab": lambda: tflite.run(model, x_q, dialect="litert"),
            "LiteRT": lambda: runtime.run(x_q),
        }
    )
    return Row("EfficientNet-Lite0 int8, one image", times, {"float32 numpy": 4.0})


def learned_step() -> Row:
    """LSQ forward and backward on 2,000 rows with a step each, beside torch's learnable fake quantization."""
    rng = np.random.default_rng(6)
    grid, W = Grid(n_bits=4), rng.standard_normal((2000, 2000), np.float32)
    dY, step = rng.standard_normal(W.shape, np.float32), initial_step(W, grid=grid, axis=0)
    leaves = [torch.from_numpy(v).requires_grad_() for v in (W, step, np.zeros_like(step))]
    dy = torch.from_numpy(dY)

    def quantlab_way():
        lsq_quantize(W, step, grid=grid, axis=0)
        lsq_backward(dY, W, step, grid=grid, axis=0)

    def torch_way():
        torch._fake_quantize_learnable_per_channel_affine(*leaves, 0, -8, 7, 1.0).backward(dy)

    return Row(
        "LSQ forward and backward, 2000 x 2000",
        measure({"torch": torch_way, "quantlab": quantlab_way}),
        {"torch": 1.25},
    )


def bits_of_layers() -> Row:
    """Bits for 200 layers of four choices each: dynamic programming on sizes, and HiGHS's integer program."""
    rng = np.random.default_rng(3)
    n = rng.integers(1, 64, 200)  # KiB at 8 bits
    costs = n[:, None] * np.array([4, 8, 16, 32])
    losses = rng.exponential(size=200)[:, None] * np.array([256.0, 1.0, 1 / 64, 0.0])
    found = {}

    def quantlab_way():
        found["quantlab"] = allocate_dynamic(costs, losses, budget=6 * n.sum())

    def integer_program():
        found["scipy"] = allocate_integer(costs, losses, budget=6 * n.sum())

    times = measure({"integer program": integer_program, "quantlab": quantlab_way})
    # HiGHS stops within 1e-6 of the greedy answer's loss.
    assert abs(found["quantlab"].loss / found["scipy"].loss - 1) <= 2e-6
    assert times.seconds["quantlab"] < 1.0
    return Row("bits for 200 layers x 4 choices", times, {"integer program": 1.0})


ROWS: list[Callable[[], Row]] = [
    fake_quantize_tensor,
    fake_quantize_tensor_fresh,
    fake_quantize_channels,
    quantize_to_int8,
    integer_product,
    integer_product_against_numpy,
    unpack_nibbles,
    dequantize_nibbles,
    convolution,
    efficientnet_image,
    learned_step,
    bits_of_layers,
]
