"""Intervals against scipy's, and against how often they hold the truth."""

import math

import numpy as np
import pytest
from scipy import stats

from quantlab.lab.intervals import Interval, bootstrap, spearman, wilson


class TestWilson:
    @pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
    def test_every_count_against_scipy(self, confidence):
        for n in (1, 2, 17, 60, 240):
            for k in range(n + 1):
                ours = wilson(k, n, confidence=confidence)
                theirs = stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
                # A dozen operations in float64 on numbers up to 1, each off by at most 2**-53.
                assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-14)
                assert ours.low <= ours.value <= ours.high

    def test_the_ends_are_exact(self):
        assert wilson(0, 60).low == 0.0
        assert wilson(60, 60).high == 1.0
        assert wilson(0, 60).high == pytest.approx(1 - wilson(60, 60).low, abs=1e-14)

    @pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
    def test_impossible_counts(self, k, n):
        with pytest.raises(ValueError, match=f"k={k}, n={n}; expected 0 <= k <= n"):
            wilson(k, n)

    def test_a_share_is_no_count(self):
        with pytest.raises(TypeError, match=r"k=0\.9 is a float; pass an integer"):
            wilson(0.9, 60)

    @pytest.mark.parametrize("confidence", [0, 1, 95])
    def test_confidence_is_a_share(self, confidence):
        with pytest.raises(ValueError, match=f"confidence={confidence}; expected a number between 0 and 1"):
            wilson(3, 5, confidence=confidence)


class TestBootstrap:
    def test_a_mean_against_scipy(self):
        x = np.random.default_rng(0).exponential(size=80)
        ours = bootstrap(np.mean, x, rng=np.random.default_rng(1), n_resamples=20_000)
        theirs = stats.bootstrap((x,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(2))
        low, high = theirs.confidence_interval
        # A 2.5 % quantile of N draws scatters by sqrt(0.025 * 0.975 / N) / density; the density of a normal there is
        # 0.058 / sigma, so by 0.019 sigma with N = 20,000; two of them differ by 0.027 sigma: four times that.
        sigma = x.std() / math.sqrt(80)
        assert (ours.low, ours.high) == pytest.approx((low, high), abs=4 * 0.027 * sigma)
        assert ours.value == x.mean()

    def test_pairs_stay_pairs(self):
        """The difference of two measurements of the same rows varies less than either."""
        rng = np.random.default_rng(3)
        x = rng.normal(size=60)
        y = x - 0.1
        difference = bootstrap(lambda a, b: (a - b).mean(), x, y, rng=rng)
        assert difference.low == pytest.approx(0.1) == difference.high
        alone = bootstrap(np.mean, x, rng=rng)
        assert alone.high - alone.low > 0.3

    def test_it_holds_the_truth_as_often_as_it_says(self):
        """200 samples of 60 pairs with a known rank correlation: the 90 % interval must hold it in about 90 %."""
        rng = np.random.default_rng(4)
        r = 0.8  # of a bivariate normal; Spearman's is 6/pi * arcsin(r / 2)
        truth = 6 / math.pi * math.asin(r / 2)
        held = 0
        for _ in range(200):
            x = rng.normal(size=60)
            y = r * x + math.sqrt(1 - r**2) * rng.normal(size=60)
            got = bootstrap(spearman, x, y, rng=rng, n_resamples=150, confidence=0.9)
            held += got.low <= truth <= got.high
        # Binomial: sd of 200 draws at 0.9 is 2.1 %. The percentile interval is known to hold a little less.
        assert 0.82 < held / 200 < 0.97

    def test_the_same_rng_gives_the_same_interval(self):
        x = np.arange(20.0)
        one, two = (bootstrap(np.mean, x, rng=np.random.default_rng(7), n_resamples=100) for _ in range(2))
        assert one == two
        assert one != bootstrap(np.mean, x, rng=np.random.default_rng(8), n_resamples=100)

    @pytest.mark.parametrize("samples", [(), (np.ones(3), np.ones(4)), (np.ones(1),), (np.float64(3),)])
    def test_lengths(self, samples):
        with pytest.raises(ValueError, match="expected one or more of the same length, at least 2"):
            bootstrap(lambda *s: 0.0, *samples, rng=np.random.default_rng(0))

    def test_undefined_on_a_resample(self):
        x, y = np.array([1.0, 2.0]), np.array([1.0, 2.0])  # half the resamples repeat one row: no order
        with pytest.raises(ValueError, match=r"not finite on \d+ of 2000 resamples"):
            bootstrap(spearman, x, y, rng=np.random.default_rng(0))

    def test_too_few_resamples(self):
        with pytest.raises(ValueError, match="n_resamples=10; take at least 100"):
            bootstrap(np.mean, np.ones(5), rng=np.random.default_rng(0), n_resamples=10)


class TestSpearman:
    @pytest.mark.parametrize("levels", [2, 6, 10_000])
    def test_against_scipy_with_ties(self, levels):
        rng = np.random.default_rng(levels)
        for n in (3, 10, 101):
            x, y = rng.integers(0, levels, (2, n)).astype(np.float64)
            x[:2], y[:2] = (0, 1), (0, 1)
            assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)

    def test_only_the_order_counts(self):
        x = np.random.default_rng(0).normal(size=50)
        assert spearman(x, np.exp(x)) == 1.0
        assert spearman(x, -(x**3)) == -1.0
        assert spearman([1, 2, np.inf], [-np.inf, 0, 1]) == 1.0

    def test_no_order(self):
        assert math.isnan(spearman([1, 1, 1], [1, 2, 3]))

    @pytest.mark.parametrize(("x", "y"), [([1, 2], [1, 2, 3]), ([1], [1]), ([[1, 2]], [[1, 2]])])
    def test_shapes(self, x, y):
        with pytest.raises(ValueError, match=r"expected two of the same shape \(n,\)"):
            spearman(x, y)

    def test_nan(self):
        with pytest.raises(ValueError, match="which has no rank"):
            spearman([1, np.nan], [1, 2])


def test_formats():
    interval = Interval(value=0.5, low=0.25, high=0.75, n=4, confidence=0.95)
    assert f"{interval:.1%}" == "50.0% [25.0%, 75.0%]"
    assert str(interval) == "0.500 [0.250, 0.750]"
