# %% [markdown]
# # 14 Measure sensitivity
#
# **You will** find out which layers of a network bear few bits, first by trying each alone, then by predicting it from
# gradients, and you will hold each prediction against what really happens. **You learn** SQNR, KL divergence and loss as
# measures of one change; the trace of a Hessian from random signs; the Fisher information; what a rank correlation of a few
# layers can show. **You need** lessons 07 to 09. About 45 minutes, difficulty 3 of 3.
# &nbsp; [previous: 13 Learn the quantizer](13_learn_the_quantizer.ipynb) · [next: 15 Allocate bits](15_allocate_bits.ipynb)
#
# "At 8 bits my network is fine, at 4 it is not. Somebody told me to keep the first and the last layer in 8 bits. Which layers
# is it really?" To keep the wrong layer in 8 bits costs memory and mends nothing. There are papers that predict the right
# ones from second derivatives, and tools that simply try. We do both, and compare.
#
# ## Three small networks
#
# The digits CNN of lesson 08 three times: three random starts, three ways of dividing the digits. We train on half of the
# digits, keep 200 others to *ask* (whatever predicts may look at these) and 700 to *judge*.

# %%
import numpy as np

from quantlab.lab import data, plots
from quantlab.lab.digits_cnn import digits_images, train_digits_cnn
from quantlab.nn.from_layers import network_from_layers
from quantlab.ptq.fold import fold

nets, ask, judge = [], [], []
for seed in range(3):
    split = data.digits(seed=seed, n_test=900)
    nets.append(fold(network_from_layers(train_digits_cnn(split, seed=seed))))
    x, y = digits_images(split.x_test).astype(np.float64), split.y_test
    ask.append((x[:200], y[:200]))
    judge.append((x[200:], y[200:]))

# %%
from quantlab.lab.intervals import wilson
from quantlab.mixed.gradients import weight_layers

for net, (x, y) in zip(nets, judge, strict=True):
    print(f"{len(y)} images, right: {wilson(int((net.forward(x).argmax(axis=1) == y).sum()), len(y)):.1%}")
names = weight_layers(nets[0])
print({name: nets[0][name].params["W"].size for name in names})

# %% [markdown]
# Seven layers with weights. `conv2` and `conv10` are depthwise; `conv8` holds two thirds of all weights. **Predict.** Round one
# layer to 2 bits and leave all others in float. Which layer hurts most, and which least?
#
# ## One layer at a time
#
# Replace $W_\ell$ by its rounded self (min-max, a scale a channel, as in lesson 08), run, compare the logits. Three measures:
#
# - **SQNR** of the logits, $10 \log_{10} \big( \sum z^2 / \sum (z - \hat z)^2 \big)$. Needs nothing but the logits.
# - **KL divergence** of the answers, $\frac1N \sum_n \sum_k p_{nk} \log (p_{nk} / q_{nk})$ with $p = \mathrm{softmax}(z)$,
#   $q = \mathrm{softmax}(\hat z)$. A change that moves all logits of an image alike counts nothing. Needs no labels.
# - **Loss increase**, $L(\hat z) - L(z)$: what one minds. Needs labels.

# %%
from quantlab.mixed.sensitivity import sensitivities

bits = [2, 3, 4, 5, 6, 8]
x, y = judge[0]
rows = sensitivities(nets[0], x, labels=y, n_bits=bits, per_channel=True)

# %%
for row in [row for row in rows if row.n_bits in (2, 8)]:
    measures = f"{row.sqnr_db:5.1f} dB   KL {row.kl:.6f}   loss {row.loss_increase:+.6f}"
    print(f"{row.name:9s} {row.n_bits} bits {measures}")

# %% [markdown]
# At 2 bits `conv4` and `conv8` hurt most in this network, `conv12` and `linear16` least. Of "the first and the last", the first
# comes third, and the last bears few bits better than nearly all others. All widths at once:

# %%
kl = np.array([row.kl for row in rows]).reshape(7, 6)
plots.heatmap(
    np.log10(kl),
    title="The width moves KL by orders of magnitude, and so does the layer",
    alt="Heat map of the decimal logarithm of the KL divergence, 7 layers by 6 widths. It falls from left to right in "
    "every row, from about 0 at 2 bits to about -5 at 8. linear16, conv12 and conv10 are lower than the others.",
    xlabel="bits",
    ylabel="layer",
    xticks=[str(b) for b in bits],
    yticks=names,
    annotate=True,
)

# %% [markdown]
# In some rows above the loss *fell* at 8 bits. **Predict.** Is that an effect? Draw the 700 images again and again, and look
# at the interval of the mean for `conv0`:

# %%
from quantlab.lab.intervals import bootstrap
from quantlab.mixed.sensitivity import changed_logits, round_weights

W = nets[0]["conv0"].params["W"]
before, after = changed_logits(
    nets[0], x, changes=[("conv0", round_weights(W, n_bits=b, per_channel=True)) for b in bits]
)

# %%
z = np.stack([before, *after])
losses = np.log(np.exp(z).sum(axis=2)) - z[:, np.arange(len(y)), y]  # one an image
for b, changed, row in zip(bits, losses[1:], rows, strict=False):
    increase = bootstrap(np.mean, changed - losses[0], rng=np.random.default_rng(b))
    print(f"{b} bits: loss {increase:+.5f}   KL {row.kl:.5f}")

# %% [markdown]
# From 4 bits on, 700 images do not show that rounding this layer costs anything. At 8 bits the interval lies just below 0; one in
# twenty does by chance, and if it is real, it is the slope: rounding moves the weights a little, as often down the slope
# as up. **A small increase of loss measures luck.** KL cannot be negative, and needs fewer images: it compares an answer with
# the network's own answer, and not with a label.
#
# ## Can we know without trying?
#
# Trying costs one run a layer and width: 42 here, 400 for 100 layers and 4 widths. A gradient knows all layers at once. Expand
# the loss in one layer's weights (Taylor):
#
# $$ L(W + \Delta W) - L(W) = g \cdot \Delta W + \tfrac12\, \Delta W^T H\, \Delta W + \dots $$
#
# At a minimum $g = 0$, and what a small change costs is the curvature $H$, the Hessian. It has as many entries as weights
# *squared*: 21 million for `conv8`. But a product $Hv$ needs only two gradients:
#
# $$ H v \approx \frac{g(W + \epsilon v) - g(W - \epsilon v)}{2 \epsilon} $$
#
# `quantlab` takes gradients of the folded network by its own backward passes. The depthwise `conv2` has 144 weights,
# so few that its Hessian can be computed whole. torch does it by going backward twice; 50 images will do:

# %%
import torch

from quantlab.lab.network_torch import network_module
from quantlab.mixed.hessian import hessian_vector_product

x, y = ask[0][0][:50], ask[0][1][:50]
module = network_module(nets[0], shape=(8, 8, 1)).double()
W, key, images = module.get_parameter("conv2.weight").detach(), "conv2.weight", (torch.from_numpy(x),)
H = torch.autograd.functional.hessian(
    lambda w: torch.nn.functional.cross_entropy(
        torch.func.functional_call(module, {key: w.reshape(W.shape)}, images), torch.from_numpy(y)
    ),
    W.ravel(),
).numpy()

# %%
v = np.random.default_rng(0).choice([-1.0, 1.0], size=nets[0]["conv2"].params["W"].shape)
ours, theirs = hessian_vector_product(nets[0], x, y, name="conv2", v=v).ravel(), H @ v.ravel()
print(f"H is {H.shape}; compared {ours.size} entries of H v, of up to {np.abs(theirs).max():.2f}")
print("all within 0.000001:", np.abs(ours - theirs).max() < 1e-6)
assert np.abs(ours - theirs).max() < 1e-6

# %% [markdown]
# **Predict.** The step was $\epsilon = 10^{-7}$, which looks reckless. What does a more careful $10^{-3}$ give?

# %%
for step in (1e-7, 1e-3, 1e-1):
    error = hessian_vector_product(nets[0], x, y, name="conv2", v=v, step=step).ravel() - theirs
    print(f"step {step:g}: error {np.abs(error).max() / np.abs(theirs).max():.2f} times the largest entry")
W = nets[0]["conv2"].params["W"]
d_W = round_weights(W, n_bits=4, per_channel=True) - W
print(f"a weight is {np.abs(W).mean():.2f} in the mean, and 4 bits move it by {np.abs(d_W).mean():.3f}")

# %% [markdown]
# Worse than useless. A ReLU has a kink. Between kinks the network is smooth, and there lives the Hessian that torch
# computes; when one unit of one image crosses its kink within the step, the gradient *jumps*, and we divide the jump by
# a small number. A small step rarely meets one; float64 is what allows so small a step.
#
# Mind what this says about the method: **rounding is no small step.** It crosses many kinks. Whether a curvature between kinks
# predicts its cost is a question for measurement.
#
# ## The trace, from random signs
#
# What do we want of $H$? Suppose that rounding errors know nothing of it. Then, on average over all directions of one length,
# $\Delta W^T H\, \Delta W = \frac{\mathrm{tr} H}{n} \lVert \Delta W \rVert^2$. HAWQ-V2 (Dong et al. 2020) ranks layers by
# that:
#
# $$ \Omega_\ell = \tfrac12\, \frac{\mathrm{tr}\, H_\ell}{n_\ell}\, \lVert \Delta W_\ell \rVert^2 $$
#
# (with the factor of 1/2 left out; the order is the same). And the trace needs no Hessian (Hutchinson 1990). Take random signs
# $v_i = \pm 1$. Since $\mathbb{E}[v_i v_j]$ is 1 for $i = j$ and 0 otherwise,
#
# $$ \mathbb{E}[v^T H v] = \sum_{ij} H_{ij}\, \mathbb{E}[v_i v_j] = \mathrm{tr}\, H, \qquad
# \mathrm{Var}[v^T H v] = 2 \sum_{i \ne j} H_{ij}^2 $$

# %%
signs = np.random.default_rng(1).choice([-1.0, 1.0], size=(2000, 144))
products = np.einsum("mi,ij,mj->m", signs, H, signs)
spread = np.sqrt(2 * ((H**2).sum() - (np.diag(H) ** 2).sum()))

# %%
print(f"trace {np.trace(H):.2f}; mean of 2,000 products {products.mean():.2f}")
print(f"spread of a product {products.std():.2f}; by the formula {spread:.2f}")
for m in (6, 60):
    print(f"standard error with {m:2d} probes: {spread / np.sqrt(m) / np.trace(H):.0%} of the trace")

# %% [markdown]
# Six probes are rough, but layers may differ by more than that. For every layer, on the 200 images:

# %%
from quantlab.mixed.hessian import hessian_trace

rng = np.random.default_rng(0)
traces = [hessian_trace(net, x, y, n_probes=6, rng=rng) for net, (x, y) in zip(nets, ask, strict=True)]
for name, t in traces[0].items():
    print(f"{name:9s} trace {t.value:6.2f} +- {t.standard_error:5.2f}   mean of a weight {t.value / t.n_weights:.5f}")

# %% [markdown]
# `conv8` has by far the largest trace because it has the most weights; per weight it is one of the first four, and the
# last three are well below them.
#
# ## The Fisher information, from squares
#
# Cheaper still: take the gradient of each image's own loss, square it weight by weight, average.
#
# $$ F_i = \frac1N \sum_n \Big( \frac{\partial L_n}{\partial w_i} \Big)^2, \qquad
# L(W + \Delta W) - L(W) \approx \tfrac12 \sum_i F_i\, \Delta W_i^2 $$
#
# Why should squared slopes be a curvature? If labels are *drawn* from the network's own probabilities, the expected $F$ is the
# diagonal of the Hessian of the KL divergence, exactly: that is the Fisher information. With the labels of the data it
# is called *empirical*; it is near the other as far as the network's probabilities are honest. No step, no probes, never negative, and
# one backward pass an image serves all layers.
#
# **Predict.** Somebody squares *after* the mean: one backward pass for the whole batch. What comes out?

# %%
from quantlab.mixed.gradients import draw_labels, loss_gradients
from quantlab.mixed.hessian import fisher_diagonal

fishers = [fisher_diagonal(net, x, y) for net, (x, y) in zip(nets, ask, strict=True)]
x, y = ask[0]
drawn = fisher_diagonal(nets[0], x, draw_labels(nets[0].forward(x), rng=np.random.default_rng(0)))

# %%
_, mean_gradient = loss_gradients(nets[0], x, y)
for name in names:
    sums = f"Fisher, drawn {drawn[name].sum():6.2f}, empirical {fishers[0][name].sum():6.2f}"
    print(
        f"{name:9s} trace {traces[0][name].value:6.2f}   {sums}   squared mean {(mean_gradient[name] ** 2).sum():.3f}"
    )

# %% [markdown]
# The sum of the drawn $F$ and the trace of $H$ are alike, one from first and the other from second derivatives (both are
# estimates from few draws). The empirical one is smaller in all but two layers. The squared mean is a hundred times too small: the slopes of single images
# point in all directions and cancel, which is what it means to be trained.
#
# ## Who ranks right?
#
# Predictions from the 200 images to ask, the truth from the 700 to judge, for 3 networks of 7 layers at 2, 3 and 4 bits.
# Beside the predictors stand the three measures themselves, *tried* on the 200 images, and three controls that know no
# gradient: the size of the rounding error, the number of weights, and dice.

# %%
widths, shape = [2, 3, 4], (21, 3)  # layers of all networks, widths
tried, true = (
    [
        row
        for net, (x, y) in zip(nets, images, strict=True)
        for row in sensitivities(net, x, labels=y, n_bits=widths, per_channel=True)
    ]
    for images in (ask, judge)
)
print(f"{len(true)} rows; the first is {true[0].name} at {true[0].n_bits} bits")

# %%
rounding = []  # for each row: trace, Fisher diagonal, change of the weights
for net, trace, fisher in zip(nets, traces, fishers, strict=True):
    for name in names:
        W = net[name].params["W"]
        rounding += [(trace[name], fisher[name], round_weights(W, n_bits=b, per_channel=True) - W) for b in widths]
print(f"conv0 at 2, 3, 4 bits: |dW|^2 = {', '.join(f'{(d_W**2).sum():.2f}' for *_, d_W in rounding[:3])}")

# %%
from quantlab.mixed.hessian import predict_from_diagonal, predict_from_trace

values = {
    "loss, tried": [row.loss_increase for row in tried],
    "KL, tried": [row.kl for row in tried],
    "-SQNR, tried": [-row.sqnr_db for row in tried],
    "Hessian trace": [predict_from_trace(trace, d_W) for trace, _, d_W in rounding],
    "Fisher": [predict_from_diagonal(fisher, d_W) for _, fisher, d_W in rounding],
    "|dW|^2": [(d_W**2).sum() for *_, d_W in rounding],
    "number of weights": [d_W.size for *_, d_W in rounding],
    "random": np.random.default_rng(3).random(63),
}
predicted = {name: np.reshape(v, shape) for name, v in values.items()}
for name, p in predicted.items():
    print(f"{name:18s} conv0 {p[0, 2]:.4f}   linear16 {p[6, 2]:.4f}")

# %% [markdown]
# Spearman's correlation compares orders. We take it within each width, over the 21 layers, and average the three. The interval draws
# whole layers, with all their widths: a layer at 3 bits is no news after the same layer at 4.

# %%
from quantlab.lab.intervals import spearman

loss = np.reshape([row.loss_increase for row in true], shape)
kl = np.reshape([row.kl for row in true], shape)
found = {}
for name, p in predicted.items():
    for truth in (loss, kl):
        found.setdefault(name, []).append(
            bootstrap(
                lambda a, b: np.mean([spearman(a[:, k], b[:, k]) for k in range(3)]),
                *(p, truth),
                rng=np.random.default_rng(0),
            )
        )
    print(f"{name:18s} loss {found[name][0]:+.2f}   KL {found[name][1]:+.2f}")

# %%
plots.bars(
    {name: (of_kl.value, of_kl.low, of_kl.high) for name, (_, of_kl) in found.items()},
    title="Gradients rank layers by far better than sizes do; trying ranks best",
    alt="Bars of the rank correlation with the true KL divergence, with 95 % intervals. KL and SQNR tried on other "
    "images are above 0.9, Hessian trace and Fisher above 0.8, and the three controls at or below 0.",
    xlabel="mean rank correlation with KL, 21 layers",
    highlight=["Hessian trace", "Fisher"],
)

# %% [markdown]
# The loss that was measured on 200 images ranks the loss on 700 others with 0.7; the KL of the same 200 images ranks it
# with 0.85. That is noise, and against such a truth the predictors, at 0.7, could hardly do better. Against KL, which is less
# noisy, trying wins and both predictors follow. **The number of weights is no guide**, and neither is the size of the
# rounding error. Is the Fisher information better than the trace? On the same layers:

# %%
difference = bootstrap(
    lambda a, b, t: np.mean([spearman(a[:, k], t[:, k]) - spearman(b[:, k], t[:, k]) for k in range(3)]),
    *(predicted["Fisher"], predicted["Hessian trace"], kl),
    rng=np.random.default_rng(0),
)
print(f"Fisher minus trace, 21 layers: {difference:+.2f}")

# %%
one = bootstrap(spearman, predicted["Fisher"][:7, 2], kl[:7, 2], rng=np.random.default_rng(0))
print(f"Fisher, one network, 4 bits, {one.n} layers: {one:+.2f}")

# %% [markdown]
# Not settled. The seven layers of one network say still less: look at that interval. Our 21 are not independent
# either, three networks of one design whose `conv12` resemble each other, so the intervals are rather too narrow.
#
# ## A trap: pool the widths
#
# 63 points look better than 21. **Predict.** What does Spearman say over all of them, and what to a predictor that knows the
# width and nothing of the layer?

# %%
pooled = {"width alone": np.tile([-2, -3, -4], (21, 1)), **predicted}
for name in ("width alone", "Fisher", "Hessian trace", "number of weights"):
    print(f"{name:18s} {spearman(pooled[name].ravel(), kl.ravel()):+.2f}")

# %% [markdown]
# That 2 bits are worse than 4 is no discovery, yet it earns a correlation that would look well in a table. Whoever reports a rank
# correlation over layers and widths at once should print this line beside it.
#
# ## And the size?
#
# Bits will have to be weighed against each other, so the order is not all. True KL over predicted, the median of the 21:

# %%
for name in ("Hessian trace", "Fisher"):
    ratio = np.median(kl / predicted[name], axis=0)
    print(f"{name:14s}", ", ".join(f"{b} bits {r:.1f}" for b, r in zip(widths, ratio, strict=True)))

# %% [markdown]
# At 3 and 4 bits the trace gets the size of the middle layer right, with nothing fitted. (Why so well, in spite of the kinks,
# this page does not show.) The empirical Fisher is too low, as its sums were. At 2 bits both are: the change is too large
# for a parabola.
#
# ## Fifty layers of a real network
#
# EfficientNet-Lite0, 50 layers, 4 bits, one layer at a time. Six crops of six photographs judge. The prediction sees eight crops of four
# *other* photographs. (The intervals below draw layers; what other photographs would say is not in them.) There are no labels: the network draws them itself, so $F$ is the Fisher information proper.

# %%
from quantlab.lab.efficientnet import efficientnet_network
from quantlab.lab.fidelity import fidelity_set
from quantlab.lab.models import efficientnet_input

network = fold(efficientnet_network())
to_ask, to_judge = fidelity_set(seed=0, n_calibration=8, n_test=6)
real = sensitivities(network, efficientnet_input(to_judge.images), n_bits=[4], per_channel=True)
order = sorted(real, key=lambda row: row.sqnr_db)
for row in order[:5] + order[-3:]:
    print(f"{row.name:26s} {row.n_weights:6,} weights  {row.sqnr_db:4.1f} dB   KL {row.kl:.3f}")

# %%
total = sum(row.n_weights for row in real)
for k in (5, 10):
    print(f"the {k} worst layers hold {sum(row.n_weights for row in order[:k]) / total:.1%} of the weights")
place = [row.name for row in order].index("_fc") + 1
print(f"_fc, the last layer, holds {real[-1].n_weights / total:.0%}, and is number {place} of {len(real)}")

# %% [markdown]
# The first layer is the worst, the last one is in the middle. The worst five hold so few weights that more bits for them cost nearly nothing: that is
# why mixed precision pays. **Predict.** How well do the gradients of eight crops rank these fifty?

# %%
x = efficientnet_input(to_ask.images)
fisher = fisher_diagonal(network, x, draw_labels(network.forward(x), rng=np.random.default_rng(0)))
real_kl, d_W = [row.kl for row in real], {}
for row in real:
    W = network[row.name].params["W"]
    d_W[row.name] = round_weights(W, n_bits=4, per_channel=True) - W

# %%
real_predicted = {
    "Fisher": [predict_from_diagonal(fisher[name], d) for name, d in d_W.items()],
    "|dW|^2": [(d**2).sum() for d in d_W.values()],
    "number of weights": [d.size for d in d_W.values()],
    "random": np.random.default_rng(3).random(50),
}
for name, p in real_predicted.items():
    interval = bootstrap(spearman, np.array(p), np.array(real_kl), rng=np.random.default_rng(0))
    print(f"{name:18s} {interval:+.2f}, n = {interval.n}")
ratio = np.array(real_kl) / real_predicted["Fisher"]
near = (np.abs(np.log(ratio)) < np.log(3)).sum()
print(f"true / predicted: from {ratio.min():.2f} to {ratio.max():.2f}, within a factor of three {near} of {len(ratio)}")

# %%
plots.lines(
    {"50 layers": real_predicted["Fisher"]},
    {"50 layers": real_kl},
    title="Eight crops and their gradients foretell most of 50 layers within a factor of three",
    alt="Scatter plot on logarithmic axes: predicted against true KL divergence of 50 layers, a band along the "
    "diagonal from 0.002 to 1.",
    xlabel="half the sum of F dW^2, nats",
    ylabel="true KL, nats",
    logx=True,
    logy=True,
    join=False,
)

# %% [markdown]
# ## Where it breaks
#
# **Layers together.** All of this rounds one layer. Do the single costs add up? Round all seven layers of the first digits network:

# %%
from quantlab.mixed.sensitivity import mean_kl

x, _ = judge[0]
for b in (2, 3, 4, 5):
    single = sum(row.kl for row in rows if row.n_bits == b)
    rounded = {name: {"W": round_weights(nets[0][name].params["W"], n_bits=b, per_channel=True)} for name in names}
    together = mean_kl(nets[0].forward(x), nets[0].with_params(rounded).forward(x))
    print(f"{b} bits: the sum of single KL {single:.4f}, all at once {together:.4f}")

# %% [markdown]
# Nearly, while they are small; at 2 bits not at all. Allocation by a sum, as everybody does it, rests on that.
#
# **Another rounding, another sensitivity.** $\Delta W$ came from min-max. Clipping, a scale a tensor or AdaRound (lesson 09) give another
# one. AdaRound chooses $\Delta W$ by the outputs of the layer, and then "rounding knows nothing of $H$" is false.
#
# **Activations** were left in float. They have a sensitivity of their own, which has to be tried.
#
# **An untrained or badly trained network** has a slope, and a Hessian with negative eigenvalues; its trace can be anything.
#
# **A cheap predictor for a cheap measurement.** Trying ranked best, and took one run a layer and width. Predict where runs are dear: large
# models, many widths, a search in every epoch.
#
# ## What the field does
#
# HAWQ (2019) used the largest eigenvalue, HAWQ-V2 the trace, HAWQ-V3 the same with an integer program. BRECQ takes the Fisher information as
# the weight of each output's error. For large language models SqueezeLLM weights its clustering with the Fisher diagonal, GPTQ uses a layer's own
# $X^T X$. Production tools mostly try: AIMET, ONNX Runtime and TensorFlow's debugger report errors layer by layer.

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. A tool offers a preset for EfficientNet-Lite0: first and last layer at 8 bits, all others at 4. Weights only, a
# scale a channel. What do you make of it?**
#
# <details><summary><b>a.</b> Take it: one sees the input, the other makes the answer; all depends on them.</summary>
#
# > No. Half of the story is true here. The last layer is number 20 of 50: nineteen others hurt more, each alone. In
# > the digits networks it bore few bits better than nearly all others.
#
# </details>
# <details><summary><b>b.</b> Leave both at 4: the first has 864 weights, too few to matter.</summary>
#
# > No. It is the worst of all, with 3.0 dB: everything else is computed from what it puts out. Over the fifty layers
# > the number of weights has a rank correlation of $-0.37$ with KL. Few weights are a reason to *pay* for a layer,
# > not to neglect it.
#
# </details>
# <details><summary><b>c.</b> Keep the first at 8, and the next worst ones in place of the last.</summary>
#
# > Yes. The last layer holds 28 % of the weights, the five worst together 0.1 %, so it costs hundreds of times as
# > much to keep. The next worst four stand in the first two blocks. Other networks have other lists, and trying costs
# > one run a layer.
#
# </details>

# %% [markdown]
# **2. On 200 labelled images you round one layer at a time to 4 bits. With `conv0` the loss changes by $-0.0020$ and
# KL is 0.0052; with `linear16` the loss changes by $+0.0006$ and KL is 0.0004. Which of them bears 4 bits better?**
#
# <details><summary><b>a.</b> <code>linear16</code>.</summary>
#
# > Yes. By KL, rounding `conv0` changed the answers more than ten times as much. That its loss fell means that some
# > moved towards their labels by luck; other images need not be so lucky. On 700 others, KL tried on 200 ranked even
# > the *loss* better (0.85) than the loss tried on the same 200 did (0.71).
#
# </details>
# <details><summary><b>b.</b> <code>conv0</code>: rounding made its loss smaller, and one minds the loss.</summary>
#
# > No. One minds the loss, but on all images, not on these 200. On 700 the interval for `conv0` at 4 bits reaches
# > from $-0.00815$ to $+0.01333$: even they do not show the sign.
#
# </details>
# <details><summary><b>c.</b> That cannot be told: both changes of the loss are noise.</summary>
#
# > No. They are, and by the loss alone it could not be told. But KL compares each answer with the network's own
# > answer. There are no labels in it to be lucky with, and it cannot be negative, so it needs fewer images.
#
# </details>

# %% [markdown]
# **3. A predictor of sensitivity is praised with a rank correlation of 0.80, over 63 points: 21 layers at 2, 3 and 4
# bits. How well does it rank the layers?**
#
# <details><summary><b>a.</b> Well: over 63 points, 0.80 cannot be chance.</summary>
#
# > No. Chance is not the suspect. The points differ in two things, width and layer, and the correlation does not say
# > which of them was predicted. (Nor are they 63: a layer at 3 bits is no news after the same layer at 4.)
#
# </details>
# <details><summary><b>b.</b> Perhaps not at all.</summary>
#
# > Yes. On this page a "predictor" that knows the width and nothing of the layer has $+0.80$. Ask for the correlation
# > within each width, with an interval that draws layers; the Fisher information, for example, then has 0.86 in place
# > of 0.95.
#
# </details>
# <details><summary><b>c.</b> With more than 0.80 at each width: mixing widths only adds noise.</summary>
#
# > No. So it is for one that does not know the width: the number of weights has $-0.37$ within and $-0.24$ pooled.
# > But from 2 to 4 bits the sum of single KL falls from 4.6395 to 0.0468. Who knows the width gets that order for
# > nothing, and the pooled number rises.
#
# </details>

# %% [markdown]
# **4. To save time, somebody takes one backward pass for the mean loss of a batch and squares that gradient. On this
# page the result is about a hundred times below the Fisher diagonal. What happens with a batch ten times as large?**
#
# <details><summary><b>a.</b> It comes nearer to the Fisher diagonal, as estimates do with more images.</summary>
#
# > No. More images make it a better estimate of something else: of the squared slope of the *whole* loss. That is
# > near 0 in a trained network, however much the single images pull.
#
# </details>
# <details><summary><b>b.</b> It stays: the mean of ten times as many images is the same mean.</summary>
#
# > No. The mean of the squares would stay. But this is the square of a mean in which slopes of either sign cancel,
# > and the more there are, the better they do. Two images with slopes $+1$ and $-1$: mean of the squares 1, square of
# > the mean 0.
#
# </details>
# <details><summary><b>c.</b> It becomes smaller still.</summary>
#
# > Yes. If single slopes cancel but for chance, the square of their mean is about $F/N$. With 200 images that is
# > $0.005\,F$; `conv8` here has $0.892 / 105.37 = 0.008$ of the empirical $F$. Only the slope that all images share
# > remains when $N$ grows. So square first, then average.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Round one layer, leave the rest: SQNR and KL rank layers well on few images; a small increase of loss is noise.
# - $Hv$ comes from two gradients; keep the step tiny, or kinks of ReLU spoil it. Random signs give the trace.
# - The Fisher diagonal needs squares of single gradients: square first, then average.
# - Both ranked 21 layers with 0.8 to 0.9 against KL; which is better, 21 layers do not show. Sizes do not rank at all.
# - On EfficientNet-Lite0 the first layers are the worst, and hold hardly any weights.
# - Correlate within a width; draw layers, not points.
#
# **Exercises:** [14 Measure sensitivity](../exercises/14_measure_sensitivity/14_measure_sensitivity.ipynb): four, about 35 minutes. Then
# [15 Allocate bits](15_allocate_bits.ipynb), which spends bits where they count.
# `quantlab start 14` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - Dong et al., "HAWQ-V2: Hessian Aware trace-Weighted Quantization of Neural Networks", 2020,
#   [arXiv:1911.03852](https://arxiv.org/abs/1911.03852). Yao et al., "HAWQ-V3: Dyadic Neural Network Quantization", 2021,
#   [arXiv:2011.10680](https://arxiv.org/abs/2011.10680).
# - Yao et al., "PyHessian: Neural Networks Through the Lens of the Hessian", 2020,
#   [arXiv:1912.07145](https://arxiv.org/abs/1912.07145): traces by double backward.
# - Kunstner, Balles, Hennig, "Limitations of the empirical Fisher approximation for natural gradient descent", 2019,
#   [arXiv:1905.12558](https://arxiv.org/abs/1905.12558).
# - Li et al., "BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction", 2021,
#   [arXiv:2102.05426](https://arxiv.org/abs/2102.05426).
# - Kim et al., "SqueezeLLM: Dense-and-Sparse Quantization", 2024, [arXiv:2306.07629](https://arxiv.org/abs/2306.07629).
# - Hutchinson, "A stochastic estimator of the trace of the influence matrix for Laplacian smoothing splines", Communications in
#   Statistics 19, 1990.
