"""The comparison of notebooks can fail: an altered number is seen, and what nbval lets pass, `complaints` does not."""

import base64
import copy
import struct
from pathlib import Path

import nbformat
import pytest

from build import Target, execute, from_text, text_of
from compare import Result, compare
from tests.house.pages import complaints

PAGE = """\
# %%
print("largest error", 0.0118)

# %%
6 / 255

# %%
import io

from IPython.display import display
from matplotlib.figure import Figure

figure = Figure(figsize=(3, 2), dpi=96)
figure.subplots().plot([1, 2, 3])
picture = io.BytesIO()
figure.savefig(picture)
alt = "A straight line through three points."
text = f"{alt}\\nline: n 3, min 1.00, max 3.00, mean 2.00"
display({"image/png": picture.getvalue(), "text/plain": text}, raw=True, metadata={"image/png": {"alt": alt}})

# %%
import time

seconds = time.perf_counter()
assert seconds > 0
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A small page, built as the lessons are."""
    folder = tmp_path_factory.mktemp("page")
    target = Target(folder / "src.py", folder / "00_page.ipynb", "lesson")
    target.text.write_text(PAGE)
    notebook = from_text(target)
    execute(notebook, target.notebook)
    return notebook


def test_an_altered_number_fails_and_an_unaltered_page_passes(page, tmp_path):
    path = tmp_path / "page.ipynb"
    path.write_text(text_of(page))
    result = compare(path)
    assert result.ok, result.report

    printed, value, picture = (copy.deepcopy(page) for _ in range(3))
    printed.cells[0].outputs[0].text = "largest error 0.0119\n"
    value.cells[1].outputs[0].data["text/plain"] = "0.023529411764705883"
    picture.cells[2].outputs[0].data["text/plain"] = (
        picture.cells[2].outputs[0].data["text/plain"].replace("2.00", "2.01")
    )
    altered = copy.deepcopy(page)
    for index, one in enumerate([printed, value, picture]):
        altered.cells[index] = one.cells[index]
    path.write_text(text_of(altered))
    result = compare(path)
    assert not result.ok
    assert [f"Cell {index}" in result.report for index in range(4)] == [True, True, True, False]
    assert "3 failed, 1 passed" in result.report


def test_a_page_with_nothing_to_compare_fails(tmp_path):
    path = tmp_path / "empty.ipynb"
    path.write_text(text_of(nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("words", id="cell-001")])))
    assert not compare(path).ok


@pytest.mark.parametrize(("name", "limit"), [("03_page.ipynb", 60), ("09_page.ipynb", 120)])
def test_a_page_that_takes_too_long_fails(name, limit):
    late, in_time = (Result(Path(name), same=True, seconds=limit + after, report="") for after in (0.1, -0.1))
    assert in_time.ok
    assert late.late
    assert not late.ok
    assert f"it took more than {limit} seconds" in late.text()
    assert not Result(Path(name), same=False, seconds=limit + 1, report="").late


def test_an_honest_page_has_no_complaints(page):
    assert complaints(page, "page", []) == []


def _no_count(notebook):
    notebook.cells[0].execution_count = None


def _counts_of_another_run(notebook):
    notebook.cells[0].execution_count = 7


def _skip_tag(notebook):
    notebook.cells[3].metadata.tags = ["nbval-skip"]


def _ignore_comment(notebook):
    notebook.cells[3].source = "# NBVAL_IGNORE_OUTPUT\nassert True"


def _old_comment(notebook):
    notebook.cells[3].source = "# PYTEST_VALIDATE_IGNORE_OUTPUT\nassert True"


def _raises_tag(notebook):
    notebook.cells[3].metadata.tags = ["raises-exception"]


def _ignore_tag(notebook):
    notebook.cells[3].metadata.tags = ["nbval-ignore-output"]


def _ignore_tag_without_assertion(notebook):
    notebook.cells[0].metadata.tags = ["nbval-ignore-output"]


def _stderr(notebook):
    notebook.cells[0].outputs[0].name = "stderr"


def _no_outputs(notebook):
    for cell in notebook.cells:
        cell.outputs = []


def _picture_alone(notebook):
    notebook.cells[2].outputs[0].data["text/plain"] = "<Figure size 300x200 with 1 Axes>"


def _no_statistics(notebook):
    notebook.cells[2].outputs[0].data["text/plain"] = "A straight line through three points."


def _no_alternative_text(notebook):
    notebook.cells[2].outputs[0].metadata = {}


def _svg(notebook):
    notebook.cells[2].outputs[0].data["image/svg+xml"] = "<svg/>"


def _picture_that_is_too_wide(notebook):
    picture = bytearray(base64.b64decode(notebook.cells[2].outputs[0].data["image/png"]))
    picture[16:20] = struct.pack(">I", 1400)
    notebook.cells[2].outputs[0].data["image/png"] = base64.b64encode(picture).decode()


def _picture_that_is_too_fine(notebook):
    picture = base64.b64decode(notebook.cells[2].outputs[0].data["image/png"])
    at = picture.find(b"pHYs") + 4
    picture = picture[:at] + struct.pack(">II", 5906, 5906) + picture[at + 8 :]
    notebook.cells[2].outputs[0].data["image/png"] = base64.b64encode(picture).decode()


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (_no_count, "execution counts are [None, 2, 3, 4]"),
        (_counts_of_another_run, "execution counts are [7, 2, 3, 4]"),
        (_skip_tag, "is marked ['nbval-skip']"),
        (_ignore_comment, "is marked ['NBVAL_IGNORE_OUTPUT']"),
        (_old_comment, "is marked ['PYTEST_VALIDATE_IGNORE_OUTPUT']"),
        (_raises_tag, "is marked ['raises-exception']"),
        (_ignore_tag, "is not listed in machine_cells.toml"),
        (_ignore_tag_without_assertion, "is not compared and asserts nothing"),
        (_stderr, "writes to stderr"),
        (_no_outputs, "no output is compared"),
        (_picture_alone, "without its alternative text beside it"),
        (_no_statistics, "without n, min, max and mean"),
        (_no_alternative_text, "with the alternative text ''"),
        (_svg, "shows image/svg+xml"),
        (_picture_that_is_too_wide, "1400 pixels wide"),
        (_picture_that_is_too_fine, "at 150 dpi"),
    ],
)
def test_each_hole_is_closed(page, spoil, complaint):
    spoiled = copy.deepcopy(page)
    spoil(spoiled)
    found = complaints(spoiled, "page", [])
    assert any(complaint in line for line in found), found


def test_a_listed_machine_cell_is_allowed(page):
    machine = copy.deepcopy(page)
    _ignore_tag(machine)
    listed = [{"notebook": "page", "first_line": "import time", "reason": "a time differs between machines"}]
    assert complaints(machine, "page", listed) == []
    assert complaints(machine, "another page", listed) != []
