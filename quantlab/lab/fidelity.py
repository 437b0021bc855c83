"""Does a quantized network still answer like the float one? Pictures to calibrate on, others to ask, and the answers.

Without labels "accuracy" is not known, but agreement is: on how many crops both networks name the same class. Crops of
one photograph resemble each other, so a hundred crops of six photographs are not a hundred independent questions. The
share comes with two intervals: Wilson's, as if they were, and one that draws whole photographs.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from quantlab.lab.data import crops, photographs
from quantlab.lab.intervals import Interval, bootstrap, wilson

__all__ = ["Crops", "Fidelity", "Judge", "ask", "fidelity", "fidelity_set", "paired_difference"]

CALIBRATION = ("china", "coffee", "flower", "tissue")
TEST = ("astronaut", "cat", "galaxies", "motorcycle", "retina", "rocket")


@dataclass(frozen=True)
class Crops:
    """Square pieces of photographs.

    Attributes
    ----------
    images : ndarray of uint8, shape (n, 224, 224, 3)
    pictures : ndarray of str, shape (n,)
        Which photograph each is from.
    """

    images: np.ndarray
    pictures: np.ndarray


@dataclass(frozen=True)
class Fidelity:
    """How near the outputs of a network are to those of another one; see `fidelity`.

    Attributes
    ----------
    top1, top5, sqnr : Interval
        Shares, and decibels; their ends come from drawing whole pictures.
    top1_crops : Interval
        The same share with Wilson's interval, as if all crops were independent.
    """

    top1: Interval
    top5: Interval
    sqnr: Interval
    top1_crops: Interval

    def __str__(self) -> str:
        shares = f"top-1 {self.top1:.0%}, top-5 {self.top5:.0%}"
        return f"{self.top1_crops.n} crops: {shares}, SQNR {self.sqnr:.1f} dB"


def fidelity_set(*, seed: int, n_calibration: int = 60, n_test: int = 120) -> tuple[Crops, Crops]:
    """Return crops of four photographs to calibrate on, and crops of six other photographs to judge by.

    Raises
    ------
    ValueError
        If a number is not a multiple of the number of photographs, or 0.

    Example
    -------
    >>> calibration, test = fidelity_set(seed=0)
    >>> len(calibration.images), len(test.images), set(calibration.pictures) & set(test.pictures)
    (60, 120, set())
    """
    rng, found = np.random.default_rng(seed), []
    for what, n, names in (("n_calibration", n_calibration, CALIBRATION), ("n_test", n_test, TEST)):
        if n < 1 or n % len(names):
            raise ValueError(f"{what}={n}; expected a multiple of {len(names)}, as many crops of each photograph")
        each = n // len(names)
        images = [crops(photo, n=each, rng=rng) for photo in photographs(names).values()]
        found.append(Crops(np.concatenate(images), np.repeat(names, each)))
    assert not set(found[0].pictures) & set(found[1].pictures)
    return found[0], found[1]


def ask(run: Callable[[np.ndarray], np.ndarray], x: np.ndarray, *, batch_size: int = 15) -> np.ndarray:
    """Return ``run(x)``, computed in batches, two at a time: numpy lets go of Python's lock while it computes.

    Each of the two computes its matrix products with one thread, so the result does not depend on how many there are.

    Example
    -------
    >>> ask(lambda x: 2 * x, np.arange(4.0), batch_size=3)
    array([0., 2., 4., 6.])
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1), ThreadPoolExecutor(max_workers=2) as pool:
        return np.concatenate(list(pool.map(run, np.split(x, range(batch_size, len(x), batch_size)))))


def fidelity(logits: np.ndarray, reference: np.ndarray, *, pictures: np.ndarray, seed: int = 0) -> Fidelity:
    r"""Return how well the logits of a network agree with those of the reference on the same crops.

    Top-1: both have the same largest logit. Top-5: the reference's largest is among the five largest. SQNR: the power
    of the reference logits over that of the difference, :math:`10 \log_{10} (\sum y^2 / \sum (\hat y - y)^2)`, at most
    200 dB.

    The intervals (95 %) are a bootstrap over pictures: whole photographs are drawn with replacement. With six of them
    it is rough, and too narrow rather than too wide; it says which differences are certainly not settled.

    Parameters
    ----------
    logits, reference : ndarray of float, shape (n, classes)
        At least five classes. Of equal logits the class of lower index counts as larger.
    pictures : ndarray, shape (n,)
        Which picture each row belongs to; two different ones at least.
    seed : int
        Of the bootstrap.

    Raises
    ------
    ValueError
        If shapes do not fit, a logit is not finite, all reference logits of a picture are 0, or there are fewer than
        two pictures.

    Example
    -------
    >>> y = np.eye(6)
    >>> found = fidelity(y + 0.1 * y[::-1], y, pictures=np.arange(6) // 2)
    >>> print(f"{found.top1:.0%}, {found.top1.n} pictures; {found.top1_crops:.0%}, {found.top1_crops.n} crops")
    100% [100%, 100%], 3 pictures; 100% [61%, 100%], 6 crops
    """
    z, y, which = _checked(logits, reference, pictures)
    best = y.argmax(axis=1)
    five = np.argsort(-z, axis=1, kind="stable")[:, :5]
    rows = {
        "n": np.ones(len(y)),
        "top1": five[:, 0] == best,
        "top5": (five == best[:, None]).any(axis=1),
        "signal": (y**2).sum(axis=1),
        "noise": ((z - y) ** 2).sum(axis=1),
    }
    sums = {name: np.bincount(which, weights=values) for name, values in rows.items()}
    rng = np.random.default_rng(seed)

    def share(hits: np.ndarray, n: np.ndarray) -> float:
        return hits.sum() / n.sum()

    return Fidelity(
        top1=bootstrap(share, sums["top1"], sums["n"], rng=rng),
        top5=bootstrap(share, sums["top5"], sums["n"], rng=rng),
        sqnr=bootstrap(_decibels, sums["signal"], sums["noise"], rng=rng),
        top1_crops=wilson(int(rows["top1"].sum()), len(y)),
    )


def _checked(
    logits: np.ndarray, reference: np.ndarray, pictures: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return both logits in float64 and the number of each row's picture, after checking that they can be compared."""
    z, y, pictures = np.asarray(logits, np.float64), np.asarray(reference, np.float64), np.asarray(pictures)
    if z.shape != y.shape or z.ndim != 2 or z.shape[1] < 5 or pictures.shape != z.shape[:1]:
        raise ValueError(
            f"logits.shape={z.shape}, reference.shape={y.shape}, pictures.shape={pictures.shape}; "
            "expected (n, classes) twice, with at least 5 classes, and (n,)"
        )
    if not (np.isfinite(z).all() and np.isfinite(y).all()):
        raise ValueError("logits or reference hold NaN or infinities; look for a scale that is 0")
    names, which = np.unique(pictures, return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"all crops are of one picture, {names}; without a second one there is no interval")
    if not np.bincount(which, weights=(y**2).sum(axis=1)).all():
        raise ValueError("all reference logits of a picture are 0, which has no signal-to-noise ratio")
    return z, y, which


def _decibels(signal: np.ndarray, noise: np.ndarray) -> float:
    """Return the ratio of two powers, each summed over pictures; at most 200 dB, which is what a perfect copy gets."""
    return 10 * np.log10(signal.sum() / np.maximum(noise.sum(), signal.sum() / 1e20))


def paired_difference(
    first: np.ndarray, second: np.ndarray, reference: np.ndarray, *, pictures: np.ndarray, seed: int = 0
) -> Interval:
    """Return by how many decibels of SQNR the first network is better than the second, on the same crops.

    Two networks that are asked the same questions are compared by the interval of their difference: hard pictures are
    hard for both, and that part falls out. Drawn are whole pictures, as in `fidelity`; each SQNR is at most 200 dB.

    Raises
    ------
    ValueError
        As `fidelity`.

    Example
    -------
    >>> y = np.eye(6)
    >>> f"{paired_difference(y * 0.99, y * 0.9, y, pictures=np.arange(6) // 2):.0f}"
    '20 [20, 20]'
    """
    a, y, which = _checked(first, reference, pictures)
    b, _, _ = _checked(second, reference, pictures)
    signal, noise, other_noise = (np.bincount(which, weights=(v**2).sum(axis=1)) for v in (y, a - y, b - y))

    def gain(signal: np.ndarray, noise: np.ndarray, other_noise: np.ndarray) -> float:
        return _decibels(signal, noise) - _decibels(signal, other_noise)

    return bootstrap(gain, signal, noise, other_noise, rng=np.random.default_rng(seed))


@dataclass(frozen=True)
class Judge:
    """The same questions for many networks: inputs, the reference's answers, and which picture each is from.

    Example
    -------
    >>> judge = Judge(np.eye(12, dtype=np.float32), np.eye(12), np.arange(12) // 2)
    >>> one, two = judge.ask(lambda x: x * 0.9), judge.ask(lambda x: x * 0.99)
    >>> print(judge.score(one))
    12 crops: top-1 100% [100%, 100%], top-5 100% [100%, 100%], SQNR 20.0 [20.0, 20.0] dB
    >>> print(f"{judge.gain(two, one):.0f}; on every third: {judge.every(3)(lambda x: x * 0.9).sqnr:.0f}")
    20 [20, 20]; on every third: 20 [20, 20]
    """

    x: np.ndarray
    reference: np.ndarray
    pictures: np.ndarray

    def ask(self, run: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Return the logits of a network for all inputs."""
        return ask(run, self.x)

    def score(self, logits: np.ndarray) -> Fidelity:
        """Return `fidelity` of logits that `ask` returned."""
        return fidelity(logits, self.reference, pictures=self.pictures)

    def __call__(self, run: Callable[[np.ndarray], np.ndarray]) -> Fidelity:
        """Return the score of a network."""
        return self.score(self.ask(run))

    def gain(self, first: np.ndarray, second: np.ndarray) -> Interval:
        """Return `paired_difference`: by how many decibels the first logits are better than the second."""
        return paired_difference(first, second, self.reference, pictures=self.pictures)

    def every(self, k: int) -> "Judge":
        """Return a judge that asks every k-th question only."""
        return Judge(self.x[::k], self.reference[::k], self.pictures[::k])
