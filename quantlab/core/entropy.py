"""The clipping threshold that loses the least information: KL calibration.

Szymon Migacz, "8-bit Inference with TensorRT", GTC 2017, session S7310.
"""

import numpy as np

from quantlab.core.arguments import as_integer, as_reals


def entropy_threshold(counts: np.ndarray, *, n_levels: int) -> int:
    """Return how many central bins to keep so that quantizing them loses the least information.

    For every symmetric slice of the histogram, from `n_levels` bins on: P is the slice with the mass outside added to
    its two end bins; Q is the slice summed into `n_levels` equal runs (the last takes the remainder) and spread
    evenly again over the bins of each run where P is not empty. Empty bins get a probability of 1e-4, taken from the
    others. The slice with the smallest ``KL(P || Q)`` wins.

    Implementations differ in details: MXNet does as above; ONNX Runtime 1.32 truncates Q to integers and leaves the
    remainder bins of Q empty, so its thresholds prefer multiples of `n_levels`.

    Parameters
    ----------
    counts : array of int or float, shape (n_bins,)
        A histogram whose middle (an edge or a bin) is zero.
    n_levels : int
        Marks of the grid, 2 or more.

    Returns
    -------
    int
        The width of the best slice in bins; the threshold is half of it times the bin width. Of equal divergences the
        narrowest slice wins.

    Raises
    ------
    TypeError
        If `counts` does not hold real numbers, or `n_levels` is not an integer.
    ValueError
        If `n_levels` is below 2 or more than there are bins, or `counts` is not a row of counts with a finite sum
        above 0.

    Examples
    --------
    >>> entropy_threshold(np.array([0, 0, 5, 9, 9, 5, 0, 0]), n_levels=4)
    4
    """
    counts, n_levels = as_reals("counts", counts), as_integer("n_levels", n_levels)
    if counts.ndim != 1 or not (counts >= 0).all() or not 0 < counts.sum() < np.inf:
        raise ValueError(f"counts of shape {counts.shape}, sum {counts.sum()}, is no histogram; pass a row of counts")
    n_bins = len(counts)
    if not 2 <= n_levels <= n_bins:
        raise ValueError(
            f"n_levels={n_levels} is outside 2..{n_bins}, the number of bins; take a grid of fewer bits, or min-max"
        )
    best_width, best_divergence = n_bins, np.inf
    for start in range((n_bins - n_levels) // 2, -1, -1):
        inside = counts[start : n_bins - start]
        p = inside.astype(np.float64)
        p[0] += counts[:start].sum()
        p[-1] += counts[n_bins - start :].sum()
        run = len(inside) // n_levels
        run_starts = np.arange(n_levels) * run
        run_of_bin = np.minimum(np.arange(len(inside)) // run, n_levels - 1)
        mass = np.add.reduceat(inside, run_starts)
        used = np.add.reduceat(p != 0, run_starts, dtype=np.int64)
        q = np.where(p != 0, (mass / np.maximum(used, 1))[run_of_bin], 0)
        p, q = _smooth(p), _smooth(q)
        if p is None or q is None:
            continue
        divergence = np.sum(p / p.sum() * np.log((p / p.sum()) / (q / q.sum())))
        if divergence < best_divergence:
            best_width, best_divergence = len(inside), divergence
    return best_width


def _smooth(p: np.ndarray, epsilon: float = 1e-4):
    """Give empty bins `epsilon`, taken evenly from the others; None where these are too small to give it."""
    empty = p == 0
    n_empty, n_used = int(empty.sum()), int((~empty).sum())
    if n_used == 0:
        return None
    smoothed = p + np.where(empty, epsilon, -epsilon * n_empty / n_used)
    return smoothed if (smoothed > 0).all() else None
