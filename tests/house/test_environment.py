"""pyproject.toml, constraints.txt and environment.yml say the same, and everything that is imported is declared."""

import ast
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from isolation import ROOT
from pin import declared, pins_of

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
EXTRAS = PYPROJECT["project"]["optional-dependencies"]


def asked_for(*, models: bool) -> list[Requirement]:
    lines = [*PYPROJECT["project"]["dependencies"], *EXTRAS["course"], *EXTRAS["test"]]
    if models:
        lines += PYPROJECT["dependency-groups"]["models"]
    return [Requirement(line) for line in lines]


def pins() -> dict[str, Requirement]:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {canonicalize_name(Requirement(line).name): Requirement(line) for line in lines}


def conda() -> tuple[dict, list[str]]:
    """environment.yml, and the lines of its pip section."""
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (section,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    return environment, section


def version_of(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", f"{requirement} is not an exact version"
    return specifier.version


def test_quantlab_itself_needs_numpy_alone():
    assert [requirement.name for requirement in map(Requirement, PYPROJECT["project"]["dependencies"])] == ["numpy"]


def test_the_version_is_the_package_s():
    import quantlab

    assert quantlab.__version__ == PYPROJECT["project"]["version"]


@pytest.mark.parametrize("requirement", asked_for(models=True), ids=lambda requirement: requirement.name)
def test_every_dependency_is_pinned_within_its_bounds(requirement):
    pin = pins()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(version_of(pin))


def test_every_pin_is_exact_and_comes_from_any_index():
    for pin in pins().values():
        version = Version(version_of(pin))
        assert pin.url is None
        assert pin.marker is None
        assert version.local is None, f"{pin} exists on one index only"


def test_the_pins_are_what_runs_here():
    """A pin that nobody ran proves nothing. The packages of other systems are not installed here.

    Nor are those that `make site` or `make lite` alone needs, before it was called once.
    """
    from importlib.metadata import distributions

    installed = {}
    for found in distributions():  # the first one found counts: setuptools appends copies of its own to the path
        installed.setdefault(canonicalize_name(found.name), Version(found.version).public)
    here = {name: version_of(pin) for name, pin in pins().items()}
    groups = declared()
    for extra in ["site", "lite"]:
        if not {canonicalize_name(Requirement(line).name) for line in EXTRAS[extra]} <= set(installed):
            groups[extra] = []
    here = {name: here[name] for name in pins_of(groups)}
    elsewhere = {canonicalize_name(r.name) for r in asked_for(models=True) if r.marker and not r.marker.evaluate()}
    assert {name: installed.get(name) for name in here if name not in elsewhere} == {
        name: version for name, version in here.items() if name not in elsewhere
    }


def test_conda_gets_the_same_set():
    _, section = conda()
    listed = [Requirement(line) for line in section if not line.startswith("-")]
    want = {
        (canonicalize_name(r.name), str(r.marker)): pins()[canonicalize_name(r.name)] for r in asked_for(models=False)
    }
    assert {(canonicalize_name(r.name), str(r.marker)): version_of(r) for r in listed} == {
        key: version_of(pin) for key, pin in want.items()
    }
    assert len(listed) == len(want)


def test_conda_installs_the_package_under_the_constraints():
    environment, section = conda()
    assert {"--constraint constraints.txt", "--editable ."} <= set(section)
    python, pip = environment["dependencies"][:2]
    assert python == "python=3.11"
    # The first pip that knows --group, which postBuild uses.
    assert pip == "pip>=25.1"
    assert environment["channels"] == ["conda-forge"]


def test_python_of_conda_is_one_that_the_project_supports():
    (bound,) = Requirement(f"python{PYPROJECT['project']['requires-python']}").specifier
    assert (bound.operator, bound.version) == (">=", "3.11")


# A module that is not named after the distribution it comes in, where the distribution is not installed everywhere.
FROM = {"tensorflow": "tensorflow-cpu"}
# What stands in the folders that pytest puts on the path.
OURS = {path.stem for folder in ["", "tests", "tools"] for path in (ROOT / folder).iterdir()}


def imported(pattern: str) -> dict[str, str]:
    """Third-party modules that the files import, each with one file that does."""
    found = {}
    for path in ROOT.glob(pattern):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for name in names:
                top = name.partition(".")[0]
                if top not in sys.stdlib_module_names and top not in OURS:
                    found.setdefault(top, str(path.relative_to(ROOT)))
    return found


@pytest.mark.parametrize(
    "pattern",
    [
        "quantlab/**/*.py",
        "notebooks/src/*.py",
        "solutions/src/*.py",
        "tests/**/*.py",
        "tools/*.py",
        "benchmarks/**/*.py",
    ],
)
def test_what_is_imported_is_declared(pattern):
    declared = {canonicalize_name(requirement.name) for requirement in asked_for(models=True)}
    declared |= {canonicalize_name(Requirement(line).name) for extra in ["site", "lite"] for line in EXTRAS[extra]}
    # Jupyter's parts come with JupyterLab, and pytest's with pytest: always, and at versions that fit.
    declared |= {"ipython", "jupyter-client", "jupyter-core", "jupyter-server", "traitlets"}
    distributions = packages_distributions()
    for module, path in imported(pattern).items():
        sources = {canonicalize_name(name) for name in distributions.get(module, [FROM.get(module, module)])}
        assert sources & declared, f"{path} imports {module}, and pyproject.toml does not ask for {sources}"
