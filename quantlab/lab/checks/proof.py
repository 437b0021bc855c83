"""Proof that a check judges rightly: the blank stub, the course's solution, and registered wrong answers.

A check that nothing wrong can fail is worth nothing. For every exercise at least three plausible wrong answers are
registered with the words that their hint must hold; `prove` runs them all.
"""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from quantlab.lab.checks.engine import judge
from quantlab.lab.checks.picture import has_picture, picture_of
from quantlab.lab.checks.source import REGION, checked, code_cells

STUB = "raise NotImplementedError()"
MIN_WRONG = 3


@dataclass(frozen=True)
class WrongAnswer:
    """One plausible mistake, and words that the verdict on it must hold."""

    name: str
    answer: Any
    says: str


# By exercise, then by name and words: a module of wrong answers that is loaded twice registers them once.
_WRONG: dict[str, dict[tuple[str, str], WrongAnswer]] = {}


def wrong(number: str, *, says: str) -> Callable:
    """Register the decorated function as a wrong answer to an exercise; ``says`` must stand in its verdict.

    For an exercise of kind "value" use ``wrong("03.4", says="...")(value)``.

    Example
    -------
    >>> @wrong("99.9", says="you count weights")
    ... def no_bytes(n, n_bits):
    ...     return n
    >>> [w.says for w in wrong_answers("99.9")]
    ['you count weights']
    """

    def register(answer: Any) -> Any:
        name = getattr(answer, "__name__", repr(answer))
        _WRONG.setdefault(number, {})[name, says] = WrongAnswer(name, answer, says)
        return answer

    return register


def wrong_answers(number: str) -> tuple[WrongAnswer, ...]:
    """Return the registered wrong answers of an exercise."""
    return tuple(_WRONG.get(number, {}).values())


def answer_from_source(text: str, number: str, *, blank: bool = False) -> Any:
    """Run the solution source up to ``check(number, ...)``, and return the answer that it would check.

    Cells with other checks are left out. With ``blank``, every solution is replaced by the stub that a student gets.

    Raises
    ------
    ValueError
        If no cell calls ``check(number, ...)``.
    """
    names: dict[str, Any] = {"__name__": "solution"}
    for cell in code_cells(text):
        found = checked(cell)
        if found and found[0] == number:
            return eval(found[1], names)
        if found:
            continue
        source = REGION.sub(_stub, cell) if blank else cell
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(source, f"<solution {number}>", "exec"), names)
    raise ValueError(f'no cell of the source calls check("{number}", ...)')


def _stub(region: Any) -> str:
    """Return what a student gets in place of an answer: a raise within a function, a comment at the top level."""
    indent = region.group(0)[: len(region.group(0)) - len(region.group(0).lstrip())]
    return f"{indent}{STUB}\n" if indent else "# your code here\n"


def prove(number: str, text: str) -> list[str]:
    """Return what is wrong with the check of an exercise, given its solution source; an empty list is a proof."""
    faults = []
    blank = judge(number, answer_from_source(text, number, blank=True))
    if blank.status != "not attempted":
        faults.append(f"the blank stub is judged '{blank}'")
    answer = answer_from_source(text, number)
    right = judge(number, answer)
    if right.status != "correct":
        faults.append(f"the solution is judged '{right}'")
    return faults + prove_wrong(number) + prove_picture(number, answer)


def prove_wrong(number: str) -> list[str]:
    """Return what is wrong with the verdicts on the registered wrong answers."""
    faults, seen = [], {}
    answers = wrong_answers(number)
    if len(answers) < MIN_WRONG:
        faults.append(f"{len(answers)} wrong answers are registered; at least {MIN_WRONG} are needed")
    for w in answers:
        verdict = judge(number, w.answer)
        if verdict.status != "incorrect":
            faults.append(f"the wrong answer {w.name} is judged '{verdict}'")
        elif w.says not in verdict.message:
            faults.append(f"the verdict on {w.name} does not say {w.says!r}: '{verdict}'")
        if w.says in seen:
            faults.append(f"{w.name} and {seen[w.says]} get the same hint {w.says!r}")
        seen[w.says] = w.name
    return faults


def prove_picture(number: str, solution: Any) -> list[str]:
    """Return what is wrong with the picture of an exercise, if it has one.

    A picture of the solution would show a difference where there is none: then what it expects is wrong.
    """
    if not has_picture(number):
        return []
    verdicts = [(w.name, judge(number, w.answer)) for w in wrong_answers(number)]
    faults = [
        f"with the input that fails {name}, the solution has a picture of a mistake"
        for name, verdict in verdicts
        if verdict.call and picture_of(number, solution, *verdict.call[1], **verdict.call[2]) is not None
    ]
    if not any(verdict.picture() for _, verdict in verdicts):
        faults.append("no registered wrong answer has a picture")
    return faults
