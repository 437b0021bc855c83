"""Surroundings of all tests: threads, a progress file that is not the user's, and random draws."""

import copy
import os
import tempfile

import pytest

from isolation import ONE_THREAD

# Before anything imports numpy: the libraries read these once.
os.environ.update(ONE_THREAD)
os.environ.setdefault("MPLBACKEND", "agg")
_folder = tempfile.TemporaryDirectory()
os.environ["QUANTLAB_PROGRESS"] = os.path.join(_folder.name, "progress.json")


@pytest.fixture(autouse=True)
def rng_from_its_start(request, monkeypatch):
    """A module's ``rng`` starts anew for each test: what a test draws does not depend on the tests before it."""
    if hasattr(request.module, "rng"):
        monkeypatch.setattr(request.module, "rng", copy.deepcopy(request.module.rng))
