"""Start a kernel and watch it: jupyter starts this program in place of the kernel.

    python guard.py JOB.json CONNECTION.json

It stays outside of the sandbox. It kills everything inside once the whole uses too much memory, too many processes or
too much time, and writes into the job's report why the kernel ended. Nothing but the standard library is needed.
"""

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

INTERVAL = 0.25  # seconds between two looks
LINK_MB = 1  # what may lie in the folder of the sockets
PR_SET_PDEATHSIG = 1


def descendants(root: int) -> list[int]:
    """Return the process `root` and all below it."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError, IndexError):
                # The name in brackets may hold blanks: what counts stands behind the last bracket.
                parent = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry))
    found, todo = [], [root]
    while todo:
        found.append(todo.pop())
        todo += children.get(found[-1], [])
    return found


def memory(pid: int) -> int:
    """Return the bytes of a process, its share of what several processes share; 0 once it is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    with contextlib.suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def excess(pid: int, start: float, link: Path, limits: dict[str, int]) -> str:
    """Return what is too much, or nothing."""
    if time.monotonic() - start > limits["total_seconds"]:
        return f"it ran for more than {limits['total_seconds']} seconds in all"
    pids = descendants(pid)
    if len(pids) > limits["processes"]:
        return f"it had more than {limits['processes']} processes"
    if sum(map(memory, pids)) > limits["memory_mb"] * 2**20:
        return f"it used more than {limits['memory_mb']} MB of memory"
    with contextlib.suppress(OSError):
        if sum(entry.stat(follow_symlinks=False).st_size for entry in os.scandir(link)) > LINK_MB * 2**20:
            return "it wrote files into the folder of its sockets"
        if len(os.listdir(link)) > 50:
            return "it wrote files into the folder of its sockets"
    return ""


def end_of(status: int) -> str:
    """Return in words how a kernel ended by itself."""
    if status < 0 or status > 128:
        number = -status if status < 0 else status - 128
        with contextlib.suppress(ValueError):
            return f"it was ended by {signal.Signals(number).name}"
    return f"it ended itself with status {status} (os._exit, exit, or a crash)"


def main() -> int:
    job, connection = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # when the grader dies, so does this, and all below it
    if job["uid"]:
        os.chown(connection, job["uid"], job["uid"])
        os.chown(connection.parent, job["uid"], job["uid"])
    arguments = [json.dumps({"limits": job["limits"], "uid": job["uid"]}), str(connection)]
    start = time.monotonic()
    log = Path(job["report"]).with_suffix(".log")
    with log.open("wb") as file:
        kernel = subprocess.Popen(
            [*job["command"], *arguments],
            env=job["environment"],
            cwd=job["folder"],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )
    while kernel.poll() is None:
        time.sleep(INTERVAL)
        reason = excess(kernel.pid, start, connection.parent, job["limits"])
        if reason:
            Path(job["report"]).write_text(reason, encoding="utf-8")
            kernel.kill()
            kernel.wait()
            return 1
    Path(job["report"]).write_text(end_of(kernel.returncode), encoding="utf-8")
    return kernel.returncode


if __name__ == "__main__":
    sys.exit(main())
