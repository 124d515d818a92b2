"""The folded network against the network itself under autograd, which is its slow reference."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rayat.models import folded as folded_layers
from rayat.models.base import Normalised
from rayat.models.folded import Conv, Linear, chain, mask_, relu_
from rayat.registry import MODELS

FOLDED = {
    "digits": {"name": "preactresnet"},
    "fashion": {"name": "preactresnet", "blocks": [1, 1, 1], "stem_stride": 2},
    "no norm": {"name": "preactresnet", "width": 8, "norm": "none"},
    "deep": {"name": "preactresnet", "width": 4, "blocks": [2, 2, 1]},
    "cnn": {"name": "cnn"},
    "cnn batch norm": {"name": "cnn", "width": 8, "norm": "batch"},
    "wide": {"name": "wideresnet", "depth": 10, "width": 1},
}
SHAPES = [(1, 8, 8), (3, 13, 10)]


def settled(net: nn.Module) -> nn.Module:
    """Move every number away from its initial value, some scales of BatchNorm below zero."""
    generator = torch.Generator().manual_seed(0)
    for name, value in net.state_dict().items():
        if name.endswith("running_var"):
            value.uniform_(0.5, 2, generator=generator)
        elif value.is_floating_point() and name not in {"mean", "std"}:
            scale = 1.0 if value.ndim == 1 else 0.3 * float(value.std())
            value.add_(scale * torch.randn(value.shape, generator=generator))
    return net.to(memory_format=torch.channels_last).eval()


def make(name: str, shape: tuple[int, int, int]) -> nn.Module:
    mean, std = (0.5, 0.4, 0.3)[: shape[0]], (0.2, 0.25, 0.3)[: shape[0]]
    return settled(MODELS.build(FOLDED[name]).build(shape, 5, 0, mean, std))


def images(shape: tuple[int, int, int], count: int = 6) -> torch.Tensor:
    x = torch.rand(count, *shape, generator=torch.Generator().manual_seed(1))
    return x.contiguous(memory_format=torch.channels_last)


def reference(net, x):
    leaf = x.clone().requires_grad_()
    logits = net(leaf)
    return logits.detach(), torch.autograd.grad(logits.square().sum(), leaf)[0]


def folded(net, x, dtype):
    layer = net.folded(dtype)
    logits, kept = layer.forward((x - net.mean).to(dtype))
    return logits, layer.backward(2 * logits, kept).float()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", FOLDED)
def test_logits_and_input_gradient_are_the_networks(name, shape):
    net, x = make(name, shape), images(shape)
    expected, got = reference(net, x), folded(net, x, torch.float32)
    assert (got[0] - expected[0]).abs().max() < 1e-5 * max(1, float(expected[0].abs().max()))
    assert (got[1] - expected[1]).abs().max() < 1e-5 * float(expected[1].abs().max())


@pytest.mark.parametrize("name", FOLDED)
def test_in_bfloat16_they_are_as_near_as_autocasts(name):
    net, x = make(name, (1, 28, 28)), images((1, 28, 28), 32)
    expected, got = reference(net, x), folded(net, x, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        usual = reference(net, x)
    assert got[0].dtype == torch.float32
    for exact, ours, theirs in zip(expected, got, usual, strict=True):
        assert (ours - exact).norm() < 2 * (theirs - exact).norm()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_backward_may_run_twice(dtype):
    net, x = make("digits", (1, 8, 8)), images((1, 8, 8))
    layer = net.folded(dtype)
    logits, kept = layer.forward(x.to(dtype))
    first, second = (layer.backward(logits.clone(), kept).clone() for _ in range(2))
    assert torch.equal(first, second)


def test_folding_and_running_leave_the_network_as_it_was():
    net, x = make("digits", (1, 8, 8)), images((1, 8, 8))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    kept = x.clone()
    folded(net, x, torch.float32)
    assert torch.equal(x, kept)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_a_sequence_of_plain_layers_has_a_folded_copy():
    body = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
        nn.Conv2d(8, 12, 3, 2, padding=1), nn.ReLU(),
        nn.Conv2d(12, 12, 3, padding=1, groups=4), nn.BatchNorm2d(12, affine=False),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 5),
    )  # fmt: skip
    net = settled(Normalised(body, torch.full((3,), 0.4), torch.full((3,), 0.3)))
    x = images((3, 9, 9))
    expected, got = reference(net, x), folded(net, x, torch.float32)
    torch.testing.assert_close(got[0], expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(got[1], expected[1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    "layers",
    [
        [nn.Conv2d(1, 4, 3), nn.GELU(), nn.Flatten(), nn.Linear(144, 5)],
        [nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"), nn.Flatten(), nn.Linear(256, 5)],
        [nn.Conv2d(1, 4, 3, padding="same"), nn.Flatten(), nn.Linear(256, 5)],
        [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, track_running_stats=False), nn.Flatten()],
        [nn.Conv2d(1, 5, 8), nn.Flatten()],
        [nn.ReLU(), nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(144, 5)],
        [nn.Flatten(), nn.Linear(64, 5)],
    ],
    ids=["gelu", "circular", "same", "batch statistics", "no head", "relu first", "no convolution"],
)
def test_what_is_not_understood_is_not_folded(layers):
    assert chain(layers, torch.float32, torch.ones(1)) is None


def test_a_timm_model_has_no_folded_copy():
    assert MODELS.build("timm:test_resnet").build((3, 32, 32), 5, 0).folded(torch.float32) is None


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_relu_and_its_mask_are_torchs_to_the_bit(dtype):
    x = torch.randn(4, 8, 5, 5, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[0, :, 0] = torch.tensor([0.0, -0.0, 1e-40, -1e-40, 3e38]).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    gradient = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    gradient = gradient.contiguous(memory_format=torch.channels_last)
    leaf = x.clone().requires_grad_()
    out = leaf.relu()
    (expected,) = torch.autograd.grad(out, leaf, gradient)
    relu_(x)
    assert torch.equal(x, out)
    mask_(gradient, x)
    assert torch.equal(gradient, expected)


def test_masks_agree_where_layouts_do_not():
    gradient, out = torch.randn(2, 3, 4, 4).bfloat16(), torch.randn(2, 3, 4, 4).bfloat16().relu()
    expected = torch.where(out > 0, gradient, 0)
    mask_(gradient, out.contiguous(memory_format=torch.channels_last))
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize("fused", [True, False])
def test_the_convolution_is_added_in_place(fused, monkeypatch):
    if not fused:
        monkeypatch.setattr(folded_layers, "_has_fused_add", lambda x: False)
    conv = nn.Conv2d(4, 6, 3, padding=1)
    x, out = torch.randn(2, 4, 5, 5), torch.randn(2, 6, 5, 5)
    expected = out + conv(x)
    Conv(conv, torch.float32).add_(x, out)
    torch.testing.assert_close(out, expected.detach())


def test_a_linear_layer_reads_channels_last_images_in_the_modules_order():
    linear, x = nn.Linear(48, 5), images((3, 4, 4))
    layer = Linear(linear, torch.float32, channels=3)
    logits, kept = layer.forward(x)
    torch.testing.assert_close(logits, linear(x.flatten(1)).detach())
    gradient = layer.backward(torch.ones(6, 5), kept)
    torch.testing.assert_close(gradient[0], linear.weight.detach().sum(0).view(3, 4, 4))
