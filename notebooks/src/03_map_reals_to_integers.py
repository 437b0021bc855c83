# %% [markdown]
# # 03 Map reals to integers
#
# **You will** turn tensors of a real network into int8 and back, predict the error before you measure it, and
# find a bug that passed its tests.
#
# **You learn** scale and zero point; symmetric and asymmetric; rounding error and clipping error; $s^2/12$; 6 dB a bit;
# why two correct tools give different integers.
#
# **You need** lesson 02 (what the bits of an int8 mean). About 45 minutes, difficulty 2 of 3.
#
# [previous: 02 Encode numbers](02_encode_numbers.ipynb) · [next: 04 Choose granularity](04_choose_granularity.ipynb)
#
# ---
#
# *Are 8 bits enough for this layer? Would 6 do?* Most people find out by trying. For rounding there is a formula,
# and it needs one number from the tensor. At the end of this page you predict the noise of a real layer to a
# tenth of a decibel **without quantizing it**.
#
# On the way there is a bug. A published int8 quantizer took `[1, 2, 3, 4, 5, 6]` to integers and back, and the `6`
# returned as `5`. Its tests were green. One line was wrong, and one word in the test.

# %% [markdown]
# ## A ruler with eight marks
#
# With $b$ bits we can name $2^b$ integers. Lay them along the real line, evenly, like the marks of a ruler. Two numbers
# say how it lies: the distance between marks, the **scale** $s$, and the integer that stands for zero, the
# **zero point** $z$. Dividing by $s$ counts in marks, rounding picks one, $z$ shifts to the integers that we have, and
# clipping keeps to them:
#
# $$ q = \mathrm{clip}\!\left(\mathrm{round}\!\left(\frac{x}{s}\right) + z,\; q_{\min},\; q_{\max}\right) \qquad\qquad
#    \hat{x} = (q - z)\, s $$
#
# To cover a range $[\ell, h]$, spread the $2^b - 1$ gaps over it, and look up where zero lands:
#
# $$ s = \frac{h - \ell}{q_{\max} - q_{\min}} \qquad\qquad z = q_{\min} - \mathrm{round}\!\left(\frac{\ell}{s}\right) $$
#
# **Predict.** Three bits, signed: the integers are $-4 \ldots 3$. The values below span $[-1.2,\, 2.3]$. What are $s$
# and $z$? Write both down. This one is quick by hand.

# %%
import numpy as np

from quantlab import Grid, QParams, choose_qparams, dequantize, fake_quantize, quantize

x = np.array([-1.2, -0.3, 0.0, 0.6, 2.3], dtype=np.float32)
int3 = Grid(n_bits=3)
qp = choose_qparams(x.min(), x.max(), grid=int3)
print(f"scale {qp.scale:.3f}, zero point {qp.zero_point}")

# %% [markdown]
# $3.5 / 7 = 0.5$. Zero lies $2.4$ marks above the lowest one. There is no mark $2.4$, so it becomes $2$, and
# $z = -4 + 2 = -2$. There and back:

# %%
q = quantize(x, qp)
for row in zip(x, q, dequantize(q, qp), strict=True):
    print("x {:5.1f}   code {:2d}   comes back as {:5.1f}".format(*row))

# %%
from quantlab.lab import plots

plots.number_line(
    {"marks": dequantize(np.arange(-4, 4), qp), "x": x},
    title="Rounding z slides the ruler: from [-1.2, 2.3] to [-1, 2.5]",
    alt="Eight marks from -1 to 2.5, half a unit apart, above five values from -1.2 to 2.3; zero has a mark.",
)

# %% [markdown]
# The ruler does not start at $-1.2$: rounding $z$ slid it by $0.2$, less than half a gap. In return **zero has a mark
# of its own**, which is worth more. Convolutions pad with zeros, ReLU makes zeros, masks are zeros. An error in zero
# is made millions of times, always in the same direction. Without the slide it would be this large:

# %%
unshifted = x.min() + qp.scale * np.arange(8)
print("marks", unshifted.round(2))
print(f"0.0 comes back as {unshifted[np.abs(unshifted).argmin()]:.1f}")

# %% [markdown]
# The map is one line of numpy, so write it once yourself:


# %%
def to_codes(x, s, z, quant_min, quant_max):
    """q = clip(round(x / s) + z), the definition in ONNX's QuantizeLinear."""
    return np.clip(np.rint(x / s) + z, quant_min, quant_max).astype(np.int8)


# %% [markdown]
# ## Two tensors from a real network
#
# The rest of the page needs real data: what flows through EfficientNet-Lite0 (trained on ImageNet) when it looks at a
# cat, and one of its weight tensors.

# %%
from quantlab.lab import data, models

cat = data.photographs(["cat"])["cat"][38:262, 113:337]
layer = "_blocks.3._depthwise_conv"
acts = models.efficientnet_activations(cat[None], layers=[layer], side="input")[layer]
weights = models.efficientnet_weights()["_blocks.15._expand_conv.weight"]
print("activations", acts.shape, f"from {acts.min():.1f} to {acts.max():.1f}")
print("weights    ", weights.shape, f"from {weights.min():.3f} to {weights.max():.3f}")

# %%
plots.images(
    {"what the network sees": cat, "channel 12 of 144": acts[0, 12] / 6, "channel 20": acts[0, 20] / 6},
    columns=3,
    title="A photograph, and two of the 144 feature maps inside block 3",
    alt="A cat's face beside two feature maps of 56 by 56 pixels, in which its eyes and stripes show.",
)

# %% [markdown]
# Your one line and the library agree on all of them:

# %%
qp = choose_qparams(acts.min(), acts.max(), grid=Grid(n_bits=8))
by_hand = to_codes(acts, qp.scale, qp.zero_point, -128, 127)
assert np.array_equal(by_hand, quantize(acts, qp, dialect="onnx"))
print(f"scale {qp.scale:.5f}, zero point {qp.zero_point}, {acts.size:,} codes compared, all equal")

# %% [markdown]
# (What `dialect=` is about comes below: there is more than one correct way to round.)
#
# ## Symmetric or asymmetric
#
# The two tensors have different shapes.

# %%
plots.histogram(
    {"activations": acts},
    logy=True,
    title="After ReLU6: nothing below 0, nothing above 6, a spike at each end",
    alt="Histogram of activations from 0 to 6, share on a logarithmic axis: a third at zero, a smaller spike at six.",
)

# %%
plots.histogram(
    {"weights": weights},
    logy=True,
    vlines={"-max": -np.abs(weights).max(), "max": np.abs(weights).max()},
    title="Weights: centred on 0, and most of them far from the ends",
    alt="Histogram of weights on a logarithmic axis: a bell around zero with thin tails to -0.76 and 0.65.",
)

# %% [markdown]
# Two ways to fit the ruler are in use:
#
# - **Asymmetric** (affine): cover $[\ell, h]$ as above, $z$ where zero falls. For the activations: marks from 0 to 6.
# - **Symmetric**: cover $[-m, m]$ with $m = \max|x|$, and fix $z = 0$. One number less to store, and the arithmetic
#   gets simpler (lesson 06 shows by how much). The usual choice for weights.
#
# We measure noise by the **signal-to-quantization-noise ratio**, in decibels; 20 dB more means errors ten times
# smaller:
#
# $$ \mathrm{SQNR} = 10 \log_{10} \frac{\sum x^2}{\sum (x - \hat{x})^2} $$
#
# **Predict.** How many dB does each tensor lose with a symmetric ruler?

# %%
from quantlab import sqnr_db

for name, v in [("activations", acts), ("weights", weights)]:
    fits = [choose_qparams(v.min(), v.max(), grid=Grid(n_bits=8), symmetric=sym) for sym in (False, True)]
    noise = [sqnr_db(v, fake_quantize(v, qp)) for qp in fits]
    print("{:12s} asymmetric {:.1f} dB   symmetric {:.1f} dB".format(name, *noise))

# %% [markdown]
# (`fake_quantize` goes there and back in one step; the integers are skipped, the rounding is not.)
#
# The weights lose less than 1 dB. The activations lose 6.5: half of the marks lie below zero, where no activation ever
# is. That costs one bit. You will soon be able to say why a bit is 6 dB, and where the other half decibel went.

# %% [markdown]
# ## The ruler that was cut too short
#
# Back to the bug. The data is `[1, 2, 3, 4, 5, 6]`; zero is not among it. The quantizer spread its gaps over $[1, 6]$,
# computed the zero point, found it outside int8, and clamped it.
#
# **Predict.** Which values come back wrong?

# %%
x = np.array([1, 2, 3, 4, 5, 6], dtype=np.float32)
s = np.float32((6 - 1) / 255)
z = int(-128 - np.rint(1 / s))
short = QParams(scale=s, zero_point=max(z, -128), grid=Grid(n_bits=8))
print("zero point needed", z, "- clamped to", short.zero_point)
print(fake_quantize(x, short).round(3))

# %% [markdown]
# The clamp moved the whole ruler: it now reaches from $0$ to $5$. Only the `6` suffers, by a whole unit. The cure comes
# before the formula: **widen the range until it holds zero**, here to $[0, 6]$, then fit the ruler. Then the zero point
# is on the grid by itself, and nothing needs a clamp. Why did no test notice?

# %%
widened = choose_qparams(x.min(), x.max(), grid=Grid(n_bits=8))
for name, qp in [("clamped", short), ("widened", widened)]:
    error = np.abs(x - fake_quantize(x, qp))
    print(f"{name}: mean error {error.mean():.3f}   max error {error.max():.3f}   s/2 {qp.scale / 2:.3f}")

# %% [markdown]
# The test compared the *mean* error with $0.25$. Six numbers look harmless, so try it on a real tensor that never comes
# near zero: the 384 gains of a LayerNorm in MiniLM, a sentence encoder.

# %%
gains = models.minilm_weights()["encoder.layer.0.output.LayerNorm.weight"]
s = (gains.max() - gains.min()) / np.float32(255)
short = QParams(scale=s, zero_point=-128, grid=Grid(n_bits=8))
x_hat = fake_quantize(gains, short)
print(f"gains from {gains.min():.3f} to {gains.max():.3f}; {np.unique(x_hat).size} different values come back")
print(f"{np.mean(x_hat == x_hat.max()):.1%} of them are {x_hat.max():.3f}")
print(f"mean error {np.abs(gains - x_hat).mean():.3f}")

# %% [markdown]
# The layer is destroyed: all but one of its 384 gains became the same number. And the mean error is still below $0.25$.
# Keep two habits: **test the maximum, not the mean**, and **against a bound with a reason**. Ours is $s/2$, half a gap,
# because rounding never goes further than to the nearest mark.

# %% [markdown]
# ## Two kinds of error
#
# $s/2$ holds inside the ruler. A value beyond its end comes back as the end, however far away it is. So there are two
# errors, and they never touch the same value: **rounding** inside, **clipping** outside. Their squares add up:
#
# $$ \frac{1}{n} \sum (x - \hat{x})^2 \;=\; \underbrace{\frac{1}{n} \sum_{\text{inside}} (x - \hat{x})^2}_{\text{rounding}}
#    \;+\; \underbrace{\frac{1}{n} \sum_{\text{outside}} (x - \hat{x})^2}_{\text{clipping}} $$
#
# With a min-max range nothing is outside. What if we cut the ruler short *on purpose*? The marks move closer together,
# and a few large values are clipped.
#
# **Predict.** The weights, 4 bits. Where is the best place to cut: at 100 %, 75 %, 50 % or 25 % of the largest weight?

# %%
w = weights.astype(np.float64)
cuts = np.arange(0.1, 1.01, 0.05)
rounding, clipping = [], []
for cut in cuts:
    m = cut * np.abs(weights).max()
    qp = choose_qparams(-m, m, grid=Grid(n_bits=4), symmetric=True)
    squares, outside = (w - fake_quantize(weights, qp)) ** 2, np.abs(w) > m
    rounding.append(squares[~outside].sum() / w.size)
    clipping.append(squares[outside].sum() / w.size)
total = np.add(rounding, clipping)
best = total.argmin()
share = np.mean(np.abs(w) > cuts[best] * np.abs(w).max())
print(f"best cut {cuts[best]:.0%}: {share:.1%} of the weights are clipped")
print(f"noise {total[best]:.1e}, uncut {total[-1]:.1e}: {total[-1] / total[best]:.1f} times more")

# %%
clipping[-1] = np.nan  # exactly zero: a logarithmic axis has no place for it
plots.lines(
    100 * cuts,
    {"rounding": rounding, "clipping": clipping, "total": total},
    logy=True,
    dots=False,
    xlabel="cut, in % of the largest weight",
    ylabel="mean squared error",
    title="4 bits: a ruler cut to 30 % is best, although it clips",
    alt="Rounding error rises with the cut, clipping error falls steeply; their sum is smallest near 30 percent.",
)

# %% [markdown]
# The few largest weights had stretched the ruler for all the others.
# Rounding grows with the square of the cut; clipping falls quickly, because the tails are thin. Where to cut is
# lesson 05's question. Get a feeling for it here: with more bits the best cut moves outwards, and for the activations,
# from 4 bits on, no step of the slider beats 100 %.

# %%
from quantlab.lab import widgets

choices = {"weights": weights, "activations": acts}


def draw(tensor, n_bits, cut):
    v = choices[tensor]
    m = cut / 100 * np.abs(v).max()
    symmetric = tensor == "weights"
    qp = choose_qparams(-m if symmetric else 0, m, grid=Grid(n_bits), symmetric=symmetric)
    v_hat = fake_quantize(v, qp)
    outside = (v < -m) | (v > m)
    squares = (v - v_hat) ** 2
    rounding, clipping = squares[~outside].sum() / v.size, squares[outside].sum() / v.size
    plots.histogram(
        {tensor: v, "after the round trip": v_hat},
        bins=120,
        logy=True,
        vlines={"cut": m} | ({"-cut": -m} if symmetric else {}),
        title=f"rounding {rounding:.1e} + clipping {clipping:.1e}: SQNR {sqnr_db(v, v_hat):.1f} dB",
        alt=f"Histogram of {tensor}, and of what {n_bits} bits keep of them, cut at {cut} % of the largest.",
    )


bits, cuts = widgets.slider(2, 8, start=4), widgets.slider(10, 100, start=30, step=5)
widgets.explore(draw, tensor=list(choices), n_bits=bits, cut=cuts)

# %% [markdown]
# The orange spikes are the marks. Each collects what lies within half a gap; the two at the ends collect all that was
# clipped.

# %% [markdown]
# ## How large is the rounding error? $s^2/12$
#
# Look at one value somewhere between two marks. If there are many marks, its distance to the nearest one is as good as
# random: $e = x - \hat{x}$ lies anywhere in $[-s/2, s/2]$ with equal probability. Then
#
# $$ E[e] = 0, \qquad E[e^2] = \frac{1}{s}\int_{-s/2}^{s/2} e^2\, de = \frac{1}{s} \cdot \frac{2}{3}\left(\frac{s}{2}\right)^3
#    = \frac{s^2}{12} $$
#
# Nothing about the data is left in it, only $s$. That is a strong claim, so test it: the measured mean squared error
# divided by $s^2/12$ should be 1, for any tensor. All rulers span the full range, so that nothing is clipped.
#
# **Predict.** For which of the columns is it *not* 1? Think of the two spikes at the ends of the activations.

# %%
from quantlab import mse

uniform = np.random.default_rng(0).uniform(-1, 1, 300_000).astype(np.float32)
between = acts[(acts > 0) & (acts < 6)]
table = {"uniform": uniform, "weights": weights, "activations": acts, "0<act<6": between}
print("bits " + "".join(f"{name:>13s}" for name in table))
for n_bits in (2, 3, 4, 6, 8, 12):
    line = f"{n_bits:4d} "
    for name, v in table.items():
        qp = choose_qparams(v.min(), v.max(), grid=Grid(n_bits), symmetric=name in ("uniform", "weights"))
        line += f"{mse(v, fake_quantize(v, qp)) / (float(qp.scale) ** 2 / 12):13.2f}"
    print(line)

# %% [markdown]
# It holds for uniform data at every width, and for the weights from 4 bits on. It fails twice:
#
# 1. **Few levels.** At 2 bits the weights' gap is so wide that nearly all of them fall to zero. Their error is then no
#    longer random within the gap: it is the weight itself, and much smaller than $s/2$.
# 2. **Mass on marks.** The activations stay at 0.65, however many bits you spend. Many of them sit *exactly* on a mark
#    and have no error at all: the zeros and the sixes.
#
# The last column is the control: leave those out, and the ratio is 1 again. So the 0.65 can be computed without
# quantizing anything:

# %%
on_marks = np.mean(acts == 0) + np.mean(acts == 6)
print(f"zeros {np.mean(acts == 0):.1%}, sixes {np.mean(acts == 6):.1%}, the rest {1 - on_marks:.2f}")

# %% [markdown]
# The extreme case is data that lies on a grid already. A photograph has 256 levels. **Predict** its ratio with 8 bits
# over $[0, 255]$, and with 8 bits over $[0, 231]$, where 231 is its brightest pixel.

# %%
pixels = cat.astype(np.float32)
for hi in (255, pixels.max()):
    qp = choose_qparams(0, hi, grid=Grid(n_bits=8, signed=False))
    print(f"[0, {hi:.0f}]: {mse(pixels, fake_quantize(pixels, qp)) / (float(qp.scale) ** 2 / 12):.2f} times s^2/12")

# %% [markdown]
# Zero on its own grid. On a grid that differs from it by a tenth the law is back: mark by mark the two rulers drift
# apart, and pixels fall everywhere between marks. A tighter range is not always a better one.

# %% [markdown]
# ## 6.02 dB a bit
#
# One bit more halves $s$, so the noise power $s^2/12$ becomes a quarter: $10 \log_{10} 4 = 6.02$ dB. Now put everything
# in. Let the ruler be $R$ long ($R = h - \ell$, or $2m$ if symmetric) and the tensor's root mean square be $r$. With
# $s = R / (2^b - 1)$,
#
# $$ \mathrm{SQNR} = 10 \log_{10} \frac{r^2}{s^2/12}
#    = \underbrace{20 \log_{10}(2^b - 1)}_{\approx\, 6.02\, b}
#    \;-\; \underbrace{20 \log_{10} \frac{R}{\sqrt{12}\; r}}_{\text{penalty}} $$
#
# As long as $s^2/12$ holds, the slope is the same for all tensors. The **penalty** is the tensor's own, and it asks one
# question: how long must the ruler be, measured in typical values? For uniform data $R = \sqrt{12}\, r$, and the
# penalty is 0. Signal engineers call $m/r$ the *crest factor*; for a symmetric ruler the penalty is its decibels less
# 4.77.
#
# A third real tensor joins in: a weight matrix of MiniLM.
#
# **Predict.** Its largest value is 7.9; its root mean square is 0.045. How many dB does 8-bit rounding leave?

# %%
tensors = {
    "uniform": (uniform, True),
    "weights": (weights, True),
    "activations": (acts, False),
    "MiniLM": (models.minilm_weights()["encoder.layer.0.output.dense.weight"], True),
}
penalty = {}
for name, (v, symmetric) in tensors.items():
    R = 2 * np.abs(v).max() if symmetric else v.max() - v.min()
    r = np.sqrt(np.mean(v**2, dtype=np.float64))
    penalty[name] = 20 * np.log10(R / (np.sqrt(12) * r))
    print(f"{name:12s} R {R:6.2f}   r {r:.3f}   penalty {penalty[name]:5.1f} dB = {penalty[name] / 6.02:4.1f} bits")

# %% [markdown]
# The formula says the rest. Beside it, in brackets, what quantizing really gives:

# %%
bits, measured = np.arange(2, 13), {}
for name, (v, symmetric) in tensors.items():
    fits = [choose_qparams(v.min(), v.max(), grid=Grid(int(b)), symmetric=symmetric) for b in bits]
    measured[name] = np.array([sqnr_db(v, fake_quantize(v, qp)) for qp in fits])
    predicted = 20 * np.log10(2.0**bits - 1) - penalty[name]
    print(
        f"{name:12s}"
        + "   ".join(f"{b:2d} bits {predicted[b - 2]:5.1f} ({measured[name][b - 2]:4.1f})" for b in (4, 8, 12))
    )

# %% [markdown]
# To a tenth of a decibel for uniform data and the weights. Two deviations, and both are known by now:
#
# - **Activations** come out 1.9 dB better. They are the values on marks: $-10 \log_{10} 0.65 = 1.9$.
# - **MiniLM** at 4 bits gets 0.2 dB where the formula says $-16.6$. Few levels: nearly all weights become zero, and
#   then the error is the signal, 0 dB. It cannot be worse than that: zero is a mark, and the nearest mark is never
#   further away than zero.
#
# The half decibel from above is found too: on the symmetric ruler $6.0$ lies half a gap beyond the last mark, and each
# of the sixes, exact before, gets the largest error there is.

# %%
plots.lines(
    bits,
    measured,
    xlabel="bits",
    ylabel="SQNR in dB",
    title="With enough levels 6 dB a bit; the offset is the tensor's own",
    alt="Four lines that end up rising by 6 dB a bit: activations and uniform on top, weights 14 dB below uniform from "
    "4 bits on; MiniLM stays near zero up to 6 bits and ends 40 dB below uniform.",
)

# %% [markdown]
# That answers the first question of this page. Turn the formula around, and it says how many bits a wanted quality
# takes:

# %%
for name, p in penalty.items():
    print(f"{name:12s} 30 dB take {(30 + p) / 6.02:4.1f} bits")

# %% [markdown]
# Why does MiniLM's matrix need so many? Look at its largest values:

# %%
minilm = tensors["MiniLM"][0]
sizes = np.sort(np.abs(minilm), axis=None)[::-1]
print("largest sizes", sizes[:5].round(2), f"of {minilm.size:,}")
for k in (1, 3):
    print(f"without the largest {k}: {20 * np.log10(sizes[0] / sizes[k]):.1f} dB less noise")

# %% [markdown]
# One weight out of 589,824 is 7.91, the next 1.24. It makes the ruler six times longer, and all the others pay 16 dB
# for it. Two more cost another 5 dB and a half. What if the outliers had a ruler of their own? That is
# [lesson 04](04_choose_granularity.ipynb).

# %% [markdown]
# ## Equal to the bit, to whom?
#
# "Round $x/s$ to the nearest integer" leaves two things open. What happens exactly between two marks (a **tie**)? And
# how is $x/s$ computed, when $s$ is a float32? Tools chose differently, and all are right:
#
# | `dialect=` | computes | used by |
# | --- | --- | --- |
# | `"torch"` | $\mathrm{rint}(x \cdot \mathrm{f32}(1/s)) + z$ | torch's fake quantization, torchao |
# | `"torch_native"` | $\mathrm{rint}(\mathrm{fma}(x, \mathrm{f32}(1/s), z))$, rounded once | `torch.quantize_per_tensor` |
# | `"onnx"` | $\mathrm{rint}(x / s) + z$ | ONNX Runtime's QuantizeLinear |
# | `"litert_reference"` | $\mathrm{round}(x / s) + z$, ties away from zero | LiteRT's reference kernels |
#
# $\mathrm{rint}$ sends ties to the even integer. Multiplying by the reciprocal is faster than dividing, and its result
# can differ in the last bit. A last bit decides only at a tie, so we need data full of ties: half of a million values
# are made to lie between two marks, as nearly as float32 can say it.

# %%
qp = choose_qparams(-1.0, 2.0, grid=Grid(n_bits=8))
half_marks = np.random.default_rng(0).integers(-300, 500, 1_000_000)
ties = (half_marks / 2 * float(qp.scale)).astype(np.float32)
print(f"scale {qp.scale:.6f}, zero point {qp.zero_point}, {np.mean(half_marks % 2):.0%} of the values are ties")

# %% [markdown]
# First the equality. PyTorch's fake quantization:

# %%
import torch

for name, v in [("ties", ties), ("activations", acts), ("weights", weights)]:
    theirs = torch.fake_quantize_per_tensor_affine(torch.from_numpy(v), float(qp.scale), int(qp.zero_point), -128, 127)
    mismatches = np.count_nonzero(theirs.numpy() != fake_quantize(v, qp))
    assert mismatches == 0
    print(f"{name:12s} {v.size:9,} compared with torch, {mismatches} mismatches")

# %% [markdown]
# ONNX Runtime, a model of one node:

# %%
import onnx.parser
import onnxruntime

model = onnx.parser.parse_model("""
    <ir_version: 10, opset_import: ["" : 21]>
    one_node (float[n] x, float s, int8 z) => (int8[n] q) { q = QuantizeLinear(x, s, z) }
""")
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
for name, v in [("ties", ties), ("activations", acts.ravel()), ("weights", weights.ravel())]:
    feed = {"x": v, "s": np.array(qp.scale), "z": np.array(qp.zero_point, dtype=np.int8)}
    (theirs,) = session.run(None, feed)
    mismatches = np.count_nonzero(theirs != quantize(v, qp, dialect="onnx"))
    assert mismatches == 0
    print(f"{name:12s} {v.size:9,} compared with ONNX Runtime, {mismatches} mismatches")

# %% [markdown]
# Now the disagreement. Take torch's formula as the reference, and quantize the same values by others: three dialects,
# two lines that people write in good faith, and a bug.
#
# **Predict.** On what share of the tie-heavy values do they differ? And on the weights?

# %%
s, z = qp.scale, qp.zero_point
formulas = {
    "division (onnx)": lambda v: quantize(v, qp, dialect="onnx"),
    "fma (torch_native)": lambda v: quantize(v, qp, dialect="torch_native"),
    "away (litert_reference)": lambda v: quantize(v, qp, dialect="litert_reference"),
    "in float64": lambda v: np.clip(np.rint(v.astype(np.float64) / float(s)) + z, -128, 127),
    "floor(x/s + 0.5)": lambda v: np.clip(np.floor(v / s + np.float32(0.5)) + z, -128, 127),
    "floor(x/s), a bug": lambda v: np.clip(np.floor(v / s) + z, -128, 127),
}
for name, formula in formulas.items():
    differ = [formula(v) - quantize(v, qp).astype(np.float64) for v in (ties, weights)]
    share = [np.mean(d != 0) for d in differ]
    print(f"{name:24s} ties {share[0]:6.2%}   weights {share[1]:8.4%}   by at most {np.abs(differ[0]).max():.0f}")

# %% [markdown]
# Every honest formula differs from torch's somewhere, always by one mark: on the ties for up to a quarter of the
# values, on the weights hardly ever. (The second row is the largest because $z = -43$ is odd. Who adds $z$ before
# rounding sends $0.5 - 43 = -42.5$ to the even $-42$; who adds it after sends $0.5$ to the even $0$, and lands on
# $-43$.) So:
#
# - A comparison of two tools on random data will pass, and prove little. Compare on ties.
# - If you must match a tool to the bit, copy its formula, its precision and its order of operations. float64 is not
#   "more correct" here: it is another dialect.
# - At a tie both marks are equally near, so neither answer is the worse one. A *bug* differs elsewhere too: in the last
#   row, on half of the weights.
#
# One dialect depends on the machine: `torch.quantize_per_tensor` uses a fused multiply-add where the processor has one.
# (The function is on its way out: torch 2.13 warns that its quantized tensors will be removed. Old models still speak
# it.)

# %% tags=["nbval-ignore-output"]
import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    native = torch.quantize_per_tensor(torch.from_numpy(ties), float(s), int(z), torch.qint8)
difference = np.abs(native.int_repr().numpy().astype(int) - quantize(ties, qp, dialect="torch_native"))
assert difference.max() <= 1
print(f"torch.quantize_per_tensor on this machine: {np.count_nonzero(difference)} of {ties.size:,} differ")

# %% [markdown]
# ## 127 or 127.5?
#
# A symmetric ruler on $-128 \ldots 127$ has a middle that is not zero. torch divides $m$ by half of the gaps,
# $255/2 = 127.5$. TFLite's weights leave $-128$ out (`narrow=True`): $m$ is divided by 127, and the ruler is really
# symmetric.
# Same idea, different scale:

# %%
from torch.ao.quantization import MinMaxObserver

for narrow, (low, divisor) in {False: (-128, 127.5), True: (-127, 127)}.items():
    theirs = MinMaxObserver(dtype=torch.qint8, qscheme=torch.per_tensor_symmetric, quant_min=low, quant_max=127)
    theirs(torch.from_numpy(weights))
    grid = Grid(n_bits=8, narrow=narrow)
    ours = choose_qparams(weights.min(), weights.max(), grid=grid, symmetric=True)
    assert ours.scale == theirs.calculate_qparams()[0].item() == np.abs(weights).max() / np.float32(divisor)
    print(f"narrow={narrow!s:5s}  m / scale = {divisor:5}   equal to torch's observer: True")

# %% [markdown]
# With 127.5 a value of $m$ lands half a gap beyond 127 and is clipped to it; $-m$ lands midway between $-128$ and
# $-127$. Both errors are $s/2$, no more than rounding does anyway. **Predict.** How much does the narrow grid cost in
# dB: at 8 bits, at 4, at 2?

# %%
for n_bits in (8, 4, 2):
    noise = []
    for narrow in (False, True):
        qp = choose_qparams(weights.min(), weights.max(), grid=Grid(n_bits, narrow=narrow), symmetric=True)
        noise.append(sqnr_db(weights, fake_quantize(weights, qp)))
    print(f"{n_bits} bits: full {noise[0]:5.2f} dB, narrow {noise[1]:5.2f} dB")

# %% [markdown]
# Next to nothing at 8 bits, 0.6 dB at 4, and at 2 bits one of four marks is gone. The trap is to mix them: a scale that
# was made with 127 and a converter that assumes 127.5 make every value 0.4 % too large or too small.

# %% [markdown]
# ## Where it breaks
#
# - **"The error is at most half a step."** Only inside the ruler. Outside it has no bound.
# - **"More clipping, more error"**, and its opposite, "never clip". At 4 bits the weights were best with 1 % of them
#   clipped. Other bits and other tensors want other cuts: move the slider.
# - **"SQNR tells how accurate the network will be."** It tells how much noise enters at one tensor. What the network
#   does with the noise is another matter: layers differ, and later lessons measure it.
# - **NaN has no mark.** Tools make an arbitrary integer of it, torch's fake quantization the lowest. `quantize`
#   refuses:

# %%
try:
    quantize(np.array([1.0, np.nan], dtype=np.float32), qp)
except ValueError as error:
    print(error)

# %% [markdown]
# The limit of this whole page is *one* ruler for a whole tensor. The field's answers are smaller rulers
# ([lesson 04](04_choose_granularity.ipynb)), better cuts (lesson 05), and marks that are not evenly spaced, as in the
# floats of lesson 02.

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. A tensor lies between 4 and 6. Your int8 quantizer takes the scale $2/255$, finds that the zero point would be
# $-638$, and clamps it to $-128$. What does the 6 come back as?**
#
# <details><summary><b>a.</b> As 6: the scale is right, and the clamp only touched the zero point.</summary>
#
# > No. The scale says how far apart the marks are, the zero point says where they lie. With $z = -128$ the lowest mark
# > stands for 0 and the highest for $255 s = 2$. There is no mark near 6.
#
# </details>
# <details><summary><b>b.</b> As 5: it loses 1, like the 6 of this page.</summary>
#
# > No. The ruler moves by as much as the range was away from zero. The page's range began at 1, so its ruler moved by 1.
# > This one begins at 4.
#
# </details>
# <details><summary><b>c.</b> As 2.</summary>
#
# > Yes. The range began at 4, so the whole ruler moved down by 4 and ends at 2. Every value of the tensor, from 4 to 6,
# > comes back as 2. Widened to hold zero, the range is $[0, 6]$, the scale three times as large, and nothing is lost but
# > rounding.
#
# </details>

# %% [markdown]
# **2. One giant weight stretches the ruler of a matrix. At 4 bits its SQNR is 0.2 dB. What does a fifth bit bring?**
#
# <details><summary><b>a.</b> 6 dB, as every bit does.</summary>
#
# > No. 6.02 dB a bit follows from $s^2/12$, and that needs many levels under the values. Here nearly all values lie within
# > half a gap of zero, and a gap half as wide changes that for few of them.
#
# </details>
# <details><summary><b>b.</b> Almost nothing, until the gap is as small as the typical weight.</summary>
#
# > Yes. While nearly all weights round to zero, the error is the weight itself: 0 dB. The MiniLM curve of this page
# > stays flat up to 6 bits and then climbs by 6 dB a bit like all others.
#
# </details>
# <details><summary><b>c.</b> Less than 0 dB is possible: finer marks can make it worse.</summary>
#
# > No. Zero is a mark, so the nearest mark is never further away than zero is, and no error is larger than the value
# > itself. The $-16.6$ dB of the formula is a sign that the formula does not apply.
#
# </details>

# %% [markdown]
# **3. Two tools quantize the same tensor with the same scale and zero point. Their codes differ by one mark in 3 % of
# the places. Which one is wrong?**
#
# <details><summary><b>a.</b> The one that differs from the result in float64.</summary>
#
# > No. float64 is one more dialect. On the ties of this page it differs from torch in 14.51 % of the values, and neither
# > is wrong: at a tie both marks are equally near.
#
# </details>
# <details><summary><b>b.</b> Neither, as long as no code differs by more than one.</summary>
#
# > No. The bug of this page, $\lfloor x/s \rfloor$, never differs by more than one mark either, and its error reaches a
# > whole gap.
#
# </details>
# <details><summary><b>c.</b> The one that took a mark which is not the nearest, if one did.</summary>
#
# > Yes. If $x/s$ lies midway between two integers in all of these places, both are right, and you have met two dialects.
# > If they differ elsewhere too, one of them rounds to a mark that is not the nearest.
#
# </details>

# %% [markdown]
# ## Summary
#
# - $q = \mathrm{clip}(\mathrm{round}(x/s) + z)$, $\hat{x} = (q - z)s$. Widen the range to hold zero first; never clamp
#   $z$ to repair it.
# - Weights: symmetric. One-sided activations: asymmetric, or you lose a bit.
# - Rounding (inside) and clipping (outside) add up; with few bits the best ruler clips.
# - Rounding noise is $s^2/12$, if there are many levels and no mass on the marks.
# - SQNR $\approx 6.02\,b$ less a penalty, $20 \log_{10}(R / \sqrt{12}\, r)$, that you compute before you quantize.
# - Correct tools differ by one mark at ties. To match one to the bit, copy its formula.
# - Test the maximum error against $s/2$; a mean lets a broken layer pass.
#
# **Now you:** [the exercises](../exercises/03_map_reals_to_integers/03_map_reals_to_integers.ipynb), five of them; in
# the last one you write the test that the bug would not have passed.
# `quantlab start 03` makes a copy of your own, which no update touches.
#
# [previous: 02 Encode numbers](02_encode_numbers.ipynb) · [next: 04 Choose granularity](04_choose_granularity.ipynb)

# %% [markdown]
# ## Reading
#
# - B. Jacob et al., [Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only
#   Inference](https://arxiv.org/abs/1712.05877), 2018. The affine map, and why zero must be exact (section 2.1).
# - R. Krishnamoorthi, [Quantizing deep convolutional networks for efficient inference: A
#   whitepaper](https://arxiv.org/abs/1806.08342), 2018. Symmetric, asymmetric, and what they cost.
# - H. Wu et al., [Integer Quantization for Deep Learning Inference: Principles and Empirical
#   Evaluation](https://arxiv.org/abs/2004.09602), 2020. The same choices, measured on many networks.
# - M. Nagel et al., [A White Paper on Neural Network Quantization](https://arxiv.org/abs/2106.08295), 2021. Section 2
#   covers this page and the next ones.
# - R. M. Gray and D. L. Neuhoff, [Quantization](https://doi.org/10.1109/18.720541), IEEE Transactions on Information
#   Theory 44(6), 1998. Where $s^2/12$ comes from, and when it fails.
# - [ONNX QuantizeLinear](https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html), the definition, ties included.
