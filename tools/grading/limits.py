"""What one submission may use."""

import dataclasses
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Ceilings for the kernel of one submission; the docs for instructors name the same numbers."""

    cell_seconds: int = 60  # then the cell is interrupted, and the next one runs
    total_seconds: int = 600  # then the kernel is killed
    memory_mb: int = 3000  # of the whole sandbox; one process may reserve 1000 MB more, see inside/start.py
    processes: int = 64  # processes and threads together
    file_mb: int = 64  # one file, and each of the three folders in memory that can be written to
    output_kb: int = 200  # of one cell; what comes after is dropped

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            if not isinstance(value, int) or value <= 0:
                raise ValueError(f"{name}={value!r} is not a positive whole number")
