"""Which JupyterLab opens a notebook; servers, browser and processes are made up."""

import subprocess
import webbrowser
from types import SimpleNamespace

import pytest

from quantlab.lab import open_page as module
from quantlab.lab.open_page import open_page


@pytest.fixture
def course(tmp_path):
    notebook = tmp_path / "course" / "work" / "03 x" / "03.ipynb"
    return SimpleNamespace(root=tmp_path / "course", notebook=notebook, above=tmp_path)


@pytest.fixture
def seen(monkeypatch):
    """What was asked of the browser and of the system."""
    calls = []
    monkeypatch.setattr(webbrowser, "open", lambda url: calls.append(url) or True)
    monkeypatch.setattr(
        subprocess, "run", lambda command, cwd: calls.append((command, cwd)) or SimpleNamespace(returncode=5)
    )
    return calls


def servers(monkeypatch, *running):
    monkeypatch.setattr(module, "_running", lambda: list(running))


def test_a_server_in_the_course_folder_or_above_is_used(course, seen, monkeypatch, capsys):
    other = {"root_dir": str(course.above / "elsewhere"), "url": "http://localhost:1/", "token": "a"}
    hub = {"root_dir": str(course.above), "url": "http://localhost:2/user/x/", "token": ""}
    servers(monkeypatch, other, hub)
    assert open_page(course.notebook, root=course.root) == 0
    assert seen == ["http://localhost:2/user/x/lab/tree/course/work/03%20x/03.ipynb"]
    servers(monkeypatch, other, {"root_dir": str(course.root), "url": "http://localhost:3/", "token": "secret"})
    assert open_page(course.notebook, root=course.root) == 0
    assert seen[1] == "http://localhost:3/lab/tree/work/03%20x/03.ipynb?token=secret"
    assert "secret" not in capsys.readouterr().out


def test_without_a_browser_the_place_is_printed(course, seen, monkeypatch, capsys):
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    servers(monkeypatch, {"root_dir": str(course.root), "url": "http://localhost:3/", "token": "secret"})
    assert open_page(course.notebook, root=course.root) == 0
    assert capsys.readouterr().out == "open it in the JupyterLab that runs already: work/03 x/03.ipynb\n"


def test_else_a_new_one_is_started_in_the_course_folder(course, seen, monkeypatch):
    servers(monkeypatch, {"root_dir": str(course.above / "elsewhere"), "url": "http://localhost:1/", "token": "a"})
    assert open_page(course.notebook, root=course.root) == 5
    ((command, cwd),) = seen
    assert cwd == course.root
    assert command[1:4] == ["-m", "jupyterlab", "--LabApp.default_url=/lab/tree/work/03%20x/03.ipynb"]


def test_without_jupyterlab_it_says_so(course, seen, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert open_page(course.notebook, root=course.root) == 1
    assert "JupyterLab is not installed here" in capsys.readouterr().out
    assert seen == []


def test_the_list_of_servers_can_be_asked_for():
    assert isinstance(module._running(), list)
