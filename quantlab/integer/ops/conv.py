"""Convolutions on integers: a product for every window, accumulated in 32 bits, then requantized.

Kernels are (out, kh, kw, channels), images (samples, height, width, channels). As in every deep-learning library, the
kernel is not flipped.
"""

import numpy as np

from quantlab.core.qparams import QParams
from quantlab.core.windows import Padding, Windows, place_windows
from quantlab.integer.ops.accumulate import (
    ExactProduct,
    depthwise_pieces,
    pad_image,
    shifted,
    shifted_bound,
    window_pieces,
)
from quantlab.integer.ops.common import (
    KERNEL_SETS,
    check_activation,
    check_integers,
    check_one_scale,
    check_weight_scale,
    layer_bias,
    layer_requantizer,
)

__all__ = ["conv2d", "conv_integer", "depthwise_conv2d"]

DIALECTS = (*KERNEL_SETS, "onnx", "torch")


def conv2d(
    x_q: np.ndarray,
    w_q: np.ndarray,
    bias_q: np.ndarray | None,
    *,
    x_qp: QParams,
    w_qp: QParams,
    y_qp: QParams,
    padding: Padding,
    dialect: str,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    activation: str | None = None,
) -> np.ndarray:
    r"""Return the convolution of quantized images with quantized kernels, requantized.

    .. math::
        a_{nhwo} = b_o + \sum_{ijc} (X_{n,\,h s_h + i d_h - p_t,\,w s_w + j d_w - p_l,\,c} - z_x) (W_{oijc} - z_w),
        \qquad q_{nhwo} = \mathrm{requantize}(a_{nhwo})

    Parameters
    ----------
    x_q : ndarray of integers, shape (samples, height, width, channels)
    w_q : ndarray of integers, shape (out, kh, kw, channels / groups)
        How many groups there are follows from the shapes: channels and outputs are cut into as many equal runs.
    bias_q : ndarray of int32, shape (out,), or None
        From `quantize_bias`. For ``dialect="torch"`` the float32 bias itself.
    x_qp, y_qp : QParams
        One scale and one zero point each.
    w_qp : QParams
        One scale, or one an output (``axis=0``).
    padding : {"same", "valid"} or ((top, bottom), (left, right))
        With the zero point, which stands for 0; see `quantlab.core.windows.place_windows`.
    dialect : {"litert", "litert_ruy", "litert_reference", "onnx", "torch"}
        Whose requantization: see `quantlab.integer.requantize`. "litert_reference" is that of convolutions, its
        "litert_reference_conv"; the sum itself is exact in all of them.
    stride, dilation : (int, int)
    activation : {None, "relu", "relu6"}
        Fused: a clamp of the output integers to the marks of 0 and 6, as in `fully_connected`.

    Returns
    -------
    ndarray of ``y_qp.grid.dtype``, shape (samples, out height, out width, out)

    Raises
    ------
    TypeError
        If an operand is not of an integer dtype.
    ValueError
        If shapes, axes, padding, the dialect or the activation do not fit, or an accumulator leaves int32.

    Notes
    -----
    With more than one group "litert_ruy" rounds as "litert_reference": that kernel set hands such layers to the
    reference kernel.

    References
    ----------
    Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018,
    sections 2.2 to 2.4.

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> qp = QParams(scale=0.5, zero_point=1, grid=Grid(n_bits=8))
    >>> w_qp = QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=8))
    >>> x_q = np.arange(9, dtype=np.int8).reshape(1, 3, 3, 1)
    >>> w_q = np.ones((1, 2, 2, 1), np.int8)
    >>> conv2d(x_q, w_q, None, x_qp=qp, w_qp=w_qp, y_qp=qp, padding="same", dialect="litert")[0, :, :, 0]
    array([[ 3,  5,  3],
           [ 9, 11,  7],
           [ 7,  7,  5]], dtype=int8)
    """
    x_q, w_q = _check(x_q, w_q, x_qp, w_qp, y_qp, dialect=dialect, activation=activation)
    n_out, kh, kw, _ = w_q.shape
    bias, float_bias = layer_bias(bias_q, n_out, dialect=dialect)
    step = layer_requantizer(
        n_out,
        x_qp=x_qp,
        w_qp=w_qp,
        y_qp=y_qp,
        dialect=dialect,
        activation=activation,
        float_bias=float_bias,
        convolution=True,
        n_tail=n_out if dialect == "litert_ruy" and w_q.shape[3] != x_q.shape[3] else 0,
    )
    windows = place_windows(x_q.shape[1:3], kernel=(kh, kw), stride=stride, dilation=dilation, padding=padding)
    y_q = np.empty((len(x_q), *windows.out, n_out), y_qp.grid.dtype)
    for piece, acc in _accumulate(
        x_q, w_q, bias, x_qp.zero_point, w_qp.zero_point, windows=windows, stride=stride, dilation=dilation
    ):
        y_q[piece] = step(acc).reshape(y_q[piece].shape)
    return y_q


def conv_integer(
    x_q: np.ndarray,
    w_q: np.ndarray,
    *,
    padding: Padding,
    x_zero_point: int = 0,
    w_zero_point: np.ndarray | int = 0,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> np.ndarray:
    """Return the accumulators of a convolution, exact: ONNX's ConvInteger.

    Parameters and errors as `conv2d`, with zero points in place of QParams; ``w_zero_point`` is one number, or one an
    output.

    Returns
    -------
    ndarray of int32, shape (samples, out height, out width, out)

    Examples
    --------
    >>> x_q = np.arange(2, 11, dtype=np.uint8).reshape(1, 3, 3, 1)
    >>> w_q = np.ones((1, 2, 2, 1), np.uint8)
    >>> conv_integer(x_q, w_q, x_zero_point=1, padding="valid")[0, :, :, 0]
    array([[12, 16],
           [24, 28]], dtype=int32)
    """
    x_q, w_q = _check_operands(x_q, w_q)
    check_integers("x_zero_point", x_zero_point)
    check_integers("w_zero_point", w_zero_point)
    n_out, kh, kw, _ = w_q.shape
    if np.shape(w_zero_point) not in ((), (n_out,)):
        raise ValueError(f"w_zero_point.shape={np.shape(w_zero_point)}; expected () or ({n_out},), one an output")
    windows = place_windows(x_q.shape[1:3], kernel=(kh, kw), stride=stride, dilation=dilation, padding=padding)
    y = np.empty((len(x_q), *windows.out, n_out), np.int32)
    for piece, acc in _accumulate(
        x_q, w_q, np.zeros(n_out), x_zero_point, w_zero_point, windows=windows, stride=stride, dilation=dilation
    ):
        y[piece] = acc.reshape(y[piece].shape)
    return y


def depthwise_conv2d(
    x_q: np.ndarray,
    w_q: np.ndarray,
    bias_q: np.ndarray | None,
    *,
    x_qp: QParams,
    w_qp: QParams,
    y_qp: QParams,
    padding: Padding,
    dialect: str,
    stride: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    activation: str | None = None,
) -> np.ndarray:
    r"""Return the depthwise convolution: each input channel has ``multiplier`` kernels of its own.

    .. math::
        a_{nhwo} = b_o + \sum_{ij} (X_{n,\,h s_h + i d_h - p_t,\,w s_w + j d_w - p_l,\,c} - z_x) (W_{oij} - z_w),
        \qquad c = \lfloor o / \mathrm{multiplier} \rfloor

    Parameters and errors as `conv2d`, but ``w_q`` is (channels * multiplier, kh, kw, 1); kernel ``c * multiplier + m``
    sees channel c.

    Notes
    -----
    "litert_ruy" requantizes 8 outputs at a time with vector instructions, and the last ``out % 8`` one by one. The two
    pieces of code round differently: those last outputs follow the rule of "litert_reference".

    Examples
    --------
    >>> from quantlab.core.grid import Grid
    >>> qp = QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=8))
    >>> x_q = np.array([[10, -4], [6, 8]], np.int8).reshape(1, 1, 2, 2)
    >>> w_q = np.array([[1, 1], [2, -2]], np.int8).reshape(2, 1, 2, 1)
    >>> depthwise_conv2d(x_q, w_q, None, x_qp=qp, w_qp=qp, y_qp=qp, padding="valid", dialect="litert").ravel()
    array([  8, -12], dtype=int8)
    """
    x_q, w_q = _check(x_q, w_q, x_qp, w_qp, y_qp, dialect=dialect, activation=activation)
    n_out, kh, kw, n_in = w_q.shape
    if n_in != 1 or not x_q.shape[3] or n_out % x_q.shape[3]:
        raise ValueError(
            f"w_q.shape={w_q.shape} and x_q.shape={x_q.shape}; expected (channels * multiplier, kh, kw, 1)"
        )
    bias, float_bias = layer_bias(bias_q, n_out, dialect=dialect)
    step = layer_requantizer(
        n_out,
        x_qp=x_qp,
        w_qp=w_qp,
        y_qp=y_qp,
        dialect=dialect,
        activation=activation,
        float_bias=float_bias,
        convolution=True,
        n_tail=n_out % 8 if dialect == "litert_ruy" else 0,
    )
    windows = place_windows(x_q.shape[1:3], kernel=(kh, kw), stride=stride, dilation=dilation, padding=padding)
    y_q = np.empty((len(x_q), *windows.out, n_out), y_qp.grid.dtype)
    for piece, acc in depthwise_pieces(
        pad_image(x_q, windows, x_qp.zero_point),
        x_qp.zero_point,
        shifted(w_q, w_qp.zero_point).reshape(n_out, kh * kw).T,
        bias,
        x_bound=shifted_bound(x_q, x_qp.zero_point),
        kernel=(kh, kw),
        stride=stride,
        dilation=dilation,
        out=windows.out,
    ):
        step(acc, out=y_q[piece])
    return y_q


def _accumulate(
    x_q: np.ndarray,
    w_q: np.ndarray,
    bias: np.ndarray,
    x_zero_point: np.ndarray | int,
    w_zero_point: np.ndarray | int,
    *,
    windows: Windows,
    stride: tuple[int, int],
    dilation: tuple[int, int],
):
    """Return the pieces of a convolution, one product a group."""
    n_out, kh, kw, n_in = w_q.shape
    groups = x_q.shape[3] // n_in if n_in else 0
    if not groups or groups * n_in != x_q.shape[3] or n_out % groups:
        raise ValueError(
            f"w_q.shape={w_q.shape} and x_q.shape={x_q.shape}; expected (out, kh, kw, channels / groups), with groups "
            "dividing both channels and out"
        )
    bound = shifted_bound(x_q, x_zero_point)
    W = shifted(w_q, w_zero_point).reshape(groups, n_out // groups, kh * kw * n_in)
    products = [ExactProduct(W[g].T, b, x_bound=bound) for g, b in enumerate(bias.reshape(groups, -1))]
    x_q = pad_image(x_q, windows, x_zero_point)
    sizes = {"kernel": (kh, kw), "stride": stride, "dilation": dilation, "out": windows.out}
    return window_pieces(x_q, x_zero_point, products, **sizes)


def _check(
    x_q: np.ndarray,
    w_q: np.ndarray,
    x_qp: QParams,
    w_qp: QParams,
    y_qp: QParams,
    *,
    dialect: str,
    activation: str | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return images and kernels, having checked what both convolutions take."""
    check_activation(activation)
    if dialect not in DIALECTS:
        raise ValueError(f"dialect={dialect!r}; expected one of {DIALECTS}")
    check_one_scale("x_qp", x_qp)
    check_one_scale("y_qp", y_qp)
    x_q, w_q = _check_operands(x_q, w_q)
    check_weight_scale(w_qp, len(w_q))
    return x_q, w_q


def _check_operands(x_q: np.ndarray, w_q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x_q, w_q = check_integers("x_q", x_q), check_integers("w_q", w_q)
    if x_q.ndim != 4:
        raise ValueError(f"x_q.shape={x_q.shape}; expected (samples, height, width, channels)")
    if w_q.ndim != 4:
        raise ValueError(f"w_q.shape={w_q.shape}; expected (out, kh, kw, channels); depthwise, (out, kh, kw, 1)")
    return x_q, w_q
