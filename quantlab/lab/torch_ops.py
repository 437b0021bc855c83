"""Which operators a torch function really executes, and how long each takes."""

import collections
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def count_ops(run: Callable[[], object]) -> dict[str, int]:
    """Return how often each operator is dispatched while ``run()`` runs, most frequent first.

    Names are torch's, without overload: ``aten.addmm``, ``quantized.linear_dynamic``. An operator that others are made
    of counts once, when torch hands it to the CPU.

    Example
    -------
    >>> import torch
    >>> x = torch.ones(3, 4)
    >>> count_ops(lambda: (x + x).abs() + x)
    {'aten.add': 2, 'aten.abs': 1}
    """
    from torch.utils._python_dispatch import TorchDispatchMode

    counts: collections.Counter[str] = collections.Counter()

    class Count(TorchDispatchMode):
        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            counts[str(op.overloadpacket)] += 1
            return op(*args, **(kwargs or {}))

    with Count():
        run()
    return dict(counts.most_common())


def node_times(module: "torch.fx.GraphModule", x: "torch.Tensor", *, rounds: int = 3) -> dict[str, float]:
    """Return the shortest time of each node of a traced module in seconds, longest first; the first run does not count.

    Example
    -------
    >>> import torch
    >>> traced = torch.fx.symbolic_trace(torch.nn.Sequential(torch.nn.Linear(512, 512), torch.nn.ReLU()))
    >>> list(node_times(traced, torch.ones(64, 512)))[0]
    '_0'
    """
    import torch

    best: dict[str, float] = {}

    class Timed(torch.fx.Interpreter):
        def run_node(self, node: torch.fx.Node) -> object:
            start = time.perf_counter()
            result = super().run_node(node)
            found[node.name] = time.perf_counter() - start
            return result

    for round_ in range(1 + rounds):
        found: dict[str, float] = {}
        with torch.no_grad():
            Timed(module).run(x)
        if round_:
            best = {name: min(seconds, best.get(name, seconds)) for name, seconds in found.items()}
    return dict(sorted(best.items(), key=lambda item: -item[1]))
