"""What the tests of image layers share: torch's layouts, and the tolerance."""

import numpy as np
import torch
from torch.nn import functional as F

# A sum of n products in float64 errs by at most about n * 2**-53 of the sum of their magnitudes, on our side and on
# torch's. n <= 1000 in these tests: 2 * 1000 * 2**-53 < 3e-13.
TOLERANCE = 3e-13


def nchw(x):
    """(samples, height, width, channels) or (out, kh, kw, in) as torch wants them."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 1))


def nhwc(tensor):
    return np.moveaxis(tensor.detach().numpy(), 1, -1)


def leaf(array):
    return torch.tensor(np.asarray(array, np.float64), requires_grad=True)


def torch_conv(x, W, b, *, stride, pads, groups):
    """torch's convolution of NCHW leaves, with explicit padding."""
    (top, bottom), (left, right) = pads
    return F.conv2d(F.pad(x, (left, right, top, bottom)), W, b, stride=stride, groups=groups)
