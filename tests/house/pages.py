"""The pages of the course as the tests read them, and what nbval would not notice about one."""

import ast
import base64
import re
import struct
import tomllib
from pathlib import Path

import nbformat
import pytest

from build import built_notebooks
from isolation import ROOT

WIDEST = 1000  # pixels: a page is about 700 wide
FINEST = 100  # dots per inch
# Everything that nbval understands, as a tag or as a comment, in old spellings too.
MARKERS = re.compile(r"(?i)\b(?:nbval[-_]\w[\w-]*|pytest_validate_ignore_output|raises-exception)\b")
ALLOWED = "nbval-ignore-output"


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


NOTEBOOKS = built_notebooks()
LESSONS = [path for path in NOTEBOOKS if path.parent.name == "notebooks"]
EXERCISES = [path for path in NOTEBOOKS if path.parent.parent.name == "exercises"]
SOLUTIONS = [path for path in NOTEBOOKS if path.parent.parent.name == "solutions"]
MACHINE_CELLS = tomllib.loads(Path(__file__).with_name("machine_cells.toml").read_text("utf-8")).get("cell", [])

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=name_of)
every_lesson = pytest.mark.parametrize("path", LESSONS, ids=name_of)
every_exercise = pytest.mark.parametrize("path", EXERCISES, ids=name_of)
every_solution = pytest.mark.parametrize("path", SOLUTIONS, ids=name_of)


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=nbformat.NO_CONVERT)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def prose(path: Path) -> str:
    return "\n\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")


def complaints(notebook: nbformat.NotebookNode, name: str, machine_cells: list[dict]) -> list[str]:
    """What nbval would not notice about a notebook: one line for each hole that something fell through."""
    found = []
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    counts = [cell.execution_count for cell in cells]
    if counts != list(range(1, len(cells) + 1)):
        found.append(f"execution counts are {counts}: nbval does not compare a cell without one")
    if not any(_is_compared(output) for cell in cells if not tags_of(cell) for output in cell.outputs):
        found.append("no output is compared")
    listed = {entry["first_line"] for entry in machine_cells if entry["notebook"] == name}
    for index, cell in enumerate(cells, start=1):
        marks = tags_of(cell) | {match[0] for match in MARKERS.finditer(cell.source)}
        first = cell.source.partition("\n")[0]
        if marks and (marks != {ALLOWED} or first not in listed):
            found.append(f"In[{index}] is marked {sorted(marks)} and is not listed in machine_cells.toml: {first!r}")
        if marks and not _asserts(cell.source):
            found.append(f"In[{index}] is not compared and asserts nothing: {first!r}")
        for output in cell.outputs:
            found += [f"In[{index}] {complaint}" for complaint in _output_complaints(output)]
    return found


def tags_of(cell: nbformat.NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _asserts(source: str) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(source)))


def _is_compared(output: nbformat.NotebookNode) -> bool:
    return output.output_type == "stream" or "text/plain" in output.get("data", {})


def _output_complaints(output: nbformat.NotebookNode) -> list[str]:
    if output.output_type == "stream":
        return ["writes to stderr"] if output.name == "stderr" else []
    if output.output_type == "error":
        return ["ends in an error"]
    found = [
        f"shows {kind}, which is not compared or not the same twice"
        for kind in ["image/jpeg", "image/svg+xml", "application/vnd.jupyter.widget-view+json"]
        if kind in output.data
    ]
    if "image/png" in output.data:
        text = output.data.get("text/plain", "")
        alt = output.metadata.get("image/png", {}).get("alt", "")
        if len(alt) < 20:
            found.append(f"shows a picture with the alternative text {alt!r}")
        if alt not in text or text.startswith("<Figure"):
            found.append("shows a picture without its alternative text beside it as text")
        if not all(re.search(rf"\b{word}\b", text) for word in ["n", "min", "max", "mean"]):
            found.append("shows a picture without n, min, max and mean of what is plotted")
        width, dpi = _png_size(output.data["image/png"])
        if width > WIDEST or dpi > FINEST:
            found.append(f"shows a picture {width} pixels wide at {dpi} dpi; at most {WIDEST} and {FINEST}")
    return found


def _png_size(base64_text: str) -> tuple[int, int]:
    """Width in pixels and dots per inch (0 where the file does not say) of a PNG as it stands in a notebook."""
    data = base64.b64decode(base64_text)
    (width,) = struct.unpack(">I", data[16:20])
    start = data.find(b"pHYs")
    if start < 0:
        return width, 0
    per_metre, _, unit = struct.unpack(">IIB", data[start + 4 : start + 13])
    return width, round(per_metre * 0.0254) if unit == 1 else 0
