"""nbgrader's own commands and pages find their settings here; the settings stand in tools/grading/settings.py."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT / "tools"))

from grading.settings import configure  # noqa: E402

configure(get_config(), ROOT)  # noqa: F821 (nbgrader defines it for this file)
