"""What nbgrader reads from a graded cell: an error, unless the judge said that it passed."""

import json

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_output

from grading.execute import MIME, SandboxedExecute


@pytest.fixture
def step():
    execute = SandboxedExecute()
    execute._dead, execute._received, execute.timeout = "", 0, 5
    return execute


def verdict(nonce, **given):
    content = {"nonce": nonce, "passed": True, "tampered": [], "ename": "", "evalue": "", **given}
    return new_output("display_data", data={MIME: content, "text/plain": ""})


def judged(step, *outputs):
    cell = new_code_cell("check(1, f)", outputs=list(outputs))
    return step._judged(cell, "right", 0)


def errors(outputs):
    return [(output.ename, output.evalue) for output in outputs if output.output_type == "error"]


def test_a_verdict_gives_the_points(step):
    kept = judged(step, new_output("stream", name="stdout", text="correct"), verdict("right"))
    assert errors(kept) == []
    assert [output.text for output in kept] == ["correct"]


def test_what_stands_on_stderr_costs_nothing(step):
    (kept,) = judged(step, new_output("stream", name="stderr", text="a bar"), verdict("right"))
    assert (kept.name, kept.text) == ("stdout", "a bar")


@pytest.mark.parametrize(
    "outputs",
    [(), (verdict("guessed"),), (verdict("right"), verdict("right")), (new_output("stream", name="stdout", text="x"),)],
)
def test_no_verdict_no_points(step, outputs):
    assert errors(judged(step, *outputs))[0][0] == "NoVerdict"


@pytest.mark.parametrize("passed", [False, "yes", 1, None])
def test_only_true_is_passed(step, passed):
    assert errors(judged(step, verdict("right", passed=passed, ename="E", evalue="why"))) == [("E", "why")]


def test_tampering_is_noted(step, caplog):
    step.log.propagate = True
    judged(step, verdict("right", passed=False, tampered=["numpy.rint"], ename="E", evalue="x"))
    assert "numpy.rint" in caplog.records[-1].note


def test_a_dead_kernel_and_a_timeout_fail(step):
    late = new_output("error", ename="CellTimeoutError", evalue="", traceback=[])
    assert errors(judged(step, late, verdict("right")))[0][0] == "CellTimeoutError"
    step._dead = "it used more than 5 MB of memory"
    assert errors(judged(step, verdict("right"))) == [("KernelDied", f"the kernel had died: {step._dead}")]


def test_an_error_shows_no_code(step):
    (kept,) = judged(step, verdict("right", passed=False, ename="AssertionError", evalue="03.1 incorrect"))
    assert kept.traceback == ["AssertionError: 03.1 incorrect"]


def test_output_is_taken_in_while_there_is_room_and_a_verdict_always(step):
    step.limits = {**step.limits, "output_kb": 1}
    step.clear_before_next_output = False
    step.nb, cell = nbformat.v4.new_notebook(), new_code_cell("x")

    def message(kind, **content):
        header = {"msg_type": kind}
        return {**header, "header": header, "content": json.loads(json.dumps(content)), "parent_header": {"msg_id": ""}}

    for _ in range(5):
        step.process_message(message("stream", name="stdout", text="x" * 400), cell, 0)
    assert len(cell.outputs) == 2
    content = dict(verdict("right").data)
    step.process_message(message("display_data", data=content, metadata={}), cell, 0)
    assert MIME in cell.outputs[-1].data
