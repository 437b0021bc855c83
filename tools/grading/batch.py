"""Grade a class: several submissions side by side, only those that changed, and none of them stops the others."""

import contextlib
import csv
import dataclasses
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from grading.classroom import Classroom, Record
from grading.intake import fingerprint, inspect
from grading.release import released
from grading.worker import work_alone
from isolation import ROOT

GRACE = 90  # seconds of a process beyond those of its kernel
COLUMNS = ["student", "assignment", "score", "max_score", "state", "reason", "notes"]


def grade_class(
    room: Classroom,
    assignment: str,
    *,
    jobs: int,
    students: list[str] | None = None,
    again: bool = False,
    report: Callable[[Record], None] = lambda record: None,
) -> list[Record]:
    """Grade what changed since the last time, and return the records of all submissions.

    Parameters
    ----------
    room, assignment : Classroom, str
        The class, and what it handed in.
    jobs : int
        How many submissions at a time.
    students : list of str, optional
        Only these; the default is everybody who handed something in.
    again : bool
        Grade also what has not changed.
    report : function
        Called with each record as it comes.
    """
    # What a score depends on, besides what was handed in. Who changes a check grades again.
    same = fingerprint(
        *(Path(__file__).parent, ROOT / "quantlab"),
        also=f"{released(room, assignment)} {dataclasses.asdict(room.limits)} {room.sandboxed}",
    )
    todo, done = [], []
    for student in room.students(assignment):
        if students and student not in students:
            continue
        record = room.read(assignment, student)
        now = fingerprint(room.submission(assignment, student), also=same)
        if record.fingerprint == now and not again:
            done.append(record)
        else:
            todo.append(Record(student, assignment, fingerprint=now))
    for record in side_by_side(todo, jobs, lambda record: grade_one(room, record)):
        room.write(record)
        report(record)
        done.append(record)
    return sorted(done, key=lambda record: record.student)


def grade_one(room: Classroom, record: Record) -> Record:
    """Grade one submission in a process of its own."""
    broken = inspect(room.submission(record.assignment, record.student), f"{record.assignment}.ipynb")
    if broken:
        return dataclasses.replace(record, reason=broken.reason, way_out=broken.way_out)
    result = run(room, record, "grade")
    if "reason" in result:
        log = room.log_file(record.assignment, record.student)
        # Without a fingerprint it has another try the next time: the fault may lie with the machine.
        way_out = f"see {log}; make grade tries it again"
        return dataclasses.replace(record, reason=result["reason"], way_out=way_out, fingerprint="")
    return dataclasses.replace(record, **result)


def feedback_class(
    room: Classroom, assignment: str, *, jobs: int, students: list[str] | None = None, again: bool = False
) -> tuple[list[Record], int]:
    """Make the feedback pages that are not up to date; return the records that failed, and how many were made."""
    chosen = [student for student in room.students(assignment) if not students or student in students]
    records = [room.read(assignment, student) for student in chosen]
    todo = [
        record for record in records if record.state == "graded" and (again or record.feedback != record.fingerprint)
    ]

    def one(record: Record) -> Record:
        result = run(room, record, "feedback")
        return dataclasses.replace(record, reason=result["reason"]) if "reason" in result else record

    open_ = []
    for record in side_by_side(todo, jobs, one):
        if record.reason:
            open_.append(record)
        else:
            room.write(dataclasses.replace(record, feedback=record.fingerprint))
    return open_, len(todo) - len(open_)


def side_by_side(todo: list[Record], jobs: int, work: Callable[[Record], Record]) -> Iterator[Record]:
    """Do the work on all records, `jobs` at a time; an exception becomes the reason in its record."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = {pool.submit(work, record): record for record in todo}
        try:
            for future in as_completed(futures):
                yield future.result() if future.exception() is None else failed(futures[future], future.exception())
        finally:  # after Ctrl-C nothing new is begun
            pool.shutdown(wait=False, cancel_futures=True)


def failed(record: Record, error: BaseException | None) -> Record:
    """The record of a submission whose grading broke here, and not in its own process."""
    way_out = "make grade tries it again"
    return dataclasses.replace(record, reason=f"{type(error).__name__}: {error}", way_out=way_out, fingerprint="")


def run(room: Classroom, record: Record, work: str) -> dict:
    """Start the process of one submission, and return what it says; it cannot stay longer than its limits."""
    # Forked from a server that has nbgrader loaded already: loading it takes longer than grading.
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tools"), str(ROOT)])  # what the server finds its modules by
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["grading.worker"])
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=work_alone, args=(room, record.assignment, record.student, work, there))
    process.start()
    there.close()
    seconds = room.limits.total_seconds + GRACE
    result = None
    with contextlib.suppress(EOFError):  # the process ended without a word
        result = here.recv() if here.poll(seconds) else {"reason": f"it took more than {seconds} seconds and was ended"}
    process.join(2)
    status = process.exitcode
    process.kill()  # its kernel goes with it, see guard.py
    process.join()
    return {"reason": f"its process ended with status {status}"} if result is None else result


def write_grades(room: Classroom) -> Path:
    """Write class/grades.csv: a line for each submission of each released assignment."""
    path = room.folder / "grades.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for assignment in room.assignments([]):
            for student in room.students(assignment):
                r = room.read(assignment, student)
                notes = "; ".join(r.notes)
                table.writerow([student, assignment, r.score, r.max_score, r.state, r.reason, notes])
    return path
