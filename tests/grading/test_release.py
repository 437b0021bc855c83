"""exercises/ is what nbgrader makes of solutions/, and nothing hidden leaves the house."""

import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from grading.classroom import Classroom
from grading.feedback import WITHHELD, ReadablePage, WithholdHidden
from grading.release import ReleaseError, release, released
from isolation import ROOT
from tests.grading.students import ALL, ASSIGNMENT, HIDDEN, HIDDEN_LINE, NOTEBOOK, make_course


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    course = tmp_path_factory.mktemp("course")
    make_course(course)
    return Classroom(course)


def test_a_release_counts_its_points_and_leaves_the_exercises_alone(room):
    before = (room.course / "exercises" / ASSIGNMENT / NOTEBOOK).read_bytes()
    with pytest.raises(ReleaseError, match="was not released yet: run make release ARGS=00"):
        released(room, ASSIGNMENT)
    assert release(room, ASSIGNMENT) == ALL
    assert (room.course / "exercises" / ASSIGNMENT / NOTEBOOK).read_bytes() == before
    assert released(room, ASSIGNMENT)
    assert sorted(path.name for path in room.folder.iterdir()) == ["gradebook.db", "state"]


def test_an_exercise_that_is_not_of_its_source_is_not_released(room, tmp_path):
    course = tmp_path / "course"
    shutil.copytree(room.course, course)
    path = course / "exercises" / ASSIGNMENT / NOTEBOOK
    text = path.read_text("utf-8")
    path.write_text(text.replace("Slow and obvious", "Changed by hand"), encoding="utf-8")
    with pytest.raises(ReleaseError, match="is not what nbgrader makes of"):
        release(Classroom(course), ASSIGNMENT)
    path.write_text(text.replace("raise NotImplementedError", "### BEGIN SOLUTION", 1), encoding="utf-8")
    with pytest.raises(ReleaseError, match="holds 'BEGIN SOLUTION'"):
        release(Classroom(course), ASSIGNMENT)


def test_a_source_that_changed_has_to_be_released_again(room, tmp_path):
    course = tmp_path / "course"
    shutil.copytree(room.course, course)
    release(Classroom(course), ASSIGNMENT)
    with (course / "solutions" / ASSIGNMENT / NOTEBOOK).open("a") as file:
        file.write("\n")
    with pytest.raises(ReleaseError, match="has changed since its release"):
        released(Classroom(course), ASSIGNMENT)


def test_every_exercise_of_the_course_is_what_nbgrader_releases(tmp_path):
    names = sorted(path.parent.name for path in (ROOT / "solutions").glob("*/*.ipynb"))
    for name in names:
        for kind in ["solutions", "exercises"]:
            shutil.copytree(ROOT / kind / name, tmp_path / kind / name)
    points = {name: release(Classroom(tmp_path), name) for name in names}
    assert all(points.values()), points


def cleaned(*outputs):
    test = new_code_cell(f'check("00.1", n_bytes)\n{HIDDEN}', outputs=list(outputs))
    test.metadata["nbgrader"] = {"grade": True, "solution": False, "grade_id": "check-00-1"}
    other = new_code_cell("print(found)", outputs=list(outputs))
    nb, _ = WithholdHidden().preprocess(new_notebook(cells=[test, other]), {})
    return nb


@pytest.mark.parametrize("shown", [HIDDEN_LINE + ', "large counts count too"', repr(HIDDEN), repr(repr(HIDDEN))])
def test_feedback_repeats_no_line_of_a_hidden_test(shown):
    nb = cleaned(
        new_output("stream", name="stdout", text=f"before\n{shown}\nafter"),
        new_output("error", ename="E", evalue=shown, traceback=[shown]),
        new_output("display_data", data={"text/html": f"<b>{shown}</b>"}),
    )
    assert "375_000_000" not in nbformat.writes(nb)
    assert all(output.text == WITHHELD for cell in nb.cells for output in cell.outputs)
    assert nb.cells[0].source == 'check("00.1", n_bytes)'


def test_other_outputs_stay():
    output = new_output("stream", name="stdout", text="00.1 correct")
    assert all(cell.outputs == [output] for cell in cleaned(output).cells)


def test_markers_in_a_cell_of_the_student_do_no_harm():
    mine = new_code_cell("### BEGIN HIDDEN TESTS\n### BEGIN HIDDEN TESTS")
    nb, _ = WithholdHidden().preprocess(new_notebook(cells=[mine]), {})
    assert nb.cells[0].source == mine.source


def test_a_page_wraps_its_lines_and_has_no_link_into_the_course():
    text = "see [lesson 03](../../notebooks/03_x.ipynb), [the web](https://a.example/b), ![mine](attachment:a.png)"
    cells = [new_markdown_cell(text), new_code_cell("# [a](b)")]
    nb, resources = ReadablePage().preprocess(new_notebook(cells=cells), {"inlining": {"css": ["before"]}})
    assert nb.cells[0].source == text.replace("[lesson 03](../../notebooks/03_x.ipynb)", "lesson 03")
    assert nb.cells[1].source == "# [a](b)"
    assert resources["inlining"]["css"][0] == "before"
    assert "pre-wrap" in resources["inlining"]["css"][1]


@pytest.mark.parametrize("wanted", ["0", "00", ASSIGNMENT])
def test_an_assignment_by_its_number_or_name(room, wanted):
    assert room.assignments([wanted]) == [ASSIGNMENT]
    with pytest.raises(ValueError, match="there is no assignment '7'"):
        room.assignments(["7"])
