"""The exercise engine: a registry of checks, and the verdict on an answer.

A check is a function ``check_x(answer, say)`` that returns when the answer is right and raises `Incorrect` with a
hint aimed at the mistake when it is not. The answer reaches the check through `attempt`.
"""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from quantlab.lab.checks.attempt import Incorrect, NotAttempted, attempt, copied, is_blank
from quantlab.lab.checks.describe import describe
from quantlab.lab.checks.picture import Picture, picture_of


@dataclass(frozen=True)
class Exercise:
    """One exercise: its number ("03.2"), what the student is told about it, and its check."""

    number: str
    title: str
    difficulty: int
    minutes: int
    hints: tuple[str, ...]
    kind: Literal["function", "value"]
    inplace: bool
    check: Callable[[Any, Callable[[str], None]], None]


@dataclass(frozen=True)
class Verdict:
    """What the engine says about one answer; ``str()`` of it is the line that the student reads.

    ``call`` is the check's last call of an incorrect function: the function as it was called, and the arguments.
    """

    number: str
    status: Literal["correct", "incorrect", "not attempted"]
    message: str = ""
    call: tuple[Callable, tuple, dict] | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        head = f"{self.number} {self.status}{' yet' if self.status == 'not attempted' else ''}"
        return f"{head}: {self.message}" if self.message else head

    def picture(self) -> Picture | None:
        """Make the picture that shows the mistake beside the expected, if there is one."""
        if self.call is None:
            return None
        answer, args, kwargs = self.call
        return picture_of(self.number, answer, *args, **kwargs)


_REGISTRY: dict[str, Exercise] = {}


def exercise(
    number: str,
    *,
    title: str,
    difficulty: int,
    minutes: int,
    hints: tuple[str, ...],
    kind: Literal["function", "value"] = "function",
    inplace: bool = False,
) -> Callable:
    """Register the decorated function as the check of an exercise.

    Parameters
    ----------
    number : str
        Lesson and exercise, ``"03.2"``.
    title : str
        What the student does, a verb first.
    difficulty, minutes : int
        1 to 3; how long a student needs.
    hints : tuple of str
        From a nudge to nearly the answer. `hint` gives one more each time.
    kind : {"function", "value"}
        What the student hands to `check`: a function, or a number, an array, a class.
    inplace : bool
        The function is meant to change its arguments: they reach it uncopied.

    Raises
    ------
    ValueError
        If the number is malformed or taken, the difficulty is outside 1..3, or there is no hint.

    Example
    -------
    >>> @exercise("99.1", title="Add one", difficulty=1, minutes=1, hints=("Use +.",))
    ... def check_add_one(answer, say):
    ...     if answer(1) != 2:
    ...         raise Incorrect(f"1 gives {answer(1)}, not 2")
    >>> print(judge("99.1", lambda n: n + 2))
    99.1 incorrect: 1 gives 3, not 2
    >>> print(judge("99.1", lambda n: n + 1))
    99.1 correct
    """
    if not re.fullmatch(r"\d\d\.\d+", number):
        raise ValueError(f"number={number!r} is not of the form 'NN.k', such as '03.2'")
    if difficulty not in (1, 2, 3):
        raise ValueError(f"difficulty={difficulty} of {number} is not 1, 2 or 3")
    if not hints or isinstance(hints, str):
        raise ValueError(f"hints={hints!r} of {number} is not a non-empty tuple of strings")

    def register(check: Callable) -> Callable:
        known = _REGISTRY.get(number)
        if known is not None and known.check.__module__ != check.__module__:
            raise ValueError(f"{number} is already registered by {known.check.__module__}")
        _REGISTRY[number] = Exercise(number, title, difficulty, minutes, tuple(hints), kind, inplace, check)
        return check

    return register


def exercises(lesson: str) -> Mapping[str, Exercise]:
    """Return the exercises of a lesson ("03") by number, in order; an unknown lesson has none.

    >>> [e.title for e in exercises("00").values()][0]
    'Count the bytes'
    """
    if lesson in lessons():
        importlib.import_module(f"{__package__}.lesson_{lesson}")
    found = [number for number in _REGISTRY if number.startswith(f"{lesson}.")]
    return {number: _REGISTRY[number] for number in sorted(found, key=lambda n: int(n.partition(".")[2]))}


def lessons() -> list[str]:
    """Return the numbers of the lessons that have exercises, in order.

    >>> lessons()[0]
    '00'
    """
    names = (module.name for module in pkgutil.iter_modules(importlib.import_module(__package__).__path__))
    return sorted(name.removeprefix("lesson_") for name in names if re.fullmatch(r"lesson_\d\d", name))


def find(number: str) -> Exercise:
    """Return the exercise with this number.

    Raises
    ------
    ValueError
        If there is none; the text lists the exercises of that lesson.
    """
    known = exercises(str(number).partition(".")[0])
    if number not in known:
        there = f"this lesson has {', '.join(known)}" if known else "a number looks like '03.2'"
        raise ValueError(f"there is no exercise {number!r}; {there}")
    return known[number]


def judge(number: str, answer: Any) -> Verdict:
    """Run the check of an exercise on an answer, and return the verdict; nothing is printed or recorded.

    An exception that the check did not mean to raise was provoked by the answer (the solution passes), so it is
    a verdict too: incorrect.

    Raises
    ------
    ValueError
        If there is no such exercise.

    Example
    -------
    >>> print(judge("00.1", ...))
    00.1 not attempted yet: write the function above, then run this cell again
    """
    task = find(number)
    said: list[str] = []
    calls: list[tuple[Any, tuple, dict]] = []
    try:
        task.check(_admit(answer, task, calls), said.append)
    except NotAttempted:
        what = "write the function above" if task.kind == "function" else "put your answer in the cell above"
        return Verdict(number, "not attempted", f"{what}, then run this cell again")
    except Incorrect as wrong:
        return Verdict(number, "incorrect", str(wrong), calls[-1] if calls else None)
    except Exception as error:
        what = f"your answer could not be compared ({type(error).__name__}: {error})"
        return Verdict(number, "incorrect", what)
    return Verdict(number, "correct", "; ".join(said))


def _admit(answer: Any, task: Exercise, calls: list) -> Any:
    """Return the answer as the check may use it, or raise NotAttempted or Incorrect at the door.

    The last call of a function is kept in ``calls``: the function as it was called, and its arguments.
    """
    if answer is None or answer is Ellipsis:
        raise NotAttempted
    if task.kind == "value":
        if inspect.isfunction(answer):
            raise Incorrect(f"this exercise wants a value; you gave the function {answer.__name__}")
        return copied(answer)
    if not callable(answer):
        raise Incorrect(f"this exercise wants the function itself, without calling it; you gave {describe(answer)}")
    if is_blank(answer):
        raise NotAttempted

    def student(*args: Any, **kwargs: Any) -> Any:
        calls[:] = [(student, args, kwargs)]
        return attempt(answer, *args, inplace=task.inplace, **kwargs)

    return student
