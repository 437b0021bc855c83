"""MiniLM in numpy, as a torch module and as an ONNX file, against torch's own transformer layers."""

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from quantlab.lab.minilm import minilm_batch, minilm_embeddings, minilm_tokens
from quantlab.lab.minilm_onnx import minilm_onnx
from quantlab.lab.minilm_torch import LINEARS, minilm_module
from quantlab.lab.models import minilm_weights
from quantlab.lab.sentence_pairs import ANSWERS, QUESTIONS

SENTENCES = ["Round it.", "", *QUESTIONS[:6], *ANSWERS[:6], "a " * 400]  # 2 tokens to 256, cut


def oracle(ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The embeddings by torch.nn.TransformerEncoderLayer: post-norm, exact GELU, padding mask; mean over the tokens."""
    w = {name: torch.from_numpy(value.copy()) for name, value in minilm_weights().items()}
    ids, padding = torch.from_numpy(ids), torch.from_numpy(mask) == 0
    x = sum(
        nn.functional.embedding(rows, w[f"embeddings.{table}_embeddings.weight"])
        for table, rows in (("word", ids), ("position", torch.arange(ids.shape[1])), ("token_type", ids * 0))
    )
    x = nn.functional.layer_norm(x, (384,), w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"], 1e-12)
    theirs = {
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "norm2": "output.LayerNorm",
    }
    for i in range(6):
        name = f"encoder.layer.{i}"
        options = {"activation": "gelu", "layer_norm_eps": 1e-12, "batch_first": True, "dropout": 0.0}
        layer = nn.TransformerEncoderLayer(384, 12, 1536, **options).eval()
        qkv = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
        state = {f"{ours}.{p}": w[f"{name}.{there}.{p}"] for ours, there in theirs.items() for p in ("weight", "bias")}
        for p in ("weight", "bias"):
            state[f"self_attn.in_proj_{p}"] = torch.cat([w[f"{part}.{p}"] for part in qkv])
        layer.load_state_dict(state)
        with torch.no_grad():
            x = layer(x, src_key_padding_mask=padding)
            x = nn.functional.pad(x, (0, 0, 0, ids.shape[1] - x.shape[1]))  # the fast path may cut what is masked
    x = x.masked_fill(padding[..., None], 0)
    mean = x.sum(dim=1) / torch.from_numpy(mask).sum(dim=1, keepdim=True)
    return nn.functional.normalize(mean).numpy()


@pytest.fixture(scope="module")
def want():
    return oracle(*minilm_batch(SENTENCES))


# Components are below 0.5, each of some 50 layers is off by some 2**-24 of its values, and layer norms keep errors from
# growing: 50 * 2**-24 * 0.5 is 1.5e-6 if all of them had the same sign; 2e-7 was seen. The course promises 1e-4.
TOLERANCE = 1e-6


def test_numpy(want):
    got = minilm_embeddings(SENTENCES)
    assert got.dtype == np.float32
    assert np.abs(got - want).max() < TOLERANCE


def test_torch(want):
    with torch.no_grad():
        got = minilm_module()(*map(torch.from_numpy, minilm_batch(SENTENCES)))
    assert np.abs(got.numpy() - want).max() < TOLERANCE


def test_onnx(want):
    session = onnxruntime.InferenceSession(minilm_onnx().SerializeToString())
    ids, mask = minilm_batch(SENTENCES)
    assert np.abs(session.run(None, {"ids": ids, "mask": mask})[0] - want).max() < TOLERANCE
    alone = {name: value[1:2, :2] for name, value in {"ids": ids, "mask": mask}.items()}  # other shapes, same session
    assert np.abs(session.run(None, alone)[0] - want[1]).max() < TOLERANCE


def test_the_oracle_can_fail(want):
    """A mean that counts [PAD] in is far off: the padding of this batch would show."""
    ids, mask = minilm_batch(SENTENCES)
    with torch.no_grad():
        got = minilm_module()(torch.from_numpy(ids), torch.ones_like(torch.from_numpy(mask)))
    assert np.abs(got.numpy() - want).max() > 0.05


def test_the_module_is_made_of_linear_layers():
    module = minilm_module()
    weights = minilm_weights()
    assert sum(isinstance(part, nn.Linear) for part in module.modules()) == 36
    assert not module.training
    assert not any(p.requires_grad for p in module.parameters())
    for own, theirs in LINEARS.items():
        weight = getattr(module.layers[3], own).weight.numpy()
        assert np.array_equal(weight, weights[f"encoder.layer.3.{theirs}.weight"])


def test_the_module_refuses_long_sentences():
    with pytest.raises(ValueError, match="ids have 300 tokens; the model takes up to 256"):
        minilm_module()(torch.zeros(1, 300, dtype=torch.int64), torch.ones(1, 300, dtype=torch.int64))


def test_onnx_names_its_linear_layers():
    model = minilm_onnx()
    constants = {tensor.name for tensor in model.graph.initializer}
    linear = [n.name for n in model.graph.node if n.op_type == "MatMul" and n.input[1] in constants]
    assert linear == [f"encoder.layer.{i}.{name}" for i in range(6) for name in LINEARS.values()]


def test_batches():
    ids, mask = minilm_batch(SENTENCES)
    assert ids.dtype == mask.dtype == np.int64
    assert ids.shape == mask.shape == (len(SENTENCES), 256)
    for row, ones, tokens in zip(ids, mask, minilm_tokens(SENTENCES), strict=True):
        assert row[: len(tokens)].tolist() == tokens
        assert not row[len(tokens) :].any()
        assert ones.tolist() == [1] * len(tokens) + [0] * (256 - len(tokens))


@pytest.mark.parametrize("function", [minilm_batch, minilm_embeddings, minilm_tokens])
@pytest.mark.parametrize("sentences", ["one", []])
def test_bad_sentences(function, sentences):
    with pytest.raises(ValueError, match="give a list of at least one sentence"):
        function(sentences)
