"""The command line, in a course folder that is made up."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isolation import ROOT
from quantlab import cli
from quantlab.cli import main
from quantlab.lab.progress import read_progress, record
from quantlab.lab.run_copy import Result


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


@pytest.fixture
def opened(monkeypatch):
    """The notebooks that were opened, in place of opening them."""
    pages = []
    monkeypatch.setattr(cli, "open_page", lambda notebook, root: pages.append(notebook.relative_to(root)) or 0)
    return pages


NOTEBOOK = Path("work", "03_map_reals_to_integers", "03_map_reals_to_integers.ipynb")


class TestStart:
    def test_a_copy_is_made_and_opened(self, course, opened, capsys):
        assert main(["start", "03"]) == 0
        copy = course / "work" / "03_map_reals_to_integers"
        assert sorted(p.name for p in copy.iterdir()) == ["03_map_reals_to_integers.ipynb", "figure.png"]
        out = "copied to work/03_map_reals_to_integers; it is yours, no update of the course touches it\n"
        assert capsys.readouterr().out == out
        assert opened == [NOTEBOOK]

    def test_a_copy_only(self, course, opened, capsys):
        assert main(["start", "03", "--no-open"]) == 0
        assert capsys.readouterr().out.endswith(f"open it: jupyter lab {NOTEBOOK}\n")
        assert opened == []

    def test_a_copy_that_is_there_stays_and_is_opened(self, course, opened, capsys):
        main(["start", "3"])
        (course / NOTEBOOK).write_text("my answer")
        capsys.readouterr()
        assert main(["start", "03"]) == 0
        assert "is there already and stays as it is; --again makes another copy" in capsys.readouterr().out
        assert (course / NOTEBOOK).read_text() == "my answer"
        assert opened == [NOTEBOOK, NOTEBOOK]

    def test_again_makes_further_copies(self, course, opened):
        for _ in range(3):
            assert main(["start", "03", "--again"]) == 0
        names = sorted(p.name for p in (course / "work").iterdir())
        assert names == ["03_map_reals_to_integers", "03_map_reals_to_integers-2", "03_map_reals_to_integers-3"]
        assert [path.parts[1] for path in opened] == names

    def test_of_several_copies_the_one_edited_last_is_opened(self, course, opened):
        for _ in range(3):
            main(["start", "03", "--again"])
        second = next((course / "work" / "03_map_reals_to_integers-2").glob("*.ipynb"))
        os.utime(second, ns=(2 * 10**18, 2 * 10**18))
        main(["start", "03"])
        assert opened[-1].parts[1] == "03_map_reals_to_integers-2"

    def test_what_is_in_the_way_is_never_overwritten(self, course, opened):
        (course / "work").mkdir()
        (course / "work" / "03_map_reals_to_integers").write_text("a file of mine")
        assert main(["start", "03"]) == 0
        assert (course / "work" / "03_map_reals_to_integers").read_text() == "a file of mine"
        assert opened[0].parts[1] == "03_map_reals_to_integers-2"

    def test_from_a_folder_below(self, course, opened, monkeypatch):
        monkeypatch.chdir(course / "exercises")
        assert main(["start", "03"]) == 0
        assert (course / "work" / "03_map_reals_to_integers").is_dir()

    @pytest.mark.parametrize("number", ["04", "..", "*", "03_map"])
    def test_an_exercise_that_is_not_there(self, course, opened, capsys, number):
        assert main(["start", number]) == 1
        assert capsys.readouterr().err == f"there is no exercise {number} in this course folder\n"
        assert not (course / "work").exists()

    def test_outside_a_course(self, opened, monkeypatch, capsys):
        monkeypatch.setattr(cli, "course_root", lambda: None)
        assert main(["start", "03"]) == 1
        assert "go into the course folder first" in capsys.readouterr().err


class TestCheck:
    """How the table looks; tests/lab/test_run_copy.py runs real copies."""

    RESULTS = [
        Result("03.1", "Fit", "correct", "exact"),
        Result("03.2", "Find the codes", "incorrect", "ties"),
        Result("03.3", "Split", "not attempted", "write the function above, then run this cell again"),
        Result("03.4", "Predict", "no verdict", "code cell 9 raised NameError: x"),
    ]

    @pytest.fixture
    def asked(self, monkeypatch):
        """The notebooks that were run, in place of running them."""
        calls = []
        monkeypatch.setattr(cli, "check_copy", lambda path, timeout: calls.append((path, timeout)) or self.RESULTS)
        return calls

    def test_a_table_then_the_reasons(self, course, asked, opened, capsys):
        main(["start", "03"])
        capsys.readouterr()
        assert main(["check", "3", "--timeout", "7"]) == 1
        assert asked == [(course / NOTEBOOK, 7)]
        assert capsys.readouterr().out == (
            f"running {NOTEBOOK}\n\n"
            "      exercise        verdict\n"
            "03.1  Fit             correct\n"
            "03.2  Find the codes  incorrect\n"
            "03.3  Split           not attempted\n"
            "03.4  Predict         no verdict\n\n"
            "03.2 incorrect: ties\n\n"
            "03.4 no verdict: code cell 9 raised NameError: x\n\n"
            "1 of 4 correct\n"
        )

    def test_all_correct_is_success(self, course, asked, opened, monkeypatch, capsys):
        monkeypatch.setattr(self, "RESULTS", self.RESULTS[:1])
        main(["start", "03"])
        assert main(["check", "03"]) == 0
        assert capsys.readouterr().out.endswith("\n1 of 1 correct\n")

    def test_the_copy_edited_last(self, course, asked, opened):
        main(["start", "03"])
        main(["start", "03", "--again"])
        os.utime(course / NOTEBOOK, ns=(2 * 10**18, 2 * 10**18))
        main(["check", "03"])
        assert asked[0][0] == course / NOTEBOOK

    def test_a_notebook_by_its_name(self, course, asked):
        main(["check", "exercises/03_map_reals_to_integers/03_map_reals_to_integers.ipynb"])
        assert asked[0][0] == course / "exercises" / "03_map_reals_to_integers" / "03_map_reals_to_integers.ipynb"

    def test_a_folder_as_start_names_it(self, course, asked, opened, capsys):
        main(["start", "03"])
        main(["start", "03", "--again"])
        main(["check", "work/03_map_reals_to_integers-2"])
        assert asked[0][0] == course / "work" / "03_map_reals_to_integers-2" / NOTEBOOK.name
        assert main(["check", "work"]) == 1
        assert capsys.readouterr().err == "there is no notebook in work\n"

    def test_no_copy(self, course, asked, capsys):
        assert main(["check", "03"]) == 1
        said = "there is no copy of exercise 03 in work/; make one: quantlab start 03\n"
        assert capsys.readouterr().err == said
        assert asked == []

    def test_a_file_that_is_no_notebook(self, course, capsys):
        assert main(["check", "pyproject.toml"]) == 1
        assert "pyproject.toml is not a notebook that can be read" in capsys.readouterr().err


class TestProgress:
    @pytest.fixture
    def keep(self, course, monkeypatch):
        """A function that puts entries into the progress file of this reader."""
        monkeypatch.delenv("QUANTLAB_PROGRESS")
        (course / "notebooks").mkdir()
        (course / "notebooks" / "00_start_here.ipynb").write_text("{}")
        (course / "work").mkdir()

        def write(entries):
            (course / "work" / "progress.json").write_text(json.dumps({"exercises": entries}))

        return write

    def test_every_exercise_and_the_next_lesson(self, keep, capsys):
        keep({"00.1": {"attempts": 2, "solved": True}, "00.2": {"attempts": 1}})
        assert main(["progress"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "00 start here: 1 of 4 done"
        assert lines[1] == "  00.1  done       Count the bytes (difficulty 1, 3 minutes)"
        assert lines[2].startswith("  00.2  attempted  Choose a data type")
        assert lines[3].startswith("  00.3  open       Find the worst error")
        assert re.fullmatch(r"1 done, 1 attempted, \d+ open", lines[-2])
        assert lines[-1] == (
            "next: lesson 00 start here (notebooks/00_start_here.ipynb), exercise 00.2 Choose a data type"
        )

    def test_the_next_lesson_follows_a_finished_one(self, keep, capsys):
        keep({number: {"attempts": 1, "solved": True} for number in cli.exercises("00")})
        main(["progress"])
        assert capsys.readouterr().out.splitlines()[-1] == "next: lesson 01, exercise 01.1 Weigh a model"

    def test_when_all_is_done(self, keep, capsys):
        every = [number for lesson in cli.lessons() for number in cli.exercises(lesson)]
        keep({number: {"attempts": 1, "solved": True} for number in every})
        main(["progress"])
        assert capsys.readouterr().out.splitlines()[-1] == f"{len(every)} done, 0 attempted, 0 open"

    def test_seen_from_the_courses_own_pages(self, keep, course, monkeypatch, capsys):
        keep({"00.1": {"attempts": 2, "solved": True}})
        monkeypatch.chdir(course / "notebooks")
        main(["progress"])
        assert "00 start here: 1 of 4 done" in capsys.readouterr().out

    def test_an_update_of_the_course_leaves_it_alone(self, keep, course, opened, capsys):
        """An update replaces exercises/ and notebooks/, renames a lesson, and drops an exercise that was solved."""
        main(["start", "03"])
        (course / NOTEBOOK).write_text("my answer")
        keep({"00.1": {"attempts": 2, "solved": True}, "00.9": {"attempts": 1, "solved": True}})
        shutil.rmtree(course / "exercises")
        (course / "exercises" / "03_lay_a_ruler").mkdir(parents=True)
        (course / "exercises" / "03_lay_a_ruler" / "03_lay_a_ruler.ipynb").write_text("{}")
        capsys.readouterr()
        main(["start", "03"])
        assert "work/03_map_reals_to_integers is there already and stays" in capsys.readouterr().out
        assert (course / NOTEBOOK).read_text() == "my answer"
        assert record("00.2", solved=False)
        main(["progress"])
        assert "00.1  done" in capsys.readouterr().out
        assert read_progress()["00.9"]["solved"], "what this version does not know is kept for one that does"


def test_git_does_not_see_what_is_in_work():
    assert "work/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


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


@pytest.mark.parametrize("arguments", [[], ["dance"], ["start"], ["check"]])
def test_bad_commands_are_explained(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: quantlab" in capsys.readouterr().err


def test_as_a_module():
    run = subprocess.run([sys.executable, "-m", "quantlab", "models"], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("efficientnet-lite0: ")
