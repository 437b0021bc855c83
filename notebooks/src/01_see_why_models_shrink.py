# %% [markdown]
# # 01 See why models shrink
#
# **You will** count the bytes of two real models, measure the two speed limits of your own computer, and make int8
# slower than float32 on purpose, in three ways.
#
# **You learn** what a data type costs with its scales counted, memory bandwidth, arithmetic intensity, the roofline,
# and when fewer bits do not help.
#
# **You need** lesson 00. About 40 minutes, difficulty 1 of 3.
#
# [previous: 00 Start here](00_start_here.ipynb) · [next: 02 Encode numbers](02_encode_numbers.ipynb)
#
# ---
#
# In 2024 somebody quantized a small convolutional network to int8 and ran it a thousand times. The float32 network took
# 10.28 seconds. The int8 network took [15.52 seconds](https://github.com/microsoft/onnxruntime/issues/20052). How can that
# be? The same question stands in the issue trackers of
# [PyTorch](https://github.com/pytorch/pytorch/issues/42113) and
# [ONNX Runtime](https://github.com/microsoft/onnxruntime/issues/12854), under
# [many](https://github.com/pytorch/pytorch/issues/62804) titles.
#
# That network had layers of 16 channels. Remember this number: at the end of the page you will reproduce such a slowdown,
# know its reasons, and be able to say beforehand which layers gain and which lose.

# %% [markdown]
# ## Count the bytes
#
# EfficientNet-Lite0 is a small network that names what is on a photograph. Its weights came with the installation. How
# many numbers are they?

# %%
from quantlab.lab import models

lite = models.efficientnet_weights()
n_values = sum(w.size for w in lite.values())
print(f"{len(lite)} arrays, {n_values:,} numbers, all {lite['_conv_stem.weight'].dtype}")

# %% [markdown]
# **Predict.** How large is the file on disk? Write a number down.

# %%
on_disk = models.model_file("efficientnet-lite0").stat().st_size
print(f"4 bytes each: {4 * n_values:,}")
print(f"the file:     {on_disk:,} bytes, {on_disk / (4 * n_values) - 1:.2%} more")

# %% [markdown]
# A model file is its numbers and hardly anything else; the rest is names and shapes. So there are two ways to a smaller
# file: fewer numbers, or fewer bytes for each. This course is about the second.
#
# ## Eight bits and a scale
#
# An int8 holds the integers from -128 to 127. To store real weights in it, we measure them in steps of a suitable size,
# the **scale** $s$, and round to whole steps:
#
# $$ q = \mathrm{round}(w / s), \qquad \hat w = q\,s, \qquad s = \max|w| \,/\, 127 $$
#
# The integers $q$ are the **codes**. Here is one layer of another real model, the sentence encoder MiniLM, with one scale
# for each of its output channels. (Lesson 03 derives the formula, lesson 04 says why one scale a channel.)

# %%
import numpy as np

mini = models.minilm_weights()
W = mini["encoder.layer.0.intermediate.dense.weight"]
scale = np.abs(W).max(axis=1, keepdims=True) / np.float32(127)
codes = np.rint(W / scale).astype(np.int8)
error = np.abs(W - codes * scale)
print(f"{W.shape} weights, the largest {np.abs(W).max():.2f}")
print(f"mean error {error.mean():.5f}, largest {error.max():.4f}")
print(f"half of the largest step {scale.max() / 2:.4f}")
assert (error <= 0.5001 * scale).all()  # a little more than a half: the division is rounded too

# %% [markdown]
# No weight moves by more than half a step. What did we pay for it?
#
# **Predict.** The codes take a quarter of the bytes. How many bits does one weight take *with* its share of the scales?

# %%
from quantlab import bits_per_weight

print(f"float32 {W.nbytes:,} bytes; codes {codes.nbytes:,} + scales {scale.nbytes:,}")
print(f"{8 * (codes.nbytes + scale.nbytes) / W.size:.4f} bits a weight, counted")
print(f"{bits_per_weight(W.shape, n_bits=8, axis=0):.4f} bits a weight, quantlab's formula")

# %% [markdown]
# Each row of 384 codes carries one float32 scale: 32 / 384 of a bit more. Is that what a file would hold? We write the two
# arrays with safetensors, a file format for weights that is in wide use, and take its header away:

# %%
from safetensors.numpy import save

stored = save({"codes": codes, "scale": scale})
header = 8 + int.from_bytes(stored[:8], "little")
computed = W.size * bits_per_weight(W.shape, n_bits=8, axis=0) / 8
assert len(stored) - header == computed
print(f"{len(stored):,} bytes, without the header {len(stored) - header:,}; computed {computed:,.0f}")

# %% [markdown]
# ## A whole model
#
# Matrices and convolutions get codes and one scale an output channel. What has one number a channel (biases,
# normalizations) stays float32 here. An int4 code is half a byte; lesson 02 packs them.
#
# **Predict.** float32 to int8 is a factor of 4, to int4 a factor of 8. What factors do whole models reach?

# %%
sizes = {}
for model, weights in {"EfficientNet-Lite0": lite, "MiniLM": mini}.items():
    matrices = [w for w in weights.values() if w.ndim > 1]
    total = sum(w.size for w in weights.values())
    rest = 4 * (total - sum(w.size for w in matrices))
    sizes[model] = {"float32": 4 * total, "float16": 2 * total}
    for n_bits in (8, 4):
        bits = sum(w.size * bits_per_weight(w.shape, n_bits=n_bits, axis=0) for w in matrices)
        sizes[model][f"int{n_bits}"] = bits / 8 + rest
    for name, size in sizes[model].items():
        print(f"{model:19s}{name:9s}{size / 1e6:6.2f} MB  {4 * total / size:5.2f} times smaller")

# %% [markdown]
# MiniLM comes close to 4 and 8. EfficientNet-Lite0 falls short, because its many small normalizations stay behind in
# float32, and the less the codes weigh, the more these count. (Lesson 08 folds them away.)

# %%
from quantlab.lab import plots

plots.bars(
    {f"{model}, {name}": sizes[model][name] / 1e6 for model in sizes for name in sizes[model]},
    highlight=[f"{model}, int4" for model in sizes],
    title="Every halving of the bits nearly halves the model",
    alt="Eight bars. From float32 to int4, EfficientNet-Lite0 shrinks from 18.8 to 2.7 megabytes, "
    "and MiniLM from 90.9 to 11.7.",
    xlabel="megabytes, scales and unquantized rest included",
)

# %% [markdown]
# ### The half that was forgotten
#
# Many tools quantize a model's *linear layers* (its matrix products) and leave everything else alone. MiniLM's largest array
# belongs to none of them: it is the table with a row of 384 numbers for each of 30,522 pieces of words.
#
# **Predict.** How many times smaller is MiniLM when only its linear layers become int8?

# %%
linear = [w for name, w in mini.items() if w.ndim > 1 and "embeddings" not in name]
share = sum(w.size for w in linear) / total
codes_and_scales = sum(w.size * bits_per_weight(w.shape, n_bits=8, axis=0) for w in linear) / 8
small = codes_and_scales + 4 * total * (1 - share)
print(f"linear layers hold {share:.0%} of the {total:,} numbers")
print(f"{small / 1e6:.1f} MB: {4 * total / small:.2f} times smaller")

# %% [markdown]
# When somebody reports a size, ask what was left out: scales, embeddings, the last layer.
#
# ### Control: why not just zip it?
#
# Perhaps float32 wastes so much space that any compression would do as well. Then quantization would be a detour.

# %%
import zlib

for name, data in {"float32 weights": W.tobytes(), "int8 codes": codes.tobytes()}.items():
    share = len(zlib.compress(data, 6)) / len(data)
    print(f"{name:15s} zip leaves more than 90 %: {share > 0.9}")

# %% [markdown]
# It would not, neither before nor after. The last bits of a float32 weight look like noise, and noise does not compress.
# Quantization throws exactly this noise away; that is why it reaches a quarter, and why it is not free.
#
# ## What a byte costs
#
# Why care, when disks are cheap? Because a weight must travel to the arithmetic each time it is used. Mark Horowitz
# published in 2014 what operations cost in energy, in picojoules ($10^{-12}$ J), on a chip of 45 nm at 0.9 V. Caches are memory on the
# chip; DRAM is the main memory outside:

# %%
picojoules = {
    "int8 add": 0.03, "int32 add": 0.1, "float16 add": 0.4, "float32 add": 0.9,
    "int8 multiply": 0.2, "int32 multiply": 3.1, "float16 multiply": 1.1, "float32 multiply": 3.7,
    "64 bits from 8 KB cache": 10, "64 bits from 32 KB cache": 20, "64 bits from 1 MB cache": 100,
    "64 bits from DRAM": 1300,
}  # fmt: skip
plots.bars(
    picojoules,
    highlight=[name for name in picojoules if name.startswith("64")],
    logx=True,
    title="Fetching a number costs far more than computing with it",
    alt="Twelve bars on a logarithmic axis: additions under 1 pJ, multiplications up to 3.7 pJ, "
    "cache reads 10 to 100 pJ, a DRAM read 1300 pJ.",
    xlabel="picojoules (DRAM: 1300 to 2600, the lower end is drawn)",
)

# %% [markdown]
# Do not take such a table on trust: test what can be tested. In its simplest form an adder for $b$ bits has $b$ one-bit stages,
# and a multiplier about $b^2$.
#
# **Predict.** From int8 to int32, by what factor should additions grow, and by what factor multiplications?

# %%
for operation, stages in [("add", 32 // 8), ("multiply", (32 // 8) ** 2)]:
    growth = picojoules[f"int32 {operation}"] / picojoules[f"int8 {operation}"]
    print(f"{operation:9s} energy grows {growth:4.1f} times, stages {stages:2d} times")

# %% [markdown]
# The table is consistent with this count. It also says where the energy goes. To use a weight once, we fetch it, multiply,
# and add to a sum (int8 products are summed in int32, lesson 06 says why). From DRAM:

# %%
fetch = {"float32": 1300 * 32 / 64, "int8": 1300 * 8 / 64}
compute = {
    "float32": picojoules["float32 multiply"] + picojoules["float32 add"],
    "int8": picojoules["int8 multiply"] + picojoules["int32 add"],
}
for kind, pj in fetch.items():
    ratio = pj / compute[kind]
    print(f"{kind:8s} fetch {pj:6.1f} pJ, compute {compute[kind]:.1f} pJ: {ratio:.0f} to 1")

# %% [markdown]
# Arithmetic in int8 is 15 times cheaper ($4.6 / 0.3$), and that hardly matters here: moving the weight is nearly the whole
# bill, and it falls by 4, because a byte is a quarter of four. **A weight that is used once costs what its bytes cost.**
#
# A convolution uses each weight many times, once for every pixel. EfficientNet-Lite0 on one photograph, each weight fetched
# once. (An idealization: it forgets what flows from layer to layer, the **activations**, and assumes that weights stay on the chip
# while they are needed. `w[0]` holds the weights of one output channel; each of its output values takes that many multiply-adds.)

# %%
import math

filters = {name.removesuffix(".weight"): w for name, w in lite.items() if w.ndim > 1}
outputs = models.efficientnet_layers()
n_macs = sum(math.prod(outputs[name]) * w[0].size for name, w in filters.items())
n_weights = sum(w.size for w in filters.values())
print(f"{n_macs / 1e6:.0f} million multiply-adds, {n_macs / n_weights:.0f} for each weight")
for kind in fetch:
    mj = n_weights * fetch[kind] / 1e9, n_macs * compute[kind] / 1e9
    print(f"{kind:8s} fetch {mj[0]:.2f} mJ, compute {mj[1]:.2f} mJ")

# %% [markdown]
# Now both terms count, and int8 lowers both. How often a byte is used after it has come: this one number decides what
# quantization can do for you. It also decides about time, and time we can measure.
#
# ## Two speed limits
#
# A computer can bring only so many bytes a second from memory, its **bandwidth** $B$, and do only so many operations a second,
# its **peak** $P$. Work of $n_{\text{op}}$ operations on $n_{\text{byte}}$ bytes takes at least
#
# $$ t \;\ge\; \max\!\left(\frac{n_{\text{byte}}}{B},\; \frac{n_{\text{op}}}{P}\right). $$
#
# We measure both on one core of this machine. Your numbers will differ from the stored ones, as they should; everything that
# follows from them is computed from yours.

# %%
from threadpoolctl import threadpool_limits

one_core = threadpool_limits(1)

# %% [markdown]
# First the bandwidth: add up 256 MiB, more than most caches hold. We take the best of several runs, because other programs can only
# make a run slower.

# %% tags=["nbval-ignore-output"]
import timeit

big = np.ones(64 * 2**20, np.float32)
bandwidth = big.nbytes / min(timeit.repeat(big.sum, number=1, repeat=15))
print(f"bandwidth {bandwidth / 1e9:.1f} GB/s")
assert 0.2e9 < bandwidth < 2e12

# %% [markdown]
# Then the peak: a product of two matrices, which BLAS, the library under numpy's `@`, has been tuned for over decades. Each of
# $n^2$ results takes $n$ multiplications and $n$ additions.
#
# **Predict.** How many operations can this core do in the time in which one byte arrives?

# %% tags=["nbval-ignore-output"]
rng = np.random.default_rng(1)
A = rng.standard_normal((1024, 1024), dtype=np.float32)
peak = 2 * 1024**3 / min(timeit.repeat(lambda: A @ A, number=1, repeat=15))
print(f"peak {peak / 1e9:.0f} G operations/s, {peak / bandwidth:.1f} for each byte that arrives")
assert peak / bandwidth > 0.5

# %% [markdown]
# That quotient $P / B$ is the **ridge point**. Work that does fewer operations for a byte than this is **memory-bound**: the
# arithmetic waits. Work that does more is **compute-bound**: memory waits. What an algorithm does for each byte is its
# **arithmetic intensity** $I = n_{\text{op}} / n_{\text{byte}}$.
#
# A float32 matrix $W$ of $m \times k$ times a vector does $2mk$ operations on $4mk$ bytes (the vectors hardly count):
# $I = 1/2$, whatever the size. Is your ridge point above that? Then the time of a matrix-vector product should
# be the time to read $W$ and nothing else.
#
# **Predict.** W has 64 MiB. With your bandwidth, how many milliseconds?

# %% tags=["nbval-ignore-output"]
W = rng.standard_normal((4096, 4096), dtype=np.float32)
x = rng.standard_normal(4096, dtype=np.float32)
vector_seconds = min(timeit.repeat(lambda: W @ x, number=1, repeat=9))
print(f"predicted {W.nbytes / bandwidth * 1e3:.2f} ms, measured {vector_seconds * 1e3:.2f} ms")
assert vector_seconds > 0.1 * W.nbytes / bandwidth

# %% [markdown]
# The prediction used no property of the arithmetic at all. How busy was the arithmetic?

# %% tags=["nbval-ignore-output"]
vector_speed = 2 * W.size / vector_seconds
print(f"{vector_speed / 1e9:.1f} G operations/s, {vector_speed / peak:.0%} of the peak")
assert vector_speed < peak

# %% [markdown]
# Most of the core's power lies idle (how much depends on the machine), and no faster multiplier would help. Fewer bytes would.
#
# With more than one vector, each weight that arrives is used for all of them. For $n$ columns
#
# $$ I = \frac{2mkn}{4\,(mk + kn + mn)}, $$
#
# about $n/2$ for few columns. The same $W$, from 1 to 256 columns:

# %% tags=["nbval-ignore-output"]
points = {"1 column": (0.5, vector_speed / 1e9)}
for n in (4, 16, 64, 256):
    X = rng.standard_normal((4096, n), dtype=np.float32)
    seconds = min(timeit.repeat(lambda X=X: W @ X, number=1, repeat=5))
    intensity, speed = 2 * W.size * n / (4 * (W.size + 2 * X.size)), 2 * W.size * n / seconds / 1e9
    points[f"{n} columns"] = (intensity, speed)
    print(f"{n:3d} columns: {intensity:5.1f} operations a byte, {speed:5.1f} G operations/s")
assert points["256 columns"][1] > points["1 column"][1]

# %% [markdown]
# Drawn over the intensity, the two limits make a roof, and the picture is called a **roofline**: the slope is the bandwidth, the
# flat part the peak, the corner the ridge point.

# %% tags=["nbval-ignore-output"]
plots.roofline(
    points,
    bandwidth=bandwidth / 1e9,
    peaks={"float32, one core": peak / 1e9},
    title="Few columns hang under the slope, many under the flat roof",
    alt="A roofline measured on one core: one column lies near the memory slope, "
    "256 columns lie under the flat float32 roof.",
)
assert points["1 column"][0] < peak / bandwidth < 10 * points["256 columns"][0]

# %% [markdown]
# The roof is a bound, not a promise. The points in the middle usually lie well under it: for a few columns BLAS still copies
# the whole of $W$ into an order that suits it, and the product is too short to hide that. A point above the roof means that a
# cache held the data, or that one of the two limits was measured a little low.
#
# ## What fewer bytes buy: words per second
#
# A language model that writes for one reader multiplies every weight with a vector, once a **token** (a piece of a word). That is
# the leftmost point of the roofline, so the bandwidth gives an upper bound without running anything:
#
# $$ \text{tokens per second} \;\le\; \frac{B}{\text{bytes of all weights}} $$
#
# Two models that are much used, and four ways to store them. The integers carry a float16 scale for each group of 32 weights:

# %%
n_parameters = {"SmolLM2-135M": 134_515_008, "Llama-2-7B": 6_738_415_616}
groups = {"axis": 1, "group_size": 32, "scale_bits": 16}
bits = {"float32": 32, "float16": 16}
bits |= {f"int{n}": bits_per_weight((4096, 4096), n_bits=n, **groups) for n in (8, 4)}
for name, b in bits.items():
    print(f"{name:8s}{b:5.1f} bits:", {m: f"{n * b / 8e9:.2f} GB" for m, n in n_parameters.items()})

# %% [markdown]
# Only in 4 bits does the model of 7 billion weights leave room for anything else in a laptop of 8 GB. And the bound, for one core of this machine:

# %% tags=["nbval-ignore-output"]
for name, b in bits.items():
    bound = {model: bandwidth / (n * b / 8) for model, n in n_parameters.items()}
    print(f"{name:8s}", ",  ".join(f"{model} {t:6.2f} tokens/s" for model, t in bound.items()))
assert bound["SmolLM2-135M"] > 40 * bound["Llama-2-7B"]

# %% [markdown]
# From float16 to 4 bits the bound rises by 16 / 4.5, on every machine and for every model: that is why language models are
# quantized harder than most others. It is a bound. It forgets the memory of the conversation (the KV cache, lesson 21 of the plan),
# and more cores get more bandwidth than one, until the memory itself is busy. And it says nothing about reading a long prompt: there
# all tokens are columns of one product, and we are under the flat roof.
#
# Does the bound tell the truth? Let a production tool try. ONNX Runtime takes a net of one layer, 4096 inputs and 8192 outputs, and
# quantizes it with one call:

# %%
import logging
import tempfile
from pathlib import Path

import onnx
import onnxruntime
from onnxruntime.quantization import quantize_dynamic

logging.disable(logging.WARNING)  # a recommendation that does not matter here
head = '<ir_version: 8, opset_import: ["": 17]>'
layer = "net (float[n, 4096] x) => (float[n, 8192] y) { y = MatMul(x, V) }"
net = onnx.parser.parse_model(f"{head} {layer}")
V = rng.standard_normal((4096, 8192), dtype=np.float32)
net.graph.initializer.append(onnx.numpy_helper.from_array(V, "V"))
files = {"float32": net.SerializeToString()}
with tempfile.TemporaryDirectory() as folder:
    quantize_dynamic(net, Path(folder) / "int8.onnx")
    files["int8"] = (Path(folder) / "int8.onnx").read_bytes()
for name, file in files.items():
    print(f"{name:8s}{len(file) / 1e6:6.1f} MB")

# %% [markdown]
# **Predict.** One row of input, one vector: how much faster is int8, if only the bytes count?

# %% tags=["nbval-ignore-output"]
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
feed = {"x": rng.standard_normal((1, 4096), dtype=np.float32)}
runs = {}
for name, file in files.items():
    session = onnxruntime.InferenceSession(file, options)
    runs[name] = timeit.Timer(lambda s=session: s.run(None, feed))
times = [[run.timeit(1) for run in runs.values()] for _ in range(15)]  # in turn: a disturbance hits both
best = dict(zip(runs, np.min(times, axis=0), strict=True))
for name, file in files.items():
    print(f"{name:8s} {best[name] * 1e3:.2f} ms, {len(file) / best[name] / 1e9:.1f} GB/s")
print(f"int8 is {best['float32'] / best['int8']:.2f} times as fast")
assert best["int8"] < best["float32"]

# %% [markdown]
# Both run at about the speed of the memory, and one has a quarter of the bytes to fetch. This is the good case, and the reason why
# people expect the same everywhere.
#
# ## Three ways to make int8 slower
#
# **One: store int8, compute float32.** The 4096 x 4096 matrix again, now as codes. We unpack it to float32 and multiply.
#
# **Predict.** From the bytes alone: float32 reads 4 bytes a weight. This reads 1, writes 4, reads 4. How many times slower?

# %% tags=["nbval-ignore-output"]
step = np.float32(np.abs(W).max() / 127)
codes = np.rint(W / step).astype(np.int8)
run = timeit.Timer(lambda: (codes.astype(np.float32) @ x) * step)
unpack_seconds = min(run.repeat(number=1, repeat=9))
vector_seconds = min(vector_seconds, *timeit.repeat(lambda: W @ x, number=1, repeat=9))
print(f"{unpack_seconds * 1e3:.1f} ms, {unpack_seconds / vector_seconds:.1f} times slower; bytes say {9 / 4}")
assert unpack_seconds > vector_seconds

# %% [markdown]
# A quarter of the memory, and slower; usually by more than the bytes say, because the large array has to be allocated anew each
# time. The gain needs a **kernel** (the inner routine of a library) that reads the codes and turns them
# into reals in registers, without ever writing the large array.
#
# **Two: integers without a kernel.** Perhaps we should stay in integers? Numpy can multiply integer matrices:

# %%
from quantlab import int_matmul

a, b = np.random.default_rng(2).integers(-128, 128, (2, 256, 256), dtype=np.int8)
want = a.astype(np.int64) @ b.astype(np.int64)
wide = a.astype(np.int32) @ b.astype(np.int32)
for name, got in {"int8 @": a @ b, "int32 @": wide, "int_matmul": int_matmul(a, b)}.items():
    print(f"{name:11s}gives {got.dtype}, wrong: {(got != want).sum():,} of {want.size:,}")

# %% [markdown]
# The first line is a trap: numpy sums int8 products in int8, where they wrap around, and says nothing. Right are only the few sums
# that happen to fit into eight bits. So integers need a wider sum. Now the time:

# %% tags=["nbval-ignore-output"]
seconds = {"int_matmul": min(timeit.repeat(lambda: int_matmul(a, b), number=1, repeat=7))}
for kind in (np.float32, np.int32):
    A, B = a.astype(kind), b.astype(kind)
    run = timeit.Timer(lambda A=A, B=B: A @ B)
    seconds[f"{kind.__name__} @"] = min(run.repeat(number=1, repeat=7))
for name, t in seconds.items():
    print(f"{name:11s}{t * 1e3:6.2f} ms")
assert seconds["int32 @"] > 3 * seconds["float32 @"]

# %% [markdown]
# Nobody tuned the integer product: it is a plain loop, and the reason is not the hardware but a missing kernel. `int_matmul` goes
# through the float32 kernel and is exact all the same, a trick for lesson 06. "Does my runtime have an int8 kernel for *this*
# operation?" is the first question to ask when int8 is slow. What has none runs in float, with conversions before and after.
#
# **Three: too little work.** ONNX Runtime has the kernel. It quantizes weights beforehand and activations on the fly: before each
# product it searches their range, rounds them, and afterwards scales the result. For $n$ rows of width $w$ this costs a few operations
# for each of $nw$ values; the product does $2nw^2$. The share of the overhead falls as $1/w$. Nets of eight layers, of four widths:

# %%
nets = {}
layers = " ".join(f"p{i} = MatMul(h{i}, V) h{i + 1} = Relu(p{i})" for i in range(8))
for width in (16, 64, 256, 1024):
    signature = f"net (float[n, {width}] h0) => (float[n, {width}] h8)"
    net = onnx.parser.parse_model(f"{head} {signature} {{ {layers} }}")
    V = rng.standard_normal((width, width), dtype=np.float32) / np.float32(width**0.5)
    net.graph.initializer.append(onnx.numpy_helper.from_array(V, "V"))
    files = {"float32": net.SerializeToString()}
    with tempfile.TemporaryDirectory() as folder:
        quantize_dynamic(net, Path(folder) / "int8.onnx")
        files["int8"] = (Path(folder) / "int8.onnx").read_bytes()
    nets[width] = {k: onnxruntime.InferenceSession(file, options) for k, file in files.items()}
    print(f"width {width:4d}:", ", ".join(f"{k} {len(file):,} bytes" for k, file in files.items()))

# %% [markdown]
# The narrowest net became *larger*: what describes the conversions outweighs its 256 weights. (All eight layers of a net share one
# matrix, to keep the files small.) Now the speed, for 128 rows at once.
#
# **Predict.** Which nets gain, and which one the most?

# %% tags=["nbval-ignore-output"]
gain = {}
for width, sessions in nets.items():
    feed = {"h0": rng.standard_normal((128, width), dtype=np.float32)}
    runs = [timeit.Timer(lambda s=sessions[k], feed=feed: s.run(None, feed)) for k in ("float32", "int8")]
    times = [[run.timeit(max(1, 400 // width)) for run in runs] for _ in range(15)]
    in_float32, in_int8 = np.min(times, axis=0)
    gain[width] = in_float32 / in_int8
    print(f"width {width:4d}: {gain[width]:.2f} times as fast in int8")
assert gain[16] < gain[1024]

# %% tags=["nbval-ignore-output"]
plots.lines(
    list(gain),
    {"int8": list(gain.values()), "float32": [1] * len(gain)},
    logx=True,
    title="The narrower the layers, the less int8 gains",
    alt="The speed of int8 against float32 at four widths: lower at width 16 than at 1024, beside "
    "the flat line of float32 at 1.",
    xlabel="width of the layers (128 rows)",
    ylabel="times as fast as float32",
)
assert gain[16] < gain[1024]

# %% [markdown]
# At 16 channels, as in the opening question, the conversions eat more than the product saves. (A convolution of 16 channels is such a
# product for every pixel.) Whether this was the whole story there we cannot know from here; it is enough for a slowdown.
#
# Look at the other end. At width 1024 with 128 rows nothing waits for memory, and int8 still gains a factor that no count of bytes
# explains. Where does it come from?
#
# ## What the CPU has
#
# From instructions. A core adds and multiplies whole registers, and an instruction made for int8 does four times as many products
# as one for float32. Not every CPU has one. What does yours have?

# %% tags=["nbval-ignore-output"]
from quantlab.lab import doctor

machine = doctor.report()
print(machine.cpu)
for name, has in machine.features.items():
    print(f"  {name:12s}", "unknown" if has is None else "yes" if has else "no")
assert machine.features

# %% [markdown]
# | name | what it means for int8 |
# | --- | --- |
# | AVX2, AVX-512 | registers of 256 and 512 bits; an int8 product takes three instructions, one of which can overflow (below) |
# | VNNI | one instruction multiplies int8 and sums in int32: four times the products of a float32 instruction |
# | AMX | one instruction multiplies small int8 matrices: more again |
# | NEON dotprod, i8mm | the same two ideas on ARM |
#
# To see the instruction and not the machine, we take it away. oneDNN, which computes torch's int8 products on x86, obeys an
# environment variable that hides newer instructions. Same CPU, same program, two processes:

# %% tags=["nbval-ignore-output"]
import os
import subprocess
import sys

script = """
import timeit, torch
torch.set_num_threads(1)
x, w = (torch.randint(-128, 128, (n, 1024), dtype=torch.int8) for n in (128, 1024))
floats = x.float(), w.float()
best = lambda f: min(timeit.repeat(f, number=1, repeat=9))
gain = best(lambda: torch.mm(*floats)) / best(lambda: torch._int_mm(x, w))
right = [torch._int_mm(x, v) == x.double() @ v.double() for v in (w, w // 2)]
wrong = [1 - r.double().mean().item() for r in right]
print(f"{gain:.1f} times as fast; wrong: {wrong[0]:.0%} with 8-bit, {wrong[1]:.0%} with 7-bit")
"""
print("all that it has: ", end="")
exec(script, {})
old = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}  # oneDNN reads it once, at its start
run = {"capture_output": True, "text": True, "check": True}
done = subprocess.run([sys.executable, "-c", script], env=old, **run)
print("as if only AVX2:", done.stdout.strip())
assert ", 0% with 7-bit" in done.stdout

# %% [markdown]
# If your CPU has VNNI, two things happen when it is hidden: the gain shrinks, and **the results are wrong**. (Without VNNI both lines
# show that. On ARM the variable does nothing.) The older instruction multiplies unsigned by signed bytes and adds the products in
# pairs, in 16 bits, where they saturate:

# %%
for n_bits, largest in {8: 128, 7: 64}.items():
    print(f"largest pair with {n_bits}-bit weights: 2 * 255 * {largest} = {2 * 255 * largest:,}")
print(f"int16 ends at {2**15 - 1:,}")

# %% [markdown]
# oneDNN documents this. For such CPUs ONNX Runtime offers 7-bit weights and torch 7-bit activations, both under the name `reduce_range`:
# either halves the largest pair. It is a reason why one and the
# same int8 model can score differently on two machines: before you debug the model, look at the CPU.
#
# ## Where it breaks
#
# *"A quarter of the bytes is four times the speed."* Only where memory is the limit **and** a kernel computes on the codes.
#
# *"The weights are the memory."* Not with photographs. Activations have to be kept somewhere too. The largest one of
# EfficientNet-Lite0, for one image:

# %%
name = max(filters, key=lambda name: math.prod(outputs[name]))
print(f"output of {name}: {outputs[name]}, {4 * math.prod(outputs[name]) / 1e6:.2f} MB in float32")
print(f"all weights in int8: {sizes['EfficientNet-Lite0']['int8'] / 1e6:.2f} MB")

# %% [markdown]
# One activation weighs about as much as all the weights. Quantizing weights alone leaves it as it is.
#
# *The energy table is of 2014.* An update to 7 nm (Jouppi and others, below) finds that arithmetic became cheaper faster than access
# to DRAM did. Take the orders of magnitude, not the digits.
#
# *What the field does now.* For one reader at a time: 4-bit weights, unpacked in registers and multiplied in float16 (memory-bound;
# Part V of the plan). For many readers or images at once: int8 or fp8 for weights *and* activations (compute-bound). And new number
# formats that come with new instructions (lesson 02).

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. A kernel reads int8 weights and unpacks them in registers; it multiplies in float32. With one row of input it
# is almost four times as fast as float32. You now feed 256 rows at once. What gain do you expect?**
#
# <details><summary><b>a.</b> About four: the weights still take a quarter of the bytes.</summary>
#
# > No. They do, but bytes set the time only while the product is memory-bound. For 256 rows each weight that arrives
# > is used 256 times, and the arithmetic is what takes the time.
#
# </details>
# <details><summary><b>b.</b> More than four: each byte saved is used 256 times.</summary>
#
# > No. A byte is fetched once, however often it is used afterwards. More use of each byte makes the fetching a
# > *smaller* part of the time, and with it what you can save there.
#
# </details>
# <details><summary><b>c.</b> Hardly any: the bytes are not what takes the time.</summary>
#
# > Yes. For 256 rows a matrix of 4096 x 4096 does 114 operations a byte in float32, in place of one half. If your
# > ridge point is below that, arithmetic is the limit, and it is float32 as before. To gain here, the
# > *multiplication* must be in int8, and the CPU must have an instruction for it.
#
# </details>

# %% [markdown]
# **2. With only its linear layers in int8, MiniLM takes 58.6 MB. You give the same layers int4 in place of int8. How
# large is the model now?**
#
# <details><summary><b>a.</b> About 53 MB.</summary>
#
# > Yes. The linear layers hold 47 % of the numbers: 11 MB in int8, and half of that in int4. The other 48 MB are
# > float32 and do not move. The next step is not to quantize harder, but to quantize the embeddings.
#
# </details>
# <details><summary><b>b.</b> About 29 MB.</summary>
#
# > No. Half the bits are half the size of the *codes*, and these are 11 of the 58.6 MB. What was left in float32 is
# > most of the file by now.
#
# </details>
# <details><summary><b>c.</b> About 12 MB.</summary>
#
# > No. So says the table of this page for int4, but it quantizes every matrix, the embeddings included: 11.67 MB.
# > Here they stay in float32, and they alone take four times as much.
#
# </details>

# %% [markdown]
# **3. A runtime keeps int8 codes in its file and unpacks them into float32 arrays once, while it loads. What do you
# gain when it runs, against a float32 file?**
#
# <details><summary><b>a.</b> Memory: the weights take a quarter of it.</summary>
#
# > No. In the file. In memory lie the unpacked arrays, 4 bytes a weight. Look at how much memory the process takes,
# > not at the file.
#
# </details>
# <details><summary><b>b.</b> Nothing: only the file is smaller.</summary>
#
# > Yes. From then on it is a float32 model: the same bytes are fetched, the same instructions multiply. The file and
# > the download shrink, the answers carry the error of int8, and the rest is as before.
#
# </details>
# <details><summary><b>c.</b> Speed: a product waits for bytes, and there are fewer of them.</summary>
#
# > No. The bytes that count are those that travel from memory to the arithmetic at each product. They are float32. A
# > gain needs a kernel that reads the *codes*.
#
# </details>
# <details><summary><b>d.</b> Less than nothing: unpacking makes each product slower.</summary>
#
# > No. That is the first of the three ways on this page, where the codes are unpacked anew for each product. Here it
# > is done once, and a product does not know of it.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Size is the number of weights times the *true* bits of each: codes, scales, and whatever stayed in float32.
# - Moving a byte from DRAM costs far more than computing with it.
# - $t \ge \max(n_{\text{byte}} / B,\ n_{\text{op}} / P)$: find out which term is yours before you quantize.
# - One vector at a time is memory-bound: fewer bytes are less time. Tokens per second are at most bandwidth over bytes.
# - Many columns are compute-bound: there int8 helps only through instructions such as VNNI.
# - int8 is slower when it is unpacked in memory, has no kernel, or the layer is too narrow.
#
# **Now you:** [exercises 01](../exercises/01_see_why_models_shrink/01_see_why_models_shrink.ipynb).
# Then [02 Encode numbers](02_encode_numbers.ipynb): what are these bits?
# `quantlab start 01` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - Mark Horowitz, [Computing's energy problem (and what we can do about it)](https://doi.org/10.1109/ISSCC.2014.6757323), ISSCC 2014:
#   the table.
# - Samuel Williams, Andrew Waterman, David Patterson,
#   [Roofline: an insightful visual performance model for multicore architectures](https://doi.org/10.1145/1498765.1498785), CACM 2009.
# - oneDNN, [Nuances of int8 computations](https://uxlfoundation.github.io/oneDNN/dev_guide_int8_computations.html): who saturates when.
# - ONNX Runtime, [Quantize ONNX models](https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html): when to
#   reduce the range, and when not to expect speed.
# - Norman Jouppi and others, [Ten lessons from three generations shaped Google's TPUv4i](https://doi.org/10.1109/ISCA52012.2021.00010),
#   ISCA 2021: the table again, for 7 nm.
# - Reiner Pope and others, [Efficiently scaling transformer inference](https://arxiv.org/abs/2211.05102), 2022: the same two limits,
#   on hundreds of chips.
