"""Plausible wrong answers to the exercises of lesson 07, and what the verdict on each must say."""

import numpy as np

from quantlab.lab.checks.proof import wrong


@wrong("07.1", says="rounding's own slope, 0, is what we replace")
def true_gradient(dy, x, scale, zero_point, quant_min, quant_max):
    return np.zeros_like(dy)


@wrong("07.1", says="fake_quantize is flat, and the gradient stops")
def no_mask(dy, x, scale, zero_point, quant_min, quant_max):
    return dy.copy()


@wrong("07.1", says="<=, not <")
def open_ends(dy, x, scale, zero_point, quant_min, quant_max):
    q = np.rint(x / scale) + zero_point
    return dy * ((q > quant_min) & (q < quant_max))


@wrong("07.1", says="the rounded value decides, not x itself")
def mask_on_reals(dy, x, scale, zero_point, quant_min, quant_max):
    return dy * ((x >= scale * (quant_min - zero_point)) & (x <= scale * (quant_max - zero_point)))


@wrong("07.1", says="9 with the zero point -4")
def zero_point_forgotten(dy, x, scale, zero_point, quant_min, quant_max):
    q = np.rint(x / scale)
    return dy * ((q >= quant_min) & (q <= quant_max))


@wrong("07.1", says="that is the slope")
def the_mask_itself(dy, x, scale, zero_point, quant_min, quant_max):
    q = np.rint(x / scale) + zero_point
    return ((q >= quant_min) & (q <= quant_max)).astype(np.float32)


@wrong("07.2", says="half of them should be negative")
def never_negative(x, scale, rng):
    return x + scale * rng.random(x.shape)


@wrong("07.2", says="by at most half a step")
def twice_as_wide(x, scale, rng):
    return x + rng.uniform(-scale, scale, x.shape)


@wrong("07.2", says="normal noise nowhere")
def normal_noise(x, scale, rng):
    return x + rng.normal(0, scale / np.sqrt(12), x.shape)


@wrong("07.2", says="draw one a value")
def one_for_all(x, scale, rng):
    return x + rng.uniform(-scale / 2, scale / 2)


@wrong("07.2", says="nothing was added")
def rounded_in_place_of_noise(x, scale, rng):
    return np.rint(x / scale) * scale


@wrong("07.2", says="fill the whole step evenly")
def half_as_wide(x, scale, rng):
    return x + rng.uniform(-scale / 4, scale / 4, x.shape)


@wrong("07.2", says="the width of the errors is the scale")
def scale_squared(x, scale, rng):
    return x + rng.uniform(-(scale**2), scale**2, x.shape)


@wrong("07.2", says="draw from rng, not elsewhere")
def own_generator(x, scale, rng):
    return x + scale * (np.random.default_rng().random(x.shape) - 0.5)


@wrong("07.3", says="the order is (dX, dW)")
def turned_round(dY, X_hat, W_hat, X_mask, W_mask):
    return (dY.T @ X_hat) * W_mask, (dY @ W_hat) * X_mask


@wrong("07.3", says="do not divide")
def mean_over_samples(dY, X_hat, W_hat, X_mask, W_mask):
    return (dY @ W_hat) * X_mask, (dY.T @ X_hat) * W_mask / len(dY)


@wrong("07.3", says="your gradients ignore them")
def masks_ignored(dY, X_hat, W_hat, X_mask, W_mask):
    return dY @ W_hat, dY.T @ X_hat


@wrong("07.3", says="a mask belongs to the gradient of its own tensor")
def masks_on_the_factors(dY, X_hat, W_hat, X_mask, W_mask):
    return dY @ (W_hat * W_mask), dY.T @ (X_hat * X_mask)


@wrong("07.3", says="dW goes back through W's own quantizer")
def weights_not_masked(dY, X_hat, W_hat, X_mask, W_mask):
    return (dY @ W_hat) * X_mask, dY.T @ X_hat


def path(target, w, lr, n_steps, *, note=round, at=round, keep=float, sign=-1):
    used = []
    for _ in range(n_steps):
        used.append(float(note(w)))
        w = keep(w + sign * lr * (at(w) - target))
    return used


@wrong("07.4", says="update the latent w")
def rounded_weight_updated(target, w, lr, n_steps):
    return path(target, w, lr, n_steps, keep=round)


@wrong("07.4", says="return what the forward pass used")
def latent_returned(target, w, lr, n_steps):
    return path(target, w, lr, n_steps, note=float)


@wrong("07.4", says="go against the gradient")
def uphill(target, w, lr, n_steps):
    return path(target, w, lr, n_steps, sign=1)


@wrong("07.4", says="note w_hat before you update w")
def noted_after_the_step(target, w, lr, n_steps):
    return path(target, w, lr, n_steps + 1)[1:]


@wrong("07.4", says="expected one a step")
def the_last_one_only(target, w, lr, n_steps):
    return path(target, w, lr, n_steps)[-1:]


@wrong("07.4", says="taken at the rounded weight")
def square_without_its_half(target, w, lr, n_steps):
    return path(target, w, 2 * lr, n_steps)


def codes(W_hat, scale):
    return np.rint(W_hat / scale[:, None])


@wrong("07.5", says="few different values do not make a grid")
def counts_values(W_hat, scale, n_bits):
    return all(len(np.unique(row)) <= 2**n_bits for row in W_hat)


@wrong("07.5", says="whole numbers are not enough")
def whole_numbers_only(W_hat, scale, n_bits):
    return bool((np.abs(W_hat / scale[:, None] - codes(W_hat, scale)) <= 1e-3).all())


@wrong("07.5", says="look at both ends")
def upper_end_only(W_hat, scale, n_bits):
    return whole_numbers_only(W_hat, scale, n_bits) and bool((codes(W_hat, scale) <= 2 ** (n_bits - 1) - 1).all())


@wrong("07.5", says="each row has its own scale")
def scale_along_the_columns(W_hat, scale, n_bits):
    q = W_hat / scale
    return bool(
        ((np.abs(q - np.rint(q)) <= 1e-3) & (np.rint(q) >= -(2 ** (n_bits - 1))) & (q < 2 ** (n_bits - 1))).all()
    )


@wrong("07.5", says="one weight beside its mark is enough")
def loose(W_hat, scale, n_bits):
    q = codes(W_hat, scale)
    near = np.abs(W_hat / scale[:, None] - q).mean() <= 0.05
    return bool(near and q.min() >= -(2 ** (n_bits - 1)) and q.max() <= 2 ** (n_bits - 1) - 1)


@wrong("07.5", says="these are the four marks")
def narrow_grid(W_hat, scale, n_bits):
    return upper_end_only(W_hat, scale, n_bits) and bool((codes(W_hat, scale) > -(2 ** (n_bits - 1))).all())
