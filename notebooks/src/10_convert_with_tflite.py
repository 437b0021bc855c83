# %% [markdown]
# # 10 Convert with TFLite
#
# **You will** convert a Keras model in every mode that TFLite has, open the file, and run it yourself: a real ImageNet
# network, converted by Google's tool, gives the same integers in numpy as in the production runtime, in every one of
# its 60 operators. **You learn** the modes and what each stores, representative data, how to read a .tflite file, the arena of
# a micro-controller. **You need** lessons 05 and 06; lesson 08 helps. About 45 minutes, difficulty 2 of 3.
# &nbsp; [previous: 09 Repair what PTQ breaks](09_repair_what_ptq_breaks.ipynb) ·
# [next: 11 Choose dynamic or static](11_choose_dynamic_or_static.ipynb)
#
# "I converted my Keras model to int8, and it got worse. Is it the converter, the runtime, or my calibration data?" The
# converter is one call and the file is a sealed box, so people guess. We open the box. When every integer in it can be
# computed by hand, there is no need to guess: what differs, differs in a layer that we can name.
#
# ## A Keras model
#
# A small convolutional network for the 8 x 8 digits, with batch norm and a depthwise layer, trained now.

# %%
import numpy as np

from quantlab.lab import data, keras_models

tf = keras_models.tensorflow()  # `import tensorflow as tf`, without the messages
print("TensorFlow", tf.__version__.partition(".")[0])

# %%
digits = data.digits(seed=0)
assert not set(digits.train_index) & set(digits.test_index)
x_train, x_test = (x.reshape(-1, 8, 8, 1) for x in (digits.x_train, digits.x_test))
model = keras_models.digits_cnn(digits, seed=0)
print(model.input_shape, "->", model.output_shape, f"{model.count_params():,} parameters")

# %% [markdown]
# ## The converter, and its representative data
#
# This is the whole recipe for full int8. Weights can be quantized by looking at them. The ranges of activations are known
# only when data flow through the network, so the converter asks for a **representative data set**: a function that
# yields inputs, one at a time, as the network will meet them. That is the calibration of lesson 05, with min-max ranges.

# %%
calibration = x_train[:200]
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
converter.representative_dataset = lambda: ([x[None]] for x in calibration)
converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
with keras_models.quiet():  # the converter prints what it does
    by_hand = converter.convert()
print(type(by_hand).__name__, "that begins with", by_hand[:8])

# %% [markdown]
# The modes differ in two or three of these lines. `to_tflite` sets them (its source is as short as the cell above):
#
# | mode | weights | activations | needs data | set |
# | --- | --- | --- | --- | --- |
# | float32 | float32 | float32 | no | nothing |
# | float16 | float16 | float32 | no | `supported_types = [tf.float16]` |
# | dynamic | int8 | float32 in the file, int8 on the fly inside a layer | no | `Optimize.DEFAULT` |
# | int8 | int8 | int8 | yes | the cell above |
# | int16x8 | int8 | int16 | yes | another `supported_ops` |

# %%
files = {mode: keras_models.to_tflite(model, mode=mode) for mode in ("float32", "float16", "dynamic")}
for mode in ("int8", "int16x8"):
    files[mode] = keras_models.to_tflite(model, mode=mode, representative=calibration, float_io=True)

# %% [markdown]
# **Predict.** 13,834 parameters take 55 kB as float32. How large is the int8 file: 14 kB, 20 kB, 25 kB?

# %%
from quantlab.integer import tflite

for mode, file in files.items():
    constants = sum(t.nbytes for t in tflite.read(file).tensors if t.data is not None)
    print(f"{mode:8s} {len(file) / 1000:5.1f} kB, constants {constants / 1000:5.1f} kB")

# %% [markdown]
# The constants did shrink to a quarter. The rest of the file is structure: names, scales, shapes, 8 bytes of zero point
# for every channel. In a small model that weighs nearly as much as the weights; in a real one, below, it is a tenth.
#
# ## Open the file
#
# A .tflite file is a list of tensors and a list of operators. `tflite.read` checks it and hands both over;
# `tflite.table` lists it.

# %%
file = tflite.read(files["int8"])
print(tflite.table(file))

# %% [markdown]
# Read it line by line, and much of Part I comes back:
#
# - The first line quantizes float32 inputs; its scale is 1/255, the range $[0, 1]$ of the pixels.
# - Batch norm is gone: folded into the convolutions, as in lesson 08. So is ReLU, which is now a property of a layer.
#   Its outputs have zero point $-128$: no code is spent on what ReLU has cut off.
# - Weights have one scale an output channel, and are symmetric. Activations have one scale, and a zero point.
# - MAX_POOL and RESHAPE keep the scale of what they read: they select or move codes, and round nothing.
# - Keras' `Flatten` became four operators. The number of samples was left open, so the file computes the new shape itself.
# - SOFTMAX has the fixed scale 1/256: a probability needs no calibration.
#
# The other modes can be told apart by the same columns:

# %%
for mode in ("dynamic", "float16", "int16x8"):
    print(f"{mode}\n{tflite.table(tflite.read(files[mode]), first=3)}\n")

# %% [markdown]
# *dynamic*: int8 weights between float32 activations; the first and the depthwise layer stayed float32, since the converter
# leaves weights of fewer than 1,024 values alone. *float16*: constants that a DEQUANTIZE turns into float32 before anything happens.
# *int16x8*: int16 activations, all with zero point 0.
#
# ## Size and accuracy, in one table
#
# One more row. Many snippets on the web calibrate with `np.random.rand`, to be replaced later.
#
# **Predict.** How many of the 450 test digits does the int8 model lose if its ranges come from random noise?

# %%
rng = np.random.default_rng(10)
noise = rng.random(calibration.shape, dtype=np.float32)
files["int8, noise"] = keras_models.to_tflite(model, mode="int8", representative=noise, float_io=True)

# %% tags=["nbval-ignore-output"]
from quantlab.lab import litert
from quantlab.lab.intervals import wilson

keras_winner, right = model(x_test).numpy().argmax(axis=1), {}
print(f"{'':11s} {'size':>8s}   right of 450, 95 % interval    as Keras")
for mode, content in files.items():
    winner = litert.run(content, x_test, kernels="litert").argmax(axis=1)
    right[mode] = int((winner == digits.y_test).sum())
    same = (winner == keras_winner).sum()
    print(f"{mode:11s} {len(content) / 1000:5.1f} kB   {right[mode]}, {wilson(right[mode], 450):.1%}  {same:6d}")
    assert right[mode] > 0.95 * 450 and same >= 445

# %% [markdown]
# Lesson 08 told us where to look: at the last column, the same images. No more than a few digits are answered otherwise than by
# Keras, and fewer than six can never reach $p < 0.05$: on 450 digits nobody can tell which file is best. Not even noise hurts. It happens to fill the same range $[0, 1]$ as the pixels, and a small network
# with eight bits forgives much. **Do not conclude** that representative data do not matter; the real network comes below.
#
# ## Run the file yourself
#
# Now the box is open, compute what it says. `tflite.run` takes each operator to a function that you can read in
# `quantlab/integer/ops`. Begin with one layer, the dense one, by hand, with lesson 06 in mind.

# %%
from quantlab import int_matmul

# everything that the runtime computes for one digit
theirs = litert.tensors(files["int8"], x_test[:1], kernels="litert")
dense = file.operators[10]
x, w, b = (file.tensors[i] for i in dense.inputs)
y = file.tensors[dense.outputs[0]]
acc = int_matmul(theirs[x.index], w.data.T) - int(x.zero_point[0]) * w.data.sum(axis=1, dtype=np.int32) + b.data
print("accumulators", acc.dtype, acc.shape)

# %%
M = x.scale * w.scale / y.scale
q = np.clip(np.rint(acc.astype(np.float32) * M) + y.zero_point, -128, 127)
print("M of the ten outputs, from", M.min().round(5), "to", M.max().round(5))
print("equal to LiteRT:", np.array_equal(q, theirs[y.index]))

# %% [markdown]
# Now all thirteen operators, for 200 digits. Lesson 06 found that LiteRT has three sets of kernels, which round each in
# their own way: the default (XNNPACK), ruy, and the reference kernels. A *dialect* names the one that quantlab follows.
#
# **Predict.** 2,000 outputs in three dialects: how many differ from the runtime's?

# %%
for kernels in litert.KERNELS:
    ours = tflite.run(file, x_test[:200], dialect=kernels)
    theirs = litert.run(files["int8"], x_test[:200], kernels=kernels)
    print(f"{kernels:17s} compared {ours.size:,}, mismatches {(ours != theirs).sum()}")
    assert np.array_equal(ours, theirs)
    assert np.array_equal(litert.run(by_hand, x_test[:200], kernels=kernels), theirs)

# %% [markdown]
# None; and the file of the first recipe gives the same, says the last line. The output could hide a difference, since the
# last layers forget much. LiteRT can be asked to keep every tensor; operator by operator, for twenty digits:

# %%
from quantlab.lab.compare import compare_tensors

for row in compare_tensors(files["int8"], x_test[:20], dialect="litert"):
    print(row)
    assert row.mismatches == 0

# %% [markdown]
# ## A real network
#
# EfficientNet-Lite0 with its ImageNet weights, 4.7 million of them, built in Keras. Three crops of each of four photographs
# calibrate, five of each of six others test.

# %%
from quantlab.lab import models

chosen, photos = ("china", "coffee", "flower", "tissue"), data.photographs()
crops = {name: data.crops(photo, n=5, rng=rng) for name, photo in photos.items()}
x_calibration = models.efficientnet_input(np.concatenate([crops[name][:3] for name in chosen]))
test = [name for name in photos if name not in chosen]
x_photos = models.efficientnet_input(np.concatenate([crops[name] for name in test]))
print(len(x_calibration), "crops calibrate,", len(x_photos), "crops test")

# %%
network = keras_models.efficientnet_lite0()
net = keras_models.to_tflite(network, mode="int8", representative=x_calibration)
net_file = tflite.read(net)
print(tflite.table(net_file, first=5, last=3))

# %% [markdown]
# 60 operators, and one byte a weight: now the structure of the file is a tenth of it. The input's scale is 1/128 and its zero point $-1$, so a pixel,
# which enters the network as $(p - 127)/128$, gets the code $p - 128$: at the input nothing is lost.
#
# ## Noise, again
#
# The same network, calibrated with `np.random.rand`.
#
# **Predict.** Of 30 crops, how many keep the class that the float network gives them, with ranges from photographs, and
# with ranges from noise?

# %%
noise = rng.random(x_calibration.shape, dtype=np.float32)
noise_net = keras_models.to_tflite(network, mode="int8", representative=noise)
noise_file = tflite.read(noise_net)

# %% tags=["nbval-ignore-output"]
from quantlab import dequantize, quantize, sqnr_db

logits, kept = network(x_photos).numpy(), {}
for name, content in [("photographs", net), ("noise", noise_net)]:
    first, last = (tflite.read(content).tensors[i].qp for i in (*net_file.inputs, *net_file.outputs))
    got = dequantize(litert.run(content, quantize(x_photos, first), kernels="litert"), last)
    kept[name] = int((got.argmax(axis=1) == logits.argmax(axis=1)).sum())
    print(f"{name:12s} same class {kept[name]} of 30, {wilson(kept[name], 30):.0%}, {sqnr_db(logits, got):.1f} dB")
assert kept["photographs"] >= 20 and kept["noise"] <= kept["photographs"] / 2

# %% [markdown]
# Here it matters. (Crops of one photograph resemble each other, so the true intervals are wider; this difference
# does not fit into any.) The converter said nothing, and the file looks the same from outside. Look at the ranges inside:

# %%
from quantlab.lab import plots

tops = {
    name: [made.tensors[op.outputs[0]].qp.scale * 255 for op in made.operators]
    for name, made in [("photographs", net_file), ("noise", noise_file)]
}
plots.lines(
    np.arange(60),
    tops,
    title="Calibrated on noise, most ranges are too narrow",
    alt="Width of the range of each of 60 operators: between 4 and 131 for photographs; for noise "
    "as wide or narrower, down to a third, but for the mean near the end, which is wider.",
    xlabel="operator",
    ylabel="width of the range",
    logy=True,
    dots=False,
)
ratios = np.array(tops["noise"]) / tops["photographs"]
print(f"from noise: {(ratios < 0.99).sum()} of 60 narrower, {(ratios > 1.01).sum()} wider, least {ratios.min():.2f}")
ends = np.array([-128, 127], np.int8)
for name, made in [("photographs", net_file), ("noise", noise_file)]:
    print(f"input from {name}:", dequantize(ends, made.tensors[made.inputs[0]].qp).round(3))

# %% [markdown]
# `np.random.rand` has no negative numbers. So the input's ruler begins at 0, every pixel darker than middle grey becomes middle grey, and
# the layers behind have never seen a picture: two thirds of the operators got a narrower range, some a third of what they need.
# The range of the input is in the first line of the listing: the first thing to look at when a converted model is bad.
#
# ## Every integer of the real network
#
# The converted file in quantlab and in LiteRT, in each kernel set, for a crop of each of the six test photographs, every
# tensor that any of the 60 operators writes.

# %%
pixels = quantize(x_photos, net_file.tensors[net_file.inputs[0]].qp)
for kernels in litert.KERNELS:
    rows = compare_tensors(net, pixels[::5], dialect=kernels)
    mismatches = sum(row.mismatches for row in rows)
    print(f"{kernels:17s} compared {sum(row.compared for row in rows):,}, mismatches {mismatches}")
    assert len(rows) == 60 and mismatches == 0

# %% [markdown]
# 125 million integers, and not one is off by one. How much code is that?

# %%
from quantlab.lab.lines import code_lines, lines_run

ran = lines_run(lambda: tflite.run(tflite.read(net), pixels[:1], dialect="litert"), "core", "integer")
print("quantlab.core and quantlab.integer have fewer than 4,000 lines of code:", code_lines("core", "integer") < 4000)
print("fewer than 1,000 of them read this file and run it:", ran < 1000)
assert code_lines("core", "integer") < 4000 and ran < 1000

# %% [markdown]
# Comments and docstrings are not counted. Lines of numpy, each of which you can stop at and look.
#
# ## The same file, three networks
#
# **Predict.** One file, one photograph, three kernel sets of one runtime. What share of the integers differs between two
# of them?

# %% tags=["nbval-ignore-output"]
inside = {kernels: tflite.tensors(net_file, pixels[:1], dialect=kernels) for kernels in litert.KERNELS}
written = [operator.outputs[0] for operator in net_file.operators]
pairs = [("litert", "litert_ruy"), ("litert", "litert_reference"), ("litert_ruy", "litert_reference")]
share = {f"{a[7:] or 'default'}, {b[7:]}": [(inside[a][y] != inside[b][y]).mean() for y in written] for a, b in pairs}
print({pair: f"{max(curve):.0%} at most" for pair, curve in share.items()})
assert all(curve[0] < 0.01 and max(curve) > 0.3 for curve in share.values())

# %% tags=["nbval-ignore-output"]
plots.lines(
    np.arange(60),
    share,
    title="Half a percent of the codes differ at first, about 70 % at worst",
    alt="Share of differing codes for each operator and each pair of kernel sets: below one "
    "percent after the first layer, more than half in many of the later ones; the outputs of "
    "ReLU6 layers differ less than those between them.",
    xlabel="operator",
    ylabel="share of codes that differ",
    dots=False,
)
assert all(len(curve) == 60 for curve in share.values())

# %% tags=["nbval-ignore-output"]
logits = {kernels: litert.run(net, pixels[::5], kernels=kernels).astype(int) for kernels in litert.KERNELS}
for a, b in pairs:
    steps, same = np.abs(logits[a] - logits[b]), (logits[a].argmax(axis=1) == logits[b].argmax(axis=1)).sum()
    print(
        f"{a}, {b}: {(steps > 0).mean():.0%} of the logits differ, by {steps.max()} steps at most; winner {same} of 6"
    )
    assert 2 <= steps.max() < 20 and 0.3 < (steps > 0).mean() < 0.8 and same >= 4

# %% [markdown]
# A layer that is given the same codes rounds fewer than one in a hundred differently (lesson 06). But the next layer sums
# codes that already differ by one, and so on, for 60 operators: in the end about half of the logits differ, by a step or a few.
# (The troughs are the outputs of ReLU6: what it has cut off is equal again.) That turns a close decision here and there. So "the integers of the int8
# model" do not exist: a test that compares your accelerator with *the* TFLite result must say which kernels, compare
# layer by layer with equal inputs, and can then ask for equality.
#
# ## On a micro-controller
#
# The same file runs on chips without an operating system, in TensorFlow Lite Micro. Its interpreter allocates nothing: it
# gets one array, the **arena**, in which all activations have places that are fixed before the first run.
#
# **Predict.** The largest activation of EfficientNet-Lite0, 112 x 112 x 96, has 1.2 MB. How large must the arena be?

# %%
need = [
    sum(net_file.tensors[i].nbytes for i in {*op.inputs, *op.outputs} if net_file.tensors[i].data is None)
    for op in net_file.operators
]
print(f"an operator's inputs and outputs take up to {max(need):,} bytes, operator {np.argmax(need)}")

# %%
from quantlab.lab.micro import run_micro

arena = run_micro(net, pixels[:1]).arena_bytes
channels = sum(t.scale.size for t in net_file.tensors if t.data is not None and t.dtype == np.int8)
print(f"EfficientNet-Lite0: arena {arena:,} bytes, of which other than these {arena - max(need):,}")
print(f"a multiplier and a shift for each of {channels:,} output channels: {8 * channels:,} bytes")

# %%
small = keras_models.to_tflite(model, mode="int8", representative=calibration)
qp = tflite.read(small).tensors[0].qp
print(f"digits: arena {run_micro(small, quantize(x_test, qp)).arena_bytes:,} bytes, file {len(small):,}")

# %% [markdown]
# The arena holds the operator that needs most at once, what it reads and what it writes, and the interpreter's own
# bookkeeping: nearly all of that are the multipliers of lesson 06. (What waits for a residual sum must stay in the arena too; in
# this network it waits where there is room.) A chip with 256 kB of memory runs the digits with ease, and EfficientNet-Lite0 not at
# all, however small its weights are: activations decide.
#
# Does it compute the same integers? It is built from the reference kernels. (On an Arm Cortex-M chip CMSIS-NN takes their place;
# its authors promise the same integers.)

# %%
rows = compare_tensors(net, pixels[::5], dialect="litert_reference", runtime="tflite_micro")
print("operators with mismatches:", {row.operator for row in rows if row.mismatches})
print("mismatches above one logit in a hundred:", any(row.mismatches > 60 for row in rows))
own = compare_tensors(net, pixels[::5], dialect="tflite_micro")
print("under a dialect of its own:", sum(row.mismatches for row in own))

# %% [markdown]
# In 59 operators, to the bit. The last one, the fully connected layer, differs in a few logits of 6,000: LiteRT's
# reference kernel rounds once, the micro-controller's twice, as in a convolution. quantlab has that under the dialect
# `tflite_micro`, and then nothing differs.
#
# ## TensorFlow's own interpreter
#
# Many tutorials still use `tf.lite.Interpreter`. It is deprecated, and says so: the runtime has moved out of TensorFlow
# and is now called LiteRT (`ai-edge-litert`), which is what this page runs. The kernels are the same:

# %%
with keras_models.quiet():
    old = tf.lite.Interpreter(model_content=net, num_threads=1)
    old.allocate_tensors()
old.set_tensor(old.get_input_details()[0]["index"], pixels[:1])
old.invoke()
same = old.get_tensor(old.get_output_details()[0]["index"]) == litert.run(net, pixels[:1], kernels="litert")
print(f"equal in {same.sum():,} of {same.size:,} logits")
assert same.all()

# %% [markdown]
# ## Where it breaks
#
# - **"It converted, so it is quantized."** Without `supported_ops` the converter leaves float32 what it cannot quantize,
#   without a word. Look into the column *type* of the listing.
# - **Representative data** go through *your* preprocessing. Wrong range, wrong channel order, one class only: the
#   converter does not notice. A hundred to a few hundred real samples are what its documentation asks for.
# - **dynamic is not static.** The file of mode *dynamic* says float32 between the layers. What happens inside a layer at run
#   time is the subject of lesson 11.
# - **Other machines.** On ARM, XNNPACK picks other kernels, some of which round otherwise. There the row `litert` may differ, and
#   would show it.
# - **Not everything runs here.** quantlab runs int8 layers. It opens and lists all modes, and names what it does not run:

# %%
try:
    tflite.run(tflite.read(files["int16x8"]), x_test[:1], dialect="litert")
except tflite.TFLiteError as error:
    print(type(error).__name__, "-", str(error).partition(";")[0])

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. You convert a model, and its file has shrunk to about a quarter. Does the network compute with integers between
# its layers?**
#
# <details><summary><b>a.</b> Yes: a quarter means one byte for each number.</summary>
#
# > No. One byte for each *weight*, since that is what a file holds. Activations exist only while the network runs,
# > and take no room in it.
#
# </details>
# <details><summary><b>b.</b> The size does not tell.</summary>
#
# > Yes. On this page the constants of the dynamic file and of the int8 file had 15.6 and 13.9 kB, after 53.2 in
# > float32. Between the layers one of them has float32, the other int8. The column *type* of the listing says which.
#
# </details>
# <details><summary><b>c.</b> No: a converter can make weights small, not the arithmetic.</summary>
#
# > No. It can do both. In the listing of the int8 file every operator between the first and the last reads and writes
# > integers, and quantlab computed the same ones from the codes.
#
# </details>

# %% [markdown]
# **2. No photographs at hand, so you calibrate EfficientNet-Lite0 with `np.random.rand`. "Noise is more extreme than
# any photograph, so I am on the safe side." What happens to the ranges?**
#
# <details><summary><b>a.</b> They come out too wide: nothing is clipped, the steps are a little coarse.</summary>
#
# > No. At most the pixels are extreme. Behind the first layer a range is made by the answers of filters, and these
# > were trained on pictures, not on noise. Only one of 60 ranges came out wider.
#
# </details>
# <details><summary><b>b.</b> They stay about as they were: ranges are a property of the weights.</summary>
#
# > No. The digits of this page seem to say so: noise did no harm there. It happened to fill the same $[0, 1]$ as the
# > pixels, and a small network with eight bits forgives much. Ranges of activations depend on what flows through
# > (lesson 05).
#
# </details>
# <details><summary><b>c.</b> Most come out too narrow.</summary>
#
# > Yes. 39 of 60 were narrower than from photographs, one of them only 0.34 times as wide. Look at the first: `rand`
# > has no negative numbers, so the input's range began at 0, and all that is darker than middle grey was clipped. The
# > converter said nothing.
#
# </details>

# %% [markdown]
# **3. An accelerator runs your int8 file. Half of its logits differ from those that TFLite computes on your laptop.
# How do you find out whether it has a bug?**
#
# <details><summary><b>a.</b> There is nothing to find out: integer arithmetic is exact, so it has one.</summary>
#
# > No. The products and sums are exact. The step back to 8 bits rounds, and tools round it differently: TFLite's own
# > three sets of kernels disagree with each other in about half of the logits.
#
# </details>
# <details><summary><b>b.</b> Allow one step of difference in the logits; whatever is beyond is a bug.</summary>
#
# > No. One step is the bound for one rounding of equal inputs. After 60 operators two correct sets of kernels of this
# > page differed by more than a step; and a bug in an early layer can end up within one.
#
# </details>
# <details><summary><b>c.</b> Compare with named kernels, layer by layer, each on equal inputs.</summary>
#
# > Yes. Given the kernels and the codes of its input, each integer of an operator is determined, so one can ask for
# > equality. That is how we compared 125 million integers, and how the one operator was found in which the
# > micro-controller differs.
#
# </details>

# %% [markdown]
# **4. A micro-controller has 8 MB of flash and 512 kB of memory. The int8 file of EfficientNet-Lite0 has 5.3 MB. What
# keeps it from running?**
#
# <details><summary><b>a.</b> Its activations.</summary>
#
# > Yes. The operator that needs most at once reads and writes 1,505,280 bytes, and an arena has to hold that. Weights
# > of 4 bits would not change that by a byte. A smaller image would: most activations shrink with its area.
#
# </details>
# <details><summary><b>b.</b> Its weights, which must be in memory when they are multiplied.</summary>
#
# > No. They are read where they lie. The arena on this page had 1,695,904 bytes, and the constants of the file have
# > 4,697,032: they cannot have been in it.
#
# </details>
# <details><summary><b>c.</b> Nothing: the file fits into the flash, and the rest is small beside it.</summary>
#
# > No. On a computer one looks at the size of the file. Here the rest is about three times the memory of the chip,
# > and has to be there at once.
#
# </details>

# %% [markdown]
# ## Summary
#
# 1. Five modes, two or three lines each. int8 needs representative data, and the converter believes whatever it gets.
# 2. A small network may forgive noise; EfficientNet-Lite0 kept its class on a handful of 30 crops.
# 3. A .tflite file is a list of tensors and of operators. Read the first line: the range of the input.
# 4. Given a file and a dialect, every integer is determined: 125 million compared, none different.
# 5. Between kernel sets they do differ: under a percent after one layer, about 70 % at worst.
# 6. A micro-controller needs the arena: the inputs and outputs of its hungriest operator, and a little more.
#
# **Exercises:** [10 Convert with TFLite](../exercises/10_convert_with_tflite/10_convert_with_tflite.ipynb): five, about 50
# minutes. Try it on a model of your own: `keras_models.to_tflite`, `tflite.table`, `tflite.run`.
# `quantlab start 10` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - Jacob et al., [Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
#   Inference](https://arxiv.org/abs/1712.05877), 2018: the scheme that TFLite stores.
# - Krishnamoorthi, [Quantizing deep convolutional networks for efficient inference: a
#   whitepaper](https://arxiv.org/abs/1806.08342), 2018.
# - David et al., [TensorFlow Lite Micro: Embedded Machine Learning on TinyML
#   Systems](https://arxiv.org/abs/2010.08678), 2020: the arena.
# - [LiteRT 8-bit quantization specification](https://developers.google.com/edge/litert/conversion/tensorflow/quantization/quantization_spec): what scales and
#   zero points each operator may have.
# - quantlab/integer/tflite: reader, table, runner, in that order.
