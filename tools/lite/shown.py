"""A page as it is put on the site: cells to run, and cells that are only shown."""

import copy
import os
import re
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from build_site import LINK
from lite.pages import Page

KERNEL = {"display_name": "Python (Pyodide)", "language": "python", "name": "python"}


def for_browser(page: Page, note: str, first: str, there: set[Path]) -> NotebookNode:
    """The notebook as it is put on the site.

    Below the title stands the `note`, then the cell `first`, which runs before all others. A cell that does not run in
    the browser is only shown. A link to a page that is not `there` keeps its words alone.
    """
    title, *rest = enumerate(page.notebook.cells)
    cells = [copy.deepcopy(title[1]), nbformat.v4.new_markdown_cell(note, id="browser-note")]
    cells.append(nbformat.v4.new_code_cell(first, id="browser-packages"))
    for i, cell in rest:
        if i not in page.out:
            cells.append(copy.deepcopy(cell))
            continue
        cells.append(shown(cell, page.out[i]))
        if page.kept[i]:
            cells.append(nbformat.v4.new_code_cell("\n".join(page.kept[i]), id=f"{cell.id}-imports"))
    for cell in cells:
        if cell.cell_type == "code":
            cell.execution_count = None
        elif cell.id in {c.id for c in page.notebook.cells if c.cell_type == "markdown"}:
            cell.source = LINK.sub(lambda found: kept_link(found, page.name, there), cell.source)
    metadata = copy.deepcopy(page.notebook.metadata)
    metadata.kernelspec = KERNEL
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def kept_link(found: re.Match, name: Path, there: set[Path]) -> str:
    target = Path(os.path.normpath(name.parent / found[2]))
    return found[0] if target in there else f"{found[1]} (not in the browser)"


def shown(cell: NotebookNode, lack: str) -> NotebookNode:
    """A cell that cannot run, as text: a note, its code, and the outputs that the course has stored."""
    parts = [
        f"> **This cell does not run in the browser.** It needs {lack}. On a machine (`make lab`) it runs"
        + (", and printed what stands below it." if cell.outputs else "."),
        fenced(cell.source, "python"),
    ]
    attachments = {}
    for number, output in enumerate(cell.outputs):
        kinds = output.get("data", {})
        if "image/png" in kinds:
            alt = output.metadata["image/png"]["alt"].replace("[", "(").replace("]", ")")
            attachments[f"output-{number}.png"] = {"image/png": kinds["image/png"]}
            parts.append(f"![{alt}](attachment:output-{number}.png)")
        else:
            parts.append(fenced(output.get("text") or kinds["text/plain"], "text"))
    made = nbformat.v4.new_markdown_cell("\n\n".join(parts), id=cell.id)
    if attachments:
        made.attachments = attachments
    return made


def fenced(text: str, language: str) -> str:
    """Text as a block of code in Markdown, whatever stands in it."""
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`{3,}", text))])
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
