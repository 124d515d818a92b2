"""What every registered model promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

from rayat.models.base import Model
from rayat.registry import MODELS

SMALL = {"wideresnet": {"depth": 10, "width": 1}, "timm": {"arch": "test_resnet"}}
"""Parameters for the test of a model whose defaults are large."""

SHAPE, CLASSES = (3, 8, 8), 5


@pytest.fixture(params=MODELS.names(), scope="module")
def model(request: pytest.FixtureRequest) -> Model:
    return MODELS.build({"name": request.param, **SMALL.get(request.param, {})})


@pytest.fixture
def net(model: Model) -> nn.Module:
    return model.build(SHAPE, CLASSES, seed=0)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", [SHAPE, (1, 28, 28)])
def test_images_become_logits(model, shape):
    logits = model.build(shape, CLASSES, seed=0)(torch.rand(2, *shape))
    assert logits.shape == (2, CLASSES) and logits.dtype == torch.float32
    assert logits.isfinite().all()


def test_normalisation_is_inside(model, x):
    mean, std = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
    inside = model.build(SHAPE, CLASSES, 0, mean, std).eval()
    outside = model.build(SHAPE, CLASSES, 0).eval()
    z = (x - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    torch.testing.assert_close(inside(x), outside(z))


def test_the_seed_decides_the_weights_and_the_global_generator_stays(model):
    before = torch.get_rng_state()
    first, second = model.build(SHAPE, CLASSES, 1), model.build(SHAPE, CLASSES, 1)
    other = model.build(SHAPE, CLASSES, 2)
    assert torch.equal(torch.get_rng_state(), before)
    for (name, a), b in zip(first.state_dict().items(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert not torch.equal(first.body.head.weight, other.body.head.weight)


def test_state_survives_safetensors(model, net, x, tmp_path: Path):
    net.train()
    net(x)  # moves the running statistics, which are state too
    save_file(net.state_dict(), tmp_path / "w.safetensors")
    copy = model.build(SHAPE, CLASSES, seed=9)
    copy.load_state_dict(load_file(tmp_path / "w.safetensors"))
    assert torch.equal(copy.eval()(x), net.eval()(x))


def test_gradients_reach_every_pixel_and_weight(net, x):
    x.requires_grad_(True)
    F.cross_entropy(net(x), torch.arange(6) % CLASSES).backward()
    assert x.grad.isfinite().all() and (x.grad.abs().sum((1, 2, 3)) > 0).all()
    for name, weight in net.named_parameters():
        assert weight.grad is not None and weight.grad.isfinite().all(), name


def test_can_be_differentiated_twice(net, x):
    """Regularisers of the input gradient need it; a wrong in-place operation breaks it."""
    x.requires_grad_(True)
    (grad,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
    grad.square().sum().backward()
    assert net.body.head.weight.grad.isfinite().all()


def test_an_input_is_never_overwritten(net, x):
    before = x.clone()
    net(x)
    net.body(x)
    assert torch.equal(x, before)


def test_images_do_not_meet_in_evaluation_mode(net, x):
    net.eval()
    torch.testing.assert_close(net(x)[2:3], net(x[2:3]), atol=1e-5, rtol=1e-4)


def test_logits_are_the_head_on_the_features(net, x):
    net.eval()
    features = net.body.forward_features(x)
    assert isinstance(net.body.head, nn.Linear) and net.body.head.out_features == CLASSES
    assert features.shape == (6, net.body.head.in_features)
    assert torch.equal(net.body.head(features), net.body(x))


def test_channels_last_changes_speed_only(model, net, x):
    fast = model.build(SHAPE, CLASSES, 0).to(memory_format=torch.channels_last).eval()
    channels_last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(fast(channels_last), net.eval()(x), atol=1e-4, rtol=1e-4)


def test_learns_a_batch_by_heart(model, x):
    net = model.build(SHAPE, CLASSES, 0, (0.5,) * 3, (0.29,) * 3)
    y = torch.arange(6) % CLASSES
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    first = F.cross_entropy(net(x), y).item()
    for _ in range(8):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.8 * first


def test_spec_survives_json(model):
    assert MODELS.build(json.loads(json.dumps(model.spec()))) == model
