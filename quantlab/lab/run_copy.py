"""Running somebody's copy of an exercise notebook from outside, and gathering what its checks say.

The notebook runs in a kernel of its own, in its own folder; the file is read and never written.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantlab.lab.checks.engine import exercises

CHECK = re.compile(r"""^check\(\s*['"](\d\d\.\d+)['"]""", re.MULTILINE)
VERDICT = re.compile(r"^(\d\d\.\d+) (correct|incorrect|not attempted)(?: yet)?(?:: )?", re.MULTILINE)
CELL_FILE = re.compile(r"\(\d+\.py, ")  # what IPython calls a cell in the text of a SyntaxError
ANSI = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Result:
    """What became of one exercise in a copy: a verdict of the check, or "no verdict" with what came in between."""

    number: str
    title: str
    status: str
    message: str = ""


def check_copy(notebook: Path, *, timeout: int = 120) -> list[Result]:
    """Run all cells of a notebook, each for at most ``timeout`` seconds, and return one result an exercise, in order.

    A cell that raises does not stop the cells below it. One that takes too long is interrupted. If the process itself
    ends (``os._exit``, out of memory), the exercises that were not reached have no verdict.

    Raises
    ------
    ValueError
        If the file is not a notebook, or checks no exercise of the course.
    """
    from nbclient import NotebookClient
    from nbclient.exceptions import DeadKernelError

    page = _read(notebook)
    lesson = next((match[1].partition(".")[0] for cell in _code(page) for match in CHECK.finditer(cell.source)), None)
    known = exercises(lesson) if lesson else {}
    if not known:
        raise ValueError(f'{notebook} checks no exercise: no cell begins with check("NN.k", ...), such as "03.2"')
    for cell in _code(page):
        cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        page,
        kernel_name="python3",
        timeout=timeout,
        interrupt_on_timeout=True,
        allow_errors=True,
        resources={"metadata": {"path": str(notebook.parent)}},
    )
    environment = {name: value for name, value in os.environ.items() if name != "QUANTLAB_GRADING"}
    started = []
    client.on_cell_start = lambda cell, cell_index: started.append(cell)
    died = ""
    try:
        # Thrown away is what the kernel logs for its own sake; what a cell writes to stderr arrives as an output.
        client.execute(env=environment, stderr=subprocess.DEVNULL)
    except DeadKernelError:
        reached = sum(cell.cell_type == "code" for cell in started)
        died = f"the process ended in code cell {reached}, and nothing below it was run"
    said = _said(page, timeout, died)
    missing = died or f'no cell of this copy runs check("{{}}", ...); quantlab start {lesson} --again makes a new copy'
    return [
        Result(number, task.title, *said.get(number, ("no verdict", missing.format(number))))
        for number, task in known.items()
    ]


def _read(notebook: Path) -> Any:
    """Return the notebook, or say what is wrong with the file."""
    import nbformat

    try:
        page = nbformat.read(notebook, as_version=4)
        nbformat.validate(page)
    except FileNotFoundError:
        raise ValueError(f"there is no file {notebook}") from None
    except (OSError, ValueError, AttributeError, KeyError, nbformat.ValidationError) as error:
        said = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{notebook} is not a notebook that can be read ({said}). In JupyterLab, File > Revert Notebook to "
            "Checkpoint may bring it back; quantlab start NN --again makes a new copy beside it"
        ) from None
    return page


def _code(page: Any) -> list[Any]:
    return [cell for cell in page.cells if cell.cell_type == "code"]


def _said(page: Any, timeout: int, died: str) -> dict[str, tuple[str, str]]:
    """Return status and message by exercise number; an exercise whose check raised gets the first error before it.

    An answer that does not run (a SyntaxError) makes its check fail with a NameError, which says less.
    """
    said: dict[str, tuple[str, str]] = {}
    first_error = ""
    for index, cell in enumerate(_code(page), start=1):
        text = "".join(o.text for o in cell.outputs if o.output_type == "stream" and o.name == "stdout")
        errors = [output for output in cell.outputs if output.output_type == "error"]
        if errors and not first_error:
            first_error = _told(errors[0], index, timeout)
        pieces = VERDICT.split(text)[1:]
        for number, status, message in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
            said[number] = (status, message.strip())
        for number in CHECK.findall(cell.source):
            if number not in said:
                said[number] = ("no verdict", first_error or died or f"code cell {index} printed no verdict")
            first_error = ""
    return said


def _told(error: Any, index: int, timeout: int) -> str:
    if error.ename == "KeyboardInterrupt":
        return f"code cell {index} took more than {timeout} seconds and was stopped"
    return f"code cell {index} raised {error.ename}: {CELL_FILE.sub('(', ANSI.sub('', error.evalue))}"
