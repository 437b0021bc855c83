"""Post-training quantization: from a trained float network to one that computes with integers."""
