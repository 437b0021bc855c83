"""Release an assignment: nbgrader makes it from solutions/, and it has to be what exercises/ holds."""

import json
import shutil

import nbformat
from nbgrader.converters import GenerateAssignment

from build import text_of, without_outputs
from grading.classroom import Classroom, write_json
from grading.intake import fingerprint

SECRETS = ["BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN TESTS", "END HIDDEN TESTS"]


class ReleaseError(Exception):
    """An assignment that cannot be released; the text says why, and what to do."""


def release(room: Classroom, assignment: str) -> int:
    """Enter an assignment into the gradebook, and compare what nbgrader would hand out with exercises/.

    Returns the number of points. exercises/ itself stays: it also holds the outputs of the blank page, which nbgrader
    would leave out.

    Raises
    ------
    ReleaseError
        If the two differ, or the notebook in exercises/ holds an answer or a hidden test.
    """
    exercise = room.course / "exercises" / assignment / f"{assignment}.ipynb"
    number = assignment.split("_")[0]
    if not exercise.exists():
        raise ReleaseError(f"{exercise} is missing: run make build ARGS={number}")
    config = room.config()
    config.CourseDirectory.release_directory = f"{room.folder.name}/release"
    made = room.folder / "release" / assignment
    shutil.rmtree(made, ignore_errors=True)
    try:
        GenerateAssignment(coursedir=room.course_directory(config, assignment), config=config, force=True).start()
        want, have = (nbformat.read(path, as_version=4) for path in [made / exercise.name, exercise])
    finally:
        shutil.rmtree(made.parent, ignore_errors=True)
    leaks = [secret for secret in SECRETS if any(secret in cell.source for cell in have.cells)]
    if leaks:
        raise ReleaseError(f"{exercise} holds {leaks[0]!r}: run make build ARGS={number}")
    # Cell ids are the build's own; nbgrader keeps them.
    a, b = (text_of(without_outputs(notebook)) for notebook in [want, have])
    if json.loads(a)["cells"] != json.loads(b)["cells"]:
        raise ReleaseError(
            f"{exercise} is not what nbgrader makes of {room.source(assignment)}: run make build ARGS={number}"
        )
    points = sum(cell.metadata.nbgrader.points for cell in have.cells if cell.metadata.get("nbgrader", {}).get("grade"))
    write_json(room.release_record(assignment), {"source": fingerprint(room.source(assignment)), "points": points})
    return points


def released(room: Classroom, assignment: str) -> str:
    """Return the fingerprint of the source as it was released.

    Raises
    ------
    ReleaseError
        If it was never released, or its source has changed since.
    """
    number = assignment.split("_")[0]
    try:
        known = json.loads(room.release_record(assignment).read_text("utf-8"))["source"]
    except (OSError, ValueError, KeyError):
        raise ReleaseError(f"{assignment} was not released yet: run make release ARGS={number}") from None
    if known != fingerprint(room.source(assignment)):
        raise ReleaseError(
            f"{room.source(assignment)} has changed since its release: run make release ARGS={number} again"
        )
    return known
