"""When, in the course of a training, quantizers begin, and when ranges and statistics stop moving."""

from collections.abc import Iterator
from dataclasses import dataclass

from quantlab.core.arguments import as_integer
from quantlab.nn.layers import Layer, Sequential
from quantlab.nn.pool_layers import Residual
from quantlab.qat.fold import QATConvBatchNorm
from quantlab.qat.layers import Quantizing
from quantlab.qat.quantizers import FakeQuantize

__all__ = ["Schedule", "walk"]


@dataclass(frozen=True)
class Schedule:
    """Epochs, counted from 0, at whose beginning something changes; None is never, where it is allowed.

    The usual order: first the network, then the ranges, then only the weights. Activations may be quantized late,
    since at first their ranges change fast (Jacob et al. 2018, section 3.1). Observers stop, so that the last epochs
    train for the ranges that will be deployed. Batch statistics stop, so that they train for the averages that will be
    deployed (Krishnamoorthi 2018, section 3.2.2).

    Parameters
    ----------
    quantize_activations_at : int
        Until then training leaves activations alone, and observers only watch.
    freeze_observers_at : int, optional
        From then on the moving averages of activation ranges stay. Learned ranges go on learning.
    freeze_statistics_at : int, optional
        From then on folded batch norms train with their running averages, and leave them as they are.

    Raises
    ------
    TypeError
        If an epoch is not an integer.
    ValueError
        If an epoch is negative; in ``apply``, if it is.

    Examples
    --------
    >>> schedule = Schedule(quantize_activations_at=2, freeze_observers_at=6, freeze_statistics_at=8)
    >>> schedule.stage(0)
    {'quantizing': False, 'observing': True, 'frozen': False}
    >>> schedule.stage(7)
    {'quantizing': True, 'observing': False, 'frozen': False}
    """

    quantize_activations_at: int = 0
    freeze_observers_at: int | None = None
    freeze_statistics_at: int | None = None

    def __post_init__(self):
        for name, epoch in vars(self).items():
            if epoch is None and name != "quantize_activations_at":
                continue
            if as_integer(name, epoch) < 0:
                raise ValueError(f"{name}={epoch}; expected 0 or more: epochs are counted from 0")

    def stage(self, epoch: int) -> dict[str, bool]:
        """Return the three switches as they are in this epoch."""
        if epoch < 0:
            raise ValueError(f"epoch={epoch}; expected 0 or more")
        observers, statistics = self.freeze_observers_at, self.freeze_statistics_at
        return {
            "quantizing": epoch >= self.quantize_activations_at,
            "observing": observers is None or epoch < observers,
            "frozen": statistics is not None and epoch >= statistics,
        }

    def apply(self, model: Layer, *, epoch: int) -> None:
        """Set the switches of every layer of a prepared network; call it before each epoch.

        Examples
        --------
        >>> import numpy as np
        >>> from quantlab.core.grid import Grid
        >>> from quantlab.qat.layers import QATLinear
        >>> grids = {"w_grid": Grid(n_bits=4), "x_grid": Grid(n_bits=4, signed=False)}
        >>> model = Sequential([QATLinear(4, 3, **grids, rule="ste", rng=np.random.default_rng(0))])
        >>> Schedule(freeze_observers_at=3).apply(model, epoch=3)
        >>> model.layers[0].quantize_x.observing
        False
        """
        stage = self.stage(epoch)
        for layer in walk(model):
            if isinstance(layer, QATConvBatchNorm):
                layer.frozen = stage["frozen"]
            if isinstance(layer, Quantizing) and layer.quantize_x is not None:
                layer.quantize_x.quantizing = stage["quantizing"]
                if isinstance(layer.quantize_x, FakeQuantize):
                    layer.quantize_x.observing = stage["observing"]


def walk(layer: Layer) -> Iterator[Layer]:
    """Yield the layers of a network that hold no others, in order."""
    if isinstance(layer, Residual):
        layer = layer.body
    if isinstance(layer, Sequential):
        for inner in layer.layers:
            yield from walk(inner)
    else:
        yield layer
