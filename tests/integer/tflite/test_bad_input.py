"""Damaged files: an error of the family or a result; never a hang, another exception, or more than 1 GiB."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from quantlab.integer.tflite import DIALECTS, read, run
from quantlab.lab import litert
from quantlab.lab.litert import KERNELS
from tests.integer.tflite.hostile import every_operator

ROOT = Path(__file__).parents[3]


def test_damaged_files():
    script = Path(__file__).with_name("hostile.py")
    command = [sys.executable, "-W", "error", str(script), "3", "200", "2000"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout)
    outcomes = found["outcomes"]
    assert sum(outcomes.values()) == 2200
    assert set(outcomes) <= {"result", "TFLiteError", "CorruptFileError", "UnsupportedError", "TooLargeError"}, outcomes
    assert outcomes["CorruptFileError"] > 200  # cuts alone make as many
    assert outcomes["result"] > 200  # a changed weight is no error
    assert found["slowest"] < 20  # seconds; 1 to 3 where nobody else computes


def test_the_file_that_is_damaged_is_right_before():
    content, rng = every_operator(), np.random.default_rng(0)
    x = rng.normal(0, 2, (10, 6, 5, 2)).astype(np.float32)
    assert set(KERNELS) < set(DIALECTS)
    for kernels in KERNELS:
        assert np.array_equal(run(read(content), x, dialect=kernels), litert.run(content, x, kernels=kernels))
