"""Exercises that check themselves. Lesson NN's checks stand in ``lesson_NN.py`` and load when first asked for."""

from quantlab.lab.checks.attempt import Incorrect, attempt
from quantlab.lab.checks.engine import exercise
from quantlab.lab.checks.expect import expect, expect_array, expect_close, expect_equal, expect_type
from quantlab.lab.checks.session import check, hint, solution

__all__ = [
    "Incorrect",
    "attempt",
    "check",
    "exercise",
    "expect",
    "expect_array",
    "expect_close",
    "expect_equal",
    "expect_type",
    "hint",
    "solution",
]
