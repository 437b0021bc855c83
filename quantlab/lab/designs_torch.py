"""Small convolutional networks that differ in one choice of design, trained in stacks: one network for every seed.

A stack of S networks is one network with S groups of channels. Every convolution is grouped, every batch norm works on
channels anyway, and the losses are added; so no network knows of the others, and each learns what it would learn alone.
Only the calls are shared, which for networks as small as these is most of the time.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from quantlab.lab.glyphs import CLASSES, glyphs

__all__ = ["DESIGNS", "Design", "Letters", "Stack", "Tap", "letters", "no_tap", "train"]

STEM, WIDTH, WIDE, SQUEEZED, HEAD, N_BLOCKS = 16, 16, 48, 4, 48, 3  # channels; blocks with a shortcut
Tap = Callable[[str, torch.Tensor], torch.Tensor]


def no_tap(name: str, value: torch.Tensor) -> torch.Tensor:
    """Return the value as it came."""
    return value


@dataclass(frozen=True)
class Design:
    """Five choices; the defaults are those of EfficientNet-Lite.

    Attributes
    ----------
    activation : {"relu6", "swish"}
        Behind every convolution but the last of a block.
    squeeze : bool
        Squeeze-and-excite: behind the depthwise convolution each channel is multiplied by a gate between 0 and 1, which
        two small layers compute from the means of all channels.
    depthwise : bool
        A block widens by a 1 x 1 convolution, then filters every channel by itself; or does both in one full 3 x 3.
    shortcut : bool
        Whether a block adds its input to what it computed.
    norm : {"branch", "input"}
        Where a block has its third batch norm: at the end of the branch, before the add, or at its beginning. With
        "input" nothing normalizes what is added.
    """

    activation: str = "relu6"
    squeeze: bool = False
    depthwise: bool = True
    shortcut: bool = True
    norm: str = "branch"

    def __post_init__(self):
        if self.activation not in ("relu6", "swish"):
            raise ValueError(f"activation={self.activation!r}; expected 'relu6' or 'swish'")
        if self.norm not in ("branch", "input"):
            raise ValueError(f"norm={self.norm!r}; expected 'branch' or 'input'")
        if self.norm == "input" and not self.depthwise:
            raise ValueError("norm='input' needs depthwise=True: only into a 1 x 1 convolution can it be folded")


DESIGNS: Mapping[str, Design] = {
    "lite": Design(),
    "swish": Design(activation="swish"),
    "squeeze": Design(squeeze=True),
    "full": Design(depthwise=False),
    "no shortcut": Design(shortcut=False),
    "norm on input": Design(norm="input"),
}


@dataclass(frozen=True)
class Letters:
    """Images for S networks, each with its own.

    Attributes
    ----------
    x_train, x_test : torch.Tensor of float32, shape (n, S, 14, 14)
    y_train, y_test : torch.Tensor of int64, shape (n, S)
    seeds : tuple of int
    """

    x_train: torch.Tensor
    y_train: torch.Tensor
    x_test: torch.Tensor
    y_test: torch.Tensor
    seeds: tuple[int, ...]


def letters(seeds: Sequence[int], *, n_train: int, n_test: int) -> Letters:
    """Return `quantlab.lab.glyphs` at 14 x 14, the mean of 2 x 2 pixels, for one network a seed.

    Example
    -------
    >>> letters([0, 1], n_train=20, n_test=10).x_train.shape
    torch.Size([20, 2, 14, 14])
    """
    parts = [glyphs(seed=seed, n_train=n_train, n_test=n_test) for seed in seeds]

    def images(all_x: list[np.ndarray]) -> torch.Tensor:
        small = [x.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)) for x in all_x]
        return torch.from_numpy(np.stack(small, axis=1))

    def labels(all_y: list[np.ndarray]) -> torch.Tensor:
        return torch.from_numpy(np.stack(all_y, axis=1))

    return Letters(
        images([g.x_train for g in parts]),
        labels([g.y_train for g in parts]),
        images([g.x_test for g in parts]),
        labels([g.y_test for g in parts]),
        tuple(seeds),
    )


class Stack(nn.Module):
    """One network of a design for each seed.

    A stem of stride 2, a depthwise block of stride 2, three blocks with a shortcut at 4 x 4 pixels, a head, the mean
    over the image, a classifier.

    Parameters
    ----------
    design : Design
    seeds : sequence of int
        Layers of the same name and shape begin with the same weights in every design and in every stack.
    """

    def __init__(self, design: Design, *, seeds: Sequence[int]):
        super().__init__()
        self.design, self.seeds = design, tuple(seeds)
        self.convs, self.norms = nn.ModuleDict(), nn.ModuleDict()
        self._add("stem", 1, STEM, size=3, stride=2)
        self._add("first_filter", STEM, STEM, size=3, stride=2, depthwise=True)
        self._add("first_project", STEM, WIDTH)
        for k in range(1, N_BLOCKS + 1):
            if design.depthwise:
                self._add(f"block{k}_expand", WIDTH, WIDE)
                self._add(f"block{k}_filter", WIDE, WIDE, size=3, depthwise=True)
            else:
                self._add(f"block{k}_filter", WIDTH, WIDE, size=3)
            if design.squeeze:
                self._add(f"block{k}_squeeze", WIDE, SQUEEZED, norm=False)
                self._add(f"block{k}_excite", SQUEEZED, WIDE, norm=False)
            self._add(f"block{k}_project", WIDE, WIDTH, norm=design.norm == "branch")
            if design.norm == "input":
                self.norms[f"block{k}"] = nn.BatchNorm2d(len(self.seeds) * WIDTH, eps=1e-3)
        self._add("head", WIDTH, HEAD)
        self._add("classify", HEAD, len(CLASSES), norm=False)
        self.to(memory_format=torch.channels_last)

    def _add(self, name, n_in, n_out, *, size=1, stride=1, depthwise=False, norm=True):
        """Append a convolution, without bias if a batch norm follows."""
        n, groups = len(self.seeds), n_in if depthwise else 1
        padding = 0 if name == "stem" else size // 2
        conv = nn.Conv2d(n * n_in, n * n_out, size, stride, padding, groups=n * groups, bias=not norm)
        shape = (n_out, *conv.weight.shape[1:])
        spread = (2 / np.prod(shape[1:])) ** 0.5  # He's
        drawn = [
            np.random.default_rng([seed, zlib.crc32(name.encode())]).normal(0, spread, shape) for seed in self.seeds
        ]
        with torch.no_grad():
            conv.weight.copy_(torch.from_numpy(np.concatenate(drawn)))
            if conv.bias is not None:
                conv.bias.zero_()
        self.convs[name] = conv
        if norm:
            self.norms[name] = nn.BatchNorm2d(n * n_out, eps=1e-3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (n, S, classes) of images (n, S, 14, 14)."""

        def layer(name: str, x: torch.Tensor) -> torch.Tensor:
            y = self.convs[name](x)
            return self.norms[name](y) if name in self.norms else y

        def norm(name: str, x: torch.Tensor) -> torch.Tensor:
            return self.norms[name](x)

        return run(self.design, x, layer=layer, norm=norm)


def run(
    design: Design,
    x: torch.Tensor,
    *,
    layer: Tap,
    norm: Tap,
    tap: Tap = no_tap,
) -> torch.Tensor:
    """Return the logits of a stack of networks; what its layers do is up to the caller.

    Parameters
    ----------
    design : Design
    x : torch.Tensor, shape (n, S, 14, 14)
    layer, norm : callable
        ``layer("stem", x)`` is the convolution with its batch norm, ``norm("block1", x)`` a batch norm without.
    tap : callable
        Gets every tensor that an integer runtime would store, by name, and returns what the next layer shall read. What
        such a runtime fuses into a convolution (batch norm, bias, ReLU6) has no tap; swish has one on either side.
    """
    n_networks = x.shape[1]

    def activated(name: str, x: torch.Tensor) -> torch.Tensor:
        y = layer(name, x)
        return tap(name, F.relu6(y)) if design.activation == "relu6" else tap(name, F.silu(tap(f"{name}_before", y)))

    def block(name: str, x: torch.Tensor) -> torch.Tensor:
        y = norm(name, x) if design.norm == "input" else x
        if design.depthwise:
            y = activated(f"{name}_expand", y)
        y = activated(f"{name}_filter", y)
        if design.squeeze:
            s = activated(f"{name}_squeeze", tap(f"{name}_mean", F.avg_pool2d(y, 4)))
            gate = tap(f"{name}_gate", torch.sigmoid(tap(f"{name}_excite", layer(f"{name}_excite", s))))
            y = tap(f"{name}_product", y * gate)
        y = tap(f"{name}_project", layer(f"{name}_project", y))
        if design.shortcut:
            y = tap(f"{name}_sum", x + y)
        return y

    x = tap("input", x.contiguous(memory_format=torch.channels_last))
    x = F.pad(x, (0, 1, 0, 1))  # TFLite's "same" for a stride of 2 and an even size: the extra pixel comes last
    x = activated("first_filter", activated("stem", x))
    x = tap("first_project", layer("first_project", x))
    for k in range(1, N_BLOCKS + 1):
        x = block(f"block{k}", x)
    x = tap("mean", F.avg_pool2d(activated("head", x), 4))
    return tap("classify", layer("classify", x)).reshape(len(x), n_networks, len(CLASSES))


def train(design: Design, data: Letters, *, n_epochs: int, lr: float, batch_size: int = 64) -> tuple[Stack, np.ndarray]:
    """Return a stack of trained networks in evaluation mode, and the mean loss of every epoch and network.

    Adam under torch's ``OneCycleLR``: by half cosines the step size rises from a 25th of ``lr`` to ``lr`` in the first
    fifth, then falls to nearly 0, while beta1 falls from 0.95 to 0.85 and rises again. The network of a seed sees its
    own images, in an order that depends on the seed alone.

    Returns
    -------
    stack : Stack
    losses : ndarray of float, shape (n_epochs, S)

    Raises
    ------
    ValueError
        If there are fewer images than a batch holds, or a loss is no longer finite.
    """
    stack, n = Stack(design, seeds=data.seeds), len(data.x_train)
    if n < batch_size:
        raise ValueError(f"{n} training images; expected at least batch_size={batch_size}")
    n_steps = n // batch_size  # an epoch; what is left over is another part in every epoch
    optimizer = torch.optim.Adam(stack.parameters(), lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=n_epochs * n_steps, pct_start=0.2)
    orders = [np.random.default_rng([seed, 1]) for seed in data.seeds]
    columns, losses = torch.arange(len(data.seeds)), np.zeros((n_epochs, len(data.seeds)))
    for epoch in range(n_epochs):
        order = torch.from_numpy(np.stack([rng.permutation(n) for rng in orders], axis=1))
        for rows in order[: n_steps * batch_size].split(batch_size):
            logits = stack(data.x_train[rows, columns])
            loss = F.cross_entropy(logits.movedim(2, 1), data.y_train[rows, columns], reduction="none").mean(dim=0)
            optimizer.zero_grad()
            loss.sum().backward()
            optimizer.step()
            schedule.step()
            losses[epoch] += loss.detach().numpy() / n_steps
        if not np.isfinite(losses[epoch]).all():
            raise ValueError(f"the losses of epoch {epoch} are {losses[epoch]}; choose a smaller lr than {lr}")
    return stack.eval(), losses
