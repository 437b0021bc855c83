"""Build the notebooks from their text forms.

    python tools/build.py                    all: lessons, solutions and exercises
    python tools/build.py 03 05              those two numbers
    python tools/build.py --check            compare, write nothing, run nothing
    python tools/build.py --as-they-stand    run the lessons in order and store their outputs; the text is not read

A lesson `notebooks/src/03_x.py` becomes `notebooks/03_x.ipynb`. The exercises of a lesson are written once, with their
answers, in `solutions/src/03_x.py`; it becomes `solutions/03_x/03_x.ipynb`, and without the answers
`exercises/03_x/03_x.ipynb`. What nbgrader wants to know about a cell follows from the text, so nobody writes it there.

Two builds give the same bytes: cell ids are counted, streams are joined, and nothing of this machine is kept.
"""

import argparse
import copy
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

from isolation import ROOT, isolated_environment

CELL_TIMEOUT = 120  # seconds
# In a function the stub raises when it is called. At the top level it would stop 'Run all', so there only its comment
# stays, and the text gives the name a value before the answer (`n = ...`).
STUB_COMMENT = "# your code here"
STUB = f"raise NotImplementedError  {STUB_COMMENT}"
TOP_LEVEL_STUB = re.compile(rf"^{STUB}$", re.MULTILINE)
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}
HEADING = re.compile(r"^## (\d\d\.\d+) .*\(difficulty ([123]), \d+ minutes?\)\s*$", re.MULTILINE)
CHECK = re.compile(r"^check\(\s*['\"](\d\d\.\d+)['\"]", re.MULTILINE)
ANSI = re.compile(r"\x1b\[[0-9;]*m")


class BuildError(Exception):
    """A notebook that cannot be built; the message says which cell of which file, and why."""


@dataclass(frozen=True)
class Target:
    """One notebook to build: its text form, where it goes, and what becomes of the answers in it."""

    text: Path
    notebook: Path
    kind: str  # "lesson", "solution" or "exercise"

    @property
    def number(self) -> str:
        return self.text.name[:2]


def targets(root: Path = ROOT) -> Iterator[Target]:
    """All notebooks of the course in the order in which they are built, from the text forms that exist."""
    for text in sorted((root / "notebooks" / "src").glob("[0-9][0-9]_*.py")):
        yield Target(text, root / "notebooks" / f"{text.stem}.ipynb", "lesson")
    for text in sorted((root / "solutions" / "src").glob("[0-9][0-9]_*.py")):
        for kind in ["solution", "exercise"]:
            yield Target(text, root / f"{kind}s" / text.stem / f"{text.stem}.ipynb", kind)


def built_notebooks(root: Path = ROOT) -> list[Path]:
    """The notebooks that are there, whether or not a text form stands behind them."""
    patterns = ["notebooks/*.ipynb", "solutions/*/*.ipynb", "exercises/*/*.ipynb"]
    return [path for pattern in patterns for path in sorted(root.glob(pattern))]


# From text to cells


def from_text(target: Target) -> NotebookNode:
    """The notebook without outputs, as its text form determines it."""
    import jupytext

    read = jupytext.reads(target.text.read_text(encoding="utf-8"), fmt="py:percent")
    cells = [_clean_cell(cell, index) for index, cell in enumerate(read.cells, start=1)]
    notebook = nbformat.v4.new_notebook(cells=cells, metadata=copy.deepcopy(METADATA))
    if target.kind != "lesson":
        mark_for_grading(notebook, target.text)
    if target.kind == "exercise":
        notebook = without_answers(notebook)
    nbformat.validate(notebook)
    return notebook


def _clean_cell(cell: NotebookNode, index: int) -> NotebookNode:
    make = {"code": nbformat.v4.new_code_cell, "markdown": nbformat.v4.new_markdown_cell}[cell.cell_type]
    tags = cell.metadata.get("tags")
    return make(cell.source, id=f"cell-{index:03d}", metadata={"tags": tags} if tags else {})


def mark_for_grading(notebook: NotebookNode, text: Path) -> None:
    """Give each answer and each check its nbgrader metadata; points are the difficulty in the exercise's heading."""
    exercise, points = "", {}
    seen: dict[str, int] = {}
    for index, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            for exercise, difficulty in HEADING.findall(cell.source):
                points[exercise] = int(difficulty)
            continue
        checked = CHECK.search(cell.source)
        if "### BEGIN SOLUTION" in cell.source:
            if not exercise:
                raise BuildError(f"{text}, cell {index}: an answer before the first '## NN.n Title (difficulty ...)'")
            grade = {"grade": False, "solution": True, "locked": False}
            name = f"solution-{exercise}"
        elif checked:
            if checked[1] != exercise:
                raise BuildError(
                    f"{text}, cell {index}: check({checked[1]!r}) stands under the heading of {exercise!r}"
                )
            grade = {"grade": True, "solution": False, "locked": True, "points": points[exercise]}
            name = f"check-{exercise}"
        else:
            continue
        name = name.replace(".", "-")
        seen[name] = seen.get(name, 0) + 1
        grade_id = name if seen[name] == 1 else f"{name}-{seen[name]}"
        cell.metadata.nbgrader = {"grade_id": grade_id, "schema_version": 3, "task": False, **grade}


def without_answers(notebook: NotebookNode) -> NotebookNode:
    """The release for students, made with nbgrader's own steps in nbgrader's own order."""
    from nbgrader.preprocessors import CheckCellMetadata, ClearHiddenTests, ClearSolutions, ComputeChecksums, LockCells
    from traitlets.config import Config

    config = Config({"ClearSolutions": {"code_stub": {"python": STUB}}})
    resources: dict = {}
    for step in [LockCells, ClearSolutions, CheckCellMetadata, ClearHiddenTests, ComputeChecksums]:
        notebook, resources = step(config=config).preprocess(notebook, resources)
        if step is ClearSolutions:
            for cell in notebook.cells:
                cell.source = TOP_LEVEL_STUB.sub(STUB_COMMENT, cell.source)
    return notebook


# From cells to outputs


def execute(notebook: NotebookNode, path: Path) -> None:
    """Run the notebook in a fresh kernel in its own folder, and store outputs that are the same on every run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    client = NotebookClient(
        notebook,
        kernel_name=METADATA["kernelspec"]["name"],
        timeout=CELL_TIMEOUT,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    try:
        _run(client)
    except CellExecutionError as error:
        raise BuildError(f"{_place(notebook, path)} raised\n{ANSI.sub('', str(error.traceback))}") from None
    except CellTimeoutError:
        raise BuildError(f"{_place(notebook, path)} took more than {CELL_TIMEOUT} seconds") from None
    except DeadKernelError:
        raise BuildError(f"{_place(notebook, path)}: the kernel died") from None
    notebook.metadata = nbformat.from_dict(copy.deepcopy(METADATA))
    for index, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            cell.outputs = [_clean_output(output) for output in _joined(cell.outputs)]
            for output in cell.outputs:
                if output.get("name") == "stderr":
                    raise BuildError(f"{path}, cell {index} wrote to stderr:\n{output.text}")


def _run(client: NotebookClient) -> None:
    """Start a kernel that leaves no trace outside a temporary folder, and run all cells in it."""
    with tempfile.TemporaryDirectory() as folder:
        environment = isolated_environment(Path(folder))
        client.create_kernel_manager()
        client.km.connection_file = str(Path(folder) / "kernel.json")
        # Thrown away is what the kernel logs for its own sake; what a cell writes to stderr arrives as an output.
        client.execute(env=environment, stderr=subprocess.DEVNULL)


def _place(notebook: NotebookNode, path: Path) -> str:
    """Where a run stopped: the last code cell that was started."""
    started = [
        (index, cell)
        for index, cell in enumerate(notebook.cells, start=1)
        if cell.cell_type == "code" and (cell.outputs or cell.execution_count is not None)
    ]
    index, cell = started[-1] if started else (1, notebook.cells[0])
    return f"{path}, cell {index} ({cell.source.splitlines()[0]!r})"


def _joined(outputs: list[NotebookNode]) -> Iterator[NotebookNode]:
    """Outputs with neighbouring pieces of one stream put together: where a stream is cut differs from run to run."""
    last = None
    for output in outputs:
        if last is not None and output.output_type == last.output_type == "stream" and output.name == last.name:
            last.text += output.text
            continue
        if last is not None:
            yield last
        last = output
    if last is not None:
        yield last


def _clean_output(output: NotebookNode) -> NotebookNode:
    """A widget's view refers to a kernel that is gone, under a random name; its text stays."""
    if "data" in output:
        output.data.pop("application/vnd.jupyter.widget-view+json", None)
    return output


# What is stored, and what should be


def text_of(notebook: NotebookNode) -> str:
    """The bytes to store: keys sorted, one blank of indentation, a line feed at the end."""
    return nbformat.writes(notebook, version=nbformat.NO_CONVERT).rstrip("\n") + "\n"


def without_outputs(notebook: NotebookNode) -> NotebookNode:
    """A copy with nothing in it that a run produced."""
    bare = copy.deepcopy(notebook)
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return bare


def differences(target: Target) -> list[str]:
    """What stands in the stored notebook otherwise than the text form says, one line each; outputs are not compared."""
    if not target.notebook.exists():
        return [f"{target.notebook} is missing: run python tools/build.py {target.number}"]
    want = from_text(target)
    have = without_outputs(nbformat.read(target.notebook, as_version=nbformat.NO_CONVERT))
    found = [
        f"{target.notebook}, cell {index} is not what {target.text} says:\n  has   {a.source!r} {dict(a.metadata)}"
        f"\n  wants {b.source!r} {dict(b.metadata)}"
        for index, (a, b) in enumerate(zip(have.cells, want.cells, strict=False), start=1)
        if a != b
    ]
    if len(have.cells) != len(want.cells):
        found.append(f"{target.notebook} has {len(have.cells)} cells, {target.text} has {len(want.cells)}")
    if not found and have != want:
        found.append(f"{target.notebook}: format or metadata of the notebook are not those of a build")
    return found


def check(root: Path = ROOT) -> list[str]:
    """Every difference between the text forms and the stored notebooks, and every notebook without a text form."""
    known = list(targets(root))
    orphans = sorted(set(built_notebooks(root)) - {target.notebook for target in known})
    return [line for target in known for line in differences(target)] + [
        f"{path} has no text form: write one, or remove it" for path in orphans
    ]


def main(argv: list[str] | None = None, *, root: Path = ROOT) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="two digits each, such as 03; none means all")
    parser.add_argument("--check", action="store_true", help="compare notebooks and text forms; write and run nothing")
    parser.add_argument("--as-they-stand", action="store_true", help="run the lessons' .ipynb without reading the text")
    arguments = parser.parse_args(argv)

    todo = list(targets(root))
    unknown = set(arguments.numbers) - {target.number for target in todo}
    if unknown:
        parser.error(
            f"no text form begins with {', '.join(sorted(unknown))}; there are "
            f"{', '.join(sorted({target.number for target in todo})) or 'none'}"
        )
    if arguments.check:
        found = check(root)
        print("\n".join(found) or f"{len(todo)} notebooks agree with their text forms")
        return 1 if found else 0
    if arguments.numbers:
        todo = [target for target in todo if target.number in arguments.numbers]
    if arguments.as_they_stand:
        todo = [target for target in todo if target.kind == "lesson"]

    bar = tqdm(todo, unit="notebook")
    for target in bar:
        bar.set_description(f"{target.kind} {target.notebook.stem}")
        try:
            if arguments.as_they_stand:
                notebook = without_outputs(nbformat.read(target.notebook, as_version=nbformat.NO_CONVERT))
            else:
                notebook = from_text(target)
            execute(notebook, target.notebook)
        except BuildError as error:
            bar.close()
            print(error, file=sys.stderr)
            return 1
        target.notebook.write_text(text_of(notebook), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
