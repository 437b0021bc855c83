# %% [markdown]
# # 05 Calibrate ranges
#
# **You will** run photographs through a real network, watch its activations with five kinds of observer, and measure
# on other photographs which range was right. Then you calibrate with noise, with too much data, and in the wrong
# order.
#
# **You learn** min-max, moving average, percentile, MSE and KL; clipping against rounding; what a calibration set
# must be; how to compare two methods without fooling yourself.
#
# **You need** lessons 03 and 04. About 45 minutes, difficulty 2 of 3.
#
# [previous: 04 Choose granularity](04_choose_granularity.ipynb) · [next: 06 Compute with integers](06_compute_with_integers.ipynb)
#
# ---
#
# *How many images do I calibrate with? Entropy or min-max? May I just use random inputs?* Converters ask for a
# "representative data set" and offer a menu of methods, and forums answer with habits: more is better, entropy beats
# min-max, noise will do. Weights hold still, so a range for them is a fact. Activations depend on the input, so a
# range for them is a *guess about inputs that nobody has seen yet*. To make it, an **observer** watches a tensor go by,
# batch after batch, and then names a range: that is **calibration**. A guess can be tested. On this page each habit gets
# its test, and none of the three survives as stated.

# %% [markdown]
# ## Two sets that share nothing
#
# We have ten photographs. Five are for calibration, five for testing; from each we cut 8 crops at random places.
# Crops of one picture overlap and look alike, so the split is by picture, never by crop.

# %%
import numpy as np
from quantlab.lab import data, plots

calibration = ["china", "astronaut", "coffee", "motorcycle", "tissue"]
test = ["flower", "cat", "rocket", "galaxies", "retina"]
photos, rng = data.photographs(), np.random.default_rng(0)
crops = {name: data.crops(photos[name], n=8, rng=rng) for name in calibration + test}

# %%
known = {crop.tobytes() for name in calibration for crop in crops[name]}
fresh = {crop.tobytes() for name in test for crop in crops[name]}
assert not set(calibration) & set(test)
assert not known & fresh
print(f"{len(known)} different crops to calibrate, {len(fresh)} to test, {len(known & fresh)} in both")

# %%
plots.images(
    {name: crops[name][0] for name in calibration + test},
    columns=5,
    title="Above: calibration. Below: test",
    alt="Ten crops: a Chinese roof, an astronaut, a cup, a motorcycle, stained tissue; a flower, a cat, a rocket, "
    "galaxies, a retina.",
)

# %% [markdown]
# The network is EfficientNet-Lite0 of lesson 04. We tap it at five places: what enters blocks 2, 6 and 12, what ReLU6
# lets through in block 15, and the pooled features before the classifier. These tensors become integers in an int8
# network.

# %%
from quantlab.lab import models

layers = ["_blocks.2._expand_conv", "_blocks.6._expand_conv", "_blocks.12._expand_conv"]
layers += ["_blocks.15._project_conv", "_fc"]
places = dict(zip(["block 2", "block 6", "block 12", "ReLU6", "pooled"], layers, strict=True))
for place, layer in places.items():
    print(f"{place:9s} what enters {layer}")

# %%
# The last bits of a float32 network differ between processors; float64 gives everybody the same numbers.
tap = {"layers": layers, "side": "input", "compute": "float64"}
seen = {name: models.efficientnet_activations(crops[name], **tap) for name in crops}
batches = {p: [seen[name][layer] for name in calibration] for p, layer in places.items()}
held_out = {p: np.concatenate([seen[name][layer] for name in test]) for p, layer in places.items()}
print("batches: 5 pictures of shape", batches["block 12"][0].shape, "  held out:", held_out["block 12"].shape)

# %%
for place, x in held_out.items():
    all_batches = np.concatenate(batches[place])
    print(f"{place:9s} calibration {all_batches.min():6.1f} to {all_batches.max():5.1f}", end="   ")
    print(f"test {x.min():6.1f} to {x.max():5.1f}   zeros {np.mean(x == 0):4.0%}")

# %% [markdown]
# Three kinds of tensor. After ReLU6 the range is known without looking: 0 to 6, and it is used. The pooled features are
# averages of ReLU6 outputs, so 6 bounds them too, but calibration never came near it. The signed tensors have no bound
# at all. In the last two a test picture may leave the range that calibration saw: the pooled features do, by far. What
# lies outside will be clipped.

# %% [markdown]
# ## Min-max, and what it pays for
#
# The simplest observer keeps the smallest and the largest value it has seen. Look at what it keeps, at the entry of
# block 12:

# %%
x = np.concatenate(batches["block 12"]).ravel()
plots.histogram(
    {"into block 12": x},
    title="Almost everything lies in the middle of the range",
    alt="Histogram of activations with a logarithmic height: a peak at 0 and straight flanks out to -31 and 32.",
    logy=True,
    vlines={"min": x.min(), "max": x.max()},
)

# %% [markdown]
# **Predict.** Which share of the values lies in the outer half of the range, beyond half of the largest size?

# %%
print(f"beyond half of the largest |x|: {np.mean(np.abs(x) > np.abs(x).max() / 2):.2%} of {x.size} values")

# %% [markdown]
# Four values in a thousand use half of the marks. Give up these marks and everything else is rounded twice as finely;
# the few values beyond are clipped. With $n$ bits and a symmetric threshold $T$ the step is $s = 2T/(2^n - 1)$, and
# the mean squared error has two parts:
#
# $$ E(T) \;\approx\; \underbrace{\frac{s^2}{12}}_{\text{rounding, grows with } T}
#    \;+\; \underbrace{\operatorname{mean}\big[\max(|x| - T,\, 0)^2\big]}_{\text{clipping, falls with } T} $$
#
# **Predict.** Where is the best $T$ for 8 bits, near 32 (keep all), 28 or 14? And for 4 bits?

# %%
T = np.linspace(4, 33, 30)
clipping = np.array([np.mean(np.maximum(np.abs(x) - t, 0) ** 2) for t in T])
total = {n: (2 * T / (2**n - 1)) ** 2 / 12 + clipping for n in (8, 4)}
print("best T:", {f"{n} bits": float(T[error.argmin()]) for n, error in total.items()})
crossing = {n: float(T[(clipping < error - clipping).argmax()]) for n, error in total.items()}
print("clipping is the smaller part from T =", {f"{n} bits": at for n, at in crossing.items()})

# %%
plots.lines(
    T,
    {"clipping": clipping, "8-bit rounding": total[8] - clipping, "4-bit rounding": total[4] - clipping},
    title="Clipping falls, rounding rises; the best T lies beyond the crossing",
    alt="Mean squared error against the threshold, logarithmic. Clipping falls steeply, two rounding curves rise "
    "slowly. Clipping meets 4-bit rounding near 13 and 8-bit rounding near 24.",
    xlabel="threshold T",
    ylabel="mean squared error",
    logy=True,
    dots=False,
)

# %% [markdown]
# There is no best range; there is a best range *for a number of bits*. Fewer bits make steps expensive, so more
# clipping pays. Does the formula hold on the real grid?

# %%
from quantlab import Grid, choose_qparams, fake_quantize, mse

for n in (8, 4):
    for t in (15.0, 28.0):
        x_hat = fake_quantize(x, choose_qparams(-t, t, grid=Grid(n_bits=n)))
        formula = (2 * t / (2**n - 1)) ** 2 / 12 + np.mean(np.maximum(np.abs(x) - t, 0) ** 2)
        print(f"{n} bits, T={t:.0f}: measured {mse(x, x_hat):.4f}, formula {formula:.4f}")

# %% [markdown]
# At 8 bits to a third of a percent, at 4 bits to 2 %.
#
# ## Move it yourself
#
# Take the same activations, and let one value in 10,000 be an outlier. Three sliders: where you clip, how far out the
# outlier lies, and the number of bits. Watch what the outlier does to the best threshold.

# %%
from quantlab.core.histogram import DyadicHistogram
from quantlab.lab import widgets

h = DyadicHistogram().update(x)  # 8,192 bins in place of all values, so that the sliders are quick
size, share = np.abs(h.centers), h.counts / h.n
T = np.linspace(4, 150, 147)
bulk = (np.maximum(size - T[:, None], 0) ** 2) @ share  # clipping error of the activations themselves


def draw(clip, outlier, n_bits):
    rounding = (2 * T / (2**n_bits - 1)) ** 2 / 12
    error = rounding + bulk + 1e-4 * np.maximum(outlier - T, 0) ** 2
    best, yours = T[error.argmin()], np.interp(clip, T, error)
    plots.lines(
        T,
        {"total": error, "rounding": rounding},
        title=f"Best threshold {best:.0f}: error {error.min():.3f}; yours: {yours:.3f}",
        alt=f"Error against threshold at {n_bits} bits, outlier at {outlier}. Best threshold {best:.0f}, error "
        f"{error.min():.3f}; at {clip} the error is {yours:.3f}.",
        xlabel="threshold T",
        ylabel="mean squared error",
        logy=True,
        dots=False,
        marks={"your clip": clip, "outlier": outlier},
    )


clip, outlier = widgets.slider(4, 150, start=30), widgets.slider(32, 150, start=100)
widgets.explore(draw, clip=clip, outlier=outlier, n_bits=widgets.slider(3, 8, start=8))

# %% [markdown]
# At 8 bits the best threshold goes nearly all the way out: one value in 10,000, clipped by 70, costs ten times more
# than coarse steps cost all the others together. Where the outlier rules, $\frac{d}{dT}\left[\frac{T^2}{3 \cdot
# 255^2} + 10^{-4}(O - T)^2\right] = 0$ gives $T = 0.95\,O$. **Predict** what happens at 4 bits, then pull the slider,
# or run:

# %%
for n_bits in (8, 6, 4):
    rounding = (2 * T / (2**n_bits - 1)) ** 2 / 12
    best = {o: float(T[(rounding + bulk + 1e-4 * np.maximum(o - T, 0) ** 2).argmin()]) for o in (50, 100, 150)}
    print(f"{n_bits} bits, best threshold by outlier:", best)

# %% [markdown]
# At 4 bits it hardly moves. Steps are expensive there, and the outlier is let go. An outlier is not noise to be cut
# off by habit, nor a value to be kept at any price. It must be *weighed*.

# %% [markdown]
# ## Five observers
#
# - **min-max**: the range seen. Nothing seen is clipped.
# - **moving average**: $lo \leftarrow lo + c\,(lo_{\text{batch}} - lo)$, the same for $hi$. Smooths over batches.
# - **percentile**: cut off a fixed share of the values at each end, here 0.01 %.
# - **MSE**: try 100 shrunken copies of the range, take the one with the least squared error on this grid.
# - **entropy (KL)**: the threshold whose quantized histogram is nearest to the clipped one in Kullback-Leibler
#   divergence, $\sum_i p_i \log(p_i / q_i)$. TensorRT made it popular in 2017.
#
# All of them take data in batches and give a range. They are tested on the held-out crops: the SQNR of each of the
# 40 crops, in dB, averaged.

# %%
from quantlab import sqnr_db
from quantlab.core import observers

kinds = {
    "min-max": observers.MinMaxObserver,
    "moving average": observers.MovingAverageObserver,
    "percentile": lambda: observers.PercentileObserver(percentile=99.99),
    "MSE": observers.MSEObserver,
    "KL": observers.EntropyObserver,
}
print(list(kinds))

# %%
for name, make in kinds.items():
    observer = make()
    for batch in batches["block 12"]:
        observer.update(batch)
    print(f"{name:14s}", end="  ")
    for grid in (Grid(n_bits=8), Grid(n_bits=4)):
        lo, hi = observer.range(grid=grid)
        qp = choose_qparams(lo, hi, grid=grid)
        db = np.mean([sqnr_db(crop, fake_quantize(crop, qp)) for crop in held_out["block 12"]])
        print(f"{grid.n_bits} bits: {lo:6.1f} to {hi:5.1f}  {db:5.1f} dB", end="   ")
    print()

# %% [markdown]
# Three observers ignore the grid. MSE and KL look at it, and narrow the range for 4 bits, as the curves above demand.
# At 4 bits MSE gains more than 6 dB over min-max: a bit's worth, for free.
#
# ## Who wins? Honestly
#
# One layer is an anecdote. So: five places, two widths, four challengers against min-max. For every held-out crop we
# take the *difference* in SQNR, which cancels what makes one crop harder than another. Crops of one picture are
# alike, so 40 crops are not 40 independent samples. We average within each of the 5 pictures and put a 95 % interval
# around the mean of the five: $\bar d \pm 2.78\, \mathrm{sd}/\sqrt 5$ (Student's $t$, 4 degrees of freedom).
#
# **Predict.** At 8 bits, in how many of the five places does KL beat min-max beyond doubt? And at 4?

# %%
db, t95 = {}, 2.776
for place in places:
    made = {name: make() for name, make in kinds.items()}
    for observer in made.values():
        for batch in batches[place]:
            observer.update(batch)
    for n in (8, 4):
        for name, observer in made.items():
            qp = observer.qparams(grid=Grid(n_bits=n))
            crop_db = [sqnr_db(crop, fake_quantize(crop, qp)) for crop in held_out[place]]
            db[place, n, name] = np.reshape(crop_db, (5, 8))  # pictures, crops
print(len(db), "settings,", sum(d.size for d in db.values()), "SQNRs")

# %%
challengers = ["moving average", "percentile", "MSE", "KL"]
for n in (8, 4):
    print(f"{n} bits    min-max, dB   {''.join(f'{name:^18s}' for name in challengers)}")
    for place in places:
        base = db[place, n, "min-max"]
        print(f"{place:9s} {base.mean():9.1f}      ", end="")
        for name in challengers:
            means = (db[place, n, name] - base).mean(axis=1)
            print(f"{means.mean().round(1) + 0.0:+8.1f} ±{t95 * means.std(ddof=1) / np.sqrt(5):5.1f}   ", end="")
        print()

# %% [markdown]
# Read it row by row.
#
# - **Signed tensors (blocks 2, 6, 12).** Every method that clips beats min-max, and the intervals leave no doubt. The
#   percentile and MSE beat KL at 8 bits; at 4 bits MSE is far ahead of both.
# - **After ReLU6.** Min-max is right: the range *is* 0 to 6, and nothing beats it beyond doubt. KL loses more than
#   20 dB. The reason comes below.
# - **Pooled features.** The test pictures go beyond the calibration range (5.6 against 3.9). Min-max already clips
#   too much there, and at 8 bits every method that clips more does worse. At 4 bits KL is clearly worse, MSE just so.
#
# So "entropy beats min-max" is true of three of these five tensors, and false of two. The counts of single crops say
# the same:

# %%
wins = {"KL beats min-max": ("KL", "min-max"), "MSE beats KL": ("MSE", "KL")}
for title, (a, b) in wins.items():
    for n in (8, 4):
        counts = [int((db[place, n, a] > db[place, n, b]).sum()) for place in places]
        print(f"{title:16s} {n} bits:", *[f"{p} {count}," for p, count in zip(places, counts, strict=True)], "of 40")

# %% [markdown]
# ## Why KL can fail
#
# KL compares two shapes: the *clipped* histogram, in which everything outside has been piled onto the end bins, and
# the quantized one, which is made from the inside alone. So a clipped value costs something, because it is one more in
# an end bin; but *how far* it was moved does not enter. A control: 99,900 Gaussian values and 100 outliers, all at one
# place that we move outwards.

# %%
gauss = np.random.default_rng(0).normal(size=99_900)
int4 = Grid(n_bits=4)
for where in (5, 10, 20, 50):
    values = np.append(gauss, np.full(100, where)).astype(np.float32)
    print(f"outliers at {where:2d}:", end="")
    for name in ("KL", "MSE", "min-max"):
        lo, hi = kinds[name]().update(values).range(grid=int4)
        values_hat = fake_quantize(values, choose_qparams(lo, hi, grid=int4))
        print(f"   {name} clips at {hi:5.1f}, {sqnr_db(values, values_hat):4.1f} dB", end="")
    print()

# %% [markdown]
# KL clips near 3.3 wherever the outliers are. MSE follows them outwards, because a square knows distance.
#
# And after ReLU6? There half of the values are exactly 0 and fall into one narrow bin. A step spreads that spike over all
# bins that it covers. That changes the shape, so KL wants narrow steps, and a narrow range is how to get them. The test
# of this explanation: give the bin of zero only as many counts as its neighbour has, and ask again.

# %%
from quantlab.core.entropy import entropy_threshold
from quantlab.core.histogram import BINS

h = DyadicHistogram().update(np.concatenate(batches["ReLU6"]))
counts = h.counts.copy()
counts[BINS] = counts[BINS + 1]  # bin BINS begins at 0
for n_levels in (256, 16):
    before, after = (entropy_threshold(c, n_levels=n_levels) * h.bin_width / 2 for c in (h.counts, counts))
    print(f"{n_levels:3d} levels: threshold {before:.2f} with the spike, {after:.2f} without (the data end at 6)")

# %% [markdown]
# That was most of it: at 256 levels nothing is clipped any more, at 16 the threshold goes from nearly 0 to 4. NVIDIA's
# `pytorch-quantization` does exactly this to the bin of zero. KL suits tensors whose far values do not matter to the
# network. Whether that is so, neither KL nor SQNR can tell.

# %% [markdown]
# ## Calibrating with noise
#
# Some scripts feed random pixels when no data is at hand. Same number of crops, same observers:
#
# **Predict.** In block 12, is the range from noise wider or narrower than that from photographs?

# %%
noise = np.random.default_rng(1).integers(0, 256, (5, 8, 224, 224, 3), dtype=np.uint8)
noisy = [models.efficientnet_activations(batch, **tap) for batch in noise]
print(noise.shape[0] * noise.shape[1], "crops of noise; difference to calibration with photographs, 8 bits:")

# %%
for place, layer in places.items():
    print(f"{place:9s}", end="")
    for name in ("min-max", "MSE"):
        observer = kinds[name]()
        for batch in noisy:
            observer.update(batch[layer])
        qp = observer.qparams(grid=Grid(n_bits=8))
        noisy_db = [sqnr_db(crop, fake_quantize(crop, qp)) for crop in held_out[place]]
        d = (np.reshape(noisy_db, (5, 8)) - db[place, 8, name]).mean(axis=1)
        (lo, hi), half = observer.range(grid=Grid(n_bits=8)), t95 * d.std(ddof=1) / np.sqrt(5)
        print(f"   {name:7s} {lo:6.1f} to {hi:4.1f}: {d.mean().round(1) + 0.0:+6.1f} ±{half:4.1f} dB", end="")
    print()

# %% [markdown]
# Noise has no surfaces and no objects. The first layers respond to it about as strongly as to photographs; in block
# 12, deep in the network, the range is narrower by a factor of more than two, and held-out photographs are clipped:
# 9 to 13 dB are lost, give or take 7. In block 2 min-max does *better* with noise than with photographs, and in the
# pooled features it may. That is luck: noise gives *some* range, and once in a while a wrong one is better than a
# stretched one. Nothing about noise promises that for the next network.

# %% [markdown]
# ## More data is not always better
#
# Min-max can only grow: each further crop keeps the range or widens it. Everything else gets coarser. Ten random
# orders of the 40 calibration crops, ranges from the first $n$ of each:

# %%
pool, int8 = np.concatenate(batches["block 12"]), Grid(n_bits=8)
counts = (1, 2, 4, 8, 16, 40)
curves = {name: np.zeros((10, 6)) for name in ("min-max", "percentile", "MSE")}
width = np.zeros((10, 6))

# %%
for order in range(10):
    shuffled = pool[np.random.default_rng(order).permutation(40)]
    for j, n in enumerate(counts):
        width[order, j] = np.ptp(shuffled[:n])
        for name in curves:
            qp = kinds[name]().update(shuffled[:n]).qparams(grid=int8)
            curves[name][order, j] = np.mean([sqnr_db(c, fake_quantize(c, qp)) for c in held_out["block 12"]])
assert (np.diff(width, axis=1) >= 0).all()
print("mean width of the min-max range:", dict(zip(counts, width.mean(axis=0).round(1).tolist(), strict=True)))

# %%
plots.lines(
    np.array(counts),
    {name: curve.mean(axis=0) for name, curve in curves.items()},
    title="Min-max gets worse with more data; the percentile settles",
    alt="Held-out SQNR against the number of calibration crops, 1 to 40, mean of ten orders. Min-max falls from "
    "35.7 to 34.3 dB; MSE falls less; the percentile rises a little, to 36.1.",
    xlabel="calibration crops",
    ylabel="SQNR on held-out crops, dB",
    logx=True,
)

# %%
for name, curve in curves.items():
    print(f"{name:10s} mean {curve.mean(axis=0).round(1)}  spread {np.ptp(curve, axis=0).round(1)}")

# %% [markdown]
# For min-max one or two crops were better than forty. For the percentile forty are better, by a few tenths of a
# decibel; what more crops really buy is that the result depends less on which ones you happened to take: the spread,
# highest minus lowest of the ten orders, falls from 1.1 to 0.4 dB at 16 crops. (At 40 it is 0 by construction: all
# orders hold the same crops.) MSE lies between: its sum of squares is ruled by the crops with the largest values.
#
# What about *different* data? The pooled features, where calibration fell short: eight crops of one picture, against
# eight crops drawn from all five. Five tries each:

# %%
pooled = np.stack(batches["pooled"])  # (pictures, crops, features)
mixed = [pooled.reshape(40, -1)[np.random.default_rng(i).permutation(40)[:8]] for i in range(5)]
for title, sets in [("one picture", pooled), ("five pictures", mixed)]:
    qps = [kinds["min-max"]().update(s).qparams(grid=int8) for s in sets]
    scores = [np.mean([sqnr_db(c, fake_quantize(c, qp)) for c in held_out["pooled"]]) for qp in qps]
    print(f"8 crops of {title:13s} {min(scores):.1f} to {max(scores):.1f} dB, mean {np.mean(scores):.1f}")

# %% [markdown]
# One picture can be lucky or nearly 9 dB short; the mixture is dependable. Variety protects against the bad case.
# (All forty crops give 32.4 dB, as the table says: here, where the range is too *narrow*, min-max does profit from
# more data.)

# %% [markdown]
# ## The order of the batches
#
# A minimum does not care who came first. A moving average does: with torch's default $c = 0.01$ the first batch keeps
# the weight $0.99^4 = 96\,\%$ after five. Such a constant suits training, with thousands of batches.

# %%
forward, backward = observers.MovingAverageObserver(), observers.MovingAverageObserver()
for first, last in zip(batches["block 2"], batches["block 2"][::-1], strict=True):
    forward.update(first)
    backward.update(last)
ends = [observer.range(grid=int8)[1] for observer in (forward, backward)]
print(f"block 2 ends at {ends[0]:.1f} in one order, at {ends[1]:.1f} in the other")

# %%
for title, observer in [("china first ", forward), ("tissue first", backward)]:
    qp = observer.qparams(grid=int8)
    scores = [sqnr_db(crop, fake_quantize(crop, qp)) for crop in held_out["block 2"]]
    print(f"{title}: {qp.scale:.3f} a step, {np.mean(scores):.1f} dB")

# %% [markdown]
# Same data, same method, 2 dB apart. quantlab's histogram, which percentile, MSE and KL share, must not have this
# fault. Its bins have the width of a power of two; when a larger value comes, neighbours merge in pairs, and nothing
# is ever estimated:

# %%
h, g = DyadicHistogram(), DyadicHistogram()
for first, last in zip(batches["block 2"], batches["block 2"][::-1], strict=True):
    h.update(first)
    g.update(last)
print(f"{h.n} values, {h.counts.size} bins of width 2**{int(np.log2(h.bin_width))}")

# %%
assert np.array_equal(h.counts, g.counts)
print(f"{np.sum(h.counts != g.counts)} of {h.counts.size} bins differ between the two orders")

# %% [markdown]
# ## The same in torch
#
# torch's MinMaxObserver and MovingAverageMinMaxObserver must give the same scale and zero point, at every place, to
# the last bit.

# %%
import torch
import torch.ao.quantization as tq

pairs = [(tq.MinMaxObserver, observers.MinMaxObserver)]
pairs += [(tq.MovingAverageMinMaxObserver, observers.MovingAverageObserver)]
for make_theirs, make_ours in pairs:
    for place in places:
        theirs, ours = make_theirs(dtype=torch.qint8), make_ours()
        for batch in batches[place]:
            _ = theirs(torch.from_numpy(batch)), ours.update(batch)
        (scale, zero_point), qp = theirs.calculate_qparams(), ours.qparams(grid=int8)
        assert (scale.item(), zero_point.item()) == (qp.scale, qp.zero_point)
    print(f"{make_theirs.__name__:28s} {len(places)} places compared, 0 differ")

# %% [markdown]
# torch's HistogramObserver is its default for activations in static quantization. It also minimizes a squared error,
# over 2,048 bins, and is *not* equal to our MSE observer: it moves both ends separately, takes the values of a bin as
# spread evenly, and redistributes counts when the range grows. How much does it matter?

# %%
from quantlab import QParams

for place in places:
    theirs, ours = tq.HistogramObserver(dtype=torch.qint8), observers.MSEObserver()
    for batch in batches[place]:
        _ = theirs(torch.from_numpy(batch)), ours.update(batch)
    scale, zero_point = theirs.calculate_qparams()
    qps = QParams(scale=scale.item(), zero_point=int(zero_point), grid=int8), ours.qparams(grid=int8)
    scores = [np.mean([sqnr_db(c, fake_quantize(c, qp)) for c in held_out[place]]) for qp in qps]
    print(f"{place:9s} step {qps[0].scale:.4f} and {qps[1].scale:.4f}", end="   ")
    print(f"torch {scores[0]:.1f} dB, ours {scores[1]:.1f} dB")

# %% [markdown]
# Two estimates of one thing, within half a decibel at four places and 2 dB apart at the fifth. Neither is the truth.
#
# ## Where it breaks
#
# - **"Entropy beats min-max."** On three of five tensors here; on ReLU6 it is far worse. Measure per tensor, on
#   held-out data, with the interval.
# - **"More calibration data is better."** Not for min-max on tensors with long tails. For the percentile it stops
#   mattering early; variety does not.
# - **Sample size.** Five test pictures are few, and galaxies are not what this network was trained on. The signs in
#   the table are safe where the interval is far from 0, the tenths are not.
# - **Calibrating on the test set** makes the test a rehearsal. Split by source (picture, speaker, document), not by
#   crop.
# - **SQNR is a proxy.** It treats all values alike. What counts is the output of the network: a range that looks
#   worse here may be better there. Part II measures that.
# - **Preprocessing is part of the data.** Photographs fed as 0..255 in place of -1..1 give a range that is exact, and
#   useless.
# - **What the field does now.** Weights: usually min-max or MSE per channel. Activations: the defaults differ (ONNX
#   Runtime takes min-max, torch the squared error above, TensorRT's calibrator grew up with KL), mostly on a hundred to
#   a few hundred samples. Language models often skip calibration of activations and measure each token's range at run
#   time ("dynamic" quantization), which costs time and needs no guess.

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. Your ranges are min-max over 100 pictures. You calibrate again, with these 100 and 900 more. What do you know
# before you run it?**
#
# <details><summary><b>a.</b> The ranges come nearer to the true ones.</summary>
#
# > No. An average would, from either side. A maximum moves in one direction only, and for a tensor without a bound
# > there is no true range that it could settle at.
#
# </details>
# <details><summary><b>b.</b> No range gets narrower.</summary>
#
# > Yes. That is all. Where calibration fell short it helps: the pooled features had 32.4 dB with all forty crops, and
# > down to 23.6 dB with eight of one picture. Where it makes all steps coarser it hurts: block 12 fell from 35.7 to
# > 34.3 dB.
#
# </details>
# <details><summary><b>c.</b> The SQNR on other pictures rises.</summary>
#
# > No. It fell by 1.4 dB in block 12, from one crop to forty. Each new extreme value makes the steps coarser for all
# > others. More data help a statistic that settles, such as the percentile.
#
# </details>

# %% [markdown]
# **2. At 8 bits T = 28 was best for the entry of block 12, a little inside min-max. You keep it when the layer goes
# down to 4 bits. What do you get?**
#
# <details><summary><b>a.</b> A threshold far too wide: coarse steps cost more now, clipping does not.</summary>
#
# > Yes. At 4 bits the best T is 14. The error at $T = 28$ was 1.16, at $T = 15$ it was 0.44. The step has become 17
# > times as large, so what each mark is worth has changed, and what clipping costs has not.
#
# </details>
# <details><summary><b>b.</b> The right one: T belongs to the data, and they are the same.</summary>
#
# > No. T weighs two costs. Clipping belongs to the data alone; rounding belongs to T and the number of bits. Change
# > one side, and the balance lies elsewhere.
#
# </details>
# <details><summary><b>c.</b> A threshold too narrow: with 16 marks the large values are precious.</summary>
#
# > No. It feels so, but with 16 marks it is the *small* values that suffer, and they are almost all. Only 0.40 % lie
# > in the outer half of the range. Let them go, and everybody else gets twice as many marks.
#
# </details>

# %% [markdown]
# **3. At 4 bits your KL observer cuts the ReLU6 tensor of this page at 0.03, although the data reach 6. What gives it
# a sensible threshold?**
#
# <details><summary><b>a.</b> Many more pictures.</summary>
#
# > No. The histogram is right: half of the values *are* 0, in new pictures too. The fault is in what KL makes of such
# > a spike.
#
# </details>
# <details><summary><b>b.</b> Finer bins.</summary>
#
# > No. They would tell zeros from small values, but that is done already: the zeros fill one narrow bin. KL compares
# > the spike with an even spread over all bins of a step. Finer bins make the spike narrower and the spread wider.
#
# </details>
# <details><summary><b>c.</b> Counting fewer zeros.</summary>
#
# > Yes. With as many counts in the bin of zero as in its neighbour, the threshold goes to 4.04. Nothing is lost: zero
# > has a mark of its own on every ruler, so these values never have an error.
#
# </details>

# %% [markdown]
# **4. In block 2 min-max ranges from noise were better than those from photographs, by 1.9 ± 0.3 dB on held-out
# pictures. What do you conclude?**
#
# <details><summary><b>a.</b> For this tensor noise is the better calibration set.</summary>
#
# > No. The interval is far from zero, so the gain is real. Its cause is not the noise. With MSE the same noise gains
# > $0.6 \pm 1.7$ dB: nothing that could be shown. And in block 12 min-max from noise was $8.6 \pm 7.4$ dB worse.
#
# </details>
# <details><summary><b>b.</b> Nothing: five test pictures are too few.</summary>
#
# > No. The interval is computed from these five, and it is far from zero. Five are few for the tenths, not for the
# > sign. The measurement is sound; the question is what it measures.
#
# </details>
# <details><summary><b>c.</b> Min-max from photographs was too wide there.</summary>
#
# > Yes. Noise gave *some* narrower range, and narrower was better. The percentile finds it on purpose, from
# > photographs: $2.6 \pm 0.4$ dB over min-max. When a wrong method wins, look for what the right one did badly.
#
# </details>

# %% [markdown]
# ## Summary
#
# - A range for activations is a guess about unseen inputs. Test it on inputs from other sources, asserted disjoint.
# - Error = rounding, which grows with the range, + clipping, which falls. The best range depends on the number of
#   bits.
# - Min-max never clips what it saw, and only grows. Percentile, MSE and KL give up outliers, each for its own reason.
# - KL looks at shapes and ignores distance: better than min-max on the signed tensors, over 20 dB worse after ReLU6.
# - Noise as calibration data is wrong; where it wins, it wins by luck.
# - A moving average depends on the order of batches; a minimum and a mergeable histogram do not.
# - Report differences per crop, average within a picture, and give the interval.

# %% [markdown]
# ## Exercises
#
# [Five exercises](../exercises/05_calibrate_ranges/05_calibrate_ranges.ipynb): average a range, cut percentiles, split an error
# into rounding and clipping, search a threshold, merge a histogram.
# `quantlab start 05` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - S. Migacz, [8-bit inference with
#   TensorRT](https://on-demand.gputechconf.com/gtc/2017/presentation/s7310-8-bit-inference-with-tensorrt.pdf), GTC
#   2017: where KL calibration comes from.
# - H. Wu et al., [Integer quantization for deep learning inference](https://arxiv.org/abs/2004.09602), 2020: max,
#   percentile and entropy compared on many networks; no method wins everywhere.
# - R. Banner et al., [Post training 4-bit quantization of convolutional networks for rapid
#   deployment](https://arxiv.org/abs/1810.05723), 2019: the best clipping threshold in closed form.
# - M. Nagel et al., [A white paper on neural network quantization](https://arxiv.org/abs/2106.08295), 2021: section
#   3.1 on range setting.
# - torch's [observers](https://docs.pytorch.org/docs/stable/quantization-support.html), the source of what was
#   compared here.
