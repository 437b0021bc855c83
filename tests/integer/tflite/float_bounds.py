"""How far two float32 sums of the same products may lie apart."""

import numpy as np

from quantlab.nn.conv import conv2d


def slack(operator, arrays):
    """Return the largest distance that the order of summation explains, for each output of a layer on float32.

    A float32 sum of n terms is within n * 2**-24 * sum|terms| of the reals, to first order, in any order and with or
    without fused multiply-adds. Two of them are within twice that of each other. ReLU brings them no farther apart.
    """
    x, w = (np.abs(arrays[i]) for i in operator.inputs[:2])
    b, options = np.abs(arrays[operator.inputs[2]]), operator.options
    if operator.name == "FULLY_CONNECTED":
        return (w.shape[1] + 1) * 2.0**-23 * (x @ w.T + b)
    groups = x.shape[3] // w.shape[3]
    if operator.name == "DEPTHWISE_CONV_2D":
        w, groups = w.transpose(3, 1, 2, 0), x.shape[3]
    stride = (options["stride_h"], options["stride_w"])
    terms = conv2d(x, w, b, stride=stride, padding=options["padding"].lower(), groups=groups)
    return (w[0].size + 1) * 2.0**-23 * terms
