"""Reading solutions/src/NN_*.py, the text form of the exercises: cells, and the regions between the markers."""

import ast
import re
import textwrap
from pathlib import Path

from quantlab.lab.course import course_root, numbered

REGION = re.compile(r"^[ \t]*### BEGIN SOLUTION[^\n]*\n(.*?)^[ \t]*### END SOLUTION[^\n]*\n?", re.DOTALL | re.MULTILINE)


def solution_file(lesson: str) -> Path | None:
    """Return the text form of a lesson's solutions ("03"), or None where the course comes without them."""
    root = course_root()
    return numbered(root / "solutions" / "src", lesson, ".py") if root else None


def code_cells(text: str) -> list[str]:
    """Return the code cells of a notebook in jupytext's percent format.

    >>> code_cells("# %% [markdown]\\n# # Title\\n\\n# %%\\nx = 1\\n\\n# %%\\nx\\n")
    ['x = 1\\n', 'x\\n']
    """
    cells = re.split(r"^# %%", text, flags=re.MULTILINE)[1:]
    code = [cell.partition("\n") for cell in cells if not re.match(r" *\[(markdown|raw)\]", cell)]
    return [body.strip("\n") + "\n" for _, _, body in code]


def checked(cell: str) -> tuple[str, str] | None:
    """Return the number and the source of the answer in a cell that calls ``check("NN.k", answer)``, else None.

    >>> checked('check("03.2", zero_point)')
    ('03.2', 'zero_point')
    """
    if "check(" not in cell:
        return None
    for node in ast.walk(ast.parse(cell)):
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if called == "check" and len(node.args) == 2 and isinstance(node.args[0], ast.Constant):
            return str(node.args[0].value), ast.unparse(node.args[1])
    return None


def solution_regions(text: str, number: str) -> str | None:
    """Return what stands between the solution markers of the last marked cell before ``check(number, ...)``."""
    marked = ""
    for cell in code_cells(text):
        found = checked(cell)
        if found and found[0] == number:
            break
        marked = cell if REGION.search(cell) else marked
    else:
        return None
    regions = [textwrap.dedent(region).strip("\n") for region in REGION.findall(marked)]
    return "\n\n".join(regions) if regions else None


def find_solution(number: str) -> str | None:
    """Return the solution text of an exercise, or None where the course comes without solutions."""
    file = solution_file(number.partition(".")[0])
    return solution_regions(file.read_text("utf-8"), number) if file else None
