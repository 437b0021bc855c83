"""The interpreter for micro-controllers (TensorFlow Lite Micro), as its Python package runs it on this computer.

The same C++ code runs on a chip with a few hundred kB of memory. It allocates nothing while it runs: all that a model
needs beside its constants lies in one array, the arena, whose size is known before.
"""

import os
import re
import tempfile
from typing import Any, NamedTuple

import numpy as np

from quantlab.integer.tflite import read
from quantlab.lab.litert import silent

ARENA_LIMIT = 64 * 2**20  # far more than any micro-controller has


class MicroRun(NamedTuple):
    """What comes out, and how many bytes of the arena the model took.

    The arena holds activations, whose places are shared by those that are never alive together, and the interpreter's
    own bookkeeping.
    """

    output: np.ndarray
    arena_bytes: int


def run_micro(model: bytes, x: np.ndarray) -> MicroRun:
    """Run a model with one input and one output in the micro-controller interpreter.

    Parameters
    ----------
    model : bytes
        A .tflite file.
    x : ndarray
        In the dtype of the model's input, in the shape that the file gives or with n times as many samples: these are
        run one batch of the file after another.

    Raises
    ------
    ImportError
        If the package is not installed: it has releases for Linux on x86-64 only.
    ValueError
        If ``x`` does not fit the model.
    RuntimeError
        If the interpreter does not have an operator of the model, or the arena is too small.
    """
    interpreter = _interpreter(model, "kAllocationRecording")
    shape = tuple(int(n) for n in interpreter.get_input_details(0)["shape"])
    if x.shape[1:] != shape[1:] or not len(x) or len(x) % shape[0]:
        raise ValueError(f"x.shape={x.shape} for a model that takes {shape}; expected that, or n times the samples")
    outputs = []
    for batch in np.split(x, len(x) // shape[0]):
        interpreter.set_input(np.ascontiguousarray(batch), 0)
        interpreter.invoke()
        outputs.append(interpreter.get_output(0))
    return MicroRun(np.concatenate(outputs), _arena_bytes(interpreter))


def micro_tensors(model: bytes, x: np.ndarray) -> dict[int, np.ndarray]:
    """Return what every operator wrote, by the tensor's index in the file, for one batch.

    Raises
    ------
    ImportError, ValueError, RuntimeError
        As `run_micro`.
    """
    interpreter = _interpreter(model, "kPreserveAllTensors")
    interpreter.set_input(np.ascontiguousarray(x), 0)
    interpreter.invoke()
    file = read(model)
    written = [file.tensors[i] for operator in file.operators for i in operator.outputs]
    return {t.index: interpreter.GetTensor(t.index, 0)["tensor_data"].reshape(t.shape) for t in written}


def _interpreter(model: bytes, config: str) -> Any:
    try:
        from tflite_micro.python.tflite_micro import runtime
    except ImportError as error:
        raise ImportError(
            "tflite-micro is not installed; run `pip install --pre tflite-micro` (Linux on x86-64 only)"
        ) from error
    with silent():
        return runtime.Interpreter.from_bytes(
            model, arena_size=ARENA_LIMIT, intrepreter_config=runtime.InterpreterConfig[config]
        )


def _arena_bytes(interpreter: Any) -> int:
    """Read the size from what the interpreter writes to stderr: it has no function that returns it."""
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        try:
            os.dup2(file.fileno(), 2)
            interpreter.print_allocations()
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        file.seek(0)
        text = file.read().decode()
    return int(re.search(r"Arena allocation total (\d+) bytes", text)[1])
