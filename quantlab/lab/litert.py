"""LiteRT, the runtime that was called TensorFlow Lite, in its three kernel sets."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from quantlab.integer.tflite import read
from quantlab.lab.tflite_writer import fully_connected_model

__all__ = ["KERNELS", "Session", "fully_connected_model", "run", "silent", "tensors"]

# kernel set -> the name of its operator resolver. BUILTIN hands what it can to XNNPACK.
KERNELS = {
    "litert": "BUILTIN",
    "litert_ruy": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "litert_reference": "BUILTIN_REF",
}


def run(model: bytes, *inputs: np.ndarray, kernels: str) -> Any:
    """Return what a model computes, in one of the kernel sets.

    Parameters
    ----------
    model : bytes
        A .tflite file.
    *inputs : ndarray
        One for each input of the model, in its dtype, in the shape that the file gives or with n times as many samples:
        these are run one batch of the file after another.
    kernels : {"litert", "litert_ruy", "litert_reference"}
        The default kernels (XNNPACK), the optimized ones without it (ruy), or the plain reference kernels.

    Returns
    -------
    ndarray, or a tuple of them if the model has several outputs

    Raises
    ------
    ValueError
        If the kernel set is unknown, or an input does not fit the model.
    """
    return Session(model, kernels=kernels).run(*inputs)


class Session:
    """An interpreter that keeps its model: for many runs, or to time one without the loading.

    Parameters as in `run`: ``Session(model, kernels=kernels).run(*inputs)``.
    """

    def __init__(self, model: bytes, *, kernels: str):
        self._interpreter = _interpreter(model, kernels)

    def run(self, *inputs: np.ndarray) -> Any:
        """Return the output, or a tuple of outputs; see the function `run`."""
        places, results = self._interpreter.get_output_details(), []
        for batch in _batches(self._interpreter, inputs):
            _invoke(self._interpreter, batch)
            results.append([self._interpreter.get_tensor(place["index"]) for place in places])
        joined = tuple(parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*results, strict=True))
        return joined[0] if len(joined) == 1 else joined


def tensors(model: bytes, *inputs: np.ndarray, kernels: str) -> dict[int, np.ndarray]:
    """Return every tensor that the interpreter shows after a run on one batch, by its index in the file.

    Constants, inputs, outputs and what the operators compute, also between operators that XNNPACK runs. Tensors that
    the runtime optimized away are missing.

    Raises
    ------
    ValueError
        If the kernel set is unknown, or an input does not fit the model.
    """
    interpreter = _interpreter(model, kernels, experimental_preserve_all_tensors=True)
    batches = _batches(interpreter, inputs)
    if len(batches) != 1:
        raise ValueError(f"inputs hold {len(batches)} batches of the file; expected 1: tensors of one run are shown")
    _invoke(interpreter, batches[0])
    shown = {}
    for index in range(len(read(model).tensors)):  # the runtime numbers tensors of its own after those of the file
        with contextlib.suppress(ValueError):  # "Tensor data is null"
            shown[index] = interpreter.get_tensor(index)
    return shown


def _interpreter(model: bytes, kernels: str, **options: Any) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    if kernels not in KERNELS:
        raise ValueError(f"kernels={kernels!r}; choose one of {', '.join(KERNELS)}")
    with silent(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all tensors takes memory
        interpreter = Interpreter(
            model_content=model,
            experimental_op_resolver_type=OpResolverType[KERNELS[kernels]],
            num_threads=1,
            **options,
        )
        interpreter.allocate_tensors()
    return interpreter


def _batches(interpreter: Any, inputs: tuple[np.ndarray, ...]) -> list[tuple[np.ndarray, ...]]:
    """Cut the inputs into what the model takes at a time."""
    places = interpreter.get_input_details()
    if len(inputs) != len(places):
        raise ValueError(f"{len(inputs)} inputs; the model takes {len(places)}")
    shapes = [tuple(int(n) for n in place["shape"]) for place in places]
    if all(x.shape == shape for x, shape in zip(inputs, shapes, strict=True)):
        return [inputs]
    counts = {
        len(x) // shape[0] if shape and x.shape[1:] == shape[1:] and len(x) and len(x) % shape[0] == 0 else None
        for x, shape in zip(inputs, shapes, strict=True)
    }
    if len(counts) != 1 or None in counts:
        got = ", ".join(str(x.shape) for x in inputs)
        raise ValueError(
            f"inputs of shape {got} for a model that takes {shapes}; expected these, or n times the samples"
        )
    n = counts.pop()
    return list(zip(*(np.split(x, n) for x in inputs), strict=True))


def _invoke(interpreter: Any, batch: tuple[np.ndarray, ...]) -> None:
    for place, x in zip(interpreter.get_input_details(), batch, strict=True):
        interpreter.set_tensor(place["index"], x)
    interpreter.invoke()


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Throw away what native code writes to stderr: the interpreter announces its delegate there."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
