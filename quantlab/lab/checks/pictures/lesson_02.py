"""Pictures of exercise 02."""

import numpy as np

from quantlab.formats import FLOAT4_E2M1FN, cast
from quantlab.lab.checks.picture import Curves, pictured


@pictured("02.1")
def picture_of_integers(answer, code, n_bits):
    codes = np.arange(2**n_bits)
    return Curves(
        title=f"What the codes of {n_bits} bits stand for",
        xlabel="code",
        ylabel="integer",
        x=codes,
        yours=[answer(int(c), n_bits) for c in codes],
        expected=np.where(codes < 2 ** (n_bits - 1), codes, codes - 2**n_bits),
        asked=code,
        style="dots" if n_bits < 6 else "line",
    )


@pictured("02.4")
def picture_of_fp4(answer, x):
    ties = x.size < 9 and bool(np.all(np.abs(x) < 6) and np.all(x * 4 == np.rint(x * 4)))
    asked = np.clip(x, -8, 8)
    start, stop = (0 if asked.min() >= 0 else -8), (0 if asked.max() <= 0 else 8)
    at = np.union1d(np.arange(start, stop + 0.25, 0.25 if ties else 0.03125), asked)
    return Curves(
        title="Rounding to e2m1" + (", between marks and on them" if ties else ""),
        xlabel="x",
        ylabel="round_to_fp4(x)",
        x=at,
        yours=answer(at),
        expected=cast(at, FLOAT4_E2M1FN).astype(np.float64),
        asked=asked,
        style="dots" if ties else "line",
    )
