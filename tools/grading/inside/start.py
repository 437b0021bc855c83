"""The program of a kernel in the sandbox: give up what is left of root, set the limits, start the judge and ipykernel.

python start.py '{"uid": 60001, "limits": {...}}' CONNECTION.json
"""

import json
import os
import resource
import sys

MB = 2**20
RESERVED_MB = 1000  # threads reserve addresses that they never use; the watcher outside counts what is really used


def give_up_root(uid: int) -> None:
    """Become a user that owns nothing; the kernel of the system then takes all capabilities away."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def limit(limits: dict[str, int]) -> None:
    """Set the ceilings that the kernel of the system keeps; nobody inside can lift them."""
    ceilings = {
        resource.RLIMIT_AS: (limits["memory_mb"] + RESERVED_MB) * MB,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: limits["total_seconds"],
        resource.RLIMIT_FSIZE: limits["file_mb"] * MB,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_NPROC: limits["processes"],
    }
    for what, most in ceilings.items():
        hard = resource.getrlimit(what)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))


def main() -> None:
    job, connection = json.loads(sys.argv[1]), sys.argv[2]
    if job["uid"]:
        give_up_root(job["uid"])
    limit(job["limits"])
    from ipykernel.kernelapp import IPKernelApp

    app = IPKernelApp.instance()
    app.initialize(["-f", connection, "--HistoryManager.hist_file=:memory:", "--InteractiveShell.xmode=Minimal"])
    import judge

    judge.install(app.shell)
    sys.path[:] = [path for path in sys.path if path != os.path.dirname(os.path.abspath(__file__))]
    app.start()


if __name__ == "__main__":
    main()
