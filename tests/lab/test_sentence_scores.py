"""Scores of embeddings against their definitions, on embeddings made for it."""

import numpy as np
import pytest

from quantlab.lab.sentence_pairs import ANSWERS, PAIRS, QUESTIONS
from quantlab.lab.sentence_scores import GRADES, batches, score
from quantlab.lab.timing import best_times


def random_embed(ids, mask):
    """One direction a sentence, by its tokens; padding must not matter."""
    rows = [
        np.random.default_rng(row[kept == 1].tolist()).normal(size=384) for row, kept in zip(ids, mask, strict=True)
    ]
    return np.float32([row / np.linalg.norm(row) for row in rows])


@pytest.fixture(scope="module")
def scores():
    return score(random_embed)


def test_shapes(scores):
    assert scores.embeddings.shape == (2 * len(PAIRS) + len(QUESTIONS) + len(ANSWERS), 384)
    assert scores.similarity.shape == GRADES.shape == (len(PAIRS),)
    assert scores.nearest.shape == (len(QUESTIONS),)


def test_a_model_that_knows_nothing(scores):
    correlation, retrieval = scores.rank_correlation(), scores.retrieval()
    assert correlation.low < 0 < correlation.high
    assert retrieval.low < 1 / 64 < retrieval.high
    assert (correlation.n, retrieval.n) == (72, 64)


def test_the_size_of_a_batch_does_not_matter(scores):
    assert np.array_equal(score(random_embed, batch_size=5).embeddings, scores.embeddings)


def test_against_itself(scores):
    assert np.allclose(scores.cosine(scores), 1)
    change = scores.rank_change(scores)
    assert (change.value, change.low, change.high) == (0, 0, 0)
    line = f"cosine 1.000, rank +0.000 [+0.000, +0.000], top-1 {scores.hits.sum()} (0 lost, 0 won)"
    assert scores.against(scores) == line


def test_batches_hold_every_sentence():
    parts = batches(QUESTIONS, batch_size=10)
    assert [len(ids) for ids, _ in parts] == [10] * 6 + [4]
    assert all(mask.any(axis=0).all() for _, mask in parts), "no column of padding alone"


def test_times_take_turns():
    order = []
    times = best_times({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    best_times({"a": lambda: order.append("a")}, rounds=1, warm_up=False)
    assert len(order) == 7
    assert list(times) == ["a", "b"]
    with pytest.raises(ValueError, match="rounds=0"):
        best_times({}, rounds=0)
