"""quantlab: quantization from one scale and one zero point to a 4-bit language model, in numpy."""

from quantlab.core.affine import dequantize, fake_quantize, quantize
from quantlab.core.grid import Grid
from quantlab.core.metrics import bits_per_weight, cosine_similarity, kl_divergence, mse, sqnr_db
from quantlab.core.qparams import QParams, choose_qparams
from quantlab.integer.matmul import int_matmul

__all__ = [
    "Grid",
    "QParams",
    "bits_per_weight",
    "choose_qparams",
    "cosine_similarity",
    "dequantize",
    "fake_quantize",
    "int_matmul",
    "kl_divergence",
    "mse",
    "quantize",
    "sqnr_db",
]
__version__ = "0.1.0"
