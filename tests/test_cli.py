"""The command line, in a course folder that is made up."""

import json
import subprocess
import sys

import pytest

from isolation import ROOT
from quantlab import cli
from quantlab.cli import main


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A course with one exercise, and the working folder in it."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "quantlab"\n')
    folder = tmp_path / "exercises" / "03_map_reals_to_integers"
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / "03_map_reals_to_integers.ipynb").write_text("{}")
    (folder / "figure.png").write_bytes(b"png")
    (folder / ".ipynb_checkpoints" / "old.ipynb").write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TestStart:
    def test_a_copy_is_made(self, course, capsys):
        assert main(["start", "03"]) == 0
        copy = course / "work" / "03_map_reals_to_integers"
        assert sorted(p.name for p in copy.iterdir()) == ["03_map_reals_to_integers.ipynb", "figure.png"]
        assert capsys.readouterr().out == (
            "copied to work/03_map_reals_to_integers; it is yours, no update of the course touches it\n"
            "open it: jupyter lab work/03_map_reals_to_integers/03_map_reals_to_integers.ipynb\n"
        )

    def test_a_copy_that_is_there_stays(self, course, capsys):
        main(["start", "3"])
        notebook = course / "work" / "03_map_reals_to_integers" / "03_map_reals_to_integers.ipynb"
        notebook.write_text("my answer")
        capsys.readouterr()
        assert main(["start", "03"]) == 0
        assert "is there already and stays as it is; --again makes another copy" in capsys.readouterr().out
        assert notebook.read_text() == "my answer"

    def test_again_makes_further_copies(self, course):
        for _ in range(3):
            assert main(["start", "03", "--again"]) == 0
        names = sorted(p.name for p in (course / "work").iterdir())
        assert names == ["03_map_reals_to_integers", "03_map_reals_to_integers-2", "03_map_reals_to_integers-3"]

    def test_from_a_folder_below(self, course, monkeypatch):
        monkeypatch.chdir(course / "exercises")
        assert main(["start", "03"]) == 0
        assert (course / "work" / "03_map_reals_to_integers").is_dir()

    @pytest.mark.parametrize("number", ["04", "..", "*", "03_map"])
    def test_an_exercise_that_is_not_there(self, course, capsys, number):
        assert main(["start", number]) == 1
        assert capsys.readouterr().err == f"there is no exercise {number} in this course folder\n"
        assert not (course / "work").exists()

    def test_outside_a_course(self, monkeypatch, capsys):
        monkeypatch.setattr(cli, "course_root", lambda: None)
        assert main(["start", "03"]) == 1
        assert "go into the course folder first" in capsys.readouterr().err


def test_progress(course, monkeypatch, capsys):
    file = course / "progress.json"
    file.write_text(json.dumps({"exercises": {"00.1": {"attempts": 2, "solved": True}, "00.2": {"attempts": 1}}}))
    monkeypatch.setenv("QUANTLAB_PROGRESS", str(file))
    assert main(["progress"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "00.1  solved  Count the bytes (difficulty 1, 3 minutes)"
    assert lines[1].startswith("00.2  tried   Choose a data type")
    assert lines[2].startswith("00.3  open    Find the worst error")
    assert lines[-2].startswith("1 of ")
    assert lines[-1] == "next: 00.2 Choose a data type"


def test_progress_when_all_is_done(course, monkeypatch, capsys):
    file = course / "progress.json"
    every = [number for lesson in cli.lessons() for number in cli.exercises(lesson)]
    file.write_text(json.dumps({"exercises": {number: {"attempts": 1, "solved": True} for number in every}}))
    monkeypatch.setenv("QUANTLAB_PROGRESS", str(file))
    main(["progress"])
    assert capsys.readouterr().out.splitlines()[-1] == f"{len(every)} of {len(every)} solved"


def test_models(capsys, monkeypatch):
    assert main(["models"]) == 0
    assert "minilm: transformer for sentences" in capsys.readouterr().out

    def missing(name):
        raise FileNotFoundError(f"the weights of {name} are not installed")

    monkeypatch.setattr(cli, "model_file", missing)
    assert main(["models"]) == 1
    assert "minilm: the weights of minilm are not installed" in capsys.readouterr().out


def test_doctor(capsys, monkeypatch):
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Python ")
    assert out.endswith("The course can run here.\n")
    monkeypatch.setattr("quantlab.lab.doctor.MIN_PYTHON", (4, 0))
    assert main(["doctor"]) == 1
    assert "The course cannot run here:\n  Python " in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["dance"], ["start"]])
def test_bad_commands_are_explained(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: quantlab" in capsys.readouterr().err


def test_as_a_module():
    run = subprocess.run([sys.executable, "-m", "quantlab", "models"], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("efficientnet-lite0: ")
