"""A look into torch modules that quantize: which weights reach a kernel, and what quantlab makes of the same integers.

torch is imported when a function is called. The arithmetic of the converted layers is ``dialect="torch"`` of
`quantlab.integer`; it was measured on the engine fbgemm. The engine x86 runs fbgemm's linear layers too, but hands
convolutions to oneDNN on CPUs with VNNI, whose last bit differs about once in 300,000 outputs.
"""

from typing import TYPE_CHECKING

import numpy as np

from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.integer.ops import conv2d, fully_connected

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["codes_of", "compare_layers", "layer_codes", "qparams_of", "weights_in_use"]


def weights_in_use(model: "nn.Module", x: "torch.Tensor") -> list[np.ndarray]:
    """Return the weights that arrive at the convolutions and matrix products while ``model`` runs on ``x``.

    They are taken from the calls that torch dispatches, not from attributes: what a layer's configuration promises does
    not matter. A layer that fake-quantizes its weights shows at most ``2**n_bits`` values an output channel; a layer
    that is only observed shows its float weights.

    Parameters
    ----------
    model : torch.nn.Module
        A float or a prepared model, eager or exported. (A converted one computes with packed weights.) It is run as it
        stands, without gradients; observers that are switched on do learn from ``x``.
    x : torch.Tensor

    Returns
    -------
    list of ndarray of float32, shape (out, ...)
        In the order of execution. A product of two activations, as in attention, is listed too.

    Example
    -------
    >>> import torch
    >>> layers = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Flatten(), torch.nn.Linear(16, 2))
    >>> [w.shape for w in weights_in_use(layers, torch.zeros(1, 1, 4, 4))]
    [(4, 1, 3, 3), (2, 16)]
    """
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    found = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func.overloadpacket.__name__
            if name == "convolution":
                found.append(args[1].detach().clone().numpy())
            elif name in ("addmm", "mm"):  # bias, x, W.T or x, W.T
                found.append(args[2 if name == "addmm" else 1].detach().t().clone().numpy())
            elif name == "linear":
                found.append(args[1].detach().clone().numpy())
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Watch():
        model(x)
    return found


def codes_of(tensor: "torch.Tensor") -> np.ndarray:
    """Return the integers of a quantized tensor of torch, with its axes as they are.

    Raises
    ------
    TypeError
        If the tensor is not quantized.

    Example
    -------
    >>> import torch, warnings
    >>> with warnings.catch_warnings(action="ignore"):  # torch will give up its quantized tensors
    ...     codes_of(torch.quantize_per_tensor(torch.tensor([0.5, 1.0]), scale=0.5, zero_point=3, dtype=torch.quint8))
    array([4, 5], dtype=uint8)
    """
    if not tensor.is_quantized:
        raise TypeError(f"tensor.dtype={tensor.dtype}; expected torch.quint8 or torch.qint8, a quantized tensor")
    return tensor.int_repr().numpy()


def qparams_of(tensor: "torch.Tensor") -> QParams:
    """Return scale, zero point and grid of a quantized tensor of torch.

    Raises
    ------
    TypeError
        If the tensor is not quantized, or of 32 bits.

    Notes
    -----
    torch keeps scales as float64; its kernels use them as float32, as `QParams` does. The grid is that of the dtype:
    a tensor of torch does not know that its activations stop at 127, as they do when prepared for fbgemm.

    Example
    -------
    >>> import torch, warnings
    >>> with warnings.catch_warnings(action="ignore"):  # torch will give up its quantized tensors
    ...     x = torch.quantize_per_tensor(torch.tensor([0.5, 1.0]), scale=0.5, zero_point=3, dtype=torch.quint8)
    >>> int(qparams_of(x).zero_point), qparams_of(x).grid
    (3, Grid(n_bits=8, signed=False, narrow=False))
    """
    import torch

    codes_of(tensor)
    signed = {torch.qint8: True, torch.quint8: False}
    if tensor.dtype not in signed:
        raise TypeError(f"tensor.dtype={tensor.dtype}; expected torch.quint8 or torch.qint8, of 8 bits")
    grid = Grid(n_bits=8, signed=signed[tensor.dtype])
    if tensor.qscheme() == torch.per_tensor_affine:
        return QParams(scale=tensor.q_scale(), zero_point=tensor.q_zero_point(), grid=grid)
    scale, zero_point = tensor.q_per_channel_scales().numpy(), tensor.q_per_channel_zero_points().numpy()
    return QParams(scale=scale, zero_point=zero_point, grid=grid, axis=tensor.q_per_channel_axis())


def layer_codes(layer: "nn.Module", x: "torch.Tensor") -> np.ndarray:
    """Return what a converted layer of torch should put out for ``x``, computed by quantlab on integers alone.

    Parameters
    ----------
    layer : torch.nn.Module
        ``Linear`` or ``Conv2d`` of ``torch.ao.nn.quantized``, or one of these with a ReLU in it
        (``torch.ao.nn.intrinsic.quantized``).
    x : torch.Tensor of quint8
        (..., in) or (n, channels, height, width).

    Returns
    -------
    ndarray of uint8
        Laid out as torch's output: channels follow the samples.

    Raises
    ------
    TypeError
        If the layer is none of these, or ``x`` is not quantized.
    ValueError
        If a convolution's padding is not with zeros.

    Notes
    -----
    Equal to torch to the bit on fbgemm. Activations of 8 full bits may saturate inside fbgemm on CPUs without VNNI, and
    then are not: torch's own settings for fbgemm and x86 stop at 127 for that reason.
    """
    import torch.ao.nn.intrinsic.quantized as fused
    import torch.ao.nn.quantized as plain

    linears, convs = (plain.Linear, fused.LinearReLU), (plain.Conv2d, fused.ConvReLU2d)
    if not isinstance(layer, (*linears, *convs)):
        raise TypeError(f"layer is {type(layer).__name__}; expected a converted Linear or Conv2d, with or without ReLU")
    w, bias = layer.weight(), layer.bias()
    y_qp = QParams(scale=layer.scale, zero_point=layer.zero_point, grid=Grid(n_bits=8, signed=False))
    shared = {"x_qp": qparams_of(x), "w_qp": qparams_of(w), "y_qp": y_qp, "dialect": "torch"}
    shared["activation"] = "relu" if isinstance(layer, (fused.LinearReLU, fused.ConvReLU2d)) else None
    b = None if bias is None else bias.detach().numpy()
    if isinstance(layer, linears):
        return fully_connected(codes_of(x), codes_of(w), b, **shared)
    return _conv_codes(layer, codes_of(x), codes_of(w), b, shared)


def _conv_codes(layer: "nn.Module", x_q: np.ndarray, w_q: np.ndarray, b: np.ndarray | None, shared: dict) -> np.ndarray:
    """Return the codes of a convolution: quantlab's axes are (n, height, width, channels)."""
    if layer.padding_mode != "zeros":
        raise ValueError(f"layer.padding_mode={layer.padding_mode!r}; expected 'zeros'")
    places = {"stride": tuple(layer.stride), "dilation": tuple(layer.dilation)}
    places["padding"] = tuple((p, p) for p in layer.padding)
    x_q, w_q = (np.ascontiguousarray(v.transpose(0, 2, 3, 1)) for v in (x_q, w_q))
    return conv2d(x_q, w_q, b, **places, **shared).transpose(0, 3, 1, 2)


def compare_layers(model: "nn.Module", x: "torch.Tensor") -> dict[str, tuple[int, int]]:
    """Run a converted model on ``x``; return for each integer layer how many codes were compared, and how many differ.

    Every layer gets the input that torch's kernels made for it, and `layer_codes` computes what it should put out.

    Parameters
    ----------
    model : torch.nn.Module
        From ``torch.ao.quantization.convert``.
    x : torch.Tensor of float32

    Returns
    -------
    dict of str to (int, int)
        By the layer's name, in the order of execution.

    Raises
    ------
    ValueError
        If no layer of the model computes on integers: then nothing was converted.
    """
    import torch
    import torch.ao.nn.quantized as plain

    counts = {}

    def compare(name):
        def hook(layer, inputs, output):
            theirs, ours = codes_of(output), layer_codes(layer, inputs[0])
            counts[name] = (theirs.size, int((ours != theirs).sum()))

        return hook

    layers = {name: m for name, m in model.named_modules() if isinstance(m, plain.Linear | plain.Conv2d)}
    if not layers:
        raise ValueError("model has no layer that computes on integers: convert changed nothing; was it prepared?")
    handles = [layer.register_forward_hook(compare(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    return counts
