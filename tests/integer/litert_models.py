"""One-operator .tflite models with the scales that a test wants."""

import numpy as np

from quantlab.lab.litert import ModelWriter


def fully_connected_model(n_samples, w_q, bias_q, *, x_qp, w_scale, y_qp, activation=None):
    """int8 FULLY_CONNECTED: w_q (out, in); x_qp and y_qp are pairs (scale, zero point); w_scale () or (out,)."""
    return _layer("FULLY_CONNECTED", (n_samples,), w_q, bias_q, x_qp, w_scale, y_qp, version=4, activation=activation)


def pointwise_conv_model(n_samples, w_q, bias_q, *, x_qp, w_scale, y_qp):
    """int8 CONV_2D with 1x1 kernels over an image of one row of ``n_samples`` pixels; arguments as above."""
    w_q = w_q[:, None, None, :]
    return _layer("CONV_2D", (1, 1, n_samples), w_q, bias_q, x_qp, w_scale, y_qp, version=3, strideW=1, strideH=1)


def _layer(operator, leading, w_q, bias_q, x_qp, w_scale, y_qp, **options):
    writer = ModelWriter()
    x = writer.tensor((*leading, w_q.shape[-1]), np.int8, scale=x_qp[0], zero_point=x_qp[1])
    w = writer.tensor(w_q.shape, np.int8, scale=w_scale, zero_point=0, data=w_q)
    b_scale = np.float32(x_qp[0]) * np.asarray(w_scale, np.float32)
    b = writer.tensor((len(w_q),), np.int32, scale=b_scale, zero_point=0, data=bias_q)
    y = writer.tensor((*leading, len(w_q)), np.int8, scale=y_qp[0], zero_point=y_qp[1])
    return writer.finish(operator, inputs=[x, w, b], outputs=[y], **options)


def quantize_model(n, dtype, *, scale, zero_point):
    """QUANTIZE of ``n`` float32 values."""
    writer = ModelWriter()
    x = writer.tensor((1, n), np.float32)
    y = writer.tensor((1, n), dtype, scale=scale, zero_point=zero_point)
    return writer.finish("QUANTIZE", inputs=[x], outputs=[y], version=1 if dtype != np.int16 else 2)
