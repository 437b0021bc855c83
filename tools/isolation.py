"""The surroundings in which the tools run notebooks: the same on every machine, and nothing of the user's."""

import functools
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Several kernels run side by side, and a sum should keep the order of its terms.
ONE_THREAD = {
    name: "1" for name in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"]
}


def isolated_environment(folder: Path) -> dict[str, str]:
    """Environment variables for a kernel whose traces (progress, history, sockets) all end up in `folder`."""
    return {
        **os.environ,
        **ONE_THREAD,
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": str(font_cache()),
        "PYTHONHASHSEED": "0",
        "QUANTLAB_PROGRESS": str(folder / "progress.json"),
    }


@functools.cache
def font_cache() -> Path:
    """Matplotlib's folder, filled before a kernel needs it.

    Filling it takes long enough for matplotlib to say so on stderr, which in a notebook is an error.
    """
    folder = ROOT / ".cache" / "matplotlib"
    environment = {**os.environ, "MPLCONFIGDIR": str(folder)}
    command = [sys.executable, "-c", "import matplotlib.font_manager"]
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return folder
