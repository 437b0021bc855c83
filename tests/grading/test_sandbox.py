"""Without bubblewrap nothing is graded unless the instructor says so; with it, nothing of the class is shown."""

import os
from pathlib import Path

import pytest

import grade
from grading import sandbox
from grading.limits import Limits
from isolation import ROOT
from tests.grading.students import ASSIGNMENT, make_course


@pytest.fixture
def without_bubblewrap(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "environ", {**os.environ, "PATH": str(tmp_path)})
    sandbox.bubblewrap.cache_clear()
    yield
    sandbox.bubblewrap.cache_clear()


@pytest.fixture
def with_bubblewrap(monkeypatch, tmp_path):
    """A program of that name that knows one newer option."""
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho ' --disable-userns'\n")
    program.chmod(0o755)
    monkeypatch.setattr(os, "environ", {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    sandbox.bubblewrap.cache_clear()
    yield
    sandbox.bubblewrap.cache_clear()


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "course"
    folder.mkdir()
    make_course(folder)
    return folder


def test_grading_refuses_without_bubblewrap_and_says_how_to_install_it(without_bubblewrap, course, capsys):
    assert grade.main(["grade", "00", "--course", str(course)]) == 2
    said = capsys.readouterr().err
    assert "apt install bubblewrap" in said
    assert "--no-sandbox" in said


def test_no_sandbox_is_explicit_and_gets_past_that_door(without_bubblewrap, course, capsys):
    assert grade.main(["grade", "00", "--course", str(course), "--no-sandbox"]) == 2
    assert capsys.readouterr().err.startswith(f"{ASSIGNMENT} was not released yet: run make release ARGS=00")


def test_bubblewrap_that_cannot_start_is_none(with_bubblewrap, tmp_path):
    (tmp_path / "bwrap").write_text("#!/bin/sh\necho 'No permissions to create new namespace' >&2\nexit 1\n")
    with pytest.raises(sandbox.NoSandboxError, match="No permissions to create new namespace"):
        sandbox.bubblewrap()


@pytest.mark.parametrize("uid", [0, 1000])
def test_what_is_shown_and_what_is_not(with_bubblewrap, monkeypatch, tmp_path, uid):
    monkeypatch.setattr(os, "getuid", lambda: uid)
    command = sandbox.command(tmp_path / "link", Limits())
    options = [" ".join(command[i : i + 3]) for i, part in enumerate(command) if part in ("--ro-bind", "--bind")]
    writable = [option for option in options if option.startswith("--bind")]
    assert writable == [f"--bind {tmp_path / 'link'} {tmp_path / 'link'}"]
    shown = [Path(option.split()[1]) for option in options]
    for secret in ["solutions", "exercises", "class", "tests", "tools/grading/guard.py", "pyproject.toml"]:
        assert not [path for path in shown if (ROOT / secret).is_relative_to(path)]
    assert not [path for path in shown if Path.home() == path or Path("/") == path]
    assert "--clearenv" in command
    network = "--unshare-net" if uid == 0 else "--unshare-all"
    assert network in command


def test_limits_are_positive():
    with pytest.raises(ValueError, match="memory_mb=0 is not a positive whole number"):
        Limits(memory_mb=0)
