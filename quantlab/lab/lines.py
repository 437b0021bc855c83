"""How much code there is, and how much of it a computation runs."""

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import quantlab

ROOT = Path(quantlab.__file__).parent


def code_lines(*rooms: str) -> int:
    """Return the lines of code in some rooms of quantlab, without docstrings, comments and blank lines.

    Raises
    ------
    ValueError
        If there is no such room.

    Example
    -------
    >>> 100 < code_lines("core") < code_lines("core", "integer")
    True
    """
    missing = [room for room in rooms if not (ROOT / room).is_dir()]
    if missing:
        raise ValueError(f"rooms={missing} are not there; choose folders of {ROOT.name}, such as 'core'")
    return sum(
        len(_code_lines(path.read_text(encoding="utf-8"))) for room in rooms for path in (ROOT / room).rglob("*.py")
    )


def _code_lines(text: str) -> set[int]:
    tree, documented = ast.parse(text), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            documented.update(range(node.body[0].lineno, node.body[0].end_lineno + 1))
    lines = enumerate(text.splitlines(), 1)
    return {i for i, line in lines if line.strip() and not line.strip().startswith("#") and i not in documented}


def lines_run(function: Callable[[], Any], *rooms: str) -> int:
    """Return how many different lines of some rooms of quantlab run while a function does; imports do not count.

    A statement that spans several lines counts with the lines that Python reports for it.

    Example
    -------
    >>> from quantlab import Grid
    >>> 0 < lines_run(lambda: Grid(n_bits=8), "core") < 20
    True
    """
    folders = tuple(str(ROOT / room) for room in rooms)
    seen: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if not frame.f_code.co_filename.startswith(folders) or frame.f_code.co_name == "<module>":
            return None
        seen.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return len(seen)
