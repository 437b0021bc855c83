"""As a newcomer would: networks of one's own through lesson 12's recipe and through lesson 15's allocator."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao import quantization as tq

from quantlab.lab import data, litert
from quantlab.lab.litert_export import to_tflite
from quantlab.lab.network_from_torch import network_from_torch
from quantlab.lab.torch_mixed import compare_nodes, mixed_module
from quantlab.lab.torch_qat import freezing, prepared
from quantlab.lab.torch_quantized import compare_layers, weights_in_use
from quantlab.lab.torch_static import engine
from quantlab.lab.torch_training import count_right, digit_tensors, fit
from quantlab.mixed.allocate import allocate_brute_force, allocate_integer, allocate_uniform
from quantlab.mixed.precision import BITS, mixed_network, store_weights, weight_sizes
from quantlab.mixed.sensitivity import changed_logits, sensitivities
from quantlab.ptq.calibrate import calibrate
from quantlab.ptq.fold import fold
from quantlab.ptq.quantize import quantize_network

pytestmark = pytest.mark.filterwarnings("ignore:(?s).*(deprecated|reduce_range)")


class Block(nn.Module):
    """A residual block with a batch norm; the sum is a module, as lesson 12 asks for."""

    def __init__(self, n):
        super().__init__()
        self.conv, self.norm, self.relu = nn.Conv2d(n, n, 3, padding=1, bias=False), nn.BatchNorm2d(n), nn.ReLU()
        self.sum = nn.quantized.FloatFunctional()

    def forward(self, x):
        return self.sum.add(x, self.relu(self.norm(self.conv(x))))


class SmallResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.BatchNorm2d(12), nn.ReLU())
        self.block1, self.block2 = Block(12), Block(12)
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(12 * 16, 10))

    def forward(self, x):
        return self.head(self.block2(self.block1(self.stem(x))))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.flatten, self.hidden, self.relu = nn.Flatten(), nn.Linear(64, 48), nn.ReLU()
        self.middle, self.out = nn.Linear(48, 24), nn.Linear(24, 10)

    def forward(self, x):
        return self.out(torch.relu(self.middle(self.relu(self.hidden(self.flatten(x))))))


RESNET_NAMES = [[f"module.stem.{i}" for i in range(3)]]
RESNET_NAMES += [[f"module.block{k}.{part}" for part in ("conv", "norm", "relu")] for k in (1, 2)]


@pytest.fixture(scope="module")
def digits():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with engine("fbgemm"):
        yield digit_tensors(data.digits(seed=0))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module", params=[MLP, SmallResNet])
def net(request, digits):
    torch.manual_seed(0)
    net = request.param()
    fit(net, digits[0], digits[1], n_epochs=8, lr=3e-3, seed=0)
    return net.eval()


def images(x):
    return np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy())


def test_lesson_12(net, digits):
    """Fake-quantized training at 4 bits, int8 kernels, no code that quantlab does not find too."""
    x, y, x_test, y_test = digits
    names = (
        RESNET_NAMES if isinstance(net, SmallResNet) else [["module.hidden", "module.relu"]]
    )  # the other is a function
    qat = prepared(tq.QuantWrapper(net), names, n_bits=4)
    fit(qat, x, y, n_epochs=4, lr=1e-3, seed=1, before_epoch=freezing(qat, statistics=2, observers=3))
    qat.eval()
    levels = [max(len(np.unique(row)) for row in W.reshape(len(W), -1)) for W in weights_in_use(qat, x_test)]
    assert max(levels) <= 2**4
    counts = compare_layers(tq.convert(qat), x_test)
    assert len(counts) == len(levels)
    assert {wrong for _, wrong in counts.values()} == {0}
    # of 450 digits; two standard deviations of a difference of such counts are below 15
    float_right, int8_right = count_right(net, x_test, y_test), count_right(tq.convert(qat), x_test, y_test)
    assert float_right > 405
    assert int8_right > float_right - 15


def test_lesson_15(net, digits):
    """From torch to a network, folded; its tables; bits; and what they do to unseen digits."""
    x, _, x_test, y_test = digits
    network = network_from_torch(net, x)
    with torch.no_grad():
        # Values below 15 round by 15 * 2**-25 = 4.5e-7. A sum of at most 192 products rounds 384 times, 20 times that
        # as a root of squares; four layers, in two orders, are sqrt(8) of it: 2.5e-5.
        assert np.abs(network.forward(images(x_test)) - net(x_test).numpy()).max() < 3e-5
    network = fold(network)
    sizes = weight_sizes(network)
    layers = [node.name for node in network.nodes if "W" in node.params]
    assert layers == [name for name, part in net.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    changes = [(name, store_weights(network[name].params["W"], n_bits=n)) for name in layers for n in BITS]
    logits, moved = changed_logits(network, images(x[:200]), changes=changes)
    losses = np.reshape([np.mean((z - logits) ** 2) for z in moved], sizes.shape)
    assert (np.diff(losses, axis=1) < 0).all()  # more bits, less loss
    budget = int(1.5 * sizes[:, 1].sum())  # half as much again as int8
    found = allocate_integer(sizes, losses, budget=budget)
    assert found.cost <= budget
    # the same few losses, summed in another order in float64
    assert found.loss == pytest.approx(allocate_brute_force(sizes, losses, budget=budget).loss, rel=1e-9)
    assert found.loss < allocate_uniform(sizes, losses, budget=budget).loss
    bits = {name: BITS[choice] for name, choice in zip(layers, found.choices, strict=True)}
    mixed = mixed_network(network, bits)
    right = [(each.forward(images(x_test)).argmax(axis=1) == y_test.numpy()).sum() for each in (network, mixed)]
    assert right[0] == count_right(net, x_test, y_test) > 405
    assert right[1] >= right[0] - 10
    ranking = {s.name: s.sqnr_db for s in sensitivities(network, images(x[:200]), n_bits=[4], per_channel=True)}
    assert set(ranking) == set(layers)


def test_the_tools_run_what_was_chosen(net, digits):
    """The most sensitive layer in float32, the others int8: LiteRT runs the file, torch its int8 kernels."""
    x, _, x_test, _ = digits
    network = fold(network_from_torch(net, x))
    found = sensitivities(network, images(x[:200]), n_bits=[8], per_channel=True)
    worst = min(found, key=lambda s: s.sqnr_db).name
    mixed = mixed_module(net, x[:200], keep_float=[worst])
    compared = compare_nodes(mixed, x_test)
    assert compared[worst].kind == "float32"
    assert sum(each.kind == "int8" for each in compared.values()) >= 2
    assert {each.wrong for each in compared.values()} == {0}
    if isinstance(net, MLP):  # the ResNet's stride of 2 pads both ends, which a .tflite operator cannot
        observers = calibrate(network, images(x[:200]))
        qnet = quantize_network(network, observers, weight_bits=8, per_channel=True, keep_float=[worst])
        file = to_tflite(qnet, input_shape=(450, 8, 8, 1))
        codes = qnet.codes(images(x_test), dialect="litert")
        theirs = litert.run(file, codes["input"], kernels="litert")
        differ = np.abs(codes[network.nodes[-1].name].astype(float) - theirs)
        # codes to the bit, but for one in a thousand behind a float layer; reals to rounding
        assert (differ > 1e-4).mean() < 1e-3
