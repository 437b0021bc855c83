"""Observers watch tensors go by in batches and then name the range to quantize.

All share one interface: ``update(x)`` takes a batch and returns the observer, ``range(grid=...)`` returns ``(lo, hi)``,
``qparams(grid=...)`` turns that into scale and zero point. An observer is the one object here that changes: it is an
accumulator.
"""

import numpy as np

from quantlab.core.affine import fake_quantize
from quantlab.core.arguments import as_integer, as_real
from quantlab.core.entropy import entropy_threshold
from quantlab.core.granularity import reduce_groups
from quantlab.core.grid import Grid
from quantlab.core.histogram import BINS, DyadicHistogram, check_finite
from quantlab.core.qparams import QParams, choose_qparams, require_grid


class Observer:
    """What all observers share; subclasses define `update` and `range`."""

    axis: int | None = None

    def update(self, x):
        """Take in a batch of reals or integers, any shape, and return the observer.

        Raises ValueError on NaN, infinities and values beyond float32, TypeError on what is not real.
        """
        raise NotImplementedError

    def range(self, *, grid: Grid, symmetric: bool = False):
        """Return ``(lo, hi)``. Raises ValueError before the first value, TypeError if `grid` is no Grid."""
        raise NotImplementedError

    def qparams(self, *, grid: Grid, symmetric: bool = False) -> QParams:
        """Return `choose_qparams` of the range."""
        lo, hi = self.range(grid=grid, symmetric=symmetric)
        return choose_qparams(lo, hi, grid=grid, symmetric=symmetric, axis=self.axis)


class MinMaxObserver(Observer):
    """The smallest and the largest value seen, per tensor or per axis: torch's MinMaxObserver.

    Nothing clips, so one outlier stretches every step.

    Parameters
    ----------
    axis : int, optional
        Observe each slice along this axis on its own; every batch must have the same number of them.

    Examples
    --------
    >>> MinMaxObserver().update(np.array([1.0, 2.0])).update(np.array([-3.0])).range(grid=Grid(n_bits=8))
    (-3.0, 2.0)
    """

    def __init__(self, *, axis: int | None = None):
        self.axis = None if axis is None else as_integer("axis", axis)
        self.lo = self.hi = None

    def update(self, x):
        """Widen the range to hold a batch; an empty batch changes nothing."""
        x = check_finite(x)
        if x.size:
            lo, hi = (reduce_groups(x, reduction, axis=self.axis) for reduction in (np.min, np.max))
            if self.lo is not None and lo.shape != self.lo.shape:
                raise ValueError(
                    f"x of shape {x.shape} has {lo.size} slices along axis={self.axis}, earlier batches had "
                    f"{self.lo.size}; pass batches that differ along the other axes only"
                )
            self._accept(lo, hi)
        return self

    def _accept(self, lo, hi):
        if self.lo is not None:
            lo, hi = np.minimum(self.lo, lo), np.maximum(self.hi, hi)
        self.lo, self.hi = lo, hi

    def range(self, *, grid: Grid, symmetric: bool = False):
        """Return the range seen; it depends neither on `grid` nor on `symmetric`."""
        _require_data(self.lo is not None)
        return (float(self.lo), float(self.hi)) if self.axis is None else (self.lo, self.hi)


class MovingAverageObserver(MinMaxObserver):
    """An exponential moving average of each batch's minimum and maximum: torch's MovingAverageMinMaxObserver.

    ``lo += c * (batch_lo - lo)``, in float32; the first batch sets the range.

    Parameters
    ----------
    averaging_constant : float
        The weight c of a new batch, in (0, 1].
    axis : int, optional
        Average each slice along this axis on its own.

    Raises
    ------
    TypeError, ValueError
        If the constant is not a real number in (0, 1], or `axis` not an integer.

    Examples
    --------
    >>> observer = MovingAverageObserver(averaging_constant=0.5)
    >>> observer.update(np.array([0.0, 4.0])).update(np.array([0.0, 8.0])).range(grid=Grid(n_bits=8))
    (0.0, 6.0)
    """

    def __init__(self, *, averaging_constant: float = 0.01, axis: int | None = None):
        super().__init__(axis=axis)
        if not 0 < as_real("averaging_constant", averaging_constant) <= 1:
            raise ValueError(f"averaging_constant={averaging_constant} is outside (0, 1]; torch's default is 0.01")
        self.averaging_constant = np.float32(averaging_constant)

    def _accept(self, lo, hi):
        lo, hi = np.float32(lo), np.float32(hi)
        if self.lo is not None:
            c = self.averaging_constant
            with np.errstate(over="ignore"):
                lo, hi = self.lo + c * (lo - self.lo), self.hi + c * (hi - self.hi)
            if not np.isfinite([lo, hi]).all():
                raise ValueError("x is so far from the average that their difference leaves float32; rescale x")
        self.lo, self.hi = lo, hi


class HistogramObserver(Observer):
    """What the three observers that look at the whole distribution share: a `DyadicHistogram`."""

    def __init__(self):
        self.histogram = DyadicHistogram()

    def update(self, x):
        """Count a batch; an empty batch changes nothing."""
        self.histogram.update(x)
        return self


class PercentileObserver(HistogramObserver):
    """The range that holds the central mass: ``100 - percentile`` is cut off at each end.

    The bounds are bin edges moved outwards, never beyond the data: at most one bin wider than the exact quantiles
    (numpy's ``inverted_cdf``). ONNX Runtime's calibrator halves the excess: its percentile p cuts ``(100 - p) / 2`` at
    each end, so that its 99.98 is 99.99 here, and takes the lower edge of the bin at both. Asked for symmetric ranges
    it cuts ``100 - p`` of ``|x|``, as we do.

    Parameters
    ----------
    percentile : float
        In (50, 100]; 99.99 leaves one value in ten thousand outside at each end.

    Raises
    ------
    TypeError, ValueError
        If the percentile is not a real number in (50, 100].

    Examples
    --------
    >>> PercentileObserver(percentile=99.0).update(np.arange(1000.0)).range(grid=Grid(n_bits=8))
    (10.0, 989.25)
    """

    def __init__(self, *, percentile: float):
        super().__init__()
        if not 50 < as_real("percentile", percentile) <= 100:
            raise ValueError(f"percentile={percentile} is outside (50, 100]; 99.99 is usual, 100 is min-max")
        self.percentile = percentile

    def range(self, *, grid: Grid, symmetric: bool = False):
        """Return the range; with ``symmetric=True`` the percentile of ``|x|``, on both sides."""
        h = self.histogram
        _require_data(h.n)
        if symmetric:
            magnitudes = h.counts[BINS:] + h.counts[BINS - 1 :: -1]
            hi = _upper_edge(magnitudes, self.percentile) * h.bin_width
            hi = min(hi, max(-h.lo, h.hi))
            return -hi, hi
        hi = (_upper_edge(h.counts, self.percentile) - BINS) * h.bin_width
        lo = (BINS - _upper_edge(h.counts[::-1], self.percentile)) * h.bin_width
        return max(lo, h.lo), min(hi, h.hi)


class MSEObserver(HistogramObserver):
    """The range with the least expected squared error: rounding and clipping weighed against each other.

    Tries ``n_candidates`` shrunken copies of the min-max range on the histogram. Both ends shrink by one factor, as in
    most tools; a search over both would find slightly better ranges for lopsided data.

    Parameters
    ----------
    n_candidates : int
        How many factors ``k / n_candidates`` are tried. Of equal errors the wider range wins.

    Raises
    ------
    TypeError, ValueError
        If it is not an integer of 1 or more.

    Examples
    --------
    >>> x = np.append(np.linspace(-1, 1, 9999), 50.0)
    >>> lo, hi = MSEObserver().update(x).range(grid=Grid(n_bits=4))
    >>> hi < 50
    True
    """

    def __init__(self, *, n_candidates: int = 100):
        super().__init__()
        self.n_candidates = as_integer("n_candidates", n_candidates)
        if n_candidates < 1:
            raise ValueError(f"n_candidates={n_candidates}; pass 1 or more: at least one range must be tried")

    def range(self, *, grid: Grid, symmetric: bool = False):
        """Return the best range for this grid. Raises ValueError beyond 10 bits: the bins would be too coarse."""
        h = self.histogram
        _require_data(h.n)
        require_grid(grid)
        if grid.n_bits > 10:
            raise ValueError(f"grid.n_bits={grid.n_bits}: steps finer than the histogram's bins; use MinMaxObserver")
        occupied = h.counts > 0
        x, weights = h.centers[occupied].astype(np.float32), h.counts[occupied]
        factors = np.arange(self.n_candidates, 0, -1) / self.n_candidates

        def error(factor):
            qp = choose_qparams(h.lo * factor, h.hi * factor, grid=grid, symmetric=symmetric)
            return weights @ (x - fake_quantize(x, qp)).astype(np.float64) ** 2

        best = factors[np.argmin([error(factor) for factor in factors])]
        return float(h.lo * best), float(h.hi * best)


class EntropyObserver(HistogramObserver):
    """The symmetric clipping threshold whose quantized histogram is nearest to the original in KL divergence.

    Szymon Migacz, "8-bit Inference with TensorRT", GTC 2017. See `entropy_threshold`. The grid's levels are spread over
    ``[-threshold, threshold]`` even for one-sided data (after a ReLU), which so see half of them; the range then ends
    at their exact minimum. So in ONNX Runtime; but its default, 128 bins for 128 levels, leaves nothing to choose until
    a later batch widens the histogram.

    Examples
    --------
    >>> x = np.append(np.random.default_rng(0).normal(size=100_000), 40.0)
    >>> lo, hi = EntropyObserver().update(x).range(grid=Grid(n_bits=8))
    >>> 3 < hi < 20
    True
    """

    def range(self, *, grid: Grid, symmetric: bool = False):
        """Return ``(max(lo, -threshold), min(hi, threshold))``. Raises ValueError beyond 13 bits: too few bins."""
        h = self.histogram
        _require_data(h.n)
        require_grid(grid)
        threshold = entropy_threshold(h.counts, n_levels=grid.n_levels) * h.bin_width / 2
        return max(h.lo, -threshold), min(h.hi, threshold)


def _upper_edge(counts: np.ndarray, percentile: float) -> int:
    """Return the index of the first edge below which at least `percentile` percent of the counts lie."""
    needed = counts.sum() * percentile / 100  # in this order: 1000 * (99.9 / 100) is above 999
    return int(np.searchsorted(np.cumsum(counts), needed)) + 1


def _require_data(seen):
    if not seen:
        raise ValueError("the observer has seen no values; call update(x) with at least one batch first")
