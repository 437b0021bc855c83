"""The engine on blank, right and wrong answers, and on students' code that misbehaves."""

import re

import numpy as np
import pytest

from quantlab.core.grid import Grid
from quantlab.lab.checks import Incorrect, attempt, engine, exercise
from quantlab.lab.checks.engine import exercises, find, judge, lessons


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    """Exercises that a test registers are gone after it."""
    exercises("00")
    monkeypatch.setattr(engine, "_REGISTRY", dict(engine._REGISTRY))


def register(check, **options):
    exercise("98.1", title="A test", difficulty=1, minutes=1, hints=("Think.",), **options)(check)


def double(answer, say):
    x = np.arange(3.0)
    got = answer(x)
    if not np.array_equal(got, 2 * np.arange(3.0)):
        raise Incorrect(f"you return {got}")


def status(answer):
    verdict = judge("98.1", answer)
    return verdict.status, verdict.message


class TestVerdicts:
    def test_right(self):
        register(double)
        assert str(judge("98.1", lambda x: 2 * x)) == "98.1 correct"

    def test_a_remark_follows_correct(self):
        register(lambda answer, say: say("well done"))
        assert str(judge("98.1", lambda: 1)) == "98.1 correct: well done"

    def test_wrong(self):
        register(double)
        assert str(judge("98.1", lambda x: x + x + 1)) == "98.1 incorrect: you return [1. 3. 5.]"

    def raises(x):
        raise NotImplementedError

    def dots(x): ...

    def documented(x):
        """Only this."""

    def returns_dots(x):
        y = x + 1
        return ... if y is not None else y

    @pytest.mark.parametrize("blank", [None, ..., raises, dots, documented, returns_dots])
    def test_blank(self, blank):
        register(double)
        line = "98.1 not attempted yet: write the function above, then run this cell again"
        assert str(judge("98.1", blank)) == line

    def test_a_blank_value(self):
        register(double, kind="value")
        assert judge("98.1", ...).message.startswith("put your answer in the cell above")

    def test_a_function_that_forgets_to_return_is_an_attempt(self):
        def forgets(x):
            x * 2

        register(double)
        assert status(forgets) == (
            "incorrect",
            "with x=float64 [0., 1., 2.] your function returns nothing (None): is a return missing?",
        )

    def test_a_result_in_place_of_the_function(self):
        register(double)
        assert status(3.5) == (
            "incorrect",
            "this exercise wants the function itself, without calling it; you gave 3.5",
        )

    def test_a_function_in_place_of_the_value(self):
        register(double, kind="value")
        kind, message = status(test_numbers_are_unique_and_well_formed)
        assert (kind, message[:27]) == ("incorrect", "this exercise wants a value")

    def test_an_answer_that_the_check_cannot_digest(self):
        register(lambda answer, say: answer() + 1)
        assert status(lambda: "text")[0] == "incorrect"
        assert "could not be compared (TypeError" in status(lambda: "text")[1]


class TestStudentsCode:
    def test_an_exception_names_itself_the_input_and_the_line(self):
        def divides(x):
            scale = 0
            return 1 // scale

        register(lambda answer, say: answer(np.int8([1, 2])))
        message = status(divides)[1]
        assert message.startswith("with x=int8 [1, 2] your code raised ZeroDivisionError: ")
        assert message.endswith("at `return 1 // scale`")

    def test_an_exception_inside_numpy_is_placed_in_the_students_line(self):
        def reshapes(x):
            return np.reshape(x, (7, 7))

        register(double)
        assert status(reshapes)[1].endswith("at `return np.reshape(x, (7, 7))`")

    def test_a_wrong_signature_is_a_verdict(self):
        register(double)
        kind, message = status(lambda: 1)
        assert kind == "incorrect"
        assert "argument 1=float64 [0., 1., 2.]" in message
        assert "TypeError" in message

    def test_exit_does_not_end_the_session(self):
        def leaves(x):
            raise SystemExit(0)

        register(double)
        assert status(leaves)[0] == "incorrect"

    def test_an_interrupt_reaches_the_user(self):
        def interrupted(x):
            raise KeyboardInterrupt

        register(double)
        with pytest.raises(KeyboardInterrupt):
            judge("98.1", interrupted)

    def test_a_changed_argument_is_noticed_and_does_not_reach_the_check(self):
        def in_place(x):
            x *= 2
            return x

        seen = []

        def checks(answer, say):
            x = np.arange(3.0)
            try:
                answer(x)
            finally:
                seen.append(x)

        register(checks)
        assert status(in_place)[1].endswith("your function changes its argument in place: work on a copy")
        assert np.array_equal(seen[0], np.arange(3.0))

    @pytest.mark.parametrize("change", [lambda xs: xs.append(1), lambda xs: xs[0].__setitem__(0, 9.0)])
    def test_a_changed_list_of_arrays_is_noticed(self, change):
        def changes(xs):
            change(xs)
            return 1

        with pytest.raises(Incorrect, match="in place"):
            attempt(changes, [np.zeros(2)])

    def test_arguments_that_stay_are_not_complained_about(self):
        arguments = [np.array([np.nan]), float("nan"), np.float32("nan"), Grid(n_bits=8), {"a": np.ones(2)}, object()]
        assert attempt(lambda *args: len(args), *arguments) == len(arguments)

    def test_inplace_exercises_reach_the_argument(self):
        def checks(answer, say):
            x = np.arange(3.0)
            answer(x)
            if x[1] != 2:
                raise Incorrect("x did not change")

        def in_place(x):
            x *= 2

        register(checks, inplace=True)
        assert status(in_place)[0] == "correct"

    def test_a_result_is_copied(self):
        buffer = np.zeros(1)

        def reuses(value):
            buffer[0] = value
            return buffer

        def checks(answer, say):
            first, second = answer(1), answer(2)
            if first[0] == second[0]:
                raise Incorrect("the first result changed")

        register(checks)
        assert status(reuses)[0] == "correct"

    def test_warnings_stay_visible_alone_and_are_silent_when_graded(self, monkeypatch, recwarn):
        def warns(x):
            import warnings

            warnings.warn("a remark", stacklevel=1)
            return 2 * x

        register(double)
        monkeypatch.setenv("QUANTLAB_GRADING", "1")
        assert status(warns)[0] == "correct"
        monkeypatch.delenv("QUANTLAB_GRADING")
        with pytest.warns(UserWarning, match="a remark"):
            judge("98.1", warns)


class TestRegistry:
    def test_lessons_and_their_exercises(self):
        assert lessons()[0] == "00"
        assert list(exercises("00")) == ["00.1", "00.2", "00.3", "00.4"]
        assert exercises("97") == {}

    @pytest.mark.parametrize("number", ["00.9", "97.1", "1", "", 3.2, "../00.1"])
    def test_an_unknown_number(self, number):
        with pytest.raises(ValueError, match=f"there is no exercise {re.escape(repr(number))}"):
            find(number)

    def test_the_exercises_of_the_lesson_are_listed(self):
        with pytest.raises(ValueError, match=r"this lesson has 00\.1, 00\.2, 00\.3, 00\.4"):
            find("00.9")


def test_numbers_are_unique_and_well_formed():
    fine = {"title": "t", "difficulty": 1, "minutes": 1, "hints": ("h",)}
    with pytest.raises(ValueError, match=r"already registered by quantlab\.lab\.checks\.lesson_00"):
        exercise("00.1", **fine)(double)
    for number, change in [("3.2", {}), ("98.1", {"difficulty": 4}), ("98.1", {"hints": ()}), ("98.1", {"hints": "h"})]:
        with pytest.raises(ValueError, match="is not"):
            exercise(number, **(fine | change))
