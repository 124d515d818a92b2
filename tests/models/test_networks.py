"""Each network's own form: sizes against the literature, options, refusals."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rayat.errors import ConfigError, DataError
from rayat.models._preact_blocks import PreActBlock
from rayat.registry import MODELS

RGB = (3, 32, 32)


@pytest.mark.parametrize(
    ("spec", "shape", "weights"),
    [
        ("cnn", (1, 28, 28), 166_406),  # docs/papers.md 9.1: 166 k
        ("preactresnet", (1, 8, 8), 19_642),  # the 20 k parameters of the digits studies
        ({"name": "preactresnet", "blocks": [1, 1, 1], "stem_stride": 2}, (1, 28, 28), 77_562),
        ("preactresnet18", RGB, 11_172_170),
        ("wideresnet:28-10", RGB, 36_479_194),
        ("wideresnet:34-10", RGB, 46_160_474),
    ],
)
def test_number_of_weights(spec, shape, weights):
    with torch.device("meta"):
        body = MODELS.build(spec).body(shape, 10)
    assert sum(p.numel() for p in body.parameters()) == weights


@pytest.mark.parametrize("name", ["cnn", "preactresnet", "preactresnet18"])
def test_without_norm_images_do_not_meet_in_training(name):
    net = MODELS.build({"name": name, "norm": "none"}).build((1, 8, 8), 3, 0).train()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(net(x)[1:2], net(x[1:2]), atol=1e-5, rtol=1e-4)


def test_batch_norm_is_an_option_of_the_cnn():
    net = MODELS.build({"name": "cnn", "norm": "batch"}).build((1, 8, 8), 3, 0)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) == 2


@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize(("outputs", "stride"), [(3, 1), (5, 1), (3, 2)])
def test_a_block_is_what_the_paper_draws(norm, outputs, stride):
    block = PreActBlock(3, outputs, stride, norm).train()
    for weight in block.parameters():
        nn.init.normal_(weight, generator=torch.Generator().manual_seed(0))
    x = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))

    def act(z, layer):
        layer = layer.norm
        if norm == "batch":
            z = F.batch_norm(z, None, None, layer.weight, layer.bias, training=True)
        return z.clamp(min=0)

    active = act(x, block.act1)
    short = x if (outputs, stride) == (3, 1) else block.shortcut(active)
    expected = block.conv2(act(block.conv1(active), block.act2)) + short
    torch.testing.assert_close(block(x), expected)


@pytest.mark.parametrize("stride", [1, 2])
def test_stages_double_the_width_and_halve_the_image(stride):
    net = MODELS.build(
        {"name": "preactresnet", "width": 4, "blocks": [1, 2], "stem_stride": stride}
    ).body((1, 16, 16), 3)
    side = 16 // stride // 2
    assert net.blocks(net.stem(torch.zeros(2, 1, 16, 16))).shape == (2, 8, side, side)


def test_wideresnet_starts_as_he_normal():
    net = MODELS.build("wideresnet:10-4").build(RGB, 10, 0)
    weight = net.body.blocks[2].conv2.weight  # 256 channels of 3x3
    assert weight.std().item() == pytest.approx((2 / (256 * 9)) ** 0.5, rel=0.02)
    assert net.body.head.bias.abs().max() == 0


def test_wideresnet_takes_its_sizes_after_a_colon():
    part = MODELS.build("wideresnet:16-8")
    assert part.spec() == {"name": "wideresnet", "depth": 16, "width": 8}


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("wideresnet:28x10", r"takes depth-width such as 28-10, got '28x10'"),
        ("wideresnet:29-10", r"model.depth: depth must be 6 n \+ 4, such as 28, got 29"),
        ("timm:resnet81", r"unknown timm model 'resnet81' \(did you mean 'resnet18'\?\)"),
        ({"name": "preactresnet", "blocks": []}, r"model.blocks"),
        ({"name": "preactresnet", "withd": 8}, r"'model.withd'.*did you mean 'model.width'"),
    ],
)
def test_wrong_parameters_are_refused(spec, text):
    with pytest.raises(ConfigError, match=text):
        MODELS.build(spec)


def test_cnn_refuses_images_that_its_strides_use_up():
    with pytest.raises(ConfigError, match="needs images of 4x4 or more, got 3x8"):
        MODELS.build("cnn").build((1, 3, 8), 2, 0)


@pytest.mark.parametrize("arch", ["vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_timm_models_of_other_kinds_take_our_images(arch):
    net = MODELS.build(f"timm:{arch}").build((1, 32, 32), 4, 0).eval()
    x = torch.rand(2, 1, 32, 32)
    assert net(x).shape == (2, 4)
    assert torch.equal(net.body.head(net.body.forward_features(x)), net.body(x))


def test_without_a_network_pretrained_weights_are_asked_for_in_one_sentence(monkeypatch, tmp_path):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    model = MODELS.build({"name": "timm", "arch": "test_resnet", "pretrained": True})
    with pytest.raises(
        DataError, match=r"no pretrained weights for timm model 'test_resnet' .*HF_"
    ):
        model.build((3, 32, 32), 4, 0)


def test_frozen_norms_keep_their_statistics_in_training_and_learn_their_weights():
    spec = {"name": "timm", "arch": "test_resnet", "frozen_norms": True}
    net = MODELS.build(spec).build((1, 32, 32), 4, 0).train()
    before = {name: value.clone() for name, value in net.named_buffers()}
    net(torch.rand(4, 1, 32, 32)).square().mean().backward()
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(norm.training for norm in norms) and net.training
    assert all(norm.weight.grad is not None for norm in norms)
    assert all(torch.equal(before[name], value) for name, value in net.named_buffers())
    assert MODELS.build(spec).build((1, 32, 32), 4, 0).eval().training is False
