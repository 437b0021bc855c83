"""What quantlab is measured against: each figure a ratio of two times, taken in one process with one thread."""
