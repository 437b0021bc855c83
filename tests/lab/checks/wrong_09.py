"""Plausible wrong answers to the exercises of lesson 09, and what the verdict on each must say."""

import numpy as np

from quantlab.lab.checks.proof import wrong


def scale(W1, W2):
    return np.abs(W1).max(axis=1) / np.abs(W2).max(axis=0)


@wrong("09.1", says="with its root they meet in the middle")
def ranges_swapped(W1, b1, W2):
    s = scale(W1, W2)
    return W1 / s[:, None], b1 / s, W2 * s


@wrong("09.1", says="another function")
def both_divided(W1, b1, W2):
    s = np.sqrt(scale(W1, W2))
    return W1 / (s * s)[:, None], b1 / (s * s), W2


@wrong("09.1", says="the ranges shall be equal")
def first_layer_normalized(W1, b1, W2):
    s = np.abs(W1).max(axis=1)
    return W1 / s[:, None], b1 / s, W2 * s


@wrong("09.1", says="the bias is a part of the channel")
def bias_forgotten(W1, b1, W2):
    s = np.sqrt(scale(W1, W2))
    return W1 / s[:, None], b1, W2 * s


@wrong("09.1", says="a *column* of W2")
def rows_of_the_second(W1, b1, W2):
    s = np.sqrt(np.abs(W1).max(axis=1) / np.abs(W2).max(axis=1)[: len(b1)])
    return W1 / s[:, None], b1 / s, W2 * s


@wrong("09.1", says="take abs")
def largest_not_magnitude(W1, b1, W2):
    s = np.sqrt(W1.max(axis=1) / W2.max(axis=0))
    return W1 / s[:, None], b1 / s, W2 * s


@wrong("09.1", says="has no scale")
def dead_channels_divide_by_zero(W1, b1, W2):
    with np.errstate(all="ignore"):
        s = np.sqrt(scale(W1, W2))
        return W1 / s[:, None], b1 / s, W2 * s


@wrong("09.2", says="goes through the second layer's weights")
def weights_forgotten(b1, W2, b2, mean, std):
    c = np.maximum(0, mean - 3 * std)
    return b1 - c, b2 + c


@wrong("09.2", says="its bias must grow")
def subtracted_twice(b1, W2, b2, mean, std):
    c = np.maximum(0, mean - 3 * std)
    return b1 - c, b2 - W2 @ c


@wrong("09.2", says="half of the values lie below it")
def whole_mean(b1, W2, b2, mean, std):
    c = np.maximum(0, mean)
    return b1 - c, b2 + W2 @ c


@wrong("09.2", says="there is nothing to absorb")
def not_clipped_at_zero(b1, W2, b2, mean, std):
    c = mean - 3 * std
    return b1 - c, b2 + W2 @ c


@wrong("09.2", says="c comes from mean and std, not from b1")
def bias_as_mean(b1, W2, b2, mean, std):
    c = np.maximum(0, b1 - 3 * std)
    return b1 - c, b2 + W2 @ c


@wrong("09.2", says="c belongs to the hidden channels")
def transposed(b1, W2, b2, mean, std):
    c = np.maximum(0, mean - 3 * std)
    return b1 - c, b2 + W2.T @ c


@wrong("09.3", says="the shift is taken away")
def added(b, W, W_hat, X):
    return b + (W_hat - W) @ X.mean(axis=0)


@wrong("09.3", says="multiply by the mean of X")
def inputs_forgotten(b, W, W_hat, X):
    return b - (W_hat - W).sum(axis=1)


@wrong("09.3", says="so take the mean")
def summed(b, W, W_hat, X):
    return b - (W_hat - W) @ X.sum(axis=0)


@wrong("09.3", says="wanted is the new bias")
def shift_alone(b, W, W_hat, X):
    return (W_hat - W) @ X.mean(axis=0)


@wrong("09.3", says="the mean over samples is over axis 0")
def mean_over_inputs(b, W, W_hat, X):
    return b - (W_hat - W) @ (X.mean(axis=1) if X.shape[0] == W.shape[1] else X.mean(axis=0))


def h(V):
    return np.clip(1.2 / (1 + np.exp(-V)) - 0.1, 0, 1)


@wrong("09.4", says="multiply by s")
def codes(W, V, s, quant_min, quant_max):
    return np.clip(np.floor(W / s) + h(V), quant_min, quant_max)


@wrong("09.4", says="floor goes down")
def truncated(W, V, s, quant_min, quant_max):
    return s * np.clip(np.trunc(W / s) + h(V), quant_min, quant_max)


@wrong("09.4", says="on the mark 3 exactly")
def sigmoid_not_clipped(W, V, s, quant_min, quant_max):
    return s * np.clip(np.floor(W / s) + 1.2 / (1 + np.exp(-V)) - 0.1, quant_min, quant_max)


@wrong("09.4", says="between the marks 2 and 3")
def around_nearest(W, V, s, quant_min, quant_max):
    return s * np.clip(np.round(W / s) + h(V), quant_min, quant_max)


@wrong("09.4", says="clip after h was added")
def clipped_before(W, V, s, quant_min, quant_max):
    return s * (np.clip(np.floor(W / s), quant_min, quant_max) + h(V))


@wrong("09.4", says="stretch the sigmoid before you clip")
def plain_sigmoid(W, V, s, quant_min, quant_max):
    soft = 1 / (1 + np.exp(-V))
    return s * np.clip(np.floor(W / s) + np.where(soft > 0.99, 1, np.where(soft < 0.01, 0, soft)), quant_min, quant_max)


def quantiles(shares, ends=(0.025, 0.975)):
    low, high = np.quantile(shares, ends)
    return float(low), float(high)


def shares_of(agree, picture, draws):
    hits, n = np.bincount(picture, weights=agree), np.bincount(picture)
    return hits[draws].sum(axis=1) / n[draws].sum(axis=1)


@wrong("09.5", says="the mean of the two photographs' shares")
def mean_of_shares(agree, picture, draws):
    return quantiles((np.bincount(picture, weights=agree) / np.bincount(picture))[draws].mean(axis=1))


@wrong("09.5", says="draws holds photographs, not crops")
def draws_crops(agree, picture, draws):
    return quantiles(agree[draws].mean(axis=1))


@wrong("09.5", says="a photograph that is drawn twice counts twice")
def as_a_set(agree, picture, draws):
    return quantiles([agree[np.isin(picture, row)].mean() for row in draws])


@wrong("09.5", says="your interval holds 90 %")
def ninety_percent(agree, picture, draws):
    return quantiles(shares_of(agree, picture, draws), (0.05, 0.95))


@wrong("09.5", says="wanted are two quantiles")
def extremes(agree, picture, draws):
    shares = shares_of(agree, picture, draws)
    return float(shares.min()), float(shares.max())
