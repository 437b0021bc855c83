"""Opening a notebook of the course in JupyterLab: in one that runs already, or else in a new one."""

import importlib.util
import os
import subprocess
import sys
import webbrowser
from pathlib import Path
from urllib.parse import quote


def open_page(notebook: Path, *, root: Path) -> int:
    """Open ``notebook`` and return the exit code. A new JupyterLab stays in the foreground until it is stopped.

    Its root is the course folder, so that links from exercises to lessons lead somewhere. A server that was started
    in the course folder or in one above it (by ``make lab``, or on a hub) is used instead of a second one.
    """
    if importlib.util.find_spec("jupyterlab") is None:
        print(f"JupyterLab is not installed here, so open it yourself: {notebook}")
        return 1
    for server in _running():
        folder = Path(server["root_dir"])
        if notebook.is_relative_to(folder):
            address = f"{server['url']}lab/tree/{quote(notebook.relative_to(folder).as_posix())}"
            if not webbrowser.open(address + (f"?token={server['token']}" if server.get("token") else "")):
                print(f"open it in the JupyterLab that runs already: {notebook.relative_to(folder)}")
            return 0
    print("opening it in JupyterLab; to stop that, press Ctrl-C here", flush=True)
    page = f"--LabApp.default_url=/lab/tree/{quote(notebook.relative_to(root).as_posix())}"
    user_is_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [
        sys.executable,
        "-m",
        "jupyterlab",
        page,
        "--log-level=WARN",
        "--LanguageServerManager.autodetect=False",
        *user_is_root,
    ]
    try:
        return subprocess.run(command, cwd=root).returncode
    except KeyboardInterrupt:
        return 0


def _running() -> list[dict]:
    """Return what is known of the Jupyter servers that run on this machine under this user."""
    from jupyter_server.serverapp import list_running_servers

    return list(list_running_servers())
