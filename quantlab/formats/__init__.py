"""How the bits lie: packed integers, small floats, blocks that share a scale."""

from quantlab.formats.blocks import Blocks, dequantize_blocks
from quantlab.formats.floatformat import (
    BFLOAT16,
    FLOAT4_E2M1FN,
    FLOAT6_E2M3FN,
    FLOAT6_E3M2FN,
    FLOAT8_E3M4,
    FLOAT8_E4M3,
    FLOAT8_E4M3B11FNUZ,
    FLOAT8_E4M3FN,
    FLOAT8_E4M3FNUZ,
    FLOAT8_E5M2,
    FLOAT8_E5M2FNUZ,
    FLOAT8_E8M0FNU,
    FLOAT16,
    FLOAT32,
    FORMATS,
    FloatFormat,
)
from quantlab.formats.microscaling import quantize_mx, quantize_nvfp4
from quantlab.formats.minifloat import cast, decode, encode, grid_values, ulp
from quantlab.formats.nf4 import NF4_LEVELS, quantize_nf4
from quantlab.formats.packing import pack, unpack, wrap

__all__ = [
    "BFLOAT16",
    "FLOAT4_E2M1FN",
    "FLOAT6_E2M3FN",
    "FLOAT6_E3M2FN",
    "FLOAT8_E3M4",
    "FLOAT8_E4M3",
    "FLOAT8_E4M3B11FNUZ",
    "FLOAT8_E4M3FN",
    "FLOAT8_E4M3FNUZ",
    "FLOAT8_E5M2",
    "FLOAT8_E5M2FNUZ",
    "FLOAT8_E8M0FNU",
    "FLOAT16",
    "FLOAT32",
    "FORMATS",
    "NF4_LEVELS",
    "Blocks",
    "FloatFormat",
    "cast",
    "decode",
    "dequantize_blocks",
    "encode",
    "grid_values",
    "pack",
    "quantize_mx",
    "quantize_nf4",
    "quantize_nvfp4",
    "ulp",
    "unpack",
    "wrap",
]
