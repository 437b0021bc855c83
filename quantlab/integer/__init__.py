"""Inference with integers only: exact products, fixed-point multipliers, requantization, layers."""
