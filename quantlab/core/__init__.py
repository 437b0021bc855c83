"""The arithmetic that everything else stands on: grids, scales, observers, metrics."""
