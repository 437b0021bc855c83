"""nbgrader's steps for release and feedback: nothing hidden may stand in what a student gets."""

import re
from typing import Any

from nbformat import NotebookNode
from nbgrader import utils
from nbgrader.preprocessors import ClearHiddenTests, NbGraderPreprocessor

from build import STUB_COMMENT, TOP_LEVEL_STUB

WITHHELD = "(this output is withheld: it holds text of a hidden test)"
HIDDEN = re.compile(r"BEGIN HIDDEN TESTS[^\n]*\n(.*?)(?=^[^\n]*END HIDDEN TESTS)", re.DOTALL | re.MULTILINE)
SHORTEST = 8  # characters of a hidden line that are worth looking for
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?:|mailto:|#)[^)\s]+\)")  # in markdown, to a file of the course
WRAP = "pre { white-space: pre-wrap !important; overflow-wrap: anywhere; }"


class TopLevelStubs(NbGraderPreprocessor):
    """An answer outside of a function leaves a comment behind, not a raise: 'Run all' would stop there."""

    def preprocess_cell(self, cell: NotebookNode, resources: Any, index: int) -> tuple[NotebookNode, Any]:
        """Turn the stub of one cell."""
        cell.source = TOP_LEVEL_STUB.sub(STUB_COMMENT, cell.source)
        return cell, resources


class WithholdHidden(NbGraderPreprocessor):
    """Clear hidden tests from graded cells, and withhold every output that repeats a line of them."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Clean a graded notebook before a page is made of it."""
        tests = [cell for cell in nb.cells if utils.is_grade(cell)]
        lines = {
            squeezed(line) for cell in tests for block in HIDDEN.findall(cell.source) for line in block.splitlines()
        }
        lines = {line for line in lines if len(line) >= SHORTEST}
        for cell in tests:
            ClearHiddenTests()._remove_hidden_test_region(cell)
        for cell in nb.cells:
            for index, output in enumerate(cell.get("outputs", [])):
                # repr and JSON write a quote or a backslash in other ways; without them the line is the same.
                text = squeezed(str(output))
                if any(line in text for line in lines):
                    cell.outputs[index] = NotebookNode(output_type="stream", name="stdout", text=WITHHELD)
        return nb, resources


class ReadablePage(NbGraderPreprocessor):
    """Wrap long lines, since the hint stands at the end of a verdict; the page lies where links to lessons are dead."""

    def preprocess(self, nb: NotebookNode, resources: Any) -> tuple[NotebookNode, Any]:
        """Add to the styles that CSSHTMLHeaderPreprocessor has put into the resources."""
        resources.setdefault("inlining", {}).setdefault("css", []).append(WRAP)
        for cell in nb.cells:
            if cell.cell_type == "markdown":
                cell.source = LINK.sub(r"\1", cell.source)
        return nb, resources


def squeezed(text: str) -> str:
    """A text without blanks, quotes and backslashes, so that another way to write it is found too."""
    return re.sub(r"\\n|[\s'\"\\]", "", text)
