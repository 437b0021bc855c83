"""Where the files of a class lie, and what is kept about each submission between two runs."""

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config

from grading.limits import Limits
from grading.settings import CLASS, class_folder, configure


@dataclass
class Record:
    """What came of one submission; `notes` is what an instructor should look at."""

    student: str
    assignment: str
    state: str = "not graded"
    score: float | None = None
    max_score: float | None = None
    reason: str = ""
    way_out: str = ""
    notes: list[str] = field(default_factory=list)
    fingerprint: str = ""
    feedback: str = ""  # the fingerprint that the feedback page was made for


@dataclass(frozen=True)
class Classroom:
    """A course folder with its class; all paths that the tools use."""

    course: Path
    limits: Limits = field(default_factory=Limits)
    sandboxed: bool = True

    @property
    def folder(self) -> Path:
        return self.course / CLASS

    @property
    def database(self) -> str:
        return f"sqlite:///{self.folder / 'gradebook.db'}"

    def config(self) -> Config:
        """nbgrader's configuration for this class."""
        class_folder(self.course)
        config = Config()
        configure(config, self.course, limits=self.limits, sandboxed=self.sandboxed)
        return config

    def course_directory(self, config: Config, assignment: str, student: str = "*") -> CourseDirectory:
        return CourseDirectory(config=config, assignment_id=assignment, student_id=student)

    def assignments(self, wanted: list[str]) -> list[str]:
        """Return the names of assignments from numbers ("03") or names; none wanted means all that were released.

        Raises
        ------
        ValueError
            If there is no such assignment; the text lists what there is.
        """
        there = sorted(path.parent.name for path in self.course.glob("solutions/*/*.ipynb"))
        if not wanted:
            return [name for name in there if self.release_record(name).exists()]
        found = [[name for name in there if name == want or name.split("_")[0] == want.zfill(2)] for want in wanted]
        for want, names in zip(wanted, found, strict=True):
            if not names:
                raise ValueError(f"there is no assignment {want!r}; there are {', '.join(there) or 'none'}")
        return [name for names in found for name in names]

    def source(self, assignment: str) -> Path:
        return self.course / "solutions" / assignment / f"{assignment}.ipynb"

    def release_record(self, assignment: str) -> Path:
        return self.folder / "state" / assignment / "release.json"

    def submission(self, assignment: str, student: str) -> Path:
        return self.folder / "submitted" / student / assignment

    def students(self, assignment: str) -> list[str]:
        """Return who handed something in."""
        found = self.folder.glob(f"submitted/*/{assignment}")
        return sorted(path.parent.name for path in found if not path.parent.name.startswith("."))

    def record_file(self, assignment: str, student: str) -> Path:
        # A student of the name "release" shall not meet the record of the release.
        return self.folder / "state" / assignment / "students" / f"{student}.json"

    def log_file(self, assignment: str, student: str) -> Path:
        return self.folder / "logs" / assignment / f"{student}.log"

    def read(self, assignment: str, student: str) -> Record:
        """Return the record of a submission; a missing or damaged one says that nothing was graded."""
        try:
            return Record(**json.loads(self.record_file(assignment, student).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return Record(student, assignment)

    def write(self, record: Record) -> None:
        write_json(self.record_file(record.assignment, record.student), asdict(record))


def write_json(path: Path, content: Any) -> None:
    """Write a file in one step: who reads it sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    new.replace(path)
