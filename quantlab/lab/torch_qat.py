"""The steps of lesson 12 as functions: a torch module made ready for quantization-aware training, eager mode.

``torch.ao.quantization`` is deprecated and still the way to int8 kernels that needs no compiler and no graph. Lesson 12
goes through these steps one by one, and does the same with torchao, its successor.
"""

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from quantlab.core.arguments import as_integer

if TYPE_CHECKING:
    from torch import nn
    from torch.ao.quantization import QConfig

__all__ = ["freezing", "prepared", "qat_qconfig"]


def qat_qconfig(n_bits: int) -> "QConfig":
    """Return how to fake-quantize: weights of ``n_bits`` with one scale an output, activations as fbgemm wants them.

    Weights lie on ``1 - 2**(n_bits - 1) .. 2**(n_bits - 1) - 1`` with zero point 0: three values for 2 bits. Converted,
    they are int8 whatever the bits. Activations lie on 0 .. 127, one range a tensor, a moving average over batches.

    Parameters
    ----------
    n_bits : int
        2 to 8.

    Raises
    ------
    TypeError, ValueError
        If n_bits is not an integer from 2 to 8.

    Notes
    -----
    This is torch's default for fbgemm and x86 but for two things.

    The default fake-quantizes weights with a fused kernel, whose scale is ``max(|lo| / 128, |hi| / 127)``, where the
    conversion takes ``max(|lo|, |hi|) / 127.5`` (pytorch issue 88800). What was trained is then not what runs. The
    unfused ``FakeQuantize``, which is used here, has the scale of the conversion.

    The default's grid has one value more, at the lower end. Its scale puts the largest weight of a channel halfway
    between two marks, where the last bit of a float decides. On a symmetric grid it lies on a mark.

    Example
    -------
    >>> weight = qat_qconfig(4).weight()
    >>> weight.quant_min, weight.quant_max
    (-7, 7)
    """
    if not 2 <= as_integer("n_bits", n_bits) <= 8:
        raise ValueError(f"n_bits={n_bits}; expected 2 to 8: int8 kernels hold no more, and one bit has no zero")
    import torch
    from torch.ao import quantization as tq

    weight = tq.FakeQuantize.with_args(
        observer=tq.MovingAveragePerChannelMinMaxObserver,
        quant_min=1 - 2 ** (n_bits - 1),
        quant_max=2 ** (n_bits - 1) - 1,
        dtype=torch.qint8,
        qscheme=torch.per_channel_symmetric,
    )
    return tq.QConfig(activation=tq.get_default_qat_qconfig("fbgemm").activation, weight=weight)


def prepared(net: "nn.Module", names: Sequence[Sequence[str]], *, n_bits: int) -> "nn.Module":
    """Return a copy of ``net`` that fake-quantizes, in training mode; ``net`` is not changed.

    Parameters
    ----------
    net : torch.nn.Module
        With a ``QuantStub`` where float numbers come in and a ``DeQuantStub`` where they go out.
    names : sequence of sequences of str
        Submodules that become one: convolution, batch norm and ReLU, or linear layer and ReLU, in this order.
    n_bits : int
        Of the weights, 2 to 8; see `qat_qconfig`.

    Raises
    ------
    ValueError
        If there is no QuantStub: then convert would leave int8 layers that get float numbers.
    AttributeError
        If there is no submodule of such a name.

    Example
    -------
    >>> import torch, warnings
    >>> from torch.ao.quantization import QuantWrapper
    >>> net = QuantWrapper(torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU()))
    >>> with warnings.catch_warnings(action="ignore"):  # that the API is deprecated
    ...     type(prepared(net, [["module.0", "module.1"]], n_bits=8).module[0]).__name__
    'LinearReLU'
    """
    from torch.ao import quantization as tq

    if not any(isinstance(module, tq.QuantStub) for module in net.modules()):
        raise ValueError(
            "net has no QuantStub: its int8 layers would get float numbers; wrap it into "
            "torch.ao.quantization.QuantWrapper(net), or put a QuantStub and a DeQuantStub into its forward"
        )
    model = copy.deepcopy(net).train()
    if names:
        model = tq.fuse_modules_qat(model, [list(group) for group in names])
    model.qconfig = qat_qconfig(n_bits)
    return tq.prepare_qat(model)


def freezing(model: "nn.Module", *, statistics: int, observers: int) -> Callable[[int], None]:
    """Return a schedule for `quantlab.lab.torch_training.fit`: what stops moving, and before which epoch.

    Parameters
    ----------
    model : torch.nn.Module
        From `prepared`.
    statistics : int
        Before this epoch (from 0) fused batch norms stop to update mean and variance, and begin to use them.
    observers : int
        Before this epoch the ranges, and so the scales, are fixed.

    Example
    -------
    >>> import torch
    >>> schedule = freezing(torch.nn.Linear(2, 2), statistics=3, observers=4)
    >>> schedule(3)
    """
    from torch.ao import quantization as tq
    from torch.ao.nn.intrinsic.qat import freeze_bn_stats

    def before_epoch(epoch: int) -> None:
        if epoch == statistics:
            model.apply(freeze_bn_stats)
        if epoch == observers:
            model.apply(tq.disable_observer)

    return before_epoch
