"""The labelled sentences: enough of them, none twice, and not solved by counting words."""

import collections
import re

import numpy as np

from quantlab.lab.intervals import spearman
from quantlab.lab.minilm import minilm_embeddings
from quantlab.lab.sentence_pairs import ANSWERS, CALIBRATION, PAIRS, QUESTIONS


def overlap(a: str, b: str) -> float:
    x, y = (set(re.findall(r"\w+", text.lower())) for text in (a, b))
    return len(x & y) / len(x | y)


def test_counts():
    assert collections.Counter(grade for grade, _, _ in PAIRS) == dict.fromkeys(range(6), 12)
    assert len(QUESTIONS) == len(ANSWERS) == 64
    assert len(CALIBRATION) == 32


def test_nothing_stands_twice():
    every = [s for _, a, b in PAIRS for s in (a, b)] + [*QUESTIONS, *ANSWERS, *CALIBRATION]
    assert len({s.lower() for s in every}) == len(every)
    assert all(s == s.strip() and s[-1] in ".?" and 3 <= len(s.split()) <= 30 for s in every)


def test_counting_words_does_not_solve_them():
    grades = [grade for grade, _, _ in PAIRS]
    assert spearman([overlap(a, b) for _, a, b in PAIRS], grades) < 0.5
    table = np.array([[overlap(q, a) for a in ANSWERS] for q in QUESTIONS])
    assert (table.argmax(axis=1) == np.arange(64)).mean() < 0.25


def test_the_model_does_better_and_is_not_perfect():
    """Room on both sides: a set that float32 solves to the last pair could not show a small loss."""
    a, b = (minilm_embeddings([pair[side] for pair in PAIRS]) for side in (1, 2))
    assert 0.7 < spearman((a * b).sum(axis=1), [grade for grade, _, _ in PAIRS]) < 0.95
    hits = (minilm_embeddings(QUESTIONS) @ minilm_embeddings(ANSWERS).T).argmax(axis=1) == np.arange(64)
    assert 0.6 < hits.mean() < 0.95
