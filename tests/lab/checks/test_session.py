"""What the student sees: check, hint, solution, alone and graded."""

import json
import subprocess
import sys

import IPython
import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from quantlab.lab import check, hint, plots, solution
from quantlab.lab.checks import session
from quantlab.lab.checks.engine import judge

SOURCE = """
# %% [markdown]
# ## 00.1 Count the bytes

# %%
from quantlab.lab import check


# %%
def n_bytes(n: int, n_bits: int) -> int:
    ### BEGIN SOLUTION
    bits = n * n_bits
    return -(-bits // 8)
    ### END SOLUTION


# %%
print("a cell between")

# %%
check("00.1", n_bytes)

# %%
def storage_dtype(n_bits, signed):
    ### BEGIN SOLUTION
    return None
    ### END SOLUTION

# %%
check("00.2", storage_dtype)
"""


def right(n, n_bits):
    return -(-n * n_bits // 8)


@pytest.fixture(autouse=True)
def fresh(monkeypatch, tmp_path):
    """A new session of a new student, who works in a course folder of their own."""
    monkeypatch.setattr(session, "_hints_shown", {})
    monkeypatch.setattr(session, "_attempted", set())
    monkeypatch.delenv("QUANTLAB_PROGRESS")
    monkeypatch.delenv("QUANTLAB_GRADING", raising=False)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "quantlab"\n')
    for folder in ["solutions/src", "work/00_start_here", "notebooks"]:
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "solutions" / "src" / "00_start_here.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path / "work" / "00_start_here")
    return tmp_path


def printed(capsys, function, *args):
    assert function(*args) is None
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def progress_of(root):
    file = root / "work" / "progress.json"
    return json.loads(file.read_text())["exercises"] if file.exists() else {}


class TestCheck:
    def test_blank(self, capsys, fresh):
        line = "00.1 not attempted yet: write the function above, then run this cell again\n"
        assert printed(capsys, check, "00.1", ...) == line
        assert progress_of(fresh) == {}

    def test_wrong_then_right(self, capsys, fresh):
        assert printed(capsys, check, "00.1", lambda n, b: n).startswith("00.1 incorrect: with n=3, n_bits=32 ")
        assert progress_of(fresh)["00.1"] == {"attempts": 1}
        assert printed(capsys, check, "00.1", right).startswith("00.1 correct")
        assert progress_of(fresh)["00.1"].items() >= {"attempts": 2, "solved": True}.items()

    def test_the_verdict_is_the_same_each_time(self, capsys):
        lines = {printed(capsys, check, "00.1", lambda n, b: n / 0) for _ in range(3)}
        assert len(lines) == 1
        assert lines.pop().count("\n") == 1

    def test_an_unknown_exercise(self, capsys):
        assert "there is no exercise '00.7'" in printed(capsys, check, "00.7", right)

    @pytest.mark.parametrize("folder", ["notebooks", "solutions/src"])
    def test_the_courses_own_pages_are_nobodys_attempts(self, capsys, fresh, monkeypatch, folder):
        monkeypatch.chdir(fresh / folder)
        printed(capsys, check, "00.1", right)
        assert progress_of(fresh) == {}

    def test_the_checks_draw_from_no_global_generator(self, capsys):
        before = np.random.mtrand._rand.get_state()[1].copy()
        printed(capsys, check, "00.3", lambda x, y: 0.0)
        assert np.array_equal(np.random.mtrand._rand.get_state()[1], before)


class TestGraded:
    @pytest.fixture(autouse=True)
    def graded(self, monkeypatch):
        monkeypatch.setenv("QUANTLAB_GRADING", "1")

    @pytest.mark.parametrize(
        ("answer", "text"), [(..., "00.1 not attempted yet: "), (lambda n, b: n, "00.1 incorrect: with n=3")]
    )
    def test_all_but_correct_raises(self, answer, text, fresh):
        with pytest.raises(AssertionError) as caught:
            check("00.1", answer)
        assert str(caught.value).startswith(text)
        assert progress_of(fresh) == {}

    def test_an_unknown_exercise_gives_no_points(self):
        with pytest.raises(AssertionError, match="there is no exercise"):
            check("00.7", right)

    def test_right(self, capsys, fresh):
        assert printed(capsys, check, "00.1", right).startswith("00.1 correct")
        assert progress_of(fresh) == {}

    def test_no_solution(self, capsys):
        check("00.1", right)
        assert "has no solution in this copy" in printed(capsys, solution, "00.1")


def cut(x, scale, zero_point, n_bits):
    return np.trunc(x / scale).astype(np.int8)


class ZMQInteractiveShell:
    """Stands for the shell of a notebook's kernel."""


class TerminalInteractiveShell:
    """Stands for the shell of IPython in a terminal."""


class Embedded(TerminalInteractiveShell):
    """A terminal's shell by another name."""


class TestPictures:
    """A wrong answer to 03.2 has a picture, one to 00.1 has none."""

    @pytest.fixture
    def shell(self, monkeypatch):
        def use(shell):
            monkeypatch.setattr(IPython, "get_ipython", lambda: shell)  # of the real module: matplotlib asks it too

        use(ZMQInteractiveShell())
        return use

    @staticmethod
    def shown(capsys, number="03.2", answer=cut):
        """What check prints, and the pictures that it shows."""
        with plots.collect() as pictures:
            text = printed(capsys, check, number, answer)
        assert text == f"{judge(number, answer)}\n"
        return pictures

    def test_one_in_a_notebook_behind_the_verdict(self, capsys, shell):
        (found,) = self.shown(capsys)
        assert found.alt.endswith("Marked is x = 0.9: yours 0, expected 1.")

    @pytest.mark.parametrize("other", [None, TerminalInteractiveShell(), Embedded()])
    def test_none_elsewhere(self, capsys, shell, other):
        shell(other)
        assert self.shown(capsys) == []

    @pytest.mark.parametrize(("number", "answer"), [("00.1", lambda n, b: n), ("00.1", right), ("03.2", ...)])
    def test_none_where_nothing_is_to_be_seen(self, capsys, shell, number, answer):
        assert self.shown(capsys, number, answer) == []

    def test_none_when_graded(self, capsys, shell, monkeypatch):
        monkeypatch.setenv("QUANTLAB_GRADING", "1")
        monkeypatch.setattr(session, "_illustrate", lambda verdict: pytest.fail("a picture"))
        with pytest.raises(AssertionError, match=r"03\.2 incorrect: with x=\[0\.9\]"):
            check("03.2", cut)

    @pytest.mark.parametrize(
        "odd",
        [
            lambda x, *rest: np.full(x.shape, np.nan),
            lambda x, *rest: np.full(x.shape, 1e300),
            lambda x, *rest: x.astype(object),
            lambda x, *rest: x * 1j,
            lambda x, *rest: [None] * len(x),
            lambda x, *rest: np.zeros((10**4, 3)),
            lambda x, *rest: (v for v in x),
            lambda x, *rest: x if len(x) < 9 else sys.exit(3),
        ],
    )
    def test_an_odd_answer_has_a_verdict_and_no_picture(self, capsys, shell, odd):
        with plots.collect() as pictures:
            check("03.2", odd)
        said = capsys.readouterr()
        assert said.out.splitlines()[-1].startswith("03.2 incorrect: with x=[0.9], ")
        assert said.err == ""
        assert pictures == []

    def test_a_drawing_that_fails_costs_the_picture_only(self, capsys, shell, monkeypatch):
        monkeypatch.setitem(sys.modules, "quantlab.lab.plots.verdicts", None)  # an import of it raises ImportError
        assert self.shown(capsys) == []

    def test_an_attempt_is_recorded_before_the_picture_is_made(self, shell, fresh, monkeypatch):
        def interrupted(verdict):
            raise KeyboardInterrupt

        monkeypatch.setattr(session, "_illustrate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            check("03.2", cut)
        assert progress_of(fresh)["03.2"] == {"attempts": 1}

    def test_plain_python_loads_no_matplotlib(self):
        code = (
            "import sys, quantlab.lab as lab; lab.check('03.2', lambda x, *rest: x); print('matplotlib' in sys.modules)"
        )
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert run.stdout.splitlines()[-1] == "False"
        assert run.stdout.count("\n") == 2

    def test_in_a_kernel(self):
        cell = "import numpy as np\nfrom quantlab.lab import check\n"
        cell += "check('03.2', lambda x, scale, zero_point, n_bits: np.trunc(x / scale).astype(np.int8))"
        page = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
        NotebookClient(page, kernel_name="python3", timeout=120).execute()
        *printed, picture = page.cells[0].outputs  # a kernel may send a line in pieces
        assert "".join(output.text for output in printed) == f"{judge('03.2', cut)}\n"
        assert picture.output_type == "display_data"
        assert set(picture.data) == {"image/png", "text/plain"}
        assert picture.metadata["image/png"]["alt"].startswith("Codes on 8 bits")


def test_hints_come_one_at_a_time(capsys):
    said = [printed(capsys, hint, "00.1") for _ in range(5)]
    assert [line.partition(":")[0] for line in said[:3]] == [f"00.1 hint {k} of 3" for k in (1, 2, 3)]
    assert said[3] == said[4] == '00.1 has no more hints; solution("00.1") opens after an attempt\n'
    assert printed(capsys, hint, "00.2").startswith("00.2 hint 1 of 3")
    assert "there is no exercise" in printed(capsys, hint, "5")


class TestSolution:
    def test_closed_before_an_attempt(self, capsys):
        printed(capsys, check, "00.1", ...)
        assert printed(capsys, solution, "00.1").startswith("00.1 opens its solution after an attempt")

    def test_open_after_one(self, capsys):
        printed(capsys, check, "00.1", lambda n, b: n)
        text = "00.1 can be solved like this:\n\nbits = n * n_bits\nreturn -(-bits // 8)\n"
        assert printed(capsys, solution, "00.1") == text

    def test_open_after_one_of_yesterday(self, capsys, fresh):
        (fresh / "work" / "progress.json").write_text('{"exercises": {"00.2": {"attempts": 1}}}')
        assert printed(capsys, solution, "00.2").endswith("\n\nreturn None\n")

    def test_a_copy_of_the_course_without_solutions(self, capsys, fresh):
        printed(capsys, check, "00.1", right)
        (fresh / "solutions" / "src" / "00_start_here.py").unlink()
        assert "has no solution in this copy of the course" in printed(capsys, solution, "00.1")

    def test_an_exercise_without_a_solution_cell(self, capsys):
        printed(capsys, check, "00.3", lambda x, y: 0.0)
        assert "has no solution in this copy of the course" in printed(capsys, solution, "00.3")

    def test_an_unknown_exercise(self, capsys):
        assert "there is no exercise" in printed(capsys, solution, "00.7")
