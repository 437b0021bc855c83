"""What a page asks of real models, without the models: the arrays were stored where the models are.

The first cell of a page in the browser imports this file as a package of its own, with the arrays beside it. Then
`quantlab.lab.models` and `quantlab.lab.minilm` answer from these arrays. A tensor that the page does not use is not
there, and nobody can count or list the tensors of a model of which only some are there: both are errors, never a
shorter list.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from quantlab.lab import minilm, models

FILE = Path(__file__).with_name("arrays.npz")
WEIGHTS = ["efficientnet_weights", "minilm_weights"]
ACTIVATIONS = [(models, "efficientnet_activations"), (minilm, "minilm_activations")]
NEAR = 2  # of 255: what decoders make of one JPEG differs by less, in the mean of a field
ONLY_SOME = "only those arrays of real models are in the browser that a page can use and that are small enough"


class Some(Mapping):
    """Some tensors of a model, by name."""

    def __init__(self, take: Callable[[str], np.ndarray]):
        self.take = take

    def __getitem__(self, name: str) -> np.ndarray:
        return self.take(name)

    def __iter__(self) -> Iterator[str]:
        raise FileNotFoundError(f"the names of all tensors: {ONLY_SOME}")

    def __len__(self) -> int:
        raise FileNotFoundError(f"the number of all tensors: {ONLY_SOME}")


def key_of(function: str, data: Any, options: dict[str, Any]) -> str:
    """The name under which the answer to one call is stored: by texts as they are, by photographs only by their shape.

    Another program decodes a JPEG a little differently; `coarse` tells whether the photographs are the same.
    """
    data = np.asarray(data)
    said = json.dumps([data.tolist() if data.dtype.kind == "U" else data.shape, options], sort_keys=True)
    return f"{function}:{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def coarse(photographs: np.ndarray) -> np.ndarray:
    """The means of 64 fields of each photograph, (n, 8, 8, 3), for photographs of (n, 224, 224, 3)."""
    return photographs.reshape(-1, 8, 28, 8, 28, 3).mean(axis=(2, 4), dtype=np.float32)


def replay(note: Callable[[str], None] = lambda key: None) -> None:
    """Let the models' functions answer from the stored arrays; `note` hears the name of each one that is given."""
    stored = dict(np.load(FILE)) if FILE.exists() else {}

    def take(key: str) -> np.ndarray:
        if key not in stored:
            raise FileNotFoundError(f"{key.partition(':')[0]}: {ONLY_SOME}")
        note(key)
        return stored[key].copy()

    def activations(function: str, data: Any, *, layers: list[str], **options: Any) -> dict[str, np.ndarray]:
        call = key_of(function, data, {"layers": list(layers), **options})
        if function == "efficientnet_activations" and np.abs(take(f"{call}:photographs") - coarse(data)).max() > NEAR:
            raise FileNotFoundError(f"{function} of other photographs: {ONLY_SOME}")
        return {layer: take(f"{call}:{layer}") for layer in layers}

    for name in WEIGHTS:
        setattr(models, name, lambda name=name: Some(lambda tensor: take(f"{name}:{tensor}")))
    for module, name in ACTIVATIONS:
        setattr(module, name, functools.partial(activations, name))
