"""Build the static site: lessons with their outputs, exercises, the pages of docs/, and the API reference.

    python tools/build_site.py                 into build/site
    python tools/build_site.py --out folder

The pages are gathered in a temporary folder first, with the folders of the repository, so that the links between
lessons and exercises hold. There the pictures get the alternative text that their outputs carry, where the site's tool
looks for it; the stored notebooks stay as they are. Nothing is run, and nothing is loaded from a network.
"""

import argparse
import ast
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from isolation import ROOT

PARTS = {
    "I. The arithmetic": range(0, 8),
    "II. Quantization after training": range(8, 12),
    "III. Training with quantization": range(12, 14),
    "IV. Mixed precision and architecture": range(14, 17),
    "V. Language models": range(17, 23),
    "VI. Deployment": range(23, 100),
}
ROOMS = ["core", "formats", "integer", "nn", "qat", "ptq", "mixed", "llm", "lab"]
# Checks tell a reader what an answer must be; they are no reference.
NO_REFERENCE = re.compile(r"quantlab\.lab\.checks\.((pictures\.)?lesson_\d\d|pictures|proof)|.*__main__")
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


class SiteError(Exception):
    """Something that the site cannot show; the message says what, and what to do."""


def gather(root: Path, to: Path) -> None:
    """Copy everything that becomes a page of the site into the folder `to`, which must be empty or absent."""
    shutil.copytree(root / "docs", to, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    pages = sorted(root.glob("notebooks/[0-9][0-9]_*.ipynb")) + sorted(root.glob("exercises/*/[0-9][0-9]_*.ipynb"))
    for page in pages:
        target = to / page.relative_to(root)
        target.parent.mkdir(parents=True, exist_ok=True)
        nbformat.write(for_site(nbformat.read(page, as_version=4), page.relative_to(root)), target)
    write_reference(root, to)
    index = to / "index.md"
    index.write_text(index.read_text(encoding="utf-8") + contents(root, to), encoding="utf-8")
    for page in to.rglob("*.md"):
        page.write_text(without_dead_links(page, root, to), encoding="utf-8")


def for_site(notebook: nbformat.NotebookNode, name: Path) -> nbformat.NotebookNode:
    """The notebook with each picture's alternative text where myst-nb reads it: one a cell."""
    for index, cell in enumerate(notebook.cells, start=1):
        texts = [
            output.metadata.get("image/png", {}).get("alt", "")
            for output in cell.get("outputs", [])
            if "image/png" in output.get("data", {})
        ]
        if len(texts) > 1 or "" in texts:
            raise SiteError(
                f"{name}, cell {index} shows {len(texts)} pictures, with alternative texts {texts}: one a cell"
            )
        if texts:
            cell.metadata["mystnb"] = {"image": {"alt": texts[0]}}
    return notebook


def contents(root: Path, to: Path) -> str:
    """The table of contents for the end of the first page: lessons and their exercises in turn, part by part."""
    blocks = []
    for caption, numbers in PARTS.items():
        entries = []
        for number in numbers:
            for page in sorted(root.glob(f"notebooks/{number:02d}_*.ipynb")):
                entries += [f"notebooks/{page.stem}"]
                entries += [f"exercises/{page.stem}/{page.stem}"] * (root / "exercises" / page.stem).exists()
        if entries:
            blocks.append((f"Part {caption}", entries))
    beside = [name for name in ["instructors", "glossary", "api/index"] if list(to.glob(f"{name}.*"))]
    blocks.append(("Beside the lessons", beside))
    trees = (
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *entries, "```", ""])
        for caption, entries in blocks
    )
    return "\n" + "\n".join(trees)


def write_reference(root: Path, to: Path) -> None:
    """Write one page for each room, with a section for each of its modules that defines something."""
    folder = to / "api"
    folder.mkdir()
    rooms = [room for room in ROOMS if (root / "quantlab" / room / "__init__.py").exists()]
    for room in rooms:
        text = heading(f"quantlab.{room}", "=") + f".. automodule:: quantlab.{room}\n"
        for path in sorted((root / "quantlab" / room).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            if name != f"quantlab.{room}" and not NO_REFERENCE.fullmatch(name) and has_content(path):
                text += "\n" + heading(name, "-") + f".. automodule:: {name}\n   :members:\n"
        (folder / f"{room}.rst").write_text(text, encoding="utf-8")
    intro = "What the docstrings say, room by room; a room uses only the rooms above it.\n\n"
    names = ".. toctree::\n   :maxdepth: 1\n\n" + "".join(f"   {room}\n" for room in rooms)
    (folder / "index.rst").write_text(heading("API reference", "=") + intro + names, encoding="utf-8")


def has_content(path: Path) -> bool:
    """Whether a module defines something; one that only re-exports has its contents on other pages."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in tree.body)


def heading(title: str, line: str) -> str:
    return f"{title}\n{line * len(title)}\n\n"


def without_dead_links(page: Path, root: Path, to: Path) -> str:
    """The text of a page, where a link to a file of the repository that the site does not have is only its name."""

    def link(match: re.Match) -> str:
        target = (page.parent / match[2]).resolve()
        if target.is_relative_to(to.resolve()) and target.exists():
            return match[0]
        in_repository = (root / "docs" / page.relative_to(to).parent / match[2]).resolve()
        if not in_repository.exists():
            raise SiteError(f"docs/{page.relative_to(to)} links to {match[2]}, which is neither a page nor a file")
        return f"{match[1]} (`{in_repository.relative_to(root)}`)" if match[1] != match[2] else f"`{match[1]}`"

    return LINK.sub(link, page.read_text(encoding="utf-8"))


def build(out: Path, *, root: Path = ROOT) -> int:
    """Build the site into `out`, in place of a site that is there; a warning is an error, and then nothing changes."""
    if out.exists() and any(out.iterdir()) and not (out / ".buildinfo").exists():
        raise SiteError(f"{out} holds something that is no site; name an empty folder with --out")
    with tempfile.TemporaryDirectory() as folder:
        gather(root, Path(folder, "pages"))
        # Not built in place: myst-nb leaves a folder of pictures beside what it builds.
        made = Path(folder, "site")
        command = [sys.executable, "-m", "sphinx", "--builder", "html", "--fail-on-warning", "--keep-going", "--quiet"]
        command += ["--doctree-dir", str(Path(folder, "doctrees")), str(Path(folder, "pages")), str(made)]
        code = subprocess.run(command, cwd=root).returncode
        if code == 0:
            shutil.rmtree(out, ignore_errors=True)
            shutil.move(made, out)
    return code


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="default: build/site")
    out = parser.parse_args(argv).out.absolute()
    try:
        code = build(out)
    except SiteError as error:
        print(error, file=sys.stderr)
        return 1
    if code == 0:
        print(f"{len(list(out.rglob('*.html')))} pages; open {out / 'index.html'}")
    return code


if __name__ == "__main__":
    sys.exit(main())
