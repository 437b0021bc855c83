"""Mixed precision: which layers of a network bear few bits, and what each of them costs."""
