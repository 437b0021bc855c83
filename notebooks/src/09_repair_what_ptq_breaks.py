# %% [markdown]
# # 09 Repair what PTQ breaks
#
# **You will** quantize a real ImageNet network until it fails, find the channels that failed, and repair it without any
# training, one method at a time, each with its number. **You learn** cross-layer equalization, bias absorption, bias
# correction, AdaRound, and how to say how sure you are. **You need** lesson 08. About 60 minutes, difficulty 3 of 3; the page computes for one
# to two.
# &nbsp; [previous: 08 Quantize a network](08_quantize_a_network.ipynb) ·
# [next: 10 Convert with TFLite](10_convert_with_tflite.ipynb)
#
# "I quantized ResNet to int8 and lost nothing. The same script turns my mobile network into a random generator. Is 8 bits
# too little for it?" It is not. One decision in the script is wrong for this network, and even that one can be
# repaired afterwards, on a laptop, without a label and without a gradient through the network.
#
# ## The patient, and what we ask it
#
# EfficientNet-Lite0: 49 convolutions, 16 of them depthwise, ReLU6, and one classifier. We have no labels for our photographs, but we do
# not need any: we ask whether the quantized network still says what the float network said. Crops of four photographs
# are for calibration; crops of six other ones are the questions.

# %%
import numpy as np
from threadpoolctl import threadpool_limits

from quantlab.lab import models, plots
from quantlab.lab.fidelity import Judge, ask, fidelity_set

limits = threadpool_limits(1)  # one thread a matrix product: the same sums on any number of cores
calibration, test = fidelity_set(seed=9)
assert not set(calibration.pictures) & set(test.pictures)
x_calibration, x = models.efficientnet_input(calibration.images), models.efficientnet_input(test.images)
print(f"{len(x_calibration)} crops of {', '.join(np.unique(calibration.pictures))} to calibrate on")
print(f"{len(x)} crops of {', '.join(np.unique(test.pictures))} to judge by")

# %% [markdown]
# The batch norms are folded into the layers in front of them, as in lesson 08. torch has a function for that; ours must
# agree with it in every layer.

# %%
import torch
from torch.nn.utils.fusion import fuse_conv_bn_weights

from quantlab.lab.efficientnet import efficientnet_network
from quantlab.ptq.fold import batch_norm_statistics, fold

with_norms = efficientnet_network()
network, statistics = fold(with_norms), batch_norm_statistics(with_norms)
print(f"{len(with_norms.nodes)} nodes, {len(network.nodes)} after folding {len(statistics)} batch norms")

# %%
norms = [node for node in with_norms.nodes if node.op == "batch_norm"]
furthest = []
for norm in norms:
    before, ours = with_norms[norm.inputs[0]].params, network[norm.inputs[0]].params["W"]
    W, b, *bn = (
        torch.from_numpy(v).double()
        for v in (before["W"], before["b"], *(norm.params[k] for k in ("mean", "variance", "gamma", "beta")))
    )
    theirs, _ = fuse_conv_bn_weights(W, b, bn[0], bn[1], 1e-3, bn[2], bn[3])
    furthest.append(np.abs(ours - theirs.detach().numpy()).max() / np.abs(ours).max())
assert max(furthest) < 2**-23
print(f"{len(furthest)} layers compared with torch's; all within 2**-23 of the layer's largest weight")

# %%
y = ask(network.forward, x)
assert np.abs(ask(with_norms.forward, x[::10]) - y[::10]).max() < 1e-3
print("12 crops with and without batch norms: every logit within 0.001")

# %% [markdown]
# ## The collapse
#
# Now the usual recipe: 8 bits, min-max ranges from the calibration crops, **one scale a weight tensor**, one scale and
# zero point an activation.
#
# **Predict.** On how many of the 120 crops does the int8 network name the class that the float network names?

# %% tags=["nbval-ignore-output"]
from quantlab.ptq.calibrate import calibrate
from quantlab.ptq.quantize import quantize_network

ranges = calibrate(network, x_calibration)
per_tensor = quantize_network(network, ranges, weight_bits=8, per_channel=False)
judge = Judge(x, y, test.pictures)
answers = {"per tensor": judge.ask(per_tensor.simulate)}
print(judge.score(answers["per tensor"]))
print(f"as if all crops were independent: top-1 {judge.score(answers['per tensor']).top1_crops:.0%}")
assert judge.score(answers["per tensor"]).top1.value < 0.6

# %% [markdown]
# About every second answer is gone. *Top-1*: the share of crops with the same winner. *Top-5*: the float winner is still
# among the five first. SQNR compares all 1,000 logits. The brackets are 95 % intervals, and there are two, because the 120 crops are
# not 120 independent questions: they come from six photographs, and crops of one photograph fail together. The wide interval draws whole
# photographs (a bootstrap over six clusters is itself rough), the narrow one, Wilson's, believes in 120 independent crops.
# To compare two networks we shall use the same crops for both, and the interval of the *difference*.
#
# ## Where it dies
#
# Weights or activations? And which layers? Quantize a part, and leave the rest alone.
#
# **Predict.** The depthwise layers hold 4 % of the weights. How much of the damage do they do?

# %%
from quantlab.ptq.equalize import is_depthwise

rounded = per_tensor.dequantized()
layers = [node for node in network.nodes if "W" in node.params]
depthwise = [node.name for node in layers if is_depthwise(node)]
share = sum(network[name].params["W"].size for name in depthwise) / sum(node.params["W"].size for node in layers)
print(f"{len(depthwise)} depthwise layers, {share:.1%} of the weights")

# %% tags=["nbval-ignore-output"]
few = judge.every(4)  # 30 crops, five of each photograph
others = [node.name for node in layers if node.name not in depthwise]
damaged = {}
for part, names in {"all": depthwise + others, "depthwise": depthwise, "others": others}.items():
    damaged[part] = few.ask(network.with_params({name: {"W": rounded[name].params["W"]} for name in names}).forward)
    print(f"{part:10s} {few.score(damaged[part])}")
gain = few.gain(damaged["others"], damaged["depthwise"])
print(f"others rounded better than depthwise rounded by {gain:.1f} dB, on the same crops")
assert gain.value > 0

# %% [markdown]
# With only the weights rounded and the activations left in float the network is as broken as before, so it is the weights.
# And the depthwise layers alone, a twenty-fifth of all weights, do more harm than all the others together.
#
# Here is one of them, before and after folding:

# %%
W_raw, W = (net["_blocks.7._depthwise_conv"].params["W"] for net in (with_norms, network))
step = np.abs(W).max() / 127
plots.channel_ranges(
    W,
    axis=0,
    title="Folded: one channel sets the step for 480",
    alt="Bars of 480 depthwise channels. Most are shorter than a tenth of the widest.",
    highlight=1,
    limits={"10 steps": 10 * step, "-10 steps": -10 * step},
)

# %%
from quantlab import fake_quantize
from quantlab.core.metrics import sqnr_db
from quantlab.ptq.quantize import weight_qparams

for name, V in [("as trained", W_raw), ("folded", W)]:
    one, many = (fake_quantize(V, weight_qparams(V, n_bits=8, per_channel=each)) for each in (False, True))
    print(f"{name:10s} {sqnr_db(V, one):.1f} dB per tensor, {sqnr_db(V, many):.1f} dB per channel")

# %%
width, width_raw = (np.abs(V).max(axis=(1, 2, 3)) for V in (W, W_raw))
print(f"widest / median channel: {(width_raw.max() / np.median(width_raw)):.1f} before", end=", ")
print(f"{width.max() / np.median(width):.1f} after folding")
print(f"channels within half a step, so that all their codes are 0: {(width < step / 2).sum()}")
print(f"channels that are exactly 0: {(width == 0).sum()}")

# %% [markdown]
# Folding multiplies each channel by $\gamma / \sqrt{\sigma^2 + \epsilon}$, and that factor differs from channel to channel. The median
# channel, a seventeenth as wide as the widest, has some 15 codes in place of 255. In a dense layer every output sums over many inputs, and
# errors average out; a depthwise output is nine weights of a single channel, and nothing averages.
#
# And some channels are dead: training has driven their $\gamma$ to zero. One scale a channel would be $0 / 127$ there, and $0 / 0$ is NaN.
# `choose_qparams` has a smallest scale for this case. A converter of your own needs one, too.
#
# ## Move the range: equalization
#
# The width of a channel is arbitrary. For every $s > 0$
#
# $$ \mathrm{relu}(h / s) \cdot s = \mathrm{relu}(h), $$
#
# so we may divide an output channel by $s$, weights and bias, and multiply that input channel of the next layer by $s$. The
# network computes the same. If channel $i$ has the range $r_i$ in one layer and $r'_i$ in the next, they become
# $r_i / s$ and $r'_i s$, and are equal for
#
# $$ s_i = \sqrt{r_i / r'_i} $$

# %%
from quantlab.ptq.equalize import equalization_scales

r, r_next = np.array([8.0, 1.0, 0.5]), np.array([2.0, 4.0, 0.5])
(s,) = equalization_scales(r, r_next)
assert np.allclose(s, np.sqrt(r / r_next))
print("s", s, " ranges", r / s, "and", r_next * s)

# %% [markdown]
# With a depthwise layer between two others, all three meet at the cube root of the product of their ranges.
#
# There is a catch. The published method is for ReLU. This network has ReLU6, and $\min(h / s, 6) \cdot s$ is not
# $\min(h, 6)$. The paper replaces ReLU6 by ReLU first.
#
# **Predict.** What does this replacement alone cost here, in float?

# %% tags=["nbval-ignore-output"]
from dataclasses import replace

from quantlab.nn.network import Network

unclipped = few(Network([replace(n, activation=n.activation and "relu") for n in network.nodes]).forward)
print("float, ReLU in place of ReLU6:", unclipped)
assert unclipped.sqnr.value < 3

# %% [markdown]
# More than quantization did: ReLU6 does real work in this network. So we do what is exact: the limit moves with its channel,
# to $6 / s_i$, and the activation becomes a clip with a limit for every channel. The price: a fused ReLU6 knows one
# limit; a runtime needs a ReLU and a minimum with a constant.

# %%
from quantlab.ptq.equalize import equalize

equalized, scales = equalize(network)
difference = np.abs(few.ask(equalized.forward) - few.reference).max()
assert difference < 1e-3
print(f"{len(scales)} layers rescaled; float logits differ by less than 0.001: {difference < 1e-3}")

# %%
V = equalized["_blocks.7._depthwise_conv"].params["W"]
V_hat = fake_quantize(V, weight_qparams(V, n_bits=8, per_channel=False))
print(f"SQNR of the depthwise weights, per tensor: {sqnr_db(V, V_hat):.1f} dB")

# %%
ranges_equalized = calibrate(equalized, x_calibration)
quantized = quantize_network(equalized, ranges_equalized, weight_bits=8, per_channel=False)
answers["equalized"] = judge.ask(quantized.simulate)

# %% tags=["nbval-ignore-output"]
print(judge.score(answers["equalized"]))
gain = judge.gain(answers["equalized"], answers["per tensor"])
print(f"better than per tensor by {gain:.1f} dB, on the same crops")
assert gain.value > 2

# %% [markdown]
# Still one scale a tensor, still 8 bits, and many of the lost answers are back. The interval of the difference stays above zero, although
# the intervals of the two rungs themselves are wide: hard photographs are hard for both.
#
# **A control.** Is it the scales, or is it any rescaling? Deal the same scales to the wrong channels: the float network does not
# mind.

# %% tags=["nbval-ignore-output"]
from quantlab.ptq.equalize import rescale

rng = np.random.default_rng(9)
shuffled = rescale(network, {name: rng.permutation(s) for name, s in scales.items()})
control = quantize_network(shuffled, calibrate(shuffled, x_calibration[::4]), weight_bits=8, per_channel=False)
in_float, in_int8 = few(shuffled.forward), few(control.simulate)
print(f"float {in_float}\nint8  {in_int8}")
assert in_float.sqnr.value > 80 and in_int8.top1.value < 0.2

# %% [markdown]
# Two networks that compute the same in float, and one of them is worthless in int8.
#
# ## What equalization costs
#
# A channel that was divided by a small $s$ has larger activations now, and they share one scale.

# %% tags=["nbval-ignore-output"]
tops = [float(255 * quantized.activations[name].scale) for name in scales if network[name].activation == "relu6"]
only_weights, everything = few(quantized.dequantized().forward), few.score(answers["equalized"][::4])
print(f"widest range of an activation: was 6, is now {max(tops):.0f}")
print(f"weights alone rounded      {only_weights}\nweights and activations    {everything}")
assert max(tops) > 60

# %% [markdown]
# The paper's remedy is to **absorb** high biases: where a channel before its ReLU is normal with mean $\beta$ and standard deviation
# $\gamma$ (the batch norm says so), it hardly ever lies below $c = \max(0, \beta - 3 \gamma)$. Take $c$ out of
# it, and give the next layer $W c$ more bias. We skip pairs whose second layer pads its input, because a padded zero does not know
# of $c$. How exact is "hardly ever"?

# %% tags=["nbval-ignore-output"]
from quantlab.ptq.absorb import absorb_biases
from quantlab.ptq.equalize import scale_statistics

absorbed, taken = absorb_biases(equalized, scale_statistics(statistics, scales))
in_float = few(absorbed.forward)
print(f"{sum((c > 0).sum() for c in taken.values())} channels of {len(taken)} layers; in float: {in_float}")
assert 10 < in_float.sqnr.value < 60

# %% [markdown]
# It is an approximation, and in float alone it is not far above the best int8 network that this page will end with. Here it
# is not worth its price, and the ladder goes on without.
#
# ## Put the mean back: bias correction
#
# Rounded weights are $W + e$. An output is off by $e x$. Some of that is noise around a mean, and the mean is a constant:
#
# $$ \mathrm{E}[\hat y - y] = e\, \mathrm{E}[x] $$
#
# After a ReLU, $\mathrm{E}[x]$ is not zero. So each channel is off by a constant, which one number can take back: its bias.
#
# **Predict.** In the depthwise layer above, rounded per tensor: how much of its squared error is the mean?

# %%
from quantlab.nn.network import apply_operation

node, coarse = network["_blocks.7._depthwise_conv"], rounded["_blocks.7._depthwise_conv"]
inputs = network.activations(x_calibration[::6], names=node.inputs)[node.inputs[0]]
error = apply_operation(coarse, inputs) - apply_operation(node, inputs)
mean = error.mean(axis=(0, 1, 2), dtype=np.float64)
share = (mean**2).sum() / np.square(error, dtype=np.float64).mean(axis=(0, 1, 2)).sum()
print(f"the mean makes up {share:.0%} of the squared error of {len(mean)} channels")

# %%
from quantlab.ptq.bias_correction import mean_shift

mean_x = inputs.mean(axis=(0, 1, 2), dtype=np.float64)
predicted = mean_shift(node.params["W"], coarse.params["W"], mean_x)
agreement = np.corrcoef(predicted, mean)[0, 1]
assert agreement > 0.97
print(f"(W_hat - W) E[x] against the measured means: correlation above 0.97: {agreement > 0.97}")

# %% [markdown]
# (Not exactly equal, because the border of the image sees padding.) For the whole network, the float and the rounded one run side by
# side, and each layer's mean output is put right before the next one is looked at: a later layer also makes up for what is left of earlier shifts.

# %%
from quantlab.ptq.bias_correction import correct_biases

few_samples = x_calibration[::5]  # 12 crops, three of each photograph
biases = correct_biases(equalized, quantized.dequantized(), few_samples)
corrected = quantize_network(equalized.with_params(biases), ranges_equalized, weight_bits=8, per_channel=False)
answers["equalized, corrected"] = judge.ask(corrected.simulate)

# %% tags=["nbval-ignore-output"]
print(judge.score(answers["equalized, corrected"]))
gain = judge.gain(answers["equalized, corrected"], answers["equalized"])
print(f"better than equalized alone by {gain:.1f} dB, on the same crops")
assert gain.value > 2

# %% [markdown]
# No weight changed, only biases. The logits are nearer by several decibels; top-1 hardly moves, and its interval says that
# 120 crops of six photographs could not show such a difference anyway. This is why the ladder is judged by SQNR.
#
# **Two controls.** The same corrections, dealt to the wrong channels. And corrections that were measured on noise, uniform random pixels, in place of
# photographs. **Predict** both.

# %%
pixels = rng.integers(0, 256, (12, 224, 224, 3), dtype=np.uint8)
on_noise = correct_biases(equalized, quantized.dequantized(), models.efficientnet_input(pixels))
dealt = {}
for name, change in biases.items():
    b = equalized[name].params["b"]
    dealt[name] = {"b": b + rng.permutation(change["b"] - b)}

# %% tags=["nbval-ignore-output"]
controls = {"not corrected": everything, "from photographs": few.score(answers["equalized, corrected"][::4])}
for name, changes in [("to wrong channels", dealt), ("from noise", on_noise)]:
    q = quantize_network(equalized.with_params(changes), ranges_equalized, weight_bits=8, per_channel=False)
    controls[name] = few(q.simulate)
for name, result in controls.items():
    print(f"{name:17s} {result}")
assert controls["to wrong channels"].sqnr.value < everything.sqnr.value
assert controls["from noise"].sqnr.value > everything.sqnr.value + 1

# %% [markdown]
# The first control fails, as it should: by SQNR it is worse than no correction. The second is the surprise. Noise does nearly
# as well as photographs. The mean of a channel is mostly a property of the network, less of the picture: batch norms have pinned it. (Compare
# lesson 05, where noise ruined *ranges*. A range hangs on extremes, a mean does not.)
#
# Then do we need data at all? The batch norm says that the channel is normal with mean $\beta$ and standard deviation $|\gamma|$, and
# what a ReLU6 makes of it has a closed form. With $\alpha = -\mu / \sigma$ and $\beta' = (6 - \mu) / \sigma$:
#
# $$ \mathrm{E}[\mathrm{relu6}(x)] = 6\,(1 - \Phi(\beta')) + \mu\,(\Phi(\beta') - \Phi(\alpha))
#    + \sigma\,(\varphi(\alpha) - \varphi(\beta')) $$

# %%
from scipy import stats

from quantlab.ptq.bias_correction import clipped_normal_mean

mu, sigma = statistics[node.inputs[0]]
by_formula = clipped_normal_mean(mu, sigma, high=6.0)
normal = stats.norm(mu[:, None].astype(float), np.maximum(sigma[:, None], 1e-12).astype(float))
by_quantiles = np.clip(normal.ppf((np.arange(4000) + 0.5) / 4000), 0, 6).mean(axis=1)
assert np.abs(by_formula - by_quantiles).max() < 1e-3
print(f"formula against 4,000 quantiles of scipy's normal: within 0.001 in {len(mu)} channels")

# %%
plots.lines(
    by_formula,
    {"one channel": mean_x},
    title="The batch norm knows the means, more or less",
    alt="480 points around the diagonal: measured mean against the mean from the formula.",
    xlabel="mean from the batch norm",
    ylabel="mean on 10 calibration crops",
    join=False,
)

# %% tags=["nbval-ignore-output"]
from quantlab.ptq.bias_correction import correct_biases_from_statistics

without_data = correct_biases_from_statistics(equalized, quantized.dequantized(), scale_statistics(statistics, scales))
q = quantize_network(equalized.with_params(without_data), ranges_equalized, weight_bits=8, per_channel=False)
found = few(q.simulate)
print("corrected without data:", found)
assert found.sqnr.value > everything.sqnr.value + 1

# %% [markdown]
# That is how a method can be called *data-free*. (Here only the correction is. The ranges of the activations still come from
# photographs; the paper takes them from the batch norm, too, as some multiple of $\gamma$ around $\beta$.)
#
# ## Or one scale a channel
#
# Today most runtimes take a weight scale for every output channel, TFLite by default. Then a narrow channel costs nothing, and no equalization is
# needed.

# %%
per_channel = quantize_network(network, ranges, weight_bits=8, per_channel=True)
answers["per channel"] = judge.ask(per_channel.simulate)

# %% tags=["nbval-ignore-output"]
print(judge.score(answers["per channel"]))
for other in ("equalized, corrected", "equalized"):
    gain = judge.gain(answers["per channel"], answers[other])
    print(f"better than {other} by {gain:.1f} dB")
assert gain.value > 2

# %% [markdown]
# Per channel clearly beats equalization. Against equalization *with* bias correction look at the interval before you name a
# winner. And nothing forbids to correct the biases of a per-channel network:

# %%
biases = correct_biases(network, per_channel.dequantized(), few_samples)
best = quantize_network(network.with_params(biases), ranges, weight_bits=8, per_channel=True)
answers["per channel, corrected"] = judge.ask(best.simulate)

# %% tags=["nbval-ignore-output"]
print(judge.score(answers["per channel, corrected"]))
gain = judge.gain(answers["per channel, corrected"], answers["per channel"])
print(f"better than per channel alone by {gain:.1f} dB")
assert gain.value > 2

# %% [markdown]
# The whole ladder at 8 bits, weights and activations, 120 crops:

# %% tags=["nbval-ignore-output"]
ladder = {name: judge.score(logits) for name, logits in answers.items()}
for name, found in ladder.items():
    print(f"{name:22s} {found}")
assert ladder["per tensor"].top1.value < 0.6 < ladder["equalized"].top1.value
assert ladder["per channel, corrected"].top1.value > 0.85

# %% tags=["nbval-ignore-output"]
plots.bars(
    {name: (100 * f.top1.value, 100 * f.top1.low, 100 * f.top1.high) for name, f in ladder.items()},
    title="One network, always 8 bits",
    alt="Five bars of top-1 agreement with intervals over photographs, rising from per tensor to per channel "
    "with corrected biases.",
    xlabel="% of crops with the float network's class",
    highlight=["per tensor"],
)
assert len(ladder) == 5

# %%
order = ["per tensor", "equalized", "equalized, corrected", "per channel, corrected"]
for worse, better in zip(order[:-1], order[1:], strict=True):
    step_up = ladder[better].sqnr.value - ladder[worse].sqnr.value
    assert step_up > 2
    print(f"{better:22s} over {worse:22s} more than 2 dB: {step_up > 2}")
assert ladder["per channel"].sqnr.value > ladder["equalized"].sqnr.value + 2

# %% [markdown]
# ## Four bits: rounding to nearest is not the best rounding
#
# With 4 bits a weight has 15 marks, and the step is 18 times that of 8 bits. Now *how* one rounds matters.
#
# Look at one output with weights $w$. Rounding leaves errors $e$, and the expected squared error of the output is
#
# $$ \mathrm{E}[(e \cdot x)^2] = e^T H e, \qquad H = \mathrm{E}[x x^T] $$
#
# If the inputs were uncorrelated, H would be diagonal, and every $|e_i|$ as small as possible would be best. After a ReLU
# no input is negative, and H is far from diagonal: errors of one sign add up. A weight rounded the "wrong" way can cancel its neighbours.
# With nine weights we can try all $2^9$ ways:

# %%
from itertools import product

from quantlab import dequantize, quantize
from quantlab.ptq.round_network import layer_moments

node = network["_blocks.2._depthwise_conv"]
inputs = network.activations(x_calibration[::12], names=node.inputs)[node.inputs[0]]
moments = layer_moments(node, inputs)
W = node.params["W"].reshape(144, 9)
qp = weight_qparams(W, n_bits=4, per_channel=True)

# %%
down = np.floor(W / qp.scale[:, None])
ways = np.array(list(product([0, 1], repeat=9)))
e = np.clip(down[:, None] + ways, -7, 7) * qp.scale[:, None, None].astype(np.float64) - W[:, None]
cost = np.einsum("cwi,cij,cwj->cw", e, moments.H, e)
print(f"{cost.shape[1]} ways to round each of {len(W)} channels")

# %%
e = dequantize(quantize(W, qp), qp) - W.astype(np.float64)
nearest = np.einsum("ci,cij,cj->c", e, moments.H, e)
live = nearest > 1e-6 * nearest.max()
best_way = (nearest <= cost.min(axis=1) * 1.001)[live].mean()
print(f"nearest is the best of 512 ways in {best_way:.0%} of the channels that are not dead")
print(f"sum over channels: nearest costs {nearest.sum() / cost.min(axis=1).sum():.0f} times the optimum")

# %% [markdown]
# $2^9$ can be tried, $2^{480}$ cannot. **AdaRound** gives each weight a number $V$, and rounds softly:
#
# $$ \hat w = s \cdot \mathrm{clip}\big(\lfloor w / s \rfloor + h(V),\, q_{\min},\, q_{\max}\big), \qquad
#    h(V) = \mathrm{clip}\big(1.2\, \sigma(V) - 0.1,\, 0,\, 1\big) $$
#
# Then gradient descent on $e^T H e$, plus a penalty on undecided weights, $1 - |2h - 1|^\beta$, whose exponent falls from
# 20 to 2: first only what is nearly decided is pulled in, at the end everything.

# %%
from quantlab.ptq.adaround import rectified_sigmoid, regularizer, round_adaptively

V = np.linspace(-4, 4, 161)
penalty = {f"penalty, beta {b}": np.array([regularizer(v[None], beta=b)[0] for v in V]) for b in (20, 6, 2)}
plots.lines(
    V,
    {"h(V)": rectified_sigmoid(V)[0], **penalty},
    title="A choice between down (0) and up (1)",
    alt="h rises from 0 to 1 and is flat beyond 2.4 on both sides; three penalties are 1 in the middle and fall "
    "to 0 at both ends, the one with beta 20 only there.",
    xlabel="V",
    ylabel="h, penalty",
    dots=False,
)

# %%
codes = round_adaptively(W, moments, qp=qp)
e = dequantize(codes, qp) - W.astype(np.float64)
learned = np.einsum("ci,cij,cj->c", e, moments.H, e)
assert (learned <= nearest * 1.000001).all()
print(f"error of nearest more than 4 times that of AdaRound: {nearest.sum() > 4 * learned.sum()}")
near = (learned <= 2 * cost.min(axis=1))[live].mean()
print(f"within twice the best of 512 in more than 90 % of the live channels: {near > 0.9}")

# %% [markdown]
# Now the first half of the network at 4 bits (stem and blocks 0 to 7), one scale a channel, the rest in float. Layer after layer: each one
# gets the inputs that the layers rounded before it really hand over, and is asked for the *float* output. So it also makes up for their errors.

# %%
from quantlab.ptq.round_network import adaround_network, round_to_nearest

early = [node.name for node in layers[:24]]
assert early[-1] == "_blocks.7._project_conv"
qps = {name: weight_qparams(network[name].params["W"], n_bits=4, per_channel=True) for name in early}
to_nearest = round_to_nearest(network, qps)
learned = adaround_network(network, qps, x_calibration[::3], n_steps=200)
alone = adaround_network(network, qps, x_calibration[::3], n_steps=200, float_inputs=True)
print(f"{len(early)} layers, {sum(network[name].params['W'].size for name in early):,} weights")

# %% [markdown]
# First each layer for itself, with float inputs, on *test* crops: the squared error of its output, nearest over AdaRound. The second
# number leaves the mean of each channel out, since a bias could take that back.

# %%
inputs = network.activations(x[::12], names={network[name].inputs[0] for name in early})
factors = []
for name in early:
    X = inputs[network[name].inputs[0]]
    target = apply_operation(network[name], X)
    off = [np.float64(apply_operation(net[name], X) - target) for net in (to_nearest, alone)]
    whole, spread = [np.square(d).mean() for d in off], [d.var(axis=(0, 1, 2)).mean() for d in off]
    factors.append((whole[0] / whole[1], spread[0] / spread[1]))

# %%
factors = np.array(factors)
assert np.median(factors[:, 0]) > 2
print(f"median over {len(early)} layers: more than halved: {np.median(factors[:, 0]) > 2}")
print(f"with means left out, more than halved: {np.median(factors[:, 1]) > 2}")

# %% tags=["nbval-ignore-output"]
plots.lines(
    np.arange(len(early)),
    {"squared error": factors[:, 0], "without its mean": factors[:, 1]},
    title="Much of what AdaRound wins is the mean",
    alt="Factor by which AdaRound lowers the output error of 24 layers: from little more than 1 to over 30; with the "
    "mean left out it is below 2 for most.",
    xlabel="layer",
    ylabel="error of nearest / AdaRound",
    logy=True,
)
print("medians", np.median(factors, axis=0).round(2))
assert np.median(factors[:, 0]) > np.median(factors[:, 1]) > 1

# %% [markdown]
# An honest comparison therefore lets nearest have its bias correction, too. And a control: round every weight up or down at
# random, with the probability that makes it right on average.

# %%
at_random = {}
for name, qp in qps.items():
    steps = network[name].params["W"] / qp.scale.reshape(-1, 1, 1, 1)
    codes = np.clip(np.floor(steps + rng.random(steps.shape)), -7, 7).astype(np.int8)
    at_random[name] = {"W": dequantize(codes, qp)}
arms = {"random": network.with_params(at_random), "nearest": to_nearest}
arms["nearest, corrected"] = to_nearest.with_params(correct_biases(network, to_nearest, few_samples))
arms |= {"AdaRound, alone": alone, "AdaRound in turn": learned}

# %% tags=["nbval-ignore-output"]
four = {name: few.ask(net.forward) for name, net in arms.items()}
for name, logits in four.items():
    print(f"{name:19s} {few.score(logits)}")
gain = few.gain(four["AdaRound in turn"], four["nearest, corrected"])
print(f"AdaRound in turn better than nearest, corrected by {gain:.1f} dB, on the same {len(few.x)} crops")
assert gain.value > 4

# %% [markdown]
# Nearest at 4 bits is a ruin, and corrected biases mend little of it. AdaRound with every layer for itself (*alone*) is
# better; AdaRound *in turn*, where each layer makes up for the ones before it, brings most answers back. It changed
# nothing but the direction of rounding: the same marks, the same number of bits.
#
# ## Where it breaks
#
# **"8 bits are too few for mobile networks."** You saw the same network with the same 8 bits at both ends of the ladder.
#
# **"AdaRound cannot lose, it only adds information."** It can. It fits a layer with thousands of choices to the calibration
# inputs. Late layers have 7 x 7 places an image, and there it starts to learn the photographs by heart:

# %%
late = network["_conv_head"]
W = late.params["W"].reshape(1280, 320)
qp = weight_qparams(W, n_bits=4, per_channel=True)
seen, unseen = (network.activations(v, names=late.inputs)[late.inputs[0]] for v in (x_calibration[::6], x[::12]))
fitted = [quantize(W, qp), round_adaptively(W, layer_moments(late, seen), qp=qp, n_steps=150, lr=0.05)]
for name, values in [("seen", seen), ("unseen", unseen)]:
    H = layer_moments(late, values).H
    a, b = (np.einsum("oi,ij,oj->", v, H, v) for v in (dequantize(q, qp).astype(np.float64) - W for q in fitted))
    print(f"{name:6s} crops: AdaRound has less error than nearest: {a > b}")

# %% [markdown]
# Ten crops are 490 places, for 320 inputs with 2 choices each. Use as many *different* pictures as you can get, and check on others.
#
# **"The order of the rungs is a law."** It is what these six photographs say of this network. The bootstrap over six clusters is
# rough; the difference between *equalized, corrected* and *per channel* is one that it does not settle. A labelled set would measure
# accuracy in place of agreement: if you have Imagenette on your disk, `quantlab.lab.labelled.labelled_images(folder, ...)` reads it.
#
# **What the field does now.** Per-channel weights are the default nearly everywhere, so equalization has become a tool for
# hardware with one scale a tensor; the idea lives on where activations are the problem (lesson 20). Rounding by
# reconstruction grew from layers to blocks (BRECQ, 2021), and AdaRound stands in Qualcomm's AIMET beside the first two methods of this page. For
# language models, where gradient descent for every layer is too slow, GPTQ solves the same quadratic form in one pass (lesson 19).

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. Two networks give the same float logits to a thousandth, crop for crop. You quantize both in the same way: 8
# bits, one scale a weight tensor. What do you expect?**
#
# <details><summary><b>a.</b> The same answers: rounding starts from the same function.</summary>
#
# > No. Rounding starts from weights and ranges, and knows nothing of the function. Many sets of weights compute one
# > function, and some of them are much easier to round.
#
# </details>
# <details><summary><b>b.</b> Different codes, but about the same damage: both have 8 bits.</summary>
#
# > No. 8 bits are the bits of the widest channel. On this page the median channel of one folded layer, a seventeenth
# > as wide as the widest, had some 15 codes left.
#
# </details>
# <details><summary><b>c.</b> Perhaps one good network and one useless one.</summary>
#
# > Yes. That is the control of this page. Scales dealt to the wrong channels left the float logits as they were (SQNR
# > above 80 dB), and in int8 the network named the float class on fewer than one crop in five. The right scales
# > helped by more than 2 dB.
#
# </details>

# %% [markdown]
# **2. Your int8 network needs calibration, and you have no pictures, only random pixels. On this page bias correction
# from random pixels did nearly as well as from photographs. What do you conclude?**
#
# <details><summary><b>a.</b> Random pixels may do for the biases, and not for the ranges.</summary>
#
# > Yes. A bias takes back a mean, and batch norms have pinned the means: even the formula that sees no data at all
# > helped. A range hangs on extremes, and which extremes occur depends on what the filters are shown.
#
# </details>
# <details><summary><b>b.</b> They will do for both: either way one collects statistics of activations.</summary>
#
# > No. So it seems, and it holds for the means. But a range is made of the rarest values. In lesson 05 noise spoiled
# > the range of one block, and that of another came out better by luck: nothing to rely on.
#
# </details>
# <details><summary><b>c.</b> They will do for neither: what is measured on the wrong data is wrong.</summary>
#
# > No. A good reflex, but too strong. The cell with the two controls asserts that biases from noise beat no
# > correction by more than 1 dB. The control that fails is the one with the right corrections in the wrong channels.
#
# </details>

# %% [markdown]
# **3. At 4 bits you round every weight of a layer to the nearest mark. No other choice of marks has a smaller error
# in any weight. And the error of the layer's outputs?**
#
# <details><summary><b>a.</b> It is the smallest, too: outputs are sums of weights times inputs.</summary>
#
# > No. The step from weights to outputs is linear, but an output adds up errors, and these have signs. What counts is
# > $e^T H e$. Only a diagonal H makes the nearest marks the best choice for any weights.
#
# </details>
# <details><summary><b>b.</b> It can be several times as large as with other marks on the same grid.</summary>
#
# > Yes. Of the 512 ways to round a depthwise channel, nearest was the best in 38 % of the live channels, and in sum
# > its error was 8 times the optimum. A weight rounded the "wrong" way can cancel what its neighbours do.
#
# </details>
# <details><summary><b>c.</b> On average the marks make no difference: errors of both signs cancel.</summary>
#
# > No. They would for inputs with mean zero that have nothing to do with each other. After a ReLU no input is
# > negative, so errors of one sign add up, and the output moves. That is also what bias correction takes back.
#
# </details>

# %% [markdown]
# **4. AdaRound rounds the last convolution of this network to 4 bits, fitted to ten crops. On these ten its output
# error is below that of rounding to nearest. And on other photographs?**
#
# <details><summary><b>a.</b> Below it as well: the choices were made for real activations.</summary>
#
# > No. For the activations of these ten. With 490 places for 320 inputs there are hardly more equations than choices
# > in one output channel, and a choice that helps there need not help elsewhere.
#
# </details>
# <details><summary><b>b.</b> Never above it: where it cannot gain, it stays with the nearest mark.</summary>
#
# > No. It leaves the nearest mark wherever that lowers the error on what it sees. Nothing in its loss says that it
# > should stay near for what it has not seen.
#
# </details>
# <details><summary><b>c.</b> Possibly above it.</summary>
#
# > Yes. On this page it was, in this very layer: less error on the crops that it had seen, more on the others. (In
# > the 24 early layers, with more places an image, it held: over them the median error on test crops was more than
# > halved.) Judge it on pictures that it was not fitted to.
#
# </details>

# %% [markdown]
# ## Summary
#
# - int8 fails on this network because of one decision: one weight scale a tensor, after folding made channels unequal.
# - Equalization moves range between layers at no cost in float, if ReLU6's limit moves along; activations grow wider.
# - Rounding shifts means. A bias takes it back, from data, from noise, or from the batch norm alone.
# - One scale a channel solves what equalization repairs; bias correction helps there, too.
# - Nearest minimizes errors of weights, AdaRound errors of outputs, and in sequence also those of the layers before.
# - Same crops for both, interval of the difference, whole photographs drawn; and a control for every repair.
#
# **Exercises:** [09 Repair what PTQ breaks](../exercises/09_repair_what_ptq_breaks/09_repair_what_ptq_breaks.ipynb): five, about 45
# minutes. &nbsp; **Next:** [10 Convert with TFLite](10_convert_with_tflite.ipynb).
# `quantlab start 09` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - Nagel, van Baalen, Blankevoort, Welling, "Data-Free Quantization Through Weight Equalization and Bias Correction", 2019,
#   [arXiv:1906.04721](https://arxiv.org/abs/1906.04721).
# - Nagel, Amjad, van Baalen, Louizos, Blankevoort, "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020,
#   [arXiv:2004.10568](https://arxiv.org/abs/2004.10568).
# - Li et al., "BRECQ: Pushing the Limit of Post-Training Quantization by Block Reconstruction", 2021,
#   [arXiv:2102.05426](https://arxiv.org/abs/2102.05426).
# - Nagel et al., "A White Paper on Neural Network Quantization", 2021, [arXiv:2106.08295](https://arxiv.org/abs/2106.08295): the
#   order in which to try these things.
# - Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019,
#   [arXiv:1905.11946](https://arxiv.org/abs/1905.11946); its Lite form drops squeeze-and-excite and swish.
