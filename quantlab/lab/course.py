"""Where the course lies on this disk: its root folder, and the numbered files in it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path


def course_root(start: Path | None = None) -> Path | None:
    """Return the folder that holds the course, or None where there is none (a class copy, say).

    The folders from ``start`` (default: the working folder) upwards are tried first, then the checkout that
    this package was installed from. A course root holds ``pyproject.toml`` with the project name quantlab.

    Example
    -------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     root = Path(folder).resolve()
    ...     _ = (root / "pyproject.toml").write_text('name = "quantlab"')
    ...     (root / "work").mkdir()
    ...     course_root(root / "work") == root
    True
    """
    start = Path.cwd() if start is None else Path(start)
    for folder in [start.absolute(), *start.absolute().parents, Path(__file__).absolute().parents[2]]:
        project = folder / "pyproject.toml"
        if project.is_file() and re.search(r'^name\s*=\s*"quantlab"', project.read_text("utf-8"), re.MULTILINE):
            return folder
    return None


def is_course_page(start: Path | None = None) -> bool:
    """Tell whether the working folder is one of the course's own (notebooks/ or solutions/).

    What runs there is the course, not somebody's attempt, so it leaves no trace in the progress file.
    """
    start = Path.cwd() if start is None else Path(start)
    root = course_root(start)
    if root is None or root not in [start.absolute(), *start.absolute().parents]:
        return False
    return start.absolute().relative_to(root).parts[:1] in {("notebooks",), ("solutions",)}


def numbered(folder: Path, number: str, suffix: str = "") -> Path | None:
    """Return the entry of ``folder`` that is called ``NN_something`` + ``suffix``, or None.

    >>> numbered(Path("no-such-folder"), "03") is None
    True
    """
    found: Iterator[Path] = Path(folder).glob(f"{number}_*{suffix}")
    return min(found, default=None)


def copies(root: Path, number: str) -> list[Path]:
    """Return the reader's own copies of the exercises of one lesson (work/NN_x, work/NN_x-2, ...), last edited last.

    >>> copies(Path("no-such-folder"), "03")
    []
    """
    folders = [path for path in Path(root, "work").glob(f"{number}_*") if path.is_dir()]
    return sorted(
        folders, key=lambda path: (max((n.stat().st_mtime_ns for n in path.glob("*.ipynb")), default=0), path)
    )


def grading() -> bool:
    """Tell whether an instructor's grader runs the notebook (environment variable QUANTLAB_GRADING=1)."""
    return os.environ.get("QUANTLAB_GRADING", "") == "1"
