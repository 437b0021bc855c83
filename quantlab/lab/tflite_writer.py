"""Writes .tflite files from numbers: no converter stands between what a lesson holds and what a runtime computes with.

A .tflite file is a flatbuffer: tensors with their scales and zero points, operators that name their tensors, and one
buffer a constant.
"""

from typing import Any

import numpy as np

from quantlab.core.qparams import QParams

__all__ = ["ModelWriter", "fully_connected_model"]

# Operators whose options table is not named after them.
TABLES = {"MEAN": "Reducer", "AVERAGE_POOL_2D": "Pool2D", "MAX_POOL_2D": "Pool2D"}


class ModelWriter:
    """Collects tensors and operators, then writes the file.

    Examples
    --------
    >>> from quantlab.lab.litert import run
    >>> writer = ModelWriter()
    >>> x = writer.tensor((1, 3), np.float32)
    >>> y = writer.tensor((1, 3), np.int8, scale=0.5, zero_point=1)
    >>> model = writer.finish("QUANTIZE", inputs=[x], outputs=[y])
    >>> run(model, np.array([[0.0, 1.0, -1.0]], np.float32), kernels="litert")
    array([[ 1,  3, -1]], dtype=int8)
    """

    def __init__(self):
        from ai_edge_litert import schema_py_generated

        self._schema = schema_py_generated
        self._tensors = []
        self._buffers = [self._schema.BufferT()]  # buffer 0 is the empty one, by convention
        self._constants = set()
        self._codes, self._operators = [], []

    def tensor(
        self,
        shape: tuple[int, ...],
        dtype: Any,
        *,
        scale: Any = None,
        zero_point: Any = None,
        axis: int = 0,
        data: np.ndarray | None = None,
        name: str | None = None,
    ) -> int:
        """Add a tensor and return its index; with ``data`` it is a constant, without ``scale`` it is not quantized."""
        buffer, quantization = 0, None
        if data is not None:
            buffer = len(self._buffers)
            raw = np.ascontiguousarray(data, dtype).tobytes()
            self._buffers.append(self._schema.BufferT(data=np.frombuffer(raw, np.uint8)))
            self._constants.add(len(self._tensors))
        if scale is not None:
            scale = np.atleast_1d(np.asarray(scale, np.float32))
            zero_point = np.broadcast_to(np.asarray(zero_point, np.int64), scale.shape)
            quantization = self._schema.QuantizationParametersT(
                scale=scale.tolist(), zeroPoint=zero_point.tolist(), quantizedDimension=axis
            )
        self._tensors.append(
            self._schema.TensorT(
                shape=list(shape),
                type=getattr(self._schema.TensorType, np.dtype(dtype).name.upper()),
                buffer=buffer,
                name=(name or f"t{len(self._tensors)}").encode(),
                quantization=quantization,
            )
        )
        return len(self._tensors) - 1

    def operator(
        self, operator: str, *, inputs: list[int], outputs: list[int], version: int = 1, **options: Any
    ) -> None:
        """Append an operator, named as in the schema, over tensors given by index; operators run in this order.

        ``options`` are fields of the operator's options table; an activation is given as None, "relu" or "relu6".
        """
        schema = self._schema
        if "activation" in options:
            name = {None: "NONE", "relu": "RELU", "relu6": "RELU6"}[options.pop("activation")]
            options["fusedActivationFunction"] = getattr(schema.ActivationFunctionType, name)
        words = "".join(word if word[0].isdigit() else word.capitalize() for word in operator.split("_"))
        table = TABLES.get(operator, words) + "Options"
        if not hasattr(schema.BuiltinOptions, table):
            if options:
                raise ValueError(f"{operator} has no options table in the schema, so it cannot hold {sorted(options)}")
            kind, filled = schema.BuiltinOptions.NONE, None
        else:
            kind, filled = getattr(schema.BuiltinOptions, table), getattr(schema, f"{table}T")(**options)
        code = getattr(schema.BuiltinOperator, operator)
        self._codes.append(
            schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)
        )
        self._operators.append(
            schema.OperatorT(
                opcodeIndex=len(self._operators),
                inputs=inputs,
                outputs=outputs,
                builtinOptionsType=kind,
                builtinOptions=filled,
            )
        )

    def build(self, *, inputs: list[int], outputs: list[int]) -> bytes:
        """Return the file: all operators so far, in a model with these inputs and outputs."""
        import flatbuffers

        schema = self._schema
        graph = schema.SubGraphT(
            tensors=self._tensors, inputs=inputs, outputs=outputs, operators=self._operators, name=b"main"
        )
        model = schema.ModelT(version=3, operatorCodes=self._codes, subgraphs=[graph], buffers=self._buffers)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def finish(
        self, operator: str, *, inputs: list[int], outputs: list[int], version: int = 1, **options: Any
    ) -> bytes:
        """Return the file of a model of one operator: `operator`, then `build`.

        Inputs that are no constants are the model's inputs.
        """
        self.operator(operator, inputs=inputs, outputs=outputs, version=version, **options)
        return self.build(inputs=[i for i in inputs if i >= 0 and i not in self._constants], outputs=outputs)


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

    Examples
    --------
    >>> from quantlab import Grid
    >>> from quantlab.lab.litert import run
    >>> qp = QParams(scale=0.5, zero_point=0, grid=Grid(n_bits=8))
    >>> w_q, bias_q = np.array([[1, 2]], np.int8), np.array([3], np.int32)
    >>> model = fully_connected_model(w_q, bias_q, n_samples=1, x_qp=qp, w_qp=qp, y_qp=qp)
    >>> model[4:8], run(model, np.array([[10, 20]], np.int8), kernels="litert")
    (b'TFL3', array([[26]], dtype=int8))
    """
    writer = ModelWriter()
    n_out, n_in = w_q.shape
    x = writer.tensor((n_samples, n_in), np.int8, scale=x_qp.scale, zero_point=x_qp.zero_point)
    w = writer.tensor(w_q.shape, np.int8, scale=w_qp.scale, zero_point=w_qp.zero_point, data=w_q)
    bias = writer.tensor((n_out,), np.int32, scale=x_qp.scale * w_qp.scale, zero_point=0, data=bias_q)
    y = writer.tensor((n_samples, n_out), np.int8, scale=y_qp.scale, zero_point=y_qp.zero_point)
    return writer.finish("FULLY_CONNECTED", inputs=[x, w, bias], outputs=[y], version=4, activation=activation)
