"""A network's loss in torch, in float64, as a function of the weights: autograd knows its gradients and its Hessian."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from quantlab.lab.network_torch import network_module
from quantlab.mixed.gradients import weight_layers
from quantlab.nn.network import Network, Node


def small_network(seed: int, *, activation: str = "relu6") -> Network:
    """Every operator with a gradient, for images (n, 6, 6, 2).

    The values of a ReLU6 cross both of its kinks, and the logits are so small that no probability is near 0 or 1.
    """
    rng = np.random.default_rng(seed)

    def params(*shape: int, gain: float = 2.0) -> dict[str, np.ndarray]:
        W = rng.normal(size=shape) * gain / np.sqrt(np.prod(shape[1:]))
        return {"W": W.astype(np.float32), "b": rng.normal(size=shape[0]).astype(np.float32)}

    return Network(
        [
            Node("_first.conv", "conv", ("input",), params(4, 3, 3, 2), {"stride": (2, 2)}, activation),
            Node("depthwise", "conv", ("_first.conv",), params(4, 3, 3, 1), {"groups": 4}, activation),
            Node("pointwise", "conv", ("depthwise",), params(4, 1, 1, 4)),
            Node("sum", "add", ("_first.conv", "pointwise"), activation=activation),
            Node("pool", "max_pool", ("sum",), options={"size": (2, 2), "stride": (1, 1)}),
            Node("mean", "mean", ("pool",)),
            Node("hidden", "linear", ("mean",), params(5, 4), activation="relu"),
            Node("fc", "linear", ("hidden",), params(3, 5, gain=0.3)),
        ]
    )


def questions(seed: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Images in float64 and labels."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 6, 6, 2)) * 3, rng.integers(0, 3, n)


def torch_loss(network: Network, x: np.ndarray, labels: np.ndarray) -> tuple[Callable, dict[str, torch.Tensor]]:
    """Return ``loss(weights)`` and the weights, both under the names of the layers."""
    module = network_module(network, shape=x.shape[1:]).double()
    inputs, wanted = torch.from_numpy(x), torch.from_numpy(labels)
    found = {name: value for name, value in module.named_parameters() if name.endswith("weight")}
    keys = dict(zip(weight_layers(network), found, strict=True))

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        swapped = {keys[name]: value for name, value in weights.items()}
        return cross_entropy(torch.func.functional_call(module, swapped, (inputs,)), wanted)

    return loss, {name: found[key].detach() for name, key in keys.items()}


def to_ours(W: torch.Tensor) -> np.ndarray:
    """Return weights of torch's layout (out, in, kh, kw) in ours."""
    return W.numpy().transpose(0, 2, 3, 1) if W.ndim == 4 else W.numpy()


def to_torch(W: np.ndarray) -> torch.Tensor:
    """Return weights of our layout in torch's."""
    return torch.from_numpy(np.ascontiguousarray(W.transpose(0, 3, 1, 2) if W.ndim == 4 else W))
