"""Block formats against bitsandbytes (NF4), torchao (MX, NVFP4) and the definitions in exact arithmetic."""

import math

import ml_dtypes
import numpy as np
import pytest
import torch
from bitsandbytes import functional as bnb
from scipy.stats import norm
from torchao.prototype.mx_formats import mx_tensor, nvfp4_tensor
from torchao.prototype.mx_formats.config import ScaleCalculationMode

from quantlab.formats import (
    FLOAT4_E2M1FN,
    FLOAT6_E2M3FN,
    FLOAT6_E3M2FN,
    FLOAT8_E4M3FN,
    FLOAT8_E5M2,
    FLOAT8_E8M0FNU,
    NF4_LEVELS,
    decode,
    dequantize_blocks,
    pack,
    quantize_mx,
    quantize_nf4,
    quantize_nvfp4,
)

ELEMENTS = {
    FLOAT4_E2M1FN: torch.float4_e2m1fn_x2,
    FLOAT6_E2M3FN: mx_tensor.DTYPE_FP6_E2M3,
    FLOAT6_E3M2FN: mx_tensor.DTYPE_FP6_E3M2,
    FLOAT8_E4M3FN: torch.float8_e4m3fn,
    FLOAT8_E5M2: torch.float8_e5m2,
}
MODES = ["floor", "ceil", "even", "rceil"]


def assert_same_bits(a, b):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a.view(f"u{a.itemsize}"), b.view(f"u{b.itemsize}"))


def hard_blocks(group_size, exponents, seed=0):
    """Rows of two blocks over many magnitudes: random values, ties by the dozen, maxima by powers of two, zeros."""
    rng = np.random.default_rng(seed)
    shape = (3000, 2 * group_size)
    smooth = rng.standard_normal(shape).astype(np.float32)
    ties = rng.integers(-64, 65, shape).astype(np.float32) / rng.choice([4, 8, 16, 32], (len(smooth), 1))
    edges = rng.uniform(-1, 1, shape).astype(np.float32)
    edges[:, ::group_size] = rng.choice([1, 1.25, 1.5, 1.75, 1.875, 1.9375], (len(smooth), 2))
    edges[::3, ::group_size] = np.nextafter(edges[::3, ::group_size], np.float32(2))
    edges[1::3, ::group_size] = np.nextafter(edges[1::3, ::group_size], np.float32(0))
    sparse = np.where(rng.random(shape) < 0.02, smooth, rng.choice([0.0, -0.0], shape)).astype(np.float32)
    x = np.concatenate([smooth, ties, edges, sparse]).astype(np.float32)
    return np.ldexp(x, rng.integers(*exponents, (len(x), 1)))


# ---------------------------------------------------------------------------------------------------------------- NF4


def test_nf4_levels_are_normal_quantiles():
    """QLoRA's create_normal_map, written from the paper: its probabilities are float32, its quantiles float64."""
    outermost = (1 - 1 / 32 + 1 - 1 / 30) / 2  # between the last quantiles of 16 and of 15 equal parts
    assert round(outermost, 7) == 0.9677083
    positive = norm.ppf(torch.linspace(0.9677083, 0.5, 9)[:-1].numpy())
    negative = -norm.ppf(torch.linspace(0.9677083, 0.5, 8)[:-1].numpy())
    levels = np.sort(np.concatenate([negative, [0.0], positive]).astype(np.float32))
    assert_same_bits(NF4_LEVELS, levels / levels[-1])


@pytest.mark.parametrize("group_size", [64, 128, 32])
def test_nf4_equals_bitsandbytes(group_size):
    x = hard_blocks(group_size, (-100, 100))
    middles = ((NF4_LEVELS[1:] + NF4_LEVELS[:-1]) / 2)[np.arange(group_size) % 15]
    middles[0] = 1  # the scale is a power of two, so that every other value is an exact tie
    steps = np.nextafter(middles, np.stack([middles, np.full_like(middles, 2), np.full_like(middles, -2)]))
    steps[:, 0] = 1
    extreme = np.stack([np.zeros(group_size), -np.zeros(group_size), middles * 1e-39, middles * 3.4e38])
    x = np.concatenate([x.reshape(-1, group_size), steps, steps * 2**20, -steps, extreme]).astype(np.float32)
    packed, state = bnb.quantize_4bit(torch.from_numpy(x), quant_type="nf4", blocksize=group_size)
    blocks = quantize_nf4(x, group_size=group_size)
    assert_same_bits(blocks.scales.ravel(), state.absmax.numpy())
    np.testing.assert_array_equal(pack(blocks.codes, n_bits=4, order="big"), packed.numpy().ravel())
    assert_same_bits(dequantize_blocks(blocks), bnb.dequantize_4bit(packed, state).numpy())


def test_nf4_takes_the_nearest_level():
    x = hard_blocks(64, (-20, 20), seed=1)[::4]
    blocks = quantize_nf4(x)
    scales = np.repeat(blocks.scales, 64, axis=1).astype(np.float64)
    distances = np.abs(x[..., None].astype(np.float64) - scales[..., None] * NF4_LEVELS)
    taken = np.take_along_axis(distances, blocks.codes[..., None].astype(np.int64), axis=-1)[..., 0]
    # Three roundings, of 1/scale, of x times it and of the middle between levels, of at most 2**-24 relative each,
    # move a decision by at most 3 * 2**-24 of the scale; taking the wrong side costs twice that.
    assert (taken - distances.min(axis=-1) <= 6 * 2.0**-24 * scales).all()


# ----------------------------------------------------------------------------------------------------------------- MX


def torchao_mx(x, element, mode):
    """Scales (e8m0 codes), codes as bytes the way torchao keeps them, and the values that come back."""
    kind = ELEMENTS[element]
    scales, data = mx_tensor.to_mx(torch.from_numpy(x), kind, 32, ScaleCalculationMode(mode))
    values = mx_tensor.to_dtype(data, scales, kind, 32, torch.float32)
    return scales.view(torch.uint8).numpy(), data.view(torch.uint8).numpy(), values.numpy()


def stored(blocks):
    """The codes as torchao keeps them: two to a byte for fp4, else one."""
    rows = blocks.codes.shape[0]
    return pack(blocks.codes, n_bits=4).reshape(rows, -1) if blocks.n_bits == 4 else blocks.codes


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("element", ELEMENTS, ids=lambda fmt: fmt.name)
def test_mx_equals_torchao(element, mode):
    x = hard_blocks(32, (-80, 80))
    infinite = x[-200:].copy()
    infinite[::2, 5] = np.inf
    infinite[1::2, 40] = -np.inf
    largest = np.ldexp(x[:200] / np.abs(x[:200]).max(), 127).astype(np.float32)
    x = np.concatenate([x, infinite, largest])
    scales, data, values = torchao_mx(x, element, mode)
    blocks = quantize_mx(x, element=element, scale_mode=mode)
    rows = np.full(len(x), True)
    if mode == "rceil":
        # torchao's float32 log2 is at most 128 here, so rounded by up to 2**-18: it loses a ratio that is less than
        # 2**-18 above a power of two, and is then one too low. Everything else is equal.
        lost = blocks.scales != scales
        ratio = np.abs(x).reshape(len(x), 2, 32).max(axis=-1) / np.float32(element.max)
        significand = np.frexp(ratio[lost])[0] * 2
        assert ((significand > 1) & (significand < 1 + 2.0**-18)).all()
        np.testing.assert_array_equal(blocks.scales[lost], scales[lost] + 1)
        rows = ~lost.any(axis=-1)
        assert rows.mean() > 0.95
    np.testing.assert_array_equal(blocks.scales[rows], scales[rows])
    np.testing.assert_array_equal(stored(blocks)[rows], data[rows])
    with np.errstate(over="ignore"):
        assert_same_bits(dequantize_blocks(blocks)[rows], values[rows])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("element", ELEMENTS, ids=lambda fmt: fmt.name)
def test_mx_nan_spoils_its_block_and_no_other(element, mode):
    x = hard_blocks(32, (-10, 10))[:3000:20].copy()  # the random rows
    x[:, 3] = np.nan
    scales, data, values = torchao_mx(x, element, mode)
    blocks = quantize_mx(x, element=element, scale_mode=mode)
    np.testing.assert_array_equal(blocks.scales[:, 0], 255)
    np.testing.assert_array_equal(blocks.scales, scales)
    back = dequantize_blocks(blocks)
    assert np.isnan(back[:, :32]).all()
    assert_same_bits(back[:, 32:].copy(), values[:, 32:].copy())
    half = data.shape[1] // 2
    np.testing.assert_array_equal(stored(blocks)[:, half:], data[:, half:])


def exact_exponent(m, element, mode):
    """The definition with integers and fractions of Python: k, before it is limited to -127..127."""
    if m == 0:
        return -127
    numerator, denominator = m.as_integer_ratio()
    if mode == "rceil":
        numerator, denominator = float(np.float32(m) / np.float32(element.max)).as_integer_ratio()
    if numerator == 0:
        return -127
    floor = numerator.bit_length() - denominator.bit_length()  # the denominator is a power of two
    if mode == "floor":
        return floor - element.max_exponent
    is_power = numerator & (numerator - 1) == 0
    if mode == "ceil":
        return floor + (not is_power) - element.max_exponent
    if mode == "rceil":
        return floor + (not is_power)
    rounded = round(math.ldexp(m, element.man_bits - floor))  # half to even
    return floor + (rounded == 2 << element.man_bits) - element.max_exponent


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("element", ELEMENTS, ids=lambda fmt: fmt.name)
def test_mx_equals_its_definition(element, mode):
    """Very small blocks too, where torchao departs from it."""
    x = np.concatenate([hard_blocks(32, exponents)[::40] for exponents in ((-150, -100), (-100, 120))])
    blocks = quantize_mx(x, element=element, scale_mode=mode)
    amax = np.abs(x).reshape(len(x), 2, 32).max(axis=-1)
    k = np.array([[exact_exponent(float(m), element, mode) for m in row] for row in amax])
    k = np.clip(k, -127, 127)
    assert (k == -127).sum() > 100
    np.testing.assert_array_equal(blocks.scales, k + 127)
    scaled = np.ldexp(x.astype(np.float64), -np.repeat(k, 32, axis=1))
    expected = np.clip(scaled, -element.max, element.max).astype(getattr(ml_dtypes, element.name)).view(np.uint8)
    np.testing.assert_array_equal(blocks.codes, expected)
    values = decode(blocks.codes, element).astype(np.float64)
    back = np.ldexp(values, np.repeat(k, 32, axis=1)).astype(np.float32)
    assert_same_bits(dequantize_blocks(blocks), back)
    if mode == "ceil":
        assert (np.abs(scaled) <= element.max).all()  # nothing saturates
    if mode == "rceil":  # but for the rounding of the quotient, of at most 2**-24 relative
        assert (np.abs(scaled) <= element.max * (1 + 2.0**-23)).all()
    assert_same_bits(dequantize_blocks(quantize_mx(back, element=element, scale_mode=mode)), back)  # idempotent


def test_mx_rceil_just_above_a_power_of_two():
    x = np.zeros(32, np.float32)
    x[0] = np.nextafter(np.float32(6 * 2**20), np.float32(np.inf))
    assert decode(quantize_mx(x, scale_mode="rceil").scales, FLOAT8_E8M0FNU) == 2**21
    assert decode(quantize_mx(x, scale_mode="floor").scales, FLOAT8_E8M0FNU) == 2**20


# -------------------------------------------------------------------------------------------------------------- NVFP4


@pytest.mark.parametrize("tensor_scale", [None, 1.0, 0.037])
def test_nvfp4_equals_torchao(tensor_scale):
    x = hard_blocks(16, (-14, 6))
    tensor = torch.from_numpy(x)
    theirs = nvfp4_tensor.per_tensor_amax_to_scale(tensor.abs().amax()) if tensor_scale is None else tensor_scale
    theirs = torch.as_tensor(theirs, dtype=torch.float32)
    peer = nvfp4_tensor.NVFP4Tensor.to_nvfp4(tensor, per_tensor_scale=theirs)
    blocks = quantize_nvfp4(x, tensor_scale=tensor_scale)
    assert_same_bits(np.array(blocks.tensor_scale), theirs.numpy())
    np.testing.assert_array_equal(blocks.scales, peer.scale.view(torch.uint8).numpy())
    np.testing.assert_array_equal(stored(blocks), peer.qdata.view(torch.uint8).numpy())
    assert_same_bits(dequantize_blocks(blocks), peer.dequantize().numpy())
    smallest, largest = blocks.scales.min(), blocks.scales.max()
    assert decode(np.array([smallest]), FLOAT8_E4M3FN) == 2**-6  # the floor is reached,
    assert tensor_scale is not None or decode(np.array([largest]), FLOAT8_E4M3FN) == 448  # and the ceiling


def test_nvfp4_single_level_is_tensor_scale_1():
    x = hard_blocks(16, (-3, 8))
    peer = nvfp4_tensor.NVFP4Tensor.to_nvfp4(torch.from_numpy(x))
    blocks = quantize_nvfp4(x, tensor_scale=1.0)
    np.testing.assert_array_equal(blocks.scales, peer.scale.view(torch.uint8).numpy())
    np.testing.assert_array_equal(stored(blocks), peer.qdata.view(torch.uint8).numpy())


@pytest.mark.parametrize("scale", [0.0, 2.0**-149, 2.0**-101])
def test_nvfp4_of_next_to_nothing_is_zero(scale):
    x = (np.linspace(-1, 1, 32) * scale).astype(np.float32)
    blocks = quantize_nvfp4(x)
    assert blocks.tensor_scale == 1
    assert (dequantize_blocks(blocks) == 0).all()


@pytest.mark.parametrize("exponent", [-99, -60, 0, 60, 127])
def test_nvfp4_does_not_depend_on_the_unit(exponent):
    x = np.random.default_rng(0).uniform(-1, 1, (8, 64)).astype(np.float32)
    blocks, scaled = quantize_nvfp4(x), quantize_nvfp4(np.ldexp(x, exponent))
    np.testing.assert_array_equal(blocks.codes, scaled.codes)
    np.testing.assert_array_equal(blocks.scales, scaled.scales)
    np.testing.assert_array_equal(np.ldexp(dequantize_blocks(blocks), exponent), dequantize_blocks(scaled))


# ---------------------------------------------------------------------------------------------------------------- all


QUANTIZERS = {
    "nf4": (lambda x: quantize_nf4(x), 4.5),
    "nf4 in 128": (lambda x: quantize_nf4(x, group_size=128), 4.25),
    "mxfp4": (lambda x: quantize_mx(x), 4.25),
    "mxfp6 e2m3": (lambda x: quantize_mx(x, element=FLOAT6_E2M3FN), 6.25),
    "mxfp6 e3m2": (lambda x: quantize_mx(x, element=FLOAT6_E3M2FN), 6.25),
    "mxfp8 e4m3": (lambda x: quantize_mx(x, element=FLOAT8_E4M3FN), 8.25),
    "mxfp8 e5m2": (lambda x: quantize_mx(x, element=FLOAT8_E5M2), 8.25),
    "nvfp4": (lambda x: quantize_nvfp4(x), 4.5 + 32 / (6 * 256)),
}


@pytest.mark.parametrize("name", QUANTIZERS)
def test_bits_shapes_and_dtypes(name):
    quantizer, bits = QUANTIZERS[name]
    x = np.random.default_rng(0).standard_normal((2, 3, 256)).astype(np.float32)
    blocks = quantizer(x)
    back = dequantize_blocks(blocks)
    assert blocks.codes.shape == back.shape == x.shape
    assert blocks.codes.dtype == np.uint8
    assert blocks.codes.max() < 1 << blocks.n_bits
    assert back.dtype == np.float32
    bytes_stored = pack(blocks.codes, n_bits=blocks.n_bits).nbytes + blocks.scales.nbytes
    bytes_stored += 0 if blocks.tensor_scale is None else blocks.tensor_scale.nbytes
    assert blocks.bits_per_weight == bits == 8 * bytes_stored / x.size

    np.testing.assert_array_equal(quantizer(x.reshape(-1)).codes, blocks.codes.reshape(-1))
    strided = np.stack([x, x], axis=-1)[..., 1]
    np.testing.assert_array_equal(dequantize_blocks(quantizer(strided)), back)
    np.testing.assert_array_equal(dequantize_blocks(quantizer(x.astype(np.float64))), back)
    assert dequantize_blocks(quantizer(x[:0])).shape == (0, 3, 256)
    assert dequantize_blocks(quantizer(x[..., :0])).shape == (2, 3, 0)
    zero = dequantize_blocks(quantizer(np.zeros(256, np.float32)))
    np.testing.assert_array_equal(zero, 0)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: quantize_nf4(np.ones(100)), ValueError, r"group_size=64 does not divide x.shape\[0\]=100"),
        (lambda: quantize_mx(np.ones((2, 48))), ValueError, r"group_size=32 does not divide x.shape\[1\]=48"),
        (lambda: quantize_nvfp4(np.ones((2, 24))), ValueError, r"group_size=16 does not divide x.shape\[1\]=24"),
        (lambda: quantize_nf4(np.float32(1)), ValueError, "axis=-1 is out of range"),
        (lambda: quantize_nf4(np.ones(64, np.int8)), TypeError, "x has dtype int8.*float32"),
        (lambda: quantize_nf4(np.full(64, np.nan)), ValueError, "x holds NaN or infinities"),
        (lambda: quantize_nvfp4(np.full(64, np.inf)), ValueError, "x holds NaN or infinities"),
        (lambda: quantize_nvfp4(np.ones(64), tensor_scale=0.0), ValueError, "tensor_scale=0.0 is not in 2"),
        (lambda: quantize_nvfp4(np.ones(64), tensor_scale=np.nan), ValueError, "tensor_scale=nan"),
        (lambda: quantize_mx(np.ones(64), scale_mode="round"), ValueError, "'round' is unknown.*'rceil'"),
        (lambda: quantize_mx(np.ones(64), element=FLOAT8_E8M0FNU), ValueError, "float8_e8m0fnu is no element of MX"),
    ],
)
def test_errors_say_what_is_wrong(call, error, words):
    with pytest.raises(error, match=words):
        call()
