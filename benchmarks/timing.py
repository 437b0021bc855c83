"""Ratios of times that hold on a machine shared with others."""

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple


class Times(NamedTuple):
    """Median time of each command in seconds, and of each command's ratio to the first."""

    seconds: dict[str, float]
    ratios: dict[str, float]


def measure(commands: dict[str, Callable[[], object]], *, rounds: int = 9) -> Times:
    """Time the commands in turn, A B C A B C ..., after one round that does not count.

    A ratio is taken within each round, where the machine is in one mood, and its median over the rounds is reported.
    """
    for command in commands.values():
        command()
    taken = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            command()
            taken[name].append(time.perf_counter() - start)
    first = next(iter(taken.values()))
    return Times(
        {name: median(values) for name, values in taken.items()},
        {name: median(a / b for a, b in zip(values, first, strict=True)) for name, values in taken.items()},
    )
