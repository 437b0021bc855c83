"""Plausible wrong answers to the exercises of lesson 15, and what the verdict on each must say."""

import numpy as np

from quantlab.lab.checks.proof import wrong


@wrong("15.1", says="round up")
def rounded_down(n_weights, n_channels, n_bits):
    return n_weights * n_bits // 8 + (4 * n_channels if n_bits <= 8 else 0)


@wrong("15.1", says="integers need a scale of 4 bytes for each channel")
def without_scales(n_weights, n_channels, n_bits):
    return (n_weights * n_bits + 7) // 8


@wrong("15.1", says="float32 weights need 4 bytes each and no scale")
def scales_for_all(n_weights, n_channels, n_bits):
    return (n_weights * n_bits + 7) // 8 + 4 * n_channels


@wrong("15.1", says="but a scale has its 4 bytes all the same")
def scales_only_for_int8(n_weights, n_channels, n_bits):
    return (n_weights * n_bits + 7) // 8 + (4 * n_channels if n_bits == 8 else 0)


def bargain(costs, losses, now, room, *, ratio=None, fits=None, base=None, last=False):
    rows, base = np.arange(len(costs)), now if base is None else base
    more, gain = costs - costs[rows, base][:, None], losses[rows, base][:, None] - losses
    allowed = (more > 0) & (gain > 0) & (more <= room if fits is None else fits(more))
    value = np.where(allowed, gain / np.where(more > 0, more, 1) if ratio is None else ratio(gain, costs), -np.inf)
    flat = value.size - 1 - value.ravel()[::-1].argmax() if last else value.argmax()
    return tuple(int(i) for i in np.unravel_index(flat, value.shape))


@wrong("15.2", says="saving 20 for 10 more is a ratio of 2")
def largest_gain(costs, losses, now, room):
    return bargain(costs, losses, now, room, ratio=lambda gain, costs: gain)


@wrong("15.2", says="the added cost counts, not the whole cost")
def whole_cost(costs, losses, now, room):
    return bargain(costs, losses, now, room, ratio=lambda gain, costs: gain / np.where(costs > 0, costs, 1))


@wrong("15.2", says="costs 8 more, and room is 5")
def any_price(costs, losses, now, room):
    return bargain(costs, losses, now, room, fits=lambda more: more < np.inf)


@wrong("15.2", says="a change that costs exactly room still fits")
def below_room(costs, losses, now, room):
    return bargain(costs, losses, now, room, fits=lambda more: more < room)


@wrong("15.2", says="of equal ratios the first layer's wins")
def last_of_equals(costs, losses, now, room):
    return bargain(costs, losses, now, room, last=True)


@wrong("15.2", says="compare with the choice of now")
def against_the_first(costs, losses, now, room):
    return bargain(costs, losses, now, room, base=np.zeros(len(costs), int))


@wrong("15.2", says="the cheapest change is not the best bargain")
def cheapest_change(costs, losses, now, room):
    return bargain(costs, losses, now, room, ratio=lambda gain, costs: -(costs - costs.min()))


@wrong("15.2", says="not the loss that is there")
def largest_loss(costs, losses, now, room):
    rows = np.arange(len(costs))
    more, there = costs - costs[rows, now][:, None], losses[rows, now][:, None]
    return bargain(costs, losses, now, room, ratio=lambda gain, costs: there / np.where(more > 0, more, 1))


@wrong("15.2", says="a change may skip a choice")
def one_step_up(costs, losses, now, room):
    near = np.arange(costs.shape[1]) <= now[:, None] + 1
    return bargain(costs, np.where(near, losses, np.inf), now, room)


@wrong("15.2", says="that is no bargain")
def any_difference(costs, losses, now, room):
    rows = np.arange(len(costs))
    more, gain = costs - costs[rows, now][:, None], np.abs(losses[rows, now][:, None] - losses)
    value = np.where((more > 0) & (more <= room), gain / np.where(more > 0, more, 1), -np.inf)
    return tuple(int(i) for i in np.unravel_index(value.argmax(), value.shape))


@wrong("15.2", says="nothing is bought there")
def sells_too(costs, losses, now, room):
    rows = np.arange(len(costs))
    more, gain = costs - costs[rows, now][:, None], losses[rows, now][:, None] - losses
    value = np.where((more != 0) & (more <= room), gain / np.where(more != 0, more, 1), -np.inf)
    return tuple(int(i) for i in np.unravel_index(value.argmax(), value.shape))


@wrong("15.2", says="the layer comes first")
def choice_first(costs, losses, now, room):
    return bargain(costs, losses, now, room)[::-1]


@wrong("15.3", says="every layer must take a choice")
def layer_left_out(best, cost, loss):
    new = best.copy()
    for c, worse in zip(cost, loss, strict=True):
        if c < len(best):
            new[c:] = np.minimum(new[c:], best[: len(best) - c] + worse)
    return new


@wrong("15.3", says="exactly b, not at most b")
def at_most(best, cost, loss):
    new = np.full(len(best), np.inf)
    for c, worse in zip(cost, loss, strict=True):
        if c < len(best):
            new[c:] = np.minimum(new[c:], best[: len(best) - c] + worse)
    return np.minimum.accumulate(new)


@wrong("15.3", says="the least counts")
def last_choice(best, cost, loss):
    new = np.full(len(best), np.inf)
    for c, worse in zip(cost, loss, strict=True):
        if c < len(best):
            reached = best[: len(best) - c] + worse
            new[c:] = np.where(
                np.isfinite(reached), np.maximum(np.where(np.isinf(new[c:]), 0, new[c:]), reached), new[c:]
            )
    return new


@wrong("15.3", says="does not come back")
def wraps_around(best, cost, loss):
    return np.min([np.roll(best, c) + worse for c, worse in zip(cost, loss, strict=True)], axis=0)


@wrong("15.3", says="read the old table, not the new one")
def takes_two_choices(best, cost, loss):
    new, seen = np.full(len(best), np.inf), best.copy()
    for c, worse in zip(cost, loss, strict=True):
        if c < len(best):
            new[c:] = np.minimum(new[c:], seen[: len(best) - c] + worse)
            seen = np.minimum(seen, new)
    return new


@wrong("15.4", says="equal points do not beat each other")
def no_worse_is_enough(cost, loss):
    beaten = (cost[None] <= cost[:, None]) & (loss[None] <= loss[:, None])
    np.fill_diagonal(beaten, False)
    return ~beaten.any(axis=1)


@wrong("15.4", says="one strict comparison is enough")
def strict_in_both(cost, loss):
    return ~((cost[None] < cost[:, None]) & (loss[None] < loss[:, None])).any(axis=1)


@wrong("15.4", says="though it beats the first in loss")
def only_the_neighbour(cost, loss):
    order = np.lexsort((loss, cost))
    keep = np.ones(len(cost), bool)
    keep[order[1:]] = (loss[order[1:]] < loss[order[0]]) | (
        (loss[order[1:]] == loss[order[0]]) & (cost[order[1:]] == cost[order[0]])
    )
    return keep


@wrong("15.4", says="the points come in any order")
def assumes_order(cost, loss):
    best = np.minimum.accumulate(loss)
    keep = loss <= best
    keep[1:] &= (loss[1:] < best[:-1]) | ((loss[1:] == loss[:-1]) & (cost[1:] == cost[:-1]))
    return keep


@wrong("15.4", says="also when the worse one comes first")
def sorted_by_cost_alone(cost, loss):
    order, keep, least = np.argsort(cost, kind="stable"), np.zeros(len(cost), bool), np.inf
    previous = None
    for i in order:
        keep[i] = loss[i] < least or (loss[i] == least and cost[i] == previous)
        if keep[i]:
            least, previous = loss[i], cost[i]
    return keep


@wrong("15.4", says="neither of them beats it")
def convex_hull(cost, loss):
    better = (cost[None] <= cost[:, None]) & (loss[None] <= loss[:, None])
    better &= (cost[None] < cost[:, None]) | (loss[None] < loss[:, None])
    keep = ~better.any(axis=1)
    for i, a, b in ((i, a, b) for i in range(len(cost)) for a in range(len(cost)) for b in range(len(cost))):
        if cost[a] < cost[i] < cost[b]:
            between = loss[a] + (loss[b] - loss[a]) * (cost[i] - cost[a]) / (cost[b] - cost[a])
            keep[i] &= loss[i] <= between
    return keep
