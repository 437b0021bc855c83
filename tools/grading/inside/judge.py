"""The judge in the kernel: it runs a graded cell, and says with a number used once what came of it.

A cell that raises nothing would have full points in nbgrader, so a student who makes errors vanish would have them too.
Here points take a verdict that says so. The judge also remembers, before any cell of the student runs, what the
functions of quantlab, numpy and builtins were, and passes nothing while one of them is another.

This runs in the same process as the student's code. What is caught are the plain ways to cheat, not all of them.
"""

import builtins
import os
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy

import quantlab.lab.checks.session
from quantlab.lab.checks import engine

MIME = "application/x-quantlab-verdict+json"
FILE = "<graded cell>"
BEGIN, END = "BEGIN HIDDEN TESTS", "END HIDDEN TESTS"
WATCHED = (types.FunctionType, types.BuiltinFunctionType, numpy.ufunc, type)
# IPython sets these anew.
IPYTHON = {f"builtins.{name}" for name in ["_", "display", "exit", "get_ipython", "input", "quit"]}
LONGEST = 4000  # characters of a verdict


def parts(name: str, thing: Any) -> Iterator[tuple[str, Any]]:
    """What makes up a module or a class: its functions and classes, and the code of each function."""
    for key, value in list(vars(thing).items()):
        value = getattr(value, "__func__", value)
        if isinstance(value, WATCHED) or callable(value):
            yield f"{name}.{key}", value
            if isinstance(value, types.FunctionType):
                yield f"{name}.{key}.__code__", value.__code__


def watched() -> dict[str, Any]:
    """All that a verdict stands on, by name: quantlab with its checks, numpy's public functions, the builtins."""
    found = {name: value for name, value in parts("builtins", builtins) if name not in IPYTHON}
    modules = {name: module for name, module in list(sys.modules.items()) if module is not None}
    for name, module in modules.items():
        if name == "quantlab" or name.startswith("quantlab."):
            found |= parts(name, module)
            for value in list(vars(module).values()):
                if isinstance(value, type) and value.__module__ == name:
                    found |= parts(f"{name}.{value.__qualname__}", value)
        elif name in {"numpy", "numpy.testing", "numpy.random", "numpy.linalg", "copy"}:
            found |= parts(name, module)
    found |= {f"check of {number}": task.check for number, task in engine._REGISTRY.items()}
    return found | {f"code of the check of {n}": task.check.__code__ for n, task in engine._REGISTRY.items()}


class Judge:
    """Runs graded cells in the names of the student, with the checks as they were when the kernel started."""

    def __init__(self, shell: Any) -> None:
        for lesson in engine.lessons():
            try:
                engine.exercises(lesson)
            except ImportError:  # a lesson whose tool is not installed here is not what this class is graded on
                continue
        self._shell = shell
        self._publish: Callable = shell.display_pub.publish
        self._streams = sys.stdout, sys.stderr
        self._check: Callable = quantlab.lab.checks.session.check
        self._before = watched()

    def changed(self) -> list[str]:
        """Names of what is no longer what it was."""
        now = watched()
        missing = object()
        return [name for name, value in self._before.items() if now.get(name, missing) is not value]

    def __call__(self, nonce: str, source: str) -> None:
        """Run a graded cell and publish the verdict."""
        verdict: dict[str, Any] = {"nonce": nonce, "passed": False, "tampered": []}
        sys.stdout, sys.stderr = self._streams
        os.environ["QUANTLAB_GRADING"] = "1"
        verdict["tampered"] = self.changed()
        error: BaseException | None = None
        if not verdict["tampered"]:
            calls: list[str] = []

            def check(number: str, answer: Any) -> None:
                self._check(number, answer)
                calls.append(number)

            try:
                self._run(source, check)
            except BaseException as raised:  # SystemExit and KeyboardInterrupt too: a cell must end well to count
                error = raised
            verdict["tampered"] = self.changed()
            if error is None and "check(" in source and not calls:
                error = AssertionError("the check was not reached")
        if verdict["tampered"]:
            names = ", ".join(verdict["tampered"][:3])
            error = AssertionError(f"not judged, because your notebook changes {names}: leave it as it is")
        verdict["passed"] = error is None
        verdict |= {"ename": "", "evalue": ""} if error is None else described(error, source)
        self._publish(data={MIME: verdict, "text/plain": ""}, metadata={})

    def _run(self, source: str, check: Callable) -> None:
        """Run the cell with the true `check`, whatever the notebook means by that name."""
        own = self._shell.user_ns
        names = {**own, "check": check, "__builtins__": builtins}
        exec(compile(source, FILE, "exec"), names)
        own.update({name: value for name, value in names.items() if name not in {"check", "__builtins__"}})


def described(error: BaseException, source: str) -> dict[str, str]:
    """An error in words: from a hidden test only what its author wrote for the student, never the test."""
    line = 0
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == FILE:
            line = trace.tb_lineno
        trace = trace.tb_next
    before = source.splitlines()[: max(line - 1, 0)]
    hidden = sum(BEGIN in text for text in before) > sum(END in text for text in before)
    name, text = type(error).__name__, str(error)
    if hidden and isinstance(error, AssertionError):
        return {"ename": name, "evalue": f"a hidden test failed{': ' + text if text else ''}"[:LONGEST]}
    if hidden:
        return {"ename": "AssertionError", "evalue": f"a hidden test failed: your code raised {name}"}
    return {"ename": name, "evalue": text[:LONGEST]}


def install(shell: Any) -> None:
    """Make the judge, and let the grader reach it by the name of this module."""
    sys.modules["_quantlab_judge"] = types.SimpleNamespace(judge=Judge(shell))
