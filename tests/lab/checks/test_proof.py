"""Every check of the course is proven: the blank stub, the course's solution, at least three wrong answers."""

import importlib.util
import re
from pathlib import Path

import pytest

from quantlab.lab.checks import Incorrect, engine, exercise, proof
from quantlab.lab.checks.engine import exercises, lessons
from quantlab.lab.checks.proof import answer_from_source, prove, wrong, wrong_answers
from quantlab.lab.checks.source import code_cells, solution_file

for file in sorted(Path(__file__).parent.glob("wrong_*.py")):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


@pytest.mark.parametrize("number", [number for lesson in lessons() for number in exercises(lesson)])
def test_the_check_is_proven(number):
    file = solution_file(number[:2])
    assert file is not None, f"solutions/src/{number[:2]}_*.py is missing"
    assert prove(number, file.read_text("utf-8")) == []


def test_no_wrong_answer_belongs_to_an_exercise_that_is_gone():
    known = {number for lesson in lessons() for number in exercises(lesson)}
    assert {number for number in proof._WRONG if not number.startswith("99.")} <= known, "99 is for doctests"


SOURCE = """
# %%
def half(x: float) -> float:
    ### BEGIN SOLUTION
    return x / 2
    ### END SOLUTION


# %%
check("98.1", half)

# %%
answer = ...
### BEGIN SOLUTION
answer = 3
### END SOLUTION

# %%
check("98.2", answer)
"""


class TestTheProofItself:
    """Each way in which an exercise can be unproven is reported."""

    @pytest.fixture(autouse=True)
    def own_registries(self, monkeypatch):
        monkeypatch.setattr(engine, "_REGISTRY", {})
        monkeypatch.setattr(proof, "_WRONG", {})
        wrong("98.1", says="twice")(lambda x: 2 * x)
        wrong("98.1", says="the whole")(lambda x: x)
        wrong("98.1", says="raised")(lambda x: x / 0)

    def register(self, check, number="98.1", **options):
        exercise(number, title="Half", difficulty=1, minutes=1, hints=("h",), **options)(check)

    @staticmethod
    def good(answer, say):
        got = answer(3.0)
        if got != 1.5:
            raise Incorrect({6: "twice", 3: "the whole"}.get(got, "something else"))

    def test_a_proven_check(self):
        self.register(self.good)
        assert prove("98.1", SOURCE) == []

    def test_a_value(self):
        def three(answer, say):
            if answer != 3:
                raise Incorrect(f"{answer} is not it")

        self.register(three, "98.2", kind="value")
        for n in (1, 2, 4):
            wrong("98.2", says=f"{n} is not it")(n)
        assert prove("98.2", SOURCE) == []

    def test_a_check_that_lets_everything_pass(self):
        self.register(lambda answer, say: None)
        faults = prove("98.1", SOURCE)
        assert "the blank stub is judged '98.1 correct'" in faults
        assert sum("is judged '98.1 correct'" in fault for fault in faults) == 4

    def test_a_check_that_lets_nothing_pass(self):
        def refuses(answer, say):
            answer(1.0)
            raise Incorrect("twice")

        self.register(refuses)
        assert "the solution is judged '98.1 incorrect: twice'" in prove("98.1", SOURCE)

    def test_a_hint_that_does_not_aim(self):
        def vague(answer, say):
            if answer(3.0) != 1.5:
                raise Incorrect("no")

        self.register(vague)
        assert any("does not say 'twice'" in fault for fault in prove("98.1", SOURCE))

    def test_too_few_wrong_answers(self):
        self.register(self.good)
        proof._WRONG["98.1"].popitem()
        assert prove("98.1", SOURCE) == ["2 wrong answers are registered; at least 3 are needed"]

    def test_one_hint_for_two_mistakes(self):
        self.register(self.good)

        @wrong("98.1", says="twice")
        def six(x):
            return 6

        assert ["get the same hint 'twice'" in fault for fault in prove("98.1", SOURCE)] == [True]
        assert len(wrong_answers("98.1")) == 4

    def test_a_source_without_the_check(self):
        with pytest.raises(ValueError, match=re.escape('no cell of the source calls check("98.7", ...)')):
            answer_from_source(SOURCE, "98.7")


def test_code_cells_leave_text_out():
    text = "# ---\n# jupyter: x\n# ---\n\n# %% [markdown]\n# Words\n\n# %% tags=[]\na = 1\n\n# %%\nb = 2"
    assert code_cells(text) == ["a = 1\n", "b = 2\n"]
