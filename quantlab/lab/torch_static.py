"""Static quantization in torch, in the three steps that it takes: observe, calibrate, convert.

It goes through torch.ao.quantization, which is deprecated in favour of torchao's PT2E, and works in torch 2.13; what it
warns of is muted here, since these lines say it. Under the engine "x86", the default configuration of torch leaves one
of the eight bits of the activations unused; the configurations here do not.
"""

import contextlib
import copy
import dataclasses
import io
import warnings
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from quantlab.lab.network_torch import network_module
from quantlab.nn.network import Network

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["engine", "min_max_config", "saved_bytes", "static_layer", "static_linears", "static_network"]


@contextlib.contextmanager
def engine(name: str) -> Iterator[str]:
    """Let torch make its int8 kernels with this engine, or with the usual one where this machine has no such engine.

    Example
    -------
    >>> import torch
    >>> with engine("onednn") as used:
    ...     used == torch.backends.quantized.engine
    True
    """
    import torch

    usual = torch.backends.quantized.engine
    torch.backends.quantized.engine = name if name in torch.backends.quantized.supported_engines else usual
    try:
        yield torch.backends.quantized.engine
    finally:
        torch.backends.quantized.engine = usual


def min_max_config(*, n_bits: int = 8) -> Any:
    """Return torch's QConfig with min-max ranges: unsigned activations, symmetric int8 weights a channel.

    Example
    -------
    >>> min_max_config(n_bits=7).activation().quant_max
    127
    """
    from torch.ao import quantization as tq

    observer = tq.MinMaxObserver.with_args(quant_min=0, quant_max=2**n_bits - 1)
    return tq.QConfig(activation=observer, weight=tq.default_per_channel_weight_observer)


def static_linears(module: "nn.Module", feeds: Iterable[tuple[np.ndarray, ...]], *, qconfig: Any) -> "nn.Module":
    """Return a copy in which every linear layer is int8, its input quantized in front, its output dequantized behind.

    Parameters
    ----------
    module : torch.nn.Module
        In evaluation mode.
    feeds : iterable of tuples of ndarray
        Arguments of the module: the calibration data.
    qconfig : torch.ao.quantization.QConfig

    Example
    -------
    >>> import torch
    >>> float_module = torch.nn.Sequential(torch.nn.Linear(4, 2)).eval()
    >>> int8_module = static_linears(float_module, [(np.ones((3, 4), np.float32),)], qconfig=min_max_config())
    >>> int8_module[0].module.weight().dtype, float_module[0].weight.dtype
    (torch.qint8, torch.float32)
    """
    import torch
    from torch.ao import quantization as tq

    static = copy.deepcopy(module)
    for parent in list(static.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, torch.nn.Linear):
                wrapped = tq.QuantWrapper(child)
                wrapped.qconfig = qconfig
                setattr(parent, name, wrapped.eval())
    return _calibrated(static, feeds)


def static_layer(layer: "nn.Module", x: "torch.Tensor", *, n_bits: int) -> "nn.Module":
    """Return one layer as int8, calibrated on x: float32 in, float32 out.

    Example
    -------
    >>> import torch
    >>> x = torch.linspace(0, 1, 12).reshape(3, 4)
    >>> static_layer(torch.nn.Linear(4, 2), x, n_bits=8)(x).shape
    torch.Size([3, 2])
    """
    from torch.ao import quantization as tq

    wrapped = tq.QuantWrapper(copy.deepcopy(layer)).eval()
    wrapped.qconfig = min_max_config(n_bits=n_bits)
    return _calibrated(wrapped, [(x.numpy(),)])


def static_network(network: Network, x: np.ndarray) -> "nn.Module":
    """Return a convolutional network as int8, in which ReLU6 costs nothing.

    torch fuses ReLU into the convolution before it, but not ReLU6; and an observer between the two sees values beyond
    6. Here ReLU6 becomes ReLU, and the observer behind it sees, and passes on, values cut at 6: the range ends there,
    and the quantizer clips what is beyond, as ReLU6 did.

    Parameters
    ----------
    network : Network
        Without batch norms, see `quantlab.ptq.fold`.
    x : ndarray of float32, shape (n, height, width, channels)
        Calibration images.
    """
    import torch
    from torch.ao import quantization as tq
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    class UpTo6(tq.MinMaxObserver):
        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return super().forward(values.clamp(max=6))

    relu = Network([dataclasses.replace(node, activation=node.activation and "relu") for node in network.nodes])
    usual = min_max_config()
    mapping = tq.QConfigMapping().set_global(usual)
    for name in (node.name.strip("_").replace(".", "_") for node in network.nodes if node.activation == "relu6"):
        for part in (name, f"{name}.1", f"{name}_relu"):  # .1: a convolution behind its padding
            mapping.set_module_name(part, tq.QConfig(activation=UpTo6, weight=usual.weight))
    images = torch.from_numpy(x)
    with quiet(), torch.no_grad():
        prepared = prepare_fx(network_module(relu, shape=x.shape[1:]), mapping, (images[:1],))
        prepared(images)
        return convert_fx(prepared)


def saved_bytes(module: "nn.Module") -> int:
    """Return the size of the file that ``torch.save(module.state_dict(), file)`` writes.

    Example
    -------
    >>> import torch
    >>> 4_000_000 < saved_bytes(torch.nn.Linear(1000, 1000)) < 4_010_000
    True
    """
    import torch

    buffer = io.BytesIO()
    torch.save(module.state_dict(), buffer)
    return buffer.tell()


def _calibrated(module: "nn.Module", feeds: Iterable[tuple[np.ndarray, ...]]) -> "nn.Module":
    """Return the module with int8 layers, after it has seen the feeds."""
    import torch
    from torch.ao import quantization as tq

    with quiet(), torch.no_grad():
        tq.prepare(module, inplace=True)
        for feed in feeds:
            module(*map(torch.from_numpy, feed))
        return tq.convert(module, inplace=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Mute that torch.ao is deprecated, and that an observer narrows its range because the configuration says so."""
    with warnings.catch_warnings(action="ignore", category=UserWarning), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.ao.quantization is deprecated", DeprecationWarning)
        yield
