"""Training through quantization: gradients for a function that has none, and layers that use them."""
