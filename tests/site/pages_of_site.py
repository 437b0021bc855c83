"""The built site, page by page: pictures in words, headings, links, nothing from a network, no answers. Opt-in."""

import nbformat
import pytest

from isolation import ROOT
from tests.site.page_check import answers, complaints, plain, soup_of


@pytest.fixture(scope="module")
def pages(site):
    return [page for page in sorted(site.rglob("*.html")) if "_static" not in page.parts]


def test_every_page_is_there(site):
    lessons = [path.stem for path in ROOT.glob("notebooks/[0-9][0-9]_*.ipynb")]
    want = ["index", "glossary", "search", "genindex", "api/index", "api/core", "api/lab"]
    want += [f"notebooks/{name}" for name in lessons] + [f"exercises/{name}/{name}" for name in lessons]
    want += ["instructors"] * (ROOT / "docs" / "instructors.md").exists()
    assert [name for name in want if not (site / f"{name}.html").is_file()] == []


def test_no_page_has_a_complaint(pages, site):
    assert [line for page in pages for line in complaints(page, site)] == []


def test_pictures_are_described_as_in_the_notebook(site):
    alt = "Eight marks from -1 to 2.5, half a unit apart, above five values from -1.2 to 2.3; zero has a mark."
    page = soup_of(site / "notebooks" / "03_map_reals_to_integers.html")
    assert alt in [image["alt"] for image in page.find_all("img")]


def test_no_answer_is_on_the_site(site):
    """Neither on a page, nor in what the search reads, nor in what a reader can download."""
    files = [path for kind in ["*.html", "*.ipynb", "*.txt", "*.js"] for path in site.rglob(kind)]
    texts = {path: text_of(path) for path in files}
    found = {}
    for source in sorted(ROOT.glob("solutions/src/*.py")):
        for answer in answers(source.read_text(encoding="utf-8")):
            found[source.name, answer] = [path for path, text in texts.items() if answer in text]
    assert len(found) > 50
    assert {key: paths for key, paths in found.items() if paths} == {}
    pages = [path for path in files if {"notebooks", "exercises"} & set(path.parts)]
    assert not [path for path in pages if "###BEGIN" in texts[path]]
    # The same look at a page that has the answers finds them.
    (solved,) = ROOT.glob("solutions/03_*/*.ipynb")
    assert [answer in text_of(solved) for (name, answer) in found if name.startswith("03_")] == [True] * 5


def text_of(path):
    """What a reader finds in a file, without blanks."""
    if path.suffix == ".html":
        return plain(soup_of(path).get_text())
    text = path.read_text(encoding="utf-8")
    return plain("\n".join(cell.source for cell in nbformat.reads(text, 4).cells) if path.suffix == ".ipynb" else text)


def test_lessons_and_exercises_follow_each_other(site):
    """The theme's links at the foot lead from a lesson to its exercises, and on to the next lesson."""
    lesson = soup_of(site / "notebooks" / "03_map_reals_to_integers.html")
    assert lesson.find("a", class_="right-next")["href"].endswith(
        "exercises/03_map_reals_to_integers/03_map_reals_to_integers.html"
    )
    task = soup_of(site / "exercises" / "03_map_reals_to_integers" / "03_map_reals_to_integers.html")
    assert task.find("a", class_="left-prev")["href"].endswith("notebooks/03_map_reals_to_integers.html")
    assert task.find("a", class_="right-next")["href"].endswith("notebooks/04_choose_granularity.html")


def test_the_glossary_has_both_languages_and_the_reference_its_formulas(site):
    terms = {term.get_text().rstrip("#") for term in soup_of(site / "glossary.html").find_all("dt")}
    assert {"zero point", "零点", "straight-through estimator (STE)", "伪量化"} <= terms
    assert len(soup_of(site / "glossary.html").find_all("dd")) >= 60
    core = soup_of(site / "api" / "core.html")
    assert core.find(id="quantlab.core.affine.quantize")
    assert "scale = (hi - lo) / (quant_max - quant_min)" in core.get_text()
