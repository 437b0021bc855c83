# %% [markdown]
# # Exercises 09: Repair what PTQ breaks
#
# Five exercises on [lesson 09](../../notebooks/09_repair_what_ptq_breaks.ipynb). Write each function, run the check, and ask
# `hint("09.1")` when you are stuck. `solution("09.1")` opens after an attempt.
#
# About 46 minutes in all, difficulty 1 to 3 of 3.
# &nbsp; [previous: Exercises 08](../../exercises/08_quantize_a_network/08_quantize_a_network.ipynb) ·
# [next: Exercises 10](../../exercises/10_convert_with_tflite/10_convert_with_tflite.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 09.1 Equalize a pair &nbsp; (difficulty 2, 10 minutes)
#
# Two linear layers with a ReLU between them: return `(W1, b1, W2)` such that the largest weight of every hidden channel is
# equally large in `W1` and in `W2`, and the two layers compute what they did. Leave a channel alone that is all zero on
# either side.


# %%
def equalize_pair_spec(W1: np.ndarray, b1: np.ndarray, W2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slow and obvious: halve the distance between the two ranges of a channel, over and over."""
    W1, b1, W2 = W1.copy(), b1.copy(), W2.copy()
    for i in range(len(b1)):
        for _ in range(60):
            r1, r2 = np.abs(W1[i]).max(), np.abs(W2[:, i]).max()
            if r1 == 0 or r2 == 0:
                break
            step = (r1 / r2) ** 0.25
            W1[i], b1[i], W2[:, i] = W1[i] / step, b1[i] / step, W2[:, i] * step
    return W1, b1, W2


# %%
def equalize_pair(W1: np.ndarray, b1: np.ndarray, W2: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """W1: (hidden, in), b1: (hidden,), W2: (out, hidden), all float64."""
    ### BEGIN SOLUTION
    r1, r2 = np.abs(W1).max(axis=1), np.abs(W2).max(axis=0)
    alive = (r1 > 0) & (r2 > 0)
    s = np.ones(len(b1))
    s[alive] = np.sqrt(r1[alive] / r2[alive])
    return W1 / s[:, None], b1 / s, W2 * s
    ### END SOLUTION


# %%
check("09.1", equalize_pair)

# %% [markdown]
# ## 09.2 Absorb a high bias &nbsp; (difficulty 2, 8 minutes)
#
# Before its ReLU, hidden channel i is normal with a known mean and standard deviation. Take `c = max(0, mean - 3 * std)` out
# of the first bias, and return `(b1, b2)` such that the second layer does not notice, as long as no value lies below `c`.


# %%
def absorb_spec(
    b1: np.ndarray, W2: np.ndarray, b2: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slow and obvious: one hidden channel at a time, one output at a time."""
    b1, b2 = b1.copy(), b2.copy()
    for i in range(len(b1)):
        c = max(0.0, mean[i] - 3 * std[i])
        b1[i] -= c
        for o in range(len(b2)):
            b2[o] += W2[o, i] * c
    return b1, b2


# %%
def absorb(
    b1: np.ndarray, W2: np.ndarray, b2: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """b1, mean, std: (hidden,), W2: (out, hidden), b2: (out,), all float64."""
    ### BEGIN SOLUTION
    c = np.maximum(0, mean - 3 * std)
    return b1 - c, b2 + W2 @ c
    ### END SOLUTION


# %%
check("09.2", absorb)

# %% [markdown]
# ## 09.3 Correct a bias &nbsp; (difficulty 1, 6 minutes)
#
# `W_hat` is what rounding made of `W`. Return the bias with which the mean output on the samples `X` is again what it was.


# %%
def corrected_bias_spec(b: np.ndarray, W: np.ndarray, W_hat: np.ndarray, X: np.ndarray) -> np.ndarray:
    """Slow and obvious: run both layers on every sample, and compare the means."""
    shift = np.zeros_like(b)
    for x in X:
        shift += ((W_hat @ x + b) - (W @ x + b)) / len(X)
    return b - shift


# %%
def corrected_bias(b: np.ndarray, W: np.ndarray, W_hat: np.ndarray, X: np.ndarray) -> np.ndarray:
    """b: (out,), W and W_hat: (out, in), X: (samples, in), all float64. One matrix-vector product is enough."""
    ### BEGIN SOLUTION
    return b - (W_hat - W) @ X.mean(axis=0)
    ### END SOLUTION


# %%
check("09.3", corrected_bias)

# %% [markdown]
# ## 09.4 Round softly &nbsp; (difficulty 2, 10 minutes)
#
# Return AdaRound's soft weights $s\,\mathrm{clip}(\lfloor W / s \rfloor + h(V),\, q_{\min},\, q_{\max})$ with
# $h(V) = \mathrm{clip}(1.2\,\sigma(V) - 0.1,\, 0,\, 1)$, where $\sigma(v) = 1 / (1 + e^{-v})$.


# %%
def soft_weights_spec(W: np.ndarray, V: np.ndarray, s: float, quant_min: int, quant_max: int) -> np.ndarray:
    """Slow and obvious: one weight at a time."""
    from math import exp, floor

    soft = np.empty_like(W)
    for i in np.ndindex(*W.shape):
        h = 1.2 / (1 + exp(-V[i])) - 0.1
        h = min(max(h, 0.0), 1.0)
        soft[i] = s * min(max(floor(W[i] / s) + h, quant_min), quant_max)
    return soft


# %%
def soft_weights(W: np.ndarray, V: np.ndarray, s: float, quant_min: int, quant_max: int) -> np.ndarray:
    """W and V: float64 of one shape, s: the scale of all weights."""
    ### BEGIN SOLUTION
    h = np.clip(1.2 / (1 + np.exp(-V)) - 0.1, 0, 1)
    return s * np.clip(np.floor(W / s) + h, quant_min, quant_max)
    ### END SOLUTION


# %%
check("09.4", soft_weights)

# %% [markdown]
# ## 09.5 Draw pictures, not crops &nbsp; (difficulty 3, 12 minutes)
#
# `agree` says for each crop whether two networks name the same class, `picture` which photograph it is from, numbered from 0.
# Each row of `draws` is one resample of whole photographs; return the 2.5 % and the 97.5 % quantile (`np.quantile`) of the
# share of crops that agree. Photographs have different numbers of crops.


# %%
def picture_interval_spec(agree: np.ndarray, picture: np.ndarray, draws: np.ndarray) -> tuple[float, float]:
    """Slow and obvious: put the crops of every drawn photograph on one heap, as often as it was drawn."""
    shares = []
    for row in draws:
        heap = []
        for k in row:
            heap.extend(agree[picture == k].tolist())
        shares.append(sum(heap) / len(heap))
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)


# %%
def picture_interval(agree: np.ndarray, picture: np.ndarray, draws: np.ndarray) -> tuple[float, float]:
    """agree: (crops,) bool, picture: (crops,) int, draws: (resamples, pictures) int. Without a loop over crops."""
    ### BEGIN SOLUTION
    hits = np.bincount(picture, weights=agree)
    n = np.bincount(picture)
    shares = hits[draws].sum(axis=1) / n[draws].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return float(low), float(high)
    ### END SOLUTION


# %%
check("09.5", picture_interval)
