"""ONNX Runtime in few words: run a model with one thread, feed its calibration, and see what it really executes."""

import collections
import json
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Feeds", "executed_ops", "load", "op_times"]


class Feeds:
    """Calibration data for ``onnxruntime.quantization.quantize_static``: hands out one feed after the other, then None.

    Example
    -------
    >>> reader = Feeds([{"x": np.zeros(3)}])
    >>> list(reader.get_next()), reader.get_next()
    (['x'], None)
    """

    def __init__(self, feeds: Iterable[Mapping[str, np.ndarray]]):
        self._feeds = iter(list(feeds))

    def get_next(self) -> dict[str, np.ndarray] | None:
        """Return the next feed, or None when there is no more."""
        feed = next(self._feeds, None)
        return None if feed is None else dict(feed)


def load(file: str | Path) -> Callable[..., np.ndarray]:
    """Return a function that runs a model file with one thread: its inputs in order, to its first output.

    Example
    -------
    >>> import onnx, tempfile
    >>> text = '<ir_version: 10, opset_import: ["" : 21]> twice (float[n] x) => (float[n] y) { y = Add(x, x) }'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     onnx.save(onnx.parser.parse_model(text), f"{folder}/twice.onnx")
    ...     twice = load(f"{folder}/twice.onnx")
    >>> twice(np.float32([1, 2]))
    array([2., 4.], dtype=float32)
    """
    session = _session(file)
    names = [tensor.name for tensor in session.get_inputs()]
    return lambda *arrays: session.run(None, dict(zip(names, arrays, strict=True)))[0]


def executed_ops(file: str | Path) -> dict[str, int]:
    """Return how many nodes of each kind a model has after ONNX Runtime rewrote it for this machine, most first.

    Example
    -------
    >>> import onnx, tempfile
    >>> text = '<ir_version: 10, opset_import: ["" : 21]> net (float[n] x) => (float[n] y) { y = Neg(x) }'
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     onnx.save(onnx.parser.parse_model(text), f"{folder}/id.onnx")
    ...     executed_ops(f"{folder}/id.onnx")
    {'Neg': 1}
    """
    import onnx

    with tempfile.TemporaryDirectory() as folder:
        rewritten = Path(folder) / "rewritten.onnx"
        _session(file, optimized_model_filepath=str(rewritten))
        nodes = onnx.load(rewritten).graph.node
    return dict(collections.Counter(node.op_type for node in nodes).most_common())


def op_times(file: str | Path, *arrays: np.ndarray, runs: int = 5) -> dict[str, float]:
    """Return the seconds that one run spends in nodes of each kind, by ONNX Runtime's own profile, longest first.

    Parameters
    ----------
    file : str or Path
    *arrays : ndarray
        In the order of the model's inputs.
    runs : int
        Averaged over as many, after one that is not counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        session = _session(file, enable_profiling=True, profile_file_prefix=str(Path(folder) / "profile"))
        names = [tensor.name for tensor in session.get_inputs()]
        for _ in range(1 + runs):
            session.run(None, dict(zip(names, arrays, strict=True)))
        events = json.loads(Path(session.end_profiling()).read_text())
    kernels = [event for event in events if event["name"].endswith("_kernel_time")]
    kernels = kernels[len(kernels) // (1 + runs) :]  # without the first run
    seconds: collections.Counter[str] = collections.Counter()
    for event in kernels:
        seconds[event["args"]["op_name"]] += event["dur"] * 1e-6 / runs
    return dict(seconds.most_common())


def _session(file: str | Path, **options: Any) -> Any:
    """Return a session on the CPU with one thread and without warnings, and with some options set."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    settings.log_severity_level = 3  # errors; it warns of every model that it writes for one machine
    for name, value in options.items():
        setattr(settings, name, value)
    return onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
