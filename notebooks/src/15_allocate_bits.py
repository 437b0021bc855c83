# %% [markdown]
# # 15 Allocate bits
#
# **You will** give every layer of a network its own number of bits, 4, 8, 16 or 32, so that the error is smallest and
# the size or the time stays within a budget, and run such networks in LiteRT and PyTorch. **You learn** marginal
# ratios, dynamic and integer programming, the Pareto front, and when none of this pays. **You need** lessons 08, 11
# and 14. About 50 minutes, difficulty 3 of 3; the page computes for about a minute.
# &nbsp; [previous: 14 Measure sensitivity](14_measure_sensitivity.ipynb) ·
# [next: 16 Design networks that quantize well](16_design_networks_that_quantize_well.ipynb)
#
# "int8 is too big for the chip, int4 ruins the answers. Is there nothing between?" There are $4^{50}$ models between,
# for EfficientNet-Lite0: each of its 50 layers may have its own bits. One of them is the best for your budget. You
# will find it in a fraction of a second, if one assumption holds. So the assumption is tested first.
#
# ## Two tables
#
# A small network first, so small that we can try *everything*: the digits CNN of lesson 08, batch norms folded.

# %%
import numpy as np
import torch
from threadpoolctl import threadpool_limits

limits = threadpool_limits(1)  # one thread, in numpy and in torch
torch.set_num_threads(1)

# %%
from quantlab.lab import data, plots
from quantlab.lab.digits_cnn import digits_images, train_digits_cnn
from quantlab.nn.from_layers import network_from_layers
from quantlab.ptq.fold import fold

digits = data.digits(seed=0)
network = fold(network_from_layers(train_digits_cnn(digits, seed=0)))
layers = [node.name for node in network.nodes if "W" in node.params]
print(f"{len(layers)} layers with weights, so 4 to the {len(layers)} = {4 ** len(layers):,} allocations")

# %% [markdown]
# The first table: what a choice **costs**. Weights are packed; int4 and int8 have a float32 scale an output channel
# (lesson 04); 16 is float16 and 32 is float32. Biases cost the same everywhere and are left out. Activations stay
# float32 for now.
#
# **Predict.** Is `conv0` at 8 bits half as large as at 16?

# %%
from quantlab.mixed.precision import BITS, mixed_network, store_weights, weight_sizes

sizes = weight_sizes(network)
print("bytes at", BITS, "bits")
for name, row in zip(layers, sizes, strict=True):
    print(f"{name:9s}", row)
print("all      ", sizes.sum(axis=0))

# %% [markdown]
# No: a channel of `conv0` has nine weights, and its scale costs as much as four more. And one layer, `conv8`, holds
# nearly two thirds of all bytes.
#
# The second table: what a choice **hurts**. As in lesson 14, round the weights of *one* layer, leave the others
# alone. The measure here is the mean square by which the logits move. It needs no labels. It is taken on training
# images; the test images are not touched.

# %%
from quantlab.mixed.sensitivity import changed_logits

x = digits_images(digits.x_train[:256])
changes = [(name, store_weights(network[name].params["W"], n_bits=n)) for name in layers for n in BITS]
y, moved = changed_logits(network, x, changes=changes, batch_size=256)
losses = np.reshape([np.mean((z - y) ** 2) for z in moved], sizes.shape)

# %%
for name, row in zip(layers, losses, strict=True):
    print(f"{name:9s}", "  ".join(f"{loss:.1e}" for loss in row))

# %% [markdown]
# From 8 to 4 bits a step is $127 / 7 = 18$ times wider, and a square 329 times: most rows show some hundreds. float16
# has steps of its own for each weight, and is better again by a factor of hundreds.
#
# ## The problem, and its assumption
#
# Choose a column $c_l$ for every layer $l$:
#
# $$ \min_{c} \sum_l \mathrm{loss}_{l, c_l} \qquad \text{so that} \qquad \sum_l \mathrm{cost}_{l, c_l} \le B . $$
#
# Bytes add up. But do losses? The sum says: what the layers do to the logits has nothing to do with each other. Test
# it: 60 random allocations, the sum from the table against the loss that is measured when all layers are rounded
# *together*.
#
# **Predict.** Is the sum too small, too large, or right on average?

# %%
rng = np.random.default_rng(15)
draws = rng.integers(0, 4, (60, len(layers)))
sums = np.array([losses[np.arange(len(layers)), c].sum() for c in draws])
joint = []
for c in draws:
    mixed = mixed_network(network, dict(zip(layers, np.array(BITS)[c].tolist(), strict=True)))
    joint.append(np.mean((mixed.forward(x) - y) ** 2))

# %%
ratio = np.array(joint) / sums
print(f"measured / sum: median {np.median(ratio):.2f}, from {ratio.min():.2f} to {ratio.max():.2f}, n = {len(ratio)}")
assert 0.4 < ratio.min() < ratio.max() < 2.5

# %% [markdown]
# Right in the middle, and wrong by some tens of percent in single cases: errors of two layers may cancel or align.
# Losses of two choices differ by hundreds. So the sum ranks well and forecasts roughly; the winner must be
# **measured**, jointly, on other data. That holds for the mean square of the logits. A loss in accuracy need not add
# up at all.
#
# ## Greedy: the best bargain first
#
# Everybody invents this first. Start with 4 bits everywhere. Then buy, again and again, the change with the best
# *marginal ratio*,
#
# $$ \frac{\text{loss now} - \text{loss then}}{\text{cost then} - \text{cost now}}, $$
#
# as long as the budget lasts. Beside it **all** 16,384 allocations are tried. The budget: nine tenths of uniform int8.
#
# **Predict.** Which layer does greedy never get to improve?

# %%
from quantlab.mixed.allocate import allocate_brute_force, allocate_greedy, allocate_uniform

budget = int(0.9 * sizes[:, 1].sum())
for method in (allocate_uniform, allocate_greedy, allocate_brute_force):
    found = method(sizes, losses, budget=budget)
    print(f"{method.__name__:21s} {found.cost:,.0f} of {budget:,} bytes, loss {found.loss:.3f}", found.pick(BITS))

# %% [markdown]
# The big one. Small layers are bargains, and bought first, up to float32, where there is nothing left to gain. When
# `conv8` comes, which needs 2,304 bytes at once, the money is spent. Greedy never takes a purchase back. The optimum
# does without int8 in three other layers.
#
# ## Dynamic programming: exact
#
# Let $T_l(b)$ be the least loss of the first $l$ layers if they cost exactly $b$. Another layer has four ways to get
# there:
#
# $$ T_l(b) = \min_c \big( T_{l-1}(b - \mathrm{cost}_{l,c}) + \mathrm{loss}_{l,c} \big). $$
#
# That is $4$ numbers a cell instead of $4^l$ allocations. It is the whole method:


# %%
def least_losses(costs, losses, budget):
    best = np.full(budget + 1, np.inf)
    best[0] = 0.0
    for row, loss in zip(costs, losses, strict=True):
        new = np.full(budget + 1, np.inf)
        for c, more in zip(row, loss, strict=True):
            if c <= budget:
                new[c:] = np.minimum(new[c:], best[: budget + 1 - c] + more)
        best = new
    return best


# %%
from quantlab.mixed.allocate import allocate_dynamic

ours = least_losses(sizes, losses, budget).min()
quick = allocate_dynamic(sizes, losses, budget=budget).loss
print(f"by hand {ours:.6f}, quantlab {quick:.6f}, all {4 ** len(layers):,} tried {found.loss:.6f}")
assert abs(ours - found.loss) < 1e-12 and abs(quick - found.loss) < 1e-12

# %% [markdown]
# The table has one cell for each *byte*. Costs that are no whole numbers must be rounded to a `unit` first, upwards,
# so that the answer fits for sure. **Predict.** What does a coarse unit cost?

# %%
for unit in (1, 64, 256):
    coarse = allocate_dynamic(sizes, losses, budget=budget, unit=unit)
    print(f"unit {unit:3d}: {coarse.cost:,.0f} of {budget:,} bytes, loss {coarse.loss:.4f}")

# %% [markdown]
# It always fits, and with a coarse unit it may miss allocations that would have fitted too.
#
# ## Integer programming: exact for real costs
#
# A variable $x_{l,c} \in \{0, 1\}$ for each cell, one 1 a row, one inequality for the budget. HiGHS, which comes with
# scipy, solves it, with costs in bytes or in nanoseconds. Twenty budgets, three exact methods, one answer:

# %%
from quantlab.mixed.allocate import allocate_integer

exact = (allocate_dynamic, allocate_integer, allocate_brute_force)
budgets = np.linspace(sizes[:, 0].sum(), sizes[:, 3].sum(), 20).astype(int).tolist()
answers = np.array([[method(sizes, losses, budget=b).loss for method in exact] for b in budgets])
greedy = np.array([allocate_greedy(sizes, losses, budget=b).loss for b in budgets])

# %%
apart = np.ptp(answers, axis=1) > 1e-6 * greedy  # HiGHS may stop so near the optimum
print(f"{len(budgets)} budgets: the exact methods differ at {apart.sum()}")
print(f"greedy is worse at {(greedy > answers[:, 2] * 1.001).sum()} of them")
assert not apart.any() and (greedy >= answers[:, 2] * 0.999).all()

# %% [markdown]
# A budget that cannot be met is an error that says by how much:

# %%
try:
    allocate_dynamic(sizes, losses, budget=3000)
except ValueError as error:
    print(error)

# %% [markdown]
# ## The Pareto front
#
# One budget is one question. The front answers all: the allocations that no other one beats in both size and loss.

# %%
from quantlab.mixed.pareto import allocation_front

front = allocation_front(sizes, losses)
print(f"{len(front)} of {4 ** len(layers):,} allocations are on the front")
inner = [a for a in front if a.loss > 1e-6]
uniform = sizes[:, :3].sum(axis=0), losses[:, :3].sum(axis=0)

# %%
plots.lines(
    {"front": [a.cost for a in inner], "uniform": uniform[0]},
    {"front": [a.loss for a in inner], "uniform": uniform[1]},
    title="A cliff before uniform int8, another before uniform float16",
    alt="Loss over bytes, logarithmic. The front falls in small steps from uniform int4, drops to uniform int8, "
    "falls slowly again, and drops at uniform float16.",
    xlabel="bytes of weights",
    ylabel="loss (sum)",
    logy=True,
    join=False,
)

# %% [markdown]
# Uniform int8 lies *on* the front: at exactly its size, nothing is better for this network. Mixed does not always
# win. When can it? To stay at that size, some layer must go from 8 to 4 bits to pay for another one that goes from 8
# to 16. So compare marginal ratios: the most that a byte **buys** above int8 with the least that a **saved** byte
# costs below it.

# %%
buys = (losses[:, 1] - losses[:, 2]) / (sizes[:, 2] - sizes[:, 1])
saves = (losses[:, 0] - losses[:, 1]) / (sizes[:, 1] - sizes[:, 0])
print(f"a byte buys at most {buys.max():.1e} of loss, and saving one costs at least {saves.min():.1e}")
assert buys.max() < saves.min()
assert (allocate_brute_force(sizes, losses, budget=int(sizes[:, 1].sum())).pick(BITS) == 8).all()

# %% [markdown]
# Four bits hurt some 329 times as much as eight, and two weights must lose four bits to pay eight more for one. So
# layers must differ by several hundred, weight for weight, before mixing can beat uniform int8 *at its own size*.
# Keep that comparison: it tells before any solver runs. Between the sizes of int4 and int8 there is no uniform rival
# but int4, and mixing helps.
#
# ## Activations have a floor
#
# Now round the activations too, to 8 bits, with ranges from the same images (lesson 08).
#
# **Predict.** How much better than int8 are float16 weights now?

# %%
from quantlab import Grid, fake_quantize
from quantlab.ptq.calibrate import calibrate

observers = calibrate(network, x.astype(np.float64))
marks = {name: seen.qparams(grid=Grid(n_bits=8)) for name, seen in observers.items()}
best = found.pick(BITS).tolist()

# %%
for bits in ([32] * 7, [16] * 7, [8] * 7, best):
    mixed = mixed_network(network, dict(zip(layers, bits, strict=True)))
    alone = np.mean((mixed.forward(x) - y) ** 2)
    both = np.mean((mixed.forward(x, hook=lambda name, value: fake_quantize(value, marks[name])) - y) ** 2)
    print(f"{bits!s:28s} weights alone {alone:.4f}, with activations {both:.4f}")

# %% [markdown]
# Rounded activations alone cost more than three times what uniform int8 weights cost. On top of that, better weights
# buy little: float16 instead of int8 takes about a seventh off, where it took off nearly everything before. If
# activations will be int8, measure the table with them, or its last columns are an illusion. For the next two
# networks weights are stored in few bits and activations stay float32.
#
# ## A real network
#
# EfficientNet-Lite0, the crops of lesson 09: four crops of four photographs to measure the table, 24 crops of six
# *other* photographs to judge. 50 layers, three roundings each, 150 times through what lies behind the layer.

# %%
from quantlab.lab import models
from quantlab.lab.efficientnet import efficientnet_network
from quantlab.lab.fidelity import Judge, ask, fidelity_set

calibration, test = fidelity_set(seed=15, n_calibration=4, n_test=24)
assert not set(calibration.pictures) & set(test.pictures)
big = fold(efficientnet_network())
names = [node.name for node in big.nodes if "W" in node.params]

# %%
changes = [(name, store_weights(big[name].params["W"], n_bits=n)) for name in names for n in BITS[:3]]
logits, moved = changed_logits(big, models.efficientnet_input(calibration.images), changes=changes)
big_sizes, big_losses = weight_sizes(big), np.zeros((len(names), 4))
big_losses[:, :3] = np.reshape([np.mean((z - logits) ** 2) for z in moved], (-1, 3))

# %% tags=["nbval-ignore-output"]
buys = (big_losses[:, 1] - big_losses[:, 2]) / (big_sizes[:, 2] - big_sizes[:, 1])
saves = (big_losses[:, 0] - big_losses[:, 1]) / (big_sizes[:, 1] - big_sizes[:, 0])
print(f"a byte buys up to {buys.max() / saves.min():,.0f} times what a saved one costs")
assert buys.max() > 50 * saves.min()

# %% [markdown]
# That is the reserve. The budget is **the size of uniform int8**. Against the allocation stand every uniform
# assignment that fits, and a *negative control*: random bits, as many as fit into the same bytes.

# %% tags=["nbval-ignore-output"]
from quantlab.mixed.control import allocate_random

budget = int(big_sizes[:, 1].sum())
best = allocate_dynamic(big_sizes, big_losses, budget=budget)
dice = allocate_random(big_sizes, big_losses, budget=budget, rng=np.random.default_rng(15))
for label, a in {"allocated": best, "random": dice}.items():
    print(f"{label:9s} {a.cost:,.0f} of {budget:,} bytes; at {BITS} bits:", np.bincount(a.choices, minlength=4))
print(f"by the table {10 * np.log10(big_losses[:, 1].sum() / best.loss):.1f} dB better than uniform int8")
assert max(best.cost, dice.cost) <= budget

# %% tags=["nbval-ignore-output"]
grid = np.geomspace(big_sizes[:, 0].sum(), big_sizes[:, 2].sum(), 9)
curve = [allocate_dynamic(big_sizes, big_losses, budget=b) for b in grid]
plots.lines(
    {"allocated": grid / 1e6, "uniform": big_sizes[:, :3].sum(axis=0) / 1e6, "random": [dice.cost / 1e6]},
    {"allocated": [a.loss for a in curve], "uniform": big_losses[:, :3].sum(axis=0), "random": [dice.loss]},
    title="The allocations pass below uniform int8; random bits lie far above",
    alt="Sum of losses over megabytes, logarithmic. The allocations fall from uniform int4, pass below uniform int8 at "
    "4.7 megabytes, and end near uniform float16; random bits as large as int8 lie some ninety times higher.",
    xlabel="megabytes of weights",
    ylabel="loss (sum)",
    logy=True,
    join=False,
)
assert curve[0].loss > curve[-1].loss

# %% [markdown]
# **Predict.** By how many decibels does the allocation beat uniform int8, at the same size, on the other photographs?

# %%
x_test = models.efficientnet_input(test.images)
judge = Judge(x_test, ask(big.forward, x_test), test.pictures)
choices = {"int4": [4] * 50, "int8": [8] * 50, "allocated": best.pick(BITS), "random": dice.pick(BITS)}
replies = {}
for label, bits in choices.items():
    replies[label] = judge.ask(mixed_network(big, dict(zip(names, map(int, bits), strict=True))).forward)

# %% tags=["nbval-ignore-output"]
for label, reply in replies.items():
    print(f"{label:9s}", judge.score(reply))
gain, control = (judge.gain(replies[label], replies["int8"]) for label in ("allocated", "random"))
print(f"allocated - int8: {gain:.1f} dB, {gain.n} pictures; random - int8: {control:.1f} dB")
assert gain.low > 0 > control.high and judge.gain(replies["allocated"], replies["int4"]).low > 0

# %% [markdown]
# At equal size the allocation beats int4 and int8, and the interval of the difference, drawn over whole pictures,
# stays above zero. By *how much*, six pictures do not show: the interval is wide, and such an interval is rather too
# narrow. The table had promised less. Random bits (one draw) are far worse than uniform int8: it is not "being mixed"
# that helps.
#
# And below int8's size, where the only uniform rival is int4? Halfway between the two:

# %%
half = allocate_dynamic(big_sizes, big_losses, budget=int(big_sizes[:, :2].sum() / 2))
bits = dict(zip(names, half.pick(BITS).tolist(), strict=True))
replies["6 bits"] = judge.ask(mixed_network(big, bits).forward)

# %% tags=["nbval-ignore-output"]
print(f"{half.cost / big_sizes[:, 1].sum():.0%} of int8's bytes:", judge.score(replies["6 bits"]))
gain, lack = judge.gain(replies["6 bits"], replies["int4"]), judge.gain(replies["int8"], replies["6 bits"])
print(f"better than int4 by {gain:.1f} dB; worse than int8 by {lack:.1f} dB")
assert gain.low > 3

# %% [markdown]
# That is the answer to the first question: there is something between int4 and int8. Whether it differs from int8 on
# your data is another question: look at the last interval before you claim it.
#
# ## A transformer
#
# MiniLM, the sentence encoder of lesson 11, has 36 linear layers. The loss is the mean square by which the embeddings
# of eight sentences move. **Predict.** Can mixing beat uniform int8 at its own size here?

# %%
from quantlab.lab.minilm import minilm_batch
from quantlab.lab.minilm_torch import embedder, minilm_module
from quantlab.lab.sentence_pairs import CALIBRATION
from quantlab.mixed.precision import stored_bytes

encoder = minilm_module()
linears = {name: part for name, part in encoder.named_modules() if isinstance(part, torch.nn.Linear)}
weights = {name: part.weight.numpy().copy() for name, part in linears.items()}
text_sizes = np.array([[stored_bytes(W, n_bits=n) for n in BITS] for W in weights.values()])

# %%
embed, batch = embedder(encoder), minilm_batch(CALIBRATION[:8])
e, text_losses = embed(*batch), np.zeros(text_sizes.shape)
for row, (name, part) in enumerate(linears.items()):
    for column, n in enumerate(BITS[:3]):
        part.weight.data = torch.from_numpy(store_weights(weights[name], n_bits=n))
        text_losses[row, column] = np.mean((embed(*batch) - e) ** 2)
    part.weight.data = torch.from_numpy(weights[name])

# %% tags=["nbval-ignore-output"]
print(f"{'the last block':15s}", "  ".join(f"{n} bits " for n in BITS[:3]))
for name, row in list(zip(linears, text_losses, strict=True))[-6:]:
    print(f"{name:15s}", "  ".join(f"{loss:.1e}" for loss in row[:3]))
print(f"all 36 at 4 bits: from {text_losses[:, 0].min():.1e} to {text_losses[:, 0].max():.1e}")
assert text_losses[:, 0].max() < 1000 * text_losses[:, 0].min()

# %%
buys = (text_losses[:, 1] - text_losses[:, 2]) / (text_sizes[:, 2] - text_sizes[:, 1])
saves = (text_losses[:, 0] - text_losses[:, 1]) / (text_sizes[:, 1] - text_sizes[:, 0])
same = allocate_dynamic(text_sizes, text_losses, budget=int(text_sizes[:, 1].sum()))
print(f"what a byte buys / what a saved one costs: {buys.max() / saves.min():.1f}")
print("at int8's size the optimum is uniform int8:", (same.pick(BITS) == 8).all())
assert buys.max() < saves.min()

# %% [markdown]
# No. The blocks of a transformer are alike: weight for weight, no layer is several hundred times as sensitive as
# another. Between int4 and int8 an allocation can still choose. It is judged on the questions and
# answers of lesson 11, none of which measured the table:

# %%
from quantlab.lab.sentence_pairs import ANSWERS, QUESTIONS
from quantlab.lab.sentence_scores import batches

assert set(CALIBRATION).isdisjoint({*QUESTIONS, *ANSWERS})
budget = int(text_sizes[:, :2].sum() / 2)
text_best = allocate_dynamic(text_sizes, text_losses, budget=budget)
text_dice = allocate_random(text_sizes, text_losses, budget=budget, rng=np.random.default_rng(15))
arms = {"float32": [32] * 36, "int4": [4] * 36, "allocated": text_best.pick(BITS), "random": text_dice.pick(BITS)}

# %%
spoken = {}
for label, bits in arms.items():
    for (name, part), n in zip(linears.items(), bits, strict=True):
        part.weight.data = torch.from_numpy(store_weights(weights[name], n_bits=int(n)))
    spoken[label] = np.concatenate([embed(*some) for part in (QUESTIONS, ANSWERS) for some in batches(part)])
for name, part in linears.items():
    part.weight.data = torch.from_numpy(weights[name])

# %% tags=["nbval-ignore-output"]
from quantlab.lab.intervals import bootstrap, wilson

cosine = {label: (vectors * spoken["float32"]).sum(axis=1) for label, vectors in spoken.items()}
for label, vectors in spoken.items():
    right = int(((vectors[:64] @ vectors[64:].T).argmax(axis=1) == np.arange(64)).sum())
    print(f"{label:9s} cosine with float32 {cosine[label].mean():.3f}, right answers {right}, {wilson(right, 64):.0%}")
for rival in ("int4", "random"):
    gain = bootstrap(np.mean, cosine["allocated"] - cosine[rival], rng=np.random.default_rng(0))
    print(f"allocated - {rival:6s}: cosine {gain:+.3f}, {gain.n} sentences")
    assert gain.low > 0

# %% [markdown]
# The allocation stays closest to the float embeddings, far ahead of random bits in the same bytes (one draw). But
# look at the right answers before you celebrate: the allocation has no more of them than int4. **A smaller mean
# square is not yet a better search engine**; and with 64 questions we could not tell. (Only linear layers are
# counted. The table of words, larger than all of them together, stays float32.)
#
# ## Runtimes that mix
#
# Does anybody *run* such networks? Take three for the digits: uniform int8; the optimum from above, with 8 and 4
# bits; and the best of 9,000 bytes in which a layer is either int8 or stays in float32. Now activations are int8 too,
# wherever an int8 layer reads them.

# %%
from quantlab.ptq.quantize import quantize_network, weight_qparams

widths = dict(zip(layers, found.pick(BITS).tolist(), strict=True))
grids = {name: weight_qparams(network[name].params["W"], n_bits=n, per_channel=True) for name, n in widths.items()}
pair = allocate_brute_force(sizes[:, [1, 3]], losses[:, [1, 3]], budget=9000)
keep = [name for name, c in zip(layers, pair.choices, strict=True) if c == 1]
print("8 and 4: ", widths, "\n8 and 32:", keep, "in float32")

# %%
from quantlab.integer import tflite
from quantlab.lab.litert_export import to_tflite

options = {"8": {}, "8 and 4": {"weight_qps": grids}, "8 and 32": {"keep_float": keep}}
nets = {w: quantize_network(network, observers, weight_bits=8, per_channel=True, **o) for w, o in options.items()}
files = {w: to_tflite(net, input_shape=(1, 8, 8, 1)) for w, net in nets.items()}
print("bytes of the files:", {w: len(file) for w, file in files.items()})
print(*[op.name for op in tflite.read(files["8 and 32"]).operators], sep=", ")

# %% [markdown]
# The float layers stand at the beginning, so two QUANTIZE are enough; a float layer in the middle gets a DEQUANTIZE
# in front, too. **Predict.** How many of the output codes differ between quantlab and LiteRT?

# %%
from quantlab import quantize
from quantlab.lab.litert import run

images = digits_images(digits.x_test)
for widths, net in nets.items():
    given = quantize(images, net.activations["input"]) if "input" in net.activations else images
    for kernels in ("litert", "litert_ruy", "litert_reference"):
        theirs, ours = run(files[widths], given, kernels=kernels), net.run(given, dialect=kernels)
        print(f"{widths:8s} {kernels:17s} {ours.size:,} codes compared, {(ours != theirs).sum()} mismatches")
        assert np.array_equal(ours, theirs)

# %% [markdown]
# None. But mind the sizes of the files: the second stores a 4-bit code in a whole int8, so it is as large as with 8
# bits everywhere. The bytes of our table exist only where file and kernels pack int4 weights. (TensorFlow's own
# converter keeps layers in float32 through its *debugger*, `denylisted_nodes`; `quantlab.lab.keras_mixed` calls it,
# and its tests compare such files.)
#
# PyTorch takes a configuration for each module; those without one stay float. Its scheme is another one (activations
# from 0 to 127, lesson 11), so quantlab computes this graph in torch's dialect, node by node:

# %%
from quantlab.lab.network_torch import network_module
from quantlab.lab.torch_mixed import compare_nodes, mixed_module, run_by_quantlab

module = network_module(network, shape=(8, 8, 1))
mixed = mixed_module(module, torch.from_numpy(x), keep_float=keep)
nodes = compare_nodes(mixed, torch.from_numpy(images))

# %%
for kind in ("int8", "float32"):
    some = [node for node in nodes.values() if node.kind == kind]
    n, wrong = sum(node.n for node in some), sum(node.wrong for node in some)
    print(f"{len(some)} {kind} nodes: {n:,} values compared, {wrong} wrong")
theirs, ours = mixed(torch.from_numpy(images)).numpy(), run_by_quantlab(mixed, torch.from_numpy(images))
print(f"{ours.size:,} logits compared, {(ours != theirs).sum()} mismatches")
assert np.array_equal(ours, theirs) and not any(node.wrong for node in nodes.values())

# %% [markdown]
# (A float32 value counts as wrong if it is farther away than another order of summing explains.)
#
# ## The other budget: time
#
# Bytes follow from the bits. Times do not. First, what can a processor multiply at all? "Yes" means instructions that
# multiply and add such numbers; "stored" means that they are unpacked to something wider first.
#
# | hardware | 16-bit floats | int8 | int4 | fp8 | source |
# | --- | --- | --- | --- | --- | --- |
# | x86 with AVX2 or AVX-512 | no | yes, in three steps that may saturate | stored | | 1, 2 |
# | ... and VNNI ("DL Boost") | no | yes, in one step | stored | | 1, 2 |
# | ... and AVX512-BF16 | bfloat16 | yes | stored | | 1, 3 |
# | ... and AVX512-FP16 | bfloat16, float16 | yes | stored | | 1, 3 |
# | ... and AMX (tiles) | bfloat16, some float16 | yes | stored | | 1, 3 |
# | Arm from v8.2, where these are options | `fp16`, `bf16` | `dotprod`; matrices: `i8mm` | | `fp8dot4`, newest | 4 |
# | NVIDIA Turing | float16 | yes | yes | no | 5, 6 |
# | NVIDIA Ampere | bfloat16, float16 | yes | yes | no | 5, 6 |
# | NVIDIA Ada | bfloat16, float16 | yes | yes | yes | 5, 6 |
# | NVIDIA Hopper | bfloat16, float16 | yes | not among its own kernels | yes | 5, 7 |
# | Arm Cortex-M with CMSIS-NN | float16 on trial, with Helium | yes | stored | | 8 |
# | Google Edge TPU | no | yes, nothing else | no | no | 9 |
#
# Where a field is empty, the source does not say. Sources:
# 1 [oneDNN: data types](https://github.com/oneapi-src/oneDNN/blob/main/doc/programming_model/data_types.md),
# 2 [oneDNN: int8](https://github.com/oneapi-src/oneDNN/blob/main/doc/advanced/int8_computations.md),
# 3 [oneDNN: instruction sets](https://oneapi-src.github.io/oneDNN/enum_dnnl_cpu_isa_t.html),
# 4 [GNU assembler: AArch64](https://github.com/bminor/binutils-gdb/blob/master/gas/doc/c-aarch64.texi) (`dotprod` is part of
# v8.4, `i8mm` and `bf16` of v8.6),
# 5 [CUTLASS: kernels by compute capability](https://github.com/NVIDIA/cutlass/blob/main/media/docs/cpp/functionality.md),
# 6 [TensorRT-RTX: support
# matrix](https://docs.nvidia.com/deeplearning/tensorrt-rtx/latest/getting-started/support-matrix.html),
# 7 [Transformer Engine: support matrix](https://nvidia.github.io/TransformerEngine/support_matrix.html),
# 8 [CMSIS-NN](https://github.com/ARM-software/CMSIS-NN),
# 9 [Coral: models on the Edge TPU](https://coral.withgoogle.com/docs/edgetpu/models-intro/).
#
# And what does *this* machine do? One product of MiniLM's widest kind, 160 tokens, one thread (of which we count the
# time that it computes, not the time that it waits for others):
#
# **Predict.** float16 moves half the bytes of float32. How much faster is it here?

# %% tags=["nbval-ignore-output"]
import time
from functools import partial

from quantlab.lab.timing import best_times

a, W = torch.randn(160, 384), torch.randn(1536, 384)
pairs = {str(t)[6:]: (a.to(t), W.to(t).T) for t in (torch.float32, torch.bfloat16, torch.float16)}
runs = {name: partial(torch.matmul, *pair) for name, pair in pairs.items()}
runs["int8"] = partial(torch._int_mm, a.to(torch.int8), W.to(torch.int8).T)
for name, seconds in best_times(runs, rounds=5, clock=time.thread_time).items():
    print(f"{name:9s}{1e6 * seconds:9,.0f} us")
able = torch.cpu.get_capabilities()
print({name: able.get(name) for name in ("avx2", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8")})
assert seconds > 0

# %% [markdown]
# On the machine that built this page, float16 is several times *slower* than float32, bfloat16 about twice as fast,
# and int8 about four times. That fits what its processor has, by the rows of the table above. Yours may differ:
# believe your cell, not ours. **Bits are no proxy for time.** float16 here saves memory and costs time, and int4
# would be unpacked first.
#
# ## A layer, and the whole
#
# `quantize_dynamic` of lesson 11 takes *names* of modules too, each with its configuration. So torch runs MiniLM with
# some linear layers in int8 and the others in float32. Which ones should be which, if int8 everywhere is too rough
# and float32 everywhere too slow? The costs: each layer alone, on its own input, finding ranges and converting
# included. The layers take turns, so that no layer finds its weights in the cache because it ran just before.

# %%
import warnings

from torch.ao import quantization as tq

warnings.filterwarnings("ignore", module=r"torch\.ao")  # it is deprecated: lesson 11
warnings.filterwarnings("ignore", message="torch.ao.quantization is deprecated")
per_channel = tq.per_channel_dynamic_qconfig


# %%
def some_in_int8(names):
    return tq.quantize_dynamic(encoder, {name: per_channel for name in names})


inputs = {}
hooks = [
    part.register_forward_hook(lambda _, u, __, name=n: inputs.update({name: u[0]})) for n, part in linears.items()
]
embed(*batch)
for hook in hooks:
    hook.remove()

# %% tags=["nbval-ignore-output"]
int8 = dict(some_in_int8(linears).named_modules())
runs = {(name, 8): partial(int8[name], u) for name, u in inputs.items()}
runs |= {(name, 32): partial(linears[name], u) for name, u in inputs.items()}
with torch.no_grad():
    seconds = best_times(runs, rounds=12, clock=time.thread_time)
table = {name: {n: 1e6 * seconds[name, n] for n in (8, 32)} for name in linears}
for name in list(linears)[-6:]:
    print(f"{name:15s}", "  ".join(f"{n} bits {us:7,.0f} us" for n, us in table[name].items()))
assert min(seconds.values()) > 0

# %% [markdown]
# There is no column for 4 bits, because `quantize_dynamic` has no such layer; `measured_costs` does not guess.
# (float16 may be left out: here it is slower than float32, and less exact.)

# %%
from quantlab.mixed.precision import measured_costs

costs = measured_costs(table, layers=linears, bits=(8, 32))
try:
    measured_costs(table, layers=linears, bits=BITS)
except ValueError as error:
    print(error)

# %% [markdown]
# The losses are measured with torch's own int8 layers, one at a time, so rounded activations are in the table now.


# %%
rough = np.zeros(costs.shape)
for row, (name, part) in enumerate(linears.items()):
    encoder.set_submodule(name, int8[name])
    rough[row, 0] = np.mean((embed(*batch) - e) ** 2)
    encoder.set_submodule(name, part)

# %%
budget = costs.sum(axis=0).mean()  # halfway
quick = allocate_integer(costs, rough, budget=budget)
chance = allocate_random(costs, rough, budget=budget, rng=np.random.default_rng(15))
picks = {"int8": np.zeros(36, int), "allocated": quick.choices, "random": chance.choices, "float32": np.ones(36, int)}
forms = {
    arm: some_in_int8([n for n, c in zip(linears, chosen, strict=True) if c == 0]) for arm, chosen in picks.items()
}

# %%
ids, mask = map(torch.from_numpy, batch)
with torch.no_grad():
    seconds = best_times(
        {arm: partial(form, ids, mask) for arm, form in forms.items()}, rounds=12, clock=time.thread_time
    )
others = minilm_batch(QUESTIONS[:16])
far = {arm: np.mean((embedder(form)(*others) - embed(*others)) ** 2) for arm, form in forms.items()}

# %% tags=["nbval-ignore-output"]
for arm, chosen in picks.items():
    cost, loss = (t[np.arange(36), chosen].sum() for t in (costs, rough))
    print(f"{arm:10s} {cost / 1e3:4.1f} ms by the table, {1e3 * seconds[arm]:4.1f} ms the whole;", end=" ")
    print(f"loss {loss:.1e} by the table, {far[arm]:.1e} on other sentences")
assert far["allocated"] < min(far["int8"], far["random"])

# %% [markdown]
# The losses of the table come true on other sentences: the allocation has about a seventh of uniform int8's loss, for
# about half of the extra time of float32. The times come true roughly, and only as *differences*: the whole needs
# some milliseconds more in every form, for attention, GELU and norms, which are in no table. So the share that is
# saved is smaller than the table says; report it from the whole. (And here each int8 layer converts for itself. In
# the .tflite file above the cost of a border depends on the neighbours, and no sum of layers knows it.)
#
# ## Where it breaks
#
# **"The sum of the table is the loss."** It is a forecast, for the rounding that was measured. After repair (lesson
# 09), or with other ranges, measure the table anew; and always measure the winner.
#
# **"Times add up."** Between a float layer and an int8 layer somebody has to convert, and a fused pair of layers has
# one time, not two. Measure the whole model before you believe the sum.
#
# **"More freedom, smaller loss."** In the table, always. On other data only if the table holds: four crops, or eight
# sentences, measured it.
#
# **What we left out.** Training after the allocation (lesson 12) would move all losses. Groups of weights (lesson 04)
# are a choice too. Files of llama.cpp mix widths (Q4_K_M stores some tensors with 6 bits), by fixed rules instead of
# a solver.

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. At int8, weight for weight, no layer of your network causes more than 20 times the loss of another. Uniform
# int8 just fits the chip. What does an exact solver find in the same bytes, if it may choose 4, 8, 16 and 32 bits?**
#
# <details><summary><b>a.</b> A mix that beats it: of so many allocations, int8 everywhere is hardly the best.</summary>
#
# > No. How many there are says nothing about where the best one is. Every other one of this size takes four bits from
# > some layer, and that layer then causes about $(127/7)^2 = 329$ times its loss at int8.
#
# </details>
# <details><summary><b>b.</b> Uniform int8.</summary>
#
# > Yes. Say that a weight causes the loss $e$ at int8. Four bits less save half a byte and cost $328\,e$: $656\,e$ a
# > byte. Eight bits more, in another layer, cost a byte and win at most that layer's own $e$. So layers must differ
# > by some 656, and 20 is far from it. (Scales left out.) The digits and MiniLM end so, too.
#
# </details>
# <details><summary><b>c.</b> Some small layers in float16, the rest in int8: small ones cost next to nothing.</summary>
#
# > No. Next to nothing is still more than nothing, and the bytes are used up. Some other layer must pay with four of
# > its bits. This is the answer for a budget slightly *above* that of int8.
#
# </details>

# %% [markdown]
# **2. Dynamic programming and the integer program agree on an allocation. A colleague exchanges the bits of two
# layers, rounds all layers together, and measures a loss that is a tenth smaller, on the same images. What does that
# show?**
#
# <details><summary><b>a.</b> A bug in both solvers: nothing can beat an exact optimum.</summary>
#
# > No. It is exact for the *sum* of the table, and on this page trying all 16,384 allocations gave the same sum. The
# > colleague measured something else.
#
# </details>
# <details><summary><b>b.</b> Too few images for the table: with more of them, sum and measurement agree.</summary>
#
# > No. Sum and measurement came from the same images here, too, and differed by factors of 0.54 to 1.33. What the sum
# > leaves out are the products of two layers' errors. They need not vanish with more images: rounded weights err in
# > the same way on all of them.
#
# </details>
# <details><summary><b>c.</b> That the sum is a forecast.</summary>
#
# > Yes. A tenth lies well within what the sum does not know. It tells apart allocations whose losses differ several
# > times, and leaves near ones to a measurement of all layers together. Judge the one you pick on *other* images:
# > those that picked it flatter it.
#
# </details>

# %% [markdown]
# **3. By the table, your allocation of 8 and 4 bits takes 6,584 bytes and uniform int8 takes 7,400. Both .tflite
# files have 14,824 bytes. What happened?**
#
# <details><summary><b>a.</b> Each 4-bit code was stored in a byte of its own.</summary>
#
# > Yes. So you paid for four bits with loss and got no byte back. The table counts packed codes; it comes true only
# > where file format and kernels pack them, too. Look at the file before you promise a size.
#
# </details>
# <details><summary><b>b.</b> The rest of the file outweighs the weights; larger networks show the gain.</summary>
#
# > No. The rest is larger than the weights, true. But it adds the same to both, and the difference of 816 bytes would
# > be left. The files are equal to the byte, and a larger network would not change that.
#
# </details>
# <details><summary><b>c.</b> Without 4-bit kernels these layers were kept at 8 bits, with int8's loss.</summary>
#
# > No. LiteRT's 4,500 output codes equal those that `quantlab` computes from 4-bit codes. A channel has at most 15
# > different weights, in whatever they are stored: an int8 kernel can multiply them, but not bring back what was
# > rounded away.
#
# </details>

# %% [markdown]
# **4. Your table of times has measured columns for 8 and 32 bits. There is no kernel for 4 bits yet, so you fill in
# half of int8's time, and let the integer program choose. What comes out?**
#
# <details><summary><b>a.</b> The right layers at 4 bits; only the total time is too hopeful.</summary>
#
# > No. The order of the *layers* may be right. But the program chooses among columns, too, and takes the one that is
# > too cheap where 8 bits should have been.
#
# </details>
# <details><summary><b>b.</b> About the truth: half the bits are half the bytes, and moving takes the time.</summary>
#
# > No. Moving is one part. float16 moves half the bytes of float32, and on the machine that built this page it was
# > slower: that processor has no instruction for such products.
#
# </details>
# <details><summary><b>c.</b> A plan that spends most where the table is wrong.</summary>
#
# > Yes. A solver looks for bargains, and an error in the table looks like the best of them. The loss at 4 bits is
# > real and the saved time is not: without such a kernel the codes are unpacked and multiplied as int8, or wider.
# > That is why `measured_costs` stops rather than guess.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Two tables, costs and losses; the least sum of losses within a budget is a multiple-choice knapsack.
# - Greedy may spend on small bargains what the big layer needs. Dynamic and integer programming are exact, and equal
#   brute force.
# - Losses add up roughly: good enough to choose, not to report. Measure the winner on other data.
# - At int8's own size mixing pays only where layers differ by hundreds: in EfficientNet-Lite0, not in MiniLM.
# - Keep a control: random bits in the same bytes are far worse than uniform int8 on EfficientNet-Lite0.
# - LiteRT and torch run mixed networks, and quantlab computes the same codes. A 4-bit code may still take a byte.
# - Time must be measured, at last on the whole: float16 may be slower than float32, and 4 bits may have no kernel at
#   all.
#
# **Exercises:** [15 Allocate bits](../exercises/15_allocate_bits/15_allocate_bits.ipynb): four, about 35 minutes.
# &nbsp; **Next:** [16 Design networks that quantize well](16_design_networks_that_quantize_well.ipynb).
# `quantlab start 15` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - Dong et al., "HAWQ-V2: Hessian Aware trace-Weighted Quantization of Neural Networks", 2020,
#   [arXiv:1911.03852](https://arxiv.org/abs/1911.03852): sensitivity from the Hessian, bits from the Pareto front.
# - Yao et al., "HAWQ-V3: Dyadic Neural Network Quantization", 2021,
#   [arXiv:2011.10680](https://arxiv.org/abs/2011.10680): the
#   integer program, with measured latencies.
# - Wang et al., "HAQ: Hardware-Aware Automated Quantization with Mixed Precision", 2019,
#   [arXiv:1811.08886](https://arxiv.org/abs/1811.08886).
# - Kellerer, Pferschy, Pisinger, "Knapsack Problems", 2004, chapter 11: the multiple-choice knapsack problem.
