"""Plausible wrong answers to the exercises of lesson 05, and what the verdict on each must say."""

import numpy as np

from quantlab.lab.checks.proof import wrong


def _moving(batches, c, *, start=None):
    lo, hi = start or (batches[0].min(), batches[0].max())
    for batch in batches[1:] if start is None else batches:
        lo += c * (batch.min() - lo)
        hi += c * (batch.max() - hi)
    return float(lo), float(hi)


@wrong("05.1", says="the first batch sets the range")
def started_at_zero(batches, c):
    return _moving(batches, c, start=(0.0, 0.0))


@wrong("05.1", says="you swapped the weights")
def swapped(batches, c):
    return _moving(batches, 1 - c)


@wrong("05.1", says="c is the weight of the new batch")
def min_max(batches, c):
    return float(min(b.min() for b in batches)), float(max(b.max() for b in batches))


@wrong("05.1", says="the low end is averaged in the same way")
def high_end_only(batches, c):
    return float(min(b.min() for b in batches)), _moving(batches, c)[1]


@wrong("05.1", says="an average is no maximum")
def never_shrinks(batches, c):
    lo, hi = batches[0].min(), batches[0].max()
    for batch in batches[1:]:
        lo = min(lo, lo + c * (batch.min() - lo))
        hi = max(hi, hi + c * (batch.max() - hi))
    return float(lo), float(hi)


@wrong("05.1", says="This is not the mean of all")
def first_and_last(batches, c):
    return _moving([batches[0], batches[-1]] if len(batches) > 1 else batches, c)


@wrong("05.2", says="both ends lose one value")
def upper_end_only(x, n_cut):
    values = np.sort(x, axis=None)
    return min(float(values[0]), 0.0), max(float(values[values.size - n_cut - 1]), 0.0)


@wrong("05.2", says="n_cut=0 keeps everything")
def negative_slice(x, n_cut):
    kept = np.sort(x, axis=None)[n_cut:-n_cut]
    return (min(float(kept[0]), 0.0), max(float(kept[-1]), 0.0)) if kept.size else (0.0, 0.0)


@wrong("05.2", says="not by the size |x|")
def by_size(x, n_cut):
    kept = x.ravel()[np.argsort(np.abs(x.ravel()), kind="stable")][: x.size - 2 * n_cut]
    return min(float(kept.min()), 0.0), max(float(kept.max()), 0.0)


@wrong("05.2", says="all kept values are positive")
def not_widened(x, n_cut):
    values = np.sort(x, axis=None)
    return float(values[n_cut]), float(values[values.size - n_cut - 1])


@wrong("05.2", says="one of the three 7s goes")
def all_equal_ones(x, n_cut):
    values = x.ravel()
    for _ in range(n_cut):
        values = values[(values != values.min()) & (values != values.max())]
    return min(float(values.min(initial=0)), 0.0), max(float(values.max(initial=0)), 0.0)


@wrong("05.2", says="sort all values together")
def sorted_rows(x, n_cut):
    values = np.sort(x).ravel()
    return min(float(values[n_cut]), 0.0), max(float(values[values.size - n_cut - 1]), 0.0)


def _parts(x, T, step):
    return step**2 / 12, float(np.mean(np.maximum(np.abs(x) - T, 0) ** 2))


@wrong("05.3", says="4 marks have 3 gaps")
def marks_for_gaps(x, T, n_bits):
    return _parts(x, T, 2 * T / 2**n_bits)


@wrong("05.3", says="2T wide")
def half_the_range(x, T, n_bits):
    return _parts(x, T, T / (2**n_bits - 1))


@wrong("05.3", says="the step is squared")
def step_not_squared(x, T, n_bits):
    step = 2 * T / (2**n_bits - 1)
    return step / 12, _parts(x, T, step)[1]


@wrong("05.3", says="a twelfth of the step's")
def whole_step(x, T, n_bits):
    step = 2 * T / (2**n_bits - 1)
    return step**2, _parts(x, T, step)[1]


@wrong("05.3", says="that is the sum")
def summed(x, T, n_bits):
    rounding, clipping = _parts(x, T, 2 * T / (2**n_bits - 1))
    return rounding, clipping * x.size


@wrong("05.3", says="values inside count too")
def outside_only(x, T, n_bits):
    outside = np.abs(x)[np.abs(x) > T] - T
    return (2 * T / (2**n_bits - 1)) ** 2 / 12, float(np.mean(outside**2)) if outside.size else 0.0


@wrong("05.3", says="take the size |x| first")
def upper_side_only(x, T, n_bits):
    return (2 * T / (2**n_bits - 1)) ** 2 / 12, float(np.mean(np.maximum(x - T, 0) ** 2))


def _x_hat(x, T, quant_max):
    s = T / quant_max
    return np.clip(np.rint(x.astype(np.float64) / s), -quant_max, quant_max) * s


def _best(x, quant_max, candidates, error):
    return candidates[int(np.argmin([error(x, T, quant_max) for T in candidates]))]


@wrong("05.4", says="not its index or its error")
def the_index(x, quant_max, candidates):
    return int(np.argmin([np.mean((x - _x_hat(x, T, quant_max)) ** 2) for T in candidates]))


@wrong("05.4", says="clipping counts")
def rounding_only(x, quant_max, candidates):
    return _best(x, quant_max, candidates, lambda x, T, m: np.mean((np.clip(x, -T, T) - _x_hat(x, T, m)) ** 2))


@wrong("05.4", says="a hundred 1s that round to 0")
def largest_error(x, quant_max, candidates):
    return _best(x, quant_max, candidates, lambda x, T, m: np.abs(x - _x_hat(x, T, m)).max())


@wrong("05.4", says="the least mean of the squared errors")
def mean_of_magnitudes(x, quant_max, candidates):
    return _best(x, quant_max, candidates, lambda x, T, m: np.mean(np.abs(x - _x_hat(x, T, m))))


@wrong("05.4", says="(mean squared errors: 12.25, 4, 0.75)")
def largest_of_the_errors(x, quant_max, candidates):
    return _best(x, quant_max, candidates, lambda x, T, m: -np.mean((x - _x_hat(x, T, m)) ** 2))


@wrong("05.4", says="the first candidate is wanted")
def last_of_equal(x, quant_max, candidates):
    errors = [np.mean((x - _x_hat(x, T, quant_max)) ** 2) for T in candidates]
    return [T for T, error in zip(candidates, errors, strict=True) if error == min(errors)][-1]


@wrong("05.4", says="the narrow grid begins at -quant_max")
def not_narrow(x, quant_max, candidates):
    return _best(
        x,
        quant_max,
        candidates,
        lambda x, T, m: np.mean((x - np.clip(np.rint(x / (T / m)), -m - 1, m) * (T / m)) ** 2),
    )


@wrong("05.4", says="the step depends on T")
def one_step_for_all(x, quant_max, candidates):
    largest = float(np.abs(x).max()) or 1.0
    return _best(x, quant_max, candidates, lambda x, T, m: np.mean((x - _x_hat(np.clip(x, -T, T), largest, m)) ** 2))


@wrong("05.5", says="the bins are half as many")
def without_outer_bins(counts):
    return counts.reshape(-1, 2).sum(axis=1)


@wrong("05.5", says="the filled bins belong into the middle")
def padded_behind(counts):
    return np.append(counts.reshape(-1, 2).sum(axis=1), np.zeros(len(counts) // 2, counts.dtype))


@wrong("05.5", says="the range was halved")
def halved(counts):
    n = len(counts)
    return np.repeat(counts, 2)[n // 2 : -n // 2]


@wrong("05.5", says="they are not averaged")
def averaged(counts):
    quarter = np.zeros(len(counts) // 4)
    return np.concatenate([quarter, counts.reshape(-1, 2).mean(axis=1), quarter])


@wrong("05.5", says="two neighbours make one new bin")
def every_second(counts):
    quarter = np.zeros(len(counts) // 4, counts.dtype)
    return np.concatenate([quarter, counts[: len(counts) // 2] + counts[len(counts) // 2 :], quarter])


@wrong("05.5", says="counts are integers")
def as_floats(counts):
    quarter = np.zeros(len(counts) // 4)
    return np.concatenate([quarter, counts.reshape(-1, 2).sum(axis=1), quarter])
