"""The part of the course for the browser, built and opened in one. Opt-in; minutes, because all of Part I is run.

The kernel cannot start here: it loads Python (Pyodide) from a network. So what is proven is that JupyterLab opens and
shows the notebooks with what is stored in them, that quantlab's wheel is where the kernel will look for it, and that
every page runs from its top on a machine without what the browser lacks. Not proven: that Pyodide computes the same.
"""

import hashlib
import json
import shutil
import urllib.request

import nbformat
import pytest

from build_lite import PYODIDE
from build_site import LINK
from isolation import ROOT
from lite.pages import run, text_of
from tests.site.conftest import built, serving

LESSON = "notebooks/00_start_here.ipynb"
PATIENCE = 60_000  # milliseconds: JupyterLab's first page is several megabytes of script


@pytest.fixture(scope="session")
def lite(tmp_path_factory):
    """The folder of the built site."""
    return built("build_lite.py", tmp_path_factory.mktemp("built") / "lite")


@pytest.fixture(scope="session")
def served(lite):
    """Where it is served on this machine."""
    with serving(lite) as at:
        yield at


@pytest.fixture
def page(browser, served):
    """A page that fails when something of the site itself is missing; other machines are out of reach."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    missing = []
    opened.route(lambda url: not url.startswith(served), lambda route: route.abort())
    opened.on("response", lambda got: missing.append(got.url) if got.status >= 400 else None)
    yield opened
    opened.close()
    # JupyterLite asks for settings and indices that a site may have, and goes on without.
    optional = ("/all.json", "/jupyter-lite.ipynb", "/overrides.json", "/favicon.ico", "/workspaces.json")
    assert [url for url in missing if not url.partition("?")[0].endswith(optional)] == []


def notebooks(lite):
    return sorted((lite / "files").rglob("*.ipynb"))


def packages(lite):
    """What the kernel will find on the site itself: name to file, from the index that it reads."""
    (file,) = [path for path in lite.rglob("all.json") if "quantlab" in path.read_text(encoding="utf-8")]
    index = json.loads(file.read_text(encoding="utf-8"))
    releases = {name: entry["releases"] for name, entry in index.items() if name.startswith("quantlab")}
    return file, {name: release for name, versions in releases.items() for (release,) in versions.values()}


def test_the_first_page_on_a_phone(browser, served):
    opened = browser.new_page(viewport={"width": 375, "height": 812})
    opened.goto(served)
    assert opened.locator("h1").inner_text() == "quantlab in your browser"
    assert opened.get_by_text("What was not tested.").is_visible()
    assert opened.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    links = [link.get_attribute("href") for link in opened.locator("li a").all()]
    assert f"lab/index.html?path={LESSON}" in links
    opened.close()


def test_a_lesson_opens_with_its_stored_outputs(page, served):
    page.goto(served)
    page.get_by_role("link", name="00 Start here").first.click()
    page.locator(".jp-Notebook .jp-MarkdownOutput h1", has_text="00 Start here").wait_for(timeout=PATIENCE)
    assert page.locator(".jp-MarkdownOutput", has_text="In your browser.").first.is_visible()
    page.locator(".jp-CodeCell .jp-OutputArea-output", has_text="300 x 451 pixels").wait_for(timeout=PATIENCE)
    two_lines = page.locator(".jp-CodeCell .jp-OutputArea-output", has_text="white becomes").first
    two_lines.scroll_into_view_if_needed(timeout=PATIENCE)
    assert two_lines.text_content().split() == ["white", "becomes", "240", "largest", "error", "15"]  # no commas
    page.locator(".jp-Notebook .jp-OutputArea-output img").first.wait_for(timeout=PATIENCE)
    taken_out = page.locator(".jp-MarkdownOutput", has_text="This cell does not run in the browser.").first
    taken_out.scroll_into_view_if_needed(timeout=PATIENCE)
    assert "mismatches in 405,900 values" in taken_out.inner_text()


def test_every_page_is_listed_and_every_link_leads_to_one(lite):
    paths = {path.relative_to(lite / "files").as_posix() for path in notebooks(lite)}
    listed = set()
    for folder in (lite / "api" / "contents").rglob("all.json"):
        listed |= {
            e["path"] for e in json.loads(folder.read_text(encoding="utf-8"))["content"] if e["type"] == "notebook"
        }
    assert paths == listed
    assert {path for path in paths if path.startswith("exercises")} == {
        path.relative_to(ROOT).as_posix() for path in ROOT.glob("exercises/0[0-7]_*/*.ipynb")
    }
    assert not list(lite.rglob("*solution*.ipynb"))
    for path in notebooks(lite):
        for cell in nbformat.read(path, as_version=4).cells:
            for found in LINK.finditer(cell.source if cell.cell_type == "markdown" else ""):
                assert found[2].startswith("attachment:") or (path.parent / found[2]).resolve().is_file(), found[0]


def test_the_wheels_are_where_the_kernel_looks_for_them(lite, served):
    file, found = packages(lite)
    assert "quantlab" in found
    for release in found.values():
        url = f"{served}/{file.parent.relative_to(lite).as_posix()}/{release['url']}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert hashlib.sha256(answer.read()).hexdigest() == release["digests"]["sha256"]
    settings = json.loads((lite / "jupyter-lite.json").read_text(encoding="utf-8"))["jupyter-config-data"]
    urls = settings["litePluginSettings"]["@jupyterlite/pyodide-kernel-extension:kernel"]["pipliteUrls"]
    assert any(url.partition("?")[0].endswith(file.relative_to(lite).as_posix()) for url in urls)
    asked = {
        name.replace("_", "-")
        for path in notebooks(lite)
        for cell in nbformat.read(path, as_version=4).cells
        if cell.id == "browser-packages"
        for name in cell.source.split("'")
        if name.startswith("quantlab")
    }
    assert asked == {name.replace("_", "-") for name in found}


def test_every_page_runs_on_a_machine_without_what_the_browser_lacks(lite, tmp_path):
    """With the wheels of the site, unpacked, in place of the course."""
    file, found = packages(lite)
    for release in found.values():
        shutil.unpack_archive(file.parent / release["url"].partition("?")[0], tmp_path / "library", "zip")
    own = ["lite", "quantlab", *(name.replace("-", "_") for name in found)]
    before = f"""import sys
sys.path[:0] = {[str(tmp_path / "library"), str(ROOT / "tools")]}
from lite import browser
browser.leave_only({PYODIDE["packages"]}, {PYODIDE["modules"]}, own={own})
sys.stderr = sys.stdout"""
    for path in notebooks(lite):
        cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        given = run([cell.source for cell in cells], tmp_path / path.name, before=before)
        for cell, outputs in zip(cells, given, strict=True):
            assert [o.evalue for o in outputs if o.output_type == "error"] == [], f"{path.name}\n{cell.source}"
            if "nbval-ignore-output" not in cell.metadata.get("tags", []):
                assert text_of(outputs) == text_of(cell.outputs), f"{path.name}\n{cell.source}"
