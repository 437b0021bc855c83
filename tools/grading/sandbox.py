"""The sandbox: a bubblewrap command that shows a kernel Python, the installed packages and quantlab, and nothing else.

No network, no other processes, no folder of the class or of the course; everything that is shown is read-only. What can
be written to lies in memory, is small, and is gone afterwards.
"""

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

from grading.limits import Limits
from isolation import ONE_THREAD, ROOT, font_cache

INSIDE = Path(__file__).resolve().parent / "inside"
FONTS = ROOT / ".cache" / "matplotlib"
HOME = "/home/student"
PROGRAM = "/grading/start.py"

INSTALL = """Student code is graded inside a sandbox, and the sandbox needs bubblewrap ({why}).
  Debian, Ubuntu:  sudo apt install bubblewrap
  Fedora:          sudo dnf install bubblewrap
  Arch:            sudo pacman -S bubblewrap
  macOS, Windows:  there is none; grade on Linux (a virtual machine or WSL 2 will do)
If it is installed and cannot start, the kernel forbids user namespaces. Ubuntu 24.04 and newer allow them
to bubblewrap through `sudo apt install apparmor-profiles` and the profile bwrap-userns-restrict; docker wants
`--security-opt seccomp=unconfined --security-opt apparmor=unconfined`.
To run code of people whom you trust without a sandbox, say so: --no-sandbox"""


class NoSandboxError(Exception):
    """There is no sandbox on this machine; the text says how to get one."""


@cache
def bubblewrap() -> str:
    """Return the path of bubblewrap after a sandbox was really started with it.

    Raises
    ------
    NoSandboxError
        If it is missing or cannot start; the text says how to install it.
    """
    program = shutil.which("bwrap")
    if program is None:
        raise NoSandboxError(INSTALL.format(why="the command bwrap was not found"))
    test = [program, "--unshare-all", "--die-with-parent", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
    done = subprocess.run([*test, "true"], capture_output=True, text=True)
    if done.returncode != 0:
        raise NoSandboxError(INSTALL.format(why=f"{program} could not start: {done.stderr.strip()}"))
    return program


def shown_folders() -> list[Path]:
    """Return what a kernel may read besides the system: the interpreter, the packages, quantlab."""
    # An environment is a thin layer over the Python that made it: both are needed, and nothing around them.
    return [*dict.fromkeys([Path(sys.base_prefix), Path(sys.prefix), ROOT / "quantlab"])]


def font_lists() -> list[Path]:
    """Return matplotlib's lists of fonts; a kernel that had to write its own would need seconds for it."""
    there = sorted(FONTS.glob("fontlist*.json"))
    return there or sorted(font_cache().glob("fontlist*.json"))


def environment(home: str, fonts: str) -> dict[str, str]:
    """Return all environment variables of a kernel."""
    return {
        **ONE_THREAD,
        "HOME": home,
        "IPYTHONDIR": f"{home}/.ipython",
        "LANG": "C.UTF-8",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "MPLCONFIGDIR": fonts,
        "PATH": f"{sys.prefix}/bin:/usr/bin:/bin",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "PYTHONWARNINGS": "ignore",
        "QUANTLAB_GRADING": "1",
        "TQDM_DISABLE": "1",
    }


def command(link: Path, limits: Limits) -> list[str]:
    """Return the command that starts the program of the kernel in a sandbox; its arguments come after it.

    `link` is the only folder outside that the kernel can write to: the sockets to the grader stand in it. The one who
    watches the kernel (`guard.py`) sees to it that nothing large does.
    """
    program = bubblewrap()
    options = subprocess.run([program, "--help"], capture_output=True, text=True).stdout
    size = str(limits.file_mb * 2**20)
    isolation = ["--die-with-parent", "--new-session", "--clearenv", "--hostname", "sandbox", "--cap-drop", "ALL"]
    if os.getuid() == 0:
        # Root would stay root behind a user namespace, and a limit on processes does not hold for root. So there is
        # none, and the program in the sandbox turns into a user that owns nothing.
        shares = ["ipc", "pid", "net", "uts", "cgroup-try"]
        isolation += [*(f"--unshare-{name}" for name in shares)]
        isolation += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        isolation += ["--unshare-all", "--unshare-user"]
        isolation += ["--disable-userns"] if "--disable-userns" in options else []
    system = ["--ro-bind", "/usr", "/usr"]
    for name in ["bin", "lib", "lib32", "lib64", "sbin"]:
        path = Path("/") / name
        if path.is_symlink():
            system += ["--symlink", os.readlink(path), str(path)]
        elif path.exists():
            system += ["--ro-bind", str(path), str(path)]
    for name in ["/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/alternatives"]:
        system += ["--ro-bind-try", name, name]
    memory = ["--proc", "/proc", "--dev", "/dev"]
    for folder in ["/dev/shm", "/tmp", HOME]:
        memory += [*_parents(folder), "--perms", "1777", "--size", size, "--tmpfs", folder]
    fonts = [part for file in font_lists() for part in ["--ro-bind", str(file), f"/tmp/fonts/{file.name}"]]
    shown = []
    for folder in shown_folders():
        if not folder.is_relative_to("/usr"):
            shown += [*_parents(str(folder)), "--ro-bind", str(folder), str(folder)]
    link_mount = [*_parents(str(link)), "--bind", str(link), str(link)]
    program_mount = ["--ro-bind", str(INSIDE), str(Path(PROGRAM).parent)]
    variables = [part for item in environment(HOME, "/tmp/fonts").items() for part in ["--setenv", *item]]
    closed = ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", HOME]
    return [
        *(program, *isolation, *system, *memory, "--perms", "1777", "--dir", "/tmp/fonts", *fonts, *shown),
        *(*link_mount, *program_mount, *variables, *closed, "--", sys.executable, PROGRAM),
    ]


def _parents(folder: str) -> list[str]:
    """Make the folders above a mount readable: bubblewrap would make them for their owner alone."""
    return [
        part for parent in reversed(Path(folder).parents[:-1]) for part in ["--perms", "0755", "--dir", str(parent)]
    ]
