"""Progress that survives two writers, damage, and folders that cannot be written."""

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from quantlab.lab import progress
from quantlab.lab.progress import attempted, progress_path, read_progress, record

WRITERS, EACH = 4, 50


@pytest.fixture
def file(tmp_path):
    return tmp_path / "work" / "progress.json"


def test_attempts_and_successes(file):
    assert read_progress(file) == {}
    assert not attempted("03.2", file)
    assert record("03.2", solved=False, path=file)
    assert read_progress(file) == {"03.2": {"attempts": 1}}
    assert attempted("03.2", file)
    record("03.2", solved=True, path=file)
    record("03.2", solved=False, path=file)
    entry = read_progress(file)["03.2"]
    assert entry["attempts"] == 3
    assert entry["solved"] is True, "what was solved stays solved"
    assert len(entry["solved_on"]) == len("2000-01-01")
    assert sorted(p.name for p in file.parent.iterdir()) == ["progress.json", "progress.json.lock"]


def write_many(file, writer):
    for i in range(EACH):
        assert record(f"{writer:02d}.{i % 5}", solved=i % 2 == 0, path=Path(file))
        assert record("00.1", solved=False, path=Path(file))


def test_writers_at_the_same_time_lose_nothing(file):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(str(file), n)) for n in range(1, WRITERS + 1)]
    for process in writers:
        process.start()
    for process in writers:
        process.join(60)
        assert process.exitcode == 0
    entries = read_progress(file)
    assert entries["00.1"]["attempts"] == WRITERS * EACH
    assert [entries[f"{n:02d}.{k}"]["attempts"] for n in range(1, WRITERS + 1) for k in range(5)] == [EACH // 5] * 20
    assert not list(file.parent.glob("*.new"))


@pytest.mark.parametrize(
    "damage",
    [b"", b'{"exercises": {"03.2"', b"[]", b'{"exercises": 3}', b'{"exercises": {"03.2": 1}}', b"\xff\xfe\x00"],
)
def test_a_damaged_file_is_set_aside_with_a_message(file, damage, capsys):
    file.parent.mkdir()
    file.write_bytes(damage)
    assert record("03.2", solved=True, path=file)
    said = (
        "the progress file could not be read; it is kept as progress.damaged-1.json, and a new one begins. "
        "quantlab check NN enters what your copy of exercise NN holds\n"
    )
    assert capsys.readouterr().out == said
    assert (file.parent / "progress.damaged-1.json").read_bytes() == damage
    assert read_progress(file)["03.2"]["solved"]
    file.write_bytes(damage)
    assert read_progress(file) == {}
    assert (file.parent / "progress.damaged-2.json").read_bytes() == damage


def test_a_file_that_another_notebook_has_mended_is_not_set_aside(file, monkeypatch):
    """Between the first look at a damaged file and the lock, another notebook may have begun a new one."""
    file.parent.mkdir()
    file.write_text("{")
    look = progress._entries

    def then_the_other_writes(path):
        found = look(path)
        monkeypatch.setattr(progress, "_entries", look)
        assert record("03.2", solved=True, path=path)
        return found

    monkeypatch.setattr(progress, "_entries", then_the_other_writes)
    assert read_progress(file)["03.2"]["solved"]
    assert [path.name for path in file.parent.glob("*damaged*")] == ["progress.damaged-1.json"]


@pytest.mark.parametrize("method", ["read_text", "rename"])
def test_a_file_that_cannot_be_read_or_moved_is_not_replaced(file, monkeypatch, method):
    record("03.2", solved=True, path=file)
    before = file.read_bytes() if method == "read_text" else b"{"
    file.write_bytes(before)

    def refuse(*args):
        raise PermissionError(13, "not yours")

    monkeypatch.setattr(Path, method, refuse)
    assert read_progress(file) == {}
    assert record("03.3", solved=True, path=file) is False
    assert file.read_bytes() == before


def test_entries_of_a_newer_course_are_kept(file):
    file.parent.mkdir()
    file.write_text(json.dumps({"version": 9, "exercises": {"31.1": {"attempts": "many", "medal": "gold"}}}))
    record("31.1", solved=True, path=file)
    assert read_progress(file)["31.1"].items() >= {"attempts": 1, "medal": "gold", "solved": True}.items()


def test_a_file_that_cannot_be_written_fails_nothing(tmp_path, monkeypatch):
    blocked = tmp_path / "a file"
    blocked.write_text("in the way")
    assert record("03.2", solved=True, path=blocked / "progress.json") is False
    monkeypatch.setattr(os, "replace", lambda *args: (_ for _ in ()).throw(OSError("disk full")))
    assert record("03.2", solved=True, path=tmp_path / "progress.json") is False
    assert read_progress(tmp_path / "progress.json") == {}
    assert not list(tmp_path.glob("*.new")), "the half-written file is removed"


def test_without_file_locks_the_write_is_still_whole(file, monkeypatch):
    monkeypatch.setattr(progress, "fcntl", None)
    assert record("03.2", solved=True, path=file)
    assert read_progress(file)["03.2"]["solved"]


class TestWhere:
    @pytest.fixture
    def course(self, tmp_path, monkeypatch):
        (tmp_path / "pyproject.toml").write_text('[project]\nname = "quantlab"\n')
        for folder in ["work/03_x", "notebooks", "solutions/03_x", "exercises/03_x"]:
            (tmp_path / folder).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / "work" / "03_x")
        monkeypatch.delenv("QUANTLAB_PROGRESS")
        monkeypatch.delenv("QUANTLAB_GRADING", raising=False)
        return tmp_path

    def test_in_the_course_folder(self, course, monkeypatch):
        assert progress_path() == course / "work" / "progress.json"
        monkeypatch.chdir(course / "exercises" / "03_x")
        assert progress_path() == course / "work" / "progress.json"

    @pytest.mark.parametrize("folder", ["notebooks", "solutions/03_x"])
    def test_nowhere_for_the_courses_own_pages(self, course, monkeypatch, folder):
        monkeypatch.chdir(course / folder)
        assert progress_path() is None
        assert progress_path(reading=True) == course / "work" / "progress.json"
        assert record("03.2", solved=True) is False

    def test_where_the_variable_says(self, course, monkeypatch):
        monkeypatch.setenv("QUANTLAB_PROGRESS", str(course / "mine.json"))
        monkeypatch.chdir(course / "notebooks")
        assert progress_path() == course / "mine.json"
        monkeypatch.setenv("QUANTLAB_PROGRESS", "off")
        assert progress_path() is None

    def test_nowhere_in_a_graded_run(self, course, monkeypatch):
        monkeypatch.setenv("QUANTLAB_GRADING", "1")
        assert progress_path() is None

    def test_in_the_home_folder_outside_a_course(self, course, monkeypatch):
        monkeypatch.setattr(progress, "course_root", lambda: None)
        monkeypatch.setattr(progress, "is_course_page", lambda: False)
        monkeypatch.setattr(Path, "home", lambda: course)
        assert progress_path() == course / ".quantlab" / "progress.json"
