"""What a .tflite file holds: a list of tensors, and a list of operators that name them by index."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.integer.tflite.errors import CorruptFileError, UnsupportedError

__all__ = ["Model", "Operator", "Tensor"]

GRIDS = {"int8": Grid(n_bits=8), "uint8": Grid(n_bits=8, signed=False), "int16": Grid(n_bits=16)}


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor of the graph.

    Attributes
    ----------
    index : int
        Its place in `Model.tensors`, by which operators name it.
    name : str
        What the converter called it. Names need not be unique.
    shape : tuple of int
    signature : tuple of int
        The shape with -1 for sizes known only when the model runs, as the number of samples if the converter left
        it open. ``shape`` has 1 there.
    dtype : numpy dtype
    scale, zero_point : ndarray of float32 and of int64, shape (1,) or (C,), or None
        None if the tensor is not quantized.
    axis : int
        Of a scale a channel.
    data : read-only ndarray, or None
        A view into the file, if the tensor is a constant.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    dtype: np.dtype
    scale: np.ndarray | None = None
    zero_point: np.ndarray | None = None
    axis: int = 0
    data: np.ndarray | None = field(default=None, repr=False)

    @property
    def size(self) -> int:
        """Values in it."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes that its values take, in the file or at run time."""
        return self.size * self.dtype.itemsize

    @cached_property
    def qp(self) -> QParams:
        """Scale and zero point, as quantlab's operators take them: one, or one an entry of ``axis``.

        Raises
        ------
        UnsupportedError
            If the tensor is not quantized, or not int8, uint8 or int16.
        CorruptFileError
            If a scale is not positive, or a zero point off the grid.
        """
        if self.scale is None or self.dtype.name not in GRIDS:
            raise UnsupportedError(f"{self} has no scale, or a type that has no grid; expected a quantized int8 tensor")
        one = self.scale.size == 1
        try:
            return QParams(
                scale=self.scale[0] if one else self.scale,
                zero_point=self.zero_point[0] if one else self.zero_point,
                grid=GRIDS[self.dtype.name],
                axis=None if one else self.axis,
            )
        except ValueError as error:
            raise CorruptFileError(f"{self}: {error}") from error

    def __str__(self) -> str:
        return f"tensor {self.index} ({self.short_name!r}, {self.dtype} {self.sizes})"

    @property
    def short_name(self) -> str:
        """The name without the history of fused operators that the converter strings together in it."""
        return self.name.split(";")[0][-40:]

    @property
    def sizes(self) -> str:
        """The shape as text: ``"1x8x8x3"``."""
        return "x".join(map(str, self.shape)) or "scalar"


@dataclass(frozen=True, eq=False)
class Operator:
    """One operator of the graph.

    Attributes
    ----------
    index : int
        Its place in `Model.operators`, which is the order of execution.
    name : str
        As in the schema: "CONV_2D"; "CUSTOM:" and its own name for a custom one.
    version : int
    inputs, outputs : tuple of int
        Indices of tensors; an input that is left out is -1.
    options : dict
        The fields of its options table: ``{"padding": "SAME", "stride_w": 2, ...}``.
    """

    index: int
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]

    def __str__(self) -> str:
        return f"operator {self.index} ({self.name})"


@dataclass(frozen=True, eq=False)
class Model:
    """What a .tflite file holds. ``inputs`` and ``outputs`` are indices of tensors, ``nbytes`` is the file's size."""

    tensors: tuple[Tensor, ...] = field(repr=False)
    operators: tuple[Operator, ...] = field(repr=False)
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    nbytes: int

    def named(self, name: str) -> Tensor:
        """Return the tensor of this name.

        Raises
        ------
        KeyError
            If there is none, or more than one.
        """
        found = [tensor for tensor in self.tensors if tensor.name == name]
        if len(found) != 1:
            raise KeyError(f"{len(found)} tensors are named {name!r}; use an index, as the table lists them")
        return found[0]
