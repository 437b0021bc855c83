"""Every check of the course is proven: the blank stub, the course's solution, at least three wrong answers."""

import importlib.util
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantlab.lab import plots
from quantlab.lab.checks import Incorrect, engine, exercise, picture, proof
from quantlab.lab.checks.engine import exercises, judge, lessons
from quantlab.lab.checks.picture import Curves, has_picture, pictured
from quantlab.lab.checks.proof import answer_from_source, prove, wrong, wrong_answers
from quantlab.lab.checks.source import code_cells, solution_file
from quantlab.lab.plots.verdicts import verdict as draw

for file in sorted(Path(__file__).parent.glob("wrong_*.py")):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    spec.loader.exec_module(importlib.util.module_from_spec(spec))


NUMBERS = [number for lesson in lessons() for number in exercises(lesson)]


@pytest.mark.parametrize("number", NUMBERS)
def test_the_check_is_proven(number):
    file = solution_file(number[:2])
    assert file is not None, f"solutions/src/{number[:2]}_*.py is missing"
    assert prove(number, file.read_text("utf-8")) == []


def test_no_wrong_answer_belongs_to_an_exercise_that_is_gone():
    used = {number for number in proof._WRONG if not number.startswith("99.")}
    assert used <= set(NUMBERS), "99 is for doctests"


def test_no_picture_belongs_to_an_exercise_that_is_gone():
    folder = Path(picture.__file__).with_name("pictures")
    for module in sorted(folder.glob("lesson_*.py")):
        assert module.stem.removeprefix("lesson_") in lessons()
        has_picture(f"{module.stem.removeprefix('lesson_')}.1")
    assert {number for number in picture._MAKERS if not number.startswith("99.")} <= set(NUMBERS)


@pytest.mark.parametrize("number", [number for number in NUMBERS if has_picture(number)])
def test_the_picture_is_drawn(number):
    found = next(filter(None, (judge(number, w.answer).picture() for w in wrong_answers(number))))
    with plots.collect() as shown:
        draw(found)
    assert len(shown) == 1
    assert shown[0].alt.startswith(f"{found.title}. ")
    with Image.open(io.BytesIO(shown[0].png)) as image:
        assert image.width <= 520, "shorten the title, or the label of y"


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

    def test_a_picture_that_takes_the_solution_for_a_mistake(self, monkeypatch):
        self.register(self.good)

        monkeypatch.setattr(picture, "_MAKERS", {})

        @pictured("98.1")
        def third(answer, x):
            at = np.arange(4.0)
            return Curves(title="Half", xlabel="x", ylabel="x / 2", x=at, yours=answer(at), expected=at / 3)

        faults = prove("98.1", SOURCE)
        assert len(faults) == 3
        assert all(fault.endswith("the solution has a picture of a mistake") for fault in faults)

    def test_a_picture_that_no_wrong_answer_has(self, monkeypatch):
        self.register(self.good)
        monkeypatch.setattr(picture, "_MAKERS", {"98.1": lambda answer, x: 1 / 0})
        assert prove("98.1", SOURCE) == ["no registered wrong answer has a picture"]

    def test_a_source_without_the_check(self):
        with pytest.raises(ValueError, match=re.escape('no cell of the source calls check("98.7", ...)')):
            answer_from_source(SOURCE, "98.7")


def test_code_cells_leave_text_out():
    text = "# ---\n# jupyter: x\n# ---\n\n# %% [markdown]\n# Words\n\n# %% tags=[]\na = 1\n\n# %%\nb = 2"
    assert code_cells(text) == ["a = 1\n", "b = 2\n"]
