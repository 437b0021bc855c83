"""nbgrader's settings for this course; nbgrader_config.py hands them to nbgrader's own commands and pages."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nbconvert.preprocessors import ClearMetadataPreprocessor, CSSHTMLHeaderPreprocessor
from nbgrader.preprocessors import (
    AssignLatePenalties,
    CheckCellMetadata,
    ClearHiddenTests,
    ClearMarkScheme,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    GetGrades,
    IgnorePattern,
    LimitOutput,
    LockCells,
    OverwriteCells,
    OverwriteKernelspec,
    SaveAutoGrades,
    SaveCells,
)

from build import STUB
from grading.execute import SandboxedExecute
from grading.feedback import ReadablePage, TopLevelStubs, WithholdHidden
from grading.limits import Limits
from grading.restore import RestoreCells

CLASS = "class"  # all that belongs to a class lies in this folder, which git ignores


def class_folder(course: Path) -> Path:
    """Return the folder of the class; a new one is closed to everybody else, because grades are in it."""
    folder = course / CLASS
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def configure(c: Any, course: Path, *, limits: Limits | None = None, sandboxed: bool = True) -> None:
    """Write the settings into `c`, nbgrader's configuration."""
    # To make its database, nbgrader starts alembic by its bare name, also where the environment is not activated.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ.get("PATH", os.defpath)])
    c.CourseDirectory.root = str(course)
    c.CourseDirectory.course_id = "quantlab"
    c.CourseDirectory.source_directory = "solutions"
    c.CourseDirectory.release_directory = "exercises"
    c.CourseDirectory.submitted_directory = f"{CLASS}/submitted"
    c.CourseDirectory.autograded_directory = f"{CLASS}/autograded"
    c.CourseDirectory.feedback_directory = f"{CLASS}/feedback"
    c.CourseDirectory.db_url = f"sqlite:///{course / CLASS / 'gradebook.db'}"

    c.ClearSolutions.code_stub = {"python": STUB}
    c.GenerateAssignment.preprocessors = [
        *(LockCells, ClearSolutions, TopLevelStubs, ClearOutput, CheckCellMetadata, ComputeChecksums, SaveCells),
        *(ClearHiddenTests, ClearMarkScheme, ComputeChecksums, CheckCellMetadata),
    ]
    c.Autograde.sanitize_preprocessors = [
        *(ClearOutput, RestoreCells, OverwriteKernelspec, OverwriteCells, CheckCellMetadata),
    ]
    c.Autograde.autograde_preprocessors = [
        *(SandboxedExecute, IgnorePattern, ClearMetadataPreprocessor, LimitOutput, SaveAutoGrades),
        *(AssignLatePenalties, CheckCellMetadata),
    ]
    c.ClearMetadataPreprocessor.preserve_cell_metadata_mask = [("nbgrader",)]
    c.ClearMetadataPreprocessor.clear_notebook_metadata = False
    # What late work costs, see docs/instructors.md: "none" notes it only, "zero" takes all points.
    c.LateSubmissionPlugin.penalty_method = "none"
    c.SandboxedExecute.limits = asdict(limits or Limits())
    c.SandboxedExecute.sandboxed = sandboxed
    c.GenerateFeedback.preprocessors = [GetGrades, WithholdHidden, CSSHTMLHeaderPreprocessor, ReadablePage]
