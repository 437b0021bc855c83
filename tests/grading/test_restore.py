"""What a student did to the test cells is mended before nbgrader looks at them."""

import logging

import nbformat
import pytest

from grading.restore import restore
from isolation import ROOT
from tests.grading.students import ASSIGNMENT, HIDDEN, NOTEBOOK, graded_cells


@pytest.fixture
def page():
    return nbformat.read(ROOT / "exercises" / ASSIGNMENT / NOTEBOOK, as_version=4)


@pytest.fixture
def known(page):
    """What the gradebook holds: metadata and source of each cell; the first test has a hidden part."""
    cells = {c.metadata.nbgrader.grade_id: c for c in page.cells if "nbgrader" in c.metadata}
    found = {name: (dict(cell.metadata.nbgrader), cell.source) for name, cell in cells.items()}
    meta, source = found["check-00-1"]
    return {**found, "check-00-1": (meta, f"{source}\n{HIDDEN}")}


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.WARNING)
    return logging.getLogger("restore")


def marks(page):
    return [c.metadata["nbgrader"]["grade_id"] for c in page.cells if "nbgrader" in c.metadata]


def test_an_honest_page_stays_and_nothing_is_said(page, known, log, caplog):
    before = marks(page)
    restore(page, known, log)
    assert marks(page) == before
    assert caplog.records == []


def test_a_missing_test_comes_back_with_its_hidden_part_behind_its_answer(page, known, log, caplog):
    page.cells.remove(graded_cells(page, "check")["00.1"])
    restore(page, known, log)
    assert marks(page)[:2] == ["solution-00-1", "check-00-1"]
    assert "BEGIN HIDDEN TESTS" in graded_cells(page, "check")["00.1"].source
    assert [record.note for record in caplog.records] == ["the test cell check-00-1 was missing: put back"]


def test_stripped_metadata_come_back_by_the_text(page, known, log, caplog):
    for cell in page.cells:
        cell.metadata.clear()
    restore(page, known, log)
    assert marks(page) == [name for name, (meta, _) in known.items() if meta["grade"]]
    assert len(caplog.records) == 1


def test_a_test_that_is_neither_marked_nor_recognized_comes_to_the_end(page, known, log):
    for cell in page.cells:
        cell.metadata.clear()
        cell.source = cell.source.replace("check(", "print(")
    restore(page, known, log)
    assert page.cells[-1].metadata["nbgrader"]["grade_id"].startswith("check-")
    assert len(marks(page)) == 4


def test_of_several_cells_with_one_name_the_last_counts(page, known, log, caplog):
    last = nbformat.from_dict(dict(graded_cells(page, "check")["00.2"]))
    page.cells.append(last)
    restore(page, known, log)
    assert marks(page).count("check-00-2") == 1
    assert page.cells[-1].metadata["nbgrader"]["grade_id"] == "check-00-2"
    assert "several cells check-00-2" in caplog.records[0].note


def test_points_and_unknown_names_are_not_the_students(page, known, log):
    graded_cells(page, "check")["00.1"].metadata.nbgrader.points = 1000
    page.cells[0].metadata["nbgrader"] = {"grade_id": "mine", "points": 7, "grade": True}
    page.cells[1].metadata["nbgrader"] = "not even a dictionary"
    restore(page, known, log)
    assert graded_cells(page, "check")["00.1"].metadata.nbgrader.points == 1
    assert "nbgrader" not in page.cells[0].metadata
    assert "nbgrader" not in page.cells[1].metadata
