"""The affine map between reals and integers: one scale, one zero point.

The formulas are those of Jacob et al. 2018 (arXiv:1712.05877, eq. 1): ``x_hat = scale * (q - zero_point)``. How
``x / scale`` is computed and rounded differs from tool to tool: see `quantlab.core.dialects`.
"""

import numpy as np

from quantlab.core.arguments import as_array
from quantlab.core.dialects import DIALECTS, steps_reciprocal
from quantlab.core.granularity import scale_view, view_shape
from quantlab.core.qparams import QParams

# Values worked on at a time: 128 Ki float32 are 512 kB, which stays in the second-level cache over all passes.
CHUNK = 128 * 1024


def _prepare(x, qp: QParams, dialect: str):
    """Check the arguments; return x as float32 (R, M, K), and as (R, 1, K) scale, zero point and clipping bounds.

    The bounds are the reals at the two ends of the grid. Clipping x to them comes first: rounding is monotone and maps
    them to ``quant_min - z`` and ``quant_max - z`` (their relative error is a few 2**-24, at most 2**-6 of a step), so
    the order does not change the result. It keeps every later value finite and small, and costs little beside the
    reading of x from memory.
    """
    if x.dtype.kind != "f":
        raise TypeError(f"x has dtype {x.dtype}; quantize takes real values: x.astype(np.float32)")
    _require_qparams(qp)
    if not isinstance(dialect, str) or dialect not in DIALECTS:
        raise ValueError(f"dialect={dialect!r} is unknown; choose one of {', '.join(map(repr, DIALECTS))}")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and saturates
        x32 = np.ascontiguousarray(x, np.float32)
    where = {"axis": qp.axis, "group_size": qp.group_size}
    s, z = (scale_view(v, x.shape, **where) for v in (qp.scale, qp.zero_point))
    lo, hi = ((end - z).astype(np.float32) * s for end in (qp.grid.quant_min, qp.grid.quant_max))
    return x32.reshape(view_shape(x.shape, **where)), s, z, lo, hi


def _require_qparams(qp):
    if not isinstance(qp, QParams):
        raise TypeError(f"qp is a {type(qp).__name__}; pass a QParams, as choose_qparams(lo, hi, grid=grid) gives")


def _chunks(shape: tuple[int, int, int]):
    """Yield index pairs that cut an (R, M, K) array into pieces of about CHUNK values, contiguous in memory."""
    n_rows, n_middle, n_columns = shape
    row_size = n_middle * n_columns
    if row_size <= CHUNK:
        step = CHUNK // max(row_size, 1)
        for start in range(0, n_rows, step):
            yield slice(start, start + step), slice(None)
    else:
        step = max(1, CHUNK // n_columns)
        for row in range(n_rows):
            for start in range(0, n_middle, step):
                yield slice(row, row + 1), slice(start, start + step)


def _steps(x, s, z, lo, hi, dialect: str, out):
    """Write the code without its zero point, ``clip(round(x / s) + z, quant_min, quant_max) - z``, as float32."""
    x.clip(lo, hi, out=out)
    DIALECTS[dialect](out, s, z, out)


def quantize(x, qp: QParams, *, dialect: str = "torch") -> np.ndarray:
    """Map reals to integers: ``q = clip(round(x / scale) + zero_point, quant_min, quant_max)``.

    ================ ========================================= ==============================================
    dialect          ``round(x / scale) + z`` is computed as   by
    ================ ========================================= ==============================================
    torch            ``rint(x * (1 / scale)) + z``             torch.fake_quantize, torchao
    torch_native     ``rint(fma(x, 1 / scale, z))``            torch.quantize_per_tensor
    onnx             ``rint(x / scale) + z``                   ONNX QuantizeLinear, ONNX Runtime
    litert           as torch                                  LiteRT's default kernels (XNNPACK)
    litert_reference ``x / scale``, ties away from zero, + z   LiteRT's reference kernels
    ================ ========================================= ==============================================

    ``rint`` sends ties to the even integer; every step is rounded to float32.

    Parameters
    ----------
    x : array of float, any shape
        Taken as float32. Infinities, and values beyond the range, saturate at the ends of the grid.
    qp : QParams
        Scale, zero point, grid and which values share them.
    dialect : str
        Whose arithmetic to reproduce.

    Returns
    -------
    array of ``qp.grid.dtype``
        The codes, in the shape of `x`. Zero maps to the zero point exactly.

    Raises
    ------
    TypeError
        If `x` is not floating point or is a masked array, or `qp` is no QParams.
    ValueError
        If `x` holds NaN (tools disagree: torch gives quant_min, XNNPACK 127, others -128), the shapes of `x` and the
        scales do not fit, or the dialect is unknown.

    Examples
    --------
    >>> from quantlab import Grid
    >>> qp = QParams(scale=0.5, zero_point=3, grid=Grid(n_bits=8))
    >>> quantize([-np.inf, 0.0, 0.25, 0.75, 1e9], qp)
    array([-128,    3,    3,    5,  127], dtype=int8)
    """
    x = as_array("x", x)
    view, s, z, lo, hi = _prepare(x, qp, dialect)
    q = np.empty(view.shape, qp.grid.dtype)
    for rows, middle in _chunks(view.shape):
        steps = np.empty(q[rows, middle].shape, np.float32)
        _steps(view[rows, middle], s[rows], z[rows], lo[rows], hi[rows], dialect, steps)
        flat = steps.reshape(-1)
        if np.isnan(np.dot(flat, flat)):  # clipped values are finite, so only a NaN in x makes this sum NaN
            raise ValueError(
                f"x holds {np.isnan(x).sum()} NaN (of {x.size} values); an integer cannot say NaN: "
                "find where it comes from, or replace it with np.nan_to_num"
            )
        np.add(steps, z[rows], out=q[rows, middle], dtype=np.float32, casting="unsafe")  # integers: exact
    return q.reshape(x.shape)


def dequantize(q, qp: QParams) -> np.ndarray:
    """Map integers back to reals: ``x_hat = (q - zero_point) * scale``, the difference in integers.

    ``q * scale - zero_point * scale`` is another number: two roundings, and a difference of large terms.

    Parameters
    ----------
    q : array of int, any shape
        Codes on ``qp.grid``.
    qp : QParams
        Scale, zero point, grid and which values share them.

    Returns
    -------
    array of float32
        In the shape of `q`. The zero point maps to exactly 0.0.

    Raises
    ------
    TypeError
        If `q` is not an integer array or is a masked one, or `qp` is no QParams.
    ValueError
        If a code lies outside the grid, or the shapes do not fit.

    Examples
    --------
    >>> from quantlab import Grid
    >>> dequantize(np.array([3, 5], np.int8), QParams(scale=0.5, zero_point=3, grid=Grid(n_bits=8)))
    array([0., 1.], dtype=float32)
    """
    q = as_array("q", q)
    if q.dtype.kind not in "iu":
        raise TypeError(f"q has dtype {q.dtype}; dequantize takes codes, which are integers: quantize gives them")
    _require_qparams(qp)
    grid = qp.grid
    if q.size and (q.min() < grid.quant_min or q.max() > grid.quant_max):
        raise ValueError(
            f"q spans {q.min()}..{q.max()}, outside the grid {grid.quant_min}..{grid.quant_max}; "
            "pass the QParams that it was quantized with"
        )
    where = {"axis": qp.axis, "group_size": qp.group_size}
    s, z = (scale_view(v, q.shape, **where) for v in (qp.scale, qp.zero_point))
    view = np.ascontiguousarray(q).reshape(view_shape(q.shape, **where))
    x_hat = np.subtract(view, z, dtype=np.float32)  # both below 2**16: exact in float32
    x_hat *= s
    return x_hat.reshape(q.shape)


def fake_quantize(x, qp: QParams, *, dialect: str = "torch", out: np.ndarray | None = None) -> np.ndarray:
    """Quantize and dequantize in one go: the reals that survive, as float32.

    Equal to ``dequantize(quantize(x, qp), qp)`` bit for bit, in fewer passes over memory.

    Parameters
    ----------
    x : array of float, any shape
        Taken as float32. Infinities saturate. NaN stays NaN: these are reals, which can say it, and in training a
        loss that turns NaN should be seen. (torch makes quant_min of it, TensorFlow does as we do.)
    qp : QParams
        Scale, zero point, grid and which values share them.
    dialect : str
        As in `quantize`.
    out : array of float32, C-contiguous, the shape of `x`, optional
        Where to write the result; may be `x` itself, but not overlap it in part. On large arrays a third of the time
        goes into getting fresh memory, which a loop can spare.

    Returns
    -------
    array of float32
        In the shape of `x`; a zero comes back as +0.0.

    Raises
    ------
    TypeError, ValueError
        As `quantize`, but for NaN; TypeError too if `out` is no array; ValueError if it has another shape, dtype or
        layout, is read-only, or overlaps `x` in part.

    Examples
    --------
    >>> from quantlab import Grid
    >>> fake_quantize([0.0, 0.3, 7.0], QParams(scale=0.25, zero_point=0, grid=Grid(n_bits=4)))
    array([0.  , 0.25, 1.75], dtype=float32)
    """
    x = as_array("x", x)
    view, s, z, lo, hi = _prepare(x, qp, dialect)
    if out is None:
        out = np.empty(x.shape, np.float32)
    else:
        _check_out(out, x, view)
    x_hat = out.reshape(view.shape)
    for rows, middle in _chunks(view.shape):
        part = x_hat[rows, middle]
        _steps(view[rows, middle], s[rows], z[rows], lo[rows], hi[rows], dialect, part)
        if DIALECTS[dialect] is not steps_reciprocal:
            np.add(part, np.float32(0), out=part)  # -0.0 + 0.0 is +0.0: integers know one zero
        np.multiply(part, s[rows], out=part)
    return out


def _check_out(out, x, view):
    """Raise unless `out` can take the result: `view` is x as `_prepare` gives it, read while `out` is written."""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out is a {type(out).__name__}; pass an array, as np.empty(x.shape, np.float32)")
    flags = out.flags
    if out.shape != x.shape or out.dtype != np.float32 or not flags.c_contiguous or not flags.writeable:
        raise ValueError(
            f"out has shape {out.shape}, dtype {out.dtype}, contiguous {flags.c_contiguous}, writeable "
            f"{flags.writeable}; it must be a writeable C-contiguous float32 array of shape {x.shape}"
        )
    if np.may_share_memory(out, view) and out.ctypes.data != view.ctypes.data:
        raise ValueError(
            "out overlaps x in part, and would overwrite values not yet read; pass out=x, or another array"
        )
