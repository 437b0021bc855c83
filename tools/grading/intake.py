"""Looking at what came before nbgrader does: a submission that cannot be graded, why, and what to do about it."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

MOST_MB = 200  # of one notebook; ten times what the longest lesson has with all its pictures


@dataclass(frozen=True)
class Broken:
    """Why a submission cannot be graded, and the way out."""

    reason: str
    way_out: str


def inspect(folder: Path, name: str) -> Broken | None:
    """Return what is wrong with a submission, or None; `name` is the file that the assignment asks for."""
    links = sorted(path.name for path in [folder, *folder.rglob("*")] if path.is_symlink())
    if links:
        return Broken(f"the file {links[0]!r} is a link to another file", "ask the student for the file itself")
    path = folder / name
    if not path.is_file():
        others = sorted(repr(p.relative_to(folder).as_posix()) for p in folder.rglob("*.ipynb"))
        there = f"there is {', '.join(others[:3])}" if others else "there is no notebook"
        return Broken(f"{name} is missing; {there}", f"if it is the right one under another name, rename it to {name}")
    size = path.stat().st_size
    again = "ask the student to open it in JupyterLab, save it, and hand it in again"
    if size == 0:
        return Broken(f"{name} is empty (0 bytes)", again)
    if size > MOST_MB * 2**20:
        way_out = "ask the student to clear all outputs, save, and hand it in again"
        return Broken(f"{name} has {size / 2**20:.0f} MB; at most {MOST_MB} MB are read", way_out)
    try:
        notebook = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # what is no UTF-8 is a ValueError too
        return Broken(f"{name} is not JSON ({type(error).__name__}: {str(error)[:80]})", again)
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        return Broken(f"{name} is JSON, but not a notebook of format 4: it has no list of cells", again)
    return None


def fingerprint(*places: Path, also: str = "") -> str:
    """Return a digest of files and folders by name and content, and of a text."""
    digest = hashlib.sha256(also.encode())
    for place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.is_file() and not path.is_symlink() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(place.parent)).encode())
                digest.update(hashlib.sha256(path.read_bytes()).digest())
            elif path.is_symlink():
                digest.update(f"{path.name} is a link".encode())
    return digest.hexdigest()
