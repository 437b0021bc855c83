"""Runs inside a kernel on an ordinary machine, and takes away what a kernel in the browser does not have.

Packages that Pyodide lacks cannot be imported and are not found installed; no process can be started; a time cannot be
measured. The last is a choice: Pyodide has clocks, but without BLAS and with one thread they would say
nothing about the reader's machine.

The kernel itself was loaded before and keeps what it needs (zmq, tornado, psutil); no lesson may rely on these.
"""

import importlib.metadata
import subprocess
import sys
import timeit
from importlib.abc import MetaPathFinder

NO_TIMES = "what it shows in the browser says nothing about a machine"


class Absent(MetaPathFinder):
    """Asked before all other finders; refuses what is not `present`."""

    def __init__(self, present: set[str]):
        self.present = present

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in self.present:
            raise ModuleNotFoundError(f"No module named {top!r} in the browser", name=top)
        return None


def leave_only(packages: dict[str, str], modules: dict[str, list[str]], own: list[str]) -> set[str]:
    """Let only these packages (import name by distribution), and the standard library, be found from now on.

    Returns the set, filled later, of the packages whose files are asked for without an import.

    `modules` has what the packages need (``beneath``) and what the standard library lacks (``missing``); `own` are
    the names of what comes with the site.
    """
    present = {*sys.stdlib_module_names, *packages.values(), *modules["beneath"], *own} - set(modules["missing"])
    # The kernel goes on to import parts of its own packages; without them it sends broken messages.
    kernel = {name.partition(".")[0] for name in sys.modules}
    sys.meta_path.insert(0, Absent(present | kernel))
    installed, asked = importlib.metadata.distribution, set()

    def distribution(name: str) -> importlib.metadata.Distribution:
        name = name.lower().replace("_", "-")
        if name not in packages:
            raise importlib.metadata.PackageNotFoundError(name)
        asked.add(name)
        return installed(name)

    importlib.metadata.distribution = distribution
    subprocess.Popen = refusing(OSError("emscripten does not support processes."))
    timeit.Timer.timeit = refusing(RuntimeError(NO_TIMES))
    return asked


def refusing(error: Exception):
    def refuse(*args, **kwargs):
        raise error

    return refuse


def used(packages: dict[str, str], asked: set[str]) -> list[str]:
    """The packages of which something was imported or asked for."""
    return sorted({name for name, module in packages.items() if module in sys.modules} | asked)
