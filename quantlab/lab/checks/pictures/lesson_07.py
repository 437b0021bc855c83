"""Pictures of exercise 07."""

import numpy as np

from quantlab import Grid, QParams
from quantlab.lab.checks.lesson_07 import _rounded_path
from quantlab.lab.checks.picture import Curves, pictured
from quantlab.qat.ste import fake_quantize_backward


@pictured("07.1")
def picture_of_a_gradient(answer, dy, x, scale, zero_point, quant_min, quant_max):
    grid = Grid(n_bits=4)
    at = np.arange(quant_min - zero_point - 3, quant_max - zero_point + 3, 1 / 16, dtype=np.float32)
    at = np.union1d(scale * at, x)
    dy = np.full_like(at, 3)
    return Curves(
        title=f"The gradient by x, for dy = 3: zero point {zero_point}",
        xlabel="x",
        ylabel="gradient",
        x=at,
        yours=answer(dy, at, scale, zero_point, quant_min, quant_max),
        expected=fake_quantize_backward(dy, at, QParams(scale=scale, zero_point=zero_point, grid=grid)),
        asked=x,
    )


@pictured("07.2")
def picture_of_noise(answer, x, scale, rng):
    error = np.ravel(answer(np.zeros(40_000), scale, np.random.default_rng(7)))
    edges = scale * np.linspace(-1.25, 1.25, 41)
    counts = np.histogram(error, edges)[0]
    return Curves(
        title=f"40,000 errors, for steps of {scale:g}",
        xlabel="error",
        ylabel="share of errors",
        x=(edges[1:] + edges[:-1]) / 2,
        yours=counts / error.size,
        expected=np.where(np.abs(edges[1:] + edges[:-1]) < scale, 1 / 16, 0.0),
        style="steps",
        visible=0.1,  # a share of 1/16 scatters by 2 % of itself
    )


@pictured("07.4")
def picture_of_a_training(answer, target, w, lr, n_steps):
    n_steps = min(n_steps, 24)
    return Curves(
        title=f"The weight that the loss sees: target {target:g}",
        xlabel="step",
        ylabel="w_hat",
        x=np.arange(n_steps),
        yours=answer(target=target, w=w, lr=lr, n_steps=n_steps),
        expected=_rounded_path(target, w, lr, n_steps),
        style="steps",
    )
