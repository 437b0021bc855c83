"""The command ``quantlab``: doctor, start, check, progress, models."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from quantlab.lab.checks.engine import exercises, lessons
from quantlab.lab.course import copies, course_root, numbered
from quantlab.lab.doctor import report
from quantlab.lab.models import MODELS, model_file
from quantlab.lab.open_page import open_page
from quantlab.lab.progress import progress_path, read_progress
from quantlab.lab.run_copy import check_copy


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit code: 0 where it did what was asked."""
    parser = argparse.ArgumentParser(prog="quantlab", description="Help around the course on quantization.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = commands.add_parser("doctor", help="what this machine has, and whether the course can run here")
    command.set_defaults(run=lambda args: doctor())
    command = commands.add_parser("start", help="copy an exercise into work/, where it is yours, and open it")
    command.add_argument("number", help="number of the lesson, such as 03")
    command.add_argument("--again", action="store_true", help="make another copy beside the first")
    command.add_argument("--no-open", action="store_true", help="copy only")
    command.set_defaults(run=lambda args: start(args.number, again=args.again, opens=not args.no_open))
    command = commands.add_parser("check", help="run your copy of an exercise, and print a table of verdicts")
    command.add_argument(
        "which", help="number of the lesson, such as 03 (your copy edited last), a notebook or its folder"
    )
    command.add_argument("--timeout", type=int, default=120, metavar="SECONDS", help="for each cell (default: 120)")
    command.set_defaults(run=lambda args: check(args.which, timeout=args.timeout))
    command = commands.add_parser("progress", help="what is done, attempted and open, and the next lesson")
    command.set_defaults(run=lambda args: progress())
    command = commands.add_parser("models", help="the real models that the lessons open")
    command.set_defaults(run=lambda args: models())
    args = parser.parse_args(argv)
    return args.run(args)


def doctor() -> int:
    """Print what this machine has; 0 if the course can run here, else 1."""
    found = report()
    print(found.text())
    return 0 if found.ok else 1


def start(number: str, *, again: bool = False, opens: bool = True) -> int:
    """Copy exercises/NN_x to work/NN_x and open it. A copy that is there is never touched; ``again`` makes NN_x-2."""
    root = course_root()
    known = root is not None and number.isdecimal()
    source = numbered(root / "exercises", number.zfill(2)) if known else None
    if root is None or source is None:
        where = "in this course folder" if root else "here: go into the course folder first"
        print(f"there is no exercise {number} {where}", file=sys.stderr)
        return 1
    mine = copies(root, number.zfill(2))
    if mine and not again:
        target = mine[-1]
        print(f"{_place(target)} is there already and stays as it is; --again makes another copy")
    else:
        target, count = root / "work" / source.name, 1
        while target.exists():
            count += 1
            target = target.with_name(f"{source.name}-{count}")
        shutil.copytree(source, target, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
        print(f"copied to {_place(target)}; it is yours, no update of the course touches it")
    for notebook in sorted(target.glob("*.ipynb")):
        if opens:
            return open_page(notebook, root=root)
        print(f"open it: jupyter lab {_place(notebook)}")
    return 0


def check(which: str, *, timeout: int = 120) -> int:
    """Run the copy of an exercise edited last, a notebook or that of a folder; print verdicts; 0 if all are correct."""
    notebook: Path | None = Path(which)
    if Path(which).is_dir() and not which.isdecimal():  # work/03_x-2, as `quantlab start` names it
        notebook = next(iter(sorted(Path(which).glob("*.ipynb"))), None)
        if notebook is None:
            print(f"there is no notebook in {which}", file=sys.stderr)
            return 1
    if which.isdecimal():
        root, number = course_root(), which.zfill(2)
        mine = copies(root, number) if root else []
        notebook = next(iter(sorted(mine[-1].glob("*.ipynb"))), None) if mine else None
    if notebook is None:
        print(f"there is no copy of exercise {which} in work/; make one: quantlab start {which}", file=sys.stderr)
        return 1
    print(f"running {_place(notebook)}", flush=True)
    try:
        results = check_copy(notebook.absolute(), timeout=timeout)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    width = max(len(result.title) for result in results)
    print(f"\n{'':6s}{'exercise':{width}s}  verdict")
    for result in results:
        print(f"{result.number:6s}{result.title:{width}s}  {result.status}")
    for result in results:
        if result.message and result.status in ("incorrect", "no verdict"):
            print(f"\n{result.number} {result.status}: {result.message}")
    correct = sum(result.status == "correct" for result in results)
    print(f"\n{correct} of {len(results)} correct")
    return 0 if correct == len(results) else 1


def progress() -> int:
    """Print every exercise with its state, the sums, and the next lesson."""
    path = progress_path(reading=True)
    entries = read_progress(path) if path else {}
    root = course_root()
    counts = dict.fromkeys(["done", "attempted", "open"], 0)
    following = None
    for lesson in lessons():
        tasks = list(exercises(lesson).values())
        states = [_state(entries.get(task.number, {})) for task in tasks]
        page = numbered(root / "notebooks", lesson, ".ipynb") if root else None
        name = f"{lesson} {page.stem[3:].replace('_', ' ')}" if page else lesson
        print(f"{name}: {states.count('done')} of {len(tasks)} done")
        for task, state in zip(tasks, states, strict=True):
            print(f"  {task.number:6s}{state:11s}{task.title} (difficulty {task.difficulty}, {task.minutes} minutes)")
            counts[state] += 1
            if following is None and state != "done":
                following = (name, page, task)
    print("\n" + ", ".join(f"{number} {state}" for state, number in counts.items()))
    if following:
        name, page, task = following
        print(f"next: lesson {name}{f' ({_place(page)})' if page else ''}, exercise {task.number} {task.title}")
    return 0


def models() -> int:
    """Print which models are installed and where; 1 if one is missing."""
    code = 0
    for name, model in MODELS.items():
        try:
            file = model_file(name)
            print(f"{name}: {model.about}\n  {file.stat().st_size / 1e6:.1f} MB, {file}")
        except FileNotFoundError as error:
            print(f"{name}: {error}")
            code = 1
    return code


def _state(entry: dict) -> str:
    return "done" if entry.get("solved") else "attempted" if entry.get("attempts") else "open"


def _place(path: Path) -> str:
    """Return a path as seen from the working folder where it lies below it, else in full."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
