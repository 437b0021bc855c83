"""A .tflite file as text."""

import numpy as np

from quantlab.integer.tflite import read, rows, table
from quantlab.lab.tflite_writer import ModelWriter
from tests.integer.tflite.files import digits_file


def three_operators():
    writer = ModelWriter()
    x = writer.tensor((1, 4), np.float32, name="image")
    q = writer.tensor((1, 4), np.int8, scale=0.5, zero_point=1)
    w = writer.tensor((2, 4), np.int8, scale=[0.25, 0.5], zero_point=0, data=np.arange(8))
    b = writer.tensor((2,), np.int32, scale=[0.125, 0.25], zero_point=0, data=[7, -7])
    y = writer.tensor((1, 2), np.int8, scale=1 / 3, zero_point=-3)
    out = writer.tensor((1, 2), np.float32, name="model/scores;model/more")
    writer.operator("QUANTIZE", inputs=[x], outputs=[q])
    writer.operator("FULLY_CONNECTED", inputs=[q, w, b], outputs=[y], version=4, activation="relu6")
    writer.operator("DEQUANTIZE", inputs=[y], outputs=[out])
    return read(writer.build(inputs=[x], outputs=[out]))


def test_text():
    model = three_operators()
    assert table(model).splitlines() == [
        "in   image: 1x4 float32",
        "   operator               input  weights   scales  output  type      scale  zero point  bytes",
        "0  QUANTIZE               1x4                      1x4     int8        0.5           1",
        "1  FULLY_CONNECTED RELU6  1x4    2x4 int8       2  1x2     int8     0.3333          -3     16",
        "2  DEQUANTIZE             1x2                      1x2     float32",
        "out  model/scores: 1x2 float32",
        f"3 operators; 16 bytes of constants in a file of {model.nbytes:,}",
    ]


def test_beginning_and_end():
    lines = table(three_operators(), first=1, last=1).splitlines()
    assert [line.split()[0] for line in lines] == ["in", "operator", "0", "...", "2", "out", "3"]
    assert lines[3] == "     ... 1 more"
    assert table(three_operators(), first=2).splitlines()[4] == "     ... 1 more"
    assert table(three_operators(), last=1).splitlines()[2] == "     ... 2 more"
    assert table(three_operators(), first=2, last=2) == table(three_operators())
    assert len(table(three_operators(), first=0).splitlines()) == 5


def test_rows():
    row = rows(three_operators())[1]
    assert (row.weights, row.weight_scales, row.zero_point, row.nbytes) == ("2x4 int8", 2, -3, 16)


def test_what_the_modes_look_like():
    """Exercise 10.4 asks for the mode that a listing shows."""
    listed = {mode: table(read(digits_file(mode))) for mode in ("float32", "float16", "dynamic", "int8", "int16x8")}
    assert "int8" not in listed["float32"]
    assert "float16" in listed["float16"]
    assert "DEQUANTIZE" in listed["float16"]
    assert "x16 int8" in listed["dynamic"]
    assert "1x10 float32" in listed["dynamic"]
    assert "float" not in listed["int8"]
    assert "int16, scale" in listed["int16x8"]
