# %% [markdown]
# # Exercises 14: Measure sensitivity
#
# Four exercises on [lesson 14](../../notebooks/14_measure_sensitivity.ipynb). Write each function, run the check, and ask
# `hint("14.1")` when you are stuck. `solution("14.1")` opens after an attempt.
#
# About 36 minutes in all, difficulty 1 to 3 of 3.
# &nbsp; [previous: Exercises 13](../../exercises/13_learn_the_quantizer/13_learn_the_quantizer.ipynb) ·
# [next: Exercises 15](../../exercises/15_allocate_bits/15_allocate_bits.ipynb)

# %%
import math
from collections.abc import Callable

import numpy as np

from quantlab.lab import check, hint, solution
from quantlab.lab.intervals import spearman

# %% [markdown]
# ## 14.1 How far did the answers move? &nbsp; (difficulty 1, 8 minutes)
#
# Return the mean over the samples of the KL divergence, in nats, from the softmax of `logits` to the softmax of `changed`, both
# (samples, classes). Logits may be as large as 1000: work with logarithms of probabilities, not with probabilities.


# %%
def mean_kl_spec(logits, changed):
    """Slow and obvious, and only good for small logits."""
    total = 0.0
    for z, z_changed in zip(logits, changed, strict=True):
        p = [math.exp(v) / sum(math.exp(u) for u in z) for v in z]
        q = [math.exp(v) / sum(math.exp(u) for u in z_changed) for v in z_changed]
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return total / len(logits)


print(mean_kl_spec(np.array([[0.0, 1.0]]), np.array([[0.0, 3.0]])))


# %%
def mean_kl(logits: np.ndarray, changed: np.ndarray) -> float:
    ### BEGIN SOLUTION
    def log_softmax(z):
        z = z - z.max(axis=1, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=1, keepdims=True))

    log_p, log_q = log_softmax(logits), log_softmax(changed)
    return float((np.exp(log_p) * (log_p - log_q)).sum(axis=1).mean())
    ### END SOLUTION


# %%
check("14.1", mean_kl)

# %% [markdown]
# ## 14.2 A trace from signs &nbsp; (difficulty 2, 8 minutes)
#
# `product(v)` returns $Hv$ for a matrix that nobody can see; `signs` is (probes, n), each value 1 or -1. Return Hutchinson's
# estimate of the trace and its standard error: the standard deviation over the probes (with probes - 1 in the
# denominator), divided by the root of their number.


# %%
def trace_spec(product, signs):
    """Slow and obvious: the whole matrix, column by column. Its trace is exact, and takes n products."""
    n = signs.shape[1]
    return sum(product(np.eye(n)[i])[i] for i in range(n)), 0.0


print(trace_spec(lambda v: np.array([[2.0, 1.0], [1.0, 5.0]]) @ v, np.ones((3, 2))))


# %%
def trace(product: Callable[[np.ndarray], np.ndarray], signs: np.ndarray) -> tuple[float, float]:
    ### BEGIN SOLUTION
    products = np.array([v @ product(v) for v in signs])
    return float(products.mean()), float(products.std(ddof=1) / np.sqrt(len(signs)))
    ### END SOLUTION


# %%
check("14.2", trace)

# %% [markdown]
# ## 14.3 Foretell the loss from slopes &nbsp; (difficulty 2, 8 minutes)
#
# `gradients` is (samples, n): the gradient of each sample's own loss. Return the increase of the loss that the empirical Fisher
# information expects of the change `d_W`, shape (n,): half the sum of $F_i\, \Delta W_i^2$.


# %%
def expected_increase_spec(gradients, d_W):
    """Slow and obvious."""
    total = 0.0
    for i in range(len(d_W)):
        F = sum(g[i] ** 2 for g in gradients) / len(gradients)
        total += F * d_W[i] ** 2 / 2
    return total


# %%
def expected_increase(gradients: np.ndarray, d_W: np.ndarray) -> float:
    ### BEGIN SOLUTION
    fisher = (gradients**2).mean(axis=0)
    return float((fisher * d_W**2).sum() / 2)
    ### END SOLUTION


# %%
check("14.3", expected_increase)

# %% [markdown]
# ## 14.4 Draw layers, not points &nbsp; (difficulty 3, 12 minutes)
#
# `predicted` and `true` are (layers, widths). `draws` is (resamples, layers): row by row, which layers a bootstrap drew. Return, for
# every row, the rank correlation *within* a width, averaged over the widths, of the layers drawn, each with all its widths.
# Use `spearman(x, y)`.


# %%
def resampled_spec(predicted, true, draws):
    """Slow and obvious, for the first row of draws alone."""
    layers, widths = predicted.shape
    drawn = [(predicted[i], true[i]) for i in draws[0]]
    each = [spearman([p[k] for p, _ in drawn], [t[k] for _, t in drawn]) for k in range(widths)]
    return np.array([sum(each) / widths])


# %%
def resampled(predicted: np.ndarray, true: np.ndarray, draws: np.ndarray) -> np.ndarray:
    ### BEGIN SOLUTION
    widths = range(predicted.shape[1])
    return np.array([np.mean([spearman(predicted[rows, k], true[rows, k]) for k in widths]) for rows in draws])
    ### END SOLUTION


# %%
check("14.4", resampled)
