"""Quantized networks: their integers against the formulas, running against simulating, and what is refused.

That the integers that `run` computes are those of a production runtime is tested in tests/lab/test_litert_export.py.
"""

from dataclasses import replace

import numpy as np
import pytest

from quantlab.core.affine import dequantize, fake_quantize, quantize
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.nn.network import INPUT, Network, Node, apply_node
from quantlab.ptq.calibrate import calibrate
from quantlab.ptq.quantize import quantize_network, weight_qparams
from tests.ptq.networks import random_digits_cnn

DIALECTS = ("litert", "litert_ruy", "litert_reference")


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(1).uniform(0, 1, (64, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def network():
    return random_digits_cnn(2)


@pytest.fixture(scope="module", params=[True, False], ids=["per channel", "per tensor"])
def qnet(request, network, x):
    return quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=request.param)


def test_weights_and_biases_are_nearest(qnet, network):
    for name, qp in qnet.weights.items():
        W, b = network[name].params["W"], network[name].params["b"]
        w_q, bias_q = qnet.w_q[name], qnet.bias_q[name]
        assert w_q.dtype == np.int8
        assert bias_q.dtype == np.int32
        assert (qp.zero_point == 0).all()
        largest = np.abs(W).max(axis=(1, 2, 3) if W.ndim == 4 else 1) if qp.axis == 0 else np.abs(W).max()
        assert np.allclose(qp.scale, largest / 127, rtol=2**-22, atol=0)
        # the quotient of float32 numbers may be rounded up beyond a tie by 127 * 2**-23
        scale = np.reshape(qp.scale, (-1, *[1] * (W.ndim - 1)))
        assert np.abs(w_q * scale.astype(np.float64) - W).max() <= (0.5 + 2**-15) * qp.scale.max()
        assert np.abs(w_q).max() == 127
        steps = np.float64(qnet.activations[network[name].inputs[0]].scale) * qp.scale
        assert (np.abs(bias_q * steps - b) <= 0.5001 * steps).all()


def test_activations_span_their_ranges(qnet, network, x):
    # in batches as calibrate takes them, since a BLAS may sum in another order in larger ones
    halves = [network.activations(part, names=list(qnet.activations)) for part in (x[:32], x[32:])]
    for name, value in ((name, np.concatenate([half[name] for half in halves])) for name in qnet.activations):
        qp = qnet.activations[name]
        if name in ("max_pool7", "flatten"):
            continue
        lo, hi = min(value.min(), 0), max(value.max(), 0)
        # a difference and a quotient in float32
        assert qp.scale == pytest.approx((hi - lo) / 255, rel=2**-22)
        assert -128 <= qp.zero_point <= 127
    assert qnet.activations["max_pool7"] is qnet.activations["add6"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_node_is_at_most_a_step_from_its_simulation(qnet, x, dialect):
    codes = qnet.codes(x, dialect=dialect)
    # A kernel that is not nearest-even differs at ties and near ties; the fixed-point mean cuts its multiplier.
    least = 0.9998 if dialect == "litert" else 0.99
    for node in qnet.dequantized().nodes:
        reals = [dequantize(codes[name], qnet.activations[name]) for name in node.inputs]
        want = quantize(apply_node(node, *reals), qnet.activations[node.name])
        difference = np.abs(codes[node.name].astype(int) - want)
        assert difference.max() <= 1, node.name
        share = (difference == 0).mean()
        assert share > (0.8 if node.op == "mean" and dialect != "litert" else least), node.name
        assert share == 1 or node.op != "max_pool"


def test_the_default_kernels_are_simulated_almost_exactly(qnet, x):
    y_qp = qnet.activations["linear16"]
    simulated = quantize(qnet.simulate(x), y_qp)
    run = qnet.run(x, dialect="litert")
    assert np.abs(run.astype(int) - simulated).max() <= 1
    assert (run == simulated).mean() > 0.99


def test_everything_is_integer(qnet, x):
    codes = qnet.codes(x, dialect="litert")
    assert list(codes) == [INPUT, *(node.name for node in qnet.network.nodes)]
    assert {q.dtype for q in codes.values()} == {np.dtype(np.int8)}
    assert np.array_equal(codes["linear16"], qnet.run(x, dialect="litert"))


@pytest.mark.parametrize("dialect", ["torch", "onnx"])
def test_only_kernel_sets_run_it(dialect):
    """torch's arithmetic would take the integers of the bias for reals."""
    params = {"W": np.ones((1, 2), np.float32), "b": np.ones(1, np.float32)}
    network, x = Network([Node("fc", "linear", (INPUT,), params)]), np.ones((3, 2), np.float32)
    qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True)
    with pytest.raises(ValueError, match=f"dialect='{dialect}'; expected one of"):
        qnet.run(x, dialect=dialect)


def test_no_samples(qnet, x):
    assert qnet.run(x[:0], dialect="litert").shape == qnet.simulate(x[:0]).shape == (0, 10)


def test_a_hook_replaces_codes(qnet, x):
    codes = qnet.codes(x[:2], dialect="litert")
    other = qnet.run(x, dialect="litert", hook=lambda name, q: codes["mean15"] if name == "mean15" else q)
    assert np.array_equal(other, codes["linear16"])


def test_codes_go_in_as_reals_do(qnet, x):
    x_q = quantize(x, qnet.activations[INPUT])
    assert np.array_equal(qnet.run(x_q, dialect="litert"), qnet.run(x, dialect="litert"))
    assert np.array_equal(qnet.run(x_q[:1], dialect="litert"), qnet.run(x, dialect="litert")[:1])
    with pytest.raises(TypeError, match=r"x\.dtype=uint8; expected int8 codes, or reals"):
        qnet.run(x_q.view(np.uint8), dialect="litert")


def test_simulate_is_fake_quantization_after_every_node(qnet, x):
    seen = {}

    def keep(name, value):
        seen[name] = value
        return value

    y = qnet.simulate(x[:4], hook=keep)
    assert np.array_equal(y, seen["linear16"])
    assert list(seen) == [INPUT, *(node.name for node in qnet.network.nodes)]
    for node in qnet.dequantized().nodes:
        want = fake_quantize(apply_node(node, *(seen[name] for name in node.inputs)), qnet.activations[node.name])
        assert np.array_equal(seen[node.name], want)
    assert (qnet.simulate(x[:4], hook=lambda name, value: value * 0) == 0).all()


def test_more_bits_come_nearer(network, x):
    observers, want = calibrate(network, x), network.forward(x)
    errors = []
    for bits in (3, 4, 6, 8, 12, 16):
        qnet = quantize_network(network, observers, weight_bits=bits, activation_bits=16, per_channel=True)
        errors.append(np.abs(qnet.simulate(x) - want).max())
    assert all(a > b for a, b in zip(errors, errors[1:], strict=False))
    assert errors[-1] < 1e-3 * np.abs(want).max()
    with pytest.raises(ValueError, match="'input' has 16 bits; integer kernels take 8: use simulate"):
        qnet.run(x, dialect="litert")
    qnet = quantize_network(network, observers, weight_bits=9, per_channel=True)
    with pytest.raises(ValueError, match="'conv0' has 9 bits"):
        qnet.run(x, dialect="litert")


def test_four_bit_weights_run_too(network, x):
    qnet = quantize_network(network, calibrate(network, x), weight_bits=4, per_channel=True)
    assert max(np.abs(w_q).max() for w_q in qnet.w_q.values()) == 7
    simulated = quantize(qnet.simulate(x), qnet.activations["linear16"])
    assert (qnet.run(x, dialect="litert") == simulated).mean() > 0.99


def test_scales_may_be_given(network, x):
    observers = calibrate(network, x)
    W = network["conv8"].params["W"]
    qp = weight_qparams(2 * W, n_bits=4, per_channel=False)
    qnet = quantize_network(network, observers, weight_bits=8, per_channel=True, weight_qps={"conv8": qp})
    assert qnet.weights["conv8"] is qp
    assert np.array_equal(qnet.w_q["conv8"], quantize(W, qp))
    # weights that lie on a grid come back exactly
    on_grid = network.with_params({"conv8": {"W": dequantize(qnet.w_q["conv8"], qp)}})
    again = quantize_network(on_grid, observers, weight_bits=8, per_channel=True, weight_qps={"conv8": qp})
    assert np.array_equal(again.w_q["conv8"], qnet.w_q["conv8"])
    with pytest.raises(ValueError, match=r"weight_qps names \['conv9'\]; the nodes with weights are conv0, conv2"):
        quantize_network(network, observers, weight_bits=8, per_channel=True, weight_qps={"conv9": qp})


def test_a_dead_channel_keeps_its_bias():
    # max|W| / 127 would leave 1.0 at 10**9 or more steps
    for W in ([[0.0, 0.0], [1.0, -1.0]], [[1e-8, 0.0], [1.0, -1.0]]):
        params = {"W": np.array(W, np.float32), "b": np.array([1.0, 1.0], np.float32)}
        network = Network([Node("fc", "linear", (INPUT,), params)])
        x = np.array([[0.001, -0.001], [0.0, 0.001]], np.float32)
        qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True)
        assert np.abs(qnet.bias_q["fc"]).max() <= 2**30 + 2**7  # the limit, and the rounding of the scale to float32
        assert np.abs(qnet.simulate(x) - network.forward(x)).max() <= qnet.activations["fc"].scale
        y = dequantize(qnet.run(x, dialect="litert"), qnet.activations["fc"])
        assert np.abs(y - network.forward(x)).max() <= qnet.activations["fc"].scale


def test_a_dead_layer_keeps_its_negative_bias_per_tensor():
    params = {"W": np.full((1, 3), 1e-8, np.float32), "b": np.array([-1.0], np.float32)}
    network = Network([Node("fc", "linear", (INPUT,), params)])
    x = np.full((2, 3), 0.001, np.float32)
    qnet = quantize_network(network, calibrate(network, x), weight_bits=3, per_channel=False)
    assert -(2**30) - 2**7 <= qnet.bias_q["fc"][0] <= -(2**29)
    assert qnet.n_bytes() == 2 + 4 + 4  # 9 bits take 2 bytes


def test_n_bytes(qnet, network, x):
    n_weights = sum(w_q.size for w_q in qnet.w_q.values())
    n_biases = sum(b.size for b in qnet.bias_q.values())
    n_scales = n_biases if qnet.weights["conv0"].axis == 0 else len(qnet.w_q)
    assert qnet.n_bytes() == n_weights + 4 * n_biases + 4 * n_scales
    narrow = quantize_network(network, calibrate(network, x[:2]), weight_bits=4, per_channel=False)
    assert narrow.n_bytes() == n_weights // 2 + 4 * n_biases + 4 * len(narrow.w_q)


def test_what_cannot_be_quantized_is_named(network, x):
    observers = calibrate(network, x)
    options = {"weight_bits": 8, "per_channel": True}
    one = np.ones(1, np.float32)
    norm = Node("bn", "batch_norm", ("linear16",), {"gamma": one, "beta": one, "mean": one, "variance": one})
    with pytest.raises(ValueError, match="'bn' is a batch norm; fold it first"):
        quantize_network(Network([*network.nodes, norm]), observers, **options)
    active = [replace(node, activation="relu") if node.op == "mean" else node for node in network.nodes]
    with pytest.raises(ValueError, match="'mean15': 'mean' has no activation on integers"):
        quantize_network(Network(active), observers, **options)
    with pytest.raises(ValueError, match="observers has no 'conv12'"):
        quantize_network(network, {k: v for k, v in observers.items() if k != "conv12"}, **options)


def test_weight_qparams_of_zeros_are_usable():
    W = np.zeros((2, 3), np.float32)
    for per_channel in (True, False):
        qp = weight_qparams(W, n_bits=8, per_channel=per_channel)
        assert isinstance(qp, QParams)
        assert qp.grid == Grid(n_bits=8, narrow=True)
        assert (quantize(W, qp) == 0).all()
