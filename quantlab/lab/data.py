"""Data that needs no download: digits, photographs and English text from installed packages, and seeded tensors."""

import importlib.metadata
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# name -> (package, file). All of them come inside the wheels of these packages.
PHOTOGRAPHS = {
    "china": ("scikit-learn", "sklearn/datasets/images/china.jpg"),
    "flower": ("scikit-learn", "sklearn/datasets/images/flower.jpg"),
    "astronaut": ("scikit-image", "skimage/data/astronaut.png"),
    "cat": ("scikit-image", "skimage/data/chelsea.png"),
    "coffee": ("scikit-image", "skimage/data/coffee.png"),
    "rocket": ("scikit-image", "skimage/data/rocket.jpg"),
    "motorcycle": ("scikit-image", "skimage/data/motorcycle_left.png"),
    "galaxies": ("scikit-image", "skimage/data/hubble_deep_field.jpg"),
    "tissue": ("scikit-image", "skimage/data/ihc.png"),
    "retina": ("scikit-image", "skimage/data/retina.jpg"),
}


@dataclass(frozen=True)
class Split:
    """Digits for training and for testing; the index arrays name their places in scikit-learn's data set.

    Attributes
    ----------
    x_train, x_test : ndarray of float32, shape (n, 64)
        8 x 8 pixels, row by row, in [0, 1].
    y_train, y_test : ndarray of int64, shape (n,)
        The digit, 0 to 9.
    train_index, test_index : ndarray of int64, shape (n,)
        Disjoint; together 0 to 1796.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    train_index: np.ndarray
    test_index: np.ndarray


def digits(*, seed: int, n_test: int = 450) -> Split:
    """Return the 1,797 handwritten digits of scikit-learn, shuffled by the seed and cut in two.

    The two parts share no image: they are the two ends of one permutation, and no image stands in the data set twice.

    Raises
    ------
    ValueError
        If n_test leaves one part empty.

    Example
    -------
    >>> d = digits(seed=0)
    >>> d.x_train.shape, d.x_test.shape, set(d.train_index) & set(d.test_index)
    ((1347, 64), (450, 64), set())
    """
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    if not 0 < n_test < len(x):
        raise ValueError(f"n_test={n_test} leaves no two parts of {len(x)} digits; choose 1..{len(x) - 1}")
    order = np.random.default_rng(seed).permutation(len(x))
    train, test = order[n_test:], order[:n_test]
    x = (x / 16).astype(np.float32)
    return Split(x[train], y[train], x[test], y[test], train, test)


def photographs(names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Return photographs as uint8 RGB arrays of shape (height, width, 3), by name; all ten by default.

    Raises
    ------
    ValueError
        If a name is unknown; the text lists the known ones.
    FileNotFoundError
        If a package that holds one is missing.

    Example
    -------
    >>> photographs(["cat"])["cat"].shape
    (300, 451, 3)
    """
    chosen = list(PHOTOGRAPHS) if names is None else list(names)
    unknown = [name for name in chosen if name not in PHOTOGRAPHS]
    if unknown:
        raise ValueError(f"names={unknown} are not photographs of the course; choose from {', '.join(PHOTOGRAPHS)}")
    return {name: _read_photograph(*PHOTOGRAPHS[name]) for name in chosen}


def _read_photograph(package: str, path: str) -> np.ndarray:
    from PIL import Image

    try:
        file = Path(str(importlib.metadata.distribution(package).locate_file(path)))
        with Image.open(file) as image:
            return np.asarray(image.convert("RGB"))
    except (importlib.metadata.PackageNotFoundError, FileNotFoundError):
        raise FileNotFoundError(
            f"{path} is not there; run `make lab` in the course folder, or `pip install {package}`"
        ) from None


def crops(photo: np.ndarray, *, n: int, size: int = 224, rng: np.random.Generator) -> np.ndarray:
    """Return n square pieces of a photograph at random places, shape (n, size, size, 3), uint8. They may overlap.

    Calibration and test crops must come from different photographs, or they share pixels.

    Raises
    ------
    ValueError
        If the photograph is smaller than a crop.

    Example
    -------
    >>> crops(photographs(["cat"])["cat"], n=4, rng=np.random.default_rng(0)).shape
    (4, 224, 224, 3)
    """
    height, width = photo.shape[:2]
    if min(height, width) < size:
        raise ValueError(f"photo.shape={photo.shape} is smaller than size={size}; choose a smaller size")
    tops = rng.integers(0, height - size + 1, n)
    lefts = rng.integers(0, width - size + 1, n)
    return np.stack([photo[t : t + size, left : left + size] for t, left in zip(tops, lefts, strict=True)])


def synthetic_weights(
    shape: tuple[int, ...],
    *,
    rng: np.random.Generator,
    tail: float = 6.0,
    channel_spread: float = 0.4,
    outlier_channels: int = 0,
    outlier_factor: float = 20.0,
) -> np.ndarray:
    """Return float32 weights that look like a trained layer's: heavy tails, and output channels of unequal width.

    A Student-t value with ``tail`` degrees of freedom, divided by the root of the fan-in, times exp(N(0, spread**2))
    for its output channel.

    Parameters
    ----------
    shape : tuple of int
        Output channels first: (out, in) or (out, in, height, width).
    rng : numpy Generator
    tail : float
        Above 2; the smaller, the heavier the tails.
    channel_spread : float
        Standard deviation of the logarithm of the channels' widths; 0 makes them equal.
    outlier_channels : int
        So many output channels, at random places, are ``outlier_factor`` times wider.

    Raises
    ------
    ValueError
        If tail is not above 2, or there are more outlier channels than channels.

    Example
    -------
    >>> w = synthetic_weights((64, 128), rng=np.random.default_rng(0), outlier_channels=1)
    >>> w.dtype, int(np.abs(w).max(axis=1).argmax())
    (dtype('float32'), 16)
    """
    if not tail > 2:
        raise ValueError(f"tail={tail} gives no finite variance; choose a value above 2")
    fan_in = int(np.prod(shape[1:])) or 1
    values = rng.standard_t(tail, shape) * np.sqrt((tail - 2) / tail / fan_in)
    width = _channel_widths(shape[0], rng, channel_spread, outlier_channels, outlier_factor)
    return (values * width.reshape(-1, *[1] * (len(shape) - 1))).astype(np.float32)


def synthetic_activations(
    shape: tuple[int, int],
    *,
    rng: np.random.Generator,
    relu: bool = True,
    channel_spread: float = 0.6,
    outlier_channels: int = 0,
    outlier_factor: float = 20.0,
) -> np.ndarray:
    """Return float32 activations, (samples, channels), that look like a real layer's.

    Each channel is Gaussian around a mean of its own, with a width of its own; ReLU cuts off what is negative.

    Parameters
    ----------
    shape : (int, int)
        Samples and channels.
    rng : numpy Generator
    relu : bool
        Cut at zero, as after a ReLU; without it the values are as before a transformer's linear layer.
    channel_spread, outlier_channels, outlier_factor
        As in `synthetic_weights`, for the channels on the last axis.

    Example
    -------
    >>> x = synthetic_activations((1000, 32), rng=np.random.default_rng(0))
    >>> bool(x.min() == 0), bool(0.3 < (x == 0).mean() < 0.7)
    (True, True)
    """
    n, channels = shape
    width = _channel_widths(channels, rng, channel_spread, outlier_channels, outlier_factor)
    values = (rng.standard_normal((n, channels)) + rng.normal(0, 0.5, channels)) * width
    return (np.maximum(values, 0) if relu else values).astype(np.float32)


def _channel_widths(
    n: int, rng: np.random.Generator, spread: float, outlier_channels: int, outlier_factor: float
) -> np.ndarray:
    """Return one factor a channel: log-normal, some of them much larger."""
    if not 0 <= outlier_channels <= n:
        raise ValueError(f"outlier_channels={outlier_channels} is outside 0..{n}, the number of channels")
    width = np.exp(rng.normal(0, spread, n))
    width[rng.choice(n, outlier_channels, replace=False)] *= outlier_factor
    return width


def english_text() -> str:
    """Return the English text of Python's own help topics, about 400,000 characters.

    It differs a little from one Python version to the next: do not print a number that depends on its every letter.

    Example
    -------
    >>> "expression" in english_text()
    True
    """
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def english_sentences(n: int, *, rng: np.random.Generator) -> list[str]:
    """Return n different sentences of `english_text`, of 6 to 40 words, in random order.

    Raises
    ------
    ValueError
        If the text has fewer.

    Example
    -------
    >>> sentences = english_sentences(3, rng=np.random.default_rng(0))
    >>> len(set(sentences)), all(s.endswith(".") for s in sentences)
    (3, True)
    """
    prose = re.sub(r"\s+", " ", english_text())
    found = re.findall(r"(?<=[.:] )[A-Z][A-Za-z ,;'-]+\.(?= )", prose)
    known = sorted({s for s in found if 6 <= len(s.split()) <= 40})
    if n > len(known):
        raise ValueError(f"n={n}, but the text has {len(known)} different sentences; ask for fewer")
    return [known[i] for i in rng.permutation(len(known))[:n]]
