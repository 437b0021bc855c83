"""Pictures of exercise 13."""

import numpy as np

from quantlab.lab.checks.lesson_13 import _slopes
from quantlab.lab.checks.picture import Curves, Maps, NoPicture, pictured


@pictured("13.1")
def picture_of_slopes(answer, v, s, quant_min, quant_max):
    at = np.union1d(s * (np.arange(quant_min - 2, quant_max + 2, 1 / 32) + 1 / 64), v)  # between ties, and as asked
    return Curves(
        title=f"The slope by the step: grid {quant_min} to {quant_max}, s = {s:g}",
        xlabel="v",
        ylabel="slope",
        x=at,
        yours=answer(at, s, quant_min, quant_max),
        expected=_slopes(at, s, quant_min, quant_max),
        asked=v,
    )


@pictured("13.4")
def picture_of_pact(answer, dy, x, alpha, decay):
    at = np.arange(-1.5, alpha + 1.5, 1 / 32)
    clipped = at >= alpha
    passed = (at >= 0) & ~clipped
    title, xlabel = f"Gradients for dy = 2: alpha = {alpha:g}, no decay", "x"
    shown = {"title": title, "xlabel": xlabel, "x": at, "asked": x}
    dx = answer(np.full_like(at, 2), at, alpha, 0.0)[0]
    if not np.array_equal(dx, 2 * passed):
        return Curves(ylabel="dx", yours=dx, expected=2 * passed, **shown)
    pulls = [float(answer(np.full(1, 2.0), at[i : i + 1], alpha, 0.0)[1]) for i in range(len(at))]
    return Curves(ylabel="d_alpha, of this x", yours=pulls, expected=2 * clipped, **shown)


@pictured("13.5")
def picture_of_rounded_weights(answer, W, W_hat, share, rng):
    W, W_hat = np.zeros((12, 32), np.float32), np.ones((12, 32), np.float32)
    yours = answer(W, W_hat, 0.25, np.random.default_rng(7))
    drawn_each = yours.std(axis=0).any() and yours.std(axis=1).any() and np.isin(yours, (0, 1)).all()
    if drawn_each and abs(yours.mean() - 0.25) < 0.1:
        raise NoPicture("one random choice looks like another")
    return Maps(
        title="Which weights are rounded (1): share = 0.25",
        xlabel="column",
        ylabel="row",
        unit="rounded",
        yours=yours,
        expected=np.random.default_rng(7).random(W.shape) < 0.25,
    )
