"""Copies of real exercises, run as `quantlab check` runs them, with answers of every bad kind."""

import json
import shutil

import nbformat
import pytest

from isolation import ROOT
from quantlab.lab.course import numbered
from quantlab.lab.run_copy import check_copy

NAME = "00_start_here"
ANSWERS = {
    "00.1": ("{}\n    return -(-n * n_bits // 8)", "correct", ""),
    "00.2": ("{}\n    return 3", "incorrect", "you return 3"),
    "00.3": ("{}\n    return return", "no verdict", "raised SyntaxError: invalid syntax (line 2)"),
    "00.4": ("{}\n    while True: pass", "no verdict", "took more than 2 seconds and was stopped"),
}


@pytest.fixture
def copy(tmp_path):
    return shutil.copytree(ROOT / "exercises" / NAME, tmp_path / NAME) / f"{NAME}.ipynb"


def answered(copy, answers):
    """Write answers into a copy; {} stands for the line that begins the function."""
    page = nbformat.read(copy, as_version=4)
    for cell in page.cells:
        number = cell.metadata.get("nbgrader", {}).get("grade_id", "").removeprefix("solution-").replace("-", ".")
        if number in answers:
            cell.source = answers[number].format(cell.source.partition("\n")[0])
    nbformat.write(page, copy)
    return copy


def test_each_bad_answer_is_told_and_none_stops_the_others(copy, monkeypatch):
    monkeypatch.setenv("QUANTLAB_GRADING", "1")  # left over in somebody's shell: checks must still print
    answered(copy, {number: answer for number, (answer, _, _) in ANSWERS.items()})
    before = copy.read_bytes()
    results = check_copy(copy, timeout=2)
    assert copy.read_bytes() == before, "the copy is the student's; running it does not write it"
    assert {r.number: r.status for r in results} == {number: status for number, (_, status, _) in ANSWERS.items()}
    for result in results:
        assert ANSWERS[result.number][2] in result.message
    assert results[0].title == "Count the bytes"


def test_the_blank_copy_is_not_attempted(copy):
    assert {result.status for result in check_copy(copy)} == {"not attempted"}


def test_a_process_that_ends_leaves_the_rest_without_verdict(copy):
    results = check_copy(answered(copy, {"00.2": "{}\n    import os\n    os._exit(3)"}))
    assert [result.status for result in results] == ["not attempted", *["no verdict"] * 3]
    assert all("the process ended in code cell" in result.message for result in results[1:])


def test_a_deleted_check_is_told(copy):
    page = nbformat.read(copy, as_version=4)
    page.cells = [cell for cell in page.cells if not cell.source.startswith('check("00.3"')]
    nbformat.write(page, copy)
    (result,) = [result for result in check_copy(copy) if result.number == "00.3"]
    assert result.status == "no verdict"
    assert 'no cell of this copy runs check("00.3", ...); quantlab start 00 --again' in result.message


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not a notebook that can be read"),
        ("not JSON", "quantlab start NN --again makes a new copy beside it"),
        ("[]", "is not a notebook that can be read"),
        ("{}", "is not a notebook that can be read"),
        (json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}), "checks no exercise"),
    ],
)
def test_a_file_that_is_no_exercise(tmp_path, text, complaint):
    file = tmp_path / "03_x.ipynb"
    file.write_text(text)
    with pytest.raises(ValueError, match=complaint):
        check_copy(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="there is no file"):
        check_copy(tmp_path / "03_x.ipynb")


def test_solutions_are_correct():
    solved = numbered(ROOT / "solutions" / NAME, "00", ".ipynb")
    assert {result.status for result in check_copy(solved)} == {"correct"}
