"""Pictures of exercise 04."""

import numpy as np

from quantlab.lab.checks.picture import Maps, pictured


@pictured("04.4")
def picture_of_applied_scales(answer, p, q, s):
    """A row of p with a single 1 gives back what one column of q counts for: its group's scale."""
    s = np.float32([[1, 4, 2, 3], [3, 1, 4, 2]])
    return Maps(
        title="The scale by which each code of q counts",
        xlabel="column",
        ylabel="row",
        unit="scale",
        yours=answer(np.eye(8, dtype=np.int8), np.ones((2, 8), np.int8), s).T,
        expected=np.repeat(s, 2, axis=1),
    )
