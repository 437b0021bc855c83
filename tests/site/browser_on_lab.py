"""An exercise in JupyterLab, in a real browser: a wrong answer shows its hint, the right one turns correct. Opt-in."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import nbformat
import pytest

from isolation import ROOT, isolated_environment

NAME = "00_start_here"
WRONG = "def n_bytes(n, n_bits):\n    return n * n_bits"
RIGHT = "def n_bytes(n, n_bits): return -(-n * n_bits // 8)"
TOKEN = "only-for-this-test"
PATIENCE = 60_000  # milliseconds: the first page of JupyterLab is several megabytes of script


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """A course folder with one lesson and a student's copy of its exercises, the first one answered wrongly."""
    root = tmp_path_factory.mktemp("course")
    shutil.copy(ROOT / "pyproject.toml", root)
    (root / "notebooks").mkdir()
    shutil.copy(ROOT / "notebooks" / f"{NAME}.ipynb", root / "notebooks")
    copy = shutil.copytree(ROOT / "exercises" / NAME, root / "work" / NAME) / f"{NAME}.ipynb"
    page = nbformat.read(copy, as_version=4)
    page.cells = page.cells[: 1 + next(i for i, c in enumerate(page.cells) if c.source.startswith('check("00.1"'))]
    for cell in page.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == "solution-00-1":
            cell.source = WRONG
    nbformat.write(page, copy)
    return root


@pytest.fixture(scope="module")
def lab(course, tmp_path_factory):
    """The address of a JupyterLab in that folder, as `quantlab start` starts one, without a browser of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--ServerApp.port_retries=0"]
    command += [f"--IdentityProvider.token={TOKEN}", "--LanguageServerManager.autodetect=False"]
    command += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    environment = isolated_environment(tmp_path_factory.mktemp("jupyter"))
    log = course / "lab.log"
    with (
        open(log, "w") as file,
        subprocess.Popen(command, cwd=course, env=environment, stdout=file, stderr=file) as run,
    ):
        try:
            wait_for(f"http://127.0.0.1:{port}/api/status?token={TOKEN}", run, log)
            yield f"http://127.0.0.1:{port}"
        finally:
            run.terminate()


def wait_for(url, run, log):
    end = time.monotonic() + 60
    while time.monotonic() < end and run.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")


@pytest.fixture
def page(browser):
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


def open_notebook(page, lab, path):
    page.goto(f"{lab}/lab/tree/{path}?token={TOKEN}", timeout=PATIENCE)
    page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=PATIENCE)
    # What is run before the kernel has answered once is lost.
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=PATIENCE)
    page.wait_for_timeout(1000)  # milliseconds


def test_the_first_cells_of_a_lesson_run(page, lab):
    open_notebook(page, lab, f"notebooks/{NAME}.ipynb")
    page.locator(".jp-Notebook .jp-MarkdownOutput h1").first.click()
    cells = page.locator(".jp-Notebook .jp-CodeCell")
    first = cells.first
    first.locator(".cm-content").click()
    page.keyboard.press("Shift+Enter")
    first.locator(".jp-InputPrompt", has_text="[1]:").wait_for(timeout=PATIENCE)
    assert first.locator(".jp-OutputArea-output").count() > 0
    assert page.locator(".jp-Notebook [data-mime-type='application/vnd.jupyter.stderr']").count() == 0


def test_a_wrong_answer_shows_its_hint_and_the_right_one_turns_correct(page, lab, course):
    open_notebook(page, lab, f"work/{NAME}/{NAME}.ipynb")
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()
    # JupyterLab keeps an output twice for a moment while it draws it anew; what counts is what is visible.
    verdict = page.locator(".jp-CodeCell", has_text='check("00.1"').locator(".jp-OutputArea-output:visible")
    verdict.filter(has_text="00.1 incorrect").filter(has_text="a byte holds 8").first.wait_for(timeout=PATIENCE)

    page.locator(".jp-Notebook .jp-CodeCell .cm-content", has_text="def n_bytes(n").last.click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(RIGHT)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")
    verdict.filter(has_text="00.1 correct").first.wait_for(timeout=PATIENCE)
    verdict.filter(has_text="00.1 incorrect").first.wait_for(state="hidden", timeout=PATIENCE)
