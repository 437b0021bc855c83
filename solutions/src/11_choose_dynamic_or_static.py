# %% [markdown]
# # Exercises 11: Choose dynamic or static
#
# Four exercises on [lesson 11](../../notebooks/11_choose_dynamic_or_static.ipynb). Write each function, run the check, and ask
# `hint("11.1")` when you are stuck. `solution("11.1")` opens after an attempt.
#
# About 40 minutes in all, difficulty 1 to 2 of 3.
# &nbsp; [previous: Exercises 10](../../exercises/10_convert_with_tflite/10_convert_with_tflite.ipynb) ·
# [next: Exercises 12](../../exercises/12_train_with_fake_quantization/12_train_with_fake_quantization.ipynb)

# %%
import numpy as np

from quantlab.lab import check, hint, solution

# %% [markdown]
# ## 11.1 Find the ruler when the data comes &nbsp; (difficulty 2, 12 minutes)
#
# Return the output of a dynamically quantized linear layer, as ONNX Runtime computes it: find the range of `x`, which must hold 0, quantize `x` to
# uint8, sum products of integers, scale back to float32 once. `w_q` is int8 with one scale a row and no zero point.


# %%
def dynamic_linear_spec(x: np.ndarray, w_q: np.ndarray, w_scale: np.ndarray) -> np.ndarray:
    """Slow and obvious: one output at a time. x (n, in) float32, w_q (out, in) int8, w_scale (out,) float32."""
    lo, hi = min(x.min(), np.float32(0)), max(x.max(), np.float32(0))
    scale = np.float32(hi - lo) / np.float32(255)
    zero_point = int(np.rint(-lo / scale))
    y = np.empty((len(x), len(w_q)), np.float32)
    for i, row in enumerate(x):
        for o, weights in enumerate(w_q):
            acc = 0
            for value, weight in zip(row, weights, strict=True):
                code = min(max(int(np.rint(value / scale)) + zero_point, 0), 255)
                acc += (code - zero_point) * int(weight)
            y[i, o] = np.float32(acc) * (scale * w_scale[o])
    return y


# %%
def dynamic_linear(x: np.ndarray, w_q: np.ndarray, w_scale: np.ndarray) -> np.ndarray:
    """x is never all zero. Returns (n, out) float32, equal to the specification within 1e-6 of its largest value."""
    ### BEGIN SOLUTION
    lo, hi = min(x.min(), np.float32(0)), max(x.max(), np.float32(0))
    scale = (hi - lo) / np.float32(255)
    zero_point = int(np.rint(-lo / scale))
    x_q = np.clip(np.rint(x / scale).astype(np.int32) + zero_point, 0, 255)
    acc = (x_q - zero_point) @ w_q.astype(np.int32).T
    return acc.astype(np.float32) * (scale * w_scale)
    ### END SOLUTION


# %%
check("11.1", dynamic_linear)

# %% [markdown]
# ## 11.2 Keep the neighbours out &nbsp; (difficulty 2, 10 minutes)
#
# A batch of sentences, filled up with padding, gets one dynamic range *per sentence*, so that an embedding no longer depends on what else is
# in the batch. Return `(lo, hi)`, each of shape (sentences,): over the sentence's own tokens, and widened to hold 0.


# %%
def sentence_ranges_spec(x: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slow and obvious. x (sentences, tokens, features) float32; mask (sentences, tokens), 0 at padding."""
    lo, hi = [], []
    for sentence, kept in zip(x, mask, strict=True):
        values = [0.0]
        for token, is_token in zip(sentence, kept, strict=True):
            if is_token:
                values += token.tolist()
        lo.append(min(values))
        hi.append(max(values))
    return np.array(lo, np.float32), np.array(hi, np.float32)


# %%
def sentence_ranges(x: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    ### BEGIN SOLUTION
    own = np.where(mask[..., None] == 1, x, np.float32(0))  # 0 is in the range anyway
    return np.minimum(own.min(axis=(1, 2)), 0), np.maximum(own.max(axis=(1, 2)), 0)
    ### END SOLUTION


# %%
check("11.2", sentence_ranges)

# %% [markdown]
# ## 11.3 Weigh the file &nbsp; (difficulty 1, 8 minutes)
#
# Return the bytes that the tensors of a quantized model take. `shapes` holds every tensor of the float32 model; those named in `quantized` become int8 with one
# float32 scale for each entry of their first axis (and no zero point, for they are symmetric). All others stay float32.


# %%
def file_bytes_spec(shapes: dict[str, tuple[int, ...]], quantized: set[str]) -> int:
    """Slow and obvious: make the tensors, and let numpy weigh them."""
    total = 0
    for name, shape in shapes.items():
        if name in quantized:
            total += np.zeros(shape, np.int8).nbytes + np.zeros(shape[0], np.float32).nbytes
        else:
            total += np.zeros(shape, np.float32).nbytes
    return total


print(file_bytes_spec({"table": (30522, 384), "dense.weight": (1536, 384), "dense.bias": (1536,)}, {"dense.weight"}))


# %%
def file_bytes(shapes: dict[str, tuple[int, ...]], quantized: set[str]) -> int:
    """Compute it; a language model would not fit into memory. Use Python's own integers."""
    ### BEGIN SOLUTION
    total = 0
    for name, shape in shapes.items():
        size = 1
        for n in shape:
            size *= n
        total += size + 4 * shape[0] if name in quantized else 4 * size
    return total
    ### END SOLUTION


# %%
check("11.3", file_bytes)

# %% [markdown]
# ## 11.4 Choose by the interval &nbsp; (difficulty 2, 10 minutes)
#
# Return the name of the fastest form that is at most `max_mb` large and whose accuracy has *certainly* not fallen by more than `max_loss`. `forms` maps a name to `(ms, mb,
# low, high)`, where `low` and `high` are the ends of the interval of its accuracy minus float32's. Return `"float32"` if no form qualifies.


# %%
def choose_form_spec(forms: dict[str, tuple[float, float, float, float]], max_mb: float, max_loss: float) -> str:
    """Slow and obvious: strike out what does not qualify, then take the fastest of the rest."""
    left = dict(forms)
    for name, (_, mb, low, _) in forms.items():
        if mb > max_mb or low < -max_loss:  # the loss may be as large as -low
            left.pop(name)
    fastest = "float32"
    for name, (ms, *_) in left.items():
        if fastest == "float32" or ms < left[fastest][0]:
            fastest = name
    return fastest


# %%
def choose_form(forms: dict[str, tuple[float, float, float, float]], max_mb: float, max_loss: float) -> str:
    """forms: {name: (ms, mb, low, high)}. No two forms take the same time."""
    ### BEGIN SOLUTION
    left = {name: ms for name, (ms, mb, low, _) in forms.items() if mb <= max_mb and low >= -max_loss}
    return min(left, key=left.get) if left else "float32"
    ### END SOLUTION


# %%
check("11.4", choose_form)
