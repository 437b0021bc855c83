"""A submission that nbgrader could not read is named with its reason and a way out."""

import json

import pytest

from grading import intake
from grading.intake import fingerprint, inspect

GOOD = json.dumps({"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


def test_a_notebook_is_let_in(tmp_path):
    (tmp_path / "a.ipynb").write_text(GOOD)
    assert inspect(tmp_path, "a.ipynb") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<html>", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "not a notebook"),
        (b'{"worksheets": []}', "not a notebook"),
        (b'{"cells": [1]}', "not a notebook"),
    ],
)
def test_what_is_no_notebook_is_refused(tmp_path, content, reason):
    (tmp_path / "a.ipynb").write_bytes(content)
    broken = inspect(tmp_path, "a.ipynb")
    assert reason in broken.reason
    assert "hand it in again" in broken.way_out


def test_links_are_refused_wherever_they_point(tmp_path):
    (tmp_path / "secret").write_text(GOOD)
    folder = tmp_path / "ana"
    folder.mkdir()
    (folder / "a.ipynb").write_text(GOOD)
    (tmp_path / "bob").symlink_to(folder)
    assert "'bob' is a link" in inspect(tmp_path / "bob", "a.ipynb").reason
    (folder / "data.csv").symlink_to(tmp_path / "secret")
    assert "'data.csv' is a link" in inspect(folder, "a.ipynb").reason


def test_another_name_is_named(tmp_path):
    (tmp_path / "b.ipynb").write_text(GOOD)
    broken = inspect(tmp_path, "a.ipynb")
    assert "there is 'b.ipynb'" in broken.reason
    assert "rename it to a.ipynb" in broken.way_out


def test_too_much_is_not_even_read(tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "MOST_MB", 1)
    (tmp_path / "a.ipynb").write_bytes(b" " * (2**20 + 1))
    assert "at most 1 MB" in inspect(tmp_path, "a.ipynb").reason


def test_a_fingerprint_sees_content_names_and_the_text(tmp_path):
    (tmp_path / "a").write_text("1")
    first = fingerprint(tmp_path)
    assert fingerprint(tmp_path) == first
    assert fingerprint(tmp_path, also="x") != first
    (tmp_path / "a").write_text("2")
    second = fingerprint(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, fingerprint(tmp_path)}) == 3
