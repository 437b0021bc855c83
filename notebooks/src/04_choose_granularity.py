# %% [markdown]
# # 04 Choose granularity
#
# **You will** quantize a convolution of a real network with one scale, watch most of its filters starve, give each
# filter a scale of its own, then cut rows into groups and pay for every scale.
#
# **You learn** per tensor, per axis, per group; what outlier channels do; why the input axis is different; the true bits
# per weight.
#
# **You need** lesson 03 (scale, zero point, SQNR). About 35 minutes, difficulty 1 of 3.
#
# [previous: 03 Map reals to integers](03_map_reals_to_integers.ipynb) · [next: 05 Calibrate ranges](05_calibrate_ranges.ipynb)
#
# ---
#
# "My int8 model gives nonsense, but its weights have a cosine similarity of 0.998 with the originals." Small networks
# for phones are the usual victims. On this page you open one layer of such a network, find the one filter in 480 that
# ruins the other 479, and repair them for the price of 480 numbers. Then a second question: is a model in "4 bits"
# stored in 4.0 bits a weight? It is not, and the difference is a choice that you can make well or badly.

# %% [markdown]
# ## One layer as it is deployed
#
# EfficientNet-Lite0 is a network for phones. In its **depthwise** convolutions each channel has a small filter of its
# own, here 3 x 3, and sees no other channel. A batch normalization follows. Once training is over, that is a
# multiplication and an addition per channel, so tools **fold** it into the filter, and that is what gets quantized:
#
# $$ \gamma\,\frac{(w * x) - \mu}{\sqrt{v + \varepsilon}} + \beta = (f w) * x + (\beta - f\mu), \qquad
#    f = \frac{\gamma}{\sqrt{v + \varepsilon}} \quad\text{(one } f \text{ a channel; lesson 08 does it for a whole network)} $$

# %%
import numpy as np
from quantlab.lab import models

weights = models.efficientnet_weights()
block = "_blocks.7"
f = weights[f"{block}._bn1.weight"] / np.sqrt(weights[f"{block}._bn1.running_var"] + np.float32(1e-3))
W = weights[f"{block}._depthwise_conv.weight"] * f.reshape(-1, 1, 1, 1)
print("W", W.shape, W.dtype)

# %% [markdown]
# 480 filters, 4,320 weights. Seen from far away they are small. One scale for the whole tensor, **per tensor**, must
# reach the largest of them.
#
# **Predict.** The grid has the marks -127 to 127, and the largest weight gets mark 127. Which mark does the largest
# weight of a *typical* filter get? Write a number down.

# %%
from quantlab import Grid, choose_qparams, fake_quantize, quantize

int8 = Grid(n_bits=8, narrow=True)
per_tensor = choose_qparams(W.min(), W.max(), grid=int8, symmetric=True)
marks = np.abs(quantize(W, per_tensor)).max(axis=(1, 2, 3))
print(f"largest mark in a filter: median {np.median(marks):.0f}, largest {marks.max()}")

# %% [markdown]
# Seven. Half of the filters of this "8-bit" layer live on the marks -7 to 7, which is less than 4 bits. Here is why:

# %%
from quantlab.lab import plots

plots.channel_ranges(
    W,
    axis=0,
    title="One filter of 480 sets the scale for all",
    alt="A thin bar from the smallest to the largest weight for each of 480 filters. Channel 422 reaches down to -21; "
    "the others stay within 5 of zero, most of them within 2.",
    xlabel="output channel",
    ylabel="folded weight",
    highlight=1,
)

# %% [markdown]
# Channel 422 is an **outlier channel**. Before folding it was three times as large as a typical filter, which would
# cost a bit and a half. Its $\gamma$ is large and its running variance $v$ small, so folding multiplies it by a large
# $f$:

# %%
raw = np.abs(weights[f"{block}._depthwise_conv.weight"]).max(axis=(1, 2, 3))
amax = np.abs(W).max(axis=(1, 2, 3))
gamma, v = weights[f"{block}._bn1.weight"], weights[f"{block}._bn1.running_var"]
for name, size in [("raw filter", raw), ("gamma", gamma), ("variance v", v), ("factor f", f), ("folded filter", amax)]:
    print(f"{name:13s}  channel 422: {size[422]:7.3f}   median {np.median(size):.3f}")

# %% [markdown]
# ## The report that hides it
#
# Tools like to report the cosine between the weights and what is left of them. Beside it, the signal-to-quantization-noise
# ratio (SQNR) of lesson 03, also over the whole tensor:

# %%
from quantlab import cosine_similarity, sqnr_db

W_hat = fake_quantize(W, per_tensor)
print(f"cosine {cosine_similarity(W, W_hat):.3f}   SQNR {sqnr_db(W, W_hat):.1f} dB")
energy = (W**2).sum(axis=(1, 2, 3))
print(f"share of the signal that channel 422 holds: {energy[422] / energy.sum():.0%}")

# %% [markdown]
# A cosine of 0.998 looks like success. It is the same statement as 24 dB, and 24 dB is what 4 bits give (6.02 dB each);
# we paid for 8. And even that number is flattered: a fifth of the "signal" in it is one channel, which is
# quantized well. The network does not weigh channels by size. Each channel's output passes the same ReLU6, which cuts
# it to $[0, 6]$, and the next layer reads all 480. So look at each filter's own SQNR. A few dead filters are left out:
# the network switched them off in training, and their weights are nearly zero.

# %%
live = np.flatnonzero(amax > 1e-4 * np.median(amax))
starved = np.array([sqnr_db(W[c], W_hat[c]) for c in live])
print(f"{live.size} live filters, {amax.size - live.size} dead")
print(f"SQNR of a filter: median {np.median(starved):.1f} dB", end=", ")
print(f"worst tenth below {np.quantile(starved, 0.1):.1f} dB")

# %% [markdown]
# ## A scale for every filter
#
# **Per axis** (most people say *per channel*): axis 0 counts the filters, each gets a scale from its own range. The
# scale is a vector of 480 numbers.
#
# **Predict.** By how many decibels does the median filter gain? A bit is 6.02 dB, and it went from 7 marks to 127.

# %%
from quantlab.core.granularity import reduce_groups

lo, hi = reduce_groups(W, np.min, axis=0), reduce_groups(W, np.max, axis=0)
per_channel = choose_qparams(lo, hi, grid=int8, symmetric=True, axis=0)
print("ranges", lo.shape, hi.shape, "  scales", per_channel.scale.shape)

# %%
W_hat = fake_quantize(W, per_channel)
fed = np.array([sqnr_db(W[c], W_hat[c]) for c in live])
print(f"SQNR of a filter: median {np.median(fed):.1f} dB, was {np.median(starved):.1f} dB")
print(f"gained {np.median(fed) - np.median(starved):.1f} dB, expected {20 * np.log10(127 / 7):.1f} dB")

# %% [markdown]
# Every filter now has all 255 marks, and $20\log_{10}(127/7)$ told us the gain (nearly) before we measured it.
#
# One trap. The range of a dead filter can be exactly zero. Its scale would be $0/127$, and $0/0$ is not a number:

# %%
with np.errstate(invalid="ignore"):
    naive = W / (amax / 127).reshape(-1, 1, 1, 1)
print("filters of zeros only:", np.flatnonzero(amax == 0), "  NaN:", np.isnan(naive).sum())
print("scale from choose_qparams:", per_channel.scale[amax == 0])

# %% [markdown]
# It is $2^{-23}$, torch's floor for a scale. Any positive number would do: zeros stay zeros on every ruler.
#
# ## Is it the outliers? A control
#
# 480 scales helped. Maybe any extra scales help? Give $k$ filters a scale of their own and let the rest share one:
# once the $k$ loudest filters, then $k$ filters drawn at random, forty times.
#
# **Predict.** With a budget of one extra scale, what does the median filter gain from the loudest, and what from a
# random one?

# %%
order, rng = np.argsort(-amax), np.random.default_rng(0)
base = np.median(starved)
for k in (1, 4, 16):
    draws = [rng.choice(480, k, replace=False) for _ in range(40)]
    gains = []
    for own in [order[:k], *draws]:
        top = np.where(np.isin(np.arange(480), own), amax, np.delete(amax, own).max())
        W_hat = fake_quantize(W, choose_qparams(-top, top, grid=int8, symmetric=True, axis=0))
        gains.append(np.median([sqnr_db(W[c], W_hat[c]) for c in live]) - base)
    hits = sum(422 in own for own in draws)
    print(f"k={k:2d}  loudest +{gains[0]:4.1f} dB   random: median +{np.median(gains[1:]):.1f} dB", end=", ")
    print(f"{hits} of 40 draws hit 422")

# %% [markdown]
# One scale in the right place buys 13 dB. Sixteen in random places buy almost nothing, because the loud filter still
# sets the scale of the rest. What helps is not the number of scales but that *the values that share a scale have
# similar sizes*. Everything below follows from this sentence.
#
# And is block 7 an exception? All 16 depthwise layers, the median live filter of each:

# %%
medians = {"per tensor": [], "per channel": []}
for i in range(16):
    bn = f"_blocks.{i}._bn1"
    f_i = weights[f"{bn}.weight"] / np.sqrt(weights[f"{bn}.running_var"] + np.float32(1e-3))
    W_i = weights[f"_blocks.{i}._depthwise_conv.weight"] * f_i.reshape(-1, 1, 1, 1)
    top = np.abs(W_i).max(axis=(1, 2, 3))
    kept = np.flatnonzero(top > 1e-4 * np.median(top))
    for name, limit, axis in [("per tensor", top.max(), None), ("per channel", top, 0)]:
        W_hat = fake_quantize(W_i, choose_qparams(-limit, limit, grid=int8, symmetric=True, axis=axis))
        medians[name].append(np.median([sqnr_db(W_i[c], W_hat[c]) for c in kept]))
gain = np.subtract(medians["per channel"], medians["per tensor"])
print(f"gain: {gain.min():.1f} to {gain.max():.1f} dB, largest in block {gain.argmax()}")

# %%
plots.lines(
    np.arange(16),
    medians,
    title="Every depthwise layer gains; block 7 most",
    alt="Median SQNR of a filter in 16 depthwise layers: 41 to 52 dB per channel, 22 to 36 dB per tensor.",
    xlabel="block of EfficientNet-Lite0",
    ylabel="dB",
)

# %% [markdown]
# ## How it is computed: views, not copies
#
# All granularities are one computation. Reshape so that the values that share a scale lie along one axis, take the
# range over that axis, and let broadcasting do the rest. A reshape of contiguous memory moves nothing; it is a new way
# to count the same bytes.

# %%
x = np.arange(12.0).reshape(2, 6)
per_row = x.reshape(2, 6, 1)  # (rows, values that share a scale, 1)
in_groups = x.reshape(2 * 2, 3, 1)  # two groups of 3 in each row
print("range of each row  ", np.ptp(per_row, axis=1).ravel())
print("range of each group", np.ptp(in_groups, axis=1).ravel(), " first group", in_groups[0].ravel())
print("same memory:", np.shares_memory(x, in_groups))

# %% [markdown]
# quantlab works on a view of three axes, $(R, M, K)$: the $M$ values of the middle axis share a scale, and the scale
# has shape $(R, 1, K)$. $K$ is needed when the shared values do not lie side by side, as in the columns of a matrix.

# %%
from quantlab.core.granularity import scale_shape, view_shape

for where in [{}, {"axis": 0}, {"axis": 1}, {"axis": 1, "group_size": 32}]:
    print(f"(384, 1536) with {where!s:32}  view {view_shape((384, 1536), **where)!s:17} scale", end=" ")
    print(scale_shape((384, 1536), **where))

# %% [markdown]
# ## Why not along the input?
#
# For a matrix there are two axes to choose from. Take a linear layer, $y_o = \sum_i w_{oi}\, x_i$, with integer codes
# $x_i = s_x\, p_i$. With one scale a row (an *output*), $w_{oi} = s_o\, q_{oi}$:
#
# $$ y_o = \sum_i s_o\, q_{oi}\; s_x\, p_i \;=\; \underbrace{s_o\, s_x}_{\text{once an output}}\;
#    \underbrace{\textstyle\sum_i q_{oi}\, p_i}_{\text{integers only}} $$
#
# The scales leave the sum, and the hardware's integer product does all the work. With one scale a column (an *input*),
# $w_{oi} = s_i\, q_{oi}$, they cannot leave:
#
# $$ y_o = s_x \sum_i s_i\; q_{oi}\, p_i $$
#
# Each product must be scaled before it is added, and an integer accumulator has no place for that. See it happen, on a
# linear layer of the sentence encoder MiniLM and the activations that really enter it:

# %%
layer = "encoder.layer.3.output.dense"
M = models.minilm_weights()[f"{layer}.weight"]
print("M (out, in)", M.shape)

# %%
from quantlab.lab import minilm

sentences = ["Eight bits are enough for most weights.", "Which channel sets the scale?"]
x = minilm.minilm_activations(sentences, layers=[layer], side="input")[layer]
print("x (tokens, in)", x.shape)

# %%
qp_x = choose_qparams(-np.abs(x).max(), np.abs(x).max(), grid=int8, symmetric=True)
p = quantize(x, qp_x)
print("p", p.shape, p.dtype, "  one scale for all of it")

# %% [markdown]
# The accumulator `acc` is int32 and knows no scales. What factor should be applied to it afterwards, one an output? Take
# the best there is: least squares, with the right answer known.

# %%
from quantlab import dequantize, int_matmul

factors = {}
for name, axis in [("a row (output)", 0), ("a column (input)", 1)]:
    lo, hi = reduce_groups(M, np.min, axis=axis), reduce_groups(M, np.max, axis=axis)
    qp = choose_qparams(lo, hi, grid=int8, symmetric=True, axis=axis)
    q = quantize(M, qp)
    acc = int_matmul(p, q.T).astype(np.float64)
    wanted = dequantize(p, qp_x).astype(np.float64) @ dequantize(q, qp).T.astype(np.float64)
    factors[name] = (acc * wanted).sum(axis=0) / (acc**2).sum(axis=0)
    error = np.linalg.norm(acc * factors[name] - wanted) / np.linalg.norm(wanted)
    print(f"one scale {name:17s} relative error after the best factor: {error:.3f}")

# %%
amax_row = np.abs(M).max(axis=1)
s_o = choose_qparams(-amax_row, amax_row, grid=int8, symmetric=True, axis=0).scale
assert np.allclose(factors["a row (output)"], qp_x.scale * s_o, rtol=1e-5)
print("per row the best factor is s_x s_o, in all", s_o.size, "outputs")

# %% [markdown]
# With one scale a column nothing that comes after the sum repairs it: a third of the result is lost. The same argument
# holds for activations: one scale a *row* of $X$, a token, is fine; one scale a *feature* is not, and features are
# where the outliers of language models sit. A later part of the course is about that problem.
#
# **Groups** are the way between. Cut the input axis into pieces of $g$; each piece of a row has its scale, and each
# piece is an integer sum of its own:
#
# $$ y_o = s_x \sum_{\text{groups } j} s_{oj} \sum_{i \in j} q_{oi}\, p_i $$
#
# One float multiplication for every $g$ integer ones. Checked on 4-bit codes in groups of 32:

# %%
lo, hi = (reduce_groups(M, bound, axis=1, group_size=32) for bound in (np.min, np.max))
grouped = choose_qparams(lo, hi, grid=Grid(n_bits=4), symmetric=True, axis=1, group_size=32)
q = quantize(M, grouped)
print("codes", q.shape, q.min(), "to", q.max(), "  scales", grouped.scale.shape)

# %%
P, Q = p.reshape(18, 48, 32).astype(np.int32), q.reshape(384, 48, 32).astype(np.int32)
partial = np.einsum("njk,ojk->njo", P, Q)  # integer sums, one a token, group and output
y = qp_x.scale * np.einsum("njo,oj->no", partial, grouped.scale)
wanted = dequantize(p, qp_x) @ dequantize(q, grouped).T
print("partial sums", partial.shape, partial.dtype)
print("equal to the float product:", np.allclose(y, wanted, atol=1e-5 * np.abs(wanted).max()))

# %% [markdown]
# ## What a scale costs
#
# At 4 bits there are 16 marks and 15 gaps, where 8 bits have 255: an outlier hurts more, and smaller groups look
# tempting. But every scale must be stored. The **true bits per weight** count it:
#
# $$ b = n_{\text{bits}} + \frac{(\text{bits of a scale} + \text{bits of a zero point}) \times \text{number of scales}}
#    {\text{number of weights}} $$
#
# **Predict.** Scales are stored as float16. How many bits does a weight cost in groups of 128, and in groups of 32?

# %%
from quantlab import QParams, bits_per_weight

int4 = Grid(n_bits=4)
choices = {"per tensor": {}, "per row": {"axis": 0}}
choices |= {f"groups of {g}": {"axis": 1, "group_size": g} for g in (128, 64, 32, 16, 8)}
for name, where in choices.items():
    lo, hi = (reduce_groups(M, bound, **where) for bound in (np.min, np.max))
    scale = choose_qparams(lo, hi, grid=int4, symmetric=True, **where).scale.astype(np.float16)
    M_hat = fake_quantize(M, QParams(scale=scale, zero_point=0, grid=int4, **where))
    bits = bits_per_weight(M.shape, n_bits=4, scale_bits=16, **where)
    print(f"{name:13s} {bits:6.3f} bits a weight   {sqnr_db(M, M_hat):5.2f} dB")

# %% [markdown]
# Per tensor the layer is destroyed: 0.15 dB, where replacing all of it by zeros gives 0 dB. One weight does it:

# %%
row, column = np.unravel_index(np.abs(M).argmax(), M.shape)
print(f"M[{row}, {column}] = {M[row, column]:.2f}; median size of a weight {np.median(np.abs(M)):.3f}")
shared = choose_qparams(M.min(), M.max(), grid=int4, symmetric=True)
print(f"with one scale {np.count_nonzero(quantize(M, shared))} of {M.size} codes are not 0")

# %% [markdown]
# ## Is a scale worth its bits?
#
# Groups of 32 cost half a bit more than rows. Half a bit of *code* would buy 3 dB (lesson 03: 6 dB a bit). So compare
# at equal true bits: rows at 3, 4, 5, 6 bits on one side, 4-bit groups from 128 down to 8 on the other. The control is
# a Gaussian tensor of the same shape and spread: it has no outliers at all.

# %%
gauss = np.random.default_rng(0).normal(0, M.std(), M.shape).astype(np.float32)
rows = [{"n_bits": n, "axis": 0} for n in (3, 4, 5, 6)]
groups = [{"n_bits": 4, "axis": 1, "group_size": g} for g in (128, 64, 32, 16, 8)]
bits, dbs = {}, {}
for tensor_name, tensor in [("MiniLM", M), ("Gauss", gauss)]:
    for kind, settings in [("groups", groups), ("rows", rows)]:
        name = f"{tensor_name}, {kind}"
        bits[name] = [bits_per_weight(M.shape, scale_bits=16, **setting) for setting in settings]
        dbs[name] = []
        for setting in settings:
            grid = Grid(n_bits=setting["n_bits"])
            where = {key: value for key, value in setting.items() if key != "n_bits"}
            lo, hi = (reduce_groups(tensor, bound, **where) for bound in (np.min, np.max))
            scale = choose_qparams(lo, hi, grid=grid, symmetric=True, **where).scale.astype(np.float16)
            qp = QParams(scale=scale, zero_point=0, grid=grid, **where)
            dbs[name].append(sqnr_db(tensor, fake_quantize(tensor, qp)))
for name in ("MiniLM", "Gauss"):
    line = np.interp(bits[f"{name}, groups"], bits[f"{name}, rows"], dbs[f"{name}, rows"])
    gain = np.array(dbs[f"{name}, groups"]) - line
    print(f"{name:6s} gain over rows at equal bits, groups of 128, 64, 32, 16, 8:", gain.round(1), "dB")

# %%
plots.lines(
    bits,
    dbs,
    title="Groups of 32 pay on this layer; on Gaussian weights they break even",
    alt="SQNR against true bits per weight. For MiniLM 4-bit groups lie above the line of wider codes up to 5 bits and "
    "below it at 6. For Gaussian weights they start a little above, touch the line at 4.5 bits and fall below.",
    xlabel="true bits per weight, scales included",
    ylabel="SQNR, dB",
)

# %% [markdown]
# Read the numbers as a price list. On this layer groups of 32 are 2.9 dB better than wider codes of the same bytes. On
# Gaussian weights they break even. Groups of 8 with 16-bit scales lose on both: the scales cost more than the same
# bits would bring in the code. (The line of rows is interpolated; there are no codes of 4.5 bits.)
#
# Is this layer typical? The same gain, groups of 32 over rows at equal true bits, for all 36 linear layers of MiniLM:

# %%
gains, peaks = {}, {}
for name, w in models.minilm_weights().items():
    if not name.startswith("encoder") or w.ndim != 2:
        continue
    points = []
    for n, where in [(4, {"axis": 0}), (5, {"axis": 0}), (4, {"axis": 1, "group_size": 32})]:
        grid = Grid(n_bits=n)
        lo, hi = (reduce_groups(w, bound, **where) for bound in (np.min, np.max))
        scale = choose_qparams(lo, hi, grid=grid, symmetric=True, **where).scale.astype(np.float16)
        w_hat = fake_quantize(w, QParams(scale=scale, zero_point=0, grid=grid, **where))
        points.append((bits_per_weight(w.shape, n_bits=n, scale_bits=16, **where), sqnr_db(w, w_hat)))
    (b4, db4), (b5, db5), (b, db) = points
    gains[name] = db - np.interp(b, [b4, b5], [db4, db5])
    peaks[name] = np.median(np.abs(w).max(axis=1)) / w.std()
print(len(gains), "layers measured")

# %%
second = [name for name in gains if name.endswith("output.dense.weight") and "attention" not in name]
others = [name for name in gains if name not in second]
for title, names in [("second of feed-forward", second), ("all others", others)]:
    low, high = min(gains[n] for n in names), max(gains[n] for n in names)
    peak = min(peaks[n] for n in names), max(peaks[n] for n in names)
    print(f"{len(names):2d} layers, {title:22s} {low:+.1f} to {high:+.1f} dB", end="   ")
    print(f"largest of a typical row: {peak[0]:.1f} to {peak[1]:.1f} std")

# %% [markdown]
# Six of 36 layers gain 2.0 to 3.3 dB: the second layers of the feed-forward blocks, whose rows have the longest
# tails (std is the standard deviation of the layer's weights). For
# the other 30 it makes no difference worth a name. "Groups of 32 are better" is true of some layers of some models:
# measure yours.
#
# Formats make the same trade with their own small print. True bits of some that you will meet:

# %%
formats = {  # bits of a code, group, bits of a scale, bits of a zero point
    "MX, fp4 codes": (4, 32, 8, 0),
    "GGUF Q4_0": (4, 32, 16, 0),
    "NVFP4": (4, 16, 8, 0),
    "GPTQ, AWQ, group 128": (4, 128, 16, 4),
    "int8, per row": (8, 4096, 32, 0),
}
for name, (n_bits, g, scale_bits, zero_bits) in formats.items():
    where = {"axis": 1, "group_size": g, "scale_bits": scale_bits, "zero_point_bits": zero_bits}
    b = bits_per_weight((4096, 4096), n_bits=n_bits, **where)
    total, scales = 7e9 * b / 8e9, 7e9 * (b - n_bits) / 8e9
    print(f"{name:21s} {b:6.3f} bits   7 billion weights: {total:.2f} GB, {scales:.2f} GB of it scales")

# %% [markdown]
# ## The same in torch and ONNX
#
# Per channel in torch: its observer finds the scales, its `fake_quantize` applies them. Ours must be the same numbers,
# all of them, the filter of zeros included.

# %%
import torch
from torch.ao.quantization import PerChannelMinMaxObserver

observer = PerChannelMinMaxObserver(ch_axis=0, dtype=torch.qint8, qscheme=torch.per_channel_symmetric)
_ = observer(torch.from_numpy(W))
scale, zero_point = observer.calculate_qparams()
ours = choose_qparams(-amax, amax, grid=Grid(n_bits=8), symmetric=True, axis=0)
assert np.array_equal(scale.numpy(), ours.scale)
print(f"{scale.numel()} scales compared, {np.sum(scale.numpy() != ours.scale)} differ")

# %%
w = torch.from_numpy(W)
theirs = torch.fake_quantize_per_channel_affine(w, scale, zero_point.int(), 0, -128, 127).numpy()
assert np.array_equal(theirs, fake_quantize(W, ours))
print(f"{W.size} values compared, {np.sum(theirs != fake_quantize(W, ours))} differ")

# %% [markdown]
# Groups in ONNX are the attribute `block_size` of QuantizeLinear (since opset 21). ONNX divides by the scale where
# torch multiplies by its reciprocal, hence the dialect. In the model below type 22 is int4 and type 3 is int8.

# %%
import onnx

model = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["": 21]>
    blocked (float[384, 1536] w, float[384, 48] s, int8[384, 48] z) => (int8[384, 1536] q) {
        z4 = Cast <to = 22> (z)
        q4 = QuantizeLinear <axis = 1, block_size = 32> (w, s, z4)
        q = Cast <to = 3> (q4)
    }""")
ours = quantize(M, grouped, dialect="onnx")
print("codes to compare:", ours.size)

# %%
import onnxruntime
from onnx.reference import ReferenceEvaluator

feed = {"w": M, "s": grouped.scale, "z": grouped.zero_point.astype(np.int8)}
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
for name, runner in [("ONNX Runtime", session), ("reference evaluator", ReferenceEvaluator(model))]:
    theirs = runner.run(None, feed)[0]
    assert np.array_equal(theirs, ours)
    print(f"{name:19s} {theirs.size} codes compared, {np.sum(theirs != ours)} differ")

# %% [markdown]
# ## Where it breaks
#
# - **"4 bits means 4.0 bits."** With groups you have seen 4.125 to 6.0. Ask for the group size and the type of the
#   scales, and whether embeddings are counted; compare models by file size.
# - **"Finer is always better."** Not at equal bytes, as the plot shows, and not for speed: each group boundary costs a
#   float operation inside the product.
# - **The kernel decides.** Integer kernels for convolutions take one scale an output channel (LiteRT's int8
#   specification demands it); groups along the input are for weights that are turned back into floats on the fly,
#   which is how 4-bit language models run. Check what your runtime has before you choose.
# - **The axis is a convention.** LiteRT stores depthwise filters with channels on the *last* axis, torch on the first.
#   A wrong axis gives wrong numbers, and no error when the sizes happen to agree.
# - **Per axis does not help inside a channel.** One huge weight in a row still starves its row: groups, clipping
#   (lesson 05) or a change of the network itself (a later part) must do that.

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. A layer was quantized to int8 with one scale. The tool reports a cosine of 0.99 between its weights before and
# after. How large is the error, beside the weights (root mean square)?**
#
# <details><summary><b>a.</b> 1 %.</summary>
#
# > No. A cosine falls with the *square* of the error: 14 % of error, squared, is 2 %, and half of that is missing
# > from 1. That is why the report looks so good.
#
# </details>
# <details><summary><b>b.</b> 14 %.</summary>
#
# > Yes. If the cosine is $c$ and the scale is right (a cosine does not see a wrong one), the error is
# > $\sqrt{1 - c^2}$ of the signal: 0.14, or 17 dB, less than three bits' worth. The 0.998 of this page is 6.3 % in
# > the same way, which is its 24 dB. And both are of the whole tensor: single filters fare worse.
#
# </details>
# <details><summary><b>c.</b> At most 0.4 %.</summary>
#
# > No. Half a step is at most 0.4 % of the *largest* weight ($0.5 / 127$). Beside a weight a hundredth as large it is
# > 40 %, and on this page most filters are small beside the largest.
#
# </details>

# %% [markdown]
# **2. You must keep one scale for the whole layer of this page (block 7). With how many bits would its median filter
# be as good as with 8 bits and a scale a filter?**
#
# <details><summary><b>a.</b> 9.</summary>
#
# > No. One bit more doubles the marks: the median filter gets 14 marks in place of 7. It lacks 127.
#
# </details>
# <details><summary><b>b.</b> With no number of bits.</summary>
#
# > No. Channel 422 always sets the scale, but what it takes is a *factor*: the median filter gets 7 of 127 marks, an
# > eighteenth. Enough bits win any factor back.
#
# </details>
# <details><summary><b>c.</b> About 12.</summary>
#
# > Yes. 25.5 dB were lost, and a bit is worth 6.02 dB: $25.5 / 6.02 = 4.2$ bits. Even in a filter of nine weights
# > these $9 \cdot 4.2 = 38$ bits are more than the 32 of a float32 scale, and the product would no longer be one of
# > int8.
#
# </details>

# %% [markdown]
# **3. Somebody quantized a weight matrix with one scale an *input*, $w_{oi} = s_i\,q_{oi}$. The activations still are
# floats. The product shall be one of integers. Where can the $s_i$ go?**
#
# <details><summary><b>a.</b> Behind the sum, as one well-chosen factor an output.</summary>
#
# > No. The page tried the best such factor, by least squares: a third of the result was wrong (0.326). A sum of terms
# > with different factors is not a factor times the sum.
#
# </details>
# <details><summary><b>b.</b> Into the activations, before these are rounded.</summary>
#
# > Yes. $\sum_i s_i q_{oi} x_i = \sum_i q_{oi} (s_i x_i)$: quantize $s_i x_i$ with one scale, and the sum has
# > integers only. The price is that inputs with a large $s_i$ now stretch the range of the activations. The
# > difficulty has moved, it is not gone; a later part moves it on purpose.
#
# </details>
# <details><summary><b>c.</b> Nowhere: such a product must be computed in float.</summary>
#
# > No. They cannot leave the sum. But each $s_i$ belongs to one input, and as long as that input is a real number it
# > can be multiplied before it becomes an integer.
#
# </details>

# %% [markdown]
# **4. The MiniLM matrix of this page, long tails and all, may take about 6 bits a weight. Which is better: 4-bit
# codes in groups of 8, or 6-bit codes with one scale a row?**
#
# <details><summary><b>a.</b> The 6-bit codes: the scales of such small groups cost too much.</summary>
#
# > Yes. 25.1 dB against 21.6, although this layer has outliers. A group of 8 carries 16 bits of scale, 2 bits a
# > weight, and 2 bits of code are worth 12 dB. Groups of 32 were different: they cost half a bit and were 2.9 dB
# > ahead of wider codes of the same size.
#
# </details>
# <details><summary><b>b.</b> The groups: an outlier spoils no more than its seven neighbours.</summary>
#
# > No. True, and every group pays for it, most of them without an outlier. From groups of 32 to groups of 8 a weight
# > costs 1.5 bits more, and the layer gains 2 dB.
#
# </details>
# <details><summary><b>c.</b> No difference: 6 bits hold 6 bits of information.</summary>
#
# > No. They are of the same size, not of the same use. On Gaussian weights the groups of 8 are even 7.7 dB behind:
# > what their scales say is nearly the same everywhere.
#
# </details>

# %% [markdown]
# ## Summary
#
# - The values that share a scale should have similar sizes; an outlier takes marks from all who share with it.
# - Per tensor: one scale. Per axis: one an output channel, free in integer kernels. Per group: one every $g$ inputs.
# - Folding batch normalization makes outlier channels; a mean over the tensor hides the damage, a median filter shows it.
# - Scales of outputs leave the sum, scales of inputs do not; groups are sums of integer sums.
# - True bits = code bits + the bits of scales and zero points, spread over the weights they serve.
# - Small groups pay where there are outliers; elsewhere the same bytes do as well in the code.
# - A channel of zeros is legal input; its scale must still be positive.

# %% [markdown]
# ## Exercises
#
# [Five exercises](../exercises/04_choose_granularity/04_choose_granularity.ipynb): count true bits, scale channels,
# cut groups, multiply with groups, find the filters that one scale wipes out.
# `quantlab start 04` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - R. Krishnamoorthi, [Quantizing deep convolutional networks for efficient inference](https://arxiv.org/abs/1806.08342),
#   2018: per channel against per tensor on whole networks.
# - M. Nagel et al., [Data-free quantization through weight equalization and bias correction](https://arxiv.org/abs/1906.04721),
#   2019: the outlier channels of depthwise layers, and another cure.
# - H. Wu et al., [Integer quantization for deep learning inference](https://arxiv.org/abs/2004.09602), 2020: section 3
#   has the argument about axes.
# - S. Dai et al., [VS-Quant: per-vector scaled quantization](https://arxiv.org/abs/2102.04503), 2021: groups, and
#   scales that are quantized too.
# - The [ONNX page of QuantizeLinear](https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html): `axis`, `block_size`.
