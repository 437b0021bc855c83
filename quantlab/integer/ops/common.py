"""What layers share: checks, bias and requantization, fused activations."""

import numpy as np

from quantlab.core.affine import quantize
from quantlab.core.qparams import QParams
from quantlab.integer.requantize import Requantizer

__all__ = [
    "ACTIVATIONS",
    "KERNEL_SETS",
    "activation_ends",
    "check_activation",
    "check_integers",
    "check_kernel_set",
    "check_one_scale",
    "check_weight_scale",
    "clamp",
    "layer_bias",
    "layer_requantizer",
]

ACTIVATIONS = (None, "relu", "relu6")
KERNEL_SETS = ("litert", "litert_ruy", "litert_reference")


def check_activation(activation: str | None) -> None:
    """Raise ValueError unless an output can be clamped so."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation={activation!r}; expected one of {ACTIVATIONS}")


def check_kernel_set(dialect: str) -> None:
    """Raise ValueError unless the dialect names a kernel set of LiteRT."""
    if dialect not in KERNEL_SETS:
        raise ValueError(f"dialect={dialect!r}; expected one of {KERNEL_SETS}")


def check_one_scale(name: str, qp: QParams) -> None:
    """Raise ValueError unless there is one scale and one zero point."""
    if qp.axis is not None:
        raise ValueError(f"{name}.axis={qp.axis}; expected None: activations have one scale")


def check_weight_scale(w_qp: QParams, n_out: int) -> None:
    """Raise ValueError unless weights have one scale, or one an output, the first axis."""
    if w_qp.axis not in (None, 0) or w_qp.group_size is not None:
        raise ValueError(
            f"w_qp.axis={w_qp.axis}, w_qp.group_size={w_qp.group_size}; expected one scale, or one an output (axis=0)"
        )
    if w_qp.axis == 0 and w_qp.scale.shape != (n_out,):
        raise ValueError(f"w_qp.scale.shape={w_qp.scale.shape}; expected ({n_out},), one an output")


def check_integers(name: str, q: np.ndarray) -> np.ndarray:
    """Return ``q`` as an array, or raise TypeError unless its dtype is an integer one."""
    q = np.asarray(q)
    if q.dtype.kind not in "iu":
        raise TypeError(f"{name}.dtype={q.dtype}; expected an integer dtype: quantize it, or cast with .astype first")
    return q


def layer_bias(bias_q: np.ndarray | None, n_out: int, *, dialect: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the bias as float64 integers for the accumulators, and as float32 for the requantization of torch."""
    if bias_q is None:
        return np.zeros(n_out), None
    bias_q = np.asarray(bias_q)
    if bias_q.shape != (n_out,):
        raise ValueError(f"bias_q.shape={bias_q.shape}; expected ({n_out},), one an output")
    if dialect == "torch":
        return np.zeros(n_out), bias_q.astype(np.float32)
    if bias_q.dtype.kind not in "iu":
        raise TypeError(f"bias_q.dtype={bias_q.dtype}; expected int32: use quantize_bias, or dialect='torch'")
    return bias_q.astype(np.float64), None


def layer_requantizer(
    n_out: int,
    *,
    x_qp: QParams,
    w_qp: QParams,
    y_qp: QParams,
    dialect: str,
    activation: str | None,
    float_bias: np.ndarray | None = None,
    convolution: bool = False,
    n_tail: int = 0,
) -> Requantizer:
    """Return the step from accumulators to outputs, in the arithmetic that a layer has in this dialect.

    Convolutions of LiteRT take one weight scale as a vector of equal ones, and their reference kernels round as
    gemmlowp does, where those of fully connected layers compute in float64. ``n_tail`` as in `Requantizer`.
    """
    w_scale, clip = w_qp.scale, activation_ends(y_qp, activation, dialect)
    if convolution and dialect in KERNEL_SETS:
        w_scale = np.broadcast_to(w_scale, n_out)
        dialect = "litert_reference_conv" if dialect == "litert_reference" else dialect
    return Requantizer(
        n_channels=n_out,
        x_scale=x_qp.scale,
        w_scale=w_scale,
        y_scale=y_qp.scale,
        y_zero_point=y_qp.zero_point,
        grid=y_qp.grid,
        dialect=dialect,
        bias=float_bias,
        n_tail=n_tail,
        clip=clip,
    )


def activation_ends(qp: QParams, activation: str | None, dialect: str) -> tuple[int, int]:
    """Return the lowest and highest code that a fused activation lets through."""
    if activation is None:
        return qp.grid.quant_min, qp.grid.quant_max
    if activation == "relu":
        return int(qp.zero_point), qp.grid.quant_max
    six = np.float32(6)
    if dialect == "litert":
        mark = np.clip(np.rint(six / qp.scale + np.float32(qp.zero_point)), qp.grid.quant_min, qp.grid.quant_max)
    else:
        mark = quantize(six, qp, dialect=dialect if dialect in ("onnx", "torch") else "litert_reference")
    return int(qp.zero_point), int(mark)


def clamp(y_q: np.ndarray, qp: QParams, activation: str | None, dialect: str) -> np.ndarray:
    """Apply a fused activation to output integers."""
    if activation is None:
        return y_q
    lo, hi = activation_ends(qp, activation, dialect)
    return np.clip(y_q, y_q.dtype.type(lo), y_q.dtype.type(hi))
