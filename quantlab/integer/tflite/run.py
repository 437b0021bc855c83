"""Runs an int8 .tflite file on integers, to the bit of a named runtime; what the file left in float32, in float32.

A file says what to compute, not how to round. LiteRT has three sets of kernels that round each in their own way, and
the interpreter for micro-controllers is a fourth:

================== ==============================================================================================
dialect            who computes so
================== ==============================================================================================
litert             LiteRT's default on x86: XNNPACK for the operators that it has
litert_ruy         LiteRT's optimized kernels, without default delegates
litert_reference   LiteRT's reference kernels
tflite_micro       the reference kernels of TensorFlow Lite Micro
================== ==============================================================================================

A mixed file has float32 operators too, whose sums every runtime takes in an order of its own. They agree up to
rounding, as `quantlab.integer.tflite.floats` says; a code behind them may then fall to the other side of a tie.
"""

from collections.abc import Callable, Iterator

import numpy as np

from quantlab.integer.tflite.call import Call
from quantlab.integer.tflite.errors import CorruptFileError, TFLiteError, TooLargeError, UnsupportedError
from quantlab.integer.tflite.floats import FLOAT_OPERATORS
from quantlab.integer.tflite.model import Model, Operator
from quantlab.integer.tflite.operators import OPERATORS

__all__ = ["DIALECTS", "run", "tensors"]

DIALECTS = ("litert", "litert_ruy", "litert_reference", "tflite_micro")
MAX_BYTES = 2**28  # of all activations of one run together; EfficientNet-Lite0 has 7.1 MB of them


def run(
    model: Model, *inputs: np.ndarray, dialect: str, max_bytes: int = MAX_BYTES
) -> np.ndarray | tuple[np.ndarray, ...]:
    """Return the outputs of an int8 model, or of one that mixes int8 and float32.

    Parameters
    ----------
    model : Model
        From `read`.
    *inputs : ndarray
        One for each input of the model, in its dtype: int8, or float32 where the file begins with QUANTIZE or with a
        float layer. In the shape that the file gives, or with n times as many samples along the first axis, which are
        run one batch of the file after another.
    dialect : str
        A row of the table at the head of this module.
    max_bytes : int
        The most that the activations of one batch may take together.

    Returns
    -------
    ndarray, or a tuple of them if the model has several outputs

    Raises
    ------
    UnsupportedError
        If an operator, or the type of what it reads, is none that quantlab has. Float16, dynamic-range and 16x8 files
        open and list; they do not run.
    CorruptFileError
        If what an operator computes does not have the shape and type that the file gives.
    TooLargeError
        If the activations would take more than ``max_bytes``.
    TFLiteError
        The base of these; itself, if an operator refuses its numbers.
    ValueError
        If the dialect is unknown, or an input does not fit the model.

    Examples
    --------
    >>> from quantlab import Grid, QParams
    >>> from quantlab.integer.tflite import read
    >>> from quantlab.lab.tflite_writer import fully_connected_model
    >>> qp = QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=8))
    >>> w_q, bias_q = np.array([[1, 2]], np.int8), np.array([3], np.int32)
    >>> file = fully_connected_model(w_q, bias_q, n_samples=1, x_qp=qp, w_qp=qp, y_qp=qp)
    >>> for dialect in DIALECTS:
    ...     print(f"{dialect:16}", run(read(file), np.array([[11, 10]], np.int8), dialect=dialect))
    litert           [[17]]
    litert_ruy       [[17]]
    litert_reference [[17]]
    tflite_micro     [[17]]
    """
    _check(model, dialect, max_bytes)
    results = []
    for batch in _batches(model, inputs):
        values = _execute(model, batch, dialect=dialect, keep=False)
        results.append([values[i] for i in model.outputs])
    joined = tuple(parts[0] if len(parts) == 1 else np.concatenate(parts) for parts in zip(*results, strict=True))
    return joined[0] if len(joined) == 1 else joined


def tensors(model: Model, *inputs: np.ndarray, dialect: str, max_bytes: int = MAX_BYTES) -> dict[int, np.ndarray]:
    """Return every tensor of one run, constants and inputs too, by its index in the file.

    Parameters, errors as in `run`; the inputs are one batch of the file.
    """
    _check(model, dialect, max_bytes)
    batches = list(_batches(model, inputs))
    if len(batches) != 1:
        raise ValueError(f"inputs hold {len(batches)} batches of the file; expected 1: tensors of one run are returned")
    return _execute(model, batches[0], dialect=dialect, keep=True)


def _check(model: Model, dialect: str, max_bytes: int) -> None:
    """Refuse before anything is computed what cannot be run."""
    if dialect not in DIALECTS:
        raise ValueError(f"dialect={dialect!r}; expected one of {DIALECTS}")
    unknown = [operator for operator in model.operators if operator.name not in OPERATORS]
    if unknown:
        raise UnsupportedError(f"{unknown[0]} is no operator that quantlab runs; it has {', '.join(sorted(OPERATORS))}")
    total = sum(tensor.nbytes for tensor in model.tensors if tensor.data is None)
    if total > max_bytes:
        largest = max((t for t in model.tensors if t.data is None), key=lambda t: t.nbytes)
        raise TooLargeError(
            f"activations take {total:,} bytes, most of them {largest}; expected at most max_bytes={max_bytes:,}"
        )
    known = {tensor.index for tensor in model.tensors if tensor.data is not None} | set(model.inputs)
    for operator in model.operators:
        if len(operator.outputs) != 1:
            raise CorruptFileError(f"{operator} has {len(operator.outputs)} outputs; expected 1")
        for i in operator.inputs:
            if i >= 0 and i not in known:
                raise CorruptFileError(f"{operator} reads {model.tensors[i]}, which nothing has written")
        if operator.outputs[0] in known:
            raise CorruptFileError(f"{operator} writes {model.tensors[operator.outputs[0]]}, which is written already")
        known.add(operator.outputs[0])
    for i in model.outputs:
        if i not in known:
            raise CorruptFileError(f"the model returns {model.tensors[i]}, which nothing writes")


def _batches(model: Model, inputs: tuple[np.ndarray, ...]) -> Iterator[list[np.ndarray]]:
    """Cut the inputs into what the file takes at a time."""
    wanted = [model.tensors[i] for i in model.inputs]
    if len(inputs) != len(wanted):
        raise ValueError(f"{len(inputs)} inputs; the model takes {len(wanted)}: {', '.join(map(str, wanted))}")
    inputs, counts = [np.asarray(x) for x in inputs], set()
    for x, tensor in zip(inputs, wanted, strict=True):
        if x.dtype != tensor.dtype:
            raise ValueError(f"input of dtype {x.dtype} for {tensor}; expected {tensor.dtype}")
        n = len(x) / tensor.shape[0] if x.ndim and tensor.shape and tensor.shape[0] else 0
        if x.shape != tensor.shape and (x.shape[1:] != tensor.shape[1:] or n < 1 or n != int(n)):
            raise ValueError(f"input of shape {x.shape} for {tensor}; expected {tensor.shape}, or n times the samples")
        counts.add(1 if x.shape == tensor.shape else int(n))
    if len(counts) > 1:
        raise ValueError(f"inputs hold {sorted(counts)} batches of the file; expected equally many in each")
    n = counts.pop() if counts else 1
    for k in range(n):
        yield [x[k * len(x) // n : (k + 1) * len(x) // n] if n > 1 else x for x in inputs]


def _execute(model: Model, inputs: list[np.ndarray], *, dialect: str, keep: bool) -> dict[int, np.ndarray]:
    """Run the operators in their order; without ``keep`` a tensor is let go after its last reader."""
    values = {tensor.index: tensor.data for tensor in model.tensors if tensor.data is not None}
    values |= dict(zip(model.inputs, inputs, strict=True))
    last_reader = {i: operator.index for operator in model.operators for i in operator.inputs}
    for operator in model.operators:
        values[operator.outputs[0]] = _call(model, operator, values, dialect)
        if not keep:
            for i in {*operator.inputs, *operator.outputs} - {*model.outputs, -1}:
                if last_reader.get(i, -1) <= operator.index:
                    values.pop(i, None)
    return values


def _function(call: Call) -> Callable[[Call], np.ndarray]:
    """Return what computes an operator: one on reals if it turns float32 into float32, else the one on integers."""
    x = call.inputs[0] if call.inputs else None
    if x is not None and x.dtype == call.output.dtype == np.float32 and call.operator.name in FLOAT_OPERATORS:
        return FLOAT_OPERATORS[call.operator.name]
    return OPERATORS[call.operator.name]


def _call(model: Model, operator: Operator, values: dict[int, np.ndarray], dialect: str) -> np.ndarray:
    """Run one operator, and hold its result against what the file says of it."""
    call = Call(
        operator=operator,
        inputs=tuple(model.tensors[i] if i >= 0 else None for i in operator.inputs),
        arrays=tuple(values[i] if i >= 0 else None for i in operator.inputs),
        output=model.tensors[operator.outputs[0]],
        dialect=dialect,
    )
    try:
        with np.errstate(all="ignore"):  # the scales of a damaged file may overflow; what comes out of it is clipped
            result = _function(call)(call)
    except TFLiteError:
        raise
    except (ValueError, TypeError, ArithmeticError, LookupError) as error:
        raise TFLiteError(f"{operator}: {error}") from error
    if result.dtype != call.output.dtype:
        raise CorruptFileError(f"{operator} computes {result.dtype}; the file says {call.output}")
    call.expect_shape(result.shape)
    return result
