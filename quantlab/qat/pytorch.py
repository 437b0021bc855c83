"""The quantizers of this room as torch modules. Optional: nothing in quantlab imports this file, and it needs torch.

Values and gradients are those of the numpy functions, so that what was understood there can be used in a network of
one's own: put a module on a weight with ``torch.nn.utils.parametrize``, or between two layers.
"""

import torch

from quantlab.core.grid import Grid
from quantlab.qat.clipping import clip_qparams
from quantlab.qat.lsq import gradient_scale

__all__ = ["LearnedClip", "LearnedStep", "StraightThrough", "add_rounding_noise", "quantize_random_part"]


def _along(parameter: torch.Tensor, x: torch.Tensor, axis: int | None) -> torch.Tensor:
    """Return one parameter a slice in a shape that broadcasts against ``x``."""
    return parameter if axis is None else parameter.reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])


def _others(x: torch.Tensor, axis: int | None) -> list[int]:
    return [i for i in range(x.ndim) if axis is None or i != axis % x.ndim]


def _begin(parameter: torch.Tensor, value: torch.Tensor) -> None:
    """Give a learned range its first value; ValueError unless it fits and is finite."""
    if value.shape != parameter.shape:
        raise ValueError(f"x has {value.numel()} slices along the axis; expected channels={parameter.numel()}")
    if not value.isfinite().all():
        raise ValueError("the first x is empty, or holds NaN or infinities; a range needs finite values")
    parameter.copy_(value)


class _Round(torch.autograd.Function):
    """``clip(rint(x * inv)) * s``, with the gradients of LSQ by x and by s."""

    @staticmethod
    def forward(ctx, x, step, grid, axis, grad_factor):
        s = _along(step, x, axis)
        q = torch.round(x * (1 / s))
        inside = (q >= grid.quant_min) & (q <= grid.quant_max)
        q = q.clamp(grid.quant_min, grid.quant_max)
        ctx.save_for_backward(x, s, q, inside)
        ctx.axis, ctx.shape, ctx.grad_factor = axis, step.shape, grad_factor
        return q * s

    @staticmethod
    def backward(ctx, dy):
        x, s, q, inside = ctx.saved_tensors
        d_step = None
        if ctx.needs_input_grad[1]:
            # In float64: q - x / s is a small difference of large numbers.
            steps = torch.where(inside, q.double() - x.double() / s.double(), q.double())
            d_step = (dy.double() * steps).sum(_others(x, ctx.axis)).reshape(ctx.shape) * ctx.grad_factor
            d_step = d_step.to(s.dtype)
        return dy * inside, d_step, None, None, None


class LearnedStep(torch.nn.Module):
    """LSQ: rounds to a step that is a parameter, see `quantlab.qat.lsq`.

    Parameters
    ----------
    grid : Grid
        Holding 0 and a mark above it.
    channels : int, optional
        So many slices along ``axis`` have a step each.
    axis : int
        Without ``channels`` it means nothing.
    samples : bool
        Whether axis 0 of the input counts samples: then the gradient scale takes the features of one sample.

    Raises
    ------
    ValueError
        If no mark lies above 0; in ``forward``, if the first values are empty, not finite, or not so many channels.

    Examples
    --------
    >>> quantizer = LearnedStep(Grid(n_bits=2), channels=1)
    >>> quantizer(torch.tensor([[0.6, -0.4]])).tolist()
    [[1.0, -0.0]]
    """

    def __init__(self, grid: Grid, *, channels: int | None = None, axis: int = 0, samples: bool = False):
        super().__init__()
        self.grid, self.samples, self.axis = grid, samples, None if channels is None else axis
        gradient_scale(1, grid=grid)  # refuses a grid with no mark above 0
        self.step = torch.nn.Parameter(torch.zeros(() if channels is None else channels))
        self.register_buffer("ready", torch.tensor(False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rounded values; the first ones set the step."""
        with torch.no_grad():
            if not self.ready:
                _begin(self.step, 2 * x.abs().mean(_others(x, self.axis)) / self.grid.quant_max**0.5)
                self.ready.fill_(True)
            self.step.clamp_(min=2.0**-23)
        n = x.numel() // (len(x) if self.samples else 1) // self.step.numel()
        return _Round.apply(x, self.step, self.grid, self.axis, gradient_scale(n, grid=self.grid))


class StraightThrough(torch.nn.Module):
    """Rounds to the largest magnitude that a tensor has now, symmetric; the step counts as a constant.

    Parameters
    ----------
    grid : Grid
        Signed.
    axis : int, optional
        One step for each slice along it.

    Examples
    --------
    >>> StraightThrough(Grid(n_bits=2), axis=0)(torch.tensor([[1.5, 0.6, -0.4]])).tolist()
    [[1.0, 1.0, -0.0]]
    """

    def __init__(self, grid: Grid, *, axis: int | None = None):
        super().__init__()
        self.grid, self.axis = grid, axis

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the rounded values."""
        with torch.no_grad():
            largest = x.abs().amax(_others(x, self.axis))
            step = (largest / ((self.grid.quant_max - self.grid.quant_min) / 2)).clamp(min=2.0**-23)
        return _Round.apply(x, step, self.grid, self.axis, 1.0)


class LearnedClip(torch.nn.Module):
    """PACT: clips to an end that is a parameter, then rounds, see `quantlab.qat.clipping`.

    The decay of alpha is the optimizer's ``weight_decay``, which adds the same ``lambda * alpha`` to the gradient.

    Parameters
    ----------
    grid : Grid
        Unsigned, or signed and narrow.
    channels : int, optional
        So many slices along ``axis`` have an end each.
    axis : int
        Without ``channels`` it means nothing.

    Raises
    ------
    ValueError
        If the grid is neither unsigned nor narrow; in ``forward`` as `LearnedStep`.

    Examples
    --------
    >>> quantizer = LearnedClip(Grid(n_bits=2, signed=False))
    >>> quantizer(torch.tensor([-1.0, 2.9, 6.0])).tolist()
    [0.0, 2.0, 6.0]
    """

    def __init__(self, grid: Grid, *, channels: int | None = None, axis: int = 0):
        super().__init__()
        clip_qparams(1.0, grid=grid)  # refuses a grid that does not end at -alpha
        self.grid, self.axis = grid, None if channels is None else axis
        self.alpha = torch.nn.Parameter(torch.zeros(() if channels is None else channels))
        self.register_buffer("ready", torch.tensor(False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the clipped and rounded values; the first ones set alpha."""
        grid = self.grid
        with torch.no_grad():
            if not self.ready:
                _begin(self.alpha, (x.abs() if grid.signed else x).amax(_others(x, self.axis)))
                self.ready.fill_(True)
            self.alpha.clamp_(min=grid.quant_max * 2.0**-23)
        end = _along(self.alpha, x, self.axis)
        inside = ((x >= 0) | grid.signed) & (x.abs() < end)
        clipped = torch.where(inside, x, torch.where(x > 0, end, -end if grid.signed else torch.zeros_like(end)))
        rounded = _Round.apply(x, self.alpha / grid.quant_max, grid, self.axis, 1.0)
        return clipped + (rounded - clipped).detach()


def add_rounding_noise(x: torch.Tensor, step: torch.Tensor, *, grid: Grid, noise: torch.Tensor) -> torch.Tensor:
    """Return ``x`` clipped to the grid's ends, plus ``step * noise``; ``noise`` is uniform from -1/2 to 1/2.

    Examples
    --------
    >>> add_rounding_noise(torch.tensor([0.3, 9.0]), torch.tensor(1.0), grid=Grid(n_bits=3), noise=torch.tensor(0.5))
    tensor([0.8000, 3.5000])
    """
    return torch.minimum(torch.maximum(x, grid.quant_min * step), grid.quant_max * step) + noise * step


def quantize_random_part(x: torch.Tensor, step: torch.Tensor, *, grid: Grid, drawn: torch.Tensor) -> torch.Tensor:
    """Return ``x``, rounded to multiples of the step where ``drawn`` says so: Quant-Noise.

    Examples
    --------
    >>> quantize_random_part(
    ...     torch.tensor([0.3, 0.3]), torch.tensor(1.0), grid=Grid(n_bits=3), drawn=torch.tensor([True, False])
    ... )
    tensor([0.0000, 0.3000])
    """
    return torch.where(drawn, _Round.apply(x, step.detach(), grid, None, 1.0), x)
