"""Surroundings of all tests: one thread for each numeric library, and a progress file that is not the user's."""

import os
import tempfile

from isolation import ONE_THREAD

# Before anything imports numpy: the libraries read these once.
os.environ.update(ONE_THREAD)
os.environ.setdefault("MPLBACKEND", "agg")
_folder = tempfile.TemporaryDirectory()
os.environ["QUANTLAB_PROGRESS"] = os.path.join(_folder.name, "progress.json")
