"""The exact product of integer matrices, at the speed of a floating-point product.

numpy has no fast integer product: ``@`` on integers is a plain loop. A floating-point product is fast, and it is
*exact* as long as no sum leaves the integers that the float type can hold: every integer up to 2**24 for float32, up to
2**53 for float64. Split the summed axis into blocks so short that even the worst case stays inside, and the rounding of
floating point never happens: neither the order of the additions nor fused multiply-add can change the result.
"""

import numpy as np

__all__ = ["int_matmul", "int_matmul_zero_point"]

FLOAT32_EXACT = 2**24  # float32 holds every integer of magnitude <= 2**24
FLOAT64_EXACT = 2**53
# Every block costs one more pass over the result. Below this length float64 (half the speed) with longer blocks wins.
SHORTEST_FLOAT32_BLOCK = 64


def int_matmul(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    r"""Return the exact integer product ``A @ B``.

    .. math:: C_{ij} = \sum_k A_{ik} B_{kj}

    8-bit inputs run through float32 BLAS in blocks of the summed axis: at most 1024 terms for int8 x int8, 514 for
    uint8 x int8, 258 for uint8 x uint8, since terms * max|a| * max|b| <= 2**24. 16-bit inputs run through float64 BLAS
    (2**53). Wider dtypes are measured first and take the same roads when their *values* are small enough; what is left
    is summed in int64.

    Parameters
    ----------
    A : ndarray of integers, shape (..., M, K) or (K,)
    B : ndarray of integers, shape (..., K, N) or (K,)
        Leading axes broadcast, and 1-D operands behave, as in ``numpy.matmul``.

    Returns
    -------
    ndarray, shape (..., M, N)
        int32 when ``K * max|a| * max|b| < 2**31`` for the extremes of the two *dtypes*, otherwise int64: the dtype of
        the result depends on dtypes and shapes, never on values. int8 x int8 gives int32 for K < 131072. Nothing
        wraps: a product that int64 may not hold is refused.

    Raises
    ------
    TypeError
        If an operand is not of an integer dtype.
    ValueError
        If the shapes do not fit, or the result may exceed int64.

    Notes
    -----
    The sum over an empty axis (K = 0) is zero.

    Examples
    --------
    >>> A = np.array([[127, -128], [3, 4]], dtype=np.int8)
    >>> B = np.array([[127, 1], [-128, 2]], dtype=np.int8)
    >>> int_matmul(A, B)
    array([[32513,  -129],
           [ -131,    11]], dtype=int32)
    """
    A, B = np.asarray(A), np.asarray(B)
    batch = _check_operands(A, B)
    A2 = A[None, :] if A.ndim == 1 else A
    B2 = B[:, None] if B.ndim == 1 else B
    K = A2.shape[-1]
    dtype = _result_dtype(K * _magnitude(_dtype_extremes(A)) * _magnitude(_dtype_extremes(B)))
    if K == 0 or A2.size == 0 or B2.size == 0:
        C = np.zeros((*batch, A2.shape[-2], B2.shape[-1]), dtype)
    else:
        term = _magnitude(_extremes(A)) * _magnitude(_extremes(B))
        _check_fits_int64(K, term)
        C = _blocked_product(A2, B2, term=term, dtype=dtype)
    if A.ndim == 1:
        C = C[..., 0, :]
    if B.ndim == 1:
        C = C[..., 0]
    return C


def int_matmul_zero_point(
    A: np.ndarray, B: np.ndarray, a_zero_point: np.ndarray | int, b_zero_point: np.ndarray | int
) -> np.ndarray:
    r"""Return the exact product of two zero-point-shifted matrices, without shifting a matrix.

    .. math::
        \sum_k (A_{ik} - a_i)(B_{kj} - b_j)
        = \sum_k A_{ik} B_{kj} \;-\; a_i \sum_k B_{kj} \;-\; b_j \sum_k A_{ik} \;+\; K a_i b_j

    The product in the first term stays one of 8-bit numbers (the shifted ones need 9 bits); the others are column sums
    of B, row sums of A and a constant. In inference B holds weights: its sums are known before any data comes.

    Parameters
    ----------
    A : ndarray of integers, shape (..., M, K)
    B : ndarray of integers, shape (..., K, N)
    a_zero_point : int or ndarray of integers
        One for all rows, (M,) for one a row, or any shape that broadcasts to (..., M, 1).
    b_zero_point : int or ndarray of integers
        One for all columns, (N,) for one a column, or any shape that broadcasts to (..., 1, N).

    Returns
    -------
    ndarray, shape (..., M, N)
        int32 when K times the largest possible ``|A - a|`` and ``|B - b|`` (from the dtypes and the zero points) is
        below 2**31, otherwise int64.

    Raises
    ------
    TypeError
        If an operand or a zero point is not of an integer dtype.
    ValueError
        If shapes do not fit, or the result may exceed int64.

    Notes
    -----
    This is ONNX's MatMulInteger (opset 10).

    Examples
    --------
    >>> A = np.array([[11, 7, 3]], dtype=np.uint8)
    >>> B = np.array([[1], [4], [2]], dtype=np.uint8)
    >>> int_matmul_zero_point(A, B, 12, 0)
    array([[-39]], dtype=int32)
    """
    A, B = np.asarray(A), np.asarray(B)
    for name, operand in (("A", A), ("B", B)):
        if operand.ndim < 2:
            raise ValueError(f"{name}.ndim={operand.ndim}; expected at least 2: give a vector an axis of length 1")
    K = A.shape[-1]
    C = int_matmul(A, B).astype(np.int64)
    a = _zero_point("a_zero_point", a_zero_point, axis=-1, shape=(*C.shape[:-1], 1))
    b = _zero_point("b_zero_point", b_zero_point, axis=-2, shape=(*C.shape[:-2], 1, C.shape[-1]))
    _check_fits_int64(K, _shifted_bound(_extremes(A), a) * _shifted_bound(_extremes(B), b))
    A_sums = A.sum(axis=-1, keepdims=True, dtype=np.int64)
    B_sums = B.sum(axis=-2, keepdims=True, dtype=np.int64)
    # The result fits int64, so a term that does not is no harm: int64 arrays add modulo 2**64, and the excess cancels.
    C -= a * B_sums
    C -= b * (A_sums - K * a)
    bound = K * _shifted_bound(_dtype_extremes(A), a) * _shifted_bound(_dtype_extremes(B), b)
    return C.astype(_result_dtype(bound), copy=False)


def _blocked_product(A: np.ndarray, B: np.ndarray, *, term: int, dtype: np.dtype) -> np.ndarray:
    """Return ``A @ B`` in ``dtype``; no product of two elements exceeds ``term`` in magnitude."""
    K = A.shape[-1]
    block, floating = FLOAT32_EXACT // term, np.float32
    if block < min(K, SHORTEST_FLOAT32_BLOCK):
        block, floating = FLOAT64_EXACT // term, np.float64
    if block < min(K, SHORTEST_FLOAT32_BLOCK):
        return A.astype(np.int64) @ B.astype(np.int64)
    C = part = None
    for k in range(0, K, block):
        a, b = A[..., k : k + block], B[..., k : k + block, :]
        # Exact: every partial sum is an integer of magnitude <= block * term. The float copies are freed at once and
        # `part` is used again, since touching fresh memory costs more here than the conversion itself.
        part = np.matmul(a.astype(floating), b.astype(floating), out=part)
        C = part.astype(dtype) if C is None else np.add(C, part, out=C, dtype=dtype, casting="unsafe")
    return C


def _result_dtype(bound: int) -> np.dtype:
    return np.dtype(np.int32 if bound < 2**31 else np.int64)


def _dtype_extremes(x: np.ndarray) -> tuple[int, int]:
    info = np.iinfo(x.dtype)
    return int(info.min), int(info.max)


def _extremes(x: np.ndarray) -> tuple[int, int]:
    """Return bounds of the values in ``x``: by dtype up to 16 bits, measured beyond (one more pass)."""
    if x.dtype.itemsize <= 2 or x.size == 0:
        return _dtype_extremes(x)
    return int(x.min()), int(x.max())


def _magnitude(extremes: tuple[int, int]) -> int:
    return max(-extremes[0], extremes[1], 1)


def _shifted_bound(extremes: tuple[int, int], zero_point: np.ndarray) -> int:
    """Return the largest magnitude that ``x - zero_point`` can have for x between the two extremes."""
    if zero_point.size == 0:
        return 0
    return max(extremes[1] - int(zero_point.min()), int(zero_point.max()) - extremes[0])


def _check_fits_int64(K: int, term: int) -> None:
    if K * term >= 2**63:
        raise ValueError(
            f"K={K} terms of magnitude up to {term} may exceed int64; expected K * max|a| * max|b| < 2**63: "
            "use smaller values, or object arrays and A @ B"
        )


def _zero_point(name: str, value: np.ndarray | int, *, axis: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return zero points as int64, a vector of them with an axis of length 1 put in at ``axis``."""
    value = np.asarray(value)
    _check_integer(name, value)
    if value.size and (value.min() < -(2**31) or value.max() >= 2**31):
        raise ValueError(f"{name} reaches from {value.min()} to {value.max()}; expected numbers that int32 can hold")
    aligned = np.expand_dims(value, axis) if value.ndim == 1 else value
    try:
        fits = np.broadcast_shapes(aligned.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        side = "row of A" if axis == -1 else "column of B"
        raise ValueError(
            f"{name}.shape={value.shape} does not broadcast to {shape}; give one number, or a vector with one a {side}"
        )
    return aligned.astype(np.int64)


def _check_integer(name: str, x: np.ndarray) -> None:
    if not np.issubdtype(x.dtype, np.integer):
        raise TypeError(f"{name}.dtype={x.dtype}; expected an integer dtype: quantize it, or cast with .astype first")


def _check_operands(A: np.ndarray, B: np.ndarray) -> tuple[int, ...]:
    """Return the broadcast leading shape of ``A @ B``, or say why there is no product."""
    for name, operand in (("A", A), ("B", B)):
        _check_integer(name, operand)
        if operand.ndim == 0:
            raise ValueError(f"{name}.ndim=0; expected at least 1: multiply by a number with *")
    inner = -2 if B.ndim > 1 else -1
    if A.shape[-1] != B.shape[inner]:
        raise ValueError(
            f"A.shape={A.shape} and B.shape={B.shape}: A.shape[-1]={A.shape[-1]} is not "
            f"B.shape[{inner}]={B.shape[inner]}; transpose one of them?"
        )
    try:
        return np.broadcast_shapes(A.shape[:-2], B.shape[:-2])
    except ValueError as error:
        raise ValueError(
            f"leading axes of A.shape={A.shape} and B.shape={B.shape} do not broadcast; make them equal or 1"
        ) from error
