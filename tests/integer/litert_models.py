"""One-operator .tflite models with the scales that a test wants."""

import numpy as np

from quantlab.lab.tflite_writer import ModelWriter


def fully_connected_model(leading, w_q, bias_q, *, x_qp, w_scale, y_qp, activation=None):
    """int8 FULLY_CONNECTED: x (*leading, in), w_q (out, in); x_qp and y_qp are pairs (scale, zero point); w_scale () or
    (out,); ``bias_q`` may be None."""
    writer = ModelWriter()
    x = writer.tensor((*leading, w_q.shape[-1]), np.int8, scale=x_qp[0], zero_point=x_qp[1])
    inputs = [x, writer.tensor(w_q.shape, np.int8, scale=w_scale, zero_point=0, data=w_q)]
    if bias_q is not None:
        b_scale = np.float32(x_qp[0]) * np.asarray(w_scale, np.float32)
        inputs.append(writer.tensor((len(w_q),), np.int32, scale=b_scale, zero_point=0, data=bias_q))
    y = writer.tensor((*leading, len(w_q)), np.int8, scale=y_qp[0], zero_point=y_qp[1])
    options = {"activation": activation, "keepNumDims": len(leading) > 1}
    return writer.finish("FULLY_CONNECTED", inputs=inputs, outputs=[y], version=5, **options)


def conv_model(x_shape, y_shape, w_q, bias_q, *, x_qp, w_qp, y_qp, depthwise=False, multiplier=1, **options):
    """int8 CONV_2D or DEPTHWISE_CONV_2D with kernels (out, kh, kw, in / groups) and QParams; ``bias_q`` may be None."""
    operator, axis = "CONV_2D", 0
    if depthwise:  # TFLite keeps these kernels as (1, kh, kw, out)
        operator, axis, w_q = "DEPTHWISE_CONV_2D", 3, w_q.transpose(3, 1, 2, 0)
        options["depthMultiplier"] = multiplier
    writer = ModelWriter()
    x = writer.tensor(x_shape, np.int8, scale=x_qp.scale, zero_point=x_qp.zero_point)
    w = writer.tensor(w_q.shape, np.int8, scale=w_qp.scale, zero_point=0, axis=axis, data=w_q)
    inputs = [x, w]
    if bias_q is not None:
        b_scale = x_qp.scale * w_qp.scale
        inputs.append(writer.tensor(bias_q.shape, np.int32, scale=b_scale, zero_point=0, data=bias_q))
    y = writer.tensor(y_shape, np.int8, scale=y_qp.scale, zero_point=y_qp.zero_point)
    return writer.finish(operator, inputs=inputs, outputs=[y], version=3, **options)


def quantize_model(n, dtype, *, scale, zero_point):
    """QUANTIZE of ``n`` float32 values."""
    writer = ModelWriter()
    x = writer.tensor((1, n), np.float32)
    y = writer.tensor((1, n), dtype, scale=scale, zero_point=zero_point)
    return writer.finish("QUANTIZE", inputs=[x], outputs=[y], version=1 if dtype != np.int16 else 2)
