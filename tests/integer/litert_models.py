"""One-operator .tflite models, written straight into the flatbuffer, and the LiteRT interpreter's three kernel sets."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType

# dialect of a kernel set -> resolver. BUILTIN applies XNNPACK; the second leaves ruy's optimized kernels.
KERNELS = {
    "litert": OpResolverType.BUILTIN,
    "litert_ruy": OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    "litert_reference": OpResolverType.BUILTIN_REF,
}

_TYPES = {
    np.dtype(np.float32): schema.TensorType.FLOAT32,
    np.dtype(np.int32): schema.TensorType.INT32,
    np.dtype(np.int8): schema.TensorType.INT8,
    np.dtype(np.uint8): schema.TensorType.UINT8,
    np.dtype(np.int16): schema.TensorType.INT16,
}
_ACTIVATIONS = {
    None: schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "relu6": schema.ActivationFunctionType.RELU6,
}


class ModelWriter:
    """Collects the tensors of a one-operator model, then writes it."""

    def __init__(self):
        self._tensors = []
        self._buffers = [schema.BufferT()]  # buffer 0 is the empty one, by convention

    def tensor(self, shape, dtype, *, scale=None, zero_point=None, axis=0, data=None):
        """Add a tensor and return its index; with ``data`` it is a constant."""
        buffer = 0
        if data is not None:
            buffer = len(self._buffers)
            raw = np.ascontiguousarray(data, dtype)
            self._buffers.append(schema.BufferT(data=np.frombuffer(raw.tobytes(), np.uint8)))
        quantization = None
        if scale is not None:
            scale = np.atleast_1d(np.asarray(scale, np.float32))
            zero_point = np.broadcast_to(np.asarray(zero_point, np.int64), scale.shape)
            quantization = schema.QuantizationParametersT(
                scale=scale.tolist(), zeroPoint=zero_point.tolist(), quantizedDimension=axis
            )
        self._tensors.append(
            schema.TensorT(
                shape=list(shape),
                type=_TYPES[np.dtype(dtype)],
                buffer=buffer,
                name=f"t{len(self._tensors)}".encode(),
                quantization=quantization,
            )
        )
        return len(self._tensors) - 1

    def finish(self, code, version, inputs, outputs, *, graph_inputs, options=None, options_type=0):
        """Return the model's bytes: operator ``code`` over tensors ``inputs``, giving ``outputs``."""
        operator = schema.OperatorT(
            inputs=inputs, outputs=outputs, builtinOptionsType=options_type, builtinOptions=options
        )
        graph = schema.SubGraphT(
            tensors=self._tensors, inputs=graph_inputs, outputs=outputs, operators=[operator], name=b"main"
        )
        opcode = schema.OperatorCodeT(deprecatedBuiltinCode=min(code, 127), builtinCode=code, version=version)
        model = schema.ModelT(version=3, operatorCodes=[opcode], subgraphs=[graph], buffers=self._buffers)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())


def fully_connected_model(n_samples, w_q, bias_q, *, x_qp, w_scale, y_qp, activation=None):
    """int8 FULLY_CONNECTED: w_q (out, in); x_qp and y_qp are pairs (scale, zero point); w_scale () or (out,)."""
    writer = ModelWriter()
    n_out, n_in = w_q.shape
    x = writer.tensor((n_samples, n_in), np.int8, scale=x_qp[0], zero_point=x_qp[1])
    w = writer.tensor(w_q.shape, np.int8, scale=w_scale, zero_point=0, data=w_q)
    b_scale = np.float32(x_qp[0]) * np.asarray(w_scale, np.float32)
    b = writer.tensor((n_out,), np.int32, scale=b_scale, zero_point=0, data=bias_q)
    y = writer.tensor((n_samples, n_out), np.int8, scale=y_qp[0], zero_point=y_qp[1])
    options = schema.FullyConnectedOptionsT(fusedActivationFunction=_ACTIVATIONS[activation])
    return writer.finish(
        schema.BuiltinOperator.FULLY_CONNECTED,
        4,
        [x, w, b],
        [y],
        graph_inputs=[x],
        options=options,
        options_type=schema.BuiltinOptions.FullyConnectedOptions,
    )


def pointwise_conv_model(n_samples, w_q, bias_q, *, x_qp, w_scale, y_qp):
    """int8 CONV_2D with 1x1 kernels over an image of one row of ``n_samples`` pixels; arguments as above."""
    writer = ModelWriter()
    n_out, n_in = w_q.shape
    x = writer.tensor((1, 1, n_samples, n_in), np.int8, scale=x_qp[0], zero_point=x_qp[1])
    w = writer.tensor((n_out, 1, 1, n_in), np.int8, scale=w_scale, zero_point=0, data=w_q)
    b_scale = np.float32(x_qp[0]) * np.asarray(w_scale, np.float32)
    b = writer.tensor((n_out,), np.int32, scale=b_scale, zero_point=0, data=bias_q)
    y = writer.tensor((1, 1, n_samples, n_out), np.int8, scale=y_qp[0], zero_point=y_qp[1])
    return writer.finish(
        schema.BuiltinOperator.CONV_2D,
        3,
        [x, w, b],
        [y],
        graph_inputs=[x],
        options=schema.Conv2DOptionsT(strideW=1, strideH=1),
        options_type=schema.BuiltinOptions.Conv2DOptions,
    )


def quantize_model(n, dtype, *, scale, zero_point):
    """QUANTIZE of ``n`` float32 values."""
    writer = ModelWriter()
    x = writer.tensor((1, n), np.float32)
    y = writer.tensor((1, n), dtype, scale=scale, zero_point=zero_point)
    return writer.finish(
        schema.BuiltinOperator.QUANTIZE,
        1 if dtype != np.int16 else 2,
        [x],
        [y],
        graph_inputs=[x],
        options=schema.QuantizeOptionsT(),
        options_type=schema.BuiltinOptions.QuantizeOptions,
    )


def run(model, x, *, kernels):
    """Return the output of ``model`` on ``x`` in one of the ``KERNELS``."""
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=KERNELS[kernels], num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
