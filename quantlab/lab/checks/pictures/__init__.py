"""What the pictures of verdicts show; those of lesson NN stand in ``lesson_NN.py`` and load when first asked for.

What is expected comes from the library, or from a helper of the lesson's checks: it is computed in one place.
"""
