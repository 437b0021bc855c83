"""Embed all labelled sentences with one form of a model, and compare it with another form on the same sentences."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from quantlab.lab.intervals import Interval, bootstrap, spearman, wilson
from quantlab.lab.minilm import minilm_batch
from quantlab.lab.sentence_pairs import ANSWERS, PAIRS, QUESTIONS

__all__ = ["GRADES", "Scores", "batches", "score"]

GRADES = np.array([grade for grade, _, _ in PAIRS])

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]  # ids, mask -> embeddings


@dataclass(frozen=True)
class Scores:
    """What one form of the model says about the labelled sentences.

    Attributes
    ----------
    embeddings : ndarray of float32, shape (272, 384)
        First and second sentences of the pairs, questions, answers.
    similarity : ndarray of float32, shape (72,)
        Cosine of each pair of `quantlab.lab.sentence_pairs.PAIRS`.
    nearest : ndarray of int, shape (64,)
        For each question the index of the answer with the largest cosine; right is ``arange(64)``.
    """

    embeddings: np.ndarray
    similarity: np.ndarray
    nearest: np.ndarray

    @property
    def hits(self) -> np.ndarray:
        """Which questions found their answer, bool (64,)."""
        return self.nearest == np.arange(len(self.nearest))

    def rank_correlation(self, *, seed: int = 0) -> Interval:
        """Return Spearman's correlation of similarity and grade, with a bootstrap interval over the pairs."""
        return bootstrap(spearman, self.similarity, GRADES, rng=np.random.default_rng(seed))

    def retrieval(self) -> Interval:
        """Return the share of questions that found their answer, with Wilson's interval."""
        return wilson(int(self.hits.sum()), len(self.hits))

    def cosine(self, reference: "Scores") -> np.ndarray:
        """Return the cosine of each embedding with the reference's, (272,)."""
        return (self.embeddings * reference.embeddings).sum(axis=1)

    def rank_change(self, reference: "Scores", *, seed: int = 0) -> Interval:
        """Return how much the rank correlation differs from the reference's, on the same pairs, with its interval."""

        def difference(ours: np.ndarray, theirs: np.ndarray, grades: np.ndarray) -> float:
            return spearman(ours, grades) - spearman(theirs, grades)

        rng = np.random.default_rng(seed)
        return bootstrap(difference, self.similarity, reference.similarity, GRADES, rng=rng, n_resamples=500)

    def against(self, reference: "Scores") -> str:
        """Return a line: mean cosine, change of the rank correlation, right answers, those lost and won."""
        change, hits = self.rank_change(reference), self.hits
        lost, won = (reference.hits & ~hits).sum(), (hits & ~reference.hits).sum()
        cosine = self.cosine(reference).mean()
        return f"cosine {cosine:.3f}, rank {change:+.3f}, top-1 {hits.sum()} ({lost} lost, {won} won)"


def score(embed: Embed, *, batch_size: int = 16) -> Scores:
    """Embed all sentences, in batches, and return the scores.

    Parameters
    ----------
    embed : callable
        Takes ids and mask, int64 (sentences, tokens); returns embeddings of length 1, float32 (sentences, 384).
    batch_size : int

    Example
    -------
    >>> from quantlab.lab.minilm_torch import minilm_module
    >>> import torch
    >>> module = minilm_module()
    >>> found = score(lambda ids, mask: module(torch.from_numpy(ids), torch.from_numpy(mask)).numpy())
    >>> print(f"{found.rank_correlation():.1f}; {found.hits.sum()} of {len(found.hits)} questions")
    0.8 [0.7, 0.9]; 50 of 64 questions
    """
    parts = [[pair[side] for pair in PAIRS] for side in (1, 2)] + [list(QUESTIONS), list(ANSWERS)]
    first, second, questions, answers = (
        np.concatenate([embed(ids, mask) for ids, mask in batches(part, batch_size=batch_size)]) for part in parts
    )
    return Scores(
        embeddings=np.concatenate([first, second, questions, answers]),
        similarity=(first * second).sum(axis=1),
        nearest=(questions @ answers.T).argmax(axis=1),
    )


def batches(sentences: list[str] | tuple[str, ...], *, batch_size: int = 16) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return ids and mask of the sentences, as many at a time, each filled up to the longest of its batch.

    Example
    -------
    >>> [ids.shape for ids, mask in batches(["One.", "Two!", "Three of them."], batch_size=2)]
    [(2, 4), (1, 6)]
    """
    return [minilm_batch(sentences[i : i + batch_size]) for i in range(0, len(sentences), batch_size)]
