"""nbgrader's own commands and pages find their settings here; the settings stand in tools/grading/settings.py."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))

from grading.settings import class_folder, configure  # noqa: E402 (found only once tools/ is on the path)

class_folder(ROOT)  # nbgrader makes its gradebook there, but not the folder
configure(get_config(), ROOT)  # noqa: F821 (nbgrader defines it for this file)
