"""Crops that share no picture, agreement counted by hand, intervals that widen when crops resemble each other."""

import numpy as np
import pytest
from PIL import Image

from quantlab import sqnr_db
from quantlab.lab.data import photographs
from quantlab.lab.fidelity import CALIBRATION, TEST, Judge, fidelity, fidelity_set, paired_difference
from quantlab.lab.labelled import IMAGENETTE, accuracy, download_imagenette, labelled_images


def test_calibration_and_test_share_no_picture():
    calibration, test = fidelity_set(seed=3)
    assert calibration.images.shape == (60, 224, 224, 3)
    assert test.images.shape == (120, 224, 224, 3)
    assert calibration.images.dtype == test.images.dtype == np.uint8
    assert not set(calibration.pictures) & set(test.pictures)
    assert set(calibration.pictures) == set(CALIBRATION)
    assert set(test.pictures) == set(TEST)
    # every crop is a piece of the photograph that it names, and all are different
    for found in (calibration, test):
        assert len({image.tobytes() for image in found.images}) == len(found.images)
        photos = photographs(sorted(set(found.pictures)))
        for image, name in list(zip(found.images, found.pictures, strict=True))[::10]:
            photo = photos[name]
            corner = np.argwhere((photo[:-223, :-223] == image[0, 0]).all(axis=-1))
            assert any(np.array_equal(photo[i : i + 224, j : j + 224], image) for i, j in corner)


def test_a_seed_gives_the_same_crops():
    (a, b), (c, d), (e, _) = (fidelity_set(seed=seed, n_calibration=4, n_test=6) for seed in (1, 1, 2))
    assert np.array_equal(a.images, c.images)
    assert np.array_equal(b.images, d.images)
    assert not np.array_equal(a.images, e.images)
    with pytest.raises(ValueError, match="n_test=7; expected a multiple of 6"):
        fidelity_set(seed=0, n_test=7)


def test_counts_equal_a_loop():
    rng = np.random.default_rng(5)
    reference = rng.normal(size=(60, 30)).astype(np.float32)
    logits = reference + rng.normal(size=reference.shape).astype(np.float32)
    found = fidelity(logits, reference, pictures=np.arange(60) // 6)
    top1 = top5 = 0
    for one, other in zip(logits, reference, strict=True):
        order = sorted(range(30), key=lambda k: -one[k])
        winner = max(range(30), key=lambda k: other[k])
        top1 += order[0] == winner
        top5 += winner in order[:5]
    assert (found.top1.value, found.top5.value) == (top1 / 60, top5 / 60)
    assert 0 < top1 < top5 < 60
    assert abs(found.sqnr.value - sqnr_db(reference, logits)) < 1e-5
    assert found.top1_crops.value == found.top1.value
    assert (found.top1.n, found.top1_crops.n) == (10, 60)
    for interval in (found.top1, found.top5, found.sqnr):
        assert interval.low < interval.value < interval.high


def test_crops_of_one_picture_that_agree_widen_the_interval():
    # Six pictures, 20 crops each; all crops of a picture right, or all wrong.
    reference = np.eye(10)[np.zeros(120, int)]
    logits = reference.copy()
    logits[60:] = np.eye(10)[1]
    found = fidelity(logits, reference, pictures=np.arange(120) // 20)
    width, width_crops = (i.high - i.low for i in (found.top1, found.top1_crops))
    assert found.top1.value == found.top1_crops.value == 0.5
    # the standard error of a share of 6 is sqrt(20) times that of 120
    assert 3 < width / width_crops < 6


def test_a_perfect_copy_and_ties():
    reference = np.full((4, 6), 3.0)
    found = fidelity(reference, reference, pictures=[0, 0, 1, 1])
    assert found.top1.value == found.top5.value == 1
    assert abs(found.sqnr.value - 200) < 1e-9
    wrong = reference.copy()
    wrong[:, 5] = 4  # the winner, class 0, still leads the rest
    found = fidelity(wrong, reference, pictures=[0, 0, 1, 1])
    assert (found.top1.value, found.top5.value) == (0, 1)


def test_a_difference_is_paired():
    rng = np.random.default_rng(6)
    y = rng.normal(size=(40, 12))
    hard = np.repeat(np.exp(rng.normal(0, 2, 8)), 5)[:, None]  # pictures of very different difficulty
    noise = rng.normal(size=y.shape) * 0.01 * hard
    pictures = np.arange(40) // 5
    found = paired_difference(y + noise, y + 2 * noise, y, pictures=pictures)
    assert abs(found.value - 20 * np.log10(2)) < 1e-9
    assert found.high - found.low < 1e-9
    alone = fidelity(y + noise, y, pictures=pictures).sqnr
    assert alone.high - alone.low > 5
    # the difference of the two ratios, and 200 dB for a copy
    first, second = (fidelity(y + k * noise**3, y, pictures=pictures).sqnr.value for k in (3, 1))
    assert abs(paired_difference(y + 3 * noise**3, y + noise**3, y, pictures=pictures).value - (first - second)) < 1e-9
    assert abs(paired_difference(y, y + noise, y, pictures=pictures).value - (200 - alone.value)) < 1e-9


def test_every_third_question():
    x, y = np.arange(12.0)[:, None], np.random.default_rng(9).normal(size=(12, 5))
    judge = Judge(x, y, np.arange(12) // 3).every(3)
    assert judge.x.ravel().tolist() == [0, 3, 6, 9]
    assert np.array_equal(judge.reference, y[[0, 3, 6, 9]])
    assert judge.pictures.tolist() == [0, 1, 2, 3]


def test_errors_name_what_came():
    y = np.ones((4, 6))
    with pytest.raises(ValueError, match="has no signal-to-noise ratio"):
        fidelity(y, 0 * y, pictures=[0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"logits.shape=\(4, 5\)"):
        fidelity(y[:, :5], y, pictures=[0, 0, 1, 1])
    with pytest.raises(ValueError, match="NaN or infinities"):
        fidelity(y * np.nan, y, pictures=[0, 0, 1, 1])
    with pytest.raises(ValueError, match="without a second one"):
        fidelity(y, y, pictures=[0, 0, 0, 0])
    with pytest.raises(ValueError, match=r"logits.shape=\(3, 6\)"):
        paired_difference(y, y[:3], y, pictures=[0, 0, 1, 1])
    with pytest.raises(ValueError, match=r"pictures.shape=\(3,\)"):
        paired_difference(y, y, y, pictures=[0, 0, 1])
    with pytest.raises(ValueError, match="NaN or infinities"):
        paired_difference(y, y * np.nan, y, pictures=[0, 0, 1, 1])


def test_of_equal_logits_the_lower_class_is_the_larger():
    """Among hundreds too, where a quick sort is not stable: of the even classes 0, 2, 4, 6, 8 are the five largest."""
    logits = np.tile(np.arange(300) % 2 == 0, (6, 1)).astype(float)
    found = fidelity(logits, np.eye(300)[[0, 4, 8, 6, 10, 298]], pictures=[0, 0, 0, 1, 1, 1])
    assert (found.top1.value, found.top5.value) == (1 / 6, 4 / 6)


def test_logits_may_be_codes():
    """Unsigned integers cannot be negated, which sorting from the largest would do."""
    codes = np.random.default_rng(8).permutation(240).reshape(24, 10).astype(np.uint8)
    found = fidelity(codes, codes, pictures=np.arange(24) // 6)
    assert (found.top1.value, found.top5.value) == (1, 1)


def test_labelled_images_come_from_folders(tmp_path):
    rng, painted = np.random.default_rng(7), {}
    for k, (name, label) in enumerate(list(IMAGENETTE.items())[:3]):
        (tmp_path / name).mkdir()
        for i, size in enumerate([(300, 400), (600, 230), (256, 256)]):
            value = int(rng.integers(0, 256))
            painted[value] = label
            Image.new("L" if i else "RGB", size, value if i else (value,) * 3).save(tmp_path / name / f"{k}{i}.png")
    assert len(painted) == 9
    images, labels = labelled_images(tmp_path, n=9, rng=rng)
    assert images.shape == (9, 224, 224, 3)
    assert images.dtype == np.uint8
    assert sorted(labels) == sorted(painted.values())
    for image, label in zip(images, labels, strict=True):
        assert (image == image[0, 0, 0]).all()  # one colour: the crop lies inside the picture
        assert painted[int(image[0, 0, 0])] == label
    assert len(labelled_images(tmp_path, n=4, rng=rng)[0]) == 4
    for n in (0, 10):
        with pytest.raises(ValueError, match="holds 9 images"):
            labelled_images(tmp_path, n=n, rng=rng)


def test_the_crop_is_the_middle_of_the_shorter_side(tmp_path):
    (tmp_path / "n01440764").mkdir()
    picture = np.zeros((256, 512, 3), np.uint8)
    picture[:, 144:368] = 200  # the middle 224 columns
    Image.fromarray(picture).save(tmp_path / "n01440764" / "0.png")
    (image,), _ = labelled_images(tmp_path, n=1, rng=np.random.default_rng(0))
    assert (image == 200).all()


def test_nothing_is_downloaded_unasked(tmp_path):
    with pytest.raises(ValueError, match="pass yes=True"):
        download_imagenette(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_accuracy_counts():
    found = accuracy(np.eye(5), np.array([0, 1, 2, 3, 0]))
    assert (found.value, found.n) == (0.8, 5)
