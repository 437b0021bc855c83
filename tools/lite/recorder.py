"""Runs inside a kernel where the models are, and stores what a lesson asks of them: the other half of `arrays`."""

import functools
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from lite.arrays import ACTIVATIONS, WEIGHTS, coarse, key_of
from quantlab.lab import models


def record() -> dict[str, np.ndarray]:
    """Let the models' functions note what they give in the mapping that is returned."""
    found: dict[str, np.ndarray] = {}

    class Noted(dict):
        def __getitem__(self, name: str) -> np.ndarray:
            tensor = super().__getitem__(name)
            found[f"{self.function}:{name}"] = tensor.copy()
            return tensor

    def weights(function: str, real: Callable) -> dict[str, np.ndarray]:
        noted = Noted(real())
        noted.function = function
        return noted

    def activations(function: str, real: Callable, data: Any, **options: Any) -> dict[str, np.ndarray]:
        answer, call = real(data, **options), key_of(function, data, {**options, "layers": list(options["layers"])})
        found.update({f"{call}:{layer}": values.copy() for layer, values in answer.items()})
        if function == "efficientnet_activations":
            found[f"{call}:photographs"] = coarse(data)
        return answer

    for name in WEIGHTS:
        setattr(models, name, functools.partial(weights, name, getattr(models, name)))
    for module, name in ACTIVATIONS:
        setattr(module, name, functools.partial(activations, name, getattr(module, name)))
    return found


def save(found: dict[str, np.ndarray], file: Path, *, limit: int) -> None:
    """Store the arrays that fit into `limit` bytes, compressed, in the order in which the lesson asked for them."""
    kept, left = {}, limit
    for name, values in found.items():
        size = len(zlib.compress(values.tobytes()))
        if size <= left:
            kept[name], left = values, left - size
    np.savez_compressed(file, **kept)
