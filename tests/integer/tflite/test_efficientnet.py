"""A real ImageNet network, converted to int8: every integer of every tensor is the runtime's."""

import numpy as np
import pytest

from quantlab.integer.tflite import DIALECTS, read, run
from quantlab.lab import litert
from tests.integer.tflite.files import (
    efficientnet_crops,
    efficientnet_int8,
    efficientnet_int8_input,
    efficientnet_model,
)
from tests.integer.tflite.test_run import mismatches, runtime_output


def test_the_network():
    model = read(efficientnet_int8())
    names = [operator.name for operator in model.operators]
    kinds = ("CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED")
    assert [names.count(kind) for kind in kinds] == [
        33,
        16,
        9,
        1,
        1,
    ]
    assert len(names) == 60
    x = model.tensors[model.inputs[0]]
    assert (x.dtype, float(x.qp.scale), int(x.qp.zero_point)) == (np.int8, 1 / 128, -1)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_tensor(dialect):
    """All 60 operators, on one crop of each of six photographs."""
    counts = mismatches(efficientnet_int8(), efficientnet_int8_input()[::4], dialect)
    assert len(counts) == 60
    assert sum(compared for compared, _ in counts.values()) == 6 * 6_950_088
    assert all(differ == 0 for _, differ in counts.values()), counts


@pytest.mark.parametrize("dialect", litert.KERNELS)
def test_outputs_of_24_crops(dialect):
    x, content = efficientnet_int8_input(), efficientnet_int8()
    assert len(x) == 24
    assert np.array_equal(run(read(content), x, dialect=dialect), runtime_output(content, x, dialect))


def test_the_kernel_sets_differ():
    """No two of them give the same logits: the equality above tells them apart.

    The two reference kernel sets differ in the last layer alone, in a few of a thousand logits a crop or in none.
    """
    x, content = efficientnet_int8_input()[::3], efficientnet_int8()
    outputs = [run(read(content), x, dialect=dialect) for dialect in DIALECTS]
    for i, a in enumerate(outputs):
        for b in outputs[i + 1 :]:
            assert (a != b).any()


def test_most_crops_keep_their_class():
    """The integers are worth something: most crops keep the winner of the float network."""
    _, crops = efficientnet_crops()
    float_winner = efficientnet_model()(crops[::2]).numpy().argmax(axis=1)
    winner = run(read(efficientnet_int8()), efficientnet_int8_input()[::2], dialect="litert").argmax(axis=1)
    assert (winner == float_winner).mean() > 0.6
