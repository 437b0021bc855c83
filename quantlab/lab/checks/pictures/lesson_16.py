"""Pictures of exercise 16."""

import numpy as np

from quantlab.lab.checks.lesson_16 import _swish_table
from quantlab.lab.checks.picture import Curves, pictured


@pictured("16.1")
def picture_of_a_table(answer, x_scale, x_zero, y_scale, y_zero):
    given = x_scale, x_zero, y_scale, y_zero
    return Curves(
        title="The table, entry by entry",
        xlabel="code of x",
        ylabel="code of swish(x)",
        x=np.arange(-128, 128),
        yours=answer(*given),
        expected=_swish_table(*given),
    )
