"""A torch module with a configuration for each submodule: int8 kernels for some layers, float32 for others.

`torch.fx` traces the module, and torch puts quantization where int8 begins and dequantization where it ends. What comes
out is a graph, and quantlab computes it node by node. The API, ``torch.ao.quantization.quantize_fx``, is deprecated
like all of ``torch.ao.quantization``.
"""

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.ao.nn.intrinsic as fused_float
import torch.ao.nn.quantized as plain
from torch import nn
from torch.fx import GraphModule, Interpreter, Node

from quantlab.core.affine import dequantize, quantize
from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.lab.torch_quantized import codes_of, layer_codes, qparams_of
from quantlab.lab.torch_static import min_max_config, quiet
from quantlab.lab.torch_sums import sum_codes
from quantlab.nn.conv import conv2d

if TYPE_CHECKING:
    from torch.ao.quantization import QConfig

__all__ = ["Compared", "compare_nodes", "mixed_module", "run_by_quantlab"]

FLOAT_LAYERS = (nn.Linear, nn.Conv2d)
INT8_LAYERS = (plain.Linear, plain.Conv2d)
FUSED = (fused_float.LinearReLU, fused_float.ConvReLU2d)
# What moves, selects or clips values, and rounds none of them: torch may do it.
MOVES = (nn.Flatten, nn.MaxPool2d, nn.Identity, nn.Dropout, nn.ReLU, nn.ReLU6, nn.ZeroPad2d)
MOVED = ("permute", "reshape", "view", "flatten", torch.flatten, torch.relu, nn.functional.relu)


class Compared(NamedTuple):
    """One node: its kind, how many values were compared, how many are wrong, and the largest difference.

    A code is wrong if it is another one, a real if it is farther away than rounding in float32 explains.
    """

    kind: str
    n: int
    wrong: int
    largest: float


def mixed_module(
    module: nn.Module, x: torch.Tensor, *, keep_float: Iterable[str], qconfig: "QConfig | None" = None
) -> GraphModule:
    """Return an int8 copy of a module in which some submodules stay in float32; ``module`` is not changed.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode; batch norms are folded. `torch.fx` must be able to trace it.
    x : torch.Tensor of float32
        Calibration data.
    keep_float : iterable of str
        Names of linear layers and convolutions, as ``module.named_modules()`` gives them.
    qconfig : torch.ao.quantization.QConfig, optional
        Of all other layers. By default min-max ranges, activations 0 to 127, which saturate on no CPU, and int8 weights
        with a scale an output channel.

    Raises
    ------
    TypeError
        If ``keep_float`` is one string, not a list of them.
    ValueError
        If a name is none of a linear layer or a convolution, the module is in training mode, or there are no
        calibration data.

    Example
    -------
    >>> _ = torch.manual_seed(0)
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    >>> mixed = mixed_module(net, torch.rand(8, 4), keep_float=["2"])
    >>> [(name, found.kind, found.wrong) for name, found in compare_nodes(mixed, torch.rand(5, 4)).items()]
    [('quantize_per_tensor', 'quantize', 0), ('0', 'int8', 0), ('dequantize_1', 'dequantize', 0), ('2', 'float32', 0)]
    """
    from torch.ao import quantization as tq
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    if module.training:
        raise ValueError("module is in training mode; call module.eval() first: batch norms are folded")
    if not len(x):
        raise ValueError("x holds no samples; ranges of activations need some calibration data")
    if isinstance(keep_float, str):
        raise TypeError(f"keep_float={keep_float!r}; expected a list of names")
    layers = [name for name, part in module.named_modules() if isinstance(part, FLOAT_LAYERS)]
    kept = list(keep_float)
    if unknown := sorted(set(kept) - set(layers)):
        known = ", ".join(layers) or "none"
        raise ValueError(f"keep_float names {unknown}; the linear layers and convolutions are {known}")
    mapping = tq.QConfigMapping().set_global(qconfig or min_max_config(n_bits=7))
    for name in kept:
        mapping.set_module_name(name, None)
    with quiet(), torch.no_grad():
        prepared = prepare_fx(copy.deepcopy(module), mapping, (x[:1],))  # it leaves its configuration in what it gets
        prepared(x)
        return convert_fx(prepared)


def run_by_quantlab(model: GraphModule, x: torch.Tensor) -> np.ndarray:
    """Return what a converted model computes for ``x``, every rounding done by quantlab and none by torch.

    Only operators that move, select or clip values are left to torch.

    Raises
    ------
    ValueError
        If the graph holds an operator that quantlab has no rule for.
    """

    class Ours(Interpreter):
        def run_node(self, n: Node) -> Any:
            ours = _compute(self, n)
            return super().run_node(n) if ours is None else ours.value

    with torch.no_grad(), quiet():
        return Ours(model).run(x).numpy()


def compare_nodes(model: GraphModule, x: torch.Tensor) -> dict[str, Compared]:
    """Run a converted model on ``x``; compare each node that rounds with quantlab, on the input that torch made for it.

    Returns
    -------
    dict of str to Compared
        By the name of the layer, or of the node if it is none, in the order of execution.

    Raises
    ------
    ValueError
        If the graph holds an operator that quantlab has no rule for.
    """
    found = {}

    class Both(Interpreter):
        def run_node(self, n: Node) -> Any:
            theirs, ours = super().run_node(n), _compute(self, n)
            if ours is not None:
                name = n.target if n.op == "call_module" else n.name
                found[name] = _compared(ours, theirs)
            return theirs

    with torch.no_grad(), quiet():
        Both(model).run(x)
    return found


class _Result(NamedTuple):
    kind: str
    value: torch.Tensor
    bound: np.ndarray | float = 0.0  # how far two ways to sum in float32 may lie apart


def _compared(ours: _Result, theirs: torch.Tensor) -> Compared:
    if theirs.is_quantized:
        distance = np.abs(codes_of(ours.value).astype(int) - codes_of(theirs))
    else:
        distance = np.abs(ours.value.numpy() - theirs.numpy())
    return Compared(ours.kind, distance.size, int((distance > ours.bound).sum()), float(distance.max()))


def _compute(run: Interpreter, node: Node) -> _Result | None:
    """Return quantlab's result for a node of the graph, or None if the node rounds nothing."""
    if node.op in ("placeholder", "get_attr", "output"):
        return None
    args, _ = run.fetch_args_kwargs_from_env(node)
    if node.op == "call_module":
        return _module(run.fetch_attr(node.target), *args)
    if node.target is torch.quantize_per_tensor:
        x, scale, zero_point, dtype = args
        grid = Grid(n_bits=8, signed=dtype == torch.qint8)
        qp = QParams(scale=float(scale), zero_point=int(zero_point), grid=grid)
        return _Result("quantize", _tensor(quantize(x.numpy(), qp, dialect="torch_native"), qp))
    if node.target == "dequantize":
        return _Result("dequantize", torch.from_numpy(dequantize(codes_of(args[0]), qparams_of(args[0]))))
    if node.target in (torch.ops.quantized.add, torch.ops.quantized.add_relu):
        a, b, scale, zero_point = args
        qp = QParams(scale=float(scale), zero_point=int(zero_point), grid=qparams_of(a).grid)
        relu = node.target is torch.ops.quantized.add_relu
        return _Result("int8", _tensor(sum_codes(a, b, y_qp=qp, relu=relu), qp))
    if node.target in MOVED:
        return None
    raise ValueError(f"node {node.name!r} calls {node.target}, for which quantlab has no rule of torch's rounding")


def _module(layer: nn.Module, x: torch.Tensor) -> _Result | None:
    if isinstance(layer, INT8_LAYERS):
        qp = QParams(scale=layer.scale, zero_point=layer.zero_point, grid=Grid(n_bits=8, signed=False))
        return _Result("int8", _tensor(layer_codes(layer, x), qp))
    if isinstance(layer, FUSED):
        result = _float_layer(layer[0], x.numpy())
        return result._replace(value=result.value.relu())
    if isinstance(layer, FLOAT_LAYERS):
        return _float_layer(layer, x.numpy())
    if isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1)):
        return _mean(x)
    if isinstance(layer, MOVES):
        return None
    raise ValueError(f"layer {type(layer).__name__}: quantlab has no rule of torch's rounding for it")


def _float_layer(layer: nn.Module, x: np.ndarray) -> _Result:
    r"""Return the float32 output, and how far another order of summation may lead.

    A float32 sum of n products is within :math:`n 2^{-24} \sum |w x|` of the reals, to first order. So are both.
    """
    W = layer.weight.detach().numpy()
    b = np.zeros(len(W), np.float32) if layer.bias is None else layer.bias.detach().numpy()
    n = W[0].size + 1
    y, size = _affine(layer, x, W, b), _affine(layer, np.abs(x), np.abs(W), np.abs(b))
    return _Result("float32", torch.from_numpy(y), n * 2.0**-23 * size)


def _mean(x: torch.Tensor) -> _Result:
    """Return the mean over the image: of codes with their zero points, ties to even, on the scale of the input."""
    if not x.is_quantized:
        values, n = x.numpy(), x.shape[2] * x.shape[3]
        bound = n * 2.0**-23 * np.abs(values).mean(axis=(2, 3), keepdims=True)
        return _Result("float32", torch.from_numpy(values.mean(axis=(2, 3), keepdims=True)), bound)
    codes = codes_of(x)
    mean = np.rint(codes.mean(axis=(2, 3), keepdims=True, dtype=np.float64))
    return _Result("int8", _tensor(mean.astype(codes.dtype), qparams_of(x)))


def _affine(layer: nn.Module, x: np.ndarray, W: np.ndarray, b: np.ndarray) -> np.ndarray:
    if isinstance(layer, nn.Linear):
        return x @ W.T + b
    if layer.padding_mode != "zeros" or isinstance(layer.padding, str) or set(layer.dilation) != {1}:
        raise ValueError(f"{layer}: expected padding with zeros, given as numbers, and no dilation")
    x, W = (np.ascontiguousarray(v.transpose(0, 2, 3, 1)) for v in (x, W))
    pads = tuple((p, p) for p in layer.padding)
    y = conv2d(x, W, b, stride=tuple(layer.stride), padding=pads, groups=layer.groups)
    return np.ascontiguousarray(y.transpose(0, 3, 1, 2))


def _tensor(codes: np.ndarray, qp: QParams) -> torch.Tensor:
    """Return codes as a quantized tensor of torch."""
    codes = torch.from_numpy(np.ascontiguousarray(codes))
    return torch._make_per_tensor_quantized_tensor(codes, float(qp.scale), int(qp.zero_point))
