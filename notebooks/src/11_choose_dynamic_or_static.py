# %% [markdown]
# # 11 Choose dynamic or static
#
# **You will** quantize a sentence encoder and an image network in PyTorch and in ONNX Runtime, each dynamically and statically,
# and fill one table with speed, size and fidelity. **You learn** what dynamic and static quantization are, how to read what a
# runtime really executes, how to compare on few samples. **You need** lessons 04 to 06; for the image network also 08. About 45 minutes, difficulty 2 of 3.
# &nbsp; [previous: 10 Convert with TFLite](10_convert_with_tflite.ipynb) ·
# [next: 12 Train with fake quantization](12_train_with_fake_quantization.ipynb)
#
# "I quantized my model to int8 and it became slower." It is the first thing that people report, and the usual answer is
# "try the other one", dynamic or static. On this page some int8 models are several times as fast as float32, and some take several
# times as long; some are as good as float32, and some are useless. Little of it is decided by dynamic or static.
#
# ## What will be judged
#
# The model is all-MiniLM-L6-v2. It turns a sentence into 384 numbers, its **embedding**, and sentences that mean the same
# should have embeddings that point the same way. We judge it on sentences that were written and graded for this course:

# %%
import numpy as np

from quantlab.lab.sentence_pairs import ANSWERS, CALIBRATION, PAIRS, QUESTIONS

for grade, first, second in PAIRS[2::24]:
    print(grade, "|", first, "|", second)

# %%
print(
    f"{len(PAIRS)} pairs with grades 0 to 5; {len(QUESTIONS)} questions, one answer each, such as\n",
    QUESTIONS[0],
    "|",
    ANSWERS[0],
)

# %% [markdown]
# Two numbers come out. Sort the pairs by the cosine of their embeddings, and by their grade: **Spearman's rank correlation**
# says how well the two orders agree (1: the same, 0: unrelated). And for each question take the answer with the
# largest cosine: **top-1 retrieval** is the share that is right. The float32 model, as a torch module of plain parts:

# %%
import torch
from threadpoolctl import threadpool_limits

from quantlab.lab.minilm_torch import embedder, minilm_module
from quantlab.lab.sentence_scores import score

limits = threadpool_limits(1)  # one thread, in torch and in numpy
torch.set_num_threads(1)
module = minilm_module()

# %%
reference = score(embedder(module))
print(f"rank correlation {reference.rank_correlation():.3f}, 72 pairs")
print(f"top-1 retrieval  {reference.retrieval():.3f}, {reference.hits.sum()} of 64 questions")

# %% [markdown]
# In brackets stand 95 % intervals: from the bootstrap (draw 72 pairs again and again, with replacement) and Wilson's for shares. They
# are wide. **With 64 questions you cannot tell 78 % from 70 %.** But we shall compare models on the *same* sentences, where the
# luck of the draw cancels, and ask for the interval of the *difference*. One person graded the pairs, so 0.835 by itself means little.
#
# ## Two ways to a ruler
#
# Weights are known, so their scales are computed once. Activations are not. **Static** quantization looks at calibration data
# beforehand and fixes one range per tensor. **Dynamic** quantization looks at each tensor when it comes, and takes its
# own minimum and maximum.
#
# **Predict.** Which one has the smaller rounding error? By how many dB?
#
# Take two layers of the fifth block, and the inputs that the 64 questions, and 32 other sentences for calibration, bring to them:

# %%
from quantlab.lab.minilm import minilm_activations, minilm_tokens

layers = {"mix": "encoder.layer.4.attention.output.dense", "widen": "encoder.layer.4.intermediate.dense"}
tests = minilm_activations(QUESTIONS, layers=list(layers.values()), side="input")
known = minilm_activations(CALIBRATION, layers=list(layers.values()), side="input")
ends = np.cumsum([len(tokens) for tokens in minilm_tokens(QUESTIONS)])[:-1]
print({name: tests[layer].shape for name, layer in layers.items()}, "tokens and features")

# %%
from quantlab.lab import plots

largest = {name: [part.max() for part in np.split(tests[layer], ends)] for name, layer in layers.items()}
fixed = {f"{name}, static": np.full(64, known[layer].max()) for name, layer in layers.items()}
plots.lines(
    np.arange(64),
    largest | fixed,
    title="One layer's range changes with the sentence, the other's does not",
    alt="Largest input of two layers for 64 questions. Those of widen all lie on its static limit, "
    "those of mix scatter between a third of its static limit and the limit, one lies above it.",
    xlabel="question",
    ylabel="largest value",
    logy=True,
)

# %% [markdown]
# `mix`, after the attention, sees a different range in every sentence; one exceeds what calibration saw, and will be clipped.
# `widen`, after a layer normalization, does not. What fixes its range?

# %%
x, ids = tests[layers["widen"]], np.concatenate(minilm_tokens(QUESTIONS))
reach = np.abs(x).max(axis=0)
large = np.abs(x[:, reach.argmax()]) > reach.max() / 2
print(f"channel {reach.argmax()} reaches {reach.max():.1f}, the median channel {np.median(reach):.1f}")
print(f"it is large in {large.sum()} of {len(x)} tokens, all of them with the id {np.unique(ids[large])}")

# %% [markdown]
# One channel of 384, in one token of each sentence: 101 is `[CLS]`, the mark at the beginning, which is there whatever the sentence
# says. (Lesson 04 met such outlier channels.) Now the error of each layer's *output*, in dB (SQNR, lesson 03), when its
# input is quantized in four ways:

# %%
from quantlab import Grid, choose_qparams, fake_quantize, sqnr_db
from quantlab.lab import models

weights = models.minilm_weights()
uint8, uint7 = Grid(n_bits=8, signed=False), Grid(n_bits=7, signed=False)
for name, layer in layers.items():
    x, W, k = tests[layer], weights[f"{layer}.weight"], known[layer]
    inputs = {"static": fake_quantize(x, choose_qparams(k.min(), k.max(), grid=uint8))}
    for kind, grid in {"dynamic": uint8, "dynamic, 7 bits": uint7}.items():
        parts = [fake_quantize(p, choose_qparams(p.min(), p.max(), grid=grid)) for p in np.split(x, ends)]
        inputs[kind] = np.concatenate(parts)
    inputs["one scale a token"] = fake_quantize(x, choose_qparams(x.min(axis=1), x.max(axis=1), grid=uint8, axis=0))
    print(f"{name:6s}", ", ".join(f"{kind} {sqnr_db(x @ W.T, x_hat @ W.T):.0f} dB" for kind, x_hat in inputs.items()))

# %% [markdown]
# Dynamic gains 5 dB where the range moves, and nothing to speak of where `[CLS]` fixes it. A scale *per token* gains most there: all other
# tokens are rid of the outlier. And a bit less costs 6 dB, as lesson 03 says. Weights have the same question of granularity:

# %%
names = {
    "query": "attention.self.query",
    "mix": "attention.output.dense",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
}
names = {name: f"encoder.layer.3.{rest}" for name, rest in names.items()}
inputs = minilm_activations(QUESTIONS[:16], layers=list(names.values()), side="input")
for name, layer in names.items():
    x, W = inputs[layer], weights[f"{layer}.weight"]
    tensor = choose_qparams(W.min(), W.max(), grid=Grid(n_bits=8), symmetric=True)
    channels = choose_qparams(W.min(axis=1), W.max(axis=1), grid=Grid(n_bits=8), symmetric=True, axis=0)
    db = [sqnr_db(x @ W.T, x @ fake_quantize(W, qp).T) for qp in (tensor, channels)]
    print(f"weights of {name:7s}one scale {db[0]:.0f} dB, one a channel {db[1]:.0f} dB")

# %%
W = np.abs(weights[names["narrow"] + ".weight"])
print(
    "the two largest weights of narrow:",
    np.sort(W.ravel())[-2:].round(2),
    "the largest stands in row",
    W.max(axis=1).argmax(),
)

# %% [markdown]
# `narrow` has a single weight of 3.48, and the next is not a third of it. One scale has to reach it, and 20 dB are left. (It stands in
# row 99, and writes into channel 99, where the outlier is.) Keep the order of sizes in mind, as it was here: granularity of weights,
# 3 to 20 dB; of activations, 4 to 8; one bit, 6; dynamic or static, 0 to 5.
#
# ## One layer, in the production tools
#
# `torch.ao.quantization.quantize_dynamic` replaces every `nn.Linear`. It is deprecated (its successor comes below), works in torch 2.13, and is
# what most code that you will meet uses.

# %%
import warnings

from torch.ao import quantization as tq

warnings.filterwarnings("ignore", module=r"torch\.ao")  # it is deprecated, as the text above says
warnings.filterwarnings("ignore", message="torch.ao.quantization is deprecated")

# %%
x = tests[layers["widen"]][:200]
quantized = tq.quantize_dynamic(torch.nn.Sequential(module.layers[4].widen), {torch.nn.Linear})[0]
w_q, w_scale = quantized.weight().int_repr().numpy(), np.float32(quantized.weight().q_scale())
b, theirs = quantized.bias().detach().numpy(), quantized(torch.from_numpy(x)).numpy()
print(type(quantized).__module__, w_q.dtype, w_q.shape)

# %% [markdown]
# Rebuild its output: find the range, quantize, multiply integers, scale, add the bias.
#
# **Predict.** With how many bits does torch quantize the activations?

# %% tags=["nbval-ignore-output"]
from quantlab import QParams, quantize
from quantlab.core.dialects import fma
from quantlab.integer.matmul import int_matmul_zero_point

for grid in (uint8, uint7):
    scale = np.float32((np.float64(x.max()) - np.float64(x.min())) / grid.quant_max)  # torch divides in float64 here
    zero_point = choose_qparams(x.min(), x.max(), grid=grid).zero_point
    x_q = quantize(x, QParams(scale=scale, zero_point=zero_point, grid=grid), dialect="torch_native")
    acc = int_matmul_zero_point(x_q, w_q.T, int(zero_point), 0).astype(np.float32)
    ours = fma(acc, np.broadcast_to(scale * w_scale, acc.shape), np.broadcast_to(b, acc.shape))
    off = np.abs(ours - theirs)
    print(f"{grid.n_bits} bits: {(off > 0).sum():,} of {ours.size:,} outputs differ, by up to {off.max():.1g}")
assert off.max() < 1e-3

# %% [markdown]
# Seven. torch leaves a bit of the activations unused (`reduce_range`), because older int8 instructions overflow
# in 16 bits (lesson 01). It does so with its x86 engines whatever the processor has, and where there is VNNI the bit is lost for nothing. With
# seven bits and one fused multiply-add at the end, quantlab has every output to the last bit.
#
# ONNX Runtime writes the same recipe into the file, as operators. It keeps 8 bits for activations; its `reduce_range` takes the bit
# from the *weights*. (We set it here, so that this comparison is exact on processors without VNNI too.)

# %%
import logging
import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import quantize_dynamic

logging.getLogger().setLevel(logging.ERROR)  # it advises a pre-processing that these graphs do not need
folder = Path(tempfile.mkdtemp())
signature = "net (float[n, 384] x) => (float[n, 1536] y)"

# %%
net = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {signature} {{ y = MatMul(x, V) }}')
V = np.ascontiguousarray(weights[f"{layers['widen']}.weight"].T)
net.graph.initializer.append(onnx.numpy_helper.from_array(V, "V"))
onnx.save(net, folder / "layer.onnx")
quantize_dynamic(folder / "layer.onnx", folder / "layer8.onnx", per_channel=True, reduce_range=True)

# %%
written = onnx.load(folder / "layer8.onnx").graph
stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in written.initializer}
print([node.op_type for node in written.node])
print({name: (value.dtype.name, value.shape) for name, value in stored.items()})

# %%
from quantlab.lab.onnx_runs import load

x_qp = choose_qparams(x.min(), x.max(), grid=uint8, dialect="onnx")
x_q = quantize(x, x_qp, dialect="onnx")
zeros = stored["V_zero_point"].astype(np.int32)
acc = int_matmul_zero_point(x_q, stored["V_quantized"], int(x_qp.zero_point), zeros)

# %%
ours, theirs = acc.astype(np.float32) * (x_qp.scale * stored["V_scale"]), load(folder / "layer8.onnx")(x)
print(f"compared {ours.size:,}, mismatches {(ours != theirs).sum()}")
assert np.array_equal(ours, theirs)

# %% [markdown]
# ## The whole encoder, in eight int8 forms
#
# Dynamic is one line. With torch's default the weights get one scale a layer; a `qconfig` changes that.

# %%
linear = torch.nn.Linear
forms = {"torch float32": module, "torch dynamic": tq.quantize_dynamic(module, {linear})}
forms["torch dynamic, channels"] = tq.quantize_dynamic(module, {linear: tq.per_channel_dynamic_qconfig})
print(forms["torch dynamic, channels"].layers[0].widen)

# %% [markdown]
# The successor of this deprecated API is torchao's `quantize_`: activations with one scale per token, weights with one per channel.

# %%
import copy

logging.getLogger("torchao").setLevel(logging.CRITICAL)  # it reports GPU libraries that a CPU does not need
logging.getLogger("torch.utils._pytree").setLevel(logging.CRITICAL)
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

forms["torchao dynamic"] = copy.deepcopy(module)
quantize_(forms["torchao dynamic"], Int8DynamicActivationInt8WeightConfig())
print(type(forms["torchao dynamic"].layers[0].widen.weight).__name__)

# %% [markdown]
# Static takes three steps, which `static_linears` takes: put observers in front of and behind every linear layer (`prepare`), run the calibration
# sentences, `convert`. The defaults of the engine `x86` are a histogram observer and again 7 bits. We build these, and min-max with all 8 bits beside it.

# %%
from quantlab.lab.sentence_scores import batches
from quantlab.lab.torch_static import min_max_config, static_linears

assert not set(CALIBRATION) & {*QUESTIONS, *ANSWERS, *(sentence for pair in PAIRS for sentence in pair[1:])}

# %%
calibration = batches(CALIBRATION)
forms["torch static, default"] = static_linears(module, calibration, qconfig=tq.get_default_qconfig("x86"))
forms["torch static, min-max"] = static_linears(module, calibration, qconfig=min_max_config())
print(type(forms["torch static, min-max"].layers[0].widen.module).__module__)

# %% [markdown]
# ONNX Runtime quantizes files. `quantize_static` has many options; three of them will turn out to matter. First its own defaults for
# `MatMul`, then unsigned activations, weights per channel, and outputs left in float32, as dynamic leaves them.

# %%
from quantlab.lab.minilm_onnx import minilm_onnx

kinds = ("float32", "dynamic", "static, default", "static, tuned")
files = {f"onnx {kind}": folder / f"{kind}.onnx" for kind in kinds}
onnx.save(minilm_onnx(), files["onnx float32"])
quantize_dynamic(files["onnx float32"], files["onnx dynamic"], per_channel=True)

# %%
from onnxruntime.quantization import QuantType, quantize_static

from quantlab.lab.onnx_runs import Feeds


# %%
feeds = [{"ids": ids, "mask": mask} for ids, mask in calibration]
tuned = {"activation_type": QuantType.QUInt8, "per_channel": True}
tuned["extra_options"] = {"OpTypesToExcludeOutputQuantization": ["MatMul"]}
for kind, options in {"default": {}, "tuned": tuned}.items():
    target = files[f"onnx static, {kind}"]
    quantize_static(files["onnx float32"], target, Feeds(feeds), op_types_to_quantize=["MatMul"], **options)

# %% [markdown]
# ## Size
#
# **Predict.** The float32 file has 90 MB. How many MB has an int8 one?

# %%
from quantlab.lab.torch_static import saved_bytes

sizes = {form: saved_bytes(net) for form, net in forms.items()} | {form: f.stat().st_size for form, f in files.items()}
print("\n".join(f"{form:24s}{size / 1e6:4.0f} MB" for form, size in sizes.items()))
print(f"the table of words alone{weights['embeddings.word_embeddings.weight'].nbytes / 1e6:4.0f} MB in float32")

# %% [markdown]
# Only one comes near a quarter. Half of this model is a table of words, which is looked up and never multiplied, so a tool that
# replaces `Linear` or `MatMul` leaves it alone. ONNX Runtime's dynamic mode takes `Gather` along, and so the table. Ask it of every
# "int8" file: what in it is still float32?
#
# ## Fidelity
#
# Every form embeds the same 272 sentences, 16 at a time. *Cosine* is between an embedding and its float32 original, averaged. *Rank* is the change of the
# rank correlation, with its interval; *lost* are questions whose answer float32 found and this form does not, *won* the reverse.
#
# **Predict.** Which form is the most faithful, and which the worst?

# %% tags=["nbval-ignore-output"]
embed = {form: embedder(net) for form, net in forms.items()} | {form: load(file) for form, file in files.items()}
scores = {form: score(run) for form, run in embed.items() if "float32" not in form}
print("\n".join(f"{form:24s}{found.against(reference)}" for form, found in scores.items()))
first = batches(CALIBRATION)[0]
assert np.abs(embed["onnx float32"](*first) - embed["torch float32"](*first)).max() < 1e-5
assert all(found.cosine(reference).mean() > 0.6 for found in scores.values())

# %% [markdown]
# These numbers are from the machine that ran this page: int8 kernels without VNNI can saturate, and then differ. Read them along the rungs built above.
#
# - torch dynamic, the same with channels, torchao: first one scale a layer, then one a channel, then all 8 bits and one scale a token besides.
#   The cosine climbs at each step, though all three are "dynamic int8".
# - ONNX dynamic has 8 bits and channels, and lies between the last two.
# - The tuned static form comes close to ONNX dynamic. So fixed ranges *of inputs* cost little here. The default form also has one scale a
#   layer, and rounds every output to 8 bits, in front of the residual sum, where the outliers live.
# - torch's default, a histogram and 7 bits, is the worst. The histogram observer gives up outliers to serve the many small values
#   (lesson 05); here the outliers matter.
#
# And look at the intervals: most of the changes in rank could be 0. With 72 pairs a loss of 0.01 cannot be told from luck, while the cosine, which
# needs no labels, sorts the forms more finely. **Labels say whether it matters; the distance to float32 says whether something changed.
# Report both.**
#
# ## Speed
#
# One thread, a question alone and a batch of 16. The forms take turns; the shortest time counts.
#
# **Predict.** Which form is the fastest at batch 1? Is any int8 form slower than float32 of the same tool?

# %% tags=["nbval-ignore-output"]
from quantlab.lab import doctor
from quantlab.lab.timing import best_times

ids, mask = batches(QUESTIONS)[0]
one = best_times({form: lambda run=run: run(ids[:1], mask[:1]) for form, run in embed.items()}, rounds=3)
sixteen = best_times({form: lambda run=run: run(ids, mask) for form, run in embed.items()}, rounds=2)
machine = doctor.report()
print(machine.cpu, dict(machine.features))
for form in embed:
    base = "onnx float32" if form.startswith("onnx") else "torch float32"
    text = [f"{t[form] * 1e3:6.1f} ms ({t[base] / t[form]:.1f} times as fast)" for t in (one, sixteen)]
    print(f"{form:24s}", *text)
assert min(one, key=one.get) not in ("torch float32", "torchao dynamic")

# %% tags=["nbval-ignore-output"]
gain = {form: one["onnx float32" if form.startswith("onnx") else "torch float32"] / one[form] for form in embed}
plots.bars(
    {form: value for form, value in gain.items() if "float32" not in form},
    title="The kind does not decide the speed",
    alt="Bars of eight int8 forms, how many times as fast as float32 at batch 1: dynamic ones on both "
    "ends, static ones on both ends.",
    xlabel="times as fast as float32 of the same tool, batch 1",
)
assert len(gain) == 10

# %% [markdown]
# In brackets stands how many times as fast as float32 *of the same tool*. Where the CPU has VNNI, most forms gain a factor of about two to
# three: four int8 products for one of float32 (lesson 01), and at batch 1 a quarter of the bytes to read. Two forms gain little or lose.
# One of them is dynamic, one is a static default. We can look at both.
#
# ## Why is the default slow? Ask what it executes
#
# ONNX Runtime rewrites a model when it loads it: where a product stands between the right operators, it becomes
# an integer one. Nobody tells you where that failed. So count the products after the rewriting, and ask the runtime's profile where the time goes:

# %% tags=["nbval-ignore-output"]
from quantlab.lab.onnx_runs import executed_ops, op_times

for form, file in files.items():
    seconds = op_times(file, ids[:1], mask[:1])
    shares = {op: f"{t / sum(seconds.values()):.0%}" for op, t in list(seconds.items())[:3]}
    products = {op: n for op, n in executed_ops(file).items() if "MatMul" in op}
    print(f"{form:21s} products: {products}\n{'':21s} time: {shares}")
assert executed_ops(files["onnx float32"])["MatMul"] >= 36

# %% [markdown]
# On this machine the default form still multiplies 24 matrices in float32: four of the six in each layer, `query`, `key`, `value` and `widen`. ONNX Runtime's
# x86 kernels want *unsigned* activations, and the default is signed. The runtime flips the sign where it can, and not where a quantized tensor
# has several readers, as behind each layer normalization here. What stays is the worst of both: int8 weights that are turned
# back into float32 in *every run* (`DequantizeLinear`), and then a float product. `activation_type=QuantType.QUInt8` removes it.
#
# It is the first way of lesson 01 to be slow ("store int8, compute float32"), reached through a default. The file is small, the graph says
# "quantized", and only the profile shows it.
#
# ## Is it the ranges? Take one layer apart
#
# "Dynamic is slow because it computes the ranges in every call." What does that cost, beside the integer product?

# %% tags=["nbval-ignore-output"]
W, W_q = module.layers[0].widen.weight, torch.from_numpy(w_q)
for n_tokens in (18, 288):
    x = torch.randn(n_tokens, 384)
    s = x.abs().amax(dim=1, keepdim=True) / 127
    x_q = (x / s).round().to(torch.int8)
    acc = torch._int_mm(x_q, W_q.T)
    steps = {
        "float32 product": lambda x=x: x @ W.T,
        "find ranges": lambda x=x: x.abs().amax(dim=1, keepdim=True) / 127,
        "quantize": lambda x=x, s=s: (x / s).round().to(torch.int8),
        "int8 product": lambda x_q=x_q: torch._int_mm(x_q, W_q.T),
        "scale back": lambda acc=acc, s=s: acc.float() * s * 0.01,
    }
    seconds = best_times(steps, rounds=30)
    print(f"{n_tokens:4d} tokens:", ", ".join(f"{name} {t * 1e6:.0f} us" for name, t in seconds.items()))
assert seconds["find ranges"] < seconds["float32 product"]

# %% [markdown]
# The ranges cost far less than the integer product saves. This layer is wide, and the share of such overhead falls with the width, as lesson 01
# derived; at 16 channels it is another story. So why does torchao not gain? Count what the forms execute for one sentence:

# %% tags=["nbval-ignore-output"]
from quantlab.lab.torch_ops import count_ops

for form in ("torch float32", "torch dynamic", "torchao dynamic"):
    ops = count_ops(lambda form=form: embed[form](ids[:1], mask[:1]))
    print(f"{form:16s}{sum(ops.values()):6,} operators:", ", ".join(f"{n} {op}" for op, n in list(ops.items())[:4]))
assert sum(ops.values()) > 1000

# %% [markdown]
# Five times as many operators as the float model: about forty more for each of the 36 layers, each a call, a pass over memory, a new array. Some of
# them sum up all weights of the layer, for the zero-point correction that lesson 06 computed once and for all. torch's older `linear_dynamic` does everything in one operator.
# torchao is written for `torch.compile`, which fuses such steps; that needs a C++ compiler and patience. Without it
# you time an unfinished program. (Lesson 12 meets torchao again.)
#
# ## Does a result depend on its neighbours?
#
# Dynamic ranges, where they are taken per tensor, are taken over the batch and its padding. The same question,
# alone and beside 15 others:

# %% tags=["nbval-ignore-output"]
lengths = mask.sum(axis=1)
alone = [(ids[i : i + 1, :n], mask[i : i + 1, :n]) for i, n in enumerate(lengths)]
moved = {}
for form in ("torch float32", "torch dynamic", "torchao dynamic", "onnx dynamic", "onnx static, tuned"):
    single = np.concatenate([embed[form](*question) for question in alone])
    moved[form] = np.median(1 - (single * embed[form](ids, mask)).sum(axis=1))
    print(f"{form:20s}1 - cosine of the two, median: {max(moved[form], 0):.0e}")
assert moved["torch float32"] < 1e-5 < moved["torch dynamic"]

# %% [markdown]
# Documents that were embedded in batches are not matched exactly by a query that was embedded alone. Fixed ranges do not have this. Ranges per token do
# not have it either, in themselves; what is left with torchao starts in the last bit of the float parts, which moves a code here and there, and each
# layer enlarges it.
#
# ## The same for an image network
#
# EfficientNet-Lite0 of lesson 08, batch norms folded, as a torch module and as an ONNX file. Calibration crops come from four photographs, test
# crops from six others. There are no labels here: we ask how often the int8 network names the same class as float32.

# %%
from quantlab.lab import data

rng = np.random.default_rng(11)
known, test = (
    ["china", "coffee", "flower", "tissue"],
    ["astronaut", "cat", "galaxies", "motorcycle", "retina", "rocket"],
)
assert not set(known) & set(test)

# %%
min_max = forms["torch static, min-max"]
embed.clear()  # half a gigabyte that is not needed any more
forms.clear()
photos = data.photographs(known + test)
x_known = models.efficientnet_input(np.concatenate([data.crops(photos[name], n=2, rng=rng) for name in known]))
x_test = models.efficientnet_input(np.concatenate([data.crops(photos[name], n=2, rng=rng) for name in test]))
print(f"{len(x_known)} calibration crops, {len(x_test)} test crops")

# %%
from quantlab.lab.efficientnet import efficientnet_network
from quantlab.lab.network_onnx import network_onnx
from quantlab.lab.network_torch import network_module
from quantlab.ptq.fold import fold

network = fold(efficientnet_network())
cnn = network_module(network, shape=(224, 224, 3))

# %%
cnn_files = {f"onnx {kind}": folder / f"cnn {kind}.onnx" for kind in kinds}
onnx.save(network_onnx(network, shape=(224, 224, 3)), cnn_files["onnx float32"])
y = np.concatenate([load(cnn_files["onnx float32"])(part) for part in np.split(x_test, 3)])
same = np.concatenate([cnn(torch.from_numpy(part)).numpy() for part in np.split(x_test, 3)]).argmax(axis=1) == y.argmax(
    axis=1
)
print(f"torch and ONNX Runtime in float32 name the same class for {same.sum()} of {len(y)}")

# %% [markdown]
# Dynamic again replaces what is `nn.Linear`. Static: `prepare_fx` finds out by itself where to observe. First with the defaults of `x86`:

# %%
from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

cnns = {"torch float32": cnn, "torch dynamic": tq.quantize_dynamic(cnn, {linear})}

# %%
prepared = prepare_fx(cnn, tq.get_default_qconfig_mapping("x86"), (torch.from_numpy(x_known[:1]),))
prepared(torch.from_numpy(x_known))
cnns["torch static, default"] = convert_fx(prepared)
print([type(part).__name__ for part in list(cnns["torch static, default"].children())[:4]])

# %% [markdown]
# Read the last line: a `ReLU6` of its own behind each convolution. The observer stands between them and sees values from before ReLU6, far beyond 6.
# But a quantizer *clips* (lesson 03): let the range of the output end at 6, and ReLU6 comes for free. `static_network` does that, with `ReLU`, which torch fuses into
# the convolution, and with all 8 bits; once with the usual engine, once with another one, oneDNN.

# %%
from quantlab.lab.torch_static import engine, static_network

cnns["torch static, fused"] = static_network(network, x_known)
with engine("onednn"):
    cnns["torch static, oneDNN"] = static_network(network, x_known)
print([type(part).__name__ for part in list(cnns["torch static, fused"].children())[:4]])

# %% [markdown]
# And ONNX Runtime: dynamic, static as it comes, and static with unsigned activations and a scale for each channel.

# %%
images = [{"input": x_known[i : i + 4]} for i in range(0, len(x_known), 4)]
quantize_dynamic(cnn_files["onnx float32"], cnn_files["onnx dynamic"], per_channel=True)
quantize_static(cnn_files["onnx float32"], cnn_files["onnx static, default"], Feeds(images))
options = {"activation_type": QuantType.QUInt8, "per_channel": True}
quantize_static(cnn_files["onnx float32"], cnn_files["onnx static, tuned"], Feeds(images), **options)
print({form: f"{file.stat().st_size / 1e6:.1f} MB" for form, file in cnn_files.items()})

# %% [markdown]
# **Predict.** What does torch dynamic do for this network? And what does a *dynamic* convolution cost?

# %% tags=["nbval-ignore-output"]
import time

from quantlab.lab.intervals import wilson

run = {form: lambda x, net=net: net(torch.from_numpy(x)).numpy() for form, net in cnns.items()}
run |= {form: load(file) for form, file in cnn_files.items()}
one = best_times({form: lambda f=f: f(x_test[:1]) for form, f in run.items()}, rounds=6)
logits, six = {}, {}
for form, f in run.items():
    first = f(x_test[:6])  # the first run of a shape prepares kernels for it
    start = time.perf_counter()
    logits[form] = np.concatenate([first, f(x_test[6:])])
    six[form] = time.perf_counter() - start
for form in run:
    same = wilson(int((logits[form].argmax(axis=1) == y.argmax(axis=1)).sum()), len(y))
    db = "" if "float32" in form else f", {sqnr_db(y, logits[form]):.0f} dB"
    print(f"{form:21s}{one[form] * 1e3:6.1f} ms,{six[form] * 1e3:6.0f} ms for 6, same class {same:.0%}{db}")
assert one["onnx dynamic"] > one["onnx float32"]

# %% [markdown]
# With 12 crops, two of each photograph and so not independent, the intervals are wide; the dB of the logits separate the forms better. Look for the surprises:
#
# - **torch dynamic leaves nearly everything as it was**: there is one `nn.Linear`, and 49 convolutions. The two take about
#   as long for one crop. The column for 6 is a single run, and what it puts between these two is chance: trust no difference of that size.
# - **ONNX dynamic is the slowest by far**, and unfaithful. Its convolutions become `ConvInteger`, which is slow here whatever surrounds it, and has
#   one weight scale a layer, which lesson 09 showed to fail on this network.
# - **ONNX static by default is unfaithful for the second reason**: `per_channel` is off unless you ask.
# - **torch static by default is useless and slow.** Useless through ReLU6 and 7 bits, as we found. But slow, in int8, with VNNI?

# %% tags=["nbval-ignore-output"]
from quantlab.lab.torch_ops import node_times

for form in ("torch static, fused", "torch static, oneDNN"):
    seconds = node_times(cnns[form], torch.from_numpy(x_test[:1]))
    total = sum(seconds.values())
    slowest = ", ".join(f"{name} {t / total:.0%}" for name, t in list(seconds.items())[:4])
    print(f"{form}, {total * 1e3:.0f} ms: {slowest}")
assert 0 < total < 10

# %% [markdown]
# Of 49 convolutions, three take most of the time. All three are depthwise, have more than 100 channels, and get their image padded beforehand, since
# TensorFlow pads unevenly under stride 2. The engine `x86` is two libraries, and gives some convolutions to fbgemm and the others
# to oneDNN; what fbgemm does with these three takes tens of times as long as their neighbours. That is a fact about
# three layers and one library, and people would report it as "int8 is slow".
#
# oneDNN, with the same scales, is also more faithful in dB. Why? A depthwise layer of 96 channels, and one of 104:

# %% tags=["nbval-ignore-output"]
from quantlab.lab.torch_static import static_layer

generator = torch.Generator().manual_seed(0)
for n in (96, 104):
    x, conv = torch.rand(1, n, 28, 28, generator=generator), torch.nn.Conv2d(n, n, 3, padding=1, groups=n)
    for name in ("x86", "onednn"):
        with engine(name), torch.no_grad():
            db = [sqnr_db(conv(x).numpy(), static_layer(conv, x, n_bits=bits)(x).numpy()) for bits in (7, 8)]
        print(f"{n:4d} channels, {name:7s}7 bits {db[0]:.0f} dB, 8 bits {db[1]:.0f} dB")
assert db[1] > 10

# %% [markdown]
# The eighth bit should add some 6 dB, and does, but for one kernel: there it *takes away* more than 10. With more than 100 groups `x86` means fbgemm, and the errors
# look like sums of pairs that saturate in 16 bits (lesson 06). So this is what the 7 bits of torch's defaults are for: they protect
# kernels like this one, and cost accuracy in all others.
#
# ## Where it breaks
#
# **One constant.** `quantize_static` without a list of operators quantizes all that it can. Let it quantize nothing but the six additions that
# add the attention mask: 0 for a word, $-10^9$ for padding.

# %%
additions = [f"encoder.layer.{i}.attention.masked" for i in range(6)]
options = {"nodes_to_quantize": additions, "activation_type": QuantType.QUInt8}
quantize_static(files["onnx float32"], folder / "mask.onnx", Feeds(feeds), **options)
tensors = onnx.load(folder / "mask.onnx").graph.initializer
(scale,) = (onnx.numpy_helper.to_array(t) for t in tensors if t.name == f"{additions[0]}.y_scale")

# %%
broken = score(load(folder / "mask.onnx"))
print(
    f"scale {scale:.2g}; finds under half of the answers that float32 finds:",
    broken.hits.sum() < reference.hits.sum() / 2,
)

# %% [markdown]
# A range of $10^9$ in 255 steps: one step is four million, all attention scores fall on one code, and every word attends to every other
# alike. Nothing warns. The weights are untouched, and the model is lost through six additions. The cure: name what you want quantized,
# and look at the scales in the file.
#
# **Calibration, and a control that surprises.** Lesson 05 calibrated with noise, and it hurt. Here are min-max ranges in torch from our 32 sentences, from two
# sentences of one word, and from random token ids. Which one is worst?

# %% tags=["nbval-ignore-output"]
noise = np.random.default_rng(0).integers(1000, 30522, (32, 16))
feeds = {"2 words": batches(["Yes.", "No."]), "random ids": [(noise, np.ones_like(noise))]}
nets = {source: static_linears(module, feed, qconfig=min_max_config()) for source, feed in feeds.items()}
for source, net in {"32 sentences": min_max, **nets}.items():
    found = scores["torch static, min-max"] if net is min_max else score(embedder(net))
    scales = ", ".join(f"{name} {float(getattr(net.layers[4], name).quant.scale):.4f}" for name in layers)
    print(f"{source:13s}{found.against(reference)}; scales: {scales}")
    assert found.cosine(reference).mean() > 0.8

# %% [markdown]
# The random ids are about as good as real sentences, and the scales say why: they came out within a fifth of each other. Behind a layer normalization the range
# hardly depends on what the words are. Two short sentences are worse: their ranges are smaller by about a quarter. Do not conclude that
# calibration data never matters; lessons 05 and 10 show networks for which it does. Conclude that one should look.
#
# **What else.** All of this was one thread, one processor, one version of each tool. Without VNNI the gains shrink, and 8-bit results
# can saturate; on ARM the kernels are others. Measure where you deploy.
#
# ## Dynamic or static
#
# What the tables of this page support, under its conditions (x86 with VNNI, one thread, batch 1 and 16):
#
# | your model | choose | because, here |
# | --- | --- | --- |
# | transformer, wide linear layers, no calibration data at hand | dynamic, weights per channel | about two to three times as fast as float32; a cosine of 0.99 in ONNX Runtime, whose file also holds the table of words in int8 |
# | transformer, results must not depend on the batch | static, with outputs left in float32 | as fast, nearly as faithful; 32 sentences were enough to calibrate |
# | convolutional network | static, weights per channel, never dynamic | dynamic was slower than float32 in one tool and did nothing in the other |
# | anything with outlier channels | first per channel and per token, then think about ranges | granularity was worth up to 20 dB, dynamic ranges up to 5 |
# | any that is slower than float32 | count the executed operators, time the layers | the reasons here were a sign, unfused steps, and three layers: never the method alone |
#
# What the field does now: torch's `torch.ao.quantization` is deprecated, and torchao replaces it (`quantize_` for dynamic and weight-only, PT2E for static, see lesson 12); ONNX Runtime's
# quantizer is what many deployed encoders come from. Where large language models run in int8 or fp8, ranges per token are the usual choice for activations (Part V).

# %% [markdown]
# ## Questions
#
# Decide, then click on your choice: it tells you why. Then open the others; their reasons are the lesson once more.

# %% [markdown]
# **1. Statically quantized, your encoder is slower in ONNX Runtime than in float32. The file is small, and a graph
# viewer shows int8 weights everywhere. What do you do first?**
#
# <details><summary><b>a.</b> Count the operators that it executes, and time them.</summary>
#
# > Yes. The graph is what you ask for; the runtime rewrites it. On this page the default form still multiplied many
# > matrices in float32, after turning int8 weights back into floats in every run. One option, unsigned activations,
# > removed that.
#
# </details>
# <details><summary><b>b.</b> Quantize dynamically: the static form is the slow one.</summary>
#
# > No. Both kinds stand at both ends of the bar chart of this page. Change the method, and you may be faster without
# > knowing why, or meet the same gap: a place where no integer kernel runs.
#
# </details>
# <details><summary><b>c.</b> Look for a processor with VNNI: without it int8 does not pay.</summary>
#
# > No. VNNI makes integer products cheap. It does nothing for a product that the runtime computes in float32. The
# > processor of the stored run has VNNI, and the default form was no faster for it.
#
# </details>

# %% [markdown]
# **2. All linear layers of your MiniLM are int8. The file went from 90 MB to 59 MB, and you had expected 23. Where is
# the rest?**
#
# <details><summary><b>a.</b> Scales and zero points: one of each for every channel.</summary>
#
# > No. They cost a few bytes a row, and the rows of this model have hundreds of weights. The form with one scale a
# > layer has 58 MB, the one with a scale a channel 59.
#
# </details>
# <details><summary><b>b.</b> The float32 weights, which a tool keeps beside the int8 ones for safety.</summary>
#
# > No. Then the file would have grown: 90 MB and a quarter of what was quantized.
#
# </details>
# <details><summary><b>c.</b> The table of words, still in float32.</summary>
#
# > Yes. It has 47 MB, is looked up and never multiplied, so a tool that replaces linear layers leaves it alone. The
# > other 43 MB become 11, and $47 + 11 = 58$. ONNX Runtime's dynamic mode quantizes the lookup, too: 23 MB.
#
# </details>

# %% [markdown]
# **3. In one layer's input a single channel is huge in the token `[CLS]`, which begins every sentence, and small in
# all other tokens. Static int8 with one range a tensor gives 26 dB. What brings most?**
#
# <details><summary><b>a.</b> Dynamic ranges: each sentence gets a range that fits it.</summary>
#
# > No. Each sentence has its `[CLS]`, so each sentence gets the same range. 26 dB again. Where the range did move
# > with the sentence, in `mix`, dynamic ranges brought 5 dB.
#
# </details>
# <details><summary><b>b.</b> One scale a token.</summary>
#
# > Yes. 34 dB on this page. The outlier now spoils only the token that it is in. Per tensor all tokens pay for it, in
# > every sentence, at whatever time the range is taken.
#
# </details>
# <details><summary><b>c.</b> More calibration sentences: 32 are too few for an outlier.</summary>
#
# > No. The range from 32 sentences was right here: the largest value of each test sentence lies on it, in the plot.
# > An outlier that is always there is found at once. The trouble is its size, not its rarity.
#
# </details>

# %% [markdown]
# **4. You embed your documents in batches of 16 with a dynamic int8 model, one range a tensor, and store the vectors.
# Later you embed one of the same documents alone. What comes back?**
#
# <details><summary><b>a.</b> Another vector: its codes depended on its neighbours.</summary>
#
# > Yes. The range was taken over the whole batch, so other neighbours mean another scale, and other codes. Fixed
# > ranges do not have this; if results must be reproducible, it can decide between dynamic and static.
#
# </details>
# <details><summary><b>b.</b> The stored one: the rows of a matrix product do not see each other.</summary>
#
# > No. True in float32, and the float model of this page confirms it. In a dynamic model they do meet, in the range
# > that they share.
#
# </details>
# <details><summary><b>c.</b> Another vector: in the batch, padding took part in the attention.</summary>
#
# > No. The mask keeps padding out of the attention. If it did not, the float model would move as well, and there the
# > median of $1 - \cos$ stayed below $10^{-5}$.
#
# </details>

# %% [markdown]
# ## Summary
#
# - Static fixes the ranges beforehand, dynamic finds them in each call; on wide layers finding them is cheap.
# - In our encoder the choice was worth 0 to 5 dB; scales per channel and per token were worth up to 20.
# - Defaults differ in bits (torch: 7), signs (ONNX static: signed), granularity and whether outputs are quantized. Compare these, not names.
# - int8 is slow where no integer kernel runs: count the executed operators, time the layers.
# - A quantized tensor needs one outlier to be lost: a mask of $-10^9$ is enough.
# - With 64 or 72 samples, compare forms on the same samples, and give the interval of the difference.
#
# **Exercises:** [11 Choose dynamic or static](../exercises/11_choose_dynamic_or_static/11_choose_dynamic_or_static.ipynb): four, about 40 minutes.
# `quantlab start 11` makes a copy of your own, which no update touches.
#
# ## Reading
#
# - ONNX Runtime, [Quantize ONNX models](https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html): dynamic and static,
#   formats, when int8 is slower.
# - PyTorch, [torchao](https://github.com/pytorch/ao): the successor; its README says which API is for what.
# - Wang and others, "MiniLM: Deep self-attention distillation for task-agnostic compression of pre-trained transformers", 2020,
#   [arXiv:2002.10957](https://arxiv.org/abs/2002.10957); Reimers and Gurevych, "Sentence-BERT", 2019, [arXiv:1908.10084](https://arxiv.org/abs/1908.10084).
# - Bondarenko, Nagel, Blankevoort, "Understanding and overcoming the challenges of efficient transformer quantization", 2021,
#   [arXiv:2109.12948](https://arxiv.org/abs/2109.12948): the outliers in BERT, and finer granularity against them.
# - Khudia and others, "FBGEMM: Enabling high-performance low-precision deep learning inference", 2021, [arXiv:2101.05615](https://arxiv.org/abs/2101.05615).
