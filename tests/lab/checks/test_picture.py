"""Pictures as data: what can be drawn, what is refused, where the first difference lies."""

import sys
import warnings

import numpy as np
import pytest

from quantlab.lab.checks import attempt, picture
from quantlab.lab.checks.engine import judge
from quantlab.lab.checks.lesson_03 import BROKEN, SOUND
from quantlab.lab.checks.picture import MAX_POINTS, Curves, Cuts, Maps, NoPicture, Rulers, Selection, picture_of

X = np.arange(5.0)
WORDS = {"title": "A title", "xlabel": "x", "ylabel": "y"}
# Of every kind: the data without yours and the expected, the expected, yours, and the place of the difference.
KINDS = {
    "curves": (Curves, {"x": X, **WORDS}, X, X + [0, 0, 1, 0, 1], (0, 2)),
    "two lines": (Curves, {"x": X, **WORDS}, [X, -X], [X, -X + [0, 2, 0, 0, 0]], (1, 1)),
    "maps": (Maps, {"unit": "u", **WORDS}, np.eye(3), np.ones((3, 3)), (0, 1)),
    "cuts": (Cuts, {"x": X, "y": X**2, **WORDS}, (1, 3), (1, 4), 1),
    "selection": (Selection, {"x": -X, "y": X, **WORDS}, X > 1, X > 3, 3),
    "rulers": (Rulers, {"title": "A title", "xlabel": "x", "marks": {"0": 0.0}}, X, X + [0, 0, 1, 3, 2], 3),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def build(kind, change=lambda yours, expected: yours):
    make, data, expected, yours, _ = KINDS[kind]
    return make(**data, yours=change(np.asarray(yours, float), np.asarray(expected, float)), expected=expected)


@every_kind
def test_the_place_of_the_difference(kind):
    assert build(kind).place == KINDS[kind][4]


@every_kind
@pytest.mark.parametrize(
    "change",
    [
        lambda yours, expected: expected,
        lambda yours, expected: expected + 1e-9,
        lambda yours, expected: yours * np.nan,
        lambda yours, expected: yours + np.inf,
        lambda yours, expected: yours * 1e6,
        lambda yours, expected: yours[..., :-1],
        lambda yours, expected: yours[None, None],
        lambda yours, expected: yours[0],
        lambda yours, expected: yours * 1j,
        lambda yours, expected: yours.astype(str),
        lambda yours, expected: yours.astype(object),
        lambda yours, expected: np.zeros(MAX_POINTS + 1),
        lambda yours, expected: None,
        lambda yours, expected: [1.0, [2.0]],
    ],
)
def test_what_cannot_be_seen_or_drawn_is_refused(kind, change):
    with pytest.raises((NoPicture, ValueError)):
        build(kind, change)


def test_a_difference_at_a_place_of_the_verdict_is_marked_before_others():
    yours = X + [1, 0, 0, 1, 1]
    assert Curves(x=X, yours=yours, expected=X, **WORDS).place == (0, 0)
    assert Curves(x=X, yours=yours, expected=X, asked=[1.0, 3.0], **WORDS).place == (0, 3)
    assert Curves(x=X, yours=yours, expected=X, asked=1.0, **WORDS).place == (0, 0)


def test_noise_below_what_is_visible_is_not_the_difference():
    yours = X + [0.2, 0, 0, 2.0, 0]
    assert Curves(x=X, yours=yours, expected=X, visible=0.1, **WORDS).place == (0, 3)


def test_the_data_of_a_picture_is_capped():
    x = np.arange(MAX_POINTS + 1.0)
    assert Curves(x=x[1:], yours=x[1:] * 2, expected=x[1:], **WORDS).place[1] > 0
    with pytest.raises(NoPicture, match="4097 values"):
        Curves(x=x, yours=x * 2, expected=x, **WORDS)
    with pytest.raises(NoPicture, match="5000 values"):
        Maps(yours=np.zeros((50, 100)), expected=np.ones((50, 100)), unit="u", **WORDS)


def test_the_data_is_not_the_students_own():
    yours = X + [0, 1, 0, 0, 0]
    kept = Curves(x=X, yours=yours, expected=X, **WORDS)
    yours[:] = 0
    assert kept.yours[0, 4] == 4


class TestMaking:
    @pytest.fixture(autouse=True)
    def own_makers(self, monkeypatch):
        monkeypatch.setattr(picture, "_MAKERS", {})

        @picture.pictured("98.1")
        def squares(answer, n, *, shift=0):
            return Curves(x=X, yours=attempt(answer, X) + shift, expected=X**2, **WORDS)

    def test_with_the_arguments_of_the_call(self):
        assert picture_of("98.1", lambda n: 2 * n, 3).place == (0, 1)
        assert picture_of("98.1", lambda n: n * n, 3, shift=1).place == (0, 0)

    def test_an_exercise_without_a_picture(self):
        assert picture_of("98.2", lambda n: 2 * n, 3) is None
        assert picture_of("00.1", lambda n: 2 * n, 3) is None

    @pytest.mark.parametrize("raises", [lambda n: n / 0, lambda n: n[99], lambda n: sys.exit(1), lambda n: ...])
    def test_an_answer_that_raises_costs_the_picture_only(self, raises):
        assert picture_of("98.1", raises, 3) is None

    def test_an_interrupt_reaches_the_user(self):
        def interrupted(n):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            picture_of("98.1", interrupted, 3)

    def test_what_the_answer_prints_or_warns_of_is_not_shown(self, capsys, recwarn):
        def noisy(n):
            print("out")
            print("err", file=sys.stderr)
            warnings.warn("a remark", stacklevel=1)
            return n / np.zeros(1) if n is None else 2 * n

        assert picture_of("98.1", noisy, 3) is not None
        assert capsys.readouterr() == ("", "")
        assert len(recwarn) == 0


def test_a_verdict_knows_the_call_that_failed():
    seen = judge("03.2", lambda x, scale, zero_point, n_bits: np.trunc(x).astype(np.int8))
    _, (x, scale, zero_point, n_bits), _ = seen.call
    assert (x.tolist(), scale, zero_point, n_bits) == ([np.float32(0.9)], 1.0, 0, 8)
    found = seen.picture()
    assert found.x[found.place[1]] == np.float32(0.9)
    assert (found.yours[found.place], found.expected[found.place]) == (0, 1)


@pytest.mark.parametrize("answer", [..., 3.5, lambda x, scale, zero_point: x])
def test_a_verdict_without_a_comparison_has_no_picture(answer):
    assert judge("03.2", answer).picture() is None


@pytest.mark.parametrize("broken", BROKEN)
def test_every_broken_quantizer_that_passes_has_a_picture(broken):
    found = picture_of("03.5", lambda round_trip: True, BROKEN[broken])
    assert found.names == ("this one", "a sound one")
    assert picture_of("03.5", lambda round_trip: False, BROKEN[broken]) is None


@pytest.mark.parametrize("sound", SOUND)
def test_a_sound_quantizer_has_none(sound):
    assert picture_of("03.5", lambda round_trip: True, SOUND[sound]) is None
