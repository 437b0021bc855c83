"""Running int8 files: every tensor is the runtime's, to the bit; and what cannot be run is named."""

import warnings

import numpy as np
import pytest

from quantlab.integer.tflite import (
    DIALECTS,
    CorruptFileError,
    TFLiteError,
    TooLargeError,
    UnsupportedError,
    read,
    run,
    tensors,
)
from quantlab.lab import keras_models, litert
from quantlab.lab.micro import micro_tensors, run_micro
from quantlab.lab.tflite_writer import ModelWriter
from tests.integer.tflite.files import as_images, digits, digits_file, digits_int8_input


def runtime_tensors(content, x, dialect):
    """Every tensor as the runtime of this dialect shows it."""
    return micro_tensors(content, x) if dialect == "tflite_micro" else litert.tensors(content, x, kernels=dialect)


def runtime_output(content, x, dialect):
    """The outputs of the runtime of this dialect."""
    return run_micro(content, x).output if dialect == "tflite_micro" else litert.run(content, x, kernels=dialect)


def mismatches(content, x, dialect):
    """For every operator: values compared, and values that differ, summed over the samples."""
    model, counts = read(content), {}
    for i in range(len(x)):
        want, got = runtime_tensors(content, x[i : i + 1], dialect), tensors(model, x[i : i + 1], dialect=dialect)
        for operator in model.operators:
            y = operator.outputs[0]
            assert got[y].shape == want[y].shape
            compared, differ = counts.get(operator.index, (0, 0))
            counts[operator.index] = (compared + got[y].size, differ + int((got[y] != want[y]).sum()))
    return counts


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("float_io", [False, True])
def test_digits(dialect, float_io):
    content = digits_file("int8", float_io=float_io)
    x = as_images(digits().x_test) if float_io else digits_int8_input()
    counts = mismatches(content, x[:8], dialect)
    assert len(counts) == len(read(content).operators) >= 10
    assert all(differ == 0 for _, differ in counts.values()), counts
    assert np.array_equal(run(read(content), x[:100], dialect=dialect), runtime_output(content, x[:100], dialect))


def test_the_comparison_can_fail():
    """The kernel sets differ from each other on this very model, so equality above says something."""
    content = digits_file("int8")
    seen = {d: tensors(read(content), digits_int8_input()[:1], dialect=d) for d in ("litert", "litert_ruy")}
    differ = sum((seen["litert"][i] != seen["litert_ruy"][i]).sum() for i in seen["litert"])
    assert differ > 0


def test_tensorflows_own_interpreter_agrees():
    """It is deprecated in favour of LiteRT's, and says so."""
    tf = keras_models.tensorflow()
    content, x = digits_file("int8"), digits_int8_input()[:20]
    for kernels, resolver in litert.KERNELS.items():
        with litert.silent(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            interpreter = tf.lite.Interpreter(
                model_content=content,
                experimental_op_resolver_type=getattr(tf.lite.experimental.OpResolverType, resolver),
                num_threads=1,
            )
            interpreter.allocate_tensors()
        for i, want in enumerate(litert.run(content, x, kernels=kernels)):
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], x[i : i + 1])
            interpreter.invoke()
            assert np.array_equal(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0], want)


def test_samples_are_run_one_after_another():
    model, x = read(digits_file("int8")), digits_int8_input()[:3]
    together = run(model, x, dialect="litert")
    assert together.shape == (3, 10)
    assert np.array_equal(together, np.concatenate([run(model, x[i : i + 1], dialect="litert") for i in range(3)]))


def test_inputs_are_not_touched():
    x = digits_int8_input()[:1]
    before = x.copy()
    tensors(read(digits_file("int8")), x, dialect="litert")
    assert np.array_equal(x, before)


@pytest.mark.parametrize("mode", ["float16", "dynamic", "int16x8"])
def test_other_modes_say_what_they_are(mode):
    content = digits_file(mode)
    model = read(content)
    x = as_images(digits().x_test[:1]).astype(model.tensors[model.inputs[0]].dtype)
    with pytest.raises(UnsupportedError, match=r"operator \d+ \([A-Z_0-9]+\): .*quantlab runs int8 operators"):
        run(model, x, dialect="litert")


@pytest.mark.parametrize(
    ("inputs", "options", "says"),
    [
        ([np.zeros((1, 8, 8, 1), np.int8)], {"dialect": "xnnpack"}, "dialect='xnnpack'; expected one of"),
        ([np.zeros((1, 8, 8, 1))], {"dialect": "litert"}, "input of dtype float64 for tensor 0"),
        ([np.zeros((1, 8, 8), np.int8)], {"dialect": "litert"}, r"input of shape \(1, 8, 8\) for tensor 0"),
        ([np.zeros((0, 8, 8, 1), np.int8)], {"dialect": "litert"}, r"expected \(1, 8, 8, 1\), or n times the samples"),
        ([], {"dialect": "litert"}, "0 inputs; the model takes 1"),
    ],
)
def test_bad_arguments(inputs, options, says):
    with pytest.raises(ValueError, match=says) as caught:
        run(read(digits_file("int8")), *inputs, **options)
    assert not isinstance(caught.value, TFLiteError)  # nothing is wrong with the file


def test_too_large():
    with pytest.raises(TooLargeError, match="activations take .* bytes, most of them tensor .*max_bytes=1,000"):
        run(read(digits_file("int8")), digits_int8_input()[:1], dialect="litert", max_bytes=1000)


def test_two_batches_have_no_one_set_of_tensors():
    with pytest.raises(ValueError, match="inputs hold 2 batches of the file; expected 1"):
        tensors(read(digits_file("int8")), digits_int8_input()[:2], dialect="litert")


def graph(operator, *shapes, y_shape, y_scale=0.5, dtype=np.int8, version=1, **options):
    """A model of one operator over int8 inputs of these shapes."""
    writer = ModelWriter()
    inputs = [writer.tensor(shape, dtype, scale=0.5, zero_point=0) for shape in shapes]
    y = writer.tensor(y_shape, dtype, scale=y_scale, zero_point=0)
    return read(writer.finish(operator, inputs=inputs, outputs=[y], version=version, **options))


@pytest.mark.parametrize(
    ("model", "error", "says"),
    [
        (
            graph("ABS", (1, 2), y_shape=(1, 2)),
            UnsupportedError,
            r"operator 0 \(ABS\) is no operator that quantlab runs",
        ),
        (graph("ADD", (1, 2), y_shape=(1, 2)), CorruptFileError, r"operator 0 \(ADD\) has 1 inputs; expected 2"),
        (
            graph("ADD", (1, 2), (1, 2), y_shape=(1, 3)),
            CorruptFileError,
            r"operator 0 \(ADD\) implies an output of shape \(1, 2\); the file says tensor 2 \('t2', int8 1x3\)",
        ),
        (graph("ADD", (1, 2), (1, 3), y_shape=(1, 3)), TFLiteError, r"operator 0 \(ADD\): shape mismatch"),
        (
            graph("ADD", (1, 2), (1, 2), y_shape=(1, 2), fusedActivationFunction=4),
            UnsupportedError,
            "has activation TANH; expected one of NONE, RELU, RELU6",
        ),
        (
            graph(
                "MAX_POOL_2D",
                (1, 4, 4, 1),
                y_shape=(1, 4, 4, 1),
                filterWidth=2**20,
                filterHeight=2**20,
                strideW=1,
                strideH=1,
            ),
            TooLargeError,
            r"operator 0 \(MAX_POOL_2D\) has windows of \(1048576, 1048576\)",
        ),
        (
            graph(
                "MAX_POOL_2D", (1, 4, 4, 1), y_shape=(1, 4, 4, 1), filterWidth=2, filterHeight=2, strideW=1, strideH=0
            ),
            TFLiteError,
            r"operator 0 \(MAX_POOL_2D\): stride=\(0, 1\)",
        ),
        (graph("LOGISTIC", (1, 2), y_shape=(1, 2), y_scale=np.nan), CorruptFileError, r"tensor 1 .*scale=nan"),
        (
            graph("RESHAPE", (1, 2), y_shape=(3,)),
            TFLiteError,
            r"operator 0 \(RESHAPE\): cannot reshape array of size 2",
        ),
    ],
)
def test_files_that_contradict_themselves(model, error, says):
    inputs = [np.zeros(model.tensors[i].shape, np.int8) for i in model.inputs]
    with pytest.raises(error, match=says):
        run(model, *inputs, dialect="litert")


def test_order_of_operators():
    writer = ModelWriter()
    x, a, b = (writer.tensor((1, 2), np.int8, scale=0.5, zero_point=0) for _ in range(3))
    writer.operator("RESHAPE", inputs=[a], outputs=[b])
    writer.operator("RESHAPE", inputs=[x], outputs=[a])
    with pytest.raises(CorruptFileError, match=r"operator 0 \(RESHAPE\) reads tensor 1 .* which nothing has written"):
        run(read(writer.build(inputs=[x], outputs=[b])), np.zeros((1, 2), np.int8), dialect="litert")
    with pytest.raises(CorruptFileError, match=r"operator 1 \(RESHAPE\) writes tensor 1 .* which is written already"):
        run(read(writer.build(inputs=[x, a], outputs=[b])), *[np.zeros((1, 2), np.int8)] * 2, dialect="litert")
    unwritten = writer.tensor((1,), np.int8, scale=0.5, zero_point=0)
    writer = ModelWriter()
    x, y, unwritten = (writer.tensor((1, 2), np.int8, scale=0.5, zero_point=0) for _ in range(3))
    writer.operator("RESHAPE", inputs=[x], outputs=[y])
    with pytest.raises(CorruptFileError, match="the model returns tensor 2 .* which nothing writes"):
        run(read(writer.build(inputs=[x], outputs=[unwritten])), np.zeros((1, 2), np.int8), dialect="litert")


def test_several_inputs_and_outputs():
    writer = ModelWriter()
    a, b, total, product = (writer.tensor((2, 3), np.int8, scale=0.5, zero_point=z) for z in (1, -2, 3, 4))
    writer.operator("ADD", inputs=[a, b], outputs=[total], version=2)
    writer.operator("MUL", inputs=[a, b], outputs=[product], version=2)
    content = writer.build(inputs=[a, b], outputs=[total, product])
    rng = np.random.default_rng(0)
    x, y = (rng.integers(-128, 128, (6, 3), dtype=np.int8) for _ in range(2))
    for kernels in litert.KERNELS:
        got, want = run(read(content), x, y, dialect=kernels), litert.run(content, x, y, kernels=kernels)
        assert len(got) == len(want) == 2
        assert all(np.array_equal(g, w) and g.shape == (6, 3) for g, w in zip(got, want, strict=True))
    with pytest.raises(ValueError, match=r"inputs hold \[1, 3\] batches of the file; expected equally many"):
        run(read(content), x, y[:2], dialect="litert")
