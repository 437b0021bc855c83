"""The test class through the real thing: nbgrader, the sandbox, several submissions side by side.

It takes a minute or two and needs bubblewrap, so `make test` leaves it out; `make test-class` runs it:

    python -m pytest tests/grading/class_of_students.py
"""

import csv
import dataclasses
import shutil
import socket

import nbformat
import pytest
from nbgrader.api import Gradebook
from traitlets.log import get_logger

from grading.batch import feedback_class, grade_class, write_grades
from grading.classroom import Classroom
from grading.intake import fingerprint
from grading.limits import Limits
from grading.release import release
from grading.worker import grade as grade_alone
from isolation import ROOT
from tests.grading.students import (
    ASSIGNMENT,
    HIDDEN_LINE,
    HINT,
    NOTEBOOK,
    STUDENTS,
    hand_in,
    make_course,
    require_bubblewrap,
)

require_bubblewrap()

# Small, but long enough for a machine that does other things too.
LIMITS = Limits(cell_seconds=6, total_seconds=25, memory_mb=600, processes=40, output_kb=100)
JOBS = 4


@pytest.fixture(scope="session")
def port():
    """A server of this machine that anybody on it can reach."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture(scope="session")
def room(tmp_path_factory, port):
    """A class that was graded once, and what it consisted of before."""
    course = tmp_path_factory.mktemp("course")
    make_course(course)
    (course / "port").write_text(str(port))
    room = Classroom(course, LIMITS)
    release(room, ASSIGNMENT)
    for name in STUDENTS:
        hand_in(course, name)
    places = [course / "solutions", course / "exercises", course / "class" / "submitted", ROOT / "quantlab"]
    before = {place: fingerprint(place) for place in places}
    grade_class(room, ASSIGNMENT, jobs=JOBS)
    assert {place: fingerprint(place) for place in places} == before, "grading changed the course or a submission"
    return room


def outputs(room, name):
    nb = nbformat.read(room.folder / "autograded" / name / ASSIGNMENT / NOTEBOOK, as_version=4)
    return "\n".join(str(output) for cell in nb.cells for output in cell.get("outputs", []))


@pytest.mark.parametrize("name", STUDENTS)
def test_the_outcome_is_the_one_that_the_page_for_instructors_states(room, name):
    record = room.read(ASSIGNMENT, name)
    said = f"{record.reason} {record.way_out} {'; '.join(record.notes)}"
    if STUDENTS[name].points is None:
        assert record.state == "not graded"
        assert record.reason
        assert record.way_out
    else:
        assert record.state == "graded", said
        assert record.score == STUDENTS[name].points, f"{said}\n{outputs(room, name)}"
    assert STUDENTS[name].says in said


@pytest.mark.parametrize("name", ["reads_what_is_not_his", "writes_outside", "opens_a_socket"])
def test_what_is_not_allowed_does_not_succeed(room, name):
    said = outputs(room, name)
    assert "SUCCEEDED" not in said
    assert "Error" in said


def test_an_error_names_what_happened(room):
    assert "MemoryError" in outputs(room, "eats_memory")
    assert "BlockingIOError" in outputs(room, "forks")
    assert "CellTimeoutError" in outputs(room, "loops_forever")
    assert f"a hidden test failed: {HINT}" in outputs(room, "passes_what_is_seen")


def test_a_second_run_grades_only_what_changed(room):
    looked_at = []
    grade_class(room, ASSIGNMENT, jobs=JOBS, report=looked_at.append)
    assert looked_at == []
    old = STUDENTS["blank"].write
    path = room.submission(ASSIGNMENT, "blank") / NOTEBOOK
    STUDENTS["right"].write(room.course, path)
    grade_class(room, ASSIGNMENT, jobs=JOBS, report=looked_at.append)
    assert [(record.student, record.score) for record in looked_at] == [("blank", 5)]
    old(room.course, path)
    grade_class(room, ASSIGNMENT, jobs=JOBS)


def test_grades_csv_has_everybody_once(room):
    with write_grades(room).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["student"] for row in rows] == sorted(STUDENTS)
    scores = {row["student"]: float(row["score"]) if row["score"] else None for row in rows}
    assert scores == {name: student.points for name, student in STUDENTS.items()}


def test_feedback_holds_no_hidden_test(room):
    failed, made = feedback_class(room, ASSIGNMENT, jobs=JOBS)
    assert failed == []
    assert made == sum(student.points is not None for student in STUDENTS.values())
    for page in room.folder.glob(f"feedback/*/{ASSIGNMENT}/*.html"):
        text = page.read_text("utf-8")
        assert "375_000_000" not in text, page
        assert HIDDEN_LINE not in text, page
    page = room.folder / "feedback" / "passes_what_is_seen" / ASSIGNMENT / f"{ASSIGNMENT}.html"
    assert HINT in page.read_text("utf-8")
    assert "pre-wrap !important" in page.read_text("utf-8")
    page = room.folder / "feedback" / "spies_on_the_hidden_test" / ASSIGNMENT / f"{ASSIGNMENT}.html"
    assert "withheld" in page.read_text("utf-8")
    assert feedback_class(room, ASSIGNMENT, jobs=JOBS) == ([], 0)


@pytest.mark.parametrize(("method", "score"), [("none", 5), ("zero", 0)])
def test_late_work_is_noted_and_costs_what_the_settings_say(room, monkeypatch, method, score):
    course = shutil.copytree(room.course, room.course.with_name(f"late-{method}"), symlinks=True)
    late = dataclasses.replace(room, course=course)
    config = Classroom.config

    def with_penalty(self):
        settings = config(self)
        settings.LateSubmissionPlugin.penalty_method = method
        return settings

    monkeypatch.setattr(Classroom, "config", with_penalty)
    with Gradebook(late.database) as book:
        book.update_or_create_assignment(ASSIGNMENT, duedate="2026-11-22 12:00:00 UTC")
    (late.submission(ASSIGNMENT, "right") / "timestamp.txt").write_text("2026-11-23 13:30:00 UTC")
    record = grade_alone(late, ASSIGNMENT, "right")
    for handler in get_logger().handlers:  # its log; a process of its own would end with it
        handler.close()
    get_logger().handlers = []
    assert record["notes"] == ["handed in 1 day, 1:30:00 after the due date"]
    assert record["score"] == score


def test_the_release_holds_no_hidden_test(room):
    text = (room.course / "exercises" / ASSIGNMENT / NOTEBOOK).read_text("utf-8")
    assert "375_000_000" not in text
    assert "BEGIN" not in text


@pytest.mark.parametrize("name", ["reads_what_is_not_his", "opens_a_socket"])
def test_without_the_sandbox_the_same_code_succeeds(room, name):
    """The control. What `writes_outside` does is better not tried."""
    path = shutil.copytree(room.course, room.course.with_name(f"open-{name}"), symlinks=True)
    unsafe = dataclasses.replace(room, course=path, sandboxed=False)
    grade_class(unsafe, ASSIGNMENT, jobs=1, students=[name], again=True)
    assert "SUCCEEDED" in outputs(unsafe, name)


def test_a_kernel_that_cannot_start_is_named_as_the_reason(room):
    path = shutil.copytree(room.course, room.course.with_name("small"), symlinks=True)
    small = dataclasses.replace(room, course=path, limits=Limits(memory_mb=1))
    (record,) = grade_class(small, ASSIGNMENT, jobs=1, students=["right"])
    assert record.state == "not graded"
    assert "it used more than 1 MB of memory" in record.reason
    assert record.way_out
