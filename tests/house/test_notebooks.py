"""What nbval lets pass, and what makes a page a lesson of this course."""

import re
import statistics
import symtable
import sys
from pathlib import Path

import pytest

from build import METADATA
from isolation import ROOT
from tests.house.pages import (
    ALLOWED,
    LESSONS,
    MACHINE_CELLS,
    NOTEBOOKS,
    code_cells,
    complaints,
    every_lesson,
    every_notebook,
    name_of,
    prose,
    read,
    tags_of,
)

THERE = [
    "00_start_here",
    "01_see_why_models_shrink",
    "02_encode_numbers",
    "03_map_reals_to_integers",
    "04_choose_granularity",
    "05_calibrate_ranges",
    "06_compute_with_integers",
    "07_train_through_rounding",
    "08_quantize_a_network",
    "09_repair_what_ptq_breaks",
    "10_convert_with_tflite",
    "11_choose_dynamic_or_static",
    "12_train_with_fake_quantization",
    "13_learn_the_quantizer",
    "14_measure_sensitivity",
    "15_allocate_bits",
    "16_design_networks_that_quantize_well",
]
VERBS = """
    allocate calibrate choose compensate compute convert deploy design encode find learn map measure meet move open
    quantize repair see shrink start train use
"""
LARGEST = 400_000  # bytes of one .ipynb


def test_the_lessons_are_there():
    want = {ROOT / "notebooks" / f"{name}.ipynb" for name in THERE}
    want |= {ROOT / kind / name / f"{name}.ipynb" for kind in ["solutions", "exercises"] for name in THERE}
    assert {str(path) for path in want - set(NOTEBOOKS)} == set()


def test_every_notebook_stands_where_the_tools_find_it():
    ours = [path for folder in ["notebooks", "solutions", "exercises"] for path in (ROOT / folder).rglob("*.ipynb")]
    assert [path for path in ours if path not in NOTEBOOKS and ".ipynb_checkpoints" not in path.parts] == []


@every_notebook
def test_nothing_falls_through_the_holes_of_nbval(path):
    assert complaints(read(path), name_of(path), MACHINE_CELLS) == []


def test_every_entry_of_the_short_list_is_used_and_has_a_reason():
    used = {
        (name_of(path), cell.source.partition("\n")[0])
        for path in NOTEBOOKS
        for cell in code_cells(path)
        if ALLOWED in tags_of(cell)
    }
    for entry in MACHINE_CELLS:
        assert (entry["notebook"], entry["first_line"]) in used, f"{entry} matches no cell: remove it"
        assert len(entry["reason"].split()) >= 3, entry


@every_notebook
def test_the_file_is_small_and_says_nothing_of_the_machine(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) <= LARGEST
    notebook = read(path)
    assert notebook.metadata == METADATA
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    without_pictures = re.sub(r'"image/png": "[^"]*"', "", text)
    for private in [str(ROOT), str(Path.home()), sys.prefix, "site-packages", "/ipykernel_"]:
        assert private not in without_pictures
    assert re.findall(r"(?<![\w.~/-])/(?:home|root|Users|tmp|private|mnt|opt|var)/[\w.]+", without_pictures) == []


@every_notebook
def test_links_to_files_resolve(path):
    assert broken_links(prose(path), path.parent) == []


@pytest.mark.parametrize("path", [ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=name_of)
def test_links_of_the_pages_resolve(path):
    assert broken_links(path.read_text(encoding="utf-8"), path.parent) == []


def broken_links(text: str, folder: Path) -> list[str]:
    """Targets of Markdown links and images that name a file which is not there."""
    targets = re.findall(r"\]\(([^)\s]+)[^)]*\)", text) + re.findall(r"(?:src|href)=[\"']([^\"']+)[\"']", text)
    local = [target for target in targets if not re.match(r"[a-z]+:|#", target)]
    return [target for target in local if not (folder / target.partition("#")[0]).exists()]


# A lesson


@every_lesson
def test_the_head_of_a_lesson(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    title = first.source.partition("\n")[0]
    assert title.startswith(f"# {path.name[:2]} ")
    words = re.findall(r"[a-z0-9]+", title.lower())
    assert "_".join(words) == path.stem, "the file is named after the title"
    assert words[1] in VERBS.split(), "the title begins with a verb"
    for part in ["**You will** ", "**You learn** ", "**You need** "]:
        assert part in first.source
    assert re.search(r"\bAbout \d+ minutes, difficulty [123] of 3\b", first.source)
    before, after = neighbours(path)
    for word, other in [("previous", before), ("next", after)]:
        links = re.findall(rf"\[{word}: ([^\]]+)\]\(([^)]+)\)", first.source)
        assert [target for _, target in links] == ([other.name] if other else [])
        if other:
            assert links[0][0] == read(other).cells[0].source.partition("\n")[0].removeprefix("# ")


def neighbours(path: Path) -> tuple[Path | None, Path | None]:
    index = LESSONS.index(path)
    return (LESSONS[index - 1] if index else None), (LESSONS[index + 1] if index + 1 < len(LESSONS) else None)


@every_lesson
def test_the_body_of_a_lesson(path):
    text = prose(path)
    assert "**Predict" in text, "the reader writes a number down before it is computed"
    sections = re.split(r"(?m)^## +", text)
    summary = [section for section in sections if section.startswith("Summary")]
    assert len(summary) == 1
    lines = [line for line in summary[0].splitlines()[1:] if re.match(r"\s*([-*]|\d+\.) ", line)]
    assert 1 <= len(lines) <= 7, "a summary is a list of at most seven points"
    assert f"](../exercises/{path.stem}/{path.stem}.ipynb)" in text
    reading = [section for section in sections if re.match(r"(?i)(further )?reading", section)]
    assert len(reading) == 1
    assert "](https://" in reading[0]


@every_lesson
def test_the_code_of_a_lesson_is_short(path):
    lengths = [len([line for line in cell.source.splitlines() if line.strip()]) for cell in code_cells(path)]
    assert max(lengths) <= 25
    assert statistics.median(lengths) <= 6


def rebound_under_a_slider(sources: list[str]) -> list[str]:
    """Names that a slider's function looks up when it is moved, and that a later cell has given another meaning.

    Run from top to bottom such a page is in order, so nbval passes it; the slider breaks when the reader has run on.
    """
    found = []
    for index, source in enumerate(sources):
        called = re.search(r"widgets\.explore\(\s*(\w+)", source)
        if not called:
            continue
        tables = symtable.symtable(source, "cell", "exec").get_children()
        (function,) = [table for table in tables if table.get_name() == called[1]]
        looked_up, inner = set(), [function]
        while inner:
            table = inner.pop()
            looked_up |= {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
            inner += table.get_children()
        for later in sources[index + 1 :]:
            top = symtable.symtable(later, "cell", "exec").get_symbols()
            found += sorted(looked_up & {symbol.get_name() for symbol in top if symbol.is_assigned()})
    return found


@every_lesson
def test_a_slider_still_works_at_the_end_of_the_page(path):
    assert rebound_under_a_slider([cell.source for cell in code_cells(path)]) == []


def test_a_name_rebound_under_a_slider_is_seen():
    page = ["def draw(n):\n    plot([t[n] for t in table], limit)\nwidgets.explore(draw, n=(1, 2))", "limit = [2]"]
    assert rebound_under_a_slider(page) == ["limit"]
    assert rebound_under_a_slider([page[0], "table, x = 1, 2"]) == ["table"]
    assert rebound_under_a_slider([page[0], "n = 3\nprint([limit for limit in range(3)])"]) == []
