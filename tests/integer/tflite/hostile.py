"""Reads, lists and runs damaged files, with 1 GiB of memory beyond what the interpreter has anyway.

Started by test_bad_input.py in a process of its own: ``python hostile.py SEED N_CUTS N_FLIPS``. Prints one JSON object.
"""

import collections
import json
import resource
import sys
import time

import numpy as np

from quantlab.integer.tflite import DIALECTS, TFLiteError, read, run, table
from quantlab.lab.tflite_writer import ModelWriter


def every_operator():
    """A small file with nearly every operator that quantlab runs, float32 at both ends."""
    rng, writer = np.random.default_rng(0), ModelWriter()

    def activation(*shape, scale=0.05, zero_point=-3):
        return writer.tensor(shape, np.int8, scale=scale, zero_point=zero_point)

    def weights(*shape, axis=0):
        scales = rng.uniform(0.005, 0.02, shape[axis])
        data = rng.integers(-127, 128, shape)
        bias = writer.tensor(
            (len(scales),), np.int32, scale=scales * 0.05, zero_point=0, data=rng.integers(-99, 99, len(scales))
        )
        return writer.tensor(shape, np.int8, scale=scales, zero_point=0, axis=axis, data=data), bias

    def constant(values):
        return writer.tensor(np.shape(values), np.int32, data=values)

    x, probability = writer.tensor((1, 6, 5, 2), np.float32), {"scale": 1 / 256, "zero_point": -128}
    image, padded, a, b = activation(1, 6, 5, 2), activation(1, 8, 7, 2), activation(1, 4, 4, 4), activation(1, 4, 4, 4)
    total, pooled, averaged = activation(1, 4, 4, 4), activation(1, 2, 2, 4), activation(1, 2, 2, 4)
    both, swish, mean = activation(1, 2, 2, 8), activation(1, 2, 2, 8), activation(1, 8)
    gate, gated, row, scores = activation(1, 8, **probability), activation(1, 8), activation(2, 4), activation(2, 3)
    softmax, out = activation(2, 3, **probability), writer.tensor((2, 3), np.float32)
    window = {"filterWidth": 2, "filterHeight": 2, "strideW": 2, "strideH": 2}
    writer.operator("QUANTIZE", inputs=[x], outputs=[image])
    writer.operator("PAD", inputs=[image, constant([[0, 0], [1, 1], [1, 1], [0, 0]])], outputs=[padded])
    writer.operator(
        "CONV_2D",
        inputs=[padded, *weights(4, 3, 3, 2)],
        outputs=[a],
        version=3,
        strideW=2,
        strideH=2,
        activation="relu6",
    )
    writer.operator(
        "DEPTHWISE_CONV_2D",
        inputs=[a, *weights(1, 3, 3, 4, axis=3)],
        outputs=[b],
        version=3,
        strideW=1,
        strideH=1,
        depthMultiplier=1,
    )
    writer.operator("ADD", inputs=[a, b], outputs=[total], version=2, activation="relu")
    writer.operator("MAX_POOL_2D", inputs=[total], outputs=[pooled], version=2, **window)
    writer.operator("AVERAGE_POOL_2D", inputs=[total], outputs=[averaged], version=2, padding=1, **window)
    writer.operator("CONCATENATION", inputs=[pooled, averaged], outputs=[both], version=2, axis=3)
    writer.operator("HARD_SWISH", inputs=[both], outputs=[swish])
    writer.operator("MEAN", inputs=[swish, constant([1, 2])], outputs=[mean], version=2)
    writer.operator("LOGISTIC", inputs=[mean], outputs=[gate], version=2)
    writer.operator("MUL", inputs=[mean, gate], outputs=[gated], version=2)
    writer.operator("RESHAPE", inputs=[gated, constant([2, -1])], outputs=[row])
    writer.operator("FULLY_CONNECTED", inputs=[row, *weights(3, 4)], outputs=[scores], version=4)
    writer.operator("SOFTMAX", inputs=[scores], outputs=[softmax], version=2, beta=1.0)
    writer.operator("DEQUANTIZE", inputs=[softmax], outputs=[out], version=2)
    return writer.build(inputs=[x], outputs=[out])


def attempt(content, dialect):
    """What becomes of a file: 'result', or the name of the exception."""
    try:
        model = read(content)
        table(model)
        tensors = [model.tensors[i] for i in model.inputs]
        inputs = [np.broadcast_to(tensor.dtype.type(3), tensor.shape) for tensor in tensors]  # of no size in memory
        run(model, *inputs, dialect=dialect, max_bytes=2**24)
    except Exception as error:
        family = isinstance(error, TFLiteError)
        return type(error).__name__ if family else f"OTHER {type(error).__name__}: {error}"[:300]
    return "result"


def damaged(content, rng, n_cuts, n_flips):
    """Yield the file cut off at random places, then with one to three bytes of it changed."""
    for end in rng.integers(0, len(content), n_cuts):
        yield content[:end]
    for _ in range(n_flips):
        changed = bytearray(content)
        for place in rng.integers(0, len(content), rng.integers(1, 4)):
            changed[place] ^= rng.integers(1, 256)
        yield bytes(changed)


def main():
    seed, n_cuts, n_flips = map(int, sys.argv[1:])
    content = every_operator()
    assert attempt(content, "litert") == "result"  # warm: imports and BLAS have their memory now
    with open("/proc/self/statm") as file:
        baseline = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (baseline + 2**30, baseline + 2**30))
    outcomes, slowest = collections.Counter(), 0.0
    for i, file in enumerate(damaged(content, np.random.default_rng(seed), n_cuts, n_flips)):
        start = time.perf_counter()
        outcomes[attempt(file, DIALECTS[i % len(DIALECTS)])] += 1
        slowest = max(slowest, time.perf_counter() - start)
    print(json.dumps({"outcomes": outcomes, "slowest": slowest, "bytes": len(content)}))


if __name__ == "__main__":
    main()
