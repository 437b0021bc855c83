"""Checks of exercise 01: bytes, arithmetic intensity, the roofline, and where int8 begins to pay."""

import math

from quantlab.lab.checks import Incorrect, exercise, expect_close, expect_equal, expect_type


@exercise(
    "01.1",
    title="Weigh a model",
    difficulty=1,
    minutes=8,
    hints=(
        "Treat the arrays one by one: two or more axes, or fewer.",
        "An array with axes has math.prod(shape) codes and shape[0] scales; a scale has 4 bytes.",
        "-(-math.prod(shape) * n_bits // 8) + 4 * shape[0] for a quantized array, 4 * math.prod(shape) for the others.",
    ),
)
def check_model_bytes(answer, say):
    """``model_bytes(shapes, n_bits)``: codes and scales of the matrices, float32 for the rest."""

    def true_bytes(shapes, n_bits):
        codes = sum(math.ceil(math.prod(s) * n_bits / 8) for s in shapes if len(s) >= 2)
        scales = sum(s[0] for s in shapes if len(s) >= 2)
        return codes + 4 * scales + 4 * sum(math.prod(s) for s in shapes if len(s) < 2)

    for shapes, n_bits, hint in [
        ([(2, 3)], 8, "6 codes of one byte, and a float32 scale for each of the 2 rows"),
        ([(4,)], 8, "an array of one axis is not quantized: it keeps its float32 values"),
        ([(1, 5)], 4, "5 codes of 4 bits are 20 bits; an array begins at a whole byte, so they take 3"),
        ([(3, 3)], 4, "9 codes of 4 bits are 36 bits: round up once for the array, not for each row"),
        ([(1, 3), (1, 3)], 4, "each array is rounded up to whole bytes by itself, not the sum of all"),
        ([(2, 3, 5, 5)], 8, "a convolution has all its axes' codes, and scales only along the first axis"),
        ([()], 8, "an array of no axes holds one number, in float32"),
        ([], 8, "no arrays take no bytes"),
    ]:
        got, want = answer(shapes, n_bits), true_bytes(shapes, n_bits)
        when = f"with shapes={shapes}, n_bits={n_bits}"
        codes_alone = want - 4 * sum(s[0] for s in shapes if len(s) >= 2)
        if got == codes_alone != want:
            raise Incorrect(f"{when} you return {got}, expected {want}: the scales are missing")
        expect_equal(got, want, when=when, hint=hint)
        expect_type(got, int, when=when)


@exercise(
    "01.2",
    title="Count operations for each byte",
    difficulty=1,
    minutes=5,
    hints=(
        "Each of the m * n results is a sum of k products.",
        "A product and an addition are two operations: 2 * m * k * n.",
        "Three arrays move: m * k weights of n_bytes, k * n and m * n values of 4 bytes.",
    ),
)
def check_intensity(answer, say):
    """``intensity(m, k, n, n_bytes)``: operations a byte of a matrix product."""
    for m, k, n, n_bytes, hint in [
        (1, 1, 1, 4, "one multiplication, one addition, three numbers of 4 bytes"),
        (2, 3, 5, 4, "2mkn operations; weights m x k, inputs k x n, results m x n"),
        (8, 8, 1, 1, "only the weights have n_bytes; the other factor and the result are float32"),
        (64, 64, 1, 0.5, "half a byte a weight: n_bytes need not be whole"),
    ]:
        when = f"with m={m}, k={k}, n={n}, n_bytes={n_bytes}"
        got = answer(m, k, n, n_bytes)
        weights, inputs, results = n_bytes * m * k, 4 * k * n, 4 * m * n
        want = 2 * m * k * n / (weights + inputs + results)
        for mistake, other in [
            ("a term is a multiplication and an addition, two operations", want / 2),
            ("the result is written too: add its m * n values", 2 * m * k * n / (weights + inputs)),
            ("the vectors move too, not only the weights", 2 * m * k * n / weights),
            ("this is bytes for each operation; turn it round", 1 / want),
        ]:
            if isinstance(got, (int, float)) and got != want and math.isclose(got, other):
                raise Incorrect(f"{when} you return {got:.6g}, expected {want:.6g}: {mistake}")
        expect_close(got, want, atol=1e-9 * want, when=when, hint=hint)
    say("with 4-bit weights a matrix-vector product does almost 4 operations a byte; with float32 1/2")


@exercise(
    "01.3",
    title="Stand under the roof",
    difficulty=1,
    minutes=5,
    hints=(
        "Two limits hold at once; the lower one counts.",
        "Memory allows intensity * bandwidth.",
        "min(intensity * bandwidth, the largest peak), and the largest of no peaks is 0.",
    ),
)
def check_roof(answer, say):
    """``roof(intensity, bandwidth, peaks)``: what the roofline allows."""
    for intensity, bandwidth, peaks, hint in [
        (0.5, 20.0, [100.0], "here memory is the limit: 0.5 operations for each of 20 bytes"),
        (50.0, 20.0, [100.0], "here arithmetic is the limit: the slope is cut off by the flat roof"),
        (50.0, 20.0, [100.0, 400.0], "the work runs on the best unit"),
        (50.0, 20.0, [400.0, 100.0], "the best unit need not come last"),
        (5.0, 20.0, [], "without a unit nothing can be done: 0"),
    ]:
        got = answer(intensity, bandwidth, peaks)
        when = f"with intensity={intensity}, bandwidth={bandwidth}, peaks={peaks}"
        if isinstance(got, (int, float)) and len(peaks) > 1 and got == min(intensity * bandwidth, sum(peaks)):
            raise Incorrect(f"{when} you return {got:g}: the units do not add up, one of them does the work")
        want = min(intensity * bandwidth, max([0.0, *peaks]))
        expect_close(got, want, atol=1e-9, when=when, hint=hint)


@exercise(
    "01.4",
    title="Bound the tokens",
    difficulty=2,
    minutes=10,
    hints=(
        "How many bytes are the weights, scales included? A group of 32 shares 16 bits.",
        "A step takes the larger of two times: reading the weights once, and computing for all readers.",
        "In one step every reader gets one token: readers / max(bytes / bandwidth, 2 * n_weights * readers / peak).",
    ),
)
def check_tokens(answer, say):
    """``tokens_per_second(n_weights, n_bits, group_size, readers, bandwidth, peak)``: the bound of a batch."""
    cases = [
        (1024, 16, 16, 1, 1e3, 1e9, "reading is the limit: 1024 weights of 17 bits, one float16 scale for 16"),
        (1024, 4, 32, 1, 1e3, 1e9, "4 bits and 16 / 32 of a bit for the scale: 4.5 bits a weight"),
        (1024, 4, 32, 5, 1e9, 1e3, "computing is the limit: 2 operations for each weight and reader"),
        (1024, 4, 32, 5, 1e3, 1e9, "the weights are read once for all readers together"),
    ]
    for n_weights, n_bits, group_size, readers, bandwidth, peak, hint in cases:
        got = answer(n_weights, n_bits, group_size, readers, bandwidth, peak)
        when = (
            f"with n_weights={n_weights}, n_bits={n_bits}, group_size={group_size}, readers={readers}, "
            f"bandwidth={bandwidth:g}, peak={peak:g}"
        )
        n_bytes = n_weights * (n_bits + 16 / group_size) / 8
        times = n_bytes / bandwidth, 2 * n_weights * readers / peak
        want = readers / max(times)
        for mistake, other in [
            ("the scales are missing", readers / max(n_weights * n_bits / 8 / bandwidth, times[1])),
            ("a byte has 8 bits", readers / max(8 * times[0], times[1])),
            ("reading takes longer here, and the longer time counts", readers / times[1]),
            ("each reader gets a token in each step: count them all", 1 / times[1]),
            ("reading and computing overlap: the longer time counts, not the sum", readers / sum(times)),
        ]:
            if isinstance(got, (int, float)) and math.isclose(got, other) and not math.isclose(got, want, rel_tol=1e-9):
                raise Incorrect(f"{when} you return {got:.6g}, expected {want:.6g}: {mistake}")
        expect_close(got, want, atol=1e-9 * want, when=when, hint=hint)
    say("more readers cost nothing until computing takes as long as reading")


@exercise(
    "01.5",
    title="Find where int8 begins to pay",
    difficulty=3,
    minutes=12,
    hints=(
        "Write the inequality 'int8 < float32' and divide both sides by rows * width.",
        "width > overhead / (2 / peak * (1 - 1 / speedup)): the rows have gone.",
        "The first whole number above a limit is math.floor(limit) + 1; with speedup <= 1 nothing is ever saved.",
    ),
)
def check_first_width(answer, say):
    """``first_width(rows, peak, speedup, overhead)``: the smallest width where int8 is strictly faster."""
    # Powers of two throughout: the limit is exact in floating point, so 'strictly' can be tested.
    two_to_30 = 2.0**30
    for rows, peak, speedup, overhead, want, hint in [
        (1, two_to_30, 2.0, 10.75 / two_to_30, 11, "at width 10 float32 is faster, at 11 int8"),
        (1, two_to_30, 2.0, 10.0 / two_to_30, 11, "at width 10 both take equally long; strictly faster is 11"),
        (128, two_to_30, 2.0, 10.0 / two_to_30, 11, "rows stand on both sides of the inequality"),
        (1, two_to_30, 4.0, 15.0 / two_to_30, 11, "what int8 saves is 1 - 1 / speedup of the time in float32"),
        (1, two_to_30, 2.0, 0.0, 1, "without overhead int8 is faster from width 1"),
        (1, two_to_30, 1.0, 10.0 / two_to_30, 0, "a product that is no faster never pays: 0"),
        (1, two_to_30, 0.5, 10.0 / two_to_30, 0, "half the speed never pays: 0"),
    ]:
        when = f"with rows={rows}, peak=2**30, speedup={speedup:g}, overhead={overhead * two_to_30:g} / 2**30"
        got = answer(rows, peak, speedup, overhead)
        if got == math.floor(overhead * peak / 2) + 1 != want and want:
            mistake = "the product in int8 takes time too, 1 / speedup of the time in float32"
            raise Incorrect(f"{when} you return {got}, expected {want}: {mistake}")
        expect_equal(got, want, when=when, hint=hint)
        expect_type(got, int, when=when)
    say("in this model the rows do not matter: narrow layers lose at every batch size")
