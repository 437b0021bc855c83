"""What the reader has tried and solved, kept in one small JSON file on this machine.

The file is ``work/progress.json`` in the course folder. The environment variable QUANTLAB_PROGRESS names another
file, or ``off`` for none. Outside a course folder it is ``.quantlab/progress.json`` in the home folder. The course's
own pages (notebooks/, solutions/) and graded runs are nobody's attempts and write nothing.
"""

import contextlib
import datetime
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from quantlab.lab.course import course_root, grading, is_course_page

try:
    import fcntl
except ImportError:  # Windows: the replacement of the file is still atomic
    fcntl = None

VERSION = 1


def progress_path(*, reading: bool = False) -> Path | None:
    """Return the progress file of this reader (it need not exist), or None where nothing is kept.

    With ``reading=True`` the course's own pages have one too: they write nothing, but a reader may look from there.
    """
    named = os.environ.get("QUANTLAB_PROGRESS", "")
    if grading() or named == "off":
        return None
    if named:
        return Path(named)
    if is_course_page() and not reading:
        return None
    root = course_root()
    return root / "work" / "progress.json" if root else Path.home() / ".quantlab" / "progress.json"


def read_progress(path: Path | None = None) -> dict[str, dict[str, Any]]:
    """Return ``{"03.2": {"attempts": 2, "solved": True, ...}}``; no file, or one that cannot be opened, is no progress.

    A file that is not what this module wrote is set aside (``progress.damaged-1.json``) with a message.

    Example
    -------
    >>> read_progress(Path("no-such-file.json"))
    {}
    """
    path = progress_path() if path is None else path
    if path is None:
        return {}
    try:
        entries = _entries(path)
        if entries is None:
            with _locked(path):
                entries = _entries_or_new(path)
    except OSError:
        return {}
    return entries


def record(number: str, *, solved: bool, path: Path | None = None) -> bool:
    """Count one attempt at an exercise, and return whether it was kept.

    What was once solved stays solved. Never raises: a full disk or a read-only folder must not fail a check.
    """

    def count(entry: dict[str, Any]) -> None:
        attempts = entry.get("attempts", 0)
        entry["attempts"] = (attempts if isinstance(attempts, int) else 0) + 1
        if solved and not entry.get("solved"):
            entry["solved"] = True
            entry["solved_on"] = datetime.date.today().isoformat()

    return _update(number, count, progress_path() if path is None else path)


def attempted(number: str, path: Path | None = None) -> bool:
    """Tell whether the progress file knows an attempt at this exercise."""
    return bool(read_progress(path).get(number, {}).get("attempts"))


def _update(number: str, change: Callable[[dict[str, Any]], None], path: Path | None) -> bool:
    """Read, change one entry and replace the file, all under the lock."""
    if path is None:
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _locked(path):
            entries = _entries_or_new(path)
            change(entries.setdefault(number, {}))
            _replace(path, {"version": VERSION, "exercises": dict(sorted(entries.items()))})
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of a progress file. It is a file of its own, because the progress file gets replaced."""
    with open(path.with_name(path.name + ".lock"), "w") as lock:
        if fcntl is not None:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield  # closing the file releases the lock


def _replace(path: Path, content: dict[str, Any]) -> None:
    """Write a new file beside the old one, then rename: a reader sees the old or the new, never a half."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".new")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _entries(path: Path) -> dict[str, dict[str, Any]] | None:
    """Return what the file says, nothing where there is no file, and None where it is damaged."""
    try:
        entries = json.loads(path.read_text("utf-8"))["exercises"]
        if isinstance(entries, dict) and all(isinstance(entry, dict) for entry in entries.values()):
            return entries
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def _entries_or_new(path: Path) -> dict[str, dict[str, Any]]:
    """Return the entries of the file, after setting it aside if it is damaged. The caller holds the lock.

    Without the lock, a file that another notebook has just put in the place of a damaged one could be set aside.
    """
    entries = _entries(path)
    if entries is not None:
        return entries
    number = 1
    while (aside := path.with_name(f"{path.stem}.damaged-{number}{path.suffix}")).exists():
        number += 1
    path.rename(aside)
    print(
        f"the progress file could not be read; it is kept as {aside.name}, and a new one begins. "
        "quantlab check NN enters what your copy of exercise NN holds"
    )
    return {}
