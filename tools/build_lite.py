"""Build the part of the course that runs in a browser: JupyterLite, with quantlab in it.

    python tools/build_lite.py                 into build/lite; takes minutes, because the lessons are run
    python tools/build_lite.py 00 03           only those lessons, for a look
    python tools/build_lite.py --out folder

A lesson of Part I is on the site if at least half of its code cells run without what a browser lacks; `lite.pages`
finds that out by running it. Its other cells are shown with what they printed, and cannot be run. The exercises come
without solutions, and need numpy alone. What lessons read of real models comes as arrays, at most 5 MB a page.

Nothing is loaded from a network here. The reader's browser loads Python itself (Pyodide) from its CDN.
"""

import argparse
import html
import importlib
import json
import shutil
import sys
import tempfile
import tomllib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import nbformat

import quantlab
from build import BuildError
from build_site import PARTS, SiteError
from isolation import ROOT
from lite.packages import call, make_wheel, package_of, write_package
from lite.pages import Page, run, settle
from lite.shown import for_browser

TOOLS = Path(__file__).resolve().parent
PYODIDE = tomllib.loads((TOOLS / "lite" / "pyodide.toml").read_text(encoding="utf-8"))
PART = "I. The arithmetic"
ENOUGH = 0.5  # the share of a lesson's code cells that have to run
LIMIT = 5_000_000  # bytes of arrays for one page, compressed: what one waits for on a slow line
EXTENSIONS = ["@jupyterlite/pyodide-kernel-extension", "@jupyter-widgets/jupyterlab-manager"]
UNTESTED = (
    "These pages were tested on a machine, without what a browser lacks. Nobody has yet run them in a browser, because "
    "Python itself (Pyodide) is loaded from a network that was out of reach. If a cell prints something else than is "
    "stored, please report it."
)
NOTE = """\
> **In your browser.** {there} of the {all} code cells run here; the others are shown with what they printed on a
> machine. The first cell loads the packages. Your changes stay in this browser until you clear its data; the progress
> of exercises is forgotten with the page. {untested}"""
INSTALL = """\
# In the browser nothing is installed: this loads what the page needs, and takes a while.
import sys

if sys.platform == "emscripten":
    import piplite

    await piplite.install({packages})
"""
REPLAY = """
import {package}

{package}.replay()  # the arrays of real models that this page asks for, in place of the models
"""
INDEX = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>quantlab in your browser</title>
<!-- JupyterLite's own pages read this tag of the first page. -->
<script id="jupyter-config-data" type="application/json" data-jupyter-lite-root=".">{{}}</script>
<style>body {{ max-width: 44em; margin: 2em auto; padding: 0 1em; font: 1.05em/1.5 sans-serif }}</style>
<h1>quantlab in your browser</h1>
<p>Part I of the course, to run without installing anything. Python runs in the browser itself; a page loads it, 12 MB,
and the packages that it needs from the network of its makers.</p>
<p><strong>What was not tested.</strong> {untested}</p>
<h2>Lessons and exercises</h2>
<ul>
{entries}
</ul>
<p>A lesson is here if at least half of its code cells run without PyTorch, ONNX, LiteRT, measured times and whole model
files. The cells that do not are shown with what they printed on a machine. The arrays of EfficientNet-Lite0 and
all-MiniLM-L6-v2 that come with the pages are under the licence Apache-2.0.</p>
</html>
"""


def check_tools() -> None:
    """Refuse to build with a kernel of whose packages `lite/pyodide.toml` knows nothing."""
    try:
        found = importlib.import_module("jupyterlite_pyodide_kernel.constants").PYODIDE_VERSION
    except ImportError:
        raise SiteError("JupyterLite is not installed; run make lite") from None
    if found != PYODIDE["version"]:
        raise SiteError(
            f"the installed kernel is Pyodide {found}, and tools/lite/pyodide.toml is about {PYODIDE['version']}; "
            "bring that file up to date, as its first lines say"
        )


def pages_of(root: Path, numbers: list[str]) -> list[Page]:
    """The lessons of Part I and their exercises, in order; only some of them if there are `numbers`."""
    known = [f"{number:02d}" for number in PARTS[PART]]
    if unknown := set(numbers) - set(known):
        raise SiteError(f"{', '.join(sorted(unknown))} is not of Part I; its lessons are {', '.join(known)}")
    paths = [
        path
        for number in numbers or known
        for pattern in [f"notebooks/{number}_*.ipynb", f"exercises/{number}_*/{number}_*.ipynb"]
        for path in sorted(root.glob(pattern))
    ]
    return [Page(path.relative_to(root), nbformat.read(path, as_version=4)) for path in paths]


def find_out(page: Page, *, library: Path, folder: Path) -> Page:
    """Store what a page asks of real models, then settle which of its cells run without them."""
    arrays = str(arrays_of(page, folder))
    begin = f"import sys\nsys.path[:0] = {[str(library), str(TOOLS)]}\n"
    sources = [page.notebook.cells[i].source for i in page.code]
    save = f"recorder.save(found, {arrays!r}, limit={LIMIT})"
    if any(name in source for source in sources for name in ["models.", "minilm."]):
        record = f"{begin}from lite import recorder\nfound = recorder.record()"
        run([*sources, save], folder / page.name, before=record)
    packages, modules = PYODIDE["packages"], PYODIDE["modules"]
    before = (
        f"{begin}from lite import browser\n"
        f"asked_for = browser.leave_only({packages}, {modules}, own=['lite', 'quantlab'])\n"
        f"from pathlib import Path\nfrom lite import arrays\narrays.FILE, given = Path({arrays!r}), set()\n"
        "arrays.replay(given.add)\n"
        # What a cell says there on stderr then counts as another output than the stored one.
        "sys.stderr = sys.stdout"
    )
    report = f"{{'packages': browser.used({packages}, asked_for), 'arrays': sorted(given)}}"
    return settle(page, folder, before=before, after=f"import json\nprint(json.dumps({report}))")


def arrays_of(page: Page, folder: Path) -> Path:
    return folder / f"{package_of(page.name)}.npz"


def gather(pages: list[Page], folder: Path) -> tuple[Path, list[Path]]:
    """Write the pages that have enough to run, and the wheels for them; return the folder and the wheels."""
    contents, wheels = folder / "contents", folder / "wheels"
    wheels.mkdir()
    on_site = {page.name for page in pages if page.share >= ENOUGH}
    made = [make_wheel(ROOT, wheels)]
    for page in pages:
        if page.name not in on_site:
            continue
        needs, replay = ["quantlab", *page.report["packages"]], ""
        if page.report["arrays"]:
            package = package_of(page.name)
            names, file = page.report["arrays"], arrays_of(page, folder / "run")
            made.append(make_wheel(write_package(page.name, file, names, quantlab.__version__, folder), wheels))
            needs, replay = [*needs, package.replace("_", "-")], REPLAY.format(package=package)
        counts = {"there": len(page.code) - len(page.out), "all": len(page.code)}
        note = NOTE.format(untested=UNTESTED, **counts)
        target = contents / page.name
        target.parent.mkdir(parents=True, exist_ok=True)
        made_page = for_browser(page, note, INSTALL.format(packages=needs) + replay, on_site)
        # Not with nbformat.write: it cuts texts into lists of lines, which JupyterLite shows with commas between them.
        target.write_text(json.dumps(made_page, indent=1, ensure_ascii=False), encoding="utf-8")
    return contents, made


def index(pages: list[Page]) -> str:
    """The site's first page: every lesson and exercise of Part I, with how much of it runs, or why it is not there."""
    entries = []
    for page in pages:
        title = html.escape(page.notebook.cells[0].source.splitlines()[0].lstrip("# "))
        there = f"{len(page.code) - len(page.out)} of {len(page.code)} code cells run"
        if page.share >= ENOUGH:
            entries.append(f'<li><a href="lab/index.html?path={page.name.as_posix()}">{title}</a>: {there}</li>')
        else:
            entries.append(f"<li>{title}: not here, because only {there}</li>")
    return INDEX.format(untested=UNTESTED, entries="\n".join(entries))


def build(out: Path, numbers: list[str], *, jobs: int) -> list[Page]:
    """Build the site into `out`, which is emptied if such a site is in it."""
    if out.exists() and any(out.iterdir()) and not (out / "jupyter-lite.json").exists():
        raise SiteError(f"{out} holds something that is no such site; name an empty folder with --out")
    check_tools()
    pages = pages_of(ROOT, numbers)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "library").mkdir()
        shutil.unpack_archive(make_wheel(ROOT, folder), folder / "library", "zip")
        # Processes, because kernels that one process starts at the same time take each other's ports.
        with ProcessPoolExecutor(jobs) as pool:
            pages = list(pool.map(partial(find_out, library=folder / "library", folder=folder / "run"), pages))
        contents, wheels = gather(pages, folder)
        extensions = Path(sys.prefix, "share", "jupyter", "labextensions")
        settings = {
            "LiteBuildConfig": {
                "contents": [str(contents)],
                "federated_extensions": [str(extensions / name) for name in EXTENSIONS],
                "ignore_sys_prefix": ["federated_extensions"],
                "no_sourcemaps": True,
                "no_unused_shared_packages": True,
                "output_dir": str(out),
            },
            "PipliteAddon": {"piplite_urls": [str(wheel) for wheel in wheels]},
        }
        (folder / "site").mkdir()
        (folder / "site" / "jupyter_lite_config.json").write_text(json.dumps(settings), encoding="utf-8")
        shutil.rmtree(out, ignore_errors=True)
        call(["jupyterlite_core", "build"], cwd=folder / "site")  # where it also keeps a list of what it did
        (out / "index.html").write_text(index(pages), encoding="utf-8")
    return pages


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="two digits each, such as 03; none means all of Part I")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "lite", help="default: build/lite")
    parser.add_argument("--jobs", type=int, default=2, help="how many lessons to run at a time (default 2)")
    arguments = parser.parse_args(argv)
    out = arguments.out.absolute()
    try:
        pages = build(out, arguments.numbers, jobs=arguments.jobs)
    except (SiteError, BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    for page in pages:
        verdict = "" if page.share >= ENOUGH else "; too few, left out"
        print(f"{page.name.as_posix()}: {len(page.code) - len(page.out)} of {len(page.code)} code cells{verdict}")
    print(f"serve {out} (python -m http.server -d {out}), or put it on a web server")
    return 0


if __name__ == "__main__":
    sys.exit(main())
