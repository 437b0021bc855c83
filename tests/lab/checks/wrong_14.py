"""Plausible wrong answers to the exercises of lesson 14, and what the verdict on each must say."""

import numpy as np

from quantlab.lab.checks.proof import wrong
from quantlab.lab.intervals import spearman


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@wrong("14.1", says="from changed to logits")
def the_other_way(logits, changed):
    p, q = softmax(logits), softmax(changed)
    return (q * np.log(q / p)).sum(axis=1).mean()


@wrong("14.1", says="sum over the classes")
def mean_over_classes(logits, changed):
    p, q = softmax(logits), softmax(changed)
    return (p * np.log(p / q)).mean()


@wrong("14.1", says="the natural logarithm")
def in_bits(logits, changed):
    p, q = softmax(logits), softmax(changed)
    return (p * np.log2(p / q)).sum(axis=1).mean()


@wrong("14.1", says="divide by the number of samples")
def summed(logits, changed):
    p, q = softmax(logits), softmax(changed)
    return (p * np.log(p / q)).sum()


@wrong("14.1", says="a distribution of its own")
def one_softmax_for_all(logits, changed):
    p, q = (np.exp(z - z.max()) / np.exp(z - z.max()).sum() for z in (logits, changed))
    return (p * np.log(p / q)).sum()


@wrong("14.1", says="exp(1000) overflows")
def overflows(logits, changed):
    with np.errstate(all="ignore"):
        p, q = (np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) for z in (logits, changed))
        return (p * np.log(p / q)).sum(axis=1).mean()


def quadratic(product, signs):
    return np.array([v @ product(v) for v in signs])


def standard_error(products):
    return products.std(ddof=1) / np.sqrt(len(products))


@wrong("14.2", says="multiply H v by v again")
def sum_of_the_product(product, signs):
    products = np.array([product(v).sum() for v in signs])
    return products.mean(), standard_error(products)


@wrong("14.2", says="the trace is not divided by n")
def mean_eigenvalue(product, signs):
    products = quadratic(product, signs)
    return products.mean() / signs.shape[1], standard_error(products)


@wrong("14.2", says="take the mean over the probes")
def sum_of_probes(product, signs):
    products = quadratic(product, signs)
    return products.sum(), standard_error(products)


@wrong("14.2", says="the spread of one probe")
def spread(product, signs):
    products = quadratic(product, signs)
    return products.mean(), products.std(ddof=1)


@wrong("14.2", says="m - 1 inside the root")
def population(product, signs):
    products = quadratic(product, signs)
    return products.mean(), products.std() / np.sqrt(len(products))


@wrong("14.2", says="divide by the root of the number")
def by_the_number(product, signs):
    products = quadratic(product, signs)
    return products.mean(), products.std(ddof=1) / len(products)


@wrong("14.3", says="square each sample's slope first")
def square_of_the_mean(gradients, d_W):
    return (gradients.mean(axis=0) ** 2 * d_W**2).sum() / 2


@wrong("14.3", says="divide by 2")
def without_the_half(gradients, d_W):
    return ((gradients**2).mean(axis=0) * d_W**2).sum()


@wrong("14.3", says="the change is squared too")
def change_not_squared(gradients, d_W):
    return ((gradients**2).mean(axis=0) * d_W).sum() / 2


@wrong("14.3", says="not the sum")
def sum_over_samples(gradients, d_W):
    return ((gradients**2).sum(axis=0) * d_W**2).sum() / 2


@wrong("14.3", says="each weight has its own F")
def one_curvature_for_all(gradients, d_W):
    return (gradients**2).mean() * (d_W**2).sum() / 2


@wrong("14.4", says="stay within a width")
def pooled(predicted, true, draws):
    return np.array([spearman(predicted[rows].ravel(), true[rows].ravel()) for rows in draws])


@wrong("14.4", says="correlate the layers at each width")
def across_widths(predicted, true, draws):
    return np.array([np.mean([spearman(predicted[i], true[i]) for i in rows]) for rows in draws])


def within(p, t):
    return np.mean([spearman(p[:, k], t[:, k]) for k in range(p.shape[1])])


@wrong("14.4", says="pairs stay pairs")
def only_predicted_drawn(predicted, true, draws):
    return np.array([within(predicted[rows], true) for rows in draws])


@wrong("14.4", says="not all of them")
def nothing_drawn(predicted, true, draws):
    return np.array([within(predicted, true)] * len(draws))


@wrong("14.4", says="drawn twice counts twice")
def without_repeats(predicted, true, draws):
    return np.array([within(predicted[np.unique(rows)], true[np.unique(rows)]) for rows in draws])


@wrong("14.4", says="not the first alone")
def first_width(predicted, true, draws):
    return np.array([spearman(predicted[rows, 0], true[rows, 0]) for rows in draws])


@wrong("14.4", says="one number for each row of draws")
def only_the_mean(predicted, true, draws):
    return np.array([np.mean([within(predicted[rows], true[rows]) for rows in draws])])
