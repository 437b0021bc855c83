"""A torch module with int8 kernels for some layers and float32 for others: each node, and the whole, by quantlab."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao.nn import quantized as quantized_layers

from quantlab.core.affine import dequantize, quantize
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.lab.network_torch import network_module
from quantlab.lab.torch_mixed import compare_nodes, mixed_module, run_by_quantlab
from quantlab.lab.torch_quantized import codes_of
from quantlab.lab.torch_static import engine
from quantlab.lab.torch_sums import sum_codes
from tests.ptq.networks import random_digits_cnn

pytestmark = pytest.mark.filterwarnings("ignore:(?s).*(deprecated|reduce_range)")


@pytest.fixture(autouse=True)
def one_thread_and_its_engine():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with engine("fbgemm"), torch.no_grad():
        yield
    torch.set_num_threads(threads)


class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(n, n, 3, padding=1, bias=False), nn.BatchNorm2d(n), nn.ReLU())

    def forward(self, x):
        return torch.relu(x + self.body(x))


def own_resnet():
    """Residual blocks whose batch norms do something, a max pool, the mean, two linear layers."""
    torch.manual_seed(0)
    stem = [nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
    head = [nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 10)]
    net = nn.Sequential(*stem, Block(8), Block(8), *head)
    for part in net.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.weight, part.bias, part.running_mean, part.running_var):
                values.uniform_(0.2, 1.5)
    return net.eval()


def digits_module():
    return network_module(random_digits_cnn(3), shape=(8, 8, 1))


def images(n, shape):
    return torch.from_numpy(np.random.default_rng(1).uniform(0, 1, (n, *shape)).astype(np.float32))


CHOICES = [
    (own_resnet, (1, 8, 8), []),
    (own_resnet, (1, 8, 8), ["3.body.0"]),
    (own_resnet, (1, 8, 8), ["0", "8", "10"]),
    (digits_module, (8, 8, 1), ["conv2", "conv8"]),  # a depthwise convolution is one of them
]


def test_the_module_stays_as_it_was():
    module, x = own_resnet(), images(20, (1, 8, 8))
    values = {name: value.clone() for name, value in module.state_dict().items()}
    attributes = {name: set(vars(part)) for name, part in module.named_modules()}
    mixed_module(module, x, keep_float=["0"])
    assert {name: set(vars(part)) for name, part in module.named_modules()} == attributes  # no qconfig stays behind
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, values[name], rtol=0, atol=0)


@pytest.mark.parametrize(("make", "shape", "kept"), CHOICES, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_every_node_on_torch_s_own_inputs(make, shape, kept):
    module, x = make(), images(400, shape)
    mixed = mixed_module(module, x[:100], keep_float=kept)
    found = compare_nodes(mixed, x)
    assert {each.wrong for each in found.values()} == {0}
    layers = [name for name, part in module.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    assert {name: found[name].kind for name in layers} == {
        name: "float32" if name in kept else "int8" for name in layers
    }
    # torch means it: int8 weights in all layers but these
    for name in layers:
        part = mixed.get_submodule(name)
        assert isinstance(part, quantized_layers.Linear | quantized_layers.Conv2d) == (name not in kept)
    assert sum(each.n for each in found.values() if each.kind == "int8") > 20_000
    assert all(each.largest == 0 for each in found.values() if each.kind != "float32")


@pytest.mark.parametrize(("make", "shape", "kept"), CHOICES, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_from_end_to_end(make, shape, kept):
    """All roundings by quantlab, one after another.

    A code behind a float layer falls to the other side of a tie where the real is within about 1e-6 of one, and steps
    are 0.02: one in 10,000, and each moves its image's logits by a little. So at most a few images of 400 may differ.
    """
    module, x = make(), images(400, shape)
    mixed = mixed_module(module, x[:100], keep_float=kept)
    ours, theirs = run_by_quantlab(mixed, x), mixed(x).numpy()
    close = np.abs(ours - theirs).max(axis=1) < 1e-5 * np.abs(theirs).max()
    assert close.sum() >= (396 if kept else 400)
    assert np.abs(ours - theirs).max() < 0.05 * np.abs(theirs).max()


def test_the_checks_can_fail():
    module, x = own_resnet(), images(100, (1, 8, 8))
    one, other = (mixed_module(module, x, keep_float=[name, "8", "10"]) for name in ("3.body.0", "4.body.0"))
    assert (np.abs(run_by_quantlab(one, x) - other(x).numpy()) > 1e-4).mean() > 0.2
    layer = one.get_submodule("3.body.0")[0]  # a convolution with a ReLU
    before = compare_nodes(one, x)["3.body.0"]
    forward = layer._conv_forward
    # torch's kernel computes with weights of 11 bits, quantlab with those that it finds
    layer._conv_forward = lambda values, weight, bias: forward(values, weight.half().float(), bias)
    after = compare_nodes(one, x)["3.body.0"]
    assert before.wrong == 0 < after.wrong
    assert after.largest > 10 * before.largest


def test_which_layers_are_left_in_float_matters():
    """Here the head is what loses: in float32 it brings the error down to a seventh; the blocks alone bring nothing."""
    module, x = own_resnet(), images(200, (1, 8, 8))
    whole, head, blocks = (
        float((mixed_module(module, x, keep_float=kept)(x) - module(x)).square().mean())
        for kept in ([], ["8", "10"], ["3.body.0", "4.body.0"])
    )
    assert 0 < head < whole / 4
    assert blocks > whole / 2


class Sum(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        return self.one(x) + self.other(x)


def test_ties():
    """Inputs halfway between two codes, and a zero point that is not 0: there torch's two ways to quantize differ."""
    torch.manual_seed(0)
    calibration = torch.rand(100, 4) * 2 - 1.3
    mixed = mixed_module(Sum().eval(), calibration, keep_float=[])
    scale, zero_point = (getattr(mixed, f"one_input_{what}_0") for what in ("scale", "zero_point"))
    steps = np.random.default_rng(0).integers(-70, 40, (99_999, 4)) + 0.5
    x = torch.from_numpy((steps * np.float64(scale)).astype(np.float32))
    assert {each.wrong for each in compare_nodes(mixed, x).values()} == {0}
    qp = QParams(scale=float(scale), zero_point=int(zero_point), grid=Grid(n_bits=8, signed=False))
    native, simulated = (quantize(x.numpy(), qp, dialect=dialect) for dialect in ("torch_native", "torch"))
    assert (native != simulated).mean() > 0.01


@pytest.mark.parametrize("shape", [(256, 256), (3, 3, 7, 5), (1, 63)])
def test_sums_of_all_pairs(shape):
    """Ties and other sums; tensors that do not fill whole vectors, and some in another order of memory."""
    rng, wrong, by_another_rule, grid = np.random.default_rng(0), 0, 0, Grid(n_bits=8, signed=False)
    pairs = np.stack(np.meshgrid(np.arange(256, dtype=np.uint8), np.arange(256, dtype=np.uint8)), axis=-1)
    scales = [(0.5, 0.25, 1.0), (0.1, 0.1, 0.2), (0.01, 0.03, 0.02), *rng.uniform(0.01, 0.1, (60, 3))]
    for case, (s_a, s_b, s_y) in enumerate(scales):
        chosen = rng.permutation(pairs.reshape(-1, 2))[: np.prod(shape)].T.reshape(2, *shape)
        a_qp, b_qp, y_qp = (
            QParams(scale=s, zero_point=z, grid=grid)
            for s, z in zip((s_a, s_b, s_y), rng.integers(0, 256, 3), strict=True)
        )
        a, b = (
            torch._make_per_tensor_quantized_tensor(torch.from_numpy(q.copy()), float(qp.scale), int(qp.zero_point))
            for q, qp in zip(chosen, (a_qp, b_qp), strict=True)
        )
        if a.dim() == 4 and case % 2:
            a, b = (t.contiguous(memory_format=torch.channels_last) for t in (a, b))
        for relu, kernel in ((False, torch.ops.quantized.add), (True, torch.ops.quantized.add_relu)):
            theirs = codes_of(kernel(a, b, float(y_qp.scale), int(y_qp.zero_point)))
            wrong += (sum_codes(a, b, y_qp=y_qp, relu=relu) != theirs).sum()
            reals = dequantize(codes_of(a), a_qp) + dequantize(codes_of(b), b_qp)
            naive = quantize(np.maximum(reals, 0) if relu else reals, y_qp, dialect="torch_native")
            by_another_rule += (naive != theirs).sum()
    assert wrong == 0
    assert by_another_rule > 0  # another order of roundings is seen
    with pytest.raises(ValueError, match="expected one shape"):
        sum_codes(a, b[:0], y_qp=y_qp)


class ThereAndBack(nn.Module):
    def __init__(self, dtype):
        super().__init__()
        self.dtype = dtype

    def forward(self, x):
        return torch.quantize_per_tensor(x, 0.1, 3, self.dtype).dequantize()


@pytest.mark.parametrize("dtype", [torch.qint8, torch.quint8])
def test_both_kinds_of_codes(dtype):
    graph, x = torch.fx.symbolic_trace(ThereAndBack(dtype)), torch.linspace(-20, 40, 1001)
    found = compare_nodes(graph, x)
    assert [(each.kind, each.n, each.wrong) for each in found.values()] == [
        ("quantize", 1001, 0),
        ("dequantize", 1001, 0),
    ]


def test_the_mean_of_codes_rounds_ties_to_even():
    for codes, mean in [((0, 1), 0), ((1, 2), 2), ((2, 3), 2), ((0, 3), 2)]:
        x = torch.tensor(codes, dtype=torch.uint8).reshape(1, 1, 1, 2)
        x = torch._make_per_tensor_quantized_tensor(x, 0.5, 3)
        assert int(nn.AdaptiveAvgPool2d(1)(x).int_repr()) == mean


def test_a_mean_of_floats_is_within_its_bound():
    """Sums of 961 values in another order: not equal, so the bound is needed, and within it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)).eval()
    x = images(200, (1, 31, 31))
    found = compare_nodes(torch.fx.symbolic_trace(net), x)["1"]
    assert (found.kind, found.wrong) == ("float32", 0)
    # 961 roundings of sums below 961 max|y|, then divided by 961: 961 * 2**-24 * max|y| is 6e-5 at the very worst for
    # values about 1; the two orders differ by the root of that many roundings, 31 * 2**-24 = 2e-6.
    assert 0 < found.largest < 1e-5


def test_a_float_layer_with_another_padding_is_refused():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="reflect"), nn.ReLU()).eval()
    x = images(5, (1, 8, 8))
    with pytest.raises(ValueError, match="expected padding with zeros"):
        compare_nodes(mixed_module(net, x, keep_float=["0"]), x)


def test_what_is_refused():
    net, x = own_resnet(), images(10, (1, 8, 8))
    with pytest.raises(
        ValueError, match=r"keep_float names \['3'\]; the linear layers and convolutions are 0, 3.body.0"
    ):
        mixed_module(net, x, keep_float=["3"])
    with pytest.raises(ValueError, match=r"keep_float names \['0'\]; .* are none"):
        mixed_module(nn.Sequential(nn.ReLU()).eval(), x, keep_float=["0"])
    with pytest.raises(TypeError, match="keep_float='0'; expected a list of names"):
        mixed_module(net, x, keep_float="0")
    with pytest.raises(ValueError, match="x holds no samples"):
        mixed_module(net, x[:0], keep_float=[])
    with pytest.raises(ValueError, match="training mode"):
        mixed_module(own_resnet().train(), x, keep_float=["0"])
    odd = mixed_module(nn.Sequential(nn.Linear(4, 4), nn.Sigmoid()).eval(), torch.rand(3, 4), keep_float=[])
    with pytest.raises(ValueError, match="quantlab has no rule"):
        compare_nodes(odd, torch.rand(3, 4))
