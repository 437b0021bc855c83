"""Pictures for verdicts, as plain data: yours beside the expected. `quantlab.lab.plots.verdicts` draws them.

A check says what is wrong with the smallest input; where a picture says it faster, a function in ``pictures/``,
registered with `pictured`, makes one. It is called only where somebody is there to look, after the verdict was
printed, and never when work is graded. It gets the answer and the arguments of the check's last call, the one that
showed the mistake, and may call the answer with more inputs. Whatever the answer returns then, or raises, costs no
more than the picture.
"""

import contextlib
import importlib
import importlib.util
import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

MAX_POINTS = 4096  # of a curve, or cells of a map
VISIBLE = 0.01  # of the height of the picture: what differs by less is not seen, and not shown
TOO_FAR = 50.0  # times the height of the expected: beside such values the expected is a flat line


class NoPicture(Exception):
    """There is nothing that a picture would show."""


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """What every picture says in words, and the two things that it compares."""

    title: str
    xlabel: str
    yours: Any
    expected: Any


@dataclass(frozen=True, kw_only=True)
class Curves(Labelled):
    """Values over a common axis.

    ``yours`` and ``expected`` have shape (n,), or (lines, n) for several lines of each. ``asked`` are the places on
    ``x`` that the verdict speaks of: of several differences, one there is marked. ``band`` is an allowed range of y.
    """

    ylabel: str
    x: Any
    asked: Any = ()
    style: Literal["line", "steps", "dots"] = "line"
    names: tuple[str, str] = ("yours", "expected")
    band: tuple[float, float] | None = None
    visible: float = VISIBLE  # what differs by less of the height is not looked at: more for random values

    def __post_init__(self) -> None:
        _set(self, x=_numbers(self.x), asked=_numbers(self.asked))
        yours, expected = (np.atleast_2d(_numbers(v)) for v in (self.yours, self.expected))
        _set(self, yours=yours, expected=expected)
        if self.x.ndim != 1 or expected.shape[1:] != self.x.shape:
            raise NoPicture(f"x has shape {self.x.shape}, expected {expected.shape}")
        _comparable(yours, expected, visible=self.visible)

    @property
    def place(self) -> tuple[int, int]:
        """Line and point of the difference to mark."""
        differences = _places(self.yours, self.expected, visible=self.visible)
        return min(differences, key=lambda at: (self.x[at[1]] not in self.asked, at[1], at[0]))


@dataclass(frozen=True, kw_only=True)
class Maps(Labelled):
    """Two matrices of one shape, as colours; ``unit`` names what the colours say."""

    ylabel: str
    unit: str

    def __post_init__(self) -> None:
        _set(self, yours=_numbers(self.yours), expected=_numbers(self.expected))
        if self.expected.ndim != 2:
            raise NoPicture(f"a map has rows and columns, not shape {self.expected.shape}")
        _comparable(self.yours, self.expected)

    @property
    def place(self) -> tuple[int, int]:
        """Row and column of the first difference."""
        return _places(self.yours, self.expected)[0]


@dataclass(frozen=True, kw_only=True)
class Cuts(Labelled):
    """A profile y over x (a histogram, or a curve), and positions on x: your choice and the expected one."""

    ylabel: str
    x: Any
    y: Any
    style: Literal["line", "steps"] = "line"

    def __post_init__(self) -> None:
        _set(self, x=_numbers(self.x), y=_numbers(self.y))
        _set(self, yours=np.atleast_1d(_numbers(self.yours)), expected=np.atleast_1d(_numbers(self.expected)))
        if self.x.ndim != 1 or self.y.shape != self.x.shape:
            raise NoPicture(f"x has shape {self.x.shape}, y {self.y.shape}")
        _comparable(self.yours, self.expected, span=float(np.ptp(self.x)))

    @property
    def place(self) -> int:
        """The first position that differs."""
        return _places(self.yours, self.expected, span=float(np.ptp(self.x)))[0][0]


@dataclass(frozen=True, kw_only=True)
class Selection(Labelled):
    """Points, and which of them were chosen: ``yours`` and ``expected`` are masks, shape (n,)."""

    ylabel: str
    x: Any
    y: Any

    def __post_init__(self) -> None:
        for name in ("x", "y", "yours", "expected"):
            _set(self, **{name: _numbers(getattr(self, name))})
        if not self.x.shape == self.y.shape == self.expected.shape or self.x.ndim != 1:
            raise NoPicture(f"shapes {self.x.shape}, {self.y.shape} and {self.expected.shape} of points differ")
        _comparable(self.yours, self.expected)

    @property
    def place(self) -> int:
        """The leftmost point that only one of both has chosen."""
        return min((at for (at,) in _places(self.yours, self.expected)), key=lambda at: (self.x[at], self.y[at]))


@dataclass(frozen=True, kw_only=True)
class Rulers(Labelled):
    """The marks of two rulers, in order, and named places on the axis below them."""

    marks: Mapping[str, float]

    def __post_init__(self) -> None:
        _set(self, yours=_numbers(self.yours), expected=_numbers(self.expected))
        if self.expected.ndim != 1:
            raise NoPicture(f"a ruler has one axis, not shape {self.expected.shape}")
        _comparable(self.yours, self.expected)

    @property
    def place(self) -> int:
        """The mark that is farthest off."""
        return int(np.abs(self.yours - self.expected).argmax())


Picture = Curves | Maps | Cuts | Selection | Rulers

_MAKERS: dict[str, Callable[..., Picture]] = {}


def pictured(number: str) -> Callable:
    """Register the decorated function as the maker of an exercise's picture.

    It is called as ``make(answer, *args, **kwargs)`` with the arguments of the check's last call of the answer.

    Example
    -------
    >>> @pictured("99.2")
    ... def squares(answer, n):
    ...     x = np.arange(4.0)
    ...     return Curves(title="Squares", xlabel="n", ylabel="n * n", x=x, yours=answer(x), expected=x**2)
    >>> picture_of("99.2", lambda n: 2 * n, 3).place
    (0, 1)
    >>> picture_of("99.2", lambda n: n * n, 3) is None
    True
    """

    def register(make: Callable[..., Picture]) -> Callable[..., Picture]:
        _MAKERS[number] = make
        return make

    return register


def has_picture(number: str) -> bool:
    """Tell whether an exercise has a maker of pictures; those of its lesson are loaded for it.

    >>> has_picture("03.2"), has_picture("03.3")
    (True, False)
    """
    name = f"{__package__}.pictures.lesson_{number.partition('.')[0]}"
    if importlib.util.find_spec(name):
        importlib.import_module(name)
    return number in _MAKERS


def picture_of(number: str, answer: Callable, /, *args: Any, **kwargs: Any) -> Picture | None:
    """Make the picture of an answer that was called with these arguments, or None.

    There is none where the exercise has no maker, where nothing visible differs, and where the answer raises or
    returns what cannot be drawn. What the answer prints or warns of in these further calls is not shown: the verdict
    was about other ones.
    """
    nowhere = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        try:
            return _MAKERS[number](answer, *args, **kwargs) if has_picture(number) else None
        except Exception:  # of the student's code, or of what it returned: the verdict has said enough
            return None


def _set(picture: Any, **fields: Any) -> None:
    for name, value in fields.items():
        object.__setattr__(picture, name, value)


def _numbers(values: Any) -> np.ndarray:
    x = np.asarray(values)
    if x.dtype.kind not in "biuf" or x.size > MAX_POINTS:
        raise NoPicture(f"{x.size} values of dtype {x.dtype} are not drawn; wanted are at most {MAX_POINTS} numbers")
    x = x.astype(np.float64)
    if not np.isfinite(x).all():
        raise NoPicture("NaN and infinities are not drawn")
    return x


def _comparable(yours: np.ndarray, expected: np.ndarray, *, span: float = 0.0, visible: float = VISIBLE) -> None:
    """Ask for one shape, a visible difference, and values near enough for one axis."""
    if yours.shape != expected.shape:
        raise NoPicture(f"yours has shape {yours.shape}, expected {expected.shape}")
    if not _places(yours, expected, span=span, visible=visible):
        raise NoPicture("nothing that could be seen differs")
    height = max(float(np.ptp(expected)), span)
    if height and np.ptp(np.stack([yours, expected])) > TOO_FAR * height:
        raise NoPicture("beside your values the expected would be a flat line")


def _places(
    yours: np.ndarray, expected: np.ndarray, *, span: float = 0.0, visible: float = VISIBLE
) -> list[tuple[int, ...]]:
    """Return where both differ visibly."""
    span = max(span, float(np.ptp(np.stack([yours, expected]))))
    return [tuple(int(i) for i in at) for at in np.argwhere(np.abs(yours - expected) > visible * span)]
