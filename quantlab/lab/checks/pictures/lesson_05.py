"""Pictures of exercise 05."""

import numpy as np

from quantlab.lab.checks.lesson_05 import _error
from quantlab.lab.checks.picture import Curves, Cuts, NoPicture, pictured


@pictured("05.2")
def picture_of_trimmed_range(answer, x, n_cut):
    """Values with longer tails above than below; all of one sign, if the verdict is about such."""
    values = np.random.default_rng(5).standard_t(2.5, 400) * 1.5
    values = np.where(values > 0, 1.7 * values, values)
    if x.min() >= 0 or x.max() <= 0:
        values = (np.abs(values) + 4) * (1 if x.min() >= 0 else -1)
    values = np.clip(values, -25, 25).reshape(4, 5, 20) if x.ndim == 3 else np.clip(values, -25, 25)
    n_cut, ordered = 10 if n_cut else 0, np.sort(values, axis=None)
    counts, edges = np.histogram(values, 50)
    return Cuts(
        title=f"400 values, n_cut={n_cut}: the range that is kept",
        xlabel="value",
        ylabel="count",
        x=(edges[1:] + edges[:-1]) / 2,
        y=counts,
        yours=answer(values.astype(np.float32), n_cut),
        expected=(min(ordered[n_cut], 0), max(ordered[-1 - n_cut], 0)),
        style="steps",
    )


@pictured("05.4")
def picture_of_thresholds(answer, x, quant_max, candidates):
    x = np.append(np.random.default_rng(0).standard_t(3, 500), 30.0).astype(np.float32)
    quant_max, candidates = 7, np.linspace(1.25, 30.25, 59).tolist()  # no whole numbers: those would be indices
    errors = [_error(x, quant_max, T) for T in candidates]
    chosen = float(answer(x, quant_max, candidates))
    if chosen not in candidates:
        raise NoPicture("an index or an error is no place on the axis of thresholds")
    return Cuts(
        title="The error of each threshold, quant_max=7",
        xlabel="threshold T",
        ylabel="mean squared error",
        x=candidates,
        y=errors,
        yours=chosen,
        expected=candidates[int(np.argmin(errors))],
    )


@pictured("05.5")
def picture_of_doubled(answer, counts):
    counts = np.array([0, 1, 3, 8, 12, 6, 2, 0], np.int64)
    return Curves(
        title="A histogram of 8 bins, over twice the range",
        xlabel="value, in new bins",
        ylabel="count",
        x=np.arange(8) - 3.5,
        yours=answer(counts),
        expected=np.pad(counts.reshape(-1, 2).sum(axis=1), 2),
        style="steps",
    )
