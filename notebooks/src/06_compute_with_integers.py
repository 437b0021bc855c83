# %% [markdown]
# # 06 Compute with integers
#
# **You will** run a real layer on integers alone, predict where it overflows, and end up equal to the LiteRT runtime in
# every one of 24,000 outputs. **You learn** accumulator, zero-point correction, bias scale, fixed-point requantization,
# double rounding. **You need** lessons 03 to 05. About 40 minutes, difficulty 3 of 3.
# &nbsp; [previous: 05 Calibrate ranges](05_calibrate_ranges.ipynb) ·
# [next: 07 Train through rounding](07_train_through_rounding.ipynb)
#
# "What is the exact integer arithmetic of a TFLite layer, double rounding included?" People ask this when they build an
# accelerator, write a kernel for a microcontroller, or port a model. They need every bit: an implementation that is off
# by one in one output of a thousand looks the same as one with a bug. The usual answers stop at "multiply, add,
# rescale". This page does not stop there.
#
# ## A real layer
#
# The last layer of EfficientNet-Lite0 turns 1,280 features of a photograph into 1,000 class scores. We take crops of four
# photographs to choose ranges, and crops of six others to test. These are the test crops, one of each:

# %%
import numpy as np

from quantlab.lab import data, models, plots

rng = np.random.default_rng(6)
calibration = ["china", "coffee", "flower", "tissue"]
test = ["astronaut", "cat", "galaxies", "motorcycle", "retina", "rocket"]
assert not set(calibration) & set(test)
photos = data.photographs(calibration + test)
crops = {name: data.crops(photo, n=4, rng=rng) for name, photo in photos.items()}
plots.images(
    {name: crops[name][0] for name in test},
    title="What the layer will be asked about",
    alt="Six square crops: an astronaut, a cat, a field of galaxies, a motorcycle, a retina, a rocket.",
)

# %%
weights = models.efficientnet_weights()
W, b = weights["_fc.weight"], weights["_fc.bias"]
images = np.concatenate(list(crops.values()))
before = models.efficientnet_activations(images, layers=["_fc"], side="input", compute="float64")
x_calibration, x = before["_fc"][:16], before["_fc"][16:]
y_float = x @ W.T + b
winner = y_float.argmax(axis=1)
print(f"x {x.shape}, W {W.shape}, b from {b.min():.2f} to {b.max():.2f}, y {y_float.shape}")
print(dict(zip(test, winner.reshape(6, 4).tolist(), strict=True)))

# %% [markdown]
# Class 285 is ImageNet's "Egyptian cat", 665 "moped", 657 "missile". Some of the pictures show nothing that ImageNet
# knows; the layer answers all the same, and that is what we reproduce.
#
# Three rulers, as in lesson 03. The features are averages of ReLU6 outputs, so their range is $[0, 6]$ and needs no
# calibration. The weights get a symmetric ruler without the mark $-128$. The range of the outputs comes from the
# calibration photographs, rounded outward to whole numbers.

# %%
from quantlab import Grid, choose_qparams, dequantize, quantize, sqnr_db

int8, narrow = Grid(n_bits=8), Grid(n_bits=8, narrow=True)
y_calibration = x_calibration @ W.T + b
x_qp = choose_qparams(0, 6, grid=int8)
w_qp = choose_qparams(W.min(), W.max(), grid=narrow, symmetric=True)
y_qp = choose_qparams(np.floor(y_calibration.min()), np.ceil(y_calibration.max()), grid=int8)
for name, qp in [("x", x_qp), ("W", w_qp), ("y", y_qp)]:
    print(f"{name}: scale {qp.scale:.6f}, zero point {qp.zero_point}")

# %% [markdown]
# Put $x = s_x (q_x - z_x)$ and $W = s_w q_w$ into the layer, and every real number moves in front of the sum:
#
# $$ y_{no} = \sum_k x_{nk} W_{ok} + b_o
#    = s_x s_w \Big( \underbrace{\sum_k (q_{x,nk} - z_x)\, q_{w,ok} + b_o / (s_x s_w)}_{\text{the accumulator } a_{no}} \Big),
#    \qquad q_y = \mathrm{clip}\Big(\mathrm{round}\Big( \frac{s_x s_w}{s_y}\, a \Big) + z_y\Big) $$
#
# What is inside the bracket can be an integer. The rest of the page makes it one, term by term.
#
# ## The product of two int8 is no int8
#
# **Predict.** `x_q @ w_q.T` multiplies two int8 matrices, and numpy returns int8. What share of the 24,000 sums is right?

# %%
x_q, w_q = quantize(x, x_qp), quantize(W, w_qp)
wide = x_q.astype(np.int32) @ w_q.astype(np.int32).T
same_dtype = x_q @ w_q.T
print("100 * 2 in int8:", np.array([100], np.int8) * np.array([2], np.int8))
print(f"right in {same_dtype.dtype}: {(same_dtype == wide).mean():.1%} of the sums; by chance {1 / 256:.1%}")

# %% [markdown]
# No warning, and nothing left but the last 8 bits: right as often as a guess among 256. A product of two 8-bit numbers
# needs 16 bits, and a sum of many needs more. The register that the sum grows in is the **accumulator**.
#
# ## How wide must the accumulator be?
#
# **Predict.** The largest product is $(-128)(-128) = 2^{14}$. How many such products fit into int16? Into int32?

# %%
for n_bits in (16, 32):
    print(f"int{n_bits}: at most {(2 ** (n_bits - 1) - 1) // 2**14:,} products of 2**14")

# %% [markdown]
# int16 holds one; the second overflows it, by one. int32 holds 131,071, a hundred times what this layer adds up.
# That is a worst case. Here are four real sums as they grow over the 1,280 features, three of them for the class that
# wins:

# %%
shifted = x_q.astype(np.int32) - x_qp.zero_point
growing = {
    f"{test[n // 4]}, class {o}": np.cumsum(shifted[n] * w_q[o].astype(np.int32))
    for n, o in [(0, winner[0]), (4, winner[4]), (12, winner[12]), (4, 0)]
}
ends = {"int16 ends": np.full(1280, 2**15 - 1), "int16 begins": np.full(1280, -(2**15))}
plots.lines(
    np.arange(1, 1281),
    growing | ends,
    title="The sums that win leave int16 far behind",
    alt="Three rising curves, the winning classes of three photographs, leave the band of int16 "
    "and end at two to more than three times its height; a fourth curve, of a class that does "
    "not win, stays inside.",
    xlabel="products added",
    ylabel="accumulator",
    dots=False,
)

# %% [markdown]
# **Predict.** Most of the 24,000 sums fit into int16. If we keep only 16 bits of each, how many of the 24 crops
# keep their winning class?

# %%
total = shifted @ w_q.astype(np.int32).T
kept = total.astype(np.int16)
print(f"sums that end outside int16: {(total != kept).mean():.1%}")
print("winners, with 32 bits:", (total.argmax(axis=1) == winner).sum(), "of 24")
print("winners, with 16 bits:", (kept.argmax(axis=1) == winner).sum(), "of 24")

# %% [markdown]
# Few sums overflow, and they are the ones that matter: a class wins because its sum is large. One subtlety is
# worth knowing. Leaving the range *on the way* does no harm if the register wraps, because wrapped addition is exact
# modulo $2^{16}$; only the end counts. A register that **saturates** forgets what it cut off:

# %%
saturating = np.zeros_like(total)
for k in range(1280):
    saturating = np.clip(saturating + shifted[:, k, None] * w_q[:, k], -(2**15), 2**15 - 1)
fits = total == kept
print(f"ends inside int16: {fits.sum():,} sums")
print(f"  a wrapping register has all of them right: {np.array_equal(kept[fits], total[fits])}")
print(f"  a saturating one has {(saturating[fits] != total[fits]).sum():,} of them wrong")

# %% [markdown]
# ## Exact integers from floating-point hardware
#
# numpy multiplies integer matrices in a plain loop; float matrices go to BLAS, which is far faster. A float32 holds every
# integer up to $2^{24}$. As long as no partial sum is larger, nothing is ever rounded, so neither the order of the sum
# nor a fused multiply-add can change the result. With int8 that is certain for $2^{24} / 2^{14} = 1024$ products.
#
# **Predict.** Take 1,024 products of $2^{14}$, and add one product of $1 \cdot 1$. What does float32 say?

# %%
a = np.full((1, 1025), -128, np.int8)
a[0, -1] = 1
exact = a.astype(np.int64) @ a.astype(np.int64).T
as_float = a.astype(np.float32) @ a.astype(np.float32).T
print("exact  ", exact.item(), "= 2**24 + 1")
print("float32", int(as_float.item()))

# %% [markdown]
# $2^{24} + 1$ is not a float32: one product too many, and the sum is off by one. Our layer sums 1,280 products. Its weights
# are small, so that no input can bring a sum to $2^{24}$, and a single float32 product is right; but that is a fact about
# these weights, not about int8. `quantlab.int_matmul` cuts the sum into blocks of at most 1,024 and adds the blocks as
# integers, so it is right for all weights and all inputs:

# %%
from quantlab import int_matmul

largest = 128 * np.abs(w_q.astype(np.int32)).sum(axis=1).max()
print(f"largest sum that these weights allow: {largest:,}; 2**24 is {2**24:,}")
print("one float32 product, layer:", np.array_equal(x_q.astype(np.float32) @ w_q.astype(np.float32).T, wide))
print("int_matmul, layer:", np.array_equal(int_matmul(x_q, w_q.T), wide))
print("int_matmul, counterexample:", int_matmul(a, a.T).item())

# %% tags=["nbval-ignore-output"]
from timeit import repeat

many, many_32, w_32 = np.tile(x_q, (8, 1)), np.tile(x_q, (8, 1)).astype(np.int32), w_q.astype(np.int32)
fast = min(repeat(lambda: int_matmul(many, w_q.T), number=1, repeat=7))
slow = min(repeat(lambda: many_32 @ w_32.T, number=1, repeat=3))
print(f"numpy's int32 product takes {slow / fast:.0f} times as long as int_matmul")
assert slow > 2 * fast

# %% [markdown]
# The number above is from the machine that ran this page. The reason holds anywhere: BLAS uses vector instructions
# and keeps blocks of both matrices in cache; numpy's integer loop does neither.
#
# ## Take the zero points out of the loop
#
# So far we subtracted $z_x$ from every input. The difference needs 9 bits, which would spoil the 8-bit product. Expand
# it instead, here with a weight zero point $z_w$ as well:
#
# $$ \sum_k (q_x - z_x)(q_w - z_w) = \sum_k q_x q_w \;-\; z_x \sum_k q_w \;-\; z_w \sum_k q_x \;+\; K z_x z_w $$
#
# One product of 8-bit matrices, one sum a weight row, one sum an input row, one constant.

# %%
K, z_x, z_w = 1280, int(x_qp.zero_point), 3  # an invented z_w, so that all four terms are at work
by_hand = (x_q.astype(np.int64) - z_x) @ (w_q.astype(np.int64) - z_w).T
w_sums, x_sums = w_q.sum(axis=1, dtype=np.int32), x_q.sum(axis=1, dtype=np.int32)
expanded = int_matmul(x_q, w_q.T) - z_x * w_sums - z_w * x_sums[:, None] + K * z_x * z_w
print("equal:", np.array_equal(by_hand, expanded))
print(f"multiplications: {x_q.size * len(w_q):,} for the product,", w_sums.size + x_sums.size, "to correct")

# %% [markdown]
# TFLite fixes $z_w = 0$ for weights, and the last two terms are gone. The second term knows nothing of the input: it is
# computed once, when the model is converted, and added to the bias. So an asymmetric input costs nothing at run time,
# while an asymmetric weight costs a sum over every input row. That is why weights are symmetric.
#
# A control: leave the correction out.

# %%
uncorrected = int_matmul(x_q, w_q.T)
corrected = uncorrected - z_x * w_sums
print("z_x * row sums of W reach from", (z_x * w_sums).min(), "to", (z_x * w_sums).max())
print("winners without the correction:", (uncorrected.argmax(axis=1) == winner).sum(), "of 24")
print("winners with it:", (corrected.argmax(axis=1) == winner).sum(), "of 24")

# %% [markdown]
# The rows of $W$ have different sums, so each class was shifted by another amount.
#
# ## A bias in the accumulator's own steps
#
# One step of the accumulator is worth $s_x s_w$. A bias in these steps can be added before anything is rounded:
# $b_q = \mathrm{rint}(b / (s_x s_w))$, an int32.
#
# **Predict.** The largest bias is 0.33 in size, and $s_x s_w \approx 0.00009$. Would an int8 hold it?

# %%
from quantlab.integer.requantize import bias_scale, quantize_bias

step = bias_scale(x_qp.scale, w_qp.scale)
bias_q = quantize_bias(b, x_scale=x_qp.scale, w_scale=w_qp.scale)
print(f"step {step:.3e}, bias codes from {bias_q.min():,} to {bias_q.max():,}, {bias_q.nbytes:,} bytes")
print(f"largest error {np.abs(bias_q * np.float64(step) - b).max():.2e}, half a step {step / 2:.2e}")

acc = int_matmul(x_q, w_q.T) - z_x * w_sums + bias_q
print(f"accumulators from {acc.min():,} to {acc.max():,}, {acc.dtype}")

# %% [markdown]
# The largest code needs 13 bits. In int8 the bias would saturate, or need coarser steps of its own, and an error in it
# goes into *every* output of its class. As int32 it costs 4 bytes a class, beside 1,280 weights.
#
# ## One real multiplier, as an int32 and a shift
#
# Now the accumulator counts in steps of $s_x s_w$, and the output in steps of $s_y$. Between them stands one real number,
# $M = s_x s_w / s_y$. Write it as a fraction in $[\tfrac12, 1)$ times a power of two, and store the fraction in 31 bits:
#
# $$ M = \frac{m}{2^{31}} \cdot 2^{s}, \qquad 2^{30} \le m < 2^{31} $$

# %%
import math

from quantlab.integer.fixedpoint import multiply_by_quantized_multiplier, quantize_multiplier

M = float(step) / float(y_qp.scale)
fraction, shift = math.frexp(M)
multiplier = round(fraction * 2**31)
assert (multiplier, shift) == quantize_multiplier(M)
print(f"M = {M:.9f} = {fraction:.9f} * 2**{shift}, so m = {multiplier:,} and s = {shift}")
print(f"relative error {abs(multiplier / 2**31 * 2.0**shift / M - 1):.0e}, at most 2**-31 = {2**-31:.0e}")

# %% [markdown]
# Multiply in 64 bits and drop $31 - s$ of them. An arithmetic shift drops bits downward, so half of what one step
# is worth goes in first. That makes it *round half up*, for negative numbers too:

# %%
drop = 31 - shift
once = (acc.astype(np.int64) * multiplier + (1 << (drop - 1))) >> drop
print("off from acc * M by more than 1/2:", (np.abs(once - acc * M) > 0.5 + 1e-6).sum(), "of", once.size)
assert np.array_equal(once, multiply_by_quantized_multiplier(acc, multiplier, shift, rounding="single"))

# %% [markdown]
# ## Rounding once, rounding twice
#
# A 32-bit processor would rather not shift 64 bits by an arbitrary amount. It takes the high half of the doubled product,
# which drops 31 bits in one instruction and rounds; then it shifts by the remaining $r = -s$ bits and rounds again. Two
# kernels do so: **ruy** rounds half up both times, **gemmlowp**'s second rounding goes half away from zero.
#
# **Predict.** $M = 0.3 = 0.6 \cdot 2^{-1}$. What becomes of an accumulator of 8, whose exact answer is 2.4?

# %%
m, s = quantize_multiplier(0.3)
for accumulator in (8, -8):
    for rounding in ("single", "ruy", "gemmlowp"):
        q = multiply_by_quantized_multiplier(accumulator, m, s, rounding=rounding)
        print(f"{accumulator:2d} * 0.3 = {accumulator * 0.3:4.1f}   {rounding:8s} {q:2d}")

# %% [markdown]
# $8 \cdot 0.6 = 4.8$ becomes 5, then $5 / 2 = 2.5$ becomes 3. The first rounding moved 2.4 onto a tie, and the second
# carried it on. So we can say *when* this happens. The first rounding goes to multiples of $2^{-r}$ and moves a value by
# at most $2^{-r-1}$. It reaches the tie at $\tfrac12$ from below exactly if the fraction of $aM$ lies in
#
# $$ \big[\tfrac12 - 2^{-r-1},\ \tfrac12\big), $$
#
# and then the result is one too high. Test that with a million random accumulators and $r = 3$:

# %%
random_acc = rng.integers(-(2**20), 2**20, 1_000_000)
m, s = quantize_multiplier(0.75 * 2**-3 + 1e-4)
exact = random_acc * (m * 2.0**-31 * 2.0 ** int(s))
single = multiply_by_quantized_multiplier(random_acc, m, s, rounding="single")
differs = {}
for rounding in ("ruy", "gemmlowp"):
    other = multiply_by_quantized_multiplier(random_acc, m, s, rounding=rounding) != single
    differs[rounding] = (exact - np.floor(exact))[other]
plots.histogram(
    differs,
    title="Two roundings differ from one only beside the tie",
    alt="Histogram of the fractions at which two roundings differ from one: ruy's fill the "
    "sixteenth below one half, gemmlowp's the sixteenths on both sides, half as densely.",
    xlabel="fraction of accumulator * M",
    limits=(0.375, 0.625),
    bins=64,
    vlines={"1/2 - 1/16": 0.5 - 1 / 16, "1/2": 0.5, "1/2 + 1/16": 0.5 + 1 / 16},
)

# %% [markdown]
# All differences lie where they must. ruy's are below the tie only; gemmlowp's second rounding sends negative ties down,
# so its other half lies above.
#
# The band is $2^{-r-1}$ wide, and fractions are spread evenly. So the rate should be $2^{-r-1}$.
#
# **Predict.** Our layer shifts by 9 bits. How many of its 24,000 outputs does the second rounding change?

# %%
shifts = np.arange(1, 13)
rate = []
for r in shifts:
    m, s = quantize_multiplier(0.7 * 2.0**-r)
    one = multiply_by_quantized_multiplier(random_acc, m, s, rounding="single")
    two = multiply_by_quantized_multiplier(random_acc, m, s, rounding="ruy")
    rate.append((one != two).mean())
    assert np.abs(one - two).max() == 1
plots.lines(
    shifts,
    {"2**-(r+1)": 2.0 ** -(shifts + 1), "measured": rate},
    title="Each bit of shift halves the cost of rounding twice",
    alt="On a logarithmic axis, the measured rates follow the straight line 2 ** -(r + 1).",
    xlabel="bits of shift r",
    ylabel="share that differs",
    logy=True,
    marks={"our layer": -shift},
)
share = 2.0 ** (shift - 1)
print(f"our layer: {share:.3%} of {acc.size:,} outputs are {acc.size * share:.0f}")

# %% [markdown]
# ## The whole layer, and the tool
#
# Everything is in place. This is the layer as ruy computes it: int8 in, int8 out, and no floating point between.

# %%
r = -shift
high = (acc.astype(np.int64) * multiplier + 2**30) >> 31
steps = (high + (1 << (r - 1))) >> r
y_q = np.clip(steps + y_qp.zero_point, -128, 127).astype(np.int8)
print(y_q.dtype, y_q.shape, "winners:", (y_q.argmax(axis=1) == winner).sum(), "of 24")
print(f"against the float layer: {sqnr_db(y_float, dequantize(y_q, y_qp)):.0f} dB")

# %% [markdown]
# Write the same layer into a .tflite file, and let LiteRT run it with each of its three kernel sets: the default (XNNPACK),
# the optimized kernels without it (ruy), and the plain reference kernels.
#
# **Predict.** In which of the three are all 24,000 outputs ours?

# %%
from quantlab.lab import litert

model = litert.fully_connected_model(w_q, bias_q, n_samples=24, x_qp=x_qp, w_qp=w_qp, y_qp=y_qp)
runtime = {kernels: litert.run(model, x_q, kernels=kernels) for kernels in litert.KERNELS}
print(f"file: {len(model):,} bytes")
for kernels, output in runtime.items():
    print(f"{kernels:17s} compared {output.size:,}, mismatches {(output != y_q).sum()}")
assert np.array_equal(runtime["litert_ruy"], y_q)

# %% [markdown]
# Equal to ruy to the bit. The other two round once, and differ from it in 32 outputs where the rate announced 23. Such
# counts scatter by about their square root, here 5, and 9 more is within twice that. `quantlab` has each of them by name, as a `dialect`:

# %%
from quantlab.integer.ops import fully_connected

print(f"{'mismatches':22s}" + "".join(f"{kernels:>18s}" for kernels in runtime))
for dialect in ("litert", "litert_ruy", "litert_reference", "litert_reference_conv"):
    q = fully_connected(x_q, w_q, bias_q, x_qp=x_qp, w_qp=w_qp, y_qp=y_qp, dialect=dialect)
    print(f"{dialect:22s}" + "".join(f"{(q != output).sum():18d}" for output in runtime.values()))
    assert dialect == "litert_reference_conv" or np.array_equal(q, runtime[dialect])

# %% [markdown]
# The diagonal is zero. The last row is gemmlowp's double rounding, which the reference kernels use for convolutions. For
# a fully connected layer it is wrong in every column: a control that shows that the comparison can fail.
#
# And `litert` and `litert_reference` agree on all 24,000: this layer cannot tell them apart. To see that they are
# different, build a layer whose outputs are all ties: weights zero, $M = \tfrac12$, and the accumulators in the bias.

# %%
from quantlab import QParams

ones, half = QParams(scale=1.0, zero_point=0, grid=int8), QParams(scale=0.5, zero_point=0, grid=narrow)
ties = np.arange(-7, 8, 2, dtype=np.int32)
zeros = np.zeros((len(ties), 8), np.int8)
tie_model = litert.fully_connected_model(zeros, ties, n_samples=1, x_qp=ones, w_qp=half, y_qp=ones)
print("exact           ", ties / 2)
for kernels in litert.KERNELS:
    print(f"{kernels:17s}", litert.run(tie_model, np.zeros((1, 8), np.int8), kernels=kernels)[0])

# %% [markdown]
# Three kernel sets of one runtime, three rules for a tie: to even, up, away from zero. (Away from zero is no fixed-point rule
# of this page: the reference kernel of this version multiplies by $M$ in float64.) Real data rarely
# shows it. **When you compare two roundings, feed them ties.**
#
# And note the processor, which here was an x86. XNNPACK chooses its kernels by it, and its sources hold other ones for ARM,
# which round in fixed point, half up. On such a machine expect the row of `litert` to differ, and the cells above to say so.
#
# ONNX Runtime's `QLinearMatMul` is the same layer without the bias. Its rule is the one of XNNPACK:

# %%
import onnxruntime
from onnx import TensorProto, helper

names = ["x", "x_scale", "x_zero", "w", "w_scale", "w_zero", "y_scale", "y_zero"]
x_zero, y_zero = np.int8(z_x), np.int8(y_qp.zero_point)
values = [x_q, x_qp.scale, x_zero, w_q.T, w_qp.scale, np.int8(0), y_qp.scale, y_zero]
kinds = [TensorProto.FLOAT if np.asarray(v).dtype == np.float32 else TensorProto.INT8 for v in values]
inputs = list(map(helper.make_tensor_value_info, names, kinds, map(np.shape, values)))
output = helper.make_tensor_value_info("y", TensorProto.INT8, y_q.shape)
node = helper.make_node("QLinearMatMul", names, ["y"])
graph = helper.make_graph([node], "layer", inputs, [output])
opset = [helper.make_opsetid("", 21)]
onnx_model = helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()
session = onnxruntime.InferenceSession(onnx_model, providers=["CPUExecutionProvider"])
(onnx_y,) = session.run(None, dict(zip(names, map(np.ascontiguousarray, values), strict=True)))
print("QLinearMatMul ran:", onnx_y.dtype, onnx_y.shape)

# %%
from quantlab.integer.ops import matmul

ours = matmul(x_q, w_q.T, a_qp=x_qp, b_qp=w_qp, y_qp=y_qp, dialect="onnx")
print(f"QLinearMatMul: compared {onnx_y.size:,}, mismatches {(ours != onnx_y).sum()}")
assert np.array_equal(ours, onnx_y)

# %% [markdown]
# ## Where it breaks
#
# **"An int8 model computes with integers only."** Not by default, today. The products and sums are integers, but XNNPACK
# and ONNX Runtime requantize with a float32: $\mathrm{rint}(\mathrm{f32}(a) \cdot \mathrm{f32}(M))$. Where a floating-point
# unit is at hand, that is one multiplication, and it rounds once. Fixed point is what remains for processors without one.
# A float32 does not hold every int32, so this too has an edge:

# %%
big = np.array([2**24, 2**24 + 1, 2**24 + 2])
print("accumulators", big, "become", big.astype(np.float32).astype(np.int64))
print(f"our largest accumulator uses {np.abs(acc).max() / 2**24:.1%} of 2**24")

# %% [markdown]
# **An int16 in the middle.** On x86 processors with AVX2 but without VNNI, fast kernels multiply bytes with an instruction
# (`vpmaddubsw`) that adds *pairs* of products (unsigned times signed) into an int16, and saturates. You computed above how
# little fits into one. For a model that loses accuracy on such machines, ONNX Runtime's documentation suggests 7-bit weights
# (`reduce_range`). Does our layer need that?

# %%
pairs = ((x_q.astype(np.int32) + 128)[:, None] * w_q).reshape(24, 1000, 640, 2).sum(axis=-1)
print(f"worst pair of a u8 x s8 product: {255 * 127 * 2:,}; int16 ends at {2**15 - 1:,}")
print(f"pairs in our layer: {pairs.size:,}, from {pairs.min():,} to {pairs.max():,}")
print("saturated:", ((pairs < -(2**15)) | (pairs > 2**15 - 1)).sum())

# %% [markdown]
# It does not, on these photographs. A layer whose inputs and weights use their whole range would.
#
# **Other limits.** We used one weight scale for the whole layer. With one scale an output channel, $m$ and $s$ become
# vectors, and nothing else changes. With 16-bit activations every product may be 256 times larger, so TFLite's 16x8
# kernels accumulate in 64 bits. And this was one layer: where layers meet (a residual sum, a concatenation), scales must
# be matched, with a requantization of its own.

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. In a fully connected layer the weights have zero point 0, the inputs have zero point -128. A colleague wants
# symmetric inputs, to save time. What does the layer save at each run?**
#
# <details><summary><b>a.</b> One subtraction for each input.</summary>
#
# > No. The zero point is not subtracted from the inputs, which would need 9 bits. It is taken out of the sum:
# > $\sum_k (q_x - z_x) q_w = \sum_k q_x q_w - z_x \sum_k q_w$.
#
# </details>
# <details><summary><b>b.</b> One sum over each row of inputs.</summary>
#
# > No. That is what a zero point of the *weights* costs: the term $z_w \sum_k q_x$ has to be computed for each input
# > anew.
#
# </details>
# <details><summary><b>c.</b> Nothing.</summary>
#
# > Yes. The term $z_x \sum_k q_w$ knows nothing of the input: it is computed once and added to the bias. Symmetric
# > inputs would cost something: these are never negative, so half of the marks would be unused, and a bit is lost
# > (lesson 03).
#
# </details>

# %% [markdown]
# **2. You run an int8 layer with 2,000 products a sum as one float32 product. On 10,000 random inputs it equals the
# integers. Is it exact for every input?**
#
# <details><summary><b>a.</b> Yes: 10,000 inputs would have shown an error.</summary>
#
# > No. In random inputs the signs of the products are mixed, and the sums stay small. Sums grow large for inputs that
# > fit the weights, as for the winning classes of this page. Random tests are blind there.
#
# </details>
# <details><summary><b>b.</b> Yes, if 128 times the largest row sum of |codes| is at most 16,777,216.</summary>
#
# > Yes. Then no partial sum can pass $2^{24}$, in whatever order, and float32 holds every integer up to there. For
# > the layer of this page that number is 2,747,520. It is a fact about these weights: check it again for the next
# > ones.
#
# </details>
# <details><summary><b>c.</b> No: beyond 1,024 products float32 is not exact.</summary>
#
# > No. Up to 1,024 it is exact for *all* int8 weights. Beyond, it depends on the weights: the layer of this page adds
# > 1,280 products, and cannot reach a fifth of $2^{24}$.
#
# </details>

# %% [markdown]
# **3. ruy shifts by r bits after its first rounding. You make the output scale 16 times as small, so r goes from 9 to
# 5; no output is clipped. How many outputs does the second rounding change now?**
#
# <details><summary><b>a.</b> Sixteen times as many: the first rounding has become coarser.</summary>
#
# > Yes. The share is $2^{-r-1}$: it was 0.098 %, now it is 1.6 %. The first rounding goes to multiples of $2^{-r}$.
# > The coarser these are, the further it moves a value, and the more values land on a tie. (With no shift left there
# > is no second rounding, and no change.)
#
# </details>
# <details><summary><b>b.</b> Fewer: fewer bits are dropped, so less is lost.</summary>
#
# > No. In all, fewer bits are dropped. But the trouble comes from the *first* rounding, which goes to multiples of
# > $2^{-r}$. With $r = 5$ it moves values by up to 1/64 of an output step, with $r = 9$ by 1/1024.
#
# </details>
# <details><summary><b>c.</b> About as many: the data decide which sums lie beside a tie.</summary>
#
# > No. The data decide *which* outputs change. How many follows from the width of the band below one half, because
# > fractions are spread evenly over the steps. The rate announced 23 for the layer of this page, and real data gave
# > 32.
#
# </details>

# %% [markdown]
# **4. Your accelerator has no floating-point unit. Its outputs shall equal, to the bit, those of LiteRT's default
# kernels on the processor of this page. What must it compute?**
#
# <details><summary><b>a.</b> A product with a 32-bit multiplier, then a shift: integers, rounded twice.</summary>
#
# > No. That is ruy, and the default kernels differ from it in 32 of 24,000 outputs. LiteRT has four requantizations,
# > and ruy's is one of them.
#
# </details>
# <details><summary><b>b.</b> What a float32 multiplication would give, with ties to even.</summary>
#
# > Yes. The default kernels, XNNPACK's, round $\mathrm{f32}(a) \cdot \mathrm{f32}(M)$ here, so you imitate a float32
# > product in integers. Or you agree on another reference: with the ruy kernels the arithmetic of this page is
# > enough. On ARM the same default has other kernels, which round in fixed point.
#
# </details>
# <details><summary><b>c.</b> The exact product, rounded once to the nearest integer.</summary>
#
# > No. At a tie there are two nearest integers, and the three kernel sets of this page have three rules to choose
# > one. Besides, $\mathrm{f32}(M)$ is not $M$: close to a tie that decides, too.
#
# </details>

# %% [markdown]
# ## Summary
#
# - A layer on integers: an 8-bit product, an int32 accumulator, one multiplication by $s_x s_w / s_y$, one clip.
# - int16 overflows at the second worst-case product, int32 at the 131,072nd; float32 is exact up to 1,024.
# - Zero points cost row and column sums, not a wider product; with $z_w = 0$ all of it folds into the bias.
# - The bias lives in steps of $s_x s_w$ and is an int32.
# - $M$ becomes an int32 and a shift. Rounding twice adds 1 to a share of $2^{-r-1}$ of the outputs.
# - LiteRT alone has four requantizations. Name the one that you reproduce, and test it on ties.
#
# **Exercises:** [06 Compute with integers](../exercises/06_compute_with_integers/06_compute_with_integers.ipynb): six, about 55
# minutes. `quantlab start 06` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018,
#   [arXiv:1712.05877](https://arxiv.org/abs/1712.05877): sections 2.2 to 2.4 are this page.
# - The gemmlowp library, ["Building a quantization paradigm from first principles"](https://github.com/google/gemmlowp/blob/master/doc/quantization.md):
#   the row and column sums, and the fixed-point multiplier.
# - [LiteRT 8-bit quantization specification](https://developers.google.com/edge/litert/conversion/tensorflow/quantization/quantization_spec): which tensors are
#   symmetric, per axis, int32.
# - Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference: A whitepaper", 2018,
#   [arXiv:1806.08342](https://arxiv.org/abs/1806.08342).
# - [Quantize ONNX models](https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html): what ONNX Runtime says
#   about AVX2, saturation and `reduce_range`.
