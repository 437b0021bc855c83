"""Stacks of small networks: each is what it would be alone, folding changes nothing, and rounding is quantlab's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from quantlab.core.affine import fake_quantize
from quantlab.core.grid import Grid
from quantlab.core.metrics import sqnr_db
from quantlab.core.qparams import choose_qparams
from quantlab.lab import litert
from quantlab.lab.designs_torch import DESIGNS, Design, Stack, letters, train
from quantlab.lab.litert_export import to_tflite
from quantlab.lab.quantized_designs_torch import fold_stack, network_of, percent_right, sqnr_of_logits
from quantlab.ptq.calibrate import calibrate
from quantlab.ptq.quantize import quantize_network, weight_qparams


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data():
    return letters([3, 8], n_train=256, n_test=64)


@pytest.fixture(scope="module", params=list(DESIGNS))
def folded(request, data):
    stack, _ = train(DESIGNS[request.param], data, n_epochs=2, lr=0.01)
    return fold_stack(stack)


@pytest.fixture(scope="module")
def lite(data):
    return fold_stack(train(DESIGNS["lite"], data, n_epochs=2, lr=0.01)[0])


@pytest.mark.parametrize("name", ["squeeze", "norm on input"])
def test_a_network_learns_in_a_stack_what_it_learns_alone(data, name):
    both, losses = train(DESIGNS[name], data, n_epochs=1, lr=0.01)
    alone = replace(data, **{part: getattr(data, part)[:, 1:] for part in ("x_train", "y_train", "x_test", "y_test")})
    single, loss = train(DESIGNS[name], replace(alone, seeds=(8,)), n_epochs=1, lr=0.01)
    other, _ = train(DESIGNS[name], replace(alone, seeds=(9,)), n_epochs=1, lr=0.01)
    # Sums in another order differ by 1e-6 of a gradient. Adam divides each by its own size, so where a gradient is
    # nearly 0 a weight may step the other way: the networks are alike, not equal, and another seed is far from both.
    np.testing.assert_allclose(losses[:, 1:], loss, rtol=1e-3)
    with torch.no_grad():
        in_stack, on_its_own, another = both(data.x_test)[:, 1:], single(alone.x_test), other(alone.x_test)
    assert sqnr_of_logits(on_its_own, in_stack)[0] > 25
    assert sqnr_of_logits(on_its_own, another)[0] < 10


def test_training_brings_the_loss_down_and_pairs_begin_alike(data):
    _, losses = train(DESIGNS["swish"], data, n_epochs=4, lr=0.02)
    assert losses.shape == (4, 2)
    assert (losses[-1] < losses[0] - 0.5).all()
    a, b = (Stack(DESIGNS[name], seeds=[3, 8]) for name in ("lite", "squeeze"))
    assert torch.equal(a.convs["block2_filter"].weight, b.convs["block2_filter"].weight)
    assert not torch.equal(a.convs["block2_filter"].weight[:48], a.convs["block2_filter"].weight[48:])


def test_folding_changes_no_logit(folded, data):
    with torch.no_grad():
        logits = folded.stack(data.x_test)
    # Some 15 layers, each rounded to 2**-24 of its largest products: far more than 90 dB.
    assert (sqnr_of_logits(logits, folded.forward(data.x_test)) > 90).all()


def test_weights_are_rounded_as_quantlab_rounds_them(folded):
    for per_channel in (True, False):
        rounded = folded.rounded_weights(n_bits=4, per_channel=per_channel)
        for name, W in folded.weights.items():
            for mine, theirs in zip(W.chunk(2), rounded[name].chunk(2), strict=True):
                qp = weight_qparams(mine.numpy(), n_bits=4, per_channel=per_channel)
                assert np.array_equal(fake_quantize(mine.numpy(), qp), theirs.numpy())


def test_every_stored_tensor_lies_on_the_marks_of_its_own_network(folded, data):
    ranges = folded.ranges(data.x_train)
    for name, value in zip(ranges, folded.tensors(data.x_train, *ranges), strict=True):
        assert value.shape[:2] == (256, 2)
        if not name.endswith("_gate"):
            assert np.array_equal(value.amin(dim=(0, 2, 3, 4)), ranges[name][0])
            assert np.array_equal(value.amax(dim=(0, 2, 3, 4)), ranges[name][1])
    # The logits are the last stored tensor: at most 8 values a network, and they are the nearest to the reals.
    only_logits = {"classify": ranges["classify"]}
    got = folded.quantized(data.x_test, only_logits, weight_bits=None, activation_bits=3, per_channel=True)
    want = folded.forward(data.x_test)
    for k in range(2):
        lo, hi = (end[k] for end in ranges["classify"])
        qp = choose_qparams(lo, hi, grid=Grid(n_bits=3))
        assert np.array_equal(got[:, k].numpy(), fake_quantize(want[:, k].numpy(), qp))


def test_more_bits_are_better_and_none_change_nothing(folded, data):
    ranges, logits = folded.ranges(data.x_train), folded.forward(data.x_test)
    db = [
        sqnr_of_logits(
            logits, folded.quantized(data.x_test, ranges, weight_bits=b, activation_bits=b, per_channel=True)
        )
        for b in (4, 6, 8)
    ]
    assert (db[0] < db[1]).all()
    assert (db[1] < db[2]).all()
    same = folded.quantized(data.x_test, ranges, weight_bits=None, activation_bits=None, per_channel=True)
    assert torch.equal(same, logits)


def test_a_loud_channel_is_the_same_function(folded, data):
    if not folded.stack.design.shortcut:
        with pytest.raises(ValueError, match="no shortcut"):
            folded.with_loud_channel(8.0)
        return
    loud = folded.with_loud_channel(8.0)
    assert torch.equal(loud.forward(data.x_test), folded.forward(data.x_test))
    name = "block3_sum"
    assert (loud.ranges(data.x_test)[name][1] >= folded.ranges(data.x_test)[name][1]).all()
    assert not torch.equal(loud.weights["head"], folded.weights["head"])


def test_dead_filters_are_found_by_their_variance(lite):
    norm = lite.stack.norms["block2_filter"]
    norm.running_var[:] = 1.0
    norm.running_var[[5, 50]] = 0.0
    cleaned, n = lite.without_dead_filters(below=1e-6)
    others = sum(int((lite.stack.norms[f"block{k}_filter"].running_var < 1e-6).sum()) for k in (1, 3))
    assert n == 2 + others
    zero = (cleaned.weights["block2_filter"].abs().amax(dim=(1, 2, 3)) == 0).nonzero().ravel().tolist()
    assert zero == [5, 50]
    assert torch.equal(cleaned.weights["head"], lite.weights["head"])


@pytest.mark.parametrize("name", ["lite", "full", "no shortcut", "norm on input"])
def test_litert_runs_the_same_network(data, name):
    folded = fold_stack(train(DESIGNS[name], data, n_epochs=2, lr=0.01)[0])
    logits = folded.forward(data.x_test)
    rounded = folded.quantized(
        data.x_test, folded.ranges(data.x_train), weight_bits=8, activation_bits=8, per_channel=True
    )
    for k in range(2):
        network = network_of(folded, k)
        x, x_test = (images[:, k, :, :, None].numpy() for images in (data.x_train, data.x_test))
        assert sqnr_db(logits[:, k].numpy(), network.forward(x_test)) > 90
        qnet = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True)
        # Rounded biases move a few codes by a step, and later layers spread that: another error, of the same size.
        ours, theirs = (sqnr_db(network.forward(x_test), z) for z in (rounded[:, k].numpy(), qnet.simulate(x_test)))
        assert abs(ours - theirs) < 2
        assert ours > 25
        codes = qnet.run(x_test, dialect="litert")
        model = to_tflite(qnet, input_shape=x_test.shape)
        x_q = qnet.codes(x_test, dialect="litert")["input"]
        assert np.array_equal(litert.run(model, x_q, kernels="litert"), codes)


def test_percent_right_counts_each_network():
    logits = torch.eye(3)[:, None].repeat(1, 2, 1)
    assert percent_right(logits, torch.tensor([[0, 0], [1, 0], [0, 0]])).round(1).tolist() == [66.7, 33.3]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"activation": "gelu"}, "activation='gelu'; expected 'relu6' or 'swish'"),
        ({"norm": "sum"}, "norm='sum'; expected"),
        ({"norm": "input", "depthwise": False}, "needs depthwise=True"),
    ],
)
def test_a_design_that_cannot_be_built_is_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        Design(**wrong)


def test_errors_say_the_way_out(data, lite):
    with pytest.raises(ValueError, match="256 training images; expected at least batch_size=300"):
        train(DESIGNS["lite"], data, n_epochs=1, lr=0.01, batch_size=300)
    with pytest.raises(ValueError, match="choose a smaller lr"):
        train(DESIGNS["lite"], data, n_epochs=2, lr=1e38)
    swish = fold_stack(Stack(DESIGNS["swish"], seeds=[0]).eval())
    with pytest.raises(ValueError, match="choose a design with ReLU6"):
        network_of(swish, 0)
    for k in (-1, 2):
        with pytest.raises(ValueError, match=f"k={k}; the stack holds networks 0 to 1"):
            network_of(lite, k)
    for factor in (0.0, -2.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"factor={factor}; expected a number above 0"):
            lite.with_loud_channel(factor)
