"""The judge gives points for a verdict, not for the absence of an error."""

import io
import os
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from grading.inside.judge import MIME, Judge, described
from quantlab.lab.checks import check, engine
from tests.grading.students import HIDDEN, HINT

RIGHT = "def n_bytes(n, n_bits):\n    return -(-n * n_bits // 8)"
CHECK = 'check("00.1", n_bytes)'


@pytest.fixture
def kernel(monkeypatch):
    """A judge over the names of a notebook; its verdicts come into a list."""
    monkeypatch.setenv("QUANTLAB_GRADING", "1")
    for name in ["stdout", "stderr"]:  # the judge sets them anew; a test shall not
        monkeypatch.setattr(sys, name, io.StringIO())
    published = []
    shell = SimpleNamespace(
        user_ns={"check": check},
        display_pub=SimpleNamespace(publish=lambda data, metadata: published.append(data[MIME])),
    )
    judge = Judge(shell)

    def run(answer, source=CHECK):
        exec(answer, shell.user_ns)
        judge("nonce", source)
        return published[-1]

    return run


def test_a_right_answer_passes(kernel):
    verdict = kernel(RIGHT)
    assert (verdict["passed"], verdict["nonce"], verdict["evalue"]) == (True, "nonce", "")
    assert "00.1 correct" in sys.stdout.getvalue()


def test_a_wrong_answer_fails_with_its_hint(kernel):
    verdict = kernel("def n_bytes(n, n_bits):\n    return n")
    assert not verdict["passed"]
    assert "you count weights" in verdict["evalue"]


@pytest.mark.parametrize("end", ["raise SystemExit", "raise KeyboardInterrupt", "1 / 0"])
def test_a_cell_that_does_not_end_well_fails(kernel, end):
    assert not kernel(RIGHT, f"{CHECK}\n{end}")["passed"]


def test_a_check_that_is_not_reached_fails(kernel):
    assert not kernel(RIGHT, f"if False:\n    {CHECK}")["passed"]


def test_another_function_of_that_name_changes_nothing(kernel):
    assert not kernel("def check(number, answer):\n    pass\nn_bytes = None")["passed"]


def test_another_environment_changes_nothing(kernel):
    assert not kernel("import os\nos.environ['QUANTLAB_GRADING'] = '0'\nn_bytes = None")["passed"]
    assert os.environ["QUANTLAB_GRADING"] == "1"


def test_a_stream_of_the_student_changes_nothing(kernel, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    assert kernel(RIGHT)["passed"]


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (engine, "judge"),
        (np, "rint"),
        (np, "array_equal"),
        (engine.find("00.1").check, "__code__"),
        (engine, "attempt"),
    ],
)
def test_what_a_verdict_stands_on_has_to_stay(kernel, monkeypatch, thing, name):
    other = (lambda answer, say: None).__code__ if name == "__code__" else lambda *args: None
    monkeypatch.setattr(thing, name, other)
    verdict = kernel(RIGHT)
    assert not verdict["passed"]
    assert name.strip("_") in str(verdict["tampered"])


def test_an_answer_that_changes_it_while_it_is_called_is_seen(kernel, monkeypatch):
    monkeypatch.setattr(engine, "describe", engine.describe)  # put back afterwards
    verdict = kernel(
        "from quantlab.lab.checks import engine\n"
        "def n_bytes(n, n_bits):\n    engine.describe = None\n    return -(-n * n_bits // 8)"
    )
    assert "quantlab.lab.checks.engine.describe" in verdict["tampered"]


def test_names_that_a_graded_cell_defines_stay(kernel):
    assert kernel(RIGHT, f"{CHECK}\nfound = n_bytes(1, 8)")["passed"]
    assert kernel(RIGHT, "assert found == 1")["passed"]


def raised(source):
    names = {"n_bytes": lambda n, n_bits: 0, "check": lambda *args: None}
    with pytest.raises(Exception) as caught:  # noqa: PT011 (each source raises another one)
        exec(compile(source, "<graded cell>", "exec"), names)
    return described(caught.value, source)


def test_a_hidden_test_says_what_its_author_wrote_and_no_more():
    assert raised(f"{CHECK}\n{HIDDEN}")["evalue"] == f"a hidden test failed: {HINT}"
    told = raised("### BEGIN HIDDEN TESTS\nint('secret of the test')\n### END HIDDEN TESTS")
    assert told == {"ename": "AssertionError", "evalue": "a hidden test failed: your code raised ValueError"}
    assert "secret" in raised("### BEGIN HIDDEN TESTS\n### END HIDDEN TESTS\nint('no secret')")["evalue"]
