"""The build: the same bytes twice, answers taken out, and an error that names the cell."""

import json
import re

import nbformat
import pytest

import build
from build import BuildError, Target, check, execute, from_text, targets

LESSON = """\
# %% [markdown]
# # 00 Try a page

# %%
import os

import ipywidgets
import numpy as np

print(os.path.basename(os.environ["QUANTLAB_PROGRESS"]), os.path.exists(os.environ["QUANTLAB_PROGRESS"]))
np.random.default_rng(0).normal(size=3)

# %%
for n in range(3):
    print(n, flush=True)

# %%
ipywidgets.IntSlider(value=8, max=16)
"""

EXERCISES = '''\
# %% [markdown]
# # 00 Exercises
#
# ## 00.1 Add one &nbsp; (difficulty 2, 5 minutes)

# %%
def add_one(x: int) -> int:
    """One more."""
    ### BEGIN SOLUTION
    return x + 1
    ### END SOLUTION


# %%
def check(number, answer):
    print(number, "stub" if answer is ... or answer.__code__.co_consts[-1] != 1 else "answer")


# %%
check("00.1", add_one)
### BEGIN HIDDEN TESTS
assert add_one(1) == 2
### END HIDDEN TESTS

# %% [markdown]
# ## 00.2 Name a number &nbsp; (difficulty 1, 1 minute)

# %%
n = ...  # how many bits has a byte?
### BEGIN SOLUTION
n = 8
### END SOLUTION

# %%
print(n)
'''


@pytest.fixture
def course(tmp_path):
    """A course of one lesson and its exercises."""
    for folder, text in [("notebooks", LESSON), ("solutions", EXERCISES)]:
        (tmp_path / folder / "src").mkdir(parents=True)
        (tmp_path / folder / "src" / "00_try_a_page.py").write_text(text)
    return tmp_path


def notebook_of(course, kind):
    (target,) = [target for target in targets(course) if target.kind == kind]
    return from_text(target), target


def test_two_builds_give_the_same_bytes(course):
    stored = []
    for _ in range(2):
        assert build.main([], root=course) == 0
        stored.append({path: path.read_bytes() for path in course.rglob("*.ipynb")})
    assert stored[0] == stored[1]
    assert len(stored[0]) == 3
    assert check(course) == []

    lesson = nbformat.read(course / "notebooks" / "00_try_a_page.ipynb", as_version=4)
    assert [cell.id for cell in lesson.cells] == ["cell-001", "cell-002", "cell-003", "cell-004"]
    first, loop, slider = (cell.outputs for cell in lesson.cells[1:])
    assert first[0].text == "progress.json False\n", "the kernel has a progress file of its own"
    assert [output.text for output in loop] == ["0\n1\n2\n"], "one stream, however it arrived"
    assert list(slider[0].data) == ["text/plain"], "no view of a widget that is gone"
    assert "version" not in lesson.metadata.language_info


def test_a_difference_from_the_text_is_found(course):
    assert [line for line in check(course) if "is missing" in line] == check(course)
    assert len(check(course)) == 3
    for target in targets(course):
        target.notebook.parent.mkdir(exist_ok=True, parents=True)
        target.notebook.write_text(build.text_of(from_text(target)))
    assert check(course) == []

    path = course / "exercises" / "00_try_a_page" / "00_try_a_page.ipynb"
    good = path.read_text()
    for old, new, complaint in [
        ("One more", "Two more", "cell 2 is not what"),
        ('"points": 2', '"points": 3', "cell 4 is not what"),
        ("cell-003", "cell-033", "cell 3 is not what"),
        ('"name": "python3"', '"name": "mine"', "format or metadata"),
    ]:
        assert old in good
        path.write_text(good.replace(old, new))
        (line,) = check(course)
        assert complaint in line
    path.write_text(good)
    notebook = json.loads(good)
    notebook["cells"].pop()
    path.write_text(json.dumps(notebook))
    assert re.search(r"has 6 cells, .* has 7", check(course)[0])
    path.write_text(good)

    (course / "notebooks" / "01_left_over.ipynb").write_text(good)
    (line,) = check(course)
    assert "01_left_over.ipynb has no text form" in line


def test_answers_and_hidden_tests_are_taken_out(course):
    released, _ = notebook_of(course, "exercise")
    kept, _ = notebook_of(course, "solution")
    assert [cell.source for cell in released.cells if cell.cell_type == "code"] == [
        'def add_one(x: int) -> int:\n    """One more."""\n    raise NotImplementedError  # your code here',
        kept.cells[2].source,
        'check("00.1", add_one)',
        "n = ...  # how many bits has a byte?\n# your code here",
        "print(n)",
    ]
    assert "return x + 1" in kept.cells[1].source
    assert "assert add_one(1) == 2" in kept.cells[3].source


def test_nbgrader_is_told_what_each_cell_is(course):
    notebook, _ = notebook_of(course, "exercise")
    cells = [cell.metadata for cell in notebook.cells if "nbgrader" in cell.metadata]
    assert [
        {key: cell.nbgrader.get(key) for key in ["grade_id", "solution", "grade", "locked", "points", "schema_version"]}
        for cell in cells
    ] == [
        dict(grade_id="solution-00-1", solution=True, grade=False, locked=False, points=None, schema_version=3),
        dict(grade_id="check-00-1", solution=False, grade=True, locked=True, points=2, schema_version=3),
        dict(grade_id="solution-00-2", solution=True, grade=False, locked=False, points=None, schema_version=3),
    ]
    assert [cell.get("editable", True) for cell in cells] == [True, False, True]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('check("00.1"', 'check("00.2"', r"cell 4: check\('00.2'\) stands under the heading of '00.1'"),
        ("# ## 00.1 Add one &nbsp; (difficulty 2, 5 minutes)", "#", "cell 2: an answer before the first"),
        ("(difficulty 2, 5 minutes)", "(quite hard)", "cell 2: an answer before the first"),
    ],
)
def test_a_text_that_cannot_be_graded_is_refused(course, old, new, complaint):
    text = course / "solutions" / "src" / "00_try_a_page.py"
    text.write_text(text.read_text().replace(old, new))
    with pytest.raises(BuildError, match=complaint):
        notebook_of(course, "solution")


@pytest.mark.parametrize(
    ("last", "complaint"),
    [
        ("1 / 0", r"cell 2 \('1 / 0'\) raised\n(.|\n)*ZeroDivisionError"),
        ("import sys; print(1, file=sys.stderr)", r"cell 2 wrote to stderr:\n1"),
    ],
)
def test_a_page_that_fails_names_the_cell(tmp_path, last, complaint):
    target = Target(tmp_path / "src.py", tmp_path / "00_page.ipynb", "lesson")
    target.text.write_text(f"# %%\nprint(1)\n\n# %%\n{last}\n\n# %%\nprint(2)\n")
    with pytest.raises(BuildError, match=complaint):
        execute(from_text(target), target.notebook)
    assert not target.notebook.exists()
