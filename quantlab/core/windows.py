"""Where the windows of a convolution or a pool lie: padding, and the size of what comes out."""

from typing import NamedTuple

import numpy as np

__all__ = ["Padding", "Windows", "place_pool_windows", "place_windows", "window_slices"]

Pair = tuple[int, int]
Padding = str | tuple[Pair, Pair]  # "same", "valid" or ((top, bottom), (left, right))


class Windows(NamedTuple):
    """Padding of an image, ((top, bottom), (left, right)), and the (height, width) of the output."""

    pads: tuple[Pair, Pair]
    out: Pair


def place_windows(size: Pair, *, kernel: Pair, stride: Pair, dilation: Pair = (1, 1), padding: Padding) -> Windows:
    r"""Return how an image is padded, and how many windows fit.

    A dilated kernel of k values spans ``(k - 1) * dilation + 1`` pixels. With n pixels, padding included:

    .. math:: n_{out} = \lfloor (n - \mathrm{span}) / \mathrm{stride} \rfloor + 1

    ``padding="same"`` is TensorFlow's: the output has ceil(n / stride) values, and of the padding that this takes the
    smaller half stands in front. An even number of pixels under stride 2 is so padded at the end alone, where torch's
    ``padding=1`` pads the front: same shapes, other windows.

    Parameters
    ----------
    size : (int, int)
        Height and width of the image.
    kernel, stride, dilation : (int, int)
        1 or more.
    padding : {"same", "valid"} or ((top, bottom), (left, right))
        "valid" is none.

    Raises
    ------
    ValueError
        If a number is out of range, the padding unknown, or no window fits.

    Examples
    --------
    >>> place_windows((224, 224), kernel=(3, 3), stride=(2, 2), padding="same")
    Windows(pads=((0, 1), (0, 1)), out=(112, 112))
    >>> place_windows((7, 5), kernel=(3, 3), stride=(2, 2), dilation=(2, 1), padding="valid")
    Windows(pads=((0, 0), (0, 0)), out=(2, 2))
    """
    for name, pair in (("kernel", kernel), ("stride", stride), ("dilation", dilation)):
        if len(pair) != 2 or min(pair) < 1:
            raise ValueError(f"{name}={pair}; expected two numbers of 1 or more, (height, width)")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    if padding == "same":
        needed = [max((-(-n // s) - 1) * s + span - n, 0) for n, s, span in zip(size, stride, spans, strict=True)]
        pads = tuple((p // 2, p - p // 2) for p in needed)
    elif padding == "valid":
        pads = ((0, 0), (0, 0))
    elif isinstance(padding, str) or np.shape(padding) != (2, 2) or np.min(padding) < 0:
        raise ValueError(f"padding={padding!r}; expected 'same', 'valid' or ((top, bottom), (left, right)), 0 or more")
    else:
        pads = tuple((int(before), int(after)) for before, after in padding)
    out = tuple((n + sum(pad) - span) // s + 1 for n, pad, span, s in zip(size, pads, spans, stride, strict=True))
    if min(out) < 1:
        raise ValueError(
            f"no window of {spans[0]} x {spans[1]} fits an image of {size[0]} x {size[1]} with padding {pads}; use a "
            "smaller kernel, or padding='same'"
        )
    return Windows(pads, out)


def place_pool_windows(size: Pair, *, kernel: Pair, stride: Pair, padding: Padding) -> Windows:
    """Return `place_windows` for a pool: all of its windows see the image, since padding has no maximum and no mean.

    Raises
    ------
    ValueError
        As `place_windows`, and if a window lies in the padding.

    Examples
    --------
    >>> place_pool_windows((4, 4), kernel=(2, 2), stride=(2, 2), padding=((1, 1), (0, 0)))
    Windows(pads=((1, 1), (0, 0)), out=(3, 2))
    """
    windows = place_windows(size, kernel=kernel, stride=stride, padding=padding)
    for n, k, s, (before, _), n_out in zip(size, kernel, stride, *windows, strict=True):
        if before >= k or (n_out - 1) * s >= before + n:
            raise ValueError(
                f"padding={padding!r} with size={kernel}: a window lies outside the image; pad by less than size"
            )
    return windows


def window_slices(i: int, j: int, *, out: Pair, stride: Pair, dilation: Pair = (1, 1)) -> tuple[slice, slice, slice]:
    """Return the slices of a padded (samples, height, width, ...) array that hold value (i, j) of every window.

    Examples
    --------
    >>> image = np.arange(16).reshape(1, 4, 4)
    >>> image[window_slices(0, 1, out=(2, 2), stride=(2, 2))]
    array([[[ 1,  3],
            [ 9, 11]]])
    """
    top, left = i * dilation[0], j * dilation[1]
    rows = slice(top, top + (out[0] - 1) * stride[0] + 1, stride[0])
    return slice(None), rows, slice(left, left + (out[1] - 1) * stride[1] + 1, stride[1])
