"""Release, grade and give back the exercises of a class; docs/instructors.md tells the whole way.

python tools/grade.py release 03                   enter it into the gradebook; exercises/ is what you hand out
python tools/grade.py grade 03                     grade what changed in class/submitted, write class/grades.csv
python tools/grade.py grade 03 --student ana       only hers
python tools/grade.py feedback 03                  pages for the students, in class/feedback
"""

import argparse
import os
import sys
from dataclasses import fields
from pathlib import Path

from grading import sandbox
from grading.batch import feedback_class, grade_class, write_grades
from grading.classroom import Classroom, Record
from grading.limits import Limits
from grading.release import ReleaseError, release
from isolation import ROOT


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=["release", "grade", "feedback"])
    parser.add_argument("assignments", nargs="*", help="numbers or names; none means all that were released")
    parser.add_argument("--course", type=Path, default=ROOT, help="the folder with solutions/ and exercises/")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many submissions at a time")
    parser.add_argument("--student", action="append", help="only this one; may be given several times")
    parser.add_argument("--again", action="store_true", help="also what has not changed")
    parser.add_argument("--no-sandbox", action="store_true", help="run the code of students with all that you may do")
    for limit in fields(Limits):
        parser.add_argument(f"--{limit.name.replace('_', '-')}", type=int, default=limit.default, metavar="N")
    a = parser.parse_args(argv)
    if a.jobs < 1:
        parser.error(f"--jobs={a.jobs} is not a positive number")
    try:
        limits = Limits(**{limit.name: getattr(a, limit.name) for limit in fields(Limits)})
        room = Classroom(a.course.resolve(), limits, not a.no_sandbox)
        names = room.assignments(a.assignments)
        if not names:
            parser.error("no assignment was released yet; name one, such as 03")
        if a.command == "grade" and room.sandboxed:
            sandbox.bubblewrap()
        return {"release": run_release, "grade": run_grade, "feedback": run_feedback}[a.command](room, names, a)
    except (ValueError, ReleaseError, sandbox.NoSandboxError) as error:
        print(error, file=sys.stderr)
        return 2


def run_release(room: Classroom, names: list[str], a: argparse.Namespace) -> int:
    for name in names:
        points = release(room, name)
        print(f"{name}: {points:g} points; hand out {room.course / 'exercises' / name}")
    return 0


def run_grade(room: Classroom, names: list[str], a: argparse.Namespace) -> int:
    if not room.sandboxed:
        print("Without a sandbox: the code of students runs with all that you may do.")
    for name in names:
        graded: list[Record] = []

        def report(record: Record, graded: list[Record] = graded) -> None:
            graded.append(record)
            print(line(record), flush=True)

        records = grade_class(room, name, jobs=a.jobs, students=a.student, again=a.again, report=report)
        unknown = sorted(set(a.student or []) - {record.student for record in records})
        if unknown:
            print(f"{', '.join(unknown)} handed in nothing for {name}")
        open_ = [record for record in records if record.state != "graded"]
        print(f"{name}: {len(records)} submissions, {len(graded)} looked at now, {len(open_)} could not be graded")
        for record in open_:
            print(f"  {record.student}: {record.reason}\n    way out: {record.way_out}")
    print(f"Scores: {write_grades(room)}")
    return 0


def line(record: Record) -> str:
    """One submission in one line, and one for each thing to look at."""
    score = f"{record.score:g} of {record.max_score:g}" if record.state == "graded" else "not graded"
    return "\n".join([f"  {record.student:<24} {score}", *(f"    {note}" for note in record.notes)])


def run_feedback(room: Classroom, names: list[str], a: argparse.Namespace) -> int:
    status = 0
    for name in names:
        failed, made = feedback_class(room, name, jobs=a.jobs, students=a.student, again=a.again)
        print(f"{name}: {made} pages made in {room.folder / 'feedback'}")
        for record in failed:
            status = 1
            print(f"  {record.student}: {record.reason}; see {room.log_file(name, record.student + '.feedback')}")
    return status


if __name__ == "__main__":
    sys.exit(main())
