"""The command ``quantlab``: doctor, start, progress, models."""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from quantlab.lab.checks.engine import exercises, lessons
from quantlab.lab.course import course_root, numbered
from quantlab.lab.doctor import report
from quantlab.lab.models import MODELS, model_file
from quantlab.lab.progress import read_progress


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, and return the exit code: 0 where it did what was asked."""
    parser = argparse.ArgumentParser(prog="quantlab", description="Help around the course on quantization.")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    command = commands.add_parser("doctor", help="what this machine has, and whether the course can run here")
    command.set_defaults(run=lambda args: doctor())
    command = commands.add_parser("start", help="copy an exercise into work/, where it is yours")
    command.add_argument("number", help="number of the lesson, such as 03")
    command.add_argument("--again", action="store_true", help="make another copy beside the first")
    command.set_defaults(run=lambda args: start(args.number, again=args.again))
    command = commands.add_parser("progress", help="what is solved, tried and open")
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


def start(number: str, *, again: bool = False) -> int:
    """Copy exercises/NN_x to work/NN_x. A copy that is there is never touched; ``again`` makes NN_x-2, NN_x-3, ..."""
    root = course_root()
    known = root is not None and number.isdecimal()
    source = numbered(root / "exercises", number.zfill(2)) if known else None
    if root is None or source is None:
        where = "in this course folder" if root else "here: go into the course folder first"
        print(f"there is no exercise {number} {where}", file=sys.stderr)
        return 1
    target = root / "work" / source.name
    if target.exists() and not again:
        print(f"{_place(target)} is there already and stays as it is; --again makes another copy")
        return 0
    copies = 1
    while target.exists():
        copies += 1
        target = target.with_name(f"{source.name}-{copies}")
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    print(f"copied to {_place(target)}; it is yours, no update of the course touches it")
    for notebook in sorted(target.glob("*.ipynb")):
        print(f"open it: jupyter lab {_place(notebook)}")
    return 0


def progress() -> int:
    """Print every exercise with its state, and the next one to do."""
    entries = read_progress()
    known = [task for lesson in lessons() for task in exercises(lesson).values()]
    solved = {number for number, entry in entries.items() if entry.get("solved")}
    for task in known:
        attempts = entries.get(task.number, {}).get("attempts", 0)
        state = "solved" if task.number in solved else "tried" if attempts else "open"
        print(f"{task.number:6s}{state:8s}{task.title} (difficulty {task.difficulty}, {task.minutes} minutes)")
    following = next((task for task in known if task.number not in solved), None)
    print(f"{len([t for t in known if t.number in solved])} of {len(known)} solved")
    if following:
        print(f"next: {following.number} {following.title}")
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


def _place(path: Path) -> str:
    """Return a path as seen from the working folder where it lies below it, else in full."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
