# %% [markdown]
# # 08 Quantize a network
#
# **You will** train a small convolutional network in numpy, turn it into integers step by step, run it without a float
# between its layers, and hand the same integers to LiteRT, which returns what you computed, to the bit.
# **You learn** batch-norm folding, calibration of a graph, integer convolution, addition and mean, how to judge a small
# loss of accuracy. **You need** lessons 03 to 06, and what a convolution is. About 45 minutes, difficulty 2 of 3.
# &nbsp; [previous: 07 Train through rounding](07_train_through_rounding.ipynb) ·
# [next: 09 Repair what PTQ breaks](09_repair_what_ptq_breaks.ipynb)
#
# "The converter made an int8 model in one call. Accuracy fell. Which of its steps did it?" Who has only ever called a
# converter cannot say: folding, calibration, rounding of weights, rounding of activations, the kernels. On this page
# each step is a few lines of its own, each can be switched off or broken, and each shows what it costs.
#
# ## A float network
#
# The digits of scikit-learn again, this time as images, and a network made of what mobile networks are made of: convolutions
# with batch norm, a depthwise convolution, a residual sum, a pool.

# %%
import numpy as np

from quantlab.lab import data, plots
from quantlab.lab.digits_cnn import digits_images, train_digits_cnn

digits = data.digits(seed=0)
x_test = digits_images(digits.x_test)
plots.images(
    {f"{k}": np.uint8(255 * x_test[digits.y_test == k][0, :, :, 0]) for k in range(10)},
    title="The first of each digit among 450 test images, 8 x 8 pixels each",
    alt="Ten small grey images of handwritten digits, 0 to 9.",
    columns=10,
)

# %% [markdown]
# Eight epochs take a few seconds. (The training runs in float64, so that the order of a sum, which differs between
# machines, does not reach the float32 weights that we keep.) Then the layers become a `Network`: a list of nodes, each
# with an operator, the names of what it reads, and its parameters.

# %%
from quantlab.nn.from_layers import network_from_layers

network = network_from_layers(train_digits_cnn(digits, seed=0))
for node in network.nodes:
    shapes = ", ".join(f"{name} {value.shape}" for name, value in node.params.items() if name in ("W", "gamma"))
    depthwise = "depthwise" if node.options.get("groups", 1) > 1 else ""
    print(f"{node.name:13s} {' + '.join(node.inputs):27s} {node.activation or '':5s} {shapes:19s} {depthwise}".rstrip())

# %%
from quantlab.lab.intervals import wilson

right = {"float": network.forward(x_test).argmax(axis=1) == digits.y_test}
print(f"{right['float'].sum()} of 450 right: {wilson(int(right['float'].sum()), 450):.1%}")

# %% [markdown]
# The brackets are Wilson's 95 % interval: what 450 images can say about the next ones.
#
# ## Fold the batch norms
#
# An integer runtime has no batch norm. In training it divides by the spread of a batch; afterwards $\mu$ and $\sigma^2$
# are constants, and it is one multiplication and one addition a channel. So is the layer in front of it, and
# two affine maps in a row are one. For output channel $o$:
#
# $$ \gamma_o \frac{(W_o \cdot x + b_o) - \mu_o}{\sqrt{\sigma_o^2 + \epsilon}} + \beta_o
#    = \underbrace{f_o W_o}_{W'_o} \cdot x + \underbrace{f_o (b_o - \mu_o) + \beta_o}_{b'_o},
#    \qquad f_o = \frac{\gamma_o}{\sqrt{\sigma_o^2 + \epsilon}} $$

# %%
from quantlab.ptq.fold import fold, fold_batch_norm

conv, bn = network["conv0"], network["batch_norm1"]
p = {name: value.astype(np.float64) for name, value in (conv.params | bn.params).items()}
f = p["gamma"] / np.sqrt(p["variance"] + bn.options["eps"])
W_folded = f[:, None, None, None] * p["W"]
b_folded = f * (p["b"] - p["mean"]) + p["beta"]

W, b = fold_batch_norm(**conv.params, **bn.params, eps=bn.options["eps"])
assert np.array_equal(W_folded.astype(np.float32), W)
assert np.array_equal(b_folded.astype(np.float32), b)
print(
    f"16 factors from {f.min():.2f} to {f.max():.2f}; biases from {b.min():.2f} to {b.max():.2f}, all of them 0 before"
)

# %% [markdown]
# **Predict.** `fold` does this to all six. Are the logits of the folded network *equal* to those of the original?

# %%
folded = fold(network)
logits = folded.forward(x_test)
worst = np.abs(logits - network.forward(x_test)).max()
print(f"{len(network.nodes)} nodes before, {len(folded.nodes)} after")
print("equal:", np.array_equal(logits, network.forward(x_test)), "  within 0.0001:", worst < 1e-4)
print(f"largest logit {np.abs(logits).max():.1f}")

# %% [markdown]
# Equal in the reals, not in float32: the roundings happen elsewhere. That is the size of error to expect of a correct fold.
# An error of 0.01 would be a bug.
#
# **Predict.** And if we forget to fold: keep the convolutions as they were trained and drop what the runtime does not know?

# %%
forgotten = folded.with_params({node.name: network[node.name].params for node in folded.nodes if node.params})
right["not folded"] = forgotten.forward(x_test).argmax(axis=1) == digits.y_test
print(f"{right['not folded'].sum()} of 450 right")

# %% [markdown]
# Not 45, which chance would get. Enough to pass for a "quantization loss", and nothing was quantized. So compare the folded
# float network with the original *before* you quantize.
#
# ## Calibrate
#
# Weights lie on the table. Activations do not: their ranges are seen only while data flow through. We show the folded network
# 256 of the training images, and none of the test images.

# %%
from quantlab.ptq.calibrate import calibrate

assert not set(digits.train_index) & set(digits.test_index)
x_cal = digits_images(digits.x_train[:256]).astype(np.float64)  # float64: the same ranges on every machine
observers = calibrate(folded, x_cal)

# %% [markdown]
# Weights: symmetric, one scale an output channel, marks -127 to 127. Activations: asymmetric int8. Biases: int32, in
# steps of $s_x s_w$ (lesson 06). **Predict.** A ReLU's output begins at 0. Which mark is its zero point?

# %%
from quantlab.ptq.quantize import quantize_network

qnet = quantize_network(folded, observers, weight_bits=8, per_channel=True)
for name, qp in qnet.activations.items():
    lo, hi = observers[name].range(grid=qp.grid)
    print(f"{name:10s} saw {lo:7.3f} to {hi:6.3f}   scale {qp.scale:.5f}   zero point {qp.zero_point:4d}")

# %% [markdown]
# The lowest, -128: a ReLU costs nothing, because what lies below 0 lies below the ruler, and the clip that every layer has
# anyway takes it away.
#
# `max_pool7` saw less than `add6`, and yet has its ruler. A maximum *selects* codes. With one ruler on both sides it is a maximum of
# integers and rounds nothing; a finer ruler of its own would cost a rounding.
#
# ## One convolution, by hand
#
# The first layer, from its definition. Codes are shifted by the zero point and multiplied, the bias is added, and
# one real multiplier a channel, $s_x s_w / s_y$, leads to the codes of the output.
#
# **Predict.** `padding="same"` surrounds the image with a ring of zeros. Which *code* has this ring?

# %%
from quantlab import quantize
from quantlab.integer.ops import conv2d
from quantlab.integer.requantize import requantize

x_qp, w_qp, y_qp = qnet.activations["input"], qnet.weights["conv0"], qnet.activations["conv0"]
w_q, bias_q = qnet.w_q["conv0"], qnet.bias_q["conv0"]
x_q = quantize(x_test, x_qp)


def conv_by_hand(x_q, *, ring):
    padded = np.pad(x_q, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=ring)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))  # (n, 8, 8, 1, 3, 3)
    shifted = windows.astype(np.int32) - x_qp.zero_point
    acc = np.einsum("nhwcij,oijc->nhwo", shifted, w_q.astype(np.int32)) + bias_q
    scales = {"x_scale": x_qp.scale, "w_scale": w_qp.scale, "y_scale": y_qp.scale}
    y_q = requantize(acc, **scales, y_zero_point=y_qp.zero_point, grid=y_qp.grid, dialect="litert")
    return acc, np.maximum(y_q, y_qp.zero_point)


# %%
acc, by_hand = conv_by_hand(x_q, ring=x_qp.zero_point)
ours = conv2d(x_q, w_q, bias_q, x_qp=x_qp, w_qp=w_qp, y_qp=y_qp, padding="same", activation="relu", dialect="litert")
print(f"accumulators {acc.dtype}, from {acc.min():,} to {acc.max():,}")
print(f"compared {ours.size:,} outputs, mismatches {(ours != by_hand).sum()}")
assert np.array_equal(ours, by_hand)

# %% [markdown]
# The ring has the code of the real 0, which is the zero point, here -128. Code 0 would be a grey frame, of
# 0.5, around each image:

# %%
_, grey_frame = conv_by_hand(x_q, ring=0)
wrong = (grey_frame != ours).any(axis=(0, 3))
print(f"{(grey_frame != ours).mean():.1%} of the outputs differ, at these pixels:")
print("\n".join(" ".join("x" if cell else "." for cell in row) for row in wrong))

# %% [markdown]
# ## Two rulers meet: the residual sum
#
# `add6` adds what comes through the block to what went around it. The two have rulers of their own, so their codes are
# numbers in different units. Put $x = s(q - z)$ for all three:
#
# $$ q_y = \mathrm{clip}\Big( \mathrm{round}\Big( \frac{s_a}{s_y} (q_a - z_a) + \frac{s_b}{s_y} (q_b - z_b) \Big) + z_y \Big) $$
#
# Two multipliers, one rounding. **Predict.** What happens to the network if somebody adds the codes, $q_a + q_b$, and clips?

# %%
codes = qnet.codes(x_test, dialect="litert")
a_qp, b_qp, y_qp = (qnet.activations[name] for name in ("conv0", "conv4", "add6"))
a, b = codes["conv0"].astype(np.float64) - a_qp.zero_point, codes["conv4"].astype(np.float64) - b_qp.zero_point
exact = a * (a_qp.scale / y_qp.scale) + b * (b_qp.scale / y_qp.scale) + y_qp.zero_point
print(f"s_a / s_y = {a_qp.scale / y_qp.scale:.3f}, s_b / s_y = {b_qp.scale / y_qp.scale:.3f}")
print(f"add6 is at most {np.abs(codes['add6'] - np.clip(exact, -128, 127)).max():.3f} steps from the exact sum")

# %%
right["int8"] = codes["linear16"].argmax(axis=1) == digits.y_test
naive = np.clip(codes["conv0"].astype(int) + codes["conv4"], -128, 127).astype(np.int8)
y_q = qnet.run(x_test, dialect="litert", hook=lambda name, q: naive if name == "add6" else q)
right["codes added"] = y_q.argmax(axis=1) == digits.y_test
print("right answers:", {name: int(right[name].sum()) for name in ("float", "int8", "codes added")})

# %% [markdown]
# An integer that does not know its unit is no number. A runtime's ADD therefore holds both multipliers, in LiteRT as integers
# of fixed point: the sum is taken in steps some 20 bits finer than the output's, and rounded last.
#
# The mean over the image is the same idea once more: sum the codes as int32, and one multiplier, $s_x / (16\, s_y)$, leads to the
# ruler of the means.
#
# ## Integers only
#
# We ran the whole network in passing. Is it integers only? Look at every tensor between two operators:

# %%
n_values = sum(q[0].size for q in codes.values())
print(f"{len(codes)} activations, {n_values:,} values an image, all of them {codes['linear16'].dtype}")
assert all(q.dtype == np.int8 for q in (*codes.values(), *qnet.w_q.values()))
assert all(q.dtype == np.int32 for q in qnet.bias_q.values())
floats = sum(value.nbytes for node in folded.nodes for value in node.params.values())
print(f"{floats:,} bytes of float32 parameters, {qnet.n_bytes():,} bytes of int8 weights, int32 biases, float32 scales")

# %% [markdown]
# Why not a quarter? **Predict** what share of these bytes are biases and scales.

# %%
n_weights = sum(q.size for q in qnet.w_q.values())
n_biases = sum(q.size for q in qnet.bias_q.values())
share = 8 * n_biases / qnet.n_bytes()
print(f"{n_weights:,} weights of 1 byte; {n_biases} biases and {n_biases} scales of 4: {share:.0%} of all bytes")
print(f"{n_weights / n_biases:.0f} weights a channel, on average")

# %% [markdown]
# 8 bytes a channel beside 44 weights. A network with 1,000 weights a channel would not notice.
#
# And *inside* an operator? There XNNPACK requantizes with one float32 multiplication (lesson 06). The kernels that we call `litert_ruy` do
# without: below we run both.
#
# ## What did it cost?

# %%
for name in ("float", "int8"):
    print(f"{name:6s} {wilson(int(right[name].sum()), 450):.1%}")
answers_float, answers_int8 = logits.argmax(axis=1), codes["linear16"].argmax(axis=1)
print("only float right:", (right["float"] & ~right["int8"]).sum(), "of 450 images")
print("only int8 right:", (right["int8"] & ~right["float"]).sum())
print("different answers, right or wrong:", (answers_float != answers_int8).sum())

# %% [markdown]
# The two intervals overlap almost wholly, and that is the weaker way to look. Both networks saw the *same* images, so count where they
# disagree. Of $n$ images that only one of them gets right, let the smaller share be $m$. If neither network were better, a fair coin would have
# dealt them, and it deals as unevenly as this, in one direction or the other, with chance
#
# $$ p = \min\Big(1,\ 2 \sum_{k=0}^{m} \binom{n}{k} \big/ 2^n \Big) \qquad \text{(McNemar's exact test)}. $$
#
# One image against none: $p = 1$. That says nothing. Look at the image:

# %%
(n,) = np.flatnonzero(answers_float != answers_int8)
print("label", digits.y_test[n], "  float logits of 8 and 9:", logits[n, 8:].round(2))
print("codes of 8 and 9:", codes["linear16"][n, 8:], f"  one step is {qnet.activations['linear16'].scale:.3f}")

# %% [markdown]
# The float network preferred 9 by less than one step. In int8 the two classes have the same code, and `argmax` takes the first. **Ties
# are a thing of integer outputs**: another runtime may take the last one, and both are right.
#
# Where does the error come from? Compare each activation with what the float network has there:

# %%
from quantlab import dequantize, sqnr_db

reals = folded.activations(x_test, names=list(codes))
db = {name: sqnr_db(reals[name], dequantize(q, qnet.activations[name])) for name, q in codes.items()}
plots.bars(
    {name: round(float(value), 1) for name, value in db.items()},
    title="Errors pile up until the mean takes some away",
    alt="Bars of the signal-to-noise ratio of 12 activations in decibels, from the input at the top to the logits. "
    "They shrink from 56 to 30, and grow again behind the max pool and the mean.",
    xlabel="signal-to-quantization-noise ratio, dB",
    highlight=["mean15"],
)

# %% [markdown]
# ## The same integers in LiteRT
#
# A page that says "it works" should not be its own witness. `to_tflite` writes our codes, scales and zero points into a .tflite file,
# one operator a node. No converter is involved: the runtime gets *these* integers. It can show its tensors between the
# operators, too.
#
# **Predict.** In which of the 12 activations does the first difference appear?

# %%
from quantlab.lab import litert
from quantlab.lab.litert_export import to_tflite

model = to_tflite(qnet, input_shape=x_q.shape)
names = list(codes)  # the file numbers the activations in this order
print(f"file: {len(model):,} bytes")
for kernels in litert.KERNELS:
    ours, theirs = qnet.codes(x_test, dialect=kernels), litert.tensors(model, x_q, kernels=kernels)
    shown = [(ours[name], theirs[n]) for n, name in enumerate(names) if n in theirs]
    wrong = sum((q != t).sum() for q, t in shown)
    print(f"{kernels:17s} {len(shown)} activations, compared {sum(q.size for q, _ in shown):,}, mismatches {wrong}")
    assert wrong == 0 and np.array_equal(ours["linear16"], litert.run(model, x_q, kernels=kernels))

# %% [markdown]
# In none, in three kernel sets. The control, as in lesson 06: our dialects differ from each other, so that a wrong one would show.

# %%
for dialect in ("litert_ruy", "litert_reference"):
    other = qnet.codes(x_test, dialect=dialect)
    differ = {name: int((other[name] != q).sum()) for name, q in codes.items() if (other[name] != q).any()}
    answers = (other["linear16"].argmax(axis=1) == digits.y_test).sum()
    print(f"{dialect}: {sum(differ.values()):,} codes differ, first in {next(iter(differ))}; {answers} of 450 right")

# %% [markdown]
# The same weights, the same bits, another kernel set: the image that tied is right again. So "the int8 accuracy of a model" is not one
# number either, unless the kernels are named.
#
# (On an ARM processor XNNPACK may choose kernels that round otherwise, as lesson 06 said; the row of `litert` would show it.)
#
# ## Simulated, or computed?
#
# Most tools do not run integers while they look for good parameters. They **simulate**: float32 layers, with a
# fake quantization (lesson 03) behind each. `simulate` does that.

# %%
simulated = quantize(qnet.simulate(x_test), qnet.activations["linear16"])
for dialect in litert.KERNELS:
    q = qnet.run(x_test, dialect=dialect)
    share, apart = (q == simulated).mean(), np.abs(q.astype(int) - simulated).max()
    equal = "over 99 %" if share > 0.99 else f"about {5 * round(20 * share)} %"
    print(f"{dialect:17s} codes of the logits equal: {equal}; at most two apart: {apart <= 2}")

# %% [markdown]
# A simulation rounds once, ties to even. So does XNNPACK, but for its ADD; the other kernels round in ways of their own (lesson
# 06), and a difference of one step in an early layer spreads. A simulated accuracy is a good estimate; a claim to the bit needs the integers.
#
# ## Break it on purpose
#
# Four mistakes that are easily made, beside the right network. **Predict** their order before you run the cell.
#
# - *not folded*: batch norms dropped (above; in float).
# - *bias in weight steps*: $b_q = \mathrm{rint}(b / s_w)$, the scale of the input forgotten.
# - *zero points clamped*: somebody stored them as unsigned numbers, so that -128 became 0.
# - *codes added*: the residual sum without its multipliers (above).

# %%
from dataclasses import replace

from quantlab import QParams

bias_q = {name: np.rint(folded[name].params["b"] / qp.scale).astype(np.int32) for name, qp in qnet.weights.items()}
clamped = {
    name: QParams(scale=qp.scale, zero_point=max(int(qp.zero_point), 0), grid=qp.grid)
    for name, qp in qnet.activations.items()
}
broken = {
    "bias in weight steps": replace(qnet, bias_q=bias_q),
    "zero points clamped": replace(qnet, activations=clamped),
}
for name, net in broken.items():
    right[name] = net.run(x_test, dialect="litert").argmax(axis=1) == digits.y_test

# %%
order = ["float", "int8", "zero points clamped", "not folded", "bias in weight steps", "codes added"]
intervals = {name: wilson(int(right[name].sum()), 450) for name in order}
plots.bars(
    {name: (100 * i.value, 100 * i.low, 100 * i.high) for name, i in intervals.items()},
    title="Every mistake is far outside the interval of the right network",
    alt="Bars of accuracy with 95 % intervals: float and int8 near 100 %, the four mistakes far below.",
    xlabel="accuracy on 450 digits, %",
    highlight=["int8"],
)

# %% [markdown]
# None of them crashes. All of them would be reported as "int8 loses accuracy". An honest int8 network of this size loses
# nothing that 450 images can show, so **a loss you can see is a bug until you have found its step.**
#
# ## Fewer bits
#
# The same calibration, weights at 8 to 2 bits, activations at 8. **Predict.** At how many bits does it begin to matter whether
# each channel has a scale of its own?

# %%
bits = [8, 7, 6, 5, 4, 3, 2]
correct = {}
for label, per_channel in [("per channel", True), ("per tensor", False)]:
    nets = [quantize_network(folded, observers, weight_bits=n, per_channel=per_channel) for n in bits]
    predicted = [net.run(x_test, dialect="litert").argmax(axis=1) for net in nets]
    correct[label] = [int((p == digits.y_test).sum()) for p in predicted]
    print(f"{label:12s}", dict(zip(bits, correct[label], strict=True)))

# %%
plots.lines(
    bits,
    {label: [k / 4.5 for k in counts] for label, counts in correct.items()},
    title="Nothing to see down to 5 bits; at 3 bits a scale a channel saves a third",
    alt="Accuracy on 450 digits over the bits of the weights. Both curves are flat near 100 % from 8 to 5 "
    "bits. At 3 bits per channel has 91 %, per tensor 58 %; at 2 bits both are below 25 %.",
    xlabel="bits of the weights",
    ylabel="accuracy, %",
)

# %% [markdown]
# Which of these steps can 450 images show? The per-tensor networks (`nets` holds them still), their intervals, and the test on the
# same images against the float network:

# %%
import math

for n_bits, net in zip(bits, nets, strict=True):
    b = net.run(x_test, dialect="litert").argmax(axis=1) == digits.y_test
    only_float, only_int = int((right["float"] & ~b).sum()), int((b & ~right["float"]).sum())
    n, m = only_float + only_int, min(only_float, only_int)
    p = min(1, 2 * sum(math.comb(n, k) for k in range(m + 1)) / 2**n)
    accuracy = wilson(int(b.sum()), 450)
    found = f"only float right {only_float:3d}, only int {only_int}, p = {p:.2g}"
    print(f"per tensor, {n_bits} bits {accuracy:.1%}   {found}")

# %% [markdown]
# From 8 to 5 bits, nothing. At 4 bits the interval still touches that of the float network, 98.4 % to 99.9 %, and yet the paired test is
# sure: ten images against none. That is what pairing buys. And "7 bits are better than 8", which the per-channel row further up seems
# to say, is one image.
#
# ## Where it breaks
#
# **"Per tensor is good enough, see 8 bits."** It was good enough *here*: eight epochs left the channels of a layer much alike.
# EfficientNet-Lite0, trained on ImageNet, looks otherwise, above all in its depthwise layers, where a channel is 9 or 25 weights and
# folding multiplies each channel by a factor of its own. **Predict.** In a per-tensor int8 layer the widest channel uses 127
# marks on each side. How many does the channel in the middle use, sorted by width?

# %%
from quantlab.lab.efficientnet import efficientnet_network

efficientnet = fold(efficientnet_network())
layers = {"digits": folded["conv2"], "EfficientNet": efficientnet["_blocks.0._depthwise_conv"]}
for name, node in layers.items():
    W = node.params["W"]
    widths, step = np.abs(W).max(axis=(1, 2, 3)), np.abs(W).max() / 127
    empty = (np.rint(widths / step) == 0).sum()
    print(f"{name:13s} channel in the middle: {np.median(widths) / step:3.0f} marks; only zeros: {empty} of {len(W)}")
depthwise = sum(node.options.get("groups", 1) > 1 for node in efficientnet.nodes)
print(f"{depthwise} depthwise layers")

# %%
plots.channel_ranges(
    W.reshape(32, 9).T,
    axis=1,
    title="EfficientNet's first depthwise layer, folded: one scale cannot serve all",
    alt="Range of the weights in each of 32 channels; a few are many times wider than the others, some are zero.",
    xlabel="channel",
    ylabel="folded weight",
)

# %% [markdown]
# Twelve marks on each side are not even 5 bits, and four channels have nothing left. And this is one of 16 such layers.
# Lesson 09 shows what int8 per tensor does to it, and what can be repaired without training.
#
# A channel that is empty still has a bias. Even with a scale of its own, as small as its weights, it is a trap: in steps of $s_x s_w$ the
# bias may leave int32. `quantize_network` enlarges such a scale, and so do you in exercise 08.4.
#
# **"The ranges come from calibration, so any data will do."** These digits are easy; lesson 05 shows what noise in place of
# photographs does. And 256 training images are no test images: whoever calibrates on the test set measures himself.
#
# **What we left out.** Operators such as softmax, sigmoid and hard-swish need tables or fixed-point polynomials. A concatenation wants one ruler for all its
# parts. And a real network comes from a converter, which also decides what to fuse: lesson 10.

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. A converter turns a float network with 99.6 % of the digits right into an int8 network with 45 %. You stop the
# converter before it rounds anything: its folded network, in float, has 45 % too. Where do you look next?**
#
# <details><summary><b>a.</b> At the calibration: more images, and more varied ones.</summary>
#
# > No. Calibration finds the ranges of activations, and this is what one suspects first, since it can be done badly.
# > But the folded network in float reads no ranges, and it is as bad.
#
# </details>
# <details><summary><b>b.</b> At the folding.</summary>
#
# > Yes. Nothing behind it has run yet. On this page a network that lost its batch norms had 202 of 450 right, 44.9 %,
# > and a correct fold kept every logit within 0.0001. This one comparison splits the converter in two, so it comes
# > first.
#
# </details>
# <details><summary><b>c.</b> At the weights: one scale a channel instead of one for the whole layer.</summary>
#
# > No. That changes how weights are rounded, and it is the cure for the EfficientNet layer at the end of this page.
# > Here no weight has been rounded yet.
#
# </details>

# %% [markdown]
# **2. You write an int8 convolution with padding. The zero point of its input is 8, and you surround the image with
# the code 0. What do you get?**
#
# <details><summary><b>a.</b> The right result: a zero is a zero.</summary>
#
# > No. A code stands for $s\,(q - z)$. The code 0 stands for $-8s$, and the real 0 has the code 8. Only with $z = 0$
# > are the two the same, which is why tests with symmetric rulers pass.
#
# </details>
# <details><summary><b>b.</b> All outputs of a channel off by the same amount, which a new bias takes back.</summary>
#
# > No. Zero points do add constants, so one thinks of a bias. But here only windows that reach over the border meet
# > the ring, and a corner meets more of it than an edge. A bias acts on all pixels alike.
#
# </details>
# <details><summary><b>c.</b> The image in a frame of 8 steps below zero, and errors along the border.</summary>
#
# > Yes. The ring is part of the image for the kernel. On this page, with $z = -128$, the code 0 made a grey frame:
# > 30.3 % of the outputs of the first layer differed, all of them at the border. A second layer of 3 x 3 would carry
# > them one pixel further in.
#
# </details>

# %% [markdown]
# **3. Two int8 networks answer the same 1,000 test images: A has 98 % right, B has 97 %. Their 95 % intervals
# overlap. What else must you know before you say that B is worse?**
#
# <details><summary><b>a.</b> How many images only A gets right, and how many only B.</summary>
#
# > Yes. If it is 10 against 0, $p = 0.002$; if it is 60 against 50, $p = 0.39$. The accuracies are the same in both
# > cases. On this page 448 against 438 of 450 looked doubtful by the intervals, and was ten against none.
#
# </details>
# <details><summary><b>b.</b> Nothing. Where intervals overlap, there is no difference.</summary>
#
# > No. Each interval asks what *other* images would say of one network, and that luck is large. Both networks had the
# > same luck here: hard images are hard for both. Comparing on the same images takes it out.
#
# </details>
# <details><summary><b>c.</b> Nothing. On the same images ten right answers fewer are ten fewer.</summary>
#
# > No. Ten fewer on these images, yes. But the per-channel row of this page has 448 right with 7 bits and 447 with 8,
# > and nobody will say that 7 bits are better. The question is whether a fair coin could have done it.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Folding is exact in the reals; compare the folded float network with the original before anything else.
# - Calibration gives each activation a ruler; pools that select keep the ruler of their input; a ReLU is the end of the ruler.
# - Padding is the zero point. A residual sum needs two multipliers. A bias is an int32 in steps of $s_x s_w$.
# - 12 activations of 450 images, computed on integers: equal to LiteRT to the bit in three kernel sets.
# - Compare two networks on the same images: count where they disagree, not whether intervals overlap.
# - A loss that you can see is a bug until you have found its step.
#
# **Exercises:** [08 Quantize a network](../exercises/08_quantize_a_network/08_quantize_a_network.ipynb): six, about 55 minutes.
# &nbsp; **Next:** [09 Repair what PTQ breaks](09_repair_what_ptq_breaks.ipynb).
# `quantlab start 08` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018,
#   [arXiv:1712.05877](https://arxiv.org/abs/1712.05877): the scheme of this page; batch-norm folding is equation 14.
# - Ioffe and Szegedy, "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift", 2015,
#   [arXiv:1502.03167](https://arxiv.org/abs/1502.03167).
# - Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference: A whitepaper", 2018,
#   [arXiv:1806.08342](https://arxiv.org/abs/1806.08342): per tensor and per channel on real networks.
# - Nagel et al., "A White Paper on Neural Network Quantization", 2021, [arXiv:2106.08295](https://arxiv.org/abs/2106.08295).
# - [LiteRT 8-bit quantization specification](https://developers.google.com/edge/litert/conversion/tensorflow/quantization/quantization_spec): which
#   operators must keep the scale of their input.
