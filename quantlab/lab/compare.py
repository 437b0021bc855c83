"""quantlab beside a production runtime: the same file, the same inputs, every tensor."""

from dataclasses import dataclass

import numpy as np

from quantlab.integer import tflite
from quantlab.lab import litert
from quantlab.lab.micro import micro_tensors


@dataclass(frozen=True)
class Compared:
    """One operator: how many values of its output were compared, and how many differ."""

    index: int
    operator: str
    compared: int
    mismatches: int

    def __str__(self) -> str:
        return f"{self.index:2d} {self.operator:18s} compared {self.compared:9,}, mismatches {self.mismatches:,}"


def compare_tensors(content: bytes, x: np.ndarray, *, dialect: str, runtime: str | None = None) -> list[Compared]:
    """Run a .tflite file in quantlab and in a runtime, and compare what every operator writes.

    Parameters
    ----------
    content : bytes
        The file, an int8 one with one input.
    x : ndarray, shape (samples, ...)
        In the dtype of the file's input. The samples are run one after another; the file takes one at a time.
    dialect : str
        Of `quantlab.integer.tflite.run`.
    runtime : str, optional
        Another name of that list, to compare a dialect with kernels that are not its own.

    Returns
    -------
    list of Compared
        One an operator, summed over the samples.

    Raises
    ------
    ValueError
        If the dialect is unknown, or the runtime shows a tensor in another shape.

    Example
    -------
    >>> from quantlab import Grid, QParams
    >>> qp = QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=8))
    >>> w_q, bias_q = np.array([[1, 2]], np.int8), np.array([3], np.int32)
    >>> file = litert.fully_connected_model(w_q, bias_q, n_samples=1, x_qp=qp, w_qp=qp, y_qp=qp)
    >>> x_q = np.random.default_rng(0).integers(-20, 20, (50, 2), dtype=np.int8)
    >>> for dialect in ("litert", "litert_ruy"):
    ...     print(*compare_tensors(file, x_q, dialect=dialect, runtime="litert_ruy"))
     0 FULLY_CONNECTED    compared        50, mismatches 13
     0 FULLY_CONNECTED    compared        50, mismatches 0
    """
    model, runtime = tflite.read(content), runtime or dialect
    compared, mismatches = np.zeros((2, len(model.operators)), np.int64)
    for sample in np.split(x, len(x)):
        ours = tflite.tensors(model, sample, dialect=dialect)
        if runtime == "tflite_micro":
            theirs = micro_tensors(content, sample)
        else:
            theirs = litert.tensors(content, sample, kernels=runtime)
        for operator in model.operators:
            a, b = ours[operator.outputs[0]], theirs[operator.outputs[0]]
            if a.shape != b.shape:
                raise ValueError(f"{operator} has shape {a.shape} here and {b.shape} in {runtime}; nothing to compare")
            compared[operator.index] += a.size
            mismatches[operator.index] += (a != b).sum()
    return [Compared(o.index, o.name, int(compared[o.index]), int(mismatches[o.index])) for o in model.operators]
