"""Write the exact version of everything that pyproject.toml leads to, as installed here, into two files.

    python tools/pin.py

constraints.txt has the whole closure, for pip; environment.yml has the direct dependencies, for conda and Binder. Run
it after a deliberate upgrade of .venv, then `make test`. A package that was installed for a trial does not slip in.
Local version suffixes are dropped (torch's `+cpu`), so that any index can serve the files.
"""

import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent

# The same package under the name that it has on the other systems: same version.
TWINS = {"tensorflow": "tensorflow-cpu"}

CONSTRAINTS = """\
# Written by tools/pin.py: everything that pyproject.toml leads to, as it was installed when the tests last passed.
{pins}
"""

ENVIRONMENT = """\
# Written by tools/pin.py for conda and for Binder: what pyproject.toml asks for, at the versions of constraints.txt.
#
#     conda env create -f environment.yml
#     conda activate quantlab
#     bash postBuild          # two real models; Binder runs this by itself
#     jupyter lab notebooks/00_start_here.ipynb
name: quantlab
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip>=25.1
  - make
  - pip:
      - --constraint constraints.txt
      - --editable .
{pins}
"""


def declared(pyproject: Path = ROOT / "pyproject.toml") -> dict[str, list[Requirement]]:
    """Requirements of pyproject.toml by group: `quantlab` itself, its extras, and the dependency groups."""
    data = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    project = data["project"]
    groups = {"quantlab": project["dependencies"], **project["optional-dependencies"], **data["dependency-groups"]}
    return {name: [Requirement(line) for line in lines] for name, lines in groups.items()}


def closure(requirements: list[Requirement], *, without_dependencies: set[str]) -> dict[str, str]:
    """Names and versions of all installed packages that the requirements lead to on this machine."""
    found: dict[str, str] = {}
    todo = [(requirement, "") for requirement in requirements]
    visited = set()
    while todo:
        requirement, extra = todo.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
            continue
        if (name, frozenset(requirement.extras)) in visited:
            continue
        visited.add((name, frozenset(requirement.extras)))
        try:
            package = distribution(requirement.name)
        except PackageNotFoundError:
            raise SystemExit(f"{requirement} is not installed here: install it first, then pin") from None
        found[name] = Version(package.version).public
        if name not in without_dependencies:
            children = [Requirement(line) for line in package.requires or []]
            todo += [(child, wanted) for child in children for wanted in (requirement.extras or {""})]
    return found


def pins_of(groups: dict[str, list[Requirement]]) -> dict[str, str]:
    """Name and version of everything that the project leads to, with pip itself and the twins on other systems."""
    requirements = [requirement for group in groups.values() for requirement in group] + [Requirement("pip")]
    models = {canonicalize_name(requirement.name) for requirement in groups["models"]}
    pins = closure(requirements, without_dependencies=models)
    return pins | {twin: pins[name] for twin, name in TWINS.items() if name in pins}


def constraints(pins: dict[str, str]) -> str:
    """The text of constraints.txt."""
    return CONSTRAINTS.format(pins="\n".join(f"{name}=={version}" for name, version in sorted(pins.items())))


def environment(groups: dict[str, list[Requirement]], pins: dict[str, str]) -> str:
    """The text of environment.yml; not the models (postBuild installs them, without
    dependencies) and not what only the site or the pages for the browser need."""
    direct = sorted(
        (requirement.name, requirement.marker)
        for name, group in groups.items()
        for requirement in group
        if name not in ("models", "site", "lite")
    )
    lines = [
        f"      - {name}=={pins[canonicalize_name(name)]}" + (f" ; {marker}" if marker else "")
        for name, marker in direct
    ]
    return ENVIRONMENT.format(pins="\n".join(lines))


def main() -> None:
    groups = declared()
    pins = pins_of(groups)
    (ROOT / "constraints.txt").write_text(constraints(pins), encoding="utf-8")
    (ROOT / "environment.yml").write_text(environment(groups, pins), encoding="utf-8")
    print(f"{len(pins)} packages pinned with Python {sys.version_info.major}.{sys.version_info.minor}")


if __name__ == "__main__":
    main()
