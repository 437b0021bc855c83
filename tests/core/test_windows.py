"""Where windows lie, against torch (explicit padding) and against a brute force that counts windows."""

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from quantlab.core.windows import place_pool_windows, place_windows, window_slices

CASES = list(itertools.product([1, 4, 7, 8], [1, 2, 3, 5], [1, 2, 3], [1, 2]))  # size, kernel, stride, dilation


@pytest.mark.parametrize("pads", [(0, 0), (1, 1), (0, 1), (2, 0)])
def test_the_number_of_windows_is_torchs(pads):
    n_compared = 0
    for size, kernel, stride, dilation in CASES:
        span = (kernel - 1) * dilation + 1
        if size + sum(pads) < span:
            continue
        x = F.pad(torch.zeros(1, 1, size, 9), (0, 0, *pads))
        want = F.conv2d(x, torch.zeros(1, 1, kernel, 2), stride=(stride, 1), dilation=(dilation, 3)).shape[2:]
        found = place_windows(
            (size, 9), kernel=(kernel, 2), stride=(stride, 1), dilation=(dilation, 3), padding=(pads, (0, 0))
        )
        assert found.out == tuple(want)
        assert found.pads == (pads, (0, 0))
        n_compared += 1
    assert n_compared > 50


def test_same_is_the_least_padding_that_gives_every_stride_a_window():
    for size, kernel, stride, dilation in CASES:
        span = (kernel - 1) * dilation + 1
        (front, back), out = (
            v[0]
            for v in place_windows(
                (size, 1), kernel=(kernel, 1), stride=(stride, 1), dilation=(dilation, 1), padding="same"
            )
        )
        assert out == -(-size // stride)
        assert front <= back <= front + 1
        # the last window ends at the last padded pixel, or there is no padding at all
        end = (out - 1) * stride + span
        assert end == front + size + back or (front == back == 0 and end <= size)


def test_slices_pick_the_same_value_of_every_window():
    x = np.arange(2 * 9 * 11).reshape(2, 9, 11)
    stride, dilation, kernel = (2, 3), (2, 1), (3, 2)
    _, out = place_windows(x.shape[1:], kernel=kernel, stride=stride, dilation=dilation, padding="valid")
    for i, j in np.ndindex(*kernel):
        picked = x[window_slices(i, j, out=out, stride=stride, dilation=dilation)]
        assert picked.shape == (2, *out)
        for n, h, w in np.ndindex(*picked.shape):
            assert picked[n, h, w] == x[n, h * stride[0] + i * dilation[0], w * stride[1] + j * dilation[1]]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"kernel": (0, 3)}, r"kernel=\(0, 3\); expected two numbers of 1 or more"),
        ({"stride": (2,)}, r"stride=\(2,\)"),
        ({"dilation": (1, 0)}, r"dilation=\(1, 0\)"),
        ({"padding": "full"}, "padding='full'; expected 'same', 'valid' or"),
        ({"padding": ((1, 1), (0, -1))}, "padding="),
        ({"padding": (1, 1)}, "padding="),
        ({"kernel": (5, 5)}, "no window of 5 x 5 fits an image of 4 x 4"),
    ],
)
def test_errors_name_what_came(change, text):
    with pytest.raises(ValueError, match=text):
        place_windows((4, 4), **{"kernel": (2, 2), "stride": (1, 1), "padding": "valid", **change})


def test_every_window_of_a_pool_sees_the_image():
    """Against the windows themselves: all placements with explicit padding of images of up to 3 pixels."""
    refused = 0
    for n, k, s, before, after in itertools.product(*[range(1, 4)] * 3, *[range(4)] * 2):
        if n + before + after < k:
            continue
        padding = ((before, after), (0, 0))
        windows = place_windows((n, 1), kernel=(k, 1), stride=(s, 1), padding=padding)
        starts = [i * s for i in range(windows.out[0])]
        if all(start + k > before and start < before + n for start in starts):
            assert place_pool_windows((n, 1), kernel=(k, 1), stride=(s, 1), padding=padding) == windows
        else:
            refused += 1
            with pytest.raises(ValueError, match="a window lies outside the image; pad by less than size"):
                place_pool_windows((n, 1), kernel=(k, 1), stride=(s, 1), padding=padding)
    assert refused > 50
