"""The sum of two quantized tensors of torch, as its kernel rounds it: one way in vectors, another in what is left.

================ ============================ ================================ ===============================
values           a real is                    the sum becomes a code by        of a tensor of n values, in the
                                                                               order of memory
================ ============================ ================================ ===============================
in vectors       ``fma(s, q, -f32(z * s))``   ``rint(r * inv) + z``            the first ``n - n % 64``
what is left     ``(q - z) * s``              ``rint(f32(r * inv) + z)``       the last ``n % 64``
================ ============================ ================================ ===============================

``inv = f32(1 / s)``; a ReLU clips r at 0. Measured with torch 2.13 on AVX2 and AVX-512 with one thread, on all pairs of
codes and 45 choices of scales, a tensor of 1 to 65,536 values: no mismatch. Without AVX2, torch computes otherwise.
"""

import numpy as np
import torch

from quantlab.core.affine import dequantize, quantize
from quantlab.core.dialects import fma
from quantlab.core.qparams import QParams
from quantlab.lab.torch_quantized import codes_of, qparams_of

__all__ = ["sum_codes"]

BLOCK = 64


def sum_codes(a: torch.Tensor, b: torch.Tensor, *, y_qp: QParams, relu: bool = False) -> np.ndarray:
    """Return the codes of ``torch.ops.quantized.add`` (with ``relu``, ``add_relu``) of two quint8 tensors of one shape.

    Raises
    ------
    TypeError
        If a tensor is not quantized.
    ValueError
        If the shapes differ.

    Example
    -------
    >>> import warnings
    >>> from quantlab.core.grid import Grid
    >>> warnings.simplefilter("ignore")  # torch will give up its quantized tensors
    >>> x = torch.quantize_per_tensor(torch.tensor([0.5, 1.0]), scale=0.5, zero_point=3, dtype=torch.quint8)
    >>> sum_codes(x, x, y_qp=QParams(scale=1.0, zero_point=2, grid=Grid(n_bits=8, signed=False)))
    array([3, 4], dtype=uint8)
    """
    if a.shape != b.shape:
        raise ValueError(f"a.shape={tuple(a.shape)}, b.shape={tuple(b.shape)}; expected one shape")
    pairs = [(codes_of(t), qparams_of(t)) for t in (a, b)]
    in_vectors = sum(_fused_reals(q, qp) for q, qp in pairs)
    left = sum(dequantize(q, qp) for q, qp in pairs)
    if relu:
        in_vectors, left = np.maximum(in_vectors, 0), np.maximum(left, 0)
    return np.where(_places(pairs[0][0]) < a.numel() // BLOCK * BLOCK, quantize(in_vectors, y_qp), _twice(left, y_qp))


def _fused_reals(q: np.ndarray, qp: QParams) -> np.ndarray:
    s = np.float32(qp.scale)
    return fma(np.full(q.shape, s), q.astype(np.float32), np.full(q.shape, -(np.float32(qp.zero_point) * s)))


def _twice(r: np.ndarray, qp: QParams) -> np.ndarray:
    """Return codes by two roundings to float32, of the product and of its sum with the zero point, before rint."""
    steps = np.rint(r * (np.float32(1) / qp.scale) + np.float32(qp.zero_point))
    return np.clip(steps, qp.grid.quant_min, qp.grid.quant_max).astype(qp.grid.dtype)


def _places(codes: np.ndarray) -> np.ndarray:
    """Return where in memory each value of a gapless array of bytes lies, counted from the first."""
    n = np.arange(codes.size)
    return np.lib.stride_tricks.as_strided(n, codes.shape, [stride * n.itemsize for stride in codes.strides])
