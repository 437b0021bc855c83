"""Checks of exercise 14: divergence of answers, a trace from signs, the Fisher information, drawing whole layers."""

import numpy as np

from quantlab.lab.checks import Incorrect, exercise, expect, expect_close, expect_type
from quantlab.lab.intervals import spearman


def refuse(got: float, mistakes: list[tuple[float, str]], when: str) -> None:
    """Raise Incorrect if the number is one that a known mistake makes."""
    for value, text in mistakes:
        if np.isclose(got, value, rtol=1e-6, atol=1e-9):
            raise Incorrect(f"{when} you return {got:.4g}: {text}")


@exercise(
    "14.1",
    title="How far did the answers move?",
    difficulty=1,
    minutes=8,
    hints=(
        "log softmax(z) = z - log(sum(exp(z))), row by row.",
        "Take the largest logit of each row away first: it cancels, and nothing overflows.",
        "(exp(log_p) * (log_p - log_q)).sum(axis=1).mean()",
    ),
)
def check_mean_kl(answer, say):
    """``mean_kl``: KL divergence from the softmax of the logits to that of the changed ones."""

    def softmax(z):
        e = np.exp(z - z.max(axis=1, keepdims=True))
        return e / e.sum(axis=1, keepdims=True)

    def kl(p, q):
        return float((p * np.log(p / q)).sum())

    def ask(z, z_changed, hint, mistakes=()):
        z, z_changed = np.array(z, np.float64), np.array(z_changed, np.float64)
        when = f"with logits={z.tolist()}, changed={z_changed.tolist()}"
        got = answer(z, z_changed)
        refuse(float(got), list(mistakes), when)
        expect_close(float(got), kl(softmax(z), softmax(z_changed)) / len(z), atol=1e-9, when=when, hint=hint)

    z, c = np.log([[0.5, 0.5]]).round(3), np.log([[0.25, 0.75]]).round(3)
    p, q = softmax(z), softmax(c)
    ask(
        z,
        c,
        "0.5 log(0.5 / 0.25) + 0.5 log(0.5 / 0.75)",
        [
            (kl(q, p), "this is the divergence from changed to logits; p, in front of the logarithm, is before"),
            (kl(p, q) / 2, "sum over the classes; the mean is over the samples"),
            (kl(p, q) / np.log(2), "in nats: the natural logarithm"),
        ],
    )
    z, c = np.array([[0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 2.0], [1.0, 0.0], [1.0, 0.0]])
    p, q = softmax(z), softmax(c)
    joint = [np.exp(v) / np.exp(v).sum() for v in (z, c)]
    ask(
        z,
        c,
        "each row is a distribution of its own; then the mean of the rows",
        [
            (kl(p, q), "divide by the number of samples"),
            (kl(*joint), "each row is a distribution of its own: divide by the sum of the row"),
            (kl(*joint) / 3, "each row is a distribution of its own: divide by the sum of the row"),
        ],
    )
    ask([[5.0, 5.0]], [[7.0, 7.0]], "a change of all logits alike changes no probability: 0")
    when = "with logits=[[0, 1000]], changed=[[1000, 0]]"
    got = float(answer(np.array([[0.0, 1000.0]]), np.array([[1000.0, 0.0]])))
    expect(
        np.isfinite(got), f"{when} you return {got}: exp(1000) overflows; take the largest logit of the row away first"
    )
    expect_close(got, 1000.0, atol=1e-6, when=when, hint="a probability of 1 became exp(-1000): KL is 1000")
    say("and it is half of dz . F dz for small changes, with F the Fisher information of the logits")


@exercise(
    "14.2",
    title="A trace from signs",
    difficulty=2,
    minutes=8,
    hints=(
        "One number a probe: v . (H v).",
        "The estimate is the mean of these numbers, and not divided by n.",
        "products.mean(), products.std(ddof=1) / np.sqrt(len(signs))",
    ),
)
def check_trace(answer, say):
    """``trace``: Hutchinson's estimate and its standard error."""

    def ask(H, signs, hint):
        H, signs = np.array(H, np.float64), np.array(signs, np.float64)
        shown = (
            f"with H={H.tolist()}, signs={signs.astype(int).tolist()}" if H.size < 10 else f"with a {H.shape} matrix"
        )
        got = answer(lambda v: H @ v, signs)
        expect_type(got, tuple, when=shown)
        expect(len(got) == 2, f"{shown} you return {len(got)} values, expected (estimate, standard error)")
        estimate, error = (float(v) for v in got)
        products, m = np.einsum("mi,ij,mj->m", signs, H, signs), len(signs)
        refuse(
            estimate,
            [
                (value, text)
                for value, text in [
                    ((signs @ H).sum(axis=1).mean(), "multiply H v by v again, entry by entry, before the sum"),
                    (products.mean() / len(H), "that is the mean eigenvalue: the trace is not divided by n"),
                    (products.sum(), "take the mean over the probes"),
                ]
                if not np.isclose(value, products.mean())
            ],
            f"{shown}, the estimate:",
        )
        expect_close(estimate, products.mean(), atol=1e-9, when=f"{shown}, the estimate:", hint=hint)
        std = products.std(ddof=1)
        refuse(
            error,
            [
                (value, text)
                for value, text in [
                    (std, "that is the spread of one probe: a mean of m has an error smaller by the root of m"),
                    (products.std() / np.sqrt(m), "divide by m - 1 inside the root: the mean was estimated too"),
                    (std / m, "divide by the root of the number of probes"),
                ]
                if std > 0
            ],
            f"{shown}, the error:",
        )
        expect_close(error, std / np.sqrt(m), atol=1e-9, when=f"{shown}, the error:", hint=hint)

    ask([[2.0, 0.0], [0.0, 5.0]], [[1, 1], [1, -1], [-1, 1]], "v . H v is 7 for every probe: a diagonal makes no noise")
    ask([[2.0, 1.0], [1.0, 5.0]], [[1, 1], [1, -1], [-1, 1]], "v . H v is 9, 5 and 5")
    rng = np.random.default_rng(14)
    A = rng.normal(size=(12, 12))
    ask(A @ A.T, rng.choice([-1.0, 1.0], size=(20, 12)), "")
    say("twelve rows cost twelve products exactly; a million rows still cost twenty")


@exercise(
    "14.3",
    title="Foretell the loss from slopes",
    difficulty=2,
    minutes=8,
    hints=(
        "F_i is the mean over the samples of the square, not the square of the mean.",
        "Both F and d_W**2 have one number a weight: multiply them, and sum.",
        "((gradients**2).mean(axis=0) * d_W**2).sum() / 2",
    ),
)
def check_expected_increase(answer, say):
    """``expected_increase``: half the Fisher-weighted sum of squared changes."""

    def ask(gradients, d_W, hint):
        g, d = np.array(gradients, np.float64), np.array(d_W, np.float64)
        when = f"with gradients={g.tolist()}, d_W={d.tolist()}" if g.size < 10 else f"with gradients {g.shape}"
        fisher = (g**2).mean(axis=0)
        want = float((fisher * d**2).sum() / 2)
        got = float(answer(g, d))
        mistakes = [
            (float((g.mean(axis=0) ** 2 * d**2).sum() / 2), "square each sample's slope first, then average"),
            (2 * want, "a parabola has half its curvature: divide by 2"),
            (float((fisher * d).sum() / 2), "the change is squared too, or else its sign would matter"),
            (float((fisher * np.abs(d)).sum() / 2), "the change is squared too, or else its sign would matter"),
            (len(g) * want, "F is the mean over the samples, not the sum"),
            (float(fisher.mean() * (d**2).sum() / 2), "each weight has its own F: multiply before you sum"),
            (float(((g @ d).mean()) ** 2 / 2), "square each sample's slope first, then average"),
        ]
        refuse(got, [(value, text) for value, text in mistakes if not np.isclose(value, want)], when)
        expect_close(got, want, atol=1e-9, when=when, hint=hint)

    ask([[3.0], [-1.0], [1.0]], [0.25], "F = (9 + 1 + 1) / 3, and F * 0.0625 / 2")
    ask([[3.0, 0.0], [1.0, 2.0]], [0.5, -0.1], "F = [5, 2]")
    rng = np.random.default_rng(14)
    ask(rng.normal(size=(30, 8)), rng.normal(size=8) / 10, "")
    say("in the first case the mean slope is 1, and its square would have said a quarter of that")


@exercise(
    "14.4",
    title="Draw layers, not points",
    difficulty=3,
    minutes=12,
    hints=(
        "predicted[rows] are the layers of one draw, each with all its widths.",
        "Correlate column by column, predicted[rows, k] with true[rows, k], and average over k.",
        "One number for each row of draws: np.array([... for rows in draws]).",
    ),
)
def check_resampled(answer, say):
    """``resampled``: Spearman within a width, of whole layers drawn with replacement."""

    def within(p, t):
        return np.mean([spearman(p[:, k], t[:, k]) for k in range(p.shape[1])])

    def ask(p, t, draws, hint):
        p, t, draws = np.array(p, np.float64), np.array(t, np.float64), np.array(draws)
        when = (
            f"with predicted={p.tolist()}, true={t.tolist()}, draws={draws.tolist()}"
            if p.size < 10
            else f"with {len(p)} layers, {p.shape[1]} widths and {len(draws)} draws"
        )
        want = np.array([within(p[rows], t[rows]) for rows in draws])
        got = np.asarray(answer(p, t, draws), np.float64)
        expect(
            got.shape == want.shape, f"{when} you return shape {got.shape}, expected one number for each row of draws"
        )
        for values, text in [
            (
                [spearman(p[rows].ravel(), t[rows].ravel()) for rows in draws],
                "these are pooled: the width alone earns a correlation; stay within a width",
            ),
            (
                [np.mean([spearman(p[i], t[i]) for i in rows]) for rows in draws],
                "you correlate the widths of each layer; correlate the layers at each width",
            ),
            ([within(p[rows], t) for rows in draws], "predicted and true must be drawn together: pairs stay pairs"),
            ([within(p, t)] * len(draws), "the layers that were drawn, not all of them"),
            (
                [within(p[np.unique(rows)], t[np.unique(rows)]) for rows in draws],
                "a layer that was drawn twice counts twice",
            ),
            ([spearman(p[rows, 0], t[rows, 0]) for rows in draws], "average over all widths, not the first alone"),
        ]:
            if got.shape == want.shape and np.allclose(got, values) and not np.allclose(values, want):
                raise Incorrect(f"{when} you return {got[:3].round(3).tolist()}: {text}")
        expect_close(got, want, atol=1e-9, when=when, hint=hint)

    p = [[9.0, 1.0], [8.0, 3.0], [7.0, 2.0], [6.0, 0.0]]
    t = [[5.0, 1.0], [9.0, 2.0], [6.0, 4.0], [7.0, 0.5]]
    ask(p, t, [[0, 1, 2, 3]], "the mean of the correlations of two columns, of four layers each")
    ask(p, t, [[3, 3, 0, 1], [0, 0, 2, 1]], "predicted[rows, k] with true[rows, k], for each k and each row of draws")
    rng = np.random.default_rng(14)
    noise = rng.normal(size=(2, 21, 3)) + [4.0, 2.0, 0.0] + rng.normal(size=(21, 1))
    ask(*noise, rng.integers(0, 21, (50, 21)), "")
    say("np.quantile(resampled(...), [0.025, 0.975]) are the brackets of lesson 14")
