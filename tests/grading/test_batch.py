"""One submission never stops the others, and a second run looks only at what changed."""

import csv
import dataclasses

import pytest

from grading import batch
from grading.classroom import Classroom, Record
from grading.intake import fingerprint
from tests.grading.students import ASSIGNMENT, NOTEBOOK, make_course


@pytest.fixture
def room(tmp_path, monkeypatch):
    """A class of four, graded by a function of the test: nbgrader is not asked."""
    make_course(tmp_path)
    room = Classroom(tmp_path)
    room.release_record(ASSIGNMENT).parent.mkdir(parents=True)
    digest = fingerprint(room.source(ASSIGNMENT))
    room.release_record(ASSIGNMENT).write_text(f'{{"source": "{digest}"}}')
    for name in ["ana", "bob", "cleo", "dan"]:
        room.submission(ASSIGNMENT, name).mkdir(parents=True)
        (room.submission(ASSIGNMENT, name) / NOTEBOOK).write_text('{"cells": []}')
    answers = {"ana": {"state": "graded", "score": 5.0, "max_score": 5.0}, "bob": {"reason": "RuntimeError: no"}}

    def run(room, record, work):
        if record.student == "cleo":
            raise OSError("the disk is full")
        return answers.get(record.student, answers["ana"])

    monkeypatch.setattr(batch, "run", run)
    return room


def looked_at(room, **given):
    seen = []
    records = batch.grade_class(room, ASSIGNMENT, jobs=2, report=seen.append, **given)
    assert [record.student for record in records] == sorted(record.student for record in records)
    return {record.student: record for record in seen}


def test_a_failure_has_a_reason_and_a_way_out_and_the_rest_is_graded(room):
    found = looked_at(room)
    assert {name: record.state for name, record in found.items()} == {
        "ana": "graded",
        "bob": "not graded",
        "cleo": "not graded",
        "dan": "graded",
    }
    assert found["bob"].reason == "RuntimeError: no"
    assert "the disk is full" in found["cleo"].reason
    assert all(found[name].way_out for name in ["bob", "cleo"])


def test_a_second_run_tries_what_failed_and_what_changed(room):
    looked_at(room)
    assert set(looked_at(room)) == {"bob", "cleo"}
    (room.submission(ASSIGNMENT, "dan") / NOTEBOOK).write_text('{"cells": [{}]}')
    assert set(looked_at(room)) == {"bob", "cleo", "dan"}
    assert set(looked_at(room, again=True, students=["ana", "bob"])) == {"ana", "bob"}


def test_a_broken_submission_is_not_looked_at_twice_until_it_changes(room):
    (room.submission(ASSIGNMENT, "ana") / NOTEBOOK).write_text("")
    assert "is empty" in looked_at(room)["ana"].reason
    assert "ana" not in looked_at(room)


def test_other_limits_or_a_damaged_record_grade_again(room):
    looked_at(room)
    room.record_file(ASSIGNMENT, "ana").write_text("{")
    assert "ana" in looked_at(room)
    strict = dataclasses.replace(room, limits=dataclasses.replace(room.limits, cell_seconds=1))
    assert "ana" in looked_at(strict)


def test_the_table_of_grades(room):
    looked_at(room)
    room.write(Record("dan", ASSIGNMENT, "graded", 3.0, 5.0, notes=["one, two", "three"]))
    with batch.write_grades(room).open(encoding="utf-8", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert (rows["ana"]["score"], rows["ana"]["state"]) == ("5.0", "graded")
    assert (rows["bob"]["score"], rows["bob"]["reason"]) == ("", "RuntimeError: no")
    assert rows["dan"]["notes"] == "one, two; three"


def test_pages_of_some_students_only(room):
    looked_at(room)
    assert batch.feedback_class(room, ASSIGNMENT, jobs=1, students=["ana"]) == ([], 1)
    assert batch.feedback_class(room, ASSIGNMENT, jobs=1) == ([], 1)  # dan's; nothing else was graded
