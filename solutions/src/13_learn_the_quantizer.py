# %% [markdown]
# # Exercises 13: Learn the quantizer
#
# Five exercises on [lesson 13](../../notebooks/13_learn_the_quantizer.ipynb). Write each function, run the check, and ask
# `hint("13.1")` when you are stuck. `solution("13.1")` opens after an attempt.
#
# About 44 minutes in all, difficulty 1 to 2 of 3.
# &nbsp; [previous: Exercises 12](../../exercises/12_train_with_fake_quantization/12_train_with_fake_quantization.ipynb) ·
# [next: Exercises 14](../../exercises/14_measure_sensitivity/14_measure_sensitivity.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 13.1 Find the slope of a step &nbsp; (difficulty 2, 10 minutes)
#
# Return, for each value of `v`, the slope of its quantized value by the step `s`, as LSQ defines it. Whether a value is inside is
# decided on the rounded quotient, as always.


# %%
def step_slope_spec(v: np.ndarray, s: float, quant_min: int, quant_max: int) -> np.ndarray:
    """Slow and obvious: move the step a little; v_hat = v + s * error, the rounding error in steps held fixed."""
    out, h = np.empty(len(v)), 1e-4
    for i, value in enumerate(v):
        code = round(float(value) / s)
        if quant_min <= code <= quant_max:
            error = code - value / s
            out[i] = ((value + (s + h) * error) - (value + s * error)) / h
        else:
            end = min(max(code, quant_min), quant_max)
            out[i] = ((s + h) * end - s * end) / h
    return out


# %%
def step_slope(v: np.ndarray, s: float, quant_min: int, quant_max: int) -> np.ndarray:
    ### BEGIN SOLUTION
    rounded = np.rint(v / s)
    q = np.clip(rounded, quant_min, quant_max)
    return np.where(q == rounded, q - v / s, q)
    ### END SOLUTION


# %%
check("13.1", step_slope)

# %% [markdown]
# ## 13.2 Choose the first step &nbsp; (difficulty 1, 6 minutes)
#
# Return LSQ's first step for each row of `W`, shape `(rows,)`. `quant_max` is the largest mark of the grid.


# %%
def first_steps_spec(W: np.ndarray, quant_max: int) -> np.ndarray:
    """Slow and obvious: one row at a time, one weight at a time."""
    steps = []
    for row in W:
        total = 0.0
        for w in row:
            total += abs(float(w))
        steps.append(2 * total / len(row) / quant_max**0.5)
    return np.array(steps)


# %%
def first_steps(W: np.ndarray, quant_max: int) -> np.ndarray:
    ### BEGIN SOLUTION
    return 2 * np.abs(W).mean(axis=1) / np.sqrt(quant_max)
    ### END SOLUTION


# %%
check("13.2", first_steps)

# %% [markdown]
# ## 13.3 Balance the gradient &nbsp; (difficulty 2, 10 minutes)
#
# A layer's inputs, `(samples, features)`, share one step. Given the gradient by the quantized inputs and the slope of each by the step,
# return the gradient of the step, multiplied by LSQ's gradient scale; for activations its `n` is the number of *features* of one sample.


# %%
def step_gradient_spec(dx_hat: np.ndarray, slope: np.ndarray, quant_max: int) -> float:
    """Slow and obvious: every value pulls at the one step."""
    total = 0.0
    for sample, slopes in zip(dx_hat, slope, strict=True):
        for d, t in zip(sample, slopes, strict=True):
            total += float(d) * float(t)
    n = len(dx_hat[0])
    return total / (n * quant_max) ** 0.5


# %%
def step_gradient(dx_hat: np.ndarray, slope: np.ndarray, quant_max: int) -> float:
    ### BEGIN SOLUTION
    return float((dx_hat * slope).sum() / np.sqrt(dx_hat.shape[1] * quant_max))
    ### END SOLUTION


# %%
check("13.3", step_gradient)

# %% [markdown]
# ## 13.4 Go back through PACT &nbsp; (difficulty 2, 10 minutes)
#
# Return `(dx, d_alpha)` for activations that PACT clipped to 0 and `alpha`. The loss has the term
# `decay / 2 * alpha**2` besides what `dy` knows of.


# %%
def pact_spec(dy: np.ndarray, x: np.ndarray, alpha: float, decay: float) -> tuple[np.ndarray, float]:
    """Slow and obvious: one value at a time."""
    dx, d_alpha = np.zeros(len(x)), decay * alpha
    for i, value in enumerate(x):
        if value >= alpha:
            d_alpha += float(dy[i])
        elif value >= 0:
            dx[i] = dy[i]
    return dx, d_alpha


# %%
def pact(dy: np.ndarray, x: np.ndarray, alpha: float, decay: float) -> tuple[np.ndarray, float]:
    ### BEGIN SOLUTION
    clipped = x >= alpha
    dx = dy * ((x >= 0) & ~clipped)
    return dx, float(dy[clipped].sum() + decay * alpha)
    ### END SOLUTION


# %%
check("13.4", pact)

# %% [markdown]
# ## 13.5 Round a random part &nbsp; (difficulty 1, 8 minutes)
#
# Quant-Noise: return the weights of which each, by itself and with probability `share`, is replaced by its quantized value from
# `W_hat`. Draw from `rng`, one number a weight.


# %%
def quant_noise_spec(W: np.ndarray, W_hat: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Slow and obvious: a coin for every weight."""
    out = W.copy()
    for place in np.ndindex(*W.shape):
        if rng.random() < share:
            out[place] = W_hat[place]
    return out


# %%
def quant_noise(W: np.ndarray, W_hat: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    ### BEGIN SOLUTION
    return np.where(rng.random(W.shape) < share, W_hat, W)
    ### END SOLUTION


# %%
check("13.5", quant_noise)
