"""Reading .tflite files: what is in them, and what is said of files that are none."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from quantlab import Grid
from quantlab.integer.tflite import CorruptFileError, TFLiteError, UnsupportedError, read
from quantlab.lab.tflite_writer import ModelWriter
from tests.integer.tflite.files import MODES, digits_file


def small(**changes):
    """One FULLY_CONNECTED layer, with arguments of its input tensor changed."""
    writer = ModelWriter()
    x = writer.tensor(**{"shape": (1, 3), "dtype": np.int8, "scale": 0.5, "zero_point": 1, **changes})
    w = writer.tensor((2, 3), np.int8, scale=[0.25, 0.5], zero_point=0, data=np.arange(6))
    b = writer.tensor((2,), np.int32, scale=[0.125, 0.25], zero_point=0, data=[7, -7])
    y = writer.tensor((1, 2), np.int8, scale=0.5, zero_point=-3)
    return writer.finish("FULLY_CONNECTED", inputs=[x, w, b], outputs=[y], version=4, activation="relu")


def test_small_model():
    model = read(small())
    x, w, b, y = model.tensors
    assert (model.inputs, model.outputs) == ((0,), (3,))
    assert (x.shape, x.dtype, x.data, x.nbytes) == ((1, 3), np.int8, None, 3)
    assert np.array_equal(w.data, [[0, 1, 2], [3, 4, 5]])
    assert w.data.dtype == np.int8
    assert b.data.tolist() == [7, -7]
    assert (w.qp.axis, w.qp.scale.tolist(), w.qp.zero_point.tolist()) == (0, [0.25, 0.5], [0, 0])
    assert (y.qp.axis, float(y.qp.scale), int(y.qp.zero_point), y.qp.grid) == (None, 0.5, -3, Grid(n_bits=8))
    (operator,) = model.operators
    assert (operator.name, operator.version, operator.inputs, operator.outputs) == (
        "FULLY_CONNECTED",
        4,
        (0, 1, 2),
        (3,),
    )
    assert operator.options["fused_activation_function"] == "RELU"
    assert operator.options["keep_num_dims"] is False


def test_constants_are_views_that_nobody_can_write_to():
    w = read(small()).tensors[1].data
    assert not w.flags.writeable
    assert not w.flags.owndata


def test_from_a_path(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(small())
    assert read(path).nbytes == read(str(path)).nbytes == len(small())
    for content in (bytearray(small()), memoryview(small())):
        tensor = read(content).tensors[1]
        assert np.array_equal(tensor.data, read(path).tensors[1].data)
        assert not tensor.data.flags.writeable


def test_named():
    model = read(small())
    assert model.named("t1").index == 1
    with pytest.raises(KeyError, match="0 tensors are named 'weights'"):
        model.named("weights")


@pytest.mark.parametrize("mode", MODES)
def test_agrees_with_the_interpreter(mode):
    """Every mode of the converter opens; names, shapes, types, scales, zero points are the interpreter's."""
    content = digits_file(mode)
    model = read(content)
    interpreter = Interpreter(model_content=content)
    for place in interpreter.get_tensor_details()[: len(model.tensors)]:
        tensor = model.tensors[place["index"]]
        assert (tensor.name, tensor.dtype) == (place["name"], place["dtype"])
        if place["shape"].size:  # the interpreter does not know the shape of what it computes before it has
            assert tensor.shape == tuple(place["shape"])
        parameters = place["quantization_parameters"]
        assert np.array_equal([] if tensor.scale is None else tensor.scale, parameters["scales"])
        assert np.array_equal([] if tensor.scale is None else tensor.zero_point, parameters["zero_points"])
        assert tensor.scale is None or tensor.axis == parameters["quantized_dimension"]
    assert [(op["op_name"], list(op["inputs"])) for op in interpreter._get_ops_details()][: len(model.operators)] == [
        (op.name, list(op.inputs)) for op in model.operators
    ]


def test_constants_agree_with_the_interpreter():
    content = digits_file("int8")
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    constants = [tensor for tensor in read(content).tensors if tensor.data is not None]
    assert len(constants) > 8
    for tensor in constants:
        assert np.array_equal(tensor.data, interpreter.get_tensor(tensor.index))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file begins with b''; a .tflite has b'TFL3' at byte 4"),
        (b"GGUF\x03\0\0\0", "a .tflite has b'TFL3'"),
        (b"\x1c\0\0\0TFL3", "cut off or damaged: an offset leads out of its 8 bytes"),
        (b"\xff\xff\xff\xffTFL3", "cut off or damaged"),
        (small()[:-20], "cut off or damaged"),
    ],
)
def test_no_tflite(content, says):
    with pytest.raises(CorruptFileError, match=says):
        read(content)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"shape": (1, -3)}, r"tensor 0 \('t0'\) has shape \(1, -3\)"),
        (
            {"shape": (2, 3), "data": np.zeros(5)},
            r"tensor 0 \('t0'\): its buffer has 5 bytes; int8 of shape \(2, 3\) takes 6",
        ),
        ({"scale": [0.5, 0.5]}, r"tensor 0 \('t0'\) has 2 scales along axis 0 of shape \(1, 3\)"),
        ({"scale": [0.5, 0.5], "shape": (2, 3), "axis": 2}, "2 scales along axis 2"),
    ],
)
def test_contradictions(changes, says):
    with pytest.raises(CorruptFileError, match=says):
        read(small(**changes))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"scale": 0.0}, "scale=0.0"),
        ({"scale": np.nan}, "scale=nan"),
        ({"zero_point": 200}, "zero_point=200 is outside the grid"),
    ],
)
def test_bad_scales_open_but_have_no_qparams(changes, says):
    tensor = read(small(**changes)).tensors[0]
    with pytest.raises(CorruptFileError, match=rf"tensor 0 \('t0', int8 1x3\): {says}"):
        _ = tensor.qp


def test_no_scale_no_qparams():
    with pytest.raises(UnsupportedError, match="has no scale"):
        _ = read(small(scale=None)).tensors[0].qp


def test_indices():
    writer = ModelWriter()
    x = writer.tensor((1, 3), np.int8, scale=0.5, zero_point=1)
    with pytest.raises(CorruptFileError, match=r"operator 0 \(RESHAPE\) writes tensor 7; the file has tensors 0 to 0"):
        read(writer.finish("RESHAPE", inputs=[x], outputs=[7]))


def test_the_family():
    assert issubclass(CorruptFileError, TFLiteError)
    assert issubclass(UnsupportedError, TFLiteError)
    assert issubclass(TFLiteError, ValueError)
