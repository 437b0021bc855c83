"""Exercises are what their solutions say, without the answers, and the checks judge both rightly."""

import ast
import re

import nbformat

from build import HEADING, check
from isolation import ROOT
from quantlab.lab.checks.engine import exercises
from tests.house.pages import SOLUTIONS, code_cells, every_exercise, every_solution, prose, read


def test_every_notebook_agrees_with_its_text_form():
    assert check() == []


@every_solution
def test_an_exercise_has_a_heading_a_typed_function_and_a_check(path):
    headings = dict(HEADING.findall(prose(path)))
    assert 3 <= len(headings) <= 6
    assert all(number.startswith(f"{path.name[:2]}.") for number in headings)
    graded = [cell.metadata.nbgrader.grade_id for cell in code_cells(path) if "nbgrader" in cell.metadata]
    for number in headings:
        assert f"solution-{number}".replace(".", "-") in graded
        assert f"check-{number}".replace(".", "-") in graded
    for cell in code_cells(path):
        if cell.metadata.get("nbgrader", {}).get("solution"):
            assert untyped(cell.source) == []


def untyped(source: str) -> list[str]:
    """Functions with an answer in them whose arguments or result have no type."""
    functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return [
        function.name
        for function in functions
        if "BEGIN SOLUTION" in "\n".join(source.splitlines()[function.lineno - 1 : function.end_lineno + 1])
        and not (function.returns and all(argument.annotation for argument in arguments_of(function)))
    ]


def arguments_of(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


@every_solution
def test_the_heading_says_what_the_check_knows(path):
    """Title, difficulty and minutes stand in the page and in the registry of checks."""
    heads = re.findall(r"(?m)^## (\d\d\.\d+) (.+?) &nbsp; \(difficulty (\d), (\d+) minutes?\)$", prose(path))
    known = exercises(path.name[:2]).values()
    assert heads == [(task.number, task.title, str(task.difficulty), str(task.minutes)) for task in known]


@every_solution
def test_the_head_of_an_exercise_page(path):
    """Title, lesson, minutes and difficulty, and the way to its neighbours; also from a copy in work/."""
    first = read(path).cells[0].source
    known = exercises(path.name[:2]).values()
    lesson = read(ROOT / "notebooks" / path.name).cells[0].source.partition("\n")[0]
    assert first.startswith(f"# Exercises {lesson.removeprefix('# ')[:2]}: {lesson.removeprefix('# ')[3:]}\n")
    assert f"[lesson {path.name[:2]}](../../notebooks/{path.name})" in first
    easiest, hardest = (pick(task.difficulty for task in known) for pick in (min, max))
    minutes = sum(task.minutes for task in known)
    assert f"About {minutes} minutes in all, difficulty {easiest} to {hardest} of 3." in first
    index = SOLUTIONS.index(path)
    want = [("previous", SOLUTIONS[index - 1])] if index else []
    want += [("next", SOLUTIONS[index + 1])] if index + 1 < len(SOLUTIONS) else []
    links = [f"[{word}: Exercises {other.name[:2]}](../../exercises/{other.stem}/{other.name})" for word, other in want]
    assert re.findall(r"\[(?:previous|next)[^)]*\)", first) == links


@every_solution
def test_every_check_passes_with_the_solution(path):
    verdicts = [verdict(cell) for cell in code_cells(path) if is_check(cell)]
    assert verdicts
    assert all("correct" in text and "incorrect" not in text for text in verdicts), verdicts


@every_exercise
def test_every_check_of_the_blank_exercise_says_not_attempted(path):
    verdicts = [verdict(cell) for cell in code_cells(path) if is_check(cell)]
    assert verdicts
    assert all("not attempted" in text for text in verdicts), verdicts


@every_exercise
def test_no_answer_is_left_in_an_exercise(path):
    text = path.read_text(encoding="utf-8")
    assert "BEGIN SOLUTION" not in text
    assert "HIDDEN TESTS" not in text
    solution = read(ROOT / "solutions" / path.parent.name / path.name)
    given = {line.strip() for cell in read(path).cells for line in cell.source.splitlines()}
    for cell in solution.cells:
        for answer in re.findall(r"### BEGIN SOLUTION\n(.*?)\n\s*### END SOLUTION", cell.source, re.DOTALL):
            lines = {line.strip() for line in answer.splitlines()}
            assert not lines <= given, f"this answer stands in the exercise too: {answer}"


def is_check(cell: nbformat.NotebookNode) -> bool:
    return bool(cell.metadata.get("nbgrader", {}).get("grade"))


def verdict(cell: nbformat.NotebookNode) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")
