"""quantlab beside a runtime, operator by operator."""

import numpy as np
import pytest

from quantlab.lab import litert
from quantlab.lab.compare import Compared, compare_tensors
from quantlab.lab.tflite_writer import ModelWriter


def model():
    """A ReLU that cannot round, then a sum that rounds a tie for every odd code."""
    writer = ModelWriter()
    x, cut = (writer.tensor((1, 64), np.int8, scale=0.5, zero_point=0) for _ in range(2))
    y = writer.tensor((1, 64), np.int8, scale=2.0, zero_point=0)
    writer.operator("RELU", inputs=[x], outputs=[cut], version=2)
    writer.operator("ADD", inputs=[cut, cut], outputs=[y], version=2)
    return writer.build(inputs=[x], outputs=[y])


X = np.arange(-128, 128, dtype=np.int8).reshape(4, 64)


@pytest.mark.parametrize("dialect", [*litert.KERNELS, "tflite_micro"])
def test_equal_to_its_own_runtime(dialect):
    rows = compare_tensors(model(), X, dialect=dialect)
    assert rows == [Compared(0, "RELU", 256, 0), Compared(1, "ADD", 256, 0)]


def test_unequal_to_another():
    """Counted over all samples: only odd positive codes are ties, 64 of them, and kernels round them apart."""
    rows = compare_tensors(model(), X, dialect="litert_reference", runtime="litert_ruy")
    want = [litert.run(model(), X, kernels=kernels) for kernels in ("litert_reference", "litert_ruy")]
    assert rows[0].mismatches == 0
    assert rows[1].mismatches == (want[0] != want[1]).sum()


def test_text():
    assert str(Compared(3, "CONV_2D", 1234, 5)) == " 3 CONV_2D            compared     1,234, mismatches 5"
