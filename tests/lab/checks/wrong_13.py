"""Plausible wrong answers to the exercises of lesson 13, and what the verdict on each must say."""

import numpy as np

from quantlab.lab.checks.proof import wrong


@wrong("13.1", says="you return the mark alone")
def mark_alone(v, s, quant_min, quant_max):
    q = np.clip(np.rint(v / s), quant_min, quant_max)
    return np.where(np.abs(v) < 0.5, q - v / s, q)


@wrong("13.1", says="it is the other way round")
def turned_round(v, s, quant_min, quant_max):
    rounded = np.rint(v / s)
    q = np.clip(rounded, quant_min, quant_max)
    return np.where(q == rounded, v / s - q, q)


@wrong("13.1", says="what is left of rounding")
def pacts(v, s, quant_min, quant_max):
    rounded = np.rint(v / s)
    q = np.clip(rounded, quant_min, quant_max)
    return np.where(q == rounded, 0, q)


@wrong("13.1", says="above the grid v_hat is s * quant_max")
def outside_as_inside(v, s, quant_min, quant_max):
    return np.clip(np.rint(v / s), quant_min, quant_max) - v / s


@wrong("13.1", says="the rounded value decides, not v / s")
def real_range_decides(v, s, quant_min, quant_max):
    u = v / s
    q = np.clip(np.rint(u), quant_min, quant_max)
    return np.where((u >= quant_min) & (u <= quant_max), q - u, q)


@wrong("13.1", says="2.5 lies on a tie")
def ties_up(v, s, quant_min, quant_max):
    rounded = np.floor(v / s + 0.5)
    q = np.clip(rounded, quant_min, quant_max)
    return np.where(q == rounded, q - v / s, q)


@wrong("13.1", says="divide by the step before you round")
def step_forgotten(v, s, quant_min, quant_max):
    rounded = np.rint(v)
    q = np.clip(rounded, quant_min, quant_max)
    return np.where(q == rounded, q - v, q)


@wrong("13.2", says="positive and negative weights cancel")
def no_magnitude(W, quant_max):
    return 2 * W.mean(axis=1) / np.sqrt(quant_max)


@wrong("13.2", says="one outlier must not set the step")
def largest(W, quant_max):
    return 2 * np.abs(W).max(axis=1) / np.sqrt(quant_max)


@wrong("13.2", says="you average over columns")
def columns(W, quant_max):
    return 2 * np.abs(W).mean(axis=0) / np.sqrt(quant_max)


@wrong("13.2", says="off by a factor of 2")
def once_the_mean(W, quant_max):
    return np.abs(W).mean(axis=1) / np.sqrt(quant_max)


@wrong("13.2", says="divide by the root of quant_max")
def no_root(W, quant_max):
    return 2 * np.abs(W).mean(axis=1) / quant_max


@wrong("13.2", says="each row has its own")
def one_for_all(W, quant_max):
    return np.full(len(W), 2 * np.abs(W).mean() / np.sqrt(quant_max))


@wrong("13.3", says="this is the sum alone")
def no_scale(dx_hat, slope, quant_max):
    return float((dx_hat * slope).sum())


@wrong("13.3", says="you average")
def mean_of_terms(dx_hat, slope, quant_max):
    return float((dx_hat * slope).mean() / np.sqrt(dx_hat.shape[1] * quant_max))


@wrong("13.3", says="your n counts all values")
def all_values(dx_hat, slope, quant_max):
    return float((dx_hat * slope).sum() / np.sqrt(dx_hat.size * quant_max))


@wrong("13.3", says="your n counts samples")
def samples(dx_hat, slope, quant_max):
    return float((dx_hat * slope).sum() / np.sqrt(len(dx_hat) * quant_max))


@wrong("13.3", says="the root is missing")
def without_root(dx_hat, slope, quant_max):
    return float((dx_hat * slope).sum() / (dx_hat.shape[1] * quant_max))


@wrong("13.3", says="quant_max is missing")
def without_quant_max(dx_hat, slope, quant_max):
    return float((dx_hat * slope).sum() / np.sqrt(dx_hat.shape[1]))


@wrong("13.3", says="multiply value by value before you add")
def sums_multiplied(dx_hat, slope, quant_max):
    return float(dx_hat.sum() * slope.mean() / np.sqrt(dx_hat.shape[1] * quant_max))


@wrong("13.4", says="below 0 PACT is flat")
def no_relu(dy, x, alpha, decay):
    return dy * (x < alpha), float(dy[x >= alpha].sum() + decay * alpha)


@wrong("13.4", says="the paper counts it as clipped")
def open_end(dy, x, alpha, decay):
    return dy * ((x >= 0) & (x <= alpha)), float(dy[x > alpha].sum() + decay * alpha)


@wrong("13.4", says="whatever x")
def no_clip(dy, x, alpha, decay):
    return dy * (x >= 0), float(dy[x >= alpha].sum() + decay * alpha)


@wrong("13.4", says="0 belongs to the inside")
def dead_at_zero(dy, x, alpha, decay):
    return dy * ((x > 0) & (x < alpha)), float(dy[x >= alpha].sum() + decay * alpha)


@wrong("13.4", says="multiply by their dy")
def counted(dy, x, alpha, decay):
    clipped = x >= alpha
    return dy * ((x >= 0) & ~clipped), float(clipped.sum() + decay * alpha)


@wrong("13.4", says="you average")
def averaged(dy, x, alpha, decay):
    clipped = x >= alpha
    return dy * ((x >= 0) & ~clipped), float(dy[clipped].mean() if clipped.any() else 0.0) + decay * alpha


@wrong("13.4", says="the decay is missing")
def no_decay(dy, x, alpha, decay):
    clipped = x >= alpha
    return dy * ((x >= 0) & ~clipped), float(dy[clipped].sum())


@wrong("13.4", says="this is the term of the loss")
def decay_as_loss(dy, x, alpha, decay):
    clipped = x >= alpha
    return dy * ((x >= 0) & ~clipped), float(dy[clipped].sum() + decay / 2 * alpha**2)


@wrong("13.4", says="its gradient is positive")
def decay_subtracted(dy, x, alpha, decay):
    clipped = x >= alpha
    return dy * ((x >= 0) & ~clipped), float(dy[clipped].sum() - decay * alpha)


@wrong("13.5", says="it is the other way round")
def inverted(W, W_hat, share, rng):
    return np.where(rng.random(W.shape) < share, W, W_hat)


@wrong("13.5", says="you draw once for all weights")
def one_coin(W, W_hat, share, rng):
    return W_hat.copy() if rng.random() < share else W.copy()


@wrong("13.5", says="you draw once for each row")
def a_coin_a_row(W, W_hat, share, rng):
    return np.where(rng.random((len(W), 1)) < share, W_hat, W)


@wrong("13.5", says="nothing is mixed")
def interpolated(W, W_hat, share, rng):
    return (1 - share) * W + share * W_hat


@wrong("13.5", says="draw from rng, not elsewhere")
def own_generator(W, W_hat, share, rng):
    return np.where(np.random.default_rng().random(W.shape) < share, W_hat, W)


@wrong("13.5", says="draw for each weight by itself")
def exactly_so_many(W, W_hat, share, rng):
    order = rng.random(W.shape).argsort(axis=1).argsort(axis=1)
    return np.where(order < round(share * W.shape[1]), W_hat, W)


@wrong("13.5", says="whatever the generator")
def a_share_of_the_whole(W, W_hat, share, rng):
    order = rng.permutation(W.size).reshape(W.shape)
    return np.where(order < round(share * W.size), W_hat, W)


@wrong("13.5", says="neither from W nor from W_hat")
def set_to_zero(W, W_hat, share, rng):
    return np.where(rng.random(W.shape) < share, 0, W)
