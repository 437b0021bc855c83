"""One operator of a .tflite file with all that it reads, and the questions that are asked of it."""

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from quantlab.core.qparams import QParams
from quantlab.integer.tflite.errors import CorruptFileError, TooLargeError, UnsupportedError
from quantlab.integer.tflite.model import Operator, Tensor

__all__ = ["Call"]

MAX_VALUES = 2**26  # of one tensor
ACTIVATIONS = {"NONE": None, "RELU": "relu", "RELU6": "relu6"}


@dataclass(frozen=True, eq=False)
class Call:
    """One operator with all that it reads.

    Attributes
    ----------
    operator : Operator
    inputs : tuple of Tensor or None
        None where an optional input is left out.
    arrays : tuple of ndarray or None
        Their values.
    output : Tensor
    dialect : str
        As in `quantlab.integer.tflite.run`.
    """

    operator: Operator
    inputs: tuple[Tensor | None, ...]
    arrays: tuple[np.ndarray | None, ...]
    output: Tensor
    dialect: str

    @property
    def kernels(self) -> str:
        """The dialect of `quantlab.integer.ops`: the micro-controller's kernels are the reference kernels."""
        return "litert_reference" if self.dialect == "tflite_micro" else self.dialect

    def require(self, n: int, *, at_most: int | None = None) -> None:
        """Raise unless the operator has n inputs, none of them left out; ``at_most`` allows more, optional ones."""
        given = len(self.inputs)
        if not n <= given <= (at_most or n) or None in self.inputs[:n]:
            raise CorruptFileError(f"{self.operator} has {given} inputs; expected {n}")

    def array(self, i: int) -> np.ndarray | None:
        """Return input i, or None if it is left out."""
        return self.arrays[i] if i < len(self.arrays) else None

    def option(self, name: str) -> Any:
        """Return an option of the operator."""
        if name not in self.operator.options:
            raise CorruptFileError(f"{self.operator} has no option {name}; it has {sorted(self.operator.options)}")
        return self.operator.options[name]

    @property
    def activation(self) -> str | None:
        """The fused activation, as quantlab names it."""
        name = self.option("fused_activation_function")
        if name not in ACTIVATIONS:
            raise UnsupportedError(f"{self.operator} has activation {name}; expected one of {', '.join(ACTIVATIONS)}")
        return ACTIVATIONS[name]

    def qp(self, i: int) -> QParams:
        """Return scale and zero point of input i, an int8 tensor."""
        return self._qp(self.inputs[i])

    @property
    def y_qp(self) -> QParams:
        """Scale and zero point of the output, an int8 tensor."""
        return self._qp(self.output)

    def _qp(self, tensor: Tensor) -> QParams:
        if tensor.dtype != np.int8:
            raise UnsupportedError(
                f"{self.operator}: {tensor} is not int8; quantlab runs int8 operators, and float32 ones. Float16, "
                "dynamic-range and 16x8 files open and list, and do not run: convert with a representative data set"
            )
        return tensor.qp

    def real(self, i: int) -> np.ndarray:
        """Return input i of a float operator, which must be float32 itself."""
        if self.arrays[i].dtype != np.float32:
            raise UnsupportedError(
                f"{self.operator}: {self.inputs[i]} is not float32; quantlab runs int8 operators, and float32 "
                "ones whose inputs and weights are all float32"
            )
        return self.arrays[i]

    def byte_qp(self, tensor: Tensor) -> QParams:
        """Return scale and zero point of an int8 or uint8 tensor: conversions at the ends of a model know both."""
        return tensor.qp if tensor.dtype == np.uint8 else self._qp(tensor)

    def expect_same_scale(self, i: int) -> None:
        """Raise unless the output has scale and zero point of input i: the operator only moves or selects codes."""
        if self.qp(i) != self.y_qp:
            raise CorruptFileError(f"{self.operator} gives {self.output} another scale than {self.inputs[i]}")

    def shape(self, i: int) -> tuple[int, ...]:
        """Return the shape of input i as it is: where the file leaves a size open, it need not be the file's."""
        return self.arrays[i].shape

    def expect_shape(self, shape: tuple[int, ...]) -> None:
        """Raise unless the file gives the output this shape, but for sizes that it leaves open."""
        fixed = self.output.signature
        if len(shape) != len(fixed) or any(f not in (-1, n) for f, n in zip(fixed, shape, strict=True)):
            raise CorruptFileError(
                f"{self.operator} implies an output of shape {tuple(shape)}; the file says {self.output}"
            )
        if prod(shape) > MAX_VALUES:
            raise TooLargeError(f"{self.operator} computes {prod(shape):,} values; expected at most {MAX_VALUES:,}")

    def axes(self, i: int) -> tuple[int, ...]:
        """Return input i as axes of input 0, each once, counted from the front."""
        n_axes = len(self.shape(0))
        return tuple(sorted({int(a) + n_axes * (a < 0) for a in self.integers(i).ravel()}))

    def integers(self, i: int) -> np.ndarray:
        """Return input i, a list of sizes or axes."""
        if self.arrays[i].dtype not in (np.int32, np.int64):
            raise UnsupportedError(f"{self.operator}: {self.inputs[i]}; expected int32 or int64")
        return self.arrays[i]
