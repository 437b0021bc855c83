"""Run every notebook and compare each output with the stored one (nbval, strict).

    python tools/compare.py                 all lessons, solutions and exercises, two at a time
    python tools/compare.py --jobs 1        one at a time
    python tools/compare.py notebooks/03_map_reals_to_integers.ipynb

Each notebook gets a process and surroundings of its own, so that no notebook sees what another one left. The time that
it may take is meant for a machine to itself: one that takes longer beside others runs once more alone, and that counts.
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
    same: bool
    seconds: float
    report: str

    @property
    def limit(self) -> int:
        """The seconds that this notebook may take."""
        return LONG.get(self.notebook.name[:2], LIMIT)

    @property
    def late(self) -> bool:
        """Whether it gave the stored outputs, too slowly."""
        return self.same and self.seconds > self.limit

    @property
    def ok(self) -> bool:
        """Whether it gave the stored outputs in time."""
        return self.same and not self.late

    def text(self) -> str:
        """One line, and what went wrong."""
        name = self.notebook.relative_to(ROOT) if self.notebook.is_relative_to(ROOT) else self.notebook
        line = f"{'ok    ' if self.ok else 'FAILED'} {self.seconds:5.1f} s  {name}"
        if self.late:
            return f"{line}\nall outputs are as stored, but it took more than {self.limit} seconds\n"
        return line if self.ok else f"{line}\n{self.report}"


def compare(notebook: Path) -> Result:
    """Run one notebook under nbval; no cell compared counts as a failure."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", *NBVAL, str(notebook)]
        environment = isolated_environment(Path(folder))
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    seconds = time.monotonic() - start
    return Result(notebook, done.returncode == 0, seconds, done.stdout + done.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="none means all")
    parser.add_argument("--jobs", type=int, default=2, help="how many at a time (default 2)")
    arguments = parser.parse_args()
    notebooks = [path.absolute() for path in arguments.notebooks] or built_notebooks()
    if not notebooks:
        print("There is no notebook to compare: run make build first.", file=sys.stderr)
        return 1
    failed, late = 0, []
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for future in as_completed([pool.submit(compare, path) for path in notebooks]):
            result = future.result()
            if result.late and arguments.jobs > 1:
                late.append(result.notebook)
                continue
            failed += not result.ok
            print(result.text(), flush=True)
    for result in map(compare, late):
        failed += not result.ok
        print(result.text(), flush=True)
    print(f"{len(notebooks) - failed} of {len(notebooks)} notebooks gave the stored outputs")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
