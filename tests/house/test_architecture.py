"""A room of quantlab knows only the rooms below it, and the mathematics needs numpy alone."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from isolation import ROOT

# From the ground up. The package itself, which re-exports the mathematics, stands between it and the lab.
ROOMS = ["core", "formats", "integer", "nn", "qat", "ptq", "mixed", "llm", "quantlab", "lab", "cli", "__main__"]
# What a room may use beside the standard library: anywhere in its modules, and, beside that, only inside a function.
# The mathematics takes numpy at once; where it says so, scipy and the schema of .tflite files when they are called.
AT_ONCE = {"lab": {"numpy", "matplotlib", "IPython", "ipywidgets"}}
LAZILY = {"integer": {"tflite"}, "ptq": {"scipy"}, "mixed": {"scipy"}}
ANYTHING_LAZILY = {"lab", "cli"}
# A file that is named after a tool (qat/pytorch.py, lab/minilm_torch.py, lab/minilm_onnx.py) is written in that tool.
# It may import it at once, and only a file of the same kind may import such a file at once.
TOOLS = {"torch": {"torch", "torchao"}, "onnx": {"onnx", "onnxruntime"}}


def tools_of(stem: str) -> set[str]:
    """The packages that a file of this name may import at once, because it is named after them."""
    return set().union(*(packages for tool, packages in TOOLS.items() if tool in stem))


def modules(root: Path) -> Iterator[tuple[Path, str]]:
    """Every module of the package and the room that it is in."""
    for path in sorted((root / "quantlab").rglob("*.py")):
        first = path.relative_to(root / "quantlab").parts[0]
        yield path, "quantlab" if first == "__init__.py" else first.removesuffix(".py")


def imports(tree: ast.AST, package: str) -> Iterator[tuple[str, int, bool]]:
    """All imported names as (dotted name, line, whether a function must be called for it), relative ones resolved."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[tuple[str, int, bool]]:
        for child in ast.iter_child_nodes(node):
            inside = lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            if isinstance(child, ast.Import):
                yield from ((alias.name, child.lineno, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = child.module or ""
                if child.level:
                    parents = package.split(".")[: len(package.split(".")) - child.level + 1]
                    base = ".".join([*parents, base]).rstrip(".")
                yield from ((f"{base}.{alias.name}", child.lineno, inside) for alias in child.names)
            else:
                yield from walk(child, inside)

    return walk(tree, False)


def violations(root: Path) -> list[str]:
    """One line for each arrow that points up, and each package that a room may not use."""
    found = []
    rooms = {room for _, room in modules(root)}
    for path, room in modules(root):
        if room not in ROOMS:
            found.append(f"{path.relative_to(root)}: {room!r} is no room of the house; put it into ROOMS in its place")
            continue
        relative = path.relative_to(root).with_suffix("")
        package = ".".join(relative.parent.parts)
        for name, line, lazy in imports(ast.parse(path.read_text(encoding="utf-8")), package):
            where = f"{path.relative_to(root)}:{line}"
            top, _, rest = name.partition(".")
            if top == "quantlab":
                target = rest.partition(".")[0]
                target = target if target in rooms else "quantlab"
                if ROOMS.index(target) > ROOMS.index(room):
                    found.append(f"{where}: {room} imports {name}, a room above it")
                if not lazy and not set().union(*map(tools_of, name.split("."))) <= tools_of(path.stem):
                    found.append(f"{where}: imports {name}, which loads a tool, at once; import it in a function")
            elif top not in sys.stdlib_module_names and not (lazy and room in ANYTHING_LAZILY):
                allowed = (
                    AT_ONCE.get(room, {"numpy"}) | tools_of(path.stem) | (LAZILY.get(room, set()) if lazy else set())
                )
                if top not in allowed:
                    found.append(f"{where}: {room} imports {top}; it may use {', '.join(sorted(allowed))}")
    return found


def test_no_arrow_points_up():
    assert violations(ROOT) == []


@pytest.mark.parametrize(
    ("module", "line", "complaint"),
    [
        ("core/grid.py", "from quantlab.formats import packing", "core imports quantlab.formats.packing, a room above"),
        ("core/grid.py", "from quantlab import formats", "core imports quantlab.formats, a room above"),
        ("core/grid.py", "from ..formats.packing import pack", "core imports quantlab.formats.packing.pack, a room"),
        ("core/grid.py", "def f():\n    import quantlab.lab", "core imports quantlab.lab, a room above"),
        ("core/grid.py", "from quantlab import Grid", "core imports quantlab.Grid, a room above"),
        ("core/grid.py", "def f():\n    import torch", "core imports torch"),
        ("__init__.py", "from quantlab.lab import check", "quantlab imports quantlab.lab.check, a room above"),
        ("integer/run.py", "import tflite", "integer imports tflite"),
        ("integer/run.py", "def f():\n    import torch", "integer imports torch; it may use numpy, tflite"),
        ("lab/data.py", "import tensorflow as tf", "lab imports tensorflow"),
        ("lab/net_torch.py", "import onnx", "lab imports onnx; it may use"),
        ("lab/data.py", "from quantlab.lab.net_torch import Net", "imports quantlab.lab.net_torch.Net, which loads a"),
        ("attic/box.py", "", "'attic' is no room"),
    ],
)
def test_a_violation_is_found(tmp_path, module, line, complaint):
    for name in ["__init__.py", "core/grid.py", "formats/packing.py", "lab/data.py"]:
        path = tmp_path / "quantlab" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("import numpy as np\n")
    assert violations(tmp_path) == []
    path = tmp_path / "quantlab" / module
    path.parent.mkdir(exist_ok=True)
    path.write_text(line + "\n")
    (found,) = violations(tmp_path)
    assert complaint in found


def test_what_points_down_is_free(tmp_path):
    for name, line in {
        "__init__.py": "from quantlab.core.grid import Grid",
        "core/grid.py": "from quantlab.core import affine",
        "core/affine.py": "",
        "formats/packing.py": "from ..core import grid\nfrom . import minifloat",
        "formats/minifloat.py": "from quantlab.core.grid import Grid",
        "integer/run.py": "def f():\n    import tflite",
        "lab/data.py": "from quantlab import Grid\ndef f():\n    import torch",
        "lab/net_torch.py": "import torch",
        "lab/train_torch.py": "from quantlab.lab.net_torch import Net",
    }.items():
        path = tmp_path / "quantlab" / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(line + "\n")
    assert violations(tmp_path) == []


def test_quantlab_loads_nothing_but_numpy():
    """Asked of the interpreter, because a walk over the text does not see an import by name.

    What an empty interpreter loads is subtracted: an editable installation may load a finder of its own.
    """
    loaded = "import sys; print(*{name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names))"
    runs = [
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
        for code in [loaded, f"import quantlab; {loaded}"]
    ]
    extra = {name for name in set(runs[1]) - set(runs[0]) if not name.startswith("_")}
    assert extra == {"numpy", "quantlab"}


def test_no_module_is_empty():
    assert [str(path) for path, _ in modules(ROOT) if not path.read_text(encoding="utf-8").strip()] == []
