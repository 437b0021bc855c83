"""Numbers with their uncertainty: what a count, a mean or a correlation on a few samples can say about the rest.

Sixty samples are few. Each function here returns an `Interval`: the number that was measured, and the ends between
which the number for the whole population plausibly lies. Two numbers measured on the *same* samples are compared by
the interval of their difference, not by whether their two intervals overlap.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from quantlab.core.arguments import as_integer, as_real, as_reals


@dataclass(frozen=True)
class Interval:
    """A measured value between the ends of its confidence interval, with the number of samples.

    A format specification is applied to all three numbers.

    Attributes
    ----------
    value, low, high : float
    n : int
        Samples behind it.
    confidence : float
        How often such an interval holds the true value, if the measurement were repeated.

    Example
    -------
    >>> print(f"{Interval(value=0.9, low=0.8, high=0.95, n=60, confidence=0.95):.0%}")
    90% [80%, 95%]
    """

    value: float
    low: float
    high: float
    n: int
    confidence: float

    def __format__(self, spec: str) -> str:
        return f"{self.value:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    def __str__(self) -> str:
        return f"{self:.3f}"


def wilson(k: int, n: int, *, confidence: float = 0.95) -> Interval:
    r"""Return the share ``k / n`` with Wilson's score interval.

    .. math:: \frac{1}{1 + z^2/n} \left( \frac{k}{n} + \frac{z^2}{2n}
              \pm z \sqrt{\frac{(k/n)(1 - k/n)}{n} + \frac{z^2}{4n^2}} \right)

    with z the normal quantile of the confidence, 1.96 for 95 %.

    Parameters
    ----------
    k, n : int
        Successes, and independent samples; 0 <= k <= n, n at least 1.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    TypeError
        If k or n is not an integer, or the confidence not a number.
    ValueError
        If they are outside these ranges.

    Notes
    -----
    It stays inside [0, 1], and is not empty at k = 0 or k = n, where the textbook's p +- 1.96 s is: there one end is
    exactly 0 or 1. Crops of one photograph are not independent samples: their interval is wider than this.

    References
    ----------
    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22, 1927.

    Example
    -------
    >>> print(f"{wilson(57, 60):.1%}")
    95.0% [86.3%, 98.3%]
    """
    k, n = as_integer("k", k), as_integer("n", n)
    if n < 1 or not 0 <= k <= n:
        raise ValueError(f"k={k}, n={n}; expected 0 <= k <= n and n at least 1: k counts successes among n samples")
    z = NormalDist().inv_cdf((1 + _confidence(confidence)) / 2)
    p = k / n
    centre = p + z**2 / (2 * n)
    half = z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low = 0.0 if k == 0 else (centre - half) / (1 + z**2 / n)
    high = 1.0 if k == n else (centre + half) / (1 + z**2 / n)
    return Interval(value=p, low=low, high=high, n=n, confidence=confidence)


def bootstrap(
    statistic: Callable[..., float],
    *samples: np.ndarray,
    rng: np.random.Generator,
    n_resamples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Return ``statistic(*samples)`` with its percentile bootstrap interval.

    Draw n rows with replacement, compute the statistic, repeat; the interval's ends are quantiles of what came out.
    The same rows are drawn from every sample, so that pairs stay pairs: pass two measurements of the same rows, and a
    statistic that subtracts, to get the interval of a difference.

    Parameters
    ----------
    statistic : callable
        Takes as many arrays as there are samples, and returns one number.
    *samples : ndarray, shape (n, ...)
        Of the same length n, at least 2.
    rng : numpy Generator
    n_resamples : int
        At least 100.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If lengths differ, there are fewer than 2 rows or 100 resamples, the confidence is outside (0, 1), or the
        statistic is not finite on the samples or on one of the resamples.
    TypeError
        If `n_resamples` is not an integer, or the confidence not a number.

    Notes
    -----
    A statistic that hardly varies gets a narrow interval: if all rows are equal, one of width 0. With few rows (below
    some 30) the interval is too narrow. The ends themselves scatter with `rng`; 2,000 resamples keep that small.

    References
    ----------
    B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7, 1979.

    Example
    -------
    >>> x = np.arange(100.0)
    >>> mean = bootstrap(np.mean, x, rng=np.random.default_rng(0))
    >>> mean.value, round(mean.high - mean.low)
    (49.5, 11)
    """
    rows = [np.asarray(sample) for sample in samples]
    lengths = [len(sample) if sample.ndim else 0 for sample in rows]
    if not lengths or len(set(lengths)) > 1 or lengths[0] < 2:
        raise ValueError(f"samples of lengths {lengths}; expected one or more of the same length, at least 2")
    if as_integer("n_resamples", n_resamples) < 100:
        raise ValueError(f"n_resamples={n_resamples}; take at least 100: the ends are quantiles of as many numbers")
    tail = (1 - _confidence(confidence)) / 2
    n, found = lengths[0], np.empty(n_resamples)
    value = float(statistic(*rows))
    for i in range(n_resamples):
        drawn = rng.integers(0, n, n)
        found[i] = statistic(*[sample[drawn] for sample in rows])
    if not (np.isfinite(value) and np.isfinite(found).all()):
        raise ValueError(
            f"the statistic is {value} on the samples, and not finite on {(~np.isfinite(found)).sum()} of "
            f"{n_resamples} resamples; is it defined when rows repeat?"
        )
    low, high = np.quantile(found, [tail, 1 - tail])
    return Interval(value=value, low=float(low), high=float(high), n=n, confidence=confidence)


def spearman(x: np.ndarray, y: np.ndarray) -> float:
    """Return Spearman's rank correlation: Pearson's correlation of the ranks of x with the ranks of y.

    1 if y grows whenever x does, -1 if it falls, near 0 if they know nothing of each other. Only the order counts.

    Parameters
    ----------
    x, y : array_like of float, shape (n,), n at least 2

    Returns
    -------
    float
        Equal values share the mean of their ranks. NaN if all x or all y are equal: then there is no order.

    Raises
    ------
    TypeError
        If an array does not hold real numbers.
    ValueError
        If the shapes differ, are not (n,), n is below 2, or a value is NaN. Infinities have ranks like all others.

    Example
    -------
    >>> spearman([0.1, 0.5, 0.7, 0.9], [0, 1, 3, 5])
    1.0
    """
    x, y = as_reals("x", x), as_reals("y", y)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 2:
        raise ValueError(f"x has shape {x.shape}, y {y.shape}; expected two of the same shape (n,), n at least 2")
    if np.isnan(x).any() or np.isnan(y).any():
        raise ValueError("x or y holds NaN, which has no rank; leave these rows out")
    a, b = _ranks(x), _ranks(y)
    a, b = a - a.mean(), b - b.mean()
    norm = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / norm if norm else math.nan


def _ranks(x: np.ndarray) -> np.ndarray:
    """Return the rank of each value, from 0; equal values share the mean of theirs."""
    _, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts - 1) / 2)[which]


def _confidence(value: float) -> float:
    """Return the confidence; raise ValueError outside (0, 1)."""
    if not 0 < as_real("confidence", value) < 1:
        raise ValueError(f"confidence={value}; expected a number between 0 and 1, such as 0.95")
    return float(value)
