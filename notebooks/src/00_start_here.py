# %% [markdown]
# # 00 Start here
#
# **You will** quantize a cat, see that your machine is ready, and get an exercise wrong on purpose.
#
# **You learn** how a lesson, a check, a hint and a solution work; what is in this course and what is not; where to get help.
#
# **You need** Python with some numpy, and an idea of what a matrix product and a gradient are. About 10 minutes, difficulty 1 of 3.
#
# [next: 01 See why models shrink](01_see_why_models_shrink.ipynb)
#
# ---
#
# "My model does not fit." "It fits now, but its answers are worse." "It is smaller, but it became slower." Whoever puts a neural
# network into a phone, a browser or a cheap server meets these three sentences. They have one subject: storing and computing
# numbers with fewer bits, which is called **quantization**.
#
# In this course every number is computed in front of you, and compared with the tools that people use in production. You can change
# everything and run it again: a page is a notebook. Run a cell with Shift-Enter.

# %%
import numpy as np

from quantlab.lab import data

cat = data.photographs(["cat"])["cat"]
print(f"{cat.shape[0]} x {cat.shape[1]} pixels, 3 colours, {cat.dtype}: {cat.nbytes:,} bytes")

# %% [markdown]
# Each colour of each pixel is one of 256 values, 8 bits. What if we allow only $2^b$ values, evenly spaced from 0 to 255? Count in
# steps of $255 / (2^b - 1)$, round to a whole number of steps, and go back.
#
# **Predict.** At how many bits will you first see a difference: 5, 4, 3, 2, 1? Write a number down before you run the cell. You will
# find this word on every page. A guess that turns out wrong is the part that you will remember.

# %%
from quantlab.lab import plots

versions = {}
for n_bits in (8, 5, 4, 3, 2, 1):
    step = 255 / (2**n_bits - 1)
    versions[f"{n_bits}-bit"] = np.rint(np.rint(cat / step) * step).astype(np.uint8)
plots.images(
    versions,
    columns=3,
    title="The same cat with 256, 32, 16, 8, 4 and 2 values for each colour",
    alt="Six copies of a photograph of a cat. With 8 and 5 bits they look alike; below 4 bits the "
    "smooth background breaks into patches; 1 bit leaves flat black, red, yellow and white.",
)

# %% [markdown]
# The smooth background breaks into patches first, the fur holds out: rounding shows where values change slowly. Now in numbers.
#
# **Predict.** By how much can a value be wrong at most, if the step is 255 / 15 = 17?

# %%
for name, version in versions.items():
    n_bits = int(name[0])
    error = np.abs(version.astype(int) - cat).max()
    half_step = 255 / (2**n_bits - 1) / 2
    kilobytes = cat.size * n_bits / 8 / 1000
    print(f"{name}: {kilobytes:5.1f} kB, largest error {error:3d}, half a step {half_step:5.1f}")

# %% [markdown]
# Never more than half a step. (Pixels are whole numbers, so the errors are too.) You have just quantized something, and checked it by
# its *worst case* against a bound with a reason.
#
# Does a production tool do the same? PyTorch has this operation, as a part of its training for small data types. Its name is
# `fake_quantize`, and it takes the step, the code of zero, and the first and last code:

# %%
import torch

x = torch.from_numpy(cat.astype(np.float32))
theirs = torch.fake_quantize_per_tensor_affine(x, 17.0, 0, 0, 15).numpy()
print(f"{(theirs != versions['4-bit']).sum()} mismatches in {cat.size:,} values")
assert np.array_equal(theirs, versions["4-bit"])

# %% [markdown]
# And a control: is rounding worth the trouble? We could simply cut off the last four bits of each value.
#
# **Predict.** What becomes of white, 255? And the largest error?

# %%
cut = cat >> 4 << 4
print("white becomes", 255 >> 4 << 4)
print("largest error", (cat - cut).max())

# %% [markdown]
# Almost twice the error, and the whole picture gets darker. Such small decisions, made billions of times, are what this course is about.
#
# ## Is your machine ready?
#
# In a terminal the command is `quantlab doctor`. Here is what it says:

# %% tags=["nbval-ignore-output"]
from quantlab.lab import doctor

machine = doctor.report()
print(machine.text())
assert machine.ok

# %% [markdown]
# Something is missing? The last lines say what to type. What the lines about the CPU mean is a story for lesson 01. **Nothing in this course uses the network.** Photographs and weights lie inside the installed packages; pull the plug
# and try.
#
# ## An exercise, wrongly
#
# Each lesson has a notebook of exercises. An exercise is a function to write, and a check that tells you how it went. We do the first
# one here together: *how many bytes do `n` weights of `n_bits` bits take, packed without gaps?* This is how you find it:

# %%
from quantlab.lab import check, hint, solution


def n_bytes(n: int, n_bits: int) -> int:
    raise NotImplementedError


check("00.1", n_bytes)

# %% [markdown]
# A check never stops the page. Now an answer, too quick: a byte has 8 bits, so divide by 8.


# %%
def n_bytes(n: int, n_bits: int) -> int:
    return n * n_bits // 8


check("00.1", n_bytes)

# %% [markdown]
# Read the verdict slowly: it names the smallest input that fails, what you returned, what was expected, and what probably went wrong.
# If that is not enough, ask. Each call says a little more:

# %%
hint("00.1")
hint("00.1")

# %% [markdown]
# ## An exercise, rightly
#
# Round up, not down. In whole numbers this is `-(-bits // 8)`.


# %%
def n_bytes(n: int, n_bits: int) -> int:
    return -(-n * n_bits // 8)


check("00.1", n_bytes)

# %% [markdown]
# After an attempt, right or wrong, the course's own answer opens too. Compare it with yours; there is often more than one way.

# %%
solution("00.1")

# %% [markdown]
# In a terminal, `quantlab start 00` copies the exercises into the folder `work/`. That copy is yours: no update of the course touches it.
# `quantlab progress` says what you have solved and what comes next. (What you run on *this* page is the course's, and does not count.)
#
# ## Why you can believe the numbers
#
# Every number in the text is printed by a cell beside it, and every output that you see is stored with the page. `make test` runs all
# pages again and compares each stored output with the new one, figures by the text that describes them. Some cells cannot be
# compared, because they print times, facts about your machine, or what a network learned on it: they are on a short list with reasons,
# and each holds an `assert` on what must be true everywhere. The check above is tested too: for every exercise there is a list of plausible wrong answers, and each must get its own
# hint.
#
# So if your numbers differ from the stored ones, except in such a cell, you have found a mistake. Please report it.
#
# ## When something goes wrong
#
# Errors of `quantlab` try to tell you the way out. This one refuses to make an integer of "not a number", which other tools turn into
# -128 or 127 without a word:

# %%
from quantlab import Grid, choose_qparams, quantize

int8 = Grid(n_bits=8)
try:
    quantize([0.5, float("nan")], choose_qparams(-1.0, 1.0, grid=int8))
except ValueError as error:
    print(error)

# %% [markdown]
# - A page behaves strangely: *Kernel, Restart Kernel and Run All Cells*. Cells that were run in another order are the usual reason.
# - What does a function do? `quantize?` in a cell shows its formula, its shapes, what happens to ties, zeros and infinities, and an
#   example.
# - Your machine: `quantlab doctor`. An exercise: `hint`, then `solution`, then the lesson again.
# - A mistake in the course, or a sentence that you had to read three times: open an issue where you got the course from, with the
#   output of `quantlab doctor`.
#
# ## The map
#
# The lessons run in order; each needs only the ones before.
#
# **Part I, the arithmetic.** numpy alone.
#
# | lesson | question |
# | --- | --- |
# | [01 See why models shrink](01_see_why_models_shrink.ipynb) | Why did int8 make my model smaller, and slower? |
# | [02 Encode numbers](02_encode_numbers.ipynb) | What can 16, 8 or 4 bits say? |
# | [03 Map reals to integers](03_map_reals_to_integers.ipynb) | How large is the error, before I measure it? |
# | [04 Choose granularity](04_choose_granularity.ipynb) | Why does one bad channel ruin a layer? |
# | [05 Calibrate ranges](05_calibrate_ranges.ipynb) | Where should the grid end? |
# | [06 Compute with integers](06_compute_with_integers.ipynb) | What exactly does an integer layer compute? |
# | [07 Train through rounding](07_train_through_rounding.ipynb) | How can a staircase have a gradient? |
#
# **Part II, quantization after training.** Whole networks, and the tools that run them.
#
# | lesson | question |
# | --- | --- |
# | [08 Quantize a network](08_quantize_a_network.ipynb) | Which step of the conversion cost the accuracy? |
# | [09 Repair what PTQ breaks](09_repair_what_ptq_breaks.ipynb) | Why did int8 destroy this network, and what mends it without training? |
# | [10 Convert with TFLite](10_convert_with_tflite.ipynb) | What is in the file, and does it compute what I think? |
# | [11 Choose dynamic or static](11_choose_dynamic_or_static.ipynb) | Which kind of int8, and why is it slower here? |
#
# **Part III, training with quantization.** For when repair is not enough.
#
# | lesson | question |
# | --- | --- |
# | [12 Train with fake quantization](12_train_with_fake_quantization.ipynb) | Why does the QAT snippet that everybody copies train nothing? |
# | [13 Learn the quantizer](13_learn_the_quantizer.ipynb) | Can the step size be trained, too? |
#
# **Part IV, mixed precision and architecture.** Bits where they count.
#
# | lesson | question |
# | --- | --- |
# | [14 Measure sensitivity](14_measure_sensitivity.ipynb) | Which layers bear few bits, and can I know without trying? |
# | [15 Allocate bits](15_allocate_bits.ipynb) | How do I spend a budget of bytes or of time? |
# | [16 Design networks that quantize well](16_design_networks_that_quantize_well.ipynb) | Which choices make a network easy to quantize? |
#
# Planned, and **not there yet**: V language models, VI deployment.
#
# Every lesson and every exercise says how hard it is: 1 you can do while you read, 2 takes some thought, 3 takes paper and a pencil.
# Before its summary each lesson has a few questions. Decide before you click.

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. A dark picture has no value above 100. You spread the 16 values of 4 bits over 0 to 100 in place of 0 to 255.
# By how much can a value be wrong at most?**
#
# <details><summary><b>a.</b> By 8.</summary>
#
# > No. So it was for the cat, with 4 bits too. But it is the step that sets the error, not the number of bits, and
# > the same 16 values now lie closer together.
#
# </details>
# <details><summary><b>b.</b> By 6.</summary>
#
# > No. The step is 6.7, and that is what *cutting off* could cost. Rounding goes to the nearer neighbour, and that is
# > never further away than half a step.
#
# </details>
# <details><summary><b>c.</b> By 3.</summary>
#
# > Yes. The step is $100 / 15 = 6.7$, half of it is 3.3, and pixels are whole numbers. Who knows the range can make
# > the step small, which is what lesson 05 is about. A value of 120, though, would come back as 100: the bound holds
# > inside the range.
#
# </details>

# %% [markdown]
# **2. You cut off the last four bits of each value, as in the control of this page, and now add 8 to every result.
# What is the largest error?**
#
# <details><summary><b>a.</b> 15: a constant does not bring back what was cut off.</summary>
#
# > No. It is gone either way, after rounding too. What you may still choose is the number that stands for all 16
# > values of an interval. Its lower end is up to 15 away from them.
#
# </details>
# <details><summary><b>b.</b> 8: the errors now lie on both sides of 0.</summary>
#
# > Yes. The number now stands in the middle of the 16 values, and the errors reach from $-8$ to $7$. It costs
# > something else: 0 becomes 8, so black is no longer black. The rounded cat kept 0 and 255 exact.
#
# </details>
# <details><summary><b>c.</b> 23: the 8 comes on top of the 15.</summary>
#
# > No. All errors of cutting have one sign: the result is too small by 0 to 15. Adding 8 makes this $-8$ to $7$.
# > Errors add up in size only if they point the same way.
#
# </details>

# %% [markdown]
# **3. Two photographs: a clear evening sky, and gravel. One may keep 8 bits, the other gets 3. Which one gets the
# 3?**
#
# <details><summary><b>a.</b> The gravel: there the values change from pixel to pixel anyway.</summary>
#
# > Yes. On the cat the fur held out and the smooth background broke into patches. Rounding shows where values change
# > slowly: a whole patch jumps at once. In gravel the same errors hide among larger differences.
#
# </details>
# <details><summary><b>b.</b> The sky: it has few details, so few values will do.</summary>
#
# > No. It needs many values *because* it has few details. Between two neighbouring marks nothing happens, and then a
# > whole region jumps: look at the background of the cat with 3 bits.
#
# </details>
# <details><summary><b>c.</b> Either: half a step is 18.2 for both.</summary>
#
# > No. The bound is the same, the damage is not. An error counts by what it does to the result, here to an eye. The
# > same holds for networks: equal errors in two layers can cost very different amounts.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Predict, run, compare: that is the whole method.
# - `check` judges, `hint` helps, `solution` opens after an attempt; none of them stops the page.
# - `quantlab doctor` looks at your machine, `quantlab start` gives you a copy of the exercises, `quantlab progress` counts.
# - Everything runs offline, and every stored output is compared with a new run.
# - Quantizing means counting in steps; the error of rounding is at most half a step.
#
# **Now you:** [exercises 00](../exercises/00_start_here/00_start_here.ipynb), about 20 minutes. Then
# [01 See why models shrink](01_see_why_models_shrink.ipynb).
# `quantlab start 00` makes a copy of your own, which no update touches.
#
# ## Reading
#
# Nothing is required. Good companions for all parts:
#
# - Markus Nagel and others, [A white paper on neural network quantization](https://arxiv.org/abs/2106.08295), 2021.
# - Hao Wu and others, [Integer quantization for deep learning inference: principles and empirical evaluation](https://arxiv.org/abs/2004.09602),
#   2020.
# - [NumPy quickstart](https://numpy.org/doc/stable/user/quickstart.html), if arrays are new to you.
