"""What the student calls: `check`, `hint` and `solution`. Each prints; none returns anything.

How many hints were shown, and what was attempted, is remembered for as long as the process lives.
"""

import sys
from typing import Any

from quantlab.lab import progress
from quantlab.lab.checks import engine
from quantlab.lab.checks.source import find_solution
from quantlab.lab.course import grading

_hints_shown: dict[str, int] = {}
_attempted: set[str] = set()


def check(number: str, answer: Any) -> None:
    """Print the verdict on an answer: not attempted, correct, or incorrect with a hint aimed at the mistake.

    Never raises, so that 'Run all' works; with the environment variable QUANTLAB_GRADING=1 every verdict but
    'correct' raises AssertionError instead. In a notebook a picture follows where one shows the mistake.

    Example
    -------
    >>> check("00.1", lambda n, n_bits: n)
    00.1 incorrect: with n=3, n_bits=32 you return 3, expected 12: you count weights, not bytes
    """
    try:
        verdict = engine.judge(number, answer)
    except ValueError as error:  # no such exercise
        if grading():
            raise AssertionError(str(error)) from None
        print(error)
        return
    if grading() and verdict.status != "correct":
        raise AssertionError(str(verdict))
    print(verdict)
    if verdict.status != "not attempted":
        _attempted.add(number)
        progress.record(number, solved=verdict.status == "correct")
    if _in_notebook():
        _illustrate(verdict)


def _in_notebook() -> bool:
    """Tell whether this is the kernel of a notebook; a terminal has no place for a picture, even one with IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "TerminalInteractiveShell" not in {c.__name__ for c in type(shell).__mro__}


def _illustrate(verdict: engine.Verdict) -> None:
    """Show the picture of a verdict, if there is one. matplotlib is loaded only now."""
    picture = verdict.picture()
    if picture is None:
        return
    try:
        from quantlab.lab.plots.verdicts import verdict as draw

        draw(picture)
    except Exception:  # no matplotlib, no fonts, no memory: the verdict above stands without a picture
        return


def hint(number: str) -> None:
    """Print one more hint of an exercise each time.

    Example
    -------
    >>> hint("00.1")
    00.1 hint 1 of 3: A byte holds 8 bits.
    """
    try:
        hints = engine.find(number).hints
    except ValueError as error:
        print(error)
        return
    shown = _hints_shown.get(number, 0)
    if shown == len(hints):
        print(f'{number} has no more hints; solution("{number}") opens after an attempt')
        return
    _hints_shown[number] = shown + 1
    print(f"{number} hint {shown + 1} of {len(hints)}: {hints[shown]}")


def solution(number: str) -> None:
    """Print the course's solution of an exercise, once the student has tried it.

    An attempt is a check whose verdict was correct or incorrect, in this process or in the progress file.
    """
    try:
        engine.find(number)
    except ValueError as error:
        print(error)
        return
    if number not in _attempted and not progress.attempted(number):
        print(f'{number} opens its solution after an attempt: write an answer, run check("{number}", ...), come back')
        return
    text = None if grading() else find_solution(number)
    if text is None:
        print(f"{number} has no solution in this copy of the course; ask your teacher, or see the course's repository")
        return
    print(f"{number} can be solved like this:\n\n{text}")
