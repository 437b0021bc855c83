"""all-MiniLM-L6-v2 as a torch module of plain parts, for tools that replace linear layers by quantized ones.

The arithmetic is that of `quantlab.lab.minilm`, for a batch of sentences filled up to the same number of tokens: what
stands at [PAD] is kept out of the attention and out of the mean by the mask.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from quantlab.lab.minilm import MAX_TOKENS, N_HEADS, N_LAYERS
from quantlab.lab.models import minilm_weights

if TYPE_CHECKING:
    from torch import nn

# The linear layers of a `layers[i]`, by the name of their weight in the file.
LINEARS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mix": "attention.output.dense",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
}
NORMS = {"mix_norm": "attention.output.LayerNorm", "narrow_norm": "output.LayerNorm"}


def minilm_module() -> "nn.Module":
    """Return the network in evaluation mode; ``module(ids, mask)`` gives embeddings.

    ``module.layers[i]`` for i from 0 to 5 holds six ``torch.nn.Linear``: ``query``, ``key``, ``value``, ``mix`` (after
    the attention), ``widen`` (384 to 1,536) and ``narrow`` (back). The rest stays in float32 when these are quantized:
    tables of embeddings, scores of the attention, softmax, GELU, layer normalizations.

    Returns
    -------
    torch.nn.Module
        Takes ids and mask of `quantlab.lab.minilm.minilm_batch` as int64 tensors (sentences, tokens); returns float32
        (sentences, 384), rows of length 1.

    Example
    -------
    >>> import torch
    >>> from quantlab.lab.minilm import minilm_batch
    >>> with torch.inference_mode():
    ...     embeddings = minilm_module()(*map(torch.from_numpy, minilm_batch(["Round it.", "Do not round it."])))
    >>> embeddings.shape
    torch.Size([2, 384])
    """
    import torch
    from torch import nn
    from torch.nn.functional import gelu, normalize

    weights = {name: torch.from_numpy(weight.copy()) for name, weight in minilm_weights().items()}
    width = weights["embeddings.LayerNorm.weight"].numel()

    def loaded(module: nn.Module, name: str) -> nn.Module:
        module.load_state_dict({key: weights[f"{name}.{key}"] for key in module.state_dict()})
        return module

    def norm(name: str) -> nn.Module:
        return loaded(nn.LayerNorm(width, eps=1e-12), name)

    class Layer(nn.Module):
        def __init__(self, name: str):
            super().__init__()
            for own, theirs in LINEARS.items():
                n_out, n_in = weights[f"{name}.{theirs}.weight"].shape
                setattr(self, own, loaded(nn.Linear(n_in, n_out), f"{name}.{theirs}"))
            for own, theirs in NORMS.items():
                setattr(self, own, norm(f"{name}.{theirs}"))

        def forward(self, x: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
            q, k, v = (heads(linear(x)) for linear in (self.query, self.key, self.value))
            scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
            mixed = (scores + hidden).softmax(dim=-1) @ v
            x = self.mix_norm(x + self.mix(mixed.transpose(1, 2).flatten(2)))
            return self.narrow_norm(x + self.narrow(gelu(self.widen(x))))

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.unflatten(-1, (N_HEADS, -1)).transpose(1, 2)  # (sentences, heads, tokens, features of a head)

    class MiniLM(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = loaded(nn.Embedding(30522, width), "embeddings.word_embeddings")
            self.positions = loaded(nn.Embedding(512, width), "embeddings.position_embeddings")
            self.token_type = nn.Parameter(weights["embeddings.token_type_embeddings.weight"][0])
            self.norm = norm("embeddings.LayerNorm")
            self.layers = nn.ModuleList(Layer(f"encoder.layer.{i}") for i in range(N_LAYERS))

        def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            if ids.shape[1] > MAX_TOKENS:
                raise ValueError(f"ids have {ids.shape[1]} tokens; the model takes up to {MAX_TOKENS}: cut them")
            seen = mask.to(torch.float32)
            hidden = (seen[:, None, None, :] - 1) * 1e9  # added to a score, it makes the softmax exactly 0
            x = self.norm(self.words(ids) + self.positions(torch.arange(ids.shape[1])) + self.token_type)
            for layer in self.layers:
                x = layer(x, hidden)
            return normalize((x * seen[..., None]).sum(dim=1) / seen.sum(dim=1, keepdim=True))

    return MiniLM().eval().requires_grad_(False)


def embedder(module: "nn.Module") -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return the module as a function of arrays, ids and mask to embeddings, without gradients.

    Example
    -------
    >>> from quantlab.lab.minilm import minilm_batch
    >>> embedder(minilm_module())(*minilm_batch(["Round it."])).shape
    (1, 384)
    """
    import torch

    def embed(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return module(torch.from_numpy(ids), torch.from_numpy(mask)).numpy()

    return embed
