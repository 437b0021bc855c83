"""Every exercise of every lesson through the real autograder: blank, solved, and with each registered wrong answer.

It takes some minutes and needs bubblewrap, so `make test` leaves it out (there, `tests/lab/checks` proves the checks
without nbgrader); `make test-class` runs it:

    python -m pytest tests/grading/every_lesson.py              all lessons
    python -m pytest tests/grading/every_lesson.py -k 03        one
"""

import json
import os
import shutil

import nbformat
import pytest

from grading.batch import grade_class
from grading.classroom import Classroom
from grading.release import release
from isolation import ROOT
from quantlab.lab.checks.engine import exercises
from quantlab.lab.checks.proof import MIN_WRONG, wrong_answers
from quantlab.lab.checks.source import checked
from tests.grading.students import graded_cells, require_bubblewrap

require_bubblewrap()

ASSIGNMENTS = sorted(path.parent.name for path in (ROOT / "solutions").glob("*/*.ipynb"))
WRONG = ROOT / "tests" / "lab" / "checks"


@pytest.fixture(scope="module", params=ASSIGNMENTS)
def graded(request, tmp_path_factory):
    """A class in which one student hands in nothing, one the solution, and the others one wrong answer an exercise."""
    name = request.param
    room = Classroom(tmp_path_factory.mktemp(name))
    for kind in ["solutions", "exercises"]:
        shutil.copytree(ROOT / kind / name, room.course / kind / name)
    points = release(room, name)
    registered = {number: load_wrong_answers(name, number) for number in exercises(name[:2])}
    hand_in(room, name, "blank", read("exercises", name))
    hand_in(room, name, "solution", read("solutions", name))
    for variant in range(max(map(len, registered.values()))):
        hand_in(room, name, f"wrong-{variant}", with_wrong_answers(name, registered, variant))
    records = grade_class(room, name, jobs=os.cpu_count() or 1)
    return room, name, points, registered, {record.student: record for record in records}


def load_wrong_answers(name, number):
    """Register the wrong answers of a lesson, and return those of one exercise."""
    exec(compile((WRONG / f"wrong_{name[:2]}.py").read_text("utf-8"), "wrong", "exec"), {"__name__": "wrong"})
    return wrong_answers(number)


def read(kind, name):
    return nbformat.read(ROOT / kind / name / f"{name}.ipynb", as_version=4)


def hand_in(room, name, student, nb):
    path = room.submission(name, student) / f"{name}.ipynb"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(nb), encoding="utf-8")


def with_wrong_answers(name, registered, variant):
    """The solution, but where an exercise has a wrong answer of this number, that one is checked."""
    nb = read("solutions", name)
    text = (WRONG / f"wrong_{name[:2]}.py").read_text("utf-8")
    for number, cell in graded_cells(nb, "solution").items():
        if variant < len(registered.get(number, ())):
            answer = checked(graded_cells(nb, "check")[number].source)[1]
            assert answer.isidentifier(), f"check({number!r}, {answer}) takes more than a name"
            cell.source += (
                f"\n\nexec(compile({text!r}, 'wrong', 'exec'), {{'__name__': 'wrong'}})\n"
                "from quantlab.lab.checks.proof import wrong_answers\n\n"
                f"{answer} = wrong_answers({number!r})[{variant}].answer"
            )
    return nb


def said(room, name, student):
    """What the graded cell of each exercise says: its error, or nothing."""
    nb = nbformat.read(room.folder / "autograded" / student / name / f"{name}.ipynb", as_version=4)
    return {
        number: "".join(output.evalue for output in cell.outputs if output.output_type == "error")
        for number, cell in graded_cells(nb, "check").items()
    }


def test_the_blank_exercise_scores_nothing(graded):
    room, name, points, _, records = graded
    assert (records["blank"].state, records["blank"].score, records["blank"].max_score) == ("graded", 0, points)
    assert all("not attempted" in text for text in said(room, name, "blank").values())


def test_the_solution_scores_all_points(graded):
    room, name, points, _, records = graded
    assert points > 0
    assert records["solution"].score == points, said(room, name, "solution")
    assert records["solution"].notes == []


def test_each_wrong_answer_scores_less_and_gets_its_own_hint(graded):
    room, name, _, registered, records = graded
    for number, answers in registered.items():
        assert len(answers) >= MIN_WRONG
        for variant, answer in enumerate(answers):
            record = records[f"wrong-{variant}"]
            assert record.state == "graded", record.reason
            text = said(room, name, record.student)[number]
            assert f"{number} incorrect" in text, (answer.name, text, record.notes)
            assert answer.says in text, (answer.name, text)


def test_a_wrong_answer_costs_its_exercise_and_no_other(graded):
    room, name, points, registered, records = graded
    worth = {n: cell.metadata.nbgrader.points for n, cell in graded_cells(read("solutions", name), "check").items()}
    for student, record in records.items():
        if student.startswith("wrong"):
            variant = int(student.removeprefix("wrong-"))
            lost = sum(worth[number] for number, answers in registered.items() if variant < len(answers))
            assert record.score == points - lost, said(room, name, student)
