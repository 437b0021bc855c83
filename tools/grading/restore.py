"""nbgrader's step that mends what students do to the cells that grade them: deleted, edited, duplicated, stripped.

The gradebook knows every cell as it was released. Its metadata are put back over what came; a test cell that is missing
is put back too, behind the answer that it tests or, if that cannot be told, at the end.
"""

import logging
from typing import Any

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nbgrader.api import Gradebook
from nbgrader.preprocessors import ClearHiddenTests, NbGraderPreprocessor


class RestoreCells(NbGraderPreprocessor):
    """Make the metadata of a submission those of its source; each repair is noted."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Mend a submission before nbgrader looks at it."""
        names = resources["nbgrader"]
        with Gradebook(names["db_url"]) as book:
            source = book.find_notebook(names["notebook"], names["assignment"])
            graded = {cell.name: cell.max_score for cell in source.grade_cells}
            answers = {cell.name for cell in source.solution_cells}
            known = {
                cell.name: (metadata(cell, graded.get(cell.name), cell.name in answers), cell.source)
                for cell in source.source_cells
            }
        restore(nb, known, self.log)
        return nb, resources


def metadata(cell: Any, points: float | None, answer: bool) -> dict[str, Any]:
    """The metadata that nbgrader wants, from the gradebook's record of a cell."""
    given = {
        "cell_type": cell.cell_type,
        "checksum": cell.checksum,
        "grade": points is not None,
        "grade_id": cell.name,
        "locked": cell.locked,
        "schema_version": 3,
        "solution": answer,
        "task": False,
    }
    return given if points is None else {**given, "points": points}


def restore(nb: NotebookNode, known: dict[str, tuple[dict[str, Any], str]], log: logging.Logger) -> None:
    """Put metadata and missing test cells back; `known` holds the metadata and the source of each cell by name."""

    def note(text: str) -> None:
        log.warning(text, extra={"note": text})

    found: dict[str, NotebookNode] = {}
    # From the end, so that of several cells with one name the last is kept: the others are older attempts.
    for cell in reversed(nb.cells):
        name = grade_id(cell)
        cell.metadata.pop("nbgrader", None)
        if name not in known:
            continue
        if name in found:
            note(f"there are several cells {name}: the last one counts")
            continue
        found[name] = cell
    tests = [name for name, (meta, _) in known.items() if meta["grade"]]
    stripped = not found
    for name in tests:
        if name not in found:
            cell = unlabelled(nb, released(known[name][1]), list(found.values()))
            if cell is not None:
                found[name] = cell
                if not stripped:
                    note(f"the metadata of {name} were missing: put back")
        elif found[name].source.strip() != released(known[name][1]).strip():
            note(f"the test cell {name} was edited: the original counts")
    if stripped:
        note("all metadata were missing: put back by the text of the test cells")
    for name in tests:
        if name not in found:
            note(f"the test cell {name} was missing: put back")
            found[name] = new_code_cell(known[name][1])
            answer = found.get(name.replace("check-", "solution-", 1))
            place = next((i for i, cell in enumerate(nb.cells) if cell is answer), len(nb.cells) - 1)
            nb.cells.insert(place + 1, found[name])
    for name, cell in found.items():
        cell.metadata["nbgrader"] = NotebookNode(known[name][0])


def grade_id(cell: NotebookNode) -> str:
    """The name that a cell claims, or nothing: a student can write anything into metadata."""
    claimed = cell.metadata.get("nbgrader")
    name = claimed.get("grade_id") if isinstance(claimed, dict) else None
    return name if isinstance(name, str) else ""


def released(source: str) -> str:
    """The source of a test cell as students have it, without hidden tests."""
    cell = new_code_cell(source)
    ClearHiddenTests()._remove_hidden_test_region(cell)
    return cell.source


def unlabelled(nb: NotebookNode, source: str, taken: list[NotebookNode]) -> NotebookNode | None:
    """The last code cell with this text that has no name yet, or None."""
    for cell in reversed(nb.cells):
        same = cell.cell_type == "code" and cell.source.strip() == source.strip()
        if same and not any(cell is other for other in taken):
            return cell
    return None
