# %% [markdown]
# # 02 Encode numbers
#
# **You will** take real weights apart bit by bit, draw every number that 4 and 8 bits can say, and find out which 8-bit
# format loses less on which tensor.
#
# **You learn** two's complement; sign, exponent, mantissa; ulp, subnormals, saturation, NaN; the names fp16, bf16,
# e4m3fn, e5m2, e2m1.
#
# **You need** [lesson 01](01_see_why_models_shrink.ipynb) (codes and a scale). About 45 minutes, difficulty 1 of 3.
#
# [previous: 01 See why models shrink](01_see_why_models_shrink.ipynb) ·
# [next: 03 Map reals to integers](03_map_reals_to_integers.ipynb)
#
# ---
#
# *FP8 or INT8?* Both take one byte. Graphics cards compute with both, and each has its believers. The answer depends on
# one property of your tensor, which you can measure in one line; you will.
#
# *My FP8 checkpoint is full of NaN in one library and fine in another.* That happens too, with the same number, 500,
# and both libraries keep to the standard.

# %% [markdown]
# ## A byte is a name
#
# Eight bits can be set in $2^8 = 256$ ways. That is all they are: 256 names. What a name stands for is an agreement,
# the **format**.
#
# **Predict.** The byte `10110100`, read as an unsigned integer, is $128 + 32 + 16 + 4 = 180$. What is it as an int8?

# %%
import ml_dtypes
import numpy as np

byte = np.array([0b10110100], dtype=np.uint8)
for dtype in [np.uint8, np.int8, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]:
    print(f"{np.dtype(dtype).name:14s} {byte.view(dtype)[0]}")

# %% [markdown]
# One byte, four numbers. `view` leaves the bits alone and changes the agreement. (`ml_dtypes` is the package that gives
# numpy the small formats of JAX and TensorFlow. It is our oracle today.)
#
# ## Two's complement
#
# Signed integers weigh the highest bit *negatively*, and all others as usual:
#
# $$ \mathrm{value} = -b_7\, 2^7 + \sum_{i=0}^{6} b_i\, 2^i $$
#
# So `10110100` is $180 - 2 \cdot 128 = -76$. Check the formula on all 256 bytes:

# %%
codes = np.arange(256, dtype=np.uint8)
bits = (codes[:, None] >> np.arange(8)) & 1
values = bits @ np.array([1, 2, 4, 8, 16, 32, 64, -128])
assert np.array_equal(values, codes.view(np.int8))
print(f"{values.size} bytes compared with numpy's int8, all equal; from {values.min()} to {values.max()}")

# %% [markdown]
# There is one more negative number than there are positive ones. And counting up from 127 leads to $-128$: the highest
# bit tips over. Nothing warns you.
#
# **Predict** four results:

# %%
x = np.array([127, -128, 100, 8], dtype=np.int8)
print("127 + 1          =", (x + np.int8(1))[0])
print("|-128|           =", np.abs(x)[1])
print("100 + 100        =", (x + x)[2])
print("8 as a 4-bit int =", x.astype(ml_dtypes.int4)[3])

# %% [markdown]
# Integers **wrap**: what does not fit loses its high bits. A quantizer must therefore clip *before* it converts. This
# is one of the oldest bugs in the field: `(x / scale).astype(np.int8)` can turn the largest activation into a negative
# number.
#
# ## Scientific notation, in binary
#
# Integers are evenly spaced. Floats are not: they are scientific notation, $\pm\, 1.\text{something} \times 2^{e}$. A
# float32 has three fields: the **sign** (1 bit), the **exponent** (8 bits, stored with 127 added, the *bias*, so that
# it is never negative), and the **mantissa** (23 bits of the something; the leading 1 is not stored).
#
# $$ x = (-1)^{S} \cdot 2^{\,E - 127} \cdot \left(1 + \frac{M}{2^{23}}\right) $$
#
# Three weights of EfficientNet-Lite0, in the raw:

# %%
from quantlab.lab import models

weights = models.efficientnet_weights()["_blocks.15._expand_conv.weight"]
for w in weights.ravel()[:3]:
    b = f"{w.view(np.uint32):032b}"
    print(f"{w:9.6f}  {b[0]} {b[1:9]} {b[9:]}")

# %% [markdown]
# Decode the second one by hand: sign `1`, so it is negative; exponent `01111011` = 123, and $123 - 127 = -4$. The
# mantissa begins with `1001...`, a little over $\frac12 + \frac1{16}$. So it is about $-1.57 / 16$.
#
# **Predict** the third one in the same way, to one digit. Then let numpy do it, for the whole tensor:

# %%
raw = weights.view(np.uint32)
S, E, M = raw >> 31, (raw >> 23) & 0xFF, raw & 0x7FFFFF
by_hand = (-1.0) ** S * 2.0 ** (E.astype(int) - 127) * (1 + M / 2**23)
for sign, exponent, mantissa, value in zip(S.flat[:3], E.flat[:3], M.flat[:3], by_hand.flat[:3], strict=True):
    print(f"S {sign}   E - 127 = {int(exponent) - 127}   M / 2^23 = {mantissa / 2**23:.4f}   {value:9.6f}")
wrong = by_hand != weights
print(f"{weights.size:,} weights decoded, {np.count_nonzero(wrong)} wrong; these have E = {np.unique(E[wrong])[0]}")

# %%
print("what they really are:", np.unique(weights[wrong]))

# %% [markdown]
# Zero. Of course: $1.\text{something}$ is never zero, however small the exponent. $E = 0$ must follow another rule, and
# for that we need smaller formats, where every case can be seen.

# %% [markdown]
# ## How much of the exponent does a network use?
#
# float32 reaches from $10^{-38}$ to $10^{38}$. Collect the exponents of all weights of two models, 27 million.
#
# **Predict.** How many of the 254 exponents hold 98 % of the weights?

# %%
two_models = [*models.efficientnet_weights().values(), *models.minilm_weights().values()]
everything = np.concatenate([w.ravel() for w in two_models if w.ndim > 1])
exponents = ((everything.view(np.uint32) >> 23) & 0xFF).astype(int) - 127
share = np.sort(np.bincount(exponents + 127))[::-1].cumsum() / everything.size
print(f"{everything.size:,} weights, largest exponent {exponents.max()}")
print(f"the 8 most frequent exponents hold {share[7]:.1%}, the 16 most frequent {share[15]:.2%}")

# %%
from quantlab.lab import plots

plots.histogram(
    {"exponent": exponents},
    limits=(-20.5, 3.5),
    bins=24,
    xlabel="exponent: the weight lies between 2^e and 2^(e+1)",
    title="27 million weights live within a few powers of two",
    alt="Histogram of exponents: a hump between -12 and -2 with its peak near -5, next to nothing elsewhere.",
)

# %% [markdown]
# Eight. Three bits of exponent would nearly do, and float32 spends eight. And how many of the 23 bits of mantissa are
# needed? Few, as this course will show. So both fields can shrink. That is all that the small formats are:
#
# | format | sign, exponent, mantissa | used for |
# | --- | --- | --- |
# | float32 | 1, 8, 23 | the baseline |
# | bfloat16 | 1, 8, 7 | training and inference: the upper half of a float32 |
# | float16 | 1, 5, 10 | inference: finer, but overflows at 65,520 |
# | e4m3fn | 1, 4, 3 | FP8 for weights and activations |
# | e5m2 | 1, 5, 2 | FP8 for gradients |
# | e2m1 | 1, 2, 1 | FP4, in blocks that share a scale |
#
# The names of the last three are the recipe: `e4m3` has 4 bits of exponent and 3 of mantissa.

# %% [markdown]
# ## The smallest one, in full: FP4
#
# e2m1 has 16 codes, few enough to see all. The exponent has 2 bits and the bias 1; the mantissa bit says "and a half".
# With $E = 1, 2, 3$ the recipe above gives $1, 1.5, 2, 3, 4, 6$.
#
# What about $E = 0$? By the same recipe it would be $0.5$ and $0.75$, and *zero would not exist*. So $E = 0$ drops the
# leading 1 and keeps the exponent of $E = 1$. These are the **subnormals**:
#
# $$ x = (-1)^{S} \cdot 2^{\,1 - \mathrm{bias}} \cdot \left(0 + \frac{M}{2^{m}}\right) \qquad \text{if } E = 0 $$
#
# Now the whole decoder fits into four lines. ($m$: bits of mantissa.)


# %%
def decode_small(codes, exp_bits, man_bits):
    """Values of the codes of a small float, infinity and NaN aside; the bias is 2**(exp_bits - 1) - 1."""
    E, M = (codes >> man_bits) & (2**exp_bits - 1), codes & (2**man_bits - 1)
    sign = np.where(codes >> (exp_bits + man_bits) & 1, -1.0, 1.0)
    leading = np.where(E > 0, 1, 0)
    return sign * 2.0 ** (np.maximum(E, 1) - (2 ** (exp_bits - 1) - 1)) * (leading + M / 2**man_bits)


# %%
from quantlab.formats import FLOAT4_E2M1FN, decode, grid_values

fp4 = decode_small(np.arange(16), exp_bits=2, man_bits=1)
assert np.array_equal(fp4, decode(np.arange(16, dtype=np.uint8), FLOAT4_E2M1FN))
print("codes 0-7: ", fp4[:8])
print("codes 8-15:", fp4[8:])

# %%
plots.number_line(
    {"int4": range(-8, 8), "e2m1": grid_values(FLOAT4_E2M1FN)},
    title="Four bits as integers and as floats: fine near zero, or even everywhere",
    alt="16 even ticks from -8 to 7 above 15 ticks from -6 to 6, dense near zero and sparse at the ends.",
)

# %% [markdown]
# Two zeros, $+0$ and $-0$, are why 16 codes make 15 values. Look at the spacing: from 0 to 2 it is a half, from 2 to 4
# it is 1, then 2. It doubles with each power of two.
#
# ## Eight bits
#
# e4m3fn and e5m2 spend the same eight bits differently. Stretch all three formats so that their largest value is 1:

# %%
from quantlab.formats import FLOAT8_E4M3FN, FLOAT8_E5M2

grids = {"int8": np.arange(-127, 128) / 127}
for name, fmt in {"e4m3fn": FLOAT8_E4M3FN, "e5m2": FLOAT8_E5M2}.items():
    grids[name] = grid_values(fmt) / fmt.max
plots.number_line(
    {name: g[g >= 0] for name, g in grids.items()},
    xlabel="share of the largest value",
    title="The positive half of three 8-bit formats: who has marks where?",
    alt="int8 is an even comb from 0 to 1; e4m3fn and e5m2 crowd towards 0 and are sparse above one half.",
)

# %%
for name, g in grids.items():
    g = g[g > 0]
    print(f"{name:7s} {g.size} positive values, {np.mean(g <= 1 / 16):.0%} of them in the lowest sixteenth")

# %% [markdown]
# About the same number of marks, in other places. Near 1 an int8 is many times finer; near 0 it has nothing at all, where a float
# goes on halving. Try it: the sliders set the two fields, and the integer beside it gets as many bits. At `exp bits` 1
# something surprising happens.

# %%
from quantlab.formats import FloatFormat
from quantlab.lab import widgets


def draw(exp_bits, man_bits):
    fmt = FloatFormat("custom", exp_bits, man_bits, bias=2 ** (exp_bits - 1) - 1, specials="none")
    n_bits = 1 + exp_bits + man_bits
    even = np.arange(2 ** (n_bits - 1)) / (2 ** (n_bits - 1) - 1)
    marks = grid_values(fmt)[grid_values(fmt) >= 0] / fmt.max
    plots.number_line(
        {f"int{n_bits}": even, f"e{exp_bits}m{man_bits}": marks},
        xlabel="share of the largest value",
        title=f"e{exp_bits}m{man_bits}: largest / smallest = {marks[-1] / marks[1]:,.0f}",
        alt=f"The positive marks of a {n_bits}-bit integer and of a float with {exp_bits} and {man_bits} bits.",
    )


widgets.explore(draw, exp_bits=widgets.slider(1, 5, start=3), man_bits=widgets.slider(1, 4, start=2))

# %% [markdown]
# With one exponent bit the float *is* an integer: all its values have the same spacing. Floats and
# integers are the two ends of one family.
#
# ## Equal to ml_dtypes, every bit pattern
#
# A format with at most 16 bits can be tested completely. First decoding: every code of every format that quantlab
# knows.

# %%
from quantlab.formats import FORMATS

small = {name: fmt for name, fmt in FORMATS.items() if fmt.n_bits <= 16}
n_codes = 0
for name, fmt in small.items():
    codes = np.arange(2**fmt.n_bits, dtype=fmt.dtype)
    theirs = codes.view(getattr(ml_dtypes, name, name)).astype(np.float32)
    assert np.array_equal(decode(codes, fmt), theirs, equal_nan=True), name
    n_codes += codes.size
print(f"{len(small)} formats, {n_codes:,} codes decoded, all equal to ml_dtypes (float16: to numpy)")

# %% [markdown]
# Then encoding: which code does a real number get? The nearest value's; and exactly in the middle, the even code's. The
# hard cases are the middles and their neighbours, so take all of them:

# %%
from quantlab.formats import encode

n_values = 0
for name, fmt in small.items():
    v = grid_values(fmt)
    middle = ((v[1:].astype(np.float64) + v[:-1]) / 2).astype(np.float32)
    x = np.concatenate([v, middle, np.nextafter(middle, np.float32(np.inf)), np.nextafter(middle, np.float32(-np.inf))])
    theirs = x.astype(getattr(ml_dtypes, name, name)).view(fmt.dtype)
    assert np.array_equal(encode(x, fmt), theirs), name
    n_values += x.size
print(f"{n_values:,} values encoded, all equal")

# %% [markdown]
# ## The gap at your number: ulp
#
# The distance between neighbours is called **ulp** (unit in the last place). With $m$ bits of mantissa it is
#
# $$ \mathrm{ulp}(x) = 2^{\lfloor \log_2 |x| \rfloor - m} $$
#
# for normal numbers, so it grows with $x$, and rounding is off by at most half of it: a *relative* error of at most
# $2^{-(m+1)}$, the same for large and small numbers. In bfloat16, $m = 7$.
#
# **Predict.** Start at 0 in bfloat16 and add 1, a thousand times. Where do you end?

# %%
from quantlab.formats import BFLOAT16, ulp

total, one = ml_dtypes.bfloat16(0), ml_dtypes.bfloat16(1)
for _ in range(1000):
    total = total + one
print("sum:", total, "  ulp at 255:", ulp(np.float32(255), BFLOAT16), "  ulp at 256:", ulp(np.float32(256), BFLOAT16))

# %% [markdown]
# At 256 the neighbours are 2 apart. $256 + 1$ is a tie, goes to the even code, and that is 256 again: the sum stands
# still. This is why hardware that multiplies in 8 or 16 bits usually *adds* in 32, and why an optimizer that keeps its weights
# in bfloat16 loses small updates.
#
# ## Near zero: what subnormals are for
#
# Without subnormals the smallest number is $2^{1 - \mathrm{bias}}$, and between it and zero there is a hole much wider
# than the gaps on its other side. In e4m3fn:

# %%
g = grid_values(FLOAT8_E4M3FN)
near = g[(g >= 0) & (g <= 2.5 / 64)]
normal = near[(near == 0) | (near >= FLOAT8_E4M3FN.smallest_normal)]
plots.number_line(
    {"e4m3fn": near, "no subnormals": normal},
    marks={"smallest normal": FLOAT8_E4M3FN.smallest_normal},
    title="Subnormals fill the hole around zero with even steps",
    alt="e4m3fn has seven evenly spaced values between zero and 1/64; without subnormals there are none.",
)

# %% [markdown]
# Does it matter? Cast a weight matrix of MiniLM to e4m3fn, once as the format is, once with everything below the
# smallest normal number set to zero (some hardware does that, to be fast). The error is the root of the mean squared
# error, relative to the root mean square of the weights.
#
# **Predict.** What share of the weights is below $1/64$?

# %%
from quantlab.formats import cast

W = models.minilm_weights()["encoder.layer.0.output.dense.weight"].astype(np.float64)
tiny = np.abs(W) < FLOAT8_E4M3FN.smallest_normal
with_subnormals = cast(W, FLOAT8_E4M3FN)
flushed = np.where(tiny, 0, with_subnormals)
print(f"{tiny.mean():.0%} of the weights are below 1/64")
for name, W_hat in [("as it is", with_subnormals), ("flushed to zero", flushed)]:
    print(f"{name:16s} error {np.linalg.norm(W - W_hat) / np.linalg.norm(W):.1%}")

# %% [markdown]
# Four times the error. There is another way out, and you know it from lesson 01: a **scale**. Divide the tensor so that
# its largest value meets the format's largest, and multiply afterwards. For FP4 it is not optional:

# %%
w = weights.astype(np.float64)
for fmt in (FLOAT8_E4M3FN, FLOAT4_E2M1FN):
    s = np.abs(w).max() / fmt.max
    errors = [np.linalg.norm(w - w_hat) / np.linalg.norm(w) for w_hat in (cast(w, fmt), s * cast(w / s, fmt))]
    print(f"{fmt.name:15s} unscaled {errors[0]:6.1%}   scaled {errors[1]:6.1%}   all zeros would be 100%")

# %% [markdown]
# FP8 gets along without a scale as long as few numbers lie below its smallest normal one. FP4 rounds nearly every unscaled weight to zero.
#
# ## The other end: who saturates, who says NaN
#
# IEEE 754 reserves the highest exponent for infinity and NaN. With 8 bits that is a waste, so e4m3fn reserves one code
# (and its negative): all ones. That is the `fn` in its name, **f**inite with **N**aN: no infinity.

# %%
for name in ("float16", "float8_e5m2", "float8_e4m3", "float8_e4m3fn", "float8_e4m3fnuz", "float4_e2m1fn"):
    v = decode(np.arange(2 ** FORMATS[name].n_bits, dtype=FORMATS[name].dtype), FORMATS[name])
    print(
        f"{name:16s} largest {FORMATS[name].max:7g}   NaN codes {np.isnan(v).sum():5d}   infinities {np.isinf(v).sum()}"
    )

# %% [markdown]
# Then what becomes of 500, when 448 is the largest value and there is no infinity? The specification of the Open
# Compute Project allows two answers.
#
# **Predict** the four rows, for torch and for ml_dtypes.

# %%
import torch

x = np.array([448, 464, 465, 500, -1e6, np.inf], dtype=np.float32)
rows = {
    "torch e4m3fn": torch.from_numpy(x).to(torch.float8_e4m3fn).float().numpy(),
    "ml_dtypes e4m3fn": x.astype(ml_dtypes.float8_e4m3fn).astype(np.float32),
    "torch e5m2 (128 x)": torch.from_numpy(128 * x).to(torch.float8_e5m2).float().numpy(),
    "ml_dtypes e5m2 (128 x)": (128 * x).astype(ml_dtypes.float8_e5m2).astype(np.float32),
}
print(f"{'x':24s}" + "".join(f"{v:>9g}" for v in x))
for name, row in rows.items():
    print(f"{name:24s}" + "".join(f"{v:>9g}" for v in row))

# %% [markdown]
# torch (2.13) **saturates** in e4m3fn: everything too large becomes 448, infinity included. ml_dtypes, and with it JAX,
# makes NaN of all that would round beyond 448 (464 is the tie, and goes to the even code). In e5m2, which has an
# infinity, both use it. ONNX lets you choose. In quantlab, too, and the two choices are the two libraries:

# %%
ties = np.concatenate([x, g, -x]).astype(np.float32)
ours = {keep: cast(ties, FLOAT8_E4M3FN, saturate=keep) for keep in (True, False)}
assert np.array_equal(ours[True], torch.from_numpy(ties).to(torch.float8_e4m3fn).float().numpy())
assert np.array_equal(ours[False], ties.astype(ml_dtypes.float8_e4m3fn).astype(np.float32), equal_nan=True)
print(f"{ties.size} values: saturate=True equals torch, saturate=False equals ml_dtypes")

# %% [markdown]
# Saturating hides the overflow, NaN spreads it: one NaN in a matrix, and a whole row of the product is NaN. A scale
# chosen from the largest value avoids the question, as long as no later value is larger.
#
# And mind the name to its last letter. AMD's earlier FP8 (`fnuz`) has the bias 8 where e4m3fn has 7. Read one as the
# other:

# %%
from quantlab.formats import FLOAT8_E4M3FNUZ

codes = np.arange(1, 127, dtype=np.uint8)
ratio = decode(codes, FLOAT8_E4M3FN) / decode(codes, FLOAT8_E4M3FNUZ)
print(f"the same {codes.size} bytes, e4m3fn / e4m3fnuz: {np.unique(ratio)}")

# %% [markdown]
# Every value is off by a factor of two, nothing overflows, and the model talks nonsense.
#
# ## FP8 or INT8?
# Now the first question. Six real tensors and some noise, each scaled so that its largest value meets the format's
# largest. To each belongs one number: how large is the largest value, in units of the root mean square?
#
# **Predict.** Which of the tensors do you give to int8, which to e4m3?

# %%
from quantlab.lab import data, minilm

cat = data.photographs(["cat"])["cat"][38:262, 113:337]
layers = ["_blocks.3._depthwise_conv", "_blocks.3._expand_conv"]
acts = models.efficientnet_activations(cat[None], layers=layers, side="input")
sentence = "A cat sleeps on the warm sill while rain falls on the street."
inner = minilm.minilm_activations([sentence], layers=["encoder.layer.3.output.dense"], side="input")
tensors = {
    "uniform noise": np.random.default_rng(0).uniform(-1, 1, 200_000),
    "cat, after ReLU6": acts[layers[0]],
    "cat, before block 3": acts[layers[1]],
    "Lite0 weights": weights,
    "word vectors": models.minilm_weights()["embeddings.word_embeddings.weight"],
    "sentence, in layer 3": inner["encoder.layer.3.output.dense"],
    "MiniLM weights": W,
}

# %%
from quantlab.formats import FLOAT8_E3M4

errors = {"max / rms": [], "int8": [], "e3m4": [], "e4m3fn": [], "e5m2": []}
for v in tensors.values():
    v = v.astype(np.float64)
    largest, size = np.abs(v).max(), np.linalg.norm(v)
    errors["max / rms"].append(largest / (size / np.sqrt(v.size)))
    errors["int8"].append(np.linalg.norm(v - np.rint(v / largest * 127) * largest / 127) / size)
    for name, fmt in {"e3m4": FLOAT8_E3M4, "e4m3fn": FLOAT8_E4M3FN, "e5m2": FLOAT8_E5M2}.items():
        s = largest / fmt.max
        errors[name].append(np.linalg.norm(v - s * cast(v / s, fmt)) / size)

# %%
print(" " * 22 + "max/rms    int8    e3m4  e4m3fn    e5m2")
for i, name in enumerate(tensors):
    ratio, *row = (column[i] for column in errors.values())
    print(f"{name:22s}{ratio:7.1f}" + "".join(f"{e:8.1%}" for e in row))

# %%
ratio = np.array(errors.pop("max / rms"))
plots.lines(
    ratio,
    {name: 100 * np.array(e) for name, e in errors.items()},
    logx=True,
    logy=True,
    dots=True,
    xlabel="largest value / root mean square",
    ylabel="error in %",
    title="int8 pays for outliers; a float pays the same, until its range ends",
    alt="Error against outlier size: int8 rises along a straight line from 0.4 to 40 percent and crosses the flat "
    "lines of e4m3fn at 2.6 and e5m2 at 5.2 percent; e3m4 stays near 1.3 and bends up at the last two tensors.",
)

# %% [markdown]
# There is the answer. An **int8** has one step for all, and the largest value sets it: its error grows in proportion to
# max / rms. A **float** has steps in proportion to each number: its error is nearly the same for every tensor. Each
# mantissa bit halves it: about 5 % with two bits, 2.6 % with three, 1.3 % with four. (e3m4 loses that on the last two
# tensors: with three exponent bits its range ends soon, and below its smallest normal number the steps shrink no more.)
#
# Where is the draw? Divide the flat error by int8's slope:

# %%
slope = np.median(np.array(errors["int8"]) / ratio)
print(f"int8's error: {slope:.2%} for each unit of max / rms")
for name in ("e4m3fn", "e5m2"):
    print(f"a draw with {name} at max / rms = {np.median(errors[name]) / slope:.0f}")

# %% [markdown]
# Below 11, int8 beats e4m3fn: on the cat after ReLU6 by more than a factor of four, although half of its codes, the
# negative ones, go unused. Above it, e4m3fn wins, on MiniLM's matrix by a factor of fifteen. So measure that one
# number.
#
# Why a slope of 0.23 %? That is one line of algebra, in [lesson 03](03_map_reals_to_integers.ipynb).

# %% [markdown]
# ## Where it breaks
#
# - **"FP8 has more range, so it is better."** Range is only worth something to a tensor with outliers. If you can
#   remove the outliers, or give them a scale of their own (lesson 04), int8 wins again. That is half of this course.
# - **"An error of 2.6 % in each weight is an error of 2.6 % in the result."** Independent errors partly cancel in a
#   sum; a bias in all of them does not. What a network makes of them has to be measured.
# - **A file format is more than a data type.** Four-bit codes have no dtype in numpy and lie two to a byte, in one of
#   two orders. Read them in the wrong order, and neighbours change places:

# %%
from quantlab.formats import pack, unpack

q = np.array([1, -2, 7, -8], dtype=np.int8)
packed = pack(q, n_bits=4, order="little")
print("bytes          ", [f"{byte:08b}" for byte in packed])
print("right order    ", unpack(packed, n_bits=4, count=4, signed=True, order="little"))
print("the other order", unpack(packed, n_bits=4, count=4, signed=True, order="big"))

# %% [markdown]
# The error is silent: same values, same histogram, a broken model. Formats of 4 bits are used today in **blocks**, 16
# or 32 values with a scale of their own, which tames the outliers; a later part of the course is about them.

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. You count 10,000 images by adding 1 to a float16, 10,000 times. Where does the count end?**
#
# <details><summary><b>a.</b> At 10,000.</summary>
#
# > No. float16 goes up to 65,504, and 10,000 is one of its numbers, but not every number on the way is. Counting
# > needs each of them. Range and fineness are two things: the one is the exponent's, the other the mantissa's.
#
# </details>
# <details><summary><b>b.</b> At 256.</summary>
#
# > No. That was bfloat16 on this page, with 7 bits of mantissa. float16 has 10, so its gaps are an eighth as wide at
# > the same number.
#
# </details>
# <details><summary><b>c.</b> At 2,048.</summary>
#
# > Yes. With $m = 10$ the gap is 1 up to $2^{11} = 2048$, and 2 from there on. $2048 + 1$ is a tie, goes to the even
# > code, and that is 2048 again. The finer format stops too, only later. So sums are kept in 32 bits.
#
# </details>

# %% [markdown]
# **2. The largest value of a tensor is 40 times its root mean square. The chip offers int8, e4m3fn and e5m2, each
# with one scale for the whole tensor. Which one will lose least?**
#
# <details><summary><b>a.</b> int8.</summary>
#
# > No. It has seven bits for the size of a number, where the floats have a mantissa of three or two: but only at the
# > top of its range, where almost no value lies. By the slope of this page int8 loses $40 \cdot 0.23\,\% = 9\,\%$.
# > Its step is set by the largest value, and everybody pays for it.
#
# </details>
# <details><summary><b>b.</b> e4m3fn.</summary>
#
# > Yes. About 2.6 %, as for nearly every tensor of the table: int8 would lose $40 \cdot 0.23\,\% = 9\,\%$, and e5m2
# > about 5 %. The range of e4m3fn was wide enough for a ratio of 175.
#
# </details>
# <details><summary><b>c.</b> e5m2.</summary>
#
# > No. Outliers need range, but no more than they use. e4m3fn has enough for a ratio of 175 in the table, and e5m2
# > pays for the range it adds with a bit of mantissa, which doubles the error to 5 %.
#
# </details>

# %% [markdown]
# **3. All values of a tensor are between 1/64 and 200 in size. You double them before the cast to e4m3fn, and halve
# them afterwards. What happens to the error?**
#
# <details><summary><b>a.</b> Nothing: every value is rounded as before.</summary>
#
# > Yes. Doubling adds 1 to the exponent and leaves the mantissa alone, and 400 still fits. So the same bits are
# > rounded away, and the error is the same to the last bit. A scale helps a float only at the ends of its range:
# > against overflow (448), and below the smallest normal number (1/64).
#
# </details>
# <details><summary><b>b.</b> It halves: the tensor uses more of the range.</summary>
#
# > No. So it would for integers, whose step stays as it is while the values grow. A float's gap grows with the value,
# > and the relative error is what it was.
#
# </details>
# <details><summary><b>c.</b> It doubles: larger numbers have larger gaps.</summary>
#
# > No. Before you halve, it does. Halving the result halves the error as well.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Bits are names; the format says what they stand for. Two's complement wraps, so clip before you convert.
# - A float is sign, exponent, mantissa. Exponent bits buy range, each mantissa bit halves the error.
# - ulp is the gap between neighbours; it grows with the number. Sums need more bits than products.
# - Subnormals fill the hole around zero; without them, or without a scale, small formats lose small weights.
# - Beyond the largest value: torch's e4m3fn saturates, ml_dtypes gives NaN. Check which you have.
# - int8 suits tensors without outliers, FP8 those with; max / rms decides, near 11 for e4m3fn.
#
# **Now you:** [the exercises](../exercises/02_encode_numbers/02_encode_numbers.ipynb), five of them, from one bit
# pattern to packed bytes. `quantlab start 02` makes a copy of your own, which no update touches.
#
# [previous: 01 See why models shrink](01_see_why_models_shrink.ipynb) ·
# [next: 03 Map reals to integers](03_map_reals_to_integers.ipynb)

# %% [markdown]
# ## Reading
#
# - D. Goldberg, [What Every Computer Scientist Should Know About Floating-Point
#   Arithmetic](https://doi.org/10.1145/103162.103163), ACM Computing Surveys 23(1), 1991.
# - P. Micikevicius et al., [FP8 Formats for Deep Learning](https://arxiv.org/abs/2209.05433), 2022. Where e4m3 and e5m2
#   come from, and why one has no infinity.
# - M. van Baalen et al., [FP8 versus INT8 for efficient deep learning inference](https://arxiv.org/abs/2303.17951),
#   2023. The last question of this page, on whole networks.
# - A. Kuzmin et al., [FP8 Quantization: The Power of the Exponent](https://arxiv.org/abs/2208.09225), 2022.
# - Open Compute Project,
#   [8-bit Floating Point Specification (OFP8) 1.0](https://www.opencompute.org/documents/ocp-8-bit-floating-point-specification-ofp8-revision-1-0-2023-12-01-pdf-1),
#   2023: the two answers to an overflow. And its
#   [Microscaling Formats (MX) Specification 1.0](https://www.opencompute.org/documents/ocp-microscaling-formats-mx-v1-0-spec-final-pdf),
#   2023. FP8, FP6 and FP4 in blocks.
# - [ml_dtypes](https://github.com/jax-ml/ml_dtypes), and
#   [float stored in 8 bits](https://onnx.ai/onnx/technical/float8.html) in the documentation of ONNX, with tables of
#   who saturates when.
