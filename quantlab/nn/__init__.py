"""Small networks in numpy, with every gradient written out: layers, a loss, optimizers, a training loop."""
