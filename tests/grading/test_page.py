"""The page for instructors says what the programs do."""

import re
from dataclasses import fields

import pytest
from nbgrader.apps.dbapp import DbAssignmentAddApp

import grade
from grading import sandbox
from grading.limits import Limits
from isolation import ROOT

PAGE = (ROOT / "docs" / "instructors.md").read_text("utf-8")


@pytest.mark.parametrize("limit", fields(Limits), ids=lambda limit: limit.name)
def test_each_limit_stands_on_the_page_with_its_default(limit):
    option = f"`--{limit.name.replace('_', '-')}`"
    (row,) = [line for line in PAGE.splitlines() if option in line]
    assert int(re.findall(r"\d+", row)[0]) == limit.default


def test_every_option_on_the_page_exists(capsys):
    with pytest.raises(SystemExit):
        grade.main(["--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    known |= {f"--{name}" for name in DbAssignmentAddApp.aliases}
    assert set(re.findall(r"(?<=[ `])--[a-z][a-z-]+", PAGE)) <= known


def test_the_page_and_the_refusal_name_the_same_package():
    assert re.search(r"apt install .*bubblewrap", PAGE)
    assert "apt install bubblewrap" in sandbox.INSTALL


def test_a_table_has_a_row_for_each_kind_of_student():
    rows = [
        line for line in PAGE.partition("## What becomes of what")[2].partition("##")[0].splitlines() if "|" in line
    ]
    # The test class has more students than rows: some rows speak of two or three.
    assert len(rows) >= 20
