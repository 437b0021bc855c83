"""Run every notebook and compare each output with the stored one (nbval, strict).

    python tools/compare.py                 all lessons, solutions and exercises, two at a time
    python tools/compare.py --jobs 1        one at a time
    python tools/compare.py notebooks/03_map_reals_to_integers.ipynb

Each notebook gets a process and surroundings of its own, so that no notebook sees what another one left.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from build import CELL_TIMEOUT, built_notebooks
from isolation import ROOT, isolated_environment

# nbval alone: none of the settings that are meant for the project's own tests.
NBVAL = [
    *("--override-ini", "addopts=", "--override-ini", "filterwarnings=", "-p", "no:cacheprovider"),
    *("--nbval", "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}"),
    f"--nbval-sanitize-with={ROOT / 'tests' / 'sanitize.cfg'}",
    "--quiet",
]

# What a lesson may take, in seconds; the few that work on whole networks are named in the syllabus.
LIMIT = 60
LONG = {"09": 120, "17": 120, "19": 120}


@dataclass(frozen=True)
class Result:
    """What came of one notebook: whether all outputs are the stored ones, how long it took, and what nbval said."""

    notebook: Path
    ok: bool
    seconds: float
    report: str


def compare(notebook: Path) -> Result:
    """Run one notebook under nbval; no cell compared counts as a failure."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", *NBVAL, str(notebook)]
        environment = isolated_environment(Path(folder))
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    seconds = time.monotonic() - start
    ok, report = done.returncode == 0, done.stdout + done.stderr
    limit = LONG.get(notebook.name[:2], LIMIT)
    if ok and seconds > limit:
        ok, report = False, f"all outputs are as stored, but it took more than {limit} seconds\n"
    return Result(notebook, ok, seconds, report)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="none means all")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default 2)")
    arguments = parser.parse_args()
    notebooks = [path.absolute() for path in arguments.notebooks] or built_notebooks()
    if not notebooks:
        print("There is no notebook to compare: run make build first.", file=sys.stderr)
        return 1
    failed = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for future in as_completed([pool.submit(compare, path) for path in notebooks]):
            result = future.result()
            failed += not result.ok
            name = result.notebook.relative_to(ROOT) if result.notebook.is_relative_to(ROOT) else result.notebook
            print(f"{'ok    ' if result.ok else 'FAILED'} {result.seconds:5.1f} s  {name}", flush=True)
            if not result.ok:
                print(result.report, flush=True)
    print(f"{len(notebooks) - failed} of {len(notebooks)} notebooks gave the stored outputs")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
