# %% [markdown]
# # 16 Design networks that quantize well
#
# **You will** train thirty small networks in pairs that differ in one choice, round them to 8 and 4 bits, and look into each
# choice for the reason of what it costs. **You learn** what swish, squeeze-and-excite, depthwise filters, shortcuts and the
# place of a norm do to ranges; to tell a cost from a tale; why EfficientNet-Lite is what it is. **You need** lessons 04, 05, 08
# and 09. About 45 minutes, difficulty 2 of 3.
# &nbsp; [previous: 15 Allocate bits](15_allocate_bits.ipynb) · next: Part V, language models, will follow.
#
# "My ResNet lost nothing at int8. My EfficientNet fell from 75 % to 46 %. I have read that it is the swish, the squeeze-and-excite, the
# depthwise layers and the residuals. Which of them is it, and what shall I build instead?" The two numbers are told by a TensorFlow
# team, which met them in 2020, and changed the design, not the quantizer. A design is chosen before anything is trained, so a wrong reason is
# expensive. We take the choices one at a time.
#
# ## Six designs, five seeds
#
# The first design is a small EfficientNet-Lite: a stem, then blocks that widen 16 channels to 48 by a 1 x 1 convolution, filter each
# channel by itself (**depthwise**), project back to 16 and add the block's input (the **shortcut**). ReLU6 everywhere. Every other
# design changes *one* thing:

# %%
import numpy as np
import torch

from quantlab.lab import plots
from quantlab.lab.designs_torch import DESIGNS, letters, train

# %%
torch.set_num_threads(1)  # layers this small are done before a second thread has woken up
for name, design in DESIGNS.items():
    print(f"{name:14s}", design)

# %% [markdown]
# - **swish**: $x \, \sigma(x)$ in place of $\min(\max(x, 0), 6)$.
# - **squeeze** (squeeze-and-excite): behind the depthwise filters, each channel is multiplied by a gate between 0 and 1, which two small
#   layers compute from the means of all channels.
# - **full**: widening and filtering in one full 3 x 3 convolution, several times the work.
# - **no shortcut**: blocks in a row, nothing is added.
# - **norm on input**: the batch norm at the end of each block moves to its beginning. Nothing normalizes what is added, as in
#   transformers with pre-norm.
#
# The task is the letters of lesson 13, 36 classes, at 14 x 14. Each of five seeds draws its own images, first weights and order; the
# five networks of a design are trained as one network with five groups of channels, which is faster and changes nothing.
#
# **Predict.** Rank the five changes by what they cost at int8, and at 4 bits. Which cost nothing?

# %%
images = letters(range(5), n_train=1600, n_test=1000)
seen = {image.tobytes() for image in images.x_train.reshape(-1, 14, 14).numpy()}
assert not any(image.tobytes() in seen for image in images.x_test.reshape(-1, 14, 14).numpy())
print("train", tuple(images.x_train.shape), "test", tuple(images.x_test.shape), "no image in both")

# %%
stacks, losses = {}, {}
for name, design in DESIGNS.items():
    stacks[name], losses[name] = train(design, images, n_epochs=10, lr=0.06)
print(5 * len(stacks), "networks trained")

# %% [markdown]
# Step size and epochs were chosen by the float accuracy of the first design alone, with other seeds, the number of images by the minute that a page may take. Before anything is rounded, batch norms are
# folded (lesson 08); the function must not change:

# %%
from quantlab.lab.quantized_designs_torch import fold_stack, network_of, percent_right, sqnr_of_logits

folded = {name: fold_stack(stack) for name, stack in stacks.items()}
with torch.no_grad():
    exact = [sqnr_of_logits(stacks[n](images.x_test), folded[n].forward(images.x_test)).min() for n in folded]
print("folding changes the logits by less than -90 dB:", min(exact) > 90)
assert min(exact) > 90

# %%
half = 2.776 / np.sqrt(5)  # Student's t, four degrees of freedom, 95 %
logits = {(name, "float"): net.forward(images.x_test) for name, net in folded.items()}

# %% tags=["nbval-ignore-output"]
for name in DESIGNS:
    right = percent_right(logits[name, "float"], images.y_test)
    falling = " ".join(f"{loss:.2f}" for loss in losses[name].mean(axis=1)[[0, 3, 6, 8, 9]])
    share = f"{right.mean():.1f} +- {half * right.std(ddof=1):.1f} %"
    print(f"{name:14s} right {share}, loss in epochs 1, 4, 7, 9, 10: {falling}")
    assert right.mean() > 80

# %% [markdown]
# Mean and half of a 95 % interval over five runs, as in lesson 13; 1,000 test images a run. The loss has flattened out because the
# step size falls to 0, not because nothing more can be learned; **Converged?** at the end of the page says what more epochs change.
#
# ## Round them all
#
# The recipe, for all the same. **Weights**: symmetric min-max, a scale an output channel, or one a layer ("per tensor"). **Activations**:
# asymmetric min-max over 500 *training* images, a scale and zero point a tensor, wherever an integer runtime stores a tensor: the input,
# behind every convolution with its fused ReLU6, behind every add, product and mean. A swish is an operator of its own (a table of 256
# entries, at best), so it stores one tensor before it and one behind it. A sigmoid gate has the fixed range 0 to 1. Biases stay as they are.
# All of it is simulated in float32; "int4" means weights *and* activations at 4 bits, which few runtimes have.

# %%
kinds = {"int8": (8, True), "int8 per tensor": (8, False), "int4": (4, True), "int4 per tensor": (4, False)}
ranges = {name: net.ranges(images.x_train[:500]) for name, net in folded.items()}
print(len(ranges["lite"]), "tensors stored by the lite design,", len(ranges["swish"]), "with swish")

# %%
for name, net in folded.items():
    for kind, (n_bits, per_channel) in kinds.items():
        options = {"weight_bits": n_bits, "activation_bits": n_bits, "per_channel": per_channel}
        logits[name, kind] = net.quantized(images.x_test, ranges[name], **options)
print(len(logits), "results of five networks each")

# %% [markdown]
# Is the simulation what a runtime computes? One network of the first design, as integers, in LiteRT, and in `quantlab` (lesson 08):

# %%
from quantlab import sqnr_db
from quantlab.lab import litert
from quantlab.lab.litert_export import to_tflite
from quantlab.ptq.calibrate import calibrate
from quantlab.ptq.quantize import quantize_network

# %%
network = network_of(folded["lite"], 0)
x, x_test = images.x_train[:500, 0, :, :, None].numpy(), images.x_test[:200, 0, :, :, None].numpy()
integers = quantize_network(network, calibrate(network, x), weight_bits=8, per_channel=True)

# %%
codes = integers.run(x_test, dialect="litert")
x_q = integers.codes(x_test, dialect="litert")["input"]
theirs = litert.run(to_tflite(integers, input_shape=x_test.shape), x_q, kernels="litert")
print(f"LiteRT and quantlab: {codes.size} logits, {(codes != theirs).sum()} mismatches")
assert np.array_equal(codes, theirs)

# %% tags=["nbval-ignore-output"]
from quantlab import dequantize

reference = logits["lite", "float"][:200, 0].numpy()
by_integers = sqnr_db(reference, dequantize(codes, integers.activations["classify"]))
simulated = sqnr_db(reference, logits["lite", "int8"][:200, 0].numpy())
print(f"SQNR of the logits: integers {by_integers:.1f} dB, simulated {simulated:.1f} dB")
assert abs(by_integers - simulated) < 3

# %% [markdown]
# Good. (Not equal: rounded biases move a few codes by a step, and later layers spread that. But as far from float.)
#
# ## What it cost

# %%
drop, db = {}, {}
for (name, kind), z in logits.items():
    drop[name, kind] = percent_right(logits[name, "float"], images.y_test) - percent_right(z, images.y_test)
    db[name, kind] = sqnr_of_logits(logits[name, "float"], z)

# %% tags=["nbval-ignore-output"]
print(" " * 14 + "".join(f"{kind:>20s}" for kind in kinds))
for name in DESIGNS:
    row = [f"{drop[name, kind].mean():6.1f} +- {half * drop[name, kind].std(ddof=1):.1f}" for kind in kinds]
    print(f"{name:14s}" + "".join(f"{cell:>20s}" for cell in row))
    assert abs(drop[name, "int8"].mean()) < 2 < drop[name, "int4"].mean()

# %% [markdown]
# Points of accuracy lost. At int8 with a scale a channel nobody loses more than half a point: **by accuracy, all six designs are fine.** At 4 bits
# most of them are still alike, and swish is not. The SQNR of the logits sees what accuracy forgives:

# %% tags=["nbval-ignore-output"]
for name in DESIGNS:
    row = [f"{db[name, kind].mean():6.1f} +- {half * db[name, kind].std(ddof=1):.1f}" for kind in kinds]
    print(f"{name:14s}" + "".join(f"{cell:>20s}" for cell in row))
assert db["swish", "int8"].mean() < db["lite", "int8"].mean() - 3
assert db["full", "int8 per tensor"].mean() > db["lite", "int8 per tensor"].mean() + 3

# %% [markdown]
# Each seed has the same images in every design, so we compare within seeds:

# %% tags=["nbval-ignore-output"]
change = {}
for name in list(DESIGNS)[1:]:
    for kind in ("int8", "int8 per tensor", "int4"):
        d = change[name, kind] = db[name, kind] - db["lite", kind]
        settled = "" if abs(d.mean()) > half * d.std(ddof=1) else "   not settled"
        print(f"{name:14s}{kind:16s} {d.mean():6.1f} +- {half * d.std(ddof=1):4.1f} dB{settled}")
assert change["swish", "int8"].max() < 0

# %%
bars = {}
for name in list(DESIGNS)[1:]:
    d = change[name, "int8"]
    bars[name] = (d.mean(), d.mean() - half * d.std(ddof=1), d.mean() + half * d.std(ddof=1))

# %% tags=["nbval-ignore-output"]
assert bars["swish"][2] < -2
plots.bars(
    bars,
    title="At int8, a scale a channel: only swish costs more than a bit",
    alt="Bars of the change of SQNR against lite, with intervals. Swish is far below 0, the others are near 0.",
    xlabel="dB against lite, five paired runs; a bit is 6 dB",
    highlight=["swish"],
)

# %% [markdown]
# ## Swish: what it stores
#
# Two suspicions: the tail (swish has no upper end, ReLU6 has 6), and the extra tensor (what goes *into* a swish must be stored,
# with its negative half, of which swish then makes next to nothing). Widths of all the tensors behind convolutions, network by network
# in the mean:

# %%
behind = [
    name for name in ranges["lite"] if name not in ("input", "mean", "classify") and name[-4:] not in ("_sum", "ject")
]
wide = {}
for label, name, end in [("ReLU6", "lite", ""), ("swish, before", "swish", "_before"), ("swish, behind", "swish", "")]:
    wide[label] = [(ranges[name][t + end][1] - ranges[name][t + end][0]).mean() for t in behind]

# %% tags=["nbval-ignore-output"]
assert min(wide["swish, before"]) > 2 * max(wide["ReLU6"])
plots.lines(
    np.arange(len(behind)),
    wide,
    title="ReLU6 stores one narrow tensor, swish two wide ones",
    alt="Widths of the ranges of nine layers. ReLU6 lies at 6, swish's outputs at about twice that, its inputs higher.",
    xlabel="layer, from the stem to the head",
    ylabel="width of the range",
)

# %% [markdown]
# **Predict.** A hypothetical chip computes swish on the accumulator, before anything is rounded. How much of the loss does it win back?
# And if we cut swish's tail at 6, in the range of the quantizer alone? In the simulation: leave the tensors before each swish in float;
# and, in a second run, end the ranges behind it at 6.

# %%
fused = {name: both for name, both in ranges["swish"].items() if not name.endswith("_before")}
cut = {name: (lo, np.minimum(hi, 6) if name in behind else hi) for name, (lo, hi) in fused.items()}

# %% tags=["nbval-ignore-output"]
for n_bits, kind in [(8, "int8"), (4, "int4")]:
    options = {"weight_bits": n_bits, "activation_bits": n_bits, "per_channel": True}
    rounded = [folded["swish"].quantized(images.x_test, r, **options) for r in (fused, cut)]
    one, both = (sqnr_of_logits(logits["swish", "float"], z) for z in rounded)
    as_it_is, lite = db["swish", kind].mean(), db["lite", kind].mean()
    print(f"{kind}: swish {as_it_is:.1f} dB, fused {one.mean():.1f}, and cut at 6 {both.mean():.1f}; ReLU6 {lite:.1f}")
    assert as_it_is < one.mean() < lite

# %% [markdown]
# The extra tensor explains about a third of the loss at int8. The rest stays with the longer tail, and the tail cannot be cut off afterwards: this network was trained with it and
# uses it, and at 8 bits clipping costs far more than it wins. (At 4 bits, where a step is so coarse, it wins a little.) None of it shows in the float accuracy.
#
# ## Depthwise: the filters that set the step
#
# With one weight scale for a whole layer, the lite design loses much and *full* nearly nothing. Lesson 09 met the same in EfficientNet-Lite0.
# Each depthwise filter has its own batch norm, and folding multiplies each by its own $\gamma / \sigma$:

# %% tags=["nbval-ignore-output"]
widest = {}
for name in ("lite", "full", "swish"):
    W = folded[name].weights["block3_filter"].abs().flatten(1).amax(dim=1).reshape(5, -1)
    widest[name] = np.sort((W / W.median(dim=1, keepdim=True).values).numpy(), axis=1)
    print(f"{name:6s} largest filter / median filter, five seeds: {widest[name][:, -1].round(1)}")
assert np.median(widest["lite"][:, -1]) > 2 * np.median(widest["full"][:, -1])

# %% [markdown]
# In most lite networks one filter is tens of times as large as the middle one. Why? **Predict.** What does such a filter detect?

# %%
sigma = stacks["lite"].norms["block3_filter"].running_var.sqrt().numpy()
large = folded["lite"].weights["block3_filter"].abs().flatten(1).amax(dim=1).numpy()

# %% tags=["nbval-ignore-output"]
for i in np.argsort(-large)[:4]:
    print(f"filter {i % 48:2d} of seed {i // 48}: largest weight {large[i]:5.1f}, sigma in training {sigma[i]:.5f}")
assert sigma[large.argmax()] < 0.01

# %% tags=["nbval-ignore-output"]
plots.lines(
    {"filters of five networks": sigma + 1e-4},
    {"filters of five networks": large},
    title="The filters with the largest weights are those that never answer",
    alt="Scatter of 240 filters on logarithmic axes. A few of sigma 0, at the left edge, lie far above all others.",
    xlabel="sigma of the filter's output in training, plus 0.0001",
    ylabel="largest folded weight",
    logx=True,
    logy=True,
    join=False,
)
assert np.median(large[sigma < 0.01]) > np.median(large[sigma > 0.01])

# %% [markdown]
# Nothing. Its input channel is always 0: a unit behind a ReLU6 that no image switches on. The output never varies, so $\sigma = 0$, the batch norm
# divides by $\sqrt{0 + \epsilon}$, and the largest weights of the layer multiply zeros. A full convolution reads all 16 channels of the stream, which are never all 0; a swish has no
# dead units. Set those filters to 0, and nothing changes in float. Per tensor, though:

# %%
cleaned, n_dead = folded["lite"].without_dead_filters(below=1e-6)
unchanged = sqnr_of_logits(logits["lite", "float"], cleaned.forward(images.x_test)).min() > 60
z = cleaned.quantized(images.x_test, ranges["lite"], weight_bits=8, activation_bits=8, per_channel=False)
after = sqnr_of_logits(logits["lite", "float"], z)

# %% tags=["nbval-ignore-output"]
print(f"{n_dead} dead filters of {3 * sigma.size} set to 0; float logits change by less than -60 dB: {unchanged}")
print(f"int8 per tensor: {db['lite', 'int8 per tensor'].mean():.1f} dB before, {after.mean():.1f} dB after")
assert unchanged and after.mean() > db["lite", "int8 per tensor"].mean() + 5

# %% [markdown]
# The "depthwise problem" of these networks was mostly that: not small good filters beside large good ones, but good ones beside dead ones. (And it is why
# swish, per tensor, came out ahead of lite.) What is left is the difference between depthwise and full that one would expect. Is that the story of EfficientNet-Lite0, too?

# %%
from quantlab.lab.efficientnet import efficientnet_network
from quantlab.lab.models import efficientnet_weights
from quantlab.ptq.fold import fold

lite0, variance = fold(efficientnet_network()), efficientnet_weights()
filters = [node for node in lite0.nodes if node.name.endswith("_depthwise_conv")]

# %%
n_dead, largest = 0, 0.0
for node in filters:
    dead = variance[node.name.replace("_depthwise_conv", "_bn1.running_var")] < 1e-6
    W = np.abs(node.params["W"]).max(axis=(1, 2, 3))
    n_dead, largest = n_dead + dead.sum(), max(largest, (W[dead] / W.max()).max(initial=0))
print(f"{n_dead} dead filters; the largest has less than 0.0001 of its layer's range: {largest < 1e-4}")
assert largest < 1e-4

# %% [markdown]
# No. It has dead filters, but they are small. (Probably by weight decay, which pulls what is not used towards 0, and which we trained without.) Its wide
# filters are alive, and need what lesson 09 gave them. **The same symptom, another cause**: look before you cure.
#
# ## Squeeze-and-excite: a product
#
# A gate between 0 and 1 cannot widen a range. But it multiplies channels by different numbers, so they may come to need different scales:

# %% tags=["nbval-ignore-output"]
before, gate, product = folded["squeeze"].tensors(
    images.x_train[:500], "block3_filter", "block3_gate", "block3_product"
)
for label, value in [("before the gate", before), ("behind it", product)]:
    tops = value.amax(dim=(0, 3, 4))  # network, channel
    print(f"{label:15s} largest channel / median channel {(tops.amax(dim=1) / tops.median(dim=1).values).mean():.2f}")
print(f"gates from {gate.amin():.2f} to {gate.amax():.2f}")
assert 0 <= gate.amin() < gate.amax() <= 1

# %% [markdown]
# They do, a little: not enough to show in the logits. Its small layers read means, which have narrow ranges of their own. In these networks
# squeeze-and-excite is innocent; what it costs is two more layers, a mean and a product to store in every block.
#
# ## Shortcuts: a stream that grows
#
# Every block adds to the same 16 channels. **Predict.** With the norm at the input of a block, nothing bounds what is added. What happens to the range of the sums, and what
# to SQNR?

# %%
sums = ["first_project", "block1_sum", "block2_sum", "block3_sum"]
grown = {name: [(ranges[name][t][1] - ranges[name][t][0]).mean() for t in sums] for name in ("lite", "norm on input")}

# %% tags=["nbval-ignore-output"]
assert grown["norm on input"][3] > 1.5 * grown["lite"][3] > 1.5 * grown["lite"][0]
plots.lines(
    np.arange(4),
    grown,
    title="Without a norm on the branch the stream grows faster",
    alt="Width of the range of the stream after the stem and three blocks. Both curves rise, norm on input about "
    "three times as high.",
    xlabel="blocks passed",
    ylabel="width of the range",
)

# %% [markdown]
# The add itself costs nothing that we can see: *no shortcut* was not better. And a stream almost three times as wide moved the SQNR at int8 by a small part of a bit, if at all. **A wide range is not a loss.** If everything in a tensor is three times as large, so is its step, and
# relative to the values nothing has changed. What hurts is *one* channel that is wider than its fellows.
#
# The stream gives each channel the freedom to be that. Let whoever writes channel 0 multiply it by $k$, and whoever reads it divide: the network computes the same, the loss cannot see it, and
# no gradient stops it. We plant such a channel in the lite networks:

# %%
loud_db = {}
for k in (1, 2, 8, 32):
    loud = folded["lite"].with_loud_channel(float(k))
    assert torch.equal(loud.forward(images.x_test), logits["lite", "float"])
    loud_ranges = loud.ranges(images.x_train[:500])
    z = loud.quantized(images.x_test, loud_ranges, weight_bits=8, activation_bits=8, per_channel=True)
    loud_db[k] = sqnr_of_logits(logits["lite", "float"], z).mean()

# %% tags=["nbval-ignore-output"]
right = percent_right(logits["lite", "float"], images.y_test) - percent_right(z, images.y_test)
print(f"32 times: SQNR {loud_db[32]:.1f} dB, {right.mean():.1f} +- {half * right.std(ddof=1):.1f} points lost")
assert loud_db[32] < loud_db[8] - 5 < loud_db[1] - 10

# %% tags=["nbval-ignore-output"]
plots.lines(
    list(loud_db),
    {"lite, int8": list(loud_db.values())},
    title="One loud channel of sixteen: the same float function, a worse int8 one",
    alt="SQNR of the logits over the factor of one channel. It falls from about 35 dB at 1 to below 15 dB at 32.",
    xlabel="factor of channel 0 in the stream",
    ylabel="SQNR of the logits, dB",
    logx=True,
)
assert loud_db[1] > loud_db[32]

# %% [markdown]
# From some factor on, each doubling costs about a bit. Our networks did not make such a channel by themselves. Transformers do: MiniLM, whose stream nobody touched,

# %%
from quantlab.lab.minilm import minilm_activations
from quantlab.lab.models import minilm_weights

# %%
sentences = ["The cat sat on the mat.", "Quantization maps reals to integers.", "A letter came from the other side."]
layers = [f"encoder.layer.{i}" for i in range(5)]
for name, h in minilm_activations(sentences, layers=layers, side="output").items():
    tops, gain = np.abs(h).max(axis=0), minilm_weights()[f"{name}.output.LayerNorm.weight"]
    loudest, ratio = tops.argmax(), tops.max() / np.median(tops)
    print(
        f"{name}: channel {loudest}, {ratio:.1f} x the median; gain {gain[loudest]:.2f}, median {np.median(gain):.2f}"
    )

# %% [markdown]
# the same channel, layer after layer, although a layer norm follows every one of its sums, and turns this very channel *down*: its gain is below the median. In large language models
# it is far worse; Part V will come back to it.
#
# ## Why EfficientNet-Lite is what it is
#
# Its authors say what they changed in EfficientNet, and why:
#
# | change | their reason | here |
# | --- | --- | --- |
# | swish became ReLU6 | easier post-training quantization | more than a bit at int8; most answers at 4 bits |
# | squeeze-and-excite left out | some mobile accelerators support it badly | no cost of rounding found |
# | stem and head not widened in larger models | small and fast | nothing to do with rounding |
# | depthwise filters, shortcuts *kept* | (cheap, accurate) | want a scale a channel; cost nothing then |
#
# In their blog, the first try at int8 fell from 75 % to 46 % because ranges of outputs were too wide, one from -168 to 204; with ReLU6, Lite0 went from 75.1 % to 74.4 % (their
# table). We have no weights of the EfficientNet with swish, so the 46 % cannot be measured here. What the clip does in the real Lite0 can. We run it node by node and look at what arrives at
# each ReLU6:

# %%
from quantlab.lab.fidelity import fidelity_set
from quantlab.lab.models import efficientnet_input
from quantlab.nn.network import activate, apply_operation

# %%
_, judge = fidelity_set(seed=0, n_calibration=4, n_test=6)
values, top, cut = {"input": efficientnet_input(judge.images)}, [], []
for node in lite0.nodes:
    y = apply_operation(node, *(values[name] for name in node.inputs))
    values[node.name] = activate(node, y)
    if node.activation == "relu6":
        top.append(y.max())
        cut.append((y > 6).mean())

# %%
print(f"{len(top)} ReLU6: largest value that arrives {min(top):.0f} to {max(top):.0f}, median {np.median(top):.0f}")
print(f"share of values that are cut: median {np.median(cut):.2%}, largest {max(cut):.1%}")

# %%
plots.lines(
    np.arange(len(top)),
    {"arrives at a ReLU6": np.round(top), "leaves it": np.full(len(top), 6.0)},
    title="Lite0 on six photographs: the clip shortens every range",
    alt="The largest value that arrives at each of 33 ReLU6. 50 and 87 first, then 9 to 34. A line at 6.",
    xlabel="ReLU6, from the stem to the head",
    ylabel="largest value",
)

# %% [markdown]
# Half of the clips cut fewer than one value in a thousand, and shorten the range two or three times. For that, the network was *trained* with the clip: lesson 09 took it out
# afterwards, and most answers changed. A design is something that weights grow around.
#
# ## Where it breaks
#
# **Converged?** Not to the last point. With three times as many epochs float accuracy still rises by some points; swish stays far behind lite
# in SQNR at int8. We ran that once, and not on this page, so there are no figures here: `n_epochs=30` in the cell that trains gives
# you yours, in about two minutes.
#
# **Fifteen intervals.** Five changes, three kinds of rounding: that one of fifteen 95 % intervals misses is about as likely as not. What lies just on one side
# of the edge, and has no reason that we could find, is better called not settled: *norm on input* at int8 is such a case.
#
# **Small networks, one task.** A full convolution is affordable at 16 channels; in EfficientNet it would be many times the work. Ours have three blocks; a stream
# that grows for a hundred layers has more time to grow.
#
# **Post-training, min-max.** Other ranges (lesson 05), equalization (09) or training through the rounding (12, 13) move every number here. With them a swish can be afforded: many
# networks since then have kept it, or taken hard-swish, its piecewise relative.
#
# **A design for one chip.** Whether swish costs one stored tensor or two, whether a scale a channel is free, whether a product is supported: the chip decides.

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. A change of design makes every tensor of the stream about three times as wide. Float accuracy is the same. What do you expect at
# int8, with min-max ranges?**
#
# <details><summary><b>a.</b> A step three times as large, so about 10 dB more noise than before, relative to the values.</summary>
#
# > No. The step is three times as large, and so are the values. SQNR is a ratio: both parts grow, and it stays.
#
# </details>
# <details><summary><b>b.</b> About the same SQNR, if all channels grew alike.</summary>
#
# > Yes. *norm on input* is this case: a stream almost three times as wide, and no loss at int8 that five runs could settle. Look at
# > ratios between the channels of a tensor; its width by itself says nothing.
#
# </details>
# <details><summary><b>c.</b> Nothing can be said before the network is trained with quantization.</summary>
#
# > No. A factor that all values share cancels between values and step, trained or not. What has to be measured is whether they share it.
#
# </details>

# %% [markdown]
# **2. With one weight scale a layer, your depthwise network is useless. In the worst layer one filter is thirty times as large as the
# median. What do you do first?**
#
# <details><summary><b>a.</b> Look whether that filter ever answers: sigma of its output, or its input over some images.</summary>
#
# > Yes. Here the largest filters read channels that are always 0: set to 0, they cost nothing, and most of the loss is gone. In
# > EfficientNet-Lite0 the wide filters are alive. The same symptom has two causes, and they want different cures.
#
# </details>
# <details><summary><b>b.</b> Replace depthwise filters by full convolutions: the design is to blame.</summary>
#
# > No. *full* did far better per tensor, at several times the work. But with a scale a channel the two were close, and most of the rest
# > was dead filters. The new design would pay for a fault that can be repaired in the old one.
#
# </details>
# <details><summary><b>c.</b> Clip the weights of the layer at a percentile, so that the one filter does not set the step.</summary>
#
# > No. It works by luck: if the filter is dead, clipping it changes nothing; if it is alive, you have just destroyed a channel. Which of
# > the two it is, one line tells you beforehand.
#
# </details>

# %% [markdown]
# **3. A trained network with swish is bad at int8. Its authors cannot train it again. Which of these repairs most, without touching the
# float function?**
#
# <details><summary><b>a.</b> Exchange every swish for ReLU6: the ranges shrink to 6, and that was the point of EfficientNet-Lite.</summary>
#
# > No. That is another function. EfficientNet-Lite was *trained* with ReLU6. Ranges cut at 6 in the quantizer alone already hurt the
# > trained swish network at 8 bits: it uses its tail.
#
# </details>
# <details><summary><b>b.</b> Cut the ranges behind each swish at 6, in the quantizer only.</summary>
#
# > No. At 8 bits the step was fine enough, and the values beyond 6 carry something: clipping costs far more than the finer step wins.
# > Only at 4 bits it won a little.
#
# </details>
# <details><summary><b>c.</b> A kernel that computes swish on the accumulator, before anything is rounded.</summary>
#
# > Yes. It stores one tensor in place of two, and the one it leaves out was the widest. In our simulation that won back about a third of the
# > loss at int8. Few runtimes have such a kernel, so it is a question to the chip, and the longer tail remains.
#
# </details>

# %% [markdown]
# ## Summary
#
# - By accuracy at int8, a scale a channel, six designs were within half a point; by SQNR swish lost more than a bit, and at 4 bits most answers.
# - Swish costs twice: a longer tail, and a second tensor to store.
# - Squeeze-and-excite and shortcuts cost nothing that five runs could show.
# - Depthwise filters want a scale a channel. Here dead filters did most of the damage; in Lite0 they do none.
# - A range that grows as a whole costs nothing; one loud channel does, and no float loss sees it.
# - EfficientNet-Lite replaced swish for quantization, and left out squeeze-and-excite for hardware.
#
# **Exercises:** [16 Design networks that quantize
# well](../exercises/16_design_networks_that_quantize_well/16_design_networks_that_quantize_well.ipynb): five, about 40 minutes. Part V, language models, will follow.
# `quantlab start 16` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow Blog, March 2020,
#   [blog.tensorflow.org](https://blog.tensorflow.org/2020/03/higher-accuracy-on-vision-models-with-efficientnet-lite.html): 75 %, 46 %, and the ranges.
# - The code's [README](https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite): the three changes, and a table of accuracies.
# - Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019, [arXiv:1905.11946](https://arxiv.org/abs/1905.11946).
# - Hu et al., "Squeeze-and-Excitation Networks", 2018, [arXiv:1709.01507](https://arxiv.org/abs/1709.01507).
# - Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, [arXiv:1801.04381](https://arxiv.org/abs/1801.04381): these blocks.
# - Sheng et al., "A Quantization-Friendly Separable Convolution for MobileNets", 2018, [arXiv:1803.08607](https://arxiv.org/abs/1803.08607): dead channels and
#   batch norm in MobileNet, and a design without them.
# - Howard et al., "Searching for MobileNetV3", 2019, [arXiv:1905.02244](https://arxiv.org/abs/1905.02244): hard-swish.
