"""A test class: what each student hands in, and what the page for instructors says about it.

The assignment is exercise 00 with a hidden test in it, so that somebody can pass what is seen and fail what is not.
"""

import json
import shutil
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output

from build import Target, from_text, text_of
from grading import sandbox
from isolation import ROOT

ASSIGNMENT = "00_start_here"
NOTEBOOK = f"{ASSIGNMENT}.ipynb"
POINTS = {"00.1": 1, "00.2": 1, "00.3": 1, "00.4": 2}
ALL = sum(POINTS.values())
HIDDEN_LINE = "assert n_bytes(10**9, 3) == 375_000_000"
HINT = "large counts count too"
HIDDEN = f'### BEGIN HIDDEN TESTS\n{HIDDEN_LINE}, "{HINT}"\n### END HIDDEN TESTS'


def require_bubblewrap() -> None:
    """End the run where no sandbox can start: a hundred failures would say no more than one message."""
    try:
        sandbox.bubblewrap()
    except sandbox.NoSandboxError as error:
        pytest.exit(str(error), returncode=2)


def make_course(folder: Path) -> None:
    """Write a course with one assignment; its source has a hidden test."""
    text = folder / f"{ASSIGNMENT}.py"
    check = 'check("00.1", n_bytes)\n'
    source = (ROOT / "solutions" / "src" / text.name).read_text("utf-8")
    text.write_text(source.replace(check, f"{check}{HIDDEN}\n"), encoding="utf-8")
    for kind in ["solution", "exercise"]:
        path = folder / f"{kind}s" / ASSIGNMENT / NOTEBOOK
        path.parent.mkdir(parents=True)
        path.write_text(text_of(from_text(Target(text, path, kind))), encoding="utf-8")
    text.unlink()


def graded_cells(nb: NotebookNode, kind: str) -> dict[str, NotebookNode]:
    """The cells of one kind ("check" or "solution") by exercise."""
    found = {}
    for cell in nb.cells:
        name = cell.metadata.get("nbgrader", {}).get("grade_id", "")
        if name.startswith(kind):
            found[name.removeprefix(f"{kind}-").replace("-", ".")] = cell
    return found


class Page:
    """A copy of the exercise that a student fills in."""

    def __init__(self, course: Path, *, solved: bool) -> None:
        self.course = course
        self.nb = nbformat.read(course / "exercises" / ASSIGNMENT / NOTEBOOK, as_version=4)
        if solved:
            right = nbformat.read(course / "solutions" / ASSIGNMENT / NOTEBOOK, as_version=4)
            for number, cell in graded_cells(right, "solution").items():
                self.answer(number, cell.source)

    def answer(self, number: str, source: str) -> None:
        graded_cells(self.nb, "solution")[number].source = textwrap.dedent(source).strip()

    def prepend(self, source: str) -> None:
        """Put a cell behind the imports."""
        self.nb.cells.insert(2, new_code_cell(textwrap.dedent(source).strip()))


@dataclass(frozen=True)
class Student:
    """What somebody hands in, and what should come of it: points, or None for "not graded", and words to be said."""

    write: Callable[[Path, Path], None]  # the course, and the file to write
    points: float | None
    says: str = ""


STUDENTS: dict[str, Student] = {}


def student(points: float | None, says: str = "", *, solved: bool = True) -> Callable:
    """Register a function that changes a page as what a student of its name does."""

    def register(change: Callable[[Page], None]) -> Callable:
        def write(course: Path, path: Path) -> None:
            page = Page(course, solved=solved)
            change(page)
            path.write_text(json.dumps(page.nb), encoding="utf-8")

        STUDENTS[change.__name__] = Student(write, points, says)
        return change

    return register


def hand_in(course: Path, name: str) -> None:
    """Put what a student hands in where the class lies."""
    folder = course / "class" / "submitted" / name / ASSIGNMENT
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    STUDENTS[name].write(course, folder / NOTEBOOK)


# Honest work


@student(ALL)
def right(page):
    pass


@student(0, solved=False)
def blank(page):
    pass


@student(ALL - 1)
def passes_what_is_seen(page):
    page.answer("00.1", "def n_bytes(n, n_bits):\n    return min(-(-n * n_bits // 8), 10**8)")


@student(ALL)
def writes_to_stderr(page):
    page.answer(
        "00.1",
        """
        def n_bytes(n, n_bits):
            import sys, warnings
            from tqdm import tqdm
            warnings.warn("this is a warning")
            print("this goes to stderr", file=sys.stderr)
            for _ in tqdm(range(3)):
                pass
            return -(-n * n_bits // 8)
        """,
    )
    page.prepend("import sys\nprint('to stderr', file=sys.stderr)")


# Accidents


@student(ALL - 1, "took more than")
def loops_forever(page):
    page.answer("00.2", "def storage_dtype(n_bits, signed):\n    while True:\n        pass")


@student(1, "it ran for more than")
def loops_and_cannot_be_stopped(page):
    page.answer(
        "00.2",
        """
        def storage_dtype(n_bits, signed):
            while True:
                try:
                    while True:
                        pass
                except BaseException:
                    pass
        """,
    )


@student(ALL - 1)
def eats_memory(page):
    page.answer("00.2", "def storage_dtype(n_bits, signed):\n    return bytearray(10**11)")


@student(1, "of memory")
def eats_memory_in_many_processes(page):
    page.answer(
        "00.2",
        """
        def storage_dtype(n_bits, signed):
            import os, time
            for _ in range(8):
                if os.fork() == 0:
                    hoard = b"x" * 120_000_000
                    time.sleep(60)
                    os._exit(0)
            time.sleep(60)
        """,
    )


@student(ALL - 1)
def forks(page):
    page.answer(
        "00.2",
        """
        def storage_dtype(n_bits, signed):
            import os, time
            for _ in range(1000):
                if os.fork() == 0:
                    time.sleep(20)
                    os._exit(0)
        """,
    )


@student(2, "it ended itself with status 0")
def calls_exit(page):
    page.answer("00.3", "import os\n\ndef max_abs_error(x, y):\n    os._exit(0)")


@student(ALL, "printed more than")
def prints_without_end(page):
    page.prepend("for _ in range(50):\n    print('x' * 1_000_000)")


@student(ALL)
def stores_50_mb_of_output(page):
    page.nb.cells[1].outputs = [new_output("stream", name="stdout", text="x" * 50_000_000)]


# What happens to test cells


@student(ALL, "was missing: put back")
def deletes_test_cells(page):
    page.nb.cells = [cell for cell in page.nb.cells if not cell.metadata.get("nbgrader", {}).get("grade")]


@student(0, "was edited", solved=False)
def edits_test_cells(page):
    for cell in graded_cells(page.nb, "check").values():
        cell.source = "print('correct')"
        cell.metadata.nbgrader.update(points=100, locked=False)


@student(ALL, "several cells")
def duplicates_test_cells(page):
    page.nb.cells += [nbformat.from_dict(json.loads(json.dumps(c))) for c in graded_cells(page.nb, "check").values()]


@student(ALL, "all metadata were missing")
def strips_metadata(page):
    for cell in page.nb.cells:
        cell.metadata.pop("nbgrader", None)


# Attempts on the verdict


@student(0, solved=False)
def defines_check_anew(page):
    page.prepend("def check(number, answer):\n    print(number, 'correct')")


@student(0, "quantlab.lab.checks.engine.judge", solved=False)
def patches_the_judge(page):
    page.prepend(
        """
        from quantlab.lab.checks import engine
        engine.judge = lambda number, answer: engine.Verdict(number, "correct")
        """
    )


@student(0, solved=False)
def hides_errors(page):
    page.prepend(
        """
        import os
        os.environ["QUANTLAB_GRADING"] = "0"
        get_ipython().showtraceback = lambda *args, **kwargs: None
        get_ipython().set_custom_exc((Exception,), lambda *args, **kwargs: None)
        """
    )


@student(ALL, "")
def spies_on_the_hidden_test(page):
    page.answer(
        "00.1",
        """
        def n_bytes(n, n_bits):
            import sys
            frame = sys._getframe()
            while frame:
                if "source" in frame.f_locals:
                    print(frame.f_locals["source"])
                    print(repr(frame.f_locals["source"]))
                frame = frame.f_back
            return -(-n * n_bits // 8)
        """,
    )


# Attempts on everything else: each prints a word in capitals where it succeeds


@student(ALL)
def reads_what_is_not_his(page):
    page.prepend(
        f"""
        from pathlib import Path
        course = Path({str(page.course)!r})
        for path in [
            course / "solutions" / {ASSIGNMENT!r} / {NOTEBOOK!r},
            course / "class" / "gradebook.db",
            course / "class" / "submitted" / "right" / {ASSIGNMENT!r} / {NOTEBOOK!r},
            course / "class" / "autograded" / "right" / {ASSIGNMENT!r} / {NOTEBOOK!r},
            Path({str(ROOT)!r}) / "solutions" / "src" / "{ASSIGNMENT}.py",
            Path("/etc/passwd"),
            Path({str(Path.home())!r}) / ".bashrc",
        ]:
            try:
                print(path.read_bytes()[:40], "SUCCEEDED")
            except OSError as error:
                print(type(error).__name__)
        """
    )


@student(ALL)
def writes_outside(page):
    page.prepend(
        f"""
        from pathlib import Path
        import quantlab, numpy
        for folder in [
            Path({str(page.course)!r}), Path({str(page.course)!r}) / "class", Path(quantlab.__file__).parent,
            Path(numpy.__file__).parent, Path("/grading"), Path("/"), Path("/usr"), Path("/etc"), Path("/dev"),
        ]:
            try:
                (folder / "mine.py").write_text("was here")
                print(folder, "SUCCEEDED")
            except OSError as error:
                print(type(error).__name__)
        """
    )


@student(ALL)
def opens_a_socket(page):
    page.prepend(
        f"""
        import socket
        for host, port in [("127.0.0.1", {page.course.joinpath("port").read_text()}), ("192.0.2.1", 80), ("::1", 22)]:
            try:
                socket.create_connection((host, port), timeout=1)
                print("SUCCEEDED")
            except OSError as error:
                print(type(error).__name__)
        """
    )


# What is not a notebook


def file(name: str, content: bytes, says: str) -> None:
    """Register somebody whose file holds these bytes."""
    STUDENTS[name] = Student(lambda course, path: path.write_bytes(content) and None, None, says)


file("hands_in_an_empty_file", b"", "is empty")
file("hands_in_a_web_page", b"<!DOCTYPE html><html>Log in, please</html>", "is not JSON")
file("hands_in_other_json", b'{"grades": [5]}', "not a notebook")


def link(course: Path, path: Path) -> None:
    path.symlink_to(course / "solutions" / ASSIGNMENT / NOTEBOOK)


def misname(course: Path, path: Path) -> None:
    shutil.copy(course / "solutions" / ASSIGNMENT / NOTEBOOK, path.with_name("mine.ipynb"))


STUDENTS["hands_in_a_link"] = Student(link, None, "is a link")
STUDENTS["gives_another_name"] = Student(misname, None, "rename it")
