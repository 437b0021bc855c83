"""The fused multiply-add against exact fractions."""

from fractions import Fraction

import numpy as np

from quantlab import Grid, QParams, quantize
from quantlab.core.dialects import fma


def round_to_float32(value: Fraction) -> np.float32:
    """The float32 nearest to a fraction; of two equally near ones, the one whose last bit is 0."""
    guess = np.float32(float(value))
    around = [np.nextafter(guess, np.float32(-np.inf)), guess, np.nextafter(guess, np.float32(np.inf))]
    return min(around, key=lambda f: (abs(Fraction(float(f)) - value), int(f.view(np.uint32)) & 1))


def test_fma_rounds_once():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3000)).astype(np.float32)
    c = rng.normal(size=3000).astype(np.float32)
    want = np.array([round_to_float32(Fraction(float(p)) * Fraction(float(q)) + Fraction(float(r)))
                     for p, q, r in zip(a, b, c, strict=True)])  # fmt: skip
    got = fma(a, b, c)
    assert np.array_equal(got.view(np.uint32), want.view(np.uint32))
    assert (got != a * b + c).any()


def test_fma_beside_ties_decided_by_what_float64_cannot_hold():
    # 4099 * 4097 = 16793603 is halfway between two float32, and the even one lies above; 2**24 + 1 likewise, below.
    for a, b, c in [
        (4099, 4097, -(2.0**-60)),
        (4099, 4097, 2.0**-60),
        (24929, 673, 2.0**-60),
        (24929, 673, -(2.0**-60)),
        (4099, 4097, -(2.0**-28) + 2.0**-50),  # float64's last bit is odd already: moving it would make the tie
    ]:
        exact = Fraction(a) * Fraction(b) + Fraction(c)
        assert fma(*np.float32([[a], [b], [c]]))[0] == round_to_float32(exact)


def test_litert_is_torch_until_the_reference_kernels():
    x = (np.arange(-3000, 3000) * 0.05).astype(np.float32)
    qp = QParams(scale=0.1, zero_point=3, grid=Grid(n_bits=8))
    codes = {dialect: quantize(x, qp, dialect=dialect) for dialect in ("torch", "litert", "onnx", "litert_reference")}
    assert np.array_equal(codes["litert"], codes["torch"])
    assert (codes["onnx"] != codes["torch"]).any()
    assert (codes["litert_reference"] != codes["onnx"]).any()


def test_fma_where_rounding_through_float64_goes_wrong():
    # The sum is 2**-70 below a tie between two float32: float64 loses that, and the tie goes to the even neighbour.
    a, b, c = np.float32([[1 + 2**-23], [2**-24 - 2**-47], [1 + 2**-23]])
    exact = Fraction(float(a[0])) * Fraction(float(b[0])) + Fraction(float(c[0]))
    assert fma(a, b, c)[0] == round_to_float32(exact)
    assert (a.astype(np.float64) * b + c).astype(np.float32)[0] != round_to_float32(exact)
