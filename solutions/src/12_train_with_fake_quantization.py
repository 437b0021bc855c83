# %% [markdown]
# # Exercises 12: Train with fake quantization
#
# Five exercises on [lesson 12](../../notebooks/12_train_with_fake_quantization.ipynb), and a recipe to take home. Write each function,
# run the check, and ask `hint("12.1")` when you are stuck. `solution("12.1")` opens after an attempt.
#
# About 42 minutes in all, difficulty 1 to 2 of 3.
# &nbsp; [previous: Exercises 11](../../exercises/11_choose_dynamic_or_static/11_choose_dynamic_or_static.ipynb) ·
# [next: Exercises 13](../../exercises/13_learn_the_quantizer/13_learn_the_quantizer.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 12.1 Find the fault behind the modules &nbsp; (difficulty 1, 8 minutes)
#
# You get the modules of a network after `prepare_qat`, as pairs of name and type. Return the first fault that applies, in this
# order: `"nothing prepared"` (no `weight_fake_quant` anywhere), `"weights only observed"` (one of them is no `...FakeQuantize`), `"no stub"` (no
# `QuantStub`), else `"no fault"`.
#
# Names are dotted paths, as from `model.named_modules()`: `features.0.weight_fake_quant` belongs to `features.0`. An observer inside a
# fake quantizer is in order: `fc.weight_fake_quant.activation_post_process` is its eye.

# %%
mended = [
    ("quant", "QuantStub"),
    ("quant.activation_post_process", "FusedMovingAvgObsFakeQuantize"),
    ("fc", "Linear"),
    ("fc.weight_fake_quant", "FakeQuantize"),
    ("fc.weight_fake_quant.activation_post_process", "MovingAveragePerChannelMinMaxObserver"),
]


# %%
def find_fault(modules: list[tuple[str, str]]) -> str:
    ### BEGIN SOLUTION
    kinds = [kind for name, kind in modules if name.split(".")[-1] == "weight_fake_quant"]
    if not kinds:
        return "nothing prepared"
    if not all(kind.endswith("FakeQuantize") for kind in kinds):
        return "weights only observed"
    if not any(kind == "QuantStub" for _, kind in modules):
        return "no stub"
    return "no fault"
    ### END SOLUTION


# %%
check("12.1", find_fault)

# %% [markdown]
# ## 12.2 Count the levels &nbsp; (difficulty 1, 6 minutes)
#
# Somebody trained with `n_bits` and gives you the weights that reached a kernel, output channels first. Return `"active"` if every
# channel has at most `2**n_bits` values, `"not active"` if one has more, and `"cannot tell"` if no channel has enough weights to
# have more.


# %%
def levels_spec(W: np.ndarray, n_bits: int) -> str:
    """Slow and obvious: one channel at a time, its values in a set."""
    if W[0].size <= 2**n_bits:
        return "cannot tell"
    for channel in W:
        if len({float(w) for w in channel.ravel()}) > 2**n_bits:
            return "not active"
    return "active"


# %%
def levels(W: np.ndarray, n_bits: int) -> str:
    """W: (out, ...) float32."""
    ### BEGIN SOLUTION
    rows = W.reshape(len(W), -1)
    if rows.shape[1] <= 2**n_bits:
        return "cannot tell"
    most = max(len(np.unique(row)) for row in rows)
    return "active" if most <= 2**n_bits else "not active"
    ### END SOLUTION


# %%
check("12.2", levels)

# %% [markdown]
# ## 12.3 Fold, then round &nbsp; (difficulty 2, 12 minutes)
#
# Return the weights that a convolution computes with in quantization-aware training: the batch norm's $\gamma / \sqrt{\sigma^2 + \varepsilon}$ folded
# in, then fake-quantized, a scale an output channel, on the symmetric grid from $-(2^{b-1}-1)$ to $2^{b-1}-1$. The largest folded
# weight of a channel lies on the last mark.


# %%
def folded_spec(W: np.ndarray, gamma: np.ndarray, variance: np.ndarray, eps: float, n_bits: int) -> np.ndarray:
    """Slow and obvious: one channel at a time."""
    last = 2 ** (n_bits - 1) - 1
    out = np.zeros(W.shape)
    for o, channel in enumerate(W):
        folded = channel * gamma[o] / np.sqrt(variance[o] + eps)
        scale = max(abs(v) for v in folded.ravel()) / last
        out[o] = np.clip(np.rint(folded / scale), -last, last) * scale
    return out


# %%
def folded(W: np.ndarray, gamma: np.ndarray, variance: np.ndarray, eps: float, n_bits: int) -> np.ndarray:
    """W: (out, in, kh, kw), gamma and variance: (out,). No channel is all zero."""
    ### BEGIN SOLUTION
    last = 2 ** (n_bits - 1) - 1
    W = W * (gamma / np.sqrt(variance + eps)).reshape(-1, 1, 1, 1)
    scale = np.abs(W).max(axis=(1, 2, 3), keepdims=True) / last
    return np.rint(W / scale) * scale
    ### END SOLUTION


# %%
check("12.3", folded)

# %% [markdown]
# ## 12.4 Move a range &nbsp; (difficulty 1, 8 minutes)
#
# Return `(lo, hi)` of a moving-average observer after these batches: the first sets the range, each later one moves each end by the
# share `c` of the way to its own. The observer is stopped before batch number `stop` (counted from 0) and moves no more;
# `stop=None` means never.
#
# This one has no specification: with batches `[[0, 4]], [[0, 8]]` and `c=0.5` the range is `(0.0, 6.0)`; with `stop=1` it is `(0.0, 4.0)`.


# %%
def moving_range(batches: list[np.ndarray], c: float, stop: int | None) -> tuple[float, float]:
    ### BEGIN SOLUTION
    lo, hi = float(batches[0].min()), float(batches[0].max())
    for batch in batches[1:stop]:
        lo += c * (float(batch.min()) - lo)
        hi += c * (float(batch.max()) - hi)
    return lo, hi
    ### END SOLUTION


# %%
check("12.4", moving_range)

# %% [markdown]
# ## 12.5 Put the steps in order &nbsp; (difficulty 2, 8 minutes)
#
# Return the steps of the eager recipe in an order that works and that tests what will run: the list below, sorted. Several orders
# are right; the check tells which step stands wrong, and what would happen.

# %%
steps = ["convert", "disable observers", "eval", "freeze statistics", "fuse", "prepare_qat", "set qconfig", "test"]
steps += ["train, everything moves", "train, ranges fixed", "train, statistics fixed", "train in float"]


# %%
def recipe() -> list[str]:
    ### BEGIN SOLUTION
    return [
        "train in float",
        "fuse",
        "set qconfig",
        "prepare_qat",
        "train, everything moves",
        "freeze statistics",
        "train, statistics fixed",
        "disable observers",
        "train, ranges fixed",
        "eval",
        "convert",
        "test",
    ]
    ### END SOLUTION


# %%
check("12.5", recipe)

# %% [markdown]
# ## Take it home: a network of your own
#
# No check here. Two networks that lesson 12 has never seen, with its recipe. First a multilayer perceptron: it has no stubs, so wrap
# it, and name what fuses.

# %%
import warnings

import torch
from torch import nn
from torch.ao import quantization as tq

from quantlab.lab import data
from quantlab.lab.torch_qat import freezing, prepared
from quantlab.lab.torch_quantized import compare_layers, weights_in_use
from quantlab.lab.torch_training import count_right, digit_tensors, fit

warnings.filterwarnings("ignore", message="(?s).*(deprecated|reduce_range)")
torch.backends.quantized.engine = "fbgemm"
torch.set_num_threads(1)
x, y, x_test, y_test = digit_tensors(data.digits(seed=0))
_ = torch.manual_seed(0)

# %%
mlp = tq.QuantWrapper(nn.Sequential(nn.Flatten(), nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 10)))
fit(mlp, x, y, n_epochs=8, lr=3e-3, seed=0)
own = prepared(mlp, [["module.1", "module.2"]], n_bits=4)
fit(own, x, y, n_epochs=4, lr=1e-3, seed=1, before_epoch=freezing(own, statistics=2, observers=3))
own.eval()
print("values a channel:", [max(len(np.unique(row)) for row in W) <= 16 for W in weights_in_use(own, x_test)])
own_int8 = tq.convert(own)
print({name: f"{wrong} of {n}" for name, (n, wrong) in compare_layers(own_int8, x_test).items()})
print("more than nine in ten:", count_right(own_int8, x_test, y_test) > 405)


# %% [markdown]
# Then a residual block. Eager mode replaces modules, and `+` is no module: the sum needs a `FloatFunctional`, which has an observer of
# its own. (Without it `convert` still works, and the first `+` of two int8 tensors raises.)


# %%
class Residual(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(n, n, 3, padding=1, bias=False), nn.BatchNorm2d(n), nn.ReLU())
        self.sum = nn.quantized.FloatFunctional()

    def forward(self, x):
        return self.sum.add(x, self.body(x))


# %%
stem = [nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()]
resnet = tq.QuantWrapper(nn.Sequential(*stem, Residual(8), Residual(8), nn.Flatten(), nn.Linear(128, 10)))
fit(resnet, x, y, n_epochs=6, lr=3e-3, seed=0)
names = [[f"module.{i}" for i in range(3)]] + [[f"module.{k}.body.{i}" for i in range(3)] for k in (3, 4)]
own = prepared(resnet, names, n_bits=4)
fit(own, x, y, n_epochs=4, lr=1e-3, seed=1, before_epoch=freezing(own, statistics=2, observers=3))
own_int8 = tq.convert(own.eval())
print({name: f"{wrong} of {n}" for name, (n, wrong) in compare_layers(own_int8, x_test).items()})
print("more than nine in ten:", count_right(own_int8, x_test, y_test) > 405)

# %% [markdown]
# Now put your own network in their place. If a number in the last-but-one line is not 0, or the line is missing a layer, you have
# found something.
