"""Random quantized convolutions whose accumulators fall anywhere, onto ties, or right beside them."""

from typing import NamedTuple

import numpy as np

from quantlab.core.grid import Grid
from quantlab.core.qparams import QParams
from quantlab.core.windows import place_windows
from quantlab.integer.ops import conv2d, conv_integer, depthwise_conv2d
from quantlab.lab.litert import run
from tests.integer import litert_models as litert

INT8 = Grid(n_bits=8)


class Shape(NamedTuple):
    """What a convolution looks like; ``groups`` None is depthwise with ``out`` a multiple of the channels."""

    image: tuple[int, int, int, int]
    out: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    padding: str = "same"
    groups: int | None = 1


class Convolution(NamedTuple):
    """Quantized operands of a convolution."""

    shape: Shape
    x_q: np.ndarray
    w_q: np.ndarray
    bias_q: np.ndarray | None
    qps: dict[str, QParams]

    @property
    def windows(self):
        """Where the windows lie."""
        shape = self.shape
        sizes = {"kernel": shape.kernel, "stride": shape.stride, "dilation": shape.dilation}
        return place_windows(shape.image[1:3], **sizes, padding=shape.padding)

    @property
    def options(self):
        """Arguments of an operator of quantlab beside operands and scales."""
        return {"stride": self.shape.stride, "dilation": self.shape.dilation, "padding": self.shape.padding}

    def ours(self, dialect, activation=None):
        """Return the output in a dialect."""
        op = depthwise_conv2d if self.shape.groups is None else conv2d
        return op(self.x_q, self.w_q, self.bias_q, **self.qps, **self.options, dialect=dialect, activation=activation)

    def theirs(self, kernel_sets, activation=None):
        """Return the output of LiteRT in each kernel set."""
        shape = self.shape
        model = litert.conv_model(
            shape.image,
            (shape.image[0], *self.windows.out, shape.out),
            self.w_q,
            self.bias_q,
            **self.qps,
            depthwise=shape.groups is None,
            multiplier=shape.out // shape.image[3],
            strideH=shape.stride[0],
            strideW=shape.stride[1],
            dilationHFactor=shape.dilation[0],
            dilationWFactor=shape.dilation[1],
            padding={"same": 0, "valid": 1}[shape.padding],
            activation=activation,
        )
        return {kernels: run(model, self.x_q, kernels=kernels) for kernels in kernel_sets}


def random_convolution(rng, shape, *, per_channel, where, grid=INT8):
    """Return a convolution whose accumulators fall "anywhere", onto "ties", or within 2 of "near_ties".

    Ties need multipliers that are exact in every arithmetic: scales of at most 3 significant bits; with M = k / 2**n
    one accumulator in 2**n is a tie. Near-ties need small multipliers (1e-6 to 3e-4), so that one more in the
    accumulator hardly moves the product: then a wrong last bit of the multiplier shows. There all images are constant
    over height and width, so all windows without padding have one accumulator an output, which the bias puts there.
    """
    n, height, width, channels = shape.image
    kh, kw = shape.kernel
    n_in = 1 if shape.groups is None else channels // shape.groups
    w_q = rng.integers(-127, 128, (shape.out, kh, kw, n_in), np.int8)
    n_scales = shape.out if per_channel else ()
    lo, hi = grid.quant_min, grid.quant_max
    x_zero, y_zero = (int(z) for z in rng.integers(lo, hi, 2, endpoint=True))
    x_q = rng.integers(lo, hi, shape.image, grid.dtype, endpoint=True)
    bias_q = rng.integers(-5000, 5000, shape.out, np.int32)
    if where == "ties":
        x_scale = rng.choice([1, 1.25, 1.5]) / 8
        w_scale = 2.0 ** -rng.integers(1, 5) * rng.choice([1, 1.25, 1.5], n_scales)
        y_scale = x_scale * 2.0 ** rng.integers(1, 8)
    else:
        x_scale, w_scale = np.exp(rng.uniform(-5, 0)), np.exp(rng.uniform(-5, -2, n_scales))
        spread = 73 * 127 * np.sqrt(kh * kw * n_in) * np.exp(rng.uniform(-1, 1)) / 40  # to about a third of int8
        y_scale = x_scale * w_scale.mean() * (spread if where == "anywhere" else np.exp(rng.uniform(8, 14)))
    if where == "near_ties":
        x_q[:] = x_q[:1, :1, :1]
        window = np.broadcast_to(x_q[:1, :1, :1], (1, kh, kw, channels))
        groups = channels if shape.groups is None else shape.groups
        acc = np.concatenate(
            [
                conv_integer(window[..., g * n_in : (g + 1) * n_in], w, x_zero_point=x_zero, padding="valid").ravel()
                for g, w in enumerate(np.split(w_q, groups))
            ]
        )
        multiplier = x_scale * w_scale / y_scale
        target = np.rint((rng.integers(-140, 140, shape.out) + 0.5) / multiplier).astype(np.int64)
        bias_q = (target + rng.integers(-2, 3, shape.out) - acc).astype(np.int32)
    qps = {
        "x_qp": QParams(scale=x_scale, zero_point=x_zero, grid=grid),
        "w_qp": QParams(scale=w_scale, zero_point=0, grid=INT8, axis=0 if per_channel else None),
        "y_qp": QParams(scale=y_scale, zero_point=y_zero, grid=grid),
    }
    return Convolution(shape, x_q, w_q, bias_q, qps)
