"""Pictures of exercise 03."""

import numpy as np

from quantlab import Grid, QParams, choose_qparams, quantize
from quantlab.lab.checks.lesson_03 import BROKEN, SOUND
from quantlab.lab.checks.picture import Curves, NoPicture, Rulers, pictured


@pictured("03.1")
def picture_of_rulers(answer, lo, hi, n_bits):
    if lo == hi:
        raise NoPicture("a ruler of no length has nothing to show")
    grid = Grid(n_bits)
    marks = np.arange(grid.quant_min, grid.quant_max + 1)
    scale, zero_point = answer(lo, hi, n_bits)
    qp = choose_qparams(lo, hi, grid=grid)
    return Rulers(
        title=f"Your ruler, for values from {lo:g} to {hi:g}",
        xlabel="value",
        yours=(marks - zero_point) * scale,
        expected=(marks - int(qp.zero_point)) * float(qp.scale),
        marks={f"{at:g}": at for at in sorted({lo, hi, 0.0})},
    )


@pictured("03.2")
def picture_of_codes(answer, x, scale, zero_point, n_bits):
    gaps = x / scale
    ties = x.size < 9 and bool(np.all(np.abs(gaps % 1) == 0.5))
    reach = 4 if ties else max(4.0, 1.3 * float(np.abs(gaps).max()))
    at = (np.arange(-2 * reach, 2 * reach + 1) / 2 if ties else np.linspace(-reach, reach, 641)) * scale
    at = np.union1d(at.astype(np.float32), x)
    qp = QParams(scale=scale, zero_point=zero_point, grid=Grid(n_bits))
    return Curves(
        title=f"Codes on {n_bits} bits: scale {scale:g}, zero point {zero_point}",
        xlabel="x",
        ylabel="code",
        x=at,
        yours=answer(at, scale, zero_point, n_bits),
        expected=quantize(at, qp, dialect="onnx"),
        asked=x,
        style="dots" if ties else "line",
    )


@pictured("03.5")
def picture_of_a_passed_quantizer(answer, round_trip):
    """Look at errors near zero, at errors near the upper end, then at whole ranges, until something shows."""
    if round_trip not in BROKEN.values() or not answer(round_trip):
        raise NoPicture("the mistake is not a broken quantizer that passes")
    gap = 3.5 / 255  # of the range -1.2 to 2.3
    for lo, hi, start, stop in [
        (-1.2, 2.3, -3.7 * gap, 3.7 * gap),
        (-1.2, 2.3, 2.3 - 6 * gap, 2.3 + gap / 2),
        (1.0, 6.0, 0.0, 7.0),
        (-1.2, 2.3, -3.2, 4.3),
    ]:
        near = stop - start < 1
        x = np.linspace(start, stop, 321).astype(np.float32)
        yours, expected = (f(x, lo, hi) for f in (round_trip, SOUND["one that computes as ONNX does"]))
        if near:
            yours, expected = ((y - np.clip(x, lo, hi)) / gap for y in (yours, expected))
        zero_moves = start == -stop and yours[160] != expected[160]
        leaves_the_band = near and np.abs(yours).max() > 0.51
        if leaves_the_band or zero_moves or (not near and np.abs(yours - expected).max() > 0.1):
            return Curves(
                title=f"Your test passes this one: range {lo:g} to {hi:g}",
                xlabel="x",
                ylabel="error, in gaps" if near else "what comes back",
                x=x,
                yours=yours,
                expected=expected,
                asked=x[np.abs(yours).argmax()] if leaves_the_band else 0.0,
                names=("this one", "a sound one"),
                band=(-0.5, 0.5) if near else None,
            )
    raise NoPicture("all looks sound")
