"""all-MiniLM-L6-v2 as an ONNX model, written node by node from the weights: no exporter in between.

What an exporter would add (constants, casts, shape arithmetic) is not there, so that a quantized copy of the file can
be read like a table: a quantizer finds 36 ``MatMul`` with a constant weight, each named by its layer.
"""

from typing import TYPE_CHECKING

import numpy as np

from quantlab.lab.minilm import N_HEADS, N_LAYERS
from quantlab.lab.models import minilm_weights

if TYPE_CHECKING:
    import onnx

OPSET = 21
IR_VERSION = 10  # what onnxruntime has read since 1.18


def minilm_onnx() -> "onnx.ModelProto":
    """Return the model: ``ids`` and ``mask``, int64 (sentences, tokens), to ``embedding``, float32 (sentences, 384).

    Input and output are those of `quantlab.lab.minilm_torch`. The 36 linear layers are ``MatMul`` nodes under the names
    of the file ("encoder.layer.0.output.dense"), with weights of shape (in, out) and the bias in an ``Add`` that
    follows. The two products of the attention are ``MatMul`` too; theirs have no constant operand.

    Returns
    -------
    onnx.ModelProto
        Opset 21, 90 MB.

    Example
    -------
    >>> model = minilm_onnx()
    >>> [tensor.name for tensor in (*model.graph.input, *model.graph.output)]
    ['ids', 'mask', 'embedding']
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = minilm_weights()
    nodes, initializers = [], []

    def constant(name: str, value: np.ndarray) -> str:
        initializers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(kind: str, *inputs: str, name: str, **attributes: object) -> str:
        nodes.append(helper.make_node(kind, inputs, [f"{name}.y"], name=name, **attributes))
        return f"{name}.y"

    def linear(x: str, name: str) -> str:
        product = op("MatMul", x, constant(f"{name}.weight", weights[f"{name}.weight"].T), name=name)
        return op("Add", product, constant(f"{name}.bias", weights[f"{name}.bias"]), name=f"{name}.add")

    def norm(x: str, name: str) -> str:
        params = (constant(f"{name}.{part}", weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return op("LayerNormalization", x, *params, name=name, epsilon=1e-12)

    def heads(x: str, name: str, perm: tuple[int, ...]) -> str:
        split = op("Reshape", x, "head_shape", name=f"{name}.split")
        return op("Transpose", split, name=f"{name}.heads", perm=perm)

    width = weights["embeddings.LayerNorm.weight"].size
    constant("head_shape", np.array([0, 0, N_HEADS, width // N_HEADS], np.int64))  # 0: as it was
    constant("joined_shape", np.array([0, 0, width], np.int64))
    constant("root", np.sqrt(np.float32(width // N_HEADS)))
    constant("far_below", np.float32(1e9))
    constant("one", np.float32(1))
    constant("tokens_axis", np.array([1], np.int64))
    constant("heads_axes", np.array([1, 2], np.int64))
    constant("last_axis", np.array([2], np.int64))
    constant("from_0", np.array([0], np.int64))

    seen = op("Cast", "mask", name="seen", to=TensorProto.FLOAT)
    minus = op("Mul", op("Sub", seen, "one", name="unseen"), "far_below", name="below")
    hidden = op("Unsqueeze", minus, "heads_axes", name="hidden")  # (sentences, 1, 1, tokens), added to the scores
    table = constant("embeddings.word_embeddings.weight", weights["embeddings.word_embeddings.weight"])
    words = op("Gather", table, "ids", name="embeddings.word_embeddings")
    table = constant("embeddings.position_embeddings.weight", weights["embeddings.position_embeddings.weight"])
    count = op("Shape", "ids", name="count", start=1, end=2)
    positions = op("Slice", table, "from_0", count, name="embeddings.position_embeddings")
    token_type = constant("token_type", weights["embeddings.token_type_embeddings.weight"][0])
    x = op("Add", op("Add", words, positions, name="placed"), token_type, name="typed")
    x = norm(x, "embeddings.LayerNorm")
    for layer in (f"encoder.layer.{i}" for i in range(N_LAYERS)):
        attention = f"{layer}.attention"
        q = heads(linear(x, f"{attention}.self.query"), f"{attention}.q", (0, 2, 1, 3))
        k = heads(linear(x, f"{attention}.self.key"), f"{attention}.k", (0, 2, 3, 1))  # transposed for the product
        v = heads(linear(x, f"{attention}.self.value"), f"{attention}.v", (0, 2, 1, 3))
        scores = op("Div", op("MatMul", q, k, name=f"{attention}.scores"), "root", name=f"{attention}.scaled")
        shares = op(
            "Softmax", op("Add", scores, hidden, name=f"{attention}.masked"), name=f"{attention}.softmax", axis=-1
        )
        mixed = op("MatMul", shares, v, name=f"{attention}.mixed")
        mixed = op("Transpose", mixed, name=f"{attention}.tokens", perm=(0, 2, 1, 3))
        mixed = op("Reshape", mixed, "joined_shape", name=f"{attention}.joined")
        mixed = linear(mixed, f"{attention}.output.dense")
        x = norm(op("Add", x, mixed, name=f"{attention}.sum"), f"{attention}.output.LayerNorm")
        inner = op("Gelu", linear(x, f"{layer}.intermediate.dense"), name=f"{layer}.gelu")
        inner = linear(inner, f"{layer}.output.dense")
        x = norm(op("Add", x, inner, name=f"{layer}.sum"), f"{layer}.output.LayerNorm")
    kept = op("Mul", x, op("Unsqueeze", seen, "last_axis", name="column"), name="kept")
    total = op("ReduceSum", kept, "tokens_axis", name="total", keepdims=0)
    mean = op("Div", total, op("ReduceSum", seen, "tokens_axis", name="tokens", keepdims=1), name="mean")
    length = op("ReduceL2", mean, "tokens_axis", name="length", keepdims=1)
    nodes.append(helper.make_node("Div", [mean, length], ["embedding"], name="embedding"))

    shape = ["sentences", "tokens"]
    inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("ids", "mask")]
    output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["sentences", width])
    graph = helper.make_graph(nodes, "minilm", inputs, [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return model
