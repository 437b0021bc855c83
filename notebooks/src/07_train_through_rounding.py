# %% [markdown]
# # 07 Train through rounding
#
# **You will** train a network whose weights may take only four values, with and without a gradient through the rounding,
# and find out what the training itself contributed. **You learn** fake quantization in training, latent weights, the
# straight-through gradient, noise in place of rounding, control arms. **You need** lessons 03 to 06, and what a gradient
# is. About 40 minutes, difficulty 2 of 3.
# &nbsp; [previous: 06 Compute with integers](06_compute_with_integers.ipynb) ·
# [next: 08 Quantize a network](08_quantize_a_network.ipynb)
#
# "Rounding is a staircase. Its slope is zero. So how can quantization-aware training learn anything?" And when it does:
# "is the gain due to the quantization, or would more training have done the same?" Both questions have answers
# that fit on this page, and the second answer is not always the one that people hope for.
#
# ## What is lost at 2 bits
#
# A small network for the 8 x 8 digits of scikit-learn, written in numpy: two linear layers, forward and backward by
# hand (`quantlab.nn`, three short files that are worth reading).

# %%
import numpy as np

from quantlab.lab import data, plots

digits, rng = data.digits(seed=0), np.random.default_rng(0)
assert not set(digits.train_index) & set(digits.test_index)
print("train", digits.x_train.shape, "test", digits.x_test.shape)

# %%
from quantlab.nn.layers import Linear, ReLU, Sequential
from quantlab.nn.optim import Adam
from quantlab.nn.train import accuracy, train

net = Sequential([Linear(64, 32, rng=rng), ReLU(), Linear(32, 10, rng=rng)])
images = (digits.x_train, digits.y_train)
losses = train(net, *images, optimizer=Adam(lr=3e-3), n_epochs=40, batch_size=64, rng=rng)
print("loss fell to less than a tenth:", losses[-1] < losses[0] / 10)

# %% [markdown]
# `prepare` copies the network and puts a quantizer on the weights of each layer (one scale an output) and one on its
# inputs (one scale). A pass over the training images sets the ranges; that is post-training quantization, **PTQ**, as in
# lessons 03 to 05. (`rule` begins to matter when we train.)

# %%
from quantlab import Grid
from quantlab.qat.prepare import prepare

ptq = {}
for n_bits in (8, 4, 2):
    grids = {"w_grid": Grid(n_bits=n_bits), "x_grid": Grid(n_bits=n_bits, signed=False)}
    ptq[n_bits] = prepare(net, **grids, rule="ste", rng=rng)
    ptq[n_bits].forward(digits.x_train, training=True)

# %% [markdown]
# **Predict.** The float network gets about 97 of 100 digits right. How many at 8, at 4, at 2 bits?

# %% tags=["nbval-ignore-output"]
test = (digits.x_test, digits.y_test)
after = {"float": accuracy(net, *test)} | {f"{n} bits, PTQ": accuracy(ptq[n], *test) for n in ptq}
for name, share in after.items():
    print(f"{name:12s} {share:.1%} +- {1.96 * np.sqrt(share * (1 - share) / 450):.1%}, 450 digits")
assert after["8 bits, PTQ"] > after["float"] - 0.02
assert after["2 bits, PTQ"] < after["float"] - 0.06

# %% [markdown]
# 8 bits cost nothing that 450 digits could show, 2 bits a good part of the answers. (Numbers like these differ a little
# from machine to machine, since training amplifies the last bit of a sum. What must hold is asserted in the cell.) A weight
# has four values left. Nobody asked the network, while it learned, to get along with four.
#
# The obvious wish: **train with the rounding in place.** In the forward pass, replace each weight $w$ by
#
# $$ \hat w = s \cdot \mathrm{clip}(\mathrm{round}(w / s),\ q_{\min},\ q_{\max}), $$
#
# which is `fake_quantize` of lesson 03: *fake*, because $\hat w$ is still a float. Keep $w$ itself, the **latent**
# weight, as the thing that is trained. Then the chain rule asks for $\partial \hat w / \partial w$.
#
# ## A function without a slope

# %%
from quantlab import choose_qparams, fake_quantize
from quantlab.lab import models

W = models.minilm_weights()["encoder.layer.0.attention.self.query.weight"]
qp = choose_qparams(W.min(), W.max(), grid=Grid(n_bits=4), symmetric=True)
x = np.linspace(-0.5, 0.5, 2001, dtype=np.float32)
plots.staircase(
    x,
    {"4 bits": fake_quantize(x, qp)},
    title="Flat almost everywhere",
    alt="A staircase of eleven steps along the diagonal; its error is a sawtooth.",
    xlabel="weight",
)

# %% [markdown]
# **Predict.** Move each of the 147,456 weights of a MiniLM layer up by a hundredth of a step, and divide what comes out by
# what went in: a slope for each weight. Which values occur, how often, and what is their average?

# %%
h = qp.scale / np.float32(100)
slopes = (fake_quantize(W + h, qp) - fake_quantize(W, qp)) / h
for slope in np.unique(slopes.round()):
    print(f"slope {slope:3.0f}: {(slopes.round() == slope).mean():.1%} of {W.size:,} weights")
print(f"average slope {slopes.mean(dtype=np.float64):.2f}")

# %% [markdown]
# 99 of 100 slopes are exactly 0; the others crossed the edge of a step, and are 100. The derivative, the limit for ever
# smaller moves, is 0 with probability 1. And yet the *average* slope is about 1, as it must be: over its whole length
# a staircase climbs as fast as the diagonal.
#
# That is the way out (Bengio et al. 2013). On the way back, use the slope of the staircase as seen from afar: 1 where it
# climbs, 0 where it has ended, beyond the clipping range:
#
# $$ \frac{\partial \hat w}{\partial w} := \begin{cases} 1 & q_{\min} \le \mathrm{round}(w/s) \le q_{\max} \\ 0 & \text{otherwise}
#    \end{cases} $$
#
# The gradient goes *straight through* the rounding, as if it were not there. This is the **straight-through** rule. It
# is not the gradient of anything that we compute; it is a good direction on average.
#
# ## One weight
#
# The smallest training there is: one weight, marks at the integers, and a target of 0.3 which no mark can meet. The loss is
# $\tfrac12 (\hat w - 0.3)^2$, its gradient by $\hat w$ is $\hat w - 0.3$. Rule `none` is the true gradient, `ste` the
# straight-through one; `quantize_in_training` returns $\hat w$ and where the gradient passes.

# %%
from quantlab import QParams
from quantlab.qat.layers import quantize_in_training

integers, target = QParams(scale=1.0, zero_point=0, grid=Grid(n_bits=4)), np.float32(0.3)
for rule in ("none", "ste"):
    w_hat, mask = quantize_in_training(np.float32([0.1]), integers, rule=rule)
    print(f"{rule:5s} w_hat {w_hat[0]}, gradient by w {(w_hat[0] - target) * mask[0] + 0:.1f}")

# %% [markdown]
# **Predict.** What do the two latent weights do in 400 steps?

# %%
latent, rounded = {"none": [], "ste": []}, {"none": [], "ste": []}
for rule in latent:
    w = np.float32([0.1])
    for _ in range(400):
        w_hat, mask = quantize_in_training(w, integers, rule=rule)
        w = w - np.float32(0.02) * (w_hat - target) * mask
        latent[rule].append(w[0])
        rounded[rule].append(w_hat[0])
plots.lines(
    np.arange(400),
    latent,
    title="Straight through, the weight climbs to the edge of a step and stays there",
    alt="The latent weight under the true gradient is a flat line at 0.1. Under the straight-through "
    "rule it rises to 0.5 and then trembles around it.",
    xlabel="training step",
    ylabel="latent weight",
    marks={"first crossing": int(np.argmax(rounded["ste"]))},
)

# %% [markdown]
# The true gradient is zero, and nothing happens, for ever. Straight through, the latent weight collects small pushes, each
# far too small to change $\hat w$, until it reaches the **threshold** 0.5. There $\hat w$ jumps to 1, which is too
# much, so the weight is pushed back. It never settles: it **oscillates**.
#
# **Predict.** Once it oscillates, what share of the time is $\hat w = 1$?

# %%
late = np.array(rounded["ste"][100:])
print(f"values {np.unique(late).tolist()}, share of ones {late.mean():.2f}, target {target:.2f}")

# %% [markdown]
# 30 %. While $w$ stays where it is, the pushes must cancel on average; a push is $\hat w - 0.3$; so the average of $\hat w$ is
# 0.3. The rule finds the right weight *on average over time*. But at the end we keep a single moment, and whether that is a 0
# or a 1 is a matter of luck. Remember the threshold: the weights of the real network will meet us there again.
#
# ## The rule, to the bit
#
# Where exactly does the gradient stop? Take $s = 0.1$ and int8, which ends at 12.7. In torch the question is decided on
# the *rounded* integer: 12.74 rounds to 127 and passes, 12.75 to 128 and does not. In code, the whole rule is:


# %%
def straight_through(dy, x, qp):
    steps = np.rint(x * (np.float32(1) / qp.scale)) + qp.zero_point
    return dy * ((steps >= qp.grid.quant_min) & (steps <= qp.grid.quant_max))


tenth = QParams(scale=0.1, zero_point=0, grid=Grid(n_bits=8))
edge = np.float32([12.69, 12.71, 12.74, 12.75, 12.8])
print("x       ", edge)
print("gradient", straight_through(np.ones(5, np.float32), edge, tenth))

# %% [markdown]
# Compare it with `quantlab` and with torch's automatic differentiation, on two million values. Most of them are chosen to
# be nasty: exact multiples of half a step, far beyond both ends, with a zero point.

# %%
from quantlab.qat.ste import fake_quantize_backward

n, skewed = 2_000_000, QParams(scale=0.1, zero_point=-30, grid=Grid(n_bits=8))
x = (rng.integers(-500, 500, n) / 2).astype(np.float32) * skewed.scale
x[::4] = rng.normal(0, 8, n // 4).astype(np.float32)
dy = rng.standard_normal(n, np.float32)
ours = straight_through(dy, x, skewed)
print("equal to quantlab's:", np.array_equal(ours, fake_quantize_backward(dy, x, skewed)))

# %%
import torch

x_torch = torch.from_numpy(x).requires_grad_()
y_torch = torch.fake_quantize_per_tensor_affine(x_torch, float(skewed.scale), -30, -128, 127)
y_torch.backward(torch.from_numpy(dy))
dx_torch = x_torch.grad.numpy()

# %%
wrong_values = (fake_quantize(x, skewed) != y_torch.detach().numpy()).sum()
wrong_gradients = (ours != dx_torch).sum()
print(f"compared {n:,}: mismatches {wrong_values} in the values, {wrong_gradients} in the gradients")
assert wrong_values == wrong_gradients == 0

# %% [markdown]
# A control, since a comparison is worth something only if it can fail. Many write the mask with the real range instead:
# pass where $s(q_{\min} - z) \le x \le s(q_{\max} - z)$.

# %%
lowest, highest = (np.float32(q + 30) * skewed.scale for q in (-128, 127))
careless = dy * ((x >= lowest) & (x <= highest))
lost = x[careless != dx_torch]
print(f"mask on the real range: mismatches {lost.size:,} of {n:,}")
print(f"at x from {lost.min():.2f} to {lost.max():.2f}; the grid ends at {lowest:.2f} and {highest:.2f}")

# %% [markdown]
# It stops gradients half a step too early, at both ends.
#
# The same per channel, on the MiniLM weights, each row with a scale of its own, at 2 bits:

# %%
lo, hi = W.min(axis=1), W.max(axis=1)
per_row = choose_qparams(lo, hi, grid=Grid(n_bits=2), symmetric=True, axis=0)
dy = rng.standard_normal(W.shape, np.float32)
dW = fake_quantize_backward(dy, W, per_row)
print(f"gradients that stop at the end of the grid: {(dW == 0).sum()} of {W.size:,}")

# %%
W_torch, zeros = torch.tensor(W, requires_grad=True), torch.zeros(len(W), dtype=torch.int32)
W_hat = torch.fake_quantize_per_channel_affine(W_torch, torch.tensor(per_row.scale), zeros, 0, -2, 1)
W_hat.backward(torch.tensor(dy))
print(f"compared {W.size:,}: mismatches {(dW != W_torch.grad.numpy()).sum()}")
assert np.array_equal(dW, W_torch.grad.numpy())

# %% [markdown]
# ## Noise in place of rounding
#
# There is another way to have a slope: do not round at all while training. Rounding moves a value by an error between
# $-s/2$ and $s/2$. Add a random error of that size, $\tilde w = w + s u$ with $u$ uniform in $[-\tfrac12, \tfrac12)$. This has a true
# gradient, and it is 1. The network learns to tolerate errors of the size that rounding will make.
#
# It is a model of rounding: errors of the right size, spread evenly, independent of the weight. Is the model true? Lesson 03 found the
# variance of the error to be $s^2 / 12$.
#
# **Predict.** For which of 8, 4, 2 bits is the error of the MiniLM weights like that, with one scale for the whole matrix?

# %%
errors = {}
for n_bits in (8, 4, 2):
    scale_qp = choose_qparams(W.min(), W.max(), grid=Grid(n_bits=n_bits), symmetric=True)
    errors[f"{n_bits} bits"] = e = (fake_quantize(W, scale_qp) - W) / scale_qp.scale
    r = np.corrcoef(e.ravel(), W.ravel())[0, 1].round(1) + 0
    print(f"{n_bits} bits: variance {e.var() * 12:.2f} s**2 / 12, correlation with the weight {r:.1f}")

# %%
plots.histogram(
    {name: errors[name] for name in ("8 bits", "2 bits")},
    title="One scale a matrix: at 2 bits the rounding error is no even noise",
    alt="Histogram of rounding errors in steps: at 8 bits flat from minus to plus one half, at "
    "2 bits a bell around zero.",
    xlabel="rounding error, in steps",
    bins=60,
)

# %% [markdown]
# At 8 and 4 bits the model holds. At 2 bits most weights lie within half a step of zero and are rounded to it, so that the error
# is the weight itself, with the sign turned: nothing even or independent about it. A scale for each row fits better, as we
# shall see.
#
# ## Train
#
# Now the network at 2 bits, from the same start, with each rule for 20 epochs. First, what moved:

# %%
by_rule, epochs = {}, {"n_epochs": 20, "batch_size": 64}
assert grids["w_grid"].n_bits == 2  # the last ones that we made
for rule in ("none", "noise", "ste"):
    by_rule[rule] = prepare(net, **grids, rule=rule, rng=np.random.default_rng(1))
    by_rule[rule].forward(digits.x_train, training=True)
    train(by_rule[rule], *images, optimizer=Adam(lr=3e-3), rng=np.random.default_rng(2), **epochs)

# %%
for rule, trained in by_rule.items():
    same = {name for name, value in trained.params.items() if np.array_equal(value, net.params[name])}
    print(f"{rule:5s} moved {sorted(set(net.params) - same)}, did not move {sorted(same)}")

# %% [markdown]
# With the true gradient, 20 epochs move nothing but the last bias. Everything before it feeds a rounding, and no gradient
# gets through.
#
# **Predict.** Order the three by accuracy.

# %% tags=["nbval-ignore-output"]
after |= {f"2 bits, {rule}": accuracy(trained, *test) for rule, trained in by_rule.items()}
for name in ("float", "2 bits, PTQ", "2 bits, none", "2 bits, noise", "2 bits, ste"):
    print(f"{name:13s} {after[name]:.1%}")
assert after["2 bits, ste"] > after["2 bits, PTQ"] + 0.02
assert after["2 bits, ste"] > max(after["2 bits, none"], after["2 bits, noise"])

# %% [markdown]
# Straight through wins, on this split. Noise helps less, and whatever the true gradient changed, it changed with one bias.
# Was noise a poor model of what rounding does, as in the histogram? Ask this network, its weights and its inputs, at 2 bits:

# %%
first = ptq[2].layers[0]
pairs = {"weights": (first.params["W"], first.w_qparams())}
pairs["inputs"] = (digits.x_train, first.quantize_x.observer.qparams(grid=grids["x_grid"]))
for name, (v, v_qp) in pairs.items():
    step = v_qp.scale if v_qp.axis is None else v_qp.scale[:, None]
    e = (fake_quantize(v, v_qp) - v) / step
    alike = abs(np.corrcoef(e.ravel(), v.ravel())[0, 1]) > 0.2
    print(f"{name:7s} variance {e.var() * 12:.1f} s**2 / 12, correlated: {alike}, no error: {(e == 0).mean():.0%}")

# %% [markdown]
# Not for these weights: with a scale a row, even 2 bits err by as much as the model says. For the inputs it is too harsh, since
# rounding leaves more than half of the pixels alone, the black ones above all. One difference remains in any case. Noise
# prepares a network for *any* error of that size. Straight through, it meets in training the very errors that it will run
# with, and can arrange itself around them.
#
# ## Was it the quantization?
#
# One split of 450 digits proves little, and one question is open: the trained network had 20 epochs more. So, at 8, 4 and 2 bits, on
# five splits, three arms:
#
# - **PTQ**: the float network, quantized.
# - **control**: the float network, trained for 20 more epochs *without* quantization, with the same optimizer and step size; then quantized.
# - **QAT**: the float network, prepared, trained for 20 epochs straight through.
#
# **Predict.** By how many points does QAT beat the control at 8, at 4, at 2 bits?

# %%
from copy import deepcopy

right = {(n_bits, arm): [] for n_bits in (8, 4, 2) for arm in ("PTQ", "control", "QAT")}
for seed in range(5):
    d, rng = data.digits(seed=seed), np.random.default_rng(seed)
    images, test = (d.x_train, d.y_train), (d.x_test, d.y_test)
    start = Sequential([Linear(64, 32, rng=rng), ReLU(), Linear(32, 10, rng=rng)])
    train(start, *images, optimizer=Adam(lr=3e-3), n_epochs=40, batch_size=64, rng=rng)
    longer = deepcopy(start)
    train(longer, *images, optimizer=Adam(lr=3e-3), rng=rng, **epochs)
    for n_bits, arm in right:
        source = longer if arm == "control" else start
        grids = {"w_grid": Grid(n_bits=n_bits), "x_grid": Grid(n_bits=n_bits, signed=False)}
        quantized = prepare(source, **grids, rule="ste", rng=rng)
        quantized.forward(d.x_train, training=True)
        if arm == "QAT":
            train(quantized, *images, optimizer=Adam(lr=3e-3), rng=rng, **epochs)
        right[n_bits, arm].append(100 * accuracy(quantized, *test))
print(len(right), "rows of", len(right[2, "QAT"]), "splits, each tested on", len(d.x_test), "digits")

# %% tags=["nbval-ignore-output"]
right = {key: np.array(row) for key, row in right.items()}
print("mean share of test digits right, in percent")
for n_bits in (8, 4, 2):
    means = [f"{arm} {right[n_bits, arm].mean():.1f}" for arm in ("PTQ", "control", "QAT")]
    print(f"{n_bits} bits:", ", ".join(means))
assert right[2, "QAT"].min() > right[2, "control"].mean()

# %% tags=["nbval-ignore-output"]
gain = {key: right[key[0], "QAT"] - right[key] for key in right if key[1] != "QAT"}
for (n_bits, other), points in gain.items():
    half = 2.776 * points.std(ddof=1) / np.sqrt(5)  # Student's t, 95 %, four degrees of freedom
    print(f"{n_bits} bits, QAT - {other:7s} {points.mean().round(1) + 0:5.1f} +- {half:4.1f} points")
assert min(gain[2, "PTQ"].min(), gain[2, "control"].min()) > 0
assert gain[2, "PTQ"].mean() > 8
assert gain[2, "control"].mean() > 10
assert all(abs(gain[n_bits, "control"].mean()) < 2 for n_bits in (8, 4))

# %% [markdown]
# At 2 bits training through rounding wins in every split, by more than ten points on average, and 20 more epochs of
# ordinary training bring nothing, or less than nothing: the gain comes from the quantization being there. At 8 bits there is nothing to gain. At 4
# bits QAT beats PTQ by half a point on average; but so does the control, and between the two no difference can be shown with
# five splits. **Without the control arm we would have reported a success.**
#
# The intervals come from differences on the same split, so that an easy split does not pass for a gain. The five splits draw
# from the same 1,797 digits, so the intervals are somewhat too narrow.

# %% tags=["nbval-ignore-output"]
bars = {f"{n} bits, {arm}": (v.mean(), v.min(), v.max()) for (n, arm), v in right.items()}
plots.bars(
    bars,
    title="Training through rounding pays where rounding hurts",
    alt="Nine bars of accuracy: at 8 and 4 bits PTQ, control and QAT are alike, at 2 bits QAT leads.",
    xlabel="test digits right, in percent; the lines span the five splits",
    highlight=[name for name in bars if name.endswith("QAT")],
)
assert bars["2 bits, QAT"][1] > bars["2 bits, control"][0]

# %% [markdown]
# ## What the weights do
#
# The single weight ended up trembling at a threshold. What about 2,048 weights of the first layer? Train the last 2-bit network and its
# control for 40 epochs more, and look where each latent weight lies *between* the two marks beside it: 0 and 1 are marks,
# $\tfrac12$ is the threshold.
#
# **Predict.** If the threshold were no special place, one weight in ten would lie within a twentieth of a step of it. How many do?

# %%
qat = quantized
for network in (qat, longer):
    train(network, *images, optimizer=Adam(lr=3e-3), n_epochs=40, batch_size=64, rng=rng)
control = prepare(longer, **grids, rule="ste", rng=rng)

# %%
used = d.x_train.std(axis=0) > 0  # some pixels are always black, and their weights never move
places = {}
for name, network in [("trained in float", control), ("trained through", qat)]:
    layer = network.layers[0]
    steps = (layer.params["W"] / layer.w_qparams().scale[:, None])[:, used]
    places[name] = steps - np.floor(steps)

# %% tags=["nbval-ignore-output"]
near = {name: (np.abs(place - 0.5) < 0.05).mean() for name, place in places.items()}
print("near a threshold:", ", ".join(f"{name} {share:.0%}" for name, share in near.items()))
assert near["trained through"] > near["trained in float"] + 0.03

# %% tags=["nbval-ignore-output"]
assert all(place.size == 32 * used.sum() for place in places.values())
plots.histogram(
    places,
    title="Trained through rounding, weights gather at the thresholds",
    alt="Two histograms over the position between two marks: flat for the network trained in "
    "float, with a hump at one half for the one trained through rounding.",
    xlabel="position between two marks",
    bins=20,
    vlines={"threshold": 0.5},
)

# %% [markdown]
# Nearly two in ten, and the network that was trained in float shows nothing of the kind. These are weights whose best
# value lies between two marks. Which mark they have at the end depends on the last few steps:

# %% tags=["nbval-ignore-output"]
layer = qat.layers[0]
before = np.rint(layer.params["W"] / layer.w_qparams().scale[:, None])
train(qat, *images, optimizer=Adam(lr=3e-3), n_epochs=1, batch_size=64, rng=rng)
changed = before != np.rint(layer.params["W"] / layer.w_qparams().scale[:, None])
print(f"{changed[:, used].mean():.1%} of the codes changed in one more epoch")
assert changed.any()

# %% [markdown]
# ## What was trained is what runs
#
# All this was float arithmetic that imitates integers. Does the imitation hold? Take the 2-bit network, quantize its weights and
# inputs for good, and run it with the integer product of lesson 06.

# %%
from quantlab import quantize
from quantlab.integer.matmul import int_matmul_zero_point

x, different = d.x_test, []
for layer in (qat.layers[0], qat.layers[2]):
    x_qp, w_qp = layer.quantize_x.observer.qparams(grid=Grid(n_bits=2, signed=False)), layer.w_qparams()
    x_q, w_q = quantize(np.maximum(x, 0), x_qp), quantize(layer.params["W"], w_qp)
    different += [len(np.unique(x_q)), len(np.unique(w_q))]
    acc = int_matmul_zero_point(x_q, w_q.T, x_qp.zero_point, 0)
    x = acc * (x_qp.scale * w_qp.scale) + layer.params["b"]

# %%
imitation = qat.forward(d.x_test)
print("at most four different integers everywhere:", max(different) <= 4)
print("largest difference below 0.0001:", np.abs(x - imitation).max() < 1e-4)
print("same answers:", (x.argmax(axis=1) == imitation.argmax(axis=1)).sum(), "of", len(x))

# %% [markdown]
# It holds: four integers, and the same answers.
#
# ## Where it breaks
#
# **"Fake quantization makes the model smaller."** It does not. The latent weights are float32, and stay so until someone converts
# them:

# %%
latent = [qat.params["0.W"], qat.params["2.W"]]
n_weights, n_bytes = sum(v.size for v in latent), sum(v.nbytes for v in latent)
n_scales = sum(len(v) for v in latent)
print(f"{n_weights:,} weights: {n_bytes:,} bytes in training")
print(f"packed in 2 bits: {n_weights * 2 // 8:,} bytes, and {n_scales * 4} for {n_scales} float32 scales")

# %% [markdown]
# **"It was trained with fake quantization, so it is quantized."** Check it. A published example attached an observer, which only
# watches, where the quantizer belonged; everything ran, and nothing was ever rounded. A row of $\hat W$ at 2 bits holds at most
# four values. Exercise 07.5 writes that test.
#
# **The rule is wrong, and useful.** Straight-through is not the gradient of the function that runs, so the usual theorems do
# not promise a minimum. Its trembling costs most where bits are few and networks have depthwise layers. What people do about it:
# freeze weights that oscillate, or pull them towards marks (Nagel et al. 2022); learn the scale, too, with a gradient of its own (Esser
# et al. 2020). Part III of this course takes these up.
#
# **It is not free.** QAT needs the training data, the training code and hours; PTQ needs a few hundred samples and minutes. At 8 bits,
# per channel, most networks do not need it, as here. Part II shows how far one gets without.

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. You train through rounding, with a small learning rate. After fifty steps not one code has changed. What do you
# look at to see whether it works?**
#
# <details><summary><b>a.</b> The latent weights: have they moved?</summary>
#
# > Yes. Each step pushes them a little, and the pushes add up. The single weight of this page needed 67 steps to its
# > first crossing, and all that time its code was 0. If the latent weights stand still too, no gradient gets through.
#
# </details>
# <details><summary><b>b.</b> The loss: it must have fallen.</summary>
#
# > No. The loss sees the *rounded* weights. As long as no code changes, they make the same loss, however far the
# > latent weights have moved. And it may fall without them: a bias is not rounded, and it moved even with rule
# > `none`.
#
# </details>
# <details><summary><b>c.</b> Nothing yet: in time, noise makes the codes jump.</summary>
#
# > No. With the true gradient they never jump: the flat line of this page stays flat for all 400 steps. It is not
# > noise that moves codes, but small pushes in one direction.
#
# </details>

# %% [markdown]
# **2. A 2-bit network, trained "with fake quantization", is as accurate as its float original. You suspect that
# nothing was ever rounded. Which check tells you?**
#
# <details><summary><b>a.</b> The size of the saved file: quantized to 2 bits, it must be a sixteenth.</summary>
#
# > No. Latent weights are float32 until somebody converts them, in a correct training too: 9,472 bytes here, where
# > packed codes take 592. The size says nothing yet.
#
# </details>
# <details><summary><b>b.</b> The number of different values in a row of the weights that the forward pass uses.</summary>
#
# > Yes. There may be at most four. An observer that only watches leaves them all different. The check needs no data
# > and no second training; exercise 07.5 is this test.
#
# </details>
# <details><summary><b>c.</b> The gradients of the weights: behind a rounding they must be zero.</summary>
#
# > No. With the *true* gradient, yes. Straight through, they are not zero, and that is its purpose. Gradients look
# > alright in both cases.
#
# </details>

# %% [markdown]
# **3. You train 20 more epochs with quantization and with a new augmentation of the images. The control trains 20
# more epochs without both, and is then quantized. You win by 3 points, in all of ten splits. What has been shown?**
#
# <details><summary><b>a.</b> That training through rounding brings 3 points.</summary>
#
# > No. The control had as many epochs, but not the augmentation. A control differs in *one* thing. At 4 bits the
# > control of this page gained as much as QAT, as far as five splits can tell.
#
# </details>
# <details><summary><b>b.</b> Nothing: the gain may be chance.</summary>
#
# > No. All ten splits point the same way; that is hardly chance. Something brought the 3 points. The trouble is that
# > you cannot say what, and more splits will not tell you.
#
# </details>
# <details><summary><b>c.</b> That one of the two changes helps, or both together.</summary>
#
# > Yes. To tell them apart, add an arm: the augmentation, without quantization, and then quantized. If it wins the 3
# > points as well, you have found a good augmentation.
#
# </details>

# %% [markdown]
# **4. The single weight of this page trembles at 0.5. You divide the learning rate by ten and wait ten times as long.
# What does it do?**
#
# <details><summary><b>a.</b> It trembles in a narrower band, and its code is 1 for 30 % of the time.</summary>
#
# > Yes. Nowhere is the push zero: below 0.5 it points up, above it points down. A smaller rate makes each move
# > smaller and changes neither direction. Only a rate that goes to zero stops it, and whether at 0 or at 1 is chance.
#
# </details>
# <details><summary><b>b.</b> It settles at 0.3, the target.</summary>
#
# > No. At a latent weight of 0.3 the code is 0, the gradient is $0 - 0.3$, and the weight is pushed on. It is the
# > *average of the codes* that meets the target, not the latent weight.
#
# </details>
# <details><summary><b>c.</b> It settles below 0.5, with the code 0, the mark nearest to the target.</summary>
#
# > No. 0 is the best single code. But with the code 0 the push is always upwards, and however small the steps are,
# > they lead to 0.5.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Fake quantization: round in the forward pass, keep a float latent weight, train that.
# - The true slope of rounding is 0 almost everywhere; its average is 1. Straight-through uses the average.
# - The gradient stops where the *rounded* value leaves the grid; equal to torch's to the bit.
# - A weight between two marks oscillates at the threshold; weights gather there.
# - Noise models rounding well at 8 and 4 bits, at 2 bits only if the scale fits; here straight-through was better all the same.
# - At 2 bits QAT won more than ten points over a control that trained as long; at 8 and 4 bits nothing that could be shown.
#
# **Exercises:** [07 Train through rounding](../exercises/07_train_through_rounding/07_train_through_rounding.ipynb): five, about
# 45 minutes. This is the end of Part I. Part II is quantization after training: it begins with
# [08 Quantize a network](08_quantize_a_network.ipynb).
# `quantlab start 07` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - Bengio, Léonard and Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional Computation",
#   2013, [arXiv:1308.3432](https://arxiv.org/abs/1308.3432): where the straight-through rule was written down.
# - Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference", 2018,
#   [arXiv:1712.05877](https://arxiv.org/abs/1712.05877): section 3, training with simulated quantization.
# - Défossez, Adi and Synnaeve, "Differentiable Model Compression via Pseudo Quantization Noise", 2021,
#   [arXiv:2104.09987](https://arxiv.org/abs/2104.09987).
# - Nagel et al., "Overcoming Oscillations in Quantization-Aware Training", 2022,
#   [arXiv:2203.11086](https://arxiv.org/abs/2203.11086): the one-weight experiment, and what to do about it.
# - Esser et al., "Learned Step Size Quantization", 2020, [arXiv:1902.08153](https://arxiv.org/abs/1902.08153).
