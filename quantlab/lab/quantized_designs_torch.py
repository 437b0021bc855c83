"""Stacks of trained networks with their weights and activations rounded, as an integer runtime would round them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams, choose_qparams
from quantlab.lab.designs_torch import Stack, Tap, no_tap, run
from quantlab.nn.network import INPUT, Network, Node
from quantlab.ptq.fold import fold_batch_norm

__all__ = ["FoldedStack", "fold_stack", "network_of", "percent_right", "sqnr_of_logits"]

BATCH = 125  # images that are rounded at a time


@dataclass(frozen=True)
class FoldedStack:
    """A stack without batch norms: its convolutions, with what the batch norms did in their weights and biases.

    Attributes
    ----------
    stack : Stack
        Where it came from.
    weights : dict of str to torch.Tensor
        (S * out, in, kh, kw), the networks one after the other.
    biases : dict of str to torch.Tensor
        (S * out,).
    """

    stack: Stack
    weights: Mapping[str, torch.Tensor]
    biases: Mapping[str, torch.Tensor]

    @property
    def n_networks(self) -> int:
        """How many networks the stack holds."""
        return len(self.stack.seeds)

    def forward(
        self,
        x: torch.Tensor,
        *,
        tap: Tap = no_tap,
        weights: Mapping[str, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Return logits (n, S, classes), with other weights if some are given; `tap` as in `designs_torch.run`."""
        weights = self.weights if weights is None else weights

        def layer(name: str, x: torch.Tensor) -> torch.Tensor:
            conv = self.stack.convs[name]
            return F.conv2d(x, weights[name], self.biases[name], conv.stride, conv.padding, groups=conv.groups)

        with torch.no_grad():
            return run(self.stack.design, x, layer=layer, norm=lambda name, value: value, tap=tap)

    def tensors(self, x: torch.Tensor, *names: str) -> list[torch.Tensor]:
        """Return stored tensors on `x` by name, each (n, S, channels, height, width)."""
        found: dict[str, torch.Tensor] = {}

        def keep(name: str, value: torch.Tensor) -> torch.Tensor:
            if name in names:
                found[name] = value.reshape(len(value), self.n_networks, -1, *value.shape[2:])
            return value

        self.forward(x, tap=keep)
        return [found[name] for name in names]

    def ranges(self, x: torch.Tensor) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the smallest and the largest value that every stored tensor takes on `x`, one a network: (S,), (S,).

        A gate's are 0 and 1, whatever it does: runtimes give a sigmoid a fixed range.
        """
        found: dict[str, tuple[np.ndarray, np.ndarray]] = {}

        def note(name: str, value: torch.Tensor) -> torch.Tensor:
            apart = value.reshape(len(value), self.n_networks, -1)
            found[name] = (apart.amin(dim=(0, 2)).numpy(), apart.amax(dim=(0, 2)).numpy())
            if name.endswith("_gate"):
                found[name] = (np.zeros_like(found[name][0]), np.ones_like(found[name][1]))
            return value

        self.forward(x, tap=note)
        return found

    def rounded_weights(self, *, n_bits: int, per_channel: bool) -> dict[str, torch.Tensor]:
        """Return the weights on symmetric grids without the lowest code, a scale an output channel or one a layer."""
        grid, rounded = Grid(n_bits=n_bits, narrow=True), {}
        for name, W in self.weights.items():
            slices = W.reshape(len(W) if per_channel else self.n_networks, -1)
            largest = slices.abs().amax(dim=1).numpy()
            qp = choose_qparams(-largest, largest, grid=grid, symmetric=True, axis=0)
            rounded[name] = _fake_quantize(slices, qp).reshape(W.shape)
        return rounded

    def quantized(
        self,
        x: torch.Tensor,
        ranges: Mapping[str, tuple[np.ndarray, np.ndarray]],
        *,
        weight_bits: int | None,
        activation_bits: int | None,
        per_channel: bool,
    ) -> torch.Tensor:
        """Return the logits (n, S, classes) with weights and activations rounded.

        Everything is computed in float32 on the reals that the integers stand for. Biases are not rounded: an integer
        runtime gives them 32 bits.

        Parameters
        ----------
        x : torch.Tensor, shape (n, S, 14, 14)
        ranges : mapping of str to (lo, hi)
            From `ranges`, of other images. A tensor that is missing here is left in float.
        weight_bits, activation_bits : int or None
            None leaves all of them in float.
        per_channel : bool
            A weight scale for each output channel, or one for each layer. Activations have one for each tensor.
        """
        weights, tap = None, no_tap
        if weight_bits is not None:
            weights = self.rounded_weights(n_bits=weight_bits, per_channel=per_channel)
        if activation_bits is not None:
            grid = Grid(n_bits=activation_bits)
            qps = {name: choose_qparams(lo, hi, grid=grid, axis=0) for name, (lo, hi) in ranges.items()}

            def tap(name: str, value: torch.Tensor) -> torch.Tensor:
                if name not in qps:
                    return value
                n, channels, height, width = value.shape
                apart = value.permute(0, 2, 3, 1).reshape(n, height, width, self.n_networks, -1)
                rounded = _fake_quantize(apart, qps[name]).reshape(n, height, width, channels)
                return rounded.permute(0, 3, 1, 2)

        batches = x.split(BATCH)  # what fits the cache is rounded faster
        return torch.cat([self.forward(batch, tap=tap, weights=weights) for batch in batches])

    def without_dead_filters(self, *, below: float) -> tuple["FoldedStack", int]:
        """Return the stack with 0 for each depthwise filter whose output hardly varied in training, and their number.

        Their batch norm divided by a standard deviation of about 0, so the folded weights are large; and they multiply
        nothing, since the channel that they read is always 0. Only blocks' filters are looked at; biases stay.

        Parameters
        ----------
        below : float
            A filter is dead if the running variance of its output is smaller than this.
        """
        weights, n = dict(self.weights), 0
        for name, norm in self.stack.norms.items():
            if self.stack.design.depthwise and name.endswith("_filter"):
                dead = norm.running_var < below
                weights[name] = torch.where(dead[:, None, None, None], 0.0, weights[name])
                n += int(dead.sum())
        return replace(self, weights=weights), n

    def with_loud_channel(self, factor: float) -> "FoldedStack":
        """Return the same function with the first channel of the stream between blocks made `factor` times as large.

        Who writes the channel multiplies, who reads it divides: exactly, if the factor is a power of two.

        Raises
        ------
        ValueError
            If the design has no shortcut: then there is no stream; or the factor is not above 0 and finite.
        """
        if not self.stack.design.shortcut:
            raise ValueError("the design has no shortcut; only a stream that blocks add to can be rescaled as a whole")
        if not 0 < factor < np.inf:
            raise ValueError(f"factor={factor}; expected a number above 0, best a power of two")
        weights, biases = dict(self.weights), dict(self.biases)
        for name in weights:
            if name.endswith("_project"):  # row 0 of each network
                W, b = weights[name].clone(), biases[name].clone()
                step = len(W) // self.n_networks
                W[::step] *= factor
                b[::step] *= factor
                weights[name], biases[name] = W, b
            elif name == "head" or name.endswith("_expand") or (self.weights[name].shape[1] > 1 and "_filter" in name):
                W = weights[name].clone()
                W[:, 0] /= factor
                weights[name] = W
        return replace(self, weights=weights, biases=biases)


def _fake_quantize(x: torch.Tensor, qp: QParams) -> torch.Tensor:
    """Return x rounded with a scale for each slice along the axis before the last: torch's own formula, in place."""
    scale, zero_point = (torch.from_numpy(v)[:, None] for v in (qp.scale, qp.zero_point))
    low, high = (end - zero_point for end in (qp.grid.quant_min, qp.grid.quant_max))
    q = (x * (1 / scale)).round_()
    return torch.maximum(torch.minimum(q, high, out=q), low, out=q).mul_(scale)


def fold_stack(stack: Stack) -> FoldedStack:
    """Return the stack without batch norms: each is folded into its convolution, on a block's input into the next."""
    weights, biases = {}, {}
    for name, conv in stack.convs.items():
        W = conv.weight.detach().numpy()
        b = np.zeros(len(W), np.float32) if conv.bias is None else conv.bias.detach().numpy()
        if name in stack.norms:
            W, b = fold_batch_norm(W, b, **_parameters(stack.norms[name]))
        block, _, layer = name.partition("_")
        if block in stack.norms and layer == "expand":
            W, b = _fold_input(W, b, stack.norms[block], n_networks=len(stack.seeds))
        weights[name], biases[name] = torch.from_numpy(W), torch.from_numpy(b)
    return FoldedStack(stack, weights, biases)


def _fold_input(W, b, norm, *, n_networks):
    """Fold a batch norm into the 1 x 1 convolution that reads it: W diag(f), b + W (beta - f mean)."""
    p = _parameters(norm)
    factor = p["gamma"] / np.sqrt(p["variance"].astype(np.float64) + p["eps"])
    shift = p["beta"] - factor * p["mean"]
    apart = W.reshape(n_networks, -1, W.shape[1]).astype(np.float64)  # network, output, input
    more = apart @ shift.reshape(n_networks, -1, 1)
    folded = apart * factor.reshape(n_networks, 1, -1)
    return folded.reshape(W.shape).astype(np.float32), (b + more.reshape(-1)).astype(np.float32)


def _parameters(norm: nn.BatchNorm2d) -> dict:
    named = {"gamma": norm.weight, "beta": norm.bias, "mean": norm.running_mean, "variance": norm.running_var}
    return {name: value.detach().numpy() for name, value in named.items()} | {"eps": norm.eps}


def network_of(folded: FoldedStack, k: int) -> Network:
    """Return network number `k` of the stack as nodes for `quantlab.ptq` and LiteRT; images are (n, 14, 14, 1).

    Raises
    ------
    ValueError
        If there is no such network, or the design has swish or squeeze-and-excite, which a `Network` cannot hold.
    """
    stack = folded.stack
    if not 0 <= k < folded.n_networks:
        raise ValueError(f"k={k}; the stack holds networks 0 to {folded.n_networks - 1}")
    if stack.design.activation != "relu6" or stack.design.squeeze:
        raise ValueError(
            f"{stack.design} has operators that a Network lacks; choose a design with ReLU6 and no squeeze"
        )
    nodes, last, stream = [], INPUT, ""
    for name, conv in stack.convs.items():
        step = len(folded.weights[name]) // folded.n_networks
        W = folded.weights[name][k * step : (k + 1) * step].permute(0, 2, 3, 1).numpy()
        params = {"W": np.ascontiguousarray(W), "b": folded.biases[name][k * step : (k + 1) * step].numpy()}
        block, _, layer = name.partition("_")
        if name == "classify":
            nodes.append(Node("mean", "mean", (last,)))
            nodes.append(Node(name, "linear", ("mean",), params | {"W": params["W"][:, 0, 0]}))
            return Network(nodes)
        options = {"stride": conv.stride, "groups": conv.groups // folded.n_networks}
        nodes.append(Node(name, "conv", (last,), params, options, None if layer == "project" else "relu6"))
        last = name
        if layer == "project" and block != "first" and stack.design.shortcut:
            nodes.append(Node(f"{block}_sum", "add", (stream, name)))
            last = f"{block}_sum"
        if layer == "project":
            stream = last
    raise AssertionError("a stack ends with its classifier")


def percent_right(logits: torch.Tensor, labels: torch.Tensor) -> np.ndarray:
    """Return how many percent of the images each network gets right, (S,) float64."""
    return 100 * (logits.argmax(dim=2) == labels).double().mean(dim=0).numpy()


def sqnr_of_logits(logits: torch.Tensor, rounded: torch.Tensor) -> np.ndarray:
    """Return the signal-to-noise ratio of every network's logits in decibels, (S,); infinity where nothing changed."""
    signal, noise = logits.double().square().sum(dim=(0, 2)), (logits - rounded).double().square().sum(dim=(0, 2))
    return (10 * torch.log10(signal / noise)).numpy()
