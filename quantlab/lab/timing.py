"""Fair times of several functions in one process."""

import time
from collections.abc import Callable, Mapping


def best_times(
    runs: Mapping[str, Callable[[], object]],
    *,
    rounds: int = 9,
    warm_up: bool = True,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
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
    clock : callable
        Returns seconds. `time.thread_time` counts what this thread computed, and not what it waited for others to leave
        the processor: the better one for functions of one thread that take longer than a time slice, some milliseconds.

    Raises
    ------
    ValueError
        If `rounds` is below 1.

    Example
    -------
    >>> seconds = best_times({"short": lambda: sum(range(10)), "long": lambda: sum(range(100_000))})
    >>> seconds["short"] < seconds["long"]
    True
    >>> waits = best_times({"asleep": lambda: time.sleep(0.01)}, rounds=2, clock=time.thread_time)
    >>> waits["asleep"] < 0.005
    True
    """
    if rounds < 1:
        raise ValueError(f"rounds={rounds}; expected 1 or more")
    for run in runs.values() if warm_up else ():
        run()
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = clock()
            run()
            best[name] = min(best[name], clock() - start)
    return best
