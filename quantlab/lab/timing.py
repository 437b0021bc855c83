"""Fair times of several functions in one process."""

import time
from collections.abc import Callable, Mapping


def best_times(runs: Mapping[str, Callable[[], object]], *, rounds: int = 9, warm_up: bool = True) -> dict[str, float]:
    """Return the shortest time of each function in seconds.

    The functions take turns, so that a disturbance of the machine hits all of them, and the shortest of several times
    is what a function needs when nothing else disturbs it. Compare such times only with times of the same call.

    Parameters
    ----------
    runs : mapping of str to callable without arguments
    rounds : int
        At least 1.
    warm_up : bool
        Call each function once before, which is not counted. Leave it out if they have just run on such inputs.

    Raises
    ------
    ValueError
        If `rounds` is below 1.

    Example
    -------
    >>> seconds = best_times({"short": lambda: sum(range(10)), "long": lambda: sum(range(100_000))})
    >>> seconds["short"] < seconds["long"]
    True
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}; expected 1 or more")
    for run in runs.values() if warm_up else ():
        run()
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best
