"""Lesson 12's recipe: what fake-quantizes, what converts to integers, and that it works on networks it has not seen."""

import copy
import logging
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao import quantization as tq
from torch.ao.nn import quantized as quantized_layers

from quantlab.core.grid import Grid
from quantlab.core.observers import MovingAverageObserver
from quantlab.lab.data import digits
from quantlab.lab.torch_qat import freezing, prepared, qat_qconfig
from quantlab.lab.torch_quantized import codes_of, compare_layers, layer_codes, qparams_of, weights_in_use
from quantlab.lab.torch_training import count_right, digit_tensors, fit

# torch announces that its eager quantization and its quantized tensors will go; they are the subject here.
pytestmark = pytest.mark.filterwarnings("ignore:(?s).*(deprecated|reduce_range)")


@pytest.fixture(autouse=True)
def one_thread_and_its_engine():
    threads, engine = torch.get_num_threads(), torch.backends.quantized.engine
    torch.set_num_threads(1)
    torch.backends.quantized.engine = "fbgemm"
    yield
    torch.set_num_threads(threads)
    torch.backends.quantized.engine = engine


class Residual(nn.Module):
    """What eager mode needs for a sum: a module that observes it."""

    def __init__(self, n):
        super().__init__()
        self.body = nn.Sequential(*conv_norm_relu(n, n))
        self.sum = nn.quantized.FloatFunctional()

    def forward(self, x):
        return self.sum.add(x, self.body(x))


def conv_norm_relu(n_in, n_out, **options):
    return nn.Conv2d(n_in, n_out, 3, padding=1, bias=False, **options), nn.BatchNorm2d(n_out), nn.ReLU()


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 300), nn.ReLU(), nn.Linear(300, 10)), [["module.1", "module.2"]]


def resnet():
    layers = nn.Sequential(*conv_norm_relu(1, 8, stride=2), Residual(8), Residual(8), nn.Flatten(), nn.Linear(128, 10))
    names = [[f"module.{i}" for i in range(3)], *([f"module.{k}.body.{i}" for i in range(3)] for k in (3, 4))]
    return layers, names


@pytest.fixture(scope="module")
def images():
    return digit_tensors(digits(seed=0))


@pytest.fixture(scope="module", params=[mlp, resnet], ids=["mlp", "resnet"])
def trained(request, images):
    """A network trained in float, its names to fuse, and the same trained on with 4-bit weights."""
    x, y, _, _ = images
    torch.manual_seed(0)
    layers, names = request.param()
    net = tq.QuantWrapper(layers)
    fit(net, x, y, n_epochs=6, lr=3e-3, seed=0)
    with warnings.catch_warnings(action="ignore"):
        qat = prepared(net, names, n_bits=4)
    fit(qat, x, y, n_epochs=4, lr=1e-3, seed=1, before_epoch=freezing(qat, statistics=2, observers=3))
    return net.eval(), names, qat.eval()


def most_levels(weights):
    return [max(len(np.unique(channel)) for channel in W.reshape(len(W), -1)) for W in weights]


def test_a_network_of_ones_own(trained, images):
    """As a new user would: the recipe, no look into quantlab; integers equal to quantlab's, digits still read."""
    net, _, qat = trained
    _, _, x_test, y_test = images
    quantized = tq.convert(qat)
    counts = compare_layers(quantized, x_test)
    assert len(counts) == len(weights_in_use(net, x_test))
    assert {wrong for _, wrong in counts.values()} == {0}
    right = [count_right(model, x_test, y_test) for model in (net, qat, quantized)]
    # 450 digits, about 430 right: two standard deviations of a difference of counts of the same digits are below 15
    assert min(right) > 400
    assert abs(right[1] - right[2]) <= 10
    assert right[0] - right[2] <= 15


def test_fake_quantization_is_active_and_an_observer_is_not(trained, images):
    net, names, qat = trained
    x_test = images[2]
    assert max(most_levels(weights_in_use(qat, x_test))) <= 2**4
    observed = tq.fuse_modules_qat(copy.deepcopy(net).train(), names)
    observed.qconfig = tq.QConfig(
        activation=qat.qconfig.activation, weight=tq.default_per_channel_weight_observer.with_args(dtype=torch.qint8)
    )
    tq.prepare_qat(observed, inplace=True)
    observed(images[0][:64])
    observed.eval()
    assert any(wrong > 2**4 for wrong in most_levels(weights_in_use(observed, x_test)))
    assert compare_layers(tq.convert(observed), x_test)  # it converts all the same


def test_the_converted_weights_are_int8_and_on_the_trained_grid(trained):
    _, _, qat = trained
    quantized = tq.convert(qat)
    layers = [m for m in quantized.modules() if isinstance(m, quantized_layers.Linear | quantized_layers.Conv2d)]
    assert layers
    for layer in layers:
        codes = codes_of(layer.weight())
        assert codes.dtype == np.int8
        assert np.abs(codes).max() <= 7


@pytest.mark.parametrize("n_bits", [8, 4, 2])
@pytest.mark.parametrize("kind", ["ours", "torch's default"])
def test_what_is_trained_is_what_is_converted(n_bits, kind):
    """The unfused fake quantizer and convert use one scale; torch's fused one, pytorch issue 88800, another."""
    torch.manual_seed(n_bits)
    net = tq.QuantWrapper(nn.Linear(100, 20))
    qat = prepared(net, [], n_bits=n_bits)
    if kind == "torch's default":
        weight = tq.FusedMovingAvgObsFakeQuantize.with_args(
            observer=tq.MovingAveragePerChannelMinMaxObserver,
            quant_min=-(2 ** (n_bits - 1)),
            quant_max=2 ** (n_bits - 1) - 1,
            dtype=torch.qint8,
            qscheme=torch.per_channel_symmetric,
        )
        qat = copy.deepcopy(net).train()
        qat.qconfig = tq.QConfig(activation=qat_qconfig(8).activation, weight=weight)
        tq.prepare_qat(qat, inplace=True)
    x = torch.randn(32, 100)
    qat(x)
    qat.eval().apply(tq.disable_observer)
    (W_hat,) = weights_in_use(qat, x)
    converted = tq.convert(qat).module.weight().dequantize().numpy()
    assert np.array_equal(W_hat, converted) == (kind == "ours")


@pytest.mark.parametrize("engine", ["fbgemm", "x86"])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_linear_layers_equal_torch_on_both_engines(engine, relu, bias):
    torch.backends.quantized.engine = engine
    torch.manual_seed(int(relu))
    layers = [nn.Linear(60, 50, bias=bias), nn.ReLU()][: 1 + relu]
    net = tq.QuantWrapper(nn.Sequential(*layers))
    qat = prepared(net, [["module.0", "module.1"]] if relu else [], n_bits=8)
    x = torch.randn(500, 60)
    qat(x)
    counts = compare_layers(tq.convert(qat.eval()), x)
    assert counts == {"module.0": (25_000, 0)}


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_convolutions_equal_fbgemm(groups):
    torch.manual_seed(groups)
    conv = nn.Conv2d(6, 12, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), groups=groups)
    qat = prepared(tq.QuantWrapper(nn.Sequential(conv)), [], n_bits=8)
    x = torch.randn(40, 6, 11, 9)
    qat(x)
    quantized = tq.convert(qat.eval())
    ((n, wrong),) = compare_layers(quantized, x).values()
    assert (n, wrong) == (40 * 12 * 6 * 7, 0)
    other = copy.deepcopy(quantized)
    other.module[0].scale *= 1.01  # the comparison can fail
    with torch.no_grad():
        x_q = quantized.quant(x)
        assert (layer_codes(other.module[0], x_q) != codes_of(quantized.module[0](x_q))).any()


def test_batch_norm_is_folded_before_the_weight_is_rounded():
    from quantlab.core.affine import fake_quantize
    from quantlab.core.qparams import QParams

    torch.manual_seed(0)
    net = tq.QuantWrapper(nn.Sequential(*conv_norm_relu(3, 5)))
    qat = prepared(net, [["module.0", "module.1", "module.2"]], n_bits=4)
    for _ in range(3):
        qat(torch.randn(16, 3, 6, 6))
    qat.eval().apply(tq.disable_observer)
    (arrived,) = weights_in_use(qat, torch.randn(2, 3, 6, 6))
    layer = qat.module[0]
    factor = layer.bn.weight / torch.sqrt(layer.bn.running_var + layer.bn.eps)
    folded = (layer.weight * factor.reshape(-1, 1, 1, 1)).detach().numpy()
    scale = layer.weight_fake_quant.scale.numpy()
    qp = QParams(scale=scale, zero_point=np.zeros(5, np.int32), grid=Grid(n_bits=4, narrow=True), axis=0)
    assert np.array_equal(fake_quantize(folded, qp), arrived)
    assert not np.array_equal(fake_quantize(layer.weight.detach().numpy(), qp), arrived)


def test_the_schedule_freezes_what_it_names():
    net = tq.QuantWrapper(nn.Sequential(*conv_norm_relu(1, 4)))
    qat = prepared(net, [["module.0", "module.1", "module.2"]], n_bits=8)
    schedule = freezing(qat, statistics=1, observers=2)

    def moved():
        before = copy.deepcopy(qat.state_dict())
        qat(3 * torch.rand(16, 1, 5, 5))
        after = qat.state_dict()
        names = {name for name in before if not torch.equal(before[name], after[name])}
        return any("running_mean" in name for name in names), any("min_val" in n or "max_val" in n for n in names)

    found = []
    for epoch in range(3):
        schedule(epoch)
        moved()
        found.append(moved())
    assert found == [(True, True), (False, True), (False, False)]


def test_eval_does_not_stop_the_observers():
    qat = prepared(tq.QuantWrapper(nn.Linear(4, 3)), [], n_bits=8)
    qat(torch.rand(8, 4))
    qat.eval()
    scale = qat.quant.activation_post_process.scale.clone()
    qat(100 * torch.rand(8, 4))
    assert qat.quant.activation_post_process.scale > scale
    qat.apply(tq.disable_observer)
    scale = qat.quant.activation_post_process.scale.clone()
    qat(10_000 * torch.rand(8, 4))
    assert torch.equal(qat.quant.activation_post_process.scale, scale)


def test_moving_average_observers_agree():
    rng = np.random.default_rng(0)
    theirs, ours = tq.MovingAverageMinMaxObserver(), MovingAverageObserver(averaging_constant=0.01)
    for k in range(50):
        batch = rng.normal(k, 1 + k, 100).astype(np.float32)
        theirs(torch.from_numpy(batch))
        ours.update(batch)
    assert ours.range(grid=Grid(n_bits=8)) == (theirs.min_val.item(), theirs.max_val.item())


def test_errors_say_what_to_do():
    with pytest.raises(ValueError, match=r"no QuantStub.*QuantWrapper\(net\)"):
        prepared(nn.Sequential(nn.Linear(3, 2)), [], n_bits=8)
    with pytest.raises(ValueError, match="n_bits=9; expected 2 to 8"):
        qat_qconfig(9)
    with pytest.raises(TypeError, match="n_bits"):
        qat_qconfig(4.0)
    with pytest.raises(ValueError, match="no layer that computes on integers"):
        compare_layers(nn.Linear(3, 2), torch.zeros(1, 3))
    with pytest.raises(TypeError, match=r"torch\.float32; expected torch\.quint8"):
        codes_of(torch.zeros(2))
    with pytest.raises(TypeError, match=r"torch\.qint32; expected torch\.quint8"):
        qparams_of(torch.quantize_per_tensor(torch.zeros(2), 1.0, 0, torch.qint32))
    x_q = torch.quantize_per_tensor(torch.zeros(1, 3), 1.0, 0, torch.quint8)
    with pytest.raises(TypeError, match="layer is Linear; expected a converted"):
        layer_codes(nn.Linear(3, 2), x_q)
    reflected = nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect")
    qat = prepared(tq.QuantWrapper(reflected), [], n_bits=8)
    images = torch.rand(1, 1, 4, 4)
    qat(images)
    with pytest.raises(ValueError, match="padding_mode='reflect'"):
        compare_layers(tq.convert(qat.eval()), images)
    with pytest.raises(ValueError, match="x has 1 samples"):
        fit(nn.Linear(2, 2), torch.zeros(1, 2), torch.zeros(1, dtype=torch.int64), n_epochs=1, lr=0.1, seed=0)
    with pytest.raises(ValueError, match="choose a smaller lr"):
        fit(
            nn.Linear(2, 2),
            torch.full((4, 2), torch.inf),
            torch.zeros(4, dtype=torch.int64),
            n_epochs=1,
            lr=0.1,
            seed=0,
        )


def test_a_single_sample_left_over_is_left_out():
    """Batch norm refuses it in training."""
    net = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    assert len(fit(net, torch.rand(65, 2), torch.zeros(65, dtype=torch.int64), n_epochs=2, lr=0.01, seed=0)) == 2


def test_the_loss_of_an_epoch_is_the_mean_over_what_was_seen():
    """65 equal samples, of which 64 are seen: at no step size worth the name their loss is that of one."""
    net, x = nn.Linear(2, 2), torch.ones(65, 2)
    want = nn.functional.cross_entropy(net(x[:1]), torch.zeros(1, dtype=torch.int64)).item()
    (loss,) = fit(net, x, torch.zeros(65, dtype=torch.int64), n_epochs=1, lr=1e-12, seed=0)
    assert loss == pytest.approx(want, rel=1e-6)  # the same float32 operations on each of 64 rows


def test_the_seed_is_the_order_of_the_batches():
    x = torch.rand(96, 2, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > x[:, 1]).long()

    def losses(seed):
        torch.manual_seed(0)  # the same first weights
        return fit(nn.Linear(2, 2), x, y, n_epochs=2, lr=0.1, seed=seed)

    first, again, other = losses(3), losses(3), losses(4)
    assert first == again
    assert first != other


# torchao's PT2E, the successor


@pytest.fixture(scope="module")
def ao():
    """torchao's modules; on import it logs that CUDA libraries are missing, which a CPU does not need."""
    logging.disable(logging.WARNING)
    with warnings.catch_warnings(action="ignore"):
        from torchao.quantization import pt2e
        from torchao.quantization.pt2e import lowering, quantize_pt2e
        from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer
    logging.disable(logging.NOTSET)

    class AO:
        pass

    found = AO()
    found.pt2e, found.lowering, found.quantize, found.x86 = pt2e, lowering, quantize_pt2e, x86_inductor_quantizer
    return found


def pt2e_prepared(ao, net, x, *, fused=False):
    from dataclasses import replace

    settings = ao.x86.get_default_x86_inductor_quantization_config(is_qat=True, reduce_range=True)
    if not fused:
        fake = ao.pt2e.FakeQuantize.with_args(observer=ao.pt2e.MovingAveragePerChannelMinMaxObserver)
        weight = replace(settings.weight, quant_min=-127, observer_or_fake_quant_ctr=fake)
        settings = replace(settings, weight=weight)
    graph = torch.export.export(net, (x[:8],), dynamic_shapes=({0: torch.export.Dim("n")},)).module()
    return ao.quantize.prepare_qat_pt2e(graph, ao.x86.X86InductorQuantizer().set_global(settings))


class PlainResidual(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv = nn.Conv2d(n, n, 3, padding=1)

    def forward(self, x):
        return x + torch.relu(self.conv(x))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["mlp", "resnet"])
def test_pt2e_on_a_network_of_ones_own(ao, images, kind):
    """No stubs, no names; the reference computes in float with int8 weights, the lowered graph in oneDNN's int8."""
    from quantlab.lab.torch_ops import count_ops

    x, y, x_test, y_test = images
    torch.manual_seed(0)
    net = mlp()[0]
    if kind == "resnet":
        net = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), PlainResidual(8), nn.Conv2d(8, 10, 4), nn.Flatten()
        )
    fit(net, x, y, n_epochs=6, lr=3e-3, seed=0)
    qat = pt2e_prepared(ao, net, x)
    fit(qat, x, y, n_epochs=2, lr=1e-3, seed=1)
    ao.pt2e.move_exported_model_to_eval(qat)
    qat.apply(ao.pt2e.disable_observer)
    assert max(most_levels(weights_in_use(qat, x_test))) <= 2**8
    with torch.no_grad():
        logits = qat(x_test)
        reference = ao.quantize.convert_pt2e(qat)
        # equal but for the order of a product's sum: float32 sums of up to 300 terms of size 10 differ by 1e-4 at most
        assert (reference(x_test) - logits).abs().max() < 1e-3
        stored = [b for name, b in reference.named_buffers() if "frozen" in name]
        assert {b.dtype for b in stored} == {torch.int8}
        lowered = ao.lowering.lower_pt2e_quantized_to_x86(reference, (x_test,))
        ops = count_ops(lambda: lowered(x_test))
    integer = sum(n for name, n in ops.items() if name.startswith(("onednn.qconv", "onednn.qlinear")))
    assert integer == len(stored)
    assert not {"aten.convolution", "aten.addmm", "aten.linear", "aten.mm"} & set(ops)
    right = [count_right(model, x_test, y_test) for model in (net, qat, reference, lowered)]
    assert min(right) > 400
    assert max(right) - min(right) <= 12


@pytest.mark.filterwarnings("ignore")
def test_torchao_inherited_the_second_scale(ao):
    """What is trained is what is converted with the unfused fake quantizer only: a reason for lesson 12's settings."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Linear(100, 20)), torch.randn(64, 100)
    gaps = []
    for fused in (False, True):
        qat = pt2e_prepared(ao, net, x, fused=fused)
        qat(x)
        ao.pt2e.move_exported_model_to_eval(qat)
        qat.apply(ao.pt2e.disable_observer)
        with torch.no_grad():
            logits = qat(x)
            gaps.append((ao.quantize.convert_pt2e(qat)(x) - logits).abs().max().item())
    assert gaps[0] < 1e-5 < 1e-3 < gaps[1]


@pytest.mark.filterwarnings("ignore")
def test_pt2e_folds_batch_norm(ao):
    """In some 15 seconds: convert_pt2e traces 96 patterns, once, however small the network."""
    torch.manual_seed(0)
    net, x = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()), torch.randn(32, 1, 6, 6)
    qat = pt2e_prepared(ao, net, x)
    for _ in range(3):
        qat(x)
    ao.pt2e.move_exported_model_to_eval(qat)
    qat.apply(ao.pt2e.disable_observer)
    with torch.no_grad():
        logits = qat(x)
        converted = ao.quantize.convert_pt2e(qat)
        # the folded product is computed in another order: a code of the output may fall to the other side, one step
        step = (logits.max() - logits.min()) / 127
        assert (converted(x) - logits).abs().max() <= 1.01 * step
    targets = [str(node.target) for node in converted.graph.nodes]
    assert not any("batch_norm" in target for target in targets)
    assert {b.dtype for name, b in converted.named_buffers() if "frozen" in name} == {torch.int8}
