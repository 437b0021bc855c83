"""Floating point with few bits: fp16, bf16, fp8, fp6, fp4 and the scales of MX, from one description.

Two facts do all the work. Inside one binade the values are equally spaced, so that rounding is ``rint(x / spacing)``.
And codes count upwards with the values, across binades too, so that a carry out of the fraction lands in the exponent
by itself. What the codes mean is in `quantlab.formats.floatformat`.
"""

from functools import cache

import numpy as np

from quantlab.formats.floatformat import FloatFormat

# Values worked on at a time: the temporaries of one chunk stay in the second-level cache.
CHUNK = 64 * 1024

ROUNDINGS = {"nearest": np.rint, "up": np.ceil, "down": np.floor}


def decode(codes, fmt: FloatFormat) -> np.ndarray:
    """Return the value of each code, as float32, which holds every value of every format here exactly.

    Parameters
    ----------
    codes : array of unsigned integers, any shape
        Bit patterns in ``0..2**fmt.n_bits - 1``.
    fmt : FloatFormat

    Returns
    -------
    array of float32, same shape
        NaN codes give a quiet NaN (with the code's sign, where NaN has one); its payload is not kept.

    Raises
    ------
    TypeError
        If `codes` does not hold unsigned integers.
    ValueError
        If a code does not fit into the format's bits.

    Examples
    --------
    >>> from quantlab.formats import FLOAT4_E2M1FN
    >>> decode(np.arange(8, dtype=np.uint8), FLOAT4_E2M1FN)
    array([0. , 0.5, 1. , 1.5, 2. , 3. , 4. , 6. ], dtype=float32)
    """
    codes = np.asarray(codes)
    if codes.dtype.kind != "u":
        raise TypeError(f"codes has dtype {codes.dtype}, expected bit patterns as unsigned integers ({fmt.dtype})")
    if codes.size and 8 * codes.itemsize > fmt.n_bits and codes.max() >> fmt.n_bits:
        raise ValueError(
            f"codes holds {codes.max()}, but {fmt.name} has {fmt.n_bits} bits (0..{(1 << fmt.n_bits) - 1}); "
            "unpack the codes first, one to an element"
        )
    if fmt.n_bits > 16:
        return _decode(codes, fmt)
    return _values(fmt)[codes]


def encode(x, fmt: FloatFormat, *, saturate: bool = False, rounding: str = "nearest", nan: str = "raise") -> np.ndarray:
    """Return the code of the value of the format that is nearest to each element of `x`.

    With ``e = max(floor(log2 |x|), 1 - bias)``, the exponent that sets the spacing:

        ``code = rint(|x| / 2**(e - man_bits)) + (e - (1 - bias)) * 2**man_bits``, plus the sign bit

    It rounds once, from float16, float32 or float64 alike. (``x.astype(np.float32)`` before would round twice.)

    Who does what beyond the largest value: a number overflows when it would round beyond it if the exponent had no
    limit, so above 464 in e4m3fn, whose largest value is 448. ml_dtypes and numpy: infinity where there is one, else
    NaN, else (fp4, fp6) the largest value; that is the default here. torch does the same, but saturates e4m3fn.
    ONNX Cast saturates every fp8, infinities included, unless told not to (``saturate=0``).

    Parameters
    ----------
    x : array of float16, float32 or float64, any shape
    fmt : FloatFormat
    saturate : bool
        Turn overflow and infinities into the largest finite value, with the sign of `x`. Formats without infinity and
        NaN do so in any case.
    rounding : {"nearest", "up", "down"}
        Of the magnitude: to nearest (ties to the even code; among powers of two, ties up), away from zero, or towards
        zero. For e8m0 scales ONNX uses ``"up"``, ml_dtypes and torch ``"nearest"``.
    nan : {"raise", "zero"}
        What NaN becomes in a format that has none (fp4, fp6): an error, or what ml_dtypes and so ONNX make of it, a
        zero of the opposite sign.

    Returns
    -------
    array of fmt.dtype (uint8, uint16 or uint32), same shape
        Zero keeps its sign, except where the format has one zero only ("fnuz"). NaN becomes the format's quiet NaN,
        with its sign where NaN has one.

        e8m0 has no code for zero, negative numbers and infinity: they become NaN, as in ml_dtypes, and with
        ``saturate=True`` the smallest, smallest and largest value. (torch and ONNX drop the sign, give zero the
        smallest value, and infinity NaN, always.) Code 0 stands for 2**-127, but all these tools round as if it stood
        for 0, and so does this: what lies between 2**-127 and 2**-126 goes to 2**-126, unless rounded down, and what
        is smaller to 2**-127 (rounded up, all to 2**-126).

    Raises
    ------
    TypeError
        If `x` is not floating point.
    ValueError
        If `x` holds NaN and the format cannot, or an option is unknown.

    Examples
    --------
    >>> from quantlab.formats import FLOAT4_E2M1FN, FLOAT8_E4M3FN
    >>> x = np.array([0.3, -5.1, 5.0, 700.0], np.float32)
    >>> encode(x, FLOAT4_E2M1FN)
    array([ 1, 15,  6,  7], dtype=uint8)
    >>> decode(encode(x, FLOAT8_E4M3FN), FLOAT8_E4M3FN)
    array([ 0.3125, -5.    ,  5.    ,     nan], dtype=float32)
    >>> decode(encode(x, FLOAT8_E4M3FN, saturate=True), FLOAT8_E4M3FN)[-1]
    np.float32(448.0)
    """
    x = _floating(x)
    if rounding not in ROUNDINGS:
        raise ValueError(f"rounding={rounding!r} is unknown; choose one of {tuple(ROUNDINGS)}")
    if nan not in ("raise", "zero"):
        raise ValueError(f"nan={nan!r} is unknown; choose 'raise' or 'zero'")
    codes = np.empty(x.shape, fmt.dtype)
    flat_x, flat_codes = x.reshape(-1), codes.reshape(-1)
    for start in range(0, x.size, CHUNK):
        part = slice(start, start + CHUNK)
        flat_codes[part] = _encode(flat_x[part], fmt, saturate, ROUNDINGS[rounding], nan)
    return codes


def cast(x, fmt: FloatFormat, *, saturate: bool = False, rounding: str = "nearest", nan: str = "raise") -> np.ndarray:
    """Round to the values of a format and come back to float32: ``decode(encode(x))``, with the same options.

    Examples
    --------
    >>> from quantlab.formats import FLOAT16
    >>> cast(np.array([1.1, 65519.0, 65520.0]), FLOAT16)
    array([1.0996094e+00, 6.5504000e+04,           inf], dtype=float32)
    """
    return decode(encode(x, fmt, saturate=saturate, rounding=rounding, nan=nan), fmt)


def grid_values(fmt: FloatFormat) -> np.ndarray:
    """Return every finite value of a format of at most 16 bits, ascending; zero once.

    Examples
    --------
    >>> from quantlab.formats import FLOAT4_E2M1FN
    >>> grid_values(FLOAT4_E2M1FN)
    array([-6. , -4. , -3. , -2. , -1.5, -1. , -0.5,  0. ,  0.5,  1. ,  1.5,
            2. ,  3. ,  4. ,  6. ], dtype=float32)
    """
    if fmt.n_bits > 16:
        raise ValueError(f"fmt={fmt.name} has 2**{fmt.n_bits} codes, too many to list; decode the ones you need")
    values = _values(fmt)
    return np.unique(values[np.isfinite(values)]) + np.float32(0)  # -0 + 0 is +0


def ulp(x, fmt: FloatFormat) -> np.ndarray:
    """Return the spacing of the format's values at `x`: ``2**(max(floor(log2 |x|), min_exponent) - man_bits)``.

    At a power of two it is the larger of the two spacings that meet there. Beyond the largest value it stays what it
    is at that value; at 0 it is the spacing of the subnormals; at NaN and infinities it is NaN.

    Parameters
    ----------
    x : array of float16, float32 or float64, any shape
    fmt : FloatFormat

    Returns
    -------
    array of float32, same shape

    Examples
    --------
    >>> from quantlab.formats import FLOAT8_E4M3FN
    >>> ulp(np.array([0.0, 0.9, 1.0, 300.0]), FLOAT8_E4M3FN)
    array([1.953125e-03, 6.250000e-02, 1.250000e-01, 3.200000e+01],
          dtype=float32)
    """
    x = _floating(x)
    exponent = np.clip(_exponent(np.abs(x)), fmt.min_exponent, fmt.max_exponent)
    spacing = np.ldexp(np.float32(1), exponent - fmt.man_bits)
    return np.where(np.isfinite(x), spacing, np.float32(np.nan))


def _floating(x) -> np.ndarray:
    x = np.asarray(x)
    if x.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(
            f"x has dtype {x.dtype}, expected float16, float32 or float64; x.astype(np.float32) converts it"
        )
    return x.astype(np.float32) if x.dtype == np.float16 else x


def _exponent(a: np.ndarray) -> np.ndarray:
    """floor(log2(a)) of finite float32 or float64 a >= 0, from its exponent field; lower for subnormals and 0."""
    if a.dtype == np.float32:
        return (a.view(np.int32) >> 23) - 127
    return ((a.view(np.int64) >> 52) - 1023).astype(np.int32)


def _encode(x: np.ndarray, fmt: FloatFormat, saturate: bool, round_to_integer, nan: str) -> np.ndarray:
    a, negative = np.abs(x), np.signbit(x)
    finite = np.isfinite(a)
    all_finite = finite.all()
    if not all_finite:
        a[~finite] = 0
    lowest = 1 - fmt.bias  # of exponent field 1
    e = np.maximum(_exponent(a), lowest)
    steps = round_to_integer(np.ldexp(a, fmt.man_bits - e))
    # float32 has 2**31 magnitudes, and a carry goes one further
    codes = steps.astype(np.int64 if fmt.n_bits > 16 else np.int32)
    codes += (e - lowest).astype(codes.dtype) << fmt.man_bits
    special = fmt.max_code if saturate else fmt.inf_code or fmt.nan_code or fmt.max_code
    codes = np.where(codes > fmt.max_code, special, codes)
    if not all_finite:
        codes[np.isinf(x)] = special
    if not fmt.signed:
        codes[negative | (x == 0)] = 0 if saturate else fmt.nan_code
    else:
        if fmt.specials == "fnuz":
            negative &= codes > 0
        codes |= negative.astype(codes.dtype) << (fmt.n_bits - 1)
    is_nan = np.isnan(x) if not all_finite else np.False_
    if is_nan.any():
        codes[is_nan] = _nan_codes(np.signbit(x[is_nan]), fmt, nan)
    return codes


def _nan_codes(negative: np.ndarray, fmt: FloatFormat, nan: str) -> np.ndarray:
    if fmt.specials == "none":
        if nan == "raise":
            raise ValueError(
                f"x holds {len(negative)} NaN, and {fmt.name} has no code for it; replace them (np.nan_to_num), or "
                "pass nan='zero' for what ml_dtypes does"
            )
        return np.where(negative, 0, fmt.sign_code)
    if fmt.specials == "fnuz" or not fmt.signed:
        return np.full(len(negative), fmt.nan_code)
    return np.where(negative, fmt.nan_code | fmt.sign_code, fmt.nan_code)


def _decode(codes: np.ndarray, fmt: FloatFormat) -> np.ndarray:
    codes = codes.astype(np.int64)
    magnitude = codes & (fmt.sign_code - 1)
    values = fmt.magnitude(np.minimum(magnitude, fmt.max_code))
    beyond = magnitude > fmt.max_code
    values[beyond] = np.where(magnitude[beyond] == fmt.inf_code, np.inf, np.nan)
    if fmt.signed:
        values = np.copysign(values, np.where(codes >= fmt.sign_code, -1.0, 1.0))
    if fmt.specials == "fnuz":
        values[codes == fmt.sign_code] = -np.nan  # the sign bit is set, and ml_dtypes and numpy show it
    return values.astype(np.float32)


@cache
def _values(fmt: FloatFormat) -> np.ndarray:
    """The value of every code; read-only, because it is shared."""
    values = _decode(np.arange(1 << fmt.n_bits), fmt)
    values.flags.writeable = False
    return values
