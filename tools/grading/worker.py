"""One submission in a process of its own: nbgrader grades it, or makes its feedback page.

All that nbgrader says goes into the log of the submission.
"""

import logging
import warnings
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.converters import Autograde, GenerateFeedback
from nbgrader.converters.base import NbGraderException
from traitlets.log import get_logger

from grading.classroom import Classroom


class Notes(logging.Handler):
    """Collects what our own steps note about a submission, and the last error that nbgrader met."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.error = ""

    def emit(self, record: logging.LogRecord) -> None:
        note, message = getattr(record, "note", ""), record.getMessage().strip()
        if note and note not in self.texts:
            self.texts.append(note)
        if message.startswith("Traceback"):  # what nbgrader met before it says only that there is something above
            self.error = " ".join(message.rpartition("\n  File")[2].split("\n", 2)[-1].split())


def listen(file: Path) -> Notes:
    """Send nbgrader's log into a file, and our notes into a list."""
    file.parent.mkdir(parents=True, exist_ok=True)
    logger, notes = get_logger(), Notes()
    logger.handlers, logger.propagate = [logging.FileHandler(file, mode="w", encoding="utf-8"), notes], False
    logger.setLevel(logging.INFO)
    return notes


def grade(room: Classroom, assignment: str, student: str) -> dict[str, Any]:
    """Run nbgrader's autograder on one submission, and read the score from the gradebook."""
    notes = listen(room.log_file(assignment, student))
    config = room.config()
    directory = room.course_directory(config, assignment, student)
    try:
        Autograde(coursedir=directory, config=config, force=True).start()
    except NbGraderException as error:
        raise NbGraderException(notes.error or str(error)) from None
    with Gradebook(room.database) as book:
        submission = book.find_submission(assignment, student)
        # The gradebook keeps points and penalty apart.
        score = max(0.0, submission.score - submission.late_submission_penalty)
        late, max_score = round(submission.total_seconds_late), submission.max_score
    remarks = [f"handed in {timedelta(seconds=late)} after the due date"] if late else []
    return {"state": "graded", "notes": notes.texts + remarks, "score": score, "max_score": max_score}


def feedback(room: Classroom, assignment: str, student: str) -> dict[str, Any]:
    """Make the feedback page of one graded submission."""
    listen(room.log_file(assignment, f"{student}.feedback"))
    config = room.config()
    directory = room.course_directory(config, assignment, student)
    GenerateFeedback(coursedir=directory, config=config, force=True).start()
    return {}


def work_alone(room: Classroom, assignment: str, student: str, work: str, answer: Connection) -> None:
    """Do one piece of work, and send what came of it: a failure is an answer with a reason."""
    warnings.simplefilter("ignore")  # of nbgrader and its database, and nothing that an instructor can act on
    try:
        result = {"grade": grade, "feedback": feedback}[work](room, assignment, student)
    except Exception as error:
        get_logger().exception("not done")
        # nbgrader's own exception says nothing by its name.
        kind = "" if isinstance(error, NbGraderException) else f"{type(error).__name__}: "
        result = {"reason": f"{kind}{str(error)[:500]}"}
    answer.send(result)
