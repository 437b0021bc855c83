"""Pictures of exercise 15."""

import numpy as np

from quantlab.lab.checks.lesson_15 import _front
from quantlab.lab.checks.picture import Selection, pictured


@pictured("15.4")
def picture_of_a_front(answer, cost, loss):
    rng = np.random.default_rng(15)
    cost = rng.integers(1, 13, 40).astype(float)
    loss = np.rint(24 / cost + rng.uniform(0, 12, 40))
    cost, loss = np.append(cost, [6.0, 6.0]), np.append(loss, [5.0, 5.0])
    return Selection(
        title="The points that you keep",
        xlabel="cost",
        ylabel="loss",
        x=cost,
        y=loss,
        yours=answer(cost, loss),
        expected=_front(cost, loss),
    )
