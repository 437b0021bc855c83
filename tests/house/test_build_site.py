"""What becomes a page of the site, and the eye that looks at built pages. Quick: nothing is built here."""

import nbformat
import pytest

import build_site
from build_site import SiteError, for_site, gather, without_dead_links
from isolation import ROOT
from tests.site.page_check import answers, complaints, plain

ALT = "A bell around zero with thin tails."


@pytest.fixture(scope="module")
def gathered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "pages"
    gather(ROOT, folder)
    return folder


def test_the_course_is_gathered_with_its_own_folders(gathered):
    for pattern in ["notebooks/[0-9]*.ipynb", "exercises/*/*.ipynb", "docs/*.md"]:
        for path in ROOT.glob(pattern):
            assert (gathered / str(path.relative_to(ROOT)).removeprefix("docs/")).exists()
    assert not list(gathered.rglob("*solution*"))
    assert not (gathered / "notebooks" / "src").exists()


def test_the_contents_name_every_notebook_once_in_order(gathered):
    index = (gathered / "index.md").read_text(encoding="utf-8").splitlines()
    listed = [line for line in index if line.startswith(("notebooks/", "exercises/"))]
    lessons = sorted(path.stem for path in ROOT.glob("notebooks/[0-9]*.ipynb"))
    with_tasks = [name for name in lessons if (ROOT / "exercises" / name).exists()]
    assert [line.partition("/")[2] for line in listed if line.startswith("notebooks/")] == lessons
    assert [line.split("/")[1] for line in listed if line.startswith("exercises/")] == with_tasks
    assert listed[:2] == ["notebooks/00_start_here", "exercises/00_start_here/00_start_here"]


def test_stored_notebooks_keep_their_pictures_words(gathered):
    page = nbformat.read(gathered / "notebooks" / "03_map_reals_to_integers.ipynb", as_version=4)
    found = [cell.metadata.mystnb.image.alt for cell in page.cells if "mystnb" in cell.metadata]
    assert len(found) >= 5
    assert found[0].startswith("Eight marks from -1 to 2.5")


def notebook(*alts):
    outputs = [
        nbformat.v4.new_output(
            "display_data", {"image/png": "", "text/plain": ""}, metadata={"image/png": {"alt": alt}}
        )
        for alt in alts
    ]
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("plot()", outputs=outputs)])


@pytest.mark.parametrize("alts", [[""], [ALT, ALT]])
def test_a_picture_without_words_or_two_in_a_cell_stop_the_build(alts):
    with pytest.raises(SiteError, match="03.ipynb, cell 1 shows"):
        for_site(notebook(*alts), "03.ipynb")
    assert for_site(notebook(ALT), "03.ipynb").cells[0].metadata.mystnb.image.alt == ALT


def test_links_out_of_the_site_become_names(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "Makefile").write_text("")
    to = tmp_path / "pages"
    to.mkdir()
    (to / "other.md").write_text("")
    page = to / "page.md"
    page.write_text("[a](other.md), [targets](../Makefile), [web](https://example.org/x.md), [up](#here)")
    want = "[a](other.md), targets (`Makefile`), [web](https://example.org/x.md), [up](#here)"
    assert without_dead_links(page, tmp_path, to) == want
    page.write_text("[a](nowhere.md)")
    with pytest.raises(SiteError, match=r"docs/page.md links to nowhere.md, which is neither"):
        without_dead_links(page, tmp_path, to)


def test_a_folder_with_something_else_is_not_emptied(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SiteError, match="holds something that is no site"):
        build_site.build(tmp_path)
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize(
    ("html", "complaint"),
    [
        ("<h1>A</h1><img src='a.png' alt='picture'>", "the picture a.png has the alternative text 'picture'"),
        ("<h1>A</h1><img src='a.png'>", "the picture a.png has the alternative text None"),
        ("<h1>A</h1><h3>B</h3>", "a heading of level 3 follows one of level 1"),
        ("<h1>A</h1><h1>B</h1>", "headings of the first level: 2, not 1"),
        ("<h1>A</h1><a href='gone.html'>x</a>", "the link gone.html leads nowhere"),
        ("<h1>A</h1><a href='../../x.html'>x</a>", "the link ../../x.html leads nowhere"),
        ("<h1>A</h1><a href='b.html#gone'>x</a>", "names a place that its page does not have"),
        ("<h1>A</h1><script src='https://cdn.example/x.js'></script>", "has to be loaded from a network"),
        ("<h1>A</h1><link rel='stylesheet' href='gone.css'>", "gone.css has to be loaded from a network, or is not"),
    ],
)
def test_what_is_wrong_with_a_page_is_found(tmp_path, html, complaint):
    (tmp_path / "a.png").write_text("")
    (tmp_path / "b.html").write_text("<h1 id='here'>B</h1>")
    page = tmp_path / "a.html"
    page.write_text(html)
    found = complaints(page, tmp_path)
    assert any(complaint in line for line in found)


def test_a_good_page_has_no_complaint(tmp_path):
    (tmp_path / "a.png").write_text("")
    (tmp_path / "a.html").write_text(
        f"<h1 id='top'>A</h1><h2>B</h2><img src='a.png' alt='{ALT}'><a href='#top'>up</a><a href='https://example.org'>out</a>"
    )
    assert complaints(tmp_path / "a.html", tmp_path) == []


def test_answers_are_taken_from_the_text_form():
    source = "def f(x):\n    ### BEGIN SOLUTION\n    y = x + 1\n    return np.clip(y, 0, 255).astype(np.uint8)\n"
    assert answers(source + "    ### END SOLUTION\n") == [plain("y = x + 1 return np.clip(y, 0, 255).astype(np.uint8)")]
