"""What the course needs around the mathematics: data, models, plots, widgets, exercise checks, progress.

>>> from quantlab.lab import check, hint, solution
"""

from quantlab.lab.checks.session import check, hint, solution

__all__ = ["check", "hint", "solution"]
