# %% [markdown]
# # Exercises 15: Allocate bits
#
# Four exercises on [lesson 15](../../notebooks/15_allocate_bits.ipynb). Write each function, run the check, and ask
# `hint("15.1")` when you are stuck. `solution("15.1")` opens after an attempt.
#
# About 35 minutes in all, difficulty 1 to 2 of 3.
# &nbsp; [previous: Exercises 14](../../exercises/14_measure_sensitivity/14_measure_sensitivity.ipynb) ·
# [next: Exercises 16](../../exercises/16_design_networks_that_quantize_well/16_design_networks_that_quantize_well.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 15.1 Count the bytes of a layer &nbsp; (difficulty 1, 6 minutes)
#
# Return the bytes of `n_weights` weights packed at `n_bits` (4, 8, 16 or 32), with a float32 scale for each of
# `n_channels` channels where the weights are integers (4 and 8 bits). A started byte is a whole byte.


# %%
def layer_bytes_spec(n_weights: int, n_channels: int, n_bits: int) -> int:
    """Slow and obvious: lay down one bit after the other, and open a byte when the last one is full."""
    n_bytes, free = 0, 0
    for _ in range(n_weights * n_bits):
        if free == 0:
            n_bytes, free = n_bytes + 1, 8
        free -= 1
    for _ in range(n_channels):
        if n_bits in (4, 8):
            n_bytes += 4
    return n_bytes


# %%
def layer_bytes(n_weights: int, n_channels: int, n_bits: int) -> int:
    ### BEGIN SOLUTION
    packed = (n_weights * n_bits + 7) // 8
    return packed + (4 * n_channels if n_bits <= 8 else 0)
    ### END SOLUTION


# %%
check("15.1", layer_bytes)

# %% [markdown]
# ## 15.2 Find the best bargain &nbsp; (difficulty 2, 9 minutes)
#
# Every layer `l` has the choice `now[l]`. Return `(layer, choice)` of the change with the largest marginal ratio among those that cost
# more, lower the loss, and cost at most `room` more. There is always one; of equal ratios the first layer's first choice wins.


# %%
def best_bargain_spec(costs: np.ndarray, losses: np.ndarray, now: np.ndarray, room: float) -> tuple[int, int]:
    """Slow and obvious: look at every layer and every choice."""
    best, found = 0.0, None
    for layer in range(len(costs)):
        for choice in range(costs.shape[1]):
            more = costs[layer, choice] - costs[layer, now[layer]]
            gain = losses[layer, now[layer]] - losses[layer, choice]
            if more > 0 and gain > 0 and more <= room and gain / more > best:
                best, found = gain / more, (layer, choice)
    return found


# %%
def best_bargain(costs: np.ndarray, losses: np.ndarray, now: np.ndarray, room: float) -> tuple[int, int]:
    ### BEGIN SOLUTION
    rows = np.arange(len(costs))
    more = costs - costs[rows, now][:, None]
    gain = losses[rows, now][:, None] - losses
    allowed = (more > 0) & (gain > 0) & (more <= room)
    ratio = np.where(allowed, gain / np.where(more > 0, more, 1), -np.inf)
    layer, choice = np.unravel_index(ratio.argmax(), ratio.shape)
    return int(layer), int(choice)
    ### END SOLUTION


# %%
check("15.2", best_bargain)

# %% [markdown]
# ## 15.3 Add a layer to the table &nbsp; (difficulty 2, 10 minutes)
#
# `best[b]` is the least loss of the layers so far if they cost exactly `b` (infinity where nothing costs `b`). Return the table,
# of the same length, with one more layer, whose choices have the whole-number costs `cost` and the losses `loss`.


# %%
def add_layer_spec(best: np.ndarray, cost: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Slow and obvious: for each cost and each choice, what did the layers before spend?"""
    new = np.full(len(best), np.inf)
    for b in range(len(best)):
        for c, worse in zip(cost, loss, strict=True):
            if c <= b:
                new[b] = min(new[b], best[b - c] + worse)
    return new


# %%
def add_layer(best: np.ndarray, cost: np.ndarray, loss: np.ndarray) -> np.ndarray:
    ### BEGIN SOLUTION
    new = np.full(len(best), np.inf)
    for c, worse in zip(cost, loss, strict=True):
        if c < len(best):
            new[c:] = np.minimum(new[c:], best[: len(best) - c] + worse)
    return new
    ### END SOLUTION


# %%
check("15.3", add_layer)

# %% [markdown]
# ## 15.4 Keep what nothing beats &nbsp; (difficulty 2, 10 minutes)
#
# Return, for each point, whether it is on the Pareto front: no other point is at most as dear *and* at most as bad, and
# better in one of the two. Two equal points do not beat each other.


# %%
def on_front_spec(cost: np.ndarray, loss: np.ndarray) -> np.ndarray:
    """Slow and obvious: every point against every other."""
    keep = np.ones(len(cost), bool)
    for i in range(len(cost)):
        for j in range(len(cost)):
            no_worse = cost[j] <= cost[i] and loss[j] <= loss[i]
            if no_worse and (cost[j] < cost[i] or loss[j] < loss[i]):
                keep[i] = False
    return keep


# %%
def on_front(cost: np.ndarray, loss: np.ndarray) -> np.ndarray:
    ### BEGIN SOLUTION
    no_worse = (cost[None] <= cost[:, None]) & (loss[None] <= loss[:, None])
    better = (cost[None] < cost[:, None]) | (loss[None] < loss[:, None])
    return ~(no_worse & better).any(axis=1)
    ### END SOLUTION


# %%
check("15.4", on_front)
