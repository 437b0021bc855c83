"""Torch modules as networks: the same numbers for what newcomers write, clear words for what a network has not."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao import quantization as tq

from quantlab.lab.network_from_torch import network_from_torch
from quantlab.ptq.fold import fold

pytestmark = pytest.mark.filterwarnings("ignore:(?s).*deprecated")


class Bottleneck(nn.Module):
    """As torchvision writes it: the same ReLU after the sum, a shortcut that shrinks."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, groups=2)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Conv2d(n_in, n_out, 1, stride=stride)

    def forward(self, x):
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += self.shortcut(x)
        return self.relu(out)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, padding="same")
        self.pool = nn.MaxPool2d(3, stride=2, padding=1)
        self.block1, self.block2 = Bottleneck(8, 8, 1), Bottleneck(8, 12, 2)
        self.fc = nn.Linear(12, 4)

    def forward(self, x):
        x = self.pool(torch.nn.functional.relu6(self.stem(x)))
        x = self.block2(self.block1(x))
        return self.fc(x.mean((2, 3)))


class PreActivation(nn.Module):
    """The ReLU and the shortcut read the same tensor."""

    def __init__(self):
        super().__init__()
        self.norm, self.conv, self.sum = nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1), nn.quantized.FloatFunctional()
        self.quant, self.dequant = tq.QuantStub(), tq.DeQuantStub()

    def forward(self, x):
        x = self.norm(self.quant(x))
        x = self.sum.add(x, self.conv(torch.relu(x)))
        return self.dequant(torch.flatten(nn.functional.relu(x).mean(dim=(2, 3)), 1))


def cnn():
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=(2, 1)),
        nn.ReLU6(),
        nn.AvgPool2d(2),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(6 * 2 * 4, 9),
        nn.ReLU(),
        nn.Linear(9, 4),
    )


def pooled():
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Identity(), nn.Linear(4, 3)]
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.BatchNorm2d(4, affine=False), nn.ReLU(), *head)


def randomized(net):
    torch.manual_seed(1)
    with torch.no_grad():
        for part in net.modules():
            if isinstance(part, nn.BatchNorm2d):
                for values in (part.weight, part.bias, part.running_mean, part.running_var):
                    if values is not None:
                        values.uniform_(0.5, 1.5)
    return net.eval()


@pytest.mark.parametrize("make", [Net, PreActivation, cnn, pooled])
def test_the_same_numbers(make):
    net, x = randomized(make()), torch.rand(7, 3, 10, 10) * 4 - 1
    network = network_from_torch(net, x)
    with torch.no_grad():
        want = net(x).numpy()
    x = np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy())
    for each in (network, fold(network)):
        # Three to seven layers, sums of at most 200 products: 1e-5 relative would already be a wrong weight
        assert np.abs(each.forward(x) - want).max() < 3e-6 * max(1, np.abs(want).max())
    assert {node.op for node in fold(network).nodes} & {"batch_norm"} == (
        {"batch_norm"} if make is PreActivation else set()
    )


def test_a_sum_of_one_tensor_with_itself():
    net, x = Doubled().eval(), torch.rand(2, 3, 5, 5)
    with torch.no_grad():
        want = net(x).numpy()
    got = network_from_torch(net, x).forward(np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy()))
    assert np.abs(got - want).max() < 3e-6


def test_rows():
    net, x = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 2, bias=False)).eval(), torch.rand(3, 5)
    network = network_from_torch(net, x)
    assert [(node.name, node.activation) for node in network.nodes] == [("0", "relu"), ("2", None)]
    with torch.no_grad():
        # At most 3 layers of 5 products and 5 additions, below 2: 30 roundings of at most 2**-24, in the mean of their
        # squares 30**0.5 * 2**-24 = 3e-7, and the same for the other order.
        assert np.abs(network.forward(x.numpy()) - net(x).numpy()).max() < 1e-6


def test_names_and_padding():
    network = network_from_torch(randomized(Net()), torch.rand(1, 3, 10, 10))
    names = ["stem", "pool", "block1.conv1", "block1.bn1", "block1.conv2", "block1.bn2", "block1.shortcut"]
    assert [node.name for node in network.nodes][:7] == names
    assert network["block1.conv1"].options["padding"] == "same"
    assert network["block2.conv1"].options["padding"] == ((1, 1), (1, 1))  # TensorFlow's "same" pads one end alone
    assert network["block1.shortcut"].options["padding"] == "valid"


class Doubled(nn.Module):
    """A sum of a tensor with itself, which the graph lists as one input."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        x = self.conv(x)
        return (x + x).mean((2, 3))


class Call(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function, self.fc = function, nn.Linear(4, 4)

    def forward(self, x):
        return self.function(self.fc(x))


REFUSED = [
    (nn.Conv2d(3, 3, 3, dilation=2), r"'_0' \(0\): expected dilation 1; a network has nothing else"),
    (nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect"), "expected padding with zeros"),
    (nn.ConvTranspose2d(3, 3, 3), r"module '0' is ConvTranspose2d\(3, 3"),
    (nn.Sigmoid(), "module '0' is Sigmoid"),
    (nn.MaxPool2d(2, ceil_mode=True), "expected sizes rounded down"),
    (nn.AvgPool2d(3, padding=1), "expected padding not counted"),
    (nn.AdaptiveAvgPool2d(2), "module '0' is AdaptiveAvgPool2d"),
    (nn.BatchNorm2d(3, track_running_stats=False), "expected running statistics"),
    (nn.Flatten(2), "expected from axis 1 to the last"),
    (nn.Flatten(), "returns the flattened image '0', whose order is another here"),
    (nn.Linear(10, 3), "expected rows of features"),
    (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 3, 1)), r"\(0.1\): expected a batch of images"),
]


@pytest.mark.parametrize(("layer", "says"), REFUSED, ids=[type(layer).__name__ for layer, _ in REFUSED])
def test_layers_that_a_network_does_not_have(layer, says):
    with pytest.raises(ValueError, match=says):
        network_from_torch(nn.Sequential(layer).eval(), torch.rand(1, 3, 10, 10))


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: x * 2, r"'mul' calls mul\(fc, 2\); a network has sums, ReLU"),
        (lambda x: x + 1, "'add' calls add"),
        (torch.sigmoid, "'sigmoid' calls sigmoid"),
        (lambda x: (x, x), r"returns \(fc, fc\); a network returns one tensor"),
        (lambda x: None, "returns None; a network returns one tensor"),
        (lambda x: x.mean(1), "'mean' calls mean"),
    ],
)
def test_calls_that_a_network_does_not_have(function, says):
    with pytest.raises(ValueError, match=says):
        network_from_torch(Call(function).eval(), torch.rand(3, 4))


class Two(nn.Module):
    """Two layers of the same input, and a choice of what to do with them."""

    def __init__(self, function, n_out=4):
        super().__init__()
        self.function, self.a, self.b = function, nn.Linear(4, 4), nn.Linear(4, n_out)

    def forward(self, x):
        return self.function(self.a, self.b, x)


class TwoInputs(nn.Module):
    def forward(self, x, y):
        return x + y


def first_of_two(a, b, x):
    kept = a(x)
    b(x)
    return kept


@pytest.mark.parametrize(
    ("module", "says"),
    [
        (Two(first_of_two), "the module returns 'a', which is not what it computes last"),
        (Two(lambda a, b, x: a(x) + b(x), n_out=1), "expected two tensors of one shape"),
        (Two(lambda a, b, x: x), "the module returns 'input', which is not what it computes last"),
    ],
)
def test_what_a_list_of_nodes_cannot_say(module, says):
    with pytest.raises(ValueError, match=says):
        network_from_torch(module.eval(), torch.rand(3, 4))


def test_a_second_input():
    with pytest.raises(ValueError, match="takes 2 inputs, x, y; a network takes one"):
        network_from_torch(TwoInputs().eval(), torch.rand(3, 4))


def test_a_layer_that_is_called_twice_is_two_nodes():
    net, x = Two(lambda a, b, x: b(a(a(x)))).eval(), torch.rand(3, 4)
    network = network_from_torch(net, x)
    assert [node.name for node in network.nodes] == ["a", "a_1", "b"]
    with torch.no_grad():
        # At most 3 layers of 5 products and 5 additions, below 2: 30 roundings of at most 2**-24, in the mean of their
        # squares 30**0.5 * 2**-24 = 3e-7, and the same for the other order.
        assert np.abs(network.forward(x.numpy()) - net(x).numpy()).max() < 1e-6


def test_training_mode():
    with pytest.raises(ValueError, match=r"training mode; call module\.eval\(\) first"):
        network_from_torch(cnn(), torch.rand(1, 3, 10, 10))
