"""Pictures of exercise 09."""

import numpy as np

from quantlab.lab.checks.picture import Curves, pictured


@pictured("09.1")
def picture_of_ranges(answer, W1, b1, W2):
    rng = np.random.default_rng(9)
    W1 = rng.uniform(-1, 1, (6, 6)) * np.array([[1, 6, 3, 9, 2, 5]]).T
    W2 = rng.uniform(-1, 1, (6, 6)) * np.array([8, 2, 3, 1, 7, 4])
    new1, _, new2 = answer(W1, np.ones(6), W2)
    equal = np.sqrt(np.abs(W1).max(axis=1) * np.abs(W2).max(axis=0))
    return Curves(
        title="Range of each channel, in W1 and in W2",
        xlabel="channel",
        ylabel="largest magnitude",
        x=np.arange(6),
        yours=[np.abs(new1).max(axis=1), np.abs(new2).max(axis=0)],
        expected=[equal, equal],
        style="dots",
    )
