"""Shapes of scales and views, against loops and by hand."""

import math

import numpy as np
import pytest

from quantlab.core.granularity import normalize_axis, reduce_groups, scale_shape, scale_view, view_shape


@pytest.mark.parametrize("where", [{}, *({"axis": axis} for axis in range(-3, 3)), {"axis": 1, "group_size": 3}])
def test_the_view_shares_scales_as_the_shape_says(where):
    shape = (4, 6, 5)
    scale = np.arange(math.prod(scale_shape(shape, **where))).reshape(scale_shape(shape, **where))
    seen = np.broadcast_to(scale_view(scale, shape, **where), view_shape(shape, **where)).reshape(shape)
    for index in np.ndindex(*shape):
        axis = where.get("axis")
        if "group_size" in where:
            index_of_scale = (index[0], index[1] // 3, index[2])
        else:
            index_of_scale = () if axis is None else (index[axis],)
        assert seen[index] == scale[index_of_scale]


def test_rows_of_columns_are_walked_in_memory_order():
    assert view_shape((7, 5), axis=1) == (1, 7, 5)  # columns kept together: (7 * 5, 1, 1) would be as right, and slow
    assert view_shape((7, 5), axis=0) == (7, 5, 1)
    assert scale_view(np.zeros(0), (0, 3), axis=0).shape == (0, 1, 1)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_reduce_groups_equals_a_loop(axis):
    x = np.random.default_rng(0).normal(size=(4, 6, 2))
    slices = np.moveaxis(x, axis, 0)
    assert reduce_groups(x, np.max, axis=axis).tolist() == [part.max() for part in slices]
    pairs = np.stack([slices[::2], slices[1::2]]).min(0)
    assert np.array_equal(reduce_groups(x, np.min, axis=axis, group_size=2), np.moveaxis(pairs, 0, axis))
    assert reduce_groups(x, np.min) == x.min()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: normalize_axis(1.0, 3), TypeError, "axis=1.0 is a float; pass an integer"),
        (lambda: normalize_axis(True, 3), TypeError, "axis=True is a bool"),
        (lambda: normalize_axis("1", 3), TypeError, "axis='1' is a str"),
        (lambda: normalize_axis(3, 3), ValueError, "axis=3 is out of range .* -3 to 2"),
        (lambda: normalize_axis(-4, 3), ValueError, "axis=-4 is out of range"),
        (lambda: normalize_axis(0, 0), ValueError, "0-d array has no axes; use axis=None"),
        (lambda: scale_shape((4, 6), axis=1, group_size=True), TypeError, "group_size=True is a bool"),
        (lambda: scale_shape((4, 6), axis=1, group_size=3.0), TypeError, "group_size=3.0 is a float"),
        (lambda: scale_shape((4, 6), axis=1, group_size=0), ValueError, "group_size=0 does not divide"),
        (lambda: scale_shape((4, 6), axis=1, group_size=-3), ValueError, "group_size=-3 does not divide"),
        (lambda: reduce_groups(np.zeros((2, 0)), np.min, axis=0), ValueError, r"\(2, 0\) is empty"),
        (lambda: reduce_groups(np.ma.zeros(3), np.min), TypeError, "masked"),
        (lambda: scale_view([[1.0], [1.0, 2.0]], (2, 2), axis=0), ValueError, "rows of unequal lengths"),
    ],
)
def test_bad_input_says_what_came_and_the_way_out(call, error, message):
    with pytest.raises(error, match=message):
        call()
