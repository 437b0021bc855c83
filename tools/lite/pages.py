"""A lesson as a page for the browser: which of its cells run there, and what becomes of the others.

Nothing of this is a list that somebody keeps. The lesson is run without what the browser lacks (`lite.browser`); a cell
that fails, or that prints something else than on the page, is taken out together with every name that it would have
bound; then the rest is run again from the top, until a run goes through and prints what is stored. So a cell that needs
the result of one that was taken out is taken out too.
"""

import ast
import copy
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from build import execute
from lite.browser import NO_TIMES

# Addresses differ from run to run; nbval replaces them in the same way (tests/sanitize.cfg).
ADDRESS = re.compile(r"0x[0-9a-f]{8,16}\b")
UNCOMPARED = "nbval-ignore-output"
DEPENDS = "the result of a cell above that does not run here"
FAILS = "a machine for what its last lines assert"
MODELS = "more of a real model than comes with these pages"
OTHERWISE = "what a cell above would have done that does not run here"


@dataclass
class Page:
    """A notebook and what was found out about it.

    Attributes
    ----------
    name : Path
        Relative to the root of the course, as of the pages of the site.
    notebook : NotebookNode
        As it stands in the course, with outputs.
    out : dict of int to str
        The code cells, by their place among all cells, that do not run in the browser, and what each one lacks.
    kept : dict of int to list of str
        Lines that import something, of such cells: the cells that follow may need them, and they can be had.
    report : dict
        What the cell `after` of `settle` printed in the last run, read as JSON.
    """

    name: Path
    notebook: NotebookNode
    out: dict[int, str] = field(default_factory=dict)
    kept: dict[int, list[str]] = field(default_factory=dict)
    report: dict = field(default_factory=dict)

    @property
    def code(self) -> list[int]:
        """The places of the code cells."""
        return [i for i, cell in enumerate(self.notebook.cells) if cell.cell_type == "code"]

    @property
    def share(self) -> float:
        """The share of the code cells that run in the browser."""
        return 1 - len(self.out) / len(self.code)


def settle(page: Page, folder: Path, *, before: str, after: str) -> Page:
    """Fill in which cells run.

    `folder` is where the page is put to run, with nothing of the course above it; `before` is the code that makes the
    kernel like one in the browser, and `after` prints the page's report.
    """
    path, cells = folder / page.name, page.notebook.cells
    while True:
        sources = [without(cells[i].source, page.kept[i]) if i in page.out else cells[i].source for i in page.code]
        *given, report = run([*sources, after], path, before=before)
        lacks: dict[int, str] = {}
        for i, outputs in zip(page.code, given, strict=True):
            before_it = any(j < i for j in [*page.out, *lacks])
            if i not in page.out and (lack := what_it_lacks(outputs, cells[i], after_others=before_it)):
                lacks[i] = lack
        if not lacks:
            page.report = json.loads(text_of(report))
            return page
        page.out |= lacks
        lines = [(i, line) for i in lacks for line in imports(cells[i].source)]
        tried = run([line for _, line in lines], path, before=before)
        had = [place for place, outputs in zip(lines, tried, strict=True) if error_of(outputs) is None]
        page.kept |= {i: [line for j, line in had if j == i] for i in lacks}


def run(sources: list[str], path: Path, *, before: str) -> list[list[NotebookNode]]:
    """The outputs of these cells, run one after the other in a fresh kernel; an error stops none of the others."""
    go_on = {"tags": ["raises-exception"]}
    cells = [nbformat.v4.new_code_cell(source, metadata=go_on) for source in sources]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(before), *cells])
    execute(notebook, path)
    return [cell.outputs for cell in notebook.cells[1:]]


def what_it_lacks(outputs: list[NotebookNode], cell: NotebookNode, *, after_others: bool) -> str:
    """Why a cell does not run in the browser as it stands; empty if it does.

    An error without a cause of its own comes from the cells before it, if one of these does not run (`after_others`).
    """
    error = error_of(outputs)
    if error is None:
        compared = UNCOMPARED not in cell.metadata.get("tags", [])
        return OTHERWISE if compared and text_of(outputs) != text_of(cell.outputs) else ""
    if error.ename == "ModuleNotFoundError":
        return re.sub(r"No module named '(.*)' in the browser", r"the package `\1`", error.evalue)
    if error.ename == "FileNotFoundError":
        return MODELS
    if error.evalue == NO_TIMES:
        return f"a clock, and {NO_TIMES}"
    if error.ename == "AssertionError":
        return FAILS
    return DEPENDS if after_others else f"something that is not there ({error.evalue or error.ename})".splitlines()[0]


def error_of(outputs: list[NotebookNode]) -> NotebookNode | None:
    return next((output for output in outputs if output.output_type == "error"), None)


def text_of(outputs: list[NotebookNode]) -> str:
    """What nbval compares of outputs, without addresses."""
    texts = [output.text if output.output_type == "stream" else output.data.get("text/plain", "") for output in outputs]
    return ADDRESS.sub("ADDRESS", "".join(texts))


def imports(source: str) -> list[str]:
    """The statements of a cell that import something, one for each name, outside of any block."""
    found = [node for node in ast.parse(source).body if isinstance(node, ast.Import | ast.ImportFrom)]
    one_each = []
    for node in found:
        for alias in node.names:
            single = copy.copy(node)
            single.names = [alias]
            one_each.append(ast.unparse(single))
    return one_each


def bound(source: str) -> set[str]:
    """The names that a cell gives a value, or whose value it changes in place by an assignment."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name | ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            while not isinstance(node, ast.Name):
                if not isinstance(node, ast.Subscript | ast.Attribute):
                    break
                node = node.value
            else:
                names.add(node.id)
    return names


def without(source: str, lines: list[str]) -> str:
    """Code in place of a cell that is taken out: its names are gone, but for those that these lines import."""
    gone = sorted(bound(source))
    return "\n".join([f"_ = [globals().pop(name, None) for name in {gone}]", *lines])
