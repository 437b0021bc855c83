"""Convolutions and pools, forward, against torch."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from quantlab.core.windows import place_windows
from quantlab.nn import conv
from quantlab.nn.conv import average_pool2d, conv2d, max_pool2d
from tests.nn.torch_images import TOLERANCE, nchw, nhwc, torch_conv

# samples, height, width, in, out, kernel, stride, padding, groups
CONVS = [
    (2, 8, 8, 3, 5, (3, 3), (1, 1), "same", 1),
    (1, 9, 7, 4, 6, (3, 2), (2, 1), "same", 1),
    (3, 8, 6, 4, 8, (1, 1), (1, 1), "valid", 1),
    (2, 8, 6, 4, 8, (1, 1), (2, 2), "valid", 1),
    (2, 10, 9, 1, 4, (5, 3), (2, 3), ((2, 1), (0, 3)), 1),
    (2, 9, 8, 6, 6, (3, 3), (1, 1), "same", 6),
    (1, 8, 9, 5, 5, (5, 5), (2, 2), "same", 5),
    (2, 7, 7, 3, 12, (3, 3), (1, 2), "valid", 3),  # four outputs a channel
    (2, 7, 7, 6, 4, (3, 3), (1, 1), "same", 2),
    (0, 5, 5, 3, 4, (3, 3), (1, 1), "same", 1),
    (0, 5, 5, 3, 3, (3, 3), (1, 1), "same", 3),
]


@pytest.mark.parametrize("pieces", ["default", "small"])
@pytest.mark.parametrize("case", CONVS, ids=str)
def test_conv2d_equals_torch(case, pieces, monkeypatch):
    if pieces == "small":  # so small that every image and every few rows are a piece of their own
        monkeypatch.setattr(conv, "PATCHES", 1)
        monkeypatch.setattr(conv, "BLOCK", 1)
    n, height, width, n_in, n_out, kernel, stride, padding, groups = case
    rng = np.random.default_rng(1)
    x, W, b = (
        rng.normal(size=shape) for shape in ((n, height, width, n_in), (n_out, *kernel, n_in // groups), (n_out,))
    )
    pads, out = place_windows((height, width), kernel=kernel, stride=stride, padding=padding)

    def theirs(x, W, b):
        return nhwc(torch_conv(*map(torch.tensor, (nchw(x), nchw(W), b)), stride=stride, pads=pads, groups=groups))

    y = conv2d(x, W, b, stride=stride, padding=padding, groups=groups)
    assert y.shape == (n, *out, n_out)
    if n:
        bound = TOLERANCE * theirs(np.abs(x), np.abs(W), np.abs(b))
        assert (np.abs(y - theirs(x, W, b)) <= bound).all()
        assert (np.abs(conv2d(x, W, None, stride=stride, padding=padding, groups=groups) + b - y) <= 2 * bound).all()


def test_dtypes_and_arguments_stay():
    rng = np.random.default_rng(2)
    for groups in (1, 4):
        x, W = rng.normal(size=(2, 6, 6, 4)), rng.normal(size=(4, 3, 3, 4 // groups)).astype(np.float32)
        before = x.copy(), W.copy()
        assert conv2d(x.astype(np.float32), W, None, padding="same", groups=groups).dtype == np.float32
        assert conv2d(x, W, None, padding="same", groups=groups).dtype == np.float64
        assert np.array_equal(x, before[0])
        assert np.array_equal(W, before[1])


def test_samples_do_not_depend_on_each_other():
    rng = np.random.default_rng(3)
    x, W = rng.normal(size=(5, 6, 6, 4)), rng.normal(size=(4, 3, 3, 1))
    y = conv2d(x, W, None, padding="same", groups=4)
    assert np.array_equal(y[3:4], conv2d(x[3:4], W, None, padding="same", groups=4))


POOLS = [
    ((2, 2), (2, 2), "valid"),
    ((3, 3), (2, 2), "same"),
    ((3, 2), (1, 3), ((1, 0), (0, 1))),
    ((1, 1), (2, 2), "same"),
]


@pytest.mark.parametrize(("size", "stride", "padding"), POOLS)
def test_pools_equal_torch(size, stride, padding):
    x = np.random.default_rng(4).normal(size=(2, 9, 8, 3)) - 3  # negative, so that padding with 0 would win
    (top, bottom), (left, right) = place_windows((9, 8), kernel=size, stride=stride, padding=padding).pads

    def padded(value):
        return F.pad(torch.tensor(nchw(x)), (left, right, top, bottom), value=value)

    largest = nhwc(F.max_pool2d(padded(-np.inf), size, stride))
    assert np.array_equal(max_pool2d(x, size=size, stride=stride, padding=padding), largest)
    ones = F.pad(torch.ones(1, 1, 9, 8, dtype=torch.float64), (left, right, top, bottom))
    mean = nhwc(F.avg_pool2d(padded(0.0), size, stride) / F.avg_pool2d(ones, size, stride))
    ours = average_pool2d(x, size=size, stride=stride, padding=padding)
    assert np.abs(ours - mean).max() <= 9 * 2**-52 * np.abs(x).max()  # a mean of at most 9 values
    assert not np.may_share_memory(max_pool2d(x, size=(1, 1), stride=(1, 1)), x)


def test_errors_name_what_came():
    x, W = np.zeros((1, 5, 5, 4)), np.zeros((6, 3, 3, 4))
    with pytest.raises(ValueError, match=r"x\.shape=\(5, 5, 4\); expected \(samples, height"):
        conv2d(x[0], W, None, padding="same")
    with pytest.raises(ValueError, match=r"W\.shape=\(6, 3, 3\); expected \(out, kh, kw"):
        conv2d(x, W[..., 0], None, padding="same")
    with pytest.raises(ValueError, match=r"groups=2 and x\.shape=\(1, 5, 5, 4\)"):
        conv2d(x, W, None, padding="same", groups=2)
    with pytest.raises(ValueError, match="groups=4"):
        conv2d(x, W[..., :1], None, padding="same", groups=4)
    with pytest.raises(ValueError, match=r"b\.shape=\(5,\); expected \(6,\)"):
        conv2d(x, W, np.zeros(5), padding="same")
    with pytest.raises(ValueError, match="no window of 6 x 6"):
        max_pool2d(x, size=(6, 6), stride=(1, 1))
    with pytest.raises(ValueError, match=r"x\.shape=\(5, 5\)"):
        average_pool2d(x[0, :, :, 0], size=(2, 2), stride=(1, 1))
    for empty in (W[:0], W[:, :0], W[..., :0]):
        with pytest.raises(ValueError, match=r"W\.shape=.* 1 or more of each"):
            conv2d(x, empty, None, padding="same")
    for pool in (max_pool2d, average_pool2d):
        with pytest.raises(ValueError, match="a window lies outside the image"):
            pool(x, size=(2, 2), stride=(1, 1), padding=((0, 0), (0, 2)))
    with pytest.raises(TypeError, match=r"x\.dtype=int64; expected floats"):
        max_pool2d(x.astype(np.int64), size=(2, 2), stride=(1, 1))


def test_nan_and_nothing():
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    x[0, 1, 1] = np.nan
    for pool in (max_pool2d, average_pool2d):
        y = pool(x, size=(2, 2), stride=(2, 2))
        assert np.isnan(y).ravel().tolist() == [True, False, False, False]
        assert pool(x[:0], size=(2, 2), stride=(2, 2)).shape == (0, 2, 2, 1)
    assert conv2d(x[:0], np.ones((3, 3, 3, 1)), None, padding="same").shape == (0, 4, 4, 3)
    assert conv2d(np.ones((0, 4, 4, 2)), np.ones((2, 3, 3, 1)), None, padding="same", groups=2).shape == (0, 4, 4, 2)
