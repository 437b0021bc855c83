"""Data that is what it says: disjoint, seeded, offline, shaped like real tensors."""

import importlib.metadata
import socket

import numpy as np
import pytest
from sklearn.datasets import load_digits

from quantlab.lab import data
from quantlab.lab.models import efficientnet_weights, minilm_weights


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a lesson's data must not need a network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


class TestDigits:
    def test_the_parts_are_disjoint_and_complete(self):
        d = data.digits(seed=3)
        assert np.array_equal(np.sort(np.concatenate([d.train_index, d.test_index])), np.arange(1797))
        assert not {row.tobytes() for row in d.x_train} & {row.tobytes() for row in d.x_test}, "no image in both"

    def test_pixels_and_labels_belong_together(self):
        d = data.digits(seed=3)
        x, y = load_digits(return_X_y=True)
        for pixels, labels, index in [(d.x_train, d.y_train, d.train_index), (d.x_test, d.y_test, d.test_index)]:
            assert pixels.dtype == np.float32
            assert np.array_equal(pixels * 16, x[index]), "16 grey levels: exact in float32"
            assert np.array_equal(labels, y[index])
        assert (d.x_train.min(), d.x_train.max()) == (0, 1)

    def test_the_seed_decides(self):
        assert np.array_equal(data.digits(seed=1).test_index, data.digits(seed=1).test_index)
        assert not np.array_equal(data.digits(seed=1).test_index, data.digits(seed=2).test_index)
        assert len(data.digits(seed=1, n_test=100).x_test) == 100

    @pytest.mark.parametrize("n_test", [0, 1797, -1])
    def test_no_empty_part(self, n_test):
        with pytest.raises(ValueError, match=f"n_test={n_test} leaves no two parts"):
            data.digits(seed=0, n_test=n_test)


class TestPhotographs:
    def test_all_are_in_the_packages(self):
        photos = data.photographs()
        assert list(photos) == list(data.PHOTOGRAPHS)
        assert all(p.dtype == np.uint8 and p.ndim == 3 and p.shape[2] == 3 for p in photos.values())
        assert all(min(p.shape[:2]) >= 224 and p.std() > 20 for p in photos.values())
        assert len({p.tobytes() for p in photos.values()}) == len(photos)

    def test_the_same_pixels_as_the_packages_own_loaders(self):
        from skimage.data import astronaut, chelsea
        from sklearn.datasets import load_sample_image

        photos = data.photographs(["china", "cat", "astronaut"])
        assert np.array_equal(photos["china"], load_sample_image("china.jpg"))
        assert np.array_equal(photos["cat"], chelsea())
        assert np.array_equal(photos["astronaut"], astronaut())

    def test_bad_names_and_missing_packages(self, monkeypatch):
        with pytest.raises(ValueError, match=r"names=\['dog'\] are not photographs of the course; choose from china"):
            data.photographs(["cat", "dog"])

        def missing(name):
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "distribution", missing)
        with pytest.raises(FileNotFoundError, match="run `make lab` .* or `pip install scikit-image`"):
            data.photographs(["cat"])

    def test_crops_are_pieces_of_the_photograph(self):
        photo = np.arange(30 * 40 * 3, dtype=np.uint16).reshape(30, 40, 3)  # every value names its place
        pieces = data.crops(photo, n=200, size=24, rng=np.random.default_rng(0))
        assert pieces.shape == (200, 24, 24, 3)
        tops, lefts = pieces[:, 0, 0, 0] // 120, pieces[:, 0, 0, 0] % 120 // 3
        for piece, top, left in zip(pieces, tops, lefts, strict=True):
            assert np.array_equal(piece, photo[top : top + 24, left : left + 24])
        assert (set(tops), set(lefts)) == (set(range(7)), set(range(17))), "both borders can be reached"

    def test_a_photograph_of_just_the_size(self):
        photo = np.zeros((24, 24, 3), np.uint8)
        assert data.crops(photo, n=2, size=24, rng=np.random.default_rng(0)).shape == (2, 24, 24, 3)
        with pytest.raises(ValueError, match=r"photo\.shape=\(24, 24, 3\) is smaller than size=25"):
            data.crops(photo, n=1, size=25, rng=np.random.default_rng(0))


def kurtosis(x):
    x = np.asarray(x, dtype=np.float64).ravel()
    return float(((x - x.mean()) ** 4).mean() / x.var() ** 2)


def channel_width(x):
    """Standard deviation of the logarithm of the output channels' standard deviations."""
    return float(np.log(x.reshape(len(x), -1).std(axis=1)).std())


class TestSynthetic:
    def test_weights_lie_among_real_ones(self):
        """Tails and the spread of channel widths lie within what the two real models show."""
        real = {**efficientnet_weights(), **minilm_weights()}
        layers = [w for name, w in real.items() if w.ndim >= 2 and w[0].size >= 64 and "embedding" not in name]
        made = data.synthetic_weights((256, 384), rng=np.random.default_rng(0))
        assert kurtosis(made) > 3.5, "heavier than a Gaussian"
        for measure in (kurtosis, channel_width):
            seen = [measure(w) for w in layers]
            assert min(seen) < measure(made) < max(seen)

    def test_the_scale_is_one_over_the_root_of_the_fan_in(self):
        w = data.synthetic_weights((400, 32, 3, 3), rng=np.random.default_rng(0), channel_spread=0)
        # 115,200 values with kurtosis 6: the relative standard error of the variance is sqrt(5 / 115200) = 0.7 %.
        assert abs(float(w.var()) * 288 - 1) < 0.03
        assert w.dtype == np.float32

    @pytest.mark.parametrize("make", [data.synthetic_weights, data.synthetic_activations])
    def test_outlier_channels_are_as_many_as_asked_for(self, make):
        for count in (0, 1, 5):
            x = make((200, 200), rng=np.random.default_rng(1), outlier_channels=count, outlier_factor=1e4)
            widths = x.std(axis=1 if make is data.synthetic_weights else 0)
            assert int((widths > 100 * np.median(widths)).sum()) == count

    @pytest.mark.parametrize("make", [data.synthetic_weights, data.synthetic_activations])
    def test_the_generator_decides(self, make):
        a, b, c = (make((20, 30), rng=np.random.default_rng(s)) for s in (1, 1, 2))
        assert np.array_equal(a, b)
        assert not np.array_equal(a, c)

    def test_activations(self):
        cut = data.synthetic_activations((2000, 64), rng=np.random.default_rng(0))
        signed = data.synthetic_activations((2000, 64), rng=np.random.default_rng(0), relu=False)
        assert np.array_equal(cut, np.maximum(signed, 0))
        assert len(np.unique((cut == 0).mean(axis=0).round(2))) > 20, "channels fire more or less often"

    def test_bad_arguments(self):
        rng = np.random.default_rng(0)
        with pytest.raises(ValueError, match=r"tail=2 gives no finite variance"):
            data.synthetic_weights((4, 4), rng=rng, tail=2)
        with pytest.raises(ValueError, match=r"outlier_channels=5 is outside 0\.\.4"):
            data.synthetic_weights((4, 4), rng=rng, outlier_channels=5)


class TestEnglish:
    def test_text_and_sentences(self):
        text = data.english_text()
        assert len(text) > 300_000
        flat = " ".join(text.split())
        sentences = data.english_sentences(200, rng=np.random.default_rng(0))
        assert len(set(sentences)) == 200
        assert all(s in flat and 6 <= len(s.split()) <= 40 and s[0].isupper() for s in sentences)

    def test_the_generator_decides(self):
        first, again, other = (data.english_sentences(20, rng=np.random.default_rng(s)) for s in (1, 1, 2))
        assert first == again != other

    def test_more_than_there_are(self):
        with pytest.raises(ValueError, match="different sentences; ask for fewer"):
            data.english_sentences(10**6, rng=np.random.default_rng(0))
