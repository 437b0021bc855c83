"""Layers of one operator for LiteRT, the runtime that was called TensorFlow Lite, in each of its three kernel sets.

A .tflite file is a flatbuffer: tensors with their scales and zero points, operators that name their tensors, and one
buffer a constant. The models here are written straight into that form; no converter stands between the numbers that a
lesson holds and those that the interpreter computes with.
"""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from quantlab.core.qparams import QParams

# kernel set -> the name of its operator resolver. BUILTIN hands what it can to XNNPACK.
KERNELS = {
    "litert": "BUILTIN",
    "litert_ruy": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "litert_reference": "BUILTIN_REF",
}


def fully_connected_model(
    w_q: np.ndarray,
    bias_q: np.ndarray,
    *,
    n_samples: int,
    x_qp: QParams,
    w_qp: QParams,
    y_qp: QParams,
    activation: str | None = None,
) -> bytes:
    """Return a .tflite file that holds one int8 FULLY_CONNECTED layer.

    Parameters
    ----------
    w_q : ndarray of int8, shape (out, in)
    bias_q : ndarray of int32, shape (out,)
    n_samples : int
        Rows of the input; the file fixes them.
    x_qp, y_qp : QParams
        One scale and zero point each.
    w_qp : QParams
        One scale, or one an output (``axis=0``); zero points 0.
    activation : {None, "relu", "relu6"}

    Example
    -------
    >>> from quantlab import Grid
    >>> qp = QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=8))
    >>> w_q, bias_q = np.array([[1, 2]], np.int8), np.array([3], np.int32)
    >>> model = fully_connected_model(w_q, bias_q, n_samples=1, x_qp=qp, w_qp=qp, y_qp=qp)
    >>> model[4:8], run(model, np.array([[10, 20]], np.int8), kernels="litert")
    (b'TFL3', array([[26]], dtype=int8))
    """
    from ai_edge_litert import schema_py_generated as schema

    activations = {None: "NONE", "relu": "RELU", "relu6": "RELU6"}
    n_out, n_in = w_q.shape
    bias_qp = (x_qp.scale * w_qp.scale, np.zeros_like(w_qp.zero_point))
    tensors, buffers = [], [schema.BufferT()]  # buffer 0 is the empty one, by convention

    def tensor(shape: tuple[int, ...], dtype: str, scale: Any, zero_point: Any, data: Any = None) -> None:
        if data is not None:
            raw = np.ascontiguousarray(data, dtype.lower()).tobytes()
            buffers.append(schema.BufferT(data=np.frombuffer(raw, np.uint8)))
        quantization = schema.QuantizationParametersT(
            scale=np.atleast_1d(scale).tolist(), zeroPoint=np.atleast_1d(zero_point).tolist(), quantizedDimension=0
        )
        tensors.append(
            schema.TensorT(
                shape=list(shape),
                type=getattr(schema.TensorType, dtype),
                buffer=0 if data is None else len(buffers) - 1,
                name=f"t{len(tensors)}".encode(),
                quantization=quantization,
            )
        )

    tensor((n_samples, n_in), "INT8", x_qp.scale, x_qp.zero_point)
    tensor(w_q.shape, "INT8", w_qp.scale, w_qp.zero_point, w_q)
    tensor((n_out,), "INT32", *bias_qp, bias_q)
    tensor((n_samples, n_out), "INT8", y_qp.scale, y_qp.zero_point)
    options = schema.FullyConnectedOptionsT(
        fusedActivationFunction=getattr(schema.ActivationFunctionType, activations[activation])
    )
    operator = schema.OperatorT(
        inputs=[0, 1, 2],
        outputs=[3],
        builtinOptionsType=schema.BuiltinOptions.FullyConnectedOptions,
        builtinOptions=options,
    )
    code = schema.BuiltinOperator.FULLY_CONNECTED
    return _file(
        schema.ModelT(
            version=3,
            operatorCodes=[schema.OperatorCodeT(deprecatedBuiltinCode=code, builtinCode=code, version=4)],
            subgraphs=[schema.SubGraphT(tensors=tensors, inputs=[0], outputs=[3], operators=[operator], name=b"main")],
            buffers=buffers,
        )
    )


def _file(model: Any) -> bytes:
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def run(model: bytes, x: np.ndarray, *, kernels: str) -> np.ndarray:
    """Return the output of a model with one input and one output, in one of the kernel sets.

    Parameters
    ----------
    model : bytes
        A .tflite file.
    x : ndarray
        In the shape and dtype of the model's input.
    kernels : {"litert", "litert_ruy", "litert_reference"}
        The default kernels (XNNPACK), the optimized ones without it (ruy), or the plain reference kernels.

    Raises
    ------
    ValueError
        If the kernel set is unknown, or ``x`` does not fit the model.
    """
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    if kernels not in KERNELS:
        raise ValueError(f"kernels={kernels!r}; choose one of {', '.join(KERNELS)}")
    with _silent():
        interpreter = Interpreter(
            model_content=model, experimental_op_resolver_type=OpResolverType[KERNELS[kernels]], num_threads=1
        )
        interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Throw away what native code writes to stderr: the interpreter announces its delegate there."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
