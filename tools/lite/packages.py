"""Wheels for the browser: quantlab's own, and one for each page that asks for arrays of real models."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from build_site import SiteError
from isolation import ROOT

ARRAYS = Path(__file__).with_name("arrays.py")
PROJECT = """\
[build-system]
requires = ["flit_core"]
build-backend = "flit_core.buildapi"

[project]
name = "{name}"
version = "{version}"
description = "Arrays of EfficientNet-Lite0 and all-MiniLM-L6-v2 that a page of the course quantlab uses, unchanged"
requires-python = ">=3.11"
license = "Apache-2.0"
license-files = ["LICENSE"]
dependencies = ["quantlab"]
"""


def call(command: list[str | Path], *, cwd: Path) -> None:
    """Run a Python module quietly in the folder `cwd`; if it fails, what it said is the error."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise SiteError(f"python -m {command[0]} failed:\n{done.stdout}")


def make_wheel(project: Path, wheels: Path) -> Path:
    """Build the wheel of a project into the folder `wheels`, which gets no other one meanwhile."""
    before = set(wheels.glob("*.whl"))
    call(["flit_core.wheel", "--outdir", wheels, project], cwd=wheels)
    (wheel,) = set(wheels.glob("*.whl")) - before
    return wheel


def package_of(page: Path) -> str:
    """The name of the package with a page's arrays: quantlab_notebooks_03."""
    return f"quantlab_{page.parts[0]}_{page.name[:2]}"


def write_package(page: Path, arrays: Path, names: list[str], version: str, to: Path) -> Path:
    """Write the project of a page's arrays into the folder `to`: those of the file `arrays` that have these `names`."""
    project = to / package_of(page)
    inside = project / package_of(page)
    inside.mkdir(parents=True)
    shutil.copy(ARRAYS, inside / "__init__.py")
    shutil.copy(ROOT / "LICENSE", project)
    (project / "pyproject.toml").write_text(PROJECT.format(name=package_of(page), version=version), encoding="utf-8")
    with np.load(arrays) as found:
        np.savez_compressed(inside / "arrays.npz", **{name: found[name] for name in names})
    return project
