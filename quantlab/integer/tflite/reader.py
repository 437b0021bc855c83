"""Opens a .tflite file: tensors, operators, constants.

The file is a flatbuffer, and the PyPI package ``tflite`` holds the classes generated from TensorFlow's schema. They
follow offsets wherever these lead and check nothing. This module asks them for everything at once, checks it, and hands
on plain frozen dataclasses; whatever goes wrong on the way is a `CorruptFileError`.
"""

import math
import struct
from collections.abc import Iterator
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from quantlab.integer.tflite.errors import CorruptFileError, TFLiteError, UnsupportedError
from quantlab.integer.tflite.model import Model, Operator, Tensor

__all__ = ["read"]

IDENTIFIER = b"TFL3"
# The schema's names of the types that numpy has.
DTYPES = {
    **dict.fromkeys(("FLOAT32", "FLOAT16", "FLOAT64", "INT8", "INT16", "INT32", "INT64")),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32", "UINT64", "BOOL", "COMPLEX64", "COMPLEX128")),
}
MAX_TENSOR = 2**31  # bytes
# What the generated classes raise when an offset leads astray.
ASTRAY = (struct.error, TypeError, IndexError, ValueError, OverflowError, AttributeError)


def read(file: bytes | bytearray | memoryview | str | PathLike) -> Model:
    """Return what a .tflite file holds, checked as far as it can be without running it.

    Parameters
    ----------
    file : bytes (or what bytes can be made of), str or path
        The file's content, or where it lies.

    Returns
    -------
    Model
        Its constants are views into the content, not copies.

    Raises
    ------
    CorruptFileError
        If it is no .tflite file, is cut off, an index or an offset leads nowhere, or a constant's bytes do not fit its
        shape.
    UnsupportedError
        If it has more than one subgraph, or a tensor that is sparse or of a type that numpy does not have.

    Examples
    --------
    >>> read(b"GIF89a...")
    Traceback (most recent call last):
    quantlab.integer.tflite.errors.CorruptFileError: the file begins with b'GIF89a..'; a .tflite has b'TFL3' at byte 4
    """
    content = bytes(file) if isinstance(file, bytes | bytearray | memoryview) else Path(file).read_bytes()
    if content[4:8] != IDENTIFIER:
        raise CorruptFileError(f"the file begins with {content[:8]!r}; a .tflite has {IDENTIFIER!r} at byte 4")
    try:
        return _Reader(content).model()
    except TFLiteError:
        raise
    except ASTRAY as error:
        raise CorruptFileError(
            f"the file is cut off or damaged: an offset leads out of its {len(content):,} bytes ({error})"
        ) from error


class _Reader:
    """Walks the flatbuffer once."""

    def __init__(self, content: bytes):
        self.content = content
        self.schema = _schema()
        # Every entry of a vector takes a byte or more. Damaged files can let many vectors share their bytes, and so ask
        # for any amount of work; honest ones stay far below this.
        self.entries_left = 4 * len(content)

    def count(self, length: int) -> range:
        """Return the indices of a vector, having checked that the file can hold so many entries."""
        self.entries_left -= length
        if self.entries_left < 0:
            raise CorruptFileError(f"a list of {length:,} entries cannot lie in a file of {len(self.content):,} bytes")
        return range(length)

    def integers(self, table: Any, name: str) -> tuple[int, ...]:
        """Return a vector of integers; an absent one is empty."""
        self.count(getattr(table, f"{name}Length")())
        return tuple(int(v) for v in np.atleast_1d(getattr(table, f"{name}AsNumpy")())) if _has(table, name) else ()

    def model(self) -> Model:
        root = self.schema.Model.GetRootAs(self.content)
        if (n := root.SubgraphsLength()) != 1:
            raise UnsupportedError(f"the file has {n} subgraphs; quantlab reads files with one")
        graph = root.Subgraphs(0)
        tensors = tuple(self.tensor(root, graph.Tensors(i), i) for i in self.count(graph.TensorsLength()))
        operators = tuple(self.operator(root, graph.Operators(i), i) for i in self.count(graph.OperatorsLength()))
        inputs, outputs = self.integers(graph, "Inputs"), self.integers(graph, "Outputs")
        for operator in operators:
            _check_indices(f"{operator} reads", operator.inputs, len(tensors), lowest=-1)
            _check_indices(f"{operator} writes", operator.outputs, len(tensors))
        _check_indices("the model reads", inputs, len(tensors))
        _check_indices("the model returns", outputs, len(tensors))
        return Model(tensors, operators, inputs, outputs, len(self.content))

    def tensor(self, root: Any, table: Any, index: int) -> Tensor:
        name = (table.Name() or b"").decode("utf-8", "replace")
        where = f"tensor {index} ({name!r})"
        code = _enum_name(self.schema.TensorType, table.Type(), what=f"type of {where}")
        if code not in DTYPES:
            raise UnsupportedError(f"{where} is of type {code}; expected one of {', '.join(DTYPES)}")
        dtype = np.dtype(code.lower()).newbyteorder("<")
        shape = self.integers(table, "Shape")
        if any(n < 0 for n in shape):
            raise CorruptFileError(f"{where} has shape {shape}; expected sizes of 0 or more")
        if math.prod(shape) * dtype.itemsize >= MAX_TENSOR:
            raise CorruptFileError(f"{where} has shape {shape}; expected a tensor below 2 GiB")
        signature = self.integers(table, "ShapeSignature") or shape
        if len(signature) != len(shape) or any(s not in (-1, n) for s, n in zip(signature, shape, strict=True)):
            raise CorruptFileError(f"{where} has shape {shape} and signature {signature}; expected the same, or -1")
        if table.Sparsity() is not None:
            raise UnsupportedError(f"{where} is sparse; quantlab reads dense tensors: convert without sparsity")
        data = self.constant(root, table.Buffer(), where=where, shape=shape, dtype=dtype)
        return Tensor(index, name, shape, signature, dtype, *self.quantization(table, where=where, shape=shape), data)

    def constant(
        self, root: Any, buffer: int, *, where: str, shape: tuple[int, ...], dtype: np.dtype
    ) -> np.ndarray | None:
        if not 0 <= buffer < root.BuffersLength():
            raise CorruptFileError(f"{where} names buffer {buffer}; the file has {root.BuffersLength()}")
        table = root.Buffers(buffer)
        if table.Offset() > 1:
            raise UnsupportedError(
                f"{where} lies outside the flatbuffer, as in files above 2 GB; quantlab reads others"
            )
        if table.DataLength() == 0:
            return None
        raw, needed = table.DataAsNumpy(), math.prod(shape) * dtype.itemsize
        if raw.size != needed:
            raise CorruptFileError(
                f"{where}: its buffer has {raw.size:,} bytes; {dtype.name} of shape {shape} takes {needed:,}"
            )
        return raw.view(dtype).reshape(shape)

    def quantization(
        self, table: Any, *, where: str, shape: tuple[int, ...]
    ) -> tuple[np.ndarray | None, np.ndarray | None, int]:
        """Return scale, zero point and axis; without a scale there is no quantization."""
        parameters = table.Quantization()
        if parameters is None or parameters.ScaleLength() == 0:
            return None, None, 0
        if parameters.DetailsType():
            raise UnsupportedError(f"{where} has a custom quantization; expected scales and zero points")
        self.count(parameters.ScaleLength() + parameters.ZeroPointLength())
        scale, axis = parameters.ScaleAsNumpy(), parameters.QuantizedDimension()
        zero_point = parameters.ZeroPointAsNumpy() if parameters.ZeroPointLength() else np.zeros(scale.size, np.int64)
        if zero_point.size != scale.size:
            raise CorruptFileError(
                f"{where} has {scale.size} scales and {zero_point.size} zero points; expected equally many"
            )
        if scale.size > 1 and not (0 <= axis < len(shape) and shape[axis] == scale.size):
            raise CorruptFileError(f"{where} has {scale.size} scales along axis {axis} of shape {shape}")
        return scale, zero_point, axis

    def operator(self, root: Any, table: Any, index: int) -> Operator:
        if not 0 <= table.OpcodeIndex() < root.OperatorCodesLength():
            raise CorruptFileError(
                f"operator {index} has code {table.OpcodeIndex()}; the file has {root.OperatorCodesLength()}"
            )
        code = root.OperatorCodes(table.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())  # the second is one byte, from older files
        name = _enum_name(self.schema.BuiltinOperator, number, what=f"code of operator {index}")
        if name == "CUSTOM":
            name = f"CUSTOM:{(code.CustomCode() or b'').decode('utf-8', 'replace')}"
        inputs, outputs = self.integers(table, "Inputs"), self.integers(table, "Outputs")
        return Operator(index, name, code.Version(), inputs, outputs, self.options(table))

    def options(self, operator: Any) -> dict[str, Any]:
        """Return the fields of the operator's own options table, whatever it is."""
        kind, table = operator.BuiltinOptionsType(), operator.BuiltinOptions()
        if not kind or table is None:
            return {}
        cls = getattr(self.schema, _enum_name(self.schema.BuiltinOptions, kind, what="type of options"))
        options = cls()
        options.Init(table.Bytes, table.Pos)
        return {_snake_case(name): self.option(options, name) for name in _fields(cls)}

    def option(self, options: Any, name: str) -> Any:
        if hasattr(options, f"{name}Length"):
            return self.integers(options, name)
        value = getattr(options, name)()
        enum = {"Padding": "Padding", "FusedActivationFunction": "ActivationFunctionType"}.get(name)
        return _enum_name(getattr(self.schema, enum), value, what=name) if enum else value


def _schema() -> ModuleType:
    try:
        import tflite
    except ImportError as error:
        raise ImportError("reading .tflite files needs their schema; run `pip install tflite`") from error
    return tflite


def _has(table: Any, name: str) -> bool:
    return not getattr(table, f"{name}IsNone")()


def _fields(cls: type) -> Iterator[str]:
    """Yield the names of a generated class's fields, among its other methods."""
    for name in vars(cls):
        helper = name.endswith(("AsNumpy", "Length", "IsNone", "BufferHasIdentifier")) or name.startswith("GetRootAs")
        if name[0].isupper() and name != "Init" and not helper:
            yield name


def _snake_case(name: str) -> str:
    """StrideW -> stride_w."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")


def _enum_name(enum: type, value: int, *, what: str) -> str:
    for name, number in vars(enum).items():
        if number == value and not name.startswith("_"):
            return name
    raise UnsupportedError(f"{what} is {value}; the installed schema has no such {enum.__name__}")


def _check_indices(who: str, indices: tuple[int, ...], n: int, *, lowest: int = 0) -> None:
    bad = [i for i in indices if not lowest <= i < n]
    if bad:
        raise CorruptFileError(f"{who} tensor {bad[0]}; the file has tensors 0 to {n - 1}")
