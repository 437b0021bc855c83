"""Lists a .tflite file: one row an operator."""

from dataclasses import dataclass

from quantlab.integer.tflite.model import Model, Operator, Tensor

__all__ = ["Row", "rows", "table"]

COLUMNS = ("", "operator", "input", "weights", "scales", "output", "type", "scale", "zero point", "bytes")


@dataclass(frozen=True)
class Row:
    """One operator, as `table` prints it.

    Attributes
    ----------
    index : int
        Of the operator.
    operator : str
        Its name, with a fused activation: "CONV_2D RELU6".
    inputs : str
        Shapes of what it reads and what is no constant.
    weights : str
        Shape and type of the first constant that is no list of sizes, or "".
    weight_scales : int
        How many scales that constant has: 1 if per tensor, its channels if per channel, 0 if it is not quantized.
    output, dtype : str
        Shape and type of what it writes.
    scale : float or None
    zero_point : int or None
        Of what it writes; None if that is not quantized.
    nbytes : int
        Of all its constants, bias and lists of sizes included.
    """

    index: int
    operator: str
    inputs: str
    weights: str
    weight_scales: int
    output: str
    dtype: str
    scale: float | None
    zero_point: int | None
    nbytes: int


def rows(model: Model) -> list[Row]:
    """Return the operators of a model in the order in which they run."""
    return [_row(model, operator) for operator in model.operators]


def table(model: Model, *, first: int | None = None, last: int | None = None) -> str:
    """Return the file as text: what goes in, one line an operator, and the sum.

    Parameters
    ----------
    model : Model
        From `read`.
    first, last : int, optional
        Show so many operators of the beginning and of the end, all by default.

    Returns
    -------
    str
        Columns: number, operator with its fused activation, shapes of inputs, shape and type of weights and how many
        scales they have, shape, type, scale and zero point of the output, bytes of constants.
    """
    listed, n = rows(model), len(model.operators)
    if first is not None or last is not None:
        kept = sorted({*range(min(first or 0, n)), *range(max(n - (last or 0), 0), n)})
    else:
        kept = list(range(n))
    cells = [COLUMNS, *(_cells(listed[i]) for i in kept)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(COLUMNS))]
    left = {1, 2, 3, 5, 6}
    lines = ["in   " + ", ".join(_described(model.tensors[i]) for i in model.inputs)]
    before = -1
    for i, row in zip([-1, *kept], cells, strict=True):
        if i > before + 1:
            lines.append(f"     ... {i - before - 1} more")
        padded = (c.ljust(w) if k in left else c.rjust(w) for k, (c, w) in enumerate(zip(row, widths, strict=True)))
        lines.append("  ".join(padded).rstrip())
        before = i
    if before < n - 1:
        lines.append(f"     ... {n - 1 - before} more")
    lines.append("out  " + ", ".join(_described(model.tensors[i]) for i in model.outputs))
    constants = sum(tensor.nbytes for tensor in model.tensors if tensor.data is not None)
    lines.append(f"{n} operators; {constants:,} bytes of constants in a file of {model.nbytes:,}")
    return "\n".join(lines)


def _row(model: Model, operator: Operator) -> Row:
    read = [model.tensors[i] for i in operator.inputs if i >= 0]
    written = [model.tensors[i] for i in operator.outputs]
    constants = [tensor for tensor in read if tensor.data is not None]
    weights = next((t for t in constants if t.scale is not None or t.dtype.kind == "f"), None)
    activation = operator.options.get("fused_activation_function", "NONE")
    y = written[0] if written else None
    return Row(
        index=operator.index,
        operator=operator.name if activation == "NONE" else f"{operator.name} {activation}",
        inputs=", ".join(tensor.sizes for tensor in read if tensor.data is None),
        weights=f"{weights.sizes} {weights.dtype}" if weights else "",
        weight_scales=weights.scale.size if weights and weights.scale is not None else 0,
        output=", ".join(tensor.sizes for tensor in written),
        dtype=str(y.dtype) if y else "",
        scale=float(y.scale[0]) if y and y.scale is not None else None,
        zero_point=int(y.zero_point[0]) if y and y.scale is not None else None,
        nbytes=sum(tensor.nbytes for tensor in constants),
    )


def _cells(row: Row) -> tuple[str, ...]:
    return (
        str(row.index),
        row.operator,
        row.inputs,
        row.weights,
        str(row.weight_scales or ""),
        row.output,
        row.dtype,
        "" if row.scale is None else f"{row.scale:.4g}",
        "" if row.zero_point is None else str(row.zero_point),
        f"{row.nbytes:,}" if row.nbytes else "",
    )


def _described(tensor: Tensor) -> str:
    scale = "" if tensor.scale is None else f", scale {tensor.scale[0]:.4g}, zero point {tensor.zero_point[0]}"
    return f"{tensor.short_name}: {tensor.sizes} {tensor.dtype}{scale}"
