# %% [markdown]
# # Exercises 07: Train through rounding
#
# Five exercises on [lesson 07](../../notebooks/07_train_through_rounding.ipynb). Write each function, run the check, and ask
# `hint("07.1")` when you are stuck. `solution("07.1")` opens after an attempt.
#
# About 42 minutes in all, difficulty 1 to 2 of 3.
# &nbsp; [previous: Exercises 06](../../exercises/06_compute_with_integers/06_compute_with_integers.ipynb) ·
# [next: Exercises 08](../../exercises/08_quantize_a_network/08_quantize_a_network.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 07.1 Let the gradient through &nbsp; (difficulty 1, 6 minutes)
#
# Return the gradient by `x` of a loss whose gradient by `fake_quantize(x)` is `dy`, under the straight-through rule. The
# rounded value, zero point included, decides; a value on the last mark still passes.


# %%
def straight_through_spec(
    dy: np.ndarray, x: np.ndarray, scale: float, zero_point: int, quant_min: int, quant_max: int
) -> np.ndarray:
    """Slow and obvious: one value at a time, with Python's round, which sends ties to the even integer."""
    dx = np.zeros_like(dy)
    for i, value in enumerate(x):
        if quant_min <= round(float(value) / scale) + zero_point <= quant_max:
            dx[i] = dy[i]
    return dx


# %%
def straight_through(
    dy: np.ndarray, x: np.ndarray, scale: float, zero_point: int, quant_min: int, quant_max: int
) -> np.ndarray:
    ### BEGIN SOLUTION
    q = np.rint(x / scale) + zero_point
    return dy * ((q >= quant_min) & (q <= quant_max))
    ### END SOLUTION


# %%
check("07.1", straight_through)

# %% [markdown]
# ## 07.2 Put noise in place of rounding &nbsp; (difficulty 1, 6 minutes)
#
# Return `x` plus an error that looks like that of rounding to steps of `scale`: drawn anew for each value, uniform
# over one step, half of it below zero and half above. Draw from `rng`; infinite ranges, so nothing is clipped.


# %%
def noisy_spec(x: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    """Slow and obvious: one value at a time."""
    out = np.empty(x.shape, np.float64)
    for i, value in np.ndenumerate(x):
        out[i] = value + rng.uniform(-scale / 2, scale / 2)
    return out


# %%
def noisy(x: np.ndarray, scale: float, rng: np.random.Generator) -> np.ndarray:
    ### BEGIN SOLUTION
    return x + scale * (rng.random(x.shape) - 0.5)
    ### END SOLUTION


# %%
check("07.2", noisy)

# %% [markdown]
# ## 07.3 Go back through a layer &nbsp; (difficulty 2, 10 minutes)
#
# A layer computed `Y = X_hat @ W_hat.T`, where `X_hat` and `W_hat` are the fake-quantized `X` and `W`, and the masks say where
# straight-through lets a gradient pass. From `dY`, return the gradients `(dX, dW)` by the values *before* quantization.


# %%
def backward_spec(
    dY: np.ndarray, X_hat: np.ndarray, W_hat: np.ndarray, X_mask: np.ndarray, W_mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slow and obvious: every product of the forward pass, once."""
    dX, dW = np.zeros(X_hat.shape), np.zeros(W_hat.shape)
    for n in range(X_hat.shape[0]):
        for o in range(W_hat.shape[0]):
            for k in range(X_hat.shape[1]):  # Y[n, o] += X_hat[n, k] * W_hat[o, k]
                dX[n, k] += dY[n, o] * W_hat[o, k] * X_mask[n, k]
                dW[o, k] += dY[n, o] * X_hat[n, k] * W_mask[o, k]
    return dX, dW


# %%
def backward(
    dY: np.ndarray, X_hat: np.ndarray, W_hat: np.ndarray, X_mask: np.ndarray, W_mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """dY: (samples, out), X_hat and X_mask: (samples, in), W_hat and W_mask: (out, in)."""
    ### BEGIN SOLUTION
    return (dY @ W_hat) * X_mask, (dY.T @ X_hat) * W_mask
    ### END SOLUTION


# %%
check("07.3", backward)

# %% [markdown]
# ## 07.4 Train one weight &nbsp; (difficulty 2, 10 minutes)
#
# Train a weight for `n_steps` straight through, with marks at the integers (`np.rint`), no clipping, and the loss
# `(w_hat - target)**2 / 2`. Return the list of the `w_hat` that the forward passes used, the first one included.
#
# This one has no specification: the lesson's experiment is one. With `target=0.3, w=0.1, lr=0.25` the first six are
# 0, and the seventh is 1.


# %%
def train_weight(target: float, w: float, lr: float, n_steps: int) -> list[float]:
    ### BEGIN SOLUTION
    used = []
    for _ in range(n_steps):
        w_hat = float(np.rint(w))
        used.append(w_hat)
        w = w - lr * (w_hat - target)
    return used
    ### END SOLUTION


# %%
check("07.4", train_weight)

# %% [markdown]
# ## 07.5 Find the network that quantizes nothing &nbsp; (difficulty 2, 10 minutes)
#
# Somebody says that a layer computes with `n_bits`-bit weights, and gives you the weights `W_hat` that its forward pass used and
# the scale of each row. Return True if that can be so: every value is a whole number of its row's steps, to within a
# thousandth of a step, and every number lies on the signed grid.


# %%
def on_grid_spec(W_hat: np.ndarray, scale: np.ndarray, n_bits: int) -> bool:
    """Slow and obvious: look for the mark of every weight."""
    for row, s in zip(W_hat, scale, strict=True):
        for value in row:
            marks = range(-(2 ** (n_bits - 1)), 2 ** (n_bits - 1))
            if not any(abs(value / s - mark) <= 1e-3 for mark in marks):
                return False
    return True


# %%
def on_grid(W_hat: np.ndarray, scale: np.ndarray, n_bits: int) -> bool:
    """W_hat: (out, in) float32, scale: (out,) float32."""
    ### BEGIN SOLUTION
    steps = W_hat / scale[:, None]
    codes = np.rint(steps)
    whole = np.abs(steps - codes) <= 1e-3
    inside = (codes >= -(2 ** (n_bits - 1))) & (codes <= 2 ** (n_bits - 1) - 1)
    return bool((whole & inside).all())
    ### END SOLUTION


# %%
check("07.5", on_grid)
