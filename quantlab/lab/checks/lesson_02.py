"""Checks of exercise 02: read integers and floats from their bits, round to a small float, pack bytes."""

import math

import numpy as np

from quantlab.formats import FLOAT4_E2M1FN, FloatFormat, cast, decode, pack
from quantlab.lab.checks import Incorrect, exercise, expect, expect_array, expect_equal, expect_type


@exercise(
    "02.1",
    title="Read two's complement",
    difficulty=1,
    minutes=4,
    hints=(
        "Codes below half of 2**n_bits are themselves.",
        "The highest bit counts -2**(n_bits - 1) in place of +2**(n_bits - 1).",
        "So from a code in the upper half take away 2**n_bits.",
    ),
)
def check_to_signed(answer, say):
    """``to_signed(code, n_bits)``: the signed integer of a two's complement code."""
    for n_bits in (3, 8, 4, 1, 12):
        half = 2 ** (n_bits - 1)
        for code in (half - 1, half, half + 1, 2 * half - 1, 0) if n_bits > 1 else (0, 1):
            want = code - 2 * half if code >= half else code
            when = f"with code={code} ({code:0{n_bits}b}), n_bits={n_bits}"
            got = answer(code, n_bits)
            expect_type(got, int, when=when)
            if got == want:
                continue
            hints = {
                code: "the highest bit weighs negatively",
                -(code - half): "this reads the highest bit as a minus sign; then there would be two zeros",
                -(2 * half - 1 - code): "this flips the bits and forgets to add 1: ones' complement",
                code - 2**8: "you take away 256 whatever the width; that suits 8 bits only",
            }
            expect_equal(int(got), want, when=when, hint=hints.get(int(got), ""))


@exercise(
    "02.2",
    title="Take a float apart",
    difficulty=1,
    minutes=6,
    hints=(
        "np.float32(x).view(np.uint32) gives the 32 bits as one integer.",
        "Shift right to drop low bits, & a mask to drop high ones; 8 bits are 0xFF, 23 bits 0x7FFFFF.",
        "code >> 31, (code >> 23) & 0xFF, code & 0x7FFFFF",
    ),
)
def check_fields(answer, say):
    """``fields(x)``: the stored sign, exponent and mantissa of a float32."""
    for x, hint in [
        (1.0, ""),
        (-0.75, ""),
        (0.1, "the mantissa is the lowest 23 bits as they are"),
        (-0.0, "-0.0 < 0 is False; the sign is the highest bit, look at it"),
        (1e-45, "a subnormal has the exponent field 0, and log2 does not know that"),
        (math.inf, "infinity has fields too: exponent 255, mantissa 0"),
    ]:
        v = np.float32(x)
        code = int(v.view(np.uint32))
        want = (code >> 31, (code >> 23) & 0xFF, code & 0x7FFFFF)
        when = f"with x={x}"
        got = answer(v)
        expect_type(got, (tuple, list), when=when)
        expect(len(got) == 3, f"{when} you return {len(got)} values; wanted are sign, exponent, mantissa")
        for field in got:
            expect_type(field, int, when=when)
        if x == 1.0 and 127 in (got[0], got[2]):
            raise Incorrect(f"{when} you return {tuple(map(int, got))}: the order is sign, exponent, mantissa")
        if x == -0.75 and got[0] == -1:
            raise Incorrect(f"{when} your sign is -1: it is stored as one bit, 1 for negative numbers")
        if x == 1.0 and got[1] == 0:
            raise Incorrect(
                f"{when} your exponent is 0: the bias is taken off; wanted is the field as it is stored, 127"
            )
        if x == 1.0 and got[2] == 2**23:
            raise Incorrect(f"{when} your mantissa is 2**23: that is the leading 1, which is not stored")
        if x == 1.0 and got[1] > 255:
            raise Incorrect(f"{when} your exponent is {got[1]}: a float32 has 8 bits of it; is x a float64 on the way?")
        if x == -0.75 and got[1] == want[1] + 256:
            raise Incorrect(f"{when} your exponent is {got[1]}: the sign bit is still in it; mask it off with & 0xFF")
        expect_equal(tuple(int(g) for g in got), want, when=when, hint=hint)


@exercise(
    "02.3",
    title="Decode a small float",
    difficulty=2,
    minutes=8,
    hints=(
        "The mantissa field is code % 2**man_bits; shift it away to see the exponent field, and the sign above it.",
        "Exponent field 0 has no leading 1, and the exponent of field 1.",
        "2.0 ** (max(E, 1) - bias) * ((1 if E > 0 else 0) + M / 2**man_bits)",
    ),
)
def check_small_float(answer, say):
    """``small_float(code, exp_bits, man_bits)``: the value of one code of a small float."""
    n_codes = 0
    for exp_bits, man_bits in [(2, 1), (3, 2), (4, 3), (2, 3)]:
        bias = 2 ** (exp_bits - 1) - 1
        fmt = FloatFormat("exercise", exp_bits, man_bits, bias=bias, specials="none")
        values = decode(np.arange(2**fmt.n_bits, dtype=np.uint8), fmt).astype(np.float64)
        ones = 2**man_bits  # the first normal number, so that the plain recipe comes first
        order = [bias * ones, bias * ones + 1, 0, 1, fmt.sign_code + ones, *range(2**fmt.n_bits)]
        for code in order:
            want, when = float(values[code]), f"with code={code:0{fmt.n_bits}b}, e{exp_bits}m{man_bits}"
            got = answer(code, exp_bits, man_bits)
            expect_type(got, (float, int), when=when)
            n_codes += 1
            if got == want:
                continue
            subnormal = 0 < (code & (fmt.sign_code - 1)) < ones
            if code & (fmt.sign_code - 1) < ones and got in (want + fmt.smallest_normal, fmt.smallest_normal / 2, 0.75):
                raise Incorrect(f"{when} you return {got:g}, expected {want:g}: exponent field 0 has no leading 1")
            if subnormal and got == want / 2:
                raise Incorrect(
                    f"{when} you return {got:g}, expected {want:g}: subnormals keep the exponent of field 1"
                )
            if got == -want:
                raise Incorrect(f"{when} you return {got:g}, expected {want:g}: the highest bit is the sign")
            if subnormal and got == 0:
                raise Incorrect(f"{when} you return 0, expected {want:g}: exponent field 0 still has its mantissa")
            if not math.isfinite(got):
                raise Incorrect(f"{when} you return {got:g}, expected {want:g}: all codes are numbers here")
            if got * want > 0 and math.frexp(got / want)[0] == 0.5:  # off by a power of two
                raise Incorrect(
                    f"{when} you return {got:g}, expected {want:g}: the bias is 2**(exp_bits - 1) - 1, {bias}"
                )
            expect_equal(float(got), want, when=when)
    say(f"{n_codes} codes of e2m1, e3m2, e4m3 and e2m3 are right")


@exercise(
    "02.4",
    title="Round to FP4",
    difficulty=2,
    minutes=10,
    hints=(
        "Clip the magnitude to 6 first, and put the sign back at the end.",
        "Between 0 and 2 the step is 0.5, between 2 and 4 it is 1, above it is 2.",
        "np.rint(a / step) * step: rint sends a tie to the even multiple, and that is the even code in each part.",
    ),
)
def check_round_to_fp4(answer, say):
    """``round_to_fp4(x)``: the nearest value of e2m1, ties to the even code, saturating."""
    for x, hint in [
        ([0.3, 1.2, 1.9], "below 2 the values are 0.5 apart: take the nearest value, not the next lower one"),
        ([-0.3, -1.9], "negative values are the mirror image"),
        ([100.0, -7.0], "6 is the largest value: saturate"),
        ([math.inf, -math.inf], "infinity saturates as well; it is equally far from every value, so clip first"),
        ([2.6, 3.4], "above 2 there is no 2.5: the step is 1, above 4 it is 2"),
        ([5.0, 1.75, 0.75], "5.0 is a tie of 4 (code 6) and 6 (code 7): the even code wins, so 4"),
        ([0.25, 2.5], "a tie goes to the even code here too: 0 and 2, which lie below"),
        ([-0.75, -2.5, -5.0], "ties of negative values are the mirror image: go by the magnitude"),
    ]:
        v = np.array(x)
        when = f"with x={x}"
        got = expect_array(answer(v), shape=v.shape, when=when)
        expect_equal(got.astype(np.float64), cast(v, FLOAT4_E2M1FN).astype(np.float64), when=when, hint=hint)
    v = np.linspace(-7, 7, 2241)
    got = expect_array(answer(v), shape=v.shape, when="with 2,241 values from -7 to 7")
    want = cast(v, FLOAT4_E2M1FN).astype(np.float64)
    expect_equal(got.astype(np.float64), want, when="with 2,241 values from -7 to 7")
    say("equal to ml_dtypes.float4_e2m1fn")


@exercise(
    "02.5",
    title="Pack two codes into a byte",
    difficulty=2,
    minutes=10,
    hints=(
        "A negative int8 has its high bits set: keep the low four with & 0x0F.",
        "codes[0::2] are the first ones of each pair, codes[1::2] the second ones; shift these by 4.",
        "Make an array of zeros with an even number of places for the masked codes, then combine with |.",
    ),
)
def check_pack_int4(answer, say):
    """``pack_int4(q)``: two codes of -8..7 a byte, the first in the low bits; an odd one out is padded with 0."""
    for q in ([1, 2], [1, -2], [-1, 2], [-8, 7, 3, -4], [5], [1, -2, 7], []):
        x = np.array(q, dtype=np.int8)
        want = pack(x, n_bits=4)
        when = f"with q={q}"
        got = expect_array(answer(x), shape=want.shape, dtype=np.uint8, when=when)
        if np.array_equal(got, want):
            continue
        bits, wanted = ([f"{byte:08b}" for byte in a.tolist()] for a in (got, want))
        hint = ""
        padded = np.append(x, np.zeros(x.size % 2, dtype=np.int8)).view(np.uint8)
        if q == [1, 2]:
            hint = "the first code belongs into the low four bits, on the right" if got[0] == 0x12 else ""
        elif np.array_equal(got, padded[0::2] | (padded[1::2] << 4)):
            hint = "the sign bits of one code spill into its neighbour: mask with & 0x0F before you combine"
        elif min(q) < 0:
            hint = "a negative code is two's complement, in four bits: -1 is 1111, -2 is 1110"
        elif len(q) % 2:
            hint = "the last code stands in the low four bits, and the high four are 0"
        raise Incorrect(f"{when} your bytes are {', '.join(bits)}, expected {', '.join(wanted)}: {hint}".rstrip(": "))
    say("this is the order of ONNX; bitsandbytes has it the other way round")
