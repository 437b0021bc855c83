"""The one who watches a kernel sees its whole family, and ends it with a reason."""

import json
import os
import subprocess
import sys
import time

import pytest

from grading import guard

LIMITS = {"total_seconds": 60, "processes": 20, "memory_mb": 4000}


@pytest.fixture
def family():
    """A process with a child of its own that holds 60 MB."""
    child = "x = b'x' * 60_000_000; print('ready', flush=True); import time; time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout.readline() == b"ready\n"
        yield parent.pid
        for pid in reversed(guard.descendants(parent.pid)):
            os.kill(pid, 9)


def test_descendants_and_their_memory(family):
    pids = guard.descendants(family)
    assert len(pids) == 2
    assert pids[0] == family
    # The bytes themselves, and what Python needs besides: well below 60 MB.
    assert 60_000_000 < sum(map(guard.memory, pids)) < 120_000_000
    assert guard.memory(2**30) == 0


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({}, ""),
        ({"processes": 1}, "more than 1 processes"),
        ({"memory_mb": 50}, "50 MB"),
        ({"total_seconds": 1}, "1 sec"),
    ],
)
def test_each_limit_has_its_reason(family, tmp_path, limits, said):
    reason = guard.excess(family, time.monotonic() - 2, tmp_path, {**LIMITS, **limits})
    assert said in reason
    assert bool(said) == bool(reason)


def test_the_folder_of_the_sockets_is_no_store(family, tmp_path):
    (tmp_path / "big").write_bytes(b" " * 2**21)
    assert "sockets" in guard.excess(family, time.monotonic(), tmp_path, LIMITS)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import time; time.sleep(60)", "it ran for more than 1 seconds in all"),
        ("import os; os._exit(7)", "it ended itself with status 7"),
        ("import os; os.kill(os.getpid(), 11)", "it was ended by SIGSEGV"),
    ],
)
def test_the_report_says_how_a_kernel_ended(tmp_path, code, said):
    link = tmp_path / "link"
    link.mkdir()
    (link / "kernel.json").write_text("{}")
    job = {
        "command": [sys.executable, "-c", code],
        "environment": dict(os.environ),
        "folder": str(tmp_path),
        "limits": {**LIMITS, "total_seconds": 1},
        "report": str(tmp_path / "report"),
        "uid": 0,
    }
    (tmp_path / "job.json").write_text(json.dumps(job))
    command = [sys.executable, guard.__file__, str(tmp_path / "job.json"), str(link / "kernel.json")]
    subprocess.run(command, timeout=30)
    assert said in (tmp_path / "report").read_text("utf-8")
