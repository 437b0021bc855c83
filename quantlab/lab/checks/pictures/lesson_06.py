"""Pictures of exercise 06."""

import numpy as np

from quantlab.lab.checks.lesson_06 import _layer, _ruy
from quantlab.lab.checks.picture import Curves, NoPicture, pictured


@pictured("06.5")
def picture_of_two_roundings(answer, acc, m, s):
    M = m * 2.0 ** (s - 31)
    some = np.unique(np.rint(np.linspace(-4, 4, 33) / M)).astype(np.int32)
    return Curves(
        title=f"Requantization with M = {M:.3g}",
        xlabel="accumulator",
        ylabel="code",
        x=some,
        yours=answer(some, m, s),
        expected=_ruy(some, m, s),
        asked=acc.ravel(),
        style="dots",
    )


@pictured("06.6")
def picture_of_a_layer(answer, x_q, w_q, folded, m, s, y_zero_point):
    if w_q.size > 1:
        raise NoPicture("one input and one output make a curve, and more do not")
    near = abs(int(w_q[0, 0])) <= 4
    codes = np.arange(-8, 17) if near else np.arange(-128, 128)
    given = codes.astype(np.int8)[:, None], w_q, folded, m, s, y_zero_point
    return Curves(
        title=f"A layer of one weight, {w_q[0, 0]}: zero point {y_zero_point}",
        xlabel="x_q",
        ylabel="y_q",
        x=codes,
        yours=np.ravel(answer(*given)),
        expected=_layer(*given)[:, 0],
        asked=x_q[0],
        style="dots" if near else "line",
    )
