"""A histogram that takes data in batches and does not depend on their order.

Its range is ``[-2**k, 2**k)`` with ``2 * BINS`` equal bins. When a larger value comes, k grows and neighbouring bins
merge: the new edges are a subset of the old ones, so nothing is ever redistributed by guess, as histograms with free
edges must. Counts after any split of the data into batches are those of one large batch.
"""

import numpy as np

from quantlab.core.arguments import as_reals

# Bins on each side of zero; between half of them and all of them lie below the largest |x|.
BINS = 4096


class DyadicHistogram:
    """Counts of values in ``2 * BINS`` equal bins over ``[-2**exponent, 2**exponent)``.

    Attributes
    ----------
    counts : array of int64, shape (2 * BINS,)
        Bin ``BINS + j`` holds values in ``[j, j + 1) * bin_width``.
    exponent : int
        The smallest exponent with ``max|x| < 2**exponent`` so far, but -126 or more.
    lo, hi : float
        Exact minimum and maximum so far.

    Examples
    --------
    >>> h = DyadicHistogram().update(np.array([0.5, -0.75], np.float32)).update(np.array([3.0], np.float32))
    >>> h.exponent, h.n, h.lo, h.hi
    (2, 3, -0.75, 3.0)
    """

    def __init__(self):
        self.counts = np.zeros(2 * BINS, np.int64)
        self.exponent = -126  # of float32's smallest normal number: finer bins would serve no scale
        self.lo, self.hi = np.inf, -np.inf

    @property
    def n(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    @property
    def bin_width(self) -> float:
        """Width of a bin, a power of two."""
        return 2.0**self.exponent / BINS

    @property
    def edges(self) -> np.ndarray:
        """The ``2 * BINS + 1`` edges, exact in float64."""
        return np.arange(-BINS, BINS + 1) * self.bin_width

    @property
    def centers(self) -> np.ndarray:
        """The middle of each bin."""
        return (np.arange(-BINS, BINS) + 0.5) * self.bin_width

    def update(self, x) -> "DyadicHistogram":
        """Count the values of a batch and return the histogram itself.

        Parameters
        ----------
        x : array of float, any shape
            An empty batch changes nothing.

        Raises
        ------
        TypeError, ValueError
            As `check_finite`.
        """
        x = check_finite(x).astype(np.float64).ravel()
        if x.size == 0:
            return self
        self.lo, self.hi = min(self.lo, float(x.min())), max(self.hi, float(x.max()))
        needed = int(np.frexp(max(-self.lo, self.hi))[1])  # frexp: |x| = f * 2**e with f in [0.5, 1), so |x| < 2**e
        if needed > self.exponent:
            self._merge(needed - self.exponent)
            self.exponent = needed
        index = np.floor(x / self.bin_width).astype(np.int64) + BINS  # division by a power of two is exact
        self.counts += np.bincount(index, minlength=2 * BINS)
        return self

    def _merge(self, doublings: int):
        """Merge ``2**doublings`` neighbouring bins into one, on each side of zero."""
        signed = np.arange(-BINS, BINS) >> doublings
        merged = np.bincount(signed + BINS, weights=self.counts, minlength=2 * BINS)
        self.counts = merged.astype(np.int64)  # counts below 2**53 are exact in float64


def check_finite(x) -> np.ndarray:
    """Return `x` as an array; raise ValueError if it holds NaN, or values that are infinite in float32.

    TypeError if it does not hold real numbers, or is a masked array.

    Examples
    --------
    >>> check_finite([1.0, 2.0])
    array([1., 2.])
    """
    x = as_reals("x", x)
    with np.errstate(over="ignore"):
        bad = ~np.isfinite(x.astype(np.float32, copy=False))
    if bad.any():
        raise ValueError(
            f"x holds {bad.sum()} values that are NaN or infinite in float32 (of {x.size}); a range needs finite data: "
            "find where they come from, or rescale x"
        )
    return x
