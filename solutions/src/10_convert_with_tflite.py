# %% [markdown]
# # Exercises 10: Convert with TFLite
#
# Five exercises to [lesson 10](../../notebooks/10_convert_with_tflite.ipynb). Write your answer into the marked cell
# and run the one below it. Stuck? `hint("10.1")` says a little more each time you run it.
#
# About 50 minutes in all, difficulty 1 to 3 of 3.
# &nbsp; [previous: Exercises 09](../../exercises/09_repair_what_ptq_breaks/09_repair_what_ptq_breaks.ipynb) ·
# [next: Exercises 11](../../exercises/11_choose_dynamic_or_static/11_choose_dynamic_or_static.ipynb)

# %%
from collections.abc import Iterator

import numpy as np

from quantlab.integer.tflite import Model, Operator
from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 10.1 Represent the data &nbsp; (difficulty 1, 6 minutes)
#
# Write the generator that the converter asks for: for every photograph a list that holds one array, the input of the network.
# The network wants float32 of shape (1, 224, 224, 3), each pixel as $(p - 127) / 128$.


# %%
def representative_spec(photos: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Slow and obvious: one pixel at a time."""
    for photo in photos:
        x = np.zeros((1, *photo.shape), np.float32)
        for place in np.ndindex(photo.shape):
            x[(0, *place)] = (float(photo[place]) - 127) / 128
        yield [x]


# %%
def representative(photos: np.ndarray) -> Iterator[list[np.ndarray]]:
    """photos: uint8, shape (n, height, width, 3)."""
    ### BEGIN SOLUTION
    for photo in photos:
        yield [((photo[None].astype(np.float32) - 127) / 128)]
    ### END SOLUTION


# %%
check("10.1", representative)

# %% [markdown]
# ## 10.2 Find the multipliers &nbsp; (difficulty 2, 10 minutes)
#
# Return $M = s_x s_w / s_y$ of a convolution or a fully connected layer, one number an output channel, in float64. An operator
# names its tensors by index: `operator.inputs` are input, weights, bias; `model.tensors[i].scale` is an array.


# %%
def multipliers_spec(model: Model, operator: Operator) -> np.ndarray:
    """Slow and obvious: one channel at a time."""
    x, w = model.tensors[operator.inputs[0]], model.tensors[operator.inputs[1]]
    y = model.tensors[operator.outputs[0]]
    return np.array([float(x.scale[0]) * float(s) / float(y.scale[0]) for s in w.scale])


# %%
def multipliers(model: Model, operator: Operator) -> np.ndarray:
    """Returns (channels,) float64."""
    ### BEGIN SOLUTION
    x, w, y = (model.tensors[i].scale.astype(np.float64) for i in (*operator.inputs[:2], operator.outputs[0]))
    return x * w / y
    ### END SOLUTION


# %%
check("10.2", multipliers)

# %% [markdown]
# ## 10.3 Tell the mode &nbsp; (difficulty 2, 10 minutes)
#
# Return the mode in which a file was converted: `"float32"`, `"float16"`, `"dynamic"`, `"int8"` or `"int16x8"`. Weights are
# constants with two axes or more; mind the files whose first and last tensors are float32 though the layers between are not.


# %%
def mode_of_spec(model: Model) -> str:
    """Slow and obvious: look at every operator's first tensor, and at every weight."""
    weights = {str(t.dtype) for t in model.tensors if t.data is not None and len(t.shape) > 1}
    activations = {str(t.dtype) for t in model.tensors if t.data is None}
    for mode, activation, weight in [
        ("int16x8", "int16", "int8"),
        ("int8", "int8", "int8"),
        ("dynamic", "float32", "int8"),
        ("float16", "float32", "float16"),
    ]:
        if activation in activations and weight in weights:
            return mode
    return "float32"


# %%
def mode_of(model: Model) -> str:
    ### BEGIN SOLUTION
    weights = {str(t.dtype) for t in model.tensors if t.data is not None and len(t.shape) > 1}
    activations = {str(t.dtype) for t in model.tensors if t.data is None}
    if "int8" in weights:
        return "int16x8" if "int16" in activations else "int8" if "int8" in activations else "dynamic"
    return "float16" if "float16" in weights else "float32"
    ### END SOLUTION


# %%
check("10.3", mode_of)

# %% [markdown]
# ## 10.4 Size the arena &nbsp; (difficulty 2, 10 minutes)
#
# Return the least number of bytes in which the activations of a model fit if, while an operator runs, everything that it reads and
# writes must be in memory, and nothing else. Constants stay in the file; `tensor.nbytes` is a tensor's size.


# %%
def arena_spec(model: Model) -> int:
    """Slow and obvious: one operator at a time, and each of its tensors once."""
    most = 0
    for operator in model.operators:
        counted, total = [], 0
        for i in list(operator.inputs) + list(operator.outputs):
            if i >= 0 and i not in counted and model.tensors[i].data is None:
                counted.append(i)
                total += model.tensors[i].nbytes
        most = max(most, total)
    return most


# %%
def arena(model: Model) -> int:
    ### BEGIN SOLUTION
    return max(
        sum(
            model.tensors[i].nbytes
            for i in {*operator.inputs, *operator.outputs}
            if i >= 0 and model.tensors[i].data is None
        )
        for operator in model.operators
    )
    ### END SOLUTION


# %%
check("10.4", arena)

# %% [markdown]
# ## 10.5 Run a layer of the file &nbsp; (difficulty 3, 14 minutes)
#
# Compute the output of a FULLY_CONNECTED operator as LiteRT's default kernels do: the exact accumulator, times
# $M = \mathrm{f32}(\mathrm{f32}(s_x s_w) / s_y)$ in float32, `rint`, zero point, clip. A fused ReLU
# (`operator.options["fused_activation_function"] == "RELU"`) cuts off at the mark of 0.


# %%
def dense_spec(model: Model, operator: Operator, x_q: np.ndarray) -> np.ndarray:
    """Slow and obvious: one output at a time, one weight at a time."""
    x, w, b = (model.tensors[i] for i in operator.inputs)
    y = model.tensors[operator.outputs[0]]
    z_x, z_y = int(x.zero_point[0]), int(y.zero_point[0])
    lowest = z_y if operator.options["fused_activation_function"] == "RELU" else -128
    y_q = np.zeros((len(x_q), len(w.data)), np.int8)
    for n, o in np.ndindex(y_q.shape):
        acc = int(b.data[o]) + sum((int(c) - z_x) * int(v) for c, v in zip(x_q[n], w.data[o], strict=True))
        M = x.scale[0] * w.scale[o] / y.scale[0]
        y_q[n, o] = min(max(int(np.rint(np.float32(acc) * M)) + z_y, lowest), 127)
    return y_q


# %%
def dense(model: Model, operator: Operator, x_q: np.ndarray) -> np.ndarray:
    """x_q: (samples, in) int8. Returns (samples, out) int8."""
    ### BEGIN SOLUTION
    x, w, b = (model.tensors[i] for i in operator.inputs)
    y = model.tensors[operator.outputs[0]]
    acc = (x_q.astype(np.int32) - int(x.zero_point[0])) @ w.data.T.astype(np.int32) + b.data
    z_y = int(y.zero_point[0])
    y_q = np.rint(acc.astype(np.float32) * (x.scale * w.scale / y.scale)) + z_y
    lowest = z_y if operator.options["fused_activation_function"] == "RELU" else -128
    return np.clip(y_q, lowest, 127).astype(np.int8)
    ### END SOLUTION


# %%
check("10.5", dense)
