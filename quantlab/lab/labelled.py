"""A labelled set of photographs, for a reader who has one: accuracy in place of agreement.

No lesson needs it. Point `labelled_images` to a folder of Imagenette, or let `download_imagenette` fetch it.
"""

from pathlib import Path

import numpy as np

from quantlab.lab.intervals import Interval, wilson

__all__ = ["IMAGENETTE", "accuracy", "download_imagenette", "labelled_images"]

# The ten classes of Imagenette, the labelled set that a reader may switch on: folder -> class index of ImageNet's 1000.
IMAGENETTE = {
    "n01440764": 0,  # tench
    "n02102040": 217,  # English springer
    "n02979186": 482,  # cassette player
    "n03000684": 491,  # chain saw
    "n03028079": 497,  # church
    "n03394916": 566,  # French horn
    "n03417042": 569,  # garbage truck
    "n03425413": 571,  # gas pump
    "n03445777": 574,  # golf ball
    "n03888257": 701,  # parachute
}
IMAGENETTE_URL = "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz"  # about 340 MB


def labelled_images(folder: str | Path, *, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return n images of a folder with one subfolder a class, and their ImageNet class indices.

    For a reader who has Imagenette, or a part of ImageNet laid out like it. The shorter side of an image is brought to
    256 pixels, and the square of 224 in the middle is taken.

    Parameters
    ----------
    folder : path
        Such as ``imagenette2-320/val``: its subfolders have the names in `IMAGENETTE`.
    n : int
    rng : numpy Generator
        Which of them.

    Returns
    -------
    images : ndarray of uint8, shape (n, 224, 224, 3)
    labels : ndarray of int64, shape (n,)

    Raises
    ------
    ValueError
        If there are fewer than n images.
    """
    from PIL import Image

    found = [(file, label) for name, label in IMAGENETTE.items() for file in sorted(Path(folder).glob(f"{name}/*"))]
    if not 0 < n <= len(found):
        raise ValueError(
            f"n={n}, and {folder} holds {len(found)} images in subfolders like {next(iter(IMAGENETTE))}; pass the "
            "folder 'train' or 'val' of Imagenette, and at most as many as it has"
        )
    images, labels = [], []
    for k in rng.permutation(len(found))[:n]:
        file, label = found[k]
        with Image.open(file) as image:
            rgb = image.convert("RGB")
        factor = 256 / min(rgb.size)
        rgb = rgb.resize([max(round(side * factor), 224) for side in rgb.size], Image.Resampling.BICUBIC)
        left, top = (rgb.width - 224) // 2, (rgb.height - 224) // 2
        images.append(np.asarray(rgb.crop((left, top, left + 224, top + 224))))
        labels.append(label)
    return np.stack(images), np.array(labels)


def accuracy(logits: np.ndarray, labels: np.ndarray) -> Interval:
    """Return the share of rows whose largest logit is the label, with Wilson's interval: the images are independent.

    Example
    -------
    >>> print(f"{accuracy(np.eye(4), np.array([0, 1, 2, 0])):.0%}")
    75% [30%, 95%]
    """
    return wilson(int((np.asarray(logits).argmax(axis=1) == labels).sum()), len(labels))


def download_imagenette(target: str | Path, *, yes: bool = False) -> Path:
    """Fetch Imagenette (about 340 MB, fast.ai, Apache-2.0) into a folder, and return the path of its validation images.

    No lesson calls this, and no test: the course needs no network.

    Raises
    ------
    ValueError
        Unless ``yes=True``.
    """
    if yes is not True:
        raise ValueError("this downloads about 340 MB; pass yes=True to have it, or point labelled_images to a folder")
    import io
    import tarfile
    import urllib.request

    with urllib.request.urlopen(IMAGENETTE_URL) as answer:
        data = io.BytesIO(answer.read())
    with tarfile.open(fileobj=data) as archive:
        archive.extractall(target, filter="data")
    return Path(target) / "imagenette2-320" / "val"
