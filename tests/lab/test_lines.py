"""Counting lines of code."""

import pytest

from quantlab import Grid, choose_qparams, quantize
from quantlab.lab import lines


def test_docstrings_comments_and_blanks_do_not_count():
    text = '"""Two\nlines."""\n\nimport os  # counts\n# does not\n\n\n'
    text += 'def f():\n    """Doc."""\n    return """text\nof two"""\n'
    assert lines._code_lines(text) == {4, 8, 10, 11}


def test_rooms_add_up():
    assert lines.code_lines("core", "integer") == lines.code_lines("core") + lines.code_lines("integer")
    with pytest.raises(ValueError, match=r"rooms=\['cellar'\] are not there"):
        lines.code_lines("core", "cellar")


def test_lines_that_run():
    qp = choose_qparams(-1.0, 1.0, grid=Grid(n_bits=8))
    both = lines.lines_run(lambda: quantize([0.5], qp), "core")
    assert 10 < both < lines.code_lines("core")
    assert lines.lines_run(lambda: quantize([0.5], qp), "formats") == 0
    assert lines.lines_run(lambda: None, "core") == 0
