"""all-MiniLM-L6-v2 in plain numpy: a transformer encoder whose activations can be taken out at every layer.

BERT (Devlin et al. 2018, arXiv:1810.04805): 6 layers, 384 features, 12 heads of 32. Each layer is attention and a
feed-forward network, each followed by a residual sum and a layer normalization:

    A = softmax(Q K^T / sqrt(32)) V        X <- LN(X + A W_o^T + b_o)
                                           X <- LN(X + gelu(X W_1^T + b_1) W_2^T + b_2)

The embedding of a sentence is the mean of the last X over its tokens, divided by its length (Reimers and Gurevych 2019,
arXiv:1908.10084, mean pooling; the model's card). The same network as a torch module is in `quantlab.lab.minilm_torch`,
as an ONNX file in `quantlab.lab.minilm_onnx`.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import numpy as np

from quantlab.lab.models import minilm_weights, model_file

N_LAYERS, N_HEADS = 6, 12
MAX_TOKENS = 256  # the length that the model was trained with


def minilm_tokens(sentences: Sequence[str]) -> list[list[int]]:
    """Return the token ids of each sentence, [CLS] and [SEP] included, cut at 256 tokens.

    Raises
    ------
    ValueError
        If there is no sentence.

    Example
    -------
    >>> minilm_tokens(["Round it."])
    [[101, 2461, 2009, 1012, 102]]
    """
    tokenizer = _tokenizer()
    return [tokenizer.encode(sentence).ids for sentence in _checked(sentences)]


@cache  # 30,522 words are read in about 30 ms, which a batch of sentences would wait for
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model_file("minilm").with_name("tokenizer.json")))
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def minilm_batch(sentences: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return token ids and mask of a batch, as `quantlab.lab.minilm_torch` and `quantlab.lab.minilm_onnx` read them.

    Parameters
    ----------
    sentences : sequence of str

    Returns
    -------
    ids : ndarray of int64, shape (sentences, tokens of the longest)
        Shorter sentences are filled up with 0, the token [PAD].
    mask : ndarray of int64, same shape
        1 at a token, 0 at [PAD].

    Raises
    ------
    ValueError
        If there is no sentence.

    Example
    -------
    >>> ids, mask = minilm_batch(["Round it.", "Do not round it."])
    >>> ids[0], mask[0]
    (array([ 101, 2461, 2009, 1012,  102,    0,    0]), array([1, 1, 1, 1, 1, 0, 0]))
    """
    tokens = minilm_tokens(sentences)
    ids = np.zeros((len(tokens), max(map(len, tokens))), np.int64)
    for row, found in zip(ids, tokens, strict=True):
        row[: len(found)] = found
    lengths = np.array([len(found) for found in tokens])
    return ids, (np.arange(ids.shape[1]) < lengths[:, None]).astype(np.int64)


def minilm_embeddings(sentences: Sequence[str]) -> np.ndarray:
    r"""Return one embedding of length 1 a sentence: the scalar product of two is the cosine of their angle.

    .. math:: e = \frac{m}{\lVert m \rVert}, \qquad m = \frac1T \sum_{t=1}^{T} X_t

    where X_t is the last layer's output at token t; the marks at both ends, [CLS] and [SEP], count.

    Parameters
    ----------
    sentences : sequence of str

    Returns
    -------
    ndarray of float32, shape (sentences, 384)

    Raises
    ------
    ValueError
        If there is no sentence.

    Example
    -------
    >>> a, b, c = minilm_embeddings(["The cat sleeps.", "A cat is asleep.", "Taxes are due in May."])
    >>> bool(a @ b > 0.8), bool(a @ c < 0.2)
    (True, True)
    """
    weights = minilm_weights()
    tokens = minilm_tokens(sentences)
    mean = np.stack([_forward(np.array(ids), weights, lambda *what: None).mean(axis=0) for ids in tokens])
    return mean / np.sqrt((mean**2).sum(axis=1, keepdims=True))


def minilm_activations(
    sentences: Sequence[str], *, layers: Sequence[str], side: Literal["input", "output"] = "output"
) -> dict[str, np.ndarray]:
    """Run the model on sentences and return what flows into or out of some of its layers, one row a token.

    Parameters
    ----------
    sentences : sequence of str
    layers : sequence of str
        Linear layers by the name of their weight: ``"encoder.layer.0.attention.self.query"`` (key, value),
        ``"encoder.layer.0.attention.output.dense"``, ``"encoder.layer.0.intermediate.dense"``,
        ``"encoder.layer.0.output.dense"``. With side="output" also ``"embeddings"`` and whole layers,
        ``"encoder.layer.0"``.
    side : {"input", "output"}
        With "input", ``X @ W.T + b`` of the layer's own weights is its output.

    Returns
    -------
    dict of str to ndarray of float32, shape (tokens of all sentences, features)

    Raises
    ------
    ValueError
        If a layer does not exist (or has no such side), the side is unknown, or there is no sentence.

    Example
    -------
    >>> minilm_activations(["Round it."], layers=["encoder.layer.5"])["encoder.layer.5"].shape
    (5, 384)
    """
    if side not in ("input", "output"):
        raise ValueError(f"side={side!r}; expected 'input' or 'output'")
    weights, tokens = minilm_weights(), minilm_tokens(sentences)
    taken: dict[str, list[np.ndarray]] = {}

    def take(name: str, at: str, value: np.ndarray) -> None:
        if at == side:
            taken.setdefault(name, []).append(value)

    for ids in tokens:  # one at a time: no padding, no mask
        _forward(np.array(ids), weights, take)
    unknown = [name for name in layers if name not in taken]
    if unknown:
        raise ValueError(f"layers={unknown} have no {side} here; choose from {', '.join(list(taken)[:8])}, ...")
    return {name: np.concatenate(taken[name]) for name in layers}


def _checked(sentences: Sequence[str]) -> Sequence[str]:
    """Return the sentences; raise ValueError unless they are a list of at least one."""
    if isinstance(sentences, str) or not len(sentences):
        raise ValueError(f"sentences={sentences!r}; give a list of at least one sentence")
    return sentences


def _forward(
    ids: np.ndarray, weights: dict[str, np.ndarray], take: Callable[[str, str, np.ndarray], None]
) -> np.ndarray:
    """Return the last layer's output for one sentence, and hand every layer's input and output to ``take``."""
    from scipy.special import erf, softmax

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        y = x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]
        take(name, "input", x)
        take(name, "output", y)
        return y

    def layer_norm(name: str, x: np.ndarray) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + np.float32(1e-12))
        return centred / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def heads(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), N_HEADS, -1).transpose(1, 0, 2)  # (heads, tokens, features of a head)

    tables = ("word", ids), ("position", np.arange(len(ids))), ("token_type", np.zeros_like(ids))
    x = sum(weights[f"embeddings.{name}_embeddings.weight"][rows] for name, rows in tables)
    x = layer_norm("embeddings.LayerNorm", x)
    take("embeddings", "output", x)
    for layer in (f"encoder.layer.{i}" for i in range(N_LAYERS)):
        q, k, v = (heads(linear(f"{layer}.attention.self.{name}", x)) for name in ("query", "key", "value"))
        scores = q @ k.transpose(0, 2, 1) / np.sqrt(np.float32(q.shape[-1]))
        mixed = (softmax(scores, axis=-1) @ v).transpose(1, 0, 2).reshape(x.shape)
        attended = linear(f"{layer}.attention.output.dense", mixed)
        x = layer_norm(f"{layer}.attention.output.LayerNorm", x + attended)
        inner = linear(f"{layer}.intermediate.dense", x)
        inner = inner * np.float32(0.5) * (1 + erf(inner * np.float32(np.sqrt(0.5))))  # gelu, the exact one
        x = layer_norm(f"{layer}.output.LayerNorm", x + linear(f"{layer}.output.dense", inner))
        take(layer, "output", x)
    return x
