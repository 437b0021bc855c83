"""The description of a small float: widths, bias, and which codes are no numbers.

A code of magnitude ``c`` (the bits without the sign) has the exponent field ``E = c >> man_bits`` and the fraction
``f = c mod 2**man_bits``, and stands for

    normal, E >= 1       ``(2**man_bits + f) * 2**(E - bias - man_bits)``
    subnormal, E == 0    ``f * 2**(1 - bias - man_bits)``

(IEEE 754-2019, 3.4; OCP 8-bit Floating Point Specification 1.0; OCP Microscaling Formats 1.0, 5.3.)
"""

from dataclasses import dataclass

import numpy as np

SPECIALS = ("ieee", "fn", "fnuz", "none")


@dataclass(frozen=True)
class FloatFormat:
    """What the bits of a small float mean.

    Parameters
    ----------
    name : str
        The name that ml_dtypes uses.
    exp_bits, man_bits : int
        Widths of the exponent field and of the fraction. ``man_bits=0`` has exponents only: no zero, no subnormals.
    bias : int
        What is taken from the exponent field to give the exponent.
    specials : {"ieee", "fn", "fnuz", "none"}
        Which codes are no finite numbers.
        ``"ieee"``: the highest exponent holds infinity (fraction 0) and NaN. ``"fn"`` (finite, with NaN): only the
        code of all ones is NaN. ``"fnuz"`` (finite, with NaN, unsigned zero): only the code of -0 is NaN.
        ``"none"``: every code is a finite number.
    signed : bool
        Whether the highest bit is a sign.

    Examples
    --------
    >>> FLOAT8_E4M3FN.max, FLOAT8_E4M3FN.smallest_normal, FLOAT8_E4M3FN.smallest_subnormal
    (448.0, 0.015625, 0.001953125)
    >>> f"{FLOAT8_E4M3FN.nan_code:08b}"
    '01111111'
    """

    name: str
    exp_bits: int
    man_bits: int
    bias: int
    specials: str = "ieee"
    signed: bool = True

    def __post_init__(self):
        if self.specials not in SPECIALS:
            raise ValueError(f"specials={self.specials!r} is unknown; choose one of {SPECIALS}")
        if not (1 <= self.exp_bits <= 8 and 0 <= self.man_bits <= 23):
            raise ValueError(
                f"exp_bits={self.exp_bits}, man_bits={self.man_bits} do not fit into a float32, which holds the values "
                "here; use at most 8 and 23"
            )
        if self.specials in ("ieee", "fnuz") and not (self.signed and self.man_bits):
            raise ValueError(
                f"specials={self.specials!r} needs a sign bit and a fraction; choose 'fn' or 'none' for {self.name}"
            )

    @property
    def n_bits(self) -> int:
        """Width of a code."""
        return self.signed + self.exp_bits + self.man_bits

    @property
    def dtype(self) -> np.dtype:
        """Unsigned dtype that holds one code."""
        return np.dtype(np.uint8 if self.n_bits <= 8 else np.uint16 if self.n_bits <= 16 else np.uint32)

    @property
    def min_exponent(self) -> int:
        """Exponent of the smallest normal number; the subnormals share its spacing."""
        return 1 - self.bias if self.man_bits else -self.bias

    @property
    def max_exponent(self) -> int:
        """Exponent of the largest finite number."""
        return (self.max_code >> self.man_bits) - self.bias

    @property
    def max_code(self) -> int:
        """Code of the largest finite number."""
        if self.specials == "ieee":
            return self.inf_code - 1
        return self.sign_code - (2 if self.specials == "fn" else 1)

    @property
    def inf_code(self) -> int | None:
        """Code of plus infinity, or None."""
        return ((1 << self.exp_bits) - 1) << self.man_bits if self.specials == "ieee" else None

    @property
    def nan_code(self) -> int | None:
        """Code of the quiet NaN, or None."""
        if self.specials == "ieee":
            return self.inf_code | 1 << (self.man_bits - 1)
        return {"fn": self.sign_code - 1, "fnuz": self.sign_code, "none": None}[self.specials]

    @property
    def sign_code(self) -> int:
        """The sign bit: one more than the largest magnitude."""
        return 1 << (self.exp_bits + self.man_bits)

    @property
    def max(self) -> float:
        """Largest finite number."""
        return float(self.magnitude(np.array(self.max_code)))

    @property
    def smallest_normal(self) -> float:
        """Smallest number with a full fraction."""
        return 2.0**self.min_exponent

    @property
    def smallest_subnormal(self) -> float:
        """Smallest positive number: the spacing next to zero."""
        return 2.0 ** (self.min_exponent - self.man_bits)

    def magnitude(self, codes: np.ndarray) -> np.ndarray:
        """Values of codes without sign, ``0..max_code``: the formula at the top of this file, in float64 (exact)."""
        exponent_field, fraction = codes >> self.man_bits, codes & ((1 << self.man_bits) - 1)
        if not self.man_bits:
            return np.ldexp(1.0, exponent_field - self.bias)
        significand = np.where(exponent_field > 0, 1 << self.man_bits, 0) + fraction
        return np.ldexp(significand.astype(np.float64), np.maximum(exponent_field, 1) - self.bias - self.man_bits)


FLOAT32 = FloatFormat("float32", 8, 23, 127)
FLOAT16 = FloatFormat("float16", 5, 10, 15)
BFLOAT16 = FloatFormat("bfloat16", 8, 7, 127)
FLOAT8_E3M4 = FloatFormat("float8_e3m4", 3, 4, 3)
FLOAT8_E4M3 = FloatFormat("float8_e4m3", 4, 3, 7)
FLOAT8_E4M3FN = FloatFormat("float8_e4m3fn", 4, 3, 7, "fn")
FLOAT8_E4M3FNUZ = FloatFormat("float8_e4m3fnuz", 4, 3, 8, "fnuz")
FLOAT8_E4M3B11FNUZ = FloatFormat("float8_e4m3b11fnuz", 4, 3, 11, "fnuz")
FLOAT8_E5M2 = FloatFormat("float8_e5m2", 5, 2, 15)
FLOAT8_E5M2FNUZ = FloatFormat("float8_e5m2fnuz", 5, 2, 16, "fnuz")
FLOAT8_E8M0FNU = FloatFormat("float8_e8m0fnu", 8, 0, 127, "fn", signed=False)
FLOAT6_E2M3FN = FloatFormat("float6_e2m3fn", 2, 3, 1, "none")
FLOAT6_E3M2FN = FloatFormat("float6_e3m2fn", 3, 2, 3, "none")
FLOAT4_E2M1FN = FloatFormat("float4_e2m1fn", 2, 1, 1, "none")

FORMATS = {fmt.name: fmt for fmt in list(globals().values()) if isinstance(fmt, FloatFormat)}
