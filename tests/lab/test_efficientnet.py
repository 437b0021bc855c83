"""EfficientNet-Lite0 in numpy against the PyTorch port with the same weights."""

import numpy as np

from quantlab.lab import data, models
from quantlab.lab.efficientnet import efficientnet_network


def crops():
    photos = data.photographs(["cat", "coffee", "astronaut"])
    return np.concatenate([data.crops(p, n=2, rng=np.random.default_rng(0)) for p in photos.values()])


def test_logits_equal_torch_on_photographs():
    images = crops()
    logits = efficientnet_network().forward(models.efficientnet_input(images))
    want = models.efficientnet_activations(images, layers=["_fc"])["_fc"]
    assert logits.shape == (6, 1000)
    assert logits.dtype == np.float32
    # asked for: 1e-3. Both sum in float32, in other orders, through 51 layers; 1e-5 was seen.
    assert np.abs(logits - want).max() < 1e-4
    assert np.array_equal(logits.argmax(axis=1), want.argmax(axis=1))


def test_every_layer_equals_torch():
    images = crops()[:1]
    network = efficientnet_network()
    layers = ["_conv_stem", "_bn0", "_blocks.2", "_blocks.5._depthwise_conv", "_blocks.11._bn2", "_blocks.14", "_bn1"]
    found = network.activations(models.efficientnet_input(images), names=layers)
    want = models.efficientnet_activations(images, layers=layers)
    for name in layers:
        value = want[name].transpose(0, 2, 3, 1)
        if network[name].activation == "relu6":
            value = np.clip(value, 0, 6)
        assert np.abs(found[name] - value).max() < 1e-5 * max(np.abs(value).max(), 1), name


def test_the_network_is_the_papers():
    network = efficientnet_network()
    assert sum(node.activation == "relu6" for node in network.nodes) == 33  # stem, 15 expansions, 16 depthwise, head
    depthwise = [node for node in network.nodes if node.op == "conv" and node.options["groups"] > 1]
    assert len(depthwise) == 16
    assert sum(node.params["W"].size for node in network.nodes if "W" in node.params) == 4_608_992
