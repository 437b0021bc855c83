"""Observers against torch, exact quantiles and brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.ao.quantization import MovingAverageMinMaxObserver

from quantlab import Grid, choose_qparams, fake_quantize, mse
from quantlab.core.entropy import entropy_threshold
from quantlab.core.histogram import BINS, DyadicHistogram
from quantlab.core.observers import (
    EntropyObserver,
    MinMaxObserver,
    MovingAverageObserver,
    MSEObserver,
    PercentileObserver,
)

INT8 = Grid(n_bits=8)
ALL = [
    MinMaxObserver,
    MovingAverageObserver,
    lambda: PercentileObserver(percentile=99.9),
    MSEObserver,
    EntropyObserver,
]


def heavy_tailed(n, seed):
    return np.random.default_rng(seed).standard_t(3, n).astype(np.float32)


def test_moving_average_equals_torch_to_the_bit():
    ours, theirs = MovingAverageObserver(averaging_constant=0.01), MovingAverageMinMaxObserver(averaging_constant=0.01)
    for seed in range(50):
        batch = heavy_tailed(1000, seed)
        ours.update(batch)
        theirs(torch.from_numpy(batch))
    assert ours.range(grid=INT8) == (theirs.min_val.item(), theirs.max_val.item())


def test_min_max_per_axis():
    x = heavy_tailed(600, 0).reshape(4, 5, 30)
    lo, hi = MinMaxObserver(axis=1).update(x[:2]).update(x[2:]).range(grid=INT8)
    assert np.array_equal(lo, x.min((0, 2)))
    assert np.array_equal(hi, x.max((0, 2)))
    assert MinMaxObserver(axis=1).update(x).qparams(grid=INT8).scale.shape == (5,)


@given(seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 500), max_size=4), power=st.integers(-20, 20))
def test_the_histogram_does_not_depend_on_batches_or_their_order(seed, cuts, power):
    x = heavy_tailed(500, seed) * np.float32(2.0**power)
    whole = DyadicHistogram().update(x)
    parts = np.split(x, sorted(cuts))
    pieces = DyadicHistogram()
    for part in reversed(parts):
        pieces.update(part)
    assert np.array_equal(whole.counts, pieces.counts)
    assert (whole.exponent, whole.lo, whole.hi) == (pieces.exponent, pieces.lo, pieces.hi)


def test_the_histogram_equals_numpy():
    x = heavy_tailed(100_000, 1)
    h = DyadicHistogram().update(x)
    assert np.array_equal(h.counts, np.histogram(x.astype(np.float64), bins=h.edges)[0])
    assert h.n == len(x)
    assert 2.0 ** (h.exponent - 1) <= np.abs(x).max() < 2.0**h.exponent


@pytest.mark.parametrize("percentile", [90, 99, 99.9, 99.99, 100])
def test_percentile_is_the_exact_quantile_to_one_bin(percentile):
    observer = PercentileObserver(percentile=percentile)
    x = heavy_tailed(200_000, 2) + np.float32(0.3)
    for batch in np.array_split(x, 7):
        observer.update(batch)
    lo, hi = observer.range(grid=INT8)
    exact = np.quantile(x, percentile / 100, method="inverted_cdf")
    exact_lo = -np.quantile(-x, percentile / 100, method="inverted_cdf")
    width = observer.histogram.bin_width
    assert 0 <= hi - exact <= width
    assert 0 <= exact_lo - lo <= width
    lo, hi = observer.range(grid=INT8, symmetric=True)
    assert -width <= hi - np.quantile(np.abs(x), percentile / 100, method="inverted_cdf") <= width
    assert lo == -hi


@pytest.mark.parametrize("n_bits", [2, 4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_mse_range_is_as_good_as_brute_force_on_the_data(n_bits, symmetric):
    x, grid = heavy_tailed(50_000, 3), Grid(n_bits=n_bits)
    lo, hi = MSEObserver().update(x).range(grid=grid, symmetric=symmetric)

    def error(a, b):
        return mse(x, fake_quantize(x, choose_qparams(a, b, grid=grid, symmetric=symmetric)))

    errors = [error(x.min() * k / 100, x.max() * k / 100) for k in range(1, 101)]
    # Bin centres stand for values up to half a bin away: at 8 bits on this tail a step holds some 20 bins or more,
    # so (1/2 bin)**2 / 3 is under 1 % of s**2 / 12, and the best of 100 factors may move to a neighbour.
    assert error(lo, hi) <= min(errors) * 1.01
    assert min(errors) < 0.9 * errors[-1] or n_bits == 8  # there was something to win


def entropy_by_hand(counts, n_levels):
    """The algorithm of the slides with Python lists and loops."""
    counts, best = [int(c) for c in counts], (float("inf"), None)
    start = len(counts) // 2 - n_levels // 2
    while start >= 0:
        stop = len(counts) - start
        p = counts[start:stop]
        run, q = len(p) // n_levels, [0.0] * len(p)
        outer = list(p)
        outer[0] += sum(counts[:start])
        outer[-1] += sum(counts[stop:])
        for level in range(n_levels):
            members = range(level * run, len(p) if level == n_levels - 1 else (level + 1) * run)
            used = [i for i in members if outer[i] > 0]
            for i in used:
                q[i] = sum(p[j] for j in members) / len(used)
        smooth = []
        for values in (outer, q):
            empty = sum(v == 0 for v in values)
            taken = 1e-4 * empty / max(len(values) - empty, 1)
            smooth.append([1e-4 if v == 0 else v - taken for v in values])
        if all(min(values) > 0 for values in smooth):
            sp, sq = sum(smooth[0]), sum(smooth[1])
            divergence = sum(a / sp * np.log((a / sp) / (b / sq)) for a, b in zip(*smooth, strict=True))
            if divergence < best[0] * (1 - 1e-12):
                best = (divergence, len(p))
        start -= 1
    return best[1]


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("n_bins", "n_levels"), [(64, 8), (65, 8), (100, 16), (128, 4)])
def test_entropy_threshold_equals_the_algorithm_by_hand(seed, n_bins, n_levels):
    rng = np.random.default_rng(seed)
    counts = np.histogram(rng.standard_t(2, 3000), bins=n_bins, range=(-12, 12))[0]
    assert entropy_threshold(counts, n_levels=n_levels) == entropy_by_hand(counts, n_levels)


def test_entropy_clips_an_outlier_and_keeps_a_uniform():
    rng = np.random.default_rng(4)
    x = np.append(rng.normal(size=100_000), 40.0)
    assert 3 < EntropyObserver().update(x).range(grid=INT8)[1] < 10
    assert EntropyObserver().update(rng.uniform(-1, 1, 100_000)).range(grid=INT8)[1] > 0.95
    assert EntropyObserver().update(np.abs(x)).range(grid=INT8)[0] == np.abs(x).min()


@pytest.mark.parametrize("make", ALL)
def test_observers_refuse_what_has_no_range(make):
    with pytest.raises(ValueError, match="no values"):
        make().range(grid=INT8)
    with pytest.raises(ValueError, match="no values"):
        make().update(np.zeros(0)).range(grid=INT8)
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match="1 values that are NaN or infinite"):
            make().update([0.0, bad])
    with pytest.raises(TypeError, match="real values"):
        make().update(["a"])


@settings(max_examples=20, deadline=None)
@given(value=st.floats(-(2.0**100), 2.0**100, width=32))
def test_a_constant_tensor_is_a_legal_input(value):
    for make in ALL:
        observer = make().update(np.full(10, value, np.float32))
        qp = observer.qparams(grid=INT8)
        # one scale step per 255: the constant is an end of the range, so its error is at most half a step
        assert abs(fake_quantize(np.float32(value), qp) - value) <= qp.scale * 0.51 + abs(value) * 2**-20


def test_bad_settings_are_named():
    for make, message in [
        (lambda: PercentileObserver(percentile=50), "percentile=50"),
        (lambda: MovingAverageObserver(averaging_constant=0), "averaging_constant=0"),
        (lambda: MSEObserver(n_candidates=0), "n_candidates=0"),
        (lambda: MSEObserver().update([1.0]).range(grid=Grid(n_bits=12)), "n_bits=12"),
        (lambda: entropy_threshold(np.ones(4), n_levels=8), "n_levels=8"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()


def test_growth_beyond_all_bins_keeps_the_counts():
    h = DyadicHistogram().update(np.array([-1e-30, 1e-30, 2e-30])).update(np.array([1e30]))
    assert h.n == 4
    assert h.counts[BINS - 1] == 1
    assert h.counts[BINS] == 2
