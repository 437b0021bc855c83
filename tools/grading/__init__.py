"""Grading a class with nbgrader: student code runs in a sandbox, and one submission never stops the others."""
