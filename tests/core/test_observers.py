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
    assert np.array_equal(h.centers, (h.edges[1:] + h.edges[:-1]) / 2)
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
    assert lo >= x.min()
    assert hi <= x.max()
    lo, hi = observer.range(grid=INT8, symmetric=True)
    assert 0 <= hi - np.quantile(np.abs(x), percentile / 100, method="inverted_cdf") <= width
    assert lo == -hi
    assert hi <= np.abs(x).max()


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


@pytest.mark.parametrize("n_bits", [4, 8, 10])
def test_mse_range_is_that_of_brute_force_where_bins_hold_one_value_each(n_bits):
    grid = Grid(n_bits=n_bits)
    for seed in range(5):
        x = heavy_tailed(3000, seed)
        width = DyadicHistogram().update(x).bin_width
        x = ((np.floor(x / width) + 0.5) * width).astype(np.float32)  # the middle of its bin
        factors = np.arange(100, 0, -1) / 100
        ranges = [(float(x.min()) * factor, float(x.max()) * factor) for factor in factors]
        errors = [mse(x, fake_quantize(x, choose_qparams(lo, hi, grid=grid))) for lo, hi in ranges]
        assert MSEObserver().update(x).range(grid=grid) == ranges[np.argmin(errors)]


def entropy_by_hand(counts, n_levels):
    """The algorithm of the slides with Python lists and loops."""
    counts, best = [int(c) for c in counts], (float("inf"), None)
    start = (len(counts) - n_levels) // 2
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
@pytest.mark.parametrize(("n_bins", "n_levels"), [(64, 8), (65, 8), (64, 7), (65, 7), (100, 16), (128, 4)])
def test_entropy_threshold_equals_the_algorithm_by_hand(seed, n_bins, n_levels):
    rng = np.random.default_rng(seed)
    counts = np.histogram(rng.standard_t(2, 3000), bins=n_bins, range=(-12, 12))[0]
    assert entropy_threshold(counts, n_levels=n_levels) == entropy_by_hand(counts, n_levels)


def test_entropy_threshold_where_smoothing_fails_and_where_slices_tie():
    assert entropy_threshold([1, 1, 1, 1], n_levels=2) == 2  # every slice loses nothing
    assert entropy_threshold([1e-6, 0, 0, 0], n_levels=4) == 4  # too little to give the empty bins their share
    lonely = np.zeros(20_004)
    lonely[10_002] = 1  # from some 10,000 bins on the empty ones would take more than it has
    assert entropy_threshold(lonely, n_levels=20_000) == 20_004


def test_entropy_clips_an_outlier_and_keeps_a_uniform():
    rng = np.random.default_rng(4)
    x = np.append(rng.normal(size=100_000), 40.0)
    observer = EntropyObserver().update(x)
    threshold = observer.range(grid=INT8)[1]
    assert 3 < threshold < 10
    h = observer.histogram
    inside = np.abs(h.edges[:-1] + h.bin_width / 2) < threshold
    assert inside.sum() == entropy_threshold(h.counts, n_levels=256)
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


@settings(max_examples=8, deadline=None)
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
        (lambda: entropy_threshold(np.ones(4), n_levels=8), "n_levels=8 is outside 2..4"),
        (lambda: entropy_threshold(np.ones(4), n_levels=1), "n_levels=1 is outside"),
        (lambda: entropy_threshold(np.zeros(4), n_levels=4), "no histogram"),
        (lambda: entropy_threshold([1, -1, 1, 1], n_levels=4), "no histogram"),
        (lambda: entropy_threshold([1, np.nan, 1, 1], n_levels=4), "no histogram"),
        (lambda: entropy_threshold(np.ones((4, 4)), n_levels=4), "no histogram"),
        (lambda: EntropyObserver().update([1.0]).range(grid=Grid(n_bits=14)), "take a grid of fewer bits, or min-max"),
        (lambda: MSEObserver().update([1.0]).range(grid=Grid(n_bits=11)), "n_bits=11"),
        (lambda: PercentileObserver(percentile=100.5), "percentile=100.5"),
        (lambda: MovingAverageObserver(averaging_constant=1.5), "averaging_constant=1.5"),
        (lambda: MinMaxObserver(axis=0).update(np.ones((2, 3))).update(np.ones((3, 3))), "3 slices .* had 2"),
        (lambda: MovingAverageObserver().update([3e38]).update([-3e38]), "leaves float32"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()


def test_growth_beyond_all_bins_keeps_the_counts():
    h = DyadicHistogram().update(np.array([-1e-30, 1e-30, 2e-30])).update(np.array([1e30]))
    assert h.n == 4
    assert h.counts[BINS - 1] == 1
    assert h.counts[BINS] == 2
    assert DyadicHistogram().update(np.float32([1e-45])).exponent == -126


@pytest.mark.parametrize("make", ALL)
def test_extremes_of_float32(make):
    largest = float(np.finfo(np.float32).max)
    with pytest.raises(ValueError, match="1 values that are NaN or infinite in float32"):
        make().update([0.0, 2.0**128])
    with pytest.raises(ValueError, match="too wide|so large"):
        make().update(np.float32([largest, -largest])).qparams(grid=INT8)
    # Below torch's floor for the scale every range gives the same error, and the widest is the honest answer.
    lo, hi = make().update(np.float32([-1e-40, 1e-45])).range(grid=INT8)
    assert -1.00001e-40 <= lo <= -1e-40 + 2.0**-138
    assert 0 < hi <= 1e-44
    assert make().update(np.zeros(9)).qparams(grid=INT8).scale == np.float32(2**-23)


@pytest.mark.parametrize("symmetric", [False, True])
def test_qparams_are_those_of_the_range_that_was_asked_for(symmetric):
    observer = PercentileObserver(percentile=90).update(heavy_tailed(1000, 8) + 1)
    lo, hi = observer.range(grid=INT8, symmetric=symmetric)
    assert (lo == -hi) == symmetric
    assert observer.qparams(grid=INT8, symmetric=symmetric) == choose_qparams(lo, hi, grid=INT8, symmetric=symmetric)
    lopsided = MinMaxObserver().update([-1.0, 3.0]).qparams(grid=INT8, symmetric=symmetric)
    assert lopsided == choose_qparams(-1.0, 3.0, grid=INT8, symmetric=symmetric)
    assert (lopsided.zero_point == 0) == symmetric


@pytest.mark.parametrize("make", ALL)
def test_integers_and_halves_are_taken_and_batches_of_other_types_agree(make):
    x = np.random.default_rng(5).integers(-100, 100, 1000)
    want = make().update(x.astype(np.float32)).range(grid=INT8)
    for dtype in (np.int8, np.int64, np.float16, np.float64):
        assert make().update(x.astype(dtype)).range(grid=INT8) == want
    with pytest.raises(TypeError, match="real values"):
        make().update([True, False])
    with pytest.raises(TypeError, match="masked"):
        make().update(np.ma.ones(3))
    with pytest.raises(TypeError, match="pass a Grid"):
        make().update([1.0]).qparams(grid=8)


@pytest.mark.parametrize("narrow", [False, True])
def test_entropy_takes_narrow_grids(narrow):
    x = np.append(np.random.default_rng(6).normal(size=10_000), 40.0)
    assert 3 < EntropyObserver().update(x).range(grid=Grid(n_bits=6, narrow=narrow))[1] < 10


def test_percentile_counts_decimal_shares_exactly():
    x = np.arange(1000.0) + 0.5  # bins of 1/4: each value in one of its own
    assert PercentileObserver(percentile=99.9).update(x).range(grid=INT8) == (1.5, 998.75)


@pytest.mark.parametrize("percentile", [99.0, 99.9])
def test_percentile_equals_onnxruntime_with_half_the_excess_at_each_end(percentile):
    from onnxruntime.quantization.calibrate import HistogramCollector

    signed = heavy_tailed(50_000, 7)
    for x in (signed, np.maximum(signed, 0)):
        for symmetric in (False, True):
            theirs = HistogramCollector("percentile", symmetric, 8192, 0, percentile, "same")
            theirs.collect({"x": [x]})
            lo, hi = theirs.compute_collection_result()["x"][:2]
            observer = PercentileObserver(percentile=percentile if symmetric else (100 + percentile) / 2).update(x)
            ours = observer.range(grid=INT8, symmetric=symmetric)
            width = 2 * np.abs(x).max() / 8192 + observer.histogram.bin_width  # one bin of each
            assert abs(ours[1] - hi) <= width
            if not symmetric:  # its left end may stop one value earlier
                n_cut = round(x.size * (100 - percentile) / 200)
                assert abs(ours[0] - lo) <= width + np.diff(np.sort(x)[n_cut - 1 : n_cut + 1])[0]


def test_settings_of_another_type_are_refused():
    for make, message in [
        (lambda: PercentileObserver(percentile="99"), "percentile='99' is a str"),
        (lambda: MovingAverageObserver(averaging_constant=None), "averaging_constant=None"),
        (lambda: MSEObserver(n_candidates=1.5), "n_candidates=1.5 is a float"),
        (lambda: MSEObserver().update([1.0]).range(grid=8), "grid=8"),
        (lambda: EntropyObserver().update([1.0]).range(grid=None), "grid=None"),
        (lambda: MinMaxObserver(axis=0.0), "axis=0.0 is a float"),
        (lambda: entropy_threshold(np.ones(8), n_levels=4.0), "n_levels=4.0 is a float"),
        (lambda: entropy_threshold("abc", n_levels=4), "counts has dtype"),
    ]:
        with pytest.raises(TypeError, match=message):
            make()
